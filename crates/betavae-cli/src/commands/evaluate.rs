//! `evaluate`.

use betavae::checkpoint::Trained;
use betavae::evaluate::{self, Evaluation, subset};
use betavae::objective::ACTIVE_NATS;
use betavae::scores::{self, Representation, ScoreName, Scores};
use betavae::words::thousands;
use serde::Serialize;

use super::open_for;
use super::score::{self, attainable, settings};
use crate::args::Evaluate;
use crate::compute::Compute;
use crate::output::{print, print_json};
use crate::progress;

pub fn evaluate(args: Evaluate, compute: &Compute) -> anyhow::Result<()> {
    let device = &compute.cpu;
    let trained = Trained::load(&args.model, device)?;
    let data = open_for(&trained, &args.images)?;
    let indices = subset(data.len(), args.limit.unwrap_or(data.len()));
    // What cannot be scored is refused before the images are encoded.
    let asked = !args.scores.is_empty();
    let factors = asked.then(|| scores::factors_of(&*data, &indices)).transpose()?;
    let names = scores::factor_names(&*data);
    let higgins = factors.as_ref().map(|factors| scores::higgins_factors(&names, factors));
    let settings = settings(&args.estimation, higgins.unwrap_or_default());
    let wanted = attainable(&args.scores, indices.len(), true, args.others.len(), &settings)?;
    let coder = compute.coder(&trained.model);
    let (bar, mut progress) = progress::images(indices.len());
    let (evaluation, codes) =
        evaluate::evaluate(&trained, &*coder, &*data, &indices, &mut progress)?;
    bar.finish_and_clear();
    let mut found = Scores::default();
    if let Some(factors) = factors {
        let codes = Representation::try_from(&codes)?;
        let compared = if wanted.contains(&ScoreName::Udr) { &args.others[..] } else { &[] };
        let others = compared.iter().map(|model| {
            let other = Trained::load(model, device)?;
            let (bar, mut progress) = progress::images(indices.len());
            let coder = compute.coder(&other.model);
            let codes = evaluate::encode(&*coder, &*data, &indices, &mut progress)?;
            bar.finish_and_clear();
            Representation::try_from(&codes)
        });
        let others: Vec<_> = others.collect::<Result<_, _>>()?;
        let (bar, progress) = progress::scores();
        found = scores::score(codes, &others, &factors, &names, &wanted, settings, &progress)?;
        bar.finish_and_clear();
    }
    if args.json {
        return print_json(&Both { evaluation: &evaluation, scores: &found });
    }
    print(&table(&evaluation))?;
    if found.scores.is_empty() { Ok(()) } else { print(&format!("\n{}", score::table(&found))) }
}

/// One object: the keys of both.
#[derive(Serialize)]
struct Both<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(flatten)]
    scores: &'a Scores,
}

/// The result for people.
pub fn table(evaluation: &Evaluation) -> String {
    let Evaluation { at_mean, sampled, .. } = evaluation;
    let mut text = format!(
        "{} images of {}, after {} steps; nats per image\n\n\
         {:<16}{:>12}{:>12}\n",
        thousands(evaluation.images),
        evaluation.data,
        thousands(evaluation.step as usize),
        "",
        "z = mean",
        "z sampled",
    );
    let rows = [
        ("reconstruction", at_mean.reconstruction, sampled.reconstruction),
        ("KL", at_mean.kl, sampled.kl),
        ("ELBO", at_mean.elbo, sampled.elbo),
    ];
    for (name, mean, sampled) in rows {
        text += &format!("{name:<16}{mean:>12.3}{sampled:>12.3}\n");
    }
    text += &format!(
        "\nKL per latent ({} of {} active)\n",
        evaluation.active_latents,
        at_mean.kl_per_latent.len()
    );
    let largest = at_mean.kl_per_latent.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    for (latent, kl) in at_mean.kl_per_latent.iter().enumerate() {
        // Where no latent is used, the largest of nothing is no full bar.
        let share = if *kl > f64::from(ACTIVE_NATS) { kl / largest } else { 0.0 };
        let bar = "#".repeat((share * 30.0).round() as usize);
        text += &format!("  z{latent:<4}{kl:>8.3}  {bar}\n");
    }
    text.trim_end().to_owned()
}

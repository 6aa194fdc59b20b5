//! `evaluate`.

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::evaluate::{self, Evaluation, subset};
use betavae::scores::{self, CodesFile, Scores};
use betavae::words::thousands;
use serde::Serialize;

use super::open_for;
use super::score::{self, settings};
use crate::args::{Evaluate, ScoreNames};
use crate::output::{print, print_json};
use crate::progress;

pub fn evaluate(args: Evaluate, device: &Device) -> anyhow::Result<()> {
    let trained = Trained::load(&args.model, device)?;
    let data = open_for(&trained, &args.images)?;
    let indices = subset(data.len(), args.limit.unwrap_or(data.len()));
    let (bar, mut progress) = progress::images(indices.len());
    let (evaluation, codes) = evaluate::evaluate(&trained, &*data, &indices, &mut progress)?;
    bar.finish_and_clear();
    let wanted = ScoreNames::wanted(&args.scores);
    let mut found = Scores::default();
    if !wanted.is_empty() {
        let factors = scores::factors_of(&*data, &indices)?;
        let codes = CodesFile::try_from(&codes)?;
        let others = args.others.iter().map(|model| {
            let other = Trained::load(model, device)?;
            let (bar, mut progress) = progress::images(indices.len());
            let codes = evaluate::encode(&other.model, &*data, &indices, &mut progress)?;
            bar.finish_and_clear();
            CodesFile::try_from(&codes)
        });
        let others: Vec<_> = others.collect::<Result<_, _>>()?;
        let settings = settings(&args.estimation, &scores::higgins_factors(&*data));
        let (bar, progress) = progress::scores();
        found = scores::score(codes, &others, &factors, &wanted, settings, &progress)?;
        bar.finish_and_clear();
    }
    if args.json {
        return print_json(&Both { evaluation: &evaluation, scores: &found });
    }
    print(&table(&evaluation))?;
    if wanted.is_empty() { Ok(()) } else { print(&format!("\n{}", score::table(&found))) }
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
        let bar = "#".repeat((kl / largest * 30.0).round().max(0.0) as usize);
        text += &format!("  z{latent:<4}{kl:>8.3}  {bar}\n");
    }
    text.trim_end().to_owned()
}

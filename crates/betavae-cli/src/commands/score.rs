//! `score`, and the scores of `evaluate`.

use betavae::Error;
use betavae::scores::{self, CodesAndFactors, Score, ScoreName, Scores, SuiteSettings};
use betavae::words::thousands;

use crate::args::{self, Estimation, ScoreNames};
use crate::output::{print, print_json, say};
use crate::progress;

pub fn score(args: args::Score) -> anyhow::Result<()> {
    let CodesAndFactors { codes, others, factors, names, notes } =
        CodesAndFactors::read(&args.codes, &args.others, &args.factors)?;
    notes.iter().for_each(|note| say(note));
    let settings = settings(&args.estimation, Vec::new());
    let (rows, log_var) = (codes.mean.len(), codes.log_var.is_some());
    let wanted = attainable(&args.metrics, rows, log_var, others.len(), &settings)?;
    let (bar, progress) = progress::scores();
    let found = scores::score(codes, &others, &factors, &names, &wanted, settings, &progress)?;
    bar.finish_and_clear();
    if args.json { print_json(&found) } else { print(&table(&found)) }
}

/// The scores that were asked for and can be computed of `rows` codes, beside `others`. Says what is
/// left out and why, and when there are few codes.
///
/// # Errors
/// If scores were asked for by name, and none of them can be computed.
pub fn attainable(
    names: &[ScoreNames],
    rows: usize,
    log_var: bool,
    others: usize,
    settings: &SuiteSettings,
) -> anyhow::Result<Vec<ScoreName>> {
    let mut wanted = ScoreNames::wanted(names);
    let missing = scores::missing(&wanted, rows, log_var, others, settings);
    let needs = |(name, needs): &(ScoreName, String)| format!("{}: {needs}", name.name());
    let all = names.iter().any(|name| matches!(name, ScoreNames::All));
    if !all && !missing.is_empty() && missing.len() == wanted.len() {
        let needs: Vec<String> = missing.iter().map(needs).collect();
        let message = format!("cannot be computed: {}", needs.join("; "));
        return Err(Error::Config { message, hint: String::new() }.into());
    }
    for left_out in &missing {
        say(&format!("note: left out, {}", needs(left_out)));
    }
    wanted.retain(|name| !missing.iter().any(|(other, _)| other == name));
    if others > 0 && !wanted.contains(&ScoreName::Udr) {
        say("note: --with is for udr, which was not asked for");
    }
    let used = rows.min(settings.samples);
    if !wanted.is_empty() && used < scores::FEW {
        say(&format!(
            "note: scores of {} codes are rough: below {} bias and error are several per cent",
            thousands(used),
            thousands(scores::FEW)
        ));
    }
    Ok(wanted)
}

/// The suite's settings from the arguments; `higgins` are the factors of `beta_vae_higgins` if none
/// are given.
pub fn settings(args: &Estimation, higgins: Vec<usize>) -> SuiteSettings {
    let Estimation { score_seed: seed, repeats, samples, dci, higgins_factors } = args;
    SuiteSettings {
        seed: *seed,
        repeats: *repeats,
        samples: *samples,
        dci: (*dci).into(),
        higgins_factors: match higgins_factors.is_empty() {
            true => higgins,
            false => higgins_factors.clone(),
        },
    }
}

/// The result for people.
pub fn table(scores: &Scores) -> String {
    let mut text =
        format!("{:<28}{:>8}  {:<18}{:>9}  convention", "score", "value", "95 %", "codes");
    for (name, Score { value, low, high, samples, convention }) in &scores.scores {
        let interval = match low.is_finite() && high.is_finite() {
            _ if name.is_exact() => "exact".into(),
            true => format!("{low:.3} .. {high:.3}"),
            false => "-".into(),
        };
        let (name, samples) = (name.name(), thousands(*samples));
        text += &format!("\n{name:<28}{value:>8.3}  {interval:<18}{samples:>9}  {convention}");
    }
    text
}

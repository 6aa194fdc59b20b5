//! `score`, and the scores of `evaluate`.

use betavae::scores::{self, Files, Score, ScoreName, Scores, SuiteSettings};
use betavae::words::thousands;

use crate::args::{self, Estimation, ScoreNames};
use crate::output::{print, print_json, say};
use crate::progress;

pub fn score(args: args::Score) -> anyhow::Result<()> {
    let Files { codes, others, factors, notes, .. } =
        Files::read(&args.codes, &args.others, &args.factors)?;
    notes.iter().for_each(|note| say(note));
    let wanted = ScoreNames::wanted(&args.metrics);
    if codes.log_var.is_none() && args.metrics.iter().any(is_chen) {
        say("note: mig_chen is left out: it needs `log_var` beside `mean`");
    }
    let (bar, progress) = progress::scores();
    let settings = settings(&args.estimation, &[]);
    let found = scores::score(codes, &others, &factors, &wanted, settings, &progress)?;
    bar.finish_and_clear();
    if args.json { print_json(&found) } else { print(&table(&found)) }
}

fn is_chen(name: &ScoreNames) -> bool {
    matches!(name, ScoreNames::One(ScoreName::MigChen))
}

/// The suite's settings from the arguments; `higgins` are the factors of `beta_vae_higgins` if none
/// are given.
pub fn settings(args: &Estimation, higgins: &[usize]) -> SuiteSettings {
    let Estimation { score_seed: seed, repeats, samples, dci, higgins_factors } = args;
    let given = if higgins_factors.is_empty() { higgins } else { higgins_factors };
    SuiteSettings {
        seed: *seed,
        repeats: *repeats,
        samples: *samples,
        dci: (*dci).into(),
        higgins_factors: given.to_vec(),
    }
}

/// The result for people.
pub fn table(scores: &Scores) -> String {
    let mut text =
        format!("{:<28}{:>8}  {:<18}{:>9}  convention", "score", "value", "95 %", "codes");
    for (name, Score { value, low, high, samples, convention }) in &scores.scores {
        let interval = match low.is_finite() && high.is_finite() {
            true if low == high => "exact".into(),
            true => format!("{low:.3} .. {high:.3}"),
            false => "-".into(),
        };
        let (name, samples) = (name.name(), thousands(*samples));
        text += &format!("\n{name:<28}{value:>8.3}  {interval:<18}{samples:>9}  {convention}");
    }
    text
}

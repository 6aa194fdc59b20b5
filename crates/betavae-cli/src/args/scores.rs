//! Arguments of measurements: loss terms and scores.

use std::path::PathBuf;

use betavae::scores::{DciWith, ScoreName};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::Images;
use super::values::count;

/// Loss terms in nats per image, at z = mean and with noise, and the KL of each latent
#[derive(Args)]
#[command(after_help = "Examples:
  betavae evaluate runs/default-1 --limit 10000
  betavae evaluate runs/default-1 --scores all
  betavae evaluate runs/default-1 --data photos/ --json")]
pub struct Evaluate {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub images: Images,

    /// Only this many images, chosen at random, but always the same
    #[arg(long, value_name = "N", value_parser = count)]
    pub limit: Option<usize>,

    /// Scores of disentanglement, for data with known factors: `all`, or names such as mig,irs
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = scores())]
    pub scores: Vec<ScoreNames>,

    /// A model with another seed, for udr; may be repeated
    #[arg(long = "with", value_name = "MODEL")]
    pub others: Vec<PathBuf>,

    #[command(flatten)]
    pub estimation: Estimation,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Score any representation, from any tool, given the factors
///
/// Codes: a table with a column per latent (.csv, .tsv, .jsonl, .parquet), an .npz file with `mean` and, for
/// mig_chen, `log_var` [N, D], or an .npy file: whatever `encode` writes. Factors: a table with a column per
/// factor of numbers or words, an .npz file with `factors`, `labels` or `y`, or an .npy file: whatever
/// training takes. Rows with names (a column such as `file`) or an index are joined by them, whatever their
/// order; others are taken in their order.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae score --codes codes.npz --factors factors.npz
  betavae score --codes codes.csv --factors factors.csv --metrics mig,irs --json")]
pub struct Score {
    /// Codes [N, D]
    #[arg(long, value_name = "FILE")]
    pub codes: PathBuf,

    /// Factors [N, K]
    #[arg(long, value_name = "FILE")]
    pub factors: PathBuf,

    /// Which scores: `all`, or names such as mig,irs
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "all",
        value_parser = scores()
    )]
    pub metrics: Vec<ScoreNames>,

    /// Codes of the same images by a model with another seed, for udr; may be repeated
    #[arg(long = "with", value_name = "FILE")]
    pub others: Vec<PathBuf>,

    #[command(flatten)]
    pub estimation: Estimation,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// How scores are estimated.
#[derive(Args)]
pub struct Estimation {
    /// Seed of all draws of scores
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub score_seed: u64,

    /// Repeats of a score with other draws, for its interval
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = count)]
    pub repeats: usize,

    /// Codes that one value of a score is computed or learned from, at least 10; fewer are all used
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = samples)]
    pub samples: usize,

    /// What predicts factors for DCI
    #[arg(long, value_name = "LEARNER", value_enum, default_value_t)]
    pub dci: DciLearner,

    /// Factors of beta_vae_higgins, from 0 [default: all, without the shape of a data set]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub higgins_factors: Vec<usize>,
}

/// What predicts factors for DCI.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum DciLearner {
    /// Gradient-boosted trees, as in disentanglement_lib
    #[default]
    Boosting,
    /// A random forest, as in Eastwood and Williams 2018
    Forest,
    /// The lasso, as in Eastwood and Williams 2018
    Lasso,
}

impl From<DciLearner> for DciWith {
    fn from(learner: DciLearner) -> Self {
        match learner {
            DciLearner::Boosting => Self::Boosting,
            DciLearner::Forest => Self::Forest,
            DciLearner::Lasso => Self::Lasso,
        }
    }
}

/// Scores to compute.
#[derive(Clone, Copy)]
pub enum ScoreNames {
    All,
    One(ScoreName),
}

impl ScoreNames {
    /// Each once.
    pub fn wanted(names: &[Self]) -> Vec<ScoreName> {
        let is_wanted = |score: &ScoreName| {
            names.iter().any(|name| match name {
                Self::All => true,
                Self::One(one) => one == score,
            })
        };
        ScoreName::ALL.iter().copied().filter(is_wanted).collect()
    }
}

fn scores() -> impl TypedValueParser<Value = ScoreNames> {
    let all = ScoreName::ALL;
    let names = ["all"].into_iter().chain(all.iter().map(|score| score.name()));
    PossibleValuesParser::new(names).map(move |text| {
        let one = all.iter().copied().find(|score| score.name() == text);
        one.map_or(ScoreNames::All, ScoreNames::One)
    })
}

/// Fewer codes than the smallest downstream size are no sample.
fn samples(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count >= 10).ok_or("expected a number of at least 10".into())
}

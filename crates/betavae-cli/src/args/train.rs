//! Arguments of training, and of studies that train.

use std::path::PathBuf;

use betavae::studies::LEAST_STEPS;
use clap::Args;

/// Train a model
///
/// Without a recipe: dSprites, rendered in memory, the Burgess network, loss H with beta 4.
/// Writes a run folder with checkpoints, metrics.csv, pictures and the resolved configuration.
/// Ctrl-C and the signals of schedulers (TERM, USR1, USR2) save a checkpoint; the exit status is then 75, and the
/// same command with --out and --continue goes on.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae train
  betavae train burgess2018-dsprites --out runs/b1 --seed 3
  betavae train --out runs/beta-8 --continue --set objective.beta=8
  betavae train --set objective.beta=8 --set model.latents=6 --steps 20000
  betavae train --data photos/ --set 'data.size=[64,64]' --set model.architecture=pytorch-vae
  betavae train --data photos/ --set 'data.size=[64,64]' --init model.safetensors")]
pub struct Train {
    /// A built-in recipe (see `betavae recipes`) or a .toml file
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,

    /// Change one key of the recipe, such as objective.beta=8; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Run folder, new or empty [default: runs/<recipe>-<n>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Start the run in DIR, go on with it, or find it done: the same command may be run again
    #[arg(long = "continue", requires = "out")]
    pub go_on: bool,

    /// Optimisation steps; short for --set train.steps=N
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Seed of the run; short for --set seed=S
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// Train on this: a data set name, or a path as for INPUT
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Start from the weights, and with the network, of this model
    #[arg(long, value_name = "MODEL")]
    pub init: Option<PathBuf>,
}

/// Continue a run exactly where its last complete checkpoint stands
#[derive(Args)]
#[command(after_help = "Examples:
  betavae resume runs/default-1
  betavae resume runs/default-1 --steps 50000
  betavae resume runs/photos-1 --data /new/place/photos")]
pub struct Resume {
    /// A run folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// New length of the whole run in steps
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,

    /// Where the images are now, if they have moved; they must be the same
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,
}

/// Find out which beta, gamma and C suit your images, from short runs, and why
///
/// Trains small probes with loss H and rising beta, then with loss B, and prints what it concludes with the
/// commands to go on. Takes the data and the network of a recipe, a run folder, or --data and --set.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae advise
  betavae advise --data photos/ --set 'data.size=[64,64]' --set model.architecture=pytorch-vae
  betavae advise runs/default-1 --steps 10000 --json")]
pub struct Advise {
    /// A built-in recipe, a .toml file, or a run folder [default: the default recipe]
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,

    /// Images: a data set name, or a path as for INPUT
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Change one key of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Optimisation steps of each probe, at least 100; there are about six
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = probe_steps)]
    pub steps: u64,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Repeat the study of Burgess et al. 2018, Fig. 3: which factor a narrow channel tells first
///
/// The encoder is a gain and a noise for each of dSprites' factors. Writes bottleneck.svg, bottleneck.csv and
/// bottleneck.png.
#[derive(Args)]
#[command(after_help = "Example:
  betavae bottleneck --output paper")]
pub struct Bottleneck {
    /// Steps over which C rises from 0.5 to 25 nats
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    pub steps: u64,

    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "bottleneck")]
    pub output: PathBuf,
}

/// The curves of a probe are means over hundredths of its steps.
fn probe_steps(text: &str) -> Result<u64, String> {
    let steps = text.parse().ok().filter(|steps| *steps >= LEAST_STEPS);
    steps.ok_or(format!("expected a number of at least {LEAST_STEPS}"))
}

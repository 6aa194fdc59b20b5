//! Every command, argument and help text: what all commands share is here, the rest in a file for each group
//! of commands.

mod bench;
mod codes;
mod data;
mod export;
mod figures;
mod pictures;
mod scores;
mod sweep;
mod train;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use bench::{Architectures, Bench};
pub use codes::{Decode, Encode};
pub use data::{Data, DataCommand};
pub use export::{Export, ExportFormatArg, ExportLayout, ExportPart, Import, PeerLayoutArg};
pub use figures::{Explore, FigureFormat, Figures, Report, Watch};
pub use pictures::{Reconstruct, Sample, Traverse};
pub use scores::{Estimation, Evaluate, Score, ScoreNames};
pub use sweep::{
    Sweep, SweepCollect, SweepCommand, SweepList, SweepPlace, SweepReport, SweepRun, SweepStatus,
    SweepSubmit,
};
pub use train::{Advise, Bottleneck, Resume, Train};
use values::threads;

/// Train, measure and look at beta-VAEs.
///
/// MODEL is a run folder, one of its checkpoints, or a .safetensors file written by betavae.
/// INPUT is a data set name (see `betavae data list`) or your own images: an .npz, .npy or .h5 file, a folder
/// or archive (.zip, .tar) of image files, WebDataset shards, or Parquet files.
#[derive(Parser)]
#[command(name = "betavae", version, propagate_version = true)]
pub struct Arguments {
    /// Where to take the steps of a training: `cpu`, `gpu`, or a name that `betavae devices` lists
    #[arg(long, global = true, default_value = "cpu", value_name = "DEVICE")]
    pub device: String,

    /// Number of CPU threads [default: one per core]
    #[arg(long, global = true, value_name = "T", value_parser = threads)]
    pub threads: Option<usize>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Train(Train),
    Resume(Resume),
    Sweep(Sweep),
    Encode(Encode),
    Decode(Decode),
    Reconstruct(Reconstruct),
    Sample(Sample),
    Traverse(Traverse),
    Advise(Advise),
    Figures(Figures),
    Report(Report),
    Watch(Watch),
    Explore(Explore),
    Import(Import),
    Export(Export),
    Evaluate(Evaluate),
    Score(Score),
    Data(Data),
    Bench(Bench),
    Bottleneck(Bottleneck),
    Describe(Describe),
    Devices(Devices),
    Recipes(Recipes),
    Completions(Completions),
    Man(Man),
}

/// Images for a model, and what is made of them.
#[derive(Args, Clone)]
pub struct Images {
    /// Images: a data set name, or a path as for INPUT [default: what the model was trained on]
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Change one key of [data], such as data.key=x_test; may be repeated [default: as in the training]
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    pub set: Vec<String>,
}

/// Show the network of a recipe: its parameters, and the launches of a step on a GPU
#[derive(Args)]
#[command(after_help = "Examples:
  betavae describe burgess2018-dsprites
  betavae describe --set model.architecture=pytorch-vae --launches")]
pub struct Describe {
    /// A built-in recipe or a .toml file
    #[arg(value_name = "RECIPE", default_value = "default")]
    pub recipe: String,

    /// Change one key of the recipe, such as model.latents=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// The launches of a step on a GPU, in their order
    #[arg(long)]
    pub launches: bool,
}

/// List what can take the steps of a training: the CPU and the GPUs that have a driver
#[derive(Args)]
#[command(after_help = "Examples:
  betavae devices
  betavae devices --report")]
pub struct Devices {
    /// Everything that is known of each, for the report of a problem
    #[arg(long)]
    pub report: bool,
}

/// List the built-in recipes, or print one
#[derive(Args)]
#[command(after_help = "Examples:
  betavae recipes
  betavae recipes burgess2018-dsprites > mine.toml && betavae train mine.toml")]
pub struct Recipes {
    /// Print this one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Example:
  betavae completions bash > ~/.local/share/bash-completion/completions/betavae")]
pub struct Completions {
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Write manual pages into a folder
#[derive(Args)]
#[command(after_help = "Example:
  betavae man ~/.local/share/man/man1")]
pub struct Man {
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}

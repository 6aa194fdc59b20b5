//! Arguments of sweeps.

use std::path::PathBuf;

use betavae::scores::ScoreName;
use clap::{Args, Subcommand};

use super::values::{count, one_of};

/// Do many runs that one file describes: on this machine, or as job arrays of Slurm
///
/// FILE.toml has a recipe, changes for all runs [set], a list of values per key [grid], single runs [[run]], exclusions
/// [[exclude]], and what to score [scores]. A run's folder is named after its configuration: the same command again
/// goes on where the sweep stands, and a larger grid adds runs to it.
#[derive(Args)]
pub struct Sweep {
    #[command(subcommand)]
    pub command: SweepCommand,
}

#[derive(Subcommand)]
pub enum SweepCommand {
    List(SweepList),
    Run(SweepRun),
    Submit(SweepSubmit),
    Status(SweepStatus),
    Collect(SweepCollect),
    Report(SweepReport),
}

/// Which sweep.
#[derive(Args)]
pub struct SweepPlace {
    /// The sweep
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,

    /// Folder of the runs' folders [default: runs/NAME, with the name in the file]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Print a command for each run
///
/// Every configuration is checked first. The commands may be run in any order, by any scheduler and more than once.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sweep list beta.toml
  betavae sweep list beta.toml | parallel -j 4
  betavae sweep list beta.toml --json | jq '.[].name'")]
pub struct SweepList {
    #[command(flatten)]
    pub place: SweepPlace,

    /// Print a JSON list with name, folder, command and the resolved configuration of each
    #[arg(long)]
    pub json: bool,
}

/// Train, evaluate and score every run that is not done
///
/// Exit status: 0 if all is done, 1 if a run failed, 75 if something is left to do.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sweep run beta.toml
  betavae sweep run beta.toml --jobs 8 --threads 1
  betavae sweep run beta.toml --only h-beta-4-seed-1-0a1b2c3d")]
pub struct SweepRun {
    #[command(flatten)]
    pub place: SweepPlace,

    /// Only this run; may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,

    /// Processes at a time [default: as many as cores over --threads, and as fit into memory]
    #[arg(long, value_name = "J", value_parser = count)]
    pub jobs: Option<usize>,

    /// Also try runs again that have failed
    #[arg(long)]
    pub retry_failed: bool,

    /// Take names of runs from stdin and tell of them on stdout
    #[arg(long, hide = true)]
    pub worker: bool,
}

/// Submit every run that is not done as job arrays of Slurm, and a job that collects them
///
/// A task does several runs, one after the other. Before its time is over it saves and goes into the queue again, alone. What
/// an earlier submission has still to do is left to it.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sweep submit beta.toml --print
  betavae sweep submit beta.toml --partition cpu --time 4:00:00 --throttle 50
  betavae --threads 4 sweep submit beta.toml -- --account=vision --exclude=n7")]
pub struct SweepSubmit {
    #[command(flatten)]
    pub place: SweepPlace,

    /// For Slurm, the scheduler there is
    #[arg(long, default_value_t = true, action = clap::ArgAction::SetTrue)]
    pub slurm: bool,

    /// Print the scripts, and submit nothing
    #[arg(long)]
    pub print: bool,

    /// Partition
    #[arg(long, value_name = "P")]
    pub partition: Option<String>,

    /// Time limit of a task
    #[arg(long, value_name = "TIME", default_value = "1:00:00")]
    pub time: String,

    /// Memory of a task
    #[arg(long, value_name = "SIZE", default_value = "2G")]
    pub mem: String,

    /// Most tasks at a time [default: as many as the cluster gives]
    #[arg(long, value_name = "N", value_parser = count)]
    pub throttle: Option<usize>,

    /// Runs of a task [default: as many as take --task-minutes]
    #[arg(long, value_name = "N", value_parser = count)]
    pub runs_per_task: Option<usize>,

    /// How long a task should be
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0)]
    pub task_minutes: f64,

    /// Seconds before the time limit at which a task saves
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub grace: u64,

    /// How often a task may be put into the queue again
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub restarts: u64,

    /// Also submit runs that have failed
    #[arg(long)]
    pub retry_failed: bool,

    /// Options of sbatch, after `--`
    #[arg(last = true, value_name = "OPTION")]
    pub options: Vec<String>,
}

/// Tell which runs are done, running, waiting, or failed and why
///
/// Exit status: 0 if all is done, 1 if a run failed, 75 if something is left to do.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sweep status beta.toml
  betavae sweep status beta.toml --json")]
pub struct SweepStatus {
    #[command(flatten)]
    pub place: SweepPlace,

    /// A line for every run, not only for those that run or have failed
    #[arg(long)]
    pub all: bool,

    /// Print a JSON list with an object for each run
    #[arg(long)]
    pub json: bool,
}

/// Write a table with a row for every run: its state, settings, terms, scores and times
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sweep collect beta.toml
  betavae sweep collect beta.toml --output beta.parquet")]
pub struct SweepCollect {
    #[command(flatten)]
    pub place: SweepPlace,

    /// Where to write, .csv or .parquet; may be repeated [default: runs.csv and runs.parquet in the sweep's folder]
    #[arg(long, value_name = "FILE")]
    pub output: Vec<PathBuf>,
}

/// Write a page of what the runs come to together: aggregates over seeds, figures, UDR, the best and the median run
///
/// It is made of the runs that are done, at any time. Beside report.html the folder gets summary.csv and summary.parquet, a row
/// for each group of runs that are equal but for their seed, udr.csv, and every figure.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sweep report beta.toml
  betavae sweep report beta.toml --by dci_disentanglement --output paper/
  betavae sweep report beta.toml --json | jq '.groups[] | {label, mig: .quantities.mig.mean}'")]
pub struct SweepReport {
    #[command(flatten)]
    pub place: SweepPlace,

    /// Score by which the best and the median run are chosen [default: mig, or the first there is]
    #[arg(long, value_name = "SCORE", value_parser = one_of(ScoreName::ALL, ScoreName::name))]
    pub by: Option<ScoreName>,

    /// Where to write [default: report, in the sweep's folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Print the report as one JSON object, in place of the names of its files
    #[arg(long)]
    pub json: bool,
}

//! Arguments of figures and pages.

use std::net::IpAddr;
use std::path::PathBuf;

use betavae::figures::FigureName;
use clap::{Args, ValueEnum};

use super::Images;
use super::values::{one_of, positive};

/// Draw the papers' figures: traversals, latent responses, score matrices, curves, comparisons of runs
///
/// Of one MODEL, all that apply: traversal, reconstructions, samples; responses and matrices, where factors
/// are known; terms, kl-training and, with loss B, kl-capacity of a run folder. Of several run folders:
/// rate-distortion and score-beta.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae figures runs/default-1
  betavae figures runs/default-1 --only responses,matrices --format png --output paper/
  betavae figures runs/beta-* --output paper/")]
pub struct Figures {
    /// A model, or several run folders
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<PathBuf>,

    /// Only these [default: all that apply]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = one_of(&FigureName::ALL, FigureName::name)
    )]
    pub only: Vec<FigureName>,

    #[command(flatten)]
    pub images: Images,

    /// Of figures with axes; pictures are always .png
    #[arg(long, default_value = "svg")]
    pub format: FigureFormat,

    /// Where to write [default: figures/ in the run folder, or in the current folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Formats of figures with axes.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum FigureFormat {
    /// Lines and text at any size, for papers and pages
    Svg,
    /// Pixels
    Png,
}

/// Write a report: one HTML file with what was trained, curves, loss terms, scores, figures, provenance
///
/// Several runs come side by side. `betavae train` writes report.html into the run folder when it ends.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae report runs/default-1
  betavae report runs/beta-1 runs/beta-4 runs/beta-16 --output betas.html")]
pub struct Report {
    /// Run folders, finished or not
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,

    /// Where to write [default: report.html, in the run folder if there is one only]
    #[arg(long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
}

/// Watch a run in the browser while it is trained: curves, KL of the latents, the newest pictures
///
/// Serves one page on this machine only, with nothing but this run's curves and pictures.
#[derive(Args)]
#[command(after_help = "Examples:
  betavae watch runs/default-1 --open
  betavae watch runs/default-1 --port 8000")]
pub struct Watch {
    /// A run folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 6007)]
    pub port: u16,

    /// Address to listen on; any but a loopback address lets other machines see the run
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: IpAddr,

    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

/// Move latents by hand: one page for the browser in which the model runs, to keep or to send
#[derive(Args)]
#[command(after_help = "Examples:
  betavae explore runs/default-1
  betavae explore runs/default-1 --output latents.html")]
pub struct Explore {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Where to write [default: explore.html in the run folder, which is then opened]
    #[arg(long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub images: Images,

    /// Sliders go from -RANGE to RANGE standard deviations of the prior
    #[arg(long, value_name = "RANGE", default_value_t = 3.0, value_parser = positive)]
    pub range: f32,
}

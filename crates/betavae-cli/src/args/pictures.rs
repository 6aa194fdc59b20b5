//! Arguments of pictures that a model makes.

use std::path::PathBuf;

use clap::Args;

use super::Images;
use super::values::{count, positive};

/// Show images beside their reconstructions
#[derive(Args)]
#[command(after_help = "Examples:
  betavae reconstruct runs/default-1
  betavae reconstruct runs/default-1 --data photos/ --count 32 --output photos.png")]
pub struct Reconstruct {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub images: Images,

    /// How many images, chosen at random, but always the same
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count)]
    pub count: usize,

    /// Where to write: .png, or .npz (`originals` and `images`) [default: MODEL's figures/ folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Decode random draws from the prior
#[derive(Args)]
#[command(after_help = "Examples:
  betavae sample runs/default-1 --count 64 --seed 3
  betavae sample runs/default-1 --count 1000 --output samples.npz")]
pub struct Sample {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// How many images
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count)]
    pub count: usize,

    /// Seed of the draws
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Where to write: .png, or .npz (`images`) [default: MODEL's figures/ folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Vary one latent at a time; rows ordered by KL and labelled with it
#[derive(Args)]
#[command(after_help = "Examples:
  betavae traverse runs/default-1
  betavae traverse runs/default-1 --output traversal.gif
  betavae traverse runs/default-1 --data dsprites --index 300000 --range 2 --frames 9")]
pub struct Traverse {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Start from the code of an image of this instead of the mean of the prior
    #[arg(long, visible_alias = "input", value_name = "INPUT")]
    pub data: Option<String>,

    /// Change one key of [data], such as data.key=x_test; may be repeated [default: as in the training]
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    pub set: Vec<String>,

    /// Start from the code of this image [default: 0, with --data]
    #[arg(long, value_name = "I")]
    pub index: Option<usize>,

    /// Vary each latent from -RANGE to RANGE standard deviations of the prior
    #[arg(long, value_name = "RANGE", default_value_t = 3.0, value_parser = positive)]
    pub range: f32,

    /// Number of values per latent
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = frames)]
    pub frames: usize,

    /// Where to write: .png, .gif (animated), or .npz (`images`, `values`, `latents`)
    /// [default: MODEL's figures/ folder]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// More frames than this are no picture.
fn frames(text: &str) -> Result<usize, String> {
    let frames = text.parse().ok().filter(|count| (1..=1000).contains(count));
    frames.ok_or("expected a number from 1 to 1000".into())
}

//! Arguments of what goes between images and codes.

use std::path::PathBuf;

use clap::Args;

use super::Images;
use super::values::count;

/// Turn images into codes: `mean` and `log_var` of the posterior, [N, D] float32
#[derive(Args)]
#[command(after_help = "Examples:
  betavae encode runs/default-1 --data photos/ --output codes.npz
  betavae encode runs/default-1 --data dsprites --limit 10000 --output codes.npz")]
pub struct Encode {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    #[command(flatten)]
    pub images: Images,

    /// Where to write: .npz, .csv, .parquet, or .npy for the means alone
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// Only this many images, chosen at random, but always the same
    #[arg(long, value_name = "N", value_parser = count)]
    pub limit: Option<usize>,
}

/// Turn codes into images
#[derive(Args)]
#[command(after_help = "Examples:
  betavae decode runs/default-1 --input codes.npz --output images.npz
  betavae decode runs/default-1 --input codes.npz --output grid.png")]
pub struct Decode {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Codes [N, D] as `encode` writes them, in any of its formats, or from elsewhere
    #[arg(long, visible_alias = "codes", value_name = "FILE")]
    pub input: PathBuf,

    /// Where to write: .npz (`images` [N, H, W, C] float32) or .png
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

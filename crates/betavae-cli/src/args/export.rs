//! Arguments of models for and from other programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Turn a checkpoint of disentangling-vae or PyTorch-VAE into a model of betavae
///
/// Network, image size and latents follow from the tensors' shapes. Nothing in the file is executed. The
/// written model can be evaluated, traversed, explored, exported, and trained further (`train --init`).
#[derive(Args)]
#[command(after_help = "Examples:
  betavae import results/betaB_celeba/model.pt --output model.safetensors
  betavae import logs/last.ckpt --output model.safetensors --set objective.beta=10
  betavae import old.ckpt --set model.image_range=signed --output model.safetensors
  betavae import averaged.ckpt --prefix ema. --output model.safetensors")]
pub struct Import {
    /// A model.pt of disentangling-vae (with its specs.json beside it, if it is there), or a .ckpt or state
    /// dict of PyTorch-VAE; or the tensors of either in a .safetensors file
    #[arg(value_name = "FILE")]
    pub input: PathBuf,

    /// Which program wrote it [default: found out]
    #[arg(long)]
    pub layout: Option<PeerLayoutArg>,

    /// Which copy of the network, by what stands before its tensors' names, where a file holds raw and
    /// averaged weights
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,

    /// Where to write
    #[arg(long, value_name = "FILE.safetensors")]
    pub output: PathBuf,

    /// Say what the file does not, such as objective.beta=10; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Programs whose checkpoints can be read.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum PeerLayoutArg {
    /// The Burgess model of disentangling-vae
    DisentanglingVae,
    /// BetaVAE, VanillaVAE and others of PyTorch-VAE
    PytorchVae,
}

/// Write a model for other programs: PyTorch, ONNX Runtime, or Rust without Burn
#[derive(Args)]
#[command(after_help = "Examples:
  betavae export runs/default-1 --output model.onnx
  betavae export runs/default-1 --output encoder.onnx --part encoder
  betavae export runs/default-1 --output model.safetensors
  betavae export runs/default-1 --output model.pt")]
pub struct Export {
    /// A run folder, one of its checkpoints, or a .safetensors file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Where to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// What to write [default: what the ending of FILE says]
    #[arg(long)]
    pub format: Option<ExportFormatArg>,

    /// Of an ONNX file: which part of the model
    #[arg(long, default_value = "reconstruction")]
    pub part: ExportPart,

    /// Of an ONNX file: order of the axes of images
    #[arg(long, default_value = "nchw")]
    pub layout: ExportLayout,
}

/// Formats of `export`.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ExportFormatArg {
    /// Tensors with PyTorch's names, and the configuration (.safetensors)
    Safetensors,
    /// A graph (.onnx)
    Onnx,
    /// For the crate betavae-web (.bvae)
    Program,
    /// A state dict for disentangling-vae (.pt, .pth)
    DisentanglingVae,
    /// A state dict for PyTorch-VAE (.pt, .pth)
    PytorchVae,
}

/// Parts of a model.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ExportPart {
    /// image -> mean, log_var
    Encoder,
    /// z -> image
    Decoder,
    /// image -> reconstruction, mean, log_var
    Reconstruction,
}

/// Orders of axes.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum ExportLayout {
    /// [N, C, H, W]
    Nchw,
    /// [N, H, W, C]
    Nhwc,
}

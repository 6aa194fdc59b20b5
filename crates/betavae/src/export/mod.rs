//! Trained models for other programs.
//!
//! | format | for |
//! | --- | --- |
//! | safetensors | betavae itself, and PyTorch: tensors with PyTorch's names and layouts, the configuration beside them |
//! | onnx | ONNX Runtime and everything else that reads ONNX, in other languages and in browsers |
//! | state dict | the peers whose networks exist here: `torch.load` reads it |
//! | program | the crate `betavae-infer`: encoding and decoding in Rust or WASM without a tensor library |

mod onnx;
mod proto;

pub use onnx::OnnxGraph;

use std::path::Path;

use crate::checkpoint::{self, Trained};
use crate::data::Layout;
use crate::error::Result;
use crate::files::write_atomically;
use crate::torch::{self, PeerLayout};

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A self-describing `.safetensors` file.
    Safetensors,
    /// An ONNX graph.
    Onnx(OnnxGraph, Layout),
    /// A [`betavae_infer::Program`].
    Program,
    /// A state dict of a peer, as `torch.save` writes it.
    StateDict(PeerLayout),
}

/// Writes a model to a file, completely or not at all.
///
/// # Errors
/// If the format cannot hold such a network, or the disk fails.
pub fn export(trained: &Trained, format: ExportFormat, path: &Path) -> Result<()> {
    let bytes = match format {
        ExportFormat::Safetensors => checkpoint::model_bytes(&trained.model, &trained.description)?,
        ExportFormat::Onnx(part, layout) => {
            let description = trained.description.to_toml();
            let properties = [("betavae", description.as_str()), ("image_range", "0..1")];
            onnx::onnx(&trained.model.to_program(), part, layout, &properties)?
        }
        ExportFormat::StateDict(layout) => torch::state_dict(trained, layout)?,
        ExportFormat::Program => trained.model.to_program().to_bytes(),
    };
    write_atomically(path, &bytes)
}

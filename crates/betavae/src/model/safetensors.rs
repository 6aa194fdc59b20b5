//! Safetensors files: named tensors in and out, and what a file says about them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::floats::Float;
use super::peers::PeerLayout;
use super::weights::NamedTensor;
use crate::error::{Error, IoContext, Result};
use crate::files::{describe_content, replacement_hint};
use crate::words::quoted;

/// The one metadata key of our safetensors files. One, because the format's metadata is an unordered
/// map and equal content should give equal bytes.
const METADATA_KEY: &str = "betavae";

/// A safetensors file in memory, with `metadata` (TOML) under the key `betavae`.
pub(crate) fn to_safetensors(tensors: &[NamedTensor], metadata: &str) -> Result<Vec<u8>> {
    let view = |tensor: &'_ NamedTensor| -> Result<(String, Vec<usize>, Vec<u8>)> {
        let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok((tensor.name.clone(), tensor.shape.clone(), bytes))
    };
    let buffers = tensors.iter().map(view).collect::<Result<Vec<_>>>()?;
    let views = buffers.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.unwrap_or_else(|error| unreachable!("shape and length agree: {error}")))
    });
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata.to_owned())]);
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::config(format!("cannot write safetensors: {error}"), ""))
}

/// All tensors of a safetensors file, sorted by name.
pub(crate) fn read_safetensors(path: &Path) -> Result<Vec<NamedTensor>> {
    Parsed::new(path, &fs::read(path).context("read", path)?)?.tensors()
}

/// A safetensors file whose header was read and whose values were not yet.
pub(crate) struct Parsed<'a> {
    path: &'a Path,
    /// Sorted by name, so that messages are the same in every run.
    views: Vec<(String, TensorView<'a>)>,
    description: Option<String>,
}

impl<'a> Parsed<'a> {
    /// Reads the header of `content`; `path` is for messages.
    ///
    /// # Errors
    /// If it is no safetensors file.
    pub(crate) fn new(path: &'a Path, content: &'a [u8]) -> Result<Self> {
        let bad = |error| not_safetensors(path, content, error);
        let (_, header) = SafeTensors::read_metadata(content).map_err(bad)?;
        let description = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY).cloned());
        let mut views = SafeTensors::deserialize(content).map_err(bad)?.tensors();
        views.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { path, views, description })
    }

    /// What one of our files says about itself.
    ///
    /// # Errors
    /// If it is not one of ours, with the command that makes one of it.
    pub(crate) fn description(&self) -> Result<&str> {
        if let Some(description) = &self.description {
            return Ok(description);
        }
        let file = quoted(self.path);
        let names = || self.views.iter().map(|(name, _)| name.as_str());
        let (reason, hint) = match PeerLayout::find(names) {
            Some((layout, _)) => (
                format!("these are {}'s tensors, not a model of betavae", layout.name()),
                format!(
                    "turn them into a model with `betavae import {file} --output model.safetensors`"
                ),
            ),
            None if names().any(|name| name == "encoder.mean.weight") => (
                "the file does not say which network its tensors belong to".to_owned(),
                "its metadata is lost: save_file(tensors, path, metadata=...) with that of the file \
                 they were read from keeps it"
                    .to_owned(),
            ),
            None => (
                "the file does not say which network its tensors belong to".to_owned(),
                "MODEL is a run folder, one of its checkpoints, or a .safetensors file of betavae"
                    .to_owned(),
            ),
        };
        Err(Error::file_hint(self.path, reason, hint))
    }

    /// Whether the file is one of ours.
    #[cfg(any(test, feature = "export"))]
    pub(crate) fn is_ours(&self) -> bool {
        self.description.is_some()
    }

    /// The tensors' names, sorted.
    #[cfg(any(test, feature = "export"))]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.views.iter().map(|(name, _)| name.as_str())
    }

    /// All tensors, sorted by name.
    ///
    /// # Errors
    /// If one does not hold floating-point values, or one too large for f32.
    pub(crate) fn tensors(&self) -> Result<Vec<NamedTensor>> {
        self.views.iter().map(|(name, view)| self.read(name, view)).collect()
    }

    /// The tensors of these names, in the same order. Counters (single integers) are left out.
    ///
    /// # Errors
    /// As [`Parsed::tensors`].
    #[cfg(any(test, feature = "export"))]
    pub(crate) fn chosen(&self, names: &[String]) -> Result<Vec<NamedTensor>> {
        let chosen = self.views.iter().filter(|(name, view)| {
            let counter = view.shape().is_empty() && float(view.dtype()).is_none();
            !counter && names.contains(name)
        });
        chosen.map(|(name, view)| self.read(name, view)).collect()
    }

    fn read(&self, name: &str, view: &TensorView<'_>) -> Result<NamedTensor> {
        let float = float(view.dtype()).ok_or_else(|| {
            let found = view.dtype();
            let reason = format!("tensor {name}: expected floating-point values, found {found:?}");
            Error::file_hint(self.path, reason, "convert it to F32, F16, BF16 or F64")
        })?;
        let values = float.values(view.data()).ok_or_else(|| too_large(self.path, name))?;
        Ok(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values })
    }
}

/// The error for a value that only f64 can hold.
pub(crate) fn too_large(path: &Path, name: &str) -> Error {
    let reason = format!("tensor {name}: expected values that fit into f32, found a larger one");
    Error::file_hint(path, reason, "the training of this model diverged")
}

fn float(dtype: Dtype) -> Option<Float> {
    match dtype {
        Dtype::F16 => Some(Float::F16),
        Dtype::BF16 => Some(Float::Bf16),
        Dtype::F32 => Some(Float::F32),
        Dtype::F64 => Some(Float::F64),
        _ => None,
    }
}

/// What is there in place of a safetensors file, and how to get from that to a model.
fn not_safetensors(path: &Path, content: &[u8], error: SafeTensorError) -> Error {
    let Some(kind) = describe_content(content).filter(|kind| !kind.contains("safetensors")) else {
        let reason = match error {
            // Which of those that share a place is named would differ from run to run.
            SafeTensorError::InvalidOffset(_) => {
                "its tensors do not lie one after the other".into()
            }
            error => error.to_string(),
        };
        return Error::file_hint(
            path,
            format!("not a valid safetensors file: {reason}"),
            "the file is damaged or was not completely written",
        );
    };
    let hint = match kind {
        _ if let Some(hint) = replacement_hint(content) => hint.to_owned(),
        "a PyTorch checkpoint" | "a pickle of Python" | "a zip archive" | "a tar archive" => format!(
            "weights of disentangling-vae or PyTorch-VAE become a model with `betavae import {} --output \
             model.safetensors`",
            quoted(path)
        ),
        "an ONNX model" | "a betavae program" => {
            "such files are for other programs: use the run folder or the .safetensors file that it was \
             exported from"
                .to_owned()
        }
        _ => "MODEL is a run folder, one of its checkpoints, or a .safetensors file".to_owned(),
    };
    Error::file_hint(path, format!("this is {kind}, not a safetensors file"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tensors: &[(&str, Dtype, &[u8])], ours: bool) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let length = bytes.len() * 8 / dtype.bitsize();
            (*name, TensorView::new(*dtype, vec![length], bytes).unwrap())
        });
        let metadata = ours.then(|| HashMap::from([(METADATA_KEY.to_owned(), "x".to_owned())]));
        safetensors::serialize(views, metadata).unwrap()
    }

    fn refused(content: &[u8]) -> String {
        let parsed = Parsed::new(Path::new("my model.x"), content);
        let error = parsed.and_then(|parsed| {
            parsed.description()?;
            parsed.tensors()
        });
        let error = error.unwrap_err();
        format!("{error} ({})", error.hint().unwrap_or_default())
    }

    #[test]
    fn half_and_double_precision_are_read() {
        let one = [
            ("a", Dtype::F16, &[0_u8, 0x3c][..]),
            ("b", Dtype::BF16, &[0x80, 0x3f]),
            ("c", Dtype::F64, &1.0_f64.to_le_bytes()),
            ("d", Dtype::F32, &1.0_f32.to_le_bytes()),
        ];
        let content = file(&one, true);
        let parsed = Parsed::new(Path::new("x"), &content).unwrap();
        assert_eq!(parsed.description().unwrap(), "x");
        for tensor in parsed.tensors().unwrap() {
            assert_eq!(tensor.values, [1.0], "{}", tensor.name);
        }
    }

    #[test]
    fn the_first_wrong_tensor_by_name_is_named_in_every_run() {
        let names: Vec<String> = (0..20).map(|i| format!("t{i:02}")).collect();
        let wrong: Vec<_> =
            names.iter().map(|name| (name.as_str(), Dtype::I64, &[0_u8; 8][..])).collect();
        for _ in 0..8 {
            let said = refused(&file(&wrong, true));
            assert!(
                said.contains("tensor t00: expected floating-point values, found I64"),
                "{said}"
            );
        }
        let said = refused(&file(&[("w", Dtype::F64, &1e300_f64.to_le_bytes())], true));
        assert!(said.contains("tensor w: expected values that fit into f32"), "{said}");
    }

    #[test]
    fn other_files_are_named_with_the_way_to_a_model() {
        let weight = [("net.encoder.0.0.weight", Dtype::F32, &[0_u8; 4][..])];
        let said = refused(&file(&weight, false));
        assert!(said.contains("these are pytorch-vae's tensors"), "{said}");
        let command = "`betavae import 'my model.x' --output model.safetensors`";
        assert!(said.contains(command), "{said}");
        let said = refused(&file(&[("encoder.mean.weight", Dtype::F32, &[0; 4])], false));
        assert!(said.contains("metadata is lost"), "{said}");
        for (content, words) in [
            (&b"\x08\x08\x12\x07pytorch"[..], ["an ONNX model", "exported from"]),
            (b"version https://git-lfs.github.com/spec/v1\n", ["Git LFS", "git lfs pull"]),
            (b"<!doctype html>", ["HTML", "download it again"]),
            (b"", ["empty", "again"]),
            (b"\x80\x02}.", ["pickle", "betavae import"]),
            (b"nonsense", ["this is text", "run folder"]),
            (&[0, 1, 2], ["not a valid safetensors file", "damaged"]),
        ] {
            let said = refused(content);
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}

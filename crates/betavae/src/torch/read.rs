//! Tensors by name from a file of `torch.save`.
//!
//! The crate `pytorch-reader` interprets the pickle; here its answers are checked against the size of the
//! file, and what is not a tensor is refused by name.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn::tensor::{bf16, f16};
use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};

use super::PeerLayout;
use crate::error::{Error, IoContext, Result};
use crate::model::NamedTensor;

/// A file whose pickle was read and whose tensors were not yet.
pub(super) struct File {
    path: PathBuf,
    bytes: u64,
    tensors: BTreeMap<String, Tensor>,
    root: PickleValue,
}

/// Reads the pickle of a file in the zip, legacy or tar format.
pub(super) fn open(path: &Path) -> Result<File> {
    let file = fs::metadata(path).context("read", path)?;
    if !file.is_file() {
        let hint = "name the checkpoint in it, such as model.pt or last.ckpt";
        return Err(Error::file_hint(path, "this is a folder, not a checkpoint", hint));
    }
    let (reader, root) = guarded(path, || {
        let reader = PytorchReader::new(path)?;
        Ok((reader, PytorchReader::read_pickle_data(path, None)?))
    })?;
    let tensors = reader.into_tensors().into_iter().collect();
    Ok(File { path: path.to_owned(), bytes: file.len(), tensors, root })
}

impl File {
    /// The layout whose tensors are in the file, and what stands before their names.
    pub(super) fn detect(&self) -> Result<(PeerLayout, String)> {
        let found = PeerLayout::ALL
            .iter()
            .find_map(|layout| Some((*layout, self.prefix_of(layout.marker()).ok()?)));
        found.ok_or_else(|| {
            let names: Vec<&str> = self.tensors.keys().take(4).map(String::as_str).collect();
            let names = if names.is_empty() { "no tensors".into() } else { names.join(", ") + "..." };
            self.error(
                format!("these are not the weights of a known network; found {names}"),
                "disentangling-vae's Burgess model and PyTorch-VAE's models of the layout of BetaVAE can be \
                 imported",
            )
        })
    }

    /// What stands before the name `marker` in the file: `state_dict.model.` in a Lightning checkpoint,
    /// nothing in a plain state dict.
    pub(super) fn prefix_of(&self, marker: &str) -> Result<String> {
        let mut prefixes = self.tensors.keys().filter_map(|name| name.strip_suffix(marker));
        let prefixes =
            prefixes.by_ref().filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
        match prefixes.collect::<Vec<_>>().as_slice() {
            [prefix] => Ok((*prefix).to_owned()),
            [] => Err(self.error(
                format!("there is no tensor {marker}{}", self.objects("")),
                "was it written by another program, or is it of another network?",
            )),
            several => {
                let several = several.join(", ");
                Err(self.error(format!("there is more than one model in it: {several}"), ""))
            }
        }
    }

    /// All tensors whose names begin with `prefix`, without it.
    pub(super) fn tensors(&self, prefix: &str) -> Result<BTreeMap<String, NamedTensor>> {
        if let Some((name, kind)) = self.foreign(prefix).first() {
            return Err(self.error(
                format!("{name} is a Python object of type {kind}, not a tensor"),
                "only tensors are read from such files, and nothing in them is executed",
            ));
        }
        let chosen = || self.tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        // Views can claim more elements than the file has bytes.
        let claimed = chosen().try_fold(0_u64, |sum, (_, tensor)| {
            let elements =
                tensor.shape().iter().try_fold(1_u64, |all, n| all.checked_mul(*n as u64));
            sum.checked_add(elements?.checked_mul(tensor.dtype().size() as u64)?)
        });
        if claimed.is_none_or(|claimed| claimed > self.bytes) {
            let (name, found) = ("its tensors", self.bytes);
            let claimed = claimed.map_or("more".into(), |claimed| claimed.to_string());
            return Err(
                self.error(format!("{name} claim {claimed} bytes, the file has {found}"), "")
            );
        }
        let read = |(name, tensor): (&String, &Tensor)| {
            let name = name[prefix.len()..].to_owned();
            let bytes = guarded(&self.path, || tensor.read().map_err(Into::into))?;
            let (shape, values) = (tensor.shape().to_vec(), to_f32(tensor.dtype(), &bytes));
            Ok((name.clone(), NamedTensor { name, shape, values }))
        };
        chosen().map(read).collect()
    }

    /// The objects under `prefix` that are neither tensors nor plain values, with their Python types.
    fn foreign(&self, prefix: &str) -> Vec<(String, String)> {
        fn walk(value: &PickleValue, path: &str, found: &mut Vec<(String, String)>) {
            match value {
                PickleValue::Dict(entries) => {
                    for (key, value) in entries {
                        walk(value, &format!("{path}.{key}"), found);
                    }
                }
                PickleValue::Unsupported(kind) if kind != "torch.Tensor" => {
                    found.push((path.trim_start_matches('.').to_owned(), kind.clone()));
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        walk(&self.root, "", &mut found);
        found.retain(|(name, _)| name.starts_with(prefix));
        found.sort();
        found
    }

    /// For messages: what else is in the file.
    fn objects(&self, prefix: &str) -> String {
        match self.foreign(prefix).first() {
            Some((name, kind)) => format!(", but {name} is a Python object of type {kind}"),
            None => String::new(),
        }
    }

    fn error(&self, reason: impl Into<String>, hint: &str) -> Error {
        Error::file_hint(&self.path, reason, hint)
    }
}

/// Calls the reader, whose errors are about the file, as would be a panic.
fn guarded<T>(
    path: &Path,
    read: impl FnOnce() -> std::result::Result<T, pytorch_reader::PytorchError>,
) -> Result<T> {
    let hint = "expected a file written by torch.save: model.pt, a .ckpt or a .pth";
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::file_hint(path, format!("cannot be read: {error}"), hint)),
        Err(_) => Err(Error::file_hint(path, "cannot be read: it is damaged", hint)),
    }
}

/// Values of any type as f32.
fn to_f32(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    macro_rules! values {
        ($from:ty, $to:expr) => {
            bytes.as_chunks().0.iter().map(|b| $to(<$from>::from_ne_bytes(*b))).collect()
        };
    }
    match dtype {
        DType::F64 => values!(f64, |v| v as f32),
        DType::F32 => values!(f32, |v| v),
        DType::F16 => values!(f16, f16::to_f32),
        DType::BF16 => values!(bf16, bf16::to_f32),
        DType::I64 => values!(i64, |v| v as f32),
        DType::I32 => values!(i32, |v| v as f32),
        DType::I16 => values!(i16, f32::from),
        DType::I8 => values!(i8, f32::from),
        DType::U64 => values!(u64, |v| v as f32),
        DType::U32 => values!(u32, |v| v as f32),
        DType::U16 => values!(u16, f32::from),
        DType::U8 | DType::Bool => values!(u8, f32::from),
    }
}

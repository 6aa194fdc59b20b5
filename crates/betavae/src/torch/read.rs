//! Tensors by name from a file of `torch.save`, or from safetensors of another program.
//!
//! The crate `pytorch-reader` interprets the pickle; here its answers are checked against the size of the
//! file, and what is not a tensor is refused by name.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};

use super::PeerLayout;
use crate::error::{Error, IoContext, Result};
use crate::files::{describe_content, first_bytes, replacement_hint};
use crate::model::NamedTensor;
use crate::model::floats::Float;
use crate::model::peers::name_within;
use crate::model::safetensors::{Parsed, too_large};
use crate::words::quoted;

/// A file whose structure was read and whose tensors were not yet.
pub(super) struct CheckpointFile {
    path: PathBuf,
    content: CheckpointContent,
}

enum CheckpointContent {
    /// Of `torch.save`.
    Pickle { bytes: u64, tensors: BTreeMap<String, Tensor>, root: PickleValue },
    /// The whole file.
    Safetensors(Vec<u8>),
}

/// One copy of a network in a file.
pub(super) struct NetworkCopy {
    pub(super) layout: PeerLayout,
    prefix: String,
    /// The prefixes of all copies.
    copies: Vec<String>,
}

/// Reads the structure of a file: zip, legacy or tar format of `torch.save`, or safetensors.
pub(super) fn open(path: &Path) -> Result<CheckpointFile> {
    let file = fs::metadata(path).context("read", path)?;
    if !file.is_file() {
        let hint = "name the checkpoint in it, such as model.pt or last.ckpt";
        return Err(Error::file_hint(path, "this is a folder, not a checkpoint", hint));
    }
    let head = first_bytes(path)?;
    let kind = describe_content(&head);
    let content = match kind {
        Some("a safetensors file") => {
            let content = fs::read(path).context("read", path)?;
            if Parsed::new(path, &content)?.is_ours() {
                let evaluate = format!("betavae evaluate {}", quoted(path));
                return Err(Error::file_hint(
                    path,
                    "this is a model of betavae already",
                    format!("use it wherever MODEL is asked for: `{evaluate}`"),
                ));
            }
            CheckpointContent::Safetensors(content)
        }
        None
        | Some("a PyTorch checkpoint" | "a zip archive" | "a tar archive" | "a pickle of Python") =>
        {
            let (reader, root) = guarded(path, || {
                let reader = PytorchReader::new(path)?;
                Ok((reader, PytorchReader::read_pickle_data(path, None)?))
            })?;
            let tensors = reader.into_tensors().into_iter().collect();
            CheckpointContent::Pickle { bytes: file.len(), tensors, root }
        }
        Some(kind) => {
            return Err(Error::file_hint(
                path,
                format!("this is {kind}, not a checkpoint"),
                replacement_hint(&head).unwrap_or(EXPECTED),
            ));
        }
    };
    Ok(CheckpointFile { path: path.to_owned(), content })
}

impl CheckpointFile {
    /// The copy of a network of `layout`, or of the one whose tensors are in the file; where there are
    /// several, the one below `prefix`.
    pub(super) fn find(
        &self,
        layout: Option<PeerLayout>,
        prefix: Option<&str>,
    ) -> Result<NetworkCopy> {
        let names = self.names();
        let each = || names.iter().map(String::as_str);
        let (layout, copies) = match layout {
            Some(layout) => (layout, layout.prefixes(each())),
            None => PeerLayout::find(each).ok_or_else(|| self.unknown(&names))?,
        };
        if copies.is_empty() {
            return Err(self.error(
                format!("there is no tensor {}{}", layout.marker(), self.objects()),
                "was it written by another program, or is it of another network?",
            ));
        }
        let prefix = self.choose(layout, &copies, prefix)?;
        Ok(NetworkCopy { layout, prefix, copies })
    }

    fn unknown(&self, names: &[String]) -> Error {
        let found = match names {
            [] => "no tensors".to_owned(),
            names => {
                names.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ") + "..."
            }
        };
        self.error(
            format!("these are not the weights of a known network; found {found}"),
            "disentangling-vae's Burgess model and PyTorch-VAE's models of the layout of BetaVAE can be \
             imported",
        )
    }

    /// The prefix that `wanted` means, or the only one.
    fn choose(
        &self,
        layout: PeerLayout,
        copies: &[String],
        wanted: Option<&str>,
    ) -> Result<String> {
        let below = |prefix: &String| match prefix.as_str() {
            "" => "the top".to_owned(),
            prefix => format!("`{prefix}`"),
        };
        let listed = copies.iter().map(below).collect::<Vec<_>>().join(" and ");
        let options: Vec<String> = copies
            .iter()
            .map(|prefix| match prefix.as_str() {
                "" => "`--prefix ''`".to_owned(),
                prefix => format!("`--prefix {}`", quoted(prefix)),
            })
            .collect();
        let hint = format!("choose one with {}", options.join(" or "));
        let Some(wanted) = wanted else {
            return match copies {
                [only] => Ok(only.clone()),
                [first, ..] if self.are_equal(layout, copies)? => Ok(first.clone()),
                several => {
                    let times = match several.len() {
                        2 => "twice".to_owned(),
                        count => format!("{count} times"),
                    };
                    Err(self.error(format!("the network is there {times}: below {listed}"), &hint))
                }
            };
        };
        let wanted = wanted.trim_end_matches('.');
        let exact = copies.iter().find(|prefix| prefix.trim_end_matches('.') == wanted);
        // `ema` for `state_dict.ema.module.`.
        let part = format!(".{wanted}.");
        let mut parts = copies
            .iter()
            .filter(|prefix| !wanted.is_empty() && format!(".{prefix}").contains(&part));
        match (exact, parts.next(), parts.next()) {
            (Some(prefix), ..) | (None, Some(prefix), None) => Ok(prefix.clone()),
            (None, None, _) => Err(self.error(
                format!("there is no network below `{wanted}.`, but below {listed}"),
                &hint,
            )),
            _ => Err(self.error(format!("`{wanted}` may mean several of {listed}"), &hint)),
        }
    }

    /// Whether all copies have the same values, as where one of them is a compiled one.
    fn are_equal(&self, layout: PeerLayout, copies: &[String]) -> Result<bool> {
        let tensors = |prefix: &String| {
            let copy = NetworkCopy { layout, prefix: prefix.clone(), copies: copies.to_vec() };
            self.tensors(&copy)
        };
        let first = tensors(&copies[0])?;
        for other in &copies[1..] {
            if tensors(other)? != first {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The names of all tensors, sorted.
    fn names(&self) -> Vec<String> {
        match &self.content {
            CheckpointContent::Pickle { tensors, .. } => tensors.keys().cloned().collect(),
            CheckpointContent::Safetensors(content) => Parsed::new(&self.path, content)
                .map(|parsed| parsed.names().map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }

    /// All tensors of a copy by their names in the network. Counters (single integers) are left out.
    pub(super) fn tensors(&self, copy: &NetworkCopy) -> Result<BTreeMap<String, NamedTensor>> {
        let NetworkCopy { prefix, copies, .. } = copy;
        let mut names = self.names();
        names.retain(|name| name_within(name, prefix, copies).is_some());
        let tensors = match &self.content {
            CheckpointContent::Safetensors(content) => {
                Parsed::new(&self.path, content)?.chosen(&names)?
            }
            CheckpointContent::Pickle { bytes, tensors, .. } => {
                self.refuse_objects(prefix)?;
                let chosen = names.iter().filter_map(|name| Some((name, tensors.get(name)?)));
                self.read(chosen.collect(), *bytes)?
            }
        };
        let mut found = BTreeMap::new();
        for tensor in tensors {
            let Some(name) = name_within(&tensor.name, prefix, copies) else { continue };
            let twice = found.insert(name.clone(), NamedTensor { name: name.clone(), ..tensor });
            if twice.is_some() {
                return Err(self.error(format!("{name} is there twice below `{prefix}`"), ""));
            }
        }
        Ok(found)
    }

    /// Reads tensors of a pickle in a file of this length.
    fn read(&self, chosen: Vec<(&String, &Tensor)>, length: u64) -> Result<Vec<NamedTensor>> {
        // Views can claim more elements than the file has bytes.
        let claimed = chosen.iter().try_fold(0_u64, |sum, (_, tensor)| {
            let elements =
                tensor.shape().iter().try_fold(1_u64, |all, n| all.checked_mul(*n as u64));
            sum.checked_add(elements?.checked_mul(tensor.dtype().size() as u64)?)
        });
        if claimed.is_none_or(|claimed| claimed > length) {
            let claimed = claimed.map_or("more".into(), |claimed| claimed.to_string());
            let reason = format!("its tensors claim {claimed} bytes, the file has {length}");
            return Err(self.error(reason, ""));
        }
        let mut tensors = Vec::new();
        for (name, tensor) in chosen {
            let shape = tensor.shape().to_vec();
            let Some(float) = float(tensor.dtype()) else {
                if shape.is_empty() {
                    continue;
                }
                let found = tensor.dtype();
                return Err(self.error(
                    format!("tensor {name}: expected floating-point values, found {found:?}"),
                    "quantised weights are not read",
                ));
            };
            let bytes = guarded(&self.path, || tensor.read().map_err(Into::into))?;
            let values = float.values(&bytes).ok_or_else(|| too_large(&self.path, name))?;
            tensors.push(NamedTensor { name: name.clone(), shape, values });
        }
        Ok(tensors)
    }

    fn refuse_objects(&self, prefix: &str) -> Result<()> {
        match self.foreign(prefix).first() {
            None => Ok(()),
            Some((name, kind)) => Err(self.error(
                format!("{name} is a Python object of type {kind}, not a tensor"),
                "only tensors are read from such files, and nothing in them is executed",
            )),
        }
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
        if let CheckpointContent::Pickle { root, .. } = &self.content {
            walk(root, "", &mut found);
        }
        found.retain(|(name, _)| name.starts_with(prefix));
        found.sort();
        found
    }

    /// For messages: what else is in the file.
    fn objects(&self) -> String {
        match self.foreign("").first() {
            Some((name, kind)) => format!(", but {name} is a Python object of type {kind}"),
            None => String::new(),
        }
    }

    fn error(&self, reason: impl Into<String>, hint: &str) -> Error {
        Error::file_hint(&self.path, reason, hint)
    }
}

const EXPECTED: &str = "expected a file written by torch.save (model.pt, a .ckpt or a .pth), or \
                        safetensors of another program";

/// Calls the reader, whose errors are about the file, as would be a panic.
fn guarded<T>(
    path: &Path,
    read: impl FnOnce() -> std::result::Result<T, pytorch_reader::PytorchError>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::file_hint(path, format!("cannot be read: {error}"), EXPECTED)),
        Err(_) => Err(Error::file_hint(path, "cannot be read: it is damaged", EXPECTED)),
    }
}

fn float(dtype: DType) -> Option<Float> {
    match dtype {
        DType::F16 => Some(Float::F16),
        DType::BF16 => Some(Float::Bf16),
        DType::F32 => Some(Float::F32),
        DType::F64 => Some(Float::F64),
        _ => None,
    }
}

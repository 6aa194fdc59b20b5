//! Files that are either there completely or not at all, and tensors in them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::data::hex;
use crate::error::{Error, IoContext, Result};
use crate::model::NamedTensor;

/// Writes a file under a temporary name in the same folder, syncs it and renames it, so that no
/// reader ever sees half of it and an error leaves the old content.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder).context("write", path)?;
    file.write_all(content).context("write", path)?;
    file.as_file().sync_all().context("write", path)?;
    make_readable(file.as_file()).context("write", path)?;
    file.persist(path).map_err(|error| error.error).context("write", path)?;
    sync_folder(folder)
}

/// Writes and syncs a new file in a folder that nobody reads yet.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create(path).context("write", path)?;
    file.write_all(content).context("write", path)?;
    file.sync_all().context("write", path)
}

/// Makes a rename or a new file in `folder` survive a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    File::open(folder).and_then(|file| file.sync_all()).context("sync", folder)?;
    let _ = folder;
    Ok(())
}

/// Temporary files are private to their owner; results have the usual permissions.
fn make_readable(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}

/// SHA-256 of a buffer in hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

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

/// The tensors of a safetensors file and its metadata, if it is one of ours.
pub(crate) fn read_safetensors(path: &Path) -> Result<(Vec<NamedTensor>, Option<String>)> {
    let content = fs::read(path).context("read", path)?;
    parse_safetensors(path, &content)
}

/// As [`read_safetensors`], from memory; `path` is for messages.
pub(crate) fn parse_safetensors(
    path: &Path,
    content: &[u8],
) -> Result<(Vec<NamedTensor>, Option<String>)> {
    let bad = |error| {
        Error::file_hint(
            path,
            format!("not a valid safetensors file: {error}"),
            "the file is damaged or was not completely written",
        )
    };
    let (_, header) = SafeTensors::read_metadata(content).map_err(bad)?;
    let file = SafeTensors::deserialize(content).map_err(bad)?;
    let metadata = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY).cloned());
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::file(
                path,
                format!("tensor {name}: expected F32, found {:?}", view.dtype()),
            ));
        }
        let (values, _) = view.data().as_chunks::<4>();
        tensors.push(NamedTensor {
            name: name.to_owned(),
            shape: view.shape().to_vec(),
            values: values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        });
    }
    Ok((tensors, metadata))
}

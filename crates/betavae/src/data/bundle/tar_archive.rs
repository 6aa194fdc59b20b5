//! Listing of tar archives, which must be read from their start.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::super::cache;
use super::{COPY_AGAIN, MAX_FILE};
use crate::error::{Error, IoContext, Result};

/// Bytes that a gzipped archive may unpack to.
const MAX_UNPACKED: u64 = 1 << 38;

/// Bytes of a gzipped archive that may go where other temporary files are.
const SMALL: u64 = 1 << 24;

/// Longest name.
const MAX_NAME: u64 = 4096;

/// Takes name, offset and size of a file.
type Push<'a> = &'a mut dyn FnMut(PathBuf, u64, u64) -> Result<()>;

/// Finds the wanted files of an archive.
pub(super) fn list(
    path: &Path,
    file: &mut File,
    wanted: &dyn Fn(&Path) -> bool,
    push: Push<'_>,
) -> Result<()> {
    let bytes = file.metadata().context("read", path)?.len();
    let mut archive = tar::Archive::new(file);
    let mut names = EntryNames::default();
    // Raw entries: the library would believe any length of a long name.
    for entry in archive.entries_with_seek().map_err(|error| broken(path, &error))?.raw(true) {
        let mut entry = entry.map_err(|error| broken(path, &error))?;
        let Some(name) = names.of(&mut entry).map_err(|error| broken(path, &error))? else {
            continue;
        };
        let (at, size) = (entry.raw_file_position(), entry.size());
        if at.checked_add(size).is_none_or(|end| end > bytes) {
            return Err(cut_off(path, &name));
        }
        if wanted(&name) {
            push(name, at, size)?;
        }
    }
    Ok(())
}

/// Copies what is wanted from a gzipped archive to a nameless temporary file, since there is no other
/// way to read its files in any order.
pub(super) fn unpack(
    path: &Path,
    file: File,
    wanted: &dyn Fn(&Path) -> bool,
    push: Push<'_>,
) -> Result<File> {
    // Not where temporary files usually are, which may be memory.
    let mut copy = match cache::folder().and_then(|folder| {
        cache::create_folder(&folder)?;
        tempfile::tempfile_in(&folder).context("create", &folder)
    }) {
        Ok(copy) => copy,
        // A small archive needs no room of its own.
        Err(_) if file.metadata().is_ok_and(|metadata| metadata.len() < SMALL) => {
            tempfile::tempfile().context("create", std::env::temp_dir())?
        }
        Err(error) => return Err(error),
    };
    let unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)).take(MAX_UNPACKED);
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 16, unpacked));
    let mut names = EntryNames::default();
    let mut at = 0;
    for entry in archive.entries().map_err(|error| broken(path, &error))?.raw(true) {
        let mut entry = entry.map_err(|error| broken(path, &error))?;
        let Some(name) = names.of(&mut entry).map_err(|error| broken(path, &error))? else {
            continue;
        };
        if !wanted(&name) {
            continue;
        }
        let size = entry.size();
        if size > MAX_FILE {
            let name = name.display();
            let reason = format!("`{name}` has {size} bytes, expected at most {MAX_FILE}");
            return Err(Error::file(path, reason));
        }
        let copied = std::io::copy(&mut entry, &mut copy);
        if copied.map_err(|error| broken(path, &error))? != size {
            return Err(cut_off(path, &name));
        }
        push(name, at, size)?;
        at += size;
    }
    Ok(copy)
}

/// Names of entries, which may stand in an entry of their own before.
#[derive(Default)]
struct EntryNames(Option<Vec<u8>>);

impl EntryNames {
    /// The name of a file; nothing for other kinds of entries.
    fn of<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> std::io::Result<Option<PathBuf>> {
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let mut bytes = Vec::new();
            entry.take(MAX_NAME).read_to_end(&mut bytes)?;
            let name = if kind.is_gnu_longname() {
                Some(bytes.strip_suffix(&[0]).unwrap_or(&bytes).to_vec())
            } else {
                let mut extensions = tar::PaxExtensions::new(&bytes).flatten();
                extensions.find(|x| x.key_bytes() == b"path").map(|x| x.value_bytes().to_vec())
            };
            self.0 = name.or(self.0.take());
            return Ok(None);
        }
        let long = self.0.take();
        if !kind.is_file() {
            return Ok(None);
        }
        let name = long.unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name);
        Ok(Some(PathBuf::from(name.trim_start_matches("./"))))
    }
}

fn broken(path: &Path, error: &std::io::Error) -> Error {
    Error::file_hint(path, format!("not a complete tar archive: {error}"), COPY_AGAIN)
}

fn cut_off(path: &Path, name: &Path) -> Error {
    Error::file_hint(path, format!("`{}` is cut off", name.display()), COPY_AGAIN)
}

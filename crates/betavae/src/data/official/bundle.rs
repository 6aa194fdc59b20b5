//! Many small files in a folder, a tar archive or a zip archive, sorted by name and read one by one.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;

use super::input::{COPY_AGAIN, Input};
use crate::error::{Error, IoContext, Result};

/// Largest file that is read into memory.
const MAX_FILE: u64 = 1 << 28;

/// Largest number of files.
const MAX_FILES: usize = 1 << 22;

/// Bytes that a gzipped tar archive may unpack to: ten times what the largest official one does.
const MAX_UNPACKED: u64 = 1 << 36;

/// Longest name in an archive.
const MAX_NAME: u64 = 4096;

/// The files whose names were wanted.
pub(super) struct Bundle {
    path: PathBuf,
    container: Container,
    entries: Vec<Entry>,
}

enum Container {
    Folder,
    Tar(File),
    Zip(ZipArchive<BufReader<File>>),
}

struct Entry {
    name: String,
    /// Offset in a tar archive, position in a zip archive.
    at: u64,
    size: u64,
}

impl Bundle {
    /// The files in and below the folder or in the archive `path` whose relative names, with slashes,
    /// are `wanted`.
    pub(super) fn open(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut entries = Vec::new();
        let container = if path.is_dir() {
            walk(path, "", 0, &wanted, &mut entries)?;
            Container::Folder
        } else {
            let mut file = File::open(path).context("open", path)?;
            let start = Input::start(path, 2)?;
            let packed = read_start(&mut file, path)?;
            match (packed, start.as_slice()) {
                ([0x50, 0x4b], _) => Container::Zip(list_zip(path, file, &wanted, &mut entries)?),
                ([0x1f, 0x8b], _) => Container::Tar(unpack_tar(path, file, &wanted, &mut entries)?),
                _ => {
                    list_tar(path, &mut file, &wanted, &mut entries)?;
                    Container::Tar(file)
                }
            }
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::file(path, format!("`{}` is in it twice", pair[0].name)));
        }
        Ok(Self { path: path.to_owned(), container, entries })
    }

    /// Names in rising order.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Where file `index` is, for messages.
    pub(super) fn place(&self, index: usize) -> PathBuf {
        self.path.join(self.entries.get(index).map_or("", |entry| &entry.name))
    }

    /// Keeps the files at these positions.
    pub(super) fn keep(&mut self, positions: impl Fn(usize) -> bool) {
        let mut position = 0;
        self.entries.retain(|_| {
            position += 1;
            positions(position - 1)
        });
    }

    /// The content of file `index`.
    pub(super) fn read(&mut self, index: usize) -> Result<Vec<u8>> {
        let place = self.place(index);
        let Some(entry) = self.entries.get(index) else {
            return Err(Error::file(&self.path, format!("there is no file number {index}")));
        };
        if entry.size > MAX_FILE {
            let reason = format!("it has {} bytes, expected at most {MAX_FILE}", entry.size);
            return Err(Error::file(place, reason));
        }
        let (mut bytes, limit) = (Vec::new(), MAX_FILE + 1);
        match &mut self.container {
            Container::Folder => {
                let file = File::open(&place).context("open", &place)?;
                file.take(limit).read_to_end(&mut bytes).context("read", &place)?;
            }
            Container::Tar(file) => {
                file.seek(SeekFrom::Start(entry.at)).context("read", &self.path)?;
                file.take(entry.size).read_to_end(&mut bytes).context("read", &self.path)?;
                if bytes.len() as u64 != entry.size {
                    return Err(Error::file_hint(&place, "it is cut off", COPY_AGAIN));
                }
            }
            Container::Zip(archive) => {
                let damaged = |error: String| {
                    let reason = format!("it cannot be unpacked: {error}");
                    Error::file_hint(&place, reason, COPY_AGAIN)
                };
                let file = archive.by_index(entry.at as usize);
                let file = file.map_err(|error| damaged(error.to_string()))?;
                let read = file.take(limit).read_to_end(&mut bytes);
                read.map_err(|error| damaged(error.to_string()))?;
            }
        }
        if bytes.len() as u64 >= limit {
            return Err(Error::file(place, format!("it has more than {MAX_FILE} bytes")));
        }
        Ok(bytes)
    }
}

fn read_start(file: &mut File, path: &Path) -> Result<[u8; 2]> {
    let mut start = [0; 2];
    let read = file.read(&mut start).context("read", path)?;
    file.rewind().context("read", path)?;
    Ok(if read == 2 { start } else { [0; 2] })
}

/// Official folders are three deep.
fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    wanted: &dyn Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    for entry in fs::read_dir(folder).context("read", folder)? {
        let path = entry.context("read", folder)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            if depth < 4 {
                walk(&path, &format!("{name}/"), depth + 1, wanted, entries)?;
            }
        } else if wanted(&name) {
            let size = fs::metadata(&path).context("read", &path)?.len();
            push(&path, entries, Entry { name, at: 0, size })?;
        }
    }
    Ok(())
}

fn push(path: &Path, entries: &mut Vec<Entry>, entry: Entry) -> Result<()> {
    if entries.len() >= MAX_FILES {
        return Err(Error::file(path, format!("there are more than {MAX_FILES} files")));
    }
    entries.push(entry);
    Ok(())
}

fn list_zip(
    path: &Path,
    file: File,
    wanted: &dyn Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) -> Result<ZipArchive<BufReader<File>>> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        Error::file_hint(path, format!("not a complete zip archive: {error}"), COPY_AGAIN)
    })?;
    for at in 0..archive.len() {
        let Ok(file) = archive.by_index_raw(at) else { continue };
        let (Ok(name), size) = (file.name(), file.size()) else { continue };
        if wanted(&name) {
            let name = name.into_owned();
            push(path, entries, Entry { name, at: at as u64, size })?;
        }
    }
    Ok(archive)
}

fn list_tar(
    path: &Path,
    file: &mut File,
    wanted: &dyn Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let damaged = |error| broken_tar(path, &error);
    let mut archive = tar::Archive::new(&mut *file);
    let mut names = Names::default();
    // Raw entries: the library would believe any length of a long name.
    for entry in archive.entries_with_seek().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let Some(name) = names.of(&mut entry).map_err(damaged)? else { continue };
        if wanted(&name) {
            let at = entry.raw_file_position();
            push(path, entries, Entry { name, at, size: entry.size() })?;
        }
    }
    Ok(())
}

/// Copies what is wanted from a gzipped archive to a nameless temporary file, since there is no
/// other way to read it in order.
fn unpack_tar(
    path: &Path,
    file: File,
    wanted: &dyn Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) -> Result<File> {
    let damaged = |error| broken_tar(path, &error);
    let mut copy = tempfile::tempfile().context("create", std::env::temp_dir())?;
    let unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)).take(MAX_UNPACKED);
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 16, unpacked));
    let mut names = Names::default();
    let mut at = 0;
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let Some(name) = names.of(&mut entry).map_err(damaged)? else { continue };
        if !wanted(&name) {
            continue;
        }
        let size = entry.size();
        if size > MAX_FILE {
            let reason = format!("`{name}` has {size} bytes, expected at most {MAX_FILE}");
            return Err(Error::file(path, reason));
        }
        let copied = std::io::copy(&mut entry, &mut copy).map_err(damaged)?;
        if copied != size {
            return Err(Error::file_hint(path, format!("`{name}` is cut off"), COPY_AGAIN));
        }
        push(path, entries, Entry { name, at, size })?;
        at += size;
    }
    Ok(copy)
}

/// Names of tar entries, which may stand in an entry of their own before.
#[derive(Default)]
struct Names(Option<String>);

impl Names {
    /// The name of a file; nothing for other kinds of entries.
    fn of<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> std::io::Result<Option<String>> {
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
            self.0 = name.and_then(|name| String::from_utf8(name).ok()).or(self.0.take());
            return Ok(None);
        }
        let long = self.0.take();
        if !kind.is_file() {
            return Ok(None);
        }
        let short = || String::from_utf8(entry.path_bytes().into_owned()).ok();
        let name = long.or_else(short).map(|name| name.trim_start_matches("./").to_owned());
        Ok(name)
    }
}

fn broken_tar(path: &Path, error: &std::io::Error) -> Error {
    Error::file_hint(path, format!("not a complete tar archive: {error}"), COPY_AGAIN)
}

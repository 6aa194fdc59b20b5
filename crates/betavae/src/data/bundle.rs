//! Many small files in a folder or in archives, found by name and read one by one by any number of
//! threads.

#[cfg(feature = "formats")]
mod tar_archive;
#[cfg(not(feature = "formats"))]
#[path = "bundle/without_tar.rs"]
mod tar_archive;
mod walk;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zip::ZipArchive;

use super::store::read_at;
use crate::error::{Error, IoContext, Result};

pub(super) const COPY_AGAIN: &str = "the file is damaged: copy or download it again";

/// Largest file that is read into memory.
const MAX_FILE: u64 = 1 << 28;

/// Largest number of files in archives.
const MAX_FILES: usize = 1 << 22;

/// Files, in an order that does not depend on the machine.
#[derive(Clone)]
pub(super) struct Bundle {
    /// The folder or archive the user named.
    path: PathBuf,
    containers: Vec<Container>,
    entries: Vec<BundledFile>,
}

#[derive(Clone)]
enum Container {
    Folder,
    /// The archive's path relative to the bundle's, empty for itself.
    Tar(PathBuf, Arc<File>),
    Zip(ZipArchive<BufferedRange>),
}

#[derive(Clone)]
struct BundledFile {
    /// Relative to the folder or archive.
    name: PathBuf,
    container: usize,
    /// Offset in a tar archive, position in a zip archive.
    at: u64,
    size: u64,
}

/// What [`Bundle::open`] returns.
pub(super) trait ReadSeek: BufRead + Seek {}
impl<T: BufRead + Seek> ReadSeek for T {}

impl Bundle {
    /// The files in and below `folder` whose names are `wanted`, sorted by the bytes of their names;
    /// hidden ones are left out.
    pub(super) fn folder(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Self> {
        let names = walk::find(folder, &wanted)?;
        let entry = |name| BundledFile { name, container: 0, at: 0, size: 0 };
        let entries = names.into_iter().map(entry).collect();
        Ok(Self { path: folder.to_owned(), containers: vec![Container::Folder], entries })
    }

    /// One file.
    pub(super) fn file(path: &Path) -> Self {
        let parent = path.parent().unwrap_or(path).to_owned();
        let name = path.file_name().unwrap_or_default().into();
        let entries = vec![BundledFile { name, container: 0, at: 0, size: 0 }];
        Self { path: parent, containers: vec![Container::Folder], entries }
    }

    /// The files in the archive `path` whose names are `wanted`, in the order of the archive: `.zip`,
    /// `.tar`, or gzipped `.tar`; the content tells which.
    pub(super) fn archive(path: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Self> {
        let mut bundle =
            Self { path: path.to_owned(), containers: Vec::new(), entries: Vec::new() };
        bundle.add(Path::new(""), &wanted)?;
        Ok(bundle)
    }

    /// The files in several archives in and below a folder, one archive after the other. Their names
    /// start with that of their archive.
    pub(super) fn shards(
        folder: &Path,
        archives: &[PathBuf],
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<Self> {
        let mut bundle =
            Self { path: folder.to_owned(), containers: Vec::new(), entries: Vec::new() };
        archives.iter().try_for_each(|archive| bundle.add(archive, &wanted))?;
        Ok(bundle)
    }

    /// The files in the folder or archive `path` whose names are `wanted`, sorted by name.
    ///
    /// # Errors
    /// If two files have the same name.
    pub(super) fn sorted(path: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Self> {
        let mut bundle = match path.is_dir() {
            true => Self::folder(path, wanted)?,
            false => Self::archive(path, wanted)?,
        };
        bundle.sort()?;
        Ok(bundle)
    }

    fn add(&mut self, archive: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
        let path = match archive.as_os_str().is_empty() {
            true => self.path.clone(),
            false => self.path.join(archive),
        };
        let mut file = File::open(&path).context("open", &path)?;
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start).context("read", &path)?;
        file.rewind().context("read", &path)?;
        let container = self.containers.len();
        let (mut entries, limit) = (Vec::new(), MAX_FILES - self.entries.len());
        let mut push = |name: PathBuf, at: u64, size: u64| {
            if entries.len() >= limit {
                return Err(Error::file(&path, format!("there are more than {MAX_FILES} files")));
            }
            let name = archive.join(name);
            entries.push(BundledFile { name, container, at, size });
            Ok(())
        };
        let container = if start.starts_with(b"PK") {
            let archive = open_zip(&path, file)?;
            let is_wanted = |name: &Path| !is_folder(name) && wanted(name);
            for (at, name) in zip_names(&archive).enumerate().filter(|(_, name)| is_wanted(name)) {
                push(name, at as u64, 0)?;
            }
            Container::Zip(archive)
        } else if start.starts_with(&[0x1f, 0x8b]) {
            Container::Tar(
                archive.to_owned(),
                tar_archive::unpack(&path, file, wanted, &mut push)?.into(),
            )
        } else {
            tar_archive::list(&path, &mut file, wanted, &mut push)?;
            Container::Tar(archive.to_owned(), file.into())
        };
        self.containers.push(container);
        self.entries.extend(entries);
        Ok(())
    }

    /// The folder or archive.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The name of file `index`, relative to the folder or archive.
    pub(super) fn name(&self, index: usize) -> &Path {
        &self.entries[index].name
    }

    /// All names.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.entries.iter().map(|entry| entry.name.as_path())
    }

    /// Where file `index` is, for messages.
    pub(super) fn place(&self, index: usize) -> PathBuf {
        self.path.join(self.name(index))
    }

    /// What the bundle is made of on disk, relative to its path: the files of a folder, or archives.
    pub(super) fn parts(&self) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        for (number, container) in self.containers.iter().enumerate() {
            match container {
                Container::Folder => {
                    let entries = self.entries.iter().filter(|entry| entry.container == number);
                    parts.extend(entries.map(|entry| entry.name.clone()));
                }
                Container::Tar(archive, _) if !archive.as_os_str().is_empty() => {
                    parts.push(archive.clone());
                }
                Container::Tar(..) | Container::Zip(_) => {}
            }
        }
        parts
    }

    /// Sorts the files by the bytes of their names.
    ///
    /// # Errors
    /// If two have the same name.
    pub(super) fn sort(&mut self) -> Result<()> {
        let key = |entry: &BundledFile| entry.name.as_os_str().as_encoded_bytes().to_vec();
        self.entries.sort_by_cached_key(key);
        match self.entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => {
                let name = pair[0].name.display();
                Err(Error::file(&self.path, format!("`{name}` is in it twice")))
            }
            None => Ok(()),
        }
    }

    /// Takes out the files at the positions that are wanted, in their order.
    pub(super) fn keep(&mut self, wanted: impl Fn(usize) -> bool) {
        let mut position = 0..;
        self.entries.retain(|_| position.next().is_some_and(&wanted));
    }

    /// Opens file `index` for reading; memory is needed only in zip archives.
    pub(super) fn open(&self, index: usize) -> Result<Box<dyn ReadSeek>> {
        let entry = &self.entries[index];
        Ok(match &self.containers[entry.container] {
            Container::Folder => {
                let place = self.place(index);
                Box::new(BufReader::new(File::open(&place).context("open", &place)?))
            }
            Container::Tar(_, file) => {
                let part =
                    FileRange { file: file.clone(), start: entry.at, len: entry.size, at: 0 };
                Box::new(BufReader::new(part))
            }
            Container::Zip(_) => Box::new(Cursor::new(self.read(index)?)),
        })
    }

    /// The content of file `index`.
    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>> {
        let (entry, place) = (&self.entries[index], self.place(index));
        let (mut bytes, limit) = (Vec::new(), MAX_FILE + 1);
        match &self.containers[entry.container] {
            Container::Folder => {
                let file = File::open(&place).context("open", &place)?;
                file.take(limit).read_to_end(&mut bytes).context("read", &place)?;
            }
            Container::Tar(_, file) => {
                let mut part =
                    FileRange { file: file.clone(), start: entry.at, len: entry.size, at: 0 };
                let read = part.by_ref().take(limit).read_to_end(&mut bytes);
                read.map_err(|error| unreadable(&place, &error))?;
            }
            Container::Zip(archive) => {
                // A copy has a position of its own and shares the list of files.
                let mut archive = archive.clone();
                let file = archive.by_index(entry.at as usize);
                let file = file.map_err(|error| unreadable(&place, &error.into()))?;
                let read = file.take(limit).read_to_end(&mut bytes);
                read.map_err(|error| unreadable(&place, &error))?;
            }
        }
        if bytes.len() as u64 >= limit {
            let reason = format!("it has more than {} MiB", MAX_FILE >> 20);
            return Err(Error::file(place, reason));
        }
        Ok(bytes)
    }
}

/// Whether the file `path` is a zip archive that has arrays in it.
pub(super) fn is_npz(path: &Path) -> bool {
    let archive = File::open(path).ok().and_then(|file| open_zip(path, file).ok());
    archive.is_some_and(|archive| {
        zip_names(&archive).any(|name| name.extension().is_some_and(|kind| kind == "npy"))
    })
}

fn open_zip(path: &Path, file: File) -> Result<ZipArchive<BufferedRange>> {
    let len = file.metadata().context("read", path)?.len();
    let part = FileRange { file: file.into(), start: 0, len, at: 0 };
    ZipArchive::new(BufferedRange(BufReader::new(part))).map_err(|error| {
        Error::file_hint(path, format!("not a complete zip archive: {error}"), COPY_AGAIN)
    })
}

/// The names in the order of the archive, folders included.
fn zip_names<R>(archive: &ZipArchive<R>) -> impl Iterator<Item = PathBuf>
where
    R: Read + Seek,
{
    let names: Vec<_> = archive.file_names_raw().map(String::from_utf8_lossy).collect();
    // Some programs on Windows write backslashes.
    let name = |name: &std::borrow::Cow<'_, str>| PathBuf::from(name.replace('\\', "/"));
    names.iter().map(name).collect::<Vec<_>>().into_iter()
}

/// Whether an entry of a zip archive is a folder.
fn is_folder(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn unreadable(place: &Path, error: &std::io::Error) -> Error {
    let hint = match error.kind() {
        // The archive is good; it was packed in a way that few programs can read.
        std::io::ErrorKind::Unsupported => "pack the archive again with the usual method, deflate",
        _ => COPY_AGAIN,
    };
    Error::file_hint(place, format!("it cannot be unpacked: {error}"), hint)
}

/// A part of a file with a position of its own.
#[derive(Clone)]
struct FileRange {
    file: Arc<File>,
    start: u64,
    len: u64,
    at: u64,
}

impl Read for FileRange {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = self.len.saturating_sub(self.at);
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if count > 0 {
            read_at(&self.file, &mut bytes[..count], self.start.saturating_add(self.at))?;
            self.at += count as u64;
        }
        Ok(count)
    }
}

impl Seek for FileRange {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A buffer whose copies start empty.
struct BufferedRange(BufReader<FileRange>);

impl Clone for BufferedRange {
    fn clone(&self) -> Self {
        Self(BufReader::new(self.0.get_ref().clone()))
    }
}

impl Read for BufferedRange {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Seek for BufferedRange {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

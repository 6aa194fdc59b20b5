//! Files that are either there completely or not at all, and what a file is.

mod kind;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{IoContext, Result};
pub(crate) use kind::{describe_content, first_bytes, replacement_hint};

/// A file that is being written: under a temporary name in the same folder until [`AtomicFile::finish`], so that no
/// reader ever sees half of it, and an error leaves what was there.
pub(crate) struct AtomicFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will replace `path`.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tmp-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As for any new file; the umask is subtracted.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder_of(path)).context("create", path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Syncs the file and gives it its name.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { file, path } = self;
        file.as_file().sync_all().context("write", &path)?;
        file.persist(&path).map_err(|error| error.error).context("create", &path)?;
        sync_folder(folder_of(&path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// The folder a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a whole file at once.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(content).context("write", path)?;
    file.finish()
}

/// Bytes that wait in a temporary file until they are wanted in order.
pub(crate) struct Spool {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Spool {
    /// Waits in the folder of `path`, for which the bytes are meant and which errors name.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder_of(path)).context("create", path)?;
        Ok(Self { file: BufWriter::new(file), path: path.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).context("write", &self.path)
    }

    /// All bytes, from the first.
    pub(crate) fn reader(self) -> Result<BufReader<File>> {
        let file = self.file.into_inner().map_err(|error| error.into_error());
        let mut file = file.context("write", &self.path)?;
        file.rewind().context("read", &self.path)?;
        Ok(BufReader::new(file))
    }
}

/// Writes and syncs a new file in a folder that nobody reads yet.
#[cfg(feature = "model")]
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

/// SHA-256 of a buffer in hexadecimal.
#[cfg(feature = "model")]
pub(crate) fn sha256(content: &[u8]) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(content))
}

/// What the name of a file ends in, which tells its format: in lower case, without the dot; empty if it has
/// no ending.
pub fn extension_of(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

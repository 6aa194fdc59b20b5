//! A file that is read from its start to its end, unpacked on the way if it is gzipped.

use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, IoContext, Result};

pub(super) const COPY_AGAIN: &str = "the file is damaged: copy or download it again";

/// Deflate makes data at most 1032 times smaller.
const MOST_PACKED: u64 = 1032;

/// Refuses an array of more than `most` bytes.
fn plausible(path: &Path, what: &str, axes: &[usize], most: u64) -> Result<()> {
    let bytes = axes.iter().try_fold(1_u64, |product, axis| product.checked_mul(*axis as u64));
    if bytes.is_none_or(|bytes| bytes > most) {
        let reason = format!("{what} of {axes:?} bytes are announced, the file can hold {most}");
        return Err(Error::file_hint(path, reason, COPY_AGAIN));
    }
    Ok(())
}

/// Refuses an array that is larger than anything the file can hold if it is packed by deflate.
#[cfg(feature = "formats")]
pub(super) fn expect_packed(path: &Path, what: &str, axes: &[usize]) -> Result<()> {
    let bytes = std::fs::metadata(path).context("read", path)?.len();
    plausible(path, what, axes, bytes.saturating_mul(MOST_PACKED))
}

/// The content of a file, in order.
pub(super) struct Input {
    pub(super) path: PathBuf,
    reader: Box<dyn Read + Send>,
    /// Bytes that can be in it at most.
    most: u64,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context("open", path)?;
        let bytes = file.metadata().context("read", path)?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut start = Vec::new();
        reader.by_ref().take(2).read_to_end(&mut start).context("read", path)?;
        let gzipped = start == [0x1f, 0x8b];
        let whole = Cursor::new(start).chain(reader);
        let (reader, most): (Box<dyn Read + Send>, _) = if gzipped {
            let unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole));
            (Box::new(BufReader::with_capacity(1 << 16, unpacked)), MOST_PACKED)
        } else {
            (Box::new(whole), 1)
        };
        Ok(Self { path: path.to_owned(), reader, most: bytes.saturating_mul(most) })
    }

    /// The first bytes of the content, at most `count`; what cannot be unpacked is left out.
    pub(super) fn start(path: &Path, count: usize) -> Result<Vec<u8>> {
        let mut input = Self::open(path)?;
        let mut start = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match input.reader.read(&mut start[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Damage is for the reader of the format to report.
                Err(_) => break,
            }
        }
        start.truncate(filled);
        Ok(start)
    }

    /// Refuses content that announces more bytes than the file can hold.
    pub(super) fn expect(&self, what: &str, axes: &[usize]) -> Result<()> {
        plausible(&self.path, what, axes, self.most)
    }

    /// Fills `bytes`.
    pub(super) fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<()> {
        self.reader.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                Error::file_hint(&self.path, format!("{what} is cut off"), COPY_AGAIN)
            }
            ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                let reason = format!("{what} cannot be unpacked: {error}");
                Error::file_hint(&self.path, reason, COPY_AGAIN)
            }
            _ => Error::Io { action: "read", path: self.path.clone(), source: error },
        })
    }

    /// The next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// The next `count` bytes; memory grows only with what is there.
    pub(super) fn bytes(&mut self, count: usize, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let start = bytes.len();
            bytes.resize(count.min(start + (1 << 20)), 0);
            self.fill(&mut bytes[start..], what)?;
        }
        Ok(bytes)
    }

    /// Checks that nothing follows; the checksum of a gzipped file is compared there.
    pub(super) fn end(&mut self) -> Result<()> {
        let mut one = [0];
        match self.reader.read(&mut one) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let reason = "there is more data than its header announces";
                Err(Error::file_hint(&self.path, reason, COPY_AGAIN))
            }
            Err(error) => {
                let reason = format!("the end cannot be read: {error}");
                Err(Error::file_hint(&self.path, reason, COPY_AGAIN))
            }
        }
    }

    /// An error about the file.
    pub(super) fn error(&self, reason: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::file_hint(&self.path, reason, hint)
    }
}

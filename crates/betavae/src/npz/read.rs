//! Reading of `.npy` and `.npz` files: first all headers, then the elements of a chosen array.
//!
//! Nothing in a file is trusted: memory is used only for data that is there.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use zip::{CompressionMethod, ZipArchive};

use super::header::{ArrayFault, COPY_AGAIN, Header, MAGIC};
use super::numbers::{ArrayContent, Numbers, read_content};
use crate::error::{Error, IoContext, Result};
use crate::files::{describe_content, first_bytes, replacement_hint};

/// Shape and elements of the `float32` array `name` of the `.npz` file at `path`.
pub fn read_f32(path: &Path, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let mut source = ArrayFile::open(path)?;
    if !source.is_npz() {
        return Err(Error::file(path, format!("expected a .npz file with an array `{name}`")));
    }
    let member = source.find(name)?;
    let other = match source.dtype(member)? {
        Dtype::F32 { big_endian } => {
            let mut values: Vec<f32> = Vec::new();
            source.stream(member, |elements| elements.read_all(&mut values))?;
            if big_endian != cfg!(target_endian = "big") {
                values.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits().swap_bytes()));
            }
            return Ok((source.shape(member)?.to_vec(), values));
        }
        Dtype::Bool => "bool",
        Dtype::U8 => "uint8",
    };
    Err(source.error(member, &format!("expected float32, found {other}"), ""))
}

/// The types of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    /// `bool`: a byte per element, 0 or 1 if the file is sound.
    Bool,
    /// `uint8`.
    U8,
    /// `float32`.
    F32 {
        /// Whether the first byte is the most significant one.
        big_endian: bool,
    },
}

impl Dtype {
    /// Bytes of an element.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 => 1,
            Dtype::F32 { .. } => 4,
        }
    }

    fn of(header: &Header) -> Result<Self, ArrayFault> {
        header.check_order()?;
        let dtype = match header.descr.as_str() {
            "|b1" => Dtype::Bool,
            "|u1" | "<u1" | ">u1" => Dtype::U8,
            "<f4" | ">f4" => Dtype::F32 { big_endian: header.descr.starts_with('>') },
            other => {
                let hint = match other.get(1..2) {
                    Some("f") => "convert it in NumPy with x.astype(numpy.float32)",
                    Some("i" | "u") => {
                        "convert it in NumPy with x.astype(numpy.uint8) if its values are 0 to 255"
                    }
                    _ => "",
                };
                let found = header.dtype();
                let reason = format!("expected uint8, bool or float32, found dtype {found}");
                return Err(ArrayFault::new(reason, hint));
            }
        };
        header.elements(dtype.bytes() as u64)?;
        Ok(dtype)
    }
}

/// The elements of an array, in C order, as they come out of the file.
pub(crate) struct Elements<'a> {
    reader: &'a mut dyn Read,
    /// Bytes that are announced and not read yet.
    left: u64,
}

impl<'a> Elements<'a> {
    /// The `left` bytes that come next in `reader`.
    pub(super) fn new(reader: &'a mut dyn Read, left: u64) -> Self {
        Self { reader, left }
    }

    /// Fills `bytes` with what comes next. With the last bytes the end of the array is checked, and
    /// with it the checksum of a zip member.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArrayFault> {
        self.reader.read_exact(bytes).map_err(|error| ArrayFault::io("the data", &error))?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left > 0 {
            return Ok(());
        }
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(ArrayFault::new("there is more data than announced", COPY_AGAIN)),
            Err(error) => Err(ArrayFault::io("the data", &error)),
        }
    }

    /// Reads all elements, piece by piece, so that an array that is shorter than announced uses no
    /// more memory than it needs.
    fn read_all<T: Pod>(&mut self, values: &mut Vec<T>) -> Result<(), ArrayFault> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX) / size_of::<T>();
        if values.try_reserve_exact(count).is_err() {
            let reason =
                format!("{count} elements of {} bytes do not fit in memory", size_of::<T>());
            return Err(ArrayFault::new(reason, ""));
        }
        loop {
            let start = values.len();
            values.resize(count.min(start + (1 << 22)), T::zeroed());
            self.fill(bytemuck::cast_slice_mut(&mut values[start..]))?;
            if values.len() == count {
                return Ok(());
            }
        }
    }
}

/// An opened `.npy` or `.npz` file; its content tells which.
pub(crate) struct ArrayFile {
    path: PathBuf,
    container: Container,
    /// The arrays in the file; a `.npy` file is one without a name.
    pub(crate) members: Vec<ArrayMember>,
}

enum Container {
    Npy(File),
    Npz(ZipArchive<BufReader<File>>),
}

/// One array of a [`ArrayFile`].
pub(crate) struct ArrayMember {
    /// Its key in the `.npz` file.
    pub(crate) name: String,
    /// Its header, or why it cannot be read.
    pub(crate) header: Result<Header, ArrayFault>,
    /// Its position in the zip directory.
    index: usize,
}

impl ArrayFile {
    /// Opens `path` and reads the headers of all arrays.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).context("open", path)?;
        let mut start = Vec::new();
        file.by_ref().take(6).read_to_end(&mut start).context("read", path)?;
        file.rewind().context("read", path)?;
        if start == MAGIC {
            let available = file.metadata().context("read", path)?.len();
            let header = Header::read(&mut file, available);
            let members = vec![ArrayMember { name: String::new(), header, index: 0 }];
            return Ok(Self { path: path.to_owned(), container: Container::Npy(file), members });
        }
        if !start.starts_with(b"PK") {
            let head = first_bytes(path)?;
            let found = match describe_content(&head) {
                Some(what) => what.to_owned(),
                None => format!("a file that starts with \"{}\"", start.escape_ascii()),
            };
            let hint = replacement_hint(&head)
                .unwrap_or("save arrays with numpy.savez_compressed(\"x.npz\", images=x)");
            let reason = format!("expected a NumPy .npy or .npz file, found {found}");
            return Err(Error::file_hint(path, reason, hint));
        }
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            Error::file_hint(path, format!("not a complete .npz file: {error}"), COPY_AGAIN)
        })?;
        let names: Vec<_> = archive.file_names_raw().map(String::from_utf8_lossy).collect();
        let names: Vec<_> = names.into_iter().map(String::from).enumerate().collect();
        let mut members = Vec::new();
        for (index, name) in names {
            let Some(name) = name.strip_suffix(".npy") else { continue };
            let header = in_archive(&mut archive, index, |mut reader, available| {
                Header::read(&mut reader, available)
            });
            members.push(ArrayMember { name: name.to_owned(), header, index });
        }
        Ok(Self { path: path.to_owned(), container: Container::Npz(archive), members })
    }

    /// Whether the arrays have names.
    pub(crate) fn is_npz(&self) -> bool {
        matches!(self.container, Container::Npz(_))
    }

    /// Names, shapes and types of all arrays, for messages.
    pub(crate) fn listing(&self) -> String {
        let describe = |member: &ArrayMember| match &member.header {
            Ok(header) => format!("`{}` {:?} {}", member.name, header.shape, header.dtype()),
            Err(fault) => format!("`{}` ({})", member.name, fault.reason),
        };
        match self.members.as_slice() {
            [] => "no arrays".to_owned(),
            members => members.iter().map(describe).collect::<Vec<_>>().join(", "),
        }
    }

    /// The position in [`ArrayFile::members`] of the array called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<usize> {
        self.members.iter().position(|member| member.name == name).ok_or_else(|| {
            let reason = format!("no array is called `{name}`: the file has {}", self.listing());
            Error::file(&self.path, reason)
        })
    }

    /// The shape of an array, by its position in [`ArrayFile::members`].
    pub(crate) fn shape(&self, member: usize) -> Result<&[usize]> {
        match &self.members[member].header {
            Ok(header) => Ok(&header.shape),
            Err(fault) => Err(self.error(member, &fault.reason, fault.hint)),
        }
    }

    /// The type of an array that can hold images.
    ///
    /// # Errors
    /// If it has another type, is not in C order, or is cut off.
    pub(crate) fn dtype(&self, member: usize) -> Result<Dtype> {
        let header = self.members[member].header.as_ref();
        let dtype = header.map_err(ArrayFault::clone).and_then(Dtype::of);
        dtype.map_err(|fault| self.blame(member)(fault))
    }

    /// The file and the position in it where the elements of an array start, if they are there as
    /// they are.
    pub(crate) fn place(&mut self, member: usize) -> Result<Option<(File, u64)>> {
        let bytes = self.members[member].header.as_ref().map_or(0, |header| header.data_bytes);
        let end = match &mut self.container {
            Container::Npy(file) => Some(file.metadata().context("read", &self.path)?.len()),
            Container::Npz(archive) => {
                archive.by_index(self.members[member].index).ok().and_then(|entry| {
                    let plain = entry.compression() == CompressionMethod::Stored
                        && entry.compressed_size() == entry.size();
                    entry.data_start().filter(|_| plain)?.checked_add(entry.size())
                })
            }
        };
        let Some(start) = end.and_then(|end| end.checked_sub(bytes)) else { return Ok(None) };
        // Its own handle, with its own position.
        Ok(Some((File::open(&self.path).context("open", &self.path)?, start)))
    }

    /// Hands the elements of an array to `read`.
    pub(crate) fn stream<T, E: Into<ReadError>>(
        &mut self,
        member: usize,
        read: impl FnOnce(&mut Elements<'_>) -> Result<T, E>,
    ) -> Result<T> {
        self.read_by(member, |mut reader, available| {
            let left = Header::read(&mut reader, available)?.data_bytes;
            read(&mut Elements::new(reader, left)).map_err(E::into)
        })
    }

    /// Whether an array holds numbers that [`ArrayFile::dtype`] does not know, or in another order, so that it
    /// has to be read as a whole and converted.
    pub(crate) fn needs_conversion(&self, member: usize) -> bool {
        let Ok(header) = &self.members[member].header else { return false };
        let is_number = matches!(header.descr.get(1..2), Some("f" | "i" | "u"));
        let is_direct = matches!(header.descr.get(1..), Some("b1" | "u1" | "f4"));
        (header.fortran_order && header.shape.len() > 1) || (is_number && !is_direct)
    }

    /// The elements of an array of numbers of any type, or of texts.
    pub(crate) fn read_content(&mut self, member: usize) -> Result<ArrayContent> {
        self.read_by(member, |reader, available| Ok(read_content(reader, available)?.1))
    }

    /// The elements of an array of numbers of any type.
    pub(crate) fn read_numbers(&mut self, member: usize) -> Result<Numbers> {
        match self.read_content(member)? {
            ArrayContent::Numbers(numbers) => Ok(numbers),
            ArrayContent::Texts(_) => Err(self.error(member, "expected numbers, found texts", "")),
        }
    }

    fn read_by<T>(
        &mut self,
        member: usize,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, ReadError>,
    ) -> Result<T> {
        let result = match &mut self.container {
            Container::Npz(archive) => in_archive(archive, self.members[member].index, read),
            Container::Npy(file) => {
                file.rewind().context("read", &self.path)?;
                let available = file.metadata().context("read", &self.path)?.len();
                read(file, available)
            }
        };
        result.map_err(|trouble| match trouble {
            ReadError::Fault(fault) => self.blame(member)(fault),
            ReadError::Error(error) => error,
        })
    }

    /// Makes an error of what is wrong with one array.
    pub(crate) fn blame(&self, member: usize) -> impl Fn(ArrayFault) -> Error + use<> {
        let path = self.path.clone();
        let prefix = match &self.container {
            Container::Npy(_) => String::new(),
            Container::Npz(_) => format!("array `{}`: ", self.members[member].name),
        };
        move |fault| Error::file_hint(&path, format!("{prefix}{}", fault.reason), fault.hint)
    }

    /// An error about one array.
    pub(crate) fn error(&self, member: usize, reason: &str, hint: &'static str) -> Error {
        self.blame(member)(ArrayFault::new(reason, hint))
    }
}

/// Why reading an array failed: a fault of the array, or an error of the file around it.
pub(crate) enum ReadError {
    Fault(ArrayFault),
    Error(Error),
}

impl From<ArrayFault> for ReadError {
    fn from(fault: ArrayFault) -> Self {
        ReadError::Fault(fault)
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        ReadError::Error(error)
    }
}

/// Applies `read` to a zip member and its unpacked size.
fn in_archive<T, E: From<ArrayFault>>(
    archive: &mut ZipArchive<BufReader<File>>,
    index: usize,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<T, E>,
) -> Result<T, E> {
    match archive.by_index(index) {
        Ok(mut entry) => {
            let size = entry.size();
            read(&mut entry, size)
        }
        Err(error) => Err(ArrayFault::io("its entry", &error.into()).into()),
    }
}

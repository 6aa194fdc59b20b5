//! Reading of `.npy` and `.npz` files: first all headers, then the elements of a chosen array.
//!
//! Nothing in a file is trusted: memory is used only for data that is there.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use zip::ZipArchive;

use super::header::{COPY_AGAIN, Fault, Header, MAGIC};
use super::numbers::{Numbers, read_numbers};
use crate::error::{Error, IoContext, Result};

/// Shape and elements of the `float32` array `name` of the `.npz` file at `path`.
pub fn read_f32(path: &Path, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let mut source = Source::open(path)?;
    if !source.is_npz() {
        return Err(Error::file(path, format!("expected a .npz file with an array `{name}`")));
    }
    let member = source.find(name)?;
    match source.read(member)? {
        (shape, Values::F32(values)) => Ok((shape, values)),
        (_, Values::Bool(_)) => Err(source.error(member, "expected float32, found bool", "")),
        (_, Values::U8(_)) => Err(source.error(member, "expected float32, found uint8", "")),
    }
}

/// The elements of an array in C order.
pub(crate) enum Values {
    /// `bool`: a byte per element, 0 or 1 if the file is sound.
    Bool(Vec<u8>),
    /// `uint8`.
    U8(Vec<u8>),
    /// `float32`.
    F32(Vec<f32>),
}

/// An opened `.npy` or `.npz` file; its content tells which.
pub(crate) struct Source {
    path: PathBuf,
    container: Container,
    /// The arrays in the file; a `.npy` file is one without a name.
    pub(crate) members: Vec<Member>,
}

enum Container {
    Npy(File),
    Npz(ZipArchive<BufReader<File>>),
}

/// One array of a [`Source`].
pub(crate) struct Member {
    /// Its key in the `.npz` file.
    pub(crate) name: String,
    /// Its header, or why it cannot be read.
    pub(crate) header: Result<Header, Fault>,
    /// Its position in the zip directory.
    index: usize,
}

impl Source {
    /// Opens `path` and reads the headers of all arrays.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).context("open", path)?;
        let mut start = Vec::new();
        file.by_ref().take(6).read_to_end(&mut start).context("read", path)?;
        file.rewind().context("read", path)?;
        if start == MAGIC {
            let available = file.metadata().context("read", path)?.len();
            let header = Header::read(&mut file, available);
            let members = vec![Member { name: String::new(), header, index: 0 }];
            return Ok(Self { path: path.to_owned(), container: Container::Npy(file), members });
        }
        if !start.starts_with(b"PK") {
            let found = match start.as_slice() {
                [] => "an empty file".to_owned(),
                bytes => format!("a file that starts with \"{}\"", bytes.escape_ascii()),
            };
            let hint = "save the images with numpy.savez_compressed(\"images.npz\", images=x)";
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
            members.push(Member { name: name.to_owned(), header, index });
        }
        Ok(Self { path: path.to_owned(), container: Container::Npz(archive), members })
    }

    /// Whether the arrays have names.
    pub(crate) fn is_npz(&self) -> bool {
        matches!(self.container, Container::Npz(_))
    }

    /// Names, shapes and types of all arrays, for messages.
    pub(crate) fn listing(&self) -> String {
        let describe = |member: &Member| match &member.header {
            Ok(header) => format!("`{}` {:?} {}", member.name, header.shape, header.dtype()),
            Err(fault) => format!("`{}` ({})", member.name, fault.reason),
        };
        match self.members.as_slice() {
            [] => "no arrays".to_owned(),
            members => members.iter().map(describe).collect::<Vec<_>>().join(", "),
        }
    }

    /// The position in [`Source::members`] of the array called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<usize> {
        self.members.iter().position(|member| member.name == name).ok_or_else(|| {
            let reason = format!("no array is called `{name}`: the file has {}", self.listing());
            Error::file(&self.path, reason)
        })
    }

    /// The shape of an array, by its position in [`Source::members`].
    pub(crate) fn shape(&self, member: usize) -> Result<&[usize]> {
        match &self.members[member].header {
            Ok(header) => Ok(&header.shape),
            Err(fault) => Err(self.error(member, &fault.reason, fault.hint)),
        }
    }

    /// Shape and elements of an array, by its position in [`Source::members`].
    pub(crate) fn read(&mut self, member: usize) -> Result<(Vec<usize>, Values)> {
        self.read_by(member, read_values)
    }

    /// As [`Source::read`], for numbers of any type.
    pub(crate) fn read_numbers(&mut self, member: usize) -> Result<(Vec<usize>, Numbers)> {
        self.read_by(member, read_numbers)
    }

    fn read_by<T>(
        &mut self,
        member: usize,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, Fault>,
    ) -> Result<T> {
        let result = match &mut self.container {
            Container::Npz(archive) => in_archive(archive, self.members[member].index, read),
            Container::Npy(file) => {
                file.rewind().context("read", &self.path)?;
                let available = file.metadata().context("read", &self.path)?.len();
                read(file, available)
            }
        };
        result.map_err(|fault| self.error(member, &fault.reason, fault.hint))
    }

    /// An error about one array.
    pub(crate) fn error(&self, member: usize, reason: &str, hint: impl Into<String>) -> Error {
        match &self.container {
            Container::Npy(_) => Error::file_hint(&self.path, reason, hint),
            Container::Npz(_) => {
                let name = &self.members[member].name;
                Error::file_hint(&self.path, format!("array `{name}`: {reason}"), hint)
            }
        }
    }
}

/// Applies `read` to a zip member and its unpacked size.
fn in_archive<T>(
    archive: &mut ZipArchive<BufReader<File>>,
    index: usize,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<T, Fault>,
) -> Result<T, Fault> {
    match archive.by_index(index) {
        Ok(mut entry) => {
            let size = entry.size();
            read(&mut entry, size)
        }
        Err(error) => Err(Fault::io("its entry", &error.into())),
    }
}

/// Reads an array of `available` bytes, header included.
fn read_values(mut reader: &mut dyn Read, available: u64) -> Result<(Vec<usize>, Values), Fault> {
    let header = Header::read(&mut reader, available)?;
    header.check_order()?;
    let values = match header.descr.as_str() {
        "|b1" => Values::Bool(read_elements(reader, header.elements(1)?)?),
        "|u1" | "<u1" | ">u1" => Values::U8(read_elements(reader, header.elements(1)?)?),
        "<f4" | ">f4" => {
            let mut values: Vec<f32> = read_elements(reader, header.elements(4)?)?;
            if header.descr.starts_with('<') != cfg!(target_endian = "little") {
                values.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits().swap_bytes()));
            }
            Values::F32(values)
        }
        other => {
            let hint = match other.get(1..2) {
                Some("f") => "convert it in NumPy with x.astype(numpy.float32)",
                Some("i" | "u") => {
                    "convert it in NumPy with x.astype(numpy.uint8) if its values are 0 to 255"
                }
                _ => "",
            };
            let reason = format!("expected uint8, bool or float32, found dtype {}", header.dtype());
            return Err(Fault::new(reason, hint));
        }
    };
    Ok((header.shape, values))
}

pub(super) fn read_elements<T: Pod>(reader: &mut dyn Read, count: usize) -> Result<Vec<T>, Fault> {
    let mut values: Vec<T> = Vec::new();
    if values.try_reserve_exact(count).is_err() {
        let reason = format!("{count} elements of {} bytes do not fit in memory", size_of::<T>());
        return Err(Fault::new(reason, ""));
    }
    // Piece by piece, so that an array that is shorter than announced uses no more than it needs.
    while values.len() < count {
        let start = values.len();
        values.resize(count.min(start + (1 << 22)), T::zeroed());
        let piece = bytemuck::cast_slice_mut(&mut values[start..]);
        reader.read_exact(piece).map_err(|error| Fault::io("the data", &error))?;
    }
    // The checksum of a zip member is compared when its end is reached.
    match reader.read(&mut [0]) {
        Ok(0) => Ok(values),
        Ok(_) => Err(Fault::new("there is more data than announced", COPY_AGAIN)),
        Err(error) => Err(Fault::io("the data", &error)),
    }
}

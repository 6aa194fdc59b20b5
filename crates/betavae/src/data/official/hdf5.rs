//! HDF5 files of images: Shapes3D (`images`, `labels`), dSprites (`imgs`, `latents/values`), and
//! whatever has the same keys.
//!
//! The format is `hdf5-reader`'s business; here it gets limits, and images come out in bands of whole
//! chunks, because the chunks of both official files reach over thousands of images.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::{
    Dataset, Datatype, FileStorage, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem,
};

use super::super::ImageShape;
use super::super::reader::Images;
use super::input::COPY_AGAIN;
use super::raw::{MAX_VALUES, Raw, image_shape};
use crate::error::{Error, IoContext, Result};

/// Every HDF5 file starts with it, perhaps after a block of the user's.
const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Bytes of images that are unpacked together at most. The chunks of Shapes3D reach over 15,000
/// images, 184 MB.
const MAX_BAND: usize = 1 << 30;

/// Bytes of images that are read at a time where chunks are smaller.
const BAND: usize = 1 << 24;

/// Whether a file that starts with these bytes is HDF5.
pub(super) fn reads(start: &[u8]) -> bool {
    [0, 512, 1024, 2048].iter().any(|at| start.get(*at..).is_some_and(|x| x.starts_with(MAGIC)))
}

/// Opens the images called `key`, or else `images` or `imgs`, and the labels that belong to them.
pub(super) fn open(path: &Path, key: Option<&str>) -> Result<Raw> {
    let file = open_file(path)?;
    let find = |name: &str| file.dataset(name).ok();
    let found = match key {
        Some(key) => Some((key, file.dataset(key).map_err(|error| damaged(path, key, &error))?)),
        None => ["images", "imgs"].into_iter().find_map(|key| Some((key, find(key)?))),
    };
    let Some((key, data)) = found else {
        let reason = "no images found: expected a dataset `images` or `imgs`";
        return Err(Error::file_hint(path, reason, "name it with `--set data.key=NAME`"));
    };
    let (len, shape) = interpret(path, key, &data)?;
    let band = band(path, &data, shape)?;

    let (mut names, mut values, mut white) = (Vec::new(), Vec::new(), 255);
    if let Some(labels) = find("latents/values") {
        (names, values) = table(path, "latents/values", &labels, len, &DSPRITES)?;
        // dSprites stores zeros and ones.
        white = 1;
    } else if let Some(labels) = find("labels") {
        (names, values) = table(path, "labels", &labels, len, &SHAPES3D)?;
    }
    let about = if white == 1 { "binary, HDF5" } else { "u8, HDF5" }.to_owned();
    let images = Bands {
        path: path.to_owned(),
        key: key.to_owned(),
        data,
        len,
        rows: band,
        white,
        next: 0,
        band: Vec::new(),
        used: 0,
    };
    Ok(Raw { about, len, shape, white, names, values, images: Box::new(images) })
}

const DSPRITES: [&str; 6] = ["color", "shape", "scale", "orientation", "posX", "posY"];
const SHAPES3D: [&str; 6] =
    ["floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"];

fn open_file(path: &Path) -> Result<Hdf5File> {
    let file = File::open(path).context("open", path)?;
    let storage = FileStorage::from_file(file).map_err(|error| damaged(path, "", &error))?;
    let options = OpenOptions::default()
        .with_max_chunk_bytes(MAX_BAND)
        .with_max_read_bytes(MAX_BAND)
        // Every chunk is needed once.
        .with_chunk_cache_bytes(0);
    Hdf5File::from_storage_with_options(Arc::new(storage), options)
        .map_err(|error| damaged(path, "", &error))
}

/// Number and shape of the images of a dataset.
fn interpret(path: &Path, key: &str, data: &Dataset) -> Result<(usize, ImageShape)> {
    let fault = |reason: String| Error::file(path, format!("dataset `{key}`: {reason}"));
    if !matches!(data.dtype(), Datatype::FixedPoint { size: 1, signed: false, .. }) {
        return Err(fault(format!("expected uint8, found {:?}", data.dtype())));
    }
    let axes = data.shape().iter().map(|axis| usize::try_from(*axis).ok());
    let axes = axes.collect::<Option<Vec<_>>>().unwrap_or_default();
    match axes.as_slice() {
        &[n, h, w] => Ok((n, image_shape(path, [h, w, 1])?)),
        &[n, h, w, c @ 1..=4] => Ok((n, image_shape(path, [h, w, c])?)),
        _ => {
            let found = data.shape();
            Err(fault(format!("expected shape [N, H, W] or [N, H, W, C], found {found:?}")))
        }
    }
}

/// How many images are read together: whole chunks.
fn band(path: &Path, data: &Dataset, shape: ImageShape) -> Result<usize> {
    let chunk = data.chunks().and_then(|axes| axes.first().copied()).unwrap_or(1).max(1) as usize;
    match chunk.checked_mul(shape.values()) {
        Some(bytes) if bytes <= MAX_BAND => Ok(chunk * (BAND / bytes).max(1)),
        _ => {
            let reason = format!(
                "its chunks reach over {chunk} images of {shape}, expected at most {} MiB",
                MAX_BAND >> 20
            );
            let hint = "store it again with smaller chunks: h5repack -l CHUNK=64x64x64x3";
            Err(Error::file_hint(path, reason, hint))
        }
    }
}

/// The names and the values of the factors, [N, K].
fn table(
    path: &Path,
    key: &str,
    data: &Dataset,
    len: usize,
    known: &[&str],
) -> Result<(Vec<String>, Vec<f64>)> {
    let columns = match data.shape() {
        &[rows, columns @ 1..=1000] if rows == len as u64 => columns as usize,
        found => {
            return Err(Error::Mismatch {
                what: format!("{}: dataset `{key}`", path.display()),
                expected: format!("shape [{len}, K], a row per image"),
                found: format!("{found:?}"),
                hint: String::new(),
            });
        }
    };
    if len.checked_mul(columns).is_none_or(|values| values > MAX_VALUES) {
        let reason = format!("dataset `{key}`: {len} rows of {columns} are more than {MAX_VALUES}");
        return Err(Error::file(path, reason));
    }
    macro_rules! read {
        ($type:ty) => {{
            let array = data.read_array::<$type>().map_err(|error| damaged(path, key, &error))?;
            array.iter().map(|value| *value as f64).collect()
        }};
    }
    let values: Vec<f64> = match *data.dtype() {
        Datatype::FloatingPoint { size: 8, .. } => read!(f64),
        Datatype::FloatingPoint { size: 4, .. } => read!(f32),
        Datatype::FixedPoint { size: 1, signed: false, .. } => read!(u8),
        Datatype::FixedPoint { size: 1, .. } => read!(i8),
        Datatype::FixedPoint { size: 2, signed: false, .. } => read!(u16),
        Datatype::FixedPoint { size: 2, .. } => read!(i16),
        Datatype::FixedPoint { size: 4, signed: false, .. } => read!(u32),
        Datatype::FixedPoint { size: 4, .. } => read!(i32),
        Datatype::FixedPoint { size: 8, signed: false, .. } => read!(u64),
        Datatype::FixedPoint { size: 8, .. } => read!(i64),
        ref other => {
            let reason = format!("dataset `{key}`: expected numbers, found {other:?}");
            return Err(Error::file(path, reason));
        }
    };
    let names = match columns == known.len() {
        true => known.iter().map(|name| (*name).to_owned()).collect(),
        false => (0..columns).map(|i| format!("factor {i}")).collect(),
    };
    Ok((names, values))
}

/// Images in bands of whole chunks.
struct Bands {
    path: PathBuf,
    key: String,
    data: Dataset,
    len: usize,
    /// Images of a band.
    rows: usize,
    white: u8,
    /// First image of the next band.
    next: usize,
    band: Vec<u8>,
    /// Bytes of the band that were handed over.
    used: usize,
}

impl Images for Bands {
    fn next(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.used == self.band.len() {
                self.read_band()?;
            }
            let now = bytes.len().min(self.band.len() - self.used);
            let (these, rest) = bytes.split_at_mut(now);
            these.copy_from_slice(&self.band[self.used..self.used + now]);
            self.used += now;
            bytes = rest;
        }
        Ok(())
    }
}

impl Bands {
    fn read_band(&mut self) -> Result<()> {
        let end = self.len.min(self.next + self.rows);
        let mut band = SliceInfo::all(self.data.ndim());
        let rows = SliceInfoElem::Slice { start: self.next as u64, end: end as u64, step: 1 };
        if let Some(first) = band.selections.first_mut() {
            *first = rows;
        }
        // The memory of the last band is free before the next one needs its own.
        self.band = Vec::new();
        let array = self.data.read_slice_parallel::<u8>(&band);
        let array = array.map_err(|error| damaged(&self.path, &self.key, &error))?;
        (self.band, _) = array.into_raw_vec_and_offset();
        if self.band.is_empty() {
            return Err(Error::file_hint(&self.path, "the images end too early", COPY_AGAIN));
        }
        if let Some(value) = self.band.iter().find(|value| **value > self.white) {
            let reason = format!("dataset `{}` holds {value}, expected 0 and 1", self.key);
            return Err(Error::file_hint(&self.path, reason, COPY_AGAIN));
        }
        (self.next, self.used) = (end, 0);
        Ok(())
    }
}

fn damaged(path: &Path, key: &str, error: &hdf5_reader::error::Error) -> Error {
    let about = if key.is_empty() { String::new() } else { format!("dataset `{key}`: ") };
    Error::file_hint(path, format!("{about}not readable HDF5: {error}"), COPY_AGAIN)
}

//! HDF5 files of images: Shapes3D (`images`, `labels`), dSprites (`imgs`, `latents/values`), and
//! whatever has the same keys.
//!
//! The format is `hdf5-reader`'s business; here it gets limits, and images come out in bands of whole
//! chunks, because the chunks of both official files reach over thousands of images.

use std::fs::File;
use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::{Dataset, DatasetChunk, DatasetChunkIterator, Datatype};
use hdf5_reader::{FileStorage, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use rayon::prelude::*;

use super::super::ImageShape;
use super::super::reader::Images;
use super::input::{COPY_AGAIN, expect_packed};
use super::raw::{MAX_VALUES, Raw, image_shape};
use crate::error::{Error, IoContext, Result};

/// Every HDF5 file starts with it, perhaps after a block of the user's.
const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Bytes of images that are unpacked together at most. The chunks of Shapes3D reach over 15,000
/// images, 184 MB.
const MAX_BAND: usize = 1 << 30;

/// Bytes of images that are read at a time where there are no chunks.
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
    expect_packed(path, "images", &[len, shape.height, shape.width, shape.channels])?;
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
    let images = Bands::new(path, key, data, len, shape, band, white)?;
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
    match *axes.as_slice() {
        [n, h, w] => Ok((n, image_shape(path, [h, w, 1])?)),
        [n, h, w, c @ 1..=4] => Ok((n, image_shape(path, [h, w, c])?)),
        _ => {
            let found = data.shape();
            Err(fault(format!("expected shape [N, H, W] or [N, H, W, C], found {found:?}")))
        }
    }
}

/// How many images are read together: those of a chunk.
fn band(path: &Path, data: &Dataset, shape: ImageShape) -> Result<usize> {
    let Some(chunk) = data.chunks() else { return Ok((BAND / shape.values()).max(1)) };
    let rows = chunk.first().map_or(1, |rows| (*rows).max(1) as usize);
    if rows.checked_mul(shape.values()).is_none_or(|bytes| bytes > MAX_BAND) {
        let reason = format!(
            "its chunks reach over {rows} images of {shape}, expected at most {} MiB of images",
            MAX_BAND >> 20
        );
        let hint = "store it again with smaller chunks: h5repack -l CHUNK=64x64x64x3";
        return Err(Error::file_hint(path, reason, hint));
    }
    Ok(rows)
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

/// Images in bands of whole chunks: the chunks of a band stay as they are, and an image is put
/// together out of all of them when it is asked for.
struct Bands {
    path: PathBuf,
    key: String,
    data: Dataset,
    chunks: Option<Peekable<DatasetChunkIterator>>,
    len: usize,
    shape: ImageShape,
    /// Images of a band.
    rows: usize,
    white: u8,
    /// The images of the band that were not handed over yet.
    left: Range<usize>,
    tiles: Vec<Tile>,
}

/// Part of all images of a band.
struct Tile {
    /// The first image.
    row: usize,
    /// Where it is in an image, and its size: rows, columns, channels.
    start: [usize; 3],
    size: [usize; 3],
    /// [images, rows, columns, channels]
    bytes: Vec<u8>,
}

impl Tile {
    /// How many bytes of an image it has; the last tiles reach over the edges.
    fn part_of(&self, shape: ImageShape) -> usize {
        let sides = [shape.height, shape.width, shape.channels];
        (0..3).map(|i| self.size[i].min(sides[i] - self.start[i])).product()
    }

    /// Copies its part of image `index`.
    fn copy(&self, index: usize, image: &mut [u8], shape: ImageShape) {
        let [height, width, channels] = self.size;
        let stored = &self.bytes[(index - self.row) * height * width * channels..];
        let [y, x, c] = self.start;
        let run = channels.min(shape.channels - c);
        for i in 0..height.min(shape.height - y) {
            for j in 0..width.min(shape.width - x) {
                let from = (i * width + j) * channels;
                let to = ((y + i) * shape.width + x + j) * shape.channels + c;
                // A byte or two: a call would cost more.
                let pairs = image[to..to + run].iter_mut().zip(&stored[from..from + run]);
                pairs.for_each(|(pixel, byte)| *pixel = *byte);
            }
        }
    }
}

impl Images for Bands {
    fn next(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        let shape = self.shape;
        while !bytes.is_empty() {
            if self.left.is_empty() {
                self.read_band()?;
            }
            let now = self.left.len().min(bytes.len() / shape.values());
            let (these, rest) = bytes.split_at_mut(now * shape.values());
            let (first, tiles) = (self.left.start, &self.tiles);
            these.par_chunks_exact_mut(shape.values()).enumerate().for_each(|(i, image)| {
                tiles.iter().for_each(|tile| tile.copy(first + i, image, shape));
            });
            if let Some(value) = these.iter().find(|value| **value > self.white) {
                let reason = format!("dataset `{}` holds {value}, expected 0 and 1", self.key);
                return Err(Error::file_hint(&self.path, reason, COPY_AGAIN));
            }
            self.left.start += now;
            bytes = rest;
        }
        Ok(())
    }
}

impl Bands {
    fn new(
        path: &Path,
        key: &str,
        data: Dataset,
        len: usize,
        shape: ImageShape,
        rows: usize,
        white: u8,
    ) -> Result<Self> {
        let chunks = match data.chunks() {
            Some(_) => Some(data.iter_chunks().map_err(|error| damaged(path, key, &error))?),
            None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            key: key.to_owned(),
            data,
            chunks: chunks.map(Iterator::peekable),
            len,
            shape,
            rows,
            white,
            left: 0..0,
            tiles: Vec::new(),
        })
    }

    fn read_band(&mut self) -> Result<()> {
        let band = self.left.end..self.len.min(self.left.end + self.rows);
        if band.is_empty() {
            return Err(Error::file_hint(&self.path, "the images end too early", COPY_AGAIN));
        }
        // The memory of the last band is free before the next one needs its own.
        self.tiles = Vec::new();
        self.read_chunks(&band)?;
        let covered: usize = self.tiles.iter().map(|tile| tile.part_of(self.shape)).sum();
        if covered != self.shape.values() {
            // Not every chunk in its order: the library's general way is slower.
            self.tiles = Vec::new();
            self.tiles = vec![self.read_slice(&band)?];
        }
        self.left = band;
        Ok(())
    }

    /// The chunks of a band, if they come next.
    fn read_chunks(&mut self, band: &Range<usize>) -> Result<()> {
        let (path, key, shape) = (&self.path, &self.key, self.shape);
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        let in_band = |chunk: &Result<DatasetChunk, hdf5_reader::error::Error>| match chunk {
            Ok(chunk) => chunk.offsets().first().is_some_and(|row| (*row as usize) < band.end),
            Err(_) => true,
        };
        while let Some(chunk) = chunks.next_if(in_band) {
            let chunk = chunk.map_err(|error| damaged(path, key, &error))?;
            let bytes = chunk.bytes();
            let (row, start) = axes(chunk.offsets(), 0);
            let (rows, size) = axes(chunk.shape(), 1);
            let inside =
                start[0] < shape.height && start[1] < shape.width && start[2] < shape.channels;
            let values = size.iter().try_fold(rows, |product, x| product.checked_mul(*x));
            let next = self.tiles.last().is_none_or(|last: &Tile| last.start < start);
            let whole = row == band.start && rows >= band.len() && values == Some(bytes.len());
            if !(inside && next && whole) {
                break;
            }
            self.tiles.push(Tile { row, start, size, bytes: bytes.to_vec() });
        }
        Ok(())
    }

    /// A band as one tile.
    fn read_slice(&self, band: &Range<usize>) -> Result<Tile> {
        let mut selection = SliceInfo::all(self.data.ndim());
        if let Some(first) = selection.selections.first_mut() {
            let (start, end) = (band.start as u64, band.end as u64);
            *first = SliceInfoElem::Slice { start, end, step: 1 };
        }
        let array = self.data.read_slice_parallel::<u8>(&selection);
        let array = array.map_err(|error| damaged(&self.path, &self.key, &error))?;
        let (bytes, _) = array.into_raw_vec_and_offset();
        let ImageShape { height, width, channels } = self.shape;
        if bytes.len() != band.len() * self.shape.values() {
            return Err(Error::file_hint(&self.path, "the images end too early", COPY_AGAIN));
        }
        Ok(Tile { row: band.start, start: [0; 3], size: [height, width, channels], bytes })
    }
}

/// The axis of the images and the three others; images without channels have `last`.
fn axes(axes: &[u64], last: usize) -> (usize, [usize; 3]) {
    let axis = |i: usize| axes.get(i).map_or(last, |x| usize::try_from(*x).unwrap_or(usize::MAX));
    (axis(0), [axis(1), axis(2), axis(3)])
}

fn damaged(path: &Path, key: &str, error: &hdf5_reader::error::Error) -> Error {
    let about = if key.is_empty() { String::new() } else { format!("dataset `{key}`: ") };
    Error::file_hint(path, format!("{about}not readable HDF5: {error}"), COPY_AGAIN)
}

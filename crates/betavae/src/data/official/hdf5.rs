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

use super::super::reader::Images;
use super::super::store::Form;
use super::super::{DataConfig, ImageShape, Layout};
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

/// Opens the images called `data.key`, or else `images` or `imgs`, and the labels that belong to them. Labels
/// that cannot be used leave the images without factors, with a note.
pub(super) fn open(path: &Path, config: &DataConfig, notes: &mut Vec<String>) -> Result<Raw> {
    let file = open_file(path)?;
    let find = |name: &str| file.dataset(name).ok();
    let found = match config.key.as_deref() {
        Some(key) => find(key).map(|data| (key.to_owned(), data)),
        None => ["images", "imgs"].into_iter().find_map(|key| Some((key.to_owned(), find(key)?))),
    };
    let Some((key, data)) = found.or_else(|| only(&file).filter(|_| config.key.is_none())) else {
        let wanted =
            config.key.as_deref().map_or("`images` or `imgs`".into(), |key| format!("`{key}`"));
        let reason = format!("no dataset {wanted}: the file has {}", listing(&file));
        return Err(Error::file_hint(path, reason, "name it with `--set data.key=NAME`"));
    };
    let Images4 { len, shape, stored, planar } = interpret(path, &key, &data, config.layout)?;
    expect_packed(path, "images", &[len, shape.height, shape.width, shape.channels])?;
    let band = band(path, &data, shape)?;

    let (mut names, mut values, mut white) = (Vec::new(), Vec::new(), 255);
    // The labels of `x` are `y`, those of `train_images` are `train_labels`.
    let own = key.replacen("images", "labels", 1).replacen("x_", "y_", 1);
    let own = Some(own.as_str()).filter(|own| *own != key);
    if config.labels.is_none() {
        for name in own.into_iter().chain(["latents/values", "labels", "y"]) {
            let Some(labels) = find(name) else { continue };
            let meant: &[&str] = match name {
                "latents/values" => &DSPRITES,
                "labels" => &SHAPES3D,
                _ => &[],
            };
            match table(path, name, &labels, len, meant) {
                Ok(found) => (names, values) = found,
                Err(Error::File { reason, .. }) => notes.push(format!("no factors: {reason}")),
                Err(other) => notes.push(format!("no factors: {other}")),
            }
            break;
        }
    }
    if find("latents/values").is_some() {
        // dSprites stores zeros and ones.
        white = 1;
    }
    if values.iter().any(|value| !value.is_finite()) {
        notes.push("no factors: some labels are not finite numbers".into());
        names.clear();
    }
    let about = if white == 1 { "binary, HDF5" } else { "u8, HDF5" }.to_owned();
    let bands = Bands::new(path, &key, data, len, stored, band, white)?;
    let images: Box<dyn Images + Send> = match planar {
        true => Box::new(Planar { images: bands, shape }),
        false => Box::new(bands),
    };
    Ok(Raw { about, len, shape, white, names, values, images })
}

/// Paths and datasets of a file, groups included.
fn datasets(file: &Hdf5File) -> Vec<(String, Dataset)> {
    let mut found = Vec::new();
    let mut groups =
        file.root_group().ok().map(|root| (String::new(), root)).into_iter().collect::<Vec<_>>();
    while let Some((prefix, group)) = groups.pop() {
        for data in group.datasets().unwrap_or_default() {
            found.push((format!("{prefix}{}", data.name()), data));
        }
        // A file whose groups contain each other has no end.
        if prefix.matches('/').count() < 4 && found.len() < 100 {
            let inner = group.groups().unwrap_or_default().into_iter();
            groups.extend(inner.map(|group| (format!("{prefix}{}/", group.name()), group)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The only dataset that may hold images.
fn only(file: &Hdf5File) -> Option<(String, Dataset)> {
    let may = |data: &Dataset| {
        matches!(data.dtype(), Datatype::FixedPoint { size: 1, .. })
            && matches!(data.shape().len(), 3 | 4)
    };
    let mut found = datasets(file).into_iter().filter(|(_, data)| may(data));
    found.next().filter(|_| found.next().is_none())
}

/// Names, shapes and types of the datasets, for messages.
fn listing(file: &Hdf5File) -> String {
    let words: Vec<String> = datasets(file)
        .iter()
        .take(20)
        .map(|(name, data)| format!("`{name}` {:?} {}", data.shape(), dtype(data.dtype())))
        .collect();
    if words.is_empty() { "no dataset".into() } else { words.join(", ") }
}

/// NumPy's name of a type.
fn dtype(dtype: &Datatype) -> String {
    match dtype {
        Datatype::FloatingPoint { size, .. } => format!("float{}", 8 * u32::from(*size)),
        Datatype::FixedPoint { size, signed: true, .. } => format!("int{}", 8 * u32::from(*size)),
        Datatype::FixedPoint { size, .. } => format!("uint{}", 8 * u32::from(*size)),
        _ => "another type".into(),
    }
}

/// Images whose channels come before rows.
struct Planar {
    images: Bands,
    /// [H, W, C]
    shape: ImageShape,
}

impl Images for Planar {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.images.next(bytes)?;
        let form = Form { planar: true, ..Form::bytes(1, self.shape) };
        bytes.par_chunks_exact_mut(self.shape.values()).for_each(|image| form.arrange(image));
        Ok(())
    }
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
struct Images4 {
    len: usize,
    /// [H, W, C]
    shape: ImageShape,
    /// The three axes as they are stored.
    stored: ImageShape,
    /// Whether channels come before rows.
    planar: bool,
}

fn interpret(path: &Path, key: &str, data: &Dataset, layout: Option<Layout>) -> Result<Images4> {
    let fault = |reason: String, hint: &str| {
        Error::file_hint(path, format!("dataset `{key}`: {reason}"), hint)
    };
    if !matches!(data.dtype(), Datatype::FixedPoint { size: 1, signed: false, .. }) {
        let found = dtype(data.dtype());
        let hint =
            "store (255 * x).round().astype(numpy.uint8), or save the images with numpy.savez";
        return Err(fault(format!("expected images of uint8, found {found}"), hint));
    }
    let axes = data.shape().iter().map(|axis| usize::try_from(*axis).ok());
    let axes = axes.collect::<Option<Vec<_>>>().unwrap_or_default();
    let (n, [h, w, c], planar) = match (axes.as_slice(), layout) {
        (&[n, h, w], _) => (n, [h, w, 1], false),
        (&[n, h, w, c], Some(Layout::Nhwc)) | (&[n, h, w, c @ 1..=4], None) => {
            (n, [h, w, c], false)
        }
        (&[n, c, h, w], Some(Layout::Nchw)) | (&[n, c @ 1..=4, h, w], None) => (n, [h, w, c], true),
        _ => {
            let found = data.shape();
            let reason =
                format!("expected shape [N, H, W], [N, H, W, C] or [N, C, H, W], found {found:?}");
            let hint = if axes.len() == 4 {
                "say which with `--set data.layout=nhwc` or `nchw`"
            } else {
                ""
            };
            return Err(fault(reason, hint));
        }
    };
    let shape = image_shape(path, [h, w, c])?;
    let stored = if planar { ImageShape::new(c, h, w) } else { shape };
    Ok(Images4 { len: n, shape, stored, planar: planar && c > 1 })
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
        &[rows] if rows == len as u64 => 1,
        &[rows, columns @ 1..=1000] if rows == len as u64 => columns as usize,
        found => {
            return Err(Error::Mismatch {
                what: format!("{}: dataset `{key}`", path.display()),
                expected: format!("shape [{len}] or [{len}, K], a row per image"),
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
        false if columns == 1 => vec!["label".to_owned()],
        false => (0..columns).map(|i| format!("factor_{i}")).collect(),
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

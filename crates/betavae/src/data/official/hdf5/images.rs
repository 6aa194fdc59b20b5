//! Which datasets of an HDF5 file are the images and which their labels. `hdf5-reader` reads the
//! format; its limits are set here.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use hdf5_reader::{Dataset, Datatype, FileStorage, Hdf5File, OpenOptions};
use rayon::prelude::*;

use super::super::super::reader::ImageReader;
use super::super::super::store::PixelLayout;
use super::super::super::{DataConfig, ImageShape, Layout};
use super::super::input::{COPY_AGAIN, expect_packed};
use super::super::raw::{MAX_VALUES, RawImages, image_shape};
use super::bands::Bands;
use crate::error::{Error, IoContext, Result};

/// Bytes of images that are unpacked together at most. The chunks of Shapes3D reach over 15,000
/// images, 184 MB.
const MAX_BAND: usize = 1 << 30;

/// Bytes of images that are read at a time where there are no chunks.
const BAND: usize = 1 << 24;

/// Opens the images called `data.key`, or else `images` or `imgs`, and the labels that belong to them. Labels
/// that cannot be used leave the images without factors, with a note.
pub(in super::super) fn open(
    path: &Path,
    config: &DataConfig,
    notes: &mut Vec<String>,
) -> Result<RawImages> {
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
    let ImageAxes { len, shape, stored, planar } = interpret(path, &key, &data, config.layout)?;
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
    let images: Box<dyn ImageReader + Send> = match planar {
        true => Box::new(PlanarImages { images: bands, shape }),
        false => Box::new(bands),
    };
    Ok(RawImages { about, len, shape, white, names, values, images })
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
struct PlanarImages {
    images: Bands,
    /// [H, W, C]
    shape: ImageShape,
}

impl ImageReader for PlanarImages {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.images.next(bytes)?;
        let form = PixelLayout { planar: true, ..PixelLayout::bytes(1, self.shape) };
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
struct ImageAxes {
    len: usize,
    /// [H, W, C]
    shape: ImageShape,
    /// The three axes as they are stored.
    stored: ImageShape,
    /// Whether channels come before rows.
    planar: bool,
}

fn interpret(path: &Path, key: &str, data: &Dataset, layout: Option<Layout>) -> Result<ImageAxes> {
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
    Ok(ImageAxes { len: n, shape, stored, planar: planar && c > 1 })
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

pub(super) fn damaged(path: &Path, key: &str, error: &hdf5_reader::error::Error) -> Error {
    let about = if key.is_empty() { String::new() } else { format!("dataset `{key}`: ") };
    Error::file_hint(path, format!("{about}not readable HDF5: {error}"), COPY_AGAIN)
}

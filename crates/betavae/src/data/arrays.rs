//! Images in an array of a NumPy `.npy` or `.npz` file.
//!
//! Decides which array holds the images, how its axes are ordered and what its values mean; the
//! file format itself is read by [`crate::npz`]. Accepted are shapes [N, H, W], [N, H, W, C] and
//! [N, C, H, W], and grids of factors with more axes before the image. Integers of 0 to 255 stand for value /
//! 255 unless none is above 1, which makes the set binary; floats must lie in [0, 1]. Uncompressed arrays of
//! `uint8`, `bool` and `float32` are read where they are; other numbers and Fortran order are converted.

use std::path::Path;

use super::cache::{CacheEntry, CacheKey};
use super::labels::{self, ImagesToLabel};
use super::official::known_grid;
use super::reader::ImageReader;
use super::store::{PixelFacts, PixelLayout, PixelStore};
use super::stored::{OpenContext, PixelPass, StoredDataset, value_type};
use super::{DataConfig, Factor, FactorGrid, Factors, ImageShape, Layout, Split};
use crate::error::{Error, Result};
use crate::npz::{ArrayFault, ArrayFile, Dtype, Elements, Numbers};

/// Longest axis that counts the values of a factor.
const MAX_CLASSES: usize = 1 << 20;

/// Largest number of values of an array that is converted in memory.
const MAX_CONVERTED: usize = 1 << 28;

/// Reads the images of the `.npy` or `.npz` file at `path`.
pub(super) fn open(path: &Path, opening: &mut OpenContext<'_>) -> Result<StoredDataset> {
    let config = opening.config;
    let mut source = ArrayFile::open(path)?;
    let member = choose(&source, path, config)?;
    let layout = interpret(&source, member, config.layout)?;
    let images = ImagesToLabel { path, len: layout.len, files: None };
    let labels = match labels::configured_labels(config, &images)? {
        Some(labels) => labels,
        None => {
            let mut labels = labels::among(&mut source, member, layout.len, path);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let known = || known_grid(&name, layout.len, layout.shape).map(Factors::Grid);
            labels.factors = labels.factors.or(layout.grid).or_else(known);
            labels
        }
    };
    opening.notes.extend(labels.notes);

    let (form, store, facts) = match source.needs_conversion(member) {
        true => convert(path, &mut source, member, &layout.axes, opening)?,
        false => read(path, &mut source, member, &layout.axes, opening)?,
    };
    let white = if facts.brightest <= 1 { 1 } else { 255 };
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    if source.is_npz() && source.members.len() > 1 {
        opening.notes.push(format!("images from array `{}`", source.members[member].name));
    }
    Ok(StoredDataset {
        name: path.display().to_string(),
        about: format!("({}) of {file_name}", value_type(form.dtype, white)),
        store,
        white,
        sha256: facts.sha256,
        factors: labels.factors,
        files: Vec::new(),
        left_out: Vec::new(),
        notes: std::mem::take(&mut opening.notes),
    })
}

/// Number, shape and order of images.
struct Axes {
    len: usize,
    shape: ImageShape,
    /// Whether channels come before rows.
    planar: bool,
}

/// Images that are read where they lie, or unpacked.
fn read(
    path: &Path,
    source: &mut ArrayFile,
    member: usize,
    axes: &Axes,
    opening: &mut OpenContext<'_>,
) -> Result<(PixelLayout, PixelStore, PixelFacts)> {
    let dtype = source.dtype(member)?;
    let form = PixelLayout { len: axes.len, shape: axes.shape, dtype, planar: axes.planar };
    let key = CacheKey::new(path, &[], opening.config)?;
    let found = opening.cache.find(&key).filter(|entry| entry.form == form.arranged());
    let in_place = source.place(member)?;
    let blame = source.blame(member);
    let look = |source: &mut ArrayFile, opening: &mut OpenContext<'_>| match &in_place {
        None => source.stream(member, |elements| {
            let images = &mut StreamedElements { elements, blame: &blame };
            let (store, facts) =
                PixelPass { form, images, blame: &blame }.prepare(opening, &key)?;
            Ok::<_, Error>((Some(store), facts))
        }),
        Some(_) => {
            let facts = source.stream(member, |elements| {
                let images = &mut StreamedElements { elements, blame: &blame };
                PixelPass { form, images, blame: &blame }.scan(opening)
            })?;
            if form.sizes().is_some_and(|(_, all)| all > opening.cache.glance) {
                opening.cache.keep(&key, form, &facts);
            }
            Ok((None, facts))
        }
    };
    let (prepared, facts) = match found {
        Some(CacheEntry { store, facts, .. }) if store.is_some() || in_place.is_some() => {
            (store, facts)
        }
        _ => look(source, opening)?,
    };
    let store = match (prepared, in_place) {
        (_, Some((file, start))) => PixelStore::file(form, file, path, start),
        (Some(store), None) => store,
        (None, None) => return Err(Error::file(path, "the file changed while it was read")),
    };
    Ok((form, store, facts))
}

/// Images of other numbers, or in Fortran order, which become floats or bytes in memory.
fn convert(
    path: &Path,
    source: &mut ArrayFile,
    member: usize,
    axes: &Axes,
    opening: &mut OpenContext<'_>,
) -> Result<(PixelLayout, PixelStore, PixelFacts)> {
    let blame = source.blame(member);
    let values = axes.len.saturating_mul(axes.shape.values());
    if values > MAX_CONVERTED {
        let reason = format!("{values} values of this type or order are more than are converted");
        let hint = "save numpy.ascontiguousarray(x, dtype=numpy.float32) or uint8 instead of x";
        return Err(source.error(member, &reason, hint));
    }
    let (dtype, pixels) = match source.read_numbers(member)? {
        Numbers::Floats(values) => {
            let bytes = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
            (Dtype::F32 { big_endian: false }, bytes)
        }
        Numbers::Integers(values) => {
            let byte = |value: &i64| u8::try_from(*value).ok();
            match values.iter().map(byte).collect::<Option<Vec<u8>>>() {
                Some(bytes) => (Dtype::U8, bytes),
                None => {
                    let at = values.iter().position(|value| byte(value).is_none()).unwrap_or(0);
                    let (image, value) = (at / axes.shape.values(), values[at]);
                    let reason = format!("image {image} holds {value}, expected 0 to 255");
                    let hint = "scale the images to 0 to 255, or to [0, 1] as float32";
                    return Err(source.error(member, &reason, hint));
                }
            }
        }
    };
    let form = PixelLayout { len: axes.len, shape: axes.shape, dtype, planar: axes.planar };
    let key = CacheKey::new(path, &[], opening.config)?;
    let images = &mut ConvertedElements { pixels, done: 0 };
    let (store, facts) = PixelPass { form, images, blame: &blame }.prepare(opening, &key)?;
    Ok((form, store, facts))
}

/// Elements as they come out of the file.
struct StreamedElements<'a, 'b, B> {
    elements: &'a mut Elements<'b>,
    blame: &'a B,
}

impl<B: Fn(ArrayFault) -> Error> ImageReader for StreamedElements<'_, '_, B> {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.elements.fill(bytes).map_err(self.blame)
    }
}

/// Elements that are in memory.
struct ConvertedElements {
    pixels: Vec<u8>,
    done: usize,
}

impl ImageReader for ConvertedElements {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        bytes.copy_from_slice(&self.pixels[self.done..][..bytes.len()]);
        self.done += bytes.len();
        Ok(())
    }
}

/// The array that holds the images.
fn choose(source: &ArrayFile, path: &Path, config: &DataConfig) -> Result<usize> {
    if !source.is_npz() {
        return Ok(0);
    }
    let has_images = |member: &usize| source.shape(*member).is_ok_and(|axes| axes.len() >= 3);
    let part = |member: &usize| Split::within(&source.members[*member].name);
    let candidates: Vec<usize> = (0..source.members.len()).filter(has_images).collect();
    if let Some(key) = config.key.as_deref() {
        if config.split.is_some() {
            let message = "data.key and data.split are both set, and both choose an array";
            return Err(Error::config(message, "remove one of them"));
        }
        return source.find(key);
    }
    if let Some(split) = config.split {
        let of_part = |member: &&usize| part(member) == Some(split);
        let found: Vec<&usize> = candidates.iter().filter(of_part).collect();
        return match found.as_slice() {
            [member] => Ok(**member),
            _ => {
                let (name, list) = (split.name(), source.listing());
                let reason = format!(
                    "no array of images is called after the part {name}: the file has {list}"
                );
                Err(Error::file_hint(path, reason, "name one with `--set data.key=NAME`"))
            }
        };
    }
    let called = |name| source.members.iter().position(|member| member.name == name);
    if let Some(member) = called("imgs").or(called("images")) {
        return Ok(member);
    }
    let list = source.listing();
    let (count, hint) = match candidates.as_slice() {
        [member] => return Ok(*member),
        [] => ("no array", ""),
        several if several.iter().any(|member| part(member) == Some(Split::Train)) => (
            "more than one array",
            "name a part with `--set data.split=train`, or an array with `--set data.key=NAME`",
        ),
        _ => ("more than one array", "name one with `--set data.key=NAME`"),
    };
    let reason = format!("{count} has 3 or 4 axes as images do; the file has {list}");
    Err(Error::file_hint(path, reason, hint))
}

/// What the axes of an array mean.
struct ArrayMeaning {
    axes: Axes,
    len: usize,
    shape: ImageShape,
    /// The factors that axes before those of an image count.
    grid: Option<Factors>,
}

/// Number and shape of the images in an array, and which axis of each image is the channel.
fn interpret(source: &ArrayFile, member: usize, layout: Option<Layout>) -> Result<ArrayMeaning> {
    let axes = source.shape(member)?;
    let (before, shape, planar) = match (axes, layout) {
        // One colour image, unless there are that many images of three or four columns.
        ([h, w, c @ 3..=4], _) if *h > 8 && *w > 8 => {
            let reason = format!(
                "shape {axes:?} may be one image of {c} channels, or {h} images of {w}x{c} pixels"
            );
            let hint =
                "save one image as x[None], and grey images with a channel axis, as x[..., None]";
            return Err(source.error(member, &reason, hint));
        }
        ([n, h, w], _) => (std::slice::from_ref(n), ImageShape::new(*h, *w, 1), false),
        ([n @ .., h, w, c], Some(Layout::Nhwc)) => (n, ImageShape::new(*h, *w, *c), false),
        ([n @ .., c, h, w], Some(Layout::Nchw)) => (n, ImageShape::new(*h, *w, *c), true),
        ([_, h, w, c @ ..=4], None) => (&axes[..1], ImageShape::new(*h, *w, *c), false),
        ([_, c @ ..=4, h, w], None) => (&axes[..1], ImageShape::new(*h, *w, *c), true),
        // In a longer shape, a short axis before the last two may be a factor.
        ([n @ .., h, w, c @ ..=4], None) if n.len() > 1 && h.min(w) > &4 => {
            (n, ImageShape::new(*h, *w, *c), false)
        }
        ([_, _, _, _, ..], None) => {
            let reason = format!("cannot tell which axis of {axes:?} is the channel");
            let hint = "say it with `--set data.layout=nhwc` or `--set data.layout=nchw`";
            return Err(source.error(member, &reason, hint));
        }
        _ => {
            let reason = format!(
                "expected images of shape [N, H, W], [N, H, W, C] or [N, C, H, W], found {axes:?}"
            );
            let hint = match axes {
                [_, 784] => "save x.reshape(-1, 28, 28): rows of 784 are images of 28x28",
                [_, _] => "save x.reshape(-1, H, W, C): rows must become images",
                _ => "",
            };
            return Err(source.error(member, &reason, hint));
        }
    };
    if axes.contains(&0) {
        return Err(source.error(member, &format!("shape {axes:?} holds no pixels"), ""));
    }
    let len = before.iter().try_fold(1_usize, |all, axis| all.checked_mul(*axis));
    let is_factor = |axis: &usize| before.len() == 1 || *axis <= MAX_CLASSES;
    let Some(len) = len.filter(|_| before.iter().all(is_factor)) else {
        return Err(source.error(member, &format!("shape {axes:?} is too large"), ""));
    };
    let factor = |(i, size): (usize, &usize)| {
        Factor::linspace(&format!("factor_{i}"), 0.0, (size - 1) as f64, *size)
    };
    let grid = (before.len() > 1).then(|| {
        Factors::Grid(FactorGrid { factors: before.iter().enumerate().map(factor).collect() })
    });
    Ok(ArrayMeaning { axes: Axes { len, shape, planar }, len, shape, grid })
}

#[cfg(test)]
mod tests;

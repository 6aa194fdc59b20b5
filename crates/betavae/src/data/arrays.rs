//! Images in an array of a NumPy `.npy` or `.npz` file, kept in memory as bytes or floats.
//!
//! Decides which array holds the images, how its axes are ordered and what its values mean; the
//! file format itself is [`crate::npz`]'s business.

use std::path::Path;

use bytemuck::Zeroable;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::official::known_grid;
use super::{DataConfig, Dataset, Factors, ImageShape, Layout, hex};
use crate::error::{Error, Result};
use crate::npz::{Source, Values};

/// Images read from an array.
///
/// Accepted are shapes [N, H, W], [N, H, W, C] and [N, C, H, W] of `uint8`, `bool` or `float32`.
/// Bytes stand for value / 255 unless none is above 1, which makes the set binary; floats must lie
/// in [0, 1].
pub struct Arrays {
    name: String,
    file_name: String,
    len: usize,
    shape: ImageShape,
    factors: Option<Factors>,
    pixels: Pixels,
}

/// [N, H, W, C].
enum Pixels {
    /// Zeros and ones.
    Binary(Vec<u8>),
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Arrays {
    /// Reads the images of the `.npy` or `.npz` file at `path`.
    pub fn open(path: &Path, config: &DataConfig) -> Result<Self> {
        let folder_only = [
            ("size", config.size.is_some()),
            ("crop", config.crop.is_some()),
            ("channels", config.channels.is_some()),
        ];
        if let Some((key, _)) = folder_only.iter().find(|(_, set)| *set) {
            return Err(Error::config(
                format!("data.{key} applies to folders of images, not to {}", path.display()),
                format!("remove data.{key}, or resize the images before saving the array"),
            ));
        }
        let mut source = Source::open(path)?;
        let member = choose(&source, path, config.key.as_deref())?;
        let (len, shape, layout) = interpret(&source, member, config.layout)?;
        let pixels = match source.read(member)?.1 {
            Values::Bool(values) if !is_binary(&values) => {
                return Err(source.error(
                    member,
                    "a bool array holds bytes other than 0 and 1",
                    "",
                ));
            }
            Values::Bool(values) | Values::U8(values) if is_binary(&values) => {
                Pixels::Binary(channels_last(values, shape, layout))
            }
            Values::Bool(values) | Values::U8(values) => {
                Pixels::Bytes(channels_last(values, shape, layout))
            }
            Values::F32(values) => {
                let outside = |value: &f32| !(0.0..=1.0).contains(value);
                if let Some(i) = values.par_iter().position_first(outside) {
                    let (image, value) = (i / shape.values(), values[i]);
                    let reason = format!("image {image} holds {value}, expected values in [0, 1]");
                    return Err(source.error(member, &reason, range_hint(value)));
                }
                Pixels::Floats(channels_last(values, shape, layout))
            }
        };
        let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let factors = known_grid(&file_name, len, shape).map(Factors::Grid);
        Ok(Self { name: path.display().to_string(), file_name, len, shape, factors, pixels })
    }
}

fn range_hint(value: f32) -> &'static str {
    if value >= 2.0 && value.is_finite() {
        "divide by 255 or store as uint8"
    } else if value > 1.0 && value.is_finite() {
        "clip with numpy.clip(x, 0, 1), or divide by the largest value"
    } else if value.is_finite() {
        "shift and scale the images to [0, 1]; (x + 1) / 2 if they lie in [-1, 1]"
    } else {
        "find the images with numpy.argwhere(~numpy.isfinite(x))"
    }
}

/// The array that holds the images.
fn choose(source: &Source, path: &Path, key: Option<&str>) -> Result<usize> {
    if !source.is_npz() {
        return match key {
            None => Ok(0),
            Some(key) => Err(Error::config(
                format!("data.key is `{key}`, but {} is a single array", path.display()),
                "remove data.key: it applies to .npz files",
            )),
        };
    }
    if let Some(key) = key {
        return source.find(key);
    }
    let called = |name| source.members.iter().position(|member| member.name == name);
    if let Some(member) = called("imgs").or(called("images")) {
        return Ok(member);
    }
    let has_images =
        |member: &usize| source.shape(*member).is_ok_and(|axes| matches!(axes.len(), 3 | 4));
    let candidates: Vec<usize> = (0..source.members.len()).filter(has_images).collect();
    let (count, hint) = match candidates.as_slice() {
        [member] => return Ok(*member),
        [] => ("no array", ""),
        _ => ("more than one array", "name one with `--set data.key=NAME`"),
    };
    let list = source.listing();
    let reason = format!("{count} has 3 or 4 axes as images do; the file has {list}");
    Err(Error::file_hint(path, reason, hint))
}

/// Number and shape of the images in an array, and which axis of each image is the channel.
fn interpret(
    source: &Source,
    member: usize,
    layout: Option<Layout>,
) -> Result<(usize, ImageShape, Layout)> {
    let axes = source.shape(member)?;
    let (len, shape, layout) = match (axes, layout) {
        (&[n, h, w], _) => (n, ImageShape::new(h, w, 1), Layout::Nhwc),
        (&[n, h, w, c], Some(Layout::Nhwc)) => (n, ImageShape::new(h, w, c), Layout::Nhwc),
        (&[n, c, h, w], Some(Layout::Nchw)) => (n, ImageShape::new(h, w, c), Layout::Nchw),
        (&[n, h, w, c @ ..=4], None) => (n, ImageShape::new(h, w, c), Layout::Nhwc),
        (&[n, c @ ..=4, h, w], None) => (n, ImageShape::new(h, w, c), Layout::Nchw),
        (&[_, _, _, _], None) => {
            let reason = format!("cannot tell which axis of {axes:?} is the channel");
            let hint = "say it with `--set data.layout=nhwc` or `--set data.layout=nchw`";
            return Err(source.error(member, &reason, hint));
        }
        _ => {
            let reason = format!(
                "expected images of shape [N, H, W], [N, H, W, C] or [N, C, H, W], found {axes:?}"
            );
            return Err(source.error(member, &reason, ""));
        }
    };
    if axes.contains(&0) {
        return Err(source.error(member, &format!("shape {axes:?} holds no pixels"), ""));
    }
    Ok((len, shape, layout))
}

fn is_binary(values: &[u8]) -> bool {
    values.par_chunks(1 << 16).all(|chunk| chunk.iter().copied().max() <= Some(1))
}

/// Brings every image from `layout` to [H, W, C].
fn channels_last<T>(mut values: Vec<T>, shape: ImageShape, layout: Layout) -> Vec<T>
where
    T: Copy + Send + Zeroable,
{
    if layout == Layout::Nchw && shape.channels > 1 {
        let plane = shape.height * shape.width;
        let transpose = |planes: &mut Vec<T>, image: &mut [T]| {
            planes.copy_from_slice(image);
            for (i, pixel) in image.chunks_exact_mut(shape.channels).enumerate() {
                pixel.iter_mut().enumerate().for_each(|(c, value)| *value = planes[c * plane + i]);
            }
        };
        let images = values.par_chunks_exact_mut(shape.values());
        images.for_each_init(|| vec![T::zeroed(); shape.values()], transpose);
    }
    values
}

/// SHA-256 over the shape [N, H, W, C] and the stored bytes, in hexadecimal.
pub(super) fn content_hash(len: usize, shape: ImageShape, bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    for axis in [len, shape.height, shape.width, shape.channels] {
        hash.update((axis as u64).to_le_bytes());
    }
    hash.update(bytes);
    hex(&hash.finalize())
}

impl Dataset for Arrays {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        let kind = match self.pixels {
            Pixels::Binary(_) => "binary",
            Pixels::Bytes(_) => "u8",
            Pixels::Floats(_) => "f32",
        };
        format!("{} images {} ({kind}) of {}", self.len, self.shape, self.file_name)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        let values = self.shape.values();
        let range = index * values..(index + 1) * values;
        let from_bytes = |bytes: &[u8], pixels: &mut [f32]| {
            let white = f32::from(self.white());
            let scale = |(pixel, byte): (&mut f32, &u8)| *pixel = f32::from(*byte) / white;
            pixels.iter_mut().zip(bytes).for_each(scale);
        };
        match &self.pixels {
            Pixels::Binary(bytes) | Pixels::Bytes(bytes) => from_bytes(&bytes[range], pixels),
            Pixels::Floats(floats) => pixels.copy_from_slice(&floats[range]),
        }
        Ok(())
    }

    fn factors(&self) -> Option<&Factors> {
        self.factors.as_ref()
    }

    fn white(&self) -> u8 {
        match self.pixels {
            Pixels::Binary(_) => 1,
            Pixels::Bytes(_) | Pixels::Floats(_) => 255,
        }
    }

    fn fingerprint(&self) -> Result<String> {
        let bytes = match &self.pixels {
            Pixels::Binary(bytes) | Pixels::Bytes(bytes) => bytes.as_slice(),
            Pixels::Floats(floats) => bytemuck::cast_slice(floats),
        };
        Ok(content_hash(self.len, self.shape, bytes))
    }
}

#[cfg(test)]
mod tests;

//! A folder of PNG and JPEG files as images of one shape, kept in memory as bytes.
//!
//! Files are cut, resized and converted to 8 bits when the folder is opened. Orientation tags and
//! colour profiles are not applied.

mod files;

use std::path::{Path, PathBuf};

use image::DynamicImage;
use image::imageops::FilterType;
use rayon::prelude::*;

use super::arrays::content_hash;
use super::{DataConfig, Dataset, ImageShape};
use crate::error::{Error, Result};
pub(super) use files::decode_bytes;
use files::{Header, decode, find_images, is_image, read_header};

/// Largest side an image may be resized to.
const MAX_SIDE: usize = 1 << 13;

/// Images read from the files of a folder and its subfolders, sorted by path.
///
/// Transparent images are blended over black, 16-bit images are reduced to 8 bits, and grey is
/// computed from colour by the luma weights of Rec. 709. Resizing is bilinear with the triangle as
/// wide as the scale demands, so that it neither aliases nor leaves the range of the image.
pub struct Folder {
    name: String,
    folder_name: String,
    files: Vec<PathBuf>,
    shape: ImageShape,
    /// [N, H, W, C].
    pixels: Vec<u8>,
}

impl Folder {
    /// Whether [`Folder::open`] is the reader for `path`: a folder, or a single image file.
    pub fn reads(path: &Path) -> bool {
        path.is_dir() || is_image(path)
    }

    /// Reads all images in and below the folder `path`, where hidden files are skipped, or the one
    /// image file `path`.
    pub fn open(path: &Path, config: &DataConfig) -> Result<Self> {
        let geometry = Geometry::new(path, config)?;
        let (folder, files) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if is_image(path) && !path.is_dir() => {
                (parent, vec![PathBuf::from(name)])
            }
            _ => (path, find_images(path)?),
        };
        let headers = files
            .par_iter()
            .map(|file| read_header(&folder.join(file)))
            .collect::<Result<Vec<Header>>>()?;

        let mut first: Option<[usize; 2]> = None;
        for (file, header) in files.iter().zip(&headers) {
            let size = geometry.target(&folder.join(file), header.size)?;
            let expected = *first.get_or_insert(size);
            if size != expected {
                let reason = format!(
                    "the images differ in size: {} is {}, {} is {}",
                    files[0].display(),
                    sides(expected),
                    file.display(),
                    sides(size)
                );
                let hint = "bring them to one size with `--set data.size=[64,64]`";
                return Err(Error::file_hint(path, reason, hint));
            }
        }
        let [height, width] = first.unwrap_or_default();
        let all_grey = headers.iter().all(|header| header.grey);
        let channels = config.channels.unwrap_or(if all_grey { 1 } else { 3 });
        let shape = ImageShape::new(height, width, channels);

        let mut pixels = allocate(path, files.len(), shape)?;
        pixels.par_chunks_exact_mut(shape.values()).zip(&files).try_for_each(
            |(pixels, file)| {
                let file = folder.join(file);
                let bytes = geometry.apply(&file, decode(&file)?, shape)?;
                if bytes.len() != pixels.len() {
                    return Err(Error::file(&file, "the file changed while it was read"));
                }
                pixels.copy_from_slice(&bytes);
                Ok(())
            },
        )?;

        let folder_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Ok(Self {
            name: path.display().to_string(),
            folder_name: folder_name.trim_end_matches('/').to_owned(),
            files,
            shape,
            pixels,
        })
    }

    /// The files in the order of the images, relative to the folder.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// How images become images of one size; sizes are [height, width].
pub(super) struct Geometry {
    crop: Option<[usize; 2]>,
    size: Option<[usize; 2]>,
}

impl Geometry {
    /// Checks the settings that concern folders.
    pub(super) fn new(path: &Path, config: &DataConfig) -> Result<Self> {
        let of_arrays = [("key", config.key.is_some()), ("layout", config.layout.is_some())];
        if let Some((key, _)) = of_arrays.iter().find(|(_, set)| *set) {
            return Err(Error::config(
                format!("data.{key} applies to array files, but {} is a folder", path.display()),
                format!("remove data.{key}"),
            ));
        }
        if let Some(channels) = config.channels.filter(|channels| !matches!(channels, 1 | 3)) {
            return Err(Error::config(
                format!("data.channels is {channels}, expected 1 (grey) or 3 (RGB)"),
                "",
            ));
        }
        for (key, sides) in [("crop", config.crop), ("size", config.size)] {
            let valid = |side: &usize| (1..=MAX_SIDE).contains(side);
            if let Some(sides) = sides.filter(|sides| !sides.iter().all(valid)) {
                return Err(Error::config(
                    format!("data.{key} is {sides:?}, expected [height, width] of 1 to {MAX_SIDE}"),
                    "",
                ));
            }
        }
        Ok(Self { crop: config.crop, size: config.size })
    }

    /// The size of the central part of an image that is used.
    fn cut(&self, path: &Path, [height, width]: [usize; 2]) -> Result<[usize; 2]> {
        match (self.crop, self.size) {
            (Some([h, w]), _) if h > height || w > width => Err(Error::file_hint(
                path,
                format!(
                    "the image is {}, smaller than data.crop {}",
                    sides([height, width]),
                    sides([h, w])
                ),
                "set data.crop to at most the size of the smallest image",
            )),
            (Some(crop), _) => Ok(crop),
            (None, None) => Ok([height, width]),
            // The largest part with the aspect ratio of the size.
            (None, Some([h, w])) if height * w > width * h => Ok([scaled(width, h, w), width]),
            (None, Some([h, w])) => Ok([height, scaled(height, w, h)]),
        }
    }

    /// The size an image ends up with.
    pub(super) fn target(&self, path: &Path, image: [usize; 2]) -> Result<[usize; 2]> {
        let cut = self.cut(path, image)?;
        Ok(self.size.unwrap_or(cut))
    }

    /// Cuts, converts and resizes an image to [H, W, C].
    pub(super) fn apply(
        &self,
        path: &Path,
        image: DynamicImage,
        shape: ImageShape,
    ) -> Result<Vec<u8>> {
        let [height, width] = [image.height() as usize, image.width() as usize];
        let [h, w] = self.cut(path, [height, width])?;
        let (top, left) = ((height - h) / 2, (width - w) / 2);
        let image = image.crop_imm(left as u32, top as u32, w as u32, h as u32);
        let image = over_black(image);
        let image = match shape.channels {
            1 => DynamicImage::ImageLuma8(image.into_luma8()),
            _ => DynamicImage::ImageRgb8(image.into_rgb8()),
        };
        let image = match self.size {
            Some([h, w]) => image.resize_exact(w as u32, h as u32, FilterType::Triangle),
            None => image,
        };
        Ok(image.into_bytes())
    }
}

/// `side` * `numerator` / `denominator`, rounded, at least 1.
fn scaled(side: usize, numerator: usize, denominator: usize) -> usize {
    ((2 * side * numerator + denominator) / (2 * denominator)).max(1)
}

fn sides([height, width]: [usize; 2]) -> String {
    format!("{height}x{width}")
}

/// Blends a transparent image over black.
fn over_black(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let mut image = image.into_rgba8();
    for pixel in image.pixels_mut() {
        let [r, g, b, alpha] = pixel.0;
        let blend = |value| ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8;
        pixel.0 = [blend(r), blend(g), blend(b), 255];
    }
    image.into()
}

fn allocate(path: &Path, len: usize, shape: ImageShape) -> Result<Vec<u8>> {
    let mut pixels = Vec::new();
    let bytes = len.checked_mul(shape.values());
    match bytes.map(|bytes| pixels.try_reserve_exact(bytes).map(|()| bytes)) {
        Some(Ok(bytes)) => pixels.resize(bytes, 0),
        _ => {
            let gib = len as f64 * shape.values() as f64 / (1 << 30) as f64;
            return Err(Error::file_hint(
                path,
                format!("{len} images of {shape} need {gib:.1} GiB, more than can be allocated"),
                "choose a smaller size with `--set data.size=[64,64]`",
            ));
        }
    }
    Ok(pixels)
}

impl Dataset for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        format!("{} images {} from {}/", self.files.len(), self.shape, self.folder_name)
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        let values = self.shape.values();
        let bytes = &self.pixels[index * values..(index + 1) * values];
        pixels.iter_mut().zip(bytes).for_each(|(pixel, byte)| *pixel = f32::from(*byte) / 255.0);
        Ok(())
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(content_hash(self.files.len(), self.shape, &self.pixels))
    }
}

#[cfg(test)]
mod tests;

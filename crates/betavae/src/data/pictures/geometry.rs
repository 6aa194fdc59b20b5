//! How images of any size and colour become images of one: cut, converted, resized.
//!
//! Transparent images are blended over black, 16-bit images are reduced to 8 bits, and grey is
//! computed from colour by the luma weights of Rec. 709. Resizing is bilinear with the triangle as
//! wide as the scale demands, so that it neither aliases nor leaves the range of the image.

use std::path::Path;

use image::DynamicImage;
use image::imageops::FilterType;

use super::super::{DataConfig, ImageShape};
use crate::error::{Error, Result};

/// Largest side an image may be resized to.
const MAX_SIDE: usize = 1 << 13;

/// How images become images of one size; sizes are [height, width].
pub(in crate::data) struct Geometry {
    crop: Option<[usize; 2]>,
    size: Option<[usize; 2]>,
}

impl Geometry {
    /// Checks the settings that concern folders.
    pub(in crate::data) fn new(path: &Path, config: &DataConfig) -> Result<Self> {
        let of_arrays = [("key", config.key.is_some()), ("layout", config.layout.is_some())];
        if let Some((key, _)) = of_arrays.iter().find(|(_, set)| *set) {
            return Err(Error::config(
                format!(
                    "data.{key} applies to array files, but {} holds image files",
                    path.display()
                ),
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
    pub(in crate::data) fn target(&self, path: &Path, image: [usize; 2]) -> Result<[usize; 2]> {
        let cut = self.cut(path, image)?;
        Ok(self.size.unwrap_or(cut))
    }

    /// Cuts, converts and resizes an image to [H, W, C].
    pub(in crate::data) fn apply(
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

pub(super) fn sides([height, width]: [usize; 2]) -> String {
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

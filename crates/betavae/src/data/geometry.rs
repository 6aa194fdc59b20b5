//! How images of any size and number of channels become images of one: cut, resized, made grey or RGB.
//!
//! A side that shrinks is averaged over exact areas, one that grows is interpolated linearly, so that
//! results neither alias nor leave the range of the image. Grey is computed from colour by the luma weights
//! of Rec. 709. One implementation for bytes and floats and for any number of channels, which no crate has
//! with exact areas.

use std::path::Path;

use super::{DataConfig, ImageShape};
use crate::error::{Error, Result};

/// Largest side an image may be resized to.
const MAX_SIDE: usize = 1 << 13;

/// Luma weights of red, green and blue (Rec. 709).
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// How images become images of one shape; sizes are [height, width].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    crop: Option<[usize; 2]>,
    size: Option<[usize; 2]>,
    channels: Option<usize>,
}

impl Geometry {
    /// Checks `data.size`, `data.crop` and `data.channels`.
    pub(super) fn new(config: &DataConfig) -> Result<Self> {
        if let Some(channels) = config.channels.filter(|channels| !matches!(channels, 1 | 3)) {
            let message = format!("data.channels is {channels}, expected 1 (grey) or 3 (RGB)");
            return Err(Error::config(message, ""));
        }
        for (key, sides) in [("crop", config.crop), ("size", config.size)] {
            let valid = |side: &usize| (1..=MAX_SIDE).contains(side);
            if let Some(sides) = sides.filter(|sides| !sides.iter().all(valid)) {
                let expected = format!("expected [height, width] of 1 to {MAX_SIDE}");
                return Err(Error::config(format!("data.{key} is {sides:?}, {expected}"), ""));
            }
        }
        Ok(Self { crop: config.crop, size: config.size, channels: config.channels })
    }

    /// The same with another size where none is set.
    pub(super) fn or_size(self, size: Option<[usize; 2]>) -> Self {
        Self { size: self.size.or(size), ..self }
    }

    /// The configured size, or else `size`.
    pub(super) fn size_or(&self, size: [usize; 2]) -> [usize; 2] {
        self.size.unwrap_or(size)
    }

    /// The configured number of channels.
    pub(super) fn channels(&self) -> Option<usize> {
        self.channels
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
    pub(super) fn target_size(&self, path: &Path, image: [usize; 2]) -> Result<[usize; 2]> {
        let cut = self.cut(path, image)?;
        Ok(self.size.unwrap_or(cut))
    }

    /// The shape an image ends up with.
    pub(super) fn target(&self, path: &Path, image: ImageShape) -> Result<ImageShape> {
        let [height, width] = self.target_size(path, [image.height, image.width])?;
        let channels = self.channels.unwrap_or(image.channels);
        if channels != image.channels && !matches!(image.channels, 1 | 3) {
            let reason = format!(
                "data.channels is {channels}, but only images of 1 or 3 channels can be converted, \
                 and these have {}",
                image.channels
            );
            return Err(Error::file_hint(path, reason, "remove data.channels"));
        }
        Ok(ImageShape::new(height, width, channels))
    }

    /// Brings `pixels` [H, W, C] of shape `from` to the shape `to`, which [`Geometry::target`] gave.
    pub(super) fn fit<T: Copy + Into<f32>>(
        &self,
        path: &Path,
        pixels: &[T],
        from: ImageShape,
        to: ImageShape,
    ) -> Result<Vec<f32>> {
        let [cut_height, cut_width] = self.cut(path, [from.height, from.width])?;
        let (top, left) = ((from.height - cut_height) / 2, (from.width - cut_width) / 2);
        let channels = from.channels;
        let across = weights(cut_width, to.width);
        let down = weights(cut_height, to.height);
        // Rows first: what is kept of a large photograph is small.
        let mut rows = vec![0.0; cut_height * to.width * channels];
        for (y, row) in rows.chunks_exact_mut(to.width * channels).enumerate() {
            let source = &pixels[((top + y) * from.width + left) * channels..];
            for (pixel, (first, weights)) in row.chunks_exact_mut(channels).zip(&across) {
                for (source, weight) in source[first * channels..].chunks(channels).zip(weights) {
                    let values = pixel.iter_mut().zip(source);
                    values.for_each(|(sum, value)| *sum += weight * (*value).into());
                }
            }
        }
        let mut fitted = vec![0.0; to.height * to.width * channels];
        for (row, (first, weights)) in fitted.chunks_exact_mut(to.width * channels).zip(&down) {
            let source = rows[first * to.width * channels..].chunks_exact(to.width * channels);
            for (source, weight) in source.zip(weights) {
                row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        Ok(match (channels, to.channels) {
            (3, 1) => {
                let luma =
                    |rgb: &[f32; 3]| rgb.iter().zip(LUMA).map(|(x, weight)| x * weight).sum();
                fitted.as_chunks::<3>().0.iter().map(luma).collect()
            }
            (1, 3) => fitted.into_iter().flat_map(|grey| [grey; 3]).collect(),
            _ => fitted,
        })
    }

    /// The same for bytes.
    pub(super) fn fit_bytes(
        &self,
        path: &Path,
        pixels: &[u8],
        from: ImageShape,
        to: ImageShape,
    ) -> Result<Vec<u8>> {
        let fitted = self.fit(path, pixels, from, to)?;
        Ok(fitted.into_iter().map(|value| value.round() as u8).collect())
    }

    /// A note about how images of shape `from` become `to`; `None` if they are not changed.
    pub(super) fn words(&self, from: ImageShape, to: ImageShape) -> Option<String> {
        let mut done = Vec::new();
        // The image is inside its target, so no error is possible here that `target` did not report.
        let before = [from.height, from.width];
        let cut = self.cut(Path::new(""), before).unwrap_or(before);
        if cut != before {
            done.push(format!("cut {} out of the middle of {}", sides(cut), sides(before)));
        }
        let after = [to.height, to.width];
        if after != cut {
            done.push(format!("resized from {} to {}", sides(cut), sides(after)));
        }
        match (from.channels, to.channels) {
            (3, 1) => done.push("made grey".into()),
            (1, 3) => done.push("made RGB".into()),
            _ => {}
        }
        (!done.is_empty()).then(|| done.join(", "))
    }
}

/// For each of `to` places on a line of `from`: the first value that counts, and the weights of those from
/// there on, which sum to 1.
fn weights(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    let place = |i: usize| {
        if to <= from {
            let (start, end) = (i as f64 * scale, ((i + 1) as f64 * scale).min(from as f64));
            let first = start as usize;
            let last = (end.ceil() as usize).clamp(first + 1, from);
            let share = |j: usize| (end.min((j + 1) as f64) - start.max(j as f64)) / (end - start);
            (first, (first..last).map(|j| share(j) as f32).collect())
        } else {
            let centre = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f64);
            let first = (centre as usize).min(from.saturating_sub(2));
            let share = (centre - first as f64) as f32;
            (first, if from == 1 { vec![1.0] } else { vec![1.0 - share, share] })
        }
    };
    (0..to).map(place).collect()
}

/// `side` * `numerator` / `denominator`, rounded, at least 1.
fn scaled(side: usize, numerator: usize, denominator: usize) -> usize {
    ((2 * side * numerator + denominator) / (2 * denominator)).max(1)
}

/// Height and width in words.
pub(super) fn sides([height, width]: [usize; 2]) -> String {
    format!("{height}x{width}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(config: &str, pixels: &[f32], from: [usize; 3]) -> Vec<f32> {
        let geometry = Geometry::new(&toml::from_str(config).unwrap()).unwrap();
        let (path, from) = (Path::new("x"), from.into());
        let to = geometry.target(path, from).unwrap();
        let fitted = geometry.fit(path, pixels, from, to).unwrap();
        assert_eq!(fitted.len(), to.values());
        fitted
    }

    #[test]
    fn shrinking_averages_over_exact_areas() {
        // Halves are means of blocks.
        let ramp: Vec<f32> = (0..16).map(|i| i as f32).collect();
        assert_eq!(fit("size = 2", &ramp, [4, 4, 1]), [2.5, 4.5, 10.5, 12.5]);
        // 3 to 2: two thirds and one third.
        let thirds = fit("size = [1, 2]\ncrop = [1, 3]", &[0.0, 3.0, 9.0], [1, 3, 1]);
        assert!((thirds[0] - 1.0).abs() < 1e-6 && (thirds[1] - 7.0).abs() < 1e-6, "{thirds:?}");
        // The mean of an image whose area is divided evenly stays.
        let noise: Vec<f32> = (0..35 * 2).map(|i| ((i * i * 37) % 101) as f32).collect();
        let small = fit("size = [3, 4]\ncrop = [5, 7]", &noise, [5, 7, 2]);
        for channel in 0..2 {
            let mean = |values: &[f32]| {
                let of_channel = values.iter().skip(channel).step_by(2);
                of_channel.sum::<f32>() / (values.len() / 2) as f32
            };
            assert!((mean(&small) - mean(&noise)).abs() < 1e-4, "{channel}");
        }
    }

    #[test]
    fn growing_interpolates_and_stays_in_range() {
        let grown = fit("size = [1, 4]\ncrop = [1, 2]", &[0.0, 1.0], [1, 2, 1]);
        assert_eq!(grown, [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(fit("size = 3\ncrop = 1", &[7.0], [1, 1, 1]), [7.0; 9]);
    }

    #[test]
    fn the_middle_is_cut_and_channels_are_converted() {
        let ramp: Vec<f32> = (0..32).map(|i| i as f32).collect();
        assert_eq!(fit("crop = [2, 3]", &ramp, [4, 8, 1]), [10.0, 11.0, 12.0, 18.0, 19.0, 20.0]);
        // The square part of a wide image.
        assert_eq!(fit("size = 4", &ramp, [4, 8, 1])[..5], [2.0, 3.0, 4.0, 5.0, 10.0]);
        let grey = fit("channels = 1", &[1.0, 0.5, 0.25], [1, 1, 3]);
        assert!((grey[0] - (0.2126 + 0.3576 + 0.01805)).abs() < 1e-6, "{grey:?}");
        assert_eq!(fit("channels = 3", &[2.0], [1, 1, 1]), [2.0; 3]);
        let geometry = Geometry::new(&toml::from_str("channels = 3").unwrap()).unwrap();
        let error = geometry.target(Path::new("x"), ImageShape::new(2, 2, 4)).unwrap_err();
        assert!(error.to_string().contains("these have 4"), "{error}");
    }
}

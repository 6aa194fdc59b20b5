//! Pixels of one shape by index, in memory or in a file, for any number of threads.
//!
//! A file is read at positions and not mapped: one that is cut off while somebody trains on it is an
//! error then, not a signal. What memory the machine has to spare is the operating system's cache.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::ImageShape;
use super::reader::ReaderSummary;
use crate::error::{IoContext, Result};
use crate::npz::{ArrayFault, Dtype};

/// Largest image in bytes that is read.
pub(super) const MAX_IMAGE: usize = 1 << 28;

/// Number, shape and storage of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelLayout {
    /// N
    pub(crate) len: usize,
    /// [H, W, C]
    pub(crate) shape: ImageShape,
    pub(crate) dtype: Dtype,
    /// Whether an image lies as [C, H, W] instead of [H, W, C].
    pub(crate) planar: bool,
}

impl PixelLayout {
    /// Images of bytes, [N, H, W, C].
    pub(crate) fn bytes(len: usize, shape: ImageShape) -> Self {
        Self { len, shape, dtype: Dtype::U8, planar: false }
    }

    /// Bytes of one image and of all, unless they are more than anybody has.
    pub(crate) fn sizes(&self) -> Option<(usize, u64)> {
        let ImageShape { height, width, channels } = self.shape;
        let values = height.checked_mul(width)?.checked_mul(channels)?;
        let image = values.checked_mul(self.dtype.bytes())?;
        let all = (image as u64).checked_mul(self.len as u64)?;
        (image > 0 && image <= MAX_IMAGE).then_some((image, all))
    }

    /// The same images after [`PixelLayout::arrange`].
    pub(crate) fn arranged(self) -> Self {
        let dtype = match self.dtype {
            Dtype::F32 { .. } => Dtype::F32 { big_endian: false },
            other => other,
        };
        Self { dtype, planar: false, ..self }
    }

    /// Brings an image as it is stored to [H, W, C] and little-endian values.
    pub(crate) fn arrange(&self, image: &mut [u8]) {
        let size = self.dtype.bytes();
        let channels = self.shape.channels;
        if self.planar && channels > 1 {
            let planes = image.to_vec();
            let plane = planes.len() / channels;
            for (i, pixel) in image.chunks_exact_mut(channels * size).enumerate() {
                for (c, value) in pixel.chunks_exact_mut(size).enumerate() {
                    value.copy_from_slice(&planes[c * plane + i * size..][..size]);
                }
            }
        }
        if self.dtype == (Dtype::F32 { big_endian: true }) {
            image.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
    }
}

/// Pixels that can be read by index.
pub(crate) struct PixelStore {
    form: PixelLayout,
    place: PixelSource,
}

enum PixelSource {
    /// Arranged.
    Memory(Vec<u8>),
    /// From `start` on.
    File { file: File, path: PathBuf, start: u64 },
}

impl PixelStore {
    /// Over arranged pixels in memory.
    pub(crate) fn memory(form: PixelLayout, pixels: Vec<u8>) -> Self {
        Self { form: form.arranged(), place: PixelSource::Memory(pixels) }
    }

    /// Over the pixels of `file`, called `path` in messages, from byte `start` on. The caller has
    /// checked that they are there.
    pub(crate) fn file(form: PixelLayout, file: File, path: &Path, start: u64) -> Self {
        Self { form, place: PixelSource::File { file, path: path.to_owned(), start } }
    }

    pub(crate) fn form(&self) -> PixelLayout {
        self.form
    }

    /// Writes image `index` to `pixels`, [H * W * C] in [0, 1]; bytes are divided by `white`.
    ///
    /// # Errors
    /// If a file has become shorter or unreadable.
    pub(crate) fn read(&self, index: usize, white: u8, pixels: &mut [f32]) -> Result<()> {
        let image = self.form.shape.values() * self.form.dtype.bytes();
        match &self.place {
            PixelSource::Memory(bytes) => {
                self.convert(&bytes[index * image..(index + 1) * image], white, pixels);
            }
            PixelSource::File { file, path, start } => {
                let mut bytes = vec![0; image];
                let position = start + index as u64 * image as u64;
                read_at(file, &mut bytes, position).context("read", path)?;
                self.form.arrange(&mut bytes);
                self.convert(&bytes, white, pixels);
            }
        }
        Ok(())
    }

    /// Intensities of an arranged image.
    fn convert(&self, bytes: &[u8], white: u8, pixels: &mut [f32]) {
        match self.form.dtype {
            Dtype::Bool | Dtype::U8 => {
                let white = f32::from(white);
                pixels.iter_mut().zip(bytes).for_each(|(x, byte)| *x = f32::from(*byte) / white);
            }
            Dtype::F32 { .. } => {
                let (values, _) = bytes.as_chunks::<4>();
                pixels
                    .iter_mut()
                    .zip(values)
                    .for_each(|(x, value)| *x = f32::from_le_bytes(*value));
            }
        }
    }
}

/// Fills `bytes` from `position` on; other threads may read at the same time.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, position)
}

/// Fills `bytes` from `position` on; other threads may read at the same time.
#[cfg(windows)]
pub(crate) fn read_at(file: &File, mut bytes: &mut [u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, position) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                position += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Systems without files.
#[cfg(not(any(unix, windows)))]
pub(crate) fn read_at(_file: &File, _bytes: &mut [u8], _position: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is known after one pass over all pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PixelFacts {
    /// The largest byte; 255 for floats.
    pub(crate) brightest: u8,
    /// SHA-256 over the shape [N, H, W, C] and the arranged bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// The reader's summary.
    pub(crate) ending: ReaderSummary,
}

/// Collects [`PixelFacts`] from all pixels in their order, and refuses values out of range.
pub(crate) struct PixelScan {
    form: PixelLayout,
    hash: Sha256,
    brightest: u8,
    images: usize,
}

impl PixelScan {
    pub(crate) fn new(form: PixelLayout) -> Self {
        let mut hash = Sha256::new();
        let ImageShape { height, width, channels } = form.shape;
        for axis in [form.len, height, width, channels] {
            hash.update((axis as u64).to_le_bytes());
        }
        Self { form, hash, brightest: 0, images: 0 }
    }

    /// Takes the next images, arranged.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), ArrayFault> {
        let values = self.form.shape.values();
        match self.form.dtype {
            Dtype::Bool | Dtype::U8 => {
                self.brightest = bytes.iter().copied().fold(self.brightest, u8::max);
                if self.form.dtype == Dtype::Bool && self.brightest > 1 {
                    let reason = "a bool array holds bytes other than 0 and 1";
                    return Err(ArrayFault::new(reason, ""));
                }
                self.images += bytes.len() / values;
            }
            Dtype::F32 { .. } => {
                self.brightest = u8::MAX;
                let (floats, _) = bytes.as_chunks::<4>();
                let outside = |bytes: &[u8; 4]| !(0.0..=1.0).contains(&f32::from_le_bytes(*bytes));
                if let Some(i) = floats.iter().position(outside) {
                    let (image, value) = (self.images + i / values, f32::from_le_bytes(floats[i]));
                    let reason = format!("image {image} holds {value}, expected values in [0, 1]");
                    return Err(ArrayFault::new(reason, range_hint(value)));
                }
                self.images += floats.len() / values;
            }
        }
        self.hash.update(bytes);
        Ok(())
    }

    pub(crate) fn finish(self, ending: ReaderSummary) -> PixelFacts {
        PixelFacts {
            brightest: self.brightest,
            sha256: HEXLOWER.encode(&self.hash.finalize()),
            ending,
        }
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

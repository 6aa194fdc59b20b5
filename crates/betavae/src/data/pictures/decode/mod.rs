//! Image files: reading their headers, decoding them.
//!
//! Every image becomes upright, opaque and 8 bits deep here. Nothing is known about the size or the
//! colours that a data set wants.

mod jpeg;
mod png;

use std::io::{self, BufRead, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use image::error::UnsupportedErrorKind;
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader,
    Limits, Pixel, Rgb,
};

use super::super::ImageShape;
use crate::error::{Error, IoContext, Result};
use crate::files::{describe_content, extension_of, replacement_hint};

/// Memory one file may use when it is decoded.
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// First bytes that tell what a file is.
const START: u64 = 512;

/// The formats that are read, and the endings of their files.
const FORMATS: [(ImageFormat, &[&str]); 6] = [
    (ImageFormat::Png, &["png"]),
    (ImageFormat::Jpeg, &["jpg", "jpeg", "jpe", "jfif"]),
    (ImageFormat::WebP, &["webp"]),
    (ImageFormat::Bmp, &["bmp", "dib"]),
    (ImageFormat::Gif, &["gif"]),
    (ImageFormat::Tiff, &["tif", "tiff"]),
];

/// Whether a file name is that of an image we read.
pub(in crate::data) fn is_image(path: &Path) -> bool {
    let ending = extension_of(path);
    FORMATS.iter().flat_map(|(_, endings)| *endings).any(|known| ending == *known)
}

/// What is known about a file before it is decoded.
pub(in crate::data) struct ImageHeader {
    /// The file, for messages.
    pub(in crate::data) place: PathBuf,
    /// [height, width] of the upright image.
    pub(in crate::data) size: [usize; 2],
    /// Whether the file has one channel of brightness. Palettes count as colours.
    pub(in crate::data) grey: bool,
    /// Whether the stored image is turned or mirrored to be upright.
    pub(in crate::data) turned: bool,
}

/// A decoded image: upright, without transparency, 8 bits.
#[derive(Debug)]
pub(in crate::data) struct DecodedImage {
    /// [H, W, C].
    pub(in crate::data) pixels: Vec<u8>,
    /// One channel if the file is grey, else three: red, green, blue.
    pub(in crate::data) shape: ImageShape,
    /// Largest stored grey or colour value, where the file has 16 bits.
    pub(in crate::data) brightest16: Option<u16>,
    /// Whether some pixel was transparent, and therefore blended over the background.
    pub(in crate::data) blended: bool,
}

/// Reads the header of the image file `place`. `content` is read from its start.
pub(in crate::data) fn read_header(
    place: PathBuf,
    mut content: impl BufRead + Seek,
) -> Result<ImageHeader> {
    let path = &place;
    let format = format_of(path, &mut content)?;
    let known = known(path, format, &mut content);
    let (size, color, orientation) = match (known, format) {
        (Err(_), ImageFormat::Jpeg) if is_cut_jpeg(path, &mut content)? => {
            return Err(undecodable(path, jpeg::MISSING_END));
        }
        (known, _) => known?,
    };
    Ok(ImageHeader {
        place,
        size,
        grey: !color.has_color(),
        turned: orientation != Orientation::NoTransforms,
    })
}

/// Upright size, stored colours and orientation of an image.
fn known(
    path: &Path,
    format: ImageFormat,
    content: &mut (impl BufRead + Seek),
) -> Result<([usize; 2], ColorType, Orientation)> {
    content.rewind().context("read", path)?;
    let (mut decoder, [width, height]) = opened(path, format, content)?;
    let orientation = orientation_of(&mut decoder);
    // The tags from 5 on swap height and width.
    let size = match orientation.to_exif() {
        5.. => [width, height],
        _ => [height, width],
    };
    Ok((size, decoder.color_type(), orientation))
}

/// Whether a JPEG file has no end.
fn is_cut_jpeg(path: &Path, content: &mut (impl BufRead + Seek)) -> Result<bool> {
    content.rewind().context("read", path)?;
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).context("read", path)?;
    Ok(!jpeg::has_end(&bytes))
}

/// Decodes the content of the image file `path`.
///
/// Transparent pixels are blended over `background`, red, green and blue; those of grey files over its
/// brightness, so that they stay grey. Of files with several images the first is taken.
pub(in crate::data) fn decode(
    path: &Path,
    bytes: &[u8],
    background: [u8; 3],
) -> Result<DecodedImage> {
    let format = format_of(path, &mut Cursor::new(bytes))?;
    let (mut image, orientation) = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes).map_err(|reason| undecodable(path, &reason))?,
        _ => {
            let whole = match format {
                ImageFormat::Png => png::with_end(bytes),
                _ => bytes.into(),
            };
            let (mut decoder, _) = opened(path, format, Cursor::new(&*whole))?;
            let orientation = orientation_of(&mut decoder);
            let image = DynamicImage::from_decoder(decoder);
            (image.map_err(|error| undecodable(path, &reason(error)))?, orientation)
        }
    };
    image.apply_orientation(orientation);
    Ok(opaque(image, background))
}

/// The format that the content shows, whatever the ending says. Leaves `content` anywhere.
fn format_of(path: &Path, content: &mut (impl BufRead + Seek)) -> Result<ImageFormat> {
    let mut start = Vec::new();
    content.by_ref().take(START).read_to_end(&mut start).context("read", path)?;
    content.rewind().context("read", path)?;
    // Files of more than 4 GiB have a number of their own.
    if start.starts_with(b"II+\0") || start.starts_with(b"MM\0+") {
        return Ok(ImageFormat::Tiff);
    }
    let format = image::guess_format(&start).ok();
    match format.filter(|format| FORMATS.iter().any(|(known, _)| known == format)) {
        Some(format) => Ok(format),
        None => Err(foreign(path, &start, format)),
    }
}

/// The error about a file that is no image we read, with what it is.
fn foreign(path: &Path, start: &[u8], format: Option<ImageFormat>) -> Error {
    let reason = match (describe_content(start), format) {
        (Some(what), _) => format!("it is {what}"),
        (None, Some(format)) => format!("it is a file of the format {format:?}"),
        (None, None) => "it is no PNG, JPEG, WebP, BMP, GIF or TIFF file".into(),
    };
    match replacement_hint(start) {
        Some(hint) => Error::file_hint(path, format!("cannot decode the image: {reason}"), hint),
        None => undecodable(path, &reason),
    }
}

/// A decoder of an image that is small enough, and its stored [width, height].
fn opened<'a, R: BufRead + Seek + 'a>(
    path: &Path,
    format: ImageFormat,
    content: R,
) -> Result<(impl ImageDecoder + use<'a, R>, [usize; 2])> {
    let mut reader = ImageReader::with_format(content, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| undecodable(path, &reason(error)))?;
    let (width, height) = decoder.dimensions();
    check_size([width, height], decoder.total_bytes())
        .map_err(|reason| undecodable(path, &reason))?;
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(undecodable(path, WIDE));
    }
    Ok((decoder, [width as usize, height as usize]))
}

/// Refuses an image of [width, height] that has no pixels or needs too many bytes.
fn check_size([width, height]: [u32; 2], bytes: u64) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("{height}x{width} pixels are none"));
    }
    if bytes > MAX_DECODED_BYTES {
        let [bytes, limit] = [bytes, MAX_DECODED_BYTES].map(|bytes| bytes >> 20);
        return Err(format!(
            "the {height}x{width} pixels need {bytes} MiB, expected at most {limit} MiB"
        ));
    }
    Ok(())
}

/// The orientation that the metadata give; upright where they are damaged.
fn orientation_of(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Reduces an image to 8 bits and blends it over a background.
fn opaque(image: DynamicImage, background: [u8; 3]) -> DecodedImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let brightest16 = match &image {
        DynamicImage::ImageLuma16(image) => brightest(image.as_raw(), 1, 1),
        DynamicImage::ImageLumaA16(image) => brightest(image.as_raw(), 2, 1),
        DynamicImage::ImageRgb16(image) => brightest(image.as_raw(), 3, 3),
        DynamicImage::ImageRgba16(image) => brightest(image.as_raw(), 4, 3),
        _ => None,
    };
    let color = image.color();
    let (channels, mut blended) = (if color.has_color() { 3 } else { 1 }, false);
    let pixels = match (color.has_color(), color.has_alpha()) {
        (false, false) => image.into_luma8().into_raw(),
        (true, false) => image.into_rgb8().into_raw(),
        (false, true) => {
            let background = Rgb(background).to_luma().0;
            over::<1>(image.into_luma_alpha8().as_raw(), background, &mut blended)
        }
        (true, true) => over::<3>(image.into_rgba8().as_raw(), background, &mut blended),
    };
    let shape = ImageShape::new(height, width, channels);
    DecodedImage { pixels, shape, brightest16, blended }
}

/// Largest of the first `used` of every `channels` values.
fn brightest(values: &[u16], channels: usize, used: usize) -> Option<u16> {
    values.chunks_exact(channels).flat_map(|pixel| &pixel[..used]).max().copied()
}

/// Blends pixels of N channels and alpha over a background of N channels.
fn over<const N: usize>(pixels: &[u8], background: [u8; N], blended: &mut bool) -> Vec<u8> {
    let blend = |pixel: &[u8]| -> [u8; N] {
        let alpha = u16::from(pixel[N]);
        *blended |= alpha < 255;
        std::array::from_fn(|i| {
            let [front, back] = [pixel[i], background[i]].map(u16::from);
            // At most 255 * 255 + 127.
            ((front * alpha + back * (255 - alpha) + 127) / 255) as u8
        })
    };
    pixels.chunks_exact(N + 1).flat_map(blend).collect()
}

const WIDE: &str = "its pixels are floating-point numbers or wider than 16 bits, expected whole \
                    numbers of 8 or 16 bits";

/// What a decoder found wrong.
fn reason(error: ImageError) -> String {
    let text = error.to_string();
    match &error {
        ImageError::IoError(inner) if inner.kind() == io::ErrorKind::UnexpectedEof => {
            "the end of the file is missing".into()
        }
        // The decoder's error itself cannot be looked at.
        ImageError::Decoding(_) if text.contains("CRC error") => {
            "it is damaged: a check sum is wrong".into()
        }
        ImageError::Unsupported(what) => match what.kind() {
            // TIFF files of one channel.
            UnsupportedErrorKind::Color(ExtendedColorType::Unknown(32)) => WIDE.into(),
            UnsupportedErrorKind::GenericFeature(name) if name.contains("sample format") => {
                WIDE.into()
            }
            UnsupportedErrorKind::Color(_) => {
                "its kind of colours is not read, expected grey, RGB or RGBA".into()
            }
            _ => text,
        },
        _ => text,
    }
}

fn undecodable(path: &Path, reason: &str) -> Error {
    Error::file_hint(
        path,
        format!("cannot decode the image: {reason}"),
        "remove, convert or replace the file",
    )
}

#[cfg(test)]
mod tests;

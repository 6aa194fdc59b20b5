//! Image files: reading their headers, decoding them.
//!
//! Knows nothing about the size or the colours that a data set wants.

use std::io::{BufRead, Cursor, Seek};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::{Error, IoContext, Result};

/// Memory one file may use when it is decoded.
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// Whether a file name is that of an image we read.
pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg"].iter().any(|known| extension == *known)
}

/// What is known about a file before it is decoded.
pub(in crate::data) struct Header {
    /// The file, for messages.
    pub(super) place: PathBuf,
    /// [height, width].
    pub(super) size: [usize; 2],
    pub(super) grey: bool,
}

/// Reads the header of the image file `path`.
pub(in crate::data) fn read_header(place: PathBuf, content: impl BufRead + Seek) -> Result<Header> {
    let path = &place;
    let (reader, _) = image_reader(path, content)?;
    let decoder = reader.into_decoder().map_err(|error| undecodable(path, &error.to_string()))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(undecodable(path, &format!("{height}x{width} pixels are none")));
    }
    let (bytes, limit) = (decoder.total_bytes(), MAX_DECODED_BYTES);
    if bytes > limit {
        let [bytes, limit] = [bytes, limit].map(|bytes| bytes >> 20);
        let reason =
            format!("the {height}x{width} pixels need {bytes} MiB, expected at most {limit} MiB");
        return Err(undecodable(path, &reason));
    }
    let size = [height as usize, width as usize];
    let grey = !decoder.color_type().has_color();
    drop(decoder);
    Ok(Header { place, size, grey })
}

/// Decodes the content of the image file `path`.
pub(in crate::data) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<DynamicImage> {
    let (reader, format) = image_reader(path, Cursor::new(bytes))?;
    // The JPEG decoder fills what is missing with grey; a complete file has an end-of-image marker
    // after its last start of scan.
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    if format == ImageFormat::Jpeg && last(0xd9) <= last(0xda) {
        return Err(undecodable(path, "the end of the JPEG file is missing"));
    }
    reader.decode().map_err(|error| undecodable(path, &error.to_string()))
}

/// A reader for the format that the content shows, whatever the extension says.
fn image_reader<R>(path: &Path, input: R) -> Result<(ImageReader<R>, ImageFormat)>
where
    R: BufRead + Seek,
{
    let mut reader = ImageReader::new(input).with_guessed_format().context("read", path)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    match reader.format() {
        Some(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => Ok((reader, format)),
        Some(other) => Err(undecodable(path, &format!("it is a {other:?} file"))),
        None => Err(undecodable(path, "it is neither a PNG nor a JPEG file")),
    }
}

fn undecodable(path: &Path, reason: &str) -> Error {
    Error::file_hint(
        path,
        format!("cannot decode the image: {reason}"),
        "remove, convert or replace the file",
    )
}

//! The image files below a folder: finding them, reading their headers, decoding them.
//!
//! Knows nothing about the size or the colours that a data set wants.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Seek};
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

/// All image files in and below `folder`, relative to it, in the order of their bytes.
pub(super) fn find_images(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    // Links are followed, but no folder is visited twice.
    let mut visited = HashSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let absolute = folder.join(&relative);
        if !visited.insert(absolute.canonicalize().context("read", &absolute)?) {
            continue;
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(&absolute).context("read", &absolute)? {
            let name = entry.context("read", &absolute)?.file_name();
            let path = relative.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match fs::metadata(folder.join(&path)) {
                Ok(metadata) if metadata.is_dir() => folders.push(path),
                Ok(metadata) if metadata.is_file() && is_image(&path) => files.push(path),
                // A dangling link, reported when it is opened.
                Err(_) if is_image(&path) => files.push(path),
                _ => {}
            }
        }
        folders.sort_by(|a, b| b.cmp(a));
        pending.extend(folders);
    }
    if files.is_empty() {
        let reason = "no image found: expected .png, .jpg or .jpeg files in it or its subfolders";
        return Err(Error::file(folder, reason));
    }
    files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}

/// What is known about a file before it is decoded.
pub(super) struct Header {
    /// [height, width].
    pub(super) size: [usize; 2],
    pub(super) grey: bool,
}

pub(super) fn read_header(path: &Path) -> Result<Header> {
    let file = File::open(path).context("open", path)?;
    let (reader, _) = image_reader(path, BufReader::new(file))?;
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
    Ok(Header { size: [height as usize, width as usize], grey: !decoder.color_type().has_color() })
}

pub(super) fn decode(path: &Path) -> Result<DynamicImage> {
    decode_bytes(path, &fs::read(path).context("read", path)?)
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

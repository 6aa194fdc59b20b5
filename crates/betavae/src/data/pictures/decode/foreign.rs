//! What a file is that is no image we read, by its first bytes.

use image::ImageFormat;

/// Number of bytes that are looked at.
pub(super) const START: u64 = 512;

/// Says what a file that starts with `start` is; `format` is an image format that was recognised.
pub(super) fn name(start: &[u8], format: Option<ImageFormat>) -> String {
    let text =
        String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    let brand = (start.get(4..8) == Some(b"ftyp")).then(|| start.get(8..12)).flatten();
    let found = match brand {
        Some(b"avif" | b"avis") => "an AVIF file",
        Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
            "a HEIC file"
        }
        Some(_) => "an MP4 or MOV file",
        None if start.is_empty() => "an empty file",
        None if start.starts_with(b"%PDF") => "a PDF file",
        None if start.starts_with(b"\xff\x0a") || start.get(4..8) == Some(b"JXL ") => {
            "a JPEG XL file"
        }
        None if start.get(4..8) == Some(b"jP  ") => "a JPEG 2000 file",
        None if start.starts_with(b"PK\x03\x04") => "a ZIP file",
        None if start.starts_with(b"\x1f\x8b") => "a gzip file",
        None if text.starts_with("version https://git-lfs") => {
            "a Git LFS pointer (`git lfs pull` fetches the file)"
        }
        None if text.starts_with("<!doctype html") || text.starts_with("<html") => "an HTML page",
        None if text.starts_with("<svg") || text.contains("<svg ") => "an SVG file",
        None => match format {
            Some(format) => return format!("it is a file of the format {format:?}"),
            None => return "it is no PNG, JPEG, WebP, BMP, GIF or TIFF file".into(),
        },
    };
    format!("it is {found}")
}

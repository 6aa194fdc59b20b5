//! What a file is by its first bytes, for the message when it is not what its reader expects.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{IoContext, Result};

/// As many first bytes as [`describe_content`] looks at.
const HEAD: usize = 512;

/// The first [`HEAD`] bytes of a file, or all of a shorter one.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    let file = File::open(path).context("read", path)?;
    file.take(HEAD as u64).read_to_end(&mut head).context("read", path)?;
    Ok(head)
}

/// Kinds that begin with fixed bytes at a fixed place: the place, the bytes, the name.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"version https://git-lfs", GIT_LFS),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF87a", "a GIF picture"),
    (0, b"GIF89a", "a GIF picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyphei", "an HEIC picture"),
    (4, b"ftyphev", "an HEIC picture"),
    (4, b"ftypmsf1", "an HEIC picture"),
    (4, b"ftypmif1", "an HEIC picture"),
    (4, b"ftyp", "an MP4 film"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x80\x02", "a pickle of Python"),
    (0, b"\x80\x03", "a pickle of Python"),
    (0, b"\x80\x04", "a pickle of Python"),
    (0, b"\x80\x05", "a pickle of Python"),
    (0, b"bvae\x01\0\0\0", "a betavae program"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
];

const GIT_LFS: &str = "a Git LFS pointer";
const HTML: &str = "an HTML page";
const EMPTY: &str = "an empty file";

/// What a file is that begins with `head`, with its article: `a PNG picture`. At least [`HEAD`] bytes, or
/// the whole of a shorter file, are needed to recognise every format.
///
/// The name of last resort is `text`; bytes without a known beginning have none.
pub(crate) fn describe_content(head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return Some(EMPTY);
    }
    // torch.save writes a zip archive that begins with the pickle, or pickles of which the first is a number.
    let first_member = head.get(30..).unwrap_or_default();
    if head.starts_with(b"PK\x03\x04")
        && first_member.windows(9).take(256).any(|w| w == b"/data.pkl")
        || head.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20")
    {
        return Some("a PyTorch checkpoint");
    }
    let fixed = MAGIC.iter().find(|(at, magic, name)| {
        let found = head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
        // Two letters may begin any text.
        found
            && (magic.len() > 2
                || !name.ends_with("picture") && *name != "a program"
                || !text(head))
    });
    if let Some((.., name)) = fixed {
        return Some(name);
    }
    // An ONNX model is a protocol buffer: its version, a small number, comes first, then a text or the graph.
    if let [0x08, 1..=31, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42 | 0x72, ..] = head {
        return Some("an ONNX model");
    }
    // The length of a header in JSON, then the header.
    if let [a, b, c, d, e, f, g, h, b'{', b'"' | b'}' | b' ', ..] = *head
        && (2..1 << 32).contains(&u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    {
        return Some("a safetensors file");
    }
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins =
        |word: &[u8]| start.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    if begins(b"<!doctype html") || begins(b"<html") {
        return Some(HTML);
    }
    if begins(b"<?xml") || begins(b"<svg") {
        return Some("an XML document");
    }
    text(head).then_some("text")
}

/// What to do about a file that stands in the place of another, as downloads that failed do.
pub(crate) fn replacement_hint(head: &[u8]) -> Option<&'static str> {
    match describe_content(head)? {
        GIT_LFS => Some("`git lfs pull` in the folder of its repository fetches the file"),
        HTML => Some(
            "a web page was saved in its place, such as one to log in or to confirm: download it again \
             and look at it",
        ),
        EMPTY => Some("copy or download it again"),
        _ => None,
    }
}

/// Whether these bytes, of which the last character may be cut off, can be read as text.
fn text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !"\t\r\n\x0c".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_first_bytes() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: &[(&[u8], &str)] = &[
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", GIT_LFS),
            (b"\n <!DOCTYPE html><html>", HTML),
            (b"\xef\xbb\xbf<HTML>", HTML),
            (b"<?xml version=\"1.0\"?>", "an XML document"),
            (b"", EMPTY),
            (&tar, "a tar archive"),
            (b"PK\x03\x04....", "a zip archive"),
            (b"\x1f\x8b\x08\0", "a gzip file"),
            (b"\xfd7zXZ\0\0\x04", "an xz file"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP picture"),
            (b"\0\0\0\x18ftypheic\0\0", "an HEIC picture"),
            (b"BM\x36\0\0\0\0\0\0\0", "a BMP picture"),
            (b"BMI,age\n23,4\n", "text"),
            (b"\x80\x02}q\0.", "a pickle of Python"),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a", "a PyTorch checkpoint"),
            (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
            (b"\x58\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}", "a safetensors file"),
            ("name,größe".as_bytes(), "text"),
            // A character that is cut off.
            (b"gr\xc3", "text"),
        ];
        for (head, name) in cases {
            assert_eq!(describe_content(head), Some(*name), "{:?}", String::from_utf8_lossy(head));
        }
        for (_, magic, name) in MAGIC.iter().filter(|(at, magic, _)| *at == 0 && magic.len() > 2) {
            assert_eq!(describe_content(magic), Some(*name));
        }
        assert_eq!(describe_content(&[0, 1, 2, 3]), None);
        assert_eq!(describe_content(&[0xff, 0xfe, b'a', 0]), None);
    }

    #[test]
    fn what_stands_in_the_place_of_a_file_is_told_how_to_replace() {
        assert!(
            replacement_hint(b"version https://git-lfs.github.com/spec/v1\n")
                .unwrap()
                .contains("pull")
        );
        assert!(replacement_hint(b"<html>").unwrap().contains("again"));
        assert!(replacement_hint(b"").unwrap().contains("again"));
        assert_eq!(replacement_hint(b"\x89PNG\r\n\x1a\n"), None);
    }
}

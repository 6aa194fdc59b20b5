//! One array of bytes out of a MATLAB file of version 5, as `scipy.io.savemat` and MATLAB before
//! version 7.3 write it.
//!
//! After a header of 128 bytes come elements: a tag of type and size, then data. A compressed element
//! is a zlib stream of another one. An array is an element of elements: flags, axes, name, values.

use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::error::{Error, Result};

use super::input::COPY_AGAIN;

/// The type numbers of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Largest array that is unpacked, in bytes: an image file of Cars3D has 4.7 MB.
const MAX_ARRAY: usize = 1 << 28;

/// An array of bytes as MATLAB stores it, first axis fastest.
#[derive(Debug, PartialEq)]
pub(super) struct ByteArray {
    pub(super) axes: Vec<usize>,
    pub(super) values: Vec<u8>,
}

/// The array called `name` in the content of the MATLAB file at `path`.
pub(super) fn read(path: &Path, content: &[u8], name: &str) -> Result<ByteArray> {
    let fault = |reason: &str| Error::file_hint(path, reason, COPY_AGAIN);
    // The version, and the byte order of little-endian writers.
    if content.get(124..128) != Some(b"\x00\x01IM") {
        return Err(fault("expected a little-endian MATLAB file of version 5"));
    }
    let mut rest = &content[128..];
    while !rest.is_empty() {
        let (kind, element, after) = split(rest).ok_or_else(|| fault("an element is cut off"))?;
        // Only here may elements follow each other without padding.
        rest = if kind == COMPRESSED { &rest[8 + element.len()..] } else { after };
        let unpacked;
        let (kind, element) = if kind == COMPRESSED {
            unpacked = unpack(element).map_err(|reason| fault(&reason))?;
            let (kind, inner, _) = split(&unpacked).ok_or_else(|| fault("an array is cut off"))?;
            (kind, inner)
        } else {
            (kind, element)
        };
        if kind == MATRIX
            && let Some(bytes) = matrix(element, name).map_err(|reason| fault(&reason))?
        {
            return Ok(bytes);
        }
    }
    Err(Error::file(path, format!("no array is called `{name}`")))
}

/// Type and data of the first element, and what follows it.
fn split(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let first = word(0)?;
    // Up to four bytes of data fit into the tag itself.
    if first >> 16 != 0 {
        let size = (first >> 16) as usize;
        return Some((first & 0xffff, bytes.get(4..8)?.get(..size)?, &bytes[8..]));
    }
    let size = word(4)? as usize;
    let data = bytes.get(8..)?.get(..size)?;
    let padded = bytes.len().min(8 + size.next_multiple_of(8));
    Some((first, data, &bytes[padded..]))
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let limit = MAX_ARRAY as u64 + 4096;
    let read = ZlibDecoder::new(packed).take(limit + 1).read_to_end(&mut unpacked);
    read.map_err(|error| format!("an array cannot be unpacked: {error}"))?;
    if unpacked.len() as u64 > limit {
        return Err(format!("an array has more than {MAX_ARRAY} bytes"));
    }
    Ok(unpacked)
}

/// The content of an array element, if it is the one with that name.
fn matrix(element: &[u8], wanted: &str) -> Result<Option<ByteArray>, String> {
    let cut = || "an array is cut off".to_owned();
    let (_, flags, rest) = split(element).ok_or_else(cut)?;
    let (kind, axes, rest) = split(rest).ok_or_else(cut)?;
    let (_, name, rest) = split(rest).ok_or_else(cut)?;
    if name != wanted.as_bytes() {
        return Ok(None);
    }
    let (stored, values, _) = split(rest).ok_or_else(cut)?;
    // The class of numbers and a bit that marks complex ones.
    let (class, complex) = (flags.first().copied(), flags.get(1).is_none_or(|x| x & 8 != 0));
    if class != Some(9) || complex || !matches!(stored, UINT8 | INT8) {
        return Err(format!("array `{wanted}`: expected uint8, found MATLAB's class {class:?}"));
    }
    if kind != INT32 || axes.len() % 4 != 0 || axes.len() > 4 * 32 {
        return Err(format!("array `{wanted}`: its axes are not valid"));
    }
    let axes = axes.as_chunks::<4>().0.iter();
    let axes: Vec<usize> = axes.map(|bytes| u32::from_le_bytes(*bytes) as usize).collect();
    let count = axes.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis));
    if count != Some(values.len()) {
        let found = values.len();
        return Err(format!("array `{wanted}`: axes {axes:?} do not belong to {found} bytes"));
    }
    Ok(Some(ByteArray { axes, values: values.to_vec() }))
}

//! PNG files whose last chunk is missing.

use std::borrow::Cow;

/// An empty IEND chunk: its length, its name and its check sum.
const END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";

/// Adds the last chunk if it is missing, as browsers do; whether all pixels are there is for the
/// decoder to tell. What is left of a chunk that is cut off goes, unless it has pixels.
pub(super) fn with_end(bytes: &[u8]) -> Cow<'_, [u8]> {
    // After the signature.
    let mut at = 8;
    let mut seen_pixels = false;
    while let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let [a, b, c, d, name @ ..] = *head;
        let end = at.saturating_add(u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(12);
        if end > bytes.len() {
            if &name == b"IDAT" {
                return bytes.into();
            }
            break;
        }
        if &name == b"IEND" {
            return bytes.into();
        }
        seen_pixels |= &name == b"IDAT";
        at = end;
    }
    match bytes.get(..at) {
        Some(chunks) if seen_pixels => [chunks, &END].concat().into(),
        _ => bytes.into(),
    }
}

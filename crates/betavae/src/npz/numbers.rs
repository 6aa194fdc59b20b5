//! Arrays of numbers of any type, for codes, factors and unusual images, and of texts, for names and labels.

use std::io::Read;

use half::f16;

use super::elements;
use super::header::{ArrayFault, Header};
use super::read::Elements;

/// Elements of any numeric type in C order, as the widest of their kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// `float16`, `float32` or `float64`.
    Floats(Vec<f64>),
    /// `bool` or any integer type.
    Integers(Vec<i64>),
}

impl Numbers {
    /// As floats; integers beyond 2^53 are rounded.
    pub(crate) fn into_floats(self) -> Vec<f64> {
        match self {
            Self::Floats(values) => values,
            Self::Integers(values) => values.into_iter().map(|value| value as f64).collect(),
        }
    }
}

/// What an array that is no image holds.
pub(crate) enum ArrayContent {
    /// Numbers.
    Numbers(Numbers),
    /// Texts.
    Texts(Vec<String>),
}

/// Reads an array of `available` bytes, header included, of numbers or texts.
pub(super) fn read_content(
    reader: &mut dyn Read,
    available: u64,
) -> Result<(Vec<usize>, ArrayContent), ArrayFault> {
    let mut reader = reader;
    let header = Header::read(&mut reader, available)?;
    let content = match header.descr.get(1..2) {
        Some("U" | "S") => ArrayContent::Texts(read_texts(reader, &header)?),
        _ => ArrayContent::Numbers(read_numbers(reader, &header)?),
    };
    Ok((header.shape, content))
}

fn read_numbers(reader: &mut dyn Read, header: &Header) -> Result<Numbers, ArrayFault> {
    let little = !header.descr.starts_with('>');
    macro_rules! elements {
        ($size:literal, $kind:ident, $number:expr) => {{
            let mut left = header.elements($size)?;
            let mut elements = Elements::new(reader, header.data_bytes);
            let mut numbers = Vec::new();
            let mut buffer = vec![0; $size * left.min(1 << 16)];
            loop {
                let bytes = &mut buffer[..$size * left.min(1 << 16)];
                elements.fill(bytes)?;
                for bytes in bytes.as_chunks::<$size>().0 {
                    let mut bytes = *bytes;
                    if !little {
                        bytes.reverse();
                    }
                    numbers.push($number(bytes));
                }
                left -= bytes.len() / $size;
                if left == 0 {
                    break Numbers::$kind(in_c_order(numbers, header));
                }
            }
        }};
    }
    Ok(match header.descr.get(1..).unwrap_or_default() {
        "f2" => elements!(2, Floats, |bytes| f16::from_le_bytes(bytes).to_f64()),
        "f4" => elements!(4, Floats, |bytes| f64::from(f32::from_le_bytes(bytes))),
        "f8" => elements!(8, Floats, f64::from_le_bytes),
        "b1" | "u1" => elements!(1, Integers, |[byte]: [u8; 1]| i64::from(byte)),
        "i1" => elements!(1, Integers, |bytes| i64::from(i8::from_le_bytes(bytes))),
        "u2" => elements!(2, Integers, |bytes| i64::from(u16::from_le_bytes(bytes))),
        "i2" => elements!(2, Integers, |bytes| i64::from(i16::from_le_bytes(bytes))),
        "u4" => elements!(4, Integers, |bytes| i64::from(u32::from_le_bytes(bytes))),
        "i4" => elements!(4, Integers, |bytes| i64::from(i32::from_le_bytes(bytes))),
        "i8" => elements!(8, Integers, i64::from_le_bytes),
        "u8" => {
            let found = elements!(8, Integers, |bytes| u64::from_le_bytes(bytes) as i64);
            if let Numbers::Integers(values) = &found
                && let Some(value) = values.iter().find(|value| **value < 0)
            {
                let reason = format!("{} is more than a whole number may be here", *value as u64);
                return Err(ArrayFault::new(reason, ""));
            }
            found
        }
        _ => return Err(no_numbers(header)),
    })
}

/// The complaint about an array of something else.
fn no_numbers(header: &Header) -> ArrayFault {
    let (hint, found) = match header.descr.get(1..2) {
        Some("f") => ("convert it in NumPy with x.astype(numpy.float64)", header.dtype()),
        Some("O") => (
            "save words as such, with numpy.array(x, dtype=str)",
            "dtype object, which only Python can read".to_owned(),
        ),
        _ => ("save an array of numbers or of words", header.dtype()),
    };
    ArrayFault::new(format!("expected numbers or words, found {found}"), hint)
}

/// Brings elements whose first axis varies fastest, if so, to the order in which the last one does.
fn in_c_order<T: Clone>(values: Vec<T>, header: &Header) -> Vec<T> {
    let shape = &header.shape;
    if !header.fortran_order || shape.len() < 2 {
        return values;
    }
    // How far apart neighbours along each axis lie.
    let steps: Vec<usize> = (0..shape.len()).map(|axis| shape[..axis].iter().product()).collect();
    let mut place = vec![0; shape.len()];
    let mut at = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(values[at].clone());
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            at += steps[axis];
            if place[axis] < shape[axis] {
                break;
            }
            at -= steps[axis] * shape[axis];
            place[axis] = 0;
        }
    }
    ordered
}

/// Most bytes in an array of texts.
const MAX_TEXT: usize = 1 << 30;

/// Reads texts: `<U8`, as many code points, or `|S8`, as many bytes, padded with zeros.
fn read_texts(reader: &mut dyn Read, header: &Header) -> Result<Vec<String>, ArrayFault> {
    let width = header.descr.get(2..).and_then(|width| width.parse::<u32>().ok());
    let is_points = header.descr.get(1..2) == Some("U");
    let size = width.and_then(|width| (width as usize).checked_mul(if is_points { 4 } else { 1 }));
    let Some(size) = size else { return Err(no_numbers(header)) };
    let count = elements(&header.shape);
    if size == 0 {
        return Ok(vec![String::new(); count.filter(|count| *count <= MAX_TEXT).unwrap_or(0)]);
    }
    let bytes = header.elements(size as u64)?.checked_mul(size).filter(|bytes| *bytes <= MAX_TEXT);
    let Some(bytes) = bytes else {
        return Err(ArrayFault::new("it has more text than is read", "shorten the longest words"));
    };
    let (mut elements, mut texts) = (Elements::new(reader, header.data_bytes), Vec::new());
    let big_endian = header.descr.starts_with('>');
    let mut buffer = vec![0; size * ((1 << 16) / size).max(1)];
    let mut left = bytes;
    loop {
        let piece = left.min(buffer.len());
        elements.fill(&mut buffer[..piece])?;
        for text in buffer[..piece].chunks_exact(size) {
            texts.push(if is_points {
                let point = |bytes: &[u8; 4]| match big_endian {
                    true => u32::from_be_bytes(*bytes),
                    false => u32::from_le_bytes(*bytes),
                };
                let points = text.as_chunks::<4>().0.iter().map(point);
                points.take_while(|point| *point > 0).filter_map(char::from_u32).collect()
            } else {
                let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                String::from_utf8_lossy(&text[..end]).into_owned()
            });
        }
        left -= piece;
        if left == 0 {
            return Ok(in_c_order(texts, header));
        }
    }
}

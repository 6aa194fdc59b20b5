//! Arrays of numbers of any type, for codes and factors, and of short texts, for names.

use std::io::Read;

use super::header::{Fault, Header};
use super::read::Elements;

/// Elements of any numeric type in C order, as the widest of their kind.
pub(crate) enum Numbers {
    /// `float32` or `float64`.
    Floats(Vec<f64>),
    /// `bool` or any integer type.
    Integers(Vec<i64>),
}

/// Reads an array of `available` bytes, header included.
pub(super) fn read_numbers(
    mut reader: &mut dyn Read,
    available: u64,
) -> Result<(Vec<usize>, Numbers), Fault> {
    let header = Header::read(&mut reader, available)?;
    header.check_order()?;
    let little = !header.descr.starts_with('>');
    macro_rules! elements {
        ($type:ty, $kind:ident as $wide:ty) => {{
            const SIZE: usize = size_of::<$type>();
            let number = |bytes: &[u8; SIZE]| {
                if little { <$type>::from_le_bytes(*bytes) } else { <$type>::from_be_bytes(*bytes) }
            };
            let mut left = header.elements(SIZE as u64)?;
            let mut elements = Elements::new(reader, header.data_bytes);
            let mut numbers: Vec<$wide> = Vec::new();
            let mut buffer = vec![0; SIZE * left.min(1 << 16)];
            loop {
                let bytes = &mut buffer[..SIZE * left.min(1 << 16)];
                elements.fill(bytes)?;
                let (values, _) = bytes.as_chunks::<SIZE>();
                numbers.extend(values.iter().map(|bytes| <$wide>::from(number(bytes))));
                left -= values.len();
                if left == 0 {
                    break Numbers::$kind(numbers);
                }
            }
        }};
    }
    let numbers = match header.descr.get(1..).unwrap_or_default() {
        "f4" => elements!(f32, Floats as f64),
        "f8" => elements!(f64, Floats as f64),
        "b1" | "u1" => elements!(u8, Integers as i64),
        "i1" => elements!(i8, Integers as i64),
        "u2" => elements!(u16, Integers as i64),
        "i2" => elements!(i16, Integers as i64),
        "u4" => elements!(u32, Integers as i64),
        "i4" => elements!(i32, Integers as i64),
        "i8" => elements!(i64, Integers as i64),
        _ => {
            let hint = "convert it in NumPy with x.astype(numpy.float64) or x.astype(numpy.int64)";
            let reason = format!("expected numbers, found dtype {}", header.dtype());
            return Err(Fault::new(reason, hint));
        }
    };
    Ok((header.shape, numbers))
}

/// Most bytes in an array of texts.
const MAX_TEXT: usize = 1 << 20;

/// Reads an array of texts (`<U8`: as many code points, padded with zeros) of `available` bytes,
/// header included.
pub(super) fn read_text(mut reader: &mut dyn Read, available: u64) -> Result<Vec<String>, Fault> {
    let header = Header::read(&mut reader, available)?;
    let points = header.descr.strip_prefix("<U").and_then(|points| points.parse::<u32>().ok());
    let Some(points) = points.filter(|points| *points > 0) else {
        return Err(Fault::new(format!("expected texts, found dtype {}", header.dtype()), ""));
    };
    let size = 4 * points as usize;
    let bytes = header.elements(size as u64)?.checked_mul(size).filter(|bytes| *bytes <= MAX_TEXT);
    let Some(bytes) = bytes else { return Err(Fault::new("more text than expected", "")) };
    let mut bytes = vec![0; bytes];
    Elements::new(reader, header.data_bytes).fill(&mut bytes)?;
    let text = |bytes: &[u8]| {
        let (points, _) = bytes.as_chunks::<4>();
        let points = points.iter().map(|point| u32::from_le_bytes(*point));
        points.take_while(|point| *point > 0).filter_map(char::from_u32).collect()
    };
    Ok(bytes.chunks_exact(size).map(text).collect())
}

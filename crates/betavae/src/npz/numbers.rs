//! Arrays of numbers of any type, for codes and factors.

use std::io::Read;

use super::header::{Fault, Header};
use super::read::read_elements;

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
            let bytes: Vec<u8> = read_elements(reader, header.elements(SIZE as u64)? * SIZE)?;
            let number = |bytes: &[u8; SIZE]| {
                if little { <$type>::from_le_bytes(*bytes) } else { <$type>::from_be_bytes(*bytes) }
            };
            let (elements, _) = bytes.as_chunks::<SIZE>();
            Numbers::$kind(elements.iter().map(|bytes| <$wide>::from(number(bytes))).collect())
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

//! The header of a `.npy` array: a magic number and a Python dictionary with type and shape.
//!
//! A header is believed only as far as the size of the data agrees with it.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::elements;
use crate::error::Error;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
pub(super) const COPY_AGAIN: &str = "the file is damaged: copy or download it again";

/// Why an array cannot be read, and the likely fix. It does not name the file; the caller adds that.
#[derive(Clone, Debug)]
pub(crate) struct ArrayFault {
    pub(super) reason: String,
    pub(super) hint: &'static str,
}

impl ArrayFault {
    pub(crate) fn new(reason: impl Into<String>, hint: &'static str) -> Self {
        Self { reason: reason.into(), hint }
    }

    /// The error about the file `path`.
    pub(crate) fn at(&self, path: &Path) -> Error {
        Error::file_hint(path, self.reason.clone(), self.hint)
    }

    /// A failure to read `what`.
    pub(super) fn io(what: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::new(format!("{what} is cut off"), COPY_AGAIN),
            ErrorKind::Unsupported => Self::new(
                format!("{what} cannot be read: {error}"),
                "write the file with numpy.savez or numpy.savez_compressed",
            ),
            _ => Self::new(format!("{what} cannot be read: {error}"), COPY_AGAIN),
        }
    }
}

/// What stands before the elements of an array.
#[derive(Debug)]
pub(crate) struct Header {
    /// Length of every axis.
    pub(crate) shape: Vec<usize>,
    /// NumPy's type string, such as `<f4`.
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) data_bytes: u64,
}

impl Header {
    /// Refuses an array whose first axis varies fastest.
    pub(super) fn check_order(&self) -> Result<(), ArrayFault> {
        if self.fortran_order && self.shape.len() > 1 {
            let hint = "save numpy.ascontiguousarray(x) instead of x";
            return Err(ArrayFault::new("the array is in Fortran order, expected C order", hint));
        }
        Ok(())
    }

    /// Reads the header of an array that occupies `available` bytes, header included.
    pub(super) fn read(reader: &mut impl Read, available: u64) -> Result<Self, ArrayFault> {
        let mut take = |bytes: usize| {
            let mut buffer = vec![0; bytes];
            reader.read_exact(&mut buffer).map_err(|error| ArrayFault::io("the header", &error))?;
            Ok(buffer)
        };
        let start = take(8)?;
        if !start.starts_with(MAGIC) {
            return Err(ArrayFault::new("not a NumPy array: the magic bytes are missing", ""));
        }
        // Little-endian, two bytes in version 1 and four since.
        let length = match start[6] {
            1 => take(2)?,
            2 | 3 => take(4)?,
            version => {
                return Err(ArrayFault::new(
                    format!("version {version} of the format is unknown"),
                    "",
                ));
            }
        };
        let prefix = start.len() + length.len();
        let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > 1 << 16 {
            return Err(ArrayFault::new(
                format!("a header of {length} bytes is not plausible"),
                "",
            ));
        }
        let text = take(length)?;
        let text = String::from_utf8_lossy(&text).replace('"', "'");
        let (descr, fortran_order, shape) = parse(&text).ok_or_else(|| {
            ArrayFault::new(format!("the header is not valid: {}", text.trim()), "")
        })?;
        let data_bytes = available.saturating_sub((prefix + length) as u64);
        Ok(Self { shape, descr, fortran_order, data_bytes })
    }

    /// NumPy's name of the element type.
    pub(super) fn dtype(&self) -> String {
        let kind = match self.descr.get(1..2) {
            Some("b") => return "bool".to_owned(),
            Some("O") => return "object".to_owned(),
            Some("u") => "uint",
            Some("i") => "int",
            Some("f") => "float",
            Some("c") => "complex",
            _ => return self.descr.clone(),
        };
        match self.descr[2..].parse::<u8>() {
            Ok(size) => format!("{kind}{}", 8 * u32::from(size)),
            Err(_) => self.descr.clone(),
        }
    }

    /// The number of elements of `size` bytes each, if exactly that many are there.
    pub(super) fn elements(&self, size: u64) -> Result<usize, ArrayFault> {
        let (shape, dtype, found) = (&self.shape, self.dtype(), self.data_bytes);
        let count = elements(shape);
        let needed = match count.and_then(|count| (count as u64).checked_mul(size)) {
            Some(bytes) if bytes == found => return Ok(count.unwrap_or_default()),
            Some(bytes) => format!("{bytes} bytes"),
            None => "more than 2^64 bytes".to_owned(),
        };
        let reason = format!("shape {shape:?} of {dtype} needs {needed} of data, found {found}");
        Err(ArrayFault::new(reason, COPY_AGAIN))
    }
}

/// Type string, Fortran order and shape out of a header's text.
fn parse(text: &str) -> Option<(String, bool, Vec<usize>)> {
    let value = |key: &str| {
        let mut places = text.match_indices(key);
        let after = |(i, _)| text[i + key.len()..].trim_start().strip_prefix(':');
        places.find_map(after).map(str::trim_start)
    };
    let descr = match value("'descr'")? {
        structure if structure.starts_with('[') => "structure",
        plain => plain.strip_prefix('\'')?.split_once('\'')?.0,
    };
    let fortran_order = value("'fortran_order'")?.starts_with("True");
    let (shape, _) = value("'shape'")?.strip_prefix('(')?.split_once(')')?;
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    // Python 2 marked long integers with an L.
    let axes = axes.map(|axis| axis.trim_end_matches('L').parse().ok());
    Some((descr.to_owned(), fortran_order, axes.collect::<Option<_>>()?))
}

/// The header of an array of elements with NumPy's `code`, such as `f4`, in native byte order.
pub(crate) fn encode(code: &str, shape: &[usize]) -> Vec<u8> {
    let order = match cfg!(target_endian = "little") {
        _ if matches!(code, "u1" | "i1" | "b1") => '|',
        true => '<',
        false => '>',
    };
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    // `(3,)` needs its comma, `(3, 4)` has none at the end.
    let axes = if shape.len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") };
    let dict = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({axes}), }}");
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = [MAGIC, &[1, 0], &(length as u16).to_le_bytes()].concat();
    bytes.extend(format!("{dict:<0$}\n", length - 1).bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_and_its_imitators_are_understood() {
        let expected = |shape: &[usize]| Some(("<f4".to_owned(), false, shape.to_vec()));
        for (text, shape) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", &[2, 3][..]),
            ("{'shape': (2L,), 'fortran_order': False, 'descr': '<f4'}", &[2]),
            ("{'descr':'<f4','fortran_order':False,'shape':()}", &[]),
        ] {
            assert_eq!(parse(text), expected(shape), "{text}");
        }
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2",
            "{'descr': '<f4, 'shape': (2,)}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let record = "{'descr': [('shape', '<i4')], 'fortran_order': False, 'shape': (5,), }";
        assert_eq!(parse(record), Some(("structure".to_owned(), false, vec![5])));
    }

    #[test]
    fn an_encoded_header_is_read_back_by_an_independent_reader() {
        for shape in [&[][..], &[7], &[2, 3], &[usize::MAX, 0, 1, 5]] {
            let bytes = encode("f4", shape);
            assert_eq!(bytes.len() % 64, 0);
            let header = Header::read(&mut &bytes[..], bytes.len() as u64 + 24).unwrap();
            assert_eq!((&header.shape[..], header.dtype()), (shape, "float32".to_owned()));
            let theirs = npyz::NpyHeader::from_reader(&bytes[..]).unwrap();
            assert_eq!(theirs.shape(), shape.iter().map(|axis| *axis as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_shape_that_overflows_or_disagrees_with_the_data_is_an_error() {
        let bytes = encode("f4", &[1 << 40, 1 << 40]);
        let header = Header::read(&mut &bytes[..], 1000).unwrap();
        assert!(header.elements(4).unwrap_err().reason.contains("more than 2^64"));
        let bytes = encode("f4", &[2, 3]);
        let header = Header::read(&mut &bytes[..], bytes.len() as u64 + 23).unwrap();
        let reason = header.elements(4).unwrap_err().reason;
        assert_eq!(reason, "shape [2, 3] of float32 needs 24 bytes of data, found 23");
    }
}

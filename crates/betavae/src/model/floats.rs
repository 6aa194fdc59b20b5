//! Stored numbers of any width as f32.

use burn::tensor::{bf16, f16};

/// The types in which weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// Values from their little-endian bytes; nothing if a finite value is too large for f32.
    pub(crate) fn values(self, bytes: &[u8]) -> Option<Vec<f32>> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
            Some(bytes.as_chunks().0.iter().map(|bytes| value(*bytes)).collect())
        }
        match self {
            Float::F16 => each(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Float::Bf16 => each(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Float::F32 => each(bytes, f32::from_le_bytes),
            Float::F64 => {
                let wide = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
                let narrow = |wide: f64| {
                    let narrow = wide as f32;
                    (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
                };
                wide.map(narrow).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_is_read() {
        let numbers = [0.0, -1.5, 1024.0, f32::INFINITY];
        let f16: Vec<u8> = numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!(Float::F16.values(&f16).unwrap(), numbers);
        let bf16: Vec<u8> = numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!(Float::Bf16.values(&bf16).unwrap(), numbers);
        let f64: Vec<u8> = numbers.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
        assert_eq!(Float::F64.values(&f64).unwrap(), numbers);
        assert_eq!(Float::F64.values(&1e39_f64.to_le_bytes()), None);
    }
}

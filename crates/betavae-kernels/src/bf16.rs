//! Packing of operands as bf16, for sums in f32. Two bf16 take the place of one f32, and
//! [`Simd::dot_pairs`] multiplies and adds both at a time; that is one instruction with AVX-512 BF16
//! and several elsewhere. Tensors and weights stay f32 in memory.
//!
//! bf16 is f32 without its last 16 bits. Rounding is to the nearest, ties to even.

use serde::{Deserialize, Serialize};

use crate::geometry::PaddedLayout;
use crate::simd::{Simd, SimdKernel, SimdLevel, dispatch};

/// The precision in which convolutions and linear layers multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f32 operands and sums.
    #[default]
    F32,
    /// Operands rounded to bf16, sums in f32. Weights, gradients and optimiser state stay f32.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// The bits of the bf16 that is nearest to `x`.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    // A NaN is truncated instead, because the carry of rounding could turn it into infinity.
    if x.is_nan() { (bits >> 16) | 0x40 } else { rounded }
}

/// Two values as bf16 in one f32; `low` is the one of the smaller index.
#[inline(always)]
pub(crate) fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(round(low) | (round(high) << 16))
}

/// Whether the processor has instructions for bf16 at this SIMD level. Elsewhere bf16 is emulated.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub fn has_bf16(level: SimdLevel) -> bool {
    #[cfg(target_arch = "x86_64")]
    return level == SimdLevel::Avx512 && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Packs neighbours along the last axis: `to`\[i\] holds `from`\[2 i\] and `from`\[2 i + 1\].
pub(crate) fn pack_neighbours(level: SimdLevel, from: &[f32], to: &mut [f32]) {
    struct Run<'a>(&'a [f32], &'a mut [f32]);
    impl SimdKernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (from, to) = (self.0.chunks_exact(2 * S::LANES), self.1.chunks_mut(S::LANES));
            let rest = from.remainder().as_chunks::<2>().0;
            let mut to = to;
            for (from, to) in from.zip(&mut to) {
                assert_eq!(to.len(), S::LANES);
                // SAFETY: `from` has two vectors, `to` has one.
                unsafe {
                    let high = simd.load(from.as_ptr().add(S::LANES));
                    let pairs = simd.pair_neighbours(simd.load(from.as_ptr()), high);
                    simd.store(to.as_mut_ptr(), pairs);
                }
            }
            let to = to.flatten();
            to.zip(rest).for_each(|(to, [low, high])| *to = pair(*low, *high));
        }
    }
    dispatch(level, Run(from, to));
}

/// Packs values at a distance: `to`\[i\] holds `from`\[i\] and `from`\[i + distance\], as far as both
/// exist.
fn pack_distant(level: SimdLevel, from: &[f32], distance: usize, to: &mut [f32]) {
    struct Run<'a>(&'a [f32], usize, &'a mut [f32]);
    impl SimdKernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Run(low, distance, to) = self;
            let high = &low[distance..];
            let count = high.len().min(to.len());
            let whole = count - count % S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                // SAFETY: i + LANES is at most the length of each.
                unsafe {
                    let low = simd.load(low.as_ptr().add(i));
                    let pairs = simd.pair_lanes(low, simd.load(high.as_ptr().add(i)));
                    simd.store(to.as_mut_ptr().add(i), pairs);
                }
            }
            for i in whole..count {
                to[i] = pair(low[i], high[i]);
            }
        }
    }
    dispatch(level, Run(from, distance, to));
}

/// Packs each two rows of `width` floats into one row of pairs.
pub(crate) fn pack_rows(level: SimdLevel, width: usize, rows: &[f32], to: &mut [f32]) {
    let two = rows.chunks_exact(2 * width);
    for (to, two) in to.chunks_exact_mut(width).zip(two) {
        pack_distant(level, two, width, to);
    }
}

/// Packs every float of a map with the one `pixels` to the right. The last `pixels` of a row have no
/// partner and are never read.
pub(crate) fn pack_shifted_pixels(
    level: SimdLevel,
    layout: &PaddedLayout,
    pixels: usize,
    from: &[f32],
    to: &mut [f32],
) {
    let row = layout.row_stride();
    let rows = from[..layout.len()].chunks_exact(row).zip(to.chunks_exact_mut(row));
    rows.for_each(|(from, to)| pack_distant(level, from, pixels * layout.shape[2], to));
}

/// Packs neighbouring pixels between the borders: [H, W / 2, C].
pub(crate) fn pack_pixels(level: SimdLevel, layout: &PaddedLayout, from: &[f32], to: &mut [f32]) {
    let [_, width, channels] = layout.shape;
    let rows = layout.rows().zip(to.chunks_exact_mut(width / 2 * channels));
    for (row, to) in rows {
        let pixels = from[row].chunks_exact(2 * channels).zip(to.chunks_exact_mut(channels));
        pixels.for_each(|(from, to)| pack_distant(level, from, channels, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_to_nearest_even() {
        let rounded = |x: f32| f32::from_bits(round(x) << 16);
        assert_eq!([1.0, -2.5, 0.0].map(rounded), [1.0, -2.5, 0.0]);
        // bf16 has 8 significant bits: 1 + 1/256 is half way and goes to the even 1.
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 1.0 / 64.0);
        assert!(rounded(f32::NAN).is_nan() && rounded(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(rounded(f32::INFINITY), f32::INFINITY);
    }

    #[test]
    fn packing_pairs_what_it_says_on_every_level() {
        let from: Vec<f32> = (0..64).map(|i| i as f32).collect();
        for level in SimdLevel::supported() {
            let mut to = vec![0.0; 32];
            pack_neighbours(level, &from, &mut to);
            assert!(
                (0..32).all(|i| to[i].to_bits() == pair(from[2 * i], from[2 * i + 1]).to_bits())
            );
            let layout = PaddedLayout { shape: [2, 4, 3], pad_before: [1, 1], pad_after: [0, 1] };
            let mut to = vec![0.0; layout.len()];
            pack_shifted_pixels(level, &layout, 2, &from, &mut to);
            assert_eq!(to[5].to_bits(), pair(5.0, 11.0).to_bits());
            let mut to = vec![0.0; 12];
            pack_pixels(level, &layout, &from, &mut to);
            let first = layout.offset(0, 0);
            assert_eq!(to[0].to_bits(), pair(from[first], from[first + 3]).to_bits());
            assert_eq!(to[11].to_bits(), {
                let last = layout.offset(1, 2) + 2;
                pair(from[last], from[last + 3]).to_bits()
            });
        }
    }
}

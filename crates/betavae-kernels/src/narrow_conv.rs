//! Convolutions with few output channels, which would leave most lanes empty if those were channels.
//! Here the lanes run along the receptive field of a pixel and are added up at the end. All other
//! convolutions use `indirect_gemm`.

use crate::epilogue::Epilogue;
use crate::indirect_gemm::Positions;
use crate::simd::{Simd, SimdKernel, SimdLevel, array, dispatch};

/// The most output channels that this is for.
pub(crate) const MAX_NARROW_CHANNELS: usize = 4;

/// to\[position\]\[channel\] = the sum over rows, and floats of a row, of x\[position + ..\] *
/// w\[channel\]\[..\], with the bias of the epilogue, but without its activation.
pub(crate) struct NarrowConv<'a> {
    pub(crate) x: &'a [f32],
    /// [channel, row, float]
    pub(crate) w: &'a [f32],
    pub(crate) positions: &'a Positions,
    /// The rows of a receptive field, the floats of each, and the stride from one to the next.
    pub(crate) rows: usize,
    pub(crate) row_len: usize,
    pub(crate) row_stride: usize,
    /// At most [`MAX_NARROW_CHANNELS`].
    pub(crate) channels: usize,
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) to: &'a mut [f32],
}

/// Computes `conv` on an instruction set.
///
/// # Panics
/// If an offset lies outside its slice, or there are more channels than [`MAX_NARROW_CHANNELS`].
pub(crate) fn narrow_conv(level: SimdLevel, conv: NarrowConv<'_>) {
    dispatch(level, conv);
}

impl SimdKernel for NarrowConv<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let NarrowConv { x, w, positions, rows, row_len, row_stride, channels, ref to, .. } = self;
        let field = rows * row_len;
        if positions.len() == 0 {
            return;
        }
        let [from, end] = positions.max_offsets();
        let last = if field == 0 { 0 } else { from + (rows - 1) * row_stride + row_len };
        assert!(last <= x.len() && channels * field <= w.len(), "x or w is too short");
        assert!(end + channels <= to.len(), "the output is too short");
        // SAFETY: all offsets were checked above.
        unsafe {
            match channels {
                1 => self.tiles::<S, 8, 1>(simd),
                2 => self.tiles::<S, 6, 2>(simd),
                3 => self.tiles::<S, 4, 3>(simd),
                4 => self.tiles::<S, 3, 4>(simd),
                _ => panic!("{channels} channels are not few"),
            }
        }
    }
}

impl NarrowConv<'_> {
    /// Computes tiles of `P` positions by `C` channels.
    ///
    /// # Safety
    /// All offsets lie inside the slices.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const P: usize, const C: usize>(self, simd: S) {
        let NarrowConv { x, w, positions, rows, row_len, row_stride, epilogue, to, .. } = self;
        for first in (0..positions.len()).step_by(P) {
            // Beyond the end, a tile repeats the last position, and those sums are dropped.
            let mut offsets = [[0; 2]; P];
            for (p, offset) in offsets.iter_mut().enumerate() {
                *offset = positions.at((first + p).min(positions.len() - 1));
            }
            let mut sums = [[simd.splat(0.0); C]; P];
            for row in 0..rows {
                let whole = row_len - row_len % S::LANES;
                // SAFETY: as the caller promises.
                unsafe {
                    let x = x.as_ptr().add(row * row_stride);
                    let w = w.as_ptr().add(row * row_len);
                    for k in (0..whole).step_by(S::LANES) {
                        let factors = array!(c < C => simd.load(w.add(c * rows * row_len + k)));
                        for p in 0..P {
                            let value = simd.load(x.add(offsets[p][0] + k));
                            multiply_add(simd, value, &factors, &mut sums[p]);
                        }
                    }
                    if whole < row_len {
                        let (x, w, rest) = (x.add(whole), w.add(whole), row_len - whole);
                        let factors =
                            array!(c < C => simd.load_first(w.add(c * rows * row_len), rest));
                        for p in 0..P {
                            let value = simd.load_first(x.add(offsets[p][0]), rest);
                            multiply_add(simd, value, &factors, &mut sums[p]);
                        }
                    }
                }
            }
            let mut totals = [[0.0; C]; P];
            for p in 0..P {
                for c in 0..C {
                    totals[p][c] = simd.sum(sums[p][c]);
                }
            }
            for (totals, [_, at]) in totals.iter().zip(offsets).take(positions.len() - first) {
                let to = &mut to[at..][..C];
                match epilogue {
                    Epilogue::Accumulate => {
                        to.iter_mut().zip(totals).for_each(|(to, sum)| *to += sum)
                    }
                    Epilogue::BiasActivation { bias, .. } => {
                        for c in 0..C {
                            to[c] = totals[c] + bias[c];
                        }
                    }
                    Epilogue::Store | Epilogue::ActivationGradient { .. } => {
                        to.copy_from_slice(totals)
                    }
                }
            }
        }
    }
}

/// Adds the products of one position with `C` channels.
#[inline(always)]
fn multiply_add<S: Simd, const C: usize>(
    simd: S,
    value: S::V,
    factors: &[S::V; C],
    sums: &mut [S::V; C],
) {
    for c in 0..C {
        sums[c] = simd.fma(value, factors[c], sums[c]);
    }
}

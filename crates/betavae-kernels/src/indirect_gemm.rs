//! The matrix product behind convolutions, transposed convolutions, their gradients, and linear layers:
//!
//! out\[position\]\[n\] = sum over terms k of x\[position + k\] * w\[k\]\[n\]
//!
//! where the terms form three nested strided loops. `n` runs over contiguous lanes, and positions are
//! arbitrary offsets, as in an indirect GEMM (Dukhan 2019): so no im2col copy of `x` is needed. A
//! convolution broadcasts pixels (positions) against packed weights; a weight gradient broadcasts one
//! factor of the sum over pixels (terms) against vectors of the other. The micro-kernel holds a
//! register tile of up to 8 positions by 2 vectors of sums.
//!
//! This file knows nothing of convolutions: `prepared_conv`, `weight_gradient`, `winograd` and `linear`
//! describe what they sum.

use std::ops::Range;

use crate::epilogue::Epilogue;
use crate::simd::{Simd, SimdKernel, SimdLevel, array, dispatch};

/// Three nested loops over the terms of a sum, outermost first: the number of iterations of each, and
/// how many floats `x` and `w` advance in each iteration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TermLoops {
    pub(crate) count: [usize; 3],
    pub(crate) x: [usize; 3],
    pub(crate) w: [usize; 3],
}

impl TermLoops {
    /// The largest offsets into `x` and `w`; `None` if there is no term.
    fn max_offsets(&self) -> Option<[usize; 2]> {
        let last = |strides: [usize; 3]| {
            self.count.iter().zip(strides).map(|(n, stride)| (n - 1) * stride).sum()
        };
        (!self.count.contains(&0)).then(|| [last(self.x), last(self.w)])
    }
}

/// The positions of a product: for each, its offset in `x` and its offset in the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    offsets: Vec<[u32; 2]>,
    max_offsets: [usize; 2],
}

impl FromIterator<[usize; 2]> for Positions {
    fn from_iter<I: IntoIterator<Item = [usize; 2]>>(pairs: I) -> Self {
        let mut positions = Positions::default();
        for pair in pairs {
            let to_u32 = |offset| u32::try_from(offset).unwrap_or_else(|_| panic!("map too large"));
            positions.offsets.push(pair.map(to_u32));
            positions.max_offsets = [0, 1].map(|i| positions.max_offsets[i].max(pair[i]));
        }
        positions
    }
}

impl Positions {
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// The largest offset in `x` and the largest in the output.
    pub(crate) fn max_offsets(&self) -> [usize; 2] {
        self.max_offsets
    }

    pub(crate) fn at(&self, index: usize) -> [usize; 2] {
        self.offsets[index].map(|offset| offset as usize)
    }

    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = [usize; 2]> {
        self.offsets[range].iter().map(|pair| pair.map(|offset| offset as usize))
    }
}

/// A product, or several of the same shape.
#[derive(Clone, Copy)]
pub(crate) struct IndirectGemm<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) w: &'a [f32],
    pub(crate) positions: &'a Positions,
    /// The number of images, each with the same positions, and the strides from image to image in `x`
    /// and in the output.
    pub(crate) images: usize,
    pub(crate) image_stride: [usize; 2],
    pub(crate) terms: TermLoops,
    /// The number of lanes of the output per position.
    pub(crate) n: usize,
    /// The strides in `w` and in the output between panels of [`Simd::PANEL`] lanes.
    pub(crate) panel_stride: [usize; 2],
    pub(crate) epilogue: Epilogue<'a>,
    /// The number of products, and the strides from one to the next in `x`, `w` and the output.
    pub(crate) products: usize,
    pub(crate) product_stride: [usize; 3],
    /// Whether `x` and `w` hold pairs of bf16.
    pub(crate) bf16_pairs: bool,
}

/// Computes `gemm` on an instruction set.
///
/// # Panics
/// If any offset lies outside its slice. `w` needs a whole panel of readable lanes at its last term,
/// even where fewer are used.
pub(crate) fn indirect_gemm(level: SimdLevel, gemm: &IndirectGemm<'_>, out: &mut [f32]) {
    struct Run<'a>(&'a IndirectGemm<'a>, &'a mut [f32]);
    impl SimdKernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            simd.indirect_gemm(self.0, self.1);
        }
    }
    dispatch(level, Run(gemm, out));
}

/// Computes `gemm` with register tiles of `P` positions, and of `H` for up to `H` left over.
#[inline(always)]
pub(crate) fn indirect_gemm_tiled<S: Simd, const P: usize, const H: usize>(
    simd: S,
    gemm: &IndirectGemm<'_>,
    out: &mut [f32],
) {
    if gemm.images == 0 || gemm.positions.len() == 0 || gemm.n == 0 || gemm.products == 0 {
        return;
    }
    let panels = gemm.n.div_ceil(S::PANEL);
    let last_image = |i: usize| (gemm.images - 1) * gemm.image_stride[i];
    let last_product = |i: usize| (gemm.products - 1) * gemm.product_stride[i];
    if let Some([x, w]) = gemm.terms.max_offsets() {
        let x = x + gemm.positions.max_offsets[0] + last_image(0) + last_product(0);
        assert!(x < gemm.x.len(), "x is too short");
        let lanes = w + last_product(1) + (panels - 1) * gemm.panel_stride[0] + S::PANEL;
        assert!(lanes <= gemm.w.len(), "w is too short");
    }
    let lanes = (panels - 1) * gemm.panel_stride[1] + gemm.n - (panels - 1) * S::PANEL;
    let end = gemm.positions.max_offsets[1] + last_image(1) + last_product(2) + lanes;
    assert!(end <= out.len(), "the output is too short");
    gemm.epilogue.check(gemm.n, end);
    // SAFETY: all offsets were checked against the slices above.
    unsafe {
        for product in 0..gemm.products {
            let bases = gemm.product_stride.map(|stride| product * stride);
            for index in 0..panels {
                let lanes = (gemm.n - index * S::PANEL).min(S::PANEL);
                let panel = Panel { bases, index, lanes };
                match (lanes > S::LANES, gemm.bf16_pairs) {
                    (true, false) => gemm_panel::<S, P, H, 2, false>(simd, gemm, out, panel),
                    (false, false) => gemm_panel::<S, P, H, 1, false>(simd, gemm, out, panel),
                    (true, true) => gemm_panel::<S, P, H, 2, true>(simd, gemm, out, panel),
                    (false, true) => gemm_panel::<S, P, H, 1, true>(simd, gemm, out, panel),
                }
            }
        }
    }
}

/// One panel of one product.
#[derive(Clone, Copy)]
struct Panel {
    /// Offsets of the product in `x`, `w` and the output.
    bases: [usize; 3],
    index: usize,
    lanes: usize,
}

/// Computes one panel at all positions, of `N` vectors.
///
/// # Safety
/// All offsets of `gemm` lie inside its slices.
#[inline(always)]
unsafe fn gemm_panel<S: Simd, const P: usize, const H: usize, const N: usize, const PAIRS: bool>(
    simd: S,
    gemm: &IndirectGemm<'_>,
    out: &mut [f32],
    panel: Panel,
) {
    let per_image = gemm.positions.len();
    let total = per_image * gemm.images;
    let (mut image, mut index, mut done) = (0, 0, 0);
    while done < total {
        let count = P.min(total - done);
        let mut offsets = [[0; 2]; P];
        for i in 0..P {
            // A tile with fewer positions repeats its last one.
            if i >= count {
                offsets[i] = offsets[i.saturating_sub(1)];
                continue;
            }
            let pair = gemm.positions.offsets[index];
            offsets[i] = [
                panel.bases[0] + pair[0] as usize + image * gemm.image_stride[0],
                panel.bases[2] + pair[1] as usize + image * gemm.image_stride[1],
            ];
            index += 1;
            if index == per_image {
                (image, index) = (image + 1, 0);
            }
        }
        // SAFETY: as the caller promises.
        unsafe {
            if count > H {
                micro_kernel::<S, P, N, PAIRS>(simd, gemm, &offsets, count, out, panel);
            } else {
                let offsets = &array!(i < H => offsets[i]);
                micro_kernel::<S, H, N, PAIRS>(simd, gemm, offsets, count, out, panel);
            }
        }
        done += count;
    }
}

/// The micro-kernel: computes a register tile of `count` positions by `N` vectors.
///
/// # Safety
/// As [`gemm_panel`]; `count` is between 1 and `P`.
#[inline(always)]
unsafe fn micro_kernel<S: Simd, const P: usize, const N: usize, const PAIRS: bool>(
    simd: S,
    gemm: &IndirectGemm<'_>,
    offsets: &[[usize; 2]; P],
    count: usize,
    out: &mut [f32],
    panel: Panel,
) {
    let Panel { bases, index: panel, lanes } = panel;
    let TermLoops { count: [outer, middle, inner], x: x_strides, w: w_strides } = gemm.terms;
    let mut sums = [[simd.splat(0.0); N]; P];
    // SAFETY: the caller promises that positions and terms stay inside the slices.
    unsafe {
        let x = array!(p < P => gemm.x.as_ptr().add(offsets[p][0]));
        let w = gemm.w.as_ptr().add(bases[1] + panel * gemm.panel_stride[0]);
        for i in 0..outer {
            for j in 0..middle {
                let mut k = i * x_strides[0] + j * x_strides[1];
                let mut w = w.add(i * w_strides[0] + j * w_strides[1]);
                for _ in 0..inner {
                    let vectors = array!(v < N => simd.load(w.add(v * S::LANES)));
                    for p in 0..P {
                        let value = simd.splat(*x[p].add(k));
                        for v in 0..N {
                            sums[p][v] = if PAIRS {
                                simd.dot_pairs(value, vectors[v], sums[p][v])
                            } else {
                                simd.fma(value, vectors[v], sums[p][v])
                            };
                        }
                    }
                    k += x_strides[2];
                    w = w.wrapping_add(w_strides[2]);
                }
            }
        }
        let whole = lanes == N * S::LANES && count == P;
        let start = |p: usize| offsets[p][1] + panel * gemm.panel_stride[1];
        // Whole tiles are by far the most frequent, and need no masks.
        macro_rules! each {
            (|$value:ident, $v:ident, $at:ident, $to:ident| $result:expr) => {
                for p in 0..P {
                    for $v in 0..N {
                        let $value = sums[p][$v];
                        let $at = start(p) + $v * S::LANES;
                        let $to = out.as_mut_ptr().add($at);
                        simd.store($to, $result);
                    }
                }
            };
        }
        match (gemm.epilogue, gemm.epilogue.negative_slope()) {
            (Epilogue::Store, _) if whole => each!(|sum, v, at, to| sum),
            (Epilogue::Accumulate, _) if whole => {
                each!(|sum, v, at, to| simd.add(simd.load(to), sum))
            }
            (Epilogue::BiasActivation { bias, .. }, Some(negative_slope)) if whole => {
                let bias = bias.as_ptr().add(panel * S::PANEL);
                let bias = array!(v < N => simd.load(bias.add(v * S::LANES)));
                let negative_slope = simd.splat(negative_slope);
                each!(|sum, v, at, to| {
                    let x = simd.add(sum, bias[v]);
                    simd.max(simd.mul(x, negative_slope), x)
                });
            }
            (Epilogue::ActivationGradient { outputs, .. }, Some(negative_slope)) if whole => {
                let negative_slope = simd.splat(negative_slope);
                each!(|sum, v, at, to| {
                    let output = simd.load(outputs.as_ptr().add(at));
                    simd.where_positive(output, sum, simd.mul(sum, negative_slope))
                });
            }
            (epilogue, _) => {
                // This is a copy in memory. Indexing `sums` by a variable would move it there from the
                // registers in the loops above as well.
                let mut rest = [[simd.splat(0.0); N]; P];
                for p in 0..P {
                    for v in 0..N {
                        rest[p][v] = sums[p][v];
                    }
                }
                for p in 0..count {
                    for v in 0..N {
                        let first = v * S::LANES;
                        let count = lanes.saturating_sub(first);
                        let (at, channel) = (start(p) + first, panel * S::PANEL + first);
                        let to = out.as_mut_ptr().add(at);
                        let value = epilogue.apply(simd, rest[p][v], to, at, channel, count);
                        simd.store_first(to, value, count);
                    }
                }
            }
        }
    }
}

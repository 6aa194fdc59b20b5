//! The weight gradient by Winograd's algorithm, as the transpose of the convolution. The transforms are in
//! `transform`.

use super::output_transform::OutputTransformTranspose;
use super::transform::Pairing;
use super::{GRADIENT_SIDE, GRADIENT_TILES, PHASES, Scratch, Tiles};
use super::{conv_tiles, plane_stride, products_of, scratch_slice, transform_inputs};
use crate::bf16::Precision;
use crate::epilogue::Epilogue;
use crate::geometry::{ConvShape, PaddedLayout};
use crate::indirect_gemm::{IndirectGemm, Positions, TermLoops, indirect_gemm};
use crate::simd::{SimdLevel, dispatch};

/// A weight gradient, prepared for the layouts of both maps and an instruction set.
#[derive(Debug)]
pub(crate) struct WinogradGradient {
    level: SimdLevel,
    conv: ConvShape,
    /// Strides of the small and the large map.
    strides: [usize; 2],
    phases: Vec<Tiles>,
    pairing: Pairing,
}

impl WinogradGradient {
    pub(crate) fn new(
        level: SimdLevel,
        precision: Precision,
        conv: ConvShape,
        small: PaddedLayout,
        large: PaddedLayout,
    ) -> Self {
        let phases = conv_tiles(&conv, GRADIENT_SIDE, large, small);
        let pairing = match precision {
            Precision::F32 => Pairing::None,
            Precision::Bf16 => Pairing::Tiles,
        };
        Self { level, conv, strides: [small.len(), large.len()], phases, pairing }
    }

    /// Floats of one product's sums: [panel, phase, large channel, lane].
    fn block_len(&self) -> usize {
        let panel = self.level.panel();
        self.conv.small[2].div_ceil(panel) * panel * PHASES.len() * self.conv.large[2]
    }

    pub(crate) fn weight_count(&self) -> usize {
        self.conv.weight_count()
    }

    pub(crate) fn zeros(&self) -> Vec<f32> {
        vec![0.0; products_of(GRADIENT_SIDE) * self.block_len()]
    }

    /// See [`crate::weight_gradient::WeightGradient::add`].
    pub(crate) fn add(
        &self,
        images: usize,
        small: &[f32],
        large: &[f32],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (level, panel) = (self.level, self.level.panel());
        let channels = self.conv.small[2];
        let rows = PHASES.len() * self.conv.large[2];
        let count = self.phases[0].count();
        let positions: Positions = (0..rows).map(|j| [j, j * panel]).collect();
        let Scratch { factors, products } = scratch;
        for image in 0..images {
            let (small, large) =
                (&small[image * self.strides[0]..], &large[image * self.strides[1]..]);
            for first in (0..count).step_by(GRADIENT_TILES) {
                let range = first..count.min(first + GRADIENT_TILES);
                let [_, tiles] = self.pairing.packed_sizes(0, range.len());
                let factors =
                    scratch_slice(factors, products_of(GRADIENT_SIDE) * plane_stride(tiles * rows));
                let products = scratch_slice(
                    products,
                    products_of(GRADIENT_SIDE) * plane_stride(tiles * channels) + panel,
                );
                transform_inputs(
                    level,
                    (&self.phases, range.clone()),
                    &self.conv,
                    large,
                    factors,
                    self.pairing,
                );
                let tile = &self.phases[0];
                let pairing = self.pairing;
                let from = small;
                let transform = OutputTransformTranspose {
                    tiles: tile,
                    range,
                    channels,
                    from,
                    products,
                    pairing,
                };
                dispatch(level, transform);
                let gemm = IndirectGemm {
                    x: factors,
                    w: products,
                    positions: &positions,
                    images: 1,
                    image_stride: [0; 2],
                    terms: TermLoops { count: [1, 1, tiles], x: [0, 0, rows], w: [0, 0, channels] },
                    n: channels,
                    panel_stride: [panel, rows * panel],
                    epilogue: Epilogue::Accumulate,
                    products: products_of(GRADIENT_SIDE),
                    product_stride: [
                        plane_stride(tiles * rows),
                        plane_stride(tiles * channels),
                        self.block_len(),
                    ],
                    bf16_pairs: self.pairing != Pairing::None,
                };
                indirect_gemm(level, &gemm, sums);
            }
        }
    }

    /// See [`crate::weight_gradient::WeightGradient::unpack`].
    pub(crate) fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let panel = self.level.panel();
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        let rows = PHASES.len() * large;
        let mut gradient = vec![0.0; self.conv.weight_count()];
        for s in 0..small {
            for l in 0..large {
                for (phase, [a, b]) in PHASES.into_iter().enumerate() {
                    let row = phase * large + l;
                    let at = ((s / panel) * rows + row) * panel + s % panel;
                    let du = |f: usize| sums[f * self.block_len() + at];
                    for i in 0..2 {
                        for j in 0..2 {
                            let line = |f: usize| du(f * 3 + j) + du(f * 3 + j + 1);
                            let tap = [2 * i + a, 2 * j + b];
                            gradient[self.conv.weight_index(s, l, tap)] = line(i) + line(i + 1);
                        }
                    }
                }
            }
        }
        gradient
    }
}

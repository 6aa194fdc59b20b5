//! Winograd's minimal filtering for convolutions and transposed convolutions with 4x4 kernels of stride 2:
//! 9 multiplications in place of 16, or 25 in place of 64. Other shapes are computed directly, in
//! `prepared_conv` and `weight_gradient`.
//!
//! Such a convolution is the sum of four 2x2 convolutions of stride 1, one for each phase of the large
//! map, which is the remainders of its coordinates. In one dimension, two outputs take three products
//! in place of four, and four outputs five in place of eight. In two dimensions, F(2x2, 2x2) transforms
//! input tiles of 3x3 to 9 factors, and F(4x4, 2x2) tiles of 5x5 to 25; for each factor, there is a
//! matrix product over channels (Lavin and Gray 2016). The weight gradient is the transpose of the same
//! algorithm.

mod gradient;
mod output_transform;
mod tiles;
mod transform;

use std::ops::Range;

pub(crate) use gradient::WinogradGradient;
use output_transform::OutputTransform;
use tiles::{Tiles, conv_tiles, conv_transpose_tiles};
use transform::{FilterTransform, InputTransform, Pairing};

use crate::activation::ConvOptions;
use crate::bf16::{self, Precision};
use crate::buffer::Buffer;
use crate::epilogue::Epilogue;
use crate::geometry::{ConvShape, PaddedLayout};
use crate::indirect_gemm::{IndirectGemm, Positions, TermLoops, indirect_gemm};
use crate::prepared_conv::ConvOp;
use crate::simd::{SimdLevel, dispatch};

/// Tiles of 2x2 outputs that go through transforms and products together, so that they stay in the
/// cache. There are more for a transposed convolution, whose input has a quarter of the channels that the
/// four phases of a convolution's input have, and for the weight gradient, which needs many terms per sum.
const CONV_TILES: usize = 32;
const CONV_TRANSPOSE_TILES: usize = 64;
const GRADIENT_TILES: usize = 64;

/// The side of an output tile in the weight gradient. Larger tiles would leave too few terms per sum.
const GRADIENT_SIDE: usize = 2;

/// Products per output tile.
const fn products_of(side: usize) -> usize {
    (side + 1) * (side + 1)
}

/// The stride between planes of `n` floats, one plane per product. It is not a power of two, so that
/// the planes do not map to the same sets of the cache.
fn plane_stride(n: usize) -> usize {
    n + 16
}

/// The phases of the large map's coordinates.
const PHASES: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

/// Whether Winograd's algorithm is possible for this shape, and faster than the direct one.
pub(crate) fn is_applicable(precision: Precision, conv: &ConvShape) -> bool {
    let halved = (0..2)
        .all(|axis| conv.large[axis] == 2 * conv.small[axis] && conv.small[axis].is_multiple_of(2));
    let ConvOptions { stride, padding } = conv.options;
    let large_enough =
        conv.small[2] >= 16 && conv.large[2] >= 16 && conv.small[0] * conv.small[1] >= 64;
    let pairs_fit = match precision {
        Precision::F32 => true,
        Precision::Bf16 => {
            conv.small[2].is_multiple_of(2)
                && conv.large[2].is_multiple_of(2)
                && tile_side(conv) == 4
        }
    };
    conv.kernel == 4 && stride == 2 && padding == 1 && halved && large_enough && pairs_fit
}

/// The side of an output tile: 4 where the map has enough of them to fill the registers, else 2.
fn tile_side(conv: &ConvShape) -> usize {
    let [height, width, _] = conv.small;
    let divisible = height.is_multiple_of(4) && width.is_multiple_of(4);
    if divisible && height * width >= 256 { 4 } else { 2 }
}

/// A convolution or transposed convolution by Winograd's algorithm.
#[derive(Debug)]
pub(crate) struct Winograd {
    level: SimdLevel,
    conv: ConvShape,
    op: ConvOp,
    strides: [usize; 2],
    /// The side of an output tile.
    side: usize,
    phases: Vec<Tiles>,
    pairing: Pairing,
}

/// Buffers that are used again from call to call.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Transformed input tiles.
    factors: Vec<f32>,
    products: Vec<f32>,
}

/// `n` floats of the buffer with arbitrary contents; the buffer grows if it is shorter.
fn scratch_slice(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
    &mut buffer[..n]
}

impl Winograd {
    pub(crate) fn new(
        level: SimdLevel,
        precision: Precision,
        conv: ConvShape,
        op: ConvOp,
        input: PaddedLayout,
        output: PaddedLayout,
    ) -> Self {
        let side = tile_side(&conv);
        let phases = match op {
            ConvOp::Conv => conv_tiles(&conv, side, input, output),
            ConvOp::ConvTranspose => conv_transpose_tiles(&conv, side, input, output),
        };
        let pairing = match precision {
            Precision::F32 => Pairing::None,
            Precision::Bf16 => Pairing::Channels,
        };
        Self { level, conv, op, strides: [input.len(), output.len()], side, phases, pairing }
    }

    /// Input and output channels. For a convolution, the four phases of the input count as channels.
    fn channels(&self) -> [usize; 2] {
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        if self.op == ConvOp::Conv { [4 * large, small] } else { [small, large] }
    }

    /// The floats that input channels take.
    fn packed_channels(&self, channels: usize) -> usize {
        self.pairing.packed_sizes(channels, 0)[0]
    }

    /// Transforms the weights: [phase, product, panel, input channel, lane]. For a convolution, the phases
    /// are among the input channels instead.
    pub(crate) fn pack(&self, weight: &[f32]) -> Buffer {
        let [inputs, outputs] = self.channels();
        let panel = self.level.panel();
        let block = inputs * outputs.div_ceil(panel) * panel;
        let blocks = if self.op == ConvOp::Conv { 1 } else { PHASES.len() };
        let products = products_of(self.side);
        let mut packed = Buffer::new(blocks * products * block);
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        // The strides of input and output channels in PyTorch's layout.
        let (count, input_stride, output_stride) = match self.op {
            ConvOp::Conv => (large, 16, 16 * large),
            ConvOp::ConvTranspose => (small, 16 * large, 16),
        };
        let mut taps = vec![0.0; 16 * panel];
        // If the last panel is not full, its other lanes are never read.
        for first in (0..outputs).step_by(panel) {
            for input in 0..count {
                // The taps of a panel of output channels: [tap, lane].
                for (lane, output) in (first..outputs.min(first + panel)).enumerate() {
                    let from = &weight[input * input_stride + output * output_stride..][..16];
                    for (tap, value) in from.iter().enumerate() {
                        taps[tap * panel + lane] = *value;
                    }
                }
                for (phase, [a, b]) in PHASES.into_iter().enumerate() {
                    let g = |i: usize, j: usize| {
                        // A transposed convolution reads its input in the reverse order of the taps.
                        let (i, j) =
                            if self.op == ConvOp::ConvTranspose { (1 - i, 1 - j) } else { (i, j) };
                        &taps[((2 * i + a) * 4 + 2 * j + b) * panel..][..panel]
                    };
                    let (start, input) = match self.op {
                        ConvOp::Conv => (0, phase * large + input),
                        ConvOp::ConvTranspose => (phase * products * block, input),
                    };
                    let at = start + (first * inputs) + input * panel;
                    let (taps, to) = ([[g(0, 0), g(0, 1)], [g(1, 0), g(1, 1)]], &mut packed[at..]);
                    dispatch(
                        self.level,
                        FilterTransform { side: self.side, taps, to, stride: block },
                    );
                }
            }
        }
        if self.pairing == Pairing::None {
            return packed;
        }
        let mut pairs = Buffer::new(packed.len() / 2);
        bf16::pack_rows(self.level, panel, &packed, &mut pairs);
        pairs
    }

    /// See [`crate::prepared_conv::PreparedConv::run`].
    pub(crate) fn run(
        &self,
        images: usize,
        packed: &[f32],
        from: &[f32],
        to: &mut [f32],
        epilogue: Epilogue<'_>,
        scratch: &mut Scratch,
    ) {
        let [inputs, outputs] = self.channels();
        // A block has as many outputs whatever the side of its tiles.
        let block = match self.op {
            ConvOp::Conv => CONV_TILES,
            ConvOp::ConvTranspose => CONV_TRANSPOSE_TILES,
        } * 2
            / self.side;
        let count = self.phases[0].count();
        let Scratch { factors, products } = scratch;
        let factors = scratch_slice(
            factors,
            products_of(self.side) * plane_stride(block * self.packed_channels(inputs)),
        );
        let products =
            scratch_slice(products, products_of(self.side) * plane_stride(block * outputs));
        for image in 0..images {
            let from = &from[image * self.strides[0]..];
            let start = image * self.strides[1];
            for first in (0..count).step_by(block) {
                let range = first..count.min(first + block);
                let transform_outputs = |tiles, products: &[f32], to: &mut [f32]| {
                    let range = range.clone();
                    let transform = OutputTransform {
                        tiles,
                        range,
                        start,
                        channels: outputs,
                        products,
                        to,
                        epilogue,
                    };
                    dispatch(self.level, transform);
                };
                match self.op {
                    ConvOp::Conv => {
                        let phases = (self.phases.as_slice(), range.clone());
                        transform_inputs(
                            self.level,
                            phases,
                            &self.conv,
                            from,
                            factors,
                            self.pairing,
                        );
                        self.multiply(range.len(), packed, factors, products);
                        transform_outputs(&self.phases[0], products, to);
                    }
                    ConvOp::ConvTranspose => {
                        let packed = packed.chunks_exact(packed.len() / PHASES.len());
                        for (tiles, packed) in self.phases.iter().zip(packed) {
                            let transform = InputTransform {
                                tiles,
                                range: range.clone(),
                                channels: inputs,
                                from,
                                to: factors,
                                stride: self.packed_channels(inputs),
                                first: 0,
                                pairing: self.pairing,
                            };
                            dispatch(self.level, transform);
                            self.multiply(range.len(), packed, factors, products);
                            transform_outputs(tiles, products, to);
                        }
                    }
                }
            }
        }
    }

    /// The matrix products of some tiles.
    fn multiply(&self, tiles: usize, packed: &[f32], factors: &[f32], products: &mut [f32]) {
        let [inputs, outputs] = self.channels();
        let (inputs, panel) = (self.packed_channels(inputs), self.level.panel());
        let positions: Positions = (0..tiles).map(|t| [t * inputs, t * outputs]).collect();
        let gemm = IndirectGemm {
            x: factors,
            w: packed,
            positions: &positions,
            images: 1,
            image_stride: [0; 2],
            terms: TermLoops { count: [1, 1, inputs], x: [0, 0, 1], w: [0, 0, panel] },
            n: outputs,
            panel_stride: [inputs * panel, panel],
            epilogue: Epilogue::Store,
            products: products_of(self.side),
            product_stride: [
                plane_stride(tiles * inputs),
                packed.len() / products_of(self.side),
                plane_stride(tiles * outputs),
            ],
            bf16_pairs: self.pairing != Pairing::None,
        };
        indirect_gemm(self.level, &gemm, products);
    }
}

/// Transforms the input tiles of all phases of the large map: [product, tile, phase, channel].
fn transform_inputs(
    level: SimdLevel,
    (phases, range): (&[Tiles], Range<usize>),
    conv: &ConvShape,
    from: &[f32],
    to: &mut [f32],
    pairing: Pairing,
) {
    let channels = conv.large[2];
    let [words, _] = pairing.packed_sizes(channels, 0);
    let stride = PHASES.len() * words;
    for (phase, tiles) in phases.iter().enumerate() {
        let (first, range) = (phase * words, range.clone());
        let to = &mut *to;
        let transform = InputTransform { tiles, range, channels, from, to, stride, first, pairing };
        dispatch(level, transform);
    }
}

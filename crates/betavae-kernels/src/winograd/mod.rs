//! Winograd's minimal filtering for 4x4 convolutions of stride 2: 9 multiplications in place of 16, or
//! 25 in place of 64.
//!
//! Such a convolution is the sum of four 2x2 convolutions of stride 1, one for each remainder
//! ("phase") of the large map's coordinates. In one dimension, two outputs take three products in
//! place of four, and four outputs five in place of eight. In two dimensions that is F(2x2, 2x2): 3x3
//! windows become 9 numbers, and each of the 9 is a matrix product over channels; or F(4x4, 2x2):
//! 5x5 windows become 25 (Lavin and Gray 2016). The gradient of the weights is the transpose of the
//! same algorithm.

mod gradient;
mod transform;

use std::ops::Range;

pub(crate) use gradient::WinogradGradient;
use transform::{Collect, Filters, Pairs, Spread};

use crate::bf16::{self, Precision};

use crate::buffer::Buffer;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::geometry::{Conv, Layout};
use crate::reduce::Way;
use crate::simd::{Level, dispatch};

/// Tiles of 2x2 outputs that go through all steps together, so that they stay in the cache. The way up
/// has a quarter of the channels; the gradient needs many terms per sum.
const TILES_DOWN: usize = 32;
const TILES_UP: usize = 64;
const TILES_GRADIENT: usize = 64;

/// The side of a tile of outputs in the gradient, where larger ones would leave too few terms.
const GRADIENT_SIDE: usize = 2;

/// Products per tile of outputs.
const fn products_of(side: usize) -> usize {
    (side + 1) * (side + 1)
}

/// Distance between the products of `n` floats each: not a power of two, so that the nine do not
/// compete for the same places in the cache.
fn plane(n: usize) -> usize {
    n + 16
}

/// The phases of the large map's coordinates.
const PHASES: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

/// Where Winograd's algorithm applies and pays.
pub(crate) fn suits(precision: Precision, conv: &Conv) -> bool {
    let halved = (0..2)
        .all(|axis| conv.large[axis] == 2 * conv.small[axis] && conv.small[axis].is_multiple_of(2));
    let window = conv.window;
    let enough = conv.small[2] >= 16 && conv.large[2] >= 16 && conv.small[0] * conv.small[1] >= 64;
    let whole = match precision {
        Precision::F32 => true,
        Precision::Bf16 => {
            conv.small[2].is_multiple_of(2) && conv.large[2].is_multiple_of(2) && side(conv) == 4
        }
    };
    conv.kernel == 4 && window.stride == 2 && window.padding == 1 && halved && enough && whole
}

/// The side of a tile of outputs: 4 where enough of them fit to fill the registers.
fn side(conv: &Conv) -> usize {
    let [height, width, _] = conv.small;
    let fours = height.is_multiple_of(4) && width.is_multiple_of(4);
    if fours && height * width >= 256 { 4 } else { 2 }
}

/// Windows of a map, one for each square tile of outputs and a pixel wider, and the places of those
/// outputs.
#[derive(Debug)]
struct Tiles {
    /// The side of a tile of outputs, 2 or 4.
    side: usize,
    /// Offsets of a window's corner, and of its first output.
    corners: Positions,
    /// Distances between the rows and columns of a window, and of the outputs.
    window: [usize; 2],
    outputs: [usize; 2],
}

impl Tiles {
    fn count(&self) -> usize {
        self.corners.len()
    }
}

/// The coordinates of the tiles of the small map.
fn tiles(conv: &Conv, side: usize) -> impl Iterator<Item = [isize; 2]> + use<> {
    let [height, width, _] = conv.small.map(|n| n / side);
    (0..height).flat_map(move |y| (0..width).map(move |x| [y as isize, x as isize]))
}

/// For each phase, the windows of the large map over which small outputs sum.
fn down(conv: &Conv, side: usize, large: Layout, small: Layout) -> Vec<Tiles> {
    let n = side as isize;
    let phase = |[a, b]: [usize; 2]| Tiles {
        side,
        corners: tiles(conv, side)
            .map(|[y, x]| {
                let (a, b) = (a as isize, b as isize);
                let corner = large.offset(2 * n * y - 1 + a, 2 * n * x - 1 + b);
                [corner, small.offset(n * y, n * x)]
            })
            .collect(),
        window: [2 * large.row(), 2 * large.shape[2]],
        outputs: [small.row(), small.shape[2]],
    };
    PHASES.map(phase).into()
}

/// For each phase of the large map's outputs, the windows of the small map over which they sum.
fn up(conv: &Conv, side: usize, small: Layout, large: Layout) -> Vec<Tiles> {
    let n = side as isize;
    let phase = |[a, b]: [usize; 2]| Tiles {
        side,
        corners: tiles(conv, side)
            .map(|[y, x]| {
                let (a, b) = (a as isize, b as isize);
                let corner = small.offset(n * y - a, n * x - b);
                [corner, large.offset(2 * n * y + 1 - a, 2 * n * x + 1 - b)]
            })
            .collect(),
        window: [small.row(), small.shape[2]],
        outputs: [2 * large.row(), 2 * large.shape[2]],
    };
    PHASES.map(phase).into()
}

/// One way through a convolution.
#[derive(Debug)]
pub(crate) struct Winograd {
    level: Level,
    conv: Conv,
    way: Way,
    strides: [usize; 2],
    /// The side of a tile.
    side: usize,
    phases: Vec<Tiles>,
    /// How windows and factors are multiplied.
    pairs: Pairs,
}

/// Buffers that calls reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    windows: Vec<f32>,
    products: Vec<f32>,
}

/// `n` floats to be overwritten.
fn room(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
    &mut buffer[..n]
}

impl Winograd {
    pub(crate) fn new(
        level: Level,
        precision: Precision,
        conv: Conv,
        way: Way,
        input: Layout,
        output: Layout,
    ) -> Self {
        let side = side(&conv);
        let phases = match way {
            Way::Down => down(&conv, side, input, output),
            Way::Up => up(&conv, side, input, output),
        };
        let pairs = match precision {
            Precision::F32 => Pairs::None,
            Precision::Bf16 => Pairs::Channels,
        };
        Self { level, conv, way, strides: [input.len(), output.len()], side, phases, pairs }
    }

    /// Input and output channels; on the way down, the four phases are channels too.
    fn channels(&self) -> [usize; 2] {
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        if self.way == Way::Down { [4 * large, small] } else { [small, large] }
    }

    /// Numbers that input channels take.
    fn words(&self, channels: usize) -> usize {
        self.pairs.halve(channels, 0)[0]
    }

    /// Factors of the weights: [(phase,) product, panel, input channel, lane].
    pub(crate) fn pack(&self, weight: &[f32]) -> Buffer {
        let [inputs, outputs] = self.channels();
        let panel = self.level.panel();
        let block = inputs * outputs.div_ceil(panel) * panel;
        let blocks = if self.way == Way::Down { 1 } else { PHASES.len() };
        let products = products_of(self.side);
        let mut packed = Buffer::new(blocks * products * block);
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        // Distances of the input's and the output's channels in PyTorch's layout.
        let (count, by_input, by_output) = match self.way {
            Way::Down => (large, 16, 16 * large),
            Way::Up => (small, 16 * large, 16),
        };
        let mut taps = vec![0.0; 16 * panel];
        // A smaller last panel leaves lanes that no output reads.
        for first in (0..outputs).step_by(panel) {
            for input in 0..count {
                // The taps of a panel of outputs: [tap, lane].
                for (lane, output) in (first..outputs.min(first + panel)).enumerate() {
                    let from = &weight[input * by_input + output * by_output..][..16];
                    for (tap, value) in from.iter().enumerate() {
                        taps[tap * panel + lane] = *value;
                    }
                }
                for (phase, [a, b]) in PHASES.into_iter().enumerate() {
                    let g = |i: usize, j: usize| {
                        // On the way up, the window runs against the taps.
                        let (i, j) = if self.way == Way::Up { (1 - i, 1 - j) } else { (i, j) };
                        &taps[((2 * i + a) * 4 + 2 * j + b) * panel..][..panel]
                    };
                    let (start, input) = match self.way {
                        Way::Down => (0, phase * large + input),
                        Way::Up => (phase * products * block, input),
                    };
                    let at = start + (first * inputs) + input * panel;
                    let (taps, to) = ([[g(0, 0), g(0, 1)], [g(1, 0), g(1, 1)]], &mut packed[at..]);
                    dispatch(self.level, Filters { side: self.side, taps, to, stride: block });
                }
            }
        }
        if self.pairs == Pairs::None {
            return packed;
        }
        let mut pairs = Buffer::new(packed.len() / 2);
        bf16::pack_steps(self.level, panel, &packed, &mut pairs);
        pairs
    }

    /// As [`crate::reduce::Reduction::run`].
    pub(crate) fn run(
        &self,
        samples: usize,
        packed: &[f32],
        from: &[f32],
        to: &mut [f32],
        finish: Finish<'_>,
        scratch: &mut Scratch,
    ) {
        let [inputs, outputs] = self.channels();
        // As many outputs, whatever their tiles.
        let block = match self.way {
            Way::Down => TILES_DOWN,
            Way::Up => TILES_UP,
        } * 2
            / self.side;
        let count = self.phases[0].count();
        let Scratch { windows, products } = scratch;
        let windows = room(windows, products_of(self.side) * plane(block * self.words(inputs)));
        let products = room(products, products_of(self.side) * plane(block * outputs));
        for sample in 0..samples {
            let from = &from[sample * self.strides[0]..];
            let start = sample * self.strides[1];
            for first in (0..count).step_by(block) {
                let range = first..count.min(first + block);
                let collect = |tiles, products: &[f32], to: &mut [f32]| {
                    let range = range.clone();
                    let collect =
                        Collect { tiles, range, start, channels: outputs, products, to, finish };
                    dispatch(self.level, collect);
                };
                match self.way {
                    Way::Down => {
                        let phases = (self.phases.as_slice(), range.clone());
                        spread_all(self.level, phases, &self.conv, from, windows, self.pairs);
                        self.multiply(range.len(), packed, windows, products);
                        collect(&self.phases[0], products, to);
                    }
                    Way::Up => {
                        let packed = packed.chunks_exact(packed.len() / PHASES.len());
                        for (tiles, packed) in self.phases.iter().zip(packed) {
                            let spread = Spread {
                                tiles,
                                range: range.clone(),
                                channels: inputs,
                                from,
                                to: windows,
                                stride: self.words(inputs),
                                first: 0,
                                pairs: self.pairs,
                            };
                            dispatch(self.level, spread);
                            self.multiply(range.len(), packed, windows, products);
                            collect(tiles, products, to);
                        }
                    }
                }
            }
        }
    }

    /// The matrix products of some tiles.
    fn multiply(&self, tiles: usize, packed: &[f32], windows: &[f32], products: &mut [f32]) {
        let [inputs, outputs] = self.channels();
        let (inputs, panel) = (self.words(inputs), self.level.panel());
        let positions: Positions = (0..tiles).map(|t| [t * inputs, t * outputs]).collect();
        let job = Contract {
            x: windows,
            w: packed,
            positions: &positions,
            samples: 1,
            sample_stride: [0; 2],
            steps: Steps { count: [1, 1, inputs], x: [0, 0, 1], w: [0, 0, panel] },
            n: outputs,
            panel_stride: [inputs * panel, panel],
            finish: Finish::Store,
            repeat: products_of(self.side),
            repeat_stride: [
                plane(tiles * inputs),
                packed.len() / products_of(self.side),
                plane(tiles * outputs),
            ],
            pairs: self.pairs != Pairs::None,
        };
        contract(self.level, &job, products);
    }
}

/// The windows of all phases of the large map: [product, tile, phase, channel].
fn spread_all(
    level: Level,
    (phases, range): (&[Tiles], Range<usize>),
    conv: &Conv,
    from: &[f32],
    to: &mut [f32],
    pairs: Pairs,
) {
    let channels = conv.large[2];
    let [words, _] = pairs.halve(channels, 0);
    let stride = PHASES.len() * words;
    for (phase, tiles) in phases.iter().enumerate() {
        let (first, range) = (phase * words, range.clone());
        let to = &mut *to;
        dispatch(level, Spread { tiles, range, channels, from, to, stride, first, pairs });
    }
}

//! Winograd's minimal filtering for 4x4 convolutions of stride 2: 9 multiplications in place of 16, or
//! 25 in place of 64.
//!
//! Such a convolution is the sum of four 2x2 convolutions of stride 1, one for each remainder
//! ("phase") of the large map's coordinates. In one dimension, two outputs of a filter (g0, g1) over
//! (d0, d1, d2) take three products in place of four, all with factors that only add:
//!
//! m0 = (d0 - d1) g0, m1 = d1 (g0 + g1), m2 = (d2 - d1) g1; y0 = m0 + m1, y1 = m1 + m2.
//!
//! Four outputs over (d0, .., d4) take five in place of eight: the outputs are the coefficients of a
//! product of polynomials, interpolated at 0, 1, -1, 2 and infinity.
//!
//! In two dimensions that is F(2x2, 2x2): 3x3 windows become 9 numbers, and each of the 9 is a
//! matrix product over channels; or F(4x4, 2x2): 5x5 windows become 25 (Lavin and Gray 2016). The
//! gradient of the weights is the transpose of the same algorithm.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::geometry::{Conv, Layout};
use crate::reduce::Way;
use crate::simd::{Kernel, Level, Simd, dispatch};

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
pub(crate) fn suits(conv: &Conv) -> bool {
    let halved = (0..2)
        .all(|axis| conv.large[axis] == 2 * conv.small[axis] && conv.small[axis].is_multiple_of(2));
    let window = conv.window;
    let enough = conv.small[2] >= 16 && conv.large[2] >= 16 && conv.small[0] * conv.small[1] >= 64;
    conv.kernel == 4 && window.stride == 2 && window.padding == 1 && halved && enough
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

/// One line of a window of `N` to `N` factors.
#[inline(always)]
fn spread_line<S: Simd, const N: usize>(simd: S, d: [S::V; N]) -> [S::V; N] {
    let mut to = d;
    if N == 3 {
        to[0] = simd.sub(d[0], d[1]);
        to[2] = simd.sub(d[2], d[1]);
    } else {
        let (two, minus_two) = (simd.splat(2.0), simd.splat(-2.0));
        let (outer, inner) = (simd.sub(d[3], d[1]), simd.sub(d[3], d[2]));
        to[0] = simd.fma(two, simd.sub(d[0], d[2]), outer);
        to[1] = simd.fma(minus_two, d[1], inner);
        to[2] = simd.fma(two, simd.sub(d[1], d[2]), inner);
        to[3] = outer;
        to[4] = simd.fma(minus_two, outer, simd.sub(d[4], d[2]));
    }
    to
}

/// A line of `N` products to `M` outputs.
#[inline(always)]
fn collect_line<S: Simd, const N: usize, const M: usize>(simd: S, m: [S::V; N]) -> [S::V; M] {
    let mut to = [m[0]; M];
    if N == 3 {
        to[0] = simd.add(m[0], m[1]);
        to[1] = simd.add(m[1], m[2]);
    } else {
        let (sum, difference) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
        to[0] = simd.add(simd.add(m[0], sum), m[3]);
        to[1] = simd.fma(simd.splat(2.0), m[3], difference);
        to[2] = simd.fma(simd.splat(4.0), m[3], sum);
        to[3] = simd.add(simd.fma(simd.splat(8.0), m[3], difference), m[4]);
    }
    to
}

/// The factors of a filter (g0, g1), one for each product of a line.
const FACTORS_2: [[f32; 2]; 3] = [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
const FACTORS_4: [[f32; 2]; 5] = [
    [1.0 / 2.0, 0.0],
    [-1.0 / 2.0, -1.0 / 2.0],
    [-1.0 / 6.0, 1.0 / 6.0],
    [1.0 / 6.0, 1.0 / 3.0],
    [0.0, 1.0],
];

/// Transforms windows: `to` is [product, tile, `stride` floats], of which this fills `channels`
/// from `first` on.
struct Spread<'a> {
    tiles: &'a Tiles,
    range: Range<usize>,
    channels: usize,
    from: &'a [f32],
    to: &'a mut [f32],
    stride: usize,
    first: usize,
}

impl Kernel for Spread<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.tiles.side {
            2 => self.windows::<S, 3>(simd),
            _ => self.windows::<S, 5>(simd),
        }
    }
}

impl Spread<'_> {
    #[inline(always)]
    fn windows<S: Simd, const N: usize>(self, simd: S) {
        let Spread { tiles, range, channels, from, to, stride, first } = self;
        let [row, column] = tiles.window;
        let total = range.len();
        let reach = tiles.corners.reach()[0] + (N - 1) * (row + column);
        assert!(reach + channels <= from.len());
        let plane = plane(total * stride);
        assert!(N * N * plane <= to.len() && first + channels <= stride);
        for (tile, [corner, _]) in tiles.corners.range(range).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let lanes = (channels - c).min(S::LANES);
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let from = from.as_ptr().add(corner + c);
                    let to = to.as_mut_ptr().add(tile * stride + first + c);
                    let mut lines = [[simd.splat(0.0); N]; N];
                    for i in 0..N {
                        let mut d = [simd.splat(0.0); N];
                        for j in 0..N {
                            d[j] = simd.load_first(from.add(i * row + j * column), lanes);
                        }
                        lines[i] = spread_line(simd, d);
                    }
                    for j in 0..N {
                        let mut d = [simd.splat(0.0); N];
                        for i in 0..N {
                            d[i] = lines[i][j];
                        }
                        let d = spread_line(simd, d);
                        for i in 0..N {
                            simd.store_first(to.add((i * N + j) * plane), d[i], lanes);
                        }
                    }
                }
            }
        }
    }
}

/// From products [product, tile, channel] to outputs. `start` is the place of `to` in what the
/// finish refers to.
struct Collect<'a> {
    tiles: &'a Tiles,
    range: Range<usize>,
    start: usize,
    channels: usize,
    products: &'a [f32],
    to: &'a mut [f32],
    finish: Finish<'a>,
}

impl Kernel for Collect<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.tiles.side {
            2 => self.tiles::<S, 3, 2>(simd),
            _ => self.tiles::<S, 5, 4>(simd),
        }
    }
}

impl Collect<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const N: usize, const M: usize>(self, simd: S) {
        let Collect { tiles, range, start, channels, products, to, finish } = self;
        let [row, column] = tiles.outputs;
        let total = range.len();
        let end = start + tiles.corners.reach()[1] + (M - 1) * (row + column) + channels;
        let plane = plane(total * channels);
        assert!(end <= to.len() && N * N * plane <= products.len());
        finish.check(channels, end);
        for (tile, [_, corner]) in tiles.corners.range(range).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let lanes = (channels - c).min(S::LANES);
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let from = products.as_ptr().add(tile * channels + c);
                    let mut lines = [[simd.splat(0.0); M]; N];
                    for i in 0..N {
                        let mut m = [simd.splat(0.0); N];
                        for j in 0..N {
                            m[j] = simd.load_first(from.add((i * N + j) * plane), lanes);
                        }
                        lines[i] = collect_line(simd, m);
                    }
                    for j in 0..M {
                        let mut m = [simd.splat(0.0); N];
                        for i in 0..N {
                            m[i] = lines[i][j];
                        }
                        let values: [S::V; M] = collect_line(simd, m);
                        for i in 0..M {
                            let at = start + corner + i * row + j * column + c;
                            let to = to.as_mut_ptr().add(at);
                            let value = finish.apply(simd, values[i], to, at, c, lanes);
                            simd.store_first(to, value, lanes);
                        }
                    }
                }
            }
        }
    }
}

/// The transpose of [`Collect`] for 2x2 values of the small map: to the 9 products they belong to.
struct Distribute<'a> {
    tiles: &'a Tiles,
    range: Range<usize>,
    channels: usize,
    from: &'a [f32],
    products: &'a mut [f32],
}

impl Kernel for Distribute<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Distribute { tiles, range, channels, from, products } = self;
        let [row, column] = tiles.outputs;
        let total = range.len();
        assert!(tiles.corners.reach()[1] + row + column + channels <= from.len());
        let plane = plane(total * channels);
        assert!(products_of(GRADIENT_SIDE) * plane <= products.len());
        for (tile, [_, corner]) in tiles.corners.range(range).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let lanes = (channels - c).min(S::LANES);
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let from = from.as_ptr().add(corner + c);
                    let to = products.as_mut_ptr().add(tile * channels + c);
                    let line = |i: usize| -> [S::V; 3] {
                        let y0 = simd.load_first(from.add(i * row), lanes);
                        let y1 = simd.load_first(from.add(i * row + column), lanes);
                        [y0, simd.add(y0, y1), y1]
                    };
                    let (top, bottom) = (line(0), line(1));
                    for j in 0..3 {
                        let column = [top[j], simd.add(top[j], bottom[j]), bottom[j]];
                        for i in 0..3 {
                            let to = to.add((i * 3 + j) * plane);
                            simd.store_first(to, column[i], lanes);
                        }
                    }
                }
            }
        }
    }
}

/// One of the factors of 2x2 filters, lane by lane.
fn factor(side: usize, f: usize, g: [[&[f32]; 2]; 2], to: &mut [f32]) {
    let line = if side == 2 { &FACTORS_2[..] } else { &FACTORS_4[..] };
    let (rows, columns) = (line[f / (side + 1)], line[f % (side + 1)]);
    to.fill(0.0);
    for (row, g) in rows.iter().zip(g) {
        for (column, g) in columns.iter().zip(g) {
            let weight = row * column;
            if weight != 0.0 {
                to.iter_mut().zip(g).for_each(|(to, g)| *to += weight * g);
            }
        }
    }
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
    pub(crate) fn new(level: Level, conv: Conv, way: Way, input: Layout, output: Layout) -> Self {
        let side = side(&conv);
        let phases = match way {
            Way::Down => down(&conv, side, input, output),
            Way::Up => up(&conv, side, input, output),
        };
        Self { level, conv, way, strides: [input.len(), output.len()], side, phases }
    }

    /// Input and output channels; on the way down, the four phases are channels too.
    fn channels(&self) -> [usize; 2] {
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        if self.way == Way::Down { [4 * large, small] } else { [small, large] }
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
                    let g = [[g(0, 0), g(0, 1)], [g(1, 0), g(1, 1)]];
                    let (start, input) = match self.way {
                        Way::Down => (0, phase * large + input),
                        Way::Up => (phase * products * block, input),
                    };
                    let at = start + (first * inputs) + input * panel;
                    for f in 0..products {
                        let to = &mut packed[at + f * block..][..panel];
                        factor(self.side, f, g, to);
                    }
                }
            }
        }
        packed
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
        let windows = room(windows, products_of(self.side) * plane(block * inputs));
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
                        spread_all(self.level, phases, &self.conv, from, windows);
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
                                stride: inputs,
                                first: 0,
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
        let panel = self.level.panel();
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
            pairs: false,
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
) {
    let channels = conv.large[2];
    let stride = PHASES.len() * channels;
    for (phase, tiles) in phases.iter().enumerate() {
        let (first, range) = (phase * channels, range.clone());
        let to = &mut *to;
        dispatch(level, Spread { tiles, range, channels, from, to, stride, first });
    }
}

/// The gradient of the weights: the transposed algorithm.
#[derive(Debug)]
pub(crate) struct WinogradGradient {
    level: Level,
    conv: Conv,
    /// Strides of the small and the large map.
    strides: [usize; 2],
    phases: Vec<Tiles>,
}

impl WinogradGradient {
    pub(crate) fn new(level: Level, conv: Conv, small: Layout, large: Layout) -> Self {
        let phases = down(&conv, GRADIENT_SIDE, large, small);
        Self { level, conv, strides: [small.len(), large.len()], phases }
    }

    /// Floats of one product's sums: [panel, phase, large channel, lane].
    fn block(&self) -> usize {
        let panel = self.level.panel();
        self.conv.small[2].div_ceil(panel) * panel * PHASES.len() * self.conv.large[2]
    }

    pub(crate) fn weights(&self) -> usize {
        self.conv.weights()
    }

    pub(crate) fn zeros(&self) -> Vec<f32> {
        vec![0.0; products_of(GRADIENT_SIDE) * self.block()]
    }

    /// As [`crate::weight_gradient::WeightGradient::add`].
    pub(crate) fn add(
        &self,
        samples: usize,
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
        let Scratch { windows, products } = scratch;
        for sample in 0..samples {
            let (small, large) =
                (&small[sample * self.strides[0]..], &large[sample * self.strides[1]..]);
            for first in (0..count).step_by(TILES_GRADIENT) {
                let range = first..count.min(first + TILES_GRADIENT);
                let tiles = range.len();
                let windows = room(windows, products_of(GRADIENT_SIDE) * plane(tiles * rows));
                let products =
                    room(products, products_of(GRADIENT_SIDE) * plane(tiles * channels) + panel);
                spread_all(level, (&self.phases, range.clone()), &self.conv, large, windows);
                let tile = &self.phases[0];
                dispatch(level, Distribute { tiles: tile, range, channels, from: small, products });
                let job = Contract {
                    x: windows,
                    w: products,
                    positions: &positions,
                    samples: 1,
                    sample_stride: [0; 2],
                    steps: Steps { count: [1, 1, tiles], x: [0, 0, rows], w: [0, 0, channels] },
                    n: channels,
                    panel_stride: [panel, rows * panel],
                    finish: Finish::Add,
                    repeat: products_of(GRADIENT_SIDE),
                    repeat_stride: [plane(tiles * rows), plane(tiles * channels), self.block()],
                    pairs: false,
                };
                contract(level, &job, sums);
            }
        }
    }

    /// As [`crate::weight_gradient::WeightGradient::unpack`].
    pub(crate) fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let panel = self.level.panel();
        let (small, large) = (self.conv.small[2], self.conv.large[2]);
        let rows = PHASES.len() * large;
        let mut gradient = vec![0.0; self.conv.weights()];
        for s in 0..small {
            for l in 0..large {
                for (phase, [a, b]) in PHASES.into_iter().enumerate() {
                    let row = phase * large + l;
                    let at = ((s / panel) * rows + row) * panel + s % panel;
                    let du = |f: usize| sums[f * self.block() + at];
                    for i in 0..2 {
                        for j in 0..2 {
                            let line = |f: usize| du(f * 3 + j) + du(f * 3 + j + 1);
                            let tap = [2 * i + a, 2 * j + b];
                            gradient[self.conv.weight(s, l, tap)] = line(i) + line(i + 1);
                        }
                    }
                }
            }
        }
        gradient
    }
}

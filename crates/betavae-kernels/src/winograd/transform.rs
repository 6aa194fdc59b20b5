//! The transforms around Winograd's products: of windows, of filters, and back to outputs.
//!
//! In one dimension, N factors of a line of N inputs, N factors of a filter (g0, g1), and from their
//! products N - 1 outputs. Two outputs, over (d0, d1, d2):
//!
//! m0 = (d0 - d1) g0, m1 = d1 (g0 + g1), m2 = (d2 - d1) g1; y0 = m0 + m1, y1 = m1 + m2.
//!
//! Four outputs, over (d0, .., d4): the outputs are the coefficients of a product of polynomials,
//! interpolated at 0, -1, 1/2, 2 and infinity. Of all such points these lose the fewest digits
//! (Barabasz et al. 2020).

use std::ops::Range;

use super::{GRADIENT_SIDE, Tiles, plane, products_of};
use crate::contract::Finish;
use crate::simd::{Kernel, Simd, vectors};

/// factor * a + b
#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, a: S::V, b: S::V) -> S::V {
    simd.fma(simd.splat(factor), a, b)
}

/// One line of a window of `N` to `N` factors.
#[inline(always)]
fn spread_line<S: Simd, const N: usize>(simd: S, d: [S::V; N]) -> [S::V; N] {
    let mut to = d;
    if N == 3 {
        to[0] = simd.sub(d[0], d[1]);
        to[2] = simd.sub(d[2], d[1]);
    } else {
        to[0] = times(simd, -1.5, simd.add(d[1], d[2]), simd.add(d[0], d[3]));
        to[1] = times(simd, -2.5, d[2], simd.add(d[1], d[3]));
        to[2] = times(simd, -2.0, d[1], simd.sub(d[3], d[2]));
        to[3] = times(simd, 0.5, simd.sub(d[2], d[1]), d[3]);
        to[4] = times(simd, -1.5, simd.add(d[2], d[3]), simd.add(d[1], d[4]));
    }
    to
}

/// The factors of one line of a filter.
#[inline(always)]
fn filter_line<S: Simd, const N: usize>(simd: S, [g0, g1]: [S::V; 2]) -> [S::V; N] {
    let mut to = [g0; N];
    if N == 3 {
        to[1] = simd.add(g0, g1);
    } else {
        to[1] = times(simd, -2.0 / 9.0, g0, simd.mul(simd.splat(2.0 / 9.0), g1));
        to[2] = times(simd, -8.0 / 9.0, g0, simd.mul(simd.splat(-4.0 / 9.0), g1));
        to[3] = times(simd, 1.0 / 9.0, g0, simd.mul(simd.splat(2.0 / 9.0), g1));
    }
    to[N - 1] = g1;
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
        to[0] = simd.add(simd.add(m[0], m[1]), simd.add(m[2], m[3]));
        to[1] = times(simd, 2.0, m[3], times(simd, 0.5, m[2], simd.sub(simd.splat(0.0), m[1])));
        to[2] = times(simd, 4.0, m[3], times(simd, 0.25, m[2], m[1]));
        to[3] = times(simd, 8.0, m[3], times(simd, 0.125, m[2], simd.sub(m[4], m[1])));
    }
    to
}

/// The factors of 2x2 filters g(row, column), lane by lane: [factor, `panel` lanes], at distances of
/// `stride` floats.
pub(super) struct Filters<'a> {
    pub(super) side: usize,
    pub(super) taps: [[&'a [f32]; 2]; 2],
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
}

impl Kernel for Filters<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.side {
            2 => self.factors::<S, 3>(simd),
            _ => self.factors::<S, 5>(simd),
        }
    }
}

impl Filters<'_> {
    #[inline(always)]
    fn factors<S: Simd, const N: usize>(self, simd: S) {
        let Filters { taps, to, stride, .. } = self;
        assert!(taps.as_flattened().iter().all(|tap| tap.len() >= S::PANEL));
        assert!((N * N - 1) * stride + S::PANEL <= to.len());
        for c in (0..S::PANEL).step_by(S::LANES) {
            // SAFETY: checked above; c + LANES <= PANEL.
            unsafe {
                let mut lines = [[simd.splat(0.0); N]; 2];
                for i in 0..2 {
                    lines[i] = {
                        let [g0, g1] = taps[i];
                        filter_line(
                            simd,
                            [simd.load(g0.as_ptr().add(c)), simd.load(g1.as_ptr().add(c))],
                        )
                    };
                }
                for j in 0..N {
                    let column: [S::V; N] = filter_line(simd, [lines[0][j], lines[1][j]]);
                    for i in 0..N {
                        simd.store(to.as_mut_ptr().add((i * N + j) * stride + c), column[i]);
                    }
                }
            }
        }
    }
}

/// What the products multiply: numbers, or pairs of bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairs {
    None,
    /// Of neighbouring channels, so that a tile takes half as many floats.
    Channels,
    /// Of neighbouring tiles.
    Tiles,
}

impl Pairs {
    /// Floats for a number of channels, and rows of them for a number of tiles.
    pub(super) fn halve(self, channels: usize, tiles: usize) -> [usize; 2] {
        match self {
            Pairs::None => [channels, tiles],
            Pairs::Channels => [channels / 2, tiles],
            Pairs::Tiles => [channels, tiles / 2],
        }
    }
}

/// Transforms windows: `to` is [product, tile, `stride` floats], of which this fills those of
/// `channels` from `first` on.
pub(super) struct Spread<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) channels: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) pairs: Pairs,
}

impl Kernel for Spread<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.tiles.side, self.pairs) {
            (2, Pairs::None) => self.windows::<S, 3, 1, false>(simd),
            (2, Pairs::Channels) => self.windows::<S, 3, 1, true>(simd),
            (2, Pairs::Tiles) => self.windows::<S, 3, 2, false>(simd),
            (_, Pairs::Channels) => self.windows::<S, 5, 1, true>(simd),
            (_, _) => self.windows::<S, 5, 1, false>(simd),
        }
    }
}

impl Spread<'_> {
    /// `TILES` at a time, with channels halved or not.
    #[inline(always)]
    fn windows<S: Simd, const N: usize, const TILES: usize, const HALVED: bool>(self, simd: S) {
        let Spread { tiles, range, channels, from, to, stride, first, .. } = self;
        let half = if HALVED { 2 } else { 1 };
        let [row, column] = tiles.window;
        let total = range.len() / TILES;
        let reach = tiles.corners.reach()[0] + (N - 1) * (row + column);
        assert!(range.end <= tiles.count() && reach + channels <= from.len());
        let plane = plane(total * stride);
        assert!(N * N * plane <= to.len() && first + channels.div_ceil(half) <= stride);
        for tile in 0..total {
            for (c, lanes) in vectors::<S>(channels) {
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let mut windows = [[[simd.splat(0.0); N]; N]; TILES];
                    for i in 0..TILES {
                        let [corner, _] = tiles.corners.at(range.start + TILES * tile + i);
                        let from = from.as_ptr().add(corner + c);
                        windows[i] = spread_window(simd, from, tiles.window, lanes);
                    }
                    let to = to.as_mut_ptr().add(tile * stride + first + c / half);
                    for i in 0..N {
                        for j in 0..N {
                            let to = to.add((i * N + j) * plane);
                            if TILES == 2 {
                                let pairs = simd.pair_lanes(windows[0][i][j], windows[1][i][j]);
                                simd.store_first(to, pairs, lanes);
                            } else if HALVED {
                                let pairs = simd.pair_neighbours(windows[0][i][j], simd.splat(0.0));
                                simd.store_first(to, pairs, lanes.div_ceil(2));
                            } else {
                                simd.store_first(to, windows[0][i][j], lanes);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The factors of a window.
///
/// # Safety
/// `lanes` floats are readable at each pixel of the window that begins at `from`.
#[inline(always)]
unsafe fn spread_window<S: Simd, const N: usize>(
    simd: S,
    from: *const f32,
    [row, column]: [usize; 2],
    lanes: usize,
) -> [[S::V; N]; N] {
    let mut lines = [[simd.splat(0.0); N]; N];
    for i in 0..N {
        let mut d = [simd.splat(0.0); N];
        for j in 0..N {
            // SAFETY: as the caller promises.
            d[j] = unsafe { simd.load_first(from.add(i * row + j * column), lanes) };
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
            lines[i][j] = d[i];
        }
    }
    lines
}

/// From products [product, tile, channel] to outputs. `start` is the place of `to` in what the
/// finish refers to.
pub(super) struct Collect<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) start: usize,
    pub(super) channels: usize,
    pub(super) products: &'a [f32],
    pub(super) to: &'a mut [f32],
    pub(super) finish: Finish<'a>,
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
            for (c, lanes) in vectors::<S>(channels) {
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
pub(super) struct Distribute<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) channels: usize,
    pub(super) from: &'a [f32],
    pub(super) products: &'a mut [f32],
    pub(super) pairs: Pairs,
}

impl Kernel for Distribute<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.pairs {
            Pairs::Tiles => self.tiles::<S, 2>(simd),
            _ => self.tiles::<S, 1>(simd),
        }
    }
}

impl Distribute<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const TILES: usize>(self, simd: S) {
        let Distribute { tiles, range, channels, from, products, .. } = self;
        let [row, column] = tiles.outputs;
        let total = range.len() / TILES;
        let reach = tiles.corners.reach()[1] + row + column;
        assert!(range.end <= tiles.count() && reach + channels <= from.len());
        let plane = plane(total * channels);
        assert!(products_of(GRADIENT_SIDE) * plane <= products.len());
        for tile in 0..total {
            for (c, lanes) in vectors::<S>(channels) {
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let mut squares = [[simd.splat(0.0); 9]; TILES];
                    for i in 0..TILES {
                        let [_, corner] = tiles.corners.at(range.start + TILES * tile + i);
                        let from = from.as_ptr().add(corner + c);
                        squares[i] = distribute_square(simd, from, tiles.outputs, lanes);
                    }
                    let to = products.as_mut_ptr().add(tile * channels + c);
                    for i in 0..9 {
                        let value = if TILES == 2 {
                            simd.pair_lanes(squares[0][i], squares[1][i])
                        } else {
                            squares[0][i]
                        };
                        simd.store_first(to.add(i * plane), value, lanes);
                    }
                }
            }
        }
    }
}

/// # Safety
/// `lanes` floats are readable at each of the 2x2 pixels that begin at `from`.
#[inline(always)]
unsafe fn distribute_square<S: Simd>(
    simd: S,
    from: *const f32,
    [row, column]: [usize; 2],
    lanes: usize,
) -> [S::V; 9] {
    let mut lines = [[simd.splat(0.0); 3]; 3];
    for (i, line) in [0, 2].into_iter().enumerate() {
        // SAFETY: as the caller promises.
        unsafe {
            let y0 = simd.load_first(from.add(i * row), lanes);
            let y1 = simd.load_first(from.add(i * row + column), lanes);
            lines[line] = [y0, simd.add(y0, y1), y1];
        }
    }
    let mut to = [simd.splat(0.0); 9];
    for j in 0..3 {
        to[j] = lines[0][j];
        to[3 + j] = simd.add(lines[0][j], lines[2][j]);
        to[6 + j] = lines[2][j];
    }
    to
}

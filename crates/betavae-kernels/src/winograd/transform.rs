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
use crate::simd::{Kernel, Simd};

/// One line of a window of `N` to `N` factors.
#[inline(always)]
fn spread_line<S: Simd, const N: usize>(simd: S, d: [S::V; N]) -> [S::V; N] {
    let mut to = d;
    if N == 3 {
        to[0] = simd.sub(d[0], d[1]);
        to[2] = simd.sub(d[2], d[1]);
    } else {
        let times = |factor: f32, a: S::V, b: S::V| simd.fma(simd.splat(factor), a, b);
        to[0] = times(-1.5, simd.add(d[1], d[2]), simd.add(d[0], d[3]));
        to[1] = times(-2.5, d[2], simd.add(d[1], d[3]));
        to[2] = times(-2.0, d[1], simd.sub(d[3], d[2]));
        to[3] = times(0.5, simd.sub(d[2], d[1]), d[3]);
        to[4] = times(-1.5, simd.add(d[2], d[3]), simd.add(d[1], d[4]));
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
        let weighted = |a: f32, b: f32| simd.fma(simd.splat(a), g0, simd.mul(simd.splat(b), g1));
        to[1] = weighted(-2.0 / 9.0, 2.0 / 9.0);
        to[2] = weighted(-8.0 / 9.0, -4.0 / 9.0);
        to[3] = weighted(1.0 / 9.0, 2.0 / 9.0);
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
        let times = |factor: f32, a: S::V, b: S::V| simd.fma(simd.splat(factor), a, b);
        to[0] = simd.add(simd.add(m[0], m[1]), simd.add(m[2], m[3]));
        to[1] = times(2.0, m[3], times(0.5, m[2], simd.sub(simd.splat(0.0), m[1])));
        to[2] = times(4.0, m[3], times(0.25, m[2], m[1]));
        to[3] = times(8.0, m[3], times(0.125, m[2], simd.sub(m[4], m[1])));
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
                let tap = |i: usize, j: usize| simd.load(taps[i][j].as_ptr().add(c));
                let mut lines = [[simd.splat(0.0); N]; 2];
                for i in 0..2 {
                    lines[i] = filter_line(simd, [tap(i, 0), tap(i, 1)]);
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

/// Transforms windows: `to` is [product, tile, `stride` floats], of which this fills `channels`
/// from `first` on.
pub(super) struct Spread<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) channels: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
    /// Neighbouring channels become pairs of bf16, which take half as many floats.
    pub(super) pairs: bool,
}

impl Kernel for Spread<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.tiles.side, self.pairs) {
            (2, false) => self.windows::<S, 3, false>(simd),
            (2, true) => self.windows::<S, 3, true>(simd),
            (_, false) => self.windows::<S, 5, false>(simd),
            (_, true) => self.windows::<S, 5, true>(simd),
        }
    }
}

impl Spread<'_> {
    #[inline(always)]
    fn windows<S: Simd, const N: usize, const PAIRS: bool>(self, simd: S) {
        let Spread { tiles, range, channels, from, to, stride, first, .. } = self;
        let half = if PAIRS { 2 } else { 1 };
        let [row, column] = tiles.window;
        let total = range.len();
        let reach = tiles.corners.reach()[0] + (N - 1) * (row + column);
        assert!(reach + channels <= from.len());
        let plane = plane(total * stride);
        assert!(N * N * plane <= to.len() && first + channels.div_ceil(half) <= stride);
        for (tile, [corner, _]) in tiles.corners.range(range).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let lanes = (channels - c).min(S::LANES);
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let from = from.as_ptr().add(corner + c);
                    let to = to.as_mut_ptr().add(tile * stride + first + c / half);
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
                            let to = to.add((i * N + j) * plane);
                            if PAIRS {
                                let pairs = simd.pair_neighbours(d[i], simd.splat(0.0));
                                simd.store_first(to, pairs, lanes.div_ceil(2));
                            } else {
                                simd.store_first(to, d[i], lanes);
                            }
                        }
                    }
                }
            }
        }
    }
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
pub(super) struct Distribute<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) channels: usize,
    pub(super) from: &'a [f32],
    pub(super) products: &'a mut [f32],
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

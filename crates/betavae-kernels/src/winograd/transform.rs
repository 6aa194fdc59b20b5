//! The transforms of Winograd's algorithm from input tiles and filters to the factors of products. Those
//! from products to output tiles are in `output_transform`.
//!
//! In one dimension, N inputs become N factors, a filter (g0, g1) becomes N factors, and their products
//! become N - 1 outputs. Two outputs, of inputs (d0, d1, d2):
//!
//! m0 = (d0 - d1) g0, m1 = d1 (g0 + g1), m2 = (d2 - d1) g1; y0 = m0 + m1, y1 = m1 + m2.
//!
//! Four outputs, of inputs (d0, .., d4), are the coefficients of a product of polynomials that is
//! interpolated at 0, -1, 1/2, 2 and infinity. Of all such points these lose the fewest digits
//! (Barabasz et al. 2020).

use std::ops::Range;

use super::{Tiles, plane_stride};
use crate::simd::{Simd, SimdKernel, vectors};

/// factor * a + b
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, factor: f32, a: S::V, b: S::V) -> S::V {
    simd.fma(simd.splat(factor), a, b)
}

/// Transforms `N` inputs to `N` factors.
#[inline(always)]
fn input_transform_1d<S: Simd, const N: usize>(simd: S, d: [S::V; N]) -> [S::V; N] {
    let mut to = d;
    if N == 3 {
        to[0] = simd.sub(d[0], d[1]);
        to[2] = simd.sub(d[2], d[1]);
    } else {
        to[0] = multiply_add(simd, -1.5, simd.add(d[1], d[2]), simd.add(d[0], d[3]));
        to[1] = multiply_add(simd, -2.5, d[2], simd.add(d[1], d[3]));
        to[2] = multiply_add(simd, -2.0, d[1], simd.sub(d[3], d[2]));
        to[3] = multiply_add(simd, 0.5, simd.sub(d[2], d[1]), d[3]);
        to[4] = multiply_add(simd, -1.5, simd.add(d[2], d[3]), simd.add(d[1], d[4]));
    }
    to
}

/// Transforms a filter of 2 taps to `N` factors.
#[inline(always)]
fn filter_transform_1d<S: Simd, const N: usize>(simd: S, [g0, g1]: [S::V; 2]) -> [S::V; N] {
    let mut to = [g0; N];
    if N == 3 {
        to[1] = simd.add(g0, g1);
    } else {
        to[1] = multiply_add(simd, -2.0 / 9.0, g0, simd.mul(simd.splat(2.0 / 9.0), g1));
        to[2] = multiply_add(simd, -8.0 / 9.0, g0, simd.mul(simd.splat(-4.0 / 9.0), g1));
        to[3] = multiply_add(simd, 1.0 / 9.0, g0, simd.mul(simd.splat(2.0 / 9.0), g1));
    }
    to[N - 1] = g1;
    to
}

/// Transforms 2x2 filters, one in each lane of a panel, to factors: [factor, lane], where factors are
/// `stride` floats apart.
pub(super) struct FilterTransform<'a> {
    /// The side of an output tile, 2 or 4.
    pub(super) side: usize,
    /// The lanes of each tap, by row and column.
    pub(super) taps: [[&'a [f32]; 2]; 2],
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
}

impl SimdKernel for FilterTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.side {
            2 => self.transform::<S, 3>(simd),
            _ => self.transform::<S, 5>(simd),
        }
    }
}

impl FilterTransform<'_> {
    #[inline(always)]
    fn transform<S: Simd, const N: usize>(self, simd: S) {
        let FilterTransform { taps, to, stride, .. } = self;
        assert!(taps.as_flattened().iter().all(|tap| tap.len() >= S::PANEL));
        assert!((N * N - 1) * stride + S::PANEL <= to.len());
        for c in (0..S::PANEL).step_by(S::LANES) {
            // SAFETY: checked above; c + LANES <= PANEL.
            unsafe {
                let mut lines = [[simd.splat(0.0); N]; 2];
                for i in 0..2 {
                    lines[i] = {
                        let [g0, g1] = taps[i];
                        filter_transform_1d(
                            simd,
                            [simd.load(g0.as_ptr().add(c)), simd.load(g1.as_ptr().add(c))],
                        )
                    };
                }
                for j in 0..N {
                    let column: [S::V; N] = filter_transform_1d(simd, [lines[0][j], lines[1][j]]);
                    for i in 0..N {
                        simd.store(to.as_mut_ptr().add((i * N + j) * stride + c), column[i]);
                    }
                }
            }
        }
    }
}

/// Which two factors are packed as a pair of bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pairing {
    /// None: factors are f32.
    None,
    /// Those of neighbouring channels, so that a tile takes half as many floats.
    Channels,
    /// Those of neighbouring tiles.
    Tiles,
}

impl Pairing {
    /// The floats that a number of channels takes, and the rows that a number of tiles takes.
    pub(super) fn packed_sizes(self, channels: usize, tiles: usize) -> [usize; 2] {
        match self {
            Pairing::None => [channels, tiles],
            Pairing::Channels => [channels / 2, tiles],
            Pairing::Tiles => [channels, tiles / 2],
        }
    }
}

/// Transforms input tiles. `to` is [product, tile, `stride` floats], of which this writes `channels`
/// from `first` on.
pub(super) struct InputTransform<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) channels: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) pairing: Pairing,
}

impl SimdKernel for InputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.tiles.side, self.pairing) {
            (2, Pairing::None) => self.transform::<S, 3, 1, false>(simd),
            (2, Pairing::Channels) => self.transform::<S, 3, 1, true>(simd),
            (2, Pairing::Tiles) => self.transform::<S, 3, 2, false>(simd),
            (_, Pairing::Channels) => self.transform::<S, 5, 1, true>(simd),
            (_, _) => self.transform::<S, 5, 1, false>(simd),
        }
    }
}

impl InputTransform<'_> {
    /// Transforms `TILES` tiles at a time; `HALVED` is whether channels are paired.
    #[inline(always)]
    fn transform<S: Simd, const N: usize, const TILES: usize, const HALVED: bool>(self, simd: S) {
        let InputTransform { tiles, range, channels, from, to, stride, first, .. } = self;
        let half = if HALVED { 2 } else { 1 };
        let [row, column] = tiles.input_strides;
        let total = range.len() / TILES;
        let last_offset = tiles.corners.max_offsets()[0] + (N - 1) * (row + column);
        assert!(range.end <= tiles.count() && last_offset + channels <= from.len());
        let plane = plane_stride(total * stride);
        assert!(N * N * plane <= to.len() && first + channels.div_ceil(half) <= stride);
        for tile in 0..total {
            for (c, lanes) in vectors::<S>(channels) {
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let mut tile_factors = [[[simd.splat(0.0); N]; N]; TILES];
                    for i in 0..TILES {
                        let [corner, _] = tiles.corners.at(range.start + TILES * tile + i);
                        let from = from.as_ptr().add(corner + c);
                        tile_factors[i] =
                            input_transform_2d(simd, from, tiles.input_strides, lanes);
                    }
                    let to = to.as_mut_ptr().add(tile * stride + first + c / half);
                    for i in 0..N {
                        for j in 0..N {
                            let to = to.add((i * N + j) * plane);
                            if TILES == 2 {
                                let pairs =
                                    simd.pair_lanes(tile_factors[0][i][j], tile_factors[1][i][j]);
                                simd.store_first(to, pairs, lanes);
                            } else if HALVED {
                                let pairs =
                                    simd.pair_neighbours(tile_factors[0][i][j], simd.splat(0.0));
                                simd.store_first(to, pairs, lanes.div_ceil(2));
                            } else {
                                simd.store_first(to, tile_factors[0][i][j], lanes);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Transforms one input tile.
///
/// # Safety
/// `lanes` floats are readable at each pixel of the input tile that begins at `from`.
#[inline(always)]
unsafe fn input_transform_2d<S: Simd, const N: usize>(
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
        lines[i] = input_transform_1d(simd, d);
    }
    for j in 0..N {
        let mut d = [simd.splat(0.0); N];
        for i in 0..N {
            d[i] = lines[i][j];
        }
        let d = input_transform_1d(simd, d);
        for i in 0..N {
            lines[i][j] = d[i];
        }
    }
    lines
}

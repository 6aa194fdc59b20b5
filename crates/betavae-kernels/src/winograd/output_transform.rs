//! The transform from products to output tiles of Winograd's algorithm, and its transpose, which the weight
//! gradient needs. The formulas are in `transform`.

use std::ops::Range;

use super::transform::{Pairing, multiply_add};
use super::{GRADIENT_SIDE, Tiles, plane_stride, products_of};
use crate::epilogue::Epilogue;
use crate::simd::{Simd, SimdKernel, vectors};

/// Transforms `N` products to `M` outputs.
#[inline(always)]
fn output_transform_1d<S: Simd, const N: usize, const M: usize>(
    simd: S,
    m: [S::V; N],
) -> [S::V; M] {
    let mut to = [m[0]; M];
    if N == 3 {
        to[0] = simd.add(m[0], m[1]);
        to[1] = simd.add(m[1], m[2]);
    } else {
        to[0] = simd.add(simd.add(m[0], m[1]), simd.add(m[2], m[3]));
        to[1] = multiply_add(
            simd,
            2.0,
            m[3],
            multiply_add(simd, 0.5, m[2], simd.sub(simd.splat(0.0), m[1])),
        );
        to[2] = multiply_add(simd, 4.0, m[3], multiply_add(simd, 0.25, m[2], m[1]));
        to[3] =
            multiply_add(simd, 8.0, m[3], multiply_add(simd, 0.125, m[2], simd.sub(m[4], m[1])));
    }
    to
}

/// Transforms products [product, tile, channel] to output tiles of the map that begins at `start` in
/// `to`.
pub(super) struct OutputTransform<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) start: usize,
    pub(super) channels: usize,
    pub(super) products: &'a [f32],
    pub(super) to: &'a mut [f32],
    pub(super) epilogue: Epilogue<'a>,
}

impl SimdKernel for OutputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.tiles.side {
            2 => self.transform::<S, 3, 2>(simd),
            _ => self.transform::<S, 5, 4>(simd),
        }
    }
}

impl OutputTransform<'_> {
    #[inline(always)]
    fn transform<S: Simd, const N: usize, const M: usize>(self, simd: S) {
        let OutputTransform { tiles, range, start, channels, products, to, epilogue } = self;
        let [row, column] = tiles.output_strides;
        let total = range.len();
        let end = start + tiles.corners.max_offsets()[1] + (M - 1) * (row + column) + channels;
        let plane = plane_stride(total * channels);
        assert!(end <= to.len() && N * N * plane <= products.len());
        epilogue.check(channels, end);
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
                        lines[i] = output_transform_1d(simd, m);
                    }
                    for j in 0..M {
                        let mut m = [simd.splat(0.0); N];
                        for i in 0..N {
                            m[i] = lines[i][j];
                        }
                        let values: [S::V; M] = output_transform_1d(simd, m);
                        for i in 0..M {
                            let at = start + corner + i * row + j * column + c;
                            let to = to.as_mut_ptr().add(at);
                            let value = epilogue.apply(simd, values[i], to, at, c, lanes);
                            simd.store_first(to, value, lanes);
                        }
                    }
                }
            }
        }
    }
}

/// The transpose of [`OutputTransform`] for tiles of 2x2, which the weight gradient needs: each of the
/// small map's values goes to the products that it is a sum of.
pub(super) struct OutputTransformTranspose<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) range: Range<usize>,
    pub(super) channels: usize,
    pub(super) from: &'a [f32],
    pub(super) products: &'a mut [f32],
    pub(super) pairing: Pairing,
}

impl SimdKernel for OutputTransformTranspose<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.pairing {
            Pairing::Tiles => self.transform::<S, 2>(simd),
            _ => self.transform::<S, 1>(simd),
        }
    }
}

impl OutputTransformTranspose<'_> {
    #[inline(always)]
    fn transform<S: Simd, const TILES: usize>(self, simd: S) {
        let OutputTransformTranspose { tiles, range, channels, from, products, .. } = self;
        let [row, column] = tiles.output_strides;
        let total = range.len() / TILES;
        let last_offset = tiles.corners.max_offsets()[1] + row + column;
        assert!(range.end <= tiles.count() && last_offset + channels <= from.len());
        let plane = plane_stride(total * channels);
        assert!(products_of(GRADIENT_SIDE) * plane <= products.len());
        for tile in 0..total {
            for (c, lanes) in vectors::<S>(channels) {
                // SAFETY: checked above; c + lanes <= channels.
                unsafe {
                    let mut tile_factors = [[simd.splat(0.0); 9]; TILES];
                    for i in 0..TILES {
                        let [_, corner] = tiles.corners.at(range.start + TILES * tile + i);
                        let from = from.as_ptr().add(corner + c);
                        tile_factors[i] =
                            output_transform_transpose_2d(simd, from, tiles.output_strides, lanes);
                    }
                    let to = products.as_mut_ptr().add(tile * channels + c);
                    for i in 0..9 {
                        let value = if TILES == 2 {
                            simd.pair_lanes(tile_factors[0][i], tile_factors[1][i])
                        } else {
                            tile_factors[0][i]
                        };
                        simd.store_first(to.add(i * plane), value, lanes);
                    }
                }
            }
        }
    }
}

/// Transforms one tile of 2x2.
///
/// # Safety
/// `lanes` floats are readable at each of the 2x2 pixels that begin at `from`.
#[inline(always)]
unsafe fn output_transform_transpose_2d<S: Simd>(
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

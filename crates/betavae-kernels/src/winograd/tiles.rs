//! Which tiles of a map the transforms of Winograd's algorithm read and write.

use super::PHASES;
use crate::geometry::{ConvShape, PaddedLayout};
use crate::indirect_gemm::Positions;

/// The square output tiles of one phase, and their input tiles, which are a pixel wider.
#[derive(Debug)]
pub(super) struct Tiles {
    /// The side of an output tile, 2 or 4.
    pub(super) side: usize,
    /// The offsets of the first pixel of each input tile, and of each output tile.
    pub(super) corners: Positions,
    /// The strides of the rows and columns of an input tile.
    pub(super) input_strides: [usize; 2],
    /// The strides of the rows and columns of an output tile.
    pub(super) output_strides: [usize; 2],
}

impl Tiles {
    pub(super) fn count(&self) -> usize {
        self.corners.len()
    }
}

/// The row and column of each tile of the small map, counted in tiles.
fn tile_indices(conv: &ConvShape, side: usize) -> impl Iterator<Item = [isize; 2]> + use<> {
    let [height, width, _] = conv.small.map(|n| n / side);
    (0..height).flat_map(move |y| (0..width).map(move |x| [y as isize, x as isize]))
}

/// The tiles of a convolution: for each phase, input tiles of the large map and output tiles of the small.
pub(super) fn conv_tiles(
    conv: &ConvShape,
    side: usize,
    large: PaddedLayout,
    small: PaddedLayout,
) -> Vec<Tiles> {
    let n = side as isize;
    let phase = |[a, b]: [usize; 2]| Tiles {
        side,
        corners: tile_indices(conv, side)
            .map(|[y, x]| {
                let (a, b) = (a as isize, b as isize);
                let corner = large.offset(2 * n * y - 1 + a, 2 * n * x - 1 + b);
                [corner, small.offset(n * y, n * x)]
            })
            .collect(),
        input_strides: [2 * large.row_stride(), 2 * large.shape[2]],
        output_strides: [small.row_stride(), small.shape[2]],
    };
    PHASES.map(phase).into()
}

/// The tiles of a transposed convolution: for each phase, input tiles of the small map and output tiles of
/// the large.
pub(super) fn conv_transpose_tiles(
    conv: &ConvShape,
    side: usize,
    small: PaddedLayout,
    large: PaddedLayout,
) -> Vec<Tiles> {
    let n = side as isize;
    let phase = |[a, b]: [usize; 2]| Tiles {
        side,
        corners: tile_indices(conv, side)
            .map(|[y, x]| {
                let (a, b) = (a as isize, b as isize);
                let corner = small.offset(n * y - a, n * x - b);
                [corner, large.offset(2 * n * y + 1 - a, 2 * n * x + 1 - b)]
            })
            .collect(),
        input_strides: [small.row_stride(), small.shape[2]],
        output_strides: [2 * large.row_stride(), 2 * large.shape[2]],
    };
    PHASES.map(phase).into()
}

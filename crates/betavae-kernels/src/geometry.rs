//! Where things lie: maps with borders of zeros, and which pixels of one map a pixel of the other
//! sees.
//!
//! A convolution and a transposed convolution connect the same two maps: a large one and, `stride`
//! times coarser, a small one. Pixel (y, x) of the small map sees the large pixels
//! (y stride - padding + ky, x stride - padding + kx). Weights are [small channels, large channels,
//! K, K] for both, as in PyTorch. Summing over what a small pixel sees is the way down (a
//! convolution, or the way back through a transposed one); over what a large pixel sees, the way up.

use crate::activation::Window;

/// A channels-last map with a border of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Height, width, channels without the border.
    pub(crate) shape: [usize; 3],
    /// Border above and to the left.
    pub(crate) before: [usize; 2],
    /// Border below and to the right.
    pub(crate) after: [usize; 2],
}

impl Layout {
    /// Without a border.
    pub(crate) fn plain(shape: [usize; 3]) -> Self {
        Self { shape, before: [0; 2], after: [0; 2] }
    }

    /// With borders at least as wide as both.
    pub(crate) fn joined(self, other: Self) -> Self {
        let max = |a: [usize; 2], b: [usize; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        Self {
            shape: self.shape,
            before: max(self.before, other.before),
            after: max(self.after, other.after),
        }
    }

    /// Floats of a row without the border.
    pub(crate) fn width(&self) -> usize {
        self.shape[1] * self.shape[2]
    }

    /// Floats from one row to the next.
    pub(crate) fn row(&self) -> usize {
        (self.before[1] + self.shape[1] + self.after[1]) * self.shape[2]
    }

    /// Floats of the whole map.
    pub(crate) fn len(&self) -> usize {
        (self.before[0] + self.shape[0] + self.after[0]) * self.row()
    }

    /// Offset of a pixel; coordinates may lie in the border.
    pub(crate) fn offset(&self, y: isize, x: isize) -> usize {
        let place = |at: isize, axis: usize| {
            usize::try_from(at + self.before[axis] as isize)
                .unwrap_or_else(|_| unreachable!("outside the border"))
        };
        place(y, 0) * self.row() + place(x, 1) * self.shape[2]
    }

    /// The ranges of the rows without the border.
    pub(crate) fn rows(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (first, row, width) = (self.offset(0, 0), self.row(), self.width());
        (0..self.shape[0]).map(move |y| first + y * row..first + y * row + width)
    }
}

/// Which pixels of the small map see which of the large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conv {
    /// Height, width, channels.
    pub(crate) small: [usize; 3],
    pub(crate) large: [usize; 3],
    pub(crate) kernel: usize,
    pub(crate) window: Window,
}

impl Conv {
    /// The large map with the border that the small one sees.
    pub(crate) fn large_layout(&self) -> Layout {
        let Window { stride, padding } = self.window;
        let after = |axis: usize| {
            ((self.small[axis] - 1) * stride + self.kernel)
                .saturating_sub(padding + self.large[axis])
        };
        Layout { shape: self.large, before: [padding; 2], after: [after(0), after(1)] }
    }

    /// The small map with the border that the large one would see.
    pub(crate) fn small_layout(&self) -> Layout {
        let (mut before, mut after) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            for at in 0..self.large[axis] {
                let seen = self.taps(at).len() as isize;
                let (first, beyond) = (self.first_seen_by(at), self.small[axis] as isize);
                if seen > 0 {
                    before[axis] = before[axis].max((-first).max(0) as usize);
                    after[axis] = after[axis].max((first + seen - beyond).max(0) as usize);
                }
            }
        }
        Layout { shape: self.small, before, after }
    }

    /// The taps through which small rows or columns see the large one at `at`, in their order.
    pub(crate) fn taps(&self, at: usize) -> Vec<usize> {
        let stride = self.window.stride;
        (((at + self.window.padding) % stride)..self.kernel).step_by(stride).rev().collect()
    }

    /// The first small row or column that sees the large one at `at`; it may lie in the border.
    pub(crate) fn first_seen_by(&self, at: usize) -> isize {
        let Window { stride, padding } = self.window;
        let phase = (at + padding) % stride;
        let taps = self.kernel.saturating_sub(phase).div_ceil(stride);
        ((at + padding) / stride) as isize + 1 - taps as isize
    }

    /// Index of a weight.
    pub(crate) fn weight(&self, small: usize, large: usize, [ky, kx]: [usize; 2]) -> usize {
        ((small * self.large[2] + large) * self.kernel + ky) * self.kernel + kx
    }

    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        self.small[2] * self.large[2] * self.kernel * self.kernel
    }
}

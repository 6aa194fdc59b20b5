//! The layout of maps with borders of zeros, and the shape of a convolution: which pixels of its two
//! maps belong together. Nothing is computed here.
//!
//! A convolution and a transposed convolution connect the same two maps: a large one and, `stride`
//! times coarser, a small one. The receptive field of pixel (y, x) of the small map is the large
//! pixels (y stride - padding + ky, x stride - padding + kx), one for each tap (ky, kx) of the kernel.
//! Weights are [small channels, large channels, K, K] for both, as in PyTorch. A convolution gathers:
//! it sums over the receptive field of each small pixel. A transposed convolution scatters: it sums,
//! for each large pixel, over the small pixels in whose receptive field that lies. The gradient of
//! the input of either is the other.

use crate::activation::ConvOptions;

/// The layout of a channels-last map with a border of zeros, its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PaddedLayout {
    /// Height, width and channels without the border.
    pub(crate) shape: [usize; 3],
    /// Rows above and columns to the left.
    pub(crate) pad_before: [usize; 2],
    /// Rows below and columns to the right.
    pub(crate) pad_after: [usize; 2],
}

impl PaddedLayout {
    pub(crate) fn unpadded(shape: [usize; 3]) -> Self {
        Self { shape, pad_before: [0; 2], pad_after: [0; 2] }
    }

    /// The layout whose borders are as wide as the wider of both.
    pub(crate) fn union(self, other: Self) -> Self {
        let max = |a: [usize; 2], b: [usize; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        Self {
            shape: self.shape,
            pad_before: max(self.pad_before, other.pad_before),
            pad_after: max(self.pad_after, other.pad_after),
        }
    }

    /// Floats of a row without the border.
    pub(crate) fn row_len(&self) -> usize {
        self.shape[1] * self.shape[2]
    }

    /// Floats from one row to the next.
    pub(crate) fn row_stride(&self) -> usize {
        (self.pad_before[1] + self.shape[1] + self.pad_after[1]) * self.shape[2]
    }

    /// Floats of the whole map, with the border.
    pub(crate) fn len(&self) -> usize {
        (self.pad_before[0] + self.shape[0] + self.pad_after[0]) * self.row_stride()
    }

    /// Offset of a pixel, whose coordinates may lie in the border.
    pub(crate) fn offset(&self, y: isize, x: isize) -> usize {
        let index = |at: isize, axis: usize| {
            usize::try_from(at + self.pad_before[axis] as isize)
                .unwrap_or_else(|_| unreachable!("outside the border"))
        };
        index(y, 0) * self.row_stride() + index(x, 1) * self.shape[2]
    }

    /// The ranges of the rows without the border.
    pub(crate) fn rows(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (first, stride, len) = (self.offset(0, 0), self.row_stride(), self.row_len());
        (0..self.shape[0]).map(move |y| first + y * stride..first + y * stride + len)
    }
}

/// The shapes of a convolution and the transposed convolution over the same two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    /// Height, width and channels of the small map.
    pub(crate) small: [usize; 3],
    /// Height, width and channels of the large map.
    pub(crate) large: [usize; 3],
    /// Height and width of the kernel.
    pub(crate) kernel: usize,
    pub(crate) options: ConvOptions,
}

impl ConvShape {
    /// The large map with the border that a convolution reads.
    pub(crate) fn large_layout(&self) -> PaddedLayout {
        let ConvOptions { stride, padding } = self.options;
        let after = |axis: usize| {
            ((self.small[axis] - 1) * stride + self.kernel)
                .saturating_sub(padding + self.large[axis])
        };
        PaddedLayout {
            shape: self.large,
            pad_before: [padding; 2],
            pad_after: [after(0), after(1)],
        }
    }

    /// The small map with the border that a transposed convolution reads.
    pub(crate) fn small_layout(&self) -> PaddedLayout {
        let (mut pad_before, mut pad_after) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            for at in 0..self.large[axis] {
                let count = self.taps(at).len() as isize;
                let (first, end) = (self.first_small_index(at), self.small[axis] as isize);
                if count > 0 {
                    pad_before[axis] = pad_before[axis].max((-first).max(0) as usize);
                    pad_after[axis] = pad_after[axis].max((first + count - end).max(0) as usize);
                }
            }
        }
        PaddedLayout { shape: self.small, pad_before, pad_after }
    }

    /// The taps that connect the large row or column `at` with small ones, in the order of the latter.
    pub(crate) fn taps(&self, at: usize) -> Vec<usize> {
        let stride = self.options.stride;
        (((at + self.options.padding) % stride)..self.kernel).step_by(stride).rev().collect()
    }

    /// The first small row or column whose receptive field has the large one at `at`. It may lie in
    /// the border.
    pub(crate) fn first_small_index(&self, at: usize) -> isize {
        let ConvOptions { stride, padding } = self.options;
        let phase = (at + padding) % stride;
        let taps = self.kernel.saturating_sub(phase).div_ceil(stride);
        ((at + padding) / stride) as isize + 1 - taps as isize
    }

    /// Index of a weight in PyTorch's layout.
    pub(crate) fn weight_index(&self, small: usize, large: usize, [ky, kx]: [usize; 2]) -> usize {
        ((small * self.large[2] + large) * self.kernel + ky) * self.kernel + kx
    }

    /// Number of weights.
    pub(crate) fn weight_count(&self) -> usize {
        self.small[2] * self.large[2] * self.kernel * self.kernel
    }
}

//! The description of one convolutional layer, without its weights.

use crate::activation::{Activation, ConvOptions};

/// A convolution or transposed convolution with bias and its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// `None` for a convolution; for a transposed convolution, its output padding: how many rows and
    /// columns are added at the bottom and at the right of the output.
    pub transposed: Option<[usize; 2]>,
    /// Number of output channels.
    pub filters: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride and padding.
    pub options: ConvOptions,
    /// The activation after the bias.
    pub activation: Activation,
}

impl Layer {
    /// Shape of the output for an input of shape [H, W, C]; `None` if the input is too small.
    pub fn output(&self, [height, width, _]: [usize; 3]) -> Option<[usize; 3]> {
        let ConvOptions { stride, padding } = self.options;
        let side = |n: usize, axis: usize| match self.transposed {
            None => Some((n + 2 * padding).checked_sub(self.kernel)? / stride + 1),
            Some(output_padding) => {
                ((n - 1) * stride + self.kernel + output_padding[axis]).checked_sub(2 * padding)
            }
        };
        Some([side(height, 0)?, side(width, 1)?, self.filters])
    }
}

//! Nonlinearities and windows: the vocabulary that layers and kernels share.

use serde::{Deserialize, Serialize};

/// The nonlinearity after a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x for x > 0, else 0.01 x
    LeakyRelu,
    /// tanh(x)
    Tanh,
}

/// The slope of [`Activation::LeakyRelu`] below 0.
pub const LEAK: f32 = 0.01;

impl Activation {
    /// The slope below 0 of a function that is x above; `None` for tanh.
    pub(crate) fn leak(self) -> Option<f32> {
        match self {
            Activation::Identity => Some(1.0),
            Activation::Relu => Some(0.0),
            Activation::LeakyRelu => Some(LEAK),
            Activation::Tanh => None,
        }
    }
}

/// Step and border of a convolution, the same for both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Distance in pixels between two applications of the kernel.
    pub stride: usize,
    /// Zeros added on each side (for a transposed convolution: removed from each side).
    pub padding: usize,
}

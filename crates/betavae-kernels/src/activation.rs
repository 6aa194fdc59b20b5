//! The activations and convolution options that the public descriptions of layers share with the
//! kernels. How activations are computed on vectors is in `math`.

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
    /// x for x > 0, else 0.2 x, as in the discriminators of GANs and of FactorVAE
    #[serde(rename = "leaky-relu-0.2")]
    LeakyRelu02,
}

/// The slope of [`Activation::LeakyRelu`] below 0, the default of PyTorch's `negative_slope`.
pub const LEAKY_RELU_SLOPE: f32 = 0.01;

impl Activation {
    /// The slope below 0 of an activation that is x above 0; `None` for tanh.
    pub(crate) fn negative_slope(self) -> Option<f32> {
        match self {
            Activation::Identity => Some(1.0),
            Activation::Relu => Some(0.0),
            Activation::LeakyRelu => Some(LEAKY_RELU_SLOPE),
            Activation::LeakyRelu02 => Some(0.2),
            Activation::Tanh => None,
        }
    }
}

/// The options of a convolution or transposed convolution, the same for both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Pixels by which the kernel moves.
    pub stride: usize,
    /// Rows and columns of zeros on each side of the input; for a transposed convolution, rows and
    /// columns that are cut off each side of the output.
    pub padding: usize,
}

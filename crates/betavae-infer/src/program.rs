//! The graph of a trained encoder and decoder, a sequence of operations each, and running it. How it
//! is stored in a file is in `format`.

use std::fmt;

use betavae_kernels::{Activation, Layer, inference};

/// A trained encoder and decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Shape [H, W, C] of the images.
    pub image: [usize; 3],
    /// Number of latents D.
    pub latents: usize,
    /// Whether the network takes images scaled to [-1, 1] instead of [0, 1].
    pub signed_input: bool,
    /// What the decoder's last operation computes.
    pub output: DecoderOutput,
    /// The operations from an image [H, W, C] to 2 D numbers: means, then log-variances.
    pub encoder: Vec<Op>,
    /// The operations from D latents to [H, W, C].
    pub decoder: Vec<Op>,
}

/// What the decoder computes, and how [`Program::decode`] makes intensities in [0, 1] of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderOutput {
    /// Logits, which the sigmoid maps to intensities.
    Logits,
    /// Means in [0, 1], which are clamped, because the decoder does not bound them.
    Unit,
    /// Means x in [-1, 1], which become (x + 1) / 2.
    Signed,
}

/// An operation of the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolutions and transposed convolutions with bias and activation.
    ConvStack {
        /// Shape [H, W, C] of the input.
        input_shape: [usize; 3],
        /// The layers.
        layers: Vec<Layer>,
        /// For each layer, the weight [O, I, K, K] (transposed: [I, O, K, K]) and the bias \[O\].
        parameters: Vec<(Vec<f32>, Vec<f32>)>,
    },
    /// activation(x weight^T + bias).
    Linear {
        /// [O, I]
        weight: Vec<f32>,
        /// \[O\]
        bias: Vec<f32>,
        /// The activation after the layer.
        activation: Activation,
    },
    /// Permutes [H, W, C] of this shape to [C, H, W], the order in which PyTorch flattens.
    ChannelsFirst([usize; 3]),
    /// Permutes [C, H, W] to [H, W, C] of this shape.
    ChannelsLast([usize; 3]),
}

/// Why a [`Program`], or what should be the file of one, is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProgram(pub(crate) &'static str);

impl fmt::Display for InvalidProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a program: {}", self.0)
    }
}

impl std::error::Error for InvalidProgram {}

impl Program {
    /// Checks that the shapes of all operations fit together, after which running it cannot fail.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self) -> Result<(), InvalidProgram> {
        let image = product(self.image)?;
        if self.latents == 0 || image == 0 {
            return Err(InvalidProgram("no latents or no pixels"));
        }
        let output_len =
            |ops: &[Op], input_len| ops.iter().try_fold(input_len, |len, op| op.output_len(len));
        if output_len(&self.encoder, image)? != 2 * self.latents {
            return Err(InvalidProgram("the encoder does not end in means and log-variances"));
        }
        if output_len(&self.decoder, self.latents)? != image {
            return Err(InvalidProgram("the decoder does not end in images"));
        }
        Ok(())
    }

    /// Posterior parameters [B, 2 D], means then log-variances, of images [B, H, W, C] in [0, 1].
    ///
    /// # Panics
    /// If the program is invalid, or the length of `images` is not a multiple of H W C.
    pub fn encode(&self, images: &[f32]) -> Vec<f32> {
        let images = match self.signed_input {
            true => images.iter().map(|x| x * 2.0 - 1.0).collect(),
            false => images.to_vec(),
        };
        self.encoder.iter().fold(images, |x, op| op.forward(x))
    }

    /// Images [B, H, W, C] in [0, 1] of latents [B, D].
    ///
    /// # Panics
    /// If the program is invalid, or the length of `z` is not a multiple of D.
    pub fn decode(&self, z: &[f32]) -> Vec<f32> {
        let mut x = self.decoder.iter().fold(z.to_vec(), |x, op| op.forward(x));
        x.iter_mut().for_each(|x| {
            *x = match self.output {
                DecoderOutput::Logits => 1.0 / (1.0 + (-*x).exp()),
                DecoderOutput::Unit => x.clamp(0.0, 1.0),
                DecoderOutput::Signed => *x * 0.5 + 0.5,
            }
        });
        x
    }
}

impl Op {
    /// The number of values per image that the operation makes of `input_len`.
    ///
    /// # Errors
    /// If the operation does not take so many, or its weights have another length.
    fn output_len(&self, input_len: usize) -> Result<usize, InvalidProgram> {
        match self {
            Op::ChannelsFirst(shape) | Op::ChannelsLast(shape) => {
                expect_len(product(*shape)?, input_len, "a map has another size than what makes it")
            }
            Op::Linear { weight, bias, .. } => {
                let size = input_len
                    .checked_mul(bias.len())
                    .ok_or(InvalidProgram("a layer is too large"))?;
                expect_len(weight.len(), size, "a linear layer has another number of weights")?;
                (!bias.is_empty())
                    .then_some(bias.len())
                    .ok_or(InvalidProgram("a linear layer is empty"))
            }
            Op::ConvStack { input_shape, layers, parameters } => {
                expect_len(
                    product(*input_shape)?,
                    input_len,
                    "a map has another size than what makes it",
                )?;
                if layers.is_empty() || layers.len() != parameters.len() {
                    return Err(InvalidProgram("convolutions without weights"));
                }
                let mut shape = *input_shape;
                for (layer, (weight, bias)) in layers.iter().zip(parameters) {
                    let Layer { kernel, filters, options, .. } = *layer;
                    if kernel == 0
                        || filters == 0
                        || options.stride == 0
                        || options.padding >= kernel
                    {
                        return Err(InvalidProgram("an impossible convolution"));
                    }
                    let size = product([kernel, kernel, filters])?.checked_mul(shape[2]);
                    let size = size.ok_or(InvalidProgram("a convolution is too large"))?;
                    expect_len(weight.len(), size, "a convolution has another number of weights")?;
                    expect_len(bias.len(), filters, "a convolution has another number of biases")?;
                    shape = layer.output(shape).ok_or(InvalidProgram("a map is too small"))?;
                    product(shape)?;
                }
                product(shape)
            }
        }
    }

    /// Applies the operation to a batch of inputs.
    fn forward(&self, x: Vec<f32>) -> Vec<f32> {
        match self {
            Op::ConvStack { input_shape, layers, parameters } => {
                let parameters: Vec<_> =
                    parameters.iter().map(|(weight, bias)| (&weight[..], &bias[..])).collect();
                inference::conv_stack(&x, *input_shape, layers, &parameters)
            }
            Op::Linear { weight, bias, activation } => {
                inference::linear(&x, weight, bias, *activation)
            }
            Op::ChannelsFirst([height, width, channels]) => {
                transpose(&x, height * width, *channels)
            }
            Op::ChannelsLast([height, width, channels]) => transpose(&x, *channels, height * width),
        }
    }
}

/// Transposes each matrix of a batch: [B, rows, columns] to [B, columns, rows].
fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for matrix in x.chunks_exact(rows * columns) {
        for column in 0..columns {
            y.extend(matrix[column..].iter().step_by(columns));
        }
    }
    y
}

/// The most values that a map or a weight may have. It is far above any network's, and far below what
/// overflows.
const MAX_LEN: usize = 1 << 28;

/// The number of values of a map, or of weights.
fn product(shape: [usize; 3]) -> Result<usize, InvalidProgram> {
    let product = shape.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    product.filter(|n| *n > 0 && *n <= MAX_LEN).ok_or(InvalidProgram("a map is empty or too large"))
}

fn expect_len(
    found: usize,
    expected: usize,
    message: &'static str,
) -> Result<usize, InvalidProgram> {
    if found == expected { Ok(expected) } else { Err(InvalidProgram(message)) }
}

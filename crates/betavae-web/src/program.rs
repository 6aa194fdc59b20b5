//! A network as a sequence of steps, and running it.

use betavae_kernels::{Activation, Layer, plain};

use crate::words::Malformed;

/// A trained encoder and decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Shape [H, W, C] of the images.
    pub image: [usize; 3],
    /// Number of latents D.
    pub latents: usize,
    /// Whether the network takes images scaled to [-1, 1] instead of [0, 1].
    pub signed_input: bool,
    /// What the decoder's numbers are.
    pub output: Output,
    /// Image [H, W, C] to 2 D numbers: means, then log-variances.
    pub encoder: Vec<Step>,
    /// D latents to [H, W, C].
    pub decoder: Vec<Step>,
}

/// How numbers of the decoder become intensities in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits: by the logistic function.
    Logits,
    /// Means in [0, 1]: by clipping.
    Unit,
    /// Means in [-1, 1]: by (x + 1) / 2.
    Signed,
}

/// A piece of a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Convolutions and transposed convolutions with bias and activation.
    Convs {
        /// Shape [H, W, C] of the input.
        input: [usize; 3],
        /// The layers.
        layers: Vec<Layer>,
        /// Of each layer, weights [O, I, K, K] (transposed: [I, O, K, K]) and biases \[O\].
        parameters: Vec<(Vec<f32>, Vec<f32>)>,
    },
    /// activation(x weight^T + bias).
    Linear {
        /// [O, I]
        weight: Vec<f32>,
        /// \[O\]
        bias: Vec<f32>,
        /// What follows.
        activation: Activation,
    },
    /// [H, W, C] to [C, H, W], as PyTorch flattens.
    ChannelsFirst([usize; 3]),
    /// [C, H, W] to [H, W, C] of this shape.
    ChannelsLast([usize; 3]),
}

impl Program {
    /// Checks that all sizes fit together, after which running it cannot fail.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self) -> Result<(), Malformed> {
        let image = product(self.image)?;
        if self.latents == 0 || image == 0 {
            return Err(Malformed("no latents or no pixels"));
        }
        let run = |steps: &[Step], from| steps.iter().try_fold(from, |from, step| step.check(from));
        if run(&self.encoder, image)? != 2 * self.latents {
            return Err(Malformed("the encoder does not end in means and log-variances"));
        }
        if run(&self.decoder, self.latents)? != image {
            return Err(Malformed("the decoder does not end in images"));
        }
        Ok(())
    }

    /// Posterior parameters [B, 2 D], means then log-variances, of images [B, H, W, C] in [0, 1].
    ///
    /// # Panics
    /// If the program was not checked, or `images` is no number of images.
    pub fn encode(&self, images: &[f32]) -> Vec<f32> {
        let images = match self.signed_input {
            true => images.iter().map(|x| x * 2.0 - 1.0).collect(),
            false => images.to_vec(),
        };
        self.encoder.iter().fold(images, |x, step| step.run(x))
    }

    /// Images [B, H, W, C] in [0, 1] of latents [B, D].
    ///
    /// # Panics
    /// If the program was not checked, or `z` is no number of codes.
    pub fn decode(&self, z: &[f32]) -> Vec<f32> {
        let mut x = self.decoder.iter().fold(z.to_vec(), |x, step| step.run(x));
        x.iter_mut().for_each(|x| {
            *x = match self.output {
                Output::Logits => 1.0 / (1.0 + (-*x).exp()),
                Output::Unit => x.clamp(0.0, 1.0),
                Output::Signed => *x * 0.5 + 0.5,
            }
        });
        x
    }
}

impl Step {
    /// The number of values that come out where `from` go in.
    fn check(&self, from: usize) -> Result<usize, Malformed> {
        match self {
            Step::ChannelsFirst(shape) | Step::ChannelsLast(shape) => {
                same(product(*shape)?, from, "a map has another size than what makes it")
            }
            Step::Linear { weight, bias, .. } => {
                let size = from.checked_mul(bias.len()).ok_or(Malformed("a layer is too large"))?;
                same(weight.len(), size, "a linear layer has another number of weights")?;
                (!bias.is_empty()).then_some(bias.len()).ok_or(Malformed("a linear layer is empty"))
            }
            Step::Convs { input, layers, parameters } => {
                same(product(*input)?, from, "a map has another size than what makes it")?;
                if layers.is_empty() || layers.len() != parameters.len() {
                    return Err(Malformed("convolutions without weights"));
                }
                let mut shape = *input;
                for (layer, (weight, bias)) in layers.iter().zip(parameters) {
                    let Layer { kernel, filters, window, .. } = *layer;
                    if kernel == 0 || filters == 0 || window.stride == 0 || window.padding >= kernel
                    {
                        return Err(Malformed("an impossible convolution"));
                    }
                    let size = product([kernel, kernel, filters])?.checked_mul(shape[2]);
                    let size = size.ok_or(Malformed("a convolution is too large"))?;
                    same(weight.len(), size, "a convolution has another number of weights")?;
                    same(bias.len(), filters, "a convolution has another number of biases")?;
                    shape = layer.output(shape).ok_or(Malformed("a map is too small"))?;
                    product(shape)?;
                }
                product(shape)
            }
        }
    }

    fn run(&self, x: Vec<f32>) -> Vec<f32> {
        match self {
            Step::Convs { input, layers, parameters } => {
                let parameters: Vec<_> =
                    parameters.iter().map(|(weight, bias)| (&weight[..], &bias[..])).collect();
                plain::conv_stack(&x, *input, layers, &parameters)
            }
            Step::Linear { weight, bias, activation } => {
                plain::linear(&x, weight, bias, *activation)
            }
            Step::ChannelsFirst([height, width, channels]) => {
                transposed(&x, height * width, *channels)
            }
            Step::ChannelsLast([height, width, channels]) => {
                transposed(&x, *channels, height * width)
            }
        }
    }
}

/// [B, rows, columns] to [B, columns, rows].
fn transposed(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for map in x.chunks_exact(rows * columns) {
        for column in 0..columns {
            y.extend(map[column..].iter().step_by(columns));
        }
    }
    y
}

/// Most values a map or a layer may have: far above any network, far below what overflows.
const LARGEST: usize = 1 << 28;

fn product(shape: [usize; 3]) -> Result<usize, Malformed> {
    let product = shape.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    product.filter(|n| *n > 0 && *n <= LARGEST).ok_or(Malformed("a map is empty or too large"))
}

fn same(found: usize, expected: usize, otherwise: &'static str) -> Result<usize, Malformed> {
    if found == expected { Ok(expected) } else { Err(Malformed(otherwise)) }
}

//! Networks as data: every architecture of the literature, written out layer by layer for one
//! image shape. [`super::encoder`] and [`super::decoder`] build whatever is described here.

use betavae_kernels::{Activation, ConvOptions, Layer};

use super::config::{Architecture, ImageRange, ModelConfig, Norm};
use crate::data::ImageShape;
use crate::error::{Error, Result};

/// One convolution of an encoder, or the last one of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Output channels.
    pub filters: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride and padding.
    pub options: ConvOptions,
}

impl Conv {
    /// With the activation that follows.
    pub(super) fn layer(self, activation: Activation) -> Layer {
        let Self { filters, kernel, options } = self;
        Layer { transposed: None, filters, kernel, options, activation }
    }
}

/// One transposed convolution of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Output channels.
    pub filters: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride and padding.
    pub options: ConvOptions,
    /// Rows and columns added at the end, so that the decoder's sizes mirror the encoder's.
    pub output_padding: [usize; 2],
}

impl ConvTranspose {
    /// With the activation that follows.
    pub(super) fn layer(self, activation: Activation) -> Layer {
        let Self { filters, kernel, options, output_padding } = self;
        Layer { transposed: Some(output_padding), filters, kernel, options, activation }
    }
}

/// Image to posterior: convolutions, linear layers, and the two heads.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderSpec {
    /// Convolutions, each followed by the norm and the activation.
    pub convs: Vec<Conv>,
    /// Widths of the linear layers, each followed by the activation.
    pub hidden: Vec<usize>,
    /// The nonlinearity.
    pub activation: Activation,
}

/// Latents to image.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderSpec {
    /// Widths of the linear layers, each followed by the activation.
    pub hidden: Vec<usize>,
    /// Shape of the map that a last linear layer, `project`, makes for the convolutions; the image
    /// itself where there are none.
    pub start: ImageShape,
    /// What follows that layer.
    pub project_activation: Activation,
    /// Transposed convolutions, each followed by the norm and the activation, except that the last
    /// has neither where it makes the image, that is, where `output` is absent.
    pub convs: Vec<ConvTranspose>,
    /// A convolution to the image's channels.
    pub output: Option<Conv>,
    /// The nonlinearity between layers.
    pub activation: Activation,
    /// The nonlinearity of the image: identity (logits or means), or tanh.
    pub output_activation: Activation,
}

/// A whole network for images of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Shape of the images.
    pub image: ImageShape,
    /// Number of latents D.
    pub latents: usize,
    /// Normalisation after convolutions.
    pub norm: Norm,
    /// Scale of the pixels inside.
    pub image_range: ImageRange,
    /// Image to posterior.
    pub encoder: EncoderSpec,
    /// Latents to image.
    pub decoder: DecoderSpec,
}

impl Network {
    /// Writes out `config` for images of shape `image`.
    ///
    /// # Errors
    /// If an option does not belong to the architecture, a width is 0, or the image is too small.
    pub fn new(config: &ModelConfig, image: ImageShape) -> Result<Self> {
        config.check()?;
        let config = &config.filled();
        let mirrored = |convs, hidden| Self::mirrored(image, config, convs, hidden);
        match config.architecture {
            Architecture::Burgess => {
                // Halve until the smaller side is 4 to 7 pixels: four layers for 64, three for 32.
                let smaller = image.height.min(image.width);
                let layers = (smaller / 4).checked_ilog2().unwrap_or(0) as usize;
                if layers == 0 {
                    return Err(too_small(image, "burgess", 8));
                }
                mirrored(vec![halving(32, 4); layers], vec![256, 256])
            }
            Architecture::HigginsConv => {
                mirrored([32, 32, 64, 64].map(|filters| halving(filters, 4)).to_vec(), vec![256])
            }
            Architecture::Locatello => {
                let kernels = [(32, 4), (32, 4), (64, 2), (64, 2)];
                let mut network = mirrored(
                    kernels.map(|(filters, kernel)| halving(filters, kernel)).to_vec(),
                    vec![256],
                )?;
                // Its decoder has 4x4 kernels throughout, which give the same sizes.
                for conv in &mut network.decoder.convs {
                    (conv.kernel, conv.options) = (4, halving(1, 4).options);
                }
                Ok(network)
            }
            Architecture::HigginsFc => {
                let mut network = mirrored(vec![], vec![1200, 1200])?;
                network.decoder.hidden = vec![1200; 3];
                network.decoder.activation = Activation::Tanh;
                Ok(network)
            }
            Architecture::PytorchVae => {
                let widths = config.widths.clone().unwrap_or_default();
                let convs: Vec<_> = widths.iter().map(|width| halving(*width, 3)).collect();
                let mut network = mirrored(convs, vec![])?;
                network.norm = Norm::Batch;
                network.encoder.activation = Activation::LeakyRelu;
                let decoder = &mut network.decoder;
                decoder.activation = Activation::LeakyRelu;
                decoder.project_activation = Activation::Identity;
                // One more transposed convolution at the first width, then a plain one.
                if let Some(last) = decoder.convs.last_mut() {
                    last.filters = widths[0];
                }
                let options = ConvOptions { stride: 1, padding: 1 };
                decoder.output = Some(Conv { filters: image.channels, kernel: 3, options });
                decoder.output_activation = Activation::Tanh;
                network.image_range = config.image_range.unwrap_or_default();
                Ok(network)
            }
            Architecture::Custom => {
                let widths = config.widths.clone().unwrap_or_default();
                let kernel = config.kernel.unwrap_or_default();
                let hidden = config.hidden.clone().unwrap_or_default();
                let convs = widths.iter().map(|width| halving(*width, kernel)).collect();
                let mut network = mirrored(convs, hidden)?;
                let activation = config.activation.unwrap_or(Activation::Relu);
                network.norm = config.norm.unwrap_or_default();
                network.encoder.activation = activation;
                network.decoder.activation = activation;
                if !network.decoder.convs.is_empty() {
                    network.decoder.project_activation = activation;
                }
                Ok(network)
            }
        }
    }

    /// An encoder of convolutions and linear layers with ReLU, and the decoder that mirrors it.
    fn mirrored(
        image: ImageShape,
        config: &ModelConfig,
        convs: Vec<Conv>,
        hidden: Vec<usize>,
    ) -> Result<Self> {
        let mut sizes = vec![image];
        for conv in &convs {
            sizes.push(
                shrink(sizes[sizes.len() - 1], *conv)
                    .ok_or_else(|| too_small(image, "this network", 1 << convs.len()))?,
            );
        }
        let mirror = |i: usize| {
            // Layer i made sizes[i + 1] from sizes[i]; its mirror goes back.
            let (from, to, conv) = (sizes[i + 1], sizes[i], convs[i]);
            let missing = |from: usize, to: usize| {
                to + 2 * conv.options.padding - (from - 1) * conv.options.stride - conv.kernel
            };
            ConvTranspose {
                filters: to.channels,
                kernel: conv.kernel,
                options: conv.options,
                output_padding: [missing(from.height, to.height), missing(from.width, to.width)],
            }
        };
        let start = sizes[sizes.len() - 1];
        let projects_to_image = convs.is_empty();
        Ok(Self {
            image,
            latents: config.latents,
            norm: Norm::None,
            image_range: ImageRange::Unit,
            decoder: DecoderSpec {
                hidden: hidden.iter().rev().copied().collect(),
                start,
                project_activation: if projects_to_image {
                    Activation::Identity
                } else {
                    Activation::Relu
                },
                convs: (0..convs.len()).rev().map(mirror).collect(),
                output: None,
                activation: Activation::Relu,
                output_activation: Activation::Identity,
            },
            encoder: EncoderSpec { convs, hidden, activation: Activation::Relu },
        })
    }

    /// Shape of the map that the encoder's convolutions leave.
    pub fn encoded(&self) -> ImageShape {
        self.decoder.start
    }

    /// Whether the network makes and takes images scaled to [-1, 1] instead of [0, 1].
    pub fn signed_images(&self) -> bool {
        self.image_range == ImageRange::Signed
    }

    /// Whether the decoder makes means, which can be no logits.
    pub fn ends_in_tanh(&self) -> bool {
        self.decoder.output_activation == Activation::Tanh
    }

    /// What distinguishes it from others, for messages.
    pub(crate) fn summary(&self) -> String {
        let convs: Vec<_> = self.encoder.convs.iter().map(|conv| conv.filters).collect();
        let (hidden, range) = (&self.encoder.hidden, self.image_range);
        let (image, latents, norm) = (self.image, self.latents, self.norm);
        format!(
            "convolutions {convs:?}, hidden {hidden:?}, norm {norm:?}, {latents} latents, images {image} \
             ({range:?})"
        )
        .to_lowercase()
    }

    /// Number of values in weights, biases and averages, or nothing if that is astronomical.
    #[cfg(any(test, feature = "export"))]
    pub(crate) fn values(&self) -> Option<usize> {
        let product = |factors: &[usize]| {
            factors.iter().try_fold(1_usize, |all, factor| all.checked_mul(*factor))
        };
        let linear = |from: usize, to: usize| product(&[from, to])?.checked_add(to);
        let mut all = Vec::new();
        let mut channels = self.image.channels;
        let start = self.decoder.start;
        let layers = self.encoder.convs.iter().map(|conv| (conv.filters, conv.kernel));
        let layers =
            layers.chain(self.decoder.convs.iter().map(|conv| (conv.filters, conv.kernel)));
        let layers = layers.chain(self.decoder.output.map(|conv| (conv.filters, conv.kernel)));
        let layers: Vec<_> = layers.collect();
        for (i, &(filters, kernel)) in layers.iter().enumerate() {
            if i == self.encoder.convs.len() {
                channels = start.channels;
            }
            // Four values per channel; the layer that makes the image has none.
            let normalised = self.norm == Norm::Batch && i + 1 < layers.len();
            let others = if normalised { 5 } else { 1 };
            let weights = product(&[channels, filters, kernel, kernel])?;
            all.push(weights.checked_add(product(&[others, filters])?)?);
            channels = filters;
        }
        let features = product(&[start.height, start.width, start.channels])?;
        let stack = |from: usize, hidden: &[usize], to: usize| {
            let widths: Vec<usize> = [&[from], hidden, &[to]].concat();
            widths.windows(2).map(|pair| linear(pair[0], pair[1])).collect::<Option<Vec<_>>>()
        };
        all.extend(stack(features, &self.encoder.hidden, 2 * self.latents)?);
        all.extend(stack(self.latents, &self.decoder.hidden, features)?);
        all.into_iter().try_fold(0_usize, usize::checked_add)
    }
}

/// A convolution that halves both sides: stride 2 and the padding that belongs to the kernel.
fn halving(filters: usize, kernel: usize) -> Conv {
    let padding = kernel.saturating_sub(1) / 2;
    Conv { filters, kernel, options: ConvOptions { stride: 2, padding } }
}

/// The shape after `conv`, if the image is large enough for one application of the kernel.
pub(super) fn shrink(from: ImageShape, conv: Conv) -> Option<ImageShape> {
    let ConvOptions { stride, padding } = conv.options;
    let side = |n: usize| Some((n + 2 * padding).checked_sub(conv.kernel)? / stride + 1);
    Some(ImageShape::new(side(from.height)?, side(from.width)?, conv.filters))
}

fn too_small(image: ImageShape, network: &str, side: usize) -> Error {
    Error::Mismatch {
        what: format!("the images are too small for {network}"),
        expected: format!("at least {side} pixels on each side"),
        found: image.to_string(),
        hint: "use architecture `custom` with fewer widths, or `higgins-fc`".into(),
    }
}

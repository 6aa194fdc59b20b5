//! The model: an encoder q(z | x), a decoder p(x | z), and the standard normal prior between them.

use betavae_infer::{DecoderOutput, Program};
use betavae_kernels::ops::{self, BatchMoments};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::decoder::Decoder;
use super::encoder::Encoder;
use super::layers::{Initialiser, Pass, Start};
use super::likelihood::Likelihood;
use super::network::Network;
use super::posterior::Posterior;
use super::weights::{NamedTensor, named_tensors, trained_parameters, with_named_tensors};
use crate::error::Result;
use crate::random::Stream;

/// What a training pass computes.
#[derive(Clone, Debug)]
pub struct Forward {
    /// q(z | x).
    pub posterior: Posterior,
    /// The sample z, [B, D].
    pub z: Tensor<2>,
    /// -ln p(x | z) in nats, without the constant of the likelihood, averaged over the batch, \[1\].
    pub nll: Tensor<1>,
}

/// A beta-VAE: Kingma and Welling's variational autoencoder with a diagonal Gaussian posterior,
/// trained with one of the objectives of [`crate::objective`].
///
/// Images go in and come out as [B, H, W, C] in [0, 1], whatever scale the network uses inside.
///
/// ```
/// use betavae::{Device, data::ImageShape, model::ModelConfig};
/// # fn main() -> betavae::Result<()> {
/// let spec = ModelConfig::default().resolve(ImageShape::new(32, 32, 1))?;
/// let model = spec.build(1, &Device::flex())?;
/// assert_eq!(model.parameter_count(), 469_173);
///
/// let images = model.sample(4, 7); // four draws from the prior, decoded: [4, 32, 32, 1]
/// let posterior = model.encode(images.clone());
/// assert_eq!(posterior.mean.dims(), [4, 10]);
/// let again = model.reconstruct(images);
/// assert_eq!(again.dims(), [4, 32, 32, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Module, Debug)]
pub struct BetaVae {
    /// q(z | x)
    pub encoder: Encoder,
    /// p(x | z)
    pub decoder: Decoder,
    #[module(skip)]
    network: Network,
    #[module(skip)]
    likelihood: Likelihood,
}

impl BetaVae {
    /// A network with fresh parameters: PyTorch's default distributions, drawn from `seed` alone,
    /// so the same on every device.
    ///
    /// # Errors
    /// If the likelihood does not fit the network.
    pub fn new(
        network: Network,
        likelihood: Likelihood,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        Self::build(network, likelihood, &Initialiser { start: Start::Random(seed), device })
    }

    /// A network with given parameters, by PyTorch's names.
    ///
    /// # Errors
    /// If the likelihood does not fit the network, or a tensor is missing, unused, or has the wrong shape.
    pub fn with_weights(
        network: Network,
        likelihood: Likelihood,
        tensors: Vec<NamedTensor>,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::build(network, likelihood, &Initialiser { start: Start::Zeros, device });
        blank?.with_named_tensors(tensors)
    }

    fn build(network: Network, likelihood: Likelihood, init: &Initialiser<'_>) -> Result<Self> {
        likelihood.check(&network)?;
        Ok(Self {
            encoder: Encoder::new(init, &network),
            decoder: Decoder::new(init, &network),
            network,
            likelihood,
        })
    }

    /// The layers, the image shape and the number of latents.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How the decoder's output is to be read.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// Number of latents D.
    pub fn latents(&self) -> usize {
        self.network.latents
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.encoder.mean.weight.val().device()
    }

    /// q(z | x) of images [B, H, W, C] in [0, 1].
    pub fn encode(&self, images: Tensor<4>) -> Posterior {
        self.encoder.forward(self.to_network_scale(images), &mut Pass::Eval)
    }

    /// z = mean + exp(log_var / 2) * noise, for standard normal noise [B, D] (Kingma and Welling
    /// 2014, eq. 10).
    pub fn reparameterise(posterior: &Posterior, noise: Tensor<2>) -> Tensor<2> {
        ops::reparameterise(posterior.mean.clone(), posterior.log_var.clone(), noise)
    }

    /// The mean image [B, H, W, C] in [0, 1] of p(x | z) for latents [B, D].
    pub fn decode(&self, z: Tensor<2>) -> Tensor<4> {
        self.to_images(self.decode_raw(z))
    }

    /// The parameters of p(x | z) for latents [B, D]: logits or means [B, H, W, C].
    pub fn decode_raw(&self, z: Tensor<2>) -> Tensor<4> {
        self.decoder.forward(z, &mut Pass::Eval)
    }

    /// One pass through encoder, sampling and decoder, for images [B, H, W, C] in [0, 1] and
    /// standard normal noise [B, D].
    pub fn forward(&self, images: Tensor<4>, noise: Tensor<2>, pass: &mut Pass) -> Forward {
        self.forward_with(images, noise, pass, |posterior| posterior)
    }

    /// The same where z is sampled from what `change` makes of the encoder's posterior.
    pub(crate) fn forward_with(
        &self,
        images: Tensor<4>,
        noise: Tensor<2>,
        pass: &mut Pass,
        change: impl FnOnce(Posterior) -> Posterior,
    ) -> Forward {
        let images = self.to_network_scale(images);
        let posterior = change(self.encoder.forward(images.clone(), pass));
        let z = Self::reparameterise(&posterior, noise);
        let nll = self.decoder.nll(z.clone(), images, self.likelihood, pass);
        Forward { posterior, z, nll }
    }

    /// `count` images [count, H, W, C] decoded from the prior N(0, 1), a function of `seed`.
    pub fn sample(&self, count: usize, seed: u64) -> Tensor<4> {
        self.sample_next(count, &mut Self::prior(seed))
    }

    /// The draws from the prior that [`BetaVae::sample`] decodes, to take them in pieces.
    pub fn prior(seed: u64) -> Stream {
        Stream::new(seed, "sample", 0)
    }

    /// Images [B, H, W, C] of the next `count` draws. Pieces of even counts give what one piece would.
    pub fn sample_next(&self, count: usize, prior: &mut Stream) -> Tensor<4> {
        let data = TensorData::new(prior.normals(count * self.latents()), [count, self.latents()]);
        self.decode(Tensor::from_data(data, &self.device()))
    }

    /// Images [B, H, W, C] encoded and decoded again at z = mean; the `generate` of PyTorch-VAE.
    pub fn reconstruct(&self, images: Tensor<4>) -> Tensor<4> {
        self.decode(self.encode(images).mean)
    }

    /// Moves the running averages of batch norm by the statistics that a training pass recorded, in the order of the
    /// layers ([`Pass::into_moments`]).
    pub fn update_running_statistics(&mut self, moments: Vec<BatchMoments>) {
        let norms = self.encoder.norm.iter_mut().chain(&mut self.decoder.norm);
        norms.zip(moments).for_each(|(norm, batch)| norm.update(batch));
    }

    /// Images in [0, 1] as the network wants them: unchanged, or scaled to [-1, 1].
    pub fn to_network_scale(&self, images: Tensor<4>) -> Tensor<4> {
        if self.network.signed_images() { images * 2.0 - 1.0 } else { images }
    }

    /// Decoder output as images in [0, 1].
    pub fn to_images(&self, output: Tensor<4>) -> Tensor<4> {
        match self.likelihood {
            Likelihood::Bernoulli => burn::tensor::activation::sigmoid(output),
            Likelihood::Gaussian { .. } if self.network.signed_images() => output * 0.5 + 0.5,
            Likelihood::Gaussian { .. } => output.clamp(0.0, 1.0),
        }
    }

    /// Number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        trained_parameters(self).iter().map(|(_, length)| length).sum()
    }

    /// Copies of all parameters and running averages, in the order of the layers.
    pub fn to_named_tensors(&self) -> Vec<NamedTensor> {
        named_tensors(self)
    }

    /// The same network with other parameters.
    ///
    /// # Errors
    /// If a tensor is missing, unused, or has the wrong shape; nothing is skipped silently.
    pub fn with_named_tensors(self, tensors: Vec<NamedTensor>) -> Result<Self> {
        with_named_tensors(self, tensors)
    }

    /// The layers with their weights, batch norm folded into convolutions by its running averages.
    pub fn to_program(&self) -> Program {
        let network = self.network();
        let signed_input = network.signed_images();
        Program {
            image: network.image.into(),
            latents: network.latents,
            signed_input,
            output: match self.likelihood() {
                Likelihood::Bernoulli => DecoderOutput::Logits,
                Likelihood::Gaussian { .. } if signed_input => DecoderOutput::Signed,
                Likelihood::Gaussian { .. } => DecoderOutput::Unit,
            },
            encoder: self.encoder.inference_ops(network),
            decoder: self.decoder.inference_ops(),
        }
    }
}

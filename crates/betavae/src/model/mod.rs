//! Models: networks as data, the layers built from them, likelihoods, parameters by name.

mod beta_vae;
mod config;
mod decoder;
mod encoder;
pub(crate) mod floats;
mod flops;
#[cfg(feature = "gpu")]
mod gpu;
mod layers;
mod likelihood;
mod network;
pub(crate) mod parameters;
pub(crate) mod peers;
mod posterior;
mod program;
pub(crate) mod safetensors;
mod spec;
pub(crate) mod weights;

pub use beta_vae::{BetaVae, Forward};
pub use betavae_kernels::{Activation, Precision};
pub use config::{Architecture, ImageRange, LikelihoodName, ModelConfig, Norm};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use flops::{Convolution, Flops};
pub use layers::{BatchNorm, Conv2d, ConvTranspose2d, Linear, Pass};
pub use likelihood::Likelihood;
pub use network::{Conv, ConvTranspose, DecoderSpec, EncoderSpec, Network};
pub use peers::PeerLayout;
pub use posterior::Posterior;
pub use spec::ModelSpec;
pub use weights::{NamedTensor, values};

pub(crate) use layers::{Initialiser, Start};

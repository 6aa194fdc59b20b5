//! What encodes and decodes: a model on the CPU, or its weights on a GPU.

use burn::tensor::Tensor;

use crate::error::Result;
use crate::model::{BetaVae, Posterior};

/// Passes of a model outside training.
pub trait Coder {
    /// The model.
    fn model(&self) -> &BetaVae;

    /// q(z | x) of images [B, H, W, C] in [0, 1].
    ///
    /// # Errors
    /// If a device fails.
    fn encode(&self, images: Tensor<4>) -> Result<Posterior>;

    /// The parameters of p(x | z) for latents [B, D]: logits or means [B, H, W, C].
    ///
    /// # Errors
    /// If a device fails.
    fn decode_raw(&self, z: Tensor<2>) -> Result<Tensor<4>>;
}

impl Coder for BetaVae {
    fn model(&self) -> &BetaVae {
        self
    }

    fn encode(&self, images: Tensor<4>) -> Result<Posterior> {
        Ok(BetaVae::encode(self, images))
    }

    fn decode_raw(&self, z: Tensor<2>) -> Result<Tensor<4>> {
        Ok(BetaVae::decode_raw(self, z))
    }
}

impl<C: Coder + ?Sized> Coder for &C {
    fn model(&self) -> &BetaVae {
        (**self).model()
    }

    fn encode(&self, images: Tensor<4>) -> Result<Posterior> {
        (**self).encode(images)
    }

    fn decode_raw(&self, z: Tensor<2>) -> Result<Tensor<4>> {
        (**self).decode_raw(z)
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::GpuCoder;

#[cfg(feature = "gpu")]
mod on_gpu {
    use std::sync::{Mutex, PoisonError};

    use betavae_gpu::{Device, Network, Plan, Session, Slot};
    use burn::tensor::{Tensor, TensorData};

    use super::Coder;
    use crate::error::{Error, Result};
    use crate::evaluate::passes::BATCH;
    use crate::model::{BetaVae, Posterior, values};

    /// A model whose passes run on a GPU.
    pub struct GpuCoder<'a> {
        model: &'a BetaVae,
        device: Device,
        encoder: Pass,
        decoder: Pass,
    }

    impl<'a> GpuCoder<'a> {
        /// Nothing is compiled before the first pass.
        pub fn new(model: &'a BetaVae, device: &Device) -> Self {
            let pass = |plan| Pass { plan, session: Mutex::new(None) };
            let (encoder, decoder) = (pass(Plan::encode), pass(Plan::decode));
            Self { model, device: device.clone(), encoder, decoder }
        }

        /// Rows through a pass of [`BATCH`] rows; what is missing to the last batch is zeros.
        fn rows(&self, pass: &Pass, rows: &[f32], width: usize) -> Result<Vec<f32>> {
            let mut session = pass.session.lock().unwrap_or_else(PoisonError::into_inner);
            let session = match &mut *session {
                Some(session) => session,
                empty => empty.insert(self.session(pass)?),
            };
            let mut all = Vec::new();
            for batch in rows.chunks(BATCH * width) {
                let mut input = batch.to_vec();
                input.resize(BATCH * width, 0.0);
                let output = session.pass(&input).map_err(Error::Gpu)?;
                let each = output.len() / BATCH;
                all.extend_from_slice(&output[..batch.len() / width * each]);
            }
            Ok(all)
        }

        fn session(&self, pass: &Pass) -> Result<Session> {
            let plan = (pass.plan)(&self.model.network().for_gpu(), BATCH);
            let mut session = Session::new(&self.device, plan).map_err(Error::Gpu)?;
            let tensors = self.model.to_named_tensors();
            let named = tensors.iter().map(|tensor| (&*tensor.name, &tensor.values[..]));
            session.write(Slot::Value, &named.collect::<Vec<_>>()).map_err(Error::Gpu)?;
            Ok(session)
        }
    }

    /// One of the two passes, with its session after the first time.
    struct Pass {
        plan: fn(&Network, usize) -> Plan,
        session: Mutex<Option<Session>>,
    }

    impl Coder for GpuCoder<'_> {
        fn model(&self) -> &BetaVae {
            self.model
        }

        fn encode(&self, images: Tensor<4>) -> Result<Posterior> {
            let (device, [batch, ..]) = (images.device(), images.dims());
            let latents = self.model.latents();
            let images = values(self.model.to_network_scale(images));
            let heads = self.rows(&self.encoder, &images, self.model.network().image.values())?;
            let heads = TensorData::new(heads, [batch, 2 * latents]);
            let heads = Tensor::<2>::from_data(heads, &device);
            let mean = heads.clone().narrow(1, 0, latents);
            Ok(Posterior { mean, log_var: heads.narrow(1, latents, latents) })
        }

        fn decode_raw(&self, z: Tensor<2>) -> Result<Tensor<4>> {
            let (device, [batch, latents]) = (z.device(), z.dims());
            let image = self.model.network().image;
            let output = self.rows(&self.decoder, &values(z), latents)?;
            let shape = [batch, image.height, image.width, image.channels];
            Ok(Tensor::from_data(TensorData::new(output, shape), &device))
        }
    }
}

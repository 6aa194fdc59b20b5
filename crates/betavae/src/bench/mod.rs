//! How long a step takes, beside what the machine could do at the same time.
//!
//! [`Bench`] takes steps as a training does; [`measure`] turns their times into a
//! [`Measurement`].

mod layers;
mod measurement;
mod pixels;

pub use layers::{LayerMeasurement, measure_layers};
pub use measurement::{Measurement, measure};

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use serde::Serialize;

use crate::config::{Config, Recipe};
use crate::data::dsprites::DSprites;
use crate::data::{Dataset, ImageShape};
use crate::error::{Error, Result};
use crate::evaluate::load;
use crate::model::{Architecture, BetaVae, ModelConfig, Precision, values};
use crate::objective::{LossH, ObjectiveKind};
use crate::train::Trainer;
use pixels::Pixels;

/// Steps before the first that counts: memory is allocated, and the processor speeds up.
const WARM_UP: usize = 5;

/// What one step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchMode {
    /// An optimisation step, from fetching the batch to the new parameters.
    #[default]
    Train,
    /// Mean and log-variance of a batch that lies in memory.
    Encode,
}

impl BenchMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Train, Self::Encode];

    /// `train` or `encode`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Encode => "encode",
        }
    }
}

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchOptions {
    /// Which network.
    pub architecture: Architecture,
    /// Images per step.
    pub batch: usize,
    /// Shape of the images.
    pub image: ImageShape,
    /// Number of latents D.
    pub latents: usize,
    /// What one step is.
    pub mode: BenchMode,
    /// How layers multiply in training; encoding is always in f32.
    pub precision: Precision,
    /// What is minimised in training. Operations are counted for the network alone.
    pub objective: ObjectiveKind,
}

impl BenchOptions {
    /// Training in batches of 64, on images and with latents as the architecture's authors had them.
    pub fn new(architecture: Architecture) -> Self {
        let (channels, latents) = match architecture {
            Architecture::PytorchVae => (3, 128),
            _ => (1, 10),
        };
        Self {
            architecture,
            batch: 64,
            image: ImageShape::new(64, 64, channels),
            latents,
            mode: BenchMode::default(),
            precision: Precision::default(),
            objective: ObjectiveKind::H(LossH { beta: 4.0.into() }),
        }
    }

    /// Adam with step size 5e-4.
    fn config(&self) -> Result<Config> {
        let mut recipe = Recipe {
            seed: 1,
            model: ModelConfig {
                architecture: self.architecture,
                latents: self.latents,
                ..ModelConfig::default()
            },
            objective: self.objective.clone().into(),
            ..Recipe::default()
        };
        recipe.train.batch = self.batch;
        recipe.train.precision = self.precision;
        recipe.optimizer.learning_rate = 5e-4;
        recipe.resolve(self.image)
    }

    /// dSprites where it has the right shape, which is rendered as the batch is fetched.
    fn data(&self) -> Arc<dyn Dataset> {
        if self.image == ImageShape::new(64, 64, 1) {
            Arc::new(DSprites::new())
        } else {
            Arc::new(Pixels::new(self.image, 2 * self.batch))
        }
    }
}

/// A model that takes steps and says how long each took.
pub struct Bench {
    options: BenchOptions,
    work: Work,
    flops: u64,
}

enum Work {
    Train(Box<Trainer>),
    /// A model and its images.
    Encode(Box<(BetaVae, Tensor<4>)>),
}

impl Bench {
    /// A fresh model that has taken its first steps already.
    ///
    /// # Errors
    /// If the options do not fit together.
    pub fn new(options: BenchOptions, device: &Device) -> Result<Self> {
        if options.mode == BenchMode::Encode && options.precision != Precision::F32 {
            return Err(Error::config(
                "encoding is always in f32, found precision bf16",
                "bf16 is for training: use --mode train",
            ));
        }
        let config = options.config()?;
        let data = options.data();
        let (work, per_image) = match options.mode {
            BenchMode::Train => {
                let trainer = Trainer::new(config, data, device)?;
                let flops = trainer.model().network().flops().train;
                (Work::Train(Box::new(trainer)), flops)
            }
            BenchMode::Encode => {
                let model = config.model().build(config.seed(), device)?;
                let indices: Vec<usize> = (0..options.batch).collect();
                let images = load(&*data, &indices, device)?;
                let flops = model.network().flops().encode;
                (Work::Encode(Box::new((model, images))), flops)
            }
        };
        let flops = per_image * options.batch as u64;
        let mut bench = Self { options, work, flops };
        bench.run(WARM_UP)?;
        Ok(bench)
    }

    /// The same with steps that a GPU takes.
    ///
    /// # Errors
    /// If the options do not fit together, or the device cannot take such steps.
    #[cfg(feature = "gpu")]
    pub fn on_gpu(
        options: BenchOptions,
        device: &Device,
        gpu: &betavae_gpu::Device,
    ) -> Result<Self> {
        let mut bench = Self::new(options, device)?;
        match &mut bench.work {
            Work::Train(trainer) => trainer.move_to_gpu(gpu)?,
            Work::Encode(_) => {
                let message = "--mode encode is measured on the CPU, found a GPU";
                return Err(Error::config(message, "leave out --device, or --mode train"));
            }
        }
        bench.run(WARM_UP)?;
        Ok(bench)
    }

    /// The launches of a step on a GPU with the seconds that each takes alone; nothing where there is none.
    ///
    /// # Errors
    /// If the device is lost.
    #[cfg(feature = "gpu")]
    pub fn launches(mut self, rounds: usize) -> Result<Vec<(betavae_gpu::Launch, f64)>> {
        match &mut self.work {
            Work::Train(trainer) => trainer.measure_launches(rounds),
            Work::Encode(_) => Ok(Vec::new()),
        }
    }

    /// The name of the GPU that takes the steps, if one does.
    pub fn gpu(&self) -> Option<&str> {
        #[cfg(feature = "gpu")]
        if let Work::Train(trainer) = &self.work {
            return trainer.gpu().map(|gpu| &*gpu.facts().adapter);
        }
        None
    }

    /// Takes `steps` steps and returns the seconds each took; of steps that are handed out together, their share.
    ///
    /// # Errors
    /// If a loss or a gradient is not finite.
    pub fn run(&mut self, steps: usize) -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        while seconds.len() < steps {
            let start = Instant::now();
            let taken = self.steps(steps - seconds.len())?;
            let share = start.elapsed().as_secs_f64() / taken as f64;
            seconds.extend(std::iter::repeat_n(share, taken));
        }
        Ok(seconds)
    }

    fn steps(&mut self, most: usize) -> Result<usize> {
        Ok(match &mut self.work {
            Work::Train(trainer) => trainer.steps(most as u64)?.len(),
            Work::Encode(both) => {
                let (model, images) = &**both;
                let posterior = model.encode(images.clone());
                // The codes are read back, as a program that encodes images would do.
                std::hint::black_box((values(posterior.mean), values(posterior.log_var)));
                1
            }
        })
    }

    /// What is measured.
    pub fn options(&self) -> &BenchOptions {
        &self.options
    }

    /// Floating point operations of one step; see [`crate::model::Flops`].
    pub fn flops(&self) -> u64 {
        self.flops
    }
}

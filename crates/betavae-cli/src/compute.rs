//! Where is computed: `--device`.

use betavae::config::Config;
use betavae::evaluate::Coder;
use betavae::model::BetaVae;
use betavae::studies::{Executor, Sweep};
use betavae::{Device, Error};

#[cfg(feature = "gpu")]
pub use betavae::gpu::Device as Gpu;

/// There is none in this build.
#[cfg(not(feature = "gpu"))]
pub enum Gpu {}

/// The CPU, and a GPU if one was asked for.
pub struct Compute {
    /// Where models are built, scored and drawn.
    pub cpu: Device,
    /// What takes the steps of trainings.
    pub gpu: Option<Gpu>,
    /// What they were asked for by.
    pub name: String,
}

impl Compute {
    /// What a name stands for.
    ///
    /// # Errors
    /// If it stands for nothing here.
    pub fn open(name: &str) -> anyhow::Result<Self> {
        let gpu = match name {
            "cpu" => None,
            name => Some(open(name)?),
        };
        Ok(Self { cpu: Device::flex(), gpu, name: name.to_owned() })
    }

    /// What runs the passes of a model.
    pub fn coder<'a>(&self, model: &'a BetaVae) -> Box<dyn Coder + 'a> {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = &self.gpu {
            return Box::new(betavae::evaluate::GpuCoder::new(model, gpu));
        }
        Box::new(model)
    }

    /// What executes the runs of a sweep.
    pub fn executor<'a>(&self, sweep: &'a Sweep) -> Executor<'a> {
        let executor = Executor::new(sweep, &self.cpu);
        #[cfg(feature = "gpu")]
        if let Some(gpu) = &self.gpu {
            return executor.on_gpu(gpu.clone());
        }
        executor
    }

    /// Refuses a training that the GPU, if one was asked for, cannot take.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self, config: &Config) -> betavae::Result<()> {
        #[cfg(feature = "gpu")]
        if self.gpu.is_some() {
            return betavae::train::check_for_gpu(config);
        }
        let _ = config;
        Ok(())
    }

    /// The CPU, for commands that can do with nothing else.
    ///
    /// # Errors
    /// If a GPU was asked for.
    pub fn cpu_alone(&self) -> anyhow::Result<&Device> {
        if self.gpu.is_some() {
            let message = "this command computes on the CPU alone".to_owned();
            let hint = "leave out --device; train, resume, `sweep run`, encode, decode, evaluate and bench can use a GPU".to_owned();
            return Err(Error::Config { message, hint }.into());
        }
        Ok(&self.cpu)
    }
}

#[cfg(feature = "gpu")]
fn open(name: &str) -> anyhow::Result<Gpu> {
    let name = name.parse().map_err(|message: String| Error::Config {
        message: format!("--device: expected `cpu` or a GPU, but {message}"),
        hint: "`betavae devices` lists those of this machine".into(),
    })?;
    Ok(Gpu::open(name).map_err(Error::Gpu)?)
}

#[cfg(not(feature = "gpu"))]
fn open(name: &str) -> anyhow::Result<Gpu> {
    let message = format!("--device: expected `cpu`, found {name}");
    let hint = "build betavae with the cargo feature `gpu`".to_owned();
    Err(Error::Config { message, hint }.into())
}

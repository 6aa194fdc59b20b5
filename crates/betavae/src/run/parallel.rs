//! Runs whose steps several processes take together: the first one writes, the others follow it.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;

use super::Run;
use crate::checkpoint;
use crate::config::Config;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::train::{Processes, Trainer};

/// Numbers below this are sent exactly.
const EXACT: u64 = 1 << 20;

impl Run {
    /// Takes the steps of this run together with other processes, of which this is the first: it alone writes. The others
    /// call [`follow`].
    ///
    /// # Errors
    /// If there are more processes than parts of a batch (`train.parts`).
    pub fn join(&mut self, processes: Box<dyn Processes>) -> Result<()> {
        let step = self.trainer.steps_taken();
        processes.broadcast(&mut [1.0, (step / EXACT) as f32, (step % EXACT) as f32]);
        self.trainer.join(processes)
    }
}

/// Tells processes that call [`follow`] that there is nothing to do.
pub fn dismiss(processes: &dyn Processes) {
    processes.broadcast(&mut [0.0; 3]);
}

/// Takes the steps of the run in a folder for as long as the first process does, which has started it or gone on with it.
///
/// # Errors
/// If the configuration does not fit the data, a checkpoint cannot be read, or a step fails.
pub fn follow(
    folder: &Path,
    config: Config,
    data: Arc<dyn Dataset>,
    device: &Device,
    processes: Box<dyn Processes>,
) -> Result<()> {
    let mut start = [0.0; 3];
    processes.broadcast(&mut start);
    let [has_work, high, low] = start;
    if has_work == 0.0 {
        return Ok(());
    }
    let step = high as u64 * EXACT + low as u64;
    let mut trainer = match step {
        0 => Trainer::new(config, data, device)?,
        step => {
            let checkpoints = folder.join("checkpoints");
            let found = checkpoint::list(&checkpoints)?.into_iter().find(|(at, _)| *at == step);
            let Some((_, path)) = found else {
                let reason = format!(
                    "the first process is at step {step}, of which there is no checkpoint here"
                );
                let hint = "the folder must be on a file system that all processes share";
                return Err(Error::file_hint(&checkpoints, reason, hint));
            };
            Trainer::restored(config, data, checkpoint::read(&path)?, device)?
        }
    };
    trainer.join(processes)?;
    trainer.follow()
}

//! The `[train]` table.

use std::path::PathBuf;

use betavae_kernels::Precision;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The `[train]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimisation steps of the whole run.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Parts of a batch whose gradients are computed by themselves and then added, so that up to as many processes can
    /// share a step. It is part of what determines the bytes of the results.
    pub parts: usize,
    /// Steps between rows of metrics.csv, each the mean over the steps since the last.
    pub log_every: u64,
    /// Steps between checkpoints; there is always one at the end.
    pub checkpoint_every: u64,
    /// How many of the newest checkpoints are kept; 0 keeps all.
    pub keep_checkpoints: usize,
    /// Start from the weights of this MODEL, with a fresh optimiser; its network must be `model`'s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Whether checkpoints come with pictures of reconstructions and traversals.
    pub previews: bool,
    /// Whether the run folder has event files for TensorBoard.
    pub tensorboard: bool,
    /// How layers multiply in training: `f32`, or `bf16` with sums in f32, which is faster on
    /// processors with AVX-512 BF16 and slower elsewhere.
    pub precision: Precision,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 10_000,
            batch: 64,
            parts: 1,
            log_every: 50,
            checkpoint_every: 1000,
            keep_checkpoints: 3,
            init: None,
            previews: true,
            tensorboard: true,
            precision: Precision::F32,
        }
    }
}

impl TrainConfig {
    /// # Errors
    /// If a number is impossible.
    pub(super) fn check(&self) -> Result<()> {
        let positive = [
            ("batch", self.batch as u64),
            ("parts", self.parts as u64),
            ("log_every", self.log_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => {
                Err(Error::config(format!("train.{key}: expected at least 1, found 0"), ""))
            }
            None => Ok(()),
        }
    }
}

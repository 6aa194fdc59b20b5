//! What those who started a training hear of it.

use std::path::Path;

use image::RgbImage;

use crate::objective::Terms;

/// What a caller of [`Run::train`](super::Run::train) can see and do meanwhile. All methods have empty bodies.
pub trait Observer: Send {
    /// After every step, with the terms of that step.
    fn stepped(&mut self, _step: u64, _terms: &Terms) {}
    /// After every row of `metrics.csv`, with its values; a run that had ended tells its last one again.
    fn logged(&mut self, _step: u64, _mean: &Terms) {}
    /// Something that the user should know about the training, such as codes that say nothing.
    fn warned(&mut self, _warning: &str) {}
    /// After every checkpoint.
    fn saved(&mut self, _checkpoint: &Path) {}
    /// After every checkpoint, for each of its pictures: `reconstructions` and `traversal`, where `train.previews` wants
    /// them.
    fn previewed(&mut self, _step: u64, _name: &str, _picture: &RgbImage) {}
    /// While the finished model is scored: the score that is worked on, and the share of it that is done.
    fn scoring(&mut self, _score: &str, _share: f64) {}
    /// Asked before every step, where `true` saves and ends the run early, and between batches of images while a trained model is
    /// evaluated.
    fn should_stop(&mut self) -> bool {
        false
    }
}

/// Nothing is watched.
impl Observer for () {}

/// How [`Run::train`](super::Run::train) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are taken.
    Finished,
    /// The observer asked to stop; there is a checkpoint at the last step.
    Stopped,
}

//! What a reader of files hands over: images one after the other, and what is known about them.

use serde::{Deserialize, Serialize};

use super::{Factors, ImageShape};
use crate::error::Result;

/// The opened files of a data set: headers are read and checked, pixels are not read yet.
pub(crate) struct OpenedImages {
    /// One line about the content, without the number of images.
    pub(crate) about: String,
    /// Number of images N.
    pub(crate) len: usize,
    /// Shape [H, W, C] of every image.
    pub(crate) shape: ImageShape,
    /// The byte that stands for intensity 1, where the format says so: 1 for binary sets.
    pub(crate) white: u8,
    /// The factors of the images, where the files have them.
    pub(crate) factors: Option<Factors>,
    /// The pixels.
    pub(crate) images: Box<dyn ImageReader + Send>,
}

/// Images that come out of a file in their order, without ever being in memory together.
pub(crate) trait ImageReader {
    /// Fills `bytes` with the next `bytes.len() / (H * W * C)` images, [n, H, W, C]. Never asked for
    /// more than the N images that were announced.
    ///
    /// # Errors
    /// If the file is damaged or ends before.
    fn next(&mut self, bytes: &mut [u8]) -> Result<()>;

    /// Called once, after the last image, for the notes about them.
    ///
    /// # Errors
    /// If images turned out to be damaged on the way.
    fn finish(&mut self) -> Result<ReaderSummary> {
        Ok(ReaderSummary::default())
    }
}

/// What a reader knows once it has read all images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderSummary {
    /// What was turned, blended and left out, a line each.
    pub(crate) notes: Vec<String>,
    /// Positions of the images that are left out, among all that there are.
    pub(crate) left_out: Vec<usize>,
}

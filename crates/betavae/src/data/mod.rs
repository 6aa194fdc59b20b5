//! Data sets: images by index, kept as bits or bytes until a batch is assembled.
//!
//! A data set is rendered in memory ([`dsprites`] and its variants, [`blobs`]) or read from the
//! user's files: arrays, and image files in folders, archives and tables. [`open`] picks the right
//! one. What it is trained on in which order is [`order`]'s business.

mod arrays;
pub mod blobs;
mod bundle;
pub(crate) mod cache;
pub mod dsprites;
mod factors;
#[cfg(feature = "fetch")]
pub mod fetch;
mod labels;
mod official;
pub mod order;
#[cfg(feature = "parquet")]
mod parquet;
mod pictures;
mod reader;
pub mod sets;
mod store;
mod stored;
pub mod variants;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
pub use factors::{Factor, FactorGrid, FactorTable, Factors};
pub use official::Split;
#[cfg(fuzzing)]
pub use official::read_all;

/// Height, width and channels of an image, written `[H, W, C]` in configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[usize; 3]", into = "[usize; 3]")]
pub struct ImageShape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 for grey, 3 for RGB; any other number works too.
    pub channels: usize,
}

impl ImageShape {
    /// H x W x C.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Number of values of one image, H * W * C: the N of beta_norm.
    pub fn values(&self) -> usize {
        self.height * self.width * self.channels
    }
}

impl From<[usize; 3]> for ImageShape {
    fn from([height, width, channels]: [usize; 3]) -> Self {
        Self { height, width, channels }
    }
}

impl From<ImageShape> for [usize; 3] {
    fn from(shape: ImageShape) -> Self {
        [shape.height, shape.width, shape.channels]
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// A set of images of one shape. Reading is a pure function of (index, epoch), so any number of
/// threads may read at once and a resumed run sees the same pixels.
pub trait Dataset: Send + Sync {
    /// Name or path, as shown to the user.
    fn name(&self) -> &str;

    /// One line about the content.
    fn description(&self) -> String;

    /// Number of images N.
    fn len(&self) -> usize;

    /// Whether there are no images at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape [H, W, C] of every image.
    fn shape(&self) -> ImageShape;

    /// Writes image `index` to `pixels`, `[H * W * C]` channels-last, in [0, 1].
    ///
    /// `epoch` only matters to data sets whose images carry fresh noise at every visit.
    fn read(&self, index: usize, epoch: u64, pixels: &mut [f32]) -> Result<()>;

    /// The ground-truth factors, where they are known.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// The file that image `index` comes from, relative to the folder or archive, where there is one
    /// file for each.
    fn file_name(&self, _index: usize) -> Option<&Path> {
        None
    }

    /// The byte that stands for intensity 1 when images are written as integers: 255, or 1 for
    /// binary sets, which are published as zeros and ones.
    fn white(&self) -> u8 {
        255
    }

    /// SHA-256 in hexadecimal that tells whether two runs saw the same data: over the content for
    /// the user's files, over 1000 evenly spaced images for rendered sets.
    fn fingerprint(&self) -> Result<String> {
        let images = 1000.min(self.len());
        let mut hash = Sha256::new();
        let mut pixels = vec![0.0; self.shape().values()];
        for i in 0..images {
            self.read(i * self.len() / images, 0, &mut pixels)?;
            hash.update(bytemuck::cast_slice(&pixels));
        }
        Ok(hex(&hash.finalize()))
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Assembles images into one buffer `[B, H, W, C]`, in parallel.
pub fn read_batch(data: &dyn Dataset, indices: &[usize], epoch: u64) -> Result<Vec<f32>> {
    let values = data.shape().values();
    let mut batch = vec![0.0; indices.len() * values];
    batch
        .par_chunks_mut(values)
        .zip(indices)
        .try_for_each(|(pixels, index)| data.read(*index, epoch, pixels))?;
    Ok(batch)
}

/// Which images, and how the user's files become images of one shape: the `[data]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A rendered data set, one of [`NAMES`], or a fetched one of [`sets::SETS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An `.npz` or `.npy` file, an official file or a folder of them, a folder or archive of images, or
    /// one image; excludes `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Resize image files to [height, width].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Cut this [height, width] out of the middle of each image file before resizing;
    /// default: the largest cut that has the aspect ratio of `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<[usize; 2]>,
    /// Read image files as grey (1) or RGB (3); default: grey if every file is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Name of the array inside an `.npz` file, or of the column of a Parquet file; default: `imgs`,
    /// `images`, or the only candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A table or array with the factors of the images; default: `factors.csv` or `labels.csv` in a
    /// folder, arrays beside the images in an `.npz` file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Order of the last axes of an array of four or more; default: guessed from the channel count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The part of a set that its authors have divided; default: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// How training walks through the images.
    #[serde(default)]
    pub order: order::Kind,
}

/// Order of the axes of an array of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// [N, H, W, C], as NumPy and TensorFlow users write it.
    Nhwc,
    /// [N, C, H, W], as PyTorch users write it.
    Nchw,
}

/// The data sets that need no file, with one line about each.
pub const NAMES: [(&str, &str); 5] = [
    ("dsprites", "binary 64x64 sprites: 3 shapes, 6 scales, 40 orientations, 32x32 positions"),
    ("dsprites-color", "dSprites, each image tinted with a random RGB colour"),
    ("dsprites-noisy", "dSprites under uniform RGB noise"),
    ("dsprites-texture", "dSprites inverting random crops of a generated texture"),
    ("blobs", "a Gaussian blob on black at 64x64 positions"),
];

/// Opens the data set that `config` names. `seed` feeds the sets whose images carry noise.
pub fn open(config: &DataConfig, seed: u64) -> Result<Arc<dyn Dataset>> {
    open_watched(config, seed, &mut |_, _| ())
}

/// As [`open`]; `progress` is told how many images of how many have been looked at.
pub fn open_watched(
    config: &DataConfig,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Arc<dyn Dataset>> {
    match (&config.name, &config.path) {
        (Some(name), None) if let Some(set) = sets::OfficialSet::find(name) => {
            let path = Some(set.path()?);
            open_watched(&DataConfig { name: None, path, ..config.clone() }, seed, progress)
        }
        (Some(name), None) => {
            check_undivided(config)?;
            rendered(name, seed)
        }
        (None, Some(path)) => {
            let cache = &cache::Cache::standard();
            Ok(Arc::new(read(path, &mut stored::Opening { config, cache, progress })?))
        }
        (Some(_), Some(_)) => Err(Error::config(
            "data.name and data.path are both set",
            "keep one: a name renders a data set, a path reads your own images",
        )),
        (None, None) => Err(Error::config(
            "no data set: neither data.name nor data.path is set",
            format!("set data.name to one of {}, or data.path to your images", names()),
        )),
    }
}

/// The configuration that names a data set by one word: the name of a rendered set, or else a path.
pub fn by_word(word: &str) -> Result<DataConfig> {
    let mut config = DataConfig::default();
    let rendered = NAMES.iter().any(|(name, _)| *name == word);
    if rendered || sets::OfficialSet::find(word).is_some() {
        config.name = Some(word.to_owned());
    } else if Path::new(word).exists() {
        config.path = Some(word.into());
    } else {
        return Err(Error::config(
            format!("`{word}` is neither a data set nor an existing file or folder"),
            format!("the data sets are {}", names()),
        ));
    }
    Ok(config)
}

/// Opens a data set by one word, see [`by_word`].
pub fn open_name_or_path(word: &str, seed: u64) -> Result<Arc<dyn Dataset>> {
    open(&by_word(word)?, seed)
}

/// Whether the images at `path` are files that can be brought to another size.
pub fn can_resize(path: &Path) -> bool {
    #[cfg(feature = "parquet")]
    if parquet::reads(path) {
        return true;
    }
    pictures::reads(path)
}

/// Opens the user's files.
fn read(path: &Path, opening: &mut stored::Opening<'_>) -> Result<stored::Stored> {
    let config = opening.config;
    if let Some(opened) = official::open(path, config)? {
        // All that lies in a folder, since most sets are several files.
        let parts = match path.is_dir() {
            true => bundle::Bundle::folder(path, |_| true)?.names().map(Path::to_owned).collect(),
            false => Vec::new(),
        };
        return stored::Stored::from_reader(opening, path, &parts, |_| Ok(opened));
    }
    check_undivided(config)?;
    if pictures::reads(path)
        && let Some(pictures) = pictures::open(path, opening)?
    {
        return Ok(pictures);
    }
    #[cfg(feature = "parquet")]
    if parquet::reads(path) {
        return parquet::open(path, opening);
    }
    if !pictures::reads(path) {
        return arrays::open(path, opening);
    }
    let place = if path.is_dir() { "it or its subfolders" } else { "it" };
    let kinds = ".png, .jpg or .jpeg files";
    Err(Error::file(path, format!("no image found: expected {kinds} in {place}")))
}

/// Refuses `data.split` where it says nothing.
fn check_undivided(config: &DataConfig) -> Result<()> {
    match config.split {
        None => Ok(()),
        Some(_) => Err(Error::config(
            "data.split is set, but nobody has divided this data set",
            "remove data.split",
        )),
    }
}

fn rendered(name: &str, seed: u64) -> Result<Arc<dyn Dataset>> {
    Ok(match name {
        "dsprites" => Arc::new(dsprites::DSprites::new()),
        "dsprites-color" => Arc::new(variants::Variant::color(seed)),
        "dsprites-noisy" => Arc::new(variants::Variant::noisy(seed)),
        "dsprites-texture" => Arc::new(variants::Variant::texture(seed)),
        "blobs" => Arc::new(blobs::Blobs::new()),
        _ => {
            return Err(Error::config(
                format!("unknown data set `{name}`: the names are {}", names()),
                "to read your own images, set data.path instead of data.name",
            ));
        }
    })
}

fn names() -> String {
    let official = sets::SETS.iter().map(|set| set.name);
    let all = NAMES.iter().map(|(name, _)| *name).chain(official);
    all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;

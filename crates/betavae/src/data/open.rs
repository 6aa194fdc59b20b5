//! From the `[data]` table, or from a word on the command line, to a data set.

use std::path::Path;
use std::sync::Arc;

use super::cache::Cache;
use super::source::Source;
use super::stored::{OpenContext, StoredDataset};
use super::{DataConfig, Dataset, ImageShape};
use super::{arrays, blobs, dsprites, fitted, official, pictures, sets, variants};
use crate::error::{Error, Result};
use crate::words::nearest;

/// The data sets that need no file, with one line about each.
pub const RENDERED_SETS: [(&str, &str); 5] = [
    ("dsprites", "binary 64x64 sprites: 3 shapes, 6 scales, 40 orientations, 32x32 positions"),
    ("dsprites-color", "dSprites, each image tinted with a random RGB colour"),
    ("dsprites-noisy", "dSprites under uniform RGB noise"),
    ("dsprites-texture", "dSprites inverting random crops of a generated texture"),
    ("blobs", "a Gaussian blob on black at 64x64 positions"),
];

/// Opens the data set that `config` names. `seed` feeds the sets whose images carry noise.
///
/// # Errors
/// If there is no such set or file, it is damaged, or a setting does not apply to it.
pub fn open(config: &DataConfig, seed: u64) -> Result<Arc<dyn Dataset>> {
    open_with_progress(config, seed, &mut |_, _| ())
}

/// As [`open`]; `progress` gets the number of images read so far and in all.
///
/// # Errors
/// As [`open`].
pub fn open_with_progress(
    config: &DataConfig,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Arc<dyn Dataset>> {
    let (config, source) = locate(config)?;
    source.check(&config)?;
    match &config.path {
        None => {
            let name = config.name.as_deref().unwrap_or_default();
            fitted::fit(rendered(name, seed)?, &config)
        }
        Some(path) => {
            let cache = Cache::standard();
            let mut opening = OpenContext::new(&config, &cache, progress);
            let data = Arc::new(read(path, source, &mut opening)?);
            match source {
                // Their values may be floats, so they are fitted as such and not when they are prepared.
                Source::Npy | Source::Npz => fitted::fit(data, &config),
                _ => Ok(data),
            }
        }
    }
}

/// What a configuration names: official sets by the path of their files.
fn locate(config: &DataConfig) -> Result<(DataConfig, Source)> {
    match (&config.name, &config.path) {
        (Some(name), None) => match sets::OfficialSet::find(name) {
            None => Ok((config.clone(), Source::Rendered)),
            Some(set) => {
                let path = set.path()?;
                let source = Source::of(&path)?;
                Ok((DataConfig { name: None, path: Some(path), ..config.clone() }, source))
            }
        },
        (None, Some(path)) => {
            if !path.exists() {
                let reason = "there is no such file or folder";
                return Err(Error::file_hint(path, reason, unknown(&path.to_string_lossy())));
            }
            Ok((config.clone(), Source::of(path)?))
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

/// The configuration that names a data set by one word: the name of a set, or else a path.
///
/// # Errors
/// If it is neither, with the name that it resembles.
pub fn config_by_word(word: &str) -> Result<DataConfig> {
    let mut config = DataConfig::default();
    if all_names().any(|name| name == word) {
        config.name = Some(word.to_owned());
    } else if Path::new(word).exists() {
        config.path = Some(word.into());
    } else {
        let message = format!("`{word}` is neither a data set nor an existing file or folder");
        return Err(Error::config(message, unknown(word)));
    }
    Ok(config)
}

/// The configuration for a model of images of shape `image` that was trained with `trained`: on the same
/// data, or on that of `word`, with those settings of the training that apply to it. Files of any size are
/// brought to the model's.
///
/// # Errors
/// If `word` is neither a data set nor an existing file or folder.
pub fn config_for_model(
    trained: &DataConfig,
    word: Option<&str>,
    image: ImageShape,
) -> Result<DataConfig> {
    let Some(word) = word else { return Ok(trained.clone()) };
    let DataConfig { name, path, .. } = config_by_word(word)?;
    let place = |path: &Option<std::path::PathBuf>| path.as_ref()?.canonicalize().ok();
    let same = name == trained.name && place(&path) == place(&trained.path);
    let mut config = DataConfig { name, path, ..trained.clone() };
    if !same {
        // They belong to the other data set.
        (config.labels, config.split) = (None, None);
    }
    let (_, source) = locate(&config)?;
    if source.has_files_of_any_size() {
        config.size = Some([image.height, image.width]);
        config.channels = Some(image.channels).filter(|channels| matches!(channels, 1 | 3));
    }
    config.retain(&source.settings());
    Ok(config)
}

/// Opens a data set by one word, see [`config_by_word`].
///
/// # Errors
/// As [`open`].
pub fn open_name_or_path(word: &str, seed: u64) -> Result<Arc<dyn Dataset>> {
    open(&config_by_word(word)?, seed)
}

/// Opens the user's files.
pub(super) fn read(
    path: &Path,
    source: Source,
    opening: &mut OpenContext<'_>,
) -> Result<StoredDataset> {
    match source {
        Source::Official(kind) => official::open(path, kind, opening),
        Source::Pictures => pictures::open(path, opening),
        Source::Parquet => super::parquet::open(path, opening),
        Source::Npy | Source::Npz => arrays::open(path, opening),
        Source::Rendered => Err(Error::file(path, "a rendered data set has no file")),
    }
}

/// Whether the images of a data set depend on the seed, as the noise of some rendered sets does.
#[cfg(feature = "model")]
pub(crate) fn depends_on_seed(config: &DataConfig) -> bool {
    config.name.as_deref().is_some_and(|name| name.starts_with("dsprites-"))
}

fn rendered(name: &str, seed: u64) -> Result<Arc<dyn Dataset>> {
    Ok(match name {
        "dsprites" => Arc::new(dsprites::DSprites::new()),
        "dsprites-color" => Arc::new(variants::Variant::color(seed)),
        "dsprites-noisy" => Arc::new(variants::Variant::noisy(seed)),
        "dsprites-texture" => Arc::new(variants::Variant::texture(seed)),
        "blobs" => Arc::new(blobs::Blobs::new()),
        _ => {
            return Err(Error::config(format!("unknown data set `{name}`"), unknown(name)));
        }
    })
}

/// A hint about what an unknown word may mean.
fn unknown(word: &str) -> String {
    match nearest(word, all_names()) {
        Some(name) => format!("did you mean `{name}`? The data sets are {}", names()),
        None => format!("check the path; the data sets are {}", names()),
    }
}

fn all_names() -> impl Iterator<Item = &'static str> {
    RENDERED_SETS.iter().map(|(name, _)| *name).chain(sets::SETS.iter().map(|set| set.name))
}

fn names() -> String {
    all_names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

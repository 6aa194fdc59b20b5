//! The official files of the field's data sets, as their authors publish them.
//!
//! [`OfficialFormat::of`] tells from a file's content, or from the files in a folder, which set it is; the other modules
//! read one format each. All images come in the order of the files, in bounded memory.

mod cars;
mod celeba;
mod chairs;
mod grids;
mod hdf5;
mod idx;
mod input;
mod matlab;
mod norb;
mod raw;

use std::fs;
use std::path::{Path, PathBuf};

#[cfg(any(all(test, feature = "formats"), fuzzing))]
use super::DataConfig;
use super::bundle::Bundle;
use super::labels::{self, ImagesToLabel};
use super::pictures::{EncodedImages, ImageFiles, load};
use super::stored::{OpenContext, StoredDataset};
use super::{Factors, ImageShape, Split};
use crate::error::{Error, Result};
pub(crate) use grids::known_grid;
use raw::RawImages;

/// Opens an official file, a folder of them, or what was unpacked from them.
///
/// # Errors
/// If it is damaged or incomplete.
pub(super) fn open(
    path: &Path,
    kind: OfficialFormat,
    opening: &mut OpenContext<'_>,
) -> Result<StoredDataset> {
    let config = opening.config;
    if kind.has_pictures() {
        return match kind {
            OfficialFormat::Chairs => chairs::open(path, opening),
            _ => celeba::open(path, opening),
        };
    }
    // All files of a folder, since most sets are several files.
    let parts: Vec<PathBuf> = match path.is_dir() {
        true => Bundle::folder(path, |_| true)?.names().map(Path::to_owned).collect(),
        false => Vec::new(),
    };
    let raw = read(path, kind, opening)?;
    let images = ImagesToLabel { path, len: raw.len, files: None };
    let labels = labels::configured_labels(config, &images)?;
    let mut opened = raw.finish(path, config, kind.usual_size())?;
    if let Some(labels) = labels {
        opened.factors = labels.factors;
        opening.notes.extend(labels.notes);
    }
    StoredDataset::from_reader(opening, path, &parts, |_| Ok(opened))
}

/// Reads the first images of an official file, as the fuzz targets need it; how many there are.
#[cfg(fuzzing)]
pub fn read_all(path: &Path, config: &DataConfig) -> Result<usize> {
    let Some(kind) = OfficialFormat::of(path)? else { return Ok(0) };
    if kind.has_pictures() {
        return super::open(&DataConfig { path: Some(path.into()), ..config.clone() }, 1)
            .map(|data| data.len());
    }
    let cache = super::cache::Cache::standard();
    let mut progress = |_, _| ();
    let mut opening = OpenContext::new(config, &cache, &mut progress);
    let mut opened = read(path, kind, &mut opening)?.finish(path, config, kind.usual_size())?;
    let values = opened.shape.values();
    let mut bytes = vec![0; opened.len.min((1 << 22) / values + 1) * values];
    for piece in bytes.chunks_mut(3 * values) {
        opened.images.next(piece)?;
    }
    Ok(opened.len)
}

/// Which reader a file or folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfficialFormat {
    Hdf5,
    Idx,
    IdxFolder,
    Norb,
    NorbFolder,
    Cars,
    Chairs,
    CelebA,
}

impl OfficialFormat {
    /// In words, after the path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hdf5 => "an HDF5 file",
            Self::Idx => "a file of MNIST",
            Self::IdxFolder => "a folder of MNIST",
            Self::Norb => "a file of SmallNORB",
            Self::NorbFolder => "a folder of SmallNORB",
            Self::Cars => "Cars3D",
            Self::Chairs => "3D Chairs",
            Self::CelebA => "CelebA",
        }
    }

    /// The keys of `[data]` that apply, besides `size`, `crop` and `channels`.
    pub(super) fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Hdf5 => &["key", "layout", "labels"],
            Self::Idx | Self::Norb | Self::Cars => &["labels"],
            Self::IdxFolder | Self::NorbFolder => &["labels", "split"],
            Self::Chairs => &["background", "skip_damaged", "labels"],
            Self::CelebA => &["background", "skip_damaged", "labels", "split"],
        }
    }

    /// Whether its images are image files of any size.
    pub(super) fn has_pictures(self) -> bool {
        matches!(self, Self::Chairs | Self::CelebA)
    }

    /// The size that is usual in the field, where it is not the stored one.
    fn usual_size(self) -> Option<[usize; 2]> {
        match self {
            Self::Norb | Self::NorbFolder => Some(norb::SIZE),
            Self::Cars => Some(cars::SIZE),
            Self::Hdf5 | Self::Idx | Self::IdxFolder | Self::Chairs | Self::CelebA => None,
        }
    }

    /// The kind of a file or folder, from its content and the names its authors gave.
    pub(super) fn of(path: &Path) -> Result<Option<Self>> {
        if path.is_dir() {
            return Ok(Self::of_folder(path));
        }
        if !path.is_file() {
            return Ok(None);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let start = input::Input::start(path, 2048 + 8)?;
        Ok(if hdf5::reads(&start) {
            Some(Self::Hdf5)
        } else if idx::reads(&start) {
            Some(Self::Idx)
        } else if norb::reads(&start) {
            Some(Self::Norb)
        } else if start.starts_with(b"PK") && name.starts_with("img_align_celeba") {
            Some(Self::CelebA)
        } else if start.get(257..262) != Some(b"ustar") {
            None
        } else if name.starts_with("nips2015-analogy-data") {
            Some(Self::Cars)
        } else if name.starts_with("rendered_chairs") {
            Some(Self::Chairs)
        } else {
            None
        })
    }

    /// What was unpacked from an official archive, or the small files of a set; a folder with one
    /// large file is opened as that file, see [`only_file`].
    fn of_folder(folder: &Path) -> Option<Self> {
        if idx::in_folder(folder).iter().any(Option::is_some) {
            Some(Self::IdxFolder)
        } else if norb::in_folder(folder).iter().any(Option::is_some) {
            Some(Self::NorbFolder)
        } else if cars_folder(folder).is_some() {
            Some(Self::Cars)
        } else if chairs_folder(folder).is_some() {
            Some(Self::Chairs)
        } else if celeba_images(folder).is_some() {
            Some(Self::CelebA)
        } else {
            None
        }
    }
}

fn read(path: &Path, kind: OfficialFormat, opening: &mut OpenContext<'_>) -> Result<RawImages> {
    let config = opening.config;
    match kind {
        OfficialFormat::Hdf5 => hdf5::open(path, config, &mut opening.notes),
        OfficialFormat::Idx => idx::open(path),
        OfficialFormat::IdxFolder => read_parts(path, idx::in_folder(path), opening, idx::open),
        OfficialFormat::Norb => norb::open(path),
        OfficialFormat::NorbFolder => read_parts(path, norb::in_folder(path), opening, norb::open),
        OfficialFormat::Cars => {
            let place = cars_folder(path).unwrap_or_else(|| path.to_owned());
            let bundle = not_empty(path, Bundle::sorted(&place, cars::is_car)?, "car_*_mesh.mat")?;
            cars::open(path, bundle)
        }
        OfficialFormat::Chairs | OfficialFormat::CelebA => {
            Err(Error::file(path, "its images are files of their own"))
        }
    }
}

/// The files of the training and the test set, as far as they are wanted.
fn read_parts(
    folder: &Path,
    [train, test]: [Option<PathBuf>; 2],
    opening: &mut OpenContext<'_>,
    open: impl Fn(&Path) -> Result<RawImages>,
) -> Result<RawImages> {
    let split = opening.config.split;
    let wanted = |part: Split| split.is_none_or(|split| split.takes(part));
    let both = [(Split::Train, train), (Split::Test, test)];
    let files: Vec<(Split, PathBuf)> = both
        .into_iter()
        .filter_map(|(part, file)| Some((part, file.filter(|_| wanted(part))?)))
        .collect();
    if files.is_empty() {
        let name = split.unwrap_or(Split::All).name();
        let reason = format!("the files of the part {name} are not in it");
        let hint = "download them, or change data.split: it has train and test";
        return Err(Error::file_hint(folder, reason, hint));
    }
    if let (None, [(_, a), (_, b)]) = (split, files.as_slice()) {
        let name =
            |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        opening.notes.push(format!(
            "parts are read together: {} and {}; `--set data.split=train` reads one",
            name(a),
            name(b)
        ));
    }
    let parts = files.iter().map(|(_, file)| open(file)).collect::<Result<Vec<_>>>()?;
    RawImages::concat(folder, parts)
}

/// Image files of a set whose factors are known: 64x64 in RGB unless configured otherwise.
fn pictures(
    path: &Path,
    bundle: Bundle,
    opening: &mut OpenContext<'_>,
    about: &str,
    factors: Option<Factors>,
) -> Result<StoredDataset> {
    let files: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let images = ImagesToLabel { path, len: files.len(), files: Some(&files) };
    let (factors, notes) = match labels::configured_labels(opening.config, &images)? {
        Some(labels) => (labels.factors, labels.notes),
        None => (factors, Vec::new()),
    };
    opening.notes.extend(notes);
    let place = bundle.path().to_owned();
    let parts = if place.is_dir() { bundle.parts() } else { Vec::new() };
    let make = || Ok(Box::new(ImageFiles(bundle.clone())) as Box<dyn EncodedImages>);
    let (stored, kept) = load(&place, &parts, &make, Some(ImageShape::new(64, 64, 3)), opening)?;
    Ok(StoredDataset {
        name: path.display().to_string(),
        about: format!("({about})"),
        factors: factors.map(|factors| kept.select_factors(factors)),
        files: kept.select(files),
        ..stored
    })
}

fn not_empty(path: &Path, bundle: Bundle, expected: &str) -> Result<Bundle> {
    if bundle.len() == 0 {
        return Err(Error::file(path, format!("it has no files such as {expected}")));
    }
    Ok(bundle)
}

/// The folder of cars in a folder: itself, or where the archive has it.
fn cars_folder(folder: &Path) -> Option<PathBuf> {
    ["data/cars", "cars", ""].into_iter().map(|inner| folder.join(inner)).find(|folder| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.take(1000).any(|file| cars::is_car(&file.path()))
    })
}

fn chairs_folder(folder: &Path) -> Option<PathBuf> {
    ["rendered_chairs", ""].into_iter().map(|inner| folder.join(inner)).find(|folder| {
        let models = fs::read_dir(folder).into_iter().flatten().flatten();
        models.take(10).any(|model| {
            let renders = model.path().join("renders");
            let files = fs::read_dir(&renders).into_iter().flatten().flatten();
            files.take(10).any(|file| chairs::is_chair(&file.path()))
        })
    })
}

/// The aligned images of CelebA: their archive or their folder, in a folder or itself.
fn celeba_images(folder: &Path) -> Option<PathBuf> {
    let inner = folder.join("img_align_celeba");
    let archive = folder.join("img_align_celeba.zip");
    if inner.is_dir() {
        Some(inner)
    } else if archive.is_file() {
        Some(archive)
    } else {
        (folder.is_dir() && folder.ends_with("img_align_celeba")).then(|| folder.to_owned())
    }
}

#[cfg(all(test, feature = "formats"))]
mod tests;

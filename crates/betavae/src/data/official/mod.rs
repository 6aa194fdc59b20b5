//! The official files of the field's data sets, as their authors publish them.
//!
//! [`open`] tells from a file's content, or from the files in a folder, which set it is; the other
//! modules read one format each. All images come in the order of the files, in bounded memory.

mod cars;
mod celeba;
mod chairs;
mod grids;
mod hdf5;
mod idx;
mod input;
mod matlab;
mod norb;
mod pictures;
mod raw;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DataConfig;
use super::bundle::Bundle;
use super::reader::Opened;
use crate::error::{Error, Result};
pub(crate) use grids::known_grid;
use raw::Raw;

/// The part of a data set that its authors have divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing between models; only CelebA has it.
    Valid,
    /// For the final test.
    Test,
    /// Everything, training first.
    All,
}

/// Opens `path` if it is an official file, a folder of them, or what was unpacked from them.
///
/// # Errors
/// If it is one and is damaged or incomplete, or if a setting does not apply to it.
pub(crate) fn open(path: &Path, config: &DataConfig) -> Result<Option<Opened>> {
    match Kind::of(path)? {
        None => Ok(None),
        Some(kind) => {
            check_settings(path, kind, config)?;
            read(path, kind, config).map(Some)
        }
    }
}

/// Reads the first images of an official file, as the fuzz targets need it; how many there are.
#[cfg(fuzzing)]
pub fn read_all(path: &Path, config: &DataConfig) -> Result<usize> {
    let Some(mut opened) = open(path, config)? else { return Ok(0) };
    let values = opened.shape.values();
    let mut bytes = vec![0; opened.len.min((1 << 22) / values + 1) * values];
    for piece in bytes.chunks_mut(3 * values) {
        opened.images.next(piece)?;
    }
    Ok(opened.len)
}

/// Which reader a file or folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hdf5,
    Idx,
    IdxFolder,
    Norb,
    NorbFolder,
    Cars,
    Chairs,
    CelebA,
}

impl Kind {
    fn of(path: &Path) -> Result<Option<Self>> {
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
        } else if faces(folder).is_some() {
            Some(Self::CelebA)
        } else {
            None
        }
    }
}

fn read(path: &Path, kind: Kind, config: &DataConfig) -> Result<Opened> {
    match kind {
        Kind::Hdf5 => hdf5::open(path, config.key.as_deref())?.finish(path, config, None),
        Kind::Idx => idx::open(path)?.finish(path, config, None),
        Kind::IdxFolder => {
            parts(path, idx::in_folder(path), config, idx::open)?.finish(path, config, None)
        }
        Kind::Norb => norb::open(path)?.finish(path, config, Some(norb::SIZE)),
        Kind::NorbFolder => parts(path, norb::in_folder(path), config, norb::open)?.finish(
            path,
            config,
            Some(norb::SIZE),
        ),
        Kind::Cars => {
            let place = cars_folder(path).unwrap_or_else(|| path.to_owned());
            let bundle = not_empty(path, Bundle::sorted(&place, cars::is_car)?, "car_*_mesh.mat")?;
            cars::open(path, bundle)?.finish(path, config, Some(cars::SIZE))
        }
        Kind::Chairs => {
            let place = chairs_folder(path).unwrap_or_else(|| path.to_owned());
            let bundle = Bundle::sorted(&place, chairs::is_chair)?;
            chairs::open(path, not_empty(path, bundle, "image_*_p*_t*_*.png")?, config)
        }
        Kind::CelebA => {
            let place = faces(path).unwrap_or_else(|| path.to_owned());
            let bundle = not_empty(path, Bundle::sorted(&place, celeba::is_face)?, "000001.jpg")?;
            let beside = place.parent().map(Path::to_owned).unwrap_or_default();
            celeba::open(path, bundle, &[path.to_owned(), beside], config)
        }
    }
}

/// Refuses what does not apply, rather than ignoring it.
fn check_settings(path: &Path, kind: Kind, config: &DataConfig) -> Result<()> {
    let has_split = match kind {
        Kind::CelebA => true,
        Kind::IdxFolder | Kind::NorbFolder => config.split != Some(Split::Valid),
        _ => false,
    };
    let refused = [
        ("key", config.key.is_some() && kind != Kind::Hdf5),
        ("layout", config.layout.is_some()),
        ("split", config.split.is_some_and(|split| split != Split::All) && !has_split),
    ];
    match refused.iter().find(|(_, set)| *set) {
        None => Ok(()),
        Some(("split", _)) => Err(Error::config(
            format!("{} has no part that data.split names", path.display()),
            "remove data.split; CelebA has train, valid and test, MNIST and SmallNORB, as folders, \
             train and test",
        )),
        Some((key, _)) => Err(Error::config(
            format!("data.{key} does not apply to {}", path.display()),
            format!("remove data.{key}"),
        )),
    }
}

/// The files of the training and the test set, as far as they are wanted.
fn parts(
    folder: &Path,
    files: [Option<PathBuf>; 2],
    config: &DataConfig,
    open: impl Fn(&Path) -> Result<Raw>,
) -> Result<Raw> {
    let [train, test] = files;
    let wanted = match config.split {
        Some(Split::Train) => vec![train],
        Some(Split::Test) => vec![test],
        _ => vec![train, test],
    };
    let files: Vec<PathBuf> = wanted.into_iter().flatten().collect();
    if files.is_empty() {
        let reason = "the files of this part are not in it";
        return Err(Error::file_hint(folder, reason, "download them, or change data.split"));
    }
    let parts = files.iter().map(|file| open(file)).collect::<Result<Vec<_>>>()?;
    Raw::concat(folder, parts)
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
fn faces(folder: &Path) -> Option<PathBuf> {
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

#[cfg(test)]
mod tests;

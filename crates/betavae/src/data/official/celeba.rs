//! CelebA (Liu et al. 2015), aligned and cropped: `img_align_celeba.zip` or the folder in it.
//!
//! `list_attr_celeba` beside it has 40 attributes per image, -1 or 1, which become factors of two classes;
//! `list_eval_partition` says which images are for training, validation and test. Both are `.txt` as the
//! authors publish them, or `.csv` as Kaggle does.

use std::path::{Path, PathBuf};

use super::super::Factors;
use super::super::bundle::Bundle;
use super::super::labels::{self, FoundLabels, ImagesToLabel};
use super::super::stored::{OpenContext, StoredDataset};
use super::{Split, celeba_images, not_empty, pictures};
use crate::error::{Error, Result};
use crate::table::{Table, TableRole};

const ATTRIBUTES: &str = "list_attr_celeba";
const PARTITION: &str = "list_eval_partition";

/// Whether a file in an archive or folder is an aligned image.
pub(super) fn is_face(name: &Path) -> bool {
    let file = name.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    let number = file.strip_suffix(".jpg").or(file.strip_suffix(".png"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|x| x.is_ascii_digit()))
}

/// Opens the images, 64x64 in RGB unless configured otherwise.
pub(super) fn open(path: &Path, opening: &mut OpenContext<'_>) -> Result<StoredDataset> {
    let place = celeba_images(path).unwrap_or_else(|| path.to_owned());
    let mut bundle = not_empty(path, Bundle::sorted(&place, is_face)?, "000001.jpg")?;
    let beside = place.parent().map(Path::to_owned).unwrap_or_default();
    let list = |name: &str| {
        let folders = [path, &beside];
        let lists = folders
            .iter()
            .flat_map(|folder| ["txt", "csv"].map(|end| folder.join(name).with_extension(end)));
        lists.into_iter().find(|list| list.is_file())
    };
    if let Some(split) = opening.config.split.filter(|split| *split != Split::All) {
        let Some(partition) = list(PARTITION) else {
            return Err(Error::file_hint(
                path,
                format!(
                    "data.split is set, but neither {PARTITION}.txt nor .csv lies beside the images"
                ),
                "download it from the same place, or remove data.split",
            ));
        };
        let wanted = match split {
            Split::Train => 0.0,
            Split::Valid => 1.0,
            _ => 2.0,
        };
        let parts = with_files(&bundle, path, |images| {
            let gaps = labels::GapPolicy::Refused("download the list again");
            labels::of_table(Table::read(&partition, TableRole::Factors)?, images, gaps)
        })?;
        let parts = parts.factors.ok_or_else(|| Error::file(&partition, "it has no parts"))?;
        let part = |index: usize| parts.factors()[0].values[parts.classes(index)[0]];
        bundle.keep(|index| part(index) == wanted);
        if bundle.len() == 0 {
            return Err(Error::file(&partition, "none of the images is in this part"));
        }
    }
    let attributes = match list(ATTRIBUTES) {
        None => {
            opening.notes.push(format!(
                "no factors: neither {ATTRIBUTES}.txt nor .csv lies beside the images"
            ));
            None
        }
        Some(list) => {
            let name = list.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let table = Table::read(&list, TableRole::Factors);
            let FoundLabels { factors, notes } =
                with_files(&bundle, path, |images| labels::labels_beside(table, &name, images))?;
            opening.notes.extend(notes);
            factors.map(zero_or_one)
        }
    };
    pictures(path, bundle, opening, "CelebA", attributes)
}

/// Calls `with` what the names of a bundle's files are labels for.
fn with_files<T>(
    bundle: &Bundle,
    path: &Path,
    with: impl FnOnce(&ImagesToLabel<'_>) -> Result<T>,
) -> Result<T> {
    let files: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    with(&ImagesToLabel { path, len: files.len(), files: Some(&files) })
}

/// Attributes that are absent are 0 here, and -1 in the list; other lists are taken as they are.
fn zero_or_one(mut factors: Factors) -> Factors {
    if factors.factors().iter().flat_map(|factor| &factor.values).all(|value| value.abs() == 1.0) {
        factors.map_values(|value| value.max(0.0));
    }
    factors
}

//! Parts of a data set that are named by its folders or files: `train/`, `test-00000.parquet`.

use std::path::{Path, PathBuf};

use super::{DataConfig, Split};
use crate::error::{Error, Result};
use crate::words::{counted, thousands};

/// The positions of the files that are wanted. Several parts that are read together are noted.
///
/// # Errors
/// If a part is wanted and the names have none.
pub(super) fn choose(
    path: &Path,
    files: &[PathBuf],
    wanted: Option<Split>,
    thing: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>> {
    let parts = parts(files);
    let all = || (0..files.len()).collect();
    let count = |part: Split| parts.iter().flatten().filter(|other| **other == part).count();
    let there: Vec<Split> = Split::PARTS.into_iter().filter(|part| count(*part) > 0).collect();
    match wanted {
        Some(part) if part != Split::All => {
            let chosen: Vec<usize> =
                (0..files.len()).filter(|file| parts.get(*file) == Some(&Some(part))).collect();
            if chosen.is_empty() {
                let names: Vec<&str> = there.iter().map(|part| part.name()).collect();
                let found = if names.is_empty() { "no part".into() } else { names.join(", ") };
                let (name, path) = (part.name(), path.display());
                return Err(Error::config(
                    format!("data.split is {name}, but the names in {path} tell {found}"),
                    "parts are told by folders or files called train, valid (val, validation) and test",
                ));
            }
            Ok(chosen)
        }
        None if there.len() > 1 => {
            let counts: Vec<String> = there
                .iter()
                .map(|part| format!("{} {}", part.name(), thousands(count(*part))))
                .collect();
            notes.push(format!(
                "parts are read together, {} in all: {}; `--set data.split={}` reads one",
                counted(files.len(), thing),
                counts.join(", "),
                there[0].name()
            ));
            Ok(all())
        }
        _ => Ok(all()),
    }
}

/// Refuses `data.split` where there are no parts.
pub(super) fn refuse(path: &Path, config: &DataConfig) -> Result<()> {
    choose(path, &[], config.split, "image", &mut Vec::new()).map(drop)
}

/// The part of each file; `None` where its name has none.
fn parts(files: &[PathBuf]) -> Vec<Option<Split>> {
    if let Some(level) = level(files) {
        return files.iter().map(|file| folder(file, level)).collect();
    }
    // Names such as `train-00000-of-00001.parquet`, which count only if all files have one.
    let within = |file: &PathBuf| Split::within(&file.file_name()?.to_string_lossy());
    let parts: Vec<Option<Split>> = files.iter().map(within).collect();
    match parts.iter().all(Option::is_some) {
        true => parts,
        false => vec![None; files.len()],
    }
}

/// The part that the folder at `level` of a file's path is named after.
fn folder(file: &Path, level: usize) -> Option<Split> {
    let name = file.parent()?.iter().nth(level)?;
    Split::of(&name.to_string_lossy())
}

/// The depth of the folders that are named after parts: the first level that has two parts, or one part that has
/// all files.
pub(super) fn level(files: &[PathBuf]) -> Option<usize> {
    (0..4).find(|level| {
        let parts: Vec<Option<Split>> = files.iter().map(|file| folder(file, *level)).collect();
        let has = |part: Split| parts.contains(&Some(part));
        let told = Split::PARTS.into_iter().filter(|part| has(*part)).count();
        told > 1 || (told == 1 && parts.iter().all(Option::is_some))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], wanted: Option<Split>) -> Result<(Vec<usize>, Vec<String>)> {
        let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let mut notes = Vec::new();
        choose(Path::new("x"), &files, wanted, "image", &mut notes).map(|chosen| (chosen, notes))
    }

    #[test]
    fn folders_and_files_tell_parts() {
        let folders = ["a/train/x.png", "a/val/y.png", "a/train/test/z.png"];
        assert_eq!(chosen(&folders, Some(Split::Train)).unwrap().0, [0, 2]);
        let (all, notes) = chosen(&folders, None).unwrap();
        assert_eq!(all, [0, 1, 2]);
        assert!(notes[0].contains("train 2, valid 1; `--set data.split=train`"), "{notes:?}");
        assert!(chosen(&folders, Some(Split::All)).unwrap().1.is_empty());
        let files = ["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"];
        assert_eq!(chosen(&files, Some(Split::Test)).unwrap().0, [0]);
    }

    #[test]
    fn a_part_that_nothing_tells_is_refused() {
        for names in [&["x.png", "y.png"][..], &["train/x.png", "y.png"], &["train.png", "x.png"]] {
            let error = chosen(names, Some(Split::Test)).unwrap_err().to_string();
            assert!(error.contains("data.split is test"), "{error}");
            assert!(chosen(names, None).unwrap().1.is_empty());
        }
    }
}

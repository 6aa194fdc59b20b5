//! One file per group of commands, and what they share.

pub mod advise;
pub mod bench;
pub mod bottleneck;
pub mod codes;
pub mod data;
pub mod describe;
pub mod devices;
pub mod evaluate;
pub mod explore;
pub mod export;
pub mod figures;
pub mod generate;
pub mod pictures;
pub mod recipes;
pub mod report;
pub mod score;
pub mod sweep;
pub mod train;
pub mod watch;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use betavae::checkpoint::Trained;
use betavae::config::change_data;
use betavae::cpu;
use betavae::data::{DataConfig, Dataset, config_for_model, open_with_progress};
use betavae::evaluate::check_shape;
use betavae::files::extension_of;
use betavae::model::Precision;

use crate::args::Images;
use crate::output::say;
use crate::progress;

/// Opens images for a model, with the settings of its training where none are given, and says what was read.
fn open_for(trained: &Trained, images: &Images) -> anyhow::Result<Arc<dyn Dataset>> {
    let shape = trained.model.network().image;
    let data = config_for_model(&trained.description.data()?, images.data.as_deref(), shape)?;
    if images.data.is_none() {
        check_there(&data)?;
    }
    let data = open(&change_data(&data, &images.set)?, trained.description.seed)?;
    check_shape(&trained.model, &*data)?;
    Ok(data)
}

/// Refuses a model whose own data is unknown or has gone, before its reader finds no file.
fn check_there(data: &DataConfig) -> anyhow::Result<()> {
    let (message, path) = match (&data.name, &data.path) {
        (None, None) => ("it is not known what the model was trained on".to_owned(), None),
        (_, Some(path)) if !path.exists() => {
            (format!("{}: the images of the training are not there", path.display()), Some(path))
        }
        _ => return Ok(()),
    };
    let hint = match path {
        None => "name images with `--data INPUT`",
        Some(_) => "name the place where they are now, or other images, with `--data INPUT`",
    };
    Err(betavae::Error::Config { message, hint: hint.into() }.into())
}

/// Opens a data set, with a bar while many images are looked at, and says what was read.
fn open(config: &DataConfig, seed: u64) -> anyhow::Result<Arc<dyn Dataset>> {
    let data = open_quietly(config, seed)?;
    say(&format!("{}: {}", data.name(), data.description()));
    for note in data.notes() {
        say(&format!("  {note}"));
    }
    Ok(data)
}

/// Opens a data set, with a bar while many images are looked at.
fn open_quietly(config: &DataConfig, seed: u64) -> anyhow::Result<Arc<dyn Dataset>> {
    let mut opening = progress::Opening::default();
    let data = open_with_progress(config, seed, &mut |done, total| opening.update(done, total));
    opening.finish();
    Ok(data?)
}

/// Warns of a precision that is slow on this machine.
fn warn_if_emulated(precision: Precision) -> anyhow::Result<()> {
    if precision == Precision::Bf16 && !cpu::has_bf16() {
        let found = cpu::instruction_set()?;
        say(&format!(
            "warning: no AVX-512 BF16 instructions, only {found}: precision bf16 is emulated and \
             slower than f32"
        ));
    }
    Ok(())
}

/// Where a figure goes that was not told: the run's figures folder, else the current folder.
fn figure_path(model: &Path, output: Option<PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
    if let Some(output) = output {
        return Ok(output);
    }
    if !model.join("config.toml").exists() {
        return Ok(PathBuf::from(name));
    }
    let folder = model.join("figures");
    create_folder(&folder)?;
    Ok(folder.join(name))
}

/// Makes a folder and those it is in, where they are not there.
fn create_folder(folder: &Path) -> betavae::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| betavae::Error::io("create", folder, error))
}

/// Writes a file of the command line's own.
fn write_file(path: &Path, content: impl AsRef<[u8]>) -> betavae::Result<()> {
    std::fs::write(path, content).map_err(|error| betavae::Error::io("write", path, error))
}

/// A path from the root, for what must be found again from elsewhere, without `..` where leaving it out
/// means the same file.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    // Behind a link, `..` leads elsewhere.
    let same = match (path.canonicalize(), clean.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => true,
        _ => false,
    };
    Ok(if same { clean } else { path })
}

/// Refuses an output file of a kind that is not written, before any work is done.
fn check_ending(path: &Path, known: &[&str]) -> anyhow::Result<()> {
    if known.contains(&&*extension_of(path)) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(|ending| format!(".{ending}")).collect();
    Err(unknown_format(path, &known.join(" or ")))
}

/// The error for an output file of a kind we do not write.
fn unknown_format(path: &Path, formats: &str) -> anyhow::Error {
    betavae::Error::Config {
        message: format!("{}: expected a file name ending in {formats}", path.display()),
        hint: String::new(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_without_detours_unless_a_link_makes_them_one() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        assert_eq!(absolute(&root.join("a/./b/../b")).unwrap(), root.join("a/b"));
        assert_eq!(absolute(&root.join("no/../such")).unwrap(), root.join("such"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("a/b"), root.join("link")).unwrap();
            assert_eq!(absolute(&root.join("link/../b")).unwrap(), root.join("link/../b"));
        }
    }
}

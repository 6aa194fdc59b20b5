//! Checkpoints and what can be loaded as a model.
//!
//! A checkpoint is a folder `step-000012000` with `model.safetensors`, `optimizer.safetensors`, where the objective
//! has networks of its own `objective.safetensors`, `state.toml`, and `DONE`, which holds the SHA-256 of the others
//! (`sha256sum -c DONE` checks them). It is written under another name and renamed when complete; without a valid
//! `DONE` it does not count.

mod description;
mod state;

pub use description::Description;
pub use state::{State, Window};

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Device;
use crate::error::{Error, IoContext, Result};
use crate::files;
use crate::model::safetensors::{Parsed, read_safetensors, to_safetensors};
use crate::model::{BetaVae, NamedTensor};
use crate::objective::ObjectiveState;
use crate::optimizer::Optimizer;

/// What every checkpoint has.
const FILES: [&str; 3] = ["model.safetensors", "optimizer.safetensors", "state.toml"];

/// What it has where the objective has networks of its own.
const OBJECTIVE: &str = "objective.safetensors";

/// What [`read`] finds in a checkpoint.
pub(crate) struct Checkpoint {
    pub(crate) model: Vec<NamedTensor>,
    pub(crate) optimizer: Vec<NamedTensor>,
    pub(crate) objective: ObjectiveState,
    pub(crate) state: State,
}

/// A trained model with its description.
#[derive(Debug)]
pub struct Trained {
    /// The network.
    pub model: BetaVae,
    /// The network, the step, the KL per latent.
    pub description: Description,
    /// The file it came from.
    pub path: PathBuf,
}

impl Trained {
    /// Loads MODEL: a run folder (its newest complete checkpoint), a checkpoint folder, or a
    /// `.safetensors` file written by this library.
    ///
    /// # Errors
    /// If there is no such thing at `path`, or it is damaged.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let file = if path.is_dir() { model_file(path)? } else { path.to_owned() };
        let content = fs::read(&file).context("read", &file)?;
        let parsed = Parsed::new(&file, &content)?;
        let description = Description::from_toml(&file, parsed.description()?)?;
        let model = description.model.with_weights(parsed.tensors()?, device)?;
        Ok(Self { model, description, path: file })
    }

    /// Order of the latents by falling KL; as they come where the KL is unknown.
    pub fn latents_by_kl(&self) -> Vec<usize> {
        let kl = &self.description.kl_per_latent;
        let mut order: Vec<usize> = (0..self.model.latents()).collect();
        if kl.len() == order.len() {
            order.sort_by(|a, b| kl[*b].total_cmp(&kl[*a]));
        }
        order
    }
}

fn model_file(folder: &Path) -> Result<PathBuf> {
    if folder.join("DONE").exists() {
        verify(folder)?;
        return Ok(folder.join(FILES[0]));
    }
    match newest(&folder.join("checkpoints"))? {
        (Some(checkpoint), _) => Ok(checkpoint.join(FILES[0])),
        (None, damaged) => Err(Error::file_hint(
            folder,
            match damaged.first() {
                Some(reason) => format!("no complete checkpoint ({reason})"),
                None => "no checkpoint in this folder".into(),
            },
            "expected a run folder, one of its checkpoints, or a .safetensors file",
        )),
    }
}

/// The newest complete checkpoint of a folder, and one line about each newer one that is damaged.
pub fn newest(checkpoints: &Path) -> Result<(Option<PathBuf>, Vec<String>)> {
    let mut damaged = Vec::new();
    for (_, path) in list(checkpoints)?.into_iter().rev() {
        match verify(&path) {
            Ok(()) => return Ok((Some(path), damaged)),
            Err(error) => damaged.push(match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            }),
        }
    }
    Ok((None, damaged))
}

/// Step and path of every checkpoint folder, complete or not, oldest first.
pub fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    if !checkpoints.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(checkpoints).context("read", checkpoints)? {
        let path = entry.context("read", checkpoints)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(step) = name.strip_prefix("step-").and_then(|digits| digits.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Checks that every file of a checkpoint is there and has the content `DONE` promises.
fn verify(checkpoint: &Path) -> Result<()> {
    let done = checkpoint.join("DONE");
    let sums = fs::read_to_string(&done).context("read", &done)?;
    let sums: BTreeMap<&str, &str> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, name)| (name, sum))
        .collect();
    if let Some(name) = FILES.iter().find(|name| !sums.contains_key(**name)) {
        return Err(Error::file(&done, format!("no checksum of {name}")));
    }
    for (name, expected) in sums {
        let path = checkpoint.join(name);
        let found = files::sha256(&fs::read(&path).context("read", &path)?);
        if found != expected {
            let reason = format!("damaged: expected SHA-256 {expected}, found {found}");
            return Err(Error::file(&path, reason));
        }
    }
    Ok(())
}

/// Writes a complete checkpoint and returns its folder.
///
/// # Errors
/// If the disk does; nothing that existed before is touched then.
pub(crate) fn write(
    checkpoints: &Path,
    model: &BetaVae,
    optimizer: &Optimizer,
    objective: &ObjectiveState,
    state: &State,
    description: &Description,
) -> Result<PathBuf> {
    let contents = [
        model_bytes(model, description)?,
        to_safetensors(&optimizer.to_named_tensors(), "")?,
        state.to_toml(&objective.numbers).into_bytes(),
    ];
    let mut files: Vec<(&str, Vec<u8>)> = FILES.into_iter().zip(contents).collect();
    if !objective.tensors.is_empty() {
        files.push((OBJECTIVE, to_safetensors(&objective.tensors, "")?));
    }
    let name = format!("step-{:09}", state.step);
    let (folder, temporary) = (checkpoints.join(&name), checkpoints.join(format!(".tmp-{name}")));
    fs::create_dir_all(checkpoints).context("create", checkpoints)?;
    remove_if_there(&temporary)?;
    let written = (|| {
        fs::create_dir(&temporary).context("create", &temporary)?;
        let mut done = String::new();
        for (name, content) in &files {
            files::write_synced(&temporary.join(name), content)?;
            done += &format!("{}  {name}\n", files::sha256(content));
        }
        files::write_synced(&temporary.join("DONE"), done.as_bytes())?;
        files::sync_folder(&temporary)?;
        // A folder of this name can only be a damaged one, or the same step written again.
        remove_if_there(&folder)?;
        fs::rename(&temporary, &folder).context("rename", &temporary)?;
        files::sync_folder(checkpoints)
    })();
    if written.is_err() {
        // Give the space back; the error that matters is the first one.
        let _ = fs::remove_dir_all(&temporary);
    }
    written.map(|()| folder)
}

/// A self-describing model file in memory.
pub fn model_bytes(model: &BetaVae, description: &Description) -> Result<Vec<u8>> {
    to_safetensors(&model.to_named_tensors(), &description.to_toml())
}

/// Deletes all but the newest `keep` checkpoints; 0 keeps all.
pub fn retain(checkpoints: &Path, keep: usize) -> Result<()> {
    let found = list(checkpoints)?;
    let surplus = if keep == 0 { 0 } else { found.len().saturating_sub(keep) };
    for (_, path) in &found[..surplus] {
        fs::remove_dir_all(path).context("delete", path)?;
    }
    Ok(())
}

/// Reads the tensors and the state of a checkpoint that [`newest`] returned.
pub(crate) fn read(checkpoint: &Path) -> Result<Checkpoint> {
    let path = checkpoint.join(FILES[2]);
    let text = fs::read_to_string(&path).context("read", &path)?;
    let (state, numbers) = State::from_toml(&path, &text)?;
    let own = checkpoint.join(OBJECTIVE);
    let tensors = if own.exists() { read_safetensors(&own)? } else { Vec::new() };
    Ok(Checkpoint {
        model: read_safetensors(&checkpoint.join(FILES[0]))?,
        optimizer: read_safetensors(&checkpoint.join(FILES[1]))?,
        objective: ObjectiveState { numbers, tensors },
        state,
    })
}

fn remove_if_there(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("delete", folder)
        }
        _ => Ok(()),
    }
}

//! Checkpoints of PyTorch programs, in and out.
//!
//! | module | what it is |
//! | --- | --- |
//! | `read` | tensors by name, from every container that `torch.save` has written, and from safetensors |
//! | `write` | a state dict that `torch.load` accepts |
//! | `layout` | how two peers name and arrange what is a [`crate::model::BetaVae`] here |
//!
//! Nothing in a file is executed: a pickle is read as data, objects other than containers, numbers and
//! tensors become their name, and where the weights should be, such a name is an error.

mod layout;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use crate::model::PeerLayout;

use std::path::Path;

use crate::Device;
use crate::checkpoint::{Description, Trained};
use crate::config::{Config, Recipe};
use crate::error::{Error, Result};

/// A model of another program, converted to a betavae model.
#[derive(Debug)]
pub struct Imported {
    /// The model.
    pub trained: Trained,
    /// What is known of its training.
    pub config: Config,
    /// Which program it comes from.
    pub layout: PeerLayout,
    /// What the file does not say, and what was put there instead, a line each.
    pub assumptions: Vec<String>,
}

/// What a file does not say by itself.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Which program wrote it; found out otherwise.
    pub layout: Option<PeerLayout>,
    /// What stands before the names of the tensors that are meant, such as `ema.`, where the file holds more
    /// than one copy of the network.
    pub prefix: Option<String>,
    /// Changes of the configuration, of the form `section.key=value`, such as `objective.beta=10`.
    pub changes: Vec<String>,
}

/// Reads the weights of disentangling-vae (`model.pt`) or PyTorch-VAE (`.ckpt`, or a state dict), written by
/// `torch.save` or as safetensors.
///
/// Network, image shape and number of latents follow from the shapes of the tensors. A `specs.json`
/// beside a `model.pt` is used where it says more. Names may have any prefix, and those of
/// `torch.compile`, `DataParallel` and their like between their parts.
///
/// # Errors
/// If the file is damaged, holds something other than tensors among the weights, is of another network, or
/// holds several copies and the options do not choose one.
pub fn import(path: &Path, options: &ImportOptions, device: &Device) -> Result<Imported> {
    let file = read::open(path)?;
    let copy = file.find(options.layout, options.prefix.as_deref())?;
    let (layout, changes) = (copy.layout, &options.changes);
    let tensors = file.tensors(&copy)?;
    let wrap = |error: Error| Error::file_hint(path, error.to_string(), error.hint().unwrap_or(""));
    let (recipe, assumptions) = layout.recipe(&tensors, path)?;
    let (recipe, _) = Recipe::with_changes(&recipe, changes)?;
    let image = recipe.model.image.unwrap_or_else(|| unreachable!("every layout's recipe has it"));
    let config = recipe.resolve(image)?;
    let network = config.model().network();
    // Shapes of empty tensors could ask for any amount of memory.
    let values = tensors.values().map(|tensor| tensor.values.len()).sum();
    if network.values().is_none_or(|needed| needed > values) {
        let reason = format!("its tensors have {values} values, fewer than their network needs");
        return Err(Error::file_hint(path, reason, "is the file complete?"));
    }
    let tensors = layout.to_ours(tensors, network).map_err(wrap)?;
    let model = config.model().with_weights(tensors, device).map_err(wrap)?;
    let description = Description::new(&config, 0, Vec::new());
    let trained = Trained { model, description, path: path.to_owned() };
    check_finite(&trained)?;
    Ok(Imported { trained, config, layout, assumptions })
}

/// The model as a state dict of a peer, in the zip format of `torch.save`.
///
/// # Errors
/// If the peer has no such network.
pub(crate) fn state_dict(trained: &Trained, layout: PeerLayout) -> Result<Vec<u8>> {
    let network = trained.model.network();
    layout.check(network)?;
    let tensors = layout.to_theirs(trained.model.to_named_tensors(), network)?;
    write::state_dict(&tensors, &layout.counters(network), trained.description.step)
}

/// A network of NaNs loads without complaint and shows nothing; better to say so at once.
fn check_finite(trained: &Trained) -> Result<()> {
    let tensors = trained.model.to_named_tensors();
    match tensors.iter().find(|tensor| tensor.values.iter().any(|value| !value.is_finite())) {
        None => Ok(()),
        Some(tensor) => Err(Error::file_hint(
            &trained.path,
            format!("{} holds values that are infinite or not numbers", tensor.name),
            "the training of this model diverged",
        )),
    }
}

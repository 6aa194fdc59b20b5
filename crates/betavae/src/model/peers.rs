//! Programs whose networks exist here too, and how to find their tensors by name.

use std::collections::BTreeSet;

use super::config::Architecture;

/// A program whose checkpoints exist in the wild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerLayout {
    /// disentangling-vae: the Burgess network for 64x64 or 32x32 images; one linear layer makes means and
    /// log-variances in alternating rows.
    DisentanglingVae,
    /// PyTorch-VAE's `BetaVAE`, `VanillaVAE` and their kin, with any widths.
    PytorchVae,
}

/// Names that PyTorch and its trainers put between the parts of a tensor's name, such as `_orig_mod` of
/// `torch.compile` and `module` of `DataParallel`.
const WRAPPERS: [&str; 7] = [
    "_orig_mod",
    "module",
    "model",
    "ema",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
];

impl PeerLayout {
    /// Every layout.
    pub const ALL: [PeerLayout; 2] = [PeerLayout::DisentanglingVae, PeerLayout::PytorchVae];

    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            PeerLayout::DisentanglingVae => "disentangling-vae",
            PeerLayout::PytorchVae => "pytorch-vae",
        }
    }

    /// The layout of the networks of this architecture, if it has one.
    pub fn of(architecture: Architecture) -> Option<Self> {
        match architecture {
            Architecture::Burgess => Some(PeerLayout::DisentanglingVae),
            Architecture::PytorchVae => Some(PeerLayout::PytorchVae),
            _ => None,
        }
    }

    /// A tensor that only this layout has.
    pub(crate) fn marker(self) -> &'static str {
        match self {
            PeerLayout::DisentanglingVae => "encoder.mu_logvar_gen.weight",
            PeerLayout::PytorchVae => "encoder.0.0.weight",
        }
    }

    /// The layout whose tensors are among `names`, and what stands before the names of each copy.
    pub(crate) fn find<'a, I>(names: impl Fn() -> I) -> Option<(Self, Vec<String>)>
    where
        I: Iterator<Item = &'a str>,
    {
        let found = |layout: &Self| Some((*layout, layout.prefixes(names())));
        Self::ALL.iter().filter_map(found).find(|(_, prefixes)| !prefixes.is_empty())
    }

    /// What stands before the names of each copy of this network, sorted: `state_dict.model.` in a Lightning
    /// checkpoint, nothing in a plain state dict, two prefixes where averaged weights lie beside the others.
    pub(crate) fn prefixes<'a>(self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let found: BTreeSet<String> =
            names.filter_map(|name| before(name, self.marker())).collect();
        found.into_iter().collect()
    }
}

/// What stands before `marker` at the end of `name`, where wrappers may lie between the marker's parts.
fn before(name: &str, marker: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let mut at = parts.len();
    for wanted in marker.rsplit('.') {
        loop {
            at = at.checked_sub(1)?;
            if parts[at] == wanted {
                break;
            }
            if !WRAPPERS.contains(&parts[at]) {
                return None;
            }
        }
    }
    Some(parts[..at].iter().map(|part| format!("{part}.")).collect())
}

/// The name of a tensor within the copy below `prefix`, without wrappers; nothing if it belongs to another
/// of the `copies`, or to none.
#[cfg(any(test, feature = "export"))]
pub(crate) fn name_within(name: &str, prefix: &str, copies: &[String]) -> Option<String> {
    let rest = name.strip_prefix(prefix)?;
    let elsewhere = |other: &String| other.len() > prefix.len() && name.starts_with(other.as_str());
    // What counts the steps of an average lies beside it, as in `model_ema.num_updates`.
    let top = rest.split('.').next().unwrap_or_default();
    let average = rest.contains('.') && top.split('_').any(|word| word == "ema");
    if average || copies.iter().any(elsewhere) {
        return None;
    }
    let parts: Vec<&str> = rest.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_found_through_wrappers() {
        for (name, prefix) in [
            ("encoder.0.0.weight", Some("")),
            ("state_dict.model.encoder.0.0.weight", Some("state_dict.model.")),
            ("encoder._orig_mod.0.0.weight", Some("")),
            ("ema.module.encoder.module.0._orig_mod.0.weight", Some("ema.module.")),
            ("anencoder.0.0.weight", None),
            ("encoder.block.0.0.weight", None),
            ("0.weight", None),
        ] {
            assert_eq!(before(name, "encoder.0.0.weight").as_deref(), prefix, "{name}");
        }
    }

    #[test]
    fn names_are_those_of_one_copy() {
        let copies = ["".to_owned(), "ema.module.".to_owned()];
        let within = |name, prefix| name_within(name, prefix, &copies);
        assert_eq!(within("encoder._orig_mod.0.0.bias", "").unwrap(), "encoder.0.0.bias");
        assert_eq!(within("ema.module.encoder.0.0.bias", ""), None);
        assert_eq!(
            within("ema.module.encoder.0.0.bias", "ema.module.").unwrap(),
            "encoder.0.0.bias"
        );
        assert_eq!(within("model_ema.num_updates", ""), None);
        assert_eq!(within("fc_mu.bias", "ema.module."), None);
    }
}

//! The `[objective]` table: which objective, its settings, and the reduction that all kinds share.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::ada::{AdaGvae, AdaMlVae};
use super::b::LossB;
use super::beta_tcvae::BetaTcvaeConfig;
use super::control_vae::ControlVaeConfig;
use super::dip_vae::{DipVaeI, DipVaeII};
use super::dynamic_vae::DynamicVaeConfig;
use super::factor_vae::FactorVaeConfig;
use super::h::LossH;
use super::loss::{Settings, at_least};
use super::reduction::Reduction;
use super::terms::beta_norm;
use crate::data::PairsConfig;
use crate::error::{Error, Result};
use crate::model::Likelihood;
use crate::tagged::{Tagged, keys, to_table};

/// Which objective, with its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ObjectiveKind {
    /// `h`: Higgins et al. 2017.
    H(LossH),
    /// `b`: Burgess et al. 2018.
    B(LossB),
    /// `factor-vae`: Kim and Mnih 2018.
    FactorVae(FactorVaeConfig),
    /// `beta-tcvae`: Chen et al. 2018.
    BetaTcvae(BetaTcvaeConfig),
    /// `dip-vae-i`: Kumar et al. 2018.
    DipVaeI(DipVaeI),
    /// `dip-vae-ii`: Kumar et al. 2018.
    DipVaeII(DipVaeII),
    /// `control-vae`: Shao et al. 2020.
    ControlVae(ControlVaeConfig),
    /// `dynamic-vae`: Shao et al. 2020, with a controller that moves beta in increments.
    DynamicVae(DynamicVaeConfig),
    /// `ada-gvae`: Locatello et al. 2020.
    AdaGvae(AdaGvae),
    /// `ada-ml-vae`: Locatello et al. 2020.
    AdaMlVae(AdaMlVae),
}

impl ObjectiveKind {
    /// Every kind with its defaults, the default kind first.
    pub fn all() -> [Self; 10] {
        [
            Self::H(LossH::default()),
            Self::B(LossB::default()),
            Self::FactorVae(FactorVaeConfig::default()),
            Self::BetaTcvae(BetaTcvaeConfig::default()),
            Self::DipVaeI(DipVaeI::default()),
            Self::DipVaeII(DipVaeII::default()),
            Self::ControlVae(ControlVaeConfig::default()),
            Self::DynamicVae(DynamicVaeConfig::default()),
            Self::AdaGvae(AdaGvae::default()),
            Self::AdaMlVae(AdaMlVae::default()),
        ]
    }

    /// Its name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::H(_) => "h",
            Self::B(_) => "b",
            Self::FactorVae(_) => "factor-vae",
            Self::BetaTcvae(_) => "beta-tcvae",
            Self::DipVaeI(_) => "dip-vae-i",
            Self::DipVaeII(_) => "dip-vae-ii",
            Self::ControlVae(_) => "control-vae",
            Self::DynamicVae(_) => "dynamic-vae",
            Self::AdaGvae(_) => "ada-gvae",
            Self::AdaMlVae(_) => "ada-ml-vae",
        }
    }

    /// The final weight in a word, for the points of a figure, such as `β 4`.
    pub fn label(&self) -> String {
        self.settings().label()
    }

    /// Beta, where there is one that weighs the KL.
    pub fn beta(&self) -> Option<f64> {
        self.settings().beta()
    }

    /// Which pairs of images it is trained on, where it needs pairs.
    pub fn pairs(&self) -> Option<&PairsConfig> {
        self.settings().pairs()
    }

    /// The same to be changed, as when its path is made absolute.
    pub fn pairs_mut(&mut self) -> Option<&mut PairsConfig> {
        match self {
            Self::AdaGvae(AdaGvae { pairs, .. }) | Self::AdaMlVae(AdaMlVae { pairs, .. }) => {
                Some(pairs)
            }
            Self::H(_)
            | Self::B(_)
            | Self::FactorVae(_)
            | Self::BetaTcvae(_)
            | Self::DipVaeI(_)
            | Self::DipVaeII(_)
            | Self::ControlVae(_)
            | Self::DynamicVae(_) => None,
        }
    }

    fn settings(&self) -> &dyn Settings {
        match self {
            Self::H(settings) => settings,
            Self::B(settings) => settings,
            Self::FactorVae(settings) => settings,
            Self::BetaTcvae(settings) => settings,
            Self::DipVaeI(settings) => settings,
            Self::DipVaeII(settings) => settings,
            Self::ControlVae(settings) => settings,
            Self::DynamicVae(settings) => settings,
            Self::AdaGvae(settings) => settings,
            Self::AdaMlVae(settings) => settings,
        }
    }

    /// The same kind with the settings of a table, and defaults for what it leaves out.
    fn read(&self, tagged: &Tagged, table: Table) -> Result<Self> {
        Ok(match self {
            Self::H(_) => Self::H(tagged.read(table)?),
            Self::B(_) => Self::B(tagged.read(table)?),
            Self::FactorVae(_) => Self::FactorVae(tagged.read(table)?),
            Self::BetaTcvae(_) => Self::BetaTcvae(tagged.read(table)?),
            Self::DipVaeI(_) => Self::DipVaeI(tagged.read(table)?),
            Self::DipVaeII(_) => Self::DipVaeII(tagged.read(table)?),
            Self::ControlVae(_) => Self::ControlVae(tagged.read(table)?),
            Self::DynamicVae(_) => Self::DynamicVae(tagged.read(table)?),
            Self::AdaGvae(_) => Self::AdaGvae(tagged.read(table)?),
            Self::AdaMlVae(_) => Self::AdaMlVae(tagged.read(table)?),
        })
    }
}

/// The resolved `[objective]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectiveConfig {
    /// Which objective, with its settings.
    pub kind: ObjectiveKind,
    /// The unit in which its constraint and the reconstruction are added.
    pub reduction: Reduction,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        let [first, ..] = ObjectiveKind::all();
        first.into()
    }
}

impl From<ObjectiveKind> for ObjectiveConfig {
    /// In nats per image.
    fn from(kind: ObjectiveKind) -> Self {
        Self { kind, reduction: Reduction::Sum }
    }
}

/// PyTorch-VAE's `kld_weight`, where none is given.
const KL_WEIGHT: f64 = 0.00025;

/// The keys that all kinds share.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Common {
    reduction: ReductionName,
    #[serde(skip_serializing_if = "Option::is_none")]
    kl_weight: Option<f64>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ReductionName {
    #[default]
    Sum,
    Mean,
}

/// What is known of the `[objective]` table.
pub(crate) fn tagged() -> Tagged {
    let kinds = ObjectiveKind::all().iter().map(|kind| (kind.name(), keys(kind))).collect();
    Tagged { section: "objective", kinds, common: &["reduction", "kl_weight"] }
}

impl ObjectiveConfig {
    /// Reads an `[objective]` table as people write it; what it leaves out has defaults.
    ///
    /// # Errors
    /// If the kind is unknown, a key is of another kind or of none, or a number is impossible.
    pub fn from_table(table: Table) -> Result<Self> {
        let tagged = tagged();
        let parts = tagged.split(table)?;
        let kind = ObjectiveKind::all().into_iter().find(|kind| kind.name() == parts.kind);
        let kind = kind.unwrap_or_else(|| unreachable!("`split` returns known kinds"));
        let config = Self {
            kind: kind.read(&tagged, parts.own)?,
            reduction: tagged.read::<Common>(parts.common)?.reduction()?,
        };
        config.check()?;
        Ok(config)
    }

    /// The table with every value.
    pub fn to_table(&self) -> Table {
        let common = match self.reduction {
            Reduction::Sum => Common::default(),
            Reduction::Mean { kl_weight } => {
                Common { reduction: ReductionName::Mean, kl_weight: Some(kl_weight) }
            }
        };
        let mut table = Table::from_iter([("kind".to_owned(), Value::from(self.kind.name()))]);
        table.extend(to_table(&self.kind));
        table.extend(to_table(&common));
        table
    }

    /// # Errors
    /// If a number is impossible.
    pub fn check(&self) -> Result<()> {
        self.kind.settings().check()?;
        match self.reduction {
            Reduction::Mean { kl_weight } => at_least("kl_weight", kl_weight, 0.0),
            Reduction::Sum => Ok(()),
        }
    }

    /// The objective in words, such as `loss H: reconstruction + 4 * KL (beta_norm 0.0098)`, for D latents and
    /// images of H * W * C values.
    pub fn describe(&self, likelihood: Likelihood, latents: usize, image_values: usize) -> String {
        let settings = self.kind.settings();
        let words = settings.describe(latents, image_values);
        let Reduction::Mean { kl_weight } = self.reduction else { return words };
        let weight = self.reduction.weight_in_nats(settings.weight(), likelihood, image_values);
        let norm = beta_norm(weight, latents, image_values);
        format!(
            "{words}; pixel means and kl_weight {kl_weight}: a weight of {weight:.4} in nats \
             (normalised {norm:.4})"
        )
    }
}

impl Common {
    fn reduction(&self) -> Result<Reduction> {
        match (self.reduction, self.kl_weight) {
            (ReductionName::Sum, None) => Ok(Reduction::Sum),
            (ReductionName::Sum, Some(_)) => Err(Error::config(
                "objective.kl_weight has no meaning for reduction = \"sum\"",
                "remove it, or set objective.reduction = \"mean\"",
            )),
            (ReductionName::Mean, weight) => {
                Ok(Reduction::Mean { kl_weight: weight.unwrap_or(KL_WEIGHT) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ObjectiveConfig> {
        ObjectiveConfig::from_table(text.parse().unwrap())
    }

    #[test]
    fn tables_are_filled_and_written_completely() {
        for kind in ObjectiveKind::all() {
            let config = read(&format!("kind = '{}'", kind.name())).unwrap();
            assert_eq!(config, kind.into());
            assert_eq!(ObjectiveConfig::from_table(config.to_table()).unwrap(), config);
        }
        let config = read("beta = 8\nreduction = 'mean'").unwrap();
        assert_eq!(config.kind, ObjectiveKind::H(LossH { beta: 8.0.into() }));
        assert_eq!(config.reduction, Reduction::Mean { kl_weight: KL_WEIGHT });
    }

    #[test]
    fn keys_are_refused_with_the_kinds_that_have_them() {
        let error = read("kind = 'h'\ngamma = 2.0").unwrap_err();
        assert_eq!(error.to_string(), "objective.gamma has no meaning for kind = \"h\"");
        assert_eq!(
            error.hint().unwrap(),
            "\"b\" and \"factor-vae\" and \"beta-tcvae\" have it; \"h\" is set by beta"
        );
        let error = read("betta = 2.0").unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `beta`?");
        for (text, part) in [
            ("kind = 'nonsense'", "`h`, `b`"),
            ("beta = 'x'", "[objective]"),
            ("reduction = 'max'", "`sum`"),
            ("kl_weight = 0.5", "kl_weight has no meaning"),
            ("kind = 'b'\nc_min = 3.0\nc_max = 2.0", "at least 3, found 2"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let table = "kind = 'b'\nbeta = 1.0\ngamma = 2.0\nx = 3".parse().unwrap();
        assert_eq!(tagged().keys_of_kinds(&table), ["beta", "gamma"]);
    }
}

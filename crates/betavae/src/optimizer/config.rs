//! The `[optimizer]` table.

#[cfg(feature = "gpu")]
use betavae_kernels::AdamStep;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::tagged::{Tagged, keys, to_table};

/// Constants of Adam (Kingma and Ba 2015), as PyTorch has them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 }
    }
}

/// Constants of Adagrad (Duchi et al. 2011), as PyTorch has them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adagrad {
    /// Added to the denominator.
    pub epsilon: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { epsilon: 1e-10 }
    }
}

/// How parameters follow from gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum UpdateRule {
    /// `adam`
    Adam(Adam),
    /// `adagrad`
    Adagrad(Adagrad),
}

impl UpdateRule {
    /// Every rule with its defaults, the default rule first.
    fn all() -> [Self; 2] {
        [Self::Adam(Adam::default()), Self::Adagrad(Adagrad::default())]
    }

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam(_) => "adam",
            Self::Adagrad(_) => "adagrad",
        }
    }

    /// Names of the state kept for each parameter.
    pub(crate) fn slots(self) -> &'static [&'static str] {
        match self {
            Self::Adam(_) => &["first_moment", "second_moment"],
            Self::Adagrad(_) => &["sum_of_squares"],
        }
    }
}

/// The resolved `[optimizer]` table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// Adam or Adagrad, with its constants.
    pub rule: UpdateRule,
    /// Step size.
    pub learning_rate: f64,
    /// The learning rate is multiplied by this...
    pub decay: f64,
    /// ...after every so many steps; 0 keeps it constant.
    pub decay_every: u64,
}

impl Default for OptimizerConfig {
    /// Adam with the papers' 5e-4.
    fn default() -> Self {
        Self::from_table(Table::new()).unwrap_or_else(|error| unreachable!("defaults: {error}"))
    }
}

/// The keys that all rules share.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Common {
    learning_rate: f64,
    decay: f64,
    decay_every: u64,
}

impl Default for Common {
    fn default() -> Self {
        Self { learning_rate: 5e-4, decay: 1.0, decay_every: 0 }
    }
}

/// What is known of the `[optimizer]` table.
pub(crate) fn tagged() -> Tagged {
    let kinds = UpdateRule::all().iter().map(|rule| (rule.name(), keys(rule))).collect();
    Tagged { section: "optimizer", kinds, common: &["learning_rate", "decay", "decay_every"] }
}

impl OptimizerConfig {
    /// Reads an `[optimizer]` table as people write it; what it leaves out has defaults.
    ///
    /// # Errors
    /// If the kind is unknown, a key is of another kind or of none, or a number is impossible.
    pub fn from_table(table: Table) -> Result<Self> {
        let tagged = tagged();
        let parts = tagged.split(table)?;
        let rule = UpdateRule::all().into_iter().find(|rule| rule.name() == parts.kind);
        let rule = match rule.unwrap_or_else(|| unreachable!("`split` returns known kinds")) {
            UpdateRule::Adam(_) => UpdateRule::Adam(tagged.read(parts.own)?),
            UpdateRule::Adagrad(_) => UpdateRule::Adagrad(tagged.read(parts.own)?),
        };
        let Common { learning_rate, decay, decay_every } = tagged.read(parts.common)?;
        let config = Self { rule, learning_rate, decay, decay_every };
        config.check()?;
        Ok(config)
    }

    /// The table with every value.
    pub fn to_table(&self) -> Table {
        let Self { rule, learning_rate, decay, decay_every } = *self;
        let mut table = Table::from_iter([("kind".to_owned(), Value::from(rule.name()))]);
        table.extend(to_table(&Common { learning_rate, decay, decay_every }));
        table.extend(to_table(&rule));
        table
    }

    /// # Errors
    /// If a number is impossible.
    pub fn check(&self) -> Result<()> {
        let (rate, decay) = (self.learning_rate, self.decay);
        let mut checks = vec![
            ("learning_rate", rate, rate > 0.0, "above 0"),
            ("decay", decay, decay > 0.0 && decay <= 1.0, "in (0, 1]"),
        ];
        let unit = |beta: f64| (0.0..1.0).contains(&beta);
        match self.rule {
            UpdateRule::Adam(Adam { beta_1, beta_2, epsilon }) => checks.extend([
                ("beta_1", beta_1, unit(beta_1), "in [0, 1)"),
                ("beta_2", beta_2, unit(beta_2), "in [0, 1)"),
                ("epsilon", epsilon, epsilon > 0.0, "above 0"),
            ]),
            UpdateRule::Adagrad(Adagrad { epsilon }) => {
                checks.push(("epsilon", epsilon, epsilon > 0.0, "above 0"));
            }
        }
        match checks.into_iter().find(|(_, value, ok, _)| !ok || !value.is_finite()) {
            None => Ok(()),
            Some((key, value, _, range)) => Err(Error::config(
                format!("optimizer.{key}: expected a number {range}, found {value}"),
                "",
            )),
        }
    }

    /// The learning rate of `step`, for Adam divided by the bias correction of the first moment, and the root of that of the
    /// second.
    #[cfg(feature = "gpu")]
    pub(crate) fn corrected_at(&self, step: u64) -> [f64; 2] {
        let learning_rate = self.learning_rate_at(step);
        match self.rule {
            UpdateRule::Adam(Adam { beta_1, beta_2, epsilon }) => {
                AdamStep { learning_rate, beta_1, beta_2, epsilon, step }.corrected()
            }
            UpdateRule::Adagrad(_) => [learning_rate, 1.0],
        }
    }

    /// The learning rate of `step`, which counts from 1.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        match (step - 1).checked_div(self.decay_every) {
            Some(decays) => self.learning_rate * self.decay.powf(decays as f64),
            None => self.learning_rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_decays_in_stairs() {
        let config = OptimizerConfig { decay: 0.5, decay_every: 10, ..Default::default() };
        let rates = [1, 10, 11, 21].map(|step| config.learning_rate_at(step) / 5e-4);
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.25]);
        assert_eq!(OptimizerConfig::default().learning_rate_at(10_000), 5e-4);
    }

    #[test]
    fn tables_are_filled_and_written_completely() {
        for kind in ["adam", "adagrad"] {
            let table = format!("kind = '{kind}'").parse().unwrap();
            let config = OptimizerConfig::from_table(table).unwrap();
            assert_eq!(config.rule.name(), kind);
            assert_eq!(OptimizerConfig::from_table(config.to_table()).unwrap(), config);
        }
    }

    #[test]
    fn impossible_numbers_and_constants_of_another_rule_are_refused_by_name() {
        for (text, parts) in [
            ("learning_rate = -1.0", ["optimizer.learning_rate", "-1"]),
            ("beta_2 = 1.0", ["optimizer.beta_2", "[0, 1)"]),
            ("kind = 'adagrad'\nbeta_1 = 0.9", ["optimizer.beta_1", "adagrad"]),
            ("kind = 'sgd'", ["`adam`", "sgd"]),
        ] {
            let error = OptimizerConfig::from_table(text.parse().unwrap()).unwrap_err();
            let message = error.to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
        }
    }
}

//! How a weight of an objective changes over the steps: constant, linear, cyclical or in stairs. The same for every
//! weight of every objective.

use serde::{Deserialize, Serialize};
use toml::Value;

use super::terms::{Term, Unit};
use crate::error::{Error, Result};
use crate::words::thousands;

/// A number, or a table that says how it changes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged, try_from = "toml::Value")]
pub enum Schedule {
    /// The same at every step.
    Constant(f64),
    /// Another at every step.
    Varying(Varying),
}

/// The tables: `{ schedule = "linear", from = 0.0, to = 4.0, steps = 1000 }` and their like.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "schedule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Varying {
    /// `from` for `wait` steps, then evenly to `to` within `steps` steps.
    Linear {
        /// At the beginning.
        #[serde(default)]
        from: f64,
        /// At the end.
        to: f64,
        /// Steps from one to the other.
        steps: u64,
        /// Steps before it begins to change.
        #[serde(default)]
        wait: u64,
    },
    /// Again and again from `from` to `to`, as in Fu et al. 2019, "Cyclical Annealing Schedule": evenly over the first
    /// `rise` of a period, then constant.
    Cyclical {
        /// At the beginning of each period.
        #[serde(default)]
        from: f64,
        /// At the end of each period.
        to: f64,
        /// Steps of a period.
        period: u64,
        /// The share of a period in which it changes.
        #[serde(default = "half")]
        rise: f64,
    },
    /// From `from` by `rise` every `every` steps, until `to`.
    Stairs {
        /// At the beginning.
        #[serde(default)]
        from: f64,
        /// At the end.
        to: f64,
        /// Height of a stair.
        rise: f64,
        /// Steps on a stair.
        every: u64,
    },
}

fn half() -> f64 {
    0.5
}

impl Schedule {
    /// The value at `step`, which counts from 1; before the first step it is that of the first.
    pub fn at(self, step: u64) -> f64 {
        let Self::Varying(varying) = self else { return self.last() };
        let step = step.max(1);
        match varying {
            Varying::Linear { from, to, steps, wait } => {
                let taken = step.saturating_sub(wait);
                let share = if steps == 0 { 1.0 } else { taken as f64 / steps as f64 };
                from + (to - from) * share.min(1.0)
            }
            Varying::Cyclical { from, to, period, rise } => {
                let share = ((step - 1) % period + 1) as f64 / period as f64;
                from + (to - from) * (share / rise).min(1.0)
            }
            Varying::Stairs { from, to, rise, every } => {
                let climbed = (step - 1) / every;
                (from + rise * climbed as f64).min(to)
            }
        }
    }

    /// The value at `step` as a term of this name, for metrics.
    pub(super) fn term(self, name: &'static str, step: u64) -> Term {
        Term::new(name, Unit::Number, self.at(step))
    }

    /// The value that it ends with, or that of the end of a period.
    pub fn last(self) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::Varying(
                Varying::Linear { to, .. }
                | Varying::Cyclical { to, .. }
                | Varying::Stairs { to, .. },
            ) => to,
        }
    }

    /// # Errors
    /// If a value is below `least` or not finite, or a length is 0.
    pub(super) fn check(self, key: &str, least: f64) -> Result<()> {
        let fine = |name: &str, value: f64, least: f64| match value.is_finite() && value >= least {
            true => Ok(()),
            false => Err(Error::config(
                format!(
                    "objective.{key}{name}: expected a finite number of at least {least}, found {value}"
                ),
                "",
            )),
        };
        let positive = |name: &str, ok: bool| match ok {
            true => Ok(()),
            false => {
                Err(Error::config(format!("objective.{key}.{name}: expected more than 0"), ""))
            }
        };
        match self {
            Self::Constant(value) => fine("", value, least),
            Self::Varying(varying) => {
                let (from, to) = match varying {
                    Varying::Linear { from, to, .. } => (from, to),
                    Varying::Cyclical { from, to, period, rise } => {
                        positive("period", period > 0)?;
                        positive("rise", rise > 0.0 && rise <= 1.0)?;
                        (from, to)
                    }
                    Varying::Stairs { from, to, rise, every } => {
                        positive("every", every > 0)?;
                        positive("rise", rise > 0.0 && rise.is_finite())?;
                        (from, to)
                    }
                };
                fine(".from", from, least)?;
                fine(".to", to, least)
            }
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl TryFrom<Value> for Schedule {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::Float(value) => Ok(Self::Constant(value)),
            Value::Integer(value) => Ok(Self::Constant(value as f64)),
            table @ Value::Table(_) => match table.try_into() {
                Ok(varying) => Ok(Self::Varying(varying)),
                Err(error) => Err(error.message().trim().to_owned()),
            },
            other => Err(format!(
                "expected a number, or a table such as {{ schedule = \"linear\", to = 4.0, steps = 1000 }}, \
                 found {other}"
            )),
        }
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Varying(varying) => write!(f, "{varying}"),
        }
    }
}

impl std::fmt::Display for Varying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = |steps: u64| thousands(steps as usize);
        match *self {
            Self::Linear { from, to, steps: within, wait } => {
                write!(f, "{from} to {to} in {} steps", steps(within))?;
                if wait > 0 { write!(f, " after {}", steps(wait)) } else { Ok(()) }
            }
            Self::Cyclical { from, to, period, .. } => {
                write!(f, "{from} to {to} every {} steps", steps(period))
            }
            Self::Stairs { from, to, rise, every } => {
                write!(f, "{from} to {to} by {rise} every {} steps", steps(every))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(schedule: Varying, steps: &[u64]) -> Vec<f64> {
        steps.iter().map(|step| Schedule::Varying(schedule).at(*step)).collect()
    }

    #[test]
    fn schedules_change_as_they_say() {
        let linear = Varying::Linear { from: 1.0, to: 5.0, steps: 4, wait: 2 };
        assert_eq!(at(linear, &[0, 1, 2, 3, 4, 6, 7]), [1.0, 1.0, 1.0, 2.0, 3.0, 5.0, 5.0]);
        let cyclical = Varying::Cyclical { from: 0.0, to: 4.0, period: 4, rise: 0.5 };
        assert_eq!(at(cyclical, &[1, 2, 3, 4, 5]), [2.0, 4.0, 4.0, 4.0, 2.0]);
        let stairs = Varying::Stairs { from: 0.5, to: 1.2, rise: 0.5, every: 3 };
        assert_eq!(at(stairs, &[0, 1, 3, 4, 7, 100]), [0.5, 0.5, 0.5, 1.0, 1.2, 1.2]);
        assert_eq!(Schedule::Constant(4.0).at(9), 4.0);
        let at_once = Varying::Linear { from: 0.0, to: 2.0, steps: 0, wait: 0 };
        assert_eq!(at(at_once, &[1]), [2.0]);
    }

    #[test]
    fn schedules_are_numbers_or_tables() {
        #[derive(Deserialize, Serialize, PartialEq, Debug)]
        struct Weights {
            beta: Schedule,
        }
        for text in [
            "beta = 4.0\n",
            "[beta]\nschedule = \"linear\"\nfrom = 0.0\nto = 4.0\nsteps = 9\nwait = 0\n",
        ] {
            let found: Weights = toml::from_str(text).unwrap();
            assert_eq!(toml::to_string(&found).unwrap(), text);
        }
        for (text, part) in [
            ("beta = 'high'", "expected a number, or a table"),
            ("beta = { schedule = 'square' }", "`cyclical`"),
            ("beta = { schedule = 'linear', to = 1.0, steps = 2, x = 3 }", "`x`"),
        ] {
            let error = toml::from_str::<Weights>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let short = "beta = { schedule = 'stairs', to = 16.0, rise = 0.15, every = 5000 }";
        let found: Weights = toml::from_str(short).unwrap();
        assert_eq!(found.beta.to_string(), "0 to 16 by 0.15 every 5,000 steps");
        let wrong = Varying::Stairs { from: 0.0, to: -1.0, rise: 1.0, every: 5 };
        let error = Schedule::Varying(wrong).check("beta", 0.0).unwrap_err().to_string();
        assert!(error.starts_with("objective.beta.to: expected"), "{error}");
        let wrong = Varying::Cyclical { from: 0.0, to: 1.0, period: 0, rise: 0.5 };
        assert!(Schedule::Varying(wrong).check("beta", 0.0).is_err());
    }
}

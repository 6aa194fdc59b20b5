//! Which pairs are wanted: the key `objective.pairs`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Value;

/// Which pairs of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum PairsConfig {
    /// `"random"`: images that differ in any number of factors, from one to all but one; each number is as frequent.
    #[default]
    Random,
    /// A number: images that differ in so many factors.
    Changed(usize),
    /// A path: the pairs of a table.
    Table(PathBuf),
}

impl TryFrom<Value> for PairsConfig {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(word) if word == "random" => Ok(Self::Random),
            Value::String(path) if !path.is_empty() => Ok(Self::Table(path.into())),
            Value::Integer(count) if count > 0 => Ok(Self::Changed(count as usize)),
            other => Err(format!(
                "pairs: expected \"random\", a number of factors of at least 1, or the path of a table; found {other}"
            )),
        }
    }
}

impl From<PairsConfig> for Value {
    fn from(config: PairsConfig) -> Self {
        match config {
            PairsConfig::Random => "random".into(),
            PairsConfig::Changed(count) => Value::Integer(count as i64),
            PairsConfig::Table(path) => path.to_string_lossy().into_owned().into(),
        }
    }
}

impl std::fmt::Display for PairsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Random => f.write_str("that differ in any number of factors"),
            Self::Changed(1) => f.write_str("that differ in one factor"),
            Self::Changed(count) => write!(f, "that differ in {count} factors"),
            Self::Table(path) => write!(f, "of {}", path.display()),
        }
    }
}

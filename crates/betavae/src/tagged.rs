//! Tables of a configuration with a key `kind` on which it depends which other keys there are.

use serde::Deserialize;
use serde::Serialize;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::words::nearest;

/// What is known of such a table.
pub(crate) struct Tagged {
    /// Its name, such as `objective`.
    pub(crate) section: &'static str,
    /// Names of the kinds, the default first, with the keys that they have.
    pub(crate) kinds: Vec<(&'static str, Vec<String>)>,
    /// Keys of every kind.
    pub(crate) common: &'static [&'static str],
}

/// A table in parts.
pub(crate) struct Parts {
    pub(crate) kind: &'static str,
    /// The keys of every kind that are there.
    pub(crate) common: Table,
    /// The keys of this kind that are there.
    pub(crate) own: Table,
}

impl Tagged {
    /// Takes a table apart.
    ///
    /// # Errors
    /// If the kind is unknown, or a key is of another kind or of none.
    pub(crate) fn split(&self, mut table: Table) -> Result<Parts> {
        let kind = match table.remove("kind") {
            None => self.kinds[0].0,
            Some(value) => self.kind(&value)?,
        };
        let keys = self.keys(kind);
        let is_common = |key: &str| self.common.contains(&key);
        if let Some(key) = table.keys().find(|key| !is_common(key) && !keys.contains(key)) {
            return Err(self.foreign(key, kind, keys));
        }
        let (common, own) = table.into_iter().partition(|(key, _)| is_common(key));
        Ok(Parts { kind, common, own })
    }

    /// The name of a table's kind, as it stands there or by default.
    pub(crate) fn kind_of(&self, table: &Table) -> String {
        let name = table.get("kind").map(|kind| kind.as_str().unwrap_or_default());
        name.unwrap_or(self.kinds[0].0).to_owned()
    }

    /// The keys of a table whose meaning depends on the kind.
    pub(crate) fn keys_of_kinds(&self, table: &Table) -> Vec<String> {
        let known = |key: &&String| self.kinds.iter().any(|(_, keys)| keys.contains(key));
        table.keys().filter(known).cloned().collect()
    }

    /// Reads a part of the table; what it leaves out has defaults.
    ///
    /// # Errors
    /// If a value has the wrong type.
    pub(crate) fn read<T: for<'a> Deserialize<'a>>(&self, part: Table) -> Result<T> {
        Value::Table(part).try_into().map_err(|error: toml::de::Error| {
            let message = error.to_string();
            Error::config(format!("configuration in [{}]: {}", self.section, message.trim()), "")
        })
    }

    fn keys(&self, kind: &str) -> &[String] {
        let found = self.kinds.iter().find(|(name, _)| *name == kind);
        found.map_or(&[], |(_, keys)| keys)
    }

    fn kind(&self, value: &Value) -> Result<&'static str> {
        let names = || self.kinds.iter().map(|(name, _)| *name);
        let found = value.as_str().and_then(|value| names().find(|name| *name == value));
        found.ok_or_else(|| {
            let known: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            let meant = value.as_str().and_then(|name| nearest(name, names()));
            Error::config(
                format!(
                    "{}.kind: expected one of {}, found {value}",
                    self.section,
                    known.join(", ")
                ),
                meant.map(|name| format!("did you mean `{name}`?")).unwrap_or_default(),
            )
        })
    }

    /// The error for a key that a kind does not have.
    fn foreign(&self, key: &str, kind: &str, own: &[String]) -> Error {
        let section = self.section;
        let has = |(_, keys): &&(&str, Vec<String>)| keys.iter().any(|known| known == key);
        let having: Vec<String> =
            self.kinds.iter().filter(has).map(|(name, _)| format!("\"{name}\"")).collect();
        if having.is_empty() {
            let known = own.iter().map(String::as_str).chain(["kind"]);
            let known: Vec<&str> = known.chain(self.common.iter().copied()).collect();
            let list: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            let meant = nearest(key, known.iter().copied());
            return Error::config(
                format!(
                    "configuration in [{section}]: unknown field `{key}`, expected one of {}",
                    list.join(", ")
                ),
                meant.map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default(),
            );
        }
        Error::config(
            format!("{section}.{key} has no meaning for kind = \"{kind}\""),
            format!(
                "{} {} it; \"{kind}\" is set by {}",
                having.join(" and "),
                if having.len() == 1 { "has" } else { "have" },
                own.join(", ")
            ),
        )
    }
}

/// A value of ours as a table.
pub(crate) fn to_table(value: &impl Serialize) -> Table {
    Table::try_from(value).unwrap_or_else(|error| unreachable!("plain tables: {error}"))
}

/// The keys of a value of ours.
pub(crate) fn keys(value: &impl Serialize) -> Vec<String> {
    to_table(value).into_iter().map(|(key, _)| key).collect()
}

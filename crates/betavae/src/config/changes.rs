//! Changes of single keys, `section.key=value`, as `--set` has them.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::format::moved;
use super::recipe::{Recipe, explain};
use crate::data::DataConfig;
use crate::error::{Error, Result};
use crate::tagged::Tagged;
use crate::{objective, optimizer};

/// Applies changes to a recipe's table, where a value is TOML, or a word that stands for a string, or nothing, which
/// removes the key. A change of a `kind` drops those keys of the recipe that belong to the kind it had, also where the new
/// kind has one of the same name, which means something else; they are returned, so that the user can be told.
pub(super) fn apply_all(table: &mut Table, changes: &[String]) -> Result<Vec<String>> {
    let tagged = [objective::tagged(), optimizer::tagged()];
    let kinds = |table: &Table| {
        tagged.each_ref().map(|tagged| {
            let section = table.get(tagged.section).and_then(Value::as_table);
            section.map(|section| tagged.kind_of(section))
        })
    };
    let before = kinds(table);
    for change in changes {
        check_section(change)?;
        apply(table, change)?;
    }
    let after = kinds(table);
    let mut dropped = Vec::new();
    for (tagged, (before, after)) in tagged.iter().zip(before.into_iter().zip(after)) {
        if before.is_some() && before != after {
            dropped.extend(drop_keys_of_kinds(table, tagged, changes));
        }
    }
    Ok(dropped)
}

/// Changes keys of a `[data]` table, each of the form `data.KEY=VALUE`; an empty value removes the key.
///
/// # Errors
/// If a change is about another table, a key is unknown or a value has the wrong type.
pub fn change_data(data: &DataConfig, changes: &[String]) -> Result<DataConfig> {
    if changes.is_empty() {
        return Ok(data.clone());
    }
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Only {
        data: DataConfig,
    }
    let mut table = Table::try_from(Only { data: data.clone() })
        .unwrap_or_else(|error| unreachable!("plain tables: {error}"));
    for change in changes {
        let key = key_of(change);
        if !key.starts_with("data.") {
            return Err(Error::config(
                format!("`{change}` changes {key}, but only keys of [data] can be set here"),
                "for example --set data.size=64",
            ));
        }
        apply(&mut table, change)?;
    }
    let only: Only = Value::Table(table).try_into().map_err(explain)?;
    Ok(only.data)
}

/// Sets one key of a table of tables; an empty value removes it.
fn apply(table: &mut Table, change: &str) -> Result<()> {
    let malformed = || {
        Error::config(
            format!("`{change}` is not of the form section.key=value"),
            "for example --set objective.beta=8",
        )
    };
    let (path, text) = change.split_once('=').ok_or_else(malformed)?;
    let (path, text) = (path.trim(), text.trim());
    if let Some(now) = moved(path, text) {
        let (key, _) = now.split_once('=').unwrap_or((&now, ""));
        return Err(Error::config(
            format!("`{path}` is now part of `{key}`"),
            format!("did you mean `{now}`?"),
        ));
    }
    // A text that is not a TOML value stands for itself, so that words need no quotes in a shell.
    let value = format!("v={text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
    let mut keys: Vec<&str> = path.split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(malformed)?;
    let mut here = table;
    for key in keys {
        let next = here.entry(key).or_insert_with(|| Value::Table(Table::new()));
        here = next.as_table_mut().ok_or_else(|| {
            Error::config(format!("`{key}` in `{change}` is a value, not a section"), "")
        })?;
    }
    if text.is_empty() {
        here.remove(last);
    } else {
        here.insert(last.to_owned(), value);
    }
    Ok(())
}

/// Refuses a key without its section, with the section that has it.
fn check_section(change: &str) -> Result<()> {
    let key = key_of(change);
    if key.contains('.') || key.is_empty() {
        return Ok(());
    }
    let sections = ["data", "model", "objective", "optimizer", "train"];
    if key == "seed" || sections.contains(&key) {
        return Ok(());
    }
    // An unknown key is told apart from a value of the wrong type by its message.
    let has = |section: &&&str| {
        let error = Recipe::from_toml(&format!("[{section}]\n{key} = []")).err();
        error.is_none_or(|error| !error.to_string().contains("unknown field"))
    };
    match sections.iter().find(has) {
        Some(section) => Err(Error::config(
            format!("`{key}` is a key of [{section}]"),
            format!("did you mean `{section}.{change}`?"),
        )),
        None => Ok(()),
    }
}

/// Takes out the keys whose meaning depends on the kind and that no change has set.
fn drop_keys_of_kinds(table: &mut Table, tagged: &Tagged, changes: &[String]) -> Vec<String> {
    let Some(settings) = table.get_mut(tagged.section).and_then(Value::as_table_mut) else {
        return Vec::new();
    };
    let mut dropped = tagged.keys_of_kinds(settings);
    dropped.retain(|key| {
        let key = format!("{}.{key}", tagged.section);
        !changes.iter().any(|change| {
            let changed = key_of(change);
            // After a change of the whole section nothing of the recipe is left in it.
            changed == tagged.section || changed == key || changed.starts_with(&format!("{key}."))
        })
    });
    dropped.iter().for_each(|key| drop(settings.remove(key)));
    dropped.iter().map(|key| format!("{}.{key}", tagged.section)).collect()
}

/// What a change is about.
fn key_of(change: &str) -> &str {
    change.split('=').next().unwrap_or_default().trim()
}

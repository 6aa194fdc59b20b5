//! JSON lines: an object per line, or one array of objects.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::cells::is_gap;
use super::{ColumnData, FILE_COLUMNS, MAX_VALUES, Table, TableColumn, is_called};
use crate::error::{Error, Result};

/// The fields of an object in their order, which tells the order of columns.
pub(crate) struct JsonObject(pub(crate) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = JsonObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"file\": \"000.png\", \"size\": 1}")
            }
            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<JsonObject, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(JsonObject(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Reads a table in JSON.
pub(super) fn read(path: &Path, text: &str) -> Result<Table> {
    let (objects, lines) = objects(path, text)?;
    let mut table = of_objects(path, objects)?;
    table.lines = lines;
    Ok(table)
}

/// A row for each object, a column for each field.
pub(crate) fn of_objects(path: &Path, objects: Vec<JsonObject>) -> Result<Table> {
    let mut names: Vec<String> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, _) in objects.iter().flat_map(|object| &object.0) {
        if !places.contains_key(name) {
            places.insert(name.clone(), names.len());
            names.push(name.clone());
        }
    }
    let rows = objects.len();
    if rows == 0 {
        return Err(Error::file(path, "not a table: it is empty"));
    }
    if rows.saturating_mul(names.len()) > MAX_VALUES {
        let reason = format!("it has more than {MAX_VALUES} values, which are not read");
        return Err(Error::file(path, reason));
    }
    let mut values: Vec<Vec<Value>> = names.iter().map(|_| vec![Value::Null; rows]).collect();
    for (row, object) in objects.into_iter().enumerate() {
        for (name, value) in object.0 {
            values[places[&name]][row] = value;
        }
    }
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    for (position, (name, values)) in names.into_iter().zip(values).enumerate() {
        if values.iter().any(|value| value.is_array() || value.is_object()) {
            left_out.push(format!("`{name}`"));
        } else {
            columns.push(column(name, position, values));
        }
    }
    let mut table = Table::new(path, columns, rows);
    if !left_out.is_empty() {
        table.notes.push(format!("{} left out: lists and objects", left_out.join(", ")));
    }
    Ok(table)
}

/// The objects, and the lines they are in.
fn objects(path: &Path, text: &str) -> Result<(Vec<JsonObject>, Vec<u32>)> {
    if text.trim_start().starts_with('[') {
        let objects = serde_json::from_str(text)
            .map_err(|error| Error::file(path, format!("not an array of objects: {error}")))?;
        return Ok((objects, Vec::new()));
    }
    if let Ok(JsonObject(fields)) = serde_json::from_str(text)
        && !fields.is_empty()
        && fields.iter().all(|(_, value)| value.is_object() || value.is_array())
    {
        return Err(Error::file_hint(
            path,
            "it is one object with a field for each column, as pandas' `to_json` writes by default; \
             expected an object for each row",
            "write it with `to_json(path, orient=\"records\")`",
        ));
    }
    let (mut objects, mut lines) = (Vec::new(), Vec::new());
    for (line, content) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let object = serde_json::from_str(content).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or(&reason);
            Error::file(path, format!("not JSON lines: line {line}: {reason}"))
        })?;
        objects.push(object);
        lines.push(line);
    }
    Ok((objects, lines))
}

/// A column of numbers and truth values, or else of words.
fn column(name: String, position: usize, values: Vec<Value>) -> TableColumn {
    let is_missing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => is_gap(text.trim()),
        _ => false,
    };
    let gaps = (0..values.len()).filter(|row| is_missing(&values[*row])).collect();
    let is_key = is_called(&name, &FILE_COLUMNS);
    let is_number = |value: &Value| value.is_number() || value.is_boolean() || is_missing(value);
    let cells = if !is_key && values.iter().all(is_number) {
        let number = |value: Value| match value {
            Value::Bool(truth) => f64::from(u8::from(truth)),
            other => other.as_f64().unwrap_or(f64::NAN),
        };
        ColumnData::Numbers(values.into_iter().map(number).collect())
    } else {
        let word = |value: Value| match value {
            value if is_missing(&value) => String::new(),
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        ColumnData::Words(values.into_iter().map(word).collect())
    };
    TableColumn { gaps, ..TableColumn::new(Some(name), position, cells) }
}

//! WebDataset: tar archives in which files of one sample follow each other and differ only in what
//! comes after the first dot of their name: `000012.png`, `000012.cls`, `000012.json`.
//!
//! `cls` is the number or word of a class, `json` an object whose fields become factors where they are
//! numbers or truth values in every sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::Factors;
use super::super::bundle::Bundle;
use super::super::labels::{MAX_VALUES, numbers_or_words};
use super::{Pictures, is_image};
use crate::error::{Error, Result};

/// Largest label in bytes.
const MAX_LABEL: usize = 1 << 20;

/// Whether there is a label that belongs to a sample.
pub(super) fn has_labels(bundle: &Bundle) -> bool {
    bundle.names().any(|name| matches!(split(name).1.as_str(), "cls" | "json"))
}

/// The files of one sample by their positions.
#[derive(Default)]
struct Sample {
    image: Option<usize>,
    class: Option<usize>,
    fields: Option<usize>,
}

/// The samples of a bundle, in its order.
pub(super) fn open(mut bundle: Bundle) -> Result<Pictures> {
    let mut samples: Vec<(PathBuf, Sample)> = Vec::new();
    for (index, name) in bundle.names().enumerate() {
        let (key, kind) = split(name);
        if samples.last().is_none_or(|(last, _)| *last != key) {
            samples.push((key, Sample::default()));
        }
        let Some((_, sample)) = samples.last_mut() else { continue };
        let place = match kind.as_str() {
            "cls" => &mut sample.class,
            "json" => &mut sample.fields,
            _ if is_image(Path::new(&format!("x.{kind}"))) => &mut sample.image,
            _ => continue,
        };
        if place.replace(index).is_some() {
            let reason = "there is more than one such file in its sample";
            return Err(Error::file(bundle.place(index), reason));
        }
    }
    // What has no image is no sample: a file about the archive.
    samples.retain(|(_, sample)| sample.image.is_some());
    if samples.is_empty() {
        let reason = "no image found: expected samples such as 000.png and 000.cls";
        return Err(Error::file(bundle.path(), reason));
    }
    let factors = factors(&bundle, &samples)?;
    let images: Vec<usize> = samples.iter().filter_map(|(_, sample)| sample.image).collect();
    bundle.keep(|position| images.binary_search(&position).is_ok());
    Ok(Pictures { bundle, factors })
}

/// Key and extensions of a name.
fn split(name: &Path) -> (PathBuf, String) {
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let (key, kind) = file.split_once('.').unwrap_or((&file, ""));
    (name.with_file_name(key), kind.to_lowercase())
}

fn factors(bundle: &Bundle, samples: &[(PathBuf, Sample)]) -> Result<Option<Factors>> {
    let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
    let classes: Vec<usize> = samples.iter().filter_map(|(_, sample)| sample.class).collect();
    if classes.len() == samples.len() {
        let text = |index: &usize| Ok(label(bundle, *index)?.trim().to_owned());
        let classes = classes.iter().map(text).collect::<Result<Vec<_>>>()?;
        columns.push(("cls".into(), numbers_or_words(classes.iter().map(String::as_str))));
    } else if let Some(sample) = samples.iter().find(|(_, sample)| sample.class.is_none())
        && !classes.is_empty()
    {
        let name = sample.0.display();
        return Err(Error::file(bundle.path(), format!("sample `{name}` has no .cls file")));
    }
    columns.extend(fields(bundle, samples)?);
    if columns.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let rows = 0..samples.len();
    let values: Vec<f64> =
        rows.flat_map(|row| columns.iter().map(move |(_, column)| column[row])).collect();
    let factors = Factors::from_values(&names, &values);
    factors.map(Some).map_err(|error| Error::file(bundle.path(), error.to_string()))
}

/// The fields that are numbers in every sample, by name.
fn fields(bundle: &Bundle, samples: &[(PathBuf, Sample)]) -> Result<BTreeMap<String, Vec<f64>>> {
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (row, (_, sample)) in samples.iter().enumerate() {
        let Some(index) = sample.fields else { return Ok(BTreeMap::new()) };
        let object: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&label(bundle, index)?).map_err(|error| {
                Error::file(bundle.place(index), format!("not a JSON object: {error}"))
            })?;
        let number = |value: &serde_json::Value| match value {
            serde_json::Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
            other => other.as_f64(),
        };
        for (name, value) in object {
            if let Some(value) = number(&value)
                && (row == 0 || columns.contains_key(&name))
            {
                columns.entry(name).or_default().push(value);
            }
        }
        columns.retain(|_, column| column.len() == row + 1);
        if columns.len().saturating_mul(samples.len()) > MAX_VALUES {
            let reason = format!("{} fields of every sample are too many", columns.len());
            return Err(Error::file(bundle.place(index), reason));
        }
    }
    Ok(columns)
}

fn label(bundle: &Bundle, index: usize) -> Result<String> {
    let bytes = bundle.read(index)?;
    if bytes.len() > MAX_LABEL {
        let reason = format!("a label of {} bytes, expected at most {MAX_LABEL}", bytes.len());
        return Err(Error::file(bundle.place(index), reason));
    }
    String::from_utf8(bytes).map_err(|_| Error::file(bundle.place(index), "it is not UTF-8"))
}

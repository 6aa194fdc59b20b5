//! WebDataset: tar archives in which files of one sample follow each other and differ only in what
//! comes after the first dot of their name: `000012.png`, `000012.cls`, `000012.json`.
//!
//! `cls` is the number or word of a class, `json` an object whose fields become factors where every sample has
//! them.

use std::path::{Path, PathBuf};

use serde_json::{Number, Value};

use super::super::bundle::Bundle;
use super::super::labels::{FoundLabels, GapPolicy, ImagesToLabel, factor_list, of_table};
use super::is_image;
use crate::error::{Error, Result};
use crate::table::{JsonObject, of_objects};

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
pub(super) fn open(mut bundle: Bundle) -> Result<(Bundle, FoundLabels)> {
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
    let labels = labels(&bundle, &samples)?;
    let images: Vec<usize> = samples.iter().filter_map(|(_, sample)| sample.image).collect();
    bundle.keep(|position| images.binary_search(&position).is_ok());
    Ok((bundle, labels))
}

/// Key and extensions of a name.
fn split(name: &Path) -> (PathBuf, String) {
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let (key, kind) = file.split_once('.').unwrap_or((&file, ""));
    (name.with_file_name(key), kind.to_lowercase())
}

/// The labels of all samples; none where some sample has none, with a note.
fn labels(bundle: &Bundle, samples: &[(PathBuf, Sample)]) -> Result<FoundLabels> {
    let have = |part: fn(&Sample) -> Option<usize>| {
        samples.iter().filter(|(_, sample)| part(sample).is_some()).count()
    };
    let (with_class, with_fields) = (have(|sample| sample.class), have(|sample| sample.fields));
    let mut notes = Vec::new();
    for (count, ending) in [(with_class, ".cls"), (with_fields, ".json")] {
        if count > 0 && count < samples.len() {
            let missing = samples.len() - count;
            notes.push(format!(
                "{missing} of {} samples have no {ending} file, so it is not used",
                samples.len()
            ));
        }
    }
    let mut objects = Vec::with_capacity(samples.len());
    for (_, sample) in samples {
        let mut fields = Vec::new();
        if let Some(index) = sample.class.filter(|_| with_class == samples.len()) {
            let class = label(bundle, index)?.trim().to_owned();
            let number = class.parse::<f64>().ok().and_then(Number::from_f64);
            fields.push(("cls".to_owned(), number.map_or(Value::String(class), Value::Number)));
        }
        if let Some(index) = sample.fields.filter(|_| with_fields == samples.len()) {
            let object: JsonObject =
                serde_json::from_str(&label(bundle, index)?).map_err(|error| {
                    Error::file(bundle.place(index), format!("not a JSON object: {error}"))
                })?;
            fields.extend(object.0);
        }
        objects.push(JsonObject(fields));
    }
    if objects.iter().all(|object| object.0.is_empty()) {
        return Ok(FoundLabels { factors: None, notes });
    }
    let images = ImagesToLabel { path: bundle.path(), len: samples.len(), files: None };
    let mut table = of_objects(bundle.path(), objects)?;
    // Samples are read in their order, and their labels with them.
    table.in_order();
    let mut labels = of_table(table, &images, GapPolicy::LeftOut)?;
    if labels.factors.is_some() {
        notes.push(format!("factors from the samples{}", factor_list(&labels)));
    }
    labels.notes.splice(0..0, notes);
    Ok(labels)
}

fn label(bundle: &Bundle, index: usize) -> Result<String> {
    let bytes = bundle.read(index)?;
    if bytes.len() > MAX_LABEL {
        let reason = format!("a label of {} bytes, expected at most {MAX_LABEL}", bytes.len());
        return Err(Error::file(bundle.place(index), reason));
    }
    String::from_utf8(bytes).map_err(|_| Error::file(bundle.place(index), "it is not UTF-8"))
}

//! CelebA (Liu et al. 2015), aligned and cropped: `img_align_celeba.zip` or the folder in it.
//!
//! `list_attr_celeba.txt` beside it has 40 attributes per image, -1 or 1, which become factors of
//! two classes; `list_eval_partition.txt` says which images are for training, validation and test.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::super::bundle::Bundle;
use super::super::reader::Opened;
use super::super::{DataConfig, FactorTable};
use super::raw::MAX_VALUES;
use super::{Split, pictures};
use crate::error::{Error, IoContext, Result};

const ATTRIBUTES: &str = "list_attr_celeba.txt";
const PARTITION: &str = "list_eval_partition.txt";

/// Longest line of a list.
const MAX_LINE: u64 = 4096;

/// Whether a file in an archive or folder is an aligned image.
pub(super) fn is_face(name: &Path) -> bool {
    let file = name.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    let number = file.strip_suffix(".jpg").or(file.strip_suffix(".png"));
    number.is_some_and(|number| number.len() == 6 && number.bytes().all(|x| x.is_ascii_digit()))
}

/// Opens the images in `bundle`; the lists are searched in `folders`.
pub(super) fn open(
    path: &Path,
    mut bundle: Bundle,
    folders: &[PathBuf],
    config: &DataConfig,
) -> Result<Opened> {
    let list = |name: &str| folders.iter().map(|x| x.join(name)).find(|list| list.is_file());
    if let Some(split) = config.split.filter(|split| *split != Split::All) {
        let Some(partition) = list(PARTITION) else {
            return Err(Error::file_hint(
                path,
                format!("data.split is set, but {PARTITION} does not lie beside the images"),
                "download it from the same place, or remove data.split",
            ));
        };
        let wanted = match split {
            Split::Train => 0.0,
            Split::Valid => 1.0,
            _ => 2.0,
        };
        let parts = rows(&partition, Lines::open(&partition)?, 1, &bundle)?;
        bundle.keep(|index| parts[index] == wanted);
        if bundle.len() == 0 {
            return Err(Error::file(&partition, "none of the images is in this part"));
        }
    }
    let factors = list(ATTRIBUTES).map(|list| attributes(&list, &bundle)).transpose()?;
    pictures::open(path, bundle, config, "CelebA", factors)
}

fn attributes(path: &Path, bundle: &Bundle) -> Result<FactorTable> {
    let mut lines = Lines::open(path)?;
    // The number of images, which need not all be here, and the names.
    lines.next()?;
    let names = lines.next()?.unwrap_or_default();
    let names: Vec<&str> = names.split_whitespace().collect();
    let mut values = rows(path, lines, names.len(), bundle)?;
    if let Some(value) = values.iter().find(|value| value.abs() != 1.0) {
        return Err(Error::file(path, format!("expected attributes of -1 and 1, found {value}")));
    }
    values.iter_mut().for_each(|value| *value = value.max(0.0));
    FactorTable::new(&names, &values)
}

/// The numbers behind the names of the bundle's files, [N, columns].
fn rows(path: &Path, mut lines: Lines, columns: usize, bundle: &Bundle) -> Result<Vec<f64>> {
    let file = |name: &Path| name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let positions: HashMap<String, usize> =
        bundle.names().enumerate().map(|(position, name)| (file(name), position)).collect();
    let size = bundle.len().checked_mul(columns).filter(|size| *size <= MAX_VALUES);
    let Some(size) = size.filter(|size| *size > 0) else {
        return Err(Error::file(path, format!("{columns} columns are not plausible")));
    };
    let mut values = vec![f64::NAN; size];
    while let Some(line) = lines.next()? {
        let mut words = line.split_whitespace();
        let Some(position) = words.next().and_then(|name| positions.get(name)) else { continue };
        let row = &mut values[position * columns..(position + 1) * columns];
        for value in row.iter_mut() {
            let number =
                words.next().and_then(|word| word.parse().ok()).filter(|x: &f64| !x.is_nan());
            *value = number.ok_or_else(|| lines.error(&format!("expected {columns} numbers")))?;
        }
        if words.next().is_some() {
            return Err(lines.error(&format!("expected {columns} numbers, found more")));
        }
    }
    match values.iter().position(|value| value.is_nan()) {
        None => Ok(values),
        Some(at) => {
            let name = bundle.name(at / columns).display();
            Err(Error::file(path, format!("it has no line about `{name}`")))
        }
    }
}

/// The lines of a list.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let reader = BufReader::new(File::open(path).context("open", path)?);
        Ok(Self { path: path.to_owned(), reader, number: 0 })
    }

    fn next(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        self.number += 1;
        let mut reader = self.reader.by_ref().take(MAX_LINE);
        reader.read_until(b'\n', &mut line).context("read", &self.path)?;
        if line.len() as u64 == MAX_LINE {
            return Err(self.error("the line is too long"));
        }
        Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    fn error(&self, reason: &str) -> Error {
        Error::file(&self.path, format!("line {}: {reason}", self.number))
    }
}

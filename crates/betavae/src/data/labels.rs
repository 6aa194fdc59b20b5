//! The factors of the user's images: arrays beside them, or tables with a row for each image.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Factors, dsprites};
use crate::error::{Error, IoContext, Result};
use crate::npz::{Numbers, Source};

/// Largest number of values of a table of factors: 512 MiB of them.
pub(super) const MAX_VALUES: usize = 1 << 26;

/// Arrays that hold factors, the most telling first.
const NAMES: [&str; 5] = ["latents_values", "factors", "latents_classes", "labels", "y"];

/// A file of labels, which may be given relative to the data set `path`.
pub(super) fn beside(path: &Path, labels: &Path) -> PathBuf {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    if labels.exists() { labels.to_owned() } else { folder.join(labels) }
}

/// The factors of `len` images in an array beside theirs, `images`, if there is one with a row for
/// each.
pub(super) fn among(source: &mut Source, images: usize, len: usize) -> Result<Option<Factors>> {
    let place = |name: &&str| source.members.iter().position(|member| member.name == **name);
    let fits = |member: &usize| match source.shape(*member) {
        Ok(&[rows]) => rows == len,
        Ok(&[rows, columns]) => rows == len && columns > 0,
        _ => false,
    };
    let found: Vec<usize> =
        NAMES.iter().filter_map(place).filter(fits).filter(|member| *member != images).collect();
    found.first().map(|member| of_array(source, *member, len)).transpose()
}

/// The factors of `len` images in a file of their own: an array, or a table without file names.
pub(super) fn of_rows(path: &Path, len: usize) -> Result<Factors> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        let table = Table::read(path)?;
        if table.rows.len() != len {
            return Err(other_rows(path, table.rows.len(), len));
        }
        let order: Vec<usize> = (0..len).collect();
        return table.factors(path, 0, &order);
    }
    let mut source = Source::open(path)?;
    let place = |name: &&str| source.members.iter().position(|member| member.name == **name);
    match NAMES.iter().find_map(place).or((source.members.len() == 1).then_some(0)) {
        Some(member) => of_array(&mut source, member, len),
        None => {
            let reason = format!("no array is called `{}`: it has {}", NAMES[1], source.listing());
            Err(Error::file_hint(path, reason, "name the array of factors `factors`"))
        }
    }
}

fn of_array(source: &mut Source, member: usize, len: usize) -> Result<Factors> {
    let (rows, columns) = match source.shape(member)? {
        &[rows] => (rows, 1),
        &[rows, columns] => (rows, columns),
        shape => {
            let reason = format!("expected shape [N] or [N, K], found {shape:?}");
            return Err(source.error(member, &reason, ""));
        }
    };
    if rows != len {
        let reason = format!("expected a row for each of {len} images, found {rows}");
        return Err(source.error(member, &reason, ""));
    }
    if rows.checked_mul(columns).is_none_or(|values| values > MAX_VALUES) {
        let reason = format!("{rows} rows of {columns} factors are more than can be read");
        return Err(source.error(member, &reason, ""));
    }
    let names = column_names(source, member, columns);
    let values = match source.read_numbers(member)?.1 {
        Numbers::Floats(values) => values,
        Numbers::Integers(values) => values.into_iter().map(|value| value as f64).collect(),
    };
    let factors = Factors::from_values(&names, &values);
    let mut factors =
        factors.map_err(|error| source.error(member, &error.to_string(), "correct the array"))?;
    name_dsprites(&mut factors);
    Ok(factors)
}

/// Names for columns: those of the array `factor_names`, or numbers.
fn column_names(source: &mut Source, member: usize, columns: usize) -> Vec<String> {
    let named = source.members.iter().position(|member| member.name == "factor_names");
    let names = named.and_then(|named| source.read_text(named).ok());
    names.filter(|names| names.len() == columns).unwrap_or_else(|| {
        match (&*source.members[member].name, columns) {
            ("labels" | "y", 1) => vec!["label".to_owned()],
            _ => numbered(columns),
        }
    })
}

fn numbered(columns: usize) -> Vec<String> {
    (0..columns).map(|column| format!("factor_{column}")).collect()
}

/// The official file has the names of its factors only in a pickled object.
fn name_dsprites(factors: &mut Factors) {
    let names = dsprites::grid().factors;
    let theirs = factors.factors().iter().map(|factor| factor.values.len());
    if theirs.eq(names.iter().map(|factor| factor.values.len())) {
        factors.rename(names.iter().map(|factor| factor.name.clone()));
    }
}

/// The factors of `images`, which are files relative to a folder, in the table `path`: its first
/// column has the names of the files. `content` is what is in it, if it is in an archive.
pub(super) fn of_files(path: &Path, content: Option<&[u8]>, images: &[PathBuf]) -> Result<Factors> {
    let mut table = match content {
        Some(content) => Table::parse(path, content)?,
        None => Table::read(path)?,
    };
    let places: HashMap<String, usize> =
        images.iter().enumerate().map(|(i, file)| (slashes(file), i)).collect();
    let clean = |name: &str| name.trim_start_matches("./").replace('\\', "/");
    // A first line that starts with the name of an image is no line of names.
    if table.names.first().is_some_and(|name| places.contains_key(&clean(name))) {
        let width = table.names.len();
        let first = std::mem::replace(&mut table.names, numbered(width));
        table.rows.insert(0, first);
        // The first column has the files.
        table.names[1..].clone_from_slice(&numbered(width.saturating_sub(1)));
    }
    let mut order = vec![None; images.len()];
    for (row, cells) in table.rows.iter().enumerate() {
        let name = cells.first().map(|name| clean(name)).unwrap_or_default();
        let Some(image) = places.get(&name) else {
            let reason = format!("row {} is about `{name}`, which is no image here", row + 1);
            let hint = "file names are relative to the folder of images";
            return Err(Error::file_hint(path, reason, hint));
        };
        if let Some(other) = order[*image].replace(row) {
            let reason = format!("rows {} and {} are both about `{name}`", other + 1, row + 1);
            return Err(Error::file_hint(path, reason, "remove one of them"));
        }
    }
    if let Some(image) = order.iter().position(Option::is_none) {
        let missing = order.iter().filter(|row| row.is_none()).count();
        let name = slashes(&images[image]);
        let reason = format!("no row is about `{name}`: {missing} of {} images", images.len());
        return Err(Error::file_hint(path, reason, "add rows for them, or remove the images"));
    }
    let order: Vec<usize> = order.into_iter().flatten().collect();
    table.factors(path, 1, &order)
}

/// A relative path as it is written in tables.
fn slashes(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

fn other_rows(path: &Path, found: usize, len: usize) -> Error {
    let reason = format!("expected a row for each of {len} images, found {found}");
    Error::file_hint(path, reason, "row i is about image i, after a line of names")
}

/// Columns of numbers or words.
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a `.csv` file with a line of names.
    fn read(path: &Path) -> Result<Self> {
        Self::parse(path, File::open(path).context("open", path)?)
    }

    fn parse(path: &Path, content: impl Read) -> Result<Self> {
        let broken = |error: csv::Error| match error.into_kind() {
            csv::ErrorKind::Io(source) => {
                Error::Io { action: "read", path: path.to_owned(), source }
            }
            kind => Error::file(path, format!("not a table: {}", describe(&kind))),
        };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(content);
        let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let mut names: Vec<String> = cells(reader.headers().map_err(broken)?);
        if let Some(first) = names.first_mut() {
            // Excel marks its UTF-8.
            *first = first.trim_start_matches('\u{feff}').to_owned();
        }
        let records = reader.records().map(|record| record.map(|record| cells(&record)));
        let rows = records.collect::<std::result::Result<_, _>>().map_err(broken)?;
        Ok(Self { names, rows })
    }

    /// The columns from `first` on as factors of the images whose rows are `order`. A column that is
    /// not all numbers has its different words as classes, in the order of the alphabet.
    fn factors(&self, path: &Path, first: usize, order: &[usize]) -> Result<Factors> {
        let names = self.names.get(first..).unwrap_or_default();
        if names.is_empty() || order.is_empty() {
            let reason = "expected a line of names, and rows with at least one factor each";
            return Err(Error::file(path, reason));
        }
        let mut columns = Vec::with_capacity(names.len());
        for column in first..self.names.len() {
            let cells = || order.iter().map(|row| self.rows[*row][column].as_str());
            if let Some(row) = cells().position(str::is_empty) {
                let reason =
                    format!("row {}, column `{}` is empty", order[row] + 1, self.names[column]);
                return Err(Error::file_hint(path, reason, "every image needs every factor"));
            }
            columns.push(numbers_or_words(cells()));
        }
        let rows = (0..order.len()).flat_map(|row| columns.iter().map(move |column| column[row]));
        let values: Vec<f64> = rows.collect();
        Factors::from_values(names, &values).map_err(|error| Error::file(path, error.to_string()))
    }
}

/// Values of a column: its numbers, or the places of its words in their sorted list.
pub(super) fn numbers_or_words<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Vec<f64> {
    let number = |cell: &str| cell.parse().ok().filter(|value: &f64| value.is_finite());
    if let Some(numbers) = cells.clone().map(number).collect() {
        return numbers;
    }
    let words: BTreeSet<&str> = cells.clone().collect();
    let places: HashMap<&str, f64> =
        words.into_iter().enumerate().map(|(place, word)| (word, place as f64)).collect();
    cells.map(|cell| places[cell]).collect()
}

fn describe(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} cells, the first one {expected_len}")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("line {} is not UTF-8", pos.as_ref().map_or(0, csv::Position::line))
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;

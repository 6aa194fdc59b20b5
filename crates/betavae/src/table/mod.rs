//! Tables as people have them: codes, factors and labels, with the same rules wherever they are read.
//!
//! | module | what it is |
//! | --- | --- |
//! | `text` | `.csv`, `.tsv`, `.txt`: encodings, separators, and whether the first line has names |
//! | `cells` | what a cell is: a number, a word, or nothing |
//! | `lines` | JSON lines |
//! | `arrays` | NumPy files |
//! | `parquet` | Parquet (cargo feature `formats`) |
//! | `names` | names of files, however they are written |
//! | `join` | which rows of two tables, or of a table and images, belong together |
//!
//! [`Table::notes`] has what was noticed while a table was read. This module does not know what columns mean; its
//! callers do.

mod arrays;
mod cells;
pub(crate) mod join;
mod lines;
pub(crate) mod names;
#[cfg(feature = "formats")]
pub(crate) mod parquet;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use arrays::{array_of, is_array_of_labels};
pub(crate) use cells::natural_order;
pub(crate) use lines::{JsonObject, of_objects};
#[cfg(feature = "model")]
pub(crate) use text::decode;

use crate::error::{Error, IoContext, Result};
use crate::files::{describe_content, extension_of, first_bytes, replacement_hint};

/// Largest number of values of a table: 512 MiB of them.
pub(crate) const MAX_VALUES: usize = 1 << 26;

/// Names of columns that say which image a row is about, in lower case.
const FILE_COLUMNS: [&str; 12] = [
    "file",
    "filename",
    "file_name",
    "file name",
    "filepath",
    "file_path",
    "image",
    "image_name",
    "image_id",
    "img",
    "path",
    "id",
];

/// Names of columns that number rows.
const INDEX_COLUMNS: [&str; 3] = ["index", "indices", "idx"];

/// What a table is read for: which arrays of a NumPy file are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableRole {
    /// Codes [N, D].
    Codes,
    /// Factors [N, K], or labels [N].
    Factors,
}

impl TableRole {
    /// Arrays that hold it, the most telling first.
    pub(crate) fn arrays(self) -> &'static [&'static str] {
        match self {
            Self::Codes => &["mean", "codes", "z", "mu", "embeddings", "latents"],
            Self::Factors => {
                &["latents_values", "factors", "latents_classes", "labels", "y", "label", "targets"]
            }
        }
    }
}

/// Columns of equal length.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    /// Where it is, for messages.
    pub(crate) path: PathBuf,
    /// In the order of the file.
    pub(crate) columns: Vec<TableColumn>,
    /// Number of rows N.
    pub(crate) rows: usize,
    /// The line of each row in a text; empty where rows are counted from 0.
    lines: Vec<u32>,
    /// The first line of a text that may be names as well as numbers, and is taken for what `header` says.
    doubtful: Option<Doubtful>,
    /// The column that names the images, where its own name does not say so.
    files: Option<usize>,
    /// Whether rows are known to be in the order of what they are about.
    ordered: bool,
    /// What was noticed, a line each.
    pub(crate) notes: Vec<String>,
}

/// A first line of whole numbers above columns of whole numbers.
#[derive(Clone, Debug, PartialEq)]
struct Doubtful {
    cells: Vec<String>,
    line: u32,
    is_names: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableColumn {
    /// Its name; a number if it has none.
    pub(crate) name: String,
    /// Whether the table has a name for it.
    pub(crate) named: bool,
    /// One per row.
    pub(crate) cells: ColumnData,
    /// The rows that have nothing in it.
    pub(crate) gaps: Vec<usize>,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ColumnData {
    /// Numbers; gaps are NaN.
    Numbers(Vec<f64>),
    /// Texts; gaps are empty.
    Words(Vec<String>),
}

impl TableColumn {
    fn new(name: Option<String>, position: usize, cells: ColumnData) -> Self {
        let named = name.as_ref().is_some_and(|name| !is_unnamed(name));
        let name = name.filter(|_| named).unwrap_or_else(|| position.to_string());
        Self { name, named, cells, gaps: Vec::new() }
    }

    /// The cell of a row as text.
    pub(crate) fn text(&self, row: usize) -> Cow<'_, str> {
        match &self.cells {
            ColumnData::Numbers(numbers) => numbers[row].to_string().into(),
            ColumnData::Words(words) => words[row].as_str().into(),
        }
    }

    /// Whether its name is one of these, whatever the case.
    fn is_called(&self, names: &[&str]) -> bool {
        self.named && is_called(&self.name, names)
    }

    /// Its cells as whole numbers that are all different and not negative, as an index is.
    fn indices(&self) -> Option<Vec<u64>> {
        let index = |value: f64| {
            (value.fract() == 0.0 && (0.0..9e15).contains(&value)).then_some(value as u64)
        };
        let indices: Option<Vec<u64>> = match &self.cells {
            ColumnData::Numbers(numbers) => numbers.iter().map(|value| index(*value)).collect(),
            ColumnData::Words(words) => words.iter().map(|word| word.parse().ok()).collect(),
        };
        indices.filter(|indices| all_different(indices))
    }
}

/// Whether a name is one of these, whatever the case.
fn is_called(name: &str, names: &[&str]) -> bool {
    names.contains(&name.to_lowercase().as_str())
}

/// Whether a name stands for none: pandas writes an index without a name as nothing or as `Unnamed: 0`.
fn is_unnamed(name: &str) -> bool {
    name.is_empty() || name.starts_with("Unnamed: ")
}

fn all_different<T: std::hash::Hash + Eq>(values: &[T]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(values.len());
    values.iter().all(|value| seen.insert(value))
}

impl Table {
    /// Reads a table from a file: a NumPy file, Parquet, JSON lines, or text with a separator. The content
    /// tells binary formats, the ending JSON lines.
    ///
    /// # Errors
    /// If the file is damaged, or is no table.
    pub(crate) fn read(path: &Path, role: TableRole) -> Result<Self> {
        let start = first_bytes(path)?;
        if start.starts_with(b"\x93NUMPY") || start.starts_with(b"PK\x03\x04") {
            return arrays::read(path, role);
        }
        if start.starts_with(b"PAR1") {
            #[cfg(feature = "formats")]
            return parquet::read(path);
            #[cfg(not(feature = "formats"))]
            return Err(Error::needs_formats(path, "Parquet files"));
        }
        // Text is a table; what is none is named.
        match describe_content(&start) {
            None | Some("text") => Self::parse(path, &fs::read(path).context("read", path)?),
            Some(what) => {
                let reason = format!("expected a table, found {what}");
                let hint = "tables are .csv, .tsv, .jsonl, .parquet, .npz and .npy files";
                Err(Error::file_hint(path, reason, replacement_hint(&start).unwrap_or(hint)))
            }
        }
    }

    /// Reads a table from the content of a text file called `path`.
    ///
    /// # Errors
    /// If it is no table.
    pub(crate) fn parse(path: &Path, content: &[u8]) -> Result<Self> {
        let text = text::decode(path, content)?;
        match extension_of(path).as_str() {
            "jsonl" | "ndjson" | "json" => lines::read(path, &text),
            _ => text::read(path, &text),
        }
    }

    fn new(path: &Path, columns: Vec<TableColumn>, rows: usize) -> Self {
        let path = path.to_owned();
        let (lines, doubtful, files, notes) = (Vec::new(), None, None, Vec::new());
        let mut table = Self { path, columns, rows, lines, doubtful, files, ordered: false, notes };
        let keys = [table.file_column(), table.index_column()];
        for position in table.unnamed().filter(|position| !keys.contains(&Some(*position))) {
            table.notes.push(format!("column {position} has no name and is left out"));
        }
        table
    }

    /// The rows of several tables with the same columns, one table after the other.
    ///
    /// # Errors
    /// If their columns differ.
    pub(crate) fn concat(tables: Vec<Self>) -> Result<Self> {
        let mut tables = tables.into_iter();
        let Some(mut all) = tables.next() else { return Err(Error::file("", "no table")) };
        all.doubtful = None;
        // Lines of different files are no places any more.
        all.lines.clear();
        for table in tables {
            let names = |table: &Self| -> Vec<String> {
                table.columns.iter().map(|column| column.name.clone()).collect()
            };
            if names(&all) != names(&table) {
                let reason = format!(
                    "its columns are {:?}, those of the others {:?}",
                    names(&table),
                    names(&all)
                );
                return Err(Error::file(&table.path, reason));
            }
            for (column, other) in all.columns.iter_mut().zip(table.columns) {
                column.gaps.extend(other.gaps.iter().map(|row| row + all.rows));
                match (&mut column.cells, other.cells) {
                    (ColumnData::Numbers(numbers), ColumnData::Numbers(others)) => {
                        numbers.extend(others)
                    }
                    (ColumnData::Words(words), ColumnData::Words(others)) => words.extend(others),
                    _ => {
                        let name = &column.name;
                        let reason =
                            format!("column `{name}` has words, and numbers in another table");
                        return Err(Error::file(&table.path, reason));
                    }
                }
            }
            all.rows += table.rows;
            all.notes.extend(table.notes);
        }
        Ok(all)
    }

    /// A row in words, for messages: `line 7` of a text, `row 5` of an array.
    pub(crate) fn place(&self, row: usize) -> String {
        match self.lines.get(row) {
            Some(line) => format!("line {line}"),
            None => format!("row {row}"),
        }
    }

    /// Takes a first line that may be names for what makes `rows` rows, if one of both does.
    pub(crate) fn expect_rows(&mut self, rows: usize) {
        let Some(doubtful) = &self.doubtful else { return };
        let wanted = match doubtful.is_names {
            true => self.rows + 1 == rows,
            false => self.rows == rows + 1,
        };
        if wanted {
            self.turn_first_line();
        }
    }

    /// Takes a doubtful first line for the other thing.
    fn turn_first_line(&mut self) {
        let Some(doubtful) = self.doubtful.take() else { return };
        let number = |cell: &String| cell.parse().unwrap_or(f64::NAN);
        for (position, (column, cell)) in self.columns.iter_mut().zip(&doubtful.cells).enumerate() {
            match (&mut column.cells, doubtful.is_names) {
                (ColumnData::Numbers(numbers), true) => numbers.insert(0, number(cell)),
                (ColumnData::Words(words), true) => words.insert(0, cell.clone()),
                (ColumnData::Numbers(numbers), false) => drop(numbers.remove(0)),
                (ColumnData::Words(words), false) => drop(words.remove(0)),
            }
            column.named = !doubtful.is_names;
            column.name = if column.named { cell.clone() } else { position.to_string() };
        }
        match doubtful.is_names {
            true => self.lines.insert(0, doubtful.line),
            false => drop(self.lines.remove(0)),
        }
        self.rows = self.lines.len();
        self.doubtful = Some(Doubtful { is_names: !doubtful.is_names, ..doubtful });
    }

    /// What it tells about its first line where that may be doubted.
    pub(crate) fn first_line(&self) -> Option<String> {
        let Doubtful { cells, is_names, .. } = self.doubtful.as_ref()?;
        let line = cells.join(", ");
        is_names.then(|| format!("its first line, {line}, is taken for names of columns"))
    }

    /// The column that names the image of each row.
    pub(crate) fn file_column(&self) -> Option<usize> {
        if self.files.is_some() {
            return self.files;
        }
        let is_key = |column: &&TableColumn| match &column.cells {
            ColumnData::Words(words) => column.gaps.is_empty() && all_different(words),
            ColumnData::Numbers(_) => false,
        };
        let called = |name: &&str| {
            self.columns.iter().position(|column| column.is_called(&[*name]) && is_key(&column))
        };
        // The first name that is there counts, not the first column: `id` says less than `file`.
        FILE_COLUMNS.iter().find_map(called).or_else(|| {
            // An index of names that pandas wrote without a name, or a table without names.
            let first = self.columns.first().filter(|column| !column.named);
            first.filter(is_key).map(|_| 0)
        })
    }

    /// Says which column names the images.
    pub(crate) fn set_file_column(&mut self, column: usize) {
        self.files = Some(column);
    }

    /// The column that numbers the rows: called `index`, or without a name beside others that have one.
    pub(crate) fn index_column(&self) -> Option<usize> {
        let any_named = self.columns.iter().any(|column| column.named);
        let is_index =
            |column: &TableColumn| column.is_called(&INDEX_COLUMNS) || (!column.named && any_named);
        let known = |(position, column): &(usize, &TableColumn)| {
            Some(*position) != self.files && is_index(column) && column.indices().is_some()
        };
        self.columns.iter().enumerate().find(known).map(|(position, _)| position)
    }

    /// The numbers in the index column.
    pub(crate) fn indices(&self) -> Option<Vec<u64>> {
        self.columns[self.index_column()?].indices()
    }

    /// The positions of the columns without a name beside others that have one: what pandas writes there is
    /// an index.
    fn unnamed(&self) -> impl Iterator<Item = usize> + use<> {
        let named: Vec<bool> = self.columns.iter().map(|column| column.named).collect();
        let any = named.contains(&true);
        (0..named.len()).filter(move |position| any && !named[*position])
    }

    /// The positions of the columns that say something about the rows: neither names nor numbers them.
    pub(crate) fn content(&self) -> Vec<usize> {
        let mut keys: Vec<usize> = self.unnamed().collect();
        keys.extend(self.file_column());
        keys.extend(self.index_column());
        (0..self.columns.len()).filter(|column| !keys.contains(column)).collect()
    }

    /// Refuses a column in which a row has nothing, or a number that is infinite.
    ///
    /// # Errors
    /// Names the row and the column.
    pub(crate) fn check_complete(&self, column: &TableColumn, hint: &str) -> Result<()> {
        let name = &column.name;
        if let Some(row) = column.gaps.first() {
            let others = match column.gaps.len() {
                1 => String::new(),
                count => format!(" ({count} rows in all)"),
            };
            let row = self.named_place(*row);
            let reason = format!("{row}, column `{name}` is empty or NA{others}");
            return Err(Error::file_hint(&self.path, reason, hint));
        }
        if let ColumnData::Numbers(numbers) = &column.cells
            && let Some(row) = numbers.iter().position(|number| !number.is_finite())
        {
            let (number, row) = (numbers[row], self.named_place(row));
            let reason = format!("{row}, column `{name}` is {number}, expected a finite number");
            return Err(Error::file_hint(&self.path, reason, hint));
        }
        Ok(())
    }

    /// Makes keys of no columns: rows are known to be in order.
    pub(crate) fn in_order(&mut self) {
        let keys: Vec<usize> = self.file_column().into_iter().chain(self.index_column()).collect();
        let mut position = 0..;
        self.columns.retain(|_| position.next().is_none_or(|column| !keys.contains(&column)));
        self.files = None;
        self.ordered = true;
    }

    /// Whether [`Table::in_order`] has said so.
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// A row in words, with the image it is about, if it says.
    pub(crate) fn named_place(&self, row: usize) -> String {
        match self.file_column() {
            Some(column) => format!("{} (`{}`)", self.place(row), self.columns[column].text(row)),
            None => self.place(row),
        }
    }
}

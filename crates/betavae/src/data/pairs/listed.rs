//! The pairs of a user's table: two columns that name images, or number them from 0.

use std::path::Path;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::table::names::{NameIndex, NameMatch, slashes};
use crate::table::{ColumnData, Table, TableColumn, TableRole};
use crate::words::thousands;

/// The pairs, in the order of the table.
pub(super) struct ListedPairs(Vec<[usize; 2]>);

/// How the cells of a table name images.
struct Images {
    index: Option<NameIndex>,
    len: usize,
    /// Whether every name is a number, so that numbers in the table are names.
    are_numbered: bool,
}

impl ListedPairs {
    /// Reads the pairs of images of `data`, and notes about them.
    ///
    /// # Errors
    /// If it is not a table of two columns, a cell is empty, or names several images or an image twice; or if no pair is
    /// one of images of `data`.
    pub(super) fn read(path: &Path, data: &dyn Dataset) -> Result<(Self, Vec<String>)> {
        let table = Table::read(path, TableRole::Factors)?;
        let mut notes = table.notes.clone();
        let [first, second] = columns(&table)?;
        for column in [first, second] {
            table.check_complete(column, "a pair has two images")?;
        }
        let images = Images::of(data);
        if matches!(first.cells, ColumnData::Numbers(_)) && images.index.is_some() {
            let meaning = match images.are_numbered {
                true => "are names of files",
                false => "count the images from 0",
            };
            notes.push(format!("pairs: the numbers in {} {meaning}", path.display()));
        }
        let mut pairs = Vec::with_capacity(table.rows + 1);
        let mut unknown: Vec<String> = Vec::new();
        let mut take = |cells: [Cell<'_>; 2], place: &str| {
            let found = [images.find(cells[0], path, place)?, images.find(cells[1], path, place)?];
            match found {
                [Some(a), Some(b)] if a == b => {
                    let reason = format!("{place} pairs {} with itself", cells[0]);
                    return Err(Error::file(path, reason));
                }
                [Some(a), Some(b)] => pairs.push([a, b]),
                [None, _] => unknown.push(format!("{} in {place}", cells[0])),
                [_, None] => unknown.push(format!("{} in {place}", cells[1])),
            }
            Ok(())
        };
        // Names of columns that are names of images are a pair: the table has none.
        let header = [first, second].map(Cell::of_name);
        if let [Some(a), Some(b)] = header {
            let is_image =
                |cell| images.find(cell, path, "the first line").is_ok_and(|found| found.is_some());
            if is_image(a) && is_image(b) {
                take([a, b], "the first line")?;
            }
        }
        for row in 0..table.rows {
            let cells = [first, second].map(|column| Cell::of_row(column, row));
            take(cells, &table.place(row))?;
        }
        let Some(example) = unknown.first() else {
            notes.push(format!("pairs: {} of {}", thousands(pairs.len()), path.display()));
            return Ok((Self(pairs), notes));
        };
        if pairs.is_empty() {
            let reason =
                format!("none of its pairs are images of {}: there is no {example}", data.name());
            let hint = match images.index {
                Some(_) => "cells are names of files, with folders where names recur",
                None => "the images have no names; cells are their numbers from 0",
            };
            return Err(Error::file_hint(path, reason, hint));
        }
        notes.push(format!(
            "pairs: {} of {}; {} left out whose images are not there, such as {example}",
            thousands(pairs.len()),
            path.display(),
            thousands(unknown.len())
        ));
        Ok((Self(pairs), notes))
    }

    /// Number of pairs.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, position: usize) -> [usize; 2] {
        self.0[position]
    }
}

/// The two columns that name images.
fn columns(table: &Table) -> Result<[&TableColumn; 2]> {
    let index = table.index_column().filter(|_| table.columns.len() > 2);
    let columns: Vec<&TableColumn> =
        (0..table.columns.len()).filter(|k| Some(*k) != index).map(|k| &table.columns[k]).collect();
    if let [first, second] = columns[..] {
        return Ok([first, second]);
    }
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    Err(Error::Mismatch {
        what: format!("the columns of {}", table.path.display()),
        expected: "two, the images of each pair".into(),
        found: format!("{} ({})", names.len(), names.join(", ")),
        hint: String::new(),
    })
}

/// A cell that stands for an image.
#[derive(Clone, Copy)]
enum Cell<'a> {
    Number(f64),
    Word(&'a str),
}

impl<'a> Cell<'a> {
    fn of_row(column: &'a TableColumn, row: usize) -> Self {
        match &column.cells {
            ColumnData::Numbers(numbers) => Self::Number(numbers[row]),
            ColumnData::Words(words) => Self::Word(&words[row]),
        }
    }

    /// The name of a column as if it were a cell.
    fn of_name(column: &'a TableColumn) -> Option<Self> {
        let name = column.named.then_some(&*column.name)?;
        Some(match &column.cells {
            ColumnData::Numbers(_) => Self::Number(name.parse().ok()?),
            ColumnData::Words(_) => Self::Word(name),
        })
    }
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "image {number}"),
            Self::Word(word) => write!(f, "`{word}`"),
        }
    }
}

impl Images {
    fn of(data: &dyn Dataset) -> Self {
        let names: Option<Vec<String>> =
            (0..data.len()).map(|image| data.file_name(image).map(slashes)).collect();
        let is_number = |name: &String| {
            let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
            stem.bytes().all(|byte| byte.is_ascii_digit())
        };
        Self {
            are_numbered: names.as_ref().is_some_and(|names| names.iter().all(is_number)),
            index: names.as_ref().map(|names| NameIndex::new(names)),
            len: data.len(),
        }
    }

    /// The image that a cell stands for, if it is there.
    fn find(&self, cell: Cell<'_>, path: &Path, place: &str) -> Result<Option<usize>> {
        let name = match (cell, &self.index) {
            // Names as 000123.png are what such numbers mean.
            (Cell::Number(number), Some(_)) if self.are_numbered => number.to_string(),
            (Cell::Number(number), _) => {
                let is_index = number.fract() == 0.0 && (0.0..self.len as f64).contains(&number);
                return Ok(is_index.then_some(number as usize));
            }
            (Cell::Word(word), Some(_)) => word.to_owned(),
            (Cell::Word(_), None) => return Ok(None),
        };
        match self.index.as_ref().map_or(NameMatch::None, |index| index.find(&name)) {
            NameMatch::One(image) => Ok(Some(image)),
            NameMatch::None => Ok(None),
            NameMatch::Several => Err(Error::file_hint(
                path,
                format!("{place}: {cell} is the name of several images"),
                "write names with their folders",
            )),
        }
    }
}

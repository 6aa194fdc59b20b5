//! Parquet files with a column of encoded images, as the Hugging Face hub has them: a structure of
//! `bytes` and `path`, or plain binary. Columns of numbers become factors.
//!
//! Files are read page by page. The crate `parquet` does the decoding; it can panic on damaged files,
//! so it is called behind a fence.

use std::fs::File;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use rayon::prelude::*;

use super::bundle::{Bundle, COPY_AGAIN};
use super::labels::MAX_VALUES;
use super::pictures::{Decode, Encoded, Header, load, read_header};
use super::stored::{Opening, Stored};
use super::{DataConfig, Factors};
use crate::error::{Error, IoContext, Result};

/// Images that are in memory in their encoded form at a time.
const AT_ONCE: usize = 64;

/// Numbers that are read at a time.
const NUMBERS: usize = 4096;

/// Whether `path` is a Parquet file or a folder that has some.
pub(super) fn reads(path: &Path) -> bool {
    is_parquet(path) || (path.is_dir() && files(path).is_ok_and(|files| !files.is_empty()))
}

/// Opens the Parquet file `path`, or all in and below the folder `path` in the order of their names.
pub(super) fn open(path: &Path, opening: &mut Opening<'_>) -> Result<Stored> {
    let parts = if path.is_dir() { files(path)? } else { Vec::new() };
    let places = match parts.is_empty() {
        true => vec![path.to_owned()],
        false => parts.iter().map(|part| path.join(part)).collect(),
    };
    let tables = places.iter().map(|place| Table::open(place)).collect::<Result<Vec<_>>>()?;
    let key = opening.config.key.as_deref();
    let columns = tables.iter().map(|table| table.image_column(key)).collect::<Result<Vec<_>>>()?;
    let len = tables.iter().map(Table::rows).sum();
    let factors = match &opening.config.labels {
        Some(labels) => Some(super::labels::of_rows(&super::labels::beside(path, labels), len)?),
        None => factors(path, &tables, len)?,
    };
    let rows = Rows { tables, columns, len, at: Place::default(), reader: None };
    // The key names the column here; the geometry of images knows none.
    let config = DataConfig { key: None, ..opening.config.clone() };
    let mut opening =
        Opening { config: &config, cache: opening.cache, progress: &mut *opening.progress };
    let stored = load(path, &parts, Box::new(rows), factors, &mut opening)?;
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(Stored { about: format!("from {file_name}"), ..stored })
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(Bundle::folder(folder, is_parquet)?.names().map(Path::to_owned).collect())
}

/// Calls the library; a panic in it is an error like any other.
fn fenced<T>(
    path: &Path,
    work: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    let damaged = |reason: String| {
        Error::file_hint(path, format!("not readable as Parquet: {reason}"), COPY_AGAIN)
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| damaged(error.to_string())),
        Err(_) => Err(damaged("its structure contradicts itself".to_owned())),
    }
}

/// An opened file.
struct Table {
    path: PathBuf,
    reader: SerializedFileReader<File>,
}

impl Table {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context("open", path)?;
        let bytes = file.metadata().context("read", path)?.len();
        let reader = fenced(path, || SerializedFileReader::new(file))?;
        for group in reader.metadata().row_groups() {
            let most = group.columns().iter().map(|column| column.num_values()).max();
            let packed = group.columns().iter().map(|column| column.compressed_size()).max();
            let plausible = group.num_rows() >= 0
                && most.is_none_or(|values| values >= 0)
                && packed.is_none_or(|packed| packed >= 0 && packed as u64 <= bytes);
            if !plausible {
                let reason = format!("a group of {} rows is not plausible", group.num_rows());
                return Err(Error::file_hint(path, reason, COPY_AGAIN));
            }
        }
        Ok(Self { path: path.to_owned(), reader })
    }

    fn rows(&self) -> usize {
        let groups = self.reader.metadata().row_groups();
        groups.iter().fold(0, |rows, group| rows.saturating_add(group.num_rows().max(0) as usize))
    }

    fn columns(&self) -> impl Iterator<Item = (usize, &ColumnDescriptor)> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns();
        columns.iter().map(|column| &**column).enumerate()
    }

    /// The column with the images, which may be called `key`.
    fn image_column(&self, key: Option<&str>) -> Result<usize> {
        let is_binary = |column: &ColumnDescriptor| {
            let text = matches!(
                column.logical_type_ref(),
                Some(LogicalType::String | LogicalType::Json | LogicalType::Enum)
            );
            column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0 && !text
        };
        let called = |column: &ColumnDescriptor| {
            let path = column.path().string();
            key.is_none_or(|key| path == key || path.strip_suffix(".bytes") == Some(key))
        };
        let found: Vec<_> =
            self.columns().filter(|(_, column)| is_binary(column) && called(column)).collect();
        // A structure of `bytes` and `path` is meant for images; other binary columns may not be.
        let meant = |(_, column): &&(usize, &ColumnDescriptor)| {
            column.path().parts().len() == 2 && column.name() == "bytes"
        };
        let structures: Vec<_> = found.iter().filter(meant).copied().collect();
        let candidates = if structures.is_empty() { found } else { structures };
        match candidates.as_slice() {
            [(index, _)] => Ok(*index),
            several => {
                let all: Vec<_> =
                    self.columns().map(|(_, column)| column.path().string()).collect();
                let count = if several.is_empty() { "no column" } else { "more than one column" };
                let reason =
                    format!("{count} may hold images; the file has `{}`", all.join("`, `"));
                let hint = "name the column with `--set data.key=NAME`";
                Err(Error::file_hint(&self.path, reason, hint))
            }
        }
    }

    fn column(&self, group: usize, column: usize) -> Result<ColumnReader> {
        fenced(&self.path, || self.reader.get_row_group(group)?.get_column_reader(column))
    }

    /// All values of a column of numbers, unless some are missing.
    fn numbers(&self, column: usize) -> Result<Option<Vec<f64>>> {
        let mut numbers = Vec::new();
        for group in 0..self.reader.metadata().num_row_groups() {
            macro_rules! read {
                ($reader:expr) => {
                    self.group_numbers($reader, group, &mut numbers, |value| f64::from(*value))?
                };
            }
            let complete = match self.column(group, column)? {
                ColumnReader::BoolColumnReader(reader) => read!(reader),
                ColumnReader::Int32ColumnReader(reader) => read!(reader),
                ColumnReader::FloatColumnReader(reader) => read!(reader),
                ColumnReader::DoubleColumnReader(reader) => read!(reader),
                ColumnReader::Int64ColumnReader(reader) => {
                    self.group_numbers(reader, group, &mut numbers, |value| *value as f64)?
                }
                _ => false,
            };
            if !complete {
                return Ok(None);
            }
        }
        Ok(Some(numbers).filter(|numbers| numbers.iter().all(|number| number.is_finite())))
    }

    /// Appends the numbers of a row group; whether every row has one.
    fn group_numbers<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        group: usize,
        numbers: &mut Vec<f64>,
        number: impl Fn(&T::T) -> f64,
    ) -> Result<bool> {
        let mut left = self.reader.metadata().row_group(group).num_rows().max(0) as usize;
        while left > 0 {
            let mut values = Vec::new();
            self.read(&mut reader, left.min(NUMBERS), &mut values)?;
            if values.len() < left.min(NUMBERS) {
                return Ok(false);
            }
            left -= values.len();
            numbers.extend(values.iter().map(&number));
        }
        Ok(true)
    }

    /// Reads the values of the next `rows` rows; those that have none are left out.
    fn read<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        values: &mut Vec<T::T>,
    ) -> Result<()> {
        let mut levels = Vec::new();
        let read =
            fenced(&self.path, || reader.read_records(rows, Some(&mut levels), None, values))?;
        if read.0 != rows {
            let reason = format!("expected {rows} more rows, found {}", read.0);
            return Err(Error::file_hint(&self.path, reason, COPY_AGAIN));
        }
        Ok(())
    }
}

/// The columns that have a number in every row of every file.
fn factors(path: &Path, tables: &[Table], len: usize) -> Result<Option<Factors>> {
    let Some(first) = tables.first() else { return Ok(None) };
    let is_number = |column: &ColumnDescriptor| {
        let number = matches!(
            column.physical_type(),
            Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE
        );
        number && column.max_rep_level() == 0
    };
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for (_, column) in first.columns().filter(|(_, column)| is_number(column)) {
        let name = column.path().string();
        let place = |table: &Table| {
            table.columns().find(|(_, other)| other.path().string() == name).map(|(index, _)| index)
        };
        if (columns.len() + 1).saturating_mul(len) > MAX_VALUES {
            break;
        }
        let numbers = tables.iter().map(|table| match place(table) {
            Some(index) => table.numbers(index),
            None => Ok(None),
        });
        if let Some(numbers) = numbers.collect::<Result<Option<Vec<_>>>>()? {
            columns.push(numbers.concat());
            names.push(name);
        }
    }
    if columns.is_empty() || len == 0 {
        return Ok(None);
    }
    let rows = (0..len).flat_map(|row| columns.iter().map(move |column| column[row]));
    let values: Vec<f64> = rows.collect();
    Factors::from_values(&names, &values)
        .map(Some)
        .map_err(|error| Error::file(path, error.to_string()))
}

/// The images of all files, row by row.
struct Rows {
    tables: Vec<Table>,
    /// The column of the images in each file.
    columns: Vec<usize>,
    len: usize,
    at: Place,
    /// The reader of the row group at hand.
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
}

/// The next row.
#[derive(Clone, Copy, Default)]
struct Place {
    table: usize,
    group: usize,
    /// In the row group.
    row: usize,
    /// In the file.
    file_row: usize,
}

impl Rows {
    /// The next images with their places, at most [`AT_ONCE`] and at most `most` of them.
    fn take(&mut self, most: usize) -> Result<Vec<(PathBuf, ByteArray)>> {
        loop {
            let Place { table: number, group, row, file_row } = self.at;
            let Some(table) = self.tables.get(number) else {
                return Err(Error::file("", "there are fewer rows than announced"));
            };
            if group == table.reader.metadata().num_row_groups() {
                self.at = Place { table: number + 1, ..Place::default() };
                continue;
            }
            let rows = table.reader.metadata().row_group(group).num_rows().max(0) as usize;
            if row == rows {
                self.at = Place { group: group + 1, row: 0, ..self.at };
                self.reader = None;
                continue;
            }
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => match table.column(group, self.columns[number])? {
                    ColumnReader::ByteArrayColumnReader(reader) => none.insert(reader),
                    _ => return Err(Error::file(&table.path, "the column holds no images")),
                },
            };
            let (count, mut values) = (most.min(rows - row).min(AT_ONCE), Vec::new());
            table.read(reader, count, &mut values)?;
            if values.len() < count {
                let reason = format!("rows {file_row} to {} lack an image", file_row + count - 1);
                return Err(Error::file_hint(&table.path, reason, "remove rows without an image"));
            }
            self.at = Place { row: row + count, file_row: file_row + count, ..self.at };
            let place =
                |i| PathBuf::from(format!("{}, row {}", table.path.display(), file_row + i));
            return Ok(values
                .into_iter()
                .enumerate()
                .map(|(i, value)| (place(i), value))
                .collect());
        }
    }
}

impl Encoded for Rows {
    fn len(&self) -> usize {
        self.len
    }

    fn headers(&mut self) -> Result<Vec<Header>> {
        let mut headers = Vec::new();
        while headers.len() < self.len {
            let images = self.take(self.len - headers.len())?;
            let more: Result<Vec<_>> = images
                .into_par_iter()
                .map(|(place, image)| read_header(place, Cursor::new(image.data())))
                .collect();
            headers.extend(more?);
        }
        (self.at, self.reader) = (Place::default(), None);
        Ok(headers)
    }

    fn next(&mut self, images: Vec<&mut [u8]>, decode: &Decode<'_>) -> Result<()> {
        let mut images = images;
        while !images.is_empty() {
            let content = self.take(images.len())?;
            let rest = images.split_off(content.len());
            images
                .into_par_iter()
                .zip(content)
                .try_for_each(|(pixels, (place, image))| decode(&place, image.data(), pixels))?;
            images = rest;
        }
        Ok(())
    }
}

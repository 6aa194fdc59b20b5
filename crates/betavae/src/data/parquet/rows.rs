//! The images in the rows of Parquet files, read page by page, and the other columns as factors.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::schema::types::ColumnDescriptor;
use rayon::prelude::*;

use super::super::labels::{self, GapPolicy, ImagesToLabel};
use super::super::pictures::{Decode, EncodedImages, ImageHeader, load, read_header};
use super::super::split;
use super::super::stored::{OpenContext, StoredDataset};
use super::files;
use crate::error::{Error, Result, in_order};
use crate::table::parquet::{ParquetFile, table};

/// Images that are in memory in their encoded form at a time.
const AT_ONCE: usize = 64;

/// Opens the Parquet file `path`, or all in and below the folder `path` in the order of their names.
pub(in super::super) fn open(path: &Path, opening: &mut OpenContext<'_>) -> Result<StoredDataset> {
    let mut parts = if path.is_dir() { files(path)? } else { Vec::new() };
    let wanted = split::choose(path, &parts, opening.config.split, "file", &mut opening.notes)?;
    parts = wanted.into_iter().map(|part| parts[part].clone()).collect();
    let places = match parts.is_empty() {
        true => vec![path.to_owned()],
        false => parts.iter().map(|part| path.join(part)).collect(),
    };
    let opening_key = opening.config.key.clone();
    let make_rows = || {
        let files =
            places.iter().map(|place| ParquetFile::open(place)).collect::<Result<Vec<_>>>()?;
        let key = opening_key.as_deref();
        let columns =
            files.iter().map(|file| image_column(file, key)).collect::<Result<Vec<_>>>()?;
        let len = files.iter().map(ParquetFile::rows).sum();
        Ok(Rows { files, columns, len, at: Place::default(), reader: None })
    };
    let rows: Rows = make_rows()?;
    let images = ImagesToLabel { path, len: rows.len, files: None };
    let labels = match labels::configured_labels(opening.config, &images)? {
        Some(labels) => labels,
        None => other_columns(path, &rows, &images)?,
    };
    let make = || Ok(Box::new(make_rows()?) as Box<dyn EncodedImages>);
    let (stored, kept) = load(path, &parts, &make, None, opening)?;
    let factors = labels.factors.map(|factors| kept.select_factors(factors));
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let notes = stored.notes.into_iter().chain(labels.notes).collect();
    Ok(StoredDataset { about: format!("from {file_name}"), factors, notes, ..stored })
}

/// The other columns as factors.
fn other_columns(
    path: &Path,
    rows: &Rows,
    images: &ImagesToLabel<'_>,
) -> Result<labels::FoundLabels> {
    let image = rows.files[0].columns().nth(rows.columns[0]);
    let image = image.map(|(_, column)| column.path().parts()[0].clone()).unwrap_or_default();
    let mut columns = table(path, &rows.files, &[image])?;
    // The rows are those of the images, whatever else they are called.
    columns.in_order();
    let mut labels = labels::of_table(columns, images, GapPolicy::LeftOut)?;
    if labels.factors.is_some() {
        labels.notes.insert(0, format!("factors from its columns{}", labels::factor_list(&labels)));
    }
    Ok(labels)
}

/// The column with the images, which may be called `key`.
fn image_column(file: &ParquetFile, key: Option<&str>) -> Result<usize> {
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
        file.columns().filter(|(_, column)| is_binary(column) && called(column)).collect();
    // A structure of `bytes` and `path` is meant for images; other binary columns may not be.
    let meant = |(_, column): &&(usize, &ColumnDescriptor)| {
        column.path().parts().len() == 2 && column.name() == "bytes"
    };
    let structures: Vec<_> = found.iter().filter(meant).copied().collect();
    let candidates = if structures.is_empty() { found } else { structures };
    match candidates.as_slice() {
        [(index, _)] => Ok(*index),
        several => {
            let all: Vec<_> = file.columns().map(|(_, column)| column.path().string()).collect();
            let count = if several.is_empty() { "no column" } else { "more than one column" };
            let reason = format!("{count} may hold images; the file has `{}`", all.join("`, `"));
            let hint = "name the column with `--set data.key=NAME`";
            Err(Error::file_hint(&file.path, reason, hint))
        }
    }
}

/// The images of all files, row by row.
struct Rows {
    files: Vec<ParquetFile>,
    /// The column of the images in each file.
    columns: Vec<usize>,
    len: usize,
    at: Place,
    /// The reader of the current row group.
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
}

/// The next row.
#[derive(Clone, Copy, Default)]
struct Place {
    file: usize,
    group: usize,
    /// In the row group.
    row: usize,
    /// In the file.
    file_row: usize,
    /// Among all rows.
    all: usize,
}

/// The place of an image for messages, and its content, if there is one.
type Row = (PathBuf, Option<ByteArray>);

impl Rows {
    /// The next rows, at most [`AT_ONCE`] and at most `most` of them.
    fn take(&mut self, most: usize) -> Result<Vec<Row>> {
        loop {
            let Place { file: number, group, row, file_row, all } = self.at;
            let Some(file) = self.files.get(number) else {
                return Err(Error::file("", "there are fewer rows than announced"));
            };
            if group == file.groups() {
                self.at = Place { file: number + 1, all, ..Place::default() };
                continue;
            }
            let rows = file.rows_of(group);
            if row == rows {
                self.at = Place { group: group + 1, row: 0, ..self.at };
                self.reader = None;
                continue;
            }
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => match file.column(group, self.columns[number])? {
                    ColumnReader::ByteArrayColumnReader(reader) => none.insert(reader),
                    _ => return Err(Error::file(&file.path, "the column holds no images")),
                },
            };
            let (count, mut values) = (most.min(rows - row).min(AT_ONCE), Vec::new());
            let present = file.read(reader, count, &mut values)?;
            let path = file.path.display().to_string();
            let mut values = values.into_iter();
            let rows = present.into_iter().enumerate().map(|(i, present)| {
                let value = if present { values.next() } else { None };
                (PathBuf::from(format!("{path}, row {}", file_row + i)), value)
            });
            let rows = rows.collect();
            let (row, file_row, all) = (row + count, file_row + count, all + count);
            self.at = Place { row, file_row, all, ..self.at };
            return Ok(rows);
        }
    }
}

/// The image of a row.
fn content(place: &Path, value: Option<&ByteArray>) -> Result<ByteArray> {
    let value = value.filter(|value| !value.data().is_empty());
    value.cloned().ok_or_else(|| no_image(place))
}

fn no_image(place: &Path) -> Error {
    Error::file_hint(place, "it has no image", "rows need the bytes of their images, not paths")
}

impl EncodedImages for Rows {
    fn len(&self) -> usize {
        self.len
    }

    fn headers(&mut self) -> Result<Vec<Result<ImageHeader>>> {
        let mut headers = Vec::new();
        while headers.len() < self.len {
            let rows = self.take(self.len - headers.len())?;
            headers.par_extend(rows.into_par_iter().map(|(place, value)| {
                let image = content(&place, value.as_ref())?;
                read_header(place, Cursor::new(image.data()))
            }));
        }
        (self.at, self.reader) = (Place::default(), None);
        Ok(headers)
    }

    fn next(
        &mut self,
        positions: &[usize],
        pixels: Vec<&mut [u8]>,
        decode: &Decode<'_>,
    ) -> Result<()> {
        let mut wanted = positions.iter().copied().zip(pixels).peekable();
        while let Some((last, _)) = wanted.peek() {
            // What is left out between them is read and forgotten.
            let first = self.at.all;
            let most = positions[positions.len() - 1] + 1 - first.min(*last);
            let rows = self.take(most)?;
            let mut now = Vec::new();
            for (i, row) in rows.into_iter().enumerate() {
                if let Some((position, pixels)) =
                    wanted.next_if(|(position, _)| *position == first + i)
                {
                    now.push((position, row, pixels));
                }
            }
            let decoded = now.into_par_iter().map(|(position, (place, value), pixels)| {
                let image = content(&place, value.as_ref());
                let bytes = image.as_ref().map(ByteArray::data);
                match bytes {
                    Ok(bytes) => decode(position, &place, Ok(bytes), pixels),
                    Err(_) => decode(
                        position,
                        &place,
                        Err(Error::file(&place, "it has no image")),
                        pixels,
                    ),
                }
            });
            in_order(decoded)?;
        }
        Ok(())
    }
}

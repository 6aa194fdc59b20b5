//! Columns of Parquet files. The crate `parquet` decodes them; it can panic on damaged files, so it is called
//! behind a fence.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::cells::is_gap;
use super::{ColumnData, MAX_VALUES, Table, TableColumn};
use crate::error::{Error, IoContext, Result};

const COPY_AGAIN: &str = "the file is damaged: copy or download it again";

/// Values that are read at a time.
const AT_ONCE: usize = 4096;

/// Reads all columns of numbers and words.
pub(super) fn read(path: &Path) -> Result<Table> {
    table(path, &[ParquetFile::open(path)?], &[])
}

/// The columns of numbers and words of several files with the same columns, one file after the other, but
/// for those below `skipped`.
pub(crate) fn table(path: &Path, files: &[ParquetFile], skipped: &[String]) -> Result<Table> {
    let rows = files.iter().map(ParquetFile::rows).fold(0_usize, usize::saturating_add);
    let Some(first) = files.first().filter(|_| rows > 0) else {
        return Err(Error::file(path, "not a table: it is empty"));
    };
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    for (_, column) in first.columns() {
        let name = column.path().string();
        let is_below = |whole: &String| {
            name.strip_prefix(whole.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if skipped.iter().any(is_below) {
            continue;
        }
        if (columns.len() + 1).saturating_mul(rows) > MAX_VALUES {
            let reason = format!("it has more than {MAX_VALUES} values, which are not read");
            return Err(Error::file(path, reason));
        }
        let parts: Option<Vec<ColumnPart>> =
            files.iter().map(|file| file.part(&name)).collect::<Result<_>>()?;
        match parts {
            Some(parts) => columns.push(joined(name, columns.len(), parts)),
            None => left_out.push(format!("`{name}`")),
        }
    }
    let mut table = Table::new(path, columns, rows);
    if !left_out.is_empty() {
        let left_out = left_out.join(", ");
        table.notes.push(format!("{left_out} left out: neither numbers nor words in every file"));
    }
    Ok(table)
}

/// A column of one file; `None` where a row has no value.
enum ColumnPart {
    Numbers(Vec<Option<f64>>),
    Words(Vec<Option<String>>),
}

fn joined(name: String, position: usize, parts: Vec<ColumnPart>) -> TableColumn {
    let numbers = parts.iter().all(|part| matches!(part, ColumnPart::Numbers(_)));
    let (mut gaps, mut values, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let texts: Vec<Option<String>> = match part {
            ColumnPart::Numbers(part) if numbers => {
                for value in part {
                    if value.is_none_or(f64::is_nan) {
                        gaps.push(values.len());
                    }
                    values.push(value.unwrap_or(f64::NAN));
                }
                continue;
            }
            ColumnPart::Numbers(part) => {
                part.into_iter().map(|value| value.map(|value| value.to_string())).collect()
            }
            ColumnPart::Words(part) => part,
        };
        for text in texts {
            let text = text.map(|text| text.trim().to_owned()).filter(|text| !is_gap(text));
            if text.is_none() {
                gaps.push(words.len());
            }
            words.push(text.unwrap_or_default());
        }
    }
    let cells = if numbers { ColumnData::Numbers(values) } else { ColumnData::Words(words) };
    TableColumn { gaps, ..TableColumn::new(Some(name), position, cells) }
}

/// An opened file.
pub(crate) struct ParquetFile {
    pub(crate) path: PathBuf,
    reader: SerializedFileReader<Strict>,
}

impl ParquetFile {
    /// Opens a file and checks the sizes it claims.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).context("open", path)?;
        let bytes = file.metadata().context("read", path)?.len();
        let reader = fenced(path, || SerializedFileReader::new(Strict(file)))?;
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

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        (0..self.groups()).fold(0, |rows, group| rows.saturating_add(self.rows_of(group)))
    }

    /// Number of groups of rows.
    pub(crate) fn groups(&self) -> usize {
        self.reader.metadata().num_row_groups()
    }

    /// Rows of a group.
    pub(crate) fn rows_of(&self, group: usize) -> usize {
        self.reader.metadata().row_group(group).num_rows().max(0) as usize
    }

    /// Positions and descriptions of all columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (usize, &ColumnDescriptor)> {
        let columns = self.reader.metadata().file_metadata().schema_descr().columns();
        columns.iter().map(|column| &**column).enumerate()
    }

    /// The values of a column in a group.
    pub(crate) fn column(&self, group: usize, column: usize) -> Result<ColumnReader> {
        fenced(&self.path, || self.reader.get_row_group(group)?.get_column_reader(column))
    }

    /// Reads the next `rows` rows: the values of those that have one, and whether each has one.
    pub(crate) fn read<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        values: &mut Vec<T::T>,
    ) -> Result<Vec<bool>> {
        let mut levels = Vec::new();
        let before = values.len();
        let read =
            fenced(&self.path, || reader.read_records(rows, Some(&mut levels), None, values))?;
        let complete = read.0 == rows && (levels.is_empty() || levels.len() == rows);
        let most = levels.iter().copied().max().unwrap_or(0);
        // Where all rows lack a value, no level is the highest one.
        let present: Vec<bool> = match values.len() - before {
            count if count == rows => vec![true; rows],
            0 => vec![false; rows],
            _ => levels.iter().map(|level| *level == most).collect(),
        };
        let count = present.iter().filter(|present| **present).count();
        if !complete || count != values.len() - before {
            let reason = format!("expected {rows} more rows, found {}", read.0);
            return Err(Error::file_hint(&self.path, reason, COPY_AGAIN));
        }
        Ok(present)
    }

    /// The values of the column called `name`, if it is one of numbers or words.
    fn part(&self, name: &str) -> Result<Option<ColumnPart>> {
        let found = self.columns().find(|(_, column)| column.path().string() == name);
        let Some((position, column)) = found.filter(|(_, column)| column.max_rep_level() == 0)
        else {
            return Ok(None);
        };
        let is_text =
            matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum));
        let mut numbers = Vec::new();
        let mut words = Vec::new();
        for group in 0..self.groups() {
            macro_rules! read {
                ($reader:expr, $into:ident, $value:expr) => {
                    self.append($reader, group, &mut $into, $value)?
                };
            }
            match self.column(group, position)? {
                ColumnReader::BoolColumnReader(reader) => {
                    read!(reader, numbers, |value| Some(f64::from(u8::from(*value))));
                }
                ColumnReader::Int32ColumnReader(reader) => {
                    read!(reader, numbers, |value| Some(f64::from(*value)));
                }
                ColumnReader::Int64ColumnReader(reader) => {
                    read!(reader, numbers, |value| Some(*value as f64));
                }
                ColumnReader::FloatColumnReader(reader) => {
                    read!(reader, numbers, |value| Some(f64::from(*value)));
                }
                ColumnReader::DoubleColumnReader(reader) => {
                    read!(reader, numbers, |value| Some(*value));
                }
                ColumnReader::ByteArrayColumnReader(reader) if is_text => {
                    let word = |value: &ByteArray| {
                        Some(String::from_utf8_lossy(value.data()).into_owned())
                    };
                    read!(reader, words, word);
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(match column.physical_type() {
            Type::BYTE_ARRAY => ColumnPart::Words(words),
            _ => ColumnPart::Numbers(numbers),
        }))
    }

    /// Appends the values of a group.
    fn append<T: DataType, V>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        group: usize,
        values: &mut Vec<Option<V>>,
        convert: impl Fn(&T::T) -> Option<V>,
    ) -> Result<()> {
        let mut left = self.rows_of(group);
        while left > 0 {
            let mut found = Vec::new();
            let present = self.read(&mut reader, left.min(AT_ONCE), &mut found)?;
            left -= present.len();
            let mut found = found.iter();
            values.extend(
                present
                    .into_iter()
                    .map(|present| if present { found.next().and_then(&convert) } else { None }),
            );
        }
        Ok(())
    }
}

/// A file in which reading at its end is an error. The library takes the end for a field without bytes, and skips a list
/// of billions of these one by one where a damaged header claims so.
struct Strict(File);

impl Length for Strict {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Strict {
    type T = BufReader<StrictReader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Its buffer is empty still, so that nothing is lost.
        Ok(BufReader::new(StrictReader(self.0.get_read(start)?.into_inner())))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

struct StrictReader(File);

impl Read for StrictReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Calls the library; a panic in it is an error like any other.
pub(crate) fn fenced<T>(
    path: &Path,
    work: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        // What the library was built without is no fault of the file.
        Ok(Err(ParquetError::NYI(reason))) => Err(Error::file_hint(
            path,
            format!("not readable as Parquet: {reason}"),
            "write it again with compression=\"zstd\" or \"snappy\"",
        )),
        Ok(Err(error)) => {
            let reason = error.to_string();
            let unsupported = ["not installed", "not supported", "Disabled feature"];
            let hint = match unsupported.iter().any(|words| reason.contains(words)) {
                true => "write it again with compression=\"zstd\" or \"snappy\"",
                false => COPY_AGAIN,
            };
            Err(Error::file_hint(path, format!("not readable as Parquet: {reason}"), hint))
        }
        Err(_) => {
            let reason = "not readable as Parquet: its structure contradicts itself";
            Err(Error::file_hint(path, reason, COPY_AGAIN))
        }
    }
}

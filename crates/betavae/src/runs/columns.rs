//! A table of runs for other programs: csv, and Parquet, which pandas, polars and R read.

use std::io::BufWriter;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::{AtomicFile, extension_of};

/// One property of every run.
#[derive(Clone, Debug, PartialEq)]
pub struct DataColumn {
    /// Such as `objective.beta`, `sampled.kl` or `mig`.
    pub name: String,
    /// Of each run.
    pub values: DataValues,
}

/// The values of a column; absent where a run has none.
#[derive(Clone, Debug, PartialEq)]
pub enum DataValues {
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Words.
    Words(Vec<Option<String>>),
}

impl DataColumn {
    /// A column of numbers.
    pub fn numbers(name: impl Into<String>, values: impl Iterator<Item = Option<f64>>) -> Self {
        Self { name: name.into(), values: DataValues::Numbers(values.collect()) }
    }

    /// A column of words.
    pub fn words(name: impl Into<String>, values: impl Iterator<Item = Option<String>>) -> Self {
        Self { name: name.into(), values: DataValues::Words(values.collect()) }
    }

    fn text(&self, row: usize) -> String {
        match &self.values {
            DataValues::Numbers(values) => values[row].map_or(String::new(), |x| x.to_string()),
            DataValues::Words(values) => values[row].clone().unwrap_or_default(),
        }
    }

    fn len(&self) -> usize {
        match &self.values {
            DataValues::Numbers(values) => values.len(),
            DataValues::Words(values) => values.len(),
        }
    }
}

/// Writes columns of equal length as the file's name says: `.csv` or `.parquet`. The file is there completely or not at all.
///
/// # Errors
/// If its name says something else, or the disk fails.
pub fn write_columns(path: &Path, columns: &[DataColumn]) -> Result<()> {
    match extension_of(path).as_str() {
        "csv" => write_csv(path, columns),
        #[cfg(feature = "formats")]
        "parquet" => parquet_file::write(path, columns),
        #[cfg(not(feature = "formats"))]
        "parquet" => Err(Error::needs_formats(path, "Parquet files")),
        other => Err(Error::file_hint(
            path,
            format!("expected a name that ends in .csv or .parquet, found `.{other}`"),
            "",
        )),
    }
}

fn write_csv(path: &Path, columns: &[DataColumn]) -> Result<()> {
    let mut file = csv::Writer::from_writer(BufWriter::new(AtomicFile::create(path)?));
    let mut write = || -> csv::Result<()> {
        file.write_record(columns.iter().map(|column| &column.name))?;
        for row in 0..columns.first().map_or(0, DataColumn::len) {
            file.write_record(columns.iter().map(|column| column.text(row)))?;
        }
        Ok(())
    };
    write().map_err(|error| Error::of_csv(path, error))?;
    let buffer = file.into_inner().map_err(|error| Error::file(path, error.to_string()))?;
    let file = buffer.into_inner().map_err(|error| Error::io("write", path, error.into_error()))?;
    file.finish()
}

#[cfg(feature = "formats")]
mod parquet_file {
    use std::io::{BufWriter, Write};
    use std::path::Path;
    use std::sync::Arc;

    use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::errors::Result as ParquetResult;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::types::Type;

    use super::{DataColumn, DataValues};
    use crate::error::{Error, Result};
    use crate::files::AtomicFile;

    pub(super) fn write(path: &Path, columns: &[DataColumn]) -> Result<()> {
        let file = AtomicFile::create(path)?;
        let buffer = write_to(BufWriter::new(file), columns)
            .map_err(|error| Error::of_parquet(path, error))?;
        let file = buffer.into_inner();
        file.map_err(|error| Error::io("write", path, error.into_error()))?.finish()
    }

    fn write_to<W: Write + Send>(file: W, columns: &[DataColumn]) -> ParquetResult<W> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let mut file =
            SerializedFileWriter::new(file, schema(columns)?, properties.build().into())?;
        let mut group = file.next_row_group()?;
        for column in columns {
            let Some(mut writer) = group.next_column()? else { break };
            match &column.values {
                DataValues::Numbers(values) => {
                    let present: Vec<f64> = values.iter().flatten().copied().collect();
                    writer.typed::<DoubleType>().write_batch(
                        &present,
                        Some(&levels(values)),
                        None,
                    )?
                }
                DataValues::Words(values) => {
                    let present: Vec<ByteArray> =
                        values.iter().flatten().map(|word| word.as_str().into()).collect();
                    writer.typed::<ByteArrayType>().write_batch(
                        &present,
                        Some(&levels(values)),
                        None,
                    )?
                }
            };
            writer.close()?;
        }
        group.close()?;
        file.into_inner()
    }

    /// 1 where there is a value.
    fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
        values.iter().map(|value| i16::from(value.is_some())).collect()
    }

    fn schema(columns: &[DataColumn]) -> ParquetResult<Arc<Type>> {
        let field = |column: &DataColumn| {
            let (physical, logical) = match column.values {
                DataValues::Numbers(_) => (Physical::DOUBLE, None),
                DataValues::Words(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(&column.name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical);
            field.build().map(Arc::new)
        };
        let fields = columns.iter().map(field).collect::<ParquetResult<_>>()?;
        Ok(Arc::new(Type::group_type_builder("runs").with_fields(fields).build()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ColumnData, Table, TableRole};

    #[test]
    fn both_formats_hold_numbers_words_and_gaps() {
        let columns = [
            DataColumn::words(
                "name",
                [Some("a, \"b\""), Some("c")].map(|x| x.map(str::to_owned)).into_iter(),
            ),
            DataColumn::numbers("mig", [Some(0.25), None].into_iter()),
        ];
        let folder = tempfile::tempdir().unwrap();
        for name in ["runs.csv", "runs.parquet"] {
            let path = folder.path().join(name);
            write_columns(&path, &columns).unwrap();
            let table = Table::read(&path, TableRole::Factors).unwrap();
            assert_eq!((table.rows, table.columns[1].gaps.clone()), (2, vec![1]), "{name}");
            assert_eq!(table.columns[0].text(0), "a, \"b\"");
            let ColumnData::Numbers(numbers) = &table.columns[1].cells else { panic!("{name}") };
            assert_eq!(numbers[0], 0.25);
        }
        let error = write_columns(&folder.path().join("runs.xlsx"), &columns).unwrap_err();
        assert!(error.to_string().contains("found `.xlsx`"), "{error}");
    }
}

//! Codes as a Parquet file: `index`, `file` if images have names, `mean_0` .., `log_var_0` ...

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::CodeRows;
use crate::error::{Error, Result};
use crate::files::AtomicFile;

/// Rows that wait for each other, so that columns are long enough to be read fast.
const GROUP: usize = 1 << 16;

/// A Parquet file that is being written.
pub(super) struct ParquetWriter {
    path: PathBuf,
    latents: usize,
    /// Once the first rows have told whether there are names.
    file: Option<SerializedFileWriter<BufWriter<AtomicFile>>>,
    unopened: Option<AtomicFile>,
    index: Vec<i64>,
    names: Vec<ByteArray>,
    /// Row by row, [rows, D] each.
    codes: [Vec<f32>; 2],
}

impl ParquetWriter {
    pub(super) fn create(path: &Path, latents: usize) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            latents,
            file: None,
            unopened: Some(AtomicFile::create(path)?),
            index: Vec::new(),
            names: Vec::new(),
            codes: Default::default(),
        })
    }

    pub(super) fn write(&mut self, rows: CodeRows<'_>) -> Result<()> {
        self.open(!rows.files.is_empty())?;
        self.index.extend(rows.indices.iter().map(|index| *index as i64));
        self.names.extend(rows.files.iter().map(|name| ByteArray::from(name.as_str())));
        self.codes[0].extend(&rows.codes.mean);
        self.codes[1].extend(&rows.codes.log_var);
        if self.index.len() >= GROUP { self.group() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.open(false)?;
        self.group()?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let finished = file.into_inner().and_then(|mut buffer| {
            buffer.flush()?;
            buffer
                .into_inner()
                .map_err(|error| ParquetError::External(Box::new(error.into_error())))
        });
        finished.map_err(|error| self.error(error))?.finish()
    }

    fn open(&mut self, with_names: bool) -> Result<()> {
        let Some(unopened) = self.unopened.take() else { return Ok(()) };
        let opened = schema(self.latents, with_names).and_then(|schema| {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
            SerializedFileWriter::new(BufWriter::new(unopened), schema, properties.build().into())
        });
        self.file = Some(opened.map_err(|error| self.error(error))?);
        Ok(())
    }

    /// Writes what has come together, if anything, column by column.
    fn group(&mut self) -> Result<()> {
        if self.index.is_empty() {
            return Ok(());
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let (index, names, codes) = (&self.index, &self.names, &self.codes);
        let written = (|| {
            let mut group = file.next_row_group()?;
            macro_rules! column {
                ($type:ty, $values:expr) => {
                    if let Some(mut column) = group.next_column()? {
                        column.typed::<$type>().write_batch($values, None, None)?;
                        column.close()?;
                    }
                };
            }
            column!(Int64Type, index);
            if !names.is_empty() {
                column!(ByteArrayType, names);
            }
            for values in codes {
                for latent in 0..self.latents {
                    let column: Vec<f32> =
                        values.iter().skip(latent).step_by(self.latents).copied().collect();
                    column!(FloatType, &column);
                }
            }
            group.close()
        })();
        let written = written.map(|_| ());
        written.map_err(|error| self.error(error))?;
        self.index.clear();
        self.names.clear();
        self.codes.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    fn error(&self, error: ParquetError) -> Error {
        Error::of_parquet(&self.path, error)
    }
}

fn schema(latents: usize, with_names: bool) -> ParquetResult<Arc<Type>> {
    let column = |name: &str, kind: Physical, logical: Option<LogicalType>| {
        let column = Type::primitive_type_builder(name, kind).with_repetition(Repetition::REQUIRED);
        column.with_logical_type(logical).build().map(Arc::new)
    };
    let mut columns = vec![column("index", Physical::INT64, None)?];
    if with_names {
        columns.push(column("file", Physical::BYTE_ARRAY, Some(LogicalType::String))?);
    }
    for name in ["mean", "log_var"] {
        for latent in 0..latents {
            columns.push(column(&format!("{name}_{latent}"), Physical::FLOAT, None)?);
        }
    }
    Ok(Arc::new(Type::group_type_builder("codes").with_fields(columns).build()?))
}

//! Files of codes, written batch by batch while images are encoded, so that memory does not grow with
//! the number of images.
//!
//! | file | holds |
//! | --- | --- |
//! | `.npz` | `mean` and `log_var` [N, D] f32; `indices` `[N]` of the images, if asked for; `files` `[N]`, their names, if they have some |
//! | `.npy` | the means [N, D] f32 alone |
//! | `.parquet` | a row per image, with the columns of the `.csv` (cargo feature `formats`) |
//! | `.csv` | a line per image: `index`, `file` if images have names, `mean_0` .., `log_var_0` .. |

#[cfg(feature = "formats")]
mod parquet;

use std::io::{BufRead, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::evaluate::Codes;
use crate::files::{AtomicFile, Spool, extension_of};
use crate::npz::{Element, NpzWriter, header};

/// The endings that [`CodesWriter`] knows.
#[cfg(feature = "formats")]
pub(crate) const FORMATS: [&str; 4] = ["npz", "npy", "csv", "parquet"];
/// The endings that [`CodesWriter`] knows.
#[cfg(not(feature = "formats"))]
pub(crate) const FORMATS: [&str; 3] = ["npz", "npy", "csv"];

/// Posterior parameters of some images of a data set, as they go to a file.
#[derive(Clone, Copy, Debug)]
pub struct CodeRows<'a> {
    /// Which images, `[n]`.
    pub indices: &'a [usize],
    /// Their names, `[n]`, or nothing if they have none.
    pub files: &'a [String],
    /// Means and log-variances, [n, D].
    pub codes: &'a Codes,
}

/// Writes codes to a file whose ending tells the format. The file appears when
/// [`CodesWriter::finish`] succeeds; until then, and after a failure, what was at its path stays.
pub struct CodesWriter {
    path: PathBuf,
    count: usize,
    written: usize,
    format: OpenFile,
}

enum OpenFile {
    Npz(Box<SpooledNpz>),
    Npy(BufWriter<AtomicFile>),
    Csv(Box<csv::Writer<AtomicFile>>),
    #[cfg(feature = "formats")]
    Parquet(Box<parquet::ParquetWriter>),
}

/// Arrays of an `.npz` file lie one after the other, so they wait in temporary files.
struct SpooledNpz {
    latents: usize,
    mean: Spool,
    log_var: Spool,
    indices: Option<Spool>,
    files: Spool,
    /// The longest name in characters.
    longest: usize,
}

impl CodesWriter {
    /// Starts a file for the codes of `count` images with `latents` latents each; `with_indices`
    /// keeps which images they are.
    ///
    /// # Errors
    /// If the ending of `path` is none of `.npz`, `.npy`, `.csv` and `.parquet`, or the file cannot be created.
    pub fn create(path: &Path, count: usize, latents: usize, with_indices: bool) -> Result<Self> {
        let format = match extension_of(path).as_str() {
            "npz" => {
                let spool = || Spool::new(path);
                let (mean, log_var, files) = (spool()?, spool()?, spool()?);
                let indices = if with_indices { Some(spool()?) } else { None };
                OpenFile::Npz(Box::new(SpooledNpz {
                    latents,
                    mean,
                    log_var,
                    indices,
                    files,
                    longest: 0,
                }))
            }
            "npy" => {
                let mut file = BufWriter::new(AtomicFile::create(path)?);
                file.write_all(&header(f32::CODE, &[count, latents])).context("write", path)?;
                OpenFile::Npy(file)
            }
            "csv" => OpenFile::Csv(Box::new(csv::Writer::from_writer(AtomicFile::create(path)?))),
            #[cfg(feature = "formats")]
            "parquet" => {
                OpenFile::Parquet(Box::new(parquet::ParquetWriter::create(path, latents)?))
            }
            #[cfg(not(feature = "formats"))]
            "parquet" => return Err(Error::needs_formats(path, "Parquet files")),
            _ => {
                return Err(Error::config(
                    format!("{}: the ending does not say how to write codes", path.display()),
                    format!("known endings are .{}", FORMATS.join(", .")),
                ));
            }
        };
        Ok(Self { path: path.to_owned(), count, written: 0, format })
    }

    /// Appends rows. Either all images have names or none has.
    ///
    /// # Errors
    /// If the disk is full, or more images come than were announced.
    pub fn write(&mut self, rows: CodeRows<'_>) -> Result<()> {
        let CodeRows { indices, files, codes } = rows;
        let path = &self.path;
        let first = self.written == 0;
        self.written += indices.len();
        match &mut self.format {
            OpenFile::Npz(npz) => {
                npz.mean.write(bytemuck::cast_slice(&codes.mean))?;
                npz.log_var.write(bytemuck::cast_slice(&codes.log_var))?;
                if let Some(spool) = &mut npz.indices {
                    let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
                    spool.write(bytemuck::cast_slice(&indices))?;
                }
                for name in files {
                    npz.longest = npz.longest.max(name.chars().count());
                    npz.files.write(name.as_bytes())?;
                    npz.files.write(b"\n")?;
                }
                Ok(())
            }
            OpenFile::Npy(file) => {
                file.write_all(bytemuck::cast_slice(&codes.mean)).context("write", path)
            }
            #[cfg(feature = "formats")]
            OpenFile::Parquet(table) => table.write(rows),
            OpenFile::Csv(file) => {
                let latents = codes.latents;
                let mut line = || -> csv::Result<()> {
                    if first {
                        let file_column = (!files.is_empty()).then(|| "file".to_owned());
                        let columns = |name: &str| -> Vec<String> {
                            (0..latents).map(|d| format!("{name}_{d}")).collect()
                        };
                        let names = ["index".to_owned()].into_iter().chain(file_column);
                        file.write_record(names.chain(columns("mean")).chain(columns("log_var")))?;
                    }
                    for (i, index) in indices.iter().enumerate() {
                        let row = |values: &[f32]| -> Vec<String> {
                            values[i * latents..][..latents].iter().map(f32::to_string).collect()
                        };
                        let names = [index.to_string()].into_iter().chain(files.get(i).cloned());
                        file.write_record(
                            names.chain(row(&codes.mean)).chain(row(&codes.log_var)),
                        )?;
                    }
                    Ok(())
                };
                line().map_err(|error| Error::of_csv(path, error))
            }
        }
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// If fewer images came than were announced, or the disk fails.
    pub fn finish(self) -> Result<()> {
        let Self { path, count, written, format } = self;
        if written != count {
            let reason = format!("expected the codes of {count} images, found {written}");
            return Err(Error::file(&path, reason));
        }
        match format {
            OpenFile::Npz(npz) => npz.finish(&path, count),
            OpenFile::Npy(file) => {
                let file = file.into_inner().map_err(|error| error.into_error());
                file.context("write", &path)?.finish()
            }
            #[cfg(feature = "formats")]
            OpenFile::Parquet(table) => table.finish(),
            OpenFile::Csv(file) => {
                let file = file.into_inner().map_err(|error| error.into_error());
                file.context("write", &path)?.finish()
            }
        }
    }
}

impl SpooledNpz {
    fn finish(self, path: &Path, count: usize) -> Result<()> {
        let mut file = NpzWriter::create(path)?;
        let shape = [count, self.latents];
        copy::<f32>(&mut file, "mean", &shape, self.mean)?;
        copy::<f32>(&mut file, "log_var", &shape, self.log_var)?;
        if let Some(indices) = self.indices {
            copy::<i64>(&mut file, "indices", &[count], indices)?;
        }
        if self.longest > 0 {
            file.add_texts("files", self.longest, count, self.files.reader()?.lines())?;
        }
        file.finish()
    }
}

/// Copies elements that waited into an array of the file.
fn copy<T: Element>(file: &mut NpzWriter, name: &str, shape: &[usize], spool: Spool) -> Result<()> {
    let mut array = file.begin::<T>(name, shape)?;
    let mut reader = spool.reader()?;
    let mut missing: usize = shape.iter().product();
    let mut piece = vec![T::zeroed(); missing.min(1 << 16)];
    while missing > 0 {
        let piece = &mut piece[..missing.min(1 << 16)];
        reader.read_exact(bytemuck::cast_slice_mut(piece)).context("read", name)?;
        array.write(piece)?;
        missing -= piece.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::read_f32;

    fn write(path: &Path, files: &[&str]) -> Result<()> {
        let mut writer = CodesWriter::create(path, 3, 2, true)?;
        let files: Vec<String> = files.iter().map(|name| (*name).to_owned()).collect();
        for (rows, mean) in [(0..2, vec![1.0, 2.0, 3.0, 4.0]), (2..3, vec![5.0, 6.5])] {
            let log_var = mean.iter().map(|x| -x).collect();
            let codes = Codes { latents: 2, mean, log_var };
            let indices: Vec<usize> = rows.clone().map(|row| 10 * row).collect();
            let files = if files.is_empty() { &[][..] } else { &files[rows] };
            writer.write(CodeRows { indices: &indices, files, codes: &codes })?;
        }
        writer.finish()
    }

    #[test]
    fn every_format_holds_every_row() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("a.npz"), &["x.png", "ÿ/z.png", "w"]).unwrap();
        let (shape, mean) = read_f32(&at("a.npz"), "mean").unwrap();
        assert_eq!((shape, mean), (vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5]));
        let (_, log_var) = read_f32(&at("a.npz"), "log_var").unwrap();
        assert_eq!(log_var, [-1.0, -2.0, -3.0, -4.0, -5.0, -6.5]);
        let mut zip = zip::ZipArchive::new(std::fs::File::open(at("a.npz")).unwrap()).unwrap();
        let mut bytes = Vec::new();
        zip.by_name("files.npy").unwrap().read_to_end(&mut bytes).unwrap();
        let names = npyz::NpyFile::new(&bytes[..]).unwrap().into_vec::<String>().unwrap();
        assert_eq!(names, ["x.png", "ÿ/z.png", "w"]);

        write(&at("a.npy"), &[]).unwrap();
        let bytes = std::fs::read(at("a.npy")).unwrap();
        let array = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(array.shape(), [3, 2]);
        assert_eq!(array.into_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]);

        write(&at("a.csv"), &["x,y", "b", "c"]).unwrap();
        assert_eq!(
            std::fs::read_to_string(at("a.csv")).unwrap(),
            "index,file,mean_0,mean_1,log_var_0,log_var_1\n0,\"x,y\",1,2,-1,-2\n\
             10,b,3,4,-3,-4\n20,c,5,6.5,-5,-6.5\n"
        );
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    }

    #[cfg(feature = "formats")]
    #[test]
    fn a_table_holds_every_row() {
        use std::collections::HashMap;

        use ::parquet::file::reader::{FileReader, SerializedFileReader};
        use ::parquet::record::Field;

        let folder = tempfile::tempdir().unwrap();
        for (files, names) in [(&["x,y", "b", "c"][..], true), (&[], false)] {
            let path = folder.path().join("a.parquet");
            write(&path, files).unwrap();
            let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
            let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
            assert_eq!(rows.len(), 3);
            let last: HashMap<_, _> =
                rows[2].get_column_iter().map(|(name, value)| (&name[..], value.clone())).collect();
            let file = names.then(|| ("file", Field::Str("c".into())));
            let numbers =
                [("mean_0", 5.0), ("mean_1", 6.5), ("log_var_0", -5.0), ("log_var_1", -6.5)]
                    .map(|(name, value)| (name, Field::Float(value)));
            let index = [("index", Field::Long(20))];
            assert_eq!(last, index.into_iter().chain(file).chain(numbers).collect());
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn an_incomplete_file_never_appears() {
        let folder = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let path = folder.path().join("a").with_extension(format);
            std::fs::write(&path, "old").unwrap();
            let writer = CodesWriter::create(&path, 3, 2, false).unwrap();
            let error = writer.finish().unwrap_err().to_string();
            assert!(error.ends_with("expected the codes of 3 images, found 0"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), FORMATS.len());
        let error = CodesWriter::create(Path::new("a.txt"), 3, 2, false).err().unwrap();
        assert!(error.hint().unwrap().contains(".npz, .npy, .csv"));
    }
}

//! Writing of `.npz` files, whole arrays at once or in pieces.
//!
//! A file appears under its name once it is complete, and its bytes depend on the arrays only.

use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{elements, header};
use crate::error::{Error, IoContext, Result};
use crate::files::AtomicFile;

/// An element type that [`NpzWriter`] can write.
pub trait Element: Pod {
    /// NumPy's letter and size of the type, such as `f4`.
    const CODE: &'static str;
}

impl Element for u8 {
    const CODE: &'static str = "u1";
}

impl Element for i64 {
    const CODE: &'static str = "i8";
}

impl Element for f32 {
    const CODE: &'static str = "f4";
}

impl Element for f64 {
    const CODE: &'static str = "f8";
}

/// Writes a compressed `.npz` file.
///
/// The file appears when [`NpzWriter::finish`] succeeds; until then, and after a failure, whatever
/// was at its path stays as it was. Equal arrays give equal bytes.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("codes.npz");
/// use betavae::npz::{NpzWriter, read_f32};
///
/// let mut npz = NpzWriter::create(&path)?;
/// npz.add("mean", &[2, 3], &[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let mut index = npz.begin::<i64>("index", &[2])?; // in pieces
/// index.write(&[7])?;
/// index.write(&[8])?;
/// npz.finish()?;
/// assert_eq!(read_f32(&path, "mean")?.0, [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NpzWriter {
    path: PathBuf,
    zip: ZipWriter<AtomicFile>,
    /// The array that is being written and the number of elements it still lacks.
    current: (String, usize),
}

impl NpzWriter {
    /// Starts a file that will replace `path`.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = AtomicFile::create(path)?;
        let current = (String::new(), 0);
        Ok(Self { path: path.to_owned(), zip: ZipWriter::new(file), current })
    }

    /// Adds a whole array.
    pub fn add<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) -> Result<()> {
        self.begin(name, shape)?.write(data)?;
        self.check_complete()
    }

    /// Starts an array whose elements follow in pieces.
    pub fn begin<T: Element>(&mut self, name: &str, shape: &[usize]) -> Result<NpzArray<'_, T>> {
        let count = self.start(name, T::CODE, size_of::<T>(), shape)?;
        self.current = (name.to_owned(), count);
        Ok(NpzArray { npz: self, element: PhantomData })
    }

    /// Adds an array `[N]` of texts.
    pub fn add_text(&mut self, name: &str, texts: &[impl AsRef<str>]) -> Result<()> {
        let longest = texts.iter().map(|text| text.as_ref().chars().count()).max();
        let each = texts.iter().map(|text| Ok(text.as_ref().to_owned()));
        self.add_texts(name, longest.unwrap_or_default(), texts.len(), each)
    }

    /// Adds an array `[N]` of texts that come one by one, of which none has more than `longest`
    /// characters.
    pub(crate) fn add_texts(
        &mut self,
        name: &str,
        longest: usize,
        count: usize,
        texts: impl Iterator<Item = std::io::Result<String>>,
    ) -> Result<()> {
        // NumPy has no empty strings of length 0 in files; their type is as long as the longest text.
        let longest = longest.max(1);
        self.start(name, &format!("U{longest}"), 4 * longest, &[count])?;
        let mut row = vec![0; 4 * longest];
        for text in texts {
            let text = text.context("read", &self.path)?;
            row.fill(0);
            for (to, letter) in row.as_chunks_mut::<4>().0.iter_mut().zip(text.chars()) {
                *to = u32::from(letter).to_ne_bytes();
            }
            self.zip.write_all(&row).context("write", &self.path)?;
        }
        Ok(())
    }

    /// Starts an array of elements with NumPy's `code` and `size` bytes, and returns their number.
    fn start(&mut self, name: &str, code: &str, size: usize, shape: &[usize]) -> Result<usize> {
        self.check_complete()?;
        let count = elements(shape).filter(|count| count.checked_mul(size).is_some());
        let count = count.ok_or_else(|| {
            Error::file(&self.path, format!("array `{name}`: shape {shape:?} is too large"))
        })?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            // Somewhat below 4 GiB, because data that cannot be compressed grows a little.
            .large_file(count.saturating_mul(size) as u64 >= 0xf000_0000);
        self.zip.start_file(format!("{name}.npy"), options).map_err(|error| match error {
            ZipError::Io(source) => Error::Io { action: "write", path: self.path.clone(), source },
            error => Error::file(&self.path, format!("cannot add array `{name}`: {error}")),
        })?;
        let header = header::encode(code, shape);
        self.zip.write_all(&header).context("write", &self.path)?;
        Ok(count)
    }

    /// Completes the file and gives it its name.
    pub fn finish(self) -> Result<()> {
        self.check_complete()?;
        self.zip.finish().map_err(std::io::Error::from).context("write", &self.path)?.finish()
    }

    fn check_complete(&self) -> Result<()> {
        match &self.current {
            (_, 0) => Ok(()),
            (name, missing) => {
                let reason =
                    format!("array `{name}` is incomplete: {missing} elements are missing");
                Err(Error::file(&self.path, reason))
            }
        }
    }
}

/// An array of an [`NpzWriter`] that is being written in pieces.
pub struct NpzArray<'a, T> {
    npz: &'a mut NpzWriter,
    element: PhantomData<T>,
}

impl<T: Element> NpzArray<'_, T> {
    /// Appends elements, in C order.
    pub fn write(&mut self, data: &[T]) -> Result<()> {
        let (name, missing) = &mut self.npz.current;
        match missing.checked_sub(data.len()) {
            Some(rest) => *missing = rest,
            None => {
                let found = data.len();
                let reason = format!("array `{name}` has room for {missing} elements, got {found}");
                return Err(Error::file(&self.npz.path, reason));
            }
        }
        self.npz.zip.write_all(bytemuck::cast_slice(data)).context("write", &self.npz.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::read_f32;
    use std::fs::{self, File};

    fn write(path: &Path) -> Result<()> {
        let mut npz = NpzWriter::create(path)?;
        npz.add("mean", &[2, 3], &[0.5_f32, -1.0, f32::MAX, f32::MIN_POSITIVE, 0.0, 1e-40])?;
        npz.add("index", &[2], &[i64::MIN, 7])?;
        npz.add("scalar", &[], &[std::f64::consts::PI])?;
        npz.add::<u8>("none", &[0, 4], &[])?;
        let mut bytes = npz.begin::<u8>("bytes", &[3, 2])?;
        bytes.write(&[1, 2, 3])?;
        bytes.write(&[])?;
        bytes.write(&[4, 5, 6])?;
        npz.finish()
    }

    #[test]
    fn arrays_come_back_and_an_independent_reader_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write(&path).unwrap();
        let (shape, mean) = read_f32(&path, "mean").unwrap();
        assert_eq!(shape, [2, 3]);
        assert_eq!(mean, [0.5, -1.0, f32::MAX, f32::MIN_POSITIVE, 0.0, 1e-40]);

        let mut zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
        let mut npy = |name: &str| {
            let mut bytes = Vec::new();
            std::io::copy(&mut zip.by_name(name).unwrap(), &mut bytes).unwrap();
            npyz::NpyFile::new(std::io::Cursor::new(bytes)).unwrap()
        };
        assert_eq!(npy("index.npy").into_vec::<i64>().unwrap(), [i64::MIN, 7]);
        assert_eq!(npy("scalar.npy").shape(), [0_u64; 0]);
        assert_eq!(npy("scalar.npy").into_vec::<f64>().unwrap(), [std::f64::consts::PI]);
        assert_eq!(npy("none.npy").shape(), [0, 4]);
        assert_eq!(npy("bytes.npy").shape(), [3, 2]);
        assert_eq!(npy("bytes.npy").into_vec::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn equal_arrays_give_equal_bytes_and_nothing_else_is_left_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.npz", "b.npz"].map(|name| folder.path().join(name));
        write(&a).unwrap();
        write(&b).unwrap();
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            File::create(folder.path().join("c")).unwrap();
            let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode("a.npz"), mode("c"));
        }
    }

    #[test]
    fn a_failure_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        fs::write(&path, "old").unwrap();
        let fails = |work: &dyn Fn(&mut NpzWriter) -> Result<()>, reason: &str| {
            let mut npz = NpzWriter::create(&path).unwrap();
            let error = work(&mut npz).and_then(|()| npz.finish()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: {reason}", path.display())), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        };
        fails(
            &|npz| npz.add("x", &[3], &[1_u8]),
            "array `x` is incomplete: 2 elements are missing",
        );
        fails(&|npz| npz.add("x", &[1], &[1.0_f32; 2]), "array `x` has room for 1 elements, got 2");
        fails(
            &|npz| npz.begin::<f32>("x", &[2]).map(drop),
            "array `x` is incomplete: 2 elements are missing",
        );
        fails(
            &|npz| npz.begin::<f32>("x", &[usize::MAX]).map(drop),
            "array `x`: shape [18446744073709551615] is too large",
        );
        fails(
            &|npz| npz.add("x", &[1], &[1_u8]).and_then(|()| npz.add("x", &[1], &[1_u8])),
            "cannot add array `x`: ",
        );
        let nowhere = folder.path().join("no/a.npz");
        let error = NpzWriter::create(&nowhere).err().unwrap().to_string();
        assert!(error.starts_with(&format!("cannot create {}", nowhere.display())), "{error}");
    }
}

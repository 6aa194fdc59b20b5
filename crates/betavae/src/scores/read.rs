//! Codes and factors from the user's files.

use std::iter::repeat;
use std::path::Path;

use disentanglement::{Codes, Factors};

use super::CodesFile;
use crate::error::{Error, Result};
use crate::npz::{Numbers, Source};

/// Reads codes: the arrays `mean` and, if there, `log_var` of an `.npz` file; the only array of an
/// `.npz` or `.npy` file; or the columns of a `.csv` file, with or without a line of names. Of columns
/// called `mean_0` .. and `log_var_0` .., as [`crate::codes`] writes them, only these are read.
///
/// # Errors
/// If the file is damaged, has no such array, or one that is not [N, D] or not finite.
pub fn read_codes(path: &Path) -> Result<CodesFile> {
    let read = |shape: Vec<usize>, numbers: Numbers| {
        let &[_, latents] = shape.as_slice() else { return Err(not_a_table(path, &shape, "D")) };
        let values = match numbers {
            Numbers::Floats(values) => values,
            Numbers::Integers(values) => values.into_iter().map(|value| value as f64).collect(),
        };
        Codes::new(&values, latents).map_err(|error| Error::file(path, error.to_string()))
    };
    if is_csv(path) {
        let table =
            read_csv(path, |name| ["mean_", "log_var_"].iter().any(|p| name.starts_with(p)))?;
        // Which columns belong to `log_var`, row after row.
        let log_var = table.names.iter().map(|name| name.starts_with("log_var_"));
        let log_var: Vec<bool> = log_var.chain(repeat(false)).take(table.columns).collect();
        let part = |wanted: bool| -> Result<Option<Codes>> {
            let columns = log_var.iter().filter(|column| **column == wanted).count();
            let values = table.values.iter().zip(log_var.iter().cycle());
            let values: Vec<f64> =
                values.filter(|(_, column)| **column == wanted).map(|(value, _)| *value).collect();
            let codes = (columns > 0).then(|| Codes::new(&values, columns)).transpose();
            codes.map_err(|error| Error::file(path, error.to_string()))
        };
        let mean = part(false)?.ok_or_else(|| Error::file(path, "no columns `mean_0` .."))?;
        return Ok(CodesFile { mean, log_var: part(true)? });
    }
    let mut source = Source::open(path)?;
    let mean = choose(&source, path, &["mean", "codes"])?;
    let (shape, numbers) = source.read_numbers(mean)?;
    let mean = read(shape, numbers)?;
    let log_var = match source.members.iter().position(|member| member.name == "log_var") {
        None => None,
        Some(member) => {
            let (shape, numbers) = source.read_numbers(member)?;
            if shape != [mean.len(), mean.latents()] {
                let expected = [mean.len(), mean.latents()];
                let reason = format!("expected the shape of `mean`, {expected:?}, found {shape:?}");
                return Err(source.error(member, &reason, ""));
            }
            Some(read(shape, numbers)?)
        }
    };
    Ok(CodesFile { mean, log_var })
}

/// Reads factors: the array `factors` (or, as dSprites calls it, `latents_classes`) of an `.npz`
/// file, the only array of an `.npz` or `.npy` file, or the columns of a `.csv` file, with or without
/// a line of names.
///
/// # Errors
/// If the file is damaged, has no such array, or one that is not [N, K] or has other numbers than
/// integers.
pub fn read_factors(path: &Path) -> Result<Factors> {
    let (shape, numbers) = if is_csv(path) {
        let Table { columns, values, .. } =
            read_csv(path, |name| !["index", "file"].contains(&name))?;
        (vec![values.len() / columns.max(1), columns], Numbers::Floats(values))
    } else {
        let mut source = Source::open(path)?;
        let member = choose(&source, path, &["factors", "latents_classes"])?;
        source.read_numbers(member)?
    };
    let &[_, factors] = shape.as_slice() else { return Err(not_a_table(path, &shape, "K")) };
    let classes = match numbers {
        Numbers::Integers(classes) => classes,
        Numbers::Floats(values) => {
            let whole = |value: &f64| value.fract() == 0.0 && value.abs() < 9e15;
            if let Some(at) = values.iter().position(|value| !whole(value)) {
                let (row, column) = (at / factors, at % factors);
                let reason = format!(
                    "row {row}, column {column} is {}, expected an integer: the number of a class",
                    values[at]
                );
                let hint = "bin continuous factors first, for instance with numpy.digitize";
                return Err(Error::file_hint(path, reason, hint));
            }
            values.into_iter().map(|value| value as i64).collect()
        }
    };
    Factors::new(&classes, factors).map_err(|error| Error::file(path, error.to_string()))
}

fn not_a_table(path: &Path, shape: &[usize], columns: &str) -> Error {
    Error::file(path, format!("expected an array of shape [N, {columns}], found {shape:?}"))
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// The array with one of these names, or the only one.
fn choose(source: &Source, path: &Path, names: &[&str]) -> Result<usize> {
    let called = |name: &&str| source.members.iter().position(|member| member.name == **name);
    match names.iter().find_map(called) {
        Some(member) => Ok(member),
        None if source.members.len() == 1 => Ok(0),
        None => {
            let reason =
                format!("no array is called `{}`: the file has {}", names[0], source.listing());
            Err(Error::file_hint(path, reason, format!("name the array `{}`", names[0])))
        }
    }
}

/// The columns that were read of a table, row by row, and their names if it has a line of names.
struct Table {
    names: Vec<String>,
    columns: usize,
    values: Vec<f64>,
}

/// The numbers in some columns of a table; a first line that is not all numbers is taken for names.
/// `wanted` chooses columns by name; where it wants none, or there are no names, all are read.
fn read_csv(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Table> {
    let broken = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::Io { action: "read", path: path.to_owned(), source },
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |pos| pos.line());
            let reason = format!("line {line}: expected {expected_len} columns, found {len}");
            Error::file(path, reason)
        }
        kind => Error::file(path, format!("not a table: {kind:?}")),
    };
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).trim(csv::Trim::All);
    let mut reader = reader.from_path(path).map_err(broken)?;
    let (mut names, mut columns, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        if line == 0 {
            columns = (0..record.len()).filter(|column| wanted(&record[*column])).collect();
            let named = record.iter().any(|text| text.parse::<f64>().is_err());
            if columns.is_empty() || !named {
                columns = (0..record.len()).collect();
            }
            if named {
                names = columns.iter().map(|column| record[*column].to_owned()).collect();
                continue;
            }
        }
        for column in &columns {
            let text = &record[*column];
            values.push(text.parse().map_err(|_| {
                let line = line + 1;
                let reason =
                    format!("line {line}, column {column}: expected a number, found {text:?}");
                Error::file(path, reason)
            })?);
        }
    }
    Ok(Table { names, columns: columns.len(), values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::NpzWriter;

    fn message(error: Error) -> String {
        error.to_string()
    }

    #[test]
    fn arrays_of_every_kind_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let mut file = NpzWriter::create(&path).unwrap();
        file.add("mean", &[2, 2], &[1.0f32, 2.0, 3.0, 4.5]).unwrap();
        file.add("log_var", &[2, 2], &[0.0f32; 4]).unwrap();
        file.add("factors", &[2, 3], &[5i64, 0, -1, 7, 0, -1]).unwrap();
        file.finish().unwrap();
        let codes = read_codes(&path).unwrap();
        assert_eq!(codes.mean.row(1), [3.0, 4.5]);
        assert_eq!(codes.log_var.unwrap().row(0), [0.0, 0.0]);
        assert_eq!(read_factors(&path).unwrap().sizes(), [2, 1, 1]);
    }

    #[test]
    fn tables_with_and_without_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        for text in ["a,b\n1,2\n3,4\n", "1, 2\n3, 4", "1,2\r\n3,4\r\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_codes(&path).unwrap().mean.row(1), [3.0, 4.0]);
            assert_eq!(read_factors(&path).unwrap().factor(0), [0, 1]);
        }
        let text = "index,file,mean_0,mean_1,log_var_0,log_var_1\n7,a.png,1,2,3,4\n9,b,5,6,7,8\n";
        std::fs::write(&path, text).unwrap();
        let codes = read_codes(&path).unwrap();
        assert_eq!(
            (codes.mean.row(1), codes.log_var.unwrap().row(1)),
            (&[5.0, 6.0][..], &[7.0, 8.0][..])
        );
        std::fs::write(&path, "file,shape,size\nx.png,1,2\ny.png,0,2\n").unwrap();
        assert_eq!(read_factors(&path).unwrap().sizes(), [2, 1]);
    }

    #[test]
    fn broken_files_are_explained() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("x.csv");
        let of = |text: &str| {
            std::fs::write(&csv, text).unwrap();
            (message(read_codes(&csv).unwrap_err()), message(read_factors(&csv).unwrap_err()))
        };
        assert!(of("1,2\n3\n").0.contains("line 2: expected 2 columns, found 1"));
        assert!(of("1,2\n3,x\n").0.contains("line 2, column 1"));
        assert!(of("1,2\nNaN,3\n").0.contains("row 1, column 0 is NaN"));
        std::fs::write(&csv, "1,2\n1.5,3\n").unwrap();
        let error = read_factors(&csv).unwrap_err();
        assert!(error.hint().unwrap().contains("digitize"));
        assert!(message(error).contains("row 1, column 0 is 1.5"));
        let npz = folder.path().join("x.npz");
        let mut file = NpzWriter::create(&npz).unwrap();
        file.add("a", &[2], &[1.0f32, 2.0]).unwrap();
        file.add("b", &[2], &[1.0f32, 2.0]).unwrap();
        file.finish().unwrap();
        assert!(message(read_codes(&npz).unwrap_err()).contains("no array is called `mean`"));
        std::fs::write(&npz, &std::fs::read(&npz).unwrap()[..60]).unwrap();
        assert!(message(read_codes(&npz).unwrap_err()).contains("not a complete .npz"));
        assert!(read_codes(&folder.path().join("none.npz")).is_err());
    }
}

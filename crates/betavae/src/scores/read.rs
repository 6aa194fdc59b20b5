//! Codes and factors from the user's files: which columns they are, and which rows belong together.

use std::path::{Path, PathBuf};

use disentanglement::{Codes, Factors};

use super::{Representation, numbered};
use crate::data::{self, GapPolicy};
use crate::error::{Error, Result};
use crate::table::join::{JoinSide, JoinedRows, join};
use crate::table::{ColumnData, Table, TableColumn, TableRole};
use crate::words::counted;

/// What to do about a code that is missing.
const INCOMPLETE: &str = "complete the table, or remove the row";

/// Codes, and the factors of the same rows.
#[derive(Debug)]
pub struct CodesAndFactors {
    /// The codes to be scored.
    pub codes: Representation,
    /// Codes of the same rows by other models.
    pub others: Vec<Representation>,
    /// The factors, [N, K].
    pub factors: Factors,
    /// Their names, `[K]`.
    pub names: Vec<String>,
    /// What was noticed on the way, a line each.
    pub notes: Vec<String>,
}

impl CodesAndFactors {
    /// Reads codes and factors from tables of any kind: text with a separator, JSON lines, NumPy, Parquet.
    ///
    /// Rows that have names (a column `file` or the like) or an index are joined by them, whatever their
    /// order; others are taken in their order, and then there must be as many. `others` are codes of the same
    /// rows by other models.
    ///
    /// # Errors
    /// If a file is no such table, a code is no finite number, a factor is missing, or rows cannot be joined.
    pub fn read(codes: &Path, others: &[PathBuf], factors: &Path) -> Result<Self> {
        let mut code_table = Table::read(codes, TableRole::Codes)?;
        let mut factor_table = Table::read(factors, TableRole::Factors)?;
        code_table.expect_rows(factor_table.rows);
        factor_table.expect_rows(code_table.rows);
        let side = JoinSide::of_table(&code_table);
        let JoinedRows { mut pairs, mut notes, .. } =
            join(&side, &JoinSide::of_table(&factor_table))
                .map_err(|error| transposed(&code_table, factor_table.rows).unwrap_or(error))?;
        // An index tells the order in which the rows were made: sorting a table changes no score.
        if code_table.file_column().is_none()
            && let Some(indices) = code_table.indices()
        {
            pairs.sort_by_key(|(row, _)| indices[*row]);
        }
        let (rows, factor_rows): (Vec<usize>, Vec<usize>) = pairs.into_iter().unzip();
        let known = data::factors_of(
            &factor_table,
            &factor_rows,
            GapPolicy::Refused(INCOMPLETE),
            &mut notes,
        )?
        .ok_or_else(|| Error::file(factors, "no column is a factor"))?;
        let own = codes_of(&code_table, &rows)?;
        let mut read = Vec::new();
        for path in others {
            let mut table = Table::read(path, TableRole::Codes)?;
            table.expect_rows(code_table.rows);
            let JoinedRows { pairs, notes: more, .. } = join(&side, &JoinSide::of_table(&table))?;
            let partners: std::collections::HashMap<usize, usize> = pairs.into_iter().collect();
            let rows: Option<Vec<usize>> =
                rows.iter().map(|row| partners.get(row).copied()).collect();
            let rows = rows.ok_or_else(|| Error::Mismatch {
                what: format!("the codes in {}", path.display()),
                expected: format!("a row for each that is scored of {}", codes.display()),
                found: "fewer".into(),
                hint: "encode the same images with every model".into(),
            })?;
            notes.push(describe_columns(&table, &code_columns(&table)?.0));
            notes.extend(more);
            notes.extend(table_notes(&table));
            read.push(codes_of(&table, &rows)?);
        }
        notes.extend([&code_table, &factor_table].into_iter().flat_map(table_notes));
        notes.insert(0, describe_columns(&code_table, &code_columns(&code_table)?.0));
        let factor_names: Vec<String> =
            known.factors().iter().map(|factor| factor.name.clone()).collect();
        notes.insert(1, format!("{}: factors {}", factors.display(), factor_names.join(", ")));
        let factors = numbered(&known, 0..known.len())?;
        Ok(Self { codes: own, others: read, factors, names: factor_names, notes })
    }
}

/// What was noticed while a table was read, with its name.
fn table_notes(table: &Table) -> Vec<String> {
    let name = table.path.display();
    let notes = table.notes.iter().cloned().chain(table.first_line());
    notes.map(|note| format!("{name}: {note}")).collect()
}

/// Which columns are the codes, for notes.
fn describe_columns(table: &Table, columns: &[&TableColumn]) -> String {
    let (rows, count) = (table.rows, columns.len());
    let left_out: Vec<String> = table
        .content()
        .into_iter()
        .map(|at| &table.columns[at])
        .filter(|column| {
            numbers_rows(column) && !columns.iter().any(|other| other.name == column.name)
        })
        .map(|column| format!("; `{}` numbers the rows and is left out", column.name))
        .collect();
    let left_out = left_out.concat();
    let ends = match columns {
        [] => String::new(),
        [one] => one.name.clone(),
        [first, .., last] => format!("{} to {}", first.name, last.name),
    };
    let key = match (table.file_column(), table.index_column()) {
        (Some(file), _) => format!(", names in `{}`", table.columns[file].name),
        (None, Some(index)) => match table.columns[index].named {
            true => format!(", index in `{}`", table.columns[index].name),
            false => ", index in the column without a name".to_owned(),
        },
        (None, None) => String::new(),
    };
    let path = table.path.display();
    format!(
        "{path}: {} of {}, {ends}{key}{left_out}",
        counted(rows, "code"),
        counted(count, "latent")
    )
}

/// The likely reason why codes have another number of rows than factors.
fn transposed(codes: &Table, rows: usize) -> Option<Error> {
    (codes.content().len() == rows && codes.rows != rows).then(|| {
        let reason = format!(
            "it has {} rows of {rows} codes, and there are {rows} rows of factors",
            codes.rows
        );
        Error::file_hint(&codes.path, reason, "the codes look transposed: save z.T")
    })
}

/// Reads codes in the order of their rows, and what was noticed.
///
/// Of columns called `mean_0` .. and `log_var_0` .., as [`crate::codes`] writes them, only these are read;
/// else all that neither name nor number the rows.
///
/// # Errors
/// If the file is no such table, or a code is no finite number.
pub fn read_codes(path: &Path) -> Result<(Representation, Vec<String>)> {
    let table = Table::read(path, TableRole::Codes)?;
    let rows: Vec<usize> = (0..table.rows).collect();
    let codes = codes_of(&table, &rows)?;
    let mut notes = vec![describe_columns(&table, &code_columns(&table)?.0)];
    notes.extend(table.notes.iter().cloned());
    notes.extend(table.first_line());
    Ok((codes, notes))
}

/// The columns of means and of log-variances.
fn code_columns(table: &Table) -> Result<(Vec<&TableColumn>, Vec<&TableColumn>)> {
    let content: Vec<&TableColumn> =
        table.content().into_iter().map(|at| &table.columns[at]).collect();
    let called = |prefix: &str| {
        let number =
            |column: &&TableColumn| column.name.strip_prefix(prefix)?.parse::<usize>().ok();
        let mut found: Vec<(usize, &TableColumn)> =
            content.iter().filter_map(|column| Some((number(column)?, *column))).collect();
        // Tools that sort columns by name put 10 before 2.
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, column)| column).collect::<Vec<_>>()
    };
    let (mean, log_var) = (called("mean_"), called("log_var_"));
    if mean.is_empty() && !log_var.is_empty() {
        return Err(Error::file(
            &table.path,
            "it has columns `log_var_0` .., but none called `mean_0` ..",
        ));
    }
    let mean = if mean.is_empty() { without_numbering(content) } else { mean };
    if mean.is_empty() {
        return Err(Error::file(&table.path, "no column holds codes"));
    }
    Ok((mean, log_var))
}

/// Leaves out columns that number the rows under some other name: whole numbers that rise from row to row beside
/// columns of fractions. In ten rows and more no latent does that.
fn without_numbering(columns: Vec<&TableColumn>) -> Vec<&TableColumn> {
    let has_fractions = |column: &TableColumn| match &column.cells {
        ColumnData::Numbers(numbers) => numbers.iter().any(|x| x.fract() != 0.0),
        ColumnData::Words(_) => false,
    };
    if !columns.iter().any(|column| has_fractions(column)) {
        return columns;
    }
    columns.into_iter().filter(|column| !numbers_rows(column)).collect()
}

fn numbers_rows(column: &TableColumn) -> bool {
    match &column.cells {
        ColumnData::Numbers(numbers) => {
            numbers.len() >= 10
                && numbers.iter().all(|x| x.fract() == 0.0 && *x >= 0.0)
                && numbers.windows(2).all(|pair| pair[0] < pair[1])
        }
        ColumnData::Words(_) => false,
    }
}

/// The codes in some rows of a table.
fn codes_of(table: &Table, rows: &[usize]) -> Result<Representation> {
    let (mean, log_var) = code_columns(table)?;
    let read = |columns: &[&TableColumn]| -> Result<Codes> {
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            match &column.cells {
                ColumnData::Numbers(numbers) => {
                    table.check_complete(column, INCOMPLETE)?;
                    values.push(numbers);
                }
                ColumnData::Words(words) => {
                    let is_word = |word: &String| word.parse::<f64>().is_err() && !word.is_empty();
                    let row = words.iter().position(is_word).unwrap_or(0);
                    let (name, place, word) = (&column.name, table.place(row), &words[row]);
                    return Err(Error::file_hint(
                        &table.path,
                        format!("{place}, column `{name}` is `{word}`, expected a number: a code"),
                        "remove the column, or call it `file` if it names the images",
                    ));
                }
            }
        }
        let values: Vec<f64> =
            rows.iter().flat_map(|row| values.iter().map(move |column| column[*row])).collect();
        Codes::new(&super::as_written(&values), columns.len())
            .map_err(|error| Error::file(&table.path, error.to_string()))
    };
    let log_var = if log_var.is_empty() { None } else { Some(read(&log_var)?) };
    Ok(Representation { mean: read(&mean)?, log_var })
}

#[cfg(test)]
mod tests;

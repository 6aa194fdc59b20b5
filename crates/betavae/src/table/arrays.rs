//! NumPy files as tables: an array [N, K], or [N], and what lies beside it.

use std::path::Path;

use super::cells::is_gap;
use super::{ColumnData, MAX_VALUES, Table, TableColumn, TableRole};
use crate::error::{Error, Result};
use crate::npz::{ArrayContent, ArrayFile};

/// Reads the array that `role` asks for, and beside codes `log_var`, `files` and `indices`.
pub(super) fn read(path: &Path, role: TableRole) -> Result<Table> {
    let mut source = ArrayFile::open(path)?;
    let place = |source: &ArrayFile, name: &str| {
        source.members.iter().position(|member| member.name == name)
    };
    let wanted = role.arrays();
    let meant = wanted.iter().find_map(|name| place(&source, name));
    let Some(member) = meant.or((source.members.len() == 1).then_some(0)) else {
        let name = wanted[if role == TableRole::Codes { 0 } else { 1 }];
        let reason = format!("no array is called `{name}`: the file has {}", source.listing());
        return Err(Error::file_hint(path, reason, format!("name the array `{name}`")));
    };
    let mut table = array_of(&mut source, path, member, role)?;
    if let Some(member) = place(&source, "log_var").filter(|_| role == TableRole::Codes) {
        let rows = table.rows;
        let log_var = array_of(&mut source, path, member, role)?;
        if (log_var.rows, log_var.columns.len()) != (rows, table.columns.len()) {
            let expected = [rows, table.columns.len()];
            let found = source.shape(member)?.to_vec();
            let reason = format!("expected the shape of `mean`, {expected:?}, found {found:?}");
            return Err(source.error(member, &reason, ""));
        }
        let named = |(position, column): (usize, TableColumn)| {
            TableColumn::new(Some(format!("log_var_{position}")), position, column.cells)
        };
        table.columns.extend(log_var.columns.into_iter().enumerate().map(named));
    }
    for (array, name) in [("indices", "index"), ("files", "file")] {
        if let Some(member) = place(&source, array) {
            let mut keys = array_of(&mut source, path, member, role)?;
            if keys.rows == table.rows && keys.columns.len() == 1 {
                let cells = keys.columns.remove(0).cells;
                table.columns.insert(0, TableColumn::new(Some(name.into()), 0, cells));
            }
        }
    }
    Ok(table)
}

/// Whether an array may hold labels: [N] or [N, K].
pub(crate) fn is_array_of_labels(source: &ArrayFile, member: usize, len: usize) -> bool {
    match source.shape(member) {
        Ok(&[rows]) => rows == len,
        Ok(&[rows, columns]) => rows == len && columns > 0,
        _ => false,
    }
}

/// An array [N, K] or [N] as a table without keys; further axes of length 1 are dropped.
pub(crate) fn array_of(
    source: &mut ArrayFile,
    path: &Path,
    member: usize,
    role: TableRole,
) -> Result<Table> {
    let shape = source.shape(member)?.to_vec();
    let mut axes = shape.as_slice();
    // As from global pooling or a convolution to 1x1.
    while let [front @ .., 1] = axes
        && axes.len() > 2
    {
        axes = front;
    }
    let (rows, columns) = match *axes {
        [rows] => (rows, 1),
        [rows, columns] => (rows, columns),
        _ => {
            let letter = if role == TableRole::Codes { "D" } else { "K" };
            let reason = format!("expected an array of shape [N, {letter}], found {shape:?}");
            return Err(source.error(member, &reason, ""));
        }
    };
    if rows == 0 || columns == 0 {
        return Err(source.error(member, &format!("shape {shape:?} holds nothing"), ""));
    }
    if rows.checked_mul(columns).is_none_or(|values| values > MAX_VALUES) {
        let reason =
            format!("{rows} rows of {columns} are more than the {MAX_VALUES} values that are read");
        return Err(source.error(member, &reason, ""));
    }
    let cells: Vec<ColumnData> = match source.read_content(member)? {
        ArrayContent::Texts(texts) => {
            let column =
                |k| texts.iter().skip(k).step_by(columns).map(|text| text.trim().to_owned());
            (0..columns).map(|k| ColumnData::Words(column(k).collect())).collect()
        }
        ArrayContent::Numbers(numbers) => {
            let values = numbers.into_floats();
            let column = |k| values.iter().skip(k).step_by(columns).copied();
            (0..columns).map(|k| ColumnData::Numbers(column(k).collect())).collect()
        }
    };
    let names = names(source, member, columns, role);
    let columns = names.into_iter().zip(cells).enumerate();
    let columns = columns.map(|(position, (name, cells))| {
        let gaps = match &cells {
            ColumnData::Words(words) => (0..rows).filter(|row| is_gap(&words[*row])).collect(),
            ColumnData::Numbers(numbers) => {
                (0..rows).filter(|row| numbers[*row].is_nan()).collect()
            }
        };
        TableColumn { gaps, ..TableColumn::new(Some(name), position, cells) }
    });
    let mut table = Table::new(path, columns.collect(), rows);
    if axes.len() < shape.len() {
        table.notes.push(format!("axes of length 1 are dropped from shape {shape:?}"));
    }
    Ok(table)
}

/// Names for columns: those of the array `factor_names`, or numbers.
fn names(source: &mut ArrayFile, member: usize, columns: usize, role: TableRole) -> Vec<String> {
    if role == TableRole::Codes {
        return (0..columns).map(|column| format!("mean_{column}")).collect();
    }
    let named = source.members.iter().position(|member| member.name == "factor_names");
    let names = named.and_then(|named| source.read_content(named).ok());
    match names {
        Some(ArrayContent::Texts(names)) if names.len() == columns => names,
        _ if columns == 1 && !matches!(&*source.members[member].name, "" | "factors") => {
            vec!["label".to_owned()]
        }
        _ => (0..columns).map(|column| format!("factor_{column}")).collect(),
    }
}

//! Which rows of two tables, or of images and a table, belong together.
//!
//! Rows that have names are joined by them, rows that have an index by that, whatever their order. Only
//! without either does the order count, and then there must be as many.

use std::collections::HashMap;
use std::path::Path;

use super::Table;
use super::names::{NameIndex, NameMatch};
use crate::error::{Error, Result};

/// What is known of the rows of one side.
pub(crate) struct JoinSide {
    /// For messages: a file, or a data set.
    name: String,
    rows: usize,
    /// The file each row is about.
    files: Option<Vec<String>>,
    /// The number each row has in its table.
    indices: Option<Vec<u64>>,
    /// Whether the position of a row is its index, as for the images of a data set.
    is_numbered: bool,
    /// What rows are called in messages: the line of a text.
    places: Vec<String>,
}

impl JoinSide {
    /// The images of a data set, with the names of their files, if they have some.
    pub(crate) fn of_images(path: &Path, files: Option<Vec<String>>, rows: usize) -> Self {
        let name = path.display().to_string();
        Self { name, rows, files, indices: None, is_numbered: true, places: Vec::new() }
    }

    /// The rows of a table.
    pub(crate) fn of_table(table: &Table) -> Self {
        let files = table.file_column().map(|column| {
            let column = &table.columns[column];
            (0..table.rows).map(|row| column.text(row).into_owned()).collect()
        });
        Self {
            name: table.path.display().to_string(),
            rows: table.rows,
            files,
            indices: table.indices(),
            is_numbered: false,
            places: (0..table.rows.min(1 << 16)).map(|row| table.place(row)).collect(),
        }
    }

    fn place(&self, row: usize) -> String {
        self.places.get(row).cloned().unwrap_or_else(|| format!("row {row}"))
    }

    /// The name of a row for messages.
    fn row_name(&self, row: usize) -> String {
        match (&self.files, &self.indices) {
            (Some(files), _) if row < files.len() => format!("`{}`", files[row]),
            (None, Some(indices)) if row < indices.len() => indices[row].to_string(),
            _ => self.place(row),
        }
    }
}

/// Rows that belong together.
#[derive(Debug, Default)]
pub(crate) struct JoinedRows {
    /// Row of the left side and of the right one, in the order of the left.
    pub(crate) pairs: Vec<(usize, usize)>,
    /// What was done, and which rows have no partner.
    pub(crate) notes: Vec<String>,
    /// Rows of the left side without a partner.
    pub(crate) alone: Vec<usize>,
}

/// Joins the rows of both sides.
///
/// # Errors
/// If two rows of the right side match the same row of the left, no rows match, or there is
/// neither a name nor an index and the numbers of rows differ.
pub(crate) fn join(left: &JoinSide, right: &JoinSide) -> Result<JoinedRows> {
    if let (Some(known), Some(names)) = (&left.files, &right.files) {
        let known = NameIndex::new(known);
        let mut several = None;
        let partners: Vec<Option<usize>> = names
            .iter()
            .enumerate()
            .map(|(row, name)| match known.find(name) {
                NameMatch::One(partner) => Some(partner),
                NameMatch::Several => {
                    several.get_or_insert(row);
                    None
                }
                NameMatch::None => None,
            })
            .collect();
        if let Some(row) = several {
            let (place, name) = (right.place(row), &names[row]);
            let reason = format!("{place} is about `{name}`, and several of {} are", left.name);
            return Err(Error::file_hint(&right.name, reason, "write names with their folders"));
        }
        if partners.iter().any(Option::is_some) {
            return pair(left, right, &partners, "name");
        }
        if left.indices.is_none() || right.indices.is_none() {
            let (a, b) = (right.row_name(0), left.row_name(0));
            let reason = format!(
                "none of its {} names is one of {}: {a} and {b} are the first of both",
                right.rows, left.name
            );
            return Err(Error::file_hint(
                &right.name,
                reason,
                "names are file names of the images",
            ));
        }
    }
    match (&left.indices, &right.indices) {
        (Some(a), Some(b)) => {
            let known: HashMap<u64, usize> = a.iter().copied().zip(0..).collect();
            let partners: Vec<_> = b.iter().map(|index| known.get(index).copied()).collect();
            if !partners.iter().any(Option::is_some) {
                let reason = format!("none of its indices is one of {}", left.name);
                return Err(Error::file(&right.name, reason));
            }
            pair(left, right, &partners, "index")
        }
        (None, Some(indices)) => by_number(left, right, indices),
        (Some(indices), None) => {
            let turned = by_number(right, left, indices)?;
            let JoinedRows { mut pairs, notes, .. } = turned;
            pairs.iter_mut().for_each(|pair| *pair = (pair.1, pair.0));
            pairs.sort_unstable();
            Ok(JoinedRows { pairs, notes, alone: Vec::new() })
        }
        (None, None) => by_order(left, right),
    }
}

/// Joins the rows of `with`, which have an index, to those of `without`.
fn by_number(without: &JoinSide, with: &JoinSide, indices: &[u64]) -> Result<JoinedRows> {
    let in_order = indices.iter().copied().eq(0..indices.len() as u64);
    if in_order && with.rows == without.rows {
        return by_order(without, with);
    }
    let inside = |index: &u64| *index < without.rows as u64;
    if let Some(row) = indices.iter().position(|index| !inside(index)) {
        return Err(Error::Mismatch {
            what: format!("the index of {}", with.name),
            expected: format!("numbers below {}, the rows of {}", without.rows, without.name),
            found: format!("{} in {}", indices[row], with.place(row)),
            hint: "give both tables the same index, or a column with the names of the files".into(),
        });
    }
    if with.rows == without.rows && !without.is_numbered {
        return Err(Error::file_hint(
            &with.name,
            format!("its index is not in order, and {} has none to join it by", without.name),
            "give both tables an index or a column `file`, or sort this one and remove its index",
        ));
    }
    let partners: Vec<_> = indices.iter().map(|index| Some(*index as usize)).collect();
    pair(without, with, &partners, "index")
}

fn by_order(left: &JoinSide, right: &JoinSide) -> Result<JoinedRows> {
    if left.rows != right.rows {
        return Err(Error::Mismatch {
            what: format!("rows of {} and {}", left.name, right.name),
            expected: "as many, since neither names nor an index tell which belong together".into(),
            found: format!("{} and {}", left.rows, right.rows),
            hint: "add a column `file` or `index` to both, or give tables of the same rows".into(),
        });
    }
    let mut join = JoinedRows {
        pairs: (0..left.rows).map(|row| (row, row)).collect(),
        ..JoinedRows::default()
    };
    if left.files.is_some() != right.files.is_some() && !left.is_numbered {
        let (named, other) = if left.files.is_some() { (left, right) } else { (right, left) };
        join.notes.push(format!(
            "{} has names and {} has none: rows are joined in their order",
            named.name, other.name
        ));
    }
    Ok(join)
}

/// The pairs of rows, given the partner on the left of each row on the right.
fn pair(
    left: &JoinSide,
    right: &JoinSide,
    partners: &[Option<usize>],
    by: &str,
) -> Result<JoinedRows> {
    let mut of_left: Vec<Option<usize>> = vec![None; left.rows];
    let mut unknown = Vec::new();
    for (row, partner) in partners.iter().enumerate() {
        let Some(partner) = *partner else {
            unknown.push(row);
            continue;
        };
        if let Some(other) = of_left[partner].replace(row) {
            let (first, second) = (right.place(other), right.place(row));
            let about = match &left.files {
                Some(files) => format!("`{}`", files[partner]),
                None => left.row_name(partner),
            };
            let reason = format!("{first} and {second} are both about {about}");
            return Err(Error::file_hint(&right.name, reason, "remove one of them"));
        }
    }
    let mut join = JoinedRows::default();
    for (row, partner) in of_left.into_iter().enumerate() {
        match partner {
            Some(partner) => join.pairs.push((row, partner)),
            None => join.alone.push(row),
        }
    }
    let (pairs, name) = (join.pairs.len(), &right.name);
    join.notes.push(format!("{pairs} rows of {name} are joined to {} by {by}", left.name));
    for (side, rows) in [(left, &join.alone), (right, &unknown)] {
        if let Some(first) = rows.first() {
            join.notes.push(format!(
                "{} of {} rows of {} have no partner, such as {}",
                rows.len(),
                side.rows,
                side.name,
                side.row_name(*first)
            ));
        }
    }
    Ok(join)
}

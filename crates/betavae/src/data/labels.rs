//! The factors of images: tables and arrays, configured or found beside the images, joined to them.

use std::path::{Path, PathBuf};

use super::config::LabelSource;
use super::{DataConfig, Factor, Factors, dsprites};
use crate::error::{Error, Result};
use crate::files::extension_of;
use crate::npz::{ArrayContent, ArrayFile};
use crate::table::join::{JoinSide, join};
use crate::table::names::{NameIndex, NameMatch, slashes};
use crate::table::{self, ColumnData, Table, TableColumn, TableRole, natural_order};

/// Names of tables that are found by themselves in a folder or archive of images, without their endings
/// `.csv`, `.tsv`, `.jsonl`, `.json` and `.parquet`; the first one counts. Case does not matter.
pub const LABEL_TABLES: [&str; 3] = ["factors", "labels", "metadata"];

/// Endings of tables; other files in JSON are seldom one.
const ENDINGS: [&str; 4] = ["csv", "tsv", "jsonl", "parquet"];

/// Whether words say something about each image rather than what it has in common with others: all differ,
/// or in longer tables more than half do.
fn is_caption(words: usize, rows: usize) -> bool {
    (rows >= 6 && words == rows) || (rows >= 20 && 2 * words > rows)
}

/// The rank among [`LABEL_TABLES`] of a file that is found by itself.
pub(super) fn rank(name: &Path) -> Option<usize> {
    let name = name.file_name()?.to_str()?.to_lowercase();
    // A packed table is not read, but it gets a note, so it has to be found.
    let (stem, ending) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
    let is_table = ENDINGS.contains(&ending) || ending == "json";
    is_table.then(|| LABEL_TABLES.iter().position(|table| *table == stem)).flatten()
}

/// Whether the name of a file is that of a table.
pub(super) fn is_table(name: &Path) -> bool {
    rank(name).is_some() || ENDINGS.contains(&&*extension_of(name))
}

/// What to do about gaps in a table of labels.
const COMPLETE: &str = "complete the table; `--set data.labels=none` goes on without factors";

/// Images that labels are about.
pub(super) struct ImagesToLabel<'a> {
    /// The data set, for messages.
    pub(super) path: &'a Path,
    /// Number of images N.
    pub(super) len: usize,
    /// The files of the images, where there is one for each.
    pub(super) files: Option<&'a [PathBuf]>,
}

/// Factors, and notes about where they come from.
#[derive(Default)]
pub(super) struct FoundLabels {
    pub(super) factors: Option<Factors>,
    pub(super) notes: Vec<String>,
}

/// What to do with a column that has gaps.
#[derive(Clone, Copy)]
pub(crate) enum GapPolicy {
    /// It is an error with this hint: the table is about these images and nothing else.
    Refused(&'static str),
    /// It is left out with a note: the table is part of the images' own file.
    LeftOut,
}

/// The factors in the file that `data.labels` names, if it names one.
pub(super) fn configured_labels(
    config: &DataConfig,
    images: &ImagesToLabel<'_>,
) -> Result<Option<FoundLabels>> {
    match config.label_source() {
        LabelSource::Found => Ok(None),
        LabelSource::None => Ok(Some(FoundLabels::default())),
        LabelSource::File(file) => {
            let file = path_beside(images.path, file);
            if !file.exists() {
                let reason = "there is no such file, which data.labels names";
                return Err(Error::file_hint(
                    &file,
                    reason,
                    "its path may be relative to the data",
                ));
            }
            let table = Table::read(&file, TableRole::Factors)?;
            of_table(table, images, GapPolicy::Refused(COMPLETE)).map(Some)
        }
    }
}

/// A file of labels, which may be given relative to the data set `path`.
pub(super) fn path_beside(path: &Path, labels: &Path) -> PathBuf {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    if labels.exists() { labels.to_owned() } else { folder.join(labels) }
}

/// The factors of images in a table that belongs to them.
///
/// # Errors
/// If an image has no row, or a row lacks a factor.
pub(super) fn of_table(
    table: Table,
    images: &ImagesToLabel<'_>,
    gaps: GapPolicy,
) -> Result<FoundLabels> {
    join_to_images(table, images)?.labels(gaps)
}

/// The factors of images in a table that was found beside them: none, with the reason, if it is about something
/// else; an error only if it is about them and has gaps.
pub(super) fn labels_beside(
    table: Result<Table>,
    name: &str,
    images: &ImagesToLabel<'_>,
) -> Result<FoundLabels> {
    match table.and_then(|table| join_to_images(table, images)) {
        Ok(joined) => {
            let mut labels = joined.labels(GapPolicy::Refused(COMPLETE))?;
            labels.notes.insert(0, format!("factors from {name}{}", factor_list(&labels)));
            Ok(labels)
        }
        Err(error) => Ok(unused_labels(name, &error)),
    }
}

fn unused_labels(name: &str, error: &Error) -> FoundLabels {
    FoundLabels { factors: None, notes: vec![format!("{name} is not used: {}", reason(error))] }
}

/// The names of the factors, for notes.
pub(super) fn factor_list(labels: &FoundLabels) -> String {
    let factors = labels.factors.as_ref().map_or(&[][..], Factors::factors);
    let names: Vec<&str> = factors.iter().take(8).map(|factor| factor.name.as_str()).collect();
    let more =
        if factors.len() > 8 { format!(" and {} more", factors.len() - 8) } else { String::new() };
    format!(": {}{more}", names.join(", "))
}

/// A table, and its row for each image.
struct JoinedTable {
    table: Table,
    rows: Vec<usize>,
    notes: Vec<String>,
}

/// Finds the row of each image.
fn join_to_images(mut table: Table, images: &ImagesToLabel<'_>) -> Result<JoinedTable> {
    table.expect_rows(images.len);
    let files =
        images.files.map(|files| files.iter().map(|file| slashes(file)).collect::<Vec<_>>());
    if let Some(files) = &files {
        find_file_column(&mut table, files);
        if table.file_column().is_none() {
            let reason = "no column has the names of the image files";
            let hint = "give it a column `file`; names are relative to the folder of images";
            return Err(Error::file_hint(&table.path, reason, hint));
        }
    }
    let by_order = files.is_none();
    let left = JoinSide::of_images(images.path, files, images.len);
    let right = JoinSide::of_table(&table);
    let joined = join(&left, &right)?;
    if let Some(alone) = joined.alone.first() {
        let missing = joined.alone.len();
        let name = match images.files {
            Some(files) => format!("`{}`", slashes(&files[*alone])),
            None => format!("image {alone}"),
        };
        let reason = format!("no row is about {name}: {missing} of {} images", images.len);
        let hint = "add rows for them, or remove the images";
        return Err(Error::file_hint(&table.path, reason, hint));
    }
    let rows: Vec<usize> = joined.pairs.iter().map(|(_, row)| *row).collect();
    let mut notes = std::mem::take(&mut table.notes);
    notes.extend(table.first_line());
    if rows.len() < table.rows {
        let used = std::collections::HashSet::<&usize>::from_iter(&rows);
        let other = (0..table.rows).find(|row| !used.contains(row)).unwrap_or(0);
        let count = table.rows - rows.len();
        let place = table.named_place(other);
        notes.push(format!(
            "{count} of its {} rows are about no image here, such as {place}",
            table.rows
        ));
    } else if by_order
        && !table.is_ordered()
        && table.file_column().is_none()
        && table.index_column().is_none()
    {
        notes.push("its rows are taken in the order of the images".into());
    }
    Ok(JoinedTable { table, rows, notes })
}

/// Where no column is called as names of files are, takes the first one that has them.
fn find_file_column(table: &mut Table, files: &[String]) {
    let names = NameIndex::new(files);
    let is_known =
        |column: &TableColumn, row: usize| names.find(&column.text(row)) != NameMatch::None;
    let knows_any = |column: &TableColumn| (0..table.rows).any(|row| is_known(column, row));
    if table.file_column().is_some_and(|column| knows_any(&table.columns[column])) {
        return;
    }
    let candidate = |(position, column): (usize, &TableColumn)| {
        let may_be = matches!(column.cells, ColumnData::Words(_)) || position == 0;
        (may_be && table.rows > 0 && (0..table.rows).all(|row| is_known(column, row)))
            .then_some(position)
    };
    if let Some(column) = table.columns.iter().enumerate().find_map(candidate) {
        table.set_file_column(column);
    }
}

impl JoinedTable {
    /// The columns as factors of the images.
    fn labels(self, gaps: GapPolicy) -> Result<FoundLabels> {
        let Self { table, rows, mut notes } = self;
        let factors = factors_of(&table, &rows, gaps, &mut notes)?;
        Ok(FoundLabels { factors, notes })
    }
}

/// The columns of a table as factors, for some of its rows. Words become classes in their natural order.
///
/// # Errors
/// If a row lacks a factor and gaps are refused, or there is no factor.
pub(crate) fn factors_of(
    table: &Table,
    rows: &[usize],
    gaps: GapPolicy,
    notes: &mut Vec<String>,
) -> Result<Option<Factors>> {
    let hint = if let GapPolicy::Refused(hint) = gaps { hint } else { "" };
    let mut chosen: Vec<(&TableColumn, Vec<f64>, Vec<String>)> = Vec::new();
    for position in table.content() {
        let column = &table.columns[position];
        match (table.check_complete(column, hint), gaps) {
            (Ok(()), _) => {}
            // A row about an image of another data set does no harm.
            (Err(_), _) if is_complete_in(column, rows) => {}
            (Err(error), GapPolicy::Refused(_)) => return Err(error),
            (Err(error), GapPolicy::LeftOut) => {
                let reason = reason(&error);
                notes.push(format!("column `{}` is left out: {reason}", column.name));
                continue;
            }
        }
        match &column.cells {
            ColumnData::Numbers(numbers) => {
                chosen.push((column, rows.iter().map(|row| numbers[*row]).collect(), Vec::new()));
            }
            ColumnData::Words(words) => {
                let (classes, values) = classes(words, rows);
                if is_caption(classes.len(), rows.len()) {
                    let (name, count, rows) = (&column.name, classes.len(), rows.len());
                    notes.push(format!(
                        "column `{name}` is left out: {count} different words in {rows} rows"
                    ));
                    continue;
                }
                chosen.push((column, values, classes));
            }
        }
    }
    if chosen.is_empty() {
        let reason = "no column is a factor: expected numbers or words that recur";
        return match gaps {
            GapPolicy::Refused(_) => Err(Error::file(&table.path, reason)),
            GapPolicy::LeftOut => Ok(None),
        };
    }
    let names: Vec<&str> = chosen.iter().map(|(column, ..)| column.name.as_str()).collect();
    let values: Vec<f64> = (0..rows.len())
        .flat_map(|row| chosen.iter().map(move |(_, values, _)| values[row]))
        .collect();
    let mut factors = Factors::from_values(&names, &values)
        .map_err(|error| Error::file(&table.path, error.to_string()))?;
    let words: Vec<Vec<String>> = chosen.into_iter().map(|(.., words)| words).collect();
    factors.set_words(words);
    name_dsprites(&mut factors);
    Ok(Some(factors))
}

/// What is wrong, without the path.
fn reason(error: &Error) -> String {
    match error {
        Error::File { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// Whether the rows of the images have what is missing in others.
fn is_complete_in(column: &TableColumn, rows: &[usize]) -> bool {
    let gaps = std::collections::HashSet::<&usize>::from_iter(&column.gaps);
    rows.iter().all(|row| {
        let finite = match &column.cells {
            ColumnData::Numbers(numbers) => numbers[*row].is_finite(),
            ColumnData::Words(_) => true,
        };
        finite && !gaps.contains(row)
    })
}

/// The different words of some rows in their natural order, and for each row the place of its word.
pub(crate) fn classes(words: &[String], rows: &[usize]) -> (Vec<String>, Vec<f64>) {
    let mut classes: Vec<&String> = rows.iter().map(|row| &words[*row]).collect();
    classes.sort_by(|a, b| natural_order(a, b));
    classes.dedup();
    let places: std::collections::HashMap<&String, f64> =
        classes.iter().enumerate().map(|(place, word)| (*word, place as f64)).collect();
    let values = rows.iter().map(|row| places[&words[*row]]).collect();
    (classes.into_iter().cloned().collect(), values)
}

/// The factors in an array beside that of the images, if there is one with a row for each. Labels that cannot
/// be used leave the images without factors, with a note.
pub(super) fn among(source: &mut ArrayFile, images: usize, len: usize, path: &Path) -> FoundLabels {
    let place = |name: &str| source.members.iter().position(|member| member.name == name);
    let fits =
        |member: &usize| table::is_array_of_labels(source, *member, len) && *member != images;
    // The labels of `train_images` and `x_train` are `train_labels` and `y_train`.
    let own = own_labels(&source.members[images].name);
    let names = own.iter().map(String::as_str).chain(TableRole::Factors.arrays().iter().copied());
    let Some(member) = names.filter_map(place).find(fits) else { return FoundLabels::default() };
    let name = match source.members[member].name.as_str() {
        "" => "the array".to_owned(),
        name => format!("array `{name}`"),
    };
    let images = ImagesToLabel { path, len, files: None };
    let table = table::array_of(source, path, member, TableRole::Factors);
    let labels = table.and_then(|mut table| {
        table.in_order();
        of_table(table, &images, GapPolicy::LeftOut)
    });
    match labels {
        Ok(mut labels) => {
            if let Some(factors) = &mut labels.factors {
                read_words(source, factors);
            }
            match labels.factors {
                Some(_) => {
                    labels.notes.insert(0, format!("factors from {name}{}", factor_list(&labels)))
                }
                None => labels
                    .notes
                    .iter_mut()
                    .for_each(|note| *note = format!("{name} is not used: {note}")),
            }
            labels
        }
        Err(error) => unused_labels(&name, &error),
    }
}

/// Gives factors the words that `data export` writes beside them, as `words_<factor>`.
fn read_words(source: &mut ArrayFile, factors: &mut Factors) {
    let mut words = |factor: &Factor| {
        let name = format!("words_{}", factor.name);
        let member = source.members.iter().position(|member| member.name == name);
        match member.map(|member| source.read_content(member)) {
            Some(Ok(ArrayContent::Texts(words))) if words.len() == factor.values.len() => words,
            _ => factor.words.clone(),
        }
    };
    let words: Vec<Vec<String>> = factors.factors().iter().map(&mut words).collect();
    factors.set_words(words);
}

/// Names of the labels of an array of images that is one part of several.
fn own_labels(images: &str) -> Vec<String> {
    let pairs = [
        ("images", "labels"),
        ("imgs", "labels"),
        ("x_", "y_"),
        ("X_", "y_"),
        ("_x", "_y"),
        ("x", "y"),
    ];
    let replaced = pairs.iter().filter(|(theirs, _)| images.contains(theirs));
    replaced.map(|(theirs, ours)| images.replacen(theirs, ours, 1)).collect()
}

/// The official file has the names of its factors only in a pickled object.
fn name_dsprites(factors: &mut Factors) {
    let names = dsprites::grid().factors;
    let theirs = factors.factors();
    let numbered =
        theirs.iter().enumerate().all(|(i, factor)| factor.name == format!("factor_{i}"));
    let sizes =
        |factors: &[Factor]| factors.iter().map(|factor| factor.values.len()).collect::<Vec<_>>();
    if numbered && sizes(theirs) == sizes(&names) {
        factors.rename(names.iter().map(|factor| factor.name.clone()));
        factors.set_words(names.into_iter().map(|factor| factor.words));
    }
}

#[cfg(test)]
mod tests;

//! The factors of images: tables and arrays that are asked for or lie there, joined to the images.

use std::path::{Path, PathBuf};

use super::config::LabelSource;
use super::{DataConfig, Factor, Factors, dsprites};
use crate::error::{Error, Result};
use crate::files::ending;
use crate::npz::{Content, Source};
use crate::table::join::{Side, join};
use crate::table::names::{Found, Names, slashes};
use crate::table::{self, Cells, Column, Role, Table, natural_order};

/// Names of tables that are found by themselves in a folder or archive of images, without their endings
/// `.csv`, `.tsv`, `.jsonl`, `.json` and `.parquet`; the first one counts. Case does not matter.
pub const TABLES: [&str; 3] = ["factors", "labels", "metadata"];

/// Endings of tables; other files in JSON are seldom one.
const ENDINGS: [&str; 4] = ["csv", "tsv", "jsonl", "parquet"];

/// Whether words say something about each image rather than what it has in common with others: all differ,
/// or in longer tables more than half do.
fn is_caption(words: usize, rows: usize) -> bool {
    (rows >= 6 && words == rows) || (rows >= 20 && 2 * words > rows)
}

/// The rank among [`TABLES`] of a file that is found by itself.
pub(super) fn rank(name: &Path) -> Option<usize> {
    let name = name.file_name()?.to_str()?.to_lowercase();
    // A packed table is no table, and to be named for that.
    let (stem, ending) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
    let is_table = ENDINGS.contains(&ending) || ending == "json";
    is_table.then(|| TABLES.iter().position(|table| *table == stem)).flatten()
}

/// Whether a file is called as tables are.
pub(super) fn is_table(name: &Path) -> bool {
    rank(name).is_some() || ENDINGS.contains(&&*ending(name))
}

/// What to do about gaps in a table of labels.
const COMPLETE: &str = "complete the table; `--set data.labels=none` goes on without factors";

/// Images that labels are about.
pub(super) struct Labelled<'a> {
    /// The data set, for messages.
    pub(super) path: &'a Path,
    /// Number of images N.
    pub(super) len: usize,
    /// The files of the images, where there is one for each.
    pub(super) files: Option<&'a [PathBuf]>,
}

/// Factors, and what there is to say of them.
#[derive(Default)]
pub(super) struct Labels {
    pub(super) factors: Option<Factors>,
    pub(super) notes: Vec<String>,
}

/// What becomes of a column with gaps.
#[derive(Clone, Copy)]
pub(crate) enum Gaps {
    /// It is an error with this hint: the table is about these images and nothing else.
    Refused(&'static str),
    /// It is left out with a note: the table is part of the images' own file.
    LeftOut,
}

/// The factors in the file that `data.labels` names, if it names one.
pub(super) fn asked_for(config: &DataConfig, images: &Labelled<'_>) -> Result<Option<Labels>> {
    match config.label_source() {
        LabelSource::Found => Ok(None),
        LabelSource::None => Ok(Some(Labels::default())),
        LabelSource::File(file) => {
            let file = beside(images.path, file);
            if !file.exists() {
                let reason = "there is no such file, which data.labels names";
                return Err(Error::file_hint(
                    &file,
                    reason,
                    "its path may be relative to the data",
                ));
            }
            let table = Table::read(&file, Role::Factors)?;
            of_table(table, images, Gaps::Refused(COMPLETE)).map(Some)
        }
    }
}

/// A file of labels, which may be given relative to the data set `path`.
pub(super) fn beside(path: &Path, labels: &Path) -> PathBuf {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    if labels.exists() { labels.to_owned() } else { folder.join(labels) }
}

/// The factors of images in a table that belongs to them.
///
/// # Errors
/// If an image has no row, or a row lacks a factor.
pub(super) fn of_table(table: Table, images: &Labelled<'_>, gaps: Gaps) -> Result<Labels> {
    joined(table, images)?.labels(gaps)
}

/// The factors of images in a table that lies beside them: none, with the reason, if it is about something
/// else; an error only if it is about them and has gaps.
pub(super) fn found(table: Result<Table>, name: &str, images: &Labelled<'_>) -> Result<Labels> {
    match table.and_then(|table| joined(table, images)) {
        Ok(joined) => {
            let mut labels = joined.labels(Gaps::Refused(COMPLETE))?;
            labels.notes.insert(0, format!("factors from {name}{}", listed(&labels)));
            Ok(labels)
        }
        Err(error) => Ok(unused(name, &error)),
    }
}

fn unused(name: &str, error: &Error) -> Labels {
    Labels { factors: None, notes: vec![format!("{name} is not used: {}", reason(error))] }
}

/// The names of the factors, for notes.
pub(super) fn listed(labels: &Labels) -> String {
    let factors = labels.factors.as_ref().map_or(&[][..], Factors::factors);
    let names: Vec<&str> = factors.iter().take(8).map(|factor| factor.name.as_str()).collect();
    let more =
        if factors.len() > 8 { format!(" and {} more", factors.len() - 8) } else { String::new() };
    format!(": {}{more}", names.join(", "))
}

/// A table, and its row for each image.
struct Joined {
    table: Table,
    rows: Vec<usize>,
    notes: Vec<String>,
}

/// Finds the row of each image.
fn joined(mut table: Table, images: &Labelled<'_>) -> Result<Joined> {
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
    let left = Side::of_images(images.path, files, images.len);
    let right = Side::of_table(&table);
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
    Ok(Joined { table, rows, notes })
}

/// Where no column is called as names of files are, takes the first one that has them.
fn find_file_column(table: &mut Table, files: &[String]) {
    let names = Names::new(files);
    let is_known = |column: &Column, row: usize| names.find(&column.text(row)) != Found::None;
    let knows_any = |column: &Column| (0..table.rows).any(|row| is_known(column, row));
    if table.file_column().is_some_and(|column| knows_any(&table.columns[column])) {
        return;
    }
    let candidate = |(position, column): (usize, &Column)| {
        let may_be = matches!(column.cells, Cells::Words(_)) || position == 0;
        (may_be && table.rows > 0 && (0..table.rows).all(|row| is_known(column, row)))
            .then_some(position)
    };
    if let Some(column) = table.columns.iter().enumerate().find_map(candidate) {
        table.set_file_column(column);
    }
}

impl Joined {
    /// The columns as factors of the images.
    fn labels(self, gaps: Gaps) -> Result<Labels> {
        let Self { table, rows, mut notes } = self;
        let factors = factors_of(&table, &rows, gaps, &mut notes)?;
        Ok(Labels { factors, notes })
    }
}

/// The columns of a table as factors, for some of its rows. Words become classes in their natural order.
///
/// # Errors
/// If a row lacks a factor and gaps are refused, or there is no factor.
pub(crate) fn factors_of(
    table: &Table,
    rows: &[usize],
    gaps: Gaps,
    notes: &mut Vec<String>,
) -> Result<Option<Factors>> {
    let hint = if let Gaps::Refused(hint) = gaps { hint } else { "" };
    let mut chosen: Vec<(&Column, Vec<f64>, Vec<String>)> = Vec::new();
    for position in table.content() {
        let column = &table.columns[position];
        match (table.check_complete(column, hint), gaps) {
            (Ok(()), _) => {}
            // A row that is about nothing here does no harm.
            (Err(_), _) if is_complete_in(column, rows) => {}
            (Err(error), Gaps::Refused(_)) => return Err(error),
            (Err(error), Gaps::LeftOut) => {
                let reason = reason(&error);
                notes.push(format!("column `{}` is left out: {reason}", column.name));
                continue;
            }
        }
        match &column.cells {
            Cells::Numbers(numbers) => {
                chosen.push((column, rows.iter().map(|row| numbers[*row]).collect(), Vec::new()));
            }
            Cells::Words(words) => {
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
            Gaps::Refused(_) => Err(Error::file(&table.path, reason)),
            Gaps::LeftOut => Ok(None),
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
fn is_complete_in(column: &Column, rows: &[usize]) -> bool {
    let gaps = std::collections::HashSet::<&usize>::from_iter(&column.gaps);
    rows.iter().all(|row| {
        let finite = match &column.cells {
            Cells::Numbers(numbers) => numbers[*row].is_finite(),
            Cells::Words(_) => true,
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
pub(super) fn among(source: &mut Source, images: usize, len: usize, path: &Path) -> Labels {
    let place = |name: &str| source.members.iter().position(|member| member.name == name);
    let fits =
        |member: &usize| table::is_array_of_labels(source, *member, len) && *member != images;
    // The labels of `train_images` and `x_train` are `train_labels` and `y_train`.
    let own = own_labels(&source.members[images].name);
    let names = own.iter().map(String::as_str).chain(Role::Factors.arrays().iter().copied());
    let Some(member) = names.filter_map(place).find(fits) else { return Labels::default() };
    let name = match source.members[member].name.as_str() {
        "" => "the array".to_owned(),
        name => format!("array `{name}`"),
    };
    let images = Labelled { path, len, files: None };
    let table = table::array_of(source, path, member, Role::Factors);
    let labels = table.and_then(|mut table| {
        table.in_order();
        of_table(table, &images, Gaps::LeftOut)
    });
    match labels {
        Ok(mut labels) => {
            if let Some(factors) = &mut labels.factors {
                read_words(source, factors);
            }
            match labels.factors {
                Some(_) => {
                    labels.notes.insert(0, format!("factors from {name}{}", listed(&labels)))
                }
                None => labels
                    .notes
                    .iter_mut()
                    .for_each(|note| *note = format!("{name} is not used: {note}")),
            }
            labels
        }
        Err(error) => unused(&name, &error),
    }
}

/// Gives factors the words that `data export` writes beside them, as `words_<factor>`.
fn read_words(source: &mut Source, factors: &mut Factors) {
    let mut words = |factor: &Factor| {
        let name = format!("words_{}", factor.name);
        let member = source.members.iter().position(|member| member.name == name);
        match member.map(|member| source.read_content(member)) {
            Some(Ok(Content::Texts(words))) if words.len() == factor.values.len() => words,
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

//! Tables in text: encodings, separators, and whether the first line has names.

use std::borrow::Cow;
use std::path::Path;

use super::cells::{CellCounts, ColumnBuilder, is_gap};
use super::{Doubtful, FILE_COLUMNS, INDEX_COLUMNS, MAX_VALUES, Table, is_called, is_unnamed};
use crate::error::{Error, Result};
use crate::files::extension_of;

/// Number of lines from which the separator is guessed.
const SAMPLE: usize = 50;

/// The text of a file in UTF-8 or UTF-16, with or without a mark of the byte order.
pub(crate) fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<Cow<'a, str>> {
    // Texts of Latin letters have zeros in every second byte.
    let zeros = |first: usize| {
        let start = &bytes[..bytes.len().min(64)];
        start.len() >= 4 && start.iter().skip(first).step_by(2).all(|byte| *byte == 0)
    };
    let sixteen = match bytes {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ if zeros(1) && !zeros(0) => Some((bytes, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        _ if zeros(0) && !zeros(1) => Some((bytes, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    let hint = "save it as text in UTF-8";
    if let Some((rest, unit)) = sixteen {
        let units: Vec<u16> = rest.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.len().is_multiple_of(2));
        let reason = "it looks like UTF-16 and is damaged";
        return text.map(Cow::Owned).ok_or_else(|| Error::file_hint(path, reason, hint));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Error::file_hint(path, format!("line {line} is not UTF-8"), hint)
    })?;
    if text.contains('\0') {
        return Err(Error::file_hint(path, "it holds bytes that are no text", hint));
    }
    Ok(Cow::Borrowed(text))
}

/// What stands between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separator {
    Byte(u8),
    /// Any number of blanks, as `numpy.savetxt` writes them.
    Blanks,
}

impl Separator {
    /// The separator that divides the first lines of `text` alike.
    fn of(path: &Path, text: &str) -> Self {
        let ending = extension_of(path);
        let widths = |separator: Self| {
            let mut widths = Vec::new();
            let mut numbers = true;
            // A damaged line is for the reader to report.
            let _ = separator.each(text, &mut |_, cells| {
                widths.push(cells.len());
                let rest = cells.iter().skip(1);
                numbers &= widths.len() == 1 || rest.clone().all(|x| x.parse::<f64>().is_ok());
                if widths.len() < SAMPLE { Ok(()) } else { Err(Error::config("enough", "")) }
            });
            (widths, numbers)
        };
        let bytes = [b'\t', b';', b',', b'|'].map(Self::Byte);
        let even = |separator: &&Self| {
            let (widths, _) = widths(**separator);
            let width = widths.iter().copied().max().unwrap_or(0);
            // A header may lack the name of the first column.
            width > 1
                && widths.iter().skip(1).all(|other| *other == width)
                && widths.first().is_some_and(|first| *first == width || first + 1 == width)
        };
        if let Some(separator) = bytes.iter().find(even) {
            return *separator;
        }
        // Words may have blanks in them, so the rest of a line must be numbers.
        if ending != "csv" && ending != "tsv" {
            let (widths, numbers) = widths(Self::Blanks);
            if numbers && widths.iter().any(|width| *width > 1) {
                return Self::Blanks;
            }
        }
        // What divides the first line most, so that errors are about the lines that differ.
        let first = |separator: &&Self| widths(**separator).0.first().copied().unwrap_or(0);
        let most = bytes.iter().rev().max_by_key(first).filter(|most| first(most) > 1);
        most.copied().unwrap_or(Self::Byte(if ending == "tsv" { b'\t' } else { b',' }))
    }

    /// Calls `take` with the number of each line and its cells; lines without content are left out.
    fn each(self, text: &str, take: &mut dyn FnMut(u32, &[&str]) -> Result<()>) -> Result<()> {
        let byte = match self {
            Self::Byte(byte) => byte,
            Self::Blanks => {
                for (line, content) in (1..).zip(text.lines()) {
                    let cells: Vec<&str> = content.split_whitespace().collect();
                    if !cells.is_empty() {
                        take(line, &cells)?;
                    }
                }
                return Ok(());
            }
        };
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).flexible(true).trim(csv::Trim::All).delimiter(byte);
        let mut reader = reader.from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        // The crate counts lines from before the end of the last one; here a record is where it starts.
        let (mut at, mut line) = (0, 1);
        // Text in memory can neither fail to be read nor be other than UTF-8.
        while reader.read_record(&mut record).unwrap_or(false) {
            let position = record.position().map_or(0, |position| position.byte() as usize);
            let ends = text.as_bytes()[position..].iter().take_while(|byte| b"\r\n".contains(byte));
            let start = position + ends.count();
            line += text.as_bytes()[at..start].iter().filter(|byte| **byte == b'\n').count() as u32;
            at = start;
            let cells: Vec<&str> = record.iter().collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                take(line, &cells)?;
            }
        }
        Ok(())
    }
}

/// Reads a table in text.
pub(super) fn read(path: &Path, text: &str) -> Result<Table> {
    let text = with_line_feeds(text);
    let (text, comments) = without_comments(&text);
    let text = without_count(&text);
    let separator = Separator::of(path, text);
    // Cells with decimal commas are numbers only where commas are not the separator.
    let commas = separator != Separator::Byte(b',');
    let first = FirstLine::read(path, text, separator, commas)?;
    let Some(FirstLine { cells, line, kinds, width, rows }) = first else {
        return Err(Error::file(path, "not a table: it is empty"));
    };
    let header = header(&cells, &kinds);
    if header == FirstLineKind::Names {
        check_names(path, &cells)?;
    }
    let named = header.is_names();
    let is_key = |column: usize| named && is_called(&cells[column], &FILE_COLUMNS);
    // The first line counts for the kind of a column unless it has names.
    let mut whole = kinds.clone();
    if !named {
        let cells = whole.iter_mut().zip(&cells);
        cells.for_each(|(kind, cell)| kind.take(0, cell, commas));
    }
    let mut columns: Vec<ColumnBuilder> = (0..width)
        .map(|column| {
            let name = named.then(|| cells[column].clone());
            let words = is_key(column) || whole[column].words > 0;
            ColumnBuilder::new(name, column, words, commas)
        })
        .collect();
    let mut lines = Vec::with_capacity(rows + 1);
    separator.each(text, &mut |number, cells| {
        if named && number == line {
            return Ok(());
        }
        for (column, builder) in columns.iter_mut().enumerate() {
            builder.push(lines.len(), cells.get(column).copied().unwrap_or_default());
        }
        lines.push(number);
        Ok(())
    })?;
    if lines.is_empty() {
        let names = cells.join(", ");
        let reason = format!("not a table: its only line is taken for names, {names}");
        return Err(Error::file_hint(path, reason, "add rows below the line of names"));
    }
    let mut columns: Vec<_> = columns.into_iter().map(|builder| builder.column).collect();
    // What a separator at the end of every line leaves.
    if columns.last().is_some_and(|last| !last.named && last.gaps.len() == lines.len()) {
        columns.pop();
    }
    let mut table = Table::new(path, columns, lines.len());
    table.lines = lines;
    if comments > 0 {
        let lines =
            if comments == 1 { "line 1 is a comment" } else { "its first lines are comments" };
        table.notes.push(lines.to_owned());
    }
    for (column, kind) in table.columns.iter().zip(&whole) {
        let name = &column.name;
        if let (Some((row, word)), true) =
            (&kind.word, kind.numbers > 0 && !is_called(name, &FILE_COLUMNS))
        {
            let (numbers, words, place) = (kind.numbers, kind.words, table.place(*row));
            table.notes.push(format!(
                "column `{name}` is taken for words: {words} of them among {numbers} numbers, such \
                 as `{word}` in {place}"
            ));
        }
        if kind.commas && kind.words == 0 {
            table.notes.push(format!("column `{name}` is read with decimal commas"));
        }
    }
    if let FirstLineKind::Doubtful { is_names } = header {
        table.doubtful = Some(Doubtful { cells, line, is_names });
    }
    Ok(table)
}

/// Text with the line ends of old Macs, a carriage return alone, is text like any other.
fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { text.into() } else { text.replace('\r', "\n").into() }
}

/// Removes the hash that `numpy.savetxt` puts before the names; lines with a hash that are no names are comments
/// and become empty, so that the others keep their numbers. Returns how many were.
fn without_comments(text: &str) -> (Cow<'_, str>, usize) {
    let (mut rest, mut comments) = (text, 0);
    while let Some(line) = rest.strip_prefix('#') {
        let (first, below) = line.split_once('\n').unwrap_or((line, ""));
        if is_row_of_names(first, below.lines().next().unwrap_or_default()) {
            rest = line;
            break;
        }
        comments += 1;
        rest = below;
    }
    let text = if comments == 0 { rest.into() } else { ("\n".repeat(comments) + rest).into() };
    (text, comments)
}

/// Whether a line has as many cells as the one below it, whatever separates them; the name of the first column
/// may be missing.
fn is_row_of_names(names: &str, row: &str) -> bool {
    if row.starts_with('#') {
        return false;
    }
    let widths = [",", ";", "\t", "|", ""].map(|separator| {
        let width = |line: &str| match separator {
            "" => line.split_whitespace().count(),
            _ => line.split(separator).count(),
        };
        (width(names), width(row))
    });
    let fits = |(names, row): &(usize, usize)| names == row || names + 1 == *row && *names > 1;
    match widths.iter().any(|(_, row)| *row > 1) {
        true => widths.iter().any(|width| width.1 > 1 && fits(width)),
        false => widths.iter().all(fits),
    }
}

/// Refuses two columns of one name.
fn check_names(path: &Path, names: &[String]) -> Result<()> {
    for (second, name) in names.iter().enumerate().filter(|(_, name)| !is_unnamed(name)) {
        if let Some(first) = names[..second].iter().position(|other| other == name) {
            let reason = format!("columns {first} and {second} are both called `{name}`");
            return Err(Error::file_hint(path, reason, "give them different names"));
        }
    }
    Ok(())
}

/// CelebA's lists start with the number of their rows; the names come after it.
fn without_count(text: &str) -> &str {
    let Some((first, rest)) = text.split_once('\n') else { return text };
    let mut lines = rest.lines();
    let mut width = || lines.next().map_or(0, |line| line.split_whitespace().count());
    let (names, row) = (width(), width());
    let is_count = first.trim().parse::<u64>().is_ok() && !first.contains([',', ';', '\t']);
    if is_count && names > 1 && row == names + 1 { rest } else { text }
}

/// The first line, and the kinds of the columns below it.
struct FirstLine {
    cells: Vec<String>,
    line: u32,
    kinds: Vec<CellCounts>,
    width: usize,
    /// Rows below it.
    rows: usize,
}

impl FirstLine {
    fn read(path: &Path, text: &str, separator: Separator, commas: bool) -> Result<Option<Self>> {
        let mut first: Option<Self> = None;
        separator.each(text, &mut |line, cells| {
            let Some(first) = &mut first else {
                let kinds = vec![CellCounts::default(); cells.len()];
                let own = cells.iter().map(|cell| (*cell).to_owned()).collect();
                first = Some(Self { cells: own, line, kinds, width: cells.len(), rows: 0 });
                return Ok(());
            };
            let is_key =
                |cell: &String| is_called(cell, &FILE_COLUMNS) || is_called(cell, &INDEX_COLUMNS);
            if first.rows == 0
                && cells.len() == first.width + 1
                && cells.last() != Some(&"")
                && !first.cells.iter().any(is_key)
            {
                // R leaves out the name of the first column, which has names of rows.
                first.cells.insert(0, String::new());
                first.kinds.push(CellCounts::default());
                first.width += 1;
            }
            let extra = cells.get(first.width..).unwrap_or_default();
            if cells.len() < first.width || extra.iter().any(|cell| !cell.is_empty()) {
                let (found, expected) = (cells.len(), first.width);
                let cells = if found == 1 { "cell" } else { "cells" };
                let reason = format!(
                    "not a table: line {line} has {found} {cells}, the first one {expected}"
                );
                let hint = "every line needs as many cells; quote cells that hold a separator";
                return Err(Error::file_hint(path, reason, hint));
            }
            for (kind, cell) in first.kinds.iter_mut().zip(cells) {
                kind.take(first.rows, cell, commas);
            }
            first.rows += 1;
            if first.rows.saturating_mul(first.width) > MAX_VALUES {
                let reason = format!("it has more than {MAX_VALUES} cells, which are not read");
                return Err(Error::file(path, reason));
            }
            Ok(())
        })?;
        Ok(first)
    }
}

/// What the first line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstLineKind {
    Names,
    Row,
    /// Either; the number of rows may decide.
    Doubtful {
        is_names: bool,
    },
}

impl FirstLineKind {
    fn is_names(self) -> bool {
        matches!(self, Self::Names | Self::Doubtful { is_names: true })
    }
}

/// Whether the first line, `cells`, has the names of the columns below it.
fn header(cells: &[String], below: &[CellCounts]) -> FirstLineKind {
    let is_number = |cell: &String| cell.parse::<f64>().is_ok();
    let is_word = |cell: &String| !is_gap(cell) && !is_number(cell);
    let is_key = |cell: &String| {
        is_called(cell, &FILE_COLUMNS) || is_called(cell, &INDEX_COLUMNS) || is_unnamed(cell)
    };
    let columns = || cells.iter().zip(below);
    if cells.len() > 1 && is_unnamed(&cells[0])
        || cells.iter().any(|cell| is_key(cell) && !is_gap(cell))
    {
        return FirstLineKind::Names;
    }
    // A word above numbers names them.
    if columns().any(|(cell, kind)| is_word(cell) && kind.is_numbers()) {
        return FirstLineKind::Names;
    }
    if cells.iter().all(is_word) {
        let of_images = cells.iter().any(|cell| super::names::has_image_ending(cell));
        return if of_images { FirstLineKind::Row } else { FirstLineKind::Names };
    }
    let integers: Option<Vec<u64>> = cells.iter().map(|cell| cell.parse().ok()).collect();
    if let Some(integers) = integers
        && integers.windows(2).all(|pair| pair[0] < pair[1])
    {
        if columns().any(|(_, kind)| kind.fractions > 0 || kind.words > 0) {
            // Fractions everywhere else would be a strange chance.
            let all = columns().all(|(_, kind)| kind.fractions > 0 || kind.words > 0);
            return if all && below[0].numbers + below[0].words > 0 {
                FirstLineKind::Names
            } else {
                FirstLineKind::Doubtful { is_names: false }
            };
        }
        let counts = integers.len() > 1 && integers.iter().copied().eq(0..integers.len() as u64);
        return FirstLineKind::Doubtful { is_names: counts };
    }
    // Words above words, and numbers above numbers.
    match cells.iter().any(is_word) {
        true => FirstLineKind::Doubtful { is_names: false },
        false => FirstLineKind::Row,
    }
}

//! Types of cells (a number, a word or a gap), and the types of columns that follow from them.

use std::cmp::Ordering;

use super::{ColumnData, TableColumn};

/// What stands for a missing value: what pandas takes for it, and the question mark of UCI's tables.
const GAPS: [&str; 17] = [
    "", "?", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "-nan", "-NaN", "null", "NULL", "Null",
    "None", "<NA>", "#N/A", "NaT",
];

/// Whether a cell is a gap.
pub(super) fn is_gap(cell: &str) -> bool {
    GAPS.contains(&cell)
}

/// The number in a cell, infinite ones included.
pub(super) fn number(cell: &str, decimal_commas: bool) -> Option<f64> {
    let parse = |text: &str| text.parse().ok().filter(|number: &f64| !number.is_nan());
    match parse(cell) {
        None if decimal_commas && cell.matches(',').count() == 1 => parse(&cell.replace(',', ".")),
        number => number,
    }
}

/// Counts of the cells of a column by their type, from which the type of the column follows.
#[derive(Clone, Debug, Default)]
pub(super) struct CellCounts {
    /// Cells that are numbers.
    pub(super) numbers: usize,
    /// Cells that are words.
    pub(super) words: usize,
    /// The first word and its row.
    pub(super) word: Option<(usize, String)>,
    /// Cells that are no whole numbers.
    pub(super) fractions: usize,
    /// Whether a number has a decimal comma.
    pub(super) commas: bool,
}

impl CellCounts {
    pub(super) fn take(&mut self, row: usize, cell: &str, decimal_commas: bool) {
        if is_gap(cell) {
            return;
        }
        match number(cell, decimal_commas) {
            Some(_) => {
                self.numbers += 1;
                self.fractions += usize::from(cell.parse::<i64>().is_err());
                self.commas |= cell.contains(',');
            }
            None => {
                self.words += 1;
                self.word.get_or_insert_with(|| (row, cell.to_owned()));
            }
        }
    }

    /// Whether all cells that hold something are numbers.
    pub(super) fn is_numbers(&self) -> bool {
        self.words == 0 && self.numbers > 0
    }
}

/// A column that is being filled.
pub(super) struct ColumnBuilder {
    pub(super) column: TableColumn,
    decimal_commas: bool,
}

impl ColumnBuilder {
    pub(super) fn new(
        name: Option<String>,
        position: usize,
        is_words: bool,
        decimal_commas: bool,
    ) -> Self {
        let cells =
            if is_words { ColumnData::Words(Vec::new()) } else { ColumnData::Numbers(Vec::new()) };
        Self { column: TableColumn::new(name, position, cells), decimal_commas }
    }

    /// Appends a cell.
    pub(super) fn push(&mut self, row: usize, cell: &str) {
        let gap = is_gap(cell);
        match &mut self.column.cells {
            ColumnData::Words(words) => {
                words.push(if gap { String::new() } else { cell.to_owned() })
            }
            ColumnData::Numbers(numbers) => {
                numbers.push(number(cell, self.decimal_commas).unwrap_or(f64::NAN));
            }
        }
        if gap {
            self.column.gaps.push(row);
        }
    }
}

/// The order of words: numbers among them by their values and first, then the alphabet.
pub(crate) fn natural_order(a: &str, b: &str) -> Ordering {
    let number = |word: &str| word.parse::<f64>().ok().filter(|number| !number.is_nan());
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

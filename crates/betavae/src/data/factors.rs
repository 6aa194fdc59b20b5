//! What is known about the images of a data set: the classes of their factors.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::numbers::short;

/// Whether a factor of so many classes numbers the images rather than telling what they share: with more than half as many
/// classes as there are images.
pub(crate) fn numbers_images(classes: usize, images: usize) -> bool {
    2 * classes > images
}

/// One ground-truth factor of variation.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// Its name in the literature, such as `posX`.
    pub name: String,
    /// What each class stands for, in the data set's own unit; the numbers of the classes where they are words.
    pub values: Vec<f64>,
    /// The word for each class; empty if the factor is numbers.
    pub words: Vec<String>,
}

impl Factor {
    /// A factor of `count` values spaced evenly from `first` to `last`, both included.
    pub(crate) fn linspace(name: &str, first: f64, last: f64, count: usize) -> Self {
        let step = if count > 1 { (last - first) / (count - 1) as f64 } else { 0.0 };
        let value = |i| if i + 1 == count { last } else { first + step * i as f64 };
        Self {
            name: name.to_owned(),
            values: (0..count).map(|i| if count == 1 { first } else { value(i) }).collect(),
            words: Vec::new(),
        }
    }

    /// What a class is called: its word, or its value with three digits, or with all of them if
    /// these do not tell it from another.
    pub fn class_name(&self, class: usize) -> String {
        if let Some(word) = self.words.get(class) {
            return word.clone();
        }
        let Some(value) = self.values.get(class) else { return class.to_string() };
        let brief = short(*value);
        let alike = self.values.iter().filter(|other| short(**other) == brief).count();
        if alike > 1 { value.to_string() } else { brief }
    }
}

/// The factors of every image, either as a rule or as a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Factors {
    /// Every combination once, in order.
    Grid(FactorGrid),
    /// Whatever the files have.
    Table(FactorTable),
}

impl Factors {
    /// Factors of `names.len()` columns with a row of values per image, [N, K] row by row; a grid if
    /// the rows are one.
    ///
    /// # Errors
    /// See [`FactorTable::new`].
    pub fn from_values<S: AsRef<str>>(names: &[S], values: &[f64]) -> Result<Self> {
        let table = FactorTable::new(names, values)?;
        let grid = FactorGrid { factors: table.factors.clone() };
        let mut sizes = table.factors.iter().map(|factor| factor.values.len());
        let len = sizes.try_fold(1_usize, usize::checked_mul);
        if len == Some(table.len()) && (0..table.len()).all(|i| grid.classes(i) == table.classes(i))
        {
            return Ok(Factors::Grid(grid));
        }
        Ok(Factors::Table(table))
    }

    /// The factors of some of the images, in this order.
    pub(crate) fn select(&self, images: &[usize]) -> Self {
        let factors = self.factors();
        let names: Vec<&str> = factors.iter().map(|factor| factor.name.as_str()).collect();
        let classes: Vec<Vec<usize>> = images.iter().map(|image| self.classes(*image)).collect();
        let value = |row: &Vec<usize>| -> Vec<f64> {
            row.iter().zip(factors).map(|(class, factor)| factor.values[*class]).collect()
        };
        let values: Vec<f64> = classes.iter().flat_map(value).collect();
        let Ok(mut selected) = Self::from_values(&names, &values) else { return self.clone() };
        // Classes that no image has any more take their words with them.
        let words: Vec<Vec<String>> = factors
            .iter()
            .enumerate()
            .map(|(k, factor)| {
                let used: std::collections::BTreeSet<usize> =
                    classes.iter().map(|row| row[k]).collect();
                factor
                    .words
                    .iter()
                    .enumerate()
                    .filter(|(class, _)| used.contains(class))
                    .map(|(_, word)| word.clone())
                    .collect()
            })
            .collect();
        selected.set_words(words);
        selected
    }

    /// Gives the factors other names, in their order.
    pub(crate) fn rename(&mut self, names: impl IntoIterator<Item = String>) {
        self.factors_mut().iter_mut().zip(names).for_each(|(factor, name)| factor.name = name);
    }

    /// Gives the classes of factors their words, factor by factor; none for factors that are numbers.
    pub(crate) fn set_words(&mut self, words: impl IntoIterator<Item = Vec<String>>) {
        self.factors_mut().iter_mut().zip(words).for_each(|(factor, words)| factor.words = words);
    }

    /// Replaces what classes stand for; their order stays.
    pub(crate) fn map_values(&mut self, value: impl Fn(f64) -> f64) {
        let factors = self.factors_mut().iter_mut();
        factors.flat_map(|factor| &mut factor.values).for_each(|x| *x = value(*x));
    }

    fn factors_mut(&mut self) -> &mut [Factor] {
        match self {
            Factors::Grid(grid) => &mut grid.factors,
            Factors::Table(table) => &mut table.factors,
        }
    }

    /// Name and values of each factor.
    pub fn factors(&self) -> &[Factor] {
        match self {
            Factors::Grid(grid) => &grid.factors,
            Factors::Table(table) => &table.factors,
        }
    }

    /// Number of images.
    #[allow(clippy::len_without_is_empty)] // neither form can be empty
    pub fn len(&self) -> usize {
        match self {
            Factors::Grid(grid) => grid.len(),
            Factors::Table(table) => table.len(),
        }
    }

    /// The class of every factor for image `index`, `[K]`.
    pub fn classes(&self, index: usize) -> Vec<usize> {
        match self {
            Factors::Grid(grid) => grid.classes(index),
            Factors::Table(table) => table.classes(index),
        }
    }
}

/// The factors a data set varies, where they form a full grid: image `i` has the classes of `i`
/// written in the mixed radix of the sizes, first factor slowest.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorGrid {
    /// Name and values of each factor, slowest first.
    pub factors: Vec<Factor>,
}

impl FactorGrid {
    /// Number of images: the product of the sizes.
    #[allow(clippy::len_without_is_empty)] // a grid is never empty
    pub fn len(&self) -> usize {
        self.factors.iter().map(|factor| factor.values.len()).product()
    }

    /// The class of every factor for image `index`, `[K]`.
    pub fn classes(&self, mut index: usize) -> Vec<usize> {
        let mut classes = vec![0; self.factors.len()];
        for (class, factor) in classes.iter_mut().zip(&self.factors).rev() {
            *class = index % factor.values.len();
            index /= factor.values.len();
        }
        classes
    }

    /// The image whose factors have these classes; the inverse of [`FactorGrid::classes`].
    pub fn index(&self, classes: &[usize]) -> usize {
        assert_eq!(classes.len(), self.factors.len(), "one class per factor");
        self.factors.iter().zip(classes).fold(0, |index, (factor, class)| {
            assert!(*class < factor.values.len(), "{} has no class {class}", factor.name);
            index * factor.values.len() + class
        })
    }
}

/// The factors of images that do not form a grid, as published labels or the user's own.
#[derive(Clone, Debug, PartialEq)]
pub struct FactorTable {
    factors: Vec<Factor>,
    /// [N, K]
    classes: Vec<u32>,
}

impl FactorTable {
    /// A table of `names.len()` columns with a row of values per image, [N, K] row by row. The
    /// classes of a factor are its different values in rising order.
    ///
    /// # Errors
    /// If there is no row, a row is incomplete, or a value is NaN.
    pub fn new<S: AsRef<str>>(names: &[S], values: &[f64]) -> Result<Self> {
        let columns = names.len();
        if columns == 0 || values.is_empty() || !values.len().is_multiple_of(columns) {
            return Err(Error::Mismatch {
                what: "the table of factors".into(),
                expected: format!("rows of {columns} values, at least one of each"),
                found: format!("{} values", values.len()),
                hint: String::new(),
            });
        }
        if let Some(at) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::Mismatch {
                what: format!("factor {}", names[at % columns].as_ref()),
                expected: "numbers".into(),
                found: format!("NaN in row {}", at / columns),
                hint: String::new(),
            });
        }
        // Bits in the order of the numbers, so that they can be keys; -0 is 0.
        let key = |value: f64| {
            let bits = (value + 0.0).to_bits() as i64;
            bits ^ (((bits >> 63) as u64) >> 1) as i64
        };
        let mut factors = Vec::with_capacity(columns);
        let mut classes = vec![0; values.len()];
        for (column, name) in names.iter().enumerate() {
            let column_values = || values.iter().skip(column).step_by(columns);
            let mut known: BTreeMap<i64, (f64, u32)> =
                column_values().map(|value| (key(*value), (*value, 0))).collect();
            known.values_mut().zip(0..).for_each(|((_, class), i)| *class = i);
            let column_classes = classes.iter_mut().skip(column).step_by(columns);
            column_classes
                .zip(column_values())
                .for_each(|(class, value)| *class = known[&key(*value)].1);
            let name = name.as_ref().to_owned();
            let values = known.values().map(|(value, _)| *value).collect();
            factors.push(Factor { name, values, words: Vec::new() });
        }
        Ok(Self { factors, classes })
    }

    /// Name and values of each factor, in the order of the columns.
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// Number of images.
    #[allow(clippy::len_without_is_empty)] // `new` refuses empty tables
    pub fn len(&self) -> usize {
        self.classes.len() / self.factors.len()
    }

    /// The class of every factor for image `index`, `[K]`.
    pub fn classes(&self, index: usize) -> Vec<usize> {
        let columns = self.factors.len();
        let row = &self.classes[index * columns..(index + 1) * columns];
        row.iter().map(|class| *class as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_different_values_in_order() {
        let values = [0.5, -3.0, -0.0, 7.0, 0.0, -3.0, -1.5, 1e300];
        let table = FactorTable::new(&["a", "b"], &values).unwrap();
        assert_eq!(table.len(), 4);
        assert_eq!(table.factors()[0].values, [-1.5, 0.0, 0.5]);
        assert_eq!(table.factors()[1].values, [-3.0, 7.0, 1e300]);
        let rows: Vec<_> = (0..4).map(|i| table.classes(i)).collect();
        assert_eq!(rows, [[2, 0], [1, 1], [1, 0], [0, 2]]);
    }

    #[test]
    fn a_table_of_all_combinations_in_order_is_a_grid() {
        let rows = [[5.0, 0.5], [5.0, 1.5], [7.0, 0.5], [7.0, 1.5]];
        let grid = Factors::from_values(&["a", "b"], &rows.concat()).unwrap();
        let factor =
            |name: &str, values| Factor { name: name.to_owned(), values, words: Vec::new() };
        let factors = vec![factor("a", vec![5.0, 7.0]), factor("b", vec![0.5, 1.5])];
        assert_eq!(grid, Factors::Grid(FactorGrid { factors }));
        // Another order, and a part.
        let swapped = [rows[1], rows[0], rows[2], rows[3]].concat();
        assert!(matches!(Factors::from_values(&["a", "b"], &swapped), Ok(Factors::Table(_))));
        let part = rows[..3].concat();
        assert!(matches!(Factors::from_values(&["a", "b"], &part), Ok(Factors::Table(_))));
    }

    #[test]
    fn classes_are_called_by_word_or_number() {
        let mut factor = Factor::linspace("colour", 0.0, 1.0, 3);
        assert_eq!([0, 1, 7].map(|class| factor.class_name(class)), ["0", "0.5", "7"]);
        factor.values = vec![1e6, 1_000_001.0, 2e6];
        assert_eq!([0, 1, 2].map(|class| factor.class_name(class)), ["1000000", "1000001", "2e6"]);
        factor.words = ["red", "green", "blue"].map(str::to_owned).into();
        assert_eq!(factor.class_name(2), "blue");
    }

    #[test]
    fn tables_without_sense_are_refused() {
        assert!(FactorTable::new(&["a", "b"], &[1.0]).is_err());
        assert!(FactorTable::new::<&str>(&[], &[]).is_err());
        let error = FactorTable::new(&["a", "b"], &[1.0, 2.0, 3.0, f64::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "factor b: expected numbers, found NaN in row 1");
    }

    #[test]
    fn a_grid_counts_in_mixed_radix() {
        let axis = |count| Factor::linspace("x", 0.0, 1.0, count);
        let grid = FactorGrid { factors: vec![axis(2), axis(1), axis(3)] };
        let rows: Vec<_> = (0..grid.len()).map(|i| grid.classes(i)).collect();
        assert_eq!(rows[4], [1, 0, 1]);
        rows.iter().enumerate().for_each(|(i, row)| assert_eq!(grid.index(row), i));
    }
}

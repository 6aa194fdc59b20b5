//! The arrays: codes, factors, and matrices of results.

use std::ops::{Index, IndexMut};

use serde::Serialize;

use crate::error::{Error, Result};

/// A matrix of f64, row by row.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// All zero.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// From its values, row by row.
    ///
    /// # Panics
    /// If their number is not `rows * columns`.
    pub fn from_vec(rows: usize, columns: usize, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), rows * columns, "a {rows} x {columns} matrix");
        Self { rows, columns, values }
    }

    /// From a function of row and column.
    pub fn from_fn(rows: usize, columns: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let values = (0..rows * columns).map(|i| f(i / columns, i % columns)).collect();
        Self { rows, columns, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// A row.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// The values of a column.
    pub fn column(&self, column: usize) -> impl ExactSizeIterator<Item = f64> + Clone + '_ {
        assert!(column < self.columns, "column {column} of {}", self.columns);
        (0..self.rows).map(move |row| self.values[row * self.columns + column])
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Rows and columns exchanged.
    pub fn transposed(&self) -> Self {
        Self::from_fn(self.columns, self.rows, |row, column| self[[column, row]])
    }
}

impl Index<[usize; 2]> for Matrix {
    type Output = f64;
    fn index(&self, [row, column]: [usize; 2]) -> &f64 {
        &self.row(row)[column]
    }
}

impl IndexMut<[usize; 2]> for Matrix {
    fn index_mut(&mut self, [row, column]: [usize; 2]) -> &mut f64 {
        &mut self.row_mut(row)[column]
    }
}

/// Sizes of codes: those of f32, which trees see, as scikit-learn's do, and of which fourth powers are
/// still numbers.
const SIZES: [f64; 2] = [f32::MIN_POSITIVE as f64, f32::MAX as f64];

/// Codes [N, D], all of them finite, and none so large that its powers are not.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes(Matrix);

impl Codes {
    /// `values` of f32 or f64, row by row, with `latents` D in each row.
    ///
    /// # Errors
    /// If rows are not whole, there is no latent, or a value is infinite, not a number, or larger
    /// than the largest f32.
    pub fn new<T: Copy + Into<f64>>(values: &[T], latents: usize) -> Result<Self> {
        let rows = whole_rows("codes", values.len(), latents)?;
        let values: Vec<f64> = values.iter().map(|value| (*value).into()).collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (row, column) = (at / latents, at % latents);
            return Err(Error::NotFinite { row, column, value: values[at] });
        }
        let [least, most] = SIZES;
        if let Some(at) = values.iter().position(|value| value.abs() > most) {
            let (row, latent) = (at / latents, at % latents);
            return Err(Error::OutOfScale { latent, row, value: values[at], least, most });
        }
        Ok(Self(Matrix::from_vec(rows, latents, values)))
    }

    /// Number of rows N.
    pub fn len(&self) -> usize {
        self.0.rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of latents D.
    pub fn latents(&self) -> usize {
        self.0.columns()
    }

    /// As a matrix [N, D].
    pub fn matrix(&self) -> &Matrix {
        &self.0
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        self.0.row(row)
    }

    /// All values of one latent.
    pub fn latent(&self, latent: usize) -> Vec<f64> {
        self.0.column(latent).collect()
    }

    /// Some of the rows, in this order; rows may repeat.
    pub fn select(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|row| self.row(*row)).copied().collect();
        Self(Matrix::from_vec(rows.len(), self.latents(), values))
    }
}

/// Factors [N, K]: each of a row's K numbers is a class, 0 to the factor's size - 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    classes: Vec<u32>,
    sizes: Vec<usize>,
}

impl Factors {
    /// `values`, row by row, with `factors` K in each row. Any integers are classes; they are
    /// numbered in rising order, without gaps.
    ///
    /// # Errors
    /// If rows are not whole, or there is no factor.
    pub fn new(values: &[i64], factors: usize) -> Result<Self> {
        whole_rows("factors", values.len(), factors)?;
        let mut classes = vec![0; values.len()];
        let mut sizes = Vec::with_capacity(factors);
        for factor in 0..factors {
            let column = || values.iter().skip(factor).step_by(factors);
            let mut known: Vec<i64> = column().copied().collect();
            known.sort_unstable();
            known.dedup();
            let to = classes.iter_mut().skip(factor).step_by(factors);
            for (to, value) in to.zip(column()) {
                // Every value is known, so the search succeeds.
                *to = known.partition_point(|other| other < value) as u32;
            }
            sizes.push(known.len());
        }
        Ok(Self { classes, sizes })
    }

    /// Classes that are numbered already, of factors of these sizes; some may not occur.
    ///
    /// # Errors
    /// If rows are not whole, there is no factor, or a class is not below its factor's size.
    pub fn numbered(classes: Vec<u32>, sizes: Vec<usize>) -> Result<Self> {
        whole_rows("factors", classes.len(), sizes.len())?;
        for (i, class) in classes.iter().enumerate() {
            let (row, factor) = (i / sizes.len(), i % sizes.len());
            if *class as usize >= sizes[factor] {
                return Err(Error::Shape {
                    what: format!("factors: row {row}, column {factor}"),
                    expected: format!("a class below {}", sizes[factor]),
                    found: class.to_string(),
                });
            }
        }
        Ok(Self { classes, sizes })
    }

    /// Number of rows N.
    pub fn len(&self) -> usize {
        self.classes.len() / self.sizes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Number of factors K.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// The number of classes of each factor.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.classes[row * self.sizes.len()..][..self.sizes.len()]
    }

    /// The classes of one factor.
    pub fn factor(&self, factor: usize) -> Vec<u32> {
        self.classes.iter().skip(factor).step_by(self.count()).copied().collect()
    }

    /// The factors of which two classes or more occur.
    pub fn varying(&self) -> Vec<usize> {
        let varies = |factor: &usize| {
            let mut classes = self.classes.iter().skip(*factor).step_by(self.count());
            let first = classes.next();
            classes.any(|class| Some(class) != first)
        };
        (0..self.count()).filter(varies).collect()
    }

    /// Some of the factors, in this order.
    ///
    /// # Errors
    /// If there are none.
    pub fn choose(&self, factors: &[usize]) -> Result<Self> {
        let rows = self.classes.chunks_exact(self.count());
        let classes = rows.flat_map(|row| factors.iter().map(|factor| row[*factor])).collect();
        Self::numbered(classes, factors.iter().map(|factor| self.sizes[*factor]).collect())
    }

    /// Some of the rows, in this order; sizes stay as they are.
    pub fn select(&self, rows: &[usize]) -> Self {
        let classes = rows.iter().flat_map(|row| self.row(*row)).copied().collect();
        Self { classes, sizes: self.sizes.clone() }
    }
}

/// Codes with the factors of the same images.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    codes: Codes,
    factors: Factors,
}

impl Labelled {
    /// # Errors
    /// If there are not as many codes as factors, or none, or all values of a latent are smaller than
    /// 1e-38, the least normal f32, but not all are 0.
    pub fn new(codes: Codes, factors: Factors) -> Result<Self> {
        if codes.len() != factors.len() || codes.is_empty() {
            return Err(Error::Shape {
                what: "factors".into(),
                expected: format!("a row for each of the {} codes", codes.len().max(1)),
                found: format!("{} rows", factors.len()),
            });
        }
        let [least, most] = SIZES;
        for latent in 0..codes.latents() {
            let sizes = codes.matrix().column(latent).map(f64::abs).enumerate();
            let (row, size) = sizes.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
            if size > 0.0 && size < least {
                let value = codes.row(row)[latent];
                return Err(Error::OutOfScale { latent, row, value, least, most });
            }
        }
        Ok(Self { codes, factors })
    }

    /// Number of rows N.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Never: there is at least one row.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The codes [N, D].
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The factors [N, K].
    pub fn factors(&self) -> &Factors {
        &self.factors
    }

    /// Some of the rows, in this order; rows may repeat.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { codes: self.codes.select(rows), factors: self.factors.select(rows) }
    }
}

fn whole_rows(what: &str, values: usize, columns: usize) -> Result<usize> {
    if columns == 0 || !values.is_multiple_of(columns) {
        return Err(Error::Shape {
            what: what.into(),
            expected: format!("whole rows of at least one column ({columns} here)"),
            found: format!("{values} values"),
        });
    }
    Ok(values / columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_no_number_is_named() {
        let error = Codes::new(&[0.0f32, 1.0, 2.0, f32::NAN], 2).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }));
        assert!(error.to_string().contains("row 1, column 1"), "{error}");
        assert!(Codes::new(&[0.0, 1.0, 2.0], 2).is_err());
    }

    #[test]
    fn a_latent_out_of_scale_is_named() {
        let error = Codes::new(&[1.0, 2.0, 3.0, -1e307], 2).unwrap_err().to_string();
        assert!(error.contains("latent 1 reaches -1e307 in row 1"), "{error}");
        let factors = Factors::new(&[0, 1], 1).unwrap();
        let tiny = Codes::new(&[0.0, 1.0, 1e-300, 2.0], 2).unwrap();
        let error = Labelled::new(tiny, factors.clone()).unwrap_err().to_string();
        assert!(error.contains("latent 0 reaches 1e-300 in row 1"), "{error}");
        // f32 has no such sizes, and a latent may be 0 throughout.
        let codes = [0.0, f64::from(f32::MAX), 0.0, f64::from(f32::MIN_POSITIVE)];
        assert!(Labelled::new(Codes::new(&codes, 2).unwrap(), factors).is_ok());
    }

    #[test]
    fn classes_are_numbered_in_rising_order() {
        let factors = Factors::new(&[7, -1, 3, -1, 9, -1], 2).unwrap();
        assert_eq!(factors.sizes(), [3, 1]);
        assert_eq!(factors.factor(0), [1, 0, 2]);
        assert!(Factors::numbered(vec![0, 3], vec![3]).is_err());
    }

    #[test]
    fn codes_and_factors_belong_together() {
        let codes = Codes::new(&[0.0, 1.0, 2.0], 1).unwrap();
        let factors = Factors::new(&[0, 1], 1).unwrap();
        assert!(Labelled::new(codes, factors).is_err());
    }
}

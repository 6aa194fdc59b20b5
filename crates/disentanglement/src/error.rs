//! What can be wrong with the input.

/// What can be wrong with the input.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An array does not have the shape that goes with the rest.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which array.
        what: String,
        /// The shape or length it should have.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A code is infinite or not a number.
    #[error("codes: row {row}, column {column} is {value}, not a finite number")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// What is there.
        value: f64,
    },
    /// A latent is so large or so small that powers of its values are not numbers any more.
    #[error(
        "codes: latent {latent} reaches {value:e} in row {row}; scores need sizes from {least:e} to \
         {most:e}, so multiply the codes by a constant"
    )]
    OutOfScale {
        /// Which latent, from 0.
        latent: usize,
        /// A row with its largest value, or the first beyond the limit.
        row: usize,
        /// That value.
        value: f64,
        /// The least size of a latent's largest value, but for 0.
        least: f64,
        /// The largest size of a value.
        most: f64,
    },
    /// A score needs more than there is.
    #[error("{score} needs {needs}, found {found}")]
    TooFew {
        /// Name of the score.
        score: &'static str,
        /// What it needs.
        needs: String,
        /// What there is.
        found: String,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

//! NumPy's `.npy` and `.npz` files: which arrays there are, their elements in bulk, and a writer.
//!
//! Images of the usual types in C order are read in place, other arrays as a whole. This module does not know
//! what an array means; its callers do.

mod header;
mod numbers;
mod read;
mod write;

pub(crate) use header::{ArrayFault, encode as header};
pub(crate) use numbers::{ArrayContent, Numbers};
pub use read::read_f32;
pub(crate) use read::{ArrayFile, Dtype, Elements};
pub use write::{Element, NpzArray, NpzWriter};

/// Number of elements of an array, unless it overflows.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
}

//! NumPy's `.npy` and `.npz` files: which arrays there are, their elements in bulk, and a writer.
//!
//! Only the element types that this crate uses, in C order; what an array means is its reader's
//! business.

mod header;
mod numbers;
mod read;
mod write;

pub(crate) use header::{Fault, encode as header};
pub(crate) use numbers::Numbers;
pub use read::read_f32;
pub(crate) use read::{Dtype, Source};
pub use write::{Element, NpzArray, NpzWriter};

/// Number of elements of an array, unless it overflows.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
}

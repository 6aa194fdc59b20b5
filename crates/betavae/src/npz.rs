//! NumPy's `.npy` and `.npz` files: which arrays there are, their elements in bulk, and a writer.
//!
//! Images are read where they lie if they are of a few types and in C order, other arrays as a whole; what an array means is its reader's
//! business.

mod header;
mod numbers;
mod read;
mod write;

pub(crate) use header::{Fault, encode as header};
pub(crate) use numbers::{Content, Numbers};
pub use read::read_f32;
pub(crate) use read::{Dtype, Elements, Source};
pub use write::{Element, NpzArray, NpzWriter};

/// Number of elements of an array, unless it overflows.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
}

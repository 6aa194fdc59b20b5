//! Memory for large intermediate results, used again instead of asked for and zeroed every step.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Freed buffers, the latest last.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// How many are kept; a step of the deepest preset needs about as many.
const KEPT_AT_MOST: usize = 16;

/// Floats that go back to the others when dropped.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// Of this length, with any contents.
    pub(crate) fn new(length: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = free.iter().rposition(|buffer| buffer.len() == length);
        let found = fits.map(|i| free.remove(i));
        drop(free);
        Self(found.unwrap_or_else(|| vec![0.0; length]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() == KEPT_AT_MOST {
            free.remove(0);
        }
        free.push(std::mem::take(&mut self.0));
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

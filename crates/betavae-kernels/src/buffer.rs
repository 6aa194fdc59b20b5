//! Memory for large results: used again, not asked for and zeroed every step; and filled by the
//! threads that use it next.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

/// Freed buffers, the latest last, and the number of buffers freed so far.
static FREE: Mutex<Free> = Mutex::new(Free { buffers: VecDeque::new(), count: 0 });

struct Free {
    /// With the count at which each was freed.
    buffers: VecDeque<(u64, Vec<f32>)>,
    count: u64,
}

/// A buffer that was not wanted while so many others were freed is given back; a step frees about
/// forty, so this is a few steps.
const PATIENCE: u64 = 256;

/// Locks even if a panic elsewhere left the lock poisoned: what it protects is only memory.
fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats that go back to the others when dropped.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// Of this length, with any contents.
    pub(crate) fn new(length: usize) -> Self {
        let mut free = free();
        let fits = free.buffers.iter().rposition(|(_, buffer)| buffer.len() == length);
        let found = fits.and_then(|i| free.buffers.remove(i));
        drop(free);
        Self(found.map_or_else(|| vec![0.0; length], |(_, buffer)| buffer))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = free();
        free.count += 1;
        let now = free.count;
        free.buffers.push_back((now, std::mem::take(&mut self.0)));
        while free.buffers.front().is_some_and(|(then, _)| then + PATIENCE < now) {
            free.buffers.pop_front();
        }
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

/// A vector whose chunks are zeroed, and then filled by `fill(index, chunk)`, in parallel.
pub(crate) fn filled(
    length: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    let room: &mut [MaybeUninit<f32>] = &mut values.spare_capacity_mut()[..length];
    room.par_chunks_mut(chunk).enumerate().for_each(|(i, chunk)| {
        for value in &mut *chunk {
            value.write(0.0);
        }
        // SAFETY: every element was just written.
        fill(i, unsafe { &mut *(std::ptr::from_mut(chunk) as *mut [f32]) });
    });
    // SAFETY: the chunks cover all of `length`, which is within the capacity.
    unsafe { values.set_len(length) };
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_buffer_is_used_again() {
        let length = 12_345;
        let mut first = Buffer::new(length);
        first[7] = 3.0;
        let place = first.as_ptr();
        drop(first);
        let second = Buffer::new(length);
        assert_eq!((second.as_ptr(), second[7]), (place, 3.0));
    }

    #[test]
    fn chunks_are_filled_over_zeros() {
        let values = filled(10, 4, |i, chunk| chunk[1] = i as f32 + 1.0);
        assert_eq!(values, [0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0]);
        assert!(filled(0, 4, |_, _| ()).is_empty());
    }
}

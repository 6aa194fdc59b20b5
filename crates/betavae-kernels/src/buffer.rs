//! Memory for large results, which is used again instead of being allocated and zeroed in every
//! training step. Memory of a `Stack` is in `stack::workspace`.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

/// Freed buffers, the latest last, and the number of buffers freed so far.
static FREE: Mutex<FreeList> = Mutex::new(FreeList { buffers: VecDeque::new(), count: 0 });

struct FreeList {
    /// Each buffer with the count at which it was freed.
    buffers: VecDeque<(u64, Vec<f32>)>,
    count: u64,
}

/// A buffer that was not used again while so many others were freed is deallocated. A training step
/// frees about forty, so this is a few steps.
const MAX_AGE: u64 = 256;

/// Locks even if a panic elsewhere left the lock poisoned, because it protects nothing but memory.
fn free_list() -> MutexGuard<'static, FreeList> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats whose memory is used again after they are dropped.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// A buffer of this length with arbitrary contents.
    pub(crate) fn new(length: usize) -> Self {
        let mut free = free_list();
        let fitting = free.buffers.iter().rposition(|(_, buffer)| buffer.len() == length);
        let found = fitting.and_then(|i| free.buffers.remove(i));
        drop(free);
        Self(found.map_or_else(|| vec![0.0; length], |(_, buffer)| buffer))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = free_list();
        free.count += 1;
        let now = free.count;
        free.buffers.push_back((now, std::mem::take(&mut self.0)));
        while free.buffers.front().is_some_and(|(then, _)| then + MAX_AGE < now) {
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

/// A vector whose chunks are zeroed, and then filled by `fill(index, chunk)`, in parallel. The thread
/// that fills a chunk is the first to touch its memory.
pub(crate) fn par_filled(
    length: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    let uninit: &mut [MaybeUninit<f32>] = &mut values.spare_capacity_mut()[..length];
    uninit.par_chunks_mut(chunk).enumerate().for_each(|(i, chunk)| {
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
        let address = first.as_ptr();
        drop(first);
        let second = Buffer::new(length);
        assert_eq!((second.as_ptr(), second[7]), (address, 3.0));
    }

    #[test]
    fn chunks_are_filled_over_zeros() {
        let values = par_filled(10, 4, |i, chunk| chunk[1] = i as f32 + 1.0);
        assert_eq!(values, [0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0]);
        assert!(par_filled(0, 4, |_, _| ()).is_empty());
    }
}

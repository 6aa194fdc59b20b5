//! Keeps the threads of rayon's pool spinning between the many short operators of a training step.

use std::sync::atomic::{AtomicBool, Ordering};

/// How often a thread looks for work in vain before it yields the processor to other programs.
const SPINS_BEFORE_YIELD: usize = 64;

/// Runs `work` inside the thread pool, whose other threads do not fall asleep until it is done.
///
/// A training step consists of many short operators. Between two of them, threads without work would
/// fall asleep, and waking them costs as long as a small operator.
///
/// # Panics
/// If `work` does.
pub fn with_spinning_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = AtomicBool::new(false);
    let done = &done;
    rayon::scope(|scope| {
        let here = rayon::current_thread_index();
        scope.spawn_broadcast(move |_, thread| {
            let mut spins = 0;
            while Some(thread.index()) != here && !done.load(Ordering::Relaxed) {
                match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => spins = 0,
                    _ if spins < SPINS_BEFORE_YIELD => {
                        spins += 1;
                        std::hint::spin_loop();
                    }
                    _ => std::thread::yield_now(),
                }
            }
        });
        // The flag is set by a destructor, so that the scope ends even if `work` panics.
        struct SetOnDrop<'a>(&'a AtomicBool);
        impl Drop for SetOnDrop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _guard = SetOnDrop(done);
        work()
    })
}

//! Keeping the threads of the pool awake.

use std::sync::atomic::{AtomicBool, Ordering};

/// How often a thread looks for work before it lets others have the processor.
const PATIENCE: usize = 64;

/// Runs `work` inside the thread pool, whose other threads stay awake until it is done.
///
/// A step consists of many short operators. Between two of them, threads that have nothing to do
/// would fall asleep, and waking them costs as long as a small operator.
pub fn awake<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = AtomicBool::new(false);
    let done = &done;
    rayon::scope(|scope| {
        let here = rayon::current_thread_index();
        scope.spawn_broadcast(move |_, thread| {
            let mut idle = 0;
            while Some(thread.index()) != here && !done.load(Ordering::Relaxed) {
                match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => idle = 0,
                    _ if idle < PATIENCE => {
                        idle += 1;
                        std::hint::spin_loop();
                    }
                    _ => std::thread::yield_now(),
                }
            }
        });
        // Also if `work` panics, so that the scope ends.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _done = Done(done);
        work()
    })
}

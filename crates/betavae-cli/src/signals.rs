//! Signals that ask to stop: Ctrl-C, and what schedulers send before they end a job.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::output::say;

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Whether the user has been told what happens.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Status of a process that was told to stop, has saved, and can go on later: EX_TEMPFAIL of sysexits.h, which Slurm requeues
/// where a cluster is set to (`RequeueExit=75`).
pub const STOPPED: u8 = 75;

/// Status of a process that was ended by Ctrl-C, as shells have it.
const INTERRUPTED: i32 = 130;

/// From now on Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 only set what [`stop_is_wanted`] tells, however often they come. Schedulers
/// send several within milliseconds. Only whoever presses Ctrl-C twice, at a terminal, ends the process at once.
pub fn catch() -> anyhow::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    if std::io::stderr().is_terminal() {
        flag::register_conditional_shutdown(SIGINT, INTERRUPTED, interrupted.clone())?;
        flag::register(SIGINT, interrupted)?;
    }
    #[cfg(unix)]
    let asks = [SIGINT, SIGTERM, signal_hook::consts::SIGUSR1, signal_hook::consts::SIGUSR2];
    #[cfg(not(unix))]
    let asks = [SIGINT, SIGTERM];
    for signal in asks {
        flag::register(signal, STOP.clone())?;
    }
    Ok(())
}

/// As if a signal had come.
pub fn ask_to_stop() {
    STOP.store(true, Ordering::SeqCst);
}

/// Whether a signal has come. The user is told once what happens then.
pub fn stop_is_wanted() -> bool {
    let wanted = STOP.load(Ordering::SeqCst);
    if wanted && !TOLD.swap(true, Ordering::SeqCst) {
        let again =
            if std::io::stderr().is_terminal() { "; Ctrl-C once more quits at once" } else { "" };
        say(&format!("\nstopping{again}"));
    }
    wanted
}

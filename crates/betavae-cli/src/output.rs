//! What reaches the terminal: colours if wanted, JSON, and a stdout that may be closed early.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// Red, cyan and reset for stderr; empty if it is no terminal with colours or NO_COLOR is set.
pub fn colours() -> (&'static str, &'static str, &'static str) {
    match console::colors_enabled_stderr() {
        true => ("\x1b[1;31m", "\x1b[36m", "\x1b[0m"),
        false => ("", "", ""),
    }
}

/// Writes lines to stdout.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Writes one JSON value to stdout.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Whether somebody else does the talking.
static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on [`say`] says nothing: of processes that do one thing together, the first does the talking.
pub fn be_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Says something to the user on stderr.
pub fn say(text: &str) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    // Nothing sensible can be done if stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether the reader of our stdout went away, as `head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

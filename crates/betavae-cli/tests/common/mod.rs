//! The real binary, and a run that is small enough to be trained many times.

use std::path::Path;
use std::process::{Command, Output};

/// Settings of a network that takes milliseconds per step.
pub const TINY: [&str; 10] = [
    "--set",
    "data.name=blobs",
    "--set",
    "model.architecture=custom",
    "--set",
    "model.widths=[4,4,8]",
    "--set",
    "model.hidden=[16]",
    "--set",
    "train.batch=8",
];

pub fn betavae() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_betavae"));
    // Where there is no desktop, a layer of Mesa's that looks for one complains on standard error.
    command.env("NODEVICE_SELECT", "1");
    command
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    betavae().args(arguments).output().unwrap()
}

/// Runs the binary, which must succeed, and returns its stdout.
#[track_caller]
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed:\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the binary, which must fail cleanly with this exit code, and returns its stderr.
#[track_caller]
pub fn refuse(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(stderr.matches("error:").count(), 1, "said once:\n{stderr}");
    stderr
}

/// Trains a tiny model into `folder`.
#[track_caller]
pub fn train_tiny(folder: &Path, steps: u64, more: &[&str]) -> String {
    let steps = steps.to_string();
    let mut arguments = vec!["train", "--out", path(folder), "--steps", &steps];
    arguments.extend(TINY);
    arguments.extend(more);
    succeed(&arguments)
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

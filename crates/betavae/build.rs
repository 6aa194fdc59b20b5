//! Tells the library which commit it is built from, for the provenance of runs.

use std::fs;
use std::process::Command;

fn main() {
    let commit = packaged().or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    // Neither packaged nor in a repository: the version says enough.
    let commit = commit.unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=BETAVAE_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The commit that `cargo package` notes in a published crate, which may lie in the repository of another program.
fn packaged() -> Option<String> {
    let notes = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = notes.split_once("\"sha1\": \"")?;
    rest.get(..12).map(str::to_owned)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

//! One training by several processes, with a real MPI (cargo feature `mpi`, Open MPI):
//!
//!     cargo test --workspace --features betavae-cli/mpi --test mpi

#![cfg(feature = "mpi")]

#[allow(dead_code)]
mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{TINY, betavae, path};

const SETTINGS: [&str; 8] = [
    "--steps",
    "60",
    "--set",
    "train.parts=4",
    "--set",
    "train.checkpoint_every=7",
    "--set",
    "train.log_every=8",
];

/// `betavae train` into a folder, by so many processes; by one without a launcher.
fn train(folder: &Path, processes: usize, more: &[&str]) -> Command {
    let binary = env!("CARGO_BIN_EXE_betavae");
    let mut command = match processes {
        1 => Command::new(binary),
        _ => Command::new("mpirun"),
    };
    if processes > 1 {
        command.args(["--allow-run-as-root", "--oversubscribe", "-np", &processes.to_string()]);
        command.arg(binary);
    }
    command.args(["--threads", "1", "train", "--out", path(folder), "--continue"]);
    command.args(TINY).args(SETTINGS).args(more);
    command
}

fn result(folder: &Path) -> Vec<Vec<u8>> {
    let checkpoint = folder.join("checkpoints/step-000000060");
    let files = ["model.safetensors", "optimizer.safetensors", "state.toml", "DONE"];
    let files = files.map(|name| checkpoint.join(name));
    files.iter().chain([&folder.join("metrics.csv")]).map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn any_number_of_processes_trains_to_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let objectives = [
        &["--set", "objective.kind=b", "--set", "objective.gamma=10"][..],
        &["--set", "model.norm=batch"],
    ];
    for (number, more) in objectives.into_iter().enumerate() {
        let alone = scratch.path().join(format!("alone-{number}"));
        let output = train(&alone, 1, more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for processes in [2, 3, 4] {
            let folder = scratch.path().join(format!("{number}-{processes}"));
            let output = train(&folder, processes, more).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{processes}: {stderr}");
            assert!(stderr.contains(&format!("processes  {processes}")), "{stderr}");
            assert_eq!(stderr.matches("threads    1").count(), 1, "one of them speaks: {stderr}");
            assert!(result(&folder) == result(&alone), "{processes} processes");
        }
    }
}

#[test]
fn another_number_of_processes_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let [straight, stopped] = ["straight", "stopped"].map(|name| scratch.path().join(name));
    assert!(train(&straight, 1, &[]).output().unwrap().status.success());
    // Long enough to be stopped; the length is no part of what is compared.
    let mut child = train(&stopped, 3, &[]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !stopped.join("checkpoints/step-000000014/DONE").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // mpirun takes its processes with it.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    child.wait().unwrap();
    let output = train(&stopped, 2, &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(result(&stopped) == result(&straight));
}

#[test]
fn lonely_processes_and_too_many_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    // As the launcher of another MPI leaves it.
    let mut lonely = betavae();
    lonely.args(["train", "--out", path(&folder)]).args(TINY).env("PMI_SIZE", "3");
    let output = lonely.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("has started 3 processes, and MPI knows 1"), "{stderr}");
    let output = train(&folder, 2, &["--set", "train.parts=1"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(stderr.contains("train.parts: expected at least 2"), "{stderr}");
}

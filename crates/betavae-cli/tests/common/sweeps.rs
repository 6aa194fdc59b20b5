//! Tiny sweeps, and what must hold of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::common::{betavae, path, run, succeed};

/// A sweep of eight runs that take parts of a second.
pub const SWEEP: &str = r#"
name = "tiny"
[set]
data.name = "blobs"
model = { architecture = "custom", widths = [2, 4], hidden = [6], latents = 3 }
train = { steps = 30, batch = 4, checkpoint_every = 5, log_every = 4 }
[grid]
objective.beta = [1, 8]
seed = "1..=3"
[[run]]
objective.kind = "factor-vae"
objective.discriminator_width = 4
objective.discriminator_depth = 1
[[run]]
objective.kind = "control-vae"
[scores]
names = ["mig", "sap"]
limit = 400
"#;

pub struct Place {
    pub scratch: tempfile::TempDir,
}

impl Place {
    pub fn new(text: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("sweep.toml"), text).unwrap();
        Self { scratch }
    }

    pub fn file(&self) -> PathBuf {
        self.scratch.path().join("sweep.toml")
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// `sweep WHAT FILE --out OUT MORE...`
    pub fn arguments<'a>(&'a self, what: &'a str, out: &'a Path, more: &[&'a str]) -> Vec<String> {
        let file = self.file();
        let words = ["sweep", what, path(&file), "--out", path(out)];
        words.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    pub fn succeed(&self, what: &str, out: &Path, more: &[&str]) -> String {
        let arguments = self.arguments(what, out, more);
        succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn spawn(&self, what: &str, out: &Path, more: &[&str]) -> Child {
        let mut command = betavae();
        command.args(self.arguments(what, out, more)).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    pub fn status(&self, out: &Path) -> Vec<serde_json::Value> {
        let arguments = self.arguments("status", out, &["--json"]);
        let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What the runs of a sweep that are done have come to: the bytes of every file that is a function of the configuration.
pub fn results(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(out).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("done.json").exists() {
            continue;
        }
        let checkpoint = folder.join("checkpoints/step-000000030");
        let files = ["model.safetensors", "optimizer.safetensors", "state.toml"];
        let files = files.map(|file| checkpoint.join(file)).into_iter();
        let others = ["config.toml", "metrics.csv", "scores.json", "evaluation.json", "done.json"];
        for file in files.chain(others.map(|file| folder.join(file))) {
            let name = file.strip_prefix(out).unwrap().to_string_lossy().into_owned();
            found.insert(name, fs::read(&file).unwrap_or_else(|_| panic!("{}", file.display())));
        }
    }
    found
}

/// No lease of a run was taken while another process had it: each event follows from the one before.
pub fn assert_one_owner_at_a_time(out: &Path) {
    for entry in fs::read_dir(out).unwrap() {
        let log = entry.unwrap().path().join("lease.log");
        let Ok(text) = fs::read_to_string(&log) else { continue };
        let mut owner: Option<String> = None;
        for line in text.lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let token = event["owner"]["token"].as_str().unwrap().to_owned();
            match event["event"].as_str().unwrap() {
                "taken" => assert_eq!(owner, None, "{}: {text}", log.display()),
                "taken over" => {
                    let previous = event["previous"]["token"].as_str().map(str::to_owned);
                    assert_eq!(owner, previous, "{}: {text}", log.display());
                }
                "given back" => assert_eq!(owner, Some(token.clone()), "{}: {text}", log.display()),
                other => panic!("{other}"),
            }
            owner = (event["event"] != "given back").then_some(token);
        }
    }
}

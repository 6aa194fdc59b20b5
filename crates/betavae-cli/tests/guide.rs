//! Every command of the README and of the documentation, on small data and for few steps.

#[allow(dead_code)]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{betavae, path, succeed, train_tiny};

/// Steps that a training takes here instead of those it is asked for.
const STEPS: &str = "12";

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = ["docs", "docs/objectives"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let docs = docs.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.sort();
    // In the order in which a newcomer reads: later pages use what earlier ones have made.
    let first = ["tutorial.md", "choosing.md"];
    pages.sort_by_key(|page| !first.iter().any(|name| page.ends_with(name)));
    pages.sort_by_key(|page| !page.ends_with("tutorial.md"));
    pages.push(root.join("README.md"));
    pages
}

/// The `betavae` commands in the `sh` blocks of a page, lines that end in a backslash joined.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = false;
    let mut open = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            within = !within && line == "```sh";
            continue;
        }
        if !within {
            continue;
        }
        open += line.split(" #").next().unwrap_or_default().trim();
        match open.strip_suffix('\\') {
            Some(start) => open = start.to_owned(),
            None => found.push(std::mem::take(&mut open)),
        }
    }
    let cargo = |line: String| line.replace("cargo run --release --", "betavae");
    found.into_iter().map(cargo).filter(|line| line.starts_with("betavae ")).collect()
}

/// Words as the shell sees them; single quotes are all that the pages use.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).skip(1).collect()
}

/// The same command with less work.
fn smaller(mut words: Vec<String>) -> Vec<String> {
    let trains = ["train", "resume", "advise", "bottleneck"].contains(&words[0].as_str());
    if trains {
        let steps =
            match (words[0].as_str(), words.get(1).is_some_and(|word| word == "runs/default-1")) {
                // Longer than it is already.
                ("resume", true) => "16",
                ("advise", _) => "100",
                _ => STEPS,
            };
        match words.iter().position(|word| word == "--steps") {
            Some(at) => words[at + 1] = steps.into(),
            None => words.extend(["--steps".into(), steps.into()]),
        }
    }
    if words[0] == "advise" {
        words.extend(["--set", "train.batch=8"].map(str::to_owned));
    }
    if words[0] == "evaluate" {
        words.retain(|word| word != "all");
        if let Some(at) = words.iter().position(|word| word == "--scores" || word == "--limit") {
            words.truncate(at);
        }
        words.extend(["--limit", "600", "--scores", "mig"].map(str::to_owned));
    }
    if words[0] == "score" {
        words.extend(["--metrics", "mig,modularity"].map(str::to_owned));
    }
    if words[0] == "encode" && words.iter().any(|word| word == "dsprites") {
        words.extend(["--limit", "300"].map(str::to_owned));
    }
    words
}

/// Pictures, codes and a checkpoint under the names that the pages use.
fn prepare(folder: &Path) {
    fs::create_dir(folder.join("photos")).unwrap();
    for i in 0..12_u8 {
        let pixel = |x: u32, y: u32| image::Rgb([20 * i, (x * 3) as u8, (y * 2) as u8]);
        let path = folder.join(format!("photos/{i:02}.png"));
        image::RgbImage::from_fn(80, 64, pixel).save(path).unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../betavae/fixtures/weights");
    fs::copy(fixtures.join("collection.ckpt"), folder.join("model.pt")).unwrap();
    fs::write(folder.join("beta.toml"), small_sweep()).unwrap();
    let at = |name: &str| path(&folder.join(name)).to_owned();
    train_tiny(&folder.join("tiny"), 5, &[]);
    succeed(&["encode", &at("tiny"), "--input", "blobs", "--output", &at("codes.npz")]);
    succeed(&["data", "export", "blobs", "--output", &at("factors.npz")]);
}

/// The sweep that its page shows, on small data and for few steps.
fn small_sweep() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sweeps.md");
    let page = fs::read_to_string(page).unwrap();
    let text = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(text.starts_with("# beta.toml"));
    let small = "train = { steps = 4, batch = 4 }
        data.name = 'blobs'
        model = { architecture = 'custom', widths = [2, 4], latents = 3 }";
    let text = text.replace("train.steps = 20000", small).replace("15000", "300");
    assert!(text.contains(small) && text.contains("300"));
    text
}

#[test]
fn every_command_of_the_documentation_works() {
    let scratch = tempfile::tempdir().unwrap();
    prepare(scratch.path());
    let mut count = 0;
    for page in pages() {
        for line in commands(&fs::read_to_string(&page).unwrap()) {
            let mut words = smaller(words(&line));
            // What follows on so few steps, scores and figures, takes least of a small data set. The tutorial is as it is.
            let data =
                ["--data", "--init"].iter().any(|flag| words.iter().any(|word| word == flag));
            if words[0] == "train" && !data && !page.ends_with("tutorial.md") {
                words.extend(["--set", "data.name=blobs"].map(str::to_owned));
            }
            let mut command = betavae();
            command.current_dir(scratch.path()).args(&words).stdin(Stdio::null());
            // Nothing is opened in a browser, and nothing is fetched.
            command.env("PATH", "").env("BETAVAE_DATA", scratch.path());
            match words[0].as_str() {
                "watch" => serves(&mut command),
                _ => {
                    let output = command.output().unwrap();
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{}: {line}\n{said}", page.display());
                }
            }
            count += 1;
        }
    }
    assert!(count > 35, "only {count} commands were found");
}

/// A server runs until it is stopped.
fn serves(command: &mut Command) {
    let mut server = command.args(["--port", "0"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.try_wait().unwrap().is_none(), "it ended by itself");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn commands_are_found_and_read_as_the_shell_does() {
    let page = "```sh\nbetavae train --set 'data.size=[64, 64]' \\\n    --steps 9   # long\nls\n```\n\
                ```text\nbetavae nothing\n```\n```sh\ncargo run --release -- train\n```\n";
    let found = commands(page);
    assert_eq!(found.len(), 2);
    assert_eq!(words(&found[0]), ["train", "--set", "data.size=[64, 64]", "--steps", "9"]);
    assert_eq!(smaller(words(&found[1])), ["train", "--steps", STEPS]);
}

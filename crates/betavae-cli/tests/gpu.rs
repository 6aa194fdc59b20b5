//! `--device`, on a software driver of Vulkan, and on machines without any:
//!
//!     cargo test --workspace --test gpu --test plans -- --include-ignored

#![cfg(feature = "gpu")]

#[allow(dead_code)]
mod common;

use std::fs;

use common::{TINY, betavae, path, refuse, succeed, train_tiny};

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_run_on_a_gpu_says_so_and_is_resumed_anywhere() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let gpu = ["--device", "vulkan:software"];
    let output = betavae()
        .args(gpu)
        .args(["train", "--out", path(&folder), "--steps", "20", "--set", "data.size=[16,16]"])
        .args(TINY)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("device     ") && told.contains("step 20/20"), "{told}");
    assert!(folder.join("report.html").exists());
    succeed(&["resume", path(&folder), "--steps", "30"]);
    let mut onwards = gpu.to_vec();
    onwards.extend(["resume", path(&folder), "--steps", "40"]);
    succeed(&onwards);
    let rows = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    assert_eq!(rows.matches("40,total,").count(), 1, "{rows}");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn codes_images_and_scores_are_those_of_the_cpu() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    train_tiny(&folder, 30, &["--set", "model.norm=batch"]);
    let numbers = |text: &str| -> Vec<f64> {
        let cells = text.split(|c: char| c.is_whitespace() || c == ',');
        cells.filter_map(|cell| cell.parse().ok()).collect()
    };
    let close = |what: &str, found: &str, expected: &str| {
        let (found, expected) = (numbers(found), numbers(expected));
        assert!(!expected.is_empty() && found.len() == expected.len(), "{what}");
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 2e-3 + 1e-4 * b.abs(), "{what}: {a} for {b}");
        }
    };
    let both = |arguments: &[&str]| {
        let on = |device| succeed(&[&["--device", device], arguments].concat());
        ["vulkan:software", "cpu"].map(on)
    };
    let [found, expected] = both(&["evaluate", path(&folder), "--limit", "300"]);
    close("evaluate", &found, &expected);
    let encoded = ["gpu", "cpu"].map(|name| scratch.path().join(format!("{name}.csv")));
    for (device, file) in ["vulkan:software", "cpu"].into_iter().zip(&encoded) {
        let limit = ["--limit", "200", "--output", path(file)];
        succeed(&[&["--device", device, "encode", path(&folder)], &limit[..]].concat());
    }
    let [found, expected] = encoded.each_ref().map(|file| fs::read_to_string(file).unwrap());
    close("encode", &found, &expected);
    let grids = ["gpu", "cpu"].map(|name| scratch.path().join(format!("{name}.png")));
    for (device, file) in ["vulkan:software", "cpu"].into_iter().zip(&grids) {
        let paths = ["--input", path(&encoded[1]), "--output", path(file)];
        succeed(&[&["--device", device, "decode", path(&folder)], &paths[..]].concat());
        assert!(file.exists());
    }
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_sweep_runs_on_a_gpu_and_says_so_in_its_provenance() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("small.toml");
    let settings = "name = 'small'\nrecipe = 'default'\n[set]\ndata = { name = 'blobs', size = [16, 16] }\n\
        model = { architecture = 'custom', widths = [4], hidden = [8], latents = 2 }\n\
        train = { steps = 4, batch = 4, previews = false, tensorboard = false }\n[grid]\nseed = '1..=2'\n";
    fs::write(&file, settings).unwrap();
    let out = scratch.path().join("runs");
    for jobs in ["1", "2"] {
        let place = ["sweep", "run", path(&file), "--out", path(&out), "--jobs", jobs];
        succeed(&[&["--device", "vulkan:software"], &place[..]].concat());
    }
    let done = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let done: Vec<_> = done.filter(|run| run.join("done.json").exists()).collect();
    assert_eq!(done.len(), 2);
    for run in done {
        let provenance = fs::read_to_string(run.join("provenance.toml")).unwrap();
        assert!(provenance.contains("device = \"vulkan:software: "), "{provenance}");
    }
    let wrong = settings.replace("[grid]", "objective = { kind = 'factor-vae' }\n[grid]");
    fs::write(&file, wrong).unwrap();
    let place = ["sweep", "run", path(&file), "--out", path(&out)];
    let error = refuse(2, &[&["--device", "vulkan:software"], &place[..]].concat());
    assert!(error.contains("factor-vae"), "{error}");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn devices_are_listed_and_unknown_ones_refused() {
    let list = succeed(&["devices"]);
    assert!(list.contains("cpu") && list.contains("vulkan:software"), "{list}");
    let report = succeed(&["devices", "--report"]);
    assert!(report.contains("driver") && report.contains("workgroup memory"), "{report}");
    for wrong in ["tpu", "vulkan:x", "cuda"] {
        let error = refuse(2, &["--device", wrong, "train"]);
        assert!(error.contains(wrong) && error.contains("betavae devices"), "{error}");
    }
    let error = refuse(1, &["--device", "vulkan:7", "train"]);
    assert!(error.contains("vulkan:7") && error.contains("vulkan:software"), "{error}");
    // A driver on the processor is never chosen by itself.
    let error = refuse(1, &["--device", "metal", "train"]);
    assert!(error.contains("no device `metal`"), "{error}");
}

#[test]
fn without_a_driver_there_is_one_error_and_nothing_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let output = betavae()
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .args(["--device", "gpu", "train", "--out", path(&folder)])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("error: no device `gpu`: no driver of a GPU was found"), "{told}");
    assert!(told.contains("hint:") && !told.contains("panicked"), "{told}");
    assert!(!folder.exists());
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn what_a_gpu_does_not_take_is_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let start = ["--device", "vulkan:software", "train", "--out", path(&folder)];
    for (setting, words) in [
        ("objective.kind=factor-vae", ["objective.kind", "--device cpu"]),
        ("train.precision=bf16", ["train.precision", "f32"]),
    ] {
        let mut arguments = start.to_vec();
        arguments.extend(TINY);
        arguments.extend(["--set", setting]);
        let error = refuse(2, &arguments);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert!(!folder.exists());
    train_tiny(&folder, 5, &[]);
    let error = refuse(2, &["--device", "vulkan:software", "sample", path(&folder)]);
    assert!(error.contains("on the CPU alone"), "{error}");
}

#[test]
fn the_launches_of_a_step_are_a_table() {
    let table = succeed(&["describe", "--set", "model.architecture=burgess", "--launches"]);
    for words in ["encoder.conv.0", "heads", "z and KL", "decoder.conv_transpose.3", "update"] {
        assert!(table.contains(words), "no {words} in\n{table}");
    }
    let tensors = succeed(&["describe"]);
    assert!(tensors.contains("encoder.conv.0.weight") && tensors.contains("502,005"), "{tensors}");
}

//! `betavae bench`: that its numbers fit together. How fast anything is, is no test's business.

// Nothing is trained here.
#[allow(dead_code)]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use betavae::data::ImageShape;
use betavae::model::{ModelConfig, Network};
use common::{betavae, refuse, succeed};
use serde_json::{Value, json};

const SMALL: [&str; 7] = ["bench", "--image", "16x16x3", "--batch", "4", "--threads", "2"];

#[test]
fn numbers_are_positive_and_consistent() {
    for mode in ["train", "encode"] {
        let arguments = [&SMALL[..], &["--steps", "12", "--mode", mode, "--json"]].concat();
        let measured: Value = serde_json::from_str(&succeed(&arguments)).unwrap();
        assert_eq!(measured["architecture"], "burgess");
        assert_eq!(measured["image"], json!([16, 16, 3]));
        assert_eq!(measured["mode"], mode);
        assert_eq!((&measured["batch"], &measured["threads"]), (&json!(4), &json!(2)));
        assert_eq!((&measured["precision"], &measured["version"]), (&json!("f32"), &version()));
        let number = |name: &str| measured[name].as_f64().unwrap();

        let network = Network::new(&ModelConfig::default(), ImageShape::new(16, 16, 3)).unwrap();
        let flops = if mode == "train" { network.flops().train } else { network.flops().encode };
        let seconds = number("median_ms") / 1e3;
        assert_close(number("gflops"), 4.0 * flops as f64 / seconds / 1e9);
        assert_close(number("images_per_second"), 4.0 / seconds);
        assert_close(number("share_of_peak"), number("gflops") / number("peak_gflops"));
        let share = number("share_of_peak");
        assert!(0.0 < share && share < 3.0, "{share}");
    }
}

#[test]
fn the_table_has_a_row_for_every_preset() {
    let table = succeed(&["bench", "--architecture", "all", "--batch", "1", "--steps", "1"]);
    let names =
        ["architecture", "burgess", "higgins-fc", "higgins-conv", "locatello", "pytorch-vae"];
    assert!(table.lines().map(|row| row.split_whitespace().next().unwrap()).eq(names), "{table}");
    let ends: Vec<usize> = table.lines().map(|row| row.chars().count()).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "aligned:\n{table}");
}

#[test]
fn a_coordinator_decides_when_steps_are_taken() {
    let mut child = betavae()
        .args(SMALL)
        .args(["--serve", "--architecture", "burgess", "--mode", "train", "--precision", "f32"])
        .env("BETAVAE_SIMD", "portable")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answer = || serde_json::from_str::<Value>(&output.next().unwrap().unwrap()).unwrap();

    let ready = answer();
    assert_eq!((&ready["ready"], &ready["threads"]), (&json!(true), &json!(2)));
    assert_eq!((&ready["instruction_set"], &ready["version"]), (&json!("portable"), &version()));
    for steps in [3, 1] {
        writeln!(input, "run {steps}").unwrap();
        let seconds = answer();
        let seconds = seconds["seconds"].as_array().unwrap();
        assert_eq!(seconds.len(), steps);
        assert!(seconds.iter().all(|seconds| seconds.as_f64().unwrap() > 0.0));
    }
    writeln!(input, "peak").unwrap();
    assert!(answer()["gflops"].as_f64().unwrap() > 0.0);
    writeln!(input, "quit").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn serving_ends_with_its_input_and_refuses_what_it_does_not_know() {
    for (input, success) in [("", true), ("walk 3\n", false), ("run\n", false)] {
        let mut child = betavae()
            .args(SMALL)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), success, "{input:?}: {error}");
        assert_eq!(error.contains("`run N`"), !success, "{input:?}: {error}");
    }
}

#[test]
fn wrong_options_say_what_is_possible() {
    let error = refuse(2, &["bench", "--precision", "f64"]);
    assert!(error.contains("f64") && error.contains("f32"), "{error}");
    let error = refuse(2, &["bench", "--architecture", "resnet"]);
    assert!(error.contains("resnet") && error.contains("pytorch-vae"), "{error}");
    let error = refuse(2, &["bench", "--image", "64x64"]);
    assert!(error.contains("64x64x3"), "{error}");
    refuse(2, &["bench", "--serve", "--architecture", "all"]);
}

#[test]
fn an_emulated_precision_is_told() {
    for precision in ["f32", "bf16"] {
        let arguments = [&SMALL[..], &["--steps", "1", "--precision", precision]].concat();
        let output = betavae().args(arguments).env("BETAVAE_SIMD", "portable").output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        let warnings = told.matches("warning: no AVX-512 BF16 instructions, only portable");
        assert_eq!(warnings.count(), usize::from(precision == "bf16"), "{told}");
    }
}

#[test]
fn a_wrong_instruction_set_is_refused_by_every_command() {
    for arguments in [&["bench"][..], &["data", "list"], &["recipes"]] {
        let output = betavae().args(arguments).env("BETAVAE_SIMD", "sse9").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("sse9") && error.contains("portable"), "{error}");
        assert!(error.contains("hint: unset BETAVAE_SIMD"), "{error}");
    }
}

fn version() -> Value {
    json!(env!("CARGO_PKG_VERSION"))
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} for {expected}");
}

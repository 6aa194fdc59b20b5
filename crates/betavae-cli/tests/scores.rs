//! `score` and `evaluate --scores`, as people and machines use them.

mod common;

use std::fs;
use std::path::Path;

use common::{path, refuse, run, succeed, train_tiny};
use serde_json::Value;

/// Codes that are the factors, one of them upside down, and a latent that says nothing.
fn write_tables(folder: &Path) -> [String; 2] {
    let (mut codes, mut factors) = ("a,b,c\n".to_owned(), String::new());
    for i in 0..600 {
        let (a, b) = (i % 4, i / 4 % 5);
        let noise = f64::from(i * 7919 % 600) / 600.0;
        codes += &format!("{},{},{noise}\n", b as f64 + 0.1 * noise, -a);
        factors += &format!("{a},{b}\n");
    }
    [("codes.csv", codes), ("factors.csv", factors)].map(|(name, text)| {
        fs::write(folder.join(name), text).unwrap();
        path(&folder.join(name)).to_owned()
    })
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).unwrap()
}

#[test]
fn tables_of_any_tool_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let [codes, factors] = write_tables(folder.path());
    let files = ["score", "--codes", &codes, "--factors", &factors];
    let all = json(&[&files[..], &["--json", "--repeats", "2", "--threads", "1"]].concat());
    for name in ["mig", "dci_disentanglement", "beta_vae", "factor_vae", "infoc"] {
        assert!(all[name]["value"].as_f64().unwrap() > 0.8, "{name}: {}", all[name]);
        assert!(all[name]["convention"].as_str().unwrap().len() > 10);
    }
    assert_eq!(all["mig"]["samples"], 600);
    assert!(all["mig_chen"].is_null() && all["udr"].is_null(), "they need log_var");
    // Neither the number of threads nor the choice changes a score.
    let one = ["--json", "--repeats", "2", "--threads", "3", "--metrics", "infoc,mig"];
    let one = json(&[&files[..], &one].concat());
    assert_eq!(one.as_object().unwrap().len(), 2);
    assert_eq!((&one["infoc"], &one["mig"]), (&all["infoc"], &all["mig"]));
    let table = succeed(&[&files[..], &["--metrics", "mig,modularity"]].concat());
    assert!(table.contains("modularity") && table.contains("bootstrap"), "{table}");
}

#[test]
fn a_trained_model_is_scored_with_its_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let runs = [1, 2].map(|seed| {
        let run = folder.path().join(format!("run-{seed}"));
        train_tiny(&run, 20, &["--seed", &seed.to_string()]);
        path(&run).to_owned()
    });
    let scores = ["--scores", "mig,mig_chen,sap,udr,beta_vae_higgins", "--samples", "300"];
    let evaluate = ["evaluate", &runs[0], "--limit", "400", "--with", &runs[1], "--json"];
    let found = json(&[&evaluate[..], &scores].concat());
    assert!(found["at_mean"]["elbo"].is_number());
    for name in ["mig", "mig_chen", "sap", "udr", "beta_vae_higgins"] {
        let value = found[name]["value"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{name}: {}", found[name]);
    }
    assert_eq!(found["mig_chen"]["samples"], 400);
    let codes = folder.path().join("codes.npz");
    succeed(&["encode", &runs[0], "--input", "blobs", "--output", path(&codes)]);
    let factors = folder.path().join("data.npz");
    succeed(&["data", "export", "blobs", "--output", path(&factors)]);
    let files = ["score", "--codes", path(&codes), "--factors", path(&factors)];
    let all = ["--metrics", "mig_chen", "--json"];
    assert!(json(&[&files[..], &all].concat())["mig_chen"]["value"].is_number());
}

#[test]
fn scores_say_what_they_did_and_what_they_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let [codes, _] = write_tables(folder.path());
    // Beside the two factors one that is constant and one that numbers the rows.
    let rows: String = (0..600).map(|i| format!("{},{},7,{i}\n", i % 4, i / 4 % 5)).collect();
    let factors = folder.path().join("more.csv");
    fs::write(&factors, rows).unwrap();
    let files = ["score", "--codes", &codes, "--factors", path(&factors)];
    let with = |more: &[&'static str]| [&files[..], more].concat();
    let table = succeed(&with(&["--metrics", "mig,sap,active_units", "--repeats", "3"]));
    let lines: Vec<&str> = table.lines().collect();
    for line in &lines[1..3] {
        assert!(
            line.contains("(constant)") && line.contains("(600 classes of 600 rows)"),
            "{line}"
        );
    }
    assert!(!lines[3].contains("without") && !table.contains("exact"), "{table}");
    let found = json(&with(&["--metrics", "sap,infoc,downstream_logistic_100", "--json"]));
    let samples = |name: &str| found[name]["samples"].as_u64().unwrap();
    assert_eq!((samples("sap"), samples("infoc")), (600, 600));
    assert_eq!(samples("downstream_logistic_100"), 600);
    // What cannot be computed is an error alone, and a note beside others.
    let error = refuse(2, &with(&["--metrics", "udr,mig_chen"]));
    assert!(error.contains("udr") && error.contains("log_var"), "{error}");
    let output = run(&with(&["--metrics", "mig,downstream_boosting_1000"]));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains("downstream_boosting_1000") && notes.contains("needs 1500"), "{notes}");
    assert!(notes.contains("scores of 600 codes are rough"), "{notes}");
    let error = refuse(2, &with(&["--samples", "1"]));
    assert!(error.contains("at least 10"), "{error}");
    let higgins = ["--metrics", "beta_vae_higgins", "--higgins-factors"];
    for (given, expected) in
        [("2,3", "at least one that varies"), ("9", "below 4"), ("1,1", "twice")]
    {
        let error = refuse(1, &with(&[&higgins[..], &[given]].concat()));
        assert!(error.contains(expected), "{error}");
    }
    let huge = folder.path().join("huge.csv");
    fs::write(&huge, "1,1e307\n2,-1e307\n".repeat(300)).unwrap();
    let error = refuse(1, &["score", "--codes", path(&huge), "--factors", path(&factors)]);
    assert!(error.contains("latent 1 reaches 1e307"), "{error}");
}

#[test]
fn udr_alone_needs_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train_tiny(&run, 5, &[]);
    let error = refuse(2, &["evaluate", path(&run), "--limit", "50", "--scores", "udr"]);
    assert!(error.contains("udr") && error.contains("--with"), "{error}");
    let error = refuse(2, &["advise", "--steps", "40"]);
    assert!(error.contains("at least 100"), "{error}");
}

#[test]
fn broken_input_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let [codes, factors] = write_tables(folder.path());
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        path(&folder.path().join(name)).to_owned()
    };
    let score =
        |codes: &str, factors: &str| refuse(1, &["score", "--codes", codes, "--factors", factors]);
    let error = score(&write("short.csv", "1,2\n3,4\n"), &factors);
    assert!(error.contains("2 and 600") && error.contains("short.csv"), "{error}");
    let nan = format!("1,2\n3,NaN\n{}", "5,6\n".repeat(598));
    let error = score(&write("nan.csv", &nan), &factors);
    assert!(error.contains("line 2, column `1` is empty or NA"), "{error}");
    let infinite = nan.replace("NaN", "inf");
    let error = score(&write("inf.csv", &infinite), &factors);
    assert!(error.contains("line 2, column `1` is inf"), "{error}");
    // Fractions that recur are classes as well as whole numbers are.
    let halves = fs::read_to_string(&factors).unwrap().replace("1", "0.5");
    let mig = |factors: &str| {
        succeed(&["score", "--codes", &codes, "--factors", factors, "--metrics", "mig", "--json"])
    };
    assert_eq!(mig(&write("half.csv", &halves)), mig(&factors));
    let error = score(&codes, &write("broken.npz", "PK\x03\x04 and nothing else"));
    assert!(error.contains("broken.npz"), "{error}");
    let error = score("absent.npz", &factors);
    assert!(error.contains("absent.npz"), "{error}");
    let constant = "7,7\n".repeat(600);
    let error = score(&codes, &write("constant.csv", &constant));
    assert!(error.contains("two classes"), "{error}");
    let error = refuse(2, &["score", "--codes", &codes, "--factors", &factors, "--metrics", "mug"]);
    assert!(error.contains("mig"), "{error}");
    let tiny = (write("a.csv", "1\n"), write("b.csv", "1\n"));
    let error = score(&tiny.0, &tiny.1);
    assert!(error.contains("two classes"), "{error}");
}

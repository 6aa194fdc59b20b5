//! Sweeps: every run is done once and ends in the same bytes, whoever does it and whatever happens meanwhile.

#[allow(dead_code)]
mod common;
#[allow(dead_code)]
#[path = "common/sweeps.rs"]
mod sweeps;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{path, refuse, run, succeed};
use sweeps::{Place, SWEEP, assert_one_owner_at_a_time, results};

#[test]
fn results_do_not_depend_on_jobs_threads_order_or_who_does_it() {
    let place = Place::new(SWEEP);
    let [alone, together, by_hand] = ["alone", "together", "by-hand"].map(|name| place.out(name));
    place.succeed("run", &alone, &["--jobs", "1"]);
    place.succeed("run", &together, &["--jobs", "3", "--threads", "2"]);
    // The printed commands, from the last to the first.
    let commands = place.succeed("list", &by_hand, &[]);
    assert_eq!(commands.lines().count(), 8);
    let binary = env!("CARGO_BIN_EXE_betavae");
    for command in commands.lines().rev() {
        let command = command.replacen("betavae", binary, 1);
        let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let expected = results(&alone);
    assert_eq!(expected.len(), 8 * 8);
    assert!(results(&together) == expected && results(&by_hand) == expected);
    // Again, nothing is done.
    let before = fs::metadata(by_hand.join("failed")).is_ok();
    let again =
        run(&place.arguments("run", &alone, &[]).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(String::from_utf8(again.stderr).unwrap().contains("8 of 8 runs done or failed before"));
    assert!(again.status.success() && !before);
    assert_one_owner_at_a_time(&together);
    // A larger grid adds runs and leaves the others as they are.
    fs::write(place.file(), SWEEP.replace("[1, 8]", "[1, 2, 8]")).unwrap();
    place.succeed("run", &alone, &[]);
    let larger = results(&alone);
    assert_eq!(larger.len(), 11 * 8);
    assert!(expected.iter().all(|(name, bytes)| larger[name] == *bytes));
    // The table has them all.
    let printed = place.succeed("collect", &alone, &[]);
    assert!(printed.contains("runs.csv") && printed.contains("runs.parquet"));
    let table = fs::read_to_string(alone.join("runs.csv")).unwrap();
    let names: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    for name in ["name", "state", "objective.beta", "sampled.kl", "mig", "mig.low", "seconds"] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    assert_eq!(table.lines().filter(|line| line.contains(",done,")).count(), 11);
    // So has the report, in groups of seeds.
    let printed = place.succeed("report", &alone, &["--by", "sap"]);
    assert!(printed.contains("report.html") && printed.contains("best-traversal.png"));
    let page = fs::read_to_string(alone.join("report/report.html")).unwrap();
    assert!(page.contains("Best and median run by sap"));
    let report: serde_json::Value =
        serde_json::from_str(&place.succeed("report", &alone, &["--json"])).unwrap();
    let sizes = report["groups"].as_array().unwrap().iter().map(|group| &group["runs"]);
    assert_eq!(sizes.map(|runs| runs.as_array().unwrap().len()).sum::<usize>(), 11);
    assert!(report["data_sets"][0]["choice"]["by"] == "mig" && report["progress"]["done"] == 11);
    // Other scores of the same models need no training.
    fs::write(place.file(), SWEEP.replace(r#""mig", "sap""#, r#""mig""#)).unwrap();
    assert!(place.status(&together).iter().all(|run| run["state"] == "waiting"));
    place.succeed("run", &together, &[]);
    let scores = results(&together).into_iter().filter(|(name, _)| name.ends_with("scores.json"));
    assert!(
        scores.map(|(_, text)| String::from_utf8(text).unwrap()).all(|text| !text.contains("sap"))
    );
}

#[test]
fn kills_of_parents_and_children_lose_nothing() {
    let place = Place::new(SWEEP);
    let [alone, killed] = ["alone", "killed"].map(|name| place.out(name));
    let start = Instant::now();
    place.succeed("run", &alone, &["--jobs", "2"]);
    let length = start.elapsed();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let is_done = |place: &Place| place.status(&killed).iter().all(|run| run["state"] == "done");
    let mut kills = 0;
    let kill = |pattern: &str| {
        let mut pkill = std::process::Command::new("pkill");
        pkill.args(["-KILL", "-f", pattern]).status().unwrap().success()
    };
    let folder = path(&killed).to_owned();
    while !is_done(&place) {
        // Two shells at once.
        let mut parents = [0, 1].map(|_| place.spawn("run", &killed, &["--jobs", "2"]));
        for _ in 0..3 {
            sleep(length.mul_f64(random(1000) as f64 / 4000.0));
            // Children have the folder before the word worker, parents lack that word.
            kills += u32::from(match random(2) {
                0 => kill(&format!("{folder} --worker")),
                _ => parents[random(2) as usize].kill().is_ok(),
            });
        }
        // Without a parent, workers save and leave.
        parents.iter_mut().for_each(|parent| drop(parent.kill()));
        parents.iter_mut().for_each(|parent| drop(parent.wait()));
        let end = Instant::now() + Duration::from_secs(60);
        while kill(&format!("{folder} --worker")) && Instant::now() < end {
            sleep(Duration::from_millis(20));
        }
        // What died too often for one parent is tried again by the next.
        fs::remove_dir_all(killed.join("failed")).ok();
    }
    place.succeed("run", &killed, &["--jobs", "2"]);
    assert!(results(&killed) == results(&alone), "after {kills} kills");
    assert_one_owner_at_a_time(&killed);
    assert!(kills >= 3);
}

#[test]
fn a_run_that_fails_is_named_and_the_others_go_on() {
    // The first diverges; the folder of the second is a file.
    let text = SWEEP.replace(
        "[[run]]\nobjective.kind = \"control-vae\"",
        "[[run]]\noptimizer.learning_rate = 1e30",
    );
    let place = Place::new(&text);
    let out = place.out("runs");
    let listed = place.succeed("list", &out, &["--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let blocked = out.join(listed[2]["name"].as_str().unwrap());
    fs::create_dir_all(&out).unwrap();
    fs::write(&blocked, "in the way").unwrap();
    let arguments = place.arguments("run", &out, &["--jobs", "2"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(&arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("6 of 8 runs done, 2 failed"), "{stderr}");
    assert!(stderr.contains("training stopped before the parameters were changed"), "{stderr}");
    let failed: Vec<_> =
        place.status(&out).into_iter().filter(|run| run["state"] == "failed").collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|run| !run["message"].as_str().unwrap().is_empty()));
    // They are left alone until that is wanted, and then those that can be done are.
    let again = String::from_utf8(run(&arguments).stderr).unwrap();
    assert!(again.contains("8 of 8 runs done or failed before"), "{again}");
    fs::remove_file(&blocked).unwrap();
    let retried = run(&[&arguments[..], &["--retry-failed"]].concat());
    let stderr = String::from_utf8(retried.stderr).unwrap();
    assert!(stderr.contains("7 of 8 runs done, 1 failed"), "{stderr}");
    let collected = place.arguments("collect", &out, &[]);
    succeed(&collected.iter().map(String::as_str).collect::<Vec<_>>());
    let table = fs::read_to_string(out.join("runs.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains(",failed,")).count(), 1, "{table}");
}

#[test]
fn signals_save_all_and_say_that_something_is_left() {
    let place = Place::new(&SWEEP.replace("steps = 30", "steps = 100000"));
    let out = place.out("runs");
    for (jobs, signal) in [("1", "USR1"), ("2", "TERM"), ("2", "INT")] {
        let steps =
            || place.status(&out).iter().filter_map(|run| run["step"].as_u64()).sum::<u64>();
        let before = steps();
        let child = place.spawn("run", &out, &["--jobs", jobs]);
        // At work, and not only starting.
        while steps() == before {
            sleep(Duration::from_millis(50));
        }
        let id = child.id().to_string();
        std::process::Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{jobs} {signal}");
    }
    let status = place.status(&out);
    assert!(status.iter().any(|run| run["step"].as_u64() > Some(0)), "{status:?}");
    assert!(status.iter().all(|run| run["state"] == "waiting"), "{status:?}");
}

#[test]
fn mistakes_in_a_file_are_found_before_anything_starts() {
    for (from, to, part) in [
        ("objective.beta = [1, 8]", "objective.betta = [1, 8]", "objective.betta = 1"),
        ("objective.beta = [1, 8]", "objective.beta = [1, -8]", "at least 0, found -8"),
        ("latents = 3", "latents = 0", "latents"),
        ("\"mig\", \"sap\"", "\"migs\"", "there is no score `migs`"),
        ("[grid]", "[gird]", "unknown field `gird`"),
        ("name = \"tiny\"", "name = \"tiny\"\nrecipe = \"defualt\"", "recipe `defualt`"),
        ("\"1..=3\"", "\"1-3\"", "a range such as"),
        ("\"blobs\"", "\"blob\"", "blob"),
    ] {
        let place = Place::new(&SWEEP.replace(from, to));
        let arguments = place.arguments("run", &place.out("runs"), &[]);
        let error = refuse(2, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(error.contains(part), "{to}: {error}");
        assert!(!place.out("runs").exists(), "{to}");
    }
    let place = Place::new(SWEEP);
    let arguments = place.arguments("run", &place.out("runs"), &["--only", "nothing"]);
    let error = refuse(2, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(error.contains("has no run nothing"), "{error}");
}

#[test]
fn sweeps_of_the_source_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps");
    for (name, runs) in [("locatello2019", 1800), ("family", 24)] {
        let file = folder.join(format!("{name}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("# Source:"), "{name}");
        let listed = succeed(&["sweep", "list", path(&file)]);
        assert_eq!(listed.lines().count(), runs, "{name}");
    }
}

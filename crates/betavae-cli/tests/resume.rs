//! A run that is killed anywhere and resumed ends with the same bytes as one that never stopped.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{TINY, betavae, path, refuse, run, succeed, train_tiny};

const STEPS: &str = "60";
const SETTINGS: [&str; 6] = [
    "--set",
    "train.checkpoint_every=7",
    "--set",
    // Does not divide the steps, so that there is a last row of its own.
    "train.log_every=8",
    "--set",
    "optimizer.decay_every=10",
];

/// What must be equal at the end.
fn result(folder: &Path) -> Vec<Vec<u8>> {
    let checkpoint = folder.join("checkpoints/step-000000060");
    let files = ["model.safetensors", "optimizer.safetensors", "state.toml", "DONE"];
    let files = files.map(|name| checkpoint.join(name));
    files.iter().chain([&folder.join("metrics.csv")]).map(|file| fs::read(file).unwrap()).collect()
}

fn train_arguments(folder: &Path) -> Vec<String> {
    let arguments = ["train", "--out", path(folder), "--steps", STEPS];
    arguments.iter().chain(&TINY).chain(&SETTINGS).map(|text| (*text).to_owned()).collect()
}

/// How often runs are killed: 20 times, or BETAVAE_KILLS times.
fn kills_wanted() -> u32 {
    std::env::var("BETAVAE_KILLS").map_or(20, |text| text.parse().unwrap())
}

/// Whether the last checkpoint of a run is complete, and the row of `metrics.csv` that follows it: what comes
/// after both is drawn from them.
fn is_trained(folder: &Path) -> bool {
    let metrics = fs::read_to_string(folder.join("metrics.csv")).unwrap_or_default();
    folder.join("checkpoints/step-000000060/DONE").exists() && metrics.contains("\n60,kl_")
}

#[test]
fn killed_runs_end_in_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let straight = scratch.path().join("straight");
    let started = Instant::now();
    let quiet = |arguments: Vec<String>| {
        let mut command = betavae();
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut child = quiet(train_arguments(&straight));
    while !is_trained(&straight) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Kills are spread over what a run takes to its last checkpoint, by a fixed sequence. As the machine
    // may have more or less to do later, that time follows what kills hit: a third comes too late.
    let mut length = started.elapsed().as_secs_f64();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = result(&straight);
    let (mut state, mut kills, mut runs) = (88_172_645_463_325_252_u64, 0, 0);
    while kills < kills_wanted() {
        runs += 1;
        let folder = scratch.path().join(format!("killed-{runs}"));
        while !is_trained(&folder) {
            // A run killed before its configuration was written is started again.
            let mut child = quiet(match folder.join("config.toml").exists() {
                true => vec!["resume".to_owned(), path(&folder).to_owned()],
                false => train_arguments(&folder),
            });
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let part = (state >> 11) as f64 / (1_u64 << 53) as f64;
            std::thread::sleep(Duration::from_secs_f64(length * part));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            let killed = output.status.code().is_none();
            let ended = output.status.success();
            assert!(killed || ended, "{}", String::from_utf8_lossy(&output.stderr));
            kills += u32::from(killed);
            length *= if is_trained(&folder) { 7.0 / 8.0 } else { 17.0 / 16.0 };
        }
        assert!(result(&folder) == expected, "run {runs} ended in other bytes");
        // What a run does after its training can be interrupted as well.
        if runs % 16 == 1 {
            succeed(&["resume", path(&folder)]);
            assert!(folder.join("report.html").exists());
            assert!(result(&folder) == expected, "run {runs} ended in other bytes");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
    println!("{kills} kills in {runs} runs");
}

#[test]
fn a_run_that_ends_between_rows_has_a_last_one_and_can_be_extended() {
    let scratch = tempfile::tempdir().unwrap();
    // 60 steps are no multiple of 7, and 20 and 35 lie before and on one.
    let settings = ["--set", "train.log_every=7", "--set", "train.checkpoint_every=25"];
    let straight = scratch.path().join("straight");
    train_tiny(&straight, 60, &settings);
    let steps = |folder: &Path| {
        let text = fs::read_to_string(folder.join("metrics.csv")).unwrap();
        let rows = text.lines().filter(|line| line.split(',').nth(1) == Some("total"));
        rows.map(|row| row.split(',').next().unwrap().parse().unwrap()).collect::<Vec<u64>>()
    };
    assert_eq!(steps(&straight), [7, 14, 21, 28, 35, 42, 49, 56, 60]);
    let extended = scratch.path().join("extended");
    train_tiny(&extended, 3, &settings);
    assert_eq!(steps(&extended), [3], "a run shorter than log_every has a row");
    assert!(fs::read_to_string(extended.join("timing.csv")).unwrap().contains("\n3,"));
    let short = fs::read(extended.join("metrics.csv")).unwrap();
    succeed(&["resume", path(&extended)]);
    assert!(fs::read(extended.join("metrics.csv")).unwrap() == short, "resuming adds nothing");
    for (length, last) in [("20", [14, 20]), ("35", [28, 35]), ("60", [56, 60])] {
        succeed(&["resume", path(&extended), "--steps", length]);
        assert_eq!(steps(&extended)[steps(&extended).len() - 2..], last);
    }
    assert!(result(&extended) == result(&straight));
}

#[test]
fn damaged_checkpoints_are_skipped_and_named() {
    let scratch = tempfile::tempdir().unwrap();
    let straight = scratch.path().join("straight");
    train_tiny(&straight, 60, &SETTINGS);
    let expected = result(&straight);
    let damages: [fn(&Path); 4] = [
        |checkpoint| fs::remove_file(checkpoint.join("DONE")).unwrap(),
        |checkpoint| {
            let file = checkpoint.join("model.safetensors");
            let mut content = fs::read(&file).unwrap();
            *content.last_mut().unwrap() ^= 1;
            fs::write(file, content).unwrap();
        },
        |checkpoint| {
            let file = checkpoint.join("optimizer.safetensors");
            let content = fs::read(&file).unwrap();
            fs::write(file, &content[..content.len() / 2]).unwrap();
        },
        |checkpoint| fs::remove_file(checkpoint.join("state.toml")).unwrap(),
    ];
    for damage in damages {
        damage(&straight.join("checkpoints/step-000000060"));
        let output = run(&["resume", path(&straight)]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("damaged checkpoint"), "{stderr}");
        assert!(stderr.contains("step-000000060"), "{stderr}");
        assert!(stderr.contains("resuming at step 56"), "{stderr}");
        assert!(result(&straight) == expected);
    }
}

#[test]
fn signals_save_and_say_how_to_resume() {
    let scratch = tempfile::tempdir().unwrap();
    let straight = scratch.path().join("straight");
    train_tiny(&straight, 60, &SETTINGS);
    // The last ones are what Slurm sends at the time limit of a step, within 30 milliseconds.
    for signals in ["INT", "TERM", "USR1", "USR2", "TERM CONT TERM", "USR1 TERM USR1 INT"] {
        let folder = scratch.path().join(signals);
        let mut arguments = train_arguments(&folder);
        // Too long to end by itself before the signal.
        arguments.extend(["--set", "train.steps=1000000"].map(str::to_owned));
        let child =
            betavae().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while !folder.join("checkpoints/step-000000007/DONE").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let id = child.id().to_string();
        let kills: Vec<String> =
            signals.split(' ').map(|signal| format!("kill -s {signal} {id}")).collect();
        // Later ones may find the process ended.
        let kill = std::process::Command::new("sh").args(["-c", &kills.join("; ")]).output();
        assert!(kill.is_ok());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{signals}: {stderr}");
        assert!(stderr.contains("continue with: betavae resume"), "{stderr}");
        let saved = stderr.split("stopped at step ").nth(1).unwrap();
        let step: u64 = saved.split(';').next().unwrap().parse().unwrap();
        assert!(folder.join(format!("checkpoints/step-{step:09}/DONE")).exists());
        if step < 60 {
            succeed(&["resume", path(&folder), "--steps", "60"]);
            assert!(result(&folder) == result(&straight), "stopped at {step}");
        }
    }
}

#[test]
fn one_command_starts_goes_on_and_finds_a_run_done() {
    let scratch = tempfile::tempdir().unwrap();
    let [straight, folder] = ["straight", "again"].map(|name| scratch.path().join(name));
    train_tiny(&straight, 60, &SETTINGS);
    let mut arguments = train_arguments(&folder);
    arguments.push("--continue".into());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = betavae().args(&arguments).stderr(Stdio::null()).spawn().unwrap();
    while !folder.join("checkpoints/step-000000014/DONE").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Somebody else is at work there: try again later. (It may have ended by now.)
    let busy = run(&arguments);
    assert!(matches!(busy.status.code(), Some(75 | 0)), "{busy:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    // Killed or not, and whatever was written of the results: the same command ends it.
    fs::remove_file(folder.join("done.json")).ok();
    succeed(&arguments);
    assert!(result(&folder) == result(&straight));
    assert!(folder.join("done.json").exists() && folder.join("report.html").exists());
    let evaluated = fs::metadata(folder.join("evaluation.json")).unwrap().modified().unwrap();
    let output = run(&arguments);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("this run is done already"));
    let after = fs::metadata(folder.join("evaluation.json")).unwrap().modified().unwrap();
    assert_eq!(evaluated, after);
    // Other settings are another run.
    let other = [&arguments[..], &["--set", "objective.beta=9"]].concat();
    let error = refuse(1, &other);
    assert!(
        error.contains("a run with another objective.beta: expected 9.0, found 4.0"),
        "{error}"
    );
    // A run that is made longer is not done.
    succeed(&["resume", path(&folder), "--steps", "61"]);
    assert_eq!(fs::read_to_string(folder.join("done.json")).unwrap().matches("61").count(), 1);
}

#[test]
fn printed_commands_can_be_pasted() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("my run");
    let output = betavae().args(train_arguments(&folder)).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let word = format!("'{}'", path(&folder));
    for command in ["evaluate", "explore", "resume"] {
        assert!(stderr.contains(&format!("betavae {command} {word}")), "{stderr}");
    }
    let again = refuse(1, &["train", "--out", path(&folder), "--steps", "3"]);
    assert!(again.contains(&format!("`betavae resume {word}`")), "{again}");
}

#[test]
fn resuming_what_cannot_be_resumed_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    assert!(refuse(1, &["resume", path(&folder)]).contains("not a run folder"));
    train_tiny(&folder, 8, &[]);
    let shorter = refuse(2, &["resume", path(&folder), "--steps", "5"]);
    assert!(shorter.contains("taken 8 steps already"), "{shorter}");
    let again = refuse(1, &["train", "--out", path(&folder), "--steps", "3"]);
    assert!(again.contains("there is a run in this folder already"), "{again}");
    // Other data under the same name.
    let config = folder.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("blobs", "dsprites")).unwrap();
    let other = refuse(1, &["resume", path(&folder)]);
    assert!(other.contains("not the data the run was trained on"), "{other}");
    fs::write(&config, text.clone() + "\n[nonsense]\n").unwrap();
    assert!(refuse(2, &["resume", path(&folder)]).contains("nonsense"));
    // All that is left is damaged: no silent start from the beginning.
    fs::write(&config, text).unwrap();
    let metrics = fs::read(folder.join("metrics.csv")).unwrap();
    fs::remove_file(folder.join("checkpoints/step-000000008/DONE")).unwrap();
    let damaged = refuse(1, &["resume", path(&folder)]);
    assert!(damaged.contains("every checkpoint is damaged"), "{damaged}");
    assert!(fs::read(folder.join("metrics.csv")).unwrap() == metrics);
}

#[cfg(not(feature = "mpi"))]
#[test]
fn processes_that_would_each_train_the_same_run_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let mut command = betavae();
        command.args(train_arguments(&scratch.path().join("run"))).env(variable, "4");
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("has started 4 processes for one training"), "{stderr}");
    }
}

//! A sweep on a real Slurm under faults: every run that can be done is done once and ends in the same bytes as on one machine,
//! failures are named, nothing is lost. It starts a private Slurm (scripts/slurm-local.sh), which installs one where it is
//! missing:
//!
//!     cargo test --workspace --test slurm -- --ignored --nocapture
//!
//! BETAVAE_SLURM_RUNS says how many runs there are (24), BETAVAE_SLURM_SEED which faults happen (1).

#[allow(dead_code)]
mod common;
#[allow(dead_code)]
#[path = "common/sweeps.rs"]
mod sweeps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{betavae, path};
use sweeps::{Place, SWEEP, assert_one_owner_at_a_time, results};

/// A Slurm of its own, which is stopped in the end.
struct Slurm {
    folder: PathBuf,
    script: PathBuf,
}

impl Slurm {
    fn start() -> Self {
        // Its path is limited to 70 bytes, and a scratch folder's may be longer.
        let folder = PathBuf::from(format!("/tmp/betavae-slurm-{}", std::process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/slurm-local.sh");
        let slurm = Self { folder, script };
        let started = slurm.script("start");
        assert!(started.status.success(), "{started:?}");
        slurm
    }

    fn script(&self, what: &str) -> Output {
        let mut command = Command::new(&self.script);
        // Daemons must not keep the pipes of this process.
        command.arg(what).arg(&self.folder).env("SLURM_LOCAL_NODES", "2");
        command.stdout(Stdio::null()).stderr(Stdio::null()).output().unwrap()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.folder.join("slurm.conf"));
        command.output().unwrap()
    }

    /// What a command prints, line by line.
    fn lines(&self, program: &str, arguments: &[&str]) -> Vec<String> {
        let output = self.command(program, arguments);
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// `sweep WHAT` in the environment of this Slurm.
    fn sweep(&self, place: &Place, what: &str, out: &Path, more: &[&str]) -> Output {
        let mut command = betavae();
        command.args(place.arguments(what, out, more));
        command.env("SLURM_CONF", self.folder.join("slurm.conf")).output().unwrap()
    }

    /// Stops a daemon and starts it again.
    fn restart(&self, pid_file: &str, program: &str, arguments: &[&str]) {
        let pid = fs::read_to_string(self.folder.join(pid_file)).unwrap_or_default();
        let pid = pid.trim();
        let _ = Command::new("kill").arg(pid).stderr(Stdio::null()).status();
        let end = Instant::now() + Duration::from_secs(15);
        while Path::new("/proc").join(pid).exists() && Instant::now() < end {
            sleep(Duration::from_millis(50));
        }
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.folder.join("slurm.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap();
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.script("stop");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
#[ignore = "it needs Slurm, and takes minutes"]
fn faults_of_a_cluster_lose_nothing() {
    let seeds = number("BETAVAE_SLURM_RUNS", 24).div_ceil(2);
    // One run fails for good, another one's folder is in the way.
    let text = SWEEP
        .replace("\"1..=3\"", &format!("\"1..={seeds}\""))
        .replace("objective.kind = \"control-vae\"", "optimizer.learning_rate = 1e30")
        // Long enough to be met by a fault.
        .replace("batch = 4", "batch = 64");
    let place = Place::new(&text);
    let [alone, runs] = ["alone", "runs"].map(|name| place.out(name));
    let blocked = {
        let file = place.arguments("list", &runs, &["--json"]);
        let output = betavae().args(file).output().unwrap();
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        listed[1]["name"].as_str().unwrap().to_owned()
    };
    for out in [&alone, &runs] {
        fs::create_dir_all(out).unwrap();
        fs::write(out.join(&blocked), "in the way").unwrap();
    }
    let undisturbed = betavae().args(place.arguments("run", &alone, &["--jobs", "2"])).output();
    assert_eq!(undisturbed.unwrap().status.code(), Some(1));

    let slurm = Slurm::start();
    let options = [
        "--throttle",
        "4",
        "--runs-per-task",
        "3",
        "--time",
        "10",
        "--mem",
        "500M",
        "--retry-failed",
    ];
    // Twice, at the same time.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let output = slurm.sweep(&place, "submit", &runs, &options);
                assert!(output.status.success(), "{output:?}");
            });
        }
    });
    let queued = slurm.lines("squeue", &["-h", "-r", "-o", "%K"]);
    println!("{} tasks in the queue", queued.len());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number("BETAVAE_SLURM_SEED", 1));
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let left = |place: &Place| {
        let states = place.status(&runs);
        states.iter().filter(|run| run["state"] != "done" && run["state"] != "failed").count()
    };
    let (start, mut faults) = (Instant::now(), std::collections::BTreeMap::<&str, u32>::new());
    loop {
        let left = left(&place);
        if left == 0 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(1800), "{:?}", place.status(&runs));
        sleep(Duration::from_millis(300 + random(1500) as u64));
        let running = slurm.lines("squeue", &["-h", "-r", "-t", "running", "-o", "%i"]);
        let task = (!running.is_empty()).then(|| running[random(running.len())].clone());
        // Faults never end in the life of a cluster, but they leave the last runs alone here.
        let kind = if left <= 3 { 7 } else { random(8) };
        let fault = match (kind, task) {
            (0 | 1, _) => {
                // One of the processes, not all.
                let pattern = format!("{} --jobs 1", path(&runs));
                let found = Command::new("pgrep").args(["-f", &pattern]).output().unwrap();
                let found = String::from_utf8_lossy(&found.stdout).into_owned();
                let ids: Vec<&str> = found.lines().collect();
                if ids.is_empty() {
                    continue;
                }
                let _ = Command::new("kill").args(["-KILL", ids[random(ids.len())]]).status();
                "killed"
            }
            (2, Some(task)) => {
                slurm.command("scontrol", &["requeue", &task]);
                "requeued"
            }
            (3, Some(task)) => {
                slurm.command("scancel", &[&task]);
                "cancelled"
            }
            (4, Some(task)) => {
                // What comes before a time limit.
                slurm.command("scancel", &["--batch", "-s", "USR1", &task]);
                "asked to save"
            }
            (5, _) => {
                slurm.restart("slurmd.n1.pid", "slurmd", &["-N", "n1"]);
                "daemon restarted"
            }
            (6, _) => {
                slurm.restart("slurmctld.pid", "slurmctld", &[]);
                "controller restarted"
            }
            _ => {
                // Without word of failures, which stay.
                slurm.sweep(&place, "submit", &runs, &options[..8]);
                "submitted again"
            }
        };
        *faults.entry(fault).or_default() += 1;
    }
    println!("{:.0} s, {faults:?}", start.elapsed().as_secs_f64());
    let status = place.status(&runs);
    let failed: Vec<_> = status.iter().filter(|run| run["state"] == "failed").collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().any(|run| run["name"] == *blocked));
    let restarts: u64 = status.iter().map(|run| run["restarts"].as_u64().unwrap()).sum();
    println!("runs were begun again {restarts} times");
    assert!(results(&runs) == results(&alone));
    assert_one_owner_at_a_time(&runs);
    // The job that collects comes last.
    let end = Instant::now() + Duration::from_secs(120);
    while !slurm.lines("squeue", &["-h", "-o", "%i"]).is_empty() && Instant::now() < end {
        sleep(Duration::from_millis(500));
    }
    let table = fs::read_to_string(runs.join("runs.csv")).unwrap();
    assert_eq!(table.lines().count(), status.len() + 1);
    more_runs_than_an_array_holds(&slurm);
}

/// They are submitted in two arrays (MaxArraySize is 1001), once, and can be polled and collected.
fn more_runs_than_an_array_holds(slurm: &Slurm) {
    // Two betas for each seed, and two runs beside the grid.
    const RUNS: usize = 2 * 600 + 2;
    let place = Place::new(&SWEEP.replace("\"1..=3\"", "\"1..=600\""));
    let out = place.out("large");
    let submit = || {
        let start = Instant::now();
        let options = ["--runs-per-task", "1", "--", "--hold"];
        let output = slurm.sweep(&place, "submit", &out, &options);
        assert!(output.status.success(), "{output:?}");
        let tasks = slurm.lines("squeue", &["-h", "-r", "-o", "%F %K"]);
        println!("{} tasks after {:.1} s", tasks.len(), start.elapsed().as_secs_f64());
        tasks
    };
    let tasks = submit();
    // The last job collects.
    let arrays = tasks.iter().filter(|task| !task.ends_with("N/A"));
    assert_eq!(arrays.clone().count(), RUNS);
    let jobs: std::collections::BTreeSet<_> =
        arrays.map(|task| task.split(' ').next().unwrap()).collect();
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    assert_eq!(submit(), tasks, "nothing is submitted twice");
    let states = place.status(&out);
    assert!(states.len() == RUNS && states.iter().all(|run| run["state"] == "waiting"));
    place.succeed("collect", &out, &[]);
    let table = fs::read_to_string(out.join("runs.csv")).unwrap();
    assert_eq!(table.lines().count(), RUNS + 1);
    slurm.command("scancel", &["--full", "--user", "root"]);
}

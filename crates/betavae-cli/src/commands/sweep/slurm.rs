//! What is asked of Slurm, by its own commands.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// Longest array where the cluster does not tell.
const USUAL_ARRAY: usize = 1001;

/// What a cluster allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// `MaxArraySize`: indices of an array are below.
    pub(super) array: usize,
    /// Most jobs that the user may have submitted at a time, if there is such a limit.
    pub(super) submitted: Option<usize>,
}

/// Runs a command of Slurm and returns what it prints.
fn ask(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| {
        format!("`{program}` cannot be run: is this a machine of a Slurm cluster?")
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), why.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The limits of the cluster and of this user.
pub(super) fn limits() -> anyhow::Result<Limits> {
    let config = ask("scontrol", &["show", "config"])?;
    // Clusters without accounting have no limits for users, and say so by failing.
    let user = std::env::var("USER").unwrap_or_default();
    let filter = format!("user={user}");
    let arguments = ["-n", "-P", "show", "assoc", &filter, "format=MaxSubmitJobs,GrpSubmitJobs"];
    let associations = ask("sacctmgr", &arguments).unwrap_or_default();
    Ok(Limits { array: array_size(&config), submitted: submit_limit(&associations) })
}

fn array_size(config: &str) -> usize {
    let line = config.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"));
    let value = line.and_then(|line| line.split('=').nth(1)?.trim().parse().ok());
    value.unwrap_or(USUAL_ARRAY)
}

/// The smallest number in the columns of associations.
fn submit_limit(associations: &str) -> Option<usize> {
    associations.split(['\n', '|']).filter_map(|cell| cell.trim().parse().ok()).min()
}

/// The indices of an array's tasks that are not over: those that `squeue` still knows.
pub(super) fn tasks_left(array: &str) -> anyhow::Result<Vec<usize>> {
    let text = match ask("squeue", &["-h", "-r", "-j", array, "-o", "%K %T"]) {
        Ok(text) => text,
        // Jobs that are long over are unknown.
        Err(error) if error.to_string().contains("Invalid job id") => String::new(),
        Err(error) => return Err(error),
    };
    Ok(tasks(&text))
}

fn tasks(text: &str) -> Vec<usize> {
    let over = ["COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"];
    let task = |line: &str| {
        let (index, state) = line.trim().split_once(' ')?;
        (!over.contains(&state)).then(|| index.parse().ok())?
    };
    text.lines().filter_map(task).collect()
}

/// Submits a script and returns the job's number.
pub(super) fn submit(script: &Path, options: &[String]) -> anyhow::Result<String> {
    let script = script.to_string_lossy();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let arguments = [&["--parsable"], &options[..], &[&*script]].concat();
    let id = ask("sbatch", &arguments)?;
    // On clusters of clusters it is followed by a name.
    Ok(id.trim().split(';').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_slurm_are_read() {
        let config = "Configuration data\nMaxArraySize            = 4001\nMaxJobCount = 10000\n";
        assert_eq!((array_size(config), array_size("")), (4001, USUAL_ARRAY));
        assert_eq!(submit_limit("500|\n|200\n"), Some(200));
        assert_eq!(submit_limit("|\n"), None);
        assert_eq!(tasks("3 RUNNING\n7 PENDING\n8 COMPLETED\nN/A PENDING\n"), [3, 7]);
    }
}

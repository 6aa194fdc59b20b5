//! The right to train in a run's folder, which one process has at a time, on one machine or on many that share a file
//! system.
//!
//! Two things together:
//!
//! - `run.lock` is locked with `flock` for as long as the process lives. It ends with the process, however that ends.
//! - `lease.json` names the owner and is renewed every 20 seconds. It serves where locks do not reach: between machines on
//!   file systems that keep locks to themselves (NFS with `local_lock`), or that have none.
//!
//! Whoever holds the lock of a folder whose lease names a process of the same machine knows that it is dead and takes over
//! at once. If the lease names another machine, it must not have been renewed for [`EXPIRES`]. An owner that was asleep for
//! so long finds out before it next writes a checkpoint ([`Lease::check`]), and stops.
//!
//! What that needs of a shared file system: that `open` with `O_EXCL` lets one process through, that a file that was written
//! and closed is seen by those who open it afterwards (as NFS promises), and that its times are those of one clock (its
//! server's); clocks of the machines do not matter.
//!
//! `lease.log` tells who had it and since when, a line of JSON for each event.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext, Result};
use crate::files::write_atomically;
use crate::words;

/// How often the owner says that it is alive.
const RENEWED_EVERY: Duration = Duration::from_secs(20);

/// Without such a sign for so long, another machine may take over.
const EXPIRES: Duration = Duration::from_secs(120);

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Owner {
    /// Name of the machine.
    pub(crate) host: String,
    /// Number of the process on it.
    pub(crate) process: u32,
    /// The scheduler's name of the job, such as `17_3` for a task of an array; empty outside of one.
    pub(crate) job: String,
    /// Since when, in milliseconds since 1970.
    pub(crate) unix_ms: u64,
    /// Different for every lease.
    token: String,
}

impl Owner {
    fn this() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let host = sysinfo::System::host_name().unwrap_or_default();
        let process = std::process::id();
        let token = format!("{host}-{process}-{}", since.as_nanos());
        Self { host, process, job: job(), unix_ms: since.as_millis() as u64, token }
    }

    /// It in words, for messages.
    pub(crate) fn in_words(&self) -> String {
        let job = if self.job.is_empty() { String::new() } else { format!(", job {}", self.job) };
        format!("process {} on {}{job}", self.process, self.host)
    }
}

/// What Slurm calls this job.
fn job() -> String {
    let var = |name: &str| std::env::var(name).ok();
    let id = match (var("SLURM_ARRAY_JOB_ID"), var("SLURM_ARRAY_TASK_ID"), var("SLURM_JOB_ID")) {
        (Some(array), Some(task), _) => format!("{array}_{task}"),
        (_, _, Some(job)) => job,
        _ => return String::new(),
    };
    match var("SLURM_RESTART_COUNT") {
        Some(count) => format!("{id} (restart {count})"),
        None => id,
    }
}

/// A lease that this process has. It ends when it is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Lease {
    folder: PathBuf,
    owner: Owner,
    /// Locked, where the file system has locks.
    _lock: File,
    /// Ends the thread that renews it.
    renewal: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Lease {
    /// Takes the lease of a folder.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("run.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .context("create", &path)?;
        let locked = match lock.try_lock() {
            Ok(()) => true,
            Err(fs::TryLockError::WouldBlock) => return Err(busy(folder, owner_of(folder), None)),
            // Some network file systems have no locks. Then the lease alone decides.
            Err(fs::TryLockError::Error(_)) => false,
        };
        let owner = Owner::this();
        let previous = take_file(folder, &owner, locked)?;
        let event = if previous.is_some() { "taken over" } else { "taken" };
        log(folder, event, &owner, previous.as_ref())?;
        let (end, ended) = channel();
        let file = folder.join(FILE);
        let renew = move || {
            // A failure shows in the next check.
            while ended.recv_timeout(RENEWED_EVERY) == Err(RecvTimeoutError::Timeout) {
                let _ = File::options()
                    .append(true)
                    .open(&file)
                    .and_then(|file| file.set_modified(SystemTime::now()));
            }
        };
        let thread = thread::Builder::new().name("lease".into()).spawn(renew);
        let thread = thread.context("start a thread for", folder)?;
        let renewal = Some((end, thread));
        Ok(Self { folder: folder.to_owned(), owner, _lock: lock, renewal })
    }

    /// Whether this process still has it. It must be asked before anything is written that another process may have
    /// written meanwhile.
    ///
    /// # Errors
    /// [`Error::Busy`] if not.
    pub(crate) fn check(&self) -> Result<()> {
        match owner_of(&self.folder) {
            Some(owner) if owner == self.owner => Ok(()),
            other => Err(busy(&self.folder, other, None)),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.renewal.take() {
            drop(end);
            let _ = thread.join();
        }
        // Whoever has taken over keeps its own. What cannot be written or removed here expires.
        if self.check().is_ok() {
            let _ = log(&self.folder, "given back", &self.owner, None);
            let _ = fs::remove_file(self.folder.join(FILE));
        }
    }
}

/// Name of the file that names the owner.
const FILE: &str = "lease.json";

/// The owner that a folder names, if it names one.
pub(crate) fn owner_of(folder: &Path) -> Option<Owner> {
    let text = fs::read(folder.join(FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Who is at work in a folder and since when, if somebody is, as far as can be told without its lock.
#[cfg(feature = "figures")]
pub(crate) fn at_work(folder: &Path) -> Option<(String, SystemTime)> {
    let owner = owner_of(folder)?;
    let renewed = fs::metadata(folder.join(FILE)).ok()?.modified().ok()?;
    // Clocks of machines differ by less than what makes a lease expire, or this is said too late.
    let expired = SystemTime::now().duration_since(renewed).is_ok_and(|age| age >= EXPIRES);
    let processes = Path::new("/proc");
    let is_dead = sysinfo::System::host_name().is_ok_and(|host| host == owner.host)
        && processes.join("self").exists()
        && !processes.join(owner.process.to_string()).exists();
    let since = UNIX_EPOCH + Duration::from_millis(owner.unix_ms);
    (!expired && !is_dead).then(|| (owner.in_words(), since))
}

/// How often the lease of a folder has been taken.
#[cfg(feature = "figures")]
pub(crate) fn times_taken(folder: &Path) -> usize {
    let log = fs::read_to_string(folder.join("lease.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("\"event\":\"taken")).count()
}

/// Writes `lease.json`, and returns the owner that it was taken from.
fn take_file(folder: &Path, owner: &Owner, locked: bool) -> Result<Option<Owner>> {
    let path = folder.join(FILE);
    let text = serde_json::to_vec(owner)
        .map_err(|error| Error::file(&path, format!("cannot be written: {error}")))?;
    match File::create_new(&path) {
        Ok(mut file) => {
            file.write_all(&text).and_then(|()| file.sync_all()).context("write", &path)?;
            return Ok(None);
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", &path, error)),
    }
    let previous = owner_of(folder);
    // The lock of a process on this machine has ended with it. What names nobody was cut off while it was written.
    let is_dead = locked && previous.as_ref().is_none_or(|previous| previous.host == owner.host);
    if !is_dead {
        let age = age(&path)?;
        if age < EXPIRES {
            return Err(busy(folder, previous, Some(age)));
        }
    }
    // Of several that find the same lease expired, one may replace it.
    let token = previous.as_ref().map_or("none", |previous| &*previous.token);
    let right = folder.join(format!(".lease-after-{token}"));
    if !locked && let Err(error) = File::create_new(&right) {
        return match error.kind() {
            std::io::ErrorKind::AlreadyExists => Err(busy(folder, owner_of(folder), None)),
            _ => Err(Error::io("create", &right, error)),
        };
    }
    write_atomically(&path, &text)?;
    Ok(previous)
}

/// For how long a file has not been changed, by the clock of its file system.
fn age(path: &Path) -> Result<Duration> {
    let folder = path.parent().unwrap_or(path);
    let probe =
        tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder).context("write", folder)?;
    let now =
        probe.as_file().metadata().and_then(|data| data.modified()).context("read", folder)?;
    let then = fs::metadata(path).and_then(|data| data.modified()).context("read", path)?;
    Ok(now.duration_since(then).unwrap_or_default())
}

fn busy(folder: &Path, owner: Option<Owner>, age: Option<Duration>) -> Error {
    let mut owner = owner.map_or("another process".to_owned(), |owner| owner.in_words());
    if let Some(age) = age {
        let age = words::duration(age.as_secs_f64());
        owner += &format!(" (last sign of life {age} ago)");
    }
    Error::Busy { folder: folder.to_owned(), owner }
}

/// Adds a line to `lease.log`.
fn log(folder: &Path, event: &str, owner: &Owner, previous: Option<&Owner>) -> Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        unix_ms: u128,
        event: &'a str,
        owner: &'a Owner,
        #[serde(skip_serializing_if = "Option::is_none")]
        previous: Option<&'a Owner>,
    }
    let path = folder.join("lease.log");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = Line { unix_ms: since.as_millis(), event, owner, previous };
    let mut line = serde_json::to_string(&line)
        .map_err(|error| Error::file(&path, format!("cannot be written: {error}")))?;
    line.push('\n');
    let mut file = File::options().create(true).append(true).open(&path).context("open", &path)?;
    file.write_all(line.as_bytes()).context("write", &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, host: &str) -> Owner {
        let owner = Owner { host: host.into(), token: "other".into(), ..Owner::this() };
        fs::write(folder.join(FILE), serde_json::to_vec(&owner).unwrap()).unwrap();
        owner
    }

    fn make_old(folder: &Path, seconds: u64) {
        let file = File::options().append(true).open(folder.join(FILE)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::take(folder.path()).unwrap();
        lease.check().unwrap();
        let error = Lease::take(folder.path()).unwrap_err();
        let owner = format!("process {} on ", std::process::id());
        assert!(
            matches!(&error, Error::Busy { owner: found, .. } if found.starts_with(&owner)),
            "{error}"
        );
        drop(lease);
        assert!(!folder.path().join(FILE).exists());
        drop(Lease::take(folder.path()).unwrap());
        let log = fs::read_to_string(folder.path().join("lease.log")).unwrap();
        let events: Vec<String> = log
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].to_string()
            })
            .collect();
        assert_eq!(events, ["\"taken\"", "\"given back\"", "\"taken\"", "\"given back\""]);
    }

    #[test]
    fn what_a_dead_process_of_this_machine_left_is_taken_over_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let dead = write(folder.path(), &Owner::this().host);
        let lease = Lease::take(folder.path()).unwrap();
        lease.check().unwrap();
        let log = fs::read_to_string(folder.path().join("lease.log")).unwrap();
        assert!(log.contains("taken over") && log.contains(&dead.token), "{log}");
        drop(lease);
        // A lease that was cut off while it was written names nobody.
        fs::write(folder.path().join(FILE), "{\"host\":").unwrap();
        Lease::take(folder.path()).unwrap().check().unwrap();
    }

    #[test]
    fn another_machine_is_waited_for_until_it_gives_no_sign_of_life() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "elsewhere");
        make_old(folder.path(), 60);
        let error = Lease::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("on elsewhere") && error.contains("1 min 0 s ago"), "{error}");
        make_old(folder.path(), 121);
        Lease::take(folder.path()).unwrap().check().unwrap();
    }

    #[test]
    fn without_locks_one_of_several_replaces_an_expired_lease() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|token| Owner { token: token.into(), ..Owner::this() });
        let dead = write(folder.path(), &a.host);
        assert!(take_file(folder.path(), &a, false).is_err());
        make_old(folder.path(), 121);
        assert_eq!(take_file(folder.path(), &a, false).unwrap(), Some(dead.clone()));
        // The second one had read the old lease before the first replaced it.
        write(folder.path(), &dead.host);
        make_old(folder.path(), 121);
        assert!(matches!(take_file(folder.path(), &b, false), Err(Error::Busy { .. })));
    }

    #[test]
    fn an_owner_that_slept_too_long_notices() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::take(folder.path()).unwrap();
        write(folder.path(), "elsewhere");
        assert!(matches!(lease.check(), Err(Error::Busy { .. })));
        drop(lease);
        assert_eq!(owner_of(folder.path()).unwrap().host, "elsewhere");
    }
}

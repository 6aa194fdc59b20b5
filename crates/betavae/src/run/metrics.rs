//! `metrics.csv`: step, term, value. A pure function of the configuration and the data, so a resumed
//! run continues it byte for byte; clock times are in `timing.csv`.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};

const HEADER: &str = "step,term,value\n";

/// The open file, at its end.
pub(super) struct Metrics {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Metrics {
    /// A file with the header only.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let mut file = File::create(&path).context("create", &path)?;
        file.write_all(HEADER.as_bytes()).context("write", &path)?;
        Ok(Self { path, file, bytes: HEADER.len() as u64 })
    }

    /// Reopens a file as it was at a checkpoint and forgets what came after.
    pub(super) fn reopen(path: PathBuf, bytes: u64) -> Result<Self> {
        let mut file = OpenOptions::new().write(true).open(&path).context("open", &path)?;
        let found = file.metadata().context("read", &path)?.len();
        if found < bytes {
            return Err(Error::file_hint(
                &path,
                format!("expected at least {bytes} bytes, found {found}"),
                "the file was shortened after the checkpoint was written; restore it from a copy",
            ));
        }
        file.set_len(bytes).context("truncate", &path)?;
        file.seek(SeekFrom::End(0)).context("read", &path)?;
        Ok(Self { path, file, bytes })
    }

    /// Adds the rows of a step.
    pub(super) fn append(&mut self, step: u64, rows: &[(String, f32)]) -> Result<()> {
        let lines = lines(step, rows);
        self.file.write_all(lines.as_bytes()).context("write", &self.path)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Adds the rows of the last step, which are no part of the length that checkpoints know: whoever
    /// goes on from one cuts them off. Called again, it replaces them.
    pub(super) fn append_last(&mut self, step: u64, rows: &[(String, f32)]) -> Result<()> {
        self.file.set_len(self.bytes).context("truncate", &self.path)?;
        self.file.seek(SeekFrom::Start(self.bytes)).context("write", &self.path)?;
        self.file.write_all(lines(step, rows).as_bytes()).context("write", &self.path)?;
        self.file.sync_all().context("write", &self.path)
    }

    /// Makes what was written survive a power cut and returns the length of the file.
    pub(super) fn sync(&mut self) -> Result<u64> {
        self.file.sync_all().context("write", &self.path)?;
        Ok(self.bytes)
    }
}

fn lines(step: u64, rows: &[(String, f32)]) -> String {
    let line = |(term, value): &(String, f32)| format!("{step},{term},{value}\n");
    rows.iter().map(line).collect()
}

/// `timing.csv`: what is left out of `metrics.csv` because it differs between runs.
pub(super) struct Timing {
    path: PathBuf,
    file: File,
}

impl Timing {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("timing.csv");
        let new = !path.exists();
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(&path).context("open", &path)?;
        if new {
            file.write_all(b"step,unix_seconds,steps_per_second\n").context("write", &path)?;
        }
        Ok(Self { path, file })
    }

    pub(super) fn append(&mut self, step: u64, steps_per_second: f64) -> Result<()> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0.0, |since| since.as_secs_f64());
        writeln!(self.file, "{step},{now:.3},{steps_per_second:.4}").context("write", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(total: f32) -> [(String, f32); 2] {
        [("total".into(), total), ("kl".into(), 1.5)]
    }

    #[test]
    fn the_last_rows_are_beyond_what_checkpoints_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut metrics = Metrics::create(path.clone()).unwrap();
        metrics.append(4, &[("kl".into(), 2.0)]).unwrap();
        for value in [30.0, 7.0] {
            metrics.append_last(6, &[("kl".into(), value)]).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "step,term,value\n4,kl,2\n6,kl,7\n");
        let bytes = metrics.sync().unwrap();
        Metrics::reopen(path.clone(), bytes).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "step,term,value\n4,kl,2\n");
    }

    #[test]
    fn reopening_forgets_what_came_after_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut metrics = Metrics::create(path.clone()).unwrap();
        metrics.append(1, &rows(2.0)).unwrap();
        let bytes = metrics.sync().unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        metrics.append(2, &rows(3.0)).unwrap();
        Metrics::reopen(path.clone(), bytes).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert_eq!(first, "step,term,value\n1,total,2\n1,kl,1.5\n");
        let error = Metrics::reopen(path, bytes + 1).err().unwrap().to_string();
        assert!(error.contains("metrics.csv") && error.contains("at least"), "{error}");
    }
}

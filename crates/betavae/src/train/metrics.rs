//! `metrics.csv`: step, term, value. A pure function of the configuration and the data, so a resumed
//! run continues it byte for byte; clock times are in `timing.csv`.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::checkpoint::Window;
use crate::error::{Error, IoContext, Result};
use crate::objective::{InForce, Terms, beta_norm};

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

/// Names and values of the terms of a step, on images of `image_values` = H * W * C values.
pub(super) fn rows(terms: &Terms, image_values: usize) -> Vec<(String, f32)> {
    let weight = terms.in_force.value();
    let mut rows: Vec<(String, f32)> = [
        ("total", terms.total),
        ("reconstruction", terms.reconstruction),
        ("kl", terms.kl),
        (terms.in_force.name(), weight as f32),
    ]
    .map(|(term, value)| (term.to_owned(), value))
    .into();
    if let InForce::Beta(beta) = terms.in_force {
        let norm = beta_norm(beta, terms.kl_per_latent.len(), image_values);
        rows.push(("beta_norm".to_owned(), norm as f32));
    }
    rows.push(("active_latents".to_owned(), terms.active() as f32));
    let latents = terms.kl_per_latent.iter().enumerate();
    rows.extend(latents.map(|(j, kl)| (format!("kl_{j}"), *kl)));
    rows
}

impl Window {
    /// Adds the terms of one step.
    pub(super) fn add(&mut self, terms: &Terms) {
        let values = [terms.total, terms.reconstruction];
        let values = values.iter().chain(&terms.kl_per_latent);
        self.sums.resize(2 + terms.kl_per_latent.len(), 0.0);
        self.sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
        self.steps += 1;
    }

    /// The means since the last call, with the weight in force now.
    pub(super) fn take(&mut self, in_force: InForce) -> Terms {
        let window = std::mem::take(self);
        let mean = |sum: f64| (sum / window.steps as f64) as f32;
        let kl = &window.sums[2..];
        Terms {
            total: mean(window.sums[0]),
            reconstruction: mean(window.sums[1]),
            kl: mean(kl.iter().sum()),
            kl_per_latent: kl.iter().copied().map(mean).collect(),
            in_force,
        }
    }
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

    fn terms(total: f32, kl: [f32; 2]) -> Terms {
        Terms {
            total,
            reconstruction: total - 1.0,
            kl: kl[0] + kl[1],
            kl_per_latent: kl.to_vec(),
            in_force: InForce::Beta(4.0),
        }
    }

    #[test]
    fn a_window_averages_and_starts_again() {
        let mut window = Window::default();
        window.add(&terms(2.0, [1.0, 0.0]));
        window.add(&terms(4.0, [3.0, 0.0]));
        let mean = window.take(InForce::Beta(4.0));
        assert_eq!((mean.total, mean.reconstruction, mean.kl, mean.active()), (3.0, 2.0, 2.0, 1));
        assert_eq!(window, Window::default());
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
        metrics.append(1, &rows(&terms(2.0, [1.0, 0.5]), 4096)).unwrap();
        let bytes = metrics.sync().unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        metrics.append(2, &rows(&terms(3.0, [1.0, 0.5]), 4096)).unwrap();
        Metrics::reopen(path.clone(), bytes).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert!(first.starts_with("step,term,value\n1,total,2\n1,reconstruction,1\n1,kl,1.5\n"));
        let error = Metrics::reopen(path, bytes + 1).err().unwrap().to_string();
        assert!(error.contains("metrics.csv") && error.contains("at least"), "{error}");
    }
}

//! A run folder: what is in it, how training fills it, and how it is entered again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use super::events::{self, Events};
use super::metrics::{self, Metrics, Timing};
use super::provenance::Provenance;
use super::{Trainer, preview};
use crate::checkpoint::{self, Metadata, State, Trained, Window};
use crate::config::Config;
use crate::data::{DataConfig, Dataset};
use crate::error::{Error, IoContext, Result};
use crate::evaluate;
use crate::figures;
use crate::files;
use crate::objective::Terms;
use crate::record::read_config;
use crate::words::quoted;

/// Images over which a checkpoint states the KL of each latent.
const KL_IMAGES: usize = 512;

/// What a caller of [`Run::train`] can see and do meanwhile. All methods have empty bodies.
pub trait Observer {
    /// After every step, with the terms of that step.
    fn stepped(&mut self, _step: u64, _terms: &Terms) {}
    /// After every row of `metrics.csv`, with its values; a run that had ended tells its last one again.
    fn logged(&mut self, _step: u64, _mean: &Terms) {}
    /// After every checkpoint.
    fn saved(&mut self, _checkpoint: &Path) {}
    /// Asked before every step; `true` saves and ends the run early.
    fn should_stop(&mut self) -> bool {
        false
    }
}

/// Nothing is watched.
impl Observer for () {}

/// How [`Run::train`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are taken.
    Finished,
    /// The observer asked to stop; there is a checkpoint at the last step.
    Stopped,
}

/// A run folder with its trainer.
pub struct Run {
    folder: PathBuf,
    trainer: Trainer,
    metrics: Metrics,
    timing: Timing,
    /// For TensorBoard, if wanted.
    events: Option<Events>,
    window: Window,
    data_sha256: String,
    /// Held while this process owns the folder.
    _lock: File,
    warnings: Vec<String>,
}

impl Run {
    /// Starts a run in a new or empty folder.
    ///
    /// # Errors
    /// If the folder holds something, or the configuration does not fit the data.
    pub fn create(
        folder: &Path,
        config: Config,
        data: Arc<dyn Dataset>,
        device: &Device,
    ) -> Result<Self> {
        if folder.join("config.toml").exists() {
            return Err(Error::file_hint(
                folder,
                "there is a run in this folder already",
                format!("continue it with `betavae resume {}`", quoted(folder)),
            ));
        }
        if !is_empty(folder)? {
            return Err(Error::file_hint(
                folder,
                "this folder is not empty",
                "choose another one with --out",
            ));
        }
        // Everything that can be wrong with the configuration, before anything is written.
        let trainer = Trainer::new(config, data, device)?;
        let data_sha256 = trainer.data().fingerprint()?;
        fs::create_dir_all(folder.join("checkpoints"))
            .context("create", folder)
            .map_err(|error| error.with_hint("choose another folder with --out"))?;
        let lock = lock(folder)?;
        let metrics = Metrics::create(folder.join("metrics.csv"))?;
        let run = Self {
            folder: folder.to_owned(),
            timing: Timing::open(folder)?,
            events: open_events(folder, &trainer)?,
            trainer,
            metrics,
            window: Window::default(),
            data_sha256,
            _lock: lock,
            warnings: Vec::new(),
        };
        run.write_provenance("provenance.toml")?;
        // Last, because a folder with a configuration is one that can be resumed.
        run.write_config()?;
        Ok(run)
    }

    /// Enters a run folder again, at its newest complete checkpoint, or at the beginning if it has
    /// none. With the same data, version and instruction set the run ends with the same bytes as if
    /// it had never stopped, on any number of threads. `steps` changes the length of the run; `moved` says
    /// where its data is now.
    ///
    /// # Errors
    /// If the folder is not a run, or the data is not what it was trained on.
    pub fn resume(
        folder: &Path,
        steps: Option<u64>,
        moved: Option<DataConfig>,
        data: Arc<dyn Dataset>,
        device: &Device,
    ) -> Result<Self> {
        let mut config = read_config(folder)?;
        let lock = lock(folder)?;
        let is_moved = moved.is_some();
        config.data = moved.unwrap_or(config.data);
        config.train.steps = steps.unwrap_or(config.train.steps);
        let checkpoints = folder.join("checkpoints");
        let (newest, warnings) = checkpoint::newest(&checkpoints)?;
        if newest.is_none() && !warnings.is_empty() {
            return Err(Error::file_hint(
                &checkpoints,
                format!("every checkpoint is damaged: {}", warnings.join("; ")),
                "restore one from a copy, or start a new run in another folder",
            ));
        }
        let data_sha256 = data.fingerprint()?;
        let entered = newest.as_ref().map(|path| checkpoint::read(path)).transpose()?;
        let expected = match &entered {
            Some((_, _, state)) => Some(state.data.clone()),
            None => recorded_data(folder)?,
        };
        check_data(expected, &data_sha256)?;
        let metrics_path = folder.join("metrics.csv");
        let (trainer, metrics, window) = match entered {
            None => {
                let trainer = Trainer::new(config, data, device)?;
                (trainer, Metrics::create(metrics_path)?, Window::default())
            }
            Some((model, optimizer, state)) => {
                check_length(steps, state.step)?;
                // With a checkpoint there is no need of the file that the run once started from.
                let mut trainer = Trainer::with_fresh_weights(config, data, device)?;
                trainer.restore(model, optimizer, state.step)?;
                let metrics = Metrics::reopen(metrics_path, state.metrics_bytes)?;
                (trainer, metrics, state.window)
            }
        };
        let run = Self {
            folder: folder.to_owned(),
            timing: Timing::open(folder)?,
            events: open_events(folder, &trainer)?,
            trainer,
            metrics,
            window,
            data_sha256,
            _lock: lock,
            warnings,
        };
        if steps.is_some() || is_moved {
            run.write_config()?;
        }
        run.write_provenance(&format!("provenance-{}.toml", run.trainer.steps_taken()))?;
        Ok(run)
    }

    /// Trains to the configured number of steps, or until the observer asks to stop.
    ///
    /// # Errors
    /// If the disk is full, an image cannot be read, or a term is not finite; earlier checkpoints
    /// stay valid.
    pub fn train(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let settings = self.trainer.config().train.clone();
        let mut since = (Instant::now(), self.trainer.steps_taken());
        let mut saved = None;
        while self.trainer.steps_taken() < settings.steps {
            if observer.should_stop() {
                if saved != Some(self.trainer.steps_taken()) {
                    self.save(observer)?;
                }
                return Ok(Outcome::Stopped);
            }
            let terms = self.trainer.step()?;
            let step = self.trainer.steps_taken();
            self.window.add(&terms);
            observer.stepped(step, &terms);
            if step.is_multiple_of(settings.log_every) {
                let mean = self.window.take(terms.in_force);
                let rows = metrics::rows(&mean, self.trainer.data().shape().values());
                self.metrics.append(step, &rows)?;
                self.logged(&mean, &rows, since, observer)?;
                since = (Instant::now(), step);
            }
            if step.is_multiple_of(settings.checkpoint_every) || step == settings.steps {
                self.save(observer)?;
                saved = Some(step);
            }
        }
        self.log_rest(since, observer)?;
        Ok(Outcome::Finished)
    }

    /// Tells all others of a row of `metrics.csv`. `since` is when and at which step the row before was
    /// written, or this session began.
    fn logged(
        &mut self,
        mean: &Terms,
        rows: &[(String, f32)],
        since: (Instant, u64),
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let step = self.trainer.steps_taken();
        if let Some(events) = &mut self.events {
            events.terms(step, rows, mean)?;
        }
        if step > since.1 {
            let rate = (step - since.1) as f64 / since.0.elapsed().as_secs_f64();
            self.timing.append(step, rate)?;
        }
        observer.logged(step, mean);
        Ok(())
    }

    /// A last row, of the steps since the one before, where the run does not end with one: so that runs
    /// shorter than `log_every` have curves too. It comes after the last checkpoint, which knows the file
    /// and the window without it. Resuming from there, to train for longer, cuts it off again, and so ends
    /// with the same bytes as a run that never stopped here.
    fn log_rest(&mut self, since: (Instant, u64), observer: &mut dyn Observer) -> Result<()> {
        if self.window.steps == 0 {
            return Ok(());
        }
        let mean = self.window.clone().take(self.trainer.in_force());
        let rows = metrics::rows(&mean, self.trainer.data().shape().values());
        self.metrics.append_last(self.trainer.steps_taken(), &rows)?;
        self.logged(&mean, &rows, since, observer)
    }

    /// Writes a checkpoint, and pictures if they are wanted.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let trained = self.trained()?;
        let state = State {
            step: self.trainer.steps_taken(),
            metrics_bytes: self.metrics.sync()?,
            window: self.window.clone(),
            data: self.data_sha256.clone(),
        };
        let checkpoints = self.folder.join("checkpoints");
        let optimizer = self.trainer.optimizer();
        let path =
            checkpoint::write(&checkpoints, &trained.model, optimizer, &state, &trained.metadata)?;
        checkpoint::retain(&checkpoints, self.trainer.config().train.keep_checkpoints)?;
        if self.trainer.config().train.previews {
            let folder = self.folder.join("figures");
            fs::create_dir_all(&folder).context("create", &folder)?;
            for (name, picture) in preview::draw(&trained, &**self.trainer.data())? {
                let file = format!("step-{:09}-{name}.png", state.step);
                figures::save(&picture, &folder.join(file))?;
                if let Some(events) = &mut self.events {
                    events.picture(state.step, name, &picture)?;
                }
            }
        }
        observer.saved(&path);
        Ok(())
    }

    /// The model as it is now, without gradients, and its description.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn trained(&self) -> Result<Trained> {
        let model = self.trainer.model().valid();
        let data = &**self.trainer.data();
        let indices = evaluate::subset(data.len(), KL_IMAGES);
        let metadata = Metadata {
            version: env!("CARGO_PKG_VERSION").into(),
            step: self.trainer.steps_taken(),
            kl_per_latent: evaluate::kl_per_latent(&model, data, &indices)?,
            config: self.trainer.config().clone(),
        };
        Ok(Trained { model, metadata, path: self.folder.clone() })
    }

    /// Where everything is written.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The trainer, with the model, the configuration and the data.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// What was wrong with the folder but did not prevent resuming: damaged checkpoints.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn write_config(&self) -> Result<()> {
        let text = self.trainer.config().to_toml();
        files::write_atomically(&self.folder.join("config.toml"), text.as_bytes())
    }

    fn write_provenance(&self, name: &str) -> Result<()> {
        let provenance = Provenance::new(&self.trainer, &self.data_sha256);
        let text = toml::to_string(&provenance)
            .unwrap_or_else(|error| unreachable!("plain tables: {error}"));
        files::write_atomically(&self.folder.join(name), text.as_bytes())
    }
}

/// A new event file, if the configuration wants one.
fn open_events(folder: &Path, trainer: &Trainer) -> Result<Option<Events>> {
    let wanted = trainer.config().train.tensorboard;
    wanted.then(|| Events::create(folder, trainer.steps_taken())).transpose()
}

/// The fingerprint of the data that a run began with.
fn recorded_data(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("provenance.toml");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).context("read", &path)?;
    let table = text.parse::<toml::Table>().ok();
    Ok(table.and_then(|table| Some(table.get("data_sha256")?.as_str()?.to_owned())))
}

/// Refuses data that a run was not trained on.
fn check_data(expected: Option<String>, found: &str) -> Result<()> {
    match expected.filter(|expected| expected != found) {
        None => Ok(()),
        Some(expected) => Err(Error::Mismatch {
            what: "this is not the data the run was trained on".into(),
            expected: format!("SHA-256 {expected}"),
            found: found.into(),
            hint: "restore the original files, or start a new run".into(),
        }),
    }
}

/// Refuses to make a run shorter than it is.
fn check_length(steps: Option<u64>, taken: u64) -> Result<()> {
    match steps.filter(|steps| *steps < taken) {
        Some(steps) => Err(Error::config(
            format!("the run has taken {taken} steps already, more than the {steps} asked for"),
            format!("ask for more than {taken}, the length of the whole run"),
        )),
        None => Ok(()),
    }
}

/// Whether a folder is absent or holds nothing but what an interrupted start left.
fn is_empty(folder: &Path) -> Result<bool> {
    if !folder.exists() {
        return Ok(true);
    }
    let ours = ["checkpoints", "metrics.csv", "timing.csv", "provenance.toml", "run.lock"];
    for entry in fs::read_dir(folder).context("read", folder)? {
        let name = entry.context("read", folder)?.file_name();
        let name = name.to_string_lossy();
        if !ours.contains(&&*name) && ![".tmp-", events::PREFIX].iter().any(|p| name.starts_with(p))
        {
            return Ok(false);
        }
    }
    Ok(checkpoint::list(&folder.join("checkpoints"))?.is_empty())
}

/// Makes this process the only one that writes into the folder.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("run.lock");
    let file = File::create(&path).context("create", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::file_hint(
            folder,
            "another process is training in this folder",
            "wait for it, or stop it with Ctrl-C",
        )),
        // Some network file systems have no locks; that is no reason not to train.
        Err(fs::TryLockError::Error(_)) => Ok(file),
    }
}

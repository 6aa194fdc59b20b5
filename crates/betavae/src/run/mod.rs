//! A run: a folder in which the progress of a [`Trainer`] is kept, from which it goes on exactly where it stopped, and
//! where its results end up. What is in such a folder is read by [`crate::runs`].

mod empty_code;
mod enter;
#[cfg(feature = "figures")]
mod events;
#[cfg(feature = "figures")]
mod figures;
#[cfg(not(feature = "figures"))]
#[path = "without_figures.rs"]
mod figures;
mod folder;
mod lease;
mod metrics;
mod observer;
mod parallel;
mod provenance;
mod results;

pub use enter::Entered;
#[cfg(feature = "figures")]
pub(crate) use lease::{at_work, times_taken};
pub use observer::{Observer, Outcome};
pub use parallel::{dismiss, follow};
#[cfg(feature = "figures")]
pub(crate) use results::is_finished;
pub use results::{Finish, Results};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use crate::checkpoint::{self, Description, State, Trained, Window};
use crate::config::Config;
use crate::data::{DataConfig, Dataset};
use crate::error::{Error, IoContext, Result};
use crate::evaluate;
use crate::files;
use crate::objective::Terms;
use crate::train::Trainer;
use crate::words::quoted;
use empty_code::EmptyCode;
use figures::Figures;
use lease::Lease;
use metrics::{Metrics, Timing};
use provenance::Provenance;

/// Images over which a checkpoint states the KL of each latent.
const KL_IMAGES: usize = 512;

/// A run folder with its trainer.
pub struct Run {
    folder: PathBuf,
    trainer: Trainer,
    metrics: Metrics,
    timing: Timing,
    /// Pictures, event files and the report, as far as they are wanted.
    figures: Figures,
    window: Window,
    empty_code: EmptyCode,
    data_sha256: String,
    /// The file that says on what and with what this session takes steps.
    provenance: String,
    /// Held while this process owns the folder.
    lease: Lease,
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
        if !folder::is_empty(folder)? {
            return Err(Error::file_hint(
                folder,
                "this folder is not empty",
                "choose another one with --out",
            ));
        }
        // Everything that can be wrong with the configuration is found before anything is written.
        let trainer = Trainer::new(config, data, device)?;
        let data_sha256 = folder::fingerprint(trainer.config(), &**trainer.data())?;
        fs::create_dir_all(folder.join("checkpoints"))
            .context("create", folder)
            .map_err(|error| error.with_hint("choose another folder with --out"))?;
        let lease = Lease::take(folder)?;
        if folder.join("config.toml").exists() {
            // Another process was faster, and has ended.
            return Err(Error::Busy { folder: folder.to_owned(), owner: "another process".into() });
        }
        let metrics = Metrics::create(folder.join("metrics.csv"))?;
        let run = Self {
            folder: folder.to_owned(),
            timing: Timing::open(folder)?,
            figures: Figures::open(folder, &trainer)?,
            warnings: figures::missing(trainer.config()),
            trainer,
            metrics,
            window: Window::default(),
            empty_code: EmptyCode::default(),
            data_sha256,
            provenance: "provenance.toml".into(),
            lease,
        };
        run.write_provenance()?;
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
        let mut config = Config::of_run(folder)?;
        let lease = Lease::take(folder)?;
        let is_moved = moved.is_some();
        if let Some(data) = moved {
            config = config.with_data(data);
        }
        if let Some(steps) = steps {
            config = config.with_steps(steps);
        }
        let checkpoints = folder.join("checkpoints");
        let (newest, damaged) = checkpoint::newest(&checkpoints)?;
        if newest.is_none() && !damaged.is_empty() {
            return Err(Error::file_hint(
                &checkpoints,
                format!("every checkpoint is damaged: {}", damaged.join("; ")),
                "restore one from a copy, or start a new run in another folder",
            ));
        }
        let damaged = damaged.iter().map(|why| format!("skipped a damaged checkpoint: {why}"));
        let warnings = damaged.chain(figures::missing(&config)).collect();
        let data_sha256 = folder::fingerprint(&config, &*data)?;
        let entered = newest.as_ref().map(|path| checkpoint::read(path)).transpose()?;
        let expected = match &entered {
            Some(checkpoint) => Some(checkpoint.state.data.clone()),
            None => folder::recorded_data(folder)?,
        };
        folder::check_data(expected, &data_sha256)?;
        let metrics_path = folder.join("metrics.csv");
        let (trainer, metrics, window) = match entered {
            None => {
                let trainer = Trainer::new(config, data, device)?;
                (trainer, Metrics::create(metrics_path)?, Window::default())
            }
            Some(checkpoint) => {
                let State { step, metrics_bytes, window, .. } = checkpoint.state.clone();
                folder::check_length(steps, step)?;
                // With a checkpoint there is no need of the file that the run once started from.
                let trainer = Trainer::restored(config, data, checkpoint, device)?;
                (trainer, Metrics::reopen(metrics_path, metrics_bytes)?, window)
            }
        };
        let provenance = format!("provenance-{}.toml", trainer.steps_taken());
        let run = Self {
            folder: folder.to_owned(),
            timing: Timing::open(folder)?,
            figures: Figures::open(folder, &trainer)?,
            trainer,
            metrics,
            window,
            empty_code: EmptyCode::default(),
            data_sha256,
            provenance,
            lease,
            warnings,
        };
        if run.trainer.steps_taken() < run.trainer.config().train().steps {
            results::unfinish(folder)?;
        }
        if steps.is_some() || is_moved {
            run.write_config()?;
        }
        run.write_provenance()?;
        Ok(run)
    }

    /// Takes all further steps on a GPU.
    ///
    /// # Errors
    /// If the objective or the precision is the CPU's alone, or the device is too small.
    #[cfg(feature = "gpu")]
    pub fn move_to_gpu(&mut self, device: &crate::gpu::Device) -> Result<()> {
        self.trainer.move_to_gpu(device)?;
        self.write_provenance()
    }

    /// Trains to the configured number of steps, or until the observer asks to stop.
    ///
    /// # Errors
    /// If the disk is full, an image cannot be read, or a term is not finite; earlier checkpoints
    /// stay valid.
    pub fn train(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let settings = self.trainer.config().train().clone();
        let mut since = (Instant::now(), self.trainer.steps_taken());
        let mut saved = None;
        while self.trainer.steps_taken() < settings.steps {
            if observer.should_stop() {
                if saved != Some(self.trainer.steps_taken()) {
                    self.save(observer)?;
                }
                self.trainer.announce(false);
                return Ok(Outcome::Stopped);
            }
            self.trainer.announce(true);
            let taken = self.trainer.steps_taken();
            let until = |every: u64| every - taken % every;
            let most = until(settings.log_every).min(until(settings.checkpoint_every));
            let mut weights = Vec::new();
            for (step, terms) in
                (taken + 1..).zip(self.trainer.steps(most.min(settings.steps - taken))?)
            {
                self.window.add(&terms);
                observer.stepped(step, &terms);
                weights = terms.weights;
            }
            let step = self.trainer.steps_taken();
            if step.is_multiple_of(settings.log_every) {
                let mean = self.window.take(&self.trainer.objective().terms(), weights);
                self.metrics.append(step, &mean.rows())?;
                self.logged(&mean, since, observer)?;
                since = (Instant::now(), step);
            }
            if step.is_multiple_of(settings.checkpoint_every) || step == settings.steps {
                self.save(observer)?;
                saved = Some(step);
            }
        }
        self.trainer.announce(false);
        self.log_rest(since, observer)?;
        Ok(Outcome::Finished)
    }

    /// Tells all others of a row of `metrics.csv`. `since` is when and at which step the row before was
    /// written, or this session began.
    fn logged(
        &mut self,
        mean: &Terms,
        since: (Instant, u64),
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let step = self.trainer.steps_taken();
        self.figures.terms(step, mean)?;
        if step > since.1 {
            let rate = (step - since.1) as f64 / since.0.elapsed().as_secs_f64();
            self.timing.append(step, rate)?;
        }
        observer.logged(step, mean);
        if let Some(warning) = self.empty_code.notice(step, mean, &mut self.trainer)? {
            observer.warned(&warning);
        }
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
        let names = self.trainer.objective().terms();
        let mean = self.window.clone().take(&names, self.trainer.weights());
        self.metrics.append_last(self.trainer.steps_taken(), &mean.rows())?;
        self.logged(&mean, since, observer)
    }

    /// Writes a checkpoint, and pictures if they are wanted.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.lease.check()?;
        self.trainer.refresh()?;
        let trained = self.trained()?;
        let state = State {
            step: self.trainer.steps_taken(),
            metrics_bytes: self.metrics.sync()?,
            window: self.window.clone(),
            data: self.data_sha256.clone(),
        };
        let checkpoints = self.folder.join("checkpoints");
        let path = checkpoint::write(
            &checkpoints,
            &trained.model,
            self.trainer.optimizer(),
            &self.trainer.objective().state(),
            &state,
            &trained.description,
        )?;
        checkpoint::retain(&checkpoints, self.trainer.config().train().keep_checkpoints)?;
        observer.saved(&path);
        if self.trainer.config().train().previews {
            let data = &**self.trainer.data();
            self.figures.preview(&self.folder, &trained, data, observer)?;
        }
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
        let kl_per_latent = evaluate::kl_per_latent(&model, data, &indices)?;
        let (config, step) = (self.trainer.config(), self.trainer.steps_taken());
        let description = Description::new(config, step, kl_per_latent);
        Ok(Trained { model, description, path: self.folder.clone() })
    }

    /// Where everything is written.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The trainer, with the model, the configuration and the data.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// What did not prevent the run, such as damaged checkpoints.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn write_config(&self) -> Result<()> {
        let text = self.trainer.config().to_toml();
        files::write_atomically(&self.folder.join("config.toml"), text.as_bytes())
    }

    fn write_provenance(&self) -> Result<()> {
        let provenance = Provenance::new(&self.trainer, &self.data_sha256);
        let text = toml::to_string(&provenance)
            .unwrap_or_else(|error| unreachable!("plain tables: {error}"));
        files::write_atomically(&self.folder.join(&self.provenance), text.as_bytes())
    }
}

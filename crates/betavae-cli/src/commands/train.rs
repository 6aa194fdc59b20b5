//! `train` and `resume`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::config::Config;
use betavae::data;
use betavae::evaluate::{Evaluation, encode, evaluate, subset};
use betavae::record::read_config;
use betavae::scores::{self, CodesFile, ScoreName, Scores, SuiteSettings};
use betavae::train::{Outcome, Run};
use betavae::words;
use serde::Serialize;

use crate::args::{Resume, Train};
use crate::commands::evaluate::table;
use crate::commands::{open, report, score, warn_if_emulated};
use crate::output::{print, say};
use crate::progress::{self, Progress, catch_signals};
use crate::recipes;

/// Images of the evaluation at the end of training.
const FINAL_IMAGES: usize = 2048;

/// Images of the scores at the end of training: what they learn from and test on.
const SCORED_IMAGES: usize = 15_000;

/// Scores that take seconds.
const QUICK: &[ScoreName] = &[
    ScoreName::BetaVae,
    ScoreName::FactorVae,
    ScoreName::Mig,
    ScoreName::Sap,
    ScoreName::Modularity,
];

pub fn train(args: Train, device: &Device) -> anyhow::Result<ExitCode> {
    let name = args.recipe.as_deref().unwrap_or("default");
    let (title, text) = recipe_text(name)?;
    let (mut config, dropped) = Config::from_recipe(&text, &changes(&args))?;
    for key in dropped {
        say(&format!("note: {key} of the recipe does not apply to this objective and is dropped"));
    }
    if let Some(path) = &mut config.data.path {
        // The run folder must find its data from wherever it is resumed.
        *path = std::path::absolute(&*path)?;
    }
    if let Some(labels) = config.data.labels.as_mut().filter(|labels| labels.exists()) {
        *labels = std::path::absolute(&*labels)?;
    }
    if let Some(init) = &mut config.train.init {
        *init = std::path::absolute(&*init)?;
        let own_network =
            args.recipe.is_none() && !args.set.iter().any(|c| c.starts_with("model."));
        continue_from(&mut config, own_network, device)?;
    }
    let data = open(&config.data, config.seed)?;
    let batch_is_given =
        args.set.iter().any(|change| change.trim_start().starts_with("train.batch"));
    if data.len() < config.train.batch && !batch_is_given {
        let (images, batch) = (data.len(), config.train.batch);
        say(&format!("note: there are only {images} images, so a batch has {images}, not {batch}"));
        config.train.batch = images;
    }
    let folder = args.out.clone().unwrap_or_else(|| free_folder(&title));
    let run = Run::create(&folder, config, data, device)?;
    go(run, device)
}

pub fn resume(args: Resume, device: &Device) -> anyhow::Result<ExitCode> {
    let config = read_config(&args.folder)?;
    let data = open(&config.data, config.seed)?;
    let run = Run::resume(&args.folder, args.steps, data, device)?;
    for warning in run.warnings() {
        say(&format!("warning: skipped a damaged checkpoint: {warning}"));
    }
    say(&format!("resuming at step {}", run.trainer().steps_taken()));
    go(run, device)
}

/// Trains, then shows what came out.
fn go(mut run: Run, device: &Device) -> anyhow::Result<ExitCode> {
    introduce(&run)?;
    warn_if_emulated(run.trainer().config().train.precision)?;
    catch_signals()?;
    let steps = run.trainer().config().train.steps;
    let mut progress =
        Progress::new(run.trainer().steps_taken(), steps, run.trainer().data().shape().values());
    let outcome = run.train(&mut progress);
    progress.finish();
    let folder = run.folder().display().to_string();
    match outcome? {
        Outcome::Finished => {
            let evaluation = summarise(&run)?;
            say(&format!("\n{}", table(&evaluation)));
            if let Some(scores) = quick_scores(&run)? {
                say(&format!("\n{}\n", score::table(&scores)));
                say(&format!("all scores: betavae evaluate {folder} --scores all"));
            }
            report::of_run(run.folder(), run.trainer().data(), device)?;
            say(&format!(
                "report: {folder}/report.html\nmove its latents: betavae explore {folder}\n\
                 train longer: betavae resume {folder} --steps {}",
                steps.saturating_mul(2)
            ));
            print(&folder)?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Stopped => {
            let step = run.trainer().steps_taken();
            say(&format!("stopped at step {step}; continue with: betavae resume {folder}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Evaluates the final model on a sample of the data and writes `evaluation.json`.
fn summarise(run: &Run) -> anyhow::Result<Evaluation> {
    let trained = run.trained()?;
    let data = &**run.trainer().data();
    let indices = subset(data.len(), FINAL_IMAGES);
    let (evaluation, _) = evaluate(&trained, data, &indices, &mut |_| ())?;
    write(run, "evaluation.json", &evaluation)?;
    Ok(evaluation)
}

/// Where factors are known, the scores that take seconds, and `scores.json`. Data that cannot be
/// scored is no reason to fail now.
fn quick_scores(run: &Run) -> anyhow::Result<Option<Scores>> {
    let data = &**run.trainer().data();
    let indices = subset(data.len(), SCORED_IMAGES);
    let Ok(factors) = scores::factors_of(data, &indices) else { return Ok(None) };
    let codes = encode(&run.trained()?.model, data, &indices, &mut |_| ())?;
    let (names, settings) = (scores::factor_names(data), SuiteSettings::default());
    let (bar, progress) = progress::scores();
    let found = CodesFile::try_from(&codes)
        .and_then(|codes| scores::score(codes, &[], &factors, &names, QUICK, settings, &progress));
    bar.finish_and_clear();
    match found {
        Ok(found) => {
            write(run, "scores.json", &found)?;
            Ok(Some(found))
        }
        Err(error) => {
            say(&format!("note: {error}"));
            Ok(None)
        }
    }
}

fn write(run: &Run, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
    let path = run.folder().join(name);
    std::fs::write(&path, serde_json::to_string_pretty(value)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Says in words what is about to be trained.
fn introduce(run: &Run) -> anyhow::Result<()> {
    let trainer = run.trainer();
    let (data, parameters) = (trainer.data(), trainer.model().parameter_count());
    let told = words::training(trainer.config(), data.name(), data.len(), parameters)?;
    for (label, text) in told {
        say(&format!("{label:<11}{text}"));
    }
    say(&format!(
        "threads    {}\nfolder     {}",
        rayon::current_num_threads(),
        run.folder().display()
    ));
    Ok(())
}

/// What a recipe leaves open is taken from the model whose weights the run starts from: the network, unless
/// the user described one; the likelihood; the size of image files.
fn continue_from(config: &mut Config, own_network: bool, device: &Device) -> anyhow::Result<()> {
    let Some(init) = &config.train.init else { return Ok(()) };
    let trained = Trained::load(init, device)?;
    let theirs = trained.metadata.config;
    if own_network {
        config.model = theirs.model;
    }
    if config.objective.likelihood.is_none() {
        config.objective.likelihood = theirs.objective.likelihood;
        config.objective.sigma = config.objective.sigma.or(theirs.objective.sigma);
    }
    if config.data.path.as_deref().is_some_and(data::can_resize) {
        let image = trained.model.network().image;
        config.data.size.get_or_insert([image.height, image.width]);
        if [1, 3].contains(&image.channels) {
            config.data.channels.get_or_insert(image.channels);
        }
    }
    Ok(())
}

/// The flags that are short for `--set`, then the changes themselves.
fn changes(args: &Train) -> Vec<String> {
    let mut changes = data_changes(args.data.as_deref());
    changes.extend(
        args.init.iter().map(|init| format!("train.init={}", toml_string(&init.to_string_lossy()))),
    );
    changes.extend(args.steps.map(|steps| format!("train.steps={steps}")));
    changes.extend(args.seed.map(|seed| format!("seed={seed}")));
    changes.extend(args.set.iter().cloned());
    changes
}

/// The changes that `--data` stands for.
pub fn data_changes(data: Option<&str>) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(data) = data {
        let rendered = data::NAMES.iter().any(|(name, _)| *name == data);
        let known = rendered || data::sets::OfficialSet::find(data).is_some();
        let (key, other) = if known { ("name", "path") } else { ("path", "name") };
        changes.push(format!("data.{key}={}", toml_string(data)));
        // The recipe's own data gives way.
        changes.push(format!("data.{other}="));
    }
    changes
}

fn toml_string(text: &str) -> String {
    // JSON strings without control characters are TOML strings.
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Name and text of a built-in recipe or of a file.
pub fn recipe_text(name: &str) -> anyhow::Result<(String, String)> {
    match recipes::find(name) {
        Some(text) => Ok((name.to_owned(), text.to_owned())),
        None => read_recipe(Path::new(name)),
    }
}

fn read_recipe(path: &Path) -> anyhow::Result<(String, String)> {
    if !path.exists() {
        return Err(betavae::Error::Config {
            message: format!(
                "`{}` is neither a built-in recipe nor an existing file",
                path.display()
            ),
            hint: "`betavae recipes` lists the built-in ones".into(),
        }
        .into());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok((stem, text))
}

/// The first of runs/<name>-1, runs/<name>-2... that does not exist.
fn free_folder(name: &str) -> PathBuf {
    (1..)
        .map(|i| PathBuf::from(format!("runs/{name}-{i}")))
        .find(|folder| !folder.exists())
        .unwrap_or_else(|| unreachable!("there is always a larger number"))
}

//! `train` and `resume`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use betavae::checkpoint::Trained;
use betavae::config::{Config, Recipe};
use betavae::data::{self, DataConfig, Dataset, PairsConfig};
use betavae::run::{self, Entered, Finish, Outcome, Run, dismiss};
use betavae::train::Processes;
use betavae::{Device, Error, recipes, words};

use crate::args::{Resume, Train};
use crate::commands::evaluate::table;
use crate::commands::{absolute, open, score, warn_if_emulated};
use crate::compute::Compute;
use crate::output::{be_silent, print, say};
use crate::progress::Progress;
use crate::{processes, signals};

pub fn train(args: Train, compute: &Compute) -> anyhow::Result<ExitCode> {
    let device = &compute.cpu;
    let together = processes::of_training()?;
    if together.as_ref().is_some_and(|processes| processes.rank() > 0) {
        be_silent();
    }
    let name = args.recipe.as_deref().unwrap_or("default");
    let (title, text) = recipe_text(name)?;
    let (mut recipe, dropped) = Recipe::with_changes(&text, &changes(&args)?)?;
    for key in dropped {
        say(&format!("note: {key} of the recipe does not apply to the new kind and is dropped"));
    }
    // Whoever changes the objective has other numbers.
    if let Some(note) = recipes::note(&text)
        && !args.set.iter().any(|change| change.trim_start().starts_with("objective."))
    {
        say(&format!("note: {note}"));
    }
    make_absolute(&mut recipe.data)?;
    if let Some(PairsConfig::Table(table)) = recipe.objective.kind.pairs_mut()
        && table.exists()
    {
        *table = absolute(table)?;
        // What lies beside the images moves with them.
        let below = recipe.data.path.as_ref().and_then(|data| table.strip_prefix(data).ok());
        *table = below.unwrap_or(table).to_owned();
    }
    if let Some(init) = &mut recipe.train.init {
        *init = absolute(init)?;
        let own_network =
            args.recipe.is_none() && !args.set.iter().any(|c| c.starts_with("model."));
        continue_from(&mut recipe, own_network, device)?;
    }
    let data = open(&recipe.data, recipe.seed)?;
    let batch_is_given =
        args.set.iter().any(|change| change.trim_start().starts_with("train.batch"));
    if data.len() < recipe.train.batch && !batch_is_given {
        let (images, batch) = (data.len(), recipe.train.batch);
        say(&format!("note: there are only {images} images, so a batch has {images}, not {batch}"));
        recipe.train.batch = images;
    }
    let config = recipe.resolve(data.shape())?;
    check_device(&config, together.is_some(), compute)?;
    let Some(folder) = args.out else {
        if together.is_some() {
            let message = "several processes of one training need --out, which names its folder";
            return Err(
                betavae::Error::Config { message: message.into(), hint: String::new() }.into()
            );
        }
        return go(Run::create(&free_folder(&title), config, data, device)?, None, compute);
    };
    let together = match together {
        Some(processes) if processes.rank() > 0 => {
            return follow(&folder, config, data, device, processes);
        }
        together => together,
    };
    let entered = match args.go_on {
        false => {
            Run::create(&folder, config, data, device).map(|run| Entered::Training(Box::new(run)))
        }
        true => Run::enter(&folder, config, data, &Finish::default(), device),
    };
    match (entered, together) {
        (Ok(Entered::Training(run)), together) => {
            let step = run.trainer().steps_taken();
            if step > 0 {
                say(&format!("resuming at step {step}"));
            }
            go(*run, together, compute)
        }
        (Ok(Entered::Done), together) => {
            together.iter().for_each(|processes| dismiss(&**processes));
            say("this run is done already");
            print(&folder.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        (Err(error), together) => {
            together.iter().for_each(|processes| dismiss(&**processes));
            Err(error.into())
        }
    }
}

/// Refuses a training that the device cannot take, before anything is written.
fn check_device(config: &Config, is_together: bool, compute: &Compute) -> anyhow::Result<()> {
    if is_together && compute.gpu.is_some() {
        let message = "several processes of one training compute on CPUs".to_owned();
        let hint = "leave out --device".to_owned();
        return Err(betavae::Error::Config { message, hint }.into());
    }
    Ok(compute.check(config)?)
}

/// What all processes of a training do but the first, which alone writes and speaks.
fn follow(
    folder: &Path,
    config: Config,
    data: Arc<dyn Dataset>,
    device: &Device,
    processes: Box<dyn Processes>,
) -> anyhow::Result<ExitCode> {
    // Signals come to all; what to do about them the first one decides.
    signals::catch()?;
    run::follow(folder, config, data, device, processes)?;
    Ok(ExitCode::SUCCESS)
}

pub fn resume(args: Resume, compute: &Compute) -> anyhow::Result<ExitCode> {
    if processes::of_training()?.is_some() {
        return Err(betavae::Error::Config {
            message: "several processes go on with a run by the command that started it".into(),
            hint: "betavae train ... --out DIR --continue".into(),
        }
        .into());
    }
    let config = Config::of_run(&args.folder)?;
    let moved = args.data.as_deref().map(|word| moved(config.data(), word)).transpose()?;
    let wanted = moved.as_ref().unwrap_or(config.data());
    if let Some(path) = wanted.path.as_ref().filter(|path| !path.exists()) {
        let message = format!("{}: the images of this run are not there", path.display());
        let folder = words::quoted(&args.folder);
        let hint = format!("if they have moved: betavae resume {folder} --data PATH");
        return Err(betavae::Error::Config { message, hint }.into());
    }
    check_device(&config, false, compute)?;
    let data = open(wanted, config.seed())?;
    let run = Run::resume(&args.folder, args.steps, moved, data, &compute.cpu)?;
    say(&format!("resuming at step {}", run.trainer().steps_taken()));
    go(run, None, compute)
}

/// The data of a run at another place, with the run's settings.
fn moved(data: &DataConfig, word: &str) -> anyhow::Result<DataConfig> {
    let DataConfig { name, path, .. } = data::config_by_word(word)?;
    let mut moved = DataConfig { name, path, ..data.clone() };
    // Labels beside the images have moved with them.
    if let (Some(labels), Some(old), Some(new)) = (&data.labels, &data.path, &moved.path)
        && let Ok(below) = labels.strip_prefix(old)
    {
        moved.labels = Some(new.join(below));
    }
    make_absolute(&mut moved)?;
    Ok(moved)
}

/// The run folder must find its data from wherever it is resumed.
fn make_absolute(data: &mut DataConfig) -> anyhow::Result<()> {
    if let Some(path) = &mut data.path {
        *path = absolute(path)?;
    }
    if let Some(labels) = data.labels.as_mut().filter(|labels| labels.exists()) {
        *labels = absolute(labels)?;
    }
    Ok(())
}

/// Trains, together with other processes if there are some, then shows what came out.
fn go(
    mut run: Run,
    together: Option<Box<dyn Processes>>,
    compute: &Compute,
) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "gpu")]
    if let Some(gpu) = &compute.gpu {
        run.move_to_gpu(gpu)?;
    }
    if let Some(processes) = together {
        say(&format!("processes  {}", processes.size()));
        run.join(processes)?;
    }
    for warning in run.warnings() {
        say(&format!("warning: {warning}"));
    }
    introduce(&run);
    warn_if_emulated(run.trainer().config().train().precision)?;
    signals::catch()?;
    let steps = run.trainer().config().train().steps;
    let mut progress = Progress::new(run.trainer().steps_taken(), steps);
    let outcome = run.train(&mut progress);
    progress.finish();
    let folder = run.folder().display().to_string();
    // As it is pasted into a shell.
    let word = words::quoted(run.folder());
    match outcome? {
        Outcome::Finished => {
            let results = run.finish(&Finish::default(), &compute.cpu, &mut progress);
            progress.finish();
            let results = match results {
                Err(Error::Stopped) => {
                    say(&format!(
                        "stopped before the evaluation was complete; continue with: betavae resume {word}"
                    ));
                    return Ok(ExitCode::from(signals::STOPPED));
                }
                results => results?,
            };
            say(&format!("\n{}", table(&results.evaluation)));
            if let Some(scores) = &results.scores {
                say(&format!("\n{}\n", score::table(scores)));
                say(&format!("all scores: betavae evaluate {word} --scores all"));
            }
            for note in &results.notes {
                say(&format!("note: {note}"));
            }
            say(&format!(
                "report: {folder}/report.html\nmove its latents: betavae explore {word}\n\
                 train longer: betavae resume {word} --steps {}",
                steps.saturating_mul(2)
            ));
            print(&folder)?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Stopped => {
            let step = run.trainer().steps_taken();
            say(&format!("stopped at step {step}; continue with: betavae resume {word}"));
            Ok(ExitCode::from(signals::STOPPED))
        }
    }
}

/// Says in words what is about to be trained.
fn introduce(run: &Run) {
    let trainer = run.trainer();
    let (data, parameters) = (trainer.data(), trainer.model().parameter_count());
    for note in trainer.notes() {
        say(&format!("  {note}"));
    }
    let told = trainer.config().in_words(data.name(), data.len(), parameters);
    for (label, text) in told {
        say(&format!("{label:<11}{text}"));
    }
    #[cfg(feature = "gpu")]
    if let Some(gpu) = trainer.gpu() {
        let images = match trainer.images_on_gpu() {
            Some(store) => format!("all images on it ({})", words::amount(store.bytes())),
            None => "images from the CPU".to_owned(),
        };
        let moved = words::amount(trainer.bytes_per_step().unwrap_or_default());
        say(&format!("device     {}, {images}, {moved} a step", gpu.facts().adapter));
    }
    say(&format!(
        "threads    {}\nfolder     {}",
        rayon::current_num_threads(),
        run.folder().display()
    ));
}

/// What a recipe leaves open is taken from the model whose weights the run starts from: the network, unless
/// the user described one; the likelihood; the size of image files.
fn continue_from(recipe: &mut Recipe, own_network: bool, device: &Device) -> anyhow::Result<()> {
    let Some(init) = &recipe.train.init else { return Ok(()) };
    let trained = Trained::load(init, device)?;
    let theirs = trained.description.model.table();
    if own_network {
        recipe.model = theirs.clone();
    } else if recipe.model.likelihood.is_none() {
        recipe.model.likelihood = theirs.likelihood;
        recipe.model.sigma = recipe.model.sigma.or(theirs.sigma);
    }
    // Images of any source are brought to the shape of the model, unless the user wants another.
    let image = trained.model.network().image;
    recipe.data.size.get_or_insert([image.height, image.width]);
    if [1, 3].contains(&image.channels) {
        recipe.data.channels.get_or_insert(image.channels);
    }
    Ok(())
}

/// The flags that are short for `--set`, then the changes themselves.
fn changes(args: &Train) -> anyhow::Result<Vec<String>> {
    let mut changes = data_changes(args.data.as_deref())?;
    changes.extend(
        args.init.iter().map(|init| format!("train.init={}", toml_string(&init.to_string_lossy()))),
    );
    changes.extend(args.steps.map(|steps| format!("train.steps={steps}")));
    changes.extend(args.seed.map(|seed| format!("seed={seed}")));
    changes.extend(args.set.iter().cloned());
    Ok(changes)
}

/// The changes that `--data` stands for.
///
/// # Errors
/// If it is neither a data set nor an existing file or folder.
pub fn data_changes(word: Option<&str>) -> anyhow::Result<Vec<String>> {
    let Some(word) = word else { return Ok(Vec::new()) };
    let named = data::config_by_word(word)?.name.is_some();
    let (key, other) = if named { ("name", "path") } else { ("path", "name") };
    // The recipe's own data gives way.
    Ok(vec![format!("data.{key}={}", toml_string(word)), format!("data.{other}=")])
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
    let name = path.to_string_lossy();
    let is_recipe = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    if !(path.is_file() && is_recipe) {
        let is_data = path.exists() || data::config_by_word(&name).is_ok();
        let (what, hint) = if is_data {
            let what = if path.is_dir() { "a folder" } else { "data" };
            (
                format!("`{name}` is {what}, not a recipe"),
                format!("to train on it: --data {}", words::quoted(path)),
            )
        } else {
            let meant = words::nearest(&name, recipes::RECIPES.iter().map(|(known, _)| *known));
            let meant = meant.map(|nearest| format!("did you mean `{nearest}`? "));
            let hint = "`betavae recipes` lists the built-in ones; images are given with --data";
            let what = format!("`{name}` is neither a built-in recipe nor an existing .toml file");
            (what, format!("{}{hint}", meant.unwrap_or_default()))
        };
        return Err(betavae::Error::Config { message: what, hint }.into());
    }
    let text = betavae::config::read_recipe(path)?;
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

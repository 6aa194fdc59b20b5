//! The runs that a sweep stands for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use toml::Value;

use super::file::{Change, SweepFile};
use crate::config::{Config, Recipe};
use crate::data::{DataConfig, ImageShape, PairsConfig};
use crate::error::{Error, Result, in_order};
use crate::recipes;
use crate::words::{counted, quoted, thousands};

/// More runs than that are a mistake.
const MOST_RUNS: usize = 1_000_000;

/// Settings of every run of a sweep, unless its file says otherwise: nobody looks at the pictures of hundreds of runs while
/// they train, and of their checkpoints the last is what is needed.
const QUIET: [(&str, &str); 3] =
    [("train.previews", "false"), ("train.tensorboard", "false"), ("train.keep_checkpoints", "1")];

/// One run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// Name of its folder: a readable part, and eight hexadecimal digits of its configuration's hash.
    pub name: String,
    /// What is trained.
    pub config: Config,
}

/// A sweep with its runs.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What it was made of.
    pub file: SweepFile,
    /// The folder of the runs' folders.
    pub folder: PathBuf,
    /// Every run once, in the order of the file.
    pub runs: Vec<PlannedRun>,
    /// What should be known about the file, a line each.
    pub notes: Vec<String>,
}

impl Sweep {
    /// The runs of a file, whose folders are in `folder`. `shape` tells what images a data set has.
    ///
    /// # Errors
    /// If the configuration of any run is not possible, an exclusion excludes nothing, or there are no or too many runs.
    pub fn plan(
        file: SweepFile,
        folder: PathBuf,
        shape: &mut dyn FnMut(&DataConfig, u64) -> Result<ImageShape>,
    ) -> Result<Self> {
        let text = recipe_text(&file)?;
        let combinations = combinations(&file)?;
        let recipes: Vec<Recipe> =
            in_order(combinations.par_iter().map(|changes| recipe(&file, &text, changes)))?;
        // Data sets are opened one after the other, and each of them once.
        let mut shapes: HashMap<String, ImageShape> = HashMap::new();
        let shapes = recipes.iter().map(|recipe| {
            Ok(match shapes.entry(format!("{:?}", recipe.data)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(shape(&recipe.data, recipe.seed)?),
            })
        });
        let shapes: Vec<ImageShape> = shapes.collect::<Result<_>>()?;
        let runs = recipes.par_iter().zip(shapes).zip(&combinations);
        let mut runs = in_order(runs.map(|((recipe, shape), changes)| {
            recipe.resolve(shape).map(PlannedRun::new).map_err(|error| about(error, changes))
        }))?;
        for (number, excluded) in (1..).zip(&file.exclude) {
            let before = runs.len();
            runs.retain(|run| !run.has(excluded));
            if runs.len() == before {
                return Err(Error::config(
                    format!("{}: [[exclude]] {number} excludes no run", file.path.display()),
                    "its keys and values are those of resolved configurations; \
                     `betavae sweep list` shows the runs",
                ));
            }
        }
        let notes = without_duplicates(&mut runs)?;
        match (runs.len(), file.budget.runs) {
            (0, _) => {
                Err(Error::config(format!("{}: every run is excluded", file.path.display()), ""))
            }
            (count, Some(most)) if count > most => Err(Error::config(
                format!(
                    "{}: the sweep has {}, more than budget.runs = {most}",
                    file.path.display(),
                    counted(count, "run")
                ),
                "make the grid smaller, or the budget larger",
            )),
            _ => Ok(Self { file, folder, runs, notes }),
        }
    }

    /// The folder of a run.
    pub fn folder_of(&self, run: &PlannedRun) -> PathBuf {
        self.folder.join(&run.name)
    }

    /// File and folder as words of a command line that means this sweep from wherever it is given.
    pub fn on_command_line(&self) -> String {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let [file, folder] = [&self.file.path, &self.folder].map(|path| quoted(absolute(path)));
        format!("{file} --out {folder}")
    }

    /// The run of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, name: &str) -> Result<&PlannedRun> {
        self.runs.iter().find(|run| run.name == name).ok_or_else(|| {
            Error::config(
                format!("{} has no run {name}", self.file.path.display()),
                format!("`betavae sweep list {}` shows its runs", quoted(&self.file.path)),
            )
        })
    }
}

impl PlannedRun {
    fn new(config: Config) -> Self {
        let hash = crate::files::sha256(config.to_toml().as_bytes());
        let kind = &config.objective().kind;
        // Symbols of weights as words, and nothing that a shell or a file system minds.
        let label: String = kind
            .label()
            .chars()
            .map(|c| match c {
                '\u{3b1}' => "alpha".into(),
                '\u{3b2}' => "beta".into(),
                '\u{3b3}' => "gamma".into(),
                '\u{3bb}' => "lambda".into(),
                c if c.is_ascii_alphanumeric() || c == '.' => c.to_ascii_lowercase().to_string(),
                _ => "-".to_owned(),
            })
            .collect();
        let name = format!("{}-{label}-seed-{}-{}", kind.name(), config.seed(), &hash[..8]);
        Self { name, config }
    }

    /// Whether its settings are all these.
    fn has(&self, values: &[Change]) -> bool {
        let table = self.config.to_table();
        values.iter().all(|(key, wanted)| {
            let found = match key.split_once('.') {
                None => table.get(key),
                Some((section, key)) => table.get(section).and_then(|section| section.get(key)),
            };
            found.is_some_and(|found| is_equal(found, wanted))
        })
    }
}

/// Whether values are the same, where 4 and 4.0 are.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Integer(a), Value::Float(b)) | (Value::Float(b), Value::Integer(a)) => {
            *a as f64 == *b
        }
        (a, b) => a == b,
    }
}

/// The text of the sweep's recipe: a built-in one, or a file beside the sweep's.
fn recipe_text(file: &SweepFile) -> Result<String> {
    if let Some(text) = recipes::find(&file.recipe) {
        return Ok(text.to_owned());
    }
    let path = file.folder().join(&file.recipe);
    std::fs::read_to_string(&path).map_err(|error| {
        let known = recipes::RECIPES.iter().map(|(name, _)| *name);
        let hint = match crate::words::nearest(&file.recipe, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "`betavae recipes` lists the built-in ones".into(),
        };
        Error::config(
            format!(
                "{}: recipe `{}` is neither built in nor a file beside it ({error})",
                file.path.display(),
                file.recipe
            ),
            hint,
        )
    })
}

/// The changes of every run beside those of [set]: all combinations of each grid, its last axis the fastest; then single
/// runs.
fn combinations(file: &SweepFile) -> Result<Vec<Vec<Change>>> {
    let sizes = file
        .grids
        .iter()
        .map(|grid| grid.iter().fold(1_usize, |product, axis| product.saturating_mul(axis.len())));
    let count = sizes.clone().fold(file.runs.len(), usize::saturating_add);
    if count > MOST_RUNS {
        return Err(Error::config(
            format!(
                "{}: the sweep has {} runs, at most {} are planned",
                file.path.display(),
                if count == usize::MAX { "countless".into() } else { thousands(count) },
                thousands(MOST_RUNS)
            ),
            "make the grid smaller",
        ));
    }
    let mut all = Vec::with_capacity(count);
    for (grid, size) in file.grids.iter().zip(sizes) {
        for number in 0..size {
            let mut rest = number;
            let mut options: Vec<&Vec<Change>> = grid
                .iter()
                .rev()
                .map(|axis| {
                    let option = &axis[rest % axis.len()];
                    rest /= axis.len();
                    option
                })
                .collect();
            options.reverse();
            let changes = options.into_iter().flatten().cloned().collect();
            all.push(changes);
        }
    }
    all.extend(file.runs.iter().cloned());
    Ok(all)
}

/// The recipe with the changes of a run.
fn recipe(file: &SweepFile, text: &str, changes: &[Change]) -> Result<Recipe> {
    let own = || file.set.iter().chain(changes);
    let has = |key: &str| own().any(|(known, _)| known == key);
    let quiet = QUIET.iter().filter(|(key, _)| !has(key));
    let quiet = quiet.map(|(key, value)| format!("{key}={value}"));
    let all: Vec<String> =
        quiet.chain(own().map(|(key, value)| format!("{key}={value}"))).collect();
    let (mut recipe, _) =
        Recipe::with_changes(text, &all).map_err(|error| about(error, changes))?;
    // A sweep means the same from whichever folder it is run.
    let beside = |path: &mut PathBuf| -> Result<()> {
        let joined = file.folder().join(&*path);
        *path = std::path::absolute(&joined).map_err(|error| Error::io("find", joined, error))?;
        Ok(())
    };
    if let Some(path) = &mut recipe.data.path {
        beside(path)?;
    }
    if let Some(labels) = recipe.data.labels.as_mut().filter(|labels| is_beside(file, labels)) {
        beside(labels)?;
    }
    if let Some(PairsConfig::Table(table)) = recipe.objective.kind.pairs_mut()
        && is_beside(file, table)
    {
        beside(table)?;
    }
    if let Some(init) = &mut recipe.train.init {
        beside(init)?;
    }
    Ok(recipe)
}

/// Whether a path that may be relative to the data is one that is relative to the sweep's file.
fn is_beside(file: &SweepFile, path: &Path) -> bool {
    file.folder().join(path).exists()
}

/// An error with the changes of the run that it is about.
fn about(error: Error, changes: &[Change]) -> Error {
    let changes: Vec<String> =
        changes.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let run = format!("the run with {}", changes.join(", "));
    match error {
        Error::Config { message, hint } => {
            Error::Config { message: format!("{run}: {message}"), hint }
        }
        Error::Mismatch { what, expected, found, hint } => {
            Error::Mismatch { what: format!("{run}: {what}"), expected, found, hint }
        }
        other => other,
    }
}

/// Leaves every configuration once, and says which came twice.
fn without_duplicates(runs: &mut Vec<PlannedRun>) -> Result<Vec<String>> {
    let mut first: HashMap<&str, &PlannedRun> = HashMap::new();
    let (mut is_new, mut duplicates, mut clash) = (Vec::new(), Vec::new(), None);
    for run in runs.iter() {
        let known = *first.entry(&run.name).or_insert(run);
        is_new.push(std::ptr::eq(known, run));
        if !std::ptr::eq(known, run) {
            duplicates.push(run.name.clone());
        }
        if known.config != run.config {
            clash.get_or_insert(run.name.clone());
        }
    }
    let mut is_new = is_new.into_iter();
    runs.retain(|_| is_new.next().unwrap_or(true));
    if let Some(name) = clash {
        let message = format!("two different runs would have the folder {name}");
        return Err(Error::config(
            message,
            "change any setting of one of them, such as train.log_every",
        ));
    }
    Ok(match duplicates.first() {
        None => Vec::new(),
        Some(first) => vec![format!(
            "{} described more than once and done once, such as {first}",
            match duplicates.len() {
                1 => "1 run is".to_owned(),
                count => format!("{} runs are", thousands(count)),
            }
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Sweep> {
        let file =
            SweepFile::parse(&format!("name = 'n'\n{text}"), Path::new("/x/s.toml")).unwrap();
        Sweep::plan(file, "runs/n".into(), &mut |_, _| Ok(ImageShape::new(64, 64, 1)))
    }

    fn names(sweep: &Sweep) -> Vec<&str> {
        sweep.runs.iter().map(|run| run.name.rsplit_once('-').unwrap().0).collect()
    }

    #[test]
    fn grids_and_single_runs_are_combined() {
        let sweep = plan(
            "[[grid]]
            objective.beta = [1, 4.5]
            seed = '1..=2'
            [[grid]]
            objective.kind = 'dip-vae-i'
            list = [
                { objective = { lambda_od = 1, lambda_d = 10 } },
                { objective = { lambda_od = 2, lambda_d = 20 }, seed = 3 },
            ]
            [[run]]
            objective.kind = 'b'
            seed = 7
            [[exclude]]
            objective = { kind = 'h', beta = 1 }
            seed = 2",
        )
        .unwrap();
        let expected = [
            "h-beta-1-seed-1",
            "h-beta-4.5-seed-1",
            "h-beta-4.5-seed-2",
            "dip-vae-i-lambda-1-seed-1",
            "dip-vae-i-lambda-2-seed-3",
            "b-c-25-seed-7",
        ];
        assert_eq!(names(&sweep), expected);
        assert!(sweep.notes.is_empty() && !sweep.runs[0].config.train().previews);
    }

    #[test]
    fn names_do_not_depend_on_what_else_is_in_the_sweep() {
        let few = plan("[grid]\nobjective.beta = [4]\nseed = [1]").unwrap();
        let many = plan("[grid]\nobjective.beta = [1, 4]\nmodel.latents = [6, 10]\nseed = [1, 2]");
        assert!(many.unwrap().runs.contains(&few.runs[0]));
        // Another recipe makes other runs.
        let other = plan("[set]\noptimizer.learning_rate = 1e-3\n[grid]\nobjective.beta = [4]");
        assert_ne!(other.unwrap().runs[0].name, few.runs[0].name);
    }

    #[test]
    fn every_configuration_is_checked_before_anything_starts() {
        for (text, part) in [
            ("[grid]\nobjective.betta = [1]", "the run with objective.betta = 1"),
            ("[grid]\nobjective.beta = [1, -2]", "the run with objective.beta = -2"),
            ("[grid]\nobjective.kind = ['h', 'b']\nobjective.beta = [2]", "objective.kind = \"b\""),
            ("[grid]\nmodel.architecture = ['burgess', 'nonsense']", "nonsense"),
            ("[grid]\nseed = [1]\n[[exclude]]\nseed = 3", "excludes no run"),
            ("[grid]\nseed = [1]\n[[exclude]]\nseed = 1", "every run is excluded"),
            ("[grid]\nseed = '1..=9'\n[budget]\nruns = 8", "9 runs, more than budget.runs = 8"),
            ("[grid]\nseed = '1..=2000000'", "2,000,000 runs"),
        ] {
            let message = plan(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let file = SweepFile::parse(
            "name = 'n'\nrecipe = 'defualt'\n[grid]\nseed = [1]",
            Path::new("s.toml"),
        );
        let error = Sweep::plan(file.unwrap(), "n".into(), &mut |_, _| unreachable!()).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean `default`?"));
    }

    #[test]
    fn runs_that_are_described_twice_are_one() {
        let sweep = plan("[grid]\nseed = [1, 2]\n[[run]]\nobjective.beta = 4.0\nseed = 2").unwrap();
        assert_eq!(sweep.runs.len(), 2);
        assert!(
            sweep.notes[0].starts_with("1 run is described more than once"),
            "{:?}",
            sweep.notes
        );
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let sweep =
            plan("[set]\ndata = { name = '', path = 'photos' }\n[grid]\nseed = [1]").unwrap();
        assert_eq!(sweep.runs[0].config.data().path.as_deref(), Some(Path::new("/x/photos")));
    }
}

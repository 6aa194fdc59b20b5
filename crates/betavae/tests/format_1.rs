//! Recipes, runs and models of version 0.1.0 are read, used and gone on with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae::config::{Config, Recipe, read_recipe};
use betavae::data::Dataset;
use betavae::data::blobs::Blobs;
use betavae::model::Likelihood;
use betavae::run::{Outcome, Run};
use betavae::runs::Record;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_recipe_means_what_it_meant() {
    let recipe = Recipe::from_toml(&read_recipe(&fixture("recipe.toml")).unwrap()).unwrap();
    let config = recipe.resolve(Blobs::new().shape()).unwrap();
    assert_eq!(config.likelihood(), Likelihood::Gaussian { sigma: 0.5 });
    assert_eq!(config, Config::of_run(&fixture("run")).unwrap());
}

#[test]
fn a_run_folder_is_a_model_and_a_record() {
    let trained = Trained::load(&fixture("run"), &Device::flex()).unwrap();
    let description = &trained.description;
    assert_eq!((description.version.as_str(), description.step, description.seed), ("0.1.0", 4, 5));
    assert_eq!(description.model.likelihood(), Likelihood::Gaussian { sigma: 0.5 });
    assert_eq!(description.data().unwrap().name.as_deref(), Some("blobs"));
    assert!(description.objective.starts_with("loss B: reconstruction + 20 * |KL - C|"));
    let record = Record::read(&fixture("run")).unwrap();
    assert_eq!((record.history.step(), record.scores.is_empty()), (4, false));
    let evaluation = record.evaluation.unwrap();
    assert_eq!((evaluation.step, evaluation.images), (4, 2048));
}

#[test]
fn a_run_is_gone_on_with() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    copy(&fixture("run"), &folder);
    let (data, device) = (Arc::new(Blobs::new()), Device::flex());
    let mut run = Run::resume(&folder, Some(9), None, data, &device).unwrap();
    assert_eq!(run.train(&mut ()).unwrap(), Outcome::Finished);
    drop(run);
    // Values are those of that version up to what instruction sets round differently.
    let found = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let expected = std::fs::read_to_string(fixture("resumed-metrics.csv")).unwrap();
    assert_eq!(found.lines().count(), expected.lines().count(), "{found}");
    for (found, expected) in found.lines().zip(expected.lines()).skip(1) {
        let ((found, a), (expected, b)) =
            (found.rsplit_once(',').unwrap(), expected.rsplit_once(',').unwrap());
        assert_eq!(found, expected);
        let [a, b] = [a, b].map(|value| value.parse::<f64>().unwrap());
        assert!((a - b).abs() <= 1e-3 * b.abs().max(1e-3), "{found}: {a}, {b}");
    }
    // From here on it is a run like any other.
    assert_eq!(Config::of_run(&folder).unwrap().train().steps, 9);
    assert_eq!(Trained::load(&folder, &device).unwrap().description.step, 9);
}

//! What holds for every objective: it trains with every likelihood, reduction and precision, and a run that was stopped
//! ends in the same bytes as one that was not.

use std::path::Path;
use std::sync::Arc;

use betavae::config::{Config, Recipe};
use betavae::data::Dataset;
use betavae::data::blobs::Blobs;
use betavae::model::{LikelihoodName, Precision};
use betavae::objective::{LossH, ObjectiveConfig, ObjectiveKind, Reduction, Terms};
use betavae::run::{Entered, Finish, Observer, Outcome, Run};
use betavae::train::Trainer;
use betavae::{Device, Error};

const RECIPE: &str = "
    model = { architecture = 'custom', widths = [2, 4], hidden = [6], latents = 3 }
    train = { batch = 6, log_every = 2, checkpoint_every = 3, previews = false, tensorboard = false }";

fn recipe(kind: &ObjectiveKind) -> Recipe {
    Recipe { objective: kind.clone().into(), ..Recipe::from_toml(RECIPE).unwrap() }
}

fn config(recipe: &Recipe, steps: u64) -> Config {
    recipe.resolve(Blobs::new().shape()).unwrap().with_steps(steps)
}

#[test]
fn every_objective_trains_with_every_likelihood_reduction_and_precision() {
    let data = Arc::new(Blobs::new());
    for kind in ObjectiveKind::all() {
        for likelihood in [LikelihoodName::Bernoulli, LikelihoodName::Gaussian] {
            for reduction in [Reduction::Sum, Reduction::Mean { kl_weight: 0.001 }] {
                for precision in [Precision::F32, Precision::Bf16] {
                    let mut recipe = recipe(&kind);
                    recipe.model.likelihood = Some(likelihood);
                    recipe.objective = ObjectiveConfig { kind: kind.clone(), reduction };
                    recipe.train.precision = precision;
                    let case =
                        format!("{} {likelihood:?} {reduction:?} {precision:?}", kind.name());
                    let config = config(&recipe, 2);
                    let mut trainer =
                        Trainer::new(config, data.clone(), &Device::flex()).expect(&case);
                    for _ in 0..2 {
                        let terms = trainer.step().expect(&case);
                        let names: Vec<_> =
                            terms.losses.iter().map(|term| (term.name, term.unit)).collect();
                        assert_eq!(names, trainer.objective().terms(), "{case}");
                        assert!(!terms.weights.is_empty(), "{case}");
                    }
                }
            }
        }
    }
}

/// Colour photographs 64 pixels wide and 48 high in a folder, in classes, as people have them.
#[test]
fn every_objective_trains_on_own_images_that_are_not_square() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..24_u8 {
        let class = folder.path().join(["left", "right"][usize::from(i % 2)]);
        std::fs::create_dir_all(&class).unwrap();
        let pixel = |x: u32, y: u32| image::Rgb([9 * i, (3 * x) as u8, (5 * y) as u8]);
        image::RgbImage::from_fn(64, 48, pixel).save(class.join(format!("{i}.png"))).unwrap();
    }
    // Sizes and classes, so that pairs share one of two factors.
    let rows: String = (0..24)
        .map(|i| format!("{}/{i}.png,{},{}\n", ["left", "right"][i % 2], i / 4, i % 2))
        .collect();
    std::fs::write(folder.path().join("factors.csv"), format!("file,size,side\n{rows}")).unwrap();
    let mut recipe = Recipe::from_toml(RECIPE).unwrap();
    recipe.data.name = None;
    recipe.data.path = Some(folder.path().to_owned());
    let data = betavae::data::open(&recipe.data, 1).unwrap();
    assert_eq!(data.shape().to_string(), "48x64x3");
    for kind in ObjectiveKind::all() {
        let recipe = Recipe { objective: kind.clone().into(), ..recipe.clone() };
        let config = recipe.resolve(data.shape()).unwrap();
        let mut trainer = Trainer::new(config, data.clone(), &Device::flex()).unwrap();
        for _ in 0..50 {
            let terms = trainer.step().unwrap();
            assert!(terms.total().is_finite(), "{}", kind.name());
        }
    }
}

/// What must be the same at the end of a run.
fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let checkpoint = folder.join("checkpoints/step-000000007");
    let mut files: Vec<_> = std::fs::read_dir(&checkpoint)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([folder.join("metrics.csv")])
        .collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

#[test]
fn every_objective_resumes_to_the_byte() {
    let (data, device) = (Arc::new(Blobs::new()), Device::flex());
    for kind in ObjectiveKind::all() {
        let scratch = tempfile::tempdir().unwrap();
        let [whole, stopped] = ["whole", "stopped"].map(|name| scratch.path().join(name));
        let recipe = recipe(&kind);
        let mut run = Run::create(&whole, config(&recipe, 7), data.clone(), &device).unwrap();
        assert_eq!(run.train(&mut ()).unwrap(), Outcome::Finished);
        drop(run);
        let mut run = Run::create(&stopped, config(&recipe, 4), data.clone(), &device).unwrap();
        run.train(&mut ()).unwrap();
        drop(run);
        let mut run = Run::resume(&stopped, Some(7), None, data.clone(), &device).unwrap();
        run.train(&mut ()).unwrap();
        let (whole, stopped) = (results(&whole), results(&stopped));
        for ((name, a), (_, b)) in whole.iter().zip(&stopped) {
            assert!(a == b, "{}: {name} differs", kind.name());
        }
        assert_eq!(whole.len(), stopped.len());
    }
}

#[test]
fn a_checkpoint_of_another_objective_is_refused() {
    let (data, device) = (Arc::new(Blobs::new()), Device::flex());
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let controlled =
        Recipe::from_toml(&format!("{RECIPE}\nobjective.kind = 'control-vae'")).unwrap();
    let mut run = Run::create(&folder, config(&controlled, 3), data.clone(), &device).unwrap();
    run.train(&mut ()).unwrap();
    drop(run);
    let other = config(&recipe(&ObjectiveKind::all()[0]), 5);
    std::fs::write(folder.join("config.toml"), other.to_toml()).unwrap();
    let error = Run::resume(&folder, None, None, data, &device).err().unwrap();
    assert!(error.to_string().contains("a state that this objective does not have"), "{error}");
}

/// Wants to stop as soon as the last step is taken.
#[derive(Default)]
struct Impatient {
    steps: u64,
}

impl Observer for Impatient {
    fn stepped(&mut self, step: u64, _: &Terms) {
        self.steps = step;
    }

    fn should_stop(&mut self) -> bool {
        self.steps == 7
    }
}

#[test]
fn an_evaluation_that_is_stopped_is_done_by_whoever_enters_the_run_again() {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, device) = (scratch.path().join("run"), Device::flex());
    let data: Arc<dyn Dataset> = Arc::new(Blobs::new());
    let config = config(&recipe(&ObjectiveKind::H(LossH { beta: 4.0.into() })), 7);
    let finish = Finish { images: 300, report: false, ..Finish::default() };
    let enter = || Run::enter(&folder, config.clone(), data.clone(), &finish, &device).unwrap();
    let mut observer = Impatient::default();
    let Entered::Training(mut run) = enter() else { panic!("a new run") };
    assert_eq!(run.train(&mut observer).unwrap(), Outcome::Finished);
    let error = run.finish(&finish, &device, &mut observer).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    assert!(!folder.join("evaluation.json").exists());
    drop(run);
    let Entered::Training(mut run) = enter() else { panic!("it is not done") };
    assert_eq!(run.train(&mut ()).unwrap(), Outcome::Finished);
    run.finish(&finish, &device, &mut ()).unwrap();
    drop(run);
    assert!(matches!(enter(), Entered::Done));
}

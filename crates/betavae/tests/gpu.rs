//! Trainings on a GPU against those on the CPU, on a software driver of Vulkan, such as lavapipe (Debian's package
//! mesa-vulkan-drivers):
//!
//!     cargo test --workspace --test gpu --test plans -- --include-ignored

use std::fs;
use std::path::Path;
use std::sync::Arc;

use betavae::Device;
use betavae::config::{Config, Recipe};
use betavae::data::{self, DataConfig, Dataset, ImageShape};
use betavae::gpu::{Device as Gpu, DeviceName, Encoding};
use betavae::model::NamedTensor;
use betavae::objective::Terms;
use betavae::run::{Finish, Observer, Outcome, Results, Run};
use betavae::scores::ScoreName;
use betavae::train::Trainer;

const TINY: &str = "
    data = { name = 'blobs', size = [16, 16] }
    model = { architecture = 'custom', widths = [4, 6], hidden = [8], latents = 3 }
    train = { batch = 8, log_every = 5, checkpoint_every = 10, previews = false, tensorboard = false }";

fn software() -> Gpu {
    Gpu::open(DeviceName::Software).expect("a software driver of Vulkan")
}

fn config(text: &str, changes: &[&str]) -> Config {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    let (recipe, _) = Recipe::with_changes(text, &changes).unwrap();
    recipe.resolve(images(&recipe.data).shape()).unwrap()
}

fn images(data: &DataConfig) -> Arc<dyn Dataset> {
    data::open(data, 1).unwrap()
}

fn trainer(config: Config, on_gpu: bool) -> Trainer {
    let data = images(config.data());
    let mut trainer = Trainer::new(config, data, &Device::flex()).unwrap();
    if on_gpu {
        trainer.move_to_gpu(&software()).unwrap();
    }
    trainer
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// The largest difference of a tensor, relative to its largest value.
fn distance(found: &[NamedTensor], expected: &[NamedTensor]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let of = |(a, b): (&NamedTensor, &NamedTensor)| {
        assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
        let off = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs());
        off.fold(0.0, f32::max) / largest(&b.values).max(1e-3)
    };
    found.iter().zip(expected).map(of).fold(0.0, f32::max)
}

/// Steps on the CPU and on a GPU from the same start, whose terms and parameters must stay together.
fn follow(changes: &[&str], steps: u64) {
    follow_after(0, changes, steps);
}

/// The same after some steps on the CPU.
fn follow_after(start: u64, changes: &[&str], steps: u64) {
    let config = config(TINY, changes);
    let [mut cpu, mut gpu] = [(); 2].map(|()| {
        let mut trainer = trainer(config.clone(), false);
        (0..start).for_each(|_| drop(trainer.step().unwrap()));
        trainer
    });
    gpu.move_to_gpu(&software()).unwrap();
    for step in 1..=steps {
        let [expected, found] = [&mut cpu, &mut gpu].map(|trainer| trainer.step().unwrap());
        let rows = found.rows().into_iter().zip(expected.rows());
        let scale = expected.total().abs();
        for ((name, found), (other, expected)) in rows {
            assert_eq!(name, other);
            let off = (found - expected).abs() / scale.max(1.0);
            assert!(off < 2e-5, "{changes:?}, step {step}, {name}: {found} for {expected}");
        }
    }
    let off = distance(&gpu.model().to_named_tensors(), &cpu.model().to_named_tensors());
    assert!(off < 2e-3, "{changes:?}: parameters are off by {off}");
    let [found, expected] = [&gpu, &cpu].map(|trainer| trainer.optimizer().to_named_tensors());
    let off = distance(&found, &expected);
    assert!(off < 2e-2, "{changes:?}: moments are off by {off}");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn ten_steps_follow_the_cpu_whatever_is_minimised() {
    let optimizer = "optimizer={kind='adam',learning_rate=0.002,epsilon=1e-4}";
    follow(&[optimizer], 10);
    let loss_b = ["objective={kind='b',gamma=20,c_min=0.2,c_max=4,c_steps=8,c_start=2}", optimizer];
    follow(&loss_b, 10);
    follow(
        &["objective={kind='h',beta={schedule='linear',from=1.0,to=9.0,steps=6}}", optimizer],
        10,
    );
    let target = "target={schedule='linear',from=0.1,to=3.0,steps=8}";
    let control = format!("objective={{kind='control-vae',k_p=0.5,k_i=0.1,{target}}}");
    follow(&[&control, optimizer], 10);
    let dynamic = format!("objective={{kind='dynamic-vae',beta_start=20,k_i=0.1,{target}}}");
    follow(&[&dynamic, optimizer], 10);
    for objective in [
        "kind='beta-tcvae',alpha=0.5,beta={schedule='linear',from=2.0,to=9.0,steps=6},gamma=1.5",
        "kind='beta-tcvae',estimator='stratified'",
        "kind='dip-vae-i'",
        "kind='dip-vae-ii',lambda_od=3,lambda_d=20",
    ] {
        let objective = format!("objective={{{objective}}}");
        follow(&[&objective, optimizer], 10);
        follow(&[&objective, "objective.reduction=mean", "objective.kl_weight=0.01", optimizer], 3);
    }
    // While nothing is learned, posteriors are so much alike that roundings decide which latents are shared.
    for objective in ["kind='ada-gvae',beta=0.5", "kind='ada-ml-vae',beta=0.5,pairs=1"] {
        let objective = format!("objective={{{objective}}}");
        follow_after(300, &[&objective, optimizer], 5);
    }
    follow(&["model.likelihood=gaussian", "model.sigma=0.5", optimizer], 10);
    follow(&["objective.reduction=mean", "objective.kl_weight=0.01", optimizer], 10);
    // The usual epsilon would turn the rounding noise of biases before batch norm into full steps.
    follow(&["model.norm=batch", "optimizer={kind='adam',learning_rate=0.002,epsilon=1e-3}"], 10);
    follow(&["optimizer={kind='adagrad',learning_rate=0.01}"], 10);
    follow(
        &["optimizer={kind='adam',learning_rate=0.002,decay=0.5,decay_every=3,epsilon=1e-4}"],
        10,
    );
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn ten_steps_follow_the_cpu_with_every_network() {
    let optimizer = "optimizer={kind='adam',learning_rate=0.001,epsilon=1e-4}";
    for architecture in ["burgess", "higgins-conv", "locatello", "higgins-fc"] {
        let name = format!("model={{architecture='{architecture}',latents=4}}");
        follow(&["data.size=[32,16]", &name, "train.batch=2", optimizer], 3);
    }
    let pytorch = "model={architecture='pytorch-vae',latents=4,widths=[4,4,6,8,8]}";
    let optimizer = "optimizer={kind='adam',learning_rate=0.001,epsilon=1e-3}";
    follow(&["data.size=[24,40]", pytorch, "objective.beta=1", "train.batch=4", optimizer], 5);
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn the_same_steps_give_the_same_bytes_however_they_are_handed_out() {
    let config = config(TINY, &["model.norm=batch"]);
    let mut one_by_one = trainer(config.clone(), true);
    for _ in 0..30 {
        one_by_one.step().unwrap();
    }
    let mut together = trainer(config, true);
    let mut terms = Vec::new();
    while terms.len() < 30 {
        terms.extend(together.steps(30 - terms.len() as u64).unwrap());
    }
    together.refresh().unwrap();
    assert_eq!(together.steps_taken(), 30);
    let [a, b] = [&one_by_one, &together].map(|trainer| trainer.model().to_named_tensors());
    assert_eq!(a, b);
    let [a, b] = [&one_by_one, &together].map(|trainer| trainer.optimizer().to_named_tensors());
    assert_eq!(a, b);
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn five_hundred_steps_follow_the_losses_of_the_cpu() {
    let small = ["data.size=[8,8]", "model.widths=[4]", "optimizer.learning_rate=0.001"];
    let config = config(TINY, &small);
    let mean = |on_gpu| {
        let mut trainer = trainer(config.clone(), on_gpu);
        let mut all: Vec<Terms> = Vec::new();
        while all.len() < 500 {
            all.extend(trainer.steps(500 - all.len() as u64).unwrap());
        }
        let mean = |part: &[Terms]| {
            part.iter().map(|terms| f64::from(terms.total())).sum::<f64>() / part.len() as f64
        };
        all.chunks(100).map(mean).collect::<Vec<f64>>()
    };
    let [cpu, gpu] = [false, true].map(mean);
    assert!(cpu[4] < 0.5 * cpu[0], "it learns: {cpu:?}");
    for (found, expected) in gpu.iter().zip(&cpu) {
        assert!((found / expected - 1.0).abs() < 0.01, "{gpu:?} for {cpu:?}");
    }
}

/// Images of 8x8 whose values are 0 and 1, but for one image, and new ones in every epoch if they are not fixed.
struct Few {
    grey: usize,
    is_fixed: bool,
}

impl Dataset for Few {
    fn name(&self) -> &str {
        "few"
    }

    fn description(&self) -> String {
        "600 images".into()
    }

    fn len(&self) -> usize {
        600
    }

    fn shape(&self) -> ImageShape {
        ImageShape::new(8, 8, 1)
    }

    fn read(&self, index: usize, epoch: u64, pixels: &mut [f32]) -> betavae::Result<()> {
        let shift = if self.is_fixed { 0 } else { epoch as usize };
        for (i, pixel) in pixels.iter_mut().enumerate() {
            *pixel = if index == self.grey {
                i as f32 / 100.0
            } else {
                f32::from(u8::from((i + shift).is_multiple_of(index % 7 + 2)))
            };
        }
        Ok(())
    }

    fn is_fixed(&self) -> bool {
        self.is_fixed
    }
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn images_stay_on_the_device_wherever_they_are_the_same_in_every_epoch() {
    let text = TINY.replace("size = [16, 16]", "size = [8, 8]").replace("[4, 6]", "[4]");
    let config = config(&text, &[]);
    // Image 599 and image 0 are among those by which it is tried, image 1 is not.
    for (grey, is_fixed, encoding) in [
        (1000, true, Some(Encoding::Bits)),
        (0, true, Some(Encoding::Floats)),
        (1, true, Some(Encoding::Floats)),
        (1, false, None),
    ] {
        let train = |on_gpu: bool| {
            let data = Arc::new(Few { grey, is_fixed });
            let mut trainer = Trainer::new(config.clone(), data, &Device::flex()).unwrap();
            if on_gpu {
                trainer.move_to_gpu(&software()).unwrap();
                let store = trainer.images_on_gpu();
                assert_eq!(store.map(|store| store.encoding), encoding, "{grey}");
                let numbers = if is_fixed { 8 } else { 8 * 64 };
                assert_eq!(trainer.bytes_per_step(), Some(4 * (numbers + 8 * 3 + 6)));
            }
            // More than two epochs.
            (0..160).map(|_| f64::from(trainer.step().unwrap().total())).collect::<Vec<_>>()
        };
        let [cpu, gpu] = [false, true].map(train);
        for (step, (found, expected)) in gpu.iter().zip(&cpu).enumerate() {
            let off = (found / expected - 1.0).abs();
            assert!(off < 1e-2, "{grey}, step {step}: {found} for {expected}");
        }
    }
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn scores_of_a_run_on_a_gpu_are_those_of_its_weights() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let finish = Finish { images: 500, report: false, ..Finish::default() };
    let device = Device::flex();
    let config = config(TINY, &[]).with_steps(20);
    let data = images(config.data());
    let mut on_gpu = Run::create(&folder, config, data.clone(), &device).unwrap();
    on_gpu.move_to_gpu(&software()).unwrap();
    on_gpu.train(&mut Quiet).unwrap();
    let found = on_gpu.finish(&finish, &device, &mut Quiet).unwrap();
    drop(on_gpu);
    let on_cpu = Run::resume(&folder, None, None, data, &device).unwrap();
    let expected = on_cpu.finish(&finish, &device, &mut Quiet).unwrap();
    let off = found.evaluation.at_mean.elbo / expected.evaluation.at_mean.elbo - 1.0;
    assert!(off.abs() < 1e-5, "{off}");
    let mig = |results: Results| {
        let scores = results.scores.unwrap().scores;
        scores.into_iter().find(|(name, _)| *name == ScoreName::Mig).unwrap().1.value
    };
    let off = mig(found) - mig(expected);
    assert!(off.abs() < 1e-2, "{off}");
}

#[derive(Default)]
struct Quiet;
impl Observer for Quiet {}

/// Trains the run in a folder to some step, on the CPU or on a GPU.
fn train(folder: &Path, steps: u64, on_gpu: bool) {
    let config = config(TINY, &[]).with_steps(steps);
    let (data, device) = (images(config.data()), Device::flex());
    let mut run = match folder.join("config.toml").exists() {
        true => Run::resume(folder, Some(steps), None, data, &device).unwrap(),
        false => Run::create(folder, config, data, &device).unwrap(),
    };
    if on_gpu {
        run.move_to_gpu(&software()).unwrap();
    }
    assert_eq!(run.train(&mut Quiet).unwrap(), Outcome::Finished);
}

fn model(folder: &Path, step: u64) -> Vec<u8> {
    let name = format!("checkpoints/step-{step:09}/model.safetensors");
    fs::read(folder.join(name)).unwrap()
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_run_moves_between_cpu_and_gpu() {
    let scratch = tempfile::tempdir().unwrap();
    let [cpu, moved, gpu, stopped] =
        ["cpu", "moved", "gpu", "stopped"].map(|name| scratch.path().join(name));
    train(&cpu, 40, false);
    train(&moved, 10, false);
    train(&moved, 30, true);
    train(&moved, 40, false);
    train(&gpu, 40, true);
    train(&stopped, 20, true);
    train(&stopped, 40, true);
    assert_eq!(model(&gpu, 40), model(&stopped, 40), "stopped or not, the same bytes");
    let rows = |folder: &Path| fs::read_to_string(folder.join("metrics.csv")).unwrap();
    assert_eq!(rows(&gpu), rows(&stopped));
    // Elsewhere the same to the tolerance of a few roundings.
    let totals = |folder: &Path| -> Vec<f64> {
        let text = rows(folder);
        let value =
            |line: &str| line.split_once(",total,").map(|(_, value)| value.parse().unwrap());
        text.lines().filter_map(value).collect()
    };
    assert_eq!(totals(&cpu).len(), 8);
    for folder in [&moved, &gpu] {
        assert_eq!(totals(folder).len(), 8);
        for (found, expected) in totals(folder).into_iter().zip(totals(&cpu)) {
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} for {expected}");
        }
    }
}

/// Loses its device after some step.
struct Unplug(Gpu, u64);

impl Observer for Unplug {
    fn stepped(&mut self, step: u64, _: &Terms) {
        if step == self.1 {
            self.0.lose();
        }
    }
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_device_that_is_lost_in_a_run_leaves_its_checkpoints() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let (config, device) = (config(TINY, &[]).with_steps(40), Device::flex());
    let data = images(config.data());
    let mut run = Run::create(&folder, config, data.clone(), &device).unwrap();
    let gpu = software();
    run.move_to_gpu(&gpu).unwrap();
    let error = run.train(&mut Unplug(gpu, 23)).unwrap_err();
    assert!(error.to_string().contains("is lost"), "{error}");
    assert!(error.hint().unwrap().contains("betavae resume"));
    drop(run);
    let mut resumed = Run::resume(&folder, None, None, data, &device).unwrap();
    assert_eq!(resumed.trainer().steps_taken(), 20);
    assert_eq!(resumed.train(&mut Quiet).unwrap(), Outcome::Finished);
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn what_a_gpu_does_not_take_is_refused_by_name() {
    for (change, words) in [
        ("objective.kind=factor-vae", ["objective.kind", "factor-vae"]),
        ("train.precision=bf16", ["train.precision", "bf16"]),
        ("train.parts=2", ["train.parts", "2"]),
    ] {
        let mut trainer = trainer(config(TINY, &[change]), false);
        let error = trainer.move_to_gpu(&software()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        trainer.step().unwrap();
    }
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_step_that_is_not_finite_is_not_taken() {
    let blown = ["optimizer.learning_rate=1e12", "model.likelihood=gaussian"];
    let config = config(TINY, &blown);
    let [cpu, gpu] = [false, true].map(|on_gpu| {
        let mut trainer = trainer(config.clone(), on_gpu);
        let error = loop {
            if let Err(error) = trainer.steps(50) {
                break error.to_string();
            }
        };
        trainer.refresh().unwrap();
        let finite = |tensor: &NamedTensor| tensor.values.iter().all(|value| value.is_finite());
        assert!(trainer.model().to_named_tensors().iter().all(finite), "{error}");
        (trainer.steps_taken(), error)
    });
    assert!(gpu.1.contains("training stopped before the parameters were changed"), "{}", gpu.1);
    assert!(gpu.0.abs_diff(cpu.0) <= 1, "{cpu:?} {gpu:?}");
}

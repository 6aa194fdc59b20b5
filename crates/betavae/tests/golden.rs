//! Values, gradients and optimiser steps against PyTorch (see golden/README.md), tensor by tensor.

use std::collections::BTreeMap;
use std::path::Path;

use betavae::burn::module::Module;
use betavae::data::ImageShape;
use betavae::model::{
    Activation, Architecture, BetaVae, Likelihood, ModelConfig, NamedTensor, Network, Norm, Pass,
    values,
};
use betavae::objective::{
    Batch, Facts, LossB, LossH, Objective, ObjectiveConfig, ObjectiveKind, Reduction,
};
use betavae::optimizer::{Adagrad, Adam, NamedGradients, Optimizer, OptimizerConfig, UpdateRule};
use betavae::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

/// Largest difference relative to the largest element: f32 against the oracle's f64.
const VALUES: f32 = 2e-5;
const GRADIENTS: f32 = 1e-4;
const LOSSES: f32 = 1e-4;

struct Fixture(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Fixture {
    fn read(name: &str) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
        let content = std::fs::read(golden.join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&content).unwrap();
        let tensor = |view: safetensors::tensor::TensorView<'_>| {
            let (values, _) = view.data().as_chunks::<4>();
            let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            (view.shape().to_vec(), values)
        };
        Self(file.iter().map(|(name, view)| (name.to_owned(), tensor(view))).collect())
    }

    fn values(&self, name: &str) -> &[f32] {
        &self.0.get(name).unwrap_or_else(|| panic!("no {name} in the fixture")).1
    }

    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = &self.0[name];
        Tensor::from_data(TensorData::new(values.clone(), shape.clone()), device)
    }

    /// The tensors whose names start with `prefix`, without it.
    fn group(&self, prefix: &str) -> Vec<NamedTensor> {
        let named = self.0.iter().filter_map(|(name, (shape, values))| {
            let name = name.strip_prefix(prefix)?.to_owned();
            Some(NamedTensor { name, shape: shape.clone(), values: values.clone() })
        });
        named.collect()
    }

    fn model(&self, network: Network, likelihood: Likelihood) -> BetaVae {
        BetaVae::with_weights(network, likelihood, self.group("param."), &Device::flex())
            .unwrap()
            .train()
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = largest(expected).max(1e-12);
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst / scale < tolerance, "{what}: off by {worst}, scale {scale}");
}

/// A published network with other widths, so that its fixture stays small.
fn narrow(config: ModelConfig, image: [usize; 3], widths: &[usize], hidden: usize) -> Network {
    let mut network = Network::new(&config, ImageShape::from(image)).unwrap();
    assert_eq!(network.encoder.convs.len(), widths.len());
    network.encoder.convs.iter_mut().zip(widths).for_each(|(conv, width)| conv.filters = *width);
    if let Some(last) = widths.last() {
        network.decoder.start.channels = *last;
    }
    let back = widths.iter().rev().skip(1);
    network.decoder.convs.iter_mut().zip(back).for_each(|(conv, width)| conv.filters = *width);
    network.encoder.hidden.iter_mut().for_each(|width| *width = hidden);
    network.decoder.hidden.iter_mut().for_each(|width| *width = hidden);
    network
}

fn config(architecture: Architecture, latents: usize) -> ModelConfig {
    ModelConfig { architecture, latents, ..ModelConfig::default() }
}

fn network(name: &str) -> Network {
    match name {
        "burgess" => narrow(config(Architecture::Burgess, 3), [32, 32, 1], &[4; 3], 8),
        "higgins-fc" => narrow(config(Architecture::HigginsFc, 3), [8, 8, 1], &[], 12),
        "higgins-conv" => {
            narrow(config(Architecture::HigginsConv, 4), [32, 16, 3], &[2, 2, 4, 4], 8)
        }
        "locatello" => narrow(config(Architecture::Locatello, 4), [16, 32, 1], &[2, 2, 4, 4], 8),
        "pytorch-vae" => {
            let widths = Some(vec![4, 4, 6, 6, 8]);
            let config = ModelConfig { widths, ..config(Architecture::PytorchVae, 4) };
            Network::new(&config, ImageShape::new(24, 20, 3)).unwrap()
        }
        "custom" => {
            let config = ModelConfig {
                widths: Some(vec![3, 5]),
                kernel: Some(5),
                activation: Some(Activation::LeakyRelu),
                norm: Some(Norm::Batch),
                hidden: Some(vec![7]),
                ..config(Architecture::Custom, 3)
            };
            Network::new(&config, ImageShape::new(13, 10, 2)).unwrap()
        }
        _ => panic!("no network {name}"),
    }
}

/// The fixtures hold images in the scale of the network's output.
fn images(model: &BetaVae, fixture: &Fixture, device: &Device) -> Tensor<4> {
    let images = fixture.tensor::<4>("images", device);
    if model.network().signed_images() { images * 0.5 + 0.5 } else { images }
}

/// An objective over a data set that is not asked for anything.
fn objective(model: &BetaVae, kind: ObjectiveKind, reduction: Reduction) -> Objective {
    let image_values = model.network().image.values();
    let facts = Facts { images: 1000, batch: 6, latents: model.latents(), image_values, seed: 0 };
    Objective::new(&ObjectiveConfig { kind, reduction }, facts, &Device::flex()).unwrap()
}

fn batch(images: Tensor<4>, noise: Tensor<2>) -> Batch {
    let indices = (0..images.dims()[0]).collect();
    Batch { images, noise, indices, second: None }
}

fn check_network(name: &str) {
    let fixture = Fixture::read(name);
    let device = Device::flex().autodiff();
    let noise: Tensor<2> = fixture.tensor("noise", &device);
    let likelihoods =
        [("bernoulli", Likelihood::Bernoulli), ("gaussian", Likelihood::Gaussian { sigma: 0.7 })];
    let kinds = [
        ("h", ObjectiveKind::H(LossH { beta: 4.0.into() })),
        (
            "b",
            ObjectiveKind::B(LossB {
                gamma: 10.0.into(),
                c_min: 1.5,
                c_max: 1.5,
                c_steps: 0,
                c_start: 0,
            }),
        ),
    ];
    let reductions =
        [("sum", Reduction::Sum), ("mean", Reduction::Mean { kl_weight: 0.00025 * 16.0 })];
    let mut cases = 0;
    for (likelihood_name, likelihood) in likelihoods {
        if !fixture.0.contains_key(&format!("h_{likelihood_name}_sum.total")) {
            assert_eq!((name, likelihood_name), ("pytorch-vae", "bernoulli"));
            continue;
        }
        let model = fixture.model(network(name), likelihood);
        let images = images(&model, &fixture, &device);
        let forward = model.forward(images.clone(), noise.clone(), &mut Pass::train());
        let close = |what: &str, found: Vec<f32>, tolerance| {
            assert_close(&format!("{name} {what}"), &found, fixture.values(what), tolerance);
        };
        close("mean", values(forward.posterior.mean.inner()), VALUES);
        close("log_var", values(forward.posterior.log_var.inner()), VALUES);
        close("z", values(forward.z.clone().inner()), VALUES);
        let z = forward.z.clone();
        let output = model.decoder.forward(z, &mut Pass::train());
        close("output", values(output.inner()), VALUES);
        for (kind_name, kind) in &kinds {
            for (reduction_name, reduction) in reductions {
                let case = format!("{kind_name}_{likelihood_name}_{reduction_name}");
                let objective = objective(&model, kind.clone(), reduction);
                let batch = batch(images.clone(), noise.clone());
                let loss = objective.loss(&model, &batch, 1, &mut Pass::train());
                let terms = loss.terms();
                close(&format!("{case}.total"), vec![terms.total()], VALUES);
                close(&format!("{case}.reconstruction"), vec![terms.reconstruction()], VALUES);
                close(&format!("{case}.kl"), vec![terms.kl()], VALUES);
                close(&format!("{case}.kl_per_latent"), terms.kl_per_latent, VALUES);
                let gradients = NamedGradients::collect(&model, &mut loss.total.backward());
                let gradients: BTreeMap<_, _> = gradients.values().into_iter().collect();
                let expected = fixture.group(&format!("{case}.grad."));
                assert_eq!(gradients.len(), expected.len(), "{name} {case}");
                for tensor in &expected {
                    let what = format!("{name} {case} gradient of {}", tensor.name);
                    let found = &gradients[&tensor.name];
                    // A bias before batch norm has no influence: what is left is rounding, small
                    // against the gradient of the weight beside it.
                    if tensor.values.iter().all(|value| *value == 0.0) {
                        let weight = tensor.name.replace("bias", "weight");
                        let weight = largest(&gradients[&weight]);
                        assert!(largest(found) < GRADIENTS * weight, "{what}: {found:?}");
                    } else {
                        assert_close(&what, found, &tensor.values, GRADIENTS);
                    }
                }
                cases += 1;
            }
        }
    }
    assert_eq!(cases, if name == "pytorch-vae" { 4 } else { 8 });
}

#[test]
fn burgess_agrees_with_pytorch() {
    check_network("burgess");
}

#[test]
fn higgins_fc_agrees_with_pytorch() {
    check_network("higgins-fc");
}

#[test]
fn higgins_conv_agrees_with_pytorch() {
    check_network("higgins-conv");
}

#[test]
fn locatello_agrees_with_pytorch() {
    check_network("locatello");
}

#[test]
fn pytorch_vae_agrees_with_pytorch() {
    check_network("pytorch-vae");
}

#[test]
fn custom_agrees_with_pytorch() {
    check_network("custom");
}

/// Ten steps of an optimiser on the batches of a fixture; returns the trained model.
fn ten_steps(
    fixture: &Fixture,
    mut model: BetaVae,
    kind: ObjectiveKind,
    reduction: Reduction,
    optimizer: OptimizerConfig,
) -> BetaVae {
    let objective = objective(&model, kind, reduction);
    let device = Device::flex().autodiff();
    let images: Tensor<5> = fixture.tensor("images", &device);
    let noise: Tensor<3> = fixture.tensor("noise", &device);
    let mut optimizer = Optimizer::new(optimizer);
    for step in 1..=10 {
        let t = step as usize - 1;
        let images = images.clone().narrow(0, t, 1).squeeze_dim::<4>(0);
        let images = if model.network().signed_images() { images * 0.5 + 0.5 } else { images };
        let noise = noise.clone().narrow(0, t, 1).squeeze_dim::<2>(0);
        let mut pass = Pass::train();
        let loss = objective.loss(&model, &batch(images, noise), step, &mut pass);
        let expected = fixture.values("losses")[t];
        assert_close(&format!("loss {step}"), &[loss.terms().total()], &[expected], LOSSES);
        let gradients = NamedGradients::collect(&model, &mut loss.total.backward());
        model = optimizer.step(model, gradients, step);
        model.update_running_statistics(pass.into_moments());
    }
    let trained = model.to_named_tensors();
    for expected in fixture.group("final.") {
        let found = trained.iter().find(|tensor| tensor.name == expected.name).unwrap();
        assert_close(&expected.name, &found.values, &expected.values, 2e-3);
    }
    model
}

#[test]
fn ten_steps_of_adam_follow_pytorch() {
    let fixture = Fixture::read("steps-adam");
    let model = fixture.model(network("burgess"), Likelihood::Bernoulli);
    let kind = ObjectiveKind::H(LossH { beta: 4.0.into() });
    let optimizer = OptimizerConfig { learning_rate: 5e-3, ..Default::default() };
    ten_steps(&fixture, model, kind, Reduction::Sum, optimizer);
}

#[test]
fn ten_steps_of_adagrad_under_rising_capacity_follow_pytorch() {
    let fixture = Fixture::read("steps-adagrad");
    let model = fixture.model(network("higgins-fc"), Likelihood::Bernoulli);
    let kind = ObjectiveKind::B(LossB {
        gamma: 10.0.into(),
        c_min: 0.5,
        c_max: 5.0,
        c_steps: 8,
        c_start: 0,
    });
    let rule = UpdateRule::Adagrad(Adagrad::default());
    let optimizer = OptimizerConfig { rule, learning_rate: 1e-2, ..Default::default() };
    ten_steps(&fixture, model, kind, Reduction::Sum, optimizer);
}

#[test]
fn batch_norm_keeps_the_running_averages_of_pytorch() {
    let fixture = Fixture::read("steps-batch-norm");
    let model = fixture.model(network("pytorch-vae"), Likelihood::Gaussian { sigma: 0.7 });
    let kind = ObjectiveKind::H(LossH { beta: 4.0.into() });
    let reduction = Reduction::Mean { kl_weight: 0.00025 * 16.0 };
    // The usual epsilon would turn the rounding noise of biases before batch norm into full steps.
    let rule = UpdateRule::Adam(Adam { epsilon: 1e-3, ..Adam::default() });
    let optimizer = OptimizerConfig { rule, learning_rate: 5e-3, ..Default::default() };
    let model = ten_steps(&fixture, model, kind, reduction, optimizer).valid();
    let images: Tensor<5> = fixture.tensor("images", &Device::flex());
    let posterior = model.encode(images.narrow(0, 0, 1).squeeze_dim::<4>(0) * 0.5 + 0.5);
    assert_close("eval mean", &values(posterior.mean.clone()), fixture.values("eval.mean"), 2e-3);
    let output = values(model.decode_raw(posterior.mean));
    assert_close("eval output", &output, fixture.values("eval.output"), 2e-3);
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let count = |architecture, latents, image: [usize; 3]| {
        let network = Network::new(&config(architecture, latents), ImageShape::from(image));
        let gaussian = Likelihood::Gaussian { sigma: 1.0 };
        BetaVae::new(network.unwrap(), gaussian, 1, &Device::flex()).unwrap().parameter_count()
    };
    assert_eq!(count(Architecture::Burgess, 10, [64, 64, 1]), 502_005);
    assert_eq!(count(Architecture::Burgess, 10, [64, 64, 3]), 504_055);
    assert_eq!(count(Architecture::Burgess, 10, [32, 32, 1]), 469_173);
    // Counted by the oracle (golden/README.md).
    assert_eq!(count(Architecture::PytorchVae, 128, [64, 64, 3]), PYTORCH_VAE);
}

const PYTORCH_VAE: usize = 3_937_635;

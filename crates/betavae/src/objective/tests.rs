//! Values, gradients and ten steps of the siblings against PyTorch (golden/family.py), tensor by tensor.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;

use super::*;
use crate::TensorData;
use crate::config::Recipe;
use crate::model::safetensors::read_safetensors;
use crate::model::{Architecture, Likelihood, ModelConfig, NamedTensor, Network};
use crate::optimizer::{Optimizer, OptimizerConfig};

/// Largest difference relative to the largest element: f32 against the oracle's f64.
const VALUES: f32 = 2e-5;
const GRADIENTS: f32 = 1e-4;
const STEPS: f32 = 2e-3;
/// Largest difference of a term. Total correlation and mutual information are small differences of log
/// densities of several nats, so that their rounding is that of the densities, whatever they are themselves.
const TERM: f32 = 1e-6;

const CASES: [(&str, &str); 8] = [
    (
        "factor-vae",
        "kind = 'factor-vae'\ngamma = 6.0\ndiscriminator_width = 5\ndiscriminator_depth = 2
        discriminator_learning_rate = 1e-2",
    ),
    ("beta-tcvae-weighted", "kind = 'beta-tcvae'\nbeta = 6.0"),
    (
        "beta-tcvae-stratified",
        "kind = 'beta-tcvae'\nalpha = 0.5\nbeta = 4.0\ngamma = 2.0\nestimator = 'stratified'",
    ),
    ("dip-vae-i", "kind = 'dip-vae-i'"),
    ("dip-vae-ii", "kind = 'dip-vae-ii'"),
    ("control-vae", "kind = 'control-vae'\nk_p = 0.5\nk_i = 0.1\ntarget = 0.2"),
    ("ada-gvae", "kind = 'ada-gvae'\nbeta = 2.0"),
    ("ada-ml-vae", "kind = 'ada-ml-vae'\nbeta = 2.0"),
];

struct Fixture(BTreeMap<String, NamedTensor>);

impl Fixture {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/family.safetensors");
        let tensors = read_safetensors(&path).unwrap();
        Self(tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect())
    }

    fn values(&self, name: &str) -> &[f32] {
        &self.0.get(name).unwrap_or_else(|| panic!("no {name} in the fixture")).values
    }

    /// The tensors whose names start with `prefix`, without it.
    fn group(&self, prefix: &str) -> Vec<NamedTensor> {
        let named = self.0.values().filter_map(|tensor| {
            let name = tensor.name.strip_prefix(prefix)?.to_owned();
            Some(NamedTensor { name, ..tensor.clone() })
        });
        named.collect()
    }

    fn model(&self) -> BetaVae {
        let config = ModelConfig {
            architecture: Architecture::HigginsFc,
            latents: 3,
            ..ModelConfig::default()
        };
        let mut network = Network::new(&config, [6, 5, 1].into()).unwrap();
        let widths = network.encoder.hidden.iter_mut().chain(&mut network.decoder.hidden);
        widths.for_each(|width| *width = 7);
        let parameters = self.group("param.");
        BetaVae::with_weights(network, Likelihood::Bernoulli, parameters, &Device::flex())
            .unwrap()
            .train()
    }

    fn objective(&self, settings: &str) -> Objective {
        let config = ObjectiveConfig::from_table(settings.parse().unwrap()).unwrap();
        let facts = Facts { images: 1000, batch: 6, latents: 3, image_values: 30, seed: 0 };
        let mut objective = Objective::new(&config, facts, &Device::flex()).unwrap();
        if matches!(config.kind, ObjectiveKind::FactorVae(_)) {
            let tensors = self.group("discriminator.");
            objective.restore(ObjectiveState { tensors, ..Default::default() }).unwrap();
        }
        objective
    }

    /// The batch of a step, with its second one.
    fn batch(&self, step: u64) -> Batch {
        let device = Device::flex().autodiff();
        let part = |name: &str, size: usize| {
            let start = (step as usize - 1) * size;
            self.values(name)[start..start + size].to_vec()
        };
        let batch = |suffix: &str| Batch {
            images: Tensor::from_data(
                TensorData::new(part(&format!("images{suffix}"), 180), [6, 6, 5, 1]),
                &device,
            ),
            noise: Tensor::from_data(
                TensorData::new(part(&format!("noise{suffix}"), 18), [6, 3]),
                &device,
            ),
            indices: (0..6).collect(),
            second: None,
        };
        Batch { second: Some(Box::new(batch("2"))), ..batch("") }
    }
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-12_f32, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst / scale < tolerance, "{what}: off by {worst}, scale {scale}");
}

fn assert_gradients(what: &str, found: &NamedGradients, expected: &[NamedTensor]) {
    let found: BTreeMap<_, _> = found.values().into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for tensor in expected {
        let what = format!("{what} gradient of {}", tensor.name);
        assert_close(&what, &found[&tensor.name], &tensor.values, GRADIENTS);
    }
}

#[test]
fn values_and_gradients_agree_with_pytorch() {
    let fixture = Fixture::read();
    for (case, settings) in CASES {
        let (model, objective, batch) =
            (fixture.model(), fixture.objective(settings), fixture.batch(1));
        let mut pass = Pass::train();
        let loss = objective.loss(&model, &batch, 1, &mut pass);
        let terms = loss.terms();
        let total = fixture.values(&format!("{case}.total"));
        assert_close(&format!("{case} total"), &[terms.total()], total, VALUES);
        let own = objective.own_gradients(&model, &batch, &loss, Precision::F32, 1);
        let mut found: Vec<(&str, f32)> =
            terms.losses.iter().map(|term| (term.name, term.value)).collect();
        if let Some(own) = &own {
            found.push(("discriminator_loss", own.terms[0]));
            let expected = fixture.group(&format!("{case}.own."));
            assert_gradients(&format!("{case} discriminator"), &own.parameters, &expected);
        }
        for tensor in fixture.group(&format!("{case}.term.")) {
            let (_, value) = found.iter().find(|(name, _)| *name == tensor.name).unwrap();
            let (off, most) = ((value - tensor.values[0]).abs(), VALUES * tensor.values[0].abs());
            assert!(off < most.max(TERM), "{case} {}: off by {off}", tensor.name);
        }
        let gradients = NamedGradients::collect(&model, &mut loss.total.backward());
        assert_gradients(case, &gradients, &fixture.group(&format!("{case}.grad.")));
    }
}

#[test]
fn ten_steps_follow_pytorch() {
    let fixture = Fixture::read();
    let config = OptimizerConfig { learning_rate: 5e-3, ..OptimizerConfig::default() };
    for (case, settings) in CASES {
        let (mut model, mut objective) = (fixture.model(), fixture.objective(settings));
        let mut optimizer = Optimizer::new(config);
        for step in 1..=10 {
            let batch = fixture.batch(step);
            let loss = objective.loss(&model, &batch, step, &mut Pass::train());
            let own = objective.own_gradients(&model, &batch, &loss, Precision::F32, step);
            let mut terms = loss.terms();
            let expected = fixture.values(&format!("{case}.losses"))[step as usize - 1];
            assert_close(&format!("{case} loss {step}"), &[terms.total()], &[expected], 1e-4);
            let gradients = NamedGradients::collect(&model, &mut loss.total.backward());
            model = optimizer.step(model, gradients, step);
            if let Some(own) = own {
                objective.apply_own(own.parameters, step);
            }
            objective.after_step(&mut terms, step);
        }
        let check = |found: &[NamedTensor], prefix: &str| {
            for expected in fixture.group(&format!("{case}.{prefix}.")) {
                let found = found.iter().find(|tensor| tensor.name == expected.name).unwrap();
                let what = format!("{case} {prefix} {}", expected.name);
                assert_close(&what, &found.values, &expected.values, STEPS);
            }
        };
        check(&model.to_named_tensors(), "final");
        check(&objective.state().tensors, "final-own");
    }
}

#[test]
fn settings_of_every_kind_are_those_of_the_documentation() {
    let text = include_str!("../../../../docs/configuration.md");
    for kind in ObjectiveKind::all() {
        assert!(text.contains(&format!("`{}`", kind.name())), "{}", kind.name());
        for key in crate::tagged::keys(&kind) {
            let known =
                text.contains(&format!("`objective.{key}`")) || text.contains(&format!("`.{key}`"));
            assert!(known, "objective.{key} of {}", kind.name());
        }
    }
    let recipe = Recipe::from_toml("objective.kind = 'factor-vae'").unwrap();
    assert_eq!(recipe.objective.kind.name(), "factor-vae");
}

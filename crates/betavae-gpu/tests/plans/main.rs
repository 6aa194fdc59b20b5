//! Values and gradients of whole plans against PyTorch (golden/README.md), on a software driver of Vulkan:
//!
//!     cargo test --workspace --test gpu --test plans -- --include-ignored

mod networks;

use std::collections::BTreeMap;
use std::path::Path;

use betavae_gpu::{
    Constraint, Device, Encoding, ImageStore, Images, Loss, NllKind, Plan, Rule, Session, Slot,
    StepNumbers,
};
use networks::{fully_connected, network};
use safetensors::SafeTensors;

/// Largest difference relative to the largest element.
const TOLERANCE: f32 = 2e-5;

struct Fixture(BTreeMap<String, Vec<f32>>);

impl Fixture {
    fn read(name: &str) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
        // Where the test was carried to another machine, it runs from the repository's root.
        let golden = if golden.exists() { golden } else { "golden".into() };
        let content = std::fs::read(golden.join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&content).unwrap();
        let values = |data: &[u8]| {
            let (values, _) = data.as_chunks::<4>();
            values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        Self(file.iter().map(|(name, view)| (name.to_owned(), values(view.data()))).collect())
    }

    fn group(&self, prefix: &str) -> Vec<(&str, &[f32])> {
        let all = self.0.iter();
        all.filter_map(|(name, values)| Some((name.strip_prefix(prefix)?, &values[..]))).collect()
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = largest(expected).max(1e-12);
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst}, scale {scale}");
}

fn adam() -> Rule {
    Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 }
}

fn loss(likelihood: &str, reduction: &str, values: usize) -> Loss {
    let values = values as f64;
    let sigma = 0.7_f64;
    let (nll, nll_constant, error_per_nat) = match likelihood {
        "bernoulli" => (NllKind::Bernoulli, 0.0, 1.0 / values),
        _ => {
            let constant = values * (sigma.ln() + 0.5 * std::f64::consts::TAU.ln());
            (NllKind::Gaussian { sigma }, constant, 2.0 * sigma * sigma / values)
        }
    };
    match reduction {
        "sum" => Loss {
            nll,
            nll_constant,
            nll_factor: 1.0,
            constant: nll_constant,
            constraint: Constraint::Kl,
            constraint_factor: 1.0,
        },
        _ => Loss {
            nll,
            nll_constant,
            nll_factor: error_per_nat,
            constant: 0.0,
            constraint: Constraint::Kl,
            constraint_factor: 0.00025 * 16.0,
        },
    }
}

/// The software driver, or the device of BETAVAE_TEST_DEVICE.
fn device() -> Device {
    let name = std::env::var("BETAVAE_TEST_DEVICE").unwrap_or("vulkan:software".into());
    Device::open(name.parse().unwrap()).expect("a driver, such as lavapipe's")
}

fn check(name: &str) {
    let fixture = Fixture::read(name);
    let network = network(name);
    let device = device();
    let batch = fixture.0["noise"].len() / network.latents;
    let mut cases = 0;
    for likelihood in ["bernoulli", "gaussian"] {
        for reduction in ["sum", "mean"] {
            if !fixture.0.contains_key(&format!("h_{likelihood}_{reduction}.total")) {
                assert_eq!((name, likelihood), ("pytorch-vae", "bernoulli"));
                continue;
            }
            let loss = loss(likelihood, reduction, network.image_values);
            let plan = Plan::train(&network, batch, &loss, &adam(), None);
            let mut session = Session::new(&device, plan).unwrap();
            session.write(Slot::Value, &fixture.group("param.")).unwrap();
            for (kind, beta, gamma) in [("h", 4.0, 0.0), ("b", 0.0, 10.0)] {
                let case = format!("{kind}_{likelihood}_{reduction}");
                // A learning rate of 0 leaves the parameters as they are.
                let numbers = StepNumbers { rate: 0.0, root: 1.0, weights: [beta, gamma, 1.5] };
                session
                    .step(Images::Values(&fixture.0["images"]), &fixture.0["noise"], numbers)
                    .unwrap();
                let terms = &session.take_terms().unwrap()[0];
                let close = |what: &str, found: &[f32]| {
                    let expected = &fixture.0[&format!("{case}.{what}")];
                    assert_close(&format!("{name} {case}.{what}"), found, expected);
                };
                assert_close(
                    &format!("{name} z"),
                    &session.read_map("z").unwrap(),
                    &fixture.0["z"],
                );
                close("total", &[terms.total]);
                close("reconstruction", &[terms.reconstruction]);
                close("kl_per_latent", &terms.kl_per_latent);
                assert!(!terms.bad_term && !terms.bad_gradient);
                let expected = fixture.group(&format!("{case}.grad."));
                let found = session.read(Slot::Gradient).unwrap();
                assert_eq!(found.len(), expected.len(), "{name} {case}");
                let found: BTreeMap<_, _> =
                    found.into_iter().map(|(parameter, g)| (parameter.name, g)).collect();
                for (tensor, expected) in expected {
                    let what = format!("{name} {case} gradient of {tensor}");
                    // A bias before batch norm has no influence: what is left is rounding.
                    if expected.iter().all(|value| *value == 0.0) {
                        let beside = largest(&found[&tensor.replace("bias", "weight")]);
                        assert!(largest(&found[tensor]) <= 1e-4 * beside, "{what}");
                        continue;
                    }
                    assert_close(&what, &found[tensor], expected);
                }
                cases += 1;
            }
        }
    }
    assert!(cases >= 4, "{name}");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn burgess() {
    check("burgess");
}

/// Each further constraint, with the weights of golden/family.py.
#[test]
#[ignore = "needs a software driver of Vulkan"]
fn family() {
    let fixture = Fixture::read("family");
    let network = fully_connected([6, 5, 1], &[7, 7]);
    let (batch, images) = (6, 1000.0_f64);
    let rest = batch as f64 - 1.0;
    let weighted = [-(images * batch as f64).ln(); 3];
    let stratified = [1.0 / images, (images - rest) / (images * rest), 1.0 / rest].map(f64::ln);
    let decomposition = |log_weights| Constraint::Decomposition { log_weights };
    let cases = [
        ("beta-tcvae-weighted", decomposition(weighted), [1.0, 6.0, 1.0]),
        ("beta-tcvae-stratified", decomposition(stratified), [0.5, 4.0, 2.0]),
        ("dip-vae-i", Constraint::Covariance { of_samples: false }, [10.0, 100.0, 0.0]),
        ("dip-vae-ii", Constraint::Covariance { of_samples: true }, [10.0, 10.0, 0.0]),
        ("ada-gvae", Constraint::PairKl { of_product: false }, [2.0, 0.0, 0.0]),
        ("ada-ml-vae", Constraint::PairKl { of_product: true }, [2.0, 0.0, 0.0]),
    ];
    for (case, constraint, weights) in cases {
        let sides: &[&str] = match constraint {
            Constraint::PairKl { .. } => &["", "2"],
            _ => &[""],
        };
        // The fixture has ten steps, of which this is the first.
        let first = |name: &str, values: usize| -> Vec<f32> {
            let of_side = |side| &fixture.0[&format!("{name}{side}")][..batch * values];
            sides.iter().copied().flat_map(of_side).copied().collect()
        };
        let loss = Loss { constraint, ..loss("bernoulli", "sum", network.image_values) };
        let plan = Plan::train(&network, batch * sides.len(), &loss, &adam(), None);
        let mut session = Session::new(&device(), plan).unwrap();
        session.write(Slot::Value, &fixture.group("param.")).unwrap();
        let (images, noise) = (first("images", network.image_values), first("noise", 3));
        let numbers = StepNumbers { rate: 0.0, root: 1.0, weights };
        session.step(Images::Values(&images), &noise, numbers).unwrap();
        let terms = &session.take_terms().unwrap()[0];
        assert_close(case, &[terms.total], &fixture.0[&format!("{case}.total")]);
        let names: &[&str] = match constraint {
            Constraint::Kl => &[],
            Constraint::PairKl { .. } => &["shared_latents"],
            Constraint::Covariance { .. } => &["covariance_off_diagonal", "covariance_diagonal"],
            Constraint::Decomposition { .. } => {
                &["mutual_information", "total_correlation", "dimension_wise_kl"]
            }
        };
        assert_eq!(terms.own.len(), names.len());
        for (name, found) in names.iter().zip(&terms.own) {
            let expected = fixture.0[&format!("{case}.term.{name}")][0];
            let off = (found - expected).abs();
            assert!(
                off <= TOLERANCE * expected.abs().max(1.0),
                "{case} {name}: {found} {expected}"
            );
        }
        let expected = fixture.group(&format!("{case}.grad."));
        let found = session.read(Slot::Gradient).unwrap();
        assert_eq!(found.len(), expected.len(), "{case}");
        for (parameter, found) in found {
            let expected = &fixture.0[&format!("{case}.grad.{}", parameter.name)];
            assert_close(&format!("{case} {}", parameter.name), &found, expected);
        }
    }
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn higgins_fc() {
    check("higgins-fc");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn higgins_conv() {
    check("higgins-conv");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn locatello() {
    check("locatello");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn pytorch_vae() {
    check("pytorch-vae");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn custom() {
    check("custom");
}

/// A session of a network with the parameters and the batch of its fixture.
fn session(name: &str) -> (Session, Fixture) {
    session_of(name, Constraint::Kl)
}

fn session_of(name: &str, constraint: Constraint) -> (Session, Fixture) {
    let (fixture, network) = (Fixture::read(name), network(name));
    let batch = fixture.0["noise"].len() / network.latents;
    let loss = Loss { constraint, ..loss("gaussian", "sum", network.image_values) };
    let plan = Plan::train(&network, batch, &loss, &adam(), None);
    let mut session = Session::new(&device(), plan).unwrap();
    session.write(Slot::Value, &fixture.group("param.")).unwrap();
    (session, fixture)
}

const NUMBERS: StepNumbers = StepNumbers { rate: 0.0, root: 1.0, weights: [4.0, 0.0, 0.0] };

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn every_kernel_gives_the_same_bytes_each_time() {
    for (name, constraint) in [
        ("burgess", Constraint::Kl),
        ("custom", Constraint::Kl),
        ("custom", Constraint::PairKl { of_product: true }),
        ("custom", Constraint::Covariance { of_samples: true }),
        ("custom", Constraint::Decomposition { log_weights: [-9.0, -3.5, -3.0] }),
    ] {
        let (mut session, fixture) = session_of(name, constraint);
        let batch = session.plan().batch;
        assert!(batch.is_multiple_of(2), "pairs");
        let regions: Vec<String> =
            session.plan().maps.iter().map(|region| region.name.clone()).collect();
        let once = |session: &mut Session| {
            session
                .step(Images::Values(&fixture.0["images"]), &fixture.0["noise"], NUMBERS)
                .unwrap();
            let terms = session.take_terms().unwrap();
            let gradients = session.read(Slot::Gradient).unwrap();
            let maps: Vec<Vec<f32>> =
                regions.iter().map(|region| session.read_map(region).unwrap()).collect();
            (terms, gradients, maps)
        };
        let first = once(&mut session);
        for _ in 0..20 {
            assert!(once(&mut session) == first, "{name}");
        }
    }
}

/// A step on images that stay on the device, of which the batch is some, against one whose images come from the host.
fn gathered(encoding: Encoding, levels: f32, signed: bool) {
    let (network, fixture) = (network("custom"), Fixture::read("custom"));
    let batch = fixture.0["noise"].len() / network.latents;
    let loss = loss("gaussian", "sum", network.image_values);
    let (all, values) = (3 * batch, network.image_values);
    let pixels = |image: usize| -> Vec<f32> {
        let level = |i: usize| ((image * 7919 + i * 104_729) % 1009) as f32 / 1008.0;
        (0..values).map(|i| (level(i) * levels).round() / levels).collect()
    };
    let numbers: Vec<u32> = (0..batch).map(|i| (i * 5 % all) as u32).collect();
    let scale = |value: f32| if signed { value * 2.0 - 1.0 } else { value };
    let of_batch = numbers.iter().flat_map(|image| pixels(*image as usize));
    let of_batch: Vec<f32> = of_batch.map(scale).collect();

    let mut terms = Vec::new();
    for stays in [false, true] {
        let store = ImageStore { images: all, values, encoding, signed };
        let plan = Plan::train(&network, batch, &loss, &adam(), stays.then_some(store));
        let mut session = Session::new(&device(), plan).unwrap();
        session.write(Slot::Value, &fixture.group("param.")).unwrap();
        let images = if stays {
            for first in [0, batch] {
                let images = if first == 0 { 0..batch } else { batch..all };
                let words = images.flat_map(|image| encoding.pack(&pixels(image)).unwrap());
                session.write_images(first, &words.collect::<Vec<_>>()).unwrap();
            }
            Images::Numbers(&numbers)
        } else {
            Images::Values(&of_batch)
        };
        session.step(images, &fixture.0["noise"], NUMBERS).unwrap();
        let found = session.read_map("images").unwrap();
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 4.0 * f32::EPSILON;
        assert!(found.iter().zip(&of_batch).all(close), "{encoding:?}");
        terms.push(session.take_terms().unwrap()[0].total);
    }
    assert_close("total", &terms[1..], &terms[..1]);
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn images_that_stay_on_the_device_are_those_of_the_host() {
    gathered(Encoding::Bits, 1.0, false);
    gathered(Encoding::Bytes, 255.0, false);
    gathered(Encoding::Bytes, 255.0, true);
    gathered(Encoding::Floats, 1000.0, false);
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_batch_that_no_buffer_holds_is_refused() {
    let network = network("burgess");
    let loss = loss("bernoulli", "sum", network.image_values);
    let plan = Plan::train(&network, 1_000_000, &loss, &adam(), None);
    let error = Session::new(&device(), plan).unwrap_err();
    assert!(error.to_string().contains("the maps of a batch"), "{error}");
    assert!(error.hint().contains("train.batch"));
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn tensors_of_another_network_are_refused_by_name() {
    let (mut session, fixture) = session("burgess");
    let mut tensors = fixture.group("param.");
    let (name, _) = tensors.pop().unwrap();
    let error = session.write(Slot::Value, &tensors).unwrap_err().to_string();
    assert!(error.contains("expected") && error.contains("found"), "{error}");
    tensors.push((name, &[1.0]));
    let error = session.write(Slot::Value, &tensors).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("found 1"), "{error}");
    let last = tensors.len() - 1;
    tensors[last] = ("encoder.other", &[1.0]);
    let error = session.write(Slot::Value, &tensors).unwrap_err().to_string();
    assert!(error.contains(&format!("missing {name}")), "{error}");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn a_device_that_is_lost_is_one_error() {
    let (mut session, fixture) = session("burgess");
    session.step(Images::Values(&fixture.0["images"]), &fixture.0["noise"], NUMBERS).unwrap();
    session.take_terms().unwrap();
    session.device().lose();
    let step = session.step(Images::Values(&fixture.0["images"]), &fixture.0["noise"], NUMBERS);
    let error = step.and_then(|()| session.take_terms().map(drop)).unwrap_err();
    assert!(error.to_string().contains("is lost"), "{error}");
    assert!(error.hint().contains("betavae resume"));
}

#[test]
fn every_program_is_valid_without_a_driver() {
    use wgpu::naga::front::wgsl;
    use wgpu::naga::valid::{Capabilities, ValidationFlags, Validator};

    let network = network("custom");
    let constraints = [
        Constraint::Kl,
        Constraint::PairKl { of_product: false },
        Constraint::PairKl { of_product: true },
        Constraint::Covariance { of_samples: true },
        Constraint::Decomposition { log_weights: [-9.0, -3.5, -3.0] },
    ];
    for constraint in constraints {
        let values = network.image_values;
        let store = ImageStore { images: 9, values, encoding: Encoding::Bytes, signed: true };
        let loss = Loss { constraint, ..loss("bernoulli", "sum", values) };
        let plan = Plan::train(&network, 4, &loss, &adam(), Some(store));
        let passes = [Plan::encode(&network, 4), Plan::decode(&network, 4)];
        for launch in plan.launches.iter().chain(passes.iter().flat_map(|plan| &plan.launches)) {
            let text = launch.source();
            let module = wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&text)));
            let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
            if let Err(error) = validator.validate(&module) {
                panic!("{}: {}", launch.what, error.emit_to_string(&text));
            }
        }
    }
}

#[test]
fn a_plan_reads_as_a_table() {
    let network = network("custom");
    let loss = loss("gaussian", "mean", network.image_values);
    let plan = Plan::train(&network, 4, &loss, &adam(), None);
    let table = plan.to_string();
    assert_eq!(table.lines().count(), plan.launches.len() + 2);
    assert!(table.contains("weights of encoder.conv.1") && table.contains("norm sums"), "{table}");
}

#[test]
#[ignore = "needs a software driver of Vulkan"]
fn every_launch_is_measured() {
    let (mut session, fixture) = session("burgess");
    session.step(Images::Values(&fixture.0["images"]), &fixture.0["noise"], NUMBERS).unwrap();
    let seconds = session.measure(3).unwrap();
    assert_eq!(seconds.len(), session.plan().launches.len());
    assert!(seconds.iter().all(|seconds| *seconds > 0.0));
}

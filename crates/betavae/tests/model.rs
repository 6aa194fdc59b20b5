//! Networks for every shape, initial weights, weights by name, and what the public types promise.

use betavae::data::ImageShape;
use betavae::model::{
    Activation, Architecture, BetaVae, Likelihood, ModelConfig, NamedTensor, Network, Norm, Pass,
    values,
};
use betavae::{Device, Error, Tensor};

const GAUSSIAN: Likelihood = Likelihood::Gaussian { sigma: 1.0 };

/// Every architecture, `pytorch-vae` and `custom` with small widths.
fn configs() -> [ModelConfig; 7] {
    use Architecture::{Burgess, Custom, HigginsConv, HigginsFc, Locatello, PytorchVae};
    let plain = |architecture| ModelConfig { architecture, latents: 3, ..Default::default() };
    let widths = |architecture, widths: &[usize], kernel| ModelConfig {
        widths: Some(widths.to_vec()),
        kernel,
        ..plain(architecture)
    };
    [
        plain(Burgess),
        plain(HigginsFc),
        plain(HigginsConv),
        plain(Locatello),
        widths(PytorchVae, &[4, 4, 8, 8, 8], None),
        ModelConfig {
            norm: Some(Norm::Batch),
            activation: Some(Activation::Tanh),
            ..widths(Custom, &[3, 5], Some(5))
        },
        ModelConfig { hidden: Some(vec![]), ..widths(Custom, &[4, 4, 4], Some(2)) },
    ]
}

fn build(config: &ModelConfig, shape: [usize; 3], seed: u64) -> BetaVae {
    let network = Network::new(config, ImageShape::from(shape)).unwrap();
    BetaVae::new(network, GAUSSIAN, seed, &Device::flex()).unwrap()
}

#[test]
fn every_network_takes_every_size_and_number_of_channels() {
    let shapes = [[64, 64, 1], [64, 48, 3], [33, 47, 2], [40, 100, 4], [28, 28, 1]];
    for config in configs() {
        for [height, width, channels] in shapes {
            let model = build(&config, [height, width, channels], 1);
            let images = Tensor::zeros([2, height, width, channels], &Device::flex()) + 0.25;
            let noise = Tensor::zeros([2, 3], &Device::flex());
            let forward = model.forward(images.clone(), noise, &mut Pass::train());
            let dims = [2, height, width, channels];
            assert_eq!(model.decode(forward.z.inner()).dims(), dims, "{:?}", config.architecture);
            assert_eq!(forward.posterior.log_var.dims(), [2, 3]);
            let copies = model.reconstruct(images);
            assert_eq!(copies.dims(), dims);
            assert!(values(copies).iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}

#[test]
fn images_that_are_too_small_are_refused_with_both_sizes() {
    for (architecture, side) in [(Architecture::Burgess, 7), (Architecture::HigginsConv, 15)] {
        let config = ModelConfig { architecture, ..Default::default() };
        let error = Network::new(&config, ImageShape::new(side, 64, 1)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&format!("{side}x64x1")), "{message}");
        assert!(message.contains(&format!("at least {}", side + 1)), "{message}");
    }
}

#[test]
fn one_configuration_gives_one_network_however_often_it_is_used() {
    for config in configs() {
        let before = config.clone();
        let first = build(&config, [32, 32, 1], 5);
        let second = build(&config, [32, 32, 1], 5);
        assert_eq!(config, before);
        assert_eq!(first.network(), second.network());
        assert_eq!(first.to_named_tensors(), second.to_named_tensors());
        assert_ne!(first.to_named_tensors(), build(&config, [32, 32, 1], 6).to_named_tensors());
    }
}

#[test]
fn initial_weights_have_the_default_distribution_of_pytorch() {
    let tensors = build(&ModelConfig::default(), [64, 64, 1], 1).to_named_tensors();
    // Fan-in: for a transposed convolution PyTorch takes the output channels.
    for (name, fan_in) in [
        ("encoder.conv.1.weight", 32 * 16),
        ("encoder.conv.1.bias", 32 * 16),
        ("encoder.hidden.0.weight", 512),
        ("encoder.mean.weight", 256),
        ("decoder.conv_transpose.0.weight", 32 * 16),
        ("decoder.conv_transpose.3.weight", 16),
        ("decoder.project.weight", 256),
    ] {
        let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
        let bound = 1.0 / (fan_in as f32).sqrt();
        let largest = tensor.values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(largest <= bound && largest > 0.8 * bound, "{name}: {largest} of {bound}");
        if tensor.values.len() > 500 {
            let variance = tensor.values.iter().map(|v| v * v).sum::<f32>();
            let variance = variance / tensor.values.len() as f32;
            let expected = bound * bound / 3.0;
            assert!((variance / expected - 1.0).abs() < 0.15, "{name}: {variance}");
        }
    }
}

#[test]
fn evaluation_does_not_depend_on_the_rest_of_the_batch() {
    for config in configs() {
        let model = build(&config, [32, 32, 1], 2);
        let images = model.sample(4, 9);
        let together = values(model.encode(images.clone()).mean);
        let alone = values(model.encode(images.narrow(0, 2, 1)).mean);
        let same = alone.iter().zip(&together[6..9]).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(same, "{:?}", config.architecture);
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let config = ModelConfig { architecture: Architecture::HigginsFc, ..Default::default() };
    let model = || build(&config, [8, 8, 1], 1);
    let mut tensors = model().to_named_tensors();
    assert!(model().with_named_tensors(tensors.clone()).is_ok());
    let removed = tensors.remove(0);
    let mut wrong = tensors[0].clone();
    wrong.shape = vec![1];
    wrong.values = vec![0.0];
    tensors[0] = wrong;
    tensors.push(NamedTensor { name: "extra".into(), shape: vec![1], values: vec![0.0] });
    let Error::Mismatch { found, .. } = model().with_named_tensors(tensors).unwrap_err() else {
        panic!("another error");
    };
    assert!(found.contains(&format!("missing {}", removed.name)), "{found}");
    assert!(found.contains("encoder.hidden.0.bias is [1], not [1200]"), "{found}");
    assert!(found.contains("unused extra"), "{found}");
}

#[test]
fn running_averages_are_saved_but_not_trained() {
    let model = build(&configs()[4], [32, 32, 3], 1);
    let named = model.to_named_tensors();
    let all: usize = named.iter().map(|tensor| tensor.values.len()).sum();
    let running = named.iter().filter(|tensor| tensor.name.contains(".running_"));
    let running: usize = running.map(|tensor| tensor.values.len()).sum();
    assert!(running > 0);
    assert_eq!(model.parameter_count(), all - running);
}

#[test]
fn public_types_can_cross_threads() {
    fn check<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    check::<BetaVae>();
    check::<betavae::train::Trainer>();
    check::<betavae::run::Run>();
    shared::<Error>();
    shared::<betavae::config::Config>();
    shared::<betavae::data::dsprites::DSprites>();
    shared::<Network>();
}

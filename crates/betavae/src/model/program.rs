//! Layers as operations of a program, which is what is left of a model when nothing is to be trained any more.

use betavae_infer::Op;
use betavae_kernels::Activation;

use super::layers::{ConvLayer, Linear};
use super::weights::values;
use crate::data::ImageShape;

/// Convolutions as an operation; nothing if there are none.
pub(super) fn convs(input: ImageShape, layers: Vec<ConvLayer>) -> Option<Op> {
    let parameters = |(layer, (weight, bias)): ConvLayer| (layer, (values(weight), values(bias)));
    let (layers, parameters): (Vec<_>, Vec<_>) = layers.into_iter().map(parameters).unzip();
    (!layers.is_empty()).then(|| Op::ConvStack { input_shape: input.into(), layers, parameters })
}

/// A linear layer as an operation.
pub(super) fn linear(layer: &Linear, activation: Activation) -> Op {
    Op::Linear { weight: values(layer.weight.val()), bias: values(layer.bias.val()), activation }
}

#[cfg(test)]
mod tests {
    use betavae_infer::Program;

    use super::super::{Architecture, BetaVae, Likelihood, ModelConfig, Network};
    use super::*;
    use crate::Device;
    use crate::random::Stream;

    /// Programs of every architecture compute what the model computes.
    #[test]
    fn programs_compute_what_models_compute() {
        let device = Device::flex();
        let custom = ModelConfig {
            architecture: Architecture::Custom,
            widths: Some(vec![5, 7]),
            norm: Some(super::super::Norm::Batch),
            ..ModelConfig::default()
        };
        let preset = |architecture| ModelConfig { architecture, ..ModelConfig::default() };
        let small = ModelConfig { widths: Some(vec![4, 6]), ..preset(Architecture::PytorchVae) };
        for (config, image, likelihood) in [
            (preset(Architecture::Burgess), [32, 40, 1], Likelihood::Bernoulli),
            (preset(Architecture::HigginsFc), [16, 16, 1], Likelihood::Bernoulli),
            (preset(Architecture::Locatello), [33, 32, 3], Likelihood::Gaussian { sigma: 1.0 }),
            (small, [21, 19, 3], Likelihood::Gaussian { sigma: 1.0 }),
            (custom, [20, 12, 2], Likelihood::Bernoulli),
        ] {
            let network = Network::new(&config, image.into()).unwrap();
            let model = BetaVae::new(network, likelihood, 3, &device).unwrap();
            let all: usize = model.to_named_tensors().iter().map(|t| t.values.len()).sum();
            assert_eq!(model.network().values(), Some(all), "{config:?}");
            let program = model.to_program();
            let words = program.to_words();
            assert_eq!(Program::from_words(&words).as_ref(), Ok(&program), "{config:?}");
            let images = model.sample(2, 5);
            let posterior = model.encode(images.clone());
            let pixels = values(images);
            let codes = program.encode(&pixels);
            let expected = [posterior.mean, posterior.log_var].map(values);
            for (row, codes) in codes.chunks(2 * model.latents()).enumerate() {
                for (i, code) in codes.iter().enumerate() {
                    let part = &expected[i / model.latents()];
                    let expected = part[row * model.latents() + i % model.latents()];
                    assert!((code - expected).abs() < 1e-5, "{config:?}: {code}, {expected}");
                }
            }
            let z = Stream::new(1, "z", 0).normals(2 * model.latents());
            let data = burn::tensor::TensorData::new(z.clone(), [2, model.latents()]);
            let expected = values(model.decode(burn::Tensor::from_data(data, &device)));
            let found = program.decode(&z);
            assert_eq!(found.len(), expected.len());
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0.0, f32::max);
            assert!(worst < 1e-5, "{config:?}: {worst}");
        }
    }
}

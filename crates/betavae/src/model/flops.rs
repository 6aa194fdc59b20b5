//! What a network costs, counted from its description.

use betavae_kernels::Layer;

use super::network::{Network, shrink};
use crate::data::ImageShape;

/// Floating point operations per image of the direct algorithms, two per multiply-add. Norms,
/// activations, losses and the optimiser are not counted, the zeros of paddings are: PyTorch's
/// counter has the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flops {
    /// Image to posterior.
    pub encode: u64,
    /// Image to posterior to image.
    pub forward: u64,
    /// `forward`, and the gradients by all weights and by the input of every layer but the first.
    pub train: u64,
}

/// A convolution of a network.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Of its parameters, without `.weight`.
    pub name: String,
    /// Shape [H, W, C] of its input.
    pub input: [usize; 3],
    /// What it does.
    pub layer: Layer,
}

impl Convolution {
    fn new(name: String, input: ImageShape, layer: Layer) -> Self {
        Self { name, input: [input.height, input.width, input.channels], layer }
    }

    /// Multiplications.
    fn products(&self) -> usize {
        let [height, width, channels] = self.input;
        let pixels = match (self.layer.transposed, self.layer.output(self.input)) {
            (None, Some([height, width, _])) => height * width,
            _ => height * width,
        };
        pixels * channels * self.layer.filters * self.layer.kernel.pow(2)
    }
}

impl Network {
    /// The cost of one image.
    pub fn flops(&self) -> Flops {
        let encoder = self.encoder_products();
        let encode: usize = encoder.iter().sum();
        let forward = encode + self.decoder_products();
        let first = encoder.first().copied().unwrap_or_default();
        let flops = |products: usize| 2 * products as u64;
        Flops { encode: flops(encode), forward: flops(forward), train: flops(3 * forward - first) }
    }

    /// The convolutions in order, with their parameters' names and the shapes [H, W, C] of their
    /// inputs.
    pub fn convolutions(&self) -> Vec<Convolution> {
        let mut all = self.encoder_convolutions();
        all.extend(self.decoder_convolutions());
        all
    }

    fn encoder_convolutions(&self) -> Vec<Convolution> {
        let mut map = self.image;
        let mut all = Vec::new();
        for (i, conv) in self.encoder.convs.iter().enumerate() {
            let layer = conv.layer(self.encoder.activation);
            all.push(Convolution::new(format!("encoder.conv.{i}"), map, layer));
            // `Network::new` has checked that the images are large enough.
            map = shrink(map, *conv).unwrap_or(map);
        }
        all
    }

    fn decoder_convolutions(&self) -> Vec<Convolution> {
        let decoder = &self.decoder;
        let mut shape = [decoder.start.height, decoder.start.width, decoder.start.channels];
        let mut all = Vec::new();
        let transposed = decoder.convs.iter().enumerate().map(|(i, conv)| {
            (format!("decoder.conv_transpose.{i}"), conv.layer(decoder.activation))
        });
        let output = decoder.output.iter();
        let output =
            output.map(|conv| ("decoder.output".into(), conv.layer(decoder.output_activation)));
        for (name, layer) in transposed.chain(output) {
            all.push(Convolution { name, input: shape, layer });
            shape = layer.output(shape).unwrap_or(shape);
        }
        all
    }

    /// Multiplications of each layer; both heads are one.
    fn encoder_products(&self) -> Vec<usize> {
        let convolutions = self.encoder_convolutions();
        let mut products: Vec<_> = convolutions.iter().map(Convolution::products).collect();
        let mut features = self.encoded().values();
        for width in self.encoder.hidden.iter().copied().chain([2 * self.latents]) {
            products.push(features * width);
            features = width;
        }
        products
    }

    fn decoder_products(&self) -> usize {
        let (mut features, mut products) = (self.latents, 0);
        for width in self.decoder.hidden.iter().copied().chain([self.decoder.start.values()]) {
            products += features * width;
            features = width;
        }
        products + self.decoder_convolutions().iter().map(Convolution::products).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use crate::data::ImageShape;
    use crate::model::{Architecture, ModelConfig, Network};

    /// Operations of a batch of 64 in 10^9: encoding, training.
    fn batch(architecture: Architecture, latents: usize, channels: usize) -> (f64, f64) {
        let config = ModelConfig { architecture, latents, ..ModelConfig::default() };
        let network = Network::new(&config, ImageShape::new(64, 64, channels)).unwrap();
        let flops = network.flops();
        (64e-9 * flops.encode as f64, 64e-9 * flops.train as f64)
    }

    #[test]
    fn counts_agree_with_pytorch() {
        let (encode, train) = batch(Architecture::Burgess, 10, 1);
        assert!((encode - 0.798).abs() < 5e-4 && (train - 4.717).abs() < 5e-4, "{encode} {train}");
        let (_, train) = batch(Architecture::HigginsFc, 10, 1);
        assert!((train - 4.818).abs() < 5e-4, "{train}");
        let (_, train) = batch(Architecture::PytorchVae, 128, 3);
        assert!((train - 20.007).abs() < 5e-4, "{train}");
    }

    #[test]
    fn a_forward_pass_of_burgess_is_25_million() {
        let network = Network::new(&ModelConfig::default(), ImageShape::new(64, 64, 1)).unwrap();
        let flops = network.flops();
        assert_eq!((flops.forward + 50_000) / 100_000, 249);
        assert_eq!((flops.train + 50_000) / 100_000, 737);
    }
}

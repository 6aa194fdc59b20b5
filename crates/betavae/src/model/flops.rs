//! What a network costs, counted from its description.

use super::Network;
use super::network::shrink;

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

    /// Multiplications of each layer; both heads are one.
    fn encoder_products(&self) -> Vec<usize> {
        let mut map = self.image;
        let mut products = Vec::new();
        for conv in &self.encoder.convs {
            let channels = map.channels;
            // `Network::new` has checked that the images are large enough.
            map = shrink(map, *conv).unwrap_or(map);
            products.push(map.values() * channels * conv.kernel.pow(2));
        }
        let mut features = self.encoded().values();
        for width in self.encoder.hidden.iter().copied().chain([2 * self.latents]) {
            products.push(features * width);
            features = width;
        }
        products
    }

    fn decoder_products(&self) -> usize {
        let mut map = self.decoder.start;
        let (mut features, mut products) = (self.latents, 0);
        for width in self.decoder.hidden.iter().copied().chain([map.values()]) {
            products += features * width;
            features = width;
        }
        for conv in &self.decoder.convs {
            products += map.values() * conv.filters * conv.kernel.pow(2);
            let side = |n: usize, more: usize| {
                (n - 1) * conv.window.stride + conv.kernel + more - 2 * conv.window.padding
            };
            map.height = side(map.height, conv.output_padding[0]);
            map.width = side(map.width, conv.output_padding[1]);
            map.channels = conv.filters;
        }
        if let Some(conv) = self.decoder.output {
            let image = shrink(map, conv).unwrap_or(map);
            products += image.values() * map.channels * conv.kernel.pow(2);
        }
        products
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

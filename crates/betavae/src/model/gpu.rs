//! A network as plans of launches on a GPU have it.

use betavae_gpu as gpu;
use betavae_kernels::Activation;

use super::config::Norm;
use super::network::Network;

impl Network {
    /// The same layers under the same names.
    pub(crate) fn for_gpu(&self) -> gpu::Network {
        gpu::Network {
            image_values: self.image.values(),
            latents: self.latents,
            encoder: self.encoder_for_gpu(),
            decoder: self.decoder_for_gpu(),
        }
    }

    fn encoder_for_gpu(&self) -> Vec<gpu::Layer> {
        let spec = &self.encoder;
        let mut map: [usize; 3] = self.image.into();
        let mut layers = Vec::new();
        for (i, conv) in spec.convs.iter().enumerate() {
            let conv = conv.layer(spec.activation);
            let layer = gpu::Layer::conv(&format!("encoder.conv.{i}"), map, &conv);
            layers.push(match self.norm {
                Norm::Batch => layer.normalised(&format!("encoder.norm.{i}")),
                Norm::None => layer,
            });
            map = conv.output(map).unwrap_or_else(|| unreachable!("the network was checked"));
        }
        for (i, width) in spec.hidden.iter().enumerate() {
            let (name, output) = (format!("encoder.hidden.{i}"), [1, 1, *width]);
            layers.push(gpu::Layer::linear(&[&name], map, output, spec.activation));
            map = output;
        }
        let heads = ["encoder.mean", "encoder.log_var"];
        let output = [1, 1, 2 * self.latents];
        layers.push(gpu::Layer::linear(&heads, map, output, Activation::Identity));
        layers
    }

    fn decoder_for_gpu(&self) -> Vec<gpu::Layer> {
        let spec = &self.decoder;
        let mut map = [1, 1, self.latents];
        let mut layers = Vec::new();
        for (i, width) in spec.hidden.iter().enumerate() {
            let (name, output) = (format!("decoder.hidden.{i}"), [1, 1, *width]);
            layers.push(gpu::Layer::linear(&[&name], map, output, spec.activation));
            map = output;
        }
        let start = spec.start.into();
        let project = ["decoder.project"];
        layers.push(gpu::Layer::linear(&project, map, start, spec.project_activation));
        map = start;
        for (i, conv) in spec.convs.iter().enumerate() {
            let makes_image = i + 1 == spec.convs.len() && spec.output.is_none();
            let activation = if makes_image { spec.output_activation } else { spec.activation };
            let conv = conv.layer(activation);
            let layer = gpu::Layer::conv(&format!("decoder.conv_transpose.{i}"), map, &conv);
            layers.push(match self.norm {
                Norm::Batch if !makes_image => layer.normalised(&format!("decoder.norm.{i}")),
                Norm::Batch | Norm::None => layer,
            });
            map = conv.output(map).unwrap_or_else(|| unreachable!("the network was checked"));
        }
        if let Some(conv) = spec.output {
            let conv = conv.layer(spec.output_activation);
            layers.push(gpu::Layer::conv("decoder.output", map, &conv));
        }
        layers
    }
}

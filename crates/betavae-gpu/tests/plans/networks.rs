//! The networks of the fixtures, as plans have them.

use betavae_gpu::{Layer, Network};
use betavae_kernels::{Activation, ConvOptions, Layer as ConvLayer};

/// A network that mirrors itself: widths and kernel of the convolutions, hidden widths, in the order of the encoder.
struct Shape<'a> {
    image: [usize; 3],
    latents: usize,
    convs: &'a [(usize, usize)],
    hidden: &'a [usize],
    activation: Activation,
    norm: bool,
}

fn conv(filters: usize, kernel: usize, activation: Activation) -> ConvLayer {
    let options = ConvOptions { stride: 2, padding: (kernel - 1) / 2 };
    ConvLayer { transposed: None, filters, kernel, options, activation }
}

/// The transposed convolution that goes back from `from` to `to`.
fn back(from: [usize; 3], to: [usize; 3], conv: ConvLayer) -> ConvLayer {
    let ConvOptions { stride, padding } = conv.options;
    let missing = |i: usize| to[i] + 2 * padding - (from[i] - 1) * stride - conv.kernel;
    ConvLayer { transposed: Some([missing(0), missing(1)]), filters: to[2], ..conv }
}

impl Shape<'_> {
    fn encoder(&self) -> (Vec<Layer>, Vec<[usize; 3]>) {
        let mut maps = vec![self.image];
        let mut layers = Vec::new();
        for (i, &(filters, kernel)) in self.convs.iter().enumerate() {
            let conv = conv(filters, kernel, self.activation);
            let layer = Layer::conv(&format!("encoder.conv.{i}"), maps[i], &conv);
            layers.push(match self.norm {
                true => layer.normalised(&format!("encoder.norm.{i}")),
                false => layer,
            });
            maps.push(conv.output(maps[i]).unwrap());
        }
        let mut features = maps[self.convs.len()];
        for (i, width) in self.hidden.iter().enumerate() {
            let name = format!("encoder.hidden.{i}");
            layers.push(Layer::linear(&[&name], features, [1, 1, *width], self.activation));
            features = [1, 1, *width];
        }
        let heads = ["encoder.mean", "encoder.log_var"];
        let both = [1, 1, 2 * self.latents];
        layers.push(Layer::linear(&heads, features, both, Activation::Identity));
        (layers, maps)
    }

    fn network(&self) -> Network {
        let (encoder, maps) = self.encoder();
        let mut features = [1, 1, self.latents];
        let mut decoder = Vec::new();
        for (i, width) in self.hidden.iter().rev().enumerate() {
            let name = format!("decoder.hidden.{i}");
            decoder.push(Layer::linear(&[&name], features, [1, 1, *width], self.activation));
            features = [1, 1, *width];
        }
        let start = maps[self.convs.len()];
        decoder.push(Layer::linear(&["decoder.project"], features, start, self.activation));
        let count = self.convs.len();
        for i in 0..count {
            let (from, to) = (maps[count - i], maps[count - i - 1]);
            let (filters, kernel) = self.convs[count - i - 1];
            let is_last = i + 1 == count;
            let activation = if is_last { Activation::Identity } else { self.activation };
            let conv = back(from, to, conv(filters, kernel, activation));
            let layer = Layer::conv(&format!("decoder.conv_transpose.{i}"), from, &conv);
            decoder.push(match self.norm && !is_last {
                true => layer.normalised(&format!("decoder.norm.{i}")),
                false => layer,
            });
        }
        let image_values = self.image.iter().product();
        Network { image_values, latents: self.latents, encoder, decoder }
    }
}

/// The network of Higgins et al. 2017, whose decoder has a layer more than its encoder.
pub fn fully_connected(image: [usize; 3], hidden: &[usize]) -> Network {
    let activation = Activation::Relu;
    let shape = Shape { image, latents: 3, convs: &[], hidden, activation, norm: false };
    let (encoder, _) = shape.encoder();
    let mut features = [1, 1, 3];
    let mut decoder = Vec::new();
    for i in 0..=hidden.len() {
        let (name, output) = (format!("decoder.hidden.{i}"), [1, 1, hidden[0]]);
        decoder.push(Layer::linear(&[&name], features, output, Activation::Tanh));
        features = output;
    }
    decoder.push(Layer::linear(&["decoder.project"], features, image, Activation::Identity));
    Network { image_values: image.iter().product(), latents: 3, encoder, decoder }
}

/// The network of a fixture.
pub fn network(name: &str) -> Network {
    let relu = Activation::Relu;
    match name {
        "burgess" => Shape {
            image: [32, 32, 1],
            latents: 3,
            convs: &[(4, 4); 3],
            hidden: &[8, 8],
            activation: relu,
            norm: false,
        }
        .network(),
        "higgins-conv" => Shape {
            image: [32, 16, 3],
            latents: 4,
            convs: &[(2, 4), (2, 4), (4, 4), (4, 4)],
            hidden: &[8],
            activation: relu,
            norm: false,
        }
        .network(),
        "custom" => Shape {
            image: [13, 10, 2],
            latents: 3,
            convs: &[(3, 5), (5, 5)],
            hidden: &[7],
            activation: Activation::LeakyRelu,
            norm: true,
        }
        .network(),
        "higgins-fc" => fully_connected([8, 8, 1], &[12, 12]),
        "locatello" => {
            let shape = Shape {
                image: [16, 32, 1],
                latents: 4,
                convs: &[(2, 4), (2, 4), (4, 2), (4, 2)],
                hidden: &[8],
                activation: relu,
                norm: false,
            };
            let (encoder, maps) = shape.encoder();
            let mut network = shape.network();
            network.encoder = encoder;
            // Its decoder has 4x4 kernels throughout.
            for i in 0..4 {
                let activation = if i == 3 { Activation::Identity } else { relu };
                let (from, to) = (maps[4 - i], maps[3 - i]);
                let conv = back(from, to, conv(to[2], 4, activation));
                let at = network.decoder.len() - 4 + i;
                let name = format!("decoder.conv_transpose.{i}");
                network.decoder[at] = Layer::conv(&name, from, &conv);
            }
            network
        }
        "pytorch-vae" => {
            let leaky = Activation::LeakyRelu;
            let shape = Shape {
                image: [24, 20, 3],
                latents: 4,
                convs: &[(4, 3), (4, 3), (6, 3), (6, 3), (8, 3)],
                hidden: &[],
                activation: leaky,
                norm: true,
            };
            let (_, maps) = shape.encoder();
            let mut network = shape.network();
            let start = maps[5];
            network.decoder[0] =
                Layer::linear(&["decoder.project"], [1, 1, 4], start, Activation::Identity);
            // Its last transposed convolution has the first width, and a plain one makes the image.
            let to = [24, 20, 4];
            let last = back(maps[1], to, conv(4, 3, leaky));
            let at = network.decoder.len() - 1;
            network.decoder[at] = Layer::conv("decoder.conv_transpose.4", maps[1], &last)
                .normalised("decoder.norm.4");
            let output = ConvLayer {
                transposed: None,
                filters: 3,
                kernel: 3,
                options: ConvOptions { stride: 1, padding: 1 },
                activation: Activation::Tanh,
            };
            network.decoder.push(Layer::conv("decoder.output", to, &output));
            network
        }
        _ => panic!("no network {name}"),
    }
}

//! What a network looks like to a plan: layers that connect a large map with a small one.

use betavae_kernels::{Activation, Layer as ConvLayer};

/// A parameter, as others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Such as `encoder.conv.0.weight`.
    pub name: String,
    /// Lengths of its axes.
    pub shape: Vec<usize>,
}

impl Parameter {
    fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), shape: shape.to_vec() }
    }

    /// The number of its values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which of its two maps a layer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The small one, as convolutions and linear layers do.
    Down,
    /// The large one, as transposed convolutions do.
    Up,
}

/// How the maps of a layer meet: pixel (y, x) of the small one the `kernel` x `kernel` pixels of the large one from
/// (y * stride - padding, x * stride - padding) on. Maps are [H, W, C].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The small map.
    pub small: [usize; 3],
    /// The large map.
    pub large: [usize; 3],
    /// Side of the kernel.
    pub kernel: usize,
    /// Pixels between receptive fields.
    pub stride: usize,
    /// Zeros around the large map.
    pub padding: usize,
    /// Pixels of the map whose values, channel by channel, are the features of the small side; 1 elsewhere than at linear
    /// layers that make a map.
    pub small_pixels: usize,
    /// The same of the large side, of linear layers that take a map.
    pub large_pixels: usize,
}

/// A layer with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its weights [small, large, kernel, kernel]; several where layers of the same input are taken together.
    pub weights: Vec<Parameter>,
    /// Its biases, as many.
    pub biases: Vec<Parameter>,
    /// What batch normalisation after it is called, if there is one.
    pub norm: Option<String>,
    /// What follows.
    pub activation: Activation,
    /// Which map it makes.
    pub direction: Direction,
    /// How its maps meet.
    pub geometry: Geometry,
}

impl Layer {
    /// A convolution or transposed convolution of maps [H, W, C].
    ///
    /// # Panics
    /// If the map is too small for it.
    pub fn conv(name: &str, input: [usize; 3], layer: &ConvLayer) -> Self {
        let output = layer.output(input).unwrap_or_else(|| panic!("{name} fits {input:?}"));
        let (direction, small, large) = match layer.transposed {
            None => (Direction::Down, output, input),
            Some(_) => (Direction::Up, input, output),
        };
        let shape = [small[2], large[2], layer.kernel, layer.kernel];
        Self {
            weights: vec![Parameter::new(format!("{name}.weight"), &shape)],
            biases: vec![Parameter::new(format!("{name}.bias"), &[layer.filters])],
            norm: None,
            activation: layer.activation,
            direction,
            geometry: Geometry {
                small,
                large,
                kernel: layer.kernel,
                stride: layer.options.stride,
                padding: layer.options.padding,
                small_pixels: 1,
                large_pixels: 1,
            },
        }
    }

    /// Linear layers of one input, side by side, from a map [H, W, C] of features to another.
    pub fn linear(
        names: &[&str],
        input: [usize; 3],
        output: [usize; 3],
        activation: Activation,
    ) -> Self {
        let features = |map: [usize; 3]| map.iter().product::<usize>();
        let (inputs, outputs) = (features(input), features(output) / names.len());
        let parameters = |kind: &str, shape: &[usize]| {
            names.iter().map(|name| Parameter::new(format!("{name}.{kind}"), shape)).collect()
        };
        Self {
            weights: parameters("weight", &[outputs, inputs]),
            biases: parameters("bias", &[outputs]),
            norm: None,
            activation,
            direction: Direction::Down,
            geometry: Geometry {
                small: [1, 1, outputs * names.len()],
                large: [1, 1, inputs],
                kernel: 1,
                stride: 1,
                padding: 0,
                small_pixels: output[0] * output[1],
                large_pixels: input[0] * input[1],
            },
        }
    }

    /// The same with batch normalisation before the activation.
    #[must_use]
    pub fn normalised(self, name: &str) -> Self {
        Self { norm: Some(name.to_owned()), ..self }
    }

    /// Values per image that it makes.
    pub fn outputs(&self) -> usize {
        let map = match self.direction {
            Direction::Down => self.geometry.small,
            Direction::Up => self.geometry.large,
        };
        map.iter().product()
    }

    /// Channels of the map that it makes.
    pub fn channels(&self) -> usize {
        match self.direction {
            Direction::Down => self.geometry.small[2],
            Direction::Up => self.geometry.large[2],
        }
    }
}

/// A variational autoencoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Values of an image.
    pub image_values: usize,
    /// Number of latents D.
    pub latents: usize,
    /// From an image to 2 D numbers: means, then log-variances.
    pub encoder: Vec<Layer>,
    /// From D latents to an image.
    pub decoder: Vec<Layer>,
}

impl Network {
    /// All layers in their order.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.encoder.iter().chain(&self.decoder)
    }
}

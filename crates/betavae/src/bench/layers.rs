//! The speed of each convolution's kernels.

use betavae_kernels::{LayerSpeed, Precision, layer_speed};
use serde::Serialize;

use super::BenchOptions;
use crate::cpu;
use crate::error::Result;
use crate::model::{Architecture, Convolution, ModelConfig, Network};

/// How fast the kernels of one convolution are on one thread, with everything in the cache that has
/// room there. In 10^9 floating point operations per second of the direct algorithms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerMeasurement {
    /// Which network.
    pub architecture: Architecture,
    /// How operands are multiplied.
    pub precision: Precision,
    /// Name of its parameters.
    pub layer: String,
    /// Shape [H, W, C] of the input.
    pub input: [usize; 3],
    /// Shape [H, W, C] of the output.
    pub output: [usize; 3],
    /// Side of the kernel.
    pub kernel: usize,
    /// With bias and activation.
    pub forward: f64,
    /// By the input.
    pub input_gradient: f64,
    /// By the weights.
    pub weight_gradient: f64,
    /// What one thread reaches in registers alone, measured just before.
    pub peak: f64,
    /// What the kernels used of the processor.
    pub instruction_set: &'static str,
}

/// Measures the convolutions of a network one after the other.
///
/// # Errors
/// If the images are too small for the network, or `BETAVAE_SIMD` names nothing this machine has.
pub fn measure_layers(options: &BenchOptions) -> Result<Vec<LayerMeasurement>> {
    let BenchOptions { architecture, image, latents, precision, .. } = *options;
    let network =
        Network::new(&ModelConfig { architecture, latents, ..ModelConfig::default() }, image)?;
    let instruction_set = cpu::instruction_set()?;
    let measure = |Convolution { name, input, layer }| {
        let peak = cpu::thread_peak_gflops();
        let LayerSpeed { forward, input_gradient, weight_gradient } =
            layer_speed(precision, input, layer);
        LayerMeasurement {
            architecture,
            precision,
            layer: name,
            input,
            output: layer.output(input).unwrap_or_default(),
            kernel: layer.kernel,
            forward,
            input_gradient,
            weight_gradient,
            peak,
            instruction_set,
        }
    };
    Ok(network.convolutions().into_iter().map(measure).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn each_convolution_is_measured_once() {
        let image = ImageShape::new(8, 8, 2);
        let options = BenchOptions { image, ..BenchOptions::new(Architecture::HigginsConv) };
        assert!(measure_layers(&options).is_err(), "8 pixels are too few for four convolutions");
        let options = BenchOptions { image, ..BenchOptions::new(Architecture::Burgess) };
        let measured = measure_layers(&options).unwrap();
        let names: Vec<_> = measured.iter().map(|m| m.layer.as_str()).collect();
        assert_eq!(names, ["encoder.conv.0", "decoder.conv_transpose.0"]);
        assert_eq!((measured[0].output, measured[1].output), ([4, 4, 32], [8, 8, 2]));
    }
}

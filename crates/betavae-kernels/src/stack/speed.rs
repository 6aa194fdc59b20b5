//! Measures how fast the kernels of one layer are, without packing, copies and threads around them.

use std::time::{Duration, Instant};

use super::{GROUP_SIZE, Layer, Stack};
use crate::bf16::Precision;
use crate::epilogue::Epilogue;
use crate::prepared_conv::Scratch;
use crate::simd::simd_level;

/// The speed of one layer in GFLOP/s: 10^9 floating point operations per second of one thread, counted
/// as two per multiply-add of the direct algorithm, whichever algorithm runs.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpeed {
    /// The layer with its bias and activation.
    pub forward: f64,
    /// The gradient of its input.
    pub input_gradient: f64,
    /// The gradient of its weight.
    pub weight_gradient: f64,
}

/// How long each of the three is measured.
const DURATION: Duration = Duration::from_millis(30);

/// Measures a layer on eight images of shape `input` [H, W, C], which are in the cache if they fit.
///
/// # Panics
/// If the input is too small for the layer.
pub fn layer_speed(precision: Precision, input: [usize; 3], layer: Layer) -> LayerSpeed {
    let stack = Stack::new(simd_level(), precision, input, &[layer]);
    let prepared = &stack.layers[0];
    let weights = vec![0.01; prepared.weight_gradient.weight_count()];
    let bias = vec![0.1; layer.filters];
    let map = |i: usize| vec![0.1; GROUP_SIZE * stack.maps[i].len() + stack.level.panel()];
    let (x, mut y, mut dx) = (map(0), map(1), map(0));
    let mut scratch = Scratch::default();
    let small: usize =
        if layer.transposed.is_some() { input } else { stack.output() }[..2].iter().product();
    let operations = 2.0 * (GROUP_SIZE * small * weights.len()) as f64;
    let packed = prepared.forward.pack(&weights);
    let epilogue = Epilogue::BiasActivation { bias: &bias, activation: layer.activation };
    let forward = rate(operations, || {
        prepared.forward.run(GROUP_SIZE, &packed, &x, &mut y, epilogue, &mut scratch);
    });
    let packed = prepared.backward.pack(&weights);
    let input_gradient = rate(operations, || {
        prepared.backward.run(GROUP_SIZE, &packed, &y, &mut dx, Epilogue::Store, &mut scratch);
    });
    let mut sums = prepared.weight_gradient.zeros();
    let (small, large) = prepared.small_and_large(&x, &y);
    let weight_gradient = rate(operations, || {
        prepared.weight_gradient.add(GROUP_SIZE, small, large, &mut sums, &mut scratch);
    });
    LayerSpeed { forward, input_gradient, weight_gradient }
}

/// The median over many runs of 10^9 operations per second.
fn rate(operations: f64, mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 3 || start.elapsed() < DURATION {
        let before = Instant::now();
        run();
        seconds.push(before.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    operations / seconds[seconds.len() / 2] / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::{Activation, ConvOptions};

    #[test]
    fn every_kind_of_layer_is_measured() {
        let options = ConvOptions { stride: 2, padding: 1 };
        let activation = Activation::Relu;
        for (transposed, filters) in [(None, 20), (Some([1, 1]), 3), (None, 2)] {
            let layer = Layer { transposed, filters, kernel: 3, options, activation };
            for precision in Precision::ALL {
                let speed = layer_speed(precision, [6, 6, 5], layer);
                let all = [speed.forward, speed.input_gradient, speed.weight_gradient];
                assert!(all.iter().all(|rate| *rate > 0.0), "{speed:?}");
            }
        }
    }
}

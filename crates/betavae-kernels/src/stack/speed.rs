//! How fast the kernels of one layer are, apart from everything around them.

use std::time::{Duration, Instant};

use super::{GROUP, Layer, Stack};
use crate::bf16::Precision;
use crate::contract::Finish;
use crate::reduce::Scratch;
use crate::simd::level;

/// 10^9 floating point operations per second of one thread, two per multiply-add of the direct
/// algorithm.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpeed {
    /// The layer with its bias and activation.
    pub forward: f64,
    /// The gradient by its input.
    pub input_gradient: f64,
    /// The gradient by its weights.
    pub weight_gradient: f64,
}

/// Time for each of the three.
const DURATION: Duration = Duration::from_millis(30);

/// Measures a layer on inputs [H, W, C] of eight images that are in the cache if they fit.
///
/// # Panics
/// If the input is too small for the layer.
pub fn layer_speed(precision: Precision, input: [usize; 3], layer: Layer) -> LayerSpeed {
    let stack = Stack::new(level(), precision, input, &[layer]);
    let prepared = &stack.layers[0];
    let weights = vec![0.01; prepared.weight.weights()];
    let bias = vec![0.1; layer.filters];
    let map = |i: usize| vec![0.1; GROUP * stack.maps[i].len() + stack.level.panel()];
    let (x, mut y, mut dx) = (map(0), map(1), map(0));
    let mut scratch = Scratch::default();
    let small: usize =
        if layer.transposed.is_some() { input } else { stack.output() }[..2].iter().product();
    let operations = 2.0 * (GROUP * small * weights.len()) as f64;
    let packed = prepared.forward.pack(&weights);
    let finish = Finish::Activate { bias: &bias, activation: layer.activation };
    let forward = rate(operations, || {
        prepared.forward.run(GROUP, &packed, &x, &mut y, finish, &mut scratch);
    });
    let packed = prepared.backward.pack(&weights);
    let input_gradient = rate(operations, || {
        prepared.backward.run(GROUP, &packed, &y, &mut dx, Finish::Store, &mut scratch);
    });
    let mut sums = prepared.weight.zeros();
    let (small, large) = prepared.small_and_large(&x, &y);
    let weight_gradient = rate(operations, || {
        prepared.weight.add(GROUP, small, large, &mut sums, &mut scratch);
    });
    LayerSpeed { forward, input_gradient, weight_gradient }
}

/// 10^9 operations per second in the median of many runs.
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
    use crate::activation::{Activation, Window};

    #[test]
    fn every_kind_of_layer_is_measured() {
        let window = Window { stride: 2, padding: 1 };
        let activation = Activation::Relu;
        for (transposed, filters) in [(None, 20), (Some([1, 1]), 3), (None, 2)] {
            let layer = Layer { transposed, filters, kernel: 3, window, activation };
            for precision in Precision::ALL {
                let speed = layer_speed(precision, [6, 6, 5], layer);
                let all = [speed.forward, speed.input_gradient, speed.weight_gradient];
                assert!(all.iter().all(|rate| *rate > 0.0), "{speed:?}");
            }
        }
    }
}

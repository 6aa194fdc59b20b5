//! Tests of convolution kernels against the loops of `naive`, on every instruction set of this machine,
//! over odd shapes. The operators over tensors are tested in `tests/ops.rs`.

use crate::activation::{Activation, ConvOptions};
use crate::bf16::{self, Precision};
use crate::elementwise::Nll;
use crate::naive;
use crate::simd::SimdLevel;
use crate::stack::{Input, Layer, Stack, Upstream};

/// A deterministic stream of numbers in [-1, 1).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1 << 23) as f32 - 1.0
    }

    fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }

    fn below(&mut self, n: usize) -> usize {
        self.next();
        (self.0 >> 33) as usize % n
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Rounds to values that bf16 represents exactly.
fn round_to_bf16(values: &mut [f32]) {
    for value in values {
        *value = f32::from_bits(bf16::pair(0.0, *value).to_bits());
    }
}

/// Largest difference, relative to the largest value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-30, |max: f64, x| max.max(x.abs()));
    let difference = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    difference.fold(0.0, |max: f64, d| if d.is_nan() { f64::NAN } else { max.max(d) }) / scale
}

struct Case {
    input: [usize; 3],
    batch: usize,
    layers: Vec<Layer>,
    x: Vec<f32>,
    parameters: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Case {
    fn new(numbers: &mut Numbers, input: [usize; 3], batch: usize, layers: Vec<Layer>) -> Self {
        let mut shape = input;
        let mut parameters = Vec::new();
        for layer in &layers {
            let fan = shape[2] * layer.kernel * layer.kernel;
            let scale = 1.0 / (fan as f32).sqrt();
            let weights = numbers.vec(fan * layer.filters).iter().map(|w| w * scale).collect();
            parameters.push((weights, numbers.vec(layer.filters)));
            shape = layer.output(shape).unwrap();
        }
        let x = numbers.vec(batch * input.iter().product::<usize>());
        Self { input, batch, layers, x, parameters }
    }

    /// The expected outputs of all layers, of one image.
    fn activations(&self, image: usize) -> Vec<(Vec<f64>, [usize; 3])> {
        let size = self.input.iter().product::<usize>();
        let mut all = vec![(wide(&self.x[image * size..][..size]), self.input)];
        for (layer, (w, b)) in self.layers.iter().zip(&self.parameters) {
            let (x, shape) = all.last().unwrap();
            let y = naive::forward(layer, *shape, x, &wide(w), &wide(b));
            let shape = layer.output(*shape).unwrap();
            all.push((y, shape));
        }
        all
    }

    /// The expected gradients of sum(upstream * output), summed over images.
    fn gradients(
        &self,
        upstream: impl Fn(usize, &[f64]) -> Vec<f64>,
    ) -> (Vec<f64>, Vec<[Vec<f64>; 2]>) {
        let mut dx = Vec::new();
        let mut total: Vec<[Vec<f64>; 2]> =
            self.parameters.iter().map(|(w, b)| [vec![0.0; w.len()], vec![0.0; b.len()]]).collect();
        for image in 0..self.batch {
            let all = self.activations(image);
            let mut gradient = upstream(image, &all[self.layers.len()].0);
            for (i, layer) in self.layers.iter().enumerate().rev() {
                let y = &all[i + 1].0;
                gradient
                    .iter_mut()
                    .zip(y)
                    .for_each(|(g, y)| *g *= naive::slope(layer.activation, *y));
                let weight = wide(&self.parameters[i].0);
                let [dx, dw, db] = naive::backward(layer, all[i].1, &all[i].0, &weight, &gradient);
                total[i][0].iter_mut().zip(dw).for_each(|(t, d)| *t += d);
                total[i][1].iter_mut().zip(db).for_each(|(t, d)| *t += d);
                gradient = dx;
            }
            dx.extend(gradient);
        }
        (dx, total)
    }

    fn check(&self, numbers: &mut Numbers) {
        self.check_in(Precision::F32, numbers, 2e-5);
    }

    /// The tolerance is relative to the largest value, and for operands that the precision represents
    /// exactly.
    fn check_in(&self, precision: Precision, numbers: &mut Numbers, tolerance: f64) {
        for level in SimdLevel::supported() {
            let stack = Stack::prepared(level, precision, self.input, &self.layers);
            let parameters: Vec<_> =
                self.parameters.iter().map(|(w, b)| (w.as_slice(), b.as_slice())).collect();
            let (y, saved) = stack.forward(&self.x, &parameters, true);
            let expected: Vec<f64> =
                (0..self.batch).flat_map(|i| self.activations(i).pop().unwrap().0).collect();
            let what = format!("{level:?} {:?} batch {} {:?}", self.input, self.batch, self.layers);
            let close = |name: &str, found: &[f32], expected: &[f64]| {
                let error = error(found, expected);
                assert!(error < tolerance, "{name} is off by {error:e}: {what}");
            };
            close("output", &y, &expected);
            let (without_saving, nothing) = stack.forward(&self.x, &parameters, false);
            assert_eq!(without_saving, y);
            assert!(nothing.is_none());

            let size = y.len() / self.batch;
            let mut upstream = numbers.vec(y.len());
            if precision == Precision::Bf16 {
                round_to_bf16(&mut upstream);
            }
            let (dx, gradients) =
                self.gradients(|image, _| wide(&upstream[image * size..][..size]));
            let input = Input { x: &self.x, norm: None };
            let mut found_dx = vec![0.0; self.x.len()];
            let upstream = Upstream { gradient: &upstream, y: &y, norm: None };
            let saved = saved.unwrap();
            let found = stack.backward(input, &saved, upstream, &parameters, Some(&mut found_dx));
            close("input gradient", &found_dx, &dx);
            for ((w, b), [dw, db]) in found.parameters.iter().zip(&gradients) {
                close("weight gradient", w, dw);
                close("bias gradient", b, db);
            }

            // bf16 does not represent the likelihood's gradient exactly.
            if precision == Precision::Bf16 {
                continue;
            }
            for nll in [Nll::Bernoulli, Nll::Gaussian { sigma: 0.5 }] {
                let target: Vec<f32> = numbers.vec(y.len()).iter().map(|t| t.abs()).collect();
                let (value, found) =
                    stack.nll(input, &target, &parameters, nll, Some(&mut found_dx));
                let sum: f64 = expected
                    .iter()
                    .zip(&target)
                    .map(|(y, t)| naive::nll(nll, *y, f64::from(*t))[0])
                    .sum();
                close("likelihood", &[value], &[sum / self.batch as f64]);
                let (dx, expected) = self.gradients(|image, y| {
                    let target = &target[image * size..][..size];
                    let batch = self.batch as f64;
                    y.iter()
                        .zip(target)
                        .map(|(y, t)| naive::nll(nll, *y, f64::from(*t))[1] / batch)
                        .collect()
                });
                let found = found.unwrap();
                close("input gradient of the likelihood", &found_dx, &dx);
                for ((w, b), [dw, db]) in found.parameters.iter().zip(&expected) {
                    close("weight gradient of the likelihood", w, dw);
                    close("bias gradient of the likelihood", b, db);
                }
            }
        }
    }
}

fn layer(
    transposed: Option<[usize; 2]>,
    filters: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    activation: Activation,
) -> Layer {
    Layer { transposed, filters, kernel, options: ConvOptions { stride, padding }, activation }
}

#[test]
fn the_presets_layers() {
    use Activation::*;
    let mut numbers = Numbers(1);
    let conv = |filters| layer(None, filters, 4, 2, 1, Relu);
    let conv_transpose = |filters, activation| layer(Some([0; 2]), filters, 4, 2, 1, activation);
    Case::new(&mut numbers, [32, 32, 1], 3, vec![conv(32), conv(32), conv(32)]).check(&mut numbers);
    Case::new(
        &mut numbers,
        [4, 4, 32],
        3,
        vec![conv_transpose(32, Relu), conv_transpose(32, Relu), conv_transpose(1, Identity)],
    )
    .check(&mut numbers);
    // Large enough for tiles of 4x4 outputs, and not a whole number of panels.
    Case::new(&mut numbers, [32, 40, 20], 2, vec![conv(33)]).check(&mut numbers);
    Case::new(&mut numbers, [16, 20, 33], 2, vec![conv_transpose(20, Tanh)]).check(&mut numbers);
    let slim = |filters| layer(None, filters, 3, 2, 1, LeakyRelu);
    Case::new(&mut numbers, [16, 16, 3], 9, vec![slim(32), slim(64)]).check(&mut numbers);
    let wide = layer(Some([1; 2]), 64, 3, 2, 1, LeakyRelu);
    Case::new(&mut numbers, [4, 4, 40], 2, vec![wide, layer(None, 3, 3, 1, 1, Tanh)])
        .check(&mut numbers);
    let two = layer(None, 64, 2, 2, 0, Relu);
    Case::new(&mut numbers, [8, 8, 32], 2, vec![two]).check(&mut numbers);
}

#[test]
fn odd_shapes() {
    let mut numbers = Numbers(2);
    let mut checked = 0;
    while checked < 60 {
        let input = [0; 3].map(|_| 1 + numbers.below(11));
        let mut shape = input;
        let mut layers = Vec::new();
        for _ in 0..1 + numbers.below(3) {
            let stride = 1 + numbers.below(3);
            let transposed =
                (numbers.below(2) == 0).then(|| [numbers.below(stride), numbers.below(stride)]);
            let (kernel, filters) = (1 + numbers.below(5), 1 + numbers.below(37));
            let padding = numbers.below(kernel);
            let activation =
                [Activation::Identity, Activation::Relu, Activation::LeakyRelu, Activation::Tanh]
                    [numbers.below(4)];
            let layer = layer(transposed, filters, kernel, stride, padding, activation);
            match layer.output(shape) {
                Some(output) if output.iter().all(|n| *n > 0) && output[0] * output[1] < 600 => {
                    shape = output
                }
                _ => break,
            }
            layers.push(layer);
        }
        if !layers.is_empty() {
            let batch = 1 + numbers.below(10);
            Case::new(&mut numbers, input, batch, layers).check(&mut numbers);
            checked += 1;
        }
    }
}

/// With operands that bf16 represents exactly, products are exact and sums are those of f32.
#[test]
fn bf16_is_exact_for_representable_operands() {
    let mut numbers = Numbers(3);
    let mut checked = 0;
    while checked < 40 {
        let input = [2 + numbers.below(12), 2 * (1 + numbers.below(6)), 1 + numbers.below(40)];
        let stride = 1 + numbers.below(2);
        let transposed = (numbers.below(2) == 0).then_some([0, stride - 1]);
        let (kernel, filters) = (1 + numbers.below(4), 1 + numbers.below(40));
        let padding = numbers.below(kernel);
        let layer = layer(transposed, filters, kernel, stride, padding, Activation::Identity);
        let Some(output) = layer.output(input).filter(|o| o.iter().all(|n| *n > 0)) else {
            continue;
        };
        if output[0] * output[1] > 600 {
            continue;
        }
        let batch = 1 + numbers.below(10);
        let mut case = Case::new(&mut numbers, input, batch, vec![layer]);
        round_to_bf16(&mut case.x);
        round_to_bf16(&mut case.parameters[0].0);
        case.check_in(Precision::Bf16, &mut numbers, 2e-5);
        checked += 1;
    }
}

/// Winograd's algorithm rounds transformed inputs and weights, so sums are off by about 1 % of a typical
/// value.
#[test]
fn winograd_in_bf16_rounds_transformed_factors() {
    let mut numbers = Numbers(5);
    for (channels, filters) in [(16, 16), (18, 40), (32, 22)] {
        for (input, transposed) in [([32, 40], None), ([16, 20], Some([0, 0]))] {
            let layer = layer(transposed, filters, 4, 2, 1, Activation::Identity);
            let input = [input[0], input[1], channels];
            let case = Case::new(&mut numbers, input, 3, vec![layer]);
            case.check_in(Precision::Bf16, &mut numbers, 0.02);
        }
    }
}

/// Results have the same bytes with one, two and three threads.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut numbers = Numbers(4);
    let conv = |filters| layer(None, filters, 4, 2, 1, Activation::Relu);
    let case = Case::new(&mut numbers, [32, 32, 1], 37, vec![conv(32), conv(32), conv(32)]);
    let parameters: Vec<_> =
        case.parameters.iter().map(|(w, b)| (w.as_slice(), b.as_slice())).collect();
    let target: Vec<f32> = numbers.vec(37 * 4 * 4 * 32).iter().map(|t| t.abs()).collect();
    for precision in [Precision::F32, Precision::Bf16] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let level = *SimdLevel::supported().last().unwrap();
                let stack = Stack::prepared(level, precision, case.input, &case.layers);
                let (y, saved) = stack.forward(&case.x, &parameters, true);
                let input = Input { x: &case.x, norm: None };
                let upstream = Upstream { gradient: &y, y: &y, norm: None };
                let mut dx = [vec![0.0; case.x.len()], vec![0.0; case.x.len()]];
                let [a, b] = &mut dx;
                let gradients =
                    stack.backward(input, &saved.unwrap(), upstream, &parameters, Some(a));
                let nll = stack.nll(input, &target, &parameters, Nll::Bernoulli, Some(b));
                (y.clone(), gradients, nll, dx)
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(3));
    }
}

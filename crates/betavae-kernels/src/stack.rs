//! Convolutional layers run depth first: a few images go through all layers, forward and back,
//! while their activations are in the cache.
//!
//! Images are divided into groups of fixed size; gradients of weights are summed within a group,
//! then over the groups in order. So results do not depend on the number of threads.

use rayon::prelude::*;

use crate::activation::{Activation, Window};
use crate::contract::Finish;
use crate::elementwise::{self, Nll};
use crate::geometry::{Conv, Layout};
use crate::reduce::{Reduction, Scratch, Way};
use crate::simd::Level;
use crate::weight_gradient::WeightGradient;

/// Images per group.
const GROUP: usize = 8;

/// Floats of activations and gradients that are in flight at once; about half a second-level cache.
const IN_FLIGHT: usize = 100_000;

/// A convolution or transposed convolution with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Whether it is transposed, and then how many rows and columns are added at the end.
    pub transposed: Option<[usize; 2]>,
    /// Output channels.
    pub filters: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Stride and padding.
    pub window: Window,
    /// What follows.
    pub activation: Activation,
}

impl Layer {
    /// Shape of the output for an input of shape [H, W, C]; `None` if the input is too small.
    pub fn output(&self, [height, width, _]: [usize; 3]) -> Option<[usize; 3]> {
        let Window { stride, padding } = self.window;
        let side = |n: usize, axis: usize| match self.transposed {
            None => Some((n + 2 * padding).checked_sub(self.kernel)? / stride + 1),
            Some(more) => ((n - 1) * stride + self.kernel + more[axis]).checked_sub(2 * padding),
        };
        Some([side(height, 0)?, side(width, 1)?, self.filters])
    }
}

/// Weights in PyTorch's layout, and biases, of each layer.
pub(crate) type Parameters<'a> = [(&'a [f32], &'a [f32])];

/// Gradients of the weights and biases of each layer.
pub(crate) type ParameterGradients = Vec<(Vec<f32>, Vec<f32>)>;

/// Layers prepared for an input shape and an instruction set.
#[derive(Debug)]
pub(crate) struct Stack {
    level: Level,
    layers: Vec<Prepared>,
    /// The input of each layer, and the last output, with the borders they need.
    maps: Vec<Layout>,
}

#[derive(Debug)]
struct Prepared {
    transposed: bool,
    activation: Activation,
    forward: Reduction,
    backward: Reduction,
    weight: WeightGradient,
}

/// Packed weights of each layer.
struct Packed(Vec<Vec<f32>>);

/// Sums of one group.
struct Sums {
    weights: Vec<Vec<f32>>,
    biases: Vec<Vec<f32>>,
}

/// What one task needs besides its share of inputs and outputs.
struct Workspace {
    /// For a block of images: the maps, and their gradients.
    maps: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    scratch: Scratch,
    row: Vec<f32>,
}

/// Where a task's share of `saved` lies, map after map.
fn map_starts(lengths: &[usize], images: usize) -> Vec<usize> {
    let mut start = 0;
    lengths
        .iter()
        .map(|length| {
            let this = start;
            start += length * images;
            this
        })
        .collect()
}

impl Stack {
    /// # Panics
    /// If the input is too small for a layer.
    pub(crate) fn new(level: Level, input: [usize; 3], layers: &[Layer]) -> Self {
        let mut shape = input;
        let mut convs = Vec::new();
        for layer in layers {
            let output = layer.output(shape).unwrap_or_else(|| {
                panic!("a map of {shape:?} is too small for a {0}x{0} kernel", layer.kernel)
            });
            let (small, large) =
                if layer.transposed.is_some() { (shape, output) } else { (output, shape) };
            convs.push(Conv { small, large, kernel: layer.kernel, window: layer.window });
            shape = output;
        }
        // A map's border serves the layer after it on the way forward, the one before it back.
        let side = |conv: &Conv, small: bool| {
            if small { conv.small_layout() } else { conv.large_layout() }
        };
        let mut maps: Vec<_> = vec![Layout::plain(input)];
        for (conv, layer) in convs.iter().zip(layers) {
            let transposed = layer.transposed.is_some();
            let before = maps.len() - 1;
            maps[before] = maps[before].joined(side(conv, transposed));
            maps.push(side(conv, !transposed));
        }
        let prepare = |i: usize| {
            let (conv, transposed) = (convs[i], layers[i].transposed.is_some());
            let (forward, backward) =
                if transposed { (Way::Up, Way::Down) } else { (Way::Down, Way::Up) };
            let (small, large) =
                if transposed { (maps[i], maps[i + 1]) } else { (maps[i + 1], maps[i]) };
            let before = if i == 0 { Layout::plain(input) } else { maps[i] };
            Prepared {
                transposed,
                activation: layers[i].activation,
                forward: Reduction::new(level, conv, forward, maps[i], maps[i + 1]),
                backward: Reduction::new(level, conv, backward, maps[i + 1], before),
                weight: WeightGradient::new(level, conv, small, large),
            }
        };
        Self { level, layers: (0..layers.len()).map(prepare).collect(), maps }
    }

    /// Shape of the output.
    pub(crate) fn output(&self) -> [usize; 3] {
        self.maps[self.layers.len()].shape
    }

    /// Images that go through all layers together.
    fn block(&self) -> usize {
        let floats: usize = self.maps.iter().map(Layout::len).sum();
        (IN_FLIGHT / floats.max(1)).clamp(1, GROUP)
    }

    fn workspace(&self, with_gradients: bool) -> Workspace {
        let slack = self.level.panel();
        let map = |layout: &Layout| vec![0.0; self.block() * layout.len() + slack];
        let maps = self.maps.iter().map(map).collect();
        let gradients = if with_gradients { &self.maps[1..] } else { &[] };
        let gradients = std::iter::once(Vec::new()).chain(gradients.iter().map(map)).collect();
        Workspace { maps, gradients, scratch: Scratch::default(), row: Vec::new() }
    }

    fn sums(&self) -> Sums {
        Sums {
            weights: self.layers.iter().map(|layer| layer.weight.zeros()).collect(),
            biases: (0..self.layers.len()).map(|i| vec![0.0; self.maps[i + 1].shape[2]]).collect(),
        }
    }

    fn pack(&self, parameters: &Parameters<'_>, which: fn(&Prepared) -> &Reduction) -> Packed {
        let layers = self.layers.par_iter().zip(parameters);
        Packed(layers.map(|(layer, (weight, _))| which(layer).pack(weight)).collect())
    }

    /// The output [B, ...] for `x` [B, ...]. With `keep`, also the maps that
    /// [`Stack::backward`] needs.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        parameters: &Parameters<'_>,
        keep: bool,
    ) -> (Vec<f32>, Vec<f32>) {
        let packed = self.pack(parameters, |layer| &layer.forward);
        let [input, output] = [self.maps[0].shape, self.output()].map(|s| s.iter().product::<usize>());
        let images = x.len() / input;
        let mut y = vec![0.0; images * output];
        let kept = if keep { self.kept() } else { 0 };
        let mut saved = vec![0.0; images * kept];
        let plain = |i: usize, length: usize| i * GROUP * length;
        let mut shares: Vec<(&mut [f32], &mut [f32])> = Vec::new();
        let (mut y_left, mut saved_left) = (y.as_mut_slice(), saved.as_mut_slice());
        for i in 0..images.div_ceil(GROUP) {
            let count = GROUP.min(images - i * GROUP);
            let (y, rest) = y_left.split_at_mut(count * output);
            y_left = rest;
            let (saved, rest) = saved_left.split_at_mut(count * kept);
            saved_left = rest;
            shares.push((y, saved));
        }
        shares.into_par_iter().enumerate().for_each_init(
            || self.workspace(false),
            |work, (i, (y, saved))| {
                let count = y.len() / output;
                let x = &x[plain(i, input)..][..count * input];
                let lengths: Vec<_> = self.kept_lengths();
                let starts = map_starts(&lengths, count);
                for first in (0..count).step_by(self.block()) {
                    let block = self.block().min(count - first);
                    self.load(&x[first * input..][..block * input], &mut work.maps[0]);
                    self.forward_block(block, &packed, parameters, work);
                    let last = self.layers.len();
                    for (b, y) in y[first * output..][..block * output].chunks_exact_mut(output).enumerate() {
                        self.unload(last, &work.maps[last], b, y);
                    }
                    if keep {
                        for (i, length) in lengths.iter().enumerate() {
                            saved[starts[i] + first * length..][..block * length]
                                .copy_from_slice(&work.maps[i][..block * length]);
                        }
                    }
                }
            },
        );
        (y, saved)
    }

    /// Floats that [`Stack::forward`] keeps per image: the inputs of all layers.
    fn kept(&self) -> usize {
        self.kept_lengths().iter().sum()
    }

    fn kept_lengths(&self) -> Vec<usize> {
        self.maps[..self.layers.len()].iter().map(Layout::len).collect()
    }

    /// Gradients of the input (if `wanted`) and of the parameters, for the gradient of the output.
    pub(crate) fn backward(
        &self,
        gradient: &[f32],
        y: &[f32],
        saved: &[f32],
        parameters: &Parameters<'_>,
        wanted: bool,
    ) -> (Option<Vec<f32>>, ParameterGradients) {
        let packed = self.pack(parameters, |layer| &layer.backward);
        let [input, output] = [self.maps[0].shape, self.output()].map(|s| s.iter().product::<usize>());
        let images = y.len() / output;
        let mut dx = vec![0.0; if wanted { images * input } else { 0 }];
        let groups = images.div_ceil(GROUP);
        let shares: Vec<_> = if wanted {
            dx.chunks_mut(GROUP * input).map(Some).collect()
        } else {
            (0..groups).map(|_| None).collect()
        };
        let lengths = self.kept_lengths();
        let sums: Vec<_> = shares
            .into_par_iter()
            .enumerate()
            .map_init(
                || self.workspace(true),
                |work, (i, mut dx)| {
                    let mut sums = self.sums();
                    let count = GROUP.min(images - i * GROUP);
                    let saved = &saved[i * GROUP * self.kept()..][..count * self.kept()];
                    let starts = map_starts(&lengths, count);
                    for first in (0..count).step_by(self.block()) {
                        let block = self.block().min(count - first);
                        for (i, length) in lengths.iter().enumerate() {
                            work.maps[i][..block * length].copy_from_slice(
                                &saved[starts[i] + first * length..][..block * length],
                            );
                        }
                        let at = (i * GROUP + first) * output;
                        for b in 0..block {
                            let (gradient, y) = (&gradient[at + b * output..], &y[at + b * output..]);
                            self.load_slope(&gradient[..output], &y[..output], b, work);
                        }
                        let dx = dx.as_mut().map(|dx| &mut dx[first * input..][..block * input]);
                        self.backward_block(block, &packed, work, &mut sums, dx);
                    }
                    sums
                },
            )
            .collect();
        (wanted.then_some(dx), self.total(sums))
    }

    /// The mean over images of the negative log-likelihood of `target` given the output as logits
    /// or means, without its constant. With `differentiate`, also its gradients by the input and the parameters.
    #[allow(clippy::type_complexity)]
    pub(crate) fn nll(
        &self,
        x: &[f32],
        target: &[f32],
        parameters: &Parameters<'_>,
        nll: Nll,
        differentiate: bool,
    ) -> (f32, Option<(Vec<f32>, ParameterGradients)>) {
        let forward = self.pack(parameters, |layer| &layer.forward);
        let backward =
            if differentiate { self.pack(parameters, |layer| &layer.backward) } else { Packed(vec![]) };
        let last = self.layers.len();
        let [input, output] = [self.maps[0].shape, self.output()].map(|s| s.iter().product::<usize>());
        let images = x.len() / input;
        let mut dx = vec![0.0; if differentiate { x.len() } else { 0 }];
        let shares: Vec<_> = if differentiate {
            dx.chunks_mut(GROUP * input).map(Some).collect()
        } else {
            (0..images.div_ceil(GROUP)).map(|_| None).collect()
        };
        let activation = self.layers[last - 1].activation;
        let results: Vec<_> = shares
            .into_par_iter()
            .enumerate()
            .map_init(
                || self.workspace(differentiate),
                |work, (i, mut dx)| {
                    let mut sums = self.sums();
                    let count = GROUP.min(images - i * GROUP);
                    let mut total = 0.0;
                    for first in (0..count).step_by(self.block()) {
                        let block = self.block().min(count - first);
                        let at = i * GROUP + first;
                        self.load(&x[at * input..][..block * input], &mut work.maps[0]);
                        self.forward_block(block, &forward, parameters, work);
                        let layout = &self.maps[last];
                        let width = layout.shape[1] * layout.shape[2];
                        for b in 0..block {
                            let target = &target[(at + b) * output..][..output];
                            let mut image = 0.0;
                            for (row, target) in layout.rows().zip(target.chunks_exact(width)) {
                                let row = b * layout.len() + row.start..b * layout.len() + row.end;
                                let map = &mut work.maps[last][row.clone()];
                                if !differentiate {
                                    image += elementwise::nll_and_gradient(self.level, nll, map, target, 1.0);
                                    continue;
                                }
                                let gradient = &mut work.gradients[last][row];
                                gradient.copy_from_slice(map);
                                let scale = 1.0 / images as f32;
                                image += elementwise::nll_and_gradient(
                                    self.level, nll, gradient, target, scale,
                                );
                                elementwise::multiply_slope(self.level, gradient, map, activation);
                            }
                            total += f64::from(image);
                        }
                        if differentiate {
                            let dx = dx.as_mut().map(|dx| &mut dx[first * input..][..block * input]);
                            self.backward_block(block, &backward, work, &mut sums, dx);
                        }
                    }
                    (total, sums)
                },
            )
            .collect();
        let (totals, sums): (Vec<f64>, Vec<_>) = results.into_iter().unzip();
        let value = totals.iter().sum::<f64>() / images as f64;
        (value as f32, differentiate.then(|| (dx, self.total(sums))))
    }

    /// Plain inputs into the middle of their maps.
    fn load(&self, x: &[f32], to: &mut [f32]) {
        let layout = &self.maps[0];
        let images = x.chunks_exact(layout.shape.iter().product());
        for (x, map) in images.zip(to.chunks_exact_mut(layout.len())) {
            layout.fill(x, map);
        }
    }

    /// The middle of a map.
    fn unload(&self, map: usize, from: &[f32], image: usize, to: &mut [f32]) {
        let layout = &self.maps[map];
        let from = &from[image * layout.len()..];
        let width = layout.shape[1] * layout.shape[2];
        for (row, to) in layout.rows().zip(to.chunks_exact_mut(width)) {
            to.copy_from_slice(&from[row]);
        }
    }

    /// The gradient of the last map: that of the output, through the last activation.
    fn load_slope(&self, gradient: &[f32], y: &[f32], image: usize, work: &mut Workspace) {
        let last = self.layers.len();
        let layout = &self.maps[last];
        let map = &mut work.gradients[last][image * layout.len()..][..layout.len()];
        layout.fill(gradient, map);
        let activation = self.layers[last - 1].activation;
        let width = layout.shape[1] * layout.shape[2];
        for (row, y) in layout.rows().zip(y.chunks_exact(width)) {
            elementwise::multiply_slope(self.level, &mut map[row], y, activation);
        }
    }

    fn forward_block(
        &self,
        block: usize,
        packed: &Packed,
        parameters: &Parameters<'_>,
        work: &mut Workspace,
    ) {
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, after) = work.maps.split_at_mut(i + 1);
            let finish =
                Finish::Activate { bias: parameters[i].1, activation: layer.activation };
            let (from, to) = (&before[i], &mut after[0]);
            layer.forward.run(block, &packed.0[i], from, to, finish, &mut work.scratch);
        }
    }

    fn backward_block(
        &self,
        block: usize,
        packed: &Packed,
        work: &mut Workspace,
        sums: &mut Sums,
        mut dx: Option<&mut [f32]>,
    ) {
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = work.gradients.split_at_mut(i + 1);
            let (map, gradient) = (&work.maps[i], &after[0]);
            let layout = &self.maps[i + 1];
            for image in gradient.chunks_exact(layout.len()).take(block) {
                let sums = &mut sums.biases[i];
                elementwise::add_channel_sums(self.level, layout, image, sums, &mut work.row);
            }
            let (small, large) = if layer.transposed { (map, gradient) } else { (gradient, map) };
            let scratch = &mut work.scratch;
            layer.weight.add(block, small, large, &mut sums.weights[i], &mut scratch.winograd);
            if i > 0 {
                let activation = self.layers[i - 1].activation;
                let finish = Finish::Slope { at: map, activation };
                let to = &mut before[i];
                layer.backward.run(block, &packed.0[i], gradient, to, finish, scratch);
            } else if let Some(dx) = dx.take() {
                layer.backward.run(block, &packed.0[i], gradient, dx, Finish::Store, scratch);
            }
        }
    }

    /// The sums of all groups, added in order.
    fn total(&self, groups: Vec<Sums>) -> ParameterGradients {
        let mut groups = groups.into_iter();
        let mut total = groups.next().unwrap_or_else(|| self.sums());
        for group in groups {
            for (to, from) in total.weights.iter_mut().zip(&group.weights) {
                elementwise::add(to, from);
            }
            for (to, from) in total.biases.iter_mut().zip(&group.biases) {
                elementwise::add(to, from);
            }
        }
        let layers = self.layers.iter().zip(&total.weights);
        let weights = layers.map(|(layer, sums)| layer.weight.unpack(sums));
        weights.zip(total.biases).collect()
    }
}

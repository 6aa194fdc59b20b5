//! Convolutional layers run depth first: a few images go through all layers, forward and backward,
//! while their activations are in the cache. Batch norm between layers, which needs the whole batch,
//! is in `conv_norm_stack`.
//!
//! The images of a batch are divided into groups of fixed size. Weight gradients are summed within a
//! group, and then over the groups in order, so that results do not depend on the number of threads.

mod backward;
mod forward;
mod layer;
mod speed;
mod workspace;

pub(crate) use backward::{StackGradients, Upstream};
pub(crate) use forward::Input;
pub use layer::Layer;
pub use speed::{LayerSpeed, layer_speed};
pub(crate) use workspace::SavedActivations;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use workspace::WorkspacePool;

use crate::activation::Activation;
use crate::batch_norm::GradientSums;
use crate::bf16::Precision;
use crate::buffer::Buffer;
use crate::elementwise;
use crate::geometry::{ConvShape, PaddedLayout};
use crate::prepared_conv::{ConvOp, PreparedConv};
use crate::simd::SimdLevel;
use crate::weight_gradient::WeightGradient;

/// Images per group.
const GROUP_SIZE: usize = 8;

/// Floats of activations and gradients of one block, about half a second-level cache.
const BLOCK_FLOATS: usize = 100_000;

/// Multiplications per output value up to which computing a layer again costs less than writing its
/// output to memory and reading it back.
const MAX_RECOMPUTE_COST: usize = 32;

/// The weight, in PyTorch's layout, and the bias of each layer.
pub(crate) type Parameters<'a> = [(&'a [f32], &'a [f32])];

/// The gradients of the weight and the bias of each layer.
pub(crate) type ParameterGradients = Vec<(Vec<f32>, Vec<f32>)>;

/// Layers prepared for an input shape and an instruction set.
#[derive(Debug)]
pub(crate) struct Stack {
    level: SimdLevel,
    layers: Vec<PreparedLayer>,
    /// The layout of each layer's input, with the border it needs, and that of the last output's
    /// gradient; the output itself has no border.
    maps: Vec<PaddedLayout>,
    /// Whether the weight gradient of the only layer is divided among threads by panels of weights
    /// instead of groups of images. It is where one group's sums would be larger than its maps.
    by_panels: bool,
    /// Whether the backward pass computes the first layer's output again. For images of few channels
    /// that costs less than saving it, which is by far the largest map, and reading it from memory.
    recompute_first: bool,
    pool: Mutex<WorkspacePool>,
}

#[derive(Debug)]
struct PreparedLayer {
    transposed: bool,
    activation: Activation,
    forward: PreparedConv,
    /// The gradient of the input.
    backward: PreparedConv,
    weight_gradient: WeightGradient,
}

/// The packed weights of each layer.
struct PackedWeights(Vec<Buffer>);

impl PreparedLayer {
    /// The layer's input and its output's gradient, as the small map and the large map.
    fn small_and_large<'a>(&self, map: &'a [f32], gradient: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        if self.transposed { (map, gradient) } else { (gradient, map) }
    }
}

/// The gradients of one group of images.
struct GroupGradients {
    weights: Vec<Vec<f32>>,
    biases: Vec<Vec<f32>>,
    norm: Vec<GradientSums>,
}

/// The stacks in use and what each was prepared for, the latest last.
static PREPARED: Mutex<Vec<(Key, Arc<Stack>)>> = Mutex::new(Vec::new());

type Key = (SimdLevel, Precision, [usize; 3], Vec<Layer>);

/// How many stacks stay prepared. A model has two or, with batch norm, one per layer.
const MAX_PREPARED: usize = 32;

/// Locks even if a panic elsewhere left the lock poisoned, because it protects nothing but memory.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stack {
    /// The stack for these layers and an input of shape [H, W, C], prepared on first use.
    ///
    /// # Panics
    /// If the input is too small for a layer.
    pub(crate) fn prepared(
        level: SimdLevel,
        precision: Precision,
        input: [usize; 3],
        layers: &[Layer],
    ) -> Arc<Self> {
        let mut prepared = lock(&PREPARED);
        let found = prepared.iter().find(|((l, p, i, known), _)| {
            *l == level && *p == precision && *i == input && known == layers
        });
        if let Some((_, stack)) = found {
            return stack.clone();
        }
        let stack = Arc::new(Self::new(level, precision, input, layers));
        if prepared.len() == MAX_PREPARED {
            prepared.remove(0);
        }
        prepared.push(((level, precision, input, layers.to_vec()), stack.clone()));
        stack
    }

    /// # Panics
    /// If the input is too small for a layer.
    pub(crate) fn new(
        level: SimdLevel,
        precision: Precision,
        input: [usize; 3],
        layers: &[Layer],
    ) -> Self {
        let mut shape = input;
        let mut convs = Vec::new();
        for layer in layers {
            let output = layer.output(shape).unwrap_or_else(|| {
                panic!("a map of {shape:?} is too small for a {0}x{0} kernel", layer.kernel)
            });
            let (small, large) =
                if layer.transposed.is_some() { (shape, output) } else { (output, shape) };
            convs.push(ConvShape { small, large, kernel: layer.kernel, options: layer.options });
            shape = output;
        }
        // A map's border is read by the layer after it in the forward pass, and by the layer before it
        // in the backward pass.
        let layout = |conv: &ConvShape, small: bool| {
            if small { conv.small_layout() } else { conv.large_layout() }
        };
        let mut maps: Vec<_> = vec![PaddedLayout::unpadded(input)];
        for (conv, layer) in convs.iter().zip(layers) {
            let transposed = layer.transposed.is_some();
            let before = maps.len() - 1;
            maps[before] = maps[before].union(layout(conv, transposed));
            maps.push(layout(conv, !transposed));
        }
        let prepare = |i: usize| {
            let (conv, transposed) = (convs[i], layers[i].transposed.is_some());
            let (forward, backward) = if transposed {
                (ConvOp::ConvTranspose, ConvOp::Conv)
            } else {
                (ConvOp::Conv, ConvOp::ConvTranspose)
            };
            let (small, large) =
                if transposed { (maps[i], maps[i + 1]) } else { (maps[i + 1], maps[i]) };
            let output = if i + 1 == layers.len() {
                PaddedLayout::unpadded(maps[i + 1].shape)
            } else {
                maps[i + 1]
            };
            PreparedLayer {
                transposed,
                activation: layers[i].activation,
                forward: PreparedConv::new(level, precision, conv, forward, maps[i], output),
                backward: PreparedConv::new(level, precision, conv, backward, maps[i + 1], maps[i]),
                weight_gradient: WeightGradient::new(level, precision, conv, small, large),
            }
        };
        let layers: Vec<_> = (0..layers.len()).map(prepare).collect();
        let by_panels = layers.len() == 1 && layers[0].weight_gradient.prefers_panels();
        let recompute_first = layers.len() > 1
            && !layers[0].transposed
            && convs[0].weight_count() <= MAX_RECOMPUTE_COST * convs[0].small[2];
        Self { level, layers, maps, by_panels, recompute_first, pool: Mutex::default() }
    }

    /// Shape [H, W, C] of the output.
    pub(crate) fn output(&self) -> [usize; 3] {
        self.maps[self.layers.len()].shape
    }

    /// Images per block, which go through all layers together.
    fn block_size(&self) -> usize {
        let floats: usize = self.maps.iter().map(PaddedLayout::len).sum();
        (BLOCK_FLOATS / floats.max(1)).clamp(1, GROUP_SIZE)
    }

    /// Floats of the input, and of the output, of one image.
    fn sizes(&self) -> [usize; 2] {
        [self.maps[0].shape, self.output()].map(|shape| shape.iter().product())
    }

    /// The first layer whose input is saved.
    fn first_saved(&self) -> usize {
        if self.recompute_first { 2 } else { 1 }
    }

    /// The layouts of saved activations.
    fn saved_layouts(&self) -> &[PaddedLayout] {
        &self.maps[self.first_saved()..self.layers.len()]
    }

    fn zero_gradients(&self) -> GroupGradients {
        let weights = |layer: &PreparedLayer| {
            if self.by_panels { Vec::new() } else { layer.weight_gradient.zeros() }
        };
        GroupGradients {
            weights: self.layers.iter().map(weights).collect(),
            biases: self.maps[1..].iter().map(|map| vec![0.0; map.shape[2]]).collect(),
            norm: Vec::new(),
        }
    }

    /// Packs the weights of each layer for its forward or its backward convolution.
    fn pack(
        &self,
        parameters: &Parameters<'_>,
        conv: fn(&PreparedLayer) -> &PreparedConv,
    ) -> PackedWeights {
        let layers = self.layers.par_iter().zip(parameters);
        PackedWeights(layers.map(|(layer, (weight, _))| conv(layer).pack(weight)).collect())
    }

    /// Sums the gradients of all groups in order. Leaves out weight gradients by panels.
    fn sum_groups(&self, mut groups: Vec<GroupGradients>) -> StackGradients {
        let norm = groups.iter_mut().flat_map(|group| std::mem::take(&mut group.norm)).collect();
        let sum = |of: &(dyn Fn(&GroupGradients) -> &[f32] + Sync)| {
            let Some((first, rest)) = groups.split_first() else { return Vec::new() };
            let mut total = of(first).to_vec();
            total.par_chunks_mut(CHUNK).enumerate().for_each(|(i, total)| {
                for group in rest {
                    elementwise::add(total, &of(group)[i * CHUNK..][..total.len()]);
                }
            });
            total
        };
        let layers = self.layers.par_iter().enumerate();
        let parameters = layers
            .map(|(i, layer)| {
                let sums = sum(&|group| &group.weights[i]);
                let weight =
                    if self.by_panels { sums } else { layer.weight_gradient.unpack(&sums) };
                (weight, sum(&|group| &group.biases[i]))
            })
            .collect();
        StackGradients { parameters, norm }
    }
}

/// Floats per task when the gradients of groups are summed.
const CHUNK: usize = 1 << 14;

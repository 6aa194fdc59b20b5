//! Convolutional layers run depth first: a few images go through all layers, forward and back,
//! while their activations are in the cache.
//!
//! Images are divided into groups of fixed size; gradients of weights are summed within a group,
//! then over the groups in order. So results do not depend on the number of threads.

mod run;
mod speed;

pub(crate) use run::{Backward, Input, Upstream};
pub use speed::{LayerSpeed, layer_speed};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::activation::{Activation, Window};
use crate::bf16::Precision;
use crate::buffer::Buffer;
use crate::elementwise;
use crate::geometry::{Conv, Layout};
use crate::norm::GradientSums;
use crate::reduce::{Reduction, Scratch, Way};
use crate::simd::Level;
use crate::weight_gradient::WeightGradient;

/// Images per group.
const GROUP: usize = 8;

/// Floats of activations and gradients that are in flight at once; about half a second-level cache.
const IN_FLIGHT: usize = 100_000;

/// Multiplications per value up to which a layer costs less than its output's way to memory and back.
const CHEAP: usize = 32;

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
    /// The input of each layer with the border it needs, and the last output with the border its
    /// gradient needs; the output itself has none.
    maps: Vec<Layout>,
    /// Whether the weight gradient of its only layer is divided among threads by panels of weights,
    /// not by groups of images: one group's sums would be larger than its maps.
    by_panels: bool,
    /// Whether the first layer runs again on the way back: for images of few channels that costs
    /// less than keeping what it made, by far the largest map, and reading it from memory.
    first_again: bool,
    pool: Mutex<Pool>,
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
struct Packed(Vec<Buffer>);

impl Prepared {
    /// Which of a layer's input and its output's gradient is the small map's.
    fn small_and_large<'a>(&self, map: &'a [f32], gradient: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        if self.transposed { (map, gradient) } else { (gradient, map) }
    }
}

/// Sums of one group.
struct Sums {
    weights: Vec<Vec<f32>>,
    biases: Vec<Vec<f32>>,
    norm: Vec<GradientSums>,
}

/// What one task needs besides its share of inputs and outputs.
#[derive(Debug)]
struct Workspace {
    /// For a block of images: the maps and their gradients.
    maps: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    scratch: Scratch,
    row: Vec<f32>,
}

/// Memory for the next call. Borders in it are zero and stay so, because only what lies between
/// them is ever written.
#[derive(Debug, Default)]
struct Pool {
    workspaces: Vec<Workspace>,
    kept: Vec<Vec<f32>>,
    wholes: Vec<Vec<f32>>,
}

impl Pool {
    /// Memory of this length from one kind of it.
    fn take(kind: &mut Vec<Vec<f32>>, length: usize) -> Vec<f32> {
        let fits = kind.iter().position(|maps| maps.len() == length);
        let maps = fits.map(|i| kind.swap_remove(i));
        // Batches of another size are rare; their memory is not worth keeping.
        if maps.is_none() {
            kind.clear();
        }
        maps.unwrap_or_else(|| vec![0.0; length])
    }
}

/// The inputs of layers that are not made again, map by map, kept from the way forward for the way
/// back.
#[derive(Debug)]
pub(crate) struct Kept {
    stack: Arc<Stack>,
    maps: Vec<f32>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stack.pool().kept.push(std::mem::take(&mut self.maps));
    }
}

/// Stacks in use, by what they were prepared for, the latest last.
static PREPARED: Mutex<Vec<(Key, Arc<Stack>)>> = Mutex::new(Vec::new());

type Key = (Level, Precision, [usize; 3], Vec<Layer>);

/// Stacks that are kept prepared; a model has two or, with normalisation, one per layer.
const PREPARED_AT_MOST: usize = 32;

/// Locks even if a panic elsewhere left the lock poisoned: what it protects is only memory.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stack {
    /// The stack prepared for these layers and this input; made on first use.
    ///
    /// # Panics
    /// If the input is too small for a layer.
    pub(crate) fn prepared(
        level: Level,
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
        if prepared.len() == PREPARED_AT_MOST {
            prepared.remove(0);
        }
        prepared.push(((level, precision, input, layers.to_vec()), stack.clone()));
        stack
    }

    /// # Panics
    /// If the input is too small for a layer.
    pub(crate) fn new(
        level: Level,
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
            let after =
                if i + 1 == layers.len() { Layout::plain(maps[i + 1].shape) } else { maps[i + 1] };
            Prepared {
                transposed,
                activation: layers[i].activation,
                forward: Reduction::new(level, precision, conv, forward, maps[i], after),
                backward: Reduction::new(level, precision, conv, backward, maps[i + 1], maps[i]),
                weight: WeightGradient::new(level, precision, conv, small, large),
            }
        };
        let layers: Vec<_> = (0..layers.len()).map(prepare).collect();
        let by_panels = layers.len() == 1 && layers[0].weight.has_panels();
        let first_again = layers.len() > 1
            && !layers[0].transposed
            && convs[0].weights() <= CHEAP * convs[0].small[2];
        Self { level, layers, maps, by_panels, first_again, pool: Mutex::default() }
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

    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }

    /// Runs a task with a workspace, which the next task gets.
    fn with_workspace<T>(&self, task: impl FnOnce(&mut Workspace) -> T) -> T {
        let pooled = self.pool().workspaces.pop();
        let mut work = pooled.unwrap_or_else(|| {
            let map = |layout: &Layout| vec![0.0; self.block() * layout.len() + self.level.panel()];
            Workspace {
                maps: self.maps.iter().map(map).collect(),
                gradients: self.maps.iter().map(map).collect(),
                scratch: Scratch::default(),
                row: Vec::new(),
            }
        });
        let result = task(&mut work);
        self.pool().workspaces.push(work);
        result
    }

    /// Floats of the input, and of the output, of one image.
    fn sizes(&self) -> [usize; 2] {
        [self.maps[0].shape, self.output()].map(|shape| shape.iter().product())
    }

    /// Floats of these maps for a number of images. The inner loop reads whole panels of the last
    /// pixel.
    fn length(&self, maps: &[Layout], images: usize) -> usize {
        let floats: usize = maps.iter().map(|map| images * map.len()).sum();
        floats + self.level.panel()
    }

    fn keep(self: &Arc<Self>, images: usize) -> Kept {
        let length = self.length(self.kept_maps(), images);
        Kept { stack: self.clone(), maps: Pool::take(&mut self.pool().kept, length) }
    }

    /// The first layer whose input is kept.
    fn first_kept(&self) -> usize {
        if self.first_again { 2 } else { 1 }
    }

    fn kept_maps(&self) -> &[Layout] {
        &self.maps[self.first_kept()..self.layers.len()]
    }

    /// Memory for the input of the only layer and the gradient of its output.
    fn whole(&self, images: usize) -> Vec<f32> {
        let length = self.length(&self.maps, images);
        Pool::take(&mut self.pool().wholes, length)
    }

    fn sums(&self) -> Sums {
        let weights = |layer: &Prepared| {
            if self.by_panels { Vec::new() } else { layer.weight.zeros() }
        };
        Sums {
            weights: self.layers.iter().map(weights).collect(),
            biases: self.maps[1..].iter().map(|map| vec![0.0; map.shape[2]]).collect(),
            norm: Vec::new(),
        }
    }

    fn pack(&self, parameters: &Parameters<'_>, which: fn(&Prepared) -> &Reduction) -> Packed {
        let layers = self.layers.par_iter().zip(parameters);
        Packed(layers.map(|(layer, (weight, _))| which(layer).pack(weight)).collect())
    }

    /// The sums of all groups, added in order. Leaves out weight gradients that are made by panels.
    fn total(&self, mut groups: Vec<Sums>) -> Backward {
        let norm = groups.iter_mut().flat_map(|group| std::mem::take(&mut group.norm)).collect();
        let add = |of: &(dyn Fn(&Sums) -> &[f32] + Sync)| {
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
                let weights = add(&|sums| &sums.weights[i]);
                let weights = if self.by_panels { weights } else { layer.weight.unpack(&weights) };
                (weights, add(&|sums| &sums.biases[i]))
            })
            .collect();
        Backward { parameters, norm }
    }
}

/// Floats per task when sums of groups are added.
const CHUNK: usize = 1 << 14;

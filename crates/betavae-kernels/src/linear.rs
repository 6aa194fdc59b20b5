//! Linear layers on the inner loop of convolutions.
//!
//! Weights [O, I] are the large operand and are read in place, once: their values are broadcast,
//! and the images of the batch run along the lanes.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::elementwise;
use crate::simd::Level;

/// Rows of the weights per task, so that they stay in the cache for all panels of the batch.
const ROWS: usize = 16;

/// Terms of a sum per pass over the batch, so that the batch's part stays in the cache.
const TERMS: usize = 1024;

/// A batch [B, n] in the order in which the inner loop wants it: [panel of B, n, lane].
struct Batch {
    panel: usize,
    images: usize,
    n: usize,
    values: Vec<f32>,
}

impl Batch {
    fn pack(level: Level, x: &[f32], n: usize) -> Self {
        let (panel, images) = (level.panel(), x.len() / n);
        let mut values = vec![0.0; images.div_ceil(panel) * n * panel];
        let panels = values.chunks_mut(n * panel).zip(x.chunks(n * panel));
        for_each(x.len(), panels, |(to, from)| {
            for (k, to) in to.chunks_exact_mut(panel).enumerate() {
                let lanes = to.iter_mut().zip(from[k..].iter().step_by(n));
                lanes.for_each(|(to, x)| *to = *x);
            }
        });
        Self { panel, images, n, values }
    }

    /// sum over k of `matrix`[place(row) + k step] * batch[b, k] for every row, as [row, b].
    fn times(&self, level: Level, matrix: &[f32], rows: usize, strides: [usize; 2]) -> Vec<f32> {
        let mut out = vec![0.0; rows * self.images];
        let tasks = out.chunks_mut(ROWS * self.images).enumerate();
        for_each(rows * self.n * self.images / 64, tasks, |(i, out)| {
            let count = out.len() / self.images;
            let first = i * ROWS * strides[0];
            let positions: Positions =
                (0..count).map(|row| [row * strides[0], row * self.images]).collect();
            for start in (0..self.n).step_by(TERMS) {
                let terms = TERMS.min(self.n - start);
                let job = Contract {
                    x: &matrix[first + start * strides[1]..],
                    w: &self.values[start * self.panel..],
                    positions: &positions,
                    samples: 1,
                    sample_stride: [0; 2],
                    steps: Steps {
                        count: [1, 1, terms],
                        x: [0, 0, strides[1]],
                        w: [0, 0, self.panel],
                    },
                    n: self.images,
                    panel_stride: [self.n * self.panel, self.panel],
                    finish: Finish::Add,
                    repeat: 1,
                    repeat_stride: [0; 3],
                    pairs: false,
                };
                contract(level, &job, out);
            }
        });
        out
    }
}

/// Work, in floats moved or in 64 multiplications, from which threads are worth their waking up.
const PARALLEL: usize = 1 << 16;

/// Runs tasks in parallel if there is enough to do.
fn for_each<T: Send>(
    work: usize,
    tasks: impl Iterator<Item = T> + Send,
    f: impl Fn(T) + Send + Sync,
) {
    if work < PARALLEL {
        tasks.for_each(f);
    } else {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(f);
    }
}

/// [n, B] to [B, n], and then `finish` on each row.
fn transposed(x: &[f32], images: usize, finish: impl Fn(&mut [f32]) + Send + Sync) -> Vec<f32> {
    let n = x.len() / images;
    let mut out = vec![0.0; x.len()];
    // Some images at a time, whose floats lie in the same lines of the cache.
    let blocks = out.chunks_mut(LINE * n).enumerate();
    for_each(x.len(), blocks, |(block, rows)| {
        for (k, from) in x.chunks_exact(images).enumerate() {
            let from = from[block * LINE..].iter();
            let column = rows[k..].iter_mut().step_by(n);
            column.zip(from).for_each(|(to, x)| *to = *x);
        }
        rows.chunks_exact_mut(n).for_each(&finish);
    });
    out
}

/// Floats in a line of the cache.
const LINE: usize = 16;

/// activation(x weight^T + bias): [B, O] of `x` [B, I] and `weight` [O, I].
pub(crate) fn forward(
    level: Level,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
) -> Vec<f32> {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    let batch = Batch::pack(level, x, inputs);
    let y = batch.times(level, weight, outputs, [inputs, 1]);
    transposed(&y, batch.images, |row| {
        elementwise::add(row, bias);
        elementwise::activate(level, row, activation);
    })
}

/// Gradients by `x` (if wanted), weight and bias, for the gradient before the activation.
pub(crate) fn backward(
    level: Level,
    x: &[f32],
    weight: &[f32],
    gradient: &[f32],
    outputs: usize,
    wanted: bool,
) -> (Option<Vec<f32>>, Vec<f32>, Vec<f32>) {
    let inputs = weight.len() / outputs;
    let images = x.len() / inputs;
    let dx = wanted.then(|| {
        let batch = Batch::pack(level, gradient, outputs);
        transposed(&batch.times(level, weight, inputs, [1, inputs]), images, |_| ())
    });
    // The inner loop reads whole panels of the last row.
    let mut padded = Vec::with_capacity(x.len() + level.panel());
    padded.extend_from_slice(x);
    padded.resize(x.len() + level.panel(), 0.0);
    let mut dw = vec![0.0; weight.len()];
    let tasks = dw.chunks_mut(ROWS * inputs).enumerate();
    for_each(weight.len() * images / 64, tasks, |(i, dw)| {
        let job = Contract {
            x: &gradient[i * ROWS..],
            w: &padded,
            positions: &(0..dw.len() / inputs).map(|row| [row, row * inputs]).collect(),
            samples: 1,
            sample_stride: [0; 2],
            steps: Steps { count: [1, 1, images], x: [0, 0, outputs], w: [0, 0, inputs] },
            n: inputs,
            panel_stride: [level.panel(); 2],
            finish: Finish::Store,
            repeat: 1,
            repeat_stride: [0; 3],
            pairs: false,
        };
        contract(level, &job, dw);
    });
    let mut db = vec![0.0; outputs];
    gradient.chunks_exact(outputs).for_each(|row| elementwise::add(&mut db, row));
    (dx, dw, db)
}

//! Linear layers on the inner loop of convolutions.
//!
//! Weights [O, I] are the large operand and are read once. On the way forward they are broadcast in
//! place, and the images of the batch run along the lanes; on the way back inputs run along the
//! lanes, and gradients are broadcast. In bf16, two terms of a sum are a pair; sums of an odd number
//! of terms stay in f32.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::bf16::{self, Precision};
use crate::buffer::filled;
use crate::contract::{Contract, Finish, Positions, Steps, contract};
use crate::elementwise;
use crate::simd::Level;

/// Rows of the weights per task on the way forward and for their gradient, so that they stay in the
/// cache for all panels.
const ROWS: usize = 16;

/// Terms of a sum per pass over the batch on the way forward, so that the batch's part stays in the
/// cache.
const TERMS: usize = 1024;

/// Rows and columns of the weights that are collected at once for the input's gradient; half of a
/// second-level cache.
const BLOCK: [usize; 2] = [1024, 128];

/// A batch [B, n] in the order in which the inner loop wants it: [panel of B, n, lane], or pairs of n.
struct Batch {
    panel: usize,
    images: usize,
    n: usize,
    values: Vec<f32>,
    pairs: bool,
}

/// Whether sums of `terms` are of pairs.
fn paired(precision: Precision, terms: usize) -> bool {
    precision == Precision::Bf16 && terms.is_multiple_of(2)
}

impl Batch {
    fn pack(level: Level, precision: Precision, x: &[f32], n: usize) -> Self {
        let (panel, images) = (level.panel(), x.len() / n);
        let mut values = vec![0.0; images.div_ceil(panel) * n * panel];
        let panels = values.chunks_mut(n * panel).zip(x.chunks(n * panel));
        for_each(x.len(), panels, |(to, from)| {
            for (k, to) in to.chunks_exact_mut(panel).enumerate() {
                let lanes = to.iter_mut().zip(from[k..].iter().step_by(n));
                lanes.for_each(|(to, x)| *to = *x);
            }
        });
        let pairs = paired(precision, n);
        if pairs {
            let steps = std::mem::take(&mut values);
            values = vec![0.0; steps.len() / 2];
            bf16::pack_steps(level, panel, &steps, &mut values);
        }
        Self { panel, images, n, values, pairs }
    }

    /// matrix [rows, n] times the transposed batch: [rows, B].
    fn times(&self, level: Level, matrix: &[f32], rows: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * self.images];
        let tasks = out.chunks_mut(ROWS * self.images).enumerate();
        for_each(rows * self.n * self.images / 64, tasks, |(i, out)| {
            let count = out.len() / self.images;
            let rows = &matrix[i * ROWS * self.n..][..count * self.n];
            let (rows, n) = match self.pairs {
                true => (&*neighbours(level, rows), self.n / 2),
                false => (rows, self.n),
            };
            let positions: Positions = (0..count).map(|row| [row * n, row * self.images]).collect();
            for start in (0..n).step_by(TERMS) {
                let terms = TERMS.min(n - start);
                let job = Contract {
                    x: &rows[start..],
                    w: &self.values[start * self.panel..],
                    positions: &positions,
                    samples: 1,
                    sample_stride: [0; 2],
                    steps: Steps { count: [1, 1, terms], x: [0, 0, 1], w: [0, 0, self.panel] },
                    n: self.images,
                    panel_stride: [n * self.panel, self.panel],
                    finish: Finish::Add,
                    repeat: 1,
                    repeat_stride: [0; 3],
                    pairs: self.pairs,
                };
                contract(level, &job, out);
            }
        });
        out
    }
}

/// Pairs of neighbours.
fn neighbours(level: Level, from: &[f32]) -> Vec<f32> {
    let mut pairs = vec![0.0; from.len() / 2];
    bf16::pack_neighbours(level, from, &mut pairs);
    pairs
}

/// Work, in floats moved or in 64 multiplications, from which threads are worth their waking up.
const PARALLEL: usize = 1 << 14;

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
    precision: Precision,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
) -> Vec<f32> {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    let batch = Batch::pack(level, precision, x, inputs);
    let y = batch.times(level, weight, outputs);
    transposed(&y, batch.images, |row| {
        elementwise::add(row, bias);
        elementwise::activate(level, row, activation);
    })
}

/// Gradients by `x` (if wanted), weight and bias, for the gradient before the activation.
pub(crate) fn backward(
    level: Level,
    precision: Precision,
    x: &[f32],
    weight: &[f32],
    gradient: &[f32],
    outputs: usize,
    wanted: bool,
) -> (Option<Vec<f32>>, Vec<f32>, Vec<f32>) {
    let dx = wanted.then(|| input_gradient(level, precision, weight, gradient, outputs));
    let dw = weight_gradient(level, precision, x, gradient, [outputs, weight.len() / outputs]);
    let mut db = vec![0.0; outputs];
    gradient.chunks_exact(outputs).for_each(|row| elementwise::add(&mut db, row));
    (dx, dw, db)
}

/// gradient weight: [B, I]
fn input_gradient(
    level: Level,
    precision: Precision,
    weight: &[f32],
    gradient: &[f32],
    outputs: usize,
) -> Vec<f32> {
    let pairs = paired(precision, outputs);
    let half = if pairs { 2 } else { 1 };
    let packed = if pairs { neighbours(level, gradient) } else { Vec::new() };
    let factors = if pairs { &packed } else { gradient };
    let (panel, inputs, images) = (level.panel(), weight.len() / outputs, gradient.len() / outputs);
    let columns = |block: usize| block * BLOCK[1]..inputs.min((block + 1) * BLOCK[1]);
    let blocks: Vec<_> = (0..inputs.div_ceil(BLOCK[1]))
        .into_par_iter()
        .map(|block| {
            let columns = columns(block);
            let width = columns.len();
            let rows = BLOCK[0].min(outputs);
            // [panel, row, lane]
            let mut collected = vec![0.0; width.div_ceil(panel) * rows * panel];
            let mut sums = vec![0.0; images * width];
            let positions = (0..images).map(|b| [b * outputs / half, b * width]).collect();
            let mut packed = vec![0.0; if pairs { collected.len() / 2 } else { 0 }];
            for first in (0..outputs).step_by(rows) {
                let count = rows.min(outputs - first);
                for (i, row) in
                    weight[first * inputs..].chunks_exact(inputs).take(count).enumerate()
                {
                    for (p, lanes) in row[columns.clone()].chunks(panel).enumerate() {
                        let to = &mut collected[(p * rows + i) * panel..][..lanes.len()];
                        to.copy_from_slice(lanes);
                    }
                }
                let w = if pairs {
                    bf16::pack_steps(level, panel, &collected, &mut packed);
                    &packed
                } else {
                    &collected
                };
                let job = Contract {
                    x: &factors[first / half..],
                    w,
                    positions: &positions,
                    samples: 1,
                    sample_stride: [0; 2],
                    steps: Steps { count: [1, 1, count / half], x: [0, 0, 1], w: [0, 0, panel] },
                    n: width,
                    panel_stride: [rows / half * panel, panel],
                    finish: Finish::Add,
                    repeat: 1,
                    repeat_stride: [0; 3],
                    pairs,
                };
                contract(level, &job, &mut sums);
            }
            sums
        })
        .collect();
    filled(images * inputs, inputs, |image, row| {
        for (block, sums) in blocks.iter().enumerate() {
            let columns = columns(block);
            let width = columns.len();
            row[columns].copy_from_slice(&sums[image * width..][..width]);
        }
    })
}

/// gradient^T x: [O, I]
fn weight_gradient(
    level: Level,
    precision: Precision,
    x: &[f32],
    gradient: &[f32],
    [outputs, inputs]: [usize; 2],
) -> Vec<f32> {
    let (panel, images) = (level.panel(), x.len() / inputs);
    let pairs = paired(precision, images);
    let terms = if pairs { images / 2 } else { images };
    let paired_up = |width: usize, steps: &[f32]| {
        let mut pairs = vec![0.0; steps.len() / 2];
        bf16::pack_steps(level, width, steps, &mut pairs);
        pairs
    };
    // [panel of inputs, image, lane]
    let mut panels = filled(images * inputs.div_ceil(panel) * panel, images * panel, |i, to| {
        let first = i * panel;
        let lanes = panel.min(inputs - first);
        for (to, row) in to.chunks_exact_mut(panel).zip(x.chunks_exact(inputs)) {
            to[..lanes].copy_from_slice(&row[first..][..lanes]);
        }
    });
    if pairs {
        panels = paired_up(panel, &panels);
    }
    filled(outputs * inputs, ROWS * inputs, |i, to| {
        let rows = to.len() / inputs;
        // [image, row]
        let mut factors = vec![0.0; images * ROWS];
        for (to, from) in factors.chunks_exact_mut(ROWS).zip(gradient.chunks_exact(outputs)) {
            to[..rows].copy_from_slice(&from[i * ROWS..][..rows]);
        }
        if pairs {
            factors = paired_up(ROWS, &factors);
        }
        let job = Contract {
            x: &factors,
            w: &panels,
            positions: &(0..rows).map(|row| [row, row * inputs]).collect(),
            samples: 1,
            sample_stride: [0; 2],
            steps: Steps { count: [1, 1, terms], x: [0, 0, ROWS], w: [0, 0, panel] },
            n: inputs,
            panel_stride: [terms * panel, panel],
            finish: Finish::Store,
            repeat: 1,
            repeat_stride: [0; 3],
            pairs,
        };
        contract(level, &job, to);
    })
}

//! Linear layers and their gradients as products of `indirect_gemm`, on slices; the operator over tensors
//! is in `ops::linear`.
//!
//! The weight [O, I] is the large operand and is read once. In the forward pass it is broadcast without
//! packing, and the lanes are the images of the batch; in the backward pass the lanes are inputs, and
//! the gradient is broadcast. In bf16, two terms of a sum are a pair; sums of an odd number of terms
//! stay f32.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::bf16::{self, Precision};
use crate::buffer::par_filled;
use crate::elementwise;
use crate::epilogue::Epilogue;
use crate::indirect_gemm::{IndirectGemm, Positions, TermLoops, indirect_gemm};
use crate::simd::SimdLevel;

/// Rows of the weight per task, in the forward pass and for its gradient. They stay in the cache for all
/// panels.
const ROWS: usize = 16;

/// Terms of a sum that are added at once in the forward pass, so that these terms of the whole batch stay
/// in the cache.
const TERMS: usize = 1024;

/// Rows and columns of the weight that are packed at once for the input's gradient, half a second-level
/// cache.
const BLOCK: [usize; 2] = [1024, 128];

/// A packed batch [B, n]: [panel of B, n, lane], or with bf16 [panel of B, pair of n, lane].
struct PackedBatch {
    panel: usize,
    images: usize,
    n: usize,
    values: Vec<f32>,
    bf16_pairs: bool,
}

/// Whether sums of `terms` are computed as sums of bf16 pairs.
fn uses_bf16_pairs(precision: Precision, terms: usize) -> bool {
    precision == Precision::Bf16 && terms.is_multiple_of(2)
}

impl PackedBatch {
    fn pack(level: SimdLevel, precision: Precision, x: &[f32], n: usize) -> Self {
        let (panel, images) = (level.panel(), x.len() / n);
        let mut values = vec![0.0; images.div_ceil(panel) * n * panel];
        let panels = values.chunks_mut(n * panel).zip(x.chunks(n * panel));
        for_each_task(x.len(), panels, |(to, from)| {
            for (k, to) in to.chunks_exact_mut(panel).enumerate() {
                let lanes = to.iter_mut().zip(from[k..].iter().step_by(n));
                lanes.for_each(|(to, x)| *to = *x);
            }
        });
        let bf16_pairs = uses_bf16_pairs(precision, n);
        if bf16_pairs {
            let rows = std::mem::take(&mut values);
            values = vec![0.0; rows.len() / 2];
            bf16::pack_rows(level, panel, &rows, &mut values);
        }
        Self { panel, images, n, values, bf16_pairs }
    }

    /// The product of `matrix` [rows, n] with the transposed batch: [rows, B].
    fn matmul_transposed(&self, level: SimdLevel, matrix: &[f32], rows: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * self.images];
        let tasks = out.chunks_mut(ROWS * self.images).enumerate();
        for_each_task(rows * self.n * self.images / 64, tasks, |(i, out)| {
            let count = out.len() / self.images;
            let rows = &matrix[i * ROWS * self.n..][..count * self.n];
            let (rows, n) = match self.bf16_pairs {
                true => (&*pack_pairs(level, rows), self.n / 2),
                false => (rows, self.n),
            };
            let positions: Positions = (0..count).map(|row| [row * n, row * self.images]).collect();
            for start in (0..n).step_by(TERMS) {
                let terms = TERMS.min(n - start);
                let gemm = IndirectGemm {
                    x: &rows[start..],
                    w: &self.values[start * self.panel..],
                    positions: &positions,
                    images: 1,
                    image_stride: [0; 2],
                    terms: TermLoops { count: [1, 1, terms], x: [0, 0, 1], w: [0, 0, self.panel] },
                    n: self.images,
                    panel_stride: [n * self.panel, self.panel],
                    epilogue: Epilogue::Accumulate,
                    products: 1,
                    product_stride: [0; 3],
                    bf16_pairs: self.bf16_pairs,
                };
                indirect_gemm(level, &gemm, out);
            }
        });
        out
    }
}

/// Packs neighbours as pairs of bf16.
fn pack_pairs(level: SimdLevel, from: &[f32]) -> Vec<f32> {
    let mut pairs = vec![0.0; from.len() / 2];
    bf16::pack_neighbours(level, from, &mut pairs);
    pairs
}

/// The work from which several threads pay, in floats moved or in units of 64 multiplications.
const MIN_PARALLEL_WORK: usize = 1 << 14;

/// Runs tasks, in parallel if there is enough work.
fn for_each_task<T: Send>(
    work: usize,
    tasks: impl Iterator<Item = T> + Send,
    f: impl Fn(T) + Send + Sync,
) {
    if work < MIN_PARALLEL_WORK {
        tasks.for_each(f);
    } else {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(f);
    }
}

/// Transposes [n, B] to [B, n], and then applies `f` to each row.
fn transpose_and_map(x: &[f32], images: usize, f: impl Fn(&mut [f32]) + Send + Sync) -> Vec<f32> {
    let n = x.len() / images;
    let mut out = vec![0.0; x.len()];
    // A block is as many images as have their floats in the same cache line.
    let blocks = out.chunks_mut(CACHE_LINE * n).enumerate();
    for_each_task(x.len(), blocks, |(block, rows)| {
        for (k, from) in x.chunks_exact(images).enumerate() {
            let from = from[block * CACHE_LINE..].iter();
            let column = rows[k..].iter_mut().step_by(n);
            column.zip(from).for_each(|(to, x)| *to = *x);
        }
        rows.chunks_exact_mut(n).for_each(&f);
    });
    out
}

/// Floats in a cache line.
const CACHE_LINE: usize = 16;

/// activation(x weight^T + bias) [B, O], for `x` [B, I] and `weight` [O, I].
pub(crate) fn forward(
    level: SimdLevel,
    precision: Precision,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
) -> Vec<f32> {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    let batch = PackedBatch::pack(level, precision, x, inputs);
    let y = batch.matmul_transposed(level, weight, outputs);
    transpose_and_map(&y, batch.images, |row| {
        elementwise::add(row, bias);
        elementwise::activate(level, row, activation);
    })
}

/// Those of the gradients of `x`, weight and bias that are needed, from the gradient [B, O] before the activation.
pub(crate) fn backward(
    level: SimdLevel,
    precision: Precision,
    x: &[f32],
    weight: &[f32],
    gradient: &[f32],
    outputs: usize,
    needs_gradient: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    let [needs_dx, needs_dw, needs_db] = needs_gradient;
    let shape = [outputs, weight.len() / outputs];
    let dx = needs_dx.then(|| input_gradient(level, precision, weight, gradient, outputs));
    // The parameters of a network that is only looked through, such as a discriminator's, are constants.
    let dw = needs_dw.then(|| weight_gradient(level, precision, x, gradient, shape));
    let db = needs_db.then(|| {
        let mut db = vec![0.0; outputs];
        gradient.chunks_exact(outputs).for_each(|row| elementwise::add(&mut db, row));
        db
    });
    [dx, dw, db]
}

/// The gradient of the input [B, I]: gradient weight.
fn input_gradient(
    level: SimdLevel,
    precision: Precision,
    weight: &[f32],
    gradient: &[f32],
    outputs: usize,
) -> Vec<f32> {
    let bf16_pairs = uses_bf16_pairs(precision, outputs);
    let per_float = if bf16_pairs { 2 } else { 1 };
    let packed = if bf16_pairs { pack_pairs(level, gradient) } else { Vec::new() };
    let factors = if bf16_pairs { &packed } else { gradient };
    let (panel, inputs, images) = (level.panel(), weight.len() / outputs, gradient.len() / outputs);
    let columns = |block: usize| block * BLOCK[1]..inputs.min((block + 1) * BLOCK[1]);
    let blocks: Vec<_> = (0..inputs.div_ceil(BLOCK[1]))
        .into_par_iter()
        .map(|block| {
            let columns = columns(block);
            let width = columns.len();
            let rows = BLOCK[0].min(outputs);
            // [panel, row, lane]
            let mut block_rows = vec![0.0; width.div_ceil(panel) * rows * panel];
            let mut sums = vec![0.0; images * width];
            let positions = (0..images).map(|b| [b * outputs / per_float, b * width]).collect();
            let mut packed = vec![0.0; if bf16_pairs { block_rows.len() / 2 } else { 0 }];
            for first in (0..outputs).step_by(rows) {
                let count = rows.min(outputs - first);
                for (i, row) in
                    weight[first * inputs..].chunks_exact(inputs).take(count).enumerate()
                {
                    for (p, lanes) in row[columns.clone()].chunks(panel).enumerate() {
                        let to = &mut block_rows[(p * rows + i) * panel..][..lanes.len()];
                        to.copy_from_slice(lanes);
                    }
                }
                let w = if bf16_pairs {
                    bf16::pack_rows(level, panel, &block_rows, &mut packed);
                    &packed
                } else {
                    &block_rows
                };
                let gemm = IndirectGemm {
                    x: &factors[first / per_float..],
                    w,
                    positions: &positions,
                    images: 1,
                    image_stride: [0; 2],
                    terms: TermLoops {
                        count: [1, 1, count / per_float],
                        x: [0, 0, 1],
                        w: [0, 0, panel],
                    },
                    n: width,
                    panel_stride: [rows / per_float * panel, panel],
                    epilogue: Epilogue::Accumulate,
                    products: 1,
                    product_stride: [0; 3],
                    bf16_pairs,
                };
                indirect_gemm(level, &gemm, &mut sums);
            }
            sums
        })
        .collect();
    par_filled(images * inputs, inputs, |image, row| {
        for (block, sums) in blocks.iter().enumerate() {
            let columns = columns(block);
            let width = columns.len();
            row[columns].copy_from_slice(&sums[image * width..][..width]);
        }
    })
}

/// The gradient of the weight [O, I]: gradient^T x.
fn weight_gradient(
    level: SimdLevel,
    precision: Precision,
    x: &[f32],
    gradient: &[f32],
    [outputs, inputs]: [usize; 2],
) -> Vec<f32> {
    let (panel, images) = (level.panel(), x.len() / inputs);
    let bf16_pairs = uses_bf16_pairs(precision, images);
    let terms = if bf16_pairs { images / 2 } else { images };
    let pack_pairs = |width: usize, rows: &[f32]| {
        let mut pairs = vec![0.0; rows.len() / 2];
        bf16::pack_rows(level, width, rows, &mut pairs);
        pairs
    };
    // [panel of inputs, image, lane]
    let mut panels =
        par_filled(images * inputs.div_ceil(panel) * panel, images * panel, |i, to| {
            let first = i * panel;
            let lanes = panel.min(inputs - first);
            for (to, row) in to.chunks_exact_mut(panel).zip(x.chunks_exact(inputs)) {
                to[..lanes].copy_from_slice(&row[first..][..lanes]);
            }
        });
    if bf16_pairs {
        panels = pack_pairs(panel, &panels);
    }
    par_filled(outputs * inputs, ROWS * inputs, |i, to| {
        let rows = to.len() / inputs;
        // [image, row]
        let mut factors = vec![0.0; images * ROWS];
        for (to, from) in factors.chunks_exact_mut(ROWS).zip(gradient.chunks_exact(outputs)) {
            to[..rows].copy_from_slice(&from[i * ROWS..][..rows]);
        }
        if bf16_pairs {
            factors = pack_pairs(ROWS, &factors);
        }
        let gemm = IndirectGemm {
            x: &factors,
            w: &panels,
            positions: &(0..rows).map(|row| [row, row * inputs]).collect(),
            images: 1,
            image_stride: [0; 2],
            terms: TermLoops { count: [1, 1, terms], x: [0, 0, ROWS], w: [0, 0, panel] },
            n: inputs,
            panel_stride: [terms * panel, panel],
            epilogue: Epilogue::Store,
            products: 1,
            product_stride: [0; 3],
            bf16_pairs,
        };
        indirect_gemm(level, &gemm, to);
    })
}

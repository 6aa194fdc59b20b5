//! The ways through a [`Stack`], in parallel over groups of images.

use std::sync::Arc;

use rayon::prelude::*;

use super::{GROUP, Kept, Packed, ParameterGradients, Parameters, Stack, Sums, Workspace};
use crate::contract::Finish;
use crate::elementwise::{self, Nll};

impl Stack {
    /// The output [B, ...] for `x` [B, ...]. With `keep`, also what [`Stack::backward`] needs.
    pub(crate) fn forward(
        self: &Arc<Self>,
        x: &[f32],
        parameters: &Parameters<'_>,
        keep: bool,
    ) -> (Vec<f32>, Option<Kept>) {
        let packed = self.pack(parameters, |layer| &layer.forward);
        let [input, output] = self.sizes();
        let images = x.len() / input;
        let mut y = vec![0.0; images * output];
        let mut kept = keep.then(|| self.keep(images));
        // For each group, its share of every kept map.
        let mut shares: Vec<Vec<&mut [f32]>> = Vec::new();
        shares.resize_with(images.div_ceil(GROUP), Vec::new);
        if let Some(kept) = &mut kept {
            let mut rest = kept.maps.as_mut_slice();
            for layout in self.kept_maps() {
                let (map, after) = rest.split_at_mut(images * layout.len());
                rest = after;
                let chunks = map.chunks_mut(GROUP * layout.len());
                shares.iter_mut().zip(chunks).for_each(|(share, chunk)| share.push(chunk));
            }
        }
        let groups = y.par_chunks_mut(GROUP * output).zip(x.par_chunks(GROUP * input));
        groups.zip(shares).for_each(|((y, x), mut share)| {
            self.with_workspace(|work| {
                let blocks =
                    x.chunks(self.block() * input).zip(y.chunks_mut(self.block() * output));
                for (i, (x, y)) in blocks.enumerate() {
                    let images = x.len() / input;
                    let mut maps: Vec<&mut [f32]> =
                        work.maps.iter_mut().map(Vec::as_mut_slice).collect();
                    for ((map, share), layout) in maps.iter_mut().zip(&mut share).zip(&self.maps) {
                        let start = i * self.block() * layout.len();
                        *map = &mut share[start..][..images * layout.len()];
                    }
                    self.load(x, maps[0]);
                    let scratch = &mut work.scratch;
                    self.forward_block(images, &packed, parameters, &mut maps, scratch);
                    self.unload(maps[self.layers.len()], y);
                }
            });
        });
        (y, kept)
    }

    /// Gradients of the input (if `wanted`) and of the parameters, for the gradient of the output.
    pub(crate) fn backward(
        &self,
        gradient: &[f32],
        y: &[f32],
        kept: &Kept,
        parameters: &Parameters<'_>,
        wanted: bool,
    ) -> (Option<Vec<f32>>, ParameterGradients) {
        let packed = self.pack(parameters, |layer| &layer.backward);
        let [input, output] = self.sizes();
        let images = y.len() / output;
        let mut dx = vec![0.0; if wanted { images * input } else { 0 }];
        let sums: Vec<_> = self
            .shares(&mut dx, images)
            .into_par_iter()
            .enumerate()
            .map(|(i, mut dx)| {
                self.with_workspace(|work| {
                    let mut sums = self.sums();
                    let first = i * GROUP;
                    let last = images.min(first + GROUP);
                    for first in (first..last).step_by(self.block()) {
                        let count = self.block().min(last - first);
                        let range = first * output..(first + count) * output;
                        self.load_slope(&gradient[range.clone()], &y[range], work);
                        let mut start = 0;
                        let maps: Vec<&[f32]> = self
                            .kept_maps()
                            .iter()
                            .map(|layout| {
                                let map = &kept.maps[start + first * layout.len()..];
                                start += images * layout.len();
                                map
                            })
                            .collect();
                        let Workspace { gradients, scratch, row, .. } = work;
                        let mut back = Back { gradients, scratch, row, sums: &mut sums };
                        let dx = self.block_of(&mut dx, first - i * GROUP, count);
                        self.backward_block(count, &packed, &maps, &mut back, dx);
                    }
                    sums
                })
            })
            .collect();
        (wanted.then_some(dx), self.total(&sums))
    }

    /// The mean over images of the negative log-likelihood of `target` given the output as logits
    /// or means, without its constant. With `differentiate`, also its gradients by the input and
    /// the parameters.
    pub(crate) fn nll(
        &self,
        x: &[f32],
        target: &[f32],
        parameters: &Parameters<'_>,
        nll: Nll,
        differentiate: bool,
    ) -> (f32, Option<(Vec<f32>, ParameterGradients)>) {
        let forward = self.pack(parameters, |layer| &layer.forward);
        let backward = self.pack(parameters, |layer| &layer.backward);
        let [input, output] = self.sizes();
        let images = x.len() / input;
        let mut dx = vec![0.0; if differentiate { x.len() } else { 0 }];
        let results: Vec<_> = self
            .shares(&mut dx, images)
            .into_par_iter()
            .enumerate()
            .map(|(i, mut dx)| {
                self.with_workspace(|work| {
                    let mut sums = self.sums();
                    let mut total = 0.0;
                    let last = images.min((i + 1) * GROUP);
                    for first in (i * GROUP..last).step_by(self.block()) {
                        let count = self.block().min(last - first);
                        let Workspace { maps, gradients, scratch, row } = &mut *work;
                        self.load(&x[first * input..][..count * input], &mut maps[0]);
                        let mut all: Vec<_> = maps.iter_mut().map(Vec::as_mut_slice).collect();
                        self.forward_block(count, &forward, parameters, &mut all, scratch);
                        let target = &target[first * output..][..count * output];
                        let (y, rest) = (&maps[self.layers.len()], gradients.last_mut());
                        let Some(gradient) = rest else { unreachable!("a stack has layers") };
                        total += self.nll_block(nll, y, target, gradient, 1.0 / images as f32);
                        if differentiate {
                            let maps: Vec<_> = maps.iter().map(Vec::as_slice).collect();
                            let mut back = Back { gradients, scratch, row, sums: &mut sums };
                            let dx = self.block_of(&mut dx, first - i * GROUP, count);
                            self.backward_block(count, &backward, &maps, &mut back, dx);
                        }
                    }
                    (total, sums)
                })
            })
            .collect();
        let (totals, sums): (Vec<f64>, Vec<_>) = results.into_iter().unzip();
        let value = totals.iter().sum::<f64>() / images as f64;
        (value as f32, differentiate.then(|| (dx, self.total(&sums))))
    }

    /// Each group's share of the input's gradient, if that is not empty.
    fn shares<'a>(&self, dx: &'a mut [f32], images: usize) -> Vec<Option<&'a mut [f32]>> {
        let [input, _] = self.sizes();
        if dx.is_empty() {
            (0..images.div_ceil(GROUP)).map(|_| None).collect()
        } else {
            dx.chunks_mut(GROUP * input).map(Some).collect()
        }
    }

    /// A block's part of a group's share.
    fn block_of<'a>(
        &self,
        share: &'a mut Option<&mut [f32]>,
        first: usize,
        count: usize,
    ) -> Option<&'a mut [f32]> {
        let [input, _] = self.sizes();
        share.as_mut().map(|share| &mut share[first * input..][..count * input])
    }

    /// Plain inputs into the middle of their maps.
    fn load(&self, x: &[f32], to: &mut [f32]) {
        let [input, _] = self.sizes();
        let layout = &self.maps[0];
        for (x, map) in x.chunks_exact(input).zip(to.chunks_exact_mut(layout.len())) {
            layout.fill(x, map);
        }
    }

    /// The middles of the last maps.
    fn unload(&self, from: &[f32], y: &mut [f32]) {
        let [_, output] = self.sizes();
        let layout = &self.maps[self.layers.len()];
        let width = layout.shape[1] * layout.shape[2];
        for (map, y) in from.chunks_exact(layout.len()).zip(y.chunks_exact_mut(output)) {
            for (row, to) in layout.rows().zip(y.chunks_exact_mut(width)) {
                to.copy_from_slice(&map[row]);
            }
        }
    }

    /// The gradients of the last maps: those of the output, through the last activation.
    fn load_slope(&self, gradient: &[f32], y: &[f32], work: &mut Workspace) {
        let [_, output] = self.sizes();
        let last = self.layers.len() - 1;
        let (layout, activation) = (&self.maps[last + 1], self.layers[last].activation);
        let width = layout.shape[1] * layout.shape[2];
        let images = gradient.chunks_exact(output).zip(y.chunks_exact(output));
        let maps = work.gradients[last].chunks_exact_mut(layout.len());
        for (map, (gradient, y)) in maps.zip(images) {
            layout.fill(gradient, map);
            for (row, y) in layout.rows().zip(y.chunks_exact(width)) {
                elementwise::multiply_slope(self.level, &mut map[row], y, activation);
            }
        }
    }

    /// The sum of the negative log-likelihoods of some images, and the gradient, times `scale`, of
    /// the last maps before the activation.
    fn nll_block(
        &self,
        nll: Nll,
        maps: &[f32],
        target: &[f32],
        gradients: &mut [f32],
        scale: f32,
    ) -> f64 {
        let [_, output] = self.sizes();
        let last = self.layers.len() - 1;
        let (layout, activation) = (&self.maps[last + 1], self.layers[last].activation);
        let width = layout.shape[1] * layout.shape[2];
        let maps = maps.chunks_exact(layout.len());
        let images = maps.zip(gradients.chunks_exact_mut(layout.len()));
        let mut total = 0.0;
        for ((map, gradients), target) in images.zip(target.chunks_exact(output)) {
            for (row, target) in layout.rows().zip(target.chunks_exact(width)) {
                let (y, gradient) = (&map[row.clone()], &mut gradients[row]);
                gradient.copy_from_slice(y);
                let sum = elementwise::nll_and_gradient(self.level, nll, gradient, target, scale);
                elementwise::multiply_slope(self.level, gradient, y, activation);
                total += f64::from(sum);
            }
        }
        total
    }

    fn forward_block(
        &self,
        images: usize,
        packed: &Packed,
        parameters: &Parameters<'_>,
        maps: &mut [&mut [f32]],
        scratch: &mut crate::reduce::Scratch,
    ) {
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, after) = maps.split_at_mut(i + 1);
            let finish = Finish::Activate { bias: parameters[i].1, activation: layer.activation };
            layer.forward.run(images, &packed.0[i], before[i], after[0], finish, scratch);
        }
    }

    fn backward_block(
        &self,
        images: usize,
        packed: &Packed,
        maps: &[&[f32]],
        back: &mut Back<'_>,
        mut dx: Option<&mut [f32]>,
    ) {
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = back.gradients.split_at_mut(i);
            let (map, gradient) = (maps[i], after[0].as_slice());
            let layout = &self.maps[i + 1];
            for image in gradient.chunks_exact(layout.len()).take(images) {
                let sums = &mut back.sums.biases[i];
                elementwise::add_channel_sums(self.level, layout, image, sums, back.row);
            }
            let (small, large) = if layer.transposed { (map, gradient) } else { (gradient, map) };
            let sums = &mut back.sums.weights[i];
            layer.weight.add(images, small, large, sums, back.scratch);
            let weight = &packed.0[i];
            if let Some(to) = before.last_mut() {
                let activation = self.layers[i - 1].activation;
                let finish = Finish::Slope { at: map, activation };
                layer.backward.run(images, weight, gradient, to, finish, back.scratch);
            } else if let Some(dx) = dx.take() {
                layer.backward.run(images, weight, gradient, dx, Finish::Store, back.scratch);
            }
        }
    }
}

/// What the way back writes to.
struct Back<'a> {
    /// Gradients of all maps but the first; that of the last is there.
    gradients: &'a mut [Vec<f32>],
    scratch: &'a mut crate::reduce::Scratch,
    row: &'a mut Vec<f32>,
    sums: &'a mut Sums,
}

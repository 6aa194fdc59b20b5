//! The backward pass of a [`Stack`], and forward and backward in one pass where the stack ends in a
//! likelihood, in parallel over groups of images.

use std::ops::Range;

use rayon::prelude::*;

use super::forward::Input;
use super::workspace::{SavedActivations, Workspace, block_of_group, split_by_group};
use super::{GROUP_SIZE, GroupGradients, PackedWeights, ParameterGradients, Parameters, Stack};
use crate::batch_norm::{BatchNormBackward, GradientSums};
use crate::elementwise::{self, Nll};
use crate::epilogue::Epilogue;
use crate::prepared_conv::Scratch;

/// The gradient with respect to the output of the last layer.
#[derive(Clone, Copy)]
pub(crate) struct Upstream<'a> {
    /// [B, ...], of the output, or of its batch norm's output if `norm` is given.
    pub(crate) gradient: &'a [f32],
    /// The output itself, of which the slope of the last activation is computed.
    pub(crate) y: &'a [f32],
    /// The backward pass of the batch norm after the last layer, if there is one.
    pub(crate) norm: Option<&'a BatchNormBackward>,
}

/// The gradients of a backward pass other than that of the input.
#[derive(Debug, PartialEq)]
pub(crate) struct StackGradients {
    pub(crate) parameters: ParameterGradients,
    /// For an input with a batch norm, the sums of its gradient, in order.
    pub(crate) norm: Vec<GradientSums>,
}

/// The buffers of one block's backward pass.
struct BackwardBuffers<'a> {
    /// The gradients of all maps of the block. That of the last is given, the others are computed.
    gradients: Vec<&'a mut [f32]>,
    scratch: &'a mut Scratch,
    row: &'a mut Vec<f32>,
    /// Gradients of the parameters, to which those of the block are added.
    group: &'a mut GroupGradients,
    /// Whether the last layer's bias has no gradient: batch norm subtracts it again with the mean.
    skip_last_bias: bool,
}

impl Stack {
    /// The gradients of the parameters and, written to `dx` if it is given, of the input. If the
    /// input has a batch norm, `dx` is the gradient of that norm's output before its activation.
    pub(crate) fn backward(
        &self,
        input: Input<'_>,
        saved: &SavedActivations,
        upstream: Upstream<'_>,
        parameters: &Parameters<'_>,
        dx: Option<&mut [f32]>,
    ) -> StackGradients {
        let packed = self.pack(parameters, |layer| &layer.backward);
        let packed_first =
            self.recompute_first.then(|| self.layers[0].forward.pack(parameters[0].0));
        let [_, output] = self.sizes();
        let images = upstream.y.len() / output;
        let mut batch_maps = self.by_panels.then(|| self.take_batch_maps(images));
        let layouts = [self.maps[0], self.maps[self.layers.len()]];
        let batch_maps_by_group = match &mut batch_maps {
            Some(batch_maps) => split_by_group(batch_maps, &layouts, images),
            None => split_by_group(&mut [], &[], images),
        };
        let dx_by_group = self.input_gradient_by_group(dx, images);
        let groups = batch_maps_by_group.into_par_iter().zip(dx_by_group).enumerate();
        let group_gradients: Vec<_> = groups
            .map(|(group, (mut group_maps, mut dx))| {
                self.with_workspace(|work| {
                    let mut sums = self.zero_gradients();
                    for block in self.blocks(group, images) {
                        let Workspace { maps, gradients, scratch, row } = &mut *work;
                        let (first, rest) = maps.split_at_mut(1);
                        let mut map = first[0].as_mut_slice();
                        let mut gradients: Vec<_> =
                            gradients.iter_mut().map(Vec::as_mut_slice).collect();
                        if let [input, last] = group_maps.as_mut_slice() {
                            map = block_of_group(input, &layouts[0], &block);
                            gradients[self.layers.len()] =
                                block_of_group(last, &layouts[1], &block);
                        }
                        self.load_input(input, &block, map);
                        self.load_upstream(upstream, &block, gradients[self.layers.len()]);
                        if let Some(packed) = &packed_first {
                            let count = block.len();
                            let to = &mut rest[0];
                            self.forward_layer(0, count, packed, parameters, map, to, scratch);
                        }
                        let computed = [&*map, &rest[0]];
                        let computed = &computed[..self.first_saved()];
                        let maps = self.block_maps(computed, saved, images, block.start);
                        let mut buffers = BackwardBuffers {
                            gradients,
                            scratch,
                            row,
                            group: &mut sums,
                            skip_last_bias: upstream.norm.is_some(),
                        };
                        let needs_dx = dx.is_some();
                        let count = block.len();
                        self.backward_block(count, &packed, &maps, &mut buffers, input, needs_dx);
                        if let Some(dx) = &mut dx {
                            self.store_input_gradient(&mut buffers, input, &block, dx);
                        }
                    }
                    sums
                })
            })
            .collect();
        let mut total = self.sum_groups(group_gradients);
        if let Some(batch_maps) = batch_maps {
            let (map, gradient) = batch_maps.split_at(images * layouts[0].len());
            total.parameters[0].0 = self.weight_gradient_by_panels(images, map, gradient);
            self.pool().batch_maps.push(batch_maps);
        }
        total
    }

    /// The mean over images of the negative log-likelihood of `target` without its constant, where
    /// the output of the stack is logits or means. With `dx`, also all gradients, as
    /// [`Stack::backward`].
    pub(crate) fn nll(
        &self,
        input: Input<'_>,
        target: &[f32],
        parameters: &Parameters<'_>,
        nll: Nll,
        dx: Option<&mut [f32]>,
    ) -> (f32, Option<StackGradients>) {
        let differentiate = dx.is_some();
        let forward = self.pack(parameters, |layer| &layer.forward);
        let backward = self.pack(parameters, |layer| &layer.backward);
        let [_, output] = self.sizes();
        let images = target.len() / output;
        let groups = self.input_gradient_by_group(dx, images).into_par_iter().enumerate();
        let results: Vec<_> = groups
            .map(|(group, mut dx)| {
                self.with_workspace(|work| {
                    let mut sums = self.zero_gradients();
                    let mut total = 0.0;
                    for block in self.blocks(group, images) {
                        let Workspace { maps, gradients, scratch, row } = &mut *work;
                        self.load_input(input, &block, &mut maps[0]);
                        let mut all: Vec<_> = maps.iter_mut().map(Vec::as_mut_slice).collect();
                        self.forward_block(block.len(), &forward, parameters, &mut all, scratch);
                        let target = &target[block.start * output..block.end * output];
                        let last = self.layers.len();
                        let (y, gradient) = (&maps[last], &mut gradients[last]);
                        total += self.nll_block(nll, y, target, gradient, 1.0 / images as f32);
                        let Some(dx) = &mut dx else { continue };
                        let maps: Vec<_> = maps.iter().map(Vec::as_slice).collect();
                        let mut buffers = BackwardBuffers {
                            gradients: gradients.iter_mut().map(Vec::as_mut_slice).collect(),
                            scratch,
                            row,
                            group: &mut sums,
                            skip_last_bias: false,
                        };
                        let count = block.len();
                        self.backward_block(count, &backward, &maps, &mut buffers, input, true);
                        self.store_input_gradient(&mut buffers, input, &block, dx);
                    }
                    (total, sums)
                })
            })
            .collect();
        let (totals, group_gradients): (Vec<f64>, Vec<_>) = results.into_iter().unzip();
        let value = totals.iter().sum::<f64>() / images as f64;
        (value as f32, differentiate.then(|| self.sum_groups(group_gradients)))
    }

    /// The part of the input's gradient that each group writes; `None` for each if it is not needed.
    fn input_gradient_by_group<'a>(
        &self,
        dx: Option<&'a mut [f32]>,
        images: usize,
    ) -> Vec<Option<&'a mut [f32]>> {
        let [input, _] = self.sizes();
        match dx {
            None => (0..images.div_ceil(GROUP_SIZE)).map(|_| None).collect(),
            Some(dx) => dx.chunks_mut(GROUP_SIZE * input).map(Some).collect(),
        }
    }

    /// The inputs of all layers for the block whose first image is `first`: those that were computed
    /// now, and then the saved ones.
    fn block_maps<'a>(
        &self,
        computed: &[&'a [f32]],
        saved: &'a SavedActivations,
        images: usize,
        first: usize,
    ) -> Vec<&'a [f32]> {
        let mut start = 0;
        let rest = self.saved_layouts().iter().map(|layout| {
            let map = &saved.maps[start + first * layout.len()..];
            start += images * layout.len();
            map
        });
        computed.iter().copied().chain(rest).collect()
    }

    /// Writes the gradient of a block's last maps before the activation.
    fn load_upstream(&self, upstream: Upstream<'_>, block: &Range<usize>, to: &mut [f32]) {
        let [_, output] = self.sizes();
        let last = self.layers.len() - 1;
        let (layout, activation) = (&self.maps[last + 1], self.layers[last].activation);
        let range = block.start * output..block.end * output;
        let (gradient, y) = (&upstream.gradient[range.clone()], &upstream.y[range]);
        let images = gradient.chunks_exact(output).zip(y.chunks_exact(output));
        for (map, (gradient, y)) in to.chunks_exact_mut(layout.len()).zip(images) {
            let row_len = layout.row_len();
            let rows = gradient.chunks_exact(row_len).zip(y.chunks_exact(row_len));
            for (row, (gradient, y)) in layout.rows().zip(rows) {
                let to = &mut map[row];
                match upstream.norm {
                    Some(norm) => norm.apply(self.level, y, gradient, to),
                    None => to.copy_from_slice(gradient),
                }
                elementwise::multiply_slope(self.level, to, y, activation);
            }
        }
    }

    /// Copies the gradient of a block's inputs to `dx`. For an input with a batch norm, it adds up
    /// what that norm's backward pass needs on the way, while the gradient is in the cache.
    fn store_input_gradient(
        &self,
        buffers: &mut BackwardBuffers<'_>,
        input: Input<'_>,
        block: &Range<usize>,
        dx: &mut [f32],
    ) {
        let [size, _] = self.sizes();
        let layout = &self.maps[0];
        let x = &input.x[block.start * size..block.end * size];
        let dx = &mut dx[block.start % GROUP_SIZE * size..][..x.len()];
        let images = x.chunks_exact(size).zip(dx.chunks_exact_mut(size));
        let mut sums = GradientSums::new(layout.shape[2]);
        for (map, (x, dx)) in buffers.gradients[0].chunks_exact(layout.len()).zip(images) {
            let rows = x.chunks_exact(layout.row_len()).zip(dx.chunks_exact_mut(layout.row_len()));
            for (row, (x, dx)) in layout.rows().zip(rows) {
                match input.norm {
                    Some(norm) => sums.add(self.level, norm, x, &map[row], dx),
                    None => dx.copy_from_slice(&map[row]),
                }
            }
        }
        if input.norm.is_some() {
            buffers.group.norm.push(sums);
        }
    }

    /// The sum of the negative log-likelihoods of some images. Writes the gradient, times `scale`,
    /// of the last maps before the activation to `gradients`.
    fn nll_block(
        &self,
        nll: Nll,
        y: &[f32],
        target: &[f32],
        gradients: &mut [f32],
        scale: f32,
    ) -> f64 {
        let [_, output] = self.sizes();
        let last = self.layers.len() - 1;
        let (layout, activation) = (&self.maps[last + 1], self.layers[last].activation);
        let images = y.chunks_exact(output).zip(target.chunks_exact(output));
        let mut total = 0.0;
        for (map, (y, target)) in gradients.chunks_exact_mut(layout.len()).zip(images) {
            let row_len = layout.row_len();
            let rows = y.chunks_exact(row_len).zip(target.chunks_exact(row_len));
            for (row, (y, target)) in layout.rows().zip(rows) {
                let gradient = &mut map[row];
                gradient.copy_from_slice(y);
                let sum = elementwise::nll_and_gradient(self.level, nll, gradient, target, scale);
                elementwise::multiply_slope(self.level, gradient, y, activation);
                total += f64::from(sum);
            }
        }
        total
    }

    /// From the gradient of a block's last map, computes the gradients of all parameters and of all
    /// layers' inputs; that of the first layer's input only if `needs_dx`.
    fn backward_block(
        &self,
        images: usize,
        packed: &PackedWeights,
        maps: &[&[f32]],
        buffers: &mut BackwardBuffers<'_>,
        input: Input<'_>,
        needs_dx: bool,
    ) {
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = buffers.gradients.split_at_mut(i + 1);
            let (map, gradient) = (maps[i], &*after[0]);
            let layout = &self.maps[i + 1];
            let skip_bias = buffers.skip_last_bias && i + 1 == self.layers.len();
            let summed_images = if skip_bias { 0 } else { images };
            for image in gradient.chunks_exact(layout.len()).take(summed_images) {
                let sums = &mut buffers.group.biases[i];
                elementwise::add_channel_sums(self.level, layout, image, sums, buffers.row);
            }
            if !self.by_panels {
                let (small, large) = layer.small_and_large(map, gradient);
                let sums = &mut buffers.group.weights[i];
                layer.weight_gradient.add(images, small, large, sums, buffers.scratch);
            }
            let activation = match i {
                0 if !needs_dx => continue,
                0 => input.norm.map(|norm| norm.activation),
                _ => Some(self.layers[i - 1].activation),
            };
            let epilogue = match activation {
                Some(activation) => Epilogue::ActivationGradient { outputs: map, activation },
                None => Epilogue::Store,
            };
            let packed = &packed.0[i];
            layer.backward.run(images, packed, gradient, before[i], epilogue, buffers.scratch);
        }
    }

    /// The weight gradient of the only layer, over all images at once.
    fn weight_gradient_by_panels(&self, images: usize, map: &[f32], gradient: &[f32]) -> Vec<f32> {
        let layer = &self.layers[0];
        let (small, large) = layer.small_and_large(map, gradient);
        layer.weight_gradient.compute_by_panels(images, small, large)
    }
}

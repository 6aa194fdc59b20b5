//! The ways through a [`Stack`], in parallel over groups of images.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::{GROUP, Kept, Packed, ParameterGradients, Parameters, Stack, Sums, Workspace};
use crate::contract::Finish;
use crate::elementwise::{self, Nll};
use crate::geometry::Layout;
use crate::norm::{GradientSums, Moments, Normalisation, WayBack};
use crate::reduce::Scratch;

/// What goes into the first layer.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// [B, H, W, C]
    pub(crate) x: &'a [f32],
    /// What happens to `x` first.
    pub(crate) norm: Option<&'a Normalisation>,
}

/// The gradient by what came out of the last layer.
#[derive(Clone, Copy)]
pub(crate) struct Upstream<'a> {
    pub(crate) gradient: &'a [f32],
    /// The output.
    pub(crate) y: &'a [f32],
    /// The way back through the normalisation of the output, if `gradient` is by that.
    pub(crate) norm: Option<&'a WayBack>,
}

/// What the way back finds besides the gradient by the input.
#[derive(Debug, PartialEq)]
pub(crate) struct Backward {
    pub(crate) parameters: ParameterGradients,
    /// For a normalised input: sums of its gradient, in order.
    pub(crate) norm: Vec<GradientSums>,
}

impl Stack {
    /// The output [B, ...]. With `keep`, also what [`Stack::backward`] needs.
    pub(crate) fn forward(
        self: &Arc<Self>,
        x: &[f32],
        parameters: &Parameters<'_>,
        keep: bool,
    ) -> (Vec<f32>, Option<Kept>) {
        let [input, output] = self.sizes();
        let images = x.len() / input;
        let mut y = vec![0.0; images * output];
        let mut kept = keep.then(|| self.keep(images));
        self.fill(Input { x, norm: None }, parameters, &mut y, kept.as_mut(), |_| ());
        (y, kept)
    }

    /// Fills the output `y` [B, ...]; what [`Stack::backward`] needs, and the output's moments in
    /// order.
    pub(crate) fn forward_with_moments(
        self: &Arc<Self>,
        input: Input<'_>,
        parameters: &Parameters<'_>,
        y: &mut [f32],
    ) -> (Kept, Vec<Moments>) {
        let [_, output] = self.sizes();
        let mut kept = self.keep(y.len() / output);
        let moments = self.fill(input, parameters, y, Some(&mut kept), |y| {
            Moments::of(self.level, y, self.output()[2]).collect::<Vec<_>>()
        });
        (kept, moments.into_iter().flatten().collect())
    }

    /// Fills the output `y` and looks at each block of it while it is in the cache.
    fn fill<T: Send>(
        &self,
        input: Input<'_>,
        parameters: &Parameters<'_>,
        y: &mut [f32],
        kept: Option<&mut Kept>,
        look: impl Fn(&[f32]) -> T + Send + Sync,
    ) -> Vec<T> {
        let packed = self.pack(parameters, |layer| &layer.forward);
        let [_, output] = self.sizes();
        let images = y.len() / output;
        let layouts = self.kept_maps();
        let shares = match kept {
            Some(kept) => shares(&mut kept.maps, layouts, images),
            None => shares(&mut [], &[], images),
        };
        let groups = y.par_chunks_mut(GROUP * output).zip(shares).enumerate();
        let found: Vec<Vec<T>> = groups
            .map(|(group, (y, mut share))| {
                let mut found = Vec::new();
                self.with_workspace(|work| {
                    let blocks = y.chunks_mut(self.block() * output);
                    for (y, block) in blocks.zip(self.blocks(group, images)) {
                        let Workspace { maps, scratch, .. } = &mut *work;
                        self.load(input, &block, &mut maps[0]);
                        let mut maps: Vec<_> = maps.iter_mut().map(Vec::as_mut_slice).collect();
                        for ((map, share), layout) in
                            maps[self.first_kept()..].iter_mut().zip(&mut share).zip(layouts)
                        {
                            *map = in_group(share, layout, &block);
                        }
                        maps[self.layers.len()] = &mut *y;
                        self.forward_block(block.len(), &packed, parameters, &mut maps, scratch);
                        drop(maps);
                        found.push(look(y));
                    }
                });
                found
            })
            .collect();
        found.into_iter().flatten().collect()
    }

    /// Gradients of the parameters and, into `dx` (if wanted), of the input; if that is normalised,
    /// by what the normalisation makes of it, before its activation.
    pub(crate) fn backward(
        &self,
        input: Input<'_>,
        kept: &Kept,
        upstream: Upstream<'_>,
        parameters: &Parameters<'_>,
        dx: Option<&mut [f32]>,
    ) -> Backward {
        let packed = self.pack(parameters, |layer| &layer.backward);
        let again = self.first_again.then(|| self.layers[0].forward.pack(parameters[0].0));
        let [_, output] = self.sizes();
        let images = upstream.y.len() / output;
        let mut whole = self.by_panels.then(|| self.whole(images));
        let both = [self.maps[0], self.maps[self.layers.len()]];
        let wholes = match &mut whole {
            Some(whole) => shares(whole, &both, images),
            None => shares(&mut [], &[], images),
        };
        let groups = wholes.into_par_iter().zip(self.input_shares(dx, images)).enumerate();
        let sums: Vec<_> = groups
            .map(|(group, (mut whole, mut dx))| {
                self.with_workspace(|work| {
                    let mut sums = self.sums();
                    for block in self.blocks(group, images) {
                        let Workspace { maps, gradients, scratch, row } = &mut *work;
                        let (first, rest) = maps.split_at_mut(1);
                        let mut map = first[0].as_mut_slice();
                        let mut all: Vec<_> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
                        if let [input, last] = whole.as_mut_slice() {
                            map = in_group(input, &both[0], &block);
                            all[self.layers.len()] = in_group(last, &both[1], &block);
                        }
                        self.load(input, &block, map);
                        self.load_upstream(upstream, &block, all[self.layers.len()]);
                        if let Some(packed) = &again {
                            let count = block.len();
                            let to = &mut rest[0];
                            self.forward_layer(0, count, packed, parameters, map, to, scratch);
                        }
                        let made = [&*map, &rest[0]];
                        let made = &made[..self.first_kept()];
                        let maps = self.maps_for_block(made, kept, images, block.start);
                        let mut back = Back {
                            gradients: all,
                            scratch,
                            row,
                            sums: &mut sums,
                            without_last_bias: upstream.norm.is_some(),
                        };
                        let wanted = dx.is_some();
                        self.backward_block(block.len(), &packed, &maps, &mut back, input, wanted);
                        if let Some(dx) = &mut dx {
                            self.store(&mut back, input, &block, dx);
                        }
                    }
                    sums
                })
            })
            .collect();
        let mut found = self.total(sums);
        if let Some(whole) = whole {
            let (map, gradient) = whole.split_at(images * both[0].len());
            found.parameters[0].0 = self.weight_by_panels(images, map, gradient);
            self.pool().wholes.push(whole);
        }
        found
    }

    /// The mean over images of the negative log-likelihood of `target` given the output as logits
    /// or means, without its constant. With `dx`, also all gradients, as [`Stack::backward`].
    pub(crate) fn nll(
        &self,
        input: Input<'_>,
        target: &[f32],
        parameters: &Parameters<'_>,
        nll: Nll,
        dx: Option<&mut [f32]>,
    ) -> (f32, Option<Backward>) {
        let differentiate = dx.is_some();
        let forward = self.pack(parameters, |layer| &layer.forward);
        let backward = self.pack(parameters, |layer| &layer.backward);
        let [_, output] = self.sizes();
        let images = target.len() / output;
        let groups = self.input_shares(dx, images).into_par_iter().enumerate();
        let results: Vec<_> = groups
            .map(|(group, mut dx)| {
                self.with_workspace(|work| {
                    let mut sums = self.sums();
                    let mut total = 0.0;
                    for block in self.blocks(group, images) {
                        let Workspace { maps, gradients, scratch, row } = &mut *work;
                        self.load(input, &block, &mut maps[0]);
                        let mut all: Vec<_> = maps.iter_mut().map(Vec::as_mut_slice).collect();
                        self.forward_block(block.len(), &forward, parameters, &mut all, scratch);
                        let target = &target[block.start * output..block.end * output];
                        let last = self.layers.len();
                        let (y, gradient) = (&maps[last], &mut gradients[last]);
                        total += self.nll_block(nll, y, target, gradient, 1.0 / images as f32);
                        let Some(dx) = &mut dx else { continue };
                        let maps: Vec<_> = maps.iter().map(Vec::as_slice).collect();
                        let all = gradients.iter_mut().map(Vec::as_mut_slice).collect();
                        let mut back = Back {
                            gradients: all,
                            scratch,
                            row,
                            sums: &mut sums,
                            without_last_bias: false,
                        };
                        self.backward_block(block.len(), &backward, &maps, &mut back, input, true);
                        self.store(&mut back, input, &block, dx);
                    }
                    (total, sums)
                })
            })
            .collect();
        let (totals, sums): (Vec<f64>, Vec<_>) = results.into_iter().unzip();
        let value = totals.iter().sum::<f64>() / images as f64;
        (value as f32, differentiate.then(|| self.total(sums)))
    }

    /// The blocks of a group, as ranges of images.
    fn blocks(&self, group: usize, images: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (block, last) = (self.block(), images.min((group + 1) * GROUP));
        (group * GROUP..last).step_by(block).map(move |first| first..last.min(first + block))
    }

    /// Each group's share of the input's gradient, if that is wanted.
    fn input_shares<'a>(
        &self,
        dx: Option<&'a mut [f32]>,
        images: usize,
    ) -> Vec<Option<&'a mut [f32]>> {
        let [input, _] = self.sizes();
        match dx {
            None => (0..images.div_ceil(GROUP)).map(|_| None).collect(),
            Some(dx) => dx.chunks_mut(GROUP * input).map(Some).collect(),
        }
    }

    /// A block's inputs of all layers: the first ones made again, the others kept.
    fn maps_for_block<'a>(
        &self,
        made: &[&'a [f32]],
        kept: &'a Kept,
        images: usize,
        first: usize,
    ) -> Vec<&'a [f32]> {
        let mut start = 0;
        let rest = self.kept_maps().iter().map(|layout| {
            let map = &kept.maps[start + first * layout.len()..];
            start += images * layout.len();
            map
        });
        made.iter().copied().chain(rest).collect()
    }

    /// Inputs of a block into the middle of their maps.
    fn load(&self, input: Input<'_>, block: &Range<usize>, to: &mut [f32]) {
        let [size, _] = self.sizes();
        let layout = &self.maps[0];
        let x = &input.x[block.start * size..block.end * size];
        for (x, map) in x.chunks_exact(size).zip(to.chunks_exact_mut(layout.len())) {
            for (row, x) in layout.rows().zip(x.chunks_exact(layout.width())) {
                match input.norm {
                    Some(norm) => norm.apply(self.level, x, &mut map[row]),
                    None => map[row].copy_from_slice(x),
                }
            }
        }
    }

    /// The gradients of the last maps before their activation.
    fn load_upstream(&self, upstream: Upstream<'_>, block: &Range<usize>, to: &mut [f32]) {
        let [_, output] = self.sizes();
        let last = self.layers.len() - 1;
        let (layout, activation) = (&self.maps[last + 1], self.layers[last].activation);
        let range = block.start * output..block.end * output;
        let (gradient, y) = (&upstream.gradient[range.clone()], &upstream.y[range]);
        let images = gradient.chunks_exact(output).zip(y.chunks_exact(output));
        for (map, (gradient, y)) in to.chunks_exact_mut(layout.len()).zip(images) {
            let rows = gradient.chunks_exact(layout.width()).zip(y.chunks_exact(layout.width()));
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

    /// Gradients of a block's inputs to where they are wanted, with the sums of normalised ones.
    fn store(&self, back: &mut Back<'_>, input: Input<'_>, block: &Range<usize>, dx: &mut [f32]) {
        let [size, _] = self.sizes();
        let layout = &self.maps[0];
        let x = &input.x[block.start * size..block.end * size];
        let dx = &mut dx[block.start % GROUP * size..][..x.len()];
        let images = x.chunks_exact(size).zip(dx.chunks_exact_mut(size));
        let mut sum = GradientSums::new(layout.shape[2]);
        for (map, (x, dx)) in back.gradients[0].chunks_exact(layout.len()).zip(images) {
            let rows = x.chunks_exact(layout.width()).zip(dx.chunks_exact_mut(layout.width()));
            for (row, (x, dx)) in layout.rows().zip(rows) {
                match input.norm {
                    Some(norm) => sum.add(self.level, norm, x, &map[row], dx),
                    None => dx.copy_from_slice(&map[row]),
                }
            }
        }
        if input.norm.is_some() {
            back.sums.norm.push(sum);
        }
    }

    /// The sum of the negative log-likelihoods of some images, and the gradient, times `scale`, of
    /// the last maps before the activation.
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
            let rows = y.chunks_exact(layout.width()).zip(target.chunks_exact(layout.width()));
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

    fn forward_block(
        &self,
        images: usize,
        packed: &Packed,
        parameters: &Parameters<'_>,
        maps: &mut [&mut [f32]],
        scratch: &mut Scratch,
    ) {
        for i in 0..self.layers.len() {
            let (before, after) = maps.split_at_mut(i + 1);
            let packed = &packed.0[i];
            self.forward_layer(i, images, packed, parameters, before[i], after[0], scratch);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, written in two places")]
    fn forward_layer(
        &self,
        i: usize,
        images: usize,
        packed: &[f32],
        parameters: &Parameters<'_>,
        from: &[f32],
        to: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let layer = &self.layers[i];
        let finish = Finish::Activate { bias: parameters[i].1, activation: layer.activation };
        layer.forward.run(images, packed, from, to, finish, scratch);
    }

    /// From the last map's gradient to those of all layers' parameters and inputs; to that of the
    /// first only if `wanted`.
    fn backward_block(
        &self,
        images: usize,
        packed: &Packed,
        maps: &[&[f32]],
        back: &mut Back<'_>,
        input: Input<'_>,
        wanted: bool,
    ) {
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = back.gradients.split_at_mut(i + 1);
            let (map, gradient) = (maps[i], &*after[0]);
            let layout = &self.maps[i + 1];
            let constant = back.without_last_bias && i + 1 == self.layers.len();
            let summed = if constant { 0 } else { images };
            for image in gradient.chunks_exact(layout.len()).take(summed) {
                let sums = &mut back.sums.biases[i];
                elementwise::add_channel_sums(self.level, layout, image, sums, back.row);
            }
            if !self.by_panels {
                let (small, large) = layer.small_and_large(map, gradient);
                let sums = &mut back.sums.weights[i];
                layer.weight.add(images, small, large, sums, back.scratch);
            }
            let activation = match i {
                0 if !wanted => continue,
                0 => input.norm.map(|norm| norm.activation),
                _ => Some(self.layers[i - 1].activation),
            };
            let finish = match activation {
                Some(activation) => Finish::Slope { at: map, activation },
                None => Finish::Store,
            };
            layer.backward.run(images, &packed.0[i], gradient, before[i], finish, back.scratch);
        }
    }

    /// The weight gradient of the only layer, over all images at once.
    fn weight_by_panels(&self, images: usize, map: &[f32], gradient: &[f32]) -> Vec<f32> {
        let layer = &self.layers[0];
        let (small, large) = layer.small_and_large(map, gradient);
        layer.weight.by_panels(images, small, large)
    }
}

/// What the way back writes to.
struct Back<'a> {
    /// Gradients of all maps; that of the last is there.
    gradients: Vec<&'a mut [f32]>,
    scratch: &'a mut Scratch,
    row: &'a mut Vec<f32>,
    sums: &'a mut Sums,
    /// Normalisation takes a bias away again, with the mean: its gradient is 0.
    without_last_bias: bool,
}

/// Maps of all images, layout by layer after layout, as the shares of each group.
fn shares<'a>(maps: &'a mut [f32], layouts: &[Layout], images: usize) -> Vec<Vec<&'a mut [f32]>> {
    let mut shares: Vec<Vec<&mut [f32]>> = Vec::new();
    shares.resize_with(images.div_ceil(GROUP), Vec::new);
    let mut rest = maps;
    for layout in layouts {
        let (map, after) = rest.split_at_mut(images * layout.len());
        rest = after;
        let chunks = map.chunks_mut(GROUP * layout.len());
        shares.iter_mut().zip(chunks).for_each(|(share, chunk)| share.push(chunk));
    }
    shares
}

/// A block's part of its group's share.
fn in_group<'a>(share: &'a mut [f32], layout: &Layout, block: &Range<usize>) -> &'a mut [f32] {
    &mut share[block.start % GROUP * layout.len()..][..block.len() * layout.len()]
}

//! The forward pass of a [`Stack`], in parallel over groups of images. Gradients are in `backward`.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::workspace::{SavedActivations, Workspace, block_of_group, split_by_group};
use super::{GROUP_SIZE, PackedWeights, Parameters, Stack};
use crate::batch_norm::{BatchNorm, Moments};
use crate::epilogue::Epilogue;
use crate::prepared_conv::Scratch;

/// The input of the first layer.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// [B, H, W, C]
    pub(crate) x: &'a [f32],
    /// The batch norm and activation through which `x` goes before the first layer, if any.
    pub(crate) norm: Option<&'a BatchNorm>,
}

impl Stack {
    /// The output [B, ...]. With `save`, also the activations that [`Stack::backward`] needs.
    pub(crate) fn forward(
        self: &Arc<Self>,
        x: &[f32],
        parameters: &Parameters<'_>,
        save: bool,
    ) -> (Vec<f32>, Option<SavedActivations>) {
        let [input, output] = self.sizes();
        let images = x.len() / input;
        let mut y = vec![0.0; images * output];
        let mut saved = save.then(|| self.new_saved_activations(images));
        let input = Input { x, norm: None };
        self.forward_blocks(input, parameters, &mut y, saved.as_mut(), |_| ());
        (y, saved)
    }

    /// Writes the output [B, ...] to `y`. Returns the activations that [`Stack::backward`] needs, and
    /// the moments of the output, in the order of its pixels.
    pub(crate) fn forward_with_moments(
        self: &Arc<Self>,
        input: Input<'_>,
        parameters: &Parameters<'_>,
        y: &mut [f32],
    ) -> (SavedActivations, Vec<Moments>) {
        let [_, output] = self.sizes();
        let mut saved = self.new_saved_activations(y.len() / output);
        let moments = self.forward_blocks(input, parameters, y, Some(&mut saved), |y| {
            Moments::of(self.level, y, self.output()[2]).collect::<Vec<_>>()
        });
        (saved, moments.into_iter().flatten().collect())
    }

    /// Writes the output to `y`, and calls `summarise` with each block of it while the block is in the
    /// cache. Returns the summaries in order.
    fn forward_blocks<T: Send>(
        &self,
        input: Input<'_>,
        parameters: &Parameters<'_>,
        y: &mut [f32],
        saved: Option<&mut SavedActivations>,
        summarise: impl Fn(&[f32]) -> T + Send + Sync,
    ) -> Vec<T> {
        let packed = self.pack(parameters, |layer| &layer.forward);
        let [_, output] = self.sizes();
        let images = y.len() / output;
        let layouts = self.saved_layouts();
        let saved_by_group = match saved {
            Some(saved) => split_by_group(&mut saved.maps, layouts, images),
            None => split_by_group(&mut [], &[], images),
        };
        let groups = y.par_chunks_mut(GROUP_SIZE * output).zip(saved_by_group).enumerate();
        let summaries: Vec<Vec<T>> = groups
            .map(|(group, (y, mut group_maps))| {
                let mut summaries = Vec::new();
                self.with_workspace(|work| {
                    let blocks = y.chunks_mut(self.block_size() * output);
                    for (y, block) in blocks.zip(self.blocks(group, images)) {
                        let Workspace { maps, scratch, .. } = &mut *work;
                        self.load_input(input, &block, &mut maps[0]);
                        let mut maps: Vec<_> = maps.iter_mut().map(Vec::as_mut_slice).collect();
                        for ((map, group_map), layout) in
                            maps[self.first_saved()..].iter_mut().zip(&mut group_maps).zip(layouts)
                        {
                            *map = block_of_group(group_map, layout, &block);
                        }
                        maps[self.layers.len()] = &mut *y;
                        self.forward_block(block.len(), &packed, parameters, &mut maps, scratch);
                        drop(maps);
                        summaries.push(summarise(y));
                    }
                });
                summaries
            })
            .collect();
        summaries.into_iter().flatten().collect()
    }

    /// The blocks of a group, as ranges of images.
    pub(super) fn blocks(
        &self,
        group: usize,
        images: usize,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let (block, end) = (self.block_size(), images.min((group + 1) * GROUP_SIZE));
        (group * GROUP_SIZE..end).step_by(block).map(move |first| first..end.min(first + block))
    }

    /// Copies the inputs of a block of images between the borders of their maps, normalised if the
    /// input has a batch norm.
    pub(super) fn load_input(&self, input: Input<'_>, block: &Range<usize>, to: &mut [f32]) {
        let [size, _] = self.sizes();
        let layout = &self.maps[0];
        let x = &input.x[block.start * size..block.end * size];
        for (x, map) in x.chunks_exact(size).zip(to.chunks_exact_mut(layout.len())) {
            for (row, x) in layout.rows().zip(x.chunks_exact(layout.row_len())) {
                match input.norm {
                    Some(norm) => norm.apply(self.level, x, &mut map[row]),
                    None => map[row].copy_from_slice(x),
                }
            }
        }
    }

    /// Runs all layers on a block of images, from `maps[0]` to the last of `maps`.
    pub(super) fn forward_block(
        &self,
        images: usize,
        packed: &PackedWeights,
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

    /// Runs layer `i` on a block of images.
    #[expect(clippy::too_many_arguments, reason = "one call, written in two places")]
    pub(super) fn forward_layer(
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
        let epilogue =
            Epilogue::BiasActivation { bias: parameters[i].1, activation: layer.activation };
        layer.forward.run(images, packed, from, to, epilogue, scratch);
    }
}

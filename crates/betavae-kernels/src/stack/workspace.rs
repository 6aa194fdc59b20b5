//! Memory of a [`Stack`] that is used again from call to call: the workspaces of its tasks, saved
//! activations, and how maps of a batch are divided into groups and blocks.

use std::ops::Range;
use std::sync::{Arc, MutexGuard};

use super::{GROUP_SIZE, Stack, lock};
use crate::geometry::PaddedLayout;
use crate::prepared_conv::Scratch;

/// The memory of one task besides its part of inputs and outputs.
#[derive(Debug)]
pub(super) struct Workspace {
    /// The input of each layer and the last output, for a block of images.
    pub(super) maps: Vec<Vec<f32>>,
    /// The gradients of `maps`.
    pub(super) gradients: Vec<Vec<f32>>,
    pub(super) scratch: Scratch,
    /// A row of a map, for sums over its pixels.
    pub(super) row: Vec<f32>,
}

/// Memory for the next call. The borders of maps in it are zero and stay so, because only what lies
/// between them is ever written.
#[derive(Debug, Default)]
pub(super) struct WorkspacePool {
    workspaces: Vec<Workspace>,
    saved: Vec<Vec<f32>>,
    /// The maps of a whole batch, for weight gradients by panels.
    pub(super) batch_maps: Vec<Vec<f32>>,
}

/// Takes a vector of this length from `free`, or makes one.
fn take_or_allocate(free: &mut Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let fitting = free.iter().position(|maps| maps.len() == length);
    let maps = fitting.map(|i| free.swap_remove(i));
    // Batches of another size are rare; their memory is not worth keeping.
    if maps.is_none() {
        free.clear();
    }
    maps.unwrap_or_else(|| vec![0.0; length])
}

/// The activations that the forward pass saves for the backward pass, map by map: the inputs of all
/// layers but those that the backward pass computes again.
#[derive(Debug)]
pub(crate) struct SavedActivations {
    stack: Arc<Stack>,
    pub(super) maps: Vec<f32>,
}

impl Drop for SavedActivations {
    fn drop(&mut self) {
        self.stack.pool().saved.push(std::mem::take(&mut self.maps));
    }
}

impl Stack {
    pub(super) fn pool(&self) -> MutexGuard<'_, WorkspacePool> {
        lock(&self.pool)
    }

    /// Runs a task with a workspace, which a later task gets again.
    pub(super) fn with_workspace<T>(&self, task: impl FnOnce(&mut Workspace) -> T) -> T {
        let pooled = self.pool().workspaces.pop();
        let mut work = pooled.unwrap_or_else(|| {
            let map = |layout: &PaddedLayout| {
                vec![0.0; self.block_size() * layout.len() + self.level.panel()]
            };
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

    /// Floats of these maps for a number of images. The micro-kernel reads a whole panel from the
    /// last pixel on, so there is room for one more at the end.
    fn padded_length(&self, maps: &[PaddedLayout], images: usize) -> usize {
        let floats: usize = maps.iter().map(|map| images * map.len()).sum();
        floats + self.level.panel()
    }

    pub(super) fn new_saved_activations(self: &Arc<Self>, images: usize) -> SavedActivations {
        let length = self.padded_length(self.saved_layouts(), images);
        let maps = take_or_allocate(&mut self.pool().saved, length);
        SavedActivations { stack: self.clone(), maps }
    }

    /// Memory for a whole batch of the only layer's inputs and its output's gradients.
    pub(super) fn take_batch_maps(&self, images: usize) -> Vec<f32> {
        let length = self.padded_length(&self.maps, images);
        take_or_allocate(&mut self.pool().batch_maps, length)
    }
}

/// Divides the maps of all images, which lie layout after layout, by groups: for each group, its part
/// of each layout's maps.
pub(super) fn split_by_group<'a>(
    maps: &'a mut [f32],
    layouts: &[PaddedLayout],
    images: usize,
) -> Vec<Vec<&'a mut [f32]>> {
    let mut groups: Vec<Vec<&mut [f32]>> = Vec::new();
    groups.resize_with(images.div_ceil(GROUP_SIZE), Vec::new);
    let mut rest = maps;
    for layout in layouts {
        let (map, after) = rest.split_at_mut(images * layout.len());
        rest = after;
        let chunks = map.chunks_mut(GROUP_SIZE * layout.len());
        groups.iter_mut().zip(chunks).for_each(|(group, chunk)| group.push(chunk));
    }
    groups
}

/// The part of a group's maps that belongs to a block.
pub(super) fn block_of_group<'a>(
    group: &'a mut [f32],
    layout: &PaddedLayout,
    block: &Range<usize>,
) -> &'a mut [f32] {
    &mut group[block.start % GROUP_SIZE * layout.len()..][..block.len() * layout.len()]
}

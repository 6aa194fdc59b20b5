//! Processes that take a step together, and sums over them that are the same for any number of processes.

use std::collections::BTreeMap;
use std::ops::Range;

/// What processes that take steps together need of whatever connects them, such as MPI. Every process makes the same calls in
/// the same order, each from one thread.
pub trait Processes: Send + Sync {
    /// Which of them this one is, from 0.
    fn rank(&self) -> usize;
    /// How many there are.
    fn size(&self) -> usize;
    /// Sends numbers to another one.
    fn send(&self, values: &[f32], to: usize);
    /// Receives as many numbers as there is room for from another one.
    fn receive(&self, values: &mut [f32], from: usize);
    /// Gives all of them the numbers that the first one has.
    fn broadcast(&self, values: &mut [f32]);
}

/// A process without others.
pub(super) struct Alone;

impl Processes for Alone {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn send(&self, _: &[f32], _: usize) {}
    fn receive(&self, _: &mut [f32], _: usize) {}
    fn broadcast(&self, _: &mut [f32]) {}
}

/// The parts of a batch and which process has which: a block of them each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    pub(super) parts: usize,
    pub(super) processes: usize,
}

impl Division {
    /// The parts that a process has.
    pub(super) fn of(self, rank: usize) -> Range<usize> {
        rank * self.parts / self.processes..(rank + 1) * self.parts / self.processes
    }

    fn owner(self, part: usize) -> usize {
        (0..self.processes)
            .find(|rank| self.of(*rank).contains(&part))
            .unwrap_or_else(|| unreachable!("blocks cover all parts"))
    }
}

/// The sum of a vector over all parts, the same to the last bit for any number of processes: parts are added along one
/// balanced binary tree over their numbers. `own` has the vectors of this process's parts.
pub(super) fn sum(
    processes: &dyn Processes,
    division: Division,
    mut own: BTreeMap<usize, Vec<f32>>,
    length: usize,
) -> Vec<f32> {
    let root = sum_below(processes, division, 0..division.parts, &mut own, length);
    let mut sum = root.unwrap_or_else(|| vec![0.0; length]);
    processes.broadcast(&mut sum);
    sum
}

/// The sum over some parts, for the process that has the first of them.
fn sum_below(
    processes: &dyn Processes,
    division: Division,
    parts: Range<usize>,
    own: &mut BTreeMap<usize, Vec<f32>>,
    length: usize,
) -> Option<Vec<f32>> {
    if parts.len() == 1 {
        return own.remove(&parts.start);
    }
    let middle = parts.start.midpoint(parts.end);
    let left = sum_below(processes, division, parts.start..middle, own, length);
    let right = sum_below(processes, division, middle..parts.end, own, length);
    let [left_owner, right_owner] = [parts.start, middle].map(|part| division.owner(part));
    let me = processes.rank();
    let right = match right {
        Some(right) if me == left_owner => right,
        Some(right) => {
            processes.send(&right, left_owner);
            return None;
        }
        None if me == left_owner => {
            let mut right = vec![0.0; length];
            processes.receive(&mut right, right_owner);
            right
        }
        None => return None,
    };
    let mut sum = left?;
    sum.iter_mut().zip(right).for_each(|(sum, x)| *sum += x);
    Some(sum)
}

/// A short vector of every part, for every process, in the order of the parts.
pub(super) fn gather(
    processes: &dyn Processes,
    division: Division,
    own: &BTreeMap<usize, Vec<f32>>,
    length: usize,
) -> Vec<Vec<f32>> {
    let mut all = vec![0.0; division.parts * length];
    let block = |rank: usize| {
        let parts = division.of(rank);
        parts.start * length..parts.end * length
    };
    for (part, values) in own {
        all[part * length..(part + 1) * length].copy_from_slice(values);
    }
    match processes.rank() {
        0 => (1..processes.size()).for_each(|rank| processes.receive(&mut all[block(rank)], rank)),
        rank => processes.send(&all[block(rank)], 0),
    }
    processes.broadcast(&mut all);
    if length == 0 {
        return vec![Vec::new(); division.parts];
    }
    all.chunks_exact(length).map(<[f32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;
    use crate::Device;
    use crate::config::Recipe;
    use crate::data::Dataset;
    use crate::data::blobs::Blobs;
    use crate::model::{NamedTensor, Precision};
    use crate::objective::Terms;
    use crate::train::Trainer;

    /// Threads that stand for processes, with a channel from each to each.
    struct Threads {
        rank: usize,
        size: usize,
        senders: Vec<Mutex<Sender<Vec<f32>>>>,
        receivers: Vec<Mutex<Receiver<Vec<f32>>>>,
    }

    impl Threads {
        fn new(size: usize) -> Vec<Self> {
            let (mut senders, mut receivers) = (Vec::new(), Vec::new());
            senders.resize_with(size, Vec::new);
            receivers.resize_with(size, Vec::new);
            for from in &mut senders {
                for to in &mut receivers {
                    let (sender, receiver) = channel();
                    from.push(Mutex::new(sender));
                    to.push(Mutex::new(receiver));
                }
            }
            let both = senders.into_iter().zip(receivers).enumerate();
            both.map(|(rank, (senders, receivers))| Self { rank, size, senders, receivers })
                .collect()
        }
    }

    impl Processes for Threads {
        fn rank(&self) -> usize {
            self.rank
        }
        fn size(&self) -> usize {
            self.size
        }
        fn send(&self, values: &[f32], to: usize) {
            self.senders[to].lock().unwrap().send(values.to_vec()).unwrap();
        }
        fn receive(&self, values: &mut [f32], from: usize) {
            values.copy_from_slice(&self.receivers[from].lock().unwrap().recv().unwrap());
        }
        fn broadcast(&self, values: &mut [f32]) {
            match self.rank {
                0 => (1..self.size).for_each(|rank| self.send(values, rank)),
                _ => self.receive(values, 0),
            }
        }
    }

    /// The parameters of every process after some steps, and the terms of the last.
    fn trained(recipe: &str, size: usize, steps: u64) -> Vec<(Vec<NamedTensor>, Terms)> {
        let train = |processes: Threads| {
            let data = Arc::new(Blobs::new());
            let config = Recipe::from_toml(recipe).unwrap().resolve(data.shape()).unwrap();
            let mut trainer = Trainer::new(config, data, &Device::flex()).unwrap();
            trainer.join(Box::new(processes)).unwrap();
            let terms = (0..steps).map(|_| trainer.step().unwrap()).last().unwrap();
            (trainer.model().to_named_tensors(), terms)
        };
        thread::scope(|scope| {
            let threads: Vec<_> = Threads::new(size)
                .into_iter()
                .map(|processes| scope.spawn(|| train(processes)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn recipe(network: &str, objective: &str, parts: usize) -> String {
        format!(
            "model = {{ {network}, latents = 3 }}
            objective = {{ {objective} }}
            optimizer.learning_rate = 1e-2
            train = {{ batch = 11, parts = {parts} }}"
        )
    }

    const PLAIN: &str = "architecture = 'custom', widths = [2, 4], hidden = [6]";
    const NORMED: &str = "architecture = 'custom', widths = [2, 4], norm = 'batch', kernel = 3";

    #[test]
    fn results_are_the_same_bytes_for_any_number_of_processes() {
        for (network, objective) in [
            (PLAIN, "kind = 'h', beta = 4.0"),
            (PLAIN, "kind = 'b', gamma = 10.0, c_max = 2.0, c_steps = 3"),
            (PLAIN, "kind = 'control-vae', k_p = 0.5, target = 0.1"),
            (PLAIN, "kind = 'ada-gvae'"),
            (PLAIN, "kind = 'h', beta = 4.0, reduction = 'mean'"),
            (NORMED, "kind = 'dynamic-vae'"),
        ] {
            let recipe = recipe(network, objective, 8);
            let alone = trained(&recipe, 1, 4).remove(0);
            for size in [2, 3, 4, 5, 8] {
                for (rank, found) in trained(&recipe, size, 4).into_iter().enumerate() {
                    assert!(found == alone, "{objective}: process {rank} of {size}");
                }
            }
        }
    }

    #[test]
    fn a_step_in_parts_is_that_of_the_batch_but_for_rounding() {
        for objective in [
            "kind = 'h', beta = 4.0",
            "kind = 'b', gamma = 10.0, c_max = 2.0, c_steps = 3",
            "kind = 'b', gamma = 10.0, reduction = 'mean', kl_weight = 0.1",
            "kind = 'control-vae', k_p = 0.5, target = 0.1",
            "kind = 'ada-ml-vae'",
        ] {
            let [whole, parts] =
                [1, 4].map(|parts| trained(&recipe(PLAIN, objective, parts), 1, 3));
            let ((whole, a), (parts, b)) = (&whole[0], &parts[0]);
            for (a, b) in a.losses.iter().chain(&a.weights).zip(b.losses.iter().chain(&b.weights)) {
                assert_eq!(a.name, b.name);
                let close = (a.value - b.value).abs() <= 1e-4 * a.value.abs().max(1e-3);
                assert!(close, "{objective}: {a:?} {b:?}");
            }
            for (a, b) in whole.iter().zip(parts) {
                let worst =
                    a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 2e-3, "{objective}: {} off by {worst}", a.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_taken_in_parts_is_refused() {
        let new = |objective: &str, parts| {
            let data = Arc::new(Blobs::new());
            let recipe = Recipe::from_toml(&recipe(PLAIN, objective, parts)).unwrap();
            Trainer::new(recipe.resolve(data.shape()).unwrap(), data, &Device::flex())
        };
        for kind in ["beta-tcvae", "factor-vae", "dip-vae-i", "dip-vae-ii"] {
            let error = new(&format!("kind = '{kind}'"), 2).err().unwrap();
            assert!(error.to_string().contains("all images of a batch at a time"), "{error}");
        }
        let error = new("kind = 'h'", 12).err().unwrap().to_string();
        assert!(error.contains("at most train.batch = 11, found 12"), "{error}");
        let mut trainer = new("kind = 'h'", 2).unwrap();
        let three = Threads::new(3).remove(0);
        let error = trainer.join(Box::new(three)).unwrap_err().to_string();
        assert!(error.contains("at least 3, the number of processes, found 2"), "{error}");
        assert_eq!(trainer.config().train().precision, Precision::F32);
    }
}

//! A step whose batch is taken in parts, by one process or by several: `train.parts`.
//!
//! The parts are fixed by the configuration. Each has its own pass, and batch norm knows the statistics of its part, as
//! data-parallel training has it. What the constraint needs of the whole batch is its KL: that is gathered first, and says what
//! a nat of it costs. Gradients are then added along a fixed tree over the parts. So a step has the same bytes for any
//! number of processes.

use std::collections::BTreeMap;
use std::ops::Range;

use betavae_kernels::ops::BatchMoments;
use burn::tensor::{Tensor, TensorData};

use super::gradients::pooled;
use super::processes::{self, Division};
use super::{Gradients, Trainer, non_finite};
use crate::error::{Error, Result};
use crate::model::{Pass, values};
use crate::objective::{LossTensors, Term, Terms};
use crate::optimizer::NamedGradients;

impl Trainer {
    /// Refuses what cannot be taken in parts.
    pub(super) fn check_parts(&self) -> Result<()> {
        let train = self.config.train();
        if train.parts == 1 {
            return Ok(());
        }
        if train.parts > train.batch {
            return Err(Error::config(
                format!(
                    "train.parts: expected at most train.batch = {}, found {}",
                    train.batch, train.parts
                ),
                "",
            ));
        }
        if self.objective.by_kl(0.0, 1).is_none() {
            return Err(Error::config(
                format!(
                    "train.parts = {}: the constraint of {} depends on all images of a batch at a time",
                    train.parts,
                    self.config.objective().kind.name()
                ),
                "objectives that depend on them by their KL alone can be taken in parts: h, b, control-vae, dynamic-vae, \
                 ada-gvae, ada-ml-vae",
            ));
        }
        Ok(())
    }

    fn division(&self) -> Division {
        Division { parts: self.config.train().parts, processes: self.processes.size() }
    }

    /// The images of a part, as positions in the batch.
    fn images_of(&self, part: usize) -> Range<usize> {
        let (batch, parts) = (self.config.train().batch, self.config.train().parts);
        part * batch / parts..(part + 1) * batch / parts
    }

    /// The share of a part in the batch.
    fn share(&self, part: usize) -> f64 {
        self.images_of(part).len() as f64 / self.config.train().batch as f64
    }

    /// The gradients of the next step, of which every process computes those of its parts.
    pub(super) fn gradients_in_parts(&self) -> Result<Gradients> {
        let (precision, step) = (self.config.train().precision, self.step + 1);
        let (division, processes) = (self.division(), &*self.processes);
        let own = division.of(processes.rank());
        // Computed in the thread pool, and sent from outside of it: whoever waits there would keep a thread from its work.
        let passes: BTreeMap<_, _> = betavae_kernels::with_spinning_threads(|| {
            let pass = |part| {
                let batch = self.batch_of(step, self.images_of(part))?;
                let mut pass = Pass::train_in(precision);
                let forward = self.objective.forward(self.model(), &batch, &mut pass);
                Ok((part, (forward, pass)))
            };
            own.map(pass).collect::<Result<_>>()
        })?;
        let kl = passes
            .iter()
            .map(|(part, (forward, _))| (*part, values(forward.posterior.kl_per_latent().inner())));
        let kl = processes::gather(processes, division, &kl.collect(), self.model().latents());
        let kl: f32 = self.averaged(&kl).iter().sum();
        let [constraint, weight] = self
            .objective
            .by_kl(f64::from(kl), step)
            .unwrap_or_else(|| unreachable!("checked when the trainer was made"));
        let parts = betavae_kernels::with_spinning_threads(|| {
            let part = |(part, (forward, pass))| {
                let (model, weight) = (self.model(), Some(weight));
                let loss = self.objective.loss_of(&forward, model, precision, step, weight);
                (part, self.part(&loss, pass, self.share(part)))
            };
            passes.into_iter().map(part).collect()
        });
        let beyond = constraint - weight * f64::from(kl);
        self.added(division, parts, beyond)
    }

    /// Gradients of a part, multiplied by its share, its terms and moments.
    fn part(&self, loss: &LossTensors, pass: Pass, share: f64) -> Part {
        let gradients = NamedGradients::collect(self.model(), &mut loss.total.backward());
        let gradients = gradients.scaled(share);
        Part { gradients, terms: loss.terms(), moments: pass.into_moments() }
    }

    /// The gradients of the whole batch. `beyond` is what the constraint is beyond its slope times the KL.
    fn added(
        &self,
        division: Division,
        parts: BTreeMap<usize, Part>,
        beyond: f64,
    ) -> Result<Gradients> {
        let processes = &*self.processes;
        // All of them have the same parameters and layers.
        let Some(any) = parts.values().next() else {
            unreachable!("every process has a part");
        };
        let shapes: Vec<(String, usize)> = any.gradients.lengths();
        let (mut terms, counts) = (any.terms.clone(), self.part_counts(division, &any.moments));
        let numbers = |part: &Part| {
            let losses = part.terms.losses.iter().map(|term| term.value);
            losses.chain(part.terms.kl_per_latent.iter().copied()).collect::<Vec<f32>>()
        };
        let length = terms.losses.len() + terms.kl_per_latent.len();
        let all = parts.iter().map(|(number, part)| (*number, numbers(part))).collect();
        let all = self.averaged(&processes::gather(processes, division, &all, length));
        let (losses, kl) = all.split_at(terms.losses.len());
        terms.losses.iter_mut().zip(losses).for_each(|(term, value)| term.value = *value);
        terms.kl_per_latent = kl.to_vec();
        self.complete(&mut terms, beyond);
        // Only of what all know, so that all of them stop.
        if let Some((term, value)) = terms.first_non_finite() {
            return Err(non_finite(self.step + 1, term, &value.to_string()));
        }
        let moments = parts.iter().map(|(number, part)| (*number, part.moments_flat()));
        let layers: Vec<usize> = any.moments.iter().map(|moments| moments.mean.dims()[0]).collect();
        let length = 2 * layers.iter().sum::<usize>();
        let moments = processes::gather(processes, division, &moments.collect(), length);
        let moments = self.pooled(&moments, &layers, &counts);
        let flat = parts.into_iter().map(|(number, part)| (number, part.gradients.flat()));
        let length = shapes.iter().map(|(_, length)| length).sum();
        let sum = processes::sum(processes, division, flat.collect(), length);
        let parameters = NamedGradients::of_flat(&shapes, &sum, &self.device.clone().inner());
        if let Some(name) = parameters.first_non_finite() {
            let term = format!("the gradient of {name}");
            return Err(non_finite(self.step + 1, term, "not finite"));
        }
        let images = self.config.train().batch;
        Ok(Gradients { parameters, own: NamedGradients::default(), moments, terms, images })
    }

    /// The means of numbers over the parts, by their shares.
    fn averaged(&self, parts: &[Vec<f32>]) -> Vec<f32> {
        let length = parts.first().map_or(0, Vec::len);
        let mean = |k: usize| {
            let shares = parts.iter().enumerate();
            shares.map(|(part, x)| self.share(part) * f64::from(x[k])).sum::<f64>() as f32
        };
        (0..length).map(mean).collect()
    }

    /// Makes the loss and the KL of averaged terms those of the whole batch.
    fn complete(&self, terms: &mut Terms, beyond: f64) {
        let kl = terms.kl_per_latent.iter().sum();
        let scale = self.config.objective().reduction.constraint_scale();
        for Term { name, value, .. } in &mut terms.losses {
            match *name {
                "kl" => *value = kl,
                "total" => *value += (scale * beyond) as f32,
                _ => {}
            }
        }
    }

    /// How many values each layer of batch norm has averaged over in each part.
    fn part_counts(&self, division: Division, any: &[BatchMoments]) -> Vec<Vec<usize>> {
        let first = division.of(self.processes.rank()).start;
        let images = self.images_of(first).len();
        let of = |part: usize| {
            let per_image = any.iter().map(|moments| moments.count / images);
            per_image.map(|count| count * self.images_of(part).len()).collect()
        };
        (0..division.parts).map(of).collect()
    }

    /// The moments over all parts, layer by layer.
    fn pooled(
        &self,
        parts: &[Vec<f32>],
        layers: &[usize],
        counts: &[Vec<usize>],
    ) -> Vec<BatchMoments> {
        let device = self.device.clone().inner();
        let mut start = 0;
        let layers = layers.iter().enumerate().map(|(layer, channels)| {
            let range = start..start + channels;
            start += 2 * channels;
            let moments = |(part, counts): (&Vec<f32>, &Vec<usize>)| {
                let tensor = |range: Range<usize>| {
                    let data = TensorData::new(part[range].to_vec(), [*channels]);
                    Tensor::<1>::from_data(data, &device)
                };
                let variance = tensor(range.start + channels..range.end + channels);
                BatchMoments { mean: tensor(range.clone()), variance, count: counts[layer] }
            };
            let mut parts = parts.iter().zip(counts).map(moments);
            let first = parts.next().unwrap_or_else(|| unreachable!("there is at least one part"));
            parts.fold(first, pooled)
        });
        layers.collect()
    }
}

/// What a part of a batch says about the step.
struct Part {
    gradients: NamedGradients,
    terms: Terms,
    moments: Vec<BatchMoments>,
}

impl Part {
    /// Means and variances, layer by layer.
    fn moments_flat(&self) -> Vec<f32> {
        let of = |moments: &BatchMoments| {
            [values(moments.mean.clone()), values(moments.variance.clone())].concat()
        };
        self.moments.iter().flat_map(of).collect()
    }
}

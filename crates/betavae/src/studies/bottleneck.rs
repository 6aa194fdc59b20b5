//! The study of Burgess et al. 2018, Fig. 3: what a narrow channel says first.
//!
//! The encoder is ten numbers. Each of dSprites' five factors v, standardised, has a gain w and a noise s:
//! z = w v + s e with standard normal e. A decoder learns to draw the image from z under loss B while C rises. As there
//! is nothing to disentangle, what is seen is only which factor is worth its nats when: position first,
//! then scale, then shape and orientation.
//!
//! The paper does not print its settings. Gamma 100 and C from 0.5 nats are those of a public replication, in
//! which C rises over 350,000 steps; the noise is one number per factor, as the paper's text has it.
//!
//! Batches, loss and optimiser are those of a [`Trainer`], whose own encoder is not asked.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

use super::{Progress, go_on};
use crate::Device;
use crate::config::Recipe;
use crate::data::dsprites::DSprites;
use crate::data::order::Sampling;
use crate::data::{Dataset, Factors};
use crate::error::Result;
use crate::evaluate::{load, subset};
use crate::figures::plot::{Axis, Figure, Lines, Panel, Series, short};
use crate::figures::{PictureGrid, pictures};
use crate::model::{BetaVae, Forward, Pass, Posterior};
use crate::objective::{LossB, ObjectiveKind};
use crate::optimizer::{NamedGradients, Optimizer, OptimizerConfig};
use crate::train::Trainer;

const GAMMA: f64 = 100.0;
/// C in nats, least and last.
const CAPACITY: [f64; 2] = [0.5, 25.0];
/// Capacities at which pictures are drawn, those of the paper's figure.
const SHOWN: [f64; 4] = [3.1, 7.3, 15.4, 23.8];
/// Images in a row of pictures.
const IMAGES: usize = 10;
/// Rows of the result.
const ROWS: u64 = 200;
/// Step size of the ten numbers; the decoder has the papers' 5e-4.
const LEARNING_RATE: f64 = 1e-3;

/// Means over a two-hundredth of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct BottleneckRow {
    /// Steps taken.
    pub step: u64,
    /// C in nats.
    pub capacity: f64,
    /// KL of each factor in nats, `[K]`.
    pub kl: Vec<f64>,
    /// -ln p(x | z) in nats per image.
    pub reconstruction: f64,
}

/// What the study found.
pub struct BottleneckStudy {
    /// Names of the factors.
    pub factors: Vec<String>,
    /// By rising C.
    pub rows: Vec<BottleneckRow>,
    /// Images of the data above what the decoder makes of their means at four capacities.
    pub pictures: RgbImage,
}

/// The encoder of the study: two numbers for each factor.
#[derive(Module, Debug)]
struct FactorEncoder {
    /// What a standardised factor is multiplied by, [1, K].
    gain: Param<Tensor<2>>,
    /// Logarithm of the noise's variance, [1, K].
    log_var: Param<Tensor<2>>,
}

impl FactorEncoder {
    fn new(factors: usize, device: &Device) -> Self {
        let constant = |value: f32| {
            let data = TensorData::new(vec![value; factors], [1, factors]);
            Param::from_tensor(Tensor::from_data(data, device))
        };
        Self { gain: constant(0.1), log_var: constant(0.0) }
    }

    /// The posterior for standardised factors [B, K].
    fn encode(&self, sources: Tensor<2>) -> Posterior {
        Posterior {
            log_var: sources.zeros_like() + self.log_var.val(),
            mean: sources * self.gain.val(),
        }
    }
}

/// The data, and its factors as the study's encoder sees them.
struct Sprites {
    data: Arc<DSprites>,
    factors: Vec<String>,
    /// Place among the data's factors, and number of classes.
    columns: Vec<(usize, usize)>,
}

impl Sprites {
    fn new() -> Self {
        let data = Arc::new(DSprites::new());
        let known = data.factors().map(Factors::factors).unwrap_or_default();
        // The colour is always white.
        let columns = known.iter().map(|factor| factor.values.len()).enumerate();
        let columns: Vec<_> = columns.filter(|(_, size)| *size > 1).collect();
        let factors = columns.iter().map(|(k, _)| known[*k].name.clone()).collect();
        Self { factors, columns, data }
    }

    /// Factors with mean 0 and variance 1, [B, K]. Classes are evenly spaced.
    fn sources(&self, indices: &[usize], device: &Device) -> Tensor<2> {
        let shape = [indices.len(), self.columns.len()];
        Tensor::from_data(TensorData::new(self.standardised(indices), shape), device)
    }

    fn standardised(&self, indices: &[usize]) -> Vec<f32> {
        let standard = |class: usize, size: usize| {
            let (class, size) = (class as f32, size as f32);
            (class - (size - 1.0) / 2.0) / ((size * size - 1.0) / 12.0).sqrt()
        };
        let row = |index: &usize| {
            let classes = self.data.factors().map_or(Vec::new(), |known| known.classes(*index));
            self.columns.iter().map(move |(k, size)| standard(classes[*k], *size))
        };
        indices.iter().flat_map(row).collect()
    }
}

/// Trains for `steps` steps, over which C rises.
///
/// # Errors
/// If the caller stops it.
pub fn bottleneck(
    steps: u64,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<BottleneckStudy> {
    let sprites = Sprites::new();
    let (data, count) = (sprites.data.clone(), sprites.factors.len());
    let [c_min, c_max] = CAPACITY;
    let loss = LossB { gamma: GAMMA.into(), c_min, c_max, c_steps: steps, c_start: 0 };
    let mut recipe = Recipe { objective: ObjectiveKind::B(loss).into(), ..Recipe::default() };
    recipe.model.latents = count;
    recipe.data.order = Sampling::Replacement;
    let mut trainer = Trainer::new(recipe.resolve(data.shape())?, data.clone(), device)?;
    let plain = device.clone().inner();
    let mut encoder = FactorEncoder::new(count, &plain).train();
    let config = OptimizerConfig { learning_rate: LEARNING_RATE, ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(config);
    let mut rows = Vec::new();
    let mut mean = Mean::new(count);
    let mut drawn: Vec<(String, Vec<RgbImage>)> = Vec::new();
    for step in 1..=steps {
        go_on(progress)?;
        let batch = trainer.batch(step)?;
        let mut pass = Pass::train();
        let posterior = encoder.encode(sprites.sources(&batch.indices, &batch.images.device()));
        let z = BetaVae::reparameterise(&posterior, batch.noise.clone());
        let model = trainer.model();
        let targets = model.to_network_scale(batch.images);
        let nll = model.decoder.nll(z.clone(), targets, model.likelihood(), &mut pass);
        let loss = {
            let forward = Forward { posterior, z, nll };
            trainer.objective().loss_of(&forward, model, pass.precision(), step, None)
        };
        let mut backward = loss.total.backward();
        let of_encoder = NamedGradients::collect(&encoder, &mut backward);
        let of_decoder =
            trainer.gradients_of(&loss, &mut backward, None, pass, batch.indices.len())?;
        encoder = optimizer.step(encoder, of_encoder, step);
        let terms = trainer.apply(of_decoder);

        mean.add(&terms.kl_per_latent, terms.reconstruction());
        let capacity = f64::from(terms.weights[0].value);
        if step * ROWS / steps > (step - 1) * ROWS / steps {
            let (kl, reconstruction) = mean.take();
            rows.push(BottleneckRow { step, capacity, kl, reconstruction });
        }
        if drawn.len() < SHOWN.len() && capacity >= SHOWN[drawn.len()] {
            let sources = sprites.sources(&subset(data.len(), IMAGES), &plain);
            let images = trainer.model().valid().decode(encoder.valid().encode(sources).mean);
            drawn.push((format!("C {}", short(SHOWN[drawn.len()])), pictures(images)));
        }
        progress.stepped("bottleneck", step, steps);
    }
    let originals = load(&*data, &subset(data.len(), IMAGES), &plain)?;
    let mut grid = PictureGrid::new();
    grid.row("data", pictures(originals));
    drawn.into_iter().for_each(|(label, pictures)| grid.row(label, pictures));
    Ok(BottleneckStudy { factors: sprites.factors, rows, pictures: grid.render() })
}

/// Sums of the terms since the last row.
struct Mean {
    kl: Vec<f64>,
    reconstruction: f64,
    steps: f64,
}

impl Mean {
    fn new(factors: usize) -> Self {
        Self { kl: vec![0.0; factors], reconstruction: 0.0, steps: 0.0 }
    }

    fn add(&mut self, kl: &[f32], reconstruction: f32) {
        self.kl.iter_mut().zip(kl).for_each(|(sum, kl)| *sum += f64::from(*kl));
        self.reconstruction += f64::from(reconstruction);
        self.steps += 1.0;
    }

    fn take(&mut self) -> (Vec<f64>, f64) {
        let done = std::mem::replace(self, Self::new(self.kl.len()));
        let kl = done.kl.iter().map(|sum| sum / done.steps).collect();
        (kl, done.reconstruction / done.steps)
    }
}

impl BottleneckStudy {
    /// KL of each factor against C, and against the log-likelihood it goes with.
    pub fn figure(&self) -> Figure {
        let panel = |x: &str, at: &dyn Fn(&BottleneckRow) -> f64| {
            let curve = |k: usize| self.rows.iter().map(|row| [at(row), row.kl[k]]).collect();
            let series = self.factors.iter().enumerate();
            let series = series.map(|(k, name)| Series::line(name, curve(k))).collect();
            let y = Axis::new("KL of the factor in nats");
            Panel::Lines(Lines { x: Axis::new(x), y, series, ..Lines::default() })
        };
        let panels = vec![
            panel("capacity C in nats", &|row| row.capacity),
            panel("ln p(x | z) in nats", &|row| -row.reconstruction),
        ];
        Figure { title: String::new(), panels, columns: 2, panel: [520, 380] }
    }

    /// The rows as a table.
    pub fn csv(&self) -> String {
        let names: String = self.factors.iter().map(|name| format!(",kl_{name}")).collect();
        let mut text = format!("step,capacity,reconstruction{names}\n");
        for BottleneckRow { step, capacity, kl, reconstruction } in &self.rows {
            let kl: String = kl.iter().map(|kl| format!(",{kl}")).collect();
            text += &format!("{step},{capacity},{reconstruction}{kl}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_standardised() {
        let sprites = Sprites::new();
        let indices: Vec<usize> = (0..sprites.data.len()).step_by(7).collect();
        let sources = sprites.standardised(&indices);
        for k in 0..5 {
            let values = || sources.iter().skip(k).step_by(5).map(|v| f64::from(*v));
            let mean = values().sum::<f64>() / indices.len() as f64;
            let square = values().map(|v| v * v).sum::<f64>() / indices.len() as f64;
            assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.01, "{k}: {mean}, {square}");
        }
    }

    #[test]
    fn the_numbers_take_up_the_capacity() {
        let study = bottleneck(60, &Device::flex(), &mut ()).unwrap();
        assert_eq!(study.rows.len(), 60);
        let total = |row: &BottleneckRow| row.kl.iter().sum::<f64>();
        let (first, last) = (&study.rows[0], &study.rows[59]);
        assert!(total(last) > total(first), "{first:?} {last:?}");
        assert!(last.reconstruction < first.reconstruction);
        assert_eq!(study.csv().lines().count(), 61);
        assert!(study.csv().starts_with("step,capacity,reconstruction,kl_shape,kl_scale"));
        assert!(study.figure().svg().contains("posX"));
        // The data and four rows of what was made of it.
        assert!(study.pictures.height() > 5 * 64);
    }
}

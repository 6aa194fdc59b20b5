//! The study of Burgess et al. 2018, Fig. 3: what a narrow channel says first.
//!
//! The encoder is ten numbers. Each of dSprites' five factors v, standardised, has a gain w and a noise s:
//! z = w v + s e with standard normal e. A decoder learns to draw the image from z under loss B while C rises. As there
//! is nothing to disentangle, what is seen is only which factor is worth its nats when: position first,
//! then scale, then shape and orientation.
//!
//! The paper does not print its settings. Gamma 100 and C from 0.5 nats are those of a public replication, in
//! which C rises over 350,000 steps; the noise is one number per factor, as the paper's text has it.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

use crate::Device;
use crate::config::Config;
use crate::data::dsprites::DSprites;
use crate::data::{Dataset, Factors};
use crate::error::Result;
use crate::evaluate::{load, subset};
use crate::figures::plot::{Axis, Figure, Lines, Panel, Series, short};
use crate::figures::{Grid, pictures};
use crate::model::{BetaVae, Posterior, values};
use crate::optimizer::{NamedGradients, Optimizer, OptimizerConfig};
use crate::random::Stream;

const BATCH: usize = 64;
const GAMMA: f32 = 100.0;
/// C in nats, first and last.
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
pub struct Row {
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
pub struct Study {
    /// Names of the factors.
    pub factors: Vec<String>,
    /// By rising C.
    pub rows: Vec<Row>,
    /// Images of the data above what the decoder makes of their means at four capacities.
    pub pictures: RgbImage,
}

/// The ten numbers with Adam's moments: gains, then logarithms of the noises' variances.
struct Gains {
    values: Vec<f32>,
    moments: Vec<[f64; 2]>,
}

impl Gains {
    fn new(factors: usize) -> Self {
        let values = [vec![0.1; factors], vec![0.0; factors]].concat();
        Self { moments: vec![[0.0; 2]; values.len()], values }
    }

    fn update(&mut self, gradient: &[f32], step: u64) {
        for ((value, [first, second]), g) in
            self.values.iter_mut().zip(&mut self.moments).zip(gradient)
        {
            let g = f64::from(*g);
            *first = 0.9 * *first + 0.1 * g;
            *second = 0.999 * *second + 0.001 * g * g;
            let exponent = i32::try_from(step).unwrap_or(i32::MAX);
            let mean = *first / (1.0 - 0.9_f64.powi(exponent));
            let square = *second / (1.0 - 0.999_f64.powi(exponent));
            *value -= (LEARNING_RATE * mean / (square.sqrt() + 1e-8)) as f32;
        }
    }
}

/// The data, and its factors as the study's encoder sees them.
struct Sprites {
    data: DSprites,
    factors: Vec<String>,
    /// Place among the data's factors, and number of classes.
    columns: Vec<(usize, usize)>,
}

impl Sprites {
    fn new() -> Self {
        let data = DSprites::new();
        let known = data.factors().map(Factors::factors).unwrap_or_default();
        // The colour is always white.
        let columns = known.iter().map(|factor| factor.values.len()).enumerate();
        let columns: Vec<_> = columns.filter(|(_, size)| *size > 1).collect();
        let factors = columns.iter().map(|(k, _)| known[*k].name.clone()).collect();
        Self { factors, columns, data }
    }

    /// Factors with mean 0 and variance 1, [B, K]. Classes are evenly spaced.
    fn sources(&self, indices: &[usize]) -> Vec<f32> {
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

/// Trains for `steps` steps, over which C rises. `progress` hears the steps taken.
///
/// # Errors
/// None that is known: dSprites is rendered in memory.
pub fn study(steps: u64, device: &Device, progress: &mut dyn FnMut(u64)) -> Result<Study> {
    let sprites = Sprites::new();
    let (data, count) = (&sprites.data, sprites.factors.len());
    let changes = [format!("model.latents={count}")];
    let (mut config, _) = Config::from_recipe("", &changes)?;
    config.resolve(data.shape())?;
    let mut model: BetaVae = config.build_model(&device.clone().inner())?.train();
    let mut optimizer = Optimizer::new(OptimizerConfig::default());
    let mut gains = Gains::new(count);
    let autodiff = device.clone().autodiff();
    let (mut rows, mut sums, mut summed) = (Vec::new(), vec![0.0; count + 1], 0.0);
    let mut drawn: Vec<(String, Vec<RgbImage>)> = Vec::new();
    for step in 1..=steps {
        let share = step as f64 / steps as f64;
        let capacity = CAPACITY[0] + share * (CAPACITY[1] - CAPACITY[0]);
        let mut stream = Stream::new(config.seed, "bottleneck", step);
        let indices: Vec<usize> = (0..BATCH).map(|_| stream.below(data.len())).collect();
        let images = load(data, &indices, &autodiff)?;
        let sources = TensorData::new(sprites.sources(&indices), [BATCH, count]);
        let sources = Tensor::<2>::from_data(sources, &autodiff);
        let noise = TensorData::new(stream.normals(BATCH * count), [BATCH, count]);

        let numbers = TensorData::new(gains.values.clone(), [2, count]);
        let numbers = Tensor::<2>::from_data(numbers, &autodiff).require_grad();
        let posterior = Posterior {
            mean: sources.clone() * numbers.clone().slice([0..1, 0..count]),
            log_var: sources.zeros_like() + numbers.clone().slice([1..2, 0..count]),
        };
        let kl = posterior.kl_per_latent();
        let z = BetaVae::reparameterise(&posterior, Tensor::from_data(noise, &autodiff));
        let targets = model.to_network_scale(images);
        let nll = model.likelihood().nll(model.decode_raw(z), targets).mean();
        let loss = nll.clone() + (kl.clone().sum() - capacity as f32).abs() * GAMMA;
        let mut gradients = loss.backward();
        if let Some(gradient) = numbers.grad_remove(&mut gradients) {
            gains.update(&values(gradient), step);
        }
        let gradients = NamedGradients::collect(&model, gradients);
        model = optimizer.step(model, gradients, step);

        let terms = values(Tensor::cat(vec![kl.inner(), nll.inner()], 0));
        sums.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += f64::from(*term));
        summed += 1.0;
        if step * ROWS / steps > (step - 1) * ROWS / steps {
            let means: Vec<f64> = sums.iter().map(|sum| sum / summed).collect();
            let (kl, reconstruction) = (means[..count].to_vec(), means[count]);
            rows.push(Row { step, capacity, kl, reconstruction });
            (sums, summed) = (vec![0.0; count + 1], 0.0);
        }
        if drawn.len() < SHOWN.len() && capacity >= SHOWN[drawn.len()] {
            let indices = subset(data.len(), IMAGES);
            let gains = gains.values[..count].iter().cycle();
            let means = sprites.sources(&indices).iter().zip(gains).map(|(v, w)| v * w).collect();
            let codes = TensorData::new::<f32, _>(means, [IMAGES, count]);
            let images = model.valid().decode(Tensor::from_data(codes, &device.clone().inner()));
            drawn.push((format!("C {}", short(SHOWN[drawn.len()])), pictures(images)));
        }
        progress(step);
    }
    let indices = subset(data.len(), IMAGES);
    let originals = load(data, &indices, &device.clone().inner())?;
    let mut grid = Grid::new();
    grid.row("data", pictures(originals));
    drawn.into_iter().for_each(|(label, pictures)| grid.row(label, pictures));
    Ok(Study { factors: sprites.factors, rows, pictures: grid.render() })
}

impl Study {
    /// KL of each factor against C, and against the log-likelihood it goes with.
    pub fn figure(&self) -> Figure {
        let panel = |x: &str, at: &dyn Fn(&Row) -> f64| {
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
        for Row { step, capacity, kl, reconstruction } in &self.rows {
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
        let sources = sprites.sources(&indices);
        for k in 0..5 {
            let values = || sources.iter().skip(k).step_by(5).map(|v| f64::from(*v));
            let mean = values().sum::<f64>() / indices.len() as f64;
            let square = values().map(|v| v * v).sum::<f64>() / indices.len() as f64;
            assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.01, "{k}: {mean}, {square}");
        }
    }

    #[test]
    fn the_numbers_take_up_the_capacity() {
        let mut heard = 0;
        let study = study(60, &Device::flex(), &mut |step| heard = step).unwrap();
        assert_eq!((heard, study.rows.len()), (60, 60));
        let total = |row: &Row| row.kl.iter().sum::<f64>();
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

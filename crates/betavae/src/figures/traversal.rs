//! Latent traversals: one latent varied, the others held, a row per latent (Higgins et al. 2017,
//! Figs. 1-3; Burgess et al. 2018, Fig. 4).

use burn::tensor::{Tensor, TensorData};
use image::{Delay, Frame, RgbImage};

use super::grid::{PictureGrid, pictures};
use crate::checkpoint::Trained;

/// What is varied and how far.
#[derive(Clone, Debug)]
pub struct TraversalOptions {
    /// Each latent runs from -range to range, in standard deviations of the prior.
    pub range: f32,
    /// Number of values.
    pub frames: usize,
    /// Where the others are held, `[D]`: a code, or zeros for the mean of the prior.
    pub centre: Vec<f32>,
}

/// Decoded traversals of every latent, those with the largest KL first.
pub struct Traversal {
    /// The latents by row.
    pub latents: Vec<usize>,
    /// KL of the latent of each row in nats, where the model knows it.
    pub kl: Vec<Option<f64>>,
    /// The values by column.
    pub values: Vec<f32>,
    /// [D * frames, H, W, C] in [0, 1], row by row.
    pub images: Tensor<4>,
}

impl Traversal {
    /// Decodes the traversals.
    pub fn new(trained: &Trained, options: &TraversalOptions) -> Self {
        let model = &trained.model;
        let count = model.latents();
        assert_eq!(options.centre.len(), count, "the centre is a code of the model");
        let latents = trained.latents_by_kl();
        let last = options.frames.saturating_sub(1).max(1) as f32;
        let value = |i: usize| options.range * (2.0 * i as f32 / last - 1.0);
        let values: Vec<f32> = (0..options.frames).map(value).collect();
        let mut codes = Vec::with_capacity(count * options.frames * count);
        for latent in &latents {
            for value in &values {
                let start = codes.len();
                codes.extend_from_slice(&options.centre);
                codes[start + latent] = *value;
            }
        }
        let codes = TensorData::new(codes, [count * options.frames, count]);
        let images = model.decode(Tensor::from_data(codes, &model.device()));
        let known = &trained.description.kl_per_latent;
        let kl = latents.iter().map(|latent| known.get(*latent).copied()).collect();
        Self { latents, kl, values, images }
    }

    /// A row per latent, labelled with its KL; a column per value.
    pub fn figure(&self, title: &str) -> RgbImage {
        let mut grid = PictureGrid::new();
        grid.title(title);
        let pictures = pictures(self.images.clone());
        for (i, row) in pictures.chunks(self.values.len()).enumerate() {
            grid.row(self.label(i), row.to_vec());
            if i == 0 {
                grid.captions(self.values.iter().map(|value| short(*value)).collect());
            }
        }
        grid.render()
    }

    /// The frames of an animation in which every latent swings there and back at once, each in a
    /// picture of its own with its label above, `columns` to a line.
    pub fn animation(&self, columns: usize) -> Vec<Frame> {
        let pictures = pictures(self.images.clone());
        let count = self.values.len();
        let back = (1..count.saturating_sub(1)).rev();
        let frame = |value: usize| {
            let mut grid = PictureGrid::new();
            for line in (0..self.latents.len()).collect::<Vec<_>>().chunks(columns) {
                let cell = |row: &usize| pictures[row * count + value].clone();
                grid.row("", line.iter().map(cell).collect());
                grid.captions(line.iter().map(|row| self.label(*row)).collect());
            }
            let picture = image::DynamicImage::ImageRgb8(grid.render()).into_rgba8();
            Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(80, 1))
        };
        (0..count).chain(back).map(frame).collect()
    }

    fn label(&self, row: usize) -> String {
        match self.kl[row] {
            Some(kl) => format!("z{} {kl:5.2} nats", self.latents[row]),
            None => format!("z{}", self.latents[row]),
        }
    }
}

/// A number with as few digits as a column label can bear.
fn short(value: f32) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

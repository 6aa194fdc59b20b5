//! The Gaussian-blob set of Burgess et al. 2018 (Fig. 2): one white blob on black, at every
//! position of a grid. With two factors only, it shows how a bottleneck spends its capacity.

use super::{Dataset, Factor, FactorGrid, Factors, ImageShape};
use crate::error::Result;

/// Side of an image in pixels.
const SIDE: usize = 64;

/// Positions along each axis.
const POSITIONS: usize = 64;

/// Standard deviation of the blob in pixels. The paper prints no number. Under its beta of 150 a
/// blob of 4 pixels is too small to be worth any information, one of 8 is encoded.
const SIGMA: f64 = 8.0;

/// Distance in pixels of the outermost centres from the edge of the image: two sigma.
const MARGIN: f64 = 2.0 * SIGMA;

/// 64 x 64 positions of a blob exp(-r^2 / (2 sigma^2)), sigma = 8 pixels, in 64 x 64 images.
pub struct Blobs {
    factors: Factors,
}

impl Default for Blobs {
    fn default() -> Self {
        Self::new()
    }
}

impl Blobs {
    /// The set; nothing is rendered yet.
    pub fn new() -> Self {
        let axis = |name| Factor::linspace(name, MARGIN, SIDE as f64 - MARGIN, POSITIONS);
        let grid = FactorGrid { factors: vec![axis("posX"), axis("posY")] };
        Self { factors: Factors::Grid(grid) }
    }
}

impl Dataset for Blobs {
    fn name(&self) -> &str {
        "blobs"
    }

    fn description(&self) -> String {
        format!("{} grey images of a Gaussian blob (sigma 8 pixels) on black", self.len())
    }

    fn len(&self) -> usize {
        self.factors.len()
    }

    fn shape(&self) -> ImageShape {
        ImageShape::new(SIDE, SIDE, 1)
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        let classes = self.factors.classes(index);
        // The blob is a product of one profile along each axis.
        let profile = |axis: usize| -> [f64; SIDE] {
            let centre = self.factors.factors()[axis].values[classes[axis]];
            std::array::from_fn(|i| {
                let distance = i as f64 + 0.5 - centre;
                libm::exp(-distance * distance / (2.0 * SIGMA * SIGMA))
            })
        };
        let (x, y) = (profile(0), profile(1));
        for (i, pixel) in pixels.iter_mut().enumerate() {
            *pixel = (x[i % SIDE] * y[i / SIDE]) as f32;
        }
        Ok(())
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn factors(&self) -> Option<&Factors> {
        Some(&self.factors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centre_of_mass_follows_the_factors() {
        let blobs = Blobs::new();
        let mut pixels = vec![0.0; SIDE * SIDE];
        for index in [0, 63, 64 * 20 + 40, blobs.len() - 1] {
            blobs.read(index, 0, &mut pixels).unwrap();
            let mass: f32 = pixels.iter().sum();
            let x = |i: usize| (i % SIDE) as f32 + 0.5;
            let mean_x = pixels.iter().enumerate().map(|(i, p)| p * x(i)).sum::<f32>() / mass;
            let class = blobs.factors.classes(index)[0];
            // At the border 2.3 % of the blob is cut off, which moves the mean by 0.44 pixels.
            let expected = blobs.factors.factors()[0].values[class] as f32;
            assert!((mean_x - expected).abs() < 0.6, "{mean_x} for {expected}");
        }
    }
}

//! dSprites (Matthey, Higgins, Hassabis and Lerchner 2017), rendered instead of downloaded.
//!
//! The published images are reproduced by rule: an outline per shape, scaled, rotated, moved, its
//! corners snapped to 1/256 pixel and filled where pixel centres lie inside. The rule reproduces
//! every published image it was tried on and the white-pixel total of the whole set to 2 in 128
//! million; its own output is pinned by the hashes in the tests below.

use std::f64::consts::{PI, TAU};

use super::{Dataset, Factor, FactorGrid, Factors, ImageShape};
use crate::error::Result;

/// Side of an image in pixels.
pub(crate) const SIDE: usize = 64;

const SCALES: usize = 6;
const ORIENTATIONS: usize = 40;
const POSITIONS: usize = 32;

/// Number of images: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions.
pub const IMAGES: usize = 3 * SCALES * ORIENTATIONS * POSITIONS * POSITIONS;

/// A binary image: one bit per pixel, one word per row, leftmost pixel in the highest bit.
type Bitmap = [u64; SIDE];

/// All 737,280 images, rendered on demand (about 2 microseconds each).
pub struct DSprites {
    factors: Factors,
    /// Outlines about the origin in pixels, by shape, scale and orientation (in index order).
    outlines: Vec<Vec<[f64; 2]>>,
}

impl Default for DSprites {
    fn default() -> Self {
        Self::new()
    }
}

impl DSprites {
    /// Prepares the 720 outlines.
    pub fn new() -> Self {
        let mut outlines = Vec::with_capacity(3 * SCALES * ORIENTATIONS);
        for shape in [square(), ellipse(), heart()] {
            for scale in 0..SCALES {
                for orientation in 0..ORIENTATIONS {
                    outlines.push(place(&shape, scale, orientation));
                }
            }
        }
        Self { factors: Factors::Grid(grid()), outlines }
    }

    /// Renders image `index`, which is below [`IMAGES`].
    pub(crate) fn bitmap(&self, index: usize) -> Bitmap {
        let (outline, position) =
            (index / (POSITIONS * POSITIONS), index % (POSITIONS * POSITIONS));
        let centre = |class: usize| 16.0 + 32.0 * class as f64 / 31.0;
        let (x, y) = (centre(position / POSITIONS), centre(position % POSITIONS));
        fill(self.outlines[outline].iter().map(|corner| [snap(x + corner[0]), snap(y + corner[1])]))
    }
}

impl Dataset for DSprites {
    fn name(&self) -> &str {
        "dsprites"
    }

    fn description(&self) -> String {
        format!("{IMAGES} binary images of 3 shapes in 6 scales, 40 orientations, 32x32 positions")
    }

    fn len(&self) -> usize {
        IMAGES
    }

    fn shape(&self) -> ImageShape {
        ImageShape::new(SIDE, SIDE, 1)
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        for (row, bits) in pixels.chunks_exact_mut(SIDE).zip(self.bitmap(index)) {
            for (column, pixel) in row.iter_mut().enumerate() {
                *pixel = (bits >> (SIDE - 1 - column) & 1) as f32;
            }
        }
        Ok(())
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn factors(&self) -> Option<&Factors> {
        Some(&self.factors)
    }

    fn white(&self) -> u8 {
        1
    }
}

/// The published factors with their published values; orientation has both ends of the circle, so
/// its classes 0 and 39 are the same image.
pub(super) fn grid() -> FactorGrid {
    let factor = Factor::linspace;
    FactorGrid {
        factors: vec![
            factor("color", 1.0, 1.0, 1),
            Factor {
                words: ["square", "ellipse", "heart"].map(str::to_owned).into(),
                ..factor("shape", 1.0, 3.0, 3)
            },
            factor("scale", 0.5, 1.0, SCALES),
            factor("orientation", 0.0, TAU, ORIENTATIONS),
            factor("posX", 0.0, 1.0, POSITIONS),
            factor("posY", 0.0, 1.0, POSITIONS),
        ],
    }
}

/// Outlines in units of the square's side, y downwards.
fn square() -> Vec<[f64; 2]> {
    vec![[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]
}

/// A circle of diameter 1 as a 100-gon, stretched by 1.33 along x and shrunk as much along y.
fn ellipse() -> Vec<[f64; 2]> {
    let corner = |i| {
        let t = TAU * f64::from(i) / 100.0;
        [0.5 * 1.33 * t.cos(), 0.5 / 1.33 * t.sin()]
    };
    (0..100).map(corner).collect()
}

/// The heart curve as a 150-gon; it is not centred on its centroid.
fn heart() -> Vec<[f64; 2]> {
    let corner = |i| {
        let t = TAU * f64::from(i) / 150.0;
        let y = 13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos();
        [0.5 * t.sin().powi(3), -(y / 29.0 + 0.075)]
    };
    (0..150).map(corner).collect()
}

/// Scales the outline and turns it counter-clockwise as seen on screen.
fn place(outline: &[[f64; 2]], scale: usize, orientation: usize) -> Vec<[f64; 2]> {
    let side = 19.2 * (0.5 + 0.1 * scale as f64);
    let (sin, cos) = (2.0 * PI * orientation as f64 / 39.0).sin_cos();
    outline.iter().map(|[x, y]| [side * (cos * x + sin * y), side * (-sin * x + cos * y)]).collect()
}

/// The GPU that drew the original resolved corners to 1/256 pixel.
fn snap(coordinate: f64) -> i64 {
    (256.0 * coordinate).round() as i64
}

/// Fills the polygon with corners in 1/256 pixel: a pixel is set if its centre is inside (even-odd
/// rule, no anti-aliasing). Exact integer arithmetic; a centre on a left or bottom edge is inside,
/// on a right or top edge outside.
fn fill(corners: impl ExactSizeIterator<Item = [i64; 2]> + Clone) -> Bitmap {
    let mut rows = [0; SIDE];
    let next = corners.clone().cycle().skip(1);
    for (a, b) in corners.zip(next) {
        let ([x0, y0], [x1, y1]) = if a[1] < b[1] { (a, b) } else { (b, a) };
        // Rows whose centre line 256 * row + 128 lies in (y0, y1].
        let first = (y0 + 128).div_euclid(256);
        let last = (y1 - 128).div_euclid(256);
        for row in first.max(0)..=last.min(SIDE as i64 - 1) {
            let centre = 256 * row + 128;
            // The first pixel whose centre is at or to the right of the crossing
            // x0 + (centre - y0) * (x1 - x0) / (y1 - y0).
            let numerator = (x0 - 128) * (y1 - y0) + (centre - y0) * (x1 - x0);
            let denominator = 256 * (y1 - y0);
            let pixel = -(-numerator).div_euclid(denominator);
            if pixel < SIDE as i64 {
                rows[row as usize] ^= u64::MAX >> pixel.max(0);
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use sha2::{Digest, Sha256};

    fn white(bitmap: &Bitmap) -> u64 {
        bitmap.iter().map(|row| u64::from(row.count_ones())).sum()
    }

    fn render(factors: [usize; 5]) -> Bitmap {
        let set = DSprites::new();
        let [shape, scale, orientation, x, y] = factors;
        set.bitmap(grid().index(&[0, shape, scale, orientation, x, y]))
    }

    fn hash(range: std::ops::Range<usize>) -> (String, u64) {
        let set = DSprites::new();
        let (mut hash, mut total) = (Sha256::new(), 0);
        for index in range {
            let bitmap = set.bitmap(index);
            total += white(&bitmap);
            hash.update(bitmap.map(u64::to_be_bytes).as_flattened());
        }
        (HEXLOWER.encode(&hash.finalize()), total)
    }

    #[test]
    fn every_image_of_every_shape_is_the_published_one() {
        let shape = |i| hash(i * IMAGES / 3..(i + 1) * IMAGES / 3);
        assert_eq!(
            [shape(0), shape(1), shape(2)].map(|(hash, white)| (white, hash)),
            [
                (53_612_886, "7f9585f857d6f31b929f44080c3762f056865e255b880ea78b01fe3eed775301"),
                (42_070_950, "d88b207a29c35e494cd8b63e8ddb29df0721c137922afee046d52ee123538003"),
                (32_645_028, "d4b2dbb174aca48fa86bf731227c713dc8a04902636b42212e176497ab199386"),
            ]
            .map(|(white, hash)| (white, hash.to_owned()))
        );
    }

    #[test]
    fn hashes_of_the_whole_set_and_of_the_first_thousand() {
        let all = "3a228f4037ef3d42a42588e0e01f1078aa2df13cfa17584e88c95ed9fb5672da";
        let first = "b8e0595b8b8af03c2b0b8470d5e628efac877e697cef3a2a828c967228a99a91";
        assert_eq!(hash(0..IMAGES).0, all);
        assert_eq!(hash(0..1000).0, first);
    }

    #[test]
    fn spot_values_lie_where_they_should() {
        let expected = [
            ([0, 0, 0, 0, 0], 100, (11, 20), (11, 20)),
            ([0, 1, 0, 17, 8], 121, (19, 29), (28, 38)),
            ([1, 3, 7, 12, 25], 183, (32, 50), (22, 34)),
            ([2, 4, 23, 28, 0], 184, (9, 25), (39, 54)),
            ([2, 5, 0, 0, 0], 222, (7, 23), (6, 25)),
        ];
        for (factors, pixels, rows, columns) in expected {
            let bitmap = render(factors);
            let used: Vec<usize> = (0..SIDE).filter(|row| bitmap[*row] != 0).collect();
            let any = bitmap.iter().fold(0, |any, row| any | row);
            let found = (
                white(&bitmap),
                (used[0], used[used.len() - 1]),
                (any.leading_zeros() as usize, 63 - any.trailing_zeros() as usize),
            );
            assert_eq!(found, (pixels, rows, columns), "{factors:?}");
        }
    }

    #[test]
    fn orientation_39_is_orientation_0() {
        for [shape, scale, x, y] in [[0, 0, 0, 0], [1, 3, 31, 7], [2, 5, 16, 31]] {
            assert_eq!(render([shape, scale, 0, x, y]), render([shape, scale, 39, x, y]));
        }
    }

    #[test]
    fn classes_and_index_are_inverse() {
        let grid = grid();
        assert_eq!(grid.len(), IMAGES);
        assert_eq!(grid.classes(245_760 + 40_960 * 2 + 1024 * 3 + 32 * 4 + 5), [0, 1, 2, 3, 4, 5]);
        for index in [0, 1, 12_345, IMAGES - 1] {
            assert_eq!(grid.index(&grid.classes(index)), index);
        }
    }

    #[test]
    fn reading_unpacks_the_bitmap() {
        let set = DSprites::new();
        let mut pixels = vec![9.0; SIDE * SIDE];
        set.read(41_512, 0, &mut pixels).unwrap();
        assert_eq!(pixels.iter().sum::<f32>(), 121.0);
        assert_eq!((pixels[18 * SIDE + 30], pixels[24 * SIDE + 33]), (0.0, 1.0));
    }
}

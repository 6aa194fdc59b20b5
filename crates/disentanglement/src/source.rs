//! Where scores draw codes from.

use crate::array::{Codes, Factors, Labelled};
use crate::error::{Error, Result};
use crate::random::Random;

/// Draws codes of images with random factors. Several scores fix one factor and let the others vary.
///
/// [`Pool`] draws from arrays. A generator that renders and encodes images on demand implements this
/// trait itself.
pub trait Source: Sync {
    /// Number of latents D.
    fn latents(&self) -> usize;

    /// The number of classes of each of the K factors.
    fn sizes(&self) -> &[usize];

    /// Independent draws over all factors, one for each element of `like`: with the factor and class
    /// given there, if any, and the others free.
    ///
    /// # Errors
    /// If codes are not finite.
    fn draw(&self, like: &[Option<Draw>], random: &mut Random) -> Result<Labelled>;
}

/// A factor with the class it is fixed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Which factor.
    pub factor: usize,
    /// Its class.
    pub class: u32,
}

/// Codes and factors from which rows are drawn with replacement.
///
/// Where the rows are all combinations of classes, that is as if factors were drawn; where they are
/// not, a fixed factor leaves the rows that have its class, and the other factors follow those.
#[derive(Clone, Debug)]
pub struct Pool {
    data: Labelled,
    /// For each factor and class, its rows.
    rows: Vec<Vec<Vec<u32>>>,
}

impl Pool {
    /// # Errors
    /// If there are more rows than 2^32.
    pub fn new(data: Labelled) -> Result<Self> {
        if u32::try_from(data.len()).is_err() {
            return Err(Error::Shape {
                what: "codes".into(),
                expected: "fewer rows than 2^32".into(),
                found: data.len().to_string(),
            });
        }
        let factors = data.factors();
        let of_factor = |(factor, size): (usize, &usize)| {
            let mut rows = vec![Vec::new(); *size];
            for row in 0..factors.len() {
                rows[factors.row(row)[factor] as usize].push(row as u32);
            }
            rows
        };
        let rows = factors.sizes().iter().enumerate().map(of_factor).collect();
        Ok(Self { data, rows })
    }

    /// All codes and factors.
    pub fn data(&self) -> &Labelled {
        &self.data
    }

    /// The rows with a class of a factor.
    pub fn rows_of(&self, Draw { factor, class }: Draw) -> &[u32] {
        &self.rows[factor][class as usize]
    }

    /// `count` rows drawn with replacement.
    pub fn sample(&self, count: usize, random: &mut Random) -> Labelled {
        let rows: Vec<usize> = (0..count).map(|_| random.below(self.data.len())).collect();
        self.data.select(&rows)
    }
}

impl Source for Pool {
    fn latents(&self) -> usize {
        self.data.codes().latents()
    }

    fn sizes(&self) -> &[usize] {
        self.data.factors().sizes()
    }

    fn draw(&self, like: &[Option<Draw>], random: &mut Random) -> Result<Labelled> {
        let row = |fixed: &Option<Draw>| match fixed {
            None => Ok(random.below(self.data.len())),
            Some(fixed) => {
                let rows = self.rows_of(*fixed);
                if rows.is_empty() {
                    return Err(Error::TooFew {
                        score: "a draw with a fixed factor",
                        needs: format!("codes of factor {}, class {}", fixed.factor, fixed.class),
                        found: "none".into(),
                    });
                }
                Ok(rows[random.below(rows.len())] as usize)
            }
        };
        let rows: Vec<usize> = like.iter().map(row).collect::<Result<_>>()?;
        Ok(self.data.select(&rows))
    }
}

/// A source as a function from factors to codes.
///
/// The classes of factors are drawn independently and uniformly.
pub struct Generator<F> {
    sizes: Vec<usize>,
    latents: usize,
    encode: F,
}

impl<F: Fn(&Factors) -> Vec<f32> + Sync> Generator<F> {
    /// `encode` makes the codes [N, D] of images with these factors [N, K].
    pub fn new(sizes: Vec<usize>, latents: usize, encode: F) -> Self {
        Self { sizes, latents, encode }
    }
}

impl<F: Fn(&Factors) -> Vec<f32> + Sync> Source for Generator<F> {
    fn latents(&self) -> usize {
        self.latents
    }

    fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    fn draw(&self, like: &[Option<Draw>], random: &mut Random) -> Result<Labelled> {
        let mut classes = Vec::with_capacity(like.len() * self.sizes.len());
        for fixed in like {
            for (factor, size) in self.sizes.iter().enumerate() {
                classes.push(match fixed {
                    Some(fixed) if fixed.factor == factor => fixed.class,
                    _ => random.below(*size) as u32,
                });
            }
        }
        let factors = Factors::numbered(classes, self.sizes.clone())?;
        let codes = Codes::new(&(self.encode)(&factors), self.latents)?;
        Labelled::new(codes, factors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_factor_stays_fixed_and_the_others_vary() {
        let factors: Vec<i64> = (0..60).flat_map(|i| [i % 3, i / 3 % 4]).collect();
        let codes: Vec<f64> = factors.iter().map(|class| *class as f64).collect();
        let data =
            Labelled::new(Codes::new(&codes, 2).unwrap(), Factors::new(&factors, 2).unwrap());
        let pool = Pool::new(data.unwrap()).unwrap();
        let same = |factors: &Factors| {
            (0..factors.len()).flat_map(|i| factors.row(i)).map(|c| *c as f32).collect()
        };
        let generator = Generator::new(vec![3, 4], 2, same);
        for source in [&pool as &dyn Source, &generator] {
            let fixed = Draw { factor: 1, class: 2 };
            let drawn = source.draw(&[Some(fixed); 50], &mut Random::new(0, 0)).unwrap();
            assert!(drawn.factors().factor(1).iter().all(|class| *class == 2));
            assert!((0..3).all(|class| drawn.factors().factor(0).contains(&class)));
            assert_eq!(drawn.codes().row(7)[0], f64::from(drawn.factors().row(7)[0]));
        }
    }
}

//! Rows to learn from and rows to test on.

use crate::array::Labelled;
use crate::error::{Error, Result};
use crate::random::Random;

/// Codes and factors to learn from, and others to test on.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Rows to learn from.
    pub train: Labelled,
    /// Rows to test on.
    pub test: Labelled,
}

impl Split {
    /// Draws `train` and `test` rows without replacement, so that no row is in both. Where there are
    /// fewer, all are used, in the same proportion.
    ///
    /// disentanglement_lib draws both with replacement, which for its 737,280 images is nearly the
    /// same and for a few thousand would test what was learnt.
    ///
    /// # Errors
    /// If either would be empty.
    pub fn draw(data: &Labelled, train: usize, test: usize, random: &mut Random) -> Result<Self> {
        let (rows, wanted) = (data.len(), train + test);
        let [train, test] = if rows >= wanted {
            [train, test]
        } else {
            let train = (rows as f64 * train as f64 / wanted as f64).round() as usize;
            [train, rows - train]
        };
        if train == 0 || test == 0 {
            return Err(Error::TooFew {
                score: "a split into training and test rows",
                needs: "at least one row for each".into(),
                found: format!("{rows} rows"),
            });
        }
        let order = random.permutation(rows);
        let (train, test) = order[..train + test].split_at(train);
        Ok(Self { train: data.select(train), test: data.select(test) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    #[test]
    fn parts_share_no_row_and_shrink_in_proportion() {
        let mut row = 0.0;
        let data = grid(|_| {
            row += 1.0;
            vec![row]
        });
        for (train, test, expected) in [(100, 50, [100, 50]), (10_000, 5_000, [320, 160])] {
            let split = Split::draw(&data, train, test, &mut Random::new(0, 0)).unwrap();
            assert_eq!([split.train.len(), split.test.len()], expected);
            let mut all = [split.train.codes().latent(0), split.test.codes().latent(0)].concat();
            all.sort_by(f64::total_cmp);
            all.dedup();
            assert_eq!(all.len(), train.min(320) + test.min(160));
        }
        assert!(Split::draw(&data.select(&[0]), 2, 1, &mut Random::new(0, 0)).is_err());
    }
}

//! Data for tests.

use crate::array::{Codes, Factors, Labelled};

/// All combinations of factors of 3, 4 and 4 classes, ten times, with codes made from them.
pub(crate) fn grid(code: impl FnMut(&[i64]) -> Vec<f64>) -> Labelled {
    let factors: Vec<i64> = (0..480).flat_map(|i| [i % 3, i / 3 % 4, i / 12 % 4]).collect();
    let codes: Vec<Vec<f64>> = factors.chunks(3).map(code).collect();
    let codes = Codes::new(&codes.concat(), codes[0].len()).expect("finite codes");
    Labelled::new(codes, Factors::new(&factors, 3).expect("three factors")).expect("equal rows")
}

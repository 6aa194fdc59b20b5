//! A linear support vector machine on one feature.

use super::{Classifier, argmax, counts, present};
use crate::array::Matrix;

/// Newton steps at most; the loss is piecewise quadratic, so a few suffice.
const STEPS: usize = 100;

/// How to fit a [`LinearSvm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SvmSettings {
    /// Inverse strength of the penalty.
    pub c: f64,
}

impl Default for SvmSettings {
    /// C = 0.01, as in disentanglement_lib.
    fn default() -> Self {
        Self { c: 0.01 }
    }
}

/// scikit-learn's `LinearSVC(class_weight="balanced")` of one feature: one against the rest with the
/// squared hinge loss, and with the intercept penalised like the weight.
///
/// For each class it minimises (w^2 + b^2) / 2 + sum_i C_i max(0, 1 - y_i (w x_i + b))^2. As in
/// liblinear, C_i is C times the balanced weight on rows of the class, and C on all others; with two
/// classes each has its own weight.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearSvm {
    classes: Vec<u32>,
    /// Weight and intercept for each class; one pair for two classes.
    lines: Vec<[f64; 2]>,
}

impl LinearSvm {
    /// Fits one feature `[N]` to `classes` `[N]`.
    pub fn fit(feature: &[f64], classes: &[u32], settings: SvmSettings) -> Self {
        assert_eq!(feature.len(), classes.len(), "a class for each row");
        let (known, places) = present(classes);
        let counts = counts(&places, known.len());
        let balanced =
            |place: usize| settings.c * classes.len() as f64 / (known.len() * counts[place]) as f64;
        let lines = match known.len() {
            0 | 1 => Vec::new(),
            2 => vec![line(feature, &places, 1, [balanced(1), balanced(0)])],
            count => (0..count)
                .map(|place| line(feature, &places, place, [balanced(place), settings.c]))
                .collect(),
        };
        Self { classes: known, lines }
    }

    fn class(&self, x: f64) -> u32 {
        let decide = |[weight, intercept]: [f64; 2]| weight * x + intercept;
        match self.lines[..] {
            [] => self.classes.first().copied().unwrap_or(0),
            [line] => self.classes[usize::from(decide(line) > 0.0)],
            _ => {
                let decisions: Vec<f64> = self.lines.iter().copied().map(decide).collect();
                self.classes[argmax(&decisions)]
            }
        }
    }
}

impl Classifier for LinearSvm {
    /// From the first column.
    fn predict(&self, features: &Matrix) -> Vec<u32> {
        features.column(0).map(|x| self.class(x)).collect()
    }
}

/// Weight and intercept that separate the rows at `place` from the others, whose costs are given, by
/// Newton's method with halved steps.
fn line(x: &[f64], places: &[usize], place: usize, [own, others]: [f64; 2]) -> [f64; 2] {
    let signed = |other: &usize| if *other == place { (1.0, own) } else { (-1.0, others) };
    // Value, gradient and Hessian [ww, wb, bb].
    let look = |[w, b]: [f64; 2]| {
        let (mut value, mut gradient) = ((w * w + b * b) / 2.0, [w, b]);
        let mut hessian = [1.0, 0.0, 1.0];
        for (x, other) in x.iter().zip(places) {
            let (sign, cost) = signed(other);
            let short = 1.0 - sign * (w * x + b);
            if short > 0.0 {
                value += cost * short * short;
                let slope = -2.0 * cost * sign * short;
                gradient[0] += slope * x;
                gradient[1] += slope;
                hessian[0] += 2.0 * cost * x * x;
                hessian[1] += 2.0 * cost * x;
                hessian[2] += 2.0 * cost;
            }
        }
        (value, gradient, hessian)
    };
    let mut at = [0.0; 2];
    let (mut value, mut gradient, mut hessian) = look(at);
    for _ in 0..STEPS {
        let [ww, wb, bb] = hessian;
        // At least 1 on the diagonal, so it can be inverted.
        let determinant = ww * bb - wb * wb;
        let step = [
            (wb * gradient[1] - bb * gradient[0]) / determinant,
            (wb * gradient[0] - ww * gradient[1]) / determinant,
        ];
        let promised = -(gradient[0] * step[0] + gradient[1] * step[1]);
        if promised <= 1e-14 * (1.0 + value) {
            break;
        }
        let mut length = 1.0;
        let next = loop {
            let next = [at[0] + length * step[0], at[1] + length * step[1]];
            let found = look(next);
            if found.0 <= value - 1e-4 * length * promised || length < 1e-8 {
                break (next, found);
            }
            length /= 2.0;
        };
        (at, (value, gradient, hessian)) = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_classes_are_told_apart_at_both_ends() {
        let x: Vec<f64> = (0..300).map(|i| f64::from(i % 3) * 10.0).collect();
        let classes: Vec<u32> = (0..300).map(|i| i % 3).collect();
        let svm = LinearSvm::fit(&x, &classes, SvmSettings { c: 1.0 });
        assert_eq!((svm.class(-5.0), svm.class(25.0)), (0, 2));
        assert_eq!(LinearSvm::fit(&x, &[4; 300], SvmSettings::default()).class(1.0), 4);
    }
}

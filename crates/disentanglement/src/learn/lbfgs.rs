//! Minimisation of a smooth convex function.

use std::collections::VecDeque;

/// Pairs of steps and changes of the gradient that are remembered.
const MEMORY: usize = 10;

/// Looks along one direction before it is given up.
const LOOKS: usize = 40;

/// When to stop.
#[derive(Clone, Copy)]
pub(super) struct Stop {
    /// Where no component of the gradient is larger.
    pub(super) gradient: f64,
    /// After so many steps.
    pub(super) steps: usize,
}

/// L-BFGS (Liu and Nocedal 1989) from `x`, with the weak Wolfe line search by bisection of Lewis and
/// Overton (2013). `f` returns the value at a point and writes the gradient there; `invert` multiplies
/// by something like the inverse of the Hessian.
pub(super) fn minimise(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    invert: impl Fn(&mut [f64]),
    mut x: Vec<f64>,
    stop: Stop,
) -> Vec<f64> {
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(&x, &mut gradient);
    let mut scale = 1.0;
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    for _ in 0..stop.steps {
        if gradient.iter().all(|g| g.abs() <= stop.gradient) {
            break;
        }
        let direction = direction(&gradient, &memory, |direction| {
            invert(direction);
            direction.iter_mut().for_each(|d| *d *= scale);
        });
        let Some((next, next_value, next_gradient)) =
            search(&mut f, &x, value, &gradient, &direction)
        else {
            break;
        };
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &change) > 0.0 {
            let mut inverted = change.clone();
            invert(&mut inverted);
            scale = dot(&step, &change) / dot(&change, &inverted);
            memory.truncate(MEMORY - 1);
            memory.push_front((step, change));
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    x
}

/// Minus the gradient times the estimate of the inverse Hessian, by two loops over the memory, whose
/// newest pair is first, around a first estimate.
fn direction(
    gradient: &[f64],
    memory: &VecDeque<(Vec<f64>, Vec<f64>)>,
    estimate: impl Fn(&mut [f64]),
) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (step, change) in memory {
        let share = dot(step, &direction) / dot(step, change);
        add(&mut direction, -share, change);
        shares.push(share);
    }
    estimate(&mut direction);
    for ((step, change), share) in memory.iter().zip(shares).rev() {
        let other = dot(change, &direction) / dot(step, change);
        add(&mut direction, share - other, step);
    }
    direction
}

/// A point along `direction` that lies lower by a part of what the slope promises, and where the
/// slope is less steep. `None` if no rounding error away there is one.
fn search(
    f: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    x: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
) -> Option<(Vec<f64>, f64, Vec<f64>)> {
    let slope = dot(gradient, direction);
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
    let mut next_gradient = vec![0.0; x.len()];
    for _ in 0..LOOKS {
        let mut next = x.to_vec();
        add(&mut next, length, direction);
        let next_value = f(&next, &mut next_gradient);
        if next_value.is_nan() || next_value > value + 1e-4 * length * slope {
            high = length;
        } else if dot(&next_gradient, direction) < 0.9 * slope {
            low = length;
        } else {
            return Some((next, next_value, next_gradient));
        }
        length = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], scale: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_a_narrow_valley() {
        let f = |x: &[f64], gradient: &mut [f64]| {
            let (a, b) = (x[0] - 3.0, x[1] + 2.0);
            gradient.copy_from_slice(&[2.0 * a, 4000.0 * b.powi(3) + 2.0 * b]);
            a * a + 1000.0 * b.powi(4) + b * b
        };
        let x = minimise(f, |_| (), vec![0.0, 0.0], Stop { gradient: 1e-9, steps: 200 });
        assert!((x[0] - 3.0).abs() < 1e-8 && (x[1] + 2.0).abs() < 1e-8, "{x:?}");
    }
}

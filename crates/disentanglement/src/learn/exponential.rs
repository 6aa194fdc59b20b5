//! Exponentials that compilers turn into vectors, unlike calls of the system's.

use std::f64::consts::LOG2_E;

/// e^x for x up to 700, within 2 units in the last place; e^-708 below that.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    // Numbers of this size have no fraction: the sum is rounded to an integer, in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts, so that the first product is exact (fdlibm).
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    let x = x.max(-708.0);
    // x = n ln 2 + r with |r| <= ln 2 / 2.
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    // Taylor: the first term left out is below 5e-18.
    let mut p = 1.0 / 6_227_020_800.0;
    for factorial in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        p = p * r + 1.0 / factorial;
    }
    // 2^n: n + 1023 where a number has its exponent.
    p * f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52))
}

/// In place; returns ln sum exp.
#[inline(always)]
pub(super) fn softmax(logits: &mut [f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for logit in logits.iter_mut() {
        *logit = exp(*logit - largest);
    }
    // Four sums side by side, which a vector holds.
    let (fours, rest) = logits.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for i in 0..4 {
            sums[i] += four[i];
        }
    }
    let sum = sums[0] + sums[1] + (sums[2] + sums[3]) + rest.iter().sum::<f64>();
    for probability in logits.iter_mut() {
        *probability /= sum;
    }
    largest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_system() {
        for i in -70_000..=7_000 {
            let x = f64::from(i) * 0.01;
            let (found, expected) = (exp(x), x.exp());
            assert!((found - expected).abs() <= 4.5e-16 * expected, "{x}: {found} {expected}");
        }
        assert!(exp(-1e300) < 1e-300);
    }

    #[test]
    fn probabilities_of_logits() {
        let mut logits = [1000.0, 1001.0, 999.0, 1000.0, -1e9];
        let log_sum = softmax(&mut logits);
        let sum = 2.0 + 1f64.exp() + (-1f64).exp();
        assert!((log_sum - 1000.0 - sum.ln()).abs() < 1e-12);
        assert!((logits[1] - 1f64.exp() / sum).abs() < 1e-15 && logits[4] < 1e-300);
    }
}

//! Round numbers and short ones, for labels.

/// 1, 2 or 5 times a power of ten, not below `step`.
#[cfg(feature = "figures")]
pub(crate) fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let round = [1.0, 2.0, 5.0].map(|digit| digit * power);
    round.into_iter().find(|round| *round >= step * 0.999).unwrap_or(10.0 * power)
}

/// A number with three significant digits, for labels.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.0e}");
    }
    let digits = (2 - size.log10().floor() as i32).clamp(0, 5) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1234.0, "1234"),
            (0.25, "0.25"),
            (-3.0, "-3"),
            (1.0 / 3.0, "0.333"),
            (2e6, "2e6"),
            (1e-5, "1e-5"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[cfg(feature = "figures")]
    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 11.0, 60.0, 0.0021].map(round_step), [0.5, 1.0, 20.0, 100.0, 0.005]);
    }
}

//! The scale of an axis: where values are along it, and its marks.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::super::{Axis, round_step, short};

/// An axis with marks at about six round numbers; with `log` its values are logarithms; with words, marks
/// are at whole numbers and have no text, as names are drawn apart.
pub(super) struct Scale {
    log: bool,
    ends: [f64; 2],
    words: usize,
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let [low, high] = self.ends;
        let length = f64::from(limit.1 - limit.0);
        limit.0 + ((value - low) / (high - low) * length).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks() }
    }

    fn range(&self) -> Range<f64> {
        self.ends[0]..self.ends[1]
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        if self.words > 0 {
            return String::new();
        }
        short(if self.log { 10_f64.powf(*value) } else { clean(*value) })
    }
}

impl Scale {
    pub(super) fn new(axis: &Axis, ends: [f64; 2]) -> Self {
        Self { log: axis.log, ends, words: axis.words.len() }
    }

    fn marks(&self) -> Vec<f64> {
        let [low, high] = self.ends;
        if self.words > 0 {
            return (0..self.words).map(|i| i as f64).collect();
        }
        if !self.log {
            let step = round_step((high - low) / 6.0);
            let first = (low / step - 1e-9).ceil();
            let marks = (0..20).map(|i| (first + f64::from(i)) * step);
            return marks.take_while(|mark| *mark <= high + 1e-9 * step).collect();
        }
        let powers = low.floor() as i32..=high.ceil() as i32;
        let digits: &[f64] = match high - low {
            wide if wide > 3.0 => &[1.0],
            wide if wide > 1.0 => &[1.0, 2.0, 5.0],
            wide if wide > 0.3 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
            _ => &[1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        };
        let mark = |power: i32| digits.iter().map(move |digit| digit.log10() + f64::from(power));
        powers.flat_map(mark).filter(|mark| (low..=high).contains(mark)).collect()
    }
}

/// The ends of an axis in its scale.
pub(super) fn ends(axis: &Axis, values: &[f64], margin: f64) -> [f64; 2] {
    let scale = |value: f64| if axis.log { value.log10() } else { value };
    if !axis.words.is_empty() {
        return [-0.5, axis.words.len() as f64 - 0.5];
    }
    if let Some([low, high]) = axis.range {
        return [scale(low), scale(high)];
    }
    let finite = values.iter().map(|value| scale(*value)).filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return [0.0, 1.0];
    }
    if high - low < 1e-9 * high.abs().max(1e-9) {
        let around = (0.1 * high.abs()).max(if axis.log { 0.5 } else { 1e-3 });
        return [low - around, high + around];
    }
    let room = margin * (high - low);
    // Nothing below zero is drawn for what is never negative.
    let bottom = if low >= 0.0 && !axis.log { (low - room).max(0.0) } else { low - room };
    [bottom, high + room]
}

/// Sums of steps of an axis are not quite round.
fn clean(value: f64) -> f64 {
    let rounded = (value * 1e9).round() / 1e9;
    if rounded == 0.0 { 0.0 } else { rounded }
}

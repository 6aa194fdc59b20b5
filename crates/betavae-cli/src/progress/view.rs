//! What training shows below its progress bar: curves of the loss terms and bars of the latents' KL.

use betavae::objective::Terms;

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Latents that are shown.
const LATENTS: usize = 10;
/// Columns before a curve or bar.
const LABEL: usize = 26;

/// The rows that were logged, for curves.
#[derive(Default)]
pub struct View {
    reconstruction: Vec<f64>,
    kl: Vec<f64>,
}

impl View {
    /// Adds a row.
    pub fn log(&mut self, mean: &Terms) {
        self.reconstruction.push(f64::from(mean.reconstruction()));
        self.kl.push(f64::from(mean.kl()));
    }

    /// Lines of at most `width` columns, not more than `height`.
    pub fn lines(&self, terms: &Terms, width: usize, height: usize) -> Vec<String> {
        let room = width.saturating_sub(LABEL + 1).min(60);
        let mut lines = vec![
            labelled("reconstruction", terms.reconstruction(), &curve(&self.reconstruction, room)),
            labelled("KL", terms.kl(), &curve(&self.kl, room)),
            format!(
                "  {}, {} of {} latents active",
                terms.weights_in_words(),
                terms.active_latents(),
                terms.kl_per_latent.len()
            ),
        ];
        let kl = &terms.kl_per_latent;
        let mut order: Vec<usize> = (0..kl.len()).collect();
        order.sort_by(|a, b| kl[*b].total_cmp(&kl[*a]));
        let most = order.first().map_or(0.0, |j| kl[*j]);
        let bars = order.iter().take(LATENTS);
        lines.extend(bars.map(|j| labelled(&format!("z{j}"), kl[*j], &bar(kl[*j] / most, room))));
        lines.truncate(height);
        lines.into_iter().map(|line| line.chars().take(width).collect()).collect()
    }
}

fn labelled(label: &str, value: f32, picture: &str) -> String {
    format!("  {label:<14}{value:>9.3} {picture}")
}

/// A bar of `share` of `room` columns, to an eighth of a column.
fn bar(share: f32, room: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (8 * room) as f32).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(PARTS[eighths % 8 - 1]);
    }
    bar
}

/// A curve of at most `room` columns from the first value to the last. Positive values are drawn by their
/// logarithms: the first ones are far above all others.
fn curve(values: &[f64], room: usize) -> String {
    let columns = room.min(values.len());
    let scaled = |value: f64| if values.iter().all(|v| *v > 0.0) { value.ln() } else { value };
    let mean = |column: usize| {
        let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        values[from..to].iter().map(|value| scaled(*value)).sum::<f64>() / (to - from) as f64
    };
    let means: Vec<f64> = (0..columns).map(mean).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let level = |value: f64| match high > low {
        true => LEVELS[((value - low) / (high - low) * 7.0).round() as usize],
        false => LEVELS[0],
    };
    means.into_iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use betavae::objective::{Term, Unit};

    fn terms(kl: &[f32]) -> Terms {
        let losses = Terms::COMMON.iter().zip([0.0, 101.25, kl.iter().sum()]);
        Terms {
            losses: losses.map(|((name, unit), value)| Term { name, unit: *unit, value }).collect(),
            kl_per_latent: kl.to_vec(),
            weights: vec![Term::new("beta", Unit::Number, 4.0)],
        }
    }

    #[test]
    fn bars_and_curves_fill_their_room() {
        assert_eq!([0.0, 0.5, 1.0].map(|share| bar(share, 3)), ["", "█▌", "███"]);
        assert_eq!(curve(&[], 5), "");
        assert_eq!(curve(&[2.0; 3], 5), "▁▁▁");
        assert_eq!(curve(&[-1.0, 0.0, 1.0], 9), "▁▅█");
        // Five values in two columns: means of two and of three.
        assert_eq!(curve(&[-1.0, -1.0, 3.0, 3.0, 3.0], 2), "▁█");
        assert_eq!(curve(&[1000.0, 10.0, 1.0], 3), "█▃▁");
    }

    #[test]
    fn latents_come_by_kl_and_lines_keep_to_the_window() {
        let mut view = View::default();
        (1..100).for_each(|i| view.log(&terms(&[i as f32, 0.0])));
        let lines = view.lines(&terms(&[0.0, 2.0, 1.0]), 40, 20);
        assert_eq!(lines.len(), 6);
        assert!(lines[0].starts_with("  reconstruction  101.250 ▁"), "{}", lines[0]);
        assert_eq!(lines[2], "  beta 4, 2 of 3 latents active");
        assert_eq!(lines[3], "  z1                2.000 █████████████");
        assert_eq!(lines[5], "  z0                0.000 ");
        assert!(lines.iter().all(|line| line.chars().count() <= 40));
        assert_eq!(view.lines(&terms(&[0.0; 30]), 80, 5).len(), 5);
        assert_eq!(view.lines(&terms(&[0.0; 30]), 80, 50).len(), 13);
        assert!(view.lines(&terms(&[0.0]), 3, 9).iter().all(|line| line.chars().count() <= 3));
    }
}

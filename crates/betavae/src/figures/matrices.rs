//! Which latent knows which factor: the matrices behind the scores.

use super::plot::{Figure, Heatmap, Panel};
use crate::data::Dataset;
use crate::error::Result;
use crate::evaluate::Codes;
use crate::scores::{self, Progress, Representation, ScoreName, SuiteSettings};

/// Codes that trees learn importances from; their means over repeats are what scores report.
const SAMPLES: usize = 4000;

/// Latents and factors that are shown at most.
const MOST_ROWS: usize = 64;
const MOST_COLUMNS: usize = 100;
/// Panels stand beside each other up to this width in pixels.
const WIDEST: u32 = 1800;

/// Latents by factors, rows in the order of `given`, of which 64 are shown, and 100 factors: the importance of a latent for predicting a factor
/// (DCI, boosted trees; Eastwood and Williams 2018), which takes seconds and is left out unless `trees`;
/// mutual information in nats (20 bins, as in MIG); and Pearson's correlation.
///
/// # Errors
/// If the factors of the data are unknown or too few, or a code is not finite.
pub(crate) fn matrices(
    codes: &Codes,
    indices: &[usize],
    data: &dyn Dataset,
    given: &[usize],
    trees: bool,
    progress: Progress<'_>,
) -> Result<Figure> {
    let factors = scores::factors_of(data, indices)?;
    let settings = SuiteSettings { samples: SAMPLES, repeats: 1, ..SuiteSettings::default() };
    let wanted: &[ScoreName] = match trees {
        true => &[ScoreName::DciDisentanglement, ScoreName::Mig],
        false => &[ScoreName::Mig],
    };
    let table = Representation::try_from(codes)?;
    let mut scored_factors = scores::scored_factors(&factors);
    let names = scores::factor_names(data);
    let found = scores::score(table.clone(), &[], &factors, &names, wanted, settings, progress)?;
    let latents = &given[..given.len().min(MOST_ROWS)];
    let usable = scored_factors.len();
    scored_factors.truncate(MOST_COLUMNS);
    let columns: Vec<String> = scored_factors.iter().map(|k| names[*k].clone()).collect();
    let rows: Vec<String> = latents.iter().map(|latent| format!("z{latent}")).collect();
    let panel = |title: &str, around_zero, most, value: &dyn Fn(usize, usize) -> f64| {
        let row =
            |latent: &usize| (0..columns.len()).map(|k| value(*latent, k)).collect::<Vec<_>>();
        Panel::Heatmap(Heatmap {
            title: title.into(),
            rows: rows.clone(),
            columns: columns.clone(),
            shape: [rows.len(), columns.len()],
            values: latents.iter().flat_map(row).collect(),
            annotated: true,
            around_zero,
            most,
            ..Heatmap::default()
        })
    };
    let mut panels = Vec::new();
    for (name, title) in
        [("importance", "importance (DCI)"), ("mutual_information", "mutual information in nats")]
    {
        if let Some((_, matrix)) = found.matrices.iter().find(|(known, _)| *known == name) {
            panels.push(panel(title, false, None, &|latent, k| matrix.row(latent)[k]));
        }
    }
    let levels: Vec<Vec<f64>> = scored_factors
        .iter()
        .map(|k| factors.factor(*k).into_iter().map(f64::from).collect())
        .collect();
    panels.push(panel("correlation", true, Some(1.0), &|latent, k| {
        correlation(&table.mean.latent(latent), &levels[k])
    }));
    let mut title = String::new();
    if latents.len() < given.len() {
        title = format!("the {MOST_ROWS} latents with the largest KL of {}", given.len());
    }
    if scored_factors.len() < usable {
        let end = if title.is_empty() { "" } else { "; " };
        title += &format!("{end}the first {MOST_COLUMNS} factors of {usable}");
    }
    let left_out: Vec<&str> = scores::left_out(&factors).iter().map(|(k, _)| &*names[*k]).collect();
    if !left_out.is_empty() {
        let end = if title.is_empty() { "" } else { "; " };
        let which = match left_out.len() {
            1..=3 => left_out.join(", "),
            count => format!("{count} factors"),
        };
        title += &format!("{end}without {which}: constant, or of too many classes to recur");
    }
    let cell = [
        match columns.len() {
            ..=12 => 64,
            13..=24 => 44,
            _ => 28,
        },
        if rows.len() > 16 { 20 } else { 26 },
    ];
    let sizes = panels.iter().map(|panel| match panel {
        Panel::Heatmap(heat) => heat.panel_of(cell),
        _ => [0, 0],
    });
    let panel = sizes.fold([0, 0], |most, size| [most[0].max(size[0]), most[1].max(size[1])]);
    // Below each other where they would be wider than a screen.
    let beside = if panel[0] * panels.len() as u32 <= WIDEST { panels.len() } else { 1 };
    Ok(Figure { title, columns: beside, panels, panel })
}

/// Pearson's, 0 for a constant.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let pairs = || a.iter().zip(b).map(|(a, b)| (a - mean_a, b - mean_b));
    let sum = |f: fn((f64, f64)) -> f64| pairs().map(f).sum::<f64>();
    let scale = (sum(|(a, _)| a * a) * sum(|(_, b)| b * b)).sqrt();
    if scale > 0.0 { sum(|(a, b)| a * b) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::blobs::Blobs;

    #[test]
    fn a_latent_that_is_a_factor_stands_out() {
        let data = Blobs::new();
        let indices: Vec<usize> = (0..data.len()).collect();
        let known = data.factors().unwrap();
        // The first latent is the second factor upside down, the other says nothing.
        let mean: Vec<f32> =
            indices.iter().flat_map(|i| [-(known.classes(*i)[1] as f32), 0.0]).collect();
        let codes = Codes { latents: 2, log_var: vec![0.0; mean.len()], mean };
        let figure = matrices(&codes, &indices, &data, &[1, 0], true, &|_, _| ()).unwrap();
        let heats: Vec<&Heatmap> = figure
            .panels
            .iter()
            .map(|panel| match panel {
                Panel::Heatmap(heat) => heat,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(heats.len(), 3);
        for heat in &heats {
            assert_eq!(heat.rows, ["z1", "z0"]);
            let columns = heat.columns.len();
            assert!(heat.values[..columns].iter().all(|value| value.abs() < 0.3), "{heat:?}");
            let place = heat.columns.iter().position(|name| *name == known.factors()[1].name);
            let strongest = (0..columns)
                .max_by(|a, b| {
                    let size = |k: usize| heat.values[columns + k].abs();
                    size(*a).total_cmp(&size(*b))
                })
                .unwrap();
            assert_eq!(Some(strongest), place, "{}", heat.title);
        }
        let correlation = heats[2].values[heats[2].columns.len() + 1];
        assert!((correlation + 1.0).abs() < 1e-9, "{correlation}");
    }

    #[test]
    fn correlations_of_known_numbers() {
        assert_eq!(correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), 1.0);
        assert_eq!(correlation(&[1.0, 1.0], &[2.0, 4.0]), 0.0);
    }
}

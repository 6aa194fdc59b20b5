//! How the mean of each latent answers to the factors of the images (Higgins et al. 2017, Fig. 7; Burgess
//! et al. 2018, Fig. 3).

use super::plot::{Axis, Figure, Heat, Lines, Panel, Series};
use crate::data::{Factor, Factors};
use crate::evaluate::Codes;

/// More latents than this are too many rows.
const ROWS: usize = 16;
/// A factor with more classes than this is no colour.
const COLORS: usize = 6;

/// A row per latent, in the order of `latents`, which are at most 16 numbers below D: a heat map of the
/// mean of its codes over the position, if two factors are one, and for each further factor of degree a
/// curve over its values, one per shape if there are shapes. All other factors are averaged over.
///
/// `codes` belong to the images `indices`. `None` if there is neither a position nor a factor of degree.
pub fn responses(
    codes: &Codes,
    indices: &[usize],
    factors: &Factors,
    latents: &[usize],
) -> Option<Figure> {
    let known = factors.factors();
    let position = position(known);
    let shape = known.iter().position(|factor| {
        factor.name.to_lowercase().contains("shape") && (2..=COLORS).contains(&factor.values.len())
    });
    let graded: Vec<usize> = (0..known.len())
        .filter(|k| known[*k].values.len() > 2 && Some(*k) != shape)
        .filter(|k| position.is_none_or(|pair| !pair.contains(k)))
        .collect();
    let columns = graded.len() + usize::from(position.is_some());
    let latents = &latents[..latents.len().min(ROWS)];
    if columns == 0 || latents.is_empty() || indices.is_empty() {
        return None;
    }
    let classes: Vec<Vec<usize>> = indices.iter().map(|index| factors.classes(*index)).collect();
    let mean = |latent, of: [Option<usize>; 2]| means(codes, latent, &classes, known, of);
    // One scale for all panels, not below the deviation of the prior.
    let most = codes.mean.iter().fold(1.0, |most: f64, mean| most.max(f64::from(mean.abs())));
    let mut panels = Vec::new();
    for (row, latent) in latents.iter().enumerate() {
        let title = |name: &str| match row {
            0 => format!("z{latent} over {name}"),
            _ => format!("z{latent}"),
        };
        if let Some([x, y]) = position {
            panels.push(Panel::Heat(Heat {
                title: title("position"),
                x_label: known[x].name.clone(),
                y_label: known[y].name.clone(),
                shape: [known[y].values.len(), known[x].values.len()],
                values: mean(*latent, [Some(y), Some(x)]),
                around_zero: true,
                most: Some(most),
                ..Heat::default()
            }));
        }
        for (column, factor) in graded.iter().enumerate() {
            let named = column + 1 == graded.len();
            let values = mean(*latent, [shape, Some(*factor)]);
            let at = &known[*factor].values;
            let series = values.chunks(at.len()).enumerate().map(|(class, means)| {
                let label = shape.filter(|_| named).map(|k| shape_name(&known[k], class));
                let label = label.unwrap_or_default();
                Series::line(label, at.iter().zip(means).map(|(x, y)| [*x, *y]).collect())
            });
            panels.push(Panel::Lines(Lines {
                title: title(&known[*factor].name),
                x: Axis::new(if row + 1 == latents.len() {
                    known[*factor].name.as_str()
                } else {
                    ""
                }),
                y: Axis { range: Some([-most, most]), ..Axis::default() },
                series: series.collect(),
            }));
        }
    }
    let title = "Mean of each latent, averaged over all other factors".into();
    Some(Figure { title, panels, columns, panel: [300, 210] })
}

/// The factors that are horizontal and vertical position.
fn position(factors: &[Factor]) -> Option<[usize; 2]> {
    let find = |ends: [&str; 2]| {
        factors.iter().position(|factor| {
            let name = factor.name.to_lowercase();
            factor.values.len() > 2 && (name.ends_with(ends[0]) || name.starts_with(ends[1]))
        })
    };
    Some([find(["x", "horizontal"])?, find(["y", "vertical"])?])
}

/// Names of dSprites' shapes; other data sets have numbers.
fn shape_name(factor: &Factor, class: usize) -> String {
    match (factor.values.len(), class) {
        (3, class) => ["square", "ellipse", "heart"][class].to_owned(),
        _ => format!("shape {}", factor.values[class]),
    }
}

/// The mean of a latent for every combination of classes of two factors, row by row; not a number where
/// no image has it.
fn means(
    codes: &Codes,
    latent: usize,
    classes: &[Vec<usize>],
    factors: &[Factor],
    of: [Option<usize>; 2],
) -> Vec<f64> {
    let size = |k: Option<usize>| k.map_or(1, |k| factors[k].values.len());
    let mut sums = vec![(0.0, 0.0); size(of[0]) * size(of[1])];
    for (row, classes) in classes.iter().enumerate() {
        let class = |k: Option<usize>| k.map_or(0, |k| classes[k]);
        let (sum, count) = &mut sums[class(of[0]) * size(of[1]) + class(of[1])];
        *sum += f64::from(codes.mean[row * codes.latents + latent]);
        *count += 1.0;
    }
    sums.into_iter().map(|(sum, count)| sum / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::FactorGrid;

    fn grid() -> FactorGrid {
        FactorGrid {
            factors: vec![
                Factor::linspace("shape", 1.0, 3.0, 3),
                Factor::linspace("scale", 0.5, 1.0, 4),
                Factor::linspace("posX", 0.0, 1.0, 5),
                Factor::linspace("posY", 0.0, 1.0, 5),
            ],
        }
    }

    #[test]
    fn a_latent_that_is_a_position_grows_along_it_only() {
        let factors = Factors::Grid(grid());
        let indices: Vec<usize> = (0..factors.len()).collect();
        let code = |i: &usize| {
            let classes = factors.classes(*i);
            [classes[2] as f32, (classes[0] * classes[1]) as f32]
        };
        let mean: Vec<f32> = indices.iter().flat_map(code).collect();
        let codes = Codes { latents: 2, log_var: vec![0.0; mean.len()], mean };
        let figure = responses(&codes, &indices, &factors, &[1, 0]).unwrap();
        assert_eq!((figure.columns, figure.panels.len()), (2, 4));
        let (Panel::Heat(flat), Panel::Lines(curves)) = (&figure.panels[0], &figure.panels[1])
        else {
            panic!("a map and curves")
        };
        assert!(flat.values.iter().all(|value| (value - 1.5).abs() < 1e-9));
        // The second latent is shape times scale: each shape has a slope of its own.
        let rise = |series: &Series| series.points[3][1] - series.points[0][1];
        assert_eq!(curves.series.iter().map(rise).collect::<Vec<_>>(), [0.0, 3.0, 6.0]);
        assert_eq!(curves.series[2].label, "heart");
        let Panel::Heat(map) = &figure.panels[2] else { panic!("a map") };
        assert!(map.values.chunks(5).all(|row| row == [0.0, 1.0, 2.0, 3.0, 4.0]), "{map:?}");
        assert_eq!((&*map.x_label, &*map.y_label), ("posX", "posY"));
        assert!(figure.svg().contains("z1 over position"));
    }

    #[test]
    fn categories_alone_have_no_responses() {
        let factors = FactorGrid { factors: vec![Factor::linspace("sex", 0.0, 1.0, 2)] };
        let codes = Codes { latents: 1, mean: vec![0.0; 2], log_var: vec![0.0; 2] };
        assert_eq!(responses(&codes, &[0, 1], &Factors::Grid(factors), &[0]).map(|_| ()), None);
    }
}

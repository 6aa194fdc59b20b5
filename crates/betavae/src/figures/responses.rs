//! How the mean of each latent answers to the factors of the images (Higgins et al. 2017, Fig. 7; Burgess
//! et al. 2018, Fig. 3).

use super::plot::{Axis, Figure, Heatmap, Lines, Mark, Panel, Series};
use crate::data::{Factor, Factors};
use crate::evaluate::Codes;

/// More latents than this are too many rows.
const ROWS: usize = 16;
/// More panels than this are too wide a row; of wide panels, half as many.
const PANELS: usize = 8;
/// A factor with more classes than this is no colour.
const COLORS: usize = 6;
/// So many factors of two classes have a panel each; more have one together.
const PAIRS: usize = 3;
/// Width of a panel, and of what each factor takes in the one for many.
const WIDTH: u32 = 300;
const PER_PAIR: u32 = 16;

/// Which factors a panel shows the responses over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PanelTopic {
    /// Horizontal and vertical position.
    Position([usize; 2]),
    /// A factor of degree.
    Degree(usize),
    /// A factor whose classes have no order.
    Classes(usize),
    /// All factors of two classes.
    Pairs,
}

/// A row per latent, in the order of `latents`, which are numbers below D and of which 16 are shown: a heat
/// map of the mean of its codes over the position, if two factors are one; for each further factor of degree
/// a curve over its values, and for each one of words or two classes a point per class, in both one per shape
/// if there are shapes; many factors of two classes share a panel. All other factors are averaged over. Of
/// many factors, those that move the latent most. The title says what is left out.
///
/// `codes` belong to the images `indices`. `None` if no factor varies.
pub(crate) fn responses(
    codes: &Codes,
    indices: &[usize],
    factors: &Factors,
    latents: &[usize],
) -> Option<Figure> {
    let known = factors.factors();
    let (shape, panel_topics) = panel_topics(known);
    let shown = &latents[..latents.len().min(ROWS)];
    if panel_topics.is_empty() || shown.is_empty() || indices.is_empty() {
        return None;
    }
    let classes: Vec<Vec<usize>> = indices.iter().map(|index| factors.classes(*index)).collect();
    // One scale for all panels, not below the deviation of the prior.
    let most = codes.mean.iter().fold(1.0, |most: f64, mean| most.max(f64::from(mean.abs())));
    let drawer = Drawer { codes, classes: &classes, known, shape, most };
    let pairs = panel_topics.contains(&PanelTopic::Pairs).then(|| pairs(known).len() as u32);
    let width = pairs.map_or(WIDTH, |count| WIDTH.max(180 + PER_PAIR * count));
    let columns = panel_topics.len().min(if width > 3 * WIDTH / 2 { PANELS / 2 } else { PANELS });
    let chosen = columns < panel_topics.len();
    let mut panels = Vec::new();
    for (row, latent) in shown.iter().enumerate() {
        let mut own = panel_topics.clone();
        if chosen {
            // Stable, so that equal ones stay in the order of the factors.
            let moved = |over: &PanelTopic| drawer.moved(*latent, *over);
            own.sort_by(|a, b| moved(b).total_cmp(&moved(a)));
            own.truncate(columns);
        }
        let last_named = own.iter().rposition(|over| !matches!(over, PanelTopic::Position(_)));
        for (column, over) in own.iter().enumerate() {
            let place = PanelLabels {
                titled: chosen || row == 0,
                labelled: !chosen && row + 1 == shown.len(),
                legend: last_named == Some(column),
            };
            panels.push(drawer.panel(*latent, *over, place));
        }
    }
    let mut title = String::from("Mean of each latent, averaged over all other factors");
    if shown.len() < latents.len() {
        title += &format!("\nthe {ROWS} latents with the largest KL of {}", latents.len());
    }
    if chosen {
        let all = known.iter().filter(|factor| factor.values.len() > 1).count();
        title += &format!(
            "\nof each latent the {columns} panels that it moves in most, of {all} factors"
        );
    }
    let constant: Vec<&str> = known
        .iter()
        .filter(|factor| factor.values.len() < 2)
        .map(|factor| factor.name.as_str())
        .collect();
    match constant.len() {
        0 => {}
        1..=3 => {
            title += &format!("\nwithout {}, which is the same in all images", constant.join(", "))
        }
        count => title += &format!("\nwithout {count} factors that are the same in all images"),
    }
    let words =
        panel_topics.iter().any(|over| matches!(over, PanelTopic::Classes(_) | PanelTopic::Pairs));
    Some(Figure { title, panels, columns, panel: [width, if words { 270 } else { 210 }] })
}

/// The factor whose classes are colours, and the factors of each panel.
fn panel_topics(known: &[Factor]) -> (Option<usize>, Vec<PanelTopic>) {
    let position = position(known);
    let shape = known.iter().position(|factor| {
        factor.name.to_lowercase().contains("shape") && (2..=COLORS).contains(&factor.values.len())
    });
    // Beside nothing but factors of two classes, a shape is one of them.
    let shape =
        shape.filter(|shape| (0..known.len()).any(|k| k != *shape && known[k].values.len() > 2));
    let pairs = pairs(known);
    let mut panel_topics: Vec<PanelTopic> =
        position.into_iter().map(PanelTopic::Position).collect();
    for (k, factor) in known.iter().enumerate() {
        let placed = position.is_some_and(|pair| pair.contains(&k)) || shape == Some(k);
        match factor.values.len() {
            0 | 1 => {}
            _ if placed => {}
            2 if pairs.len() > PAIRS => {
                if !panel_topics.contains(&PanelTopic::Pairs) {
                    panel_topics.push(PanelTopic::Pairs);
                }
            }
            2 => panel_topics.push(PanelTopic::Classes(k)),
            _ if !factor.words.is_empty() => panel_topics.push(PanelTopic::Classes(k)),
            _ => panel_topics.push(PanelTopic::Degree(k)),
        }
    }
    (shape, panel_topics)
}

/// The factors of two classes.
fn pairs(known: &[Factor]) -> Vec<usize> {
    (0..known.len()).filter(|k| known[*k].values.len() == 2).collect()
}

/// Which labels a panel has, depending on its place in the figure.
#[derive(Clone, Copy)]
struct PanelLabels {
    titled: bool,
    labelled: bool,
    legend: bool,
}

struct Drawer<'a> {
    codes: &'a Codes,
    /// [N, K]
    classes: &'a [Vec<usize>],
    known: &'a [Factor],
    shape: Option<usize>,
    most: f64,
}

impl Drawer<'_> {
    fn panel(&self, latent: usize, over: PanelTopic, place: PanelLabels) -> Panel {
        let known = self.known;
        let title = |name: &str| match place.titled {
            true => format!("z{latent} over {name}"),
            false => format!("z{latent}"),
        };
        let y = Axis { range: Some([-self.most, self.most]), ..Axis::default() };
        match over {
            PanelTopic::Position([x, y]) => Panel::Heatmap(Heatmap {
                title: title("position"),
                x_label: known[x].name.clone(),
                y_label: known[y].name.clone(),
                shape: [known[y].values.len(), known[x].values.len()],
                values: self.means(latent, [Some(y), Some(x)]),
                around_zero: true,
                most: Some(self.most),
                ..Heatmap::default()
            }),
            PanelTopic::Degree(k) | PanelTopic::Classes(k) => {
                let factor = &known[k];
                let size = factor.values.len();
                let label = if place.labelled { factor.name.as_str() } else { "" };
                let by_class = matches!(over, PanelTopic::Classes(_));
                let words: Vec<String> = match by_class {
                    true => (0..size).map(|class| factor.class_name(class)).collect(),
                    false => Vec::new(),
                };
                let at = |class: usize| if by_class { class as f64 } else { factor.values[class] };
                let means = self.means(latent, [self.shape, Some(k)]);
                let series = means.chunks(size).enumerate().map(|(class, means)| {
                    let label = self.shape.filter(|_| place.legend);
                    let label = label.map(|shape| shape_name(&known[shape], class));
                    let points = means.iter().enumerate().map(|(i, mean)| [at(i), *mean]);
                    let mark = if by_class { Mark::Dots } else { Mark::Line };
                    Series { mark, ..Series::line(label.unwrap_or_default(), points.collect()) }
                });
                let series = series.collect();
                let x = Axis { words, ..Axis::new(label) };
                Panel::Lines(Lines { title: title(&factor.name), x, y, series })
            }
            PanelTopic::Pairs => {
                let pairs = pairs(known);
                let means: Vec<Vec<f64>> =
                    pairs.iter().map(|k| self.means(latent, [None, Some(*k)])).collect();
                let series = ["first class", "second class"].into_iter().enumerate();
                let series = series.map(|(class, label)| {
                    let points = means.iter().enumerate();
                    let points = points.map(|(i, means)| [i as f64, means[class]]).collect();
                    Series { mark: Mark::Dots, ..Series::line(label, points) }
                });
                let words = pairs.iter().map(|k| known[*k].name.clone()).collect();
                let x = Axis { words, ..Axis::default() };
                let title = title("factors of two classes");
                Panel::Lines(Lines { title, x, y, series: series.collect() })
            }
        }
    }

    /// How far the mean of a latent goes up and down in a panel.
    fn moved(&self, latent: usize, over: PanelTopic) -> f64 {
        let span = |of| {
            let means = self.means(latent, of);
            let known = means.into_iter().filter(|mean| mean.is_finite());
            let (low, high) = known
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| {
                    (low.min(mean), high.max(mean))
                });
            (high - low).max(0.0)
        };
        match over {
            PanelTopic::Position([x, y]) => span([Some(y), Some(x)]),
            PanelTopic::Degree(k) | PanelTopic::Classes(k) => span([self.shape, Some(k)]),
            PanelTopic::Pairs => {
                pairs(self.known).iter().map(|k| span([None, Some(*k)])).fold(0.0, f64::max)
            }
        }
    }

    /// The mean of a latent for every combination of classes of two factors, row by row; not a number
    /// where no image has it.
    fn means(&self, latent: usize, of: [Option<usize>; 2]) -> Vec<f64> {
        let size = |k: Option<usize>| k.map_or(1, |k| self.known[k].values.len());
        let mut sums = vec![(0.0, 0.0); size(of[0]) * size(of[1])];
        for (row, classes) in self.classes.iter().enumerate() {
            let class = |k: Option<usize>| k.map_or(0, |k| classes[k]);
            let (sum, count) = &mut sums[class(of[0]) * size(of[1]) + class(of[1])];
            *sum += f64::from(self.codes.mean[row * self.codes.latents + latent]);
            *count += 1.0;
        }
        sums.into_iter().map(|(sum, count)| sum / count).collect()
    }
}

/// The factors that are horizontal and vertical position.
fn position(factors: &[Factor]) -> Option<[usize; 2]> {
    let find = |ends: [&str; 2]| {
        factors.iter().position(|factor| {
            let name = factor.name.to_lowercase();
            let graded = factor.values.len() > 2 && factor.words.is_empty();
            graded && (name.ends_with(ends[0]) || name.starts_with(ends[1]))
        })
    };
    Some([find(["x", "horizontal"])?, find(["y", "vertical"])?])
}

/// What a shape is called: a number alone would be one of anything.
fn shape_name(factor: &Factor, class: usize) -> String {
    let name = factor.class_name(class);
    if factor.words.is_empty() { format!("shape {name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::FactorGrid;

    fn grid() -> FactorGrid {
        FactorGrid {
            factors: vec![
                Factor {
                    words: ["square", "ellipse", "heart"].map(str::to_owned).into(),
                    ..Factor::linspace("shape", 1.0, 3.0, 3)
                },
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
        let (Panel::Heatmap(flat), Panel::Lines(curves)) = (&figure.panels[0], &figure.panels[1])
        else {
            panic!("a map and curves")
        };
        assert!(flat.values.iter().all(|value| (value - 1.5).abs() < 1e-9));
        // The second latent is shape times scale: each shape has a slope of its own.
        let rise = |series: &Series| series.points[3][1] - series.points[0][1];
        assert_eq!(curves.series.iter().map(rise).collect::<Vec<_>>(), [0.0, 3.0, 6.0]);
        assert_eq!(curves.series[2].label, "heart");
        let Panel::Heatmap(map) = &figure.panels[2] else { panic!("a map") };
        assert!(map.values.chunks(5).all(|row| row == [0.0, 1.0, 2.0, 3.0, 4.0]), "{map:?}");
        assert_eq!((&*map.x_label, &*map.y_label), ("posX", "posY"));
        assert!(figure.svg().contains("z1 over position"));
    }

    /// Codes of one latent, by a function of the classes of each image.
    fn codes_of(factors: &Factors, code: impl Fn(&[usize]) -> f32) -> (Codes, Vec<usize>) {
        let indices: Vec<usize> = (0..factors.len()).collect();
        let mean: Vec<f32> = indices.iter().map(|i| code(&factors.classes(*i))).collect();
        (Codes { latents: 1, log_var: vec![0.0; mean.len()], mean }, indices)
    }

    #[test]
    fn words_and_two_classes_are_points_and_a_constant_is_named() {
        let colour = Factor {
            words: ["red", "green", "blue"].map(str::to_owned).into(),
            ..Factor::linspace("colour", 0.0, 2.0, 3)
        };
        let two = Factor::linspace("glasses", 0.0, 1.0, 2);
        let one = Factor::linspace("camera", 0.0, 0.0, 1);
        let factors = Factors::Grid(FactorGrid { factors: vec![colour, two, one] });
        let (codes, indices) = codes_of(&factors, |classes| classes[0] as f32);
        let figure = responses(&codes, &indices, &factors, &[0]).unwrap();
        let [Panel::Lines(colour), Panel::Lines(two)] = &figure.panels[..] else {
            panic!("two panels: {figure:?}")
        };
        assert_eq!(colour.x.words, ["red", "green", "blue"]);
        assert_eq!(two.x.words, ["0", "1"]);
        assert_eq!(colour.series[0].mark, Mark::Dots);
        assert_eq!(colour.series[0].points, [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]);
        assert!(figure.title.contains("without camera"), "{}", figure.title);
        let svg = figure.svg();
        assert!(["red", "green", "blue"].iter().all(|word| svg.contains(word)));
    }

    #[test]
    fn many_factors_of_two_classes_share_a_panel() {
        let factor = |k| Factor::linspace(&format!("attribute {k}"), 0.0, 1.0, 2);
        let factors = Factors::Grid(FactorGrid { factors: (0..10).map(factor).collect() });
        let (codes, indices) = codes_of(&factors, |classes| 4.0 * classes[7] as f32);
        let figure = responses(&codes, &indices, &factors, &[0]).unwrap();
        let [Panel::Lines(all)] = &figure.panels[..] else { panic!("one panel: {figure:?}") };
        assert_eq!(all.x.words.len(), 10);
        assert_eq!((all.series[0].points[7], all.series[1].points[7]), ([7.0, 0.0], [7.0, 4.0]));
        assert_eq!((all.series[0].points[2], all.series[1].points[2]), ([2.0, 2.0], [2.0, 2.0]));
    }

    #[test]
    fn of_many_factors_those_that_move_the_latent_are_shown() {
        let factor = |k| Factor::linspace(&format!("factor {k}"), 0.0, 2.0, 3);
        let names: Vec<String> = (0..20).map(|k| format!("factor {k}")).collect();
        let class = |i: u32, k: u32| f64::from((i.wrapping_mul(2_654_435_761) >> k) % 3);
        let rows: Vec<f64> = (0..300).flat_map(|i| (0..20).map(move |k| class(i, k))).collect();
        let factors = Factors::from_values(&names, &rows).unwrap();
        assert_eq!(factors.factors()[0], factor(0));
        let (codes, indices) = codes_of(&factors, |classes| classes[13] as f32);
        let figure = responses(&codes, &indices, &factors, &[0]).unwrap();
        assert_eq!((figure.columns, figure.panels.len()), (PANELS, PANELS));
        let Panel::Lines(first) = &figure.panels[0] else { panic!("curves") };
        assert_eq!(first.title, "z0 over factor 13");
        assert!(figure.title.contains("of 20 factors"), "{}", figure.title);
    }

    #[test]
    fn constant_factors_have_no_responses() {
        let factors = FactorGrid { factors: vec![Factor::linspace("sex", 0.0, 0.0, 1)] };
        let codes = Codes { latents: 1, mean: vec![0.0; 2], log_var: vec![0.0; 2] };
        assert_eq!(responses(&codes, &[0, 0], &Factors::Grid(factors), &[0]).map(|_| ()), None);
    }
}

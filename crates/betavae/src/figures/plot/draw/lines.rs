//! Panels of curves, with their axes and legend.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::super::{Axis, LEGEND_LINE, Lines, Mark, Series, fit};
use super::names::AxisNames;
use super::scale::{Scale, ends};
use super::{Area, Drawn, GRID, INK, NAMES, SMALL, USUAL, below_title, text};

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;

const GREY: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);

/// Okabe and Ito's colours without black and yellow, which paper and ink need.
const COLORS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// Strokes and gaps of lines in the first round of colours, which are whole, and in further ones.
const DASHES: [Option<[i32; 2]>; 6] =
    [None, Some([6, 4]), Some([2, 3]), Some([10, 3]), Some([2, 7]), Some([10, 8])];

/// Margin of a panel, and room for the numbers on the left.
const MARGIN: i32 = 6;
const NUMBERS: i32 = 58;

/// Height of a line of the legend.
const LINE: i32 = LEGEND_LINE as i32;
/// Width of a stroke in the legend, with the room around it.
const STROKE: i32 = 24;

/// The labels of a legend, and how they are laid out beside a panel.
struct Legend {
    labels: Vec<String>,
    /// Lines in a column.
    lines: usize,
    /// Of a column, in pixels.
    width: i32,
    columns: usize,
}

impl Legend {
    /// At most two fifths of the panel's width; in columns where there are many labels.
    fn new(series: &[Series], [width, height]: [i32; 2]) -> Self {
        let labelled = series.iter().filter(|series| has_legend(series));
        let labels: Vec<String> = labelled.map(|series| series.label.clone()).collect();
        let lines = ((height - 8) / LINE).max(1) as usize;
        let columns = labels.len().div_ceil(lines).max(1);
        let most = 2 * width / 5 / columns as i32 - STROKE - 8;
        let labels = fit::distinct(&labels, SMALL, most.max(12));
        let width = match labels.is_empty() {
            true => 8,
            false => fit::widest(&labels, SMALL) + STROKE + 8,
        };
        Self { labels, lines, width, columns }
    }

    /// Left end of a line's stroke, and its height.
    fn place(&self, at: usize) -> (i32, i32) {
        (2 + (at / self.lines) as i32 * self.width, 14 + (at % self.lines) as i32 * LINE)
    }
}

fn has_legend(series: &Series) -> bool {
    !series.label.is_empty() && series.mark != Mark::Contour
}

pub(super) fn lines(panel: &Lines, area: &Area<'_>) -> Drawn {
    let area = below_title(&panel.title, area)?;
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width as i32, height as i32);
    let legend = Legend::new(&panel.series, [width, height]);
    let beside = (width - legend.width * legend.columns as i32).max(80);
    let (main, side) = area.split_horizontally(beside);
    let inner = beside - NUMBERS - 2 * MARGIN;
    let words = (!panel.x.words.is_empty())
        .then(|| AxisNames::new(&panel.x.words, inner, (height / 3).min(NAMES)));
    let label = fit::shortened(&panel.x.label, USUAL, inner);
    let bottom = match (&words, label.is_empty()) {
        (Some(words), empty) => words.height + if empty { 2 } else { 22 },
        (None, true) => 24,
        (None, false) => 42,
    };
    let values = |of: usize| -> Vec<f64> {
        let ends = panel.series.iter().flat_map(|series| series.band.iter().flatten().copied());
        let points = panel.series.iter().flat_map(|series| series.points.iter().map(|p| p[of]));
        if of == 1 { points.chain(ends).collect() } else { points.collect() }
    };
    let x = ends(&panel.x, &values(0), 0.0);
    let y = ends(&panel.y, &values(1), 0.04);
    let mut chart = ChartBuilder::on(&main)
        .margin(MARGIN)
        .set_label_area_size(LabelAreaPosition::Left, NUMBERS)
        .set_label_area_size(LabelAreaPosition::Bottom, bottom)
        .build_cartesian_2d(Scale::new(&panel.x, x), Scale::new(&panel.y, y))?;
    chart
        .configure_mesh()
        .x_desc(label)
        .y_desc(fit::shortened(&panel.y.label, USUAL, height - bottom))
        .label_style(("sans-serif", SMALL).into_font().color(&INK))
        .axis_desc_style(("sans-serif", USUAL).into_font().color(&INK))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    if let Some(names) = words {
        let (corner, _) = main.get_pixel_range();
        let (_, below) = chart.plotting_area().get_pixel_range();
        let top = below.end - main.get_pixel_range().1.start;
        let across = |i: usize| chart.backend_coord(&(i as f64, y[0])).0 - corner.start;
        names.draw(&main, across, top)?;
    }
    let (mut colored, mut labelled) = (0, 0);
    for series in &panel.series {
        let thin = series.mark.is_thin();
        let color = if thin { GREY } else { COLORS[colored % COLORS.len()] };
        let dashes = if thin { None } else { DASHES[colored / COLORS.len() % DASHES.len()] };
        colored += usize::from(!thin);
        curve(&mut chart, panel, series, color, dashes)?;
        if has_legend(series) {
            let (left, line) = legend.place(labelled);
            let stroke = color.stroke_width(2);
            let across = |from: i32, to: i32| {
                side.draw(&PathElement::new(vec![(left + from, line), (left + to, line)], stroke))
            };
            match dashes {
                _ if series.mark == Mark::Dots => {
                    side.draw(&Circle::new((left + 8, line), 4, color.filled()))?;
                }
                None => across(0, 16)?,
                Some([dash, gap]) => {
                    for from in (0..16).step_by((dash + gap) as usize) {
                        across(from, (from + dash).min(16))?;
                    }
                }
            }
            let place = (left + STROKE - 2, line);
            side.draw_text(&legend.labels[labelled], &text(SMALL, INK, HPos::Left), place)?;
            labelled += 1;
        }
    }
    Ok(())
}

fn curve(
    chart: &mut Chart<'_, '_>,
    panel: &Lines,
    series: &Series,
    color: RGBColor,
    dashes: Option<[i32; 2]>,
) -> Drawn {
    let scaled = |axis: &Axis, value: f64| if axis.log { value.log10() } else { value };
    let place = |x: f64, y: f64| (scaled(&panel.x, x), scaled(&panel.y, y));
    let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    intervals(chart, series, color, &|x, [low, high]| [place(x, low), place(x, high)])?;
    let width = if series.mark.is_thin() { 1 } else { 2 };
    let stroke = color.stroke_width(width);
    // Gaps where values are missing.
    let points: Vec<_> = series.points.iter().map(|[x, y]| place(*x, *y)).collect();
    let dotted = matches!(series.mark, Mark::Points | Mark::Dots);
    let points = if dotted { points } else { thinned(points) };
    for part in points.split(|point| !finite(point)).filter(|part| !part.is_empty()) {
        match dashes {
            _ if series.mark == Mark::Dots => {}
            Some([dash, gap]) => {
                let line = DashedLineSeries::new(part.to_vec(), dash, gap, stroke);
                chart.draw_series(line)?;
            }
            None => {
                chart.draw_series([PathElement::new(part.to_vec(), stroke)])?;
            }
        }
        if dotted || part.len() == 1 {
            let size = if series.mark == Mark::Dots { 4 } else { 3 };
            chart
                .draw_series(part.iter().map(|point| Circle::new(*point, size, color.filled())))?;
        }
    }
    // Words stand clear of their point.
    let beside = |(x, y): (f64, f64), words: &str, up: i32| {
        let style = text(SMALL, INK, HPos::Left);
        EmptyElement::at((x, y)) + Text::new(words.to_owned(), (7, up), style)
    };
    let words = points.iter().zip(&series.names).filter(|(point, _)| finite(point));
    chart.draw_series(words.map(|(point, name)| beside(*point, name, -9)))?;
    if let (Mark::Contour, Some(first)) = (series.mark, points.first()) {
        chart.draw_series([beside(*first, &series.label, -7)])?;
    }
    Ok(())
}

/// The intervals of a curve as a band around it; as a bar for each point where points have no order, or no neighbour with
/// an interval.
fn intervals(
    chart: &mut Chart<'_, '_>,
    series: &Series,
    color: RGBColor,
    place: &dyn Fn(f64, [f64; 2]) -> [(f64, f64); 2],
) -> Drawn {
    let ends = series.points.iter().zip(&series.band).map(|([x, _], ends)| place(*x, *ends));
    let ends: Vec<[(f64, f64); 2]> = ends.collect();
    let known = |ends: &[(f64, f64); 2]| ends.iter().all(|(x, y)| x.is_finite() && y.is_finite());
    for part in ends.split(|ends| !known(ends)).filter(|part| !part.is_empty()) {
        if part.len() > 1 && series.mark != Mark::Dots {
            let low = part.iter().map(|[low, _]| *low);
            let around: Vec<_> = low.chain(part.iter().rev().map(|[_, high]| *high)).collect();
            chart.draw_series([Polygon::new(around, color.mix(0.18).filled())])?;
        } else {
            let bar =
                |ends: &[(f64, f64); 2]| PathElement::new(ends.to_vec(), color.stroke_width(2));
            chart.draw_series(part.iter().map(bar))?;
        }
    }
    Ok(())
}

/// Of many points the lowest and the highest of each small stretch, which look the same.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    const STRETCHES: usize = 500;
    if points.len() <= 2 * STRETCHES || points.iter().any(|(_, y)| !y.is_finite()) {
        return points;
    }
    let stretch = points.len().div_ceil(STRETCHES);
    let ends = |stretch: &[(f64, f64)]| {
        let places = || (0..stretch.len()).map(|i| (i, stretch[i].1));
        let low = places().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i);
        let high = places().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i);
        [stretch[low.min(high)], stretch[low.max(high)]]
    };
    points.chunks(stretch).flat_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_curves_keep_their_extremes() {
        let wave = |i: usize| (i as f64, if i == 4321 { 9.0 } else { (i % 7) as f64 });
        let points: Vec<_> = (0..20_000).map(wave).collect();
        let thin = thinned(points.clone());
        assert!(thin.len() <= 1000 && thin.contains(&(4321.0, 9.0)));
        assert!(thin.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert_eq!(thinned(points[..900].to_vec()), points[..900]);
    }
}

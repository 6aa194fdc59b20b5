//! Panels onto an area of `plotters`.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Axis, Figure, Heat, Lines, Mark, Panel, Series, TITLE, round_step, short};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failure = DrawingAreaErrorKind<std::io::Error>;
type Drawn = Result<(), Failure>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
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

/// Points of the cividis colour map, from nothing to much.
const CIVIDIS: [[f64; 3]; 6] = [
    [0.0, 32.0, 77.0],
    [57.0, 72.0, 108.0],
    [111.0, 113.0, 120.0],
    [150.0, 144.0, 118.0],
    [201.0, 184.0, 96.0],
    [255.0, 233.0, 69.0],
];

/// From -1 over 0 to 1.
const AROUND_ZERO: [[f64; 3]; 5] = [
    [230.0, 97.0, 1.0],
    [253.0, 184.0, 99.0],
    [247.0, 247.0, 247.0],
    [178.0, 171.0, 210.0],
    [94.0, 60.0, 153.0],
];

const SMALL: u32 = 12;
const USUAL: u32 = 14;

fn text(size: u32, color: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    let mut style = TextStyle::from(("sans-serif", size).into_font());
    style.color = color.to_backend_color();
    style.pos(Pos::new(horizontal, VPos::Center))
}

pub(super) fn figure(figure: &Figure, area: &Area<'_>) -> Drawn {
    let (width, _) = area.dim_in_pixel();
    let rest = if figure.title.is_empty() {
        area.clone()
    } else {
        let (head, rest) = area.split_vertically(TITLE);
        let place = (width as i32 / 2, TITLE as i32 / 2);
        head.draw_text(&figure.title, &text(17, INK, HPos::Center), place)?;
        rest
    };
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let rows = figure.panels.len().div_ceil(columns).max(1);
    for (area, panel) in rest.split_evenly((rows, columns)).iter().zip(&figure.panels) {
        match panel {
            Panel::Lines(panel) => lines(panel, area)?,
            Panel::Heat(panel) => heat(panel, area)?,
            Panel::Empty => {}
        }
    }
    area.present()
}

/// Cuts off the panel's title.
fn below_title<'a>(title: &str, area: &Area<'a>) -> Result<Area<'a>, Failure> {
    if title.is_empty() {
        return Ok(area.clone());
    }
    let (head, rest) = area.split_vertically(22);
    let place = (area.dim_in_pixel().0 as i32 / 2, 12);
    head.draw_text(title, &text(USUAL, INK, HPos::Center), place)?;
    Ok(rest)
}

fn lines(panel: &Lines, area: &Area<'_>) -> Drawn {
    let area = below_title(&panel.title, area)?;
    let legend = panel.series.iter().filter(|series| series.mark != Mark::Contour);
    let longest = legend.map(|series| series.label.chars().count()).max().unwrap_or(0);
    let legend = if longest > 0 { 34 + 7 * longest as u32 } else { 8 };
    let (width, _) = area.dim_in_pixel();
    let (main, side) = area.split_horizontally(width.saturating_sub(legend).max(80));
    let values = |of: usize| -> Vec<f64> {
        let ends = panel.series.iter().flat_map(|series| series.band.iter().flatten().copied());
        let points = panel.series.iter().flat_map(|series| series.points.iter().map(|p| p[of]));
        if of == 1 { points.chain(ends).collect() } else { points.collect() }
    };
    let x = ends(&panel.x, &values(0), 0.0);
    let y = ends(&panel.y, &values(1), 0.04);
    let mut chart = ChartBuilder::on(&main)
        .margin(6)
        .set_label_area_size(LabelAreaPosition::Left, 58)
        .set_label_area_size(LabelAreaPosition::Bottom, 42)
        .build_cartesian_2d(
            Scale { log: panel.x.log, ends: x },
            Scale { log: panel.y.log, ends: y },
        )?;
    chart
        .configure_mesh()
        .x_desc(&panel.x.label)
        .y_desc(&panel.y.label)
        .label_style(("sans-serif", SMALL).into_font().color(&INK))
        .axis_desc_style(("sans-serif", USUAL).into_font().color(&INK))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    let mut colored = 0;
    let mut line = 14;
    for series in &panel.series {
        let thin = series.mark.is_thin();
        let color = if thin { GREY } else { COLORS[colored % COLORS.len()] };
        // The second round of colours is dashed.
        let dashed = !thin && colored >= COLORS.len();
        colored += usize::from(!thin);
        curve(&mut chart, panel, series, color, dashed)?;
        if !series.label.is_empty() && series.mark != Mark::Contour {
            let stroke = color.stroke_width(2);
            if dashed {
                side.draw(&PathElement::new(vec![(2, line), (8, line)], stroke))?;
                side.draw(&PathElement::new(vec![(12, line), (18, line)], stroke))?;
            } else {
                side.draw(&PathElement::new(vec![(2, line), (18, line)], stroke))?;
            }
            side.draw_text(&series.label, &text(SMALL, INK, HPos::Left), (24, line))?;
            line += 17;
        }
    }
    Ok(())
}

fn curve(
    chart: &mut Chart<'_, '_>,
    panel: &Lines,
    series: &Series,
    color: RGBColor,
    dashed: bool,
) -> Drawn {
    let scaled = |axis: &Axis, value: f64| if axis.log { value.log10() } else { value };
    let place = |x: f64, y: f64| (scaled(&panel.x, x), scaled(&panel.y, y));
    let finite = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let band = series.points.iter().zip(&series.band);
    let low: Vec<_> =
        band.clone().map(|([x, _], [low, _])| place(*x, *low)).filter(finite).collect();
    let high: Vec<_> = band.map(|([x, _], [_, high])| place(*x, *high)).filter(finite).collect();
    if low.len() > 1 {
        let around: Vec<_> = low.into_iter().chain(high.into_iter().rev()).collect();
        chart.draw_series([Polygon::new(around, color.mix(0.18).filled())])?;
    }
    let width = if series.mark.is_thin() { 1 } else { 2 };
    let stroke = color.stroke_width(width);
    // Gaps where values are missing.
    let points: Vec<_> = series.points.iter().map(|[x, y]| place(*x, *y)).collect();
    let points = if series.mark == Mark::Points { points } else { thinned(points) };
    for part in points.split(|point| !finite(point)).filter(|part| !part.is_empty()) {
        if dashed {
            let dashes = DashedLineSeries::new(part.to_vec(), 6, 4, stroke);
            chart.draw_series(dashes)?;
        } else {
            chart.draw_series([PathElement::new(part.to_vec(), stroke)])?;
        }
        if series.mark == Mark::Points || part.len() == 1 {
            chart.draw_series(part.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
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

/// An axis with marks at about six round numbers; with `log` its values are logarithms.
struct Scale {
    log: bool,
    ends: [f64; 2],
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
        short(if self.log { 10_f64.powf(*value) } else { clean(*value) })
    }
}

impl Scale {
    fn marks(&self) -> Vec<f64> {
        let [low, high] = self.ends;
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
fn ends(axis: &Axis, values: &[f64], margin: f64) -> [f64; 2] {
    let scale = |value: f64| if axis.log { value.log10() } else { value };
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

fn heat(panel: &Heat, area: &Area<'_>) -> Drawn {
    let area = below_title(&panel.title, area)?;
    let [rows, columns] = panel.shape;
    if rows * columns == 0 || panel.values.len() != rows * columns {
        return Ok(());
    }
    let (width, height) = area.dim_in_pixel();
    let longest =
        |names: &[String]| names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = 10 + 7 * longest(&panel.rows) as i32 + if panel.y_label.is_empty() { 0 } else { 18 };
    let below = if panel.columns.is_empty() { 4 } else { 20 }
        + if panel.x_label.is_empty() { 0 } else { 18 };
    let (wide, tall) = (width as i32 - left - 10, height as i32 - below - 6);
    if wide < 4 || tall < 4 {
        return Ok(());
    }
    // Cells of maps are square.
    let (left, wide, tall) = if panel.annotated {
        (left, wide, tall)
    } else {
        let side = (f64::from(wide) / columns as f64).min(f64::from(tall) / rows as f64);
        let [map_wide, map_tall] = [columns, rows].map(|count| (side * count as f64) as i32);
        (left + (wide - map_wide) / 2, map_wide, map_tall)
    };
    let edge = |at: usize, count: usize, length: i32| {
        (at as i64 * i64::from(length) / count as i64) as i32
    };
    let most = panel.most.unwrap_or_else(|| {
        panel
            .values
            .iter()
            .filter(|value| value.is_finite())
            .fold(0.0, |most: f64, v| most.max(v.abs()))
    });
    for row in 0..rows {
        for column in 0..columns {
            let value = panel.values[row * columns + column];
            if !value.is_finite() {
                continue;
            }
            let (x0, x1) =
                (left + edge(column, columns, wide), left + edge(column + 1, columns, wide));
            let (y0, y1) = (4 + edge(row, rows, tall), 4 + edge(row + 1, rows, tall));
            let share = if most > 0.0 { value / most } else { 0.0 };
            let color = if panel.around_zero {
                mixed(&AROUND_ZERO, 0.5 + 0.5 * share)
            } else {
                mixed(&CIVIDIS, share)
            };
            area.draw(&Rectangle::new([(x0, y0), (x1, y1)], color.filled()))?;
            if panel.annotated {
                let RGBColor(r, g, b) = color;
                let light = 0.3 * f64::from(r) + 0.59 * f64::from(g) + 0.11 * f64::from(b) > 140.0;
                let ink = if light { BLACK } else { WHITE };
                let place = ((x0 + x1) / 2, (y0 + y1) / 2);
                area.draw_text(&format!("{value:.2}"), &text(SMALL, ink, HPos::Center), place)?;
            }
        }
    }
    for (row, name) in panel.rows.iter().enumerate() {
        let y = 4 + (edge(row, rows, tall) + edge(row + 1, rows, tall)) / 2;
        area.draw_text(name, &text(SMALL, INK, HPos::Right), (left - 6, y))?;
    }
    for (column, name) in panel.columns.iter().enumerate() {
        let x = left + (edge(column, columns, wide) + edge(column + 1, columns, wide)) / 2;
        area.draw_text(name, &text(SMALL, INK, HPos::Center), (x, 4 + tall + 12))?;
    }
    if !panel.x_label.is_empty() {
        let place = (left + wide / 2, 4 + tall + below - 8);
        area.draw_text(&panel.x_label, &text(SMALL, INK, HPos::Center), place)?;
    }
    if !panel.y_label.is_empty() {
        let style = text(SMALL, INK, HPos::Center).transform(FontTransform::Rotate270);
        area.draw_text(&panel.y_label, &style, (left - 12, 4 + tall / 2))?;
    }
    Ok(())
}

/// The colour at `share` of the way through a map.
fn mixed(map: &[[f64; 3]], share: f64) -> RGBColor {
    let place = share.clamp(0.0, 1.0) * (map.len() - 1) as f64;
    let first = (place as usize).min(map.len() - 2);
    let rest = place - first as f64;
    let part =
        |i: usize| (map[first][i] + (map[first + 1][i] - map[first][i]) * rest).round() as u8;
    RGBColor(part(0), part(1), part(2))
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

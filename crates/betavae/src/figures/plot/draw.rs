//! Panels onto an area of `plotters`.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{
    Axis, Figure, Heat, LEGEND_LINE, Lines, Mark, Panel, Series, TITLE, TITLE_SIZE, fit,
    round_step, short,
};

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

/// Strokes and gaps of lines in the first round of colours, which are whole, and in further ones.
const DASHES: [Option<[i32; 2]>; 6] =
    [None, Some([6, 4]), Some([2, 3]), Some([10, 3]), Some([2, 7]), Some([10, 8])];

/// Names of columns and words reach so far down at most.
const NAMES: i32 = 150;

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
    let [first, further] = TITLE;
    let mut rest = area.clone();
    for (line, words) in figure.title_lines(width).iter().enumerate() {
        let (head, below) = rest.split_vertically(if line == 0 { first } else { further });
        // Further lines are nearer to their neighbours.
        let place = (width as i32 / 2, if line == 0 { first } else { further - 4 } as i32 / 2);
        head.draw_text(words, &text(TITLE_SIZE, INK, HPos::Center), place)?;
        rest = below;
    }
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

/// Cuts off the panel's title, which has two lines at most.
fn below_title<'a>(title: &str, area: &Area<'a>) -> Result<Area<'a>, Failure> {
    let width = area.dim_in_pixel().0 as i32;
    let mut rest = area.clone();
    for words in fit::wrapped(title, USUAL, width - 8, 2) {
        let (head, below) =
            rest.split_vertically(if rest.dim_in_pixel() == area.dim_in_pixel() { 22 } else { 17 });
        let middle = head.dim_in_pixel().1 as i32 - 10;
        head.draw_text(&words, &text(USUAL, INK, HPos::Center), (width / 2, middle))?;
        rest = below;
    }
    Ok(rest)
}

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

/// Names below an axis of words.
struct Names {
    /// Lines of each; one if it is upright.
    names: Vec<Vec<String>>,
    /// Only each of so many has room.
    every: usize,
    upright: bool,
    /// Height of the names.
    height: i32,
}

impl Names {
    /// Below an axis of `width` pixels, at most `most` high: on one line or a few where they fit,
    /// upright and shortened where they do not.
    fn new(words: &[String], width: i32, most: i32) -> Self {
        let room = width / words.len().max(1) as i32 - 6;
        let lines: Vec<_> =
            words.iter().map(|word| fit::wrapped(word, SMALL, room, NAME_LINES)).collect();
        let whole = |(word, lines): (&String, &Vec<String>)| match &lines[..] {
            [line] => line == word,
            lines => room >= WRAPPED && !fit::is_shortened(lines),
        };
        if words.iter().zip(&lines).all(whole) {
            let most = lines.iter().map(Vec::len).max().unwrap_or(0) as i32;
            let height = 4 + NAME_LINE * most;
            return Self { names: lines, every: 1, upright: false, height };
        }
        let names = fit::distinct(words, SMALL, most);
        let height = fit::widest(&names, SMALL) + 6;
        let fitting = (width / UPRIGHT).max(1) as usize;
        let every = words.len().div_ceil(fitting);
        let names = names.into_iter().map(|name| vec![name]).collect();
        Self { names, every, upright: true, height }
    }

    /// Draws the names at these places across, below `top`.
    fn draw(&self, area: &Area<'_>, across: impl Fn(usize) -> i32, top: i32) -> Drawn {
        let style = if self.upright {
            text(SMALL, INK, HPos::Right).transform(FontTransform::Rotate270)
        } else {
            text(SMALL, INK, HPos::Center)
        };
        for (i, lines) in self.names.iter().enumerate().step_by(self.every) {
            for (line, name) in lines.iter().enumerate() {
                let down = if self.upright { 4 } else { 10 + NAME_LINE * line as i32 };
                area.draw_text(name, &style, (across(i), top + down))?;
            }
        }
        Ok(())
    }
}

/// Lines of a name that is not upright at most, and their height.
const NAME_LINES: usize = 3;
const NAME_LINE: i32 = 14;
/// Names are broken into lines of no less than this.
const WRAPPED: i32 = 80;
/// Room that an upright name takes across.
const UPRIGHT: i32 = 14;
/// Margin of a panel, and room for the numbers on the left.
const MARGIN: i32 = 6;
const NUMBERS: i32 = 58;

fn lines(panel: &Lines, area: &Area<'_>) -> Drawn {
    let area = below_title(&panel.title, area)?;
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width as i32, height as i32);
    let legend = Legend::new(&panel.series, [width, height]);
    let beside = (width - legend.width * legend.columns as i32).max(80);
    let (main, side) = area.split_horizontally(beside);
    let inner = beside - NUMBERS - 2 * MARGIN;
    let words = (!panel.x.words.is_empty())
        .then(|| Names::new(&panel.x.words, inner, (height / 3).min(NAMES)));
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

/// An axis with marks at about six round numbers; with `log` its values are logarithms; with words, marks
/// are at whole numbers and have no text, as names are drawn apart.
struct Scale {
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
    fn new(axis: &Axis, ends: [f64; 2]) -> Self {
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
fn ends(axis: &Axis, values: &[f64], margin: f64) -> [f64; 2] {
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

fn heat(panel: &Heat, area: &Area<'_>) -> Drawn {
    let area = below_title(&panel.title, area)?;
    let [rows, columns] = panel.shape;
    if rows * columns == 0 || panel.values.len() != rows * columns {
        return Ok(());
    }
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width as i32, height as i32);
    let rooms = Rooms::new(panel, [width, height]);
    let (left, below) = (rooms.left, rooms.below);
    let (wide, tall) = (width - left - 10, height - below - 6);
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
                let cell = x1 - x0;
                area.draw_text(&cell_text(value, cell), &text(SMALL, ink, HPos::Center), place)?;
            }
        }
    }
    for (row, name) in rooms.rows.iter().enumerate() {
        let y = 4 + (edge(row, rows, tall) + edge(row + 1, rows, tall)) / 2;
        area.draw_text(name, &text(SMALL, INK, HPos::Right), (left - 6, y))?;
    }
    if let Some(names) = &rooms.columns {
        let across = |column: usize| {
            left + (edge(column, columns, wide) + edge(column + 1, columns, wide)) / 2
        };
        names.draw(&area, across, 4 + tall)?;
    }
    if !panel.x_label.is_empty() {
        let place = (left + wide / 2, 4 + tall + below - 8);
        let label = fit::shortened(&panel.x_label, SMALL, width - left);
        area.draw_text(&label, &text(SMALL, INK, HPos::Center), place)?;
    }
    if !panel.y_label.is_empty() {
        let style = text(SMALL, INK, HPos::Center).transform(FontTransform::Rotate270);
        let label = fit::shortened(&panel.y_label, SMALL, tall);
        area.draw_text(&label, &style, (left - 12, 4 + tall / 2))?;
    }
    Ok(())
}

/// The names around a matrix and the room they take.
struct Rooms {
    rows: Vec<String>,
    columns: Option<Names>,
    left: i32,
    below: i32,
}

impl Rooms {
    fn new(panel: &Heat, [width, height]: [i32; 2]) -> Self {
        let rows = fit::distinct(&panel.rows, SMALL, NAMES.min(width / 3));
        let label = |text: &str| if text.is_empty() { 0 } else { 18 };
        let left = 10 + fit::widest(&rows, SMALL) + label(&panel.y_label);
        let columns = (!panel.columns.is_empty())
            .then(|| Names::new(&panel.columns, width - left - 10, NAMES.min(height / 2)));
        let names = columns.as_ref().map_or(4, |names| names.height + 2);
        Self { rows, columns, left, below: names + label(&panel.x_label) }
    }
}

/// Of a panel whose cells have this size.
pub(super) fn heat_size(panel: &Heat, [wide, tall]: [u32; 2]) -> [u32; 2] {
    let [rows, columns] = panel.shape.map(|count| count as u32);
    // No less than a title takes.
    let inner = (columns * wide).max(180) as i32;
    let rooms = Rooms::new(panel, [inner + 3 * NAMES, 2 * NAMES]);
    let names = Names::new(&panel.columns, inner, NAMES).height + 2;
    let below = if panel.columns.is_empty() { rooms.below } else { names };
    [(inner + rooms.left + 10) as u32, 22 + rows * tall + below as u32 + 6]
}

/// A value with two digits, or with as many as a narrow cell has room for.
fn cell_text(value: f64, room: i32) -> String {
    // Nothing is -0.
    let value = if value.abs() < 0.005 { 0.0 } else { value };
    match value.abs() {
        _ if fit::width("-0.00", SMALL) <= room - 4 => format!("{value:.2}"),
        0.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}").replacen("0.", ".", 1),
    }
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
    fn values_fit_their_cells() {
        super::super::prepare_font();
        let texts = |room| [0.314, -0.027, -0.001, 1.0, -2.34].map(|value| cell_text(value, room));
        assert_eq!(texts(64), ["0.31", "-0.03", "0.00", "1.00", "-2.34"]);
        assert_eq!(texts(28), [".31", "-.03", ".00", "1.0", "-2.3"]);
    }

    #[test]
    fn names_are_on_lines_or_upright() {
        super::super::prepare_font();
        let names = |texts: &[&str], width| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Names::new(&texts, width, NAMES)
        };
        let short = names(&["red", "green"], 200);
        assert!(!short.upright && short.height == 4 + NAME_LINE);
        let long = "the height of the camera above the table in centimetres";
        let lines = names(&[long, "red"], 400);
        assert!(!lines.upright && lines.names[0].len() == 2, "{:?}", lines.names);
        let upright = names(&[long, "red"], 120);
        assert!(upright.upright && upright.height <= NAMES + 6 && upright.every == 1);
        let many = vec!["word"; 100];
        assert_eq!(names(&many, 700).every, 2);
    }

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

//! Panels of matrices and maps.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::super::{Heatmap, fit};
use super::names::AxisNames;
use super::{Area, Drawn, INK, NAMES, SMALL, below_title, text};

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

pub(super) fn heat(panel: &Heatmap, area: &Area<'_>) -> Drawn {
    let area = below_title(&panel.title, area)?;
    let [rows, columns] = panel.shape;
    if rows * columns == 0 || panel.values.len() != rows * columns {
        return Ok(());
    }
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width as i32, height as i32);
    let rooms = MatrixNames::new(panel, [width, height]);
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
struct MatrixNames {
    rows: Vec<String>,
    columns: Option<AxisNames>,
    left: i32,
    below: i32,
}

impl MatrixNames {
    fn new(panel: &Heatmap, [width, height]: [i32; 2]) -> Self {
        let rows = fit::distinct(&panel.rows, SMALL, NAMES.min(width / 3));
        let label = |text: &str| if text.is_empty() { 0 } else { 18 };
        let left = 10 + fit::widest(&rows, SMALL) + label(&panel.y_label);
        let columns = (!panel.columns.is_empty())
            .then(|| AxisNames::new(&panel.columns, width - left - 10, NAMES.min(height / 2)));
        let names = columns.as_ref().map_or(4, |names| names.height + 2);
        Self { rows, columns, left, below: names + label(&panel.x_label) }
    }
}

/// Of a panel whose cells have this size.
pub(in super::super) fn heat_size(panel: &Heatmap, [wide, tall]: [u32; 2]) -> [u32; 2] {
    let [rows, columns] = panel.shape.map(|count| count as u32);
    // No less than a title takes.
    let inner = (columns * wide).max(180) as i32;
    let rooms = MatrixNames::new(panel, [inner + 3 * NAMES, 2 * NAMES]);
    let names = AxisNames::new(&panel.columns, inner, NAMES).height + 2;
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
        super::super::super::prepare_font();
        let texts = |room| [0.314, -0.027, -0.001, 1.0, -2.34].map(|value| cell_text(value, room));
        assert_eq!(texts(64), ["0.31", "-0.03", "0.00", "1.00", "-2.34"]);
        assert_eq!(texts(28), [".31", "-.03", ".00", "1.0", "-2.3"]);
    }
}

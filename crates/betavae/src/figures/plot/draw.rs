//! Panels onto an area of `plotters`: what they have in common, and their places in a figure.

mod heat;
mod lines;
mod names;
mod scale;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Figure, Panel, TITLE, TITLE_SIZE, fit};
use heat::heat;
pub(super) use heat::heat_size;
use lines::lines;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failure = DrawingAreaErrorKind<std::io::Error>;
type Drawn = Result<(), Failure>;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// Names of columns and words reach so far down at most.
const NAMES: i32 = 150;

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
            Panel::Heatmap(panel) => heat(panel, area)?,
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

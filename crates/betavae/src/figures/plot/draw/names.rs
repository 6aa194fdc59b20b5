//! Names below an axis of words.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::super::fit;
use super::{Area, Drawn, INK, SMALL, text};

/// Lines of a name that is not upright at most, and their height.
const NAME_LINES: usize = 3;
const NAME_LINE: i32 = 14;
/// Names are broken into lines of no less than this.
const WRAPPED: i32 = 80;
/// Room that an upright name takes across.
const UPRIGHT: i32 = 14;

/// Names below an axis of words.
pub(super) struct AxisNames {
    /// Lines of each; one if it is upright.
    names: Vec<Vec<String>>,
    /// Only each of so many has room.
    every: usize,
    upright: bool,
    /// Height of the names.
    pub(super) height: i32,
}

impl AxisNames {
    /// Below an axis of `width` pixels, at most `most` high: on one line or a few where they fit,
    /// upright and shortened where they do not.
    pub(super) fn new(words: &[String], width: i32, most: i32) -> Self {
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
    pub(super) fn draw(&self, area: &Area<'_>, across: impl Fn(usize) -> i32, top: i32) -> Drawn {
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

#[cfg(test)]
mod tests {
    use super::super::NAMES;
    use super::*;

    #[test]
    fn names_are_on_lines_or_upright() {
        super::super::super::prepare_font();
        let names = |texts: &[&str], width| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            AxisNames::new(&texts, width, NAMES)
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
}

//! Text in the room that there is.

use plotters::style::{FontDesc, FontFamily, FontStyle};

/// What stands for left-out text.
const ELLIPSIS: char = '\u{2026}';
/// Viewers draw SVG with a sans-serif font of their own, which may be wider than ours.
const WIDER: f64 = 1.1;
/// Longer texts are cut before they are measured.
const LONGEST: usize = 400;

/// Width of one line of text in pixels.
pub(super) fn width(text: &str, size: u32) -> i32 {
    let font = FontDesc::new(FontFamily::SansSerif, f64::from(size), FontStyle::Normal);
    let measured = font.layout_box(text).map(|((left, _), (right, _))| right - left);
    // Without a font, as much as letters take on average.
    let measured = measured.unwrap_or_else(|_| (text.chars().count() as u32 * size / 2) as i32);
    (f64::from(measured) * WIDER).ceil() as i32
}

/// Width of the widest of some texts.
pub(super) fn widest(texts: &[String], size: u32) -> i32 {
    texts.iter().map(|text| width(text, size)).max().unwrap_or(0)
}

/// Which part of a text is kept.
#[derive(Clone, Copy)]
enum KeptPart {
    Start,
    Ends,
    End,
}

/// A text in `room` pixels, with an ellipsis in its middle if it is longer.
pub(super) fn shortened(text: &str, size: u32, room: i32) -> String {
    cut(text, size, room, KeptPart::Ends)
}

fn cut(text: &str, size: u32, room: i32, keep: KeptPart) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= LONGEST && width(text, size) <= room {
        return text.to_owned();
    }
    let of = |count: usize| {
        let head = match keep {
            KeptPart::Start => count,
            KeptPart::Ends => count.div_ceil(2),
            KeptPart::End => 0,
        };
        let tail = &letters[letters.len() - (count - head)..];
        // An accent without its letter is none.
        let accents = tail.iter().take_while(|letter| ('\u{300}'..'\u{370}').contains(*letter));
        let tail = &tail[accents.count()..];
        let head: String = letters[..head].iter().collect();
        format!("{}{ELLIPSIS}{}", head.trim_end(), tail.iter().collect::<String>().trim_start())
    };
    // The most letters that fit; text grows with every letter.
    let (mut fits, mut above) = (0, letters.len().min(LONGEST));
    while above - fits > 1 {
        let middle = (fits + above) / 2;
        if width(&of(middle), size) <= room { fits = middle } else { above = middle }
    }
    of(fits)
}

/// Different names in `room` pixels each, so that they stay different.
pub(super) fn distinct(names: &[String], size: u32, room: i32) -> Vec<String> {
    let different = |texts: &[String]| {
        texts.iter().collect::<std::collections::HashSet<_>>().len() == texts.len()
    };
    let ways = [KeptPart::Start, KeptPart::Ends, KeptPart::End].into_iter();
    let mut ways =
        ways.map(|keep| names.iter().map(|name| cut(name, size, room, keep)).collect::<Vec<_>>());
    ways.find(|texts| different(texts)).unwrap_or_else(|| {
        let numbered = |(i, name): (usize, &String)| {
            let number = format!("{i}: ");
            let rest = room - width(&number, size);
            number + &cut(name, size, rest, KeptPart::Ends)
        };
        names.iter().enumerate().map(numbered).collect()
    })
}

/// A text in at most so many lines of `room` pixels: broken at its own line ends, after words and
/// underscores, and within words that are longer than a line. What is left of it is shortened.
pub(super) fn wrapped(text: &str, size: u32, room: i32, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut rest = paragraph.trim();
        loop {
            if width(rest, size) <= room || lines.len() + 1 >= most {
                break;
            }
            let at = line_end(rest, size, room);
            lines.push(rest[..at].trim_end().to_owned());
            rest = rest[at..].trim_start();
        }
        if lines.len() < most && !rest.is_empty() {
            lines.push(shortened(rest, size, room));
        }
    }
    lines
}

/// Whether something was left out.
pub(super) fn is_shortened(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains(ELLIPSIS))
}

/// Where to break a text that is longer than a line: after the last word that fits, or anywhere.
fn line_end(text: &str, size: u32, room: i32) -> usize {
    let ends = || text.char_indices().map(|(at, letter)| (at + letter.len_utf8(), letter));
    let fits = |(at, _): &(usize, char)| width(text[..*at].trim_end(), size) <= room;
    let fitting: Vec<(usize, char)> = ends().take(LONGEST).take_while(fits).collect();
    let breaks = fitting.iter().rev().find(|(_, letter)| " _-/,;".contains(*letter));
    let last = || fitting.last().map(|(at, _)| *at);
    let first = || ends().next().map(|(at, _)| at);
    breaks.map(|(at, _)| *at).or_else(last).or_else(first).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 12;

    #[test]
    fn texts_are_shortened_to_their_room_and_no_further() {
        super::super::prepare_font();
        let long = "Gesch\u{e4}tzte Gr\u{f6}\u{df}e der gr\u{fc}nen Kugel im Vordergrund links";
        for room in [20, 60, 120, 200] {
            let text = shortened(long, SIZE, room);
            assert!(width(&text, SIZE) <= room && text.contains(ELLIPSIS), "{room}: {text}");
            assert!(width(&text, SIZE) > room - 24, "{room}: {text}");
        }
        assert_eq!(shortened("short", SIZE, 100), "short");
        assert!(width(&shortened(&"x".repeat(100_000), SIZE, 90), SIZE) <= 90);
    }

    #[test]
    fn names_stay_different() {
        super::super::prepare_font();
        let names =
            |parts: [&str; 3]| parts.map(|part| part.replace('~', &"same ".repeat(12))).to_vec();
        for parts in [["a~", "b~", "c~"], ["~a", "~b", "~c"], ["~a~", "~b~", "~c~"]] {
            let short = distinct(&names(parts), SIZE, 80);
            assert!(short.iter().all(|name| width(name, SIZE) <= 80), "{short:?}");
            assert!(short[0] != short[1] && short[1] != short[2], "{short:?}");
        }
    }

    #[test]
    fn lines_are_broken_between_words_where_there_are_any() {
        super::super::prepare_font();
        let text = "Mean of each latent, averaged over all other factors";
        let lines = wrapped(text, SIZE, 160, 3);
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, SIZE) <= 160));
        assert_eq!(lines.join(" "), text);
        let name = "z1 over a_name_of_very_many_letters_that_has_no_space_anywhere_in_it";
        let lines = wrapped(name, SIZE, 160, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("z1 over") && lines[1].ends_with("_in_it"), "{lines:?}");
        assert_eq!(wrapped("one\ntwo", SIZE, 300, 3), ["one", "two"]);
        assert_eq!(wrapped("", SIZE, 300, 3), [""; 0]);
    }
}

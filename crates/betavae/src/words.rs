//! Numbers, names and commands as people read and paste them, the same on the terminal and in reports.

use std::ffi::OsStr;

/// An integer with its thousands separated.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 image`, `2 images`.
pub fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

/// An amount of memory, such as `377.5 MB`.
pub fn amount(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        0.0..1e3 => format!("{bytes} bytes"),
        1e3..1e6 => format!("{:.1} kB", bytes / 1e3),
        1e6..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// A time such as `3 h 5 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The known name that a mistyped word resembles, if it resembles one.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(name, word);
    let nearest = known.into_iter().min_by_key(distance)?;
    (distance(&nearest) <= 2.max(word.chars().count() / 3)).then_some(nearest)
}

/// A word of a command line as it can be pasted into a shell: in quotes where it needs them.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    // Only a zero byte cannot be quoted, and no argument has one.
    shlex::try_quote(&word).map_or_else(|_| word.clone().into_owned(), |word| word.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([0, 999, 1000, 737_280].map(thousands), ["0", "999", "1,000", "737,280"]);
        assert_eq!([1, 2].map(|number| counted(number, "image")), ["1 image", "2 images"]);
        let amounts = [12, 2_840, 377_487_360, 2_430_000_000].map(amount);
        assert_eq!(amounts, ["12 bytes", "2.8 kB", "377.5 MB", "2.4 GB"]);
        assert_eq!([0.4, 75.0, 11_130.0].map(duration), ["0 s", "1 min 15 s", "3 h 5 min"]);
    }

    #[test]
    fn mistyped_words_find_their_name() {
        let known = ["dsprites", "blobs"];
        assert_eq!(nearest("dsprite", known), Some("dsprites"));
        assert_eq!(nearest("photos", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn words_of_commands_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("runs/default-1"), "runs/default-1");
        assert_eq!(quoted("my run"), "'my run'");
        assert_eq!(quoted(std::path::Path::new("it's")), "\"it's\"");
        assert_eq!(quoted(""), "''");
    }
}

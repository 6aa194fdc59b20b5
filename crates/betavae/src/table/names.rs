//! Names of files, however they are written: with or without folders and endings, with slashes of either
//! kind, with accents composed or not.

use std::collections::HashMap;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

/// Endings of image files that a name may have or lack.
const IMAGE_ENDINGS: [&str; 14] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "pgm", "ppm",
    "npy",
];

/// Whether a name ends as an image file does.
pub(crate) fn has_image_ending(name: &str) -> bool {
    without_ending(name) != name
}

/// A name without the ending of an image file.
fn without_ending(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => {
            let known = IMAGE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
            if known { stem } else { name }
        }
        _ => name,
    }
}

/// A path as text that is the same wherever it was written.
pub(crate) fn clean(name: &str) -> String {
    let name: String = name.trim().replace('\\', "/").nfc().collect();
    let parts = name.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

/// A relative path as it is written in tables.
pub(crate) fn slashes(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Which known name another one matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameMatch {
    /// One of the known names, by its position.
    One(usize),
    /// Several of them.
    Several,
    /// None of them.
    None,
}

/// An index of known names, in which other spellings are looked up.
pub(crate) struct NameIndex {
    exact: NameForms,
    stems: NameForms,
    /// Stems without regard to case, which some file systems do not tell apart.
    folded: NameForms,
    /// Positions by the number that a name without its ending is.
    numbers: HashMap<u64, NameMatch>,
}

/// The names at one level of detail.
#[derive(Default)]
struct NameForms {
    whole: HashMap<String, NameMatch>,
    /// By whatever follows a slash in them, and themselves.
    ends: HashMap<String, NameMatch>,
}

impl NameForms {
    fn insert(&mut self, name: &str, position: usize) {
        let put = |map: &mut HashMap<String, NameMatch>, key: &str| {
            let place = map.entry(key.to_owned()).or_insert(NameMatch::One(position));
            if *place != NameMatch::One(position) {
                *place = NameMatch::Several;
            }
        };
        put(&mut self.whole, name);
        ends(name).for_each(|end| put(&mut self.ends, end));
    }

    /// A name that is the end of a known one, or that a known one is the end of.
    fn find(&self, name: &str) -> NameMatch {
        if let Some(found @ NameMatch::One(_)) = self.whole.get(name) {
            return *found;
        }
        if let Some(found) = self.ends.get(name) {
            return *found;
        }
        ends(name).find_map(|end| self.whole.get(end)).copied().unwrap_or(NameMatch::None)
    }
}

/// A path, and what is left of it after each slash.
fn ends(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.match_indices('/').map(|(at, _)| &name[at + 1..]))
}

impl NameIndex {
    pub(crate) fn new<S: AsRef<str>>(names: &[S]) -> Self {
        let [mut exact, mut stems, mut folded] = [(); 3].map(|()| NameForms::default());
        let mut numbers = HashMap::new();
        for (position, name) in names.iter().enumerate() {
            let name = clean(name.as_ref());
            let stem = without_ending(&name);
            exact.insert(&name, position);
            stems.insert(stem, position);
            folded.insert(&stem.to_lowercase(), position);
            if let Some(number) = number(stem) {
                let place = numbers.entry(number).or_insert(NameMatch::One(position));
                if *place != NameMatch::One(position) {
                    *place = NameMatch::Several;
                }
            }
        }
        Self { exact, stems, folded, numbers }
    }

    /// The known name that `name` means: the same, or one that differs in leading folders, in the ending, in
    /// case, or in leading zeros only.
    pub(crate) fn find(&self, name: &str) -> NameMatch {
        let name = clean(name);
        if name.is_empty() {
            return NameMatch::None;
        }
        let stem = without_ending(&name);
        let lower = stem.to_lowercase();
        for (level, name) in
            [(&self.exact, name.as_str()), (&self.stems, stem), (&self.folded, lower.as_str())]
        {
            match level.find(name) {
                NameMatch::None => {}
                found => return found,
            }
        }
        // A folder is not to be guessed away.
        let by_number = number(stem)
            .filter(|_| !stem.contains('/'))
            .and_then(|number| self.numbers.get(&number));
        by_number.copied().unwrap_or(NameMatch::None)
    }
}

/// The number that the last part of a path is.
fn number(stem: &str) -> Option<u64> {
    let last = stem.rsplit('/').next().unwrap_or(stem);
    last.bytes().all(|byte| byte.is_ascii_digit()).then(|| last.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let names = NameIndex::new(&["000.png", "a/001.png", "b/001.png", "caf\u{e9}.jpg", "x.1"]);
        for (name, found) in [
            ("000.png", NameMatch::One(0)),
            ("000", NameMatch::One(0)),
            ("0", NameMatch::One(0)),
            ("000.jpg", NameMatch::One(0)),
            ("/home/me/photos/000.png", NameMatch::One(0)),
            ("C:\\photos\\000.PNG", NameMatch::One(0)),
            ("./a/001.png", NameMatch::One(1)),
            ("A/001.PNG", NameMatch::One(1)),
            ("photos/b/001", NameMatch::One(2)),
            ("001.png", NameMatch::Several),
            ("1", NameMatch::Several),
            ("c/001.png", NameMatch::None),
            ("cafe\u{301}.jpg", NameMatch::One(3)),
            ("x", NameMatch::None),
            ("x.1", NameMatch::One(4)),
            ("", NameMatch::None),
            ("100.png", NameMatch::None),
        ] {
            assert_eq!(names.find(name), found, "{name}");
        }
    }

    #[test]
    fn names_that_differ_in_their_endings_are_told_apart() {
        let names = NameIndex::new(&["a.png", "a.jpg"]);
        assert_eq!(names.find("a.jpg"), NameMatch::One(1));
        assert_eq!(names.find("a"), NameMatch::Several);
    }
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::data::{Factors, ImageShape};

/// Images without content.
struct Images {
    factors: Option<Factors>,
    names: Vec<PathBuf>,
    len: usize,
}

impl Dataset for Images {
    fn name(&self) -> &str {
        "images"
    }
    fn description(&self) -> String {
        String::new()
    }
    fn len(&self) -> usize {
        self.len
    }
    fn shape(&self) -> ImageShape {
        ImageShape::new(1, 1, 1)
    }
    fn read(&self, _: usize, _: u64, _: &mut [f32]) -> Result<()> {
        Ok(())
    }
    fn factors(&self) -> Option<&Factors> {
        self.factors.as_ref()
    }
    fn file_name(&self, index: usize) -> Option<&Path> {
        self.names.get(index).map(PathBuf::as_path)
    }
}

fn with_factors(names: &[&str], rows: &[Vec<f64>]) -> Images {
    let factors = Some(Factors::from_values(names, &rows.concat()).unwrap());
    Images { factors, names: Vec::new(), len: rows.len() }
}

/// Every combination of factors with these numbers of classes.
fn grid(sizes: [usize; 4]) -> Vec<Vec<f64>> {
    let len: usize = sizes.iter().product();
    let row = |mut i: usize| {
        let mut row: Vec<f64> = sizes
            .iter()
            .rev()
            .map(|size| {
                let class = i % size;
                i /= size;
                class as f64
            })
            .collect();
        row.reverse();
        row
    };
    (0..len).map(row).collect()
}

fn stream(step: u64) -> Stream {
    Stream::new(5, "partners", step)
}

fn differences(data: &Images, [a, b]: [usize; 2]) -> usize {
    let factors = data.factors().unwrap();
    factors.classes(a).iter().zip(factors.classes(b)).filter(|(a, b)| **a != *b).count()
}

#[test]
fn partners_in_a_grid_differ_in_as_many_factors_as_wanted() {
    let names = ["a", "single", "b", "c"];
    let data = with_factors(&names, &grid([3, 1, 4, 2]));
    for count in [1, 2] {
        let pairs = Pairs::open(&PairsConfig::Changed(count), &data, None).unwrap();
        assert_eq!(pairs.len(), 24);
        let mut partners = BTreeSet::new();
        for step in 0..200 {
            let pair = pairs.get(7, &mut stream(step));
            assert_eq!((pair[0], differences(&data, pair)), (7, count));
            assert_eq!(pairs.get(7, &mut stream(step)), pair);
            partners.insert(pair[1]);
        }
        // (3 - 1) + (4 - 1) + (2 - 1), and 2 * 3 + 2 * 1 + 3 * 1.
        assert_eq!(partners.len(), [6, 11][count - 1]);
    }
    let pairs = Pairs::open(&PairsConfig::Random, &data, None).unwrap();
    let counts = (0..2000).map(|step| differences(&data, pairs.get(3, &mut stream(step))));
    let ones = counts.filter(|count| *count == 1).count();
    assert!((900..1100).contains(&ones), "{ones} of 2000 differ in one of three factors");
}

#[test]
fn partners_in_a_table_are_among_the_images_that_are_there() {
    // Of a grid, every third image is missing, and one that shares nothing is added.
    let mut rows: Vec<Vec<f64>> =
        grid([3, 2, 4, 2]).into_iter().zip(0..).filter(|(_, i)| i % 3 != 0).map(|x| x.0).collect();
    rows.reverse();
    rows.push(vec![9.0, 9.0, 9.0, 9.0]);
    // A number of the image is no factor.
    let rows: Vec<Vec<f64>> =
        rows.into_iter().zip(0..).map(|(row, i)| [row, vec![f64::from(i)]].concat()).collect();
    let data = with_factors(&["a", "b", "c", "d", "number"], &rows);
    for (config, counts) in [
        (PairsConfig::Changed(1), vec![1]),
        (PairsConfig::Changed(3), vec![3]),
        (PairsConfig::Random, vec![1, 2, 3]),
    ] {
        let pairs = Pairs::open(&config, &data, None).unwrap();
        let notes = pairs.notes().join("\n");
        assert!(notes.contains("factor number is ignored"), "{notes}");
        assert!(notes.contains("32 of 33 images"), "{notes}");
        let mut seen = BTreeSet::new();
        for step in 0..400 {
            let position = step as usize % pairs.len();
            let pair = pairs.get(position, &mut stream(step));
            // The number differs too.
            seen.insert(differences(&data, pair) - 1);
            assert!(pair.iter().all(|image| *image < 32));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), counts, "{config:?}");
    }
}

#[test]
fn data_without_such_pairs_is_refused() {
    let open = |data: &Images, config| Pairs::open(&config, data, None).err().unwrap();
    let bare = Images { factors: None, names: Vec::new(), len: 4 };
    let error = open(&bare, PairsConfig::Random);
    assert!(error.to_string().contains("has no factors"), "{error}");
    let data = with_factors(&["a", "b", "c", "d"], &grid([3, 1, 4, 2]));
    let error = open(&data, PairsConfig::Changed(3)).to_string();
    assert!(error.contains("expected 1 to 2") && error.ends_with("found 3"), "{error}");
    let single = with_factors(&["a", "b", "c", "d"], &grid([3, 1, 1, 1]));
    let error = open(&single, PairsConfig::Random).to_string();
    assert!(error.contains("at least two factors that vary, found 1 (a)"), "{error}");
    let apart = with_factors(&["a", "b"], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0].map(|x| vec![x, x]));
    let error = open(&apart, PairsConfig::Changed(1)).to_string();
    assert!(error.contains("no two images of images differ in 1 of their factors"), "{error}");
}

fn listed(data: &Images, text: &str) -> Result<Pairs> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pairs.csv"), text).unwrap();
    let place = folder.path().join("images.npz");
    Pairs::open(&PairsConfig::Table("pairs.csv".into()), data, Some(&place))
}

fn all(pairs: &Pairs) -> Vec<[usize; 2]> {
    (0..pairs.len()).map(|position| pairs.get(position, &mut stream(0))).collect()
}

#[test]
fn pairs_of_a_table_are_named_or_numbered() {
    let names = ["x/a.png", "x/b.png", "y/b.png", "y/c.png"].map(PathBuf::from).to_vec();
    let named = Images { factors: None, names, len: 4 };
    let expected = vec![[0, 3], [1, 2]];
    for text in [
        "first,second\na.png,c.png\nx/b.png,y/b.png\n",
        "a.png,c.png\nx/b.png,y/b.png\n",
        "a,c\nx/b,y/b\n",
        ",file,other\n0,a.png,c.png\n1,x/b.png,y/b.png\n",
        "first;second\n0;3\n1;2\n",
        "0,3\n1,2\n",
    ] {
        assert_eq!(all(&listed(&named, text).unwrap()), expected, "{text}");
    }
    let bare = Images { factors: None, names: Vec::new(), len: 4 };
    assert_eq!(all(&listed(&bare, "0,3\n1,2\n").unwrap()), expected);
    // Numbers are names where every name is one.
    let names = ["001.png", "002.png", "003.png"].map(PathBuf::from).to_vec();
    let numbered = Images { factors: None, names, len: 3 };
    assert_eq!(all(&listed(&numbered, "a,b\n1,3\n2,1\n").unwrap()), [[0, 2], [1, 0]]);
    let some = listed(&named, "first,second\na,c\na,nothing\n").unwrap();
    assert_eq!(all(&some), [[0, 3]]);
    let notes = some.notes().join("\n");
    assert!(notes.contains("1 left out whose images are not there, such as `nothing`"), "{notes}");
}

#[test]
fn tables_of_other_things_are_refused() {
    let names = ["x/a.png", "x/b.png", "y/b.png"].map(PathBuf::from).to_vec();
    let data = Images { factors: None, names, len: 3 };
    for (text, part) in [
        ("first,second,third\na,b,c\n", "expected two, the images of each pair, found 3"),
        ("first,second\na,a\n", "line 2 pairs `a` with itself"),
        ("first,second\na,b\n", "line 2: `b` is the name of several images"),
        ("first,second\na,\n", "column `second` is empty"),
        ("first,second\nd,e\n", "none of its pairs are images of images: there is no `d`"),
        ("first,second\n0,7\n", "there is no image 7"),
        ("first,second\n0,0.5\n", "there is no image 0.5"),
    ] {
        let message = listed(&data, text).err().unwrap().to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
    let missing = Pairs::open(&PairsConfig::Table("nowhere.csv".into()), &data, None);
    assert!(missing.err().unwrap().to_string().contains("which objective.pairs names"));
}

//! How tables and arrays of factors are joined to images, and what is said of those that are not.

use std::fs;

use super::*;
use crate::data::Factor;
use crate::npz::NpzWriter;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn csv(&self, text: &[u8]) -> PathBuf {
        let path = self.0.path().join("factors.csv");
        fs::write(&path, text).unwrap();
        path
    }

    /// The labels of three images in a table beside them.
    fn of_files(&self, text: &[u8]) -> Result<FoundLabels> {
        let table = Table::read(&self.csv(text), TableRole::Factors)?;
        let files = ["a.png", "b/c.png", "d.png"].map(PathBuf::from);
        let images = ImagesToLabel { path: self.0.path(), len: 3, files: Some(&files) };
        of_table(table, &images, GapPolicy::Refused(COMPLETE))
    }

    /// The labels of `len` images without names.
    fn of_rows(&self, text: &[u8], len: usize) -> Result<FoundLabels> {
        let table = Table::read(&self.csv(text), TableRole::Factors)?;
        of_table(
            table,
            &ImagesToLabel { path: self.0.path(), len, files: None },
            GapPolicy::Refused(COMPLETE),
        )
    }

    fn npz(&self, write: impl FnOnce(&mut NpzWriter) -> Result<()>) -> ArrayFile {
        let path = self.0.path().join("x.npz");
        let mut npz = NpzWriter::create(&path).unwrap();
        npz.add("imgs", &[4, 1, 1], &[0_u8; 4]).unwrap();
        write(&mut npz).unwrap();
        npz.finish().unwrap();
        ArrayFile::open(&path).unwrap()
    }
}

fn rows(labels: &FoundLabels) -> Vec<Vec<usize>> {
    let factors = labels.factors.as_ref().unwrap();
    (0..factors.len()).map(|i| factors.classes(i)).collect()
}

fn names(labels: &FoundLabels) -> Vec<&str> {
    let factors = labels.factors.as_ref().unwrap().factors();
    factors.iter().map(|factor| factor.name.as_str()).collect()
}

#[test]
fn a_table_is_joined_by_file_name() {
    let files = Files::new();
    let text =
        b"file, shape, size\nd.png,square,2.5\r\n./b/c.png,\"round, red\",-1\na.png,square,1e2\n";
    let labels = files.of_files(text).unwrap();
    assert_eq!(names(&labels), ["shape", "size"]);
    let factors = labels.factors.as_ref().unwrap().factors();
    assert_eq!(factors[0].words, ["round, red", "square"]);
    assert_eq!(
        (factors[0].class_name(1), factors[1].class_name(2)),
        ("square".into(), "100".into())
    );
    assert_eq!(factors[1].values, [-1.0, 2.5, 100.0]);
    assert_eq!(rows(&labels), [[1, 2], [0, 0], [1, 1]]);
    // Without a line of names; with the names of the files elsewhere, under another name, without endings.
    for text in [
        "a.png,3\nb\\c.png,2\nd.png,3\n",
        "x,picture\n3,a.png\n2,b/c.png\n3,d.png\n",
        ",x,picture\n0,3,a\n1,2,c\n2,3,d\n",
        "\u{feff}f,x\na.png,3\nb/c.png,2\nd.png,3\n",
    ] {
        assert_eq!(rows(&files.of_files(text.as_bytes()).unwrap()), [[1], [0], [1]], "{text}");
    }
}

#[test]
fn rows_about_other_images_are_counted() {
    let files = Files::new();
    let text = b"file,x\na.png,1\nb/c.png,1\ne.png,\nd.png,2\n";
    let labels = files.of_files(text).unwrap();
    assert_eq!(labels.notes, ["1 of its 4 rows are about no image here, such as line 4 (`e.png`)"]);
    assert_eq!(rows(&labels), [[0], [0], [1]], "what is missing in such a row does no harm");
}

#[test]
fn tables_that_do_not_fit_are_explained() {
    let files = Files::new();
    let reason = |text: &[u8]| {
        let path = files.csv(b"");
        let error = files.of_files(text).err().unwrap().to_string();
        error.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
    };
    assert_eq!(reason(b"file,x\na.png,1\nd.png,2\n"), "no row is about `b/c.png`: 1 of 3 images");
    assert_eq!(
        reason(b"file,x\na.png,1\nb/c.png,1\na.png,2\nd.png,1\n"),
        "line 2 and line 4 are both about `a.png`"
    );
    assert_eq!(
        reason(b"file,x\na.png,1\nb/c.png,\nd.png,2\n"),
        "line 3 (`b/c.png`), column `x` is empty or NA"
    );
    assert_eq!(
        reason(b"file,x\na.png,1,2\nb/c.png,1\n"),
        "not a table: line 2 has 3 cells, the first one 2"
    );
    let no_factors = "no column is a factor: expected numbers or words that recur";
    assert_eq!(reason(b"file\na.png\nb/c.png\nd.png\n"), no_factors);
    assert_eq!(reason(b"x\n1\n2\n3\n"), "no column has the names of the image files");
    assert_eq!(reason(b""), "expected a table, found an empty file");
    assert_eq!(reason(b"file,x\na.png,\xff\n"), "line 2 is not UTF-8");
}

#[test]
fn a_table_that_lies_there_is_used_or_said_to_be_not() {
    let files = Files::new();
    let names = ["a.png", "d.png"].map(PathBuf::from);
    let images = ImagesToLabel { path: files.0.path(), len: 2, files: Some(&names) };
    let lying = |text: &[u8]| {
        labels_beside(Table::read(&files.csv(text), TableRole::Factors), "factors.csv", &images)
    };
    let labels = lying(b"file,x,y\na.png,1,2\nd.png,1,3\n").unwrap();
    assert_eq!(labels.notes, ["factors from factors.csv: x, y"]);
    for (text, expected) in [
        (
            &b"file,x\nu.png,1\nv.png,2\n"[..],
            "factors.csv is not used: none of its 2 names is one of",
        ),
        (b"file,x\na.png,1\n", "factors.csv is not used: no row is about `d.png`: 1 of 2 images"),
        (b"file,x\na.png\n", "factors.csv is not used: not a table: line 2 has 1 cell"),
    ] {
        let labels = lying(text).unwrap();
        assert!(
            labels.factors.is_none() && labels.notes[0].starts_with(expected),
            "{:?}",
            labels.notes
        );
    }
    // One that is about the images and has gaps is an error with a way out.
    let error = lying(b"file,x\na.png,1\nd.png,NA\n").err().unwrap();
    assert!(error.to_string().ends_with("line 3 (`d.png`), column `x` is empty or NA"), "{error}");
    assert!(error.hint().unwrap().contains("data.labels=none"));
}

#[test]
fn captions_are_no_factors() {
    let files = Files::new();
    let mut text = "text,colour\n".to_owned();
    (0..40).for_each(|i| text += &format!("caption {i},{}\n", ["red", "blue"][i % 2]));
    let labels = files.of_rows(text.as_bytes(), 40).unwrap();
    assert_eq!(names(&labels), ["colour"]);
    assert_eq!(labels.notes[1], "column `text` is left out: 40 different words in 40 rows");
}

#[test]
fn arrays_beside_the_images_are_found() {
    let files = Files::new();
    let path = files.0.path().join("x.npz");
    let mut source = files.npz(|npz| {
        npz.add("latents_classes", &[4, 2], &[9_i64; 8])?;
        npz.add("labels", &[3], &[1_i64; 3])?;
        npz.add("latents_values", &[4, 2], &[0.5, 1.0, 0.5, 2.0, 1.5, 1.0, 1.5, 2.0])
    });
    let labels = among(&mut source, 0, 4, &path);
    assert_eq!(names(&labels), ["factor_0", "factor_1"]);
    assert!(matches!(labels.factors, Some(Factors::Grid(_))));
    assert_eq!(rows(&labels), [[0, 0], [0, 1], [1, 0], [1, 1]]);
    assert_eq!(labels.notes, ["factors from array `latents_values`: factor_0, factor_1"]);

    let mut source = files.npz(|npz| {
        npz.add_text("factor_names", &["Größe"])?;
        npz.add("y", &[4], &[3_i64, -1, 3, 3])
    });
    let labels = among(&mut source, 0, 4, &path);
    assert_eq!((names(&labels), rows(&labels).concat()), (vec!["Größe"], vec![1, 0, 1, 1]));
    // Labels of other images are none of these.
    assert!(among(&mut source, 0, 3, &path).factors.is_none());

    // Words are classes.
    let mut source = files.npz(|npz| npz.add_text("labels", &["dog", "cat", "dog", "dog"]));
    let labels = among(&mut source, 0, 4, &path);
    assert_eq!(labels.factors.as_ref().unwrap().factors()[0].words, ["cat", "dog"]);
    // Labels with gaps leave the images without factors, and say so.
    let mut source = files.npz(|npz| npz.add("y", &[4], &[0.0, f64::NAN, 1.0, 1.0]));
    let labels = among(&mut source, 0, 4, &path);
    assert!(labels.factors.is_none());
    assert!(labels.notes[0].contains("row 1, column `label` is empty or NA"), "{:?}", labels.notes);
}

#[test]
fn one_of_several_arrays_has_its_own_labels() {
    for (images, expected) in
        [("train_images", "train_labels"), ("x_test", "y_test"), ("X_train", "y_train"), ("x", "y")]
    {
        assert!(own_labels(images).contains(&expected.to_owned()), "{images}");
    }
}

#[test]
fn rows_of_a_table_or_array_of_their_own() {
    let files = Files::new();
    let labels = files.of_rows(b"x,y\n1,b\n2,a\n1,a\n", 3).unwrap();
    assert_eq!(
        (names(&labels), rows(&labels)),
        (vec!["x", "y"], vec![vec![0, 1], vec![1, 0], vec![0, 0]])
    );
    assert_eq!(labels.notes, ["its rows are taken in the order of the images"]);
    let by_index = files.of_rows(b"index,y\n2,b\n0,a\n1,a\n", 3).unwrap();
    assert_eq!(rows(&by_index), [[0], [0], [1]]);
    let error = files.of_rows(b"x,y\n1,b\n", 3).err().unwrap().to_string();
    assert!(error.contains("found 3 and 1"), "{error}");
}

#[test]
fn dsprites_has_its_names() {
    let factor = |(i, size)| Factor::linspace(&format!("factor_{i}"), 0.0, 1.0, size);
    let sizes = [1, 3, 6, 40, 32, 32].into_iter().enumerate();
    let factors = sizes.map(factor).collect();
    let mut grid = Factors::Grid(crate::data::FactorGrid { factors });
    name_dsprites(&mut grid);
    let names: Vec<&str> = grid.factors().iter().map(|factor| factor.name.as_str()).collect();
    assert_eq!(names, ["color", "shape", "scale", "orientation", "posX", "posY"]);
}

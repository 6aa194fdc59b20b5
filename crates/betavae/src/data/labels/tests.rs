use std::fs;

use super::*;
use crate::data::Factor;
use crate::npz::NpzWriter;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn csv(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("factors.csv");
        fs::write(&path, text).unwrap();
        path
    }

    fn npz(&self, write: impl FnOnce(&mut NpzWriter) -> Result<()>) -> Source {
        let path = self.0.path().join("x.npz");
        let mut npz = NpzWriter::create(&path).unwrap();
        npz.add("imgs", &[4, 1, 1], &[0_u8; 4]).unwrap();
        write(&mut npz).unwrap();
        npz.finish().unwrap();
        Source::open(&path).unwrap()
    }
}

fn images() -> Vec<PathBuf> {
    ["a.png", "b/c.png", "d.png"].map(PathBuf::from).to_vec()
}

fn rows(factors: &Factors) -> Vec<Vec<usize>> {
    (0..factors.len()).map(|i| factors.classes(i)).collect()
}

fn names(factors: &Factors) -> Vec<&str> {
    factors.factors().iter().map(|factor| factor.name.as_str()).collect()
}

#[test]
fn a_table_is_joined_by_file_name() {
    let files = Files::new();
    let text =
        "file, shape, size\nd.png,square,2.5\r\n./b/c.png,\"round, red\",-1\na.png,square,1e2\n";
    let factors = of_files(&files.csv(text), None, &images()).unwrap();
    assert_eq!(names(&factors), ["shape", "size"]);
    assert_eq!(factors.factors()[1].values, [-1.0, 2.5, 100.0]);
    assert_eq!(rows(&factors), [[1, 2], [0, 0], [1, 1]]);

    // Without a line of names, and with what Excel puts in front.
    let factors = of_files(&files.csv("a.png,3\nb\\c.png,2\nd.png,3\n"), None, &images()).unwrap();
    assert_eq!(
        (names(&factors), rows(&factors)),
        (vec!["factor_0"], vec![vec![1], vec![0], vec![1]])
    );
    let factors =
        of_files(&files.csv("\u{feff}f,x\na.png,1\nb/c.png,0\nd.png,1\n"), None, &images());
    assert_eq!(names(&factors.unwrap()), ["x"]);
}

#[test]
fn tables_that_do_not_fit_are_explained() {
    let files = Files::new();
    let reason = |text: &[u8]| {
        let path = files.csv("");
        fs::write(&path, text).unwrap();
        let error = of_files(&path, None, &images()).unwrap_err().to_string();
        error.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
    };
    assert_eq!(reason(b"file,x\na.png,1\nd.png,2\n"), "no row is about `b/c.png`: 1 of 3 images");
    assert_eq!(
        reason(b"file,x\na.png,1\nb/c.png,1\nd.png,2\ne.png,3\n"),
        "row 4 is about `e.png`, which is no image here"
    );
    assert_eq!(
        reason(b"file,x\na.png,1\nb/c.png,1\na.png,2\nd.png,1\n"),
        "rows 1 and 3 are both about `a.png`"
    );
    assert_eq!(reason(b"file,x\na.png,1\nb/c.png,\nd.png,2\n"), "row 2, column `x` is empty");
    assert_eq!(
        reason(b"file,x\na.png,1,2\nb/c.png,1\n"),
        "not a table: line 2 has 3 cells, the first one 2"
    );
    let no_factors = "expected a line of names, and rows with at least one factor each";
    assert_eq!(reason(b"file\na.png\nb/c.png\nd.png\n"), no_factors);
    assert_eq!(reason(b""), "no row is about `a.png`: 3 of 3 images");
    assert_eq!(reason(b"file,x\na.png,\xff\n"), "not a table: line 2 is not UTF-8");
}

#[test]
fn arrays_beside_the_images_are_found() {
    let files = Files::new();
    let mut source = files.npz(|npz| {
        npz.add("latents_classes", &[4, 2], &[9_i64; 8])?;
        npz.add("labels", &[3], &[1_i64; 3])?;
        npz.add("latents_values", &[4, 2], &[0.5, 1.0, 0.5, 2.0, 1.5, 1.0, 1.5, 2.0])
    });
    let factors = among(&mut source, 0, 4).unwrap().unwrap();
    assert_eq!(names(&factors), ["factor_0", "factor_1"]);
    assert!(matches!(factors, Factors::Grid(_)));
    assert_eq!(rows(&factors), [[0, 0], [0, 1], [1, 0], [1, 1]]);

    let mut source = files.npz(|npz| {
        npz.add_text("factor_names", &["Größe"])?;
        npz.add("y", &[4], &[3_i64, -1, 3, 3])
    });
    let factors = among(&mut source, 0, 4).unwrap().unwrap();
    assert_eq!((names(&factors), rows(&factors).concat()), (vec!["Größe"], vec![1, 0, 1, 1]));
    // Labels of other images are none of these.
    assert_eq!(among(&mut source, 0, 3).unwrap(), None);
    let error = of_rows(&files.0.path().join("x.npz"), 3).unwrap_err().to_string();
    assert!(error.ends_with("array `y`: expected a row for each of 3 images, found 4"), "{error}");

    let mut source = files.npz(|npz| npz.add("y", &[4], &[0.0, f64::NAN, 1.0, 1.0]));
    let error = among(&mut source, 0, 4).unwrap_err().to_string();
    assert!(error.ends_with("factor label: expected numbers, found NaN in row 1"), "{error}");
}

#[test]
fn rows_of_a_table_or_array_of_their_own() {
    let files = Files::new();
    let factors = of_rows(&files.csv("x,y\n1,b\n2,a\n1,a\n"), 3).unwrap();
    assert_eq!(
        (names(&factors), rows(&factors)),
        (vec!["x", "y"], vec![vec![0, 1], vec![1, 0], vec![0, 0]])
    );
    let error = of_rows(&files.csv("x,y\n1,b\n"), 3).unwrap_err().to_string();
    assert!(error.ends_with("expected a row for each of 3 images, found 1"), "{error}");
}

#[test]
fn dsprites_has_its_names() {
    let factor = |(i, size)| Factor::linspace(&format!("factor_{i}"), 0.0, 1.0, size);
    let sizes = [1, 3, 6, 40, 32, 32].into_iter().enumerate();
    let factors = sizes.map(factor).collect();
    let mut grid = Factors::Grid(crate::data::FactorGrid { factors });
    name_dsprites(&mut grid);
    assert_eq!(names(&grid), ["color", "shape", "scale", "orientation", "posX", "posY"]);
}

//! Codes and factors from files of every format, joined and in order.

use std::fs;

use super::*;
use crate::npz::NpzWriter;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, codes: &str, factors: &str) -> Result<CodesAndFactors> {
        CodesAndFactors::read(&self.file("z.csv", codes), &[], &self.file("f.csv", factors))
    }

    /// The error without the folder.
    fn error(&self, codes: &str, factors: &str) -> String {
        let error = self.read(codes, factors).unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn codes_and_factors_are_joined_by_name() {
    let folder = Folder::new();
    let codes = "index,file,mean_0,log_var_0\n0,a.png,0.5,-1\n1,b.png,1.5,-2\n2,c.png,2.5,-3\n";
    let files = folder.read(codes, "shape,file\nheart,c.png\nsquare,a.png\nheart,b.png\n").unwrap();
    assert_eq!(files.codes.mean.latent(0), [0.5, 1.5, 2.5]);
    assert_eq!(files.codes.log_var.unwrap().latent(0), [-1.0, -2.0, -3.0]);
    // In the order of the alphabet: heart, square.
    assert_eq!(
        (files.factors.factor(0), &files.names[..]),
        (vec![1, 0, 0], &["shape".to_owned()][..])
    );
    assert!(files.notes.iter().any(|note| note.contains("joined to")), "{:?}", files.notes);
}

#[test]
fn a_column_that_numbers_the_rows_is_no_latent() {
    let folder = Folder::new();
    let rows = |row: &dyn Fn(usize) -> String| (0..12).map(row).collect::<String>();
    let text = rows(&|i| format!("{},{i}.5,{}\n", 3 * i, i % 4));
    let (codes, notes) = read_codes(&folder.file("z.csv", &format!("nr,a,b\n{text}"))).unwrap();
    assert_eq!(codes.mean.latents(), 2, "`a` rises as well, but in halves");
    assert!(notes[0].contains("`nr` numbers the rows and is left out"), "{notes:?}");
    // Whole numbers alone are codes.
    let (codes, _) =
        read_codes(&folder.file("z.csv", &rows(&|i| format!("{i},{}\n", i % 4)))).unwrap();
    assert_eq!(codes.mean.latents(), 2);
}

#[test]
fn latents_are_in_the_order_of_their_numbers() {
    let folder = Folder::new();
    let names: Vec<String> =
        [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9].map(|i| format!("mean_{i}")).to_vec();
    let text = format!("{}\n0,1,10,2,3,4,5,6,7,8,9\n", names.join(","));
    let (codes, _) = read_codes(&folder.file("z.csv", &text)).unwrap();
    assert_eq!(codes.mean.row(0), (0..11).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn one_set_of_codes_is_the_same_in_every_form() {
    let folder = Folder::new();
    let values: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
    let path = folder.0.path().join("z.npz");
    let mut npz = NpzWriter::create(&path).unwrap();
    npz.add("mean", &[4, 3], &values).unwrap();
    npz.finish().unwrap();
    let expected = read_codes(&path).unwrap().0.mean;
    let wide = folder.0.path().join("wide.npz");
    let mut npz = NpzWriter::create(&wide).unwrap();
    npz.add("codes", &[4, 3], &values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()).unwrap();
    npz.finish().unwrap();
    assert_eq!(read_codes(&wide).unwrap().0.mean, expected);
    let rows = |separator: &str| -> String {
        let row = |row: &[f32]| row.iter().map(f32::to_string).collect::<Vec<_>>().join(separator);
        values.chunks(3).map(row).collect::<Vec<_>>().join("\n")
    };
    for (name, text) in [
        ("z.csv", rows(",")),
        ("z.tsv", rows("\t")),
        ("s.csv", rows(";")),
        ("z.txt", rows(" ")),
        (
            "i.csv",
            format!(
                ",0,1,2\n{}",
                (0..4)
                    .zip(rows(",").lines())
                    .map(|(i, row)| format!("{i},{row}\n"))
                    .collect::<String>()
            ),
        ),
    ] {
        assert_eq!(read_codes(&folder.file(name, &text)).unwrap().0.mean, expected, "{name}");
    }
}

#[test]
fn codes_that_are_no_numbers_are_named() {
    let folder = Folder::new();
    let factors = "x\na\nb\na\n";
    for (codes, expected) in [
        ("z,w\n1,x\n2,y\n3,x\n", "z.csv: line 2, column `w` is `x`, expected a number: a code"),
        ("z,w\n1,2\n2,NA\n3,4\n", "z.csv: line 3, column `w` is empty or NA"),
        (
            "z\n1\n2\n",
            "rows of z.csv and f.csv: expected as many, since neither names nor an index tell which belong together, found 2 and 3",
        ),
        (
            "log_var_0\n1\n2\n3\n",
            "z.csv: it has columns `log_var_0` .., but none called `mean_0` ..",
        ),
    ] {
        assert_eq!(folder.error(codes, factors), expected);
    }
    let error = folder.error("1.5,2,3\n4,5,6.5\n", "x\na\nb\na\n");
    assert!(error.contains("there are 3 rows of factors"), "{error}");
    assert_eq!(
        folder.error("z\n1\n2\n3\n", "x\na\n\nNA\nb\n"),
        "f.csv: line 4, column `x` is empty or NA"
    );
}

#[test]
fn an_index_puts_rows_back_in_order() {
    let folder = Folder::new();
    let factors = folder.file("f.csv", ",size\n0,0\n1,1\n2,2\n3,0\n4,1\n");
    let sorted = folder.file("z.csv", ",a,b\n0,0.5,1\n1,1.5,0\n2,2.5,1\n3,0.1,1\n4,1.1,0\n");
    let shuffled = folder.file("s.csv", ",a,b\n3,0.1,1\n1,1.5,0\n0,0.5,1\n4,1.1,0\n2,2.5,1\n");
    let read = |codes: &Path| CodesAndFactors::read(codes, &[], &factors).unwrap();
    let (sorted, shuffled) = (read(&sorted), read(&shuffled));
    assert_eq!(sorted.codes.mean, shuffled.codes.mean);
    assert_eq!(sorted.factors, shuffled.factors);
}

#[test]
fn what_is_noticed_in_codes_of_other_models_is_told() {
    let folder = Folder::new();
    let codes = folder.file("z.csv", "mean_0,mean_1\n0.5,1\n1.5,2\n2.5,1\n");
    let other = folder.file("y.csv", "mean_0,,mean_1\n0.5,7,1\n1.5,7,2\n2.5,8,1\n");
    let factors = folder.file("f.csv", "x\na\nb\na\n");
    let files = CodesAndFactors::read(&codes, &[other], &factors).unwrap();
    let of_other: Vec<&String> =
        files.notes.iter().filter(|note| note.contains("y.csv: ")).collect();
    let [first, second] = of_other[..] else { panic!("{:?}", files.notes) };
    assert!(first.contains("3 codes of 2 latents"), "{first}");
    assert!(second.contains("column 1 has no name"), "{second}");
}

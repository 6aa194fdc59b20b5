//! What users hand in, through the real binary: it is understood, or refused by name, and what was read is said.

#[allow(dead_code)]
mod common;

use std::fs;
use std::path::Path;

use common::{path, refuse, run, succeed, train_tiny};
use serde_json::Value;

/// Runs the binary, which must succeed, and returns what it says.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?} failed:\n{stderr}");
    stderr
}

/// Codes that tell three factors, with names in another order than those of the factors.
struct Codes(tempfile::TempDir);

const ROWS: usize = 300;

impl Codes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn factors(row: usize) -> [usize; 2] {
        [row % 3, row / 3 % 4]
    }

    fn code(row: usize) -> [f64; 3] {
        let noise = |k: usize| ((row * 37 + k * 101) as f64 * 0.618).fract() * 0.3;
        let [a, b] = Self::factors(row).map(|class| class as f64);
        [a + noise(0), noise(1), b + noise(2)]
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let file = self.0.path().join(name);
        fs::write(&file, bytes).unwrap();
        path(&file).to_owned()
    }

    /// Rows of codes with what stands before them.
    fn codes(separator: &str, before: impl Fn(usize) -> String) -> String {
        let row = |row: usize| {
            let code = Self::code(row).map(|code| code.to_string()).join(separator);
            format!("{}{code}\n", before(row))
        };
        (0..ROWS).map(row).collect()
    }

    fn mig(&self, codes: &str, factors: &str) -> Value {
        let found = succeed(&[
            "score",
            "--codes",
            codes,
            "--factors",
            factors,
            "--metrics",
            "mig,sap",
            "--json",
        ]);
        serde_json::from_str(&found).unwrap()
    }
}

#[test]
fn codes_and_factors_in_any_form_and_order_give_the_same_scores() {
    let folder = Codes::new();
    let turned = |row: usize| (row * 7 + 5) % ROWS;
    let factors = |row: usize| Codes::factors(row).map(|class| class.to_string()).join(",");
    let by_row: String = (0..ROWS).map(|row| factors(row) + "\n").collect();
    let plain = folder.file("f.csv", &by_row);
    let named: String =
        (0..ROWS).map(turned).map(|row| format!("{},x/{row:03}.png\n", factors(row))).collect();
    let named = folder.file("named.csv", format!("a,b,image\n{named}"));
    let indexed: String =
        (0..ROWS).map(turned).map(|row| format!("{row},{}\n", factors(row))).collect();
    let indexed = folder.file("indexed.csv", format!(",a,b\n{indexed}"));
    let words: String = (0..ROWS)
        .map(|row| format!("w{}\t{}\n", Codes::factors(row)[0], Codes::factors(row)[1]))
        .collect();
    let words = folder.file("words.tsv", format!("a\tb\n{words}"));

    let none = |_: usize| String::new();
    let expected = folder.mig(&folder.file("z.csv", Codes::codes(",", none)), &plain);
    assert!(expected["mig"]["value"].as_f64().unwrap() > 0.5, "{expected}");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let json: String = (0..ROWS)
        .map(|row| {
            let [a, b, c] = Codes::code(row);
            format!("{{\"z9\": {a:?}, \"z10\": {b:?}, \"z2\": {c:?}}}\n")
        })
        .collect();
    for (codes, factors) in [
        (folder.file("z.tsv", Codes::codes("\t", none)), &plain),
        (folder.file("s.csv", Codes::codes(";", none)), &words),
        (folder.file("z.txt", Codes::codes(" ", none)), &words),
        (folder.file("u.csv", utf16(&Codes::codes(",", none))), &plain),
        (folder.file("h.csv", format!("0,1,2\n{}", Codes::codes(",", none))), &plain),
        (folder.file("z.jsonl", json), &plain),
        (
            folder.file(
                "i.csv",
                format!(",z0,z1,z2\n{}", Codes::codes(",", |row| format!("{row},"))),
            ),
            &indexed,
        ),
        (
            folder.file(
                "n.csv",
                format!("file,z0,z1,z2\n{}", Codes::codes(",", |row| format!("{row:03},"))),
            ),
            &named,
        ),
    ] {
        assert_eq!(folder.mig(&codes, factors), expected, "{codes} {factors}");
    }
    // Rows without a partner are counted and named.
    let fewer =
        folder.file("fewer.csv", "file,a\n000.png,0\n001.png,1\n002.png,1\n003.png,0\nno.png,1\n");
    let text = said(&[
        "score",
        "--codes",
        path(&folder.0.path().join("n.csv")),
        "--factors",
        &fewer,
        "--metrics",
        "mig",
    ]);
    assert!(text.contains("296 of 300 rows") && text.contains("`no.png`"), "{text}");
    let gap = folder.file("gap.csv", by_row.replacen("0,0\n", "NA,0\n", 1));
    let error =
        refuse(1, &["score", "--codes", path(&folder.0.path().join("z.csv")), "--factors", &gap]);
    assert!(error.contains("line 1, column `0` is empty or NA"), "{error}");
}

fn photos(folder: &Path, count: u8) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let image = image::RgbImage::from_pixel(16, 16, image::Rgb([i * 10, 100, 200]));
        image.save(folder.join(format!("{i:02}.png"))).unwrap();
    }
}

const NETWORK: [&str; 6] = [
    "--set",
    "model.architecture=custom",
    "--set",
    "model.widths=[4,8]",
    "--set",
    "model.hidden=[16]",
];

#[test]
fn a_run_in_the_folder_of_its_images_goes_on_after_a_move() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("my photos");
    photos(&place, 8);
    let run_folder = place.join("runs/x");
    let train = ["train", "--data", path(&place), "--steps", "3", "--out", path(&run_folder)];
    succeed(&[&train[..], &NETWORK].concat());
    let text = said(&["resume", path(&run_folder), "--steps", "5"]);
    assert!(text.contains("runs/x is the folder of a run and left out"), "{text}");

    let moved = scratch.path().join("elsewhere");
    fs::rename(&place, &moved).unwrap();
    let run_folder = moved.join("runs/x");
    let error = refuse(2, &["resume", path(&run_folder), "--steps", "7"]);
    assert!(error.contains("are not there") && error.contains("--data PATH"), "{error}");
    let error = refuse(2, &["evaluate", path(&run_folder)]);
    assert!(error.contains("--data INPUT"), "{error}");
    let other = scratch.path().join("other");
    photos(&other, 7);
    let error = refuse(1, &["resume", path(&run_folder), "--steps", "7", "--data", path(&other)]);
    assert!(error.contains("this is not the data the run was trained on"), "{error}");
    succeed(&["resume", path(&run_folder), "--steps", "7", "--data", path(&moved)]);
    // From now on it knows the place.
    succeed(&["resume", path(&run_folder), "--steps", "9"]);
    succeed(&["evaluate", path(&run_folder)]);
}

#[test]
fn settings_apply_everywhere_or_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let run_folder = scratch.path().join("run");
    let train = [
        "train",
        "--data",
        "dsprites",
        "--set",
        "data.size=32",
        "--steps",
        "2",
        "--out",
        path(&run_folder),
    ];
    let text = said(&[&train[..], &NETWORK].concat());
    assert!(text.contains("images are resized from 64x64 to 32x32"), "{text}");
    succeed(&["evaluate", path(&run_folder), "--limit", "20"]);
    let error = refuse(1, &["evaluate", path(&run_folder), "--limit", "20", "--set", "data.size="]);
    assert!(error.contains("data.size=[32,32]"), "{error}");
    let error = refuse(2, &["data", "info", "dsprites", "--set", "data.key=x"]);
    assert!(error.contains("data.key does not apply to dsprites"), "{error}");
    assert!(error.contains("what applies is data.size, data.crop, data.channels"), "{error}");
    let error =
        refuse(2, &["encode", path(&run_folder), "--set", "train.steps=3", "--output", "x.npz"]);
    assert!(error.contains("only keys of [data]"), "{error}");
    for (arguments, hint) in [
        (&["train", "--set", "beta=4"][..], "objective.beta=4"),
        (&["train", "--data", "dsprite"], "did you mean `dsprites`?"),
        (&["train", "dsprites"], "--data dsprites"),
        (&["train", path(scratch.path())], "--data "),
        (&["train", "burgess2018-dsprite"], "did you mean `burgess2018-dsprites`?"),
        (&["train", "--set", "data.size=axb"], "such as [64, 64]"),
    ] {
        let error = refuse(2, arguments);
        assert!(error.contains(hint), "{arguments:?}: {error}");
    }
}

#[test]
fn counts_of_nothing_and_unknown_endings_are_refused_and_leave_what_is_there() {
    let scratch = tempfile::tempdir().unwrap();
    let run_folder = scratch.path().join("run");
    train_tiny(&run_folder, 3, &[]);
    let run_folder = path(&run_folder);
    let old = scratch.path().join("old.png");
    fs::write(&old, "old").unwrap();
    let (png, npz) = (path(&old), scratch.path().join("x.npz"));
    for arguments in [
        &["sample", run_folder, "--count", "0", "--output", png][..],
        &["sample", run_folder, "--count", "100000000", "--output", png],
        &["reconstruct", run_folder, "--count", "0", "--output", png],
        &["traverse", run_folder, "--frames", "0", "--output", png],
        &["encode", run_folder, "--limit", "0", "--output", path(&npz)],
        &["evaluate", run_folder, "--limit", "0"],
        &["data", "export", "blobs", "--output", png],
        &["explore", run_folder, "--output", png],
        &["report", run_folder, "--output", png],
        &["traverse", run_folder, "--output", "x.pdf"],
    ] {
        refuse(2, arguments);
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    assert!(!npz.exists());
    // Many are written in pieces, and are those of one piece.
    succeed(&["sample", run_folder, "--count", "300", "--output", path(&npz)]);
    let small = scratch.path().join("small.npz");
    succeed(&["sample", run_folder, "--count", "10", "--output", path(&small)]);
    let images = |file: &Path| betavae::npz::read_f32(file, "images").unwrap();
    assert_eq!(images(&npz).0, [300, 64, 64, 1]);
    assert!(images(&npz).1[..10 * 4096] == images(&small).1[..]);
}

#[test]
fn what_encode_writes_can_be_decoded_and_scored() {
    let scratch = tempfile::tempdir().unwrap();
    let run_folder = scratch.path().join("run");
    train_tiny(&run_folder, 3, &[]);
    let run_folder = path(&run_folder);
    let at = |name: &str| path(&scratch.path().join(name)).to_owned();
    let mut decoded = Vec::new();
    for name in ["z.npz", "z.npy", "z.csv", "z.parquet"] {
        succeed(&["encode", run_folder, "--limit", "40", "--output", &at(name)]);
        succeed(&["decode", run_folder, "--input", &at(name), "--output", &at("images.npz")]);
        decoded.push(betavae::npz::read_f32(Path::new(&at("images.npz")), "images").unwrap());
    }
    assert!(decoded.iter().all(|images| *images == decoded[0]));
}

#[test]
fn damaged_files_are_named_together_and_may_be_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    photos(scratch.path(), 6);
    fs::write(scratch.path().join("01.png"), "").unwrap();
    fs::write(scratch.path().join("03.png"), "<html>").unwrap();
    fs::write(scratch.path().join("notes.md"), "x").unwrap();
    let folder = path(scratch.path());
    let error = refuse(1, &["data", "info", folder]);
    assert!(
        error.contains("2 of 6 images cannot be read: 01.png: it is an empty file; 03.png"),
        "{error}"
    );
    assert!(error.contains("data.skip_damaged=true"), "{error}");
    let info = succeed(&["data", "info", folder, "--set", "data.skip_damaged=true", "--json"]);
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["images"], 4);
    let notes = info["notes"].to_string();
    assert!(notes.contains("2 images left out") && notes.contains("1 .md"), "{notes}");
}

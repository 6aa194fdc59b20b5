//! Which files of a folder or archive are images, labels, parts, or left out.

use std::fs::{self, File};
use std::io::Write;

use super::super::tests::{Photos, open_path};
use crate::data::{DataConfig, Dataset, Factors};

fn names(data: &dyn Dataset) -> Vec<&str> {
    let factors = data.factors().map_or(&[][..], Factors::factors);
    factors.iter().map(|factor| factor.name.as_str()).collect()
}

fn classes(data: &dyn Dataset) -> Vec<Vec<usize>> {
    (0..data.len()).map(|i| data.factors().unwrap().classes(i)).collect()
}

/// Whether a note has these words.
fn says(data: &dyn Dataset, words: &str) -> bool {
    data.notes().iter().any(|note| note.contains(words))
}

/// Four grey images in a folder or in the folders of a part and a class.
fn photos(names: &[&str]) -> Photos {
    let photos = Photos::new();
    names.iter().enumerate().for_each(|(i, name)| photos.grey(name, [2, 3], i as u8));
    photos
}

#[test]
fn tables_are_found_whatever_they_are_called() {
    for (name, text) in [
        ("factors.csv", "file,size\na.png,1\nb.png,0\n"),
        ("Factors.CSV", "file,size\na.png,1\nb.png,0\n"),
        ("labels.tsv", "image\tsize\nb\t0\na\t1\n"),
        ("metadata.csv", "file_name,size\nb.png,0\na.png,1\n"),
        (
            "metadata.jsonl",
            "{\"file_name\": \"b.png\", \"size\": 0}\n{\"size\": 1, \"file_name\": \"a.png\"}\n",
        ),
    ] {
        let photos = photos(&["a.png", "b.png"]);
        photos.file(name, text.as_bytes());
        let data = photos.open();
        assert_eq!(
            (names(&data), classes(&data)),
            (vec!["size"], vec![vec![1], vec![0]]),
            "{name}"
        );
        assert!(says(&data, &format!("factors from {name}: size")), "{:?}", data.notes());
    }
}

#[test]
fn one_of_several_tables_counts_and_the_others_are_named() {
    let photos = photos(&["a.png", "b.png"]);
    photos.file("metadata.csv", b"file,x\na.png,1\nb.png,0\n");
    photos.file("factors.csv", b"file,size\na.png,1\nb.png,0\n");
    photos.file("other.csv", b"file,size\na.png,1\nb.png,0\n");
    let data = photos.open();
    assert_eq!(names(&data), ["size"]);
    assert!(says(&data, "other.csv lies there unused: `--set data.labels=other.csv` reads it"));
    assert!(says(&data, "metadata.csv lies there unused"));
    assert_eq!(names(&photos.open_with("labels = \"metadata.csv\"").unwrap()), ["x"]);
    assert!(names(&photos.open_with("labels = \"none\"").unwrap()).is_empty());
}

#[test]
fn archives_may_have_the_folder_in_them() {
    let photos = Photos::new();
    photos.grey("a.png", [2, 3], 7);
    let png = fs::read(photos.path("a.png")).unwrap();
    fs::remove_file(photos.path("a.png")).unwrap();
    for slash in ["/", "\\"] {
        let path = photos.path("photos.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let table = b"file,size\na.png,1\nb.png,0\n";
        let files =
            [("a.png", &png[..]), ("b.png", &png), ("factors.csv", table), ("readme.md", b"x")];
        for (name, bytes) in files {
            zip.start_file(
                format!("photos{slash}{name}"),
                zip::write::SimpleFileOptions::default(),
            )
            .unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        let data = open_path(&path, &DataConfig::default()).unwrap();
        assert_eq!(
            (names(&data), classes(&data)),
            (vec!["size"], vec![vec![1], vec![0]]),
            "{slash}"
        );
        assert!(says(&data, "1 file of other kinds left out: 1 .md"), "{:?}", data.notes());
    }
}

#[test]
fn folders_are_classes_and_parts() {
    let photos = photos(&[
        "set/train/cat/0.png",
        "set/train/cat/1.png",
        "set/train/dog/2.png",
        "set/train/dog/deep/3.png",
        "set/val/cat/4.png",
        "set/val/dog/5.png",
    ]);
    let data = photos.open();
    assert_eq!(names(&data), ["class"]);
    assert_eq!(data.factors().unwrap().factors()[0].words, ["cat", "dog"]);
    assert_eq!(classes(&data).concat(), [0, 0, 1, 1, 0, 1]);
    assert!(
        says(&data, "train 4, valid 2; `--set data.split=train` reads one"),
        "{:?}",
        data.notes()
    );
    assert!(says(&data, "factor `class` from 2 folders: cat, dog"));
    let train = photos.open_with("split = \"train\"").unwrap();
    assert_eq!((train.len(), classes(&train).concat()), (4, vec![0, 0, 1, 1]));
    let (message, _) = photos.failure("split = \"test\"");
    assert!(message.ends_with("tell train, valid"), "{message}");
}

#[test]
fn folders_of_single_images_are_no_classes() {
    assert!(names(&photos(&["a/0.png", "b/1.png", "c/2.png"]).open()).is_empty());
    assert!(names(&photos(&["a/0.png", "a/1.png"]).open()).is_empty());
    assert!(
        names(&photos(&["a/0.png", "a/1.png", "b/2.png", "b/3.png", "4.png"]).open()).is_empty()
    );
}

#[test]
fn tables_of_parts_are_read_together() {
    let photos = photos(&["train/0.png", "train/1.png", "test/0.png"]);
    photos.file("train/metadata.csv", b"file_name,size\n0.png,1\n1.png,0\n");
    photos.file("test/metadata.csv", b"file_name,size\n0.png,5\n");
    let data = photos.open();
    // test/0, train/0, train/1
    assert_eq!(classes(&data).concat(), [2, 1, 0], "{:?}", data.notes());
    let train = photos.open_with("split = \"train\"").unwrap();
    assert_eq!(classes(&train).concat(), [1, 0], "{:?}", train.notes());
}

#[test]
fn what_a_run_has_written_is_no_data() {
    let photos = photos(&["a.png", "b.png", "runs/x-1/figures/step-1.png"]);
    photos.file("runs/x-1/config.toml", b"seed = 1");
    photos.file("runs/x-1/checkpoints/step-1/DONE", b"");
    let data = photos.open();
    assert_eq!(data.len(), 2);
    assert!(says(&data, "runs/x-1 is the folder of a run and left out"), "{:?}", data.notes());
    let error = open_path(&photos.path("runs/x-1"), &DataConfig::default()).err().unwrap();
    assert!(error.to_string().contains("this is the folder of a run"), "{error}");
}

#[test]
fn damaged_images_are_named_together_or_left_out() {
    let photos = photos(&["0.png", "1.png", "2.png", "3.png"]);
    photos.file("factors.csv", b"file,x\n0.png,a\n1.png,b\n2.png,c\n3.png,a\n");
    let whole = fs::read(photos.path("1.png")).unwrap();
    photos.file("1.png", b"");
    // Its header is good.
    photos.file("2.png", &whole[..whole.len() - 20]);
    let (message, hint) = photos.failure("");
    assert!(
        message.starts_with(
            "FOLDER: 2 of 4 images cannot be read: 1.png: it is an empty file; 2.png: "
        ),
        "{message}"
    );
    assert!(hint.contains("data.skip_damaged=true"));
    let data = photos.open_with("skip_damaged = true").unwrap();
    assert_eq!(data.len(), 2);
    assert_eq!(data.file_name(1).unwrap().to_str(), Some("3.png"));
    assert_eq!(classes(&data).concat(), [0, 0]);
    assert!(says(&data, "2 images left out because they are damaged"), "{:?}", data.notes());
    ["0.png", "2.png", "3.png"].iter().for_each(|name| photos.file(name, b"x"));
    let (message, _) = photos.failure("skip_damaged = true");
    assert!(message.starts_with("FOLDER: none of its 4 images can be read: 0.png: "), "{message}");
}

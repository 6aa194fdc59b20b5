//! Images in NumPy files of every layout and element type, and parts, labels and damage of such files.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::data::cache::Cache;
use crate::data::{DataConfig, Dataset};
use crate::npz::NpzWriter;
use crate::random::Stream;

/// The bytes of a `.npy` file with any header.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    npy_with(&dict, data)
}

fn npy_with(dict: &str, data: &[u8]) -> Vec<u8> {
    let length = (dict.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], dict.as_bytes(), data].concat()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn npz(&self, name: &str, write: impl FnOnce(&mut NpzWriter)) -> PathBuf {
        let mut npz = NpzWriter::create(self.path(name)).unwrap();
        write(&mut npz);
        npz.finish().unwrap();
        self.path(name)
    }

    /// A zip of already encoded members.
    fn zip(&self, name: &str, members: &[(&str, &[u8])]) -> PathBuf {
        use std::io::Write;
        let mut zip = zip::ZipWriter::new(fs::File::create(self.path(name)).unwrap());
        for (name, bytes) in members {
            let method = zip::CompressionMethod::Stored;
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        self.path(name)
    }
}

/// Opens a file; at most `memory` bytes of pixels are kept in memory, others in a folder beside it.
fn open_limited(path: &Path, config: &DataConfig, memory: u64) -> Result<StoredDataset> {
    let cache = Cache::at(&path.with_file_name("cache"), memory);
    super::open(path, &mut OpenContext::new(config, &cache, &mut |_, _| ()))
}

fn open_with(path: &Path, config: &DataConfig) -> Result<StoredDataset> {
    open_limited(path, config, 1 << 20)
}

fn open(path: &Path) -> StoredDataset {
    open_with(path, &DataConfig::default()).unwrap()
}

fn images(data: &StoredDataset) -> Vec<Vec<f32>> {
    let mut pixels = vec![0.0; data.shape().values()];
    let read = |i| data.read(i, 0, &mut pixels).map(|()| pixels.clone()).unwrap();
    (0..data.len()).map(read).collect()
}

/// Message (after the path) and hint of the failure to open `path`.
#[track_caller]
fn failure(path: &Path, config: &DataConfig) -> (String, String) {
    let error = open_with(path, config).err().expect("an error");
    let (message, hint) = (error.to_string(), error.hint().unwrap_or_default().to_owned());
    assert!(message.contains(&path.display().to_string()), "{message} does not name the file");
    (message.replace(&format!("{}: ", path.display()), ""), hint)
}

fn key(name: &str) -> DataConfig {
    DataConfig { key: Some(name.to_owned()), ..DataConfig::default() }
}

fn layout(layout: Layout) -> DataConfig {
    DataConfig { layout: Some(layout), ..DataConfig::default() }
}

#[test]
fn every_layout_gives_the_same_pixels() {
    let files = Files::new();
    // Two images of 5x6 pixels with three channels; byte = 90 n + 18 h + 3 w + c.
    let nhwc: Vec<u8> = (0..180).collect();
    let at = |n: usize, c: usize, h: usize, w: usize| nhwc[90 * n + 18 * h + 3 * w + c];
    let mut nchw = Vec::new();
    for (n, c) in (0..2).flat_map(|n| (0..3).map(move |c| (n, c))) {
        nchw.extend((0..30).map(|i| at(n, c, i / 6, i % 6)));
    }
    let expected: Vec<f32> = nhwc.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let floats = |bytes: &[u8]| bytes.iter().map(|b| f32::from(*b) / 255.0).collect::<Vec<_>>();

    let last = files.npz("last.npz", |npz| npz.add("x", &[2, 5, 6, 3], &nhwc).unwrap());
    let first = files.npz("first.npz", |npz| npz.add("x", &[2, 3, 5, 6], &nchw).unwrap());
    let float = files.npz("f.npz", |npz| npz.add("x", &[2, 3, 5, 6], &floats(&nchw)).unwrap());
    for path in [&last, &first, &float] {
        let data = open(path);
        assert_eq!((data.len(), data.shape()), (2, ImageShape::new(5, 6, 3)));
        assert_eq!(images(&data).concat(), expected);
    }
    assert_eq!(open(&last).fingerprint().unwrap(), open(&first).fingerprint().unwrap());
    assert_ne!(open(&last).fingerprint().unwrap(), open(&float).fingerprint().unwrap());
    assert_eq!(open(&last).description(), "2 images 5x6x3 (u8) of last.npz");
    assert_eq!(open(&float).description(), "2 images 5x6x3 (f32) of f.npz");
    assert_eq!(open(&last).name(), last.display().to_string());

    let grey = files.npz("grey.npz", |npz| npz.add("x", &[3, 6, 10], &nhwc).unwrap());
    assert_eq!(open(&grey).shape(), ImageShape::new(6, 10, 1));
    assert_eq!(images(&open(&grey)).concat(), expected);

    // Six channels cannot be guessed, and a setting beats the guess.
    let five = files.npz("five.npz", |npz| npz.add("x", &[2, 5, 6, 3], &nhwc).unwrap());
    let data = open_with(&five, &layout(Layout::Nchw)).unwrap();
    assert_eq!(data.shape(), ImageShape::new(6, 3, 5));
    assert_eq!(images(&data)[1][5 + 2], f32::from(at(1, 1, 2, 0)) / 255.0);
    let many = files.npz("many.npz", |npz| npz.add("x", &[1, 5, 6, 6], &nhwc).unwrap());
    let (message, hint) = failure(&many, &DataConfig::default());
    assert_eq!(message, "array `x`: cannot tell which axis of [1, 5, 6, 6] is the channel");
    assert!(hint.contains("data.layout=nhwc") && hint.contains("data.layout=nchw"));
    let data = open_with(&many, &layout(Layout::Nhwc)).unwrap();
    assert_eq!(data.shape(), ImageShape::new(5, 6, 6));
}

#[test]
fn every_element_type_gives_exact_pixels() {
    let files = Files::new();
    let bits = [0, 1, 1, 0];
    for (name, descr) in [("bool.npy", "|b1"), ("bits.npy", "|u1")] {
        let data = open(&files.file(name, &npy(descr, "(1, 2, 2)", &bits)));
        assert_eq!((data.white(), images(&data)), (1, vec![vec![0.0, 1.0, 1.0, 0.0]]));
        assert_eq!(data.description(), format!("1 image 2x2x1 (binary) of {name}"));
    }
    let data = open(&files.file("u8.npy", &npy("|u1", "(1, 2, 2)", &[0, 2, 51, 255])));
    assert_eq!((data.white(), images(&data)), (255, vec![vec![0.0, 2.0 / 255.0, 0.2, 1.0]]));

    let floats = [0.0, f32::MIN_POSITIVE, 0.3, 1.0];
    let little: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
    let big: Vec<u8> = floats.iter().flat_map(|x| x.to_be_bytes()).collect();
    for (descr, bytes) in [("<f4", little), (">f4", big)] {
        let data = open(&files.file("f4.npy", &npy(descr, "(2, 1, 2)", &bytes)));
        assert_eq!((data.white(), images(&data).concat()), (255, floats.to_vec()));
    }
    for (descr, dtype, size, hint) in [("|O", "object", 8, ""), ("<c8", "complex64", 8, "")] {
        let path = files.file("x.npy", &npy(descr, "(1, 1, 2)", &vec![0; 2 * size]));
        let (message, found) = failure(&path, &DataConfig::default());
        assert_eq!(message, format!("expected uint8, bool or float32, found dtype {dtype}"));
        assert!(found.contains(hint), "{found}");
    }
}

#[test]
fn other_numbers_and_orders_are_converted() {
    let files = Files::new();
    let floats = [0.0_f64, 0.25, 0.5, 1.0, 0.75, 0.125];
    let expected: Vec<f32> = floats.iter().map(|x| *x as f32).collect();
    let doubles: Vec<u8> = floats.iter().flat_map(|x| x.to_be_bytes()).collect();
    let halves: Vec<u8> =
        floats.iter().flat_map(|x| half::f16::from_f64(*x).to_le_bytes()).collect();
    for (descr, bytes) in [(">f8", &doubles), ("<f2", &halves)] {
        let data = open(&files.file("x.npy", &npy(descr, "(2, 1, 3)", bytes)));
        assert_eq!((data.white(), images(&data).concat()), (255, expected.clone()), "{descr}");
    }
    let long: Vec<u8> = [0_i64, 255, 51, 102, 3, 4].iter().flat_map(|x| x.to_le_bytes()).collect();
    let data = open(&files.file("x.npy", &npy("<i8", "(2, 1, 3)", &long)));
    assert_eq!(images(&data)[0], [0.0, 1.0, 0.2]);
    let large: Vec<u8> = [0_u16, 256, 1, 2, 3, 4].iter().flat_map(|x| x.to_le_bytes()).collect();
    let (message, hint) =
        failure(&files.file("x.npy", &npy("<u2", "(2, 1, 3)", &large)), &DataConfig::default());
    assert_eq!(message, "image 0 holds 256, expected 0 to 255");
    assert!(hint.contains("scale"));
    // The first axis fastest: value 100 n + 10 h + w.
    let at = |i: usize| (100 * (i % 2) + 10 * (i / 2 % 2) + i / 4) as u8;
    let bytes: Vec<u8> = (0..12).map(at).collect();
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 3), }";
    let data = open(&files.file("x.npy", &npy_with(fortran, &bytes)));
    let pixels: Vec<u8> = images(&data)[1].iter().map(|x| (x * 255.0).round() as u8).collect();
    assert_eq!(pixels, [100, 101, 102, 110, 111, 112]);
}

#[test]
fn one_colour_image_is_not_taken_for_many_grey_ones() {
    let files = Files::new();
    let path = files.file("x.npy", &npy("|u1", "(16, 16, 3)", &[7; 768]));
    let (message, hint) = failure(&path, &DataConfig::default());
    assert!(message.starts_with("shape [16, 16, 3] may be one image of 3 channels"), "{message}");
    assert!(hint.contains("x[None]"));
}

#[test]
fn parts_of_a_file_are_chosen_by_name() {
    let files = Files::new();
    let path = files.npz("x.npz", |npz| {
        npz.add("train_images", &[3, 2, 2], &[10_u8; 12]).unwrap();
        npz.add("train_labels", &[3, 1], &[1_i64, 0, 1]).unwrap();
        npz.add("test_images", &[2, 2, 2], &[20_u8; 8]).unwrap();
        npz.add("test_labels", &[2, 1], &[5_i64, 5]).unwrap();
    });
    let split = |split| DataConfig { split: Some(split), ..DataConfig::default() };
    for (config, len, classes) in [
        (split(Split::Train), 3, vec![1, 0, 1]),
        (split(Split::Test), 2, vec![0, 0]),
        (key("train_images"), 3, vec![1, 0, 1]),
    ] {
        let data = open_with(&path, &config).unwrap();
        assert_eq!(data.len(), len);
        let found: Vec<usize> = (0..len).flat_map(|i| data.factors().unwrap().classes(i)).collect();
        assert_eq!(found, classes);
    }
    let (_, hint) = failure(&path, &DataConfig::default());
    assert!(hint.contains("data.split=train") && hint.contains("data.key=NAME"), "{hint}");
    let (message, _) = failure(&path, &split(Split::Valid));
    assert!(message.starts_with("no array of images is called after the part valid"), "{message}");
    let both = DataConfig { split: Some(Split::Test), ..key("train_images") };
    assert!(open_with(&path, &both).is_err());
}

#[test]
fn large_files_are_looked_through_once() {
    let files = Files::new();
    let pixels: Vec<u8> = (0..180).collect();
    let path = files.zip("x.npz", &[("imgs.npy", &npy("|u1", "(6, 5, 6)", &pixels))]);
    let config = DataConfig::default();
    let first = open_limited(&path, &config, 0).unwrap();
    let records = fs::read_dir(files.path("cache")).unwrap().map(|file| file.unwrap().path());
    let records: Vec<_> = records.collect();
    assert!(
        matches!(records.as_slice(), [one] if one.extension().unwrap() == "toml"),
        "{records:?}"
    );
    // The record is trusted, so the file was not opened.
    let record = fs::read_to_string(&records[0]).unwrap();
    let hash = first.fingerprint().unwrap();
    fs::write(&records[0], record.replace(&hash, "found")).unwrap();
    let second = open_limited(&path, &config, 0).unwrap();
    assert_eq!(second.fingerprint().unwrap(), "found");
    assert_eq!(images(&second), images(&first));
    // Another file in its place is scanned again.
    let path = files.zip("x.npz", &[("imgs.npy", &npy("|u1", "(5, 6, 6)", &pixels))]);
    let third = open_limited(&path, &config, 0).unwrap();
    assert_eq!((third.shape(), third.fingerprint().unwrap().len()), (ImageShape::new(6, 6, 1), 64));
    // Compressed and unpacked into a file, it is the same.
    let packed = files.npz("packed.npz", |npz| npz.add("imgs", &[6, 5, 6], &pixels).unwrap());
    let packed = open_limited(&packed, &config, 0).unwrap();
    assert_eq!((images(&packed), packed.fingerprint().unwrap()), (images(&first), hash));
}

#[test]
fn a_file_that_is_cut_off_later_is_an_error() {
    let files = Files::new();
    let path = files.file("x.npy", &npy("|u1", "(6, 5, 6)", &[3; 180]));
    let data = open(&path);
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let mut pixels = vec![0.0; 30];
    assert!(data.read(4, 0, &mut pixels).is_ok());
    let error = data.read(5, 0, &mut pixels).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read {}", path.display()));
}

#[test]
fn axes_of_factors_are_a_grid() {
    let files = Files::new();
    let pixels: Vec<u8> = (0..240).map(|i| i as u8).collect();
    let grid = |axes: &[usize], config: &DataConfig| {
        let path = files.npz("x.npz", |npz| npz.add("images", axes, &pixels).unwrap());
        open_with(&path, config).map(|data| {
            let sizes = data.factors().unwrap().factors().iter().map(|factor| factor.values.len());
            (data.len(), data.shape(), sizes.collect::<Vec<_>>())
        })
    };
    let default = DataConfig::default();
    let expected = (4, ImageShape::new(5, 6, 2), vec![2, 2]);
    assert_eq!(grid(&[2, 2, 5, 6, 2], &default).unwrap(), expected);
    assert_eq!(grid(&[2, 2, 2, 5, 6], &layout(Layout::Nchw)).unwrap(), expected);
    let message = grid(&[2, 2, 2, 5, 6], &default).err().unwrap().to_string();
    assert!(
        message.ends_with("cannot tell which axis of [2, 2, 2, 5, 6] is the channel"),
        "{message}"
    );
}

#[test]
fn values_outside_the_range_are_named() {
    let files = Files::new();
    for (value, text, hint) in [
        (255.0, "255", "divide by 255 or store as uint8"),
        (1.001, "1.001", "numpy.clip"),
        (-0.5, "-0.5", "(x + 1) / 2"),
        (f32::NAN, "NaN", "isfinite"),
        (f32::INFINITY, "inf", "isfinite"),
    ] {
        let data = [0.0, 1.0, 0.5, value, value, 0.0];
        let path = files.npz("x.npz", |npz| npz.add("imgs", &[3, 1, 2], &data).unwrap());
        let (message, found) = failure(&path, &DataConfig::default());
        assert_eq!(
            message,
            format!("array `imgs`: image 1 holds {text}, expected values in [0, 1]")
        );
        assert!(found.contains(hint), "{found}");
    }
    let path = files.file("bool.npy", &npy("|b1", "(1, 1, 2)", &[1, 2]));
    let (message, _) = failure(&path, &DataConfig::default());
    assert_eq!(message, "a bool array holds bytes other than 0 and 1");
}

#[test]
fn the_array_with_the_images_is_found() {
    let files = Files::new();
    let pickled = npy("|O", "()", b"\x80\x02}q\x00.");
    let image = |value| npy("|u1", "(1, 1, 2)", &[value, 9]);
    let labels = npy("<i8", "(1,)", &[0; 8]);
    let (a, b) = (image(10), image(20));
    let first =
        |path: &Path, config: &DataConfig| images(&open_with(path, config).unwrap())[0][0] * 255.0;
    let default = DataConfig::default();

    let members = [("metadata.npy", &pickled[..]), ("labels.npy", &labels), ("readme.txt", b"hi")];
    let only = files.zip("only.npz", &[&members[..], &[("x.npy", &b)]].concat());
    assert_eq!(first(&only, &default), 20.0);
    let images = files.zip("images.npz", &[("x.npy", &a), ("images.npy", &b)]);
    assert_eq!(first(&images, &default), 20.0);
    let imgs = files.zip("imgs.npz", &[("images.npy", &a), ("imgs.npy", &b), ("x.npy", &a)]);
    assert_eq!(first(&imgs, &default), 20.0);
    assert_eq!(first(&imgs, &key("x")), 10.0);

    let broken = files.zip("imgs.npz", &[("x.npy", &a), ("imgs.npy", b"hello")]);
    assert_eq!(failure(&broken, &default).0, "array `imgs`: the header is cut off");

    let two = files.zip("two.npz", &[("x.npy", &a), ("y.npy", &b), ("broken.npy", b"hello")]);
    let (message, hint) = failure(&two, &default);
    let shapes = "`x` [1, 1, 2] uint8, `y` [1, 1, 2] uint8, `broken` (the header is cut off)";
    let more = "more than one array has 3 or 4 axes as images do; the file has ";
    assert_eq!(
        (message, hint),
        (more.to_owned() + shapes, "name one with `--set data.key=NAME`".into())
    );
    let none = files.zip("none.npz", &members);
    let (message, _) = failure(&none, &default);
    let shapes = "`metadata` [] object, `labels` [1] int64";
    assert_eq!(message, format!("no array has 3 or 4 axes as images do; the file has {shapes}"));

    let (message, _) = failure(&none, &key("x"));
    assert_eq!(message, format!("no array is called `x`: the file has {shapes}"));
    let (message, _) = failure(&none, &key("labels"));
    let expected = "expected images of shape [N, H, W], [N, H, W, C] or [N, C, H, W]";
    assert_eq!(message, format!("array `labels`: {expected}, found [1]"));
    let (message, _) = failure(&two, &key("broken"));
    assert_eq!(message, "array `broken`: the header is cut off");
}

#[test]
fn what_is_not_an_array_of_images_is_refused() {
    let files = Files::new();
    let default = DataConfig::default();
    let reason = |name, bytes: &[u8]| failure(&files.file(name, bytes), &default).0;

    assert_eq!(reason("a.npy", b""), "expected a NumPy .npy or .npz file, found an empty file");
    assert!(reason("a.h5", b"\x89HDF\r\n\x1a\n").ends_with("found an HDF5 file"));
    assert!(reason("a.npz", b"PK\x03\x04 and no more").starts_with("not a complete .npz file: "));
    let short = npy("|u1", "(2, 5, 5)", &[3; 49]);
    let needs = "shape [2, 5, 5] of uint8 needs 50 bytes of data, found 49";
    assert_eq!(reason("a.npy", &short), needs);
    assert_eq!(reason("a.npy", &npy("|u1", "(2, 5, 5)", &[3; 51])), needs.replace("49", "51"));
    let huge = "(4611686018427387904, 4611686018427387904, 2)";
    assert!(reason("a.npy", &npy("|u1", huge, &[0; 8])).contains("needs more than 2^64 bytes"));
    let large = npy("<f4", "(1000000000000, 64, 64)", &[0; 8]);
    assert!(reason("a.npy", &large).contains("needs 16384000000000000 bytes of data, found 8"));
    assert_eq!(reason("a.npy", &npy("|u1", "(0, 5, 5)", &[])), "shape [0, 5, 5] holds no pixels");
    assert_eq!(
        reason("a.npy", &npy("|u1", "(2, 5, 0, 1)", &[])),
        "shape [2, 5, 0, 1] holds no pixels"
    );
    let nested = format!("{}{}", "(".repeat(60_000), ")".repeat(100));
    assert!(reason("a.npy", &npy_with(&nested, &[])).starts_with("the header is not valid"));
    let mut version = npy("|u1", "(1, 1, 2)", &[0; 2]);
    version[6] = 9;
    assert_eq!(reason("a.npy", &version), "version 9 of the format is unknown");

    let missing = open_with(&files.path("none.npy"), &default).err().unwrap().to_string();
    assert!(missing.starts_with("cannot open ") && missing.contains("none.npy"), "{missing}");
    assert!(open_with(files.0.path(), &default).is_err());
}

#[test]
fn damage_is_noticed_and_never_a_panic() {
    let files = Files::new();
    let mut stream = Stream::new(1, "bytes", 0);
    let pixels: Vec<u8> = (0..150).map(|_| stream.below(256) as u8).collect();
    let npz = files.npz("a.npz", |npz| npz.add("imgs", &[2, 3, 5, 5], &pixels).unwrap());
    let stored = npy("|u1", "(2, 3, 5, 5)", &pixels);
    let expected = images(&open(&npz));
    let originals = [
        fs::read(&npz).unwrap(),
        fs::read(files.zip("b.npz", &[("imgs.npy", &stored)])).unwrap(),
        stored,
    ];
    let path = files.path("damaged");
    let attempt = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        open_with(&path, &DataConfig::default())
    };
    for (kind, original) in originals.iter().enumerate() {
        for length in 0..original.len() {
            assert!(attempt(&original[..length]).is_err(), "kind {kind}: {length} bytes");
        }
        assert_eq!(images(&attempt(original).unwrap()), expected);
        for trial in 0..2000 {
            let mut bytes = original.clone();
            for _ in 0..1 + trial % 3 {
                bytes[stream.below(original.len())] ^= 1 << stream.below(8);
            }
            // A zip file has a checksum; in a .npy file changed pixels are still pixels.
            if let (Ok(data), true) = (attempt(&bytes), kind < 2) {
                assert_eq!(images(&data).concat(), expected.concat(), "kind {kind}, trial {trial}");
            }
        }
        // Damage in the middle of the pixels of a zip file.
        let mut bytes = original.clone();
        bytes[original.len() / 2] ^= 0x10;
        if kind < 2 {
            fs::write(&path, &bytes).unwrap();
            let (message, hint) = failure(&path, &DataConfig::default());
            assert!(message.starts_with("array `imgs`: the data cannot be read: "), "{message}");
            assert!(hint.contains("copy or download it again"));
        }
    }
}

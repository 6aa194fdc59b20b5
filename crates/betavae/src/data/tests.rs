//! The same twelve images in every format, see `fixtures/data/generate.py`; then all formats damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::source::Source;
use super::stored::{OpenContext, StoredDataset};
use super::*;
use crate::error::Result;
use crate::random::Stream;

const IMAGES: usize = 12;

/// The order of the images in shards.
const ORDER: [usize; IMAGES] = [7, 2, 9, 0, 11, 4, 1, 8, 3, 10, 5, 6];

const IN_ORDER: [usize; IMAGES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/data").join(name)
}

/// Opens files with at most `memory` bytes of pixels in memory and the others in `cache`.
fn open_in(cache: &Path, memory: u64, path: &Path, config: &DataConfig) -> Result<StoredDataset> {
    let cache = Cache::at(cache, memory);
    let source = Source::of(path)?;
    source.check(&DataConfig { path: Some(path.to_owned()), ..config.clone() })?;
    super::open::read(path, source, &mut OpenContext::new(config, &cache, &mut |_, _| ()))
}

fn open(path: &Path) -> Result<StoredDataset> {
    open_in(Path::new("none"), 1 << 30, path, &DataConfig::default())
}

/// A folder with copies of fixtures.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// The bytes of an image as the generator computed them.
fn image(index: usize) -> Vec<u8> {
    (0..90).map(|j| ((37 * index + 11 * j + 5 * j * j) % 256) as u8).collect()
}

#[track_caller]
fn check(data: &StoredDataset, order: [usize; IMAGES]) {
    assert_eq!((data.len(), data.shape(), data.white()), (IMAGES, ImageShape::new(6, 5, 3), 255));
    let indices: Vec<usize> = (0..IMAGES).collect();
    let pixels = read_batch(data, &indices, 0).unwrap();
    let expected = order.iter().flat_map(|index| image(*index));
    assert!(expected.map(|byte| f32::from(byte) / 255.0).eq(pixels));
}

/// The value of a factor for each image.
type Value = fn(usize) -> f64;

/// Checks name and values of each image's factors.
#[track_caller]
fn check_factors(data: &StoredDataset, order: [usize; IMAGES], expected: &[(&str, Value)]) {
    let factors = data.factors().unwrap();
    let names: Vec<_> = factors.factors().iter().map(|factor| factor.name.as_str()).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (i, index) in order.into_iter().enumerate() {
        let classes = factors.classes(i).into_iter().zip(factors.factors());
        let values: Vec<f64> = classes.map(|(class, factor)| factor.values[class]).collect();
        let expected: Vec<f64> = expected.iter().map(|(_, value)| value(index)).collect();
        assert_eq!(values, expected, "image {i}");
    }
}

fn size(index: usize) -> f64 {
    (index / 4) as f64
}

fn hue(index: usize) -> f64 {
    (index % 4) as f64 / 2.0
}

#[test]
fn arrays_with_factors_beside_them() {
    for name in ["stored.npz", "compressed.npz"] {
        let data = open(&fixture(name)).unwrap();
        check(&data, IN_ORDER);
        check_factors(&data, IN_ORDER, &[("factor_0", size), ("factor_1", hue)]);
        assert!(matches!(data.factors(), Some(Factors::Grid(_))));
        assert_eq!(data.description(), format!("12 images 6x5x3 (u8) of {name}"));
    }
    let data = open(&fixture("grid.npz")).unwrap();
    check(&data, IN_ORDER);
    check_factors(&data, IN_ORDER, &[("factor_0", size), ("factor_1", |i| (i % 4) as f64)]);
    let data = open(&fixture("floats.npz")).unwrap();
    check(&data, IN_ORDER);
    check_factors(&data, IN_ORDER, &[("size", size)]);
}

#[test]
fn archives_are_like_the_folders_in_them() {
    // Sorted, although the archives are not.
    let zip = open(&fixture("images.zip")).unwrap();
    check(&zip, IN_ORDER);
    // small, middle, tall in the order of the alphabet.
    let words: fn(usize) -> f64 = |i| [1.0, 0.0, 2.0][i / 4];
    check_factors(&zip, IN_ORDER, &[("size", words), ("hue", hue)]);
    assert_eq!(zip.file_name(3).unwrap(), "a/03.png");
    assert_eq!(zip.description(), "12 images 6x5x3 from images.zip");
    for name in ["images.tar", "images.tgz"] {
        let tar = open(&fixture(name)).unwrap();
        check(&tar, IN_ORDER);
        let long = format!("{}/07.png", "long-".repeat(25));
        assert_eq!(tar.file_name(7).unwrap(), Path::new(&long));
        assert_eq!(tar.fingerprint().unwrap(), zip.fingerprint().unwrap());
    }
    // Settings of image files apply.
    let config: DataConfig = toml::from_str("size = [3, 3]\nchannels = 1").unwrap();
    let data = open_in(Path::new("none"), 1 << 30, &fixture("images.zip"), &config).unwrap();
    assert_eq!(data.shape(), ImageShape::new(3, 3, 1));
}

#[test]
fn web_datasets_keep_the_order_of_their_shards() {
    let shards = folder(&["shard-000.tar", "shard-001.tar"]);
    let data = open(shards.path()).unwrap();
    check(&data, ORDER);
    // Fields that every sample has; the caption is the same everywhere.
    let odd: fn(usize) -> f64 = |i| (i % 2) as f64;
    let fields: [(&str, Value); 4] =
        [("cls", size), ("hue", hue), ("odd", odd), ("caption", |_| 0.0)];
    check_factors(&data, ORDER, &fields);
    assert!(
        data.notes().iter().any(|note| note.contains("column `maybe` is left out")),
        "{:?}",
        data.notes()
    );
    assert_eq!(data.file_name(0).unwrap(), "shard-000.tar/000007.png");
    let first = open(&fixture("shard-000.tar")).unwrap();
    assert_eq!((first.len(), first.file_name(1).unwrap()), (6, Path::new("000002.png")));
    assert_eq!(first.factors().unwrap().factors().len(), 4);
}

/// A header of a page claims a list of billions of fields, which the library would skip one by one.
#[test]
fn damaged_parquet_files_end() {
    let start = std::time::Instant::now();
    let error = open(&fixture("endless-header.parquet")).err().unwrap().to_string();
    assert!(error.contains("endless-header.parquet"), "{error}");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn parquet_files_with_images_and_numbers() {
    let data = open(&fixture("hub.parquet")).unwrap();
    check(&data, IN_ORDER);
    check_factors(&data, IN_ORDER, &[("size", size), ("hue", hue), ("text", |_| 0.0)]);
    assert_eq!(data.factors().unwrap().factors()[2].words, ["a picture"]);
    assert!(
        data.notes().iter().any(|note| note.contains("column `missing` is left out")),
        "{:?}",
        data.notes()
    );
    let parts = folder(&["plain-1.parquet", "plain-0.parquet"]);
    let data = open(parts.path()).unwrap();
    check(&data, IN_ORDER);
    check_factors(&data, IN_ORDER, &[("size", size), ("hue", hue)]);
    let key = |key: &str| DataConfig { key: Some(key.into()), ..DataConfig::default() };
    let open = |key| open_in(Path::new("none"), 1 << 30, &fixture("hub.parquet"), &key);
    check(&open(key("image")).unwrap(), IN_ORDER);
    let error = open(key("text")).err().unwrap().to_string();
    let columns = "`image.bytes`, `image.path`, `size`, `hue`, `text`, `missing`";
    let expected = format!("no column may hold images; the file has {columns}");
    assert!(error.ends_with(&expected), "{error}");
}

#[test]
fn all_formats_give_the_same_pixels_from_prepared_files() {
    let cache = tempfile::tempdir().unwrap();
    let shards = folder(&["shard-000.tar", "shard-001.tar"]);
    let mut paths: Vec<PathBuf> =
        ["stored.npz", "compressed.npz", "grid.npz", "images.zip", "images.tar", "images.tgz"]
            .map(fixture)
            .to_vec();
    paths.push(fixture("hub.parquet"));
    let config = DataConfig::default();
    // Prepared, and found again.
    for _ in 0..2 {
        let mut hashes = Vec::new();
        for path in &paths {
            let data = open_in(cache.path(), 0, path, &config).unwrap();
            check(&data, IN_ORDER);
            hashes.push(data.fingerprint().unwrap());
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        check(&open_in(cache.path(), 0, shards.path(), &config).unwrap(), ORDER);
        check(&open_in(cache.path(), 0, &fixture("floats.npz"), &config).unwrap(), IN_ORDER);
    }
}

#[test]
fn damaged_files_are_errors_or_harmless_and_never_a_panic() {
    let mut stream = Stream::new(1, "bytes", 0);
    let mut names = vec![
        ("stored.npz", 300),
        ("compressed.npz", 300),
        ("grid.npz", 300),
        ("floats.npz", 300),
        ("images.zip", 600),
        ("images.tar", 600),
        ("images.tgz", 300),
        ("shard-000.tar", 600),
    ];
    names.extend([("hub.parquet", 1500), ("plain-0.parquet", 1000), ("plain-1.parquet", 1000)]);
    let place = tempfile::tempdir().unwrap();
    let attempt = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, bytes).unwrap();
        match open(&path) {
            Ok(data) => {
                let indices: Vec<usize> = (0..data.len().min(20)).collect();
                let _ = read_batch(&data, &indices, 0);
                Some(data.len())
            }
            Err(error) => {
                assert!(error.to_string().contains(name), "{name}: {error}");
                None
            }
        }
    };
    for (name, trials) in names {
        let original = fs::read(fixture(name)).unwrap();
        let whole = attempt(name, &original).unwrap();
        for length in (0..original.len()).step_by(1 + original.len() / 200) {
            // A tar archive may end anywhere between two files.
            let found = attempt(name, &original[..length]);
            assert!(found.is_none_or(|found| found <= whole), "{name}, {length} bytes");
        }
        for trial in 0..trials {
            let mut bytes = original.clone();
            for _ in 0..1 + trial % 4 {
                let at = stream.below(bytes.len());
                match trial % 3 {
                    0 => bytes[at] ^= 1 << stream.below(8),
                    1 => bytes[at] = stream.below(256) as u8,
                    // Sizes that are as large as they can be.
                    _ => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
                }
            }
            attempt(name, &bytes);
        }
    }
}

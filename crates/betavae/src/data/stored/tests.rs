//! Pixels in memory, in place and in prepared files, and when prepared files are valid.

use std::fs;

use super::*;
use crate::data::reader::{ImageReader, ReaderSummary};
use crate::data::{FactorTable, read_batch};

/// A reader of 5x3x2 images whose bytes are a function of the index.
struct Ramp {
    next: usize,
    /// The image at which the file is found to be damaged.
    broken_at: usize,
}

const SHAPE: [usize; 3] = [5, 3, 2];
const LEN: usize = 70;

fn byte(image: usize, value: usize) -> u8 {
    (7 * image + value) as u8
}

impl ImageReader for Ramp {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        for image in bytes.chunks_exact_mut(30) {
            if self.next == self.broken_at {
                return Err(Error::file("ramp", "it ends before"));
            }
            image.iter_mut().enumerate().for_each(|(i, x)| *x = byte(self.next, i));
            self.next += 1;
        }
        Ok(())
    }
}

struct Place(tempfile::TempDir);

impl Place {
    /// A folder with a source file.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("source"), "version 1").unwrap();
        Self(folder)
    }

    fn open_broken_at(
        &self,
        broken_at: usize,
        cache: &Cache,
        config: &str,
    ) -> Result<StoredDataset> {
        let names = ["half"];
        let values: Vec<f64> = (0..LEN).map(|i| (i / 35) as f64).collect();
        let opened = OpenedImages {
            about: "ramp".into(),
            len: LEN,
            shape: SHAPE.into(),
            white: 255,
            factors: Some(Factors::Table(FactorTable::new(&names, &values).unwrap())),
            images: Box::new(Ramp { next: 0, broken_at }),
        };
        let config: DataConfig = toml::from_str(config).unwrap();
        let mut progress = |_, _| ();
        let mut opening = OpenContext::new(&config, cache, &mut progress);
        StoredDataset::from_reader(&mut opening, &self.0.path().join("source"), &[], |_| Ok(opened))
    }

    fn open(&self, cache: &Cache) -> StoredDataset {
        self.open_broken_at(LEN, cache, "").unwrap()
    }

    fn cache(&self, memory: u64) -> Cache {
        Cache::at(&self.0.path().join("cache"), memory)
    }

    /// Names of the files in the cache, without those that only hold a lock.
    fn kept(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.path().join("cache")).into_iter().flatten();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }
}

fn check(data: &StoredDataset) {
    let indices: Vec<usize> = (0..LEN).rev().chain([3, 3]).collect();
    let batch = read_batch(data, &indices, 0).unwrap();
    for (pixels, image) in batch.chunks_exact(30).zip(&indices) {
        let expected = (0..30).map(|i| f32::from(byte(*image, i)) / 255.0);
        assert!(pixels.iter().copied().eq(expected), "image {image}");
    }
    assert_eq!(data.description(), "70 images 5x3x2 (ramp)");
    assert_eq!(data.factors().unwrap().classes(35), [1]);
}

#[test]
fn memory_and_prepared_files_hold_the_same_and_are_found_again() {
    let place = Place::new();
    let (in_memory, in_file) = (place.open(&place.cache(2100)), place.open(&place.cache(2099)));
    check(&in_memory);
    check(&in_file);
    assert_eq!(in_memory.fingerprint().unwrap(), in_file.fingerprint().unwrap());
    assert_eq!(place.kept().len(), 2, "a record and its pixels: {:?}", place.kept());

    // The second time nothing is read, whatever the memory.
    let again = place.open_broken_at(0, &place.cache(0), "").unwrap();
    check(&again);
    assert_eq!(again.fingerprint().unwrap(), in_file.fingerprint().unwrap());
    // The prepared pixels are a .npy file with the images.
    let pixels = place.kept().into_iter().find(|name| name.ends_with(".npy")).unwrap();
    let pixels = fs::File::open(place.0.path().join("cache").join(pixels)).unwrap();
    let array = npyz::NpyFile::new(std::io::BufReader::new(pixels)).unwrap();
    assert_eq!(array.shape(), [70, 5, 3, 2]);
    let expected: Vec<u8> = (0..LEN).flat_map(|n| (0..30).map(move |i| byte(n, i))).collect();
    assert_eq!(array.into_vec::<u8>().unwrap(), expected);
}

#[test]
fn another_source_or_setting_is_prepared_anew() {
    let place = Place::new();
    let cache = place.cache(0);
    place.open(&cache);
    // Another setting has its own entry; one that pixels do not depend on has not.
    assert!(place.open_broken_at(0, &cache, "size = [5, 3]").is_err());
    assert!(place.open_broken_at(0, &cache, "order = \"replacement\"").is_ok());
    place.open_broken_at(LEN, &cache, "size = [5, 3]").unwrap();
    assert_eq!(place.kept().len(), 4);
    // A changed file takes the place of the old entry.
    fs::write(place.0.path().join("source"), "version 2.0").unwrap();
    assert!(place.open_broken_at(0, &cache, "").is_err());
    check(&place.open(&cache));
    assert_eq!(place.kept().len(), 4);
}

#[test]
fn what_fails_leaves_nothing_and_damaged_entries_are_made_again() {
    let place = Place::new();
    let cache = place.cache(0);
    let error = place.open_broken_at(50, &cache, "").err().unwrap();
    assert_eq!(error.to_string(), "ramp: it ends before");
    assert_eq!(place.kept(), [""; 0]);

    place.open(&cache);
    let kept = place.kept();
    for damage in 0..4 {
        let [pixels, record] =
            [&kept[0], &kept[1]].map(|name| place.0.path().join("cache").join(name));
        let content = fs::read(&pixels).unwrap();
        match damage {
            0 => fs::write(&pixels, &content[..content.len() - 1]).unwrap(),
            1 => fs::remove_file(&pixels).unwrap(),
            2 => fs::write(&record, "stamp = 3").unwrap(),
            _ => fs::remove_file(&record).unwrap(),
        }
        assert!(place.open_broken_at(0, &cache, "").is_err(), "damage {damage} is not noticed");
        check(&place.open(&cache));
    }
    // What a killed process leaves is swept up by the next one.
    let name = kept[0].strip_suffix(".npy").unwrap();
    fs::write(place.0.path().join("cache").join(format!("{name}-x.partial")), "half").unwrap();
    fs::remove_file(place.0.path().join("cache").join(&kept[1])).unwrap();
    place.open(&cache);
    assert_eq!(place.kept(), kept);
}

#[test]
fn a_prepared_file_that_is_cut_off_later_is_an_error() {
    let place = Place::new();
    let data = place.open(&place.cache(0));
    let pixels = place.0.path().join("cache").join(&place.kept()[0]);
    fs::OpenOptions::new().write(true).open(&pixels).unwrap().set_len(1000).unwrap();
    let error = read_batch(&data, &[0, 69], 0).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read {}", pixels.display()));
    assert!(read_batch(&data, &[0, 1], 0).is_ok());
}

#[test]
fn slow_sets_are_kept_even_if_they_fit_in_memory() {
    let place = Place::new();
    let mut cache = place.cache(1 << 20);
    cache.patience = std::time::Duration::ZERO;
    check(&place.open(&cache));
    check(&place.open_broken_at(0, &cache, "").unwrap());
}

#[test]
fn who_comes_second_waits_and_reads_nothing() {
    let place = Place::new();
    let cache = place.cache(0);
    let source = place.0.path().join("source");
    let key = CacheKey::new(&source, &[], &DataConfig::default()).unwrap();
    // The first one holds the lock until it is done; the second one could not even begin to read.
    let mut first = cache.begin(&key, PixelLayout::bytes(LEN, SHAPE.into())).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| place.open_broken_at(0, &cache, ""));
        std::thread::sleep(std::time::Duration::from_millis(50));
        first.start().unwrap();
        let mut scan = PixelScan::new(PixelLayout::bytes(LEN, SHAPE.into()));
        for image in 0..LEN {
            let pixels: Vec<u8> = (0..30).map(|i| byte(image, i)).collect();
            first.write(&pixels).unwrap();
            scan.take(&pixels).unwrap();
        }
        drop(first.finish(&scan.finish(ReaderSummary::default())).unwrap());
        check(&second.join().unwrap().unwrap());
    });
}

#[test]
fn pixels_brighter_than_white_are_refused() {
    let place = Place::new();
    let opened = OpenedImages {
        about: String::new(),
        len: LEN,
        shape: SHAPE.into(),
        white: 1,
        factors: None,
        images: Box::new(Ramp { next: 0, broken_at: LEN }),
    };
    let (config, cache) = (DataConfig::default(), place.cache(1 << 20));
    let mut progress = |_, _| ();
    let mut opening = OpenContext::new(&config, &cache, &mut progress);
    let path = place.0.path().join("source");
    let error = StoredDataset::from_reader(&mut opening, &path, &[], |_| Ok(opened))
        .err()
        .unwrap()
        .to_string();
    assert!(error.ends_with("source: a pixel is 255, expected at most 1"), "{error}");
}

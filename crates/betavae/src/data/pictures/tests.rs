//! Folders of image files: their order, sizes, channels and damage.

use std::fs;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};

use super::*;
use crate::data::cache::Cache;
use crate::data::source::Source;
use crate::data::{DataConfig, Dataset, ImageShape};
use crate::random::Stream;

/// Opens a folder or file with its pixels in memory.
pub(super) fn open_path(path: &Path, config: &DataConfig) -> Result<StoredDataset> {
    let cache = Cache::at(&path.join("none"), 1 << 30);
    let source = Source::of(path)?;
    source.check(&DataConfig { path: Some(path.to_owned()), ..config.clone() })?;
    crate::data::open::read(path, source, &mut OpenContext::new(config, &cache, &mut |_, _| ()))
}

pub(super) struct Photos(pub(super) tempfile::TempDir);

impl Photos {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// A grey PNG of one value.
    pub(super) fn grey(&self, name: &str, [height, width]: [u32; 2], value: u8) {
        let image = GrayImage::from_pixel(width, height, Luma([value]));
        image.save_with_format(self.path(name), image::ImageFormat::Png).unwrap();
    }

    pub(super) fn open(&self) -> StoredDataset {
        self.open_with("").unwrap()
    }

    /// Opens the folder with settings written in TOML.
    pub(super) fn open_with(&self, config: &str) -> Result<StoredDataset> {
        open_path(self.0.path(), &toml::from_str(config).unwrap())
    }

    /// Message and hint of the failure to open the folder.
    #[track_caller]
    pub(super) fn failure(&self, config: &str) -> (String, String) {
        let error = self.open_with(config).err().expect("an error");
        let message = error.to_string().replace(&self.0.path().display().to_string(), "FOLDER");
        (message, error.hint().unwrap_or_default().to_owned())
    }
}

/// The bytes of image `index`.
pub(super) fn bytes(data: &StoredDataset, index: usize) -> Vec<u8> {
    let mut pixels = vec![-1.0; data.shape().values()];
    data.read(index, 0, &mut pixels).unwrap();
    pixels.iter().map(|pixel| (pixel * 255.0) as u8).collect()
}

#[test]
fn files_are_found_in_subfolders_and_sorted_by_path() {
    let photos = Photos::new();
    let names = ["B.PNG", "a/b.png", "a.png", "a/c/d.JpEg", "é.jpg", "c.png/x.png"];
    names.iter().for_each(|name| photos.grey(name, [2, 3], name.len() as u8));
    [".hidden.png", ".cache/x.png"].iter().for_each(|name| photos.grey(name, [9, 9], 0));
    photos.file("notes.txt", b"text");
    let data = photos.open();
    let files: Vec<_> = data.files.iter().map(|file| file.to_str().unwrap()).collect();
    assert_eq!(files, ["B.PNG", "a.png", "a/b.png", "a/c/d.JpEg", "c.png/x.png", "é.jpg"]);
    for (i, file) in files.iter().enumerate() {
        assert_eq!(bytes(&data, i), vec![file.len() as u8; 6]);
    }
    let name = photos.0.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(data.description(), format!("6 images 2x3x1 from {name}/"));
    assert_eq!(
        (data.len(), data.white(), data.name()),
        (6, 255, photos.0.path().to_str().unwrap())
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_once() {
    use std::os::unix::fs::symlink;
    let photos = Photos::new();
    photos.grey("a/x.png", [2, 2], 7);
    for (target, link) in [("..", "a/loop"), (".", "self"), ("a", "b"), ("a/x.png", "y.png")] {
        symlink(target, photos.path(link)).unwrap();
    }
    assert_eq!(photos.open().files, ["a/x.png", "y.png"].map(PathBuf::from));
    symlink("nowhere", photos.path("z.png")).unwrap();
    assert_eq!(photos.failure("").0, "cannot open FOLDER/z.png");
}

#[test]
fn every_kind_of_pixel_becomes_8_bit_grey_or_rgb() {
    let photos = Photos::new();
    photos.grey("a.png", [1, 2], 200);
    let grey16 = ImageBuffer::from_vec(2, 1, vec![65535_u16, 257 * 33 + 100]).unwrap();
    DynamicImage::ImageLuma16(grey16).save(photos.path("b.png")).unwrap();
    let half = ImageBuffer::from_pixel(2, 1, LumaA([200_u8, 128]));
    DynamicImage::ImageLumaA8(half).save(photos.path("c.png")).unwrap();
    let data = photos.open();
    assert_eq!(data.shape(), ImageShape::new(1, 2, 1));
    // 200 over white with 128 of 255 parts is 227.4.
    let grey = [vec![200, 200], vec![255, 33], vec![227, 227]];
    assert_eq!([0, 1, 2].map(|i| bytes(&data, i)), grey);

    let rgb = RgbImage::from_fn(2, 1, |x, _| Rgb([255 * x as u8, 10, 20]));
    rgb.save(photos.path("d.png")).unwrap();
    let rgba = ImageBuffer::from_pixel(2, 1, Rgba([255_u8, 100, 1, 51]));
    DynamicImage::ImageRgba8(rgba).save(photos.path("e.png")).unwrap();
    let data = photos.open();
    assert_eq!(data.shape(), ImageShape::new(1, 2, 3));
    let tripled = |grey: &Vec<u8>| grey.iter().flat_map(|byte| [*byte; 3]).collect::<Vec<_>>();
    for (i, grey) in grey.iter().enumerate() {
        assert_eq!(bytes(&data, i), tripled(grey));
    }
    assert_eq!(bytes(&data, 3), [0, 10, 20, 255, 10, 20]);
    assert_eq!(bytes(&data, 4), [255, 224, 204, 255, 224, 204]);
    let black = photos.open_with("background = 'black'").unwrap();
    assert_eq!(bytes(&black, 4), [51, 20, 0, 51, 20, 0]);
    assert_eq!(bytes(&black, 2), [100; 6]);
    let note = "2 images with transparency blended over black (data.background)";
    assert!(black.notes().contains(&note.to_owned()), "{:?}", black.notes());

    let data = photos.open_with("channels = 1").unwrap();
    // 0.2126 R + 0.7152 G + 0.0722 B.
    assert_eq!(bytes(&data, 3), [9, 63]);
    assert_eq!(bytes(&data, 1), grey[1]);
    assert_eq!(
        photos.failure("channels = 2").0,
        "data.channels is 2, expected 1 (grey) or 3 (RGB)"
    );
}

#[test]
fn images_are_cut_in_the_middle_and_resized() {
    let photos = Photos::new();
    let image = GrayImage::from_fn(8, 4, |x, y| Luma([(10 * y + x) as u8]));
    image.save(photos.path("a.png")).unwrap();
    let one = |config: &str| {
        let data = photos.open_with(config).unwrap();
        (data.shape().height, data.shape().width, bytes(&data, 0))
    };
    assert_eq!(one("crop = [2, 3]"), (2, 3, vec![12, 13, 14, 22, 23, 24]));
    // The square part in the middle is columns 2 to 5; its own size, then halved.
    assert_eq!(one("size = [4, 4]").2[..5], [2, 3, 4, 5, 12]);
    let (h, w, halved) = one("size = [2, 2]");
    assert_eq!((h, w), (2, 2));
    // Each output pixel is the mean of four.
    assert_eq!(halved, [8, 10, 28, 30]);
    assert_eq!(one("crop = [1, 1]\nsize = [2, 3]"), (2, 3, vec![13; 6]));
    let limits = |size| format!("data.size is {size}, expected [height, width] of 1 to 8192");
    assert_eq!(photos.failure("size = [0, 4]").0, limits("[0, 4]"));
    assert_eq!(photos.failure("size = [4, 100000]").0, limits("[4, 100000]"));

    let (message, hint) = photos.failure("crop = [4, 9]");
    assert_eq!(message, "FOLDER/a.png: the image is 4x8, smaller than data.crop 4x9");
    assert!(hint.contains("data.crop"));

    let checkers = GrayImage::from_fn(64, 64, |x, y| Luma([255 * ((x + y) % 2) as u8]));
    checkers.save(photos.path("a.png")).unwrap();
    let (_, _, grey) = one("size = [16, 16]");
    assert!(grey.iter().all(|byte| (120..=135).contains(byte)), "aliased: {grey:?}");
}

#[test]
fn images_of_several_sizes_need_a_size() {
    let photos = Photos::new();
    photos.grey("a.png", [4, 4], 1);
    photos.grey("b.png", [4, 4], 2);
    photos.grey("c.png", [6, 5], 3);
    let (message, hint) = photos.failure("");
    let sizes = "a.png is 4x4, c.png is 6x5; 3 images from 4x4 to 6x5";
    assert_eq!(message, format!("FOLDER: the images differ in size: {sizes}"));
    assert!(hint.contains("--set 'data.size=[64,64]'"));
    let data = photos.open_with("size = [3, 2]").unwrap();
    assert_eq!([0, 1, 2].map(|i| bytes(&data, i)), [[1; 6], [2; 6], [3; 6]]);
    assert_eq!(photos.open_with("crop = [4, 4]").unwrap().shape(), ImageShape::new(4, 4, 1));

    let fingerprint = |config: &str| photos.open_with(config).unwrap().fingerprint().unwrap();
    assert_eq!(fingerprint("size = [3, 2]"), fingerprint("size = [3, 2]"));
    assert_ne!(fingerprint("size = [3, 2]"), fingerprint("size = [2, 3]"));
}

#[test]
fn settings_and_folders_that_cannot_work_are_refused() {
    let photos = Photos::new();
    let expected = "no image found in it or its subfolders: it has no file";
    assert_eq!(photos.failure("").0, format!("FOLDER: {expected}"));
    photos.file("notes.txt", b"text");
    photos.file("x.npy", b"array");
    let (message, hint) = photos.failure("");
    assert!(message.ends_with("it has 2 files (1 .npy, 1 .txt)"), "{message}");
    assert_eq!(hint, "give one array file in place of the folder");
    photos.grey("a.png", [2, 2], 0);
    let (message, hint) = photos.failure("key = \"x\"");
    assert_eq!(message, "data.key does not apply to FOLDER, image files");
    assert!(hint.starts_with("remove data.key; what applies is data.size, data.crop"), "{hint}");
    let missing = open_path(&photos.path("none"), &DataConfig::default()).err().unwrap();
    assert!(missing.to_string().starts_with("cannot open "));
}

#[test]
fn a_file_that_cannot_be_decoded_is_named() {
    let photos = Photos::new();
    (0..20).for_each(|i| photos.grey(&format!("{i}.png"), [2, 2], i));
    let reason = |bytes: &[u8]| {
        photos.file("bad.png", bytes);
        photos.failure("").0
    };
    let is = |what: &str| format!("FOLDER/bad.png: cannot decode the image: it is {what}");
    assert_eq!(reason(b""), is("an empty file"));
    assert_eq!(reason(b"just text"), is("text"));
    let webp = "FOLDER/bad.png: cannot decode the image: ";
    assert!(reason(b"RIFF\x10\0\0\0WEBPVP8 ").starts_with(webp));

    // A header that announces 60000 x 60000 pixels.
    let good = fs::read(photos.path("1.png")).unwrap();
    let mut bomb = good[..33].to_vec();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bomb.extend(&good[33..]);
    let message = reason(&bomb);
    let expected = "the 60000x60000 pixels need 3433 MiB, expected at most 512 MiB";
    assert_eq!(message, format!("FOLDER/bad.png: cannot decode the image: {expected}"));
}

#[test]
fn damaged_files_are_errors_or_harmless_and_never_a_panic() {
    let photos = Photos::new();
    let mut stream = Stream::new(1, "bytes", 0);
    let noise = RgbImage::from_fn(16, 16, |_, _| Rgb([0; 3].map(|_: u8| stream.below(256) as u8)));
    for name in ["x.png", "x.jpg"] {
        noise.save(photos.path(name)).unwrap();
        let original = fs::read(photos.path(name)).unwrap();
        let expected = bytes(&photos.open(), 0);
        if name == "x.png" {
            assert_eq!(&expected, noise.as_raw());
        }
        for length in 0..original.len() {
            photos.file(name, &original[..length]);
            match photos.open_with("") {
                // All pixels are there, only the end of the file is not.
                Ok(data) => assert!(bytes(&data, 0) == expected, "{name}, {length} bytes"),
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
            }
        }
        for _ in 0..2000 {
            let mut damaged = original.clone();
            damaged[stream.below(original.len())] ^= 1 << stream.below(8);
            photos.file(name, &damaged);
            drop(photos.open_with(""));
        }
        fs::remove_file(photos.path(name)).unwrap();
    }
}

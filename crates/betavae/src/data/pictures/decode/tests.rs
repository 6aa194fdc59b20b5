//! Pixels of image files of every format, compared with those of their decoders and of other programs.

use std::fs;
use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::{GrayImage, ImageBuffer, ImageEncoder, Luma, LumaA, RgbImage, Rgba};

use super::*;
use crate::random::Stream;

mod damage;

const BLACK: [u8; 3] = [0; 3];

/// A file of `fixtures/images`.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images").join(name)).unwrap()
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// 3x2 pixels that differ.
fn small() -> RgbImage {
    RgbImage::from_fn(3, 2, |x, y| Rgb([80 * x as u8, 200 * y as u8, 40]))
}

fn noise(side: u32) -> RgbImage {
    let mut stream = Stream::new(1, "bytes", 0);
    RgbImage::from_fn(side, side, |_, _| Rgb([0; 3].map(|_: u8| stream.below(256) as u8)))
}

fn read(bytes: &[u8]) -> Result<DecodedImage> {
    decode(Path::new("x"), bytes, BLACK)
}

fn header(bytes: &[u8]) -> Result<ImageHeader> {
    read_header("x".into(), Cursor::new(bytes))
}

/// Pixels of a file whose header must agree with them.
#[track_caller]
fn pixels(bytes: &[u8]) -> Vec<u8> {
    let (header, image) = (header(bytes).unwrap(), read(bytes).unwrap());
    assert_eq!(header.size, [image.shape.height, image.shape.width]);
    assert_eq!(header.grey, image.shape.channels == 1);
    assert_eq!(image.pixels.len(), image.shape.values());
    image.pixels
}

/// What is wrong with a file, in the message of either its header or its pixels.
#[track_caller]
fn failure(bytes: &[u8]) -> String {
    let error = match header(bytes) {
        Ok(_) => read(bytes).expect_err("an error"),
        Err(error) => error,
    };
    let message = error.to_string();
    message.strip_prefix("x: cannot decode the image: ").expect("the file").to_owned()
}

/// What the decoder alone makes of a file.
fn plain(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).unwrap()
}

#[test]
fn image_files_are_known_by_their_endings() {
    let known = "a.png a.JPG a.jpeg a.jpe a.jfif a.webp a.bmp a.dib a.GIF a.tif b/a.TIFF";
    assert!(known.split(' ').all(|name| is_image(Path::new(name))));
    assert!(!["png", "a.svg", "a.heic", "a.pngx", "a"].iter().any(|n| is_image(Path::new(n))));
}

#[test]
fn upright_opaque_files_give_the_pixels_of_their_decoder() {
    let grey = GrayImage::from_fn(9, 5, |x, y| Luma([(25 * x + y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let bytes = encoded(noise(33), format);
        assert_eq!(pixels(&bytes), plain(&bytes).into_rgb8().into_raw());
        let bytes = encoded(grey.clone(), format);
        assert_eq!(pixels(&bytes), plain(&bytes).into_luma8().into_raw());
    }
    for name in ["baseline.jpg", "progressive.jpg", "restarts.jpg"] {
        let bytes = fixture(name);
        assert_eq!(pixels(&bytes), plain(&bytes).into_rgb8().into_raw(), "{name}");
    }
    let bytes = fixture("progressive-grey.jpg");
    assert_eq!(pixels(&bytes), plain(&bytes).into_luma8().into_raw());
    // Palettes, whose colours are all grey here, are colours.
    let bytes = encoded(small(), ImageFormat::Gif);
    assert!(!header(&bytes).unwrap().grey);
}

#[test]
fn lossless_formats_give_what_was_written() {
    use ImageFormat::{Bmp, Gif, Png, Tiff, WebP};
    for format in [Png, WebP, Bmp, Gif, Tiff] {
        let bytes = encoded(small(), format);
        assert_eq!(pixels(&bytes), small().into_raw(), "{format:?}");
        let header = header(&bytes).unwrap();
        assert_eq!((header.size, header.turned), ([2, 3], false));
    }
}

#[test]
fn formats_of_other_programs_are_read() {
    let rgb = |x: usize, y: usize| [10 * x as u8, 15 * y as u8, 40];
    let expected: Vec<u8> = (0..16).flat_map(|y| (0..24).flat_map(move |x| rgb(x, y))).collect();
    // The first image of several.
    assert_eq!(pixels(&fixture("animated.webp")), expected);
    assert_eq!(pixels(&fixture("pages.tif")), expected);
    let lossy = pixels(&fixture("lossy.webp"));
    let off = |(a, b): (&u8, &u8)| a.abs_diff(*b);
    assert!(lossy.iter().zip(&expected).map(off).max().unwrap() < 40);
    assert!(lossy.iter().zip(&expected).map(|p| u32::from(off(p))).sum::<u32>() < 24 * 16 * 3 * 8);

    let cutout = fixture("lossy-alpha.webp");
    let image = decode(Path::new("x"), &cutout, [1, 2, 3]).unwrap();
    assert_eq!((&image.pixels[..3], image.blended), (&[1, 2, 3][..], true));
    assert!(image.pixels[3 * 23].abs_diff(230) < 40);

    assert_eq!(failure(&fixture("float.tif")), WIDE);
    let float = image::Rgb32FImage::from_pixel(2, 2, Rgb([0.5; 3]));
    assert_eq!(failure(&encoded(float, ImageFormat::Tiff)), WIDE);
}

#[test]
fn inks_become_the_colours_that_other_programs_show() {
    for name in ["cmyk.jpg", "ycck.jpg"] {
        let image = pixels(&fixture(name));
        let middle = |i: usize| &image[3 * (4 * 32 + 8 * i + 4)..][..3];
        let expected = [[0, 255, 255], [255, 255, 0], [128, 0, 0], [255, 255, 255]];
        for (i, expected) in expected.iter().enumerate() {
            let near = middle(i).iter().zip(expected).all(|(a, b): (_, &u8)| a.abs_diff(*b) <= 3);
            assert!(near, "{name}: {:?} for {expected:?}", middle(i));
        }
    }
}

/// What cameras write: a TIFF header and one directory with the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
    exif[19] = orientation;
    exif
}

#[test]
fn orientation_tags_are_applied() {
    // Rows of 0 1 2, 3 4 5 as they are to be seen, for every tag.
    let upright: [(u8, [usize; 2], [u8; 6]); 9] = [
        (1, [2, 3], [0, 1, 2, 3, 4, 5]),
        (2, [2, 3], [2, 1, 0, 5, 4, 3]),
        (3, [2, 3], [5, 4, 3, 2, 1, 0]),
        (4, [2, 3], [3, 4, 5, 0, 1, 2]),
        (5, [3, 2], [0, 3, 1, 4, 2, 5]),
        (6, [3, 2], [3, 0, 4, 1, 5, 2]),
        (7, [3, 2], [5, 2, 4, 1, 3, 0]),
        (8, [3, 2], [2, 5, 1, 4, 0, 3]),
        (9, [2, 3], [0, 1, 2, 3, 4, 5]),
    ];
    let stored = GrayImage::from_vec(3, 2, (0..6).collect()).unwrap();
    for (tag, size, expected) in upright {
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif(tag)).unwrap();
        encoder.write_image(&stored, 3, 2, ColorType::L8.into()).unwrap();
        let found = header(&png).unwrap();
        assert_eq!((found.size, found.turned), (size, !matches!(tag, 1 | 9)), "{tag}");
        assert_eq!(pixels(&png), expected, "{tag}");

        // Blocks of 8x8, so that the values stay apart.
        let large = GrayImage::from_fn(24, 16, |x, y| Luma([40 * (x / 8 + 3 * (y / 8)) as u8]));
        let plain = encoded(large, ImageFormat::Jpeg);
        let segment = [&b"Exif\0\0"[..], &exif(tag)].concat();
        let length = (segment.len() as u16 + 2).to_be_bytes();
        let jpeg = [&plain[..2], &[0xff, 0xe1], &length, &segment, &plain[2..]].concat();
        assert_eq!(header(&jpeg).unwrap().size, size.map(|side| 8 * side));
        let image = pixels(&jpeg);
        let centre =
            |i: usize| image[(8 * (i / size[1]) + 4) * 8 * size[1] + 8 * (i % size[1]) + 4];
        let found: Vec<u8> = (0..6).map(|i| (centre(i) + 20) / 40).collect();
        assert_eq!(found, expected, "{tag}");
    }
    for name in ["turned.webp", "turned.tif"] {
        let header = header(&fixture(name)).unwrap();
        assert_eq!((header.size, header.turned), ([24, 16], true), "{name}");
        // The first row is the first column from below: red 0, green 225 to 0.
        let image = pixels(&fixture(name));
        assert_eq!((&image[..3], &image[45..48]), (&[0, 225, 40][..], &[0, 0, 40][..]), "{name}");
    }
}

#[test]
fn values_of_16_bits_are_reduced_and_the_brightest_is_told() {
    let grey = ImageBuffer::from_vec(2, 1, vec![4095_u16, 257 * 33 + 100]).unwrap();
    let color = ImageBuffer::from_pixel(1, 1, Rgb([65535_u16, 128, 129]));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let image = read(&encoded(DynamicImage::ImageLuma16(grey.clone()), format)).unwrap();
        assert_eq!((image.pixels, image.brightest16), (vec![16, 33], Some(8581)));
        let image = read(&encoded(DynamicImage::ImageRgb16(color.clone()), format)).unwrap();
        assert_eq!((image.pixels, image.brightest16), (vec![255, 0, 1], Some(65535)));
    }
    // Not the alpha.
    let clear = ImageBuffer::from_pixel(1, 1, LumaA([514_u16, 65535]));
    let image = read(&encoded(DynamicImage::ImageLumaA16(clear), ImageFormat::Png)).unwrap();
    assert_eq!((image.pixels, image.brightest16, image.blended), (vec![2], Some(514), false));
    assert_eq!(read(&encoded(small(), ImageFormat::Png)).unwrap().brightest16, None);
}

#[test]
fn transparent_images_are_blended_over_the_background() {
    let over = |image: DynamicImage, background| {
        let image = decode(Path::new("x"), &encoded(image, ImageFormat::Png), background).unwrap();
        (image.pixels, image.blended)
    };
    let rgba = |alpha| ImageBuffer::from_pixel(1, 1, Rgba([255_u8, 100, 1, alpha])).into();
    assert_eq!(over(rgba(51), BLACK), (vec![51, 20, 0], true));
    assert_eq!(over(rgba(51), [255; 3]), (vec![255, 224, 204], true));
    assert_eq!(over(rgba(0), [9, 8, 7]), (vec![9, 8, 7], true));
    assert_eq!(over(rgba(255), [9, 8, 7]), (vec![255, 100, 1], false));
    let rgba16 = ImageBuffer::from_pixel(1, 1, Rgba([65535_u16, 25700, 257, 13107]));
    assert_eq!(over(rgba16.into(), BLACK), (vec![51, 20, 0], true));
    // 200 * 128 / 255 is 100.4; over red, whose luma is 54, 27 more.
    let grey = |value: u8, alpha: u8| ImageBuffer::from_pixel(1, 1, LumaA([value, alpha]));
    let la = |value, alpha| DynamicImage::ImageLumaA8(grey(value, alpha));
    assert_eq!(over(la(200, 128), BLACK), (vec![100], true));
    assert_eq!(over(la(200, 128), [255, 0, 0]), (vec![127], true));

    // As it was done before there was a choice.
    for (value, alpha) in (0..=255).flat_map(|v| [0, 1, 77, 128, 254, 255].map(|a| (v, a))) {
        let expected = ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8;
        assert_eq!(opaque(la(value, alpha), BLACK).pixels, [expected]);
    }
}

#[test]
fn transparency_of_palettes_is_known_before_decoding() {
    let clear = ImageBuffer::from_fn(2, 1, |x, _| Rgba([10_u8, 20, 30, 255 * x as u8]));
    let gif = encoded(DynamicImage::ImageRgba8(clear), ImageFormat::Gif);
    let image = decode(Path::new("x"), &gif, [1, 2, 3]).unwrap();
    assert_eq!((image.pixels, image.blended), (vec![1, 2, 3, 10, 20, 30], true));
}

#[test]
fn files_of_other_kinds_are_named() {
    let cases: [(&[u8], &str); 13] = [
        (b"", "it is an empty file"),
        (b"abc", "it is text"),
        (b"%PDF-1.4", "it is a PDF document"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is an HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "it is an HEIC picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1", "it is an AVIF picture"),
        (b"\0\0\0\x18ftypmp42", "it is an MP4 film"),
        (b"\n<!DOCTYPE html><html>", "it is an HTML page"),
        (b"<?xml version=\"1.0\"?><svg width=\"1\">", "it is an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"qoif\0\0\0\x01", "it is a file of the format Qoi"),
        (b"P6 1 1 255\nabc", "it is text"),
        (b"PK\x03\x04", "it is a zip archive"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(failure(bytes), expected);
        assert!(read(bytes).unwrap_err().to_string().ends_with(expected));
    }
}

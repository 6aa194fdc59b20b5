//! Files that are cut, damaged, or followed by something else.

use super::super::jpeg::END;
use super::*;

#[test]
fn jpeg_files_end_where_their_image_ends() {
    for name in ["baseline.jpg", "progressive.jpg", "progressive-grey.jpg", "restarts.jpg"] {
        let whole = fixture(name);
        let expected = pixels(&whole);
        let end = whole.len() - 2;
        assert_eq!(whole[end..], [0xff, 0xd9]);
        let movie = b"\0\0\0\x18ftypmp42\xff\xda\0\x0c\x03 and so on \xff\xd9\xff\xda..";
        assert_eq!(pixels(&[&whole[..], movie].concat()), expected, "{name}");
        assert_eq!(pixels(&[&whole[..], &whole].concat()), expected, "{name}");
        assert_eq!(pixels(&[&whole[..], &whole[..300]].concat()), expected, "{name}");
        // Rows of zeros, bytes between the data and the end, between the headers, fill bytes.
        assert_eq!(pixels(&[&whole[..], &[0; 999]].concat()), expected, "{name}");
        assert_eq!(pixels(&[&whole[..end], &[7; 99], &whole[end..]].concat()), expected, "{name}");
        assert_eq!(pixels(&[&whole[..20], &[7; 9], &whole[20..]].concat()), expected, "{name}");
        assert_eq!(
            pixels(&[&whole[..end], &[0xff; 5], &whole[end..]].concat()),
            expected,
            "{name}"
        );
        // Without the end-of-image marker, or with one half of it.
        assert_eq!(pixels(&whole[..end]), expected, "{name}");
        assert_eq!(pixels(&whole[..end + 1]), expected, "{name}");
        assert_eq!(pixels(&[&whole[..end], &[0; 999]].concat()), expected, "{name}");
        // A preview within the metadata.
        let preview = [&b"Exif\0\0"[..], &whole].concat();
        let length = (preview.len() as u16 + 2).to_be_bytes();
        let nested = [&whole[..2], &[0xff, 0xe1], &length, &preview, &whole[2..]].concat();
        assert_eq!(pixels(&nested), expected, "{name}");
        assert!(failure(&nested[..nested.len() - whole.len() / 3]).contains(jpeg::MISSING_END));
    }
}

#[test]
fn jpeg_files_that_are_cut_are_errors() {
    let made = encoded(noise(16), ImageFormat::Jpeg);
    let made_grey = encoded(GrayImage::from_pixel(40, 40, Luma([9])), ImageFormat::Jpeg);
    let names = ["baseline.jpg", "progressive.jpg", "progressive-grey.jpg", "restarts.jpg"];
    let mut files: Vec<_> = names.map(|name| (name, fixture(name))).into();
    files.extend([("noise", made), ("grey", made_grey), ("cmyk", fixture("cmyk.jpg"))]);
    for (name, whole) in files {
        let (expected, end) = (pixels(&whole), whole.len() - 2);
        for length in 3..300 {
            let message = header(&whole[..length]).err().map(|error| error.to_string());
            assert!(message.is_none_or(|m| m.ends_with(jpeg::MISSING_END)), "{name} {length}");
        }
        let mut shortest = whole.len();
        for length in 0..end {
            for filling in [&[][..], &[0; 600]] {
                let cut = [&whole[..length], filling].concat();
                match read(&cut) {
                    Ok(image) => {
                        assert_eq!(image.pixels, expected, "{name} {length}");
                        shortest = shortest.min(length);
                    }
                    Err(error) if length > 3 => {
                        let message = error.to_string();
                        assert!(message.ends_with(jpeg::MISSING_END), "{name} {length}: {message}");
                    }
                    Err(_) => (),
                }
            }
            // The marker of an end that somebody has added, where a scan does not end.
            let ended = [&whole[..length], &END].concat();
            if !name.starts_with("progressive")
                && let Ok(image) = read(&ended)
            {
                assert_eq!(image.pixels, expected, "{name} {length}");
            }
        }
        // The last byte may hold nothing but filling bits.
        assert!(shortest >= end - 1, "{name}: {shortest} of {end}");
    }
}

#[test]
fn png_files_may_lack_their_last_chunk_only() {
    let rough = noise(20);
    let whole = encoded(rough.clone(), ImageFormat::Png);
    let end = whole.len() - 12;
    assert_eq!(&whole[end + 4..end + 8], b"IEND");
    for length in 0..whole.len() {
        match read(&whole[..length]) {
            Ok(image) => assert_eq!(&image.pixels, rough.as_raw()),
            Err(error) => assert!(length < end, "{length}: {error}"),
        }
    }
    assert!(read(&whole[..end - 12]).is_err());
    // What is left of a chunk without pixels does no harm.
    let text = [&whole[..end], b"\0\0\0\x09tEXtabc"].concat();
    assert_eq!(&pixels(&text), rough.as_raw());

    // Pixels in two chunks, of which the second is missing.
    let start = whole.windows(4).position(|name| name == b"IDAT").unwrap() + 4;
    let chunk = |content: &[u8]| {
        let named = [b"IDAT", content].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&named);
        let length = (content.len() as u32).to_be_bytes();
        [&length[..], &named, &crc.sum().to_be_bytes()].concat()
    };
    let (first, second) = (chunk(&whole[start..start + 600]), chunk(&whole[start + 600..end - 4]));
    let head = &whole[..start - 8];
    assert_eq!(&pixels(&[head, &first, &second].concat()), rough.as_raw());
    assert!(read(&[head, &first].concat()).is_err());
}

#[test]
fn other_files_that_are_cut_are_errors_or_whole() {
    use ImageFormat::{Bmp, Gif, Tiff, WebP};
    let mut files: Vec<_> =
        [Bmp, Gif, Tiff, WebP].map(|f| (format!("{f:?}"), encoded(noise(12), f))).into();
    let names = ["lossy.webp", "lossy-alpha.webp", "animated.webp", "pages.tif", "turned.tif"];
    files.extend(names.map(|name| (name.to_owned(), fixture(name))));
    for (name, whole) in files {
        let expected = pixels(&whole);
        for length in 0..whole.len() {
            if let Ok(image) = read(&whole[..length]) {
                assert_eq!(image.pixels, expected, "{name} {length}");
            }
        }
    }
}

#[test]
fn images_too_large_for_memory_are_refused() {
    let expected = "the 60000x60000 pixels need";
    let mut bmp = encoded(small(), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    let mut gif = encoded(small(), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    let mut jpeg = fixture("progressive.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc2]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    for bytes in [bmp, gif, jpeg] {
        let failure = failure(&bytes);
        assert!(failure.starts_with(expected) && failure.ends_with("at most 512 MiB"), "{failure}");
        let message = read(&bytes).unwrap_err().to_string();
        assert!(message.contains(&failure), "{message}");
    }
}

#[test]
fn damaged_files_are_errors_or_harmless_and_never_a_panic() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let formats = [Png, Jpeg, WebP, Bmp, Gif, Tiff];
    let mut files: Vec<_> = formats.map(|f| (format!("{f:?}"), encoded(noise(16), f))).into();
    let mut names: Vec<String> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| is_image(Path::new(name)))
            .collect();
    names.sort();
    files.extend(names.into_iter().map(|name| (name.clone(), fixture(&name))));
    let mut stream = Stream::new(2, "bytes", 0);
    for (name, whole) in files {
        let mut opened = 0;
        for round in 0..2000 {
            let mut damaged = whole.clone();
            for _ in 0..1 + round % 3 {
                // Headers matter more than pixels.
                let within = if round % 2 == 0 { whole.len() } else { whole.len().min(120) };
                damaged[stream.below(within)] ^= 1 << stream.below(8);
            }
            if round % 10 == 0 {
                damaged.truncate(stream.below(whole.len()));
            }
            // Both are needed, whatever the other value is.
            let (header, image) = (header(&damaged), read(&damaged));
            if let Ok(image) = image {
                assert_eq!(image.pixels.len(), image.shape.values());
                opened += usize::from(header.is_ok());
            }
        }
        assert!(opened > 0, "{name}");
    }
}

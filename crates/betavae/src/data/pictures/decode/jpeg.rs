//! JPEG files, complete ones only.
//!
//! The decoder makes up what is missing at the end of a file. Whether something is missing is found by
//! what follows the data: after the last byte the decoder is given ones, which are no code of any JPEG
//! table, so that it fails where it needs more than there is.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

pub(super) const MISSING_END: &str = "the end of the JPEG file is missing";

/// The end-of-image marker.
pub(super) const END: [u8; 2] = [0xff, 0xd9];

/// More ones than a code and its value have, or the decoder reads ahead.
const ONES: [u8; 64] = {
    let mut ones = [0; 64];
    let mut i = 0;
    while i < ones.len() {
        ones[i] = 0xff;
        i += 2;
    }
    ones
};

/// Zeros at the end of a file without end that are no data: more than compressed pixels have.
const FILLING: usize = 8;

/// Decodes an image and returns its orientation as well.
pub(super) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    let walk = Walk::new(bytes);
    let scans = walk.scans.len();
    if !walk.ended && (scans == 0 || !walk.frame.is_refined()) {
        return Err(MISSING_END.into());
    }
    let cut = walk.scans.iter().any(|scan| scan.restarts < scan.expected_restarts);
    if cut {
        return Err(MISSING_END.into());
    }
    let with_ones = [&walk.data[..], &ONES, &END].concat();
    let with_zeros = [&walk.data[..], &END].concat();
    if walk.ended {
        // The decoder wants the marker right after a progressive image of one scan.
        let progressive = walk.frame.progressive;
        let data = if progressive && scans == 1 { with_zeros } else { with_ones };
        return decode_strictly(&data)
            .map_err(|error| format!("its pixels are damaged or missing: {error}"));
    }
    // Single bits of the last refinement need no code: ones and zeros must do the same.
    match (decode_strictly(&with_ones), decode_strictly(&with_zeros)) {
        (Ok(image), Ok(other)) if image == other => Ok(image),
        _ => Err(MISSING_END.into()),
    }
}

/// Whether the end of the first image is there.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    Walk::new(bytes).ended
}

/// Decodes data of which everything must make sense.
fn decode_strictly(data: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let channels = if grey { 1 } else { 3 };
    super::check_size([width as u32, height as u32], width as u64 * height as u64 * channels)?;
    let colors = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colors));
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let (width, height) = (width as u32, height as u32);
    let image = match grey {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let image = image.ok_or("the decoder gave too few pixels")?;
    Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// The contents of a file's segments, up to the end of its first image.
#[derive(Default)]
struct Walk {
    /// The segments without what may lie between them, up to the end of the last scan.
    data: Vec<u8>,
    /// Whether there is an end-of-image marker.
    ended: bool,
    frame: Frame,
    scans: Vec<Scan>,
}

/// A run over (a part of) the image.
struct Scan {
    restarts: usize,
    expected_restarts: usize,
}

impl Walk {
    fn new(bytes: &[u8]) -> Self {
        let mut walk = Self { data: bytes[..bytes.len().min(2)].to_vec(), ..Self::default() };
        let (mut at, mut end_of_data, mut interval) = (2, 0, 0);
        while let Some((marker, after)) = next_marker(bytes, at) {
            at = after;
            match marker {
                0xd9 => {
                    walk.ended = true;
                    break;
                }
                // Markers without content.
                0x01 | 0xd0..=0xd8 => continue,
                _ => (),
            }
            let Some(segment) = segment(bytes, at) else { break };
            walk.data.extend([0xff, marker]);
            walk.data.extend(segment);
            at += segment.len();
            let content = &segment[2..];
            match (marker, content) {
                (0xdd, &[high, low, ..]) => interval = u16::from_be_bytes([high, low]).into(),
                (0xc0..=0xcf, _) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    walk.frame = Frame::new(marker, content);
                }
                (0xda, _) => {
                    let (length, restarts) = scan_data(&bytes[at..]);
                    walk.data.extend(&bytes[at..at + length]);
                    at += length;
                    end_of_data = walk.data.len();
                    let units = walk.frame.add_scan(content);
                    let expected_restarts = units.saturating_sub(1).checked_div(interval);
                    let expected_restarts = expected_restarts.unwrap_or(0);
                    walk.scans.push(Scan { restarts, expected_restarts });
                }
                _ => (),
            }
        }
        walk.data.truncate(end_of_data);
        if !walk.ended {
            // Downloads that were given up often have zeros in place of what is missing.
            let zeros = walk.data.iter().rev().take_while(|byte| **byte == 0).count();
            if zeros >= FILLING {
                walk.data.truncate(walk.data.len() - zeros);
            }
            // One half of a marker, or of eight ones.
            while walk.data.last() == Some(&0xff) {
                walk.data.pop();
            }
        }
        walk
    }
}

/// The next marker from `at` on, and where it ends.
fn next_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let pairs = bytes.get(at..)?.windows(2);
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
    let position = at + pairs.into_iter().position(is_marker)?;
    Some((bytes[position + 1], position + 2))
}

/// The segment at `at`, from its length of two bytes on, if it is all there.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let length = u16::from_be_bytes(*rest.first_chunk()?);
    rest.get(..length.into()).filter(|segment| segment.len() >= 2)
}

/// Length of the compressed data that `bytes` start with, and the number of restart markers in them.
fn scan_data(bytes: &[u8]) -> (usize, usize) {
    let (mut at, mut restarts) = (0, 0);
    while let Some(position) = bytes[at..].iter().position(|byte| *byte == 0xff) {
        let start = at + position;
        let Some(fill) = bytes[start..].iter().position(|byte| *byte != 0xff) else {
            return (start, restarts);
        };
        at = start + fill + 1;
        match bytes[start + fill] {
            0 => (),
            0xd0..=0xd7 => restarts += 1,
            _ => return (start, restarts),
        }
    }
    (bytes.len(), restarts)
}

/// The header of the frame, and which coefficients the scans contained.
#[derive(Default)]
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
}

struct Component {
    name: u8,
    /// Sampling factors: horizontal, vertical.
    sampling: [usize; 2],
    /// Number of low bits that are still to come, for every coefficient.
    bits_to_come: [u8; 64],
}

impl Frame {
    /// Reads the content of a start-of-frame segment.
    fn new(marker: u8, content: &[u8]) -> Self {
        let progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
        let Some((&[_, a, b, c, d, _], components)) = content.split_first_chunk() else {
            return Self { progressive, ..Self::default() };
        };
        let [height, width] = [[a, b], [c, d]].map(|side| u16::from_be_bytes(side).into());
        let components = components.as_chunks::<3>().0.iter().map(|[name, sampling, _]| {
            let sampling = [sampling >> 4, sampling & 15].map(|factor| usize::from(factor).max(1));
            Component { name: *name, sampling, bits_to_come: [16; 64] }
        });
        Self { progressive, width, height, components: components.collect() }
    }

    /// Whether every bit of every coefficient was in some scan.
    fn is_refined(&self) -> bool {
        self.components.iter().all(|component| component.bits_to_come == [0; 64])
    }

    /// Reads the content of a start-of-scan segment; returns the number of units of its data.
    fn add_scan(&mut self, content: &[u8]) -> usize {
        let largest = |axis| self.components.iter().map(|c| c.sampling[axis]).max().unwrap_or(1);
        let [h, v] = [0, 1].map(largest);
        let count = content.first().copied().unwrap_or(0);
        let (names, rest) = content.get(1..).unwrap_or_default().as_chunks::<2>();
        let names = &names[..names.len().min(count.into())];
        // Behind the components, which may be followed by more pairs.
        let tail = content.get(1 + 2 * usize::from(count)..).unwrap_or(rest);
        let (first, last, low) = match tail {
            [first, last, bits, ..] if self.progressive => (*first, *last, bits & 15),
            _ => (0, 63, 0),
        };
        let mut units = self.width.div_ceil(8 * h) * self.height.div_ceil(8 * v);
        for component in &mut self.components {
            if !names.iter().any(|[name, _]| *name == component.name) {
                continue;
            }
            let range = usize::from(first)..usize::from(last) + 1;
            if let Some(coefficients) = component.bits_to_come.get_mut(range) {
                coefficients.fill(low);
            }
            if names.len() == 1 {
                let blocks =
                    |size: usize, factor: usize, max: usize| (size * factor).div_ceil(8 * max);
                let [x, y] = component.sampling;
                units = blocks(self.width, x, h) * blocks(self.height, y, v);
            }
        }
        units
    }
}

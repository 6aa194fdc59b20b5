//! Event files that TensorBoard reads: the rows of `metrics.csv` as scalars, the KL of the latents as a
//! histogram, and the pictures of checkpoints.
//!
//! Every start of a run has a file of its own, which begins by saying from which step on it holds; of what
//! earlier files have from there, TensorBoard shows nothing. So a file needs no cutting when a run resumes.

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::{ImageFormat, RgbImage};
use prost::Message;

use super::folder::EVENT_FILE_PREFIX;
use crate::error::{IoContext, Result};
use crate::objective::Terms;

/// Bars of a histogram.
const BARS: usize = 30;

/// The part of TensorFlow's protocol buffers (event.proto, summary.proto) that we write.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1: a session starts here.
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(message, optional, tag = "5")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// 3: RGB.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(double, tag = "1")]
    min: f64,
    #[prost(double, tag = "2")]
    max: f64,
    #[prost(double, tag = "3")]
    num: f64,
    #[prost(double, tag = "4")]
    sum: f64,
    #[prost(double, tag = "5")]
    sum_squares: f64,
    #[prost(double, repeated, tag = "6")]
    bucket_limit: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    bucket: Vec<f64>,
}

/// An open event file.
pub(super) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// A new file in a run folder for what comes after `step`.
    pub(super) fn create(folder: &Path, step: u64) -> Result<Self> {
        // TensorBoard reads files in the order of their names.
        let started = (unix_seconds() * 1e6) as u64;
        let path = folder.join(format!("{EVENT_FILE_PREFIX}{started:020}.betavae"));
        let file = File::create(&path).context("create", &path)?;
        let mut events = Self { path, file };
        let version = Some("brain.Event:2".to_owned());
        events.write(Event { file_version: version, ..event(0) })?;
        let start = Some(SessionLog { status: 1 });
        events.write(Event { session_log: start, ..event(step + 1) })?;
        Ok(events)
    }

    /// The terms of a row of `metrics.csv`.
    pub(super) fn terms(&mut self, step: u64, terms: &Terms) -> Result<()> {
        let scalar = |(term, value): (String, f32)| {
            let group = if term.starts_with("kl_") { "latents" } else { "terms" };
            Value { simple_value: Some(value), ..named(format!("{group}/{term}")) }
        };
        let mut value: Vec<Value> = terms.rows().into_iter().map(scalar).collect();
        let histogram = Some(histogram(&terms.kl_per_latent));
        value.push(Value { histogram, ..named("latents/kl".into()) });
        self.write(Event { summary: Some(Summary { value }), ..event(step) })
    }

    /// A picture.
    pub(super) fn picture(&mut self, step: u64, name: &str, picture: &RgbImage) -> Result<()> {
        let mut png = Cursor::new(Vec::new());
        let encoded = picture.write_to(&mut png, ImageFormat::Png);
        encoded.unwrap_or_else(|error| unreachable!("memory takes a PNG: {error}"));
        let [height, width] = [picture.height(), picture.width()].map(|side| side as i32);
        let image = Image { height, width, colorspace: 3, encoded: png.into_inner() };
        let value = vec![Value { image: Some(image), ..named(name.to_owned()) }];
        self.write(Event { summary: Some(Summary { value }), ..event(step) })
    }

    fn write(&mut self, event: Event) -> Result<()> {
        let record = framed(&event.encode_to_vec());
        self.file.write_all(&record).context("write", &self.path)
    }
}

fn event(step: u64) -> Event {
    Event { wall_time: unix_seconds(), step: step as i64, ..Event::default() }
}

fn named(tag: String) -> Value {
    Value { tag, ..Value::default() }
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn histogram(values: &[f32]) -> Histogram {
    let values = || values.iter().map(|value| f64::from(*value));
    let (min, max) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    // Bars of no width are no histogram.
    let width = ((max - min) / BARS as f64).max(1e-12);
    let mut bucket = vec![0.0; BARS];
    for value in values() {
        bucket[(((value - min) / width) as usize).min(BARS - 1)] += 1.0;
    }
    Histogram {
        min,
        max,
        num: values().count() as f64,
        sum: values().sum(),
        sum_squares: values().map(|value| value * value).sum(),
        bucket_limit: (1..=BARS).map(|i| min + width * i as f64).collect(),
        bucket,
    }
}

/// A record of a TFRecord file: length, its checksum, content, its checksum.
fn framed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(content.len() + 16);
    record.extend(length);
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(content);
    record.extend(masked_checksum(content).to_le_bytes());
    record
}

/// TFRecord's checksum: CRC-32C, rotated and shifted so that a record can contain records.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Term, Unit};

    /// Reads what TensorFlow's reader would, and checks what it checks.
    fn read(bytes: &[u8]) -> Vec<Event> {
        let mut rest = bytes;
        let mut events = Vec::new();
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(number(&rest[8..12]), masked_checksum(&rest[..8]));
            let content = &rest[12..12 + length];
            assert_eq!(number(&rest[12 + length..16 + length]), masked_checksum(content));
            events.push(Event::decode(content).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    #[test]
    fn checksums_are_those_of_tensorflow() {
        // crc32c of 32 zero bytes is 8a9136aa (RFC 3720, B.4).
        assert_eq!(
            masked_checksum(&[0; 32]),
            0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
        assert_eq!(framed(b"").len(), 16);
    }

    #[test]
    fn a_file_says_from_where_it_holds_and_what_happened() {
        let folder = tempfile::tempdir().unwrap();
        let losses = vec![Term::new("kl", Unit::Nats, 2.0)];
        let terms = Terms { losses, kl_per_latent: vec![2.0, 0.0], weights: Vec::new() };
        let mut events = Events::create(folder.path(), 100).unwrap();
        events.terms(150, &terms).unwrap();
        events.picture(200, "traversal", &RgbImage::new(6, 4)).unwrap();
        let found = read(&std::fs::read(&events.path).unwrap());
        assert_eq!(found[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!((found[1].step, found[1].session_log.clone().unwrap().status), (101, 1));
        let values = &found[2].summary.as_ref().unwrap().value;
        assert_eq!(found[2].step, 150);
        let tags: Vec<&str> = values.iter().map(|value| value.tag.as_str()).collect();
        let scalars = ["terms/kl", "terms/active_latents", "latents/kl_0", "latents/kl_1"];
        assert_eq!(tags, [&scalars[..], &["latents/kl"]].concat());
        assert_eq!(values[0].simple_value, Some(2.0));
        let histogram = values[4].histogram.as_ref().unwrap();
        assert_eq!((histogram.num, histogram.sum, histogram.max), (2.0, 2.0, 2.0));
        assert_eq!((histogram.bucket[0], histogram.bucket[BARS - 1]), (1.0, 1.0));
        let image = found[3].summary.as_ref().unwrap().value[0].image.as_ref().unwrap();
        assert_eq!((image.width, image.height, &image.encoded[1..4]), (6, 4, &b"PNG"[..]));
    }
}

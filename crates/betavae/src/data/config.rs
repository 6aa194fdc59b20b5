//! Which images, and how they become images of one shape: the `[data]` table of a configuration.

use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::order;

/// Which images, and how they become images of one shape: the `[data]` table.
///
/// A setting that does not apply to a source is refused when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A rendered data set, one of [`super::RENDERED_SETS`], or a fetched one of [`super::sets::SETS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An `.npz` or `.npy` file, an official file or a folder of them, a folder or archive of images, or
    /// one image; excludes `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Resize images to [height, width]: averaged over areas when they shrink, interpolated linearly when
    /// they grow. Also read from `64` and `"64x48"`.
    #[serde(default, deserialize_with = "sides", skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Cut this [height, width] out of the middle of each image before resizing; default: the largest cut
    /// that has the aspect ratio of `size`.
    #[serde(default, deserialize_with = "sides", skip_serializing_if = "Option::is_none")]
    pub crop: Option<[usize; 2]>,
    /// Make images grey (1) or RGB (3); default: as they are, image files grey if every file is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// The colour behind transparent pixels of image files; default: white.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// Whether image files that cannot be decoded are left out; default: they are an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_damaged: bool,
    /// Name of the array inside an `.npz` or HDF5 file, or of the column of a Parquet file; default: `imgs`,
    /// `images`, or the only candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A table or array with the factors of the images, or `none`; default: what lies beside or in the data,
    /// see [`super::LABEL_TABLES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Order of the last axes of an array of four or more; default: guessed from the channel count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The part of a set that is divided by its authors, its folders or the names of its files; default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// How training walks through the images.
    #[serde(default)]
    pub order: order::Sampling,
}

impl DataConfig {
    /// Where factors come from.
    pub(super) fn label_source(&self) -> LabelSource<'_> {
        match self.labels.as_deref() {
            None => LabelSource::Found,
            Some(word) if word == Path::new("none") => LabelSource::None,
            Some(file) => LabelSource::File(file),
        }
    }

    /// The keys that are set, besides `name`, `path` and `order`, which every source has.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("size", self.size.is_some()),
            ("crop", self.crop.is_some()),
            ("channels", self.channels.is_some()),
            ("background", self.background.is_some()),
            ("skip_damaged", self.skip_damaged),
            ("key", self.key.is_some()),
            ("labels", self.labels.is_some()),
            ("layout", self.layout.is_some()),
            ("split", self.split.is_some()),
        ];
        keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }

    /// Removes all settings but the `wanted` ones, `name`, `path` and `order`.
    pub(super) fn retain(&mut self, wanted: &[&str]) {
        let has = |key: &str| wanted.contains(&key);
        self.size = self.size.filter(|_| has("size"));
        self.crop = self.crop.filter(|_| has("crop"));
        self.channels = self.channels.filter(|_| has("channels"));
        self.background = self.background.filter(|_| has("background"));
        self.skip_damaged &= has("skip_damaged");
        self.key = self.key.take().filter(|_| has("key"));
        self.labels = self.labels.take().filter(|_| has("labels"));
        self.layout = self.layout.filter(|_| has("layout"));
        self.split = self.split.filter(|_| has("split"));
    }
}

/// Where factors come from.
pub(super) enum LabelSource<'a> {
    /// Whatever is found in or beside the data.
    Found,
    /// Nowhere: images only.
    None,
    /// This file.
    File(&'a Path),
}

/// Order of the axes of an array of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// [N, H, W, C], as NumPy and TensorFlow users write it.
    Nhwc,
    /// [N, C, H, W], as PyTorch users write it.
    Nchw,
}

/// The part of a data set that is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    #[serde(alias = "training")]
    Train,
    /// For choosing between models.
    #[serde(alias = "val", alias = "validation", alias = "dev")]
    Valid,
    /// For the final test.
    #[serde(alias = "testing")]
    Test,
    /// Everything, training first.
    All,
}

impl Split {
    /// The parts, without the whole.
    pub(super) const PARTS: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// Its name in configurations.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::All => "all",
        }
    }

    /// The part that a word names, such as the name of a folder.
    pub(super) fn of(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "valid" | "val" | "validation" | "dev" => Some(Self::Valid),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }

    /// The part that the name of an array or file has as one of its words, such as `x_train` or
    /// `train-00000-of-00001.parquet`.
    pub(super) fn within(name: &str) -> Option<Self> {
        name.split(['_', '-', '.', '/']).find_map(Self::of)
    }

    /// Whether images of `part` are wanted.
    pub(super) fn takes(self, part: Self) -> bool {
        self == Self::All || self == part
    }
}

/// A colour behind transparent pixels: `"white"`, `"black"`, `"#rrggbb"` or `[r, g, b]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Background(pub [u8; 3]);

impl Default for Background {
    fn default() -> Self {
        Self([255; 3])
    }
}

impl std::fmt::Display for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [255, 255, 255] => f.write_str("white"),
            [0, 0, 0] => f.write_str("black"),
            [r, g, b] => write!(f, "#{r:02x}{g:02x}{b:02x}"),
        }
    }
}

impl Serialize for Background {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Background {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Word(String),
            Rgb([u8; 3]),
        }
        let expected = "data.background: expected white, black, '#rrggbb' or [r, g, b] of 0 to 255";
        let word = match Form::deserialize(deserializer).map_err(|_| D::Error::custom(expected))? {
            Form::Rgb(rgb) => return Ok(Self(rgb)),
            Form::Word(word) => word,
        };
        let colour = match word.as_str() {
            "white" => Some([255; 3]),
            "black" => Some([0; 3]),
            hex => hex.strip_prefix('#').filter(|digits| digits.len() == 6).and_then(|digits| {
                let [_, r, g, b] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
                Some([r, g, b])
            }),
        };
        colour.map(Self).ok_or_else(|| D::Error::custom(format!("{expected}, found `{word}`")))
    }
}

/// Height and width: `[48, 64]`, `64` for both, or a word such as `48x64`.
fn sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[usize; 2]>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Both(usize),
        Each([usize; 2]),
        Word(String),
    }
    let refuse = || D::Error::custom("expected [height, width], such as [64, 64], or 64 for both");
    match Form::deserialize(deserializer).map_err(|_| refuse())? {
        Form::Both(side) => Ok(Some([side; 2])),
        Form::Each(sides) => Ok(Some(sides)),
        Form::Word(word) => {
            let (height, width) = word.split_once(['x', ',']).ok_or_else(refuse)?;
            let side = |text: &str| text.trim().parse().map_err(|_| refuse());
            Ok(Some([side(height)?, side(width)?]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DataConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for text in ["[48, 64]", "'48x64'", "'48,64'", "'48, 64'"] {
            assert_eq!(read(&format!("size = {text}")).unwrap().size, Some([48, 64]), "{text}");
        }
        assert_eq!(read("crop = 64").unwrap().crop, Some([64, 64]));
        for text in ["[1, 2, 3]", "'64'", "'axb'", "-3", "1.5"] {
            let error = read(&format!("size = {text}")).unwrap_err();
            assert!(error.contains("such as [64, 64]"), "{text}: {error}");
        }
    }

    #[test]
    fn backgrounds_are_words_hexadecimal_or_numbers() {
        let of = |text: &str| read(&format!("background = {text}")).map(|c| c.background.unwrap());
        assert_eq!(of("'white'"), Ok(Background([255; 3])));
        assert_eq!(of("'#0a0B0c'"), Ok(Background([10, 11, 12])));
        assert_eq!(of("[1, 2, 3]"), Ok(Background([1, 2, 3])));
        assert!(of("'grue'").unwrap_err().contains("found `grue`"));
        assert!(of("'#12345'").is_err() && of("[1, 2, 300]").is_err());
        for colour in ["white", "black", "#010203"] {
            let config = read(&format!("background = '{colour}'")).unwrap();
            let text = toml::to_string(&config).unwrap();
            assert!(text.contains(&format!("background = \"{colour}\"")), "{text}");
            assert_eq!(read(&text).unwrap(), config);
        }
    }

    #[test]
    fn settings_are_kept_by_name() {
        let all = "size = 2\ncrop = 3\nchannels = 1\nbackground = 'black'\nskip_damaged = true\n\
                   key = 'x'\nlabels = 'y'\nlayout = 'nchw'\nsplit = 'val'\n";
        let config = read(all).unwrap();
        let keys = config.keys();
        assert_eq!(keys.len(), 9);
        for key in &keys {
            let mut one = config.clone();
            one.retain(&[key]);
            assert_eq!(one.keys(), [*key]);
        }
    }
}

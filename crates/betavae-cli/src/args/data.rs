//! Arguments of what is done with data sets.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// List, describe, fetch and export data sets
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// The data sets that need no file, and the official ones that can be fetched
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Size, factors and fingerprint of a data set; licence and citation of an official one
    Info {
        #[command(flatten)]
        images: Source,
        /// Set one key of [data], such as data.size=64; may be repeated
        #[arg(long = "set", value_name = "data.KEY=VALUE")]
        set: Vec<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Download the files of an official data set, so that `--set data.name=NAME` opens it
    #[command(after_help = "Examples:
  betavae data fetch shapes3d
  betavae data fetch mnist --output mnist/
  betavae data fetch shapes3d --url https://mirror.example.org/3dshapes.h5

An interrupted download goes on where it stopped. Files go to the folder BETAVAE_DATA, or else to \
betavae in the user's cache.")]
    Fetch {
        /// One of the official sets in `betavae data list`
        #[arg(value_name = "NAME")]
        name: String,
        /// Where to write instead; read it from there with data.path
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Another address of the file, or of a folder with all files (with a slash at its end)
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Write images as an .npz file with the keys of dSprites: `imgs`, and where the factors are
    /// known `latents_classes` and `latents_values`
    #[command(after_help = "Examples:
  betavae data export dsprites --indices 0..1000 --output first.npz
  betavae data export dsprites --output dsprites.npz
  betavae data export blobs --output blobs.npz")]
    Export {
        #[command(flatten)]
        images: Source,
        /// Set one key of [data], such as data.size=64; may be repeated
        #[arg(long = "set", value_name = "data.KEY=VALUE")]
        set: Vec<String>,
        /// Which images, first..last (last excluded) [default: all]
        #[arg(long, value_name = "A..B", value_parser = range)]
        indices: Option<Range<usize>>,
        /// Seed of the noise of the coloured, noisy and textured sets
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
        /// Where to write
        #[arg(long, value_name = "FILE.npz")]
        output: PathBuf,
    },
}

/// Images that are all a command is about, so that they need no flag.
#[derive(Args)]
pub struct Source {
    /// A data set name, an .npz or .npy file, an official file, a folder or archive of images, Parquet files
    #[arg(value_name = "INPUT", required_unless_present = "data")]
    place: Option<String>,
    /// The same, as other commands take it
    #[arg(long, value_name = "INPUT", visible_alias = "input", conflicts_with = "place")]
    data: Option<String>,
}

impl Source {
    /// What was given.
    pub fn word(&self) -> &str {
        self.place.as_deref().or(self.data.as_deref()).unwrap_or_default()
    }
}

fn range(text: &str) -> Result<Range<usize>, String> {
    let parts = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match parts {
        Some((first, last)) if first < last => Ok(first..last),
        _ => Err("expected first..last, such as 0..1000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_empty_ones_refused() {
        assert_eq!(range("0..1000"), Ok(0..1000));
        assert!(["5..5", "7..3", "5", "a..b", "..3"].iter().all(|text| range(text).is_err()));
    }
}

//! The images of an HDF5 dataset in their order, in bands of whole chunks, because the chunks of both official files
//! reach over thousands of images.

use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5_reader::{Dataset, DatasetChunk, DatasetChunkIterator, SliceInfo, SliceInfoElem};
use rayon::prelude::*;

use super::super::super::ImageShape;
use super::super::super::reader::ImageReader;
use super::super::input::COPY_AGAIN;
use super::images::damaged;
use crate::error::{Error, Result};

/// Images in bands of whole chunks: the chunks of a band stay as they are, and an image is put
/// together out of all of them when it is requested.
pub(super) struct Bands {
    path: PathBuf,
    key: String,
    data: Dataset,
    chunks: Option<Peekable<DatasetChunkIterator>>,
    len: usize,
    shape: ImageShape,
    /// Images of a band.
    rows: usize,
    white: u8,
    /// The images of the band that were not handed over yet.
    left: Range<usize>,
    tiles: Vec<Tile>,
}

/// Part of all images of a band.
struct Tile {
    /// The first image.
    row: usize,
    /// Where it is in an image, and its size: rows, columns, channels.
    start: [usize; 3],
    size: [usize; 3],
    /// [images, rows, columns, channels]
    bytes: Vec<u8>,
}

impl Tile {
    /// How many bytes of an image it has; the last tiles reach over the edges.
    fn part_of(&self, shape: ImageShape) -> usize {
        let sides = [shape.height, shape.width, shape.channels];
        (0..3).map(|i| self.size[i].min(sides[i] - self.start[i])).product()
    }

    /// Copies its part of image `index`.
    fn copy(&self, index: usize, image: &mut [u8], shape: ImageShape) {
        let [height, width, channels] = self.size;
        let stored = &self.bytes[(index - self.row) * height * width * channels..];
        let [y, x, c] = self.start;
        let run = channels.min(shape.channels - c);
        for i in 0..height.min(shape.height - y) {
            for j in 0..width.min(shape.width - x) {
                let from = (i * width + j) * channels;
                let to = ((y + i) * shape.width + x + j) * shape.channels + c;
                // A byte or two: a call would cost more.
                let pairs = image[to..to + run].iter_mut().zip(&stored[from..from + run]);
                pairs.for_each(|(pixel, byte)| *pixel = *byte);
            }
        }
    }
}

impl ImageReader for Bands {
    fn next(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        let shape = self.shape;
        while !bytes.is_empty() {
            if self.left.is_empty() {
                self.read_band()?;
            }
            let now = self.left.len().min(bytes.len() / shape.values());
            let (these, rest) = bytes.split_at_mut(now * shape.values());
            let (first, tiles) = (self.left.start, &self.tiles);
            these.par_chunks_exact_mut(shape.values()).enumerate().for_each(|(i, image)| {
                tiles.iter().for_each(|tile| tile.copy(first + i, image, shape));
            });
            if let Some(value) = these.iter().find(|value| **value > self.white) {
                let reason = format!("dataset `{}` holds {value}, expected 0 and 1", self.key);
                return Err(Error::file_hint(&self.path, reason, COPY_AGAIN));
            }
            self.left.start += now;
            bytes = rest;
        }
        Ok(())
    }
}

impl Bands {
    pub(super) fn new(
        path: &Path,
        key: &str,
        data: Dataset,
        len: usize,
        shape: ImageShape,
        rows: usize,
        white: u8,
    ) -> Result<Self> {
        let chunks = match data.chunks() {
            Some(_) => Some(data.iter_chunks().map_err(|error| damaged(path, key, &error))?),
            None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            key: key.to_owned(),
            data,
            chunks: chunks.map(Iterator::peekable),
            len,
            shape,
            rows,
            white,
            left: 0..0,
            tiles: Vec::new(),
        })
    }

    fn read_band(&mut self) -> Result<()> {
        let band = self.left.end..self.len.min(self.left.end + self.rows);
        if band.is_empty() {
            return Err(Error::file_hint(&self.path, "the images end too early", COPY_AGAIN));
        }
        // The memory of the last band is free before the next one needs its own.
        self.tiles = Vec::new();
        self.read_chunks(&band)?;
        let covered: usize = self.tiles.iter().map(|tile| tile.part_of(self.shape)).sum();
        if covered != self.shape.values() {
            // Not every chunk in its order: the library's general way is slower.
            self.tiles = Vec::new();
            self.tiles = vec![self.read_slice(&band)?];
        }
        self.left = band;
        Ok(())
    }

    /// The chunks of a band, if they come next.
    fn read_chunks(&mut self, band: &Range<usize>) -> Result<()> {
        let (path, key, shape) = (&self.path, &self.key, self.shape);
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        let in_band = |chunk: &Result<DatasetChunk, hdf5_reader::error::Error>| match chunk {
            Ok(chunk) => chunk.offsets().first().is_some_and(|row| (*row as usize) < band.end),
            Err(_) => true,
        };
        while let Some(chunk) = chunks.next_if(in_band) {
            let chunk = chunk.map_err(|error| damaged(path, key, &error))?;
            let bytes = chunk.bytes();
            let (row, start) = axes(chunk.offsets(), 0);
            let (rows, size) = axes(chunk.shape(), 1);
            let inside =
                start[0] < shape.height && start[1] < shape.width && start[2] < shape.channels;
            let values = size.iter().try_fold(rows, |product, x| product.checked_mul(*x));
            let next = self.tiles.last().is_none_or(|last: &Tile| last.start < start);
            let whole = row == band.start && rows >= band.len() && values == Some(bytes.len());
            if !(inside && next && whole) {
                break;
            }
            self.tiles.push(Tile { row, start, size, bytes: bytes.to_vec() });
        }
        Ok(())
    }

    /// A band as one tile.
    fn read_slice(&self, band: &Range<usize>) -> Result<Tile> {
        let mut selection = SliceInfo::all(self.data.ndim());
        if let Some(first) = selection.selections.first_mut() {
            let (start, end) = (band.start as u64, band.end as u64);
            *first = SliceInfoElem::Slice { start, end, step: 1 };
        }
        let array = self.data.read_slice_parallel::<u8>(&selection);
        let array = array.map_err(|error| damaged(&self.path, &self.key, &error))?;
        let (bytes, _) = array.into_raw_vec_and_offset();
        let ImageShape { height, width, channels } = self.shape;
        if bytes.len() != band.len() * self.shape.values() {
            return Err(Error::file_hint(&self.path, "the images end too early", COPY_AGAIN));
        }
        Ok(Tile { row: band.start, start: [0; 3], size: [height, width, channels], bytes })
    }
}

/// The axis of the images and the three others; images without channels have `last`.
fn axes(axes: &[u64], last: usize) -> (usize, [usize; 3]) {
    let axis = |i: usize| axes.get(i).map_or(last, |x| usize::try_from(*x).unwrap_or(usize::MAX));
    (axis(0), [axis(1), axis(2), axis(3)])
}

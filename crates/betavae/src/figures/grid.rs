//! Rows of small pictures with labels, the form of almost every figure of the field.

use burn::tensor::Tensor;
use image::{Rgb, RgbImage, imageops};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::model::weights::values;

/// Pixels between pictures and around the whole.
const GAP: u32 = 4;
/// Pictures smaller than this are enlarged by a whole factor.
const SMALLEST: u32 = 64;
const PAPER: Rgb<u8> = Rgb([255; 3]);
const FONT: RasterHeight = RasterHeight::Size16;
const LINE: u32 = 18;

/// Images [B, H, W, C] in [0, 1] as pictures: RGB for three channels, else grey (the mean over the
/// channels).
pub fn pictures(images: Tensor<4>) -> Vec<RgbImage> {
    let [_, height, width, channels] = images.dims();
    let values = values(images);
    let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    let picture = |image: &[f32]| {
        let mut pixels = image.chunks_exact(channels).map(|pixel| match *pixel {
            [r, g, b] => Rgb([byte(r), byte(g), byte(b)]),
            _ => Rgb([byte(pixel.iter().sum::<f32>() / channels as f32); 3]),
        });
        RgbImage::from_fn(width as u32, height as u32, |_, _| pixels.next().unwrap_or(PAPER))
    };
    values.chunks_exact(height * width * channels).map(picture).collect()
}

/// Collects labelled rows of pictures of one size and draws them.
#[derive(Default)]
pub struct Grid {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<RgbImage>)>,
}

impl Grid {
    /// An empty figure.
    pub fn new() -> Self {
        Self::default()
    }

    /// A line of text above everything.
    pub fn title(&mut self, text: impl Into<String>) {
        self.title = text.into();
    }

    /// Labels above the columns.
    pub fn columns(&mut self, labels: Vec<String>) {
        self.columns = labels;
    }

    /// Adds a row with a label on its left, which may be empty.
    pub fn row(&mut self, label: impl Into<String>, pictures: Vec<RgbImage>) {
        self.rows.push((label.into(), pictures));
    }

    /// Draws the figure.
    pub fn render(&self) -> RgbImage {
        let pictures = || self.rows.iter().flat_map(|(_, pictures)| pictures);
        let (width, height) = pictures().next().map_or((1, 1), RgbImage::dimensions);
        let scale = SMALLEST.div_ceil(width.max(height)).max(1);
        let (width, height) = (width * scale, height * scale);
        let columns = self.rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0) as u32;
        let margin = self.rows.iter().map(|(label, _)| text_width(label)).max().unwrap_or(0);
        let left = GAP + if margin > 0 { margin + 2 * GAP } else { 0 };
        let mut top = GAP;
        top += if self.title.is_empty() { 0 } else { LINE + GAP };
        top += if self.columns.is_empty() { 0 } else { LINE };
        let needed = left + columns * (width + GAP);
        let mut canvas = RgbImage::from_pixel(
            needed.max(2 * GAP + text_width(&self.title)),
            top + self.rows.len() as u32 * (height + GAP),
            PAPER,
        );
        write(&mut canvas, GAP, GAP, &self.title);
        let x = |column: usize| left + column as u32 * (width + GAP);
        for (i, label) in self.columns.iter().enumerate() {
            let indent = width.saturating_sub(text_width(label)) / 2;
            write(&mut canvas, x(i) + indent, top - LINE, label);
        }
        for (row, (label, pictures)) in self.rows.iter().enumerate() {
            let y = top + row as u32 * (height + GAP);
            write(&mut canvas, GAP, y + height.saturating_sub(LINE) / 2, label);
            for (column, picture) in pictures.iter().enumerate() {
                let picture =
                    imageops::resize(picture, width, height, imageops::FilterType::Nearest);
                imageops::replace(&mut canvas, &picture, x(column).into(), y.into());
            }
        }
        canvas
    }
}

fn text_width(text: &str) -> u32 {
    text.chars().count() as u32 * get_raster_width(FontWeight::Regular, FONT) as u32
}

/// Writes black on white; characters the font lacks become question marks.
fn write(canvas: &mut RgbImage, left: u32, top: u32, text: &str) {
    let step = get_raster_width(FontWeight::Regular, FONT) as u32;
    for (i, character) in text.chars().enumerate() {
        let glyph = get_raster(character, FontWeight::Regular, FONT)
            .or_else(|| get_raster('?', FontWeight::Regular, FONT));
        let Some(glyph) = glyph else { continue };
        for (dy, row) in glyph.rows().enumerate() {
            for (dx, ink) in row.iter().enumerate() {
                let (x, y) = (left + i as u32 * step + dx as u32, top + dy as u32);
                if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
                    *pixel = Rgb([255 - ink; 3]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn pictures_keep_colours_and_average_odd_channels() {
        let tensor = |values: Vec<f32>, shape: [usize; 4]| {
            Tensor::from_data(TensorData::new(values, shape), &Device::flex())
        };
        let rgb = pictures(tensor(vec![1.0, 0.0, 0.5, 0.0, 2.0, -1.0], [1, 1, 2, 3]));
        assert_eq!(rgb[0].get_pixel(0, 0), &Rgb([255, 0, 128]));
        assert_eq!(rgb[0].get_pixel(1, 0), &Rgb([0, 255, 0]));
        let two = pictures(tensor(vec![0.0, 1.0], [1, 1, 1, 2]));
        assert_eq!(two[0].get_pixel(0, 0), &Rgb([128; 3]));
    }

    #[test]
    fn a_grid_holds_every_row_and_label() {
        let picture = RgbImage::from_pixel(64, 32, Rgb([9, 8, 7]));
        let mut grid = Grid::new();
        let bare = {
            grid.row("", vec![picture.clone(); 3]);
            grid.render().dimensions()
        };
        assert_eq!(bare, (GAP + 3 * (64 + GAP), GAP + 32 + GAP));
        grid.title("a title");
        grid.columns(vec!["-3".into(), "0".into(), "3".into()]);
        grid.row("z1 é", vec![picture; 2]);
        let drawn = grid.render();
        assert!(drawn.width() > bare.0 && drawn.height() > bare.1 + 32);
        let dark = drawn.pixels().filter(|p| p.0 == [9, 8, 7]).count();
        assert_eq!(dark, 5 * 64 * 32);
    }
}

//! Rows of small pictures with labels, the form of almost every figure of the field.

use burn::tensor::Tensor;
use image::{Rgb, RgbImage, imageops};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::model::values;

/// Pixels between pictures and around the whole.
const GAP: u32 = 4;
/// Pictures smaller than this are enlarged by a whole factor.
const SMALLEST: u32 = 64;
const PAPER: Rgb<u8> = Rgb([255; 3]);
const FONT: RasterHeight = RasterHeight::Size16;
const LINE: u32 = 18;

/// Images [B, H, W, C] in [0, 1] as pictures: RGB for three channels, else grey (the mean over the
/// channels).
pub(crate) fn pictures(images: Tensor<4>) -> Vec<RgbImage> {
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
pub(crate) struct PictureGrid {
    title: String,
    rows: Vec<GridRow>,
}

#[derive(Default)]
struct GridRow {
    label: String,
    /// Above the pictures; none, or one each.
    captions: Vec<String>,
    pictures: Vec<RgbImage>,
}

impl GridRow {
    /// Pixels above its pictures.
    fn head(&self) -> u32 {
        if self.captions.is_empty() { 0 } else { LINE }
    }
}

impl PictureGrid {
    /// An empty figure.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A line of text above everything.
    pub(crate) fn title(&mut self, text: impl Into<String>) {
        self.title = text.into();
    }

    /// Adds a row with a label on its left, which may be empty.
    pub(crate) fn row(&mut self, label: impl Into<String>, pictures: Vec<RgbImage>) {
        self.rows.push(GridRow { label: label.into(), pictures, ..GridRow::default() });
    }

    /// Writes a caption above each picture of the row that was added last.
    pub(crate) fn captions(&mut self, captions: Vec<String>) {
        if let Some(row) = self.rows.last_mut() {
            row.captions = captions;
        }
    }

    /// Draws the figure.
    pub(crate) fn render(&self) -> RgbImage {
        let widest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| text_width(text)).max().unwrap_or(0)
        };
        let first = self.rows.iter().flat_map(|row| &row.pictures).next();
        let (width, height) = first.map_or((1, 1), RgbImage::dimensions);
        let scale = SMALLEST.div_ceil(width.max(height)).max(1);
        let (width, height) = (width * scale, height * scale);
        // Columns stand apart as far as the captions need.
        let caption = widest(&mut self.rows.iter().flat_map(|row| &row.captions));
        let step = (GAP + width).max(2 * GAP + caption);
        let columns = self.rows.iter().map(|row| row.pictures.len()).max().unwrap_or(0) as u32;
        let margin = widest(&mut self.rows.iter().map(|row| &row.label));
        let left = GAP + if margin > 0 { margin + 2 * GAP } else { 0 };
        let top = GAP + if self.title.is_empty() { 0 } else { LINE + GAP };
        let tall: u32 = self.rows.iter().map(|row| row.head() + height + GAP).sum();
        let wide = (left + columns * step).max(2 * GAP + text_width(&self.title));
        let mut canvas = RgbImage::from_pixel(wide, top + tall, PAPER);
        write(&mut canvas, GAP, GAP, &self.title);
        let mut y = top;
        for row in &self.rows {
            let x = |column: usize| left + column as u32 * step;
            for (column, caption) in row.captions.iter().enumerate() {
                let indent = width.saturating_sub(text_width(caption)) / 2;
                write(&mut canvas, x(column) + indent, y, caption);
            }
            y += row.head();
            write(&mut canvas, GAP, y + height.saturating_sub(LINE) / 2, &row.label);
            for (column, picture) in row.pictures.iter().enumerate() {
                let picture =
                    imageops::resize(picture, width, height, imageops::FilterType::Nearest);
                imageops::replace(&mut canvas, &picture, x(column).into(), y.into());
            }
            y += height + GAP;
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
        let mut grid = PictureGrid::new();
        grid.row("", vec![picture.clone(); 3]);
        let bare = grid.render();
        assert_eq!(bare.dimensions(), (GAP + 3 * (64 + GAP), GAP + 32 + GAP));
        grid.title("a title");
        grid.captions(vec!["-3".into(), "0".into(), "a wide caption".into()]);
        grid.row("z1 é", vec![picture; 2]);
        let drawn = grid.render();
        assert!(drawn.width() > bare.width() + 64 && drawn.height() > bare.height() + 32 + LINE);
        let dark = drawn.pixels().filter(|p| p.0 == [9, 8, 7]).count();
        assert_eq!(dark, 5 * 64 * 32);
    }
}

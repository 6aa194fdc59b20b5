//! Figures with axes: panels of curves and heat maps, as SVG or as an image.
//!
//! `plotters` draws them, and `resvg` makes images of that. Colours are those of Okabe and Ito (2008) for curves,
//! cividis (Nunez et al. 2018) for amounts, and orange to purple for values around zero; people with any colour
//! vision tell them apart, also in print. Text is in the colour [`INK`] and lines of the grid in [`GRID`], and nothing else is, so that a
//! page can replace them by its own.

mod draw;
mod fit;

use std::path::Path;
use std::sync::Once;

use image::RgbImage;
use plotters::prelude::{IntoDrawingArea, SVGBackend};
use plotters::style::{FontStyle, register_font};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::Tree;

use crate::error::{Error, Result};
use crate::files::{extension_of, write_atomically};
pub(crate) use crate::numbers::{round_step, short};

/// Colour of text and axes.
pub(crate) const INK: &str = "#222222";
/// Colour of the lines behind curves.
pub(crate) const GRID: &str = "#DDDDDD";

/// Panels in rows, below a title.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// Above everything; may be empty.
    pub(crate) title: String,
    /// Row by row.
    pub(crate) panels: Vec<Panel>,
    /// Panels in a row.
    pub(crate) columns: usize,
    /// Width and height of a panel in pixels.
    pub(crate) panel: [u32; 2],
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub(crate) enum Panel {
    /// Curves.
    Lines(Lines),
    /// A matrix.
    Heatmap(Heatmap),
}

/// Curves over a common axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Above the panel; may be empty.
    pub(crate) title: String,
    /// Across.
    pub(crate) x: Axis,
    /// Upwards.
    pub(crate) y: Axis,
    /// In the order of the legend.
    pub(crate) series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axis {
    /// With its unit; may be empty.
    pub(crate) label: String,
    /// Whether distances are ratios.
    pub(crate) log: bool,
    /// Its ends; the data's if absent.
    pub(crate) range: Option<[f64; 2]>,
    /// Names at 0, 1, 2.. in place of numbers; none if it is numbers. Only across.
    pub(crate) words: Vec<String>,
}

impl Axis {
    /// An axis with this label.
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// An axis on which distances are ratios.
    pub(crate) fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: true, ..Self::default() }
    }
}

/// One curve.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// In the legend; none if empty.
    pub(crate) label: String,
    /// x and y.
    pub(crate) points: Vec<[f64; 2]>,
    /// Low and high end at each point, drawn as an interval; not a number where there is none; may be empty.
    pub(crate) band: Vec<[f64; 2]>,
    /// Words beside the points; may be empty.
    pub(crate) names: Vec<String>,
    /// How it is drawn.
    pub(crate) mark: Mark,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A line in the next colour.
    #[default]
    Line,
    /// Points joined by a line.
    Points,
    /// Points alone, for what has no order.
    Dots,
    /// A thin grey line, for what matters less and for guides.
    Guide,
    /// The same, with its label at its left end rather than in the legend.
    Contour,
}

impl Mark {
    fn is_thin(self) -> bool {
        matches!(self, Self::Guide | Self::Contour)
    }
}

impl Series {
    /// A line.
    pub(crate) fn line(label: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { label: label.into(), points, ..Self::default() }
    }
}

/// A matrix of colours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heatmap {
    /// Above the panel; may be empty.
    pub(crate) title: String,
    /// Below it; may be empty.
    pub(crate) x_label: String,
    /// Beside it; may be empty.
    pub(crate) y_label: String,
    /// Names of the rows, from the top; none if the matrix is a map.
    pub(crate) rows: Vec<String>,
    /// Names of the columns.
    pub(crate) columns: Vec<String>,
    /// Number of rows and columns.
    pub(crate) shape: [usize; 2],
    /// Row by row; not a number is left blank.
    pub(crate) values: Vec<f64>,
    /// Whether colours are centred on zero.
    pub(crate) around_zero: bool,
    /// The value of the strongest colour; the largest if absent.
    pub(crate) most: Option<f64>,
    /// Whether each cell shows its value.
    pub(crate) annotated: bool,
}

impl Heatmap {
    /// Width and height of a panel whose cells have this size, with the names around them.
    pub(crate) fn panel_of(&self, cell: [u32; 2]) -> [u32; 2] {
        prepare_font();
        draw::heat_size(self, cell)
    }
}

/// Height of the first line of the figure's title, and of each other one.
const TITLE: [u32; 2] = [30, 20];
/// Lines of the title at most.
const TITLE_LINES: usize = 4;
/// Size of its letters.
const TITLE_SIZE: u32 = 17;
/// Height of a line of a legend.
pub(super) const LEGEND_LINE: u32 = 17;
/// Dots per pixel of images.
const DOTS: u32 = 2;

impl Figure {
    /// One panel of the usual size.
    pub(crate) fn one(panel: Panel) -> Self {
        Self { title: String::new(), panels: vec![panel], columns: 1, panel: [720, 420] }
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> [u32; 2] {
        let columns = self.columns.clamp(1, self.panels.len().max(1)) as u32;
        let rows = (self.panels.len() as u32).div_ceil(columns).max(1);
        let title = match self.title_lines(columns * self.panel[0]).len() as u32 {
            0 => 0,
            lines => TITLE[0] + (lines - 1) * TITLE[1],
        };
        [columns * self.panel[0], rows * self.panel[1] + title]
    }

    /// The title in lines of a figure of this width.
    fn title_lines(&self, width: u32) -> Vec<String> {
        prepare_font();
        fit::wrapped(&self.title, TITLE_SIZE, width as i32 - 16, TITLE_LINES)
    }

    /// The figure as SVG, with the viewer's sans-serif font and no background.
    pub fn svg(&self) -> String {
        prepare_font();
        let mut text = String::new();
        let [width, height] = self.size();
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        let drawn = draw::figure(self, &area);
        drop(area);
        debug_assert!(drawn.is_ok(), "{drawn:?}");
        // Without seams between the cells of a map.
        text.replacen('>', "><style>rect{shape-rendering:crispEdges}</style>", 1)
    }

    /// The figure as an image on white, with two dots to a pixel.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn image(&self) -> Result<RgbImage> {
        let failed = |reason: &dyn std::fmt::Display| {
            Error::config(format!("cannot draw `{}`: {reason}", self.title), "")
        };
        let tree = Tree::from_str(&self.svg(), &fonts()).map_err(|error| failed(&error))?;
        let [width, height] = self.size().map(|side| side * DOTS);
        let mut picture =
            Pixmap::new(width, height).ok_or_else(|| failed(&format!("{width}x{height} dots")))?;
        picture.fill(Color::WHITE);
        let scale = Transform::from_scale(DOTS as f32, DOTS as f32);
        resvg::render(&tree, scale, &mut picture.as_mut());
        let opaque = picture.data().chunks_exact(4).flat_map(|rgba| [rgba[0], rgba[1], rgba[2]]);
        Ok(RgbImage::from_raw(width, height, opaque.collect()).unwrap_or_default())
    }

    /// Writes an `.svg` or `.png` file.
    ///
    /// # Errors
    /// If the name ends otherwise, or the disk fails.
    pub fn save(&self, path: &Path) -> Result<()> {
        match extension_of(path).as_str() {
            "svg" => write_atomically(path, self.svg().as_bytes()),
            "png" => super::save(&self.image()?, path),
            _ => Err(Error::config(
                format!("{}: expected a file name ending in .svg or .png", path.display()),
                "",
            )),
        }
    }
}

/// The font that is part of the program, for text in images.
fn fonts() -> resvg::usvg::Options<'static> {
    let mut options = resvg::usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    options
}

/// The same font tells how much room text needs.
fn prepare_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        let known = register_font("sans-serif", FontStyle::Normal, font);
        debug_assert!(known.is_ok(), "a valid font");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let curve = |slope: f64| (0..20).map(|x| [f64::from(x), slope * f64::from(x)]).collect();
        let lines = Lines {
            title: "curves & <more>".into(),
            x: Axis::new("step"),
            y: Axis::new("KL in nats"),
            series: vec![
                Series::line("z1", curve(1.0)),
                Series {
                    band: (0..20).map(|x| [f64::from(x) - 1.0, f64::from(x) + 1.0]).collect(),
                    mark: Mark::Points,
                    ..Series::line("z2", curve(1.5))
                },
                Series { mark: Mark::Guide, ..Series::line("", curve(0.1)) },
            ],
        };
        let heat = Heatmap {
            rows: vec!["z1".into(), "z2".into()],
            columns: vec!["x".into(), "y".into(), "shape".into()],
            shape: [2, 3],
            values: vec![0.0, 0.5, 1.0, 0.25, f64::NAN, 0.75],
            annotated: true,
            ..Heatmap::default()
        };
        Figure {
            title: "everything".into(),
            panels: vec![Panel::Lines(lines), Panel::Heatmap(heat)],
            columns: 2,
            panel: [400, 300],
        }
    }

    #[test]
    fn a_figure_says_the_same_in_both_formats() {
        let figure = figure();
        let svg = figure.svg();
        for text in ["everything", "curves &amp; &lt;more&gt;", "KL in nats", "z2", "shape", "0.75"]
        {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN") && svg.contains(INK) && svg.contains("viewBox"));
        let image = figure.image().unwrap();
        assert_eq!(image.dimensions(), (1600, 660));
        // Text and curves leave ink on a small part of the paper.
        let ink = image.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
        assert!(ink > 1600 * 660 / 50 && ink < 1600 * 660 / 2, "{ink}");
    }

    #[test]
    fn odd_data_draws_something() {
        for points in
            [vec![], vec![[1.0, 1.0]], vec![[0.0, f64::NAN], [1.0, 2.0]], vec![[3.0, 3.0]; 5]]
        {
            for log in [false, true] {
                let axis = Axis { log, ..Axis::new("x") };
                let series = vec![Series::line("a", points.clone())];
                let lines = Lines { x: axis.clone(), y: axis, series, ..Lines::default() };
                assert!(Figure::one(Panel::Lines(lines)).svg().contains("</svg>"));
            }
        }
        let nothing = Panel::Heatmap(Heatmap::default());
        assert!(Figure::one(nothing).svg().contains("</svg>"));
        let zeros =
            Heatmap { shape: [1, 2], values: vec![0.0; 2], annotated: true, ..Heatmap::default() };
        assert!(Figure::one(Panel::Heatmap(zeros)).svg().contains("</svg>"));
    }
}

//! The factors of official arrays that come without labels.

use super::super::{Factor, FactorGrid, ImageShape};

/// The factors of an array of `len` images of `shape`, if it is that of an official file.
///
/// The MPI3D arrays hold nothing but images; their number tells the factors, and the name of the file
/// tells it from another array of the same size. Values are class numbers, as nothing else is
/// published. Order and sizes: Gondal et al. 2019 and the set's own description.
pub(crate) fn known_grid(file_name: &str, len: usize, shape: ImageShape) -> Option<FactorGrid> {
    let name = file_name.to_ascii_lowercase();
    let named = ["mpi3d", "real3d_complicated_shapes"].iter().any(|known| name.contains(known));
    if shape != ImageShape::new(64, 64, 3) || !named {
        return None;
    }
    let sizes = match len {
        1_036_800 => [6, 6, 2, 3, 3, 40, 40],
        460_800 => [4, 4, 2, 3, 3, 40, 40],
        _ => return None,
    };
    let names = [
        "object_color",
        "object_shape",
        "object_size",
        "camera_height",
        "background_color",
        "horizontal_axis",
        "vertical_axis",
    ];
    let factor = |(name, size): (&str, usize)| Factor::linspace(name, 0.0, size as f64 - 1.0, size);
    Some(FactorGrid { factors: names.into_iter().zip(sizes).map(factor).collect() })
}

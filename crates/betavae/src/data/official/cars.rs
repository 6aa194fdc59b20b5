//! Cars3D (Reed et al. 2015): `car_*_mesh.mat` in `nips2015-analogy-data.tar.gz` or in its unpacked
//! `data/cars`.
//!
//! A file holds one car: `im` [128, 128, 3, 24 azimuths, 4 elevations]. Images come car by car, in
//! the order of the names, then by azimuth, then by elevation.

use std::path::Path;

use super::super::bundle::Bundle;
use super::super::reader::ImageReader;
use super::matlab;
use super::raw::{MAX_VALUES, RawImages, image_shape};
use crate::error::{Error, Result};

/// The usual size of the images, half of what is stored.
pub(super) const SIZE: [usize; 2] = [64, 64];

/// Whether a file in a folder or archive is a car.
pub(super) fn is_car(name: &Path) -> bool {
    let file = name.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    file.starts_with("car_") && file.ends_with("_mesh.mat")
}

/// Opens the cars in `bundle`, of which there is at least one.
pub(super) fn open(path: &Path, bundle: Bundle) -> Result<RawImages> {
    let cars = bundle.len();
    let first = Car::read(&bundle, 0)?;
    let [height, width, channels, azimuths, elevations] = first.axes;
    let shape = image_shape(path, [height, width, channels])?;
    let len = cars.checked_mul(azimuths).and_then(|x| x.checked_mul(elevations));
    let Some(len) = len.filter(|len| *len <= MAX_VALUES / 3) else {
        return Err(Error::file(path, "there are too many images"));
    };
    let mut values = Vec::new();
    for i in 0..len {
        let (car, view) = (i / (azimuths * elevations), i % (azimuths * elevations));
        values.extend([car, view / elevations, view % elevations].map(|class| class as f64));
    }
    let names = ["object", "azimuth", "elevation"].map(str::to_owned).to_vec();
    let images = CarImages { bundle, axes: first.axes, car: first, next: 0 };
    let about = "Cars3D".to_owned();
    Ok(RawImages { about, len, shape, white: 255, names, values, images: Box::new(images) })
}

/// The images of one file.
struct Car {
    /// [H, W, C, azimuths, elevations], first axis fastest.
    axes: [usize; 5],
    values: Vec<u8>,
}

impl Car {
    fn read(bundle: &Bundle, index: usize) -> Result<Self> {
        let place = bundle.place(index);
        let array = matlab::read(&place, &bundle.read(index)?, "im")?;
        match <[usize; 5]>::try_from(array.axes) {
            Ok(axes) if axes[2] == 3 && !axes.contains(&0) => {
                Ok(Self { axes, values: array.values })
            }
            Ok(axes) => Err(wrong_axes(&place, &axes)),
            Err(axes) => Err(wrong_axes(&place, &axes)),
        }
    }

    /// Writes the image of view azimuth * elevations + elevation as [H, W, C].
    fn write(&self, view: usize, bytes: &mut [u8]) {
        let [height, width, channels, azimuths, elevations] = self.axes;
        let plane = height * width * channels;
        let image = (view % elevations * azimuths + view / elevations) * plane;
        for (i, byte) in bytes.iter_mut().enumerate() {
            let (pixel, c) = (i / channels, i % channels);
            let (y, x) = (pixel / width, pixel % width);
            *byte = self.values[image + y + height * (x + width * c)];
        }
    }
}

fn wrong_axes(place: &Path, axes: &[usize]) -> Error {
    let reason =
        format!("array `im`: expected axes [H, W, 3, azimuths, elevations], found {axes:?}");
    Error::file(place, reason)
}

struct CarImages {
    bundle: Bundle,
    axes: [usize; 5],
    car: Car,
    next: usize,
}

impl ImageReader for CarImages {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        let [height, width, channels, azimuths, elevations] = self.axes;
        let views = azimuths * elevations;
        for image in bytes.chunks_exact_mut(height * width * channels) {
            let view = self.next % views;
            if view == 0 && self.next > 0 {
                let index = self.next / views;
                self.car = Car::read(&self.bundle, index)?;
                if self.car.axes != self.axes {
                    return Err(wrong_axes(&self.bundle.place(index), &self.car.axes));
                }
            }
            self.car.write(view, image);
            self.next += 1;
        }
        Ok(())
    }
}

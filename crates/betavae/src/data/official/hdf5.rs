//! HDF5 files of images: Shapes3D (`images`, `labels`), dSprites (`imgs`, `latents/values`), and
//! whatever has the same keys. Here they are recognised; `images` opens them and `bands` reads their pixels
//! (cargo feature `formats`).

#[cfg(feature = "formats")]
mod bands;
#[cfg(feature = "formats")]
mod images;

#[cfg(feature = "formats")]
pub(super) use images::open;

/// Every HDF5 file starts with it, perhaps after a block of the user's.
const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Whether a file that starts with these bytes is HDF5.
pub(super) fn reads(start: &[u8]) -> bool {
    [0, 512, 1024, 2048].iter().any(|at| start.get(*at..).is_some_and(|x| x.starts_with(MAGIC)))
}

/// Stands for the reader in builds without it.
#[cfg(not(feature = "formats"))]
pub(super) fn open(
    path: &std::path::Path,
    _: &super::super::DataConfig,
    _: &mut Vec<String>,
) -> crate::error::Result<super::raw::RawImages> {
    Err(crate::error::Error::needs_formats(path, "HDF5 files"))
}

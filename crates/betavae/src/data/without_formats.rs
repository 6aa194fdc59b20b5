//! Files whose reader a build without the cargo feature `formats` lacks: each is refused with the name of that feature.

use std::path::Path;

use crate::codes::CodesWriter;
use crate::error::{Error, Result};

#[track_caller]
fn check_refused<T>(result: Result<T>, files: &str) {
    let error: Error = result.err().unwrap();
    let expected = format!("{files} need the cargo feature `formats`, which this build lacks");
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert_eq!(error.hint(), Some("build betavae with the cargo feature `formats`"));
}

#[test]
fn the_cargo_feature_is_named_instead_of_reading() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (name, files) in [
        ("data/hub.parquet", "Parquet files"),
        ("data/images.tar", "archives other than zip"),
        ("data/images.tgz", "archives other than zip"),
        ("official/3dshapes.h5", "HDF5 files"),
        ("official/rendered_chairs.tar", "archives other than zip"),
        ("official/nips2015-analogy-data.tar.gz", "archives other than zip"),
    ] {
        let path = fixtures.join(name).to_string_lossy().into_owned();
        check_refused(super::open_name_or_path(&path, 1), files);
    }
    let parquet = fixtures.join("data/hub.parquet");
    check_refused(
        crate::table::Table::read(&parquet, crate::table::TableRole::Codes),
        "Parquet files",
    );
    check_refused(CodesWriter::create(Path::new("codes.parquet"), 1, 1, false), "Parquet files");
}

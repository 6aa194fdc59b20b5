//! Official data sets by name: described, fetched from a server on this machine, trained on.

// Its commands find data sets in a folder of their own.
#[allow(dead_code)]
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::{TINY, betavae, path};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../betavae/fixtures/official").join(name)
}

/// Status, stdout and stderr of a command that finds its data sets in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = betavae().env("BETAVAE_DATA", folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A server that has the fixtures.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let name = first.split(' ').nth(1).unwrap().trim_start_matches('/');
            let body = fs::read(fixture(name)).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", body.len());
            stream.write_all(&[head.as_bytes(), b"\r\n\r\n", &body].concat()).unwrap();
        }
    });
    address
}

#[test]
fn a_set_that_is_not_here_is_described_with_the_way_to_get_it() {
    let place = tempfile::tempdir().unwrap();
    let (code, out, _) = run(place.path(), &["data", "info", "shapes3d"]);
    assert_eq!(code, Some(0));
    for part in
        ["Apache-2.0", "480,000", "floor_hue", "Burgess & Kim", "betavae data fetch shapes3d"]
    {
        assert!(out.contains(part), "{out}");
    }
    let (code, out, _) = run(place.path(), &["data", "info", "celeba", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["fetched"]), (Some(0), &serde_json::json!(false)));
    assert!(json["how_to_get"].as_str().unwrap().contains("https://mmlab.ie.cuhk.edu.hk"));

    let run_folder = place.path().join("run");
    let train = ["train", "--out", path(&run_folder), "--set", "data.name=shapes3d"];
    let (code, _, error) = run(place.path(), &train);
    assert_eq!(code, Some(1));
    assert!(error.contains("the files of 3D Shapes are not there"), "{error}");
    assert!(error.contains("hint: run `betavae data fetch shapes3d`"), "{error}");
    assert!(!run_folder.exists());

    let (code, _, error) = run(place.path(), &["data", "fetch", "celeba"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("only offered in a browser"), "{error}");
    let (code, _, error) = run(place.path(), &["data", "fetch", "blobs"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("`blobs` is not an official data set"), "{error}");
}

#[test]
fn a_set_is_fetched_and_then_found_by_its_name() {
    let place = tempfile::tempdir().unwrap();
    let base = serve();
    let (code, out, error) = run(place.path(), &["data", "fetch", "chairs3d", "--url", &base]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{error}");
    assert!(error.contains("train with --set data.name=chairs3d"), "{error}");
    let file = place.path().join("chairs3d/rendered_chairs.tar");
    assert_eq!(fs::read(file).unwrap(), fs::read(fixture("rendered_chairs.tar")).unwrap());

    let (_, out, _) = run(place.path(), &["data", "list"]);
    let fetched: Vec<&str> = out.lines().filter(|line| line.contains(" fetched ")).collect();
    assert!(matches!(fetched[..], [line] if line.starts_with("chairs3d ")), "{out}");
    let (_, out, error) = run(place.path(), &["data", "info", "chairs3d"]);
    for part in ["images   12 of 64x64x3", "azimuth", "licence  not stated", "Aubry"] {
        assert!(out.contains(part), "{out}{error}");
    }

    // The fixtures are not what the checksums of MNIST are of.
    let (code, _, error) = run(place.path(), &["data", "fetch", "mnist", "--url", &base]);
    assert_eq!(code, Some(1));
    assert!(error.contains("expected f68b3c2dcbeaaa9fbdd348bbdeb94873"), "{error}");
    assert!(!place.path().join("mnist/train-images-idx3-ubyte.gz").exists());
    for part in ["train", "t10k"] {
        for kind in ["images-idx3", "labels-idx1"] {
            let name = format!("{part}-{kind}-ubyte.gz");
            fs::copy(fixture(&name), place.path().join("mnist").join(&name)).unwrap();
        }
    }
    let run_folder = place.path().join("run");
    let mut train = vec!["train", "--out", path(&run_folder), "--steps", "2"];
    train.extend(TINY);
    train.extend(["--set", "data.name=mnist", "--set", "data.size=[32,32]"]);
    train.extend(["--set", "data.split=train"]);
    let (code, _, error) = run(place.path(), &train);
    assert_eq!(code, Some(0), "{error}");
    let (_, out, error) = run(place.path(), &["evaluate", path(&run_folder), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect(&error);
    assert_eq!(json["images"], 20);
}

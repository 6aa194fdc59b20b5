//! Figures, reports and the live page of tiny runs.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use common::{betavae, path, refuse, run, succeed, train_tiny};

fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| Path::new(line).file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn figures_that_apply_are_drawn_and_others_are_explained() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let folder = at("run");
    let bounded = ["--set", "objective.kind=b", "--set", "objective.c_steps=30"];
    let logged = ["--set", "train.log_every=5"];
    train_tiny(&folder, 40, &[&bounded[..], &logged].concat());
    let drawn = succeed(&["figures", path(&folder)]);
    let expected = [
        "traversal.png",
        "reconstructions.png",
        "samples.png",
        "responses.svg",
        "matrices.svg",
        "terms.svg",
        "kl-training.svg",
        "kl-capacity.svg",
    ];
    assert_eq!(lines(&drawn), expected);
    assert!(drawn.lines().all(|file| fs::metadata(file).unwrap().len() > 500));
    let svg = fs::read_to_string(folder.join("figures/kl-capacity.svg")).unwrap();
    assert!(svg.contains("capacity C in nats"), "{svg}");

    let only = ["figures", path(&folder), "--only", "terms", "--format", "png", "--output"];
    assert_eq!(lines(&succeed(&[&only[..], &[path(&at("x"))]].concat())), ["terms.png"]);
    assert!(image::open(at("x/terms.png")).unwrap().width() > 800);
    let said = refuse(2, &["figures", path(&folder), "--only", "score-beta"]);
    assert!(
        said.contains("no figure `score-beta`: it needs run folders with scores.json"),
        "{said}"
    );

    // A model file has no run, and other data no factors.
    succeed(&["export", path(&folder), "--output", path(&at("m.safetensors"))]);
    let model = [path(&at("m.safetensors")), "--output", path(&at("y"))].map(str::to_owned);
    let drawn = succeed(&["figures", &model[0], "--output", &model[2]]);
    assert_eq!(lines(&drawn), expected[..5]);
}

#[test]
fn runs_are_compared_in_figures_and_in_a_report() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| path(&scratch.path().join(name)).to_owned();
    // A name that would be markup if it were not escaped.
    let names = ["a", "<img src=x onerror=alert(1)>", "c"].map(at);
    for (i, name) in names.iter().enumerate() {
        let beta = format!("objective.beta={}", i + 1);
        train_tiny(Path::new(name), 60, &["--set", &beta]);
        let own = fs::read_to_string(Path::new(name).join("report.html")).unwrap();
        assert!(own.contains("Loss terms") && own.contains("finished"), "a report at the end");
    }
    let [a, b, c] = [&names[0], &names[1], &names[2]];
    let drawn = succeed(&["figures", a, b, c, "--output", &at("compared")]);
    assert_eq!(lines(&drawn), ["rate-distortion.svg", "score-beta.svg"]);
    let svg = fs::read_to_string(at("compared/rate-distortion.svg")).unwrap();
    assert!(svg.contains("ELBO -") && svg.contains("\u{3b2} 3"), "{svg}");

    let output = at("report.html");
    assert_eq!(succeed(&["report", a, b, c, "--output", &output]).trim(), output);
    let page = fs::read_to_string(&output).unwrap();
    assert!(page.contains("<th>objective.beta</th><td>1.0</td><td>2.0</td><td>3.0</td>"));
    assert!(page.contains("<th>steps</th><td>60</td><td>60</td><td>60</td>"));
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    // One file: whatever is shown is in it.
    for source in page.split("src=\"").skip(1) {
        assert!(source.starts_with("data:image/png;base64,"), "{}", &source[..40]);
    }
    assert!(!page.contains("<script") && !page.contains("http://www.w3.org/1999"));
}

#[test]
fn a_report_does_without_what_is_missing() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    train_tiny(&folder, 60, &[]);
    for name in ["evaluation.json", "scores.json", "timing.csv", "provenance.toml"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    fs::remove_dir_all(folder.join("checkpoints")).unwrap();
    // As it stood before its last row.
    let metrics = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let rows: String =
        metrics.split_inclusive('\n').filter(|row| !row.starts_with("60,")).collect();
    fs::write(folder.join("metrics.csv"), rows).unwrap();
    succeed(&["report", path(&folder)]);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("at step 50 of 60") && page.contains("could not be opened"));
    fs::write(folder.join("scores.json"), "{").unwrap();
    let said = refuse(1, &["report", path(&folder)]);
    assert!(said.contains("scores.json"), "{said}");
    fs::write(folder.join("metrics.csv"), "step,term,value\n1,kl,x\n").unwrap();
    fs::remove_file(folder.join("scores.json")).unwrap();
    let said = refuse(1, &["report", path(&folder)]);
    assert!(said.contains("metrics.csv") && said.contains("line 2"), "{said}");
    let nowhere = path(scratch.path()).to_owned();
    assert!(refuse(1, &["report", &nowhere]).contains("not a run folder"));
}

/// Sends a request as it stands and returns the answer.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_live_page_serves_the_run_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    train_tiny(&folder, 60, &[]);
    fs::write(scratch.path().join("secret.png"), "secret").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../../secret.png", folder.join("figures/link.png")).unwrap();
    let mut server = betavae()
        .args(["watch", path(&folder), "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let port: u16 = url.trim_end_matches("/\n").rsplit_once(':').unwrap().1.parse().unwrap();
    let get = |path: &str, host: &str| {
        ask(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    let page = get("/", "127.0.0.1");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("default-src 'none'"), "{page}");
    assert!(page.contains("at step 50 of 60") || page.contains("finished"), "{page}");
    let live = get("/live", "localhost:6007");
    let picture = live.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    let found = get(&format!("/{picture}"), "[::1]:1");
    assert!(found.starts_with("HTTP/1.1 200") && found.contains("PNG"));
    for path in [
        "/figures/link.png",
        "/figures/../config.toml",
        "/figures/..%2fconfig.toml",
        "/figures/%2e%2e/%2e%2e/secret.png",
        "/figures//etc/passwd",
        "/figures/",
        "/config.toml",
        "//",
    ] {
        let answer = get(path, "localhost");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    for host in ["evil.example", "evil.example:6007", "localhost.evil.example", "10.0.0.1", ""] {
        let answer = get("/live", host);
        assert!(answer.starts_with("HTTP/1.1 403"), "{host}: {answer}");
    }
    let post =
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(ask(port, post).starts_with("HTTP/1.1 405"));
    let taken = run(&["watch", path(&folder), "--port", &port.to_string()]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("choose another --port"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(refuse(1, &["watch", path(scratch.path())]).contains("not a run folder"));
}

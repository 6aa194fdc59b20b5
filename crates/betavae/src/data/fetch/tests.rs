//! Against a server on this machine that misbehaves as told.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

/// Answers one request, given its path and its headers in small letters.
type Answer = dyn FnMut(&mut TcpStream, &str, &str) + Send;

/// A server that answers with `answer` until the test ends; remembers all requests.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(mut answer: impl FnMut(&mut TcpStream, &str, &str) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                serve(&mut stream, &seen, &mut answer);
            }
        });
        Self { address, requests }
    }

    /// The `Range` headers of all requests, empty where there was none.
    fn ranges(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|x| value(x, "range").unwrap_or_default().to_owned()).collect()
    }
}

fn serve(stream: &mut TcpStream, seen: &Mutex<Vec<String>>, answer: &mut Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let head = head.to_lowercase();
    seen.lock().unwrap().push(head.clone());
    answer(stream, &path, &head);
}

/// The value of a header.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn start(head: &str) -> usize {
    let range = value(head, "range").and_then(|x| x.strip_prefix("bytes=")?.strip_suffix('-'));
    range.map_or(0, |start| start.parse().unwrap())
}

fn content() -> Vec<u8> {
    (0..300_000_u64).map(|i| ((i * i) >> 7) as u8).collect()
}

fn md5_of_content() -> String {
    HEXLOWER.encode(&Md5::digest(content()))
}

/// Sends status, headers and body, and closes the connection.
fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    // The other side may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Sends the part that was asked for, cut off after `most` bytes.
fn send_part(stream: &mut TcpStream, head: &str, most: usize) {
    let (content, start) = (content(), start(head));
    let (all, rest) = (content.len(), &content[start..]);
    let length = format!("ETag: \"v1\"\r\nContent-Length: {}\r\n", rest.len());
    let body = &rest[..most.min(rest.len())];
    match start {
        0 => send(stream, "200 OK", &length, body),
        _ => {
            let range = format!("{length}Content-Range: bytes {start}-{}/{all}\r\n", all - 1);
            send(stream, "206 Partial Content", &range, body);
        }
    }
}

struct Client {
    folder: tempfile::TempDir,
    fetcher: Fetcher,
}

impl Client {
    fn new() -> Self {
        let fetcher = Fetcher { agent: agent(Duration::from_secs(2)), pause: Duration::ZERO };
        Self { folder: tempfile::tempdir().unwrap(), fetcher }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("set.h5")
    }

    fn get(&self, url: &str, md5: Option<&str>) -> Result<()> {
        self.fetcher.file(url, md5, &self.target(), &mut |_, _, _| ())
    }

    #[track_caller]
    fn failure(&self, url: &str, md5: Option<&str>) -> String {
        let error = self.get(url, md5).unwrap_err().to_string();
        error.replace(&self.folder.path().display().to_string(), "FOLDER").replace(url, "URL")
    }

    /// Names in the folder.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn has_content(&self) {
        assert!(fs::read(self.target()).unwrap() == content());
        assert_eq!(self.files(), ["set.h5"]);
    }
}

#[test]
fn a_whole_file_with_progress_and_only_once() {
    let server = Server::new(|stream, _, head| send_part(stream, head, usize::MAX));
    let client = Client::new();
    let mut seen = Vec::new();
    let mut progress = |name: &str, here, all| seen.push((name.to_owned(), here, all));
    let md5 = md5_of_content();
    let file = client.target();
    client.fetcher.file(&server.address, Some(&md5), &file, &mut progress).unwrap();
    client.has_content();
    assert_eq!(seen[0], ("set.h5".into(), 0, Some(300_000)));
    assert_eq!(seen.last().unwrap().1, 300_000);
    assert!(seen.is_sorted_by_key(|(_, here, _)| *here));
    client.get(&server.address, Some(&md5)).unwrap();
    assert_eq!(server.ranges(), [""]);
}

#[test]
fn a_broken_connection_is_continued() {
    let server = Server::new(|stream, _, head| send_part(stream, head, 110_000));
    for md5 in [None, Some(md5_of_content())] {
        let client = Client::new();
        client.get(&server.address, md5.as_deref()).unwrap();
        client.has_content();
    }
    let ranges = ["", "bytes=110000-", "bytes=220000-"];
    assert_eq!(server.ranges(), [ranges, ranges].concat());
    let requests = server.requests.lock().unwrap();
    assert_eq!(value(&requests[1], "if-range"), Some("\"v1\""));
}

#[test]
fn a_later_call_continues() {
    let mut calls = 0;
    let server = Server::new(move |stream, _, head| {
        calls += 1;
        match calls {
            1 => send_part(stream, head, 200_000),
            2..=5 => send(stream, "503 Service Unavailable", "Content-Length: 0\r\n", b""),
            _ => send_part(stream, head, usize::MAX),
        }
    });
    let client = Client::new();
    let message = client.failure(&server.address, None);
    let reason =
        "FOLDER/set.h5: cannot be downloaded from URL: the server answers 503 Service Unavailable";
    assert_eq!(message, reason);
    assert_eq!(client.files(), ["set.h5.part", "set.h5.part.tag"]);
    client.get(&server.address, None).unwrap();
    client.has_content();
    assert_eq!(server.ranges().last().unwrap(), "bytes=200000-");
}

#[test]
fn an_old_part_without_any_proof_is_not_continued() {
    let server = Server::new(|stream, _, head| send_part(stream, head, usize::MAX));
    let client = Client::new();
    fs::write(client.folder.path().join("set.h5.part"), [1; 1000]).unwrap();
    client.get(&server.address, None).unwrap();
    client.has_content();
    assert_eq!(server.ranges(), [""]);

    // With a checksum it is tried, and given up when the whole is wrong; or longer than the file.
    for (old, ranges) in [(1000, ["bytes=1000-", ""]), (400_000, ["bytes=400000-", ""])] {
        let server = Server::new(|stream, _, head| match start(head) {
            400_000 => {
                let range = "Content-Range: bytes */300000\r\nContent-Length: 0\r\n";
                send(stream, "416 Range Not Satisfiable", range, b"");
            }
            _ => send_part(stream, head, usize::MAX),
        });
        let client = Client::new();
        fs::write(client.folder.path().join("set.h5.part"), vec![1; old]).unwrap();
        client.get(&server.address, Some(&md5_of_content())).unwrap();
        client.has_content();
        assert_eq!(server.ranges(), ranges);
    }
    // Complete, but not renamed.
    let server = Server::new(|stream, _, _| {
        let range = "Content-Range: bytes */300000\r\nContent-Length: 0\r\n";
        send(stream, "416 Range Not Satisfiable", range, b"");
    });
    let client = Client::new();
    fs::write(client.folder.path().join("set.h5.part"), content()).unwrap();
    client.get(&server.address, Some(&md5_of_content())).unwrap();
    client.has_content();
}

#[test]
fn a_wrong_checksum_never_costs_what_is_there() {
    let server = Server::new(|stream, _, head| send_part(stream, head, usize::MAX));
    let client = Client::new();
    fs::write(client.target(), b"older version").unwrap();
    let md5 = "00000000000000000000000000000000";
    let found = md5_of_content();
    let reason = format!("what came has the MD5 checksum {found}, expected {md5}");
    assert_eq!(client.failure(&server.address, Some(md5)), format!("FOLDER/set.h5: {reason}"));
    assert_eq!(fs::read(client.target()).unwrap(), b"older version");
    // Whereas a right one replaces it.
    client.get(&server.address, Some(&found)).unwrap();
    client.has_content();
}

#[test]
fn a_server_without_ranges_starts_again() {
    let mut calls = 0;
    let server = Server::new(move |stream, _, _| {
        calls += 1;
        let content = content();
        let sent = if calls == 1 { 100_000 } else { content.len() };
        send(stream, "200 OK", "ETag: \"v1\"\r\nContent-Length: 300000\r\n", &content[..sent]);
    });
    let client = Client::new();
    client.get(&server.address, None).unwrap();
    client.has_content();
    assert_eq!(server.ranges(), ["", "bytes=100000-"]);
}

#[test]
fn the_wrong_part_is_not_appended() {
    let mut calls = 0;
    let server = Server::new(move |stream, _, head| {
        calls += 1;
        match calls {
            1 => send_part(stream, head, 100_000),
            2 => {
                let range = "Content-Range: bytes 50-59/300000\r\nContent-Length: 10\r\n";
                send(stream, "206 Partial Content", range, &[0; 10]);
            }
            _ => send_part(stream, head, usize::MAX),
        }
    });
    let client = Client::new();
    client.get(&server.address, None).unwrap();
    client.has_content();
    assert_eq!(server.ranges(), ["", "bytes=100000-", ""]);
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let server = Server::new(|stream, path, head| match path {
        "/old" => send(stream, "302 Found", "Location: /new\r\nContent-Length: 0\r\n", b""),
        "/new" => send_part(stream, head, 160_000),
        _ => send(stream, "302 Found", "Location: /loop\r\nContent-Length: 0\r\n", b""),
    });
    let client = Client::new();
    client.get(&format!("{}/old", server.address), None).unwrap();
    client.has_content();
    assert_eq!(server.ranges(), ["", "", "bytes=160000-", "bytes=160000-"]);
    let message = Client::new().failure(&format!("{}/loop", server.address), None);
    assert!(message.contains("redirect"), "{message}");
}

#[test]
fn what_is_not_there_is_said_at_once() {
    let server = Server::new(|stream, _, _| {
        send(stream, "404 Not Found", "Content-Length: 5\r\n", b"sorry");
    });
    let client = Client::new();
    let reason = "FOLDER/set.h5: cannot be downloaded from URL: the server answers 404 Not Found";
    assert_eq!(client.failure(&server.address, None), reason);
    assert_eq!(server.ranges().len(), 1);
    assert!(!client.target().exists());
}

#[test]
fn wrong_lengths_are_noticed() {
    // Announces more than it has, always.
    let server = Server::new(|stream, _, head| {
        let (content, start) = (content(), start(head));
        let headers = format!(
            "ETag: \"v1\"\r\nContent-Length: {}\r\nContent-Range: bytes {start}-299999/300000\r\n",
            300_000 - start
        );
        let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
        send(stream, status, &headers, &content[start..start.max(250_000)]);
    });
    let client = Client::new();
    let message = client.failure(&server.address, None);
    assert!(message.starts_with("FOLDER/set.h5: cannot be downloaded from URL: "), "{message}");
    assert!(!client.target().exists());
    assert_eq!(server.ranges().len(), 1 + ATTEMPTS);

    // Announces less than it has: the checksum tells.
    let server = Server::new(|stream, _, _| {
        send(stream, "200 OK", "Content-Length: 299999\r\n", &content());
    });
    let client = Client::new();
    let message = client.failure(&server.address, Some(&md5_of_content()));
    assert!(message.contains("what came has the MD5 checksum"), "{message}");
    assert!(!client.target().exists());

    // Announces what no disk has.
    let server = Server::new(|stream, _, _| {
        send(stream, "200 OK", "Content-Length: 999999999999999\r\n", b"x");
    });
    let message = Client::new().failure(&server.address, None);
    assert!(message.ends_with("the server announces 999999999999999 bytes"), "{message}");
}

#[test]
fn silence_and_refusal_end() {
    // Says nothing at all.
    let server = Server::new(|stream, _, _| {
        let stream = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(5));
            drop(stream);
        });
    });
    let mut client = Client::new();
    client.fetcher.agent = agent(Duration::from_millis(100));
    let message = client.failure(&server.address, None);
    assert!(message.contains("timeout"), "{message}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let message = client.failure(&address, None);
    assert!(message.starts_with("FOLDER/set.h5: cannot be downloaded from URL: "), "{message}");
}

#[test]
fn two_downloads_of_a_file_do_not_mix() {
    let client = Client::new();
    let part = PartialDownload::open(&client.target()).unwrap();
    let message = client.failure("http://127.0.0.1:1", None);
    assert_eq!(message, "FOLDER/set.h5: another process downloads it now");
    drop(part);
}

#[test]
fn sets_of_several_files_and_sets_for_browsers() {
    let server = Server::new(|stream, path, _| {
        send(stream, "200 OK", &format!("Content-Length: {}\r\n", path.len()), path.as_bytes());
    });
    let folder = tempfile::tempdir().unwrap();
    let mut set = *OfficialSet::find("mnist").unwrap();
    let files: Vec<RemoteFile> =
        set.files.iter().map(|file| RemoteFile { md5: None, ..*file }).collect();
    set.files = Box::leak(files.into_boxed_slice());
    let url = format!("{}/mirror/", server.address);
    fetch(&set, folder.path(), Some(&url), &mut |_, _, _| ()).unwrap();
    assert!(set.is_in(folder.path()));
    let labels = fs::read_to_string(folder.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
    assert_eq!(labels, "/mirror/t10k-labels-idx1-ubyte.gz");

    let failure = |name: &str, url| {
        let set = OfficialSet::find(name).unwrap();
        let error = fetch(set, folder.path(), url, &mut |_, _, _| ()).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    };
    let (message, hint) = failure("celeba", None);
    assert!(message.ends_with(": CelebA, aligned and cropped cannot be fetched"), "{message}");
    assert!(hint.contains("mmlab.ie.cuhk.edu.hk"), "{hint}");
    let (message, _) = failure("mnist", Some("https://example.org/x"));
    assert!(message.starts_with("MNIST has several files: train-images"), "{message}");
    let (message, _) = failure("shapes3d", Some("file:///etc/passwd"));
    assert!(message.contains("is not an address"), "{message}");
}

//! Downloads of the field's official files.
//!
//! A file grows under another name, `NAME.part`, and gets its own when it is complete and its checksum
//! is right, so what has its name is good. What is there of a part is kept when a connection breaks
//! and continued later, but only if the server says that the file is still the same, or if a checksum
//! will tell.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use ureq::Agent;
use ureq::http::{HeaderMap, Response, StatusCode, header};

use super::sets::{OfficialSet, RemoteFile};
use crate::error::{Error, IoContext, Result};

/// How often a download goes on without having got a byte in between.
const ATTEMPTS: usize = 4;

/// Largest file that is accepted, in bytes: the largest official one has 12 GB.
const MAX_FILE: u64 = 1 << 38;

/// Seconds without a byte after which a connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells about a file: its name, bytes that are here, bytes of all, if known.
pub type DownloadProgress<'a> = dyn FnMut(&str, u64, Option<u64>) + 'a;

/// Downloads the files of `set` that are not in `folder` yet.
///
/// `url` replaces the official address: the address of the file, or, if it ends with a slash, of a
/// folder that has all files under their names.
///
/// # Errors
/// If an address cannot be reached or does not have the file, if what comes is not what it should be,
/// or if the files are only offered in a browser.
pub fn fetch(
    set: &OfficialSet,
    folder: &Path,
    url: Option<&str>,
    progress: &mut DownloadProgress<'_>,
) -> Result<()> {
    let addresses = set.files.iter().map(|file| address(set, file, folder, url));
    let addresses = addresses.collect::<Result<Vec<String>>>()?;
    fs::create_dir_all(folder).context("create", folder)?;
    let fetcher = Fetcher { agent: agent(PATIENCE), pause: Duration::from_secs(1) };
    for (file, address) in set.files.iter().zip(addresses) {
        fetcher.file(&address, file.md5, &folder.join(file.name), progress).map_err(|error| {
            match error {
                Error::File { path, reason, hint } if hint.is_empty() => {
                    let hint = format!("try again later, or download it by hand from {}", set.home);
                    Error::File { path, reason, hint }
                }
                error => error,
            }
        })?;
    }
    Ok(())
}

/// Where a file comes from.
fn address(
    set: &OfficialSet,
    file: &RemoteFile,
    folder: &Path,
    url: Option<&str>,
) -> Result<String> {
    let address = match url {
        Some(base) if base.ends_with('/') => Some(format!("{base}{}", file.name)),
        Some(_) if set.files.len() > 1 => {
            let names: Vec<&str> = set.files.iter().map(|file| file.name).collect();
            return Err(Error::config(
                format!("{} has several files: {}", set.title, names.join(", ")),
                "give --url the address of the folder they are in, with a slash at its end",
            ));
        }
        Some(url) => Some(url.to_owned()),
        None => file.url.map(str::to_owned),
    };
    if let Some(address) = &address
        && !["http://", "https://"].iter().any(|scheme| address.starts_with(scheme))
    {
        let message = format!("`{address}` is not an address that starts with https:// or http://");
        return Err(Error::config(message, ""));
    }
    address.ok_or_else(|| {
        let reason = format!("{} cannot be fetched", set.title);
        Error::file_hint(folder, reason, set.how_to_get(folder))
    })
}

fn agent(patience: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .user_agent(concat!("betavae/", env!("CARGO_PKG_VERSION")));
    config.build().into()
}

struct Fetcher {
    agent: Agent,
    /// Before an attempt that follows on one that got nothing.
    pause: Duration,
}

/// How an attempt ended.
enum AttemptOutcome {
    /// Everything is here.
    Complete,
    /// It may go on: why it stopped.
    Interrupted(String),
    /// What is here is of no use.
    Useless(String),
}

impl Fetcher {
    fn file(
        &self,
        url: &str,
        md5: Option<&str>,
        target: &Path,
        progress: &mut DownloadProgress<'_>,
    ) -> Result<()> {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if target.is_file() && md5.is_none_or(|md5| md5_of(target).is_ok_and(|found| found == md5))
        {
            let bytes = fs::metadata(target).context("read", target)?.len();
            progress(&name, bytes, Some(bytes));
            return Ok(());
        }
        let mut part = PartialDownload::open(target)?;
        if md5.is_none() && part.tag.is_empty() {
            part.clear()?;
        }
        let mut failures = 0;
        loop {
            let before = part.len;
            let mut report = |here, all| progress(&name, here, all);
            let why = match self.attempt(url, &mut part, target, &mut report)? {
                AttemptOutcome::Complete => match self.check(md5, &mut part, target)? {
                    None => break,
                    Some(why) => why,
                },
                AttemptOutcome::Useless(why) => {
                    part.clear()?;
                    why
                }
                AttemptOutcome::Interrupted(why) => why,
            };
            failures = if part.len > before { 0 } else { failures + 1 };
            if failures >= ATTEMPTS {
                return Err(fault(target, url, &why));
            }
            std::thread::sleep(self.pause * failures as u32);
        }
        part.become_file(target)
    }

    /// Compares the checksum; a reason if the part was of no use.
    fn check(
        &self,
        md5: Option<&str>,
        part: &mut PartialDownload,
        target: &Path,
    ) -> Result<Option<String>> {
        let Some(expected) = md5 else { return Ok(None) };
        let found = md5_of(&part.path)?;
        if found == expected {
            return Ok(None);
        }
        let reason = format!("what came has the MD5 checksum {found}, expected {expected}");
        // A part from an earlier time may be of another version.
        let mixed = part.resumed;
        part.clear()?;
        match mixed {
            true => Ok(Some(reason)),
            false => Err(Error::file(target, reason)),
        }
    }

    /// One request: asks for what is missing and appends it.
    fn attempt(
        &self,
        url: &str,
        part: &mut PartialDownload,
        target: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<AttemptOutcome> {
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        if part.len > 0 {
            request = request.header("Range", format!("bytes={}-", part.len));
            if !part.tag.is_empty() {
                request = request.header("If-Range", &part.tag);
            }
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(AttemptOutcome::Interrupted(error.to_string())),
        };
        let headers = response.headers();
        let all = match response.status() {
            StatusCode::OK => {
                part.clear()?;
                length(headers)
            }
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((start, all)) if start == part.len => all,
                _ => return Ok(AttemptOutcome::Useless("the server sent another part".into())),
            },
            StatusCode::RANGE_NOT_SATISFIABLE if part.len > 0 => {
                let all =
                    text(headers, header::CONTENT_RANGE).and_then(|x| x.strip_prefix("bytes */"));
                return Ok(match all.and_then(|all| all.parse::<u64>().ok()) {
                    Some(all) if part.len == all => AttemptOutcome::Complete,
                    _ => AttemptOutcome::Useless("there is more here than on the server".into()),
                });
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(AttemptOutcome::Interrupted(format!("the server answers {status}")));
            }
            status => return Err(fault(target, url, &format!("the server answers {status}"))),
        };
        if let Some(all) = all.filter(|all| *all > MAX_FILE) {
            return Err(fault(target, url, &format!("the server announces {all} bytes")));
        }
        part.remember(headers)?;
        part.append(response, all, target, progress)
    }
}

fn fault(target: &Path, url: &str, why: &str) -> Error {
    Error::file(target, format!("cannot be downloaded from {url}: {why}"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH)?.parse().ok()
}

/// Where a part starts, and how long the whole file is.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, all) =
        text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, all.parse().ok()))
}

fn md5_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).context("open", path)?;
    let (mut hash, mut buffer) = (Md5::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).context("read", path)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            bytes => hash.update(&buffer[..bytes]),
        }
    }
}

/// What is here of a file, and what the server called its version.
struct PartialDownload {
    path: PathBuf,
    file: File,
    len: u64,
    /// Whether some of it is from an earlier time.
    resumed: bool,
    /// The `ETag` or date to ask the rest with; empty if unknown.
    tag: String,
    tag_path: PathBuf,
}

impl PartialDownload {
    fn open(target: &Path) -> Result<Self> {
        let beside = |end: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let (path, tag_path) = (beside(".part"), beside(".part.tag"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false);
        let mut file = file.open(&path).context("create", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::file_hint(
                    target,
                    "another process downloads it now",
                    "wait until it is done",
                ));
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { action: "lock", path, source });
            }
        }
        let len = file.seek(SeekFrom::End(0)).context("read", &path)?;
        let tag = fs::read_to_string(&tag_path).unwrap_or_default();
        // It becomes a header of a request.
        let tag = if tag.len() < 200 && tag.bytes().all(|x| (32..127).contains(&x)) {
            tag
        } else {
            String::new()
        };
        Ok(Self { path, file, len, resumed: len > 0, tag, tag_path })
    }

    /// Starts anew.
    fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).context("write", &self.path)?;
        self.file.rewind().context("write", &self.path)?;
        (self.len, self.resumed) = (0, false);
        self.tag.clear();
        remove(&self.tag_path)
    }

    /// Keeps the version that the server names, unless it only promises something similar.
    fn remember(&mut self, headers: &HeaderMap) -> Result<()> {
        let strong = text(headers, header::ETAG).filter(|tag| !tag.starts_with("W/"));
        let tag = strong.or(text(headers, header::LAST_MODIFIED)).unwrap_or_default();
        if tag != self.tag && !tag.is_empty() {
            self.tag = tag.to_owned();
            fs::write(&self.tag_path, tag).context("write", &self.tag_path)?;
        }
        Ok(())
    }

    /// Appends what the server sends, of a file of `all` bytes.
    fn append(
        &mut self,
        response: Response<ureq::Body>,
        all: Option<u64>,
        target: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<AttemptOutcome> {
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(self.len, all);
            let bytes = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => bytes,
                Err(error) => return Ok(AttemptOutcome::Interrupted(error.to_string())),
            };
            self.file.write_all(&buffer[..bytes]).context("write", &self.path)?;
            self.len += bytes as u64;
            if self.len > all.unwrap_or(MAX_FILE) {
                return Err(Error::file(target, "the server sends more than it announced"));
            }
        }
        Ok(match all {
            Some(all) if self.len < all => AttemptOutcome::Interrupted(format!(
                "the connection ended at {} of {all} bytes",
                self.len
            )),
            _ => AttemptOutcome::Complete,
        })
    }

    /// Gives the complete part its name.
    fn become_file(self, target: &Path) -> Result<()> {
        self.file.sync_all().context("write", &self.path)?;
        fs::rename(&self.path, target).context("rename", &self.path)?;
        remove(&self.tag_path)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! A hub for tests: the paths and headers of the real one, and its faults.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file of the repository.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// What the hub says that it hashes to.
    pub(crate) etag: String,
    /// What the hub says that it measures.
    pub(crate) size: u64,
    /// Whether it comes from the other host, as large ones do.
    pub(crate) elsewhere: bool,
    /// After this many bytes the connection breaks off, once for each number.
    pub(crate) breaks: Vec<usize>,
    /// Whether ranges are answered with everything.
    pub(crate) ignores_ranges: bool,
}

/// What the hub answers, and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, File>,
    /// Answers everything with this status.
    pub(crate) status: Option<u16>,
    /// Answers as many requests with status 503 first.
    pub(crate) busy: u32,
    /// Answers the list of files with this.
    pub(crate) listing: Option<String>,
    /// Method, path, and the headers Authorization and Range of each request.
    pub(crate) requests: Vec<Request>,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) elsewhere: bool,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
}

/// A hub on one port of this machine, and the host of its large files on another.
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let [home, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let address =
            |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let (endpoint, elsewhere) = (address(&home), address(&other));
        serve(home, Arc::clone(&state), Some(elsewhere));
        serve(other, Arc::clone(&state), None);
        Self { endpoint, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test fails while it holds the lock")
    }

    /// Adds a file as the hub has large ones: elsewhere, named by its SHA-256.
    pub(crate) fn large(&self, name: &str, bytes: &[u8], sha256: &str) {
        self.add(name, bytes, format!("\"{sha256}\""), true);
    }

    /// Adds a file as the hub has small ones, named by Git's hash.
    pub(crate) fn small(&self, name: &str, bytes: &[u8], sha1: &str) {
        self.add(name, bytes, format!("W/\"{sha1}\""), false);
    }

    fn add(&self, name: &str, bytes: &[u8], etag: String, elsewhere: bool) {
        let (bytes, size) = (bytes.to_vec(), bytes.len() as u64);
        let file = File { bytes, etag, size, elsewhere, breaks: Vec::new(), ignores_ranges: false };
        self.state().files.insert(name.to_owned(), file);
    }

    /// Changes a file.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut File)) {
        change(self.state().files.get_mut(name).expect("the file has been added"));
    }
}

fn serve(listener: TcpListener, state: Arc<Mutex<State>>, elsewhere: Option<String>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (state, elsewhere) = (Arc::clone(&state), elsewhere.clone());
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some(request) = read_request(&mut reader, elsewhere.is_none()) {
                    if answer(reader.get_mut(), &state, &request, elsewhere.as_deref()).is_none() {
                        return;
                    }
                }
            });
        }
    });
}

fn read_request(reader: &mut BufReader<TcpStream>, elsewhere: bool) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut request = Request { elsewhere, method, path, authorization: None, range: None };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { return Some(request) };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "range" => request.range = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// Answers a request. None ends the connection.
fn answer(
    stream: &mut TcpStream,
    state: &Mutex<State>,
    request: &Request,
    elsewhere: Option<&str>,
) -> Option<()> {
    let mut state = state.lock().expect("no test fails while it holds the lock");
    state.requests.push(request.clone());
    let status = match state.busy {
        0 => state.status,
        busy => {
            state.busy = busy - 1;
            Some(503)
        }
    };
    if let Some(status) = status {
        return send(stream, &format!("{status} Refused"), &[], request, b"");
    }
    if request.path == "/api/models/org/tiny/revision/main" {
        let names: Vec<_> = state.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let listing = serde_json::json!({ "sha": COMMIT, "siblings": names }).to_string();
        return send(stream, "200 OK", &[], request, state.listing.as_ref().unwrap_or(&listing).as_bytes());
    }
    // As the real one sends on to its small files.
    let own = format!("/api/resolve-cache/models/org/tiny/{COMMIT}/");
    let name = match elsewhere {
        Some(_) => request
            .path
            .strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"))
            .or(request.path.strip_prefix(&own)),
        None => request.path.strip_prefix("/large/"),
    };
    let Some((name, file)) = name.and_then(|name| Some((name, state.files.get_mut(name)?))) else {
        return send(stream, "404 Not Found", &[], request, b"Entry not found");
    };
    if let Some(host) = elsewhere.filter(|_| file.elsewhere) {
        let headers = [
            ("Location", format!("{host}/large/{name}")),
            ("X-Repo-Commit", COMMIT.to_owned()),
            ("X-Linked-Etag", file.etag.clone()),
            ("X-Linked-Size", file.size.to_string()),
            ("ETag", "\"of the redirect\"".to_owned()),
        ];
        return send(stream, "302 Found", &headers, request, b"");
    }
    if request.path.contains("/resolve/") {
        return send(stream, "307 Temporary Redirect", &[("Location", format!("{own}{name}"))], request, b"");
    }
    let from = request.range.as_deref().filter(|_| !file.ignores_ranges);
    let from = from.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let end = file.bytes.len();
    let mut headers = vec![("X-Repo-Commit", COMMIT.to_owned()), ("ETag", file.etag.clone())];
    let (status, body) = match from {
        Some(from) if from >= end => ("416 Range Not Satisfiable", &file.bytes[..0]),
        Some(from) => {
            headers.push(("Content-Range", format!("bytes {from}-{}/{end}", end - 1)));
            ("206 Partial Content", &file.bytes[from..])
        }
        None => ("200 OK", &file.bytes[..]),
    };
    if request.method == "GET" && !file.breaks.is_empty() {
        let part = &body[..file.breaks[0].min(body.len())];
        head(stream, status, &headers, body.len())?;
        stream.write_all(part).ok()?;
        file.breaks.remove(0);
        return None;
    }
    send(stream, status, &headers, request, body)
}

fn head(stream: &mut TcpStream, status: &str, headers: &[(&str, String)], length: usize) -> Option<()> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n").ok()
}

fn send(
    stream: &mut TcpStream,
    status: &str,
    headers: &[(&str, String)],
    request: &Request,
    body: &[u8],
) -> Option<()> {
    head(stream, status, headers, body.len())?;
    if request.method == "HEAD" { Some(()) } else { stream.write_all(body).ok() }
}

//! Asks the hub: its paths and headers, redirects, tokens, and what its refusals mean.

use crate::error::HubError;
use crate::hash::Expected;
use crate::{cache, selection, tls};
use serde::Deserialize;
use std::io::{ErrorKind, Read};
use std::thread;
use std::time::Duration;
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body};

/// Where models come from unless `HF_ENDPOINT` says otherwise.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The largest answer that is read into memory: the list of a repository's files.
const MAX_JSON_BYTES: u64 = 32 << 20;
const MAX_REDIRECTS: u32 = 8;
/// Attempts in a row that bring nothing before it is given up.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After this long without a byte a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection to the hub, or to a mirror of it.
pub struct Client {
    agent: Agent,
    /// Without a slash at its end.
    endpoint: String,
    /// Sent to the endpoint's own host and to no other.
    token: Option<String>,
    /// Why https cannot be spoken here, if so.
    no_tls: Option<String>,
}

/// What the hub lists of a repository.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: Vec<String>,
}

/// What the hub says of a file.
#[derive(Clone, Debug)]
pub(crate) struct RemoteFile {
    pub(crate) name: String,
    pub(crate) hash: Expected,
    pub(crate) bytes: u64,
}

/// A failed attempt.
pub(crate) struct Failure {
    error: Box<HubError>,
    /// Where another attempt may succeed: after at least this long.
    again_after: Option<Duration>,
}

impl Failure {
    fn passing(error: HubError, again_after: Duration) -> Self {
        Self { error: Box::new(error), again_after: Some(again_after) }
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self { error: Box::new(error), again_after: None }
    }
}

/// Counts failures in a row and pauses after each.
#[derive(Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// Something came: it begins anew.
    pub(crate) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Pauses before the next attempt, if there is to be one. `notice` hears what happened.
    pub(crate) fn endure(
        &mut self,
        failure: Failure,
        notice: &mut dyn FnMut(&HubError),
    ) -> Result<(), HubError> {
        self.failures += 1;
        let Some(at_least) = failure.again_after.filter(|_| self.failures < ATTEMPTS) else {
            return Err(*failure.error);
        };
        notice(&failure.error);
        let pause = FIRST_PAUSE * 2u32.pow(self.failures - 1);
        thread::sleep(pause.max(at_least.min(LONGEST_PAUSE)));
        Ok(())
    }
}

impl Client {
    /// A client of this endpoint. Nothing is asked yet.
    ///
    /// # Errors
    /// An endpoint that is no http or https address, a token that no header can hold.
    pub fn new(endpoint: &str, token: Option<String>) -> Result<Self, HubError> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let problem = || {
            HubError::Setting(format!(
                "HF_ENDPOINT is '{endpoint}', expected an address such as {DEFAULT_ENDPOINT}"
            ))
        };
        let uri: Uri = endpoint.parse().map_err(|_| problem())?;
        let is_https = uri.scheme_str() == Some("https");
        if !(is_https || uri.scheme_str() == Some("http"))
            || uri.authority().is_none()
            || uri.query().is_some()
        {
            return Err(problem());
        }
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let problem = "the token (HF_TOKEN, or the file that the hub's own tools keep) has characters that no token has";
            return Err(HubError::Setting(problem.to_owned()));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("resident/", env!("CARGO_PKG_VERSION")))
            // Sizes and ranges are those of the files, not of something compressed.
            .accept_encoding("identity")
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        let (config, no_tls) = match tls::config() {
            Ok(tls) => (config.tls_config(tls), None),
            Err(problem) => (config, Some(problem)),
        };
        Ok(Self { agent: config.build().into(), endpoint, token, no_tls })
    }

    /// The commit that `main` means, and its files.
    pub(crate) fn listing(&self, repository: &str) -> Result<Listing, Failure> {
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        let url = format!("{}/api/models/{repository}/revision/main", self.endpoint);
        let (url, response) = self.ask("GET", url, None)?;
        let response = self.check(repository, None, &url, response)?;
        let mut text = Vec::new();
        let reader = response.into_body().into_reader();
        reader.take(MAX_JSON_BYTES + 1).read_to_end(&mut text).map_err(|error| broken(&url, error))?;
        let answer = |problem: String| HubError::Answer { url: url.clone(), problem };
        if text.len() as u64 > MAX_JSON_BYTES {
            return Err(answer(format!("the list of files has more than {MAX_JSON_BYTES} bytes")).into());
        }
        let info: Info = serde_json::from_slice(&text)
            .map_err(|error| answer(format!("expected a repository's list of files: {error}")))?;
        if !cache::is_commit(&info.sha) {
            return Err(answer(format!("the commit is {:?}, expected a hash", info.sha)).into());
        }
        let files: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        match files.iter().find(|file| !selection::is_safe(file)) {
            Some(file) => {
                Err(answer(format!("lists a file {file:?}, which is no safe name; nothing is fetched"))
                    .into())
            }
            None => Ok(Listing { commit: info.sha, files }),
        }
    }

    fn url(&self, repository: &str, commit: &str, file: &str) -> String {
        let escaped: String = file
            .bytes()
            .map(|byte| match byte {
                b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        format!("{}/{repository}/resolve/{commit}/{escaped}", self.endpoint)
    }

    /// Size and hash of a file, as the hub itself says it: not the host that it sends on to.
    pub(crate) fn head(&self, repository: &str, commit: &str, file: &str) -> Result<RemoteFile, Failure> {
        let (url, response) = self.ask("HEAD", self.url(repository, commit, file), None)?;
        let response = match response.status().is_redirection() {
            true => response,
            false => self.check(repository, Some(file), &url, response)?,
        };
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let answer = |problem: String| Failure::from(HubError::Answer { url: url.clone(), problem });
        if let Some(other) = text("x-repo-commit").filter(|other| *other != commit) {
            return Err(answer(format!("the file is of commit {other:?}, expected {commit}; pull again")));
        }
        let etag = text("x-linked-etag").or(text("etag")).unwrap_or("");
        let hash = Expected::of_etag(etag).ok_or_else(|| {
            answer(format!("the ETag is {etag:?}, expected the file's hash; it could not be verified"))
        })?;
        let is_redirect = response.status().is_redirection();
        let length = text("content-length").filter(|_| !is_redirect);
        let bytes = text("x-linked-size").or(length).and_then(|size| size.trim().parse().ok());
        let bytes = bytes
            .ok_or_else(|| answer("the file's size is missing (X-Linked-Size, Content-Length)".to_owned()))?;
        Ok(RemoteFile { name: file.to_owned(), hash, bytes })
    }

    /// The bytes of a file from `from` on, or all of them where the server does not know ranges: then the status is 200.
    pub(crate) fn get(
        &self,
        repository: &str,
        commit: &str,
        file: &str,
        from: u64,
    ) -> Result<(String, Response<Body>), Failure> {
        let (mut url, mut response) = self.ask("GET", self.url(repository, commit, file), Some(from))?;
        for _ in 0..MAX_REDIRECTS {
            if !response.status().is_redirection() {
                if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                    return Ok((url, response));
                }
                let response = self.check(repository, Some(file), &url, response)?;
                return Ok((url, response));
            }
            // Another host, which may send on to further ones.
            let next = target(&url, &response)?;
            response = self.once("GET", &next, Some(from))?;
            url = next;
        }
        Err(too_many(url))
    }

    /// Asks, and follows redirects as long as they stay on the endpoint's own host.
    fn ask(
        &self,
        method: &str,
        mut url: String,
        from: Option<u64>,
    ) -> Result<(String, Response<Body>), Failure> {
        for _ in 0..MAX_REDIRECTS {
            let response = self.once(method, &url, from)?;
            if !response.status().is_redirection() {
                return Ok((url, response));
            }
            let next = target(&url, &response)?;
            if !self.is_home(&next) {
                return Ok((url, response));
            }
            url = next;
        }
        Err(too_many(url))
    }

    fn once(&self, method: &str, url: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        if let Some(problem) = self.no_tls.as_ref().filter(|_| url.starts_with("https:")) {
            return Err(HubError::Setting(problem.clone()).into());
        }
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(token) = self.token.as_ref().filter(|_| self.is_home(url)) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(from) = from.filter(|from| *from > 0) {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let request = request.body(()).map_err(|error| HubError::Answer {
            url: url.to_owned(),
            problem: format!("no request can be made of it: {error}"),
        })?;
        self.agent.run(request).map_err(|error| match error {
            // A certificate that nobody vouches for, or what is no TLS at all: it stays so.
            ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
                HubError::Network { url: url.to_owned(), problem: error.to_string() }.into()
            }
            ureq::Error::Io(error) => broken(url, error),
            other => broken(url, other),
        })
    }

    /// Whether an address is of the endpoint's own host, port and scheme.
    fn is_home(&self, url: &str) -> bool {
        let origin = |url: &str| {
            let uri: Uri = url.parse().ok()?;
            Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()))
        };
        origin(url).is_some_and(|found| Some(found) == origin(&self.endpoint))
    }

    /// Turns a refusal into what to do about it.
    fn check(
        &self,
        repository: &str,
        file: Option<&str>,
        url: &str,
        response: Response<Body>,
    ) -> Result<Response<Body>, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let seconds =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            let error =
                HubError::Network { url: url.to_owned(), problem: format!("the server answers {status}") };
            return Err(Failure::passing(error, Duration::from_secs(seconds.unwrap_or(0))));
        }
        let problem = match (status.as_u16(), &self.token) {
            (401, None) => {
                "there is no such model, or it needs a token: check the name, or put a token into HF_TOKEN"
                    .to_owned()
            }
            (401, Some(_)) => {
                "there is no such model, or the token is not valid (HF_TOKEN): check both".to_owned()
            }
            (403, _) => format!(
                "access is refused: accept the model's conditions at {}/{repository}, and use a token that may read it (HF_TOKEN)",
                self.endpoint
            ),
            (404, _) => match file {
                Some(file) => format!("the hub has no file {file} of it; pull again"),
                None => "there is no such model; check the name".to_owned(),
            },
            _ => format!("the server answers {status} to {url}"),
        };
        Err(Failure::from(HubError::Refused { name: repository.to_owned(), problem }))
    }
}

fn too_many(url: String) -> Failure {
    Failure::from(HubError::Answer { url, problem: format!("more than {MAX_REDIRECTS} redirects") })
}

/// A connection that failed or broke off.
pub(crate) fn broken(url: &str, error: impl std::fmt::Display) -> Failure {
    let problem = format!("the connection failed: {error}");
    Failure::passing(HubError::Network { url: url.to_owned(), problem }, Duration::ZERO)
}

/// Where a redirect leads: an address of http or https, or a path on the same host. Never from https back to http.
fn target(url: &str, response: &Response<Body>) -> Result<String, Failure> {
    let location =
        response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let refused = || HubError::Answer {
        url: url.to_owned(),
        problem: format!("redirects to {location:?}, which is not followed"),
    };
    let from: Uri = url.parse().map_err(|_| refused())?;
    let scheme = from.scheme_str().unwrap_or("");
    let next = match location.strip_prefix('/') {
        Some(rest) if !rest.starts_with('/') => {
            format!("{scheme}://{}{location}", from.authority().ok_or_else(refused)?)
        }
        _ => location.to_owned(),
    };
    let uri: Uri = next.parse().map_err(|_| refused())?;
    match uri.scheme_str() {
        Some("https") => Ok(next),
        Some("http") if scheme == "http" => Ok(next),
        _ => Err(refused().into()),
    }
}

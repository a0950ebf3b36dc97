//! A depot for one test, a client that follows nothing by itself, and debs made by hand.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use depot::{Ids, LINK_SECONDS, Options, Running, Seed};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The user whose jobs stage packages; owns the private repository `harbour-ci/pre-release`.
pub(crate) const STAGING: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
/// Owns the public repository `harbour/stable`, the private one `harbour/attic`, and may write the staging one.
pub(crate) const PUBLIC: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

/// Of `distributions.json` on packagecloud.io: `ubuntu/jammy` and `debian/bookworm`.
pub(crate) const JAMMY: &str = "237";
pub(crate) const BOOKWORM: &str = "215";

pub(crate) fn seed_json() -> Value {
    json!({
        "users": [{"name": "harbour-ci", "token": STAGING}, {"name": "harbour", "token": PUBLIC}],
        "repos": [
            {"owner": "harbour-ci", "name": "pre-release", "private": true, "collaborators": ["harbour"]},
            {"owner": "harbour", "name": "stable", "private": false},
            {"owner": "harbour", "name": "attic", "private": true},
        ],
    })
}

/// A folder for one test, gone at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("depot-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// Sends one request; a token becomes basic auth with an empty password.
pub(crate) fn send(method: &str, url: &str, token: Option<&str>, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_mins(1)))
            .build(),
    );
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("authorization", basic(token));
    }
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let mut answer =
        agent.run(request.body(body.to_vec()).expect("the request is well-formed")).expect("depot answers");
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec().expect("the body arrives");
    Answer { status: answer.status().as_u16(), headers, body }
}

pub(crate) fn get(url: &str, token: Option<&str>) -> Answer {
    send("GET", url, token, &[], b"")
}

pub(crate) fn basic(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{token}:")))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) const BOUNDARY: &str = "a-boundary-that-is-in-no-package";

/// The body of a push.
pub(crate) fn form(distro_version_id: &str, file: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"package[distro_version_id]\"\r\n\r\n\
         {distro_version_id}\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"package[package_file]\"; \
         filename=\"package.deb\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// Asks until the answer is there; a minute is far more than any of them takes.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "a native test needs a deadline")]
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        #[expect(clippy::disallowed_methods, reason = "a native test needs a deadline")]
        let now = std::time::Instant::now();
        assert!(now < deadline, "{what} within a minute");
        std::thread::yield_now();
    }
}

/// What is alike of a depot in this process and one of its own.
pub(crate) trait Addresses {
    fn url(&self) -> &str;
    fn control(&self) -> &str;

    fn push(&self, repository: &str, token: &str, distro_version_id: &str, file: &[u8]) -> Answer {
        let url = format!("{}/api/v1/repos/{repository}/packages.json", self.url());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        send("POST", &url, Some(token), &[("content-type", &content_type)], &form(distro_version_id, file))
    }

    fn api(&self, path: &str, token: &str) -> Answer {
        get(&format!("{}/api/v1/{path}", self.url()), Some(token))
    }

    fn order(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer =
            send(method, &format!("{}/_control/{path}", self.control()), None, &[], body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()
    }

    fn journal(&self) -> Vec<Value> {
        self.order("GET", "journal", &Value::Null).as_array().expect("the journal is a list").clone()
    }

    /// The names in a repository, oldest push first.
    fn filenames(&self, repository: &str, token: &str) -> Vec<String> {
        let list = self.api(&format!("repos/{repository}/packages.json?per_page=250"), token).json();
        let list = list.as_array().expect("a list");
        list.iter().map(|package| package["filename"].as_str().expect("it has a name").to_owned()).collect()
    }

    fn wait_until_indexed(&self, repository: &str, token: &str, count: usize) {
        let path = format!("repos/{repository}/packages.json?per_page=250");
        eventually("every package is in the index", || {
            let list = self.api(&path, token).json();
            let list = list.as_array().expect("a list").clone();
            (list.len() == count && list.iter().all(|package| package["indexed"] == json!(true))).then_some(())
        });
    }
}

/// A depot in this process.
pub(crate) struct Depot {
    running: Running,
    /// Before the folder: it waits for what still writes there.
    _runtime: tokio::runtime::Runtime,
    folder: Scratch,
}

impl Depot {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = Scratch::new();
        let mut options = options(folder.path());
        change(&mut options);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
        let running = runtime.block_on(depot::start(options)).expect("a depot starts in an empty folder");
        Self { running, _runtime: runtime, folder }
    }

    pub(crate) fn storage(&self) -> &str {
        &self.running.storage_url
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Addresses for Depot {
    fn url(&self) -> &str {
        &self.running.url
    }

    fn control(&self) -> &str {
        self.running.control_url.as_deref().expect("tests have a control listener")
    }
}

pub(crate) fn options(folder: &Path) -> Options {
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options {
        data: folder.join("data"),
        listen: free_port,
        storage: free_port,
        control: Some(free_port),
        ids: Ids::Packagecloud,
        seed: Seed::from_json(&seed_json().to_string()).expect("the seed is well-formed"),
        url: None,
        storage_url: None,
        link_seconds: LINK_SECONDS,
    }
}

/// The `depot` command as a process of its own, which can be killed.
pub(crate) struct Process {
    child: Child,
    url: String,
    control: String,
}

impl Process {
    pub(crate) fn start(folder: &Path) -> Self {
        let seed = folder.join("seed.json");
        std::fs::write(&seed, seed_json().to_string()).expect("the folder is writable");
        let mut child = Command::new(env!("CARGO_BIN_EXE_depot"))
            .args(["serve", "--control", "127.0.0.1:0"])
            .arg("--data")
            .arg(folder.join("data"))
            .arg("--seed")
            .arg(&seed)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says when it is ready");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let address = |name: &str| ready[name].as_str().expect("it says all its addresses").to_owned();
        Self { child, url: address("url"), control: address("control") }
    }

    /// SIGKILL: it has no chance to tidy anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }
}

impl Addresses for Process {
    fn url(&self) -> &str {
        &self.url
    }

    fn control(&self) -> &str {
        &self.control
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len()).expect("it is in memory"));
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, path, *bytes).expect("memory takes everything");
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory takes everything")
}

/// A deb with these control fields and one file.
pub(crate) fn deb_of(control: &str, contents: &[u8]) -> Vec<u8> {
    let mut archive = ar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", tar_gz(&[("./control", control.as_bytes())])),
        ("data.tar.gz", tar_gz(&[("./usr/share/doc/tug/contents", contents)])),
    ] {
        let size = u64::try_from(bytes.len()).expect("it is in memory");
        let mut header = ar::Header::new(name.as_bytes().to_vec(), size);
        header.set_mode(0o100_644);
        archive.append(&header, &*bytes).expect("memory takes everything");
    }
    archive.into_inner().expect("memory takes everything")
}

/// `{name}_{version}_amd64.deb` with some contents.
pub(crate) fn deb(name: &str, version: &str, contents: &str) -> Vec<u8> {
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Harbour <harbour@example.com>\n\
         Depends: libc6 (>= 2.31), adduser | systemd\nDescription: pulls ships\n It has\n   verbatim lines\n .\n too.\n"
    );
    deb_of(&control, contents.as_bytes())
}

/// Whether a program is there, with a word to the reader of the log when it is not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: this test needs `{program}`, which is not installed");
    }
    found
}

/// What a raw connection has received so far, if anything comes within the time limit.
pub(crate) fn read_some(stream: &mut std::net::TcpStream, limit: Duration) -> Option<String> {
    stream.set_read_timeout(Some(limit)).expect("a time limit can be set");
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => Some(String::from_utf8_lossy(&buffer[..count]).into_owned()),
        Err(_) => None,
    }
}

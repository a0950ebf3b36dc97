//! Debian's `docker-registry` on loopback: the reference implementation of the OCI distribution specification.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::{Port, Process};

/// Debian's name for the program, which is called `registry` upstream.
const PROGRAM: &str = "docker-registry";

/// The user that a closed registry knows.
pub const USER: &str = "tester";
/// That user's password.
pub const PASSWORD: &str = "a-password-of-tests";

/// Who may use a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Anybody, for everything.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Htpasswd,
}

/// A registry that runs, with a folder of its own.
pub struct Registry {
    process: Process,
    port: Port,
    folder: PathBuf,
}

/// What a registry is started with.
pub(crate) struct Setup<'a> {
    /// Where it keeps its blobs and what it was told.
    pub(crate) folder: &'a Path,
    /// Where it listens on loopback.
    pub(crate) port: u16,
    /// The one user and its password. `None` lets anybody do everything.
    pub(crate) user: Option<(&'a str, &'a str)>,
    /// Whether it writes the addresses of its uploads without its host.
    pub(crate) relative_urls: bool,
}

impl Setup<'_> {
    /// Writes its files, and returns the command that starts it.
    pub(crate) fn command(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let auth = match self.user {
            None => String::new(),
            Some((user, password)) => {
                let path = folder.join("htpasswd");
                std::fs::write(&path, htpasswd(user, password)?)?;
                format!("auth: {{htpasswd: {{realm: test, path: \"{}\"}}}}\n", path.display())
            }
        };
        let settings = format!(
            "version: 0.1\n\
             log: {{level: warn, accesslog: {{disabled: false}}}}\n\
             storage:\n\
             \x20 filesystem: {{rootdirectory: \"{}\"}}\n\
             \x20 delete: {{enabled: true}}\n\
             \x20 cache: {{blobdescriptor: inmemory}}\n\
             \x20 maintenance: {{uploadpurging: {{enabled: false}}}}\n\
             http: {{addr: \"127.0.0.1:{}\", relativeurls: {}, secret: not-secret}}\n\
             {auth}",
            folder.join("storage").display(),
            self.port,
            self.relative_urls,
        );
        let path = folder.join("registry.yml");
        std::fs::write(&path, settings).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(vec![PROGRAM.to_owned(), "serve".to_owned(), path.display().to_string()])
    }

    /// It does not say when it is ready: it is when this answers, whatever it answers.
    pub(crate) fn answers_at(&self) -> String {
        format!("http://127.0.0.1:{}/v2/", self.port)
    }
}

/// What is missing here to run a registry that is closed. `None` where nothing is.
pub fn missing() -> Option<String> {
    let missing = [(PROGRAM, "docker-registry"), ("htpasswd", "apache2-utils")];
    let (program, package) = missing.into_iter().find(|(program, _)| !is_a_program(program))?;
    Some(format!("there is no `{program}` here: `apt-get install {package}` on Debian brings it"))
}

impl Registry {
    /// Starts one that keeps its blobs in `folder`.
    pub fn start(name: &'static str, folder: &Path, door: Door) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let folder = folder.canonicalize()?;
        let port = Port::free()?;
        let user = match door {
            Door::Open => None,
            Door::Htpasswd => Some((USER, PASSWORD)),
        };
        // Both forms of `Location` are met in tests.
        let setup = Setup { folder: &folder, port: port.number, user, relative_urls: door == Door::Open };
        let process = Process::start_until_it_answers(name, setup.command()?, &folder, &setup.answers_at())?;
        Ok(Self { process, port, folder })
    }

    /// Host and port, as image references name it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The requests that it has answered, a line each: method and path.
    pub fn requests(&self) -> anyhow::Result<Vec<String>> {
        let log = std::fs::read_to_string(self.folder.join(format!("{}.out", self.name())))?;
        let request = |line: &str| line.split('"').nth(1).map(str::to_owned);
        Ok(log.lines().filter(|line| line.contains("HTTP/1.1\"")).filter_map(request).collect())
    }

    /// The folder that is its own.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file in which it keeps a blob's bytes.
    pub fn blob_file(&self, hex: &str) -> PathBuf {
        let first = hex.get(..2).unwrap_or_default();
        self.folder.join("storage/docker/registry/v2/blobs/sha256").join(first).join(hex).join("data")
    }

    fn name(&self) -> &str {
        self.process.name()
    }
}

/// Whether a program can be started here.
pub fn is_a_program(name: &str) -> bool {
    // `htpasswd` has no option that succeeds; that it can be started is enough.
    Command::new(name).arg("--version").stdin(Stdio::null()).output().is_ok()
}

/// The file that names a user, made by Apache's own program: the registry reads bcrypt alone.
fn htpasswd(user: &str, password: &str) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("htpasswd")
        .args(["-Bni", user])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start `htpasswd`; it is in the package `apache2-utils`")?;
    child.stdin.take().context("`htpasswd` takes no password")?.write_all(password.as_bytes())?;
    let answer = child.wait_with_output()?;
    ensure!(answer.status.success(), "`htpasswd` failed: {}", String::from_utf8_lossy(&answer.stderr));
    Ok(answer.stdout)
}

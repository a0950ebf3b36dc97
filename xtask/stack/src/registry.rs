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
pub enum Door<'a> {
    /// Anybody, for everything.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Htpasswd,
    /// Whoever has a token of this issuer, for what is in it.
    Tokens(Issuer<'a>),
}

/// Who gives the tokens that a registry takes (<https://distribution.github.io/distribution/about/configuration/#token>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuer<'a> {
    /// Where the registry sends for them.
    pub realm: &'a str,
    /// What they must be for.
    pub service: &'a str,
    /// The name that they must have in them.
    pub name: &'a str,
    /// The file with the certificate that they are signed with.
    pub certificate: &'a Path,
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
    /// Who is let in.
    pub(crate) auth: Auth<'a>,
    /// How it writes the addresses of its uploads.
    pub(crate) addresses: Addresses<'a>,
    /// Whether it deletes what it is told to.
    pub(crate) deletes: bool,
}

/// Who is let in.
#[derive(Clone, Copy)]
pub(crate) enum Auth<'a> {
    /// Anybody, for everything.
    Nobody,
    /// One user, with its password.
    User(&'a str, &'a str),
    /// Whoever has a token.
    Tokens(Issuer<'a>),
}

/// How a registry writes the addresses of its uploads.
#[derive(Clone, Copy)]
pub(crate) enum Addresses<'a> {
    /// Without any host.
    Relative,
    /// With the host that it was asked as.
    Absolute,
    /// At this address, whoever is there.
    At(&'a str),
}

impl Setup<'_> {
    /// Writes its files, and returns the command that starts it.
    pub(crate) fn command(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let auth = match self.auth {
            Auth::Nobody => String::new(),
            Auth::Tokens(Issuer { realm, service, name, certificate }) => format!(
                "auth: {{token: {{realm: \"{realm}\", service: \"{service}\", issuer: \"{name}\", rootcertbundle: \"{}\"}}}}\n",
                certificate.display()
            ),
            Auth::User(user, password) => {
                let path = folder.join("htpasswd");
                std::fs::write(&path, htpasswd(user, password)?)?;
                format!("auth: {{htpasswd: {{realm: test, path: \"{}\"}}}}\n", path.display())
            }
        };
        let addresses = match self.addresses {
            Addresses::Relative => "relativeurls: true".to_owned(),
            Addresses::Absolute => "relativeurls: false".to_owned(),
            Addresses::At(url) => format!("relativeurls: false, host: \"{url}\""),
        };
        let settings = format!(
            "version: 0.1\n\
             log: {{level: warn, accesslog: {{disabled: false}}}}\n\
             storage:\n\
             \x20 filesystem: {{rootdirectory: \"{}\"}}\n\
             \x20 delete: {{enabled: {}}}\n\
             \x20 cache: {{blobdescriptor: inmemory}}\n\
             \x20 maintenance: {{uploadpurging: {{enabled: false}}}}\n\
             http: {{addr: \"127.0.0.1:{}\", {addresses}, secret: not-secret}}\n\
             {auth}",
            folder.join("storage").display(),
            self.deletes,
            self.port,
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
    pub fn start(name: &'static str, folder: &Path, door: Door<'_>) -> anyhow::Result<Self> {
        // Both forms of `Location` are met in tests.
        let addresses = if door == Door::Open { Addresses::Relative } else { Addresses::Absolute };
        Self::start_with(name, folder, door, addresses, true)
    }

    /// The same, which deletes nothing.
    pub fn start_that_keeps_everything(name: &'static str, folder: &Path, door: Door<'_>) -> anyhow::Result<Self> {
        Self::start_with(name, folder, door, Addresses::Relative, false)
    }

    /// The same, which has uploads sent to another address.
    pub fn start_leading_to(
        name: &'static str,
        folder: &Path,
        door: Door<'_>,
        elsewhere: &str,
    ) -> anyhow::Result<Self> {
        Self::start_with(name, folder, door, Addresses::At(elsewhere), true)
    }

    fn start_with(
        name: &'static str,
        folder: &Path,
        door: Door<'_>,
        addresses: Addresses<'_>,
        deletes: bool,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let folder = folder.canonicalize()?;
        let port = Port::free()?;
        let auth = match door {
            Door::Open => Auth::Nobody,
            Door::Htpasswd => Auth::User(USER, PASSWORD),
            Door::Tokens(issuer) => Auth::Tokens(issuer),
        };
        let setup = Setup { folder: &folder, port: port.number, auth, addresses, deletes };
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
        let log = std::fs::read_to_string(self.log_file())?;
        let request = |line: &str| line.split('"').nth(1).map(str::to_owned);
        Ok(log.lines().filter(|line| line.contains("HTTP/1.1\"")).filter_map(request).collect())
    }

    /// The file with the log of its requests.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.out", self.name()))
    }

    /// The folder in which it keeps its repositories.
    pub fn storage(&self) -> PathBuf {
        self.folder.join("storage")
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

//! Debian's `docker-registry` on loopback: the reference implementation of the OCI distribution specification.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::{Port, Process};

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

impl Registry {
    /// Starts one that keeps its blobs in `folder`.
    pub fn start(name: &'static str, folder: &Path, door: Door) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let folder = folder.canonicalize()?;
        let port = Port::free()?;
        let auth = match door {
            Door::Open => String::new(),
            Door::Htpasswd => {
                let path = folder.join("htpasswd");
                std::fs::write(&path, htpasswd()?)?;
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
            port.number,
            // Both forms of `Location` are met in tests.
            door == Door::Open,
        );
        let path = folder.join("registry.yml");
        std::fs::write(&path, settings)?;
        let command = vec!["docker-registry".to_owned(), "serve".to_owned(), path.display().to_string()];
        let address = format!("http://127.0.0.1:{}/v2/", port.number);
        let process = Process::start_until_it_answers(name, command, &folder, &address)?;
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

/// The file that names [`USER`], made by Apache's own program: the registry reads bcrypt alone.
fn htpasswd() -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("htpasswd")
        .args(["-Bni", USER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start `htpasswd`; it is in the package `apache2-utils`")?;
    child.stdin.take().context("`htpasswd` takes no password")?.write_all(PASSWORD.as_bytes())?;
    let answer = child.wait_with_output()?;
    ensure!(answer.status.success(), "`htpasswd` failed: {}", String::from_utf8_lossy(&answer.stderr));
    Ok(answer.stdout)
}

//! dnf with a machine of its own in a folder: its packages, cache and trust apart from the system's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// What `dnf` of a machine that only knows one repository sees.
pub struct Dnf {
    folder: PathBuf,
    architecture: String,
}

impl Dnf {
    /// Whether this machine has `dnf`.
    pub fn is_here() -> bool {
        Command::new("dnf").arg("--version").output().is_ok_and(|answer| answer.status.success())
    }

    /// A dnf that knows `repository` (its address, `http://127.0.0.1:7001/harbour/stable`) for a distro version
    /// (`el/9`), on a machine of one architecture. A private repository opens to a token. The folder is made anew.
    pub fn new(
        folder: &Path,
        repository: &str,
        distro: &str,
        architecture: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Self> {
        let doing = || format!("cannot set up dnf in `{}`", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(doing)?;
        }
        for part in ["repos", "vars", "root", "home", "log", "cache", "state"] {
            std::fs::create_dir_all(folder.join(part)).with_context(doing)?;
        }
        let folder = folder.canonicalize().with_context(doing)?;
        let text = repo_file(repository, distro, token);
        std::fs::write(folder.join("repos/slipway.repo"), text).with_context(doing)?;
        std::fs::write(folder.join("dnf.conf"), "[main]\n").with_context(doing)?;
        Ok(Self { folder, architecture: architecture.to_owned() })
    }

    /// Reads the index anew, after it checked the signature.
    pub fn update(&self) -> anyhow::Result<()> {
        self.run(&["makecache", "--refresh"]).map(drop)
    }

    /// The packages that can be installed: `NAME-EPOCH:VERSION-RELEASE.ARCHITECTURE`, as `--nevra` writes them.
    pub fn available(&self) -> anyhow::Result<Vec<String>> {
        let text = self.run(&["repoquery", "--quiet", "--refresh", "--available", "--nevra"])?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Installs a package on the machine in the folder; dnf checks it against the signed index.
    pub fn install(&self, package: &str) -> anyhow::Result<()> {
        self.run(&["install", "--refresh", package]).map(drop)
    }

    /// A file of the machine in the folder.
    pub fn installed_file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let file = self.folder.join("root").join(path.trim_start_matches('/'));
        std::fs::read(&file).with_context(|| format!("nothing installed `{path}`"))
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let at = |part: &str| self.folder.join(part).display().to_string();
        // dnf installs as root only; for everybody else the kernel has a root of their own.
        let is_root = nix::unistd::geteuid().is_root();
        let mut command = Command::new(if is_root { "dnf" } else { "unshare" });
        if !is_root {
            command.args(["--map-root-user", "dnf"]);
        }
        let answer = command
            .args(["--assumeyes", "--config", &at("dnf.conf"), "--installroot", &at("root"), "--releasever=9"])
            .arg(format!("--forcearch={}", self.architecture))
            .arg(format!("--setopt=reposdir={}", at("repos")))
            .arg(format!("--setopt=varsdir={}", at("vars")))
            .arg(format!("--setopt=cachedir={}", at("cache")))
            .arg(format!("--setopt=persistdir={}", at("state")))
            .arg(format!("--setopt=logdir={}", at("log")))
            // What is on loopback is never behind a proxy, and answers or does not.
            .args(["--setopt=proxy=", "--setopt=retries=1", "--setopt=timeout=60", "--setopt=install_weak_deps=0"])
            .args(["--setopt=tsflags=nocontexts", "--setopt=plugins=0"])
            .args(arguments)
            .env("HOME", self.folder.join("home"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .context("cannot start `dnf`")?;
        let said = String::from_utf8_lossy(&answer.stderr);
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        ensure!(answer.status.success(), "`dnf {}` failed:\n{text}{said}", arguments.join(" "));
        Ok(text)
    }
}

/// A `.repo` file: the repository's packages for one distro version, believed when its own key signed the index.
pub fn repo_file(repository: &str, distro: &str, token: Option<&str>) -> String {
    let credentials = token.map_or_else(String::new, |token| format!("username={token}\npassword=\n"));
    // The key opens to the same credential, which is a part of its address: dnf fetches it without the options above.
    let key = match (token, repository.split_once("://")) {
        (Some(token), Some((scheme, rest))) => format!("{scheme}://{token}:@{rest}/gpgkey"),
        _ => format!("{repository}/gpgkey"),
    };
    format!(
        "[slipway]\nname=slipway\nbaseurl={repository}/{distro}/$basearch\nenabled=1\nrepo_gpgcheck=1\ngpgcheck=0\n\
         gpgkey={key}\nmetadata_expire=300\n{credentials}"
    )
}

//! apt in a folder of its own: lists, packages and trust apart from the system's, so that any user can run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::http;

/// What `apt-get` of a machine that only knows one repository sees.
pub struct Apt {
    folder: PathBuf,
    options: Vec<String>,
    line: String,
}

impl Apt {
    /// Whether this machine has `apt-get`.
    pub fn is_here() -> bool {
        Command::new("apt-get").arg("--version").output().is_ok_and(|answer| answer.status.success())
    }

    /// An apt that knows `repository` (its address, `http://127.0.0.1:7001/harbour/stable`) for a distro version
    /// (`debian/bookworm`) and takes packages of one architecture. The folder is made anew.
    pub fn new(folder: &Path, repository: &str, distro: &str, architecture: &str) -> anyhow::Result<Self> {
        let doing = || format!("cannot set up apt in `{}`", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(doing)?;
        }
        for part in ["etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial", "got"] {
            std::fs::create_dir_all(folder.join(part)).with_context(doing)?;
        }
        let folder = folder.canonicalize().with_context(doing)?;
        let key = folder.join("key.asc");
        let signer = http::get_bytes(&format!("{repository}/gpgkey")).with_context(doing)?;
        std::fs::write(&key, signer).with_context(doing)?;
        let line = source_line(&key.display().to_string(), repository, distro)?;
        std::fs::write(folder.join("etc/sources.list"), format!("{line}\n")).with_context(doing)?;
        std::fs::write(folder.join("status"), "").with_context(doing)?;
        let at = |part: &str| folder.join(part).display().to_string();
        let options = [
            format!("Dir={}", folder.display()),
            format!("Dir::Etc={}", at("etc")),
            format!("Dir::Etc::sourcelist={}", at("etc/sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State={}", at("state")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("Dir::Log={}", at("log")),
            // The programs of apt itself are the system's.
            "Dir::Bin::methods=/usr/lib/apt/methods".to_owned(),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            "APT::Sandbox::User=".to_owned(),
            "APT::Get::List-Cleanup=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // What is on loopback is never behind a proxy.
            "Acquire::http::Proxy=DIRECT".to_owned(),
            "Acquire::Retries=0".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        Ok(Self { folder, options, line })
    }

    /// The line of `sources.list`.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// `apt-get update`: reads the index and checks its signature.
    pub fn update(&self) -> anyhow::Result<()> {
        self.run(&["--error-on=any", "update"]).map(drop)
    }

    /// `apt-get download`: fetches a package, which apt checks against the signed index. Its file.
    pub fn download(&self, package: &str) -> anyhow::Result<PathBuf> {
        let got = self.folder.join("got");
        std::fs::remove_dir_all(&got).and_then(|()| std::fs::create_dir(&got)).context("cannot empty a folder")?;
        self.run(&["download", package])?;
        let files: Vec<PathBuf> =
            std::fs::read_dir(&got)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        match files.as_slice() {
            [file] => Ok(file.clone()),
            _ => bail!("`apt-get download {package}` left {} files", files.len()),
        }
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let answer = Command::new("apt-get")
            .args(&self.options)
            .args(arguments)
            .current_dir(self.folder.join("got"))
            .env("APT_CONFIG", "/dev/null")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .context("cannot start `apt-get`")?;
        let text = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        ensure!(answer.status.success(), "`apt-get {}` failed:\n{text}", arguments.join(" "));
        Ok(text)
    }
}

/// A line for `sources.list`: the repository's packages for one distro version, believed when `key` signed the index.
pub fn source_line(key: &str, repository: &str, distro: &str) -> anyhow::Result<String> {
    let (system, version) =
        distro.split_once('/').with_context(|| format!("`{distro}` is no distro such as `debian/bookworm`"))?;
    Ok(format!("deb [signed-by={key}] {repository}/{system} {version} main"))
}

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
        Self::with_token(folder, repository, distro, architecture, None)
    }

    /// The same for a private repository, which opens to a token.
    pub fn with_token(
        folder: &Path,
        repository: &str,
        distro: &str,
        architecture: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Self> {
        let doing = || format!("cannot set up apt in `{}`", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(doing)?;
        }
        for part in ["etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial", "got"]
            .into_iter()
            .chain(["log", "root/var/lib/dpkg/info", "root/var/lib/dpkg/updates"])
        {
            std::fs::create_dir_all(folder.join(part)).with_context(doing)?;
        }
        let folder = folder.canonicalize().with_context(doing)?;
        let key = folder.join("key.asc");
        let signer = http::get_bytes_as(token, &format!("{repository}/gpgkey")).with_context(doing)?;
        std::fs::write(&key, signer).with_context(doing)?;
        if let Some(token) = token {
            let machine = format!("machine {repository}/ login {token} password irrelevant\n");
            std::fs::write(folder.join("etc/auth.conf"), machine).with_context(doing)?;
        }
        let line = source_line(&key.display().to_string(), repository, distro)?;
        std::fs::write(folder.join("etc/sources.list"), format!("{line}\n")).with_context(doing)?;
        for status in ["status", "root/var/lib/dpkg/status"] {
            std::fs::write(folder.join(status), "").with_context(doing)?;
        }
        // Read before all else, so that the machine's own settings, and what they have run after an installation, are not.
        std::fs::write(folder.join("apt.conf"), format!("Dir::Etc \"{}/etc\";\n", folder.display()))
            .with_context(doing)?;
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

    /// `apt-get install` of what nothing else is needed for, on a machine in the folder; apt checks it against the signed index.
    pub fn install(&self, package: &str) -> anyhow::Result<()> {
        let root = self.folder.join("root").display().to_string();
        let options = [
            format!("Dir::State::status={root}/var/lib/dpkg/status"),
            format!("DPkg::Options::=--root={root}"),
            format!("DPkg::Options::=--log={root}/var/lib/dpkg/log"),
            // What the packages are for need not be what this machine is.
            "DPkg::Options::=--force-architecture".to_owned(),
            "DPkg::Use-Pty=false".to_owned(),
        ];
        let options = options.iter().flat_map(|option| ["-o", option.as_str()]);
        self.run(&options.chain(["--yes", "install", package]).collect::<Vec<_>>()).map(drop)
    }

    /// A file of the machine in the folder.
    pub fn installed_file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let file = self.folder.join("root").join(path.trim_start_matches('/'));
        std::fs::read(&file).with_context(|| format!("nothing installed `{path}`"))
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        // dpkg installs as root only; for everybody else the kernel has a root of their own.
        let is_root = nix::unistd::geteuid().is_root() || !arguments.contains(&"install");
        let mut command = Command::new(if is_root { "apt-get" } else { "unshare" });
        if !is_root {
            command.args(["--map-root-user", "apt-get"]);
        }
        let answer = command
            .args(&self.options)
            .args(arguments)
            .current_dir(self.folder.join("got"))
            .env("APT_CONFIG", self.folder.join("apt.conf"))
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

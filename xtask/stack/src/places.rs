//! Where the parts of a clone are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// The clone, and the folder that cargo builds into.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// `target`, or what `CARGO_TARGET_DIR` says.
    pub target: PathBuf,
}

impl Places {
    /// The clone that cargo runs this program in, or else the one that it was built from.
    ///
    /// Cargo is asked first: clones that share a target folder also share programs, which were built from only one.
    pub fn of_this_clone() -> anyhow::Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package)
            .ancestors()
            .find(|folder| folder.join("wrangler.toml").exists() && folder.join("Cargo.lock").exists())
            .with_context(|| format!("`{}` is in no clone of Slipway", package.display()))?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => root.join(folder),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A native program of this workspace, as `cargo build` leaves it.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        existing(self.target.join("debug").join(name), "cargo xtask build")
    }

    /// The folder that xtask writes modules and pages to.
    pub fn build(&self) -> PathBuf {
        self.root.join("build")
    }

    /// The folder that xtask installs packages from npm in.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The folder that xtask installs in what makes the pages' files small.
    pub fn web_tools(&self) -> PathBuf {
        self.target.join("web-tools")
    }

    /// The folder that `cargo xtask test` installs packages from npm in.
    pub fn test_tools(&self) -> PathBuf {
        self.target.join("test-tools")
    }

    /// A Node that has SQLite, which not every Node that runs `slipway` has.
    pub fn test_node(&self) -> anyhow::Result<PathBuf> {
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let binary = format!("node_modules/node-linux-{machine}/bin/node");
        existing(self.test_tools().join(binary), "cargo xtask test")
    }

    /// The simulation for Node.
    pub fn simulation(&self) -> anyhow::Result<PathBuf> {
        existing(self.build().join("sim/run.mjs"), "cargo xtask build sim")
    }

    /// workerd's binary.
    pub fn workerd(&self) -> anyhow::Result<PathBuf> {
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "64" };
        let binary = format!("node_modules/@cloudflare/workerd-linux-{machine}/bin/workerd");
        existing(self.tools().join(binary), "cargo xtask build")
    }
}

pub(crate) fn existing(path: PathBuf, command: &str) -> anyhow::Result<PathBuf> {
    ensure!(path.exists(), "`{}` is not there yet: run `{command}` first", path.display());
    Ok(path)
}

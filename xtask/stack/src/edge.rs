//! workerd's configuration for the Worker, as one would deploy it to Cloudflare: the same modules, the same bindings.
//!
//! What differs is what carries them: Durable Objects keep their `SQLite` files in a folder, the dashboard's files come
//! from a disk service, and the secrets are in the (private) configuration file, so that starting the same command
//! again is enough after a crash.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// The Durable Objects: binding and class, as in `wrangler.toml`.
const DURABLE_OBJECTS: [(&str, &str); 4] = [
    ("PROJECT", "ProjectRecord"),
    ("PACKAGE", "PackagePromotion"),
    ("DESTINATION", "DestinationAccount"),
    ("DIRECTORY", "Directory"),
];

/// What a Worker on loopback is made of.
pub(crate) struct Edge<'a> {
    /// `build/worker`.
    pub(crate) modules: &'a Path,
    /// `build/dashboard`.
    pub(crate) assets: &'a Path,
    /// `wrangler.toml`, for the compatibility date that a deployment has too.
    pub(crate) wrangler: &'a Path,
    /// The folder of the configuration and of the Durable Objects' files.
    pub(crate) folder: &'a Path,
    /// The text of `slipway.toml`.
    pub(crate) config: &'a str,
    /// Text bindings.
    pub(crate) secrets: Vec<(&'a str, &'a str)>,
    /// `127.0.0.1:8787`.
    pub(crate) address: String,
}

impl Edge<'_> {
    /// Writes the configuration beside a copy of the modules, so that a later build does not change a running stack,
    /// and returns its path.
    pub(crate) fn write(&self) -> anyhow::Result<PathBuf> {
        let worker = self.folder.join("worker");
        let _ = std::fs::remove_dir_all(&worker);
        let mut modules = Vec::new();
        copy(self.modules, &worker, "", &mut modules)?;
        std::fs::write(worker.join("slipway.toml"), self.config)?;
        if !modules.iter().any(|name| name == "slipway.toml") {
            modules.push("slipway.toml".to_owned());
        }
        // In what is handed out, the operator's file stands beside the modules' folder.
        let config = worker.join("config.mjs");
        let text = std::fs::read_to_string(&config).with_context(|| format!("cannot read `{}`", config.display()))?;
        std::fs::write(&config, text.replace("\"../slipway.toml\"", "\"./slipway.toml\""))?;
        // workerd takes the first module as the entry.
        modules.sort_by_key(|name| (name != "shim.mjs", name.clone()));
        ensure!(
            modules.first().is_some_and(|name| name == "shim.mjs"),
            "`{}` has no `shim.mjs`: run `cargo xtask build` first",
            self.modules.display()
        );
        let objects = objects(self.folder);
        std::fs::create_dir_all(&objects)?;
        std::fs::create_dir_all(self.assets)?;
        let file = self.folder.join("workerd.capnp");
        crate::write_private(&file, &self.text(&worker, &objects, &modules)?)?;
        Ok(file)
    }

    fn text(&self, worker: &Path, objects: &Path, modules: &[String]) -> anyhow::Result<String> {
        let mut listed = String::new();
        for name in modules {
            let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
                Some("js" | "mjs") => "esModule",
                Some("wasm") => "wasm",
                Some("toml") => "text",
                _ => continue,
            };
            writeln!(listed, "    (name = {}, {kind} = embed {}),", quoted(name), quoted(&format!("worker/{name}")))?;
        }
        ensure!(worker.join("slipway.toml").exists(), "the Worker's folder has its `slipway.toml`");
        let mut bindings = String::new();
        let mut classes = String::new();
        for (binding, class) in DURABLE_OBJECTS {
            writeln!(bindings, "    (name = \"{binding}\", durableObjectNamespace = \"{class}\"),")?;
            writeln!(classes, "    (className = \"{class}\", uniqueKey = \"slipway-{class}\", enableSql = true),")?;
        }
        for (name, secret) in &self.secrets {
            writeln!(bindings, "    (name = {}, text = {}),", quoted(name), quoted(secret))?;
        }
        let date = compatibility_date(self.wrangler)?;
        let (objects, assets, address) =
            (quoted(&objects.display().to_string()), quoted(&self.assets.display().to_string()), quoted(&self.address));
        Ok(format!(
            r#"# Written by `cargo xtask`: changes are lost at the next start.
using Workerd = import "/workerd/workerd.capnp";

const slipway :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    # Everything on loopback is a private address, which workerd refuses unless told.
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    (name = "objects", disk = (path = {objects}, writable = true)),
    (name = "assets", disk = (path = {assets})),
  ],
  sockets = [(name = "http", address = {address}, http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  compatibilityDate = {date},
  modules = [
{listed}  ],
  bindings = [
    (name = "SELF", service = "edge"),
    (name = "ASSETS", service = "assets"),
{bindings}  ],
  durableObjectNamespaces = [
{classes}  ],
  durableObjectStorage = (localDisk = "objects"),
);
"#,
            date = quoted(&date),
        ))
    }
}

/// Where the Durable Objects of an edge in this folder keep what they know.
pub(crate) fn objects(folder: &Path) -> PathBuf {
    folder.join("objects")
}

/// The date in the operator's file, so that the Worker behaves here as it will when deployed.
pub fn compatibility_date(wrangler: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(wrangler).with_context(|| format!("cannot read `{}`", wrangler.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("compatibility_date = "))
        .map(|date| date.trim().trim_matches('"').to_owned())
        .with_context(|| format!("`{}` has no `compatibility_date`", wrangler.display()))
}

fn copy(from: &Path, to: &Path, prefix: &str, names: &mut Vec<String>) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    let entries = std::fs::read_dir(from)
        .with_context(|| format!("`{}` is not there yet: run `cargo xtask build` first", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(&name), &format!("{prefix}{name}/"), names)?;
        } else {
            std::fs::copy(entry.path(), to.join(&name))
                .with_context(|| format!("cannot copy `{}`", entry.path().display()))?;
            names.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

/// Text as a Cap'n Proto literal, which is written as in C.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

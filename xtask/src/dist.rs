//! `dist`: what is handed out, in one folder. Whoever installs from it needs no Rust and builds nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use slipway_stack::Places;

use crate::asks_for_help;
use crate::build::{self, Part};
use crate::pack::{self, Files, VERSION, sha256};
use crate::report::Steps;
use crate::tools::{cargo, output, run_logged, shown};

const HELP: &str = "\
cargo xtask dist

Builds what is handed out, into build/dist:
    slipway-VERSION.tgz                     the command, for npm and for the CI component
    slipway-worker-VERSION.tar.gz           the edge and the dashboard: edit slipway.toml, then `wrangler deploy`
    slipway-ci-component-VERSION.tar.gz     the CI component, as a GitLab project of its own
    depot-VERSION-linux-ARCHITECTURE.tar.gz the package server
    SHA256SUMS                              for `sha256sum --check`
The same sources and the same Rust make the same bytes.
";

pub(crate) fn command(arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    if asks_for_help(arguments, HELP)? {
        return Ok(ExitCode::SUCCESS);
    }
    let places = Places::of_this_clone()?;
    let steps = Steps::begin();
    let folder = run(&steps, &places)?;
    let sums = folder.join("SHA256SUMS");
    print!("{}", std::fs::read_to_string(&sums).with_context(|| format!("cannot read `{}`", sums.display()))?);
    Ok(ExitCode::SUCCESS)
}

/// Where it all is.
pub(crate) fn folder(places: &Places) -> PathBuf {
    places.build().join("dist")
}

/// Builds it all, and returns the folder.
pub(crate) fn run(steps: &Steps, places: &Places) -> anyhow::Result<PathBuf> {
    build::build(steps, places, &[Part::Slipway, Part::Dashboard, Part::Worker])?;
    let mut depot = cargo(places);
    depot.args(["build", "--profile", "native", "--package", "depot", "--bin", "depot"]);
    run_logged(&mut depot, "build depot", &places.target.join("xtask/dist-depot.log"))?;
    let made = made(places)?;

    let folder = folder(places);
    let draft = places.build().join("dist.draft");
    let _ = std::fs::remove_dir_all(&draft);
    std::fs::create_dir_all(&draft).with_context(|| format!("cannot make `{}`", draft.display()))?;
    for (name, bytes) in &made {
        std::fs::write(draft.join(name), bytes).with_context(|| format!("cannot write `{name}`"))?;
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(&draft, &folder).with_context(|| format!("cannot write `{}`", folder.display()))?;
    steps.say(&format!("packed into `{}`", shown(&folder, places)));
    Ok(folder)
}

/// The files to hand out, of what is built.
pub(crate) fn made(places: &Places) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut made = BTreeMap::new();
    made.insert(format!("slipway-{VERSION}.tgz"), pack::command(places)?);
    made.insert(format!("slipway-worker-{VERSION}.tar.gz"), worker(places)?);
    made.insert(format!("slipway-ci-component-{VERSION}.tar.gz"), component(places)?);
    made.insert(depot_name(), depot(places)?);
    let mut sums = String::new();
    for (name, bytes) in &made {
        // Two spaces: what `sha256sum` writes for text and binary files alike on Linux.
        let _ = writeln!(sums, "{}  {name}", sha256(bytes));
    }
    made.insert("SHA256SUMS".to_owned(), sums.into_bytes());
    Ok(made)
}

/// depot's archive is the only one for one kind of machine.
pub(crate) fn depot_name() -> String {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    format!("depot-{VERSION}-linux-{machine}.tar.gz")
}

/// The edge, as `wrangler deploy` takes it. The operator's file is at the top, where it is found.
fn worker(places: &Places) -> anyhow::Result<Vec<u8>> {
    let (root, build) = (&places.root, places.build());
    let top = format!("slipway-worker-{VERSION}");
    let mut files = Files::default();
    files.add_folder(&format!("{top}/worker"), &build.join("worker"))?;
    files.remove(&format!("{top}/worker/slipway.toml"))?;
    let config = text(&root.join("worker/config.mjs"))?;
    files.add(format!("{top}/worker/config.mjs"), once(&config, "\"./slipway.toml\"", "\"../slipway.toml\"")?);
    files.add_folder(&format!("{top}/dashboard"), &build.join("dashboard"))?;
    files.add_folder(&format!("{top}/self-hosted"), &root.join("worker/self-hosted"))?;
    files.add_file(format!("{top}/slipway.toml"), &root.join("slipway.toml"))?;
    files.add(format!("{top}/wrangler.toml"), deployed(&text(&root.join("wrangler.toml"))?)?);
    files.add_file(format!("{top}/README.md"), &root.join("worker/dist/README.md"))?;
    files.add_licences(&top, places)?;
    files.tar_gz()
}

/// `wrangler.toml` without what builds: everything is built.
fn deployed(wrangler: &str) -> anyhow::Result<String> {
    let (before, build) = wrangler.split_once("[build]\n").context("`wrangler.toml` has a `[build]`")?;
    let (_, after) = build.split_once("\n\n").context("`[build]` ends with an empty line")?;
    let text = format!("{before}{after}");
    let text = once(
        &text,
        "# How the Worker is deployed. `wrangler deploy` builds it first; nothing else has to be installed but Rust and Node.\n",
        "# How the Worker is deployed. Everything is built: `wrangler deploy` needs Node alone.\n",
    )?;
    let text = once(&text, "# `cargo xtask dev` runs the Worker with this date too. From", "# From")?;
    let text = once(&text, "main = \"build/worker/shim.mjs\"", "main = \"worker/shim.mjs\"")?;
    once(&text, "directory = \"build/dashboard\"", "directory = \"dashboard\"")
}

/// The CI component, as the first commit of its project.
fn component(places: &Places) -> anyhow::Result<Vec<u8>> {
    let top = format!("slipway-ci-component-{VERSION}");
    let mut files = Files::default();
    files.add_folder(&top, &places.root.join("ci-component"))?;
    files.tar_gz()
}

fn depot(places: &Places) -> anyhow::Result<Vec<u8>> {
    let name = depot_name();
    let top = name.trim_end_matches(".tar.gz");
    let mut files = Files::default();
    files.add_program(format!("{top}/depot"), &places.target.join("native/depot"))?;
    files.add_file(format!("{top}/README.md"), &places.root.join("crates/depot/README.md"))?;
    files.add_licences(top, places)?;
    files.tar_gz()
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Replaces what is there exactly once: anything else means that the file has changed and this has not.
fn once(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    let count = text.matches(from).count();
    ensure!(count == 1, "`{from}` is there {count} times, and should be once");
    Ok(text.replace(from, to))
}

/// Holds the folder to what it promises: the sums are those of the files, and packing again makes the same ones.
pub(crate) fn prove(places: &Places) -> anyhow::Result<()> {
    let folder = folder(places);
    let there = output("sh", &["-c", &format!("cd '{}' && sha256sum --check --strict SHA256SUMS", folder.display())]);
    let Some(there) = there else { bail!("`sha256sum --check` refuses `{}/SHA256SUMS`", folder.display()) };
    let again = made(places)?;
    ensure!(there.lines().count() + 1 == again.len(), "SHA256SUMS names every file but itself:\n{there}");
    for (name, bytes) in again {
        let kept = std::fs::read(folder.join(&name)).with_context(|| format!("cannot read `{name}`"))?;
        ensure!(kept == bytes, "`{name}` is another file when it is packed again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deployed_from_the_archive_builds_nothing_and_is_else_as_in_the_repository() {
        let places = Places::of_this_clone().expect("tests run in a clone");
        let ours = text(&places.root.join("wrangler.toml")).expect("it is there");
        let theirs = deployed(&ours).expect("it has the parts that are replaced");
        assert!(!theirs.contains("cargo") && !theirs.contains("[build]"), "{theirs}");
        let settings = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
        };
        let (ours, theirs): (Vec<String>, Vec<String>) = (settings(&ours), settings(&theirs));
        let changed: Vec<&String> = ours.iter().filter(|line| !theirs.contains(line)).collect();
        let names: Vec<&str> = changed.iter().filter_map(|line| line.split([' ', ']']).next()).collect();
        assert_eq!(names, ["main", "[build", "command", "watch_dir", "directory"]);
    }

    #[test]
    fn a_replacement_that_no_longer_fits_is_an_error() {
        assert_eq!(once("a b", "b", "c").expect("it is there once"), "a c");
        assert!(once("a", "b", "c").is_err());
        assert!(once("b b", "b", "c").is_err());
    }
}

//! What has to be on the machine, and what is installed inside the clone.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use slipway_stack::Places;

use crate::report::Steps;

/// The oldest Node that runs the `slipway` command.
const NODE_MAJOR_MIN: u32 = 20;

/// A program that ends with this one, even if this one is killed.
pub(crate) fn program(name: &str) -> Command {
    let setpriv = "/usr/bin/setpriv";
    let mut command = if cfg!(target_os = "linux") && Path::new(setpriv).exists() {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--", name]);
        command
    } else {
        Command::new(name)
    };
    command.stdin(Stdio::null());
    command
}

/// What a program prints, or `None` when it is not there or fails.
pub(crate) fn output(name: &str, arguments: &[&str]) -> Option<String> {
    let answer = Command::new(name).args(arguments).stdin(Stdio::null()).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

/// Runs a program to its end, with what it prints in a log. A failure shows the end of that log.
pub(crate) fn run_logged(command: &mut Command, doing: &str, log: &Path) -> anyhow::Result<()> {
    let open = || {
        std::fs::create_dir_all(log.parent().unwrap_or(Path::new(".")))?;
        std::fs::File::create(log)
    };
    let file = open().with_context(|| format!("cannot write `{}`", log.display()))?;
    let copy = file.try_clone().with_context(|| format!("cannot write `{}`", log.display()))?;
    let status = command
        .stdout(file)
        .stderr(copy)
        .status()
        .with_context(|| format!("cannot start `{}` to {doing}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        let bytes = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        bail!("cannot {doing}: {status}. It printed (all of it is in `{}`):\n{tail}", log.display());
    }
    Ok(())
}

/// Fails with one line when something is missing that cannot be installed inside the clone.
pub(crate) fn check(steps: &Steps) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    match output("node", &["--version"]) {
        Some(version) => {
            let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
            if major.is_some_and(|major: u32| major >= NODE_MAJOR_MIN) {
                found.push(format!("node {}", version.trim_start_matches('v')));
            } else {
                missing
                    .push(format!("Node {NODE_MAJOR_MIN} or newer (`node` here is {version}; see https://nodejs.org)"));
            }
        }
        None => missing.push(format!("Node {NODE_MAJOR_MIN} or newer (see https://nodejs.org)")),
    }
    for (name, arguments, hint) in [
        ("npm", "--version", "`npm`, which comes with Node"),
        ("cc", "--version", "a C compiler (Debian: `apt-get install build-essential`)"),
        ("git", "--version", "`git` (Debian: `apt-get install git`)"),
    ] {
        match output(name, &[arguments]) {
            Some(_) => found.push(name.to_owned()),
            None => missing.push(hint.to_owned()),
        }
    }
    ensure!(missing.is_empty(), "this machine lacks {}: install that, then run this again", missing.join(", and "));
    steps.say(&format!("found {}", found.join(", ")));
    Ok(())
}

/// The standard library for wasm, which rustup keeps in its own folder.
pub(crate) fn wasm_target(steps: &Steps, places: &Places) -> anyhow::Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let installed = output("rustc", &["--print", "target-libdir", "--target", TARGET])
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .is_some_and(|mut files| files.next().is_some());
    if installed {
        return Ok(());
    }
    ensure!(
        output("rustup", &["--version"]).is_some(),
        "this Rust has no {TARGET} target: install Rust with https://rustup.rs, or that target in the way of your system"
    );
    steps.say(&format!("adding Rust's {TARGET} target through rustup: about 20 MB"));
    run_logged(
        program("rustup").args(["target", "add", TARGET]).current_dir(&places.root),
        &format!("add the {TARGET} target"),
        &places.target.join("xtask/rustup.log"),
    )
}

/// workerd, from npm, into `target/tools`.
pub(crate) fn workerd(steps: &Steps, places: &Places) -> anyhow::Result<()> {
    npm_install(steps, places, "xtask/tools", &places.tools(), "workerd", "47 MB to load, 155 MB on disk")
}

/// Installs exactly what a committed `package-lock.json` says, unless it is there already. No package's own scripts run.
pub(crate) fn npm_install(
    steps: &Steps,
    places: &Places,
    listed_in: &str,
    folder: &Path,
    name: &str,
    size: &str,
) -> anyhow::Result<()> {
    const FILES: [&str; 2] = ["package.json", "package-lock.json"];
    let lists = places.root.join(listed_in);
    let wanted = FILES.map(|file| std::fs::read(lists.join(file)).ok());
    // Copied when all is installed, so that an interrupted installation is done again.
    let stamp = folder.join("installed");
    if std::fs::read(&stamp).ok() == wanted[1] && folder.join("node_modules").exists() {
        return Ok(());
    }
    steps.say(&format!("installing {name} from npm into `{}`: {size}", shown(folder, places)));
    let began = Instant::now();
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    for (file, content) in FILES.iter().zip(&wanted) {
        let content = content.as_deref().with_context(|| format!("`{listed_in}/{file}` is not there"))?;
        std::fs::write(folder.join(file), content)
            .with_context(|| format!("cannot write to `{}`", folder.display()))?;
    }
    run_logged(
        program("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"])
            .current_dir(folder),
        &format!("install {name} from npm"),
        &places.target.join(format!("xtask/npm-{name}.log")),
    )?;
    std::fs::write(&stamp, wanted[1].as_deref().unwrap_or_default())?;
    steps.say(&format!("{name} installed ({})", seconds(began.elapsed())));
    Ok(())
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32().round())
}

/// A path as seen from the clone, for messages.
pub(crate) fn shown(path: &Path, places: &Places) -> String {
    path.strip_prefix(&places.root).unwrap_or(path).display().to_string()
}

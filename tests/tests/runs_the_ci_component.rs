//! A pipeline that includes the CI component, run by gitlab-ci-local: the template's own scripts, in a shell.
//!
//! That runner starts the jobs one by one and makes no ID tokens. So each job is in the GitLab stand-in as well, runs
//! there while it runs here, and has its ID token from there.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use slipway_stack::Places;
use slipway_tests::e2e::{Deb, JAMMY, Release, World, deb, sha256};

const NOBLE: &str = "ubuntu/noble";
/// The address in the project's `.gitlab-ci.yml`, as it is laid out.
const URL_THERE: &str = "http://127.0.0.1:8787";
/// An address at which nobody is.
const NOBODY: &str = "http://127.0.0.1:9/nobody";

#[test]
fn plan_stage_and_one_manual_job_make_one_package_public_and_leave_the_other_staged() {
    let Some(runner) = runner() else { return };
    let pipeline = Pipeline::begin("ci-component", runner);
    let (world, release) = (&pipeline.world, &pipeline.release);
    // No webhook arrives: what is released is what the component's job asks for.
    world.gitlab.point_hook(world.tug().id, NOBODY);
    // Both files have one name, as packages of one version for two distro versions often do.
    let [jammy, noble] = ["jammy", "noble"].map(|folder| pipeline.add(folder));

    pipeline.run(pipeline.job("plan"), "plan").passed();
    for (key, distro) in [("jammy-amd64", JAMMY), ("noble-amd64", NOBLE)] {
        let target = release.target(key);
        assert_eq!([&target["state"], &target["distro"]], ["expected", distro], "{target}");
    }

    pipeline.run(pipeline.job("jammy"), "jammy").passed();
    pipeline.run(pipeline.job("noble"), "noble").passed();
    for (key, staged) in [("jammy-amd64", &jammy), ("noble-amd64", &noble)] {
        assert_eq!(release.target(key)["state"], "staged");
        let shown = release.shown();
        let package = shown["packages"].as_array().and_then(|all| all.iter().find(|package| package["key"] == key));
        let package = package.expect("it was planned");
        assert_eq!(package["file"]["digest"], format!("sha256:{}", staged.sha256), "the bytes of {key}");
    }
    release.is_not_public(&jammy.filename);

    let job = world.gitlab.play(release.job("jammy-amd64"), "mira");
    release.job("noble-amd64");
    let said = pipeline.run(job, "release: [jammy-amd64]").passed();
    assert!(said.contains("released: `jammy-amd64`"), "{said}");

    assert_eq!(release.target("jammy-amd64")["state"], "released", "the job ends when it is");
    assert_eq!(release.target("jammy-amd64")["approval"]["via"], "job");
    let served = world.depot.served(JAMMY, &jammy.filename).expect("the index lists what is released");
    assert_eq!(sha256(&served), jammy.sha256, "the bytes that were staged");
    assert_eq!(world.depot.pushes(&jammy.filename), [jammy.sha256]);

    assert_eq!(release.target("noble-amd64")["state"], "staged");
    assert_eq!(world.depot.served(NOBLE, &noble.filename), None, "nobody has released it");
}

#[test]
fn the_manual_job_of_a_package_that_nobody_staged_fails_with_the_reason() {
    let Some(runner) = runner() else { return };
    let pipeline = Pipeline::begin("ci-component-refused", runner);
    let release = &pipeline.release;
    let jammy = pipeline.add("jammy");
    pipeline.run(pipeline.job("plan"), "plan").passed();
    pipeline.run(pipeline.job("jammy"), "jammy").passed();

    let job = pipeline.world.gitlab.play(release.job("noble-amd64"), "mira");
    let said = pipeline.run(job, "release: [noble-amd64]").failed_with(1);
    assert!(said.contains("`noble-amd64` is not staged: no job has declared its file."), "{said}");
    assert!(said.contains("Run its build job, then play the release job again"), "{said}");

    assert_eq!(release.target("noble-amd64")["state"], "expected");
    assert_eq!(release.target("jammy-amd64")["state"], "staged", "the other package is as it was");
    release.is_not_public(&jammy.filename);
}

#[test]
fn the_click_on_a_job_that_the_component_planned_is_enough_when_its_script_never_runs() {
    let Some(runner) = runner() else { return };
    let pipeline = Pipeline::begin("ci-component-click", runner);
    let (world, release) = (&pipeline.world, &pipeline.release);
    let jammy = pipeline.add("jammy");
    pipeline.run(pipeline.job("plan"), "plan").passed();
    pipeline.run(pipeline.job("jammy"), "jammy").passed();

    // The webhook is believed only about a job of the name and environment that the plan declared.
    world.gitlab.play(release.job("jammy-amd64"), "mira");
    let target = release.wait_until_released("jammy-amd64");
    assert_eq!(target["approval"]["via"], "webhook");
    assert_eq!(world.depot.served(JAMMY, &jammy.filename).as_deref().map(sha256), Some(jammy.sha256));
}

#[test]
fn the_build_job_of_a_package_without_a_file_fails_and_stages_nothing() {
    let Some(runner) = runner() else { return };
    let pipeline = Pipeline::begin("ci-component-no-file", runner);
    pipeline.run(pipeline.job("plan"), "plan").passed();
    let said = pipeline.run(pipeline.job("jammy"), "jammy").failed_with(2);
    assert!(said.contains("packages/jammy/*.deb"), "the pattern that meant no file is named: {said}");
    assert_eq!(pipeline.release.target("jammy-amd64")["state"], "expected");
}

/// A project with the component, laid out in a folder, and the pipeline of its tag in the GitLab stand-in.
struct Pipeline {
    world: World,
    release: Release,
    folder: PathBuf,
    runner: Runner,
}

/// A built file.
struct Built {
    filename: String,
    sha256: String,
}

impl Pipeline {
    fn begin(test: &str, runner: Runner) -> Self {
        let places = Places::of_this_clone().expect("tests run in a clone");
        let world = World::start(test);
        let folder = world.stack.folder().join("pipeline");
        let script = places.root.join("ci-component/tests/lay-out.sh");
        let ended = Command::new(script).arg(&folder).stdin(Stdio::null()).output().expect("the script is there");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

        // The address goes the way that it goes in a project: through the component's input.
        let file = folder.join(".gitlab-ci.yml");
        let jobs = fs::read_to_string(&file).expect("the project has a pipeline");
        assert!(jobs.contains(URL_THERE), "{jobs}");
        fs::write(&file, jobs.replace(URL_THERE, &world.stack.edge_url())).expect("the stack's folder is writable");
        Self { release: world.release("1.2.0"), world, folder, runner }
    }

    /// Puts a package where the project's build jobs find it.
    fn add(&self, codename: &str) -> Built {
        let package = Deb { version: "1.2.0-1".to_owned(), ..deb("tug", &format!("For {codename}.\n"), 0) };
        let (filename, bytes) = (package.file_name(), package.build().expect("it fits"));
        let file = self.folder.join("packages").join(codename).join(&filename);
        fs::write(file, &bytes).expect("the stack's folder is writable");
        Built { filename, sha256: sha256(&bytes) }
    }

    /// A running job of the pipeline that nobody has to play.
    fn job(&self, name: &str) -> u64 {
        let job = json!({
            "project": self.release.project.id, "pipeline": self.release.pipeline, "name": name,
            "stage": if name == "plan" { ".pre" } else { "build" }, "status": "running",
        });
        self.world.gitlab.job(&job)["id"].as_u64().expect("a job has a number")
    }

    /// Runs a job of the pipeline as the stand-in's job of that number, to its end.
    fn run(&self, job: u64, name: &str) -> Ran {
        let variables = [
            ("CI_COMMIT_TAG", "v1.2.0".to_owned()),
            ("SLIPWAY_PROJECT", self.release.project.id.to_string()),
            ("SLIPWAY_ID_TOKEN", self.world.gitlab.id_token(job)),
            ("SLIPWAY_STAGING_TOKEN", self.world.stack.secret("STAGING_TOKEN").to_owned()),
        ];
        let mut command = self.runner.command(&self.folder);
        command.arg("--force-shell-executor");
        for (name, value) in variables {
            command.arg("--variable").arg(format!("{name}={value}"));
        }
        let ended = command.arg(name).output().expect("it was there a moment ago");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran =
            Ran { name: name.to_owned(), code: ended.status.code(), text: text(&ended.stdout) + &text(&ended.stderr) };
        self.world.gitlab.finish(job, if ran.verdict("PASS") { "success" } else { "failed" });
        ran
    }
}

/// How a job ended.
struct Ran {
    name: String,
    /// The runner's own exit code.
    code: Option<i32>,
    text: String,
}

impl Ran {
    /// Whether the runner's summary says this of the job: `PASS`, `FAIL`, or `WARN` for a failed job that is allowed
    /// to fail, with which the runner itself ends well.
    fn verdict(&self, word: &str) -> bool {
        let summary = format!(" {word}  {}", self.name);
        self.text.lines().any(|line| line.trim_end() == summary || line.starts_with(&format!("{summary}  ")))
    }

    /// What a job said that was green.
    #[track_caller]
    fn passed(self) -> String {
        assert!(self.code == Some(0) && self.verdict("PASS"), "{}", self.text);
        self.text
    }

    /// What a job said that was red: its script ended with this code.
    #[track_caller]
    fn failed_with(self, code: i32) -> String {
        assert!(self.verdict("FAIL") || self.verdict("WARN"), "{}", self.text);
        let finished = self.text.lines().find(|line| line.starts_with(&format!("{} finished in ", self.name)));
        let ended_with = finished.and_then(|line| line.split_whitespace().last()).unwrap_or_default();
        assert_eq!(ended_with, code.to_string(), "{}", self.text);
        self.text
    }
}

/// gitlab-ci-local, as `GITLAB_CI_LOCAL` names it: a program, or `node` and a file.
struct Runner {
    program: String,
    script: Option<String>,
    /// Where the built `slipway` command is, and everything else.
    path: OsString,
}

impl Runner {
    /// The runner in a folder, with nothing of this machine's environment but its programs.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.script).current_dir(folder).stdin(Stdio::null());
        command.env_clear().env("PATH", &self.path).env("HOME", folder).env("LC_ALL", "C.UTF-8");
        command
    }
}

/// The runner, if all that it needs is here. Otherwise says what is missing.
fn runner() -> Option<Runner> {
    let skipped = |why: &str| {
        println!("SKIPPED: the CI component cannot be run here: {why}");
        None
    };
    let Ok(named) = std::env::var("GITLAB_CI_LOCAL") else {
        return skipped("`GITLAB_CI_LOCAL` names no gitlab-ci-local; `cargo xtask test` installs it");
    };
    for program in ["rsync", "git", "bash"] {
        let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        if !asked.is_ok_and(|answer| answer.status.success()) {
            return skipped(&format!("gitlab-ci-local needs `{program}`"));
        }
    }
    let places = Places::of_this_clone().expect("tests run in a clone");
    let bin = places.build().join("slipway/bin");
    assert!(bin.join("slipway.mjs").exists(), "`cargo xtask build slipway` makes {}", bin.display());
    let programs = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin).chain(std::env::split_paths(&programs));
    let path = std::env::join_paths(folders).expect("folders of a PATH can be in one again");
    let (program, script) = match named.split_once(' ') {
        Some((program, script)) => (program.to_owned(), Some(script.to_owned())),
        None => (named.clone(), None),
    };
    let runner = Runner { program, script, path };
    match runner.command(&places.root).arg("--version").output() {
        Ok(answer) if answer.status.success() => Some(runner),
        Ok(answer) => {
            let said = String::from_utf8_lossy(&answer.stderr).into_owned();
            let reason = said.lines().find(|line| line.contains("Error")).unwrap_or("it does not say why").to_owned();
            skipped(&format!("`{named} --version` fails, perhaps for want of a newer Node: {reason}"))
        }
        Err(error) => skipped(&format!("`{named}` cannot be started: {error}")),
    }
}

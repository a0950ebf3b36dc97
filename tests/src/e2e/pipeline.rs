//! A GitLab project that uses the CI component, in a folder, whose jobs gitlab-ci-local runs.
//!
//! That runner makes no ID tokens and knows no numbers of jobs. So each job is in the GitLab stand-in as well, runs there
//! while it runs here, and has its ID token from there.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use slipway_stack::Places;

use super::{Deb, Gitlab, Package, Release, World};

/// gitlab-ci-local, as `GITLAB_CI_LOCAL` names it: a program, or `node` and a file.
#[derive(Clone, Debug)]
pub struct Runner {
    program: String,
    script: Option<String>,
    /// Where the built `slipway` command is, and everything else.
    path: OsString,
    /// The component's input `slipway`, unless jobs are to load the command from the edge.
    slipway: Option<&'static str>,
}

impl Runner {
    /// The runner, or what it lacks here.
    pub fn find() -> Result<Self, String> {
        let places = Places::of_this_clone().expect("tests run in a clone");
        let bin = places.build().join("slipway/bin");
        assert!(bin.join("slipway.mjs").exists(), "`cargo xtask build slipway` makes {}", bin.display());
        let programs = std::env::var_os("PATH").unwrap_or_default();
        Self::with(std::iter::once(bin).chain(std::env::split_paths(&programs)), Some("slipway.mjs"))
    }

    /// A runner whose jobs have neither Rust nor a `slipway` command: what they need they get from the edge.
    pub fn find_bare() -> Result<Self, String> {
        let programs = std::env::var_os("PATH").unwrap_or_default();
        let bare = |folder: &PathBuf| {
            ["cargo", "rustc", "rustup", "slipway", "slipway.mjs"].iter().all(|name| !folder.join(name).exists())
        };
        Self::with(std::env::split_paths(&programs).filter(bare), None)
    }

    fn with(folders: impl Iterator<Item = PathBuf>, slipway: Option<&'static str>) -> Result<Self, String> {
        let named = std::env::var("GITLAB_CI_LOCAL")
            .map_err(|_| "`GITLAB_CI_LOCAL` names no gitlab-ci-local; `cargo xtask test` installs it".to_owned())?;
        for program in ["rsync", "git", "bash"] {
            let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
            if !asked.is_ok_and(|answer| answer.status.success()) {
                return Err(format!("gitlab-ci-local needs `{program}`"));
            }
        }
        let places = Places::of_this_clone().expect("tests run in a clone");
        let path = std::env::join_paths(folders).expect("folders of a PATH can be in one again");
        let (program, script) = match named.split_once(' ') {
            Some((program, script)) => (program.to_owned(), Some(script.to_owned())),
            None => (named.clone(), None),
        };
        let runner = Self { program, script, path, slipway };
        match runner.command(&places.root).arg("--version").output() {
            Ok(answer) if answer.status.success() => Ok(runner),
            Ok(answer) => {
                let said = String::from_utf8_lossy(&answer.stderr).into_owned();
                let why = said.lines().find(|line| line.contains("Error")).unwrap_or("it does not say why").to_owned();
                Err(format!("`{named} --version` fails, perhaps for want of a newer Node: {why}"))
            }
            Err(error) => Err(format!("`{named}` cannot be started: {error}")),
        }
    }

    /// The runner in a folder, with nothing of this machine's environment but its programs.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.script).current_dir(folder).stdin(Stdio::null());
        command.env_clear().env("PATH", &self.path).env("HOME", folder).env("LC_ALL", "C.UTF-8");
        command
    }
}

/// A project with the component, and the pipeline of its tag in the GitLab stand-in.
pub struct Pipeline {
    /// What the edge shows of it.
    pub release: Release,
    runner: Runner,
    folder: PathBuf,
    gitlab: Gitlab,
    edge: String,
    staging_token: String,
}

impl Pipeline {
    /// Lays out a project with these packages, each of a key and for a distro version, and a job `build KEY` that stages
    /// `packages/KEY/*.deb`.
    pub fn of(world: &World, release: Release, runner: Runner, name: &str, packages: &[(String, &str)]) -> Self {
        let folder = world.stack.folder().join(name);
        for (key, _) in packages {
            fs::create_dir_all(folder.join("packages").join(key)).expect("the stack's folder is writable");
        }
        let pipeline = Self::in_folder(world, release, runner, folder);
        let keys: Vec<&str> = packages.iter().map(|(key, _)| key.as_str()).collect();
        let mut jobs = format!(
            "stages: [build, deploy]\ninclude:\n  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/release@$CI_COMMIT_SHA\n    \
             inputs:\n      url: {}\n      packages: [{}]\n",
            pipeline.edge,
            keys.join(", ")
        );
        if let Some(slipway) = pipeline.runner.slipway {
            writeln!(jobs, "      slipway: {slipway}").expect("a text has room");
        }
        let mut plan = String::new();
        for (key, distro) in packages {
            write!(
                jobs,
                "\"build {key}\":\n  extends: .slipway-stage\n  stage: build\n  variables:\n    SLIPWAY_PACKAGE: {key}\n    \
                 SLIPWAY_FILE: packages/{key}/*.deb\n"
            )
            .expect("a text has room");
            write!(plan, "[[package]]\nkey = \"{key}\"\ndistros = [\"{distro}\"]\n").expect("a text has room");
        }
        pipeline.write(".gitlab-ci.yml", &jobs);
        pipeline.write("slipway.packages.toml", &plan);
        let templates = Places::of_this_clone().expect("tests run in a clone").root.join("ci-component/templates");
        pipeline.sh(&format!(
            "cp -R '{}' . && git init --quiet --initial-branch main && git add --all && \
             git -c user.name=Slipway -c user.email=slipway@example.com -c commit.gpgsign=false commit --quiet -m project && \
             git remote add origin git@gitlab.example.com:harbour/tug.git && git update-ref refs/remotes/origin/main HEAD && \
             git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main",
            templates.display()
        ));
        pipeline
    }

    /// The project that is laid out in a folder already.
    pub fn in_folder(world: &World, release: Release, runner: Runner, folder: PathBuf) -> Self {
        let (gitlab, edge) = (world.gitlab.clone(), world.stack.edge_url());
        let staging_token = world.stack.secret("STAGING_TOKEN").to_owned();
        Self { release, runner, folder, gitlab, edge, staging_token }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).expect("the stack's folder is writable");
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a few words of shell there.
    pub fn sh(&self, script: &str) {
        let ended =
            Command::new("sh").args(["-c", script]).current_dir(&self.folder).output().expect("there is a shell");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    /// Adds jobs to the project.
    pub fn add_jobs(&self, yaml: &str) {
        self.change_jobs(|jobs| format!("{jobs}{yaml}"));
    }

    /// Gives the project another `.gitlab-ci.yml`.
    pub fn change_jobs(&self, change: impl FnOnce(&str) -> String) {
        let file = self.folder.join(".gitlab-ci.yml");
        let jobs = fs::read_to_string(&file).expect("the project has a pipeline");
        let changed = change(&jobs);
        assert_ne!(jobs, changed, "it is another one");
        fs::write(file, changed).expect("the stack's folder is writable");
    }

    /// Puts a package where its build job finds it, and nothing else there.
    pub fn build(&self, key: &str, deb: &Deb) -> Package {
        let package = Package::new(deb.file_name(), deb.build().expect("it fits"));
        let folder = self.folder.join("packages").join(key);
        fs::remove_dir_all(&folder).and_then(|()| fs::create_dir(&folder)).expect("the stack's folder is writable");
        fs::write(folder.join(&package.filename), &package.bytes).expect("the stack's folder is writable");
        package
    }

    /// A running job of the pipeline that nobody has to play.
    pub fn job(&self, name: &str) -> u64 {
        let job = json!({
            "project": self.release.project.id, "pipeline": self.release.pipeline, "name": name,
            "stage": if name == "plan" { ".pre" } else { "build" }, "status": "running",
        });
        self.gitlab.job(&job)["id"].as_u64().expect("a job has a number")
    }

    /// Runs a job that nobody has to play, to its end.
    pub fn run(&self, name: &str) -> Ran {
        self.run_as(self.job(name), name)
    }

    /// A person plays the manual job of a package, and it runs to its end.
    pub fn play(&self, key: &str) -> Ran {
        self.run_as(self.gitlab.play(self.release.job(key), "mira"), &format!("release: [{key}]"))
    }

    /// Runs a job as the stand-in's job of that number, to its end.
    pub fn run_as(&self, job: u64, name: &str) -> Ran {
        let token = self.gitlab.id_token(job);
        let ended = self.command(Some(&token), &[name]).output().expect("it was there a moment ago");
        let ran = Ran::of(name, &ended);
        assert!(
            ended.status.success() || !ran.verdict("PASS"),
            "its one job is green, and the runner fails: {}",
            ran.text
        );
        self.gitlab.finish(job, if ran.verdict("PASS") { "success" } else { "failed" });
        ran
    }

    /// Starts a job, in a process group of its own.
    pub fn start(&self, job: u64, name: &str) -> Child {
        let mut command = self.command(Some(&self.gitlab.id_token(job)), &[name]);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("it was there a moment ago")
    }

    /// Runs several jobs in one go, each as a job of the stand-in: what the runner said, and how it ended.
    pub fn run_at_once(&self, names: &[String]) -> Vec<Ran> {
        let jobs: Vec<u64> = names.iter().map(|name| self.job(name)).collect();
        // Each has a token of its own, which no option of the runner can say.
        let file = self.folder.join(".gitlab-ci.yml");
        let mut yaml = fs::read_to_string(&file).expect("the project has a pipeline");
        for (name, job) in names.iter().zip(&jobs) {
            let head = format!("\"{name}\":\n  extends: .slipway-stage\n  stage: build\n  variables:\n");
            assert!(yaml.contains(&head), "{yaml}");
            let token = self.gitlab.id_token(*job);
            yaml = yaml.replace(&head, &format!("{head}    SLIPWAY_ID_TOKEN: {token}\n"));
        }
        fs::write(&file, yaml).expect("the stack's folder is writable");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ended = self
            .command(None, &names)
            .args(["--concurrency", &names.len().to_string()])
            .output()
            .expect("it was there a moment ago");
        let ran: Vec<Ran> = names.iter().map(|name| Ran::of(name, &ended)).collect();
        for (job, ran) in jobs.iter().zip(&ran) {
            self.gitlab.finish(*job, if ran.verdict("PASS") { "success" } else { "failed" });
        }
        ran
    }

    /// Runs the whole pipeline in one go, and in it the manual jobs that are named: the runner orders the jobs by their
    /// stages. Each name has the stand-in's job of that number, whose token it gets; only one job of a matrix can be named,
    /// since they have one text.
    pub fn run_whole(&self, jobs: &[(&str, u64)], manual: &[&str]) -> Vec<Ran> {
        let mut tokens = String::new();
        self.change_jobs(|yaml| {
            let mut yaml = yaml.to_owned();
            for (name, job) in jobs {
                let token = self.gitlab.id_token(*job);
                let head = format!("\"{name}\":\n  extends: .slipway-stage\n  stage: build\n  variables:\n");
                if yaml.contains(&head) {
                    yaml = yaml.replace(&head, &format!("{head}    SLIPWAY_ID_TOKEN: {token}\n"));
                } else {
                    // One of the component's own.
                    let text = name.split(": [").next().unwrap_or(name);
                    write!(tokens, "\"{text}\":\n  variables:\n    SLIPWAY_ID_TOKEN: {token}\n")
                        .expect("a text has room");
                }
            }
            yaml + &tokens
        });
        let mut command = self.command(None, &[]);
        for name in manual {
            command.arg("--manual").arg(name);
        }
        let ended = command.output().expect("it was there a moment ago");
        let ran: Vec<Ran> = jobs.iter().map(|(name, _)| Ran::of(name, &ended)).collect();
        for ((_, job), ran) in jobs.iter().zip(&ran) {
            self.gitlab.finish(*job, if ran.verdict("PASS") { "success" } else { "failed" });
        }
        ran
    }

    fn command(&self, id_token: Option<&str>, names: &[&str]) -> Command {
        let mut variables = vec![
            ("CI_COMMIT_TAG", format!("v{}", self.release.version)),
            ("SLIPWAY_PROJECT", self.release.project.id.to_string()),
            ("SLIPWAY_STAGING_TOKEN", self.staging_token.clone()),
        ];
        variables.extend(id_token.map(|token| ("SLIPWAY_ID_TOKEN", token.to_owned())));
        let mut command = self.runner.command(&self.folder);
        command.arg("--force-shell-executor");
        for (name, value) in variables {
            command.arg("--variable").arg(format!("{name}={value}"));
        }
        command.args(names);
        command
    }
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Ran {
    name: String,
    /// What the runner printed.
    pub text: String,
}

impl Ran {
    fn of(name: &str, ended: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { name: name.to_owned(), text: text(&ended.stdout) + &text(&ended.stderr) }
    }

    /// Whether the runner's summary says this of the job: `PASS`, `FAIL`, or `WARN` for a failed job that is allowed
    /// to fail.
    fn verdict(&self, word: &str) -> bool {
        let summary = format!(" {word}  {}", self.name);
        self.text.lines().any(|line| line.trim_end() == summary || line.starts_with(&format!("{summary}  ")))
    }

    /// What a job said that was green.
    #[track_caller]
    pub fn passed(self) -> String {
        assert!(self.verdict("PASS"), "{}: {}", self.name, self.text);
        self.text
    }

    /// What a job said that was red: its script ended with this code.
    #[track_caller]
    pub fn failed_with(self, code: i32) -> String {
        assert!(self.verdict("FAIL") || self.verdict("WARN"), "{}", self.text);
        let finished = self.text.lines().find(|line| line.starts_with(&format!("{} finished in ", self.name)));
        let ended_with = finished.and_then(|line| line.split_whitespace().last()).unwrap_or_default();
        assert_eq!(ended_with, code.to_string(), "{}", self.text);
        self.text
    }
}

//! A release under way: what its pipeline's jobs say to the edge, and what the edge shows of it.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use slipway_stack::{Places, Project, Stack, wait_for};

use super::gitlab::id;
use super::{Answer, DEADLINE, Deb, Depot, Gitlab, JAMMY, Rpm, send, send_within, sha256};

/// A release's pipeline, with one running job that plans and builds.
#[derive(Clone, Debug)]
pub struct Release {
    /// Whose release.
    pub project: Project,
    /// The version going out.
    pub version: String,
    /// The pipeline of its tag.
    pub pipeline: u64,
    /// A running job of that pipeline.
    pub build: u64,
    edge: String,
    staging_token: String,
    depot: Depot,
    gitlab: Gitlab,
}

/// A staged file.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub filename: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256.
    pub sha256: String,
}

impl Package {
    /// A file with these bytes.
    pub fn new(filename: String, bytes: Vec<u8>) -> Self {
        Self { filename, sha256: sha256(&bytes), bytes }
    }
}

/// A request that a job holds open.
pub struct Carried(std::thread::JoinHandle<Option<Answer>>);

impl Carried {
    /// Whether the answer has ended, however it did.
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end of the answer: its lines. There are none when the edge was killed meanwhile.
    pub fn lines(self) -> Vec<Value> {
        let answer = self.0.join().expect("the request does not panic");
        let text = answer.map(|answer| answer.ok().text()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

fn expected(key: &str, distros: &[&str], kind: &str) -> Value {
    json!({"key": key, "expect": {
        "distros": distros, "kind": kind,
        "release_job": format!("release: [{key}]"), "environment": format!("release/{key}"),
    }})
}

/// How a run of the `slipway` command ended.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The exit code.
    pub code: Option<i32>,
    /// Both of its outputs.
    pub text: String,
}

impl Spoken {
    /// Runs the command until it ends.
    pub fn of(command: &mut Command) -> Self {
        let ended = command.output().expect("Node is on the machine");
        let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        Self { code: ended.status.code(), text }
    }

    /// The same, once it is certain that it ended with this code.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }
}

impl Release {
    pub(super) fn begin(stack: &Stack, project: Project, version: &str) -> Self {
        let gitlab = Gitlab::of(stack);
        let build = gitlab.job(&json!({
            "project": project.id, "name": "build", "ref": format!("v{version}"), "tag": true, "protected": true,
            "user": "mira", "status": "running",
        }));
        Self {
            project,
            version: version.to_owned(),
            pipeline: build["pipeline_id"].as_u64().expect("a job has a pipeline"),
            build: id(&build),
            edge: stack.edge_url(),
            staging_token: stack.secret("STAGING_TOKEN").to_owned(),
            depot: Depot::of(stack),
            gitlab,
        }
    }

    // ---- jobs ----

    /// The manual job that releases a package, in this pipeline. Nobody has played it.
    pub fn job(&self, key: &str) -> u64 {
        self.job_in(&format!("release/{key}"), key)
    }

    /// The same, with an environment of its own.
    pub fn job_in(&self, environment: &str, key: &str) -> u64 {
        id(&self.gitlab.job(&json!({
            "project": self.project.id, "pipeline": self.pipeline, "name": format!("release: [{key}]"),
            "stage": "release", "status": "manual", "environment": environment,
        })))
    }

    /// What a job gets for its ID token.
    pub fn session(&self, job: u64) -> String {
        let answer = self.open(&self.gitlab.id_token(job));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["session"].as_str().expect("a session").to_owned()
    }

    /// Shows an ID token to the edge.
    pub fn open(&self, id_token: &str) -> Answer {
        let body = json!({"id_token": id_token}).to_string();
        send("POST", &format!("{}/api/v1/sessions", self.edge), &[("content-type", "application/json")], body)
    }

    /// Runs the `slipway` command in a job, as GitLab would.
    pub fn slipway(&self, job: u64, arguments: &[&str]) -> Spoken {
        self.slipway_with(&self.gitlab.id_token(job), arguments)
    }

    /// The same, with an ID token that was made before.
    pub fn slipway_with(&self, id_token: &str, arguments: &[&str]) -> Spoken {
        Spoken::of(&mut self.command(id_token, arguments))
    }

    /// The `slipway` command of a job, not started yet.
    pub fn command(&self, id_token: &str, arguments: &[&str]) -> Command {
        let places = Places::of_this_clone().expect("tests run in a clone");
        let script = places.build().join("slipway/bin/slipway.mjs");
        assert!(script.exists(), "`cargo xtask build slipway` makes {}", script.display());
        let mut command = Command::new("node");
        command.arg(script).args(arguments);
        self.furnish(&mut command, id_token);
        command
    }

    /// Gives a program what a job of this release has.
    pub fn furnish(&self, command: &mut Command, id_token: &str) {
        command
            .env("SLIPWAY_URL", &self.edge)
            .env("SLIPWAY_ID_TOKEN", id_token)
            .env("SLIPWAY_PROJECT", self.project.id.to_string())
            .env("SLIPWAY_VERSION", &self.version)
            .env("SLIPWAY_STAGING_TOKEN", &self.staging_token)
            .stdin(Stdio::null());
    }

    // ---- what jobs say ----

    /// Any route of this release. `path` is what follows its version.
    pub fn api(&self, method: &str, path: &str, session: Option<&str>, body: &Value) -> Answer {
        let bearer = session.map(|session| format!("Bearer {session}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let url = format!("{}/api/v1/projects/{}/releases/{}{path}", self.edge, self.project.name, self.version);
        send(method, &url, &headers, body)
    }

    /// Declares that packages are expected for one distro version.
    pub fn plan(&self, keys: &[&str]) {
        let packages: Vec<Value> = keys.iter().map(|key| expected(key, &[JAMMY], "deb")).collect();
        self.api("PATCH", "", Some(&self.session(self.build)), &json!({"packages": packages})).ok();
    }

    /// Declares that one package is expected for several distro versions: `deb` or `rpm`.
    pub fn plan_for(&self, key: &str, distros: &[&str], kind: &str) {
        let packages = json!({"packages": [expected(key, distros, kind)]});
        self.api("PATCH", "", Some(&self.session(self.build)), &packages).ok();
    }

    /// Declares the digest of a planned package's file.
    pub fn declare(&self, key: &str, package: &Package) -> Answer {
        let file = json!({
            "filename": package.filename, "digest": format!("sha256:{}", package.sha256), "size": package.bytes.len(),
        });
        let patch = json!({"packages": [{"key": key, "staged": file}]});
        self.api("PATCH", "", Some(&self.session(self.build)), &patch)
    }

    /// Builds a planned package: declares its digest and pushes it to staging.
    pub fn stage(&self, key: &str, deb: &Deb) -> Package {
        let package = Package::new(deb.file_name(), deb.build().expect("it fits"));
        self.stage_file(key, &package, &[JAMMY]);
        package
    }

    /// The same for any file, in each of its distro versions.
    pub fn stage_file(&self, key: &str, package: &Package, distros: &[&str]) {
        self.declare(key, package).ok();
        let staging = &self.depot.staging;
        for distro in distros {
            let pushed = self.depot.push(staging, &staging.repository, distro, &package.filename, &package.bytes);
            assert_eq!(pushed.status, 201, "{}", pushed.text());
        }
        self.declare(key, package).ok();
        for distro in distros {
            assert_eq!(self.target_in(key, distro)["state"], "staged", "{distro}");
        }
    }

    /// Plans and stages an rpm of this name for these distro versions, with its manual job: the package, and the job.
    pub fn ready_rpm(&self, rpm: &Rpm, distros: &[&str]) -> (Package, u64) {
        let package = Package::new(rpm.file_name(), rpm.build().expect("rpmbuild builds it"));
        self.plan_for(&rpm.name, distros, "rpm");
        self.stage_file(&rpm.name, &package, distros);
        (package, self.job(&rpm.name))
    }

    /// Plans and stages a package of this name, with its manual job: the package, and the job.
    pub fn ready(&self, deb: &Deb) -> (Package, u64) {
        self.plan(&[&deb.name]);
        (self.stage(&deb.name, deb), self.job(&deb.name))
    }

    /// A job asks to release packages.
    pub fn promote(&self, session: &str, keys: &[&str]) -> Answer {
        self.api("POST", "/promotions", Some(session), &json!({"keys": keys}))
    }

    /// A job holds a request open, for the edge to copy what takes longer than its own runs.
    pub fn carry(&self, session: &str, key: &str, distro: &str) -> Carried {
        let url = format!("{}/api/v1/projects/{}/releases/{}/carries", self.edge, self.project.name, self.version);
        let (bearer, body) = (format!("Bearer {session}"), json!({"key": key, "distro": distro}).to_string());
        Carried(std::thread::spawn(move || {
            let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
            send_within(600, "POST", &url, &headers, body).ok()
        }))
    }

    // ---- what the edge shows ----

    /// The release, read without a session.
    pub fn shown(&self) -> Value {
        self.api("GET", "", None, &Value::Null).ok().json()
    }

    /// How often it has changed.
    pub fn sequence(&self) -> u64 {
        self.shown()["sequence"].as_u64().expect("a release counts its changes")
    }

    /// The one target of a package.
    pub fn target(&self, key: &str) -> Value {
        self.targets(key)[0].clone()
    }

    /// All targets of a package.
    pub fn targets(&self, key: &str) -> Value {
        let release = self.shown();
        let packages = release["packages"].as_array().expect("a release lists its packages");
        let package = packages.iter().find(|package| package["key"] == key);
        package.unwrap_or_else(|| panic!("`{key}` is not in {release}"))["targets"].clone()
    }

    /// One of several targets.
    pub fn target_in(&self, key: &str, distro: &str) -> Value {
        let targets = self.targets(key);
        let found = targets.as_array().and_then(|targets| targets.iter().find(|target| target["distro"] == distro));
        found.unwrap_or_else(|| panic!("`{key}` has no target {distro}: {targets}")).clone()
    }

    /// What was tried for a target, oldest first.
    pub fn attempts(&self, key: &str, distro: &str) -> Vec<Value> {
        let history = self.api("GET", &format!("/targets/{key}/{distro}"), None, &Value::Null).ok().json();
        history["attempts"].as_array().expect("a history lists its attempts").clone()
    }

    /// Waits until the target of a package is in one of these states. The target.
    #[track_caller]
    pub fn wait(&self, key: &str, states: &[&str]) -> Value {
        self.wait_for_target(key, None, &states.join(" or "), |target| {
            states.iter().any(|state| target["state"] == *state)
        })
    }

    /// The same for one of several targets.
    #[track_caller]
    pub fn wait_in(&self, key: &str, distro: &str, states: &[&str]) -> Value {
        self.wait_for_target(key, Some(distro), &states.join(" or "), |target| {
            states.iter().any(|state| target["state"] == *state)
        })
    }

    /// Waits until a target is as `look` wants it: the one target, or the one for a distro version.
    #[track_caller]
    pub fn wait_for_target(&self, key: &str, distro: Option<&str>, what: &str, look: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait_for(&format!("`{key}` is {what}"), DEADLINE, || {
            last = distro.map_or_else(|| self.target(key), |distro| self.target_in(key, distro));
            Ok(look(&last).then(|| last.clone()))
        });
        found.unwrap_or_else(|error| panic!("{error:#}; it is {last}"))
    }

    /// Waits until a package is released. Anything that needs a person first is a failure.
    #[track_caller]
    pub fn wait_until_released(&self, key: &str) -> Value {
        let target = self.wait(key, &["released", "failed", "conflict", "missing"]);
        assert_eq!(target["state"], "released", "{target}");
        target
    }

    /// The same for one of several targets.
    #[track_caller]
    pub fn wait_until_released_in(&self, key: &str, distro: &str) -> Value {
        let target = self.wait_in(key, distro, &["released", "failed", "conflict", "missing"]);
        assert_eq!(target["state"], "released", "{target}");
        target
    }

    /// Whether exactly the staged bytes are public in one distro version.
    #[track_caller]
    pub fn is_public_once_in(&self, package: &Package, distro: &str) {
        let pushes = self.depot.pushes_to(Some(distro), &package.filename);
        assert_eq!(pushes, [package.sha256.as_str()], "accepted pushes of {} to {distro}", package.filename);
        let served = self.depot.served(distro, &package.filename);
        assert_eq!(served.as_deref().map(sha256), Some(package.sha256.clone()), "the index leads to the staged bytes");
    }

    /// Whether exactly the staged bytes are public: one accepted push, and the index leads to them.
    #[track_caller]
    pub fn is_public_once(&self, package: &Package) {
        assert_eq!(
            self.depot.pushes(&package.filename),
            [package.sha256.as_str()],
            "accepted pushes of {}",
            package.filename
        );
        let served = self.depot.served(JAMMY, &package.filename);
        assert_eq!(served.as_deref().map(sha256), Some(package.sha256.clone()), "the index leads to the staged bytes");
    }

    /// Whether nothing of this name is public in any way.
    #[track_caller]
    pub fn is_not_public(&self, filename: &str) {
        assert!(self.depot.pushes(filename).is_empty(), "no push of {filename} was accepted");
        assert!(self.depot.listed(&self.depot.public, filename).is_empty(), "the public API does not list {filename}");
        assert!(self.depot.served(JAMMY, filename).is_none(), "the public index does not list {filename}");
    }
}

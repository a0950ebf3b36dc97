//! A release under way: what its pipeline's jobs say to the edge, and what the edge shows of it.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use slipway_stack::{Places, Project, Stack, wait_for};

use super::gitlab::id;
use super::{Answer, DEADLINE, Deb, Depot, Gitlab, JAMMY, send, sha256};

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

/// How a run of the `slipway` command ended.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The exit code.
    pub code: Option<i32>,
    /// Both of its outputs.
    pub text: String,
}

impl Spoken {
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
        let places = Places::of_this_clone().expect("tests run in a clone");
        let command = places.build().join("slipway/bin/slipway.mjs");
        assert!(command.exists(), "`cargo xtask build slipway` makes {}", command.display());
        let ended = Command::new("node")
            .arg(command)
            .args(arguments)
            .env("SLIPWAY_URL", &self.edge)
            .env("SLIPWAY_ID_TOKEN", id_token)
            .env("SLIPWAY_PROJECT", self.project.id.to_string())
            .env("SLIPWAY_VERSION", &self.version)
            .env("SLIPWAY_STAGING_TOKEN", &self.staging_token)
            .stdin(Stdio::null())
            .output()
            .expect("Node is on the machine");
        let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        Spoken { code: ended.status.code(), text }
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
        let packages: Vec<Value> = keys
            .iter()
            .map(|key| {
                json!({"key": key, "expect": {
                    "distros": [JAMMY], "release_job": format!("release: [{key}]"), "environment": format!("release/{key}"),
                }})
            })
            .collect();
        self.api("PATCH", "", Some(&self.session(self.build)), &json!({"packages": packages})).ok();
    }

    /// Builds a planned package: declares its digest and pushes it to staging.
    pub fn stage(&self, key: &str, deb: &Deb) -> Package {
        let bytes = deb.build().expect("it fits");
        let package = Package { filename: deb.file_name(), sha256: sha256(&bytes), bytes };
        let declare = || {
            let file = json!({
                "filename": package.filename, "digest": format!("sha256:{}", package.sha256), "size": package.bytes.len(),
            });
            let patch = json!({"packages": [{"key": key, "staged": file}]});
            self.api("PATCH", "", Some(&self.session(self.build)), &patch).ok();
        };
        declare();
        let staging = &self.depot.staging;
        let pushed = self.depot.push(staging, &staging.repository, JAMMY, &package.filename, &package.bytes);
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        declare();
        assert_eq!(self.target(key)["state"], "staged");
        package
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
        let release = self.shown();
        let packages = release["packages"].as_array().expect("a release lists its packages");
        let package = packages.iter().find(|package| package["key"] == key);
        package.unwrap_or_else(|| panic!("`{key}` is not in {release}"))["targets"][0].clone()
    }

    /// Waits until the target of a package is in one of these states. The target.
    #[track_caller]
    pub fn wait(&self, key: &str, states: &[&str]) -> Value {
        let mut last = Value::Null;
        let found = wait_for(&format!("`{key}` is {}", states.join(" or ")), DEADLINE, || {
            last = self.target(key);
            Ok(states.iter().any(|state| last["state"] == *state).then(|| last.clone()))
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

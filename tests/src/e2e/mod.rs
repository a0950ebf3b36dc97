//! A whole Slipway for one test: depot, the GitLab stand-in and workerd with the Worker, driven from outside alone.
//!
//! At the end of each that went well, an auditor of its own judges what was published.
//!
//! Nothing is mocked and nothing is slept through: a test waits for a condition with a deadline. What stands here only
//! shortens the calls that pipelines, people and package managers make; what a call must give, the tests say.
#![allow(clippy::missing_panics_doc, reason = "these are parts of tests: a call that fails here fails the test")]
#![allow(clippy::return_self_not_must_use, reason = "an assertion may be all that a caller wants")]

mod auditor;
mod browser;
mod depot;
mod gateway;
mod gitlab;
pub mod harbour;
mod http;
mod log;
mod pipeline;
mod receiver;
mod release;
mod tls;
mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use slipway_stack::{Part, Project, Stack};

pub(crate) use auditor::PublicImages;
pub use browser::{Browser, Look, Page};
pub use depot::{Depot, Gate, User};
pub use gateway::Gateway;
pub use gitlab::Gitlab;
pub use http::{Answer, get, send, send_for_headers, send_within, try_send};
pub use log::own_lines;
pub use pipeline::{Pipeline, Ran, Runner};
pub use receiver::{Received, Receiver};
pub use release::{Carried, Package, Release, Spoken};
pub use slipway_stack::deb::{Deb, sha256};
pub use slipway_stack::rpm::Rpm;
pub use slipway_stack::{Part as Process, Settings, wait_for};
pub use tls::Tls;
pub use tokens::{Asked, Tokens};

/// How long anything may take that is to happen by itself. A killed promotion is taken up again after 20 s, and the
/// machine may be busy with other tests.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// The distro version of packages for which it makes no difference.
pub const JAMMY: &str = "ubuntu/jammy";

/// A running stack, and how to talk to each of its parts. It is deleted with its state unless the test fails.
pub struct World {
    /// The processes.
    pub stack: Stack,
    /// The package server.
    pub depot: Depot,
    /// The GitLab stand-in.
    pub gitlab: Gitlab,
    folder: PathBuf,
    is_audited: bool,
    pub(crate) public_images: Option<PublicImages>,
}

impl World {
    /// Starts a new one for the test of this name.
    pub fn start(test: &str) -> Self {
        Self::start_with(test, |_| {})
    }

    /// The same, with other settings than most tests need.
    pub fn start_with(test: &str, settle: impl FnOnce(&mut Settings)) -> Self {
        let places = slipway_stack::Places::of_this_clone().expect("tests run in a clone");
        // Not the same for two runs at a time: each has its own state and lock.
        let folder = places.target.join("tmp/e2e").join(format!("{test}-{}", std::process::id()));
        let mut settings = Settings::in_folder(&folder);
        settle(&mut settings);
        let stack = Stack::start(&settings).expect("`cargo xtask build` has built what a stack needs");
        let depot = Depot::of(&stack);
        let gitlab = Gitlab::of(&stack);
        Self { stack, depot, gitlab, folder, is_audited: true, public_images: None }
    }

    /// The project that most tests release.
    pub fn tug(&self) -> Project {
        self.stack.projects()[0]
    }

    /// Another project of the same group.
    pub fn pilot(&self) -> Project {
        self.stack.projects()[1]
    }

    /// A pipeline for the tag of a version, with a job that plans and builds.
    pub fn release(&self, version: &str) -> Release {
        self.release_of(self.tug(), version)
    }

    /// The same for any project.
    pub fn release_of(&self, project: Project, version: &str) -> Release {
        Release::begin(&self.stack, project, version)
    }

    /// An address of the edge.
    pub fn edge(&self, path: &str) -> String {
        format!("{}{path}", self.stack.edge_url())
    }

    /// A text of the documentation, with its example addresses leading to this stack.
    pub fn here(&self, text: &str) -> String {
        text.replace("https://slipway.example.com", &self.stack.edge_url())
            .replace("https://gitlab.example.com", &self.stack.gitlab_url())
            .replace("https://packagecloud.io", &self.stack.depot_url())
            .replace("https://d28dx6y1hfq314.cloudfront.net", &self.stack.depot_storage_url())
    }

    /// SIGKILL. The process gets no chance to finish anything.
    pub fn kill(&mut self, process: Part) {
        self.stack.kill(process).expect("it runs");
    }

    /// Starts a killed process again, on the same state.
    pub fn start_again(&mut self, process: Part) {
        self.stack.start_again(process).expect("it starts as it did before");
    }

    /// SIGSTOP. The process takes connections and answers none, until it is resumed.
    pub fn suspend(&mut self, process: Part) {
        self.stack.process(process).suspend().expect("it runs");
    }

    /// A suspended process goes on.
    pub fn resume(&mut self, process: Part) {
        self.stack.process(process).resume().expect("it is there");
    }

    /// Restarts the edge with another `slipway.toml`.
    pub fn configure(&mut self, change: impl FnOnce(&str) -> String) {
        let file = self.folder.join("edge/worker/slipway.toml");
        let before = std::fs::read_to_string(&file).expect("a started stack has its configuration");
        let after = change(&before);
        assert_ne!(before, after, "the configuration is another one");
        self.kill(Part::Edge);
        std::fs::write(&file, after).expect("the stack's folder is writable");
        self.start_again(Part::Edge);
    }

    /// Restarts the edge with one more text among its variables.
    pub fn bind(&mut self, name: &str, text: &str) {
        const FIRST: &str = "    (name = \"SELF\", service = \"edge\"),\n";
        let file = self.folder.join("edge/workerd.capnp");
        let before = std::fs::read_to_string(&file).expect("a started stack has its configuration");
        assert!(before.contains(FIRST), "{before}");
        // Texts are written there as in JSON, as far as these go.
        let binding = format!("{FIRST}    (name = \"{name}\", text = {}),\n", Value::from(text));
        self.kill(Part::Edge);
        std::fs::write(&file, before.replace(FIRST, &binding)).expect("the stack's folder is writable");
        self.start_again(Part::Edge);
    }

    /// Restarts the edge with another secret under a name that it has one for, and another `slipway.toml`.
    pub fn exchange_secret(&mut self, name: &str, secret: &str, configure: impl FnOnce(&str) -> String) {
        let file = self.folder.join("edge/workerd.capnp");
        let before = std::fs::read_to_string(&file).expect("a started stack has its configuration");
        let after = before.replace(self.stack.secret(name), secret);
        assert_ne!(before, after, "the secret is another one");
        std::fs::write(&file, after).expect("the stack's folder is writable");
        self.configure(configure);
    }

    /// Sends a webhook as anybody may who knows the token, as a delivery of its own, and returns the answer.
    pub fn hook(&self, project: Project, body: &Value) -> Answer {
        let token = self.stack.secret(project.webhook_secret);
        let delivery = slipway_stack::random_hex(16).expect("the system has randomness");
        let headers =
            [("x-gitlab-token", token), ("x-gitlab-event", "Job Hook"), ("idempotency-key", delivery.as_str())];
        send("POST", &self.stack.webhook_url(&project), &headers, body.to_string())
    }

    /// The audit of a project, as the edge shows it.
    pub fn audit(&self, project: Project) -> Vec<Value> {
        let answer = send("GET", &self.edge(&format!("/api/v1/projects/{}/audit", project.name)), &[], "").ok();
        answer.text().lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
    }

    /// The rows of the audit in which something was done to a package.
    pub fn rows(&self, release: &Release, key: &str, action: &str) -> Vec<Value> {
        let subject = format!("{}/{key}", release.version);
        let mut rows = self.audit(release.project);
        rows.retain(|row| row["action"] == action && row["subject"] == subject);
        rows
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for part in self.stack.parts() {
                eprintln!("the last lines of {}:\n{}", part.name(), self.stack.tail(part, 12));
            }
            eprintln!("state and logs stay in {}", self.folder.display());
            return;
        }
        self.has_done_nothing_wrong();
        for part in self.stack.parts().into_iter().rev() {
            let _ = self.stack.process(part).stop();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A package that no other test has, with this text in it, and so many bytes that do not compress.
pub fn deb(name: &str, readme: &str, ballast: usize) -> Deb {
    Deb {
        name: name.to_owned(),
        version: "1.0.0-1".to_owned(),
        architecture: "amd64".to_owned(),
        readme: readme.to_owned(),
        ballast,
    }
}

/// The same for rpms.
pub fn rpm(name: &str, contents: &str) -> Rpm {
    Rpm {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        release: "1".to_owned(),
        architecture: "x86_64".to_owned(),
        epoch: None,
        contents: contents.to_owned(),
    }
}

/// Waits until `look` says yes.
pub fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, DEADLINE, || Ok(look().then_some(()))).unwrap_or_else(|error| panic!("{error:#}"));
}

//! A person at a terminal: signs in with a code, looks, holds, and releases by playing jobs in GitLab. All parts are the real
//! ones but GitLab itself.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use slipway_tests::e2e::{JAMMY, Release, Spoken, World, deb, send, wait_until};

/// A person with an empty home.
struct Person<'a> {
    world: &'a World,
    release: &'a Release,
    home: std::path::PathBuf,
}

impl<'a> Person<'a> {
    fn new(world: &'a World, release: &'a Release) -> Self {
        let home = world.stack.folder().join("home");
        std::fs::create_dir_all(&home).expect("a folder");
        Self { world, release, home }
    }

    /// The command, as no job has it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.release.command("", arguments);
        command.env_remove("SLIPWAY_ID_TOKEN").env_remove("SLIPWAY_STAGING_TOKEN");
        command.env("XDG_CONFIG_HOME", &self.home);
        command
    }

    fn slipway(&self, arguments: &[&str]) -> Spoken {
        Self::run(&mut self.command(arguments))
    }

    fn run(command: &mut Command) -> Spoken {
        let ended = command.output().expect("Node is on the machine");
        let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        Spoken { code: ended.status.code(), text }
    }

    /// The token that is kept.
    fn access_token(&self) -> String {
        let kept = std::fs::read_to_string(self.home.join("slipway/credentials.json")).expect("somebody signed in");
        let kept: Value = serde_json::from_str(&kept).expect("JSON");
        let login = kept.as_object().and_then(|logins| logins.values().next()).expect("a sign-in").clone();
        login["access_token"].as_str().expect("a token").to_owned()
    }

    /// Signs in as `user`, who types the code at GitLab.
    fn sign_in(&self, user: &str) {
        let mut child =
            self.command(&["login", "--api"]).stdout(Stdio::piped()).spawn().expect("Node is on the machine");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let code = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).expect("text"), 0, "it ended before it showed a code");
            if let Some(code) = line.strip_prefix("code") {
                break code.trim().to_owned();
            }
        };
        let decision = json!({"user": user, "approve": true, "hurry": true});
        self.world.gitlab.tell("POST", &format!("device-codes/{code}"), &decision);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("text");
        assert!(child.wait().expect("it ends").success(), "{rest}");
    }
}

fn state(shown: &Value, key: &str) -> String {
    let packages = shown["packages"].as_array().expect("a release lists its packages");
    let package = packages.iter().find(|package| package["key"] == key).expect("the package");
    package["targets"][0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_person_signs_in_holds_and_releases_by_playing_the_jobs_of_a_pipeline() {
    let world = World::start("terminal");
    let release = world.release("1.2.0");
    release.plan(&["cargo", "tug"]);
    for key in ["cargo", "tug"] {
        release.stage(key, &deb(key, "Built once.\n", 0));
        release.job(key);
    }
    let person = Person::new(&world, &release);

    let refused = person.slipway(&["hold", "--reason", "a bad build"]).ended_with(2);
    assert!(refused.text.contains("run `slipway login`"), "{}", refused.text);
    person.sign_in("mira");

    person.slipway(&["hold", "tug", "--reason", "a bad build"]).ended_with(0);
    let half = person.slipway(&["release", "--all"]).ended_with(1);
    assert!(half.text.contains("released: `cargo`"), "{}", half.text);
    assert!(half.text.contains("tug  not played: hold:") && half.text.contains("a bad build"), "{}", half.text);
    let shown = release.shown();
    assert_eq!((state(&shown, "cargo"), state(&shown, "tug")), ("released".to_owned(), "staged".to_owned()));
    assert_eq!(shown["packages"][0]["targets"][0]["approval"]["by"], "mira", "{shown}");

    person.slipway(&["hold", "--lift", "tug", "--reason", "it was the test"]).ended_with(0);
    let dry = person.slipway(&["release", "--all", "--dry-run"]).ended_with(0);
    assert!(dry.text.contains("would be copied"), "{}", dry.text);
    person.slipway(&["release", "--all"]).ended_with(0);
    person.slipway(&["await", "complete", "--timeout", "60"]).ended_with(0);

    // What anybody can read agrees, and is signed with the key that depot shows.
    wait_until("the index serves both", || {
        ["cargo", "tug"].iter().all(|key| world.depot.served(JAMMY, &deb(key, "", 0).file_name()).is_some())
    });
    let verified = person.slipway(&["verify"]).ended_with(0);
    assert!(verified.text.contains("2 files are served with the right bytes, 0 differences"), "{}", verified.text);

    let closed = person.slipway(&["close", "--reason", "nothing more comes"]);
    assert!(closed.text.contains("public already  cargo"), "{}", closed.text);

    // Of this set-up the webhook has Job events alone. A job whose token can publish is a finding, and what it can is named.
    let credentials = |staging: &str| {
        let operator = world.stack.secret("OPERATOR_TOKEN").to_owned();
        [("SLIPWAY_OPERATOR_TOKEN", operator), ("SLIPWAY_STAGING_TOKEN", world.stack.secret(staging).to_owned())]
    };
    let doctor = |staging: &str| {
        let mut command = person.command(&["doctor"]);
        Person::run(command.envs(credentials(staging)))
    };
    let well = doctor("STAGING_TOKEN").ended_with(6);
    for part in [
        "good       edge secret           `GITLAB_TOKEN`",
        "its user may write no public repository",
        "slipway: 2 findings\n  webhook: it has no Pipeline events",
        "webhook: it has no Deployment events",
        "good       edge clock",
    ] {
        assert!(well.text.contains(part), "{part}: {}", well.text);
    }
    let ill = doctor("PUBLIC_TOKEN").ended_with(6);
    for part in [
        "every build job can publish",
        "may write the public harbour/stable",
        "its user may not write harbour-ci/pre-release",
    ] {
        assert!(ill.text.contains(part), "{part}: {}", ill.text);
    }

    let token = person.access_token();
    let info = |token: &str| {
        let bearer = format!("Bearer {token}");
        let url = format!("{}/oauth/token/info", world.stack.gitlab_url());
        send("GET", &url, &[("authorization", bearer.as_str())], "").status
    };
    assert_eq!(info(&token), 200);
    person.slipway(&["logout"]).ended_with(0);
    assert_eq!(info(&token), 401, "GitLab has taken it back");
    person.slipway(&["hold", "--reason", "again"]).ended_with(2);
}

//! A person at a terminal: signs in with a code, looks, holds, opens gates, waits, and releases by playing jobs in GitLab. All
//! parts are the real ones but GitLab itself.

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
        Self::at(world, release, "home")
    }

    /// Somebody who is signed in, with a home of their own.
    fn signed_in(world: &'a World, release: &'a Release, user: &str) -> Self {
        let person = Self::at(world, release, &format!("home of {user}"));
        person.sign_in(user);
        person
    }

    fn at(world: &'a World, release: &'a Release, home: &str) -> Self {
        let home = world.stack.folder().join(home);
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

    /// What is kept of the sign-in.
    fn kept(&self) -> Value {
        let file = self.home.join("slipway/credentials.json");
        let text = std::fs::read_to_string(&file).expect("somebody has signed in here");
        let kept: Value = serde_json::from_str(&text).expect("it is JSON");
        kept.as_object().and_then(|kept| kept.values().next().cloned()).unwrap_or_default()
    }

    /// As if two hours had passed: GitLab takes the token no more, and it is past the end that is written beside it.
    fn waits_until_the_token_has_ended(&self) {
        self.world.gitlab.tell("POST", "sign-ins/expire", &Value::Null);
        let file = self.home.join("slipway/credentials.json");
        let text = std::fs::read_to_string(&file).expect("somebody has signed in here");
        let mut kept: Value = serde_json::from_str(&text).expect("it is JSON");
        for login in kept.as_object_mut().expect("by address").values_mut() {
            assert!(login["expires_at"].is_string(), "its end is known");
            login["expires_at"] = "2000-01-01T00:00:00.000Z".into();
        }
        std::fs::write(&file, kept.to_string()).expect("it is the person's own");
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

    let kept = person.kept();
    let text = |field: &str| kept[field].as_str().expect("it is kept").to_owned();
    let token = text("access_token");
    let info = |token: &str| {
        let bearer = format!("Bearer {token}");
        let url = format!("{}/oauth/token/info", world.stack.gitlab_url());
        send("GET", &url, &[("authorization", bearer.as_str())], "").status
    };
    assert_eq!(info(&token), 200);
    person.slipway(&["logout"]).ended_with(0);
    assert_eq!(info(&token), 401, "GitLab has taken it back");
    let prolonging =
        format!("grant_type=refresh_token&client_id={}&refresh_token={}", text("application"), text("refresh_token"));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let refused = send("POST", &format!("{}/oauth/token", world.stack.gitlab_url()), &form, prolonging);
    assert_eq!(refused.status, 400, "and what prolongs it: {}", refused.text());
    person.slipway(&["hold", "--reason", "again"]).ended_with(2);
}

#[test]
fn a_closed_gate_is_opened_from_the_terminal_by_a_person_whom_it_names_and_by_nobody_else() {
    let gates = "[[gates]]\nsoak = \"100h\"\noverride_people = [8]\n";
    let world = World::start_with("terminal-override", |settings| settings.more_config = gates.to_owned());
    let release = world.release("1.2.0");
    let (package, _) = release.ready(&deb("cargo", "", 0));
    let mira = Person::signed_in(&world, &release, "mira");

    let closed = mira.slipway(&["release", "cargo"]).ended_with(1);
    assert!(closed.text.contains("cargo  not played: soak: it has to be staged for 4 days 4h"), "{}", closed.text);
    let refused = mira.slipway(&["release", "cargo", "--override", "a security fix"]).ended_with(1);
    assert!(
        refused
            .text
            .contains("The gate `soak` of `cargo` of tug 1.2.0 does not name person:7 user:mira in `override_people`"),
        "{}",
        refused.text
    );
    let unsaid = mira.slipway(&["release", "cargo", "--override", " "]);
    assert_ne!(unsaid.code, Some(0), "{}", unsaid.text);
    release.is_not_public(&package.filename);
    let rows = world.audit(release.project);
    let refusal = rows.iter().find(|row| row["action"] == "refused" && row["subject"] == "1.2.0");
    let refusal = refusal.expect("the audit says so");
    assert_eq!(refusal["actor"], "person:7 user:mira");
    assert!(refusal["details"].as_str().is_some_and(|details| details.contains("POST overrides")), "{refusal}");
    assert!(rows.iter().all(|row| row["action"] != "overridden"), "{rows:?}");

    let jonas = Person::signed_in(&world, &release, "jonas");
    let released = jonas.slipway(&["release", "cargo", "--override", "a security fix"]).ended_with(0);
    assert!(released.text.contains("overridden for `cargo`: soak"), "{}", released.text);
    release.is_public_once(&package);
    let rows = world.audit(release.project);
    let row = rows.iter().find(|row| row["action"] == "overridden").expect("the audit says so");
    assert_eq!(row["actor"], "person:8 user:jonas");
    assert!(row["details"].as_str().is_some_and(|details| details.contains("a security fix")), "{row}");
}

#[test]
fn a_token_that_has_ended_is_exchanged_without_the_person_until_gitlab_prolongs_it_no_more() {
    let world = World::start("terminal-refresh");
    let release = world.release("1.2.0");
    let (package, _) = release.ready(&deb("cargo", "", 0));
    let person = Person::signed_in(&world, &release, "mira");
    let first = person.kept();
    person.waits_until_the_token_has_ended();

    person.slipway(&["hold", "cargo", "--reason", "a bad build"]).ended_with(0);
    let second = person.kept();
    for part in ["access_token", "refresh_token"] {
        assert_ne!(first[part], second[part], "there is a new {part}");
    }
    // The new one prolongs, too: it was written down.
    person.waits_until_the_token_has_ended();
    person.slipway(&["hold", "--lift", "cargo", "--reason", "it was not"]).ended_with(0);
    person.waits_until_the_token_has_ended();
    person.slipway(&["release", "cargo"]).ended_with(0);
    release.is_public_once(&package);
    assert_eq!(release.target("cargo")["approval"]["by"], "mira");

    person.waits_until_the_token_has_ended();
    let before = person.kept();
    world.gitlab.tell("POST", "sign-ins/expire", &json!({"refresh": true}));
    let over = person.slipway(&["hold", "cargo", "--reason", "again"]).ended_with(1);
    assert!(over.text.contains("GitLab does not prolong it: invalid_grant"), "{}", over.text);
    assert!(over.text.contains("Run `slipway login` again"), "{}", over.text);
    assert_eq!(person.kept(), before, "nothing is lost that GitLab might still take");
    // Reading needs no sign-in here, and is not kept from anybody by a bad one.
    person.slipway(&["status"]).ended_with(0);

    let out = person.slipway(&["logout"]).ended_with(0);
    assert!(out.text.contains("signed out of"), "{}", out.text);
    assert!(person.kept().is_null(), "nothing is kept");
    let again = person.slipway(&["logout"]).ended_with(0);
    assert!(again.text.contains("nobody was signed in"), "{}", again.text);
    let refused = person.slipway(&["hold", "cargo", "--reason", "again"]).ended_with(2);
    assert!(refused.text.contains("run `slipway login`"), "{}", refused.text);
    person.sign_in("mira");
    person.slipway(&["hold", "cargo", "--reason", "again"]);
    assert_eq!(person.kept()["api"], true, "signing in again makes it good");
}

#[test]
fn waiting_ends_with_4_and_a_sentence_when_the_time_is_up_and_nothing_is_lost() {
    let world = World::start("terminal-timeouts");
    let release = world.release("1.2.0");
    let anybody = Person::new(&world, &release);
    let none = anybody.slipway(&["await", "staged", "--timeout", "2"]).ended_with(4);
    assert!(none.text.contains("Slipway knows no release 1.2.0 yet"), "{}", none.text);

    release.plan(&["cargo", "tug"]);
    let package = release.stage("cargo", &deb("cargo", "", 300_000));
    release.job("cargo");
    let late = anybody.slipway(&["await", "staged", "--timeout", "2"]).ended_with(4);
    assert!(late.text.contains("tug  ubuntu/jammy  Not staged yet"), "{}", late.text);
    assert!(!late.text.contains("cargo  ubuntu/jammy"), "what is there is not late: {}", late.text);
    assert!(late.text.contains("Not within 2 s. Run this again to wait on."), "{}", late.text);

    let gate = world.depot.gate(&package.filename, 1000);
    let person = Person::signed_in(&world, &release, "mira");
    let slow = person.slipway(&["release", "cargo", "--timeout", "5"]).ended_with(4);
    assert!(slow.text.contains("cargo  ubuntu/jammy  Releasing"), "{}", slow.text);
    assert!(slow.text.contains("Not done within 5 s. Slipway goes on: see `slipway status`."), "{}", slow.text);
    gate.open();
    // Run again, it follows what is under way, and plays nothing twice.
    person.slipway(&["release", "cargo"]).ended_with(0);
    release.is_public_once(&package);
    assert_eq!(world.rows(&release, "cargo", "approved").len(), 1);
}

#[test]
fn a_release_that_is_followed_ends_red_with_the_reason_when_its_approval_lapses_or_is_taken_back() {
    let world = World::start_with("terminal-lapsed", |settings| {
        settings.transfers = Some(1);
        settings.more_config = "\n[approvals]\nlapse = \"10s\"\n".to_owned();
    });
    let release = world.release("1.2.0");
    let (first, first_job) = release.ready(&deb("first", "", 300_000));
    let (second, _) = release.ready(&deb("second", "", 0));
    let (third, _) = release.ready(&deb("third", "", 0));
    let gate = world.depot.gate(&first.filename, 1000);
    world.gitlab.play(first_job, "mira");
    gate.wait();

    let person = Person::signed_in(&world, &release, "mira");
    let lapsed = person.slipway(&["release", "second", "--timeout", "100"]).ended_with(1);
    assert!(lapsed.text.contains("second  ubuntu/jammy  harbour/stable  Waiting its turn"), "{}", lapsed.text);
    assert!(lapsed.text.contains("lapsed") && lapsed.text.contains("before its turn came"), "{}", lapsed.text);
    let target = release.target("second");
    assert_eq!((&target["state"], &target["problem"]["code"]), (&json!("staged"), &json!("lapsed")));

    let mut command = person.command(&["release", "third", "--timeout", "100"]);
    let following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("Node is on the machine");
    release.wait("third", &["approved"]);
    let hold = json!({"keys": ["third"], "reason": "the notes are wrong"});
    release.api("POST", "/holds", Some(&release.session(release.build)), &hold).ok();
    let ended = following.wait_with_output().expect("it ends");
    let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("on hold by mira: ") && text.contains("the notes are wrong"), "{text}");
    assert_eq!(release.target("third")["problem"]["code"], "blocked");

    gate.open();
    release.wait_until_released("first");
    for package in [&second, &third] {
        release.is_not_public(&package.filename);
    }
}

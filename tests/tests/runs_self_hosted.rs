//! `docs/operators/self-hosted.md`, step by step: what `cargo xtask dist` packs, on a workerd of one's own, started by the program
//! that comes with it. Its clock finds work that no alarm drives any more.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use slipway_stack::{Places, Process};
use slipway_tests::e2e::{Process as Part, World, deb, get, own_lines, send, try_send, wait_for, wait_until};

/// The folders of the page, and where they are in the test.
const FOLDERS: [(&str, &str); 3] =
    [("/opt/slipway", "opt"), ("/etc/slipway/secrets", "secrets"), ("/var/lib/slipway", "data")];

/// The page, with its folders and its address leading to this test's.
struct Page {
    text: String,
    folder: PathBuf,
    address: String,
}

impl Page {
    fn of(world: &World) -> Self {
        let file = Places::of_this_clone().expect("tests run in a clone").root.join("docs/operators/self-hosted.md");
        let text = fs::read_to_string(file).expect("the page is there");
        let folder = world.stack.folder().join("self-hosted");
        fs::create_dir_all(&folder).expect("the stack's folder is writable");
        let address = world.stack.edge_url().trim_start_matches("http://").to_owned();
        Self { text, folder, address }
    }

    fn here(&self, text: &str) -> String {
        let text = FOLDERS.iter().fold(text.replace("sudo ", ""), |text, (there, here)| {
            text.replace(there, &self.folder.join(here).display().to_string())
        });
        text.replace("127.0.0.1:8787", &self.address)
    }

    /// The blocks of commands below a heading.
    fn blocks(&self, heading: &str) -> Vec<String> {
        let (_, below) = self.text.split_once(&format!("\n## {heading}")).unwrap_or_else(|| panic!("no `{heading}`"));
        let below = below.split("\n## ").next().unwrap_or_default();
        below
            .split("```sh\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .map(|block| self.here(block))
            .collect()
    }

    /// Runs one: it must end well. What it says on standard output.
    #[track_caller]
    fn runs(&self, block: &str) -> String {
        let ended = Command::new("sh")
            .args(["-eu", "-c", block])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .expect("there is a shell");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{block}\n{said}{}", String::from_utf8_lossy(&ended.stderr));
        said
    }

    /// Starts what the page starts by hand, with whatever comes after.
    fn start(&self, more: &[&str]) -> Process {
        let blocks = self.blocks("3. ");
        let command: Vec<String> = blocks[0].split_whitespace().map(str::to_owned).collect();
        let workerd =
            Places::of_this_clone().and_then(|places| places.workerd()).expect("`cargo xtask build` loads it");
        let here = ["--private-network", "--listen", &self.address, "--workerd", &workerd.display().to_string()];
        let command = command.into_iter().chain(here.iter().chain(more).map(|part| (*part).to_owned())).collect();
        Process::start("self-hosted", command, BTreeMap::new(), &self.folder).expect("it says that it listens")
    }

    fn objects(&self, class: &str) -> PathBuf {
        let folder = self.folder.join("data/objects").join(format!("slipway-{class}"));
        assert!(folder.is_dir(), "workerd keeps its objects in {}", folder.display());
        folder
    }
}

/// Takes away every alarm of a class, as if workerd had lost it.
fn lose_alarms(folder: &Path) {
    let mut lost = 0;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("metadata.sqlite") {
            fs::remove_file(entry.path()).expect("the folder is writable");
            lost += 1;
        }
    }
    assert!(lost > 0, "alarms are in {}", folder.display());
}

/// Lets the record believe that it has heard of nothing for a quarter of an hour.
fn let_time_pass(folder: &Path) {
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let mut records = 0;
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "sqlite")) {
        let database = rusqlite::Connection::open(&file).expect("workerd is stopped");
        let quarter = "UPDATE targets SET since = since - 900000, looked_at = looked_at - 900000";
        records += database.execute(quarter, []).unwrap_or(0);
    }
    assert!(records > 0, "the record of a project has targets");
}

#[test]
fn the_steps_of_the_page_give_a_slipway_that_releases_goes_on_after_a_kill_finds_lost_work_by_its_clock_and_is_stopped_where_it_was_copied()
 {
    let dist = Places::of_this_clone().expect("tests run in a clone").build().join("dist");
    if !dist.join("SHA256SUMS").exists() {
        return println!("SKIPPED: nothing is packed here; `cargo xtask dist` does it");
    }
    let mut world = World::start("self-hosted");
    let page = Page::of(&world);
    let config = fs::read_to_string(world.stack.folder().join("edge/worker/slipway.toml")).expect("it was started");
    world.kill(Part::Edge);
    for file in fs::read_dir(&dist).expect("it is packed").flatten() {
        if file.file_name().to_string_lossy().starts_with("slipway-worker-") {
            fs::copy(file.path(), page.folder.join(file.file_name())).expect("the stack's folder is writable");
        }
    }

    // 1. Unpack it; 2. Configure it.
    page.runs(&page.blocks("1. ")[0]);
    fs::write(page.folder.join("opt/slipway.toml"), config).expect("the folder is writable");
    // `SLIPWAY_EDGE_KEY` the page makes itself.
    let secrets = fs::read_to_string(world.stack.folder().join("secrets.json")).expect("a stack has secrets");
    let secrets: BTreeMap<String, String> = serde_json::from_str(&secrets).expect("JSON");
    for (name, secret) in secrets.iter().filter(|(name, _)| *name != "SLIPWAY_EDGE_KEY") {
        fs::write(
            page.folder.join("secrets").join(name),
            format!(
                "{secret}
"
            ),
        )
        .expect("the folder is writable");
    }
    page.runs(&page.blocks("2. ")[0]);

    // 3. Start it.
    let mut edge = page.start(&[]);
    assert_eq!(page.runs(&page.blocks("3. ")[1]).trim(), "ready");
    let (style, headers) = get(&world.edge("/assets/style.css"), &[]);
    assert_eq!(style.status, 200);
    assert_eq!(headers.get("content-type").map(String::as_str), Some("text/css; charset=utf-8"));
    let release = world.release("1.0.0");
    let (first, job) = release.ready(&deb("first", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("first");
    release.is_public_once(&first);

    // Killed in the middle of a copy, with every alarm lost; nobody asks it anything afterwards.
    let (second, job) = release.ready(&deb("second", "", 2_000_000));
    let gate = world.depot.gate(&second.filename, 1_000_000);
    world.gitlab.play(job, "mira");
    gate.wait();
    edge.kill().expect("it runs");
    wait_until("workerd has ended with what started it", || std::net::TcpStream::connect(&page.address).is_err());
    for class in ["ProjectRecord", "PackagePromotion", "DestinationAccount", "Directory"] {
        lose_alarms(&page.objects(class));
    }
    let_time_pass(&page.objects("ProjectRecord"));
    gate.open();
    assert!(world.depot.pushes(&second.filename).is_empty(), "it is not released yet");
    edge.start_again().expect("it starts as it did before");
    wait_for("the clock has found it", Duration::from_mins(2), || {
        Ok((!world.depot.pushes(&second.filename).is_empty()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", edge.tail(20)));
    release.wait_until_released("second");
    release.is_public_once(&second);
    assert_eq!(release.target("first")["state"], "released", "what it knew it knows");

    // A secret is in the file that the operator wrote, and in no other.
    let token = world.stack.secret("PUBLIC_TOKEN");
    assert_eq!(page.runs(&format!("grep --recursive --files-with-matches {token} .")).trim(), "./secrets/PUBLIC_TOKEN");

    let findings = world.findings();
    assert!(findings.is_empty(), "{findings:?}");
    world.is_not_audited("it was a moment ago, and nobody answers from now on");
    edge.stop().expect("it ends when it is told to");
    assert!(try_send("GET", &world.edge("/healthz"), &[], "").is_err(), "and so does workerd");

    // The same files in another folder may be a backup's: an operator looks first.
    page.runs(
        &page.here("mv /var/lib/slipway before && cp --archive before /var/lib/slipway && rm --recursive before"),
    );
    edge.start_again().expect("it starts as it did before");
    let ready = || page.runs(&page.blocks("3. ")[1]).trim().to_owned();
    assert_eq!(ready(), "ready, stopped");
    let bearer = format!("Bearer {}", secrets["OPERATOR_TOKEN"]);
    let starts = || {
        let operator = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        send("DELETE", &world.edge("/api/v1/stop"), &operator, r#"{"reason": "looked"}"#).ok();
    };
    starts();
    edge.stop().expect("it ends when it is told to");

    // Files that were written over those of the same folder cannot be told from a restart, so whoever did it says so.
    page.runs(&page.here(
        "cp --archive /var/lib/slipway/objects before && cp --archive before/. /var/lib/slipway/objects && rm --recursive before",
    ));
    edge.start_again().expect("it starts as it did before");
    assert_eq!(ready(), "ready", "nobody has said so");
    edge.stop().expect("it ends when it is told to");
    for _ in 0..2 {
        // The second time in the folder that was restored before.
        let mut restored = page.start(&["--restored"]);
        assert_eq!(ready(), "ready, stopped");
        own_lines(&restored.tail(usize::MAX));
        restored.stop().expect("it ends when it is told to");
        edge.start_again().expect("it starts as it did before");
        assert_eq!(ready(), "ready, stopped", "a restart starts nothing");
        starts();
        edge.stop().expect("it ends when it is told to");
    }
}

/// A release's folder whose workerd is a program that says that it listens, says more, and waits for its end.
fn without_workerd(folder: &Path) -> Command {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    for name in ["worker", "dashboard", "self-hosted", "secrets"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    for name in ["self-hosted/serve.mjs", "self-hosted/entry.mjs"] {
        fs::copy(root.join("worker").join(name), folder.join(name)).expect("it is in the repository");
    }
    fs::copy(root.join("wrangler.toml"), folder.join("wrangler.toml")).expect("it is in the repository");
    fs::write(folder.join("slipway.toml"), "").expect("a file");
    fs::write(folder.join("secrets/SLIPWAY_EDGE_KEY"), "0".repeat(64)).expect("a file");
    let stand_in = folder.join("workerd");
    // Nobody listens on port 1: the clock is not heard.
    let script = r#"#!/bin/sh
echo '{"event":"listen","socket":"http","port":1}' >&3
echo '{"event":"listen","socket":"clock","port":1}' >&3
exec sleep 60
"#;
    fs::write(&stand_in, script).expect("a file");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o700)).expect("its owner is here");
    let mut serve = Command::new("node");
    serve.arg(folder.join("self-hosted/serve.mjs")).args(["--data", "data", "--secrets", "secrets"]);
    serve.arg("--workerd").arg(stand_in).current_dir(folder);
    serve
}

/// Which folder the Worker is told that it runs in.
fn told_folder(folder: &Path) -> String {
    let config = fs::read_to_string(folder.join("data/run/workerd.capnp")).expect("it was laid out");
    let (_, rest) = config.split_once(r#"(name = "SLIPWAY_FOLDER", text = ""#).expect("it is told");
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn a_folder_that_was_restored_is_another_at_each_start_and_any_other_the_same_and_what_is_said_of_it_are_lines_of_the_log()
 {
    let folder = std::env::temp_dir().join(format!("slipway-restored-{}", std::process::id()));
    let mut told = Vec::new();
    for more in [&[][..], &[], &["--restored"], &["--restored"], &[]] {
        let mut serve =
            without_workerd(&folder).args(more).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("Node");
        let stderr = BufReader::new(serve.stderr.take().expect("it is piped"));
        let line = stderr.lines().next().expect("it says something").expect("text");
        serve.kill().expect("it runs");
        serve.wait().expect("it ends");
        let [line] = &own_lines(&line)[..] else { panic!("one line: {line}") };
        let names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        assert!(names.iter().all(|name| slipway_core::log::FIELDS.contains(name)), "{line}");
        assert!(line["message"].as_str().is_some_and(|said| said.starts_with("the clock was not heard: ")), "{line}");
        told.push(told_folder(&folder));
    }
    assert!(told[0] == told[1] && told[0] == told[4], "a restart changes nothing: {told:?}");
    assert!(told[2] != told[3] && told[2..4].iter().all(|name| name.starts_with("restored-")), "{told:?}");
    fs::remove_dir_all(&folder).expect("it was made above");
}

#[test]
fn the_service_starts_what_the_page_starts_and_loads_the_workerd_that_tests_run_on() {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("it is in the repository");
    let (page, service) = (read("docs/operators/self-hosted.md"), read("worker/self-hosted/slipway.service"));
    let command =
        service.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/")).expect("it starts something");
    assert!(page.contains(&format!("```sh\n{command}\n```")), "{command}");
    for machine in ["64", "arm64"] {
        let name = format!("@cloudflare/workerd-linux-{machine}");
        let tools: serde_json::Value = serde_json::from_str(&read("xtask/tools/package.json")).expect("JSON");
        let version = tools["dependencies"][&name].as_str().or(tools["optionalDependencies"][&name].as_str());
        let version = version.expect("the stack runs on it");
        assert!(page.contains(&format!("@{version} ")), "{name} {version}");
        assert!(page.contains(&format!("workerd-linux-{machine}")), "{name}");
    }
}

#[test]
fn what_cannot_be_started_says_why_and_starts_nothing() {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let folder = std::env::temp_dir().join(format!("slipway-self-hosted-{}", std::process::id()));
    fs::create_dir_all(folder.join("empty")).expect("a folder");
    let serve = |arguments: &[&str]| {
        let ended = Command::new("node")
            .arg(root.join("worker/self-hosted/serve.mjs"))
            .args(arguments)
            .current_dir(&folder)
            .output()
            .expect("Node is on the machine");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    for (arguments, why) in [
        (&[][..], "--data FOLDER is missing"),
        (&["--data", "d"], "--secrets FOLDER is missing"),
        (&["--data", "d", "--secrets", "nowhere"], "nowhere"),
        (&["--data", "d", "--secrets", "empty"], "has no file SLIPWAY_EDGE_KEY"),
        (&["--data", "d", "--secrets", "empty", "--clock", "0"], "no number of seconds"),
        (&["--daata", "d"], "--daata"),
    ] {
        let (code, said) = serve(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert_eq!(own_lines(&said).len(), 1, "{arguments:?}: {said}");
        assert!(!folder.join("d").exists(), "{arguments:?}");
    }
    fs::remove_dir_all(&folder).expect("it was made above");
}

//! `docs/deployers.md`: a job of another project waits until all is staged, installs it from the private repository with apt, and
//! says that it runs. Nobody reads without a session, so that it has to be known.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use slipway_stack::{Places, apt::Apt};
use slipway_tests::e2e::{Deb, Package, Release, Spoken, World, send, sha256};

/// The page.
struct Page(String);

impl Page {
    fn read() -> Self {
        let file = Places::of_this_clone().expect("tests run in a clone").root.join("docs/deployers.md");
        Self(fs::read_to_string(file).expect("the page is there"))
    }

    /// The first block of a language below a heading.
    fn block(&self, heading: &str, language: &str) -> &str {
        let (_, below) = self.0.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no `{heading}`"));
        let below = below.split("\n## ").next().unwrap_or_default();
        let block = below.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
        block.unwrap_or_else(|| panic!("{heading} has no block of {language}"))
    }
}

/// A deployment's job: a shell in a folder, with what the page's job has.
struct Job<'a> {
    world: &'a World,
    folder: PathBuf,
    id_token: String,
}

impl Job<'_> {
    fn runs(&self, script: &str) -> Spoken {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", script]).current_dir(&self.folder).stdin(Stdio::null());
        shell.env_clear().env("HOME", &self.folder).env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.folder.join("bin")).chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(folders).expect("folders of a PATH can be in one again"));
        shell.env("SLIPWAY_URL", self.world.stack.edge_url()).env("SLIPWAY_ID_TOKEN", &self.id_token);
        shell.env("SLIPWAY_PROJECT", "tug").env("VERSION", "17.3.1");
        shell.env("READ_TOKEN", self.world.stack.secret("STAGING_TOKEN"));
        shell.env("APT_CONFIG", self.folder.join("apt.conf"));
        Spoken::of(&mut shell)
    }
}

/// An apt of the job's own: what the page writes below `/etc/apt` is in its folder.
fn apt_in(folder: &Path) {
    let text = format!(
        "Dir \"{0}\";\nDir::Etc \"{0}/etc/apt\";\nDir::State::status \"{0}/status\";\nDir::Bin::methods \"/usr/lib/apt/methods\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n\
         Acquire::http::Proxy \"DIRECT\";\nAcquire::Retries \"0\";\n",
        folder.display()
    );
    for part in
        ["etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"]
    {
        fs::create_dir_all(folder.join(part)).expect("the stack's folder is writable");
    }
    fs::write(folder.join("status"), "").expect("the stack's folder is writable");
    fs::write(folder.join("apt.conf"), text).expect("the stack's folder is writable");
}

/// A package that a job stages by the command, as it does where nobody may read without a session.
fn staged(world: &World, release: &Release, key: &str) -> Package {
    let deb = Deb {
        name: key.to_owned(),
        version: "17.3.1-1".to_owned(),
        architecture: "amd64".to_owned(),
        readme: "Deployed before it is public.\n".to_owned(),
        ballast: 0,
    };
    let package = Package::new(deb.file_name(), deb.build().expect("it fits"));
    let file = world.stack.folder().join(&package.filename);
    fs::write(&file, &package.bytes).expect("the stack's folder is writable");
    release.slipway(release.build, &["stage", key, &file.display().to_string()]).ended_with(0);
    package
}

#[test]
fn a_deployers_job_waits_until_all_is_staged_installs_it_from_staging_and_says_where_it_runs() {
    if !Apt::is_here() {
        return println!("SKIPPED: this test needs apt-get");
    }
    let page = Page::read();
    let more = format!("\n{}\n[[gates]]\ndeployed = [\"production\"]\n", page.block("Who you are to Slipway", "toml"));
    let mut world = World::start_with("deploys", |settings| settings.more_config = more);
    world.gitlab.tell("POST", "projects", &json!({"id": 2001, "namespace_id": 72, "path": "ops/fleet"}));
    world.configure(|config| config.replace("reading = \"anyone\"", "reading = \"nobody\""));
    let release = world.release("17.3.1");
    release.slipway(release.build, &["plan", "tug=ubuntu/jammy", "cargo=ubuntu/jammy"]).ended_with(0);
    let tug = staged(&world, &release, "tug");

    let wanted = json!({"project": 2001, "name": "deploy", "ref": "main", "user": "jonas", "status": "running"});
    let job = world.gitlab.job(&wanted)["id"].as_u64().expect("a number");
    let folder = world.stack.folder().join("job");
    fs::create_dir_all(folder.join("bin")).expect("the stack's folder is writable");
    let script = Places::of_this_clone().expect("tests run in a clone").build().join("slipway/bin/slipway.mjs");
    std::os::unix::fs::symlink(script, folder.join("bin/slipway")).expect("the stack's folder is writable");
    let id_token = world.gitlab.id_token(job);
    let job = Job { world: &world, folder: folder.clone(), id_token };

    // Wait until all is staged.
    let yaml = page.block("Wait until all is staged", "yaml");
    let waits = yaml.lines().find_map(|line| line.trim().strip_prefix("- slipway await")).expect("the job waits");
    let waits = format!("slipway await{waits}");
    let late = job.runs(&waits.replace("3600", "2")).ended_with(4);
    assert!(late.text.contains("cargo  ubuntu/jammy  Not staged yet"), "{}", late.text);
    staged(&world, &release, "cargo");
    job.runs(&waits).ended_with(0);
    let stranger = send("GET", &world.edge("/api/v1/projects/tug/releases/17.3.1"), &[], "");
    assert_eq!(stranger.status, 401, "nobody else reads it: {}", stranger.text());

    // Install from staging.
    apt_in(&folder);
    let depot = world.stack.depot_url();
    let installs = page
        .block("Install from staging", "sh")
        .replace("machine packagecloud.io/", &format!("machine {depot}/"))
        .replace("https://packagecloud.io", &depot)
        .replace("/etc/apt", &format!("{}/etc/apt", folder.display()))
        .replace("apt-get install --yes", "apt-get download");
    job.runs(&installs).ended_with(0);
    let got = fs::read(folder.join(&tug.filename)).expect("apt has fetched it");
    assert_eq!(sha256(&got), tug.sha256, "what is deployed is what was declared");

    // Say that it runs. Before, the gate is closed.
    let play = |key: &str| world.gitlab.play(release.job(key), "mira");
    let closed = release.promote(&release.session(play("tug")), &["tug"]);
    assert_eq!(closed.status, 409, "{}", closed.text());
    let says = page.block("Say that it runs", "sh");
    job.runs(&says.replace("production", "staging")).ended_with(22);
    job.runs(says).ended_with(0);
    job.runs(says).ended_with(0);
    release.promote(&release.session(play("tug")), &["tug"]).ok();
    job.runs("slipway status --version $VERSION").ended_with(0);
    let refused = job.runs("slipway hold --version $VERSION --reason curious");
    assert_ne!(refused.code, Some(0), "it may do nothing else: {}", refused.text);
    slipway_tests::e2e::wait_until("the index serves it", || {
        world.depot.served("ubuntu/jammy", &tug.filename).is_some_and(|bytes| sha256(&bytes) == tug.sha256)
    });
}

//! The pages for release managers: every command on them is run as it stands, on a whole stack, by people who are signed in.
//!
//! What a page has and no story runs is a failure, and so is what a story runs and no page has. So a page cannot promise a
//! command that does not work, and a command that changes takes its pages along.

#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use slipway_stack::image::{Layout, Repository};
use slipway_stack::{Places, wait_for};
use slipway_tests::e2e::{DEADLINE, Deb, Package, Release, Rpm, World, get};

/// A day on the pages that is in the future, as far as they go.
const A_DAY: &str = "2027-01-01";

/// A command of a page: `slipway` and its words, without what is said behind it.
fn command_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let is_command = line == "slipway" || line.starts_with("slipway ");
    is_command.then(|| line.split(" #").next().unwrap_or(line).trim_end())
}

/// The commands in the blocks of a page. One that names something in capitals is a form, and is for words alone.
fn commands(page: &str) -> BTreeSet<String> {
    let mut is_fenced = false;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            found.extend(command_of(line).map(str::to_owned));
        }
    }
    found
}

/// What a page says of a command within a sentence: its name, and its options.
fn mentions(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let prose = page.lines().filter(|line| !line.starts_with("    "));
    for said in prose.flat_map(|line| line.split('`').skip(1).step_by(2)) {
        if let Some((name, options)) = command_of(said).and_then(name_and_options) {
            found.entry(name).or_default().extend(options);
        }
    }
    found
}

fn name_and_options(command: &str) -> Option<(String, BTreeSet<String>)> {
    let mut words = command.split_whitespace().skip(1);
    let name = words.next().filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase()))?;
    Some((name.to_owned(), words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()))
}

/// Programs that a page can have people run beside `slipway`.
const PROGRAMS: [&str; 11] =
    ["apt", "apt-get", "cosign", "curl", "dnf", "docker", "git", "npm", "openssl", "podman", "skopeo"];

/// Who runs what a page has beside commands of `slipway`.
enum Runs {
    /// This file, which has this text where it runs it.
    Where(&'static str, &'static str),
    /// Nobody, and why.
    Nobody(&'static str),
}

const OUTWARD: &str = "crates/slipway-view/src/outward/tests.rs";

/// What the pages have beside commands of `slipway`: the other lines of their blocks, and other programs within a sentence.
const OTHERS: [(&str, &str, Runs); 15] = [
    (
        "badges-and-feeds.md",
        "$ curl https://YOUR-EDGE/p/tug/is/1.2.0/el/9/arm64.txt",
        Runs::Where("tests/tests/shows_what_is_public.rs", "/p/tug/is/1.0.0/cargo.txt"),
    ),
    (
        "badges-and-feeds.md",
        "tug 1.2.0 for el/9 arm64: released since 2026-11-23 09:41 UTC",
        Runs::Where(OUTWARD, "tug 1.2.0 for el/9 arm64: released since 2026-11-23 09:41 UTC"),
    ),
    (
        "badges-and-feeds.md",
        "$ curl -H 'Accept: text/plain' https://YOUR-EDGE/p/tug/r/1.2.0",
        Runs::Where("tests/tests/shows_what_is_public.rs", r#"("release text", page.clone(), TEXT)"#),
    ),
    (
        "badges-and-feeds.md",
        "tug 1.2.0: 2 packages are public.",
        Runs::Where(OUTWARD, "tug 1.2.0: 2 packages are public."),
    ),
    (
        "badges-and-feeds.md",
        "tug-jammy-amd64  ubuntu/jammy  Released  2026-11-23 09:41 UTC",
        Runs::Where(OUTWARD, "tug-jammy-amd64  ubuntu/jammy  Released  2026-11-23 09:41 UTC"),
    ),
    (
        "badges-and-feeds.md",
        "tug-noble-amd64  ubuntu/noble  Released  2026-11-23 09:43 UTC",
        Runs::Where(OUTWARD, "tug-noble-amd64  ubuntu/noble  Released  2026-11-23 09:43 UTC"),
    ),
    (
        "badges-and-feeds.md",
        "[![released](https://YOUR-EDGE/api/v1/projects/tug/badge.svg)](https://YOUR-EDGE/p/tug)",
        Runs::Where("tests/tests/shows_what_is_public.rs", r#"stranger("/api/v1/projects/tug/badge.svg""#),
    ),
    (
        "command.md",
        "npm install --global https://YOUR-EDGE/slipway.tgz",
        Runs::Where("tests/tests/uses_what_is_handed_out.rs", r#"run("npm", &["install", "--global""#),
    ),
    (
        "command.md",
        "export SLIPWAY_URL=https://YOUR-EDGE SLIPWAY_PROJECT=tug",
        Runs::Where("tests/tests/follows_the_pages.rs", r#".env("SLIPWAY_PROJECT", "tug")"#),
    ),
    (
        "images.md",
        "harbour/tug has another image as `1.1.0`: public sha256:f137…, approved sha256:1350…. Nothing was replaced.",
        Runs::Where(
            "crates/slipway-core/src/report.rs",
            "has another image as `17.3.1`: public {other}, approved {digest}. Nothing",
        ),
    ),
    (
        "images.md",
        "skopeo inspect --raw",
        Runs::Where("tests/tests/releases_images.rs", r#"assert_eq!(format!("sha256:{}", sha256(&raw)), hex"#),
    ),
    ("images.md", "docker pull harbour/tug@sha256:f137…", Runs::Nobody("it takes a daemon; skopeo pulls in the tests")),
    (
        "images.md",
        "cosign verify harbour/tug@sha256:…",
        Runs::Nobody("signatures are laid out as cosign does, and cosign is not there"),
    ),
    ("withdraw.md", "apt-get install", Runs::Where("tests/tests/withdraws.rs", r#"apt.install("tug").expect_err"#)),
    ("withdraw.md", "dnf makecache --refresh", Runs::Where("xtask/stack/src/dnf.rs", r#"["makecache", "--refresh"]"#)),
];

/// What a page has beside commands of `slipway`.
fn others(page: &str) -> BTreeSet<String> {
    let mut is_fenced = false;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            found.extend((command_of(line).is_none() && !line.trim().is_empty()).then(|| line.trim().to_owned()));
        } else {
            let said = line.split('`').skip(1).step_by(2);
            let runs = |said: &&str| said.split_once(' ').is_some_and(|(program, _)| PROGRAMS.contains(&program));
            found.extend(said.filter(runs).map(str::to_owned));
        }
    }
    found
}

#[test]
fn whatever_else_the_pages_have_people_run_is_listed_with_where_it_is_run_or_why_nobody_does() {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let on_pages: BTreeSet<(String, String)> =
        pages().iter().flat_map(|(name, page)| others(page).into_iter().map(|line| (name.clone(), line))).collect();
    let listed: BTreeSet<(String, String)> =
        OTHERS.iter().map(|(page, line, _)| ((*page).to_owned(), (*line).to_owned())).collect();
    assert_eq!(on_pages.difference(&listed).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "who runs these?");
    assert_eq!(listed.difference(&on_pages).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "no page has these");
    for (page, line, runs) in &OTHERS {
        match runs {
            Runs::Where(file, has) => {
                let text = fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("there is no {file}"));
                // The list itself runs nothing.
                let text = text.replace(&format!("r#\"{has}\"#"), "");
                assert!(text.contains(has), "{page}: {file} does not run `{line}`");
            }
            Runs::Nobody(why) => assert!(!why.is_empty(), "{page}: why does nobody run `{line}`?"),
        }
    }
}

#[test]
fn what_a_page_has_beside_commands_of_slipway_is_found_in_blocks_and_in_sentences() {
    let page = "Say `docker pull a/b`, not `docker`.\n\n    slipway status\n    npm install slipway\n\n```sh\nexport A=b\n```\n";
    let found: Vec<String> = others(page).into_iter().collect();
    assert_eq!(found, ["docker pull a/b", "export A=b", "npm install slipway"]);
}

/// The pages, by their names.
fn pages() -> BTreeMap<String, String> {
    let folder = Places::of_this_clone().expect("tests run in a clone").root.join("docs/release-managers");
    let files = fs::read_dir(folder).expect("there are pages").flatten().map(|entry| entry.path());
    let pages = files.filter(|file| file.extension().is_some_and(|end| end == "md"));
    pages.map(|file| (name_of(&file), fs::read_to_string(&file).expect("a page is text"))).collect()
}

fn name_of(file: &std::path::Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is on the pages and was not run; what was run and is on none.
fn differences(pages: &BTreeMap<String, String>, ran: &BTreeSet<String>) -> Vec<String> {
    let mut differences = Vec::new();
    let on_pages: BTreeSet<String> = pages.values().flat_map(|page| commands(page)).collect();
    differences.extend(ran.difference(&on_pages).map(|command| format!("no page has `{command}`")));
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, options) in ran.iter().filter_map(|command| name_and_options(command)) {
        known.entry(name).or_default().extend(options);
    }
    // Every command has a page of its own, and says its answer as JSON.
    let always = ["--help", "--json"];
    for (page, text) in pages {
        for command in commands(text).difference(ran) {
            differences.push(format!("{page}: nobody runs `{command}`"));
        }
        for (name, options) in mentions(text) {
            let Some(own) = known.get(&name) else {
                differences.push(format!("{page}: nobody runs `slipway {name}`"));
                continue;
            };
            let unknown = options.iter().filter(|option| !own.contains(*option) && !always.contains(&option.as_str()));
            differences.extend(unknown.map(|option| format!("{page}: nobody runs `slipway {name} {option}`")));
        }
    }
    differences
}

#[test]
fn a_command_that_is_on_a_page_and_that_nobody_runs_is_found_and_so_is_its_opposite() {
    let page = "# A page\n\n    slipway status --version 1.0.0   # how it stands\n\nSay `slipway hold --lift`, see \
                `slipway COMMAND --help`.\n\n```sh\nslipway await staged\n```\n\n    npm install slipway\n";
    let pages = BTreeMap::from([("a.md".to_owned(), page.to_owned())]);
    let ran = |commands: &[&str]| commands.iter().map(|command| (*command).to_owned()).collect::<BTreeSet<_>>();
    let (status, staged, hold) = ("slipway status --version 1.0.0", "slipway await staged", "slipway hold --lift");
    let found = differences(&pages, &ran(&[status, staged]));
    assert_eq!(found, ["a.md: nobody runs `slipway hold`"]);
    let found = differences(&pages, &ran(&[staged, hold]));
    assert_eq!(found, ["no page has `slipway hold --lift`", "a.md: nobody runs `slipway status --version 1.0.0`"]);
    let found = differences(&pages, &ran(&[status, staged, "slipway hold"]));
    assert_eq!(found, ["no page has `slipway hold`", "a.md: nobody runs `slipway hold --lift`"]);
}

/// A stack, and somebody at a terminal.
struct Story {
    world: World,
    home: PathBuf,
    pages: BTreeMap<String, String>,
    ran: BTreeSet<String>,
    /// A run to look at.
    code: Option<i32>,
}

impl Story {
    fn begin(world: World) -> Self {
        let home = world.stack.folder().join("home");
        let bin = home.join("bin");
        fs::create_dir_all(&bin).expect("the stack's folder is writable");
        let script = Places::of_this_clone().expect("tests run in a clone").build().join("slipway/bin/slipway.mjs");
        assert!(script.exists(), "`cargo xtask build slipway` makes {}", script.display());
        std::os::unix::fs::symlink(&script, bin.join("slipway")).expect("the stack's folder is writable");
        Self { world, home, pages: pages(), ran: BTreeSet::new(), code: None }
    }

    /// A shell in the person's home, with what [command.md] has them set.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(&self.home).stdin(Stdio::null());
        shell.env_clear().env("HOME", &self.home).env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.home.join("bin")).chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(folders).expect("folders of a PATH can be in one again"));
        shell.env("SLIPWAY_URL", self.world.stack.edge_url()).env("SLIPWAY_PROJECT", "tug");
        shell
    }

    /// Runs a command of a page as it stands there. What it says.
    #[track_caller]
    fn runs(&mut self, command: &str) -> String {
        // Whenever this runs, that day is still to come.
        let shell = self.shell(&command.replace(A_DAY, "$(date --date='+30 days' +%F)"));
        self.runs_in(shell, command)
    }

    #[track_caller]
    fn runs_in(&mut self, mut shell: Command, command: &str) -> String {
        self.ran.insert(command.to_owned());
        let ended = shell.output().expect("there is a shell");
        self.code = ended.status.code();
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
    }

    /// The same, which ends with this code and says this.
    #[track_caller]
    fn says(&mut self, command: &str, code: i32, part: &str) {
        let said = self.runs(command);
        assert_eq!(self.code, Some(code), "{command}\n{said}");
        assert!(said.contains(part), "{command} does not say `{part}`:\n{said}");
    }

    /// Signs in, and types the code at GitLab.
    fn signs_in(&mut self, command: &str) {
        self.ran.insert(command.to_owned());
        let mut child = self.shell(command).stdout(Stdio::piped()).spawn().expect("there is a shell");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let code = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).expect("text"), 0, "it ended before it showed a code");
            if let Some(code) = line.strip_prefix("code") {
                break code.trim().to_owned();
            }
        };
        let decision = json!({"user": "mira", "approve": true, "hurry": true});
        self.world.gitlab.tell("POST", &format!("device-codes/{code}"), &decision);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("text");
        assert!(child.wait().expect("it ends").success(), "{command}: {rest}");
    }

    /// Everything that is on the pages has been run.
    fn ends(self) {
        let differences = differences(&self.pages, &self.ran);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

/// A package for one distro version.
fn package(version: &str, readme: &str) -> Package {
    let deb = Deb {
        name: "tug".to_owned(),
        version: format!("{version}-1"),
        architecture: "amd64".to_owned(),
        readme: readme.to_owned(),
        ballast: 0,
    };
    Package::new(deb.file_name(), deb.build().expect("it fits"))
}

/// Declares what the release consists of, as its first job does.
fn plans(release: &Release, packages: &[&str]) {
    let arguments: Vec<&str> = std::iter::once("plan").chain(packages.iter().copied()).collect();
    release.slipway(release.build, &arguments).ended_with(0);
}

/// Pushes an image to the registry that is for staging, and declares it. Whether there is a registry.
fn stages_image(world: &World, release: &Release) {
    let registry = world.stack.registry_staging().expect("a registry for staging");
    let folder = world.stack.folder().join("image");
    fs::create_dir_all(&folder).expect("the stack's folder is writable");
    let layout = Layout::new(&folder).expect("the stack's folder is writable");
    let index = layout.two_platforms("tug 17.3.1\n").expect("an image");
    let (user, password) = (registry.user.expect("it is closed"), registry.password.clone().expect("it is closed"));
    let to = Repository {
        url: registry.url.clone(),
        name: registry.repository.to_owned(),
        user: Some((user.to_owned(), password.clone())),
    };
    layout.send(&index, &to, "17.3.1").expect("the registry takes it");
    let reference = format!("{}:17.3.1", registry.image());
    let id_token = world.gitlab.id_token(release.build);
    let mut stage = release.command(&id_token, &["stage", "app-image", "--image", &reference]);
    stage.env("SLIPWAY_REGISTRY_USER", user).env("SLIPWAY_REGISTRY_PASSWORD", password);
    slipway_tests::e2e::Spoken::of(&mut stage).ended_with(0);
}

fn state_of(release: &Release, key: &str, target: &str) -> Value {
    let name = if target.starts_with(':') { "tag" } else { "distro" };
    let targets = release.targets(key);
    let found = targets.as_array().expect("targets").iter().find(|one| one[name] == target.trim_start_matches(':'));
    found.unwrap_or_else(|| panic!("{key} has no {target}: {targets}"))["state"].clone()
}

const SOAK: &str = "[[gates]]\nversions = [\"17.1.*\"]\nsoak = \"100h\"\noverride_people = [7]\n";

/// The versions of a patch day, and what is staged of the newest.
struct PatchDay {
    newest: Release,
    middle: Release,
    rpm: Package,
    pi: Package,
    /// The manual job of the rpm.
    rpm_job: u64,
}

impl PatchDay {
    /// The jobs of the three pipelines: what they plan, build and stage, and the manual ones that wait.
    fn begin(world: &World) -> Self {
        let [newest, middle, oldest] = ["17.3.1", "17.2.5", "17.1.7"].map(|version| world.release(version));
        plans(
            &newest,
            &[
                "deb-jammy=ubuntu/jammy",
                "rpm-el9=el/9,ol/9:rpm:x86_64",
                "pi-bookworm=raspbian/bookworm:deb:armhf",
                "app-image={version}:image",
            ],
        );
        plans(&middle, &["deb-jammy=ubuntu/jammy", "rpm-el9=el/9:rpm:x86_64"]);
        plans(&oldest, &["deb-jammy=ubuntu/jammy"]);
        let rpm = |version: &str| {
            let rpm = Rpm {
                name: "tug".to_owned(),
                version: version.to_owned(),
                release: "1".to_owned(),
                architecture: "x86_64".to_owned(),
                epoch: None,
                contents: "Built once.\n".to_owned(),
            };
            Package::new(rpm.file_name(), rpm.build().expect("rpmbuild builds it"))
        };
        newest.stage_file("deb-jammy", &package("17.3.1", "Built once.\n"), &["ubuntu/jammy"]);
        let rpm_of_newest = rpm("17.3.1");
        newest.stage_file("rpm-el9", &rpm_of_newest, &["el/9", "ol/9"]);
        let pi = Deb {
            name: "tug".to_owned(),
            version: "17.3.1-1".to_owned(),
            architecture: "armhf".to_owned(),
            readme: "For a small machine.\n".to_owned(),
            ballast: 0,
        };
        let pi = Package::new(pi.file_name(), pi.build().expect("it fits"));
        newest.stage_file("pi-bookworm", &pi, &["raspbian/bookworm"]);
        stages_image(world, &newest);
        middle.stage_file("deb-jammy", &package("17.2.5", "Built once.\n"), &["ubuntu/jammy"]);
        middle.stage_file("rpm-el9", &rpm("17.2.5"), &["el/9"]);
        oldest.stage_file("deb-jammy", &package("17.1.7", "Built once.\n"), &["ubuntu/jammy"]);
        for key in ["deb-jammy", "pi-bookworm", "app-image"] {
            newest.job(key);
        }
        let rpm_job = newest.job("rpm-el9");
        for key in ["deb-jammy", "rpm-el9"] {
            middle.job(key);
        }
        oldest.job("deb-jammy");
        Self { newest, middle, rpm: rpm_of_newest, pi, rpm_job }
    }
}

/// command.md.
fn signs_in_and_looks(mira: &mut Story) {
    mira.signs_in("slipway login");
    mira.signs_in("slipway login --api");
    mira.says("slipway status --version 17.3.1", 0, "pi-bookworm");
    mira.says("slipway status --version 17.3.1 app-image :17.3.1", 0, "17.3.1");
    let doctor = mira.runs("slipway doctor");
    assert!([Some(0), Some(6)].contains(&mira.code), "{doctor}");
}

/// replace.md, in the build job. What is staged then.
fn replaces(mira: &mut Story, day: &PatchDay) -> Package {
    let rebuilt = package("17.3.1", "Built again.\n");
    fs::create_dir_all(mira.home.join("packages")).expect("the stack's folder is writable");
    fs::write(mira.home.join("packages").join(&rebuilt.filename), &rebuilt.bytes).expect("the folder is writable");
    let replace = "slipway stage deb-jammy packages/tug_17.3.1-1_amd64.deb --replace";
    let mut shell = mira.shell(replace);
    day.newest.furnish(&mut shell, &mira.world.gitlab.id_token(day.newest.build));
    let said = mira.runs_in(shell, replace);
    assert_eq!(mira.code, Some(0), "{said}");
    assert_eq!(
        mira.world.depot.listed(&mira.world.depot.staging, &rebuilt.filename),
        std::slice::from_ref(&rebuilt.sha256)
    );
    rebuilt
}

/// hold.md, expires.md.
fn holds_and_keeps(mira: &mut Story) {
    mira.says("slipway hold rpm-el9 --version 17.3.1 --reason \"crashes on start\"", 0, "rpm-el9");
    mira.says("slipway release --all --version 17.3.1 --dry-run", 1, "crashes on start");
    mira.says("slipway hold rpm-el9 --version 17.3.1 --lift --reason \"it was the test\"", 0, "");
    mira.says("slipway hold --version 17.3.1 --reason \"the notes are wrong\"", 0, "");
    mira.says("slipway release deb-jammy --version 17.3.1 --dry-run", 1, "the notes are wrong");
    mira.says("slipway hold --version 17.3.1 --lift --reason \"the notes are right\"", 0, "");

    mira.says("slipway hold rpm-el9 --version 17.3.1 --until 2027-01-01 --reason \"not before the new year\"", 0, "");
    mira.says("slipway release --all --version 17.3.1 --dry-run", 1, "not before the new year");
    mira.says("slipway hold rpm-el9 --version 17.3.1 --lift --reason \"it was the test\"", 0, "");

    // expires.md.
    mira.says("slipway retention --version 17.3.1", 0, "deb-jammy");
    let extend =
        "slipway extend deb-jammy --version 17.3.1 --until 2027-01-01 --reason \"the customer tests until then\"";
    mira.says(extend, 0, "");
    mira.says("slipway retention --all", 0, "deb-jammy");
}

/// release-one.md, raspberry-pi.md, images.md.
fn releases_one_by_one(mira: &mut Story, day: &PatchDay, rebuilt: &Package) {
    mira.says("slipway release deb-jammy --version 17.3.1 --dry-run", 0, "would be copied");
    mira.says("slipway release deb-jammy --version 17.3.1", 0, "deb-jammy");
    day.newest.is_public_once(rebuilt);
    mira.says("slipway status --version 17.3.1 deb-jammy ubuntu/jammy", 0, "Released since");
    mira.says("slipway status --version 17.3.1 pi-bookworm raspbian/bookworm", 0, "Staged");
    mira.says("slipway release pi-bookworm --version 17.3.1", 0, "pi-bookworm");
    day.newest.is_public_once_in(&day.pi, "raspbian/bookworm");
    mira.says("slipway release app-image --version 17.3.1 --dry-run", 0, "");
    mira.says("slipway release app-image --version 17.3.1", 0, "");
    assert_eq!(state_of(&day.newest, "app-image", ":17.3.1"), "released");
}

/// patch-day.md and retry.md: one of three versions is not green at first.
fn releases_all(mira: &mut Story, day: &PatchDay) {
    for version in ["17.3.1", "17.2.5", "17.1.7"] {
        mira.says(&format!("slipway await staged --version {version}"), 0, "");
    }
    // One of the rpm's two places refuses it, once.
    mira.world.depot.fault(&json!({
        "on": "push", "effect": "fail", "status": 422, "body": {"package_file": ["is not for this distribution"]},
        "path": day.rpm.filename,
    }));
    mira.says("slipway release --all --version 17.3.1 --version 17.2.5 --version 17.1.7 --dry-run", 1, "soak");
    mira.says("slipway release --all --version 17.3.1 --version 17.2.5 --version 17.1.7", 1, "soak");
    let states = ["el/9", "ol/9"].map(|distro| state_of(&day.newest, "rpm-el9", distro));
    assert!(states.contains(&json!("released")) && states.contains(&json!("failed")), "{states:?}");
    assert_eq!(day.middle.shown()["state"], "complete", "and it holds up no other");
    mira.says("slipway status --version 17.3.1 rpm-el9 el/9", 0, "ENDED AS");
    mira.says("slipway status --version 17.3.1 rpm-el9 ol/9", 0, "ENDED AS");
    mira.says("slipway release --all --version 17.1.7 --override \"a security fix\"", 0, "overridden for `deb-jammy`");
    // Its job has ended red; the runner would have said so.
    mira.world.gitlab.finish(day.rpm_job, "failed");
    mira.says("slipway release rpm-el9 --version 17.3.1", 0, "rpm-el9");
    for distro in ["el/9", "ol/9"] {
        day.newest.is_public_once_in(&day.rpm, distro);
    }
    mira.says("slipway release deb-jammy@17.3.1 rpm-el9@17.2.5", 0, "");
    mira.says("slipway release --all --version 17.3.1", 0, "");
    mira.says("slipway await complete --version 17.3.1", 0, "");
}

/// prove.md.
fn proves(mira: &mut Story) {
    for version in ["17.3.1", "17.2.5", "17.1.7"] {
        let command = format!("slipway verify --version {version}");
        let verified = wait_for("the index serves it", DEADLINE, || {
            let said = mira.runs(&command);
            Ok((mira.code == Some(0)).then_some(said))
        });
        let said = verified.unwrap_or_else(|error| panic!("{error:#}: {}", mira.runs(&command)));
        assert!(said.contains("0 differences"), "{said}");
    }
    let public = mira.world.depot.public.clone();
    let key = get(&format!("{}/{}/gpgkey", mira.world.depot.url, public.repository), &[]).0;
    fs::write(mira.home.join("harbour.asc"), &key.body).expect("the folder is writable");
    mira.says("slipway status --version 17.3.1 --json > 17.3.1.json", 0, "");
    mira.says("slipway verify --manifest 17.3.1.json --keyring harbour.asc", 0, "0 differences");
}

/// withdraw.md.
fn withdraws(mira: &mut Story, day: &PatchDay) {
    let withdraw = "slipway withdraw deb-jammy --version 17.2.5 --reason \"it deletes what it should pack\"";
    mira.says(&format!("{withdraw} --dry-run"), 0, "404");
    let gone = package("17.2.5", "Built once.\n").filename;
    let served = |mira: &Story, distro: &str, file: &str| mira.world.depot.served(distro, file).is_some();
    assert!(served(mira, "ubuntu/jammy", &gone), "a dry run does nothing");
    mira.says(&format!("{withdraw} --yes"), 0, "");
    // No other release has it public; and it is gone by now.
    mira.says(&format!("{withdraw} --shared --yes"), 0, "nothing of it is left to withdraw");
    assert!(!served(mira, "ubuntu/jammy", &gone), "nobody gets it any more");
    let one =
        "slipway withdraw rpm-el9 --version 17.3.1 --target ol/9 --reason \"it deletes what it should pack\" --yes";
    mira.says(one, 0, "");
    assert!(!served(mira, "ol/9", &day.rpm.filename) && served(mira, "el/9", &day.rpm.filename));
}

#[test]
fn every_command_on_the_pages_for_release_managers_does_what_its_page_says() {
    if let Some(why) = slipway_stack::registry::missing() {
        return println!("SKIPPED: images are on these pages: {why}");
    }
    let world = World::start_with("pages", |settings| {
        settings.registries = true;
        settings.more_config = SOAK.to_owned();
    });
    let day = PatchDay::begin(&world);
    let mut mira = Story::begin(world);
    signs_in_and_looks(&mut mira);
    let rebuilt = replaces(&mut mira, &day);
    holds_and_keeps(&mut mira);
    releases_one_by_one(&mut mira, &day, &rebuilt);
    releases_all(&mut mira, &day);
    proves(&mut mira);
    withdraws(&mut mira, &day);

    // close.md, and the way out.
    mira.says("slipway close --version 17.2.5 --reason \"replaced by 17.2.6\"", 0, "public already");
    mira.says("slipway logout", 0, "signed out");
    mira.ends();
}

//! `docs/getting-started.md`, step by step: its files and commands as they stand there, with addresses on loopback.
//!
//! What a person does on GitLab's pages the stand-in has done: protected tags, variables, the webhook. Deploying is a test of
//! its own; here workerd runs what is deployed.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slipway_stack::{HandedOut, Places};
use slipway_tests::e2e::{Deb, JAMMY, Package, Pipeline, Runner, World, deb};

/// The page.
struct Page(String);

impl Page {
    fn read() -> Self {
        let file = Places::of_this_clone().expect("tests run in a clone").root.join("docs/getting-started.md");
        Self(std::fs::read_to_string(file).expect("the page is there"))
    }

    /// The blocks of one language below a heading, in order.
    fn blocks(&self, heading: &str, language: &str) -> Vec<&str> {
        let start = self.0.find(&format!("\n## {heading}")).unwrap_or_else(|| panic!("there is no `{heading}`"));
        let below = &self.0[start + 4..];
        let below = &below[..below.find("\n## ").unwrap_or(below.len())];
        let begin = format!("```{language}\n");
        below.split(&begin).skip(1).filter_map(|block| block.split("```").next()).collect()
    }

    fn block(&self, heading: &str, language: &str) -> &str {
        let blocks = self.blocks(heading, language);
        assert_eq!(blocks.len(), 1, "{heading} has one block of {language}");
        blocks[0]
    }
}

/// Somebody at a shell, with the page's addresses leading to loopback.
struct Person<'a> {
    world: &'a World,
    folder: PathBuf,
}

impl Person<'_> {
    fn here(&self, text: &str) -> String {
        self.world.here(text)
    }

    /// Runs a block of commands: each must end well. What they say.
    #[track_caller]
    fn runs(&self, folder: &Path, block: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-eux", "-c", &self.here(block)]).current_dir(folder).stdin(Stdio::null());
        shell.env("npm_config_prefix", self.folder.join("npm")).env("npm_config_registry", "http://127.0.0.1:9");
        shell.env("npm_config_cache", self.folder.join("cache")).env("npm_config_update_notifier", "false");
        shell.env("HOME", &self.folder).env("NO_COLOR", "1");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.folder.join("npm/bin")).chain(std::env::split_paths(&path));
        shell.env("PATH", std::env::join_paths(folders).expect("folders of a PATH can be in one again"));
        let ended = shell.output().expect("there is a shell");
        let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success(), "{block}\n{text}");
        text
    }
}

/// What the page's project has beside what the page adds: a build that makes a package.
fn project(page: &Page, world: &World, pipeline: &Pipeline, package: &Package) {
    let folder = pipeline.folder();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("the folder is writable");
    std::fs::create_dir_all(folder.join("built")).expect("the folder is writable");
    std::fs::write(folder.join("built").join(&package.filename), &package.bytes).expect("the folder is writable");
    write("Makefile", "deb:\n\tmkdir -p packages\n\tcp built/*.deb packages/\n");
    write("slipway.packages.toml", page.block("5. ", "toml"));
    // The runner reads components from the project itself alone.
    let yaml = page.block("5. ", "yaml");
    let there = "$CI_SERVER_FQDN/tools/slipway/release@1.0.0";
    assert!(yaml.contains(there), "{yaml}");
    let yaml = yaml.replace(there, "$CI_SERVER_FQDN/$CI_PROJECT_PATH/release@$CI_COMMIT_SHA");
    write(".gitlab-ci.yml", &world.here(&yaml));
    pipeline.sh("rm -rf packages && git add --all && git -c user.name=Slipway -c user.email=slipway@example.com \
                 -c commit.gpgsign=false commit --quiet -m 'as the page says'");
}

#[test]
fn every_step_of_getting_started_does_what_the_page_says_for_the_first_project_and_the_second() {
    let dist = Places::of_this_clone().expect("tests run in a clone").build().join("dist");
    if !dist.join("SHA256SUMS").exists() {
        return println!("SKIPPED: nothing is packed here; `cargo xtask dist` does it");
    }
    let runner = match Runner::find_bare() {
        Ok(runner) => runner,
        Err(why) => return println!("SKIPPED: pipelines cannot be run here: {why}"),
    };
    let page = Page::read();

    // The files of a release, in a folder; the edge and depot of this stack are from them.
    let mut world = World::start_with("getting-started", |settings| {
        let folder = settings.folder.join("release");
        std::fs::create_dir_all(&folder).expect("the stack's folder is writable");
        for file in std::fs::read_dir(&dist).expect("it is packed").flatten() {
            std::fs::copy(file.path(), folder.join(file.file_name())).expect("the stack's folder is writable");
        }
        let unpacked = Command::new("sh")
            .args(["-ec", "for file in slipway-worker-*.gz depot-*.gz; do tar -xzf $file; done; mv depot-*/depot ."])
            .current_dir(&folder)
            .status();
        assert!(unpacked.expect("there is a shell").success());
        let worker = folder.join(concat!("slipway-worker-", env!("CARGO_PKG_VERSION")));
        settings.handed_out = Some(HandedOut { worker, depot: folder.join("depot") });
    });
    let files = world.stack.folder().join("release");

    // What you need; 2. Configure Slipway; 3. Deploy it.
    let config = world.here(page.block("2. ", "toml"));
    world.configure(|_| config.clone());
    let person = Person { world: &world, folder: files.clone() };
    let said = person.runs(&files, page.block("What you need", "sh"));
    assert_eq!(said.matches(": OK").count(), 4, "{said}");
    let top = files.join(concat!("slipway-worker-", env!("CARGO_PKG_VERSION")));
    std::fs::write(top.join("slipway.toml"), &config).expect("the stack's folder is writable");
    person.runs(&files, page.block("2. ", "sh"));
    let said = person.runs(&files, page.block("3. ", "sh"));
    assert!(said.contains("ready\n") && said.contains("  slipway.tgz\n"), "{said}");

    // 5. Set the project up; 6. Stage; 7. Release.
    let first = Deb { version: "1.2.0-1".to_owned(), ..deb("tug", "The first.\n", 0) };
    let first = Package::new(first.file_name(), first.build().expect("it fits"));
    let keys = [("jammy-amd64".to_owned(), JAMMY)];
    let tug = Pipeline::of(&world, world.release("1.2.0"), runner.clone(), "tug", &keys);
    project(&page, &world, &tug, &first);
    person.runs(tug.folder(), page.block("5. ", "sh"));
    tug.run("plan").passed();
    assert_eq!(tug.release.target("jammy-amd64")["state"], "expected");
    tug.run("jammy").passed();
    let said = person.runs(&files, page.block("6. ", "sh"));
    assert!(said.contains("Staged") && said.contains("jammy-amd64"), "{said}");
    tug.release.is_not_public(&first.filename);
    tug.play("jammy-amd64").passed();
    let step = format!("{}{}", page.block("6. ", "sh").lines().next().unwrap_or_default(), "\n");
    person.runs(&files, &(step + page.block("7. ", "sh")));
    tug.release.is_public_once(&first);

    // 8. The second project.
    let more = page.block("8. ", "toml").to_owned();
    world.configure(|before| format!("{before}\n{more}"));
    let second = Deb { version: "1.2.0-1".to_owned(), ..deb("pilot", "The second.\n", 0) };
    let second = Package::new(second.file_name(), second.build().expect("it fits"));
    let pilot = Pipeline::of(&world, world.release_of(world.pilot(), "1.2.0"), runner, "pilot", &keys);
    project(&page, &world, &pilot, &second);
    pilot.run("plan").passed();
    pilot.run("jammy").passed();
    pilot.play("jammy-amd64").passed();
    pilot.release.is_public_once(&second);
    assert_eq!(tug.release.shown()["state"], "complete", "the first is as it was");
}

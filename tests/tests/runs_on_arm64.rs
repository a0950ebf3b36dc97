//! The `slipway` command on arm64, where armhf and arm64 packages are built: npm's Node for that machine, under qemu on
//! another. `ARM64_NODE` says how it is started; `cargo xtask test` installs what it needs.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::process::{Command, Output};

use slipway_stack::Places;
use slipway_tests::e2e::{Deb, Package, Release, Rpm, World, deb, rpm};

/// Node for arm64.
struct Node(Vec<String>);

impl Node {
    fn find() -> Option<Self> {
        let Ok(named) = std::env::var("ARM64_NODE") else {
            println!("SKIPPED: `ARM64_NODE` names no Node for arm64: it needs qemu-user-static and libraries of arm64");
            return None;
        };
        Some(Self(named.split_whitespace().map(str::to_owned).collect()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let places = Places::of_this_clone().expect("tests run in a clone");
        let script = places.build().join("slipway/bin/slipway.mjs");
        assert!(script.exists(), "`cargo xtask build slipway` makes {}", script.display());
        let mut command = self.node();
        command.arg(script).args(arguments);
        command
    }

    fn node(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]);
        command
    }

    /// In a job of the release's pipeline.
    fn in_job(&self, world: &World, release: &Release, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        release.furnish(&mut command, &world.gitlab.id_token(release.build));
        said(&command.output().expect("it starts"))
    }
}

#[track_caller]
fn said(ended: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{:?}: {text}", ended.status);
    text
}

#[test]
fn the_command_starts_on_arm64_and_checks_a_plan() {
    let Some(node) = Node::find() else { return };
    let machine = said(&node.node().args(["--print", "process.arch"]).output().expect("it starts"));
    assert_eq!(machine.trim(), "arm64");
    let version = said(&node.command(&["--version"]).output().expect("it starts"));
    assert_eq!(version.trim(), concat!("slipway ", env!("CARGO_PKG_VERSION")));
    let plan = ["plan", "--dry-run", "pi=raspbian/bookworm:deb:armhf", "arm=debian/bookworm:deb:arm64"];
    let mut command = node.command(&plan);
    // Nobody is asked.
    command.env("SLIPWAY_URL", "http://127.0.0.1:9").env("SLIPWAY_VERSION", "1.2.0");
    let said = said(&command.output().expect("it starts"));
    assert!(said.contains("pi") && said.contains("arm"), "{said}");
}

#[test]
fn packages_for_arm_are_staged_from_arm64_with_the_bytes_that_were_built() {
    let Some(node) = Node::find() else { return };
    let world = World::start("arm64");
    let release = world.release("1.2.0");
    let armhf = Deb { architecture: "armhf".to_owned(), ..deb("tug", "For a small board.\n", 3 << 20) };
    let aarch64 = Rpm { architecture: "aarch64".to_owned(), ..rpm("tug", "For a large one.\n") };
    let files = [
        ("pi", "raspbian/bookworm", "deb:armhf", Package::new(armhf.file_name(), armhf.build().expect("it fits"))),
        ("el", "el/9", "rpm:aarch64", Package::new(aarch64.file_name(), aarch64.build().expect("it fits"))),
    ];
    let plan: Vec<String> = files.iter().map(|(key, distro, kind, _)| format!("{key}={distro}:{kind}")).collect();
    let words: Vec<&str> = std::iter::once("plan").chain(plan.iter().map(String::as_str)).collect();
    node.in_job(&world, &release, &words);
    for (key, distro, _, package) in &files {
        let file = world.stack.folder().join(&package.filename);
        std::fs::write(&file, &package.bytes).expect("the stack's folder is writable");
        node.in_job(&world, &release, &["stage", key, &file.display().to_string()]);
        assert_eq!(release.target(key)["state"], "staged");
        let listed = world.depot.listed_in(&world.depot.staging, Some(distro), &package.filename);
        assert_eq!(listed, [package.sha256.as_str()], "{key}");
    }
}

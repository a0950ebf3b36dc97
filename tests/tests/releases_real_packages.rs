//! Packages that others made go the whole way, through the real command, the real apt and nothing else.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slipway_stack::apt::Apt;
use slipway_tests::e2e::{World, deb, sha256};

const DISTRO: &str = "debian/bookworm";

#[test]
fn apt_gets_a_real_package_after_its_release_and_never_one_that_is_only_staged() {
    let world = World::start("real-packages");
    let folder = world.stack.folder().join("made-by-others");
    let debs = match made_by_others(&folder, ["hello", "hostname"]) {
        Ok(debs) => debs,
        Err(why) => {
            println!("SKIPPED: apt cannot download the packages that this test releases: {why}");
            return;
        }
    };
    let [released, staged] = debs.map(|file| {
        let bytes = fs::read(&file).expect("apt has just written it");
        (file.display().to_string(), sha256(&bytes))
    });
    // Something is in the public index from the beginning, so that a package that apt does not get is one that the
    // index does not list, and not a repository that apt cannot read.
    let lighthouse = deb("lighthouse", "Has always been there.\n", 0);
    let (depot, bytes) = (&world.depot, lighthouse.build().expect("it fits"));
    let pushed = depot.push(&depot.public, &depot.public.repository, DISTRO, &lighthouse.file_name(), &bytes);
    assert_eq!(pushed.status, 201, "{}", pushed.text());

    let release = world.release("2.0.0");
    let planned = ["plan", &format!("hello={DISTRO}"), &format!("hostname={DISTRO}")];
    release.slipway(release.build, &planned).ended_with(0);
    release.slipway(release.build, &["stage", "hello", &released.0]).ended_with(0);
    release.slipway(release.build, &["stage", "hostname", &staged.0]).ended_with(0);
    let (job, _other) = (release.job("hello"), release.job("hostname"));

    let public = format!("{}/{}", depot.url, depot.public.repository);
    let apt = Apt::new(&world.stack.folder().join("apt"), &public, DISTRO, &architecture()).expect("the key is served");
    apt.update().expect("the public index is there and signed");
    apt.download("lighthouse").expect("what is public can be had");
    for package in ["hello", "hostname"] {
        let refused = apt.download(package).expect_err("it is only staged").to_string();
        assert!(refused.contains("Unable to locate package"), "{refused}");
    }

    world.gitlab.play(job, "mira");
    release.wait_until_released("hello");

    apt.update().expect("the public index is there and signed");
    let got = apt.download("hello").expect("it is released");
    assert_eq!(sha256(&fs::read(got).expect("apt has just written it")), released.1, "the bytes that were staged");
    let refused = apt.download("hostname").expect_err("it is only staged").to_string();
    assert!(refused.contains("Unable to locate package"), "{refused}");
    assert_eq!(release.target("hostname")["state"], "staged");
}

/// Fetches packages from the distribution's own servers: with the lists of this machine, or else with fresh ones in a
/// folder of the test's own, which needs no rights.
fn made_by_others<const N: usize>(folder: &Path, packages: [&str; N]) -> Result<[PathBuf; N], String> {
    let got = folder.join("got");
    for part in ["got", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(part)).expect("the stack's folder is writable");
    }
    let download: Vec<&str> = [&["download"], packages.as_slice()].concat();
    if apt_get(&got, &[], &download).is_err() {
        let own = |name: &str, part: &str| format!("{name}={}", folder.join(part).display());
        let own = [own("Dir::State", "state"), own("Dir::Cache", "cache"), "APT::Sandbox::User=".to_owned()];
        let own: Vec<&str> = own.iter().flat_map(|option| ["-o", option]).collect();
        apt_get(&got, &own, &["update"])?;
        apt_get(&got, &own, &download)?;
    }
    let mut files = Vec::new();
    for package in packages {
        let mut entries = fs::read_dir(&got).map_err(|error| error.to_string())?.filter_map(Result::ok);
        let own = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{package}_")));
        files.push(own.ok_or_else(|| format!("it gave no file for `{package}`"))?.path());
    }
    files.try_into().map_err(|_| "it gave another number of files".to_owned())
}

fn apt_get(folder: &Path, options: &[&str], arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command
        .args(options)
        .arg("--quiet")
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null());
    let ended = command.output().map_err(|error| format!("`apt-get` cannot be started: {error}"))?;
    let last = String::from_utf8_lossy(&ended.stderr).lines().last().unwrap_or_default().to_owned();
    if ended.status.success() { Ok(()) } else { Err(format!("`apt-get {}`: {last}", arguments.join(" "))) }
}

fn architecture() -> String {
    let asked = Command::new("dpkg").arg("--print-architecture").output().expect("apt is here, so dpkg is");
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}

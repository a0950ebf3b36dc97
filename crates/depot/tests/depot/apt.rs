//! The real apt, without root: it has a root folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Addresses as _, BOOKWORM, Depot, JAMMY, PUBLIC, STAGING, Scratch, deb, deb_of, get, has, sha256};

/// A folder that apt takes for the whole machine.
struct Machine {
    folder: Scratch,
}

impl Machine {
    fn new() -> Self {
        let folder = Scratch::new();
        for path in [
            "etc/apt/preferences.d",
            "etc/apt/auth.conf.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg",
            "var/cache/apt/archives/partial",
            "fetched",
        ] {
            fs::create_dir_all(folder.path().join(path)).expect("the folder is writable");
        }
        fs::write(folder.path().join("var/lib/dpkg/status"), "").expect("the folder is writable");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One source, trusted by one key.
    fn source(&self, key: &str, address: &str, codename: &str) {
        fs::write(self.path("etc/apt/key.asc"), key).expect("the folder is writable");
        let key = self.path("etc/apt/key.asc");
        let line = format!("deb [signed-by={} arch=amd64] {address} {codename} main\n", key.display());
        fs::write(self.path("etc/apt/sources.list"), line).expect("the folder is writable");
    }

    fn apt(&self, arguments: &[&str]) -> Output {
        let root = self.folder.path();
        let set = |name: &str, path: &Path| format!("-o{name}={}", path.display());
        Command::new("apt-get")
            .arg(set("Dir", root))
            .arg(set("Dir::State::status", &self.path("var/lib/dpkg/status")))
            .arg(set("Dir::Etc::sourcelist", &self.path("etc/apt/sources.list")))
            .args(["-oDir::Etc::sourceparts=-", "-oDir::Etc::parts=-", "-oDir::Etc::main=-", "-oAPT::Sandbox::User="])
            .args(["-oAPT::Architecture=amd64", "-oAPT::Architectures=amd64", "-oAcquire::Languages=none"])
            .args(["-oAPT::Update::Error-Mode=any", "-oAcquire::Retries=0", "-qq"])
            .args(arguments)
            .env("APT_CONFIG", "/dev/null")
            .env("LC_ALL", "C")
            .current_dir(self.path("fetched"))
            .output()
            .expect("apt-get was found")
    }

    /// Whether it worked, and what it said.
    fn says(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.apt(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    fn fetched(&self, filename: &str) -> Vec<u8> {
        fs::read(self.path("fetched").join(filename)).expect("apt fetched it")
    }
}

fn key(depot: &Depot, repository: &str, token: Option<&str>) -> String {
    let answer = get(&format!("{}/{repository}/gpgkey", depot.url()), token);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn apt_trusts_the_index_and_fetches_the_same_bytes() {
    if !has("apt-get") {
        return;
    }
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    let for_all = deb_of(
        "Package: tug-doc\nVersion: 1:1.0\nArchitecture: all\nMaintainer: H <h@example.com>\nDescription: words\n",
        b"words",
    );
    for package in [&file, &for_all] {
        assert_eq!(depot.push("harbour/stable", PUBLIC, JAMMY, package).status, 201);
    }
    // One name, two distro versions, other bytes: they do not collide.
    let for_bookworm = deb("tug", "1.0-1", "built for bookworm");
    assert_eq!(depot.push("harbour/stable", PUBLIC, BOOKWORM, &for_bookworm).status, 201);
    depot.wait_until_indexed("harbour/stable", PUBLIC, 3);
    let key = key(&depot, "harbour/stable", None);

    let machine = Machine::new();
    machine.source(&key, &format!("{}/harbour/stable/ubuntu/", depot.url()), "jammy");
    let (updated, said) = machine.says(&["update"]);
    assert!(updated, "{said}");
    let (fetched, said) = machine.says(&["download", "tug", "tug-doc"]);
    assert!(fetched, "{said}");
    assert_eq!(sha256(&machine.fetched("tug_1.0-1_amd64.deb")), sha256(&file));
    assert_eq!(sha256(&machine.fetched("tug-doc_1%3a1.0_all.deb")), sha256(&for_all));

    let machine = Machine::new();
    machine.source(&key, &format!("{}/harbour/stable/debian/", depot.url()), "bookworm");
    assert!(machine.apt(&["update"]).status.success());
    assert!(machine.apt(&["download", "tug"]).status.success());
    assert_eq!(sha256(&machine.fetched("tug_1.0-1_amd64.deb")), sha256(&for_bookworm));
}

#[test]
fn apt_refuses_an_index_that_was_changed_on_the_way() {
    if !has("apt-get") {
        return;
    }
    let depot = Depot::start();
    depot.push("harbour/stable", PUBLIC, JAMMY, &deb("tug", "1.0-1", "one"));
    depot.wait_until_indexed("harbour/stable", PUBLIC, 1);
    let index = format!("{}/harbour/stable/ubuntu/dists/jammy", depot.url());
    let signed = get(&format!("{index}/InRelease"), None).text();
    let packages = get(&format!("{index}/main/binary-amd64/Packages"), None).body;

    let update = |in_release: &str, packages: &[u8], key: &str| {
        let machine = Machine::new();
        let mirror = machine.path("mirror/dists/jammy");
        fs::create_dir_all(mirror.join("main/binary-amd64")).expect("the folder is writable");
        fs::write(mirror.join("InRelease"), in_release).expect("the folder is writable");
        fs::write(mirror.join("main/binary-amd64/Packages"), packages).expect("the folder is writable");
        machine.source(key, &format!("copy:{}", machine.path("mirror").display()), "jammy");
        machine.says(&["update"])
    };
    let trusted = key(&depot, "harbour/stable", None);
    let (accepted, said) = update(&signed, &packages, &trusted);
    assert!(accepted, "the untouched copy is good: {said}");

    let changed = signed.replace("Origin: harbour/stable", "Origin: harbour/stab1e");
    assert_ne!(changed, signed);
    let (accepted, said) = update(&changed, &packages, &trusted);
    assert!(!accepted && said.contains("BADSIG"), "{said}");

    let other = String::from_utf8_lossy(&packages).replace("Version: 1.0-1", "Version: 1.0-2");
    let (accepted, said) = update(&signed, other.as_bytes(), &trusted);
    assert!(!accepted, "packages that the release does not name were taken: {said}");

    let attic = key(&depot, "harbour/attic", Some(PUBLIC));
    let (accepted, said) = update(&signed, &packages, &attic);
    assert!(!accepted && said.contains("NO_PUBKEY"), "every repository has a key of its own: {said}");
}

#[test]
fn apt_reads_a_private_repository_with_a_token_only() {
    if !has("apt-get") {
        return;
    }
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    let pushed = depot.push("harbour-ci/pre-release", STAGING, JAMMY, &file).json();
    depot.wait_until_indexed("harbour-ci/pre-release", STAGING, 1);
    let read_token =
        pushed["download_url"].as_str().and_then(|link| link.split("read_token=").nth(1)).expect("it has one");
    let address = format!("{}/harbour-ci/pre-release/ubuntu/", depot.url());

    let machine = Machine::new();
    machine.source(&key(&depot, "harbour-ci/pre-release", Some(STAGING)), &address, "jammy");
    let (updated, said) = machine.says(&["update"]);
    assert!(!updated && said.contains("401"), "{said}");

    for token in [read_token, STAGING] {
        let line = format!("machine {}/harbour-ci/pre-release/ login {token} password irrelevant\n", depot.url());
        fs::write(machine.path("etc/apt/auth.conf.d/harbour.conf"), line).expect("the folder is writable");
        let (updated, said) = machine.says(&["update"]);
        assert!(updated, "{said}");
        let _ = fs::remove_file(machine.path("fetched/tug_1.0-1_amd64.deb"));
        let (fetched, said) = machine.says(&["download", "tug"]);
        assert!(fetched, "{said}");
        assert_eq!(sha256(&machine.fetched("tug_1.0-1_amd64.deb")), sha256(&file));
    }
}

#[test]
fn a_raspberry_pi_fetches_what_was_pushed_for_it() {
    if !has("apt-get") {
        return;
    }
    let depot = Depot::start();
    let file = deb_of(
        "Package: tug\nVersion: 1.0-1\nArchitecture: armhf\nMaintainer: H <h@example.com>\nDescription: pulls\n",
        b"for a small machine",
    );
    // Of `distributions.json` on packagecloud.io: `raspbian/bookworm`.
    assert_eq!(depot.push("harbour/stable", PUBLIC, "290", &file).status, 201);
    depot.wait_until_indexed("harbour/stable", PUBLIC, 1);
    let folder = Scratch::new();
    let repository = format!("{}/harbour/stable", depot.url());
    let fetch = |architecture: &str| {
        let apt = slipway_stack::apt::Apt::new(
            &folder.path().join("machine"),
            &repository,
            "raspbian/bookworm",
            architecture,
        )?;
        apt.update()?;
        Ok::<_, anyhow::Error>(fs::read(apt.download("tug")?)?)
    };
    let fetched = fetch("armhf").unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(sha256(&fetched), sha256(&file));
    fetch("amd64").expect_err("it is for armhf only");
}

#[test]
fn an_emptied_repository_has_an_empty_index_and_a_new_one_has_none() {
    let depot = Depot::start();
    let release = format!("{}/harbour/stable/ubuntu/dists/jammy/Release", depot.url());
    assert_eq!(get(&release, None).status, 404);
    let pushed = depot.push("harbour/stable", PUBLIC, JAMMY, &deb("tug", "1.0-1", "one")).json();
    depot.wait_until_indexed("harbour/stable", PUBLIC, 1);
    let old = get(&release, None).text();
    let destroy = format!("{}{}", depot.url(), pushed["destroy_url"].as_str().expect("it is text"));
    assert_eq!(crate::support::send("DELETE", &destroy, Some(PUBLIC), &[], b"").status, 200);
    let packages = format!("{}/harbour/stable/ubuntu/dists/jammy/main/binary-amd64/Packages", depot.url());
    crate::support::eventually("the index is empty", || get(&packages, None).body.is_empty().then_some(()));

    // Who has read the old release still finds what it names.
    let line = old.lines().find(|line| line.ends_with(" main/binary-amd64/Packages")).expect("it names the index");
    let digest = line.split_whitespace().next().expect("the digest is first");
    let by_hash = get(&format!("{packages}/../by-hash/SHA256/{digest}").replace("/Packages/..", ""), None);
    assert_eq!((by_hash.status, sha256(&by_hash.body).as_str()), (200, digest));
}

#[test]
fn debs_are_read_however_they_are_compressed() {
    if !has("dpkg-deb") {
        return;
    }
    let depot = Depot::start();
    let folder = Scratch::new();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let tree = folder.path().join(compression);
        fs::create_dir_all(tree.join("DEBIAN")).expect("the folder is writable");
        let control = format!(
            "Package: tug-{compression}\nVersion: 1.0\nArchitecture: all\nMaintainer: H <h@example.com>\nDescription: pulls\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).expect("the folder is writable");
        let deb = folder.path().join(format!("{compression}.deb"));
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "--uniform-compression", "-b", "-Z", compression])
            .arg(&tree)
            .arg(&deb)
            .output();
        let built = built.expect("dpkg-deb was found");
        if !built.status.success() {
            eprintln!("SKIPPED: this dpkg-deb cannot compress with {compression}");
            continue;
        }
        let answer = depot.push("harbour/stable", PUBLIC, JAMMY, &fs::read(&deb).expect("it was built"));
        assert_eq!(answer.status, 201, "{compression}: {}", answer.text());
        assert_eq!(answer.json()["filename"], format!("tug-{compression}_1.0_all.deb"));
    }
}

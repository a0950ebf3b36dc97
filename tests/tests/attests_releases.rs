//! Every release is attested: signed by the edge, checked by programs that share no code with it, and beside the image where
//! the route asks for that.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use slipway_stack::{Part, Places};
use slipway_tests::e2e::harbour::{Harbour, PUBLIC, can_run};
use slipway_tests::e2e::{Release, World, deb, get, send, sha256, wait_until};

/// A public key of the tests of RFC 8032, section 7.1: nobody signs with it here.
const OTHER_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Where a target's attestation is, once it is signed.
fn link(release: &Release, key: &str) -> String {
    let mut found = None;
    wait_until("it is attested", || {
        found = release.target(key)["attestation"].as_str().map(str::to_owned);
        found.is_some()
    });
    found.expect("it was found")
}

fn download(url: &str) -> String {
    send("GET", url, &[], "").ok().text()
}

fn published(world: &World) -> Value {
    send("GET", &world.edge("/api/v1/signing-key"), &[], "").ok().json()
}

/// The checker, if Python's libraries are here.
fn checker() -> Option<(PathBuf, PathBuf)> {
    let places = Places::of_this_clone().expect("tests run in a clone");
    let python = places.test_tools().join("python/bin/python3");
    let script = places.root.join("xtask/tools/test/check_attestation.py");
    let works =
        Command::new(&python).args(["-c", "import in_toto_attestation, securesystemslib, cryptography"]).output();
    if works.is_ok_and(|ended| ended.status.success()) {
        return Some((python, script));
    }
    println!("SKIPPED: this test needs securesystemslib and in-toto-attestation, which `cargo xtask test` installs");
    None
}

/// What in-toto's own library reads in an envelope whose signature is good. `None` where it is not.
fn read_by_others((python, script): &(PathBuf, PathBuf), folder: &Path, key: &Value, envelope: &str) -> Option<Value> {
    let pem = folder.join(format!("{}.pem", key["id"].as_str().expect("an id")));
    std::fs::write(&pem, key["pem"].as_str().expect("a PEM")).expect("a file");
    let mut check = Command::new(python);
    check.arg(script).arg(key["id"].as_str().expect("an id")).arg(&pem);
    let mut check =
        check.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("Python runs");
    check.stdin.take().expect("it is piped").write_all(envelope.as_bytes()).expect("it reads");
    let ended = check.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    if !ended.status.success() {
        assert!(said.contains("VerificationError"), "it is refused for its signature: {said}");
        return None;
    }
    Some(serde_json::from_slice(&ended.stdout).expect("JSON"))
}

fn verify(release: &Release, world: &World, more: &[&str]) -> slipway_tests::e2e::Spoken {
    let arguments = [["verify"].as_slice(), more].concat();
    let spoken =
        slipway_tests::e2e::Spoken::of(&mut release.command(&world.gitlab.id_token(release.build), &arguments));
    println!("{}", spoken.text);
    spoken
}

#[test]
fn the_release_of_a_package_is_attested_so_that_others_can_check_it() {
    let Some(checker) = checker() else { return };
    let world = World::start("attested");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let nothing = release.api("GET", "/attestations/cargo/ubuntu/jammy", None, &Value::Null);
    assert_eq!(nothing.status, 404, "{}", nothing.text());
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    let url = link(&release, "cargo");
    assert_eq!(url, world.edge("/api/v1/projects/tug/releases/1.0.0/attestations/cargo/ubuntu/jammy"));
    let (answer, headers) = get(&url, &[]);
    let envelope = answer.ok().text();
    assert_eq!(headers.get("content-type").map(String::as_str), Some(ENVELOPE), "{headers:?}");

    let keys = published(&world);
    let key = keys["keys"][0]["key"].as_str().expect("there is a key").to_owned();
    let folder = world.stack.folder().to_owned();
    let read = read_by_others(&checker, &folder, &keys["keys"][0], &envelope).expect("the signature is good");
    assert_eq!(read["payloadType"], "application/vnd.in-toto+json");
    let statement = &read["statement"];
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1", "{statement}");
    assert_eq!(statement["subject"][0]["name"], package.filename.as_str());
    assert_eq!(statement["subject"][0]["digest"]["sha256"], package.sha256.as_str());
    let said = &statement["predicate"];
    assert_eq!((&said["approval"]["by"], &said["approval"]["job"]["id"]), (&"mira".into(), &(job as f64).into()));
    assert_eq!(said["build"]["pipeline"]["id"], release.pipeline as f64);
    assert_eq!(said["destination"]["distro"], "ubuntu/jammy");
    // The policy is the file's text, and the row of the audit is there with that hash.
    let policy = std::fs::read(folder.join("edge/worker/slipway.toml")).expect("a started stack has its configuration");
    assert_eq!(said["policy"]["digest"]["sha256"], sha256(&policy));
    let rows = world.rows(&release, "cargo", "released");
    assert_eq!(said["audit"]["sequence"].as_f64(), rows[0]["sequence"].as_f64());
    assert_eq!(said["audit"]["digest"]["sha256"], rows[0]["hash"]);
    assert_eq!(world.rows(&release, "cargo", "attested").len(), 1);

    // Changed by one letter, it is nobody's.
    let payload = serde_json::from_str::<Value>(&envelope).expect("JSON")["payload"].as_str().expect("text").to_owned();
    let forged = envelope.replace(&payload, &payload.replacen('A', "B", 1));
    assert_eq!(read_by_others(&checker, &folder, &keys["keys"][0], &forged), None);

    // The command checks it by the published key, by one that is given, and by no other.
    let by = |key: &str| {
        let file = folder.join("key.pub");
        std::fs::write(&file, key).expect("a file");
        verify(&release, &world, &["--key", &file.display().to_string()])
    };
    assert!(
        verify(&release, &world, &[])
            .ended_with(0)
            .text
            .contains("1 attestations are signed by the key that Slipway publishes")
    );
    assert!(by(&key).ended_with(0).text.contains("1 attestations are signed by the given key"));
    let refused = by(OTHER_KEY).ended_with(5);
    assert!(refused.text.contains("none of the known keys has signed it"), "{}", refused.text);
}

#[test]
fn what_was_released_before_there_was_a_key_is_attested_once_there_is_one_and_an_edge_that_is_killed_attests_once() {
    const KEY: &str = "signing_key = \"SIGNING_KEY\"\n";
    let mut world = World::start("attested-late");
    world.configure(|text| text.replacen(KEY, "", 1));
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    let refused = release.api("GET", "/attestations/cargo/ubuntu/jammy", None, &Value::Null);
    assert_eq!(refused.status, 404, "{}", refused.text());
    assert!(refused.text().contains("no `signing_key`"), "{}", refused.text());
    world.configure(|text| text.replacen("[edge]\n", &format!("[edge]\n{KEY}"), 1));
    // Whoever asks for anything wakes the record's alarm.
    let other = world.release("1.0.1");
    other.ready(&deb("other", "", 0));
    let first = download(&link(&release, "cargo"));
    for _ in 0..2 {
        world.kill(Part::Edge);
        world.start_again(Part::Edge);
        assert_eq!(download(&link(&release, "cargo")), first, "it stays as it was signed");
    }
    assert_eq!(world.rows(&release, "cargo", "attested").len(), 1);
}

#[test]
fn the_attestation_of_an_image_is_beside_it_where_the_route_asks_for_that() {
    if !can_run(&[]) {
        return;
    }
    let mut harbour = Harbour::start("attested");
    harbour.world.configure(|text| text.replacen("kinds = [\"image\"]\n", "kinds = [\"image\"]\nattest = true\n", 1));
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build-1", 1000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    let envelope = download(&link(&release, "app"));
    wait_until("it is attached", || !harbour.world.rows(&release, "app", "attached").is_empty());

    // Debian's registry keeps no list of referrers, so there is an index under the tag of the digest.
    let public = |path: &str| format!("{}/v2/{PUBLIC}/{path}", harbour.public().url());
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let read = |which: &str| send("GET", &public(&format!("manifests/{which}")), &[("accept", accept)], "").ok().json();
    let list = read(&image.digest.replace(':', "-"));
    let listed = list["manifests"].as_array().expect("a list");
    assert_eq!(listed.len(), 1, "{list}");
    assert_eq!(listed[0]["artifactType"], ENVELOPE);
    assert_eq!(listed[0]["annotations"]["in-toto.io/predicate-type"], "urn:slipway:release:v1");
    let artifact = read(listed[0]["digest"].as_str().expect("a digest"));
    assert_eq!(artifact["subject"]["digest"], image.digest.as_str());
    let layer = artifact["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    let attached = download(&public(&format!("blobs/{layer}")));
    assert_eq!(attached, envelope, "what is beside the image is what can be downloaded");
    let row = &harbour.world.rows(&release, "app", "attached")[0];
    assert!(row["details"].as_str().expect("text").contains(listed[0]["digest"].as_str().expect("a digest")));
    // The image is as it was, and pulls whole.
    assert_eq!(harbour.served("17.3.1").as_deref(), Some(image.digest.as_str()));
    harbour.is_whole("17.3.1");
    let file = harbour.folder.join("key.pub");
    std::fs::write(&file, published(&harbour.world)["keys"][0]["key"].as_str().expect("a key")).expect("a file");
    let verified = harbour.slipway(&release, &["verify", "--key", &file.display().to_string()]).ended_with(0);
    assert!(verified.text.contains("1 attestations are signed by the given key"), "{}", verified.text);
}

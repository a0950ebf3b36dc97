//! What servers, outsiders and names can do to a promotion: no credential leaves its origin, no wrong byte becomes
//! public, and whatever has no end is ended.
#![allow(clippy::disallowed_methods, reason = "a test of what has no end reads its own clock")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_tests::e2e::{JAMMY, Package, Process, Release, World, deb, sha256, wait_until};

/// Every member of a listed or shown package, and of a list of repositories, that is an address.
const ADDRESSES: [&str; 12] = [
    "download_url",
    "promote_url",
    "destroy_url",
    "package_url",
    "package_html_url",
    "self_url",
    "versions_url",
    "repository_url",
    "repository_html_url",
    "downloads_detail_url",
    "downloads_series_url",
    "downloads_count_url",
];

/// A server that nobody has configured, or only for bytes. It keeps everything that it is told.
struct Canary {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Canary {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let ears = Arc::clone(&ears);
                thread::spawn(move || {
                    let mut piece = [0; 4096];
                    ears.lock().expect("nobody failed").extend_from_slice(b"CONNECTED ");
                    while let Ok(count @ 1..) = stream.read(&mut piece) {
                        ears.lock().expect("nobody failed").extend_from_slice(&piece[..count]);
                        if piece[..count].windows(4).any(|end| end == b"\r\n\r\n") {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=b\r\n\r\n[]";
                            let _ = stream.write_all(answer);
                        }
                    }
                });
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().expect("nobody failed")).into_owned()
    }

    /// The ways to write its address that people have fooled URL checks with.
    fn addresses(&self, world: &World) -> Vec<String> {
        let (port, depot) = (self.port, world.depot.url.trim_start_matches("http://").to_owned());
        vec![
            format!("http://127.0.0.1:{port}/a.deb"),
            format!("//127.0.0.1:{port}/a.deb"),
            format!("http://{depot}@127.0.0.1:{port}/a.deb"),
            format!("http://{depot}%2F@127.0.0.1:{port}/a.deb"),
            format!("http:\\\\127.0.0.1:{port}\\a.deb"),
            format!("http://localhost:{port}/a.deb"),
            format!("http://127.1:{port}/{depot}/a.deb"),
            format!("http://2130706433:{port}/a.deb"),
            format!("http://127.0.0.1:{port}#@{depot}/a.deb"),
            format!("http://127\u{3002}0\u{3002}0\u{3002}1:{port}/a.deb"),
            format!("\thttp://127.0.0.1:{port}/a.deb"),
            format!("http://127.0.0.1:{port}/?next=http://{depot}/a.deb"),
        ]
    }
}

/// Plays the job of a package that is ready, and waits until it has ended or says what is in its way.
fn goes_as_far_as_it_can(world: &World, release: &Release, key: &str, job: u64) -> Value {
    world.gitlab.play(job, "mira");
    release.wait_for_target(key, None, "as far as it can be", |target| {
        !target["problem"].is_null() || target["state"] == "released"
    })
}

#[track_caller]
fn is_right_or_not_public(world: &World, release: &Release, key: &str, package: &Package) {
    let target = release.target(key);
    if target["state"] == "released" {
        release.is_public_once(package);
    } else {
        let pushes = world.depot.pushes(&package.filename);
        assert!(pushes.iter().all(|digest| *digest == package.sha256), "{pushes:?}: {target}");
    }
}

// ---- addresses ----

#[test]
fn no_address_in_an_answer_makes_the_edge_talk_to_a_server_that_is_not_configured() {
    let (world, canary) = (World::start("hostile-fields"), Canary::listen());
    let release = world.release("1.0.0");
    for (number, address) in canary.addresses(&world).into_iter().enumerate() {
        let key = format!("ship-{number}");
        let (package, job) = release.ready(&deb(&key, "", 0));
        for field in ADDRESSES {
            world
                .depot
                .fault(&json!({"on": "any", "effect": "say", "field": field, "value": address, "times": "always"}));
        }
        let link = format!("<{}>; rel=\"next\"", address.replace('\t', ""));
        if link.is_ascii() {
            world
                .depot
                .fault(&json!({"on": "list", "effect": "header", "name": "link", "value": link, "times": "always"}));
        }
        goes_as_far_as_it_can(&world, &release, &key, job);
        world.depot.heal();
        is_right_or_not_public(&world, &release, &key, &package);
        assert_eq!(canary.heard(), "", "{address:?}");
    }
}

#[test]
fn a_redirect_to_a_server_that_is_not_configured_is_followed_nowhere() {
    let (world, canary) = (World::start("hostile-redirects"), Canary::listen());
    let release = world.release("1.0.0");
    for (number, address) in canary.addresses(&world).into_iter().enumerate().filter(|(_, address)| address.is_ascii())
    {
        let address = address.trim().to_owned();
        let key = format!("download-{number}");
        let (package, job) = release.ready(&deb(&key, "", 0));
        world.depot.fault(&json!({
            "on": "download", "effect": "header", "name": "location", "value": address, "times": "always",
            "path": package.filename,
        }));
        let target = goes_as_far_as_it_can(&world, &release, &key, job);
        assert_eq!(canary.heard(), "", "{address}");
        assert_ne!(target["state"], "released", "{address}: {target}");
        release.is_not_public(&package.filename);
    }
    let address = format!("http://127.0.0.1:{}/", canary.port);
    for point in ["list", "push", "index", "storage", "distributions"] {
        let key = format!("redirected-{point}");
        let (package, job) = release.ready(&deb(&key, "", 0));
        world.depot.fault(&json!({"on": point, "effect": "status", "status": 302, "times": "always"}));
        world
            .depot
            .fault(&json!({"on": point, "effect": "header", "name": "location", "value": address, "times": "always"}));
        goes_as_far_as_it_can(&world, &release, &key, job);
        assert_eq!(canary.heard(), "", "{point}");
        world.depot.heal();
        is_right_or_not_public(&world, &release, &key, &package);
    }
}

#[test]
fn a_storage_that_is_configured_hears_no_credential() {
    let mut world = World::start("hostile-storage");
    let canary = Canary::listen();
    let address = format!("http://127.0.0.1:{}", canary.port);
    world.configure(|text| text.replace("storage = [", &format!("storage = [\"{address}\", ")));
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.depot.fault(&json!({
        "on": "download", "effect": "header", "name": "location", "value": format!("{address}/bucket/a.deb?t=1"),
        "times": "always",
    }));
    goes_as_far_as_it_can(&world, &release, "cargo", job);
    release.is_not_public(&package.filename);
    let heard = canary.heard();
    assert!(heard.contains("GET /bucket/a.deb?t=1 HTTP/1.1"), "it was asked: {heard}");
    for secret in ["authorization", "cookie", "Basic "] {
        assert!(!heard.to_lowercase().contains(&secret.to_lowercase()), "{secret}: {heard}");
    }
    for name in ["STAGING_TOKEN", "PUBLIC_TOKEN", "GITLAB_TOKEN"] {
        assert!(!heard.contains(world.stack.secret(name)), "{name}");
    }
}

// ---- names ----

#[test]
fn names_that_are_no_file_names_are_refused_before_anything_is_asked_with_them() {
    let world = World::start("names-bad");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let requests = world.depot.requests().len();
    for name in [
        "../tug_1.0.0-1_amd64.deb",
        "..%2Ftug_1.0.0-1_amd64.deb/..",
        "pool/tug_1.0.0-1_amd64.deb",
        "tug\r\nX-Evil: 1_1.0.0-1_amd64.deb",
        "tug\n_1.0.0-1_amd64.deb",
        "tug\u{0}_1.0.0-1_amd64.deb",
        "tug 1.0.0-1_amd64.deb",
        "tug\\_1.0.0-1_amd64.deb",
        "tüg_1.0.0-1_amd64.deb",
        "tug\u{202e}_1.0.0-1_amd64.deb",
        "tug_1.0.0-1_amd64.deb?a=b",
        "tug_1.0.0-1_amd64.deb#a",
        ".deb",
        "..",
        "",
        "tug.deb",
        "tug-1.0.0-1.x86_64.rpm",
    ] {
        let package = Package::new(name.to_owned(), b"bytes".to_vec());
        let answer = release.declare("cargo", &package);
        assert_eq!(answer.status, 422, "{name:?}: {}", answer.text());
    }
    assert_eq!(world.depot.requests().len(), requests, "the package server was asked for nothing");
    assert_eq!(release.target("cargo")["state"], "expected");
}

#[test]
fn names_with_tildes_pluses_and_epochs_go_the_whole_way() {
    let world = World::start("names-good");
    let release = world.release("1.0.0+ce.0");
    for (key, name, version) in [
        ("tilde", "tug", "2.0~rc1+b2-1"),
        ("plus", "tug++", "1.0+git20260101.abc-1"),
        ("epoch", "lib-tug1.0", "2:1.0-1"),
    ] {
        let mut built = deb(name, key, 0);
        version.clone_into(&mut built.version);
        let bytes = built.build().expect("it fits");
        let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
        let package = Package::new(format!("{name}_{without_epoch}_amd64.deb"), bytes);
        release.plan(&[key]);
        release.stage_file(key, &package, &[JAMMY]);
        world.gitlab.play(release.job(key), "mira");
        release.wait_until_released(key);
        let pushes: Vec<Value> =
            world.depot.journal().into_iter().filter(|entry| entry["sha256"] == *package.sha256).collect();
        assert_eq!(pushes.len(), 2, "staged once, released once: {pushes:?}");
        assert!(pushes.iter().all(|entry| entry["filename"] == *package.filename), "{pushes:?}");
        release.is_public_once(&package);
    }
}

// ---- others at work in the same places ----

/// The same package built a second later: the same name, version, architecture and length, and other bytes.
fn rebuilt(package: &Package) -> Vec<u8> {
    let mut bytes = package.bytes.clone();
    // ar(5): 8 bytes of magic, then the first member's name in 16, then its time in decimal.
    bytes[24] = b'1';
    bytes
}

#[test]
fn a_staged_file_that_is_replaced_after_the_approval_and_before_the_copy_never_becomes_public() {
    let world = World::start("swapped-staging");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    // It was looked at, and is about to be downloaded.
    let held = world.depot.fault(&json!({"on": "download", "effect": "delay", "ms": 3_000}));
    world.depot.reset_counts();
    world.gitlab.play(job, "mira");
    wait_until("the download is on its way", || world.depot.count("download") == 1);
    let (other, staging) = (rebuilt(&package), &world.depot.staging);
    world.depot.delete(staging, JAMMY, &package.filename).ok();
    world.depot.push(staging, &staging.repository, JAMMY, &package.filename, &other).ok();
    assert_eq!(release.target("cargo")["step"], "copy", "it was approved before: fault {held}");
    let target = release.wait("cargo", &["failed", "released", "conflict", "missing"]);
    assert_eq!(target["problem"]["code"], "staged-bytes-changed", "{target}");
    assert!(target["problem"]["what"].as_str().is_some_and(|what| what.contains(&sha256(&other))), "{target}");
    release.is_not_public(&package.filename);
}

/// A package that is approved and waits for the only slot of its destination, and what lets it go on. It is the second
/// in the queue: the first one there has looked and stands by, so it would not look again before it sends.
fn approved_and_waiting(test: &str) -> (World, Release, Package, slipway_tests::e2e::Gate) {
    let world = World::start_with(test, |settings| settings.transfers = Some(1));
    let release = world.release("1.0.0");
    let (first, first_job) = release.ready(&deb("first", "", 0));
    let (_, next_job) = release.ready(&deb("next", "", 0));
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let gate = world.depot.gate(&first.filename, 0);
    world.gitlab.play(first_job, "mira");
    gate.wait();
    for (key, job) in [("next", next_job), ("cargo", job)] {
        world.depot.reset_counts();
        world.gitlab.play(job, "mira");
        wait_until("it was looked at", || {
            let lists = &world.depot.counts()["list"];
            lists["requests"].as_u64() >= Some(2) && lists["at_once"] == 0
        });
        assert_eq!(release.target(key)["state"], "approved");
    }
    (world, release, package, gate)
}

#[test]
fn other_bytes_that_an_outsider_publishes_meanwhile_are_a_conflict_and_are_not_overwritten() {
    let (world, release, package, gate) = approved_and_waiting("outsider-other");
    let other = rebuilt(&package);
    world.depot.publish(JAMMY, &package.filename, &other);
    gate.open();
    let target = release.wait("cargo", &["conflict", "released", "failed", "missing"]);
    assert_eq!(target["state"], "conflict", "{target}");
    assert_eq!(target["problem"]["public"], "none", "{target}");
    assert_eq!(world.depot.pushes(&package.filename), [sha256(&other)], "nothing else was accepted");
    assert_eq!(world.depot.served(JAMMY, &package.filename).as_deref(), Some(other.as_slice()));
}

#[test]
fn equal_bytes_that_an_outsider_publishes_meanwhile_are_released_outside() {
    let (world, release, package, gate) = approved_and_waiting("outsider-equal");
    world.depot.publish(JAMMY, &package.filename, &package.bytes);
    gate.open();
    let target = release.wait_until_released("cargo");
    assert_eq!(target["outside"], true, "{target}");
    assert!(release.target("first")["outside"].is_null(), "the other was sent by us");
    release.is_public_once(&package);
}

#[test]
fn other_bytes_that_arrive_while_the_copy_is_on_its_way_are_a_conflict() {
    let world = World::start("outsider-in-between");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let gate = world.depot.gate(&package.filename, package.bytes.len() as u64 - 1);
    world.gitlab.play(job, "mira");
    gate.wait();
    let other = rebuilt(&package);
    world.depot.publish(JAMMY, &package.filename, &other);
    gate.open();
    let target = release.wait("cargo", &["conflict", "released", "failed", "missing"]);
    assert_eq!(target["state"], "conflict", "{target}");
    assert_eq!(world.depot.pushes(&package.filename), [sha256(&other)]);
}

// ---- downloads that are not what they should be ----

#[test]
fn a_download_that_is_cut_padded_or_corrupted_publishes_nothing_but_the_approved_bytes() {
    let world = World::start("bad-downloads");
    let release = world.release("1.0.0");
    let (decoy, _) = release.ready(&deb("decoy", "Another package.\n", 40_000));
    // How it ends when the download is right the second time. Bytes that were read to their end and are others, are
    // another package: nobody tries that again by itself.
    for (key, fault, ends) in [
        ("cut", json!({"effect": "cut", "after_bytes": 20_000}), "released"),
        ("cut-at-once", json!({"effect": "cut", "after_bytes": 0}), "released"),
        ("padded", json!({"effect": "append", "bytes": 100_000}), "failed"),
        ("flipped", json!({"effect": "flip-bit", "at": 30_000}), "failed"),
        ("swapped", json!({"effect": "swap", "filename": decoy.filename}), "failed"),
        ("chunked", json!({"effect": "chunked"}), "released"),
        ("longer", json!({"effect": "header", "name": "content-length", "value": "99"}), "not-public"),
        ("gone", json!({"effect": "status", "status": 404}), "not-public"),
        ("page", json!({"effect": "fail", "status": 200}), "failed"),
    ] {
        let (package, job) = release.ready(&deb(key, "", 40_000));
        let mut order = fault;
        order["on"] = "storage".into();
        if order["effect"] != "fail" {
            // What is decided before the storage has looked, knows no file name.
            order["path"] = package.filename.clone().into();
        }
        let order = world.depot.fault(&order);
        let target = goes_as_far_as_it_can(&world, &release, key, job);
        match ends {
            "released" => {
                release.wait_until_released(key);
                release.is_public_once(&package);
            }
            "failed" => {
                assert_eq!(target["state"], "failed", "{key}: {target}");
                assert_eq!(target["problem"]["code"], "staged-bytes-changed", "{key}: {target}");
                assert_eq!(target["problem"]["public"], "none", "{key}: {target}");
                release.is_not_public(&package.filename);
            }
            _ => is_right_or_not_public(&world, &release, key, &package),
        }
        assert!(!world.depot.is_ordered(order), "{key}: the fault was met");
    }
}

// ---- what has no end ----

/// The most memory that workerd has used, in KiB.
fn peak_kib(world: &mut World) -> u64 {
    let pid = world.stack.process(Process::Edge).pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// workerd starts with about 100 MiB; a Worker may use 128 MiB more.
const GROWTH_KIB_MAX: u64 = 128 * 1024;
/// How long a target may go without a word.
const WORD_WITHIN: Duration = Duration::from_secs(100);

#[test]
fn bodies_and_lists_without_end_are_ended_and_other_packages_go_on() {
    let mut world = World::start("endless");
    let release = world.release("1.0.0");
    let (before, job) = release.ready(&deb("before", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("before");
    release.is_public_once(&before);
    let idle = peak_kib(&mut world);
    for (key, fault) in [
        ("endless-list", json!({"on": "list", "effect": "endless"})),
        ("endless-distributions", json!({"on": "distributions", "effect": "endless"})),
        ("endless-index", json!({"on": "index", "effect": "endless"})),
        ("endless-answer", json!({"on": "push", "effect": "endless"})),
        ("endless-pages", json!({"on": "list", "effect": "endless-pages"})),
        ("cyclic-pages", json!({"on": "list", "effect": "endless-pages", "cyclic": true})),
        ("endless-download", json!({"on": "storage", "effect": "endless"})),
    ] {
        let (package, job) = release.ready(&deb(key, "", 0));
        let mut order = fault;
        order["times"] = "always".into();
        world.depot.fault(&order);
        let began = std::time::Instant::now();
        let target = goes_as_far_as_it_can(&world, &release, key, job);
        eprintln!(
            "{key}: {} {} after {:?}, peak {} KiB",
            target["state"],
            target["problem"]["code"],
            began.elapsed(),
            peak_kib(&mut world)
        );
        assert!(began.elapsed() < WORD_WITHIN, "{key}: a word after {:?}", began.elapsed());
        // Others go on as soon as the server is well again, while this one still waits for its next try.
        world.depot.heal();
        let (other, job) = release.ready(&deb(&format!("after-{key}"), "", 0));
        world.gitlab.play(job, "mira");
        release.wait_until_released(&format!("after-{key}"));
        release.is_public_once(&other);
        is_right_or_not_public(&world, &release, key, &package);
    }
    let peak = peak_kib(&mut world);
    assert!(peak < idle + GROWTH_KIB_MAX, "workerd used {peak} KiB, {idle} before");
}

#[test]
fn a_slow_download_of_one_package_does_not_hold_up_another() {
    let world = World::start("slow-body");
    let release = world.release("1.0.0");
    let (slow, slow_job) = release.ready(&deb("slow", "", 100_000));
    let fault = json!({
        "on": "storage", "effect": "throttle", "bytes_per_second": 100, "times": "always", "path": slow.filename,
    });
    world.depot.fault(&fault);
    world.gitlab.play(slow_job, "mira");
    release.wait_for_target("slow", None, "being copied", |target| target["step"] == "copy");
    for key in ["one", "two", "three"] {
        let (package, job) = release.ready(&deb(key, "", 0));
        world.gitlab.play(job, "mira");
        release.wait_until_released(key);
        release.is_public_once(&package);
    }
    release.is_not_public(&slow.filename);
}

//! The sweep on a running stack: what others publish is found, what Slipway released is not, and what others published of a
//! staged package counts as released. Of packages and of images.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use serde_json::{Value, json};
use slipway_stack::Part;
use slipway_tests::e2e::harbour::{Harbour, Image, PUBLIC, can_run, credentials};
use slipway_tests::e2e::{Answer, JAMMY, Spoken, World, deb, send, sha256, wait_until};

/// A request of the operator about the project that most tests release.
fn operator(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    let token = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(method, &world.edge(&format!("/api/v1/projects/{}/{path}", world.tug().name)), &headers, body)
}

/// A public repository, as it was last read.
fn shown(world: &World, repository: &str) -> Value {
    let answer = operator(world, "GET", "strangers", &Value::Null).ok().json();
    let repositories = answer["repositories"].as_array().expect("a list").clone();
    repositories.into_iter().find(|of| of["repository"] == repository).expect("a public repository of the project")
}

/// Reads everything once more, and returns what is shown of a public repository then.
fn swept_of(world: &World, repository: &str) -> Value {
    let before = shown(world, repository)["swept_at"].clone();
    assert_eq!(operator(world, "POST", "sweeps", &Value::Null).status, 202);
    wait_until("the repository is read once more", || shown(world, repository)["swept_at"] != before);
    shown(world, repository)
}

/// The same, of the project's public repository of packages.
fn swept(world: &World) -> Value {
    swept_of(world, &world.stack.public_repository())
}

/// What the log says of each reading of the public repository, by the id of its work.
fn logged(world: &mut World) -> BTreeMap<String, Vec<String>> {
    let about = format!("/{}/", world.stack.public_repository());
    let log = world.stack.tail(Part::Edge, usize::MAX);
    let mut readings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok()) {
        if line["event"] == "sweep" {
            let work = line["work"].as_str().expect("each line has an id").to_owned();
            let state = line["state"].as_str().unwrap_or_default().to_owned();
            readings.entry(work).or_default().push(state);
        }
    }
    readings.retain(|work, _| work.contains(&about));
    readings
}

/// The names of the strangers.
fn strangers(shown: &Value) -> Vec<&str> {
    let all = shown["strangers"].as_array().expect("a list").iter();
    all.map(|stranger| stranger["filename"].as_str().expect("a name")).collect()
}

#[test]
fn what_others_publish_is_found_and_adopted_and_what_slipway_released_is_neither() {
    let mut world = World::start("finds-strangers");
    let theirs = |name: &str| {
        let package = deb(name, "not ours", 0);
        (package.file_name(), package.build().expect("a package"))
    };
    let (old, bytes) = theirs("old");
    world.depot.publish(JAMMY, &old, &bytes);
    let first = swept(&world);
    assert!(strangers(&first).is_empty(), "{first}");
    assert_eq!(first["baseline"]["count"], 1, "{first}");

    let readings = logged(&mut world);
    assert!(readings.values().all(|states| states == &["begun", "ended"]), "each reading has an id: {readings:?}");

    // One goes out through Slipway, another is staged and published by hand, a third is nobody's.
    let release = world.release("1.0.0");
    let (ours, job) = release.ready(&deb("ours", "", 0));
    let (by_hand, _) = release.ready(&deb("by-hand", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("ours");
    release.is_public_once(&ours);
    world.depot.publish(JAMMY, &by_hand.filename, &by_hand.bytes);
    let (stranger, bytes) = theirs("new");
    world.depot.publish(JAMMY, &stranger, &bytes);
    let second = swept(&world);
    assert_eq!(strangers(&second), [stranger.as_str()], "{second}");
    let found = &second["strangers"][0];
    assert_eq!((&found["why"], &found["distro"]), (&json!("unknown"), &json!(JAMMY)));
    assert_eq!(found["digest"], format!("sha256:{}", sha256(&bytes)));
    let target = release.target("by-hand");
    assert_eq!((&target["state"], &target["outside"]), (&json!("released"), &json!(true)), "{target}");

    // It is taken for known, with a reason; from then on it is none.
    let mut adoption = json!({ "place": found["place"], "reason": "the hotfix of last night" });
    adoption["place"] = second["place"].clone();
    adoption["repository"] = second["repository"].clone();
    adoption["digests"] = json!([found["digest"]]);
    assert_eq!(operator(&world, "POST", "adoptions", &adoption).ok().json(), json!({ "adopted": 1 }));
    assert!(strangers(&swept(&world)).is_empty());
    assert!(logged(&mut world).len() >= readings.len() + 2, "two more readings have two more ids");
    let rows = world.audit(world.tug());
    let actions: Vec<&str> = rows.iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "found-stranger").count(), 1);
    assert_eq!(actions.iter().filter(|action| **action == "adopted").count(), 3, "baseline, outside, by the operator");
}

/// Somebody copies an image of the staging repository to the public one, past Slipway.
fn copy_by_hand(harbour: &Harbour, from: &str, to: &str) {
    let mut skopeo = Command::new("skopeo");
    skopeo.env("HOME", &harbour.folder).env("XDG_DATA_HOME", &harbour.folder);
    skopeo.args(["--insecure-policy", "copy", "--all", "--preserve-digests"]);
    skopeo.args(["--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", &credentials()]);
    skopeo.args([format!("docker://{}:{from}", harbour.staged()), format!("docker://{}:{to}", harbour.released())]);
    let ended = skopeo.output().expect("skopeo is here");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// The strangers among tags: which, why, where it leads, and where it should.
fn strange_tags(shown: &Value) -> Vec<[String; 4]> {
    let all = shown["strangers"].as_array().expect("a list").iter();
    let text = |stranger: &Value, field: &str| stranger[field].as_str().unwrap_or_default().to_owned();
    all.map(|stranger| ["tag", "why", "digest", "expected"].map(|field| text(stranger, field))).collect()
}

#[test]
fn a_tag_that_others_set_is_a_stranger_and_neither_what_was_there_first_nor_what_slipway_released_is() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start("strangers");
    let world = &harbour.world;
    let swept = || swept_of(world, PUBLIC);
    harbour.push("old", 1000);
    let [ours, by_hand, smuggled, moved] =
        ["ours", "by-hand", "smuggled", "moved"].map(|name| harbour.push(name, 1000));
    copy_by_hand(&harbour, "old", "1.0.0");
    copy_by_hand(&harbour, "old", "nightly");
    let first = swept();
    assert_eq!((strange_tags(&first), &first["baseline"]["count"]), (vec![], &json!(2)), "{first}");

    // One goes out through Slipway, and tags that float with it. Another is staged, and published by hand as it is. A third is
    // nobody's.
    let release = world.release("17.3.1");
    let job = harbour.ready(&release, "app", "17.3.1", &ours);
    world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    let next = world.release("17.4.0");
    harbour.ready(&next, "app", "17.4.0", &by_hand);
    copy_by_hand(&harbour, "by-hand", "17.4.0");
    copy_by_hand(&harbour, "smuggled", "9.9.9");
    let second = swept();
    let unknown =
        |tag: &'static str, image: &Image| [tag.to_owned(), "unknown".to_owned(), image.digest.clone(), String::new()];
    assert_eq!(strange_tags(&second), [unknown("9.9.9", &smuggled)], "{second}");
    let target = next.target("app");
    assert_eq!((&target["state"], &target["outside"]), (&json!("released"), &json!(true)), "{target}");
    assert_eq!(release.target("app").get("problem"), None);
    assert_eq!(harbour.served("latest"), Some(ours.digest.clone()), "nobody has approved that a tag floats to it");

    // A tag of the release is moved, and one that floats, and one of those that were there first.
    for tag in ["17.3.1", "latest", "nightly"] {
        copy_by_hand(&harbour, "moved", tag);
    }
    let third = swept();
    let differs = ["17.3.1".to_owned(), "differs".to_owned(), moved.digest.clone(), ours.digest.clone()];
    let expected = [differs, unknown("9.9.9", &smuggled), unknown("latest", &moved), unknown("nightly", &moved)];
    let mut found = strange_tags(&third);
    found.sort_unstable();
    assert_eq!(found, expected, "{third}");
    assert_eq!(third["strangers"].as_array().map(|all| all.iter().any(|one| one["version"] == "17.3.1")), Some(true));
    let target = release.target("app");
    assert_eq!((&target["state"], &target["problem"]["code"]), (&json!("released"), &json!("drift")), "{target}");
    let what = target["problem"]["what"].as_str().expect("a sentence");
    assert_eq!(what, format!("{PUBLIC} has another image as `17.3.1`: {}, released {}.", moved.digest, ours.digest));

    // People read which tag leads where.
    let status = harbour.slipway(&release, &["status"]).ended_with(0);
    let counted = format!("{PUBLIC} has 4 things that did not come through Slipway; `slipway doctor` says which");
    assert!(status.text.contains(&counted) && status.text.contains(what), "{}", status.text);
    let page = send("GET", &world.edge("/p/tug/r/17.3.1"), &[("accept", "text/html")], "").ok().text();
    assert!(page.contains(&moved.digest) && page.contains("another image"), "{page}");
    let doctor = harbour.slipway(&release, &["doctor"]).ended_with(6);
    for named in [
        format!("the tag `17.3.1` with other bytes than its release ({}, not {})", moved.digest, ours.digest),
        format!("the tag `9.9.9` ({})", smuggled.digest),
    ] {
        assert!(doctor.text.contains(&named), "{named}: {}", doctor.text);
    }

    // So does whoever reads the audit, later.
    let rows = world.audit(world.tug());
    let found = rows.iter().filter(|row| row["action"] == "found-stranger").flat_map(|row| {
        let details: Value = serde_json::from_str(row["details"].as_str().expect("a text")).expect("JSON");
        details["found"].as_array().expect("a list").clone()
    });
    let found: Vec<[Value; 3]> =
        found.map(|one| ["tag", "digest", "expected"].map(|field| one[field].clone())).collect();
    let none = Value::Null;
    let told = |tag: &str, image: &Image, expected: Value| [json!(tag), json!(image.digest), expected];
    assert_eq!(
        found,
        [
            told("9.9.9", &smuggled, none.clone()),
            told("17.3.1", &moved, json!(ours.digest)),
            told("latest", &moved, none.clone()),
            told("nightly", &moved, none),
        ],
        "each is told of once"
    );

    // What nobody knows can be adopted, and what was released with other bytes cannot.
    let adopts = |image: &Image| {
        let digests = [&image.digest];
        let asked = json!({"place": third["place"], "repository": PUBLIC, "digests": digests, "reason": "a hotfix"});
        operator(world, "POST", "adoptions", &asked)
    };
    assert_eq!(adopts(&smuggled).ok().json(), json!({ "adopted": 1 }));
    assert_eq!(adopts(&moved).status, 409);
    assert!(!strange_tags(&swept()).iter().any(|of| of[0] == "9.9.9"));
    assert_eq!(harbour.served("17.3.1"), Some(moved.digest), "nothing is put right by itself");

    // What was taken back, and is set again, is a stranger with the bytes that it was released with.
    let operator_token = world.stack.secret("OPERATOR_TOKEN");
    let mut withdraw = next.command("", &["withdraw", "app", "--reason", "it does not start", "--yes"]);
    Spoken::of(withdraw.env_remove("SLIPWAY_ID_TOKEN").env("SLIPWAY_OPERATOR_TOKEN", operator_token)).ended_with(0);
    assert_eq!(harbour.served("17.4.0"), None);
    let is_back = |shown: &Value| strange_tags(shown).into_iter().find(|of| of[0] == "17.4.0");
    assert_eq!(is_back(&swept()), None);
    copy_by_hand(&harbour, "by-hand", "17.4.0");
    let back = ["17.4.0".to_owned(), "withdrawn".to_owned(), by_hand.digest.clone(), String::new()];
    assert_eq!(is_back(&swept()), Some(back));
    assert_eq!(adopts(&by_hand).status, 409);
    let doctor = harbour.slipway(&release, &["doctor"]).ended_with(6);
    let named = format!("the tag `17.4.0`, which was withdrawn ({})", by_hand.digest);
    assert!(doctor.text.contains(&named), "{}", doctor.text);
}

#[test]
fn a_test_in_which_the_edges_own_user_publishes_what_nobody_approved_goes_red_at_its_end() {
    let world = World::start("auditor-goes-red");
    let package = deb("smuggled", "", 0);
    let edge = world.depot.edge(&world.stack);
    let bytes = package.build().expect("a package");
    world.depot.push(&edge, &edge.repository, JAMMY, &package.file_name(), &bytes).ok();
    let rules: Vec<&str> = world.findings().iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["unapproved"]);
    let folder = world.stack.folder().to_owned();
    let ended = catch_unwind(AssertUnwindSafe(|| drop(world)));
    assert!(ended.is_err(), "the end of a test judges it");
    std::fs::remove_dir_all(folder).expect("what is left of a test that goes red is kept");
}

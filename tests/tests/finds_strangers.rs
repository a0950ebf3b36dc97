//! The sweep on a running stack: what others publish is found, what Slipway released is not, and what others published of a
//! staged package counts as released.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use slipway_stack::Part;
use slipway_tests::e2e::{Answer, JAMMY, World, deb, send, sha256, wait_until};

/// A request of the operator about the project that most tests release.
fn operator(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    let token = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(method, &world.edge(&format!("/api/v1/projects/{}/{path}", world.tug().name)), &headers, body)
}

/// The public repository, as it was last read.
fn shown(world: &World) -> Value {
    let answer = operator(world, "GET", "strangers", &Value::Null).ok().json();
    let repositories = answer["repositories"].as_array().expect("a list").clone();
    let own = world.stack.public_repository();
    repositories.into_iter().find(|of| of["repository"] == own).expect("the project's public repository")
}

/// Reads everything once more, and returns what is shown of the public repository then.
fn swept(world: &World) -> Value {
    let before = shown(world)["swept_at"].clone();
    assert_eq!(operator(world, "POST", "sweeps", &Value::Null).status, 202);
    wait_until("the repository is read once more", || shown(world)["swept_at"] != before);
    shown(world)
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

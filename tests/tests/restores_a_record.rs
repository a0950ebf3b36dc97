//! An export makes an equal record in another instance, which is stopped until somebody has compared it with the repositories, and
//! does nothing of what the old one was about to do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, JAMMY, World, deb, send, sha256, wait_until};

fn operator(world: &World, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    send(method, &world.edge(&format!("/api/v1/projects/tug/{path}")), &headers, body)
}

/// Tables whose rows an import ends, or the start and the first looks at repositories where nothing of it is.
const WRITTEN_SINCE: [&str; 11] = [
    "audit",
    "audit_heads",
    "configured",
    "targets",
    "releases",
    "dispatches",
    "attestations",
    "occurrences",
    "deliveries",
    "statuses",
    // When gates open next is found anew where the release has another number.
    "turns",
];

/// The rows of an export of all other tables.
fn rows(export: &str) -> Vec<&str> {
    let of = |line: &str, table: &str| line.starts_with(&format!("{{\"table\":\"{table}\""));
    export
        .lines()
        .filter(|line| line.starts_with("{\"table\"") && !WRITTEN_SINCE.iter().any(|table| of(line, table)))
        .collect()
}

/// An export without its last line, and that line.
fn parted(export: &str) -> (&str, Value) {
    let last = export.lines().last().expect("lines");
    let before = export.strip_suffix(&format!("{last}\n")).expect("it ends with a line");
    (before, serde_json::from_str(last).expect("JSON"))
}

/// Sends an export in two parts. What is done between them is done while the record is being imported.
fn import_slowly(world: &World, export: &str, meanwhile: impl FnOnce()) -> String {
    let edge = world.edge("");
    let address = edge.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address).expect("the edge listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket");
    let (first, rest) = export.split_at(export.find('\n').expect("lines") + 1);
    let token = world.stack.secret("OPERATOR_TOKEN");
    let head = format!(
        "POST /api/v1/projects/tug/import HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{first}",
        export.len()
    );
    stream.write_all(head.as_bytes()).expect("the first part");
    meanwhile();
    stream.write_all(rest.as_bytes()).expect("the rest");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// What was a stranger at the time of the backup counts as known after the first reading, until the list is sent back.
fn a_list_of_strangers_is_taken_back(new: &World) {
    let by_hand = deb("by-hand", "not ours", 0);
    let (filename, bytes) = (by_hand.file_name(), by_hand.build().expect("a package"));
    new.depot.publish(JAMMY, &filename, &bytes);
    let shown = || operator(new, "GET", "strangers", "").ok().json();
    let is_public = |of: &&mut Value| of["repository"] == new.stack.public_repository().as_str();
    let of_public = |mut all: Value| {
        let found = all["repositories"].as_array_mut().expect("a list").iter_mut().find(is_public);
        found.expect("a public repository of the project").take()
    };
    let at = "2026-11-02T09:14:05.000Z";
    let strange = json!({
        "distro": JAMMY, "filename": filename, "digest": format!("sha256:{}", sha256(&bytes)), "why": "unknown",
        "found_at": at, "seen_at": at,
    });
    let mut kept = of_public(shown());
    kept["strangers"] = json!([strange]);
    let list = json!({ "repositories": [kept] }).to_string();
    let too_soon = operator(new, "POST", "strangers", list.clone());
    assert_eq!((too_soon.status, too_soon.text().contains("not read whole yet")), (409, true), "{}", too_soon.text());
    assert_eq!(operator(new, "POST", "sweeps", "").status, 202);
    wait_until("the repository is read", || !of_public(shown())["baseline"].is_null());
    assert_eq!(of_public(shown())["strangers"], json!([]), "whatever is there counts as known");

    let recalled = operator(new, "POST", "strangers", list).ok().json();
    assert_eq!(recalled["repositories"][0]["recalled"], 1, "{recalled}");
    let shown = of_public(shown());
    assert_eq!(
        (&shown["strangers"][0]["filename"], &shown["strangers"][0]["found_at"]),
        (&json!(filename), &json!(at))
    );
    let nobody = send("POST", &new.edge("/api/v1/projects/tug/strangers"), &[], "{}");
    assert_eq!(nobody.status, 401, "{}", nobody.text());
}

#[test]
fn an_imported_record_equals_the_old_one_and_does_nothing_until_it_was_compared_and_is_started() {
    let old = World::start("exports");
    let release = old.release("1.0.0");
    let (_, job) = release.ready(&deb("out", "", 0));
    old.gitlab.play(job, "mira");
    release.wait_until_released("out");
    release.ready(&deb("waits", "", 0));
    let moves = deb("moves", "", 100_000);
    let (_, job) = release.ready(&moves);
    let gate = old.depot.gate(&moves.file_name(), 1);
    old.gitlab.play(job, "mira");
    gate.wait();
    let export = operator(&old, "GET", "export", "").ok().text();
    gate.open();
    let (before, end) = parted(&export);
    assert_eq!(end["end"]["sha256"], format!("sha256:{}", sha256(before.as_bytes())), "the digest of all before it");
    assert_eq!(end["end"]["lines"], before.lines().count());
    assert_eq!(operator(&old, "POST", "import", export.clone()).status, 409, "it has a record already");
    let audit = operator(&old, "GET", "audit", "").ok().text();
    let refused = audit.lines().filter(|row| row.contains("\"action\":\"refused\",\"subject\":\"POST import\""));
    assert_eq!(refused.count(), 1, "its audit says so: {audit}");

    // Another instance, with another key and other repositories: nothing of what the record says is there.
    let mut new = World::start("imports");
    new.is_not_audited("its record is that of another instance, whose repositories are not here");
    let cut_off = operator(&new, "POST", "import", before.to_owned());
    assert_eq!(cut_off.status, 400, "{}", cut_off.text());
    // It is given up: the project is used as before, by whoever reads it, and its audit says so.
    let listed = send("GET", &new.edge("/api/v1/projects/tug/releases"), &[], "").ok().json();
    assert_eq!(listed, json!([]), "nothing of it is there");
    let audit = operator(&new, "GET", "audit", "").ok().text();
    assert!(audit.contains("import-given-up") && audit.contains("broke off"), "{audit}");
    let changed = export.replacen("\"planned\"", "\"planted\"", 1);
    assert_ne!(operator(&new, "POST", "import", changed).status, 200);
    let unsigned = format!("{before}{}\n", json!({ "end": end["end"] }));
    for refused in [&export, &unsigned] {
        let answer = operator(&new, "POST", "import", refused.clone());
        assert_eq!((answer.status, answer.text().contains("signed")), (409, true), "{}", answer.text());
    }
    let keys = send("GET", &old.edge("/api/v1/signing-key"), &[], "").ok().json();
    let former = keys["keys"][0]["key"].as_str().expect("a key").to_owned();
    new.configure(|text| text.replace("signing_key =", &format!("former_keys = [\"{former}\"]\nsigning_key =")));
    let answer = operator(&new, "POST", "import", unsigned);
    assert_eq!(answer.status, 409, "{}", answer.text());
    let everywhere = |method: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {}", new.stack.secret("OPERATOR_TOKEN"));
        send(method, &new.edge(path), &[("authorization", &bearer), ("content-type", "application/json")], body)
    };
    let stopped_at = || everywhere("GET", "/api/v1/stop", "").json()["projects"][0]["stopped"]["at"].clone();
    let first = stopped_at();
    assert!(first.is_string(), "the one that broke off has stopped it: {first}");
    let answer = import_slowly(&new, &export, || {
        wait_until("the import has begun anew", || stopped_at() != first);
        assert_eq!(send("GET", &new.edge("/api/v1/projects/tug/releases"), &[], "").status, 503);
        // Whoever comes now writes nothing into the record.
        everywhere("GET", "/metrics", "").ok();
        everywhere("POST", "/api/v1/stop", &json!({"reason": "a fire"}).to_string()).ok();
    });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    everywhere("DELETE", "/api/v1/stop", &json!({"reason": "it is out"}).to_string()).ok();
    let unsigned = operator(&new, "GET", "export", "");
    assert_eq!(unsigned.status, 409, "nobody has compared it: {}", unsigned.text());
    assert!(unsigned.text().contains("not started"), "{}", unsigned.text());
    let shown = send("GET", &new.edge("/api/v1/projects/tug/releases/1.0.0"), &[], "").ok().json();
    assert!(shown["stopped"]["reason"].as_str().is_some_and(|why| why.contains("imported")), "{shown}");

    let start = json!({"reason": "compared"}).to_string();
    let too_soon = operator(&new, "DELETE", "stop", start.clone());
    assert_eq!(too_soon.status, 409, "{}", too_soon.text());
    assert!(too_soon.text().contains("comparison"), "{}", too_soon.text());
    let comparison = operator(&new, "GET", "comparison", "").ok().json();
    let targets = comparison["targets"].as_array().expect("targets");
    let of = |key: &str| targets.iter().find(|target| target["key"] == key).expect("it is compared");
    for (key, recorded, ended) in
        [("out", "released", Value::Null), ("waits", "staged", Value::Null), ("moves", "failed", json!(["approval"]))]
    {
        let target = of(key);
        assert_eq!((&target["recorded"], &target["ended"]), (&json!(recorded), &ended), "{target}");
        assert_eq!((&target["public"], &target["staging"]), (&json!("nothing"), &json!("nothing")), "{target}");
        assert_eq!(target["agrees"], key == "moves", "nothing of it is public, as is said: {target}");
    }
    assert_eq!(comparison["is_compared"], true, "{comparison}");
    a_list_of_strangers_is_taken_back(&new);
    operator(&new, "DELETE", "stop", start).ok();
    let again = operator(&new, "GET", "export", "").ok().text();
    assert!(rows(&export).len() > 5, "{export}");
    assert_eq!(rows(&again), rows(&export));
    let of_audit = |export: &str| -> Vec<String> {
        export.lines().filter(|line| line.starts_with("{\"table\":\"audit\"")).map(str::to_owned).collect()
    };
    let (before, after) = (of_audit(&export), of_audit(&again));
    assert_eq!(after[..before.len()], before[..], "its audit goes on where the other ended");
    // Of what the old one was about to do nothing is left.
    let due = |table: &str| again.lines().any(|line| line.starts_with(&format!("{{\"table\":\"{table}\"")));
    assert!(!due("dispatches") && !due("removals"), "{again}");
    assert!(after.iter().any(|row| row.contains("imported since")), "{again}");
    let shown = send("GET", &new.edge("/api/v1/projects/tug/releases/1.0.0"), &[], "").ok().json();
    assert!(shown["stopped"].is_null(), "{shown}");
    let compared = operator(&old, "GET", "comparison", "").ok().json();
    assert!(compared["targets"].as_array().is_some_and(|all| all.len() == 3), "{compared}");
    release.wait_until_released("moves");
}

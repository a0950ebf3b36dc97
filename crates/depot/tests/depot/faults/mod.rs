//! Each fault does what it says, and to no other requests.

mod bytes;
mod outcomes;
mod time;
mod words;

use serde_json::{Value, json};

use crate::support::{Addresses as _, Answer, Depot, JAMMY, PUBLIC, deb, get, send};

const STABLE: &str = "harbour/stable";
const ATTIC: &str = "harbour/attic";
const TUG: &str = "tug_1.0-1_amd64.deb";

/// Orders a fault; its number.
fn fault(depot: &Depot, order: &Value) -> u64 {
    depot.order("POST", "faults", order)["id"].as_u64().expect("an order has a number")
}

fn heal(depot: &Depot) {
    depot.order("DELETE", "faults", &Value::Null);
}

/// A depot that holds `tug` in its public repository.
fn with_tug() -> (Depot, Vec<u8>) {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", &"contents ".repeat(4000));
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &file).status, 201);
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
    (depot, file)
}

fn promote(depot: &Depot, repository: &str, filename: &str, destination: &str) -> Answer {
    let url = format!("{}/api/v1/repos/{repository}/ubuntu/jammy/{filename}/promote.json", depot.url());
    let form = [("content-type", "application/x-www-form-urlencoded")];
    send("POST", &url, Some(PUBLIC), &form, format!("destination={}", destination.replace('/', "%2F")).as_bytes())
}

fn delete(depot: &Depot, repository: &str, path: &str) -> Answer {
    send("DELETE", &format!("{}/api/v1/repos/{repository}/{path}", depot.url()), Some(PUBLIC), &[], b"")
}

/// Where `tug` can be downloaded from now.
fn link(depot: &Depot) -> String {
    let answer = get(&format!("{}/{STABLE}/packages/ubuntu/jammy/{TUG}/download.deb", depot.url()), None);
    answer.header("location").expect("a redirect leads somewhere").to_owned()
}

#[test]
fn faults_are_listed_counted_down_and_cleared_by_number() {
    let (depot, _) = with_tug();
    let first = fault(&depot, &json!({"on": "list", "effect": "fail", "times": 2, "skip": 1}));
    let second = fault(&depot, &json!({"on": "list", "effect": "fail", "times": "always", "path": "/attic/"}));
    let list = |repository: &str| depot.api(&format!("repos/{repository}/packages.json"), PUBLIC).status;
    assert_eq!([list(STABLE), list(STABLE), list(ATTIC), list(ATTIC)], [200, 504, 504, 504]);
    let left = depot.order("GET", "faults", &Value::Null);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "the first one is used up: {left}");
    assert_eq!((&left[0]["id"], &left[0]["times"]), (&json!(second), &json!("always")));
    let unknown = send("DELETE", &format!("{}/_control/faults/{first}", depot.control()), None, &[], b"");
    assert_eq!(unknown.status, 404);
    depot.order("DELETE", &format!("faults/{second}"), &Value::Null);
    assert_eq!([list(STABLE), list(ATTIC)], [200, 200]);
}

#[test]
fn requests_are_counted_by_what_they_are_about() {
    let (depot, _) = with_tug();
    depot.order("DELETE", "counts", &Value::Null);
    for _ in 0..3 {
        depot.api(&format!("repos/{STABLE}/search.json?q=tug"), PUBLIC);
    }
    get(&link(&depot), None);
    let counts = depot.order("GET", "counts", &Value::Null);
    let expected = |requests: u64| json!({"requests": requests, "at_once": 0, "at_once_max": 1});
    assert_eq!([&counts["list"], &counts["download"], &counts["storage"]], [&expected(3), &expected(1), &expected(1)]);
    assert_eq!(counts["push"]["requests"], 0);
    let requests = depot.order("GET", "requests", &Value::Null);
    let points: Vec<&str> =
        requests.as_array().expect("a list").iter().rev().take(3).filter_map(|seen| seen["point"].as_str()).collect();
    assert_eq!(points, ["storage", "download", "list"]);
}

#[test]
fn the_table_of_ids_can_be_changed_while_it_runs() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    let id_of_xenial = || {
        let distributions = depot.api("distributions.json", PUBLIC).json();
        let ubuntu = distributions["deb"].as_array().expect("a list").iter().find(|one| one["index_name"] == "ubuntu");
        let versions = ubuntu.expect("it is there")["versions"].as_array().expect("a list").clone();
        let xenial = versions.iter().find(|one| one["index_name"] == "xenial").expect("it is there").clone();
        xenial["id"].as_u64().expect("a number")
    };
    assert_eq!(id_of_xenial(), 165);
    depot.order("POST", "ids", &json!({"table": "enterprise"}));
    assert_eq!(id_of_xenial(), 60);
    assert_eq!(depot.push(STABLE, PUBLIC, "165", &file).status, 422, "a hard-coded number works no more");
    let pushed = depot.push(STABLE, PUBLIC, "60", &file);
    assert_eq!(pushed.json()["distro_version"], "ubuntu/xenial");
    depot.order("POST", "ids", &json!({"table": "packagecloud"}));
    assert_eq!(id_of_xenial(), 165);
}

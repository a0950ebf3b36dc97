//! Faults in what an answer says.

use serde_json::{Value, json};

use super::{ATTIC, STABLE, TUG, fault, heal, promote, with_tug};
use crate::support::{Addresses as _, JAMMY, PUBLIC, deb, get};

const HOSTILE: &str = "http://127.0.0.1:9/steal?";

#[test]
fn indexed_may_lie_and_a_digest_may_come_late() {
    let (depot, _) = with_tug();
    fault(&depot, &json!({"on": "index", "effect": "hold"}));
    fault(&depot, &json!({"on": "any", "effect": "say", "field": "indexed", "value": true, "times": "always"}));
    fault(&depot, &json!({"on": "list", "effect": "say", "field": "sha256sum", "value": null, "times": 2}));
    let pushed = depot.push(STABLE, PUBLIC, JAMMY, &deb("pilot", "1.0-1", "x")).json();
    assert_eq!(pushed["indexed"], json!(true));
    let packages = format!("{}/{STABLE}/ubuntu/dists/jammy/main/binary-amd64/Packages", depot.url());
    assert!(!get(&packages, None).text().contains("pilot"), "the index does not have it");
    let search = || depot.api(&format!("repos/{STABLE}/search.json?q=pilot"), PUBLIC).json()[0].clone();
    assert_eq!([search()["sha256sum"].clone(), search()["sha256sum"].clone()], [Value::Null, Value::Null]);
    assert_eq!(search()["sha256sum"], pushed["sha256sum"]);
}

#[test]
fn a_lie_may_be_about_one_file_of_a_list() {
    let (depot, _) = with_tug();
    depot.push(STABLE, PUBLIC, JAMMY, &deb("pilot", "1.0-1", "x"));
    fault(&depot, &json!({"on": "list", "effect": "say", "field": "sha256sum", "value": "00", "filename": TUG}));
    let list = depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC).json();
    assert_eq!(list[0]["sha256sum"], json!("00"));
    assert_eq!(list[1]["sha256sum"].as_str().map(str::len), Some(64));
}

#[test]
fn every_address_in_every_answer_may_lead_to_another_host() {
    let (depot, _) = with_tug();
    let fields = ["download_url", "package_url", "promote_url", "destroy_url", "versions_url", "self_url"];
    for field in fields {
        fault(&depot, &json!({"on": "any", "effect": "say", "field": field, "value": HOSTILE, "times": "always"}));
    }
    let show = format!("repos/{STABLE}/package/deb/ubuntu/jammy/tug/amd64/1.0-1.json");
    let answers = [
        depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC).json()[0].clone(),
        depot.api(&show, PUBLIC).json(),
        depot.push(STABLE, PUBLIC, JAMMY, &deb("pilot", "1.0-1", "x")).json(),
        promote(&depot, STABLE, TUG, ATTIC).json(),
    ];
    for answer in &answers {
        for field in fields {
            assert_eq!(answer[field], json!(HOSTILE), "{field} of {answer}");
        }
    }
    heal(&depot);
    fault(&depot, &json!({"on": "download", "effect": "header", "name": "Location", "value": HOSTILE}));
    fault(
        &depot,
        &json!({"on": "list", "effect": "header", "name": "Link", "value": format!("<{HOSTILE}>; rel=\"next\"")}),
    );
    let download = format!("{}/{STABLE}/packages/ubuntu/jammy/pilot_1.0-1_amd64.deb/download.deb", depot.url());
    assert_eq!(get(&download, None).header("location"), Some(HOSTILE));
    assert_ne!(get(&download, None).header("location"), Some(HOSTILE), "one fault is one fault");
    let list = depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC);
    assert_eq!(list.header("link"), Some("<http://127.0.0.1:9/steal?>; rel=\"next\""));
    fault(&depot, &json!({"on": "list", "effect": "header", "name": "Total"}));
    assert_eq!(depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC).header("total"), None);
}

#[test]
fn a_list_may_have_no_end() {
    let (depot, _) = with_tug();
    let next = |url: &str| {
        let answer = get(url, Some(PUBLIC));
        assert_eq!(answer.json()[0]["filename"], TUG, "every page has something on it: {url}");
        let link = answer.header("link").expect("there is always a next page").to_owned();
        link.trim_start_matches('<').split_once(">; rel=\"next\"").expect("it leads on").0.to_owned()
    };
    let first = format!("{}/api/v1/repos/{STABLE}/packages.json?per_page=250", depot.url());
    for (cyclic, expected) in [(false, "page=41"), (true, "page=1")] {
        fault(&depot, &json!({"on": "list", "effect": "endless-pages", "cyclic": cyclic, "times": 40}));
        let last = (0..40).fold(first.clone(), |url, _| next(&url));
        assert!(last.ends_with(expected), "{last}");
    }
    assert_eq!(get(&first, Some(PUBLIC)).header("link"), None);
}

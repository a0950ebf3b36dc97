//! Faults that decide what is done and what is answered.

use serde_json::{Value, json};

use super::{ATTIC, STABLE, TUG, delete, fault, heal, promote, with_tug};
use crate::support::{Addresses as _, JAMMY, PUBLIC, deb, eventually, get, send};

#[test]
fn a_status_comes_with_the_body_that_was_recorded_for_it() {
    let (depot, _) = with_tug();
    for (status, order, kind, body) in [
        (402, json!({}), "application/json", r#"{"error":["payment required"]}"#),
        (404, json!({}), "application/json", r#"{"error": "not_found"}"#),
        (429, json!({}), "text/plain", "Bandwidth or Storage Limit Exceeded"),
        (500, json!({}), "text/html", "<h1>Internal Server Error</h1>"),
        (502, json!({}), "text/html", "<h1>Bad Gateway</h1>"),
        (504, json!({}), "text/html", "<h1>Gateway Timeout</h1>"),
        (200, json!({}), "text/html", "<h1>OK</h1>"),
        (200, json!({"body": "<p>Sign in</p>"}), "text/html", "<p>Sign in</p>"),
        (503, json!({"body": "busy"}), "text/plain", "busy"),
        (422, json!({"body": {"plan": ["Upgrade"]}}), "application/json", r#"{"plan":["Upgrade"]}"#),
    ] {
        let mut order = order;
        for (name, value) in [("on", json!("list")), ("effect", json!("fail")), ("status", json!(status))] {
            order[name] = value;
        }
        fault(&depot, &order);
        let answer = depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC);
        assert_eq!(answer.status, status);
        let sent = answer.header("content-type").unwrap_or_default();
        assert!(sent.starts_with(kind) && answer.text().contains(body), "{status}: {sent}: {}", answer.text());
    }
}

#[test]
fn an_account_that_is_cut_off_hears_429_everywhere_until_that_is_cleared() {
    let (depot, file) = with_tug();
    fault(&depot, &json!({"on": "any", "effect": "fail", "status": 429, "times": "always"}));
    let base = format!("{}/{STABLE}", depot.url());
    for path in [
        "packages/ubuntu/jammy/tug_1.0-1_amd64.deb/download.deb",
        "ubuntu/dists/jammy/InRelease",
        "ubuntu/pool/jammy/main/t/tug/tug_1.0-1_amd64.deb",
        "gpgkey",
    ] {
        let answer = get(&format!("{base}/{path}"), None);
        assert_eq!((answer.status, answer.text().as_str()), (429, "Bandwidth or Storage Limit Exceeded"), "{path}");
    }
    assert_eq!(depot.push(ATTIC, PUBLIC, JAMMY, &file).status, 429);
    assert_eq!(depot.api("distributions.json", PUBLIC).status, 429);
    assert_eq!(depot.api("repos.json", PUBLIC).status, 429);
    heal(&depot);
    assert_eq!(depot.push(ATTIC, PUBLIC, JAMMY, &file).status, 201);
}

#[test]
fn a_duplicate_may_be_told_in_other_words() {
    let (depot, file) = with_tug();
    let with_plan = json!({"filename": ["has already been taken"], "plan": ["Upgrade to add more packages!"]});
    let elsewhere = json!({"repository": ["Validation failed: Full name already exists."]});
    for body in [&with_plan, &elsewhere] {
        fault(&depot, &json!({"on": "push", "effect": "do-then-fail", "when": 422, "status": 422, "body": body}));
        // What is no duplicate does not meet it.
        let fresh = deb("pilot", &format!("1.0-{}", body.as_object().map_or(0, serde_json::Map::len)), "x");
        assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &fresh).status, 201);
        let answer = depot.push(STABLE, PUBLIC, JAMMY, &file);
        assert_eq!((answer.status, &answer.json()), (422, body));
    }
    let plain = depot.push(STABLE, PUBLIC, JAMMY, &file);
    assert_eq!(plain.json(), json!({"filename": ["has already been taken"]}));

    assert_eq!(depot.push(ATTIC, PUBLIC, JAMMY, &file).status, 201);
    assert_eq!(promote(&depot, STABLE, TUG, ATTIC).status, 422);
    let taken = json!({"filename": ["has already been taken"]});
    fault(&depot, &json!({"on": "promote", "effect": "do-then-fail", "when": 422, "status": 404, "body": taken}));
    let answer = promote(&depot, STABLE, TUG, ATTIC);
    assert_eq!((answer.status, answer.json()), (404, taken));
    assert!(depot.filenames(STABLE, PUBLIC).contains(&TUG.to_owned()), "the source keeps it");
}

#[test]
fn one_file_fails_and_its_neighbours_do_not() {
    let (depot, _) = with_tug();
    fault(&depot, &json!({"on": "push", "effect": "fail", "status": 502, "path": "pilot_", "times": "always"}));
    fault(&depot, &json!({"on": "push", "effect": "do-then-fail", "status": 504, "path": "buoy_"}));
    let push = |name: &str| depot.push(STABLE, PUBLIC, JAMMY, &deb(name, "1.0-1", "x")).status;
    assert_eq!([push("pilot"), push("crane"), push("buoy"), push("pilot"), push("buoy")], [502, 201, 504, 502, 422]);
}

#[test]
fn a_delete_may_want_dots_escaped_and_may_answer_422_for_what_is_gone() {
    let (depot, _) = with_tug();
    // opensuse/13.2 takes rpms only; a path that is refused needs no package.
    fault(&depot, &json!({"on": "delete", "effect": "fail", "status": 404, "path": "/13.2/", "times": "always"}));
    let plain = delete(&depot, STABLE, "opensuse/13.2/a.rpm");
    assert_eq!((plain.status, plain.text().as_str()), (404, r#"{"error": "not_found"}"#));
    let escaped = delete(&depot, STABLE, "opensuse/13%2E2/a.rpm");
    assert_eq!(escaped.json(), json!({"filename": ["not found"]}), "it was looked for");
    let gone = json!({"filename": ["not found"]});
    fault(&depot, &json!({"on": "delete", "effect": "do-then-fail", "when": 404, "status": 422, "body": gone}));
    assert_eq!(delete(&depot, STABLE, &format!("ubuntu/jammy/{TUG}")).status, 200);
    let answer = delete(&depot, STABLE, &format!("ubuntu/jammy/{TUG}"));
    assert_eq!((answer.status, answer.json()), (422, gone));
    assert_eq!(delete(&depot, STABLE, &format!("ubuntu/jammy/{TUG}")).status, 404);
}

#[test]
fn a_promotion_may_be_done_and_answered_504_or_200() {
    let (depot, _) = with_tug();
    fault(&depot, &json!({"on": "promote", "effect": "do-then-fail"}));
    assert_eq!(promote(&depot, STABLE, TUG, ATTIC).status, 504);
    assert_eq!((depot.filenames(STABLE, PUBLIC).len(), depot.filenames(ATTIC, PUBLIC)), (0, vec![TUG.to_owned()]));
    fault(&depot, &json!({"on": "promote", "effect": "status", "status": 200}));
    let back = promote(&depot, ATTIC, TUG, STABLE);
    assert_eq!((back.status, &back.json()["filename"]), (200, &json!(TUG)));
}

#[test]
fn a_promotion_may_be_nowhere_for_a_while() {
    let (depot, _) = with_tug();
    fault(&depot, &json!({"on": "promote", "effect": "half-way"}));
    fault(&depot, &json!({"on": "promote", "effect": "do-then-fail"}));
    assert_eq!(promote(&depot, STABLE, TUG, ATTIC).status, 504);
    let none = Vec::<String>::new();
    assert_eq!((depot.filenames(STABLE, PUBLIC), depot.filenames(ATTIC, PUBLIC)), (none.clone(), none));
    let show = format!("repos/{ATTIC}/package/deb/ubuntu/jammy/tug/amd64/1.0-1.json");
    assert_eq!(depot.api(&show, PUBLIC).status, 404);
    assert_eq!(promote(&depot, STABLE, TUG, ATTIC).status, 404, "the source has nothing to promote");
    heal(&depot);
    assert_eq!(depot.api(&show, PUBLIC).status, 200);
    depot.wait_until_indexed(ATTIC, PUBLIC, 1);

    fault(&depot, &json!({"on": "promote", "effect": "half-way", "ms": 300}));
    assert_eq!(promote(&depot, ATTIC, TUG, STABLE).status, 201);
    assert_eq!(depot.filenames(STABLE, PUBLIC).len(), 0);
    eventually("it arrives by itself", || (depot.filenames(STABLE, PUBLIC).len() == 1).then_some(()));
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
}

#[test]
fn a_list_may_be_older_than_the_repository() {
    let (depot, _) = with_tug();
    let stale = |writes: u64| fault(&depot, &json!({"on": "list", "effect": "stale", "writes": writes}));
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &deb("pilot", "1.0-1", "x")).status, 201);
    assert_eq!(depot.push(ATTIC, PUBLIC, JAMMY, &deb("crane", "1.0-1", "x")).status, 201);
    stale(1);
    assert_eq!(depot.filenames(STABLE, PUBLIC), [TUG], "the newest is missing, and other repositories do not count");
    assert_eq!(depot.filenames(STABLE, PUBLIC), [TUG, "pilot_1.0-1_amd64.deb"]);
    assert_eq!(delete(&depot, STABLE, &format!("ubuntu/jammy/{TUG}")).status, 200);
    stale(1);
    assert_eq!(depot.filenames(STABLE, PUBLIC), [TUG, "pilot_1.0-1_amd64.deb"], "the deleted one is still there");
    stale(3);
    assert_eq!(depot.filenames(STABLE, PUBLIC), [""; 0], "before everything");
    fault(&depot, &json!({"on": "show", "effect": "stale", "writes": 1}));
    let show = format!("repos/{STABLE}/package/deb/ubuntu/jammy/tug/amd64/1.0-1.json");
    assert_eq!([depot.api(&show, PUBLIC).status, depot.api(&show, PUBLIC).status], [200, 404]);
    assert_eq!(promote(&depot, STABLE, "pilot_1.0-1_amd64.deb", ATTIC).status, 201);
    stale(1);
    assert_eq!(depot.filenames(STABLE, PUBLIC), ["pilot_1.0-1_amd64.deb"]);
    stale(1);
    assert_eq!(depot.filenames(ATTIC, PUBLIC), ["crane_1.0-1_amd64.deb"]);
}

#[test]
fn an_index_that_is_held_back_is_written_when_that_is_cleared() {
    let (depot, file) = with_tug();
    let order = fault(&depot, &json!({"on": "index", "effect": "hold", "path": "harbour/stable/ubuntu/jammy"}));
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &deb("pilot", "1.0-1", "x")).status, 201);
    assert_eq!(depot.push(ATTIC, PUBLIC, JAMMY, &file).status, 201);
    // One index is written after another: when the later one is there, the earlier one was passed over.
    depot.wait_until_indexed(ATTIC, PUBLIC, 1);
    let packages = format!("{}/{STABLE}/ubuntu/dists/jammy/main/binary-amd64/Packages", depot.url());
    assert!(!get(&packages, None).text().contains("Package: pilot\n"));
    let search = format!("repos/{STABLE}/search.json?q=pilot");
    assert_eq!(depot.api(&search, PUBLIC).json()[0]["indexed"], json!(false));
    depot.order("DELETE", &format!("faults/{order}"), &Value::Null);
    depot.wait_until_indexed(STABLE, PUBLIC, 2);
    assert!(get(&packages, None).text().contains("Package: pilot\n"));
}

#[test]
fn a_link_may_have_ended_before_it_is_followed() {
    let (depot, file) = with_tug();
    fault(&depot, &json!({"on": "download", "effect": "expired-link"}));
    let ended = get(&super::link(&depot), None);
    assert_eq!(ended.status, 403);
    assert!(ended.text().contains("Request has expired"), "{}", ended.text());
    assert_eq!(get(&super::link(&depot), None).body, file);
}

#[test]
fn a_fault_may_ask_for_a_method_that_is_not_there() {
    let (depot, _) = with_tug();
    fault(&depot, &json!({"on": "other", "effect": "fail", "status": 500}));
    let url = format!("{}/api/v1/nothing/here.json", depot.url());
    assert_eq!(send("PUT", &url, Some(PUBLIC), &[], b"").status, 500);
    assert_eq!(send("PUT", &url, Some(PUBLIC), &[], b"").status, 404);
}

//! What tests of other parts rely on: faults, gates, delays, and the log of requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Addresses as _, Depot, JAMMY, PUBLIC, deb, eventually, get, send};

const STABLE: &str = "harbour/stable";

#[test]
fn a_fault_may_come_after_the_work_was_done() {
    let depot = Depot::start();
    depot.order("POST", "faults", &json!({"on": "push", "times": 1, "effect": "do-then-fail", "status": 504}));
    let file = deb("tug", "1.0-1", "one");
    let answer = depot.push(STABLE, PUBLIC, JAMMY, &file);
    assert_eq!(answer.status, 504);
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err(), "a proxy's page is no JSON: {}", answer.text());
    assert_eq!(depot.filenames(STABLE, PUBLIC), ["tug_1.0-1_amd64.deb"]);
    assert_eq!(depot.journal().len(), 1);
    assert_eq!(depot.journal()[0]["status"], 201, "the journal says what was accepted, not what was answered");
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &file).status, 422, "one fault is one fault");
}

#[test]
fn a_fault_may_come_instead_of_the_work() {
    let depot = Depot::start();
    depot.order("POST", "faults", &json!({"on": "push", "times": 2, "effect": "fail", "status": 502}));
    let file = deb("tug", "1.0-1", "one");
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &file).status, 502);
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &file).status, 502);
    assert_eq!(depot.journal(), [Value::Null; 0]);
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &file).status, 201);

    depot.order("POST", "faults", &json!({"on": "delete", "effect": "do-then-fail"}));
    let url = format!("{}/api/v1/repos/{STABLE}/ubuntu/jammy/tug_1.0-1_amd64.deb", depot.url());
    assert_eq!(send("DELETE", &url, Some(PUBLIC), &[], b"").status, 504);
    depot.order("POST", "faults", &json!({"on": "list", "effect": "fail", "status": 429}));
    let limited = depot.api(&format!("repos/{STABLE}/search.json?q="), PUBLIC);
    assert_eq!((limited.status, limited.text().as_str()), (429, "Bandwidth or Storage Limit Exceeded"));
    assert_eq!(depot.filenames(STABLE, PUBLIC), [""; 0]);
    let refused =
        send("POST", &format!("{}/_control/faults", depot.control()), None, &[], br#"{"on":"tea","effect":"fail"}"#);
    assert_eq!(refused.status, 400);
}

#[test]
fn a_gate_holds_a_download_at_its_byte_until_it_is_opened() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", &"long contents ".repeat(5000));
    depot.push(STABLE, PUBLIC, JAMMY, &file);
    let gate =
        depot.order("POST", "gates", &json!({"on": "download", "filename": "tug_1.0-1_amd64.deb", "after_bytes": 100}));
    let path = format!("gates/{}", gate["id"]);
    assert_eq!(depot.order("GET", &path, &Value::Null), json!({"reached": false}));

    let download = format!("{}/{STABLE}/packages/ubuntu/jammy/tug_1.0-1_amd64.deb/download", depot.url());
    let link = get(&download, None).header("location").expect("a redirect leads somewhere").to_owned();
    let host = depot.storage().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("the storage listens");
    let target = link.trim_start_matches(depot.storage());
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("the storage reads");
    eventually("the download stands at the gate", || {
        (depot.order("GET", &path, &Value::Null)["reached"] == json!(true)).then_some(())
    });
    // All that is let through, and then nothing more.
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time limit can be set");
    let mut received = Vec::new();
    let head = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head and the first bytes arrive");
        received.push(byte[0]);
        let head = received.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4);
        if let Some(head) = head.filter(|head| received.len() == head + 100) {
            break head;
        }
    };
    assert_eq!(received[head..], file[..100], "the first bytes are not the file's");
    let more = crate::support::read_some(&mut stream, Duration::from_millis(300));
    assert_eq!(more, None, "the download was not held");

    depot.order("DELETE", &path, &Value::Null);
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time limit can be set");
    stream.read_to_end(&mut received).expect("the rest arrives");
    assert_eq!(received[head..], file, "the rest is not the file's");
}

#[test]
fn a_package_is_indexed_when_the_index_has_it_and_not_before() {
    let depot = Depot::start();
    let index = format!("{}/{STABLE}/ubuntu/dists/jammy/main/binary-amd64/Packages", depot.url());
    depot.order("POST", "index-delay", &json!({"ms": 3_600_000}));
    depot.push(STABLE, PUBLIC, JAMMY, &deb("late", "1.0-1", "one"));
    depot.order("POST", "index-delay", &json!({"ms": 0}));
    depot.push(STABLE, PUBLIC, JAMMY, &deb("soon", "1.0-1", "one"));
    let indexed = |filename: &str| -> bool {
        let list = depot.api(&format!("repos/{STABLE}/search.json?q={filename}"), PUBLIC).json();
        list[0]["indexed"].as_bool().expect("a package says it")
    };
    eventually("the second package is indexed", || indexed("soon").then_some(()));
    assert!(!indexed("late"), "the delay was not kept");
    let packages = get(&index, None).text();
    assert!(packages.contains("Package: soon\n") && !packages.contains("Package: late\n"), "{packages}");
}

#[test]
fn the_log_says_who_sent_a_credential_where() {
    let depot = Depot::start();
    depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "1.0-1", "one"));
    let download = format!("{}/{STABLE}/packages/ubuntu/jammy/tug_1.0-1_amd64.deb/download", depot.url());
    let link = get(&download, None).header("location").expect("a redirect leads somewhere").to_owned();
    get(&link, None);
    let seen: Vec<String> = depot
        .order("GET", "requests", &Value::Null)
        .as_array()
        .expect("a list")
        .iter()
        .map(|seen| format!("{} {} {} {}", seen["listener"], seen["method"], seen["had_authorization"], seen["status"]))
        .collect();
    assert_eq!(seen, [r#""api" "POST" true 201"#, r#""api" "GET" false 302"#, r#""storage" "GET" false 200"#]);
}

//! Faults in the bytes of an answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::{ATTIC, STABLE, TUG, fault, link, with_tug};
use crate::support::{Addresses as _, Depot, JAMMY, PUBLIC, basic, deb, get, sha256};

/// Sends a GET by hand; what came, at most so many bytes of body.
fn raw(address: &str, path: &str, more: &str, most: usize) -> (String, Vec<u8>) {
    let host = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("depot listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time limit can be set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n").expect("depot reads");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    let head = |bytes: &[u8]| bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4);
    while head(&bytes).is_none_or(|head| bytes.len() < head.saturating_add(most)) {
        // A reset is an end, too: what came before it counts.
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let head = head(&bytes).expect("the head arrives");
    (String::from_utf8_lossy(&bytes[..head]).to_lowercase(), bytes[head..].to_vec())
}

fn raw_download(depot: &Depot, most: usize) -> (String, Vec<u8>) {
    raw(depot.storage(), link(depot).trim_start_matches(depot.storage()), "", most)
}

#[test]
fn a_download_may_be_cut_after_it_announced_all_of_it() {
    let (depot, file) = with_tug();
    for after in [0, 1, 700] {
        fault(&depot, &json!({"on": "storage", "effect": "cut", "after_bytes": after}));
        let (head, body) = raw_download(&depot, usize::MAX);
        assert!(head.contains(&format!("content-length: {}\r\n", file.len())), "{head}");
        assert_eq!(body, file[..after]);
    }
    fault(&depot, &json!({"on": "list", "effect": "cut", "after_bytes": 10}));
    let authorization = format!("Authorization: {}\r\n", basic(PUBLIC));
    let (head, body) = raw(depot.url(), &format!("/api/v1/repos/{STABLE}/packages.json"), &authorization, usize::MAX);
    assert!(head.contains("content-length: ") && body.len() == 10, "{head} {}", body.len());
    assert_eq!(get(&link(&depot), None).body, file);
}

#[test]
fn a_download_may_have_other_bytes() {
    let (depot, file) = with_tug();
    let other = deb("pilot", "1.0-1", "x");
    assert_eq!(depot.push(ATTIC, PUBLIC, JAMMY, &other).status, 201);

    fault(&depot, &json!({"on": "storage", "effect": "flip-bit", "at": 300, "path": TUG}));
    let flipped = get(&link(&depot), None).body;
    let differ: Vec<usize> = (0..file.len()).filter(|&at| flipped[at] != file[at]).collect();
    assert_eq!((flipped.len(), differ, flipped[300] ^ file[300]), (file.len(), vec![300], 1));

    fault(&depot, &json!({"on": "storage", "effect": "append", "bytes": 40_000}));
    let longer = get(&link(&depot), None).body;
    assert_eq!((longer.len(), &longer[..file.len()]), (file.len() + 40_000, file.as_slice()));

    fault(&depot, &json!({"on": "storage", "effect": "swap", "filename": "pilot_1.0-1_amd64.deb"}));
    assert_eq!(sha256(&get(&link(&depot), None).body), sha256(&other));

    // The same where apt fetches from.
    let pool = format!("{}/{STABLE}/ubuntu/pool/jammy/main/t/tug/{TUG}", depot.url());
    fault(&depot, &json!({"on": "pool", "effect": "flip-bit"}));
    assert_ne!(get(&pool, None).body[0], file[0]);
    assert_eq!(get(&pool, None).body, file);
    assert_eq!(get(&link(&depot), None).body, file);
}

#[test]
fn an_answer_may_not_announce_its_length() {
    let (depot, file) = with_tug();
    fault(&depot, &json!({"on": "storage", "effect": "chunked"}));
    let (head, _) = raw_download(&depot, 1);
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    fault(&depot, &json!({"on": "storage", "effect": "chunked"}));
    assert_eq!(get(&link(&depot), None).body, file);
}

#[test]
fn a_body_may_have_no_end() {
    let (depot, _) = with_tug();
    let authorization = format!("Authorization: {}\r\n", basic(PUBLIC));
    for (on, address, path) in [
        ("list", depot.url().to_owned(), format!("/api/v1/repos/{STABLE}/packages.json")),
        ("index", depot.url().to_owned(), format!("/{STABLE}/ubuntu/dists/jammy/InRelease")),
    ] {
        fault(&depot, &json!({"on": on, "effect": "endless"}));
        let (head, body) = raw(&address, &path, &authorization, 5 << 20);
        assert!(!head.contains("content-length") && body.len() >= 5 << 20, "{on}: {} bytes", body.len());
    }
}

//! Downloads: a redirect to another origin that takes no credential.

use serde_json::{Value, json};

use crate::support::{Addresses as _, Depot, JAMMY, PUBLIC, STAGING, deb, get, send};

fn location(depot: &Depot, url: &str, token: Option<&str>) -> String {
    let answer = get(url, token);
    assert_eq!(answer.status, 302, "{}", answer.text());
    let location = answer.header("location").expect("a redirect leads somewhere").to_owned();
    assert!(location.starts_with(&format!("{}/", depot.storage())), "{location} is not on the storage");
    location
}

#[test]
fn a_public_package_is_a_redirect_away_and_the_storage_takes_no_credential() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    depot.push("harbour/stable", PUBLIC, JAMMY, &file);
    let page = format!("{}/harbour/stable/packages/ubuntu/jammy/tug_1.0-1_amd64.deb", depot.url());
    assert_eq!(send("HEAD", &page, None, &[], b"").status, 200);
    let link = location(&depot, &format!("{page}/download"), None);
    assert_ne!(depot.storage(), depot.url());
    assert!(!link.contains(PUBLIC), "{link}");

    assert_eq!(get(&link, None).body, file);
    let refused = get(&link, Some(PUBLIC));
    assert_eq!(refused.status, 400, "the storage took a request with Authorization");
    assert_eq!(get(&link.replace("t=1", "t=2"), None).status, 403, "a link with another end was taken");
    assert_eq!(get(link.split('?').next().unwrap_or_default(), None).status, 403, "an unsigned link was taken");

    let head = send("HEAD", &link, None, &[], b"");
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some(file.len().to_string().as_str()), 0)
    );
    let part = send("GET", &link, None, &[("range", "bytes=5-14")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &file[5..15]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 5-14/{}", file.len()).as_str()));
    assert_eq!(send("GET", &link, None, &[("range", "bytes=999999-")], b"").status, 416);
}

#[test]
fn a_link_to_the_storage_ends() {
    let depot = Depot::start();
    depot.push("harbour/stable", PUBLIC, JAMMY, &deb("tug", "1.0-1", "one"));
    let download = format!("{}/harbour/stable/packages/ubuntu/jammy/tug_1.0-1_amd64.deb/download.deb", depot.url());
    let fresh = location(&depot, &download, None);
    depot.order("POST", "link-life", &json!({"seconds": 0}));
    let ended = location(&depot, &download, None);
    assert_eq!(get(&ended, None).status, 403);
    assert_eq!(get(&fresh, None).status, 200);
}

#[test]
fn a_private_package_opens_to_its_four_keys_and_to_nobody_else() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    let pushed = depot.push("harbour-ci/pre-release", STAGING, JAMMY, &file).json();
    let link = pushed["download_url"].as_str().expect("it is text");
    let (plain, read_token) = link.split_once("?read_token=").expect("a private package's link has a read token");
    let path = plain.trim_start_matches(depot.url());

    for (way, url, token) in [
        ("the link as given", link.to_owned(), None),
        ("a read token as user", plain.to_owned(), Some(read_token)),
        ("an API token as user", plain.to_owned(), Some(STAGING)),
        ("a read token in the path", format!("{}/priv/{read_token}{path}", depot.url()), None),
    ] {
        let link = location(&depot, &url, token);
        assert!(!link.contains(read_token), "{way}: {link}");
        assert_eq!(get(&link, None).body, file, "{way}");
    }
    assert_eq!(get(plain, None).status, 401);
    assert_eq!(get(plain, Some("no token")).status, 401);
    assert_eq!(get(&format!("{plain}?read_token={}", "0".repeat(48)), None).status, 401);
    let attic = depot.push("harbour/attic", PUBLIC, JAMMY, &file).json();
    let other = attic["download_url"].as_str().and_then(|link| link.split('?').next()).expect("it is text");
    assert_eq!(get(other, Some(read_token)).status, 404, "a read token opened another repository");
    assert_eq!(get(other, Some(STAGING)).status, 404, "a user read another one's private repository");
    let seen = depot.order("GET", "requests", &Value::Null).to_string();
    assert!(!seen.contains(read_token), "the log of requests has a token in it");
}

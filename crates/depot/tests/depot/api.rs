//! The API, as packagecloud's recorded answers have it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Addresses as _, BOOKWORM, BOUNDARY, Depot, JAMMY, PUBLIC, STAGING, basic, deb, deb_of, eventually, form, get,
    options, send, sha256,
};

const STABLE: &str = "harbour/stable";
const PRE_RELEASE: &str = "harbour-ci/pre-release";

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("a package is an object").keys().map(String::as_str).collect()
}

#[test]
fn an_accepted_push_is_described_as_packagecloud_describes_it() {
    let depot = Depot::start();
    let file = deb("tug", "8.15.5-ce.0", "one");
    let answer = depot.push(PRE_RELEASE, STAGING, JAMMY, &file);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("max-per-page"), Some("250"));
    assert!(answer.header("x-request-id").is_some_and(|id| id.len() >= 32));

    let details = answer.json();
    let expected: BTreeSet<&str> = "name distro_version architecture repository size summary filename description \
        dependencies md5sum sha1sum sha256sum sha512sum private uploader_name created_at licenses version release \
        epoch indexed scope repository_url repository_html_url package_url versions_url promote_url destroy_url \
        self_url package_html_url total_downloads_count download_url downloads_detail_url downloads_series_url \
        downloads_count_url"
        .split_whitespace()
        .collect();
    assert_eq!(keys(&details), expected);
    for (field, value) in [
        ("name", json!("tug")),
        ("distro_version", json!("ubuntu/jammy")),
        ("architecture", json!("amd64")),
        ("repository", json!("pre-release")),
        ("size", json!(file.len().to_string())),
        ("summary", json!(null)),
        ("filename", json!("tug_8.15.5-ce.0_amd64.deb")),
        ("sha256sum", json!(sha256(&file))),
        ("private", json!(true)),
        ("uploader_name", json!("harbour-ci")),
        ("version", json!("8.15.5")),
        ("release", json!("ce.0")),
        ("epoch", json!(0)),
        ("indexed", json!(false)),
        ("total_downloads_count", json!(0)),
        ("dependencies", json!([{"context": "depends", "dependencies": ["libc6 (>= 2.31)", "adduser | systemd"]}])),
        (
            "package_url",
            json!("/api/v1/repos/harbour-ci/pre-release/package/deb/ubuntu/jammy/tug/amd64/8.15.5-ce.0.json"),
        ),
        (
            "promote_url",
            json!("/api/v1/repos/harbour-ci/pre-release/ubuntu/jammy/tug_8.15.5-ce.0_amd64.deb/promote.json"),
        ),
        ("destroy_url", json!("/api/v1/repos/harbour-ci/pre-release/ubuntu/jammy/tug_8.15.5-ce.0_amd64.deb")),
        ("package_html_url", json!("/harbour-ci/pre-release/packages/ubuntu/jammy/tug_8.15.5-ce.0_amd64.deb")),
    ] {
        assert_eq!(details[field], value, "{field}");
    }
    for (field, digits) in [("md5sum", 32), ("sha1sum", 40), ("sha512sum", 128)] {
        assert_eq!(details[field].as_str().map(str::len), Some(digits), "{field}");
    }
    let download = details["download_url"].as_str().expect("it is text");
    assert!(
        download.starts_with(&format!("{}/harbour-ci/pre-release/packages/ubuntu/jammy/", depot.url())),
        "{download}"
    );
    let read_token = download.split("?read_token=").nth(1).expect("a private package's link carries a read token");
    assert_eq!(read_token.len(), 48);

    let shown = get(&format!("{}{}", depot.url(), details["package_url"].as_str().expect("it is text")), Some(STAGING));
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json()["sha256sum"], details["sha256sum"]);
    let versions =
        get(&format!("{}{}", depot.url(), details["versions_url"].as_str().expect("it is text")), Some(STAGING));
    assert_eq!(versions.json().as_array().map(Vec::len), Some(1));
}

#[test]
fn a_list_holds_the_short_form_and_leads_from_page_to_page() {
    let depot = Depot::start();
    for number in 1..=31 {
        let file = deb("tug", &format!("1.{number}-1"), "one");
        assert_eq!(depot.push(PRE_RELEASE, STAGING, JAMMY, &file).status, 201);
    }
    let list = depot.api(&format!("repos/{PRE_RELEASE}/packages.json"), STAGING);
    assert_eq!(
        (list.header("total"), list.header("per-page"), list.header("max-per-page")),
        (Some("31"), Some("30"), Some("250"))
    );
    let packages = list.json();
    let expected: BTreeSet<&str> = "name distro_version created_at version release epoch scope architecture private \
        type filename uploader_name indexed sha256sum repository_html_url package_url downloads_detail_url \
        downloads_series_url downloads_count_url package_html_url download_url promote_url destroy_url"
        .split_whitespace()
        .collect();
    assert_eq!(keys(&packages[0]), expected);
    assert_eq!(packages[0]["type"], "deb");

    let link = list.header("link").expect("31 packages are two pages").to_owned();
    assert!(!link.contains(STAGING), "{link}");
    let next = link.split(", ").find(|link| link.ends_with("rel=\"next\"")).expect("there is a next page");
    let next = next.trim_start_matches('<').split('>').next().expect("an address is in angle brackets");
    assert_eq!(get(next, None).status, 401, "a link carries no credential");
    let second = get(next, Some(STAGING));
    let mut names: Vec<String> = Vec::new();
    for page in [packages, second.json()] {
        names.extend(page.as_array().expect("a list").iter().map(|package| package["filename"].to_string()));
    }
    assert_eq!(names.len(), 31);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 31, "a package was listed twice");

    let all = depot.api(&format!("repos/{PRE_RELEASE}/packages.json?per_page=1000"), STAGING);
    assert_eq!((all.header("per-page"), all.header("link")), (Some("250"), None), "one page has no link");
}

#[test]
fn a_search_matches_a_part_of_the_filename_and_a_distro_beats_a_kind() {
    let depot = Depot::start();
    for (name, distro) in [("tug", JAMMY), ("tug", BOOKWORM), ("tug-extras", JAMMY), ("lib+pilot", JAMMY)] {
        assert_eq!(depot.push(STABLE, PUBLIC, distro, &deb(name, "1.0-1", "one")).status, 201);
    }
    let found = |query: &str| -> Vec<String> {
        let list = depot.api(&format!("repos/{STABLE}/search.json?{query}"), PUBLIC).json();
        let list = list.as_array().expect("a list").iter();
        list.map(|package| {
            format!(
                "{} {}",
                package["distro_version"].as_str().unwrap_or("-"),
                package["filename"].as_str().unwrap_or("-")
            )
        })
        .collect()
    };
    assert_eq!(found("q=").len(), 4);
    assert_eq!(
        found("q=tug_1.0-1_amd64.deb"),
        ["ubuntu/jammy tug_1.0-1_amd64.deb", "debian/bookworm tug_1.0-1_amd64.deb"]
    );
    assert_eq!(found("q=tug_1.0-1_amd64.deb&dist=debian/bookworm"), ["debian/bookworm tug_1.0-1_amd64.deb"]);
    assert_eq!(found("q=tug&dist=debian%2Fbookworm&filter=rpms"), ["debian/bookworm tug_1.0-1_amd64.deb"]);
    assert_eq!(found("q=&dist=ubuntu").len(), 3);
    assert_eq!(found("q=&filter=rpms"), [""; 0]);
    assert_eq!(found("q=&filter=debs").len(), 4);
    assert_eq!(found("q=lib%2Bpilot"), ["ubuntu/jammy lib+pilot_1.0-1_amd64.deb"]);
    assert_eq!(found("q=&arch=arm64"), [""; 0]);
}

#[test]
fn a_duplicate_is_told_only_when_the_whole_body_was_read_and_whatever_its_bytes() {
    let depot = Depot::start();
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "1.0-1", "one")).status, 201);
    for contents in ["one", "other bytes"] {
        let again = depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "1.0-1", contents));
        assert_eq!((again.status, again.text().as_str()), (422, r#"{"filename":["has already been taken"]}"#));
    }
    // The same name for another distro version is another package.
    assert_eq!(depot.push(STABLE, PUBLIC, BOOKWORM, &deb("tug", "1.0-1", "other bytes")).status, 201);

    let body = form(JAMMY, &deb("tug", "1.0-1", "one"));
    let (most, rest) = body.split_at(body.len() - 10);
    let host = depot.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("depot listens");
    write!(
        stream,
        "POST /api/v1/repos/{STABLE}/packages.json HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
        basic(PUBLIC),
        body.len()
    )
    .and_then(|()| stream.write_all(most))
    .expect("depot reads");
    let early = crate::support::read_some(&mut stream, Duration::from_millis(300));
    assert_eq!(early, None, "it answered before it had the body");
    stream.write_all(rest).expect("depot reads");
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time limit can be set");
    stream.read_to_string(&mut answer).expect("depot answers and closes");
    assert!(
        answer.starts_with("HTTP/1.1 422") && answer.ends_with(r#"{"filename":["has already been taken"]}"#),
        "{answer}"
    );
}

#[test]
fn a_token_reaches_nothing_that_is_not_its_own() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &file).status, 201);
    assert_eq!(depot.push("harbour/attic", PUBLIC, JAMMY, &file).status, 201);
    let hidden = (404, r#"{"error": "not_found"}"#.to_owned());
    let at = |path: &str| format!("{}/api/v1/repos/{path}", depot.url());

    let push = depot.push(STABLE, STAGING, BOOKWORM, &file);
    assert_eq!((push.status, push.text()), hidden, "the staging token pushed to the public repository");
    for (method, path) in [
        ("DELETE", format!("{STABLE}/ubuntu/jammy/tug_1.0-1_amd64.deb")),
        ("POST", format!("{STABLE}/ubuntu/jammy/tug_1.0-1_amd64.deb/promote.json?destination={PRE_RELEASE}")),
        ("GET", "harbour/attic.json".to_owned()),
        ("GET", "harbour/attic/packages.json".to_owned()),
        ("GET", "harbour/attic/search.json?q=tug".to_owned()),
        ("GET", "harbour/attic/package/deb/ubuntu/jammy/tug/amd64/1.0-1.json".to_owned()),
        ("GET", "harbour/no-such.json".to_owned()),
    ] {
        let answer = send(method, &at(&path), Some(STAGING), &[], b"");
        assert_eq!((answer.status, answer.text()), hidden, "{method} {path}");
    }
    let own: Vec<String> = depot
        .api("repos.json", STAGING)
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|repository| format!("{} {}", repository["fqname"], repository["private"]))
        .collect();
    assert_eq!(own, [format!("\"{PRE_RELEASE}\" true")]);

    for token in [None, Some("not a token"), Some("")] {
        for path in ["distributions.json", "repos.json", "repos/harbour/stable/packages.json", "nonsense"] {
            let answer = get(&format!("{}/api/v1/{path}", depot.url()), token);
            assert_eq!(
                (answer.status, answer.text()),
                (401, r#"{"error":"Unauthenticated"}"#.to_owned()),
                "{path} {token:?}"
            );
        }
    }
    assert_eq!(depot.journal().len(), 2, "only the owner's two pushes were accepted");
}

#[test]
fn a_promoted_package_has_moved() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    let pushed = depot.push(PRE_RELEASE, STAGING, JAMMY, &file).json();
    let url = format!("{}{}", depot.url(), pushed["promote_url"].as_str().expect("it is text"));
    let form_type = [("content-type", "application/x-www-form-urlencoded")];
    let promote = |token| send("POST", &url, Some(token), &form_type, b"destination=harbour%2Fstable");

    assert_eq!(promote(STAGING).status, 404, "the staging token wrote to the public repository");
    assert_eq!(depot.filenames(PRE_RELEASE, STAGING), ["tug_1.0-1_amd64.deb"]);

    let answer = promote(PUBLIC);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let details = answer.json();
    assert_eq!(details["repository"], "stable");
    assert_eq!(details["indexed"], false);
    assert_eq!(details["created_at"], pushed["created_at"], "the time of the upload stays");
    assert_eq!(details["promote_url"], pushed["promote_url"], "as recorded, it still names the source");
    assert_eq!(details["sha256sum"], sha256(&file));
    assert_eq!(depot.filenames(PRE_RELEASE, STAGING), [""; 0]);
    assert_eq!(depot.filenames(STABLE, PUBLIC), ["tug_1.0-1_amd64.deb"]);
    let missing = promote(PUBLIC);
    assert_eq!((missing.status, missing.text().as_str()), (404, r#"{"filename":["not found"]}"#));

    // A destination that has the file refuses, and the source keeps it.
    assert_eq!(depot.push(PRE_RELEASE, STAGING, JAMMY, &file).status, 201);
    let taken = promote(PUBLIC);
    assert_eq!((taken.status, taken.text().as_str()), (422, r#"{"filename":["has already been taken"]}"#));
    assert_eq!(depot.filenames(PRE_RELEASE, STAGING), ["tug_1.0-1_amd64.deb"]);
    let journal: Vec<String> = depot
        .journal()
        .iter()
        .map(|entry| format!("{} {} {}", entry["action"], entry["repo"], entry["destination"]))
        .collect();
    assert_eq!(
        journal,
        [
            r#""push" "harbour-ci/pre-release" null"#,
            r#""promote" "harbour-ci/pre-release" "harbour/stable""#,
            r#""push" "harbour-ci/pre-release" null"#,
        ]
    );
}

#[test]
fn a_destination_is_read_however_a_client_sends_it() {
    let depot = Depot::start();
    let multipart = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"destination\"\r\n\r\n{STABLE}\r\n--{BOUNDARY}--\r\n"
    );
    let multipart_type = format!("multipart/form-data; boundary={BOUNDARY}");
    for (number, (query, content_type, body)) in [
        ("", "application/x-www-form-urlencoded", "destination=harbour%2Fstable"),
        ("", "application/json", r#"{"destination":"harbour/stable"}"#),
        ("", multipart_type.as_str(), multipart.as_str()),
        ("?destination=harbour/stable", "", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let pushed = depot.push(PRE_RELEASE, STAGING, JAMMY, &deb("tug", &format!("1.{number}"), "one")).json();
        let url = format!("{}{}{query}", depot.url(), pushed["promote_url"].as_str().expect("it is text"));
        let answer = send("POST", &url, Some(PUBLIC), &[("content-type", content_type)], body.as_bytes());
        assert_eq!(answer.status, 201, "{content_type}{query}: {}", answer.text());
    }
    let pushed = depot.push(PRE_RELEASE, STAGING, JAMMY, &deb("tug", "2.0", "one")).json();
    let url = format!("{}{}", depot.url(), pushed["promote_url"].as_str().expect("it is text"));
    assert_eq!(send("POST", &url, Some(PUBLIC), &[], b"").status, 422);
}

#[test]
fn a_deleted_package_is_gone_and_its_name_is_free_again() {
    let depot = Depot::start();
    let pushed = depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "1.0-1", "one")).json();
    let url = format!("{}{}", depot.url(), pushed["destroy_url"].as_str().expect("it is text"));
    let deleted = send("DELETE", &url, Some(PUBLIC), &[], b"");
    assert_eq!((deleted.status, deleted.text().as_str()), (200, "{}"));
    assert_eq!(depot.filenames(STABLE, PUBLIC), [""; 0]);
    let again = send("DELETE", &url, Some(PUBLIC), &[], b"");
    assert_eq!((again.status, again.text().as_str()), (404, r#"{"filename":["not found"]}"#));
    assert_eq!(
        get(&format!("{}{}", depot.url(), pushed["package_url"].as_str().expect("it is text")), Some(PUBLIC)).status,
        404
    );

    let other = deb("tug", "1.0-1", "other bytes");
    let answer = depot.push(STABLE, PUBLIC, JAMMY, &other);
    assert_eq!((answer.status, &answer.json()["sha256sum"]), (201, &json!(sha256(&other))));
    let kept: Vec<_> = std::fs::read_dir(depot.folder().join("data/files")).expect("the depot has it").collect();
    let files: usize =
        kept.iter().flatten().map(|folder| std::fs::read_dir(folder.path()).map_or(0, Iterator::count)).sum();
    assert_eq!(files, 1, "the bytes of the deleted package are still there");
}

#[test]
fn a_push_that_cannot_be_used_leaves_nothing_behind() {
    let depot = Depot::start();
    let file = deb("tug", "1.0-1", "one");
    let no_version = deb_of("Package: tug\nArchitecture: amd64\n", b"");
    for (id, file, field) in [
        (JAMMY, &b"not a deb"[..], "package_file"),
        (JAMMY, &file[..200], "package_file"),
        (JAMMY, &no_version, "package_file"),
        ("240", &file, "distro_version_id"),
        ("4711", &file, "distro_version_id"),
        ("", &file, "distro_version_id"),
    ] {
        let answer = depot.push(STABLE, PUBLIC, id, file);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(answer.json()[field].is_array(), "{}", answer.text());
    }
    let url = format!("{}/api/v1/repos/{STABLE}/packages.json", depot.url());
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let body = form(JAMMY, &file);
    let cut = send("POST", &url, Some(PUBLIC), &[("content-type", &content_type)], &body[..body.len() - 30]);
    assert_eq!(cut.status, 400, "a form without an end was taken: {}", cut.text());
    assert_eq!(send("POST", &url, Some(PUBLIC), &[("content-type", "text/plain")], &body).status, 422);

    assert_eq!(depot.filenames(STABLE, PUBLIC), [""; 0]);
    assert_eq!(depot.journal(), [Value::Null; 0]);
    let incoming = std::fs::read_dir(depot.folder().join("data/incoming")).expect("the depot has it");
    assert_eq!(incoming.count(), 0, "a refused upload is still on disk");
}

#[test]
fn an_upload_whose_client_went_away_leaves_nothing_behind() {
    let depot = Depot::start();
    let body = form(JAMMY, &deb("tug", "1.0-1", &"some contents ".repeat(1000)));
    let host = depot.url().trim_start_matches("http://");
    let incoming = depot.folder().join("data/incoming");
    let uploads = || std::fs::read_dir(&incoming).map_or(0, Iterator::count);
    {
        let mut stream = TcpStream::connect(host).expect("depot listens");
        write!(
            stream,
            "POST /api/v1/repos/{STABLE}/packages.json HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            basic(PUBLIC),
            body.len()
        )
        .and_then(|()| stream.write_all(&body[..body.len() - 100]))
        .expect("depot reads");
        eventually("the upload is on disk", || (uploads() == 1).then_some(()));
    }
    eventually("the rest of the upload is removed", || (uploads() == 0).then_some(()));
    assert_eq!(depot.journal(), [Value::Null; 0]);
}

#[test]
fn of_pushes_of_one_name_at_once_exactly_one_is_accepted() {
    let depot = Depot::start();
    let url = format!("{}/api/v1/repos/{STABLE}/packages.json", depot.url());
    let pushers: Vec<_> = (0..6)
        .map(|number| {
            let url = url.clone();
            std::thread::spawn(move || {
                let file = deb("tug", "1.0-1", &format!("bytes of pusher {number}"));
                let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
                let answer = send("POST", &url, Some(PUBLIC), &[("content-type", &content_type)], &form(JAMMY, &file));
                (answer.status, sha256(&file))
            })
        })
        .collect();
    let answers: Vec<(u16, String)> = pushers.into_iter().map(|pusher| pusher.join().expect("it ended")).collect();
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 201);
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    assert!(refused.iter().all(|(status, _)| *status == 422), "{refused:?}");
    let listed = depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC).json();
    assert_eq!(listed[0]["sha256sum"], accepted[0].1);
    assert_eq!(depot.journal().len(), 1);
}

#[test]
fn an_epoch_is_in_the_details_and_in_no_filename() {
    let depot = Depot::start();
    let answer = depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "2:1.0-1", "one")).json();
    assert_eq!(
        (&answer["filename"], &answer["epoch"], &answer["version"]),
        (&json!("tug_1.0-1_amd64.deb"), &json!(2), &json!("1.0"))
    );
    assert_eq!(answer["package_url"], "/api/v1/repos/harbour/stable/package/deb/ubuntu/jammy/tug/amd64/1.0-1.json");
}

#[test]
fn ids_of_distributions_are_those_of_the_installation() {
    let packagecloud = Depot::start();
    let enterprise = Depot::start_with(|options| options.ids = depot::Ids::Enterprise);
    let id = |depot: &Depot, distro: &str, version: &str| -> String {
        let distributions = depot.api("distributions.json", PUBLIC).json();
        let distros = distributions["deb"].as_array().expect("there are debs").clone();
        let found = distros.iter().find(|entry| entry["index_name"] == distro).expect("it is a known distro");
        let found =
            found["versions"].as_array().expect("it has versions").iter().find(|entry| entry["index_name"] == version);
        found.expect("it is a known version")["id"].to_string()
    };
    assert_eq!(id(&packagecloud, "ubuntu", "xenial"), "165");
    assert_eq!(id(&enterprise, "ubuntu", "xenial"), "60");
    let file = deb("tug", "1.0-1", "one");
    assert_eq!(enterprise.push(STABLE, PUBLIC, "165", &file).status, 422);
    assert_eq!(enterprise.push(STABLE, PUBLIC, "60", &file).json()["distro_version"], "ubuntu/xenial");
    let jammy = id(&enterprise, "ubuntu", "jammy");
    assert_eq!(enterprise.push(STABLE, PUBLIC, &jammy, &file).json()["distro_version"], "ubuntu/jammy");
}

#[test]
fn a_new_repository_belongs_to_the_token_that_made_it() {
    let depot = Depot::start();
    let url = format!("{}/api/v1/repos.json", depot.url());
    let body = br#"{"repository":{"name":"edge","private":"1"}}"#;
    let made = send("POST", &url, Some(STAGING), &[("content-type", "application/json")], body);
    assert_eq!((made.status, made.json()), (201, json!({"url": format!("{}//harbour-ci/edge", depot.url())})));
    assert_eq!(send("POST", &url, Some(STAGING), &[], body).status, 422);
    assert_eq!(send("POST", &url, Some(STAGING), &[], br#"{"repository":{"name":"../x"}}"#).status, 422);
    assert_eq!(depot.push("harbour-ci/edge", STAGING, JAMMY, &deb("tug", "1.0-1", "one")).status, 201);
    let shown = depot.api("repos/harbour-ci/edge.json", STAGING).json();
    assert_eq!(
        (&shown["fqname"], shown.get("private")),
        (&json!("harbour-ci/edge"), None),
        "no real answer has `private`"
    );
    assert_eq!(depot.api("repos/harbour-ci/edge.json", PUBLIC).status, 404);
}

#[test]
fn the_control_listener_is_only_for_this_machine() {
    let folder = crate::support::Scratch::new();
    let options = depot::Options { control: Some(([0, 0, 0, 0], 0).into()), ..options(folder.path()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread is there");
    let said = runtime.block_on(depot::start(options)).expect_err("it would take orders from everybody");
    assert!(matches!(said, depot::StartError::ControlNotLoopback(_)), "{said}");
}

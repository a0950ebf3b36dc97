//! Index files as a client with a memory sees them, and the forms that a repository offers.

use serde_json::json;
use slipway_stack::rpm::Rpm;

use crate::support::{Addresses as _, Depot, JAMMY, PUBLIC, deb, eventually, get, has, send};

const STABLE: &str = "harbour/stable";

/// The same file asked for once more, by somebody who has it.
fn again(url: &str, mark: &str) -> (u16, usize) {
    let answer = send("GET", url, None, &[("if-none-match", mark)], b"");
    (answer.status, answer.body.len())
}

#[test]
fn an_index_that_did_not_change_is_not_sent_again() {
    let depot = Depot::start();
    depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "1.0-1", "one"));
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
    let base = format!("{}/{STABLE}/ubuntu/dists/jammy", depot.url());
    let mut files = vec!["InRelease", "Release", "Release.gpg"];
    files.extend(["main/binary-amd64/Packages", "main/binary-amd64/Packages.gz", "main/binary-arm64/Packages"]);
    let urls: Vec<String> = files.iter().map(|file| format!("{base}/{file}")).collect();
    let marks: Vec<String> = urls
        .iter()
        .map(|url| {
            let answer = get(url, None);
            let date = answer.header("last-modified").expect("it has a date");
            assert!(date.ends_with(" GMT") && date.len() == "Mon, 02 Nov 2026 09:14:05 GMT".len(), "{date}");
            answer.header("etag").expect("it has a mark").to_owned()
        })
        .collect();
    for (url, mark) in urls.iter().zip(&marks) {
        assert_eq!(again(url, mark), (304, 0), "{url}");
        assert_eq!(again(url, &format!("\"other\", W/{mark}")), (304, 0), "{url}");
        assert_ne!(again(url, "\"other\"").0, 304, "{url}");
    }
    depot.push(STABLE, PUBLIC, JAMMY, &deb("pilot", "1.0-1", "two"));
    depot.wait_until_indexed(STABLE, PUBLIC, 2);
    for (url, mark) in urls.iter().zip(&marks) {
        // Nothing was pushed for arm64.
        let expected = if url.contains("arm64") { 304 } else { 200 };
        assert_eq!(again(url, mark).0, expected, "{url}");
    }
}

#[test]
fn a_yum_index_that_did_not_change_is_not_sent_again() {
    if !has("rpmbuild") {
        return;
    }
    let rpm = Rpm {
        name: "tug".to_owned(),
        version: "1.0".to_owned(),
        release: "1".to_owned(),
        architecture: "noarch".to_owned(),
        epoch: None,
        contents: "one\n".to_owned(),
    };
    let depot = Depot::start();
    depot.push(STABLE, PUBLIC, "240", &rpm.build().expect("rpmbuild builds it"));
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
    let base = format!("{}/{STABLE}/el/9/aarch64", depot.url());
    let repomd = format!("{base}/repodata/repomd.xml");
    let text = get(&repomd, None).text();
    let lists = text.split('"').filter(|text| text.starts_with("repodata/")).map(|list| format!("{base}/{list}"));
    let urls: Vec<String> = [repomd.clone(), format!("{repomd}.asc")].into_iter().chain(lists).collect();
    assert_eq!(urls.len(), 5, "two files and three lists: {urls:?}");
    for url in urls {
        let mark = get(&url, None).header("etag").expect("it has a mark").to_owned();
        assert_eq!(again(&url, &mark), (304, 0), "{url}");
    }
}

#[test]
fn a_repository_has_the_forms_of_its_list_that_it_is_set_to() {
    let depot = Depot::start();
    depot.push(STABLE, PUBLIC, JAMMY, &deb("tug", "1.0-1", "one"));
    let folder = format!("{}/{STABLE}/ubuntu/dists/jammy", depot.url());
    let there = || -> Vec<&str> {
        let release = get(&format!("{folder}/Release"), None).text();
        let forms = ["Packages", "Packages.gz", "Packages.xz"];
        let forms = forms.into_iter().filter(|form| {
            let served = get(&format!("{folder}/main/binary-amd64/{form}"), None).status == 200;
            let named = release.lines().any(|line| line.ends_with(&format!("main/binary-amd64/{form}")));
            served && named
        });
        forms.collect()
    };
    eventually("by default a plain and a gzip list", || (there() == ["Packages", "Packages.gz"]).then_some(()));
    for forms in [&["Packages.xz"][..], &["Packages", "Packages.gz", "Packages.xz"]] {
        depot.order(
            "POST",
            "seed",
            &json!({"repos": [{"owner": "harbour", "name": "stable", "private": false,
            "indexes": {"apt": forms}}]}),
        );
        eventually("the forms are those of the setting", || (there() == forms).then_some(()));
    }
    let xz = get(&format!("{folder}/main/binary-amd64/Packages.xz"), None).body;
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut lzma_rust2::XzReader::new(xz.as_slice(), false), &mut text);
    read.expect("it is xz");
    assert_eq!(text, get(&format!("{folder}/main/binary-amd64/Packages"), None).text());
    let refused = send(
        "POST",
        &format!("{}/_control/seed", depot.control()),
        None,
        &[],
        br#"{"repos":[{"owner":"harbour","name":"stable","indexes":{"apt":[]}}]}"#,
    );
    assert_eq!(refused.status, 422, "a repository without a list is none");
}

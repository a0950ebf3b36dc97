//! An APT index, as servers give it: from `InRelease` to a package's digest.

use std::io::Write as _;

use slipway_wire::{CallError, Digest, Response, Token};

use crate::fake::{Recorded, base, filename, jammy, now, response, with_header};
use crate::{Index, PackageKind, Reading, read_index};

const DISTS: &str = "https://packages.example.com/harbour/stable/ubuntu/dists/jammy";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes")
}

fn digest(digit: char) -> Digest {
    digit.to_string().repeat(64).parse().expect("64 hex digits")
}

/// A `Packages` file with these packages: `name digit`, a line each.
fn packages(list: &str) -> String {
    let stanza = |line: &str| {
        let (name, digit) = line.split_once(' ').expect("a name and a digit");
        format!("Package: x\nFilename: pool/jammy/main/x/{name}\nSHA256: {}\n\n", digit.repeat(64))
    };
    list.lines().map(stanza).collect()
}

/// A `Release` file that names these files.
fn release(files: &[(&str, &[u8])]) -> String {
    let line = |(path, bytes): &(&str, &[u8])| format!(" {} {} {path}\n", Digest::of(bytes).hex(), bytes.len());
    let lines: Vec<_> = files.iter().map(line).collect();
    format!("Architectures: amd64 arm64\nSHA256:\n{}", lines.concat())
}

/// A suite whose `InRelease` names `files`, and which serves them.
fn suite_of(files: &[(&str, &[u8])]) -> Recorded {
    let signed = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}-----BEGIN PGP SIGNATURE-----\n",
        release(files)
    );
    let http = Recorded::default().with(&format!("{DISTS}/InRelease"), response(200, signed));
    files.iter().fold(http, |http, (path, bytes)| http.with(&format!("{DISTS}/{path}"), response(200, *bytes)))
}

fn ask_with(http: &Recorded, name: &str, credential: Option<&Token>) -> Result<Reading, CallError> {
    let (base, storage) = (base("https://packages.example.com"), [base("https://storage.example.net")]);
    let (repository, distro, name) = ("harbour/stable".parse().expect("a repository"), jammy(), filename(name));
    let architecture = name.deb_architecture().expect("a deb's name has one");
    let (repository, distro, storage) = (&repository, &distro, &storage);
    let index = Index { base: &base, repository, distro, kind: PackageKind::Deb, architecture, credential, storage };
    now(read_index(http, &index, None, &[name.clone()].into()))
}

fn ask(http: &Recorded, name: &str) -> Result<Reading, CallError> {
    ask_with(http, name, None)
}

/// The digests that an index gives the one name that it was read for.
fn digests(reading: Result<Reading, CallError>) -> Vec<Digest> {
    match reading.expect("an index") {
        Reading::Listed { found, .. } => found.into_values().flatten().collect(),
        other => panic!("it was not read: {other:?}"),
    }
}

#[test]
fn a_served_file_is_proven_from_release_to_package() {
    let index = gzip(&packages("tug_1_amd64.deb a\npilot_2_amd64.deb b"));
    let http = suite_of(&[("main/binary-amd64/Packages.gz", &index)]);
    assert_eq!(digests(ask(&http, "pilot_2_amd64.deb")), [digest('b')]);
    assert_eq!(http.asked(), [format!("GET {DISTS}/InRelease"), format!("GET {DISTS}/main/binary-amd64/Packages.gz")]);
    assert_eq!(http.trusted(), [""; 0]);
    assert_eq!(digests(ask(&http, "tug_2_amd64.deb")), []);
    assert_eq!(ask(&http, "tug_1_arm64.deb").expect("no such index"), Reading::Absent);
}

#[test]
fn a_file_for_all_architectures_is_proven_by_the_first_index() {
    let index = gzip(&packages("doc_1_all.deb a"));
    let http = suite_of(&[("main/binary-arm64/Packages.gz", &index)]);
    assert_eq!(digests(ask(&http, "doc_1_all.deb")), [digest('a')]);
}

#[test]
fn a_name_with_two_contents_is_no_proof() {
    let index = gzip(&packages("tug_1_amd64.deb a\ntug_1_amd64.deb b"));
    let http = suite_of(&[("main/binary-amd64/Packages.gz", &index)]);
    assert_eq!(digests(ask(&http, "tug_1_amd64.deb")), [digest('a'), digest('b')]);
}

#[test]
fn plain_files_do_where_the_others_are_absent() {
    let index = packages("tug_1_amd64.deb a");
    let files = [("main/binary-amd64/Packages", index.as_bytes())];
    let http = Recorded::default()
        .with(&format!("{DISTS}/Release"), response(200, release(&files)))
        .with(&format!("{DISTS}/main/binary-amd64/Packages"), response(200, index.clone()));
    assert_eq!(digests(ask(&http, "tug_1_amd64.deb")), [digest('a')]);
    // Named by the Release file, and not there.
    let both = [files[0], ("main/binary-amd64/Packages.gz", b"gone")];
    let http = http.with(&format!("{DISTS}/Release"), response(200, release(&both)));
    assert_eq!(digests(ask(&http, "tug_1_amd64.deb")), [digest('a')]);
}

#[test]
fn a_suite_without_an_index_serves_nothing() {
    assert_eq!(ask(&Recorded::default(), "tug_1_amd64.deb").expect("404"), Reading::Absent);
    assert_eq!(ask(&suite_of(&[]), "tug_1_amd64.deb").expect("an empty one"), Reading::Absent);
}

#[test]
fn an_index_that_is_not_the_releases_is_in_motion() {
    let (old, new) = (gzip(&packages("tug_1_amd64.deb a")), gzip(&packages("tug_1_amd64.deb b\nx.deb c")));
    let path = "main/binary-amd64/Packages.gz";
    for other in [new.as_slice(), &[], b"<html>", &old[..old.len() - 1], &[old.clone(), old.clone()].concat()] {
        let http = suite_of(&[(path, &old)]).with(&format!("{DISTS}/{path}"), response(200, other));
        assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), Reading::InMotion, "{other:?}");
    }
    let http = suite_of(&[(path, &old)]).with(&format!("{DISTS}/{path}"), response(404, ""));
    assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), Reading::InMotion);
}

#[test]
fn an_index_that_the_release_vouches_for_and_nobody_can_read_is_an_error() {
    let whole = gzip(&packages("tug_1_amd64.deb a"));
    for index in [&whole[..whole.len() - 1], b"no gzip", &gzip("Filename: tug_1_amd64.deb\n")] {
        let http = suite_of(&[("main/binary-amd64/Packages.gz", index)]);
        let error = ask(&http, "tug_1_amd64.deb").expect_err("broken").to_string();
        assert!(error.contains("harbour/stable for ubuntu/jammy: in main/binary-amd64/Packages.gz"), "{error}");
    }
}

#[test]
fn a_private_index_is_read_with_a_credential_that_stays_at_home() {
    let index = gzip(&packages("tug_1_amd64.deb a"));
    let path = "main/binary-amd64/Packages.gz";
    let signed = "https://storage.example.net/x?t=s1gned";
    let http = suite_of(&[(path, &index)])
        .with(&format!("{DISTS}/{path}"), with_header(302, "location", signed, ""))
        .with(signed, response(200, index.clone()));
    let answer = ask_with(&http, "tug_1_amd64.deb", Some(&Token::new("t0k3n")));
    assert_eq!(digests(answer), [digest('a')]);
    assert_eq!(http.trusted(), ["packages.example.com", "packages.example.com"]);
    assert_eq!(http.asked().len(), 3);
}

#[test]
fn redirects_lead_to_configured_hosts_only() {
    let to = |location: &str| {
        let moved = with_header(302, "location", location, "");
        ask(&Recorded::default().with(&format!("{DISTS}/InRelease"), moved), "tug_1_amd64.deb")
    };
    for location in ["https://evil.test/x?t=s1gned", "//evil.test/x", "http://packages.example.com/x", "elsewhere", ""]
    {
        let error = to(location).expect_err(location).to_string();
        assert!(error.contains("not among the configured hosts") && !error.contains("s1gned"), "{error}");
    }
    let error = to(&format!("{DISTS}/InRelease")).expect_err("a circle").to_string();
    assert!(error.contains("more than 3 times"), "{error}");
    let error = to("/harbour/stable/ubuntu/dists/jammy/InRelease").expect_err("a circle").to_string();
    assert!(error.contains("more than 3 times"), "{error}");
}

#[test]
fn a_refusal_is_not_an_absence() {
    let refusing = |answer: Response| Recorded::default().with(&format!("{DISTS}/InRelease"), answer);
    for status in [401, 402, 403, 429, 500, 503] {
        let error = ask(&refusing(response(status, "no")), "tug_1_amd64.deb").expect_err("a refusal");
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
    }
    let storage = "https://storage.example.net/x?t=s1gned";
    let http = refusing(with_header(302, "location", storage, "")).with(storage, response(403, storage));
    let error = ask(&http, "tug_1_amd64.deb").expect_err("a refusal").to_string();
    assert!(error.contains("storage.example.net") && !error.contains("s1gned"), "{error}");
}

#[test]
fn a_release_file_has_an_end() {
    let endless = "SHA256:\n".repeat(600_000);
    let http = Recorded::default().with(&format!("{DISTS}/InRelease"), response(200, endless));
    let error = ask(&http, "tug_1_amd64.deb").expect_err("too long").to_string();
    assert!(error.contains("more than 4194304 bytes"), "{error}");
}

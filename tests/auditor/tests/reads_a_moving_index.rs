//! An index that is written while it is read: what has changed meanwhile is read again, and what is wrong stays wrong.

mod server;

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use server::{Contents, serve};
use slipway_auditor::{read_index, sha256};

const DISTS: &str = "/harbour/stable/ubuntu/dists/jammy";
const POOL: &str = "/harbour/stable/ubuntu/pool";

/// What each path answers, from the first read to the last, which stays.
fn answers<const N: usize>(paths: [(String, &[Option<&str>]); N]) -> BTreeMap<String, Vec<Option<String>>> {
    let texts = |answers: &[Option<&str>]| answers.iter().map(|answer| answer.map(str::to_owned)).collect();
    paths.into_iter().map(|(path, answers)| (path, texts(answers))).collect()
}

/// A list of one package with these contents.
fn list(contents: &str) -> String {
    let (sum, size) = (sha256(contents.as_bytes()), contents.len());
    format!("Package: tug\nFilename: pool/{contents}.deb\nSize: {size}\nSHA256: {sum}\n")
}

fn release(list: &str, more: &str) -> String {
    format!("Origin: stable\n{more}SHA256:\n {} {} main/binary-amd64/Packages\n", sha256(list.as_bytes()), list.len())
}

/// The names of the files that anybody gets, and what is wrong if it cannot be told.
fn read<C: Contents>(files: BTreeMap<String, C>) -> Result<Vec<String>, String> {
    let listed = read_index(&serve(files), "harbour/stable", "ubuntu/jammy", "amd64", false, u64::MAX)?;
    assert!(listed.iter().all(|file| file.bytes.as_deref() == Some(file.promised.as_str())), "{listed:?}");
    Ok(listed.into_iter().map(|file| file.filename).collect())
}

fn path(name: &str) -> String {
    format!("{DISTS}/{name}")
}

#[test]
fn a_list_that_was_replaced_after_its_release_was_read_is_read_with_the_new_release() {
    let (old, new) = (list("old"), list("new"));
    let read = read(answers([
        (path("Release"), &[Some(&release(&old, "")), Some(&release(&new, ""))]),
        (path("main/binary-amd64/Packages"), &[Some(&new)]),
        (format!("{POOL}/new.deb"), &[Some("new")]),
    ]));
    assert_eq!(read, Ok(vec!["new.deb".to_owned()]));
}

#[test]
fn a_list_that_its_standing_release_does_not_promise_is_wrong() {
    let read = read(answers([
        (path("Release"), &[Some(&release(&list("old"), ""))]),
        (path("main/binary-amd64/Packages"), &[Some(&list("new"))]),
        (format!("{POOL}/new.deb"), &[Some("new")]),
    ]));
    let wrong = read.expect_err("the list is not the one that was promised");
    assert!(wrong.contains("Packages has not the digest that `Release` promises"), "{wrong}");
}

#[test]
fn a_list_that_is_there_before_its_release_is_read_past_by_the_digest_of_the_one_that_stands() {
    let (old, new) = (list("old"), list("new"));
    let by_digest = format!("main/binary-amd64/by-hash/SHA256/{}", sha256(old.as_bytes()));
    let standing = release(&old, "Acquire-By-Hash: yes\n");
    let files = |under_its_digest: &str| {
        answers([
            (path("Release"), &[Some(&standing)]),
            (path("main/binary-amd64/Packages"), &[Some(&new)]),
            (path(&by_digest), &[Some(under_its_digest)]),
            (format!("{POOL}/old.deb"), &[Some("old")]),
        ])
    };
    assert_eq!(read(files(&old)), Ok(vec!["old.deb".to_owned()]));
    assert!(read(files(&new)).is_err_and(|wrong| wrong.contains("has not the digest")));
}

#[test]
fn a_file_that_is_gone_is_wrong_only_while_the_index_names_it() {
    let (old, new) = (list("old"), list("new"));
    let files = |releases: &[Option<&str>], lists: &[Option<&str>]| {
        answers([
            (path("Release"), releases),
            (path("main/binary-amd64/Packages"), lists),
            (format!("{POOL}/new.deb"), &[Some("new")]),
        ])
    };
    let (before, after) = (release(&old, ""), release(&new, ""));
    let moved = read(files(&[Some(&before), Some(&after)], &[Some(&old), Some(&new)]));
    assert_eq!(moved, Ok(vec!["new.deb".to_owned()]));
    // The last package of an index can take the index with it.
    assert_eq!(read(files(&[Some(&before), None], &[Some(&old)])), Ok(Vec::new()));
    let wrong = read(files(&[Some(&before)], &[Some(&old)])).expect_err("the file is gone, and the index names it");
    assert!(wrong.contains("old.deb, where nothing is"), "{wrong}");
}

#[test]
fn an_index_that_changes_at_every_read_is_given_up() {
    let releases: Vec<String> = (0..12).map(|round| release(&list(&format!("v{round}")), "")).collect();
    let releases: Vec<Option<&str>> = releases.iter().map(|release| Some(release.as_str())).collect();
    let lists: &[Option<&str>] = &[Some("")];
    let wrong = read(answers([(path("Release"), &releases), (path("main/binary-amd64/Packages"), lists)]));
    assert!(wrong.clone().is_err_and(|wrong| wrong.contains("has changed 10 times")), "{wrong:?}");
}

#[test]
fn a_list_of_rpm_packages_that_is_gone_is_wrong_only_while_repomd_names_it() {
    const BASE: &str = "/harbour/stable/el/9/x86_64";
    let packed = |contents: &str| {
        let sum = sha256(contents.as_bytes());
        let text = format!(
            "<package type=\"rpm\"><checksum type=\"sha256\" pkgid=\"YES\">{sum}</checksum><size package=\"{}\"/>\
             <location href=\"{contents}.rpm\"/></package>",
            contents.len()
        );
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).expect("memory takes it");
        gzip.finish().expect("memory takes it")
    };
    let name = |list: &[u8]| format!("repodata/{}-primary.xml.gz", sha256(list));
    let repomd = |list: &[u8]| {
        let (sum, name) = (sha256(list), name(list));
        let data = format!("<checksum type=\"sha256\">{sum}</checksum><location href=\"{name}\"/>");
        Some(format!("<repomd><data type=\"primary\">{data}</data></repomd>").into_bytes())
    };
    let (old, new) = (packed("old"), packed("new"));
    let read = |repomds: Vec<Option<Vec<u8>>>| {
        let files = BTreeMap::from([
            (format!("{BASE}/repodata/repomd.xml"), repomds),
            (format!("{BASE}/{}", name(&new)), vec![Some(new.clone())]),
            (format!("{BASE}/new.rpm"), vec![Some(b"new".to_vec())]),
        ]);
        read_index(&serve(files), "harbour/stable", "el/9", "x86_64", true, u64::MAX)
    };
    let moved = read(vec![repomd(&old), repomd(&new)]).expect("the list that is there is promised by now");
    let names: Vec<_> =
        moved.iter().map(|file| (file.filename.as_str(), file.bytes.as_ref() == Some(&file.promised))).collect();
    assert_eq!(names, [("new.rpm", true)]);
    let wrong = read(vec![repomd(&old)]).expect_err("the list is gone, and `repomd.xml` names it");
    assert!(wrong.contains("`repomd.xml` leads to"), "{wrong}");
}

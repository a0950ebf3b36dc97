//! Both kinds of index, as servers give them.

use std::io::Write as _;

use slipway_wire::Response;

use super::*;
use crate::fake::{Recorded, base, filename, now, response, with_header};

const EL9: &str = "https://packages.example.com/harbour/stable/el/9";
const JAMMY: &str = "https://packages.example.com/harbour/stable/ubuntu/dists/jammy";
const TUG: &str = "tug-3.1.0~rc1^git5-1.el9.x86_64.rpm";

/// A repository as `createrepo_c` 0.17 makes it of two packages that rpmbuild 4.18 built, and what `sha256sum` says of them.
const REPOMD: &str = include_str!("../../fixtures/yum/repomd.xml");
const PRIMARY: &[u8] = include_bytes!("../../fixtures/yum/primary.xml.gz");
const PRIMARY_PATH: &str = "repodata/968646295d45688dbd254e96f3fe7c1b5f5771dc14d206eee918ab1f579a09de-primary.xml.gz";
const TUG_DIGEST: &str = "169a55dfedbcdb71cb410fc36531c99e3284aec42af70a20a9bbadafb9c4e5c5";
const DOC_DIGEST: &str = "41df25f1beaf6761393591d45e7f0e09ad0e9a25b3acd4065cb6609dce3988f0";

fn digest(hex: &str) -> Digest {
    hex.parse().expect("64 hex digits")
}

fn names(names: &[&str]) -> BTreeSet<Filename> {
    names.iter().map(|name| filename(name)).collect()
}

fn read_with(
    http: &Recorded,
    distro: &str,
    architecture: &str,
    known: Option<&Mark>,
    wanted: &[&str],
) -> Result<Reading, CallError> {
    let (base, storage) = (base("https://packages.example.com"), [base("https://storage.example.net")]);
    let (repository, distro) = ("harbour/stable".parse().expect("a repository"), distro.parse().expect("a distro"));
    let wanted = names(wanted);
    let kind = wanted.first().and_then(Filename::kind).expect("a package's name");
    let (repository, distro, storage) = (&repository, &distro, &storage);
    let index = Index { base: &base, repository, distro, kind, architecture, credential: None, storage };
    now(read_index(http, &index, known, &wanted))
}

fn read(http: &Recorded, architecture: &str, wanted: &[&str]) -> Result<Reading, CallError> {
    read_with(http, "el/9", architecture, None, wanted)
}

fn found(reading: Result<Reading, CallError>) -> Vec<(String, String)> {
    match reading.expect("an index") {
        Reading::Listed { found, .. } => {
            let digests = |(name, digests): (Filename, BTreeSet<Digest>)| {
                (name.to_string(), digests.iter().map(Digest::hex).collect::<Vec<_>>().join(" "))
            };
            found.into_iter().map(digests).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The repository of `createrepo_c`, at this architecture's address.
fn createrepo(architecture: &str) -> Recorded {
    Recorded::default()
        .with(&format!("{EL9}/{architecture}/repodata/repomd.xml"), response(200, REPOMD))
        .with(&format!("{EL9}/{architecture}/{PRIMARY_PATH}"), response(200, PRIMARY))
}

#[test]
fn a_yum_repository_is_read_from_repomd_to_packages() {
    let http = createrepo("x86_64");
    let wanted = [TUG, "harbour-doc-3.1.0~rc1^git5-1.el9.noarch.rpm", "absent-1-1.x86_64.rpm"];
    let expected = [(wanted[1].to_owned(), DOC_DIGEST.to_owned()), (TUG.to_owned(), TUG_DIGEST.to_owned())];
    assert_eq!(found(read(&http, "x86_64", &wanted)), expected);
    assert_eq!(
        http.asked(),
        [format!("GET {EL9}/x86_64/repodata/repomd.xml"), format!("GET {EL9}/x86_64/{PRIMARY_PATH}")]
    );
}

#[test]
fn packages_for_no_architecture_are_read_where_a_machine_finds_them() {
    let doc = "harbour-doc-3.1.0~rc1^git5-1.el9.noarch.rpm";
    for architecture in ["x86_64", "aarch64"] {
        let expected = [(doc.to_owned(), DOC_DIGEST.to_owned())];
        assert_eq!(found(read(&createrepo(architecture), "noarch", &[doc])), expected, "{architecture}");
    }
    assert_eq!(read(&createrepo("i386"), "noarch", &[doc]).expect("no such index"), Reading::Absent);
}

#[test]
fn a_machines_architecture_is_not_always_its_folder() {
    for (architecture, folder) in
        [("i386", "i386"), ("i686", "i386"), ("armv7hl", "armhfp"), ("aarch64", "aarch64"), ("s390x", "s390x")]
    {
        assert_eq!(found(read(&createrepo(folder), architecture, &[TUG])).len(), 1, "{architecture}");
    }
    assert_eq!(read(&createrepo("x86_64"), "aarch64", &[TUG]).expect("no such index"), Reading::Absent);
}

/// A `repomd.xml` that has this primary file, and the file.
fn packed(name: &str, bytes: &[u8], open: Option<&[u8]>) -> Recorded {
    let size = |bytes: &[u8]| bytes.len().to_string();
    let open = open.map_or_else(String::new, |text| {
        format!(
            r#"<open-checksum type="sha256">{}</open-checksum><open-size>{}</open-size>"#,
            Digest::of(text).hex(),
            size(text)
        )
    });
    let repomd = format!(
        r#"<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">
        <checksum type="sha256">{}</checksum>{open}<location href="repodata/{name}"/><size>{}</size></data></repomd>"#,
        Digest::of(bytes).hex(),
        size(bytes)
    );
    Recorded::default()
        .with(&format!("{EL9}/x86_64/repodata/repomd.xml"), response(200, repomd))
        .with(&format!("{EL9}/x86_64/repodata/{name}"), response(200, bytes))
}

fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(gzip).expect("a gzip file");
    decoder.finish().expect("a gzip file")
}

#[test]
fn a_list_is_read_in_every_packing() {
    const GZIP: &[u8] = include_bytes!("../../fixtures/packed/many.xml.gz");
    let text = unpacked(GZIP);
    // The digest of package number n is n.
    let wanted = ["buoy-0-1.el9.x86_64.rpm", "buoy-255-1.el9.x86_64.rpm", "buoy-999-1.el9.x86_64.rpm"];
    let expected: Vec<_> =
        wanted.iter().zip([0, 255, 999]).map(|(name, n)| ((*name).to_owned(), format!("{n:064x}"))).collect();
    for (name, bytes) in [
        ("primary.xml", text.as_slice()),
        ("primary.xml.gz", GZIP),
        ("primary.xml.xz", include_bytes!("../../fixtures/packed/many.xml.xz")),
        ("primary.xml.zst", include_bytes!("../../fixtures/packed/many.xml.zst")),
        ("primary.xml.zst", include_bytes!("../../fixtures/packed/stream.xml.zst")),
    ] {
        for open in [Some(text.as_slice()), None] {
            assert_eq!(found(read(&packed(name, bytes, open), "x86_64", &wanted)), expected, "{name}");
        }
    }
}

#[test]
fn a_list_that_is_not_the_heads_is_in_motion() {
    let http = createrepo("x86_64");
    let path = format!("{EL9}/x86_64/{PRIMARY_PATH}");
    for (status, bytes) in [(200, &PRIMARY[..700]), (200, b"<html>"), (200, b""), (404, b"")] {
        let http = createrepo("x86_64").with(&path, response(status, bytes));
        assert_eq!(read(&http, "x86_64", &[TUG]).expect("an answer"), Reading::InMotion, "{status} {}", bytes.len());
    }
    let longer = [PRIMARY, PRIMARY].concat();
    assert_eq!(read(&http.with(&path, response(200, longer)), "x86_64", &[TUG]).expect("long"), Reading::InMotion);
}

#[test]
fn a_list_that_unpacks_to_another_text_than_announced_is_an_error() {
    let text = unpacked(PRIMARY);
    for open in [&text[1..], &text[..text.len() - 1], b"x", &[b'x'; 2289]] {
        let error = read(&packed("primary.xml.gz", PRIMARY, Some(open)), "x86_64", &[TUG]).expect_err("another text");
        let error = error.to_string();
        assert!(error.contains("YUM index of harbour/stable for el/9: in x86_64/repodata/primary.xml.gz"), "{error}");
    }
}

/// The repository of `createrepo_c`, with a head that has an `ETag` and a date.
fn tagged(etag: &str) -> Recorded {
    let head = http::Response::builder()
        .header("etag", etag)
        .header("last-modified", "Tue, 24 Nov 2026 10:00:00 GMT")
        .body(REPOMD.as_bytes().to_vec());
    createrepo("x86_64").with(&format!("{EL9}/x86_64/repodata/repomd.xml"), head.expect("an answer"))
}

fn mark(http: &Recorded, wanted: &[&str]) -> Mark {
    match read(http, "x86_64", wanted).expect("an index") {
        Reading::Listed { mark, .. } => mark,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unchanged_index_costs_one_conditional_request() {
    let mark = mark(&tagged("\"1\""), &[TUG]);
    // As an object's storage keeps it.
    let mark: Mark = serde_json::from_str(&serde_json::to_string(&mark).expect("JSON")).expect("a mark");
    let url = format!("{EL9}/x86_64/repodata/repomd.xml");
    let http = Recorded::default().with(&url, response(304, ""));
    assert_eq!(read_with(&http, "el/9", "x86_64", Some(&mark), &[TUG]).expect("304"), Reading::Unchanged(mark));
    assert_eq!(http.asked(), [format!("GET {url}")]);
    assert_eq!(http.header("if-none-match"), ["\"1\""]);
    assert_eq!(http.header("if-modified-since"), ["Tue, 24 Nov 2026 10:00:00 GMT"]);
}

#[test]
fn a_server_that_knows_no_conditions_has_its_list_read_once() {
    let old = mark(&tagged("\"1\""), &[TUG]);
    let http = tagged("\"2\"");
    match read_with(&http, "el/9", "x86_64", Some(&old), &[TUG]).expect("an index") {
        Reading::Unchanged(new) => assert_eq!(new.etag.as_deref(), Some("\"2\""), "the next question is the newer one"),
        other => panic!("{other:?}"),
    }
    assert_eq!(http.asked(), [format!("GET {EL9}/x86_64/repodata/repomd.xml")]);
}

#[test]
fn a_name_that_was_not_looked_for_is_no_part_of_what_is_unchanged() {
    let doc = "harbour-doc-3.1.0~rc1^git5-1.el9.noarch.rpm";
    let both = mark(&tagged("\"1\""), &[TUG, doc]);
    let one = mark(&tagged("\"1\""), &[TUG]);
    let http = tagged("\"1\"");
    assert_eq!(found(read_with(&http, "el/9", "x86_64", Some(&one), &[TUG, doc])).len(), 2);
    assert_eq!(http.header("if-none-match"), [""; 0]);
    let unchanged = read_with(&http, "el/9", "x86_64", Some(&both), &[doc]).expect("an index");
    assert!(matches!(unchanged, Reading::Unchanged(mark) if mark.wanted == names(&[TUG, doc])));
}

#[test]
fn an_answer_to_a_condition_that_was_not_set_is_an_error() {
    let url = format!("{EL9}/x86_64/repodata/repomd.xml");
    let lying = || Recorded::default().with(&url, response(304, ""));
    let error = read(&lying(), "x86_64", &[TUG]).expect_err("304").to_string();
    assert!(error.contains("304 (Not Modified), and nobody asked"), "{error}");
    // A mark of a head without an `ETag` or a date sets no condition either.
    let bare = mark(&createrepo("x86_64"), &[TUG]);
    assert!(read_with(&lying(), "el/9", "x86_64", Some(&bare), &[TUG]).is_err());
    let http = createrepo("x86_64").with(&format!("{EL9}/x86_64/{PRIMARY_PATH}"), response(304, ""));
    assert!(read(&http, "x86_64", &[TUG]).is_err());
}

/// A suite whose `Release` file has this list of files, which are served too.
fn suite(head: &str, files: &[(&str, &[u8])]) -> Recorded {
    let line = |(path, bytes): &(&str, &[u8])| format!(" {} {} {path}\n", Digest::of(bytes).hex(), bytes.len());
    let lines: String = files.iter().map(line).collect();
    let release = format!("Architectures: amd64\nSHA256:\n{lines}");
    let http = Recorded::default().with(&format!("{JAMMY}/{head}"), with_header(200, "etag", "\"7\"", &release));
    files.iter().fold(http, |http, (path, bytes)| http.with(&format!("{JAMMY}/{path}"), response(200, *bytes)))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes")
}

#[test]
fn an_apt_index_is_asked_for_conditionally_whichever_head_it_has() {
    let name = "tug_1_amd64.deb";
    let list = gzip(format!("Filename: pool/{name}\nSHA256: {}\n", "a".repeat(64)).as_bytes());
    for (head, first) in [("InRelease", vec!["InRelease"]), ("Release", vec!["InRelease", "Release"])] {
        let http = suite(head, &[("main/binary-amd64/Packages.gz", &list)]);
        let Reading::Listed { mark, found } =
            read_with(&http, "ubuntu/jammy", "amd64", None, &[name]).expect("an index")
        else {
            panic!("nothing listed");
        };
        assert_eq!(found, [(filename(name), [digest(&"a".repeat(64))].into())].into());
        let urls: Vec<_> = first.iter().map(|head| format!("GET {JAMMY}/{head}")).collect();
        assert_eq!(http.asked()[..urls.len()], urls);
        let unchanged = Recorded::default().with(&format!("{JAMMY}/{head}"), response(304, ""));
        let reading = read_with(&unchanged, "ubuntu/jammy", "amd64", Some(&mark), &[name]);
        assert_eq!(reading.expect("304"), Reading::Unchanged(mark));
        assert_eq!(unchanged.asked(), [format!("GET {JAMMY}/{head}")]);
    }
}

#[test]
fn the_apt_list_that_unpacks_fastest_is_read_and_the_others_where_it_is_absent() {
    let name = "tug_1_amd64.deb";
    let text = format!("Filename: pool/{name}\nSHA256: {}\n", "a".repeat(64));
    let (gz, folder) = (gzip(text.as_bytes()), "main/binary-amd64");
    let (gz_path, plain_path) = (format!("{folder}/Packages.gz"), format!("{folder}/Packages"));
    let http = suite("InRelease", &[(&plain_path, text.as_bytes()), (&gz_path, &gz)]);
    assert_eq!(found(read_with(&http, "ubuntu/jammy", "amd64", None, &[name])).len(), 1);
    assert_eq!(http.asked()[1], format!("GET {JAMMY}/{gz_path}"));
    let http = http.with(&format!("{JAMMY}/{gz_path}"), response(404, ""));
    assert_eq!(found(read_with(&http, "ubuntu/jammy", "amd64", None, &[name])).len(), 1);
    // The packed list is what the head means, and holds another text than the plain one that the head means.
    let http = suite("InRelease", &[(&plain_path, b"x"), (&gz_path, &gz)]);
    assert!(read_with(&http, "ubuntu/jammy", "amd64", None, &[name]).is_err());
}

#[test]
fn a_bomb_is_refused_at_the_announced_size() {
    let zeros = gzip(&vec![b'\n'; 10_000_000]);
    let small: Response = response(200, zeros.as_slice());
    let text = b"\n";
    let head = format!(
        "Architectures: amd64\nSHA256:\n {} {} main/binary-amd64/Packages.gz\n {} 1 main/binary-amd64/Packages\n",
        Digest::of(&zeros).hex(),
        zeros.len(),
        Digest::of(text).hex(),
    );
    let http = Recorded::default()
        .with(&format!("{JAMMY}/InRelease"), response(200, head))
        .with(&format!("{JAMMY}/main/binary-amd64/Packages.gz"), small);
    let error = read_with(&http, "ubuntu/jammy", "amd64", None, &["tug_1_amd64.deb"]).expect_err("a bomb").to_string();
    assert!(error.contains("unpacks to more than 1 bytes"), "{error}");
}

#[test]
fn an_architecture_cannot_lead_elsewhere() {
    for architecture in ["", "..", "../..", "x86_64/..", "x86 64", "x%2e", "é"] {
        let http = createrepo("x86_64");
        assert!(matches!(read(&http, architecture, &[TUG]), Err(CallError::Unsendable(_))), "{architecture}");
        assert_eq!(http.asked(), [""; 0]);
    }
    // Nor can one that the server names.
    let list = gzip(b"");
    let release = format!(
        "Architectures: x/../../../../../secret\nSHA256:\n {} {} main/binary-x/../../../../../secret/Packages.gz\n",
        Digest::of(&list).hex(),
        list.len()
    );
    let http = Recorded::default().with(&format!("{JAMMY}/InRelease"), response(200, release));
    let reading = read_with(&http, "ubuntu/jammy", "all", None, &["doc_1_all.deb"]);
    assert_eq!(reading.expect("an index"), Reading::Absent);
    assert_eq!(http.asked().len(), 1);
}

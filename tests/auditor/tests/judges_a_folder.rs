//! The program, on a folder of evidence as an operator keeps it, and a server that serves what was published.

mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use server::serve;
use slipway_auditor::sha256;

const FILE: &str = "tug_1.0_amd64.deb";
const JAMMY: &str = "ubuntu/jammy";

/// A repository of APT with one package.
fn repository(contents: &str) -> BTreeMap<String, String> {
    let (digest, size) = (sha256(contents.as_bytes()), contents.len());
    let list = format!("Package: tug\nFilename: pool/{FILE}\nSize: {size}\nSHA256: {digest}\n");
    let release = format!("SHA256:\n {} {} main/binary-amd64/Packages\n", sha256(list.as_bytes()), list.len());
    let base = "/harbour/stable/ubuntu";
    BTreeMap::from([
        (format!("{base}/dists/jammy/Release"), release),
        (format!("{base}/dists/jammy/main/binary-amd64/Packages"), list),
        (format!("{base}/pool/{FILE}"), contents.to_owned()),
    ])
}

/// An audit in which a package with these contents is approved and released, chained as `docs/audit.md` says.
fn audit(contents: &str) -> String {
    let digest = format!("sha256:{}", sha256(contents.as_bytes()));
    let rows = [
        (1_000, "planned", "1.0", json!({"keys": ["tug"]})),
        (2_000, "declared", "1.0/tug", json!({"filename": FILE, "digest": digest, "size": contents.len()})),
        (20_000, "approved", "1.0/tug", json!({"approval": 1, "digest": digest, "distros": [JAMMY]})),
        (40_000, "released", "1.0/tug", json!({"distro": JAMMY, "approval": 1, "digest": digest, "outside": false})),
    ];
    let (mut previous, mut lines) = ("0".repeat(64), String::new());
    for (sequence, (at_ms, action, subject, details)) in (1_i64..).zip(rows) {
        let (number, at, details) = (sequence.to_string(), i64::to_string(&at_ms), details.to_string());
        let fields = ["slipway-audit-v1", &number, &at, "edge", action, subject, &details, &previous];
        let netstrings = fields.map(|text| format!("{}:{text},", text.len()));
        let hash = sha256(netstrings.concat().as_bytes());
        let row = json!({"sequence": sequence, "at_ms": at_ms, "actor": "edge", "action": action, "subject": subject,
            "details": details, "previous": previous, "hash": hash});
        lines += &row.to_string();
        lines.push('\n');
        previous = hash;
    }
    lines
}

fn write(seq: u64, at: &str, user: &str, repository: &str, contents: &str) -> Value {
    json!({"seq": seq, "at": at, "user": user, "action": "push", "repo": repository, "distro": JAMMY, "filename": FILE,
        "sha256": sha256(contents.as_bytes()), "size": contents.len()})
}

/// Runs the program on a folder. Its exit code, and both of its outputs.
fn judges(folder: &Path, server: &str) -> (Option<i32>, String) {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_slipway-auditor"));
    program.args(["--audit", &format!("tug={}", file("tug.ndjson")), "--journal", &file("journal.ndjson")]);
    program.args(["--own", "harbour", "--own", "harbour-ci", "--server", server, "--public", "harbour/stable"]);
    let ended = program.output().expect("it is built for this test");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).expect("it writes text"))
}

#[test]
fn a_right_history_ends_with_0_other_contents_with_5_and_what_cannot_be_read_with_2() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("auditor-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the folder of tests is writable");
    let journal = [
        write(1, "1970-01-01T00:00:03.000Z", "harbour-ci", "harbour-ci/pre-release", "tug"),
        write(2, "1970-01-01T00:00:30.000Z", "harbour", "harbour/stable", "tug"),
    ];
    fs::write(folder.join("tug.ndjson"), audit("tug")).expect("it is writable");
    fs::write(folder.join("journal.ndjson"), journal.map(|line| format!("{line}\n")).concat()).expect("it is writable");

    let right = (Some(0), "4 rows of 1 audits, 2 writes, 1 files and 0 images: 0 findings\n".to_owned());
    assert_eq!(judges(&folder, &serve(repository("tug"))), right);
    let (code, said) = judges(&folder, &serve(repository("tow")));
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains(FILE) && said.contains("1 files and 0 images: "), "{said}");
    // The index promises other bytes than it leads to.
    let mut swapped = repository("tug");
    swapped.insert(format!("/harbour/stable/ubuntu/pool/{FILE}"), "tow".to_owned());
    assert_eq!(judges(&folder, &serve(swapped)).0, Some(5));
    // An audit with a row too few is no audit.
    let whole = audit("tug");
    let (_, cut) = whole.split_once('\n').expect("rows");
    fs::write(folder.join("tug.ndjson"), cut).expect("it is writable");
    assert_eq!(judges(&folder, &serve(repository("tug"))).0, Some(5));
    fs::remove_file(folder.join("tug.ndjson")).expect("it is writable");
    let (code, said) = judges(&folder, &serve(repository("tug")));
    assert_eq!((code, said.contains("cannot read")), (Some(2), true), "{said}");
    let _ = fs::remove_dir_all(&folder);
}

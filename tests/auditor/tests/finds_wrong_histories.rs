//! Histories that must not be, each made of a right one by one change: the auditor names what is wrong, and nothing else.

use serde_json::{Value, json};
use slipway_auditor::{Audit, Entry, Evidence, Image, Listed, judge, sha256};

const FILE: &str = "tug_1.0_amd64.deb";
const STABLE: &str = "harbour/stable";
const JAMMY: &str = "ubuntu/jammy";

fn digest(contents: &str) -> String {
    sha256(contents.as_bytes())
}

/// Rows that are chained as `docs/audit.md` says.
fn export(rows: &[(i64, &str, &str, Value)]) -> String {
    let mut previous = "0".repeat(64);
    let mut lines = String::new();
    for (index, (at_ms, action, subject, details)) in rows.iter().enumerate() {
        let (sequence, details) = (index + 1, details.to_string());
        let netstring = |text: &str| format!("{}:{text},", text.len());
        let fields = [
            "slipway-audit-v1",
            &sequence.to_string(),
            &at_ms.to_string(),
            "edge",
            action,
            subject,
            &details,
            &previous,
        ];
        let hash = sha256(fields.map(netstring).concat().as_bytes());
        let line = json!({ "sequence": sequence, "at_ms": at_ms, "actor": "edge", "action": action, "subject": subject,
                           "details": details, "previous": previous, "hash": hash });
        lines.push_str(&line.to_string());
        lines.push('\n');
        previous = hash;
    }
    lines
}

/// A package is staged, approved, published and released.
struct History {
    rows: Vec<(i64, &'static str, &'static str, Value)>,
    evidence: Evidence,
}

fn entry(seq: u64, at_ms: i64, user: &str, adds: bool, repository: &str, contents: &str) -> Entry {
    Entry {
        seq,
        at_ms,
        user: user.to_owned(),
        adds,
        repository: repository.to_owned(),
        distro: JAMMY.to_owned(),
        filename: FILE.to_owned(),
        sha256: digest(contents),
        size: 3,
    }
}

fn listed(promised: &str, bytes: &str) -> Listed {
    Listed {
        repository: STABLE.to_owned(),
        distro: JAMMY.to_owned(),
        filename: FILE.to_owned(),
        promised: digest(promised),
        bytes: Some(digest(bytes)),
    }
}

fn right() -> History {
    let sha = format!("sha256:{}", digest("tug"));
    let rows = vec![
        (1_000, "planned", "1.0", json!({ "keys": ["tug"] })),
        (2_000, "declared", "1.0/tug", json!({ "filename": FILE, "digest": sha, "size": 3 })),
        (20_000, "approved", "1.0/tug", json!({ "approval": 1, "digest": sha, "distros": [JAMMY] })),
        (40_000, "released", "1.0/tug", json!({ "distro": JAMMY, "approval": 1, "digest": sha, "outside": false })),
    ];
    let evidence = Evidence {
        journal: vec![
            entry(1, 3_000, "harbour-ci", true, "harbour-ci/pre-release", "tug"),
            entry(2, 30_000, "harbour", true, STABLE, "tug"),
        ],
        own_users: ["harbour".to_owned(), "harbour-ci".to_owned()].into(),
        public: [STABLE.to_owned()].into(),
        listed: vec![listed("tug", "tug")],
        ..Evidence::default()
    };
    History { rows, evidence }
}

/// The rules that a history breaks.
fn broken(history: History) -> Vec<&'static str> {
    let History { rows, mut evidence } = history;
    if evidence.audits.is_empty() {
        evidence.audits = vec![Audit::read("tug", &export(&rows))];
    }
    judge(&evidence).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(broken(right()), [""; 0]);
    // Somebody takes a released file away: that is theirs to answer for, and the record shows it as drift.
    let mut history = right();
    history.evidence.journal.push(entry(3, 50_000, "hand", false, STABLE, "tug"));
    history.evidence.listed.clear();
    assert_eq!(broken(history), [""; 0]);
    // Equal bytes that somebody else published are released outside.
    let mut history = right();
    history.evidence.journal[1].user = "hand".to_owned();
    history.rows[3].3["outside"] = true.into();
    assert_eq!(broken(history), [""; 0]);
    // Files of others are their own.
    let mut history = right();
    history
        .evidence
        .journal
        .push(Entry { filename: "other_1_amd64.deb".to_owned(), ..entry(3, 1, "hand", true, STABLE, "other") });
    assert_eq!(broken(history), [""; 0]);
}

/// What is changed of a right history.
type Change = fn(&mut History);

/// What is wrong, how it is made, and the rules that it breaks.
const WRONG: &[(&str, Change, &[&str])] = &[
    (
        "bytes that nobody approved",
        |h| {
            h.evidence.journal[1].sha256 = digest("evil");
            h.evidence.listed = vec![listed("evil", "evil")];
        },
        &["unapproved", "never-published"],
    ),
    (
        "no approval at all",
        |h| {
            h.rows.remove(2);
        },
        &["unapproved"],
    ),
    ("an approval of another distro version", |h| h.rows[2].3["distros"] = json!(["ubuntu/noble"]), &["unapproved"]),
    ("an approval of another package", |h| h.rows[2].1 = "waits", &["unapproved"]),
    ("an approval that came afterwards", |h| h.rows[2].0 = 35_000, &["too-early"]),
    ("the same file twice", |h| h.evidence.journal.push(entry(3, 31_000, "harbour", true, STABLE, "tug")), &["twice"]),
    (
        "a file of somebody else overwritten",
        |h| {
            h.evidence.journal.insert(1, entry(9, 10_000, "hand", true, STABLE, "theirs"));
        },
        &["overwritten"],
    ),
    (
        "other bytes after a deletion by hand",
        |h| {
            h.evidence.journal.push(entry(3, 50_000, "hand", false, STABLE, "tug"));
            h.evidence.journal.push(entry(4, 60_000, "harbour", true, STABLE, "evil"));
            h.evidence.listed = vec![listed("evil", "evil")];
        },
        &["unapproved", "other-bytes"],
    ),
    (
        "served bytes that are not those of the index",
        |h| h.evidence.listed = vec![listed("tug", "gut")],
        &["not-as-promised"],
    ),
    (
        "an index that lists other bytes than were written",
        |h| {
            h.evidence.listed = vec![listed("gut", "gut")];
        },
        &["other-than-written", "not-served"],
    ),
    (
        "a file that no write brought there",
        |h| {
            h.evidence.listed.push(Listed { filename: "ghost_1_amd64.deb".to_owned(), ..listed("x", "x") });
        },
        &["from-nowhere"],
    ),
    (
        "a release that never was",
        |h| {
            h.evidence.journal.pop();
            h.evidence.listed.clear();
        },
        &["never-published"],
    ),
    ("a release that is told before it was", |h| h.rows[3].0 = 20_001, &["never-published"]),
    ("a release that no index serves", |h| h.evidence.listed.clear(), &["not-served"]),
    (
        "a release by somebody else that is called ours",
        |h| "hand".clone_into(&mut h.evidence.journal[1].user),
        &["not-ours"],
    ),
    (
        "a public file that was deleted without a word",
        |h| {
            h.evidence.journal.push(entry(3, 50_000, "harbour", false, STABLE, "tug"));
            h.evidence.listed.clear();
        },
        &["unspoken"],
    ),
    (
        "a staged file that was deleted without a word",
        |h| {
            h.rows.remove(2);
            h.rows.remove(2);
            h.evidence.journal[1] = entry(2, 30_000, "harbour-ci", false, "harbour-ci/pre-release", "tug");
            h.evidence.listed.clear();
        },
        &["unspoken"],
    ),
    (
        "a row that was changed",
        |h| {
            let text = export(&h.rows).replace("\"at_ms\":1000", "\"at_ms\":1001");
            h.evidence.audits = vec![Audit::read("tug", &text)];
        },
        &["chain", "unapproved"],
    ),
    (
        "a row that is missing",
        |h| {
            let text = export(&h.rows).lines().skip(1).collect::<Vec<_>>().join("\n");
            h.evidence.audits = vec![Audit::read("tug", &text)];
        },
        &["chain", "unapproved"],
    ),
];

#[test]
fn each_wrong_history_is_named_by_what_is_wrong_with_it() {
    for (name, change, expected) in WRONG {
        let mut history = right();
        change(&mut history);
        assert_eq!(broken(history), *expected, "{name}");
    }
}

#[test]
fn a_deletion_that_the_audit_tells_of_is_no_finding() {
    let sha = format!("sha256:{}", digest("tug"));
    let mut history = right();
    history.rows.push((50_000, "withdrawn", "1.0/tug", json!({ "distro": JAMMY, "digest": sha, "reason": "r" })));
    history.evidence.journal.push(entry(3, 50_000, "harbour", false, STABLE, "tug"));
    history.evidence.listed.clear();
    assert_eq!(broken(history), [""; 0]);
}

#[test]
fn a_released_tag_leads_to_the_approved_image_and_all_of_it_is_there() {
    let sha = format!("sha256:{}", digest("image"));
    let rows = [
        (1_000, "declared", "1.0/image", json!({ "image": "r.example.com/a", "digest": sha })),
        (2_000, "approved", "1.0/image", json!({ "approval": 1, "digest": sha, "tags": ["1.0"] })),
        (3_000, "released", "1.0/image", json!({ "tag": "1.0", "digest": sha, "outside": false })),
    ];
    let found = |digest_of: &str, lacks: &[&str], more: &[(i64, &str, &str, Value)]| {
        let rows: Vec<_> = rows.iter().cloned().chain(more.iter().cloned()).collect();
        let image = Image {
            repository: "a".to_owned(),
            tag: "1.0".to_owned(),
            digest: digest(digest_of),
            lacks: lacks.iter().map(|lacks| (*lacks).to_owned()).collect(),
        };
        let audits = vec![Audit::read("tug", &export(&rows))];
        judge(&Evidence { audits, images: vec![image], ..Evidence::default() })
            .into_iter()
            .map(|finding| finding.rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(found("image", &[], &[]), [""; 0]);
    assert_eq!(found("other", &[], &[]), ["other-image"]);
    assert_eq!(found("image", &["sha256:0"], &[]), ["not-whole"]);
    let drift = (4_000, "looked-again", "1.0/image", json!({ "tag": "1.0", "problem": "drift" }));
    assert_eq!(found("other", &[], &[drift]), [""; 0], "the record shows that somebody changed it");
}

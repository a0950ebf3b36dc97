//! Histories that must not be, each made of a right one by one change: the auditor names what is wrong, and nothing else.

use serde_json::{Value, json};
use slipway_auditor::{Audit, Entry, Evidence, Image, Listed, Push, Tagged, judge, sha256};

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
fn a_file_that_was_withdrawn_is_not_served_and_not_published_again() {
    let sha = format!("sha256:{}", digest("tug"));
    let withdrawn = |more: &dyn Fn(&mut History)| {
        let mut history = right();
        history.rows.push((50_000, "withdrawn", "1.0/tug", json!({ "distro": JAMMY, "digest": sha, "notes": [] })));
        history.evidence.journal.push(entry(3, 49_000, "harbour", false, STABLE, "tug"));
        history.evidence.listed.clear();
        more(&mut history);
        broken(history)
    };
    assert_eq!(withdrawn(&|_| {}), [""; 0]);
    // An index that still has it is one that no write explains, too.
    assert_eq!(withdrawn(&|h| h.evidence.listed = vec![listed("tug", "tug")]), ["from-nowhere", "still-served"]);
    let again = |h: &mut History, user: &str| {
        h.evidence.journal.push(entry(4, 60_000, user, true, STABLE, "tug"));
        h.evidence.listed = vec![listed("tug", "tug")];
    };
    assert_eq!(withdrawn(&|h| again(h, "harbour")), ["again", "still-served"]);
    assert_eq!(withdrawn(&|h| again(h, "hand")), [""; 0], "that is theirs to answer for");
}

const APP: &str = "acme/app";

/// An image is approved and released under `1.0`, to which `latest` leads then.
fn right_image() -> History {
    let sha = format!("sha256:{}", digest("image"));
    let floating = json!([{ "tag": "latest", "before": null, "after": sha }]);
    let released = json!({ "tag": "1.0", "approval": 1, "digest": sha, "outside": false, "floating": floating });
    let rows = vec![
        (1_000, "declared", "1.0/app", json!({ "image": "r.example.com/a", "digest": sha })),
        (20_000, "approved", "1.0/app", json!({ "approval": 1, "digest": sha, "tags": ["1.0"] })),
        (40_000, "released", "1.0/app", released),
    ];
    let evidence = Evidence {
        public_images: [APP.to_owned()].into(),
        images: vec![image("1.0", "image"), image("latest", "image")],
        tagged: vec![tagged("1.0", "image"), tagged("latest", "image")],
        pushes: vec![
            push(29_000, &sha, true, "Slipway/0.1.0"),
            push(30_000, "1.0", true, "Slipway/0.1.0"),
            push(31_000, "latest", true, "Slipway/0.1.0"),
        ],
        own_programs: ["Slipway".to_owned()].into(),
        ..Evidence::default()
    };
    History { rows, evidence }
}

fn image(tag: &str, contents: &str) -> Image {
    Image {
        repository: APP.to_owned(),
        tag: tag.to_owned(),
        digest: digest(contents),
        parts: vec![digest("part")],
        lacks: Vec::new(),
    }
}

fn tagged(tag: &str, contents: &str) -> Tagged {
    Tagged { repository: APP.to_owned(), tag: tag.to_owned(), digest: digest(contents) }
}

fn push(at_ms: i64, name: &str, adds: bool, program: &str) -> Push {
    Push { at_ms, repository: APP.to_owned(), name: name.to_owned(), is_blob: false, adds, program: program.to_owned() }
}

fn from_staging(contents: &str) -> Push {
    let name = format!("sha256:{}", digest(contents));
    Push { repository: "team/app".to_owned(), ..push(91_000, &name, false, "Slipway/0.1.0") }
}

/// The image was taken back, and `latest` with it.
fn withdraw(h: &mut History) {
    let sha = format!("sha256:{}", digest("image"));
    h.rows.push((50_000, "withdrawn", "1.0/app", json!({ "tag": "1.0", "digest": sha, "notes": [] })));
    h.evidence.pushes.push(push(49_000, &sha, false, "Slipway/0.1.0"));
    h.evidence.images.clear();
    h.evidence.tagged.clear();
}

/// A newer image is released, and `latest` follows.
fn release_newer(h: &mut History) {
    let [sha, older] = ["newer", "image"].map(|name| format!("sha256:{}", digest(name)));
    let floating = json!([{ "tag": "latest", "before": older, "after": sha }]);
    let released = json!({ "tag": "1.1", "approval": 2, "digest": sha, "floating": floating });
    h.rows.push((50_000, "approved", "1.1/app", json!({ "approval": 2, "digest": sha, "tags": ["1.1"] })));
    h.rows.push((60_000, "released", "1.1/app", released));
    h.evidence.images = vec![image("1.0", "image"), image("1.1", "newer"), image("latest", "newer")];
    h.evidence.tagged.extend([tagged("1.1", "newer"), tagged("latest", "newer")]);
    h.evidence.pushes.extend(["1.1", "latest"].map(|tag| push(55_000, tag, true, "Slipway/0.1.0")));
}

/// It is taken back, and `latest` leads to the older one again.
fn withdraw_newer(h: &mut History) {
    let [sha, older] = ["newer", "image"].map(|name| format!("sha256:{}", digest(name)));
    let floating = json!([{ "tag": "latest", "before": sha, "after": older }]);
    let withdrawn = json!({ "tag": "1.1", "digest": sha, "notes": [], "floating": floating });
    h.rows.push((70_000, "withdrawn", "1.1/app", withdrawn));
    h.evidence.pushes.push(push(69_000, "latest", true, "Slipway/0.1.0"));
    h.evidence.pushes.push(push(69_500, &sha, false, "Slipway/0.1.0"));
    h.evidence.images = vec![image("1.0", "image"), image("latest", "image")];
    h.evidence.tagged = vec![tagged("1.0", "image"), tagged("latest", "image")];
}

/// Somebody publishes a newer image by hand, after one of their own. It counts as released, and is taken back with its part.
fn withdraw_from_outside(h: &mut History) {
    let [sha, part, theirs] = ["newer", "newer part", "theirs"].map(|name| format!("sha256:{}", digest(name)));
    let sent = [theirs.as_str(), "theirs", part.as_str(), "1.1"];
    h.evidence.pushes.extend(sent.map(|name| push(50_000, name, true, "skopeo/1.9.3")));
    h.rows.push((51_000, "adopted", "1.1/app", json!({ "tag": "1.1", "digest": sha, "outside": true })));
    h.rows.push((60_000, "withdrawn", "1.1/app", json!({ "tag": "1.1", "digest": sha, "floating": [] })));
    h.evidence.pushes.extend([&sha, &part].map(|name| push(59_000, name, false, "Slipway/0.1.0")));
    h.evidence.images.push(image("theirs", "theirs"));
    h.evidence.tagged.push(tagged("theirs", "theirs"));
}

#[test]
fn nothing_is_found_where_nothing_is_wrong_with_images() {
    assert_eq!(broken(right_image()), [""; 0]);
    let nothing: &[(&str, Change)] = &[
        ("it was taken back", withdraw),
        ("it is deleted from staging with a part, and the audit says so", |h| {
            let sha = format!("sha256:{}", digest("image"));
            h.rows.push((90_000, "deleted", "1.0/app", json!({ "tag": "1.0", "digest": sha })));
            h.evidence.pushes.extend([from_staging("image"), from_staging("part")]);
        }),
        ("it was taken back with its parts, and with a floating tag", |h| {
            withdraw(h);
            let part = format!("sha256:{}", digest("part"));
            h.evidence.pushes.insert(0, push(28_000, &part, true, "Slipway/0.1.0"));
            h.evidence.pushes.extend([part.as_str(), "latest"].map(|name| push(49_500, name, false, "Slipway/0.1.0")));
        }),
        ("one that was released outside is taken back with the parts that somebody else sent", withdraw_from_outside),
        ("a newer one is released, and a floating tag follows", release_newer),
        ("a floating tag follows, and rows are older than the word for it", |h| {
            release_newer(h);
            for row in h.rows.iter_mut().filter(|row| row.1 == "released") {
                row.3.as_object_mut().expect("details").remove("floating");
            }
        }),
        ("a newer one is taken back, and a floating tag leads back", |h| {
            release_newer(h);
            withdraw_newer(h);
        }),
        ("a floating tag was set for one that is on its way", |h| {
            release_newer(h);
            h.rows.pop();
            h.evidence.images = vec![image("1.0", "image"), image("latest", "image")];
        }),
        ("somebody else moves a floating tag", |h| {
            h.evidence.pushes.push(push(55_000, "latest", true, "skopeo/1.9.3"));
            h.evidence.images[1] = image("latest", "other");
            h.evidence.tagged.push(tagged("latest", "other"));
        }),
        ("an attestation stands beside it", |h| {
            let beside = format!("sha256-{}", digest("part"));
            h.evidence.pushes.push(push(45_000, &beside, true, "Slipway/0.1.0"));
            h.evidence.images.push(image(&beside, "attestation"));
            h.evidence.tagged.push(tagged(&beside, "attestation"));
        }),
        ("somebody else takes a part of it away", |h| {
            let layer = format!("sha256:{}", digest("layer"));
            h.evidence.pushes.push(Push { is_blob: true, ..push(45_000, &layer, false, "curl/8.0") });
            h.evidence.images[0].lacks.push(layer);
        }),
        ("somebody else has tags of their own", |h| {
            h.evidence.pushes.push(push(5_000, "theirs", true, "skopeo/1.9.3"));
            h.evidence.images.push(image("theirs", "other"));
            h.evidence.tagged.push(tagged("theirs", "other"));
        }),
        ("somebody else sets a released tag to another image", |h| {
            h.evidence.pushes.push(push(45_000, "1.0", true, "skopeo/1.9.3"));
            h.evidence.images[0] = image("1.0", "other");
            h.evidence.tagged.push(tagged("1.0", "other"));
        }),
        ("somebody else takes a released tag away", |h| {
            h.evidence.pushes.push(push(45_000, "1.0", false, "skopeo/1.9.3"));
            h.evidence.images.remove(0);
            h.evidence.tagged.remove(0);
        }),
        ("somebody else publishes what was taken back", |h| {
            withdraw(h);
            h.evidence.pushes.push(push(60_000, "1.0", true, "skopeo/1.9.3"));
            h.evidence.images.push(image("1.0", "image"));
            h.evidence.tagged.push(tagged("1.0", "image"));
        }),
        ("the record shows that somebody changed it, and no log does", |h| {
            h.rows.push((45_000, "looked-again", "1.0/app", json!({ "tag": "1.0", "problem": "drift" })));
            h.evidence.pushes.clear();
            h.evidence.images[0] = image("1.0", "other");
        }),
    ];
    for (name, change) in nothing {
        let mut history = right_image();
        change(&mut history);
        assert_eq!(broken(history), [""; 0], "{name}");
    }
}

/// What is wrong, how it is made, and the rules that it breaks.
const WRONG_IMAGES: &[(&str, Change, &[&str])] = &[
    (
        "a tag that leads to what nobody approved",
        |h| {
            h.evidence.images[0] = image("1.0", "evil");
            h.evidence.tagged[0] = tagged("1.0", "evil");
        },
        &["unapproved", "other-image"],
    ),
    (
        "no approval at all",
        |h| {
            h.rows.remove(1);
        },
        &["unapproved", "unapproved"],
    ),
    ("an approval for another tag", |h| h.rows[1].3["tags"] = json!(["1.1"]), &["unapproved"]),
    ("an approval that came afterwards", |h| h.rows[1].0 = 35_000, &["too-early", "too-early"]),
    (
        "a final tag that has led to another approved image before",
        |h| {
            let sha = format!("sha256:{}", digest("first"));
            h.rows.insert(1, (10_000, "approved", "1.0/app", json!({ "approval": 0, "digest": sha, "tags": ["1.0"] })));
            h.evidence.tagged.push(tagged("1.0", "first"));
        },
        &["changed"],
    ),
    (
        "a final tag that is set twice",
        |h| h.evidence.pushes.push(push(33_000, "1.0", true, "Slipway/0.1.0")),
        &["twice"],
    ),
    (
        "a tag of somebody else that is overwritten",
        |h| {
            h.evidence.pushes.insert(0, push(5_000, "1.0", true, "skopeo/1.9.3"));
            h.evidence.tagged.push(tagged("1.0", "theirs"));
        },
        &["overwritten"],
    ),
    (
        "a floating tag that has led to what nobody approved",
        |h| h.evidence.tagged.push(tagged("latest", "evil")),
        &["unapproved", "unspoken"],
    ),
    (
        "a floating tag that follows without a word",
        |h| {
            release_newer(h);
            h.rows[4].3["floating"] = json!([]);
        },
        &["unspoken"],
    ),
    (
        "a floating tag that is set once more than is said, though that is said twice",
        |h| {
            release_newer(h);
            let waits = json!({ "tag": "1.1", "approval": 2, "floating": h.rows[4].3["floating"] });
            h.rows.insert(4, (56_000, "waits", "1.1/app", waits));
            h.evidence.pushes.push(push(57_000, "latest", true, "Slipway/0.1.0"));
        },
        &["unspoken"],
    ),
    (
        "a floating tag that is set back without a word",
        |h| {
            release_newer(h);
            withdraw_newer(h);
            h.rows[5].3["floating"] = json!([]);
        },
        &["unspoken"],
    ),
    (
        "a floating tag that leads to another image than its row says",
        |h| {
            release_newer(h);
            h.rows[4].3["floating"][0]["after"] = json!(format!("sha256:{}", digest("image")));
        },
        &["unspoken"],
    ),
    (
        "a floating tag that leads to what is not released",
        |h| {
            let sha = format!("sha256:{}", digest("newer"));
            h.rows.push((50_000, "approved", "1.1/app", json!({ "approval": 2, "digest": sha, "tags": ["1.1"] })));
            h.evidence.images[1] = image("latest", "newer");
            h.evidence.tagged.push(tagged("latest", "newer"));
            h.evidence.pushes.push(push(55_000, "latest", true, "Slipway/0.1.0"));
        },
        &["unreleased"],
    ),
    (
        "something beside an image that nobody approved",
        |h| h.evidence.pushes.push(push(45_000, &format!("sha256-{}", digest("evil")), true, "Slipway/0.1.0")),
        &["unapproved"],
    ),
    (
        "an image of which a part is missing",
        |h| h.evidence.images[0].lacks = vec!["sha256:0".to_owned()],
        &["not-whole"],
    ),
    (
        "an image of somebody else that was deleted with one that was released outside",
        |h| {
            withdraw_from_outside(h);
            h.evidence.pushes.push(push(59_500, &format!("sha256:{}", digest("theirs")), false, "Slipway/0.1.0"));
        },
        &["unspoken"],
    ),
    (
        "the parts of an image that was called released by Slipway, and came from somebody else",
        |h| {
            withdraw_from_outside(h);
            h.rows[3].3["outside"] = json!(false);
        },
        &["unspoken"],
    ),
    (
        "an image of somebody else that was deleted with one that was withdrawn",
        |h| {
            withdraw(h);
            h.evidence.pushes.push(push(49_500, &format!("sha256:{}", digest("theirs")), false, "Slipway/0.1.0"));
        },
        &["unspoken"],
    ),
    (
        "a staged image that was deleted without a word",
        |h| h.evidence.pushes.push(from_staging("image")),
        &["unspoken"],
    ),
    (
        "a part that Slipway has deleted",
        |h| {
            let layer = format!("sha256:{}", digest("layer"));
            h.evidence.pushes.push(Push { is_blob: true, ..push(45_000, &layer, false, "Slipway/0.1.0") });
            h.evidence.images[0].lacks.push(layer);
        },
        &["blob", "not-whole"],
    ),
    (
        "a release that no registry has",
        |h| {
            h.evidence.images.remove(0);
        },
        &["not-served"],
    ),
    (
        "an image that was deleted without a word",
        |h| {
            withdraw(h);
            h.rows.pop();
        },
        &["unspoken", "not-served"],
    ),
    (
        "what was withdrawn under its tag",
        |h| {
            withdraw(h);
            h.evidence.images.push(image("1.0", "image"));
        },
        &["still-served"],
    ),
    (
        "what was withdrawn under a floating tag",
        |h| {
            withdraw(h);
            h.evidence.images.push(image("latest", "image"));
        },
        &["still-served"],
    ),
    (
        "what was withdrawn, published again",
        |h| {
            withdraw(h);
            h.evidence.pushes.push(push(60_000, "1.0", true, "Slipway/0.1.0"));
        },
        &["again"],
    ),
];

#[test]
fn each_wrong_history_of_images_is_named_by_what_is_wrong_with_it() {
    for (name, change, expected) in WRONG_IMAGES {
        let mut history = right_image();
        change(&mut history);
        assert_eq!(broken(history), *expected, "{name}");
    }
}

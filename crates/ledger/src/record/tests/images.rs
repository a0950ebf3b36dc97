//! Images in the record: declared by their repository, found by their digest, ordered by their tags.

use std::time::Duration;

use super::*;

const IMAGE: &str = "registry.example.com/team/app";

/// An image for one tag, released to `acme/app` or elsewhere.
fn planned_image(key: &str, tags: &[&str], public: &str) -> Planned {
    let target = |tag: &&str| OrderTarget { distro: format!(":{tag}"), public: site(public), how: How::Copy };
    Planned {
        key: key.parse().expect("a key"),
        expect: api::Expectation {
            distros: Vec::new(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            kind: Kind::Image,
            architecture: None,
            release_job: format!("release: [{key}]"),
            environment: format!("release/{key}"),
            release_all_job: None,
            release_all_environment: None,
            skip: None,
        },
        staging: site("team/app"),
        targets: tags.iter().map(target).collect(),
    }
}

fn image(bytes: &[u8]) -> api::StagedFile {
    api::StagedFile { filename: String::new(), image: Some(IMAGE.to_owned()), ..file(bytes) }
}

fn app() -> Key {
    "app".parse().expect("a key")
}

fn expects(record: &Record<Database>, version: &Version, pipeline: u64, planned: &[Planned]) {
    let session = session(pipeline, "aa");
    record.expect(version, &session, &policy(), Maturity::Final, planned, NOW).expect("a plan");
    for Planned { key, .. } in planned {
        record.declare(version, key, &image(key.as_str().as_bytes()), false, &session, NOW).expect("a declaration");
    }
}

#[test]
fn two_images_of_one_staging_repository_go_under_one_tag_of_two_public_ones() {
    let record = record();
    let two = [planned_image("ce", &["1.2.0"], "acme/ce"), planned_image("ee", &["1.2.0"], "acme/ee")];
    expects(&record, &version(), 7, &two);
    for key in ["ce", "ee"] {
        let staged = record.staged(&version(), &key.parse().expect("a key")).expect("a row").expect("the package");
        assert_eq!((staged.digest, staged.filename.as_str()), (Digest::of(key.as_bytes()), IMAGE), "{key}");
    }
}

#[test]
fn a_file_is_not_declared_for_an_image_nor_an_image_for_a_package() {
    let record = record();
    expects(&record, &version(), 7, &[planned_image("app", &["1.2.0"], "acme/app")]);
    plan(&record);
    let app = "app".parse().expect("a key");
    for (key, staged) in [(&app, file(b"deb")), (&key(), image(b"image"))] {
        let declared = record.declare(&version(), key, &staged, true, &session(7, "aa"), NOW);
        assert!(matches!(declared, Err(LedgerError::OtherFile(_))), "{key}: {declared:?}");
    }
}

#[test]
fn of_an_image_the_highest_tag_that_is_released_is_what_a_lower_version_waits_for() {
    let record = record();
    let older: Version = "1.1.0".parse().expect("a version");
    expects(&record, &version(), 7, &[planned_image("app", &["1.2.0", "1.2.1-rc1", "stable"], "acme/app")]);
    expects(&record, &older, 8, &[planned_image("app", &["1.1.0"], "acme/app")]);
    let key: Key = "app".parse().expect("a key");
    let facts = || record.gate_facts(&older, &key, None).expect("facts").expect("the package");
    assert_eq!(facts().own.map(|own| own.to_string()).as_deref(), Some("1.1.0"));
    assert!(facts().released.is_empty(), "nothing of it is public");
    for (tag, public) in [("stable", &[][..]), ("1.2.0", &["1.2.0"]), ("1.2.1-rc1", &["1.2.1-rc1"])] {
        record.set(&version(), &key, &Report::of(format!(":{tag}"), TargetState::Released), NOW).expect("set");
        let released: Vec<String> = facts().released.iter().map(ToString::to_string).collect();
        assert_eq!(released, public, "{tag}");
    }
}

#[test]
fn the_audit_calls_an_image_an_image_and_a_tag_a_tag() {
    let record = record();
    let key: Key = "app".parse().expect("a key");
    expects(&record, &version(), 7, &[planned_image("app", &["1.2.0"], "acme/app")]);
    record.declare(&version(), &key, &image(b"again"), true, &session(7, "aa"), NOW).expect("a replacement");
    let staged = Digest::of(b"again");
    record.seen_in_staging(&version(), &key, ":1.2.0", &staged, &Sight::Declared, NOW).expect("a look");
    let candidate = record.candidate(&version(), &key).expect("a row").expect("the package");
    let approval = slipway_core::approval::Approval {
        job_id: 81,
        digest: staged,
        by: "mira".to_owned(),
        by_id: 7,
        via: slipway_core::approval::Via::Job,
        distros: vec![":1.2.0".to_owned()],
    };
    assert!(record.approve(&candidate, &approval, &policy(), 1001, NOW).expect("written down"));
    let report = Report::of(":1.2.0", TargetState::Releasing);
    record.settle(&version(), &key, 1, &report, &staged, NOW).expect("a report");

    let details = |action: &str| {
        let rows = entries(record.sql(), 1, 100).expect("rows");
        let row = rows.iter().find(|row| row.event.action == action).expect("a row");
        serde_json::from_str::<serde_json::Value>(&row.event.details).expect("JSON")
    };
    assert_eq!(details("declared")["image"], IMAGE);
    assert_eq!(details("replaced")["image"], IMAGE);
    assert_eq!(details("replaced")["replaces"]["image"], IMAGE);
    assert_eq!(details("approved")["tags"], serde_json::json!(["1.2.0"]));
    for action in ["staged", "releasing"] {
        assert_eq!(details(action)["tag"], "1.2.0", "{action}");
    }
    for action in ["declared", "replaced", "staged", "approved", "releasing"] {
        let details = details(action).to_string();
        assert!(!details.contains("distro") && !details.contains("filename"), "{action}: {details}");
    }
}

#[test]
fn a_released_tag_that_somebody_takes_or_sets_again_is_named_by_its_tag() {
    let record = record();
    let key: Key = "app".parse().expect("a key");
    expects(&record, &version(), 7, &[planned_image("app", &["1.2.0"], "acme/app")]);
    let released = Digest::of(b"app");
    record.seen_in_staging(&version(), &key, ":1.2.0", &released, &Sight::Declared, NOW).expect("a look");
    record.set(&version(), &key, &Report::of(":1.2.0", TargetState::Released), NOW).expect("set");
    let look = |seen: Seen| {
        let of = watched(&record, NOW).pop().expect("a released target is watched");
        record.looked(&of, &seen, NOW).expect("a look");
        let rows = record.sql().query("SELECT problem FROM targets", &[]).expect("a row");
        let problem = rows[0].text_or_null(0).expect("text")?;
        Some(serde_json::from_str::<api::Problem>(problem).expect("a problem").what)
    };
    let other = Digest::of(b"other");
    assert_eq!(
        look(Seen::Digest(other)),
        Some(format!("acme/app has another image as `1.2.0`: {other}, released {released}."))
    );
    look(Seen::Nothing);
    assert_eq!(look(Seen::Nothing).as_deref(), Some("acme/app no longer has `1.2.0`, which was released there."));
}

#[test]
fn an_image_that_is_still_to_be_released_or_that_somebody_wants_must_be_there_and_no_other() {
    type Change = fn(&Record<Database>);
    fn set(record: &Record<Database>, tag: &str, state: TargetState) {
        record.set(&version(), &app(), &Report::of(tag, state), NOW).expect("set");
    }
    fn released(record: &Record<Database>) {
        for tag in [":1.2.0", ":1.2"] {
            set(record, tag, TargetState::Released);
        }
    }
    let day = Duration::from_hours(24);
    // Whether it must be there now, and four days later.
    let cases: &[(&str, Change, [bool; 2])] = &[
        ("staged", |_| {}, [true, true]),
        (
            "released, but for one that failed",
            |record| {
                released(record);
                set(record, ":1.2", TargetState::Failed);
            },
            [true, true],
        ),
        (
            "released, but for one in conflict",
            |record| {
                released(record);
                set(record, ":1.2", TargetState::Conflict);
            },
            [true, true],
        ),
        (
            "missing",
            |record| {
                for tag in [":1.2.0", ":1.2"] {
                    set(record, tag, TargetState::Missing);
                }
            },
            [true, false],
        ),
        (
            "released, but for one that is missing",
            |record| {
                released(record);
                set(record, ":1.2", TargetState::Missing);
            },
            [true, false],
        ),
        (
            "missing, and given up",
            |record| {
                for tag in [":1.2.0", ":1.2"] {
                    set(record, tag, TargetState::Missing);
                }
                record.close(&version(), "user:mira", "given up", NOW).expect("a closing");
            },
            [false, false],
        ),
        ("released", released, [false, false]),
        (
            "skipped and withdrawn",
            |record| {
                set(record, ":1.2.0", TargetState::Skipped);
                set(record, ":1.2", TargetState::Withdrawn);
            },
            [false, false],
        ),
        (
            "expired",
            |record| {
                for tag in [":1.2.0", ":1.2"] {
                    set(record, tag, TargetState::Expired);
                }
            },
            [false, false],
        ),
        (
            "released and on hold",
            |record| {
                released(record);
                record.hold(&version(), None, "user:nell", "wait", None, NOW).expect("a hold");
            },
            [true, true],
        ),
        (
            "released and on hold for a day",
            |record| {
                released(record);
                let until = NOW + Duration::from_hours(24);
                record.hold(&version(), Some(&[app()]), "user:nell", "wait", Some(until), NOW).expect("a hold");
            },
            [true, false],
        ),
        (
            "released and extended",
            |record| {
                released(record);
                let until = NOW + Duration::from_hours(24);
                record.extend(&version(), None, until, "user:nell", "wait", NOW).expect("an extension");
            },
            [true, false],
        ),
        (
            "released and deployed",
            |record| {
                released(record);
                assert!(record.deployed(&version(), None, "production", "job:9", None, NOW).expect("told"));
            },
            [true, true],
        ),
        (
            "released and deployed before another",
            |record| {
                released(record);
                let newer: Version = "1.3.0".parse().expect("a version");
                let plan = [planned_image("app", &["1.3.0"], "acme/app")];
                record.expect(&newer, &session(8, "bb"), &policy(), Maturity::Final, &plan, NOW).expect("a plan");
                record.declare(&newer, &app(), &image(b"newer"), false, &session(8, "bb"), NOW).expect("a declaration");
                let digest = Digest::of(b"newer");
                record.seen_in_staging(&newer, &app(), ":1.3.0", &digest, &Sight::Declared, NOW).expect("a look");
                let later = NOW + Duration::from_hours(1);
                for (version, at) in [(&version(), NOW), (&newer, later)] {
                    assert!(record.deployed(version, None, "production", "job:9", Some(at), at).expect("told"));
                }
            },
            [false, false],
        ),
    ];
    for (name, change, expected) in cases {
        let record = record();
        expects(&record, &version(), 7, &[planned_image("app", &["1.2.0", "1.2"], "acme/app")]);
        let images_in = |now| record.images_in(&site("team/app"), now).expect("rows");
        let digest = Digest::of(b"app");
        assert!(images_in(NOW).perhaps.contains(&digest), "nobody has seen it");
        for tag in [":1.2.0", ":1.2"] {
            record.seen_in_staging(&version(), &app(), tag, &digest, &Sight::Declared, NOW).expect("a look");
        }
        change(&record);
        for (now, expected) in [NOW, NOW + 4 * day].into_iter().zip(expected) {
            let kept = images_in(now);
            let is_in = (kept.there.contains(&digest), kept.perhaps.contains(&digest));
            assert_eq!(is_in, (*expected, !expected), "{name}, {now:?}");
        }
    }
}

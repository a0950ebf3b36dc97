//! Images in the record: declared by their repository, found by their digest, ordered by their tags.

use std::time::Duration;

use slipway_core::sweep::{Known, Listed, Stranger, Swept};

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

/// An image that was staged for two tags, in these states by now.
fn in_states(states: [TargetState; 2]) -> Record<Database> {
    let record = record();
    expects(&record, &version(), 7, &[planned_image("app", &["1.2.0", "1.2"], "acme/app")]);
    assert_eq!(must_be_there(&record, NOW), Some(false), "nobody has seen it");
    for (tag, state) in [":1.2.0", ":1.2"].into_iter().zip(states) {
        record.seen_in_staging(&version(), &app(), tag, &Digest::of(b"app"), &Sight::Declared, NOW).expect("a look");
        record.set(&version(), &app(), &Report::of(tag, state), NOW).expect("set");
    }
    record
}

/// Whether that image must be there. `None` if nothing is kept of it, or it is said in two ways.
fn must_be_there(record: &Record<Database>, now: Timestamp) -> Option<bool> {
    let kept = record.images_in(&site("team/app"), now).expect("rows");
    let [there, perhaps] = [kept.there, kept.perhaps].map(|digests| digests.contains(&Digest::of(b"app")));
    (there != perhaps).then_some(there)
}

fn days(days: u64) -> Timestamp {
    NOW + Duration::from_hours(24 * days)
}

#[test]
fn an_image_of_which_something_is_still_to_be_released_must_be_there_and_one_that_is_missing_for_three_days() {
    use TargetState::{Conflict, Expired, Failed, Missing, Released, Skipped, Staged, Withdrawn};
    for states in [[Staged, Staged], [Released, Failed], [Conflict, Released], [Missing, Staged]] {
        let record = in_states(states);
        assert_eq!([NOW, days(4)].map(|now| must_be_there(&record, now)), [Some(true); 2], "{states:?}");
    }
    for states in [[Missing, Missing], [Released, Missing]] {
        let record = in_states(states);
        let seen = [NOW, days(2), days(4)].map(|now| must_be_there(&record, now));
        assert_eq!(seen, [Some(true), Some(true), Some(false)], "{states:?}");
        record.close(&version(), "user:mira", "given up", NOW).expect("a closing");
        assert_eq!(must_be_there(&record, NOW), Some(false), "{states:?}");
    }
    for states in [[Released, Released], [Skipped, Withdrawn], [Expired, Expired], [Missing, Expired]] {
        let record = in_states(states);
        let is_missing = states[0] == Missing;
        assert_eq!(must_be_there(&record, NOW), Some(is_missing), "{states:?}");
        assert_eq!(must_be_there(&record, days(4)), Some(false), "{states:?}");
    }
}

#[test]
fn a_released_image_must_be_there_while_it_is_held_or_kept_or_runs() {
    let released = || in_states([TargetState::Released; 2]);
    let seen = |record: &Record<Database>| [NOW, days(2)].map(|now| must_be_there(record, now));
    let record = released();
    record.hold(&version(), None, "user:nell", "wait", None, NOW).expect("a hold");
    assert_eq!(seen(&record), [Some(true); 2]);

    let record = released();
    record.hold(&version(), Some(&[app()]), "user:nell", "wait", Some(days(1)), NOW).expect("a hold");
    assert_eq!(seen(&record), [Some(true), Some(false)]);

    let record = released();
    record.extend(&version(), None, days(1), "user:nell", "wait", NOW).expect("an extension");
    assert_eq!(seen(&record), [Some(true), Some(false)]);

    let record = released();
    assert!(record.deployed(&version(), None, "production", "job:9", Some(NOW), NOW).expect("told"));
    assert_eq!(seen(&record), [Some(true); 2]);
    let newer: Version = "1.3.0".parse().expect("a version");
    let plan = [planned_image("app", &["1.3.0"], "acme/app")];
    record.expect(&newer, &session(8, "bb"), &policy(), Maturity::Final, &plan, NOW).expect("a plan");
    record.declare(&newer, &app(), &image(b"newer"), false, &session(8, "bb"), NOW).expect("a declaration");
    record.seen_in_staging(&newer, &app(), ":1.3.0", &Digest::of(b"newer"), &Sight::Declared, NOW).expect("a look");
    assert!(record.deployed(&newer, None, "production", "job:9", Some(days(1)), days(1)).expect("told"));
    assert_eq!(seen(&record), [Some(false); 2]);
}

/// A page of the public repository of images, on which one tag leads to these bytes.
fn tagged(tag: &str, bytes: &[u8]) -> Swept {
    let listed = Listed { under: format!(":{tag}"), filename: String::new(), digest: Some(Digest::of(bytes)) };
    Swept { site: site("acme/app"), listed: vec![listed] }
}

#[test]
fn a_page_of_a_public_repository_is_a_look_at_the_tags_that_are_released_there() {
    let record = record();
    expects(&record, &version(), 7, &[planned_image("app", &["1.2.0"], "acme/app")]);
    let digest = Digest::of(b"app");
    record.seen_in_staging(&version(), &app(), ":1.2.0", &digest, &Sight::Declared, NOW).expect("a look");
    let looks = |bytes: &[u8]| {
        let (known, changed) = record.swept(&tagged("1.2.0", bytes), |_| false, NOW).expect("a look");
        let problem: Option<String> = {
            let rows = record.sql().query("SELECT problem FROM targets", &[]).expect("rows");
            rows[0].text_or_null(0).expect("a column").map(str::to_owned)
        };
        (known, changed.len(), problem)
    };
    // Of what is only staged a public tag is no look.
    let differs = Known::Differs { version: version(), expected: digest };
    assert_eq!(looks(b"theirs"), (vec![differs.clone()], 0, None));
    record.set(&version(), &app(), &Report::of(":1.2.0", TargetState::Released), NOW).expect("set");
    assert_eq!(looks(b"app"), (vec![Known::Ours], 0, None));

    let (known, changed, problem) = looks(b"theirs");
    assert_eq!((known, changed), (vec![differs], 1));
    let problem = problem.expect("it is said of the target");
    for part in ["drift", "as `1.2.0`", &Digest::of(b"theirs").to_string(), &Digest::of(b"app").to_string()] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
    assert_eq!(looks(b"app"), (vec![Known::Ours], 1, None), "once it leads back, nothing is wrong");
}

#[test]
fn a_tag_that_is_a_stranger_is_named_with_where_it_leads() {
    let record = record();
    let stranger = |tag: &str, known| Stranger { listed: tagged(tag, b"theirs").listed.remove(0), known };
    let (theirs, ours) = (Digest::of(b"theirs"), Digest::of(b"app"));
    let differs = Known::Differs { version: version(), expected: ours };
    for (number, (found, sentence)) in [
        (
            vec![stranger("9.9.9", Known::Unknown)],
            format!("acme/app has the tag `9.9.9`, which Slipway has not released: {theirs}."),
        ),
        (
            vec![stranger("1.2.0", differs), stranger("9.9.9", Known::Unknown)],
            format!(
                "acme/app has the tag `1.2.0` with other bytes than 1.2.0 has: {theirs}, not {ours}. \
                 And 1 more did not come through Slipway."
            ),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        record.found_strangers(&site("acme/app"), &found, NOW).expect("it is told");
        let rows = record.sql().query("SELECT problem FROM occurrences ORDER BY id", &[]).expect("rows");
        let problem: api::Problem = serde_json::from_str(rows[number].text(0).expect("a problem")).expect("JSON");
        assert_eq!(problem.what, sentence);
    }
}

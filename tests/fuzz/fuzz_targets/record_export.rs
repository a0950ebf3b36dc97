//! An export of a record, with lines changed, left out and doubled as somebody may who hands it in: it is refused, or it makes a
//! record that is stopped, can be read, and exports the same again.
//!
//! The export is made here, so that it always has the schema of the day; the input says what is changed of it.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use slipway_core::api;
use slipway_core::cargo::Kind;
use slipway_core::config::Config;
use slipway_core::expectation::Planned;
use slipway_core::promotion::OrderTarget;
use slipway_core::query::{ACTIVITY_ROWS_MAX, ActivityQuery};
use slipway_core::release::Maturity;
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{End, ExportHead, GLANCES_MAX, Record, Sent};
use slipway_wire::Digest;

const NOW: Timestamp = Timestamp(1_795_392_000_000);

const CONFIG_TEXT: &str = r#"
    [edge]
    url = "https://slipway.example.com"
    [gitlab]
    url = "https://gitlab.example.com"
    token = "GITLAB_TOKEN"
    [places.depot]
    kind = "packagecloud"
    url = "https://depot.example.com"
    token = "TOKEN"
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "WEBHOOK_TOKEN_TUG"
    [[routes]]
    staging = { place = "depot", repository = "harbour-ci/pre-release" }
    public = { place = "depot", repository = "harbour/stable" }
"#;

/// Tables of what the old record was about to do. An import ends that, so their rows change or go.
const GOES_ON: [&str; 13] = [
    "attachments",
    "attestations",
    "deliveries",
    "dispatches",
    "hints",
    "occurrences",
    "releases",
    "removals",
    "retention",
    "retention_run",
    "statuses",
    "targets",
    "withdrawals",
];

thread_local! {
    static EMPTY: Database = Record::open(Database::in_memory()).expect("a fresh record").sql().copy();
    static CONFIG: Config = Config::parse(CONFIG_TEXT).expect("a good file");
    static EXPORT: (Value, Vec<String>) = export(&used());
}

fn empty() -> Record<Database> {
    Record::open(EMPTY.with(Database::copy)).expect("a fresh record")
}

fn export(record: &Record<Database>) -> (Value, Vec<String>) {
    let (head, pieces) = record.export("operator", NOW).expect("an export");
    let text = pieces.concat();
    let audit = record.export_audit(1, head.audit_rows).expect("rows");
    let (_, rows) = text.split_once('\n').expect("the first line is the head");
    let lines = rows.lines().chain(audit.lines()).map(str::to_owned).collect();
    (serde_json::to_value(&head).expect("it is JSON"), lines)
}

/// A record with a package that was declared, is held, and waits for its file to be seen.
fn used() -> Record<Database> {
    let record = empty();
    record.know_project(1001).expect("a row");
    let (version, key) = ("1.2.0".parse().expect("a version"), "jammy-amd64".parse().expect("a key"));
    let session = JobSession {
        project_id: 1001,
        project_path: "harbour/tug".to_owned(),
        pipeline_id: 7,
        job_id: 81,
        user: "mira".to_owned(),
        user_id: 7,
        user_level: None,
        environment: None,
        environment_protected: false,
        ref_name: "v1.2.0".to_owned(),
        sha: "aa".to_owned(),
        token_id: "t".to_owned(),
        ends_at: NOW,
    };
    let site = |repository: &str| Site { place: "depot".to_owned(), repository: repository.to_owned() };
    let planned = Planned {
        key: "jammy-amd64".parse().expect("a key"),
        expect: api::Expectation {
            distros: vec!["ubuntu/jammy".to_owned()],
            tags: Vec::new(),
            kind: Kind::Deb,
            architecture: None,
            release_job: "release: [jammy-amd64]".to_owned(),
            environment: "release/jammy-amd64".to_owned(),
            release_all_job: None,
            release_all_environment: None,
            skip: None,
        },
        staging: site("harbour-ci/pre-release"),
        targets: vec![OrderTarget {
            distro: "ubuntu/jammy".to_owned(),
            public: site("harbour/stable"),
            how: How::Copy,
        }],
    };
    record.expect(&version, &session, &Digest::of(b"policy"), Maturity::Final, &[planned], NOW).expect("a plan");
    let file = api::StagedFile {
        filename: "tug_1.2.0_amd64.deb".to_owned(),
        image: None,
        digest: Digest::of(b"deb"),
        size: 3,
    };
    record.declare(&version, &key, &file, false, &session, NOW).expect("a declaration");
    record.hold(&version, None, "user:nell", "a \"quoted\" reason", None, NOW).expect("a hold");
    record
}

/// Changes a value of some JSON, wherever it is.
fn change(value: &mut Value, input: &mut Unstructured<'_>) -> Result<()> {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let which = input.choose_index(fields.len())?;
            if let Some((_, field)) = fields.iter_mut().nth(which) {
                change(field, input)?;
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let which = input.choose_index(items.len())?;
            change(&mut items[which], input)?;
        }
        other => {
            *other = match input.int_in_range(0..=5)? {
                0 => Value::Null,
                1 => input.arbitrary::<i64>()?.into(),
                2 => input.arbitrary::<u64>()?.into(),
                3 => input.arbitrary::<bool>()?.into(),
                4 => json!({}),
                _ => input.arbitrary::<String>()?.into(),
            };
        }
    }
    Ok(())
}

/// The first line and the others, with what the input changes of them.
fn changed(input: &mut Unstructured<'_>) -> Result<(Value, Vec<String>)> {
    let (mut head, mut lines) = EXPORT.with(Clone::clone);
    for _ in 0..input.int_in_range(0..=4)? {
        let which = input.choose_index(lines.len().max(1))?;
        match input.int_in_range(0..=5)? {
            0 => change(&mut head, input)?,
            1 if !lines.is_empty() => drop(lines.remove(which)),
            2 if !lines.is_empty() => lines.insert(which, lines[which].clone()),
            3 => lines.insert(which, input.arbitrary()?),
            _ => {
                if let Some(Ok(mut line)) = lines.get(which).map(|line| serde_json::from_str::<Value>(line)) {
                    change(&mut line, input)?;
                    lines[which] = line.to_string();
                }
            }
        }
    }
    Ok((head, lines))
}

/// Reads whatever people are shown. It may be refused; it may not end the program.
fn read(record: &Record<Database>) {
    CONFIG.with(|config| {
        let project = config.project("tug").expect("the project");
        for version in record.versions().unwrap_or_default() {
            let shown = record.release(config, project, &version, &Sent::default(), NOW);
            let _ = shown.map(|shown| serde_json::to_string(&shown));
            let _ = record.against(project, &version, None, NOW);
        }
        let _ = record.glance(config, project, GLANCES_MAX, NOW);
        let _ = record.activity(project, &ActivityQuery::default(), ACTIVITY_ROWS_MAX, NOW);
        let _ = record.deployments(config, project, NOW);
        let _ = record.public_releases(project.name.as_str());
        let _ = record.standing(project, 0);
    });
    let _ = record.declared_targets(1, 100);
    let _ = record.watched(NOW, NOW);
    let _ = record.stopped();
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok((head, lines)) = changed(&mut input) else { return };
    let Ok(head) = serde_json::from_value::<ExportHead>(head) else { return };
    let record = empty();
    let end = End { lines: u64::try_from(lines.len()).expect("few") + 1, sha256: Digest::of(b"") };
    let made = record
        .import(&head, "an import", "operator", NOW)
        .and_then(|()| record.import_rows("an import", &lines))
        .and_then(|()| record.import_ends("an import", &end, "operator", NOW));
    let imported = record.imported().expect("what was begun can be read");
    assert_eq!(made.is_ok(), imported.is_some_and(|imported| imported.is_whole), "{made:?}");
    if record.versions().is_ok_and(|versions| !versions.is_empty()) {
        assert!(record.stopped().expect("a switch").is_some(), "nobody has compared it");
    }
    read(&record);
    if made.is_ok() {
        let (_, again) = export(&record);
        let rows = |lines: &[String]| -> BTreeSet<String> {
            let rows = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
            rows.map(|row| row.to_string()).collect()
        };
        let (given, again) = (rows(&lines), rows(&again));
        let goes_on = |row: &String| GOES_ON.iter().any(|table| row.contains(&format!("\"table\":\"{table}\"")));
        let lost: Vec<_> = given.difference(&again).filter(|row| !goes_on(row)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
});

//! Stories of a record.

use slipway_core::api;
use slipway_core::approval::{Refusal, by_job, by_webhook};
use slipway_core::cargo::Kind;
use slipway_core::config::Config;
use slipway_core::expectation::Planned;
use slipway_core::inventory::Seen;
use slipway_core::problem::{Code, Visible};
use slipway_core::promotion::OrderTarget;
use slipway_core::release::{Key, Maturity, TargetState, Version};
use slipway_core::report::{Report, skipped};
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::store::Floated;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::{Declared, LedgerError, Origin, Record, Sight};
use crate::audit::{Event, append, entries, verify};
use crate::migrate::migrate;
use crate::rusqlite::Database;
use crate::sql::Sql;

mod attestations;
mod copies;
mod gates;
mod hints;
mod images;
mod measured;
mod notices;
mod pages;
mod public;
mod retention;
mod stop;
mod turns;
mod withdrawals;

const JAMMY: &str = "ubuntu/jammy";
const NOW: Timestamp = Timestamp(1_795_392_000_000);

fn record() -> Record<Database> {
    Record::open(Database::in_memory()).expect("a fresh record")
}

fn version() -> Version {
    "1.2.0".parse().expect("a version")
}

fn key() -> Key {
    "jammy-amd64".parse().expect("a key")
}

fn session(pipeline_id: u64, sha: &str) -> JobSession {
    JobSession {
        project_id: 1001,
        project_path: "harbour/tug".to_owned(),
        pipeline_id,
        job_id: 81,
        user: "mira".to_owned(),
        user_id: 7,
        user_level: None,
        environment: Some("release/jammy-amd64".to_owned()),
        environment_protected: false,
        ref_name: "v1.2.0".to_owned(),
        sha: sha.to_owned(),
        token_id: "t".to_owned(),
        ends_at: NOW,
    }
}

fn site(repository: &str) -> Site {
    Site { place: "depot".to_owned(), repository: repository.to_owned() }
}

fn planned(skip: Option<&str>) -> Vec<Planned> {
    vec![Planned {
        key: key(),
        expect: api::Expectation {
            distros: vec![JAMMY.to_owned()],
            tags: Vec::new(),
            kind: Kind::Deb,
            architecture: None,
            release_job: "release: [jammy-amd64]".to_owned(),
            environment: "release/jammy-amd64".to_owned(),
            release_all_job: None,
            release_all_environment: None,
            skip: skip.map(str::to_owned),
        },
        staging: site("harbour-ci/pre-release"),
        targets: vec![OrderTarget { distro: JAMMY.to_owned(), public: site("harbour/stable"), how: How::Copy }],
    }]
}

fn file(bytes: &[u8]) -> api::StagedFile {
    api::StagedFile {
        filename: "tug_1.2.0_amd64.deb".to_owned(),
        image: None,
        digest: Digest::of(bytes),
        size: u64::try_from(bytes.len()).expect("a small file"),
    }
}

fn policy() -> Digest {
    Digest::of(b"policy")
}

fn plan(record: &Record<Database>) {
    record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &planned(None), NOW).expect("a plan");
}

/// Planned, declared and seen in staging.
fn stage(record: &Record<Database>) {
    plan(record);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    sees(record, b"deb", &Sight::Declared);
}

/// A look at staging for these bytes has shown this.
fn sees(record: &Record<Database>, looked_for: &[u8], sight: &Sight) {
    record.seen_in_staging(&version(), &key(), JAMMY, &Digest::of(looked_for), sight, NOW).expect("a look");
}

fn state(record: &Record<Database>) -> TargetState {
    record.states(&version(), &key()).expect("states").first().expect("one target").1
}

fn ask(record: &Record<Database>) -> Result<bool, Refusal> {
    ask_by(record, 81)
}

fn ask_by(record: &Record<Database>, job_id: u64) -> Result<bool, Refusal> {
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
    let approval = by_job(&candidate, &JobSession { job_id, ..session(7, "aa") }, &job(job_id))?;
    Ok(record.approve(&candidate, &approval, &policy(), 1001, NOW).expect("an approval"))
}

fn job(id: u64) -> slipway_gitlab::Job {
    let job = serde_json::json!({
        "id": id, "name": "release: [jammy-amd64]", "status": "running", "user": { "id": 7, "username": "mira" },
        "pipeline": { "id": 7, "ref": "v1.2.0", "sha": "aa" },
    });
    serde_json::from_value(job).expect("a job")
}

fn report(record: &Record<Database>, approval: u64, state: TargetState) {
    let report = Report::of(JAMMY, state);
    record.settle(&version(), &key(), approval, &report, &Digest::of(b"deb"), NOW).expect("a report");
}

#[test]
fn the_same_plan_again_changes_nothing() {
    let record = record();
    plan(&record);
    let before = record.sequence(&version()).expect("a number");
    plan(&record);
    assert_eq!(record.sequence(&version()).expect("a number"), before);
}

#[test]
fn a_key_with_a_declared_file_is_taken_over_only_by_its_own_commit_and_unchanged() {
    let record = record();
    plan(&record);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    let other = record.expect(&version(), &session(8, "bb"), &policy(), Maturity::Final, &planned(None), NOW);
    assert!(matches!(other, Err(LedgerError::OtherPipeline { declared: 7, other: 8, .. })), "{other:?}");
    let mut renamed = planned(None);
    if let Some(package) = renamed.first_mut() {
        package.expect.release_job = "unit-tests".to_owned();
    }
    let other = record.expect(&version(), &session(9, "aa"), &policy(), Maturity::Final, &renamed, NOW);
    assert!(matches!(other, Err(LedgerError::OtherPipeline { .. })), "another job would release it: {other:?}");
    record
        .expect(&version(), &session(9, "aa"), &policy(), Maturity::Final, &planned(None), NOW)
        .expect("a pipeline run again");
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
    assert_eq!((candidate.pipeline_id, candidate.digest), (9, Some(Digest::of(b"deb"))));
}

#[test]
fn a_pipeline_of_another_branch_at_the_same_commit_takes_no_declared_file_over() {
    let record = record();
    plan(&record);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    // Whoever may push there may play its jobs, and need not be one of those who may make the tag.
    let elsewhere = JobSession { ref_name: "integration".to_owned(), ..session(9, "aa") };
    let taken = record.expect(&version(), &elsewhere, &policy(), Maturity::Final, &planned(None), NOW);
    assert!(matches!(taken, Err(LedgerError::OtherPipeline { declared: 7, other: 9, .. })), "{taken:?}");
    assert_eq!(record.candidate(&version(), &key()).expect("a row").expect("the package").pipeline_id, 7);
}

#[test]
fn a_key_for_which_nothing_was_built_is_free_for_a_later_pipeline() {
    let record = record();
    plan(&record);
    record
        .expect(&version(), &session(8, "bb"), &policy(), Maturity::Final, &planned(None), NOW)
        .expect("the real tag");
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
    assert_eq!(candidate.pipeline_id, 8);
}

#[test]
fn nothing_falls_out_of_a_pipelines_own_plan() {
    let record = record();
    plan(&record);
    let skipping =
        record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &planned(Some("later")), NOW);
    assert!(matches!(skipping, Err(LedgerError::OtherExpectation { .. })), "{skipping:?}");
}

#[test]
fn only_the_job_that_planned_adds_to_the_plan_of_its_pipeline() {
    let record = record();
    plan(&record);
    let mut added = planned(None);
    added[0].key = "added".parse().expect("a key");
    added[0].expect.release_job = "unit tests".to_owned();
    added[0].expect.environment = "release/added".to_owned();
    let expect =
        |by: &JobSession, plan: &[Planned]| record.expect(&version(), by, &policy(), Maturity::Final, plan, NOW);
    let planner = session(7, "aa");
    let other = JobSession { job_id: 99, ..planner.clone() };
    let refused = expect(&other, &added);
    assert!(matches!(refused, Err(LedgerError::OtherPlanner { planner: 81, .. })), "{refused:?}");
    assert!(record.candidate(&version(), &added[0].key).expect("a row").is_none());
    // The job that is run again says the same, under another number.
    expect(&other, &planned(None)).expect("the same again");
    // Another pipeline has a plan, and a planner, of its own.
    expect(&JobSession { job_id: 100, ..session(8, "bb") }, &added).expect("another pipeline");
    expect(&planner, &planned(None)).expect("the same again");
}

#[test]
fn a_refused_job_is_written_down_once() {
    let record = record();
    plan(&record);
    for _ in 0..3 {
        record.refuse(&version(), &key(), 81, "webhook job:81", "not staged", NOW).expect("written down");
    }
    assert!(record.was_refused(&version(), &key(), 81).expect("known"));
    assert!(!record.was_refused(&version(), &key(), 82).expect("not known"));
    let refused =
        entries(record.sql(), 1, 100).expect("rows").iter().filter(|row| row.event.action == "refused").count();
    assert_eq!(refused, 1);
}

#[test]
fn a_declared_digest_is_final() {
    let record = record();
    stage(&record);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("the same again");
    let other = record.declare(&version(), &key(), &file(b"rebuilt"), false, &session(7, "aa"), NOW);
    assert!(matches!(other, Err(LedgerError::OtherDigest { .. })), "{other:?}");
    let declared = record.staged(&version(), &key()).expect("a row").expect("the file").digest;
    assert_eq!(declared, Digest::of(b"deb"));
}

#[test]
fn a_declared_digest_survives_every_later_plan() {
    let record = record();
    plan(&record);
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    let mut other = planned(None);
    if let Some(package) = other.first_mut() {
        package.targets =
            vec![OrderTarget { distro: "ubuntu/noble".to_owned(), public: site("harbour/stable"), how: How::Copy }];
    }
    for pipeline in [7, 8] {
        assert!(
            record.expect(&version(), &session(pipeline, "aa"), &policy(), Maturity::Final, &other, NOW).is_err(),
            "{pipeline}"
        );
    }
    record
        .expect(&version(), &session(8, "aa"), &policy(), Maturity::Final, &planned(None), NOW)
        .expect("the pipeline run again");
    let declared = record.staged(&version(), &key()).expect("a row").expect("still declared").digest;
    assert_eq!(declared, Digest::of(b"deb"));
}

#[test]
fn pipelines_whose_commit_is_unknown_are_not_of_the_same_commit() {
    let record = record();
    record.expect(&version(), &session(7, ""), &policy(), Maturity::Final, &planned(None), NOW).expect("a plan");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, ""), NOW).expect("a declaration");
    let refused = record.expect(&version(), &session(8, ""), &policy(), Maturity::Final, &planned(None), NOW);
    assert!(matches!(refused, Err(LedgerError::OtherPipeline { .. })), "{refused:?}");
}

#[test]
fn two_keys_of_a_pipeline_do_not_share_a_job() {
    let record = record();
    plan(&record);
    let mut other = planned(None);
    if let Some(package) = other.first_mut() {
        package.key = "another".parse().expect("a key");
    }
    let refused = record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &other, NOW);
    assert!(matches!(refused, Err(LedgerError::SharedJob { .. })), "{refused:?}");
}

#[test]
fn only_the_pipeline_that_declared_a_key_declares_its_file() {
    let record = record();
    plan(&record);
    let other = record.declare(&version(), &key(), &file(b"deb"), false, &session(8, "aa"), NOW);
    assert!(matches!(other, Err(LedgerError::OtherPipeline { declared: 7, other: 8, .. })), "{other:?}");
    assert_eq!(record.staged(&version(), &key()).expect("a row"), None, "nothing was changed");
}

#[test]
fn what_nobody_planned_cannot_be_declared() {
    let record = record();
    let refused = record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW);
    assert!(matches!(refused, Err(LedgerError::NotPlanned { .. })), "{refused:?}");
}

#[test]
fn a_package_that_is_left_out_is_neither_declared_nor_released() {
    let record = record();
    record
        .expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &planned(Some("no builder")), NOW)
        .expect("a plan");
    let refused = record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW);
    assert!(matches!(refused, Err(LedgerError::Skipped { .. })), "{refused:?}");
    assert_eq!(state(&record), TargetState::Skipped);
    assert!(ask(&record).is_err());
}

#[test]
fn what_was_never_staged_is_expected_and_not_missing() {
    let record = record();
    plan(&record);
    sees(&record, b"deb", &Sight::Nothing);
    assert_eq!(state(&record), TargetState::Expected);
}

#[test]
fn what_is_not_seen_in_staging_is_not_approved() {
    let record = record();
    plan(&record);
    assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
}

#[test]
fn two_ways_of_asking_give_one_order() {
    let record = record();
    stage(&record);
    // Both read the record before either writes.
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
    let by_webhook = by_webhook(&candidate, &job(81), true).expect("an approval");
    let by_job = by_job(&candidate, &session(7, "aa"), &job(81)).expect("an approval");
    assert!(record.approve(&candidate, &by_webhook, &policy(), 1001, NOW).expect("the first"));
    assert!(!record.approve(&candidate, &by_job, &policy(), 1001, NOW).expect("the second"));
    assert!(!ask(&record).expect("nothing left"), "asked again, later");
    let orders = record.dispatches().expect("orders");
    assert_eq!(orders.len(), 1);
    let order = &orders.first().expect("one").order;
    assert_eq!((order.digest, order.targets.len()), (Digest::of(b"deb"), 1));
    record.dispatched(&[order.approval]).expect("acknowledged");
    assert!(record.dispatches().expect("orders").is_empty());
}

#[test]
fn an_approval_of_what_has_changed_since_it_was_judged_is_none() {
    let record = record();
    stage(&record);
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("the package");
    let approval = by_webhook(&candidate, &job(81), true).expect("an approval");
    // Meanwhile other bytes have come, and are staged.
    record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), NOW).expect("a replacement");
    sees(&record, b"again", &Sight::Declared);
    assert!(!record.approve(&candidate, &approval, &policy(), 1001, NOW).expect("an answer"));
    assert_eq!(state(&record), TargetState::Staged);
    assert!(record.dispatches().expect("orders").is_empty());
}

#[test]
fn an_approval_says_who_what_how_and_under_which_policy() {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    let rows = record.sql().query("SELECT digest, approved_by, by_id, via, job_id, policy FROM approvals", &[]);
    let rows = rows.expect("rows");
    let row = rows.first().expect("one");
    let texts = [0, 1, 3, 5].map(|column| row.text(column).expect("text").to_owned());
    assert_eq!(texts, [Digest::of(b"deb").to_string(), "mira".to_owned(), "job".to_owned(), policy().to_string()]);
    assert_eq!((row.natural(2).expect("a number"), row.natural(4).expect("a number")), (7, 81));
    let audited = entries(record.sql(), 1, 100).expect("rows").pop().expect("the approval");
    assert!(audited.event.details.contains(&policy().to_string()), "{}", audited.event.details);
}

#[test]
fn a_released_target_stays_released_whatever_is_reported_later() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    for (reported, then) in [
        (TargetState::Releasing, TargetState::Releasing),
        (TargetState::Approved, TargetState::Releasing),
        (TargetState::Released, TargetState::Released),
        (TargetState::Failed, TargetState::Released),
        (TargetState::Releasing, TargetState::Released),
    ] {
        report(&record, 1, reported);
        assert_eq!(state(&record), then, "{reported:?}");
    }
}

#[test]
fn a_failed_target_can_be_asked_for_again_and_old_reports_of_it_are_ignored() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    report(&record, 1, TargetState::Failed);
    assert!(!ask(&record).expect("no approval"), "a late event of the same job");
    assert!(ask_by(&record, 82).expect("another approval"), "the job was played again");
    report(&record, 1, TargetState::Released);
    assert_eq!(state(&record), TargetState::Approved);
    report(&record, 2, TargetState::Released);
    assert_eq!(state(&record), TargetState::Released);
}

#[test]
fn a_package_that_leaves_staging_is_missing_until_it_is_seen_again() {
    let record = record();
    stage(&record);
    let other = Sight::Other(skipped("any problem"));
    for (sight, then) in [
        (Sight::Nothing, TargetState::Missing),
        (Sight::Declared, TargetState::Staged),
        (other, TargetState::Missing),
        (Sight::Declared, TargetState::Staged),
    ] {
        sees(&record, b"deb", &sight);
        assert_eq!(state(&record), then, "{sight:?}");
    }
}

#[test]
fn an_old_token_opens_only_the_session_that_it_opened_when_it_was_fresh() {
    let record = record();
    let session = JobSession { ends_at: Timestamp(NOW.0 + 1_000), ..session(7, "aa") };
    assert!(!record.spend_token(&session, false, NOW).expect("refused"), "it was never shown while it was fresh");
    for is_fresh in [true, true, false] {
        assert!(record.spend_token(&session, is_fresh, NOW).expect("its own"), "{is_fresh}");
    }
    let thief = JobSession { job_id: 82, ..session.clone() };
    assert!(!record.spend_token(&thief, true, NOW).expect("refused"));
    assert!(!record.spend_token(&session, false, session.ends_at).expect("refused"), "the session has ended");
}

#[test]
fn every_change_is_in_the_chain_and_the_chain_holds() {
    let record = record();
    stage(&record);
    assert!(ask(&record).expect("an approval"));
    report(&record, 1, TargetState::Releasing);
    report(&record, 1, TargetState::Released);
    let rows = entries(record.sql(), 1, 100).expect("rows");
    let actions: Vec<&str> = rows.iter().map(|row| row.event.action.as_str()).collect();
    assert_eq!(actions, ["planned", "declared", "staged", "approved", "releasing", "released"]);
    assert_eq!(verify(&rows), Ok(()));
}

// ---- many targets, replacements, histories, looking again ----

fn watched(record: &Record<Database>, now: Timestamp) -> Vec<super::Watched> {
    record.watched(now, now).expect("rows")
}

#[test]
fn bytes_that_nobody_approved_can_be_replaced_and_the_record_keeps_both_digests() {
    let record = record();
    stage(&record);
    let refused = record.declare(&version(), &key(), &file(b"again"), false, &session(7, "aa"), NOW);
    assert!(matches!(refused, Err(LedgerError::OtherDigest { .. })));
    record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), NOW).expect("a replacement");
    assert_eq!(state(&record), TargetState::Expected, "the new bytes have not been seen in staging");
    assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
    let audit = entries(record.sql(), 1, 100).expect("the audit");
    let last = &audit.last().expect("rows").event;
    assert_eq!(last.action, "replaced");
    for digest in [Digest::of(b"deb"), Digest::of(b"again")] {
        assert!(last.details.contains(&digest.to_string()), "{}", last.details);
    }
}

const CONFIG: &str = r#"
    [edge]
    url = "https://slipway.example.com"
    [gitlab]
    url = "https://gitlab.example.com"
    token = "GITLAB_TOKEN"
    [places.depot]
    kind = "packagecloud"
    url = "https://packages.example.com"
    token = "DEPOT_TOKEN"
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "WEBHOOK_TOKEN_TUG"
    [[routes]]
    staging = { place = "depot", repository = "harbour-ci/pre-release" }
    public = { place = "depot", repository = "harbour/stable" }
"#;

/// What the release says has given way.
fn replaced(record: &Record<Database>) -> Vec<(String, Digest)> {
    replaced_in(record, &version())
}

fn replaced_in(record: &Record<Database>, version: &Version) -> Vec<(String, Digest)> {
    let config = Config::parse(CONFIG).expect("a configuration");
    let project = config.project("tug").expect("the project");
    let release = record.release(&config, project, version, &super::Sent::default(), NOW).expect("rows");
    let packages = release.expect("a release").packages.into_iter();
    packages.flat_map(|package| package.replaced).map(|old| (old.filename.to_string(), old.digest)).collect()
}

#[test]
fn the_release_names_all_files_that_gave_way_but_not_one_that_has_come_back() {
    let record = record();
    stage(&record);
    assert_eq!(replaced(&record), []);
    let old = |bytes: &[u8]| ("tug_1.2.0_amd64.deb".to_owned(), Digest::of(bytes));
    for (bytes, mut gone) in [
        (b"again".as_slice(), vec![old(b"deb")]),
        (b"anew", vec![old(b"deb"), old(b"again")]),
        (b"deb", vec![old(b"again"), old(b"anew")]),
    ] {
        record.declare(&version(), &key(), &file(bytes), true, &session(7, "aa"), NOW).expect("a replacement");
        gone.sort_by_key(|(_, digest)| digest.hex());
        assert_eq!(replaced(&record), gone);
    }
}

#[test]
fn a_record_of_an_older_version_still_names_what_gave_way() {
    let database = Database::in_memory();
    let steps = super::schema::STEPS;
    let about = steps.iter().position(|step| step[0].contains("TABLE replaced")).expect("the step that this is about");
    migrate(&database, &steps[..about]).expect("an older record");
    for statement in [
        "INSERT INTO releases (version, created_at, sequence, policy) VALUES ('1.2.0', 1, 1, '')",
        "INSERT INTO packages (version, key, pipeline_id, release_job, environment, staging_place, staging_repository)
         VALUES ('1.2.0', 'jammy-amd64', 7, 'release', 'release', 'depot', 'harbour-ci/pre-release')",
    ] {
        database.query(statement, &[]).expect(statement);
    }
    let event = |action: &str, subject: &str, digest: &Digest| Event {
        at: NOW,
        actor: "job:81 user:mira".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        details: serde_json::json!({ "replaces": { "filename": "tug_1.2.0_amd64.deb", "digest": digest } }).to_string(),
    };
    let old = Digest::of(b"deb");
    for (action, subject, digest) in [
        ("replaced", "1.2.0/jammy-amd64", old),
        ("declared", "1.2.0/jammy-amd64", Digest::of(b"declared")),
        ("replaced", "1.2.0/jammy-amd64-x", Digest::of(b"another's")),
    ] {
        append(&database, &event(action, subject, &digest)).expect("a row");
    }
    let record = Record::open(database).expect("the newest schema");
    assert_eq!(replaced(&record), [("tug_1.2.0_amd64.deb".to_owned(), old)]);
}

#[test]
fn a_look_for_bytes_that_gave_way_meanwhile_says_nothing_of_those_that_came() {
    let record = record();
    stage(&record);
    let before = watched(&record, NOW).pop().expect("a staged target is watched");
    record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), NOW).expect("a replacement");
    sees(&record, b"deb", &Sight::Declared);
    assert_eq!(state(&record), TargetState::Expected, "only the old bytes were seen");
    assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
    sees(&record, b"again", &Sight::Declared);
    assert!(!record.looked(&before, &Seen::Digest(Digest::of(b"again")), NOW).expect("a look"));
    assert_eq!(state(&record), TargetState::Staged, "they are what is declared by now");
}

/// Plans, and declares as a file that the first release has too.
fn second(record: &Record<Database>) -> (Version, JobSession) {
    let (second, by) = ("1.3.0".parse().expect("a version"), session(8, "bb"));
    record.expect(&second, &by, &policy(), Maturity::Final, &planned(None), NOW).expect("a plan");
    record.declare(&second, &key(), &file(b"deb"), false, &by, NOW).expect("a declaration");
    (second, by)
}

#[test]
fn a_file_that_another_release_waits_with_is_not_replaced_until_that_is_complete() {
    let record = record();
    stage(&record);
    let (second, by) = second(&record);
    let replace = || record.declare(&second, &key(), &file(b"again"), true, &by, NOW);
    let error = replace().expect_err("the first release needs it").to_string();
    assert!(error.contains("1.2.0 is not complete"), "{error}");
    assert_eq!(ask(&record), Ok(true));
    assert!(replace().is_err(), "less than ever while it is copied");
    report(&record, 1, TargetState::Released);
    replace().expect("nobody needs it");
}

#[test]
fn a_file_that_gave_way_to_one_of_another_name_is_not_named_while_another_release_needs_it() {
    let record = record();
    stage(&record);
    let (second, by) = second(&record);
    let renamed = api::StagedFile { filename: "tug_1.2.1_amd64.deb".to_owned(), ..file(b"again") };
    record.declare(&second, &key(), &renamed, true, &by, NOW).expect("they are two files");
    assert_eq!(replaced_in(&record, &second), []);
    assert_eq!(ask(&record), Ok(true));
    report(&record, 1, TargetState::Released);
    assert_eq!(replaced_in(&record, &second), [("tug_1.2.0_amd64.deb".to_owned(), Digest::of(b"deb"))]);
}

#[test]
fn what_is_approved_or_public_or_may_be_is_not_replaced() {
    use TargetState as S;
    for (reported, public, holds) in [
        (S::Approved, "none", false),
        (S::Releasing, "none", false),
        (S::Released, "none", false),
        (S::Failed, "partly", false),
        (S::Failed, "unknown", false),
        (S::Failed, "none", true),
        (S::Conflict, "none", true),
        (S::Missing, "unknown", false),
        (S::Missing, "none", true),
    ] {
        let record = record();
        stage(&record);
        assert_eq!(ask(&record), Ok(true));
        let mut problem = skipped("why");
        public.clone_into(&mut problem.public);
        let told = Report { problem: Some(problem), ..Report::of(JAMMY, reported) };
        record.settle(&version(), &key(), 1, &told, &Digest::of(b"deb"), NOW).expect("a report");
        let replaced = record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), NOW);
        assert_eq!(replaced.is_ok(), holds, "{reported:?} {public}: {replaced:?}");
    }
}

#[test]
fn after_a_replacement_the_job_that_had_spoken_cannot_release_the_new_bytes() {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    report(&record, 1, TargetState::Conflict);
    record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), NOW).expect("a replacement");
    sees(&record, b"again", &Sight::Declared);
    assert_eq!(ask(&record), Ok(false), "its approval was of other bytes");
    assert_eq!(ask_by(&record, 82), Ok(true), "played again");
}

#[test]
fn every_target_has_its_own_history() {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    let attempt = |number| api::Attempt {
        number,
        approval: 1,
        began_at: NOW.to_string(),
        ended_at: NOW.to_string(),
        act: api::Act::Copy,
        ended: "trouble".to_owned(),
        problem: None,
    };
    for attempts in [vec![attempt(1)], vec![attempt(1), attempt(2)], vec![attempt(1), attempt(2)]] {
        let told = Report { attempts, ..Report::of(JAMMY, TargetState::Releasing) };
        record.settle(&version(), &key(), 1, &told, &Digest::of(b"deb"), NOW).expect("a report");
    }
    assert_eq!(record.attempts(&version(), &key(), JAMMY).expect("rows"), [attempt(1), attempt(2)]);
    assert_eq!(record.attempts(&version(), &key(), "ubuntu/noble").expect("rows"), []);
}

#[test]
fn a_row_has_the_floating_tags_that_were_set_with_its_image() {
    let moves = vec![
        Floated { tag: "latest".to_owned(), before: Some(Digest::of(b"older")), after: Some(Digest::of(b"deb")) },
        Floated { tag: "17.3".to_owned(), before: None, after: Some(Digest::of(b"deb")) },
    ];
    let (older, own) = (Digest::of(b"older").to_string(), Digest::of(b"deb").to_string());
    let expected = serde_json::json!([
        { "tag": "latest", "before": older, "after": own },
        { "tag": "17.3", "before": null, "after": own },
    ]);
    // Also where the image itself is not released in the end, or waits in the middle, for a stop to end.
    for ended in [TargetState::Released, TargetState::Failed, TargetState::Approved] {
        for (floating, expected) in [(moves.clone(), expected.clone()), (Vec::new(), serde_json::Value::Null)] {
            let record = record();
            stage(&record);
            assert_eq!(ask(&record), Ok(true));
            report(&record, 1, TargetState::Releasing);
            let problem =
                (ended == TargetState::Approved).then(|| Code::Stopped.problem("why", Visible::Unknown, None));
            let told = Report { floating, problem, ..Report::of(JAMMY, ended) };
            record.settle(&version(), &key(), 1, &told, &Digest::of(b"deb"), NOW).expect("a report");
            let row = entries(record.sql(), 1, 100).expect("rows").pop().expect("a row");
            let action = if ended == TargetState::Approved { "waits" } else { ended.code() };
            assert_eq!(row.event.action, action);
            let details: serde_json::Value = serde_json::from_str(&row.event.details).expect("JSON");
            assert_eq!(details["floating"], expected);
        }
    }
}

#[test]
fn a_report_that_a_later_one_has_overtaken_changes_nothing() {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    let tells = |approval, number, state| {
        let told = Report { number, ..Report::of(JAMMY, state) };
        record.settle(&version(), &key(), approval, &told, &Digest::of(b"deb"), NOW).expect("a report")
    };
    assert!(tells(1, 2, TargetState::Releasing));
    assert!(!tells(1, 1, TargetState::Failed), "it was sent before the one that was heard");
    assert_eq!(state(&record), TargetState::Releasing);
    let orders = record.unheard(1001, NOW, NOW).expect("orders");
    assert_eq!(orders.iter().map(|order| order.heard).collect::<Vec<_>>(), [2], "whoever has forgotten it counts on");
    assert!(tells(1, 3, TargetState::Failed));
    assert_eq!(ask_by(&record, 82), Ok(true));
    assert!(tells(2, 1, TargetState::Releasing), "each approval is counted anew");
}

#[test]
fn a_package_on_its_way_that_is_not_heard_of_is_found() {
    let record = record();
    stage(&record);
    assert_eq!(record.unheard(1001, NOW, NOW + std::time::Duration::from_hours(1)).expect("orders"), []);
    assert_eq!(ask(&record), Ok(true));
    let later = |seconds| NOW + std::time::Duration::from_secs(seconds);
    let found = record.unheard(1001, NOW, NOW + std::time::Duration::from_hours(1)).expect("orders");
    assert_eq!(found.iter().map(|order| (order.approval, order.digest)).collect::<Vec<_>>(), [(1, Digest::of(b"deb"))]);
    let told = Report::of(JAMMY, TargetState::Releasing);
    record.settle(&version(), &key(), 1, &told, &Digest::of(b"deb"), later(5)).expect("a report");
    assert_eq!(
        record.unheard(1001, later(4), NOW + std::time::Duration::from_hours(1)).expect("orders"),
        [],
        "it was heard of"
    );
    assert_eq!(record.unheard(1001, later(5), NOW + std::time::Duration::from_hours(1)).expect("orders").len(), 1);
    record
        .settle(&version(), &key(), 1, &Report::of(JAMMY, TargetState::Released), &Digest::of(b"deb"), later(6))
        .expect("a report");
    assert_eq!(
        record.unheard(1001, later(1000), NOW + std::time::Duration::from_hours(1)).expect("orders"),
        [],
        "it has arrived"
    );
}

#[test]
fn a_released_package_that_somebody_removes_or_replaces_drifts_and_comes_back() {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    report(&record, 1, TargetState::Released);
    let look = |seen: Seen| {
        let of = watched(&record, NOW).pop().expect("a released target is watched");
        record.looked(&of, &seen, NOW).expect("a look")
    };
    let drifts = || {
        let rows = record.sql().query("SELECT state, problem FROM targets", &[]).expect("a row");
        (rows[0].text(0).expect("a state").to_owned(), rows[0].text_or_null(1).expect("text").map(str::to_owned))
    };
    assert!(!look(Seen::Digest(Digest::of(b"deb"))), "as it should be");
    assert!(!look(Seen::Nothing), "one list without it is no evidence");
    assert_eq!(drifts(), ("released".to_owned(), None));
    assert!(look(Seen::Nothing));
    assert!(drifts().1.expect("a problem").contains("\"drift\""));
    assert!(look(Seen::Digest(Digest::of(b"deb"))));
    assert_eq!(drifts(), ("released".to_owned(), None), "it is back, and was released all the time");
    assert!(look(Seen::Digest(Digest::of(b"other"))), "other bytes are shown at once");
    let problem = drifts().1.expect("a problem");
    assert!(problem.contains("\"drift\"") && problem.contains("\"done\""), "{problem}");
}

#[test]
fn what_a_promotion_said_of_a_missing_package_outlasts_looks_that_do_not_find_it_either() {
    let record = record();
    stage(&record);
    assert_eq!(ask(&record), Ok(true));
    let problem = Code::Missing.problem("It is in neither place.", Visible::Unknown, None);
    let told = Report { problem: Some(problem), ..Report::of(JAMMY, TargetState::Missing) };
    record.settle(&version(), &key(), 1, &told, &Digest::of(b"deb"), NOW).expect("a report");
    let said = || {
        let rows = record.sql().query("SELECT problem FROM targets", &[]).expect("a row");
        rows[0].text_or_null(0).expect("text").map(str::to_owned)
    };
    let before = said().expect("a problem");
    for _ in 0..2 {
        let of = watched(&record, NOW).pop().expect("a missing target is watched");
        assert!(!record.looked(&of, &Seen::Nothing, NOW).expect("a look"), "nothing new");
    }
    assert!(
        !record.seen_in_staging(&version(), &key(), JAMMY, &Digest::of(b"deb"), &Sight::Nothing, NOW).expect("a look"),
        "nothing new"
    );
    assert_eq!(said(), Some(before));
    let of = watched(&record, NOW).pop().expect("a missing target is watched");
    record.looked(&of, &Seen::Digest(Digest::of(b"other")), NOW).expect("a look");
    assert!(said().expect("a problem").contains("staging-conflict"), "other bytes are news");
    for _ in 0..2 {
        let of = watched(&record, NOW).pop().expect("a missing target is watched");
        record.looked(&of, &Seen::Nothing, NOW).expect("a look");
    }
    assert_eq!(said(), None, "they are gone");
}

#[test]
fn what_waits_in_staging_is_looked_at_on_any_day_until_its_release_was_given_up() {
    let days = |days: u64| NOW + std::time::Duration::from_hours(24 * days);
    let record = record();
    stage(&record);
    for _ in 0..2 {
        let of = watched(&record, days(40)).pop().expect("a staged target is watched");
        record.looked(&of, &Seen::Nothing, days(40)).expect("a look");
    }
    assert_eq!(state(&record), TargetState::Missing, "it was deleted on the fortieth day");
    let of = watched(&record, days(50)).pop().expect("a missing target is watched");
    record.looked(&of, &Seen::Digest(Digest::of(b"deb")), days(50)).expect("a look");
    assert_eq!(state(&record), TargetState::Staged, "somebody has put it back");
    record.close(&version(), "user:nell", "given up", days(51)).expect("closed");
    assert_eq!(watched(&record, days(52)), [], "nobody waits for it");
    // What was being copied when its release was given up may end so.
    record.sql().query("UPDATE targets SET state = 'missing'", &[]).expect("a state");
    assert_eq!(watched(&record, days(52)), [], "nor for that");
}

#[test]
fn much_that_waits_at_a_place_that_does_not_answer_keeps_nothing_else_from_being_looked_at() {
    let record = record();
    // As many as one look asks for, and more.
    let mut plan = planned(None);
    let target = plan[0].targets[0].clone();
    let distros: Vec<String> = (0..600).map(|number| format!("ubuntu/n{number}")).collect();
    plan[0].targets = distros.iter().map(|distro| OrderTarget { distro: distro.clone(), ..target.clone() }).collect();
    plan[0].expect.distros.clone_from(&distros);
    record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &plan, NOW).expect("a plan");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    record.sql().query("UPDATE targets SET state = 'staged', since = ?", &[NOW.0.into()]).expect("they are there");
    let annex = "UPDATE targets SET state = 'released', public_place = 'annex', since = ? WHERE distro = 'ubuntu/n7'";
    let later = NOW + std::time::Duration::from_mins(5);
    record.sql().query(annex, &[later.0.into()]).expect("it is released elsewhere");

    let place = watched(&record, later).iter().position(|of| of.site.place == "annex");
    assert_eq!(place, None, "what nobody has looked at for longest goes first");
    record.heard_from(Origin::Place("depot"), Some("it does not answer"), later).expect("a row");
    let looked_at = watched(&record, later);
    let place = looked_at.iter().position(|of| of.site.place == "annex");
    assert_eq!((place, looked_at.len()), (Some(0), 500), "the others are asked for again all the same");
}

#[test]
fn a_staged_package_that_vanishes_is_missing_and_then_staged_again() {
    let record = record();
    stage(&record);
    let look = |seen: Seen| {
        let of = watched(&record, NOW).pop().expect("a staged target is watched");
        record.looked(&of, &seen, NOW).expect("a look");
        state(&record)
    };
    assert_eq!(look(Seen::Nothing), TargetState::Staged);
    assert_eq!(look(Seen::WithoutDigest), TargetState::Staged);
    assert_eq!(look(Seen::Nothing), TargetState::Staged, "not twice in a row");
    assert_eq!(look(Seen::Nothing), TargetState::Missing);
    assert_eq!(look(Seen::Digest(Digest::of(b"deb"))), TargetState::Staged);
    assert_eq!(look(Seen::Digest(Digest::of(b"other"))), TargetState::Missing);
    assert!(matches!(ask(&record), Err(Refusal::NotStaged { .. })));
}

/// Plans two packages for these distro versions.
fn plan_two(record: &Record<Database>, one: &[&str], two: &[&str]) {
    let of = |name: &str, distros: &[&str]| {
        let Planned { expect, staging, targets, .. } = planned(None).pop().expect("one");
        let expect = api::Expectation {
            release_job: format!("release: [{name}]"),
            environment: format!("release/{name}"),
            distros: distros.iter().map(|distro| (*distro).to_owned()).collect(),
            ..expect
        };
        let target = targets.first().expect("one").clone();
        let targets = distros.iter().map(|distro| OrderTarget { distro: (*distro).to_owned(), ..target.clone() });
        Planned { key: name.parse().expect("a key"), expect, staging, targets: targets.collect() }
    };
    let plan = [of("one", one), of("two", two)];
    record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &plan, NOW).expect("a plan");
}

#[test]
fn one_file_is_not_the_file_of_two_packages_of_a_release_in_one_distro() {
    let (one, two): (Key, Key) = ("one".parse().expect("a key"), "two".parse().expect("a key"));
    for (distros, holds) in [(["ubuntu/jammy", "ubuntu/noble"], false), (["debian/trixie", "ubuntu/noble"], true)] {
        let record = record();
        plan_two(&record, &["ubuntu/jammy"], &distros);
        let declare = |key: &Key, bytes: &[u8], replace: bool| {
            record.declare(&version(), key, &file(bytes), replace, &session(7, "aa"), NOW)
        };
        declare(&one, b"deb", false).expect("the first");
        let before = record.release_text();
        let second = declare(&two, b"deb", false);
        assert_eq!(second.is_ok(), holds, "{distros:?}");
        if let Err(error) = second {
            let said = error.to_string();
            assert!(said.contains("`tug_1.2.0_amd64.deb` for ubuntu/jammy is the file of `one` in 1.2.0"), "{said}");
            assert_eq!(record.release_text(), before, "nothing was written");
            assert!(declare(&two, b"other", true).is_err(), "nor with other bytes");
            // It was the other package that was staged with the wrong file.
            let own = api::StagedFile { filename: "one_1.2.0_amd64.deb".to_owned(), ..file(b"one") };
            record.declare(&version(), &one, &own, true, &session(7, "aa"), NOW).expect("its own file");
            declare(&two, b"deb", false).expect("nobody else has it");
        }
    }
}

#[test]
fn of_several_files_that_are_declared_at_once_none_is_if_one_is_refused() {
    let (one, two): (Key, Key) = ("one".parse().expect("a key"), "two".parse().expect("a key"));
    let record = record();
    plan_two(&record, &["ubuntu/jammy"], &["ubuntu/jammy"]);
    let before = record.release_text();
    let (first, second) = (file(b"deb"), file(b"other"));
    let declared =
        [Declared { key: &one, file: &first, replace: false }, Declared { key: &two, file: &second, replace: false }];
    let refused = record.add(&version(), &session(7, "aa"), &policy(), Maturity::Final, &[], &declared, NOW);
    assert!(matches!(refused, Err(LedgerError::SharedFile { .. })), "{refused:?}");
    assert_eq!(record.release_text(), before);
    // Nor is what is expected beside it.
    let more = planned(None);
    assert!(record.add(&version(), &session(7, "aa"), &policy(), Maturity::Final, &more, &declared, NOW).is_err());
    assert_eq!(record.release_text(), before);
}

#[test]
fn what_may_still_be_in_staging_of_a_package_is_what_it_was_declared_with_under_that_name() {
    let record = record();
    stage(&record);
    let gives_way = |name: &str| record.gives_way(&version(), &key(), name).expect("digests");
    assert_eq!(gives_way("tug_1.2.0_amd64.deb"), [Digest::of(b"deb")]);
    assert_eq!(gives_way("tug_1.2.1_amd64.deb"), []);
    record.declare(&version(), &key(), &file(b"again"), true, &session(7, "aa"), NOW).expect("a replacement");
    let mut both = [Digest::of(b"again"), Digest::of(b"deb")];
    both.sort_unstable();
    let mut found = gives_way("tug_1.2.0_amd64.deb");
    found.sort_unstable();
    assert_eq!(found, both);
}

impl Record<Database> {
    /// All that is said of a release, and how much is in the audit.
    fn release_text(&self) -> String {
        let mut text = String::new();
        for (sql, columns) in [
            ("SELECT version, sequence FROM releases ORDER BY version", 2),
            ("SELECT key, filename, digest FROM packages ORDER BY key", 3),
            ("SELECT key, distro, state FROM targets ORDER BY key, distro", 3),
            ("SELECT COUNT(*) FROM audit", 1),
        ] {
            for row in self.sql().query(sql, &[]).expect("rows") {
                for column in 0..columns {
                    let number = || row.integer(column).map(|number| number.to_string()).ok();
                    let word = row.text_or_null(column).ok().flatten().map(str::to_owned).or_else(number);
                    text += &word.unwrap_or_default();
                    text.push(' ');
                }
            }
        }
        text
    }
}

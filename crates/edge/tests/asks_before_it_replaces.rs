//! A staged file that gives way is deleted by a job, so whoever has it, too, is asked first.

use std::cell::RefCell;

use futures_util::FutureExt as _;
use slipway_core::api::StagedFile;
use slipway_core::config::Config;
use slipway_core::release::{Maturity, Version};
use slipway_core::retention::Consent;
use slipway_edge::denied::Unanswered;
use slipway_edge::port::Silent;
use slipway_edge::replace::ask_others;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Declared, LedgerError, Record, Sight, Sql as _, StagedObject};
use slipway_wire::Digest;

use support::{JAMMY, NOW, PIPELINE, config, key, planned, record, session, stage, version};

mod support;

const BUOY: &str = r#"
    [[projects]]
    id = 1002
    namespace_id = 71
    name = "buoy"
    webhook_token = "WEBHOOK_TOKEN_BUOY"
"#;

const OLD: &str = "one_1.2.0_amd64.deb";

fn file(name: &str, contents: &[u8]) -> StagedFile {
    StagedFile { filename: name.to_owned(), image: None, digest: Digest::of(contents), size: 3 }
}

/// A record with a package whose file is staged, and which is expected for another distro version as well.
fn staged() -> Record<Database> {
    let record = record();
    stage(&record, "one", &[JAMMY, "ubuntu/noble"], OLD, b"old");
    record
}

/// Asks before a file is declared in place of the old one, and gives the answers; what was asked for.
fn asks(
    record: &Record<Database>,
    new: &StagedFile,
    replace: bool,
    answer: impl Fn(&StagedObject) -> Result<Consent, Silent>,
) -> (Vec<StagedObject>, Result<(), Unanswered>) {
    let (config, key, asked) = (config(BUOY), key("one"), RefCell::default());
    let declared = [Declared { key: &key, file: new, replace }];
    let ask = async |other: u64, object: &StagedObject| {
        assert_eq!(other, 1002, "its own record is not asked");
        let asked: &RefCell<Vec<StagedObject>> = &asked;
        asked.borrow_mut().push(object.clone());
        answer(object)
    };
    let project = config.project("tug").expect("the project");
    let version = version();
    let came = ask_others(record, ask, (&config, project), &version, &declared, NOW);
    let came = came.now_or_never().expect("nothing waits");
    (asked.into_inner(), came)
}

#[test]
fn every_file_that_a_job_will_be_told_to_delete_is_asked_for_under_its_names_and_nothing_else() {
    let free = |_: &StagedObject| Ok(Consent::Yes);
    let (asked, came) = asks(&staged(), &file(OLD, b"new"), true, free);
    came.expect("the other can do without");
    let [object] = &asked[..] else { panic!("one file gives way: {asked:?}") };
    assert_eq!((object.cargo.as_str(), object.digest), (OLD, Digest::of(b"old")));
    assert_eq!(
        (object.staging.place.as_str(), object.under.as_slice()),
        ("depot", &[JAMMY.to_owned(), "ubuntu/noble".to_owned()][..])
    );

    // Without the word nothing gives way; nor when the same file is declared again.
    assert_eq!(asks(&staged(), &file(OLD, b"new"), false, free).0, []);
    assert_eq!(asks(&staged(), &file(OLD, b"old"), true, free).0, []);

    // A run that was killed is finished by the next, which is told of the old file by the record.
    let record = staged();
    let (new, by) = (file("one_1.2.0-2_amd64.deb", b"new"), session(PIPELINE));
    record.declare(&version(), &key("one"), &new, true, &by, NOW).expect("a replacement");
    let (asked, _) = asks(&record, &new, true, free);
    assert_eq!(asked.iter().map(|object| object.cargo.as_str()).collect::<Vec<_>>(), [OLD]);

    // What another release of the project waits with, no job is told to delete.
    let next: Version = "1.3.0".parse().expect("a version");
    let record = staged();
    let policy = Digest::of(b"policy");
    record.expect(&next, &session(8), &policy, Maturity::Final, &[planned("one", &[JAMMY])], NOW).expect("a plan");
    record.declare(&next, &key("one"), &file(OLD, b"old"), false, &session(8), NOW).expect("a declaration");
    assert_eq!(asks(&record, &new, true, free).0, []);
}

#[test]
fn a_file_that_another_project_needs_or_says_nothing_of_does_not_give_way() {
    let new = file(OLD, b"new");
    for (consent, says) in [(Consent::No, "project buoy needs"), (Consent::NotYet, "keeps it for now")] {
        let (_, came) = asks(&staged(), &new, true, |_| Ok(consent));
        let Err(Unanswered::Record(error @ LedgerError::StillNeeded { .. })) = came else { panic!("{came:?}") };
        assert!(error.is_refusal() && error.to_string().contains(says), "{error}");
    }
    let (_, came) = asks(&staged(), &new, true, |_| Err(Silent("it is away".to_owned())));
    let Err(Unanswered::Denied(denied)) = came else { panic!("{came:?}") };
    assert_eq!((denied.status, denied.kind), (503, "project-silent"));
    assert!(denied.detail.contains("it is away"), "{}", denied.detail);
}

#[test]
fn what_another_project_has_lent_it_does_not_declare_until_the_loan_is_over() {
    let (other, config): (_, Config) = (Record::open(Database::in_memory()).expect("a record"), config(BUOY));
    other.know_project(1002).expect("its project");
    let buoy = config.project("buoy").expect("the other project");
    let lends = |object: &StagedObject| Ok(other.leave_to_another(&config, buoy, object, true, NOW).expect("rows"));
    let declares = || {
        let policy = Digest::of(b"policy");
        other
            .expect(&version(), &session(9), &policy, Maturity::Final, &[planned("one", &[JAMMY])], NOW)
            .expect("a plan");
        other.declare(&version(), &key("one"), &file(OLD, b"old"), false, &session(9), NOW)
    };
    asks(&staged(), &file(OLD, b"new"), true, lends).1.expect("nobody there has it");
    assert!(matches!(declares(), Err(LedgerError::BeingDeleted { .. })), "the job may delete it in a moment");

    // Had it been first, the file would stay.
    other.sql().query("DELETE FROM removals", &[]).expect("the loan is over");
    declares().expect("a declaration");
    let sees = other.seen_in_staging(&version(), &key("one"), JAMMY, &Digest::of(b"old"), &Sight::Declared, NOW);
    assert!(sees.expect("a look"));
    assert!(asks(&staged(), &file(OLD, b"new"), true, lends).1.is_err());
}

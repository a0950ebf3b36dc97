//! What is attested of a release: once, and the same for ever.

use slipway_core::attestation::Envelope;
use slipway_core::config::Project;

use super::*;
use crate::record::{Attested, Unsigned};

fn config() -> Config {
    Config::parse(CONFIG).expect("a configuration")
}

fn unsigned(record: &Record<Database>) -> Vec<Unsigned> {
    let config = config();
    let project: &Project = config.project("tug").expect("the project");
    record.unsigned(&config, project, NOW, NOW).expect("rows")
}

/// Staged, approved and released.
fn release(record: &Record<Database>) {
    record.know_project(1001).expect("a project");
    stage(record);
    assert_eq!(ask(record), Ok(true));
    report(record, 1, TargetState::Releasing);
    assert_eq!(unsigned(record), [], "nothing is public yet");
    report(record, 1, TargetState::Released);
}

fn envelope(signature: u8) -> Envelope {
    Envelope::of(b"statement", "key".to_owned(), &[signature; 64])
}

fn shown(record: &Record<Database>) -> Option<Attested> {
    record.attestation(&version(), &key(), JAMMY).expect("a row")
}

#[test]
fn a_release_is_to_be_attested_from_the_moment_it_is_known_and_names_all_that_led_to_it() {
    let record = record();
    assert_eq!(shown(&record), None);
    release(&record);
    assert_eq!(shown(&record), Some(Attested::Due));
    let due = unsigned(&record);
    let [one] = due.as_slice() else { panic!("{due:?}") };
    let statement = one.statement.as_ref().expect("both places are configured");
    let said = &statement.predicate;
    assert_eq!(statement.subject[0].name, "tug_1.2.0_amd64.deb");
    assert!(statement.subject[0].digest.is(&Digest::of(b"deb")));
    assert_eq!((said.project.id, said.version.as_str(), said.key.as_str()), (1001, "1.2.0", "jammy-amd64"));
    assert_eq!((said.approval.by.as_str(), said.approval.via.as_str(), said.approval.job.id), ("mira", "job", 81));
    assert!(said.approval.job.uri.ends_with("/harbour/tug/-/jobs/81"), "{}", said.approval.job.uri);
    assert_eq!((said.build.commit.as_str(), said.build.pipeline.id), ("aa", 7));
    assert!(said.policy.digest.is(&policy()) && !said.outside);
    assert_eq!(said.destination.distro.as_deref(), Some(JAMMY));
    assert!(said.destination.repository.ends_with("/harbour/stable"), "{}", said.destination.repository);
    let file = "/harbour/stable/packages/ubuntu/jammy/tug_1.2.0_amd64.deb";
    assert!(said.destination.uri.ends_with(file), "{}", said.destination.uri);
    assert!(said.source.uri.contains("/harbour-ci/pre-release/packages/"), "{}", said.source.uri);
    // The row of the audit that tells of it.
    let rows = entries(record.sql(), said.audit.sequence, 1).expect("rows");
    assert_eq!((rows[0].event.action.as_str(), said.audit.digest.is(&rows[0].hash)), ("released", true));
    assert_eq!(said.released_at, rows[0].event.at.to_string());
}

#[test]
fn what_is_signed_first_is_what_everybody_is_shown() {
    let record = record();
    release(&record);
    let due = unsigned(&record);
    let digest = Digest::of(b"statement");
    let sign = |signature| record.attested(&due[0], &envelope(signature), &digest, None, NOW).expect("kept");
    let before = record.sequence(&version()).expect("a number");
    assert!(sign(1));
    assert!(record.sequence(&version()).expect("a number") > before, "those who follow it hear of it");
    assert!(!sign(2), "another run has signed it");
    let first = serde_json::to_string(&envelope(1)).expect("JSON");
    assert_eq!(shown(&record), Some(Attested::Signed(first)));
    assert_eq!(unsigned(&record), []);
    let forged = record.sql().query("UPDATE attestations SET envelope = 'x'", &[]);
    assert!(forged.expect_err("SQL forbids it").to_string().contains("signed once"));
    let rows = entries(record.sql(), 1, 100).expect("rows");
    let told: Vec<_> = rows.iter().filter(|row| row.event.action == "attested").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.details, format!(r#"{{"distro":"{JAMMY}","keys":["key"],"statement":"{digest}"}}"#));
}

#[test]
fn a_release_says_where_its_attestation_is_once_it_is_signed() {
    let record = record();
    release(&record);
    let config = config();
    let project = config.project("tug").expect("the project");
    let link = || {
        let release = record.release(&config, project, &version(), &crate::record::Sent::default(), NOW);
        let release = release.expect("rows").expect("the release");
        release.packages[0].targets[0].attestation.clone()
    };
    assert_eq!(link(), None);
    record.attested(&unsigned(&record)[0], &envelope(1), &Digest::of(b"statement"), None, NOW).expect("kept");
    let link = link().expect("it is signed");
    let end = "/api/v1/projects/tug/releases/1.2.0/attestations/jammy-amd64/ubuntu/jammy";
    assert!(link.ends_with(end), "{link}");
}

#[test]
fn what_is_told_again_is_attested_once() {
    let record = record();
    release(&record);
    report(&record, 1, TargetState::Released);
    assert_eq!(unsigned(&record).len(), 1);
}

#[test]
fn what_is_to_be_attached_waits_until_it_is_and_is_not_attached_again() {
    let record = record();
    release(&record);
    record.attested(&unsigned(&record)[0], &envelope(1), &Digest::of(b"statement"), Some(NOW), NOW).expect("kept");
    let due = || record.due_attachment(NOW, NOW).expect("rows");
    let attachment = due().expect("one is due");
    assert_eq!((attachment.digest, attachment.tries), (Digest::of(b"deb"), 0));
    let later = NOW + std::time::Duration::from_mins(1);
    record.attach_later(&attachment, true, Some(later)).expect("put off");
    assert_eq!(record.due_attachment(NOW, later).expect("rows"), None);
    assert_eq!(record.due_attachment(later, later).expect("rows").map(|due| due.tries), Some(1));
    // Put off by a clock that was wrong.
    assert!(due().is_some());
    let artifact = Digest::of(b"artifact");
    for _ in 0..2 {
        record.attached(&attachment, &artifact, NOW).expect("written down");
    }
    record.attach_later(&attachment, true, Some(NOW)).expect("too late");
    assert_eq!(due(), None);
    let rows = entries(record.sql(), 1, 100).expect("rows");
    assert_eq!(rows.iter().filter(|row| row.event.action == "attached").count(), 1);
}

//! Who released what can be proved afterwards.

use serde_json::Value;
use slipway_core::time::Timestamp;
use slipway_ledger::audit::{Broken, Entry, Event, verify};
use slipway_tests::e2e::{World, deb};

#[test]
fn the_audit_is_an_unbroken_chain_that_names_who_played_the_job_and_the_bytes() {
    let world = World::start("audit");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("ledger", "", 0));
    // Mira began the pipeline, Jonas plays the job: it is his approval.
    world.gitlab.play(job, "jonas");
    let target = release.wait_until_released("ledger");
    assert_eq!(target["approval"]["by"], "jonas");
    assert_eq!(target["approval"]["via"], "webhook");

    let rows = world.rows(&release, "ledger", "approved");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["actor"], "user:jonas");
    let details: Value = serde_json::from_str(rows[0]["details"].as_str().expect("text")).expect("details are JSON");
    assert_eq!(details["digest"], format!("sha256:{}", package.sha256));
    assert_eq!(details["job"], job);
    for action in ["declared", "staged", "approved", "released"] {
        assert_eq!(world.rows(&release, "ledger", action).len(), 1, "one row says `{action}`");
    }

    let mut chain: Vec<Entry> = world.audit(world.tug()).iter().map(entry).collect();
    assert_eq!(verify(&chain), Ok(()));
    // Somebody else in Jonas's place would show.
    let approval = chain.iter().position(|row| row.event.action == "approved").expect("it is there");
    "user:mira".clone_into(&mut chain[approval].event.actor);
    assert_eq!(verify(&chain), Err(Broken::Contents(chain[approval].sequence)));
}

#[test]
fn a_refusal_is_in_the_audit_with_its_reason() {
    let world = World::start("audit-refusal");
    let release = world.release("1.0.0");
    release.plan(&["ledger"]);
    let job = world.gitlab.play(release.job("ledger"), "jonas");
    assert_eq!(release.promote(&release.session(job), &["ledger"]).status, 409);
    let rows = world.rows(&release, "ledger", "refused");
    // The webhook of the same job may have been first; a job is refused once, whichever way it asks.
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let actor = row["actor"].to_string();
    assert!(actor.contains(&format!("job:{job}")), "{actor}");
    let details = row["details"].to_string();
    assert!(details.contains("is not staged"), "{details}");
}

fn entry(row: &Value) -> Entry {
    let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {row}")).to_owned();
    Entry {
        sequence: row["sequence"].as_u64().expect("rows are numbered"),
        event: Event {
            at: Timestamp(row["at_ms"].as_i64().expect("rows have their time in milliseconds")),
            actor: text("actor"),
            action: text("action"),
            subject: text("subject"),
            details: text("details"),
        },
        previous: text("previous").parse().expect("hashes are hexadecimal"),
        hash: text("hash").parse().expect("hashes are hexadecimal"),
    }
}

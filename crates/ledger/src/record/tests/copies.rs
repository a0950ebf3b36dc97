//! Stories of records that are made of an export.

use super::super::{End, ExportHead, Kept, Named, NotImported};
use super::*;

const ID: &str = "one";

fn lines(record: &Record<Database>) -> (ExportHead, Vec<String>) {
    let (head, pieces) = record.export("operator", NOW).expect("an export");
    let mut lines: Vec<String> = pieces.concat().lines().skip(1).map(str::to_owned).collect();
    let mut first = 1;
    while first <= head.audit_rows {
        let page = record.export_audit(first, head.audit_rows).expect("rows");
        first += u64::try_from(page.lines().count()).expect("few");
        lines.extend(page.lines().map(str::to_owned));
    }
    (head, lines)
}

fn end(lines: &[String]) -> End {
    End { lines: u64::try_from(lines.len()).expect("few") + 1, sha256: Digest::of(b"") }
}

fn import(head: &ExportHead, lines: &[String]) -> Result<Record<Database>, NotImported> {
    let new = record();
    new.import(head, ID, "operator", NOW)?;
    new.import_rows(ID, lines)?;
    new.import_ends(ID, &end(lines), "operator", NOW)?;
    Ok(new)
}

/// A record with something in most tables.
fn used() -> Record<Database> {
    let record = record();
    record.know_project(1001).expect("a row");
    stage(&record);
    record.hold(&version(), None, "user:nell", "a \"quoted\" reason,\nof two lines: é", None, NOW).expect("a hold");
    ask(&record).expect("it is approved");
    report(&record, 1, TargetState::Releasing);
    record
}

/// One in which nothing goes on any more.
fn resting() -> Record<Database> {
    let record = used();
    record.dispatched(&[1]).expect("it was taken");
    report(&record, 1, TargetState::Released);
    record.sql().query("UPDATE attestations SET due_at = NULL", &[]).expect("nobody signs");
    record.sql().query("UPDATE occurrences SET is_spread = 1", &[]).expect("all are told");
    record
}

#[test]
fn an_imported_record_equals_the_one_that_was_exported_but_for_the_rows_that_say_so() {
    let old = resting();
    let (head, rows) = lines(&old);
    let new = import(&head, &rows).expect("a whole import");
    let (new_head, new_rows) = lines(&new);
    let without_audit = |rows: &[String]| -> Vec<String> {
        rows.iter().filter(|row| !row.contains("\"table\":\"audit\"")).cloned().collect()
    };
    assert_eq!(without_audit(&new_rows), without_audit(&rows));
    let audit = |rows: &[String]| -> Vec<String> {
        rows.iter().filter(|row| row.contains("\"table\":\"audit\"")).cloned().collect()
    };
    let (before, after) = (audit(&rows), audit(&new_rows));
    assert_eq!(after[..before.len()], before[..], "its audit goes on where the other ended");
    assert_eq!((after.len(), new_head.audit_rows), (before.len() + 2, head.audit_rows + 2), "`imported`, `exported`");
    assert_eq!(verify(&entries(new.sql(), 1, 100).expect("rows")), Ok(()));
}

#[test]
fn what_was_adopted_and_what_was_released_outside_comes_back_with_an_import() {
    let old = record();
    old.know_project(1001).expect("a row");
    stage(&old);
    let (stable, digest) =
        (Site { place: "depot".to_owned(), repository: "harbour/stable".to_owned() }, Digest::of(b"deb"));
    let baseline = serde_json::json!({ "baseline": 2, "digest": Digest::of(b"two") });
    let one = serde_json::json!({ "reason": "the hotfix of 3 June", "adopted": [{ "name": "rope_1.0_amd64.deb" }], "more": 0 });
    old.adopted(&stable, "edge", &baseline, NOW).expect("a row");
    old.adopted(&stable, "operator", &one, NOW).expect("a row");
    assert!(old.published_outside(&version(), &key(), JAMMY, &digest, NOW).expect("a row"));

    let (head, rows) = lines(&old);
    let new = import(&head, &rows).expect("a whole import");
    assert_eq!(state(&new), TargetState::Released);
    assert_eq!(count(&new, "targets WHERE outside = 1"), 1);
    let adopted = details(&new, "adopted");
    assert_eq!(adopted[..2], [baseline, one]);
    assert_eq!((adopted.len(), &adopted[2]["outside"]), (3, &true.into()));
}

#[test]
fn an_imported_record_is_stopped_and_stays_so_until_it_is_started() {
    let (head, rows) = lines(&used());
    let new = import(&head, &rows).expect("a whole import");
    assert!(new.stopped().expect("a switch").is_some_and(|stopped| stopped.why.contains("compare it")));
    assert!(!new.imported().expect("a row").expect("it was imported").is_compared);
    assert_eq!(new.declared_targets(1, 10).expect("rows").len(), 1);
    assert!(!new.compared(3, None).expect("a row"), "a page that nobody has come to yet");
    assert!(!new.compared(1, Some(2)).expect("a row"));
    assert!(new.compared(2, None).expect("a row"));
    assert!(new.imported().expect("a row").expect("it was imported").is_compared);
    assert!(new.start("operator", "compared", NOW).expect("a switch"));
}

#[test]
fn no_table_is_forgotten_and_those_that_are_left_out_say_why() {
    let record = used();
    let (head, _) = lines(&record);
    let all = record.sql().query("SELECT name FROM sqlite_master WHERE type = 'table'", &[]).expect("names");
    for row in &all {
        let name = row.text(0).expect("a name");
        let exported = head.tables.iter().any(|table| table.name == name);
        let left_out = head.left_out.get(name).is_some_and(|why| !why.is_empty());
        assert!(exported != left_out || name.starts_with("sqlite_"), "{name}");
    }
}

#[test]
fn an_import_is_refused_over_a_record_that_was_used() {
    let (head, _) = lines(&used());
    let other = record();
    plan(&other);
    assert!(
        matches!(other.import(&head, ID, "operator", NOW), Err(NotImported::Refused(why)) if why.contains("already"))
    );
    let foreign = record();
    foreign.know_project(1002).expect("a row");
    assert!(
        matches!(foreign.import(&head, ID, "operator", NOW), Err(NotImported::Refused(why)) if why.contains("1001"))
    );
}

#[test]
fn an_import_that_broke_off_begins_again_and_meanwhile_it_is_stopped() {
    let (head, rows) = lines(&used());
    let new = record();
    new.import(&head, ID, "operator", NOW).expect("it begins");
    new.import_rows(ID, &rows[..rows.len() / 2]).expect("half of it");
    assert!(new.is_stopped().expect("a switch"));
    assert!(
        matches!(new.import_ends(ID, &end(&rows), "operator", NOW), Err(NotImported::Refused(_))),
        "rows are missing"
    );
    new.import(&head, ID, "operator", NOW).expect("it begins again");
    new.import_rows(ID, &rows).expect("all of it");
    new.import_ends(ID, &end(&rows), "operator", NOW).expect("it is whole");
}

#[test]
fn an_export_in_which_a_row_of_the_audit_was_changed_or_left_out_is_refused() {
    let (head, rows) = lines(&used());
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.contains("\"table\":\"audit\"")) {
        let mut changed = rows.clone();
        changed[index] = row.replace("\"action\":\"", "\"action\":\"not-");
        assert!(import(&head, &changed).is_err(), "{row}");
        let mut shorter = rows.clone();
        shorter.remove(index);
        assert!(import(&head, &shorter).is_err(), "{row}");
    }
}

// ---- what an import ends ----

const LATER: Timestamp = Timestamp(NOW.0 + 3_600_000);

/// The lines, with the row of a table that follows them added, as somebody forges them who counts again.
fn forged(head: &ExportHead, rows: &[String], table: &str, row: &serde_json::Value) -> (ExportHead, Vec<String>) {
    let (mut head, mut rows) = (head.clone(), rows.to_vec());
    let named = head.tables.iter_mut().find(|one| one.name == table).expect("the table");
    named.rows += 1;
    let nothing = |column: &String| (column.clone(), row.get(column).cloned().unwrap_or_default());
    let row: serde_json::Map<_, _> = named.columns.iter().map(nothing).collect();
    rows.push(serde_json::json!({ "table": table, "row": row }).to_string());
    (head, rows)
}

fn count(record: &Record<Database>, which: &str) -> u64 {
    let rows = record.sql().query(&format!("SELECT COUNT(*) FROM {which}"), &[]).expect("a count");
    rows[0].natural(0).expect("a number")
}

fn details(record: &Record<Database>, action: &str) -> Vec<serde_json::Value> {
    let rows = entries(record.sql(), 1, 100).expect("rows").into_iter().filter(|row| row.event.action == action);
    rows.map(|row| serde_json::from_str(&row.event.details).expect("JSON")).collect()
}

#[test]
fn an_import_ends_what_was_approved_and_nothing_of_it_begins_without_a_new_approval() {
    for begun in [false, true] {
        let old = record();
        old.know_project(1001).expect("a row");
        stage(&old);
        ask(&old).expect("it is approved");
        if begun {
            report(&old, 1, TargetState::Releasing);
            old.sql().query("UPDATE targets SET begun = 1, allowed_at = 1", &[]).expect("an act");
        }
        let (head, rows) = lines(&old);
        let new = import(&head, &rows).expect("a whole import");
        // What was begun may be public.
        assert_eq!(state(&new), if begun { TargetState::Failed } else { TargetState::Staged });
        assert!(new.dispatches().expect("rows").is_empty());
        assert!(new.unheard(1001, LATER, LATER).expect("rows").is_empty());
        assert!(!new.is_moving().expect("rows"));
        assert_eq!(details(&new, "blocked").len(), 1, "the audit says so");
        // The old job has spoken for what has ended; a new one approves.
        assert!(!ask(&new).expect("no refusal"));
        assert!(ask_by(&new, 82).expect("no refusal"));
    }
}

#[test]
fn an_import_drops_orders_even_of_other_projects_and_deletions_under_way() {
    let (head, rows) = lines(&used());
    let order = serde_json::json!({ "approval": 99, "sent_order": "{\"project_id\":1002}" });
    let (head, rows) = forged(&head, &rows, "dispatches", &order);
    let removal = serde_json::json!({
        "id": 1, "place": "depot", "repository": "harbour-ci/pre-release", "cargo": "tug_1.2.0_amd64.deb", "under": JAMMY,
        "digest": Digest::of(b"deb"), "version": "1.2.0", "key": "jammy-amd64", "begun_at": 1, "stays": 0,
    });
    let (head, rows) = forged(&head, &rows, "removals", &removal);
    let new = import(&head, &rows).expect("a whole import");
    assert_eq!((count(&new, "dispatches"), count(&new, "removals")), (0, 0));
}

#[test]
fn an_import_ends_what_was_being_taken_back_and_says_so() {
    let old = record();
    old.know_project(1001).expect("a row");
    stage(&old);
    let (head, rows) = lines(&old);
    let withdrawal = serde_json::json!({
        "id": 1, "version": "1.2.0", "key": "jammy-amd64", "distro": JAMMY, "place": "depot", "repository": "harbour/stable",
        "filename": "tug_1.2.0_amd64.deb", "digest": Digest::of(b"deb"), "sent_order": "{\"project_id\":1002}",
        "asked_by": "user:mira", "reason": "r", "at": 1, "users": "[]", "is_given": 0, "told_at": 1, "heard": 0,
        "state": "under_way", "notes": "[]",
    });
    let (head, rows) = forged(&head, &rows, "withdrawals", &withdrawal);
    let new = import(&head, &rows).expect("a whole import");
    assert!(!new.is_withdrawing().expect("rows"));
    assert!(new.withdrawals_to_give().expect("rows").is_empty());
    let ended = new.withdrawal(&version(), &key(), JAMMY).expect("a row").expect("it was asked for");
    assert_eq!(ended.state, slipway_core::api::WithdrawalState::NotWithdrawn);
    assert!(ended.problem.is_some_and(|problem| problem.what.contains("import")));
    assert!(new.why_withdrawn(&version(), &key()).expect("rows").is_some(), "it may be gone, and does not come back");
    assert_eq!(details(&new, "not-withdrawn").len(), 1);
}

#[test]
fn an_import_signs_attaches_tells_and_looks_into_nothing_that_was_due() {
    let old = used();
    let (head, rows) = lines(&old);
    let attestation = |id: u64, envelope: Option<&str>| {
        serde_json::json!({
            "id": id, "version": "1.2.0", "key": "jammy-amd64", "distro": JAMMY, "approval": id, "released_at": 1, "outside": 0,
            "audit_sequence": 1, "audit_hash": "00", "envelope": envelope, "tries": 0, "due_at": 1,
        })
    };
    let (head, rows) = forged(&head, &rows, "attestations", &attestation(1, None));
    let (head, rows) = forged(&head, &rows, "attestations", &attestation(2, Some("{}")));
    let hint = serde_json::json!({ "id": 1, "delivery": "d", "job_id": 83, "received_at": 1, "tries": 0, "due_at": 1, "kind": "job" });
    let (head, rows) = forged(&head, &rows, "hints", &hint);
    let told =
        serde_json::json!({ "id": 90, "name": "n", "kind": "complete", "version": "1.2.0", "at": 1, "is_spread": 0 });
    let (head, rows) = forged(&head, &rows, "occurrences", &told);
    let delivery = serde_json::json!({ "occurrence": 90, "receiver": "deploys", "tries": 0, "due_at": 1 });
    let (head, rows) = forged(&head, &rows, "deliveries", &delivery);
    let status =
        serde_json::json!({ "version": "1.2.0", "key": "jammy-amd64", "approved_by": "mira", "tries": 0, "due_at": 1 });
    let (head, rows) = forged(&head, &rows, "statuses", &status);
    let new = import(&head, &rows).expect("a whole import");
    for due in ["attestations", "hints", "deliveries", "statuses"] {
        assert_eq!(count(&new, &format!("{due} WHERE due_at IS NOT NULL")), 0, "{due}");
    }
    assert_eq!(count(&new, "occurrences WHERE is_spread = 0"), 0);
}

#[test]
fn an_export_with_a_signed_head_that_its_audit_does_not_have_is_refused() {
    let (head, rows) = lines(&used());
    let edge: slipway_wire::Base = "https://slipway.example.com".parse().expect("an address");
    let note = |project, sequence, hash| {
        let text = crate::audit::Head { edge: edge.clone(), project, sequence, hash, at: NOW }.to_string();
        format!("{text}\n\u{2014} slipway.example.com AAAAAAAA\n")
    };
    let row = |sequence: u64, note: &str| serde_json::json!({ "sequence": sequence, "at": 1, "note": note });
    let last = head.audit_rows;
    let beyond = row(last + 1, &note(1001, last + 1, head.audit_hash));
    let rebuilt = row(last, &note(1001, last, Digest::of(b"another audit")));
    let elsewhere = row(last, &note(1002, last, head.audit_hash));
    let shifted = row(last - 1, &note(1001, last, head.audit_hash));
    for wrong in [beyond, rebuilt, elsewhere, shifted, row(last, "a word")] {
        let (head, rows) = forged(&head, &rows, "audit_heads", &wrong);
        assert!(matches!(import(&head, &rows), Err(NotImported::Refused(_))), "{wrong}");
    }
    let (head, rows) = forged(&head, &rows, "audit_heads", &row(last, &note(1001, last, head.audit_hash)));
    import(&head, &rows).expect("a head of its own");
}

#[test]
fn whoever_asks_a_record_that_is_being_imported_writes_nothing_into_it() {
    let (head, rows) = lines(&used());
    let new = record();
    new.import(&head, ID, "operator", NOW).expect("it begins");
    new.know_project(1001).expect("a first contact");
    assert!(!new.know_policy(&policy(), NOW).expect("a look"), "a scrape of the metrics");
    let word = |number, stopped: Option<&str>| slipway_core::stop::Word {
        number,
        stopped: stopped.map(|why| slipway_core::stop::Stopped { why: why.to_owned(), by: "op".to_owned(), at: NOW }),
        by: "op".to_owned(),
        reason: "r".to_owned(),
        at: NOW,
    };
    new.hear(&word(1, Some("a fire")), NOW).expect("a word");
    new.import_rows(ID, &rows).expect("all of it");
    new.import_ends(ID, &end(&rows), "operator", NOW).expect("it is whole");
    assert_eq!(new.project_id().expect("a row"), Some(1001));
    assert!(new.know_policy(&policy(), NOW).expect("a look"));
    assert_eq!(details(&new, "stopped").len(), 1, "what was heard meanwhile is in the audit afterwards");
    assert_eq!(verify(&entries(new.sql(), 1, 100).expect("rows")), Ok(()));
}

#[test]
fn whoever_was_let_in_before_an_import_began_changes_nothing_once_it_goes_on() {
    let (head, rows) = lines(&used());
    // No row of the export has come yet; or all have, so that there is a release.
    for rows in [&[][..], &rows] {
        let new = record();
        new.know_project(1001).expect("a row");
        new.import(&head, ID, "operator", NOW).expect("it begins");
        new.import_rows(ID, rows).expect("rows");
        let before = (count(&new, "audit"), count(&new, "packages"), count(&new, "holds"));
        let (session, other) = (session(8, "bb"), "1.2.1".parse::<Version>().expect("a version"));
        let writes = [
            // It is known already where the rows have come, and a job that is told so goes on as if it were kept.
            new.expect(&version(), &self::session(7, "aa"), &policy(), Maturity::Final, &planned(None), NOW),
            new.expect(&other, &session, &policy(), Maturity::Final, &planned(None), NOW),
            new.refused_of(&version(), "user:mira", "PATCH", "why", NOW),
            new.refused_at_the_door("user:mira", "POST x", "why", NOW),
        ];
        for write in writes {
            assert!(matches!(write, Err(LedgerError::Importing)), "{write:?}");
        }
        if !rows.is_empty() {
            let on_hold = new.hold(&version(), None, "user:mira", "another reason", None, NOW);
            assert!(matches!(on_hold, Err(LedgerError::Importing)), "{on_hold:?}");
            let refused = new.refuse(&version(), &key(), 83, "job:83", "why", NOW);
            assert!(matches!(refused, Err(LedgerError::Importing)), "{refused:?}");
        }
        assert_eq!((count(&new, "audit"), count(&new, "packages"), count(&new, "holds")), before);
        assert!(!LedgerError::Importing.is_refusal(), "it says nothing of what was asked for");
        // Put back, or whole, it is written into as ever.
        if rows.is_empty() {
            assert!(new.give_up_import(ID, "operator", "it broke off", NOW).expect("rows"));
        } else {
            new.import_ends(ID, &end(rows), "operator", NOW).expect("it is whole");
        }
        new.expect(&other, &session, &policy(), Maturity::Final, &planned(None), NOW).expect("a plan");
    }
}

#[test]
fn a_webhook_that_comes_while_an_import_goes_on_is_taken_and_makes_no_row() {
    // GitLab switches a hook off that is refused four times, and an import that broke off may wait for days.
    let (head, rows) = lines(&used());
    let new = record();
    new.import(&head, ID, "operator", NOW).expect("it begins");
    new.import_rows(ID, &rows).expect("all of it");
    let before = count(&new, "hints");
    let played = |id| Named::Job { id, pipeline_id: Some(7), name: "release: [jammy-amd64]".to_owned() };
    let named =
        [played(84), Named::Deployment { id: 5 }, Named::Job { id: 85, pipeline_id: None, name: String::new() }];
    assert_eq!(new.keep_hints("one", &named, NOW).expect("an answer"), Kept::NotNeeded);
    let found = new.found_deployment(5, NOW);
    assert!(matches!(found, Err(LedgerError::Importing)), "who looks for lost webhooks looks again: {found:?}");
    assert_eq!(count(&new, "hints"), before);
    new.import_ends(ID, &end(&rows), "operator", NOW).expect("it is whole");
    assert_eq!(new.keep_hints("two", &named, NOW).expect("an answer"), Kept::Kept);
}

#[test]
fn of_two_imports_at_once_only_the_later_one_goes_on() {
    let (head, rows) = lines(&used());
    let new = record();
    new.import(&head, "one", "operator", NOW).expect("it begins");
    new.import_rows("one", &rows[..2]).expect("some of it");
    new.import(&head, "two", "operator", NOW).expect("another begins");
    let overtaken = |result: Result<(), NotImported>| {
        assert!(matches!(&result, Err(NotImported::Refused(why)) if why.contains("another import")), "{result:?}");
    };
    overtaken(new.import_rows("one", &rows[2..]));
    new.import_rows("two", &rows).expect("all of it");
    overtaken(new.import_ends("one", &end(&rows), "operator", NOW).map(drop));
    new.import_ends("two", &end(&rows), "operator", NOW).expect("it is whole");
}

#[test]
fn the_audit_of_an_import_says_where_that_of_the_export_ended_and_the_one_that_gave_way() {
    let (head, rows) = lines(&used());
    let new = record();
    new.know_project(1001).expect("a row");
    new.refused_at_the_door("user:nell", "read", "no", NOW).expect("a row");
    let (sequence, hash) = crate::audit::last(new.sql()).expect("rows").expect("a row");
    for _ in 0..2 {
        // Also when the first one broke off.
        new.import(&head, ID, "operator", NOW).expect("it begins");
        new.import_rows(ID, &rows).expect("all of it");
    }
    new.import_ends(ID, &end(&rows), "operator", NOW).expect("it is whole");
    let said = &details(&new, "imported")[0];
    assert_eq!(said["audit"], serde_json::json!({ "sequence": head.audit_rows, "hash": head.audit_hash }));
    assert_eq!(said["replaces_audit"], serde_json::json!({ "sequence": sequence, "hash": hash }));
    assert_eq!((&said["ended"]["approvals"], &said["ended"]["orders"]), (&1.into(), &1.into()), "{said}");
}

#[test]
fn an_import_that_is_given_up_leaves_the_record_as_it_was_and_stopped_and_it_is_used_as_before() {
    let (head, rows) = lines(&used());
    let fresh = record();
    fresh.know_project(1001).expect("a row");
    fresh.know_policy(&policy(), NOW).expect("a row");
    fresh.refused_at_the_door("user:nell", "read", "no", NOW).expect("a row");
    let (_, before) = lines(&fresh);
    let before: Vec<String> = before.into_iter().filter(|row| !row.contains("\"action\":\"exported\"")).collect();
    let last = crate::audit::last(fresh.sql()).expect("rows");
    // The first breaks off, and the second is foreign.
    fresh.import(&head, "one", "operator", NOW).expect("it begins");
    fresh.import_rows("one", &rows[..rows.len() / 2]).expect("half of it");
    fresh.import(&head, "two", "operator", NOW).expect("another begins");
    fresh.import_rows("two", &rows).expect("all of it");
    assert!(!fresh.give_up_import("one", "operator", "it broke off", LATER).expect("the other goes on"));
    assert!(fresh.is_being_imported().expect("a row"));
    assert!(fresh.give_up_import("two", "operator", "it is not signed", LATER).expect("it goes on"));
    assert!(!fresh.give_up_import("two", "operator", "again", LATER).expect("it is over"));

    assert!(!fresh.is_being_imported().expect("no row") && !fresh.awaits_start().expect("no row"));
    let (sequence, hash) = last.expect("a row");
    let audit = entries(fresh.sql(), 1, 100).expect("rows");
    assert_eq!(verify(&audit), Ok(()));
    let next = audit.iter().find(|row| row.sequence == sequence + 1).expect("it goes on where it was");
    assert_eq!((next.previous, next.event.action.as_str()), (hash, "import-given-up"));
    assert_eq!(details(&fresh, "import-given-up")[0]["why"], "it is not signed");
    let (_, after) = lines(&fresh);
    for row in &before {
        assert!(after.contains(row), "{row}");
    }
    assert_eq!(count(&fresh, "sqlite_master WHERE name LIKE 'kept_for%'"), 0);
    assert!(fresh.stopped().expect("a switch").is_some_and(|stopped| stopped.why.contains("given up")));
    assert!(fresh.start("operator", "it is as it was", LATER).expect("a switch"));
    stage(&fresh);
    assert!(ask(&fresh).expect("it is approved"));
}

#[test]
fn an_import_that_is_refused_before_it_begins_is_in_the_audit_and_not_in_that_of_another_that_goes_on() {
    let refused = |record: &Record<Database>| {
        let rows = entries(record.sql(), 1, 100).expect("rows").into_iter().map(|row| row.event);
        let rows = rows.filter(|event| event.action == "refused");
        rows.map(|event| format!("{} {} {}", event.actor, event.subject, event.details)).collect::<Vec<_>>()
    };
    let (head, rows) = lines(&used());
    let other = used();
    other.import(&head, "one", "operator", NOW).expect_err("it was used");
    assert!(!other.give_up_import("one", "operator", "it was used", NOW).expect("there is none"));
    assert_eq!(refused(&other), ["operator POST import {\"why\":\"it was used\"}"]);
    assert!(!other.is_stopped().expect("a switch"), "it goes on as before");

    let new = record();
    new.import(&head, "one", "operator", NOW).expect("it begins");
    assert!(!new.give_up_import("two", "operator", "not this one", NOW).expect("the other goes on"));
    new.import_rows("one", &rows).expect("nothing was written in between");
    new.import_ends("one", &end(&rows), "operator", NOW).expect("it is whole");
    assert!(refused(&new).is_empty());
}

#[test]
fn an_imported_record_still_awaits_its_start_when_another_import_of_it_was_given_up() {
    let old = record();
    old.know_project(1001).expect("a row");
    old.refused_at_the_door("user:nell", "read", "no", NOW).expect("a row");
    let (head, rows) = lines(&old);
    // Nothing is planned in it, so that another may come.
    let new = import(&head, &rows).expect("a whole import");
    new.import(&head, "two", "operator", NOW).expect("another begins");
    assert!(new.give_up_import("two", "operator", "it broke off", LATER).expect("it goes on"));
    assert!(new.awaits_start().expect("a row"), "nobody has compared and started it");
    assert_eq!(
        new.imported().expect("a row").map(|import| (import.id, import.is_compared)),
        Some((ID.to_owned(), false))
    );
}

#[test]
fn an_import_that_has_ended_is_not_given_up_any_more_and_keeps_nothing_of_what_gave_way() {
    let (head, rows) = lines(&used());
    let new = record();
    new.refused_at_the_door("user:nell", "read", "no", NOW).expect("a row");
    new.import(&head, ID, "operator", NOW).expect("it begins");
    new.import_rows(ID, &rows).expect("all of it");
    new.import_ends(ID, &end(&rows), "operator", NOW).expect("it is whole");
    assert!(!new.give_up_import(ID, "operator", "the directory is silent", LATER).expect("it is over"));
    assert_eq!(count(&new, "sqlite_master WHERE name LIKE 'kept_for%'"), 0);
    assert_eq!(count(&new, "releases"), 1);
}

#[test]
fn an_imported_record_awaits_its_start_and_a_later_stop_does_not_bring_that_back() {
    let (head, rows) = lines(&used());
    let new = import(&head, &rows).expect("a whole import");
    assert!(new.awaits_start().expect("a row"));
    assert!(!record().awaits_start().expect("no row"), "one that was never imported");
    assert_eq!(new.declared_targets(1, 10).expect("rows")[0].ended, [super::super::EndedByImport::Approval]);
    new.compared(1, None).expect("a row");
    new.start("operator", "compared", LATER).expect("a switch");
    assert!(!new.awaits_start().expect("a row"));
    assert_eq!(new.started_after_import().expect("a row"), Some(LATER));
    new.stop("operator", "again", LATER).expect("a switch");
    assert!(!new.awaits_start().expect("a row"));
}

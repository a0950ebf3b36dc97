//! Stories of records that are made of an export.

use super::super::{End, ExportHead, NotImported};
use super::*;

fn lines(record: &Record<Database>) -> (ExportHead, Vec<String>) {
    let (head, text) = record.export("operator", NOW).expect("an export");
    let mut lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
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
    new.import(head, "operator", NOW)?;
    new.import_rows(lines)?;
    new.import_ends(&end(lines), "operator", NOW)?;
    Ok(new)
}

/// A record with something in most tables.
fn used() -> Record<Database> {
    let record = record();
    record.know_project(1001).expect("a row");
    stage(&record);
    ask(&record).expect("it is approved");
    report(&record, 1, TargetState::Releasing);
    record.hold(&version(), None, "user:nell", "a \"quoted\" reason,\nof two lines: é", None, NOW).expect("a hold");
    record
}

#[test]
fn an_imported_record_equals_the_one_that_was_exported_but_for_the_rows_that_say_so() {
    let old = used();
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
    assert!(matches!(other.import(&head, "operator", NOW), Err(NotImported::Refused(why)) if why.contains("already")));
    let foreign = record();
    foreign.know_project(1002).expect("a row");
    assert!(matches!(foreign.import(&head, "operator", NOW), Err(NotImported::Refused(why)) if why.contains("1001")));
}

#[test]
fn an_import_that_broke_off_begins_again_and_meanwhile_it_is_stopped() {
    let (head, rows) = lines(&used());
    let new = record();
    new.import(&head, "operator", NOW).expect("it begins");
    new.import_rows(&rows[..rows.len() / 2]).expect("half of it");
    assert!(new.is_stopped().expect("a switch"));
    assert!(matches!(new.import_ends(&end(&rows), "operator", NOW), Err(NotImported::Refused(_))), "rows are missing");
    new.import(&head, "operator", NOW).expect("it begins again");
    new.import_rows(&rows).expect("all of it");
    new.import_ends(&end(&rows), "operator", NOW).expect("it is whole");
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

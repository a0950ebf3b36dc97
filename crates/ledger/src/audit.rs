//! The audit in SQL: rows are added, and heads that were signed of them. What a row is and how it is checked is
//! [`slipway_core::audit`]'s.

use slipway_core::audit::head::{ROWS_MAX, WAIT_MAX};
pub use slipway_core::audit::{Broken, Entry, Event, GENESIS, Head, canonical, verify};
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use crate::sql::{Row, Sql, SqlError, Value};

/// The statements that make the table. SQL itself forbids to change or delete a row.
pub(crate) const SCHEMA: &[&str] = &[
    "CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        details TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    )",
    "CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
];

/// Signed heads, the notes as they are handed out, and the policy under which the record was last used.
pub(crate) const HEADS: &[&str] = &[
    "CREATE TABLE audit_heads (
        sequence INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        note TEXT NOT NULL
    )",
    "CREATE TRIGGER audit_heads_are_never_changed BEFORE UPDATE ON audit_heads
        BEGIN SELECT RAISE(ABORT, 'heads of the audit are append-only'); END",
    "CREATE TRIGGER audit_heads_are_never_deleted BEFORE DELETE ON audit_heads
        BEGIN SELECT RAISE(ABORT, 'heads of the audit are append-only'); END",
    "CREATE TABLE configured (
        policy TEXT NOT NULL
    )",
];

/// The actions that rows have. `docs/audit.md` explains each.
pub const ACTIONS: &[&str] = &[
    "adopted",
    "announced",
    "approved",
    "attached",
    "attested",
    "blocked",
    "closed",
    "configured",
    "conflict",
    "declared",
    "deleted",
    "deleting",
    "deployed",
    "expected",
    "exported",
    "extended",
    "failed",
    "found-stranger",
    "held",
    "import-given-up",
    "imported",
    "kept",
    "lapsed",
    "lifted",
    "looked-again",
    "marked",
    "missing",
    "not-deleted",
    "not-sent",
    "not-withdrawn",
    "overridden",
    "planned",
    "recalled",
    "refused",
    "released",
    "releasing",
    "replaced",
    "staged",
    "started",
    "stopped",
    "waits",
    "withdrawing",
    "withdrawn",
];

/// Adds a row. Call it in the transaction that makes the event true.
pub fn append(sql: &impl Sql, event: &Event) -> Result<Digest, SqlError> {
    // A row that nobody has explained yet is better than none, so only a build for tests refuses it.
    if cfg!(debug_assertions) && !ACTIONS.contains(&event.action.as_str()) {
        return Err(SqlError(format!("`{}` is no action of the audit", event.action)));
    }
    let (sequence, previous) =
        match sql.query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1", &[])?.first() {
            Some(row) => (row.natural(0)? + 1, digest(row.text(1)?)?),
            None => (1, GENESIS),
        };
    let hash = Digest::of(&canonical(sequence, event, &previous));
    let values: [Value; 8] = [
        sequence.into(),
        event.at.0.into(),
        event.actor.as_str().into(),
        event.action.as_str().into(),
        event.subject.as_str().into(),
        event.details.as_str().into(),
        previous.hex().into(),
        hash.hex().into(),
    ];
    sql.query(
        "INSERT INTO audit (sequence, at, actor, action, subject, details, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        &values,
    )?;
    Ok(hash)
}

/// Rows from `first` on, at most `count`.
pub fn entries(sql: &impl Sql, first: u64, count: u64) -> Result<Vec<Entry>, SqlError> {
    let rows = sql.query(
        "SELECT sequence, at, actor, action, subject, details, previous, hash FROM audit
         WHERE sequence >= ? ORDER BY sequence LIMIT ?",
        &[first.into(), count.into()],
    )?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, SqlError> {
    Ok(Entry {
        sequence: row.natural(0)?,
        event: Event {
            at: Timestamp(row.integer(1)?),
            actor: row.text(2)?.to_owned(),
            action: row.text(3)?.to_owned(),
            subject: row.text(4)?.to_owned(),
            details: row.text(5)?.to_owned(),
        },
        previous: digest(row.text(6)?)?,
        hash: digest(row.text(7)?)?,
    })
}

fn digest(hex: &str) -> Result<Digest, SqlError> {
    hex.parse().map_err(|error: slipway_wire::InvalidDigest| SqlError(error.to_string()))
}

/// The number and the hash of the last row. `None` before the first.
pub fn last(sql: &impl Sql) -> Result<Option<(u64, Digest)>, SqlError> {
    let rows = sql.query("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1", &[])?;
    rows.first().map(|row| Ok((row.natural(0)?, digest(row.text(1)?)?))).transpose()
}

/// When the oldest row was written that is under no head. `None` while every row is under one.
pub fn unsigned_since(sql: &impl Sql) -> Result<Option<Timestamp>, SqlError> {
    // Two rows by their numbers, however long the audit is.
    let rows = sql
        .query("SELECT at FROM audit WHERE sequence = 1 + (SELECT COALESCE(MAX(sequence), 0) FROM audit_heads)", &[])?;
    rows.first().map(|row| Ok(Timestamp(row.integer(0)?))).transpose()
}

/// When the next head is due: at once after the first row and after many, and some minutes after one that no head proves.
/// `None` while every row is under a head.
pub fn head_due(sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    let Some((last, _)) = last(sql)? else { return Ok(None) };
    let signed = sql.query("SELECT COALESCE(MAX(sequence), 0) FROM audit_heads", &[])?;
    let signed = signed.first().map_or(Ok(0), |row| row.natural(0))?;
    if signed >= last {
        return Ok(None);
    }
    if signed == 0 || last - signed >= ROWS_MAX {
        return Ok(Some(now));
    }
    let first = sql.query("SELECT at FROM audit WHERE sequence = ?", &[(signed + 1).into()])?;
    let first = first.first().map_or(Ok(now.0), |row| row.integer(0))?;
    // A clock that went back lets nobody wait for longer.
    Ok(Some(if first > now.0 { now } else { Timestamp(first) + WAIT_MAX }))
}

/// Keeps a head. The first that was signed of a row stays.
pub fn keep_head(sql: &impl Sql, head: &Head, note: &str) -> Result<(), SqlError> {
    let values: [Value; 3] = [head.sequence.into(), head.at.0.into(), note.into()];
    sql.query("INSERT OR IGNORE INTO audit_heads (sequence, at, note) VALUES (?, ?, ?)", &values)?;
    Ok(())
}

/// The newest head, as a note.
pub fn newest_head(sql: &impl Sql) -> Result<Option<String>, SqlError> {
    let rows = sql.query("SELECT note FROM audit_heads ORDER BY sequence DESC LIMIT 1", &[])?;
    rows.first().map(|row| Ok(row.text(0)?.to_owned())).transpose()
}

/// Heads of the rows from `first` on, at most `count`: the number of each one's row, and the note.
pub fn heads(sql: &impl Sql, first: u64, count: u64) -> Result<Vec<(u64, String)>, SqlError> {
    let rows = sql.query(
        "SELECT sequence, note FROM audit_heads WHERE sequence >= ? ORDER BY sequence LIMIT ?",
        &[first.into(), count.into()],
    )?;
    rows.iter().map(|row| Ok((row.natural(0)?, row.text(1)?.to_owned()))).collect()
}

/// Adds a row when the configuration is another than when the record was last used.
pub fn configured(sql: &impl Sql, policy: &Digest, now: Timestamp) -> Result<bool, SqlError> {
    sql.atomically(|| {
        let known = sql.query("SELECT policy FROM configured", &[])?;
        let known = known.first().map(|row| row.text(0)).transpose()?;
        if known == Some(policy.to_string().as_str()) {
            return Ok(false);
        }
        let event = Event {
            at: now,
            actor: "edge".to_owned(),
            action: "configured".to_owned(),
            subject: "slipway.toml".to_owned(),
            details: serde_json::json!({ "policy": policy, "before": known }).to_string(),
        };
        append(sql, &event)?;
        sql.query("DELETE FROM configured", &[])?;
        sql.query("INSERT INTO configured (policy) VALUES (?)", &[policy.to_string().into()])?;
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::migrate;
    use crate::rusqlite::Database;

    fn event(subject: &str) -> Event {
        Event {
            at: Timestamp(1_795_392_000_000),
            actor: "user:mira".to_owned(),
            action: "approved".to_owned(),
            subject: subject.to_owned(),
            details: "{\"é\":1}".to_owned(),
        }
    }

    fn chain(rows: usize) -> (Database, Vec<Entry>) {
        let database = Database::in_memory();
        migrate(&database, &[SCHEMA]).expect("the schema");
        for number in 0..rows {
            append(&database, &event(&format!("1.2.0/package-{number}"))).expect("a row");
        }
        let entries = entries(&database, 1, 1_000).expect("the rows");
        (database, entries)
    }

    #[test]
    fn a_row_of_an_action_that_is_not_among_them_is_refused_by_tests_and_never_in_use() {
        let database = Database::in_memory();
        migrate(&database, &[SCHEMA]).expect("a table");
        let added = append(&database, &Event { action: "vanished".to_owned(), ..event("1.2.0") });
        assert_eq!(added.is_err(), cfg!(debug_assertions), "{added:?}");
        assert!(ACTIONS.is_sorted() && ACTIONS.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_whole_chain_holds_and_every_change_breaks_it_where_it_was_made() {
        let (_, whole) = chain(5);
        assert_eq!(verify(&whole), Ok(()));
        for index in 0..whole.len() {
            let sequence = whole[index].sequence;
            let changes: [fn(&mut Entry); 5] = [
                |entry| entry.event.at.0 += 1,
                |entry| entry.event.actor.push('x'),
                |entry| entry.event.action.push('x'),
                |entry| entry.event.subject.push('x'),
                |entry| entry.event.details.push('x'),
            ];
            for change in changes {
                let mut forged = whole.clone();
                change(&mut forged[index]);
                assert_eq!(verify(&forged), Err(Broken::Contents(sequence)));
            }
            let mut shorter = whole.clone();
            shorter.remove(index);
            let first_wrong = shorter.get(index).map(|next| Broken::Order { expected: sequence, found: next.sequence });
            assert_eq!(verify(&shorter).err(), first_wrong);
        }
    }

    /// The row of a head, and when it was signed, of an audit whose rows come at these seconds. Each is looked at as an alarm
    /// does: when it is due.
    fn signed(seconds: &[i64]) -> Vec<(u64, i64)> {
        let database = Database::in_memory();
        migrate(&database, &[SCHEMA, HEADS]).expect("the schema");
        let start = event("").at;
        let mut signed = Vec::new();
        let mut sign = |now: Timestamp, upto: Option<Timestamp>| {
            while let Some(due) = head_due(&database, now).expect("a time")
                && upto.is_none_or(|upto| due <= upto)
            {
                let (sequence, hash) = last(&database).expect("rows").expect("a row");
                let edge = "https://slipway.example.com".parse().expect("an address");
                let head = Head { edge, project: 1001, sequence, hash, at: due };
                keep_head(&database, &head, &head.to_string()).expect("a head");
                signed.push((sequence, due.since(start).as_secs().try_into().expect("few")));
            }
        };
        for at in seconds {
            let now = start + std::time::Duration::from_secs(u64::try_from(*at).expect("later"));
            sign(now, Some(now - std::time::Duration::from_millis(1)));
            append(&database, &Event { at: now, ..event("1.2.0/package") }).expect("a row");
            sign(now, Some(now));
        }
        sign(seconds.last().map_or(start, |at| start + std::time::Duration::from_secs(at.unsigned_abs())), None);
        signed
    }

    #[test]
    fn a_head_is_due_at_the_first_row_then_after_256_rows_or_five_minutes() {
        assert_eq!(signed(&[]), []);
        assert_eq!(signed(&[10]), [(1, 10)]);
        assert_eq!(signed(&[10, 20, 100]), [(1, 10), (3, 320)]);
        assert_eq!(signed(&[10, 20, 320, 330]), [(1, 10), (3, 320), (4, 630)]);
        let many: Vec<i64> = std::iter::once(0).chain((0..600).map(|row| 10 + row / 10)).collect();
        assert_eq!(signed(&many), [(1, 0), (257, 35), (513, 61), (601, 361)]);
    }

    #[test]
    fn the_oldest_row_under_no_head_is_the_one_behind_the_newest_head() {
        let database = Database::in_memory();
        migrate(&database, &[SCHEMA, HEADS]).expect("the schema");
        let unsigned = || unsigned_since(&database).expect("a look");
        assert_eq!(unsigned(), None);
        for second in 1..=3 {
            append(&database, &Event { at: Timestamp(second * 1000), ..event("1.2.0") }).expect("a row");
        }
        for (signed, since) in [(0, Some(1)), (1, Some(2)), (2, Some(3)), (3, None)] {
            if signed > 0 {
                let edge = "https://slipway.example.com".parse().expect("an address");
                let head = Head { edge, project: 1001, sequence: signed, hash: GENESIS, at: event("").at };
                keep_head(&database, &head, "note").expect("a head");
            }
            assert_eq!(unsigned(), since.map(|second| Timestamp(second * 1000)), "signed up to {signed}");
        }
    }

    #[test]
    fn the_first_head_of_a_row_stays_and_sql_refuses_to_change_one() {
        let database = Database::in_memory();
        migrate(&database, &[SCHEMA, HEADS]).expect("the schema");
        append(&database, &event("1.2.0")).expect("a row");
        let (sequence, hash) = last(&database).expect("rows").expect("a row");
        let edge = "https://slipway.example.com".parse().expect("an address");
        let head = Head { edge, project: 1001, sequence, hash, at: event("").at };
        keep_head(&database, &head, "first").expect("a head");
        keep_head(&database, &head, "second").expect("no error");
        assert_eq!(newest_head(&database).expect("heads").as_deref(), Some("first"));
        assert_eq!(heads(&database, 1, 10).expect("heads"), [(1, "first".to_owned())]);
        assert_eq!(heads(&database, 2, 10).expect("heads"), []);
        for statement in ["UPDATE audit_heads SET note = 'x'", "DELETE FROM audit_heads"] {
            let error = database.query(statement, &[]).expect_err("append-only").to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }

    #[test]
    fn a_change_of_the_configuration_is_a_row_and_no_change_is_none() {
        let database = Database::in_memory();
        migrate(&database, &[SCHEMA, HEADS]).expect("the schema");
        let now = event("").at;
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        for (policy, is_new) in [(one, true), (one, false), (other, true), (one, true), (one, false)] {
            assert_eq!(configured(&database, &policy, now).expect("a look"), is_new);
        }
        let rows = entries(&database, 1, 10).expect("rows");
        let details: Vec<&str> = rows.iter().map(|row| row.event.details.as_str()).collect();
        assert_eq!(
            details,
            [
                format!("{{\"before\":null,\"policy\":\"{one}\"}}"),
                format!("{{\"before\":\"{one}\",\"policy\":\"{other}\"}}"),
                format!("{{\"before\":\"{other}\",\"policy\":\"{one}\"}}"),
            ]
        );
        assert!(rows.iter().all(|row| row.event.action == "configured"), "{rows:?}");
        assert_eq!(verify(&rows), Ok(()));
    }

    #[test]
    fn sql_itself_refuses_to_change_or_delete_a_row() {
        let (database, before) = chain(2);
        for statement in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE sequence = 2"] {
            let error = database.query(statement, &[]).expect_err("append-only").to_string();
            assert!(error.contains("append-only"), "{error}");
        }
        assert_eq!(entries(&database, 1, 10).expect("rows"), before);
    }
}

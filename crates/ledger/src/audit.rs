//! The audit: one row for each thing that was decided or done, chained by hashes from the first row on.
//!
//! `hash = SHA-256(canonical bytes)`, where the canonical bytes are netstrings (`length:bytes,`, the length in decimal
//! and in bytes of UTF-8) of, in this order: `slipway-audit-v1`, the sequence number in decimal, the time in decimal
//! milliseconds since 1970, actor, action, subject, details, and the hash of the row before as 64 hex digits. The row
//! before the first has a hash of 64 zeros. `docs/audit.md` has test vectors.

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

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who: `user:mira`, `job:81`, `edge`.
    pub actor: String,
    /// What, as a verb in the past: `approved`.
    pub action: String,
    /// Of what: `1.2.0/ubuntu-jammy-amd64`.
    pub subject: String,
    /// The rest, as JSON.
    pub details: String,
}

/// A row of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// The hash of the row before.
    pub previous: Digest,
    /// Its own hash.
    pub hash: Digest,
}

/// The chain is broken at a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A row is missing, doubled or out of order.
    #[error("row {expected} of the audit is missing; row {found} stands in its place")]
    Order {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A row does not continue the one before it.
    #[error("row {0} of the audit does not continue the row before it")]
    Link(u64),
    /// A row's contents do not have its hash.
    #[error("row {0} of the audit was changed: its contents do not have its hash")]
    Contents(u64),
}

/// What stands before the first row.
pub const GENESIS: Digest = Digest::from_bytes([0; 32]);

/// The bytes whose SHA-256 is the hash of a row.
pub fn canonical(sequence: u64, event: &Event, previous: &Digest) -> Vec<u8> {
    let fields = [
        "slipway-audit-v1".to_owned(),
        sequence.to_string(),
        event.at.0.to_string(),
        event.actor.clone(),
        event.action.clone(),
        event.subject.clone(),
        event.details.clone(),
        previous.hex(),
    ];
    fields.iter().flat_map(|field| format!("{}:{field},", field.len()).into_bytes()).collect()
}

/// Adds a row. Call it in the transaction that makes the event true.
pub fn append(sql: &impl Sql, event: &Event) -> Result<Digest, SqlError> {
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

/// Checks rows against each other and their own hashes, from the first row on.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), Broken> {
    let mut previous = GENESIS;
    for (expected, entry) in (1..).zip(entries) {
        if entry.sequence != expected {
            return Err(Broken::Order { expected, found: entry.sequence });
        }
        if entry.previous != previous {
            return Err(Broken::Link(entry.sequence));
        }
        if Digest::of(&canonical(entry.sequence, &entry.event, &previous)) != entry.hash {
            return Err(Broken::Contents(entry.sequence));
        }
        previous = entry.hash;
    }
    Ok(())
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
    fn the_canonical_bytes_are_the_documented_netstrings() {
        let zeros = "0".repeat(64);
        let expected = format!(
            "16:slipway-audit-v1,1:1,13:1795392000000,9:user:mira,8:approved,5:1.2.0,8:{{\"é\":1}},64:{zeros},"
        );
        assert_eq!(String::from_utf8(canonical(1, &event("1.2.0"), &GENESIS)).expect("UTF-8"), expected);
    }

    /// The vectors of `docs/audit.md`, whose hashes were computed by another program.
    #[test]
    fn the_documented_vectors_hold() {
        let one = Event {
            at: Timestamp(1_795_392_000_000),
            actor: "job:80 user:mira".to_owned(),
            action: "planned".to_owned(),
            subject: "1.2.0".to_owned(),
            details: r#"{"keys":["jammy-amd64"],"pipeline":7,"sha":"aa"}"#.to_owned(),
        };
        let two = Event {
            at: Timestamp(1_795_392_000_001),
            actor: "webhook job:81".to_owned(),
            action: "refused".to_owned(),
            subject: "1.2.0/jammy-amd64".to_owned(),
            details: r#"{"why":"é"}"#.to_owned(),
        };
        let first = Digest::of(&canonical(1, &one, &GENESIS));
        assert_eq!(first.hex(), "26a94d62bf315bd73740a2ebe112dc5ba1003b27ae01a2545312098f97017fcf");
        let second = Digest::of(&canonical(2, &two, &first));
        assert_eq!(second.hex(), "be4e37cd26e1d5940720369bbe5813a202b5d1c2a2c9d29c49cc07fc359612ea");
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

    #[test]
    fn a_field_cannot_flow_into_the_next() {
        let mut one = event("ab");
        let mut other = event("a");
        one.details = "c".to_owned();
        other.details = "bc".to_owned();
        assert_ne!(canonical(1, &one, &GENESIS), canonical(1, &other, &GENESIS));
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

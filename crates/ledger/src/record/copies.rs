//! The whole record as lines of JSON, and a record made of them again.
//!
//! The first line says what follows: the format, the schema, the project, every table with its columns and how many rows it
//! has, and which tables are left out and why. Then comes a line for each row, and at the end one with the SHA-256 of all
//! bytes before it. The rows of all tables but the audit are read at one moment; those of the audit follow a page at a time
//! up to the row that was its last then, since a row of the audit is never changed.
//!
//! A record is made only where nothing was planned yet, under the schema that the export had. What it had until then, such as
//! refusals in its audit, is kept beside it until all has come and was checked: an import that fails gives way to that. From its first row on it is
//! stopped, until somebody has compared it with the repositories and starts it: what happened after the export, it does not
//! know. Whatever the old record was about to do, the new one does not: approvals, orders, withdrawals and deletions have
//! ended, and people approve anew. So an old or forged export makes nothing happen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use slipway_core::audit::{Event, Head as AuditHead};
use slipway_core::cargo::Cargo;
use slipway_core::problem::{Code, Visible};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::route::Site;
use slipway_core::signing::note::Note;
use slipway_core::stop::Scope;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::{LedgerError, Record, StopReason, named_target, parse, schema, subject};
use crate::audit;
use crate::sql::{Row, Sql, Value};

/// The format of the lines. A later one has another number.
const FORMAT: u64 = 1;

/// What is not a part of the project's state, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("schema_version", "the first line has it"),
    ("stops", "whether it is stopped is said of an instance, not of a project; an imported one is"),
    ("imports", "where an instance came from is said of that instance"),
    ("sources", "when GitLab and the places answered last is said of an instance"),
    ("kept_back", "it is worked out of the rest"),
];

/// What gives way to an import is kept until that has ended, each table in one whose name begins so.
const KEPT: &str = "kept_for_import_";

/// The table that says where an instance came from. It is no part of an export, and gives way to an import like the others.
const IMPORTS: &str = "imports";

/// Why a project is stopped whose import was given up.
const WHY_GIVEN_UP: &str = "an import was begun and given up, and it is as it was before; look at it, then start it";

/// Why an imported project is stopped.
const WHY_STOPPED: &str = "it was imported; compare it with the repositories, then start it";

/// How many rows of the audit are read or checked at a time.
pub const AUDIT_ROWS: u64 = 500;
/// And of another table, which may have long ones.
const PIECE_ROWS: u64 = 500;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The format of the lines.
    pub slipway_export: u64,
    /// The schema of the tables.
    pub schema: u64,
    /// The project.
    pub project_id: u64,
    /// When it was read.
    pub at: String,
    /// The number of the audit's last row.
    pub audit_rows: u64,
    /// Its hash.
    pub audit_hash: Digest,
    /// The tables, in the order of their lines.
    pub tables: Vec<Table>,
    /// What is left out, and why.
    pub left_out: BTreeMap<String, String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
}

/// One row.
#[derive(Serialize, Deserialize)]
struct Line {
    table: String,
    row: Map<String, Json>,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many lines stand before it.
    pub lines: u64,
    /// The SHA-256 of their bytes.
    pub sha256: Digest,
}

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Which of all imports: two at once are told apart.
    pub id: String,
    /// What it is of.
    pub head: Head,
    /// Whether all of it is there.
    pub is_whole: bool,
    /// The next target that is to be compared with the repositories.
    pub compare_from: u64,
    /// Whether all were.
    pub is_compared: bool,
}

/// Something that was about to happen in the old record, and does not in the one that was made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    version: Version,
    key: Key,
    distro: String,
    what: EndedByImport,
}

/// What of a target ended with an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedByImport {
    /// Its approval.
    Approval,
    /// Its withdrawal.
    Withdrawal,
}

impl EndedByImport {
    /// Its word in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Withdrawal => "withdrawal",
        }
    }
}

/// An audit's last row.
#[derive(Serialize, Deserialize)]
struct LastRow {
    sequence: u64,
    hash: Digest,
}

/// Why a record is not made of these lines.
#[derive(Debug, thiserror::Error)]
pub enum NotImported {
    /// The record failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It cannot be made of these, and why.
    #[error("{0}")]
    Refused(String),
}

impl From<crate::sql::SqlError> for NotImported {
    fn from(error: crate::sql::SqlError) -> Self {
        Self::Ledger(error.into())
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, NotImported> {
    Err(NotImported::Refused(why.into()))
}

impl<S: Sql> Record<S> {
    // ---- out ----

    /// Everything but the audit's rows, and the first line before it; the export stands in the audit that it has. The lines
    /// are read at one moment, and come in pieces of whole lines.
    pub fn export(&self, by: &str, now: Timestamp) -> Result<(Head, Vec<String>), LedgerError> {
        self.0.atomically(|| {
            let exported = Event {
                at: now,
                actor: by.to_owned(),
                action: "exported".to_owned(),
                subject: "project".to_owned(),
                details: "{}".to_owned(),
            };
            let audit_hash = audit::append(&self.0, &exported)?;
            let mut pieces = Vec::new();
            let mut tables = Vec::new();
            let mut audit = None;
            for (name, columns, order) in self.tables()? {
                if name == "audit" {
                    audit = Some(Table { name, columns, rows: self.audit_rows()? });
                    continue;
                }
                let rows = self.export_table(&name, &columns, &order, &mut pieces)?;
                tables.push(Table { name, columns, rows });
            }
            let audit_rows = audit.as_ref().map_or(0, |audit| audit.rows);
            tables.extend(audit);
            let head = Head {
                slipway_export: FORMAT,
                schema: schema_number(),
                project_id: self.project_id()?.unwrap_or_default(),
                at: now.to_string(),
                audit_rows,
                audit_hash,
                tables,
                left_out: LEFT_OUT.iter().map(|(name, why)| ((*name).to_owned(), (*why).to_owned())).collect(),
            };
            pieces.insert(0, format!("{}\n", serde_json::to_string(&head)?));
            Ok((head, pieces))
        })
    }

    /// A table's lines, a page at a time: a table as SQL gives it is several times as large. How many there are.
    fn export_table(
        &self,
        name: &str,
        columns: &[String],
        order: &[String],
        pieces: &mut Vec<String>,
    ) -> Result<u64, LedgerError> {
        let statement = format!("{} LIMIT ? OFFSET ?", select(name, columns, order, ""));
        let mut rows = 0;
        loop {
            let page = self.0.query(&statement, &[PIECE_ROWS.into(), rows.into()])?;
            let mut piece = String::new();
            for row in &page {
                push(&mut piece, name, columns, row)?;
            }
            let found = u64::try_from(page.len()).unwrap_or(u64::MAX);
            rows += found;
            if found > 0 {
                piece.shrink_to_fit();
                pieces.push(piece);
            }
            if found < PIECE_ROWS {
                return Ok(rows);
            }
        }
    }

    /// The lines of the audit's rows from `first` on, to `last` at most.
    pub fn export_audit(&self, first: u64, last: u64) -> Result<String, LedgerError> {
        let mut lines = String::new();
        for (name, columns, order) in self.tables()?.into_iter().filter(|(name, ..)| name == "audit") {
            let statement = select(&name, &columns, &order, " WHERE sequence >= ? AND sequence <= ?");
            let last = last.min(first.saturating_add(AUDIT_ROWS - 1));
            for row in &self.0.query(&statement, &[first.into(), last.into()])? {
                push(&mut lines, &name, &columns, row)?;
            }
        }
        Ok(lines)
    }

    /// The tables, each with its columns and those that order its rows.
    fn tables(&self) -> Result<Vec<Columns>, LedgerError> {
        let rows = self.0.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", &[])?;
        let mut tables = Vec::new();
        for row in &rows {
            let name = row.text(0)?.to_owned();
            let is_own = !name.starts_with("sqlite_") && !name.starts_with("_cf_") && !name.starts_with(KEPT);
            if !is_own || LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
                continue;
            }
            let found =
                self.0.query("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", &[name.as_str().into()])?;
            let mut columns = Vec::new();
            let mut order = Vec::new();
            for column in &found {
                columns.push(column.text(0)?.to_owned());
                if column.integer(1)? > 0 {
                    order.push((column.integer(1)?, column.text(0)?.to_owned()));
                }
            }
            order.sort();
            tables.push((name, columns, order.into_iter().map(|(_, name)| name).collect()));
        }
        Ok(tables)
    }

    fn audit_rows(&self) -> Result<u64, LedgerError> {
        let rows = self.0.query("SELECT COALESCE(MAX(sequence), 0) FROM audit", &[])?;
        Ok(rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default())
    }

    // ---- in ----

    /// The import that made this record, or is making it.
    pub fn imported(&self) -> Result<Option<Imported>, LedgerError> {
        let rows = self.0.query("SELECT id, head, is_whole, compare_from, is_compared FROM imports", &[])?;
        let read = |row: &Row| {
            Ok(Imported {
                id: row.text(0)?.to_owned(),
                head: serde_json::from_str(row.text(1)?)?,
                is_whole: row.integer(2)? != 0,
                compare_from: row.natural(3)?,
                is_compared: row.integer(4)? != 0,
            })
        };
        rows.first().map(read).transpose()
    }

    /// Whether this record is being made of an export: until then nothing else is written into it.
    pub fn is_being_imported(&self) -> Result<bool, LedgerError> {
        Ok(!self.0.query("SELECT 1 FROM imports WHERE is_whole = 0", &[])?.is_empty())
    }

    /// Whether this record was made of an export and nobody has compared and started it since. Until then it does nothing by
    /// itself, and nothing in it is signed: whoever sees a signature believes what it is of.
    pub fn awaits_start(&self) -> Result<bool, LedgerError> {
        Ok(!self.0.query("SELECT 1 FROM imports WHERE started_at IS NULL", &[])?.is_empty())
    }

    /// When somebody started this record that was imported. Jobs that were played before have said what they had to say to
    /// the old record.
    pub fn started_after_import(&self) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query("SELECT started_at FROM imports", &[])?;
        Ok(rows.first().map(|row| row.integer_or_null(0)).transpose()?.flatten().map(Timestamp))
    }

    /// Begins to make the record of an export: only where nothing has happened yet, or where an import broke off. `id` is
    /// this import's own: of two at once only the later one goes on.
    pub fn import(&self, head: &Head, id: &str, by: &str, now: Timestamp) -> Result<(), NotImported> {
        if head.slipway_export != FORMAT {
            return refused(format!("the export has format {}; this version reads {FORMAT}", head.slipway_export));
        }
        if head.schema != schema_number() {
            return refused(format!(
                "the export has schema {}, this version {}; import it with the version that exported it, and deploy this one then",
                head.schema,
                schema_number()
            ));
        }
        let own = self.project_id()?;
        if own.is_some_and(|own| own != head.project_id) {
            return refused(format!("the export is of project {}", head.project_id));
        }
        let tables = self.tables()?;
        for Table { name, columns, .. } in &head.tables {
            if !tables.iter().any(|(own, own_columns, _)| own == name && own_columns == columns) {
                return refused(format!("this version has no table `{name}` with the columns of the export"));
            }
        }
        self.0.atomically(|| {
            let broke_off = self.is_being_imported()?;
            if !broke_off && !self.0.query("SELECT 1 FROM releases LIMIT 1", &[])?.is_empty() {
                return refused(
                    "this project has a record already; an export is imported where nothing was planned yet",
                );
            }
            // Heads of what gives way may have been signed and kept by somebody, so it is said where it ended.
            let replaced = if broke_off {
                let before = self.0.query("SELECT replaced FROM imports", &[])?;
                before.first().map(|row| row.text_or_null(0)).transpose()?.flatten().map(str::to_owned)
            } else {
                let last = audit::last(&self.0)?.map(|(sequence, hash)| LastRow { sequence, hash });
                last.map(|last| serde_json::to_string(&last)).transpose().map_err(LedgerError::from)?
            };
            if !broke_off {
                for name in tables.iter().map(|(name, ..)| name.as_str()).chain([IMPORTS]) {
                    self.keep(name)?;
                }
            }
            for (name, ..) in &tables {
                self.make_anew(name)?;
            }
            self.0.query("DELETE FROM imports", &[])?;
            self.0.query(
                "INSERT INTO imports (one, id, head, began_by, began_at, is_whole, is_compared, replaced) VALUES (1, ?, ?, ?, ?, 0, 0, ?)",
                &[
                    id.into(),
                    serde_json::to_string(head).map_err(LedgerError::from)?.into(),
                    by.into(),
                    now.0.into(),
                    replaced.into(),
                ],
            )?;
            // Whatever comes of it, nothing is published or deleted by a record that nobody has compared.
            self.turn_switch(Scope::Project, None, Some((by, WHY_STOPPED)), now)?;
            Ok(())
        })
    }

    /// The import that goes on, if it is this one.
    fn going_on(&self, id: &str) -> Result<Head, NotImported> {
        match self.imported()? {
            Some(Imported { id: own, head, is_whole: false, .. }) if own == id => Ok(head),
            Some(Imported { is_whole: false, .. }) => refused("another import of this project has begun since"),
            _ => refused("no import has begun"),
        }
    }

    /// Gives an import up, if it is this one and goes on: the record is what it was before, and its audit says so. It stays
    /// stopped, until somebody has looked. One that was refused before it began is in the audit, too, unless another one is
    /// making that now.
    pub fn give_up_import(&self, id: &str, by: &str, why: &str, now: Timestamp) -> Result<bool, LedgerError> {
        match self.imported()? {
            Some(import) if !import.is_whole && import.id == id => {}
            Some(import) if !import.is_whole || import.id == id => return Ok(false),
            _ => {
                self.refused_at_the_door(by, "POST import", why, now)?;
                return Ok(false);
            }
        }
        self.0.atomically(|| {
            for (name, ..) in self.tables()? {
                self.make_anew(&name)?;
                self.put_back(&name)?;
            }
            self.0.query("DELETE FROM imports", &[])?;
            self.put_back(IMPORTS)?;
            let given_up = Event {
                at: now,
                actor: by.to_owned(),
                action: "import-given-up".to_owned(),
                subject: "project".to_owned(),
                details: json!({ "why": why }).to_string(),
            };
            audit::append(&self.0, &given_up)?;
            self.turn_switch(Scope::Project, None, Some((by, WHY_GIVEN_UP)), now)?;
            self.says_that_everything_is_stopped(now)?;
            Ok(true)
        })
    }

    /// Keeps the rows of a table that gives way. They are few: nothing was planned yet.
    fn keep(&self, table: &str) -> Result<(), LedgerError> {
        let (kept, columns) = (quoted(&format!("{KEPT}{table}")), quoted_all(&self.columns_of(table)?));
        self.0.query(&format!("CREATE TABLE {kept} ({columns})"), &[])?;
        self.0.query(&format!("INSERT INTO {kept} ({columns}) SELECT {columns} FROM {}", quoted(table)), &[])?;
        Ok(())
    }

    /// Puts the rows that were kept back into a table, by the columns that it had then.
    fn put_back(&self, table: &str) -> Result<(), LedgerError> {
        let kept = format!("{KEPT}{table}");
        let columns = self.columns_of(&kept)?;
        if columns.is_empty() {
            return Ok(());
        }
        let (into, from, columns) = (quoted(table), quoted(&kept), quoted_all(&columns));
        self.0.query(&format!("INSERT INTO {into} ({columns}) SELECT {columns} FROM {from}"), &[])?;
        self.0.query(&format!("DROP TABLE {from}"), &[])?;
        Ok(())
    }

    /// Nothing of what gave way is kept any longer.
    fn forget_kept(&self) -> Result<(), LedgerError> {
        let tables = self.tables()?;
        for name in tables.iter().map(|(name, ..)| name.as_str()).chain([IMPORTS]) {
            self.0.query(&format!("DROP TABLE IF EXISTS {}", quoted(&format!("{KEPT}{name}"))), &[])?;
        }
        Ok(())
    }

    /// The columns of a table; none where there is no such table.
    fn columns_of(&self, table: &str) -> Result<Vec<String>, LedgerError> {
        let found = self.0.query("SELECT name FROM pragma_table_info(?) ORDER BY cid", &[table.into()])?;
        Ok(found.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, _>>()?)
    }

    /// Makes a table anew, with all that belongs to it. Rows that are never deleted, such as the audit's, are kept beside it
    /// until the import has ended.
    fn make_anew(&self, table: &str) -> Result<(), LedgerError> {
        let parts = self.0.query(
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type <> 'table', name",
            &[table.into()],
        )?;
        self.0.query(&format!("DROP TABLE {}", quoted(table)), &[])?;
        for part in &parts {
            self.0.query(part.text(0)?, &[])?;
        }
        Ok(())
    }

    /// The next lines of the export.
    pub fn import_rows(&self, id: &str, lines: &[String]) -> Result<(), NotImported> {
        let head = self.going_on(id)?;
        self.0.atomically(|| {
            for line in lines {
                let Ok(Line { table, row }) = serde_json::from_str::<Line>(line) else {
                    return refused("a line of the export is not a row");
                };
                let Some(Table { name, columns, .. }) = head.tables.iter().find(|one| one.name == table) else {
                    return refused(format!("the export has a row of `{table}`, which its first line does not name"));
                };
                let mut values = Vec::new();
                for column in columns {
                    values.push(match row.get(column) {
                        Some(Json::Null) => Value::Null,
                        Some(Json::String(text)) => text.as_str().into(),
                        Some(Json::Number(number)) if number.is_i64() => number.as_i64().unwrap_or_default().into(),
                        _ => return refused(format!("a row of `{table}` lacks `{column}`")),
                    });
                }
                let marks = vec!["?"; columns.len()].join(", ");
                let statement = format!("INSERT INTO {} ({}) VALUES ({marks})", quoted(name), quoted_all(columns));
                self.0.query(&statement, &values)?;
            }
            Ok(())
        })
    }

    /// A file whose rows name another project would have this one sign for that.
    fn is_of_one_project(&self, head: &Head) -> Result<(), NotImported> {
        for row in self.0.query("SELECT id FROM project", &[])? {
            if row.natural(0)? != head.project_id {
                return refused(format!("its table `project` names another project than {}", head.project_id));
            }
        }
        Ok(())
    }

    /// All lines have come, and had the digest that the last one says. The releases that the project has now.
    pub fn import_ends(&self, id: &str, end: &End, by: &str, now: Timestamp) -> Result<Vec<Version>, NotImported> {
        let head = self.going_on(id)?;
        for Table { name, rows, .. } in &head.tables {
            let found = self.0.query(&format!("SELECT COUNT(*) FROM {}", quoted(name)), &[])?;
            let found = found.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default();
            if found != *rows {
                return refused(format!("`{name}` has {found} rows, and the export says {rows}"));
            }
        }
        self.is_of_one_project(&head)?;
        self.is_one_chain(&head)?;
        self.has_its_own_heads(&head)?;
        self.0.atomically(|| {
            self.0.query("UPDATE imports SET is_whole = 1", &[])?;
            self.forget_kept()?;
            self.end_what_goes_on(&head, end, by, now)?;
            let rows = self.0.query("SELECT version FROM releases ORDER BY created_at", &[])?;
            rows.iter().map(|row| Ok(parse(row.text(0)?)?)).collect()
        })
    }

    /// Ends everything that the old record was about to do, and says so in the audit: what has happened since the export is
    /// not in it.
    fn end_what_goes_on(&self, head: &Head, end: &End, by: &str, now: Timestamp) -> Result<(), LedgerError> {
        let approved = self.0.query(
            "SELECT version, key, distro, COALESCE(approval, 0) FROM targets WHERE state IN ('approved', 'releasing')
             ORDER BY version, key, distro",
            &[],
        )?;
        // Who wanted something kept since the export is not in it either, so every deletion is announced anew.
        let announced = self.drop_rows("DELETE FROM retention")?;
        let deletions = self.drop_rows("DELETE FROM removals")?;
        self.drop_rows("DELETE FROM retention_run")?;
        let orders = self.drop_rows("DELETE FROM dispatches")?;
        let attestations = self.drop_rows("UPDATE attestations SET due_at = NULL WHERE due_at IS NOT NULL")?;
        let hints = self.drop_rows("UPDATE hints SET due_at = NULL, outcome = 'imported' WHERE due_at IS NOT NULL")?;
        let withdrawn = self.0.query(
            "SELECT version, key, distro, id, digest FROM withdrawals WHERE state = 'under_way' ORDER BY id",
            &[],
        )?;
        let replaced = self.0.query("SELECT replaced FROM imports", &[])?;
        let replaced = replaced.first().map(|row| row.text_or_null(0)).transpose()?.flatten();
        let replaced: Option<LastRow> = replaced.map(serde_json::from_str).transpose()?;
        let details = json!({
            "exported_at": head.at, "rows": end.lines, "sha256": end.sha256,
            "audit": LastRow { sequence: head.audit_rows, hash: head.audit_hash }, "replaces_audit": replaced,
            "ended": {
                "approvals": approved.len(), "orders": orders, "withdrawals": withdrawn.len(), "announced": announced,
                "deletions": deletions, "attestations": attestations, "hints": hints,
            },
        });
        let imported = Event {
            at: now,
            actor: by.to_owned(),
            action: "imported".to_owned(),
            subject: "project".to_owned(),
            details: details.to_string(),
        };
        audit::append(&self.0, &imported)?;
        let mut ended = Vec::new();
        for row in &approved {
            let (version, key, distro) = (parse(row.text(0)?)?, parse(row.text(1)?)?, row.text(2)?.to_owned());
            let why = StopReason::Blocked("its project's record was imported since".to_owned());
            self.take_back(&version, &key, &distro, row.natural(3)?, &why, now)?;
            ended.push(Ended { version, key, distro, what: EndedByImport::Approval });
        }
        let problem = Code::NotWithdrawable.problem(
            "It was being withdrawn, and its project's record was imported since. Ask for the withdrawal again."
                .to_owned(),
            Visible::Unknown,
            None,
        );
        for row in &withdrawn {
            let (version, key, distro) = (parse(row.text(0)?)?, parse(row.text(1)?)?, row.text(2)?.to_owned());
            self.0.query(
                "UPDATE withdrawals SET state = 'not_withdrawn', problem = ? WHERE id = ?",
                &[serde_json::to_string(&problem)?.into(), row.natural(3)?.into()],
            )?;
            let (word, name) = named_target(&distro);
            let details = json!({ (word): name, "digest": row.text(4)?, "problem": problem.code, "why": problem.what });
            self.change(&version, "edge", "not-withdrawn", &subject(&version, &key), &details, now)?;
            ended.push(Ended { version, key, distro, what: EndedByImport::Withdrawal });
        }
        self.0.query("UPDATE imports SET ended = ?", &[serde_json::to_string(&ended)?.into()])?;
        // Others are told of what happens, and none of this happened here.
        self.0.query("UPDATE occurrences SET is_spread = 1 WHERE is_spread = 0", &[])?;
        self.0.query("UPDATE deliveries SET due_at = NULL, outcome = 'imported' WHERE due_at IS NOT NULL", &[])?;
        self.0.query("UPDATE statuses SET due_at = NULL WHERE due_at IS NOT NULL", &[])?;
        self.says_that_everything_is_stopped(now)
    }

    /// Runs a statement, and counts the rows that it was about.
    fn drop_rows(&self, statement: &str) -> Result<usize, LedgerError> {
        Ok(self.0.query(&format!("{statement} RETURNING 1"), &[])?.len())
    }

    /// Checks that the audit's rows continue each other, and end as the export says.
    fn is_one_chain(&self, head: &Head) -> Result<(), NotImported> {
        let (mut first, mut previous) = (1, audit::GENESIS);
        loop {
            let page = audit::entries(&self.0, first, AUDIT_ROWS)?;
            for entry in &page {
                let hash = Digest::of(&audit::canonical(entry.sequence, &entry.event, &previous));
                if entry.sequence != first || entry.previous != previous || entry.hash != hash {
                    return refused(format!("row {first} of the audit does not continue the row before it"));
                }
                (first, previous) = (first + 1, hash);
            }
            if page.is_empty() {
                break;
            }
        }
        if (first - 1, previous) == (head.audit_rows, head.audit_hash) {
            Ok(())
        } else {
            refused("the audit does not end as the first line of the export says")
        }
    }

    /// Checks that every signed head is one of this audit. A head beyond its last row would leave all rows unsigned that
    /// come, and one with another hash shows that the audit was made anew.
    fn has_its_own_heads(&self, head: &Head) -> Result<(), NotImported> {
        let mut from = 0;
        loop {
            let page = audit::heads(&self.0, from, AUDIT_ROWS)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last.saturating_add(1);
            for (sequence, note) in &page {
                let signed = match Note::all(note).as_deref() {
                    Ok([note]) => note.text().parse::<AuditHead>().ok(),
                    _ => None,
                };
                let row = self.0.query("SELECT hash FROM audit WHERE sequence = ?", &[(*sequence).into()])?;
                let hash = row.first().map(|row| row.text(0)).transpose()?.map(str::to_owned);
                let is_own = signed.is_some_and(|signed| {
                    signed.project == head.project_id && signed.sequence == *sequence && Some(signed.hash.hex()) == hash
                });
                if !is_own {
                    return refused(format!("its signed head of row {sequence} is none of its audit"));
                }
            }
        }
    }

    // ---- compared ----

    /// Targets whose bytes are declared, from the `first` on, counted from 1 in the order of release, package and target.
    pub fn declared_targets(&self, first: u64, count: u64) -> Result<Vec<DeclaredTarget>, LedgerError> {
        let rows = self.0.query(
            "SELECT t.version, t.key, t.distro, t.state, p.filename, p.digest, p.staging_place, p.staging_repository,
                    t.public_place, t.public_repository
             FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE p.digest IS NOT NULL AND t.state <> 'skipped'
             ORDER BY t.version, t.key, t.distro LIMIT ? OFFSET ?",
            &[count.into(), first.saturating_sub(1).into()],
        )?;
        let ended = self.0.query("SELECT ended FROM imports", &[])?;
        let ended: Vec<Ended> = match ended.first() {
            Some(row) => serde_json::from_str(row.text(0)?)?,
            None => Vec::new(),
        };
        rows.iter()
            .map(|row| {
                let (version, key, distro) = (parse(row.text(0)?)?, parse(row.text(1)?)?, row.text(2)?.to_owned());
                let own = |one: &&Ended| one.version == version && one.key == key && one.distro == distro;
                Ok(DeclaredTarget {
                    ended: ended.iter().filter(own).map(|one| one.what).collect(),
                    version,
                    key,
                    distro,
                    state: parse(row.text(3)?)?,
                    filename: parse(row.text(4)?)?,
                    digest: parse(row.text(5)?)?,
                    staging: Site { place: row.text(6)?.to_owned(), repository: row.text(7)?.to_owned() },
                    public: Site { place: row.text(8)?.to_owned(), repository: row.text(9)?.to_owned() },
                })
            })
            .collect()
    }

    /// Targets were compared with the repositories, from the `first` on; the next is `next`, and `None` when none is left.
    /// Pages count in their order alone, so that none is left out. Whether all are compared by now.
    pub fn compared(&self, first: u64, next: Option<u64>) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let Some(imported) = self.imported()? else { return Ok(false) };
            if imported.is_compared || (first != 1 && first != imported.compare_from) {
                return Ok(imported.is_compared);
            }
            self.0.query(
                "UPDATE imports SET compare_from = ?, is_compared = ?",
                &[next.unwrap_or(1).into(), i64::from(next.is_none()).into()],
            )?;
            Ok(next.is_none())
        })
    }
}

/// A target whose bytes are declared, and where they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredTarget {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The target, by the text form of its name.
    pub distro: String,
    /// How far it is, by the record.
    pub state: TargetState,
    /// Its file or image.
    pub filename: Cargo,
    /// Its bytes.
    pub digest: Digest,
    /// Where it is staged.
    pub staging: Site,
    /// Where it is released.
    pub public: Site,
    /// What of it ended with the import.
    pub ended: Vec<EndedByImport>,
}

/// A table, its columns, and those that order its rows.
type Columns = (String, Vec<String>, Vec<String>);

fn schema_number() -> u64 {
    u64::try_from(schema::STEPS.len()).unwrap_or(u64::MAX)
}

/// A name from the database's own list of them.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted_all(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn select(table: &str, columns: &[String], order: &[String], which: &str) -> String {
    // Whatever has no key of its own is ordered by all that it has, so that two exports of the same are the same.
    let order = quoted_all(if order.is_empty() { columns } else { order });
    format!("SELECT {} FROM {}{which} ORDER BY {order}", quoted_all(columns), quoted(table))
}

fn push(lines: &mut String, table: &str, columns: &[String], row: &Row) -> Result<(), LedgerError> {
    let mut values = Map::new();
    for (column, value) in columns.iter().zip(&row.0) {
        let value = match value {
            Value::Null => Json::Null,
            Value::Integer(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
        };
        values.insert(column.clone(), value);
    }
    lines.push_str(&serde_json::to_string(&Line { table: table.to_owned(), row: values })?);
    lines.push('\n');
    Ok(())
}

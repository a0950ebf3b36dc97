//! The audit of a project, as it is exported: one JSON object a line, each with a hash over itself and the one before.

use serde_json::Value;

use crate::sha256;

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place, from 1.
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What, in the past tense.
    pub action: String,
    /// Of what.
    pub subject: String,
    /// The rest.
    pub details: Value,
}

/// What one project exported.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The project's name.
    pub project: String,
    /// Its rows.
    pub rows: Vec<Row>,
    /// What is wrong with the chain, if anything: the first row that is.
    pub broken: Option<String>,
}

impl Audit {
    /// Reads an export and checks its chain.
    pub fn read(project: &str, ndjson: &str) -> Self {
        let mut audit = Self { project: project.to_owned(), rows: Vec::new(), broken: None };
        let mut previous = "0".repeat(64);
        for (index, line) in ndjson.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            let expected = index + 1;
            let Some((row, hash)) = read(line, expected, &previous) else {
                audit.broken = Some(format!("row {expected} does not follow the one before it, or was changed"));
                return audit;
            };
            previous = hash;
            audit.rows.push(row);
        }
        audit
    }
}

/// One row and its hash, if it is the one that comes next and says what was hashed.
fn read(line: &str, expected: usize, previous: &str) -> Option<(Row, String)> {
    let row: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| row[name].as_str();
    let (sequence, at_ms) = (row["sequence"].as_u64()?, row["at_ms"].as_i64()?);
    let (actor, action, subject, details) = (text("actor")?, text("action")?, text("subject")?, text("details")?);
    let fields =
        ["slipway-audit-v1", &sequence.to_string(), &at_ms.to_string(), actor, action, subject, details, previous];
    let bytes: Vec<String> = fields.iter().map(|field| format!("{}:{field},", field.len())).collect();
    let hash = sha256(bytes.concat().as_bytes());
    let follows = usize::try_from(sequence).is_ok_and(|sequence| sequence == expected)
        && text("previous")? == previous
        && text("hash")? == hash;
    let row = Row {
        sequence,
        at_ms,
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        details: serde_json::from_str(details).unwrap_or(Value::Null),
    };
    follows.then_some((row, hash))
}

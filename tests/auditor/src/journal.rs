//! The journal of the package server: every write that it accepted, in its order.

use serde_json::Value;

use crate::milliseconds;

/// An accepted write to one file of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the journal.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// By which user of the server.
    pub user: String,
    /// Whether the file is there afterwards. Otherwise it is gone.
    pub adds: bool,
    /// The repository.
    pub repository: String,
    /// The distro version.
    pub distro: String,
    /// The file's name.
    pub filename: String,
    /// Its SHA-256, 64 hex digits.
    pub sha256: String,
    /// Its size.
    pub size: u64,
}

/// Reads a journal. A move from one repository to another is two entries: one takes it away, one adds it.
pub fn entries(journal: &[Value]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for line in journal {
        let text = |name: &str| {
            line[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("a line of the journal has no `{name}`: {line}"))
        };
        let at = text("at")?;
        let entry = |adds: bool, repository: String| {
            Ok::<_, String>(Entry {
                seq: line["seq"].as_u64().ok_or_else(|| format!("a line of the journal has no number: {line}"))?,
                at_ms: milliseconds(&at).ok_or_else(|| format!("`{at}` is no time"))?,
                user: text("user")?,
                adds,
                repository,
                distro: text("distro")?,
                filename: text("filename")?,
                sha256: text("sha256")?,
                size: line["size"].as_u64().unwrap_or(0),
            })
        };
        match text("action")?.as_str() {
            "push" => entries.push(entry(true, text("repo")?)?),
            "delete" => entries.push(entry(false, text("repo")?)?),
            "promote" => {
                entries.push(entry(false, text("repo")?)?);
                entries.push(entry(true, text("destination")?)?);
            }
            other => return Err(format!("the journal has a write of an unknown kind: `{other}`")),
        }
    }
    Ok(entries)
}

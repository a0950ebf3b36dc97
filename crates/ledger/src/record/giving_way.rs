//! What became in staging of files that gave way to others.
//!
//! The job that replaces a file deletes the old one by itself, with a token of its own, and tells nobody when it has. So the
//! old ones are looked for until staging does not show them, and that is written down as what it is: the end of a file.

use slipway_core::cargo::Cargo;
use slipway_core::release::{Key, Version};
use slipway_core::route::Site;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::looks::WATCHED_FOR;
use super::retention::UNANSWERED;
use super::{LedgerError, Record, named_cargo, parse, subject};
use crate::sql::Sql;

/// How many are looked for at once.
const FILES_MAX: u64 = 20;

/// A file that gave way, and of which nobody knows whether staging still has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivingWay {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// What it was.
    pub cargo: Cargo,
    /// Its bytes.
    pub digest: Digest,
    /// Where it was.
    pub staging: Site,
    /// For which distro versions.
    pub under: Vec<String>,
    /// When it gave way.
    pub since: Timestamp,
    /// Whether anybody has seen it there.
    pub was_there: bool,
    /// Since when staging does not show it.
    pub gone_at: Option<Timestamp>,
}

impl<S: Sql> Record<S> {
    /// Some files that gave way and whose end nobody has seen, those first that nobody has looked for the longest. What a
    /// package was declared with once more does not give way.
    pub fn giving_way(&self) -> Result<Vec<GivingWay>, LedgerError> {
        let rows = self.0.query(
            "SELECT r.version, r.key, r.filename, r.digest, p.staging_place, p.staging_repository, r.since, r.was_there,
                r.gone_at
             FROM replaced r JOIN packages p ON p.version = r.version AND p.key = r.key
             WHERE r.since IS NOT NULL AND instr(r.filename, '/') = 0
             AND NOT (p.filename = r.filename AND p.digest = r.digest)
             ORDER BY COALESCE(r.looked_at, 0), r.version, r.key, r.filename, r.digest LIMIT ?",
            &[FILES_MAX.into()],
        )?;
        rows.iter()
            .map(|row| {
                let (version, key) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
                let under = self.states(&version, &key)?.into_iter().map(|(distro, _)| distro).collect();
                Ok(GivingWay {
                    version,
                    key,
                    cargo: parse(row.text(2)?)?,
                    digest: parse(row.text(3)?)?,
                    staging: Site { place: row.text(4)?.to_owned(), repository: row.text(5)?.to_owned() },
                    under,
                    since: Timestamp(row.integer(6)?),
                    was_there: row.integer(7)? != 0,
                    gone_at: row.integer_or_null(8)?.map(Timestamp),
                })
            })
            .collect()
    }

    /// Writes down what a look at staging has shown of a file that gave way: whether it is there under any of its names, or
    /// `None` where that cannot be told. Whether that is its end: two looks at a distance have not shown it, or it was there
    /// for so long that nobody will delete it any more.
    pub fn looked_for(&self, of: &GivingWay, is_there: Option<bool>, now: Timestamp) -> Result<bool, LedgerError> {
        let GivingWay { version, key, cargo, digest, staging, under, since, was_there, gone_at } = of;
        let was_there = *was_there || is_there == Some(true);
        let gone_at = match is_there {
            None => *gone_at,
            Some(true) => None,
            Some(false) => gone_at.filter(|gone_at| *gone_at <= now).or(Some(now)),
        };
        let is_gone = is_there == Some(false) && gone_at.is_some_and(|gone_at| now.since(gone_at) >= UNANSWERED);
        let is_left = is_there == Some(true) && now.since(*since) >= WATCHED_FOR;
        let is_over = is_gone || is_left;
        self.0.atomically(|| {
            let open = self.0.query(
                "UPDATE replaced SET looked_at = ?5, was_there = ?6, gone_at = ?7, since = CASE ?8 WHEN 0 THEN since END
                 WHERE version = ?1 AND key = ?2 AND filename = ?3 AND digest = ?4 AND since = ?9 RETURNING key",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    cargo.as_str().into(),
                    digest.to_string().into(),
                    now.0.into(),
                    i64::from(was_there).into(),
                    gone_at.map(|gone_at| gone_at.0).into(),
                    i64::from(is_over).into(),
                    since.0.into(),
                ],
            )?;
            // What nobody has ever seen there is no end of anything.
            if open.is_empty() || !is_over || !was_there {
                return Ok(false);
            }
            let (word, name) = named_cargo(cargo.as_str());
            let details = serde_json::json!({
                "cause": "replaced", (word): name, "digest": digest, "place": staging.place,
                "repository": staging.repository, "under": under,
            });
            let action = if is_gone { "deleted" } else { "not-deleted" };
            self.change(version, "edge", action, &subject(version, key), &details, now)?;
            Ok(true)
        })
    }
}

//! Of which releases something is public, or was.

use std::collections::BTreeSet;

use slipway_core::api::PublicSummary;
use slipway_core::release::Version;
use slipway_core::time::Timestamp;
use slipway_core::verdict;

use super::{LedgerError, Record, parse};
use crate::sql::Sql;

impl<S: Sql> Record<S> {
    /// The releases of which something is public, those first where that has changed last. When a release was planned, and
    /// what else has become of it, has no part in this.
    pub fn public_releases(&self, project: &str) -> Result<Vec<PublicSummary>, LedgerError> {
        let rows = self.0.query(
            "SELECT version, SUM(is_out), COUNT(*), MAX(at) FROM (
                SELECT t.version AS version, MAX(t.state = 'released') AS is_out, MAX(t.since) AS at
                FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
                WHERE t.state IN ('released', 'withdrawn') AND p.digest IS NOT NULL
                GROUP BY t.version, t.key
             ) GROUP BY version ORDER BY MAX(at) DESC, version DESC LIMIT 200",
            &[],
        )?;
        let releases = rows.iter().map(|row| {
            let version = parse(row.text(0)?)?;
            let (out, all) = (row.natural(1)?, row.natural(2)?);
            let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            Ok(PublicSummary {
                verdict: verdict::public(project, &version, count(out), count(all.saturating_sub(out))),
                version,
                packages: u32::try_from(out).unwrap_or(u32::MAX),
                at: Timestamp(row.integer(3)?).to_string(),
            })
        });
        releases.collect()
    }

    /// All versions of which something is public, the old ones too. Whoever may see nothing else is answered from these, so that
    /// no question of theirs about another version costs the record anything.
    pub fn public_versions(&self) -> Result<BTreeSet<Version>, LedgerError> {
        let rows = self.0.query(
            "SELECT DISTINCT t.version FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.state IN ('released', 'withdrawn') AND p.digest IS NOT NULL",
            &[],
        )?;
        rows.iter().map(|row| parse(row.text(0)?)).collect()
    }
}

//! Which release may as well be given up: a later one of its series is out. That is suggested; a person closes it.

use std::cmp::Ordering;

use slipway_core::release::Version;
use slipway_core::retention::Ending;

use super::{LedgerError, Record, parse};
use crate::sql::Sql;

impl<S: Sql> Record<S> {
    /// A later release of the same series that is complete and has a higher version: then this one may as well be given up. `None` for one that has
    /// ended itself.
    pub fn superseded_by(&self, version: &Version) -> Result<Option<Version>, LedgerError> {
        let Some((series, last)) = series(version) else { return Ok(None) };
        if !matches!(self.ending(version)?, Ending::Open(_)) {
            return Ok(None);
        }
        let rows = self.0.query(
            "SELECT r.version FROM releases r JOIN releases own ON own.version = ?1
             WHERE r.version <> ?1 AND r.created_at > own.created_at AND r.maturity IN ('final', own.maturity)
             AND EXISTS (SELECT 1 FROM targets t WHERE t.version = r.version AND t.state = 'released')
             AND NOT EXISTS (SELECT 1 FROM targets t WHERE t.version = r.version AND t.state NOT IN ('released', 'skipped', 'withdrawn'))
             ORDER BY r.created_at DESC LIMIT 20",
            &[version.as_str().into()],
        )?;
        for row in &rows {
            let other: Version = parse(row.text(0)?)?;
            let Some((others_series, others_last)) = self::series(&other) else { continue };
            // One that is planned later may be lower: somebody builds an old one again.
            let is_higher = match others_last.cmp(&last) {
                Ordering::Less => false,
                Ordering::Equal => self.ships_higher(&other, version)?,
                Ordering::Greater => true,
            };
            if others_series == series && is_higher {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// Whether a release has a higher version of something than another, as the machines see it that install it, and of
    /// nothing a lower one.
    fn ships_higher(&self, version: &Version, than: &Version) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT o.key, o.filename, t.filename FROM packages o JOIN packages t ON t.key = o.key
             WHERE o.version = ? AND t.version = ? AND o.filename IS NOT NULL AND t.filename IS NOT NULL",
            &[version.as_str().into(), than.as_str().into()],
        )?;
        let mut is_higher = false;
        for row in &rows {
            let key = parse(row.text(0)?)?;
            let one = self.shipped(version, &key, row.text(1)?, None)?;
            let other = self.shipped(than, &key, row.text(2)?, None)?;
            match one.zip(other).and_then(|(one, other)| one.compare(&other)) {
                Some(Ordering::Less) => return Ok(false),
                Some(Ordering::Greater) => is_higher = true,
                Some(Ordering::Equal) | None => {}
            }
        }
        Ok(is_higher)
    }
}

/// The numbers that a version begins with: `17`, `3` and `1` of `17.3.1-rc1`.
pub(super) fn numbers(version: &Version) -> Option<Vec<u64>> {
    series(version).map(|(mut numbers, last)| {
        numbers.push(last);
        numbers
    })
}

/// The numbers of a version before its last, and that: `17.3` and `1` of `17.3.1-rc1`.
fn series(version: &Version) -> Option<(Vec<u64>, u64)> {
    let number = version.as_str().split(|letter: char| !letter.is_ascii_digit() && letter != '.').next()?;
    let numbers = number.split('.').map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    numbers.split_last().map(|(last, series)| (series.to_vec(), *last))
}

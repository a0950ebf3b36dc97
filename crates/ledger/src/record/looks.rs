//! Looking again at what rests: staged packages that vanish, released ones that somebody removes or replaces.
//!
//! One list without a file is no evidence: lists can be behind. What is absent in two looks, minutes apart, is shown.

use std::time::Duration;

use slipway_core::api;
use slipway_core::cargo::{Cargo, tag_of};
use slipway_core::inventory::Seen;
use slipway_core::problem::{Code, Visible};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::{Report, staging_conflict};
use slipway_core::route::Site;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::{LedgerError, Record, named_target, parse, subject};
use crate::sql::Sql;

/// How long a release is looked at that has ended, and what has expired. What waits in staging is, until it has.
pub(super) const WATCHED_FOR: Duration = Duration::from_hours(14 * 24);
/// How many looks without a file make its absence a fact.
const ABSENT_LOOKS: i64 = 2;
/// How soon a target is looked at again that one look did not find.
const SECOND_LOOK: Duration = Duration::from_mins(10);
/// How many targets one sweep looks at.
const TARGETS_MAX: u64 = 500;

/// A target that rests, and where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The distro version.
    pub distro: String,
    /// Where it should be: staging before its release, the public place after.
    pub site: Site,
    /// Its file.
    pub filename: Cargo,
    /// Its bytes.
    pub digest: Digest,
    /// How far it is.
    pub state: TargetState,
}

/// What a promotion said that has found a package missing: it has looked at the public place, too, so a look at staging
/// alone does not take it back.
pub(super) fn found_missing(problem: Option<&str>) -> Result<Option<api::Problem>, LedgerError> {
    let problem: Option<api::Problem> = problem.map(serde_json::from_str).transpose()?;
    Ok(problem.filter(|problem| problem.code == Code::Missing.code()))
}

/// What is said of a target that lost its approval: it is staged as before, and that it must be released again is not
/// taken back by a look.
pub(super) fn still_to_be_said(
    before: TargetState,
    problem: Option<&str>,
) -> Result<Option<api::Problem>, LedgerError> {
    let problem: Option<api::Problem> = problem.map(serde_json::from_str).transpose()?;
    let lost = |problem: &api::Problem| [Code::Blocked.code(), Code::Lapsed.code()].contains(&problem.code.as_str());
    Ok(problem.filter(|problem| before == TargetState::Staged && lost(problem)))
}

/// Every target `t` that rests and is watched, with a package `p` that was declared: of a release `r` or an end since `?1`, or for as
/// long as it waits to be released. Somebody may delete a staged file on any day.
const WATCHED: &str = "FROM targets t
    JOIN packages p ON p.version = t.version AND p.key = t.key JOIN releases r ON r.version = t.version
    WHERE (t.state IN ('staged', 'missing') AND (r.closed_at IS NULL OR r.created_at > ?1)
    OR t.state = 'released' AND r.created_at > ?1 OR t.state = 'expired' AND t.since > ?1)
    AND p.digest IS NOT NULL";

impl<S: Sql> Record<S> {
    /// Targets that rest, and that nobody has looked at since `before`. A look later than now was when the clock was wrong.
    /// What is at a place that did not answer the last time comes last: it goes on being due, and where it is much, nothing else
    /// would be looked at.
    pub fn watched(&self, before: Timestamp, now: Timestamp) -> Result<Vec<Watched>, LedgerError> {
        let rows = self.0.query(
            &format!(
                "SELECT t.version, t.key, t.distro, t.state, p.filename, p.digest,
                    CASE t.state WHEN 'released' THEN t.public_place ELSE p.staging_place END AS place,
                    CASE t.state WHEN 'released' THEN t.public_repository ELSE p.staging_repository END
             {WATCHED}
               AND (COALESCE(t.looked_at, t.since) <= CASE t.absent_looks WHEN 1 THEN MAX(?2, ?3) ELSE ?2 END
                 OR COALESCE(t.looked_at, t.since) > ?4)
             ORDER BY place IN (SELECT name FROM sources WHERE kind = 'place' AND trouble IS NOT NULL),
                 COALESCE(t.looked_at, t.since), t.version, t.key, t.distro LIMIT ?5"
            ),
            &[
                (now - WATCHED_FOR).0.into(),
                before.0.into(),
                (now - SECOND_LOOK).0.into(),
                now.0.into(),
                TARGETS_MAX.into(),
            ],
        )?;
        rows.iter()
            .map(|row| {
                Ok(Watched {
                    version: parse(row.text(0)?)?,
                    key: parse(row.text(1)?)?,
                    distro: row.text(2)?.to_owned(),
                    state: parse(row.text(3)?)?,
                    filename: parse(row.text(4)?)?,
                    digest: parse(row.text(5)?)?,
                    site: Site { place: row.text(6)?.to_owned(), repository: row.text(7)?.to_owned() },
                })
            })
            .collect()
    }

    /// How many targets rest and are watched.
    pub fn resting_count(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let rows = self.0.query(&format!("SELECT COUNT(*) {WATCHED}"), &[(now - WATCHED_FOR).0.into()])?;
        Ok(rows.first().map_or(Ok(0), |row| row.natural(0))?)
    }

    /// When the next target is to be looked at, where each is so long after its last look. `None` when there is nothing to
    /// watch.
    pub fn next_look(&self, again: Duration, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let rows = self.0.query(
            &format!(
                "SELECT MIN(COALESCE(t.looked_at, t.since) + CASE t.absent_looks WHEN 1 THEN MIN(?2, ?3) ELSE ?2 END)
             {WATCHED}"
            ),
            &[(now - WATCHED_FOR).0.into(), ms(again).into(), ms(SECOND_LOOK).into()],
        )?;
        Ok(rows.first().map(|row| row.integer_or_null(0)).transpose()?.flatten().map(Timestamp))
    }

    /// Writes down what a look at a target that rests has shown; whether that is new. A target that moves meanwhile, whose
    /// bytes are others by now, or that is being taken back, is left alone.
    pub fn looked(&self, of: &Watched, seen: &Seen, now: Timestamp) -> Result<bool, LedgerError> {
        let Watched { version, key, distro, state: before, .. } = of;
        self.0.atomically(|| {
            let absent = i64::from(*seen == Seen::Nothing);
            let rows = self.0.query(
                "UPDATE targets SET looked_at = ?, absent_looks = CASE ? WHEN 1 THEN absent_looks + 1 ELSE 0 END
                 WHERE version = ? AND key = ? AND distro = ? AND state = ?
                 AND EXISTS (SELECT 1 FROM packages p
                    WHERE p.version = targets.version AND p.key = targets.key AND p.digest = ?)
                 AND NOT EXISTS (SELECT 1 FROM withdrawals w WHERE w.version = targets.version AND w.key = targets.key
                    AND w.distro = targets.distro AND w.state = 'under_way')
                 RETURNING absent_looks, problem, outside",
                &[
                    now.0.into(),
                    absent.into(),
                    version.as_str().into(),
                    key.as_str().into(),
                    distro.as_str().into(),
                    before.code().into(),
                    of.digest.to_string().into(),
                ],
            )?;
            let Some(row) = rows.first() else { return Ok(false) };
            let is_absent = row.integer(0)? >= ABSENT_LOOKS;
            let Watched { filename, site: Site { repository, .. }, digest, .. } = of;
            let (state, problem) = match (before, seen) {
                // What was deleted and is there is staged again: a list was behind when it was called gone, or somebody has put
                // it back. Of what is on its way out, and of other bytes under the name, this says nothing.
                (TargetState::Expired, Seen::Digest(found)) if found == digest => {
                    if self.may_go(version, key)? {
                        return Ok(false);
                    }
                    (TargetState::Staged, None)
                }
                (TargetState::Expired, _) => return Ok(false),
                (TargetState::Released, Seen::Digest(found)) if found == digest => (TargetState::Released, None),
                (TargetState::Released, Seen::Digest(found)) => {
                    let what = match tag_of(distro) {
                        None => format!("{repository} has other bytes under `{filename}`: {found}, released {digest}."),
                        Some(tag) => format!("{repository} has another image as `{tag}`: {found}, released {digest}."),
                    };
                    (TargetState::Released, Some(Code::Drift.problem(what, Visible::Done, None)))
                }
                (TargetState::Released, Seen::Nothing) if is_absent => {
                    let name = tag_of(distro).unwrap_or(filename.as_str());
                    let what = format!("{repository} no longer has `{name}`, which was released there.");
                    (TargetState::Released, Some(Code::Drift.problem(what, Visible::Nothing, None)))
                }
                (_, Seen::Digest(found)) if found == digest => {
                    (TargetState::Staged, still_to_be_said(*before, row.text_or_null(1)?)?)
                }
                (_, Seen::Digest(found)) => {
                    (TargetState::Missing, Some(staging_conflict(repository, filename, *found, *digest)))
                }
                (_, Seen::Nothing) if is_absent => (TargetState::Missing, found_missing(row.text_or_null(1)?)?),
                (_, Seen::Nothing | Seen::WithoutDigest) => return Ok(false),
            };
            let text = problem.as_ref().map(serde_json::to_string).transpose()?;
            if state == *before && row.text_or_null(1)? == text.as_deref() {
                return Ok(false);
            }
            let code = problem.as_ref().map(|problem| problem.code.clone());
            let outside = row.integer(2)? != 0;
            self.set(version, key, &Report { problem, outside, ..Report::of(distro, state) }, now)?;
            self.now_staged(version, key, *before, state, now)?;
            let action = if *before == TargetState::Released { "looked-again" } else { state.code() };
            let (word, name) = named_target(distro);
            let details = serde_json::json!({ (word): name, "before": before.code(), "problem": code });
            self.change(version, "edge", action, &subject(version, key), &details, now)?;
            Ok(true)
        })
    }
}

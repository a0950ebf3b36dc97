//! What of staging is announced, marked and being deleted, and what keeps it.
//!
//! A deletion begins in the transaction that has read once more all that the record knows: so a hold and a deletion have an
//! order. What a hold finds begun is on its way, and it is told so. Begun ones are kept until a look at staging has shown
//! what became of them, so an answer that was lost delays and blocks nothing for ever.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::audit::person;
use slipway_core::cargo::{Cargo, staged_under};
use slipway_core::config::{Config, Keeping, Project};
use slipway_core::gate::moment;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::retention::{
    Cause, Consent, Decision, Ending, InStaging, Keep, Known, Progress, Sights, Stage, decide, due, needs, tick,
};
use slipway_core::route::Site;
use slipway_core::store::Kept;
use slipway_core::time::Timestamp;
use slipway_wire::{Digest, Planted, planted};

use super::{LedgerError, Record, Staged, coded, named_cargo, parse, subject};
use crate::sql::{Row, Sql, Value};

/// How long a deletion may be on its way without an answer before a look decides what became of it. Requests end sooner.
pub const UNANSWERED: Duration = Duration::from_mins(2);
/// How long a file is left to another project that wants to delete it.
const LENT: Duration = Duration::from_mins(15);
/// How long staging must have shown nothing before it is believed, by the time that runs count. A list that is behind by
/// days is none; and what is believed here is only that there is nothing left to delete.
const NOT_SHOWN: Duration = Duration::from_hours(72);

/// Whether somebody who wants a package kept came in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Yes: from now on no deletion of it begins.
    InTime,
    /// The deletion of these was on its way already, and whether staging still has them is not known yet.
    TooLate(Vec<Key>),
}

/// A package whose bytes staging has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resting {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// What it is.
    pub cargo: Cargo,
    /// Its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Where they are.
    pub staging: Site,
    /// Under which names they are there: distro versions, or the digest of an image.
    pub under: Vec<String>,
    /// Where each of its targets that is released should be served: the public place and the target's name.
    pub released: Vec<(Site, String)>,
    /// What the record knows of it.
    pub known: Known,
    /// How long its routes keep it.
    pub keeping: Option<Keeping>,
}

/// A deletion on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its number.
    pub id: u64,
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// Where.
    pub staging: Site,
    /// What.
    pub cargo: Cargo,
    /// Under which name.
    pub under: String,
    /// These bytes alone.
    pub digest: Digest,
    /// Since when.
    pub begun_at: Timestamp,
    /// When it is looked at again.
    pub look_at: Timestamp,
    /// Since when staging does not show it. One look alone proves nothing.
    pub gone_at: Option<Timestamp>,
    /// The number of the run that began it.
    pub run: u64,
    /// What was to go with it, of an image. Once that is gone nothing else leads there.
    pub parts: Vec<Digest>,
}

/// What a look after a deletion showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is no longer there.
    Gone,
    /// It is there as before.
    StillThere,
    /// Nobody has looked: nothing was sent.
    NotSent,
}

impl Removed {
    /// The word that the log has for it, as the audit does.
    pub fn code(self) -> &'static str {
        match self {
            Self::Gone => "deleted",
            Self::StillThere => "not-deleted",
            Self::NotSent => "not-sent",
        }
    }
}

/// Where a part of what rests ends: the next goes on behind this package.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Behind {
    /// Since when staging has it.
    pub staged_at: Timestamp,
    /// Its release.
    pub version: Version,
    /// Its key.
    pub key: Key,
}

/// As the record puts them in order: versions by their text.
impl Ord for Behind {
    fn cmp(&self, other: &Self) -> Ordering {
        let text = |of: &Self| (of.staged_at, of.version.as_str().to_owned(), of.key.as_str().to_owned());
        text(self).cmp(&text(other))
    }
}

impl PartialOrd for Behind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A file in staging, as another project asks for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StagedObject {
    /// Where.
    pub staging: Site,
    /// What.
    pub cargo: Cargo,
    /// Its bytes.
    pub digest: Digest,
    /// Under which names; all of them, where none is named.
    #[serde(default)]
    pub under: Vec<String>,
}

/// The file that a package has in staging, or is to be declared with. Under which names it is there, the package's targets
/// tell: so it is asked about together with its package.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileOf<'a> {
    pub(super) version: &'a Version,
    pub(super) key: &'a Key,
    pub(super) staging: &'a Site,
    pub(super) cargo: &'a Cargo,
    pub(super) digest: &'a Digest,
}

impl<'a> FileOf<'a> {
    /// The one that is declared.
    fn staged(version: &'a Version, key: &'a Key, staged: &'a Staged) -> Self {
        Self { version, key, staging: &staged.staging, cargo: &staged.filename, digest: &staged.digest }
    }

    /// As statements have it: `?1` the place, `?2` the repository, `?3` the file or image, `?4` its digest, `?5` the release,
    /// `?6` the package.
    fn values(&self) -> [Value; 6] {
        [
            self.staging.place.as_str().into(),
            self.staging.repository.as_str().into(),
            self.cargo.as_str().into(),
            self.digest.to_string().into(),
            self.version.as_str().into(),
            self.key.as_str().into(),
        ]
    }
}

impl<S: Sql> Record<S> {
    // ---- the time that runs count ----

    /// When the last run looked at the clock, and the time that runs have counted.
    pub fn retention_clock(&self) -> Result<(Option<Timestamp>, Duration), LedgerError> {
        let rows = self.0.query("SELECT seen_at, counted FROM retention_clock", &[])?;
        match rows.first() {
            Some(row) => Ok((Some(Timestamp(row.integer(0)?)), Duration::from_millis(row.natural(1)?))),
            None => Ok((None, Duration::ZERO)),
        }
    }

    /// Counts the time since the last run, as far as it can be believed; what is counted by now.
    pub fn count_time(&self, now: Timestamp, clocks_agree: bool) -> Result<Duration, LedgerError> {
        self.0.atomically(|| {
            let (last, counted) = self.retention_clock()?;
            let counted = counted + tick(last, now, clocks_agree);
            self.0.query(
                "INSERT INTO retention_clock (id, seen_at, counted) VALUES (1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET seen_at = ?1, counted = ?2",
                &[now.0.into(), u64::try_from(counted.as_millis()).unwrap_or(u64::MAX).into()],
            )?;
            Ok(counted)
        })
    }

    // ---- what is known ----

    /// So many packages whose bytes staging has, as far as the record knows: those that rest the longest first, from the
    /// beginning or behind another. None when all were reached.
    pub fn resting(
        &self,
        config: &Config,
        project: &Project,
        behind: Option<&Behind>,
        count: u64,
        now: Timestamp,
    ) -> Result<Vec<Resting>, LedgerError> {
        let behind =
            behind.map_or((-1, "", ""), |behind| (behind.staged_at.0, behind.version.as_str(), behind.key.as_str()));
        let rows = self.0.query(
            "SELECT version, key FROM packages WHERE digest IS NOT NULL AND staged_at IS NOT NULL
             AND (staged_at, version, key) > (?, ?, ?) ORDER BY staged_at, version, key LIMIT ?",
            &[behind.0.into(), behind.1.into(), behind.2.into(), count.into()],
        )?;
        let mut resting = Vec::with_capacity(rows.len());
        for row in &rows {
            resting.extend(self.resting_one(config, project, &parse(row.text(0)?)?, &parse(row.text(1)?)?, now)?);
        }
        Ok(resting)
    }

    /// One of them. Of others that have the same file it tells what they need, when they may go, and where they are public.
    pub fn resting_one(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Resting>, LedgerError> {
        let Some(mut own) = self.alone(config, project, version, key, now)? else { return Ok(None) };
        for (version, key) in self.sharers_in_staging(&own)? {
            let Some(other) = self.alone(config, project, &version, &key, now)? else { continue };
            if planted(Planted::DeletesWhatAnotherHas) {
                break;
            }
            if needs(&other.known, other.keeping.as_ref(), now).is_some() {
                own.known.needed_by = Some(subject(&version, &key));
                break;
            }
            // Other bytes of this name are not what is deleted.
            if other.digest != own.digest {
                continue;
            }
            if let Some(keeping) = other.keeping.filter(|_| other.known.staged_at.is_some()) {
                own.known.due_with = own.known.due_with.max(Some(due(&other.known, &keeping, &config.retention)));
            }
            let new = |public: &(Site, String)| !own.released.contains(public);
            let released: Vec<(Site, String)> = other.released.into_iter().filter(new).collect();
            own.released.extend(released);
        }
        Ok(Some(own))
    }

    /// A package by itself, whoever else has its file.
    fn alone(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        key: &Key,
        now: Timestamp,
    ) -> Result<Option<Resting>, LedgerError> {
        let at: [Value; 2] = [version.as_str().into(), key.as_str().into()];
        let rows = self.0.query(
            "SELECT filename, digest, size, staging_place, staging_repository, kind, architecture, staged_at, declared_again_at
             FROM packages WHERE version = ? AND key = ? AND digest IS NOT NULL",
            &at,
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (named, digest_text) = (row.text(0)?, row.text(1)?);
        let (cargo, digest): (Cargo, Digest) = (parse(named)?, parse(digest_text)?);
        let staging = Site { place: row.text(3)?.to_owned(), repository: row.text(4)?.to_owned() };
        let targets = self.0.query(
            "SELECT distro, state, public_place, public_repository, begun, how = 'move' AND outside = 0 FROM targets
             WHERE version = ? AND key = ? ORDER BY distro",
            &at,
        )?;
        let (mut under, mut released) = (Vec::new(), Vec::new());
        let (mut is_moving, mut is_unsettled) = (false, false);
        for target in &targets {
            let (distro, state): (&str, TargetState) = (target.text(0)?, parse(target.text(1)?)?);
            let name = staged_under(distro, &digest);
            let has_moved = matches!(state, TargetState::Released | TargetState::Withdrawn) && target.integer(5)? != 0;
            if !has_moved && !under.contains(&name) {
                under.push(name);
            }
            if state == TargetState::Released {
                let public = Site { place: target.text(2)?.to_owned(), repository: target.text(3)?.to_owned() };
                released.push((public, distro.to_owned()));
            }
            is_moving |= state.is_moving();
            let ends_open = matches!(state, TargetState::Failed | TargetState::Missing | TargetState::Staged);
            is_unsettled |= ends_open && target.integer(4)? != 0;
        }
        let distros = targets.iter().map(|target| target.text(0)).collect::<Result<Vec<_>, _>>()?;
        let keeping = config.keeping(project, version, key, parse(row.text(5)?)?, row.text_or_null(6)?, distros);
        let known = Known {
            ending: self.ending(version)?,
            staged_at: row.integer_or_null(7)?.map(Timestamp),
            declared_at: self.first_declared(&staging, named, digest_text)?,
            staged_again_at: row.integer_or_null(8)?.map(Timestamp),
            held_by: self.held_by(version, key, now)?,
            deployed: self.runs_in(version, key)?,
            is_moving,
            is_unsettled,
            newer: self.newer(version, key, &staging)?,
            extended_until: self.extended_until(version, key)?,
            needed_by: None,
            due_with: None,
            progress: self.progress(version, key, &digest)?,
            counted: self.retention_clock()?.1,
        };
        let size = row.natural(2)?;
        let (version, key) = (version.clone(), key.clone());
        Ok(Some(Resting { version, key, cargo, digest, size, staging, under, released, known, keeping }))
    }

    /// Whether a release has ended, and since when; of one that has not, when anything happened to it last. That staging has
    /// forgotten a part of it is no news: the rest would be young again, and stay.
    pub(super) fn ending(&self, version: &Version) -> Result<Ending, LedgerError> {
        let rows = self.0.query(
            "SELECT r.closed_at,
                COALESCE(MIN(t.state IN ('released', 'skipped', 'withdrawn')), 0),
                MAX(r.created_at, COALESCE(MAX(CASE WHEN t.state <> 'expired' THEN t.since END), 0),
                    COALESCE((SELECT MAX(MAX(COALESCE(p.declared_at, 0), COALESCE(p.staged_at, 0))) FROM packages p
                        WHERE p.version = r.version), 0),
                    COALESCE((SELECT MAX(at) FROM deployments d WHERE d.version = r.version), 0),
                    COALESCE((SELECT MAX(at) FROM approvals a WHERE a.version = r.version), 0))
             FROM releases r LEFT JOIN targets t ON t.version = r.version WHERE r.version = ? GROUP BY r.version",
            &[version.as_str().into()],
        )?;
        let row = rows.first().ok_or_else(|| LedgerError::NoRelease { version: version.clone() })?;
        let last = Timestamp(row.integer(2)?);
        Ok(match (row.integer_or_null(0)?, row.integer(1)? != 0) {
            (Some(closed), _) => Ending::Closed(Timestamp(closed)),
            (None, true) => Ending::Complete(last),
            (None, false) => Ending::Open(last),
        })
    }

    /// When any release of the project first said that this file would come.
    fn first_declared(&self, staging: &Site, named: &str, digest: &str) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query(
            "SELECT MIN(declared_at) FROM packages
             WHERE staging_place = ? AND staging_repository = ? AND filename = ? AND digest = ?",
            &[staging.place.as_str().into(), staging.repository.as_str().into(), named.into(), digest.into()],
        )?;
        Ok(rows.first().map(|row| row.integer_or_null(0)).transpose()?.flatten().map(Timestamp))
    }

    fn held_by(&self, version: &Version, key: &Key, now: Timestamp) -> Result<Option<String>, LedgerError> {
        let rows = self.0.query(
            "SELECT held_by FROM holds WHERE version = ? AND key IN ('', ?) AND (until IS NULL OR until > ?)
             ORDER BY key LIMIT 1",
            &[version.as_str().into(), key.as_str().into(), now.0.into()],
        )?;
        Ok(rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()?)
    }

    /// An environment in which a package runs: one that was told of its release, and of no other release with this package
    /// since. Told at the same moment, both run. Whichever pipeline it was told of, what speaks for it counts; against it,
    /// only a release that had staged this package by then, and the pipeline that built it or another of the same commit.
    fn runs_in(&self, version: &Version, key: &Key) -> Result<Option<String>, LedgerError> {
        let rows = self.0.query(
            "SELECT d.environment FROM deployments d
             WHERE d.version = ?1 AND NOT EXISTS
                (SELECT 1 FROM deployments l
                 JOIN packages q ON q.version = l.version AND q.key = ?2 AND q.first_staged_at <= l.at
                 WHERE l.environment = d.environment AND l.version <> d.version
                 AND (l.pipeline_id IN (0, q.pipeline_id) OR EXISTS
                    (SELECT 1 FROM pipelines told JOIN pipelines own
                        ON own.version = told.version AND own.sha = told.sha AND own.ref_name = told.ref_name
                     WHERE told.version = l.version AND told.id = l.pipeline_id AND own.id = q.pipeline_id))
                 AND COALESCE(l.done_at, l.at) > COALESCE(d.done_at, d.at))
             ORDER BY d.environment LIMIT 1",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        Ok(rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()?)
    }

    /// Why the staged bytes of a package stay for as long as somebody wants it, whatever becomes of its release: who holds it,
    /// where it runs, or until when it was asked for.
    pub(super) fn promised(&self, version: &Version, key: &Key, now: Timestamp) -> Result<Option<String>, LedgerError> {
        let holds = self.holds(version)?;
        let of_it = |of: &Option<Key>| of.as_ref().is_none_or(|of| of == key);
        if let Some((_, hold)) = holds.iter().find(|(of, hold)| of_it(of) && hold.counts_at(now)) {
            let end = hold.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
            let reason = hold.reason.trim().trim_end_matches('.');
            return Ok(Some(format!("it is on hold by {}{end}: {reason}", person(&hold.by))));
        }
        let runs = self.runs_in(version, key)?.map(Keep::Deployed);
        let kept = self.extended_until(version, key)?.filter(|until| *until > now).map(Keep::Extended);
        Ok(runs.or(kept).map(|keep| keep.to_string()))
    }

    /// How many packages of the key that staging has in the same repository are of later releases.
    fn newer(&self, version: &Version, key: &Key, staging: &Site) -> Result<u32, LedgerError> {
        let rows = self.0.query(
            "SELECT COUNT(*) FROM packages p JOIN releases r ON r.version = p.version
             JOIN releases own ON own.version = ?1
             WHERE p.key = ?2 AND p.version <> ?1 AND p.staging_place = ?3 AND p.staging_repository = ?4
             AND p.digest IS NOT NULL AND p.staged_at IS NOT NULL
             AND (r.created_at > own.created_at OR r.created_at = own.created_at AND r.version > own.version)",
            &[
                version.as_str().into(),
                key.as_str().into(),
                staging.place.as_str().into(),
                staging.repository.as_str().into(),
            ],
        )?;
        let count = rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn extended_until(&self, version: &Version, key: &Key) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.0.query(
            "SELECT until FROM extensions WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(Timestamp))
    }

    /// How far the deletion of these bytes is: what was said of others under the key says nothing of them.
    fn progress(&self, version: &Version, key: &Key, digest: &Digest) -> Result<Option<Progress>, LedgerError> {
        let rows = self.0.query(
            "SELECT stage, counted FROM retention WHERE version = ? AND key = ? AND digest = ?",
            &[version.as_str().into(), key.as_str().into(), digest.to_string().into()],
        )?;
        let read =
            |row: &Row| Ok(Progress { stage: coded(row.text(0)?)?, counted: Duration::from_millis(row.natural(1)?) });
        rows.first().map(read).transpose()
    }

    /// The packages of the project that have this file, as far as their names go: of one name for two distro versions there
    /// are two files, and images are told apart by their digests.
    fn holders(&self, object: &StagedObject) -> Result<Vec<(Version, Key)>, LedgerError> {
        let is_file = object.cargo.file().is_some();
        let mut of: Vec<Value> = vec![
            object.staging.place.as_str().into(),
            object.staging.repository.as_str().into(),
            object.cargo.as_str().into(),
        ];
        let mut sql = "SELECT version, key FROM packages
             WHERE staging_place = ? AND staging_repository = ? AND filename = ?"
            .to_owned();
        if !is_file {
            sql.push_str(" AND digest = ?");
            of.push(object.digest.to_string().into());
        }
        let rows = self.0.query(&sql, &of)?;
        let mut holders = Vec::new();
        for row in &rows {
            let (version, key) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
            let is_under =
                |(distro, _): &(String, TargetState)| object.under.contains(&staged_under(distro, &object.digest));
            if !is_file || object.under.is_empty() || self.states(&version, &key)?.iter().any(is_under) {
                holders.push((version, key));
            }
        }
        Ok(holders)
    }

    /// Other packages of the project that have the same file in staging.
    fn sharers_in_staging(&self, of: &Resting) -> Result<Vec<(Version, Key)>, LedgerError> {
        let mut sharers = self.holders(&of.object())?;
        sharers.retain(|(version, key)| *version != of.version || *key != of.key);
        Ok(sharers)
    }

    // ---- the steps ----

    /// Writes down that a deletion is announced or marked; whether the package is still the same, and the step the next.
    pub fn take_step(
        &self,
        of: &Resting,
        stage: Stage,
        cause: Cause,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Resting { version, key, digest, .. } = of;
        self.0.atomically(|| {
            let declared = self.staged(version, key)?.is_some_and(|staged| staged.digest == *digest);
            let before = self.progress(version, key, digest)?.map(|progress| progress.stage);
            let wanted = match stage {
                Stage::Announced => None,
                Stage::Marked => Some(Stage::Announced),
            };
            if !declared || before != wanted {
                return Ok(false);
            }
            let counted = u64::try_from(self.retention_clock()?.1.as_millis()).unwrap_or(u64::MAX);
            self.0.query(
                "INSERT INTO retention (version, key, digest, stage, cause, counted, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (version, key) DO UPDATE SET digest = ?3, stage = ?4, cause = ?5, counted = ?6, expires_at = ?7",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    digest.to_string().into(),
                    stage.code().into(),
                    cause.code().into(),
                    counted.into(),
                    expires_at.0.into(),
                ],
            )?;
            let details = serde_json::json!({
                "cause": cause.code(), "digest": digest, "expires_at": expires_at.to_string(),
            });
            self.change(version, "edge", stage.code(), &subject(version, key), &details, now)?;
            if stage == Stage::Announced {
                self.announced(version, key, expires_at, now)?;
            }
            Ok(true)
        })
    }

    /// Writes down that a deletion that was announced is over, and why; whether there was one.
    pub fn take_back_step(&self, of: &Resting, keep: &Keep, now: Timestamp) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let details = serde_json::json!({ "reason": keep.code(), "why": keep.to_string() });
            self.kept(&of.version, &of.key, "edge", &details, now)
        })
    }

    fn kept(
        &self,
        version: &Version,
        key: &Key,
        by: &str,
        details: &serde_json::Value,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "DELETE FROM retention WHERE version = ? AND key = ? RETURNING stage",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        if rows.is_empty() {
            return Ok(false);
        }
        self.change(version, by, "kept", &subject(version, key), details, now)?;
        Ok(true)
    }

    /// What is announced or marked of a release, and when it is deleted at the earliest.
    pub fn expiries(&self, version: &Version) -> Result<BTreeMap<Key, (Stage, Timestamp)>, LedgerError> {
        let rows = self.0.query(
            "SELECT r.key, r.stage, r.expires_at FROM retention r
             JOIN packages p ON p.version = r.version AND p.key = r.key AND p.digest = r.digest WHERE r.version = ?",
            &[version.as_str().into()],
        )?;
        rows.iter().map(|row| Ok((parse(row.text(0)?)?, (coded(row.text(1)?)?, Timestamp(row.integer(2)?))))).collect()
    }

    /// Somebody wants packages kept until then, the whole release without keys. Whatever was announced of them is over. An
    /// earlier date takes nothing from whoever was promised a later one.
    pub fn extend(
        &self,
        version: &Version,
        keys: Option<&[Key]>,
        until: Timestamp,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Held, LedgerError> {
        self.0.atomically(|| {
            self.planned(version)?;
            let all = match keys {
                Some(keys) => keys.to_vec(),
                None => self.keys(version)?,
            };
            self.named(version, Some(&all))?;
            for key in &all {
                self.0.query(
                    "INSERT INTO extensions (version, key, until) VALUES (?1, ?2, ?3)
                     ON CONFLICT (version, key) DO UPDATE SET until = MAX(until, ?3)",
                    &[version.as_str().into(), key.as_str().into(), until.0.into()],
                )?;
                self.0.query(
                    "DELETE FROM retention WHERE version = ? AND key = ?",
                    &[version.as_str().into(), key.as_str().into()],
                )?;
            }
            let details = serde_json::json!({ "keys": keys, "until": until.to_string(), "reason": reason });
            self.change(version, by, "extended", version.as_str(), &details, now)?;
            self.came_in_time(version, &all, now)
        })
    }

    /// Whether the deletion of none of these is on its way, or done, also by a job that replaces it.
    pub(super) fn came_in_time(&self, version: &Version, keys: &[Key], now: Timestamp) -> Result<Held, LedgerError> {
        self.end_loans(now)?;
        let mut late = Vec::new();
        for key in keys {
            let deleted = self.0.query(
                "SELECT 1 FROM packages WHERE version = ? AND key = ? AND deleted_at IS NOT NULL",
                &[version.as_str().into(), key.as_str().into()],
            )?;
            if !deleted.is_empty() || self.is_being_deleted(version, key)? || self.is_giving_way(version, key)? {
                late.push(key.clone());
            }
        }
        Ok(if late.is_empty() { Held::InTime } else { Held::TooLate(late) })
    }

    /// Whether a file of a package, or the one that it has in common with another, has given way to other bytes that were not
    /// seen under all names yet. Their job deletes the old ones first, at a moment that nobody is told.
    fn is_giving_way(&self, version: &Version, key: &Key) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT 1 FROM packages p JOIN replaced r ON instr(r.filename, '/') = 0
             JOIN packages q ON q.version = r.version AND q.key = r.key
             WHERE p.version = ? AND p.key = ? AND NOT (r.filename = q.filename AND r.digest = q.digest)
             AND (q.version = p.version AND q.key = p.key OR r.filename = p.filename AND r.digest = p.digest
                AND q.staging_place = p.staging_place AND q.staging_repository = p.staging_repository)
             AND EXISTS (SELECT 1 FROM targets t WHERE t.version = q.version AND t.key = q.key AND t.state = 'expected')
             LIMIT 1",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        Ok(!rows.is_empty())
    }

    /// Whether another release has given up this file under a name that the package has, for other bytes that were not seen
    /// under all names yet: the job that was told so deletes it, whoever has it by then.
    fn gives_way_elsewhere(&self, file: &FileOf<'_>) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT 1 FROM replaced r JOIN packages q ON q.version = r.version AND q.key = r.key
             WHERE r.filename = ?3 AND r.digest = ?4 AND instr(r.filename, '/') = 0
             AND q.staging_place = ?1 AND q.staging_repository = ?2 AND q.version <> ?5
             AND NOT (q.filename = r.filename AND q.digest = r.digest)
             AND EXISTS (SELECT 1 FROM targets t WHERE t.version = q.version AND t.key = q.key AND t.state = 'expected')
             AND EXISTS (SELECT 1 FROM targets t JOIN targets own ON own.distro = t.distro
                WHERE t.version = q.version AND t.key = q.key AND own.version = ?5 AND own.key = ?6) LIMIT 1",
            &file.values(),
        )?;
        Ok(!rows.is_empty())
    }

    /// Whether the bytes of a package may go at any moment: their deletion is on its way, or a job of another release deletes
    /// them.
    pub(super) fn may_go(&self, version: &Version, key: &Key) -> Result<bool, LedgerError> {
        let Some(staged) = self.staged(version, key)? else { return Ok(false) };
        self.may_file_go(&FileOf::staged(version, key, &staged))
    }

    /// Whether a deletion of a package's file is on its way, for this package or for another that has it too.
    pub fn is_being_deleted(&self, version: &Version, key: &Key) -> Result<bool, LedgerError> {
        let Some(staged) = self.staged(version, key)? else { return Ok(false) };
        self.is_removed(&FileOf::staged(version, key, &staged))
    }

    /// Whether a deletion of a file is on its way that a package is to be declared with, or a job of another release deletes it.
    pub(super) fn is_file_being_deleted(&self, file: &FileOf<'_>, now: Timestamp) -> Result<bool, LedgerError> {
        self.end_loans(now)?;
        self.may_file_go(file)
    }

    fn may_file_go(&self, file: &FileOf<'_>) -> Result<bool, LedgerError> {
        Ok(self.is_removed(file)? || self.gives_way_elsewhere(file)?)
    }

    /// Whether a deletion is on its way of this file under a name that the package has.
    fn is_removed(&self, file: &FileOf<'_>) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT 1 FROM removals r WHERE r.place = ?1 AND r.repository = ?2 AND r.cargo = ?3
             AND CASE instr(r.cargo, '/') WHEN 0 THEN r.under = '' OR EXISTS
                (SELECT 1 FROM targets t WHERE t.version = ?5 AND t.key = ?6 AND t.distro = r.under)
                ELSE r.digest = ?4 END LIMIT 1",
            &file.values(),
        )?;
        Ok(!rows.is_empty())
    }

    // ---- what is there no more ----

    /// Staging has nothing of a package any more, as far as its targets tell: each was moved away, or is missing. Then there
    /// is nothing to announce and nothing to count. Once it is seen again it is staged anew.
    pub(super) fn forget_gone(&self, version: &Version, key: &Key, now: Timestamp) -> Result<(), LedgerError> {
        let gone = self.0.query(
            "UPDATE packages SET staged_at = NULL WHERE version = ?1 AND key = ?2 AND staged_at IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM targets t WHERE t.version = ?1 AND t.key = ?2 AND t.state NOT IN ('expected', 'missing')
                 AND NOT (t.state IN ('released', 'withdrawn') AND t.how = 'move' AND t.outside = 0))
             RETURNING key",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        if !gone.is_empty() {
            self.kept(version, key, "edge", &serde_json::json!({ "reason": "gone" }), now)?;
        }
        Ok(())
    }

    /// Writes down what a look at staging has shown of a package that nothing in the record keeps; whether it is forgotten by
    /// that, since staging has shown nothing of it for days, look after look. Whoever forgets too early only lets it lie.
    pub fn looked_in_staging(&self, of: &Resting, seen: &InStaging, now: Timestamp) -> Result<bool, LedgerError> {
        let at: [Value; 3] = [of.version.as_str().into(), of.key.as_str().into(), of.digest.to_string().into()];
        self.0.atomically(|| {
            let counted = self.retention_clock()?.1;
            let rows = self.0.query(
                "SELECT unshown_since FROM packages WHERE version = ? AND key = ? AND digest = ? AND staged_at IS NOT NULL",
                &at,
            )?;
            let Some(row) = rows.first() else { return Ok(false) };
            let before = row.natural_or_null(0)?.map(Duration::from_millis);
            let since = match seen {
                InStaging::Unread => before,
                InStaging::Nothing => before.or(Some(counted)),
                InStaging::WithoutDigest | InStaging::Other(_) | InStaging::Declared(_) => None,
            };
            let is_gone = *seen == InStaging::Nothing
                && since.is_some_and(|since| counted.saturating_sub(since) >= NOT_SHOWN);
            if since == before && !is_gone {
                return Ok(false);
            }
            let since = since.filter(|_| !is_gone).map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
            let [version, key, _] = at;
            self.0.query(
                "UPDATE packages SET unshown_since = ?3, staged_at = CASE ?4 WHEN 0 THEN staged_at END
                 WHERE version = ?1 AND key = ?2",
                &[version, key, since.into(), i64::from(is_gone).into()],
            )?;
            if is_gone {
                self.kept(&of.version, &of.key, "edge", &serde_json::json!({ "reason": "gone" }), now)?;
            }
            Ok(is_gone)
        })
    }

    // ---- deleting ----

    /// A deletion begins now, if nothing that the record knows speaks against it, for this package or for another that has
    /// the same file. What was staged and not released is expired from here on, so nobody releases it. `parts` go with it, and
    /// are written down before any of them does.
    #[allow(clippy::too_many_arguments, reason = "what is deleted, and all that speaks for or against it")]
    pub fn begin_removal(
        &self,
        config: &Config,
        project: &Project,
        of: &Resting,
        sights: &Sights,
        parts: &[Digest],
        now: Timestamp,
    ) -> Result<Result<Vec<Removal>, Decision>, LedgerError> {
        self.0.atomically(|| {
            let nothing = || Ok(Err(Decision::Keep(Keep::NeverStaged)));
            // The clock was compared with the servers' when the run began. It may have jumped since, and would end a hold that
            // somebody was promised a moment ago: so what has an end is judged by the time of then.
            let judged_at = self.retention_clock()?.0.map_or(now, |began_at| began_at.min(now));
            let Some(mut current) = self.resting_one(config, project, &of.version, &of.key, judged_at)? else {
                return nothing();
            };
            if current.digest != of.digest || self.is_being_deleted(&of.version, &of.key)? {
                return nothing();
            }
            if planted(Planted::DeletesWhatIsHeld) {
                current.known = of.known.clone();
            }
            let sights = Sights { is_stopped: sights.is_stopped || self.is_stopped()?, ..sights.clone() };
            let decision = decide(&current.known, &sights, current.keeping.as_ref(), &config.retention, judged_at);
            let Decision::Delete(cause) = decision else { return Ok(Err(decision)) };
            // What was released since the look was not looked for.
            if !current.released.iter().all(|public| of.released.contains(public)) {
                return Ok(Err(Decision::Keep(Keep::PublicUnread)));
            }
            let (mut removals, run) = (Vec::new(), self.run_number()?);
            for under in &current.under {
                let id = self.insert_removal(&current.object(), under, Some((&of.version, &of.key)), now, None)?;
                self.0.query("UPDATE removals SET parts = ? WHERE id = ?", &[written(parts).into(), id.into()])?;
                let Resting { version, key, staging, cargo, digest, .. } = current.clone();
                removals.push(Removal {
                    id,
                    version,
                    key,
                    staging,
                    cargo,
                    under: under.clone(),
                    digest,
                    begun_at: now,
                    look_at: now + UNANSWERED,
                    gone_at: None,
                    run,
                    parts: parts.to_vec(),
                });
            }
            for (version, key) in self.holders(&current.object())? {
                self.expire(&version, &key, &current.under, &current.digest, now)?;
            }
            let (word, name) = named_cargo(current.cargo.as_str());
            let details = serde_json::json!({
                "cause": cause.code(), (word): name, "digest": current.digest, "place": current.staging.place,
                "repository": current.staging.repository, "under": current.under,
            });
            self.change(&of.version, "edge", "deleting", &subject(&of.version, &of.key), &details, now)?;
            Ok(Ok(removals))
        })
    }

    fn insert_removal(
        &self,
        object: &StagedObject,
        under: &str,
        own: Option<(&Version, &Key)>,
        now: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<u64, LedgerError> {
        let rows = self.0.query(
            "INSERT INTO removals (place, repository, cargo, digest, under, version, key, begun_at, until, look_at, run)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            &[
                object.staging.place.as_str().into(),
                object.staging.repository.as_str().into(),
                object.cargo.as_str().into(),
                object.digest.to_string().into(),
                under.into(),
                own.map(|(version, _)| version.as_str()).into(),
                own.map(|(_, key)| key.as_str()).into(),
                now.0.into(),
                until.map(|until| until.0).into(),
                (now + UNANSWERED).0.into(),
                self.run_number()?.into(),
            ],
        )?;
        Ok(rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default())
    }

    /// What is staged under these names and not released of a package has no bytes from now on.
    fn expire(
        &self,
        version: &Version,
        key: &Key,
        under: &[String],
        digest: &Digest,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        for (distro, state) in self.states(version, key)? {
            let ends = matches!(
                state,
                TargetState::Staged | TargetState::Failed | TargetState::Conflict | TargetState::Missing
            );
            if ends && under.contains(&staged_under(&distro, digest)) {
                self.set(version, key, &Report::of(&distro, TargetState::Expired), now)?;
            }
        }
        Ok(())
    }

    /// Deletions that are on their way for this project.
    pub fn removals(&self) -> Result<Vec<Removal>, LedgerError> {
        let rows = self.0.query(
            "SELECT id, version, key, place, repository, cargo, under, digest, begun_at, look_at, gone_at, run, parts
             FROM removals WHERE version IS NOT NULL ORDER BY id",
            &[],
        )?;
        rows.iter()
            .map(|row| {
                let begun_at = Timestamp(row.integer(8)?);
                Ok(Removal {
                    id: row.natural(0)?,
                    version: parse(row.text(1)?)?,
                    key: parse(row.text(2)?)?,
                    staging: Site { place: row.text(3)?.to_owned(), repository: row.text(4)?.to_owned() },
                    cargo: parse(row.text(5)?)?,
                    under: row.text(6)?.to_owned(),
                    digest: parse(row.text(7)?)?,
                    begun_at,
                    look_at: row.integer_or_null(9)?.map_or(begun_at + UNANSWERED, Timestamp),
                    gone_at: row.integer_or_null(10)?.map(Timestamp),
                    run: row.natural_or_null(11)?.unwrap_or_default(),
                    parts: row
                        .text_or_null(12)?
                        .unwrap_or_default()
                        .split_whitespace()
                        .map(parse)
                        .collect::<Result<_, _>>()?,
                })
            })
            .collect()
    }

    /// What was to go with an image and is not to be waited for any more is crossed out: only these parts are left.
    pub fn parts_left(&self, removal: &Removal, parts: &[Digest]) -> Result<(), LedgerError> {
        self.0.query("UPDATE removals SET parts = ? WHERE id = ?", &[written(parts).into(), removal.id.into()])?;
        Ok(())
    }

    /// A package that is due is not deleted, since something else needs it: it waits again as one that was just marked, and
    /// keeps no other from its turn until then.
    pub fn wait_again(
        &self,
        of: &Resting,
        keep: &Keep,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Resting { version, key, digest, .. } = of;
        self.0.atomically(|| {
            let counted = u64::try_from(self.retention_clock()?.1.as_millis()).unwrap_or(u64::MAX);
            let waits = self.0.query(
                "UPDATE retention SET counted = ?, expires_at = ? WHERE version = ? AND key = ? AND digest = ?
                 AND stage = 'marked' RETURNING key",
                &[
                    counted.into(),
                    expires_at.0.into(),
                    version.as_str().into(),
                    key.as_str().into(),
                    digest.to_string().into(),
                ],
            )?;
            if waits.is_empty() {
                return Ok(false);
            }
            let details = serde_json::json!({ "reason": keep.code(), "why": keep.to_string(), "digest": digest });
            self.change(version, "edge", "not-deleted", &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    /// A deletion is looked at again then, and since when staging has not shown what is deleted.
    pub fn look_later(
        &self,
        removal: &Removal,
        look_at: Timestamp,
        gone_at: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE removals SET look_at = ?, gone_at = ? WHERE id = ?",
            &[look_at.0.into(), gone_at.map(|gone_at| gone_at.0).into(), removal.id.into()],
        )?;
        Ok(())
    }

    /// Writes down what a look after a deletion has shown; whether it was still open.
    pub fn settle_removal(&self, removal: &Removal, removed: Removed, now: Timestamp) -> Result<bool, LedgerError> {
        let Removal { version, key, digest, .. } = removal;
        self.0.atomically(|| {
            let open = self.0.query("DELETE FROM removals WHERE id = ? RETURNING stays", &[removal.id.into()])?;
            let Some(row) = open.first() else { return Ok(false) };
            // What stays under one of its names is staged, however the deletion ends under the others.
            let stays = row.integer(0)? != 0;
            if removed != Removed::Gone {
                self.0.query(
                    "UPDATE removals SET stays = 1 WHERE version = ? AND key = ?",
                    &[version.as_str().into(), key.as_str().into()],
                )?;
            }
            let rest = self.0.query(
                "SELECT 1 FROM removals WHERE version = ? AND key = ? LIMIT 1",
                &[version.as_str().into(), key.as_str().into()],
            )?;
            let is_last = rest.is_empty();
            let names: Vec<String> =
                self.states(version, key)?.iter().map(|(distro, _)| staged_under(distro, digest)).collect();
            let (staging, cargo) = (removal.staging.clone(), removal.cargo.clone());
            let object = StagedObject { staging, cargo, digest: *digest, under: names };
            for (version, key) in self.holders(&object)? {
                if self.staged(&version, &key)?.is_none_or(|staged| staged.digest != *digest) {
                    continue;
                }
                match removed {
                    Removed::StillThere => {
                        self.revive(&version, &key, &removal.under, digest, now)?;
                        // A server that does not delete is not asked every hour.
                        let counted = u64::try_from(self.retention_clock()?.1.as_millis()).unwrap_or(u64::MAX);
                        self.0.query(
                            "UPDATE retention SET counted = ? WHERE version = ? AND key = ?",
                            &[counted.into(), version.as_str().into(), key.as_str().into()],
                        )?;
                    }
                    Removed::NotSent => self.revive(&version, &key, &removal.under, digest, now)?,
                    Removed::Gone if is_last && !stays => self.deleted(&version, &key, &object, now)?,
                    Removed::Gone => {}
                }
            }
            let action = match removed {
                Removed::Gone => "deleted",
                Removed::StillThere => "not-deleted",
                Removed::NotSent => "not-sent",
            };
            let (word, name) = named_cargo(removal.cargo.as_str());
            let details = serde_json::json!({
                (word): name, "digest": digest, "place": removal.staging.place,
                "repository": removal.staging.repository, "under": removal.under,
            });
            self.change(version, "edge", action, &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    /// A package has no bytes in staging any more. What it has there under another name beside these still lies there.
    fn deleted(&self, version: &Version, key: &Key, object: &StagedObject, now: Timestamp) -> Result<(), LedgerError> {
        let is_gone =
            |(distro, _): &(String, TargetState)| object.under.contains(&staged_under(distro, &object.digest));
        if self.states(version, key)?.iter().all(is_gone) {
            self.0.query(
                "UPDATE packages SET staged_at = NULL, unshown_since = NULL, deleted_at = ? WHERE version = ? AND key = ?",
                &[now.0.into(), version.as_str().into(), key.as_str().into()],
            )?;
            self.0.query(
                "DELETE FROM retention WHERE version = ? AND key = ?",
                &[version.as_str().into(), key.as_str().into()],
            )?;
        }
        Ok(())
    }

    /// What was expired by a deletion that did not happen is staged as before.
    fn revive(
        &self,
        version: &Version,
        key: &Key,
        under: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        for (distro, state) in self.states(version, key)? {
            if state == TargetState::Expired && staged_under(&distro, digest) == under {
                self.set(version, key, &Report::of(&distro, TargetState::Staged), now)?;
                self.0.query(
                    "UPDATE targets SET since = COALESCE((SELECT p.staged_at FROM packages p
                        WHERE p.version = targets.version AND p.key = targets.key), since)
                     WHERE version = ? AND key = ? AND distro = ?",
                    &[version.as_str().into(), key.as_str().into(), distro.as_str().into()],
                )?;
            }
        }
        Ok(())
    }

    // ---- other projects ----

    /// Another project wants to delete a file that this one may have, too. It may when nothing of this project needs it, and
    /// each package here that has it has had its own notice and wait. When it is lent, it is left to the other from then on,
    /// and whoever wants it kept here comes too late until that is over. That holds of a file, too, of which nobody here has
    /// heard yet: somebody may be about to stage it.
    pub fn leave_to_another(
        &self,
        config: &Config,
        project: &Project,
        object: &StagedObject,
        lend: bool,
        now: Timestamp,
    ) -> Result<Consent, LedgerError> {
        self.0.atomically(|| {
            let mut consent = Consent::Yes;
            for (version, key) in self.holders(object)? {
                // Half of it may be gone. Whoever has come since it was lent was told that it is too late.
                let goes_on = lend && self.is_image_lent(object, now)? && !self.is_stopped()?;
                let own = self.alone(config, project, &version, &key, now)?.filter(|_| !goes_on);
                let Some(own) = own else { continue };
                if needs(&own.known, own.keeping.as_ref(), now).is_some() {
                    return Ok(Consent::No);
                }
                let shares = own.digest == object.digest && own.known.staged_at.is_some();
                let Some(keeping) = own.keeping.filter(|_| shares) else { continue };
                if due(&own.known, &keeping, &config.retention) > own.known.counted || self.is_stopped()? {
                    consent = Consent::NotYet;
                }
            }
            if lend && consent == Consent::Yes {
                let any = [String::new()];
                for under in if object.under.is_empty() { &any[..] } else { &object.under } {
                    self.insert_removal(object, under, None, now, Some(now + LENT))?;
                }
            }
            Ok(consent)
        })
    }

    /// Whether an image is left to another project now.
    fn is_image_lent(&self, object: &StagedObject, now: Timestamp) -> Result<bool, LedgerError> {
        self.end_loans(now)?;
        let rows = self.0.query(
            "SELECT 1 FROM removals WHERE until IS NOT NULL AND instr(cargo, '/') > 0
             AND place = ? AND repository = ? AND cargo = ? AND digest = ? LIMIT 1",
            &[
                object.staging.place.as_str().into(),
                object.staging.repository.as_str().into(),
                object.cargo.as_str().into(),
                object.digest.to_string().into(),
            ],
        )?;
        Ok(!rows.is_empty())
    }

    /// What was left to other projects is this one's own again after a while. One that was left when the clock was wrong, too.
    pub fn end_loans(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "DELETE FROM removals WHERE until IS NOT NULL AND (until <= ? OR until > ?)",
            &[now.0.into(), (now + 2 * LENT).0.into()],
        )?;
        Ok(())
    }

    /// The images of a staging repository that stay, whether or not a tag leads to them. What is still to be released, and what
    /// somebody was promised, must be there: where it is not found, it is out of sight. One that nobody could look at since it
    /// was declared, or that was released, stays if it is there. What was deleted is none of them.
    pub fn images_in(&self, staging: &Site, now: Timestamp) -> Result<Kept, LedgerError> {
        // Of what is missing nothing is left to protect once that was believed for long enough: somebody else deleted it.
        let rows = self.0.query(
            "SELECT digest, version, key,
                staged_at IS NOT NULL AND EXISTS (SELECT 1 FROM targets t WHERE t.version = p.version AND t.key = p.key
                    AND t.state NOT IN ('released', 'skipped', 'withdrawn', 'expired', 'missing'))
                OR first_staged_at IS NOT NULL AND EXISTS (SELECT 1 FROM targets t JOIN releases r ON r.version = t.version
                    WHERE t.version = p.version AND t.key = p.key AND t.state = 'missing' AND t.since > ?3
                    AND r.closed_at IS NULL),
                staged_at IS NOT NULL AND (EXISTS (SELECT 1 FROM holds h WHERE h.version = p.version)
                    OR EXISTS (SELECT 1 FROM extensions e WHERE e.version = p.version)
                    OR EXISTS (SELECT 1 FROM deployments d WHERE d.version = p.version))
             FROM packages p WHERE staging_place = ?1 AND staging_repository = ?2 AND instr(filename, '/') > 0
             AND digest IS NOT NULL AND deleted_at IS NULL",
            &[staging.place.as_str().into(), staging.repository.as_str().into(), (now - NOT_SHOWN).0.into()],
        )?;
        let mut kept = Kept::default();
        for row in &rows {
            let (digest, version, key) = (parse(row.text(0)?)?, parse(row.text(1)?)?, parse(row.text(2)?)?);
            // Of what was released, somebody may have deleted the staged copy long ago.
            let is_there =
                row.integer(3)? != 0 || row.integer(4)? != 0 && self.promised(&version, &key, now)?.is_some();
            let set = if is_there { &mut kept.there } else { &mut kept.perhaps };
            set.insert(digest);
        }
        // Two packages may have one image.
        kept.perhaps.retain(|digest| !kept.there.contains(digest));
        Ok(kept)
    }

    // ---- staged bytes ----

    /// How many bytes staging has of this project, by place.
    pub fn staged_bytes(&self) -> Result<BTreeMap<String, u64>, LedgerError> {
        let rows = self.0.query(
            "SELECT p.staging_place, SUM(p.size) FROM
                (SELECT DISTINCT staging_place, staging_repository, filename, digest, size FROM packages
                 WHERE digest IS NOT NULL AND staged_at IS NOT NULL) p GROUP BY p.staging_place",
            &[],
        )?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.natural(1)?))).collect()
    }
}

/// Digests as a column has them.
fn written(parts: &[Digest]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl Removal {
    /// What is deleted.
    pub fn object(&self) -> StagedObject {
        StagedObject {
            staging: self.staging.clone(),
            cargo: self.cargo.clone(),
            digest: self.digest,
            under: vec![self.under.clone()],
        }
    }
}

impl Resting {
    /// Its file in staging.
    pub fn object(&self) -> StagedObject {
        let (staging, cargo, under) = (self.staging.clone(), self.cargo.clone(), self.under.clone());
        StagedObject { staging, cargo, digest: self.digest, under }
    }

    /// Its place among all that rests, for whoever goes on behind it.
    pub fn place(&self) -> Option<Behind> {
        let staged_at = self.known.staged_at?;
        Some(Behind { staged_at, version: self.version.clone(), key: self.key.clone() })
    }
}

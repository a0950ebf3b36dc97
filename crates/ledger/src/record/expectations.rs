//! What is expected of a release, and what was declared and seen of it before its approval.

use slipway_core::api;
use slipway_core::cargo::Cargo;
use slipway_core::expectation::{Planned, cargo};
use slipway_core::promotion::OrderTarget;
use slipway_core::release::{Key, Maturity, TargetState, Version};
use slipway_core::report::{Report, skipped};
use slipway_core::route::Site;
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::looks::{found_missing, still_to_be_said};
use super::retention::{FileOf, StagedObject};
use super::{LedgerError, Record, Sight, Staged, TARGETS_MAX, job_actor, named_cargo, named_target, parse, subject};
use crate::sql::{Sql, SqlError, Value};

/// What was expected of a package before a pipeline says what it expects.
enum Before {
    /// Nothing.
    Nothing,
    /// The same, by the same pipeline.
    Same,
    /// The same, by a pipeline of the same commit and of the same branch or tag: one that is run again takes its packages
    /// over, with what was declared of them. From another branch it would be others who play its jobs.
    RunAgain,
    /// Something of which nothing was built yet, so that a later pipeline may expect it otherwise.
    Unbuilt,
}

/// The file that was built of a package.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    /// The package.
    pub key: &'a Key,
    /// Its file.
    pub file: &'a api::StagedFile,
    /// Whether it takes the place of the one that was declared before.
    pub replace: bool,
}

impl<S: Sql> Record<S> {
    /// Adds what a pipeline expects of a release. The same again changes nothing.
    pub fn expect(
        &self,
        version: &Version,
        by: &JobSession,
        policy: &Digest,
        maturity: Maturity,
        expected: &[Planned],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.add(version, by, policy, maturity, expected, &[], now)
    }

    /// Adds what a pipeline expects of a release, and the files that were declared of it: all of it, or nothing.
    #[allow(clippy::too_many_arguments, reason = "what is said, by whom, and under which policy")]
    pub fn add(
        &self,
        version: &Version,
        by: &JobSession,
        policy: &Digest,
        maturity: Maturity,
        expected: &[Planned],
        declared: &[Declared<'_>],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            // What is kept already changes nothing, and whoever is told that it is kept goes on.
            self.is_no_import()?;
            if !expected.is_empty() {
                self.expect_all(version, by, policy, maturity, expected, now)?;
            }
            for Declared { key, file, replace } in declared {
                self.declare_one(version, key, file, *replace, by, now)?;
            }
            Ok(())
        })
    }

    fn expect_all(
        &self,
        version: &Version,
        by: &JobSession,
        policy: &Digest,
        maturity: Maturity,
        expected: &[Planned],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.not_closed(version)?;
        let mut changed = Vec::new();
        self.0.query(
            "INSERT OR IGNORE INTO releases (version, created_at, sequence, policy, maturity) VALUES (?, ?, 0, ?, ?)",
            &[version.as_str().into(), now.0.into(), policy.to_string().into(), maturity.code().into()],
        )?;
        self.0.query(
                "INSERT OR IGNORE INTO pipelines (version, id, project_path, ref_name, sha, planned_by) VALUES (?, ?, ?, ?, ?, ?)",
                &[
                    version.as_str().into(),
                    by.pipeline_id.into(),
                    by.project_path.as_str().into(),
                    by.ref_name.as_str().into(),
                    by.sha.as_str().into(),
                    by.job_id.into(),
                ],
            )?;
        for package in expected {
            if self.expect_one(version, by, package, now)? {
                changed.push(package.key.as_str());
            }
        }
        let rows = self.0.query("SELECT COUNT(*) FROM targets WHERE version = ?", &[version.as_str().into()])?;
        if rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default() > TARGETS_MAX {
            return Err(LedgerError::TooManyTargets { version: version.clone() });
        }
        if !changed.is_empty() {
            let details = serde_json::json!({ "keys": changed, "pipeline": by.pipeline_id, "sha": by.sha });
            self.change(version, &job_actor(by), "planned", version.as_str(), &details, now)?;
        }
        Ok(())
    }

    /// Whether it changed anything.
    fn expect_one(
        &self,
        version: &Version,
        by: &JobSession,
        package: &Planned,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Planned { key, expect, staging, targets } = package;
        let at: [Value; 2] = [version.as_str().into(), key.as_str().into()];
        let before = self.before(version, by, package)?;
        if !matches!(before, Before::Same) {
            self.is_planner(version, key, by)?;
        }
        match before {
            Before::Nothing => {}
            Before::Same => return Ok(false),
            Before::RunAgain => {
                self.own_job(version, key, by, expect)?;
                self.0.query(
                    "UPDATE packages SET pipeline_id = ? WHERE version = ? AND key = ?",
                    &[by.pipeline_id.into(), version.as_str().into(), key.as_str().into()],
                )?;
                return Ok(true);
            }
            Before::Unbuilt => {
                self.0.query("DELETE FROM packages WHERE version = ? AND key = ?", &at)?;
                self.0.query("DELETE FROM targets WHERE version = ? AND key = ?", &at)?;
            }
        }
        self.own_job(version, key, by, expect)?;
        self.0.query(
            "INSERT INTO packages
             (version, key, pipeline_id, release_job, environment, staging_place, staging_repository, kind, architecture,
              release_all_job, release_all_environment)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                version.as_str().into(),
                key.as_str().into(),
                by.pipeline_id.into(),
                expect.release_job.as_str().into(),
                expect.environment.as_str().into(),
                staging.place.as_str().into(),
                staging.repository.as_str().into(),
                expect.kind.code().into(),
                expect.architecture.clone().into(),
                expect.release_all_job.clone().into(),
                expect.release_all_environment.clone().into(),
            ],
        )?;
        let (state, problem) = match &expect.skip {
            Some(reason) => (TargetState::Skipped, Some(serde_json::to_string(&skipped(reason))?)),
            None => (TargetState::Expected, None),
        };
        for target in targets {
            self.0.query(
                "INSERT INTO targets (version, key, distro, public_place, public_repository, how, state, since, problem)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                &[
                    version.as_str().into(),
                    key.as_str().into(),
                    target.distro.as_str().into(),
                    target.public.place.as_str().into(),
                    target.public.repository.as_str().into(),
                    target.how.code().into(),
                    state.code().into(),
                    now.0.into(),
                    problem.clone().into(),
                ],
            )?;
        }
        Ok(true)
    }

    /// What is expected of a package already, and whether the pipeline may expect this of it.
    fn before(&self, version: &Version, by: &JobSession, package: &Planned) -> Result<Before, LedgerError> {
        let Planned { key, expect, staging, targets } = package;
        let rows = self.0.query(
            "SELECT pipeline_id, release_job, environment, staging_place, staging_repository, digest, kind, architecture,
                release_all_job, release_all_environment
             FROM packages WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(Before::Nothing) };
        let declared = row.natural(0)?;
        let same = row.text(1)? == expect.release_job
            && row.text(2)? == expect.environment
            && row.text(3)? == staging.place
            && row.text(4)? == staging.repository
            && row.text(6)? == expect.kind.code()
            && row.text_or_null(7)? == expect.architecture.as_deref()
            && row.text_or_null(8)? == expect.release_all_job.as_deref()
            && row.text_or_null(9)? == expect.release_all_environment.as_deref()
            && self.same_targets(version, key, expect, targets)?;
        let is_untouched = |state: &TargetState| matches!(state, TargetState::Expected | TargetState::Skipped);
        let has_begun =
            row.text_or_null(5)?.is_some() || !self.states(version, key)?.iter().all(|(_, state)| is_untouched(state));
        let is_run_again = !by.sha.is_empty() && self.is_of(version, declared, &by.sha, &by.ref_name)?;
        match (declared == by.pipeline_id, same) {
            (true, true) => Ok(Before::Same),
            // What a pipeline expects is said once: nothing falls out of a plan unseen.
            (true, false) => Err(LedgerError::OtherExpectation { version: version.clone(), key: key.clone() }),
            (false, true) if has_begun && is_run_again => Ok(Before::RunAgain),
            (false, _) if has_begun => Err(LedgerError::OtherPipeline {
                version: version.clone(),
                key: key.clone(),
                declared,
                other: by.pipeline_id,
            }),
            (false, _) => Ok(Before::Unbuilt),
        }
    }

    /// One job of a pipeline says what it consists of, before anything else of it runs. Any other could name itself as the job
    /// that releases a package, and so release with nobody having played anything.
    fn is_planner(&self, version: &Version, key: &Key, by: &JobSession) -> Result<(), LedgerError> {
        let rows = self.0.query(
            "SELECT planned_by FROM pipelines WHERE version = ? AND id = ? AND planned_by != ?",
            &[version.as_str().into(), by.pipeline_id.into(), by.job_id.into()],
        )?;
        match rows.first() {
            Some(row) => {
                Err(LedgerError::OtherPlanner { version: version.clone(), key: key.clone(), planner: row.natural(0)? })
            }
            None => Ok(()),
        }
    }

    /// A job or an environment stands for one package of its pipeline, or it would release another than was meant.
    pub(super) fn own_job(
        &self,
        version: &Version,
        key: &Key,
        by: &JobSession,
        expect: &api::Expectation,
    ) -> Result<(), LedgerError> {
        let rows = self.0.query(
            "SELECT version, key FROM packages WHERE pipeline_id = ?1 AND NOT (version = ?2 AND key = ?3)
             AND (release_job IN (?4, ?6) OR environment IN (?5, ?7) OR release_all_job = ?4 OR release_all_environment = ?5)",
            &[
                by.pipeline_id.into(),
                version.as_str().into(),
                key.as_str().into(),
                expect.release_job.as_str().into(),
                expect.environment.as_str().into(),
                expect.release_all_job.clone().into(),
                expect.release_all_environment.clone().into(),
            ],
        )?;
        match rows.first() {
            Some(row) => Err(LedgerError::SharedJob {
                key: key.clone(),
                version: parse(row.text(0)?)?,
                other: parse(row.text(1)?)?,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn same_targets(
        &self,
        version: &Version,
        key: &Key,
        expect: &api::Expectation,
        targets: &[OrderTarget],
    ) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT distro, public_place, public_repository, state = 'skipped', how FROM targets WHERE version = ? AND key = ?
             ORDER BY distro",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let mut wanted: Vec<(&str, &str, &str, i64, &str)> = targets
            .iter()
            .map(|target| {
                let skip = i64::from(expect.skip.is_some());
                let Site { place, repository } = &target.public;
                (target.distro.as_str(), place.as_str(), repository.as_str(), skip, target.how.code())
            })
            .collect();
        wanted.sort_unstable();
        let found =
            rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?, row.integer(3)?, row.text(4)?)));
        Ok(found.collect::<Result<Vec<_>, SqlError>>()? == wanted)
    }

    /// Whether a pipeline is of this commit, and of this branch or tag.
    fn is_of(&self, version: &Version, pipeline_id: u64, sha: &str, ref_name: &str) -> Result<bool, LedgerError> {
        let rows = self.0.query(
            "SELECT 1 FROM pipelines WHERE version = ? AND id = ? AND sha = ? AND ref_name = ?",
            &[version.as_str().into(), pipeline_id.into(), sha.into(), ref_name.into()],
        )?;
        Ok(!rows.is_empty())
    }

    /// Fixes the digest of a key. The same again changes nothing; another digest is refused, unless it is to `replace` the
    /// one before and nothing of that is approved or public.
    pub fn declare(
        &self,
        version: &Version,
        key: &Key,
        file: &api::StagedFile,
        replace: bool,
        by: &JobSession,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| self.declare_one(version, key, file, replace, by, now))
    }

    fn declare_one(
        &self,
        version: &Version,
        key: &Key,
        file: &api::StagedFile,
        replace: bool,
        by: &JobSession,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.not_closed(version)?;
        let rows = self.0.query(
            "SELECT pipeline_id, digest, filename, kind, architecture, staging_repository, staging_place FROM packages
             WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else {
            return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
        };
        let declared = row.natural(0)?;
        if declared != by.pipeline_id {
            return Err(LedgerError::OtherPipeline {
                version: version.clone(),
                key: key.clone(),
                declared,
                other: by.pipeline_id,
            });
        }
        if self.states(version, key)?.iter().any(|(_, state)| *state == TargetState::Skipped) {
            return Err(LedgerError::Skipped { version: version.clone(), key: key.clone() });
        }
        let (kind, architecture) = (parse(row.text(3)?)?, row.text_or_null(4)?);
        let named = cargo(key, file, kind, architecture, row.text(5)?).map_err(LedgerError::OtherFile)?;
        // What is staged while its deletion is on its way could be deleted a moment after it was seen.
        let staging = Site { place: row.text(6)?.to_owned(), repository: row.text(5)?.to_owned() };
        let wanted = FileOf { version, key, staging: &staging, cargo: &named, digest: &file.digest };
        if self.is_file_being_deleted(&wanted, now)? {
            return Err(LedgerError::BeingDeleted { version: version.clone(), key: key.clone() });
        }
        let before = row.text_or_null(1)?.map(parse::<Digest>).transpose()?;
        let before_named = row.text_or_null(2)?;
        if let Some(declared) = before {
            match (declared == file.digest && before_named == Some(named.as_str()), replace) {
                (true, _) => return self.declared_again(version, key, now),
                (false, true) => {
                    self.void(version, key, now)?;
                    // An image takes no name from another: both have their digests.
                    let same = before_named.filter(|before| named.file().is_some() && *before == named.as_str());
                    let needed = same.map(|same| self.needed_by(version, key, same, &declared, now)).transpose()?;
                    if let Some(why) = needed.flatten() {
                        return Err(LedgerError::StillNeeded { version: version.clone(), key: key.clone(), why });
                    }
                }
                (false, false) => {
                    let (version, key) = (version.clone(), key.clone());
                    return Err(LedgerError::OtherDigest { version, key, declared, other: file.digest });
                }
            }
        }
        // Two images of one repository have their digests to be told apart by.
        let shared = match &named {
            Cargo::File(filename) => self.has_file(version, key, filename.as_str())?,
            Cargo::Image(_) => None,
        };
        if let Some((other, distro)) = shared {
            let (version, key, filename) = (version.clone(), key.clone(), named.to_string());
            return Err(LedgerError::SharedFile { version, key, other, filename, distro });
        }
        self.0.query(
            "UPDATE packages SET filename = ?, digest = ?, size = ?, declared_at = ? WHERE version = ? AND key = ?",
            &[
                named.as_str().into(),
                file.digest.to_string().into(),
                file.size.into(),
                now.0.into(),
                version.as_str().into(),
                key.as_str().into(),
            ],
        )?;
        let (actor, subject) = (job_actor(by), subject(version, key));
        let ((word, name), api::StagedFile { digest, size, .. }) = (named_cargo(named.as_str()), file);
        let Some(before) = before else {
            let details = serde_json::json!({ (word): name, "digest": digest, "size": size });
            return self.change(version, &actor, "declared", &subject, &details, now);
        };
        let before_named = before_named.unwrap_or_default();
        self.gave_way(version, key, before_named, &before, now)?;
        let (word_before, name_before) = named_cargo(before_named);
        let replaces = serde_json::json!({ (word_before): name_before, "digest": before });
        let details = serde_json::json!({ (word): name, "digest": digest, "size": size, "replaces": replaces });
        self.change(version, &actor, "replaced", &subject, &details, now)
    }

    /// The package of the same release that was declared with a file of this name for the same place, and where. One file
    /// has one digest and one approval: two packages would each say of the other's that it is staged, and released.
    fn has_file(&self, version: &Version, key: &Key, filename: &str) -> Result<Option<(Key, String)>, LedgerError> {
        let rows = self.0.query(
            "SELECT other.key, t.distro FROM packages own
             JOIN packages other ON other.version = own.version AND other.key <> own.key AND other.filename = ?3
                AND other.staging_place = own.staging_place AND other.staging_repository = own.staging_repository
             JOIN targets t ON t.version = own.version AND t.key = own.key
             JOIN targets o ON o.version = own.version AND o.key = other.key AND o.distro = t.distro
             WHERE own.version = ?1 AND own.key = ?2 ORDER BY other.key, t.distro LIMIT 1",
            &[version.as_str().into(), key.as_str().into(), filename.into()],
        )?;
        rows.first().map(|row| Ok((parse(row.text(0)?)?, row.text(1)?.to_owned()))).transpose()
    }

    /// The bytes that a file of this name may still have in staging when a package is declared with others: those that are
    /// declared now, and those that gave way before.
    pub fn gives_way(&self, version: &Version, key: &Key, filename: &str) -> Result<Vec<Digest>, LedgerError> {
        let rows = self.0.query(
            "SELECT digest FROM packages WHERE version = ?1 AND key = ?2 AND filename = ?3 AND digest IS NOT NULL
             UNION SELECT digest FROM replaced WHERE version = ?1 AND key = ?2 AND filename = ?3",
            &[version.as_str().into(), key.as_str().into(), filename.into()],
        )?;
        rows.iter().map(|row| parse(row.text(0)?)).collect()
    }

    /// The files that a job will be told to delete when it declares this one in place of others: what the package is declared
    /// with now, and what has given way before, unless another release of the project needs it.
    pub fn would_give_way(
        &self,
        version: &Version,
        key: &Key,
        file: &api::StagedFile,
        now: Timestamp,
    ) -> Result<Vec<StagedObject>, LedgerError> {
        let Some((staging, under, new)) = self.to_be_staged(version, key, file)? else { return Ok(Vec::new()) };
        let rows = self.0.query(
            "SELECT filename, digest FROM packages WHERE version = ?1 AND key = ?2 AND digest IS NOT NULL
             UNION SELECT filename, digest FROM replaced WHERE version = ?1 AND key = ?2",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let mut objects = Vec::new();
        for row in &rows {
            let (cargo, digest): (Cargo, Digest) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
            let stays = cargo.file().is_none() || cargo == new && digest == file.digest;
            if stays || self.needed_by(version, key, cargo.as_str(), &digest, now)?.is_some() {
                continue;
            }
            objects.push(StagedObject { staging: staging.clone(), cargo, digest, under: under.clone() });
        }
        Ok(objects)
    }

    /// Where a file that is to be declared is looked for: the repository, the distro versions, and what it is called there.
    /// `None` when nobody expects it, or not such a file: declaring it says why.
    pub fn to_be_staged(
        &self,
        version: &Version,
        key: &Key,
        file: &api::StagedFile,
    ) -> Result<Option<(Site, Vec<String>, Cargo)>, LedgerError> {
        let rows = self.0.query(
            "SELECT kind, architecture, staging_place, staging_repository FROM packages WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let Ok(cargo) = cargo(key, file, parse(row.text(0)?)?, row.text_or_null(1)?, row.text(3)?) else {
            return Ok(None);
        };
        let site = Site { place: row.text(2)?.to_owned(), repository: row.text(3)?.to_owned() };
        Ok(Some((site, self.states(version, key)?.into_iter().map(|(distro, _)| distro).collect(), cargo)))
    }

    /// A job stages the same bytes once more. They may have been lost without anybody having seen it, so what is in staging is as old as
    /// this at least, for whoever cleans up; a soak goes on.
    fn declared_again(&self, version: &Version, key: &Key, now: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE packages SET declared_again_at = ? WHERE version = ? AND key = ?",
            &[now.0.into(), version.as_str().into(), key.as_str().into()],
        )?;
        Ok(())
    }

    /// A file has given way to another: it is remembered, and nothing is known of the package's targets.
    fn gave_way(
        &self,
        version: &Version,
        key: &Key,
        filename: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE targets SET state = 'expected', since = ?, step = NULL, problem = NULL, approval = NULL,
                allowed_at = NULL, begun = 0
             WHERE version = ? AND key = ?",
            &[now.0.into(), version.as_str().into(), key.as_str().into()],
        )?;
        let was_there = self.0.query(
            "SELECT 1 FROM packages WHERE version = ? AND key = ? AND first_staged_at IS NOT NULL AND deleted_at IS NULL",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        // Whatever was known of the old bytes says nothing of the new ones.
        self.0.query(
            "UPDATE packages SET first_staged_at = NULL, staged_at = NULL, deleted_at = NULL, unshown_since = NULL,
                declared_again_at = NULL
             WHERE version = ? AND key = ?",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        self.0.query(
            "INSERT INTO replaced (version, key, filename, digest, since, was_there) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (version, key, filename, digest)
             DO UPDATE SET since = ?5, was_there = ?6, looked_at = NULL, gone_at = NULL",
            &[
                version.as_str().into(),
                key.as_str().into(),
                filename.into(),
                digest.to_string().into(),
                now.0.into(),
                i64::from(!was_there.is_empty()).into(),
            ],
        )?;
        Ok(())
    }

    /// Whether the bytes of a package may be replaced: nothing of them is approved, or can be public, and nobody was
    /// promised that they stay.
    fn void(&self, version: &Version, key: &Key, now: Timestamp) -> Result<(), LedgerError> {
        let rows = self.0.query(
            "SELECT distro, state, problem FROM targets WHERE version = ? AND key = ? ORDER BY distro",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        for row in &rows {
            let state: TargetState = parse(row.text(1)?)?;
            let problem: Option<api::Problem> = row.text_or_null(2)?.map(serde_json::from_str).transpose()?;
            let is_void = match state {
                TargetState::Expected | TargetState::Staged | TargetState::Conflict | TargetState::Expired => true,
                // Nobody has promoted it, or the one who did has said what the public can see.
                TargetState::Missing => problem.is_none_or(|problem| problem.public == "none"),
                // What went wrong may have left something behind.
                TargetState::Failed => problem.is_some_and(|problem| problem.public == "none"),
                _ => false,
            };
            if !is_void {
                return Err(LedgerError::NotReplaceable {
                    version: version.clone(),
                    key: key.clone(),
                    distro: row.text(0)?.to_owned(),
                    state: state.words().to_lowercase(),
                });
            }
        }
        match self.promised(version, key, now)? {
            Some(why) => Err(LedgerError::Promised { version: version.clone(), key: key.clone(), why }),
            None => Ok(()),
        }
    }

    /// Which other release has this very file in the staging repository of a package and needs it, and why: it is not
    /// complete, or somebody was promised that it stays. A file that has not changed between two versions is in both.
    pub(super) fn needed_by(
        &self,
        version: &Version,
        key: &Key,
        filename: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<String>, LedgerError> {
        let rows = self.0.query(
            "SELECT other.version, other.key, EXISTS (SELECT 1 FROM targets t WHERE t.version = other.version
                AND t.state NOT IN ('released', 'skipped', 'withdrawn', 'expired'))
             FROM packages own JOIN packages other
                ON other.staging_place = own.staging_place AND other.staging_repository = own.staging_repository
             WHERE own.version = ? AND own.key = ? AND other.version <> own.version
             AND other.filename = ? AND other.digest = ?
             ORDER BY other.version, other.key",
            &[version.as_str().into(), key.as_str().into(), filename.into(), digest.to_string().into()],
        )?;
        for row in &rows {
            let (other, key): (Version, Key) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
            if row.integer(2)? != 0 {
                return Ok(Some(format!("{other} is not complete and needs the staged bytes under the same name")));
            }
            if let Some(why) = self.promised(&other, &key, now)? {
                return Ok(Some(format!("`{key}` of {other} is the same staged file, and {why}")));
            }
        }
        Ok(None)
    }

    /// What was declared of a package, for looking at its staging place. `None` before a digest was declared.
    pub fn staged(&self, version: &Version, key: &Key) -> Result<Option<Staged>, LedgerError> {
        let rows = self.0.query(
            "SELECT filename, digest, staging_place, staging_repository FROM packages
             WHERE version = ? AND key = ? AND digest IS NOT NULL",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Staged {
            filename: parse(row.text(0)?)?,
            digest: parse(row.text(1)?)?,
            staging: Site { place: row.text(2)?.to_owned(), repository: row.text(3)?.to_owned() },
            distros: self.states(version, key)?.into_iter().map(|(distro, _)| distro).collect(),
        }))
    }

    /// Records what a look at staging for the bytes `looked_for` showed of a target that nobody has approved; whether that
    /// is new. Of bytes that were replaced while they were looked for it says nothing.
    pub fn seen_in_staging(
        &self,
        version: &Version,
        key: &Key,
        distro: &str,
        looked_for: &Digest,
        sight: &Sight,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT t.state, t.problem, p.digest FROM targets t
                 LEFT JOIN packages p ON p.version = t.version AND p.key = t.key
                 WHERE t.version = ? AND t.key = ? AND t.distro = ?",
                &[version.as_str().into(), key.as_str().into(), distro.into()],
            )?;
            let Some(row) = rows.first() else {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            };
            if row.text_or_null(2)? != Some(looked_for.to_string().as_str()) {
                return Ok(false);
            }
            let before: TargetState = parse(row.text(0)?)?;
            // What was never staged is not missing. Here one look is enough, for whoever declares the package waits until it is
            // seen, and must not be told meanwhile that it is staged. It proves no absence: it is news of the release, so the
            // file is needed for longer by that, and the next look takes it back.
            let absent = match before {
                TargetState::Expected | TargetState::Expired => before,
                _ => TargetState::Missing,
            };
            let (state, problem) = match sight {
                Sight::Declared => (TargetState::Staged, still_to_be_said(before, row.text_or_null(1)?)?),
                Sight::Nothing => (absent, found_missing(row.text_or_null(1)?)?),
                Sight::Other(problem) => (absent, Some(problem.clone())),
            };
            // What expired can be staged again. While its deletion is on its way, what is seen of it says nothing.
            let comes_back = before == TargetState::Expired && !self.may_go(version, key)?;
            let waiting =
                matches!(before, TargetState::Expected | TargetState::Staged | TargetState::Missing) || comes_back;
            let same = before == state
                && row.text_or_null(1)? == problem.as_ref().map(serde_json::to_string).transpose()?.as_deref();
            if !waiting || same {
                return Ok(false);
            }
            let code = problem.as_ref().map(|problem| problem.code.clone());
            self.set(version, key, &Report { problem, ..Report::of(distro, state) }, now)?;
            self.now_staged(version, key, before, state, now)?;
            let (word, name) = named_target(distro);
            let details = serde_json::json!({ (word): name, "before": before.code(), "problem": code });
            self.change(version, "edge", state.code(), &subject(version, key), &details, now)?;
            Ok(true)
        })
    }
}

//! A release as callers see it.

use std::collections::BTreeMap;

use slipway_core::cargo::{Cargo, tag_of};
use slipway_core::config::{Config, Project};
use slipway_core::estimate::{Course, estimate};
use slipway_core::gate::{Closed, closed};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::stop::Stopped;
use slipway_core::time::Timestamp;
use slipway_core::{api, verdict};

use super::sources::unknown;
use super::{LedgerError, Record, parse};
use crate::sql::{Row, Sql, Value};

/// How many bytes of targets on their way have been sent: by release, package and distro version. No ledger keeps it.
#[derive(Clone, Debug, Default)]
pub struct Sent(BTreeMap<(Version, Key, String), Course>);

impl Sent {
    /// So many bytes of a target have been sent by now.
    pub fn told(&mut self, version: Version, key: Key, distro: String, bytes: u64, now: Timestamp) {
        self.0.entry((version, key, distro)).or_default().told(bytes, now);
    }

    /// A target is not on its way any more.
    pub fn forget(&mut self, version: &Version, key: &Key, distro: &str) {
        self.0.remove(&(version.clone(), key.clone(), distro.to_owned()));
    }

    fn of(&self, version: &Version, key: &Key, distro: &str) -> Option<&Course> {
        self.0.get(&(version.clone(), key.clone(), distro.to_owned()))
    }
}

impl<S: Sql> Record<S> {
    /// The states of a package's targets, by distro version.
    pub(super) fn states(&self, version: &Version, key: &Key) -> Result<Vec<(String, TargetState)>, LedgerError> {
        let rows = self.0.query(
            "SELECT distro, state FROM targets WHERE version = ? AND key = ? ORDER BY distro",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), parse(row.text(1)?)?))).collect()
    }

    /// How often a release has changed. `None` when nobody has planned it.
    pub fn sequence(&self, version: &Version) -> Result<Option<u64>, LedgerError> {
        let rows = self.0.query("SELECT sequence FROM releases WHERE version = ?", &[version.as_str().into()])?;
        Ok(rows.first().map(|row| row.natural(0)).transpose()?)
    }

    /// The versions of the project, the newest first.
    pub fn versions(&self) -> Result<Vec<Version>, LedgerError> {
        let rows =
            self.0.query("SELECT version FROM releases ORDER BY created_at DESC, version DESC LIMIT 200", &[])?;
        rows.iter().map(|row| parse(row.text(0)?)).collect()
    }

    /// A release as callers see it. `sent` is how many bytes of targets have been copied by now, which no ledger keeps.
    pub fn release(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        sent: &Sent,
        now: Timestamp,
    ) -> Result<Option<api::Release>, LedgerError> {
        let Some(sequence) = self.sequence(version)? else { return Ok(None) };
        let mut packages = self.packages(config, project, version, sent, now)?;
        let mut holds = self.holds(version)?;
        holds.retain(|(_, hold)| hold.counts_at(now));
        let mut expiries = self.expiries(version)?;
        for package in &mut packages {
            if let Some((_, at)) = expiries.remove(&package.key) {
                for target in &mut package.targets {
                    target.expires_at = Some(at.to_string());
                }
            }
            let gates = config.gates(project.name.as_str(), version, &package.key);
            let waits = package.targets.iter().any(|target| waits(target.state));
            if waits && !(gates.is_empty() && holds.is_empty()) {
                let facts = self.gate_facts(version, &package.key, None)?;
                let closed = facts.map(|facts| closed(&gates, &facts, now)).unwrap_or_default();
                package.blocked = closed.iter().map(Closed::shown).collect();
            }
        }
        let closing = self.closing(version)?;
        let (state, verdict) = verdict::judge(project.name.as_str(), version, &packages, closing.as_ref());
        let stopped = self.stopped()?;
        let verdict = verdict::while_stopped(state, verdict, stopped.as_ref());
        let holds = holds.into_iter().map(|(key, hold)| api::Hold {
            key,
            by: hold.by,
            reason: hold.reason,
            at: hold.at.to_string(),
            until: hold.until.map(|until| until.to_string()),
        });
        Ok(Some(api::Release {
            project: api::Project { id: project.id, name: project.name.to_string() },
            version: version.clone(),
            sequence,
            state,
            verdict,
            at: now.to_string(),
            estimate: estimate(&packages, now),
            pipelines: self.pipelines(config, version)?,
            holds: holds.collect(),
            closed: closing,
            suggests_close: self.superseded_by(version)?,
            stopped: stopped.as_ref().map(Stopped::shown),
            packages,
        }))
    }

    fn pipelines(&self, config: &Config, version: &Version) -> Result<Vec<api::Pipeline>, LedgerError> {
        let rows = self.0.query(
            "SELECT id, project_path, ref_name, sha FROM pipelines WHERE version = ? ORDER BY id",
            &[version.as_str().into()],
        )?;
        let pipelines = rows.iter().map(|row| {
            Ok(api::Pipeline {
                id: row.natural(0)?,
                ref_name: row.text(2)?.to_owned(),
                sha: row.text(3)?.to_owned(),
                url: web(config, row.text(1)?, "pipelines", row.natural(0)?),
            })
        });
        pipelines.collect()
    }

    fn packages(
        &self,
        config: &Config,
        project: &Project,
        version: &Version,
        sent: &Sent,
        now: Timestamp,
    ) -> Result<Vec<api::Package>, LedgerError> {
        let at: [Value; 1] = [version.as_str().into()];
        let targets = self.0.query(
            "SELECT t.key, t.distro, t.public_place, t.public_repository, t.state, t.since, t.step, t.problem,
                    a.approved_by, a.via, a.at, a.job_id, i.project_path, t.outside,
                    (SELECT COUNT(*) FROM attempts n WHERE n.version = t.version AND n.key = t.key AND n.distro = t.distro),
                    EXISTS (SELECT 1 FROM attestations n WHERE n.version = t.version AND n.key = t.key AND n.distro = t.distro
                        AND n.envelope IS NOT NULL)
             FROM targets t
             LEFT JOIN approvals a ON a.id = t.approval
             LEFT JOIN packages p ON p.version = t.version AND p.key = t.key
             LEFT JOIN pipelines i ON i.version = p.version AND i.id = p.pipeline_id
             WHERE t.version = ? ORDER BY t.key, t.distro",
            &at,
        )?;
        let rows = self.0.query(
            "SELECT p.key, p.pipeline_id, p.release_job, p.filename, p.digest, p.size, p.staging_place, p.staging_repository,
                    p.kind, p.architecture, i.project_path, m.job_id
             FROM packages p
             LEFT JOIN pipelines i ON i.version = p.version AND i.id = p.pipeline_id
             LEFT JOIN manual_jobs m ON m.pipeline_id = p.pipeline_id AND m.name = p.release_job
             WHERE p.version = ? ORDER BY p.key",
            &at,
        )?;
        let replaced = self
            .0
            .query("SELECT key, filename, digest FROM replaced WHERE version = ? ORDER BY filename, digest", &at)?;
        let unread = self.unread()?;
        let mut packages = Vec::with_capacity(rows.len());
        for row in &rows {
            let file = match (row.text_or_null(3)?, row.text_or_null(4)?) {
                (Some(name), Some(digest)) => {
                    let (filename, image) = match parse(name)? {
                        Cargo::File(filename) => (filename.to_string(), None),
                        Cargo::Image(name) => (String::new(), Some(name.to_string())),
                    };
                    Some(api::StagedFile { filename, image, digest: parse(digest)?, size: row.natural(5)? })
                }
                _ => None,
            };
            let own = targets.iter().filter(|target| target.0.first() == row.0.first());
            // Replaced there and back again, the old bytes are the declared ones.
            let gave_way =
                replaced.iter().filter(|old| old.0.first() == row.0.first() && old.0.get(1..3) != row.0.get(3..5));
            let key = parse(row.text(0)?)?;
            let mut leaves = Vec::new();
            for old in gave_way {
                let digest = parse(old.text(2)?)?;
                // An image is in nobody's way in staging: it has its digest for a name.
                let Cargo::File(filename) = parse(old.text(1)?)? else { continue };
                if self.needed_by(version, &key, filename.as_str(), &digest, now)?.is_none() {
                    leaves.push(api::ReplacedFile { filename, digest });
                }
            }
            let mut targets = Vec::new();
            for own in own {
                let mut target = read_target(config, project, version, own)?;
                if target.problem.is_none() && !unread.is_empty() {
                    target.problem = unknown(&unread, target.state, row.text(6)?, own.text(2)?);
                }
                targets.push(target);
            }
            for target in targets.iter_mut().filter(|target| is_copied(target)) {
                if let Some(course) = sent.of(version, &key, &target.name()) {
                    target.bytes = course.bytes();
                    target.pace = file.as_ref().and_then(|file| course.pace(file.size, now));
                }
            }
            for target in targets.iter_mut().filter(|target| taken_back(target.state)) {
                target.withdrawal = self.withdrawal(version, &key, &target.name())?.map(Box::new);
                // Of one that could not be taken back, a person has to know.
                if let (None, Some(withdrawal)) = (&target.problem, &target.withdrawal) {
                    target.problem.clone_from(&withdrawal.problem);
                }
            }
            packages.push(api::Package {
                key,
                pipeline_id: row.natural(1)?,
                release_job: row.text(2)?.to_owned(),
                job_url: match (row.text_or_null(10)?, row.natural_or_null(11)?) {
                    (Some(project_path), Some(job)) => Some(web(config, project_path, "jobs", job)),
                    _ => None,
                },
                kind: parse(row.text(8)?)?,
                architecture: row.text_or_null(9)?.map(str::to_owned),
                file,
                replaced: leaves,
                staging: location(config, row.text(6)?, row.text(7)?),
                blocked: Vec::new(),
                targets,
            });
        }
        Ok(packages)
    }
}

/// Whether a target waits for somebody to release it, or for its turn: what its gates say is of interest.
pub(super) fn waits(state: TargetState) -> bool {
    matches!(state, TargetState::Staged | TargetState::Approved | TargetState::Conflict | TargetState::Failed)
}

/// Whether a target is public, or was: only that is taken back.
fn taken_back(state: TargetState) -> bool {
    matches!(state, TargetState::Released | TargetState::Withdrawn)
}

/// Whether a target's bytes are being copied: only then is it of interest how many have been.
fn is_copied(target: &api::Target) -> bool {
    target.state == TargetState::Releasing && matches!(target.step, Some(api::Step::Copy | api::Step::Carry))
}

/// Where people look at a part of a project at GitLab.
pub(super) fn web(config: &Config, project_path: &str, kind: &str, id: u64) -> String {
    let id = id.to_string();
    config.gitlab.url.url(project_path.split('/').chain(["-", kind, &id]))
}

fn location(config: &Config, place: &str, repository: &str) -> api::Location {
    api::Location {
        url: config.places.get(place).map(|place| place.url.to_string()).unwrap_or_default(),
        repository: repository.to_owned(),
    }
}

/// Where a target's attestation is. A tag stands in an address without its `:`.
fn attestation(config: &Config, project: &Project, version: &Version, key: &str, target: &str) -> String {
    let releases = ["api", "v1", "projects", project.name.as_str(), "releases", version.as_str(), "attestations", key];
    config.edge.url.url(releases.into_iter().chain(tag_of(target).unwrap_or(target).split('/')))
}

fn read_target(config: &Config, project: &Project, version: &Version, row: &Row) -> Result<api::Target, LedgerError> {
    let approval = match row.text_or_null(8)? {
        Some(by) => Some(api::Approval {
            by: by.to_owned(),
            via: row.text(9)?.to_owned(),
            at: Timestamp(row.integer(10)?).to_string(),
            job_url: web(config, row.text_or_null(12)?.unwrap_or_default(), "jobs", row.natural(11)?),
        }),
        None => None,
    };
    let state: TargetState = parse(row.text(4)?)?;
    let step = row.text_or_null(6)?.map(serde_json::from_str).transpose()?;
    let (distro, tag) = api::Target::named(row.text(1)?);
    Ok(api::Target {
        distro,
        tag,
        public: location(config, row.text(2)?, row.text(3)?),
        state,
        since: Timestamp(row.integer(5)?).to_string(),
        step,
        bytes: None,
        pace: None,
        outside: row.integer(13)? != 0,
        attempts: u32::try_from(row.natural(14)?).unwrap_or(u32::MAX),
        approval,
        attestation: match row.integer(15)? {
            0 => None,
            _ => Some(attestation(config, project, version, row.text(0)?, row.text(1)?)),
        },
        problem: row.text_or_null(7)?.map(serde_json::from_str).transpose()?,
        withdrawal: None,
        expires_at: None,
    })
}

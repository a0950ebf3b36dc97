//! What is attested: one statement for each approval under which a target was released.
//!
//! That one is due is written down with the release itself, in one transaction, with the row of the audit that it names. It is
//! shown when it is signed, and from then on never changed: SQL forbids that.

use slipway_core::attestation::{
    Approval, AuditRow, Build, Envelope, Location, Policy, Project as AttestedProject, Release, Releaser, Run,
    Statement,
};
use slipway_core::cargo::{Cargo, ImageName, staged_under, tag_of};
use slipway_core::config::{Config, Project};
use slipway_core::release::{Key, Version};
use slipway_core::report::Report;
use slipway_core::route::Site;
use slipway_core::store;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::reading::web;
use super::{LedgerError, Record, named_target, parse, subject};
use crate::sql::{Row, Sql};

/// How many are signed in one run of an alarm.
const SIGNED_MAX: u64 = 50;

/// An attestation that nobody has signed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// Its number.
    pub id: u64,
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The text form of the target's name.
    pub distro: String,
    /// The public repository.
    pub public: Site,
    /// What it says. `None` where `slipway.toml` no longer has one of the places.
    pub statement: Option<Statement>,
}

/// An attestation that is to be attached to its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its number.
    pub id: u64,
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The text form of the target's name.
    pub distro: String,
    /// The public repository.
    pub public: Site,
    /// The image.
    pub digest: Digest,
    /// What is attached, byte for byte.
    pub envelope: String,
    /// How often it was tried.
    pub tries: u32,
}

/// What there is of a target's attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// The signed envelope, as it was written.
    Signed(String),
    /// It is due, and nobody has signed it yet.
    Due,
}

impl<S: Sql> Record<S> {
    /// A target was released under an approval, and the audit has just said so: that is to be attested.
    pub(super) fn attest_later(
        &self,
        version: &Version,
        key: &Key,
        approval: u64,
        report: &Report,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.query(
            "INSERT OR IGNORE INTO attestations (version, key, distro, approval, released_at, outside, audit_sequence, audit_hash, tries, due_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, sequence, hash, 0, ?5 FROM audit ORDER BY sequence DESC LIMIT 1",
            &[
                version.as_str().into(),
                key.as_str().into(),
                report.distro.as_str().into(),
                approval.into(),
                now.0.into(),
                i64::from(report.outside).into(),
            ],
        )?;
        Ok(())
    }

    /// What is to be signed now, with what it says. None is put off beyond `latest`.
    pub fn unsigned(
        &self,
        config: &Config,
        project: &Project,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Vec<Unsigned>, LedgerError> {
        let rows = self.0.query(
            "SELECT n.id, n.version, n.key, n.distro, n.released_at, n.outside, n.audit_sequence, n.audit_hash,
                    a.id, a.digest, a.approved_by, a.via, a.at, a.job_id, a.policy,
                    i.id, i.project_path, i.sha, p.filename, p.staging_place, p.staging_repository,
                    t.public_place, t.public_repository
             FROM attestations n
             JOIN approvals a ON a.id = n.approval
             JOIN targets t ON t.version = n.version AND t.key = n.key AND t.distro = n.distro
             JOIN packages p ON p.version = n.version AND p.key = n.key
             JOIN pipelines i ON i.version = p.version AND i.id = p.pipeline_id
             WHERE n.envelope IS NULL AND (n.due_at <= ? OR n.due_at > ?) ORDER BY n.due_at, n.id LIMIT ?",
            &[now.0.into(), latest.0.into(), SIGNED_MAX.into()],
        )?;
        rows.iter().map(|row| unsigned(config, project, row)).collect()
    }

    /// What could not be signed is tried again at `due_at`.
    pub fn sign_later(&self, of: &Unsigned, due_at: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE attestations SET due_at = ? WHERE id = ? AND envelope IS NULL",
            &[due_at.0.into(), of.id.into()],
        )?;
        Ok(())
    }

    /// Keeps a signed attestation, which is shown from now on. `attach_at`: when it is to be attached to its image, where the
    /// route asks for that. Whether it is the first: one that was signed before stays as it is.
    pub fn attested(
        &self,
        of: &Unsigned,
        envelope: &Envelope,
        statement: &Digest,
        attach_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let text = serde_json::to_string(envelope)?;
        self.0.atomically(|| {
            let rows = self.0.query(
                "UPDATE attestations SET envelope = ?, due_at = ? WHERE id = ? AND envelope IS NULL RETURNING id",
                &[text.as_str().into(), attach_at.map(|at| at.0).into(), of.id.into()],
            )?;
            if rows.is_empty() {
                return Ok(false);
            }
            let (word, name) = named_target(&of.distro);
            let keys: Vec<&str> = envelope.signatures.iter().map(|signed| signed.keyid.as_str()).collect();
            let details = serde_json::json!({ (word): name, "statement": statement, "keys": keys });
            self.change(&of.version, "edge", "attested", &subject(&of.version, &of.key), &details, now)?;
            Ok(true)
        })
    }

    /// What there is of a target's newest attestation.
    pub fn attestation(&self, version: &Version, key: &Key, distro: &str) -> Result<Option<Attested>, LedgerError> {
        let rows = self.0.query(
            "SELECT envelope FROM attestations WHERE version = ? AND key = ? AND distro = ?
             ORDER BY envelope IS NULL, id DESC LIMIT 1",
            &[version.as_str().into(), key.as_str().into(), distro.into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(row.text_or_null(0)?.map_or(Attested::Due, |text| Attested::Signed(text.to_owned()))))
    }

    /// What is to be attached now, and has waited longest. None is put off beyond `latest`.
    pub fn due_attachment(&self, now: Timestamp, latest: Timestamp) -> Result<Option<Attachment>, LedgerError> {
        let rows = self.0.query(
            "SELECT n.id, n.version, n.key, n.distro, t.public_place, t.public_repository, a.digest, n.envelope, n.tries
             FROM attestations n JOIN approvals a ON a.id = n.approval
             JOIN targets t ON t.version = n.version AND t.key = n.key AND t.distro = n.distro
             WHERE n.envelope IS NOT NULL AND (n.due_at <= ? OR n.due_at > ?) ORDER BY n.due_at, n.id LIMIT 1",
            &[now.0.into(), latest.0.into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Attachment {
            id: row.natural(0)?,
            version: parse(row.text(1)?)?,
            key: parse(row.text(2)?)?,
            distro: row.text(3)?.to_owned(),
            public: Site { place: row.text(4)?.to_owned(), repository: row.text(5)?.to_owned() },
            digest: parse(row.text(6)?)?,
            envelope: row.text(7)?.to_owned(),
            tries: u32::try_from(row.natural(8)?).unwrap_or(u32::MAX),
        }))
    }

    /// One is attached later, or not any more. `tried`: it was tried, and counts.
    pub fn attach_later(&self, of: &Attachment, tried: bool, due_at: Option<Timestamp>) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE attestations SET tries = tries + ?, due_at = ? WHERE id = ? AND attached IS NULL",
            &[i64::from(tried).into(), due_at.map(|due_at| due_at.0).into(), of.id.into()],
        )?;
        Ok(())
    }

    /// An attestation is beside its image, as the artifact with this digest.
    pub fn attached(&self, of: &Attachment, artifact: &Digest, now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "UPDATE attestations SET attached = ?, due_at = NULL WHERE id = ? AND attached IS NULL RETURNING id",
                &[artifact.to_string().into(), of.id.into()],
            )?;
            if rows.is_empty() {
                return Ok(());
            }
            let (word, name) = named_target(&of.distro);
            let details = serde_json::json!({ (word): name, "image": of.digest, "artifact": artifact });
            self.change(&of.version, "edge", "attached", &subject(&of.version, &of.key), &details, now)
        })
    }

    /// When the next is to be signed or attached, at the latest at `latest`.
    pub fn next_attestation(&self, latest: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let rows =
            self.0.query("SELECT due_at FROM attestations WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1", &[])?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(|due_at| Timestamp(due_at).min(latest)))
    }
}

fn unsigned(config: &Config, project: &Project, row: &Row) -> Result<Unsigned, LedgerError> {
    let distro = row.text(3)?.to_owned();
    let (version, key): (Version, Key) = (parse(row.text(1)?)?, parse(row.text(2)?)?);
    let digest: Digest = parse(row.text(9)?)?;
    let cargo: Cargo = parse(row.text(18)?)?;
    let staging = Site { place: row.text(19)?.to_owned(), repository: row.text(20)?.to_owned() };
    let public = Site { place: row.text(21)?.to_owned(), repository: row.text(22)?.to_owned() };
    let run = |kind: &str, id: u64| Ok::<_, LedgerError>(Run { id, uri: web(config, row.text(16)?, kind, id) });
    let location = |site: &Site, under: &str| {
        let place = config.places.get(&site.place)?;
        Some(Location {
            uri: store::address(place.kind, &place.url, &site.repository, under, &cargo),
            repository: place.url.join(&format!("/{}", site.repository)),
            distro: tag_of(under).is_none().then(|| under.to_owned()).filter(|under| !under.starts_with('@')),
            tag: tag_of(under).map(str::to_owned),
        })
    };
    let source = location(&staging, &staged_under(&distro, &digest));
    let statement = match (source, location(&public, &distro), config.places.get(&public.place)) {
        (Some(source), Some(destination), Some(place)) => {
            let name = match &cargo {
                Cargo::File(filename) => filename.to_string(),
                Cargo::Image(_) => ImageName::of(&place.url, &public.repository).to_string(),
            };
            let release = Release {
                releaser: Releaser { id: config.edge.url.to_string() },
                project: AttestedProject { id: project.id, name: project.name.to_string() },
                version: version.clone(),
                key: key.clone(),
                source,
                destination,
                approval: Approval {
                    id: row.natural(8)?,
                    by: row.text(10)?.to_owned(),
                    via: row.text(11)?.to_owned(),
                    at: Timestamp(row.integer(12)?).to_string(),
                    job: run("jobs", row.natural(13)?)?,
                },
                build: Build { commit: row.text(17)?.to_owned(), pipeline: run("pipelines", row.natural(15)?)? },
                released_at: Timestamp(row.integer(4)?).to_string(),
                outside: row.integer(5)? != 0,
                policy: Policy { digest: (&parse::<Digest>(row.text(14)?)?).into() },
                audit: AuditRow { sequence: row.natural(6)?, digest: (&parse::<Digest>(row.text(7)?)?).into() },
            };
            Some(Statement::of(&name, &digest, release))
        }
        _ => None,
    };
    Ok(Unsigned { id: row.natural(0)?, version, key, distro, public, statement })
}

//! What a release has, beside what is public of an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::api::{self, AgainstRow, FileFact};
use slipway_core::cargo::Cargo;
use slipway_core::config::Project;
use slipway_core::release::{Key, Version};
use slipway_core::route::Site;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::activity::shown;
use super::closing::numbers;
use super::{LedgerError, Record, parse};
use crate::sql::{Row, Sql};

/// How many earlier releases are looked through for what the newest of them has nothing of.
const LOOKED_AT_MAX: usize = 20;

/// Where the bytes of a package are, for whoever asks the server about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The repository.
    pub site: Site,
    /// The distro version, or the tag.
    pub target: String,
    /// The file, or the image.
    pub cargo: Cargo,
    /// Its bytes.
    pub digest: Digest,
}

impl<S: Sql> Record<S> {
    /// A release beside the newest earlier one of which something is public; one package of it, or all. Of a package of which
    /// that has nothing public, the newest release before that which has.
    pub fn against(
        &self,
        project: &Project,
        version: &Version,
        key: Option<&Key>,
        now: Timestamp,
    ) -> Result<Option<api::Against>, LedgerError> {
        if self.sequence(version)?.is_none() {
            return Ok(None);
        }
        let mut staged = self.files_of(version, false)?;
        let earlier = self.earlier(version)?;
        let before = earlier.first().cloned();
        let mut keys: BTreeSet<Key> = staged.keys().cloned().collect();
        let mut public: BTreeMap<Key, FileFact> = BTreeMap::new();
        for (index, other) in earlier.iter().take(LOOKED_AT_MAX).enumerate() {
            let of_other = self.files_of(other, true)?;
            // What the release before had and this one has no more is told of, too; what is gone for longer is not.
            if index == 0 {
                keys.extend(of_other.keys().cloned());
            }
            for (key, file) in of_other.into_iter().filter_map(|(key, file)| Some((key, file?))) {
                if keys.contains(&key) {
                    public.entry(key).or_insert(file);
                }
            }
            if keys.iter().all(|key| public.contains_key(key)) {
                break;
            }
        }
        keys.retain(|own| key.is_none_or(|key| key == own));
        let rows = keys.into_iter().map(|key| AgainstRow {
            staged: staged.remove(&key).flatten(),
            public: public.remove(&key),
            key,
            why: None,
        });
        let rows = rows.collect();
        Ok(Some(api::Against { project: shown(project), version: version.clone(), before, at: now.to_string(), rows }))
    }

    /// Where a package is: in staging, or in public. None while it is not there, by the record.
    pub fn whereabouts(
        &self,
        version: &Version,
        key: &Key,
        is_public: bool,
    ) -> Result<Option<Whereabouts>, LedgerError> {
        let (place, repository, state) = if is_public {
            ("t.public_place", "t.public_repository", "t.state = 'released'")
        } else {
            ("p.staging_place", "p.staging_repository", "p.staged_at IS NOT NULL")
        };
        let rows = self.0.query(
            &format!(
                "SELECT {place}, {repository}, t.distro, p.filename, p.digest FROM packages p
                 JOIN targets t ON t.version = p.version AND t.key = p.key
                 WHERE p.version = ? AND p.key = ? AND p.digest IS NOT NULL AND {state} ORDER BY t.distro LIMIT 1"
            ),
            &[version.as_str().into(), key.as_str().into()],
        )?;
        let read = |row: &Row| {
            Ok(Whereabouts {
                site: Site { place: row.text(0)?.to_owned(), repository: row.text(1)?.to_owned() },
                target: row.text(2)?.to_owned(),
                cargo: parse(row.text(3)?)?,
                digest: parse(row.text(4)?)?,
            })
        };
        rows.first().map(read).transpose()
    }

    /// The packages of a release, each with its file where it is declared; or those alone of which something is public.
    fn files_of(&self, version: &Version, public: bool) -> Result<BTreeMap<Key, Option<FileFact>>, LedgerError> {
        let which = if public {
            " AND EXISTS (SELECT 1 FROM targets t WHERE t.version = packages.version AND t.key = packages.key
                AND t.state = 'released')"
        } else {
            ""
        };
        let rows = self.0.query(
            &format!("SELECT key, filename, digest, size FROM packages WHERE version = ?{which} ORDER BY key"),
            &[version.as_str().into()],
        )?;
        let read = |row: &Row| {
            let fact = match (row.text_or_null(1)?, row.text_or_null(2)?) {
                (Some(name), Some(digest)) => Some(FileFact {
                    version: version.clone(),
                    name: name.to_owned(),
                    digest: parse(digest)?,
                    size: row.natural(3)?,
                    depends: None,
                }),
                _ => None,
            };
            Ok((parse(row.text(0)?)?, fact))
        };
        rows.iter().map(read).collect()
    }

    /// The releases before this one of which something is public, the nearest first: of those with a lower number the one with
    /// the highest, since an old series goes on beside a new one; then those whose numbers say nothing, the newest first.
    fn earlier(&self, version: &Version) -> Result<Vec<Version>, LedgerError> {
        let rows = self.0.query(
            "SELECT r.version FROM releases r JOIN releases own ON own.version = ?1
             WHERE r.version <> ?1 AND (r.created_at < own.created_at OR (r.created_at = own.created_at AND r.version < ?1))
             AND EXISTS (SELECT 1 FROM targets t WHERE t.version = r.version AND t.state = 'released')
             ORDER BY r.created_at DESC, r.version DESC LIMIT 200",
            &[version.as_str().into()],
        )?;
        let own = numbers(version);
        let mut earlier: Vec<(Option<Vec<u64>>, Version)> = Vec::new();
        for row in &rows {
            let other: Version = parse(row.text(0)?)?;
            let lower = numbers(&other).filter(|number| own.as_ref().is_some_and(|own| number <= own));
            earlier.push((lower, other));
        }
        // It keeps the order of what is equal, which is by time.
        earlier.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(earlier.into_iter().map(|(_, version)| version).collect())
    }
}

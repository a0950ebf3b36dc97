//! What a repository lists, held against the record: what is ours, what somebody else published with our bytes, and what is a
//! stranger.
//!
//! Whoever reads a repository page by page does so for all projects, and asks each record. What is on a page is seen, so the
//! targets that rest there are looked at by it; what is on no page is looked for by its name before its absence means
//! anything.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use slipway_core::cargo::tag_of;
use slipway_core::config::EventKind;
use slipway_core::inventory::Seen;
use slipway_core::problem::{Code, Visible};
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::route::Site;
use slipway_core::sweep::{Known, Listed, Stranger, Swept};
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use super::looks::{WATCHED_FOR, Watched};
use super::{LedgerError, Record, named_cargo, named_target, parse, subject};
use crate::audit::Event;
use crate::sql::{Row, Sql};

/// How old a target's last look must be for a page to count as the next one: what is written costs.
const LOOKS_AGAIN: Duration = Duration::from_mins(30);
/// How many strangers one row of the audit names. It counts the rest.
const NAMED_MAX: usize = 20;

/// What the record has of one name in a repository.
struct Recorded {
    version: Version,
    key: Key,
    state: TargetState,
    begun: bool,
    digest: Digest,
}

impl Recorded {
    fn read(row: &Row) -> Result<Self, LedgerError> {
        Ok(Self {
            version: parse(row.text(0)?)?,
            key: parse(row.text(1)?)?,
            state: parse(row.text(2)?)?,
            begun: row.integer(3)? != 0,
            digest: parse(row.text(4)?)?,
        })
    }

    /// What this says of a listed thing with its name.
    fn knows(&self, listed: &Listed) -> Known {
        let Some(digest) = listed.digest else { return Known::Ours };
        let is_equal = digest == self.digest;
        let version = self.version.clone();
        match self.state {
            TargetState::Withdrawn if is_equal => Known::TakenBack { version },
            // What is not shipped on purpose, and was never staged, says nothing of what others do.
            TargetState::Skipped | TargetState::Expected if !self.begun => Known::Unknown,
            _ if !is_equal => Known::Differs { version, expected: self.digest },
            TargetState::Staged | TargetState::Missing | TargetState::Conflict | TargetState::Failed if !self.begun => {
                Known::Equal { version, key: self.key.clone() }
            }
            _ => Known::Ours,
        }
    }
}

impl<S: Sql> Record<S> {
    /// Holds a page of a repository against the record: what it knows of each thing on it, in the page's order, and the releases
    /// that are seen otherwise by it. `floats` says of a tag whether it moves by a rule.
    pub fn swept(
        &self,
        page: &Swept,
        floats: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<(Vec<Known>, BTreeSet<Version>), LedgerError> {
        let mut changed = BTreeSet::new();
        let mut known = Vec::new();
        for listed in &page.listed {
            known.push(self.known(&page.site, listed, &floats)?);
            for watched in self.due_to_look(&page.site, listed, now)? {
                let seen = listed.digest.map_or(Seen::WithoutDigest, Seen::Digest);
                if self.looked(&watched, &seen, now)? {
                    changed.insert(watched.version);
                }
            }
        }
        Ok((known, changed))
    }

    fn known(&self, site: &Site, listed: &Listed, floats: &impl Fn(&str) -> bool) -> Result<Known, LedgerError> {
        let (place, repository) = (site.place.as_str(), site.repository.as_str());
        let tag = tag_of(&listed.under);
        // The order of the tables is said, since a distro version has thousands of files and a name a few distro versions.
        let rows = if tag.is_some() {
            self.0.query(
                "SELECT t.version, t.key, t.state, t.begun, p.digest FROM targets t CROSS JOIN packages p
                 WHERE t.public_repository = ? AND t.distro = ? AND t.public_place = ?
                 AND p.version = t.version AND p.key = t.key AND p.digest IS NOT NULL",
                &[repository.into(), listed.under.as_str().into(), place.into()],
            )?
        } else {
            self.0.query(
                "SELECT t.version, t.key, t.state, t.begun, p.digest FROM packages p CROSS JOIN targets t
                 WHERE p.filename = ? AND p.digest IS NOT NULL AND t.version = p.version AND t.key = p.key
                 AND t.distro = ? AND t.public_repository = ? AND t.public_place = ?",
                &[listed.filename.as_str().into(), listed.under.as_str().into(), repository.into(), place.into()],
            )?
        };
        let mut known = Known::Unknown;
        for row in &rows {
            known = known.and(Recorded::read(row)?.knows(listed));
        }
        if let (Known::Unknown, Some(tag), Some(digest)) = (&known, tag, listed.digest)
            && floats(tag)
        {
            let released = self.0.query(
                "SELECT 1 FROM packages p CROSS JOIN targets t
                 WHERE p.digest = ? AND t.version = p.version AND t.key = p.key
                 AND t.public_repository = ? AND t.public_place = ? AND (t.begun = 1 OR t.state = 'released') LIMIT 1",
                &[digest.to_string().into(), repository.into(), place.into()],
            )?;
            if !released.is_empty() {
                known = Known::Ours;
            }
        }
        Ok(known)
    }

    /// The targets that rest under a listed name here and are to be looked at: those that nobody has looked at for a while, and
    /// those of which something else is told now.
    fn due_to_look(&self, site: &Site, listed: &Listed, now: Timestamp) -> Result<Vec<Watched>, LedgerError> {
        let rests = if tag_of(&listed.under).is_some() {
            // An image is staged under its digest, whatever its tags are there: they say something of what is released alone.
            "targets t CROSS JOIN packages p JOIN releases r ON r.version = p.version
             WHERE t.public_repository = ?4 AND t.distro = ?2 AND t.public_place = ?3 AND t.state = 'released'
             AND p.version = t.version AND p.key = t.key AND p.digest IS NOT NULL"
        } else {
            "packages p CROSS JOIN targets t JOIN releases r ON r.version = p.version
             WHERE p.filename = ?1 AND p.digest IS NOT NULL AND t.version = p.version AND t.key = p.key AND t.distro = ?2
             AND ((t.state = 'released' AND t.public_place = ?3 AND t.public_repository = ?4)
               OR (t.state IN ('staged', 'missing', 'expired') AND p.staging_place = ?3 AND p.staging_repository = ?4))"
        };
        let rows = self.0.query(
            &format!(
                "SELECT t.version, t.key, t.distro, t.state, p.filename, p.digest FROM {rests}
             AND (t.problem IS NOT NULL OR t.absent_looks > 0 OR t.state = 'expired' OR p.digest <> ?5
               OR ((r.created_at > ?6 OR t.state IN ('staged', 'missing') AND r.closed_at IS NULL)
                 AND (COALESCE(t.looked_at, t.since) <= ?7 OR COALESCE(t.looked_at, t.since) > ?8)))"
            ),
            &[
                listed.filename.as_str().into(),
                listed.under.as_str().into(),
                site.place.as_str().into(),
                site.repository.as_str().into(),
                listed.digest.map(|digest| digest.to_string()).unwrap_or_default().into(),
                (now - WATCHED_FOR).0.into(),
                (now - LOOKS_AGAIN).0.into(),
                now.0.into(),
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
                    site: site.clone(),
                })
            })
            .collect()
    }

    /// Somebody else has published a target's bytes, and the public index serves them: it is released outside. `false` where it
    /// was begun, approved or replaced meanwhile: then who acts looks.
    pub fn published_outside(
        &self,
        version: &Version,
        key: &Key,
        under: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.0.atomically(|| {
            let rows = self.0.query(
                "SELECT t.state FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
                 JOIN releases r ON r.version = t.version
                 WHERE t.version = ? AND t.key = ? AND t.distro = ? AND t.begun = 0 AND p.digest = ? AND r.closed_at IS NULL
                 AND t.state IN ('staged', 'missing', 'conflict', 'failed')",
                &[version.as_str().into(), key.as_str().into(), under.into(), digest.to_string().into()],
            )?;
            let Some(row) = rows.first() else { return Ok(false) };
            let before: TargetState = parse(row.text(0)?)?;
            let report = Report { outside: true, ..Report::of(under, TargetState::Released) };
            self.set(version, key, &report, now)?;
            let (word, name) = named_target(under);
            let details = json!({ (word): name, "digest": digest, "before": before.code(), "outside": true });
            self.change(version, "edge", "adopted", &subject(version, key), &details, now)?;
            Ok(true)
        })
    }

    /// Strangers were found in a repository: the audit says so, and whoever is told of them. What was said already is not said
    /// twice.
    pub fn found_strangers(&self, site: &Site, found: &[Stranger], now: Timestamp) -> Result<(), LedgerError> {
        let Some(first) = found.first() else { return Ok(()) };
        self.0.atomically(|| {
            let all: String = found.iter().map(|stranger| stranger.listed.fingerprint().hex()).collect();
            let name = format!("stranger {} {} {}", site.place, site.repository, Digest::of(all.as_bytes()).hex());
            let is_told = self.0.query("SELECT 1 FROM occurrences WHERE name = ?", &[name.as_str().into()])?;
            if !is_told.is_empty() {
                return Ok(());
            }
            let named: Vec<_> = found.iter().take(NAMED_MAX).map(described).collect();
            let details = json!({ "found": named, "more": found.len().saturating_sub(NAMED_MAX) });
            self.sweep_row("edge", "found-stranger", site, &details, now)?;
            let more = match found.len() {
                1 => String::new(),
                many => format!(" And {} more did not come through Slipway.", many - 1),
            };
            let what = format!("{} has {}.{more}", site.repository, in_words(first));
            let problem = Code::Stranger.problem(what, Visible::Done, None);
            self.occurred(&name, EventKind::Stranger, None, None, Some(&problem), now)
        })
    }

    /// A repository was adopted: what is there from now on counts as known, by so many things and the digest of all of them.
    pub fn adopted(
        &self,
        site: &Site,
        actor: &str,
        details: &serde_json::Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.once(actor, "adopted", site, details, now)
    }

    /// Strangers that counted as known since a restore are strangers again.
    pub fn recalled(
        &self,
        site: &Site,
        actor: &str,
        details: &serde_json::Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.once(actor, "recalled", site, details, now)
    }

    /// A row of a repository, unless its last one of either kind says the same: a word is sent twice when its answer was lost.
    fn once(
        &self,
        actor: &str,
        action: &str,
        site: &Site,
        details: &serde_json::Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            let last = self.0.query(
                "SELECT action, details FROM audit WHERE action IN ('adopted', 'recalled') AND subject = ?
                 ORDER BY sequence DESC LIMIT 1",
                &[site_subject(site).into()],
            )?;
            let text = details.to_string();
            if let Some(last) = last.first()
                && (last.text(0)?, last.text(1)?) == (action, text.as_str())
            {
                return Ok(());
            }
            self.sweep_row(actor, action, site, details, now)
        })
    }

    fn sweep_row(
        &self,
        actor: &str,
        action: &str,
        site: &Site,
        details: &serde_json::Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let event = Event {
            at: now,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: site_subject(site),
            details: details.to_string(),
        };
        self.append(&event)
    }
}

/// What the audit calls a repository.
fn site_subject(site: &Site) -> String {
    format!("{}:{}", site.place, site.repository)
}

/// A stranger, for a sentence. Of a tag it is said where it leads, since its name says nothing of that.
fn in_words(Stranger { listed, known }: &Stranger) -> String {
    let name = listed.name();
    let why = match known {
        Known::Differs { version, .. } => format!(" with other bytes than {version} has"),
        Known::TakenBack { version } => format!(", which was withdrawn from {version}"),
        Known::Elsewhere { taken_back: false } => " with other bytes than another project has".to_owned(),
        Known::Elsewhere { taken_back: true } => ", which another project withdrew".to_owned(),
        Known::Ours | Known::Equal { .. } | Known::Unknown => ", which Slipway has not released".to_owned(),
    };
    match (tag_of(&listed.under), listed.digest, known) {
        (Some(_), Some(digest), Known::Differs { expected, .. }) => {
            format!("the tag `{name}`{why}: {digest}, not {expected}")
        }
        (Some(_), Some(digest), _) => format!("the tag `{name}`{why}: {digest}"),
        _ => format!("`{name}`{why}"),
    }
}

/// A stranger in the audit.
fn described(stranger: &Stranger) -> serde_json::Value {
    let Stranger { listed, known } = stranger;
    let (word, name) = named_target(&listed.under);
    let mut details = json!({ (word): name, "digest": listed.digest });
    if let Some(object) = details.as_object_mut() {
        if !listed.filename.is_empty() {
            let (word, name) = named_cargo(&listed.filename);
            object.insert(word.to_owned(), name.into());
        }
        if let Known::Differs { version, expected } = known {
            object.insert("expected".to_owned(), json!(expected));
            object.insert("version".to_owned(), json!(version));
        }
        if let Known::Elsewhere { .. } = known {
            object.insert("of_another".to_owned(), json!(true));
        }
        if let Known::TakenBack { version } = known {
            object.insert("withdrawn".to_owned(), json!(version));
        }
    }
    details
}

//! What is taken back after its release.
//!
//! Like an order, a withdrawal is written down with whoever asked for it before anything is done, given to its package's
//! object, told again when nothing is heard of it, and ended by what that object has seen. Its target stays released until
//! nobody is served it any more. What was taken back is kept for ever: its name is never given to other bytes.

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::api::{self, WithdrawalState};
use slipway_core::cargo::{Cargo, tag_of};
use slipway_core::config::EventKind;
use slipway_core::promotion::MayEnd;
use slipway_core::release::{Key, TargetState, Version};
use slipway_core::report::Report;
use slipway_core::route::Site;
use slipway_core::time::Timestamp;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};
use slipway_wire::Digest;

use super::progress::floated;
use super::{LedgerError, Record, coded, named_target, parse, subject};
use crate::sql::{Row, Sql, Value};

/// Of a withdrawal `w`: it has failed, and its bytes were seen to be public all the same. Where that was not seen, they may be
/// gone, and are not given back.
const NOTHING_TAKEN: &str = "w.state = 'not_withdrawn' AND json_extract(w.problem, '$.public') IS 'done'";

/// What somebody wants taken back.
#[derive(Clone, Copy, Debug)]
pub struct TakenBack<'a> {
    /// Packages: all of their targets that are released.
    pub keys: &'a [Key],
    /// Single targets, by the text form of their names.
    pub targets: &'a [(Key, String)],
    /// Whether other releases that have the same public may lose it, too.
    pub shared: bool,
}

/// A name in a public place, and the bytes that are to have it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PublicName {
    /// Where.
    pub public: Site,
    /// The target, by the text form of its name.
    pub distro: String,
    /// The file, or the image.
    pub cargo: Cargo,
    /// The bytes.
    pub digest: Digest,
}

/// A name that no release gets any more.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NameTaken {
    /// The name, and who asked for it.
    pub name: PublicName,
    /// The release that had it.
    pub of: Version,
    /// The bytes that had it.
    pub digest: Digest,
    /// Whether they were taken back.
    pub was_taken_back: bool,
}

impl NameTaken {
    /// Why, in words. `of`: how those who read it call the release that had it.
    pub fn why(&self, of: &str) -> String {
        let Self { name: PublicName { public, distro, cargo, digest: wanted }, digest, was_taken_back, .. } = self;
        let (repository, name) = (&public.repository, tag_of(distro).unwrap_or(cargo.as_str()));
        match (was_taken_back, digest == wanted) {
            (true, true) => format!("`{name}` of {repository} was taken back in {of}"),
            (true, false) => {
                format!("`{name}` of {repository} had other bytes in {of}, {digest}, which were taken back")
            }
            (false, _) => format!("`{name}` of {repository} had other bytes in {of}, {digest}, which were released"),
        }
    }
}

impl<S: Sql> Record<S> {
    /// What would be taken back: every target that is named and released. What is withdrawn already, or about to be, is left
    /// out; anything else that is named is an error.
    pub fn withdrawable(&self, version: &Version, asked: &TakenBack<'_>) -> Result<Vec<Withdrawal>, LedgerError> {
        let project_id = self.project_id()?.unwrap_or_default();
        self.planned(version)?;
        let mut named: Vec<(Key, String)> = Vec::new();
        for key in asked.keys {
            let states = self.states(version, key)?;
            if states.is_empty() {
                return Err(LedgerError::NotPlanned { version: version.clone(), key: key.clone() });
            }
            let public = |state: &TargetState| matches!(state, TargetState::Released | TargetState::Withdrawn);
            if !states.iter().any(|(_, state)| public(state)) {
                return Err(LedgerError::NothingReleased { version: version.clone(), key: key.clone() });
            }
            let released = states.into_iter().filter(|(_, state)| *state == TargetState::Released);
            named.extend(released.map(|(distro, _)| (key.clone(), distro)));
        }
        for (key, distro) in asked.targets {
            let state = self.states(version, key)?.into_iter().find(|(own, _)| own == distro).map(|(_, state)| state);
            match state {
                Some(TargetState::Released) => named.push((key.clone(), distro.clone())),
                Some(TargetState::Withdrawn) => {}
                Some(state) => {
                    return Err(LedgerError::NotReleased {
                        version: version.clone(),
                        key: key.clone(),
                        distro: distro.clone(),
                        state: state.to_string(),
                    });
                }
                None => {
                    let (version, key) = (version.clone(), key.clone());
                    return Err(LedgerError::NoTarget { version, key, distro: distro.clone() });
                }
            }
        }
        named.sort_unstable();
        named.dedup();
        let mut all = Vec::new();
        for (key, distro) in named {
            if self.withdrawal(version, &key, &distro)?.is_none_or(|before| before.state != WithdrawalState::UnderWay) {
                all.extend(self.withdrawal_of(project_id, version, key, distro)?);
            }
        }
        // One image may have several tags: each may go only when the others do, or as a tag alone.
        let others = all.clone();
        for one in &mut all {
            let with = others
                .iter()
                .filter(|other| other.public == one.public && other.digest == one.digest && other.distro != one.distro);
            one.with = with.filter(|other| tag_of(&other.distro).is_some()).map(|other| other.distro.clone()).collect();
            one.stays = self.other_tags(one)?;
            one.also =
                self.sharers_in_public(one)?.into_iter().map(|(version, key)| format!("{version}/{key}")).collect();
        }
        Ok(all)
    }

    /// Other releases of which the same file or tag is public: what is taken back of one is gone for all.
    fn sharers_in_public(&self, withdrawal: &Withdrawal) -> Result<Vec<(Version, Key)>, LedgerError> {
        let Withdrawal { version, key, filename, digest, public, distro, .. } = withdrawal;
        let rows = self.0.query(
            "SELECT t.version, t.key FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.public_place = ?1 AND t.public_repository = ?2 AND t.distro = ?3 AND (?4 IS NULL OR p.filename = ?4)
             AND t.state = 'released' AND p.digest = ?5 AND NOT (t.version = ?6 AND t.key = ?7) ORDER BY t.version, t.key",
            &[
                public.place.as_str().into(),
                public.repository.as_str().into(),
                distro.as_str().into(),
                filename.file().map(|file| file.as_str().to_owned()).into(),
                digest.to_string().into(),
                version.as_str().into(),
                key.as_str().into(),
            ],
        )?;
        rows.iter().map(|row| Ok((parse(row.text(0)?)?, parse(row.text(1)?)?))).collect()
    }

    /// Other tags that were released and lead to the same image, and are not taken back with this one.
    fn other_tags(&self, withdrawal: &Withdrawal) -> Result<Vec<String>, LedgerError> {
        let Withdrawal { digest, public, distro, with, .. } = withdrawal;
        if tag_of(distro).is_none() {
            return Ok(Vec::new());
        }
        let mut tags = self.released_tags(public)?;
        tags.retain(|tag, led| led == digest && tag != distro && !with.contains(tag));
        Ok(tags.into_keys().collect())
    }

    fn withdrawal_of(
        &self,
        project_id: u64,
        version: &Version,
        key: Key,
        distro: String,
    ) -> Result<Option<Withdrawal>, LedgerError> {
        let rows = self.0.query(
            "SELECT p.filename, p.digest, t.public_place, t.public_repository, r.maturity
             FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key JOIN releases r ON r.version = t.version
             WHERE t.version = ? AND t.key = ? AND t.distro = ? AND p.filename IS NOT NULL AND p.digest IS NOT NULL",
            &[version.as_str().into(), key.as_str().into(), distro.as_str().into()],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Withdrawal {
            number: 0,
            project_id,
            version: version.clone(),
            maturity: coded(row.text(4)?)?,
            key,
            filename: parse(row.text(0)?)?,
            digest: parse(row.text(1)?)?,
            public: Site { place: row.text(2)?.to_owned(), repository: row.text(3)?.to_owned() },
            distro,
            with: Vec::new(),
            stays: Vec::new(),
            also: Vec::new(),
        }))
    }

    /// Somebody takes targets back. `users` says of each what its users will see. It is written down, with an order that
    /// [`Record::withdrawals_to_give`] finds; whether there was anything to take back.
    pub fn withdraw(
        &self,
        version: &Version,
        asked: &TakenBack<'_>,
        by: &str,
        reason: &str,
        users: &dyn Fn(&Withdrawal) -> Vec<String>,
        now: Timestamp,
    ) -> Result<Vec<Withdrawal>, LedgerError> {
        self.0.atomically(|| {
            let mut all = self.withdrawable(version, asked)?;
            let others: BTreeSet<String> = all.iter().flat_map(|one| one.also.iter().cloned()).collect();
            if !others.is_empty() && !asked.shared {
                return Err(LedgerError::SharedWithOthers {
                    version: version.clone(),
                    others: others.into_iter().collect(),
                });
            }
            for one in &mut all {
                let Withdrawal { key, filename, digest, public, distro, .. } = &*one;
                let users = users(one);
                let rows = self.0.query(
                    "INSERT INTO withdrawals
                        (version, key, distro, place, repository, filename, digest, sent_order, asked_by, reason, at, users, told_at,
                         state, notes)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '', ?8, ?9, ?10, ?11, ?10, 'under_way', '[]') RETURNING id",
                    &[
                        version.as_str().into(),
                        key.as_str().into(),
                        distro.as_str().into(),
                        public.place.as_str().into(),
                        public.repository.as_str().into(),
                        filename.as_str().into(),
                        digest.to_string().into(),
                        by.into(),
                        reason.into(),
                        now.0.into(),
                        serde_json::to_string(&users)?.into(),
                    ],
                )?;
                let (word, name) = named_target(distro);
                let details = serde_json::json!({
                    (word): name, "digest": digest, "reason": reason, "place": public.place, "repository": public.repository,
                    "users": users, "also": one.also,
                });
                let subject = subject(version, key);
                one.number = rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default();
                self.0.query(
                    "UPDATE withdrawals SET sent_order = ? WHERE id = ?",
                    &[serde_json::to_string(one)?.into(), one.number.into()],
                )?;
                self.change(version, by, "withdrawing", &subject, &details, now)?;
            }
            Ok(all)
        })
    }

    /// Withdrawals that their packages' objects have not taken yet.
    pub fn withdrawals_to_give(&self) -> Result<Vec<Withdrawal>, LedgerError> {
        let rows = self.0.query(
            "SELECT sent_order FROM withdrawals WHERE state = 'under_way' AND is_given = 0 ORDER BY id LIMIT 100",
            &[],
        )?;
        rows.iter().map(|row| Ok(serde_json::from_str(row.text(0)?)?)).collect()
    }

    /// Withdrawals were taken.
    pub fn withdrawals_given(&self, numbers: &[u64]) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            for number in numbers {
                self.0.query("UPDATE withdrawals SET is_given = 1 WHERE id = ?", &[(*number).into()])?;
            }
            Ok(())
        })
    }

    /// Withdrawals under way of which nothing was heard since `quiet_since`. What was heard after `now` was heard when the
    /// clock was wrong.
    pub fn unheard_withdrawals(&self, quiet_since: Timestamp, now: Timestamp) -> Result<Vec<Withdrawal>, LedgerError> {
        let rows = self.0.query(
            "SELECT sent_order FROM withdrawals
             WHERE state = 'under_way' AND is_given = 1 AND (told_at <= ? OR told_at > ?) ORDER BY id LIMIT 100",
            &[quiet_since.0.into(), now.0.into()],
        )?;
        rows.iter().map(|row| Ok(serde_json::from_str(row.text(0)?)?)).collect()
    }

    /// Whether anything is being taken back.
    pub fn is_withdrawing(&self) -> Result<bool, LedgerError> {
        Ok(!self.0.query("SELECT 1 FROM withdrawals WHERE state = 'under_way' LIMIT 1", &[])?.is_empty())
    }

    /// Whether the act of a withdrawal may begin now.
    pub fn may_withdraw(&self, number: u64) -> Result<MayWithdraw, LedgerError> {
        let rows = self.0.query(
            "SELECT place, repository, distro FROM withdrawals WHERE id = ? AND state = 'under_way'",
            &[number.into()],
        )?;
        let Some(row) = rows.first() else { return Ok(MayWithdraw::Over) };
        if let Some(stopped) = self.stopped()? {
            return Ok(MayWithdraw::Stopped(stopped));
        }
        let site = Site { place: row.text(0)?.to_owned(), repository: row.text(1)?.to_owned() };
        let is_image = tag_of(row.text(2)?).is_some();
        Ok(MayWithdraw::Now { released: if is_image { self.released_tags(&site)? } else { BTreeMap::new() } })
    }

    /// The tags that were released to a repository and are not being taken back, and their images.
    pub fn released_tags(&self, site: &Site) -> Result<BTreeMap<String, Digest>, LedgerError> {
        let rows = self.0.query(
            "SELECT t.distro, p.digest FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.public_repository = ? AND t.public_place = ? AND t.state = 'released' AND p.digest IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM withdrawals w WHERE w.version = t.version AND w.key = t.key
                AND w.distro = t.distro AND w.state = 'under_way')",
            &[site.repository.as_str().into(), site.place.as_str().into()],
        )?;
        let tags = rows.iter().map(|row| Ok((row.text(0)?.to_owned(), parse(row.text(1)?)?)));
        tags.filter(|row: &Result<(String, Digest), LedgerError>| {
            row.as_ref().map_or(true, |(name, _)| tag_of(name).is_some())
        })
        .collect()
    }

    /// Takes over what a package's object saw of a withdrawal; whether that changed anything.
    pub fn withdrawal_seen(
        &self,
        withdrawal: &Withdrawal,
        seen: &WithdrawalReport,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Withdrawal { number, version, key, distro, digest, .. } = withdrawal;
        self.0.atomically(|| {
            let rows = self.0.query(
                "UPDATE withdrawals SET told_at = ?, heard = ? WHERE id = ? AND state = 'under_way' AND heard < ?
                 RETURNING problem, notes",
                &[now.0.into(), seen.count.into(), (*number).into(), seen.count.into()],
            )?;
            let Some(row) = rows.first() else { return Ok(false) };
            let problem = seen.problem.as_ref().map(serde_json::to_string).transpose()?;
            let notes = serde_json::to_string(&seen.notes)?;
            let is_same = row.text_or_null(0)? == problem.as_deref() && row.text(1)? == notes;
            if is_same && seen.state == WithdrawalState::UnderWay {
                return Ok(false);
            }
            self.0.query(
                "UPDATE withdrawals SET state = ?, problem = ?, notes = ? WHERE id = ?",
                &[seen.state.code().into(), problem.into(), notes.into(), (*number).into()],
            )?;
            let (word, name) = named_target(distro);
            let code = seen.problem.as_ref().map(|problem| problem.code.as_str());
            let mut details =
                serde_json::json!({ (word): name, "digest": digest, "notes": seen.notes, "problem": code });
            floated(&mut details, distro, &seen.floating);
            match seen.state {
                WithdrawalState::UnderWay => self.bump(version)?,
                WithdrawalState::Withdrawn => {
                    self.set(version, key, &Report::of(distro.clone(), TargetState::Withdrawn), now)?;
                    self.change(version, "edge", "withdrawn", &subject(version, key), &details, now)?;
                    self.gone_for_others(withdrawal, now)?;
                }
                WithdrawalState::NotWithdrawn => {
                    let kind = EventKind::NeedsPerson;
                    let occasion = format!("{} {version}/{key} withdrawal {number}", kind.word());
                    self.occurred(&occasion, kind, Some(version), Some(key), seen.problem.as_ref(), now)?;
                    self.change(version, "edge", "not-withdrawn", &subject(version, key), &details, now)?;
                }
            }
            Ok(true)
        })
    }

    /// What was taken back of one release is gone for all that had it public: each has the withdrawal in its own record.
    fn gone_for_others(&self, withdrawal: &Withdrawal, now: Timestamp) -> Result<(), LedgerError> {
        let Withdrawal { number, version, key, distro, digest, .. } = withdrawal;
        for (other, of) in self.sharers_in_public(withdrawal)? {
            self.0.query(
                "INSERT INTO withdrawals
                    (version, key, distro, place, repository, filename, digest, sent_order, asked_by, reason, at, users,
                     is_given, told_at, heard, state, notes, problem)
                 SELECT ?2, ?3, distro, place, repository, filename, digest, sent_order, asked_by, reason, at, users,
                     is_given, told_at, heard, state, notes, problem FROM withdrawals WHERE id = ?1",
                &[(*number).into(), other.as_str().into(), of.as_str().into()],
            )?;
            self.set(&other, &of, &Report::of(distro.clone(), TargetState::Withdrawn), now)?;
            let (word, name) = named_target(distro);
            let details = serde_json::json!({ (word): name, "digest": digest, "with": format!("{version}/{key}") });
            self.change(&other, "edge", "withdrawn", &subject(&other, &of), &details, now)?;
        }
        Ok(())
    }

    /// The last withdrawal of a target, as callers see it.
    pub fn withdrawal(
        &self,
        version: &Version,
        key: &Key,
        distro: &str,
    ) -> Result<Option<api::Withdrawal>, LedgerError> {
        let rows = self.0.query(
            "SELECT asked_by, reason, at, state, users, notes, problem FROM withdrawals
             WHERE version = ? AND key = ? AND distro = ? ORDER BY id DESC LIMIT 1",
            &[version.as_str().into(), key.as_str().into(), distro.into()],
        )?;
        rows.first().map(shown).transpose()
    }

    /// Why nothing of a package is released any more: some of it was taken back. Who takes back what is public already does
    /// not want the rest to follow.
    pub fn why_withdrawn(&self, version: &Version, key: &Key) -> Result<Option<String>, LedgerError> {
        let own = self.0.query(
            &format!(
                "SELECT w.distro FROM withdrawals w JOIN packages p ON p.version = w.version AND p.key = w.key
                 WHERE w.version = ? AND w.key = ? AND w.digest = p.digest AND NOT ({NOTHING_TAKEN}) ORDER BY w.id LIMIT 1"
            ),
            &[version.as_str().into(), key.as_str().into()],
        )?;
        own.first().map(|row| Ok(format!("it was released for {} and taken back", row.text(0)?))).transpose()
    }

    /// The names that a package has, or would have, in public.
    pub fn public_names(&self, version: &Version, key: &Key) -> Result<Vec<PublicName>, LedgerError> {
        let rows = self.0.query(
            "SELECT t.distro, t.public_place, t.public_repository, p.filename, p.digest
             FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.version = ?1 AND t.key = ?2 AND p.filename IS NOT NULL AND p.digest IS NOT NULL
             AND t.state <> 'skipped' ORDER BY t.distro",
            &[version.as_str().into(), key.as_str().into()],
        )?;
        rows.iter()
            .map(|row| {
                Ok(PublicName {
                    distro: row.text(0)?.to_owned(),
                    public: Site { place: row.text(1)?.to_owned(), repository: row.text(2)?.to_owned() },
                    cargo: parse(row.text(3)?)?,
                    digest: parse(row.text(4)?)?,
                })
            })
            .collect()
    }

    /// Why a package is never released where its targets are: one of their names there was taken back, whatever bytes had it,
    /// or is that of other bytes that were released.
    pub fn why_name_taken(&self, version: &Version, key: &Key) -> Result<Option<String>, LedgerError> {
        for name in self.public_names(version, key)? {
            if let Some(taken) = self.who_had(&name, Some((version, key)))? {
                return Ok(Some(taken.why(taken.of.as_str())));
            }
        }
        Ok(None)
    }

    /// Which of the names that another project's package would have is taken by what this one has released or taken back.
    pub fn name_taken(&self, names: &[PublicName]) -> Result<Option<NameTaken>, LedgerError> {
        for name in names {
            if let Some(taken) = self.who_had(name, None)? {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// The same of one name, and of all packages but its own.
    ///
    /// Both tables are asked. Of a file that somebody has deleted at the server by hand, and of one whose withdrawal a restored
    /// record does not know, it is known here only that it was released; and the public place has nothing under its name.
    fn who_had(&self, name: &PublicName, own: Option<(&Version, &Key)>) -> Result<Option<NameTaken>, LedgerError> {
        let at: [Value; 7] = [
            name.public.place.as_str().into(),
            name.public.repository.as_str().into(),
            name.distro.as_str().into(),
            // An image has its tag for a name, wherever it was staged.
            name.cargo.file().map(|file| file.as_str().to_owned()).into(),
            name.digest.to_string().into(),
            own.map(|(version, _)| version.to_string()).into(),
            own.map(|(_, key)| key.to_string()).into(),
        ];
        let taken = |row: &Row, was_taken_back| {
            let (of, digest) = (parse(row.text(0)?)?, parse(row.text(1)?)?);
            Ok(NameTaken { name: name.clone(), of, digest, was_taken_back })
        };
        let withdrawn = self.0.query(
            &format!(
                "SELECT w.version, w.digest FROM withdrawals w
                 WHERE w.place = ?1 AND w.repository = ?2 AND w.distro = ?3 AND (?4 IS NULL OR w.filename = ?4)
                 AND (w.digest <> ?5 OR NOT ({NOTHING_TAKEN})) ORDER BY w.id LIMIT 1"
            ),
            at.get(..5).unwrap_or_default(),
        )?;
        if let Some(row) = withdrawn.first() {
            return taken(row, true).map(Some);
        }
        let released = self.0.query(
            "SELECT t.version, p.digest FROM targets t JOIN packages p ON p.version = t.version AND p.key = t.key
             WHERE t.public_place = ?1 AND t.public_repository = ?2 AND t.distro = ?3 AND (?4 IS NULL OR p.filename = ?4)
             AND t.state IN ('released', 'withdrawn') AND p.digest <> ?5
             AND (?6 IS NULL OR NOT (t.version = ?6 AND t.key = ?7))
             ORDER BY t.version LIMIT 1",
            &at,
        )?;
        released.first().map(|row| taken(row, false)).transpose()
    }

    /// Either of the two.
    pub(super) fn why_never(&self, version: &Version, key: &Key) -> Result<Option<String>, LedgerError> {
        match self.why_withdrawn(version, key)? {
            None => self.why_name_taken(version, key),
            why => Ok(why),
        }
    }

    /// Whether an act that was allowed to begin may write what makes the package public.
    pub fn may_end(&self, version: &Version, key: &Key) -> Result<MayEnd, LedgerError> {
        if let Some(stopped) = self.stopped()? {
            return Ok(MayEnd::Stopped(stopped));
        }
        Ok(self.why_never(version, key)?.map_or(MayEnd::Now, MayEnd::Withdrawn))
    }
}

fn shown(row: &Row) -> Result<api::Withdrawal, LedgerError> {
    Ok(api::Withdrawal {
        by: row.text(0)?.to_owned(),
        reason: row.text(1)?.to_owned(),
        at: Timestamp(row.integer(2)?).to_string(),
        state: coded(row.text(3)?)?,
        users: serde_json::from_str(row.text(4)?)?,
        notes: serde_json::from_str(row.text(5)?)?,
        problem: row.text_or_null(6)?.map(serde_json::from_str).transpose()?,
    })
}

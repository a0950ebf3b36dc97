//! What must hold at every moment, and what is remembered to judge it.
//!
//! Everything is judged on what Slipway did. What somebody else published or removed must be shown as what it is. On
//! routes that move, wrong bytes and lost files cannot be prevented: there it must be detected and named.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher};
use std::rc::Rc;

use slipway_core::cargo::tag_of;
use slipway_core::promotion::Slot;
use slipway_core::release::{Maturity, TargetState};
use slipway_core::route::{How, Site};
use slipway_core::time::Timestamp;
use slipway_edge::account::AskSlot;
use slipway_gitlab::{Signed, SigningToken};
use slipway_ledger::audit::{GENESIS, canonical, entries};
use slipway_ledger::{Sql, Value};
use slipway_oci::{Numbered, Tag};
use slipway_wire::{Digest, Request, Token, Transfer};

use crate::edge::{KEPT_FOR, LISTENERS_TOKEN};
use crate::fault::{Fault, Kind};
use crate::image::Made;
use crate::server::Place;
use crate::sql::Backend;
use crate::world::{
    ABANDONED, BEGUN, Deed, FILES_PER_RUN, Goal, Happening, NEWEST, ObjectId, Parcel, REGISTRIES_FROM, World,
    number_of, rebuilt,
};

/// How long ago somebody may have asked for a slot and still be waiting for it.
const WAITS: i64 = 45_000;

/// Within which time one who was called may come, and is waited for.
const COMES: i64 = 8000;

/// What the configuration says of staging, in milliseconds.
const AGE: i64 = 2 * 3_600_000;
const NOTICE: i64 = 72 * 3_600_000;
const WAIT: i64 = 24 * 3_600_000;
/// By how much clocks may differ that are said to agree, at the beginning and at the end.
const CLOCKS_APART: i64 = 11 * 60_000;
/// Within which time a stop has been heard of.
const STOPS_WITHIN: i64 = 10_000;

/// A state with its approval and its problem's code.
type Said = (TargetState, Option<u64>, Option<String>);
/// The rank, when it asked, when it was called since, what it writes, and at which place.
type Waiter = (Maturity, i64, Option<i64>, String, String);

/// What is remembered of a run.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    /// How often jobs were played, of all packages and of each.
    pub(crate) plays: u64,
    pub(crate) played: BTreeMap<usize, u32>,
    /// How often, before the faults stopped.
    pub(crate) played_before: BTreeMap<usize, u32>,
    /// Orders that were taken, by their approval and project.
    pub(crate) accepted: BTreeSet<u64>,
    /// Jobs that were told that they were heard.
    acknowledged: BTreeSet<u64>,
    /// What Slipway has written at public places, and what others have deleted there.
    written: BTreeMap<Place, u32>,
    pub(crate) deleted: BTreeMap<Place, u32>,
    /// What was ever public.
    pub(crate) public_ever: BTreeMap<Place, BTreeSet<Digest>>,
    /// Where somebody else has acted.
    pub(crate) meddled: BTreeSet<Place>,
    /// Where a move has brought other bytes.
    wrong_moves: BTreeSet<Place>,
    /// Since when staging no longer has what was approved, by the number of the boundary.
    pub(crate) wrong_since: BTreeMap<(usize, Place), u64>,
    /// The last act on a name, and the last look at a repository that was answered, by the number of the boundary.
    acted_at: BTreeMap<Place, u64>,
    looked_at: BTreeMap<(usize, String), u64>,
    /// When a name was last asked for by the package itself that was then answered. Another package's look at the repository
    /// shows this one nothing.
    shown_at: BTreeMap<(usize, Place), u64>,
    /// When a search or an index's head was last asked for.
    asked_at: BTreeMap<(bool, usize, String), u64>,
    /// The reading that the last answer came from, and how many answers more.
    answers: BTreeMap<(bool, usize, String), (u64, u64)>,
    /// The state of each target, with its approval and its problem's code.
    states: BTreeMap<(usize, String), Said>,
    /// Since when a target is called missing.
    missing_since: BTreeMap<(usize, String), i64>,
    /// The codes of all problems that a target ever had.
    codes: BTreeMap<(usize, String), BTreeSet<String>>,
    /// The audit's last row, by project.
    audit: BTreeMap<u64, (u64, Digest)>,
    sequences: BTreeMap<u64, i64>,
    /// Transfers under way.
    transfers: BTreeSet<String>,
    /// Who waits for a slot: the rank, when it asked, when it was called since, what it writes, and at which place.
    waiters: BTreeMap<(String, String), Waiter>,
    /// What whoever listens has heard, by its id.
    told: BTreeMap<String, Digest>,
    /// Packages that a person holds back, or wants to.
    held: BTreeSet<usize>,
    /// Packages whose holds were acknowledged, and are not lifted.
    held_for_sure: BTreeSet<usize>,
    /// Packages of whose release somebody has wanted something since it began: a hold, its end, other bytes.
    changed: BTreeSet<usize>,
    /// Packages whose release is given up, and was said to be.
    closed: BTreeSet<usize>,
    /// The bytes that were ever approved of a package.
    approved: BTreeMap<usize, BTreeSet<Digest>>,
    /// When a file was last staged, after the beginning.
    pub(crate) staged_at: BTreeMap<(usize, Place), i64>,
    /// Since when a deletion is announced, and since when it is marked.
    announced_at: BTreeMap<usize, i64>,
    marked_at: BTreeMap<usize, i64>,
    /// The newest audit row of a project when its last run of retention began, and the boundary that was then.
    runs: BTreeMap<u64, (u64, u64)>,
    /// Since when a public place no longer serves what was released there, by the number of the boundary.
    pub(crate) unserved_since: BTreeMap<(usize, Place), u64>,
    /// Which package's release runs, by project.
    deployed: BTreeMap<u64, usize>,
    /// Until when somebody wants a package kept.
    extended: BTreeMap<usize, i64>,
    /// Since when a project is stopped.
    stopped_at: BTreeMap<u64, i64>,
    /// Who brings an image, and had leave for it when it began to.
    began: BTreeSet<String>,
    /// What happened to repositories of images, in its order.
    images: Order,
}

/// The order in which what counts of repositories and their tags has happened last. Whoever acts has looked since it began to
/// act: so of a moment at which nobody does, nothing of this counts.
#[derive(Clone, Default)]
struct Order {
    now: u64,
    tag_looked_at: BTreeMap<(usize, String, String), u64>,
    tag_set_at: BTreeMap<(usize, String, String), u64>,
    tag_read_at: BTreeMap<(usize, String, String), u64>,
    tags_listed_at: BTreeMap<(usize, String), u64>,
    part_written_at: BTreeMap<(usize, String), u64>,
}

impl Order {
    fn next(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

impl Journal {
    /// Somebody else has set a tag.
    pub(crate) fn set_by_others(&mut self, (server, (repository, name, _)): &(usize, Place)) {
        let now = self.images.next();
        let tag = tag_of(name).unwrap_or_default().to_owned();
        self.images.tag_set_at.insert((*server, repository.clone(), tag), now);
    }

    pub(crate) fn state(&self, parcel: usize, distro: &str) -> Option<Said> {
        self.states.get(&(parcel, distro.to_owned())).cloned()
    }

    /// Since when a target is called missing.
    pub(crate) fn missing_since(&self, parcel: usize, distro: &str) -> Option<i64> {
        self.missing_since.get(&(parcel, distro.to_owned())).copied()
    }

    /// How often a package was played, since the faults have stopped when they have.
    pub(crate) fn plays_of(&self, parcel: usize) -> u32 {
        let of = |plays: &BTreeMap<usize, u32>| plays.get(&parcel).copied().unwrap_or(0);
        of(&self.played).saturating_sub(of(&self.played_before))
    }

    pub(crate) fn restaged(&mut self, parcel: usize, distro: &str) {
        self.states.insert((parcel, distro.to_owned()), (TargetState::Staged, None, None));
    }

    /// Whether a job that asks or is told of has not been heard yet.
    pub(crate) fn open_jobs(&self, mut jobs: impl Iterator<Item = u64>) -> bool {
        jobs.any(|job| !self.acknowledged.contains(&job))
    }

    /// Whether a person holds a package back.
    pub(crate) fn is_held(&self, parcel: usize) -> bool {
        self.held.contains(&parcel)
    }

    pub(crate) fn is_marked(&self, parcel: usize) -> bool {
        self.marked_at.contains_key(&parcel)
    }

    /// Whether a transfer is under way.
    pub(crate) fn carries(&self) -> bool {
        !self.transfers.is_empty()
    }

    /// All of it that what happens from now on can depend on, when so many boundaries were passed.
    ///
    /// Boundaries are only ever compared: which was first, and whether it was by more than one. So it is their order that
    /// counts, with gaps of one and of more.
    pub(crate) fn fingerprint(&self, boundaries: u64, hasher: &mut impl Hasher) {
        let Self {
            plays,
            played,
            played_before,
            accepted: _,
            acknowledged,
            written,
            deleted,
            public_ever,
            meddled,
            wrong_moves,
            wrong_since,
            acted_at,
            looked_at,
            shown_at,
            asked_at,
            answers,
            states,
            missing_since,
            codes,
            audit,
            sequences,
            transfers,
            waiters,
            told,
            held,
            held_for_sure,
            changed,
            closed,
            approved,
            staged_at: _,
            announced_at: _,
            marked_at: _,
            runs: _,
            unserved_since: _,
            deployed: _,
            extended: _,
            stopped_at: _,
            began,
            images: _,
        } = self;
        let mut numbers: Vec<u64> = [boundaries].into();
        numbers.extend(wrong_since.values().chain(acted_at.values()).chain(looked_at.values()));
        numbers.extend(asked_at.values().chain(answers.values().map(|(reading, _)| reading)));
        numbers.sort_unstable();
        numbers.dedup();
        let mut ranks = BTreeMap::new();
        let (mut before, mut rank) = (0, 0);
        for number in numbers {
            rank += (number - before).min(2);
            ranks.insert(number, rank);
            before = number;
        }
        let rank = |number: &u64| ranks.get(number);
        (plays, played, played_before, acknowledged, written, deleted).hash(hasher);
        (told, held, began).hash(hasher);
        (held_for_sure, changed, closed, approved).hash(hasher);
        (public_ever, meddled, wrong_moves, missing_since, codes, audit, sequences, transfers).hash(hasher);
        (rank(&boundaries), wrong_since.len(), acted_at.len(), looked_at.len(), asked_at.len()).hash(hasher);
        for (place, number) in wrong_since {
            // What was shown before matters no more.
            let is_known = shown_at.get(place).is_some_and(|shown| *shown > number + 1);
            (place, rank(number), is_known).hash(hasher);
        }
        for (place, number) in acted_at {
            (place, rank(number)).hash(hasher);
        }
        for (place, number) in looked_at {
            (place, rank(number)).hash(hasher);
        }
        for (place, number) in asked_at {
            (place, rank(number)).hash(hasher);
        }
        for (place, (reading, more)) in answers {
            (place, rank(reading), more).hash(hasher);
        }
        for (target, (state, approval, code)) in states {
            (target, *state as u8, approval, code).hash(hasher);
        }
        for (waiter, (maturity, asked_at, called_at, name, place)) in waiters {
            (waiter, *maturity as u8, asked_at, called_at, name, place).hash(hasher);
        }
    }

    /// A project's record is as it was `before`: what was read of it is read again, and what people were told since then they
    /// must be told again.
    pub(crate) fn restored(&mut self, project: u64, parcels: &[Parcel], before: &Self) {
        self.audit.remove(&project);
        self.sequences.remove(&project);
        self.runs.remove(&project);
        let is_own = |parcel: &usize| parcels.get(*parcel).is_some_and(|parcel| parcel.project == project);
        self.states.retain(|(parcel, _), _| !is_own(parcel));
        for parcel in (0..parcels.len()).filter(is_own) {
            for (now, then) in [
                (&mut self.announced_at, &before.announced_at),
                (&mut self.marked_at, &before.marked_at),
                (&mut self.extended, &before.extended),
            ] {
                match then.get(&parcel) {
                    Some(at) => drop(now.insert(parcel, *at)),
                    None => drop(now.remove(&parcel)),
                }
            }
            for (now, then) in [(&mut self.held_for_sure, &before.held_for_sure), (&mut self.closed, &before.closed)] {
                if then.contains(&parcel) {
                    now.insert(parcel)
                } else {
                    now.remove(&parcel)
                };
            }
        }
        match before.deployed.get(&project) {
            Some(parcel) => drop(self.deployed.insert(project, *parcel)),
            None => drop(self.deployed.remove(&project)),
        }
        match before.stopped_at.get(&project) {
            Some(at) => drop(self.stopped_at.insert(project, *at)),
            None => drop(self.stopped_at.remove(&project)),
        }
    }

    /// Somebody wants a package to be held back, and later is told that it is.
    pub(crate) fn wants_held(&mut self, parcel: usize) {
        self.held.insert(parcel);
        self.changed.insert(parcel);
    }

    pub(crate) fn is_held_now(&mut self, parcel: usize) {
        self.held_for_sure.insert(parcel);
    }

    /// Somebody wants it to be let go, and later is told that it is.
    pub(crate) fn wants_lifted(&mut self, parcel: usize) {
        self.held_for_sure.remove(&parcel);
        self.changed.insert(parcel);
    }

    pub(crate) fn is_lifted(&mut self, parcel: usize) {
        self.held.remove(&parcel);
    }

    /// Somebody wants other bytes of it, or its release's end.
    pub(crate) fn wants_changed(&mut self, parcel: usize) {
        self.changed.insert(parcel);
    }

    pub(crate) fn is_closed_now(&mut self, parcel: usize) {
        self.closed.insert(parcel);
    }

    /// Whether its release was given up for sure.
    pub(crate) fn is_closed(&self, parcel: usize) -> bool {
        self.closed.contains(&parcel)
    }

    pub(crate) fn dies(&mut self) {
        self.transfers.clear();
    }
}

/// What the numbers in a tag say. `None` for one that is no version.
fn number_of_tag(tag: &str) -> Option<Numbered> {
    Numbered::read(tag)
}

impl World {
    // ---- what is asked and answered ----

    /// The server at an address.
    pub(crate) fn server_of(&self, url: &str) -> Option<usize> {
        self.servers.iter().position(|server| server.borrow().base.serves(url))
    }

    pub(crate) fn goal_of_promote(&self, request: &Request) -> Option<&Goal> {
        let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let path = path.strip_prefix("/api/v1/repos/")?.strip_suffix("/promote.json")?.to_owned();
        self.goals.iter().find(|goal| {
            let (repository, distro, name) = &goal.staging.1;
            path == format!("{repository}/{distro}/{name}")
        })
    }

    /// Something is asked of a package server.
    pub(crate) fn asked(&self, kind: Kind, server: usize, request: &Request, _site: Option<&str>) {
        let repository = asked_repository(request);
        if kind == Kind::Promote {
            match self.goal_of_promote(request) {
                Some(goal) if goal.how == How::Move => {
                    let holder = self.holder(goal);
                    self.begins_to_act(goal, &holder);
                }
                _ => self.violated("I7", "staging is only read on routes that copy, and this moves"),
            }
        } else if kind == Kind::Delete && self.keeps {
            self.deletes_file(server, request);
        } else if request.method() != http::Method::GET {
            self.violated("I7", &format!("{} {} is no reading", request.method(), request.uri().path()));
        }
        if matches!(kind, Kind::Search | Kind::Head) {
            let key = (kind == Kind::Search, server, repository);
            self.journal.borrow_mut().asked_at.insert(key, self.boundaries());
        }
    }

    /// Something is asked of a registry. Its staging repositories are only read, and whoever writes has a slot and leave.
    pub(crate) fn image_asked(&self, kind: Kind, number: usize, request: &Request) {
        let path = request.uri().path();
        let repository = crate::registry::repository_of(path).to_owned();
        if kind.writes() {
            self.may_write(number, &repository, None);
        }
        if kind == Kind::ManifestDelete {
            self.deletes_manifest(number, &repository, path);
        }
        if matches!(kind, Kind::ImageHead | Kind::ImageRead) {
            let key = (kind == Kind::ImageHead, number, repository);
            self.journal.borrow_mut().asked_at.insert(key, self.boundaries());
        }
    }

    /// A registry answers what a tag leads to, or which tags there are, as it is.
    pub(crate) fn image_shown(&self, kind: Kind, number: usize, path: &str) {
        let repository = crate::registry::repository_of(path).to_owned();
        let mut journal = self.journal.borrow_mut();
        let now = journal.images.next();
        match (kind, crate::registry::tag_of(path)) {
            (Kind::ImageHead, Some(tag)) => {
                journal.images.tag_looked_at.insert((number, repository, tag.to_owned()), now);
            }
            (Kind::TagList, _) => drop(journal.images.tags_listed_at.insert((number, repository), now)),
            _ => {}
        }
    }

    /// A registry answers with the manifest to which a tag leads, as it is.
    pub(crate) fn tag_read(&self, number: usize, repository: &str, tag: &str) {
        let mut journal = self.journal.borrow_mut();
        let now = journal.images.next();
        journal.images.tag_read_at.insert((number, repository.to_owned(), tag.to_owned()), now);
    }

    /// A build has set a tag of staging.
    pub(crate) fn tag_staged(&self, number: usize, repository: &str, tag: &str) {
        let mut journal = self.journal.borrow_mut();
        let now = journal.images.next();
        journal.images.tag_set_at.insert((number, repository.to_owned(), tag.to_owned()), now);
    }

    /// Something is written to a repository of images: by whom that may.
    fn may_write(&self, number: usize, repository: &str, holder: Option<&str>) {
        let goals = self.goals.iter().filter(|goal| goal.public.0 == number && goal.public.1.0 == repository);
        let goals: Vec<&Goal> = goals.collect();
        if goals.is_empty() {
            return self.violated("I7", &format!("staging is only read, and {repository} is written"));
        }
        if !goals.iter().any(|goal| self.journal.borrow().played.contains_key(&goal.parcel)) {
            return self.violated("I2", &format!("{repository} is written, and nobody has approved it"));
        }
        let disk = self.disk.borrow();
        let lent = |goal: &&&Goal| {
            let account = disk.databases.get(&ObjectId::Account(goal.account.clone()));
            let holder = self.holder(goal);
            let lease = account.map(|account| account.query("SELECT 1 FROM leases WHERE holder = ?", &[holder.into()]));
            lease.is_some_and(|rows| rows.is_ok_and(|rows| !rows.is_empty()))
        };
        let lent: Vec<&Goal> = goals.iter().filter(lent).copied().collect();
        drop(disk);
        let is_lent = lent.iter().any(|goal| holder.is_none_or(|holder| self.holder(goal) == holder));
        // An account that was restored has forgotten whom it has lent slots to.
        if !is_lent && !self.has_jumped() && !self.has_restored() {
            return self.violated("Slots", &format!("{repository} is written without a slot"));
        }
        for goal in lent {
            let holder = self.holder(goal);
            if self.journal.borrow_mut().began.insert(holder.clone()) {
                self.has_leave(goal, &holder);
            }
        }
    }

    /// A list was answered that was asked for at that boundary.
    pub(crate) fn answered(&self, kind: Kind, server: usize, repository: &str, sent_at: u64) {
        if kind == Kind::Search {
            let mut journal = self.journal.borrow_mut();
            let looked_at = journal.looked_at.entry((server, repository.to_owned())).or_default();
            *looked_at = (*looked_at).max(sent_at + 1);
        }
    }

    /// A package was shown what a repository has under a name, having asked at that boundary.
    pub(crate) fn is_shown(&self, site: &Site, distro: &str, filename: &str, asked_at: u64) {
        let server = number_of(site);
        let place = (site.repository.clone(), distro.to_owned(), filename.to_owned());
        self.journal.borrow_mut().shown_at.insert((server, place), asked_at + 1);
    }

    /// An answer must come from a reading that began after its question.
    pub(crate) fn is_fresh(&self, kind: Kind, site: &Site, asked_at: u64) {
        let server = number_of(site);
        let key = (kind == Kind::Search, server, site.repository.clone());
        let last = self.journal.borrow().asked_at.get(&key).copied();
        let mut journal = self.journal.borrow_mut();
        let answers = journal.answers.entry(key).or_default();
        if last.is_some_and(|last| std::mem::replace(&mut answers.0, last) == last) {
            answers.1 += 1;
        }
        let shared = std::mem::take(&mut answers.1) > 0;
        drop(journal);
        if shared {
            self.point("several packages shared one reading");
        }
        if last.is_none_or(|last| last < asked_at) {
            self.violated("Look", &format!("{} is answered from a reading older than the question", site.repository));
        }
    }

    fn holder(&self, goal: &Goal) -> String {
        let parcel = &self.parcels[goal.parcel];
        format!("{}/{}/{} {}", parcel.project, parcel.version, parcel.key, goal.distro)
    }

    /// An act on a target begins: it was looked at since the last one, and has a slot.
    fn begins_to_act(&self, goal: &Goal, holder: &str) {
        self.looks_at_servers();
        {
            let mut journal = self.journal.borrow_mut();
            let place = &goal.public.1;
            let looked = journal.looked_at.get(&(goal.public.0, place.0.clone())).copied().unwrap_or(0);
            let acted = journal.acted_at.get(place).copied().unwrap_or(0);
            if looked == 0 || looked < acted {
                drop(journal);
                return self.violated("I4", &format!("{place:?} is acted on without a look since the last act"));
            }
            journal.acted_at.insert(place.clone(), self.boundaries() + 1);
            let shown_at = journal.shown_at.get(&goal.staging).copied().unwrap_or(0);
            if !self.has_lied() && journal.wrong_since.get(&goal.staging).is_some_and(|since| shown_at > since + 1) {
                drop(journal);
                return self.violated("I3", &format!("{place:?} is acted on, and the last look has shown other bytes"));
            }
            if !journal.played.contains_key(&goal.parcel) {
                drop(journal);
                return self.violated("I2", &format!("{:?} is acted on, and nobody has approved it", goal.public.1));
            }
        }
        self.has_leave(goal, holder);
        let disk = self.disk.borrow();
        let Some(account) = disk.databases.get(&ObjectId::Account(goal.account.clone())) else { return };
        let lease = account.query("SELECT ends_at FROM leases WHERE holder = ?", &[holder.into()]);
        let is_lent = lease.is_ok_and(|rows| rows.iter().any(|row| row.integer(0).is_ok()));
        if !is_lent && !self.has_jumped() && !self.has_restored() {
            self.violated("Slots", &format!("{holder} sends without a slot"));
        }
    }

    /// I19: the record has said that the act may begin, and has written down that it did.
    fn has_leave(&self, goal: &Goal, holder: &str) {
        let parcel = &self.parcels[goal.parcel];
        let stopped_at = self.journal.borrow().stopped_at.get(&parcel.project).copied();
        if stopped_at.is_some_and(|at| self.exec.now() > at + STOPS_WITHIN) {
            self.violated("Stopped", &format!("{holder} is acted on while its project is stopped"));
        }
        let disk = self.disk.borrow();
        let Some(record) = disk.databases.get(&ObjectId::Project(parcel.project)) else { return };
        let rows = record.query(
            "SELECT 1 FROM targets WHERE version = ? AND key = ? AND distro = ?
             AND state IN ('approved', 'releasing') AND allowed_at IS NOT NULL",
            &[parcel.version.as_str().into(), parcel.key.as_str().into(), goal.distro.as_str().into()],
        );
        if rows.is_ok_and(|rows| rows.is_empty()) {
            self.violated("I19", &format!("{holder} is acted on, and the record has not let it"));
        }
    }

    // ---- what is deleted ----

    /// A deletion of a staged file is sent.
    fn deletes_file(&self, server: usize, request: &Request) {
        let Some(place) = place_of(request) else { return };
        let staging = (server, place);
        let goals: Vec<&Goal> = self.goals.iter().filter(|goal| goal.staging == staging).collect();
        if goals.is_empty() {
            return self.violated("I7", &format!("{:?} is deleted, which nobody has staged here", staging.1));
        }
        if !goals.iter().any(|goal| self.is_on_its_way_out(goal)) {
            return self.violated("I8", &format!("{:?} is deleted, and no record says why", staging.1));
        }
        // Whoever else has the same file loses it, too, unless it has lost it before.
        for goal in goals.into_iter().filter(|goal| self.is_on_its_way_out(goal) || self.rests(goal)) {
            self.may_go(goal);
        }
    }

    /// Whether the record says that staging has a package.
    fn rests(&self, goal: &Goal) -> bool {
        let disk = self.disk.borrow();
        let parcel = &self.parcels[goal.parcel];
        let rows = disk.databases.get(&ObjectId::Project(parcel.project)).map(|record| {
            record.query(
                "SELECT 1 FROM packages WHERE version = ? AND key = ? AND staged_at IS NOT NULL",
                &[parcel.version.as_str().into(), parcel.key.as_str().into()],
            )
        });
        rows.is_some_and(|rows| rows.is_ok_and(|rows| !rows.is_empty()))
    }

    /// A deletion of an image, a part of one, or a tag is sent.
    fn deletes_manifest(&self, number: usize, repository: &str, path: &str) {
        let name = path.rsplit_once("/manifests/").map(|(_, name)| name).unwrap_or_default();
        let registry = self.registry(number).expect("whoever asks has found it").borrow();
        let digest = name.parse().ok().or_else(|| registry.tag(repository, name).map(|tagged| tagged.digest));
        let Some(digest) = digest else { return };
        drop(registry);
        let is_of = |goal: &&Goal| {
            let is_here = goal.staging.0 == number && goal.staging.1.0 == repository;
            is_here && Made::of(&self.bytes_of(goal.parcel)).manifests.iter().any(|part| part.digest == digest)
        };
        let (going, staying): (Vec<&Goal>, Vec<&Goal>) =
            self.goals.iter().filter(is_of).partition(|goal| self.is_on_its_way_out(goal));
        if going.is_empty() {
            // A registry cannot be asked to delete a tag only if it leads to an image: so it is looked at right before.
            let journal = self.journal.borrow();
            let at = (number, repository.to_owned(), name.to_owned());
            let of = |map: &BTreeMap<(usize, String, String), u64>| map.get(&at).copied().unwrap_or(0);
            let is_new = of(&journal.images.tag_set_at) > of(&journal.images.tag_read_at);
            drop(journal);
            if is_new {
                return self.point("a tag was set between the look at it and its deletion");
            }
            return self.violated("I8", &format!("{repository} {name} is deleted, and no record says why"));
        }
        for goal in going {
            self.may_go(goal);
        }
        // What a kept image needs is judged when it is gone.
        if !staying.is_empty() {
            self.point("a part was to be deleted that another image has, too");
        }
    }

    /// Whether the record has written down that a deletion of a target's staged bytes has begun.
    fn is_on_its_way_out(&self, goal: &Goal) -> bool {
        let disk = self.disk.borrow();
        let Some(record) = disk.databases.get(&ObjectId::Project(self.parcels[goal.parcel].project)) else {
            return false;
        };
        let parcel = &self.parcels[goal.parcel];
        let rows = record.query(
            "SELECT 1 FROM removals WHERE version = ? AND key = ? AND digest = ?",
            &[parcel.version.as_str().into(), parcel.key.as_str().into(), self.digest_of(goal).to_string().into()],
        );
        rows.is_ok_and(|rows| !rows.is_empty())
    }

    /// I10: the bytes that the record has of a package whose hold was acknowledged. They are not given up for others.
    pub(crate) fn held_bytes(&self, parcel: usize) -> Option<String> {
        if !self.journal.borrow().held_for_sure.contains(&parcel) {
            return None;
        }
        let own = &self.parcels[parcel];
        let disk = self.disk.borrow();
        let record = disk.databases.get(&ObjectId::Project(own.project))?;
        let declared = "SELECT digest FROM packages WHERE version = ? AND key = ?";
        let rows = record.query(declared, &[own.version.as_str().into(), own.key.as_str().into()]).ok()?;
        rows.first()?.text_or_null(0).ok()?.map(str::to_owned)
    }

    /// I7 to I10: a target's staged bytes may be deleted now.
    fn may_go(&self, goal: &Goal) {
        self.looks_at_servers();
        let (name, now) = (self.holder(goal), self.exec.now());
        let parcel = &self.parcels[goal.parcel];
        let journal = self.journal.borrow();
        let why_not = if journal.held_for_sure.contains(&goal.parcel) {
            Some(("I10", "is deleted after its hold was acknowledged".to_owned()))
        } else if journal.transfers.contains(&name)
            || journal.state(goal.parcel, &goal.distro).is_some_and(|(state, ..)| state.is_moving())
        {
            Some(("I9", "is deleted while it is on its way".to_owned()))
        } else if journal.stopped_at.get(&parcel.project).is_some_and(|at| now > at + STOPS_WITHIN) {
            Some(("Stopped", "is deleted while its project is stopped".to_owned()))
        } else if journal.extended.get(&goal.parcel).is_some_and(|until| now < until - CLOCKS_APART) {
            Some(("I8", "is deleted while somebody wants it kept".to_owned()))
        } else if journal
            .deployed
            .get(&parcel.project)
            .is_some_and(|other| self.parcels[*other].version == parcel.version)
        {
            Some(("I8", "is deleted while it runs somewhere".to_owned()))
        } else {
            drop(journal);
            self.is_too_early(goal).or_else(|| self.has_not_ended(goal))
        };
        if let Some((invariant, why)) = why_not {
            self.violated(invariant, &format!("{name} {why}"));
        }
    }

    /// I20: in true time it was old enough, announced and marked for as long as it must be.
    fn is_too_early(&self, goal: &Goal) -> Option<(&'static str, String)> {
        let now = self.exec.now();
        let journal = self.journal.borrow();
        let since = |map: &BTreeMap<usize, i64>| map.get(&goal.parcel).copied();
        let staged_at = journal.staged_at.get(&goal.staging).copied().unwrap_or(BEGUN);
        let passed = [
            ("was staged", Some(staged_at), AGE),
            ("was announced", since(&journal.announced_at), NOTICE + WAIT),
            ("was marked", since(&journal.marked_at), WAIT),
        ];
        passed.into_iter().find_map(|(what, since, wait)| {
            let Some(since) = since else { return Some(("I8", format!("is deleted, and never {what}"))) };
            let early = since + wait - CLOCKS_APART - now;
            (early > 0).then(|| {
                (
                    "I20",
                    format!(
                        "{what} {} min ago, and is deleted {} min too early",
                        (now - since) / 60_000,
                        early / 60_000
                    ),
                )
            })
        })
    }

    /// I7 and I8: its release is complete and public, or was given up, or is abandoned where a route says so.
    fn has_not_ended(&self, goal: &Goal) -> Option<(&'static str, String)> {
        let release = self.of_its_release(goal.parcel);
        let journal = self.journal.borrow();
        if release.iter().any(|parcel| journal.changed.contains(parcel)) && self.is_closed_in_record(goal.parcel) {
            return None;
        }
        let own = self.goals.iter().filter(|other| release.contains(&other.parcel));
        let open = own.clone().find(|other| {
            let state = journal.state(other.parcel, &other.distro).map(|(state, ..)| state);
            !matches!(state, Some(TargetState::Released | TargetState::Skipped))
        });
        if let Some(open) = open {
            let is_abandoned = ABANDONED.contains(&goal.public.1.0.as_str());
            return (!is_abandoned).then(|| {
                ("I7", format!("is deleted, and {} of its release is still to be released", self.holder(open)))
            });
        }
        // What a look has shown since somebody took it away must be believed; what is taken away after it cannot be known.
        let public = &goal.public;
        let is_out = journal.state(goal.parcel, &goal.distro).is_some_and(|(state, ..)| state == TargetState::Released);
        let since = journal.unserved_since.get(public).copied();
        let looked = journal.asked_at.get(&(public.0 >= REGISTRIES_FROM, public.0, public.1.0.clone())).copied();
        let is_known = since.zip(looked).is_some_and(|(since, looked)| looked > since + 1) && !self.has_lied();
        let serves = self.here(public).is_some_and(|here| here.digest == self.digest_of(goal));
        (is_out && !serves && is_known).then(|| ("I8", "is deleted, and the public place no longer has it".to_owned()))
    }

    fn is_closed_in_record(&self, parcel: usize) -> bool {
        let parcel = &self.parcels[parcel];
        let disk = self.disk.borrow();
        let record = disk.databases.get(&ObjectId::Project(parcel.project));
        let rows = record.map(|record| {
            let closed = "SELECT 1 FROM releases WHERE version = ? AND closed_at IS NOT NULL";
            record.query(closed, &[parcel.version.as_str().into()])
        });
        rows.is_some_and(|rows| rows.is_ok_and(|rows| !rows.is_empty()))
    }

    /// A file is gone from staging because Slipway said so.
    pub(crate) fn file_deleted(&self, server: usize, place: &Place, digest: &Digest) {
        let staging = (server, place.clone());
        let own: Vec<&Goal> =
            self.goals.iter().filter(|goal| goal.staging == staging && self.digest_of(goal) == *digest).collect();
        let mut journal = self.journal.borrow_mut();
        if !own.is_empty() {
            let is_held = own.iter().any(|goal| journal.held_for_sure.contains(&goal.parcel));
            let now = self.boundaries();
            journal.wrong_since.insert(staging, now);
            drop(journal);
            if is_held && !self.has_jumped() {
                self.violated("I10", &format!("{place:?} is gone after its hold was acknowledged"));
            }
            if own.len() > 1 {
                self.point("a staged file of two packages was deleted");
            }
            return self.point("a staged package was deleted");
        }
        let since = journal.wrong_since.get(&staging).copied();
        let looked = journal.asked_at.get(&(true, server, place.0.clone())).copied();
        drop(journal);
        if since.zip(looked).is_none_or(|(since, looked)| looked > since + 1) && !self.has_lied() {
            self.violated("I7", &format!("{place:?} is deleted, and has other bytes than those that may be"));
        }
        self.point("bytes were swapped between the last look and the deletion");
    }

    /// The images of a staging repository that are whole.
    pub(crate) fn whole_images(&self, number: usize, repository: &str) -> Vec<usize> {
        let here =
            (0..).zip(&self.goals).filter(|(_, goal)| goal.staging.0 == number && goal.staging.1.0 == repository);
        here.filter(|(_, goal)| self.here(&goal.staging).is_some()).map(|(index, _)| index).collect()
    }

    /// Something of a staging repository of images is gone because Slipway said so: which images were whole before.
    pub(crate) fn image_deleted(&self, number: usize, repository: &str, whole: &[usize]) {
        let now_whole = self.whole_images(number, repository);
        for goal in whole.iter().filter(|index| !now_whole.contains(index)).filter_map(|index| self.goals.get(*index)) {
            let is_held = self.journal.borrow().held_for_sure.contains(&goal.parcel);
            if !self.is_on_its_way_out(goal) || is_held {
                self.violated("I7", &format!("{} lacks a part that was deleted with another image", self.holder(goal)));
                continue;
            }
            let mut journal = self.journal.borrow_mut();
            journal.wrong_since.insert(goal.staging.clone(), self.boundaries());
            drop(journal);
            self.point("a staged image was deleted");
        }
    }

    /// A run of retention begins.
    pub(crate) fn retention_runs(&self, project: u64) {
        let disk = self.disk.borrow();
        let record = disk.databases.get(&ObjectId::Project(project));
        let newest = record.and_then(|record| record.query("SELECT MAX(sequence) FROM audit", &[]).ok());
        let newest = newest.and_then(|rows| rows.first().and_then(|row| row.natural(0).ok())).unwrap_or(0);
        self.journal.borrow_mut().runs.insert(project, (newest, self.boundaries()));
    }

    /// What the record says of deletions: how far each is, and how many have begun in one run.
    fn reads_retention(&self, project: u64, backend: &Backend) {
        let find = |version: &str, key: &str| {
            self.parcels.iter().position(|parcel| {
                parcel.project == project && parcel.version.as_str() == version && parcel.key.as_str() == key
            })
        };
        let now = self.exec.now();
        let rows =
            backend.query("SELECT version, key, stage FROM retention ORDER BY version, key", &[]).unwrap_or_default();
        let mut seen = BTreeMap::new();
        for row in &rows {
            let (Ok(version), Ok(key), Ok(stage)) = (row.text(0), row.text(1), row.text(2)) else { continue };
            seen.extend(find(version, key).map(|parcel| (parcel, stage == "marked")));
        }
        let removals = backend
            .query("SELECT version, key FROM removals WHERE version IS NOT NULL ORDER BY id", &[])
            .unwrap_or_default();
        let on_their_way: Vec<usize> =
            removals.iter().filter_map(|row| find(row.text(0).ok()?, row.text(1).ok()?)).collect();
        let mut points = Vec::new();
        let mut journal = self.journal.borrow_mut();
        for parcel in (0..self.parcels.len()).filter(|parcel| self.parcels[*parcel].project == project) {
            let is_going = on_their_way.contains(&parcel);
            match seen.get(&parcel) {
                Some(is_marked) => {
                    if let Entry::Vacant(announced_at) = journal.announced_at.entry(parcel) {
                        announced_at.insert(now);
                        points.push("a deletion was announced");
                    }
                    if !is_marked {
                        journal.marked_at.remove(&parcel);
                    } else if let Entry::Vacant(marked_at) = journal.marked_at.entry(parcel) {
                        marked_at.insert(now);
                        points.push("a deletion was marked");
                    }
                }
                None if is_going => {}
                None => {
                    if journal.announced_at.remove(&parcel).is_some() {
                        points.push("a deletion was over, or taken back");
                    }
                    journal.marked_at.remove(&parcel);
                }
            }
        }
        let run = journal.runs.get(&project).copied();
        drop(journal);
        for point in points {
            self.point(point);
        }
        let Some((newest, began_at)) = run else { return };
        // The numbers of the deletions themselves are given again once they are over, and those of the audit never.
        let rows = backend.query(
            "SELECT DISTINCT subject FROM audit WHERE action = 'deleting' AND sequence > ?",
            &[newest.cast_signed().into()],
        );
        let deleted: Vec<usize> = rows
            .unwrap_or_default()
            .iter()
            .filter_map(|row| row.text(0).ok()?.split_once('/').and_then(|(version, key)| find(version, key)))
            .collect();
        if deleted.len() > FILES_PER_RUN {
            self.violated(
                "Cap",
                &format!("one run deletes {} packages, and {FILES_PER_RUN} are configured", deleted.len()),
            );
        }
        for parcel in deleted.into_iter().filter(|parcel| on_their_way.contains(parcel)) {
            self.was_there(parcel, began_at);
        }
    }

    /// I7: what a run deletes was in staging under one of its names, at least, when the run began. All its looks came after
    /// that, so they have shown whatever was gone before.
    fn was_there(&self, parcel: usize, began: u64) {
        let was_gone = |goal: &Goal| {
            let since = self.journal.borrow().wrong_since.get(&goal.staging).copied();
            since.is_some_and(|since| since < began) && self.here(&goal.staging).is_none()
        };
        let mut own =
            self.goals.iter().filter(|goal| goal.parcel == parcel && goal.staging.0 < REGISTRIES_FROM).peekable();
        if own.peek().is_some() && own.all(was_gone) && !self.has_lied() {
            let name = &self.parcels[parcel].key;
            self.violated("I7", &format!("{name} is to be deleted, and staging had nothing of it before the run"));
        }
    }

    // ---- what is told ----

    /// Whoever listens has a notice. An event is told as often as it takes, and always under its own id.
    pub(crate) fn hears(&self, request: &Request) {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
        let token = SigningToken::parse(&Token::new(LISTENERS_TOKEN)).expect("a signing token");
        let signed = Signed { id, timestamp, signature };
        if token.verify(&signed, request.body(), self.true_or_not().unix_seconds()).is_err() && !self.has_jumped() {
            self.violated("Told", &format!("the notice `{id}` is not signed as it must be"));
        }
        let digest = Digest::of(request.body());
        let before = self.journal.borrow_mut().told.insert(id.to_owned(), digest);
        match before {
            Some(before) if before == digest => self.point("an event was told again"),
            // A record that was restored counts its events from where it went back to.
            Some(_) if self.has_restored() => self.point("an event was told under the id of one that was forgotten"),
            Some(_) => self.violated("Told", &format!("two events are told under the id `{id}`")),
            None if !self.is_its_own(id, request.body()) => {
                self.violated("Told", &format!("an event is told under the id of none or of another one, `{id}`"));
            }
            None => {}
        }
    }

    /// Whether an event is the one that the record has under an id. Two can be alike in all that is told of them: targets of
    /// one package that stop at one moment, each under an approval of its own.
    fn is_its_own(&self, id: &str, body: &[u8]) -> bool {
        let numbers = id.strip_prefix("slipway-").and_then(|numbers| numbers.split_once('-'));
        let number = |text: &str| text.parse::<u64>().ok();
        let Some((project, id)) = numbers.and_then(|(project, id)| number(project).zip(number(id))) else {
            return false;
        };
        let disk = self.disk.borrow();
        let Some(record) = disk.databases.get(&ObjectId::Project(project)) else { return false };
        let rows = record.query("SELECT kind, version, key, at FROM occurrences WHERE id = ?", &[id.into()]);
        let rows = rows.unwrap_or_default();
        let event: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let said = |pointer: &str| event.pointer(pointer).and_then(serde_json::Value::as_str);
        rows.iter().any(|row| {
            let (kind, at) = (row.text(0).unwrap_or_default(), Timestamp(row.integer(3).unwrap_or_default()));
            said("/type") == Some(format!("release.{kind}").as_str())
                && said("/data/version") == row.text(1).ok()
                && said("/data/key") == row.text_or_null(2).ok().flatten()
                && said("/timestamp") == Some(at.to_string().as_str())
        })
    }

    /// Whether everything that happened was told, or will never be.
    pub(crate) fn has_told(backend: &Backend) -> bool {
        let open = backend.query(
            "SELECT 1 FROM occurrences WHERE is_spread = 0 UNION ALL SELECT 1 FROM deliveries WHERE due_at IS NOT NULL LIMIT 1",
            &[],
        );
        open.is_ok_and(|rows| rows.is_empty())
    }

    /// Each event was told at least once.
    fn check_told(&self, project: u64, backend: &Backend) {
        let rows = backend.query("SELECT id, name FROM occurrences ORDER BY id", &[]).unwrap_or_default();
        for row in rows {
            let (id, name) = (row.natural(0).unwrap_or(0), row.text(1).unwrap_or_default().to_owned());
            if !self.journal.borrow().told.contains_key(&format!("slipway-{project}-{id}")) {
                self.violated("Told", &format!("`{name}` has happened, and whoever listens was not told"));
            }
        }
    }

    // ---- lost webhooks ----

    /// Whether a package's job says nothing by itself and no webhook tells of it.
    pub(crate) fn is_silent(&self, parcel: usize) -> bool {
        self.parcels.get(parcel).is_some_and(|parcel| !parcel.asks && parcel.webhooks.is_empty())
    }

    /// Whether a silent job has been found: something was approved or refused because of it.
    pub(crate) fn is_found(&self, parcel: usize, job: u64) -> bool {
        let parcel = &self.parcels[parcel];
        let disk = self.disk.borrow();
        let Some(record) = disk.databases.get(&ObjectId::Project(parcel.project)) else { return false };
        let rows = record.query(
            "SELECT 1 FROM approvals WHERE job_id = ?1 UNION ALL SELECT 1 FROM refusals WHERE job_id = ?1 LIMIT 1",
            &[job.into()],
        );
        rows.is_ok_and(|rows| !rows.is_empty())
    }

    // ---- holds ----

    pub(crate) fn is_held(&self, parcel: usize) -> bool {
        self.journal.borrow().is_held(parcel)
    }

    pub(crate) fn holds(&self, parcel: usize) {
        self.journal.borrow_mut().wants_held(parcel);
    }

    /// The packages of the release that a package is of.
    pub(crate) fn of_its_release(&self, parcel: usize) -> Vec<usize> {
        let own = &self.parcels[parcel];
        let is_own = |other: &usize| {
            let other = &self.parcels[*other];
            (other.project, &other.version) == (own.project, &own.version)
        };
        (0..self.parcels.len()).filter(is_own).collect()
    }

    /// Whether a build asks for something that its release, which was given up, no longer gets.
    pub(crate) fn is_over(&self, deed: Deed) -> bool {
        matches!(deed, Deed::Replace(parcel) | Deed::Restage(parcel) if self.journal.borrow().is_closed(parcel))
    }

    /// Somebody is about to ask for a change.
    pub(crate) fn wants(&self, deed: Deed) {
        let mut journal = self.journal.borrow_mut();
        match deed {
            Deed::Hold(parcel) => journal.wants_held(parcel),
            Deed::Lift(parcel) => journal.wants_lifted(parcel),
            Deed::Close(parcel) => {
                for parcel in self.of_its_release(parcel) {
                    journal.wants_changed(parcel);
                }
            }
            Deed::Replace(parcel) | Deed::Restage(parcel) => journal.wants_changed(parcel),
            Deed::Deployed(parcel) => drop(journal.deployed.remove(&self.parcels[parcel].project)),
            Deed::Start(parcel) => drop(journal.stopped_at.remove(&self.parcels[parcel].project)),
            Deed::Extend(_) | Deed::Stop(_) | Deed::Backup | Deed::Restore | Deed::RestoreOne(_) => {}
        }
    }

    /// Somebody was told whether a change is made.
    pub(crate) fn is_told(&self, deed: Deed, is_done: bool) {
        let release = deed.parcel().map(|parcel| self.of_its_release(parcel)).unwrap_or_default();
        let is_going = self.goals.iter().any(|goal| release.contains(&goal.parcel) && self.is_on_its_way_out(goal));
        let mut journal = self.journal.borrow_mut();
        match deed {
            _ if !is_done => {}
            Deed::Hold(parcel) => journal.is_held_now(parcel),
            Deed::Lift(parcel) => journal.is_lifted(parcel),
            Deed::Close(parcel) => {
                for parcel in self.of_its_release(parcel) {
                    journal.is_closed_now(parcel);
                }
            }
            // By a clock that is wrong, then is another moment.
            Deed::Extend(parcel) if !self.has_jumped() => {
                let until = self.exec.now() + KEPT_FOR.as_millis() as i64;
                journal.extended.insert(parcel, until);
            }
            // Of what is on its way out nobody can say any more that it stays.
            Deed::Deployed(_) if is_going => {}
            Deed::Deployed(parcel) => drop(journal.deployed.insert(self.parcels[parcel].project, parcel)),
            Deed::Stop(parcel) => drop(journal.stopped_at.insert(self.parcels[parcel].project, self.exec.now())),
            _ => {}
        }
    }

    /// A transfer begins. Its two servers, when it goes where it may.
    pub(crate) fn relay_begins(&self, transfer: &Transfer, holder: &str) -> Option<(usize, usize)> {
        use http::header::AUTHORIZATION;
        let (from, to) = (transfer.source.uri().to_string(), transfer.upload.uri().to_string());
        let source = self.servers.iter().position(|server| server.borrow().storage.serves(&from));
        let (Some(source), Some(destination)) = (source, self.server_of(&to)) else {
            self.violated("I14", &format!("bytes go from {from} to {to}"));
            return None;
        };
        if transfer.source.headers().contains_key(AUTHORIZATION) {
            self.violated("I14", "storage is sent a credential");
        }
        let credential = transfer.upload.headers().get(AUTHORIZATION);
        let token = self.servers[destination].borrow().tokens.first().and_then(|token| token.basic().ok());
        if credential != token.as_ref() {
            self.violated("I14", &format!("the credential of the push to {to} is not the public place's"));
        }
        if let Some(goal) = self.goals.iter().find(|goal| self.holder(goal) == holder) {
            if goal.how != How::Copy {
                self.violated("I7", &format!("{holder} moves, and is copied"));
            }
            self.begins_to_act(goal, holder);
        }
        self.journal.borrow_mut().transfers.insert(holder.to_owned());
        Some((source, destination))
    }

    /// The bytes of a blob begin to flow. The numbers of its two registries, when it goes where it may.
    pub(crate) fn blob_begins(&self, transfer: &Transfer, holder: &str) -> Option<(usize, usize)> {
        use http::header::AUTHORIZATION;
        let (from, to) = (transfer.source.uri().to_string(), transfer.upload.uri().to_string());
        let at = |url: &str, with_storage: bool| {
            let found = self.registries.iter().position(|registry| {
                let registry = registry.borrow();
                registry.base.serves(url) || with_storage && registry.storage.serves(url)
            });
            found.map(|found| found + REGISTRIES_FROM)
        };
        let (Some(source), Some(destination)) = (at(&from, true), at(&to, false)) else {
            self.violated("I14", &format!("bytes go from {from} to {to}"));
            return None;
        };
        let is_own = |number: usize, credential| {
            self.registry(number).is_some_and(|registry| registry.borrow().knows(credential))
        };
        let shown = transfer.source.headers().get(AUTHORIZATION);
        let is_storage = self.registry(source).is_some_and(|registry| registry.borrow().storage.serves(&from));
        if shown.is_some() && (is_storage || !is_own(source, shown)) {
            self.violated("I14", &format!("{from} is shown a credential that is not its own"));
        }
        let shown = transfer.upload.headers().get(AUTHORIZATION);
        if shown.is_some() && !is_own(destination, shown) {
            self.violated("I14", &format!("the credential of the upload to {to} is not the registry's own"));
        }
        let repository = crate::registry::repository_of(transfer.upload.uri().path()).to_owned();
        self.may_write(destination, &repository, Some(holder));
        self.journal.borrow_mut().transfers.insert(holder.to_owned());
        Some((source, destination))
    }

    /// A registry has stored a part of an image that Slipway sent.
    pub(crate) fn part_written(&self, number: usize, repository: &str, is_late: bool) {
        if !is_late {
            let mut journal = self.journal.borrow_mut();
            let now = journal.images.next();
            journal.images.part_written_at.insert((number, repository.to_owned()), now);
        }
        self.check_tags();
    }

    /// I6: whoever is led by a tag that Slipway has set gets all of what it leads to.
    pub(crate) fn check_tags(&self) {
        // Of a registry that takes every manifest, and says twice of a blob that it is there, nobody could know better: once where it was
        // sent and once where it was looked for, or twice where it was looked for.
        let lies = |(_, kind, fault): &&(u64, Kind, Fault)| {
            matches!(kind, Kind::BlobHead | Kind::BlobSend) && matches!(fault, Fault::Page | Fault::Empty)
        };
        let is_hidden = self.happened.borrow().iter().filter(lies).count() > 1;
        for registry in &self.registries {
            if is_hidden && !registry.borrow().manner.checks_parts {
                continue;
            }
            if let Some(broken) = registry.borrow().broken_tag() {
                self.violated("I6", &broken);
            }
        }
    }

    /// A registry has set a tag that Slipway sent. `before`: what it led to.
    pub(crate) fn tag_written(
        &self,
        number: usize,
        repository: &str,
        tag: &str,
        before: Option<Digest>,
        is_late: bool,
    ) {
        self.check_tags();
        let tagged = self.registry(number).and_then(|registry| registry.borrow().tag(repository, tag).cloned());
        let Some(digest) = tagged.map(|tagged| tagged.digest) else { return };
        let name = format!(":{tag}");
        let is_goal =
            |goal: &&Goal| goal.public.0 == number && goal.public.1.0 == repository && goal.public.1.1 == name;
        let at = (number, repository.to_owned(), tag.to_owned());
        let Some(goal) = self.goals.iter().find(is_goal) else {
            return self.floats(number, repository, tag, &digest, is_late);
        };
        let place = &goal.public.1;
        let mut journal = self.journal.borrow_mut();
        if !journal.played.contains_key(&goal.parcel) {
            drop(journal);
            return self.violated("I2", &format!("{place:?} is written before anybody has approved it"));
        }
        let order = &mut journal.images;
        if before.is_some_and(|before| before != digest) {
            // Nobody can set a tag only if it is not there. So it is looked at when all else is done, and what somebody sets
            // between that look and the writing is lost.
            let of = |map: &BTreeMap<(usize, String, String), u64>| map.get(&at).copied().unwrap_or(0);
            let parts = order.part_written_at.get(&(number, repository.to_owned())).copied().unwrap_or(0);
            let (looked, set) = (of(&order.tag_looked_at), of(&order.tag_set_at));
            if is_late || set > looked && looked > parts {
                drop(journal);
                self.point("a tag was set between the look at it and its writing");
            } else if self.denials() == 0 {
                drop(journal);
                return self.violated("I5", &format!("{place:?} led to another image, and was overwritten"));
            }
            journal = self.journal.borrow_mut();
        }
        let now = journal.images.next();
        journal.images.tag_set_at.insert(at, now);
        journal.public_ever.entry(place.clone()).or_default().insert(digest);
        let deleted = journal.deleted.get(place).copied().unwrap_or(0);
        let written = journal.written.entry(place.clone()).or_default();
        *written += u32::from(before != Some(digest));
        let twice = *written > 1 + deleted;
        drop(journal);
        if digest != goal.digest {
            return self.violated("I1", &format!("{place:?} leads to an image that nobody approved"));
        }
        if twice {
            self.violated("I4", &format!("{place:?} was published twice"));
        }
    }

    /// A tag was set that is no target's: one that floats, by a rule, and forward.
    fn floats(&self, number: usize, repository: &str, tag: &str, digest: &Digest, is_late: bool) {
        let site = Site { place: "images".to_owned(), repository: repository.to_owned() };
        let rules = self.config.image_rules(&site).floating;
        let own = self
            .goals
            .iter()
            .filter(|goal| goal.public.0 == number && goal.public.1.0 == repository && goal.digest == *digest);
        let own = own.filter_map(|goal| tag_of(&goal.distro)?.parse::<Tag>().ok());
        let moved = own.flat_map(|own| {
            let rules = rules.iter().filter_map(|rule| rule.rule(&own)).filter(|rule| rule.tag.as_str() == tag);
            rules.map(|rule| (rule, number_of_tag(own.as_str()))).collect::<Vec<_>>()
        });
        let Some((rule, version)) = moved.max_by(|(_, one), (_, other)| one.cmp(other)) else {
            return self.violated("I2", &format!("{repository}:{tag} is written, which nobody has approved"));
        };
        self.point("a floating tag was moved");
        if is_late || self.hides_tags() {
            return;
        }
        let Some(registry) = self.registry(number) else { return };
        let registry = registry.borrow();
        let journal = self.journal.borrow();
        let listed = journal.images.tags_listed_at.get(&(number, repository.to_owned())).copied().unwrap_or(0);
        let is_known = |other: &str| {
            let at = (number, repository.to_owned(), other.to_owned());
            journal.images.tag_set_at.get(&at).is_none_or(|set| *set < listed)
        };
        let newer = registry.tags_of(repository).into_keys().find(|other| {
            let is_final = other.parse().is_ok_and(|other| !rules.iter().any(|rule| rule.could_be(&other)));
            let fits = |other: &Numbered| {
                other.numbers().starts_with(&rule.series) && (rule.candidates || !other.is_candidate())
            };
            is_final
                && is_known(other)
                && number_of_tag(other).is_some_and(|other| fits(&other) && Some(other) > version)
        });
        if let Some(newer) = newer.map(str::to_owned) {
            drop(journal);
            self.violated(
                "Floats",
                &format!("{repository}:{tag} leads to an older image than {newer}, which is public"),
            );
        }
    }

    /// At the end each floating tag leads to the newest image of its series, where nobody else has set a tag.
    fn check_floating(&self) {
        let is_late = self
            .happened
            .borrow()
            .iter()
            .any(|(_, kind, fault)| *kind == Kind::TagPut && matches!(fault, Fault::KilledSent | Fault::DoneLate));
        if is_late || self.hides_tags() {
            return;
        }
        for goal in self.goals.iter().filter(|goal| goal.public.0 >= REGISTRIES_FROM) {
            let (number, repository) = (goal.public.0, &goal.public.1.0);
            let is_out = self.here(&goal.public).is_some_and(|here| here.by_slipway);
            let meddled = self.journal.borrow().meddled.iter().any(|(other, ..)| other == repository);
            let (Some(registry), Some(own)) = (self.registry(number), tag_of(&goal.distro)) else { continue };
            // Of a release that was given up nothing more is finished.
            let is_given_up = (0..self.parcels.len()).any(|parcel| self.journal.borrow().is_closed(parcel));
            let Some(own) = own.parse::<Tag>().ok().filter(|_| is_out && !meddled && !is_given_up) else { continue };
            let registry = registry.borrow();
            let site = Site { place: "images".to_owned(), repository: repository.clone() };
            for rule in self.config.image_rules(&site).floating.iter().filter_map(|rule| rule.rule(&own)) {
                let tags = registry.tags_of(repository);
                let finals = tags.iter().filter(|(tag, _)| {
                    **tag == NEWEST || self.goals.iter().any(|goal| tag_of(&goal.distro) == Some(**tag))
                });
                let finals = finals.filter_map(|(tag, tagged)| Some((number_of_tag(tag)?, tagged.digest)));
                let finals = finals.filter(|(version, _)| {
                    version.numbers().starts_with(&rule.series) && (rule.candidates || !version.is_candidate())
                });
                let newest = finals.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, digest)| digest);
                let floats = tags.get(rule.tag.as_str()).map(|tagged| tagged.digest);
                if newest.is_some() && floats != newest {
                    self.violated("Floats", &format!("{repository}:{} does not lead to the newest image", rule.tag));
                }
            }
        }
    }

    pub(crate) fn relay_ends(&self, holder: &str) {
        self.journal.borrow_mut().transfers.remove(holder);
    }

    /// A package server has stored something that Slipway sent.
    pub(crate) fn written(&self, server: usize, place: &Place, was_there: bool) {
        let file = self.servers[server].borrow().files.get(place).cloned();
        let Some(file) = file else { return };
        let renames = self.servers[server].borrow().renames;
        let Some(goal) = self.goals.iter().find(|goal| goal.public == (server, place.clone())) else {
            if !renames {
                self.violated("I2", &format!("{place:?} is written, which nobody has approved"));
            }
            return;
        };
        if was_there {
            self.violated("I5", &format!("{place:?} was public, and was replaced"));
        }
        let mut journal = self.journal.borrow_mut();
        if !journal.played.contains_key(&goal.parcel) {
            drop(journal);
            return self.violated("I2", &format!("{place:?} is written before anybody has approved it"));
        }
        journal.public_ever.entry(place.clone()).or_default().insert(file.digest);
        let deleted = journal.deleted.get(place).copied().unwrap_or(0);
        let written = journal.written.entry(place.clone()).or_default();
        *written += 1;
        let twice = *written > 1 + deleted;
        // What was approved may have been replaced since, in a record that was restored.
        let was_approved = journal.approved.get(&goal.parcel).is_some_and(|all| all.contains(&file.digest));
        if file.digest != goal.digest && !was_approved {
            if goal.how == How::Move {
                journal.wrong_moves.insert(place.clone());
                drop(journal);
                return self.point("a move brought other bytes");
            }
            drop(journal);
            return self.violated("I1", &format!("{place:?} is public with bytes that nobody approved"));
        }
        drop(journal);
        if twice {
            self.violated("I4", &format!("{place:?} was published twice"));
        }
    }

    // ---- slots ----

    /// An account has nothing for somebody who wants to send: it stands by, or asks again.
    pub(crate) fn waits_for_a_slot(&self, place: &str, ask: &AskSlot) {
        let waiter = (ask.maturity, self.exec.now(), None, ask.name.clone(), place.to_owned());
        self.journal.borrow_mut().waiters.insert((ask.package.clone(), ask.distro.clone()), waiter);
    }

    /// An account has answered somebody who wants to send.
    pub(crate) fn slot_answered(&self, place: &str, ask: &AskSlot, slot: &Slot) {
        let me = (ask.package.clone(), ask.distro.clone());
        let now = self.exec.now();
        let mut journal = self.journal.borrow_mut();
        match slot {
            Slot::Lent | Slot::LentLate => {
                journal.waiters.remove(&me);
                journal.began.remove(&format!("{} {}", ask.package, ask.distro));
                let disk = self.disk.borrow();
                let Some(account) = disk.databases.get(&ObjectId::Account(place.to_owned())) else { return };
                let holder = format!("{} {}", ask.package, ask.distro);
                let rows = account.query("SELECT name FROM leases WHERE holder <> ?", &[holder.into()]);
                let names: Vec<String> = rows.map_or_else(
                    |_| Vec::new(),
                    |rows| rows.iter().filter_map(|row| row.text(0).ok().map(str::to_owned)).collect(),
                );
                if names.contains(&ask.name) && !self.has_jumped() && !self.has_restored() {
                    drop(journal);
                    return self.violated("Slots", &format!("two send `{}` at a time", ask.name));
                }
                let free = u64::from(ask.transfers).saturating_sub(names.len() as u64);
                let better = journal.waiters.values().filter(|(rank, asked_at, called, name, at)| {
                    at == place
                        && *rank < ask.maturity
                        && now - asked_at < WAITS
                        && called.is_none_or(|called| now - called < COMES)
                        && !names.contains(name)
                });
                let better = better.count() as u64;
                drop(journal);
                if better > 0 && ask.maturity != Maturity::Final {
                    self.point("a lesser version was served while a better one waits, with room for both");
                }
                if better >= free.max(1) && !self.has_jumped() && !self.has_restored() {
                    self.violated("Order", &format!("{me:?} goes before {better} that are nearer to everybody"));
                }
            }
            Slot::Wait { .. } => {
                drop(journal);
                self.waits_for_a_slot(place, ask);
                self.point("a package waited for its turn");
            }
            Slot::CutOff { .. } => {
                drop(journal);
                self.point("an account was cut off");
            }
        }
    }

    /// An account has taken a slot back, and has called those who come next: those who stand by, too, and whichever of
    /// the calls will be heard.
    pub(crate) fn slot_ended(&self, place: &str) {
        let disk = self.disk.borrow();
        let Some(account) = disk.databases.get(&ObjectId::Account(place.to_owned())) else { return };
        let called = "SELECT package, distro FROM waiters WHERE called_at = ?";
        let mut journal = self.journal.borrow_mut();
        for row in account.query(called, &[self.clock().0.into()]).unwrap_or_default() {
            let Ok(who) = row.text(0).and_then(|package| Ok((package.to_owned(), row.text(1)?.to_owned()))) else {
                continue;
            };
            if let Some(waiter) = journal.waiters.get_mut(&who) {
                waiter.2 = Some(self.exec.now());
            }
        }
    }

    // ---- commits ----

    pub(crate) fn committed(&self, kind: Kind, backend: &Rc<Backend>) {
        match kind {
            Kind::RecordCommit => self.check_record(backend),
            Kind::AccountCommit => self.check_account(backend),
            _ => {}
        }
        self.counts_commit(kind);
        if self.kill_commits() {
            self.die();
        }
    }

    fn check_account(&self, backend: &Backend) {
        let rows = backend.query("SELECT COUNT(*) FROM leases WHERE ends_at > ?", &[self.true_or_not().0.into()]);
        let lent = rows.ok().and_then(|rows| rows.first().and_then(|row| row.natural(0).ok())).unwrap_or(0);
        let most = self.config.places.values().map(|place| u64::from(place.transfers)).max().unwrap_or(0);
        let limit = self.config.places.get("public").map_or(most, |place| u64::from(place.transfers));
        if lent > limit && !self.has_jumped() && !self.has_restored() {
            self.violated("Slots", &format!("{lent} slots are lent, and {limit} are configured"));
        }
    }

    fn check_record(&self, backend: &Backend) {
        let Some(project) = project_of(backend) else { return };
        let sum = backend.query("SELECT SUM(sequence), (SELECT MAX(sequence) FROM audit) FROM releases", &[]);
        let Ok(sum) = sum else { return };
        let numbers = sum.first().map(|row| (row.integer(0).unwrap_or(0), row.integer(1).unwrap_or(0)));
        let Some((sequence, last_row)) = numbers else { return };
        let before = self.journal.borrow_mut().sequences.insert(project, sequence + (last_row << 20));
        if before == Some(sequence + (last_row << 20)) {
            return;
        }
        if self.keeps {
            self.reads_declared(project, backend);
            self.reads_retention(project, backend);
        }
        self.check_audit(project, backend);
        self.check_states(project, backend);
    }

    /// What is declared of each package.
    fn reads_declared(&self, project: u64, backend: &Backend) {
        let rows = backend.query("SELECT version, key, digest FROM packages WHERE digest IS NOT NULL", &[]);
        for row in rows.unwrap_or_default() {
            let (Ok(version), Ok(key), Ok(digest)) = (row.text(0), row.text(1), row.text(2)) else { continue };
            let is_own = |parcel: &&Parcel| {
                parcel.project == project && parcel.version.as_str() == version && parcel.key.as_str() == key
            };
            let Some(parcel) = self.parcels.iter().position(|parcel| is_own(&parcel)) else { continue };
            let Ok(digest) = digest.parse() else { continue };
            let parcel_of = &self.parcels[parcel];
            let known = [&parcel_of.bytes, &rebuilt(&parcel_of.bytes)].map(|bytes| parcel_of.digest_of(bytes));
            if !known.contains(&digest) {
                self.violated("I3", &format!("{key} of {version} is declared as {digest}, which nobody has built"));
            }
            self.declared.borrow_mut().insert(parcel, digest);
        }
    }

    /// I15: the chain holds, row by row, as it grows.
    fn check_audit(&self, project: u64, backend: &Backend) {
        let (mut last, mut hash) = self.journal.borrow().audit.get(&project).copied().unwrap_or((0, GENESIS));
        let Ok(rows) = entries(&backend, last + 1, 1000) else { return };
        for row in rows {
            let is_next = row.sequence == last + 1 && row.previous == hash;
            if !is_next || row.hash != Digest::of(&canonical(row.sequence, &row.event, &row.previous)) {
                self.violated("I15", &format!("row {} of the audit does not continue the chain", row.sequence));
            }
            (last, hash) = (row.sequence, row.hash);
        }
        self.journal.borrow_mut().audit.insert(project, (last, hash));
    }

    /// I17, and that what is said of a target is so.
    fn check_states(&self, project: u64, backend: &Backend) {
        let rows = backend.query(
            "SELECT version, key, distro, state, approval, problem, outside, step FROM targets ORDER BY version, key, distro",
            &[],
        );
        let Ok(rows) = rows else { return };
        for row in &rows {
            let (Ok(version), Ok(key), Ok(distro), Ok(state)) = (row.text(0), row.text(1), row.text(2), row.text(3))
            else {
                continue;
            };
            let goal = self.goals.iter().find(|goal| {
                let parcel = &self.parcels[goal.parcel];
                parcel.project == project
                    && parcel.version.as_str() == version
                    && parcel.key.as_str() == key
                    && goal.distro == distro
            });
            let Some(goal) = goal else { continue };
            let Ok(state) = state.parse::<TargetState>() else {
                self.violated("I17", &format!("`{state}` is no state"));
                continue;
            };
            let approval = match row.0.get(4) {
                Some(Value::Integer(id)) => u64::try_from(*id).ok(),
                _ => None,
            };
            let problem: Option<serde_json::Value> =
                row.text_or_null(5).ok().flatten().and_then(|text| serde_json::from_str(text).ok());
            let said = |name: &str| problem.as_ref().and_then(|problem| problem.get(name)?.as_str().map(str::to_owned));
            let now = (state, approval, said("code"));
            let place = (goal.parcel, distro.to_owned());
            let before = self.journal.borrow_mut().states.insert(place.clone(), now.clone());
            if before.as_ref() == Some(&now) {
                continue;
            }
            if state == TargetState::Approved {
                let digest = self.digest_of(goal);
                self.journal.borrow_mut().approved.entry(goal.parcel).or_default().insert(digest);
            }
            if state == TargetState::Missing {
                self.journal.borrow_mut().missing_since.insert(place.clone(), self.exec.now());
            }
            self.is_so(goal, &now, said("public").as_deref(), row.integer(6).unwrap_or(0) != 0);
            if let Some(code) = now.2 {
                self.reached(&code);
                self.journal.borrow_mut().codes.entry(place).or_default().insert(code);
            }
            if row.text_or_null(7).ok().flatten() == Some("\"carry\"") && self.rng.borrow_mut().chance(7000) {
                let carry = Happening::Carry { parcel: goal.parcel, distro: distro.to_owned() };
                self.exec.after(5000, carry);
            }
            let before = before.map(|(state, approval, _)| (state, approval));
            let is_taken_back = self.is_held(goal.parcel) && matches!(state, TargetState::Staged | TargetState::Failed);
            let is_changed = self.is_changed(goal.parcel, before.map(|(state, _)| state), state);
            if !is_legal(before, (state, approval)) && !is_taken_back && !is_changed {
                let (name, from) = (self.holder(goal), before.map(|(state, _)| state));
                self.violated("I17", &format!("{name} goes from {from:?} to {state:?}"));
            }
        }
    }

    /// Whether a target has gone from one state to another because somebody wanted it so: other bytes, or its release's end.
    fn is_changed(&self, parcel: usize, from: Option<TargetState>, to: TargetState) -> bool {
        use TargetState as S;
        // Whatever lapses in a world of days, or was held for a moment, is as before.
        let lapsed = self.keeps && matches!((from, to), (Some(S::Approved | S::Releasing), S::Staged | S::Failed));
        let is_wanted = self.journal.borrow().changed.contains(&parcel);
        let ended = matches!(to, S::Skipped) && from.is_none_or(|from| !matches!(from, S::Released | S::Withdrawn));
        let replaced = matches!(to, S::Expected) && from.is_none_or(|from| !matches!(from, S::Released | S::Skipped));
        // What is deleted before its release has expired, and is staged again when it is still there or comes once more.
        let expired = matches!(
            (from, to),
            (None | Some(S::Staged | S::Failed | S::Conflict | S::Missing), S::Expired) | (Some(S::Expired), S::Staged)
        );
        lapsed || self.keeps && expired || is_wanted && (ended || replaced)
    }

    fn reached(&self, code: &str) {
        let point = match code {
            "moved-other-bytes" => "a move of other bytes was named",
            "lost-in-move" => "a file lost in a move was named",
            "conflict" => "a conflict was named",
            "missing" => "a missing file was named",
            "staged-bytes-changed" => "changed staged bytes were named",
            "account-cut-off" => "a cut-off account was shown",
            "unreachable" => "a server was given up",
            "not-served" => "an index was given up",
            "too-slow" => "a slow copy waited for a job",
            "nobody-carries" => "a slow copy was carried by nobody",
            "no-access" => "a token was refused",
            _ => return,
        };
        self.point(point);
    }

    fn is_so(&self, goal: &Goal, now: &Said, public: Option<&str>, outside: bool) {
        self.looks_at_servers();
        let (state, _, code) = now;
        let place = &goal.public.1;
        let name = self.holder(goal);
        let here = self.here(&goal.public).map(|here| (here.digest, here.by_slipway));
        let (written, deleted, ever) = {
            let journal = self.journal.borrow();
            let of = |map: &BTreeMap<Place, u32>| map.get(place).copied().unwrap_or(0);
            (of(&journal.written), of(&journal.deleted), journal.public_ever.get(place).cloned().unwrap_or_default())
        };
        if *state == TargetState::Released {
            if !self.has_served(&goal.public, &self.digest_of(goal)) {
                self.violated("Released", &format!("{name} is called released, and the index never served it"));
            }
            if outside && written > 0 && deleted == 0 && !self.has_restored() {
                self.violated(
                    "I15",
                    &format!("{name} is said to have been public before, and Slipway has published it"),
                );
            }
            if goal.public.0 >= REGISTRIES_FROM {
                self.point("an image was released");
            }
            if written == 0 {
                self.point("what was public already was called released");
            }
            let same = |other: &Goal| other.parcel == goal.parcel && other.distro != goal.distro;
            let twin = self.goals.iter().find(|other| same(other));
            let twin = twin.and_then(|twin| self.journal.borrow().state(twin.parcel, &twin.distro));
            if twin.is_some_and(|(state, approval, _)| state == TargetState::Released && approval == now.1) {
                self.point("two targets were released under one approval");
            }
        }
        // Two lists that lack it were wrong, and the next one says so.
        let is_drift = code.as_deref() == Some("drift");
        if public == Some("none") && here.is_some_and(|(_, by_slipway)| by_slipway) && !self.has_restored() && !is_drift
        {
            self.violated(
                "I15",
                &format!("{name} is {code:?} and said not to be public, and Slipway has published it"),
            );
        }
        if *state == TargetState::Conflict
            && !ever.iter().any(|digest| *digest != self.digest_of(goal))
            && self.servers.get(goal.public.0).is_none_or(|server| server.borrow().also_indexed.is_none())
        {
            self.violated("I18", &format!("{name} is called a conflict, and no other bytes were ever public"));
        }
    }

    /// Whoever was acknowledged must have been heard for good.
    pub(crate) fn acknowledged(&self, what: &Happening) {
        if let Happening::Ask { job, .. } | Happening::Webhook { job, .. } = what {
            self.journal.borrow_mut().acknowledged.insert(*job);
        }
    }

    /// What the record says of its targets is read again: a person has changed it.
    pub(crate) fn reads_states(&self, project: u64, backend: &Backend) {
        self.check_states(project, backend);
    }

    // ---- the end ----

    /// What must hold when nothing is on its way any more.
    pub(crate) fn check_end(&self) {
        if self.happened.borrow().is_empty() {
            self.point("nothing went wrong at all");
        }
        let databases: Vec<_> =
            self.disk.borrow().databases.iter().map(|(id, db)| (id.clone(), Rc::clone(db))).collect();
        for (id, backend) in databases {
            if let ObjectId::Project(project) = id {
                self.journal.borrow_mut().sequences.remove(&project);
                self.check_record(&backend);
                self.check_approvals(&backend);
                if self.tells {
                    self.check_told(project, &backend);
                }
            }
        }
        self.check_floating();
        for goal in &self.goals {
            let Some((state, _, code)) = self.journal.borrow().state(goal.parcel, &goal.distro) else { continue };
            let name = self.holder(goal);
            if !self.is_rightly(goal, state) {
                let (public, staged) = (self.here(&goal.public).is_some(), self.here(&goal.staging).is_some());
                self.violated(
                    "L1",
                    &format!("{name} ended as {state:?} ({code:?}); public has it: {public}, staging has it: {staged}"),
                );
            }
            let journal = self.journal.borrow();
            let codes = journal.codes.get(&(goal.parcel, goal.distro.clone())).cloned().unwrap_or_default();
            let here = self.here(&goal.public);
            let still_wrong = here.is_some_and(|here| here.by_slipway && here.digest != self.digest_of(goal));
            if journal.wrong_moves.contains(&goal.public.1) && still_wrong && !codes.contains("moved-other-bytes") {
                drop(journal);
                self.violated(
                    "Named",
                    &format!("{name} was moved with other bytes, and that was never named: {codes:?}"),
                );
            }
        }
    }

    /// I2 and I16: one approval for each job that was heard, and none for others.
    fn check_approvals(&self, backend: &Backend) {
        let rows = backend.query("SELECT job_id, COUNT(*) FROM approvals GROUP BY job_id, version, key", &[]);
        for row in rows.unwrap_or_default() {
            if row.natural(1).unwrap_or(0) > 1 {
                self.violated("I2", &format!("job {} has approved twice", row.natural(0).unwrap_or(0)));
            }
        }
        let rows = backend.query("SELECT subject, COUNT(*) FROM audit WHERE action = 'approved' GROUP BY subject", &[]);
        let audited: u64 = rows.unwrap_or_default().iter().map(|row| row.natural(1).unwrap_or(0)).sum();
        let rows = backend.query("SELECT COUNT(*) FROM approvals", &[]);
        let approvals = rows.unwrap_or_default().first().map_or(0, |row| row.natural(0).unwrap_or(0));
        if audited != approvals {
            self.violated("I15", &format!("{approvals} approvals, and {audited} of them in the audit"));
        }
    }
}

/// The transitions that there are.
fn is_legal(before: Option<(TargetState, Option<u64>)>, now: (TargetState, Option<u64>)) -> bool {
    use TargetState as S;
    let Some((from, old)) = before else { return !matches!(now.0, S::Withdrawn | S::Expired) };
    let (to, new) = now;
    if from == to {
        return old == new || matches!(to, S::Approved | S::Staged);
    }
    match (from, to) {
        // What has ended is taken up again only by another approval.
        (S::Staged | S::Failed | S::Conflict, S::Approved) => new > old,
        (S::Staged, S::Missing) | (S::Expected | S::Missing, S::Staged) => true,
        (S::Approved, S::Releasing | S::Released | S::Conflict | S::Failed | S::Missing)
        | (S::Releasing, S::Approved | S::Released | S::Conflict | S::Failed | S::Missing) => old == new,
        _ => false,
    }
}

/// What a request to a package server deletes.
pub(crate) fn place_of(request: &Request) -> Option<Place> {
    let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", "v1", "repos", user, repo, distro, version, filename] if *request.method() == http::Method::DELETE => {
            Some((format!("{user}/{repo}"), format!("{distro}/{version}"), (*filename).to_owned()))
        }
        _ => None,
    }
}

/// The repository that a request is about.
pub(crate) fn asked_repository(request: &Request) -> String {
    let path = request.uri().path().trim_start_matches('/');
    let path = path.strip_prefix("api/v1/repos/").unwrap_or(path);
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// The project whose record it is.
fn project_of(backend: &Backend) -> Option<u64> {
    let rows = backend.query("SELECT id FROM project", &[]).ok()?;
    rows.first()?.natural(0).ok()
}

//! What becomes of a staged package: kept and why, announced, marked, deleted, or taken back.
//!
//! A package is deleted in four steps, each seen anew: its release has ended, the deletion was announced, it was marked,
//! and it was left alone for as long as it waits. What speaks against it at any of them ends all of them; what merely
//! cannot be seen lets them wait. Nothing here is deleted because something is absent.
//!
//! Two clocks must agree. Ages are read from the host's clock, which can be wrong by years; notice and wait are counted by
//! [`tick`], which a jump of any size moves on by no more than two runs.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_wire::{Digest, Planted, planted};

use crate::config::{Keeping, Retention};
use crate::gate::moment;
use crate::time::Timestamp;

/// How often a run looks at what a project has staged.
pub const RUN: Duration = Duration::from_hours(1);
/// What one run counts of the time since the last, at the most.
const COUNTED_MAX: Duration = Duration::from_hours(2);
/// How far a server's clock may be from the edge's.
const CLOCKS_APART_MAX: Duration = Duration::from_mins(5);

/// Whether a release has ended, and when it last had news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Something of it is still to be released. Nothing has happened since.
    Open(Timestamp),
    /// All that ships is released.
    Complete(Timestamp),
    /// Somebody has given it up.
    Closed(Timestamp),
}

/// How far the deletion of a package is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is announced.
    Announced,
    /// The notice is over; it waits to be taken back.
    Marked,
}

impl Stage {
    /// Its name in the API and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Marked => "marked",
        }
    }
}

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which.
    pub stage: Stage,
    /// When, by the time that runs have counted.
    pub counted: Duration,
}

/// What the record knows of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether its release has ended.
    pub ending: Ending,
    /// Since when staging has its bytes. `None` when they were never seen there.
    pub staged_at: Option<Timestamp>,
    /// When somebody first said that these bytes would come.
    pub declared_at: Option<Timestamp>,
    /// When a job last staged the same bytes once more: what it sent may be younger than what was seen, if that was lost meanwhile.
    pub staged_again_at: Option<Timestamp>,
    /// Who holds it.
    pub held_by: Option<String>,
    /// Where it runs.
    pub deployed: Option<String>,
    /// Whether a target of it is approved or on its way.
    pub is_moving: bool,
    /// Whether a promotion ended without knowing what the public can see.
    pub is_unsettled: bool,
    /// How many packages of the same key in the same staging repository are newer.
    pub newer: u32,
    /// Until when somebody wants it kept.
    pub extended_until: Option<Timestamp>,
    /// Another package of the project that has the same staged file and still needs it.
    pub needed_by: Option<String>,
    /// When the last of the packages that have the same staged file may go, by the time that runs count: each has had a
    /// notice of its own.
    pub due_with: Option<Duration>,
    /// How far its deletion is.
    pub progress: Option<Progress>,
    /// The time that runs have counted.
    pub counted: Duration,
}

/// What staging shows of a package now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InStaging {
    /// It cannot be read.
    Unread,
    /// Nothing under the name.
    Nothing,
    /// A file whose digest is not computed yet.
    WithoutDigest,
    /// Other bytes.
    Other(Digest),
    /// The declared bytes, and since when the server has them. A registry does not say that.
    Declared(Option<Timestamp>),
}

/// What the public places show of the targets that the record calls released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPublic {
    /// One of them cannot be read.
    Unread,
    /// One of them does not serve the released bytes.
    NotServed,
    /// Each serves them; also where there is none.
    Served,
}

/// What other projects say that stage in the same repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// One of them does not answer.
    Unread,
    /// This one needs the file.
    Needed(String),
    /// This one does not need it, and does not leave it to be deleted yet.
    NotYet(String),
    /// None of them does.
    Free,
}

/// What a project says when another wants to delete a file from staging that both may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It needs the file.
    No,
    /// It does not need it, but its own notice and wait are not over, or it is stopped.
    NotYet,
    /// The file may go.
    Yes,
}

/// What is seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sights {
    /// In staging. `None` of a registry's image, whose server keeps no time of arrival.
    pub staging: InStaging,
    /// Whether the server says since when it has a file.
    pub tells_arrival: bool,
    /// In the public places.
    pub public: InPublic,
    /// In other projects.
    pub elsewhere: Elsewhere,
    /// Whether the edge's clock and the servers' agree.
    pub clocks_agree: bool,
    /// Whether somebody has stopped Slipway.
    pub is_stopped: bool,
}

/// Why a package is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its release is complete.
    Complete,
    /// Its release was given up.
    Closed,
    /// Nothing has happened to its release for so long that its route calls it abandoned.
    Abandoned,
}

impl Cause {
    /// Its name in the API and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Closed => "closed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why a package is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// No route is for it any more.
    NoRoute,
    /// A target of it is approved or on its way.
    Moving,
    /// What a promotion of it left behind is not known.
    Unsettled,
    /// Somebody holds it.
    Held(String),
    /// It runs somewhere.
    Deployed(String),
    /// Somebody wants it kept until then.
    Extended(Timestamp),
    /// Its release has not ended.
    Open,
    /// Its release has ended, or had its last news, too lately. It is old enough then.
    Young(Timestamp),
    /// It is among the newest of its key.
    AmongNewest(u32),
    /// Another package of the project needs the same file.
    NeededBy(String),
    /// Another project needs it.
    NeededElsewhere(String),
    /// Its deletion is on its way.
    OnItsWay,
    /// Another image of its repository, which stays, needs it.
    NeededByImage(String),
    /// What other images of its repository need cannot be told.
    ImagesUnread(String),
    /// Its bytes were never seen in staging.
    NeverStaged,
    /// Staging has other bytes under its name.
    OtherBytes(Digest),
    /// Staging had it before anybody declared it: somebody else brought it.
    Foreign,
    /// A public place does not serve what was released.
    NotServed,
    /// Staging cannot be read.
    StagingUnread,
    /// Staging shows nothing under its name, which proves nothing.
    NotShown,
    /// Staging has not computed its digest yet.
    NoDigest,
    /// The server does not say when it got the file.
    NoArrival,
    /// A public place cannot be read.
    PublicUnread,
    /// Another project that may need it does not answer.
    ElsewhereUnread,
    /// The edge's clock and the servers' do not agree, or it jumped.
    ClockInDoubt,
    /// Somebody has stopped Slipway.
    Stopped,
    /// Deleting is not switched on.
    SwitchedOff,
    /// Its deletion is announced, and so much of the notice is left.
    Notice(Duration),
    /// It is marked, and so much of the wait is left.
    Waits(Duration),
    /// It is due, and another project that has the same file does not leave it to be deleted yet.
    WaitsFor(String),
}

impl Keep {
    /// Its name in the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRoute => "no-route",
            Self::Moving => "moving",
            Self::Unsettled => "unsettled",
            Self::Held(_) => "held",
            Self::Deployed(_) => "deployed",
            Self::Extended(_) => "extended",
            Self::Open => "open",
            Self::Young(_) => "young",
            Self::AmongNewest(_) => "among-newest",
            Self::NeededBy(_) => "needed-by",
            Self::NeededElsewhere(_) => "needed-elsewhere",
            Self::OnItsWay => "on-its-way",
            Self::NeededByImage(_) => "needed-by-image",
            Self::ImagesUnread(_) => "images-unread",
            Self::NeverStaged => "never-staged",
            Self::OtherBytes(_) => "other-bytes",
            Self::Foreign => "foreign",
            Self::NotServed => "not-served",
            Self::StagingUnread => "staging-unread",
            Self::NotShown => "not-shown",
            Self::NoDigest => "no-digest",
            Self::NoArrival => "no-arrival",
            Self::PublicUnread => "public-unread",
            Self::ElsewhereUnread => "elsewhere-unread",
            Self::ClockInDoubt => "clock-in-doubt",
            Self::Stopped => "stopped",
            Self::SwitchedOff => "switched-off",
            Self::Notice(_) => "notice",
            Self::Waits(_) => "waits",
            Self::WaitsFor(_) => "waits-for",
        }
    }

    /// Whether it ends a deletion that was announced. What cannot be seen, or must not be done now, lets it wait.
    pub fn takes_back(&self) -> bool {
        match self {
            Self::NoRoute
            | Self::Moving
            | Self::Unsettled
            | Self::Held(_)
            | Self::Deployed(_)
            | Self::Extended(_)
            | Self::Open
            | Self::Young(_)
            | Self::AmongNewest(_)
            | Self::NeededBy(_)
            | Self::NeededElsewhere(_)
            | Self::NeverStaged
            | Self::OtherBytes(_)
            | Self::Foreign
            | Self::NotServed => true,
            // That is looked up for what is due alone, so it ends nothing: it waits again.
            Self::NeededByImage(_)
            | Self::OnItsWay
            | Self::ImagesUnread(_)
            | Self::StagingUnread
            | Self::NotShown
            | Self::NoDigest
            | Self::NoArrival
            | Self::PublicUnread
            | Self::ElsewhereUnread
            | Self::ClockInDoubt
            | Self::Stopped
            | Self::SwitchedOff
            | Self::Notice(_)
            | Self::Waits(_)
            | Self::WaitsFor(_) => false,
        }
    }
}

/// As people read it, after "kept: ".
impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = |left: &Duration| crate::gate::span(Duration::from_secs(left.as_secs().div_ceil(60) * 60));
        match self {
            Self::NoRoute => f.write_str("no route of `slipway.toml` is for it any more"),
            Self::Moving => f.write_str("it is approved or on its way"),
            Self::Unsettled => f.write_str("what its last promotion left in public is not known"),
            Self::Held(by) => write!(f, "it is on hold by {}", crate::audit::person(by)),
            Self::Deployed(environment) => write!(f, "it runs in {environment}"),
            Self::Extended(until) => write!(f, "somebody has asked for it to be kept until {}", moment(*until)),
            Self::Open => f.write_str("its release is neither complete nor closed"),
            Self::Young(until) => write!(f, "it is not old enough before {}", moment(*until)),
            Self::AmongNewest(1) => f.write_str("it is the newest of its key"),
            Self::AmongNewest(number) => write!(f, "it is among the newest {number} of its key"),
            Self::NeededBy(other) => write!(f, "{other} is the same file in staging, and needs it"),
            Self::NeededElsewhere(project) => {
                write!(f, "the project {project} has the same file in staging, and needs it")
            }
            Self::OnItsWay => f.write_str("its deletion is on its way, and what became of it is not seen yet"),
            Self::NeededByImage(by) => write!(f, "{by}, which stays in its repository, needs it"),
            Self::ImagesUnread(why) => write!(f, "what other images of its repository need cannot be told: {why}"),
            Self::NeverStaged => f.write_str("its bytes were never seen in staging"),
            Self::OtherBytes(found) => write!(f, "staging has other bytes under its name: {found}"),
            Self::Foreign => f.write_str("staging had it before Slipway heard of it, so somebody else brought it"),
            Self::NotServed => f.write_str("a public place does not serve what was released there"),
            Self::StagingUnread => f.write_str("staging cannot be read"),
            Self::NotShown => f.write_str("staging does not show it"),
            Self::NoDigest => f.write_str("staging has not computed its digest"),
            Self::NoArrival => f.write_str("staging does not say when it came"),
            Self::PublicUnread => f.write_str("a public place cannot be read"),
            Self::ElsewhereUnread => f.write_str("another project that stages there does not answer"),
            Self::ClockInDoubt => f.write_str("the edge's clock jumped, or is not that of the servers"),
            Self::Stopped => f.write_str("Slipway is stopped"),
            Self::SwitchedOff => f.write_str("deleting is not switched on"),
            Self::Notice(rest) => write!(f, "its deletion is announced, and {} of the notice are left", left(rest)),
            Self::Waits(rest) => write!(f, "it is marked, and waits for another {}", left(rest)),
            Self::WaitsFor(project) => write!(
                f,
                "it is due, and the project {project} has the same file in staging, and does not let it go yet: its own \
                 notice or wait is not over, or it is stopped"
            ),
        }
    }
}

/// What becomes of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays, and how far its deletion is stays, too.
    Keep(Keep),
    /// Its deletion is announced.
    Announce(Cause),
    /// It is marked.
    Mark(Cause),
    /// It is deleted.
    Delete(Cause),
    /// It stays, and its deletion is over.
    TakeBack(Keep),
}

/// What speaks against deleting a package as far as its record knows, or why it is deleted. What another project or a
/// server says is asked only of those that have none.
pub fn ended(known: &Known, keeping: Option<&Keeping>, now: Timestamp) -> Result<Cause, Keep> {
    let Some(keeping) = keeping else { return Err(Keep::NoRoute) };
    if known.is_moving {
        return Err(Keep::Moving);
    }
    if known.is_unsettled {
        return Err(Keep::Unsettled);
    }
    if let Some(by) = &known.held_by {
        return Err(Keep::Held(by.clone()));
    }
    if let Some(environment) = &known.deployed {
        return Err(Keep::Deployed(environment.clone()));
    }
    if let Some(until) = known.extended_until.filter(|until| *until > now) {
        return Err(Keep::Extended(until));
    }
    let Some(staged_at) = known.staged_at.map(|at| known.staged_again_at.map_or(at, |again| at.max(again))) else {
        return Err(Keep::NeverStaged);
    };
    let (cause, old_enough) = match (known.ending, keeping.abandoned) {
        (Ending::Complete(since), _) => (Cause::Complete, since.max(staged_at) + keeping.age),
        (Ending::Closed(since), _) => (Cause::Closed, since.max(staged_at) + keeping.age),
        (Ending::Open(since), Some(abandoned)) => (Cause::Abandoned, since.max(staged_at) + abandoned.max(keeping.age)),
        (Ending::Open(_), None) => return Err(Keep::Open),
    };
    if old_enough > now {
        return Err(Keep::Young(old_enough));
    }
    if known.newer < keeping.keep_newest {
        return Err(Keep::AmongNewest(keeping.keep_newest));
    }
    match &known.needed_by {
        Some(other) => Err(Keep::NeededBy(other.clone())),
        None => Ok(cause),
    }
}

/// What a package says that has the same file in staging as one that is to be deleted. `None`: it can do without. Bytes that
/// nobody has seen there are needed only as long as its release goes on: they may be about to come.
pub fn needs(known: &Known, keeping: Option<&Keeping>, now: Timestamp) -> Option<Keep> {
    match ended(known, keeping, now) {
        Ok(_) => None,
        Err(Keep::NeverStaged) => {
            let staged_at = known.declared_at.or(Some(Timestamp(0)));
            match ended(&Known { staged_at, ..known.clone() }, keeping, now) {
                Ok(_) | Err(Keep::AmongNewest(_)) => None,
                Err(keep) => Some(keep),
            }
        }
        Err(keep) => Some(keep),
    }
}

/// When a package may be deleted at the earliest, by the time that runs count and as far as its own notice goes.
pub fn due(known: &Known, keeping: &Keeping, retention: &Retention) -> Duration {
    let marked = match known.progress {
        None => known.counted + keeping.notice,
        Some(Progress { stage: Stage::Announced, counted }) => (counted + keeping.notice).max(known.counted),
        Some(Progress { stage: Stage::Marked, counted }) => counted,
    };
    marked + retention.wait
}

/// What speaks against deleting a package as far as it can be seen.
fn seen(known: &Known, sights: &Sights) -> Result<(), Keep> {
    match sights.staging {
        InStaging::Unread => return Err(Keep::StagingUnread),
        InStaging::Nothing if planted(Planted::TrustsAbsence) => {}
        InStaging::Nothing => return Err(Keep::NotShown),
        InStaging::WithoutDigest => return Err(Keep::NoDigest),
        InStaging::Other(_) if planted(Planted::DeletesUnverified) => {}
        InStaging::Other(found) => return Err(Keep::OtherBytes(found)),
        InStaging::Declared(None) if sights.tells_arrival => return Err(Keep::NoArrival),
        InStaging::Declared(Some(arrived))
            if known.declared_at.is_none_or(|declared| arrived + CLOCKS_APART_MAX < declared) =>
        {
            return Err(Keep::Foreign);
        }
        InStaging::Declared(_) => {}
    }
    match sights.public {
        InPublic::NotServed if !planted(Planted::DeletesUnverified) => return Err(Keep::NotServed),
        InPublic::Unread => return Err(Keep::PublicUnread),
        InPublic::NotServed | InPublic::Served => {}
    }
    match &sights.elsewhere {
        Elsewhere::Needed(project) => Err(Keep::NeededElsewhere(project.clone())),
        Elsewhere::Unread => Err(Keep::ElsewhereUnread),
        // Notices run side by side; only the deletion waits for the last of them.
        Elsewhere::NotYet(_) | Elsewhere::Free => Ok(()),
    }
}

/// What becomes of a package, from what the record knows and what is seen now.
pub fn decide(
    known: &Known,
    sights: &Sights,
    keeping: Option<&Keeping>,
    retention: &Retention,
    now: Timestamp,
) -> Decision {
    let cause = ended(known, keeping, now).and_then(|cause| seen(known, sights).map(|()| cause));
    let (cause, notice) = match (cause, keeping) {
        (Ok(cause), Some(keeping)) => (cause, keeping.notice),
        (Ok(_), None) => return Decision::Keep(Keep::NoRoute),
        // What must not be done now changes nothing of what was announced, but what speaks against it for good does.
        (Err(keep), _) if keep.takes_back() && known.progress.is_some() => return Decision::TakeBack(keep),
        (Err(keep), _) => return Decision::Keep(keep),
    };
    if sights.is_stopped {
        return Decision::Keep(Keep::Stopped);
    }
    if !sights.clocks_agree && !planted(Planted::TrustsAnyClock) {
        return Decision::Keep(Keep::ClockInDoubt);
    }
    if !retention.enabled {
        return Decision::Keep(Keep::SwitchedOff);
    }
    let until = |due: Duration| Some(due.saturating_sub(known.counted)).filter(|left| !left.is_zero());
    let left = |since: Duration, wait: Duration| until(since + wait);
    match known.progress {
        None => Decision::Announce(cause),
        Some(Progress { stage: Stage::Announced, counted }) => match left(counted, notice) {
            Some(rest) => Decision::Keep(Keep::Notice(rest)),
            None => Decision::Mark(cause),
        },
        Some(Progress { stage: Stage::Marked, counted }) => {
            match (left(counted, retention.wait).max(known.due_with.and_then(until)), &sights.elsewhere) {
                (Some(rest), _) => Decision::Keep(Keep::Waits(rest)),
                (None, Elsewhere::NotYet(project)) => Decision::Keep(Keep::WaitsFor(project.clone())),
                (None, _) => Decision::Delete(cause),
            }
        }
    }
}

/// When a package is deleted at the earliest, if nothing changes. `None` while its release has not ended, or something
/// speaks against it that time alone does not end.
pub fn expires_at(
    known: &Known,
    keeping: Option<&Keeping>,
    retention: &Retention,
    now: Timestamp,
) -> Option<Timestamp> {
    let keeping = keeping?;
    let begins = match ended(known, Some(keeping), now) {
        Ok(_) => now,
        // Both are over by themselves, one after the other.
        Err(Keep::Young(until) | Keep::Extended(until)) => match ended(known, Some(keeping), until) {
            Ok(_) => until,
            Err(Keep::Young(later)) => later,
            Err(_) => return None,
        },
        Err(_) => return None,
    };
    let due = due(known, keeping, retention).max(known.due_with.unwrap_or_default());
    Some(begins + due.saturating_sub(known.counted))
}

/// The time that one run adds to what runs have counted: what has passed since the last, and never more than two runs' worth.
/// A clock that was set back adds nothing, and one in doubt neither.
pub fn tick(last_seen: Option<Timestamp>, now: Timestamp, clocks_agree: bool) -> Duration {
    let Some(last) = last_seen else { return Duration::ZERO };
    if planted(Planted::TrustsAnyClock) {
        return now.since(last);
    }
    if clocks_agree { now.since(last).min(COUNTED_MAX) } else { Duration::ZERO }
}

/// Whether the edge's clock is near enough to a server's, and has not run backwards. A server that does not say the time
/// is no witness.
pub fn clocks_agree(last_seen: Option<Timestamp>, now: Timestamp, servers: &[Option<Timestamp>]) -> bool {
    let is_backwards = last_seen.is_some_and(|last| last > now);
    let near = |server: &Option<Timestamp>| {
        server.is_some_and(|server| now.since(server) <= CLOCKS_APART_MAX && server.since(now) <= CLOCKS_APART_MAX)
    };
    !is_backwards && !servers.is_empty() && servers.iter().all(near)
}

/// What a run has taken of its limits so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// How many files.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Whether a deletion did not fit. Those behind it wait, too, so that none is passed over for ever.
    pub is_full: bool,
}

impl Taken {
    /// Whether the next deletion stays within a run's limits; then it is taken. The first is never too large by itself: it
    /// would stay for ever.
    pub fn takes(&mut self, size: u64, retention: &Retention) -> bool {
        let bytes = self.bytes.saturating_add(size);
        let fits = !self.is_full
            && self.files < u64::from(retention.files_per_run)
            && (self.files == 0 || bytes <= retention.bytes_per_run.0);
        if fits || planted(Planted::IgnoresLimits) {
            (self.files, self.bytes) = (self.files + 1, bytes);
            true
        } else {
            self.is_full = true;
            false
        }
    }
}

#[cfg(test)]
mod tests;

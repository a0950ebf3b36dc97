//! The transfer slots of one destination account, lent across all projects.
//!
//! The limit belongs to the destination: packages of one release and of several projects meet here. Final versions go
//! before candidates and those before nightlies; within one of these, releases take turns, and within a release goes
//! first who has waited longest. After a 5xx fewer transfers run at a time, after successes more again. An account that
//! is cut off lends nothing for a while, and then one slot, to see.
//!
//! A lease ends by itself, so that a holder that was killed keeps no slot for ever; the same holder asking again renews
//! its own. The moment at which it was asked for is its number: what arrives late of the one before ends nothing. A lease holds the name that is written too: two projects that send the same name to the same repository go
//! one after the other, so the second sees what the first has done.

mod pace;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::promotion::Slot;
use slipway_core::release::Maturity;
use slipway_core::store::NotShipped;
use slipway_core::time::Timestamp;
use slipway_core::trouble::{Trouble, TroubleKind};
use slipway_ledger::{MigrationError, Sql, SqlError, Value, migrate};
use slipway_wire::{Planted, planted};

use self::pace::Pace;

/// The tables, with those of the shared readings: one object has both.
pub(crate) const FIRST: &[&str] = &["CREATE TABLE leases (holder TEXT PRIMARY KEY, ends_at INTEGER NOT NULL)"];
const FAIR: &[&str] = &[
    "ALTER TABLE leases ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE leases ADD COLUMN began_at INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE waiters (
        holder TEXT PRIMARY KEY,
        package TEXT NOT NULL,
        distro TEXT NOT NULL,
        rank INTEGER NOT NULL,
        since INTEGER NOT NULL,
        asked_at INTEGER NOT NULL,
        called_at INTEGER
    )",
    // Thousandths of transfers, so that a limit can grow by less than one.
    "CREATE TABLE pace (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        limit_milli INTEGER NOT NULL,
        configured_milli INTEGER NOT NULL,
        lowered_at INTEGER NOT NULL,
        ceiling INTEGER,
        ceiling_until INTEGER NOT NULL,
        cut_off_until INTEGER NOT NULL,
        cut_offs INTEGER NOT NULL,
        trouble TEXT
    )",
];

/// The most transfers that ran beside one, with it. A server that was busy says so when it gives up, and by then the
/// others may have ended.
const BESIDE: &[&str] = &["ALTER TABLE leases ADD COLUMN at_once INTEGER NOT NULL DEFAULT 1"];

/// Turns: a release of fifty packages that was asked for first would keep one of three waiting until it is out.
const TURNS: &[&str] = &[
    "ALTER TABLE waiters ADD COLUMN release TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE waiters ADD COLUMN turn INTEGER NOT NULL DEFAULT 0",
];

/// When each lease was asked for. The end of another lease of the same holder, which arrives late, does not end this one.
const NUMBERED: &[&str] = &["ALTER TABLE leases ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0"];

/// How many transfers have ended in which way.
const COUNTED: &[&str] = &["CREATE TABLE endings (ended TEXT PRIMARY KEY, count INTEGER NOT NULL)"];

/// How long a lease lasts that nobody gives back: as long as an alarm's run can.
pub const LEASE: Duration = Duration::from_mins(15);
/// How often one who waits asks again unless called: 20 to 40 s. Calls make the difference, this only replaces lost ones.
const ASK_AGAIN_MS: u64 = 30_000;
/// One who has not asked for this long has gone.
const GONE_AFTER: Duration = Duration::from_secs(90);
/// One who was called and did not come within this time is passed over.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// Somebody wants to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskSlot {
    /// The name of the package's object, to be called back.
    pub package: String,
    /// The target.
    pub distro: String,
    /// Project and version: what takes turns with others.
    pub release: String,
    /// What goes first.
    pub maturity: Maturity,
    /// The repository, distro version and file name that are written.
    pub name: String,
    /// How many transfers the place takes at a time, as configured.
    pub transfers: u32,
    /// When it is asked for, by the clock of whoever asks.
    #[serde(default = "never")]
    pub asked_at: Timestamp,
}

/// When those asked who did not say it.
const fn never() -> Timestamp {
    Timestamp(0)
}

/// An account in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Transfers that run.
    pub lent: u64,
    /// Those who wait for one.
    pub waiting: u64,
    /// How many may run at a time now.
    pub limit: u64,
    /// Whether the server has cut the account off.
    pub is_cut_off: bool,
    /// Transfers that ever ended, by what the server said.
    pub endings: BTreeMap<String, u64>,
    /// The repositories that are read whole.
    pub repositories: BTreeMap<String, MeasuredRepository>,
}

/// A repository in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRepository {
    /// Strangers in it.
    pub strangers: u64,
    /// How long ago it was last read whole. `None`: never.
    pub read_seconds_ago: Option<u64>,
}

/// A transfer is over, or was not begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotEnded {
    /// The name of the package's object.
    pub package: String,
    /// The target.
    pub distro: String,
    /// When its slot was asked for.
    #[serde(default = "never")]
    pub asked_at: Timestamp,
    /// What it tells of the destination.
    pub ending: Ending,
}

/// What the end of a transfer tells of its destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It took the package.
    Sent,
    /// It has more to do than it can.
    Busy,
    /// It has cut the account off.
    CutOff(Trouble),
    /// Nothing: the transfer ended for another reason.
    Other,
}

impl Ending {
    /// The word that numbers have for it. A 429 is `busy`, or `cut_off` where the server says that of the account.
    fn word(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Busy => "busy",
            Self::CutOff(_) => "cut_off",
            Self::Other => "other",
        }
    }

    /// What the end of an act tells.
    pub fn of(how: &Result<(), NotShipped>) -> Self {
        match how {
            Ok(()) => Self::Sent,
            Err(NotShipped::Trouble(trouble)) => match trouble.kind {
                TroubleKind::Busy | TroubleKind::Throttled { .. } => Self::Busy,
                TroubleKind::CutOff => Self::CutOff(trouble.clone()),
                TroubleKind::Passing | TroubleKind::Final(_) => Self::Other,
            },
            Err(_) => Self::Other,
        }
    }
}

/// One who waits and is called, since a slot is free or will be soon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Called {
    /// The name of the package's object.
    pub package: String,
    /// The target.
    pub distro: String,
}

/// The account's tables.
#[derive(Debug)]
pub struct Account<S>(S);

fn holder(package: &str, distro: &str) -> String {
    format!("{package} {distro}")
}

fn jitter(ms: u64, random: u64) -> u64 {
    let spread = ms / 3;
    (ms - spread).saturating_add(random % (2 * spread + 1))
}

impl<S: Sql> Account<S> {
    /// Opens a database, bringing it to the newest schema.
    pub fn open(sql: S) -> Result<Self, MigrationError> {
        migrate(
            &sql,
            &[
                FIRST,
                FAIR,
                crate::reading::TABLES,
                BESIDE,
                TURNS,
                crate::sweep::TABLES,
                crate::sweep::WHOSE,
                NUMBERED,
                COUNTED,
            ],
        )?;
        Ok(Self(sql))
    }

    /// The database, for the shared readings.
    pub fn sql(&self) -> &S {
        &self.0
    }

    /// Lends a slot, or says when to ask again.
    pub fn ask(&self, ask: &AskSlot, now: Timestamp, random: u64) -> Result<Slot, SqlError> {
        self.0.atomically(|| {
            // A lease that seems to last longer than any was lent when the clock was wrong.
            self.0.query(
                "DELETE FROM leases WHERE ends_at <= ? OR ends_at > ?",
                &[now.0.into(), (now + LEASE).0.into()],
            )?;
            let max = u64::from(ask.transfers.max(1)) * 1000;
            let mut pace = Pace::of(&self.0, max)?;
            if pace.configure(max) {
                pace.keep(&self.0)?;
            }
            let own = holder(&ask.package, &ask.distro);
            if let Some((trouble, until)) = pace.cut_off(now) {
                let trouble = trouble.clone();
                let ms = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
                self.waits(ask, &own, now)?;
                return Ok(Slot::CutOff { ms: ms.saturating_add(random % ASK_AGAIN_MS), trouble });
            }
            let others = self.0.query("SELECT name FROM leases WHERE holder <> ?", &[own.as_str().into()])?;
            let taken = u64::try_from(others.len()).unwrap_or(u64::MAX);
            let mut is_written = false;
            for row in &others {
                is_written |= row.text(0)? == ask.name;
            }
            let ahead = if planted(Planted::NightliesFirst) { 0 } else { self.ahead(ask, &own, now)? };
            let free = pace.limit().saturating_sub(taken);
            if (is_written || free <= ahead) && !planted(Planted::LendsWithoutCounting) {
                self.waits(ask, &own, now)?;
                return Ok(Slot::Wait { ms: jitter(ASK_AGAIN_MS, random) });
            }
            self.0.query("DELETE FROM waiters WHERE holder = ?", &[own.as_str().into()])?;
            self.0.query(
                "INSERT INTO leases (holder, ends_at, name, began_at, asked_at) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (holder) DO UPDATE SET ends_at = excluded.ends_at, name = excluded.name,
                    began_at = excluded.began_at, asked_at = excluded.asked_at",
                &[
                    own.as_str().into(),
                    (now + LEASE).0.into(),
                    ask.name.as_str().into(),
                    now.0.into(),
                    ask.asked_at.0.into(),
                ],
            )?;
            self.0.query("UPDATE leases SET at_once = MAX(at_once, ?)", &[taken.saturating_add(1).into()])?;
            Ok(Slot::Lent)
        })
    }

    /// What the account says of itself in numbers.
    pub fn measured(&self, now: Timestamp) -> Result<Measured, SqlError> {
        let count = |statement: &str| -> Result<u64, SqlError> {
            let rows = self.0.query(statement, &[now.0.into()])?;
            Ok(rows.first().map(|row| row.natural(0)).transpose()?.unwrap_or_default())
        };
        // One that nobody has used has no pace yet, and none is made by counting.
        let pace =
            if self.0.query("SELECT 1 FROM pace", &[])?.is_empty() { None } else { Some(Pace::of(&self.0, 1000)?) };
        Ok(Measured {
            lent: count("SELECT COUNT(*) FROM leases WHERE ends_at > ?")?,
            waiting: count("SELECT COUNT(*) FROM waiters WHERE asked_at <= ?")?,
            limit: pace.as_ref().map_or(0, Pace::limit),
            is_cut_off: pace.is_some_and(|pace| pace.cut_off(now).is_some()),
            endings: self.endings()?,
            repositories: crate::sweep::measured(&self.0, now)?,
        })
    }

    fn endings(&self) -> Result<BTreeMap<String, u64>, SqlError> {
        let rows = self.0.query("SELECT ended, count FROM endings", &[])?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.natural(1)?))).collect()
    }

    /// What the server said when it cut the account off, while it is to be left alone.
    pub fn cut_off(&self, now: Timestamp) -> Result<Option<Trouble>, SqlError> {
        let pace = Pace::of(&self.0, 1000)?;
        Ok(pace.cut_off(now).map(|(trouble, _)| trouble.clone()))
    }

    /// Leaves the account alone, since its server has cut it off, whatever it was asked.
    pub fn leave_alone(&self, trouble: &Trouble, now: Timestamp) -> Result<(), SqlError> {
        let mut pace = Pace::of(&self.0, 1000)?;
        pace.leave_alone(trouble, now);
        pace.keep(&self.0)
    }

    /// Whether this holder is one of those who come next, and may stand by instead of going away and being called.
    pub fn is_next(&self, ask: &AskSlot, now: Timestamp) -> Result<bool, SqlError> {
        let limit = Pace::of(&self.0, u64::from(ask.transfers.max(1)) * 1000)?.limit();
        Ok(self.ahead(ask, &holder(&ask.package, &ask.distro), now)? < limit)
    }

    /// Lets a lease last longer that a transfer still needs.
    pub fn renew(&self, package: &str, distro: &str, now: Timestamp) -> Result<(), SqlError> {
        let values: [Value; 2] = [(now + LEASE).0.into(), holder(package, distro).into()];
        self.0.query("UPDATE leases SET ends_at = ? WHERE holder = ?", &values)?;
        Ok(())
    }

    /// Takes a slot back, and says who is to be called.
    pub fn ended(&self, ended: &SlotEnded, now: Timestamp) -> Result<Vec<Called>, SqlError> {
        self.0.atomically(|| {
            let own = holder(&ended.package, &ended.distro);
            let lease = self.0.query(
                "DELETE FROM leases WHERE holder = ? AND asked_at = ? RETURNING began_at, at_once",
                &[own.as_str().into(), ended.asked_at.0.into()],
            )?;
            let Some(lease) = lease.first() else { return Ok(Vec::new()) };
            let (began_at, at_once) = (Timestamp(lease.integer(0)?), lease.natural(1)?);
            self.0.query(
                "INSERT INTO endings (ended, count) VALUES (?, 1) ON CONFLICT (ended) DO UPDATE SET count = count + 1",
                &[ended.ending.word().into()],
            )?;
            let mut pace = Pace::of(&self.0, 1000)?;
            pace.after(&ended.ending, began_at, at_once, now);
            pace.keep(&self.0)?;
            if pace.cut_off(now).is_some() {
                return Ok(Vec::new());
            }
            self.call(&pace, now)
        })
    }

    /// Calls those who wait: as many as there are free slots, and those who come next.
    fn call(&self, pace: &Pace, now: Timestamp) -> Result<Vec<Called>, SqlError> {
        let taken = self.0.query("SELECT COUNT(*) FROM leases WHERE ends_at > ?", &[now.0.into()])?;
        let taken = taken.first().map_or(Ok(0), |row| row.natural(0))?;
        // As many more as may run at a time: they look meanwhile, and a slot that becomes free is taken without a pause.
        let comes = pace.limit().saturating_sub(taken).saturating_add(pace.limit());
        let rows = self.0.query(
            "SELECT holder, package, distro FROM waiters WHERE asked_at > ? AND (called_at IS NULL OR called_at < asked_at)
             ORDER BY rank, turn, since, holder LIMIT ?",
            &[(now - GONE_AFTER).0.into(), comes.into()],
        )?;
        let mut called = Vec::new();
        for row in &rows {
            self.0.query("UPDATE waiters SET called_at = ? WHERE holder = ?", &[now.0.into(), row.text(0)?.into()])?;
            called.push(Called { package: row.text(1)?.to_owned(), distro: row.text(2)?.to_owned() });
        }
        Ok(called)
    }

    /// How many of those who wait come first.
    fn ahead(&self, ask: &AskSlot, own: &str, now: Timestamp) -> Result<u64, SqlError> {
        let waits = self.0.query("SELECT turn, since FROM waiters WHERE holder = ?", &[own.into()])?;
        let (turn, since) = match waits.first() {
            Some(row) => (row.integer(0)?, row.integer(1)?),
            None => (self.turn(ask, now)?, now.0),
        };
        let rank: Value = (ask.maturity as i64).into();
        let rows = self.0.query(
            "SELECT COUNT(*) FROM waiters
             WHERE holder <> ? AND (rank, turn, since, holder) < (?, ?, ?, ?) AND asked_at > ? AND asked_at <= ?
             AND (called_at IS NULL OR called_at < asked_at OR called_at > ?)",
            &[
                own.into(),
                rank,
                turn.into(),
                since.into(),
                own.into(),
                (now - GONE_AFTER).0.into(),
                now.0.into(),
                (now - COMES_WITHIN).0.into(),
            ],
        )?;
        rows.first().map_or(Ok(0), |row| row.natural(0))
    }

    /// The turn of one that begins to wait: behind the others of its release, or level with whoever comes first.
    fn turn(&self, ask: &AskSlot, now: Timestamp) -> Result<i64, SqlError> {
        let rows = self.0.query(
            "SELECT COALESCE(MAX(CASE WHEN release = ? THEN turn + 1 END), MIN(turn), 0) FROM waiters
             WHERE rank = ? AND asked_at > ?",
            &[ask.release.as_str().into(), (ask.maturity as i64).into(), (now - GONE_AFTER).0.into()],
        )?;
        rows.first().map_or(Ok(0), |row| row.integer(0))
    }

    fn waits(&self, ask: &AskSlot, own: &str, now: Timestamp) -> Result<(), SqlError> {
        self.0.query("DELETE FROM waiters WHERE asked_at <= ?", &[(now - GONE_AFTER * 10).0.into()])?;
        self.0.query(
            "INSERT INTO waiters (holder, package, distro, release, rank, turn, since, asked_at, called_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)
             ON CONFLICT (holder) DO UPDATE SET asked_at = excluded.asked_at, rank = excluded.rank, called_at = NULL",
            &[
                own.into(),
                ask.package.as_str().into(),
                ask.distro.as_str().into(),
                ask.release.as_str().into(),
                (ask.maturity as i64).into(),
                self.turn(ask, now)?.into(),
                now.0.into(),
                now.0.into(),
            ],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use slipway_core::problem::Code;
    use slipway_ledger::rusqlite::Database;

    use super::pace::{CEILING_LASTS, CUT_OFF_FIRST, CUT_OFF_LONGEST};
    use super::*;

    const BEGUN: Timestamp = Timestamp(1_795_392_000_000);

    struct Story {
        account: Account<Database>,
        now: Timestamp,
        transfers: u32,
        asked_at: Cell<Timestamp>,
    }

    impl Story {
        fn new(transfers: u32) -> Self {
            let account = Account::open(Database::in_memory()).expect("a database");
            Self { account, now: BEGUN, transfers, asked_at: Cell::new(BEGUN) }
        }

        fn after(&mut self, wait: Duration) {
            self.now = self.now + wait;
        }

        fn asks(&self, package: &str) -> Slot {
            self.asks_as(package, Maturity::Final, package)
        }

        fn asks_as(&self, package: &str, maturity: Maturity, name: &str) -> Slot {
            let ask = AskSlot {
                package: package.to_owned(),
                distro: "el/9".to_owned(),
                release: package.split(' ').next().unwrap_or_default().to_owned(),
                maturity,
                name: name.to_owned(),
                transfers: self.transfers,
                asked_at: self.asked_at.get(),
            };
            self.account.ask(&ask, self.now, 0).expect("an answer")
        }

        fn ends(&self, package: &str, ending: Ending) -> Vec<String> {
            let (package, asked_at) = (package.to_owned(), self.asked_at.get());
            let ended = SlotEnded { package, distro: "el/9".to_owned(), asked_at, ending };
            let called = self.account.ended(&ended, self.now).expect("an answer");
            called.into_iter().map(|called| called.package).collect()
        }

        fn is_lent(&self, package: &str) -> bool {
            self.asks(package) == Slot::Lent
        }

        /// How many of ten that ask now are lent a slot.
        fn lends(&self) -> usize {
            (0..10).filter(|number| self.is_lent(&format!("p{number}"))).count()
        }
    }

    #[test]
    fn an_account_that_was_looked_at_before_anybody_sent_lends_all_that_is_configured() {
        let mut story = Story::new(4);
        assert_eq!(story.account.cut_off(story.now).expect("an answer"), None);
        assert_eq!(story.lends(), 4);
        story.ends("p0", Ending::Sent);
        // An operator who allows more is heard at once, unless the destination itself asked for less.
        story.transfers = 6;
        assert_eq!(story.lends(), 6);
        story.ends("p0", Ending::Busy);
        story.transfers = 8;
        assert!(story.lends() < 6);
    }

    #[test]
    fn no_more_than_the_limit_are_lent_and_the_same_holder_renews_its_own() {
        let story = Story::new(2);
        assert!(story.is_lent("a") && story.is_lent("b"));
        assert!(!story.is_lent("c"));
        assert!(story.is_lent("a"), "it has one");
        assert_eq!(story.ends("a", Ending::Sent), ["c"], "who waits is called");
        assert!(story.is_lent("c") && !story.is_lent("d"));
    }

    #[test]
    fn finals_go_before_candidates_and_those_before_nightlies_and_then_who_waits_longest() {
        let mut story = Story::new(1);
        assert!(story.is_lent("first"));
        let all = [
            ("nightly", Maturity::Nightly),
            ("candidate", Maturity::Candidate),
            ("final 1", Maturity::Final),
            ("final 2", Maturity::Final),
        ];
        for (package, maturity) in all {
            assert_ne!(story.asks_as(package, maturity, package), Slot::Lent);
            story.after(Duration::from_secs(1));
        }
        let mut order = Vec::new();
        let mut last = "first".to_owned();
        while order.len() < all.len() {
            // Whoever comes next is called too, and comes even before the first.
            for package in story.ends(&last, Ending::Sent).into_iter().rev() {
                let maturity = all.iter().find(|(name, _)| *name == package).expect("it has asked").1;
                if story.asks_as(&package, maturity, &package) == Slot::Lent {
                    order.push(package.clone());
                    last = package;
                }
            }
        }
        assert_eq!(order, ["final 1", "final 2", "candidate", "nightly"]);
    }

    #[test]
    fn a_small_release_does_not_wait_until_a_large_one_is_out() {
        let mut story = Story::new(1);
        assert!(story.is_lent("large 0"));
        let waits = |story: &mut Story, packages: &[&str]| {
            for package in packages {
                story.after(Duration::from_secs(1));
                assert!(!story.is_lent(package));
            }
        };
        waits(&mut story, &["large 1", "large 2", "large 3", "large 4", "small 1", "small 2"]);
        let mut order = vec!["large 0".to_owned()];
        while order.len() < 7 {
            let last = order.last().expect("one").clone();
            let called = story.ends(&last, Ending::Sent);
            order.extend(called.into_iter().filter(|package| story.is_lent(package)));
        }
        assert_eq!(order, ["large 0", "large 1", "small 1", "large 2", "small 2", "large 3", "large 4"]);
    }

    #[test]
    fn who_comes_by_chance_does_not_pass_those_who_wait() {
        let story = Story::new(1);
        assert!(story.is_lent("a") && !story.is_lent("b"));
        assert_eq!(story.ends("a", Ending::Sent), ["b"]);
        assert!(!story.is_lent("c"), "b was called a moment ago");
        assert!(story.is_lent("b"));
    }

    #[test]
    fn one_who_is_called_and_does_not_come_is_passed_over() {
        let mut story = Story::new(1);
        assert!(story.is_lent("a") && !story.is_lent("dead"));
        story.after(Duration::from_secs(1));
        assert!(!story.is_lent("c"));
        assert_eq!(story.ends("a", Ending::Sent), ["dead", "c"], "one has a slot, the other comes next");
        story.after(COMES_WITHIN + Duration::from_secs(1));
        assert!(story.is_lent("c"));
    }

    #[test]
    fn a_slot_whose_holder_is_gone_comes_back() {
        let mut story = Story::new(1);
        assert!(story.is_lent("a") && !story.is_lent("b"));
        story.after(LEASE);
        assert!(story.is_lent("b"));
        assert_eq!(story.ends("a", Ending::Sent), [""; 0], "its lease is another's now");
        assert!(!story.is_lent("c"));
    }

    #[test]
    fn the_end_of_a_lease_that_arrives_late_does_not_end_the_next_one_of_the_same_holder() {
        let story = Story::new(1);
        assert!(story.is_lent("a"));
        // The word that it is over is on its way for long: its holder has asked again meanwhile, and sends.
        story.asked_at.set(BEGUN + Duration::from_secs(30));
        assert!(story.is_lent("a"));
        story.asked_at.set(BEGUN);
        assert_eq!(story.ends("a", Ending::Sent), [""; 0]);
        assert!(!story.is_lent("b"), "the slot is a's");
        story.asked_at.set(BEGUN + Duration::from_secs(30));
        assert_eq!(story.ends("a", Ending::Sent), ["b"]);
        assert!(story.is_lent("b"));
    }

    #[test]
    fn a_5xx_that_comes_when_the_others_have_ended_tells_how_many_there_were() {
        let mut story = Story::new(6);
        assert_eq!(story.lends(), 6);
        story.after(Duration::from_secs(1));
        for package in ["p0", "p1", "p2", "p3", "p4"] {
            story.ends(package, Ending::Sent);
        }
        story.ends("p5", Ending::Busy);
        assert_eq!(story.lends(), 4, "three quarters of six, and not one since only one was left");
    }

    #[test]
    fn after_a_5xx_fewer_are_sent_at_a_time_and_after_successes_more_again() {
        let mut story = Story::new(8);
        assert_eq!(story.lends(), 8);
        story.after(Duration::from_secs(1));
        for number in 0..8 {
            story.ends(&format!("p{number}"), Ending::Busy);
        }
        story.after(Duration::from_secs(100));
        let fewer = story.lends();
        assert_eq!(fewer, 6, "one lowering for all that ran together");
        for number in 0..10 {
            story.ends(&format!("p{number}"), Ending::Other);
        }
        // Eight at a time were too many, and are not tried again for a while; then they are.
        for (wait, most) in [(Duration::from_secs(1), 7), (CEILING_LASTS, 8)] {
            for _ in 0..60 {
                story.after(Duration::from_secs(1));
                assert!(story.is_lent("p0"));
                story.ends("p0", Ending::Sent);
            }
            story.after(wait.saturating_sub(Duration::from_mins(1)));
            for _ in 0..20 {
                assert!(story.is_lent("p0"));
                story.ends("p0", Ending::Sent);
            }
            story.after(Duration::from_secs(100));
            assert_eq!(story.lends(), most);
            for number in 0..10 {
                story.ends(&format!("p{number}"), Ending::Other);
            }
        }
    }

    #[test]
    fn an_account_that_is_cut_off_is_left_alone_and_then_tried_with_one() {
        let mut story = Story::new(4);
        let trouble =
            Trouble { kind: TroubleKind::CutOff, what: "the account is over its plan".to_owned(), evidence: None };
        assert!(story.is_lent("a") && story.is_lent("b"));
        story.ends("a", Ending::CutOff(trouble.clone()));
        let Slot::CutOff { ms, trouble: told } = story.asks("c") else { panic!("it is cut off") };
        assert_eq!((told, u128::from(ms)), (trouble.clone(), CUT_OFF_FIRST.as_millis()));
        story.ends("b", Ending::CutOff(trouble.clone()));
        story.after(CUT_OFF_FIRST);
        assert_eq!(story.lends(), 1, "one, to see");
        story.ends("p0", Ending::CutOff(trouble.clone()));
        story.after(CUT_OFF_FIRST);
        assert!(matches!(story.asks("c"), Slot::CutOff { .. }), "the second time it is left alone longer");
        story.after(CUT_OFF_FIRST);
        assert!(story.is_lent("c"));
        story.ends("c", Ending::Sent);
        story.after(Duration::from_secs(100));
        assert_eq!(story.lends(), 4);
    }

    #[test]
    fn what_servers_said_at_the_end_of_transfers_is_counted_once_each_and_never_less() {
        let story = Story::new(9);
        let trouble = Trouble { kind: TroubleKind::CutOff, what: "over its plan".to_owned(), evidence: None };
        let endings = [Ending::Sent, Ending::Sent, Ending::Busy, Ending::Other, Ending::CutOff(trouble)];
        let names: Vec<String> = (0..endings.len()).map(|number| format!("p{number}")).collect();
        assert!(names.iter().all(|name| story.is_lent(name)));
        for (name, ending) in names.iter().zip(endings) {
            story.ends(name, ending.clone());
            // It arrives a second time, when nothing is lent any more.
            story.ends(name, ending);
        }
        let counted = story.account.measured(story.now).expect("numbers").endings;
        let expected = [("busy", 1), ("cut_off", 1), ("other", 1), ("sent", 2)];
        assert_eq!(counted, expected.map(|(word, count)| (word.to_owned(), count)).into());
    }

    #[test]
    fn an_account_that_was_cut_off_when_the_clock_was_wrong_is_not_left_alone() {
        let mut story = Story::new(2);
        let trouble =
            Trouble { kind: TroubleKind::CutOff, what: "the account is over its plan".to_owned(), evidence: None };
        story.account.leave_alone(&trouble, story.now + Duration::from_hours(24)).expect("it is written");
        assert_eq!(story.account.cut_off(story.now).expect("an answer"), None, "it may be looked at");
        assert!(story.is_lent("a"));
        // Cut off again, it is left alone from now on.
        story.account.leave_alone(&trouble, story.now).expect("it is written");
        assert_eq!(story.account.cut_off(story.now).expect("an answer"), Some(trouble.clone()));
        story.after(CUT_OFF_LONGEST);
        assert_eq!(story.account.cut_off(story.now).expect("an answer"), None);
    }

    #[test]
    fn a_5xx_from_when_the_clock_was_wrong_keeps_no_other_from_being_heard_and_no_limit_from_growing() {
        let mut story = Story::new(8);
        let right = story.now;
        story.after(Duration::from_hours(24));
        assert_eq!(story.lends(), 8);
        story.ends("p0", Ending::Busy);
        story.now = right;
        assert_eq!(story.lends(), 6);
        for _ in 0..20 {
            story.ends("p0", Ending::Sent);
            assert!(story.is_lent("p0"));
        }
        assert_eq!(story.lends(), 8, "eight were too many a day ahead, which is not now");
        story.ends("p0", Ending::Busy);
        for number in 0..10 {
            story.ends(&format!("p{number}"), Ending::Other);
        }
        story.after(Duration::from_secs(100));
        assert_eq!(story.lends(), 6, "this one is heard");
    }

    #[test]
    fn one_name_is_written_by_one_at_a_time() {
        let story = Story::new(4);
        assert_eq!(story.asks_as("one project", Maturity::Final, "acme/stable el/9 tug.rpm"), Slot::Lent);
        assert_ne!(story.asks_as("another", Maturity::Final, "acme/stable el/9 tug.rpm"), Slot::Lent);
        assert_eq!(story.asks_as("another", Maturity::Final, "acme/stable el/8 tug.rpm"), Slot::Lent);
    }

    #[test]
    fn the_end_of_an_act_tells_of_the_destination_only_what_it_said() {
        let trouble = |kind| NotShipped::Trouble(Trouble { kind, what: String::new(), evidence: None });
        for (how, ending) in [
            (Ok(()), "Sent"),
            (Err(NotShipped::Taken), "Other"),
            (Err(NotShipped::Changed(None)), "Other"),
            (Err(trouble(TroubleKind::Busy)), "Busy"),
            (Err(trouble(TroubleKind::Throttled { wait: slipway_wire::Wait::Until(7) })), "Busy"),
            (Err(trouble(TroubleKind::CutOff)), "CutOff"),
            (Err(trouble(TroubleKind::Passing)), "Other"),
            (Err(trouble(TroubleKind::Final(Code::Refused))), "Other"),
        ] {
            assert!(format!("{:?}", Ending::of(&how)).starts_with(ending), "{how:?}");
        }
    }
}

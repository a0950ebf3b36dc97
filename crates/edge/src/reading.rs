//! One reading for all who ask the same server the same kind of thing.
//!
//! When a release goes out, dozens of packages look at the same two repositories and at the same index, again and again.
//! Whoever asks is answered by a reading that began after the question: those who ask within a moment share one, those
//! who come while it runs share the next. So the answer is never older than the question, and the load on the server
//! does not grow with the number of packages.
//!
//! Of an index, what was read stays: an unchanged one costs a conditional request, and a changed one is read once for
//! every name that anybody has been interested in of late.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::select;
use slipway_core::inventory::{Seen, Served};
use slipway_core::problem::Code;
use slipway_core::store::{IndexName, Mark, Name, Reading};
use slipway_core::time::Timestamp;
use slipway_core::trouble::{Trouble, TroubleKind};
use slipway_ledger::{Sql, SqlError};
use slipway_package::{Distro, Filename};
use slipway_wire::{Digest, Planted, planted};

use crate::account::Account;
use crate::port::{AccountHost, Clock};

/// The indexes that were read, and what they listed of the names that somebody waits for.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE indexes (id TEXT PRIMARY KEY, mark TEXT NOT NULL)",
    "CREATE TABLE interests (
        id TEXT NOT NULL,
        filename TEXT NOT NULL,
        digests TEXT,
        asked_at INTEGER NOT NULL,
        PRIMARY KEY (id, filename)
    )",
];

/// A reading waits for others that ask the same: until nobody has come for so long, and so often at the most while more
/// and more come.
#[derive(Clone, Copy)]
struct Gather {
    quiet: Duration,
    times_max: u32,
}

/// The first of several readings. Packages whose orders went out together look together, as soon as each has opened its
/// database, and all of them are answered by one list.
const PATIENT: Gather = Gather { quiet: Duration::from_millis(40), times_max: 6 };
/// Those that follow: copies end one by one, and nobody should wait for the last.
const BRIEF: Gather = Gather { quiet: Duration::from_millis(10), times_max: 2 };
/// A reading is the first of several when none has ended for so long.
const BURST: Duration = Duration::from_secs(2);
/// How often one who waits looks by itself whether the reading is there. It is woken, unless the reader was lost.
const GLANCE: Duration = Duration::from_secs(5);
/// A reading whose reader was lost is begun by another after this: longer than any exchange may take.
const LOST_AFTER: Duration = Duration::from_mins(5);
/// How long a name is remembered that nobody asks for any more.
const INTEREST_LASTS: Duration = Duration::from_hours(24);
/// How many names one reading is for at the most.
const NAMES_MAX: usize = 2000;

type Answers<I, A> = Result<BTreeMap<I, A>, Trouble>;

/// Those who ask the same server the same kind of thing, by what is read.
struct Queue<I, A> {
    /// What the next reading is for.
    next: BTreeSet<I>,
    /// The next reading's number.
    number: u64,
    /// Since when somebody gathers for it, or reads.
    reading: Option<Timestamp>,
    /// The last readings.
    done: BTreeMap<u64, Answers<I, A>>,
    /// How many readings have ended.
    ended: u64,
    /// When the last one did.
    ended_at: Option<Timestamp>,
    /// Those who wait until one ends.
    waiting: Vec<Waker>,
}

impl<I, A> Default for Queue<I, A> {
    fn default() -> Self {
        Self {
            next: BTreeSet::new(),
            number: 0,
            reading: None,
            done: BTreeMap::new(),
            ended: 0,
            ended_at: None,
            waiting: Vec::new(),
        }
    }
}

/// A table of queues. It lives in memory alone: whoever waits in vain asks again.
struct Queues<I, A> {
    /// How the first of several readings gathers.
    first: Gather,
    queues: RefCell<BTreeMap<String, Queue<I, A>>>,
}

impl<I: Ord + Clone, A: Clone> Queues<I, A> {
    fn new(first: Gather) -> Self {
        Self { first, queues: RefCell::default() }
    }

    /// The answer for one item, from a reading that begins after this was called.
    async fn ask(
        &self,
        clock: &impl Clock,
        queue: &str,
        item: I,
        read: impl AsyncFn(&BTreeSet<I>) -> Answers<I, A>,
    ) -> Result<Option<A>, Trouble> {
        let number = self.with(queue, |queue| {
            queue.next.insert(item.clone());
            if planted(Planted::AnswersFromAnOldReading) && !queue.done.is_empty() {
                return queue.number.saturating_sub(1);
            }
            queue.number
        });
        loop {
            let (answer, leads) = self.with(queue, |queue| {
                let answer = queue.done.get(&number).cloned();
                let is_lost = queue.reading.is_some_and(|since| clock.now().since(since) > LOST_AFTER);
                let leads = answer.is_none() && (queue.reading.is_none() || is_lost);
                if leads {
                    queue.reading = Some(clock.now());
                }
                (answer, leads)
            });
            if let Some(answers) = answer {
                return answers.map(|answers| answers.get(&item).cloned());
            }
            if !leads {
                self.until_one_ends(clock, queue).await;
                continue;
            }
            let follows = self.with(queue, |queue| queue.ended_at.is_some_and(|at| clock.now().since(at) < BURST));
            let gather = if follows { BRIEF } else { self.first };
            for _ in 0..gather.times_max {
                let before = self.with(queue, |queue| queue.next.len());
                clock.pause(gather.quiet).await;
                if self.with(queue, |queue| queue.next.len()) == before {
                    break;
                }
            }
            let (number, mut items) = self.with(queue, |queue| {
                let number = queue.number;
                queue.number += 1;
                queue.reading = Some(clock.now());
                (number, std::mem::take(&mut queue.next))
            });
            // After a reader that was lost, this one is late for it: the item goes along again.
            items.insert(item.clone());
            let answers = read(&items).await;
            let waiting = self.with(queue, |queue| {
                queue.reading = None;
                queue.done.insert(number, answers.clone());
                while queue.done.len() > 4 {
                    queue.done.pop_first();
                }
                queue.ended += 1;
                queue.ended_at = Some(clock.now());
                std::mem::take(&mut queue.waiting)
            });
            waiting.into_iter().for_each(Waker::wake);
            return answers.map(|answers| answers.get(&item).cloned());
        }
    }

    /// Waits until a reading of this queue ends, or for a while.
    async fn until_one_ends(&self, clock: &impl Clock, queue: &str) {
        let before = self.with(queue, |queue| queue.ended);
        let ended = poll_fn(|cx| {
            self.with(queue, |queue| {
                if queue.ended != before {
                    return Poll::Ready(());
                }
                if !queue.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    queue.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            })
        });
        select(ended, std::pin::pin!(clock.pause(GLANCE))).await;
    }

    fn with<T>(&self, queue: &str, work: impl FnOnce(&mut Queue<I, A>) -> T) -> T {
        work(self.queues.borrow_mut().entry(queue.to_owned()).or_default())
    }
}

/// The shared readings of one account.
pub struct Readings {
    lists: Queues<Name, Seen>,
    indexes: Queues<Filename, Served>,
    /// Names that were looked for in a repository and will be in its index, by index, until that is read. In memory
    /// alone: a name that is forgotten costs one more reading, and writing each down would cost a write to the disk.
    soon: RefCell<BTreeMap<String, BTreeSet<Filename>>>,
}

impl Default for Readings {
    fn default() -> Self {
        Self { lists: Queues::new(PATIENT), indexes: Queues::new(BRIEF), soon: RefCell::default() }
    }
}

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readings")
    }
}

impl Readings {
    /// What a repository has under a name.
    pub async fn find(
        &self,
        host: &impl AccountHost,
        repository: &str,
        distro: &Distro,
        filename: &Filename,
    ) -> Result<Seen, Trouble> {
        let store = host.open(repository).map_err(|lacks| Trouble::lasting(Code::NotConfigured, lacks))?;
        // Whoever looks for a file will want to see it in the index: one reading of that then serves all of them.
        if let Ok(index) = IndexName::of(distro, filename) {
            let mut soon = self.soon.borrow_mut();
            let names = soon.entry(index_id(repository, &index)).or_default();
            if names.len() < NAMES_MAX {
                names.insert(filename.clone());
            }
        }
        let read = async |names: &BTreeSet<Name>| store.find_all(host, names).await;
        let seen = self.lists.ask(host, repository, (distro.clone(), filename.clone()), read).await?;
        Ok(seen.unwrap_or(Seen::Nothing))
    }

    /// What a repository's index serves under a name.
    pub async fn served(
        &self,
        host: &impl AccountHost,
        sql: &impl Sql,
        repository: &str,
        distro: &Distro,
        filename: &Filename,
    ) -> Result<Served, Trouble> {
        let store = host.open(repository).map_err(|lacks| Trouble::lasting(Code::NotConfigured, lacks))?;
        let index = IndexName::of(distro, filename)?;
        let id = index_id(repository, &index);
        let read = async |names: &BTreeSet<Filename>| {
            let mut wanted = self.soon.borrow_mut().remove(&id).unwrap_or_default();
            wanted.extend(names.iter().cloned());
            interested(sql, &id, &wanted, host.now()).map_err(|error| unwritten(&error))?;
            let known = Known::of(sql, &id).map_err(|error| unwritten(&error))?;
            // What was read holds only for the names that it was read for.
            let mark = known.mark.as_ref().filter(|_| names.iter().all(|name| known.has(name)));
            let reading = store.read_index(host, &index, mark, &known.wanted()).await?;
            match reading {
                Reading::Unchanged(mark) => {
                    keep_mark(sql, &id, &mark).map_err(|error| unwritten(&error))?;
                    Ok(names.iter().map(|name| (name.clone(), known.served(name))).collect())
                }
                Reading::Listed { mark, found } => {
                    let served = |name: &Filename| found.get(name).cloned().unwrap_or_default();
                    sql.atomically(|| {
                        sql.query("UPDATE interests SET digests = NULL WHERE id = ?", &[id.as_str().into()])?;
                        for name in known.wanted() {
                            keep_digests(sql, &id, &name, &served(&name))?;
                        }
                        keep_mark(sql, &id, &mark)
                    })
                    .map_err(|error: SqlError| unwritten(&error))?;
                    Ok(names.iter().map(|name| (name.clone(), served(name).into())).collect())
                }
                Reading::InMotion => Ok(names.iter().map(|name| (name.clone(), Served::InMotion)).collect()),
                Reading::Absent => Ok(names.iter().map(|name| (name.clone(), Served::NotListed)).collect()),
            }
        };
        let served = self.indexes.ask(host, &id, filename.clone(), read).await?;
        Ok(served.unwrap_or(Served::NotListed))
    }
}

/// What a repository has under a name, unless its account is cut off: then nobody asks.
pub async fn find(
    readings: &Readings,
    account: &Account<impl Sql>,
    host: &impl AccountHost,
    repository: &str,
    distro: &Distro,
    filename: &Filename,
) -> Result<Seen, Trouble> {
    left_alone(account, host)?;
    let seen = readings.find(host, repository, distro, filename).await;
    heeded(account, host, seen)
}

/// What a repository's index serves under a name, unless its account is cut off.
pub async fn served(
    readings: &Readings,
    account: &Account<impl Sql>,
    host: &impl AccountHost,
    repository: &str,
    distro: &Distro,
    filename: &Filename,
) -> Result<Served, Trouble> {
    left_alone(account, host)?;
    let served = readings.served(host, account.sql(), repository, distro, filename).await;
    heeded(account, host, served)
}

fn left_alone(account: &Account<impl Sql>, host: &impl AccountHost) -> Result<(), Trouble> {
    match account.cut_off(host.now()).map_err(|error| unwritten(&error))? {
        Some(trouble) => Err(trouble),
        None => Ok(()),
    }
}

fn heeded<T>(account: &Account<impl Sql>, host: &impl AccountHost, read: Result<T, Trouble>) -> Result<T, Trouble> {
    if let Err(trouble) = &read
        && trouble.kind == TroubleKind::CutOff
    {
        account.is_cut_off(trouble, host.now()).map_err(|error| unwritten(&error))?;
    }
    read
}

fn index_id(repository: &str, index: &IndexName) -> String {
    format!("{repository} {} {} {}", index.distro, index.kind, index.architecture)
}

fn unwritten(error: &SqlError) -> Trouble {
    Trouble::passing(format!("cannot keep what an index lists: {error}"))
}

/// What earlier readings left of one index.
struct Known {
    mark: Option<Mark>,
    digests: BTreeMap<Filename, Option<BTreeSet<Digest>>>,
}

impl Known {
    fn of(sql: &impl Sql, id: &str) -> Result<Self, SqlError> {
        let rows = sql.query("SELECT mark FROM indexes WHERE id = ?", &[id.into()])?;
        let mark = rows.first().map(|row| row.text(0)).transpose()?.and_then(|text| serde_json::from_str(text).ok());
        let rows = sql.query(
            "SELECT filename, digests FROM interests WHERE id = ? ORDER BY asked_at DESC, filename LIMIT ?",
            &[id.into(), u64::try_from(NAMES_MAX).unwrap_or(u64::MAX).into()],
        )?;
        let mut digests = BTreeMap::new();
        for row in &rows {
            if let Ok(name) = row.text(0)?.parse() {
                digests.insert(name, row.text_or_null(1)?.and_then(|text| serde_json::from_str(text).ok()));
            }
        }
        Ok(Self { mark, digests })
    }

    fn wanted(&self) -> BTreeSet<Filename> {
        self.digests.keys().cloned().collect()
    }

    fn has(&self, name: &Filename) -> bool {
        self.digests.get(name).is_some_and(Option::is_some)
    }

    fn served(&self, name: &Filename) -> Served {
        self.digests.get(name).cloned().flatten().unwrap_or_default().into()
    }
}

fn interested(sql: &impl Sql, id: &str, names: &BTreeSet<Filename>, now: Timestamp) -> Result<(), SqlError> {
    let old = now.0.saturating_sub(i64::try_from(INTEREST_LASTS.as_millis()).unwrap_or(i64::MAX));
    sql.atomically(|| {
        sql.query("DELETE FROM interests WHERE id = ? AND asked_at < ?", &[id.into(), old.into()])?;
        for name in names {
            sql.query(
                "INSERT INTO interests (id, filename, digests, asked_at) VALUES (?, ?, NULL, ?)
                 ON CONFLICT (id, filename) DO UPDATE SET asked_at = excluded.asked_at",
                &[id.into(), name.as_str().into(), now.0.into()],
            )?;
        }
        Ok(())
    })
}

fn keep_digests(sql: &impl Sql, id: &str, name: &Filename, digests: &BTreeSet<Digest>) -> Result<(), SqlError> {
    let text = serde_json::to_string(digests).map_err(|error| SqlError(error.to_string()))?;
    sql.query(
        "UPDATE interests SET digests = ? WHERE id = ? AND filename = ?",
        &[text.into(), id.into(), name.as_str().into()],
    )?;
    Ok(())
}

fn keep_mark(sql: &impl Sql, id: &str, mark: &Mark) -> Result<(), SqlError> {
    let text = serde_json::to_string(mark).map_err(|error| SqlError(error.to_string()))?;
    sql.query("INSERT OR REPLACE INTO indexes (id, mark) VALUES (?, ?)", &[id.into(), text.into()])?;
    Ok(())
}

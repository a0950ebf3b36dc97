//! Reads whole repositories, a page at a time, and finds what did not come through Slipway.
//!
//! The account of a place does it for all projects: one list request for each page, then one question to the record of each
//! project that has a route there. Where it stopped is written down when a page is done with, so a run that is killed, or that
//! has asked for as much as one run may, goes on at the next page; a page that is read twice changes nothing.
//!
//! The first reading of a public repository takes its baseline. Of each thing that nobody knows its fingerprint is kept, and of
//! the whole its count and digest go into the audit of the projects. Strangers are what comes after. A stranger that is on no
//! page of two readings is gone.
//!
//! Of a staging repository nothing is a stranger. Its pages are held against the records, so that thousands of staged packages
//! are looked at in dozens of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use slipway_core::api;
use slipway_core::cargo::{Cargo, Name, tag_of};
use slipway_core::inventory::Served;
use slipway_core::log::{Entry, Event, Level, sweep_work};
use slipway_core::release::{Key, Version};
use slipway_core::route::Site;
use slipway_core::sweep::{Known, Listed, Page, Repository, Stranger, Swept, Verdict, judge};
use slipway_core::time::Timestamp;
use slipway_core::trouble::{Trouble, TroubleKind};
use slipway_ledger::{Row, Sql, SqlError, Value};
use slipway_oci::Which;
use slipway_wire::Digest;

use crate::account::{Account, MeasuredRepository};
use crate::port::{AccountHost, SOON, Silent};
use crate::reading::{self, Readings};

/// How far each reading is, what was there at the first, and what came since.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE sweeps (
        repository TEXT PRIMARY KEY,
        next TEXT,
        began_at INTEGER,
        pages INTEGER NOT NULL DEFAULT 0,
        listed INTEGER NOT NULL DEFAULT 0,
        ended_at INTEGER,
        listed_last INTEGER NOT NULL DEFAULT 0,
        tried_at INTEGER,
        trouble TEXT,
        is_wanted INTEGER NOT NULL DEFAULT 0,
        taken_at INTEGER,
        taken_count INTEGER,
        taken TEXT
    )",
    "CREATE TABLE baseline (
        repository TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        PRIMARY KEY (repository, fingerprint)
    )",
    "CREATE TABLE strangers (
        repository TEXT NOT NULL,
        under TEXT NOT NULL,
        filename TEXT NOT NULL,
        digest TEXT NOT NULL,
        known TEXT NOT NULL,
        found_at INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        looks INTEGER NOT NULL,
        absent INTEGER NOT NULL,
        is_told INTEGER NOT NULL,
        PRIMARY KEY (repository, under, filename, digest)
    )",
    "CREATE TABLE sweeper (one INTEGER PRIMARY KEY CHECK (one = 1), place TEXT NOT NULL)",
];

/// Whose record knows a stranger otherwise. Of those that were found before this was written down, nobody's.
pub const WHOSE: &[&str] = &["ALTER TABLE strangers ADD COLUMN project_id INTEGER NOT NULL DEFAULT 0"];

/// How often a repository is read whole.
pub const EVERY: Duration = Duration::from_hours(1);
/// How soon it is tried again to read one that could not be read.
const AGAIN: Duration = Duration::from_mins(5);
/// A reading that has not ended by then begins anew: what its first pages showed is old.
const READING_MAX: Duration = Duration::from_hours(6);
/// How many requests one run makes. An invocation may make 10,000, and 1,000 of them where nothing is paid.
pub const REQUESTS_MAX: u64 = 600;
/// How long one run lasts. An alarm may take 15 minutes, of which one page takes seconds.
const RUN_MAX: Duration = Duration::from_mins(5);
/// How many strangers of a repository are shown.
const SHOWN_MAX: u64 = 200;
/// How many readings without a stranger make it gone.
const ABSENT_READINGS: i64 = 2;

/// What a record is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Strangers were found.
    Strangers {
        /// Where.
        site: Site,
        /// Which.
        found: Vec<Stranger>,
    },
    /// A repository was adopted, or strangers in it were.
    Adopted {
        /// Where.
        site: Site,
        /// By whom.
        actor: String,
        /// How much.
        details: serde_json::Value,
    },
    /// Strangers that counted as known are strangers again.
    Recalled {
        /// Where.
        site: Site,
        /// By whom.
        actor: String,
        /// Which.
        details: serde_json::Value,
    },
    /// The public index serves a staged target's bytes, which somebody else has published.
    Outside {
        /// The release.
        version: Version,
        /// The package.
        key: Key,
        /// The target.
        under: String,
        /// The bytes.
        digest: Digest,
    },
}

/// What a sweep needs beside the repositories.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait SweepHost: AccountHost {
    /// Holds a page against the record of a project: what that knows of each thing on it, in the page's order.
    async fn swept(&self, project_id: u64, page: &Swept) -> Result<Vec<Known>, Silent>;

    /// Tells the record of a project. `Ok` only when it has it.
    async fn tell(&self, project_id: u64, told: &Told) -> Result<(), Silent>;

    /// A line of the log.
    fn write(&self, entry: &Entry<'_>);
}

/// A line about one reading of a repository.
fn line(work: &str) -> Entry<'_> {
    Entry { work: Some(work.to_owned()), ..Entry::of(Level::Info, Event::Sweep) }
}

/// Writes down which place this account is at: its alarm has to know.
pub fn know_place(account: &Account<impl Sql>, place: &str) -> Result<(), SqlError> {
    account.sql().query("INSERT OR REPLACE INTO sweeper (one, place) VALUES (1, ?)", &[place.into()])?;
    Ok(())
}

/// Which place this account is at. `None` until somebody has said so.
pub fn place(account: &Account<impl Sql>) -> Result<Option<String>, SqlError> {
    let rows = account.sql().query("SELECT place FROM sweeper", &[])?;
    rows.first().map(|row| Ok(row.text(0)?.to_owned())).transpose()
}

/// Wants a repository to be read at once.
pub fn want(account: &Account<impl Sql>, repository: &str) -> Result<(), SqlError> {
    account.sql().query(
        "INSERT INTO sweeps (repository, is_wanted) VALUES (?, 1)
         ON CONFLICT (repository) DO UPDATE SET is_wanted = 1, tried_at = NULL",
        &[repository.into()],
    )?;
    Ok(())
}

/// How far a repository is read.
#[derive(Clone, Debug, Default)]
struct Sweep {
    next: Option<String>,
    began_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    is_wanted: bool,
    is_taken: bool,
}

impl Sweep {
    fn of(sql: &impl Sql, repository: &str) -> Result<Self, SqlError> {
        let rows = sql.query(
            "SELECT next, began_at, ended_at, tried_at, is_wanted, taken_at FROM sweeps WHERE repository = ?",
            &[repository.into()],
        )?;
        let Some(row) = rows.first() else { return Ok(Self::default()) };
        let at = |column| Ok::<_, SqlError>(row.integer_or_null(column)?.map(Timestamp));
        Ok(Self {
            next: row.text_or_null(0)?.map(str::to_owned),
            began_at: at(1)?,
            ended_at: at(2)?,
            tried_at: at(3)?,
            is_wanted: row.integer(4)? != 0,
            is_taken: at(5)?.is_some(),
        })
    }

    /// Since when this reading goes on. `None` when none does, or one that began too long ago, or later than now.
    fn goes_on_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.began_at.filter(|began_at| *began_at <= now && now.since(*began_at) < READING_MAX)
    }

    /// When the next page is to be read. What lies ahead of now by more than it can was written when the clock was wrong.
    fn due_at(&self, now: Timestamp) -> Timestamp {
        let wait = |at: Option<Timestamp>, wait: Duration| at.filter(|at| *at <= now).map_or(now, |at| at + wait);
        if self.tried_at.is_some() {
            return wait(self.tried_at, AGAIN);
        }
        if self.is_wanted || self.goes_on_since(now).is_some() { now } else { wait(self.ended_at, EVERY) }
    }
}

/// What one run has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When to go on. `None` where there is nothing to read.
    pub next: Option<Timestamp>,
    /// How many pages were read, and all was done that follows from them.
    pub pages: u64,
    /// How many requests were made, to servers and to other objects.
    pub requests: u64,
}

/// Reads the repositories that are due as far as one run may, and says when to go on.
pub async fn run(
    account: &Account<impl Sql>,
    readings: &Readings,
    host: &impl SweepHost,
    repositories: &[Repository],
) -> Result<Run, SqlError> {
    let began_at = host.now();
    let (mut made, mut pages) = (0, 0);
    for repository in repositories {
        loop {
            let sweep = Sweep::of(account.sql(), &repository.site.repository)?;
            if sweep.due_at(host.now()) > host.now() {
                break;
            }
            let is_spent = made >= REQUESTS_MAX || host.now().since(began_at) > RUN_MAX;
            if is_spent {
                return Ok(Run { next: Some(host.now() + SOON), pages, requests: made });
            }
            // What was begun goes on under its id, however often it is cut off.
            let began_at = sweep.goes_on_since(host.now()).unwrap_or_else(|| host.now());
            let work = sweep_work(&repository.site, began_at);
            if let Err(trouble) = page(account, readings, host, repository, &sweep, &work, &mut made).await? {
                let what = format!("{} is not swept: {trouble}", repository.site.repository);
                host.write(&Entry { level: Level::Error, ..line(&work).saying(&what) });
                failed(account.sql(), repository, &trouble, host.now())?;
                break;
            }
            pages += 1;
        }
    }
    let now = host.now();
    let mut next = None;
    for repository in repositories {
        let due_at = Sweep::of(account.sql(), &repository.site.repository)?.due_at(now).max(now + SOON);
        next = Some(next.map_or(due_at, |next: Timestamp| next.min(due_at)));
    }
    Ok(Run { next, pages, requests: made })
}

fn failed(sql: &impl Sql, repository: &Repository, trouble: &Trouble, now: Timestamp) -> Result<(), SqlError> {
    sql.query(
        "INSERT INTO sweeps (repository, tried_at, trouble) VALUES (?1, ?2, ?3)
         ON CONFLICT (repository) DO UPDATE SET tried_at = ?2, trouble = ?3",
        &[repository.site.repository.as_str().into(), now.0.into(), trouble.to_string().into()],
    )?;
    Ok(())
}

/// Reads one page and does all that follows from it.
async fn page(
    account: &Account<impl Sql>,
    readings: &Readings,
    host: &impl SweepHost,
    repository: &Repository,
    sweep: &Sweep,
    work: &str,
    made: &mut u64,
) -> Result<Result<(), Trouble>, SqlError> {
    let sql = account.sql();
    let now = host.now();
    let goes_on_since = sweep.goes_on_since(now);
    let began_at = goes_on_since.unwrap_or(now);
    let from = goes_on_since.and(sweep.next.as_deref());
    if let Some(trouble) = account.cut_off(now)? {
        return Ok(Err(trouble));
    }
    let store = match host.open(&repository.site.repository) {
        Ok(store) => store,
        Err(lacks) => return Ok(Err(Trouble::passing(lacks))),
    };
    let Page { listed, next } = match store.page(host, from).await {
        Ok(page) => page,
        Err(trouble) => {
            if trouble.kind == TroubleKind::CutOff {
                account.leave_alone(&trouble, now)?;
            }
            return Ok(Err(trouble));
        }
    };
    if goes_on_since.is_none() {
        host.write(&Entry { state: Some("begun"), ..line(work) });
    }
    *made +=
        1 + if listed.first().is_some_and(|first| tag_of(&first.under).is_some()) { as_count(listed.len()) } else { 0 };
    let pages = Swept { site: repository.site.clone(), listed };
    let known = match ask_all(host, repository, &pages, made).await {
        Ok(known) => known,
        Err(silent) => return Ok(Err(Trouble::passing(silent.to_string()))),
    };
    if repository.is_public {
        let strangers = sort_out(sql, repository, sweep, &pages.listed, &known, now, began_at)?;
        for outside in strangers.outside {
            *made += 1;
            if let Err(silent) = adopt_outside(account, readings, host, repository, &outside, work).await {
                return Ok(Err(Trouble::passing(silent.to_string())));
            }
        }
        if let Err(silent) = tell_strangers(sql, host, repository, made).await? {
            return Ok(Err(Trouble::passing(silent.to_string())));
        }
    }
    let Some(next) = next else {
        let ended = end(sql, host, repository, sweep, pages.listed.len(), began_at).await?;
        if ended.is_ok() {
            host.write(&Entry { state: Some("ended"), ..line(work) });
        }
        return Ok(ended);
    };
    sql.query(
        "INSERT INTO sweeps (repository, next, began_at, pages, listed) VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT (repository) DO UPDATE SET next = ?2, tried_at = NULL, trouble = NULL, is_wanted = 0,
            pages = CASE WHEN began_at = ?3 THEN pages + 1 ELSE 1 END,
            listed = CASE WHEN began_at = ?3 THEN listed + ?4 ELSE ?4 END, began_at = ?3",
        &[
            repository.site.repository.as_str().into(),
            next.into(),
            began_at.0.into(),
            as_count(pages.listed.len()).into(),
        ],
    )?;
    Ok(Ok(()))
}

fn as_count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// What the records know of each thing on a page, and whose record says so.
async fn ask_all(
    host: &impl SweepHost,
    repository: &Repository,
    page: &Swept,
    made: &mut u64,
) -> Result<Vec<(Known, u64)>, Silent> {
    let mut all: Vec<(Known, u64)> = page.listed.iter().map(|_| (Known::Unknown, 0)).collect();
    for project_id in &repository.projects {
        *made += 1;
        let known = host.swept(*project_id, page).await?;
        if known.len() != all.len() {
            return Err(Silent(format!("the record of {project_id} knows of another page")));
        }
        for (of_all, own) in all.iter_mut().zip(known) {
            let before = std::mem::replace(&mut of_all.0, Known::Unknown);
            let both = before.clone().and(own);
            if both != before {
                of_all.1 = *project_id;
            }
            of_all.0 = both;
        }
    }
    Ok(all)
}

/// A staged target whose bytes somebody else has published.
struct Outside {
    project_id: u64,
    version: Version,
    key: Key,
    listed: Listed,
}

/// What a page gives to do.
struct Sorted {
    outside: Vec<Outside>,
}

/// Judges each thing on a page of a public repository, and writes down what belongs to the baseline and what is a stranger.
fn sort_out(
    sql: &impl Sql,
    repository: &Repository,
    sweep: &Sweep,
    listed: &[Listed],
    known: &[(Known, u64)],
    now: Timestamp,
    began_at: Timestamp,
) -> Result<Sorted, SqlError> {
    let name = repository.site.repository.as_str();
    sql.atomically(|| {
        let mut outside = Vec::new();
        let rows = sql.query("SELECT 1 FROM strangers WHERE repository = ? LIMIT 1", &[name.into()])?;
        let has_strangers = !rows.is_empty();
        for (listed, (known, project_id)) in listed.iter().zip(known) {
            let fingerprint = kept(listed);
            let in_baseline = *known == Known::Unknown && {
                let row = [name.into(), fingerprint.as_str().into()];
                !sql.query("SELECT 1 FROM baseline WHERE repository = ? AND fingerprint = ?", &row)?.is_empty()
            };
            let digest = listed.digest.map(|digest| digest.to_string()).unwrap_or_default();
            let of: [Value; 4] =
                [name.into(), listed.under.as_str().into(), listed.filename.as_str().into(), digest.into()];
            match judge(known, in_baseline, sweep.is_taken) {
                Verdict::Baseline => {
                    let row = [name.into(), fingerprint.into()];
                    sql.query("INSERT OR IGNORE INTO baseline (repository, fingerprint) VALUES (?, ?)", &row)?;
                }
                verdict @ (Verdict::Known | Verdict::Outside) => {
                    if has_strangers {
                        sql.query(
                            "DELETE FROM strangers WHERE repository = ? AND under = ? AND filename = ? AND digest = ?",
                            &of,
                        )?;
                    }
                    if let (Verdict::Outside, Known::Equal { version, key }) = (verdict, known) {
                        let (version, key) = (version.clone(), key.clone());
                        outside.push(Outside { project_id: *project_id, version, key, listed: listed.clone() });
                    }
                }
                Verdict::Stranger => {
                    let known = serde_json::to_string(known).map_err(|error| SqlError(error.to_string()))?;
                    let values: Vec<Value> =
                        of.into_iter().chain([known.into(), now.0.into(), began_at.0.into(), (*project_id).into()]).collect();
                    sql.query(
                        "INSERT INTO strangers
                         (repository, under, filename, digest, known, found_at, seen_at, looks, absent, is_told, project_id)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, 0, 0, ?8)
                         ON CONFLICT (repository, under, filename, digest) DO UPDATE SET
                            known = ?5, project_id = ?8, looks = looks + (seen_at < ?7), seen_at = ?6, absent = 0",
                        &values,
                    )?;
                }
            }
        }
        Ok(Sorted { outside })
    })
}

/// What is kept of a fingerprint: half of it is beyond anybody's reach, and a repository may list a million things.
fn kept(listed: &Listed) -> String {
    listed.fingerprint().hex().chars().take(32).collect()
}

/// Tells the record of a target that somebody else has published it, once the index serves it.
async fn adopt_outside(
    account: &Account<impl Sql>,
    readings: &Readings,
    host: &impl SweepHost,
    repository: &Repository,
    outside: &Outside,
    work: &str,
) -> Result<(), Silent> {
    let Outside { project_id, version, key, listed } = outside;
    let Some(digest) = listed.digest else { return Ok(()) };
    let name = match tag_of(&listed.under).map(str::parse) {
        Some(Ok(tag)) => Name::Image(Which::Tag(tag)),
        Some(Err(_)) => return Ok(()),
        None => match listed.filename.parse::<Cargo>().map(|cargo| Name::of(&listed.under, &cargo)) {
            Ok(Ok(name)) => name,
            _ => return Ok(()),
        },
    };
    let served = reading::served(readings, account, host, &repository.site.repository, &name).await;
    match served {
        Ok(Served::Digest(served)) if served == digest => {}
        Ok(_) => return Ok(()),
        // What is not served now may be at the next reading.
        Err(trouble) => {
            let repository = &repository.site.repository;
            let what = format!("whether {repository} serves `{}` is not known: {trouble}", listed.name());
            host.write(&Entry { level: Level::Error, ..line(work).saying(&what) });
            return Ok(());
        }
    }
    let told = Told::Outside { version: version.clone(), key: key.clone(), under: listed.under.clone(), digest };
    host.tell(*project_id, &told).await
}

/// Tells the projects of strangers that they have not been told of. One whose bytes the server does not know yet is told of
/// when a second reading has seen it.
async fn tell_strangers(
    sql: &impl Sql,
    host: &impl SweepHost,
    repository: &Repository,
    made: &mut u64,
) -> Result<Result<(), Silent>, SqlError> {
    let name = repository.site.repository.as_str();
    let rows = sql.query(
        "SELECT under, filename, digest, known, project_id FROM strangers
         WHERE repository = ? AND is_told = 0 AND (digest <> '' OR looks > 1) ORDER BY under, filename, digest LIMIT 500",
        &[name.into()],
    )?;
    if rows.is_empty() {
        return Ok(Ok(()));
    }
    *made += as_count(repository.projects.len());
    for project_id in &repository.projects {
        let found = rows.iter().map(|row| stranger_for(row, row.natural(4)?, *project_id));
        let found = found.collect::<Result<Vec<Stranger>, SqlError>>()?;
        let told = Told::Strangers { site: repository.site.clone(), found };
        if let Err(silent) = host.tell(*project_id, &told).await {
            return Ok(Err(silent));
        }
    }
    sql.atomically(|| {
        for row in &rows {
            let of: [Value; 4] = [name.into(), row.text(0)?.into(), row.text(1)?.into(), row.text(2)?.into()];
            sql.query(
                "UPDATE strangers SET is_told = 1 WHERE repository = ? AND under = ? AND filename = ? AND digest = ?",
                &of,
            )?;
        }
        Ok(Ok(()))
    })
}

/// A stranger as those may know it who read a project, where the record of `whose` knows it otherwise.
fn stranger_for(row: &Row, whose: u64, project_id: u64) -> Result<Stranger, SqlError> {
    let Stranger { listed, known } = stranger(row)?;
    Ok(Stranger { listed, known: if whose == project_id { known } else { known.for_others() } })
}

fn stranger(row: &Row) -> Result<Stranger, SqlError> {
    Ok(Stranger {
        listed: Listed {
            under: row.text(0)?.to_owned(),
            filename: row.text(1)?.to_owned(),
            digest: Some(row.text(2)?).filter(|digest| !digest.is_empty()).and_then(|digest| digest.parse().ok()),
        },
        known: serde_json::from_str(row.text(3)?).map_err(|error| SqlError(error.to_string()))?,
    })
}

async fn tell_all(host: &impl SweepHost, repository: &Repository, told: &Told, made: &mut u64) -> Result<(), Silent> {
    *made += as_count(repository.projects.len());
    let answers = join_all(repository.projects.iter().map(|project_id| host.tell(*project_id, told))).await;
    answers.into_iter().collect()
}

/// The last page was read: what was on none is nearer to being gone, and a first reading has taken the baseline.
async fn end(
    sql: &impl Sql,
    host: &impl SweepHost,
    repository: &Repository,
    sweep: &Sweep,
    listed: usize,
    began_at: Timestamp,
) -> Result<Result<(), Trouble>, SqlError> {
    let name = repository.site.repository.as_str();
    let mut taken = None;
    if repository.is_public && !sweep.is_taken {
        let (count, digest) = of_baseline(sql, name)?;
        let told = Told::Adopted {
            site: repository.site.clone(),
            actor: "edge".to_owned(),
            details: json!({ "baseline": count, "digest": digest }),
        };
        if let Err(silent) = tell_all(host, repository, &told, &mut 0).await {
            return Ok(Err(Trouble::passing(silent.to_string())));
        }
        taken = Some((count, digest));
    }
    let now = host.now();
    sql.atomically(|| {
        sql.query(
            "UPDATE strangers SET absent = absent + 1 WHERE repository = ? AND seen_at < ?",
            &[name.into(), began_at.0.into()],
        )?;
        sql.query(
            "DELETE FROM strangers WHERE repository = ? AND absent >= ?",
            &[name.into(), ABSENT_READINGS.into()],
        )?;
        sql.query(
            "INSERT INTO sweeps (repository, ended_at, pages, listed_last) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (repository) DO UPDATE SET ended_at = ?2, tried_at = NULL, trouble = NULL, is_wanted = 0,
                listed_last = CASE WHEN began_at = ?4 THEN listed + ?3 ELSE ?3 END,
                pages = CASE WHEN began_at = ?4 THEN pages + 1 ELSE 1 END,
                next = NULL, began_at = NULL, listed = 0",
            &[name.into(), now.0.into(), as_count(listed).into(), began_at.0.into()],
        )?;
        if let Some((count, digest)) = &taken {
            sql.query(
                "UPDATE sweeps SET taken_at = ?, taken_count = ?, taken = ? WHERE repository = ?",
                &[now.0.into(), (*count).into(), digest.to_string().into(), name.into()],
            )?;
        }
        Ok(Ok(()))
    })
}

/// How many things a baseline has, and the SHA-256 of all their kept fingerprints in order, a line each.
fn of_baseline(sql: &impl Sql, repository: &str) -> Result<(u64, Digest), SqlError> {
    let (mut all, mut count, mut after) = (String::new(), 0, String::new());
    loop {
        let rows = sql.query(
            "SELECT fingerprint FROM baseline WHERE repository = ? AND fingerprint > ? ORDER BY fingerprint LIMIT 5000",
            &[repository.into(), after.as_str().into()],
        )?;
        let Some(last) = rows.last() else { return Ok((count, Digest::of(all.as_bytes()))) };
        last.text(0)?.clone_into(&mut after);
        for row in &rows {
            all.push_str(row.text(0)?);
            all.push('\n');
        }
        count += as_count(rows.len());
    }
}

// ---- what people see and do ----

/// How far a repository is read, and the strangers in it, for those who read a project.
pub fn shown(account: &Account<impl Sql>, site: &Site, project_id: u64) -> Result<api::SweptRepository, SqlError> {
    let sql = account.sql();
    let name = site.repository.as_str();
    let rows = sql.query(
        "SELECT ended_at, listed_last, pages, trouble, taken_at, taken_count, taken FROM sweeps WHERE repository = ?",
        &[name.into()],
    )?;
    let mut shown = api::SweptRepository {
        place: site.place.clone(),
        repository: site.repository.clone(),
        ..api::SweptRepository::default()
    };
    if let Some(row) = rows.first() {
        let at = |column| Ok::<_, SqlError>(row.integer_or_null(column)?.map(|at| Timestamp(at).to_string()));
        (shown.swept_at, shown.listed, shown.pages) = (at(0)?, row.natural(1)?, row.natural(2)?);
        shown.trouble = row.text_or_null(3)?.map(str::to_owned);
        if let (Some(taken_at), Some(count), Some(digest)) = (at(4)?, row.natural_or_null(5)?, row.text_or_null(6)?) {
            let digest = digest.parse().map_err(|error: slipway_wire::InvalidDigest| SqlError(error.to_string()))?;
            shown.baseline = Some(api::Baseline { taken_at, count, digest });
        }
    }
    let rows = sql.query(
        "SELECT under, filename, digest, known, found_at, seen_at, project_id FROM strangers
         WHERE repository = ? AND (digest <> '' OR looks > 1) ORDER BY found_at, under, filename, digest LIMIT ?",
        &[name.into(), SHOWN_MAX.into()],
    )?;
    for row in &rows {
        let Stranger { listed, known } = stranger_for(row, row.natural(6)?, project_id)?;
        let of_another = matches!(known, Known::Elsewhere { .. });
        let tag = tag_of(&listed.under).map(str::to_owned);
        let (expected, version, why) = match known {
            Known::Differs { version, expected } => (Some(expected), Some(version), "differs"),
            Known::TakenBack { version } => (None, Some(version), "withdrawn"),
            Known::Elsewhere { taken_back: false } => (None, None, "differs"),
            Known::Elsewhere { taken_back: true } => (None, None, "withdrawn"),
            _ => (None, None, "unknown"),
        };
        shown.strangers.push(api::Stranger {
            distro: Some(listed.under).filter(|under| tag.is_none() && !under.is_empty()),
            tag,
            filename: Some(listed.filename).filter(|filename| !filename.is_empty()),
            digest: listed.digest,
            why: why.to_owned(),
            expected,
            version,
            of_another,
            found_at: Timestamp(row.integer(4)?).to_string(),
            seen_at: Timestamp(row.integer(5)?).to_string(),
        });
    }
    let all = sql
        .query("SELECT COUNT(*) FROM strangers WHERE repository = ? AND (digest <> '' OR looks > 1)", &[name.into()])?;
    let all = all.first().map_or(Ok(0), |row| row.natural(0))?;
    shown.more = all.saturating_sub(as_count(shown.strangers.len()));
    Ok(shown)
}

/// Each repository that was ever read here, in numbers.
pub(crate) fn measured(sql: &impl Sql, now: Timestamp) -> Result<BTreeMap<String, MeasuredRepository>, SqlError> {
    let rows = sql.query(
        "SELECT repository, ended_at, (SELECT COUNT(*) FROM strangers
            WHERE strangers.repository = sweeps.repository AND (digest <> '' OR looks > 1)) FROM sweeps",
        &[],
    )?;
    let of = |row: &Row| {
        let ago = row.integer_or_null(1)?.map(|at| now.since(Timestamp(at)).as_secs());
        Ok((row.text(0)?.to_owned(), MeasuredRepository { strangers: row.natural(2)?, read_seconds_ago: ago }))
    };
    rows.iter().map(of).collect()
}

/// Why strangers are not adopted.
#[derive(Debug, thiserror::Error)]
pub enum NotAdopted {
    /// None is meant.
    #[error("no stranger in {0} is meant; `GET …/strangers` lists them")]
    None(String),
    /// One has the name of what Slipway knows otherwise.
    #[error(
        "`{0}` is known to Slipway with other bytes, or was withdrawn: remove it from the repository; it cannot be adopted"
    )]
    KnownOtherwise(String),
    /// Another object did not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// The database said no.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// Takes strangers into the baseline: those with these digests, or all that can be.
pub async fn adopt(
    account: &Account<impl Sql>,
    host: &impl SweepHost,
    repository: &Repository,
    asked: &api::AdoptionRequest,
    actor: &str,
) -> Result<u64, NotAdopted> {
    let sql = account.sql();
    let name = repository.site.repository.as_str();
    let rows = sql.query(
        "SELECT under, filename, digest, known FROM strangers WHERE repository = ? ORDER BY under, filename, digest",
        &[name.into()],
    )?;
    let mut adopted = Vec::new();
    let wanted: BTreeSet<Digest> = asked.digests.iter().copied().collect();
    for row in &rows {
        let found = stranger(row)?;
        let is_named = found.listed.digest.is_some_and(|digest| wanted.contains(&digest));
        match found.known {
            Known::Unknown if asked.all || is_named => adopted.push(found.listed),
            _ if is_named => return Err(NotAdopted::KnownOtherwise(found.listed.name())),
            _ => {}
        }
    }
    if adopted.is_empty() {
        return Err(NotAdopted::None(name.to_owned()));
    }
    let names: Vec<_> =
        adopted.iter().take(20).map(|listed| json!({ "name": listed.name(), "digest": listed.digest })).collect();
    let more = adopted.len().saturating_sub(names.len());
    let told = Told::Adopted {
        site: repository.site.clone(),
        actor: actor.to_owned(),
        details: json!({ "reason": asked.reason, "adopted": names, "more": more }),
    };
    // The audit first: what it says and is not done yet is asked for again.
    tell_all(host, repository, &told, &mut 0).await?;
    sql.atomically(|| {
        for listed in &adopted {
            let digest = listed.digest.map(|digest| digest.to_string()).unwrap_or_default();
            let row = [name.into(), kept(listed).into()];
            sql.query("INSERT OR IGNORE INTO baseline (repository, fingerprint) VALUES (?, ?)", &row)?;
            let of: [Value; 4] =
                [name.into(), listed.under.as_str().into(), listed.filename.as_str().into(), digest.into()];
            sql.query("DELETE FROM strangers WHERE repository = ? AND under = ? AND filename = ? AND digest = ?", &of)?;
        }
        Ok(as_count(adopted.len()))
    })
}

/// Why strangers are not recalled.
#[derive(Debug, thiserror::Error)]
pub enum NotRecalled {
    /// The baseline is not taken yet, and would take them again.
    #[error("{0} was not read whole yet; wait for that, or have it read by `POST …/sweeps`, and send the list again")]
    NotTaken(String),
    /// It has what no list has.
    #[error("this is no list as `GET …/strangers` gives it: {0}")]
    NoList(String),
    /// Another object did not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// The database said no.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// Takes what was a stranger before a restore out of the baseline that was taken since: it is a stranger again. Whatever the list
/// says, no more is known afterwards than was before, and what the records know themselves the next reading sets right.
pub async fn recall(
    account: &Account<impl Sql>,
    host: &impl SweepHost,
    repository: &Repository,
    list: &api::SweptRepository,
    actor: &str,
) -> Result<api::RecalledRepository, NotRecalled> {
    let sql = account.sql();
    let name = repository.site.repository.as_str();
    if !Sweep::of(sql, name)?.is_taken {
        return Err(NotRecalled::NotTaken(name.to_owned()));
    }
    if as_count(list.strangers.len()) > SHOWN_MAX {
        return Err(NotRecalled::NoList(format!("it has more than {SHOWN_MAX} strangers of {name}")));
    }
    let mut recalled = Vec::new();
    for stranger in list.strangers.iter().filter(|stranger| stranger.why == "unknown") {
        let listed = Listed {
            under: stranger.tag.as_ref().map(|tag| format!(":{tag}")).or(stranger.distro.clone()).unwrap_or_default(),
            filename: stranger.filename.clone().unwrap_or_default(),
            digest: stranger.digest,
        };
        let found_at = stranger.found_at.parse::<Timestamp>();
        let found_at = found_at.map_err(|error| NotRecalled::NoList(format!("{}: {error}", listed.name())))?;
        let row = [name.into(), kept(&listed).into()];
        let is_known = sql.query("SELECT 1 FROM baseline WHERE repository = ? AND fingerprint = ?", &row)?;
        if !is_known.is_empty() {
            recalled.push((listed, found_at));
        }
    }
    if !recalled.is_empty() {
        let names = recalled.iter().take(20);
        let names: Vec<_> =
            names.map(|(listed, _)| json!({ "name": listed.name(), "digest": listed.digest })).collect();
        let more = recalled.len().saturating_sub(names.len());
        let told = Told::Recalled {
            site: repository.site.clone(),
            actor: actor.to_owned(),
            details: json!({ "recalled": names, "more": more }),
        };
        // The audit first: what it says and is not done yet is asked for again.
        tell_all(host, repository, &told, &mut 0).await?;
    }
    let now = host.now();
    sql.atomically(|| {
        for (listed, found_at) in &recalled {
            let digest = listed.digest.map(|digest| digest.to_string()).unwrap_or_default();
            let row = [name.into(), kept(listed).into()];
            sql.query("DELETE FROM baseline WHERE repository = ? AND fingerprint = ?", &row)?;
            let known = serde_json::to_string(&Known::Unknown).map_err(|error| SqlError(error.to_string()))?;
            sql.query(
                "INSERT OR IGNORE INTO strangers
                 (repository, under, filename, digest, known, found_at, seen_at, looks, absent, is_told, project_id)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 2, 0, 0, 0)",
                &[
                    name.into(),
                    listed.under.as_str().into(),
                    listed.filename.as_str().into(),
                    digest.into(),
                    known.into(),
                    (*found_at).min(now).0.into(),
                    now.0.into(),
                ],
            )?;
        }
        if !recalled.is_empty() {
            let (count, digest) = of_baseline(sql, name)?;
            sql.query(
                "UPDATE sweeps SET taken_count = ?, taken = ? WHERE repository = ?",
                &[count.into(), digest.to_string().into(), name.into()],
            )?;
        }
        Ok::<_, SqlError>(())
    })?;
    let shown = shown(account, &repository.site, 0)?;
    let baseline = shown.baseline.ok_or_else(|| NotRecalled::NotTaken(name.to_owned()))?;
    Ok(api::RecalledRepository {
        place: repository.site.place.clone(),
        repository: name.to_owned(),
        recalled: as_count(recalled.len()),
        agrees: list.baseline.as_ref().is_some_and(|before| before.digest == baseline.digest),
        more: list.more,
        baseline,
    })
}

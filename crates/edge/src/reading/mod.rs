//! One reading for all who ask the same server the same kind of thing.
//!
//! When a release goes out, dozens of packages look at the same two repositories and at the same index, again and again.
//! Whoever asks is answered by a reading that began after the question: those who ask within a moment share one, those
//! who come while it runs share the next. So the answer is never older than the question, and the load on the server
//! does not grow with the number of packages.
//!
//! Of an index, what was read stays: an unchanged one costs a conditional request, and a changed one is read once for
//! every name that anybody has been interested in of late.
//!
//! A reading may be long, page after page. Whoever waits for it is told when the place last answered anything: one that
//! has much to say is another matter than one that says nothing.

mod heard;
mod known;
mod queue;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use slipway_core::cargo::Name;
use slipway_core::inventory::{Seen, Served};
use slipway_core::problem::Code;
use slipway_core::store::{IndexName, Reading, Store};
use slipway_core::time::Timestamp;
use slipway_core::trouble::{Trouble, TroubleKind};
use slipway_ledger::{Sql, SqlError};
use slipway_oci::Which;
use slipway_package::Filename;
use slipway_wire::Http;

use self::heard::Heard;
use self::known::Known;
pub(crate) use self::known::TABLES;
use self::queue::{Answers, Gather, Queues};
use crate::account::Account;
use crate::port::AccountHost;

/// The shared readings of one account.
pub struct Readings {
    lists: Queues<Name, Seen>,
    indexes: Queues<Filename, Served>,
    /// Names that were looked for in a repository and will be in its index, by index, until that is read. In memory
    /// alone: a name that is forgotten costs one more reading, and writing each down would cost a write to the disk.
    soon: RefCell<BTreeMap<String, BTreeSet<Filename>>>,
    /// When the place last answered anything.
    answered_at: Cell<Option<Timestamp>>,
}

impl Readings {
    /// When the place last answered anything that a reading asked of it, whatever it said. Nobody knows for long: it is in
    /// memory alone.
    pub fn answered_at(&self) -> Option<Timestamp> {
        self.answered_at.get()
    }
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            lists: Queues::new(Gather::PATIENT),
            indexes: Queues::new(Gather::BRIEF),
            soon: RefCell::default(),
            answered_at: Cell::default(),
        }
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

/// What a repository has under a name.
pub async fn find(
    readings: &Readings,
    account: &Account<impl Sql>,
    host: &impl AccountHost,
    repository: &str,
    name: &Name,
) -> Result<Seen, Trouble> {
    let http = Heard { host, at: &readings.answered_at };
    let look = async |store: Store| {
        // Whoever looks for a file will want to see it in the index: one reading of that then serves all of them.
        if let Name::File(distro, filename) = name
            && let Ok(index) = IndexName::of(distro, filename)
        {
            let mut soon = readings.soon.borrow_mut();
            let names = soon.entry(index_id(repository, &index)).or_default();
            if names.len() < known::NAMES_MAX {
                names.insert(filename.clone());
            }
        }
        let read = async |names: &BTreeSet<Name>| store.find_all(&http, names).await;
        readings.lists.ask(host, repository, name.clone(), read).await
    };
    // On the heap: whoever awaits a reading is deep enough for a compiler without it.
    Ok(Box::pin(looked(account, host, repository, look)).await?.unwrap_or(Seen::Nothing))
}

/// What a repository serves under a name, to anybody: its index lists a file, a tag leads to an image.
pub async fn served(
    readings: &Readings,
    account: &Account<impl Sql>,
    host: &impl AccountHost,
    repository: &str,
    name: &Name,
) -> Result<Served, Trouble> {
    let http = Heard { host, at: &readings.answered_at };
    let look = async |store: Store| {
        let (distro, filename) = match name {
            Name::File(distro, filename) => (distro, filename),
            // Each tag is a reading of its own.
            Name::Image(Which::Tag(tag)) => return Ok(Some(store.served(&http, tag).await?)),
            Name::Image(Which::Digest(digest)) => {
                return Err(Trouble::lasting(Code::NotConfigured, format!("{digest} is looked for under no tag")));
            }
        };
        let index = IndexName::of(distro, filename)?;
        let id = index_id(repository, &index);
        let read = async |names: &BTreeSet<Filename>| {
            let mut wanted = readings.soon.borrow_mut().remove(&id).unwrap_or_default();
            wanted.extend(names.iter().cloned());
            known::interested(account.sql(), &id, &wanted, host.now()).map_err(|error| unwritten(&error))?;
            read_index(account.sql(), &http, &store, &index, &id, names).await
        };
        readings.indexes.ask(host, &id, filename.clone(), read).await
    };
    // On the heap: whoever awaits a reading is deep enough for a compiler without it.
    Ok(Box::pin(looked(account, host, repository, look)).await?.unwrap_or(Served::NotListed))
}

/// Looks at a repository, unless its account is cut off: then nobody asks. A look that finds it cut off is heeded.
async fn looked<T>(
    account: &Account<impl Sql>,
    host: &impl AccountHost,
    repository: &str,
    look: impl AsyncFnOnce(Store) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    if let Some(trouble) = account.cut_off(host.now()).map_err(|error| unwritten(&error))? {
        return Err(trouble);
    }
    let store = host.open(repository).map_err(|lacks| Trouble::lasting(Code::NotConfigured, lacks))?;
    let looked = look(store).await;
    if let Err(trouble) = &looked
        && trouble.kind == TroubleKind::CutOff
    {
        account.leave_alone(trouble, host.now()).map_err(|error| unwritten(&error))?;
    }
    looked
}

/// Reads an index for these names, and for all that anybody is interested in.
async fn read_index(
    sql: &impl Sql,
    http: &impl Http,
    store: &Store,
    index: &IndexName,
    id: &str,
    names: &BTreeSet<Filename>,
) -> Answers<Filename, Served> {
    let unwritten = |error: SqlError| unwritten(&error);
    let known = Known::of(sql, id).map_err(unwritten)?;
    // What was read holds only for the names that it was read for.
    let mark = known.mark.as_ref().filter(|_| names.iter().all(|name| known.has(name)));
    let for_all = |served: &dyn Fn(&Filename) -> Served| -> BTreeMap<Filename, Served> {
        names.iter().map(|name| (name.clone(), served(name))).collect()
    };
    Ok(match store.read_index(http, index, mark, &known.wanted()).await? {
        Reading::Unchanged(mark) => {
            known::keep_mark(sql, id, &mark).map_err(unwritten)?;
            for_all(&|name| known.served(name))
        }
        Reading::Listed { mark, found } => {
            known.keep(sql, id, &mark, &found).map_err(unwritten)?;
            for_all(&|name| found.get(name).cloned().unwrap_or_default().into())
        }
        Reading::InMotion => for_all(&|_| Served::InMotion),
        Reading::Absent => for_all(&|_| Served::NotListed),
    })
}

fn index_id(repository: &str, index: &IndexName) -> String {
    format!("{repository} {} {} {}", index.distro, index.kind, index.architecture)
}

fn unwritten(error: &SqlError) -> Trouble {
    Trouble::passing(format!("cannot keep what an index lists: {error}"))
}

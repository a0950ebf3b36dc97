//! A small package server: packagecloud's API over real, signed APT and YUM repositories on disk.
//!
//! It speaks the API that packagecloud's clients know (ids, statuses and bodies as recorded), keeps packages in one
//! folder, and serves APT and YUM repositories that `apt-get` and `dnf` install from. State is the folder and an append-only journal:
//! killed at any moment and started again, it has lost nothing that it accepted.
//!
//! Deliberately absent: a database, passwords, TLS (put a proxy in front), unpacking of packages, and changes to them.

mod access;
mod answer;
mod api;
mod apt;
mod clock;
mod compress;
mod consumer;
mod control;
mod deb;
mod depot;
mod distance;
mod distributions;
mod drills;
mod faults;
mod files;
mod folder;
mod front;
mod history;
mod indexes;
mod journal;
mod names;
mod package;
mod paging;
mod promote;
mod push;
mod query;
mod rpm;
mod shapes;
mod shelf;
mod signing;
mod storage;
mod store;
mod yum;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use crate::access::{InvalidSeed, Seed};
pub use crate::distributions::Ids;
pub use crate::journal::JournalError;
pub use crate::names::{Distro, InvalidName, Repository};
pub use crate::store::StoreError;

/// How a depot is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds everything; made if it is not there.
    pub data: PathBuf,
    /// Where the API and the repositories are served. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where downloads are redirected to: another origin than `listen`, as with a CDN.
    pub storage: SocketAddr,
    /// Where tests order faults and read the journal; off unless given, and only on loopback.
    pub control: Option<SocketAddr>,
    /// Which distribution ids the API knows.
    pub ids: Ids,
    /// Users and repositories to add at the start.
    pub seed: Seed,
    /// What clients call `listen`, when a proxy stands in front.
    pub url: Option<String>,
    /// What clients call `storage`, when a proxy stands in front.
    pub storage_url: Option<String>,
    /// How long a link to the storage works, in seconds.
    pub link_seconds: u64,
}

/// How long a link to the storage works unless set: long enough to follow a redirect, too short to pass on.
pub const LINK_SECONDS: u64 = 300;

/// Why a depot does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control listener would be reachable from other machines.
    #[error("the control listener takes orders from everybody who reaches it: give it a loopback address, not {0}")]
    ControlNotLoopback(SocketAddr),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Opening the folder ended in the middle, which is a mistake in the depot.
    #[error("opening the folder ended unexpectedly")]
    Unexpected(#[source] tokio::task::JoinError),
}

/// A depot that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// Of the API and the repositories, without a slash at the end.
    pub url: String,
    /// Of the storage, without a slash at the end.
    pub storage_url: String,
    /// Of the control listener, if there is one.
    pub control_url: Option<String>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Waits for as long as the depot serves.
    pub async fn stopped(&mut self) {
        self.tasks.join_next().await;
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, String), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    Ok((listener, url))
}

/// Opens the folder, applies the seed, writes the indexes and begins to serve.
pub async fn start(options: Options) -> Result<Running, StartError> {
    if let Some(address) = options.control
        && !address.ip().is_loopback()
    {
        return Err(StartError::ControlNotLoopback(address));
    }
    let store = {
        let (data, seed) = (options.data, options.seed);
        tokio::task::spawn_blocking(move || -> Result<_, StoreError> {
            let store = store::Store::open(&data)?;
            store.seed(&seed)?;
            store.write_due_indexes(|_, _| false);
            Ok(store)
        })
        .await
        .map_err(StartError::Unexpected)??
    };
    let (api, url) = listen(options.listen).await?;
    let (storage, storage_url) = listen(options.storage).await?;
    let trimmed = |url: String| url.trim_end_matches('/').to_owned();
    let depot = Arc::new(depot::Depot {
        store,
        ids: options.ids.into(),
        url: options.url.map_or_else(|| url.clone(), trimmed),
        storage_url: options.storage_url.map_or_else(|| storage_url.clone(), trimmed),
        link_seconds: AtomicU64::new(options.link_seconds),
        drills: drills::Drills::default(),
    });
    let mut tasks = JoinSet::new();
    let mut control_url = None;
    if let Some(address) = options.control {
        let (listener, url) = listen(address).await?;
        control_url = Some(url);
        serve(&mut tasks, listener, Router::new().fallback(control::answer).with_state(depot.clone()));
    }
    let distance = &depot.drills.distance;
    let (api, storage) = (distance.listen(api), distance.listen(storage));
    serve(&mut tasks, api, Router::new().fallback(front::answer).with_state(depot.clone()));
    serve(&mut tasks, storage, Router::new().fallback(storage::answer).with_state(depot.clone()));
    tasks.spawn(keep_indexes(depot));
    Ok(Running { url, storage_url, control_url, tasks })
}

fn serve<L>(tasks: &mut JoinSet<()>, listener: L, router: Router)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("depot: a listener ended: {error}");
        }
    });
}

/// Writes each index when it is due, for as long as the depot runs.
async fn keep_indexes(depot: Arc<depot::Depot>) {
    loop {
        let store = depot.clone();
        let next = tokio::task::spawn_blocking(move || {
            store.store.write_due_indexes(|repository, distro| {
                store.drills.faults.holds_index(&format!("{repository}/{distro}"))
            })
        })
        .await;
        let Ok(next) = next else {
            eprintln!("depot: writing the indexes ended unexpectedly; restart the depot");
            return;
        };
        let changed = depot.store.changed.notified();
        match next {
            None => changed.await,
            Some(moment) => {
                let wait = Duration::from_millis(moment.ms_since(clock::Moment::now()));
                // Whichever comes first: the due moment, or something new that may be due earlier.
                let _ = tokio::time::timeout(wait, changed).await;
            }
        }
    }
}

//! The two listeners, and what their routes share.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    api,
    browser::Browsers,
    clock::Moment,
    control, delivery,
    fault::Faults,
    keys::Keys,
    lifecycle::Steps,
    oauth::Codes,
    seed,
    world::{Store, Unwritten},
};

/// How to start a stand-in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of its journal and keys; made when absent.
    pub data: PathBuf,
    /// The address of GitLab's own routes; port 0 takes a free one. The issuer of ID tokens contains it, so a restart
    /// needs the same.
    pub listen: SocketAddr,
    /// The address of the control routes, on loopback.
    pub control: SocketAddr,
    /// A JSON file of projects, users, tokens and hooks to begin with.
    pub seed: Option<PathBuf>,
}

/// Why a stand-in does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control routes can do anything, so only this machine may reach them.
    #[error("the control address {0} is not on loopback; use 127.0.0.1")]
    ControlInPublic(SocketAddr),
    /// The journal or the keys.
    #[error("cannot use the data folder {}: {source}", folder.display())]
    Data {
        /// The folder given.
        folder: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address given.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The seed file.
    #[error("cannot apply the seed {}: {reason}", file.display())]
    Seed {
        /// The file given.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A stand-in that serves until this is dropped.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    control: String,
    listeners: JoinSet<io::Result<()>>,
}

impl StandIn {
    /// The address of GitLab itself: the API's, and the issuer of its ID tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of the control routes.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Waits until a listener fails, which may be for ever.
    pub async fn failed(&mut self) -> io::Error {
        match self.listeners.join_next().await {
            Some(Ok(Err(error))) => error,
            _ => io::Error::other("a listener ended"),
        }
    }
}

/// Starts a stand-in; it answers when this returns.
pub async fn start(options: Options) -> Result<StandIn, StartError> {
    if !options.control.ip().is_loopback() {
        return Err(StartError::ControlInPublic(options.control));
    }
    let (listener, url) = bind(options.listen).await?;
    let (control_listener, control) = bind(options.control).await?;
    let folder = options.data.clone();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        // The journal first: its lock keeps a second stand-in from making keys.
        let store = Store::open(&folder.join("journal.ndjson"))?;
        Ok((store, Keys::open(&folder)?))
    })
    .await
    .unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
    let (mut store, keys) = opened.map_err(|source| StartError::Data { folder: options.data.clone(), source })?;
    if let Some(file) = options.seed {
        seed::apply_file(&mut store, &file).map_err(|reason| StartError::Seed { file, reason })?;
    }
    let gitlab = Arc::new(Gitlab {
        url: url.clone(),
        store: Mutex::new(store),
        keys: Mutex::new(keys),
        faults: Faults::default(),
        codes: Codes::default(),
        browsers: Browsers::default(),
        resends: Mutex::default(),
    });
    delivery::wake(&gitlab); // What a kill left in the queues.
    let mut listeners = JoinSet::new();
    listeners.spawn(serve(listener, api::routes(Arc::clone(&gitlab))));
    listeners.spawn(serve(control_listener, control::routes(gitlab)));
    Ok(StandIn { url, control, listeners })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, String), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    Ok((listener, url))
}

async fn serve(listener: TcpListener, routes: Router) -> io::Result<()> {
    axum::serve(listener, routes).await
}

/// What every route can reach.
pub(super) struct Gitlab {
    /// The instance's own address, without a slash at the end.
    pub(super) url: String,
    store: Mutex<Store>,
    keys: Mutex<Keys>,
    pub(super) faults: Faults,
    /// What people who sign a program in have been given to type.
    pub(super) codes: Codes,
    /// Who sits before browsers, and what they have been given to take back.
    pub(super) browsers: Browsers,
    /// When each user had deliveries of each project sent again, for the limit on it.
    pub(super) resends: Mutex<BTreeMap<(u64, u64), Vec<Moment>>>,
}

impl Gitlab {
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes steps with jobs, writes them down, and starts sending the webhooks about them.
    pub(super) fn steps<T, E: From<Unwritten>>(
        self: &Arc<Self>,
        take: impl FnOnce(&mut Steps<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let taken = self.store().change(|change| take(&mut Steps { change, instance: &self.url, now: Moment::now() }));
        delivery::wake(self);
        taken
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The decoded fields of a query string, in order.
pub(super) fn query_fields(query: Option<&str>) -> Vec<(String, String)> {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .unwrap_or_default()
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            field.split_once('=').map_or((decode(field), String::new()), |(name, value)| (decode(name), decode(value)))
        })
        .collect()
}

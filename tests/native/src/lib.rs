//! The ports [`Http`] and [`Relay`] over native sockets, for tests and measurements on loopback.
//!
//! The relay keeps the promise of the edge's: the last piece is withheld unless all bytes together have the digest.
//!
//! Absent on purpose: TLS, and limits of time; what runs here is on the same machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest as _, Sha256};
use slipway_wire::{Digest, Http, Relay, RelayError, Relayed, Request, Response, Transfer, Unreachable};

/// How many pieces may be on their way between the two sides.
const PIECES_MAX: usize = 8;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A client with its connections.
#[derive(Clone, Debug)]
pub struct Native {
    client: Client<HttpConnector, BoxBody<Bytes, Failed>>,
    /// How long a request waits before it leaves, and its answer before it is read.
    latency: Duration,
    sent: std::sync::Arc<AtomicU64>,
}

impl Native {
    /// A client whose every request and answer is on its way for `latency`.
    pub fn new(latency: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, latency, sent: std::sync::Arc::default() }
    }

    /// How many requests have left.
    pub fn requests(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn ask(
        &self,
        request: http::Request<BoxBody<Bytes, Failed>>,
    ) -> Result<http::Response<Incoming>, Unreachable> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.pause().await;
        let answer = self.client.request(request).await;
        self.pause().await;
        answer.map_err(|error| unreachable(&host, &error))
    }

    async fn pause(&self) {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
    }
}

fn unreachable(host: &str, error: &dyn std::error::Error) -> Unreachable {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        why = format!("{why}: {deeper}");
        source = deeper.source();
    }
    Unreachable { host: host.to_owned(), why }
}

fn full(body: Vec<u8>) -> BoxBody<Bytes, Failed> {
    Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed()
}

fn host(uri: &http::Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

impl Http for Native {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let host = host(request.uri());
        let (head, body) = self.ask(request.map(full)).await?.into_parts();
        let body = body.collect().await.map_err(|error| unreachable(&host, &error))?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let host = host(request.uri());
        let (head, mut body) = self.ask(request.map(full)).await?.into_parts();
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable(&host, &error))?;
            let Ok(piece) = frame.into_data() else { continue };
            if !head.status.is_success() {
                kept.extend_from_slice(&piece);
            } else if !each(&piece) {
                break;
            }
        }
        Ok(Response::from_parts(head, kept))
    }

    /// Twice what a Worker has: six blobs on their way, as `skopeo` has, too.
    fn connections(&self) -> usize {
        12
    }
}

impl Relay for Native {
    async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
        let length = transfer.sent_bytes();
        let Transfer { source, upload, prefix, suffix, size, skip, digest } = transfer;
        let (source_host, upload_host) = (host(source.uri()), host(upload.uri()));
        let source = self.ask(source.map(|()| full(Vec::new()))).await?;
        if source.status() != http::StatusCode::OK {
            return Err(RelayError::Source(source.status()));
        }
        let (sender, body) = Channel::<Bytes, Failed>::new(PIECES_MAX);
        let mut upload = upload.map(|()| body.boxed());
        upload.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        let pumped = pump(source.into_body(), sender, Sending { prefix, suffix, size, skip, digest });
        let (pumped, answer) = tokio::join!(pumped, async {
            let (head, body) = self.ask(upload).await?.into_parts();
            let body = body.collect().await.map_err(|error| unreachable(&upload_host, &error))?;
            Ok::<_, Unreachable>(Response::from_parts(head, body.to_bytes().to_vec()))
        });
        match (pumped, answer) {
            (Pumped::Whole, answer) => Ok(Relayed::Answered(answer?)),
            (Pumped::Wrong { found, size }, _) => Ok(Relayed::Withheld { found, size }),
            (Pumped::Stopped, answer) => Ok(Relayed::AnsweredEarly(answer?)),
            (Pumped::Cut(why), _) => Err(Unreachable { host: source_host, why }.into()),
        }
    }
}

enum Pumped {
    /// Everything was sent.
    Whole,
    /// The end was withheld.
    Wrong { found: Option<Digest>, size: u64 },
    /// The destination wants no more.
    Stopped,
    /// The source broke off.
    Cut(String),
}

/// What is sent of what is read, and what it must be.
struct Sending {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    size: u64,
    skip: u64,
    digest: Digest,
}

async fn pump(mut source: Incoming, mut sender: Sender<Bytes, Failed>, sending: Sending) -> Pumped {
    let Sending { prefix, suffix, size, skip, digest } = sending;
    let mut hash = Sha256::new();
    let mut read = 0;
    let mut withheld = Bytes::from(prefix);
    while let Some(frame) = source.frame().await {
        let mut piece = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => {
                sender.abort("the source broke off".into());
                return Pumped::Cut(unreachable("", &error).why);
            }
        };
        hash.update(&piece);
        let skipped = usize::try_from(skip.saturating_sub(read)).unwrap_or(usize::MAX).min(piece.len());
        read += piece.len() as u64;
        if read > size {
            break;
        }
        drop(piece.split_to(skipped));
        if piece.is_empty() {
            continue;
        }
        let before = std::mem::replace(&mut withheld, piece);
        if !before.is_empty() && sender.send_data(before).await.is_err() {
            return Pumped::Stopped;
        }
    }
    let found = Digest::from_bytes(hash.finalize().into());
    if read != size || found != digest {
        sender.abort("the source holds other bytes".into());
        return Pumped::Wrong { found: (read == size).then_some(found), size: read };
    }
    let last = [withheld, Bytes::from(suffix)].concat();
    if !last.is_empty() && sender.send_data(last.into()).await.is_err() {
        return Pumped::Stopped;
    }
    Pumped::Whole
}

//! Moving a package's bytes: the stateless invocation that a package's object calls, and the port that calls it.
//!
//! A Durable Object is one shared context with six connections, and is said to have a cap on the bodies that it sends;
//! a stateless invocation has neither. It is the same Worker, reached through the `SELF` binding, and does only what a
//! one-time capability says: signed by this edge, redeemed at the object that issued it, which then hands over the
//! transfer. From outside nothing can be made with the route.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::promotion::MayEnd;
use slipway_core::stop::Stopped;
use slipway_core::time::Timestamp;
use slipway_edge::package;
use slipway_edge::port::Silent;
use slipway_relay::Limits;
use slipway_wire::{Digest, RelayError, Relayed, TooSlow, Transfer, Unreachable};
use web_sys::AbortController;
use worker::{Delay, Env, Method, Request, RequestInit, Result};

use crate::answer::{Answer, Problem, secret_json};
use crate::clock;
use crate::fetch::body;
use crate::message::{self, ToPackage, ToProject, ask};
use crate::settings;

/// The route. It is not part of the API: whoever comes from outside gets the same 404 as anywhere.
pub(crate) const PATH: &str = "/internal/copy";

/// How long a capability can be redeemed. The call is made at once.
const CAPABILITY_SECONDS: u64 = 30;

/// How often, one after the other, a copy may ask in vain whether it may go on. It asks about once a second.
const SILENT_MAX: u32 = 8;

/// How often, and after how long, it asks for leave to end when nobody answers.
const ASKED_MAX: u32 = 3;
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Far more than a capability has. The route is open to the outside, where nobody has one.
const CAPABILITY_BYTES_MAX: usize = 4096;

const PURPOSE: &str = "copy";

/// What the caller of the route shows.
#[derive(Serialize, Deserialize)]
struct Capability {
    package: String,
    nonce: String,
    ends_at: Timestamp,
}

/// A transfer on its way between two invocations of this Worker. It holds the credentials of the upload, so it is
/// neither stored nor logged.
#[derive(Serialize, Deserialize)]
pub(crate) struct Loaded {
    source: String,
    source_headers: Vec<(String, String)>,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    size: u64,
    skip: u64,
    digest: Digest,
    /// When the run that has called for it ends.
    until: Option<Timestamp>,
}

/// How it ended, on its way back.
#[derive(Serialize, Deserialize)]
enum Unloaded {
    Answered { status: u16, headers: Vec<(String, String)>, body: String, early: bool },
    Withheld { found: Option<Digest>, size: u64 },
    Source { status: u16 },
    Broken { host: String, why: String },
    TooSlow { bytes: u64, rate_bytes_per_second: u64, needed_seconds: u64, left_seconds: u64 },
}

impl Loaded {
    pub(crate) fn from_transfer(transfer: Transfer, until: Option<Timestamp>) -> Result<Self> {
        Ok(Self {
            source: transfer.source.uri().to_string(),
            source_headers: texts(transfer.source.headers())?,
            method: transfer.upload.method().to_string(),
            url: transfer.upload.uri().to_string(),
            headers: texts(transfer.upload.headers())?,
            prefix: transfer.prefix,
            suffix: transfer.suffix,
            size: transfer.size,
            skip: transfer.skip,
            digest: transfer.digest,
            until,
        })
    }

    fn into_transfer(self) -> Result<Transfer> {
        let unreadable = |error: http::Error| worker::Error::RustError(format!("the transfer cannot be read: {error}"));
        let mut source = http::Request::get(self.source);
        for (name, value) in self.source_headers {
            source = source.header(name, value);
        }
        let mut upload = http::Request::builder().method(self.method.as_str()).uri(self.url);
        for (name, value) in self.headers {
            upload = upload.header(name, value);
        }
        Ok(Transfer {
            source: source.body(()).map_err(unreadable)?,
            upload: upload.body(()).map_err(unreadable)?,
            prefix: self.prefix,
            suffix: self.suffix,
            size: self.size,
            skip: self.skip,
            digest: self.digest,
        })
    }
}

/// Headers as text.
fn texts(headers: &http::HeaderMap) -> Result<Vec<(String, String)>> {
    let texts = headers.iter().map(|(name, value)| {
        let value = value.to_str().map_err(|_| worker::Error::RustError(format!("the header {name} is not text")))?;
        Ok((name.to_string(), value.to_owned()))
    });
    texts.collect()
}

impl Unloaded {
    fn from_relayed(relayed: std::result::Result<Relayed, RelayError>) -> Self {
        let answered = |answer: slipway_wire::Response, early| Self::Answered {
            status: answer.status().as_u16(),
            // Those that are no text say nothing that is needed.
            headers: texts(answer.headers()).unwrap_or_default(),
            body: String::from_utf8_lossy(answer.body()).into_owned(),
            early,
        };
        match relayed {
            Ok(Relayed::Answered(answer)) => answered(answer, false),
            Ok(Relayed::AnsweredEarly(answer)) => answered(answer, true),
            Ok(Relayed::Withheld { found, size }) => Self::Withheld { found, size },
            Err(RelayError::Source(status)) => Self::Source { status: status.as_u16() },
            Err(RelayError::Broken(Unreachable { host, why })) => Self::Broken { host, why },
            Err(RelayError::TooSlow(TooSlow { bytes, rate_bytes_per_second, needed_seconds, left_seconds })) => {
                Self::TooSlow { bytes, rate_bytes_per_second, needed_seconds, left_seconds }
            }
        }
    }
}

/// Has a stateless invocation run the transfer that `package` hands over for `nonce`.
pub(crate) async fn send_out(env: &Env, package: &str, nonce: &str) -> std::result::Result<Relayed, RelayError> {
    let broken = |why: String| RelayError::Broken(Unreachable { host: "the copy".to_owned(), why });
    let ask = async {
        let ends_at = clock::now() + Duration::from_secs(CAPABILITY_SECONDS);
        let capability = Capability { package: package.to_owned(), nonce: nonce.to_owned(), ends_at };
        let sealed = settings::edge_key(env)?.seal(PURPOSE, &capability)?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(sealed.into()));
        let mut response = env.service("SELF")?.fetch(format!("https://self{PATH}"), Some(init)).await?;
        if response.status_code() != 200 {
            return Err(worker::Error::RustError(format!("the copy was answered with {}", response.status_code())));
        }
        Ok(serde_json::from_str::<Unloaded>(&response.text().await?)?)
    };
    match ask.await.map_err(|error: worker::Error| broken(error.to_string()))? {
        Unloaded::Answered { status, headers, body, early } => {
            let mut answer = http::Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(name, value);
            }
            let answer = answer.body(body.into_bytes()).map_err(|error| broken(error.to_string()))?;
            Ok(if early { Relayed::AnsweredEarly(answer) } else { Relayed::Answered(answer) })
        }
        Unloaded::Withheld { found, size } => Ok(Relayed::Withheld { found, size }),
        Unloaded::Source { status } => {
            Err(RelayError::Source(http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY)))
        }
        Unloaded::Broken { host, why } => Err(RelayError::Broken(Unreachable { host, why })),
        Unloaded::TooSlow { bytes, rate_bytes_per_second, needed_seconds, left_seconds } => {
            Err(RelayError::TooSlow(TooSlow { bytes, rate_bytes_per_second, needed_seconds, left_seconds }))
        }
    }
}

/// The stateless invocation.
pub(crate) async fn answer(mut request: Request, env: &Env) -> Answer {
    let not_here = || Problem::not_found("page");
    let sealed = String::from_utf8(body(&mut request, CAPABILITY_BYTES_MAX).await?).map_err(|_| not_here())?;
    let capability: Capability = settings::edge_key(env)?.open(PURPOSE, &sealed).map_err(|_| not_here())?;
    if capability.ends_at <= clock::now() {
        return Err(not_here());
    }
    let Capability { package, nonce, .. } = capability;
    let mut redeemed =
        message::tell(&message::package(env, &package)?, &ToPackage::Redeem { nonce: nonce.clone() }).await?;
    if redeemed.status_code() != 200 {
        return Err(not_here());
    }
    let loaded: Loaded = serde_json::from_str(&redeemed.text().await?)?;
    let limits = Limits::until(loaded.until);
    let abort = AbortController::new().map_err(worker::Error::from)?;
    let silent = Rc::new(Cell::new(0));
    let progress = |bytes| {
        let (env, package, nonce) = (env.clone(), package.clone(), nonce.clone());
        let (abort, silent) = (abort.clone(), Rc::clone(&silent));
        // For those who watch: when it gets lost, the next word comes in a second. The answer says whether Slipway was
        // stopped meanwhile, and a copy that hears nothing for long does not go on for that.
        wasm_bindgen_futures::spawn_local(async move {
            let sent = ToPackage::Sent { nonce, bytes };
            match ask::<Option<Stopped>>(message::package(&env, &package), &sent).await {
                Ok(None) => silent.set(0),
                Ok(Some(_)) => abort.abort(),
                Err(_) if silent.get() >= SILENT_MAX => abort.abort(),
                Err(_) => silent.set(silent.get() + 1),
            }
        });
    };
    // Whatever was sent, it is the end that makes it public.
    let may_end = async || {
        for _ in 0..ASKED_MAX {
            match may_end(env, &package).await {
                Ok(may) => return may == MayEnd::Now,
                Err(_) => Delay::from(ASKED_AGAIN).await,
            }
        }
        false
    };
    let transfer = loaded.into_transfer()?;
    let relayed = slipway_relay::relay_if(&transfer, &limits, Some(&abort.signal()), progress, may_end).await;
    secret_json(200, &Unloaded::from_relayed(relayed))
}

/// Whether the project's record lets a package become public now: what was true when the copy began need not be by its end.
async fn may_end(env: &Env, package: &str) -> std::result::Result<MayEnd, Silent> {
    let unnamed = || Silent(format!("`{package}` names no package"));
    let (project_id, version, key) = package::parts_of(package).ok_or_else(unnamed)?;
    ask(message::project(env, project_id), &ToProject::MayEnd { project_id, version, key }).await
}

//! The way to the services: every effect is counted, can go wrong, and is followed by a look at the whole.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;

use http::header::AUTHORIZATION;
use slipway_core::api::Step;
use slipway_core::promotion::Attempt;
use slipway_wire::{Digest, Http, Relay, RelayError, Relayed, Request, Response, Transfer, Unreachable};

use super::fault::{Fault, Kind};
use super::packagecloud::{Packagecloud, Writer};

/// What somebody else does at some moment.
type Act = Box<dyn FnOnce(&Net)>;

/// Two installations, staging and public, and everything that is sent to them.
pub struct Net {
    staging: RefCell<Packagecloud>,
    public: RefCell<Packagecloud>,
    effects: RefCell<Vec<Kind>>,
    faults: RefCell<BTreeMap<usize, Fault>>,
    meanwhile: RefCell<Vec<(Kind, Act)>>,
    /// What a person has approved: digests by repository, distro version and file name.
    approved: RefCell<BTreeMap<(String, String, String), Digest>>,
    /// What has ever been public.
    published: RefCell<BTreeMap<(String, String, String), Digest>>,
    hosts: RefCell<Vec<String>>,
    busy: Cell<u32>,
    looks: Cell<usize>,
}

impl Net {
    /// Both installations empty, with different ids.
    pub fn new() -> Self {
        Self {
            staging: RefCell::new(Packagecloud::new("staging", 60)),
            public: RefCell::new(Packagecloud::new("public", 165)),
            effects: RefCell::default(),
            faults: RefCell::default(),
            meanwhile: RefCell::default(),
            approved: RefCell::default(),
            published: RefCell::default(),
            hosts: RefCell::default(),
            busy: Cell::new(0),
            looks: Cell::new(0),
        }
    }

    /// The private installation.
    pub fn staging(&self) -> RefMut<'_, Packagecloud> {
        self.staging.borrow_mut()
    }

    /// The public one.
    pub fn public(&self) -> RefMut<'_, Packagecloud> {
        self.public.borrow_mut()
    }

    /// A person approves these bytes for that place.
    pub fn approve(&self, repository: &str, distro: &str, filename: &str, digest: Digest) {
        let place = (repository.to_owned(), distro.to_owned(), filename.to_owned());
        self.approved.borrow_mut().insert(place, digest);
    }

    /// Breaks the effect of this number, counted from 0.
    pub fn fault(&self, number: usize, fault: Fault) {
        self.faults.borrow_mut().insert(number, fault);
    }

    /// Has somebody else act right before the next effect of this kind.
    pub fn meanwhile(&self, kind: Kind, act: impl FnOnce(&Self) + 'static) {
        self.meanwhile.borrow_mut().push((kind, Box::new(act)));
    }

    /// Has all transfer slots taken for so many times of asking.
    pub fn busy(&self, times: u32) {
        self.busy.set(times);
    }

    /// What was done so far, in order.
    pub fn effects(&self) -> Vec<Kind> {
        self.effects.borrow().clone()
    }

    /// How many effects of this kind there were.
    pub fn count(&self, kind: Kind) -> usize {
        self.effects.borrow().iter().filter(|effect| **effect == kind).count()
    }

    /// The hosts that were asked, each request one.
    pub fn hosts(&self) -> Vec<String> {
        self.hosts.borrow().clone()
    }

    /// How often the whole was looked at.
    pub fn looks(&self) -> usize {
        self.looks.get()
    }

    /// One effect: carried out, or broken as a story wants it. A future that is pending after it will never go on.
    async fn effect<T>(
        &self,
        kind: Kind,
        broken: impl Fn(Fault) -> T,
        work: impl FnOnce() -> T,
        cut: impl Fn(T) -> T,
    ) -> T {
        let number = self.effects.borrow().len();
        self.effects.borrow_mut().push(kind);
        let due: Vec<_> = self.meanwhile.borrow_mut().extract_if(.., |(at, _)| *at == kind).collect();
        for (_, act) in due {
            act(self);
        }
        let fault = self.faults.borrow_mut().remove(&number);
        assert!(fault.is_none_or(|fault| fault.fits(kind)), "{fault:?} cannot happen to {kind:?}");
        let answer = match fault {
            None => Some(work()),
            Some(Fault::CrashBefore) => None,
            Some(Fault::CrashAfter) => {
                drop(work());
                None
            }
            Some(Fault::DoThenCut) => Some(cut(work())),
            Some(fault @ (Fault::DoThenFail(_) | Fault::DoThenNoAnswer)) => {
                drop(work());
                Some(broken(fault))
            }
            Some(fault) => Some(broken(fault)),
        };
        self.look();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    /// A word between two parts of the host. `false` when nobody heard that it arrived.
    pub async fn message(&self, work: impl FnOnce()) -> bool {
        let work = || {
            work();
            true
        };
        self.effect(Kind::Message, |_| false, work, |arrived| arrived).await
    }

    /// A small exchange with the service that has the address.
    async fn exchange(&self, request: Request) -> Result<Response, Unreachable> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let url = request.uri().to_string();
        self.hosts.borrow_mut().push(host.clone());
        let service = [&self.staging, &self.public].into_iter().find(|service| service.borrow().base.serves(&url));
        let service = service.unwrap_or_else(|| panic!("nobody may ask {host}"));
        let kind = Packagecloud::kind(request.uri().path());
        assert!(kind != Kind::Other && request.method() == "GET", "{} {kind:?} at {host}", request.method());
        let credential = request.headers().get(AUTHORIZATION);
        let own = service.borrow().token.basic().expect("a token is a header");
        let index = matches!(kind, Kind::Release | Kind::Packages);
        assert_eq!(credential, (!index).then_some(&own), "the credential of {kind:?} at {host}");
        let cut = |answer: Result<Response, Unreachable>| {
            answer.map(|mut answer| {
                let half = answer.body().len() / 2;
                answer.body_mut().truncate(half);
                answer
            })
        };
        self.effect(kind, |fault| broken(fault, &host), || Ok(service.borrow_mut().answer(&request)), cut).await
    }

    /// The push of the bytes that storage gives, as every relay must do it: the end only if all of it is right.
    fn carry(&self, transfer: &Transfer) -> Result<Relayed, RelayError> {
        let url = transfer.source.uri().to_string();
        assert!(self.staging.borrow().storage.serves(&url), "bytes come from storage alone");
        let bytes = self.staging.borrow().stored(&transfer.source).map_err(RelayError::Source)?;
        let size = u64::try_from(bytes.len()).expect("a small file");
        let found = Digest::of(&bytes);
        let right = size == transfer.size && found == transfer.digest;
        let mut body = [transfer.prefix.as_slice(), &bytes].concat();
        if right {
            body.extend_from_slice(&transfer.suffix);
        }
        match self.public.borrow_mut().push(&transfer.upload, &body) {
            Some(answer) if right => Ok(Relayed::Answered(answer)),
            Some(answer) => panic!("an upload that was broken off is answered {}", answer.status()),
            None => Ok(Relayed::Withheld { found: (size == transfer.size).then_some(found), size }),
        }
    }

    /// What must hold at every moment, whatever went wrong.
    fn look(&self) {
        self.looks.set(self.looks.get() + 1);
        let (staging, public) = (self.staging.borrow(), self.public.borrow());
        let (approved, mut published) = (self.approved.borrow(), self.published.borrow_mut());
        for (place, package) in &public.packages {
            let digest = package.digest;
            if !published.contains_key(place) {
                published.insert(place.clone(), digest);
            }
            assert_eq!(published.get(place), Some(&digest), "{place:?} became public with other bytes before");
            if package.by == Writer::Slipway && !public.renames {
                assert_eq!(approved.get(place), Some(&digest), "{place:?} is public, and nobody approved these bytes");
            }
        }
        assert!(public.writes.len() <= approved.len(), "more was accepted than approved: {:?}", public.writes);
        assert_eq!(staging.writes, [], "staging is only read");
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

fn unreachable(host: &str) -> Unreachable {
    Unreachable { host: host.to_owned(), why: "the connection broke".to_owned() }
}

fn broken(fault: Fault, host: &str) -> Result<Response, Unreachable> {
    let (status, body) = match fault {
        Fault::Refuse(status) | Fault::DoThenFail(status) | Fault::Early(status) => match status {
            401 => (status, r#"{"error":"Unauthenticated"}"#),
            402 => (status, r#"{"error":["payment required"]}"#),
            404 => (status, r#"{"error": "not_found"}"#),
            422 => (status, r#"{"plan":["Upgrade to add more packages!"]}"#),
            429 => (status, "Bandwidth or Storage Limit Exceeded"),
            _ => (status, "<html>A proxy has no answer.</html>"),
        },
        Fault::Page => (200, "<html>We are at work.</html>"),
        Fault::Stale => (200, "[]"),
        _ => return Err(unreachable(host)),
    };
    Ok(http::Response::builder().status(status).body(body.into()).expect("a status and no headers"))
}

/// One run of a promotion on this net.
pub struct Run<'a> {
    /// The services.
    pub net: &'a Net,
    /// Hears of every step that begins.
    pub begins: &'a dyn Fn(Step),
}

impl Http for Run<'_> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.net.exchange(request).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let mut answer = self.net.exchange(request).await?;
        if answer.status().is_success() {
            let body = std::mem::take(answer.body_mut());
            // Small pieces, so that lines and numbers are cut anywhere.
            let _stopped = body.chunks(61).all(each);
        }
        Ok(answer)
    }
}

impl Relay for Run<'_> {
    async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
        let url = transfer.upload.uri().to_string();
        let own = self.net.public.borrow().token.basic().expect("a token is a header");
        assert!(self.net.public.borrow().base.serves(&url), "nobody may push to {url}");
        assert_eq!(transfer.upload.headers().get(AUTHORIZATION), Some(&own), "the credential of the push");
        let hosts =
            [&transfer.source, &transfer.upload].map(|request| request.uri().host().unwrap_or_default().to_owned());
        self.net.hosts.borrow_mut().extend(hosts.clone());
        let broken = |fault| match fault {
            Fault::Storage(status) => {
                Err(RelayError::Source(http::StatusCode::from_u16(status).expect("stories name real statuses")))
            }
            Fault::Early(_) => broken(fault, &hosts[1]).map(Relayed::AnsweredEarly).map_err(RelayError::Broken),
            _ => broken(fault, &hosts[1]).map(Relayed::Answered).map_err(RelayError::Broken),
        };
        let cut = |relayed| match relayed {
            Ok(Relayed::Answered(mut answer)) => {
                let half = answer.body().len() / 2;
                answer.body_mut().truncate(half);
                Ok(Relayed::Answered(answer))
            }
            other => other,
        };
        self.net.effect(Kind::Relay, broken, || self.net.carry(&transfer), cut).await
    }
}

impl Attempt for Run<'_> {
    async fn slot(&self) -> bool {
        let lend = || {
            let busy = self.net.busy.get();
            self.net.busy.set(busy.saturating_sub(1));
            busy == 0
        };
        self.net.effect(Kind::Slot, |_| false, lend, |lent| lent).await
    }

    async fn begins(&self, step: Step) {
        self.net.message(|| (self.begins)(step)).await;
    }

    fn random(&self) -> [u8; 16] {
        *b"no chance at all"
    }
}

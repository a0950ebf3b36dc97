//! An `Http` of recorded answers, for the tests of this crate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use slipway_wire::{Base, Http, Request, Response, Token, Unreachable};

use crate::{Account, Distro, Filename, Repository};

/// Answers by address, whatever the method. An address without one gets packagecloud's 404.
#[derive(Default)]
pub(crate) struct Recorded {
    answers: BTreeMap<String, Response>,
    asked: RefCell<Vec<Request>>,
    /// How many bytes of bodies were read.
    read_bytes: Cell<usize>,
}

impl Recorded {
    pub(crate) fn with(mut self, url: &str, answer: Response) -> Self {
        self.answers.insert(url.to_owned(), answer);
        self
    }

    fn answer(&self, request: Request) -> Response {
        let answer = self.answers.get(&request.uri().to_string()).cloned();
        self.asked.borrow_mut().push(request);
        answer.unwrap_or_else(|| response(404, r#"{"error": "not_found"}"#))
    }

    /// How many bytes of bodies were read.
    pub(crate) fn read_bytes(&self) -> usize {
        self.read_bytes.get()
    }

    /// What was asked for, with the method: `GET https://…`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|request| format!("{} {}", request.method(), request.uri())).collect()
    }

    /// The values of a header in what was asked for.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let asked = self.asked.borrow();
        let values = asked.iter().filter_map(|request| request.headers().get(name));
        values.map(|value| value.to_str().expect("text").to_owned()).collect()
    }

    /// The hosts that were sent a credential.
    pub(crate) fn trusted(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let with_credential = asked.iter().filter(|request| request.headers().contains_key("authorization"));
        with_credential.map(|request| request.uri().host().unwrap_or_default().to_owned()).collect()
    }
}

impl Http for Recorded {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let answer = self.answer(request);
        self.read_bytes.set(self.read_bytes.get() + answer.body().len());
        Ok(answer)
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let mut answer = self.answer(request);
        if answer.status().is_success() {
            let body = std::mem::take(answer.body_mut());
            for piece in body.chunks(100) {
                self.read_bytes.set(self.read_bytes.get() + piece.len());
                if !each(piece) {
                    break;
                }
            }
        }
        Ok(answer)
    }
}

/// Runs a future that never has to wait.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

pub(crate) fn response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    http::Response::builder().status(status).body(body.into()).expect("a status")
}

pub(crate) fn with_header(status: u16, name: &str, value: &str, body: &str) -> Response {
    http::Response::builder().status(status).header(name, value).body(body.into()).expect("a header")
}

pub(crate) fn account() -> Account {
    Account::new(base("https://packages.example.com"), Token::new("t0k3n"))
}

pub(crate) fn base(text: &str) -> Base {
    text.parse().expect("an address")
}

pub(crate) fn staging() -> Repository {
    "harbour-ci/pre-release".parse().expect("a repository")
}

pub(crate) fn jammy() -> Distro {
    "ubuntu/jammy".parse().expect("a distro version")
}

pub(crate) fn filename(text: &str) -> Filename {
    text.parse().expect("a file name")
}

//! An `Http` of recorded answers, for the tests of this crate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use slipway_wire::{Base, Http, Request, Response, Token, Unreachable};

use crate::Instance;

/// Answers by address, whatever the method. An address without one gets GitLab's 404.
#[derive(Default)]
pub(crate) struct Recorded {
    answers: BTreeMap<String, Response>,
    asked: RefCell<Vec<String>>,
}

impl Recorded {
    pub(crate) fn with(mut self, url: &str, answer: Response) -> Self {
        self.answers.insert(url.to_owned(), answer);
        self
    }

    /// The addresses that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

impl Http for Recorded {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let url = request.uri().to_string();
        let answer = self.answers.get(&url).cloned();
        self.asked.borrow_mut().push(url);
        Ok(answer.unwrap_or_else(|| response(404, r#"{"message":"404 Not found"}"#)))
    }

    async fn read(&self, request: Request, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.send(request).await
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

pub(crate) fn with_header(name: &str, value: &str, body: impl Into<Vec<u8>>) -> Response {
    http::Response::builder().header(name, value).body(body.into()).expect("a header")
}

pub(crate) fn instance() -> Instance {
    Instance::new(base("https://gitlab.example.com"), Token::new("glpat-s3cret"))
}

pub(crate) fn base(text: &str) -> Base {
    text.parse().expect("an address")
}

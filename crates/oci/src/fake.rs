//! An `Http` that answers from a script, for the tests of this crate.

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use slipway_wire::{Base, Http, Request, Response, Unreachable};

/// Answers by a function, and keeps what was asked.
pub(crate) struct Script<F> {
    answer: F,
    asked: RefCell<Vec<Request>>,
}

impl<F: Fn(&Request) -> Response> Script<F> {
    pub(crate) fn new(answer: F) -> Self {
        Self { answer, asked: RefCell::new(Vec::new()) }
    }

    /// What was asked for: method, address, and the credential where there was one.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let line = |request: &Request| {
            let credential = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let credential = credential.map(|value| format!(" as {value}")).unwrap_or_default();
            format!("{} {}{credential}", request.method(), request.uri())
        };
        asked.iter().map(line).collect()
    }

    fn answer(&self, request: Request) -> Response {
        let answer = (self.answer)(&request);
        self.asked.borrow_mut().push(request);
        answer
    }
}

impl<F: Fn(&Request) -> Response> Http for Script<F> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        Ok(self.answer(request))
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        let mut answer = self.answer(request);
        if answer.status().is_success() {
            let body = std::mem::take(answer.body_mut());
            for piece in body.chunks(100) {
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

pub(crate) fn base(text: &str) -> Base {
    text.parse().expect("an address")
}

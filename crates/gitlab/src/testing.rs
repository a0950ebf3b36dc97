//! What the tests of this crate share.

use slipway_wire::{Base, Response, Token};

use crate::Instance;

pub(crate) fn response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    http::Response::builder().status(status).body(body.into()).expect("a status")
}

pub(crate) fn instance() -> Instance {
    Instance::new(base("https://gitlab.example.com"), Token::new("glpat-s3cret"))
}

pub(crate) fn base(text: &str) -> Base {
    text.parse().expect("an address")
}

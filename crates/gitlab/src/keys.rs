//! `GET` of an issuer's `jwks_uri`: the keys that ID tokens are signed with.
//!
//! Keys change. Callers keep the last set, ask again at most once a minute when a token names an unknown key, and go on
//! with the old set when asking fails.

use http::header::ACCEPT;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::answer::{body, unreadable};
use crate::{Jwks, KeysUrl};

/// The keys of an issuer.
#[derive(Clone, Copy, Debug)]
pub struct GetKeys<'a> {
    /// Where they are.
    pub url: &'a KeysUrl,
}

impl Endpoint for GetKeys<'_> {
    type Output = Jwks;

    fn request(&self) -> Result<Request, http::Error> {
        http::Request::get(self.url.as_str()).header(ACCEPT, "application/json").body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Jwks, CallError> {
        let url = self.url.as_str();
        Jwks::parse(body(url, response)?).map_err(|error| unreadable(url, error.to_string()))
    }
}

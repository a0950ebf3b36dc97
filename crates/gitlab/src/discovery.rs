//! `GET {issuer}/.well-known/openid-configuration`: where an issuer's keys are
//! (<https://openid.net/specs/openid-connect-discovery-1_0.html>).

use http::header::ACCEPT;
use serde::Deserialize;
use slipway_wire::{Base, CallError, Endpoint, Request, Response};

use crate::answer::{json, unreadable};

/// The configuration of an issuer. The issuer is the configured one, never one that a token names.
#[derive(Clone, Copy, Debug)]
pub struct Discover<'a> {
    /// The issuer.
    pub issuer: &'a Base,
}

/// The address of an issuer's keys, at the issuer's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysUrl(String);

impl KeysUrl {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Endpoint for Discover<'_> {
    type Output = KeysUrl;

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.issuer.url([".well-known", "openid-configuration"]);
        http::Request::get(url).header(ACCEPT, "application/json").body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<KeysUrl, CallError> {
        let url = self.issuer.as_str();
        let configuration: Configuration = json(url, response)?;
        if configuration.issuer != url {
            let why = format!("it says that it is the issuer `{}`, not `{url}`", configuration.issuer);
            return Err(unreadable(url, why));
        }
        if self.issuer.serves(&configuration.jwks_uri) {
            Ok(KeysUrl(configuration.jwks_uri))
        } else {
            Err(unreadable(url, format!("its keys are said to be elsewhere, at `{}`", configuration.jwks_uri)))
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Discover;
    use crate::testing::{base, response};

    #[test]
    fn keys_are_asked_for_where_the_issuer_says() {
        let issuer = base("https://gitlab.example.com");
        let body =
            r#"{"issuer":"https://gitlab.example.com","jwks_uri":"https://gitlab.example.com/oauth/discovery/keys"}"#;
        let url = Discover { issuer: &issuer }.parse(&response(200, body)).expect("an address");
        let keys = GetKeys { url: &url };
        assert_eq!(keys.request().expect("a request").uri(), "https://gitlab.example.com/oauth/discovery/keys");
        assert!(keys.parse(&response(200, r#"{"keys":[]}"#)).expect("an empty set").is_empty());
        let error = keys.parse(&response(200, "<html>")).expect_err("no set").to_string();
        assert!(error.starts_with("cannot read the answer of gitlab.example.com: the key set is not one"), "{error}");
        assert!(keys.parse(&response(503, "")).expect_err("a refusal").may_pass());
    }
}

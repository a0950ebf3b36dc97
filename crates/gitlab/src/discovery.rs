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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{base, response};

    fn discover(issuer: &str, said: &str, keys: &str) -> Result<KeysUrl, CallError> {
        let body = serde_json::json!({"issuer": said, "jwks_uri": keys, "subject_types_supported": ["public"]});
        Discover { issuer: &base(issuer) }.parse(&response(200, body.to_string()))
    }

    #[test]
    fn the_configuration_is_at_the_issuers_well_known_address() {
        for (issuer, url) in [
            ("https://gitlab.example.com", "https://gitlab.example.com/.well-known/openid-configuration"),
            ("https://example.com/gitlab", "https://example.com/gitlab/.well-known/openid-configuration"),
        ] {
            let request = Discover { issuer: &base(issuer) }.request().expect("a request");
            assert_eq!(request.uri(), url);
            assert!(!request.headers().contains_key("authorization"));
        }
    }

    #[test]
    fn keys_are_at_the_issuers_own_host() {
        let issuer = "https://gitlab.example.com";
        let keys = discover(issuer, issuer, "https://gitlab.example.com/oauth/discovery/keys").expect("an address");
        assert_eq!(keys.as_str(), "https://gitlab.example.com/oauth/discovery/keys");
        for elsewhere in [
            "https://evil.test/keys",
            "http://gitlab.example.com/keys",
            "https://gitlab.example.com.evil.test/keys",
            "https://gitlab.example.com:8443/keys",
            "https://gitlab.example.com@evil.test/keys",
            "/oauth/discovery/keys",
            "",
        ] {
            assert!(discover(issuer, issuer, elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_configuration_of_another_issuer_is_not_believed() {
        let keys = "https://gitlab.example.com/oauth/discovery/keys";
        for said in ["https://evil.test", "https://gitlab.example.com/", "http://gitlab.example.com", ""] {
            let error = discover("https://gitlab.example.com", said, keys).expect_err(said);
            assert!(error.to_string().contains("it says that it is the issuer"), "{error}");
        }
    }
}

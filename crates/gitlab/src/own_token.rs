//! `GET /personal_access_tokens/self`: what an access token may do, and until when
//! (<https://docs.gitlab.com/api/personal_access_tokens/#self-inform>). Tokens of projects and groups answer it too; those of
//! OAuth applications do not.

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::{Instance, answer};

/// The token that an instance is asked with.
#[derive(Clone, Copy, Debug)]
pub struct GetOwnToken<'a> {
    /// Which GitLab, and the token.
    pub instance: &'a Instance,
}

/// What a token says of itself. Its text is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnToken {
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Its last day, `2026-12-31`. `None` when it has none.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Whether it is good still.
    #[serde(default)]
    pub active: Option<bool>,
    /// Whether somebody has taken it back.
    #[serde(default)]
    pub revoked: Option<bool>,
}

impl OwnToken {
    /// Whether it has a scope.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }

    /// Whether it is good no more.
    pub fn is_over(&self) -> bool {
        self.revoked == Some(true) || self.active == Some(false)
    }
}

impl Endpoint for GetOwnToken<'_> {
    type Output = OwnToken;

    fn request(&self) -> Result<Request, http::Error> {
        self.instance.request(Method::GET, "/personal_access_tokens/self")
    }

    fn parse(&self, response: &Response) -> Result<OwnToken, CallError> {
        answer::json(self.instance.base().as_str(), response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    fn own(status: u16, body: &str) -> Result<OwnToken, CallError> {
        GetOwnToken { instance: &instance() }.parse(&response(status, body))
    }

    #[test]
    fn a_token_says_what_it_may_do_and_until_when() {
        let asked = GetOwnToken { instance: &instance() }.request().expect("a request");
        assert_eq!(asked.uri(), "https://gitlab.example.com/api/v4/personal_access_tokens/self");
        assert_eq!(asked.headers()["private-token"], "glpat-s3cret");
        let token = own(
            200,
            r#"{"id": 4, "name": "slipway", "revoked": false, "created_at": "2026-07-23T14:31:47.729Z", "scopes": ["read_api"],
                "user_id": 3, "last_used_at": null, "active": true, "expires_at": "2027-01-31"}"#,
        );
        let token = token.expect("a token");
        assert!(token.may("read_api") && !token.may("api") && !token.is_over());
        assert_eq!(token.expires_at.as_deref(), Some("2027-01-31"));
        let lasting = own(200, r#"{"name": "old", "scopes": ["api"], "revoked": true, "expires_at": null}"#);
        let lasting = lasting.expect("a token");
        assert!(lasting.is_over() && lasting.expires_at.is_none());
        assert_eq!(
            own(401, r#"{"message":"401 Unauthorized"}"#).expect_err("refused").status().map(|s| s.as_u16()),
            Some(401)
        );
    }
}

//! Whose access token it is: `GET /oauth/token/info` and `GET /api/v4/user`
//! (<https://docs.gitlab.com/api/oauth2/#retrieve-the-token-information>, <https://docs.gitlab.com/api/users/>).
//!
//! A token proves a person only if it was given to the application that asks: one that some other application was given
//! for the same person would do as well otherwise, and its operator could act as everybody who ever signed in there.

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use serde::Deserialize;
use slipway_wire::{Base, CallError, Endpoint, Request, Response, Token};

use crate::{User, answer};

/// What GitLab knows of an access token.
#[derive(Clone, Copy, Debug)]
pub struct GetTokenInfo<'a> {
    /// The instance.
    pub base: &'a Base,
    /// The token.
    pub token: &'a Token,
}

/// To which application a token was given, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// The application's client id.
    pub application: String,
    /// GitLab's id of the person.
    pub user_id: u64,
}

#[derive(Deserialize)]
struct Info {
    resource_owner_id: u64,
    application: Application,
}

#[derive(Deserialize)]
struct Application {
    uid: String,
}

impl Endpoint for GetTokenInfo<'_> {
    type Output = TokenInfo;

    fn request(&self) -> Result<Request, http::Error> {
        request(self.base, self.token, "/oauth/token/info")
    }

    fn parse(&self, response: &Response) -> Result<TokenInfo, CallError> {
        let info: Info = answer::json(self.base.as_str(), response)?;
        Ok(TokenInfo { application: info.application.uid, user_id: info.resource_owner_id })
    }
}

/// The person behind an access token.
#[derive(Clone, Copy, Debug)]
pub struct GetUser<'a> {
    /// The instance.
    pub base: &'a Base,
    /// The token.
    pub token: &'a Token,
}

impl Endpoint for GetUser<'_> {
    type Output = User;

    fn request(&self) -> Result<Request, http::Error> {
        request(self.base, self.token, "/api/v4/user")
    }

    fn parse(&self, response: &Response) -> Result<User, CallError> {
        answer::json(self.base.as_str(), response)
    }
}

fn request(base: &Base, token: &Token, path: &str) -> Result<Request, http::Error> {
    http::Request::builder()
        .method(Method::GET)
        .uri(base.join(path))
        .header(AUTHORIZATION, token.bearer()?)
        .header(ACCEPT, "application/json")
        .body(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{base, response};

    #[test]
    fn a_token_is_shown_to_the_configured_gitlab_and_hidden_from_logs() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("person-s3cret"));
        for (request, uri) in [
            (GetTokenInfo { base: &base, token: &token }.request(), "https://gitlab.example.com/oauth/token/info"),
            (GetUser { base: &base, token: &token }.request(), "https://gitlab.example.com/api/v4/user"),
        ] {
            let request = request.expect("a request");
            assert_eq!(request.uri(), uri);
            assert_eq!(request.headers()["authorization"], "Bearer person-s3cret");
            assert!(!format!("{request:?}").contains("s3cret"), "{request:?}");
        }
        let token = Token::new("a\nb");
        assert!(GetUser { base: &base, token: &token }.request().is_err());
    }

    #[test]
    fn a_token_without_an_application_is_nobodys() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("t"));
        let info = GetTokenInfo { base: &base, token: &token };
        let read = |body: &str| info.parse(&response(200, body));
        let good = r#"{"resource_owner_id":7,"scope":["read_user"],"expires_in":7100,"application":{"uid":"a1"},
            "created_at":1795392000,"scopes":["read_user"],"expires_in_seconds":7100}"#;
        assert_eq!(read(good).expect("a token"), TokenInfo { application: "a1".to_owned(), user_id: 7 });
        for bad in [
            "{}",
            r#"{"resource_owner_id":7}"#,
            r#"{"resource_owner_id":7,"application":null}"#,
            r#"{"resource_owner_id":7,"application":{"uid":null}}"#,
            r#"{"resource_owner_id":null,"application":{"uid":"a1"}}"#,
            r#"{"resource_owner_id":"7","application":{"uid":"a1"}}"#,
            r#"{"resource_owner_id":7,"application":{"uid":"a1"},"resource_owner_id":8}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(!info.parse(&response(401, r#"{"error":"invalid_token"}"#)).expect_err("a refusal").may_pass());
    }
}

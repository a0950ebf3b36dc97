//! How people sign in through GitLab (<https://docs.gitlab.com/api/oauth2/>).
//!
//! In a browser: `GET /oauth/authorize` asks them, with PKCE (RFC 7636) and for the scope `openid` alone; `POST /oauth/token`
//! exchanges the code that comes back for an ID token, whose access token is given back at once (`POST /oauth/revoke`). The
//! application keeps no secret: the code is worth nothing without the verifier.
//!
//! In a program, the device flow gives them an access token: whose it is say `GET /oauth/token/info` and `GET /api/v4/user`
//! (<https://docs.gitlab.com/api/oauth2/#retrieve-the-token-information>, <https://docs.gitlab.com/api/users/>).
//!
//! A token proves a person only if it was given to the application that asks: one that some other application was given
//! for the same person would do as well otherwise, and its operator could act as everybody who ever signed in there.

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use slipway_wire::{Base, CallError, Endpoint, Request, Response, Token};
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::{User, answer};

/// Where a person is sent to sign in: an address for their browser, not for us.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizeUrl<'a> {
    /// The instance.
    pub base: &'a Base,
    /// The application's client id.
    pub application: &'a str,
    /// Where GitLab sends them back to, exactly as the application has it.
    pub redirect: &'a str,
    /// What comes back with them, to know the answer by.
    pub state: &'a str,
    /// What comes back signed.
    pub nonce: &'a str,
    /// The base64url of the verifier's SHA-256.
    pub challenge: &'a str,
}

impl AuthorizeUrl<'_> {
    /// The address.
    pub fn url(&self) -> String {
        let query = form(&[
            ("client_id", self.application),
            ("redirect_uri", self.redirect),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", self.state),
            ("nonce", self.nonce),
            ("code_challenge", self.challenge),
            ("code_challenge_method", "S256"),
        ]);
        self.base.join(&format!("/oauth/authorize?{query}"))
    }
}

/// The code that came back, for what it is worth.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeCode<'a> {
    /// The instance.
    pub base: &'a Base,
    /// The application's client id.
    pub application: &'a str,
    /// The same as when the person was sent there.
    pub redirect: &'a str,
    /// The code.
    pub code: &'a Token,
    /// What the challenge was made of.
    pub verifier: &'a Token,
}

/// What a code was worth.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Who has signed in, signed.
    pub id_token: Token,
    /// What would open their profile.
    pub access_token: Token,
}

#[derive(Deserialize)]
struct Granted {
    id_token: String,
    access_token: String,
}

/// How OAuth refuses (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct NotGranted {
    error: String,
    error_description: Option<String>,
}

impl Endpoint for ExchangeCode<'_> {
    type Output = Exchanged;

    fn request(&self) -> Result<Request, http::Error> {
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("client_id", self.application),
            ("redirect_uri", self.redirect),
            ("code", self.code.expose()),
            ("code_verifier", self.verifier.expose()),
        ]);
        post(self.base, "/oauth/token", body)
    }

    fn parse(&self, response: &Response) -> Result<Exchanged, CallError> {
        let url = self.base.as_str();
        let granted: Result<Granted, CallError> = answer::json(url, response);
        match granted {
            Ok(Granted { id_token, access_token }) => {
                Ok(Exchanged { id_token: Token::new(id_token), access_token: Token::new(access_token) })
            }
            Err(CallError::Refused { host, status, said, request_id }) => {
                let own: Option<NotGranted> = serde_json::from_slice(response.body()).ok();
                let said = own.map_or(said, |own| own.error_description.unwrap_or(own.error));
                let refused = CallError::Refused { host, status, said, request_id };
                Err(refused.without(&[written(self.code), written(self.verifier)].concat()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Gives an access token back, which is good no more.
#[derive(Clone, Copy, Debug)]
pub struct RevokeToken<'a> {
    /// The instance.
    pub base: &'a Base,
    /// The application's client id.
    pub application: &'a str,
    /// The token.
    pub token: &'a Token,
}

impl Endpoint for RevokeToken<'_> {
    type Output = ();

    fn request(&self) -> Result<Request, http::Error> {
        post(self.base, "/oauth/revoke", form(&[("client_id", self.application), ("token", self.token.expose())]))
    }

    fn parse(&self, response: &Response) -> Result<(), CallError> {
        answer::body(self.base.as_str(), response).map(drop).map_err(|error| error.without(&written(self.token)))
    }
}

/// `GET /oauth/userinfo`: the user name of who has signed in, for versions of GitLab whose ID tokens do not tell it
/// (<https://docs.gitlab.com/integration/openid_connect_provider/#shared-information>).
#[derive(Clone, Copy, Debug)]
pub struct GetUserInfo<'a> {
    /// The instance.
    pub base: &'a Base,
    /// The access token that came with the ID token.
    pub token: &'a Token,
    /// Whom the ID token named. An answer about anybody else is none (OIDC Core 1.0, section 5.3.2).
    pub user_id: u64,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    nickname: String,
}

impl Endpoint for GetUserInfo<'_> {
    type Output = String;

    fn request(&self) -> Result<Request, http::Error> {
        request(self.base, self.token, "/oauth/userinfo")
    }

    fn parse(&self, response: &Response) -> Result<String, CallError> {
        let url = self.base.as_str();
        let told: UserInfo = answer::json(url, response)?;
        if told.sub != self.user_id.to_string() {
            return Err(answer::unreadable(
                url,
                format!("asked for person {}, it describes `{}`", self.user_id, told.sub),
            ));
        }
        named(url, self.user_id, told.nickname)
    }
}

/// A person's user name. What they do is told under it, so somebody without any is nobody who could have signed in.
fn named(url: &str, user_id: u64, name: String) -> Result<String, CallError> {
    if name.trim().is_empty() {
        return Err(answer::unreadable(url, format!("it tells no user name of person {user_id}")));
    }
    Ok(name)
}

/// A secret as it was sent in a form, and as it is: some servers show the whole request when they fail.
fn written(secret: &Token) -> [String; 2] {
    let plain = secret.expose().to_owned();
    [plain.clone(), byte_serialize(plain.as_bytes()).collect()]
}

/// Fields, as a form sends them and as a query has them.
fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn post(base: &Base, path: &str, form: String) -> Result<Request, http::Error> {
    http::Request::post(base.join(path))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(form.into_bytes())
}

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
        let url = self.base.as_str();
        let user: User = answer::json(url, response)?;
        Ok(User { username: named(url, user.id, user.username)?, ..user })
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

    const REDIRECT: &str = "https://slipway.example.com/sign-in/return";

    #[test]
    fn a_person_is_sent_to_gitlab_with_pkce_and_for_their_identity_alone() {
        let base = base("https://example.com/gitlab");
        let sent = AuthorizeUrl {
            base: &base,
            application: "a1",
            redirect: REDIRECT,
            state: "s&x=1",
            nonce: "n",
            // The pair of RFC 7636, appendix B.
            challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        };
        assert_eq!(
            sent.url(),
            "https://example.com/gitlab/oauth/authorize?client_id=a1\
             &redirect_uri=https%3A%2F%2Fslipway.example.com%2Fsign-in%2Freturn&response_type=code&scope=openid\
             &state=s%26x%3D1&nonce=n&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
             &code_challenge_method=S256"
        );
    }

    fn exchange(status: u16, body: &str) -> Result<Exchanged, CallError> {
        let (code, verifier) = (Token::new("c0de-s3cret"), Token::new("ver1fier-s3cret"));
        let base = base("https://gitlab.example.com");
        let exchange =
            ExchangeCode { base: &base, application: "a1", redirect: REDIRECT, code: &code, verifier: &verifier };
        exchange.parse(&response(status, body))
    }

    #[test]
    fn a_code_is_exchanged_with_its_verifier_and_without_a_secret_of_the_application() {
        let (base, code, verifier) =
            (base("https://gitlab.example.com"), Token::new("c0de+s3cret"), Token::new("ver1fier-s3cret"));
        let exchange =
            ExchangeCode { base: &base, application: "a1", redirect: REDIRECT, code: &code, verifier: &verifier };
        let request = exchange.request().expect("a request");
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::POST, "https://gitlab.example.com/oauth/token")
        );
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        assert!(!request.headers().contains_key("authorization"));
        assert_eq!(
            String::from_utf8_lossy(request.body()),
            "grant_type=authorization_code&client_id=a1\
             &redirect_uri=https%3A%2F%2Fslipway.example.com%2Fsign-in%2Freturn&code=c0de%2Bs3cret\
             &code_verifier=ver1fier-s3cret"
        );
        assert!(!format!("{exchange:?}").contains("s3cret"), "{exchange:?}");

        let good = r#"{"access_token":"at","token_type":"Bearer","expires_in":7200,"refresh_token":"rt","scope":"openid",
            "created_at":1795392000,"id_token":"a.b.c"}"#;
        let exchanged = exchange.parse(&response(200, good)).expect("both");
        assert_eq!((exchanged.id_token.expose(), exchanged.access_token.expose()), ("a.b.c", "at"));
        assert!(!format!("{exchanged:?}").contains("a.b.c"), "{exchanged:?}");
    }

    #[test]
    fn what_gitlab_says_against_a_code_is_told_and_the_code_is_not() {
        let refused = r#"{"error":"invalid_grant","error_description":"The provided grant c0de-s3cret is expired."}"#;
        let error = exchange(400, refused).expect_err("a refusal");
        assert_eq!(error.status().map(|status| status.as_u16()), Some(400));
        let said = error.to_string();
        assert!(said.contains("The provided grant (hidden) is expired."), "{said}");
        assert!(
            exchange(401, r#"{"error":"invalid_client"}"#)
                .expect_err("a refusal")
                .to_string()
                .contains("invalid_client")
        );
        for (status, body) in [
            (200, "{}"),
            (200, r#"{"access_token":"at"}"#),
            (200, r#"{"id_token":"a.b.c"}"#),
            (200, r#"{"id_token":["a.b.c"],"access_token":"at"}"#),
            (200, "<html>"),
            (302, ""),
        ] {
            assert!(matches!(exchange(status, body), Err(CallError::Unreadable { .. })), "{status} {body}");
        }
        assert!(exchange(503, "").expect_err("a refusal").may_pass());
    }

    #[test]
    fn an_access_token_is_given_back_to_the_gitlab_that_gave_it() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("person-s3cret"));
        let revoke = RevokeToken { base: &base, application: "a1", token: &token };
        let request = revoke.request().expect("a request");
        assert_eq!(request.uri(), "https://gitlab.example.com/oauth/revoke");
        assert_eq!(String::from_utf8_lossy(request.body()), "client_id=a1&token=person-s3cret");
        assert!(revoke.parse(&response(200, "{}")).is_ok());
        let error = revoke.parse(&response(403, "no: client_id=a1&token=person-s3cret")).expect_err("a refusal");
        assert!(error.to_string().contains("token=(hidden)"), "{error}");
        assert!(!format!("{revoke:?}").contains("s3cret"), "{revoke:?}");
    }

    #[test]
    fn a_user_name_is_believed_of_the_person_whom_the_id_token_names_alone() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("person-s3cret"));
        let ask = GetUserInfo { base: &base, token: &token, user_id: 7 };
        let request = ask.request().expect("a request");
        assert_eq!(request.uri(), "https://gitlab.example.com/oauth/userinfo");
        assert_eq!(request.headers()["authorization"], "Bearer person-s3cret");
        let mira = r#"{"sub":"7","name":"Mira Holt","nickname":"mira","preferred_username":"mira"}"#;
        assert_eq!(ask.parse(&response(200, mira)).expect("a name"), "mira");
        for bad in [
            r#"{"sub":"8","nickname":"mira"}"#,
            r#"{"sub":7,"nickname":"mira"}"#,
            r#"{"nickname":"mira"}"#,
            r#"{"sub":"7"}"#,
            r#"{"sub":"7","nickname":null}"#,
            "{}",
        ] {
            assert!(ask.parse(&response(200, bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_person_without_a_user_name_is_not_taken_for_one_who_has_signed_in() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("person-s3cret"));
        let (info, user) =
            (GetUserInfo { base: &base, token: &token, user_id: 7 }, GetUser { base: &base, token: &token });
        for name in ["", " ", "\\t"] {
            let told = format!(r#"{{"sub":"7","nickname":"{name}"}}"#);
            let error = info.parse(&response(200, told)).expect_err("no name");
            assert!(error.to_string().contains("no user name of person 7"), "{error}");
            let told = format!(r#"{{"id":7,"username":"{name}"}}"#);
            let error = user.parse(&response(200, told)).expect_err("no name");
            assert!(error.to_string().contains("no user name of person 7"), "{error}");
        }
        assert_eq!(user.parse(&response(200, r#"{"id":7,"username":"mira"}"#)).expect("a person").username, "mira");
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

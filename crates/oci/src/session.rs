//! Asking a registry with the credential that it wants for this request.
//!
//! A registry says what it wants with a 401. What it asked for is kept, so that one token serves many requests; when the
//! token has run out, the next 401 says so, and the request is sent once more with a new one. No clock is needed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::lock::Mutex;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Errand, Http, Request, Response, Token};

use crate::answer::{address, foreign, host, refusal, unreadable};
use crate::challenge::{Challenge, challenges};
use crate::name::Repository;
use crate::registry::{Credential, Registry};

/// Servers take 8 to 16 KiB of headers. A token of many scopes has some kilobytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a request needs to be allowed: repositories, each with actions
/// (<https://distribution.github.io/distribution/spec/auth/scope/>).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// Nothing but who asks.
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Reading one repository.
    pub fn pull(repository: &Repository) -> Self {
        Self(BTreeSet::from([format!("repository:{repository}:pull")]))
    }

    /// Writing to one repository, and reading it.
    pub fn push(repository: &Repository) -> Self {
        Self(BTreeSet::from([format!("repository:{repository}:pull,push")]))
    }

    /// Deleting in one repository, and reading it.
    pub fn delete(repository: &Repository) -> Self {
        Self(BTreeSet::from([format!("repository:{repository}:pull,delete")]))
    }

    /// Reading another repository too, from which blobs are mounted.
    #[must_use]
    pub fn and_pull(mut self, repository: &Repository) -> Self {
        self.0.insert(format!("repository:{repository}:pull"));
        self
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// A registry that is being asked, with the tokens that it gave so far.
#[derive(Debug)]
pub struct Session<'a> {
    registry: &'a Registry,
    tokens: RefCell<BTreeMap<Scope, Token>>,
    /// Every token that the registry gave, also those that have run out: none is shown to people.
    given: RefCell<Vec<Token>>,
    wants_basic: Cell<bool>,
    /// Who fetches a token has it. The others wait for that one.
    fetching: Mutex<()>,
}

impl<'a> Session<'a> {
    /// Nothing is asked yet.
    pub fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            tokens: RefCell::default(),
            given: RefCell::default(),
            wants_basic: Cell::default(),
            fetching: Mutex::new(()),
        }
    }

    /// Which registry it is.
    pub fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// Sends an endpoint's request, with a credential where one is wanted, and reads the answer.
    pub async fn call<E: Endpoint>(
        &self,
        http: &impl Http,
        scope: &Scope,
        endpoint: &E,
    ) -> Result<E::Output, CallError> {
        let shown = self.credential(scope)?;
        let request = self.with_credential(endpoint.request().map_err(|error| unsendable(&error))?, scope)?;
        let answer = http.send(request).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.renew(http, scope, shown.as_ref(), &answer).await? {
            return endpoint.parse(&answer).map_err(|error| self.hide(error));
        }
        let request = self.with_credential(endpoint.request().map_err(|error| unsendable(&error))?, scope)?;
        endpoint.parse(&http.send(request).await?).map_err(|error| self.hide(error))
    }

    /// As [`Session::call`], handing the body of a success to `each`. Returns the answer, without that body.
    pub async fn read(
        &self,
        http: &impl Http,
        scope: &Scope,
        request: impl Fn() -> Result<Request, http::Error>,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Response, CallError> {
        let shown = self.credential(scope)?;
        let asked = self.with_credential(request().map_err(|error| unsendable(&error))?, scope)?;
        let answer = http.read(asked, each).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.renew(http, scope, shown.as_ref(), &answer).await? {
            return Ok(answer);
        }
        let asked = self.with_credential(request().map_err(|error| unsendable(&error))?, scope)?;
        Ok(http.read(asked, each).await?)
    }

    /// An error without what this session proves itself with: some services show the whole request when they fail. For answers
    /// that are read elsewhere than in [`Session::call`].
    pub(crate) fn hide(&self, error: CallError) -> CallError {
        let mut secrets: Vec<String> = self.given.borrow().iter().map(|token| token.expose().to_owned()).collect();
        if let Some(Credential { user, password }) = &self.registry.credential {
            let basic = password.basic_of(user).ok();
            let basic = basic.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
            secrets.extend(basic.map(str::to_owned));
            secrets.push(password.expose().to_owned());
        }
        secrets.retain(|secret| !secret.is_empty());
        error.without(&secrets)
    }

    /// Adds what the registry is known to want. A request to anywhere else is left as it is.
    pub fn with_credential<B>(
        &self,
        mut request: http::Request<B>,
        scope: &Scope,
    ) -> Result<http::Request<B>, CallError> {
        if self.registry.base.serves(&request.uri().to_string())
            && let Some(value) = self.credential(scope)?
        {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// What is shown to the registry now.
    pub fn credential(&self, scope: &Scope) -> Result<Option<HeaderValue>, CallError> {
        let value = match (self.tokens.borrow().get(scope), &self.registry.credential) {
            (Some(token), _) => token.bearer(),
            (None, Some(credential)) if self.wants_basic.get() => credential.password.basic_of(&credential.user),
            (None, _) => return Ok(None),
        };
        value.map(Some).map_err(|error| unsendable(&error))
    }

    /// Takes what a 401 asks for, after `shown` was shown. `false` when there is nothing else to show.
    pub async fn renew(
        &self,
        http: &impl Http,
        scope: &Scope,
        shown: Option<&HeaderValue>,
        answer: &Response,
    ) -> Result<bool, CallError> {
        let _turn = self.fetching.lock().await;
        // Another request, sent at the same time, may have been told so before.
        let current = self.credential(scope)?;
        if current.is_some() && current.as_ref() != shown {
            return Ok(true);
        }
        let offered = challenges(answer.headers());
        let bearer = offered.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service.as_deref())),
            Challenge::Basic => None,
        });
        if let Some((realm, service)) = bearer {
            let token = self.token(http, scope, realm, service).await.map_err(|error| self.hide(error))?;
            self.given.borrow_mut().push(token.clone());
            self.tokens.borrow_mut().insert(scope.clone(), token);
            return Ok(true);
        }
        let has_user = offered.contains(&Challenge::Basic) && self.registry.credential.is_some();
        // A user that was shown and refused is refused again.
        Ok(has_user && !self.wants_basic.replace(true))
    }

    /// Fetches a token, from where the operator allows it and for what the operator expects.
    async fn token(
        &self,
        http: &impl Http,
        scope: &Scope,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Token, CallError> {
        let registry = self.registry;
        let is_allowed = match &registry.realm {
            Some(allowed) => realm.trim_end_matches('/') == allowed.as_str(),
            None => registry.base.serves(realm),
        };
        if !is_allowed {
            let named = match &registry.realm {
                Some(realm) => format!("it is `{realm}`"),
                None => "there is none, so that only the registry itself may give tokens".to_owned(),
            };
            let realm = address(realm);
            let why = format!("it sends to {realm} for a token, which the place's `realm` does not name: {named}");
            return Err(foreign(&registry.base, Errand::Token, why));
        }
        let service = match (&registry.service, service) {
            (Some(expected), Some(said)) if expected != said => {
                let said: String = said.chars().take(200).collect();
                let why = format!("its tokens are for the service `{said}`, and the place's `service` is `{expected}`");
                return Err(foreign(&registry.base, Errand::Token, why));
            }
            (Some(service), _) => Some(service.as_str()),
            (None, said) => said,
        };
        let request = ask(registry, realm, service, scope).map_err(|error| unsendable(&error))?;
        let answer = http.send(request).await?;
        read_token(realm, &answer)
    }
}

fn unsendable(error: &http::Error) -> CallError {
    CallError::Unsendable(error.to_string())
}

/// `GET {realm}?service=…&scope=…`, with the scope repeated for each repository
/// (<https://distribution.github.io/distribution/spec/auth/token/>).
fn ask(registry: &Registry, realm: &str, service: Option<&str>, scope: &Scope) -> Result<Request, http::Error> {
    let mut query = Vec::new();
    query.extend(service.map(|service| ("service", service)));
    query.extend(scope.0.iter().map(|scope| ("scope", scope.as_str())));
    let escape = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    let divider = if realm.contains('?') { '&' } else { '?' };
    let mut request = Registry::request(Method::GET, &format!("{realm}{divider}{}", query.join("&")));
    if let Some(credential) = &registry.credential {
        request = request.header(AUTHORIZATION, credential.password.basic_of(&credential.user)?);
    }
    request.body(Vec::new())
}

/// A token's life is not read: when it has run out, the registry says so.
fn read_token(realm: &str, answer: &Response) -> Result<Token, CallError> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let base = realm.split('?').next().unwrap_or_default().parse::<slipway_wire::Base>();
    let base = base.map_err(|error| CallError::Unreadable { host: host(realm), why: error.to_string() })?;
    if answer.status() != StatusCode::OK {
        return Err(refusal(&base, answer));
    }
    // What is wrong with it is not repeated: the text holds the token.
    let Answer { token, access_token } =
        serde_json::from_slice(answer.body()).map_err(|_| unreadable(&base, "its token is not JSON"))?;
    let token = token.filter(|token| !token.is_empty()).or(access_token).filter(|token| !token.is_empty());
    match token {
        None => Err(unreadable(&base, "its answer holds no token")),
        Some(token) if token.len() > TOKEN_BYTES_MAX => {
            Err(unreadable(&base, format!("its token has {} bytes, and no registry takes one so long", token.len())))
        }
        Some(token) => Ok(Token::new(token)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, base, now, response, with_header};
    use crate::{BlobHead, HeadBlob};

    const REALM: &str = "https://auth.example.com/token";

    fn repository() -> Repository {
        "team/app".parse().expect("a repository")
    }

    fn registry() -> Registry {
        let credential = Credential { user: "tester".to_owned(), password: Token::new("s3cret") };
        let realm = Some(base(REALM));
        Registry { credential: Some(credential), realm, ..Registry::anonymous(base("https://registry.example.com")) }
    }

    fn wanted(challenge: &str) -> Response {
        with_header(401, "www-authenticate", challenge, r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#)
    }

    fn bearer(realm: &str) -> Response {
        wanted(&format!(r#"Bearer realm="{realm}",service="loop",scope="repository:team/app:pull""#))
    }

    fn is_shown(request: &Request, token: &str) -> bool {
        request.headers().get(AUTHORIZATION).is_some_and(|value| value == token)
    }

    fn head(registry: &Registry, http: &impl Http, times: usize) -> Vec<Result<Option<BlobHead>, CallError>> {
        let session = Session::new(registry);
        let repository = repository();
        let blob = HeadBlob { registry, repository: &repository, digest: slipway_wire::Digest::of(b"x") };
        (0..times).map(|_| now(session.call(http, &Scope::pull(&repository), &blob))).collect()
    }

    #[test]
    fn a_token_is_fetched_once_and_shown_to_the_registry_alone() {
        let http = Script::new(|request| match request.uri().host() {
            Some("auth.example.com") => response(200, r#"{"access_token":"t0k3n","expires_in":60}"#),
            _ if is_shown(request, "Bearer t0k3n") => response(200, ""),
            _ => bearer(REALM),
        });
        assert!(head(&registry(), &http, 3).iter().all(Result::is_ok));
        let asked = http.asked();
        assert_eq!(asked.len(), 5, "{asked:?}");
        // base64 of `tester:s3cret`
        let basic = "Basic dGVzdGVyOnMzY3JldA==";
        assert_eq!(asked[1], format!("GET {REALM}?service=loop&scope=repository%3Ateam%2Fapp%3Apull as {basic}"));
        assert!(!asked[0].contains(" as "), "{asked:?}");
        for line in &asked[2..] {
            assert!(
                line.starts_with("HEAD https://registry.example.com/") && line.ends_with("as Bearer t0k3n"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_token_that_ran_out_is_renewed_once_for_each_request() {
        let given = RefCell::new(0);
        let http = Script::new(|request| match request.uri().host() {
            Some("auth.example.com") => {
                *given.borrow_mut() += 1;
                response(200, format!(r#"{{"token":"t{}"}}"#, given.borrow()))
            }
            // The first token was good once; the second is good.
            _ if is_shown(request, "Bearer t2") => response(200, ""),
            _ => bearer(REALM),
        });
        let answers = head(&registry(), &http, 2);
        let first = answers[0].as_ref().expect_err("the first token is refused").status();
        assert_eq!(first, Some(StatusCode::UNAUTHORIZED));
        assert!(answers[1].is_ok());
        assert_eq!(*given.borrow(), 2, "at most one for each request");
    }

    #[test]
    fn a_registry_that_wants_a_user_gets_it_with_every_request() {
        let basic = "Basic dGVzdGVyOnMzY3JldA==";
        let answer = move |request: &Request| {
            if is_shown(request, basic) { response(404, "") } else { wanted(r#"Basic realm="test""#) }
        };
        let http = Script::new(answer);
        assert!(head(&registry(), &http, 2).iter().all(|answer| matches!(answer, Ok(None))));
        assert_eq!(http.asked().len(), 3);
        // One that is refused is not shown again and again.
        let http = Script::new(|_| wanted(r#"Basic realm="test""#));
        assert!(head(&registry(), &http, 1)[0].is_err());
        assert_eq!(http.asked().len(), 2);
        // Nobody is asked for a user that there is not.
        let http = Script::new(|_| wanted(r#"Basic realm="test""#));
        let error = head(&registry().as_anybody(), &http, 1).remove(0).expect_err("no user").to_string();
        assert!(error.contains("UNAUTHORIZED"), "{error}");
        assert_eq!(http.asked().len(), 1);
    }

    #[test]
    fn no_user_is_sent_to_a_realm_that_nobody_named() {
        for realm in [
            "https://evil.test/token",
            "http://auth.example.com/token",
            "https://auth.example.com/other",
            "https://auth.example.com@evil.test/token",
            "https://registry.example.com/token",
        ] {
            let http = Script::new(|_| bearer(realm));
            let error = head(&registry(), &http, 1).remove(0).expect_err(realm).to_string();
            let named = "`realm` does not name: it is `https://auth.example.com/token`";
            assert!(error.contains(named), "{realm}: {error}");
            let offered = realm.replace("auth.example.com@", "");
            assert!(error.contains(&format!("it sends to {offered} for a token")), "{realm}: {error}");
            assert_eq!(http.asked().len(), 1, "{realm}");
        }
        // Where none is named, the registry's own address is.
        let own = Registry { realm: None, ..registry() };
        for (realm, asked) in [("https://registry.example.com/v2/token", 3), (REALM, 1)] {
            let http = Script::new(|request| match request.uri().path() {
                "/v2/token" => response(200, r#"{"token":"t"}"#),
                _ => bearer(realm),
            });
            let answer = head(&own, &http, 1).remove(0);
            assert_eq!(http.asked().len(), asked, "{realm}");
            let is_foreign = matches!(answer, Err(CallError::Foreign { errand: Errand::Token, .. }));
            assert_eq!(is_foreign, asked == 1, "{answer:?}");
        }
    }

    #[test]
    fn a_token_for_another_service_is_not_fetched() {
        let pinned = Registry { service: Some("container_registry".to_owned()), ..registry() };
        let http = Script::new(|_| bearer(REALM));
        let error = head(&pinned, &http, 1).remove(0).expect_err("another service");
        assert!(matches!(error, CallError::Foreign { errand: Errand::Token, .. }) && !error.may_pass(), "{error}");
        let error = error.to_string();
        assert!(error.contains("`loop`") && error.contains("`container_registry`"), "{error}");
        assert_eq!(http.asked().len(), 1);
    }

    #[test]
    fn an_answer_without_a_token_says_so_and_shows_nothing_of_it() {
        for (status, body, why) in [
            (200, r#"{"token":""}"#, "holds no token"),
            (200, "s3cret", "is not JSON"),
            (200, &format!(r#"{{"token":"s3cret{}"}}"#, "0".repeat(16 * 1024)), "no registry takes one so long"),
            (403, r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#, "DENIED: not yours"),
            (500, "", "500"),
        ] {
            let http = Script::new(|request| match request.uri().host() {
                Some("auth.example.com") => response(status, body),
                _ => bearer(REALM),
            });
            let error = head(&registry(), &http, 1).remove(0).expect_err(body).to_string();
            assert!(error.contains(why) && error.contains("auth.example.com") && !error.contains("s3cret"), "{error}");
        }
    }

    /// An answer that shows what was sent, as debug pages do.
    fn mirror(status: u16, request: &Request) -> Response {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("nobody");
        response(status, format!(r#"{{"errors":[{{"code":"UNKNOWN","message":"it failed for {shown}"}}]}}"#))
    }

    #[test]
    fn a_registry_that_sends_a_credential_back_does_not_have_it_shown() {
        let basic = "dGVzdGVyOnMzY3JldA==";
        let comes = |request: &Request| request.headers().contains_key(AUTHORIZATION);
        let wants_user = || wanted(r#"Basic realm="test""#);
        check_hidden("t0k3n-of-the-registry", |request| match request.uri().host() {
            Some("auth.example.com") => response(200, r#"{"token":"t0k3n-of-the-registry"}"#),
            _ if comes(request) => mirror(500, request),
            _ => bearer(REALM),
        });
        check_hidden(basic, |request| if comes(request) { mirror(500, request) } else { wants_user() });
        check_hidden(basic, |request| match request.uri().host() {
            Some("auth.example.com") => mirror(403, request),
            _ => bearer(REALM),
        });
        let words = "tester may not come in with s3cret";
        check_hidden("s3cret", |request| if comes(request) { response(500, words) } else { wants_user() });
    }

    fn check_hidden(secret: &str, answer: impl Fn(&Request) -> Response) {
        let http = Script::new(answer);
        let error = head(&registry(), &http, 1).remove(0).expect_err(secret).to_string();
        assert!(error.contains("(hidden)") && !error.contains(secret), "{error}");
        // The same of what is read piece by piece.
        let (registry, repository) = (registry(), repository());
        let (session, scope) = (Session::new(&registry), Scope::pull(&repository));
        let tag = "1".parse::<crate::Tag>().expect("a tag").into();
        let read = now(crate::read_manifest(&session, &http, &scope, &repository, &tag));
        let error = read.expect_err(secret).to_string();
        assert!(error.contains("(hidden)") && !error.contains(secret), "{error}");
    }

    #[test]
    fn nothing_is_shown_to_another_address() {
        let registry = registry();
        let session = Session::new(&registry);
        let http = Script::new(|request| match request.uri().host() {
            Some("auth.example.com") => response(200, r#"{"token":"t"}"#),
            _ if is_shown(request, "Bearer t") => response(200, ""),
            _ => bearer(REALM),
        });
        let (repository, scope) = (repository(), Scope::pull(&repository()));
        let blob = HeadBlob { registry: &registry, repository: &repository, digest: slipway_wire::Digest::of(b"x") };
        now(session.call(&http, &scope, &blob)).expect("it has a token now");
        for (url, shown) in [
            ("https://registry.example.com/v2/x", true),
            ("https://storage.example.net/b", false),
            ("http://registry.example.com/v2/x", false),
        ] {
            let request = http::Request::put(url).body(()).expect("a request");
            let request = session.with_credential(request, &scope).expect("a request");
            assert_eq!(request.headers().contains_key(AUTHORIZATION), shown, "{url}");
        }
    }

    #[test]
    fn a_scope_names_each_repository_once() {
        let base = "team/base".parse().expect("a repository");
        let scope = Scope::push(&repository()).and_pull(&base).and_pull(&base);
        assert_eq!(scope.to_string(), "repository:team/app:pull,push repository:team/base:pull");
    }
}

//! People sign in with a browser: the authorization code flow with PKCE (RFC 6749, RFC 7636), and OIDC on top of it.
//!
//! Somebody who comes from an application chooses here who they are, or is whom a control route has said, and goes back with
//! a code. It is good once, for a minute, at the address that it was asked for, and for whoever has the verifier. What comes
//! for it says in an ID token who that was; the next of those can be made wrong.
//!
//! Stricter than GitLab on purpose: who comes without PKCE is sent back. Codes are in memory alone: a restart forgets them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    clock::{Moment, secret},
    id_token::{self, Wishes},
    oauth::{Application, answer, hand_out, refusal},
    server::{self, Gitlab, query_fields},
    world::{Unwritten, User},
};

/// How long a code may be used.
const CODE_MS: i64 = 60_000;
/// How long an ID token of a person is good, as GitLab has it unless its operator says otherwise.
const ID_TOKEN_SECONDS: i64 = 120;

/// What the browsers of people are about to do.
#[derive(Default)]
pub(super) struct Browsers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Who sits before the browser; `None`: they choose.
    user: Option<u64>,
    /// Codes that are out.
    grants: BTreeMap<String, Grant>,
    /// How the next ID token is made.
    wishes: Option<Wishes>,
}

/// What a code stands for.
struct Grant {
    application: String,
    redirect: String,
    scopes: Vec<String>,
    user_id: u64,
    challenge: String,
    nonce: Option<String>,
    given_at: Moment,
}

impl Browsers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this person sits before every browser; with `None` whoever does chooses.
    pub(super) fn are_of(&self, user_id: Option<u64>) {
        self.lock().user = user_id;
    }

    /// The next person's ID token is made so.
    pub(super) fn wish(&self, wishes: Wishes) {
        self.lock().wishes = Some(wishes);
    }

    /// Lets the time of every code be over.
    pub(super) fn lapse(&self) {
        for grant in self.lock().grants.values_mut() {
            grant.given_at = Moment(0);
        }
    }
}

pub(super) fn routes() -> Router<Arc<Gitlab>> {
    Router::new().route("/oauth/authorize", get(authorize).post(decide)).route("/oauth/userinfo", get(user_info))
}

type Shared = State<Arc<Gitlab>>;

/// An application that asks for a person, in a way that may be answered to it.
struct Asked {
    application: Application,
    redirect: String,
    state: String,
    challenge: String,
    nonce: Option<String>,
    scopes: Vec<String>,
}

impl Asked {
    /// What is asked. Whoever cannot be trusted with an answer gets a page, and nobody is sent anywhere.
    #[expect(clippy::result_large_err, reason = "an answer is what there is to say")]
    fn read(gitlab: &Gitlab, fields: &BTreeMap<String, String>) -> Result<Self, Response> {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let page = |why: &str| (StatusCode::BAD_REQUEST, Html(format!("<p>{}</p>", escaped(why)))).into_response();
        let known = gitlab.store().world.applications.get(&field("client_id")).cloned();
        let application = known.ok_or_else(|| page("Client authentication failed due to unknown client."))?;
        let redirect = field("redirect_uri");
        // Letter for letter: a longer path or another port would be somebody else's.
        if !application.redirect_uris.contains(&redirect) {
            return Err(page("The redirect URI included is not valid."));
        }
        let state = field("state");
        let back = |error: &str| sent_back(&redirect, &[("error", error), ("state", &state)]);
        if field("response_type") != "code" {
            return Err(back("unsupported_response_type"));
        }
        let scopes: Vec<String> = field("scope").split_whitespace().map(str::to_owned).collect();
        if scopes.is_empty() || scopes.iter().any(|scope| !application.scopes.contains(scope)) {
            return Err(back("invalid_scope"));
        }
        let challenge = field("code_challenge");
        // The base64url of 32 bytes.
        if field("code_challenge_method") != "S256" || challenge.len() != 43 {
            return Err(back("invalid_request"));
        }
        let nonce = fields.get("nonce").cloned();
        Ok(Self { application, redirect, state, challenge, nonce, scopes })
    }

    /// The person goes back with a code.
    fn granted(self, gitlab: &Gitlab, user_id: u64) -> Response {
        let code = secret("");
        let back = sent_back(&self.redirect, &[("code", &code), ("state", &self.state)]);
        let grant = Grant {
            application: self.application.uid,
            redirect: self.redirect,
            scopes: self.scopes,
            user_id,
            challenge: self.challenge,
            nonce: self.nonce,
            given_at: Moment::now(),
        };
        gitlab.browsers.lock().grants.insert(code, grant);
        back
    }
}

fn sent_back(redirect: &str, fields: &[(&str, &str)]) -> Response {
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    (StatusCode::FOUND, [(LOCATION, format!("{redirect}?{}", query.join("&")))]).into_response()
}

async fn authorize(State(gitlab): Shared, RawQuery(query): RawQuery) -> Response {
    let fields: BTreeMap<String, String> = query_fields(query.as_deref()).into_iter().collect();
    let asked = match Asked::read(&gitlab, &fields) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let user = gitlab.browsers.lock().user;
    match user {
        Some(user_id) => asked.granted(&gitlab, user_id),
        None => Html(choice(&gitlab, &fields)).into_response(),
    }
}

/// The page on which somebody says who they are.
fn choice(gitlab: &Gitlab, fields: &BTreeMap<String, String>) -> String {
    use std::fmt::Write as _;
    let mut form = String::new();
    for (name, value) in fields {
        let _ = write!(form, "<input type=hidden name=\"{}\" value=\"{}\">", escaped(name), escaped(value));
    }
    for user in gitlab.store().world.users.values() {
        let (username, name) = (escaped(&user.username), escaped(&user.name));
        let _ = write!(form, "<p><button name=user value=\"{username}\">{name} ({username})</button></p>");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>A stand-in for GitLab</title><h1>A stand-in for GitLab</h1>\
         <p>An application asks who you are.</p><form method=post action=/oauth/authorize>{form}\
         <p><button name=user value=\"\">Nobody: refuse</button></p></form></html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

async fn decide(State(gitlab): Shared, body: Bytes) -> Response {
    let fields: BTreeMap<String, String> = query_fields(std::str::from_utf8(&body).ok()).into_iter().collect();
    let asked = match Asked::read(&gitlab, &fields) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let name = fields.get("user").map(String::as_str).unwrap_or_default();
    let user_id = gitlab.store().world.user_named(name).map(|user| user.id);
    match user_id {
        Some(user_id) => asked.granted(&gitlab, user_id),
        None => sent_back(
            &asked.redirect,
            &[
                ("error", "access_denied"),
                ("error_description", "The resource owner or authorization server denied the request."),
                ("state", &asked.state),
            ],
        ),
    }
}

/// `POST /oauth/token` with a code.
pub(super) fn exchange(gitlab: &Gitlab, fields: &BTreeMap<String, String>) -> Response {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let invalid = || {
        let why = "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used \
                   in the authorization request, or was issued to another client.";
        refusal(StatusCode::BAD_REQUEST, "invalid_grant", why)
    };
    let now = Moment::now();
    // Whatever comes of it, the code is used.
    let Some(grant) = gitlab.browsers.lock().grants.remove(field("code")) else { return invalid() };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
    let is_theirs = grant.application == field("client_id")
        && grant.redirect == field("redirect_uri")
        && grant.challenge == challenge
        && now.0 - grant.given_at.0 < CODE_MS;
    if !is_theirs {
        return invalid();
    }
    let id_token = match id_token_of(gitlab, &grant, now) {
        Ok(token) => token,
        Err(why) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &why),
    };
    let written = gitlab.store().change(|change| -> Result<Value, Unwritten> {
        let mut shown = hand_out(change, grant.application, grant.scopes, grant.user_id, now);
        if let Some(token) = id_token {
            shown["id_token"] = token.into();
        }
        Ok(shown)
    });
    match written {
        Ok(shown) => answer(StatusCode::OK, &shown),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string()),
    }
}

fn id_token_of(gitlab: &Gitlab, grant: &Grant, now: Moment) -> Result<Option<String>, String> {
    if !grant.scopes.iter().any(|scope| scope == "openid") {
        return Ok(None);
    }
    let user = gitlab.store().world.users.get(&grant.user_id).cloned().ok_or("the person is not there any more")?;
    let mut claims = profile(&user);
    for (name, value) in [
        ("iss", json!(gitlab.url)),
        ("aud", json!(grant.application)),
        ("exp", json!(now.seconds() + ID_TOKEN_SECONDS)),
        ("iat", json!(now.seconds())),
        ("auth_time", json!(now.seconds())),
    ] {
        claims.insert(name.to_owned(), value);
    }
    if let Some(nonce) = &grant.nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    let wishes = gitlab.browsers.lock().wishes.take().unwrap_or_default();
    id_token::sign(&gitlab.keys(), claims, wishes).map(Some).map_err(|error| error.to_string())
}

/// What is told of a person.
fn profile(user: &User) -> Map<String, Value> {
    Map::from_iter([
        ("sub".to_owned(), json!(user.id.to_string())),
        ("name".to_owned(), json!(user.name)),
        ("nickname".to_owned(), json!(user.username)),
        ("preferred_username".to_owned(), json!(user.username)),
        ("email".to_owned(), json!(user.email())),
    ])
}

async fn user_info(State(gitlab): Shared, headers: HeaderMap) -> Response {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let store = gitlab.store();
    let token = given.and_then(|given| store.world.tokens.get(given)).filter(|token| token.is_good(Moment::now()));
    let token = token.filter(|token| token.scopes.iter().any(|scope| scope == "openid"));
    match token.and_then(|token| store.world.users.get(&token.user_id)) {
        Some(user) => server::json(StatusCode::OK, &profile(user)),
        None => refusal(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is invalid"),
    }
}

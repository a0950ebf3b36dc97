//! People sign programs in: the device flow of RFC 8628, as GitLab has it since 17.1.
//!
//! A program asks for a code, a person types it in at GitLab and allows or refuses it (here a control route does both), and
//! meanwhile the program asks for its token: `authorization_pending` until then, `slow_down` when it asks more often than
//! every `interval`. A token is written down, so a restart keeps it; a code that nobody has used yet is not.
//!
//! With each token comes one that prolongs it, without the person: it is good once, by itself alone, and ends the token it
//! came with.
//!
//! What comes for a code of a browser is in `browser`.
//!
//! Absent on purpose: secrets of applications (a program on somebody's machine keeps none), every other grant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    browser,
    clock::{Moment, secret},
    journal::Fact,
    server::{self, Gitlab, query_fields},
    world::{ApiToken, Change, Unwritten},
};

/// How long a code may be used.
const CODE_SECONDS: i64 = 300;
/// How often the program may ask.
const INTERVAL_SECONDS: i64 = 5;
/// What GitLab adds to the interval of a program that asks too often (RFC 8628, section 3.5).
const SLOW_DOWN_SECONDS: i64 = 5;
/// How long a token lives.
const TOKEN_SECONDS: i64 = 7200;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// An application that is registered for signing in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Application {
    /// Its client id.
    pub(super) uid: String,
    /// What its tokens may be good for.
    #[serde(default = "Application::read_user")]
    pub(super) scopes: Vec<String>,
    /// Where people are sent back to with a code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) redirect_uris: Vec<String>,
}

impl Application {
    fn read_user() -> Vec<String> {
        vec!["read_user".to_owned()]
    }
}

/// What a program shows for its next token.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RefreshToken {
    pub(super) token: String,
    application: String,
    scopes: Vec<String>,
    user_id: u64,
    /// The token that it came with.
    access_token: String,
    pub(super) is_used: bool,
}

/// A code that was given to a program.
#[derive(Clone, Debug)]
struct Code {
    /// What the person types in.
    shown: String,
    application: String,
    scopes: Vec<String>,
    asked_at: Moment,
    interval_ms: i64,
    polled_at: Option<Moment>,
    decision: Option<Decision>,
    /// How long it may be used; the control port can let it lapse.
    lives_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    By(u64),
    Denied,
}

/// The codes that are out, by device code.
#[derive(Default)]
pub(super) struct Codes(Mutex<BTreeMap<String, Code>>);

impl Codes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a person does with the code on their screen. `false` when there is none.
    pub(super) fn decide(&self, user_code: &str, user_id: Option<u64>) -> bool {
        self.change(user_code, |code| code.decision = Some(user_id.map_or(Decision::Denied, Decision::By)))
    }

    /// Lets the time of a code be over.
    pub(super) fn lapse(&self, user_code: &str) -> bool {
        self.change(user_code, |code| code.lives_ms = 0)
    }

    /// Forgets when the program last asked, so that a test need not wait for the interval.
    pub(super) fn hurry(&self, user_code: &str) -> bool {
        self.change(user_code, |code| {
            code.polled_at = None;
            code.interval_ms = 0;
        })
    }

    /// The codes that wait for a person.
    pub(super) fn waiting(&self) -> Vec<String> {
        self.lock().values().filter(|code| code.decision.is_none()).map(|code| code.shown.clone()).collect()
    }

    fn change(&self, user_code: &str, change: impl FnOnce(&mut Code)) -> bool {
        let typed = plain(user_code);
        self.lock().values_mut().find(|code| plain(&code.shown) == typed).map(change).is_some()
    }
}

/// People type codes with and without a dash, in either case.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect()
}

pub(super) fn routes() -> Router<Arc<Gitlab>> {
    Router::new()
        .route("/oauth/authorize_device", post(authorize_device))
        .route("/oauth/token", post(token))
        .route("/oauth/token/info", get(token_info))
        .route("/oauth/revoke", post(revoke))
}

type Shared = State<Arc<Gitlab>>;

/// An answer as OAuth wants it: not to be kept by anything on the way.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], server::json(status, body)).into_response()
}

pub(super) fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    answer(status, &json!({ "error": error, "error_description": description }))
}

/// The fields of a form, in the body or in the query; GitLab reads both, and JSON too.
fn fields(query: Option<&str>, body: &Bytes) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = query_fields(query).into_iter().collect();
    match serde_json::from_slice::<BTreeMap<String, String>>(body) {
        Ok(json) => fields.extend(json),
        Err(_) => fields.extend(query_fields(std::str::from_utf8(body).ok())),
    }
    fields
}

async fn authorize_device(State(gitlab): Shared, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let fields = fields(query.as_deref(), &body);
    let uid = fields.get("client_id").map(String::as_str).unwrap_or_default();
    let Some(application) = gitlab.store().world.applications.get(uid).cloned() else {
        let why = "Client authentication failed due to unknown client, no client authentication included, or \
                   unsupported authentication method.";
        return refusal(StatusCode::UNAUTHORIZED, "invalid_client", why);
    };
    let asked: Vec<String> =
        fields.get("scope").map(|scope| scope.split_whitespace().map(str::to_owned).collect()).unwrap_or_default();
    let scopes = if asked.is_empty() { application.scopes.iter().take(1).cloned().collect() } else { asked };
    if scopes.iter().any(|scope| !application.scopes.contains(scope)) {
        let why = "The requested scope is invalid, unknown, or malformed.";
        return refusal(StatusCode::BAD_REQUEST, "invalid_scope", why);
    }
    let device_code = secret("");
    let user_code: String = plain(&secret("")).chars().chain("00000000".chars()).take(8).collect();
    let url = &gitlab.url;
    let shown = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": format!("{url}/oauth/device"),
        "verification_uri_complete": format!("{url}/oauth/device?user_code={user_code}"),
        "expires_in": CODE_SECONDS,
        "interval": INTERVAL_SECONDS,
    });
    let code = Code {
        shown: user_code,
        application: application.uid,
        scopes,
        asked_at: Moment::now(),
        interval_ms: INTERVAL_SECONDS * 1000,
        polled_at: None,
        decision: None,
        lives_ms: CODE_SECONDS * 1000,
    };
    gitlab.codes.lock().insert(device_code, code);
    answer(StatusCode::OK, &shown)
}

async fn token(State(gitlab): Shared, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let fields = fields(query.as_deref(), &body);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if field("grant_type") == "refresh_token" {
        return refresh(&gitlab, field("refresh_token"), field("client_id"));
    }
    if field("grant_type") == "authorization_code" {
        return browser::exchange(&gitlab, &fields);
    }
    if field("grant_type") != DEVICE_CODE {
        let why = "The authorization grant type is not supported by the authorization server.";
        return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", why);
    }
    let now = Moment::now();
    let granted = {
        let mut codes = gitlab.codes.lock();
        let device_code = field("device_code");
        let code = codes.get_mut(device_code).filter(|code| code.application == field("client_id"));
        let Some(code) = code else {
            let why = "The provided authorization grant is invalid, expired, revoked, or was issued to another client.";
            return refusal(StatusCode::BAD_REQUEST, "invalid_grant", why);
        };
        let polled_at = code.polled_at.replace(now);
        let end = |codes: &mut BTreeMap<String, Code>, error: &str, why: &str| {
            codes.remove(device_code);
            refusal(StatusCode::BAD_REQUEST, error, why)
        };
        if now.0 - code.asked_at.0 >= code.lives_ms {
            return end(&mut codes, "expired_token", "The code has expired.");
        }
        if polled_at.is_some_and(|at| now.0 - at.0 < code.interval_ms) {
            code.interval_ms += SLOW_DOWN_SECONDS * 1000;
            return refusal(StatusCode::BAD_REQUEST, "slow_down", "Ask less often.");
        }
        match code.decision {
            None => {
                let why = "The authorization request is still pending.";
                return refusal(StatusCode::BAD_REQUEST, "authorization_pending", why);
            }
            Some(Decision::Denied) => {
                return end(&mut codes, "access_denied", "The resource owner denied the request.");
            }
            // A code is good for one token.
            Some(Decision::By(user_id)) => codes.remove(device_code).map(|code| (code, user_id)),
        }
    };
    let Some((code, user_id)) = granted else {
        return refusal(StatusCode::BAD_REQUEST, "invalid_grant", "The code was used.");
    };
    let written = gitlab.store().change(|change| -> Result<Value, Unwritten> {
        Ok(hand_out(change, code.application, code.scopes, user_id, now))
    });
    match written {
        Ok(shown) => answer(StatusCode::OK, &shown),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string()),
    }
}

/// Makes a token, and one that prolongs it: the answer about them.
pub(super) fn hand_out(
    change: &mut Change<'_>,
    application: String,
    scopes: Vec<String>,
    user_id: u64,
    now: Moment,
) -> Value {
    let (access_token, refresh_token) = (secret(""), secret(""));
    let shown = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": TOKEN_SECONDS,
        "refresh_token": refresh_token,
        "scope": scopes.join(" "),
        "created_at": now.seconds(),
    });
    change.record(Fact::ApiToken(ApiToken {
        token: access_token.clone(),
        scopes: scopes.clone(),
        user_id,
        projects: None,
        application: Some(application.clone()),
        ends_at: Some(Moment(now.0 + TOKEN_SECONDS * 1000)),
    }));
    change.record(Fact::RefreshToken(RefreshToken {
        token: refresh_token,
        application,
        scopes,
        user_id,
        access_token,
        is_used: false,
    }));
    shown
}

/// A new token for one that may have ended.
fn refresh(gitlab: &Gitlab, given: &str, client_id: &str) -> Response {
    let now = Moment::now();
    let written = gitlab.store().change(|change| -> Result<Option<Value>, Unwritten> {
        let known = change.world.refresh_tokens.get(given);
        let Some(known) = known.filter(|known| known.application == client_id && !known.is_used).cloned() else {
            return Ok(None);
        };
        if let Some(old) = change.world.tokens.get(&known.access_token).filter(|old| old.is_good(now)).cloned() {
            change.record(Fact::ApiToken(ApiToken { ends_at: Some(now), ..old }));
        }
        change.record(Fact::RefreshToken(RefreshToken { is_used: true, ..known.clone() }));
        Ok(Some(hand_out(change, known.application, known.scopes, known.user_id, now)))
    });
    match written {
        Ok(Some(shown)) => answer(StatusCode::OK, &shown),
        Ok(None) => {
            let why = "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI \
                       used in the authorization request, or was issued to another client.";
            refusal(StatusCode::BAD_REQUEST, "invalid_grant", why)
        }
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string()),
    }
}

/// A program gives a token back. One that is not there, or not good any more, is answered as one that was (RFC 7009,
/// section 2.2); one of another application is not touched.
async fn revoke(State(gitlab): Shared, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let fields = fields(query.as_deref(), &body);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (given, now) = (field("token").to_owned(), Moment::now());
    let written = gitlab.store().change(|change| -> Result<bool, Unwritten> {
        let pair = change.world.refresh_tokens.values().find(|one| one.token == given || one.access_token == given);
        let Some(pair) = pair.cloned() else { return Ok(true) };
        if pair.application != field("client_id") {
            return Ok(false);
        }
        // One goes with the other.
        if let Some(token) = change.world.tokens.get(&pair.access_token).filter(|token| token.is_good(now)).cloned() {
            change.record(Fact::ApiToken(ApiToken { ends_at: Some(now), ..token }));
        }
        change.record(Fact::RefreshToken(RefreshToken { is_used: true, ..pair }));
        Ok(true)
    });
    match written {
        Ok(true) => answer(StatusCode::OK, &json!({})),
        Ok(false) => {
            let why = "You are not authorized to revoke this token";
            refusal(StatusCode::FORBIDDEN, "unauthorized_client", why)
        }
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &error.to_string()),
    }
}

/// Only tokens of applications have an application to tell of; an access token made by hand has none.
async fn token_info(State(gitlab): Shared, headers: HeaderMap) -> Response {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let now = Moment::now();
    let store = gitlab.store();
    let token = given.and_then(|given| store.world.tokens.get(given)).filter(|token| token.is_good(now));
    let known = token.and_then(|token| Some((token, token.application.as_ref()?)));
    let Some((token, application)) = known else {
        return refusal(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is invalid");
    };
    let left = token.ends_at.map(|end| (end.0 - now.0) / 1000);
    answer(
        StatusCode::OK,
        &json!({
            "resource_owner_id": token.user_id,
            "scope": token.scopes,
            "expires_in": left,
            "application": { "uid": application },
            "created_at": token.ends_at.map(|end| end.seconds() - TOKEN_SECONDS),
            "scopes": token.scopes,
            "expires_in_seconds": left,
        }),
    )
}

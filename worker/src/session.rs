//! Sessions: a job shows its ID token, a person the access token that GitLab gave their program or the code that it gave their
//! browser, and each gets a text that stands for it.

use std::cell::RefCell;
use std::time::Duration;

use js_sys::{Array, Object, Reflect, Uint8Array};
use serde::Deserialize;
use slipway_core::access::browser::SigningIn;
use slipway_core::access::{Admission, Admitted, DeployerSession, Found, Keyring, PersonSession, Strangers, admit};
use slipway_core::api::{self, Session};
use slipway_core::config::Config;
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_fetch::Fetch;
use slipway_gitlab::id_token::{AGE_S_MAX, Compact, UnverifiedIdToken};
use slipway_gitlab::{
    AuthorizeUrl, Discover, ExchangeCode, ExpectedPerson, GetKeys, GetTokenInfo, GetUser, GetUserInfo, Jwks,
    RevokeToken, RsaKey, UnverifiedPersonToken, check_person,
};
use slipway_wire::{CallError, Token, call};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::answer::{Answer, Problem, json, secret_json};
use crate::fetch::parse;
use crate::message::{self, ToProject, tell};
use crate::{clock, counters, settings};

/// A session's request is a token and little else; a token may have 8 KiB.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long GitLab may take to give its keys, or to say whose an access token is.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// How long an access token may be.
const ACCESS_TOKEN_BYTES_MAX: usize = 4096;

thread_local! {
    /// GitLab's keys, as text: no JavaScript handle outlives its request.
    static KEYS: RefCell<Keyring> = RefCell::default();
    /// Who showed access tokens that turned out to be nobody's.
    static STRANGERS: RefCell<Strangers> = RefCell::default();
}

/// One of the two.
#[derive(Deserialize)]
struct AnyRequest {
    id_token: Option<String>,
    access_token: Option<String>,
}

/// `GET /api/v1/sign-in`: where a person's program sends them.
pub(crate) fn sign_in(config: &Config) -> Answer {
    let application = config.gitlab.application.clone().ok_or_else(no_sign_in)?;
    json(200, &api::SignIn { gitlab: config.gitlab.url.as_str().to_owned(), application })
}

fn no_sign_in() -> Problem {
    let why = "People do not sign in here: slipway.toml has no `application` under `[gitlab]`.";
    Problem::new(404, "no-sign-in", why)
}

/// `POST /api/v1/sessions`.
pub(crate) async fn open(body: &[u8], address: &str, env: &Env, config: &Config) -> Answer {
    match parse(body)? {
        AnyRequest { id_token: Some(token), access_token: None } => of_job(&token, env, config).await,
        AnyRequest { id_token: None, access_token: Some(token) } => of_person(&token, address, env, config).await,
        AnyRequest { .. } => {
            let why = "The body must have either an `id_token` (a job's) or an `access_token` (a person's).";
            Err(Problem::new(400, "bad-request", why))
        }
    }
}

async fn of_job(token: &str, env: &Env, config: &Config) -> Answer {
    let now = clock::now();
    let refused = |why: String| Problem::new(401, "id-token-refused", format!("No session was opened: {why}."));
    let stranger = |why: String| {
        counters::count("id_token");
        refused(why)
    };
    let token = UnverifiedIdToken::parse(token).map_err(|error| stranger(error.to_string()))?;
    let holds = is_signed(env, config, token.compact(), now).await?;
    let holds = holds.ok_or_else(|| stranger("GitLab has no such key".to_owned()))?;
    let claims = token.claims_after(holds).map_err(|error| stranger(error.to_string()))?;
    // From here on the caller is known, whatever becomes of it.
    let actor = format!("job:{} user:{}", claims.job_id, claims.user_login);
    let Admission { who, is_fresh } = match admit(config, &claims, now) {
        Ok(admission) => admission,
        Err(refusal) => {
            counters::count("id_token_claims");
            if config.project_of_id(claims.project_id).is_some() {
                message::refuse(env, claims.project_id, actor, "session", &refusal.to_string()).await;
            }
            return Err(refused(refusal.to_string()));
        }
    };
    let project = match who {
        Admitted::Project(project) => api::Project { id: project.id, name: project.name.to_string() },
        Admitted::Deployer(deployer) => api::Project { id: deployer.id, name: deployer.name.to_string() },
    };
    let session = JobSession::of(claims);
    let spend = ToProject::Spend { session: session.clone(), is_fresh };
    let mut answer = tell(&message::project(env, project.id)?, &spend).await?;
    if answer.status_code() != 200 {
        return Err(
            worker::Error::RustError(format!("the record answered a token with {}", answer.status_code())).into()
        );
    }
    if !serde_json::from_str::<bool>(&answer.text().await?)? {
        counters::count("id_token_claims");
        // One that is too old was never shown here, or not by this job.
        return Err(refused(if is_fresh {
            "the `jti` of the ID token has opened a session for another job already; a token is for one job, so run this \
             job again for one of its own"
                .to_owned()
        } else {
            format!("the ID token is more than {AGE_S_MAX} seconds old; exchange it first in the job")
        }));
    }
    let key = settings::edge_key(env)?;
    let (expires_at, pipeline_id, job_id) = (session.ends_at.to_string(), session.pipeline_id, session.job_id);
    let session = match who {
        Admitted::Project(_) => session.seal(&key)?,
        Admitted::Deployer(deployer) => DeployerSession { deployer: deployer.name.clone(), job: session }.seal(&key)?,
    };
    secret_json(201, &Session { session, expires_at, project, pipeline_id, job_id })
}

async fn of_person(token: &str, address: &str, env: &Env, config: &Config) -> Answer {
    let application = config.gitlab.application.as_ref().ok_or_else(no_sign_in)?;
    let now = clock::now();
    let stranger = |why: &str| {
        counters::count("access_token");
        STRANGERS.with_borrow_mut(|strangers| strangers.came(address, now));
        Problem::new(401, "access-token-refused", format!("No session was opened: {why}. Sign in again."))
    };
    if !STRANGERS.with_borrow(|strangers| strangers.may_come(address, now)) {
        return Err(too_many());
    }
    if token.is_empty() || token.len() > ACCESS_TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(stranger("this is no access token"));
    }
    let token = Token::new(token);
    let (http, base) = (Fetch::new(ASK_LIMIT), &config.gitlab.url);
    let unknown = |error: CallError| match error.status().map(|status| status.as_u16()) {
        Some(401 | 403) => stranger("GitLab does not know the access token"),
        _ => unreachable(&error),
    };
    let info = call(&http, &GetTokenInfo { base, token: &token }).await.map_err(unknown)?;
    // GitLab's tokens for other applications prove their people to those, not here.
    if info.application != *application {
        return Err(stranger("the access token was given to another application"));
    }
    let user = call(&http, &GetUser { base, token: &token }).await.map_err(unknown)?;
    if user.id != info.user_id {
        return Err(stranger("GitLab names two people for the access token"));
    }
    let session = PersonSession { user_id: user.id, username: user.username.clone(), ends_at: PersonSession::end(now) };
    secret_json(
        201,
        &api::PersonSession {
            session: session.seal(&settings::edge_key(env)?)?,
            expires_at: session.ends_at.to_string(),
            user: api::Person { id: user.id, username: user.username },
        },
    )
}

/// Where GitLab sends people back to. It is written down there letter for letter.
fn redirect(config: &Config) -> String {
    config.edge.url.join("/sign-in/return")
}

/// The address at GitLab that a person's browser is sent to.
pub(crate) fn at_gitlab(began: &SigningIn, config: &Config) -> Result<String, Problem> {
    let application = config.gitlab.application.as_deref().ok_or_else(no_sign_in)?;
    let (redirect, challenge) = (redirect(config), began.challenge());
    let sent = AuthorizeUrl {
        base: &config.gitlab.url,
        application,
        redirect: &redirect,
        state: began.state(),
        nonce: began.nonce(),
        challenge: &challenge,
    };
    Ok(sent.url())
}

/// Nobody has signed in, and somebody may see why. Where GitLab was asked nothing this costs nobody anything, and is not counted
/// against anybody: any page can send a browser here as often as it likes.
pub(crate) fn not_signed_in(why: &str) -> Problem {
    counters::count("sign_in");
    Problem::new(401, "sign-in-refused", format!("You are not signed in: {}.", why.trim_end_matches('.')))
}

/// The same, after GitLab was asked.
fn not_known(address: &str, why: &str) -> Problem {
    STRANGERS.with_borrow_mut(|strangers| strangers.came(address, clock::now()));
    not_signed_in(why)
}

/// The session of a person who has come back from GitLab with a code.
pub(crate) async fn of_code(
    code: &str,
    began: &SigningIn,
    address: &str,
    env: &Env,
    config: &Config,
) -> Result<PersonSession, Problem> {
    let application = config.gitlab.application.as_deref().ok_or_else(no_sign_in)?;
    if !STRANGERS.with_borrow(|strangers| strangers.may_come(address, clock::now())) {
        return Err(too_many());
    }
    if code.is_empty() || code.len() > ACCESS_TOKEN_BYTES_MAX || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(not_signed_in("GitLab's answer has no code"));
    }
    let (http, base, redirect) = (Fetch::new(ASK_LIMIT), &config.gitlab.url, redirect(config));
    let (code, verifier) = (Token::new(code), began.verifier());
    let exchange = ExchangeCode { base, application, redirect: &redirect, code: &code, verifier: &verifier };
    let exchanged = call(&http, &exchange).await.map_err(|error| match error {
        CallError::Refused { status, said, .. } if matches!(status.as_u16(), 400 | 401) => {
            not_known(address, &format!("GitLab says: {said}"))
        }
        error => unreachable(&error),
    })?;
    let token = &exchanged.access_token;
    let named = async {
        let (user_id, username) = who(exchanged.id_token.expose(), began, address, env, config).await?;
        let username = match username {
            Some(username) => username,
            None => call(&http, &GetUserInfo { base, token, user_id }).await.map_err(|error| unreachable(&error))?,
        };
        Ok(PersonSession { user_id, username, ends_at: PersonSession::end(clock::now()) })
    };
    let named = named.await;
    // Whatever came of it: nobody here needs what would open their profile.
    if let Err(error) = call(&http, &RevokeToken { base, application, token }).await {
        crate::log::trouble!("the access token of a sign-in could not be given back, and ends by itself: {error}");
    }
    named
}

/// Whom an ID token names that GitLab made for this sign-in.
async fn who(
    token: &str,
    began: &SigningIn,
    address: &str,
    env: &Env,
    config: &Config,
) -> Result<(u64, Option<String>), Problem> {
    let refused = |why: String| not_known(address, &why);
    let token = UnverifiedPersonToken::parse(token).map_err(|error| refused(error.to_string()))?;
    let holds = is_signed(env, config, token.compact(), clock::now()).await?;
    let holds = holds.ok_or_else(|| refused("GitLab has no such key".to_owned()))?;
    let claims = token.claims_after(holds).map_err(|error| refused(error.to_string()))?;
    let expected = ExpectedPerson {
        issuer: config.gitlab.url.as_str(),
        application: config.gitlab.application.as_deref().unwrap_or_default(),
        nonce: began.nonce(),
    };
    let now_s = u64::try_from(clock::now().unix_seconds()).unwrap_or(0);
    check_person(&claims, &expected, now_s).map_err(|error| refused(error.to_string()))?;
    Ok((claims.user_id, claims.username))
}

fn unreachable(error: &CallError) -> Problem {
    Problem::new(503, "gitlab-unreachable", format!("Cannot ask GitLab who signs in: {error}. Try again."))
}

fn too_many() -> Problem {
    let why = "Too many sign-ins have failed here in the last minute. Try again in a minute.";
    Problem::new(429, "too-many-sign-ins", why)
}

/// Whether the signature of a token holds. `None`: GitLab has no such key.
async fn is_signed(env: &Env, config: &Config, token: &Compact, now: Timestamp) -> Result<Option<bool>, Problem> {
    let Some(key) = find_key(env, config, token.key_id(), now).await? else { return Ok(None) };
    signature_holds(&key, token.signing_input(), token.signature()).await.map(Some)
}

async fn find_key(env: &Env, config: &Config, key_id: &str, now: Timestamp) -> Result<Option<RsaKey>, Problem> {
    if let Some(name) = &config.gitlab.keys {
        // The operator's own set is the whole truth: GitLab is not asked.
        let set = settings::text(env, name)?;
        let keys = Jwks::parse(set.expose().as_bytes())
            .map_err(|error| worker::Error::RustError(format!("`{name}` is no key set of GitLab's: {error}")))?;
        return Ok(keys.find(key_id).cloned());
    }
    let unavailable =
        |why: &str| Problem::new(503, "gitlab-unreachable", format!("Cannot read GitLab's keys: {why}. Try again."));
    let told = |found: Found, why: &str| match found {
        Found::Key(key) => Ok(Some(key)),
        Found::NoSuchKey => Ok(None),
        Found::Ask | Found::Unavailable => Err(unavailable(why)),
    };
    let found = KEYS.with_borrow_mut(|keys| keys.find(key_id, now));
    if found != Found::Ask {
        return told(found, "it was asked seconds ago");
    }
    let http = Fetch::new(ASK_LIMIT);
    let read = async {
        let url = call(&http, &Discover { issuer: &config.gitlab.url }).await?;
        call(&http, &GetKeys { url: &url }).await
    };
    match read.await {
        Ok(keys) => {
            let key = keys.find(key_id).cloned();
            KEYS.with_borrow_mut(|ring| ring.learn(keys, now));
            Ok(key)
        }
        Err(error) => told(KEYS.with_borrow_mut(|ring| ring.fail(key_id, clock::now())), &error.to_string()),
    }
}

/// Checks an RS256 signature with the runtime's own cryptography.
async fn signature_holds(key: &RsaKey, signed: &[u8], signature: &[u8]) -> Result<bool, Problem> {
    let verify = async {
        let global: JsValue = js_sys::global().into();
        let crypto: web_sys::Crypto = Reflect::get(&global, &"crypto".into())?.unchecked_into();
        let subtle = crypto.subtle();
        let jwk = Object::new();
        for (name, value) in [("kty", "RSA"), ("alg", "RS256"), ("n", key.n()), ("e", key.e())] {
            Reflect::set(&jwk, &name.into(), &value.into())?;
        }
        let algorithm = Object::new();
        Reflect::set(&algorithm, &"name".into(), &"RSASSA-PKCS1-v1_5".into())?;
        Reflect::set(&algorithm, &"hash".into(), &"SHA-256".into())?;
        let usages = Array::of1(&"verify".into());
        let imported = subtle.import_key_with_object("jwk", &jwk, &algorithm, false, &usages)?;
        let imported: web_sys::CryptoKey = JsFuture::from(imported).await?.unchecked_into();
        let (signature, signed) = (Uint8Array::from(signature), Uint8Array::from(signed));
        let verified = subtle.verify_with_str_and_js_u8_array_and_js_u8_array(
            "RSASSA-PKCS1-v1_5",
            &imported,
            &signature,
            &signed,
        )?;
        Ok::<_, JsValue>(JsFuture::from(verified).await?.is_truthy())
    };
    // A key that cannot be imported verifies nothing.
    Ok(verify.await.unwrap_or(false))
}

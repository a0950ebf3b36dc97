//! Sessions: a job shows its ID token and gets a text that stands for it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use js_sys::{Array, Object, Reflect, Uint8Array};
use slipway_core::api::{self, Session, SessionRequest};
use slipway_core::config::{Config, Project};
use slipway_core::secret::{JobSession, NotSealed};
use slipway_core::time::Timestamp;
use slipway_fetch::Fetch;
use slipway_gitlab::AccessLevel;
use slipway_gitlab::id_token::{AGE_S_MAX, Claims, Expected, Refusal, UnverifiedIdToken, check};
use slipway_gitlab::{Discover, GetKeys, Jwks, RsaKey};
use slipway_wire::call;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{Env, Request};

use crate::answer::{Answer, Problem, json};
use crate::message::{self, ToProject, tell};
use crate::{clock, settings};

/// A session's request is an ID token and little else; a token may have 8 KiB.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long GitLab may take to give its keys.
const KEYS_LIMIT: Duration = Duration::from_secs(5);
/// A key that is not known is looked for at most this often, so that made-up key ids cause no traffic.
const KEYS_AGE_MIN: Duration = Duration::from_mins(1);
/// After a failure GitLab is asked again at most this often, whoever knocks.
const KEYS_AGAIN: Duration = Duration::from_secs(5);
/// Keys this old are asked for again before they are used.
const KEYS_AGE_MAX: Duration = Duration::from_hours(1);

thread_local! {
    /// GitLab's keys and when they were read. Text alone: no JavaScript handle outlives its request.
    static KEYS: RefCell<Option<(Timestamp, Jwks)>> = const { RefCell::new(None) };
    /// When GitLab was last asked for them in vain.
    static FAILED_AT: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// `POST /api/v1/sessions`.
pub(crate) async fn open(body: &[u8], env: &Env, config: &Config) -> Answer {
    let request: SessionRequest = serde_json::from_slice(body).map_err(|error| {
        Problem::new(400, "bad-request", format!("The body must be JSON with an `id_token`: {error}."))
    })?;
    let now = clock::now();
    let refused = |why: String| Problem::new(401, "id-token-refused", format!("No session was opened: {why}."));
    let token = UnverifiedIdToken::parse(&request.id_token).map_err(|error| refused(error.to_string()))?;
    let key = find_key(config, token.key_id(), now).await?;
    let key = key.ok_or_else(|| refused("GitLab has no such key".to_owned()))?;
    let holds = signature_holds(&key, token.signing_input(), token.signature()).await?;
    let claims = token.claims_after(holds).map_err(|error| refused(error.to_string()))?;
    let (project, is_fresh) = admit(config, &claims, now).map_err(refused)?;

    let issued_at = Timestamp(i64::try_from(claims.iat).unwrap_or(i64::MAX).saturating_mul(1000));
    let session = JobSession {
        project_id: project.id,
        project_path: claims.project_path,
        pipeline_id: claims.pipeline_id,
        job_id: claims.job_id,
        user: claims.user_login,
        user_id: claims.user_id,
        user_level: claims.user_access_level.as_deref().and_then(AccessLevel::of_word),
        environment: claims.environment,
        environment_protected: claims.environment_protected.unwrap_or_default(),
        ref_name: claims.ref_name,
        sha: claims.sha.unwrap_or_default(),
        token_id: claims.jti,
        ends_at: JobSession::end(issued_at),
    };
    let spend = ToProject::Spend { session: session.clone(), is_fresh };
    let mut answer = tell(&message::project(env, project.id)?, &spend).await?;
    if answer.status_code() != 200 {
        return Err(
            worker::Error::RustError(format!("the record answered a token with {}", answer.status_code())).into()
        );
    }
    if !serde_json::from_str::<bool>(&answer.text().await?)? {
        return Err(refused(format!(
            "the ID token is more than {AGE_S_MAX} seconds old; exchange it first in the job"
        )));
    }
    json(
        201,
        &Session {
            session: session.seal(&settings::edge_key(env)?)?,
            expires_at: session.ends_at.to_string(),
            project: api::Project { id: project.id, name: project.name.to_string() },
            pipeline_id: session.pipeline_id,
            job_id: session.job_id,
        },
    )
}

/// The registered project whose numbers the token carries, if everything else in it holds too.
///
/// `false` beside it: only its age does not hold. A job whose upload took long may show the same token again.
fn admit<'a>(config: &'a Config, claims: &Claims, now: Timestamp) -> Result<(&'a Project, bool), String> {
    let project = config.projects.iter().find(|project| project.id == claims.project_id);
    let project = project.ok_or_else(|| format!("project {} is not in slipway.toml", claims.project_id))?;
    let expected = Expected {
        issuer: config.gitlab.url.as_str(),
        audience: config.edge.audience(),
        project_id: project.id,
        namespace_id: project.namespace_id,
    };
    let now = u64::try_from(now.unix_seconds()).unwrap_or(0);
    match check(claims, &expected, now) {
        Ok(()) => Ok((project, true)),
        Err(Refusal::TooOld { .. }) => {
            // Everything else must hold as it did when the token was fresh; that it has not expired was seen above.
            let fresh = claims.iat.saturating_add(AGE_S_MAX);
            check(claims, &expected, fresh).map_err(|refusal| refusal.to_string())?;
            Ok((project, false))
        }
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// The session that a request shows.
pub(crate) fn of(request: &Request, env: &Env) -> Result<Option<JobSession>, Problem> {
    let Some(header) = request.headers().get("authorization")? else { return Ok(None) };
    let Some(text) = header.strip_prefix("Bearer ") else { return Err(Problem::unauthorised()) };
    match JobSession::open(text.trim(), &settings::edge_key(env)?, clock::now()) {
        Ok(session) => Ok(Some(session)),
        Err(NotSealed::Ended(at)) => Err(Problem::new(
            401,
            "session-ended",
            format!("The session ended at {at}; open a new one with a fresh ID token."),
        )),
        Err(NotSealed::Forged) => Err(Problem::unauthorised()),
    }
}

async fn find_key(config: &Config, key_id: &str, now: Timestamp) -> Result<Option<RsaKey>, Problem> {
    let (known, age) = KEYS.with_borrow(|keys| match keys {
        // Keys that were read later than now were read when the clock was wrong: nobody knows how old they are.
        Some((read_at, keys)) => (keys.find(key_id).cloned(), (*read_at <= now).then(|| now.since(*read_at))),
        None => (None, None),
    });
    let fresh = age.is_some_and(|age| age < if known.is_some() { KEYS_AGE_MAX } else { KEYS_AGE_MIN });
    if fresh {
        return Ok(known);
    }
    let unreadable =
        |why: &str| Problem::new(503, "gitlab-unreachable", format!("Cannot read GitLab's keys: {why}. Try again."));
    if FAILED_AT.get().is_some_and(|at| at <= now && now.since(at) < KEYS_AGAIN) {
        return if known.is_some() { Ok(known) } else { Err(unreadable("it failed seconds ago")) };
    }
    let http = Fetch::new(KEYS_LIMIT);
    let read = async {
        let url = call(&http, &Discover { issuer: &config.gitlab.url }).await?;
        call(&http, &GetKeys { url: &url }).await
    };
    match read.await {
        Ok(keys) => {
            FAILED_AT.set(None);
            let key = keys.find(key_id).cloned();
            KEYS.set(Some((now, keys)));
            Ok(key)
        }
        Err(error) => {
            FAILED_AT.set(Some(now));
            // GitLab's keys live for months: one that was read before may be used while GitLab cannot be asked.
            if known.is_some() { Ok(known) } else { Err(unreadable(&error.to_string())) }
        }
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

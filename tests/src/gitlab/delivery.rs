//! Sending webhooks: GitLab's headers and signature, one attempt within ten seconds, and switching off a hook that
//! keeps failing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header::HOST},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    clock::{Moment, uuid},
    journal::Fact,
    server::Gitlab,
    world::{Change, Hook, HookEvent, Unwritten},
};

/// GitLab 19.4 has everything that Slipway reads.
const USER_AGENT: &str = "GitLab/19.4.1-ee";
/// GitLab shows this much of an answer.
const KEPT_ANSWER_BYTES: usize = 8 * 1024;
/// The fourth failure in a row switches a hook off for a while, the fortieth for good.
const FAILURES_TO_DISABLE: u32 = 4;
const FAILURES_TO_DISABLE_FOR_GOOD: u32 = 40;
/// Doubling ends at a day, which is 1,440 times GitLab's first minute.
const LONGEST_DISABLE_FACTOR: i64 = 1_440;

/// One webhook request: queued, then sent once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Delivery {
    pub(super) id: u64,
    pub(super) hook_id: u64,
    pub(super) project_id: u64,
    pub(super) job_id: Option<u64>,
    /// The value of `X-Gitlab-Event`.
    pub(super) event: String,
    pub(super) event_uuid: String,
    /// Stays the same when the delivery is sent again.
    pub(super) idempotency_key: String,
    pub(super) body: String,
    /// Headers to replace, or with `null` to leave out.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Option<String>>,
    pub(super) queued_at: Moment,
    /// The delivery that a person had sent again.
    pub(super) resend_of: Option<u64>,
    /// Sent even while the hook is switched off.
    pub(super) forced: bool,
    pub(super) outcome: Option<Outcome>,
}

/// What became of a delivery.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Outcome {
    /// Absent when nothing was sent, since the hook was switched off.
    pub(super) sent_at: Option<Moment>,
    pub(super) finished_at: Moment,
    pub(super) url: String,
    /// Without the secret token.
    pub(super) request_headers: BTreeMap<String, String>,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) response_headers: BTreeMap<String, String>,
    pub(super) response_body: String,
}

impl Outcome {
    /// GitLab counts redirects as success, and does not follow them.
    pub(super) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..400).contains(&status))
    }
}

/// How a hook has been doing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    /// In a row, up to now.
    pub(super) failures: u32,
    pub(super) disabled_until: Option<Moment>,
}

impl Health {
    pub(super) fn learn(&mut self, hook: &Hook, outcome: &Outcome) {
        if outcome.sent_at.is_none() {
            return;
        }
        if outcome.is_success() {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if hook.auto_disable && self.failures >= FAILURES_TO_DISABLE {
            let doublings = (self.failures - FAILURES_TO_DISABLE).min(20);
            let factor = (1_i64 << doublings).min(LONGEST_DISABLE_FACTOR);
            self.disabled_until = Some(Moment(outcome.finished_at.0 + hook.disable_base_ms.saturating_mul(factor)));
        }
    }

    /// The REST API's `alert_status`.
    pub(super) fn status(&self, hook: &Hook, now: Moment) -> &'static str {
        if hook.auto_disable && self.failures >= FAILURES_TO_DISABLE_FOR_GOOD {
            "disabled"
        } else if hook.auto_disable && self.disabled_until.is_some_and(|until| now < until) {
            "temporarily_disabled"
        } else {
            "executable"
        }
    }
}

/// What to send to a hook.
pub(super) struct Message {
    pub(super) event: String,
    pub(super) body: String,
    pub(super) job_id: Option<u64>,
}

impl Message {
    pub(super) fn of(event: HookEvent, body: String, job_id: u64) -> Self {
        Self { event: event.header().to_owned(), body, job_id: Some(job_id) }
    }
}

/// Puts a message into a hook's queue.
pub(super) fn queue(change: &mut Change<'_>, hook: &Hook, message: Message, now: Moment) -> u64 {
    let delivery = Delivery {
        id: change.world.next_delivery_id(),
        hook_id: hook.id,
        project_id: hook.project_id,
        job_id: message.job_id,
        event: message.event,
        event_uuid: uuid(),
        idempotency_key: uuid(),
        body: message.body,
        headers: BTreeMap::new(),
        queued_at: now,
        resend_of: None,
        forced: false,
        outcome: None,
    };
    let id = delivery.id;
    change.record(Fact::Queued(Box::new(delivery)));
    id
}

/// Starts as many senders for every hook as it may have and has deliveries for.
pub(super) fn wake(gitlab: &Arc<Gitlab>) {
    let mut store = gitlab.store();
    let world = &store.world;
    let wanted = |hook: &u64, waiting: usize| world.hooks.get(hook).map_or(1, |hook| hook.at_once).min(waiting);
    let wanted: Vec<(u64, usize)> =
        world.waiting.iter().map(|(hook, waiting)| (*hook, wanted(hook, waiting.len()))).collect();
    for (hook, wanted) in wanted {
        let busy = store.busy.entry(hook).or_default();
        for _ in *busy..wanted {
            *busy += 1;
            tokio::spawn(send_all(Arc::clone(gitlab), hook));
        }
    }
}

async fn send_all(gitlab: Arc<Gitlab>, hook: u64) {
    loop {
        let next = {
            let mut store = gitlab.store();
            let waiting = store.world.waiting.get(&hook);
            let next = waiting.and_then(|ids| ids.iter().find(|id| !store.claimed.contains(id)).copied());
            match (next, store.busy.get_mut(&hook)) {
                (Some(id), _) => {
                    store.claimed.insert(id);
                }
                (None, Some(busy)) => *busy = busy.saturating_sub(1),
                (None, None) => {}
            }
            next
        };
        let Some(id) = next else { return };
        if let Err(error) = send(&gitlab, id).await {
            eprintln!("gitlab-stand-in: {error}");
            return;
        }
    }
}

/// Sends one claimed delivery and writes down what became of it.
pub(super) async fn send(gitlab: &Gitlab, id: u64) -> Result<Outcome, Unwritten> {
    let now = Moment::now();
    let (hook, delivery, status) = {
        let store = gitlab.store();
        let known = store.world.deliveries.get(&id).and_then(|delivery| {
            let hook = store.world.hooks.get(&delivery.hook_id)?;
            let health = store.world.health.get(&hook.id).copied().unwrap_or_default();
            Some((hook.clone(), delivery.clone(), health.status(hook, now)))
        });
        known.ok_or_else(|| Unwritten(format!("delivery {id} has no hook")))?
    };
    let outcome = if status == "executable" || delivery.forced {
        attempt(&gitlab.url, &hook, &delivery, now).await
    } else {
        Outcome {
            sent_at: None,
            finished_at: now,
            url: hook.url.clone(),
            request_headers: BTreeMap::new(),
            status: None,
            error: Some(format!("not sent: the hook is {}", status.replace('_', " "))),
            response_headers: BTreeMap::new(),
            response_body: String::new(),
        }
    };
    let mut store = gitlab.store();
    store.claimed.remove(&id);
    store.change(|change| {
        change.record(Fact::Delivered { delivery_id: id, outcome: Box::new(outcome.clone()) });
        Ok(outcome)
    })
}

async fn attempt(instance: &str, hook: &Hook, delivery: &Delivery, now: Moment) -> Outcome {
    let headers = headers(instance, hook, delivery, now);
    let mut shown: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    shown.remove("X-Gitlab-Token");
    let within = Duration::from_millis(hook.timeout_ms);
    let answer = match tokio::time::timeout(within, post(&hook.url, headers, &delivery.body)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", within.as_secs_f64())),
    };
    let (status, response_headers, response_body, error) = match answer {
        Ok(answer) => (Some(answer.status), answer.headers, answer.body, None),
        Err(error) => (None, BTreeMap::new(), String::new(), Some(error)),
    };
    Outcome {
        sent_at: Some(now),
        finished_at: Moment::now(),
        url: hook.url.clone(),
        request_headers: shown,
        status,
        error,
        response_headers,
        response_body,
    }
}

fn headers(instance: &str, hook: &Hook, delivery: &Delivery, now: Moment) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = [
        ("Content-Type", "application/json"),
        ("User-Agent", USER_AGENT),
        ("Idempotency-Key", &delivery.idempotency_key),
        ("X-Gitlab-Event", &delivery.event),
        // A fresh one per request, as GitLab's code does; its documentation promises more.
        ("X-Gitlab-Webhook-UUID", &uuid()),
        ("X-Gitlab-Instance", instance),
        ("X-Gitlab-Event-UUID", &delivery.event_uuid),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(token) = &hook.token {
        headers.push(("X-Gitlab-Token".to_owned(), token.clone()));
    }
    if let Some(token) = &hook.signing_token {
        let timestamp = now.seconds().to_string();
        let signature = signature(token, &delivery.idempotency_key, &timestamp, delivery.body.as_bytes());
        headers.push(("webhook-id".to_owned(), delivery.idempotency_key.clone()));
        headers.push(("webhook-timestamp".to_owned(), timestamp));
        headers.extend(signature.map(|signature| ("webhook-signature".to_owned(), signature)));
    }
    for (name, value) in &delivery.headers {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.extend(value.as_ref().map(|value| (name.clone(), value.clone())));
    }
    headers
}

/// The Standard Webhooks signature, or nothing when the token is not `whsec_` and base64.
pub(super) fn signature(token: &str, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(token.strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether deliveries can be sent there: `http://host[:port]/…`, the stand-in has no TLS.
pub(super) fn is_deliverable(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

async fn post(url: &str, headers: Vec<(String, String)>, body: &str) -> Result<Answer, String> {
    let uri: Uri = url.parse().map_err(|error| format!("cannot read the hook's address `{url}`: {error}"))?;
    let host = uri.host().ok_or_else(|| format!("the hook's address `{url}` has no host"))?;
    let authority = uri.authority().map_or_else(String::new, ToString::to_string);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80)))
        .await
        .map_err(|error| format!("cannot connect to {authority}: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("cannot speak HTTP to {authority}: {error}"))?;
    let mut tasks = JoinSet::new(); // Ends the connection when this attempt is given up.
    tasks.spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .body(Full::new(Bytes::from(body.to_owned())))
        .map_err(|error| format!("cannot write a request to `{url}`: {error}"))?;
    let map = request.headers_mut();
    for (name, value) in headers {
        let name = HeaderName::try_from(&name).map_err(|error| format!("`{name}` cannot be a header: {error}"))?;
        let value = HeaderValue::try_from(value).map_err(|error| format!("cannot send header `{name}`: {error}"))?;
        map.append(name, value);
    }
    if !map.contains_key(HOST) {
        map.insert(HOST, HeaderValue::try_from(authority.clone()).map_err(|error| error.to_string())?);
    }
    let response =
        sender.send_request(request).await.map_err(|error| format!("no valid answer from {authority}: {error}"))?;
    let status = response.status().as_u16();
    let headers = shown(response.headers());
    let mut kept = Vec::new();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer of {authority} broke off: {error}"))?;
        if let Some(data) = frame.data_ref() {
            kept.extend(data.iter().take(KEPT_ANSWER_BYTES.saturating_sub(kept.len())));
        }
    }
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&kept).into_owned() })
}

fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::world::TimeFormat, *};

    #[test]
    fn a_signature_is_the_one_of_the_published_vector() {
        let signature = signature(
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "f5e5f430-f57b-4e6e-9fac-d9128cd7232f",
            "1795392000",
            br#"{"object_kind":"build","build_id":1977,"build_status":"pending"}"#,
        );
        assert_eq!(signature.as_deref(), Some("v1,JKmAbU5NabgVfbOTMjs/ORrruKZyVMstCvDlOWBYYOs="));
    }

    #[test]
    fn the_fourth_failure_disables_for_a_minute_then_doubling_to_a_day_and_the_fortieth_for_good() {
        let hook = Hook {
            id: 1,
            project_id: 1,
            name: "slipway".to_owned(),
            url: "http://127.0.0.1/".to_owned(),
            token: None,
            signing_token: None,
            events: BTreeSet::new(),
            time_format: TimeFormat::Utc,
            auto_disable: true,
            disable_base_ms: 60_000,
            timeout_ms: 10_000,
            at_once: 1,
            created_at: Moment(0),
        };
        let answered = |status| Outcome {
            sent_at: Some(Moment(0)),
            finished_at: Moment(0),
            url: String::new(),
            request_headers: BTreeMap::new(),
            status: Some(status),
            error: None,
            response_headers: BTreeMap::new(),
            response_body: String::new(),
        };
        let mut health = Health::default();
        let mut minutes = Vec::new();
        for _ in 0..39 {
            health.learn(&hook, &answered(404));
            minutes.push(health.disabled_until.map(|until| until.0 / 60_000));
        }
        assert_eq!(minutes[..7], [None, None, None, Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!(minutes[38], Some(1_440));
        assert_eq!(health.status(&hook, Moment(1_440 * 60_000)), "executable", "a hook heals by itself");
        health.learn(&hook, &answered(500));
        assert_eq!(health.status(&hook, Moment(i64::MAX)), "disabled");
        health.learn(&hook, &answered(302));
        assert_eq!(health.status(&hook, Moment(0)), "executable");
    }
}

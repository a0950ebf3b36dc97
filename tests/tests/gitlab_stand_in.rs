//! The GitLab stand-in does what GitLab does: seen from outside, over HTTP, on the real program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac};
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const DEADLINE: Duration = Duration::from_secs(20);
const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A running program, killed when dropped.
struct StandIn {
    child: Child,
    url: String,
    control: String,
    data: PathBuf,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl StandIn {
    /// A new one for one test, whose hook points at the receiver.
    fn start(test: &str, receiver: &WebhookReceiver) -> Self {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gitlab-stand-in").join(test);
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&data).expect("the target folder is writable");
        let seed = json!({
            "projects": [
                { "id": 1001, "namespace_id": 71, "path": "harbour/tug" },
                { "id": 1002, "namespace_id": 71, "path": "harbour/pilot" },
            ],
            "users": [
                { "id": 7, "username": "mira", "name": "Mira Holt" },
                { "id": 8, "username": "jon", "name": "Jon Ask", "access_level": "developer" },
                { "id": 9, "username": "ada", "name": "Ada Lund", "roles": { "1001": "reporter", "1002": "none" } },
            ],
            "applications": [{
                "uid": "command", "scopes": ["read_user", "openid"], "redirect_uris": ["https://edge.test/sign-in/return"],
            }],
            "tokens": [
                { "token": "glpat-read", "scopes": ["read_api"], "projects": [1001] },
                { "token": "glpat-jon", "scopes": ["api"], "user": "jon" },
            ],
            "hooks": [{ "project_id": 1001, "url": receiver.url("/webhooks/gitlab/1001"), "token": "a-secret" }],
            "audience": "https://edge.example.com",
        });
        fs::write(data.join("seed.json"), seed.to_string()).expect("the target folder is writable");
        Self::launch(data, "127.0.0.1:0", "127.0.0.1:0")
    }

    fn launch(data: PathBuf, listen: &str, control: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gitlab-stand-in"))
            .args(["--listen", listen, "--control", control, "--data"])
            .arg(data.join("state"))
            .arg("--seed")
            .arg(data.join("seed.json"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo built the program");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the program writes text");
        let ready: Value = serde_json::from_str(&line).expect("the program says that it is ready");
        let text = |name: &str| ready[name].as_str().expect("both addresses are named").to_owned();
        Self { child, url: text("url"), control: text("control"), data }
    }

    /// SIGKILL, then the same program on the same addresses.
    fn kill_and_start_again(mut self) -> Self {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was killed");
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        Self::launch(self.data.clone(), &address(&self.url), &address(&self.control))
    }

    fn tell(&self, path: &str, body: &Value) -> Value {
        let answer = self.try_tell(path, body);
        assert!(answer.status < 300, "{path} {body}: {} {}", answer.status, answer.text);
        answer.json()
    }

    fn try_tell(&self, path: &str, body: &Value) -> Answer {
        request("POST", &format!("{}/_control{path}", self.control), &[], &body.to_string())
    }

    fn ask(&self, path: &str) -> Value {
        request("GET", &format!("{}/_control{path}", self.control), &[], "").json()
    }

    fn api(&self, method: &str, path: &str, token: &str) -> Answer {
        request(method, &format!("{}/api/v4{path}", self.url), &[("PRIVATE-TOKEN", token)], "")
    }

    /// A manual job of tug, in a new pipeline for the tag `v1.2.0`.
    fn manual_job(&self) -> u64 {
        let job = self.tell(
            "/jobs",
            &json!({
                "project": 1001, "name": "release: [tug-noble]", "stage": "release", "ref": "v1.2.0", "tag": true,
                "protected": true, "user": "mira", "environment": "release/tug-noble",
            }),
        );
        job["id"].as_u64().expect("a job has a number")
    }

    fn played_job(&self) -> u64 {
        let id = self.manual_job();
        self.tell(&format!("/jobs/{id}/play"), &json!({ "user": "jon" }));
        id
    }

    fn id_token(&self, wishes: &Value) -> String {
        self.tell("/id-token", wishes)["id_token"].as_str().expect("the answer has a token").to_owned()
    }

    /// The deliveries, once none is waiting any more.
    fn settled(&self) -> Vec<Value> {
        let mut list = Vec::new();
        wait_until("every delivery has an outcome", || {
            list.clone_from(self.ask("/deliveries").as_array().expect("a list"));
            list.iter().all(|delivery| !["queued", "sending"].contains(&text(&delivery["state"])))
        });
        list
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        header(&self.headers, name).unwrap_or_else(|| panic!("the answer has no {name}"))
    }
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// Looks again until the condition holds; a test that waits in vain fails.
#[expect(clippy::disallowed_methods, reason = "a test's deadline; nothing here is linked into wasm")]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        thread::yield_now();
    }
}

/// A plain request over its own connection.
fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let rest = url.strip_prefix("http://").expect("a loopback address");
    let (authority, path) = rest.split_once('/').expect("an address with a path");
    let mut stream = TcpStream::connect(authority).expect("the stand-in listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
    let headers = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\r\n");
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .expect("the stand-in reads");
    let (first, headers, body) = read_message(&mut BufReader::new(stream)).expect("the stand-in answers");
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP answer");
    Answer { status, headers, text: body }
}

type Message = (String, Vec<(String, String)>, String);

fn read_message(reader: &mut impl BufRead) -> std::io::Result<Message> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            headers.push((line.trim_end().trim_end_matches(':').to_owned(), String::new()));
            continue;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = header(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((first.trim_end().to_owned(), headers, String::from_utf8(body).map_err(std::io::Error::other)?))
}

/// Where webhooks arrive. It answers each with the next of its statuses, then with the last one for ever.
struct WebhookReceiver {
    address: String,
    statuses: Arc<Mutex<Vec<u16>>>,
    arrived: Receiver<Webhook>,
}

/// An answer that never comes.
const SILENCE: u16 = 0;

struct Webhook {
    path: String,
    headers: Vec<(String, String)>,
    text: String,
}

impl Webhook {
    fn header(&self, name: &str) -> &str {
        header(&self.headers, name).unwrap_or_else(|| panic!("the webhook has no {name}"))
    }

    fn body(&self) -> Value {
        serde_json::from_str(&self.text).expect("a webhook is JSON")
    }

    fn status(&self) -> String {
        text(&self.body()["build_status"]).to_owned()
    }
}

impl WebhookReceiver {
    fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (arrive, arrived) = channel();
        let statuses = Arc::new(Mutex::new(statuses.to_vec()));
        let answers = Arc::clone(&statuses);
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let Ok((first, headers, text)) = read_message(&mut BufReader::new(&stream)) else { continue };
                let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                let status = {
                    let mut answers = answers.lock().expect("nobody panics with it");
                    if answers.len() > 1 { answers.remove(0) } else { answers[0] }
                };
                // First the list, then the answer: what has an outcome has also arrived.
                if arrive.send(Webhook { path, headers, text }).is_err() {
                    break;
                }
                if status == SILENCE {
                    silent.push(stream);
                } else {
                    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                }
            }
        });
        Self { address, statuses, arrived }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn answer_from_now(&self, status: u16) {
        *self.statuses.lock().expect("nobody panics with it") = vec![status];
    }

    fn next(&self) -> Webhook {
        self.arrived.recv_timeout(DEADLINE).expect("a webhook arrives")
    }

    /// Everything that has arrived and was not looked at.
    fn rest(&self) -> Vec<Webhook> {
        self.arrived.try_iter().collect()
    }
}

#[test]
fn a_manual_job_announces_created_then_pending_running_and_its_end_as_the_players() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("lifecycle", &receiver);
    let id = gitlab.manual_job();
    gitlab.tell(&format!("/jobs/{id}/play"), &json!({ "user": "jon" }));
    gitlab.tell(&format!("/jobs/{id}/finish"), &json!({ "status": "success" }));

    let hooks: Vec<Webhook> = (0..4).map(|_| receiver.next()).collect();
    // Becoming `manual` is silent.
    let seen: Vec<(String, Value)> =
        hooks.iter().map(|hook| (hook.status(), hook.body()["user"]["username"].clone())).collect();
    assert_eq!(
        seen,
        [("created", "mira"), ("pending", "jon"), ("running", "jon"), ("success", "jon")]
            .map(|(status, user)| (status.to_owned(), json!(user)))
    );
    let [created, pending, running, success] = [0, 1, 2, 3].map(|number| hooks[number].body());
    for body in [&created, &pending, &running, &success] {
        assert_eq!(body["build_id"], json!(id));
        assert_eq!(body["build_name"], "release: [tug-noble]");
        assert_eq!(body["project_id"], 1001);
        assert_eq!(body["commit"]["id"], body["pipeline_id"], "a Job Hook's commit is its pipeline");
        assert_eq!(body["environment"]["name"], "release/tug-noble");
    }
    assert_eq!((&created["runner"], &pending["runner"]), (&Value::Null, &Value::Null));
    assert_eq!(pending["build_started_at"], Value::Null);
    assert!(running["runner"]["id"].is_u64());
    assert_eq!(running["build_finished_at"], Value::Null);
    assert!(text(&success["build_finished_at"]).ends_with(" UTC"));
    assert!(text(&success["build_finished_at_iso"]).ends_with('Z'));
}

#[test]
fn a_job_hook_has_gitlabs_headers_and_its_keys_in_gitlabs_order() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("shape", &receiver);
    gitlab.manual_job();
    let hook = receiver.next();
    assert_eq!(hook.path, "/webhooks/gitlab/1001");
    assert_eq!(hook.header("Content-Type"), "application/json");
    assert!(hook.header("User-Agent").starts_with("GitLab/"));
    assert_eq!(hook.header("X-Gitlab-Event"), "Job Hook");
    assert_eq!(hook.header("X-Gitlab-Token"), "a-secret");
    assert_eq!(hook.header("X-Gitlab-Instance"), gitlab.url);
    for name in ["X-Gitlab-Webhook-UUID", "X-Gitlab-Event-UUID", "Idempotency-Key"] {
        assert_eq!(hook.header(name).len(), 36, "{name}");
    }
    assert_eq!(header(&hook.headers, "webhook-signature"), None, "nothing is signed without a signing token");
    let keys = [
        "object_kind",
        "ref",
        "tag",
        "before_sha",
        "sha",
        "retries_count",
        "build_id",
        "build_name",
        "build_stage",
        "build_status",
        "build_created_at",
        "build_started_at",
        "build_finished_at",
        "build_created_at_iso",
        "build_started_at_iso",
        "build_finished_at_iso",
        "build_duration",
        "build_queued_duration",
        "build_allow_failure",
        "build_failure_reason",
        "pipeline_id",
        "runner",
        "project_id",
        "project_name",
        "user",
        "commit",
        "repository",
        "project",
        "environment",
    ];
    let places: Vec<usize> = keys
        .iter()
        .map(|key| hook.text.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} is not there")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(hook.body().as_object().map(serde_json::Map::len), Some(keys.len()));
    let delivery = &gitlab.settled()[0];
    assert!(!delivery["request_headers"].to_string().contains("a-secret"), "the list leaves the token out");
}

#[test]
fn times_are_written_as_the_hook_is_set() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("times", &receiver);
    gitlab.tell("/hooks", &json!({ "project": 1001, "time_format": "iso" }));
    gitlab.manual_job();
    let body = receiver.next().body();
    assert_eq!(body["build_created_at"], body["build_created_at_iso"]);
}

#[test]
fn a_failed_delivery_is_never_sent_again() {
    let receiver = WebhookReceiver::answering(&[500, 200]);
    let gitlab = StandIn::start("no-redelivery", &receiver);
    let jobs = [gitlab.manual_job(), gitlab.manual_job()];
    gitlab.settled();
    let gitlab = gitlab.kill_and_start_again();
    let after = gitlab.manual_job();
    let states: Vec<Value> = gitlab.settled().iter().map(|delivery| delivery["state"].clone()).collect();
    assert_eq!(states, ["failed", "delivered", "delivered"]);
    let arrived: Vec<Value> = receiver.rest().iter().map(|hook| hook.body()["build_id"].clone()).collect();
    assert_eq!(arrived, [jobs[0], jobs[1], after]);
}

#[test]
fn a_redirect_counts_as_delivered_and_is_not_followed() {
    let receiver = WebhookReceiver::answering(&[302]);
    let gitlab = StandIn::start("redirect", &receiver);
    gitlab.manual_job();
    receiver.next();
    assert_eq!(gitlab.settled()[0]["state"], "delivered");
    assert!(receiver.rest().is_empty());
}

#[test]
fn a_receiver_that_says_nothing_is_given_up() {
    let receiver = WebhookReceiver::answering(&[SILENCE]);
    let gitlab = StandIn::start("silence", &receiver);
    assert_eq!(gitlab.ask("/hooks")[0]["timeout_ms"], 10_000, "GitLab waits ten seconds");
    gitlab.tell("/hooks", &json!({ "project": 1001, "timeout_ms": 100 }));
    gitlab.manual_job();
    receiver.next();
    let deliveries = gitlab.settled();
    assert_eq!(deliveries[0]["state"], "failed");
    assert_eq!(deliveries[0]["error"], "no answer within 0.1 s");
}

#[test]
fn a_hook_that_may_send_several_at_a_time_waits_for_no_answer_between_them() {
    let receiver = WebhookReceiver::answering(&[SILENCE]);
    let gitlab = StandIn::start("several", &receiver);
    assert_eq!(gitlab.ask("/hooks")[0]["at_once"], 1, "in order unless told");
    gitlab.tell("/hooks", &json!({ "project": 1001, "at_once": 2, "timeout_ms": 600_000 }));
    let jobs = BTreeSet::from([gitlab.manual_job().to_string(), gitlab.manual_job().to_string()]);
    let arrived = [receiver.next(), receiver.next()].map(|hook| hook.body()["build_id"].to_string());
    assert_eq!(BTreeSet::from(arrived), jobs);
}

#[test]
fn four_failures_in_a_row_switch_a_hook_off_and_a_successful_resend_switches_it_on() {
    let receiver = WebhookReceiver::answering(&[404]);
    let gitlab = StandIn::start("switched-off", &receiver);
    for _ in 0..3 {
        gitlab.manual_job();
    }
    gitlab.settled();
    assert_eq!(gitlab.ask("/hooks")[0]["alert_status"], "executable");
    gitlab.manual_job();
    gitlab.settled();
    assert_eq!(gitlab.ask("/hooks")[0]["alert_status"], "temporarily_disabled");
    let gitlab = gitlab.kill_and_start_again();
    gitlab.manual_job();
    let fifth = gitlab.settled().pop().expect("five jobs made five events");
    assert_eq!(fifth["state"], "not_sent", "a restart does not forgive");
    assert_eq!(receiver.rest().len(), 4);

    receiver.answer_from_now(200);
    let resent = gitlab.tell(&format!("/deliveries/{}/resend", fifth["id"]), &json!({}));
    assert_eq!(resent["state"], "delivered");
    assert_eq!(gitlab.ask("/hooks")[0]["alert_status"], "executable");
    gitlab.manual_job();
    assert_eq!(gitlab.settled().pop().expect("there are deliveries")["state"], "delivered");
}

#[test]
fn a_hook_that_was_switched_off_heals_when_its_time_is_over() {
    let receiver = WebhookReceiver::answering(&[500, 500, 500, 500, 200]);
    let gitlab = StandIn::start("heals", &receiver);
    gitlab.tell("/hooks", &json!({ "project": 1001, "disable_base_ms": 1 }));
    for _ in 0..4 {
        gitlab.manual_job();
    }
    gitlab.settled();
    wait_until("the hook is switched on again", || gitlab.ask("/hooks")[0]["alert_status"] == "executable");
    gitlab.manual_job();
    assert_eq!(gitlab.settled().pop().expect("there are deliveries")["state"], "delivered");
}

#[test]
fn a_resend_has_the_same_body_and_idempotency_key() {
    let receiver = WebhookReceiver::answering(&[500, 200]);
    let gitlab = StandIn::start("resend", &receiver);
    gitlab.manual_job();
    let first = receiver.next();
    gitlab.settled();
    let hook = "/projects/1001/hooks/1";
    let events = gitlab.api("GET", &format!("{hook}/events"), "glpat-jon").json();
    assert_eq!(events[0]["response_status"], "500");
    assert_eq!(events[0]["request_headers"]["X-Gitlab-Token"], "[REDACTED]");
    let again = gitlab.api("POST", &format!("{hook}/events/{}/resend", events[0]["id"]), "glpat-jon");
    assert_eq!((again.status, again.json()), (201, json!({ "response_status": "200" })));
    let second = receiver.next();
    assert_eq!(second.text, first.text);
    assert_eq!(second.header("Idempotency-Key"), first.header("Idempotency-Key"));
    for _ in 0..4 {
        gitlab.api("POST", &format!("{hook}/events/1/resend"), "glpat-jon");
    }
    assert_eq!(gitlab.api("POST", &format!("{hook}/events/1/resend"), "glpat-jon").status, 429, "five a minute");
}

#[test]
fn a_hook_with_a_signing_token_signs_id_time_and_body() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("signed", &receiver);
    gitlab.tell("/hooks", &json!({ "project": 1001, "signing_token": SIGNING_TOKEN, "token": null }));
    gitlab.manual_job();
    let hook = receiver.next();
    let key = STANDARD.decode(&SIGNING_TOKEN["whsec_".len()..]).expect("the token is base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key length will do");
    let (id, timestamp) = (hook.header("webhook-id"), hook.header("webhook-timestamp"));
    mac.update(format!("{id}.{timestamp}.{}", hook.text).as_bytes());
    assert_eq!(hook.header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    assert_eq!(id, hook.header("Idempotency-Key"));
    assert_eq!(header(&hook.headers, "X-Gitlab-Token"), None, "`null` removes the secret token");
}

#[test]
fn anything_can_be_delivered_as_if_gitlab_had_sent_it() {
    let receiver = WebhookReceiver::answering(&[400]);
    let gitlab = StandIn::start("deliver", &receiver);
    let answer = gitlab.tell(
        "/deliver",
        &json!({
            "project": 1001, "event": "Push Hook", "body_text": "not JSON",
            "headers": { "X-Gitlab-Token": "wrong", "Idempotency-Key": null },
        }),
    );
    assert_eq!(answer["response_status"], 400);
    let hook = receiver.next();
    assert_eq!((hook.text.as_str(), hook.header("X-Gitlab-Event")), ("not JSON", "Push Hook"));
    assert_eq!(hook.header("X-Gitlab-Token"), "wrong");
    assert_eq!(header(&hook.headers, "Idempotency-Key"), None);
}

#[test]
fn pipeline_and_deployment_hooks_are_sent_to_those_who_ask() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("other-hooks", &receiver);
    gitlab.tell("/hooks", &json!({ "project": 1001, "events": ["pipeline", "deployment"] }));
    let id = gitlab.played_job();
    gitlab.tell(&format!("/jobs/{id}/finish"), &json!({ "status": "failed" }));
    gitlab.settled();
    let seen: Vec<(String, String)> = receiver
        .rest()
        .iter()
        .map(|hook| {
            let body = hook.body();
            let status =
                if body["object_kind"] == "pipeline" { &body["object_attributes"]["status"] } else { &body["status"] };
            (hook.header("X-Gitlab-Event").to_owned(), text(status).to_owned())
        })
        .collect();
    let (pipeline, deployment) = ("Pipeline Hook", "Deployment Hook");
    assert_eq!(
        seen,
        [
            (pipeline, "created"),
            (pipeline, "skipped"),
            (pipeline, "pending"),
            (deployment, "running"),
            (pipeline, "running"),
            (deployment, "failed"),
            (pipeline, "success"),
        ]
        .map(|(event, status)| (event.to_owned(), status.to_owned()))
    );
}

/// Header, claims and whether the signature is that of the named key of the set.
fn verified(token: &str, keys: &Value) -> (Value, Value, bool) {
    let parts: Vec<&str> = token.split('.').collect();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("a token is base64url");
    let read = |part: &str| -> Value { serde_json::from_slice(&decode(part)).expect("a token's parts are JSON") };
    let header = read(parts[0]);
    let key = keys["keys"].as_array().expect("a key set").iter().find(|key| key["kid"] == header["kid"]);
    let good = key.is_some_and(|key| {
        let number = |name: &str| BigUint::from_bytes_be(&decode(text(&key[name])));
        let public = RsaPublicKey::new(number("n"), number("e")).expect("a published key is a key");
        let digest = Sha256::digest(format!("{}.{}", parts[0], parts[1]));
        public.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &decode(parts[2])).is_ok()
    });
    (header, read(parts[1]), good)
}

fn key_set(gitlab: &StandIn) -> Value {
    let discovery = request("GET", &format!("{}/.well-known/openid-configuration", gitlab.url), &[], "").json();
    assert_eq!(discovery["issuer"], json!(gitlab.url));
    request("GET", text(&discovery["jwks_uri"]), &[], "").json()
}

#[test]
fn an_id_token_verifies_against_the_published_keys_and_carries_the_jobs_claims() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("id-token", &receiver);
    let id = gitlab.played_job();
    let job = gitlab.ask(&format!("/jobs/{id}"));
    let (header, claims, good) =
        verified(&gitlab.id_token(&json!({ "job_id": id, "aud": "https://a" })), &key_set(&gitlab));
    assert!(good);
    assert_eq!(header["alg"], "RS256");
    for (name, expected) in [
        ("iss", json!(gitlab.url)),
        ("aud", json!("https://a")),
        ("sub", json!("project_path:harbour/tug:ref_type:tag:ref:v1.2.0")),
        ("project_id", json!("1001")),
        ("project_path", json!("harbour/tug")),
        ("namespace_id", json!("71")),
        ("namespace_path", json!("harbour")),
        ("job_project_id", json!("1001")),
        ("job_project_path", json!("harbour/tug")),
        ("job_namespace_id", json!("71")),
        ("job_namespace_path", json!("harbour")),
        ("user_id", json!("8")),
        ("user_login", json!("jon")),
        ("user_access_level", json!("developer")),
        ("pipeline_id", json!(job["pipeline_id"].to_string())),
        ("pipeline_source", json!("push")),
        ("job_id", json!(id.to_string())),
        ("ref", json!("v1.2.0")),
        ("ref_type", json!("tag")),
        ("ref_path", json!("refs/tags/v1.2.0")),
        ("ref_protected", json!("true")),
        ("sha", job["sha"].clone()),
        ("environment", json!("release/tug-noble")),
        ("environment_protected", json!("false")),
        ("environment_action", json!("start")),
        ("project_visibility", json!("private")),
        ("runner_environment", json!("self-hosted")),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    assert!(claims["runner_id"].is_u64());
    let seconds = |name: &str| claims[name].as_i64().expect("times are numbers");
    assert_eq!((seconds("nbf") - seconds("iat"), seconds("exp") - seconds("iat")), (-5, 3600));

    let plain = gitlab.tell("/jobs", &json!({ "project": 1001, "name": "build", "status": "running" }));
    let (_, claims, _) = verified(&gitlab.id_token(&json!({ "job_id": plain["id"] })), &key_set(&gitlab));
    assert_eq!(claims["aud"], "https://edge.example.com", "the seed's audience");
    assert_eq!(claims.get("environment"), None);
    assert_ne!(claims["jti"], Value::Null);
}

#[test]
fn a_token_can_be_forged_in_the_ways_that_a_verifier_must_refuse() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("forged", &receiver);
    let id = gitlab.played_job();
    let keys = key_set(&gitlab);
    let (_, claims, good) =
        verified(&gitlab.id_token(&json!({ "job_id": id, "claims": { "project_id": "1002", "sha": null } })), &keys);
    assert!(good, "other claims are signed like GitLab's own");
    assert_eq!((&claims["project_id"], claims.get("sha")), (&json!("1002"), None));
    let known = &keys["keys"][0]["kid"];
    for wishes in [
        json!({ "job_id": id, "key": "other" }),
        json!({ "job_id": id, "key": "other", "header": { "kid": known } }),
        json!({ "job_id": id, "header": { "alg": "none" } }),
        json!({ "job_id": id, "header": { "alg": "HS256" } }),
    ] {
        let (header, _, good) = verified(&gitlab.id_token(&wishes), &keys);
        assert!(!good, "{wishes}");
        if let Some(algorithm) = wishes["header"].get("alg") {
            assert_eq!(&header["alg"], algorithm);
        }
    }
}

#[test]
fn a_job_that_no_runner_has_taken_has_no_id_token() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("no-token", &receiver);
    let id = gitlab.manual_job();
    let answer = gitlab.try_tell("/id-token", &json!({ "job_id": id }));
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("play it first"), "{}", answer.text);
}

#[test]
fn keys_can_be_rotated_and_the_old_ones_stay_published() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("rotation", &receiver);
    let id = gitlab.played_job();
    let before = gitlab.id_token(&json!({ "job_id": id }));
    let old_keys = key_set(&gitlab);
    gitlab.tell("/keys/rotate", &json!({}));
    let after = gitlab.id_token(&json!({ "job_id": id }));
    assert!(!verified(&after, &old_keys).2);
    let gitlab = gitlab.kill_and_start_again();
    let keys = key_set(&gitlab);
    assert!(verified(&before, &keys).2);
    assert!(verified(&after, &keys).2);
}

#[test]
fn a_killed_stand_in_keeps_its_jobs_and_sends_the_webhook_that_was_under_way() {
    let receiver = WebhookReceiver::answering(&[200, SILENCE, 200]);
    let gitlab = StandIn::start("killed", &receiver);
    let id = gitlab.played_job();
    let token = gitlab.id_token(&json!({ "job_id": id }));
    let created = receiver.next();
    let pending = receiver.next();
    let (job, keys) = (gitlab.ask(&format!("/jobs/{id}")), key_set(&gitlab));

    let gitlab = gitlab.kill_and_start_again();
    assert_eq!(gitlab.ask(&format!("/jobs/{id}")), job);
    assert_eq!(key_set(&gitlab), keys);
    assert!(verified(&token, &key_set(&gitlab)).2);
    let again = receiver.next();
    assert_eq!([created.status(), pending.status(), again.status()], ["created", "pending", "pending"]);
    assert_eq!(again.header("Idempotency-Key"), pending.header("Idempotency-Key"));
    assert_eq!(receiver.next().status(), "running");
    assert!(gitlab.manual_job() > id, "numbers are not used twice");
}

#[test]
fn starting_again_with_the_same_seed_keeps_what_the_control_port_changed() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("seed", &receiver);
    gitlab.tell("/hooks", &json!({ "project": 1001, "url": receiver.url("/moved") }));
    let gitlab = gitlab.kill_and_start_again();
    assert_eq!(gitlab.ask("/hooks").as_array().map(Vec::len), Some(1));
    gitlab.manual_job();
    assert_eq!(receiver.next().path, "/moved");
}

#[test]
fn a_second_stand_in_does_not_use_the_same_folder() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("locked", &receiver);
    let second =
        Command::new(env!("CARGO_BIN_EXE_gitlab-stand-in")).arg("--data").arg(gitlab.data.join("state")).output();
    let second = second.expect("cargo built the program");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another stand-in"));
}

#[test]
fn the_control_port_is_for_this_machine_only() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gitlab-stand-in").join("public-control");
    let public = Command::new(env!("CARGO_BIN_EXE_gitlab-stand-in"))
        .args(["--control", "0.0.0.0:0", "--data"])
        .arg(&data)
        .output()
        .expect("cargo built the program");
    assert!(!public.status.success());
    assert!(String::from_utf8_lossy(&public.stderr).contains("not on loopback"));

    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("control", &receiver);
    let url = format!("{}/_control/jobs", gitlab.control);
    assert_eq!(request("POST", &url, &[("Origin", "https://example.com")], "{}").status, 403, "nor for web pages");
    assert_eq!(request("GET", &format!("{}/_control/jobs", gitlab.url), &[], "").status, 404, "nor on the main port");
}

#[test]
fn the_api_shows_a_job_only_to_tokens_that_may_see_it() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("visible", &receiver);
    let id = gitlab.manual_job();
    let job = gitlab.api("GET", &format!("/projects/1001/jobs/{id}"), "glpat-read");
    assert_eq!(job.status, 200);
    let job = job.json();
    assert_eq!(job["name"], "release: [tug-noble]");
    assert_eq!(job["status"], "manual");
    assert_eq!(job["user"]["username"], "mira");
    assert_eq!(job["pipeline"]["project_id"], 1001);
    assert_eq!(job["commit"]["id"], job["pipeline"]["sha"]);
    assert_eq!((&job["ref"], &job["tag"]), (&json!("v1.2.0"), &json!(true)));
    assert_eq!(job["web_url"], json!(format!("{}/harbour/tug/-/jobs/{id}", gitlab.url)));
    assert_eq!(job.get("environment"), None, "the API does not show it");
    assert_eq!(gitlab.api("GET", &format!("/projects/harbour%2Ftug/jobs/{id}"), "glpat-read").json(), job);

    let refused = |path: String, token: &str| {
        let answer = gitlab.api("GET", &path, token);
        (answer.status, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused(format!("/projects/1001/jobs/{id}"), "wrong"), (401, "401 Unauthorized".to_owned()));
    assert_eq!(refused(format!("/projects/1002/jobs/{id}"), "glpat-read"), (404, "404 Project Not Found".to_owned()));
    assert_eq!(refused(format!("/projects/1002/jobs/{id}"), "glpat-jon"), (404, "404 Not Found".to_owned()));
    assert_eq!(refused("/projects/1/jobs/1".to_owned(), "glpat-read"), (404, "404 Project Not Found".to_owned()));
}

#[test]
fn a_job_played_through_the_api_belongs_to_the_tokens_user_and_is_not_played_twice() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("api-play", &receiver);
    let id = gitlab.manual_job();
    let path = format!("/projects/1001/jobs/{id}/play");
    let refused = gitlab.api("POST", &path, "glpat-read");
    assert_eq!((refused.status, refused.json()["error"].clone()), (403, json!("insufficient_scope")));
    let played = gitlab.api("POST", &path, "glpat-jon");
    assert_eq!(played.status, 200);
    assert_eq!((&played.json()["status"], &played.json()["user"]["username"]), (&json!("pending"), &json!("jon")));
    let again = gitlab.api("POST", &path, "glpat-jon");
    assert_eq!((again.status, again.json()), (400, json!({ "message": "400 Bad request - Unplayable Job" })));
    assert_eq!(gitlab.ask(&format!("/jobs/{id}"))["status"], "running");
}

#[test]
fn playing_a_finished_manual_job_makes_a_new_job_of_the_same_name() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("replay", &receiver);
    let id = gitlab.played_job();
    gitlab.tell(&format!("/jobs/{id}/finish"), &json!({ "status": "failed" }));
    let again = gitlab.tell(&format!("/jobs/{id}/play"), &json!({ "user": "mira" }));
    assert_ne!(again["id"], json!(id));
    assert_eq!((&again["name"], &again["retries_count"]), (&json!("release: [tug-noble]"), &json!(1)));
    let pipeline = again["pipeline_id"].to_string();
    let listed = |query: &str| -> Vec<Value> {
        let list = gitlab.api("GET", &format!("/projects/1001/pipelines/{pipeline}/jobs{query}"), "glpat-read").json();
        list.as_array().expect("a list").iter().map(|job| job["id"].clone()).collect()
    };
    assert_eq!(listed(""), [again["id"].clone()]);
    assert_eq!(listed("?include_retried=true"), [again["id"].clone(), json!(id)]);
    let old = gitlab.api("GET", &format!("/projects/1001/jobs/{id}"), "glpat-read").json();
    assert_eq!((&old["status"], &old["failure_reason"]), (&json!("failed"), &json!("script_failure")));
}

#[test]
fn jobs_of_a_pipeline_come_newest_first_in_pages_and_by_scope() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("paging", &receiver);
    let first = gitlab.tell("/jobs", &json!({ "project": 1001, "name": "job 0" }));
    let pipeline = &first["pipeline_id"];
    for number in 1..5 {
        let status = if number == 4 { "success" } else { "manual" };
        gitlab.tell(
            "/jobs",
            &json!({ "project": 1001, "name": format!("job {number}"), "pipeline": pipeline, "status": status }),
        );
    }
    let path = format!("/projects/1001/pipelines/{pipeline}/jobs");
    let page = gitlab.api("GET", &format!("{path}?per_page=2&scope[]=manual"), "glpat-read");
    let names = |answer: &Answer| -> Vec<String> {
        answer.json().as_array().expect("a list").iter().map(|job| text(&job["name"]).to_owned()).collect()
    };
    assert_eq!(names(&page), ["job 3", "job 2"]);
    assert_eq!((page.header("X-Next-Page"), page.header("X-Total")), ("2", "4"));
    let link = page.header("Link");
    let next = link.split(", ").find(|link| link.ends_with("rel=\"next\"")).expect("there is another page");
    let next = next.trim_start_matches('<').split('>').next().expect("a link has an address");
    let page = request("GET", next, &[("PRIVATE-TOKEN", "glpat-read")], "");
    assert_eq!(names(&page), ["job 1", "job 0"]);
    assert_eq!(page.header("X-Next-Page"), "");
    assert_eq!(names(&gitlab.api("GET", &format!("{path}?scope[]=success"), "glpat-read")), ["job 4"]);
    assert_eq!(gitlab.api("GET", &format!("{path}?scope[]=played"), "glpat-read").status, 400);
}

#[test]
fn a_job_token_knows_its_job_while_it_runs() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("job-token", &receiver);
    let id = gitlab.played_job();
    let job = gitlab.ask(&format!("/jobs/{id}"));
    let own = || request("GET", &format!("{}/api/v4/job", gitlab.url), &[("JOB-TOKEN", text(&job["token"]))], "");
    assert_eq!(own().json()["id"], json!(id));
    gitlab.tell(&format!("/jobs/{id}/finish"), &json!({ "status": "success" }));
    assert_eq!(own().status, 401);
}

#[test]
fn a_tag_says_whether_it_is_protected() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("protected", &receiver);
    gitlab.manual_job();
    gitlab.tell("/jobs", &json!({ "project": 1001, "name": "a", "ref": "loose", "tag": true, "protected": false }));
    let protected = |tag: &str| gitlab.api("GET", &format!("/projects/1001/repository/tags/{tag}"), "glpat-read");
    assert_eq!(protected("v1.2.0").json()["protected"], true);
    assert_eq!(protected("loose").json()["protected"], false);
    assert_eq!(protected("none").status, 404);
}

#[test]
fn the_api_fails_as_often_as_it_is_told_and_may_do_the_work_first() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("faults", &receiver);
    let id = gitlab.manual_job();
    let path = format!("/projects/1001/jobs/{id}");
    gitlab.tell("/fail", &json!({ "on": "api", "times": 2, "status": 503 }));
    let statuses: Vec<u16> = (0..3).map(|_| gitlab.api("GET", &path, "glpat-read").status).collect();
    assert_eq!(statuses, [503, 503, 200]);
    gitlab.tell("/fail", &json!({ "on": "play", "status": 504, "effect": "do-then-fail" }));
    assert_eq!(gitlab.api("POST", &format!("{path}/play"), "glpat-jon").status, 504);
    assert_eq!(gitlab.api("GET", &path, "glpat-read").json()["status"], "running");
    gitlab.tell("/fail", &json!({ "on": "keys" }));
    assert_eq!(request("GET", &format!("{}/oauth/discovery/keys", gitlab.url), &[], "").status, 503);
    let seen = gitlab.ask("/requests");
    assert_eq!(seen.as_array().map(Vec::len), Some(6));
}

#[test]
fn a_job_that_never_began_can_only_be_canceled() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("cancel", &receiver);
    let id = gitlab.manual_job();
    let finish = |status: &str| gitlab.try_tell(&format!("/jobs/{id}/finish"), &json!({ "status": status })).status;
    assert_eq!(finish("success"), 409);
    assert_eq!(finish("canceled"), 200);
    assert_eq!(finish("canceled"), 409);
    assert_eq!(
        (receiver.next().status(), receiver.next().body()["build_started_at"].clone()),
        ("created".to_owned(), Value::Null)
    );
}

#[test]
fn a_request_that_contradicts_its_pipeline_is_refused() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("contradiction", &receiver);
    let job =
        gitlab.tell("/jobs", &json!({ "project": 1001, "name": "a", "pipeline": 4711, "ref": "v1", "tag": true }));
    assert_eq!(job["pipeline_id"], 4711);
    let try_job = |fields: Value| gitlab.try_tell("/jobs", &fields);
    assert_eq!(try_job(json!({ "project": 1001, "name": "b", "pipeline": 4711 })).json()["ref"], "v1");
    assert_eq!(try_job(json!({ "project": 1001, "name": "b", "pipeline": 4711, "ref": "v2" })).status, 409);
    assert_eq!(try_job(json!({ "project": "harbour/pilot", "name": "b", "pipeline": 4711 })).status, 409);
    assert_eq!(try_job(json!({ "project": 1003, "name": "b" })).status, 422);
    assert_eq!(try_job(json!({ "project": 1001, "name": "b", "environment": "a+b" })).status, 422);
    assert_eq!(try_job(json!({ "project": 1001, "name": "b", "enviroment": "a" })).status, 422, "misspelt");
}

/// A program asks for a code for its user, as `slipway login` does.
fn ask_for_a_code(gitlab: &StandIn) -> Value {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/oauth/authorize_device", gitlab.url);
    let answer = request("POST", &url, &form, "client_id=command&scope=read_user");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The program asks for its token.
fn poll(gitlab: &StandIn, code: &Value) -> Answer {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=command&device_code={}",
        text(&code["device_code"])
    );
    request("POST", &format!("{}/oauth/token", gitlab.url), &form, &body)
}

#[test]
fn a_person_signs_a_program_in_by_typing_its_code() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("device-flow", &receiver);
    let code = ask_for_a_code(&gitlab);
    let shown = text(&code["user_code"]).to_owned();
    assert!(text(&code["verification_uri_complete"]).ends_with(&shown), "{code}");
    assert_eq!((code["interval"].as_i64(), code["expires_in"].as_i64()), (Some(5), Some(300)));
    let control = format!("/device-codes/{}-{}", &shown[..4].to_lowercase(), &shown[4..]);

    let error = |answer: &Answer| (answer.status, text(&answer.json()["error"]).to_owned());
    assert_eq!(error(&poll(&gitlab, &code)), (400, "authorization_pending".to_owned()));
    assert_eq!(error(&poll(&gitlab, &code)), (400, "slow_down".to_owned()), "sooner than the interval");
    gitlab.tell(&control, &json!({ "hurry": true, "user": "jon", "approve": true }));
    let granted = poll(&gitlab, &code);
    assert_eq!(granted.status, 200, "{}", granted.text);
    let token = text(&granted.json()["access_token"]).to_owned();
    assert_eq!(error(&poll(&gitlab, &code)), (400, "invalid_grant".to_owned()), "a code is good for one token");

    let bearer = format!("Bearer {token}");
    let own = |path: &str| request("GET", &format!("{}{path}", gitlab.url), &[("authorization", &bearer)], "");
    let info = own("/oauth/token/info").json();
    assert_eq!((text(&info["application"]["uid"]), info["resource_owner_id"].as_u64()), ("command", Some(8)));
    let user = own("/api/v4/user").json();
    assert_eq!((text(&user["username"]), user["id"].as_u64()), ("jon", Some(8)));
    assert_eq!(own("/api/v4/projects/1001").status, 403, "the token reads its user and nothing else");
    let made_by_hand =
        request("GET", &format!("{}/oauth/token/info", gitlab.url), &[("authorization", "Bearer glpat-jon")], "");
    assert_eq!(made_by_hand.status, 401, "no application stands behind it");
}

#[test]
fn a_code_that_is_refused_or_too_old_gives_no_token() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("device-flow-refused", &receiver);
    for (decision, error) in [
        (json!({ "approve": false }), "access_denied"),
        (json!({ "lapse": true, "user": "jon", "approve": true }), "expired_token"),
    ] {
        let code = ask_for_a_code(&gitlab);
        gitlab.tell(&format!("/device-codes/{}", text(&code["user_code"])), &decision);
        let answer = poll(&gitlab, &code);
        assert_eq!((answer.status, text(&answer.json()["error"])), (400, error));
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/oauth/authorize_device", gitlab.url);
    assert_eq!(request("POST", &url, &form, "client_id=another").status, 401);
    assert_eq!(
        request("POST", &url, &form, "client_id=command&scope=api").status,
        400,
        "more than it is registered for"
    );
}

/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "https%3A%2F%2Fedge.test%2Fsign-in%2Freturn";

/// A browser comes from an application, with some of what it says changed.
fn arrive(gitlab: &StandIn, changes: &[(&str, &str)]) -> Answer {
    let mut fields = BTreeMap::from([
        ("client_id", "command"),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "s1"),
        ("nonce", "n1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    fields.extend(changes.iter().copied());
    let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    request("GET", &format!("{}/oauth/authorize?{}", gitlab.url, query.join("&")), &[], "")
}

fn code_of(answer: &Answer) -> String {
    let location = answer.header("location");
    let query = location.strip_prefix("https://edge.test/sign-in/return?").unwrap_or_else(|| panic!("{location}"));
    assert!(query.contains("state=s1"), "{location}");
    query.split('&').find_map(|field| field.strip_prefix("code=")).expect("a code").to_owned()
}

fn exchange(gitlab: &StandIn, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut fields = BTreeMap::from([
        ("grant_type", "authorization_code"),
        ("client_id", "command"),
        ("redirect_uri", BACK),
        ("code", code),
        ("code_verifier", VERIFIER),
    ]);
    fields.extend(changes.iter().copied());
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    request("POST", &format!("{}/oauth/token", gitlab.url), &form, &body.join("&"))
}

fn claims_of(granted: &Answer) -> Value {
    let token = text(&granted.json()["id_token"]).to_owned();
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("claims are JSON")
}

#[test]
fn a_person_signs_in_with_a_browser_as_whom_they_choose() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("browser", &receiver);
    let page = arrive(&gitlab, &[]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Jon Ask") && page.text.contains("Mira Holt"), "{}", page.text);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let fields = format!(
        "client_id=command&redirect_uri={BACK}&response_type=code&scope=openid&state=s1&nonce=n1&code_challenge={CHALLENGE}\
         &code_challenge_method=S256"
    );
    let choose = |user: &str| {
        request("POST", &format!("{}/oauth/authorize", gitlab.url), &form, &format!("{fields}&user={user}"))
    };
    assert!(choose("").header("location").contains("error=access%5Fdenied"), "{:?}", choose("").headers);
    let granted = exchange(&gitlab, &code_of(&choose("jon")), &[]);
    assert_eq!(granted.status, 200, "{}", granted.text);
    let claims = claims_of(&granted);
    assert_eq!((text(&claims["sub"]), text(&claims["preferred_username"])), ("8", "jon"));
    assert_eq!(
        (text(&claims["iss"]), text(&claims["aud"]), text(&claims["nonce"])),
        (gitlab.url.as_str(), "command", "n1")
    );
    assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(120));

    let bearer = format!("Bearer {}", text(&granted.json()["access_token"]));
    let info = request("GET", &format!("{}/oauth/userinfo", gitlab.url), &[("authorization", &bearer)], "");
    assert_eq!((info.status, text(&info.json()["nickname"])), (200, "jon"));
    let user = request("GET", &format!("{}/api/v4/user", gitlab.url), &[("authorization", &bearer)], "");
    assert_eq!(user.status, 403, "it tells who signed in, and opens nothing");
}

#[test]
fn a_code_is_good_once_for_a_minute_and_for_whoever_asked_for_it() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("browser-codes", &receiver);
    gitlab.tell("/browsers", &json!({ "user": "mira" }));
    let code = || code_of(&arrive(&gitlab, &[]));
    let used = code();
    assert_eq!(exchange(&gitlab, &used, &[]).status, 200);
    let refused = |answer: &Answer| (answer.status, text(&answer.json()["error"]).to_owned());
    let invalid = (400, "invalid_grant".to_owned());
    assert_eq!(refused(&exchange(&gitlab, &used, &[])), invalid, "a second time");
    for change in [
        ("client_id", "another"),
        ("redirect_uri", "https%3A%2F%2Fedge.test%2Fsign-in%2Freturn%2F"),
        ("code_verifier", CHALLENGE),
        ("code_verifier", ""),
    ] {
        assert_eq!(refused(&exchange(&gitlab, &code(), &[change])), invalid, "{change:?}");
    }
    let late = code();
    gitlab.tell("/browsers", &json!({ "lapse": true }));
    assert_eq!(refused(&exchange(&gitlab, &late, &[])), invalid, "a minute later");
}

#[test]
fn nobody_is_sent_where_their_application_is_not_and_nobody_comes_without_pkce() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("browser-refused", &receiver);
    gitlab.tell("/browsers", &json!({ "user": "mira" }));
    for change in [
        ("client_id", "another"),
        ("redirect_uri", "https%3A%2F%2Fedge.test%2Fsign-in%2Freturn%2F"),
        ("redirect_uri", "https%3A%2F%2Fedge.test%2Fsign-in"),
        ("redirect_uri", "http%3A%2F%2Fedge.test%2Fsign-in%2Freturn"),
        ("redirect_uri", "https%3A%2F%2Fevil.test%2F"),
        ("redirect_uri", ""),
    ] {
        assert_eq!(arrive(&gitlab, &[change]).status, 400, "{change:?}");
    }
    for (change, error) in [
        (("response_type", "token"), "unsupported%5Fresponse%5Ftype"),
        (("scope", "api"), "invalid%5Fscope"),
        (("scope", ""), "invalid%5Fscope"),
        (("code_challenge", ""), "invalid%5Frequest"),
        (("code_challenge_method", "plain"), "invalid%5Frequest"),
    ] {
        let answer = arrive(&gitlab, &[change]);
        assert!(answer.header("location").contains(&format!("error={error}")), "{change:?}: {:?}", answer.headers);
    }
}

#[test]
fn the_next_token_of_a_person_can_be_made_wrong() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("browser-forged", &receiver);
    gitlab.tell("/browsers", &json!({ "user": "mira", "claims": { "nonce": "n2", "aud": null } }));
    let forged = claims_of(&exchange(&gitlab, &code_of(&arrive(&gitlab, &[])), &[]));
    assert_eq!((text(&forged["nonce"]), &forged["aud"]), ("n2", &Value::Null));
    let next = claims_of(&exchange(&gitlab, &code_of(&arrive(&gitlab, &[])), &[]));
    assert_eq!((text(&next["nonce"]), text(&next["aud"])), ("n1", "command"));
}

#[test]
fn a_person_has_a_role_in_each_project_or_none() {
    let receiver = WebhookReceiver::answering(&[200]);
    let gitlab = StandIn::start("roles", &receiver);
    let level = |project: u64, user: u64| {
        let answer = gitlab.api("GET", &format!("/projects/{project}/members/all/{user}"), "glpat-jon");
        (answer.status, answer.json()["access_level"].as_u64())
    };
    assert_eq!(level(1001, 7), (200, Some(40)));
    assert_eq!(level(1001, 9), (200, Some(20)));
    assert_eq!(level(1002, 9), (404, None));
}

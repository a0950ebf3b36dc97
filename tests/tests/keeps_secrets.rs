//! Every secret of the deployment is random, so none is anywhere by chance: after a story of releases, refusals, errors and
//! servers that repeat what they are shown, not one of them is in what the edge or the command has said, to anybody, in any way.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};
use slipway_core::access::{ROUTES, Row};
use slipway_stack::image::{Layout, Repository};
use slipway_tests::e2e::{
    Process, Receiver, Release, Spoken, World, deb, own_lines, send, send_for_headers, wait_until,
};

/// Nobody has it but the tests' own hands: the edge is not given it.
const OF_HANDS: &str = "HAND_TOKEN";
/// It has this name in every deployment, so no `slipway.toml` names it.
const OF_THE_EDGE: &str = "SLIPWAY_EDGE_KEY";

// ---- what is said ----

/// Everything that was said, and who said it.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn hears(&mut self, who: impl Into<String>, text: impl Into<String>) {
        self.0.push((who.into(), text.into()));
    }

    /// An answer with its headers. Its text.
    fn asks(
        &mut self,
        world: &World,
        who: &str,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: &str,
    ) -> String {
        let (answer, with) = send_for_headers(method, &world.edge(path), headers, body);
        self.hears(format!("{who}: {method} {path} ({})", answer.status), format!("{}\n{with:?}", answer.text()));
        answer.text()
    }

    /// None of the secrets is in it, in no form that it could have been given on the way.
    fn has_none_of(&self, secrets: &BTreeMap<String, String>) {
        for (name, secret) in secrets {
            for form in forms(secret) {
                for (who, text) in &self.0 {
                    let at = text.find(&form);
                    let around = at.map(|at| text[..at].chars().rev().take(200).collect::<Vec<_>>());
                    let before: Option<String> = around.map(|before| before.into_iter().rev().collect());
                    assert!(at.is_none(), "{name} is in what {who} has heard, behind: {before:?}");
                }
            }
        }
    }
}

/// What a secret may look like: as it is, without what is around its random part, as bytes, and each of them in the ways in
/// which programs write bytes.
fn forms(secret: &str) -> BTreeSet<String> {
    let random = secret.trim_start_matches("whsec_").trim_end_matches('=');
    assert!(random.len() >= 32, "it is long enough to be nowhere by chance");
    let mut bytes = vec![random.as_bytes().to_vec()];
    bytes.extend(STANDARD_NO_PAD.decode(random).ok());
    if random.len().is_multiple_of(2) {
        let pairs = random.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("it is of ASCII"));
        bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect::<Option<Vec<u8>>>());
    }
    let mut forms = BTreeSet::from([random.to_owned()]);
    for bytes in &bytes {
        let digits = bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        forms.insert(bytes.iter().fold(String::new(), |text, byte| text + &format!("%{byte:02X}")));
        forms.extend([digits.to_uppercase(), digits]);
        // In base64 it depends on how many bytes are before it; the first and the last signs depend on what is beside it.
        for before in 0..3 {
            let text = STANDARD_NO_PAD.encode([vec![0; before], bytes.clone()].concat());
            let own = &text[[0, 2, 3][before]..text.len() - 1];
            forms.extend([own.to_owned(), own.replace('+', "-").replace('/', "_")]);
        }
    }
    forms
}

#[test]
fn a_secret_is_found_in_whatever_form_it_is_said() {
    let secret = "6b1f0a93d2c45e8877aa00ff12ce34ab6b1f0a93d2c45e88";
    let said = |text: String| forms(secret).iter().any(|form| text.contains(form));
    for user in ["", "ab", "abc", "abcd:"] {
        assert!(said(STANDARD.encode(format!("{user}{secret}:"))), "behind {user:?}");
    }
    assert!(said(format!("whsec_{secret}")) && !said(STANDARD.encode(secret.replace('f', "e"))));
    assert!(said(secret.bytes().fold(String::new(), |text, byte| text + &format!("{byte:x}"))));
}

// ---- a server that repeats what it is told ----

/// A server that does nothing but answer with the request that it got, each time with another status.
struct Echo {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ears = Arc::clone(&ears);
                std::thread::spawn(move || Self::answer(stream, &ears));
            }
        });
        Self { url, heard }
    }

    fn answer(mut stream: TcpStream, ears: &Mutex<Vec<String>>) -> Option<()> {
        const STATUSES: [&str; 7] =
            ["500 Error", "200 OK", "422 Refused", "403 Forbidden", "404 Nothing", "400 Bad", "409 Conflict"];
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (mut request, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
            request.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        request.push_str(&String::from_utf8_lossy(&body));
        let number = {
            let mut heard = ears.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(request.clone());
            heard.len()
        };
        // A registry shows who it is only to whom it is asked for.
        let shows = ["authorization:", "private-token:", "job-token:"];
        let is_shown = request.lines().any(|line| shows.iter().any(|name| line.to_lowercase().starts_with(name)));
        let status = if is_shown { STATUSES[number % STATUSES.len()] } else { "401 Unauthorized" };
        let text = json!({"error": request, "message": request, "errors": [{"code": "DENIED", "message": request}]});
        let text = text.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nwww-authenticate: Basic realm=\"echo\"\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        )
        .ok()
    }

    /// Whether a secret was shown to it, in a header or in a form.
    fn has_heard(&self, secret: &str) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().any(|request| forms(secret).iter().any(|form| request.contains(form)))
    }
}

// ---- the story ----

/// A session of a person whom GitLab lets in.
fn sign_in(world: &World, user: &str) -> String {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    let (gitlab, application) = (world.stack.gitlab_url(), "slipway-command");
    let asked = format!("client_id={application}&scope=read_user");
    let code = send("POST", &format!("{gitlab}/oauth/authorize_device"), &[FORM], asked).ok().json();
    let (shown, device) = (code["user_code"].as_str().expect("a code"), code["device_code"].as_str().expect("a code"));
    world.gitlab.tell("POST", &format!("device-codes/{shown}"), &json!({"user": user, "approve": true}));
    let body =
        format!("grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id={application}&device_code={device}");
    let granted = send("POST", &format!("{gitlab}/oauth/token"), &[FORM], body).ok().json();
    let body = json!({"access_token": granted["access_token"]}).to_string();
    let session = send("POST", &world.edge("/api/v1/sessions"), &[("content-type", "application/json")], body);
    session.ok().json()["session"].as_str().expect("a session").to_owned()
}

/// Every route that there is, as each of these: what reads is read, what writes is told nonsense.
fn asks_everything(said: &mut Said, world: &World, who: &[(&str, String)]) {
    for (who, session) in who {
        let bearer = format!("Bearer {session}");
        let mut headers = vec![("accept", "text/html, application/json")];
        if !session.is_empty() {
            headers.push(("authorization", &bearer));
        }
        // The last of them ends the session.
        let ends = |row: &&Row| (row.method, row.path) == ("DELETE", "/api/v1/sessions");
        for row in ROUTES.iter().filter(|row| !ends(row)).chain(ROUTES.iter().filter(ends)) {
            let path = row.path.replace("{key}", "good").replace("{target...}", "ubuntu/jammy");
            let path = path.replace("{version}", "1.0.0").replace("{name}", "nothing.css");
            let path = path.replace("{build}", "0123456789ab").replace("{what...}", "ubuntu/jammy/amd64");
            let path = match row.path {
                "/webhooks/gitlab/{project}" => path.replace("{project}", "1001"),
                _ => path.replace("{project}", "tug"),
            };
            assert!(!path.contains('{'), "{path}");
            if row.method == "GET" {
                said.asks(world, who, &headers, "GET", &path, "");
                continue;
            }
            for body in ["{\"keys\": [", "{\"keys\": 7, \"packages\": {}}", "[]"] {
                let headers = [headers.as_slice(), &[("content-type", "application/json")]].concat();
                said.asks(world, who, &headers, row.method, &path, body);
            }
        }
        said.asks(world, who, &headers, "GET", "/p/tug/r/9.9.9", "");
        said.asks(world, who, &headers, "GET", "/nowhere", "");
    }
}

/// Pushes an image to staging and declares it: its job.
fn ready_image(said: &mut Said, world: &World, release: &Release, key: &str) -> u64 {
    let registry = world.stack.registry_staging().expect("the stack has registries");
    let folder = world.stack.folder().join(format!("image-{key}"));
    fs::create_dir_all(&folder).expect("the stack's folder is writable");
    let layout = Layout::new(&folder).expect("the stack's folder is writable");
    let index = layout.two_platforms(key).expect("an image");
    let (user, password) = (registry.user.expect("it is closed"), registry.password.clone().expect("it is closed"));
    let to = Repository {
        url: registry.url.clone(),
        name: registry.repository.to_owned(),
        user: Some((user.to_owned(), password.clone())),
    };
    layout.send(&index, &to, key).expect("the registry takes it");
    let expect = json!({"kind": "image", "tags": [key], "release_job": format!("release: [{key}]"),
        "environment": format!("release/{key}")});
    let patch = json!({"packages": [{"key": key, "expect": expect}]});
    release.api("PATCH", "", Some(&release.session(release.build)), &patch).ok();
    let mut stage = release.command(
        &world.gitlab.id_token(release.build),
        &["stage", key, "--image", &format!("{}:{key}", registry.image())],
    );
    stage.env("SLIPWAY_REGISTRY_USER", user).env("SLIPWAY_REGISTRY_PASSWORD", password);
    said.hears("a job that stages an image", Spoken::of(&mut stage).ended_with(0).text);
    release.job(key)
}

/// What the command says: to a job, and to the operator.
fn uses_the_command(said: &mut Said, world: &World, release: &Release, has_gitlab: bool) {
    let good = ["ubuntu/jammy", "good"];
    for words in [
        &["plan", "good:deb:ubuntu/jammy"][..],
        &["status"],
        &["verify"],
        &["await", "staged", "--timeout", "1"],
        &["release", good[1], "--timeout", "1"],
        &["doctor"],
        &["doctor", "--json"],
        &["hold", good[1], "--reason", "x"],
        &["retention"],
        &["session"],
        &["nonsense"],
    ] {
        // Where GitLab's keys cannot be read, a job waits for them for minutes.
        if has_gitlab {
            let mut job = release.command(&world.gitlab.id_token(release.build), words);
            said.hears(format!("a job: {words:?}"), Spoken::of(&mut job).text);
        }
        let mut person = release.command("", words);
        person.env_remove("SLIPWAY_ID_TOKEN").env("SLIPWAY_OPERATOR_TOKEN", world.stack.secret("OPERATOR_TOKEN"));
        said.hears(format!("the operator: {words:?}"), Spoken::of(&mut person).text);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one world, in which every secret is used")]
fn no_secret_is_in_a_log_a_page_an_answer_an_event_a_status_or_what_the_command_says() {
    if let Some(why) = slipway_stack::registry::missing() {
        return println!("SKIPPED: some secrets are of registries: {why}");
    }
    let receiver = Receiver::start();
    let mut world = World::start_with("keeps-secrets", |settings| {
        settings.registries = true;
        settings.more_config = format!(
            "[[events]]\nkinds = [\"complete\", \"needs_person\", \"conflict\"]\nurl = \"{}\"\n\
             signing_token = \"EVENTS_TOKEN\"\n\n[[events]]\nkinds = [\"complete\", \"needs_person\"]\n\
             trigger = {{ project = 1002, ref = \"main\", token = \"TRIGGER_TOKEN\" }}\n",
            receiver.url()
        );
    });
    let mut config = String::new();
    world.configure(|text| {
        let (read, hook) = ("\ntoken = \"GITLAB_TOKEN\"", "webhook_token = \"WEBHOOK_TOKEN_TUG\"");
        config = text
            .replace(read, &format!("{read}\nstatus_token = \"GITLAB_STATUS_TOKEN\""))
            .replace(hook, &format!("{hook}\nsigning_token = \"SIGNING_TOKEN_TUG\""));
        config.clone()
    });
    // Each secret that the stack has is one that this edge uses.
    let file = fs::read_to_string(world.stack.folder().join("secrets.json")).expect("the stack keeps them");
    let secrets: BTreeMap<String, String> = serde_json::from_str(&file).expect("names and texts");
    for name in secrets.keys().filter(|name| ![OF_HANDS, OF_THE_EDGE].contains(&name.as_str())) {
        assert!(config.contains(&format!("= \"{name}\"")), "{name} is in no line of {config}");
    }
    let signed = json!({"url": world.stack.webhook_url(&world.tug()), "signing_token": secrets["SIGNING_TOKEN_TUG"]});
    world.gitlab.change_hook(world.tug().id, &signed);
    let nele = json!({"id": 31, "username": "nele", "name": "Nele", "roles": {"1001": "developer", "1002": "none"}});
    world.gitlab.tell("POST", "users", &nele);
    let operator = secrets["OPERATOR_TOKEN"].clone();
    let bearer = format!("Bearer {operator}");
    let as_operator = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let mut said = Said::default();

    // One is released, one fails once at a server, one comes with a wrong webhook, one as an image; and refusals.
    let release = world.release("1.0.0");
    let (_, good) = release.ready(&deb("good", "", 0));
    world.gitlab.play(good, "mira");
    release.wait_until_released("good");
    let session = release.session(release.build);
    said.hears("a job", release.promote(&session, &["good"]).text());
    said.hears("a job", release.api("PATCH", "", Some(&session), &json!({"packages": [{"key": "BAD KEY"}]})).text());
    let (broken, job) = release.ready(&deb("broken", "", 0));
    world.depot.fault(&json!({"on": "push", "effect": "status", "status": 502, "times": 2}));
    world.gitlab.play(job, "mira");
    release.wait_until_released("broken");
    release.is_public_once(&broken);
    world.depot.heal();
    let image = ready_image(&mut said, &world, &release, "app");
    world.gitlab.play(image, "mira");
    release.wait_until_released("app");
    said.asks(&world, "a stranger", &[("x-gitlab-token", "wrong")], "POST", "/webhooks/gitlab/1001", "{}");
    let wrong = format!("{bearer}x");
    said.asks(&world, "a stranger", &[("authorization", &wrong)], "GET", "/metrics", "");
    let metrics = said.asks(&world, "the operator", &as_operator, "GET", "/metrics", "");
    assert!(metrics.contains("slipway_targets{project=\"tug\",state=\"released\"} 3"), "{metrics}");
    let (_, headers) = send_for_headers("GET", &world.edge("/healthz"), &[], "");
    let log = world.stack.tail(Process::Edge, usize::MAX);
    assert!(headers.get("x-request-id").is_some_and(|id| log.contains(id)), "the answer's id is in the log");
    lines_are_known(&log, &format!("{}/{job}", world.tug().id));

    let people = |world: &World| {
        let (member, stranger) = (sign_in(world, "nele"), String::new());
        [("the operator", operator.clone()), ("a member", member), ("a stranger", stranger)]
    };
    asks_everything(&mut said, &world, &people(&world));
    uses_the_command(&mut said, &world, &release, true);
    wait_until("the commit is told", || !world.gitlab.statuses().is_empty());

    // Servers that repeat what they are told: first those of what is public, then all, and GitLab.
    let late = world.release("1.1.0");
    let echoes: Vec<Echo> = std::iter::repeat_with(Echo::start).take(4).collect();
    let [depot, staging, public, gitlab] = &echoes[..] else { unreachable!("there are four") };
    let members = people(&world);
    let (_, unread) = late.ready(&deb("unread", "", 0));
    for (round, is_all) in [(1, false), (2, true)] {
        let (deb_key, image_key) = (format!("late-{round}"), format!("late-app-{round}"));
        let (_, deb_job) = late.ready(&deb(&deb_key, "", 0));
        let image_job = ready_image(&mut said, &world, &late, &image_key);
        // They are approved, and their servers are away.
        world.depot.fault(&json!({"on": "any", "effect": "fail", "status": 503, "times": "always"}));
        world.kill(Process::RegistryPublic);
        for (key, job) in [(&deb_key, deb_job), (&image_key, image_job)] {
            world.gitlab.play(job, "mira");
            late.wait_for_target(key, None, "tried again later", |target| !target["problem"].is_null());
        }
        let before = world.stack.tail(Process::Edge, usize::MAX);
        own_lines(&before);
        said.hears("the log", before);
        let (depot_url, gitlab_url) = (world.stack.depot_url(), world.stack.gitlab_url());
        let staging_url = world.stack.registry_staging().expect("it has one").url;
        let public_url = world.stack.registry_public().expect("it has one").url;
        let url = |url: &str| format!("url = \"{url}\"");
        world.configure(|text| {
            let (before, of_public) = text.split_once("[places.public]").expect("it has that place");
            let of_public = of_public.replacen(&url(&depot_url), &url(&depot.url), 1);
            let text = format!("{before}[places.public]{of_public}").replace(&url(&public_url), &url(&public.url));
            if !is_all {
                return text;
            }
            text.replace(&url(&depot_url), &url(&depot.url))
                .replace(&url(&staging_url), &url(&staging.url))
                .replace(&url(&gitlab_url), &url(&gitlab.url))
        });
        world.depot.heal();
        world.start_again(Process::RegistryPublic);
        let shown = if is_all {
            ["STAGING_TOKEN", "REGISTRY_STAGING_TOKEN"]
        } else {
            ["PUBLIC_TOKEN", "REGISTRY_PUBLIC_TOKEN"]
        };
        for name in shown {
            wait_until(&format!("{name} is repeated"), || echoes.iter().any(|echo| echo.has_heard(&secrets[name])));
        }
        if is_all {
            break;
        }
        wait_until("somebody is needed, and is told", || {
            receiver.received().iter().any(|event| event.json()["type"] == "release.needs_person")
        });
        asks_everything(
            &mut said,
            &world,
            &[("the operator", operator.clone()), ("a member", sign_in(&world, "nele"))],
        );
        uses_the_command(&mut said, &world, &late, true);
        let first = world.stack.tail(Process::Edge, usize::MAX);
        own_lines(&first);
        said.hears("the log", first);
        world.configure(|_| config.clone());
    }
    // GitLab's webhook comes, and what it says cannot be asked for.
    world.gitlab.play(unread, "mira");
    wait_until("GITLAB_TOKEN is repeated", || gitlab.has_heard(&secrets["GITLAB_TOKEN"]));
    asks_everything(&mut said, &world, &members);
    uses_the_command(&mut said, &world, &late, false);
    let log = world.stack.tail(Process::Edge, usize::MAX);
    own_lines(&log);
    said.hears("the log", log);
    for event in receiver.received() {
        said.hears("a receiver of events", String::from_utf8_lossy(&event.body));
    }
    let statuses = world.gitlab.statuses();
    assert!(!statuses.is_empty(), "the commit was told");
    said.hears("the commit", Value::from(statuses).to_string());
    for pipeline in world.gitlab.triggered() {
        said.hears("a pipeline that was started", pipeline["variables"].to_string());
    }
    println!("{} texts of {} bytes", said.0.len(), said.0.iter().map(|(_, text)| text.len()).sum::<usize>());
    said.has_none_of(&secrets);
    world.configure(|_| config.clone());
}

/// The log: each line is ours or workerd's, each of ours has known fields alone, and one id leads from the webhook to the report.
fn lines_are_known(log: &str, work: &str) {
    let known: BTreeSet<&str> = slipway_core::log::FIELDS.into_iter().collect();
    let ours = own_lines(log);
    for line in &ours {
        let names: BTreeSet<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        assert!(names.is_subset(&known), "{line}");
    }
    for event in ["hint", "order", "report"] {
        assert!(ours.iter().any(|line| line["event"] == event && line["work"] == work), "{event} of {work}");
    }
}

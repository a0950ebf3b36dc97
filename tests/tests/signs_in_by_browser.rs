//! People sign in with a browser, through GitLab, and hold, keep, let go and give up releases by plain forms. Their cookie is
//! worth nothing to any other page, and nothing of a sign-in is good twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_tests::e2e::{Process, Release, Tls, World, deb, own_lines, send, wait_until};

// ---- a browser ----

/// A browser, as far as people sign in and send forms with one: it keeps the cookies of the edge, and follows what it is told.
struct Browser<'t> {
    edge: String,
    tls: Option<&'t Tls>,
    cookies: BTreeMap<String, String>,
}

/// The cookies of the edge, with TLS and without.
const COOKIES: [&str; 4] = ["slipway", "slipway-signing", "__Host-slipway", "__Host-slipway-signing"];

/// What it shows.
struct Page {
    url: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("{} {} leads nowhere: {}", self.status, self.url, self.body))
    }

    /// What is set of a cookie: its value, and what it is told beside.
    fn set(&self, name: &str) -> Option<(String, Vec<String>)> {
        let lines = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
        let own = lines.filter_map(|(_, line)| line.strip_prefix(&format!("{name}="))).collect::<Vec<_>>();
        assert!(own.len() <= 1, "{own:?}");
        let mut parts = own.first()?.split("; ").map(str::to_owned);
        Some((parts.next()?, parts.collect()))
    }

    /// The address of a link with these words.
    fn link(&self, words: &str) -> String {
        let (before, _) =
            self.body.split_once(&format!("{words}</a>")).unwrap_or_else(|| panic!("no {words}: {}", self.body));
        let (_, tag) = before.rsplit_once("href=\"").expect("a link has an address");
        unescaped(tag.split('"').next().unwrap_or_default())
    }

    /// The fields of the form that acts, as the page has filled them in.
    fn fields(&self) -> Vec<(String, String)> {
        let (_, form) =
            self.body.split_once("<form class=\"f-act\"").unwrap_or_else(|| panic!("no form: {}", self.body));
        let (form, _) = form.split_once("</form>").expect("a form ends");
        let inputs = form.split("<input ").skip(1).map(|rest| rest.split_once('>').map_or(rest, |(tag, _)| tag));
        let attribute = |tag: &str, name: &str| {
            let (_, rest) =
                format!(" {tag}").split_once(&format!(" {name}=\"")).map(|(a, b)| (a.to_owned(), b.to_owned()))?;
            rest.split('"').next().map(unescaped)
        };
        let is_sent = |tag: &&str| !tag.contains("type=\"checkbox\"") || tag.contains(" checked");
        inputs
            .filter(is_sent)
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())))
            .collect()
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Fields with some of them filled in.
fn filled(fields: Vec<(String, String)>, with: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields = fields;
    for (name, value) in with {
        fields.retain(|(known, _)| known != name);
        fields.push(((*name).to_owned(), (*value).to_owned()));
    }
    fields
}

impl<'t> Browser<'t> {
    fn new(world: &World) -> Self {
        Self { edge: world.stack.edge_url(), tls: None, cookies: BTreeMap::new() }
    }

    fn over_tls(tls: &'t Tls) -> Self {
        Self { edge: tls.url.clone(), tls: Some(tls), cookies: BTreeMap::new() }
    }

    /// One with the same cookies.
    fn copy(&self) -> Self {
        Self { edge: self.edge.clone(), tls: self.tls, cookies: self.cookies.clone() }
    }

    /// Goes to an address: of the edge, or a whole one.
    fn get(&mut self, address: &str) -> Page {
        self.ask("GET", address, &[], "")
    }

    /// Sends a form of the edge's own page.
    fn post(&mut self, path: &str, fields: &[(String, String)]) -> Page {
        let origin = self.edge.clone();
        self.post_from(path, fields, &[("origin", &origin), ("sec-fetch-site", "same-origin")])
    }

    fn post_from(&mut self, path: &str, fields: &[(String, String)], headers: &[(&str, &str)]) -> Page {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.ask("POST", path, &[&form, headers].concat(), &body.join("&"))
    }

    /// Fills in the form of a page and sends it where the page says.
    fn send(&mut self, page: &Page, with: &[(&str, &str)]) -> Page {
        let path = page
            .url
            .strip_prefix(&self.edge)
            .expect("a form of the edge")
            .split('?')
            .next()
            .expect("a path")
            .to_owned();
        self.post(&path, &filled(page.fields(), with))
    }

    fn ask(&mut self, method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let url = if address.starts_with('/') { format!("{}{address}", self.edge) } else { address.to_owned() };
        let is_edge = url.starts_with(&format!("{}/", self.edge));
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = jar.join("; ");
        let mut headers = [&[("accept", "text/html")], headers].concat();
        if is_edge && !cookie.is_empty() {
            headers.push(("cookie", &cookie));
        }
        let page = match self.tls.filter(|_| is_edge) {
            Some(tls) => {
                let (_, request) = request(method, &url, &headers, body);
                read(&url, &mut tls.exchange(request.as_bytes()))
            }
            None => exchange(method, &url, &headers, body),
        };
        if is_edge {
            for name in COOKIES {
                match page.set(name) {
                    Some((value, _)) if value.is_empty() => drop(self.cookies.remove(name)),
                    Some((value, _)) => drop(self.cookies.insert(name.to_owned(), value)),
                    None => {}
                }
            }
        }
        page
    }

    /// Goes where the edge sends whoever wants to sign in, as far as GitLab's answer: the address that it sends back to.
    fn asks_gitlab(&mut self, path: &str) -> String {
        let begun = self.get(path);
        assert_eq!(begun.status, 303, "{}", begun.body);
        let back = self.get(begun.location());
        assert_eq!(back.status, 302, "{}", back.body);
        back.location().to_owned()
    }

    /// Signs in as whoever sits before the browsers, and stands on the first page.
    fn sign_in(&mut self) {
        let back = self.asks_gitlab("/sign-in");
        let signed_in = self.get(&back);
        assert_eq!((signed_in.status, signed_in.location()), (303, "/"), "{}", signed_in.body);
    }
}

/// Where to send a request, and its text.
fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> (String, String) {
    let (_, rest) = url.split_once("://").expect("a whole address");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.split('#').next().unwrap_or_default();
    let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\r\n");
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let text =
        format!("{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{length}{lines}\r\n{body}");
    (authority.to_owned(), text)
}

/// One exchange over its own connection.
fn exchange(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Page {
    let (authority, request) = request(method, url, headers, body);
    let mut stream = TcpStream::connect(authority).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out can be set");
    stream.write_all(request.as_bytes()).expect("it reads");
    read(url, &mut BufReader::new(stream))
}

/// An answer; every header is kept, the same ones too.
fn read(url: &str, reader: &mut impl BufRead) -> Page {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    };
    let status = line().split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP answer");
    let mut headers = Vec::new();
    loop {
        let line = line();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut page = Page { url: url.to_owned(), status, headers, body: String::new() };
    if status == 101 {
        return page;
    }
    let body = if page.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        chunks(reader)
    } else {
        let length = page.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the whole body");
        body
    };
    page.body = String::from_utf8_lossy(&body).into_owned();
    page
}

fn chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).expect("a chunk begins");
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk has a size");
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).expect("a whole chunk");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

// ---- the stories ----

const RELEASE: &str = "/p/tug/r/1.0.0";

fn people(world: &World) {
    for (id, name, role) in [(41, "rea", "reporter"), (42, "dev", "developer"), (43, "mai", "maintainer")] {
        be(world, id, name, role);
    }
}

fn be(world: &World, id: u64, name: &str, role: &str) {
    let user = json!({"id": id, "username": name, "name": name, "roles": {"1001": role, "1002": "none"}});
    world.gitlab.tell("POST", "users", &user);
}

/// Who sits before every browser from now on.
fn sits(world: &World, user: &str) {
    world.gitlab.tell("POST", "browsers", &json!({ "user": user }));
}

fn staged(world: &World) -> Release {
    let release = world.release("1.0.0");
    release.plan(&["rope", "sail"]);
    release.stage("rope", &deb("rope", "", 0));
    release.stage("sail", &deb("sail", "", 0));
    release
}

/// The record, as the operator reads it.
fn record(world: &World, path: &str) -> String {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    send("GET", &world.edge(&format!("/api/v1/projects/tug{path}")), &[("authorization", &bearer)], "").ok().text()
}

fn shown(world: &World) -> Value {
    serde_json::from_str(&record(world, "/releases/1.0.0")).expect("JSON")
}

/// The rows of the audit with this action: who, of what, and what it says.
fn rows(world: &World, action: &str) -> Vec<Value> {
    let rows = record(world, "/audit");
    let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("a row is JSON"));
    rows.filter(|row| row["action"] == action).collect()
}

/// Whoever sits before the browser signs in for the first time, from a page that they may not read yet. What proved it on the way.
fn first_sign_in(world: &World, browser: &mut Browser<'_>) -> Vec<String> {
    // A stranger is shown the way in, and it leads back to where they wanted to go.
    let closed = browser.get(RELEASE);
    assert_eq!(closed.status, 401);
    let way_in = closed.link("Sign in with GitLab");
    assert_eq!(way_in, "/sign-in?to=%2Fp%2Ftug%2Fr%2F1.0.0");
    let begun = browser.get(&way_in);
    let at_gitlab = begun.location().to_owned();
    let gitlab = format!("{}/oauth/authorize?", world.stack.gitlab_url());
    assert!(at_gitlab.starts_with(&gitlab), "{at_gitlab}");
    for part in ["client_id=slipway-command&", "scope=openid&", "code_challenge_method=S256", "response_type=code&"] {
        assert!(at_gitlab.contains(part), "{part} in {at_gitlab}");
    }
    let (signing, with) = begun.set("slipway-signing").expect("what the answer is known by");
    assert_eq!(with, ["Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax"], "{signing}");
    let back = browser.get(&at_gitlab).location().to_owned();
    let returned = browser.get(&back);
    assert_eq!((returned.status, returned.location()), (303, RELEASE), "{}", returned.body);
    let (session, with) = returned.set("slipway").expect("a session");
    // Over http on loopback a browser takes neither `Secure` nor the prefix; all else is the same.
    assert_eq!((with[0].as_str(), &with[2..]), ("Path=/", &["HttpOnly".to_owned(), "SameSite=Lax".to_owned()][..]));
    let lives: u64 = with[1].strip_prefix("Max-Age=").and_then(|age| age.parse().ok()).expect("an age");
    assert!((8 * 3600 - 60..=8 * 3600).contains(&lives), "{lives}");
    assert_eq!(returned.set("slipway-signing").map(|(value, _)| value).as_deref(), Some(""), "it is used");
    let requests = world.gitlab.tell("GET", "requests", &Value::Null);
    let is_revoked = |request: &Value| request["path"] == "/oauth/revoke" && request["status"] == 200;
    assert!(requests.as_array().expect("a list").iter().any(is_revoked), "nobody keeps GitLab's access token");
    let page = browser.get(RELEASE);
    assert!(
        page.status == 200 && page.body.contains("Signed in as </span><b>dev</b>"),
        "{} {}",
        page.status,
        page.body
    );
    assert!(!page.body.contains("/close\""), "what they may not do is not offered");
    assert!(browser.get("/help/states").body.contains("Signed in as </span><b>dev</b>"));
    let proofs = [
        signing.as_str(),
        session.as_str(),
        after(&at_gitlab, "state="),
        after(&at_gitlab, "nonce="),
        after(&back, "code="),
    ];
    proofs.map(str::to_owned).to_vec()
}

#[test]
fn a_person_signs_in_and_holds_keeps_lets_go_and_gives_up_by_forms_as_their_role_allows() {
    let mut world = World::start("browser-forms");
    people(&world);
    staged(&world);
    world.configure(|config| config.replace(r#"reading = "anyone""#, r#"reading = "nobody""#));
    sits(&world, "dev");
    let mut browser = Browser::new(&world);

    let secrets = first_sign_in(&world, &mut browser);

    // Hold, without a reason first.
    let form = browser.get(&format!("{RELEASE}/hold"));
    assert!(form.body.contains("From now on nothing of the release begins"), "{}", form.body);
    let typed = moment_in_days(20);
    let refused = browser.send(&form, &[("until", &typed)]);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("Give a reason") && refused.body.contains(&typed), "{}", refused.body);
    assert_eq!(shown(&world)["holds"], Value::Null, "nothing is held");
    let held = browser.send(&refused, &[("reason", "a <b>smell</b>"), ("until", "")]);
    assert_eq!((held.status, held.location()), (303, "/p/tug/r/1.0.0#verdict"), "{}", held.body);
    let first = &shown(&world)["holds"][0];
    assert_eq!(
        (&first["reason"], &first["key"], &first["until"]),
        (&json!("a <b>smell</b>"), &Value::Null, &Value::Null)
    );
    assert_eq!(rows(&world, "held")[0]["actor"], "person:42 user:dev");
    assert!(!browser.get(RELEASE).body.contains("<b>smell</b>"), "a reason is text");

    // One package besides, and let go of each as it was held.
    let form = browser.get(&format!("{RELEASE}/hold?keys=sail"));
    assert_eq!(browser.send(&form, &[("reason", "another")]).status, 303);
    let lift = browser.get(&format!("{RELEASE}/lift"));
    assert!(lift.body.contains("is held by dev "), "people go by their names: {}", lift.body);
    assert_eq!(browser.send(&lift, &[("reason", "it was the test")]).status, 303);
    let still = shown(&world)["holds"].clone();
    assert_eq!((still.as_array().map(Vec::len), &still[0]["key"]), (Some(1), &json!("sail")));
    let lift = browser.get(&format!("{RELEASE}/lift"));
    assert_eq!(browser.send(&lift, &[("reason", "it was the test")]).status, 303, "what is left is chosen already");
    assert_eq!(shown(&world)["holds"], Value::Null);
    let lift = browser.get(&format!("{RELEASE}/lift"));
    let nothing = browser.send(&lift, &[("reason", "again")]);
    assert!(nothing.status == 409 && nothing.body.contains("value=\"again\""), "{} {}", nothing.status, nothing.body);

    // Keep.
    let form = browser.get(&format!("{RELEASE}/extend"));
    let refused = browser.send(&form, &[("reason", "a holiday"), ("until", "2001-01-01T00:00")]);
    assert!(refused.status == 422 && refused.body.contains("is over already"), "{} {}", refused.status, refused.body);
    let soon = moment_in_days(30);
    assert_eq!(browser.send(&refused, &[("until", &soon)]).status, 303);
    assert!(rows(&world, "extended")[0].to_string().contains(&soon), "{:?}", rows(&world, "extended"));

    // What a role does not allow is said, and whoever only looks is not in the audit.
    let before = rows(&world, "refused").len();
    let form = browser.get(&format!("{RELEASE}/close"));
    assert!(form.status == 403 && form.body.contains("at least the role maintainer"), "{} {}", form.status, form.body);
    assert_eq!(rows(&world, "refused").len(), before);
    let tried = browser.post(&format!("{RELEASE}/close"), &[("reason".to_owned(), "x".to_owned())]);
    assert_eq!(tried.status, 403, "{}", tried.body);
    let refused = rows(&world, "refused");
    assert_eq!((refused.len(), &refused[before]["actor"]), (before + 1, &json!("person:42 user:dev")));

    // Give up: what was read must still be so.
    sits(&world, "mai");
    let mut maintainer = Browser::new(&world);
    maintainer.sign_in();
    let form = maintainer.get(&format!("{RELEASE}/close"));
    assert!(form.body.contains("Not shipped from then on: 2 targets."), "{}", form.body);
    let first = maintainer.send(&form, &[("reason", "given up"), ("seen", "0")]);
    assert_eq!(first.status, 409, "{}", first.body);
    assert!(
        first.body.contains("has changed since you read it") && first.body.contains("value=\"given up\""),
        "{}",
        first.body
    );
    assert_eq!(shown(&world)["state"], "staged");
    assert_eq!(maintainer.send(&first, &[]).status, 303);
    assert_eq!((&shown(&world)["state"], &shown(&world)["closed"]["reason"]), (&json!("closed"), &json!("given up")));

    // None of what proves anything is in the log.
    let log = world.stack.tail(Process::Edge, usize::MAX);
    own_lines(&log);
    for secret in secrets {
        assert!(secret.len() >= 20 && !log.contains(&secret), "{secret}");
    }
}

/// The value behind a name in an address.
fn after<'a>(address: &'a str, name: &str) -> &'a str {
    let (_, rest) = address.split_once(name).unwrap_or_else(|| panic!("no {name} in {address}"));
    rest.split('&').next().unwrap_or_default()
}

/// So many days from the release's own time, as a browser writes it.
#[expect(clippy::disallowed_methods, reason = "an end lies ahead of the machine's own clock")]
fn moment_in_days(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    let then = slipway_core::time::Timestamp(i64::try_from(now.as_millis()).expect("it will be for long"));
    (then + Duration::from_hours(24 * days)).to_string()[..16].to_owned()
}

#[test]
fn what_no_page_of_the_edge_asks_for_is_refused_whatever_cookie_comes_with_it() {
    let world = World::start("browser-origin");
    people(&world);
    let release = staged(&world);
    sits(&world, "dev");
    let mut browser = Browser::new(&world);
    browser.sign_in();
    let form = browser.get(&format!("{RELEASE}/hold"));
    let fields = filled(form.fields(), &[("reason", "a smell")]);
    let own = world.stack.edge_url();
    let (_, port) = own.rsplit_once(':').expect("it has a port");
    let other_port = own.replace(port, if port == "9" { "8" } else { "9" });
    let other_scheme = own.replace("http://", "https://");
    let (before, old) = (release.sequence(), rows(&world, "refused").len());
    let foreign: [&[(&str, &str)]; 9] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.test")],
        &[("origin", &other_port)],
        &[("origin", &other_scheme)],
        &[("origin", "")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("origin", &own), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "same-origin")],
    ];
    for headers in foreign {
        let forms = browser.post_from(&format!("{RELEASE}/hold"), &fields, headers);
        assert_eq!(forms.status, 403, "{headers:?}: {}", forms.body);
        let json = [headers, &[("content-type", "application/json"), ("accept", "application/json")]].concat();
        let hold = r#"{"keys": null, "reason": "a smell"}"#;
        for (method, path) in [("POST", "/holds"), ("DELETE", "/holds"), ("POST", "/extensions"), ("POST", "/close")] {
            let path = format!("/api/v1/projects/tug/releases/1.0.0{path}");
            let api = browser.ask(method, &path, &json, hold);
            assert!(api.status == 403 && api.body.contains("foreign-origin"), "{method} {headers:?}: {}", api.body);
        }
        let socket = [
            headers,
            &[("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
        ]
        .concat();
        let live = browser.ask("GET", "/api/v1/projects/tug/releases/1.0.0/live", &socket, "");
        assert_eq!(live.status, 403, "{headers:?}: {}", live.body);
        let out = browser.post_from("/sign-out", &[], headers);
        assert_eq!((out.status, out.set("slipway")), (403, None), "{headers:?}");
    }
    assert_eq!(release.sequence(), before, "nothing has come of it");
    let refused = rows(&world, "refused");
    assert!(refused.len() > old, "whose browser it was is in the audit: {refused:?}");
    assert!(refused[old..].iter().all(|row| row["actor"] == "person:42 user:dev"), "{refused:?}");
    // Reading is no more than anybody's page could have a browser load, unseen.
    let cross = [("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")];
    assert_eq!(browser.ask("GET", RELEASE, &cross, "").status, 200);

    // The same, from a page of its own.
    let socket = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", own.as_str()),
    ];
    assert_eq!(browser.ask("GET", "/api/v1/projects/tug/releases/1.0.0/live", &socket, "").status, 101);
    assert_eq!(browser.post(&format!("{RELEASE}/hold"), &fields).status, 303);

    // What a program shows of its own accord needs no page, and is never made up for by a cookie.
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let lift = json!({"keys": null, "reason": "it was the test"}).to_string();
    let path = "/api/v1/projects/tug/releases/1.0.0/holds";
    let json = ("content-type", "application/json");
    assert_eq!(browser.ask("DELETE", path, &[("authorization", &bearer), json], &lift).status, 200);
    let wrong = browser.ask("GET", RELEASE, &[("authorization", "Bearer a-guess")], "");
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    // And the forms are for browsers.
    let program = exchange("GET", &world.edge(&format!("{RELEASE}/hold")), &[("authorization", &bearer)], "");
    assert_eq!(program.status, 403, "{}", program.body);
}

#[test]
fn whoever_sends_forms_without_end_costs_gitlab_sixty_questions_a_minute_and_keeps_nobody_else_from_acting() {
    let world = World::start("browser-pace");
    people(&world);
    staged(&world);
    be(&world, 44, "out", "none");
    sits(&world, "out");
    let mut other = Browser::new(&world);
    other.sign_in();
    sits(&world, "dev");
    let mut browser = Browser::new(&world);
    browser.sign_in();
    let hold = format!("{RELEASE}/hold");
    let fields = filled(browser.get(&hold).fields(), &[("reason", "a smell")]);
    let asked = || {
        let requests = world.gitlab.tell("GET", "requests", &Value::Null);
        let is_asked = |request: &&Value| request["path"] == "/api/v4/projects/1001/members/all/44";
        requests.as_array().expect("a list").iter().filter(is_asked).count()
    };
    let before = asked();
    let statuses: Vec<u16> = (0..300).map(|_| other.post(&hold, &fields).status).collect();
    // A minute may turn meanwhile.
    assert!(statuses.contains(&429) && asked() - before <= 120, "{} {statuses:?}", asked() - before);
    let told = other.post(&hold, &fields);
    assert!(told.status == 403 || told.body.contains("value=\"a smell\""), "what was typed is not lost: {}", told.body);
    assert_eq!(browser.post(&hold, &fields).status, 303, "another acts");
}

/// `worker/src/project_record.rs`.
const STRANGERS_WATCHING_MAX: usize = 500;

#[test]
fn strangers_open_so_many_sockets_and_no_more_and_members_one_whatever_strangers_have() {
    let world = World::start("browser-sockets");
    people(&world);
    staged(&world);
    sits(&world, "rea");
    let mut browser = Browser::new(&world);
    browser.sign_in();
    let own = world.stack.edge_url();
    let live = [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", own.as_str()),
    ];
    let path = "/api/v1/projects/tug/releases/1.0.0/live";
    let watch = || {
        let (authority, text) = request("GET", &world.edge(path), &live, "");
        let mut stream = TcpStream::connect(authority).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out can be set");
        let text = text.replace("Connection: close", "Connection: upgrade");
        stream.write_all(text.as_bytes()).expect("it reads");
        let status = read(path, &mut BufReader::new(stream.try_clone().expect("a socket can be shared"))).status;
        (status, stream)
    };
    // Kept open to the end.
    let open: Vec<_> = (0..STRANGERS_WATCHING_MAX).map(|_| watch()).collect();
    assert!(open.iter().all(|(status, _)| *status == 101), "{:?}", open.iter().map(|(status, _)| status).max());
    assert_eq!(watch().0, 503);
    let headers = [&live[..], &[("connection", "upgrade")]].concat();
    assert_eq!(browser.ask("GET", path, &headers, "").status, 101, "a member watches all the same");
    // Whoever goes makes room.
    drop(open);
    wait_until("somebody else may watch", || watch().0 == 101);
}

#[test]
fn whoever_signs_out_or_loses_their_role_acts_no_more_and_what_they_typed_outlives_an_outage() {
    let world = World::start("browser-ends");
    people(&world);
    staged(&world);
    sits(&world, "dev");
    let mut browser = Browser::new(&world);
    browser.sign_in();
    let hold = format!("{RELEASE}/hold");
    let fields = filled(browser.get(&hold).fields(), &[("reason", "a smell")]);
    assert_eq!(browser.post(&hold, &fields).status, 303);

    // A role is read when they act, and not when they came.
    for (role, status) in [("reporter", 403), ("none", 403), ("developer", 303)] {
        be(&world, 42, "dev", role);
        let acted = browser.post(&hold, &fields);
        assert_eq!(acted.status, status, "{role}: {}", acted.body);
    }

    // While GitLab does not answer nobody acts, and nothing has to be typed twice.
    world.gitlab.fail(100);
    let down = browser.post(&hold, &filled(fields.clone(), &[("reason", "a very long story"), ("keys", "rope")]));
    world.gitlab.heal();
    assert_eq!(down.status, 503, "{}", down.body);
    for kept in ["value=\"a very long story\"", "name=\"keys\" value=\"rope\"", "Cannot read your role from GitLab"] {
        assert!(down.body.contains(kept), "{kept} in {}", down.body);
    }

    // Signing out ends it, here and for whoever has a copy of the cookie.
    let mut copy = browser.copy();
    let out = browser.post("/sign-out", &[]);
    assert_eq!((out.status, out.location(), out.header("clear-site-data")), (303, "/", Some("\"cache\"")));
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    assert_eq!(copy.post(&hold, &fields).status, 401);
    assert!(copy.get(&hold).body.contains("Sign in with GitLab"));
    assert_eq!(browser.post(&hold, &fields).status, 401);
    // Whoever signs in again has a session of their own.
    browser.sign_in();
    assert_eq!(browser.post(&hold, &fields).status, 303);
    // A cookie that is none is as good as no cookie.
    copy.cookies.insert("slipway".to_owned(), "e30.AAAA".to_owned());
    assert_eq!((copy.get(RELEASE).status, copy.get(&hold).status), (200, 401), "everybody reads here");
}

#[test]
fn an_answer_that_is_not_gitlabs_to_this_very_sign_in_signs_nobody_in() {
    let mut world = World::start("browser-forged");
    people(&world);
    staged(&world);
    sits(&world, "dev");
    let is_refused = |page: &Page, why: &str| {
        assert_eq!(page.status, 401, "{why}: {}", page.body);
        assert!(page.body.contains(why) && page.body.contains("Sign in with GitLab"), "{why}: {}", page.body);
        assert_eq!(page.set("slipway"), None, "{why}");
    };
    // What GitLab signs must be for this application, this sign-in and this moment.
    let minutes_ago = |minutes: i64| json!(seconds_since_1970() - minutes * 60);
    for (wishes, why) in [
        (json!({"claims": {"nonce": "another"}}), "belongs to another sign-in"),
        (json!({"claims": {"nonce": null}}), "claim <code>nonce</code>"),
        (json!({"claims": {"aud": "another"}}), "for another application"),
        (json!({"claims": {"aud": ["slipway-command"]}}), "claim <code>aud</code>"),
        (json!({"claims": {"azp": "another"}}), "for another application"),
        (json!({"claims": {"iss": "https://gitlab.example.com"}}), "made by <code>https://gitlab.example.com</code>"),
        (json!({"claims": {"iat": minutes_ago(6)}}), "seconds old"),
        (json!({"claims": {"iat": minutes_ago(-6)}}), "made in the future"),
        (json!({"claims": {"exp": minutes_ago(2)}}), "has expired"),
        (json!({"claims": {"sub": "dev"}}), "claim <code>sub</code>"),
        (json!({"claims": {"sub": null}}), "claim <code>sub</code>"),
        (json!({"key": "other"}), "GitLab has no such key"),
        (json!({"header": {"alg": "HS256"}}), "not signed with RS256"),
        (json!({"header": {"kid": null}}), "names no key"),
    ] {
        let mut browser = Browser::new(&world);
        let back = browser.asks_gitlab("/sign-in?to=/p/tug");
        world.gitlab.tell("POST", "browsers", &wishes);
        let page = browser.get(&back);
        is_refused(&page, why);
        assert_eq!(page.link("Sign in with GitLab"), "/sign-in?to=%2Fp%2Ftug", "{why}");
    }

    // What is sent back must belong to a sign-in of this browser.
    let mut browser = Browser::new(&world);
    is_refused(&browser.get("/sign-in/return?code=c&state=s"), "no sign-in is under way");
    let back = browser.asks_gitlab("/sign-in");
    let state = after(&back, "state=").to_owned();
    let another = Browser::new(&world).asks_gitlab("/sign-in");
    let others_code = format!("/sign-in/return?code={}&state={}", after(&another, "code="), after(&another, "state="));
    is_refused(&browser.get(&others_code), "the answer to another sign-in");
    is_refused(
        &browser.get(&format!("/sign-in/return?code={}", after(&back, "code="))),
        "the answer to another sign-in",
    );
    // A code of another sign-in has another verifier; it is used up by that.
    let mixed = format!("/sign-in/return?code={}&state={state}", after(&another, "code="));
    is_refused(&browser.get(&mixed), "GitLab says: The provided authorization grant is invalid");

    // A code is good once, and for a minute.
    let back = browser.asks_gitlab("/sign-in");
    let mut again = browser.copy();
    assert_eq!(browser.get(&back).status, 303);
    is_refused(&again.get(&back), "GitLab says:");
    let back = again.asks_gitlab("/sign-in");
    world.gitlab.tell("POST", "browsers", &json!({"lapse": true}));
    is_refused(&again.get(&back), "GitLab says:");

    // Who refuses at GitLab is told so in its words; who goes elsewhere afterwards stays here.
    world.gitlab.tell("POST", "browsers", &json!({"choose": true}));
    let begun = again.get("/sign-in?to=https://evil.test/");
    let query = begun.location().split_once('?').expect("a query").1.to_owned();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = |user: &str| {
        let body = format!("{query}&user={user}");
        exchange("POST", &format!("{}/oauth/authorize", world.stack.gitlab_url()), &form, &body).location().to_owned()
    };
    let (refused, granted) = (answer(""), answer("dev"));
    is_refused(&again.get(&refused), "GitLab says: The resource owner or authorization server denied the request");
    is_refused(&again.get(&granted), "no sign-in is under way");
    let begun = again.get("/sign-in?to=//evil.test/");
    sits(&world, "dev");
    let back = again.get(begun.location()).location().to_owned();
    assert_eq!(again.get(&back).location(), "/");

    // Where nobody signs in, nothing begins.
    world.configure(|config| config.replace("application = \"slipway-command\"\n", ""));
    let mut browser = Browser::new(&world);
    assert_eq!((browser.get("/sign-in").status, browser.get("/").body.contains("ign in")), (404, false));
}

#[test]
fn whoever_comes_back_from_nowhere_however_often_keeps_nobody_from_signing_in() {
    let world = World::start("browser-nowhere");
    people(&world);
    sits(&world, "dev");
    // More often than all people of this edge together may fail in a minute.
    for _ in 0..700 {
        let back =
            exchange("GET", &world.edge("/sign-in/return?code=c&state=s"), &[("cf-connecting-ip", "192.0.2.1")], "");
        assert_eq!(back.status, 401, "{}", back.body);
    }
    Browser::new(&world).sign_in();
}

#[test]
fn whoever_is_no_member_cannot_tell_a_project_of_others_from_none_whatever_else_fails() {
    let mut world = World::start("browser-others");
    people(&world);
    staged(&world);
    world.configure(|config| config.replace("reading = \"anyone\"", "reading = \"nobody\""));
    world.is_not_audited("nobody reads it here without a session");
    be(&world, 44, "out", "none");
    sits(&world, "out");
    let mut browser = Browser::new(&world);
    browser.sign_in();
    let mut elsewhere = browser.copy();
    let mut see = |status: u16| {
        for (method, path) in [
            ("GET", "/p/NAME"),
            ("GET", "/p/NAME/r/1.0.0"),
            ("GET", "/p/NAME/activity"),
            ("GET", "/p/NAME/r/1.0.0/against"),
            ("GET", "/p/NAME/r/1.0.0/hold"),
            ("POST", "/p/NAME/r/1.0.0/hold"),
            ("GET", "/api/v1/projects/NAME/audit"),
            ("POST", "/api/v1/projects/NAME/releases/1.0.0/holds"),
        ] {
            let origin = browser.edge.clone();
            let form = [("content-type", "application/x-www-form-urlencoded"), ("origin", &*origin)];
            let headers: &[(&str, &str)] = if method == "POST" { &form } else { &[] };
            let seen = ["tug", "1001", "nobodys", "9999"].map(|name| {
                let page = browser.ask(method, &path.replace("NAME", name), headers, "");
                (page.status, page.body.replace(name, "NAME"))
            });
            assert_eq!(seen[0].0, status, "{method} {path}: {}", seen[0].1);
            for one in &seen {
                assert_eq!(*one, seen[0], "{method} {path}");
            }
        }
    };
    world.gitlab.fail(1000);
    see(503);
    world.gitlab.heal();
    see(404);
    // Signed out elsewhere.
    assert_eq!(elsewhere.post("/sign-out", &[]).status, 303);
    see(401);
}

#[test]
fn while_gitlab_is_down_members_read_on_and_nobody_acts_or_learns_what_there_is() {
    let mut world = World::start("browser-outage");
    people(&world);
    staged(&world);
    world.configure(|config| config.replace("reading = \"anyone\"", "reading = \"nobody\""));
    world.is_not_audited("nobody reads it here without a session");
    be(&world, 44, "out", "none");
    let browser = |user: &str| {
        sits(&world, user);
        let mut browser = Browser::new(&world);
        browser.sign_in();
        browser
    };
    let (mut dev, mut out, mut late) = (browser("dev"), browser("out"), browser("mai"));
    let is_offered = |page: &Page| page.body.contains("data-act=\"hold\"");
    let read = dev.get(RELEASE);
    assert!(read.status == 200 && is_offered(&read), "{}", read.body);
    assert_eq!(out.get(RELEASE).status, 404);
    let hold = format!("{RELEASE}/hold");
    let fields = filled(dev.get(&hold).fields(), &[("reason", "a smell")]);
    let mut elsewhere = dev.copy();

    world.gitlab.fail(1_000_000);
    // Until what GitLab said before is no longer taken for what it says now.
    let why = "GitLab does not answer what you may do here";
    wait_until("a page says that GitLab does not answer", || {
        let read = dev.get(RELEASE);
        assert_eq!(read.status, 200, "{}", read.body);
        read.body.contains(why)
    });
    assert!(!is_offered(&dev.get(RELEASE)));
    for path in ["/", "/p/tug", "/p/tug/activity", "/api/v1/projects/tug/releases/1.0.0"] {
        let read = dev.get(path);
        assert!(read.status == 200 && read.body.contains("tug"), "{path}: {} {}", read.status, read.body);
    }
    assert!(dev.get("/").body.contains("GitLab does not answer to which projects you belong"), "of one it never said");
    let acted = dev.post(&hold, &fields);
    assert_eq!(acted.status, 503, "{}", acted.body);
    // Of whom it said nothing before, or that they are no member, it is not known what they may do.
    for browser in [&mut late, &mut out, &mut dev] {
        let seen = ["nobodys", "9999"].map(|name| browser.get(&format!("/p/{name}")));
        assert_eq!(seen.map(|page| page.status), [503, 503]);
    }
    for path in [RELEASE, "/", "/api/v1/projects"] {
        assert_eq!([late.get(path).status, out.get(path).status], [503, 503], "{path}");
    }
    assert_eq!(dev.get("/api/v1/projects").status, 503, "a program is not told half of it");
    // Whoever signs out has signed out.
    assert_eq!(elsewhere.post("/sign-out", &[]).status, 303);
    assert_eq!(dev.get(RELEASE).status, 401);

    world.gitlab.heal();
    let mut dev = browser("dev");
    wait_until("GitLab is asked again", || is_offered(&dev.get(RELEASE)));
    assert_eq!(dev.post(&hold, &fields).status, 303);
    assert_eq!(out.get(RELEASE).status, 404);
}

#[test]
fn over_tls_a_session_goes_to_this_very_host_over_tls_alone() {
    let mut world = World::start("browser-tls");
    people(&world);
    staged(&world);
    let plain = world.stack.edge_url();
    let tls = world.over_tls();
    let application = json!({
        "uid": "slipway-command", "scopes": ["read_user", "api", "openid"],
        "redirect_uris": [format!("{}/sign-in/return", tls.url)],
    });
    world.gitlab.tell("POST", "applications", &application);
    sits(&world, "dev");
    let mut browser = Browser::over_tls(&tls);
    let begun = browser.get("/sign-in?to=/p/tug/r/1.0.0");
    // A browser takes a name with this prefix only so: without a domain, for every path, with `Secure`, over TLS.
    let (_, with) = begun.set("__Host-slipway-signing").expect("what the answer is known by");
    assert_eq!(with, ["Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax", "Secure"]);
    let back = browser.get(begun.location()).location().to_owned();
    assert!(back.starts_with(&format!("{}/sign-in/return?", tls.url)), "{back}");
    let returned = browser.get(&back);
    assert_eq!((returned.status, returned.location()), (303, RELEASE), "{}", returned.body);
    let (_, with) = returned.set("__Host-slipway").expect("a session");
    assert_eq!((with[0].as_str(), &with[2..].join("; ")), ("Path=/", &"HttpOnly; SameSite=Lax; Secure".to_owned()));
    assert_eq!(COOKIES.map(|name| browser.cookies.contains_key(name)), [false, false, true, false]);

    // The origin has its scheme: the same edge without TLS is another one.
    let form = browser.get(&format!("{RELEASE}/hold"));
    let fields = filled(form.fields(), &[("reason", "a smell")]);
    let foreign = browser.post_from(&format!("{RELEASE}/hold"), &fields, &[("origin", &plain)]);
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    assert_eq!(browser.post(&format!("{RELEASE}/hold"), &fields).status, 303);

    // A cookie that another program of the host may have set has another name, and counts for nothing.
    let session = browser.cookies.remove("__Host-slipway").expect("a session");
    browser.cookies.insert("slipway".to_owned(), session);
    assert_eq!(browser.post(&format!("{RELEASE}/hold"), &fields).status, 401);
}

#[expect(clippy::disallowed_methods, reason = "tokens of the past and the future are made from the present")]
fn seconds_since_1970() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(now.as_secs()).expect("it will be for long")
}

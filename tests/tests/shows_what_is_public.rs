//! Where `reading` is `public`, everybody sees what is public, and cannot tell what is not public from what is not there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, Release, World, deb, get, send_for_headers, wait_until};

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
const TEXT: &str = "text/plain";
const JSON: &str = "application/json";
const JAMMY: &str = "ubuntu/jammy";

/// `tug` 1.0.0 with one package released and another staged, 1.1.0 staged whole, 1.2.0 planned; `pilot` 1.0.0 staged.
struct Harbour {
    world: World,
    release: Release,
}

impl Harbour {
    fn start(test: &str) -> Self {
        let mut world = World::start(test);
        let release = world.release("1.0.0");
        release.plan(&["cargo", "rope"]);
        let cargo = release.stage("cargo", &deb("cargo", "", 0));
        release.stage("rope", &deb("rope", "", 0));
        world.gitlab.play(release.job("cargo"), "mira");
        release.wait_until_released("cargo");
        release.is_public_once(&cargo);
        for (release, key) in [(world.release("1.1.0"), "rope"), (world.release_of(world.pilot(), "1.0.0"), "sail")] {
            release.plan(&[key]);
            release.stage(key, &deb(&format!("{key}-{}", release.version), "", 0));
        }
        world.release("1.2.0").plan(&["rope"]);
        // What is signed of it is there for everybody, as soon as it is.
        wait_until("it is attested", || release.target("cargo")["attestation"].is_string());
        world.configure(|config| config.replace("reading = \"anyone\"", "reading = \"public\""));
        world.is_not_audited("nobody reads it here without a session");
        Self { world, release }
    }
}

/// Something that may be asked about.
#[derive(Clone, Copy, Debug)]
struct Case {
    project: &'static str,
    version: &'static str,
    key: &'static str,
    target: &'static str,
}

/// Forty and more, none of which is public: some are staged, some planned, some are nothing.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for project in ["tug", "pilot", "nobody", "1001", "1002"] {
        for version in ["1.0.0", "1.1.0", "1.2.0", "9.9.9"] {
            for (key, target) in [("rope", JAMMY), ("sail", JAMMY), ("invented", "el/9"), ("cargo", "ubuntu/noble")] {
                cases.push(Case { project, version, key, target });
            }
        }
    }
    cases
}

/// Every route that answers everybody, for a case: a name, the address, and what is accepted. The first few are about the
/// project, those after about the release, the last about the target.
fn routes(case: Case) -> Vec<(&'static str, String, &'static str)> {
    let Case { project, version, key, target } = case;
    let api = format!("/api/v1/projects/{project}/releases");
    let page = format!("/p/{project}/r/{version}");
    let is_of_tug = project == "tug";
    let is_public_release = is_of_tug && version == "1.0.0";
    let mut routes = Vec::new();
    if !is_of_tug {
        routes.extend([
            ("project page", format!("/p/{project}"), HTML),
            ("project text", format!("/p/{project}"), TEXT),
            ("releases", api.clone(), JSON),
            ("project badge", format!("/api/v1/projects/{project}/badge.svg"), "image/*"),
            ("project feed", format!("/api/v1/projects/{project}/feed.atom"), "*/*"),
        ]);
    }
    if !is_public_release {
        routes.extend([
            ("release page", page.clone(), HTML),
            ("release text", page.clone(), TEXT),
            ("release", format!("{api}/{version}"), JSON),
            ("release badge", format!("{api}/{version}/badge.svg"), "image/*"),
            ("release feed", format!("{api}/{version}/feed.atom"), "*/*"),
        ]);
    }
    routes.extend([
        ("target page", format!("{page}/t/{key}/{target}"), HTML),
        ("target text", format!("{page}/t/{key}/{target}"), TEXT),
        ("target", format!("{api}/{version}/targets/{key}/{target}"), JSON),
        ("attestation", format!("{api}/{version}/attestations/{key}/{target}"), JSON),
        ("target badge", format!("{api}/{version}/badge.svg?target={key}/{target}"), "image/*"),
        ("line page", format!("/p/{project}/is/{version}/{key}-x"), HTML),
        ("line", format!("/p/{project}/is/{version}/{target}/arm64"), TEXT),
        ("line by its end", format!("/p/{project}/is/{version}/{target}/arm64.txt"), HTML),
        ("line JSON", format!("/p/{project}/is/{version}/{target}/arm64.json"), HTML),
    ]);
    routes
}

/// All of an answer that whoever asks sees, but for the time and the request's own name. What it says again of the address
/// that was asked for is put back: the way to sign in leads there, and a line names what it is about.
fn seen(world: &World, case: Case, (name, path, accept): &(&str, String, &str), more: &[(&str, &str)]) -> String {
    let headers = [&[("accept", *accept)], more].concat();
    let (answer, mut of) = get(&world.edge(path), &headers);
    of.remove("date");
    of.remove("x-request-id");
    let mut text = answer.text();
    // The way to sign in leads back to the address that was asked for.
    let parts: Vec<&str> = text.split("/sign-in?to=").collect();
    if let [before, ways @ ..] = &parts[..]
        && !ways.is_empty()
    {
        of.remove("etag");
        of.remove("content-length");
        let ways = ways.iter().map(|way| format!("/sign-in{}", way.find('"').map_or(*way, |end| &way[end..])));
        text = [(*before).to_owned(), ways.collect()].concat();
    }
    if name.starts_with("line") {
        // Both are made of the words that are put back.
        of.remove("etag");
        of.remove("content-length");
        for (word, stands_for) in [
            (format!("{}-x", case.key), "WHAT"),
            (format!("{} arm64", case.target), "WHAT"),
            (format!("{} {}", case.project, case.version), "RELEASE"),
        ] {
            text = text.replace(&word, stands_for);
        }
    }
    format!("{} {of:?}\n{text}", answer.status)
}

#[test]
fn what_is_not_public_is_answered_as_what_is_not_there_by_every_route_and_to_everybody_who_is_no_member() {
    let Harbour { world, .. } = Harbour::start("public-same");
    let pilots = world.release_of(world.pilot(), "1.0.0");
    let elsewhere = format!("Bearer {}", pilots.session(pilots.build));
    let cases = cases();
    assert!(cases.len() >= 40);
    let mut first: BTreeMap<&str, (Case, String)> = BTreeMap::new();
    for case in cases {
        for route in routes(case) {
            let stranger = seen(&world, case, &route, &[]);
            let (of, said) = first.entry(route.0).or_insert_with(|| (case, stranger.clone()));
            assert_eq!(stranger, *said, "{} of {case:?}, beside {of:?}", route.0);
            // A job of `pilot` sees what is public of `tug`, and all of its own.
            if case.project != "pilot" && case.project != "1002" {
                assert_eq!(seen(&world, case, &route, &[("authorization", elsewhere.as_str())]), *said, "{case:?}");
            }
        }
    }
    for (name, (case, said)) in &first {
        let status = if name.starts_with("line") || name.ends_with("badge") { "200" } else { "404" };
        assert!(said.starts_with(status), "{name} of {case:?}: {said}");
        for word in ["rope", "sail"] {
            assert!(!said.to_lowercase().contains(word), "{name} tells of {word}: {said}");
        }
    }
}

fn ask(world: &World, path: &str, accept: &str, session: Option<&str>) -> (Answer, BTreeMap<String, String>) {
    let bearer = session.map(|session| format!("Bearer {session}"));
    let mut headers = vec![("accept", accept)];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    get(&world.edge(path), &headers)
}

#[test]
fn what_is_public_is_shown_to_everybody_and_the_rest_to_members() {
    let Harbour { world, release } = Harbour::start("public-shown");
    let session = release.session(release.build);
    let stranger = |path: &str, accept: &str| ask(&world, path, accept, None).0;
    let of = |rest: &str| format!("/api/v1/projects/tug/releases/1.0.0{rest}");

    let shown = stranger(&of(""), JSON).ok().json();
    assert_eq!(shown["verdict"], "tug 1.0.0: 1 package is public.");
    assert_eq!(shown["project"], json!({"name": "tug"}));
    assert_eq!(shown["packages"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["packages"][0]["key"], "cargo");
    assert_eq!(shown["packages"][0]["targets"][0]["state"], "released");
    assert_eq!(stranger("/api/v1/projects", JSON).ok().json(), json!([{"name": "tug"}]));
    let listed = stranger("/api/v1/projects/tug/releases", JSON).ok().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!((&listed[0]["version"], &listed[0]["packages"]), (&json!("1.0.0"), &json!(1)));
    let target = stranger(&of("/targets/cargo/ubuntu/jammy"), JSON).ok().json();
    assert_eq!(target, shown["packages"][0]);
    let attested = stranger(&of("/attestations/cargo/ubuntu/jammy"), JSON).ok().json();
    assert!(attested["payload"].is_string(), "{attested}");

    for path in ["/", "/p/tug", "/p/tug/r/1.0.0", "/p/tug/r/1.0.0/t/cargo/ubuntu/jammy"] {
        for accept in [HTML, TEXT] {
            let answer = stranger(path, accept).ok().text();
            assert!(answer.contains("1.0.0"), "{path}: {answer}");
            for private in ["rope", "sail", "pilot", "1.1.0", "1.2.0", "mira"] {
                assert!(!answer.contains(private), "{path} tells of {private}: {answer}");
            }
        }
    }
    let line = stranger("/p/tug/is/1.0.0/cargo.txt", HTML).ok().text();
    assert!(line.starts_with("tug 1.0.0 for cargo: released since 20") && line.ends_with(" UTC\n"), "{line}");
    assert!(stranger("/api/v1/projects/tug/badge.svg", "image/*").ok().text().contains("<title>tug: 1.0.0</title>"));
    let feed = stranger("/api/v1/projects/tug/feed.atom", "*/*").ok().text();
    assert!(feed.contains("<title>tug 1.0.0: 1 package is public.</title>"), "{feed}");

    // A reader of feeds that is given the address of a page finds its feed there.
    for (path, feed) in [
        ("/p/tug", "/api/v1/projects/tug/feed.atom".to_owned()),
        ("/p/tug/r/1.0.0", of("/feed.atom")),
        ("/p/tug/r/1.0.0/t/cargo/ubuntu/jammy", of("/feed.atom")),
    ] {
        let page = stranger(path, HTML).ok().text();
        let head = page.split("</head>").next().unwrap_or_default();
        assert!(head.contains(r#"<link rel="alternate" type="application/atom+xml""#), "{path}: {head}");
        assert!(head.contains(&format!("href=\"{feed}\"")), "{path}: {head}");
        assert!(stranger(&feed, "*/*").ok().text().contains("<feed "), "{feed}");
    }
    for path in ["/", "/p/tug/is/1.0.0/cargo"] {
        assert!(!stranger(path, HTML).ok().text().contains("application/atom+xml"), "{path}");
    }

    // A member sees what is staged, at the same addresses.
    let member = |path: &str, accept: &str| ask(&world, path, accept, Some(&session)).0.ok().text();
    assert!(member(&of(""), JSON).contains("\"rope\""));
    assert!(member("/p/tug/r/1.1.0", HTML).contains("rope"));
    assert!(member("/p/tug/r/1.1.0", TEXT).contains("Staged"));
    assert!(member("/p/tug/is/1.1.0/rope.txt", HTML).contains("not released (staged since "));
    // Some things are for members at any address, and nobody learns there which projects there are.
    for project in ["tug", "pilot", "nobody"] {
        for what in [
            "audit",
            "policy",
            "strangers",
            "audit/head",
            "retention",
            "activity",
            "deployments",
            "releases/1.0.0/live",
        ] {
            let path = format!("/api/v1/projects/{project}/{what}");
            assert_eq!(stranger(&path, JSON).status, 401, "{path}");
        }
        for what in ["activity", "deployments", "r/1.0.0/against", "r/1.0.0/hold"] {
            let path = format!("/p/{project}/{what}");
            assert_eq!(stranger(&path, HTML).status, 401, "{path}");
        }
    }
    for path in ["/search?q=rope", "/status"] {
        assert_eq!(stranger(path, HTML).status, 401, "{path}");
    }
}

#[test]
fn what_members_do_changes_no_byte_of_what_everybody_sees() {
    let Harbour { world, release } = Harbour::start("public-still");
    let operator = world.stack.secret("OPERATOR_TOKEN");
    let case = Case { project: "tug", version: "1.0.0", key: "cargo", target: JAMMY };
    let mut routes = routes(case);
    routes.extend([
        ("project page", "/p/tug".to_owned(), HTML),
        ("projects", "/".to_owned(), HTML),
        ("releases", "/api/v1/projects/tug/releases".to_owned(), JSON),
        ("project feed", "/api/v1/projects/tug/feed.atom".to_owned(), JSON),
        ("project badge", "/api/v1/projects/tug/badge.svg".to_owned(), JSON),
        ("release page", "/p/tug/r/1.0.0".to_owned(), HTML),
        ("release", "/api/v1/projects/tug/releases/1.0.0".to_owned(), JSON),
        ("release feed", "/api/v1/projects/tug/releases/1.0.0/feed.atom".to_owned(), JSON),
    ]);
    let all = || routes.iter().map(|route| seen(&world, case, route, &[])).collect::<Vec<_>>();
    let before = all();
    let act = |method: &str, path: &str, body: &Value| {
        let answer = release.api(method, path, Some(operator), body);
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        assert_eq!(all(), before, "after {method} {path}");
    };
    act("POST", "/holds", &json!({"keys": null, "reason": "a smell"}));
    act("DELETE", "/holds", &json!({"keys": null, "reason": "it has gone"}));
    world.release("1.3.0").plan(&["rope"]);
    assert_eq!(all(), before, "after another release was planned");
    act("POST", "/close", &json!({"reason": "given up"}));

    // Whoever has it already is told so.
    let (first, headers) = ask(&world, "/api/v1/projects/tug/releases/1.0.0", JSON, None);
    let tag = headers.get("etag").expect("an ETag").as_str();
    let (again, headers) =
        get(&world.edge("/api/v1/projects/tug/releases/1.0.0"), &[("accept", JSON), ("if-none-match", tag)]);
    assert_eq!((first.status, again.status, again.body.len()), (200, 304, 0));
    assert_eq!(headers.get("etag").map(String::as_str), Some(tag));
}

/// A cache that many share, as RFC 9111 has it: what is `public` and fresh is given again to whoever asks with the same of
/// everything that `Vary` names.
#[derive(Default)]
struct SharedCache(Vec<Kept>);

/// An answer, by its address and by what `Vary` named of the request.
struct Kept {
    path: String,
    vary: Vec<(String, Option<String>)>,
    answer: Answer,
}

impl SharedCache {
    fn get(&mut self, world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
        let own = |name: &str| headers.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        let is_kept = |kept: &&Kept| kept.path == path && kept.vary.iter().all(|(name, value)| own(name) == *value);
        if let Some(kept) = self.0.iter().find(is_kept) {
            return kept.answer.clone();
        }
        let (answer, of) = send_for_headers("GET", &world.edge(path), headers, "");
        if of.get("cache-control").is_some_and(|control| control.starts_with("public")) {
            let vary = of.get("vary").map(String::as_str).unwrap_or_default().to_lowercase();
            let names = vary.split(',').map(|name| name.trim().to_owned());
            let vary = names.map(|name| (name.clone(), own(&name))).collect();
            self.0.push(Kept { path: path.to_owned(), vary, answer: answer.clone() });
        }
        answer
    }
}

#[test]
fn a_cache_that_a_member_and_a_stranger_share_gives_neither_what_is_the_others_whoever_comes_first() {
    let Harbour { world, release } = Harbour::start("public-cached");
    let bearer = format!("Bearer {}", release.session(release.build));
    for (path, accept) in [
        ("/p/tug/r/1.0.0", HTML),
        ("/p/tug/r/1.0.0", TEXT),
        ("/p/tug", HTML),
        ("/", HTML),
        ("/api/v1/projects/tug/releases/1.0.0", JSON),
        ("/api/v1/projects/tug/releases", JSON),
        ("/api/v1/projects/tug/releases/1.0.0/targets/cargo/ubuntu/jammy", JSON),
        ("/p/tug/is/1.0.0/rope.txt", HTML),
    ] {
        let member: &[(&str, &str)] = &[("accept", accept), ("authorization", &bearer)];
        let stranger: &[(&str, &str)] = &[("accept", accept)];
        let alone = |headers| get(&world.edge(path), headers).0.text().lines().count();
        for order in [[member, stranger], [stranger, member]] {
            let mut cache = SharedCache::default();
            let given: Vec<String> = order.iter().map(|headers| cache.get(&world, path, headers).text()).collect();
            assert_ne!(given[0], given[1], "{path} {accept}");
            let counts: Vec<usize> = given.iter().map(|text| text.lines().count()).collect();
            assert_eq!(counts, order.map(alone), "{path} {accept}");
        }
        let mut cache = SharedCache::default();
        cache.get(&world, path, member);
        assert!(cache.0.is_empty(), "{path}: what a member is given is kept by nobody for others");
        cache.get(&world, path, stranger);
        assert_eq!(cache.0.len(), 1, "{path}: what everybody is given is kept");
    }
}

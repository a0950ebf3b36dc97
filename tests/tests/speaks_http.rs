//! What HTTP asks of the edge whatever the route: methods, headers, addresses, and what is said of a bad request.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, World, send, send_for_headers};

fn detail(answer: &Answer) -> String {
    answer.json()["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_method_that_a_path_does_not_have_is_answered_405_with_those_that_it_has_and_an_unknown_path_404() {
    let world = World::start("http-methods");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let of = |rest: &str| format!("/api/v1/projects/tug/releases/1.0.0{rest}");
    for (path, allow) in [
        ("/".to_owned(), "GET, HEAD, OPTIONS"),
        ("/healthz".to_owned(), "GET, HEAD, OPTIONS"),
        ("/p/tug/r/1.0.0".to_owned(), "GET, HEAD, OPTIONS"),
        ("/assets/nothing.css".to_owned(), "GET, HEAD, OPTIONS"),
        ("/webhooks/gitlab/tug".to_owned(), "POST, OPTIONS"),
        ("/webhooks/gitlab/nobodys".to_owned(), "POST, OPTIONS"),
        ("/api/v1/sessions".to_owned(), "POST, DELETE, OPTIONS"),
        (of(""), "GET, HEAD, PATCH, OPTIONS"),
        (of("/holds"), "POST, DELETE, OPTIONS"),
    ] {
        for method in ["PROPFIND", "TRACE", "PUT", "REPORT", "MKCOL", "OPTIONS"] {
            let (answer, headers) = send_for_headers(method, &world.edge(&path), &[], "");
            let status = if method == "OPTIONS" { 204 } else { 405 };
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
            assert_eq!(headers.get("allow").map(String::as_str), Some(allow), "{method} {path}");
            let grants = headers.keys().find(|name| name.starts_with("access-control-"));
            assert_eq!(grants, None, "{method} {path} lets no other site in");
        }
    }
    for path in ["/nothing", "/api/v1/nothing", "/internal/copy", "/internal", "//healthz", "/api/v1/projects/"] {
        for method in ["GET", "HEAD", "PROPFIND", "OPTIONS", "PUT"] {
            let (answer, headers) = send_for_headers(method, &world.edge(path), &[], "");
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
            assert_eq!(headers.get("allow"), None, "{method} {path}");
        }
    }
}

#[test]
fn head_is_answered_as_get_is_without_the_body() {
    let world = World::start("http-head");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let of = |rest: &str| format!("/api/v1/projects/tug/releases/1.0.0{rest}");
    for path in [
        "/".to_owned(),
        "/healthz".to_owned(),
        "/openapi.json".to_owned(),
        "/p/tug/r/1.0.0".to_owned(),
        "/api/v1/projects".to_owned(),
        "/api/v1/projects/tug/releases".to_owned(),
        "/api/v1/projects/tug/audit".to_owned(),
        "/api/v1/projects/nobodys/audit".to_owned(),
        "/assets/nothing.css".to_owned(),
        "/metrics".to_owned(),
        of(""),
        of("/live"),
    ] {
        let (get, of_get) = send_for_headers("GET", &world.edge(&path), &[], "");
        let (head, of_head) = send_for_headers("HEAD", &world.edge(&path), &[], "");
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}: {}", head.text());
        for name in ["content-type", "cache-control", "x-content-type-options", "etag"] {
            assert_eq!(of_head.get(name), of_get.get(name), "{name} of {path}");
        }
    }
}

#[test]
fn no_answer_is_taken_for_something_else_and_none_with_a_credential_is_kept() {
    let world = World::start("http-headers");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let operator = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let operators = [("authorization", operator.as_str())];
    let no_store = Some("no-store");
    let again = Some("private, max-age=0, must-revalidate");
    let shared = Some("public, max-age=0, must-revalidate");
    let for_good = Some("public, max-age=31536000, immutable");
    let page = world.edge("/p/tug/r/1.0.0");
    let markup = send("GET", &page, &[("accept", "text/html")], "").ok().text();
    let style = asset(&markup, "style.css");
    let audit = "/api/v1/projects/tug/audit".to_owned();
    for (method, path, headers, status, kept) in [
        ("GET", "/healthz".to_owned(), &[][..], 200, None),
        ("GET", "/openapi.json".to_owned(), &[], 200, None),
        ("GET", "/readyz".to_owned(), &[], 200, None),
        ("GET", "/readyz/secrets".to_owned(), &operators[..], 200, no_store),
        ("GET", "/metrics".to_owned(), &operators[..], 200, no_store),
        ("GET", "/metrics".to_owned(), &[], 401, no_store),
        ("GET", style, &[], 200, for_good),
        ("GET", "/assets/icon.svg".to_owned(), &[], 200, shared),
        ("GET", "/nothing".to_owned(), &[], 404, no_store),
        ("GET", audit, &[], 200, again),
        ("GET", "/api/v1/projects".to_owned(), &[], 200, again),
        ("GET", "/api/v1/projects/tug/releases".to_owned(), &[], 200, again),
        ("GET", "/api/v1/projects/tug/releases/1.0.0".to_owned(), &[], 200, again),
        ("OPTIONS", "/api/v1/projects".to_owned(), &[], 204, None),
        ("POST", "/webhooks/gitlab/tug".to_owned(), &[], 401, no_store),
        ("DELETE", "/api/v1/sessions".to_owned(), &operators[..], 401, no_store),
    ] {
        let (answer, sent) = send_for_headers(method, &world.edge(&path), headers, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(sent.get("x-content-type-options").map(String::as_str), Some("nosniff"), "{method} {path}");
        loads_nothing_and_is_in_no_frame(&sent, &format!("{method} {path}"));
        if kept.is_some() {
            assert_eq!(sent.get("cache-control").map(String::as_str), kept, "{method} {path}");
        }
    }
    let body = json!({"id_token": world.gitlab.id_token(release.build)}).to_string();
    let (answer, sent) = send_for_headers("POST", &world.edge("/api/v1/sessions"), &[], body.as_str());
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(sent.get("cache-control").map(String::as_str), no_store);
    assert_eq!(sent.get("x-content-type-options").map(String::as_str), Some("nosniff"));

    // Pages name what they load; an answer that stands for one that is kept says what that says.
    let tagged = send_for_headers("GET", &world.edge("/p/tug/is/1.0.0/cargo"), &[("accept", "text/html")], "").1;
    let tag = tagged.get("etag").expect("an ETag").as_str();
    for (method, path, headers, status) in [
        ("GET", "/p/tug/r/1.0.0", &[("accept", "text/html")][..], 200),
        ("HEAD", "/p/tug/r/1.0.0", &[("accept", "text/html")], 200),
        ("GET", "/p/nobodys", &[("accept", "text/html")], 404),
        ("GET", "/p/tug/r/1.0.0/hold", &[("accept", "text/html")], 401),
        ("PUT", "/p/tug", &[("accept", "text/html")], 405),
        ("GET", "/sign-in/return?code=a", &[("accept", "text/html")], 401),
        ("GET", "/p/tug/is/1.0.0/cargo", &[("accept", "text/html"), ("if-none-match", tag)], 304),
    ] {
        let (answer, sent) = send_for_headers(method, &world.edge(path), headers, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let policy = sent.get("content-security-policy").map(String::as_str).unwrap_or_default();
        for part in [
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval';",
            "frame-ancestors 'none'",
            "trusted-types slipway",
        ] {
            assert!(policy.contains(part), "{part} of {method} {path}: {policy}");
        }
    }
    // What else there is: pictures, feeds, lines, tables, the way to GitLab, and what stands for what is kept.
    let release = "/api/v1/projects/tug/releases/1.0.0";
    let kept = send_for_headers("GET", &world.edge(release), &[], "").1;
    let tag = kept.get("etag").expect("an ETag").as_str();
    for (path, headers, status) in [
        ("/api/v1/projects/tug/badge.svg", &[][..], 200),
        ("/api/v1/projects/tug/feed.atom", &[], 404),
        ("/p/tug/r/1.0.0", &[("accept", "text/plain")], 200),
        ("/p/tug/is/1.0.0/cargo.txt", &[], 200),
        ("/p/tug/activity?format=csv", &[], 200),
        ("/sign-in", &[], 303),
        (release, &[("if-none-match", tag)], 304),
        ("/api/v1/projects/tug/releases/1.0.0/live", &[], 426),
    ] {
        let (answer, sent) = send_for_headers("GET", &world.edge(path), headers, "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        loads_nothing_and_is_in_no_frame(&sent, path);
    }
}

/// What is no page loads nothing, and is shown in nobody's.
fn loads_nothing_and_is_in_no_frame(sent: &BTreeMap<String, String>, of: &str) {
    let policy = sent.get("content-security-policy").map(String::as_str);
    assert_eq!(policy, Some("default-src 'none'; frame-ancestors 'none'"), "{of}");
}

#[test]
fn a_file_of_the_pages_is_kept_for_good_under_its_builds_name_and_asked_for_again_under_any_other() {
    let world = World::start("http-assets");
    let markup = send("GET", &world.edge("/help/states"), &[("accept", "text/html")], "").ok().text();
    let style = asset(&markup, "style.css");
    let (build, name) = style.trim_start_matches("/assets/").split_once('/').expect("its address names the build");
    assert!(build.len() == 12 && build.bytes().all(|byte| byte.is_ascii_hexdigit()), "{style}");
    let now = send("GET", &world.edge(&style), &[], "").ok();
    for (path, kept) in [
        (style.clone(), "public, max-age=31536000, immutable"),
        // A page that was loaded before the edge was replaced, and an address from before files had names.
        (format!("/assets/0123456789ab/{name}"), "public, max-age=0, must-revalidate"),
        (format!("/assets/{name}"), "public, max-age=0, must-revalidate"),
        // The module that a page's script names by its own address.
        (style.replace(name, "dashboard_bg.wasm"), "public, max-age=31536000, immutable"),
    ] {
        let (answer, sent) = send_for_headers("GET", &world.edge(&path), &[], "");
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(sent.get("cache-control").map(String::as_str), Some(kept), "{path}");
        assert!(!path.ends_with(name) || answer.body == now.body, "{path}");
    }
    for path in [format!("/assets/{build}/nothing.css"), format!("/assets/{build}"), format!("{style}/x")] {
        assert_eq!(send("GET", &world.edge(&path), &[], "").status, 404, "{path}");
    }
}

/// The address that a page gives one of its files.
fn asset(markup: &str, name: &str) -> String {
    let is_it = |text: &&str| text.starts_with("/assets/") && text.ends_with(&format!("/{name}"));
    markup.split('"').find(is_it).expect("the page has this file").to_owned()
}

#[test]
fn a_project_has_one_number_and_a_path_one_spelling() {
    let world = World::start("http-canonical");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    for (path, status) in [
        ("/api/v1/projects/1001/releases", 200),
        ("/api/v1/projects/tug/releases", 200),
        ("/api/v1/projects/+1001/releases", 404),
        ("/api/v1/projects/%2B1001/releases", 404),
        ("/api/v1/projects/01001/releases", 404),
        ("/api/v1/projects/1001%20/releases", 404),
        ("/api/v1/projects/TUG/releases", 404),
        ("//api/v1/projects/tug/releases", 404),
        ("/api//v1/projects/tug/releases", 404),
        ("/api/v1/projects/tug//releases", 404),
        ("/api/v1/projects/tug/releases/", 404),
        ("/api/v1/projects%2Ftug/releases", 404),
        ("/API/v1/projects/tug/releases", 404),
    ] {
        let answer = send("GET", &world.edge(path), &[], "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[test]
fn a_parameter_that_is_not_understood_is_named() {
    let world = World::start("http-query");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let of = "/api/v1/projects/tug/releases/1.0.0";
    for (path, says) in [
        ("/api/v1/projects/tug/audit?after=garbage".to_owned(), "no parameter `after`"),
        ("/api/v1/projects/tug/audit?first=garbage".to_owned(), "`first` is `garbage`"),
        ("/api/v1/projects/tug/audit?first=0".to_owned(), "`first` is `0`"),
        (format!("{of}?wait=done"), "`wait` is `done`"),
        (format!("{of}?timeout=26"), "`timeout` is `26`"),
        (format!("{of}?since=1&since=2"), "`since` is given twice"),
        (format!("{of}?limit=5"), "no parameter `limit`"),
        (format!("{of}/live?since=x"), "`since` is `x`"),
        ("/api/v1/projects?page=2".to_owned(), "no parameter `page`"),
    ] {
        let answer = send("GET", &world.edge(&path), &[], "");
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(detail(&answer).contains(says), "{path}: {}", answer.text());
    }
    // A page is shown whatever is in an old link.
    let page = world.edge("/p/tug/r/1.0.0?state=nonsense&utm_source=mail");
    assert_eq!(send("GET", &page, &[("accept", "text/html")], "").status, 200);
}

#[test]
fn what_is_wrong_with_a_body_is_said_by_its_field() {
    let world = World::start("http-body");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let session = release.session(release.build);
    let digest = format!("sha256:{}", "0".repeat(64));
    let staged = |filename: &str, size: i64| json!({"packages": [{"key": "cargo", "staged": {"filename": filename, "digest": digest, "size": size}}]});
    for (body, status, says) in [
        (json!([]), 400, "must be an object"),
        (
            json!({"packages": [{"key": 7}]}),
            400,
            "the field `packages[0].key`: it is the number `7`, and must be a string",
        ),
        (staged("cargo_1.0.0_amd64.deb", -1), 400, "the field `packages[0].staged.size`"),
        (staged("cargo_1.0.0_amd64.deb", 0), 422, "is empty"),
        (staged("cargo%2f_1.0.0_amd64.deb", 1), 422, "`%`"),
        (staged("cargo?_1.0.0_amd64.deb", 1), 422, "`?`"),
        (staged("cargo#_1.0.0_amd64.deb", 1), 422, "`#`"),
        (staged("cargo\u{7}_1.0.0_amd64.deb", 1), 422, "control characters"),
    ] {
        let answer = release.api("PATCH", "", Some(&session), &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(detail(&answer).contains(says), "{body}: {}", answer.text());
        assert!(!answer.text().contains("struct"), "{body}: {}", answer.text());
    }
    assert_eq!(release.target("cargo")["state"], "expected", "nothing was declared");
    let answer = send("POST", &world.edge("/api/v1/sessions"), &[], r#"{"id_token": 7}"#);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(detail(&answer).contains("the field `id_token`: it is the number `7`"), "{}", answer.text());
}

#[test]
fn a_token_that_has_opened_another_jobs_session_is_told_apart_from_an_old_one() {
    let world = World::start("http-jti");
    let release = world.release("1.0.0");
    release.plan(&["cargo"]);
    let other = release.job("cargo");
    world.gitlab.play(other, "mira");
    let claims = json!({"claims": {"jti": "one-and-the-same"}});
    let first = world.gitlab.forged_id_token(release.build, &claims);
    assert_eq!(release.open(&first).status, 201);
    let answer = release.open(&world.gitlab.forged_id_token(other, &claims));
    assert_eq!(answer.status, 401, "{}", answer.text());
    let why = detail(&answer);
    assert!(why.contains("has opened a session for another job already"), "{why}");
    assert!(why.contains("run this job again"), "{why}");
    assert!(!why.contains("seconds old"), "{why}");
    assert_eq!(release.open(&first).status, 201, "it stays the first job's");
    assert_eq!(Value::Null, answer.json()["session"]);
}

//! What the pages beside the release's promise, whatever is written into them.

use serde_json::{Value, json};
use slipway_core::api::{Activity, Against, Deployments, Glance, Release, Standing, TargetHistory};
use slipway_core::query::ActivityQuery;
use slipway_core::release::TargetState;
use slipway_view::filter::Filter;
use slipway_view::page::{self, Act, Reader};

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn parsed<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("what the API answers")
}

/// A release of one package for one distro version.
fn release(state: &str, change: impl FnOnce(&mut Value)) -> Release {
    let mut json = json!({
        "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "sequence": 7, "state": "staged",
        "verdict": "tug 1.2.0 has one target.", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d", "url": "https://gitlab.example/p/4411"}],
        "packages": [{
            "key": "tug-jammy", "pipeline_id": 4411, "release_job": "release: [tug-jammy]",
            "file": {"filename": "tug_1.2.0_amd64.deb", "digest": DIGEST, "size": 24340},
            "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
            "targets": [{
                "distro": "ubuntu/jammy", "state": state, "since": "2026-11-23T09:41:07.123Z",
                "public": {"url": "https://packages.example", "repository": "harbour/stable"},
                "approval": {"by": "mira", "via": "webhook", "at": "2026-11-23T09:40:00.000Z", "job_url": "https://gitlab.example/j/8812"},
            }],
        }],
    });
    change(&mut json);
    parsed(json)
}

fn row(sequence: u64, action: &str, subject: &str, details: &Value) -> Value {
    json!({
        "sequence": sequence, "at": "2026-11-23T09:41:07.123Z", "actor": "job:81 user:mira", "action": action,
        "subject": subject, "details": details.to_string(),
    })
}

fn activity_of(rows: &[Value], older: Option<u64>) -> Activity {
    parsed(
        json!({"project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z", "rows": rows, "older": older}),
    )
}

/// Each of these is in the page, after the one before it.
fn in_order(page: &str, shown: &[&str]) {
    let mut rest = page;
    for one in shown {
        rest = rest.split_once(one).unwrap_or_else(|| panic!("{one}, after those before it, in {page}")).1;
    }
}

fn target_page(release: &Release, attempts: &Value, rows: &[Value]) -> String {
    let package = release.packages.first().expect("a package");
    let target = package.targets.first().expect("a target");
    let history: TargetHistory = parsed(json!({"key": package.key, "target": target, "attempts": attempts}));
    page::target(release, &history, &activity_of(rows, None).rows, &Reader::default()).into_string()
}

fn glance(change: impl FnOnce(&mut Value)) -> Glance {
    let target = |state: &str, what: Option<&str>| json!({"version": "1.2.0", "key": "tug-jammy", "target": "ubuntu/jammy", "state": state, "what": what, "since": "2026-11-23T09:41:07.123Z"});
    let mut json = json!({
        "project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z",
        "releases": [
            {"version": "1.2.0", "state": "staged", "verdict": "tug 1.2.0 is out for 1 of 3 packages.", "released": 1, "all": 3,
             "ready": 1, "changed_at": "2026-11-23T09:41:07.123Z",
             "needs": [target("failed", Some("The public place answered 502."))], "moving": [target("releasing", None)]},
            {"version": "1.1.4", "state": "complete", "verdict": "tug 1.1.4 is out.", "released": 3, "all": 3, "ready": 0,
             "changed_at": "2026-11-20T08:00:00.000Z", "needs": [], "moving": []},
        ],
    });
    change(&mut json);
    parsed(json)
}

fn deployments_of(rows: &Value) -> Deployments {
    parsed(json!({"project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z", "rows": rows}))
}

fn against_of(before: Option<&str>, rows: &Value) -> Against {
    parsed(json!({
        "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "before": before, "at": "2026-11-23T10:04:11.000Z", "rows": rows,
    }))
}

fn problem_of(text: &str) -> Value {
    json!({
        "code": text, "what": text, "public": text, "retry": text, "next": text,
        "evidence": {"host": text, "status": 502, "request_id": text},
    })
}

fn stopped_of(text: &str) -> Value {
    json!({"by": text, "reason": text, "at": text})
}

/// Rows of each form: of nothing that is known, of a package, of a release, and with details that are no JSON.
fn hostile_activity(text: &str) -> Activity {
    let details = json!({
        "why": text, "reason": text, "distro": text, "tag": text, "keys": [text], text: text, "of": {"it": text},
    });
    let mut of_nothing = row(9, text, text, &details);
    (of_nothing["at"], of_nothing["actor"]) = (text.into(), text.into());
    let mut no_json = row(8, text, "1.2.0/tug-jammy", &details);
    no_json["details"] = text.into();
    let rows = [of_nothing, row(7, text, "1.2.0/tug-jammy", &details), row(6, text, "1.2.0", &details), no_json];
    parsed(json!({"project": {"id": 1001, "name": text}, "at": text, "rows": rows, "older": 5}))
}

fn hostile_release(text: &str, state: &str) -> Release {
    release(state, |json| {
        json["project"]["name"] = text.into();
        json["at"] = text.into();
        json["stopped"] = stopped_of(text);
        for field in ["ref", "sha", "url"] {
            json["pipelines"][0][field] = text.into();
        }
        let package = &mut json["packages"][0];
        package["release_job"] = text.into();
        package["job_url"] = text.into();
        package["file"]["filename"] = text.into();
        package["staging"] = json!({"url": text, "repository": text});
        package["blocked"] =
            json!([{"gate": "freeze", "why": text, "until": text, "next": text}, {"gate": text, "why": text}]);
        let target = &mut package["targets"][0];
        for field in ["distro", "since", "attestation", "expires_at"] {
            target[field] = text.into();
        }
        target["public"] = json!({"url": text, "repository": text});
        target["approval"] = json!({"by": text, "via": text, "at": text, "job_url": text});
        target["withdrawal"] = json!({
            "by": text, "reason": text, "at": text, "state": "not_withdrawn", "users": [text], "notes": [text],
            "problem": problem_of(text),
        });
        if state == "failed" {
            target["problem"] = problem_of(text);
        }
    })
}

fn hostile_target(text: &str, state: &str, reader: &Reader<'_>) -> String {
    let release = hostile_release(text, state);
    let package = release.packages.first().expect("a package");
    let target = package.targets.first().expect("a target");
    let attempts = json!([{
        "number": 1, "approval": 1, "began_at": text, "ended_at": text, "act": "copy", "ended": text,
        "problem": problem_of(text),
    }]);
    let history: TargetHistory = parsed(json!({"key": package.key, "target": target, "attempts": attempts}));
    page::target(&release, &history, &hostile_activity(text).rows, reader).into_string()
}

fn hostile_glance(text: &str) -> Glance {
    glance(|json| {
        json["project"]["name"] = text.into();
        json["at"] = text.into();
        json["stopped"] = stopped_of(text);
        for release in json["releases"].as_array_mut().expect("a list") {
            (release["verdict"], release["changed_at"]) = (text.into(), text.into());
            for list in ["needs", "moving"] {
                for target in release[list].as_array_mut().expect("a list") {
                    (target["what"], target["since"]) = (text.into(), text.into());
                }
            }
        }
    })
}

fn hostile_against(text: &str) -> Against {
    let file = json!({
        "version": "1.2.0", "name": text, "digest": DIGEST, "size": 1, "depends": [{"context": text, "on": [text]}],
    });
    let mut other = file.clone();
    other["depends"] = json!([{"context": "depends", "on": ["libc6"]}]);
    parsed(json!({
        "project": {"id": 1001, "name": text}, "version": "1.2.0", "before": "1.1.4", "at": text,
        "rows": [
            {"key": "one", "staged": file, "public": other, "why": text}, {"key": "two", "staged": file},
            {"key": "three", "why": text},
        ],
    }))
}

/// Every page, with the given text wherever somebody else's text can be.
fn pages_with(text: &str) -> Vec<(&'static str, String)> {
    let reader = Reader { name: Some(text), path: text, ..Reader::default() };
    let activity = hostile_activity(text);
    let glance = hostile_glance(text);
    let silent = std::slice::from_ref(&glance.project);
    let mut at_rest = glance.clone();
    at_rest.releases.retain(|release| release.version.as_str() == "1.1.4");
    let query = ActivityQuery {
        actor: Some(text.to_owned()),
        action: Some(text.to_owned()),
        subject: Some(text.to_owned()),
        ..ActivityQuery::default()
    };
    let deployments: Deployments = parsed(json!({
        "project": {"id": 1001, "name": text}, "at": text,
        "rows": [{"environment": text, "version": "1.2.0", "at": text, "is_current": true, "by": text, "pipeline_url": text}],
    }));
    let standing: Standing = parsed(json!({
        "build": text, "at": text,
        "projects": [{
            "project": {"id": 1001, "name": text}, "stopped": stopped_of(text), "hints_open": 1, "oldest_hint_at": text,
            "last_webhook_at": text, "sockets": 1, "sources": [{"place": text, "read_at": text, "trouble": text}],
        }],
    }));
    let found = page::found_in("", &hostile_release(text, "failed"));
    let latest = std::slice::from_ref(&activity);
    vec![
        ("target, failed", hostile_target(text, "failed", &reader)),
        ("target, staged", hostile_target(text, "staged", &reader)),
        ("target, released", hostile_target(text, "released", &reader)),
        ("overview", page::overview(std::slice::from_ref(&glance), latest, silent, &reader).into_string()),
        ("overview, at rest", page::overview(&[at_rest], &[], &[], &reader).into_string()),
        ("project", page::project(&glance, &activity, &reader).into_string()),
        ("activity", page::activity(&activity, &query, &reader).into_string()),
        ("deployments", page::deployments(&deployments, &reader).into_string()),
        ("against", page::against(&hostile_against(text), &reader).into_string()),
        ("status", page::status(&standing, &[], &reader).into_string()),
        ("keys", page::help_keys(&reader).into_string()),
        ("search", page::search(text, &found, silent, &reader).into_string()),
    ]
}

#[test]
fn no_text_becomes_markup() {
    for (name, page) in pages_with("\"'><script>alert(1)</script><img src=x onerror=alert(1)>") {
        assert!(!page.contains("<script>") && !page.contains("<img"), "{name}: {page}");
    }
}

#[test]
fn nothing_invisible_is_left_in_a_page() {
    for (name, page) in pages_with("tug\u{202e}gnp.deb\u{200b}\u{7}") {
        // A query and data attributes keep the text itself; people do not see them.
        for seen in page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text) {
            let is_hidden = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c);
            assert!(!seen.chars().any(is_hidden), "{name}: {seen:?}");
        }
    }
}

#[test]
fn only_web_addresses_are_linked() {
    for text in [
        "javascript:alert(1)",
        "JaVaScRiPt://%0aalert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        " https://a",
        "//evil.example",
    ] {
        for (name, page) in pages_with(text) {
            for address in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let is_own = address.starts_with(['/', '#']) && !address.starts_with("//");
                assert!(is_own || address.starts_with("https://"), "{name}: {address}");
            }
        }
    }
}

#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for (name, page) in pages_with("tug") {
        for forbidden in [" style=", "<style", " onclick", " onload", " onerror", "javascript:", "src=\"http", "//cdn"]
        {
            assert!(!page.contains(forbidden), "{name}: {forbidden} in {page}");
        }
    }
}

/// The elements that the browser may put in place of those that it has: id and mark.
fn pieces(page: &str) -> Vec<(String, String)> {
    page.split("<div id=\"")
        .skip(1)
        .filter_map(|rest| {
            let (id, rest) = rest.split_once('"')?;
            let mark = rest.strip_prefix(" data-mark=\"")?.split('"').next()?;
            rest.contains("data-refresh=\"15\"").then(|| (id.to_owned(), mark.to_owned()))
        })
        .collect()
}

#[test]
fn what_can_change_has_an_id_and_a_mark_and_no_id_is_there_twice() {
    for (name, page) in pages_with("tug") {
        let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for id in &ids {
            assert_eq!(ids.iter().filter(|other| other == &id).count(), 1, "{name}: {id}");
        }
        let stands_still = ["keys", "search", "against"].contains(&name);
        assert!(stands_still || !pieces(&page).is_empty(), "{name}");
        for reference in ["aria-labelledby=\"", " for=\"", " list=\""] {
            for id in page.split(reference).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(ids.contains(&id), "{name}: there is no {id}");
            }
        }
    }
    let of = |state: &str| pieces(&target_page(&release(state, |_| {}), &json!([]), &[]));
    assert_eq!(of("staged")[0].0, "target");
    assert_ne!(of("staged")[0].1, of("approved")[0].1, "another state is another mark");
    let later =
        release("staged", |json| (json["sequence"], json["at"]) = (8.into(), "2026-11-23T11:00:00.000Z".into()));
    assert_eq!(of("staged"), pieces(&target_page(&later, &json!([]), &[])), "reading it again is no change");
}

#[test]
fn the_page_of_a_target_says_its_state_in_a_word_beside_a_glyph_and_why_and_what_happens_next() {
    for state in TargetState::ALL {
        let page = target_page(&release(state.code(), |_| {}), &json!([]), &[]);
        let label = format!("<use href=\"#g-{}\"></use></svg>{}</span>", state.code(), state.words());
        for shown in [label.as_str(), "id=\"target-why\">Why</h2>", "id=\"target-next\">What happens next</h2>"] {
            assert!(page.contains(shown), "{state}: {shown} in {page}");
        }
    }
}

#[test]
fn the_page_of_a_target_does_not_say_that_the_public_place_lacks_it_while_nobody_knows() {
    let public = |public: &str| {
        let release = release("staged", |json| {
            json["packages"][0]["targets"][0]["problem"] =
                json!({"code": "unknown", "what": "w", "public": public, "retry": "automatic", "next": "n"});
        });
        let page = target_page(&release, &json!([]), &[]);
        page.split_once("<dt>Public</dt><dd>Not ").expect(&page).1.split_once('.').expect("a sentence").0.to_owned()
    };
    assert_eq!((public("none").as_str(), public("unknown").as_str()), ("there", "known"));
}

#[test]
fn the_page_of_a_target_has_its_digest_whole_and_leads_to_job_pipeline_public_place_and_what_is_attested() {
    let url = "https://slipway.example/api/v1/projects/tug/releases/1.2.0/attestations/tug-jammy/ubuntu/jammy";
    let page = target_page(
        &release("released", |json| json["packages"][0]["targets"][0]["attestation"] = url.into()),
        &json!([]),
        &[],
    );
    for shown in [
        &format!("<code class=\"digest\">{DIGEST}</code>"),
        "href=\"https://gitlab.example/j/8812\"",
        "href=\"https://gitlab.example/p/4411\"",
        "href=\"https://packages.example/harbour/stable\"",
        &format!("href=\"{url}\""),
        "href=\"/p/tug/r/1.2.0\"",
        "href=\"/api/v1/projects/tug/releases/1.2.0/targets/tug-jammy/ubuntu/jammy\"",
        "href=\"/p/tug/activity?subject=1.2.0%2Ftug-jammy\"",
        "24,340 bytes",
        "sudo apt-get install tug",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(!target_page(&release("staged", |_| {}), &json!([]), &[]).contains("apt-get"), "it is not public yet");
}

#[test]
fn an_image_is_pulled_and_its_tag_has_no_colon_in_addresses() {
    let image = release("released", |json| {
        let package = &mut json["packages"][0];
        package["file"] = json!({"image": "registry.example/team/app/staging", "digest": DIGEST, "size": 24340});
        package["targets"][0]["tag"] = "1.2.0".into();
        package["targets"][0]["distro"] = "".into();
        package["targets"][0]["public"] = json!({"url": "https://registry.example", "repository": "team/app"});
    });
    let page = target_page(&image, &json!([]), &[]);
    for shown in [
        "docker pull registry.example/team/app:1.2.0",
        "/targets/tug-jammy/1.2.0\"",
        "tug-jammy · :1.2.0",
        "in all its blobs",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(!page.contains("target-public"), "a registry has no page");
}

#[test]
fn every_attempt_is_shown_with_what_was_done_and_how_it_ended() {
    let attempts = json!([
        {"number": 1, "approval": 3, "began_at": "2026-11-23T09:40:00.000Z", "ended_at": "2026-11-23T09:40:30.000Z", "act": "copy",
         "ended": "upload-refused",
         "problem": {"code": "upload-refused", "what": "It answered 502.", "public": "none", "retry": "automatic", "next": "Nobody."}},
        {"number": 2, "approval": 3, "began_at": "2026-11-23T09:41:00.000Z", "ended_at": "2026-11-23T09:41:07.000Z", "act": "move",
         "ended": "accepted"},
    ]);
    let page = target_page(&release("released", |_| {}), &attempts, &[]);
    for shown in [
        "Attempts (2)",
        "copied the bytes",
        "It answered 502.",
        "<code>upload-refused</code>",
        "asked the server to move the file",
        "accepted",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
}

/// What a target's page says was done, newest first.
fn timeline(page: &str) -> Vec<&str> {
    let timeline = page.split("id=\"target-timeline\"").nth(1).expect("the timeline");
    timeline.split("class=\"o-action\">").skip(1).filter_map(|rest| rest.split('<').next()).collect()
}

#[test]
fn the_timeline_of_a_target_has_what_was_done_to_it_and_to_its_release_and_nothing_of_others() {
    let rows = [
        row(9, "released", "1.2.0/tug-jammy", &json!({"distro": "ubuntu/jammy"})),
        row(8, "failed", "1.2.0/tug-jammy", &json!({"distro": "ubuntu/noble"})),
        row(7, "approved", "1.2.0/tug-jammy", &json!({"distros": ["ubuntu/jammy", "ubuntu/noble"]})),
        row(6, "missing", "1.2.0/tug-noble", &json!({"distro": "ubuntu/jammy"})),
        row(5, "overridden", "1.2.0/tug-jammy", &json!({"tags": ["1.2.0"]})),
        row(4, "held", "1.2.0", &json!({"reason": "waits for the notes"})),
        row(3, "closed", "1.1.0", &json!({})),
    ];
    let page = target_page(&release("released", |_| {}), &json!([]), &rows);
    assert_eq!(timeline(&page), ["released", "approved", "held"]);
    assert!(page.contains("waits for the notes"), "{page}");
}

#[test]
fn the_timeline_of_a_target_has_what_was_done_to_its_release_where_that_means_its_package() {
    let rows = [
        row(9, "lifted", "1.2.0", &json!({"keys": ["tug-noble", "tug-jammy"], "reason": "they are written"})),
        row(8, "lifted", "1.2.0", &json!({"keys": ["tug-noble"], "reason": "of another"})),
        row(7, "overridden", "1.2.0", &json!({"keys": ["tug-jammy"], "gates": ["freeze"], "reason": "it is urgent"})),
        row(6, "extended", "1.2.0", &json!({"keys": null, "until": "2026-12-01T00:00:00.000Z", "reason": "the audit"})),
        row(5, "held", "1.2.0", &json!({"reason": "waits for the notes"})),
        row(4, "planned", "1.2.0", &json!({"keys": ["tug-noble"], "pipeline": 31, "sha": "aa"})),
    ];
    let page = target_page(&release("staged", |_| {}), &json!([]), &rows);
    assert_eq!(timeline(&page), ["lifted", "overridden", "extended", "held"]);
    assert!(page.contains("extended</b> <span>(the whole release) "), "{page}");
    assert!(page.contains("held</b> <span>(the whole release) "), "{page}");
    assert_eq!(page.matches("(the whole release)").count(), 2, "{page}");
}

#[test]
fn the_timeline_of_a_target_says_when_slipway_was_stopped_until_the_target_was_settled() {
    let at = |sequence: u64, action: &str, subject: &str, at: &str| {
        let mut row = row(sequence, action, subject, &json!({"reason": "the disk is full"}));
        row["at"] = format!("2026-11-23T{at}:00.000Z").into();
        row
    };
    // The target is in its state since 09:41:07.
    let rows = [
        at(9, "stopped", "project", "09:59"),
        at(8, "started", "everything", "09:30"),
        at(7, "stopped", "everything", "09:20"),
    ];
    for (state, told) in [
        ("staged", &["stopped", "started", "stopped"][..]),
        ("failed", &["stopped", "started", "stopped"]),
        ("released", &["started", "stopped"]),
        ("withdrawn", &["started", "stopped"]),
        ("skipped", &["started", "stopped"]),
    ] {
        let page = target_page(&release(state, |_| {}), &json!([]), &rows);
        assert_eq!(timeline(&page), told, "{state}");
        assert!(page.contains("(everything) "), "{state}: {page}");
        assert_eq!(page.contains("(the project) "), told.len() == 3, "{state}");
    }
}

#[test]
fn while_slipway_is_stopped_or_a_gate_is_closed_a_targets_page_sends_nobody_to_the_job() {
    let staged = |change: fn(&mut Value)| {
        target_page(
            &release("staged", |json| {
                json["packages"][0]["targets"][0].as_object_mut().expect("a target").remove("approval");
                change(json);
            }),
            &json!([]),
            &[],
        )
    };
    assert!(staged(|_| {}).contains("Its manual job releases it: <code>release: [tug-jammy]</code> in pipeline 4411"));
    let stopped = staged(|json| {
        json["stopped"] = json!({"by": "mira", "reason": "the disk is full", "at": "2026-11-23T10:01:00.000Z"});
    });
    assert!(
        stopped.contains("Slipway was stopped by mira ") && !stopped.contains("Its manual job releases it"),
        "{stopped}"
    );
    let frozen = staged(|json| {
        json["packages"][0]["blocked"] =
            json!([{"gate": "freeze", "why": "No releases on Fridays.", "until": "2026-11-24T08:00:00.000Z"}]);
    });
    for shown in ["Blocked</span> No releases on Fridays.", "It opens by itself ", "Once nothing blocks it"] {
        assert!(frozen.contains(shown), "{shown} in {frozen}");
    }
}

#[test]
fn whoever_reads_only_because_anybody_may_is_not_led_to_what_only_those_who_belong_to_the_project_are_answered() {
    let release = release("staged", |_| {});
    let package = release.packages.first().expect("a package");
    let target = package.targets.first().expect("a target");
    let history: TargetHistory = parsed(json!({"key": package.key, "target": target, "attempts": []}));
    for (is_outsider, count) in [(false, 1), (true, 0)] {
        let reader = Reader { is_outsider, ..Reader::default() };
        for page in [
            page::release(&release, &page::Beside::default(), &slipway_view::filter::Filter::default(), &reader)
                .into_string(),
            page::target(&release, &history, &[], &reader).into_string(),
        ] {
            assert_eq!(page.matches("/p/tug/r/1.2.0/against").count(), count, "{page}");
            assert!(!page.contains(" ·  · "), "{page}");
        }
    }
}

#[test]
fn whoever_may_is_led_to_the_forms_that_hold_a_package_let_it_go_and_keep_it_for_longer() {
    let page_for = |may: &[Act], change: fn(&mut Value)| {
        let release = release("staged", change);
        let package = release.packages.first().expect("a package");
        let target = package.targets.first().expect("a target");
        let history: TargetHistory = parsed(json!({"key": package.key, "target": target, "attempts": []}));
        page::target(&release, &history, &[], &Reader { may, ..Reader::default() }).into_string()
    };
    let expires =
        |json: &mut Value| json["packages"][0]["targets"][0]["expires_at"] = "2026-11-24T08:04:11.000Z".into();
    let held = |json: &mut Value| {
        json["holds"] = json!([{"key": "tug-jammy", "by": "mira", "reason": "waits for the notes", "at": "2026-11-23T09:00:00.000Z"}]);
    };
    let all = [Act::Hold, Act::Lift, Act::Extend, Act::Close];
    let offered = |page: &str| -> Vec<String> {
        page.split("data-act=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    assert_eq!(offered(&page_for(&all, |_| {})), ["hold"]);
    assert_eq!(offered(&page_for(&all, expires)), ["hold", "extend"]);
    assert_eq!(offered(&page_for(&all, held)), ["lift"]);
    assert_eq!(offered(&page_for(&[Act::Extend], expires)), ["extend"]);
    assert_eq!(offered(&page_for(&[], expires)), Vec::<String>::new());
    assert!(page_for(&all, expires).contains("href=\"/p/tug/r/1.2.0/extend?keys=tug-jammy\""));
    let closed = page_for(&all, |json| {
        json["closed"] = json!({"by": "mira", "reason": "given up", "at": "2026-11-23T09:00:00.000Z"});
    });
    assert_eq!(offered(&closed), Vec::<String>::new());
}

#[test]
fn the_front_page_says_that_it_may_lack_projects_while_gitlab_does_not_answer_whose_they_are() {
    let says = |is_untold| {
        let page =
            page::overview(&[glance(|_| {})], &[], &[], &Reader { is_untold, ..Reader::default() }).into_string();
        page.contains("GitLab does not answer to which projects you belong")
    };
    assert_eq!([says(true), says(false)], [true, false]);
}

#[test]
fn the_front_page_says_what_is_under_way_and_what_needs_somebody_and_leads_there() {
    let page = page::overview(&[glance(|_| {})], &[], &[], &Reader::default()).into_string();
    for shown in [
        "One release is under way. One target needs you.",
        "Needs you (1)",
        "href=\"/p/tug/r/1.2.0/t/tug-jammy/ubuntu/jammy\"",
        "The public place answered 502.",
        "Running now (1)",
        "tug 1.2.0 is out for 1 of 3 packages.",
        "1 of 3 packages released, 1 ready",
        "icon-alarm.svg",
        "<title>1 need you · Slipway</title>",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let open =
        page.split("id=\"open\"").nth(1).and_then(|rest| rest.split("id=\"projects\"").next()).expect("it is there");
    assert!(!open.contains("1.1.4"), "what is over is not under way: {open}");
}

#[test]
fn the_front_page_has_what_is_broken_first_and_says_who_acts_next() {
    let page = page::overview(
        &[glance(|json| {
            json["releases"][0]["needs"][0]["next"] = "Operator: look at the public place.".into();
            json["releases"].as_array_mut().expect("releases").insert(0, json!({
                "version": "1.3.0", "state": "expected", "verdict": "tug 1.3.0 is not out.", "released": 0, "all": 1, "ready": 1,
                "changed_at": "2026-11-23T10:00:00.000Z", "moving": [],
                "needs": [{"version": "1.3.0", "key": "tug-noble", "target": "ubuntu/noble", "state": "staged",
                           "expires_at": "2026-11-24T07:10:00.000Z", "since": "2026-11-10T09:41:07.123Z"}],
            }));
        })],
        &[],
        &[],
        &Reader::default(),
    )
    .into_string();
    in_order(
        &page,
        &[
            "Needs you (2)",
            "The public place answered 502.",
            "Operator: look at the public place.",
            "Its staged copy is deleted ",
        ],
    );
    in_order(&page, &["2026-11-24 07:10 UTC", "unless it is released before or somebody keeps it"]);
    // The card says what its sentence says: a failure is not “Staged”.
    in_order(&page, &["Under way (2)", ">tug 1.2.0</a>", "chip broken failed", ">tug 1.3.0</a>", "Not staged yet"]);
}

#[test]
fn the_page_of_a_project_leads_to_its_activity_and_its_deployments() {
    let of = |reader: &Reader<'_>| page::project(&glance(|_| {}), &activity_of(&[], None), reader).into_string();
    let page = of(&Reader::default());
    for way in ["href=\"/p/tug/activity\"", "href=\"/p/tug/deployments\"", "action=\"/search\""] {
        assert!(page.contains(way), "{way} in {page}");
    }
    let outside = of(&Reader { is_public: true, ..Reader::default() });
    assert!(!outside.contains("/p/tug/activity"), "{outside}");
}

#[test]
fn the_page_of_a_target_says_why_before_it_leads_elsewhere() {
    let failed = release("failed", |json| {
        json["packages"][0]["targets"][0]["problem"] = json!({
            "code": "refused", "what": "It answered 502.", "public": "none", "retry": "safe", "next": "Operator: mend it.",
        });
    });
    let failed = target_page(&failed, &json!([]), &[]);
    let job = "href=\"https://gitlab.example/j/8812\"";
    in_order(
        &failed,
        &[
            "chip broken failed",
            "It answered 502.",
            "untouched",
            "is safe",
            "Operator: mend it.",
            job,
            "Pipeline 4411",
            "Bytes",
        ],
    );
    assert_eq!(failed.matches(job).count(), 1, "one way there is enough: {failed}");
    let released = target_page(&release("released", |_| {}), &json!([]), &[]);
    in_order(&released, &["chip done released", "What happens next", job, "Install it"]);
}

#[test]
fn at_rest_the_front_page_says_what_was_released_last_and_when() {
    let quiet = glance(|json| {
        json["releases"].as_array_mut().expect("a list").retain(|release| release["state"] == "complete");
    });
    let page = page::overview(&[quiet], &[], &[], &Reader::default()).into_string();
    assert!(page.contains("Nothing is being released. Last: <a id=\"last\" href=\"/p/tug/r/1.1.4\">tug 1.1.4</a>, complete, 2026-11-20 08:00 UTC."), "{page}");
    assert!(!page.contains("Needs you") && !page.contains("icon-alarm"), "{page}");
    let none = page::overview(&[], &[], &[], &Reader::default()).into_string();
    assert!(none.contains("No project yet.") && none.contains("[[projects]]"), "{none}");
    let first = glance(|json| json["releases"] = json!([]));
    assert!(
        page::project(&first, &activity_of(&[], None), &Reader::default())
            .into_string()
            .contains("slipway plan KEY=DISTRO")
    );
}

#[test]
fn while_a_project_is_stopped_nobody_is_sent_to_its_jobs() {
    let stopped = glance(|json| {
        json["stopped"] = json!({"by": "mira", "reason": "the disk is full.", "at": "2026-11-23T10:01:00.000Z"});
    });
    let page = page::overview(&[stopped], &[], &[], &Reader::default()).into_string();
    assert!(page.contains("mira stopped it ") && page.contains(": the disk is full. An operator"), "{page}");
    assert!(!page.contains("ready: their manual jobs"), "{page}");
}

#[test]
fn the_last_events_of_all_projects_are_in_the_order_of_time() {
    let mut other = activity_of(&[row(3, "held", "2.0.0", &json!({}))], None);
    (other.project.id, other.project.name) = (1002, "pilot".to_owned());
    other.rows[0].at = "2026-11-23T09:41:08.000Z".to_owned();
    let rows: Vec<Value> = (1..=30)
        .rev()
        .map(|number| row(number, "released", "1.2.0/tug-jammy", &json!({"distro": "ubuntu/jammy"})))
        .collect();
    let page =
        page::overview(&[glance(|_| {})], &[activity_of(&rows, None), other], &[], &Reader::default()).into_string();
    let actions: Vec<&str> =
        page.split("class=\"o-action\">").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(actions.len(), 10);
    assert_eq!(actions[..2], ["held", "released"]);
    assert!(page.contains("pilot <a id=\"e-1002-3\" href=\"/p/pilot/r/2.0.0\">"), "{page}");
}

#[test]
fn without_scripts_a_page_with_a_form_of_several_fields_does_not_load_itself_again() {
    let reader = Reader::default();
    let form = page::activity(&activity_of(&[], None), &ActivityQuery::default(), &reader).into_string();
    assert!(form.matches("<input ").count() > 2 && !form.contains("http-equiv") && !form.contains("every minute"));
    let still = page::release(&release("staged", |_| {}), &page::Beside::default(), &Filter::default(), &reader);
    assert!(still.into_string().contains("<meta http-equiv=\"refresh\" content=\"60\">"));
}

#[test]
fn an_activity_leads_to_older_rows_and_to_csv_under_the_same_filter() {
    let rows =
        [row(9, "released", "1.2.0/tug-jammy", &json!({"distro": "ubuntu/jammy", "digest": DIGEST, "problem": null}))];
    let query = ActivityQuery { actor: Some("mira & co".into()), before: Some(10), ..ActivityQuery::default() };
    let page = page::activity(&activity_of(&rows, Some(4)), &query, &Reader::default()).into_string();
    for shown in [
        "href=\"/p/tug/activity?actor=mira%20%26%20co&amp;before=4\"",
        "href=\"/p/tug/activity?actor=mira%20%26%20co&amp;format=csv\"",
        "href=\"/p/tug/activity?actor=mira%20%26%20co\"",
        "value=\"mira &amp; co\"",
        "href=\"/p/tug/r/1.2.0/t/tug-jammy/ubuntu/jammy\">1.2.0/tug-jammy</a>",
        DIGEST,
        "One row; there are older ones.",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(!page.contains(">problem<"), "what is null is not said");
    let nothing = page::activity(&activity_of(&[], None), &query, &Reader::default()).into_string();
    assert!(nothing.contains("Nothing that was done matches the filter.") && !nothing.contains("id=\"older\""));
}

#[test]
fn rows_that_are_of_no_release_lead_nowhere() {
    for subject in ["project", "slipway.toml", "public:harbour/stable", "GET audit", "", "1.2.0 ", "../../x"] {
        let page = page::activity(
            &activity_of(&[row(1, "stopped", subject, &json!({}))], None),
            &ActivityQuery::default(),
            &Reader::default(),
        );
        assert!(!page.into_string().contains("id=\"of-1\""), "{subject}");
    }
}

#[test]
fn a_spreadsheet_takes_no_text_of_a_row_for_a_formula() {
    for hostile in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"] {
        let mut hostile_row = row(1, "refused", "1.2.0", &json!({}));
        for field in ["actor", "action", "subject", "details"] {
            hostile_row[field] = hostile.into();
        }
        let text = activity_of(&[hostile_row], None).csv();
        let cells = format!("\"'{hostile}\"");
        let expected = format!(
            "sequence,at,actor,action,subject,details\r\n1,2026-11-23T09:41:07.123Z,{cells},{cells},{cells},{cells}\r\n"
        );
        assert_eq!(text, expected, "{hostile:?}");
    }
    // RFC 4180: quotes are doubled, and commas and ends of lines stay inside of them.
    let csv = activity_of(&[row(2, "held", "1.2.0", &json!({"reason": "a \"b\", c"}))], None).csv();
    assert!(
        csv.ends_with("\"job:81 user:mira\",\"held\",\"1.2.0\",\"{\"\"reason\"\":\"\"a \\\"\"b\\\"\", c\"\"}\"\r\n"),
        "{}",
        csv
    );
}

#[test]
fn what_runs_now_is_told_from_what_ran_before() {
    let row = |environment: &str, version: &str, is_current: bool| {
        json!({"environment": environment, "version": version, "at": "2026-11-23T09:41:07.123Z", "is_current": is_current,
            "by": "job:92 user:mira", "pipeline_url": "https://gitlab.example/p/5310"})
    };
    let view = deployments_of(&json!([row("production", "1.1.4", true), row("production", "1.1.3", false)]));
    let page = page::deployments(&view, &Reader::default()).into_string();
    let (now, before) = page.split_once("id=\"before-title\"").expect("both are there");
    assert!(now.contains("/r/1.1.4\"") && !now.contains("1.1.3") && now.contains(">mira<"), "{now}");
    assert!(before.contains("/r/1.1.3\"") && before.contains("https://gitlab.example/p/5310"), "{before}");
    let empty = page::deployments(&deployments_of(&json!([])), &Reader::default()).into_string();
    assert!(empty.contains("Nobody has said that anything runs anywhere."));
}

#[test]
fn what_would_change_for_users_is_said_of_each_package() {
    let file = |version: &str, digit: &str, size: u64, on: &[&str]| {
        json!({"version": version, "name": format!("tug_{version}_amd64.deb"), "digest": format!("sha256:{}", digit.repeat(64)), "size": size,
            "depends": if on.is_empty() { Value::Null } else { json!([{"context": "depends", "on": on}]) }})
    };
    let view = against_of(
        Some("1.1.4"),
        &json!([
            {"key": "changed", "public": file("1.1.4", "1", 1000, &["libc6", "libssl3"]), "staged": file("1.2.0", "2", 900, &["libc6", "libssl3t64"])},
            {"key": "same", "public": file("1.1.4", "3", 10, &[]), "staged": file("1.2.0", "3", 10, &[])},
            {"key": "new", "staged": file("1.2.0", "4", 10, &[])},
            {"key": "gone", "public": file("1.1.4", "5", 10, &[])},
        ]),
    );
    let page = page::against(&view, &Reader::default()).into_string();
    for shown in [
        "Against 1.1.4: 1 changed, 1 new, 1 with the same bytes, 1 not staged any more.",
        "(−100 bytes)",
        "<span class=\"unseen\">added: </span></b><span class=\"quiet\">depends</span> <code>libssl3t64</code>",
        "<span class=\"unseen\">left out: </span></b><span class=\"quiet\">depends</span> <code>libssl3</code>",
        "1 as before",
        "href=\"/p/tug/r/1.2.0/against?key=new#a-new\"",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let first = page::against(
        &against_of(None, &json!([{"key": "a", "staged": file("1.2.0", "4", 10, &[])}])),
        &Reader::default(),
    );
    assert!(first.into_string().contains("No earlier release is public, so this package is new."));
}

#[test]
fn the_status_says_how_old_each_source_is_and_what_is_the_matter() {
    let view: Standing = parsed(json!({
        "build": "0.6.0", "at": "2026-11-23T10:04:11.000Z",
        "projects": [{
            "project": {"id": 1001, "name": "tug"}, "hints_open": 2, "oldest_hint_at": "2026-11-23T10:03:41.000Z", "sockets": 3,
            "sources": [
                {"read_at": "2026-11-23T10:04:01.000Z"},
                {"place": "public", "read_at": "2026-11-23T09:34:11.000Z", "trouble": "It answered 503."},
                {"place": "staging"},
                {"place": "gitlab"},
            ],
        }],
    }));
    let page = page::status(&view, &[], &Reader::default()).into_string();
    for shown in [
        "One source could not be read when it was last asked. 2 webhooks wait.",
        ", 30 s before this was read",
        ", 10 s before this was read",
        ", 30 min before this was read",
        "It answered 503.",
        "None has come yet.",
        // A place may be called so, too: GitLab has a registry.
        r#"scope="row">GitLab</th>"#,
        r#"scope="row">gitlab</th>"#,
        "Slipway 0.6.0",
        "icon-alarm.svg",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
}

#[test]
fn a_search_finds_a_target_by_any_name_of_its_architecture_and_its_distro() {
    let of = |key: &str, distro: &str, architecture: &str| {
        let mut package = json!({
            "key": key, "architecture": architecture, "pipeline_id": 4411, "release_job": "release", "file": null,
            "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"}, "targets": [],
        });
        package["targets"] = json!([{
            "distro": distro, "state": "released", "since": "2026-11-23T09:41:07.123Z",
            "public": {"url": "https://packages.example", "repository": "harbour/stable"},
        }]);
        package
    };
    let release = release("staged", |json| {
        json["packages"] = json!([
            of("tug-el-9-arm64", "el/9", "aarch64"),
            of("tug-el-9-amd64", "el/9", "x86_64"),
            of("tug-jammy", "ubuntu/jammy", "amd64")
        ]);
    });
    let keys = |words: &str| -> Vec<String> {
        page::found_in(words, &release).into_iter().map(|(_, target)| target.key.to_string()).collect()
    };
    for (words, expected) in [
        ("el9 arm64 1.2.0", vec!["tug-el-9-arm64"]),
        ("EL/9 aarch64", vec!["tug-el-9-arm64"]),
        ("v1.2.0 x86_64 el9", vec!["tug-el-9-amd64"]),
        ("jammy", vec!["tug-jammy"]),
        ("tug el/9", vec!["tug-el-9-arm64", "tug-el-9-amd64"]),
        ("noble", vec![]),
    ] {
        assert_eq!(keys(words), expected, "{words}");
    }
    let page = page::search("el9 arm64", &page::found_in("el9 arm64", &release), &[], &Reader::default()).into_string();
    assert!(page.contains("Released: tug 1.2.0 for el/9.") && page.contains("/t/tug-el-9-arm64/el/9\""), "{page}");
}

#[test]
fn a_search_answers_how_many_of_what_it_found_are_out() {
    let of = |state: &str| {
        let found = page::found_in("jammy", &release(state, |_| {}));
        found.into_iter().next().expect("a target")
    };
    for (states, said) in [
        (&["released", "released"][..], "All 2 targets that were found are released."),
        (&["released", "released", "failed"], "2 of the 3 targets that were found are released."),
        (&["released", "failed"], "1 of the 2 targets that were found is released."),
        (&["staged", "failed"], "None of the 2 targets that were found is released."),
        (&["released"], "Released: tug 1.2.0 for ubuntu/jammy."),
        (&[], "Nothing was found."),
    ] {
        let found: Vec<_> = states.iter().map(|state| of(state)).collect();
        let page = page::search("jammy", &found, &[], &Reader::default()).into_string();
        assert!(page.contains(said), "{said} in {page}");
    }
}

#[test]
fn a_search_without_a_version_looks_at_what_is_under_way_first() {
    let versions = |words: &str| -> Vec<String> {
        page::releases_to_search(words, &glance(|_| {})).iter().map(ToString::to_string).collect()
    };
    assert_eq!(versions("el9 arm64"), ["1.2.0", "1.1.4"]);
    assert_eq!(versions("el9 v0.9.1"), ["0.9.1"]);
    assert_eq!(versions("opensuse/15.6"), ["1.2.0", "1.1.4"], "a distro version is no version");
}

#[test]
fn what_stands_beside_a_state_is_explained_too() {
    let page = page::help_states(&Reader::default()).into_string();
    for code in ["unknown", "drift", "blocked", "expires", "overdue", "lapsed", "stopped"] {
        assert!(page.contains(&format!("<div id=\"{code}\">")), "{code}");
    }
}

//! What every page promises, whatever is written into it.

use serde_json::{Value, json};
use slipway_core::api::{ActivityRow, ProblemDetails, Release, Source};
use slipway_core::release::TargetState;
use slipway_view::filter::Filter;
use slipway_view::{
    page::{self, Act, Beside, Form, Reader},
    section,
};

fn release(state: &str, change: impl FnOnce(&mut Value)) -> Release {
    let mut json = json!({
        "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "sequence": 7, "state": "staged",
        "verdict": "tug 1.2.0 has one target.", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d", "url": "https://gitlab.example/p/4411"}],
        "packages": [{
            "key": "tug-jammy", "pipeline_id": 4411, "release_job": "release: [tug-jammy]",
            "file": {"filename": "tug_1.2.0_amd64.deb", "digest": format!("sha256:{}", "ab".repeat(32)), "size": 24340},
            "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
            "targets": [{
                "distro": "ubuntu/jammy", "state": state, "since": "2026-11-23T09:41:07.123Z",
                "public": {"url": "https://packages.example", "repository": "harbour/stable"},
                "approval": {"by": "mira", "via": "webhook", "at": "2026-11-23T09:40:00.000Z", "job_url": "https://gitlab.example/j/8812"},
            }],
        }],
    });
    change(&mut json);
    serde_json::from_value(json).expect("a release's JSON")
}

fn html(release: &Release) -> String {
    page::release(release, &Beside::default(), &Filter::default(), &Reader::default()).into_string()
}

fn row(release: &Release) -> String {
    let (package, target) = section::targets(release).next().expect("one target");
    section::row(release, package, target, &Filter::default()).html.into_string()
}

/// Somebody who may do everything.
fn manager() -> Reader<'static> {
    Reader { name: Some("mira"), may: &[Act::Hold, Act::Lift, Act::Extend, Act::Close], ..Reader::default() }
}

fn cell(release: &Release) -> String {
    let (package, target) = section::targets(release).next().expect("one target");
    section::cell(release, package, target, &Filter::default()).html.into_string()
}

/// Every page, with the given text wherever somebody else's text can be.
fn pages_with(text: &str) -> Vec<String> {
    page::{self, Act, Beside, Form, Reader},
    let problem = ProblemDetails { kind: text.into(), title: text.into(), status: 502, detail: text.into() };
    page::{self, Act, Beside, Form, Reader},
        page::not_found(text, &Reader::default()).into_string(),
        page::unauthorised(text, &Reader::default()).into_string(),
        page::error(&problem, &Reader::default()).into_string(),
        page::help_states(&Reader::default()).into_string(),
    ];
    pages.extend(forms);
    pages
}

/// A form that nobody has filled in.
fn form(act: Act, release: &Release) -> Form<'_> {
    Form {
        act,
        project: "tug",
        version: "1.2.0",
        release: Some(release),
        keys: &[],
        reason: "",
        until: "",
        seen_at: None,
        refused: None,
    }
}

#[test]
fn every_state_is_a_word_beside_a_glyph() {
    for state in TargetState::ALL {
        let row = row(&release(state.code(), |_| {}));
        let label = format!("<use href=\"#g-{}\"></use></svg>{}</span>", state.code(), state.words());
        assert!(row.contains(&label), "{row}");
        assert!(page::help_states(&Reader::default()).into_string().contains(&format!("id=\"{}\"", state.code())));
    }
}

#[test]
fn a_rows_id_stays_the_same_in_every_state() {
    for state in TargetState::ALL {
        assert!(row(&release(state.code(), |_| {})).contains(" id=\"t-tug-jammy-ubuntu-jammy\""));
    }
}

#[test]
fn a_mark_changes_with_what_is_shown_and_with_nothing_else() {
    let mark = |release: &Release| {
        let (package, target) = section::targets(release).next().expect("one target");
        section::row(release, package, target, &Filter::default()).mark
    };
    let before = mark(&release("staged", |_| {}));
    assert_eq!(mark(&release("staged", |json| json["sequence"] = 8.into())), before);
    assert_ne!(mark(&release("approved", |_| {})), before);
    assert_ne!(
        mark(&release("staged", |json| json["packages"][0]["targets"][0]["approval"]["by"] = "jonas".into())),
        before
    );
}

#[test]
fn no_text_becomes_markup() {
    for page in pages_with("\"'><script>alert(1)</script><img src=x onerror=alert(1)>") {
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
    }
}

#[test]
fn nothing_invisible_is_left_in_a_page() {
    for page in pages_with("tug\u{202e}gnp.deb\u{200b}\u{7}") {
        // A query and data attributes keep the text itself; people do not see them.
        for seen in page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text) {
            assert!(!seen.chars().any(|c| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c)), "{seen:?}");
        }
    }
}

#[test]
fn only_web_addresses_are_linked() {
    for text in
        ["javascript:alert(1)", "JaVaScRiPt://%0aalert(1)", "data:text/html,<script>", "vbscript:x", " https://a"]
    {
        for page in pages_with(text) {
            for address in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(address.starts_with(['/', '#']) || address.starts_with("https://"), "{address}");
            }
        }
    }
}

#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for page in pages_with("tug") {
        for forbidden in [" style=", "<style", " onclick", " onload", " onerror", "javascript:", "src=\"http", "//cdn"]
        {
            assert!(!page.contains(forbidden), "{forbidden} in {page}");
        }
        assert!(
            page.split("<script")
                .skip(1)
                .all(|script| script.starts_with(" type=\"module\" src=\"/assets/boot.js\"></script>"))
        );
    }
}

#[test]
fn a_page_names_the_files_of_its_build_and_where_it_knows_of_none_those_that_are_there() {
    let of = |assets| Reader { assets, ..Reader::default() };
    for (assets, folder) in [("3f9a1c20e55d", "/assets/3f9a1c20e55d/"), ("", "/assets/")] {
        let page = page::release(&release("released", |_| {}), &Beside::default(), &Filter::default(), &of(assets))
            .into_string();
        for name in ["style.css", "boot.js", "dashboard.js", "dashboard_bg.wasm"] {
            assert!(page.contains(&format!("\"{folder}{name}\"")), "{name} in {page}");
        }
        // The browser changes it, and knows of no build.
        assert!(page.contains("\"/assets/icon.svg\""), "{page}");
    }
}

#[test]
fn a_failure_record_is_shown_whole() {
    let page = html(&release("failed", |json| {
        json["packages"][0]["targets"][0]["problem"] = json!({
            "code": "upload-refused", "what": "The public place answered 502.", "public": "none", "retry": "safe",
            "next": "Release manager: play `release: [tug]` again.",
            "evidence": {"host": "packages.example", "status": 502, "request_id": "5f2c-11"},
        });
    }));
    let needs =
        page.split("id=\"needs\"").nth(1).and_then(|rest| rest.split("</section>").next()).expect("the section");
    for shown in [
        "Needs you (1)",
        "The public place answered 502.",
        "<dt>Public</dt><dd>untouched</dd>",
        "<dt>Trying again</dt><dd>is safe</dd>",
        "Release manager: play <code>release: [tug]</code> again.",
        "<code>upload-refused</code>",
        "<dt>Evidence</dt><dd>packages.example answered 502, request <code>5f2c-11</code></dd>",
        "href=\"https://gitlab.example/j/8812\"",
    ] {
        assert!(needs.contains(shown), "{shown} in {needs}");
    }
    assert!(page.contains("icon-alarm.svg"));
}

#[test]
fn what_is_overdue_needs_somebody_and_what_is_retried_does_not() {
    for (state, retry, needs) in [
        ("expected", "safe", true),
        ("staged", "useless", true),
        ("releasing", "automatic", false),
        ("skipped", "useless", false),
        ("missing", "automatic", true),
    ] {
        let release = release(state, |json| {
            json["packages"][0]["targets"][0]["problem"] =
                json!({"code": "c", "what": "w", "public": "none", "retry": retry, "next": "n"});
        });
        assert_eq!(section::is_alarming(&release), needs, "{state} {retry}");
    }
}

#[test]
fn time_and_person_are_there_without_scripts() {
    let row = row(&release("released", |_| {}));
    let when = "<time datetime=\"2026-11-23T09:41:07.123Z\">2026-11-23 09:41 UTC</time> by mira";
    assert!(row.contains(when), "{row}");
}

#[test]
fn a_copy_shows_its_bytes_its_rate_what_is_left_and_how_often_it_was_tried() {
    let copying = |step: &str, bytes: Option<u64>| {
        cell(&release("releasing", |json| {
            json["packages"][0]["file"]["size"] = 456_000_000.into();
            let target = &mut json["packages"][0]["targets"][0];
            target["step"] = step.into();
            target["attempts"] = 2.into();
            target["bytes"] = bytes.into();
            target["pace"] = json!({"bytes_per_second": 1_700_000, "ends_at": "2026-11-23T10:07:31.000Z"});
        }))
    };
    let row = copying("copy", Some(123_000_000));
    for shown in ["copying the bytes (2 of 3)", "123.0 of 456.0 MB (26 %), 1.7 MB/s, 3 min left", "attempt 2"] {
        assert!(row.contains(shown), "{shown} in {row}");
    }
    assert!(!copying("copy", None).contains(" of 456.0 MB"), "nothing is known yet");
    assert!(!copying("index", Some(456_000_000)).contains(" of 456.0 MB"), "there is nothing left to send");
}

#[test]
fn a_move_and_a_carried_copy_are_told_from_a_plain_copy() {
    for (step, words) in
        [("move", "moved by the server (2 of 3)"), ("carry", "a long copy, carried by its release job (2 of 3)")]
    {
        let row = row(&release("releasing", |json| json["packages"][0]["targets"][0]["step"] = step.into()));
        assert!(row.contains(words), "{words} in {row}");
    }
}

#[test]
fn what_somebody_else_published_is_said_to_be_released_outside() {
    let outside =
        |outside: bool| row(&release("released", |json| json["packages"][0]["targets"][0]["outside"] = outside.into()));
    assert!(outside(true).contains("released outside"));
    assert!(!outside(false).contains("released outside"));
}

#[test]
fn a_cell_says_the_hour_of_today_and_the_day_of_before() {
    let since = |at: &str| cell(&release("released", |json| json["packages"][0]["targets"][0]["since"] = at.into()));
    assert!(since("2026-11-23T09:41:07Z").contains("\">09:41</time>"), "{}", since("2026-11-23T09:41:07Z"));
    assert!(since("2026-11-02T23:59:07Z").contains("\">2 Nov</time>"), "{}", since("2026-11-02T23:59:07Z"));
}

/// A staged target whose staged copy goes at a moment.
fn expiring(at: &str) -> Release {
    release("staged", |json| {
        let target = json["packages"][0]["targets"][0].as_object_mut().expect("a target");
        target.remove("approval");
        target.insert("expires_at".into(), at.into());
    })
}

#[test]
fn what_is_announced_says_how_long_its_staged_copy_is_kept_and_nothing_else_does() {
    for shown in [row(&expiring("2026-12-01T10:04:12.000Z")), cell(&expiring("2026-12-01T10:04:12.000Z"))] {
        let left = "deleted <time datetime=\"2026-12-01T10:04:12.000Z\">in 8 d</time>";
        assert!(shown.contains(left), "{shown}");
    }
    assert!(!cell(&release("staged", |_| {})).contains("deleted"));
    // What is public stays public, whatever becomes of staging.
    let released =
        |json: &mut Value| json["packages"][0]["targets"][0]["expires_at"] = "2026-12-01T10:00:00.000Z".into();
    assert!(!cell(&release("released", released)).contains("deleted"));
}

#[test]
fn what_goes_within_a_day_needs_somebody_and_what_goes_later_does_not() {
    for (at, needs, left) in [
        ("2026-11-24T07:04:11.000Z", true, "in 21 h"),
        ("2026-11-24T10:04:11.000Z", true, "in 24 h"),
        ("2026-11-24T10:04:12.000Z", false, "in 24 h"),
        ("2026-11-29T10:04:12.000Z", false, "in 6 d"),
    ] {
        let release = expiring(at);
        assert_eq!(section::is_alarming(&release), needs, "{at}");
        let page = html(&release);
        assert_eq!(page.contains("Needs you (1)") && page.contains("Its staged copy is deleted"), needs, "{page}");
        assert!(page.contains(left), "{left} in {page}");
    }
}

#[test]
fn the_page_says_when_what_is_on_its_way_will_be_released() {
    let page = html(&release("releasing", |json| {
        json["estimate"] =
            json!({"ends_at": "2026-11-23T10:12:30.000Z", "bytes_left": 333_000_000, "bytes_per_second": 700_000});
    }));
    let end = "What is on its way is released about 10:12:30 UTC, in 8 min: 333.0 MB left at 700.0 kB/s.";
    assert!(page.contains(end), "{page}");
    assert!(!html(&release("releasing", |_| {})).contains("What is on its way"));
}

/// Somebody has stopped Slipway.
fn stop(json: &mut Value) {
    json["stopped"] = json!({"by": "mira", "reason": "the disk is full.", "at": "2026-11-23T10:01:00.000Z"});
}

#[test]
fn while_slipway_is_stopped_the_page_says_why_nothing_can_be_released_and_leads_to_no_job() {
    let staged = |change: fn(&mut Value)| {
        release("staged", |json| {
            json["packages"][0]["targets"][0].as_object_mut().expect("a target").remove("approval");
            change(json);
        })
    };
    let runs = staged(|_| {});
    assert!(html(&runs).contains("Ready to release (1)") && html(&runs).contains("id=\"play-tug-jammy\""));

    let stopped = staged(stop);
    let needs = section::needs(&stopped).html.into_string();
    for words in
        ["Nothing can be released", "stopped by mira since ", ": the disk is full. An operator must start it first."]
    {
        assert!(needs.contains(words), "{words}: {needs}");
    }
    assert!(!needs.contains("eady to release") && !needs.contains("<a "), "{needs}");
    let shown = row(&stopped);
    assert!(shown.contains("Slipway is stopped") && !shown.contains("gitlab.example"), "{shown}");
    // A page that is open shows it, and shows when it is over.
    assert_ne!(section::needs(&runs).mark, section::needs(&stopped).mark);

    // What needs somebody is said as before, and the rest is still not called ready.
    let also_failed = staged(|json| {
        let mut failed = json["packages"][0]["targets"][0].clone();
        (failed["distro"], failed["state"]) = ("ubuntu/noble".into(), "failed".into());
        json["packages"][0]["targets"].as_array_mut().expect("targets").push(failed);
        stop(json);
    });
    let needs = section::needs(&also_failed).html.into_string();
    assert!(needs.contains("Needs you (1)") && needs.contains("Nothing can be released."), "{needs}");
    assert!(!needs.contains("eady to release"), "{needs}");

    // Nothing is left that somebody could wait for.
    let needs = section::needs(&release("released", stop)).html.into_string();
    assert!(needs.contains("Every package is released.") && !needs.contains("stopped"), "{needs}");
}

#[test]
fn while_slipway_is_stopped_no_end_is_promised() {
    let releasing = |is_stopped: bool| {
        html(&release("releasing", |json| {
            json["estimate"] = json!({"ends_at": "2026-11-23T10:24:11Z", "bytes_left": 333, "bytes_per_second": 7});
            if is_stopped {
                stop(json);
            }
        }))
    };
    assert!(releasing(false).contains("What is on its way") && !releasing(true).contains("What is on its way"));
}

#[test]
fn the_title_counts_what_the_verdict_counts() {
    let two = release("released", |json| {
        let mut other = json["packages"][0].clone();
        other["key"] = "tug-noble".into();
        other["targets"][0]["state"] = "staged".into();
        let mut skipped = json["packages"][0].clone();
        skipped["key"] = "tug-focal".into();
        skipped["targets"][0]["state"] = "skipped".into();
        json["packages"].as_array_mut().expect("a list").extend([other, skipped]);
    });
    assert_eq!(section::title(&two), "1/2 · 1.2.0 · tug");
    assert!(html(&two).contains("<title>1/2 · 1.2.0 · tug · Slipway</title>"));
}

#[test]
fn an_empty_release_says_how_it_fills() {
    let page = html(&release("staged", |json| json["packages"] = json!([])));
    assert!(page.contains("Nothing needs you") && page.contains("slipway plan KEY=DISTRO"), "{page}");
}
    page::{self, Act, Beside, Form, Reader},

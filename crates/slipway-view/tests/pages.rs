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
    let hostile = |is_stopped: bool| {
        release("failed", |json| {
            json["project"]["name"] = text.into();
            json["verdict"] = text.into();
            json["at"] = text.into();
            for field in ["ref", "sha", "url"] {
                json["pipelines"][0][field] = text.into();
            }
            let package = &mut json["packages"][0];
            package["release_job"] = text.into();
            package["file"]["filename"] = text.into();
            let target = &mut package["targets"][0];
            target["distro"] = text.into();
            target["since"] = text.into();
            target["public"] = json!({"url": text, "repository": text});
            target["approval"] = json!({"by": text, "via": text, "at": text, "job_url": text});
            target["attestation"] = text.into();
            let evidence = json!({"host": text, "status": 502, "request_id": text});
            target["problem"] = json!({
                "code": text, "what": text, "public": text, "retry": text, "next": text, "evidence": evidence,
            });
            target["expires_at"] = text.into();
            target["pace"] = json!({"bytes_per_second": 1, "ends_at": text});
            target["withdrawal"] =
                json!({"by": text, "reason": text, "at": text, "state": "under_way", "users": [text]});
            package["job_url"] = text.into();
            package["architecture"] = text.into();
            package["blocked"] = json!([{"gate": text, "why": text, "next": text, "until": text}]);
            // What is held and is not staged, and what is staged and is not held, are told in other places.
            let mut staged = package.clone();
            (staged["key"], staged["targets"][0]["state"]) = ("tug-staged".into(), "staged".into());
            staged["targets"][0]["problem"] = Value::Null;
            let mut withdrawn = staged.clone();
            (withdrawn["key"], withdrawn["targets"][0]["state"]) = ("tug-withdrawn".into(), "withdrawn".into());
            let mut releasing = staged.clone();
            (releasing["key"], releasing["targets"][0]["state"]) = ("tug-releasing".into(), "releasing".into());
            let mut image = staged.clone();
            image["key"] = "tug-image".into();
            (image["targets"][0]["distro"], image["targets"][0]["tag"]) = ("".into(), text.into());
            json["packages"].as_array_mut().expect("a list").extend([staged, withdrawn, releasing, image]);
            json["holds"] = json!([{"by": text, "reason": text, "at": text, "until": text}]);
            if is_stopped {
                json["stopped"] = json!({"by": text, "reason": text, "at": text});
            }
            json["estimate"] = json!({"ends_at": text, "bytes_left": 1, "bytes_per_second": 1});
        })
    };
    let row = json!([{"sequence": 1, "at": text, "actor": text, "action": text, "subject": text, "details": text}]);
    let activity: Vec<ActivityRow> = serde_json::from_value(row).expect("a row");
    let source = json!([{"place": text, "read_at": text, "trouble": text}]);
    let sources: Vec<Source> = serde_json::from_value(source).expect("a source");
    let beside = Beside { activity: &activity, sources: &sources };
    let shown = |is_stopped: bool, query: &str| {
        let filter = Filter { words: text.to_owned(), selected: Some(text.to_owned()), ..Filter::from_query(query) };
        page::release(&hostile(is_stopped), &beside, &filter, &manager()).into_string()
    };
    let forms = [Act::Hold, Act::Lift, Act::Extend, Act::Close].map(|act| {
        let held = release("failed", |json| {
            json["packages"][0]["file"]["filename"] = text.into();
            json["packages"][0]["targets"][0]["expires_at"] = text.into();
            json["holds"] = json!([{"by": text, "reason": text, "at": text, "until": text}]);
            json["closed"] = json!({"by": text, "reason": text, "at": text});
        });
        let form = Form {
            project: text,
            version: text,
            reason: text,
            until: text,
            seen_at: Some(text),
            refused: Some(text),
            ..form(act, &held)
        };
        page::act(&form, &Reader { name: Some(text), path: text, ..Reader::default() }).into_string()
    });
    let stranger = Reader { may_sign_in: true, path: text, ..Reader::default() };
    let problem = ProblemDetails { kind: text.into(), title: text.into(), status: 502, detail: text.into() };
    let mut pages = vec![
        page::not_signed_in(text, &stranger).into_string(),
        html(&hostile(false)),
        shown(false, "v=list"),
        shown(true, "v=matrix"),
        shown(false, &format!("v=matrix&line={text}&arch={text}")),
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
    let end = "What is on its way is released at about 10:12 UTC, in 8 min: 333.0 MB left at 700.0 kB/s.";
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
    for words in [
        "Nothing can be released",
        "Slipway was stopped by mira ",
        ": the disk is full. An operator must start it first.",
    ] {
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

/// What stands between `id="ID"` and the end of its element.
fn section_of<'a>(page: &'a str, id: &str, end: &str) -> &'a str {
    let from = page.split(&format!("id=\"{id}\"")).nth(1).expect("the section");
    from.split(end).next().expect("its end")
}

#[test]
fn what_can_be_released_leads_to_its_very_job_and_what_would_be_refused_leads_nowhere() {
    let job = "https://gitlab.example/harbour/tug/-/jobs/7701";
    let staged = |change: fn(&mut Value)| {
        section::needs(&release("staged", |json| {
            json["packages"][0]["job_url"] = job.into();
            json["packages"][0]["targets"][0].as_object_mut().expect("a target").remove("approval");
            change(json);
        }))
        .html
        .into_string()
    };
    let ready = staged(|_| {});
    assert!(ready.contains("Ready to release (1)") && ready.contains(&format!("href=\"{job}\"")), "{ready}");
    // The number of a job may not be known; its pipeline's is.
    let unknown = staged(|json| json["packages"][0]["job_url"] = Value::Null);
    assert!(unknown.contains("href=\"https://gitlab.example/p/4411\""), "{unknown}");
    assert!(unknown.contains("tug-jammy in pipeline 4411"), "{unknown}");

    let blocked = staged(|json| {
        json["packages"][0]["blocked"] = json!([{"gate": "soak", "why": "It has run for 2 of 24 hours.", "next": "wait until then, and play the release job."}]);
    });
    for words in ["1 may not be released yet.", "It has run for 2 of 24 hours. Next: wait until then", "tug-jammy"] {
        assert!(blocked.contains(words), "{words} in {blocked}");
    }
    assert!(!blocked.contains(job) && !blocked.contains("eady to release"), "{blocked}");

    // What needs somebody for another reason offers it no more than that.
    let expiring = |change: fn(&mut Value)| {
        let mut json = serde_json::to_value(expiring("2026-11-24T07:04:11.000Z")).expect("JSON");
        json["packages"][0]["job_url"] = "https://gitlab.example/harbour/tug/-/jobs/7701".into();
        change(&mut json);
        section::needs(&serde_json::from_value(json).expect("a release's JSON")).html.into_string()
    };
    assert!(expiring(|_| {}).contains(">Play in GitLab<"));
    assert!(!expiring(stop).contains(job), "{}", expiring(stop));
    let held = expiring(|json| json["packages"][0]["blocked"] = json!([{"gate": "hold", "why": "Held."}]));
    assert!(!held.contains(job) && held.contains("Open the pipeline in GitLab"), "{held}");
}

#[test]
fn reasons_that_are_the_same_are_said_once() {
    let needs = section::needs(&release("staged", |json| {
        json["packages"][0]["blocked"] = json!([{"gate": "freeze", "why": "It is frozen."}]);
        let one = json["packages"][0].clone();
        for number in 0..7 {
            let mut other = one.clone();
            other["key"] = format!("tug-{number}").into();
            json["packages"].as_array_mut().expect("a list").push(other);
        }
    }))
    .html
    .into_string();
    assert_eq!(needs.matches("It is frozen.").count(), 1, "{needs}");
    assert!(
        needs.contains("8 may not be released yet.")
            && needs.contains("tug-jammy, tug-0, tug-1, tug-2, tug-3 and 3 more")
    );
}

#[test]
fn many_ready_packages_are_folded_and_none_is_left_out() {
    let needs = section::needs(&release("staged", |json| {
        let one = json["packages"][0].clone();
        let many = (0..30).map(|number| {
            let mut other = one.clone();
            other["key"] = format!("tug-{number}").into();
            other
        });
        json["packages"] = many.collect();
    }))
    .html
    .into_string();
    assert!(needs.contains("Ready to release (30)") && needs.contains(">18 more</summary>"), "{needs}");
    assert_eq!(needs.matches("id=\"play-tug-").count(), 30);
}

#[test]
fn a_failure_can_be_copied_whole_as_markdown() {
    let page = html(&release("failed", |json| {
        json["packages"][0]["targets"][0]["problem"] = json!({
            "code": "refused", "what": "The public place answered 502 to `PUT`.", "public": "none", "retry": "safe",
            "next": "Release manager: play `release: [tug]` again.",
            "evidence": {"host": "packages.example", "status": 502, "request_id": "5f2c-11"},
        });
    }));
    let text = section_of(&page, "n-tug-jammy-ubuntu-jammy-text", "</pre>");
    let wanted = "**tug 1.2.0: tug-jammy, ubuntu/jammy: Failed** since 2026-11-23 09:41:07 UTC\n\
                  - The public place answered 502 to `PUT`.\n\
                  - Public: untouched\n\
                  - Trying again: is safe\n\
                  - Next: Release manager: play `release: [tug]` again.\n\
                  - Code: refused\n\
                  - Evidence: packages.example answered 502, request 5f2c-11\n\
                  - https://gitlab.example/j/8812\n";
    assert!(text.ends_with(wanted), "{text}");
    assert!(page.contains("data-copy=\"n-tug-jammy-ubuntu-jammy-text\""));
}

#[test]
fn whoever_gitlab_does_not_answer_about_reads_why_nothing_is_offered() {
    let acts = |release: &Release, is_untold| {
        let reader = Reader { name: Some("mira"), is_untold, ..Reader::default() };
        let page = page::release(release, &Beside::default(), &Filter::default(), &reader).into_string();
        section_of(&page, "acts", "</div>").to_owned()
    };
    let says = |text: &str| text.contains("GitLab does not answer what you may do here");
    let staged = release("staged", |_| {});
    assert!(says(&acts(&staged, true)));
    assert!(!says(&acts(&staged, false)));
    let complete = release("released", |json| json["state"] = "complete".into());
    assert!(!says(&acts(&complete, true)), "nobody would be offered anything");
}

#[test]
fn what_the_reader_may_do_and_what_makes_sense_is_offered_and_nothing_else() {
    let offered = |release: &Release, reader: &Reader<'_>| {
        let page = page::release(release, &Beside::default(), &Filter::default(), reader).into_string();
        let acts = section_of(&page, "acts", "</div>").to_owned();
        let codes = ["hold", "lift", "extend", "close"].into_iter().filter(|code| {
            let link = format!("data-act=\"{code}\" href=\"/p/tug/r/1.2.0/{code}\"");
            acts.contains(&link)
        });
        codes.collect::<Vec<_>>().join(" ")
    };
    let staged = release("staged", |_| {});
    assert_eq!(offered(&staged, &Reader::default()), "");
    assert_eq!(offered(&staged, &manager()), "hold close");
    assert_eq!(offered(&staged, &Reader { may: &[Act::Hold], ..manager() }), "hold");
    assert_eq!(offered(&expiring("2026-12-01T10:04:12.000Z"), &manager()), "hold extend close");
    let hold =
        |json: &mut Value| json["holds"] = json!([{"by": "user:mira", "reason": "r", "at": "2026-11-23T09:00:00Z"}]);
    assert_eq!(offered(&release("staged", hold), &manager()), "hold lift close");
    assert_eq!(offered(&release("released", |json| json["state"] = "complete".into()), &manager()), "");
    let closed =
        |json: &mut Value| json["closed"] = json!({"by": "user:mira", "reason": "r", "at": "2026-11-23T09:00:00Z"});
    assert_eq!(offered(&release("skipped", closed), &manager()), "");
}

#[test]
fn whatever_acts_can_be_struck_out_where_the_reason_stands_beside_it() {
    let release = expiring("2026-11-24T07:04:11.000Z");
    let page = page::release(&release, &Beside::default(), &Filter::default(), &manager()).into_string();
    let away = page.split("<a ").skip(1).filter(|link| link.contains("href=\"https://gitlab.example"));
    // A pipeline is only looked at from the page's foot.
    for link in away.filter(|link| !link.contains("id=\"source-")) {
        assert!(link.starts_with("class=\"act\""), "{link}");
    }
    for id in ["needs", "acts"] {
        assert!(section_of(&page, id, "</section>").contains("class=\"stale-why\""), "{id} in {page}");
    }
}

#[test]
fn what_is_unknown_or_has_drifted_says_so_beside_its_state() {
    for (state, code, words) in [
        ("released", "drift", "#g-drift\"></use></svg>Drift<"),
        ("staged", "unknown", "#g-unknown\"></use></svg>Unknown<"),
        ("released", "other", ""),
    ] {
        let release = release(state, |json| {
            json["packages"][0]["targets"][0]["problem"] =
                json!({"code": code, "what": "w", "public": "unknown", "retry": "automatic", "next": "n"});
        });
        for shown in [cell(&release), row(&release)] {
            assert_eq!(shown.contains("class=\"over\""), !words.is_empty(), "{shown}");
            assert!(shown.contains(words), "{words} in {shown}");
        }
    }
}

#[test]
fn what_is_unknown_is_not_offered_for_release_before_it_is_known_again() {
    let shown = |code: &str| {
        html(&release("staged", |json| {
            json["packages"][0]["targets"][0]["problem"] =
                json!({"code": code, "what": "w", "public": "none", "retry": "automatic", "next": "n"});
        }))
    };
    let job = "Play its manual job in GitLab";
    assert!(shown("trouble").contains(job), "{}", shown("trouble"));
    assert!(!shown("unknown").contains(job), "{}", shown("unknown"));
}

#[test]
fn what_cannot_be_read_is_named_with_the_age_of_what_is_shown() {
    let sources = json!([
        {"read_at": "2026-11-23T10:04:07.000Z"},
        {"place": "packages", "read_at": "2026-11-23T09:58:12.000Z", "trouble": "It does not answer."},
    ]);
    let sources: Vec<Source> = serde_json::from_value(sources).expect("sources");
    let beside = Beside { sources: &sources, ..Beside::default() };
    let page = page::release(&release("staged", |_| {}), &beside, &Filter::default(), &Reader::default()).into_string();
    let trouble = section_of(&page, "trouble", "</div>");
    assert!(
        trouble.contains(
            "<b>packages: </b>It does not answer. It was read last <time datetime=\"2026-11-23T09:58:12.000Z\">"
        ),
        "{trouble}"
    );
    assert!(!trouble.contains("GitLab"), "{trouble}");
    assert!(section_of(&page, "sources", "</div>").contains("Last read: GitLab <time"), "{page}");
}

#[test]
fn every_target_has_one_cell_or_one_row_whichever_is_shown() {
    let many = release("staged", |json| {
        let one = json["packages"][0].clone();
        let many = (0..120).map(|number| {
            let mut other = one.clone();
            other["key"] = format!("tug-{number}-{}", if number % 2 == 0 { "amd64" } else { "arm64" }).into();
            let mut second = other["targets"][0].clone();
            second["distro"] = "debian/trixie".into();
            other["targets"].as_array_mut().expect("targets").push(second);
            other
        });
        json["packages"] = many.collect();
    });
    for (query, kind, tables) in [("v=matrix", "c", 1), ("v=list", "t", 5), ("", "t", 5)] {
        let shown = section::packages(&many, &Filter::from_query(query)).into_string();
        assert_eq!(
            shown.matches(&format!("id=\"{kind}-tug-")).count() - if kind == "t" { 240 } else { 0 },
            240,
            "{query}"
        );
        assert_eq!(shown.matches("<table").count(), tables, "{query}");
        for number in [0, 119] {
            let arch = if number % 2 == 0 { "amd64" } else { "arm64" };
            assert!(shown.contains(&format!("id=\"{kind}-tug-{number}-{arch}-debian-trixie\"")), "{query} {number}");
        }
    }
    let groups = section::packages(&many, &Filter::default()).into_string();
    for caption in ["1 to 50 of 240", "201 to 240 of 240"] {
        assert!(groups.contains(&format!("<caption>{caption}</caption>")), "{caption}");
    }
}

#[test]
fn a_filter_hides_cells_and_rows_alike() {
    for view in ["matrix", "list"] {
        let shown = |filter: &str| {
            let release = release("staged", |json| {
                let mut other = json["packages"][0].clone();
                (other["key"], other["targets"][0]["state"]) = ("tug-jammy-arm64".into(), "failed".into());
                json["packages"].as_array_mut().expect("a list").push(other);
            });
            let shown = section::packages(&release, &Filter::from_query(&format!("v={view}&{filter}"))).into_string();
            shown.matches(" hidden").count()
        };
        let counts =
            ["", "state=failed", "arch=arm64", "q=arm64", "line=tug", "line=ce", "state=staged&arch=arm64"].map(shown);
        assert_eq!(counts, [0, 1, 1, 1, 0, 2, 2], "{view}");
    }
}

// ---- people ----

fn page_of(form: &Form<'_>) -> String {
    page::act(form, &Reader { name: Some("mira"), may_sign_in: true, ..Reader::default() }).into_string()
}

/// One package whose targets have these states.
fn with_targets(states: &[&str]) -> Release {
    release("staged", |json| {
        let target = json["packages"][0]["targets"][0].clone();
        let targets = states.iter().enumerate().map(|(number, state)| {
            let mut target = target.clone();
            (target["state"], target["distro"]) = ((*state).into(), format!("ubuntu/{number}").into());
            target
        });
        json["packages"][0]["targets"] = targets.collect();
    })
}

#[test]
fn a_form_says_before_anything_is_pressed_what_it_will_do_and_what_it_leaves() {
    let release = with_targets(&["released", "released", "releasing", "staged", "approved", "failed", "skipped"]);
    let digest = "ab".repeat(32);
    for (act, shown) in [
        (
            Act::Hold,
            [
                "From now on nothing of the release begins",
                "Waiting: 2 targets.",
                "Being released at this moment: 1 target.",
                "Public already: 2 targets.",
            ],
        ),
        (
            Act::Close,
            [
                "a release that was given up stays so",
                "Not shipped from then on: 3 targets.",
                "Being released at this moment: 1 target. What has begun is finished, and stays public.",
                "public they stay: 2 targets.",
            ],
        ),
        (Act::Lift, ["Lifting a hold releases nothing", "Nobody holds the release.", "Lift the hold", digest.as_str()]),
        (
            Act::Extend,
            ["is deleted from staging before that moment", "Until (UTC)", "Keep for longer", digest.as_str()],
        ),
    ] {
        let page = page_of(&form(act, &release));
        for shown in shown {
            assert!(page.contains(shown), "{shown} in {page}");
        }
        assert!(page.contains(&format!("action=\"/p/tug/r/1.2.0/{}\"", act.path())), "{page}");
        assert!(page.contains(&format!("name=\"seen\" value=\"{}\"", page::seen(&form(act, &release)))), "{page}");
        assert_eq!(page.contains("name=\"keys\""), matches!(act, Act::Hold | Act::Extend), "{page}");
    }
}

#[test]
fn the_mark_of_what_a_form_does_changes_with_what_it_does_and_not_with_time_or_with_what_is_typed() {
    let before = with_targets(&["released", "staged"]);
    for act in [Act::Hold, Act::Lift, Act::Extend, Act::Close] {
        let seen = page::seen(&form(act, &before));
        let later = Release { sequence: 99, at: "2026-11-23T11:00:00.000Z".to_owned(), ..before.clone() };
        let typed = Form { reason: "x", until: "2027-01-01T08:00", refused: Some("no"), ..form(act, &later) };
        assert_eq!(page::seen(&typed), seen, "{act:?}");
        assert_ne!(page::seen(&form(act, &with_targets(&["released", "released"]))), seen, "{act:?}");
        let other_bytes = release("staged", |json| {
            json["packages"][0]["file"]["digest"] = format!("sha256:{}", "cd".repeat(32)).into();
        });
        assert_ne!(page::seen(&form(act, &other_bytes)), page::seen(&form(act, &release("staged", |_| {}))), "{act:?}");
        let key = ["tug-jammy".parse().expect("a key")];
        assert_ne!(page::seen(&Form { keys: &key, ..form(act, &before) }), seen, "{act:?}: of one package alone");
    }
}

#[test]
fn a_form_that_is_refused_says_why_and_what_has_changed_and_keeps_what_was_typed() {
    let release = with_targets(&["released", "staged"]);
    let key = ["tug-jammy".parse().expect("a key")];
    let again = Form {
        keys: &key,
        reason: "a \"smell\"",
        until: "2027-01-01T08:00",
        seen_at: Some("2026-11-23T09:41:07.122Z"),
        refused: Some("What this does has changed."),
        ..form(Act::Hold, &release)
    };
    let page = page_of(&again);
    for shown in [
        "role=\"alert\"",
        "What this does has changed.",
        "Since you looked at 09:41:07 UTC:",
        "value=\"a &quot;smell&quot;\"",
        "value=\"2027-01-01T08:00\"",
        "name=\"keys\" value=\"tug-jammy\" checked",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let nothing_new = Form { seen_at: Some("2026-11-23T09:41:07.123Z"), ..again };
    assert!(!page_of(&nothing_new).contains("Since you looked"));
    // Where the release cannot be read, what was typed is kept, and there is nothing that could be agreed to.
    let unread = page_of(&Form { release: None, ..again });
    assert!(unread.contains("name=\"keys\" value=\"tug-jammy\"") && unread.contains("a &quot;smell&quot;"), "{unread}");
    assert!(!unread.contains("name=\"seen\"") && !unread.contains("What this does</h2>"), "{unread}");
}

#[test]
fn a_lift_names_the_holds_that_end_and_no_other() {
    let release = release("staged", |json| {
        json["holds"] = json!([
            {"by": "person:7 user:mira", "reason": "the notes are wrong", "at": "2026-11-23T09:00:00.000Z"},
            {"key": "tug-jammy", "by": "job:81 user:jonas", "reason": "crashes on start", "at": "2026-11-23T09:10:00.000Z",
             "until": "2026-12-01T00:00:00.000Z"},
        ]);
    });
    let whole = page_of(&form(Act::Lift, &release));
    let held = "The whole release is held by mira since 2026-11-23 09:00 UTC: the notes are wrong";
    assert!(whole.contains(held) && !whole.contains("crashes on start"), "{whole}");
    let key = ["tug-jammy".parse().expect("a key")];
    let one = page_of(&Form { keys: &key, ..form(Act::Lift, &release) });
    let held = "is held by jonas since 2026-11-23 09:10 UTC until 2026-12-01 00:00 UTC: crashes on start";
    assert!(one.contains(held) && !one.contains("the notes are wrong"), "{one}");
}

#[test]
fn every_page_says_who_reads_it_and_lets_them_out_or_in() {
    let page = |reader: &Reader<'_>| page::help_states(reader).into_string();
    let out = page(&Reader { name: Some("mira"), may_sign_in: true, path: "/help/states", ..Reader::default() });
    assert!(out.contains("Signed in as </span><b>mira</b>"), "{out}");
    assert!(out.contains("<form method=\"post\" action=\"/sign-out\">"), "{out}");
    let way_in = page(&Reader { may_sign_in: true, path: "/p/tug/r/1.2.0?q=a&state=failed", ..Reader::default() });
    let to = "href=\"/sign-in?to=%2Fp%2Ftug%2Fr%2F1.2.0%3Fq%3Da%26state%3Dfailed\"";
    assert!(way_in.contains(to) && !way_in.contains("Signed in as"), "{way_in}");
    let nobody = page(&Reader { path: "/help/states", ..Reader::default() });
    assert!(!nobody.contains("ign in"), "where nobody signs in, nothing is offered: {nobody}");
}

#[test]
fn whoever_may_not_read_a_page_is_offered_to_sign_in_and_whoever_has_is_not() {
    let stranger = Reader { may_sign_in: true, path: "/p/tug", ..Reader::default() };
    let shown = page::unauthorised("Show who you are.", &stranger).into_string();
    assert!(shown.contains("href=\"/sign-in?to=%2Fp%2Ftug\">Sign in with GitLab</a>"), "{shown}");
    let known =
        page::unauthorised("It takes the role developer.", &Reader { name: Some("mira"), ..stranger }).into_string();
    assert!(!known.contains("Sign in with GitLab"), "{known}");
}

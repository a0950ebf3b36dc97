//! Pages full of text that means harm: each string of a list, wherever a page shows what others wrote.
//!
//! What has a grammar of its own (keys, versions, digests) cannot hold such text and is not tried here.

use maud::{Markup, PreEscaped};
use serde_json::{Value, json};
use slipway_core::api::{
    Activity, ActivityRow, Against, Deployments, Glance, ProblemDetails, Project, PublicProject, PublicRelease,
    PublicSummary, Release, Source, Standing, TargetHistory,
};
use slipway_core::query::ActivityQuery;
use slipway_core::sight;
use slipway_view::filter::Filter;
use slipway_view::page::{self, Act, Beside, Form, Reader};

use crate::Fixture;
use crate::fed::Fed;

/// So many strings a page.
const A_PAGE: usize = 100;
/// A harmless time of reading, on every other page: the rest of a page says more when there is one.
const AT: &str = "2026-11-23T09:41:07.123Z";
/// Whatever is offered to whoever may do it, is on these pages.
const ACTS: [Act; 4] = [Act::Hold, Act::Lift, Act::Extend, Act::Close];

pub(super) fn fixtures(strings: &[String]) -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    let fed = Fed::default();
    for (number, strings) in strings.chunks(A_PAGE).enumerate() {
        // Names of people and projects are short wherever they come from.
        let name: String = strings.first().map(|first| first.chars().take(120).collect()).unwrap_or_default();
        let at = if number.is_multiple_of(2) { &name } else { AT };
        let reader = Reader { name: Some(&name), may_sign_in: true, path: &name, may: &ACTS, ..Reader::default() };
        let full: Release = fed.read(release(number, &name, strings))?;
        let before: Release = serde_json::from_value(calm(number, &name))?;
        let activity: Vec<ActivityRow> = fed.read((1..).zip(strings).map(|(n, text)| event(n, text)).collect())?;
        let sources: Vec<Source> = fed.read(strings.iter().map(|text| source(text)).collect())?;
        let beside = Beside { activity: &activity, sources: &sources };
        all.push(Fixture {
            html: page::release(&full, &beside, &Filter::default(), &reader),
            ..Fixture::of(&format!("release-{number}"), full, "", &reader)
        });
        all.push(Fixture {
            path: format!("/before/{number}"),
            ..Fixture::of(&format!("before-{number}"), before, "", &reader)
        });
        let others = others(&name, strings, at, &reader, &fed)?;
        if number == 0 {
            all.extend(others.into_iter().map(|(kind, html)| Fixture::new(kind, format!("/{kind}"), html)));
        } else {
            // One after the other in one document: each is whole, and a browser takes a while for each that it loads.
            let html = PreEscaped(others.into_iter().map(|(_, html)| html.0).collect());
            all.push(Fixture::new(&format!("others-{number}"), format!("/others/{number}"), html));
        }
    }
    match fed.missed() {
        missed if missed.is_empty() => Ok(all),
        missed => Err(format!("no text that means harm is in {}", missed.join(", ")).into()),
    }
}

/// The other pages, each with all the strings.
fn others(
    name: &str,
    strings: &[String],
    at: &str,
    reader: &Reader<'_>,
    fed: &Fed,
) -> Result<Vec<(&'static str, Markup)>, Box<dyn std::error::Error>> {
    let project = json!({"id": 1001, "name": name});
    let silent: Vec<Project> = strings.iter().map(|text| Project { id: 1001, name: text.clone() }).collect();
    let whole: Release = fed.read(release(0, name, strings))?;
    let all = strings.join(" ");
    let problem = ProblemDetails { kind: all.clone(), title: name.to_owned(), status: 502, detail: all.clone() };
    let stopped = json!({"by": name, "reason": name, "at": name});
    let rows: Vec<Value> = (1..).zip(strings).map(|(n, text)| event(n, text)).collect();
    let activity: Activity = fed.read(json!({"project": project, "at": at, "rows": rows, "older": 7}))?;
    let query = ActivityQuery { actor: Some(name.to_owned()), action: Some(name.to_owned()), ..Default::default() };
    let glance: Glance = fed.read(json!({
        "project": project, "at": at, "stopped": stopped, "releases": strings.iter().enumerate().map(glance).collect::<Vec<_>>(),
    }))?;
    let deployments: Deployments = fed.read(json!({
        "project": project, "at": at,
        "rows": strings.iter().enumerate().map(|(n, text)| json!({
            "environment": text, "version": "1.2.0", "at": text, "is_current": n % 2 == 0, "by": text, "pipeline_url": text,
        })).collect::<Vec<_>>(),
    }))?;
    let against: Against = fed.read(json!({
        "project": project, "version": "1.2.0", "before": "1.1.0", "at": at,
        "rows": strings.iter().enumerate().map(|(n, text)| json!({
            "key": format!("h-{n:03}"), "staged": file_fact(n, text), "public": file_fact(n + 1, text), "why": text,
        })).collect::<Vec<_>>(),
    }))?;
    let standing: Standing = fed.read(json!({
        "build": name, "at": at,
        "projects": strings.iter().map(|text| json!({
            "project": {"id": 1001, "name": text}, "stopped": {"by": text, "reason": text, "at": text}, "hints_open": 1,
            "oldest_hint_at": text, "last_webhook_at": text, "sockets": 1,
            "sources": [source(text)],
        })).collect::<Vec<_>>(),
    }))?;
    Ok(vec![
        ("error", page::error(&problem, reader)),
        ("not-found", page::not_found(&all, reader)),
        ("unauthorised", page::unauthorised(&all, reader)),
        ("overview", page::overview(std::slice::from_ref(&glance), std::slice::from_ref(&activity), &silent, reader)),
        ("project", page::project(&glance, &activity, reader)),
        ("activity", page::activity(&activity, &query, reader)),
        ("deployments", page::deployments(&deployments, reader)),
        ("against", page::against(&against, reader)),
        ("status", page::status(&standing, &silent, reader)),
        ("targets", targets(name, strings, &activity.rows, reader, fed)?),
        ("forms", forms(name, strings, reader)?),
        ("public", public(name, strings, reader, fed)?),
        ("search", page::search(name, &page::found_in(name, &whole), &silent, reader)),
    ])
}

/// A page of each target of each package, one after the other: what is in one of them cannot reach the next.
fn targets(
    name: &str,
    strings: &[String],
    activity: &[ActivityRow],
    reader: &Reader<'_>,
    fed: &Fed,
) -> Result<Markup, Box<dyn std::error::Error>> {
    let mut pages = String::new();
    for (number, text) in strings.iter().enumerate() {
        let release: Release = serde_json::from_value(release(number % 2 * 3, name, std::slice::from_ref(text)))?;
        let package = release.packages.first().ok_or("a package")?;
        let target = package.targets.get(number % package.targets.len()).ok_or("a target")?;
        let history: TargetHistory = fed.read(json!({
            "key": package.key, "target": target,
            "attempts": [{
                "number": 1, "approval": 7, "began_at": text, "ended_at": text, "act": "copy", "ended": text, "problem": problem(text),
            }],
        }))?;
        pages.push_str(&page::target(&release, &history, activity.get(..1).unwrap_or_default(), reader).0);
    }
    Ok(PreEscaped(pages))
}

/// Each form, as it comes back with what somebody has sent.
fn forms(name: &str, strings: &[String], reader: &Reader<'_>) -> Result<Markup, Box<dyn std::error::Error>> {
    let acts = [Act::Hold, Act::Lift, Act::Extend, Act::Close];
    let mut pages = page::not_signed_in(&strings.join(" "), reader).0;
    for (text, act) in strings.iter().zip(acts.into_iter().cycle()) {
        let release: Release = serde_json::from_value(release(1, name, std::slice::from_ref(text)))?;
        let form = Form {
            act,
            project: text,
            version: text,
            release: Some(&release),
            keys: &[],
            reason: text,
            until: text,
            seen_at: Some(text),
            refused: Some(text),
        };
        pages.push_str(&page::act(&form, reader).0);
    }
    Ok(PreEscaped(pages))
}

/// What strangers see.
fn public(
    name: &str,
    strings: &[String],
    reader: &Reader<'_>,
    fed: &Fed,
) -> Result<Markup, Box<dyn std::error::Error>> {
    let release: Release = serde_json::from_value(release(0, name, strings))?;
    let mut seen = sight::public(&release).ok_or("something is public")?;
    for (package, text) in seen.packages.iter_mut().zip(strings) {
        package.architecture = Some(text.clone());
    }
    let _: PublicRelease = fed.read(serde_json::to_value(&seen)?)?;
    let summaries: Vec<PublicSummary> = strings
        .iter()
        .map(|text| PublicSummary {
            version: seen.version.clone(),
            verdict: text.clone(),
            packages: 1,
            at: text.clone(),
        })
        .collect();
    let projects: Vec<_> =
        strings.iter().map(|text| (PublicProject { name: text.clone() }, summaries.clone())).collect();
    let mut pages = page::public::release(&seen, reader).0;
    pages.push_str(&page::public::releases(name, &summaries, reader).0);
    pages.push_str(&page::public::projects(projects.get(..3).unwrap_or(&projects), reader).0);
    for package in &seen.packages {
        for target in &package.targets {
            if let Some(target) = sight::target(&seen, &package.key, &target.name()) {
                pages.push_str(&page::public::target(&seen, &target, reader).0);
            }
        }
    }
    Ok(PreEscaped(pages))
}

fn source(text: &str) -> Value {
    json!({"place": text, "read_at": text, "trouble": text})
}

fn event(number: u64, text: &str) -> Value {
    json!({"sequence": number, "at": text, "actor": text, "action": text, "subject": text, "details": json!({text: text}).to_string()})
}

fn glance((number, text): (usize, &String)) -> Value {
    let version = format!("1.0.{number}");
    let target = |state: &str| {
        json!([{
            "version": version, "key": format!("h-{number:03}"), "target": "ubuntu/jammy", "state": state, "what": text, "since": text,
        }])
    };
    json!({
        "version": version, "state": (["expected", "staged", "complete", "closed"][number % 4]), "verdict": text, "released": 1,
        "all": 2, "ready": 1, "changed_at": text, "needs": target("failed"), "moving": target("releasing"),
    })
}

fn file_fact(number: usize, text: &str) -> Value {
    json!({
        "version": "1.2.0", "name": text, "digest": format!("sha256:{number:064x}"), "size": 2_434_011,
        "depends": [{"context": text, "on": [text, format!("{text} (>= {number})")]}],
    })
}

/// The release before any of it was heard of.
fn calm(number: usize, name: &str) -> Value {
    let mut release = release(number, name, &[]);
    release["sequence"] = json!(1);
    release["at"] = json!(AT);
    release["verdict"] = json!("Nothing is out.");
    release["packages"] = json!([{
        "key": "calm", "pipeline_id": 4000, "release_job": "release: [calm]", "file": null, "staging": place("", ""),
        "targets": [{"distro": "ubuntu/jammy", "public": place("", ""), "state": "expected", "since": AT}],
    }]);
    release
}

fn place(url: &str, repository: &str) -> Value {
    json!({"url": url, "repository": repository})
}

fn release(number: usize, name: &str, strings: &[String]) -> Value {
    let pipelines =
        strings.iter().enumerate().map(|(n, text)| json!({"id": 4000 + n, "ref": text, "sha": text, "url": text}));
    let holds = strings.iter().enumerate().map(|(n, text)| {
        json!({"key": (n % 2 == 1).then(|| format!("h-{n:03}")), "by": text, "reason": text, "at": text, "until": text})
    });
    let at = if number.is_multiple_of(2) { name } else { AT };
    json!({
        "project": {"id": 1001, "name": name}, "version": format!("1.2.{number}"), "sequence": 42, "state": "expected",
        "verdict": strings.iter().filter(|text| text.len() < 300).cloned().collect::<Vec<_>>().join(" "),
        "at": at, "pipelines": pipelines.collect::<Vec<_>>(), "holds": holds.collect::<Vec<_>>(),
        "closed": (number % 3 == 1).then(|| json!({"by": name, "reason": name, "at": name})),
        "stopped": (number % 3 == 2).then(|| json!({"by": name, "reason": name, "at": name})),
        "suggests_close": "9.9.9",
        "estimate": {"ends_at": at, "bytes_left": 1, "bytes_per_second": 1},
        "packages": strings.iter().enumerate().map(|(n, text)| package(n, text)).collect::<Vec<_>>(),
    })
}

fn problem(text: &str) -> Value {
    json!({
        "code": text, "what": text, "public": text, "retry": text, "next": text,
        "evidence": {"host": text, "status": 502, "request_id": text},
    })
}

/// A package with a target in each state that shows something of its own.
fn package(number: usize, text: &str) -> Value {
    let digest = format!("sha256:{number:064x}");
    let file = if number.is_multiple_of(2) {
        json!({"filename": text, "digest": digest, "size": 2_434_011})
    } else {
        json!({"image": text, "digest": digest, "size": 2_434_011})
    };
    let approval = json!({"by": text, "via": text, "at": text, "job_url": text});
    let problem = problem(text);
    let withdrawal = json!({
        "by": text, "reason": text, "at": text, "state": "withdrawn", "users": [text], "notes": [text], "problem": problem,
    });
    let target = |distro: String, tag: Option<&str>, state: &str, more: Value| {
        let mut target = json!({
            "distro": distro, "tag": tag, "public": place(text, text), "state": state, "since": text, "attempts": 2, "expires_at": text,
        });
        if let (Some(target), Value::Object(more)) = (target.as_object_mut(), more) {
            target.extend(more);
        }
        target
    };
    let gates = ["staged", "freeze", "hold", text];
    json!({
        "key": format!("h-{number:03}"), "kind": "deb", "architecture": text, "pipeline_id": 4000 + number, "release_job": text,
        "job_url": text, "file": file, "staging": place(text, text),
        "replaced": [{"filename": "tug_1.1.0_amd64.deb", "digest": digest}],
        "blocked": [{"gate": gates[number % gates.len()], "why": text, "until": text, "next": text}],
        "targets": [
            target(text.to_owned(), None, "staged", json!({})),
            target(String::new(), Some(text), "failed", json!({"problem": problem, "approval": approval})),
            target(format!("ubuntu/{text}"), None, "released", json!({"approval": approval, "attestation": text, "outside": number.is_multiple_of(2)})),
            target(format!("debian/{text}"), None, "withdrawn", json!({"approval": approval, "withdrawal": withdrawal})),
            target(format!("el/{text}"), None, "releasing", json!({"approval": approval, "step": "copy", "bytes": 1_000_000, "pace": {"bytes_per_second": 1_000, "ends_at": text}})),
            target(String::new(), Some(&format!("{text}+")), "released", json!({"approval": approval})),
            target(format!("ol/{text}"), None, "conflict", json!({"problem": problem})),
        ],
    })
}

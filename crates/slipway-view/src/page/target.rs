//! The page of one target: how far it is, why, what happens next, and everything that is known of it.
//!
//! The release page's side panel shows the element `#target` of this page, so whatever matters is inside.

use maud::{Markup, html};
use slipway_core::amount::{part, percent, size};
use slipway_core::api::{self, ActivityRow, Attempt, Package, Release, Step, Target, TargetHistory, Withdrawal};
use slipway_core::audit::person;
use slipway_core::release::TargetState;

use super::piece::{Details, Named, activity_path, as_of, cell, event, piece, release_path, table};
use super::{Act, Reader, Shell, not_found, project_path};
use crate::install;
use crate::section::{
    away, incident, job, left, moment, needs_a_person, pipeline, playable, prose, record, stale_why, time, until, waits,
};
use crate::state::{chip, meaning, overlay};
use crate::text::{grouped, link, segment, visible};

/// A target. `release` has its package and its head; whatever other packages it has is not looked at. `activity` is what
/// the audit says of the package, of its release and of the switches, newest first.
pub fn target(release: &Release, history: &TargetHistory, activity: &[ActivityRow], reader: &Reader<'_>) -> Markup {
    let Some(package) = release.packages.iter().find(|package| package.key == history.key) else {
        return not_found("There is no such target here.", reader);
    };
    let target = &history.target;
    let name = visible(&target.name());
    let project = visible(&release.project.name);
    let subject = format!("{} {name}", package.key);
    let trail = [
        ("Projects", "/".to_owned()),
        (&project, project_path(&release.project)),
        (release.version.as_str(), release_path(&release.project, &release.version)),
        (&subject, String::new()),
    ];
    let title = format!("{} · {subject} · {} · {project}", target.state.words(), release.version);
    Shell { title: &title, trail: &trail, is_alarming: needs_a_person(target), reader }.page(
        &as_of(&release.at),
        &html! {
            main #main {
                (piece("target", &html! {
                    (head(release, package, target))
                    (why(release, package, target))
                    (acts(release, package, target, reader))
                    (ways(release, package, target, reader))
                    (how_to_get(package, target))
                    (digests(package, target))
                    (tries(&history.attempts))
                    (timeline(release, package, target, activity))
                }))
            }
        },
        &html! {
            p {
                a href={ "/help/states#" (target.state.code()) } { "What “" (target.state.words()) "” means" } " · "
                a href=(api_path(release, package, target)) { "As JSON" }
            }
        },
    )
}

fn api_path(release: &Release, package: &Package, target: &Target) -> String {
    let name = target.name();
    let name: Vec<String> = name.trim_start_matches(':').split('/').map(segment).collect();
    format!(
        "/api/v1/projects/{}/releases/{}/targets/{}/{}",
        segment(&release.project.name),
        segment(release.version.as_str()),
        package.key,
        name.join("/")
    )
}

/// What it is, how far, since when and by whom; then the one thing that there may be to do.
fn head(release: &Release, package: &Package, target: &Target) -> Markup {
    html! {
        h1 {
            (package.key) " · " (visible(&target.name())) " "
            span.quiet { "of " (visible(&release.project.name)) " " (release.version) }
        }
        p.sentence.t-state {
            (chip(target.state))
            @if let Some(problem) = &target.problem { (overlay(&problem.code)) }
            span.t-since {
                (time(&target.since))
                @if let Some(approval) = &target.approval { ", approved by " (visible(&approval.by)) }
                @if target.outside { ", published by somebody else before Slipway did" }
            }
        }
        @if let Some(url) = playable(release, package).filter(|_| target.state == TargetState::Staged) {
            p.ways { a.act #target-play href=(url) rel="noreferrer" { "Play in GitLab" (away()) } }
            (stale_why())
        }
    }
}

/// The ways out of Slipway, and to what is beside this. They come after what is the matter: on a phone they fill a window.
fn ways(release: &Release, package: &Package, target: &Target, reader: &Reader<'_>) -> Markup {
    html! {
        ul.t-ways aria-label="Where else to look" {
            // What needs a person leads to its job already.
            @if let Some(url) = target.approval.as_ref().filter(|_| !needs_a_person(target)).and_then(|approval| link(&approval.job_url)) {
                li { a #target-job href=(url) rel="noreferrer" { "The job in GitLab" (away()) } }
            }
            @if let Some(pipeline) = pipeline(release, package) {
                @if let Some(url) = link(&pipeline.url) {
                    li { a #target-pipeline href=(url) rel="noreferrer" { "Pipeline " (pipeline.id) " in GitLab" (away()) } }
                }
            }
            @if let Some(url) = public_page(target) {
                li { a #target-public href=(url) rel="noreferrer" { "The public place" (away()) } }
            }
            @if let Some(url) = target.attestation.as_deref().and_then(link) {
                li { a #target-attestation href=(url) download { "What is attested of it" } }
            }
            li { a #target-release href=(release_path(&release.project, &release.version)) { "The whole release" } }
            @if !reader.is_outsider {
                li { a #target-against href={ (release_path(&release.project, &release.version)) "/against#a-" (package.key) } { "Staged, beside what is public" } }
            }
        }
    }
}

/// Where a person can look at the public place: the repository's page. A registry has none.
fn public_page(target: &Target) -> Option<String> {
    if target.tag.is_some() {
        return None;
    }
    let address = link(&target.public.url)?.trim_end_matches('/');
    let repository: Vec<String> = target.public.repository.split('/').map(segment).collect();
    Some(format!("{address}/{}", repository.join("/")))
}

/// Why it is where it is, and what happens next.
fn why(release: &Release, package: &Package, target: &Target) -> Markup {
    html! {
        h2 #target-why { "Why" }
        @match &target.problem {
            Some(problem) => (record(problem)),
            None => p.what { (meaning(target.state)) },
        }
        @for blocked in package.blocked.iter().filter(|_| is_waiting(target.state)) {
            p.what.t-blocked {
                (overlay("blocked")) " " (prose(&blocked.why))
                @if let Some(until) = &blocked.until { " It opens by itself " (time(until)) "." }
                @if let Some(next) = &blocked.next { " Next: " (prose(next)) }
            }
        }
        @if let Some(taken) = &target.withdrawal { (taken_back(taken)) }
        @if needs_a_person(target) {
            p.ways {
                (job(release, package, target, "target-act"))
                button #target-copy type="button" data-copy="target-text" { "Copy for incident" }
            }
            (stale_why())
            pre #target-text hidden { (incident(release, package, target)) }
        }
        @if target.problem.is_none() {
            h2 #target-next { "What happens next" }
            p.what { (next(release, package, target)) }
        }
        @if let Some(expires) = &target.expires_at {
            p.what.t-blocked {
                "Its staged copy is deleted " (until(release, target)) ", not before " (moment(expires)) ". "
                code { "slipway extend " (package.key) } " keeps it."
            }
        }
    }
}

/// What the reader may do about the package, a form each.
fn acts(release: &Release, package: &Package, target: &Target, reader: &Reader<'_>) -> Markup {
    let is_held = release.holds.iter().any(|hold| hold.key.as_ref() == Some(&package.key));
    let is_over = |target: &Target| matches!(target.state, TargetState::Released | TargetState::Withdrawn);
    let is_open = release.closed.is_none() && !package.targets.iter().all(is_over);
    let expires = target.expires_at.is_some() && target.state == TargetState::Staged;
    let offered = [
        (Act::Hold, "Hold this package", is_open && !is_held),
        (Act::Lift, "Lift its hold", is_held),
        (Act::Extend, "Keep what is staged for longer", expires),
    ];
    let offered: Vec<_> =
        offered.into_iter().filter(|(act, _, makes_sense)| *makes_sense && reader.may.contains(act)).collect();
    html! {
        @if !offered.is_empty() {
            p.ways {
                @for (act, words, _) in &offered {
                    a.act #{ "target-" (act.path()) } data-act=(act.path())
                        href={ (release_path(&release.project, &release.version)) "/" (act.path()) "?keys=" (package.key) } { (words) "…" }
                }
            }
            (stale_why())
        }
    }
}

fn is_waiting(state: TargetState) -> bool {
    matches!(state, TargetState::Staged | TargetState::Approved | TargetState::Expected)
}

/// Who acts next, where nothing is the matter.
fn next(release: &Release, package: &Package, target: &Target) -> Markup {
    html! {
        @match target.state {
            TargetState::Expected => "The pipeline builds and stages it. Nothing is needed from you.",
            TargetState::Staged => {
                @if let Some(stopped) = &release.stopped { (waits(stopped)) }
                @else if !package.blocked.is_empty() { "Once nothing blocks it, its manual job releases it: " (manual_job(release, package)) }
                @else { "Its manual job releases it: " (manual_job(release, package)) }
            }
            TargetState::Approved => {
                @if let Some(stopped) = &release.stopped { (waits(stopped)) }
                @else { "Slipway begins as soon as the public place has a free transfer slot. Nothing is needed from you." }
            }
            TargetState::Releasing => (step(release, package, target)),
            TargetState::Released => "Nothing: it is public. Slipway never replaces it.",
            TargetState::Withdrawn => "Nothing: what is taken back stays taken back. A new version is the way to users.",
            TargetState::Skipped => "Nothing: it is not shipped this time.",
            TargetState::Expired => "If it is still wanted, the build owner runs its staging job again.",
            TargetState::Missing => "The build owner runs its staging job again; it pushes the same bytes.",
            TargetState::Conflict | TargetState::Failed => "A person looks at the job.",
        }
    }
}

fn manual_job(release: &Release, package: &Package) -> Markup {
    html! {
        code { (visible(&package.release_job)) }
        @if let Some(pipeline) = pipeline(release, package) {
            " in pipeline " (pipeline.id) " (" (visible(&pipeline.ref_name)) ")"
        }
        ". GitLab says who may play it."
    }
}

fn step(release: &Release, package: &Package, target: &Target) -> Markup {
    html! {
        @match target.step {
            Some(Step::Copy | Step::Carry) => {
                "The bytes are being copied"
                @if target.step == Some(Step::Carry) { ", carried by the release job since the copy is long" }
                @if let (Some(bytes), Some(file)) = (target.bytes, &package.file) {
                    ": " (part(bytes, file.size)) " (" (percent(bytes, file.size)) " %)"
                }
                @if let Some(pace) = &target.pace {
                    ", " (size(pace.bytes_per_second)) "/s, " (left(release, &pace.ends_at)) " left"
                }
                ". Then Slipway waits until the public index serves them."
            }
            Some(Step::Move) => "The server moves the file. Then Slipway waits until the public index serves it.",
            Some(Step::Index) if target.tag.is_some() => "The public place has it. Slipway waits until its tag says so.",
            Some(Step::Index) => "The public place has it. Slipway waits until its index serves it.",
            Some(Step::Look) | None => "Slipway looks at staging and at the public place, then copies.",
        }
    }
}

/// Somebody wants it taken back, or has had it.
fn taken_back(taken: &Withdrawal) -> Markup {
    html! {
        p.what {
            b { "Taken back: " }
            "asked for " (time(&taken.at)) " by " (visible(person(&taken.by))) ": " (visible(&taken.reason))
        }
        @if !(taken.users.is_empty() && taken.notes.is_empty()) {
            ul.t-list { @for line in taken.users.iter().chain(&taken.notes) { li { (prose(line)) } } }
        }
        @if let Some(problem) = &taken.problem { (record(problem)) }
    }
}

/// The lines that install or pull it, once it is public.
fn how_to_get(package: &Package, target: &Target) -> Markup {
    if target.state != TargetState::Released {
        return html! {};
    }
    let offered = match &target.tag {
        Some(_) => ("Pull it", install::pull(package, target)),
        None => ("Install it", install::package(package, target)),
    };
    html! {
        @if let (words, Some(lines)) = offered {
            h2 #target-install { (words) }
            pre tabindex="0" role="group" aria-labelledby="target-install" { code { (lines) } }
        }
    }
}

/// Which bytes there are: as they were declared, and what was seen of them at both places.
fn digests(package: &Package, target: &Target) -> Markup {
    html! {
        h2 #target-bytes { "Bytes" }
        dl.facts {
            @match &package.file {
                Some(file) => {
                    div.wide { dt { (if target.tag.is_some() { "Image" } else { "File" }) } dd { (visible(file.name())) } }
                    div.wide { dt { "Declared" } dd { code.digest { (file.digest) } } }
                    div {
                        dt { "Size" }
                        dd {
                            (grouped(file.size)) (if target.tag.is_some() { " bytes in all its blobs" } else { " bytes" })
                            " (" (size(file.size)) ")"
                        }
                    }
                }
                None => div.wide { dt { "Declared" } dd { "Nothing has been built yet." } },
            }
            @if let Some(approval) = &target.approval {
                div {
                    dt { "Approved" }
                    dd {
                        (time(&approval.at)) " by " (visible(&approval.by))
                        @match approval.via.as_str() {
                            "webhook" => ", through GitLab's webhook",
                            "job" => ", asked for by the job",
                            other => { ", through " (visible(other)) }
                        }
                    }
                }
            }
            div { dt { "Manual job" } dd { code { (visible(&package.release_job)) } } }
            div {
                dt { "Staged" }
                dd {
                    (staged_bytes(target.state))
                    span.host { " In " (visible(&package.staging.repository)) " at " (visible(&package.staging.url)) }
                }
            }
            div {
                dt { "Public" }
                dd {
                    (public_bytes(target))
                    span.host { " In " (visible(&target.public.repository)) " at " (visible(&target.public.url)) }
                }
            }
        }
    }
}

fn staged_bytes(state: TargetState) -> &'static str {
    match state {
        TargetState::Expected => "Not yet.",
        TargetState::Skipped => "Not wanted.",
        TargetState::Missing => "Gone, or not what was declared.",
        TargetState::Expired => "Deleted.",
        TargetState::Staged | TargetState::Approved | TargetState::Releasing => "As declared.",
        TargetState::Released | TargetState::Withdrawn => "As declared, when it was released.",
        TargetState::Conflict | TargetState::Failed => "As declared, when it was last looked at.",
    }
}

fn public_bytes(target: &Target) -> &'static str {
    let public = target.problem.as_ref().map(|problem| problem.public.as_str());
    match target.state {
        TargetState::Released => "As declared.",
        TargetState::Conflict => "Other bytes; what is the matter says which.",
        TargetState::Withdrawn => "Taken back.",
        TargetState::Releasing => "Not seen in the index yet.",
        TargetState::Failed => match public {
            Some("none") => "Untouched.",
            Some("partly") => "Touched in part.",
            Some("done") => "There.",
            _ => "Not known.",
        },
        _ if public == Some("unknown") => "Not known.",
        _ => "Not there.",
    }
}

/// Every try to bring it to the public.
fn tries(attempts: &[Attempt]) -> Markup {
    html! {
        @if !attempts.is_empty() {
            h2 #target-tries { "Attempts (" (attempts.len()) ")" }
            (table("target-tries", &["Number", "Began", "Ended", "What was done", "How it ended"], &html! {
                @for attempt in attempts {
                    tr role="row" {
                        (cell("Number", &attempt.number))
                        (cell("Began", &time(&attempt.began_at)))
                        (cell("Ended", &time(&attempt.ended_at)))
                        (cell("What was done", &done(attempt.act)))
                        (cell("How it ended", &html! {
                            @match &attempt.problem {
                                Some(problem) => { (prose(&problem.what)) " " code { (visible(&attempt.ended)) } },
                                None => (visible(&attempt.ended)),
                            }
                        }))
                    }
                }
            }))
        }
    }
}

fn done(act: api::Act) -> &'static str {
    match act {
        api::Act::Look => "looked",
        api::Act::Copy => "copied the bytes",
        api::Act::Move => "asked the server to move the file",
    }
}

/// What has happened to it, newest first: to itself, to its release as far as that means its package, and whatever stopped
/// Slipway while it was on its way.
fn timeline(release: &Release, package: &Package, target: &Target, activity: &[ActivityRow]) -> Markup {
    let name = target.name();
    let subject = format!("{}/{}", release.version, package.key);
    let is_settled = matches!(target.state, TargetState::Released | TargetState::Withdrawn | TargetState::Skipped);
    let is_about = |row: &&ActivityRow| match row.action.as_str() {
        // Moments are written in one way, so the later one is the greater text.
        "stopped" | "started" => !is_settled || row.at <= target.since,
        _ if row.subject == release.version.as_str() => Details::of(row).is_of_package(package.key.as_str()),
        _ => row.subject == subject && Details::of(row).is_about(&name),
    };
    let rows: Vec<&ActivityRow> = activity.iter().filter(is_about).collect();
    html! {
        @if !rows.is_empty() {
            h2 #target-timeline { "Timeline" }
            ol.o-events { @for row in rows { (event(&release.project, row, Named::Target)) } }
        }
        p { a #target-activity href=(activity_path(&release.project, &subject)) { "Everything that was done to " (package.key) } }
    }
}

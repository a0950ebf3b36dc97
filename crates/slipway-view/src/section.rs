//! The parts of a release's page. Each has an id and a mark: the browser renders it again from a live message and
//! replaces the element when the mark differs.

use std::collections::BTreeMap;

use maud::{Markup, Render, html};
use slipway_core::amount::{part, percent, size, stretch};
use slipway_core::api::{Evidence, Package, Pipeline, Problem, Release, Step, Stopped, Target};
use slipway_core::audit::person;
use slipway_core::gate::GateKind;
use slipway_core::release::TargetState;
use slipway_core::verdict::package_state;

use crate::facts::facts;
use crate::filter::{Filter, haystack};
use crate::state::{Tone, chip, glyph, meaning, tone};
use crate::text::{Moment, link, mark, segment, visible};

/// An element of the page that can be replaced.
pub struct Part {
    /// The element's id.
    pub id: String,
    /// Its `data-mark`: a fingerprint of what is inside.
    pub mark: String,
    /// The element.
    pub html: Markup,
}

impl Part {
    /// An element around `inner`, made from its id and its mark.
    fn new(id: &str, inner: &Markup, element: impl FnOnce(&str, &Markup) -> Markup) -> Self {
        let mark = mark(&inner.0);
        let html = element(&mark, inner);
        Self { id: id.to_owned(), mark, html }
    }
}

impl Render for Part {
    fn render_to(&self, buffer: &mut String) {
        self.html.render_to(buffer);
    }
}

/// Every part of the page that is replaced as a whole, in the page's order. Rows are parts of their own.
pub fn parts(release: &Release, filter: &Filter) -> [Part; 4] {
    [verdict(release), needs(release), tally(release, filter), sources(release)]
}

/// A row's id: `t-tug-ubuntu-jammy`. It stays the same for the target's whole life.
pub fn row_id(package: &Package, target: &Target) -> String {
    let name = target.name();
    let distro = name.chars().map(|character| match character {
        '/' => "-".to_owned(),
        c if c.is_ascii_alphanumeric() || "._-".contains(c) => c.to_string(),
        c => format!("_{:x}", u32::from(c)),
    });
    format!("t-{}-{}", package.key, distro.collect::<String>())
}

/// How many of a release's packages are out in every place they are meant for, and how many are meant for any. The
/// verdict counts packages too, so the page's title never disagrees with it.
pub fn progress(release: &Release) -> (usize, usize) {
    let states = || {
        let state = |package: &Package| package_state(package.targets.iter().map(|target| target.state));
        release.packages.iter().map(state)
    };
    let released = states().filter(|state| *state == TargetState::Released).count();
    (released, states().filter(|state| *state != TargetState::Skipped).count())
}

/// The page's title: `1/2 · 1.2.0 · tug`.
pub fn title(release: &Release) -> String {
    let (released, all) = progress(release);
    format!("{released}/{all} · {} · {}", release.version, visible(&release.project.name))
}

/// Whether somebody must do something about this target, other than play its job.
pub fn needs_a_person(target: &Target) -> bool {
    match target.state {
        TargetState::Conflict | TargetState::Failed | TargetState::Missing => true,
        TargetState::Released | TargetState::Skipped | TargetState::Withdrawn => false,
        // Overdue, or held up by something that does not go away by itself.
        _ => target.problem.as_ref().is_some_and(|problem| problem.retry != "automatic"),
    }
}

/// Whether anything needs a person. The page's icon says so too.
pub fn is_alarming(release: &Release) -> bool {
    targets(release).any(|(_, target)| needs_a_person(target))
}

/// The release in one sentence, and how far it is as a bar.
pub fn verdict(release: &Release) -> Part {
    let counts = counts(release);
    let all: usize = counts.values().sum();
    Part::new(
        "verdict",
        &html! {
            h1.sentence { (prose(&release.verdict)) }
            @if let Some(end) = end(release) { p.quiet.end { (end) } }
            @if let Some(newer) = &release.suggests_close {
                p.quiet.end { (newer) " is complete. If nothing more of this one is to be released, give it up: " code { "slipway close" } }
            }
            @if all > 0 {
                // SVG, since widths that come from data would need inline styles, which the page's policy forbids.
                svg.bar aria-hidden="true" viewBox={ "0 0 " (all) " 1" } preserveAspectRatio="none" {
                    @for (state, start, length) in spans(&counts) {
                        rect.(tone(state).class()).(state.code()) x=(start) y="0" width=(length) height="1" {}
                    }
                }
            }
        },
        |mark, inner| html! { div #verdict data-mark=(mark) { (inner) } },
    )
}

/// When what is on its way will be released, for those who wait for it.
fn end(release: &Release) -> Option<Markup> {
    // While Slipway is stopped, nothing is on its way.
    let estimate = release.estimate.as_ref().filter(|_| release.stopped.is_none())?;
    let ends = Moment::parse(&estimate.ends_at)?;
    let seconds = Moment::parse(&release.at).map_or(0, |now| ends.seconds() - now.seconds());
    let left = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(html! {
        "What is on its way is released about " (ends.clock()) ", in " (stretch(left)) ": " (size(estimate.bytes_left)) " left at " (size(estimate.bytes_per_second)) "/s."
    })
}

/// What somebody must see to, each with its failure record; then what only waits for its job to be played.
pub fn needs(release: &Release) -> Part {
    let needing: Vec<(&Package, &Target)> = targets(release).filter(|(_, target)| needs_a_person(target)).collect();
    let ready = targets(release).filter(|(package, target)| is_ready(package, target)).count();
    let stopped = stop(release);
    Part::new(
        "needs",
        &html! {
            @if !needing.is_empty() {
                h2 #needs-title { "Needs you (" (needing.len()) ")" }
                ul.needs {
                    @for (package, target) in &needing {
                        li.need.(if tone(target.state) == Tone::Broken { "broken" } else { "clock" }) {
                            (need(release, package, target))
                        }
                    }
                }
                @if let Some(stopped) = stopped { p.ready { b { "Nothing can be released." } " " (waits(stopped)) } }
                @else if ready > 0 { p.ready { b { (ready) " ready to release." } " " (play(release, ready)) } }
            } @else if let Some(stopped) = stopped {
                h2 #needs-title { "Nothing can be released" }
                p.quiet { (waits(stopped)) }
            } @else if ready > 0 {
                h2 #needs-title { "Ready to release (" (ready) ")" }
                p.quiet { (play(release, ready)) }
            } @else {
                h2 #needs-title { "Nothing needs you" }
                p.quiet { (at_rest(release)) }
            }
        },
        |mark, inner| html! { section #needs aria-labelledby="needs-title" data-mark=(mark) tabindex="-1" { (inner) } },
    )
}

/// Who has stopped Slipway, while something is left that could be released.
fn stop(release: &Release) -> Option<&Stopped> {
    let (released, all) = progress(release);
    release.stopped.as_ref().filter(|_| released < all)
}

/// Why nothing can be released, and who can change that. A job that is played meanwhile ends red, so no way leads there.
fn waits(stopped: &Stopped) -> Markup {
    html! {
        "Slipway is stopped by " (visible(&stopped.by)) " since " (time(&stopped.at)) ": "
        (visible(stopped.reason.trim().trim_end_matches('.'))) ". An operator must start it first."
    }
}

/// Staged, with nothing in its way.
fn is_ready(package: &Package, target: &Target) -> bool {
    target.state == TargetState::Staged && package.blocked.is_empty() && !needs_a_person(target)
}

/// How to release what is ready: GitLab decides who may, so the way leads there.
fn play(release: &Release, ready: usize) -> Markup {
    let waiting = |pipeline: &&Pipeline| {
        release.packages.iter().any(|package| {
            package.pipeline_id == pipeline.id && package.targets.iter().any(|target| is_ready(package, target))
        })
    };
    html! {
        (if ready == 1 { "Play its manual job in " } else { "Play their manual jobs in " })
        @for (index, pipeline) in release.pipelines.iter().filter(waiting).enumerate() {
            @if index > 0 { ", " }
            (pipeline_link(pipeline, "play"))
        }
        @if !release.pipelines.iter().any(|pipeline| waiting(&pipeline)) { "GitLab" }
        "."
    }
}

fn at_rest(release: &Release) -> &'static str {
    match progress(release) {
        (_, 0) => "Nothing is expected yet.",
        (released, all) if released == all => "Every package is released.",
        _ => "Slipway and the pipelines are at work.",
    }
}

fn need(release: &Release, package: &Package, target: &Target) -> Markup {
    let row = row_id(package, target);
    html! {
        p.who {
            (chip(target.state)) " "
            a.subject #{ "n-" (row) } href={ "#" (row) } { (package.key) " · " (visible(&target.name())) } " "
            span.since { (time(&target.since)) } " "
            (job(release, package, target, &format!("n-{row}-job")))
        }
        @match &target.problem {
            Some(problem) => (record(problem)),
            None => p.what { (meaning(target.state)) " No more is recorded about it." },
        }
    }
}

/// Every field of a failure record, in the order in which they are asked for under stress.
pub fn record(problem: &Problem) -> Markup {
    html! {
        p.what { (prose(&problem.what)) }
        dl.record {
            div { dt { "Public" } dd { (public_effect(&problem.public)) } }
            div { dt { "Trying again" } dd { (retry(&problem.retry)) } }
            div.next { dt { "Next" } dd { (prose(&problem.next)) } }
            div { dt { "Code" } dd { code { (visible(&problem.code)) } } }
            @if let Some(evidence) = &problem.evidence { div { dt { "Evidence" } dd { (said(evidence)) } } }
        }
    }
}

/// What a service left behind, for its operator: the request's name is in its log too.
fn said(evidence: &Evidence) -> Markup {
    html! {
        (visible(&evidence.host))
        @match evidence.status {
            Some(status) => { " answered " (status) },
            None => " gave no answer that can be read",
        }
        @if let Some(id) = &evidence.request_id { ", request " code { (visible(id)) } }
    }
}

fn public_effect(code: &str) -> String {
    match code {
        "none" => "untouched".into(),
        "partly" => "touched in part".into(),
        "done" => "has it".into(),
        "unknown" => "not known: it could not be looked at, or may be behind".into(),
        other => visible(other),
    }
}

fn retry(code: &str) -> String {
    match code {
        "safe" => "is safe".into(),
        "automatic" => "happens by itself".into(),
        "useless" => "cannot help".into(),
        other => visible(other),
    }
}

/// How many targets each state has; each number filters the table.
pub fn tally(release: &Release, filter: &Filter) -> Part {
    let counts = counts(release);
    Part::new(
        "tally",
        &html! {
            @for (state, count) in &counts {
                @let on = filter.states.contains(state);
                li {
                    a.count.(tone(*state).class()) #{ "count-" (state.code()) } data-filter=(state.code())
                        href={ (path(release)) (filter.toggled(*state).query()) } aria-current=[on.then_some("true")] {
                        (glyph(*state)) b { (count) } " " (state.words())
                    }
                }
            }
            li hidden[filter.is_empty()] { a.count #count-all href=(path(release)) data-filter="" { "Show all" } }
        },
        |mark, inner| html! { ul #tally data-mark=(mark) aria-label="Filter by state" { (inner) } },
    )
}

/// Every target: one row each.
pub fn packages(release: &Release, filter: &Filter) -> Markup {
    html! {
        div #packages {
            @if release.packages.is_empty() { (first_run(release)) } @else {
                // The style sheet lays the table out as a grid, and as a list on a phone. Some browsers then forget that
                // it is a table, hence the roles.
                table role="table" aria-labelledby="packages-title" {
                    thead role="rowgroup" {
                        tr role="row" {
                            th scope="col" role="columnheader" { "Package" }
                            th scope="col" role="columnheader" { "For" }
                            th scope="col" role="columnheader" { "State" }
                            th scope="col" role="columnheader" { "When and by whom" }
                            th.unseen scope="col" role="columnheader" { "File or image" }
                        }
                    }
                    tbody role="rowgroup" {
                        @for (package, target) in targets(release) {
                            (row(release, package, target, filter))
                        }
                    }
                }
            }
        }
    }
}

fn first_run(release: &Release) -> Markup {
    html! {
        div.empty {
            p { "Nothing is expected in " b { (release.version) } " yet." }
            p {
                "The pipeline's first job says what to expect, before anything is built: "
                code { "slipway plan KEY=DISTRO" } ", or " code { "KEY=TAG:image" } ". Each package is then listed here, and stays listed until it is public."
            }
        }
    }
}

/// One target's row.
pub fn row(release: &Release, package: &Package, target: &Target, filter: &Filter) -> Part {
    let id = row_id(package, target);
    let find = haystack(package, target);
    let is_shown = filter.shows(target.state, &find);
    Part::new(&id, &cells(release, package, target, &id), |mark, cells| {
        html! {
            tr.target.(tone(target.state).class()) #(id) role="row" tabindex="-1" hidden[!is_shown] data-mark=(mark)
                data-state=(target.state.code()) data-find=(find) { (cells) }
        }
    })
}

fn cells(release: &Release, package: &Package, target: &Target, id: &str) -> Markup {
    html! {
        th.key scope="row" role="rowheader" { (package.key) }
        td.distro role="cell" { (visible(&target.name())) }
        td.state role="cell" { (chip(target.state)) " " (fact(release, package, target, id)) }
        td.when role="cell" {
            (time(&target.since))
            @if let Some(approval) = &target.approval {
                " by "
                @match link(&approval.job_url) {
                    Some(url) => a #{ (id) "-by" } href=(url) rel="noreferrer" { (visible(&approval.by)) },
                    None => (visible(&approval.by)),
                }
            }
        }
        td.more role="cell" {
            @if let Some(problem) = &target.problem {
                p.what {
                    (prose(&problem.what))
                    @if needs_a_person(target) { " " a #{ (id) "-why" } href={ "#n-" (id) } { "What to do" } }
                }
            }
            details #{ (id) "-more" } {
                summary #{ (id) "-file" } { (file_line(package, target)) }
                (facts(release, package, target))
            }
        }
    }
}

/// The one fact beside the state that the reader would ask for next.
fn fact(release: &Release, package: &Package, target: &Target, id: &str) -> Markup {
    html! {
        @match target.state {
            TargetState::Releasing => {
                @let (number, words) = match target.step {
                    Some(Step::Copy) => (2, "copying the bytes"),
                    Some(Step::Move) => (2, "moved by the server"),
                    Some(Step::Carry) => (2, "a long copy, carried by its release job"),
                    Some(Step::Index) if target.tag.is_some() => (3, "waiting for its tag"),
                    Some(Step::Index) => (3, "waiting for the index"),
                    Some(Step::Look) | None => (1, "looking"),
                };
                span.steps.{ "at-" (number) } aria-hidden="true" { i {} i {} i {} }
                " " span.fact { (words) " (" (number) " of 3)" }
                @if let (2, Some(bytes), Some(file)) = (number, target.bytes, &package.file) {
                    " " span.fact.sent { (part(bytes, file.size)) " (" (percent(bytes, file.size)) " %)" }
                }
            }
            TargetState::Released if target.outside => {
                span.fact title="Somebody else had published the same bytes before Slipway did." { "released outside" }
            }
            TargetState::Staged => {
                @if !package.blocked.is_empty() {
                    @for blocked in &package.blocked {
                        span.fact.blocked {
                            "Blocked: " (prose(&blocked.why))
                            @if let Some(kind) = GateKind::of(&blocked.gate) { " Next: " (prose(kind.next())) }
                        }
                    }
                } @else if release.stopped.is_some() {
                    span.fact { "Waits: Slipway is stopped" }
                } @else if let Some(url) = pipeline(release, package).and_then(|pipeline| link(&pipeline.url)) {
                    a.fact #{ (id) "-play" } href=(url) rel="noreferrer" { "Open its pipeline" (away()) }
                }
            }
            TargetState::Withdrawn => {
                @if let Some(taken) = &target.withdrawal { span.fact { "by " (visible(person(&taken.by))) ": " (visible(&taken.reason)) } }
            }
            _ => {}
        }
        @if let Some(expires) = target.expires_at.as_deref().and_then(Moment::parse) {
            " " span.fact title="Its staged copy is deleted then, unless somebody keeps it." { "expires in staging on " (expires.day()) }
        }
    }
}

fn file_line(package: &Package, target: &Target) -> Markup {
    html! {
        @match &package.file {
            Some(file) => {
                span.file { (visible(file.name())) } " " span.size { (size(file.size)) } " "
                code.short { (file.digest.hex().chars().take(12).collect::<String>()) }
            }
            None if target.tag.is_some() => span.file { "No image yet" },
            None => span.file { "No file yet" },
        }
    }
}

/// The link to the job that released a target, or to the pipeline whose job can.
pub(crate) fn job(release: &Release, package: &Package, target: &Target, id: &str) -> Markup {
    let job = target.approval.as_ref().and_then(|approval| link(&approval.job_url));
    html! {
        @if let Some(url) = job {
            a #(id) href=(url) rel="noreferrer" { "Open the job in GitLab" (away()) }
        } @else if let Some(url) = pipeline(release, package).and_then(|pipeline| link(&pipeline.url)) {
            a #(id) href=(url) rel="noreferrer" { "Open the pipeline in GitLab" (away()) }
        }
    }
}

/// An arrow that says that a link leaves Slipway.
fn away() -> Markup {
    html! { span.away aria-hidden="true" { "↗" } }
}

/// What the page was made of, and when.
pub fn sources(release: &Release) -> Part {
    Part::new(
        "sources",
        &html! {
            p { "Change " (release.sequence) " of the release record, " (time(&release.at)) "." }
            @if !release.pipelines.is_empty() {
                p {
                    "Fed by "
                    @for (index, pipeline) in release.pipelines.iter().enumerate() {
                        @if index > 0 { ", " }
                        (pipeline_link(pipeline, "source"))
                        " (" (visible(&pipeline.ref_name)) " at " code { (visible(&pipeline.sha.chars().take(8).collect::<String>())) } ")"
                    }
                    "."
                }
            }
        },
        |mark, inner| html! { div #sources data-mark=(mark) { (inner) } },
    )
}

fn pipeline_link(pipeline: &Pipeline, part: &str) -> Markup {
    html! {
        @match link(&pipeline.url) {
            Some(url) => a #{ (part) "-" (pipeline.id) } href=(url) rel="noreferrer" { "pipeline " (pipeline.id) (away()) },
            None => { "pipeline " (pipeline.id) }
        }
    }
}

/// The page's address.
pub fn path(release: &Release) -> String {
    format!("/p/{}/r/{}", segment(&release.project.name), segment(release.version.as_str()))
}

/// The address of a target's own page. A tag stands in it without its colon, as in the API's addresses.
pub fn target_path(release: &Release, package: &Package, target: &Target) -> String {
    let name = match &target.tag {
        Some(tag) => segment(tag),
        None => target.distro.split('/').map(segment).collect::<Vec<_>>().join("/"),
    };
    format!("{}/t/{}/{name}", path(release), package.key)
}

/// A sentence in which backticks mark what is literal.
pub(crate) fn prose(text: &str) -> Markup {
    let text = visible(text);
    let parts: Vec<&str> = text.split('`').collect();
    // An odd number of parts has every backtick closed.
    let is_paired = parts.len() % 2 == 1;
    html! {
        @if is_paired {
            @for (index, part) in parts.iter().enumerate() {
                @if index % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (text) }
    }
}

/// A time that the browser makes relative; without scripts it is the absolute one.
fn time(text: &str) -> Markup {
    html! {
        @match Moment::parse(text) {
            Some(moment) => time datetime=(moment.machine()) { (moment.minute()) },
            None => (visible(text)),
        }
    }
}

/// Every target with its package, in the order of the table.
pub fn targets(release: &Release) -> impl Iterator<Item = (&Package, &Target)> {
    release.packages.iter().flat_map(|package| package.targets.iter().map(move |target| (package, target)))
}

fn pipeline<'a>(release: &'a Release, package: &Package) -> Option<&'a Pipeline> {
    release.pipelines.iter().find(|pipeline| pipeline.id == package.pipeline_id)
}

fn counts(release: &Release) -> BTreeMap<TargetState, usize> {
    let mut counts = BTreeMap::new();
    for (_, target) in targets(release) {
        *counts.entry(target.state).or_default() += 1;
    }
    counts
}

/// Where each state's part of the bar begins and how long it is: what is out comes first, then what is on its way, so
/// that the bar grows from the left.
fn spans(counts: &BTreeMap<TargetState, usize>) -> Vec<(TargetState, usize, usize)> {
    use TargetState::{
        Approved, Conflict, Expected, Expired, Failed, Missing, Released, Releasing, Skipped, Staged, Withdrawn,
    };
    let order =
        [Released, Releasing, Approved, Staged, Failed, Conflict, Missing, Withdrawn, Expired, Expected, Skipped];
    let mut start = 0;
    let mut spans = Vec::new();
    for (state, count) in order.into_iter().filter_map(|state| counts.get(&state).map(|count| (state, *count))) {
        spans.push((state, start, count));
        start += count;
    }
    spans
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A release of one image under one tag, in the given state.
    pub(crate) fn image(state: &str) -> Release {
        let mut release = release(state);
        let package = &mut release.packages[0];
        if let Some(file) = &mut package.file {
            (file.filename, file.image) = (String::new(), Some("registry.example/team/app/staging".into()));
        }
        let target = &mut package.targets[0];
        (target.distro, target.tag) = (String::new(), Some("1.2.0".into()));
        target.public =
            slipway_core::api::Location { url: "https://registry.example".into(), repository: "team/app".into() };
        release
    }

    fn row_of(release: &Release) -> String {
        let package = &release.packages[0];
        row(release, package, &package.targets[0], &Filter::default()).html.into_string()
    }

    #[test]
    fn what_an_image_waits_for_at_last_is_its_tag_and_a_file_its_index() {
        for (mut release, words) in [
            (image("releasing"), "waiting for its tag (3 of 3)"),
            (release("releasing"), "waiting for the index (3 of 3)"),
        ] {
            release.packages[0].targets[0].step = Some(Step::Index);
            assert!(row_of(&release).contains(words), "{}", row_of(&release));
        }
    }

    /// A release with one target in the given state.
    pub(crate) fn release(state: &str) -> Release {
        let text = format!(
            r#"{{"project":{{"id":1001,"name":"tug"}},"version":"1.2.0","sequence":7,"state":"staged",
                "verdict":"tug 1.2.0 has one target.","at":"2026-11-23T10:04:11.000Z",
                "pipelines":[{{"id":4411,"ref":"v1.2.0","sha":"3f9a1c20e55d","url":"https://gitlab.example/harbour/tug/-/pipelines/4411"}}],
                "packages":[{{"key":"tug-jammy","pipeline_id":4411,"release_job":"release: [tug-jammy]",
                "file":{{"filename":"tug_1.2.0_amd64.deb","digest":"sha256:{digest}","size":24340}},
                "staging":{{"url":"https://packages.example","repository":"harbour-ci/pre-release"}},
                "targets":[{{"distro":"ubuntu/jammy","public":{{"url":"https://packages.example","repository":"harbour/stable"}},
                "state":"{state}","since":"2026-11-23T09:41:07.123Z"}}]}}]}}"#,
            digest = "ab".repeat(32),
        );
        serde_json::from_str(&text).expect("a release's JSON")
    }
}

//! The parts of a release's page. Each has an id and a mark: the browser renders it again from a live message and
//! replaces the element when the mark differs.

use std::fmt::Write as _;
use std::time::Duration;

use maud::{Markup, Render, html};
use slipway_core::amount::{part, percent, size, stretch};
use slipway_core::api::{Blocked, Evidence, Package, Pipeline, Problem, Release, Step, Stopped, Target};
use slipway_core::audit::person;
use slipway_core::release::TargetState;
use slipway_core::verdict::{EXPIRING_SECONDS, package_state};

use crate::filter::{Filter, haystack};
use crate::matrix::{Grid, View, grid, view};
use crate::state::{Tone, chip, glyph, meaning, overlay, tone};
use crate::text::{Moment, ago, link, mark, segment, visible};

/// How many manual jobs are offered at once; the others are folded away.
const PLAYS_SHOWN: usize = 12;
/// How many reasons are told of what may not be released yet, and how many packages of each.
const GATES_SHOWN: usize = 5;
/// In which order states are counted, by what they ask of somebody.
const TONES: [Tone; 5] = [Tone::Broken, Tone::Clock, Tone::Waiting, Tone::Done, Tone::Quiet];
/// From this many targets on, a list is cut into small tables.
const GROUPS_FROM: usize = 200;
/// How many rows such a table has.
const GROUP: usize = 50;

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
    pub(crate) fn new(id: &str, inner: &Markup, element: impl FnOnce(&str, &Markup) -> Markup) -> Self {
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

/// Every part of the page that is replaced as a whole, in the page's order. Rows and cells are parts of their own.
pub fn parts(release: &Release, filter: &Filter) -> [Part; 4] {
    [verdict(release), needs(release), moving(release), tally(release, filter)]
}

/// A row's id: `t-tug-ubuntu-jammy`. It stays the same for the target's whole life.
pub fn row_id(package: &Package, target: &Target) -> String {
    id("t", package, target)
}

fn id(kind: &str, package: &Package, target: &Target) -> String {
    let mut id = format!("{kind}-{}-", package.key);
    for character in target.name().chars() {
        match character {
            '/' => id.push('-'),
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => id.push(c),
            // Writing to a `String` cannot fail.
            c => drop(write!(id, "_{:x}", u32::from(c))),
        }
    }
    id
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
    slipway_core::verdict::needs_a_person(target.state, target.problem.as_ref())
}

/// Whether its staged copy goes within a day, unless somebody releases it or keeps it.
fn is_expiring(release: &Release, target: &Target) -> bool {
    let seconds = |text: &str| Moment::parse(text).map(|moment| moment.seconds());
    let ends = target.expires_at.as_deref().and_then(seconds).filter(|_| target.state == TargetState::Staged);
    ends.zip(seconds(&release.at)).is_some_and(|(ends, now)| ends - now <= i64::from(EXPIRING_SECONDS))
}

/// Whether anything needs a person. The page's icon says so too.
pub fn is_alarming(release: &Release) -> bool {
    targets(release).any(|(_, target)| needs_a_person(target) || is_expiring(release, target))
}

/// The release in one sentence, and how far it is as a bar.
pub fn verdict(release: &Release) -> Part {
    let counts = counts(release);
    let all: usize = counts.iter().map(|(_, count)| count).sum();
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

/// When what is on its way will be released, for those who wait for it. To the minute: a rate foretells no second.
fn end(release: &Release) -> Option<Markup> {
    // While Slipway is stopped, nothing is on its way.
    let estimate = release.estimate.as_ref().filter(|_| release.stopped.is_none())?;
    let ends = Moment::parse(&estimate.ends_at)?;
    Some(html! {
        "What is on its way is released at about " (ends.hour_and_minute()) " UTC, in " (left(release, &estimate.ends_at)) ": " (size(estimate.bytes_left)) " left at " (size(estimate.bytes_per_second)) "/s."
    })
}

/// What somebody must see to, each with its failure record; then what only waits for its job to be played, and what may
/// not be played yet.
pub fn needs(release: &Release) -> Part {
    let is_needing = |target: &Target| needs_a_person(target) || is_expiring(release, target);
    // What is broken comes before what a clock or a rule has to say.
    let is_broken = |target: &Target| tone(target.state) == Tone::Broken;
    let some =
        |broken: bool| targets(release).filter(move |(_, target)| is_needing(target) && is_broken(target) == broken);
    let needing: Vec<(&Package, &Target)> = some(true).chain(some(false)).collect();
    let ready: Vec<&Package> = release
        .packages
        .iter()
        .filter(|package| package.targets.iter().any(|target| is_ready(package, target)))
        .collect();
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
                @else if !ready.is_empty() { p.ready { b { (ready.len()) " ready to release." } } (play(release, &ready)) }
            } @else if let Some(stopped) = stopped {
                h2 #needs-title { "Nothing can be released" }
                p.quiet { (waits(stopped)) }
            } @else if !ready.is_empty() {
                h2 #needs-title { "Ready to release (" (ready.len()) ")" }
                (play(release, &ready))
            } @else {
                h2 #needs-title { "Nothing needs you" }
                p.quiet { (at_rest(release)) }
            }
            @if stopped.is_none() { (closed_gates(release)) }
        },
        |mark, inner| html! { section #needs aria-labelledby="needs-title" data-mark=(mark) tabindex="-1" { (inner) } },
    )
}

/// What is on its way, each with its step.
pub fn moving(release: &Release) -> Part {
    let moving: Vec<(&Package, &Target)> =
        targets(release).filter(|(_, target)| target.state == TargetState::Releasing).collect();
    let waiting = targets(release).filter(|(_, target)| target.state == TargetState::Approved).count();
    Part::new(
        "moving",
        &html! {
            @if !moving.is_empty() {
                h2 #moving-title { "On its way (" (moving.len()) ")" }
                ul.moves {
                    @for (package, target) in moving {
                        li {
                            (subject(release, package, target, "m"))
                            (progress_line(release, package, target))
                        }
                    }
                }
            }
            @if waiting > 0 { p.quiet { (waiting) (if waiting == 1 { " waits its turn." } else { " wait their turn." }) } }
        },
        |mark, inner| html! { section #moving data-mark=(mark) hidden[inner.0.is_empty()] aria-label="On its way" { (inner) } },
    )
}

/// Who has stopped Slipway, while something is left that could be released.
fn stop(release: &Release) -> Option<&Stopped> {
    let (released, all) = progress(release);
    release.stopped.as_ref().filter(|_| released < all)
}

/// Why nothing can be released, and who can change that. A job that is played meanwhile ends red, so no way leads there.
pub(crate) fn waits(stopped: &Stopped) -> Markup {
    html! {
        "Slipway was stopped by " (visible(&stopped.by)) " " (time(&stopped.at)) ": "
        (visible(stopped.reason.trim_ascii().trim_end_matches('.'))) ". An operator must start it first."
    }
}

/// Staged, with nothing in its way.
pub(crate) fn is_ready(package: &Package, target: &Target) -> bool {
    target.state == TargetState::Staged && package.blocked.is_empty() && !needs_a_person(target) && !is_unknown(target)
}

/// Whether a place that has not answered for a while is what this is known from.
fn is_unknown(target: &Target) -> bool {
    target.problem.as_ref().is_some_and(|problem| problem.code == "unknown")
}

/// How to release what is ready: GitLab decides who may, so the way leads there.
fn play(release: &Release, ready: &[&Package]) -> Markup {
    let (first, more) = ready.split_at(ready.len().min(PLAYS_SHOWN));
    let list = |packages: &[&Package]| {
        html! { ul.plays { @for package in packages { li { (play_link(release, package)) } } } }
    };
    html! {
        p.quiet { (if ready.len() == 1 { "Play its manual job in GitLab:" } else { "Play their manual jobs in GitLab:" }) }
        (list(first))
        @if !more.is_empty() { details #plays-more { summary #plays-more-all { (more.len()) " more" } (list(more)) } }
        (stale_why())
    }
}

/// The way to the manual job of a package: that very job where its number is known, or else the pipeline that has it.
fn play_link(release: &Release, package: &Package) -> Markup {
    let job = playable(release, package);
    let pipeline = pipeline(release, package).and_then(|pipeline| link(&pipeline.url));
    html! {
        @match job.or(pipeline) {
            Some(url) => a.act #{ "play-" (package.key) } href=(url) rel="noreferrer" {
                (package.key) @if job.is_none() { " in pipeline " (package.pipeline_id) } (away())
            },
            None => (package.key),
        }
    }
}

/// Why what is shown as an action is none now. The style sheet shows it while what the page says may be old.
pub(crate) fn stale_why() -> Markup {
    html! { p.stale-why { "This page is not up to date, so it leads to no action. It will again once it is." } }
}

/// What is staged and may not be released yet, by what is in its way.
fn closed_gates(release: &Release) -> Markup {
    let mut groups: Vec<(&Blocked, Vec<&Package>)> = Vec::new();
    let mut count = 0;
    for package in release.packages.iter().filter(|package| package.targets.iter().any(is_staged)) {
        count += usize::from(!package.blocked.is_empty());
        for blocked in &package.blocked {
            match groups.iter_mut().find(|(other, _)| other.why == blocked.why) {
                Some((_, packages)) => packages.push(package),
                None => groups.push((blocked, vec![package])),
            }
        }
    }
    html! {
        @if count > 0 {
            p.ready { b { (count) " may not be released yet." } }
            ul.gates {
                @for (blocked, packages) in groups.iter().take(GATES_SHOWN) {
                    li {
                        (overlay("blocked")) " " (prose(&blocked.why))
                        @if let Some(next) = &blocked.next { " Next: " (prose(next)) }
                        span.quiet {
                            " "
                            @for (index, package) in packages.iter().take(GATES_SHOWN).enumerate() { @if index > 0 { ", " } (package.key) }
                            @if packages.len() > GATES_SHOWN { " and " (packages.len() - GATES_SHOWN) " more" }
                        }
                    }
                }
                @if groups.len() > GATES_SHOWN { li.quiet { (groups.len() - GATES_SHOWN) " more reasons are said at their targets." } }
            }
        }
    }
}

fn is_staged(target: &Target) -> bool {
    target.state == TargetState::Staged
}

fn at_rest(release: &Release) -> &'static str {
    match progress(release) {
        (_, 0) => "Nothing is expected yet.",
        (released, all) if released == all => "Every package is released.",
        _ => "Slipway and the pipelines are at work.",
    }
}

/// A target by its names, leading to its page.
fn subject(release: &Release, package: &Package, target: &Target, kind: &str) -> Markup {
    html! {
        a.subject #(id(kind, package, target)) href=(target_path(release, package, target)) {
            (package.key) " · " (visible(&target.name()))
        }
    }
}

fn need(release: &Release, package: &Package, target: &Target) -> Markup {
    let id = id("n", package, target);
    html! {
        p.who {
            (chip(target.state)) " " (subject(release, package, target, "n")) " " span.since { (time(&target.since)) }
        }
        @match &target.problem {
            Some(problem) if needs_a_person(target) => (record(problem)),
            _ if is_expiring(release, target) => {
                p.what { "Its staged copy is deleted " (until(release, target)) ", unless it is released before or somebody keeps it." }
            }
            _ => p.what { (meaning(target.state)) " No more is recorded about it." },
        }
        p.ways {
            (job(release, package, target, &format!("{id}-job")))
            button #{ (id) "-copy" } type="button" data-copy={ (id) "-text" } { "Copy for incident" }
        }
        (stale_why())
        pre #{ (id) "-text" } hidden { (incident(release, package, target)) }
    }
}

/// A failure as Markdown, for whoever writes about it elsewhere.
pub(crate) fn incident(release: &Release, package: &Package, target: &Target) -> Markup {
    html! {
        "**" (visible(&release.project.name)) " " (release.version) ": " (package.key) ", " (visible(&target.name())) ": "
        (target.state.words()) "** since " (Moment::parse(&target.since).map(|since| since.second()).unwrap_or_default()) "\n"
        @if let Some(problem) = &target.problem {
            "- " (visible(&problem.what)) "\n- Public: " (public_effect(&problem.public)) "\n- Trying again: " (retry(&problem.retry))
            "\n- Next: " (visible(&problem.next)) "\n- Code: " (visible(&problem.code)) "\n"
            @if let Some(evidence) = &problem.evidence { "- Evidence: " (said(evidence, false)) "\n" }
        }
        @if let Some((url, _)) = way(release, package, target) { "- " (url) "\n" }
    }
}

/// Every field of a failure record, in the order in which they are asked for under stress.
pub(crate) fn record(problem: &Problem) -> Markup {
    html! {
        p.what { (prose(&problem.what)) }
        dl.record {
            div { dt { "Public" } dd { (public_effect(&problem.public)) } }
            div { dt { "Trying again" } dd { (retry(&problem.retry)) } }
            div.next { dt { "Next" } dd { (prose(&problem.next)) } }
            div { dt { "Code" } dd { code { (visible(&problem.code)) } } }
            @if let Some(evidence) = &problem.evidence { div { dt { "Evidence" } dd { (said(evidence, true)) } } }
        }
    }
}

/// What a service left behind, for its operator: the request's name is in its log too.
fn said(evidence: &Evidence, is_marked: bool) -> Markup {
    html! {
        (visible(&evidence.host))
        @match evidence.status {
            Some(status) => { " answered " (status) },
            None => " gave no answer that can be read",
        }
        @if let Some(id) = &evidence.request_id {
            ", request "
            @if is_marked { code { (visible(id)) } } @else { (visible(id)) }
        }
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

/// How many targets each state has, those first that need somebody; each number filters the table.
pub fn tally(release: &Release, filter: &Filter) -> Part {
    let counts = counts(release);
    Part::new(
        "tally",
        &html! {
            @for (state, count) in TONES.iter().flat_map(|wanted| counts.iter().filter(move |(state, _)| tone(*state) == *wanted)) {
                @let on = filter.states.contains(state);
                li {
                    a.count.(tone(*state).class()) #{ "count-" (state.code()) } data-filter=(state.code())
                        href={ (path(release)) (filter.pressed(state.code()).query()) } aria-current=[on.then_some("true")] {
                        (glyph(*state)) b { (count) } " " (state.words())
                    }
                }
            }
            li hidden[filter.is_empty()] {
                a.count #count-all href={ (path(release)) (filter.pressed("").query()) } data-filter="" { "Show all" }
            }
        },
        |mark, inner| html! { ul #tally data-mark=(mark) aria-label="Filter by state" { (inner) } },
    )
}

/// Every target, as a matrix or as a list: the files, and then the images.
pub fn packages(release: &Release, filter: &Filter) -> Markup {
    let view = view(release, filter);
    html! {
        div #packages data-view=(view.code()) {
            @if release.packages.is_empty() { (first_run(release)) }
            @for (images, heading) in [(false, "packages-title"), (true, "images")] {
                @let found: Vec<(&Package, &Target)> = targets(release).filter(|(_, target)| target.tag.is_some() == images).collect();
                @if images && !found.is_empty() { h2 #images tabindex="-1" { "Images" } }
                @if found.is_empty() {}
                @else if view == View::Matrix { (matrix(release, filter, images, heading)) }
                @else { (list(release, filter, &found, heading)) }
            }
        }
    }
}

/// Targets by what they are for and what they are. On a phone the style sheet lays the same cells out as a list, and
/// browsers then forget that it is a table, hence the roles.
fn matrix(release: &Release, filter: &Filter, images: bool, heading: &str) -> Markup {
    let Grid { columns, rows } = grid(release, images);
    let is_one_line = columns.iter().all(|(line, _)| columns.first().is_some_and(|(first, _)| first == line));
    let column = |(line, arch): &(String, String)| match (is_one_line && columns.len() > 1, images) {
        (true, false) => visible(arch),
        (_, true) => visible(line),
        _ => visible(&format!("{line} {arch}")),
    };
    let names: Vec<String> = columns.iter().map(column).collect();
    html! {
        div.wide {
            table.matrix.many[(5..9).contains(&columns.len())].crowded[columns.len() >= 9] role="table" aria-labelledby=(heading) {
                thead role="rowgroup" {
                    tr role="row" {
                        th scope="col" role="columnheader" { (if images { "Tag" } else { "For" }) }
                        @for name in &names { th scope="col" role="columnheader" { (name) } }
                    }
                }
                tbody role="rowgroup" {
                    @for (row, cells) in &rows {
                        tr role="row" {
                            th scope="row" role="rowheader" { (visible(row)) }
                            @for (found, name) in cells.iter().zip(&names) {
                                td.none[found.is_empty()] role="cell" {
                                    @for (package, target) in found {
                                        // The column's name again, for a phone and for those who hear the link alone.
                                        span.col { (name) }
                                        (cell(release, package, target, filter))
                                    }
                                    @if found.is_empty() { span.unseen { "none" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A row for each target. The style sheet lays the table out as a grid, so that a row can have a second line across all
/// columns, and as a list on a phone. Many are cut into small tables: a browser then draws those alone that are in sight.
fn list(release: &Release, filter: &Filter, found: &[(&Package, &Target)], heading: &str) -> Markup {
    let is_cut = found.len() >= GROUPS_FROM;
    html! {
        @for (index, group) in found.chunks(if is_cut { GROUP } else { found.len().max(1) }).enumerate() {
            div.group[is_cut] {
                table.list role="table" aria-labelledby=[(!is_cut).then_some(heading)] {
                    @if is_cut { caption { (index * GROUP + 1) " to " (index * GROUP + group.len()) " of " (found.len()) } }
                    thead.unseen[index > 0] role="rowgroup" {
                        tr role="row" {
                            th scope="col" role="columnheader" { "Package" }
                            th scope="col" role="columnheader" { "For" }
                            th scope="col" role="columnheader" { "State" }
                            th scope="col" role="columnheader" { "When and by whom" }
                        }
                    }
                    tbody role="rowgroup" {
                        @for (package, target) in group { (row(release, package, target, filter)) }
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

/// The id of a target's element in the layout that the page has.
pub fn entry_id(package: &Package, target: &Target, view: View) -> String {
    id(if view == View::Matrix { "c" } else { "t" }, package, target)
}

/// A target in the layout that the page has.
pub fn entry(release: &Release, package: &Package, target: &Target, filter: &Filter, view: View) -> Part {
    match view {
        View::Matrix => cell(release, package, target, filter),
        View::List => row(release, package, target, filter),
    }
}

/// One target's row.
pub fn row(release: &Release, package: &Package, target: &Target, filter: &Filter) -> Part {
    let id = row_id(package, target);
    let find = haystack(release, package, target);
    let is_shown = filter.shows(target.state, &find);
    let inner = html! {
        th.key scope="row" role="rowheader" {
            a #{ (id) "-to" } href=(target_path(release, package, target)) { (package.key) }
        }
        td.distro role="cell" { (visible(&target.name())) }
        td.state role="cell" {
            (chip(target.state)) " " (fact(release, package, target, None)) (progress_line(release, package, target))
        }
        td.when role="cell" {
            (time(&target.since))
            @if let Some(approval) = &target.approval { " by " (visible(&approval.by)) }
        }
        @let why = why(package, target);
        @if !why.0.is_empty() { td.more role="cell" { (why) } }
    };
    Part::new(&id, &inner, |mark, inner| {
        html! {
            tr.target.(tone(target.state).class()) #(id) role="row" tabindex="-1" hidden[!is_shown] data-mark=(mark)
                data-state=(target.state.code()) data-find=(find) { (inner) }
        }
    })
}

/// One target's cell: a single link, with the one fact that is asked for first.
pub fn cell(release: &Release, package: &Package, target: &Target, filter: &Filter) -> Part {
    let id = id("c", package, target);
    let find = haystack(release, package, target);
    let is_shown = filter.shows(target.state, &find);
    let inner = html! {
        (glyph(target.state)) b { (target.state.words()) } " "
        (fact(release, package, target, Some(&target.since))) (progress_line(release, package, target))
    };
    Part::new(&id, &inner, |mark, inner| {
        html! {
            a.target.(tone(target.state).class()).(target.state.code()) #(id) href=(target_path(release, package, target))
                hidden[!is_shown] data-mark=(mark) data-state=(target.state.code()) data-find=(find) { (inner) }
        }
    })
}

/// The one fact beside the state that the reader would ask for next; without any, since when it is so.
fn fact(release: &Release, package: &Package, target: &Target, since: Option<&str>) -> Markup {
    let overlaid = match target.problem.as_ref().map(|problem| problem.code.as_str()) {
        Some(code @ ("unknown" | "drift")) => Some(code),
        _ if is_staged(target) && !package.blocked.is_empty() => Some("blocked"),
        _ => None,
    };
    // The staged copy of what is public is nobody's concern.
    let is_waiting = matches!(target.state, TargetState::Staged | TargetState::Failed | TargetState::Conflict);
    html! {
        @if let Some(code) = overlaid { (overlay(code)) }
        @else if is_staged(target) && release.stopped.is_some() { span.fact { "Slipway is stopped" } }
        @else if target.expires_at.is_some() && is_waiting {
            span.fact.clock[is_expiring(release, target)] title="Its staged copy is deleted then, unless somebody keeps it." {
                "deleted " (until(release, target))
            }
        }
        @else if target.state == TargetState::Expected && needs_a_person(target) { span.fact.clock { "overdue" } }
        @else {
            @if target.outside && target.state == TargetState::Released {
                span.fact title="Somebody else had published the same bytes before Slipway did." { "released outside" } " "
            }
            @if target.attempts > 1 && target.state != TargetState::Released { span.fact { "attempt " (target.attempts) } " " }
            @if let Some(since) = since.filter(|_| !matches!(target.state, TargetState::Expected | TargetState::Skipped)) {
                span.fact { (short(release, since)) }
            }
        }
    }
}

/// What is being done with a target that is on its way, and how fast.
fn progress_line(release: &Release, package: &Package, target: &Target) -> Markup {
    let (number, words) = match target.step {
        Some(Step::Copy) => (2, "copying the bytes"),
        Some(Step::Move) => (2, "moved by the server"),
        Some(Step::Carry) => (2, "a long copy, carried by its release job"),
        Some(Step::Index) if target.tag.is_some() => (3, "waiting for its tag"),
        Some(Step::Index) => (3, "waiting for the index"),
        Some(Step::Look) | None => (1, "looking"),
    };
    html! {
        @if target.state == TargetState::Releasing {
            span.second {
                span.steps.{ "at-" (number) } aria-hidden="true" { i {} i {} i {} }
                " " (words) " (" (number) " of 3)"
                @if let (2, Some(bytes), Some(file)) = (number, target.bytes, &package.file) {
                    ": " (part(bytes, file.size)) " (" (percent(bytes, file.size)) " %)"
                    @if let Some(pace) = &target.pace {
                        ", " (size(pace.bytes_per_second)) "/s, " (left(release, &pace.ends_at)) " left"
                    }
                }
            }
        }
    }
}

/// Why a target is as it is, in a sentence, where there is more to say than its state does.
fn why(package: &Package, target: &Target) -> Markup {
    html! {
        @if let Some(problem) = &target.problem {
            p.what {
                (prose(&problem.what))
                @if needs_a_person(target) { " " a #{ (row_id(package, target)) "-why" } href={ "#" (id("n", package, target)) } { "What to do" } }
            }
        } @else if let Some(taken) = &target.withdrawal {
            p.what { "Taken back by " (visible(person(&taken.by))) ": " (visible(&taken.reason)) }
        } @else if is_staged(target) {
            @for blocked in &package.blocked {
                p.what { (prose(&blocked.why)) @if let Some(next) = &blocked.next { " Next: " (prose(next)) } }
            }
        }
    }
}

/// How long something still takes, from when the release was read.
pub(crate) fn left(release: &Release, ends_at: &str) -> String {
    let seconds = |text: &str| Moment::parse(text).map_or(0, |moment| moment.seconds());
    stretch(Duration::from_secs(u64::try_from(seconds(ends_at) - seconds(&release.at)).unwrap_or(0)))
}

/// When the staged copy of a target is deleted, from when the release was read.
pub(crate) fn until(release: &Release, target: &Target) -> Markup {
    let ends = target.expires_at.as_deref().and_then(Moment::parse);
    html! {
        @if let (Some(ends), Some(now)) = (ends, Moment::parse(&release.at)) {
            time datetime=(ends.machine()) { (ago(now.seconds(), ends.seconds()).unwrap_or_else(|| format!("on {}", ends.day()))) }
        }
    }
}

/// `22 Nov`, from `2026-11-22`.
fn day(date: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let part = |range: std::ops::Range<usize>| date.get(range).and_then(|digits| digits.parse::<usize>().ok());
    match (part(5..7).and_then(|month| MONTHS.get(month.wrapping_sub(1))), part(8..10)) {
        (Some(month), Some(day)) => format!("{day} {month}"),
        _ => date.to_owned(),
    }
}

/// A time as short as it can be without a mistake: the clock's of the day on which the release was read, or else the day.
fn short(release: &Release, text: &str) -> Markup {
    let today = Moment::parse(&release.at).map(|now| now.day());
    html! {
        @if let Some(moment) = Moment::parse(text) {
            time datetime=(moment.machine()) {
                @if today == Some(moment.day()) { (moment.hour_and_minute()) } @else { (day(moment.day())) }
            }
        }
    }
}

/// The very job of a package that can be played now. What a closed gate or a stopped Slipway would refuse is not offered, and nothing
/// is on the strength of what may be so no more.
pub(crate) fn playable<'a>(release: &Release, package: &'a Package) -> Option<&'a str> {
    let may = release.stopped.is_none() && package.blocked.is_empty() && !package.targets.iter().any(is_unknown);
    package.job_url.as_deref().filter(|_| may).and_then(link)
}

/// Where to go in GitLab for a target, and what that is: the job that released it, the one that can, or their pipeline.
fn way<'a>(release: &'a Release, package: &'a Package, target: &'a Target) -> Option<(&'a str, &'static str)> {
    let released = target.approval.as_ref().and_then(|approval| link(&approval.job_url));
    released
        .map(|url| (url, "Open the job in GitLab"))
        .or_else(|| playable(release, package).map(|url| (url, "Play in GitLab")))
        .or_else(|| Some((link(&pipeline(release, package)?.url)?, "Open the pipeline in GitLab")))
}

/// The link there.
pub(crate) fn job(release: &Release, package: &Package, target: &Target, id: &str) -> Markup {
    html! {
        @if let Some((url, words)) = way(release, package, target) {
            a.act #(id) href=(url) rel="noreferrer" { (words) (away()) }
        }
    }
}

/// An arrow that says that a link leaves Slipway.
pub(crate) fn away() -> Markup {
    html! { span.away aria-hidden="true" { "↗" } }
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

/// A time in words that stay as they are, where “in 3 h” would not fit into the sentence.
pub(crate) fn moment(text: &str) -> String {
    Moment::parse(text).map_or_else(|| visible(text), |moment| moment.minute())
}

/// A time that the browser makes relative; without scripts it is the absolute one.
pub(crate) fn time(text: &str) -> Markup {
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

pub(crate) fn pipeline<'a>(release: &'a Release, package: &Package) -> Option<&'a Pipeline> {
    release.pipelines.iter().find(|pipeline| pipeline.id == package.pipeline_id)
}

/// How many targets each state has that has any.
fn counts(release: &Release) -> Vec<(TargetState, usize)> {
    let count = |state| targets(release).filter(|(_, target)| target.state == state).count();
    TargetState::ALL.into_iter().map(|state| (state, count(state))).filter(|(_, count)| *count > 0).collect()
}

/// Where each state's part of the bar begins and how long it is: what is out comes first, then what is on its way, so
/// that the bar grows from the left.
fn spans(counts: &[(TargetState, usize)]) -> Vec<(TargetState, usize, usize)> {
    use TargetState::{
        Approved, Conflict, Expected, Expired, Failed, Missing, Released, Releasing, Skipped, Staged, Withdrawn,
    };
    let order =
        [Released, Releasing, Approved, Staged, Failed, Conflict, Missing, Withdrawn, Expired, Expected, Skipped];
    let mut start = 0;
    let mut spans = Vec::new();
    for state in order {
        if let Some((_, count)) = counts.iter().find(|(counted, _)| *counted == state) {
            spans.push((state, start, *count));
            start += count;
        }
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

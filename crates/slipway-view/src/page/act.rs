//! What a person does to a release from its page: a form each, which says first what it will do.
//!
//! No script is needed for any of it. What the form says is sent back with it as a mark, so that what is done is what was read:
//! whoever has read something else by now is shown it first.

use maud::{Markup, html};
use slipway_core::api::{Hold, Package, Release, Target};
use slipway_core::audit::person;
use slipway_core::release::{Key, TargetState};

use super::{Act, Reader, Shell};
use crate::section::{self, moment};
use crate::state::chip;
use crate::text::{Moment, mark, segment, visible};

/// A form, empty or as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// What it does.
    pub act: Act,
    /// The name of the project, as the address has it.
    pub project: &'a str,
    /// The version, as the address has it.
    pub version: &'a str,
    /// The release, where it could be read.
    pub release: Option<&'a Release>,
    /// The packages that are meant. None: the release as a whole.
    pub keys: &'a [Key],
    /// Why.
    pub reason: &'a str,
    /// Until when, as somebody wrote it.
    pub until: &'a str,
    /// The time of the data that they saw before, where it was sent already.
    pub seen_at: Option<&'a str>,
    /// Why it is shown again.
    pub refused: Option<&'a str>,
}

impl Act {
    /// The last part of its address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Lift => "lift",
            Self::Extend => "extend",
            Self::Close => "close",
        }
    }

    /// The act of an address.
    pub fn of_path(part: &str) -> Option<Self> {
        [Self::Hold, Self::Lift, Self::Extend, Self::Close].into_iter().find(|act| act.path() == part)
    }

    /// What its button says.
    pub fn words(self) -> &'static str {
        match self {
            Self::Hold => "Hold",
            Self::Lift => "Lift the hold",
            Self::Extend => "Keep for longer",
            Self::Close => "Give up",
        }
    }
}

/// The mark of what a form says that it will do. It is sent back with the form.
pub fn seen(form: &Form<'_>) -> String {
    form.release.map_or_else(String::new, |release| mark(&will(form, release).into_string()))
}

/// The page of a form.
pub fn act(form: &Form<'_>, reader: &Reader<'_>) -> Markup {
    let (project, version) = (visible(form.project), visible(form.version));
    let release_path = format!("/p/{}/r/{}", segment(form.project), segment(form.version));
    let trail = [
        ("Projects", "/".to_owned()),
        (&project, format!("/p/{}", segment(form.project))),
        (&version, release_path.clone()),
        (form.act.words(), String::new()),
    ];
    let title = format!("{} · {project} {version}", form.act.words());
    Shell { title: &title, trail: &trail, is_alarming: false, reader }.page(
        &html! {},
        &html! {
            main #main {
                h1 { (heading(form.act)) " " (project) " " (version) }
                @if let Some(why) = form.refused {
                    div.f-refused role="alert" #refused tabindex="-1" { p { (section::prose(why)) } }
                }
                form.f-act method="post" action={ (release_path) "/" (form.act.path()) } autocomplete="off" {
                    @if let Some(release) = form.release {
                        section aria-labelledby="will-title" {
                            h2 #will-title { "What this does" }
                            (will(form, release))
                            (changed(form, release))
                        }
                        (packages(form, release))
                        input type="hidden" name="seen" value=(seen(form));
                        input type="hidden" name="at" value=(release.at);
                    } @else {
                        @for key in form.keys { input type="hidden" name="keys" value=(key); }
                    }
                    @if matches!(form.act, Act::Hold | Act::Extend) { (until(form)) }
                    p.f-field {
                        label for="reason" { "Reason" }
                        span.quiet #reason-help { "One line that others will read, in the audit too." }
                        input #reason type="text" name="reason" value=(form.reason) required maxlength="500"
                            aria-describedby="reason-help";
                    }
                    p.f-buttons {
                        button.f-go type="submit" { (form.act.words()) }
                        a href=(release_path) { "Back to the release, changing nothing" }
                    }
                }
            }
        },
        &html! { p { a href="/help/states" { "What the words mean" } } },
    )
}

fn heading(act: Act) -> &'static str {
    match act {
        Act::Hold => "Hold back",
        Act::Lift => "Lift a hold of",
        Act::Extend => "Keep in staging for longer:",
        Act::Close => "Give up",
    }
}

fn until(form: &Form<'_>) -> Markup {
    let is_needed = form.act == Act::Extend;
    html! {
        p.f-field {
            label for="until" { "Until (UTC)" @if !is_needed { ", if it is to end by itself" } }
            span.quiet #until-help {
                @if is_needed { "Nothing of it is deleted from staging before then." }
                @else { "Left empty, it lasts until somebody lifts it. A hold never becomes shorter but by lifting it." }
            }
            input #until type="datetime-local" name="until" value=(form.until) required[is_needed] step="60"
                aria-describedby="until-help";
        }
    }
}

/// The packages that are meant.
fn meant<'a>(form: &'a Form<'_>, release: &'a Release) -> impl Iterator<Item = &'a Package> {
    release.packages.iter().filter(|package| form.keys.is_empty() || form.keys.contains(&package.key))
}

/// What the form will do, in words and in numbers. Nothing in it changes with time alone.
fn will(form: &Form<'_>, release: &Release) -> Markup {
    let count = |states: &[TargetState]| {
        meant(form, release)
            .flat_map(|package| &package.targets)
            .filter(|target| states.contains(&target.state))
            .count()
    };
    let public = count(&[TargetState::Released]);
    let moving = count(&[TargetState::Releasing]);
    let waiting = count(&[TargetState::Expected, TargetState::Staged, TargetState::Approved]);
    let left =
        waiting + count(&[TargetState::Conflict, TargetState::Failed, TargetState::Missing, TargetState::Expired]);
    let what = what(form);
    html! {
        ul.f-will {
            @match form.act {
                Act::Hold => {
                    li { "From now on nothing of " (what) " begins, nothing of it is cleaned up, and nothing of it is replaced." }
                    li { "Waiting: " (targets(waiting)) ". An approval that has not begun is taken back: its job has to be played again." }
                    li { "Being released at this moment: " (targets(moving)) ". What has begun is finished." }
                    li { "Public already: " (targets(public)) ". A hold takes nothing back." }
                }
                Act::Lift => {
                    li { "What is kept back by nothing else may be released again. Lifting a hold releases nothing: what lost its approval is played again." }
                    @for hold in lifted(form, release) { li { (held(hold)) } }
                    @if lifted(form, release).next().is_none() { li { "Nobody holds " (what) "." } }
                }
                Act::Extend => {
                    li { "Nothing of " (what) " is deleted from staging before that moment. What was announced of it is over." }
                    @for (key, at) in announced(form, release) {
                        li { code { (key) } " would be deleted from " (moment(at)) " on." }
                    }
                }
                Act::Close => {
                    li { "Nothing more of " (what) " is released, ever: a release that was given up stays so." }
                    li { "Not shipped from then on: " (targets(left)) "." }
                    @if moving > 0 { li { "Being released at this moment: " (targets(moving)) ". What has begun is finished, and stays public." } }
                    li { "Public already, and public they stay: " (targets(public)) "." }
                }
            }
            @if let Some(closed) = &release.closed {
                li { "It was given up already by " (visible(person(&closed.by))) ": " (visible(&closed.reason)) }
            }
        }
        details.f-bytes open[meant(form, release).count() <= 12] {
            summary { "Packages and their digests (" (meant(form, release).count()) ")" }
            ul {
                @for package in meant(form, release) {
                    li {
                        b { (package.key) } " "
                        @match &package.file {
                            Some(file) => { (visible(file.name())) " " code.digest { (file.digest) } }
                            None => { span.quiet { "not built yet" } }
                        }
                        @for target in &package.targets { " " span.f-target { (visible(&target.name())) " " (chip(target.state)) } }
                    }
                }
            }
        }
    }
}

/// What is meant, in words.
fn what(form: &Form<'_>) -> Markup {
    html! {
        @if form.keys.is_empty() { "the release" }
        @for (index, key) in form.keys.iter().enumerate() { @if index > 0 { ", " } code { (key) } }
    }
}

fn targets(count: usize) -> String {
    if count == 1 { "1 target".to_owned() } else { format!("{count} targets") }
}

/// The holds that the form would lift: that of the whole release, or of each package named.
fn lifted<'a>(form: &'a Form<'_>, release: &'a Release) -> impl Iterator<Item = &'a Hold> {
    release.holds.iter().filter(|hold| match &hold.key {
        None => form.keys.is_empty(),
        Some(key) => form.keys.contains(key),
    })
}

fn held(hold: &Hold) -> Markup {
    html! {
        @match &hold.key { Some(key) => { code { (key) } } None => "The whole release" }
        " is held by " (visible(person(&hold.by))) " since " (moment(&hold.at))
        @if let Some(until) = &hold.until { " until " (moment(until)) }
        ": " (visible(&hold.reason))
    }
}

/// What was announced to be deleted, a package each.
fn announced<'a>(form: &'a Form<'_>, release: &'a Release) -> impl Iterator<Item = (&'a Key, &'a str)> {
    meant(form, release).filter_map(|package| {
        let earliest = package.targets.iter().filter_map(|target| target.expires_at.as_deref()).min()?;
        Some((&package.key, earliest))
    })
}

/// What has changed since somebody read the form, where it was sent and is shown again.
fn changed(form: &Form<'_>, release: &Release) -> Markup {
    let Some(before) = form.seen_at.and_then(Moment::parse) else { return html! {} };
    // Both are written alike, so that the later one is the greater text.
    let newer = |target: &&Target| Moment::parse(&target.since).is_some_and(|since| since.machine() > before.machine());
    let newer: Vec<(&Package, &Target)> = meant(form, release)
        .flat_map(|package| package.targets.iter().filter(newer).map(move |target| (package, target)))
        .collect();
    html! {
        @if !newer.is_empty() {
            p { b { "Since you looked at " (before.clock()) ":" } }
            ul.f-will {
                @for (package, target) in newer {
                    li { code { (package.key) } " " (visible(&target.name())) " " (chip(target.state)) }
                }
            }
        }
    }
}

/// Where packages are chosen.
fn packages(form: &Form<'_>, release: &Release) -> Markup {
    let can_be_meant = |package: &&Package| match form.act {
        Act::Hold | Act::Extend => true,
        Act::Lift => release.holds.iter().any(|hold| hold.key.as_ref() == Some(&package.key)),
        Act::Close => false,
    };
    let offered: Vec<&Package> = release.packages.iter().filter(can_be_meant).collect();
    html! {
        @if !offered.is_empty() {
            details.f-keys open[!form.keys.is_empty()] {
                summary { "Some packages alone" }
                fieldset {
                    legend { "Without any, it is about the release as a whole." }
                    @for package in offered {
                        label { input type="checkbox" name="keys" value=(package.key) checked[form.keys.contains(&package.key)]; " " (package.key) }
                    }
                }
            }
        }
    }
}

/// Who reads, and how they sign in and out: a part of every page.
pub(super) fn signed_in(reader: &Reader<'_>) -> Markup {
    html! {
        @if let Some(name) = reader.name {
            div.f-reader {
                p { span.f-as { "Signed in as " } b { (visible(name)) } }
                form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
            }
        } @else if reader.may_sign_in {
            p.f-reader { a href=(sign_in_path(reader)) { "Sign in" } }
        }
    }
}

/// A way to sign in, for a page that somebody may not read without.
pub(super) fn offer(reader: &Reader<'_>) -> Markup {
    html! {
        @if reader.name.is_none() && reader.may_sign_in {
            p { a.f-go href=(sign_in_path(reader)) { "Sign in with GitLab" } }
        }
    }
}

fn sign_in_path(reader: &Reader<'_>) -> String {
    if reader.path.is_empty() || reader.path == "/" {
        return "/sign-in".to_owned();
    }
    format!("/sign-in?to={}", segment(reader.path))
}

/// A sign-in that came to nothing: `detail` says why.
pub fn not_signed_in(detail: &str, reader: &Reader<'_>) -> Markup {
    super::failure("You are not signed in", detail, &offer(reader), reader)
}

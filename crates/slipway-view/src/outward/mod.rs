//! What is told to those who see nothing but what is public, and to machines: badges, feeds, lines of text.
//!
//! [`Question`] reads an address, [`answer`] makes the whole answer from what is public. Nobody else makes one: two
//! things that are not public have the same answer, since this is all that the answer is made of.

mod badge;
mod feed;
mod line;
mod plain;

pub use badge::badge;
pub(crate) use feed::Feed;
pub(crate) use line::sentence;
pub use line::{line_json, line_text};
pub use plain::{plain_projects, plain_release, plain_releases, plain_target};

use serde::Serialize;
use slipway_core::api::{PublicProject, PublicRelease, PublicSummary};
use slipway_core::cargo::target_in_path;
use slipway_core::line::{Line, What};
use slipway_core::release::{Key, Version};
use slipway_core::sight;
use slipway_wire::Digest;

use crate::page::{self, Reader, public};
use crate::text::{decoded, segment};

/// How long a page or a JSON of what is public may be kept, by anybody.
const PAGE_SECONDS: u32 = 30;
/// How long a badge or a feed may be.
const BADGE_SECONDS: u32 = 60;

/// In which form somebody wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page.
    Html,
    /// Lines of text, for a terminal.
    Text,
    /// JSON.
    Json,
}

impl Form {
    /// The form that an `Accept` asks for, of these: the one with the greatest weight, the first of several. Without the
    /// header, or where it names none of them, the first of all.
    pub fn of(accept: &str, offered: &[Self]) -> Self {
        let weight = |form: &Self| {
            let (group, kind) = match form {
                Self::Html => ("text", "html"),
                Self::Text => ("text", "plain"),
                Self::Json => ("application", "json"),
            };
            // A type by its name counts before one by a pattern.
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?.to_ascii_lowercase();
                let nearness = match name.split_once('/')? {
                    (one, other) if one == group && other == kind => 3,
                    (one, "*") if one == group => 2,
                    ("*", "*") => 1,
                    _ => return None,
                };
                Some((nearness, thousandths(parts.find_map(|part| part.strip_prefix("q=")))))
            });
            ranges.max().map_or(0, |(_, weight)| weight)
        };
        let mut best = None;
        for form in offered {
            let own = weight(form);
            if best.is_none_or(|(_, most)| own > most) {
                best = Some((*form, own));
            }
        }
        best.map_or(Self::Html, |(form, _)| form)
    }
}

/// A weight such as `0.8`, in thousandths.
fn thousandths(text: Option<&str>) -> u32 {
    let Some(text) = text else { return 1000 };
    match text.split_once('.') {
        None if text == "0" => 0,
        Some(("0", digits)) => {
            let padded: String = digits.chars().chain("000".chars()).take(3).collect();
            padded.parse().unwrap_or(0)
        }
        _ => 1000,
    }
}

/// What is asked about a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its releases.
    Releases(Form),
    /// One of them.
    Release {
        /// The version.
        version: Version,
        /// In which form.
        form: Form,
    },
    /// One target.
    Target {
        /// The version.
        version: Version,
        /// The package.
        key: Key,
        /// The text form of the target's name.
        target: String,
        /// In which form.
        form: Form,
    },
    /// What is attested of one target.
    Attestation {
        /// The version.
        version: Version,
        /// The package.
        key: Key,
        /// The text form of the target's name.
        target: String,
    },
    /// Whether something is out, in one line.
    Is {
        /// The version.
        version: Version,
        /// What.
        what: What,
        /// In which form.
        form: Form,
    },
    /// A badge: of the newest release, of one, or of a target of it.
    Badge {
        /// The version.
        version: Option<Version>,
        /// The package and the target.
        target: Option<(Key, String)>,
    },
    /// A feed: of the releases, or of the targets of one.
    Feed {
        /// The version.
        version: Option<Version>,
    },
    /// Nothing that can be there: an address that no release could have.
    Nothing,
}

impl Question {
    /// The project that an address asks about, and what it asks. `None` for an address of another kind.
    pub fn read<'a>(segments: &[&'a str], query: &str, accept: &str) -> Option<(&'a str, Self)> {
        let page = Form::of(accept, &[Form::Html, Form::Text]);
        let version = |text: &str| text.parse::<Version>().ok();
        let target = |version: &str, key: &str, name: &[&str]| {
            Some((version.parse().ok()?, key.parse::<Key>().ok()?, target_in_path(&name.join("/"))))
        };
        let (project, question) = match segments {
            ["p", project] => (*project, Some(Self::Releases(page))),
            ["p", project, "r", of] => (*project, version(of).map(|version| Self::Release { version, form: page })),
            ["p", project, "r", of, "t", key, name @ ..] if !name.is_empty() => (
                *project,
                target(of, key, name).map(|(version, key, target)| Self::Target { version, key, target, form: page }),
            ),
            ["p", project, "is", of, what @ ..] if !what.is_empty() => (*project, Self::is(project, of, what, accept)),
            ["api", "v1", "projects", project, "badge.svg"] => {
                (*project, Some(Self::Badge { version: None, target: None }))
            }
            ["api", "v1", "projects", project, "feed.atom"] => (*project, Some(Self::Feed { version: None })),
            ["api", "v1", "projects", project, "releases"] => (*project, Some(Self::Releases(Form::Json))),
            ["api", "v1", "projects", project, "releases", of] => {
                (*project, version(of).map(|version| Self::Release { version, form: Form::Json }))
            }
            ["api", "v1", "projects", project, "releases", of, "badge.svg"] => {
                (*project, version(of).map(|version| Self::Badge { version: Some(version), target: named(query) }))
            }
            ["api", "v1", "projects", project, "releases", of, "feed.atom"] => {
                (*project, version(of).map(|version| Self::Feed { version: Some(version) }))
            }
            ["api", "v1", "projects", project, "releases", of, "targets", key, name @ ..] if !name.is_empty() => {
                let form = Form::Json;
                let question = target(of, key, name);
                (*project, question.map(|(version, key, target)| Self::Target { version, key, target, form }))
            }
            ["api", "v1", "projects", project, "releases", of, "attestations", key, name @ ..] if !name.is_empty() => {
                let question = target(of, key, name);
                (*project, question.map(|(version, key, target)| Self::Attestation { version, key, target }))
            }
            _ => return None,
        };
        Some((project, question.unwrap_or(Self::Nothing)))
    }

    /// `/is/…`. The form is at the end of the address, or what `Accept` says.
    fn is(project: &str, version: &str, what: &[&str], accept: &str) -> Option<Self> {
        // The answer says the name again.
        project.parse::<Key>().ok()?;
        let (last, rest) = what.split_last()?;
        let (last, form) = match last.rsplit_once('.') {
            Some((last, "txt")) => (last, Form::Text),
            Some((last, "json")) => (last, Form::Json),
            _ => (*last, Form::of(accept, &[Form::Html, Form::Text, Form::Json])),
        };
        let what = What::read(&[rest, &[last]].concat())?;
        Some(Self::Is { version: version.parse().ok()?, what, form })
    }

    /// Whether the answer is made of what is public, whoever asks: it goes where nobody signs in.
    pub fn is_outward(&self) -> bool {
        matches!(self, Self::Badge { .. } | Self::Feed { .. })
    }

    /// The release that has to be looked up. `None`: the list of those of which something is public.
    pub fn version(&self) -> Option<&Version> {
        match self {
            Self::Release { version, .. }
            | Self::Target { version, .. }
            | Self::Attestation { version, .. }
            | Self::Is { version, .. } => Some(version),
            Self::Badge { version, .. } | Self::Feed { version } => version.as_ref(),
            Self::Releases(_) | Self::Nothing => None,
        }
    }

    /// What there is none of, where there is nothing.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Releases(Form::Json) => "such project",
            Self::Release { form: Form::Json, .. } | Self::Feed { .. } => "such release",
            Self::Target { form: Form::Json, .. } | Self::Attestation { .. } => "such target",
            _ => "such page",
        }
    }
}

/// `target=KEY/TARGET` of a badge. What cannot be read names nothing that there could be.
fn named(query: &str) -> Option<(Key, String)> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("target="))?;
    let value = decoded(value);
    let (key, target) = value.split_once('/')?;
    Some((key.parse().ok()?, target_in_path(target)))
}

/// What is known of what is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The releases of which something is, the newest first. None: it is no project, as far as anybody sees.
    Releases(Vec<PublicSummary>),
    /// The release that was asked about.
    Release(Option<PublicRelease>),
}

/// An answer with everything that is sent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outward {
    /// Its `Content-Type`.
    pub kind: &'static str,
    /// How many seconds anybody may keep it.
    pub lives_s: u32,
    /// What is in it.
    pub body: String,
}

impl Outward {
    fn html(markup: maud::Markup) -> Self {
        Self { kind: "text/html; charset=utf-8", lives_s: PAGE_SECONDS, body: markup.into_string() }
    }

    /// Lines of text.
    pub fn text(body: String) -> Self {
        Self { kind: "text/plain; charset=utf-8", lives_s: PAGE_SECONDS, body }
    }

    fn json(value: &impl Serialize) -> Option<Self> {
        Some(Self { kind: "application/json", lives_s: PAGE_SECONDS, body: serde_json::to_string(value).ok()? })
    }

    /// Its `ETag`: what is in it, and nothing else. A number that grows with every change would tell of those that nobody
    /// may see.
    pub fn tag(&self) -> String {
        let digest = Digest::of(self.body.as_bytes()).hex();
        format!("\"{}\"", digest.get(..32).unwrap_or(&digest))
    }
}

/// The answer to a question about a project, from what is public of it. `None`: there is nothing, as far as anybody sees.
/// `edge` is Slipway's own address.
pub fn answer(project: &str, question: &Question, known: &Known, edge: &str, reader: &Reader<'_>) -> Option<Outward> {
    match (question, known) {
        (Question::Releases(form), Known::Releases(releases)) if !releases.is_empty() => Some(match form {
            Form::Html => Outward::html(public::releases(project, releases, reader)),
            Form::Text => Outward::text(plain::summaries(releases)),
            Form::Json => Outward::json(releases)?,
        }),
        (Question::Release { form, .. }, Known::Release(Some(release))) => Some(match form {
            Form::Html => Outward::html(public::release(release, reader)),
            Form::Text => Outward::text(plain::public(release)),
            Form::Json => Outward::json(release)?,
        }),
        (Question::Target { key, target, form, .. }, Known::Release(Some(release))) => {
            let package = sight::target(release, key, target)?;
            Some(match form {
                Form::Html => Outward::html(public::target(release, &package, reader)),
                Form::Text => Outward::text(plain::public_target(release, &package)),
                Form::Json => Outward::json(&package)?,
            })
        }
        (Question::Is { version, what, form }, Known::Release(release)) => {
            let page = format!("{edge}/p/{}/r/{}", segment(project), segment(version.as_str()));
            let line = Line::of_public(what, release.as_ref(), &page);
            is(project, version, what, *form, &line, reader)
        }
        (Question::Badge { version: None, .. }, Known::Releases(releases)) => Some(badge::newest(project, releases)),
        (Question::Badge { version: Some(_), target }, Known::Release(release)) => {
            Some(badge::of(release.as_ref(), target.as_ref()))
        }
        (Question::Feed { version: None }, Known::Releases(releases)) if !releases.is_empty() => {
            Some(feed::releases(project, releases, edge))
        }
        (Question::Feed { version: Some(_) }, Known::Release(Some(release))) => Some(feed::release(release, edge)),
        _ => None,
    }
}

/// The one line, in the form that is wanted.
pub fn is(
    project: &str,
    version: &Version,
    what: &What,
    form: Form,
    line: &Line,
    reader: &Reader<'_>,
) -> Option<Outward> {
    Some(match form {
        Form::Html => Outward::html(page::line(project, version, what, line, reader)),
        Form::Text => Outward::text(line_text(project, version, what, line)),
        Form::Json => Outward { kind: "application/json", lives_s: PAGE_SECONDS, body: line_json(line)? },
    })
}

/// The projects of which something is public, each with its newest releases, for whoever sees no more.
pub fn projects(projects: &[(PublicProject, Vec<PublicSummary>)], form: Form, reader: &Reader<'_>) -> Option<Outward> {
    Some(match form {
        Form::Html => Outward::html(public::projects(projects, reader)),
        Form::Text => Outward::text(projects.iter().map(|(_, releases)| plain::summaries(releases)).collect()),
        Form::Json => Outward::json(&projects.iter().map(|(project, _)| project).collect::<Vec<_>>())?,
    })
}

#[cfg(test)]
mod tests;

//! `[retention]` and `[routes.retention]`: how long staging keeps what it has.
//!
//! What is left out has the default that deletes least: nothing is deleted until an operator switches it on, and what no
//! release has ended is kept for ever. No setting can shorten the notice below three days.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::gates::{span, whole_span};
use super::{Config, Project};
use crate::cargo::Kind;
use crate::release::{Key, Version};

/// A day.
const DAY: Duration = Duration::from_hours(24);
/// How long everything is announced ahead, at the least: a weekend.
const NOTICE_MIN: Duration = Duration::from_hours(72);
/// How long what is marked waits for somebody to take it back, at the least.
const WAIT_MIN: Duration = DAY;

/// `[retention]`: what is true of every route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Whether anything is announced, marked and deleted. Until then it is only reported.
    pub enabled: bool,
    /// How long what is marked waits before it is deleted.
    #[serde(deserialize_with = "whole_span")]
    pub wait: Duration,
    /// How many files one run deletes.
    pub files_per_run: u32,
    /// How many bytes one run deletes.
    pub bytes_per_run: Bytes,
}

impl Default for Retention {
    fn default() -> Self {
        Self { enabled: false, wait: 7 * DAY, files_per_run: 100, bytes_per_run: Bytes(100_000_000_000) }
    }
}

/// `[routes.retention]`: how long staging keeps what a route leads through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keeping {
    /// How long a package stays after its release has ended.
    #[serde(deserialize_with = "whole_span")]
    pub age: Duration,
    /// How many of a key's packages stay whatever their age, the newest first.
    pub keep_newest: u32,
    /// After how long without any news a release counts as abandoned. Without it, none does.
    #[serde(deserialize_with = "span")]
    pub abandoned: Option<Duration>,
    /// How long a deletion is announced before it is marked.
    #[serde(deserialize_with = "whole_span")]
    pub notice: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { age: 14 * DAY, keep_newest: 0, abandoned: None, notice: NOTICE_MIN }
    }
}

impl Keeping {
    /// What keeps both for as long as either does.
    fn and(self, other: Self) -> Self {
        Self {
            age: self.age.max(other.age),
            keep_newest: self.keep_newest.max(other.keep_newest),
            abandoned: self.abandoned.zip(other.abandoned).map(|(one, other)| one.max(other)),
            notice: self.notice.max(other.notice),
        }
    }

    fn problems(self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.notice < NOTICE_MIN {
            problems.push("`notice` must be at least \"72h\": a weekend must not be enough to miss it".to_owned());
        }
        if self.abandoned.is_some_and(|abandoned| abandoned < DAY) {
            problems.push("`abandoned` must be at least \"1d\", or be left out for never".to_owned());
        }
        problems
    }
}

/// An amount of bytes, as people write it: `100GB`, `500 MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is no amount of bytes such as `100GB`, `500MB` or `2TB`"))
        })
    }
}

/// In decimal units, as package servers sell them.
fn read(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let unit = match text.strip_prefix(number)?.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::amount::size(self.0))
    }
}

impl Config {
    /// How long staging keeps a package of a project. Where its targets go through several routes, as long as any of them
    /// says. `None` while a target has no route: then nobody has said that it may be deleted at all.
    pub fn keeping<'a>(
        &self,
        project: &Project,
        version: &Version,
        key: &Key,
        kind: Kind,
        architecture: Option<&str>,
        targets: impl IntoIterator<Item = &'a str>,
    ) -> Option<Keeping> {
        let mut found: Option<Keeping> = None;
        for distro in targets {
            let keeping = self.route(project, version, key, kind, architecture, distro).ok()?.retention;
            found = Some(found.map_or(keeping, |found| found.and(keeping)));
        }
        found
    }
}

/// What of it cannot be meant.
pub(super) fn problems(retention: &Retention, routes: &[crate::route::Route]) -> Vec<String> {
    let mut problems = Vec::new();
    if retention.wait < WAIT_MIN {
        problems
            .push("retention: `wait` must be at least \"24h\": somebody must have the time to take it back".to_owned());
    }
    if retention.files_per_run == 0 || retention.bytes_per_run.0 == 0 {
        problems.push(
            "retention: a run that may delete nothing is `enabled = false`; give `files_per_run` and `bytes_per_run` numbers"
                .to_owned(),
        );
    }
    for (index, route) in routes.iter().enumerate() {
        let of_route = route.retention.problems();
        problems.extend(of_route.into_iter().map(|problem| format!("routes[{index}].retention: {problem}")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [edge]
        url = "https://slipway.example.com"
        [gitlab]
        url = "https://gitlab.example.com"
        token = "GITLAB_TOKEN"
        [places.staging]
        kind = "packagecloud"
        url = "https://packagecloud.io"
        token = "STAGING_TOKEN"
        storage_limit = "50GB"
        [places.public]
        kind = "packagecloud"
        url = "https://packagecloud.io"
        token = "PUBLIC_TOKEN"
        [[projects]]
        id = 1001
        namespace_id = 71
        name = "tug"
        webhook_token = "WEBHOOK_TOKEN_TUG"
        [[routes]]
        distros = ["ubuntu/*"]
        staging = { place = "staging", repository = "harbour-ci/pre-release" }
        public = { place = "public", repository = "harbour/stable" }
        [routes.retention]
        age = "30d"
        keep_newest = 2
        abandoned = "60d"
        [[routes]]
        distros = ["debian/*"]
        staging = { place = "staging", repository = "harbour-ci/pre-release" }
        public = { place = "public", repository = "harbour/stable" }
        [routes.retention]
        abandoned = "90d"
        notice = "7d"
        [[routes]]
        distros = ["el/*"]
        staging = { place = "staging", repository = "harbour-ci/pre-release" }
        public = { place = "public", repository = "harbour/stable" }
    "#;

    fn keeping(targets: &[&str]) -> Option<Keeping> {
        let config = Config::parse(FILE).expect("a good file");
        let project = config.project("tug").expect("its project");
        let (version, key) = ("1.2.0".parse().expect("a version"), "jammy-amd64".parse().expect("a key"));
        config.keeping(project, &version, &key, Kind::Deb, Some("amd64"), targets.iter().copied())
    }

    #[test]
    fn what_is_left_out_keeps_for_fourteen_days_deletes_nothing_and_abandons_nothing() {
        let config = Config::parse(FILE).expect("a good file");
        assert_eq!(config.retention, Retention::default());
        assert!(!config.retention.enabled);
        assert_eq!(config.retention.wait, 7 * DAY);
        assert_eq!((config.retention.files_per_run, config.retention.bytes_per_run), (100, Bytes(100_000_000_000)));
        let default = Keeping { age: 14 * DAY, keep_newest: 0, abandoned: None, notice: 3 * DAY };
        assert_eq!(keeping(&["el/9"]), Some(default));
        assert_eq!(config.places["staging"].storage_limit, Some(Bytes(50_000_000_000)));
    }

    #[test]
    fn a_package_of_several_routes_is_kept_for_as_long_as_any_of_them_says() {
        let both = Keeping { age: 30 * DAY, keep_newest: 2, abandoned: Some(90 * DAY), notice: 7 * DAY };
        assert_eq!(keeping(&["ubuntu/jammy", "debian/bookworm"]), Some(both));
        assert_eq!(keeping(&["ubuntu/jammy", "el/9"]).and_then(|keeping| keeping.abandoned), None);
        assert_eq!(keeping(&["ubuntu/jammy", "raspbian/bookworm"]), None);
        assert_eq!(keeping(&[]), None);
    }

    #[test]
    fn a_setting_that_would_delete_too_soon_is_refused() {
        for (text, by, why) in [
            ("notice = \"7d\"", "notice = \"71h\"", "`notice` must be at least \"72h\""),
            ("abandoned = \"90d\"", "abandoned = \"1h\"", "`abandoned` must be at least"),
            ("[[projects]]", "[retention]\nwait = \"1h\"\n[[projects]]", "`wait` must be at least \"24h\""),
            ("[[projects]]", "[retention]\nfiles_per_run = 0\n[[projects]]", "a run that may delete nothing"),
            ("[[projects]]", "[retention]\nbytes_per_run = \"0B\"\n[[projects]]", "a run that may delete nothing"),
            ("\"50GB\"", "\"fifty\"", "no amount of bytes"),
            ("age = \"30d\"", "age = 30", "string"),
        ] {
            let error = Config::parse(&FILE.replace(text, by)).expect_err(by).to_string();
            assert!(error.contains(why), "{by}: {error}");
        }
        assert!(Config::parse(&FILE.replace("notice = \"7d\"", "notice = \"72h\"")).is_ok());
    }

    #[test]
    fn an_amount_of_bytes_is_read_in_decimal_units() {
        for (text, bytes) in [
            ("100GB", Some(100_000_000_000)),
            ("500 MB", Some(500_000_000)),
            ("2tb", Some(2_000_000_000_000)),
            ("7B", Some(7)),
            ("7", None),
            ("1.5GB", None),
            ("GB", None),
            ("99999999999TB", None),
            ("", None),
        ] {
            assert_eq!(read(text), bytes, "{text}");
        }
    }
}

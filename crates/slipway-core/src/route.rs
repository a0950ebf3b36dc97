//! Which places a package goes through: where it is staged, and where it becomes public.

use std::collections::BTreeMap;

use serde::Deserialize;
use slipway_oci::{Floating, Numbered, Tag};

use crate::cargo::Kind;
use crate::config::Keeping;
use crate::release::{Key, Maturity, Version};

/// A configured rule. The first whose conditions all hold gives a package its places.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Names of projects.
    #[serde(default = "anything")]
    pub projects: Vec<Glob>,
    /// Versions.
    #[serde(default = "anything")]
    pub versions: Vec<Glob>,
    /// How near to everybody a version is: `final`, `candidate`, `nightly`. `[versions]` says which are which.
    #[serde(default = "any_maturity")]
    pub maturities: Vec<Maturity>,
    /// Keys.
    #[serde(default = "anything")]
    pub keys: Vec<Glob>,
    /// Kinds of packages: `deb`, `rpm`, and by itself `image`.
    #[serde(default = "any_kind")]
    pub kinds: Vec<Kind>,
    /// Distro versions, such as `ubuntu/*`.
    #[serde(default = "anything")]
    pub distros: Vec<Glob>,
    /// Architectures, in the words of the package's kind: `armhf`, `x86_64`.
    #[serde(default = "anything")]
    pub architectures: Vec<Glob>,
    /// Where the package is before its release.
    pub staging: Site,
    /// Where it is after.
    pub public: Site,
    /// How it gets from one to the other.
    #[serde(default)]
    pub how: How,
    /// Whether what says something about an image goes with it: signatures, bills of materials, attestations.
    #[serde(default)]
    pub referrers: bool,
    /// Whether what Slipway attests of an image is attached to it, where it is public.
    #[serde(default)]
    pub attest: bool,
    /// Tags of the public repository that move with the newest image. All others are final.
    #[serde(default)]
    pub floating: Vec<FloatingTag>,
    /// How long staging keeps what goes this way.
    #[serde(default)]
    pub retention: Keeping,
}

/// A tag that moves by a rule: `latest` to the newest final version, `rc` to the newest of all, `{major}.{minor}` to the
/// newest of its series.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloatingTag {
    /// The tag, in which `{major}`, `{minor}` and `{patch}` stand for the numbers of the version.
    pub tag: String,
    /// The versions that it may name: `final`, or `candidate` for those and final ones.
    pub of: Maturity,
}

/// What stands for a number of the version, in its order.
const PLACES: [&str; 3] = ["{major}", "{minor}", "{patch}"];

impl FloatingTag {
    /// The tag and its rule for one version's tag. `None` where the version has not the numbers that it asks for.
    pub fn rule(&self, released: &Tag) -> Option<Floating> {
        let version = Numbered::read(released.as_str())?;
        let mut tag = self.tag.clone();
        let mut series = Vec::new();
        for (index, place) in PLACES.iter().enumerate() {
            if self.tag.contains(place) {
                tag = tag.replace(place, &version.numbers().get(index)?.to_string());
                series = version.numbers().get(..=index)?.to_vec();
            }
        }
        Some(Floating { tag: tag.parse().ok()?, candidates: self.of != Maturity::Final, series })
    }

    /// Whether some version moves a tag of this name.
    pub fn could_be(&self, tag: &Tag) -> bool {
        let mut glob = self.tag.clone();
        for place in PLACES {
            glob = glob.replace(place, "*");
        }
        // A number stands there, so `17.3-rc1` is none of `{major}.{minor}`.
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
        Glob::new(glob.clone()).fits(tag.as_str()) && letters(tag.as_str()) == letters(&glob.replace('*', ""))
    }

    /// Why it is no rule, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let example = PLACES.iter().fold(self.tag.clone(), |tag, place| tag.replace(place, "1"));
        if let Err(error) = example.parse::<Tag>() {
            return Some(format!("`{}`: {error}", self.tag));
        }
        // A number of a series says nothing without those before it.
        let has: Vec<bool> = PLACES.iter().map(|place| self.tag.contains(place)).collect();
        match (has.as_slice(), self.of) {
            (_, Maturity::Nightly) => {
                Some(format!("`{}`: a floating tag is `of` final or candidate versions", self.tag))
            }
            ([false, true, _] | [_, false, true], _) => {
                Some(format!("`{}`: `{{minor}}` needs `{{major}}`, and `{{patch}}` both", self.tag))
            }
            _ => None,
        }
    }
}

/// How a package gets from staging to the public place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its bytes are sent, and the end is withheld unless they are the approved ones. Staging keeps its copy.
    #[default]
    Copy,
    /// The server moves it, by its file name, whatever bytes have that name at the moment. Staging has it no longer.
    Move,
}

impl How {
    /// Its name in `slipway.toml` and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Move => "move",
        }
    }
}

/// A repository at a configured place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The place's name in `[places]`.
    pub place: String,
    /// The repository there: `user/name`.
    pub repository: String,
}

pub(crate) fn any_maturity() -> Vec<Maturity> {
    vec![Maturity::Final, Maturity::Candidate, Maturity::Nightly]
}

fn any_kind() -> Vec<Kind> {
    vec![Kind::Deb, Kind::Rpm]
}

/// What a setting means that is left out.
pub(crate) fn anything() -> Vec<Glob> {
    vec![Glob("*".to_owned())]
}

/// A pattern in which `*` stands for any text, `/` included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// A pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole text fits.
    pub fn fits(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What routes are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The version going out.
    pub version: &'a Version,
    /// How near to everybody it is.
    pub maturity: Maturity,
    /// The package.
    pub key: &'a Key,
    /// Its kind.
    pub kind: Kind,
    /// The distro version. Of an image, its tag in the text form of a target's name.
    pub distro: &'a str,
    /// Its architecture, where the plan names it.
    pub architecture: Option<&'a str>,
}

/// Why a package has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// None fits.
    NoneFits,
    /// A route asks for an architecture, and the plan names none: whether it fits is open, and to go on to the next could
    /// bring a package to the wrong place.
    NamesNoArchitecture {
        /// The route's place in the file, from 0.
        route: usize,
    },
}

impl Route {
    /// Whether it leaves nothing for the routes after it.
    pub(crate) fn fits_everything(&self) -> bool {
        let all = [&self.projects, &self.versions, &self.keys, &self.distros, &self.architectures];
        all.iter().all(|globs| globs.contains(&Glob::new("*")))
            && any_maturity().iter().all(|maturity| self.maturities.contains(maturity))
            && any_kind().iter().all(|kind| self.kinds.contains(kind))
    }
}

/// The first route that fits.
pub fn route<'a>(routes: &'a [Route], of: &Traits<'_>) -> Result<&'a Route, NoRoute> {
    let any = |globs: &[Glob], text: &str| globs.iter().any(|glob| glob.fits(text));
    for (index, route) in routes.iter().enumerate() {
        let fits = any(&route.projects, of.project)
            && any(&route.versions, of.version.as_str())
            && route.maturities.contains(&of.maturity)
            && any(&route.keys, of.key.as_str())
            && route.kinds.contains(&of.kind)
            && any(&route.distros, of.distro);
        match (fits, of.architecture) {
            (true, Some(architecture)) if any(&route.architectures, architecture) => return Ok(route),
            (true, None) if any(&route.architectures, "") => return Ok(route),
            (true, None) => return Err(NoRoute::NamesNoArchitecture { route: index }),
            _ => {}
        }
    }
    Err(NoRoute::NoneFits)
}

/// The names of places that routes use and `[places]` does not have, with the place in the file.
pub(crate) fn unknown_places<T>(routes: &[Route], places: &BTreeMap<String, T>) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        for (direction, site) in [("staging", &route.staging), ("public", &route.public)] {
            if !places.contains_key(&site.place) {
                problems.push(format!("routes[{index}].{direction}: there is no place `{}`", site.place));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "ubuntu/jammy", true),
            ("ubuntu/*", "ubuntu/jammy", true),
            ("ubuntu/*", "xubuntu/jammy", false),
            ("*-rc*", "17.3.1-rc1", true),
            ("*-rc*", "17.3.1", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("17.3.1", "17.3.10", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Glob(pattern.to_owned()).fits(text), fits, "{pattern} {text}");
        }
    }

    #[derive(Deserialize)]
    struct Routes {
        routes: Vec<Route>,
    }

    #[test]
    fn the_first_route_that_fits_wins() {
        let site = |name: &str| format!("{{ place = \"p\", repository = \"acme/{name}\" }}");
        let text = format!(
            "[[routes]]\nversions = [\"*-rc*\"]\nstaging = {0}\npublic = {1}\n[[routes]]\nstaging = {0}\npublic = {2}",
            site("staging"),
            site("unstable"),
            site("stable"),
        );
        let Routes { routes } = toml::from_str(&text).expect("two routes");
        let key = "deb".parse().expect("a key");
        for (version, repository) in [("1.0.0-rc1", "acme/unstable"), ("1.0.0", "acme/stable")] {
            let traits = Traits {
                project: "tug",
                version: &version.parse().expect("a version"),
                maturity: Maturity::Final,
                key: &key,
                kind: Kind::Deb,
                distro: "ubuntu/jammy",
                architecture: None,
            };
            let found = route(&routes, &traits);
            assert_eq!(found.map(|route| route.public.repository.as_str()), Ok(repository));
        }
    }
}

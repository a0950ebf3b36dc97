//! Which places a package goes through: where it is staged, and where it becomes public.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::release::{Key, Version};

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
    /// Keys.
    #[serde(default = "anything")]
    pub keys: Vec<Glob>,
    /// Distro versions, such as `ubuntu/*`.
    #[serde(default = "anything")]
    pub distros: Vec<Glob>,
    /// Where the package is before its release.
    pub staging: Site,
    /// Where it is after.
    pub public: Site,
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

fn anything() -> Vec<Glob> {
    vec![Glob("*".to_owned())]
}

/// A pattern in which `*` stands for any text, `/` included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
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

/// The first route that fits, or none.
pub fn route<'a>(routes: &'a [Route], project: &str, version: &Version, key: &Key, distro: &str) -> Option<&'a Route> {
    let any = |globs: &[Glob], text: &str| globs.iter().any(|glob| glob.fits(text));
    routes.iter().find(|route| {
        any(&route.projects, project)
            && any(&route.versions, version.as_str())
            && any(&route.keys, key.as_str())
            && any(&route.distros, distro)
    })
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
            let found = route(&routes, "tug", &version.parse().expect("a version"), &key, "ubuntu/jammy");
            assert_eq!(found.map(|route| route.public.repository.as_str()), Some(repository));
        }
    }
}

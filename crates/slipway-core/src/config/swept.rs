//! Which repositories are swept: those that a route of some project names.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use crate::route::Site;
use crate::sweep::Repository;

impl Config {
    /// The repositories of a place, and whose routes lead there. One that is staging for some and public for others is public.
    pub fn repositories(&self, place: &str) -> Vec<Repository> {
        let mut found: BTreeMap<&Site, (bool, BTreeSet<u64>)> = BTreeMap::new();
        for route in &self.routes {
            let projects = self
                .projects
                .iter()
                .filter(|project| route.projects.iter().any(|glob| glob.fits(project.name.as_str())));
            let projects: Vec<u64> = projects.map(|project| project.id).collect();
            for (site, is_public) in [(&route.staging, false), (&route.public, true)] {
                if site.place == place && !projects.is_empty() {
                    let (was_public, known) = found.entry(site).or_default();
                    *was_public |= is_public;
                    known.extend(&projects);
                }
            }
        }
        let repository = |(site, (is_public, projects)): (&Site, (bool, BTreeSet<u64>))| Repository {
            site: site.clone(),
            is_public,
            projects: projects.into_iter().collect(),
        };
        found.into_iter().map(repository).collect()
    }

    /// The public repositories of a project.
    pub fn public_repositories(&self, project_id: u64) -> Vec<Repository> {
        let all = self.places.keys().flat_map(|place| self.repositories(place));
        all.filter(|repository| repository.is_public && repository.projects.contains(&project_id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_swept_for_every_project_with_a_route_there() {
        let config =
            Config::parse(include_str!("../../../../docs/operators/gitlab-2017.toml")).expect("the worked example");
        let named = |place: &str| -> Vec<String> {
            let all = config.repositories(place);
            all.iter().map(|of| format!("{} {} {}", of.site.repository, of.is_public, of.projects.len())).collect()
        };
        let project = config.project("omnibus-gitlab").expect("its project");
        let public: Vec<String> =
            config.public_repositories(project.id).into_iter().map(|of| of.site.repository).collect();
        for repository in ["gitlab/gitlab-ce", "gitlab/gitlab-ee", "gitlab/unstable", "gitlab/raspberry-pi2"] {
            assert!(public.contains(&repository.to_owned()), "{repository} is in {public:?}");
        }
        assert!(!public.contains(&"gitlab/pre-release".to_owned()), "staging is not public");
        let staging =
            config.places.keys().flat_map(|place| named(place)).find(|text| text.starts_with("gitlab/pre-release"));
        assert_eq!(staging.as_deref(), Some("gitlab/pre-release false 1"));
        assert!(named("no-such-place").is_empty());
    }
}

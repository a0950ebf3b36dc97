//! Places of images, and the routes that lead to them.

use std::collections::{BTreeMap, BTreeSet};

use super::sense::is_closed;
use super::{Config, Edge, Place, PlaceKind};
use crate::cargo::Kind;
use crate::route::{FloatingTag, Glob, How, Route, Site};

/// What a public repository of images asks for beside the tags of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRules {
    /// Whether what says something about an image comes with it.
    pub referrers: bool,
    /// Whether what Slipway attests of an image is attached to it.
    pub attest: bool,
    /// The tags that move.
    pub floating: Vec<FloatingTag>,
}

impl Config {
    /// What a public repository of images asks for. All routes that lead there say the same.
    pub fn image_rules(&self, public: &Site) -> ImageRules {
        let route = self.routes.iter().find(|route| route.public == *public);
        route
            .map(|route| ImageRules {
                referrers: route.referrers,
                attest: route.attest,
                floating: route.floating.clone(),
            })
            .unwrap_or_default()
    }
}

/// What of places and routes cannot be, where images are meant.
pub(super) fn problems(edge: &Edge, places: &BTreeMap<String, Place>, routes: &[Route]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, place) in places {
        problems.extend(of_place(place).into_iter().map(|problem| format!("places.{name}: {problem}")));
    }
    let mut rules: BTreeMap<&Site, (usize, &Route)> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        problems.extend(of_route(places, route).into_iter().map(|problem| format!("routes[{index}]: {problem}")));
        if route.attest && edge.signing_key.is_none() {
            problems.push(format!("routes[{index}]: `attest` needs a key to sign with: set `edge.signing_key`"));
        }
        let (first, other) = *rules.entry(&route.public).or_insert((index, route));
        if other.referrers != route.referrers || other.attest != route.attest || other.floating != route.floating {
            problems.push(format!(
                "routes[{index}]: `referrers`, `attest` and `floating` are of the public repository, and routes[{first}] says \
                 otherwise of the same one"
            ));
        }
    }
    problems
}

fn of_place(place: &Place) -> Vec<String> {
    let mut problems = Vec::new();
    if place.kind == PlaceKind::Packagecloud {
        let said = [
            ("user", place.user.is_some()),
            ("realm", place.realm.is_some()),
            ("service", place.service.is_some()),
            ("private", place.private),
        ];
        problems.extend(said.iter().filter(|(_, is_said)| *is_said).map(|(setting, _)| {
            format!("`{setting}` is for a place of `kind = \"registry\"`; a packagecloud account has its token alone")
        }));
        return problems;
    }
    if place.user.as_ref().is_none_or(|user| user.trim().is_empty() || user.contains(':')) {
        problems.push("a registry needs its `user`, whose password the secret in `token` is".to_owned());
    }
    if place.service.as_ref().is_some_and(|service| service.trim().is_empty()) {
        problems.push("`service` is empty; leave it out to believe what the registry says".to_owned());
    }
    let addresses = [("url", Some(&place.url)), ("realm", place.realm.as_ref())];
    let open =
        addresses.into_iter().filter_map(|(setting, base)| Some((setting, base.filter(|base| !is_closed(base))?)));
    problems.extend(open.map(|(setting, base)| {
        format!("`{setting}` gets the password, so it must be https, or loopback; `{base}` is neither")
    }));
    problems
}

fn of_route(places: &BTreeMap<String, Place>, route: &Route) -> Vec<String> {
    let mut problems = Vec::new();
    let is_for_images = route.kinds.contains(&Kind::Image);
    let is_for_packages = route.kinds.iter().any(|kind| *kind != Kind::Image);
    if is_for_images && is_for_packages {
        problems.push("a route is for images or for packages: no place holds both".to_owned());
        return problems;
    }
    for (direction, site) in [("staging", &route.staging), ("public", &route.public)] {
        let Some(place) = places.get(&site.place) else { continue };
        let name = &site.place;
        match (place.kind, is_for_images) {
            (PlaceKind::Packagecloud, true) => problems.push(format!(
                "`{direction}` of a route for images must be at a registry; `{name}` is a packagecloud account"
            )),
            (PlaceKind::Registry, false) => problems.push(format!(
                "`{direction}` is at the registry `{name}`, which holds images alone; say `kinds = [\"image\"]`"
            )),
            _ => {}
        }
    }
    if !is_for_images {
        if route.referrers || route.attest || !route.floating.is_empty() {
            problems.push("`referrers`, `attest` and `floating` are for images; a package has none of them".to_owned());
        }
        return problems;
    }
    if route.how == How::Move {
        problems.push("`how = \"move\"` is for packages; an image is always copied, by its digest".to_owned());
    }
    for (setting, globs) in [("distros", &route.distros), ("architectures", &route.architectures)] {
        if globs.as_slice() != [Glob::new("*")] {
            problems.push(format!("`{setting}` is for packages; one image may be for many"));
        }
    }
    let mut tags = BTreeSet::new();
    for floating in &route.floating {
        problems.extend(floating.problem().map(|problem| format!("floating: {problem}")));
        if !tags.insert(&floating.tag) {
            problems.push(format!("floating: `{}` is named twice", floating.tag));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn file(place: &str, route: &str) -> String {
        format!(
            "[edge]\nurl = \"https://slipway.example.com\"\n\
             [gitlab]\nurl = \"https://gitlab.example.com\"\ntoken = \"GITLAB_TOKEN\"\n\
             [places.staging]\nkind = \"registry\"\nurl = \"https://registry.example.com\"\nuser = \"slipway\"\n\
             token = \"STAGING_TOKEN\"\n{place}\n\
             [places.public]\nkind = \"registry\"\nurl = \"http://127.0.0.1:5000\"\nuser = \"slipway\"\ntoken = \"PUBLIC_TOKEN\"\n\
             [places.packages]\nkind = \"packagecloud\"\nurl = \"https://p.example.com\"\ntoken = \"PACKAGES_TOKEN\"\n\
             [[projects]]\nid = 1001\nnamespace_id = 71\nname = \"tug\"\nwebhook_token = \"WEBHOOK_TOKEN_TUG\"\n\
             [[routes]]\n{route}"
        )
    }

    const SITES: &str = "staging = { place = \"staging\", repository = \"team/app\" }\n\
                         public = { place = \"public\", repository = \"team/app\" }\n";

    fn images(more: &str) -> String {
        format!("kinds = [\"image\"]\n{SITES}{more}")
    }

    #[test]
    fn a_route_of_images_has_its_floating_tags_and_its_registries() {
        let floating = "referrers = true\nfloating = [{ tag = \"latest\", of = \"final\" }, { tag = \"rc\", of = \"candidate\" }, \
                        { tag = \"{major}.{minor}\", of = \"final\" }]";
        let place = "realm = \"https://gitlab.example.com/jwt/auth\"\nservice = \"container_registry\"\n\
                     storage = [\"https://cdn.example.com\"]";
        let config = Config::parse(&file(place, &images(floating))).expect("it can be used");
        let rules = config.image_rules(&config.routes[0].public);
        assert!(rules.referrers);
        assert_eq!(rules.floating.len(), 3);
        let place = &config.places["staging"];
        assert_eq!(place.realm.as_ref().map(slipway_wire::Base::as_str), Some("https://gitlab.example.com/jwt/auth"));
        assert_eq!(place.service.as_deref(), Some("container_registry"));
    }

    #[test]
    fn what_cannot_be_meant_of_images_is_refused_by_name() {
        let packages = |text: &str| {
            text.replace("\"staging\", repository = \"team/app\"", "\"packages\", repository = \"team/app\"")
        };
        let floating = |rules: &str| images(&format!("floating = [{rules}]"));
        let twice = format!("{}[[routes]]\n{}", images("referrers = true\n"), images("keys = [\"a\"]"));
        for (place, route, said) in [
            ("", packages(&images("")), "`packages` is a packagecloud account"),
            ("", SITES.to_owned(), "`staging` is at the registry `staging`, which holds images alone"),
            ("", images("how = \"move\""), "an image is always copied"),
            ("", images("distros = [\"ubuntu/*\"]"), "`distros` is for packages"),
            ("", images("").replace("\"image\"", "\"image\", \"deb\""), "a route is for images or for packages"),
            ("", floating("{ tag = \"la test\", of = \"final\" }"), "floating: `la test`"),
            ("", floating("{ tag = \"{minor}\", of = \"final\" }"), "`{minor}` needs `{major}`"),
            ("", floating("{ tag = \"n\", of = \"nightly\" }"), "`of` final or candidate"),
            (
                "",
                floating("{ tag = \"a\", of = \"final\" }, { tag = \"a\", of = \"candidate\" }"),
                "`a` is named twice",
            ),
            ("", twice, "routes[0] says otherwise"),
            ("", images("attest = true"), "`attest` needs a key to sign with"),
            ("realm = \"http://auth.example.com/token\"", images(""), "`realm` gets the password"),
            ("realm = \"http://127.0.0.1.example.com/token\"", images(""), "`realm` gets the password"),
            ("service = \"\"", images(""), "`service` is empty"),
        ] {
            let error = Config::parse(&file(place, &route)).map(|_| ()).expect_err(said).to_string();
            assert!(error.contains(said), "{said} is missing in: {error}");
        }
        let package_route = "staging = { place = \"packages\", repository = \"a/b\" }\n\
                             public = { place = \"packages\", repository = \"a/c\" }\nreferrers = true";
        let error = Config::parse(&file("", package_route)).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains("`attest` and `floating` are for images"), "{error}");
        for (of, with, said) in [
            ("https://registry.example.com", "http://registry.example.com", "`url` gets the password"),
            ("user = \"slipway\"\ntoken = \"STAGING", "token = \"STAGING", "a registry needs its `user`"),
            ("\"PACKAGES_TOKEN\"", "\"PACKAGES_TOKEN\"\nuser = \"u\"", "`user` is for a place of"),
        ] {
            let error =
                Config::parse(&file("", &images("")).replace(of, with)).map(|_| ()).expect_err(said).to_string();
            assert!(error.contains(said), "{said} is missing in: {error}");
        }
    }

    #[test]
    fn a_floating_tag_is_made_of_the_numbers_of_a_version() {
        let rules =
            "floating = [{ tag = \"latest\", of = \"final\" }, { tag = \"{major}.{minor}\", of = \"candidate\" }]";
        let config = Config::parse(&file("", &images(rules))).expect("it can be used");
        let floating = &config.routes[0].floating;
        let tag = |text: &str| text.parse::<slipway_oci::Tag>().expect("a tag");
        let rule = floating[1].rule(&tag("17.3.1")).expect("it has both numbers");
        assert_eq!((rule.tag.as_str(), rule.series.as_slice(), rule.candidates), ("17.3", [17, 3].as_slice(), true));
        let rule = floating[0].rule(&tag("17.3.1")).expect("every version");
        assert_eq!((rule.tag.as_str(), rule.series.len(), rule.candidates), ("latest", 0, false));
        assert_eq!(floating[1].rule(&tag("17")), None, "it has no second number");
        assert_eq!(floating[0].rule(&tag("edge")), None, "it is no version");
        for (name, latest, series) in
            [("latest", true, false), ("17.3", false, true), ("17.3.1", false, false), ("17.3-rc1", false, false)]
        {
            let could = (floating[0].could_be(&tag(name)), floating[1].could_be(&tag(name)));
            assert_eq!(could, (latest, series), "{name}");
        }
    }

    /// What every file has.
    const HEAD: &str = "[edge]\nurl = \"https://slipway.example.com\"\n\
        [gitlab]\nurl = \"https://gitlab.example.com\"\ntoken = \"GITLAB_TOKEN\"\n\
        [[projects]]\nid = 1001\nnamespace_id = 71\nname = \"tug\"\nwebhook_token = \"WEBHOOK_TOKEN_TUG\"\n";

    #[test]
    fn the_images_of_the_example_file_are_settings_that_can_be_used() {
        let example = include_str!("../../../../slipway.toml");
        let could =
            |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
        let whole: Vec<&str> =
            example.lines().map(|line| line.strip_prefix("# ").filter(|rest| could(rest)).unwrap_or(line)).collect();
        let config = Config::parse(&whole.join("\n")).expect("a good file");
        let registries = config.places.values().filter(|place| place.user.is_some() && place.realm.is_some());
        assert_eq!(registries.count(), 2);
        let route = config.routes.last().expect("a route");
        assert!(route.referrers && route.floating.len() == 3, "{route:?}");
    }

    #[test]
    fn every_registry_of_the_operators_page_is_a_place_that_can_be_used() {
        let page = include_str!("../../../../docs/operators/images.md");
        let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(examples.len() >= 5, "{}", examples.len());
        for example in examples {
            let public = "[places.registry-public]\nkind = \"registry\"\nurl = \"https://registry.example.com\"\n\
                          user = \"slipway\"\ntoken = \"PUBLIC_TOKEN\"\n";
            let more = if example.contains("[places.registry-public]") { "" } else { public };
            let parsed = Config::parse(&format!("{HEAD}{more}{example}"));
            assert!(parsed.is_ok(), "{example}\n{}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }
}

//! What a pipeline may expect of a release: every package gets its places, or every problem is named.

use std::collections::BTreeSet;

use slipway_package::{Filename, PackageKind};

use crate::api::{Expectation, PackagePatch, StagedFile};
use crate::cargo::{Cargo, ImageName, Kind, TargetName};
use crate::config::{Config, Project};
use crate::promotion::OrderTarget;
use crate::release::{Key, Version};
use crate::route::{NoRoute, Site};

/// GitLab's own limit for the names of jobs and environments.
const NAME_CHARACTERS_MAX: usize = 255;

/// Where numbers in JavaScript stop being exact, which is far beyond any package: 9 PB.
const SIZE_BYTES_MAX: u64 = (1 << 53) - 1;
/// What a reason for skipping a package may have.
const REASON_CHARACTERS_MAX: usize = 500;

/// An expectation with the places that its routes gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The package.
    pub key: Key,
    /// What the plan says of it.
    pub expect: Expectation,
    /// Where it is staged.
    pub staging: Site,
    /// Where it becomes public, one for each distro version.
    pub targets: Vec<OrderTarget>,
}

/// Gives every expectation of a request its places. The error holds every problem, a sentence each.
pub fn planned(
    config: &Config,
    project: &Project,
    version: &Version,
    packages: &[PackagePatch],
) -> Result<Vec<Planned>, Vec<String>> {
    let mut problems = Vec::new();
    let mut planned = Vec::new();
    let (mut keys, mut jobs, mut environments) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for PackagePatch { key, expect, .. } in packages {
        if !keys.insert(key) {
            problems.push(format!("`{key}` is named twice"));
        }
        let Some(expect) = expect else { continue };
        for (what, name) in [("job", &expect.release_job), ("environment", &expect.environment)] {
            if name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
                problems.push(format!(
                    "`{key}`: the name of its release {what} must have 1 to {NAME_CHARACTERS_MAX} characters"
                ));
            }
        }
        if expect.release_all_job.is_some() != expect.release_all_environment.is_some() {
            problems.push(format!("`{key}`: the job that releases all needs a name and an environment, or neither"));
        }
        for (what, name) in [("job", &expect.release_all_job), ("environment", &expect.release_all_environment)] {
            let is_wrong = |name: &String| name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS_MAX;
            if name.as_ref().is_some_and(is_wrong) {
                problems.push(format!(
                    "`{key}`: the name of the {what} that releases all must have 1 to {NAME_CHARACTERS_MAX} characters"
                ));
            }
        }
        let is_reason = |reason: &String| reason.chars().count() <= REASON_CHARACTERS_MAX && is_one_line(reason);
        if expect.skip.as_ref().is_some_and(|reason| !is_reason(reason)) {
            problems.push(format!(
                "`{key}`: the reason to skip it is not one line of at most {REASON_CHARACTERS_MAX} characters"
            ));
        }
        // A job or an environment that stood for two packages would release both, or the wrong one.
        if !jobs.insert(&expect.release_job) {
            problems.push(format!("`{key}` shares the release job `{}` with another key", expect.release_job));
        }
        if !environments.insert(&expect.environment) {
            problems.push(format!("`{key}` shares the environment `{}` with another key", expect.environment));
        }
        match places(config, project, version, key, expect) {
            Ok((staging, targets)) => {
                planned.push(Planned { key: key.clone(), expect: expect.clone(), staging, targets });
            }
            Err(more) => problems.extend(more),
        }
    }
    // One job that stood for one package and for all would release more than whoever plays it means.
    for PackagePatch { key, expect, .. } in packages {
        let Some(expect) = expect else { continue };
        if expect.release_all_job.as_ref().is_some_and(|all| jobs.contains(all)) {
            problems.push(format!("`{key}`: the job that releases all is the release job of one package"));
        }
        if expect.release_all_environment.as_ref().is_some_and(|all| environments.contains(all)) {
            problems.push(format!("`{key}`: the environment of the job that releases all is that of one package"));
        }
    }
    if problems.is_empty() { Ok(planned) } else { Err(problems) }
}

/// Whether a text is one line without anything that moves a cursor. Job logs show what people give as a reason, where a line
/// of its own could pass for Slipway's.
pub fn is_one_line(text: &str) -> bool {
    !text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}'))
}

fn places(
    config: &Config,
    project: &Project,
    version: &Version,
    key: &Key,
    expect: &Expectation,
) -> Result<(Site, Vec<OrderTarget>), Vec<String>> {
    let mut problems = Vec::new();
    let mut staging = None;
    let mut targets: Vec<OrderTarget> = Vec::new();
    match expect.kind {
        Kind::Image if !expect.distros.is_empty() => {
            problems.push(format!("`{key}` is an image, which is for no distribution; it has `tags`"));
        }
        Kind::Image if expect.architecture.is_some() => {
            problems.push(format!(
                "`{key}` is an image, which may be for many architectures; take the one out of the plan"
            ));
        }
        Kind::Deb | Kind::Rpm if !expect.tags.is_empty() => {
            problems.push(format!("`{key}` is a {} package, which has no tags; it has `distros`", expect.kind));
        }
        _ => {}
    }
    let tags = expect.tags.iter().map(|tag| format!(":{tag}"));
    for distro in &expect.distros.iter().cloned().chain(tags).collect::<Vec<_>>() {
        let name = match distro.parse::<TargetName>() {
            Ok(name) => name,
            Err(error) => {
                problems.push(format!("`{key}`: {error}"));
                continue;
            }
        };
        let route = match config.route(project, version, key, expect.kind, expect.architecture.as_deref(), distro) {
            Ok(route) => route,
            Err(NoRoute::NoneFits) => {
                let of = match name {
                    TargetName::Distro(_) => format!("{distro} ({} packages)", expect.kind),
                    TargetName::Tag(tag) => format!("the tag `{tag}` (images)"),
                };
                problems.push(format!("no route of slipway.toml fits `{key}` for {of}"));
                continue;
            }
            Err(NoRoute::NamesNoArchitecture { route }) => {
                problems.push(format!(
                    "`{key}` names no architecture, which routes[{route}] of slipway.toml asks for; add it to the plan"
                ));
                continue;
            }
        };
        if staging.get_or_insert_with(|| route.staging.clone()) != &route.staging {
            problems.push(format!("`{key}` has routes with different staging repositories"));
        }
        // A tag that moves by a rule cannot be one that is final.
        if let TargetName::Tag(tag) = &name
            && let Some(rule) = route.floating.iter().find(|rule| rule.could_be(tag))
        {
            problems.push(format!(
                "`{key}`: the tag `{tag}` is final in the plan, and floats by the route's rule `{}`; take it out of the plan",
                rule.tag
            ));
        }
        if targets.iter().any(|target| target.distro == *distro) {
            problems.push(format!("`{key}` names {distro} twice"));
        }
        targets.push(OrderTarget { distro: distro.clone(), public: route.public.clone(), how: route.how });
    }
    match staging {
        Some(staging) if problems.is_empty() => Ok((staging, targets)),
        None if problems.is_empty() && expect.kind == Kind::Image => {
            Err(vec![format!("`{key}` has no tags; name at least one")])
        }
        None if problems.is_empty() => Err(vec![format!("`{key}` is for no distribution")]),
        _ => Err(problems),
    }
}

/// What was built, if it is what the plan expects and can be released. `repository` is where the plan's route stages it.
pub fn cargo(
    key: &Key,
    file: &StagedFile,
    kind: Kind,
    architecture: Option<&str>,
    repository: &str,
) -> Result<Cargo, String> {
    let Some(kind) = kind.package() else { return image(key, file, repository).map(Cargo::Image) };
    if file.image.is_some() {
        return Err(format!("`{key}` is a {kind} package in the plan, not an image"));
    }
    filename(key, file, kind, architecture).map(Cargo::File)
}

/// An image that was built.
fn image(key: &Key, file: &StagedFile, repository: &str) -> Result<ImageName, String> {
    let text = match &file.image {
        Some(text) if file.filename.is_empty() => text,
        _ => {
            return Err(format!(
                "`{key}` is an image in the plan, not a file; `slipway stage {key} --image` declares it"
            ));
        }
    };
    let name: ImageName = text.parse().map_err(|error| format!("`{key}`: {error}"))?;
    if file.size == 0 {
        return Err(format!("`{key}`: `{name}` is empty, and no image has 0 bytes; look at the job that builds it"));
    }
    if file.size > SIZE_BYTES_MAX {
        return Err(format!("`{key}`: {} bytes are more than {SIZE_BYTES_MAX}", file.size));
    }
    match name.as_str().split_once('/') {
        Some((_, own)) if own == repository => Ok(name),
        _ => Err(format!(
            "`{key}`: `{name}` is not where its route stages images, which is `{repository}`; push it there"
        )),
    }
}

/// The name of a file that was built: its index is found by what its name says.
fn filename(key: &Key, file: &StagedFile, kind: PackageKind, architecture: Option<&str>) -> Result<Filename, String> {
    let name: Filename = file.filename.parse().map_err(|error| format!("`{key}`: {error}"))?;
    // What a package server reads as the end of a path, or decodes to another name, would publish a file that nobody asks for.
    let plain = name.as_str().replace("%3a", "").replace("%3A", "");
    if let Some(other) = plain.chars().find(|c| !c.is_ascii_alphanumeric() && !"._+~^:-".contains(*c)) {
        let shown = other.escape_debug();
        return Err(format!(
            "`{key}`: a package's file name has no `{shown}`: only letters, digits and `._+~^:-` (and `%3a` for a `:`); \
             build the file under such a name"
        ));
    }
    if file.size == 0 {
        return Err(format!("`{key}`: `{name}` is empty, and no package has 0 bytes; look at the job that builds it"));
    }
    if file.size > SIZE_BYTES_MAX {
        return Err(format!("`{key}`: {} bytes are more than {SIZE_BYTES_MAX}", file.size));
    }
    let form = match kind {
        PackageKind::Deb => "name_version_architecture.deb",
        PackageKind::Rpm => "name-version-release.architecture.rpm",
    };
    if name.kind() != Some(kind) {
        return Err(format!("`{key}`: `{name}` is no {kind}, which the plan expects; its name must be `{form}`"));
    }
    match (name.architecture(), architecture) {
        (None, _) => Err(format!("`{key}`: `{name}` names no architecture; a {kind} is called `{form}`")),
        (Some(found), Some(wanted)) if found != wanted => {
            Err(format!("`{key}`: `{name}` is for {found}, the plan expects {wanted}"))
        }
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Config {
        let place = |name: &str| {
            let token = name.to_uppercase();
            format!(
                "[places.{name}]\nkind = \"packagecloud\"\nurl = \"https://p.example.com\"\ntoken = \"T_{token}\"\n"
            )
        };
        let route = |distros: &str, staging: &str| {
            format!(
                "[[routes]]\ndistros = [\"{distros}\"]\nstaging = {{ place = \"staging\", repository = \"ci/{staging}\" }}\n\
                 public = {{ place = \"public\", repository = \"acme/stable\" }}\n"
            )
        };
        let text = format!(
            "[edge]\nurl = \"https://s.example.com\"\n[gitlab]\nurl = \"https://g.example.com\"\ntoken = \"G\"\n{}{}\
             [[projects]]\nid = 1\nnamespace_id = 2\nname = \"tug\"\nwebhook_token = \"W\"\n{}{}",
            place("staging"),
            place("public"),
            route("ubuntu/*", "pre"),
            route("debian/*", "other"),
        );
        Config::parse(&text).expect("a good file")
    }

    /// `key distro,distro job environment`, one a line, against the problems, in order.
    fn check(plan: &str, problems: &[&str]) {
        let config = config();
        let packages: Vec<PackagePatch> = plan
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [key, distros, job, environment] = words.as_slice() else { panic!("{line}") };
                let distros: Vec<&str> = distros.split(',').filter(|distro| *distro != "-").collect();
                let expect = json!({ "distros": distros, "release_job": job, "environment": environment });
                serde_json::from_value(json!({ "key": key, "expect": expect })).expect("a patch")
            })
            .collect();
        let project = config.project("tug").expect("the project");
        let found = planned(&config, project, &"1".parse().expect("a version"), &packages).err().unwrap_or_default();
        assert_eq!(found, problems, "{plan}");
    }

    #[test]
    fn a_good_plan_has_no_problems() {
        check("a ubuntu/jammy,ubuntu/noble job-a release/a\nb debian/trixie job-b release/b", &[]);
    }

    #[test]
    fn every_problem_of_a_plan_is_named() {
        check("a - j e", &["`a` is for no distribution"]);
        check("a el/9 j e", &["no route of slipway.toml fits `a` for el/9 (deb packages)"]);
        check("a ubuntu/jammy,ubuntu/jammy j e", &["`a` names ubuntu/jammy twice"]);
        check("a ubuntu/jammy,debian/trixie j e", &["`a` has routes with different staging repositories"]);
        check("a ubuntu/jammy j e\na ubuntu/jammy k f", &["`a` is named twice"]);
        check(
            "a ubuntu/jammy j e\nb ubuntu/jammy j e",
            &["`b` shares the release job `j` with another key", "`b` shares the environment `e` with another key"],
        );
    }

    #[test]
    fn a_reason_that_could_pass_for_a_line_of_slipways_is_none() {
        for (reason, holds) in [
            ("a broken dependency; see #17", true),
            ("ab\u{e4}ngig", true),
            ("late\nreleased: `deb`", false),
            ("late\r\nreleased", false),
            ("\u{1b}[2K", false),
            ("\u{9b}2K", false),
            ("a\u{2028}b", false),
        ] {
            assert_eq!(is_one_line(reason), holds, "{reason:?}");
        }
    }

    #[test]
    fn only_a_file_of_the_planned_kind_and_architecture_can_be_declared() {
        use PackageKind::{Deb, Rpm};
        let key: Key = "k".parse().expect("a key");
        for (name, kind, architecture, holds) in [
            ("tug_1.0_amd64.deb", Deb, None, true),
            ("tug_1.0_amd64.deb", Deb, Some("amd64"), true),
            ("tug_1.0_armhf.deb", Deb, Some("amd64"), false),
            ("tug_1.0_amd64.deb", Rpm, None, false),
            ("tug.deb", Deb, None, false),
            ("tug-1.0-1.el9.x86_64.rpm", Rpm, Some("x86_64"), true),
            ("tug-1.0-1.el9.x86_64.rpm", Rpm, Some("aarch64"), false),
            ("tug-1.0-1.el9.x86_64.rpm", Deb, None, false),
            ("tug.rpm", Rpm, None, false),
            ("../tug_1.0_amd64.deb", Deb, None, false),
            ("tug_\u{202e}1.0_amd64.deb", Deb, None, false),
            ("", Deb, None, false),
        ] {
            let digest = slipway_wire::Digest::of(b"x");
            let file = StagedFile { filename: name.to_owned(), image: None, digest, size: 1 };
            assert_eq!(filename(&key, &file, kind, architecture).is_ok(), holds, "{name} {kind} {architecture:?}");
        }
    }

    #[test]
    fn an_image_is_declared_by_name_alone_and_only_where_its_route_stages_it() {
        let key: Key = "app".parse().expect("a key");
        let says = |name: &str, filename: &str, size: u64| {
            let (filename, image) = (filename.to_owned(), Some(name.to_owned()).filter(|name| !name.is_empty()));
            let file = StagedFile { filename, image, digest: slipway_wire::Digest::of(b"x"), size };
            cargo(&key, &file, Kind::Image, None, "team/app").map(|cargo| cargo.to_string())
        };
        assert_eq!(says("registry.example.com/team/app", "", 9), Ok("registry.example.com/team/app".to_owned()));
        for (name, filename, size, why) in [
            ("registry.example.com/team/other", "", 9, "is not where its route stages images, which is `team/app`"),
            ("registry.example.com/x/team/app", "", 9, "is not where its route stages images"),
            ("registry.example.com/team/app:1.0", "", 9, "is not a repository with its registry"),
            ("team", "", 9, "is not a repository with its registry"),
            ("registry.example.com/team/app", "", 0, "no image has 0 bytes"),
            ("registry.example.com/team/app", "app_1.0_amd64.deb", 9, "is an image in the plan, not a file"),
            ("", "app_1.0_amd64.deb", 9, "is an image in the plan, not a file"),
        ] {
            let refused = says(name, filename, size).expect_err(name);
            assert!(refused.starts_with("`app`") && refused.contains(why), "{name:?} {filename:?}: {refused}");
        }
    }

    #[test]
    fn a_file_that_is_empty_or_whose_name_servers_would_read_otherwise_is_not_declared() {
        let key: Key = "k".parse().expect("a key");
        let declared = |name: &str, size: u64| {
            let file =
                StagedFile { filename: name.to_owned(), image: None, digest: slipway_wire::Digest::of(b"x"), size };
            filename(&key, &file, PackageKind::Deb, None).map(drop)
        };
        for name in [
            "tug_1.0_amd64.deb",
            "tug++_1:2.0~rc1+b2-1_amd64.deb",
            "tug_1%3a2.0_amd64.deb",
            "tug_1%3A2.0_amd64.deb",
            "Tug.Boat_1.0^git_amd64.deb",
        ] {
            assert_eq!(declared(name, 1), Ok(()), "{name}");
        }
        for (name, other) in [
            ("tug%2f_1.0_amd64.deb", "`%`"),
            ("tug%5C_1.0_amd64.deb", "`%`"),
            ("tug%00_1.0_amd64.deb", "`%`"),
            ("tug%253a_1.0_amd64.deb", "`%`"),
            ("tug%_1.0_amd64.deb", "`%`"),
            ("tug?x_1.0_amd64.deb", "`?`"),
            ("tug#x_1.0_amd64.deb", "`#`"),
            ("tug&x_1.0_amd64.deb", "`&`"),
            ("tug;x_1.0_amd64.deb", "`;`"),
            ("tug\"x_1.0_amd64.deb", "`\\\"`"),
            ("tug x_1.0_amd64.deb", "` `"),
            ("tug\u{e9}_1.0_amd64.deb", "`\u{e9}`"),
            ("tug\u{7}_1.0_amd64.deb", "no control characters"),
            ("tug\n_1.0_amd64.deb", "no control characters"),
            ("a/tug_1.0_amd64.deb", "no folders"),
        ] {
            let refused = declared(name, 1).expect_err(name);
            assert!(refused.contains(other), "{name:?}: {refused}");
            assert!(refused.starts_with("`k`: "), "{refused}");
        }
        assert!(declared("tug_1.0_amd64.deb", 0).expect_err("no bytes").contains("is empty"));
    }
}

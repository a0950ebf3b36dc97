//! What a release consists of, before anything is built: `slipway plan`'s words and file, checked.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use slipway_core::api::{Expectation, PackagePatch, ReleasePatch};
use slipway_core::cargo::Kind;
use slipway_core::release::{Key, Version};
use slipway_oci::Tag;
use slipway_packagecloud::{Distro, PackageKind};

use crate::args;

/// How a package is written on the command line.
const FORM: &str = "KEY=DISTRO[,DISTRO…][:KIND[:ARCHITECTURE]], or KEY=TAG[,TAG…]:image";

/// What stands behind an image's tags there.
const IMAGE: &str = ":image";

/// What stands for the version in an image's tags.
const VERSION: &str = "{version}";

/// A file of packages, as TOML: a `[[package]]` each, with `key`, `distros` and perhaps `kind`, `architecture`, `skip`. An
/// image has `tags` in place of `distros`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Read one by one, so that a mistake in one does not hide those in others.
    #[serde(default)]
    package: Vec<toml::Value>,
}

/// One package, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    #[serde(default)]
    distros: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    kind: Option<String>,
    architecture: Option<String>,
    skip: Option<String>,
}

impl Entry {
    /// A word of the command line. The kind and the architecture come last, since neither repeats: one rpm may be for
    /// many distro versions. Before an image's kind stand its tags, without the `:` that they are shown with: no tag
    /// has one.
    fn read(word: &str) -> Option<Self> {
        let (key, rest) = word.split_once('=')?;
        if rest.strip_suffix(IMAGE).is_some_and(|tags| tags.contains(':')) {
            return None;
        }
        let mut parts = rest.split(':').map(str::trim);
        let distros = parts.next()?.split(',').map(str::trim).filter(|distro| !distro.is_empty());
        let names: Vec<String> = distros.map(str::to_owned).collect();
        let (kind, architecture) = (parts.next().map(str::to_owned), parts.next().map(str::to_owned));
        let whole = parts.next().is_none();
        let is_image = kind.as_deref() == Some(Kind::Image.code());
        let (distros, tags) = if is_image { (Vec::new(), names) } else { (names, Vec::new()) };
        whole.then(|| Self { key: key.to_owned(), distros, tags, kind, architecture, skip: None })
    }
}

/// What to declare, or every problem of it. The version may be named in the tags of images.
pub(crate) fn plan(
    options: &args::Plan,
    file: Option<&str>,
    version: Option<&Version>,
) -> Result<ReleasePatch, Vec<String>> {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for word in &options.packages {
        match Entry::read(word) {
            Some(entry) => entries.push(entry),
            None => problems.push(misread(word)),
        }
    }
    if let (Some(name), Some(text)) = (&options.file, file) {
        read_file(name, text, &mut entries, &mut problems);
    }
    let packages: Vec<PackagePatch> =
        entries.iter().filter_map(|entry| package(entry, options, version, &mut problems)).collect();
    unique(&packages, &mut problems);
    if let Some(jobs) = &options.jobs {
        // Also the keys of entries with other mistakes: their jobs are not to blame.
        let named: BTreeSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        match_jobs(&packages, &named, jobs, &mut problems);
    }
    if packages.is_empty() && problems.is_empty() {
        problems.push("the plan names no package".to_owned());
    }
    if problems.is_empty() { Ok(ReleasePatch { packages }) } else { Err(problems) }
}

/// What is wrong with a word that is no package. A tag is shown as `:17.3.1` everywhere, so it is written so, too.
fn misread(word: &str) -> String {
    let tags = word.split_once('=').and_then(|(key, rest)| Some((key, rest.strip_suffix(IMAGE)?)));
    match tags {
        Some((key, tags)) if tags.contains(':') => {
            format!("`{word}`: tags are written without `:` here: `{key}={}{IMAGE}`", tags.replace(':', ""))
        }
        _ => format!("`{word}` is not {FORM}"),
    }
}

fn read_file(name: &str, text: &str, entries: &mut Vec<Entry>, problems: &mut Vec<String>) {
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => return problems.push(format!("`{name}`: {}", error.to_string().trim_end())),
    };
    for (index, value) in file.package.into_iter().enumerate() {
        match value.try_into::<Entry>() {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                problems.push(format!("`{name}`, package {}: {}", index + 1, error.to_string().trim_end()));
            }
        }
    }
}

/// One entry as it is declared, or `None` and its problems.
fn package(
    entry: &Entry,
    options: &args::Plan,
    version: Option<&Version>,
    problems: &mut Vec<String>,
) -> Option<PackagePatch> {
    let before = problems.len();
    let key = entry.key.parse::<Key>().map_err(|error| problems.push(error.to_string())).ok();
    let kind = match entry.kind.as_deref().map(str::parse::<Kind>) {
        None => Kind::Deb,
        Some(Ok(kind)) => kind,
        Some(Err(error)) => {
            problems.push(format!("`{}`: {error}", entry.key));
            Kind::Deb
        }
    };
    let names = match kind.package() {
        Some(kind) => distros(entry, kind, problems),
        None => tags(entry, version, problems),
    };
    if entry.skip.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        problems.push(format!("`{}` is skipped without a reason", entry.key));
    }
    let (distros, tags) = if kind == Kind::Image { (Vec::new(), names) } else { (names, Vec::new()) };
    let key = key.filter(|_| problems.len() == before)?;
    let expect = Expectation {
        distros,
        tags,
        kind,
        architecture: entry.architecture.clone(),
        release_job: options.release_job.replace("{key}", key.as_str()),
        environment: options.environment.replace("{key}", key.as_str()),
        release_all_job: options.release_all_job.clone(),
        release_all_environment: options.release_all_environment.clone(),
        skip: entry.skip.clone(),
    };
    Some(PackagePatch { key, expect: Some(expect), staged: None, replace: false })
}

/// The distro versions of a package, in their order.
fn distros(entry: &Entry, kind: PackageKind, problems: &mut Vec<String>) -> Vec<String> {
    if entry.distros.is_empty() {
        problems.push(format!("`{}` has no distro, such as `ubuntu/jammy`", entry.key));
    }
    if !entry.tags.is_empty() {
        problems.push(format!("`{}` has tags, which only images have; write `kind = \"image\"`", entry.key));
    }
    let mut distros = BTreeSet::new();
    for distro in &entry.distros {
        match distro.parse::<Distro>() {
            Ok(_) if !distros.insert(distro.clone()) => {
                problems.push(format!("`{}` names `{distro}` twice", entry.key));
            }
            Ok(_) => {}
            Err(error) => problems.push(format!("`{}`: {error}", entry.key)),
        }
    }
    if let Some(problem) = entry.architecture.as_deref().and_then(|architecture| misnamed(kind, architecture)) {
        problems.push(format!("`{}`: {problem}", entry.key));
    }
    distros.into_iter().collect()
}

/// The tags of an image, in their order.
fn tags(entry: &Entry, version: Option<&Version>, problems: &mut Vec<String>) -> Vec<String> {
    let key = &entry.key;
    if entry.tags.is_empty() {
        problems.push(format!("`{key}` has no tag, such as `tags = [\"{VERSION}\"]`"));
    }
    if !entry.distros.is_empty() {
        problems.push(format!("`{key}` is an image, which is for no distro; it has `tags`"));
    }
    if entry.architecture.is_some() {
        problems.push(format!("`{key}` is an image, which may be for many architectures; leave `architecture` out"));
    }
    let mut tags = BTreeSet::new();
    for text in &entry.tags {
        let tag = match version {
            // No tag has these two letters of versions.
            Some(version) => text.replace(VERSION, &version.as_str().replace(['+', '~'], "-")),
            None if text.contains(VERSION) => {
                problems.push(format!("`{key}`: `{text}` needs the version; set `SLIPWAY_VERSION`"));
                continue;
            }
            None => text.clone(),
        };
        match tag.parse::<Tag>() {
            Ok(_) if !tags.insert(tag.clone()) => problems.push(format!("`{key}` names the tag `{tag}` twice")),
            Ok(_) => {}
            Err(error) => problems.push(format!("`{key}`: {error}")),
        }
    }
    tags.into_iter().collect()
}

/// What is wrong with an architecture's name. Both kinds of packages have their own word for the same machine, and the
/// other kind's would be found wrong only when the package is staged.
fn misnamed(kind: PackageKind, architecture: &str) -> Option<String> {
    const WORDS: [(&str, &str); 5] = [
        // As Debian and as RPM call it.
        ("amd64", "x86_64"),
        ("arm64", "aarch64"),
        ("armhf", "armv7hl"),
        ("ppc64el", "ppc64le"),
        ("all", "noarch"),
    ];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if architecture.is_empty() || !architecture.bytes().all(plain) {
        return Some(format!("`{architecture}` is not an architecture, such as `amd64` or `x86_64`"));
    }
    if matches!(architecture, "src" | "nosrc" | "source") {
        return Some("a source package is not released; name the architecture that it was built for".to_owned());
    }
    let word = WORDS.into_iter().find_map(|(deb, rpm)| match kind {
        PackageKind::Deb => (architecture == rpm).then_some(deb),
        PackageKind::Rpm => (architecture == deb).then_some(rpm),
    })?;
    let article = match kind {
        PackageKind::Deb => "a",
        PackageKind::Rpm => "an",
    };
    Some(format!("{article} {kind} for `{architecture}` is called `{word}`"))
}

/// A key stands for one package, and a release job for one key: otherwise one click could mean either.
fn unique(packages: &[PackagePatch], problems: &mut Vec<String>) {
    let mut keys = BTreeSet::new();
    let mut jobs: BTreeMap<&str, &Key> = BTreeMap::new();
    for package in packages {
        if !keys.insert(&package.key) {
            problems.push(format!("`{}` is planned twice", package.key));
            continue;
        }
        let Some(expect) = package.expect.as_ref().filter(|expect| expect.skip.is_none()) else { continue };
        if let Some(other) = jobs.insert(&expect.release_job, &package.key) {
            let job = &expect.release_job;
            problems.push(format!(
                "`{other}` and `{}` have the same release job `{job}`: write `{{key}}` in `--release-job`",
                package.key
            ));
        }
    }
}

/// Compares the plan with the keys that have a release job. `jobs` is a list in any of the spellings that GitLab makes
/// of an array: `a,b`, `a b`, `["a", "b"]`.
fn match_jobs(packages: &[PackagePatch], named: &BTreeSet<&str>, jobs: &str, problems: &mut Vec<String>) {
    let jobs: BTreeSet<&str> =
        jobs.split(|c: char| c.is_whitespace() || "[],\"'".contains(c)).filter(|key| !key.is_empty()).collect();
    for package in packages {
        let skipped = package.expect.as_ref().is_some_and(|expect| expect.skip.is_some());
        if !skipped && !jobs.contains(package.key.as_str()) {
            problems.push(format!(
                "`{}` has no release job: add it to the jobs' list, or skip it with a reason",
                package.key
            ));
        }
    }
    for job in jobs.iter().filter(|job| !named.contains(*job)) {
        problems.push(format!("`{job}` has a release job, but is not planned"));
    }
}

/// The plan in words, a line a package.
pub(crate) fn lines(patch: &ReleasePatch) -> Vec<String> {
    let width = patch.packages.iter().map(|package| package.key.as_str().len()).max().unwrap_or_default();
    let what = |expect: &Expectation| match &expect.architecture {
        Some(architecture) => format!("{} {architecture}", expect.kind),
        None => expect.kind.to_string(),
    };
    let expectations = patch.packages.iter().filter_map(|package| package.expect.as_ref());
    let what_width = expectations.clone().map(|expect| what(expect).len()).max().unwrap_or_default();
    let names = |expect: &Expectation| {
        let tags = expect.tags.iter().map(|tag| format!(":{tag}"));
        expect.distros.iter().cloned().chain(tags).collect::<Vec<_>>().join(", ")
    };
    let names_width = expectations.map(|expect| names(expect).chars().count()).max().unwrap_or_default();
    let line = |package: &PackagePatch| {
        let expect = package.expect.as_ref()?;
        let fate = match &expect.skip {
            Some(reason) => format!("not shipped: {reason}"),
            None => format!("released by the job `{}`", expect.release_job),
        };
        let (key, what, names) = (package.key.as_str(), what(expect), names(expect));
        Some(format!("{key:width$}  {what:what_width$}  {names:names_width$}  {fate}"))
    };
    patch.packages.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &str, jobs: Option<&str>) -> args::Plan {
        args::Plan {
            packages: words.split_whitespace().map(str::to_owned).collect(),
            file: Some("packages.toml".to_owned()),
            jobs: jobs.map(str::to_owned),
            release_job: args::RELEASE_JOB_DEFAULT.to_owned(),
            environment: args::ENVIRONMENT_DEFAULT.to_owned(),
            release_all_job: None,
            release_all_environment: None,
            dry_run: false,
            timeout_s: args::ASK_TIMEOUT_S,
            json: false,
        }
    }

    fn version() -> Version {
        "3.1.0+ee.0".parse().expect("a version")
    }

    /// A plan as text: one line a package, or one line a problem.
    fn check(words: &str, file: &str, jobs: Option<&str>, expected: &[&str]) {
        let said = match plan(&options(words, jobs), Some(file), Some(&version())) {
            Ok(patch) => lines(&patch),
            Err(problems) => problems.iter().map(|problem| format!("refuse: {problem}")).collect(),
        };
        assert_eq!(said, expected, "{words} {file}");
    }

    #[test]
    fn words_and_a_file_make_one_plan() {
        check(
            "deb=ubuntu/noble,ubuntu/jammy sl7=scientific/7,el/7:rpm:noarch",
            r#"
                [[package]]
                key = "rpm-el9"
                distros = ["el/9", "ol/9"]
                kind = "rpm"
                architecture = "x86_64"
                [[package]]
                key = "arm"
                distros = ["raspbian/bookworm"]
                architecture = "armhf"
                skip = "no runner this week"
            "#,
            Some(r#"["deb", "sl7", "rpm-el9"]"#),
            &[
                "deb      deb         ubuntu/jammy, ubuntu/noble  released by the job `release: [deb]`",
                "sl7      rpm noarch  el/7, scientific/7          released by the job `release: [sl7]`",
                "rpm-el9  rpm x86_64  el/9, ol/9                  released by the job `release: [rpm-el9]`",
                "arm      deb armhf   raspbian/bookworm           not shipped: no runner this week",
            ],
        );
    }

    #[test]
    fn an_architecture_is_named_in_its_kinds_own_words() {
        for (word, problem) in [
            ("a=el/9:rpm:x86_64", None),
            ("a=el/9:rpm:aarch64", None),
            ("a=raspbian/bookworm:deb:armhf", None),
            ("a=ubuntu/jammy:deb:kfreebsd-i386", None),
            ("a=el/9:rpm:arm64", Some("`a`: an rpm for `arm64` is called `aarch64`")),
            ("a=ubuntu/jammy:deb:x86_64", Some("`a`: a deb for `x86_64` is called `amd64`")),
            ("a=ubuntu/jammy:deb:noarch", Some("`a`: a deb for `noarch` is called `all`")),
            (
                "a=el/9:rpm:src",
                Some("`a`: a source package is not released; name the architecture that it was built for"),
            ),
            ("a=el/9:rpm:", Some("`a`: `` is not an architecture, such as `amd64` or `x86_64`")),
            ("a=el/9:rpm:x86/64", Some("`a`: `x86/64` is not an architecture, such as `amd64` or `x86_64`")),
        ] {
            let found = plan(&options(word, None), Some(""), Some(&version())).err().unwrap_or_default();
            assert_eq!(found, problem.into_iter().collect::<Vec<_>>(), "{word}");
        }
    }

    #[test]
    fn an_image_has_tags_in_which_the_version_may_stand() {
        check(
            "app=3.1.0,{version}:image",
            "[[package]]\nkey = \"tools\"\nkind = \"image\"\ntags = [\"tools-{version}\"]\n",
            None,
            &[
                // A version's `+` is in no tag.
                "app    image  :3.1.0, :3.1.0-ee.0  released by the job `release: [app]`",
                "tools  image  :tools-3.1.0-ee.0    released by the job `release: [tools]`",
            ],
        );
        check(
            "none=:image twice=3,3:image bad=a/b:image arm=3:image:amd64",
            "[[package]]\nkey = \"both\"\nkind = \"image\"\ntags = [\"3\"]\ndistros = [\"el/9\"]\n\
             [[package]]\nkey = \"deb\"\ntags = [\"3\"]\ndistros = [\"el/9\"]\n",
            None,
            &[
                "refuse: `none` has no tag, such as `tags = [\"{version}\"]`",
                "refuse: `twice` names the tag `3` twice",
                "refuse: `bad`: `a/b` is not a tag: 1 to 128 of letters, digits, `_`, `.`, `-`, beginning with a letter, digit or `_`",
                "refuse: `arm` is an image, which may be for many architectures; leave `architecture` out",
                "refuse: `both` is an image, which is for no distro; it has `tags`",
                "refuse: `deb` has tags, which only images have; write `kind = \"image\"`",
            ],
        );
        let problems = plan(&options("app={version}:image", None), None, None).expect_err("no version is named");
        assert_eq!(problems, ["`app`: `{version}` needs the version; set `SLIPWAY_VERSION`"]);
    }

    #[test]
    fn a_tag_that_is_written_as_it_is_shown_is_refused_with_how_to_write_it() {
        for (word, problem) in [
            ("app=:3.1.0:image", "`app=:3.1.0:image`: tags are written without `:` here: `app=3.1.0:image`"),
            ("app=3.1.0,:3:image", "`app=3.1.0,:3:image`: tags are written without `:` here: `app=3.1.0,3:image`"),
        ] {
            let problems = plan(&options(word, None), Some(""), Some(&version())).expect_err("a tag with a colon");
            assert_eq!(problems, [problem], "{word}");
        }
    }

    #[test]
    fn the_job_and_the_environment_carry_the_key() {
        let mut options = options("a=el/9", None);
        options.release_job = "ship {key} now".to_owned();
        options.environment = "public/{key}".to_owned();
        let patch = plan(&options, None, None).expect("a right plan");
        let expect = patch.packages.into_iter().next().and_then(|package| package.expect).expect("one expectation");
        assert_eq!((expect.release_job.as_str(), expect.environment.as_str()), ("ship a now", "public/a"));
    }

    #[test]
    fn every_spelling_of_the_jobs_list_is_read() {
        for jobs in ["a,b", "a b", "a\nb\n", r#"["a", "b"]"#, r#"["a","b"]"#, "['a', 'b']", " [a, b] "] {
            let said = plan(&options("a=el/9 b=el/9", Some(jobs)), None, None);
            assert!(said.is_ok(), "{jobs}: {said:?}");
        }
    }

    #[test]
    fn every_problem_of_a_plan_is_listed_together() {
        check(
            "deb Bad=el/9 lone= deb=jammy twice=el/9,el/9 same=el/9 same=el/8 many=el/9:rpm:x86_64:more kind=el/9:dsc",
            r#"
                [[package]]
                key = "a"
                distros = ["el/9"]
                skip = " "
                [[package]]
                key = "b"
                distro = ["el/9"]
                [[package]]
                key = "late"
                distros = ["el/9"]
                [[package]]
                key = "both"
                distros = ["el"]
                kind = "rpm"
                architecture = "amd64"
            "#,
            Some("same,ghost,deb,both"),
            &[
                "refuse: `deb` is not KEY=DISTRO[,DISTRO…][:KIND[:ARCHITECTURE]], or KEY=TAG[,TAG…]:image",
                "refuse: `many=el/9:rpm:x86_64:more` is not KEY=DISTRO[,DISTRO…][:KIND[:ARCHITECTURE]], or KEY=TAG[,TAG…]:image",
                "refuse: `packages.toml`, package 2: unknown field `distro`, expected one of `key`, `distros`, `tags`, `kind`, `architecture`, `skip`",
                "refuse: `Bad` is not a key: 1 to 63 of `a-z`, `0-9`, `.`, `_`, `-`, beginning with a letter or digit",
                "refuse: `lone` has no distro, such as `ubuntu/jammy`",
                "refuse: `deb`: `jammy` is not a distro version; write it as packagecloud does: `ubuntu/jammy`, `el/9`",
                "refuse: `twice` names `el/9` twice",
                "refuse: `kind`: `dsc` is not a kind of package; `deb`, `rpm` and `image` are",
                "refuse: `a` is skipped without a reason",
                "refuse: `both`: `el` is not a distro version; write it as packagecloud does: `ubuntu/jammy`, `el/9`",
                "refuse: `both`: an rpm for `amd64` is called `x86_64`",
                "refuse: `same` is planned twice",
                "refuse: `late` has no release job: add it to the jobs' list, or skip it with a reason",
                "refuse: `ghost` has a release job, but is not planned",
            ],
        );
    }

    #[test]
    fn two_packages_never_share_a_release_job() {
        let mut options = options("a=el/9 b=el/9", None);
        options.release_job = "release".to_owned();
        let problems = plan(&options, None, None).expect_err("one job for two packages");
        assert_eq!(problems, ["`a` and `b` have the same release job `release`: write `{key}` in `--release-job`"]);
        options.packages.pop();
        assert!(plan(&options, None, None).is_ok());
    }

    #[test]
    fn a_file_that_is_not_toml_is_shown_with_its_line() {
        let problems = plan(&options("", None), Some("[[package]\n"), None).expect_err("broken TOML").join("\n");
        assert!(problems.contains("`packages.toml`: ") && problems.contains("line 1"), "{problems}");
    }

    #[test]
    fn an_empty_plan_is_a_mistake() {
        check("", "", None, &["refuse: the plan names no package"]);
    }
}

//! `slipway stage KEY --image REFERENCE`: resolve the reference once, declare its digest, and see that the edge sees it.
//!
//! Nothing is pushed: who builds an image pushes it, and what is in another repository would have to be copied with a
//! credential that no job needs.

use std::time::Duration;

use slipway_core::api::{Location, Package, PackagePatch, Policy, Release, ReleasePatch, StagedFile};
use slipway_core::cargo::{ImageName, registry_name};
use slipway_core::release::{Key, TargetState};
use slipway_fetch::Fetch;
use slipway_oci::{Image, NotWhole, Reference, Registry, Repository, Session};
use slipway_wire::{Base, CallError};

use crate::args;
use crate::edge::{Edge, Pauses};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::image::{self, NotResolved};
use crate::say::Say;
use crate::settings::{self, Settings};
use crate::stage::{Voice, package, seen};

/// How long a registry may take for one manifest, which has 4 MiB at most.
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);

/// Runs the command.
pub(crate) async fn stage(
    options: &args::Stage,
    key: &Key,
    reference: &Reference,
    settings: &Settings,
    say: Say,
) -> Result<Release, Failure> {
    let say = Voice { say, label: "" };
    let doing = format!("cannot stage `{reference}` as `{key}` of {}", settings.version);
    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let release = match edge.release().await {
        Ok(release) => release,
        Err(error) => return Err(edge.unread(error, doing).await),
    };
    let Some(planned) = package(&release, key) else {
        let line = format!("the plan does not name `{key}`: add it, run `slipway plan`, then run this again");
        return Err(Failure::new(Exit::Failed, doing, [line]));
    };
    if let Some(line) = no_image(planned) {
        return Err(Failure::new(Exit::Misused, doing, [line]));
    }
    // Built all the same: a plan that leaves it out is no reason to fail its build.
    if planned.targets.iter().all(|target| target.state == TargetState::Skipped) {
        say.line(&format!("`{key}` is left out of {} by its plan; nothing was declared", settings.version));
        return Ok(release);
    }
    let policy = edge.policy().await.map_err(|error| error.failure(&doing))?;
    let (registry, repository) = staging(&planned.staging, Some(&policy), &doing)?;
    if !image::is_in(reference, &registry.base, &repository) {
        return Err(Failure::new(Exit::Misused, doing, elsewhere(reference, &registry.base, &repository)));
    }
    let image = resolved(&registry, &repository, reference, &doing).await?;
    let Some(manifest) = image.manifest() else {
        return Err(Failure::new(Exit::Failed, doing, ["the image has no manifest".to_owned()]));
    };
    let (digest, size) = (manifest.digest(), image.size());
    let (manifests, blobs) = (image.manifests().len(), image.blobs().len());
    say.line(&format!("`{reference}` is {digest}: {manifests} manifests and {blobs} blobs of {size} bytes"));

    let named = ImageName::of(&registry.base, repository.as_str()).to_string();
    let staged = StagedFile { filename: String::new(), image: Some(named), digest, size };
    let patch = |replace: bool| ReleasePatch {
        packages: vec![PackagePatch { key: key.clone(), expect: None, staged: Some(staged.clone()), replace }],
    };
    match edge.declare(&patch(options.replace)).await {
        Ok(_) => {}
        Err(error) if error.kind() == Some("skipped") => {
            say.lines(error.lines().get(1..).unwrap_or_default());
            return edge.release().await.map_err(|error| error.failure(doing));
        }
        Err(error) if error.kind() == Some("other-digest") => {
            let mut lines = error.lines();
            let declared = edge.release().await.ok().and_then(|release| package(&release, key)?.file.clone());
            if let Some(declared) = declared.filter(|declared| declared.digest != digest) {
                lines.push(format!("declared before  {}", declared.digest));
                lines.push(format!("this image       {digest}"));
            }
            return Err(Failure::new(Exit::Conflict, doing, lines));
        }
        Err(error) if matches!(error.kind(), Some("staging-conflict" | "not-replaceable")) => {
            return Err(Failure::new(Exit::Conflict, doing, error.lines()));
        }
        Err(error) => return Err(error.failure(doing)),
    }
    seen(&edge, &patch(false), options, key, say, &doing).await
}

/// What to do about a package that is no image in the plan.
fn no_image(Package { key, targets, .. }: &Package) -> Option<String> {
    let distro = targets.iter().find(|target| target.tag.is_none()).map(|target| &target.distro)?;
    Some(format!(
        "`{key}` is a package for {distro} in the plan, not an image; `slipway stage {key} FILE` stages it. An image has \
         `kind = \"image\"` and tags in the plan"
    ))
}

/// The registry that a package is staged in, asked as this job may.
fn staging(location: &Location, policy: Option<&Policy>, doing: &str) -> Result<(Registry, Repository), Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, doing, [format!("Slipway's configuration: {why}")]);
    let base: Base = location.url.parse().map_err(|error| failed(format!("{error}")))?;
    let repository = location.repository.parse().map_err(|error| {
        failed(format!("{error}; `stage --image` is for packages whose plan says `kind = \"image\"`"))
    })?;
    let host = registry_name(base.as_str());
    let credential = settings::registry_user(&host::variable, &host)?;
    let own = settings::registry_realm(&host::variable, &host);
    Ok((image::registry(base, credential, policy, own), repository))
}

/// Where to push what is not in the staging repository.
fn elsewhere(reference: &Reference, base: &Base, repository: &Repository) -> Vec<String> {
    let there = format!("{}/{repository}", registry_name(base.as_str()));
    let name = match &reference.which {
        slipway_oci::Which::Tag(tag) => format!(":{tag}"),
        slipway_oci::Which::Digest(_) => String::new(),
    };
    vec![
        format!("it is not in `{there}`, in which this package is staged; nothing was declared."),
        format!("Push it there, for example with `skopeo copy --all docker://{reference} docker://{there}{name}`,"),
        format!(
            "then run this again with `--image {there}{}`.",
            if name.is_empty() { format!("@{}", reference.which) } else { name.clone() }
        ),
    ]
}

/// The image, once a registry that is away for a moment is back.
async fn resolved(
    registry: &Registry,
    repository: &Repository,
    reference: &Reference,
    doing: &str,
) -> Result<Image, Failure> {
    let http = Fetch::new(ANSWER_DEADLINE);
    let session = Session::new(registry);
    let end = host::now_ms() + f64::from(args::ASK_TIMEOUT_S) * 1000.0;
    let mut pauses = Pauses::default();
    loop {
        let error = match image::resolve(&session, &http, repository, &reference.which).await {
            Ok(image) => return Ok(image),
            Err(error) => error,
        };
        let pause = pauses.next_ms();
        if !error.may_pass() || host::now_ms() + pause > end {
            return Err(unresolved(&error, repository, registry.credential.is_some(), doing));
        }
        host::pause_ms(pause).await;
    }
}

fn unresolved(error: &NotResolved, repository: &Repository, is_known: bool, doing: &str) -> Failure {
    let next = match (error, error.call().and_then(CallError::status).map(|status| status.as_u16())) {
        (NotResolved::Absent(_), _) => "Push it, then run this again.",
        (_, Some(401 | 403)) if is_known => {
            "The user may not read this repository, or its password is another: look at `SLIPWAY_REGISTRY_USER` and \
             `SLIPWAY_REGISTRY_PASSWORD`."
        }
        (_, Some(401 | 403)) => {
            "Set `SLIPWAY_REGISTRY_USER` and `SLIPWAY_REGISTRY_PASSWORD` to who may read the staging registry."
        }
        _ if matches!(error.call(), Some(CallError::Foreign { .. })) => {
            "Nothing was declared. If that is right, the operator writes it into the place's `realm`, `service` or `storage` \
             in `slipway.toml`."
        }
        (NotResolved::NotWhole(error), None) if matches!(**error, NotWhole::Lacks { .. }) => {
            "Push the image again, whole, then run this again."
        }
        (NotResolved::NotWhole(_), None) => "Build the image again, push it, then run this again.",
        _ => "Run this again later: nothing was declared.",
    };
    let what = match error {
        NotResolved::Absent(which) => format!("there is no image `{which}` in {repository}."),
        _ => format!("{error}."),
    };
    Failure::new(Exit::Failed, doing, [what, next.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_elsewhere_is_refused_with_where_to_push_it() {
        let base = "https://registry.example.com".parse().expect("an address");
        let repository = "team/app-staging".parse().expect("a repository");
        let said = |reference: &str| elsewhere(&reference.parse().expect("a reference"), &base, &repository).join("\n");
        let tagged = said("docker.io/team/app:17.3.1");
        assert!(tagged.contains("`registry.example.com/team/app-staging`, in which"), "{tagged}");
        assert!(
            tagged.contains("docker://docker.io/team/app:17.3.1 docker://registry.example.com/team/app-staging:17.3.1"),
            "{tagged}"
        );
        assert!(tagged.ends_with("`--image registry.example.com/team/app-staging:17.3.1`."), "{tagged}");
    }

    #[test]
    fn an_image_for_a_key_that_is_a_package_in_the_plan_is_refused_with_how_to_stage_that() {
        let mut release = crate::testing::release(&[("deb", "expected"), ("app", "expected")]);
        let app = release.packages.last_mut().expect("a package");
        for target in &mut app.targets {
            (target.distro, target.tag) = (String::new(), Some("17.3.1".to_owned()));
        }
        let said: Vec<_> = release.packages.iter().map(no_image).collect();
        let expected = "`deb` is a package for d/0 in the plan, not an image; `slipway stage deb FILE` stages it. An image has \
                        `kind = \"image\"` and tags in the plan";
        assert_eq!(said, [Some(expected.to_owned()), None]);
    }

    #[test]
    fn what_to_do_about_an_image_that_cannot_be_read_depends_on_why() {
        let repository = "team/app".parse().expect("a repository");
        let absent = NotResolved::Absent("1.0".parse::<slipway_oci::Tag>().expect("a tag").into());
        let refused = |status: u16| {
            let response = http::Response::builder().status(status).body(Vec::new()).expect("an answer");
            NotResolved::Call(CallError::refused("registry.example.com", &response))
        };
        let (host, why) = ("registry.example.com".to_owned(), "it sends to elsewhere.example.net".to_owned());
        let foreign = CallError::Foreign { host, errand: slipway_wire::Errand::Token, why };
        for (error, is_known, part) in [
            (NotResolved::Call(foreign), true, "the operator writes it into the place's `realm`"),
            (absent, true, "Push it"),
            (refused(401), false, "Set `SLIPWAY_REGISTRY_USER`"),
            (refused(403), true, "may not read this repository"),
            (refused(503), true, "later"),
        ] {
            let failure = unresolved(&error, &repository, is_known, "cannot stage");
            assert!(failure.lines.join(" ").contains(part), "{failure:?}");
        }
        let absent = NotResolved::Absent("1.0".parse::<slipway_oci::Tag>().expect("a tag").into());
        let failure = unresolved(&absent, &repository, true, "cannot stage");
        assert_eq!(failure.lines, ["there is no image `1.0` in team/app.", "Push it, then run this again."]);
    }
}

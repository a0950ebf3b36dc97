//! Everything that is known of a target, as its own page shows it. Nothing of it is rendered in the browser, where every
//! byte of program is paid for at each first load: the release's page leads here instead.

use maud::{Markup, html};
use slipway_core::api::{Package, Release, Target};
use slipway_core::audit::person;
use slipway_core::release::TargetState;

use crate::install;
pub use crate::section::record;
use crate::section::{job, needs_a_person, row_id};
use crate::text::{Moment, grouped, link, visible};

/// Everything that is known of a target, for the one who has to be sure.
pub fn facts(release: &Release, package: &Package, target: &Target) -> Markup {
    let id = row_id(package, target);
    let moment = |text: &str| Moment::parse(text).map_or_else(|| visible(text), |moment| moment.second());
    html! {
        dl.facts {
            @if let Some(file) = &package.file {
                @if target.tag.is_some() {
                    div.wide { dt { "Digest" } dd { code.digest { (file.digest) } } }
                    div { dt { "Size" } dd { (grouped(file.size)) " bytes in all its blobs" } }
                } @else {
                    div.wide { dt { "SHA-256" } dd { code.digest { (file.digest.hex()) } } }
                    div { dt { "Size" } dd { (grouped(file.size)) " bytes" } }
                }
            }
            div { dt { (target.state.words()) " since" } dd { (moment(&target.since)) } }
            @if let Some(url) = target.attestation.as_deref().and_then(link) {
                div { dt { "Attested" } dd { a href=(url) download { "Download what is signed" } } }
            }
            @if let Some(approval) = &target.approval {
                div {
                    dt { "Approved" }
                    dd {
                        (moment(&approval.at)) " by " (visible(&approval.by))
                        @match approval.via.as_str() {
                            "webhook" => ", through GitLab's webhook",
                            "job" => ", asked for by the job",
                            other => { ", through " (visible(other)) }
                        }
                    }
                }
            }
            @if let Some(taken) = &target.withdrawal {
                div { dt { "Taken back" } dd { "asked for " (moment(&taken.at)) " by " (visible(person(&taken.by))) ": " (visible(&taken.reason)) } }
            }
            @if let Some(expires) = &target.expires_at {
                div { dt { "Deleted from staging" } dd { "from " (moment(expires)) " on; " code { "slipway extend " (package.key) } " keeps it" } }
            }
            @if target.attempts > 0 { div { dt { "Attempts" } dd { (target.attempts) } } }
            div { dt { "Manual job" } dd { code { (visible(&package.release_job)) } " " (job(release, package, target, &format!("{id}-job"))) } }
            div { dt { "Staging" } dd { (visible(&package.staging.repository)) span.host { " at " (visible(&package.staging.url)) } } }
            div { dt { "Public" } dd { (visible(&target.public.repository)) span.host { " at " (visible(&target.public.url)) } } }
        }
        @if let Some(problem) = target.problem.as_ref().filter(|_| !needs_a_person(target)) { (record(problem)) }
        @if target.state == TargetState::Released {
            @let offered = match &target.tag {
                Some(_) => ("Pull", install::pull(package, target)),
                None => ("Install", install::apt(package, target)),
            };
            @if let (label, Some(lines)) = offered {
                p.label #{ (id) "-install" } { (label) }
                pre tabindex="0" role="group" aria-labelledby={ (id) "-install" } { code { (lines) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::api::Release;

    use crate::section::tests::{image, release};

    fn facts_of(release: &Release) -> String {
        let package = &release.packages[0];
        super::facts(release, package, &package.targets[0]).into_string()
    }

    #[test]
    fn an_image_is_spoken_of_as_an_image_and_a_file_as_a_file() {
        let hex = "ab".repeat(32);
        let shown = facts_of(&image("released"));
        assert!(shown.contains(&format!("<dt>Digest</dt><dd><code class=\"digest\">sha256:{hex}</code>")), "{shown}");
        assert!(shown.contains("24,340 bytes in all its blobs"), "{shown}");
        assert!(shown.contains(">Pull</p>") && !shown.contains("Install") && !shown.contains("apt"), "{shown}");
        assert!(shown.contains("docker pull registry.example/team/app:1.2.0"), "{shown}");
        let shown = facts_of(&release("released"));
        assert!(shown.contains(&format!("<dt>SHA-256</dt><dd><code class=\"digest\">{hex}</code>")), "{shown}");
        assert!(
            shown.contains("24,340 bytes<") && shown.contains(">Install</p>") && !shown.contains("pull"),
            "{shown}"
        );
    }
}

//! The forms of somebody who has signed in, to look at.

use slipway_core::api::{Hold, Release};
use slipway_core::release::Key;
use slipway_view::page::{self, Act, Form, Reader};
use slipway_view::section;

use crate::Fixture;
use crate::data::{judged, patch_day};

pub(super) fn fixtures() -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let stranger = Reader { may_sign_in: true, path: "/p/tug/r/1.2.0", ..Reader::default() };
    let denied = "You are not signed in: GitLab says: The resource owner denied the request.";
    let mut all = vec![
        Fixture::new("not-signed-in", "/sign-in/return?denied", page::not_signed_in(denied, &stranger)),
        Fixture::new(
            "may-sign-in",
            "/p/for-members",
            page::unauthorised("Only members of the project read this.", &stranger),
        ),
    ];
    let release = judged(patch_day())?;
    for act in [Act::Hold, Act::Lift, Act::Extend, Act::Close] {
        all.push(form(act, &release, false));
        all.push(form(act, &release, true));
    }
    Ok(all)
}

/// A form, as it comes first or as it comes back.
fn form(act: Act, release: &Release, is_refused: bool) -> Fixture {
    let held = Hold {
        key: None,
        by: "mira".to_owned(),
        reason: "the notes are wrong".to_owned(),
        at: release.at.clone(),
        until: None,
    };
    let release = Release { holds: vec![held], ..release.clone() };
    let keys: Vec<Key> = if is_refused {
        release.packages.iter().take(1).map(|package| package.key.clone()).collect()
    } else {
        Vec::new()
    };
    let form = Form {
        act,
        project: &release.project.name,
        version: release.version.as_str(),
        release: Some(&release),
        keys: &keys,
        reason: if is_refused { "crashes on start" } else { "" },
        until: "",
        seen_at: is_refused.then_some("2026-11-23T09:00:00.000Z"),
        refused: is_refused
            .then_some("What this does has changed since you read it. Read it again here; then send it again."),
    };
    let reader = Reader { name: Some("mira"), may_sign_in: true, ..Reader::default() };
    let (name, query) = if is_refused { ("-refused", "?refused") } else { ("", "") };
    Fixture::new(
        &format!("{}{name}", act.path()),
        format!("{}/{}{query}", section::path(&release), act.path()),
        page::act(&form, &reader),
    )
}

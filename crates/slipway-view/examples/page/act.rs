//! The forms of somebody who has signed in, to look at.

use slipway_core::api::{Hold, Release};
use slipway_core::release::Key;
use slipway_view::page::{self, Act, Form, Reader};

/// The page of a form by its name, `hold`, or as it comes back, `hold-refused`.
pub(super) fn page(name: &str, release: &Release) -> Option<String> {
    let (part, is_refused) = name.strip_suffix("-refused").map_or((name, false), |part| (part, true));
    let act = Act::of_path(part)?;
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
    Some(page::act(&form, &reader).into_string())
}

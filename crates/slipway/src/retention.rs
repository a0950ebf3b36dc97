//! `slipway retention` and `slipway extend`: what becomes of what is staged, and keeping it for longer.

use std::fmt::Write as _;

use slipway_core::amount::{percent, size};
use slipway_core::api::{ExtensionRequest, Retained, Retention, StagedBytes};

use crate::args;
use crate::edge::Edge;
use crate::exit::Failure;
use crate::follow::list;
use crate::host;
use crate::say::Say;
use crate::settings::Settings;
use crate::status::{laid_out, minute};

/// The list, what is deleted first.
pub(crate) fn table(retention: &Retention, packages: &[&Retained]) -> String {
    let mut text = String::new();
    for StagedBytes { place, bytes, limit, all } in &retention.places {
        let of = match (limit, all) {
            (Some(limit), Some(all)) => {
                let (all, percent, limit) = (size(*all), percent(*all, *limit), size(*limit));
                format!(", and {all} of all projects: {percent} % of the {limit} that its plan has room for")
            }
            (Some(limit), None) => {
                let limit = size(*limit);
                format!("; what it has of other projects is not known now; its plan has room for {limit}")
            }
            (None, _) => String::new(),
        };
        let _ = writeln!(text, "{place} has {} of {}{of}", size(*bytes), retention.project.name);
    }
    if !retention.enabled {
        text.push_str("deleting is not switched on: this is only a report\n");
    }
    let mut rows = vec![["RELEASE", "KEY", "SIZE", "NEXT RUN", "DELETED NOT BEFORE (UTC)", "WHY"].map(str::to_owned)];
    rows.extend(packages.iter().map(|package| {
        [
            package.version.to_string(),
            package.key.to_string(),
            size(package.size),
            package.decision.replace('_', " "),
            package.expires_at.as_deref().map(minute).unwrap_or_default(),
            package.why.clone(),
        ]
    }));
    if packages.is_empty() {
        text.push_str("staging has nothing of it\n");
    } else {
        text.push('\n');
        text.push_str(&laid_out(&rows));
    }
    text
}

/// Runs `slipway retention`.
pub(crate) async fn retention(options: &args::Retention, settings: &Settings) -> Result<(), Failure> {
    let say = Say::new(options.json);
    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let doing = format!("cannot read what becomes of the staged packages of {}", settings.project);
    let retention = edge.retention().await.map_err(|error| error.failure(doing))?;
    let meant = |package: &&Retained| options.all || package.version == settings.version;
    let packages: Vec<&Retained> = retention.packages.iter().filter(meant).collect();
    if let (true, Err(error)) = (packages.is_empty() && !options.all, edge.release().await) {
        return Err(edge.unread(error, format!("cannot read the release {}", settings.version)).await);
    }
    if !options.json {
        host::print(&table(&retention, &packages));
    }
    let packages = packages.into_iter().cloned().collect();
    say.answer(&Retention { packages, ..retention })
}

/// Runs `slipway extend`.
pub(crate) async fn extend(options: &args::Extend, settings: &Settings, say: Say) -> Result<(), Failure> {
    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let keys = &options.keys;
    let what = if keys.is_empty() { "all packages".to_owned() } else { list(keys) };
    let doing = format!("cannot keep {what} of {} for longer", settings.version);
    let keys = if keys.is_empty() { None } else { Some(keys.clone()) };
    let until = &options.until;
    let request = ExtensionRequest { keys, until: until.clone(), reason: options.reason.clone() };
    let release = match edge.extend(&request).await {
        Ok(release) => release,
        Err(error) => return Err(edge.unchanged(error, &options.keys, doing).await),
    };
    // The answer says no date, and one that was promised before may be later.
    say.line(&format!(
        "staging keeps {what} of {} until {} UTC at least; an announced or marked deletion is called off",
        settings.version,
        minute(until)
    ));
    say.answer(&release)
}

#[cfg(test)]
mod tests {
    use slipway_core::api::Project;
    use slipway_wire::Digest;

    use super::*;

    #[test]
    fn the_list_says_what_the_next_run_does_and_why() {
        let package = Retained {
            version: "1.2.0".parse().expect("a version"),
            key: "deb".parse().expect("a key"),
            place: "staging".to_owned(),
            repository: "harbour-ci/pre-release".to_owned(),
            name: "tug_1.2.0_amd64.deb".to_owned(),
            digest: Digest::of(b""),
            size: 2_000_000,
            decision: "take_back".to_owned(),
            reason: "held".to_owned(),
            why: "kept: it is on hold by mira.".to_owned(),
            stage: Some("marked".to_owned()),
            expires_at: Some("2026-12-01T10:00:00.000Z".to_owned()),
        };
        let retention = Retention {
            project: Project { id: 1001, name: "tug".to_owned() },
            at: "2026-11-23T09:00:00.000Z".to_owned(),
            enabled: false,
            places: vec![StagedBytes {
                place: "staging".to_owned(),
                bytes: 2_000_000,
                limit: Some(8_000_000),
                all: Some(6_000_000),
            }],
            packages: vec![package.clone()],
        };
        assert_eq!(
            table(&retention, &[&package]),
            "staging has 2.0 MB of tug, and 6.0 MB of all projects: 75 % of the 8.0 MB that its plan has room for\n\
             deleting is not switched on: this is only a report\n\n\
             RELEASE  KEY  SIZE    NEXT RUN   DELETED NOT BEFORE (UTC)  WHY\n\
             1.2.0    deb  2.0 MB  take back  2026-12-01 10:00          kept: it is on hold by mira.\n"
        );
        assert!(table(&retention, &[]).ends_with("staging has nothing of it\n"));
        let alone = StagedBytes { all: None, ..retention.places[0].clone() };
        let said = table(&Retention { places: vec![alone], ..retention }, &[]);
        assert!(
            said.starts_with("staging has 2.0 MB of tug; what it has of other projects is not known now;"),
            "{said}"
        );
    }
}

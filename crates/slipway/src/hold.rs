//! `slipway hold` and `slipway close`: what has not begun is stopped, or given up. What is public already is listed, since
//! neither takes anything back.

use slipway_core::api::{CloseRequest, Hold, HoldRequest, Release};
use slipway_core::release::{Key, TargetState};

use crate::args;
use crate::edge::Edge;
use crate::exit::Failure;
use crate::follow::list;
use crate::say::Say;
use crate::settings::Settings;
use crate::status::held;

/// What is public, and what is just becoming so, a line a target.
fn beyond(release: &Release, keys: &[Key]) -> Vec<String> {
    let mut lines = Vec::new();
    for package in release.packages.iter().filter(|package| keys.is_empty() || keys.contains(&package.key)) {
        for target in &package.targets {
            let place = format!("{}  {}  {}", package.key, target.name(), target.public.repository);
            match target.state {
                TargetState::Released => lines.push(format!("public already  {place}")),
                TargetState::Releasing => lines.push(format!("being released  {place}")),
                _ => {}
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing of it is public".to_owned());
    }
    lines
}

/// What holds now of what was to be held, a line each. That is not what was asked for: where it was held before, the later end
/// counts.
fn holds(release: &Release, keys: &[Key]) -> Vec<String> {
    let asked = |hold: &&Hold| match &hold.key {
        Some(key) => keys.contains(key),
        None => keys.is_empty(),
    };
    release.holds.iter().filter(asked).map(held).collect()
}

/// Runs `slipway hold`.
pub(crate) async fn hold(options: &args::Hold, settings: &Settings, say: Say) -> Result<(), Failure> {
    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let keys = &options.keys;
    let what = if keys.is_empty() { "the whole release".to_owned() } else { list(keys) };
    let act = if options.lift { "end the hold of" } else { "hold" };
    let doing = format!("cannot {act} {what} of {}", settings.version);
    let keys_or_all = if keys.is_empty() { None } else { Some(keys.clone()) };
    let request = HoldRequest { keys: keys_or_all, reason: options.reason.clone(), until: options.until.clone() };
    let release = if options.lift { edge.lift(&request).await } else { edge.hold(&request).await };
    let release = match release {
        Ok(release) => release,
        Err(error) => return Err(edge.unchanged(error, keys, doing).await),
    };
    if options.lift {
        say.line(&format!("the hold of {what} has ended; approvals that lapsed meanwhile are needed again"));
        say.lines(&release.holds.iter().map(held).collect::<Vec<_>>());
    } else {
        say.line(&format!(
            "{what}: nothing of it begins while any of these holds counts; `slipway hold --lift` ends one"
        ));
        say.lines(&holds(&release, keys));
        say.lines(&beyond(&release, keys));
    }
    say.line(&release.verdict);
    say.answer(&release)
}

/// Runs `slipway close`.
pub(crate) async fn close(options: &args::Close, settings: &Settings, say: Say) -> Result<(), Failure> {
    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let doing = format!("cannot close the release {}", settings.version);
    let request = CloseRequest { reason: options.reason.clone() };
    let release = match edge.close(&request).await {
        Ok(release) => release,
        Err(error) => return Err(edge.unchanged(error, &[], doing).await),
    };
    say.line(&format!("closed: {}; what was not released is given up", settings.version));
    say.lines(&beyond(&release, &[]));
    say.line(&release.verdict);
    say.answer(&release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_said_of_a_hold_is_what_holds_and_not_what_was_asked_for() {
        let mut release = testing::release(&[("deb", "staged"), ("rpm", "staged")]);
        let hold = |key: Option<&str>, until: Option<&str>| Hold {
            key: key.map(|key| key.parse().expect("a key")),
            by: "user:mira".to_owned(),
            reason: "it crashes".to_owned(),
            at: "2026-11-23T09:00:00.000Z".to_owned(),
            until: until.map(str::to_owned),
        };
        release.holds =
            vec![hold(None, None), hold(Some("deb"), Some("2027-01-01T00:00:00.000Z")), hold(Some("rpm"), None)];
        let keys = ["deb".parse().expect("a key")];
        assert_eq!(
            holds(&release, &keys),
            ["held until 2027-01-01 00:00 UTC: `deb`, by mira, 2026-11-23 09:00 UTC: it crashes"]
        );
        assert_eq!(holds(&release, &[]), ["held: the whole release, by mira, 2026-11-23 09:00 UTC: it crashes"]);
    }

    #[test]
    fn what_is_public_already_is_listed_for_what_is_held() {
        let release = testing::release(&[("deb", "released staged releasing"), ("rpm", "released")]);
        let keys = ["deb".parse().expect("a key")];
        assert_eq!(
            beyond(&release, &keys),
            ["public already  deb  d/0  harbour/stable", "being released  deb  d/2  harbour/stable"]
        );
        assert_eq!(beyond(&release, &[]).len(), 3);
        assert_eq!(beyond(&testing::release(&[("deb", "staged")]), &[]), ["nothing of it is public"]);
    }
}

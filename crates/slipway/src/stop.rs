//! `slipway stop` and `slipway start`: the switch of everything, or of one project. For operators.

use slipway_core::api::{StopRequest, Stopped, Switch};

use crate::args;
use crate::edge::Edge;
use crate::exit::{Exit, Failure};
use crate::host;
use crate::say::Say;
use crate::settings::Settings;

/// How often it is looked whether every project has heard. Those that have not are told again every second.
const LOOK_MS: f64 = 1000.0;

/// The projects that have not heard how the switch stands.
fn unheard(switch: &Switch) -> Vec<&str> {
    switch.projects.iter().filter(|project| !project.has_heard).map(|one| one.project.name.as_str()).collect()
}

/// What stands still though everything was started.
fn still_stopped(switch: &Switch) -> Vec<String> {
    let own = switch.projects.iter().filter_map(|one| Some((one.project.name.as_str(), one.stopped.as_ref()?)));
    own.map(|(name, stopped)| {
        format!("{name} is still {}; `slipway start --project {name}` starts it", stopped_by(stopped))
    })
    .collect()
}

fn stopped_by(stopped: &Stopped) -> String {
    format!("stopped by {}: {}", stopped.by, stopped.reason.trim().trim_end_matches('.'))
}

/// Runs either.
pub(crate) async fn switch(options: &args::Switch, settings: &Settings, say: Say) -> Result<(), Failure> {
    let args::Switch { is_stop, reason, project, timeout_s, .. } = options;
    let (edge, _) = Edge::open(settings, *timeout_s).await?;
    let what = project.as_deref().unwrap_or("Slipway");
    let doing = if *is_stop { format!("cannot stop {what}") } else { format!("cannot start {what}") };
    let request = StopRequest { reason: reason.clone() };
    let Some(project) = project else { return everything(&edge, *is_stop, &request, *timeout_s, &doing, say).await };
    let stopped = edge.turn_project(*is_stop, project, &request).await.map_err(|error| error.failure(&doing))?;
    say.line(&match (&stopped, is_stop) {
        (Some(_), true) => format!("stopped: nothing of {project} is published or deleted until it is started"),
        (Some(stopped), false) => {
            format!("{project} has no stop of its own any more, and is still {}", stopped_by(stopped))
        }
        (None, _) => format!("started: {project} goes on"),
    });
    say.answer(&stopped)
}

async fn everything(
    edge: &Edge<'_>,
    is_stop: bool,
    request: &StopRequest,
    timeout_s: u32,
    doing: &str,
    say: Say,
) -> Result<(), Failure> {
    let until_ms = host::now_ms() + f64::from(timeout_s) * 1000.0;
    let mut switch = edge.turn(is_stop, request).await.map_err(|error| error.failure(doing))?;
    while !unheard(&switch).is_empty() && host::now_ms() < until_ms {
        host::pause_ms(LOOK_MS).await;
        switch = edge.turned().await.map_err(|error| error.failure(doing))?;
    }
    let missing = unheard(&switch);
    if !missing.is_empty() {
        let (names, next) = (missing.join(", "), "Run it again: they are told every second until they have heard.");
        let goes_on = if is_stop { "what they have begun may go on" } else { "they may still be stopped" };
        let why = format!("The switch is turned, and these projects have not heard of it, so {goes_on}: {names}.");
        say.answer(&switch)?;
        return Err(Failure::new(Exit::Failed, doing, [why, next.to_owned()]));
    }
    match (&switch.stopped, is_stop) {
        (None, true) | (Some(_), false) => {
            let why = "Somebody has turned the switch the other way meanwhile; look, and run it again.";
            return Err(Failure::new(Exit::Failed, doing, [why.to_owned()]));
        }
        (Some(_), true) => {
            let count = switch.projects.len();
            say.line(&format!(
                "stopped: nothing is published or deleted until `slipway start`; {count} of {count} projects have heard"
            ));
        }
        (None, false) => {
            say.line("started: what waited goes on");
            say.lines(&still_stopped(&switch));
        }
    }
    say.answer(&switch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_core::api::{Project, SwitchedProject};

    fn project(name: &str, has_heard: bool, stopped: Option<&str>) -> SwitchedProject {
        let stopped = stopped.map(|reason| Stopped {
            by: "operator".to_owned(),
            reason: reason.to_owned(),
            at: "2026-11-23T00:00:00Z".to_owned(),
        });
        SwitchedProject { project: Project { id: 1, name: name.to_owned() }, has_heard, stopped }
    }

    #[test]
    fn those_who_have_not_heard_and_those_who_are_stopped_for_themselves_are_named() {
        let projects = vec![
            project("tug", true, None),
            project("pilot", false, None),
            project("buoy", true, Some("it was imported.")),
        ];
        let switch = Switch { stopped: None, projects };
        assert_eq!(unheard(&switch), ["pilot"]);
        assert_eq!(
            still_stopped(&switch),
            ["buoy is still stopped by operator: it was imported; `slipway start --project buoy` starts it"]
        );
    }
}

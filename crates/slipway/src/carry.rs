//! Copies that take longer than the edge may run by itself.
//!
//! An alarm's run at the edge ends after a quarter of an hour; a request does not while its client waits. So the job
//! that released the package holds one open for each such target, beside following the release. What the request says is
//! only why it ended: how the copy went is in the release. Losing the connection is no failure. The copy stops with it,
//! nothing of it is public, and while the release still says that the copy wants to be carried, it is asked for again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use slipway_core::api::{CarryLine, CarryRequest, ProblemDetails, Release, Step, Target};
use slipway_core::release::{Key, TargetState};

use crate::edge::{Edge, Pauses};
use crate::host::{self, Held};
use crate::say::Say;

/// The edge writes a line every 10 seconds. One that is silent for so long is gone, though nobody closed the connection.
const SILENCE_MS: u32 = 45_000;

/// A target: its key and its distro version.
type Place = (Key, String);

/// The request for one target.
enum Request {
    /// It is held open.
    Open(Rc<Held>),
    /// It ended; not before this moment it is asked for again.
    Rests { until_ms: f64 },
    /// The edge will not let this job carry it.
    Never,
}

/// What is known of one target.
struct Carried {
    request: Request,
    pauses: Pauses,
}

/// The requests that this job holds open. Dropping them ends them.
#[derive(Default)]
pub(crate) struct Carries(Rc<RefCell<BTreeMap<Place, Carried>>>);

/// The targets of `keys` that wait for a request to carry them.
fn wanted(release: &Release, keys: &[Key]) -> Vec<Place> {
    let asked = release.packages.iter().filter(|package| keys.contains(&package.key));
    let waiting = asked.flat_map(|package| package.targets.iter().map(move |target| (&package.key, target)));
    waiting
        .filter(|(_, target)| target.state == TargetState::Releasing && target.step == Some(Step::Carry))
        .map(|(key, target)| (key.clone(), target.name().into_owned()))
        .collect()
}

impl Carries {
    /// The targets to ask for now, of those that wait.
    fn due(&self, wanted: Vec<Place>, now_ms: f64) -> Vec<Place> {
        let carried = self.0.borrow();
        let is_due = |place: &Place| match carried.get(place).map(|carried| &carried.request) {
            None => true,
            Some(Request::Rests { until_ms }) => now_ms >= *until_ms,
            Some(Request::Open(_) | Request::Never) => false,
        };
        wanted.into_iter().filter(is_due).collect()
    }

    /// Holds a request open for every target of `keys` that waits for one.
    pub(crate) fn keep(&self, edge: &Edge<'_>, release: &Release, keys: &[Key], say: Say) {
        for place in self.due(wanted(release, keys), host::now_ms()) {
            let (key, distro) = &place;
            let (distro_asked, tag) = Target::named(distro);
            let request = CarryRequest { key: key.clone(), distro: distro_asked, tag };
            let Some(held) = edge.carry(&request, SILENCE_MS) else { continue };
            let held = Rc::new(held);
            let mut carried = self.0.borrow_mut();
            let before = carried.remove(&place);
            if before.is_none() {
                say.line(&format!(
                    "{key}  {distro}  takes longer than Slipway may copy by itself: this job's connection carries it, so let \
                     the job run"
                ));
            }
            let pauses = before.map(|before| before.pauses).unwrap_or_default();
            carried.insert(place.clone(), Carried { request: Request::Open(held.clone()), pauses });
            wasm_bindgen_futures::spawn_local(follow(self.0.clone(), place, held, say));
        }
    }
}

impl Drop for Carries {
    /// An open connection would keep the command from ending.
    fn drop(&mut self) {
        for carried in std::mem::take(&mut *self.0.borrow_mut()).into_values() {
            if let Request::Open(held) = carried.request {
                held.close();
            }
        }
    }
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The copy is over; the release says how it went.
    Over,
    /// There was nothing to carry, or not now.
    Refused(String),
    /// This job may not.
    Forbidden(String),
    /// The connection was lost.
    Lost(String),
}

/// Reads the answer to its end.
async fn ended(held: &Held) -> End {
    let status = match held.status().await {
        Ok(status) => status,
        Err(why) => return End::Lost(why),
    };
    let mut text = String::new();
    loop {
        let line = match held.line().await {
            Ok(Some(line)) => line,
            Err(why) if (200..300).contains(&status) => return End::Lost(why),
            Ok(None) | Err(_) => return judge(status, &text),
        };
        match serde_json::from_str(&line) {
            Ok(CarryLine::Carrying) => {}
            Ok(CarryLine::Ended) => return End::Over,
            Ok(CarryLine::Refused(why)) => return End::Refused(why),
            Err(_) => text.push_str(&line),
        }
    }
}

/// What an answer means that ended without saying how.
fn judge(status: u16, text: &str) -> End {
    let problem = serde_json::from_str::<ProblemDetails>(text).ok();
    let why = problem.map_or_else(|| format!("Slipway answered {status}"), |problem| problem.detail);
    match status {
        200..300 => End::Lost("the answer ended early".to_owned()),
        401 | 403 | 404 => End::Forbidden(why),
        400..500 => End::Refused(why),
        _ => End::Lost(why),
    }
}

async fn follow(all: Rc<RefCell<BTreeMap<Place, Carried>>>, place: Place, held: Rc<Held>, say: Say) {
    let end = ended(&held).await;
    held.close();
    let mut all = all.borrow_mut();
    // Gone when the command has ended meanwhile: then nobody is to be told.
    let Some(carried) = all.get_mut(&place) else { return };
    let (key, distro) = place;
    let pause_ms = carried.pauses.next_ms();
    carried.request = Request::Rests { until_ms: host::now_ms() + pause_ms };
    match end {
        End::Over => carried.pauses = Pauses::default(),
        End::Refused(why) => say.line(&format!("{key}  {distro}  not carried: {why}")),
        End::Lost(why) => {
            say.line(&format!(
                "{key}  {distro}  the connection that carried it was lost ({why}); it is asked for again"
            ));
        }
        End::Forbidden(why) => {
            carried.request = Request::Never;
            say.line(&format!("{key}  {distro}  this job does not carry it: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn place(distro: &str) -> Place {
        ("deb".parse().expect("a key"), distro.to_owned())
    }

    #[test]
    fn only_what_waits_to_be_carried_and_was_asked_for_is_carried() {
        let mut release = testing::release(&[("deb", "releasing releasing staged"), ("rpm", "releasing")]);
        for package in &mut release.packages {
            for target in &mut package.targets {
                target.step = Some(if target.distro == "d/1" { Step::Copy } else { Step::Carry });
            }
        }
        assert_eq!(wanted(&release, &["deb".parse().expect("a key")]), [place("d/0")]);
    }

    #[test]
    fn a_request_that_ended_is_asked_for_again_after_a_pause_unless_it_is_forbidden() {
        let carries = Carries::default();
        let rests = |until_ms| Carried { request: Request::Rests { until_ms }, pauses: Pauses::default() };
        carries.0.borrow_mut().insert(place("rests"), rests(1000.0));
        carries.0.borrow_mut().insert(place("rested"), rests(500.0));
        carries.0.borrow_mut().insert(place("never"), Carried { request: Request::Never, pauses: Pauses::default() });
        let wanted = ["new", "rests", "rested", "never"].map(place).to_vec();
        assert_eq!(carries.due(wanted, 500.0), [place("new"), place("rested")]);
    }

    #[test]
    fn an_answer_that_says_no_more_is_judged_by_its_status() {
        let problem = r#"{"type":"t","title":"T","status":403,"detail":"Only the job that released it."}"#;
        for (status, text, end) in [
            (200, "", End::Lost("the answer ended early".to_owned())),
            (403, problem, End::Forbidden("Only the job that released it.".to_owned())),
            (404, "<html>", End::Forbidden("Slipway answered 404".to_owned())),
            (409, "", End::Refused("Slipway answered 409".to_owned())),
            (503, "", End::Lost("Slipway answered 503".to_owned())),
        ] {
            assert_eq!(judge(status, text), end, "{status}");
        }
    }
}

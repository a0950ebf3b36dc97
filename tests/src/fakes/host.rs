//! The host of one target: runs its promotion, reports, and runs again when it is due, as the edge's alarm does.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slipway_core::promotion::{Outcome, Promotion, promote};
use slipway_core::release::TargetState;
use slipway_core::report::{Next, Patience, Report, report};
use slipway_core::time::Timestamp;

use super::net::{Net, Run};
use super::packagecloud::Writer;

/// When a host that died is started again.
const WATCHDOG: Duration = Duration::from_secs(20);
/// More runs than any story needs: an index that is late for an hour takes about 130.
const RUNS_MAX: u32 = 500;

/// The host died: its future was dropped where it stood.
#[derive(Debug, PartialEq, Eq)]
pub struct Crashed;

/// Runs a future whose effects answer at once. One that is left pending has met a crash, and is dropped.
pub fn poll<T>(future: impl Future<Output = T>) -> Result<T, Crashed> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Crashed),
    }
}

/// Where a promotion came to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The last outcome.
    pub outcome: Outcome,
    /// What people see of it.
    pub report: Report,
}

/// A host with its clock, and what it remembers of one target.
pub struct Host<'a> {
    net: &'a Net,
    promotion: Promotion,
    /// The time, which passes only between runs.
    pub now: Timestamp,
    patience: Patience,
    /// What was reported, in order.
    pub reports: Vec<Report>,
    /// How often the host died.
    pub crashes: u32,
}

impl<'a> Host<'a> {
    /// A host that takes the promotion up.
    pub fn new(net: &'a Net, promotion: Promotion) -> Self {
        let now = Timestamp(1_795_392_000_000);
        Self { net, promotion, now, patience: Patience::default(), reports: Vec::new(), crashes: 0 }
    }

    /// One run. A host that died has forgotten it, and starts again after a while.
    pub fn run(&mut self) -> Option<(Outcome, Next)> {
        let run = Run { net: self.net, begins: &|_| {} };
        let Ok(outcome) = poll(promote(&run, &run, &self.promotion)) else {
            self.crashes += 1;
            self.now = self.now + WATCHDOG;
            return None;
        };
        let (report, next) = report(&self.promotion, &outcome, self.patience, self.now);
        self.patience = self.patience.after(&outcome, self.now);
        self.is_true(&report);
        self.reports.push(report);
        if let Next::After(wait) = next {
            self.now = self.now + wait;
        }
        Some((outcome, next))
    }

    /// Runs until only a person could take it further.
    pub fn settle(&mut self) -> Ending {
        for _ in 0..RUNS_MAX {
            if let Some((outcome, Next::Settled)) = self.run() {
                let report = self.reports.last().expect("the run has reported").clone();
                return Ending { outcome, report };
            }
        }
        panic!("after {RUNS_MAX} runs it still moves: {:?}", self.reports.last());
    }

    /// The person plays the job again, so that it begins anew.
    pub fn play_again(&mut self) {
        self.patience = Patience::default();
    }

    /// What people are told must be so.
    fn is_true(&self, report: &Report) {
        let Promotion { public, distro, filename, digest, .. } = &self.promotion;
        let (repository, distro) = (public.repository.to_string(), distro.to_string());
        let place = self.net.public();
        if report.state == TargetState::Released {
            let served = place.indexed(&repository).get(&(distro.clone(), filename.to_string())).copied();
            assert_eq!(served, Some(*digest), "it is called released");
        }
        let written = place.packages.values().any(|package| package.by == Writer::Slipway && package.digest == *digest);
        let says = report.problem.as_ref().map(|problem| problem.public.as_str());
        assert!(!(written && says == Some("none")), "the public has it, and the report denies it: {report:?}");
    }
}

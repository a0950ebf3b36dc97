//! Whether the job of a session still runs. A session is a text that outlives its job, in a script that was told to stop or in
//! a log that somebody reads; what may be done with it ends with the job.
//!
//! Absent on purpose: releasing, which reads the job by itself, and a deployer's job, whose project the edge's token need not
//! see.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_gitlab::JobStatus;

use super::caller::Caller;
use super::rights::Right;
use crate::secret::JobSession;
use crate::time::Timestamp;

/// How long GitLab's word is believed: a job acts for that long at most after its end, and costs one question in it.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// How many jobs are remembered. Beyond it all are forgotten: asking again is cheap.
const JOBS_MAX: usize = 2000;

/// A job has ended, and may do nothing more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Job {job_id} is `{status}` in GitLab, and its session ended with it; run the job again")]
pub struct Ended {
    /// The job.
    pub job_id: u64,
    /// GitLab's word.
    pub status: JobStatus,
}

/// What is to be asked of GitLab before somebody does what they have the right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look<'a> {
    /// Whose job must run.
    pub session: &'a JobSession,
    /// Whether it is done while GitLab does not answer.
    pub goes_on: bool,
}

/// Whose job must still run for this. `None`: nobody's.
pub fn must_run(right: Right, caller: &Caller) -> Option<Look<'_>> {
    let Caller::Job(session) = caller else { return None };
    match right {
        Right::Declare | Right::Deploy => Some(Look { session, goes_on: false }),
        // Stopping is safe, and may be all that is left to do while GitLab is down.
        Right::Hold => Some(Look { session, goes_on: true }),
        Right::Open
        | Right::List
        | Right::Glance
        | Right::Read
        | Right::Inspect
        | Right::Release
        | Right::Lift
        | Right::Close
        | Right::Withdraw
        | Right::Override
        | Right::Operate
        | Right::Measure => None,
    }
}

/// Judges a job by its status. What GitLab shows as not begun has: it gave the job its ID token, and its answer is behind.
pub fn judge(job_id: u64, status: &JobStatus) -> Result<(), Ended> {
    if status.is_over() { Err(Ended { job_id, status: status.clone() }) } else { Ok(()) }
}

/// What GitLab has said of jobs lately.
#[derive(Clone, Debug, Default)]
pub struct Running(BTreeMap<(u64, u64), (Timestamp, JobStatus)>);

impl Running {
    /// What is known of a job. `None`: GitLab must be asked.
    pub fn status(&self, session: &JobSession, now: Timestamp) -> Option<&JobStatus> {
        let (told_at, status) = self.0.get(&(session.project_id, session.job_id))?;
        (*told_at <= now && now.since(*told_at) < BELIEVED_FOR).then_some(status)
    }

    /// GitLab has said something of a job.
    pub fn learn(&mut self, session: &JobSession, status: JobStatus, now: Timestamp) {
        if self.0.len() >= JOBS_MAX {
            self.0.clear();
        }
        self.0.insert((session.project_id, session.job_id), (now, status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::PersonSession;

    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn session(job_id: u64) -> JobSession {
        JobSession {
            project_id: 1001,
            project_path: "harbour/tug".to_owned(),
            pipeline_id: 7,
            job_id,
            user: "mira".to_owned(),
            user_id: 7,
            user_level: None,
            environment: None,
            environment_protected: false,
            ref_name: "v1.2.0".to_owned(),
            sha: "aa".to_owned(),
            token_id: "t".to_owned(),
            ends_at: NOW,
        }
    }

    #[test]
    fn every_act_of_a_job_that_writes_ends_with_the_job_and_only_a_hold_goes_on_while_gitlab_is_silent() {
        let job = Caller::Job(session(81));
        for (right, goes_on) in [
            (Right::Declare, Some(false)),
            (Right::Deploy, Some(false)),
            (Right::Hold, Some(true)),
            (Right::Read, None),
            (Right::List, None),
            (Right::Open, None),
            // It is judged on GitLab's answer about the job anyway.
            (Right::Release, None),
        ] {
            assert_eq!(must_run(right, &job).map(|look| look.goes_on), goes_on, "{right:?}");
        }
        let person = PersonSession { user_id: 7, username: "mira".to_owned(), ends_at: NOW };
        for caller in [Caller::Operator, Caller::Person(person)] {
            assert_eq!(must_run(Right::Hold, &caller), None, "{caller}");
        }
    }

    #[test]
    fn a_job_that_is_over_does_nothing_more_and_one_that_gitlab_shows_late_does() {
        for (word, runs) in [
            ("created", true),
            ("waiting_for_resource", true),
            ("preparing", true),
            ("waiting_for_callback", true),
            ("pending", true),
            ("running", true),
            ("manual", true),
            ("scheduled", true),
            ("a new word", true),
            ("success", false),
            ("failed", false),
            ("canceling", false),
            ("canceled", false),
            ("skipped", false),
        ] {
            assert_eq!(judge(81, &JobStatus::from(word.to_owned())).is_ok(), runs, "{word}");
        }
        let why = judge(81, &JobStatus::Failed).expect_err("it is over").to_string();
        assert_eq!(why, "Job 81 is `failed` in GitLab, and its session ended with it; run the job again");
    }

    #[test]
    fn gitlab_is_asked_about_a_job_once_in_five_seconds_and_what_is_remembered_has_a_bound() {
        let mut running = Running::default();
        let mut asked = 0;
        for tenth in 0..600_u64 {
            let now = NOW + Duration::from_millis(tenth * 100);
            if running.status(&session(81), now).is_none() {
                running.learn(&session(81), JobStatus::Running, now);
                asked += 1;
            }
        }
        assert_eq!(asked, 12, "in a minute");
        assert_eq!(running.status(&session(82), NOW), None, "another job's word is no word of this one");
        let before = Timestamp(NOW.0 - 1);
        assert_eq!(running.status(&session(81), before), None, "a clock that was set back makes nothing last longer");
        for job in 0..10_000 {
            running.learn(&session(job), JobStatus::Running, NOW);
        }
        assert!(running.0.len() <= JOBS_MAX);
    }
}

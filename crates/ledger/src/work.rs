//! The work of one package of one release: its orders, and how far each target is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_core::api::{Act, Attempt, Problem};
use slipway_core::promotion::{Order, OrderTarget};
use slipway_core::report::{Patience, Report};
use slipway_core::store::Floated;
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

use crate::migrate::{MigrationError, migrate};
use crate::record::LedgerError;
use crate::sql::Sql;

const FIRST: &[&str] = &["CREATE TABLE tasks (
        distro TEXT PRIMARY KEY,
        approval INTEGER NOT NULL,
        task TEXT NOT NULL,
        due_at INTEGER,
        report TEXT
    )"];

/// One target on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The approved package.
    pub order: Order,
    /// The target.
    pub target: OrderTarget,
    /// What its runs have shown so far.
    pub patience: Patience,
    /// What was tried so far.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// What is tried now: when it began, and what it does.
    #[serde(default)]
    pub under_way: Option<(Timestamp, Act)>,
    /// When the last transfer slot was asked for: that tells its lease from those before and after it.
    #[serde(default)]
    pub slot_asked_at: Option<Timestamp>,
    /// How many reports there were under this approval.
    #[serde(default)]
    pub reports: u64,
    /// Where uploads of blobs go on that broke off. An address may be a key: it is shown to nobody but its registry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uploads: BTreeMap<Digest, String>,
    /// The floating tags that were set so far for these bytes, under this approval or an older one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<Floated>,
}

impl Task {
    /// How many attempts are kept: a run that is in trouble ten times, waits for a carrier and is cut off has fewer.
    const ATTEMPTS_MAX: usize = 40;

    /// A target that nobody has tried.
    pub fn new(order: &Order, target: &OrderTarget) -> Self {
        Self {
            order: order.clone(),
            target: target.clone(),
            patience: Patience::default(),
            attempts: Vec::new(),
            under_way: None,
            slot_asked_at: None,
            reports: order.heard,
            uploads: BTreeMap::new(),
            floating: Vec::new(),
        }
    }

    /// Adds an attempt that ended now.
    pub fn tried(&mut self, began_at: Timestamp, act: Act, ended: String, problem: Option<Problem>, now: Timestamp) {
        if self.attempts.len() >= Self::ATTEMPTS_MAX {
            return;
        }
        self.attempts.push(Attempt {
            number: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1),
            approval: self.order.approval,
            began_at: began_at.to_string(),
            ended_at: now.to_string(),
            act,
            ended,
            problem,
        });
    }
}

/// The tasks of one package.
#[derive(Debug)]
pub struct Work<S>(pub(crate) S);

impl<S: Sql> Work<S> {
    /// Opens a database, bringing it to the newest schema.
    pub fn open(sql: S) -> Result<Self, MigrationError> {
        migrate(&sql, &[FIRST, crate::work_back::WITHDRAWALS])?;
        Ok(Self(sql))
    }

    /// Takes an order. A target that this approval has begun already goes on as it is; one that this approval has ended is
    /// looked at again, since whoever sends an order twice has not heard of its end. Older approvals are over.
    ///
    /// A record that was restored to before some approvals gives their numbers again. GitLab does not give the number of a job
    /// again, so what a later job was played for is no older approval, whatever its number. It may also wait under an approval
    /// that is over here, and would for ever: one whose successor has ended, and been told of, is begun again. An order that was
    /// merely late does no harm by that, since each act asks the record, which allows none under an approval that it is past.
    pub fn accept(&self, order: &Order, now: Timestamp) -> Result<(), LedgerError> {
        self.0.atomically(|| {
            for target in &order.targets {
                let mut task = Task::new(order, target);
                let known = self.task(&target.distro)?;
                let is_of_a_later_job = known.as_ref().is_some_and(|known| order.job_id > known.order.job_id);
                // What was begun for these bytes under an older approval may have brought about what is seen now.
                if let Some(before) = known.filter(|before| {
                    before.order.digest == order.digest
                        && before.order.filename == order.filename
                        && before.target.public == target.public
                }) {
                    task.patience.begun = before.patience.begun;
                    task.floating = before.floating;
                }
                self.0.query(
                    "INSERT INTO tasks (distro, approval, task, due_at, report) VALUES (?, ?, ?, ?, NULL)
                     ON CONFLICT (distro) DO UPDATE SET
                        approval = excluded.approval, task = excluded.task, due_at = excluded.due_at, report = NULL
                     WHERE excluded.approval > tasks.approval OR ?
                        OR excluded.approval < tasks.approval AND tasks.due_at IS NULL AND tasks.report IS NULL",
                    &[
                        target.distro.as_str().into(),
                        order.approval.into(),
                        serde_json::to_string(&task)?.into(),
                        now.0.into(),
                        i64::from(is_of_a_later_job).into(),
                    ],
                )?;
                self.0.query(
                    "UPDATE tasks SET due_at = ? WHERE distro = ? AND approval = ? AND due_at IS NULL AND report IS NULL",
                    &[now.0.into(), target.distro.as_str().into(), order.approval.into()],
                )?;
            }
            Ok(())
        })
    }

    /// One task, whether it is to run or has ended.
    pub fn task(&self, distro: &str) -> Result<Option<Task>, LedgerError> {
        let rows = self.0.query("SELECT task FROM tasks WHERE distro = ?", &[distro.into()])?;
        Ok(rows.first().map(|row| row.text(0).map(serde_json::from_str)).transpose()?.transpose()?)
    }

    /// When a task is to run. `None` when it has ended, or there is none.
    pub fn due_at(&self, distro: &str) -> Result<Option<Timestamp>, LedgerError> {
        let rows =
            self.0.query("SELECT due_at FROM tasks WHERE distro = ? AND due_at IS NOT NULL", &[distro.into()])?;
        Ok(rows.first().map(|row| row.integer(0)).transpose()?.map(Timestamp))
    }

    /// Has a task that waits run at once: a slot is free for it.
    pub fn wake(&self, distro: &str, now: Timestamp) -> Result<(), LedgerError> {
        self.postpone(distro, now)
    }

    /// Has a task that is to run do so at another time.
    pub fn postpone(&self, distro: &str, due_at: Timestamp) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE tasks SET due_at = ? WHERE distro = ? AND due_at IS NOT NULL",
            &[due_at.0.into(), distro.into()],
        )?;
        Ok(())
    }

    /// Tasks that are to run, the one due first at the head.
    pub fn open_tasks(&self) -> Result<Vec<(Timestamp, Task)>, LedgerError> {
        let rows =
            self.0.query("SELECT due_at, task FROM tasks WHERE due_at IS NOT NULL ORDER BY due_at, distro", &[])?;
        rows.iter().map(|row| Ok((Timestamp(row.integer(0)?), serde_json::from_str(row.text(1)?)?))).collect()
    }

    /// Writes down that a run begins.
    pub fn began(&self, task: &Task) -> Result<(), LedgerError> {
        self.0.query(
            "UPDATE tasks SET task = ? WHERE distro = ? AND approval = ?",
            &[serde_json::to_string(task)?.into(), task.target.distro.as_str().into(), task.order.approval.into()],
        )?;
        Ok(())
    }

    /// Writes down how a run ended: what to report, with the next number, and when to run again.
    pub fn ran(&self, task: &Task, report: &Report, due_at: Option<Timestamp>) -> Result<(), LedgerError> {
        let task = Task { reports: task.reports.saturating_add(1), ..task.clone() };
        let report = Report { number: task.reports, ..report.clone() };
        self.0.query(
            "UPDATE tasks SET task = ?, due_at = ?, report = ? WHERE distro = ? AND approval = ?",
            &[
                serde_json::to_string(&task)?.into(),
                due_at.map(|due| due.0).into(),
                serde_json::to_string(&report)?.into(),
                task.target.distro.as_str().into(),
                task.order.approval.into(),
            ],
        )?;
        Ok(())
    }

    /// Reports that the project's record has not acknowledged yet.
    pub fn unreported(&self) -> Result<Vec<(Task, Report)>, LedgerError> {
        let rows = self.0.query("SELECT task, report FROM tasks WHERE report IS NOT NULL ORDER BY distro", &[])?;
        rows.iter().map(|row| Ok((serde_json::from_str(row.text(0)?)?, serde_json::from_str(row.text(1)?)?))).collect()
    }

    /// A report was acknowledged.
    pub fn reported(&self, distro: &str, report: &Report) -> Result<(), LedgerError> {
        let text = serde_json::to_string(report)?;
        self.0
            .query("UPDATE tasks SET report = NULL WHERE distro = ? AND report = ?", &[distro.into(), text.into()])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::release::{Maturity, TargetState};
    use slipway_core::route::{How, Site};

    use super::*;
    use crate::rusqlite::Database;

    const JAMMY: &str = "ubuntu/jammy";
    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn order(heard: u64) -> Order {
        let site = |repository: &str| Site { place: "depot".to_owned(), repository: repository.to_owned() };
        Order {
            approval: 1,
            job_id: 81,
            project_id: 1001,
            version: "1.2.0".parse().expect("a version"),
            maturity: Maturity::Final,
            key: "jammy-amd64".parse().expect("a key"),
            filename: "tug_1.2.0_amd64.deb".parse().expect("a name"),
            digest: Digest::of(b"deb"),
            size: 3,
            staging: site("harbour-ci/pre-release"),
            targets: vec![OrderTarget { distro: JAMMY.to_owned(), public: site("harbour/stable"), how: How::Copy }],
            heard,
        }
    }

    #[test]
    fn what_a_later_job_was_played_for_is_taken_though_a_restored_record_gives_a_number_again() {
        let approved = |approval, job_id| Order { approval, job_id, ..order(0) };
        for (again, is_taken) in
            [(approved(2, 90), true), (approved(3, 90), true), (approved(2, 81), false), (approved(2, 70), false)]
        {
            let work = Work::open(Database::in_memory()).expect("a schema");
            work.accept(&approved(3, 81), NOW).expect("it is taken");
            work.accept(&again, NOW).expect("it is heard");
            let task = work.task(JAMMY).expect("a row").expect("it was ordered");
            assert_eq!(task.order == again, is_taken, "{} of {}", again.approval, again.job_id);
        }
    }

    #[test]
    fn an_older_approval_is_begun_again_when_the_newer_one_has_ended_and_its_end_was_acknowledged() {
        let older = order(4);
        let newer = Order { approval: 3, job_id: 104, ..order(0) };
        let begun = Some(Act::Copy);
        let work = Work::open(Database::in_memory()).expect("a schema");
        let approval = || work.task(JAMMY).expect("a row").expect("it was ordered").order.approval;
        work.accept(&newer, NOW).expect("it is taken");
        let mut task = work.task(JAMMY).expect("a row").expect("it was ordered");
        task.patience.begun = begun;
        work.began(&task).expect("a row");
        work.accept(&older, NOW).expect("it is heard");
        assert_eq!(approval(), 3, "the newer one is on its way");

        let report = Report::of(JAMMY, TargetState::Failed);
        work.ran(&task, &report, None).expect("it is written down");
        work.accept(&older, NOW).expect("it is heard");
        assert_eq!(approval(), 3, "nobody has heard of the newer one's end");

        let report = work.unreported().expect("reports").remove(0).1;
        work.reported(JAMMY, &report).expect("a row");
        work.accept(&older, NOW).expect("it is taken");
        let task = work.task(JAMMY).expect("a row").expect("it was ordered");
        assert_eq!((task.order, task.reports), (older, 4));
        assert_eq!(task.patience.begun, begun, "what the newer one has begun may be public");
        assert_eq!(work.due_at(JAMMY).expect("a row"), Some(NOW));
    }

    #[test]
    fn the_floating_tags_of_an_approval_that_ended_midway_are_told_by_the_next_one_of_the_same_bytes() {
        let work = Work::open(Database::in_memory()).expect("a schema");
        work.accept(&order(0), NOW).expect("it is taken");
        let mut task = work.task(JAMMY).expect("a row").expect("it was ordered");
        let floated = Floated { tag: "latest".to_owned(), before: None, after: Some(Digest::of(b"deb")) };
        for _ in 0..2 {
            Floated::add(&mut task.floating, vec![floated.clone()]);
        }
        work.began(&task).expect("a row");
        let floating = |order: &Order| {
            work.accept(order, NOW).expect("it is taken");
            work.task(JAMMY).expect("a row").expect("it was ordered").floating
        };
        assert_eq!(floating(&Order { approval: 2, ..order(0) }), [floated]);
        assert_eq!(floating(&Order { approval: 3, digest: Digest::of(b"other"), ..order(0) }), []);
    }

    /// Ends a run, and says which number its report has.
    fn runs(work: &Work<Database>) -> u64 {
        let task = work.task(JAMMY).expect("a row").expect("it was ordered");
        work.ran(&task, &Report::of(JAMMY, TargetState::Releasing), Some(NOW)).expect("it is written down");
        work.unreported().expect("reports").first().expect("one").1.number
    }

    #[test]
    fn each_report_has_the_next_number_also_of_one_who_has_forgotten_the_others() {
        for heard in [0, 7] {
            let work = Work::open(Database::in_memory()).expect("a fresh one");
            work.accept(&order(heard), NOW).expect("it is taken");
            assert_eq!([runs(&work), runs(&work)], [heard + 1, heard + 2]);
            work.accept(&order(heard), NOW).expect("it is known");
            assert_eq!(runs(&work), heard + 3);
        }
    }

    #[test]
    fn a_report_of_before_they_were_counted_is_acknowledged_as_it_was_written() {
        let work = Work::open(Database::in_memory()).expect("a fresh one");
        work.accept(&order(0), NOW).expect("it is taken");
        let old =
            r#"{"distro":"ubuntu/jammy","state":"releasing","step":null,"problem":null,"outside":false,"attempts":[]}"#;
        work.0.query("UPDATE tasks SET report = ?", &[old.into()]).expect("an older report");
        let (_, report) = work.unreported().expect("reports").remove(0);
        work.reported(JAMMY, &report).expect("a row");
        assert_eq!(work.unreported().expect("reports"), []);
    }
}

//! What is taken back of one package of one release, driven by the same alarm as its promotions.
//!
//! Somebody asks the project's record, which writes it down and gives it to the package's object, as it does an order. The
//! object looks, takes the destination's slot, so that nobody else writes the name meanwhile, asks the record whether it may
//! begin, writes that down, acts, and looks again. Killed anywhere, it goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::api;
use slipway_core::cargo::{Cargo, Name};
use slipway_core::config::{Config, Project};
use slipway_core::inventory::{Seen, Served};
use slipway_core::promotion::Slot;
use slipway_core::release::Version;
use slipway_core::store::{Floated, FloatsBack};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_core::withdrawal::{
    self, ATTEMPTS_MAX, MayWithdraw, Outcome, Withdrawal, Withdraws, floated, users_see, withdraw,
};
use slipway_ledger::{LedgerError, Record, Sql, TakenBack, Withdrawing, Work};
use slipway_wire::Digest;

use crate::account::{AskSlot, Ending, SlotEnded};
use crate::changes::{By, reasoned};
use crate::denied::{Denied, Unanswered, audited};
use crate::job_call::KEYS_MAX;
use crate::package;
use crate::port::{PackageHost, ProjectHost};
use crate::while_allowed::WhileAllowed;

/// When a report that the record did not acknowledge is sent again.
const REPORT_AGAIN: Duration = Duration::from_secs(2);
/// Longer than any withdrawal is put off: who waits for a slot asks again every half minute.
const WAIT_MAX: Duration = Duration::from_mins(10);

// ---- whoever asks ----

/// What somebody asks for, or would.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Call {
    /// Who.
    pub by: By,
    /// What.
    pub request: api::WithdrawalRequest,
}

/// Writes down what is to be taken back, or that it was refused; or says what would be: each with what its users will see.
pub async fn ask<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    version: &Version,
    call: &Call,
) -> Result<api::Withdrawals, Unanswered> {
    let asked = asked(record, host, config, project, version, call).await;
    // Whoever only looks has asked for nothing.
    if call.request.dry_run {
        return asked;
    }
    audited(record, (version, &call.by.name, "POST withdrawals"), asked, host.now())
}

async fn asked<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    project: &Project,
    version: &Version,
    call: &Call,
) -> Result<api::Withdrawals, Unanswered> {
    let Call { by, request } = call;
    // A look needs no reason.
    let reason = if request.dry_run { "" } else { reasoned(&request.reason)? };
    let count = request.keys.len().saturating_add(request.targets.len());
    if count == 0 || count > KEYS_MAX {
        let what = format!("Name 1 to {KEYS_MAX} packages or targets: what is taken back is named, never all.");
        return Err(Denied::new(422, "bad-request", what).into());
    }
    let targets: Vec<_> =
        request.targets.iter().map(|target| (target.key.clone(), target.target.to_string())).collect();
    let asked = TakenBack { keys: &request.keys, targets: &targets, shared: request.shared };
    let would = record.withdrawable(version, &asked)?;
    let mut looks = Vec::new();
    for one in &would {
        let released = record.released_tags(&one.public)?;
        looks.push((one.clone(), look(host, one, &released).await));
    }
    let seen = |one: &Withdrawal| {
        let known = looks.iter().find(|(other, _)| other.key == one.key && other.distro == one.distro);
        let floats = known.and_then(|(_, look)| look.as_ref().ok()).map(|(_, floats)| floated(floats));
        users_see(one).into_iter().chain(floats.unwrap_or_default()).collect::<Vec<_>>()
    };
    let withdrawals = if request.dry_run {
        would
    } else {
        if let Some(stopped) = record.stopped()? {
            return Err(Denied::new(409, "stopped", format!("{stopped}.")).into());
        }
        // Others ran while it was looked. What is written down is judged again, in one transaction.
        let withdrawals = record.withdraw(version, &asked, &by.name, reason, &seen, host.now())?;
        host.announce(version);
        withdrawals
    };
    let planned = |one: &Withdrawal| {
        let found = looks.iter().find(|(other, _)| other.key == one.key && other.distro == one.distro);
        let found = match found.map(|(_, look)| look) {
            Some(Ok((Seen::Digest(found), _))) if *found == one.digest => None,
            Some(Ok((Seen::Digest(found), _))) => {
                Some(format!("other bytes are there, {found}: they stay, and nothing will be deleted"))
            }
            Some(Ok((Seen::Nothing, _))) => {
                Some("nothing is there: it is gone already, and will be written down as withdrawn".to_owned())
            }
            Some(Ok((Seen::WithoutDigest, _))) => {
                Some("its SHA-256 is not computed yet: that will be awaited".to_owned())
            }
            Some(Err(why)) => Some(format!("it cannot be seen now: {why}")),
            None => None,
        };
        let url = config.places.get(&one.public.place).map(|place| place.url.to_string()).unwrap_or_default();
        let target = one.distro.parse().map_err(|error| LedgerError::Unknown(format!("{error}")))?;
        Ok(api::PlannedWithdrawal {
            key: one.key.clone(),
            target,
            public: api::Location { url, repository: one.public.repository.clone() },
            name: one.filename.to_string(),
            digest: one.digest,
            found,
            also: one.also.clone(),
            users: seen(one),
        })
    };
    let follow = config.edge.url.url(["api", "v1", "projects", project.name.as_str(), "releases", version.as_str()]);
    Ok(api::Withdrawals { withdrawals: withdrawals.iter().map(planned).collect::<Result<_, LedgerError>>()?, follow })
}

/// What is there now, and where its floating tags would lead. What cannot be seen now is no reason to refuse.
async fn look(
    host: &impl ProjectHost,
    one: &Withdrawal,
    released: &BTreeMap<String, Digest>,
) -> Result<(Seen, Vec<FloatsBack>), String> {
    let store = host.open(&one.public)?;
    let name = Name::of(&one.distro, &one.filename).map_err(|error| error.to_string())?;
    let seen = host.find(&one.public, &one.distro, &one.filename).await.map_err(|error| error.to_string())?;
    let seen = seen.map_err(|error| error.to_string())?;
    let floats = store.floats_back(host, &name, one.digest, &withdrawal::beside(one, released)).await;
    Ok((seen, floats.map_err(|error| error.to_string())?))
}

// ---- the package's object ----

/// Reports, runs what is due, and reports.
pub async fn drive<S: Sql>(work: &Work<S>, host: &impl PackageHost) -> Result<(), LedgerError> {
    tell(work, host).await?;
    for (due_at, task) in work.open_withdrawals()? {
        if is_due(due_at, host.now()) {
            run(work, host, task).await?;
            tell(work, host).await?;
        }
    }
    Ok(())
}

/// When the next withdrawal is due. Nothing is awaited here: what came meanwhile is seen.
pub fn next<S: Sql>(work: &Work<S>, host: &impl PackageHost) -> Result<Option<Timestamp>, LedgerError> {
    let now = host.now();
    let again = work.unreported_withdrawals()?.first().map(|_| now + REPORT_AGAIN);
    let due = work.open_withdrawals()?.into_iter().map(|(due_at, _)| if is_due(due_at, now) { now } else { due_at });
    Ok(due.chain(again).min())
}

/// One that seems to be due later than any wait is long was put off when the clock was wrong.
fn is_due(due_at: Timestamp, now: Timestamp) -> bool {
    due_at <= now || due_at > now + WAIT_MAX
}

async fn tell<S: Sql>(work: &Work<S>, host: &impl PackageHost) -> Result<(), LedgerError> {
    for (task, report) in work.unreported_withdrawals()? {
        if host.report_withdrawal(&task.withdrawal, &report).await.is_ok() {
            work.withdrawal_reported(&task.withdrawal.distro, &report)?;
        }
    }
    Ok(())
}

async fn run<S: Sql>(work: &Work<S>, host: &impl PackageHost, mut task: Withdrawing) -> Result<(), LedgerError> {
    let Withdrawal { public, distro, filename, .. } = task.withdrawal.clone();
    let opened = host.open(&public).and_then(|store| {
        let name = Name::of(&distro, &filename).map_err(|error| error.to_string())?;
        Ok((store, name))
    });
    let run = Run { work, host, task: RefCell::new(task.clone()) };
    if task.runs_since.take().is_some() {
        // It was cut off, and could not give its slot back. One whose runs are all cut off ends like any other trouble.
        run.ended().await;
        task.patience.troubled = task.patience.troubled.saturating_add(1);
    }
    task.runs_since = Some(host.now());
    work.withdrawal_began(&task)?;
    run.task.replace(task.clone());
    let (begun, withdrawal) = (task.begun, task.withdrawal.clone());
    let outcome = match opened {
        Ok(_) if task.patience.troubled > ATTEMPTS_MAX => Outcome::Troubled(Trouble::passing(
            "the edge was stopped each time before it could end; its log may say why",
        )),
        Ok((store, name)) => {
            // An image goes in many requests, and a stop in between must not wait for the last.
            let http = WhileAllowed { why_not: async || host.stopped(withdrawal.project_id).await, http: host };
            withdraw(&http, &run, &store, &name, &withdrawal, begun).await
        }
        Err(lacks) => Outcome::Troubled(Trouble::lasting(slipway_core::problem::Code::NotConfigured, lacks)),
    };
    let mut task = run.task.into_inner();
    let before = withdrawal::Patience { troubled: task.patience.troubled, ..task.patience };
    let (patience, state, notes, problem, again) =
        withdrawal::report(&withdrawal, &outcome, before, host.now(), host.chance());
    // What went well ends trouble.
    task.patience = patience;
    task.notes.extend(notes);
    work.withdrawal_ran(&task, (state, problem), again.map(|wait| host.now() + wait))
}

/// What one run of a withdrawal borrows from its object.
struct Run<'a, S, H> {
    work: &'a Work<S>,
    host: &'a H,
    task: RefCell<Withdrawing>,
}

impl<S, H: PackageHost> Run<'_, S, H> {
    /// What it asks a slot with, or has asked one with at that moment.
    fn ask(&self, asked_at: Timestamp) -> (String, AskSlot) {
        let Withdrawal { project_id, version, maturity, key, filename, public, distro, .. } =
            self.task.borrow().withdrawal.clone();
        let ask = AskSlot {
            package: package::name_of(project_id, &version, &key),
            release: format!("{project_id}/{version}"),
            maturity,
            name: match &filename {
                Cargo::File(filename) => format!("{} {distro} {filename}", public.repository),
                Cargo::Image(_) => public.repository.clone(),
            },
            distro,
            transfers: self.host.transfers(&public.place),
            asked_at,
        };
        (public.place, ask)
    }
}

fn silent(error: &crate::port::Silent) -> Trouble {
    Trouble::passing(error.to_string())
}

impl<S: Sql, H: PackageHost> Withdraws for Run<'_, S, H> {
    async fn find(&self) -> Result<Seen, Trouble> {
        let Withdrawal { public, distro, filename, .. } = self.task.borrow().withdrawal.clone();
        self.host.find(&public, &distro, &filename).await.map_err(|error| silent(&error))?
    }

    async fn served(&self) -> Result<Served, Trouble> {
        let Withdrawal { public, distro, filename, .. } = self.task.borrow().withdrawal.clone();
        self.host.served(&public, &distro, &filename).await.map_err(|error| silent(&error))?
    }

    async fn slot(&self) -> Slot {
        let now = self.host.now();
        self.task.borrow_mut().slot_asked_at = Some(now);
        let (place, ask) = self.ask(now);
        // An account that does not answer has perhaps lent the slot; its lease ends by itself.
        self.host.slot(&place, &ask).await.unwrap_or(Slot::Wait { ms: 3000 })
    }

    async fn may_withdraw(&self) -> Result<MayWithdraw, Trouble> {
        let withdrawal = self.task.borrow().withdrawal.clone();
        self.host.may_withdraw(&withdrawal).await.map_err(|error| silent(&error))
    }

    fn begins(&self, floats: &[FloatsBack], floated_now: Vec<Floated>) -> bool {
        let mut task = self.task.borrow_mut();
        task.begun = true;
        Floated::add(&mut task.floating, floated_now);
        for note in floated(floats) {
            if !task.notes.contains(&note) {
                task.notes.push(note);
            }
        }
        self.work.withdrawal_began(&task).is_ok()
    }

    async fn ended(&self) {
        let asked_at = self.task.borrow().slot_asked_at;
        // Whoever has asked for none has none to give back.
        let Some(asked_at) = asked_at else { return };
        let (place, AskSlot { package, distro, .. }) = self.ask(asked_at);
        // When this fails, the lease ends by itself.
        drop(self.host.slot_ended(&place, &SlotEnded { package, distro, asked_at, ending: Ending::Other }).await);
    }
}

//! The record of one project, driven by an alarm: orders are handed over, webhooks' hints are looked into, and whatever
//! nobody drives is found.
//!
//! Everything acknowledged is in SQL, so an alarm that comes twice, late, or after a kill finds what is to be done. An
//! alarm that never comes is replaced by the next: whatever reaches the record arms one, and a schedule wakes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use slipway_core::cargo::staged_under;
use slipway_core::config::Config;
use slipway_core::inventory::Seen;
use slipway_core::log::{Entry, look_work, withdrawal_work, work};
use slipway_core::promotion::Order;
use slipway_core::release::{TargetState, Version};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_gitlab::Instance;
use slipway_ledger::{LedgerError, Origin, Record, Sql, Watched};
use slipway_wire::{Planted, planted};

use crate::port::{ProjectHost, SOON, Silent, in_time};
use crate::{attest, heads, hints};

/// An order that its package's object did not take is sent again after this.
const ORDER_AGAIN: Duration = Duration::from_secs(2);
/// How often what is on its way is looked over.
pub const SWEEP: Duration = Duration::from_mins(1);
/// What has not been heard of for so long may be driven by nobody. A package on its way reports every half minute; a
/// copy of many minutes does not, and is not disturbed by being told again.
const QUIET: Duration = Duration::from_secs(55);
/// How many jobs are read from GitLab, or orders handed over, at a time: as many as an object has connections. One after
/// the other, each would wait until what was written for the one before is on the disk, and a person plays dozens of jobs
/// at once.
pub(crate) const AT_ONCE: usize = 6;

/// Does what is due, and says when the next is.
pub async fn drive<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
    gitlab: Option<&Instance>,
) -> Result<Option<Timestamp>, LedgerError> {
    // A record that was imported does nothing by itself until somebody has compared and started it, which arms the alarm.
    if record.awaits_start()? {
        return Ok(None);
    }
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    for version in record.lapse(config.approvals.lapse, host.now())? {
        host.announce(&version);
    }
    record.end_loans(host.now())?;
    for version in record.end_holds(host.now())? {
        host.announce(&version);
    }
    // Orders need no GitLab, so they go first, and again when the hints have made more.
    let mut tried = BTreeSet::new();
    hand_over(record, host, &mut tried).await?;
    hand_over_withdrawals(record, host, project_id).await?;
    if let Some(gitlab) = gitlab {
        hints::look_into_all(record, host, config, gitlab, project_id).await?;
    }
    // An import may have begun while GitLab was asked, and brings orders that end with it.
    if record.awaits_start()? {
        return Ok(None);
    }
    hand_over(record, host, &mut tried).await?;
    sweep(record, host, project_id).await?;
    record.forget_hints(host.now())?;
    let unsigned = heads::sign(record, host, config).await?;
    // Other requests ran at every await above, and what they left is found only by reading everything again. From here on
    // nothing is awaited.
    let now = host.now();
    let soonest = now + SOON;
    let hints = record.next_hint(now, now + hints::WAIT_MAX)?.map(|due_at| due_at.max(soonest));
    let orders = record.dispatches()?;
    let orders = orders.iter().map(|order| if tried.contains(&order.approval) { now + ORDER_AGAIN } else { soonest });
    let back = record.withdrawals_to_give()?.first().map(|_| now + ORDER_AGAIN);
    let sweep = (record.is_moving()? || record.is_withdrawing()?).then(|| now + SWEEP);
    let lapse = record.next_lapse(config.approvals.lapse)?.map(|due_at| due_at.max(soonest));
    let turn = turn(record, host, config)?.map(|due_at| due_at.max(soonest));
    let head = match unsigned {
        None => heads::due(record, config, now)?.map(|due_at| due_at.max(soonest)),
        again => again,
    };
    let hold = record.next_hold_end()?.map(|due_at| due_at.max(soonest));
    let dues = hints.into_iter().chain(orders).chain(sweep).chain(lapse).chain(turn);
    let attesting = attest::due(record, config, now)?.map(|due_at| due_at.max(soonest));
    Ok(dues.chain(head).chain(hold).chain(back).chain(attesting).min())
}

/// Tells those who follow a release of gates that time alone has opened or closed, and says when it does so next.
pub fn turn<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    config: &Config,
) -> Result<Option<Timestamp>, LedgerError> {
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    let Some(project) = config.projects.iter().find(|project| project.id == project_id) else { return Ok(None) };
    let (turned, next) = record.turn(config, project, host.now())?;
    for version in &turned {
        host.announce(version);
    }
    Ok(next)
}

/// A line about an order, which is of the job that was played for it.
fn trouble<'a>(order: &'a Order, what: &str) -> Entry<'a> {
    Entry::trouble(order.project_id, work(order.project_id, order.job_id), what).about(&order.version, &order.key)
}

/// Gives orders to their packages' objects. An order is forgotten only when its object has it.
async fn hand_over<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    tried: &mut BTreeSet<u64>,
) -> Result<(), LedgerError> {
    let mut dispatches = record.dispatches()?;
    dispatches.retain(|dispatch| tried.insert(dispatch.approval));
    let orders = dispatches.iter().map(async |dispatch| (dispatch, host.hand_over(&dispatch.order).await));
    let mut orders = stream::iter(orders).buffer_unordered(AT_ONCE);
    let mut taken = Vec::new();
    while let Some((dispatch, answer)) = orders.next().await {
        match answer {
            Ok(()) => taken.push(dispatch.approval),
            Err(silent) => host.write(&trouble(&dispatch.order, &format!("the order waits: {silent}"))),
        }
    }
    // All in one write: until then each would be given again, which does no harm.
    record.dispatched(&taken)
}

/// Gives what is to be taken back to its packages' objects, and again when nothing was heard of it.
async fn hand_over_withdrawals<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    project_id: u64,
) -> Result<(), LedgerError> {
    let now = host.now();
    let mut given = Vec::new();
    for withdrawal in record.withdrawals_to_give()?.iter().chain(&record.unheard_withdrawals(now - QUIET, now)?) {
        match host.hand_over_withdrawal(withdrawal).await {
            Ok(()) => given.push(withdrawal.number),
            Err(silent) => {
                let what = format!("the withdrawal waits: {silent}");
                let entry = Entry::trouble(project_id, withdrawal_work(project_id, withdrawal.number), &what);
                let target = Some(withdrawal.distro.as_str());
                host.write(&Entry { target, ..entry.about(&withdrawal.version, &withdrawal.key) });
            }
        }
    }
    record.withdrawals_given(&given)
}

/// Finds approved work of which nothing was heard, and tells its object again: that arms its alarm, should it have lost
/// it, and makes it look again, should its last word have been lost.
async fn sweep<S: Sql>(record: &Record<S>, host: &impl ProjectHost, project_id: u64) -> Result<(), LedgerError> {
    if planted(Planted::SweepsNothing) {
        return Ok(());
    }
    let now = host.now();
    for order in record.unheard(project_id, now - QUIET, now)? {
        if let Err(silent) = host.hand_over(&order).await {
            host.write(&trouble(&order, &format!("it is not heard of, and does not answer: {silent}")));
        }
    }
    Ok(())
}

/// How often what rests is looked at again.
pub const LOOK_AGAIN: Duration = Duration::from_mins(10);
/// The same where a great many rest. By then a sweep has read their repositories page by page ([`crate::sweep`]), so only
/// what was on no page is left to be looked for by its name.
const LOOK_AGAIN_AT_MANY: Duration = Duration::from_mins(75);
/// How many are a great many: what one look asks for at once.
const MANY: u64 = 500;

/// How long a look may take. An exchange with a place may take a minute, and its account waits for it; but the alarm that
/// looks has ten seconds for all that can wait, and drops the looks then. A place that never answers is told of before.
pub const LOOK: Duration = Duration::from_secs(8);
/// A place that has answered something so lately is being read, page by page, and is not silent.
const ANSWERS: Duration = Duration::from_secs(5);
/// How long an account may take to say when its place answered last.
const ASKED: Duration = Duration::from_secs(1);

/// What came of a look.
type Look = Result<Result<Seen, Trouble>, Silent>;

/// Looks at everything at once, each in its own time, so that no place keeps from being written down what another has
/// said. Beside it, the places that answer and have not said everything yet.
async fn look_at_all<'a>(host: &impl ProjectHost, watched: &'a [Watched]) -> (Vec<Look>, BTreeSet<&'a str>) {
    let looks = watched.iter().map(async |of| {
        let is_public = of.state == TargetState::Released;
        let under = if is_public { of.distro.clone() } else { staged_under(&of.distro, &of.digest) };
        in_time(host, LOOK, host.find(&of.site, &under, &of.filename)).await
    });
    let looks = join_all(looks).await;
    let late = watched.iter().zip(&looks).filter(|(_, look)| look.is_none()).map(|(of, _)| of.site.place.as_str());
    let late: BTreeSet<&str> = late.collect();
    // A long list comes page by page, and whoever waits for its end is no witness of a place that says nothing.
    let asked = late.into_iter().map(async |place| (place, in_time(host, ASKED, host.answered_at(place)).await));
    let asked: BTreeMap<&str, _> = join_all(asked).await.into_iter().collect();
    let now = host.now();
    let mut reading = BTreeSet::new();
    let looks = watched.iter().zip(looks).map(|(of, look)| {
        let place = of.site.place.as_str();
        look.unwrap_or_else(|| match asked.get(place) {
            Some(Some(Ok(Some(at)))) if *at + ANSWERS > now => {
                reading.insert(place);
                Err(Silent(format!("`{place}` is still being read after {} s", LOOK.as_secs())))
            }
            Some(Some(Ok(_))) => Ok(Err(Trouble::passing(format!(
                "cannot look for `{}` in {}: no answer within {} s",
                of.filename,
                of.site.repository,
                LOOK.as_secs()
            )))),
            // The place may be well.
            _ => Err(Silent(format!("not within {} s", LOOK.as_secs()))),
        })
    });
    let looks = looks.collect();
    (looks, reading)
}

/// Looks again at what is staged and at what is released, and says when to do so next: packages that vanish from staging,
/// and public ones that somebody removes or replaces, are shown. All are looked at at once, so that each repository is
/// read once.
pub async fn look_again<S: Sql>(record: &Record<S>, host: &impl ProjectHost) -> Result<Option<Timestamp>, LedgerError> {
    let now = host.now();
    let Some(project_id) = record.project_id()? else { return Ok(None) };
    let again = if record.resting_count(now)? > MANY { LOOK_AGAIN_AT_MANY } else { LOOK_AGAIN };
    let watched = record.watched(now - again, now)?;
    let (looks, reading) = look_at_all(host, &watched).await;
    let unseen = |of: &Watched, why: &str| {
        let work = look_work(project_id, &of.version, &of.key);
        let entry = Entry::trouble(project_id, work, &format!("it cannot be looked at again: {why}"));
        host.write(&Entry { target: Some(&of.distro), ..entry.about(&of.version, &of.key) });
    };
    // Of a place that answers some questions, the ones that it does not are told.
    let mut places: BTreeMap<&str, Option<String>> = reading.into_iter().map(|place| (place, None)).collect();
    for (of, look) in watched.iter().zip(&looks) {
        if let Ok(look) = look {
            let trouble = places.entry(&of.site.place).or_default();
            *trouble = trouble.take().or_else(|| look.as_ref().err().map(ToString::to_string));
        }
    }
    let mut changed: BTreeSet<Version> = BTreeSet::new();
    for (place, trouble) in places {
        if record.heard_from(Origin::Place(place), trouble.as_deref(), host.now())? {
            changed.extend(record.versions()?);
        }
    }
    for (of, look) in watched.iter().zip(looks) {
        match look {
            Ok(Ok(seen)) => {
                if record.looked(of, &seen, host.now())? {
                    changed.insert(of.version.clone());
                }
            }
            Ok(Err(trouble)) => unseen(of, &trouble.to_string()),
            Err(silent) => unseen(of, &silent.to_string()),
        }
    }
    for version in &changed {
        host.announce(version);
    }
    // One that could not be looked at is not asked for at once again.
    let next = record.next_look(again, host.now())?;
    Ok(next.map(|due_at| due_at.max(host.now() + SWEEP)))
}

//! What becomes of staged packages: announced, marked, deleted, or kept and why.
//!
//! A run and a dry run make the same list from the same looks; a run then does what is on it. Each deletion begins in the
//! record, goes out, and is over only when looks at staging have shown what became of it. Cut off anywhere, the next run
//! finds it begun and looks; a run itself goes on behind the last package that it came to.
//!
//! What other images need of one that is due is looked up by the list and by the run alike, for as many as a run may delete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use slipway_core::config::{Config, Project};
use slipway_core::inventory::{Seen, Served};
use slipway_core::log::{Entry, Event, Level, retention_work};
use slipway_core::retention::{
    Consent, Decision, Elsewhere, InPublic, InStaging, Keep, RUN, Sights, Stage, Taken, clocks_agree, decide, ended,
    expires_at, tick,
};
use slipway_core::route::Site;
use slipway_core::store::{Around, Going, Kept, Look};
use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_ledger::{Behind, LedgerError, Reached, Record, Removal, Removed, Resting, Sql, StagedObject, UNANSWERED};
use slipway_wire::{Digest, Http};

use crate::port::{ProjectHost, Silent, in_time};
use crate::while_allowed::WhileAllowed;

/// When the deletion of an image that went in part goes on, and for how long it does.
const FINISHED_AFTER: Duration = Duration::from_mins(10);
const FINISHED_WITHIN: Duration = Duration::from_hours(24);

/// How many packages one piece of a run reads from the record.
const PART: u64 = 200;
/// How many requests it takes at the most for its looks, but for its first package. A run of an object has a thousand, for
/// everything (<https://developers.cloudflare.com/workers/platform/limits/#subrequests>).
const REQUESTS_MAX: usize = 400;
/// How many packages it looks at at once, how long one of the looks may take, and how long all: the project's alarm has other
/// things to do.
const LOOKS_AT_ONCE: usize = 12;
const LOOK: Duration = Duration::from_secs(8);
const PIECE: Duration = Duration::from_secs(15);
/// How long a look may take at what other images need: all tags of a repository are read for that.
const IMAGES_LOOK: Duration = Duration::from_secs(20);

/// How many parts a list may have. Each is asked for by a request, and ends where a piece of a run ends.
pub const PARTS_MAX: usize = 500;

/// What a runtime lends to the retention of a project's staged packages.
#[allow(async_fn_in_trait, reason = "every host is single-threaded; no caller needs `Send`")]
pub trait StagingHost: ProjectHost {
    /// What a public place serves under a target's name, read as anybody would read it.
    async fn served(
        &self,
        site: &Site,
        target: &str,
        cargo: &slipway_core::cargo::Cargo,
    ) -> Result<Result<Served, Trouble>, Silent>;

    /// Since when a server has a file in staging. `None` where it does not say.
    async fn arrival(
        &self,
        site: &Site,
        under: &str,
        cargo: &slipway_core::cargo::Cargo,
    ) -> Result<Option<Timestamp>, Trouble>;

    /// The time by the clock of a place's server. `None` where it does not say.
    async fn server_time(&self, place: &str) -> Result<Option<Timestamp>, Trouble>;

    /// Asks another project's record whether it can do without a file in staging. `lend`: if so, from now on it must.
    async fn can_do_without(&self, project_id: u64, object: &StagedObject, lend: bool) -> Result<Consent, Silent>;

    /// The images that another project has in a staging repository.
    async fn images_in(&self, project_id: u64, staging: &Site) -> Result<Kept, Silent>;

    /// Whether an image that staging has is there with all its parts.
    async fn has_whole(&self, removal: &Removal) -> Result<bool, Trouble>;

    /// What would go with a file or an image in staging, what of it would stay, and for whose need.
    async fn look(&self, object: &StagedObject, around: Around<'_>) -> Result<Look, Trouble>;

    /// What is there of all that was to go with an image.
    async fn parts_here(&self, removal: &Removal) -> Result<Vec<Digest>, Trouble>;

    /// Deletes a file or an image from staging, if it has these bytes, with what a look has shown to go with it. The work may
    /// be done whatever the answer. What is sent goes through `http`, which a stop ends.
    async fn remove(&self, http: &impl Http, removal: &Removal, going: &Going) -> Result<(), Trouble>;
}

/// A line of a run: what it has come to, of itself or of a package.
fn line(project_id: u64, run: u64, state: &str) -> Entry<'_> {
    Entry {
        work: Some(retention_work(project_id, run)),
        project: Some(project_id),
        state: Some(state),
        ..Entry::of(Level::Info, Event::Retention)
    }
}

/// A line of a deletion. It is its run's, however much later it is written.
fn line_of<'a>(project: &Project, removal: &'a Removal, state: &'a str) -> Entry<'a> {
    let Removal { version, key, under, run, .. } = removal;
    let (release, key, target) = (Some(version.as_str()), Some(key.as_str()), Some(under.as_str()));
    Entry { release, key, target, ..line(project.id, *run, state) }
}

/// A package on the list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The package.
    pub package: Resting,
    /// What becomes of it.
    pub decision: Decision,
    /// When it is deleted at the earliest.
    pub expires_at: Option<Timestamp>,
    /// Whether its deletion waits for the next run: this one is at its limits.
    pub waits_for_limits: bool,
    /// What of an image stays that is deleted, and what needs it.
    pub stays: Vec<(Digest, String)>,
    sights: Option<Sights>,
}

/// What a run has come to, and when there is something to be done again.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Packages that rest in staging, with what was done of each.
    pub listed: Vec<Listed>,
    /// When there is something to be done again.
    pub due_at: Timestamp,
}

/// How far a list is: what its next part needs.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ListedSoFar {
    reached: Reached,
    /// The time that is counted.
    counted: Duration,
    /// A run is under way that has come so far: what it passed waits for the next.
    passed: Option<Behind>,
    /// The images that are gone by then, with what went with them: nothing stays for their need.
    gone: BTreeSet<(Site, Digest)>,
}

/// When a project's next run is due. A clock that was set back does not put it off.
pub fn due_at<S: Sql>(record: &Record<S>, now: Timestamp) -> Result<Timestamp, LedgerError> {
    let run = run_at(record, now)?;
    let open = record.removals()?;
    let open = open.iter().map(|removal| removal.look_at.min(now + UNANSWERED)).min();
    Ok(open.map_or(run, |open| open.min(run)))
}

/// When the run that is under way goes on, or the next begins.
fn run_at<S: Sql>(record: &Record<S>, now: Timestamp) -> Result<Timestamp, LedgerError> {
    let last = record.retention_clock()?.0.filter(|last| *last <= now);
    Ok(if record.run_reached()?.is_some() { now } else { last.map_or(now, |last| last + RUN) })
}

/// Looks at what a project has staged, and does what is due: as much as may be done in one piece. Called again, it goes on
/// there.
pub async fn run<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
) -> Result<Survey, LedgerError> {
    find_out(record, host, config, project).await?;
    // It may be a look alone that was due, and limits are those of an hour.
    let is_due = run_at(record, host.now())? <= host.now();
    if is_due && record.run_reached()?.is_none() {
        look_for_replaced(record, host).await?;
    }
    let listed = if is_due { go_on(record, host, config, project).await? } else { Vec::new() };
    Ok(Survey { listed, due_at: due_at(record, host.now())? })
}

/// All parts of a list, from whoever makes the next one of them. `None` while more are left than it may have: a list that
/// lacks its end looks like one that is whole.
pub async fn whole<T, E>(
    mut next_part: impl AsyncFnMut(Option<ListedSoFar>) -> Result<(T, Option<ListedSoFar>), E>,
) -> Result<Option<Vec<T>>, E> {
    let (mut parts, mut from) = (Vec::new(), None);
    while parts.len() < PARTS_MAX {
        let (part, next) = next_part(from).await?;
        parts.push(part);
        if next.is_none() {
            return Ok(Some(parts));
        }
        from = next;
    }
    Ok(None)
}

/// A part of the list that the next run goes by, or the rest of the one that is under way; and what the next part needs.
pub async fn list<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    from: Option<ListedSoFar>,
) -> Result<(Vec<Listed>, Option<ListedSoFar>), LedgerError> {
    let began = host.now();
    let mut going = match (from, record.run_reached()?) {
        (Some(from), _) => from,
        (None, Some(reached)) => ListedSoFar {
            gone: BTreeSet::new(),
            passed: reached.behind.clone(),
            reached: Reached { behind: None, ..reached },
            counted: record.retention_clock()?.1,
        },
        (None, None) => {
            let clocks_agree = can_count(record, host, config).await?;
            let (last, counted) = record.retention_clock()?;
            let counted = counted + tick(last, host.now(), clocks_agree);
            ListedSoFar { reached: Reached::default(), counted, passed: None, gone: BTreeSet::new() }
        }
    };
    let (mut listed, is_last) = part(record, host, config, project, &going.reached, going.counted).await?;
    let (mut done, mut looks) = (0, ImageLooks::default());
    for package in &mut listed {
        if done > 0 && (looks.count >= REQUESTS_MAX || looks.count > 0 && host.now().since(began) >= PIECE) {
            break;
        }
        done += 1;
        let place = package.package.place();
        if matches!(package.decision, Decision::Delete(_)) {
            let is_passed = going.passed.as_ref().is_some_and(|passed| place.as_ref().is_some_and(|own| own <= passed));
            let mut taken = going.reached.taken;
            if is_passed {
                package.waits_for_limits = true;
            } else if !taken.takes(package.package.size, &config.retention) {
                package.waits_for_limits = true;
                going.reached.taken = taken;
            } else {
                let object = package.package.object();
                let here = going.gone.iter().filter(|(site, _)| *site == object.staging);
                let gone: BTreeSet<Digest> = here.map(|(_, digest)| *digest).collect();
                match goes_with(record, host, config, project, &object, &gone, &[], &mut looks).await? {
                    Ok(image) => {
                        going.reached.taken = taken;
                        let gone = image.parts.iter().copied().chain([object.digest]);
                        going.gone.extend(gone.map(|digest| (object.staging.clone(), digest)));
                        package.stays = image.stays.into_iter().collect();
                    }
                    Err(keep) => package.decision = Decision::Keep(keep),
                }
            }
        }
        going.reached.behind = place;
    }
    let is_last = is_last && done == listed.len();
    listed.truncate(done);
    Ok((listed, (!is_last).then_some(going)))
}

/// One piece of a run.
async fn go_on<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
) -> Result<Vec<Listed>, LedgerError> {
    let began = host.now();
    let mut reached = if let Some(reached) = record.run_reached()? {
        reached
    } else {
        let clocks_agree = can_count(record, host, config).await?;
        let reached = record.begin_run(host.now(), clocks_agree)?;
        host.write(&line(project.id, record.run_number()?, "begun"));
        reached
    };
    let counted = record.retention_clock()?.1;
    let (mut listed, is_last) = part(record, host, config, project, &reached, counted).await?;
    let (mut done, mut looks) = (0, ImageLooks::default());
    for package in &mut listed {
        if done > 0 && (looks.count >= REQUESTS_MAX || host.now().since(began) >= PIECE) {
            break;
        }
        done += 1;
        reached.behind = package.package.place();
        let mut taken = reached.taken;
        if matches!(package.decision, Decision::Delete(_)) && !taken.takes(package.package.size, &config.retention) {
            package.waits_for_limits = true;
            reached.taken = taken;
        }
        // Also of one that is not deleted in the end: a server that is slow does not keep a run where it is.
        record.reach(&reached)?;
        let fits = Fits { reached: &mut reached, taken, looks: &mut looks };
        act(record, host, config, project, package, fits).await?;
    }
    if is_last && done == listed.len() {
        record.end_run()?;
        host.write(&line(project.id, record.run_number()?, "ended"));
    }
    listed.truncate(done);
    Ok(listed)
}

/// What a run has taken of its limits once a deletion has begun that fits in, and what it has looked at before.
struct Fits<'a> {
    reached: &'a mut Reached,
    taken: Taken,
    looks: &'a mut ImageLooks,
}

/// What one piece has looked at to know what other images need.
#[derive(Default)]
struct ImageLooks {
    count: usize,
    /// The repositories of which that cannot be told, and why not: each image there would cost all those requests again.
    unread: BTreeMap<Site, String>,
}

/// Whether a run that begins now may count the time since the last: by the servers of all for which it counts.
async fn can_count<S: Sql>(record: &Record<S>, host: &impl StagingHost, config: &Config) -> Result<bool, LedgerError> {
    // What is at a place that `slipway.toml` no longer has is kept anyway.
    let mut places = record.counted_places()?;
    places.retain(|place| config.places.contains_key(place));
    let times = times(host, &places.into_iter().collect()).await;
    Ok(clocks_agree(record.retention_clock()?.0, host.now(), &times))
}

/// The servers' times. They are of a moment after they were asked for.
async fn times(host: &impl StagingHost, places: &BTreeSet<String>) -> Vec<Option<Timestamp>> {
    let times = places.iter().map(|place| in_time(host, LOOK, host.server_time(place)));
    join_all(times).await.into_iter().map(|time| time?.ok().flatten()).collect()
}

/// Looks at the next packages, as many as one piece of a run can, and decides what becomes of each; and whether they are the
/// last. Servers and other projects are asked only about what nothing in the record keeps.
async fn part<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    reached: &Reached,
    counted: Duration,
) -> Result<(Vec<Listed>, bool), LedgerError> {
    let began = host.now();
    let mut resting = record.resting(config, project, reached.behind.as_ref(), PART, began)?;
    let mut is_last = u64::try_from(resting.len()).is_ok_and(|count| count < PART);
    let mut on_their_way = BTreeSet::new();
    for Resting { version, key, .. } in &resting {
        if record.is_being_deleted(version, key)? {
            on_their_way.insert((version.clone(), key.clone()));
        }
    }
    let is_on_its_way = |package: &Resting| on_their_way.contains(&(package.version.clone(), package.key.clone()));
    let is_candidate =
        |package: &Resting| !is_on_its_way(package) && ended(&package.known, package.keeping.as_ref(), began).is_ok();
    let mut requests = 0;
    let within = |package: &&Resting| {
        let others = config.projects.len();
        let is_first = requests == 0;
        requests += if is_candidate(package) { 2 * package.under.len() + package.released.len() + others } else { 0 };
        is_first || requests <= REQUESTS_MAX
    };
    let fits = resting.iter().take_while(within).count();
    is_last &= fits == resting.len();
    resting.truncate(fits);
    let candidates = resting.iter().filter(|package| is_candidate(package));
    let times = times(host, &candidates.map(|package| package.staging.place.clone()).collect()).await;
    // A clock that ran backwards at the beginning is in doubt until the next run.
    let agree = !reached.ran_backwards && clocks_agree(record.retention_clock()?.0, host.now(), &times);
    let is_stopped = record.is_stopped()?;
    for package in &mut resting {
        package.known.counted = counted;
    }
    let looks = resting.iter().map(async |package| {
        if !is_candidate(package) {
            return None;
        }
        let look = async {
            (
                in_staging(host, package).await,
                in_public(host, package).await,
                elsewhere(host, config, project, &package.object(), false).await,
            )
        };
        // A server that is slow does not keep a run where it is.
        let unread = (InStaging::Unread, InPublic::Unread, Elsewhere::Unread);
        let (staging, public, elsewhere) = in_time(host, LOOK, look).await.unwrap_or(unread);
        let tells_arrival = package.cargo.file().is_some();
        Some(Sights { staging, tells_arrival, public, elsewhere, clocks_agree: agree, is_stopped })
    });
    let mut looks = stream::iter(looks).buffered(LOOKS_AT_ONCE);
    let mut seen = Vec::with_capacity(resting.len());
    while let Some(sights) = looks.next().await {
        seen.push(sights);
        if seen.len() < resting.len() && host.now().since(began) >= PIECE {
            is_last = false;
            break;
        }
    }
    drop(looks);
    let now = host.now();
    let mut listed: Vec<Listed> = Vec::with_capacity(seen.len());
    for (package, sights) in resting.into_iter().zip(seen) {
        let (known, keeping) = (&package.known, package.keeping.as_ref());
        let decision = match &sights {
            Some(sights) => decide(known, sights, keeping, &config.retention, now),
            None if is_on_its_way(&package) => Decision::Keep(Keep::OnItsWay),
            None => match ended(known, keeping, now) {
                Err(keep) if known.progress.is_some() => Decision::TakeBack(keep),
                Err(keep) => Decision::Keep(keep),
                // It became old enough while the servers were asked.
                Ok(_) => Decision::Keep(Keep::StagingUnread),
            },
        };
        let expires_at = expires_at(known, keeping, &config.retention, now);
        let (waits_for_limits, stays) = (false, Vec::new());
        listed.push(Listed { package, decision, expires_at, waits_for_limits, stays, sights });
    }
    Ok((listed, is_last))
}

/// Does what is due of one package.
async fn act<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    listed: &mut Listed,
    fits: Fits<'_>,
) -> Result<(), LedgerError> {
    let Listed { package, decision, sights, stays, waits_for_limits, .. } = listed;
    let (now, version) = (host.now(), &package.version);
    if let Some(sights) = sights
        && record.looked_in_staging(package, &sights.staging, now)?
    {
        host.announce(version);
        return Ok(());
    }
    let wait = config.retention.wait;
    let run = record.run_number()?;
    let (changed, state, code) = match decision {
        Decision::Keep(_) => return Ok(()),
        Decision::TakeBack(keep) => (record.take_back_step(package, keep, now)?, "kept", keep.code()),
        Decision::Announce(cause) => {
            let notice = package.keeping.map_or(Duration::ZERO, |keeping| keeping.notice);
            let is_taken = record.take_step(package, Stage::Announced, *cause, now + notice + wait, now)?;
            (is_taken, Stage::Announced.code(), cause.code())
        }
        Decision::Mark(cause) => {
            let is_taken = record.take_step(package, Stage::Marked, *cause, now + wait, now)?;
            (is_taken, Stage::Marked.code(), cause.code())
        }
        Decision::Delete(_) if *waits_for_limits => return Ok(()),
        Decision::Delete(cause) => {
            let Some(sights) = sights else { return Ok(()) };
            let is_known = fits.looks.unread.contains_key(&package.staging);
            match delete(record, host, config, project, package, sights, fits).await? {
                Ok(image) => {
                    *stays = image.stays.into_iter().collect();
                    (true, "deleting", cause.code())
                }
                Err(keep) => {
                    let of_images = matches!(keep, Keep::NeededByImage(_) | Keep::ImagesUnread(_));
                    if of_images && !is_known {
                        let what = format!("{version} {} is not deleted from staging: {keep}", package.key);
                        let (release, key) = (Some(version.as_str()), Some(package.key.as_str()));
                        let level = Level::Error;
                        host.write(&Entry {
                            level,
                            release,
                            key,
                            ..line(project.id, run, "not-deleted").saying(&what)
                        });
                    }
                    if matches!(keep, Keep::NeededByImage(_)) && record.wait_again(package, &keep, now + wait, now)? {
                        host.announce(version);
                    }
                    *decision = Decision::Keep(keep);
                    return Ok(());
                }
            }
        }
    };
    if changed {
        let (release, key, code) = (Some(version.as_str()), Some(package.key.as_str()), Some(code));
        host.write(&Entry { release, key, code, ..line(project.id, run, state) });
        host.announce(version);
    }
    Ok(())
}

/// Deletes one package from staging, if nothing has come in between, with what goes with it; or why it stays.
async fn delete<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    package: &Resting,
    sights: &Sights,
    fits: Fits<'_>,
) -> Result<Result<Going, Keep>, LedgerError> {
    let Fits { reached, taken, looks } = fits;
    if let Some(why) = looks.unread.get(&package.staging) {
        return Ok(Err(Keep::ImagesUnread(why.clone())));
    }
    // Others are bound by their answer from here on, and this project by its own record.
    let object = package.object();
    let sights = Sights { elsewhere: elsewhere(host, config, project, &object, true).await, ..sights.clone() };
    let mut going = Going::default();
    if sights.elsewhere == Elsewhere::Free {
        match goes_with(record, host, config, project, &object, &BTreeSet::new(), &[], looks).await? {
            Ok(image) => going = image,
            Err(keep) => return Ok(Err(keep)),
        }
    }
    // Nothing is awaited from here to the first request, so what this project's record has come to know is in both.
    reached.taken = taken;
    record.reach(reached)?;
    let removals = match record.begin_removal(config, project, package, &sights, &going.parts, host.now())? {
        Ok(removals) => removals,
        Err(Decision::Keep(keep) | Decision::TakeBack(keep)) => return Ok(Err(keep)),
        // It is none of these any more: the next run looks anew.
        Err(Decision::Announce(_) | Decision::Mark(_) | Decision::Delete(_)) => return Ok(Err(Keep::NeverStaged)),
    };
    for removal in &removals {
        if record.is_stopped()? {
            // Nothing was sent of it.
            record.settle_removal(removal, Removed::NotSent, host.now())?;
            host.write(&line_of(project, removal, Removed::NotSent.code()));
            continue;
        }
        send(record, host, project, removal, &going).await?;
    }
    Ok(Ok(going))
}

/// What goes with an image that is to be deleted, as the list and the run both see it; or why it stays. With a file goes
/// nothing else. `gone` will be gone by then, and `parts` were to go when somebody was cut off.
#[allow(clippy::too_many_arguments, reason = "what is looked at, and all that is known beside it")]
async fn goes_with<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    object: &StagedObject,
    gone: &BTreeSet<Digest>,
    parts: &[Digest],
    looks: &mut ImageLooks,
) -> Result<Result<Going, Keep>, LedgerError> {
    if object.cargo.file().is_some() {
        return Ok(Ok(Going::default()));
    }
    if let Some(why) = looks.unread.get(&object.staging) {
        return Ok(Err(Keep::ImagesUnread(why.clone())));
    }
    let kept = match kept_beside(record, host, config, project, object).await? {
        Ok(kept) => kept,
        Err(silent) => return Ok(Err(Keep::ImagesUnread(silent.to_string()))),
    };
    looks.count += 1;
    let around = Around { gone, parts, ..Around::of(&kept) };
    let look = in_time(host, IMAGES_LOOK, host.look(object, around)).await;
    // What came to this project's record meanwhile was not looked at.
    let mut meanwhile = record.images_in(&object.staging, host.now())?;
    meanwhile.remove(&object.digest);
    if !kept.has_all(&meanwhile) {
        return Ok(Err(Keep::ImagesUnread("another one has come there meanwhile".to_owned())));
    }
    let unread = match look {
        Some(Ok(Look::Goes(going))) => {
            looks.count += going.looks;
            return Ok(Ok(going));
        }
        Some(Ok(Look::Needed(by))) => {
            looks.count += REQUESTS_MAX;
            return Ok(Err(Keep::NeededByImage(by)));
        }
        Some(Ok(Look::Absent)) => return Ok(Err(Keep::NotShown)),
        Some(Ok(Look::Other(found))) => return Ok(Err(Keep::OtherBytes(found))),
        Some(Err(trouble)) => trouble.to_string(),
        None => "it takes too long to look".to_owned(),
    };
    looks.unread.insert(object.staging.clone(), unread.clone());
    Ok(Err(Keep::ImagesUnread(unread)))
}

/// Sends a deletion, and looks for the first time. Whatever the answer was: only what staging no longer shows is deleted, and
/// it must show that twice, at a distance.
async fn send<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    project: &Project,
    removal: &Removal,
    going: &Going,
) -> Result<(), LedgerError> {
    if let Err(trouble) =
        host.remove(&WhileAllowed { why_not: async || record.stopped(), http: host }, removal, going).await
    {
        let Removal { version, key, .. } = removal;
        let what = format!("{version} {key} may not be deleted from staging, or not all of it: {trouble}");
        host.write(&Entry { level: Level::Error, ..line_of(project, removal, "deleting").saying(&what) });
    }
    if look(host, removal).await == Some(Shown::Nothing) {
        let now = host.now();
        record.look_later(removal, now + UNANSWERED, Some(now))?;
    }
    Ok(())
}

/// The images of the same repository that stay, of this project and of all that stage there. A file needs none of them.
async fn kept_beside<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    object: &StagedObject,
) -> Result<Result<Kept, Silent>, LedgerError> {
    let mut kept = Kept::default();
    if object.cargo.file().is_some() {
        return Ok(Ok(kept));
    }
    let others = config.projects.iter().filter(|other| other.id != project.id);
    for other in join_all(others.map(|other| host.images_in(other.id, &object.staging))).await {
        match other {
            Ok(other) => kept.extend(other),
            Err(silent) => return Ok(Err(silent)),
        }
    }
    // What has come to this project's record meanwhile is in it.
    kept.extend(record.images_in(&object.staging, host.now())?);
    // Whoever has the same image has left it to this deletion; and one that is on its way out may be there or not.
    kept.remove(&object.digest);
    for removal in record.removals()? {
        if removal.staging == object.staging {
            kept.doubt(&removal.digest);
        }
    }
    Ok(Ok(kept))
}

/// Finds out what became of deletions that are on their way and that nobody waits for.
async fn find_out<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
) -> Result<(), LedgerError> {
    for removal in record.removals()? {
        let now = host.now();
        let (later, gone_at) = (now + UNANSWERED, removal.gone_at.filter(|gone_at| *gone_at <= now));
        if removal.look_at > later {
            // A clock that was set back would have it wait for years.
            record.look_later(&removal, later, gone_at)?;
        }
        if removal.look_at > now {
            continue;
        }
        let removed = match (look(host, &removal).await, gone_at) {
            (Some(Shown::Nothing), Some(gone_at)) if now.since(gone_at) >= UNANSWERED => Removed::Gone,
            (Some(Shown::Nothing), gone_at) => {
                record.look_later(&removal, later, gone_at.or(Some(now)))?;
                continue;
            }
            (Some(Shown::Whole), _) => Removed::StillThere,
            // Nobody can have half an image back. What the server does not finish is told as it is, a day later.
            (Some(Shown::Part), _) if now.since(removal.begun_at) >= FINISHED_WITHIN => Removed::StillThere,
            (Some(Shown::Rest), _) if now.since(removal.begun_at) >= FINISHED_WITHIN => {
                let Removal { version, key, parts, .. } = &removal;
                let what =
                    format!("{version} {key} is deleted from staging, and these parts of it are left: {parts:?}");
                host.write(&Entry { level: Level::Error, ..line_of(project, &removal, "deleting").saying(&what) });
                record.parts_left(&removal, &[])?;
                record.look_later(&removal, later, Some(now))?;
                continue;
            }
            (Some(Shown::Part | Shown::Rest), _) => {
                record.look_later(&removal, now + FINISHED_AFTER, None)?;
                // What others said holds for a while only, and theirs, too, is half an image by now.
                if elsewhere(host, config, project, &removal.object(), true).await == Elsewhere::Free {
                    finish(record, host, config, project, removal).await?;
                }
                continue;
            }
            (None, _) => {
                record.look_later(&removal, later, gone_at)?;
                continue;
            }
        };
        if record.settle_removal(&removal, removed, host.now())? {
            host.write(&line_of(project, &removal, removed.code()));
            host.announce(&removal.version);
        }
    }
    Ok(())
}

/// Goes on with an image that went in part. Whatever was to go with it is asked about anew.
async fn finish<S: Sql>(
    record: &Record<S>,
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    removal: Removal,
) -> Result<(), LedgerError> {
    let (object, looks) = (removal.object(), &mut ImageLooks::default());
    let looked = goes_with(record, host, config, project, &object, &BTreeSet::new(), &removal.parts, looks).await?;
    let going = match looked {
        Ok(going) => going,
        Err(Keep::NotShown) => Going::default(),
        Err(keep) => {
            let Removal { version, key, .. } = &removal;
            let what = format!("what is left of {version} {key} in staging is not deleted: {keep}");
            host.write(&Entry { level: Level::Error, ..line_of(project, &removal, "deleting").saying(&what) });
            return Ok(());
        }
    };
    record.parts_left(&removal, &going.parts)?;
    let removal = Removal { parts: going.parts.clone(), ..removal };
    send(record, host, project, &removal, &going).await
}

/// Finds out what became of files that jobs replace and delete by themselves.
async fn look_for_replaced<S: Sql>(record: &Record<S>, host: &impl StagingHost) -> Result<(), LedgerError> {
    let files = record.giving_way()?;
    let looks = files.iter().map(async |file| {
        let finds = file.under.iter().map(|under| host.find(&file.staging, under, &file.cargo));
        let finds = in_time(host, LOOK, join_all(finds)).await?;
        let is_there = |find: Result<Result<Seen, Trouble>, Silent>| match find {
            Ok(Ok(Seen::Nothing)) => Some(false),
            Ok(Ok(Seen::Digest(found))) => Some(found == file.digest),
            Ok(Ok(Seen::WithoutDigest) | Err(_)) | Err(_) => None,
        };
        let is_there = finds.into_iter().map(is_there).collect::<Option<Vec<bool>>>()?;
        Some(is_there.contains(&true))
    });
    let looks: Vec<Option<bool>> = stream::iter(looks).buffered(LOOKS_AT_ONCE).collect().await;
    for (file, is_there) in files.iter().zip(looks) {
        if record.looked_for(file, is_there, host.now())? {
            host.announce(&file.version);
        }
    }
    Ok(())
}

/// What staging shows of what is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// All of it.
    Whole,
    /// An image of which parts are gone.
    Part,
    /// Not the image itself any more, and something that was to go with it.
    Rest,
    /// Nothing, or by now somebody else's file. That it is not shown does not prove that it is gone.
    Nothing,
}

/// `None` while that cannot be told.
async fn look(host: &impl StagingHost, removal: &Removal) -> Option<Shown> {
    match host.find(&removal.staging, &removal.under, &removal.cargo).await {
        Ok(Ok(Seen::Digest(found))) if found == removal.digest && removal.cargo.file().is_some() => Some(Shown::Whole),
        Ok(Ok(Seen::Digest(found))) if found == removal.digest => {
            let is_whole = host.has_whole(removal).await.ok()?;
            Some(if is_whole { Shown::Whole } else { Shown::Part })
        }
        Ok(Ok(Seen::Nothing | Seen::Digest(_))) if removal.parts.is_empty() => Some(Shown::Nothing),
        Ok(Ok(Seen::Nothing | Seen::Digest(_))) => {
            let left = host.parts_here(removal).await.ok()?;
            Some(if left.is_empty() { Shown::Nothing } else { Shown::Rest })
        }
        Ok(Ok(Seen::WithoutDigest) | Err(_)) | Err(_) => None,
    }
}

/// What staging shows of a package under all its names. One that is gone already does not keep the others: it was there
/// when they were declared, and nothing is sent for it.
async fn in_staging(host: &impl StagingHost, package: &Resting) -> InStaging {
    let finds = package.under.iter().map(async |under| {
        let Ok(Ok(found)) = host.find(&package.staging, under, &package.cargo).await else {
            return InStaging::Unread;
        };
        match found {
            Seen::Nothing => InStaging::Nothing,
            Seen::WithoutDigest => InStaging::WithoutDigest,
            Seen::Digest(found) if found != package.digest => InStaging::Other(found),
            Seen::Digest(_) if package.cargo.file().is_none() => InStaging::Declared(None),
            Seen::Digest(_) => match host.arrival(&package.staging, under, &package.cargo).await {
                Ok(arrival) => InStaging::Declared(arrival),
                Err(_) => InStaging::Unread,
            },
        }
    });
    let seen = join_all(finds).await;
    let mut arrivals = seen.iter().filter_map(|seen| match seen {
        InStaging::Declared(arrival) => Some(*arrival),
        _ => None,
    });
    let against =
        seen.iter().find(|seen| matches!(seen, InStaging::Unread | InStaging::WithoutDigest | InStaging::Other(_)));
    match (against, arrivals.next()) {
        (Some(against), _) => *against,
        (None, None) => InStaging::Nothing,
        // The earliest counts, and one that is not known is none.
        (None, Some(first)) => InStaging::Declared(
            arrivals.fold(first, |first, next| first.zip(next).map(|(first, next)| first.min(next))),
        ),
    }
}

/// Whether the public places serve all that is released of a package.
async fn in_public(host: &impl StagingHost, package: &Resting) -> InPublic {
    let served =
        package.released.iter().map(async |(site, target)| match host.served(site, target, &package.cargo).await {
            Ok(Ok(Served::Digest(found))) if found == package.digest => InPublic::Served,
            Ok(Ok(Served::InMotion) | Err(_)) | Err(_) => InPublic::Unread,
            Ok(Ok(Served::Digest(_) | Served::Several(_) | Served::NotListed)) => InPublic::NotServed,
        });
    let served = join_all(served).await;
    [InPublic::NotServed, InPublic::Unread].into_iter().find(|bad| served.contains(bad)).unwrap_or(InPublic::Served)
}

/// Whether another project needs a file. Each is asked: what a project staged before its routes led elsewhere is known to
/// its record alone.
async fn elsewhere(
    host: &impl StagingHost,
    config: &Config,
    project: &Project,
    object: &StagedObject,
    lend: bool,
) -> Elsewhere {
    let others = config.projects.iter().filter(|other| other.id != project.id);
    let answers = others.map(async |other| (other, host.can_do_without(other.id, object, lend).await));
    let answers = join_all(answers).await;
    let who_says = |consent: Consent| {
        let other = answers.iter().find(|(_, answer)| answer.as_ref().is_ok_and(|answer| *answer == consent));
        other.map(|(other, _)| other.name.to_string())
    };
    if let Some(other) = who_says(Consent::No) {
        return Elsewhere::Needed(other);
    }
    if answers.iter().any(|(_, answer)| answer.is_err()) {
        return Elsewhere::Unread;
    }
    who_says(Consent::NotYet).map_or(Elsewhere::Free, Elsewhere::NotYet)
}

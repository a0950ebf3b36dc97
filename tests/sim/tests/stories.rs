//! One package on its way to one public repository, story by story. A test's name is the story.
//!
//! After every step the world checks what must always hold: see `journal` in the crate. Here is what is particular.

use std::rc::Rc;

use slipway_core::release::TargetState as S;
use slipway_sim::course::Course;
use slipway_sim::fault::{Fault, Kind, Outsider};
use slipway_sim::server::Delays;
use slipway_sim::world::{Settings, World, other};
use slipway_wire::Digest;

const HOUR: i64 = 3_600_000;

/// The package staged, and its job about to be played once.
fn settings() -> Settings {
    Settings { plays_max: 0, ..Course::DebCopy.settings(&[]) }
}

/// Runs it until nothing moves; every promise must hold on the way.
fn settle(world: &Rc<World>) -> (S, Option<String>) {
    while world.step() {}
    assert_eq!(world.violation(), None);
    world.state(0)
}

fn settled(settings: Settings) -> ((S, Option<String>), Rc<World>) {
    let world = World::new(settings);
    (settle(&world), world)
}

/// Plays the job once more, and runs on.
fn again(world: &Rc<World>) -> (S, Option<String>) {
    world.play_again();
    settle(world)
}

fn stopped(state: S, code: &str) -> (S, Option<String>) {
    (state, Some(code.to_owned()))
}

const RELEASED: (S, Option<String>) = (S::Released, None);

fn accepted(world: &World) -> u32 {
    world.servers[1].borrow().accepted
}

fn public_bytes(world: &World) -> Option<Vec<u8>> {
    let goal = &world.goals[0];
    world.servers[goal.public.0].borrow().files.get(&goal.public.1).map(|file| file.bytes.to_vec())
}

/// The number of the first boundary of a kind in a run without faults.
fn first(kind: Kind) -> u64 {
    let (_, world) = settled(settings());
    let kinds = world.kinds.borrow();
    kinds.iter().position(|passed| *passed == kind).expect("every run passes it") as u64
}

fn with(faults: &[(u64, Fault)]) -> Settings {
    Settings { plays_max: 0, ..Course::DebCopy.settings(faults) }
}

#[test]
fn an_approved_package_is_published_once_and_staging_keeps_it() {
    let (state, world) = settled(settings());
    assert_eq!(state, RELEASED);
    assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1));
    assert_eq!(public_bytes(&world).as_ref(), Some(&world.parcels[0].bytes));
    let (server, place) = &world.goals[0].staging;
    assert!(world.servers[*server].borrow().files.contains_key(place));
}

#[test]
fn a_package_is_published_only_once_staging_has_it() {
    let world = World::new(Settings { plays_max: 2, ..settings() });
    let goal = world.goals[0].clone();
    world.acts(Outsider::DeletesStaged, &goal);
    while world.state_of_first() != Some(S::Missing) && world.step() {}
    assert_eq!((world.state(0).0, accepted(&world), world.count(Kind::Relay)), (S::Missing, 0, 0));
    let bytes = world.parcels[0].bytes.clone();
    world.servers[goal.staging.0].borrow_mut().put(&goal.staging.1, &bytes, 0);
    world.forget_wrong_staging();
    assert_eq!(settle(&world), RELEASED);
    assert_eq!(accepted(&world), 1);
}

#[test]
fn what_is_held_right_before_its_act_is_not_sent_and_goes_back_to_staged() {
    for course in [Course::DebCopy, Course::RpmCopy, Course::DebMove] {
        let world = World::new(Settings { plays_max: 0, ..course.settings(&[]) });
        world.meanwhile(Kind::MayAct, |world| world.hold(0));
        assert_eq!(settle(&world), stopped(S::Staged, "blocked"), "{course:?}");
        let acts = [Kind::Relay, Kind::Promote].map(|kind| world.count(kind));
        assert_eq!((acts, accepted(&world)), ([0, 0], 0), "{course:?}");
    }
}

#[test]
fn what_is_held_when_its_act_has_begun_is_finished() {
    for moment in [Kind::Relay, Kind::SlotEnded, Kind::Head] {
        let world = World::new(settings());
        world.meanwhile(moment, |world| world.hold(0));
        assert_eq!(settle(&world), RELEASED, "{moment:?}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1), "{moment:?}");
    }
}

#[test]
fn a_job_whose_webhook_was_lost_is_found_and_whoever_listens_is_told_that_it_is_out() {
    let world = World::new(Course::DebFound.settings(&[]));
    assert_eq!(settle(&world), RELEASED);
    assert_eq!((world.count(Kind::Ask), world.count(Kind::Webhook)), (0, 0), "nobody has said a word");
    assert_eq!((world.count(Kind::Pipeline), world.count(Kind::Notice), accepted(&world)), (1, 1, 1));
}

#[test]
fn a_notice_whose_answer_is_lost_is_told_again_under_the_same_id() {
    for fault in [Fault::AnswerLost, Fault::DoneStatus(500), Fault::Lost, Fault::Status(503)] {
        let notice = {
            let world = World::new(Course::DebFound.settings(&[]));
            settle(&world);
            let kinds = world.kinds.borrow();
            kinds.iter().position(|passed| *passed == Kind::Notice).expect("somebody is told") as u64
        };
        let world = World::new(Course::DebFound.settings(&[(notice, fault)]));
        assert_eq!(settle(&world), RELEASED, "{fault:?}");
        assert_eq!(world.count(Kind::Notice), 2, "{fault:?}");
        world.check();
        assert_eq!(world.violation(), None, "{fault:?}");
    }
}

/// A copy is too slow, and what the record is told of that arrives after a job has carried it.
#[test]
fn a_report_that_arrives_after_a_later_one_is_not_believed() {
    let slow = (first(Kind::Relay), Fault::Slow);
    let (_, alone) = settled(with(&[slow]));
    let kinds = alone.kinds.borrow();
    let (report, _) = (0..)
        .zip(kinds.iter())
        .find(|(number, kind)| *number > slow.0 && **kind == Kind::Report)
        .expect("the record is told");
    let mut carried = 0;
    for seed in 1..=10 {
        let delays = Delays { listed: 0, hashed: 0, indexed: 600_000 };
        let ((state, _), world) = settled(Settings { seed, delays, ..with(&[slow, (report, Fault::DoneLate)]) });
        let points = world.points.borrow();
        assert!(points.contains_key("something arrived late"), "seed {seed}");
        if points.contains_key("a job carried a copy") {
            assert_eq!(state, S::Released, "seed {seed}");
            carried += 1;
        }
    }
    assert!(carried > 3, "only {carried} were carried");
}

#[test]
fn what_is_public_with_equal_bytes_is_not_sent_again() {
    let world = World::new(settings());
    let goal = world.goals[0].clone();
    world.acts(Outsider::PublishesSame, &goal);
    assert_eq!(settle(&world), RELEASED);
    assert_eq!((accepted(&world), world.count(Kind::Relay)), (0, 0));
}

#[test]
fn what_is_public_is_released_even_when_staging_is_closed() {
    for status in [401, 404, 503] {
        let world = World::new(settings());
        let goal = world.goals[0].clone();
        world.acts(Outsider::PublishesSame, &goal);
        world.servers[0].borrow_mut().closed = Some(status);
        assert_eq!(settle(&world), RELEASED, "{status}");
    }
}

#[test]
fn other_public_bytes_are_a_conflict_that_names_both_digests_and_sends_nothing() {
    let world = World::new(settings());
    let goal = world.goals[0].clone();
    world.acts(Outsider::PublishesOther, &goal);
    assert_eq!(settle(&world), stopped(S::Conflict, "conflict"));
    let what = world.problem(0)["what"].to_string();
    let found = Digest::of(&other(&world.parcels[0].bytes));
    assert!(what.contains(&found.to_string()) && what.contains(&goal.digest.to_string()), "{what}");
    assert_eq!((accepted(&world), world.count(Kind::Relay)), (0, 0));
}

#[test]
fn staged_bytes_that_are_seen_to_be_others_are_not_even_fetched() {
    let world = World::new(settings());
    let goal = world.goals[0].clone();
    world.acts(Outsider::ReplacesStaged, &goal);
    assert_eq!(settle(&world), stopped(S::Failed, "staged-bytes-changed"));
    assert_eq!([Kind::Slot, Kind::Download, Kind::Relay].map(|kind| world.count(kind)), [0, 0, 0]);
}

#[test]
fn bytes_that_changed_in_staging_after_the_approval_never_become_public() {
    for moment in [Kind::Slot, Kind::Distributions, Kind::Download, Kind::Relay] {
        let world = World::new(settings());
        let goal = world.goals[0].clone();
        world.meanwhile(moment, move |world| {
            let bytes = other(&world.parcels[0].bytes);
            world.servers[goal.staging.0].borrow_mut().put(&goal.staging.1, &bytes, 0);
        });
        assert_eq!(settle(&world), stopped(S::Failed, "staged-bytes-changed"), "{moment:?}");
        assert_eq!((public_bytes(&world), accepted(&world)), (None, 0), "{moment:?}");
    }
}

#[test]
fn bytes_that_storage_changes_on_the_way_never_become_public() {
    let relay = first(Kind::Relay);
    for fault in [Fault::SourceCut, Fault::SourceFlipped, Fault::SourceOther, Fault::SourceLonger] {
        let (state, world) = settled(with(&[(relay, fault)]));
        assert_eq!(state, stopped(S::Failed, "staged-bytes-changed"), "{fault:?}");
        assert_eq!((public_bytes(&world), accepted(&world), world.count(Kind::Relay)), (None, 0, 1), "{fault:?}");
    }
}

#[test]
fn a_name_that_somebody_took_meanwhile_is_released_or_a_conflict_by_its_bytes() {
    for (outsider, state) in
        [(Outsider::PublishesSame, RELEASED), (Outsider::PublishesOther, stopped(S::Conflict, "conflict"))]
    {
        let world = World::new(settings());
        let goal = world.goals[0].clone();
        world.meanwhile(Kind::Relay, move |world| world.acts(outsider, &goal));
        assert_eq!(settle(&world), state, "{outsider:?}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (0, 1), "{outsider:?}");
    }
}

#[test]
fn a_push_that_was_stored_and_denied_is_released_without_another() {
    let relay = first(Kind::Relay);
    for fault in [Fault::DoneStatus(504), Fault::DoneStatus(500), Fault::AnswerLost, Fault::Cut] {
        let (state, world) = settled(with(&[(relay, fault)]));
        assert_eq!(state, RELEASED, "{fault:?}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1), "{fault:?}");
    }
}

#[test]
fn a_push_that_was_not_stored_is_sent_again_and_written_once() {
    let relay = first(Kind::Relay);
    for fault in [Fault::Status(504), Fault::Lost, Fault::Early(503), Fault::Source(403), Fault::Page] {
        let (state, world) = settled(with(&[(relay, fault)]));
        assert_eq!(state, RELEASED, "{fault:?}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 2), "{fault:?}");
    }
}

#[test]
fn a_list_that_is_behind_after_a_push_makes_no_package_missing_and_sends_nothing_again() {
    let relay = first(Kind::Relay);
    let (_, world) = settled(settings());
    let kinds = world.kinds.borrow().clone();
    let search = (0..).zip(kinds).find(|(number, kind)| *number >= relay && *kind == Kind::Search);
    let (search, _) = search.expect("it looks again");
    for push in [None, Some(Fault::DoneStatus(504)), Some(Fault::AnswerLost)] {
        let faults: Vec<_> = push.map(|fault| (relay, fault)).into_iter().chain([(search, Fault::Bare)]).collect();
        let (state, world) = settled(with(&faults));
        assert_eq!(state, RELEASED, "{push:?}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1), "{push:?}");
    }
}

#[test]
fn lists_that_both_lack_a_file_for_a_moment_make_it_not_missing() {
    let (_, world) = settled(settings());
    let kinds = world.kinds.borrow().clone();
    let searches = (0..).zip(kinds).filter(|(_, kind)| *kind == Kind::Search).map(|(number, _)| number);
    let bare: Vec<_> = searches.take(2).map(|number| (number, Fault::Bare)).collect();
    let (state, world) = settled(with(&bare));
    assert_eq!((state, accepted(&world)), (RELEASED, 1));
}

#[test]
fn a_file_that_neither_place_has_is_missing_after_three_quarters_of_a_minute_and_not_before() {
    let world = World::new(settings());
    let goal = world.goals[0].clone();
    world.acts(Outsider::DeletesStaged, &goal);
    while world.elapsed() < 45_000 && world.step() {}
    assert_eq!(world.state(0).0, S::Releasing);
    assert_eq!(settle(&world), stopped(S::Missing, "missing"));
    assert!(world.elapsed() < 120_000, "{} ms", world.elapsed());
}

#[test]
fn a_package_is_found_on_whatever_page_of_the_lists_it_is() {
    let (state, world) = settled(Settings { per_page: 1, ..settings() });
    assert_eq!((state, accepted(&world)), (RELEASED, 1));
}

#[test]
fn without_a_free_slot_nothing_is_sent_and_the_audit_has_no_trace_of_the_waiting() {
    let world = World::new(settings());
    world.occupy(300_000);
    while world.elapsed() < 290_000 && world.step() {}
    assert_eq!((world.count(Kind::Relay), world.count(Kind::Download)), (0, 0));
    assert_eq!(settle(&world), RELEASED);
    assert_eq!(world.audit(), ["planned", "declared", "staged", "approved", "releasing", "released"]);
}

#[test]
fn an_order_that_arrives_again_after_the_release_changes_nothing() {
    let (_, world) = settled(settings());
    let before = (accepted(&world), world.count(Kind::Relay), world.audit());
    world.order_again();
    while world.elapsed() < HOUR {
        world.step();
    }
    assert_eq!((accepted(&world), world.count(Kind::Relay), world.audit()), before);
    assert_eq!(world.violation(), None);
}

#[test]
fn a_package_is_released_when_the_index_serves_it_and_not_before() {
    let (state, world) = settled(Settings { delays: Delays { indexed: 100_000, ..Delays::default() }, ..settings() });
    assert_eq!(state, RELEASED);
    assert!(world.elapsed() > 100_000);
    assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1));
}

#[test]
fn a_package_that_the_index_does_not_serve_for_an_hour_needs_a_person() {
    let world = World::new(Settings { delays: Delays { indexed: 100 * HOUR, ..Delays::default() }, ..settings() });
    assert_eq!(settle(&world), stopped(S::Failed, "not-served"));
    assert_eq!(world.problem(0)["public"], "partly");
    assert!((HOUR..2 * HOUR).contains(&world.elapsed()), "{} ms", world.elapsed());
    assert!(world.count(Kind::Head) < 150, "{} looks at the index", world.count(Kind::Head));
    world.servers[1].borrow_mut().files.values_mut().for_each(|file| file.indexed_at = 0);
    assert_eq!(again(&world), RELEASED);
    assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1));
}

#[test]
fn an_index_that_is_just_being_replaced_is_read_again() {
    let list = first(Kind::List);
    let (state, world) = settled(with(&[(list, Fault::Flipped)]));
    assert_eq!((state, accepted(&world)), (RELEASED, 1));
}

#[test]
fn a_digest_that_is_not_computed_yet_is_waited_for_and_one_that_never_comes_needs_a_person() {
    let delays = Delays { hashed: 90_000, ..Delays::default() };
    let (state, world) = settled(Settings { delays, ..settings() });
    assert_eq!((state, accepted(&world), world.count(Kind::Relay)), (RELEASED, 1, 1));

    let world = World::new(settings());
    world.servers[0].borrow_mut().files.values_mut().for_each(|file| file.hashed_at = i64::MAX);
    assert_eq!(settle(&world), stopped(S::Failed, "no-digest"));
    assert!(world.elapsed() < 2 * HOUR);
    assert_eq!(world.count(Kind::Relay), 0);
}

#[test]
fn an_index_that_serves_other_bytes_than_the_lists_say_is_a_conflict() {
    let world = World::new(settings());
    let name = world.parcels[0].filename.to_string();
    world.servers[1].borrow_mut().also_indexed = Some((name, Digest::of(b"others")));
    assert_eq!(settle(&world).0, S::Conflict);
}

#[test]
fn a_conflict_is_called_one_even_when_the_index_cannot_be_read() {
    let world = World::new(settings());
    let goal = world.goals[0].clone();
    world.acts(Outsider::PublishesOther, &goal);
    world.servers[1].borrow_mut().index_closed = Some(503);
    assert_eq!(settle(&world), stopped(S::Conflict, "conflict"));
}

#[test]
fn an_index_that_cannot_be_read_after_the_push_is_never_reported_as_nothing_public() {
    // The world compares every report with what the public has.
    for status in [401, 402, 429, 500] {
        let world = World::new(settings());
        world.servers[1].borrow_mut().index_closed = Some(status);
        assert_eq!(settle(&world).0, S::Failed, "{status}");
        world.servers[1].borrow_mut().index_closed = None;
        assert_eq!(again(&world), RELEASED, "{status}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (1, 1), "{status}");
    }
}

#[test]
fn a_refusal_that_no_retry_mends_is_said_with_its_code_after_one_run() {
    let kinds = settled(settings()).1.kinds.borrow().clone();
    let push = first(Kind::Relay);
    let asks = |kind: Kind| matches!(kind, Kind::Search | Kind::Distributions | Kind::Download | Kind::Relay);
    for (number, kind) in (0..=push).zip(kinds).filter(|(_, kind)| asks(*kind)) {
        for (status, code) in
            [(401, "no-access"), (403, "no-access"), (404, "no-access"), (422, "refused"), (413, "refused")]
        {
            let (state, world) = settled(with(&[(number, Fault::Status(status))]));
            assert_eq!(state, stopped(S::Failed, code), "{status} to {kind:?}");
            assert_eq!((public_bytes(&world), accepted(&world)), (None, 0), "{status} to {kind:?}");
        }
    }
}

#[test]
fn a_cut_off_account_is_shown_and_asked_again_and_nothing_is_lost() {
    let relay = first(Kind::Relay);
    for status in [402, 429] {
        let (state, world) = settled(with(&[(relay, Fault::Status(status))]));
        assert_eq!((state, accepted(&world)), (RELEASED, 1), "{status}");
        assert!(world.elapsed() > HOUR / 4, "{status}: it is left alone for a while");
    }
}

#[test]
fn a_server_that_has_too_much_to_do_is_sent_fewer_packages_at_a_time() {
    let relay = first(Kind::Relay);
    // What breaks on the way says nothing of the server, which takes two.
    for (fault, at_a_time) in [(Fault::Status(503), 1), (Fault::Lost, 2)] {
        let (state, world) = settled(with(&[(relay, fault)]));
        assert_eq!((state, world.count(Kind::Relay)), (RELEASED, 2), "{fault:?}");
        assert_eq!(world.transfers_of("public"), at_a_time, "{fault:?}");
    }
}

#[test]
fn what_was_seen_before_a_leave_that_came_late_is_looked_at_again_before_the_act() {
    let leave = first(Kind::MayAct);
    for (late, sent) in [(vec![], 1), (vec![(leave, Fault::Clock(1001))], 0)] {
        let world = World::new(with(&late));
        let goal = world.goals[0].clone();
        world.meanwhile(Kind::MayAct, move |world| world.acts(Outsider::PublishesSame, &goal));
        assert_eq!(settle(&world), RELEASED, "{late:?}");
        assert_eq!((accepted(&world), world.count(Kind::Relay)), (0, sent), "{late:?}");
    }
}

#[test]
fn a_server_that_stays_down_is_asked_eleven_times_in_twenty_minutes_and_then_a_person_is() {
    let world = World::new(settings());
    world.servers[1].borrow_mut().closed = Some(503);
    assert_eq!(settle(&world), stopped(S::Failed, "unreachable"));
    assert_eq!(world.count(Kind::Search), 2 * 11, "each time staging is asked at the same moment");
    let minutes = world.elapsed() / 60_000;
    assert!((15..25).contains(&minutes), "{minutes} minutes");
}

#[test]
fn a_redirect_to_a_host_that_is_not_configured_is_refused_and_nobody_asks_there() {
    for storage in ["https://evil.test", "https://storage.staging.test.evil.test", "http://storage.staging.test"] {
        let world = World::new(settings());
        world.servers[0].borrow_mut().storage = storage.parse().expect("an address");
        assert_eq!(settle(&world), stopped(S::Failed, "foreign-storage"), "{storage}");
        assert_eq!((public_bytes(&world), accepted(&world)), (None, 0));
    }
}

#[test]
fn a_distro_version_that_the_public_server_does_not_know_is_refused_before_anything_is_sent() {
    let world = World::new(settings());
    world.servers[1].borrow_mut().ids.remove("ubuntu/jammy");
    assert_eq!(settle(&world), stopped(S::Failed, "unknown-distro"));
    assert_eq!((accepted(&world), world.count(Kind::Relay)), (0, 0));
}

#[test]
fn a_file_that_the_server_stores_under_another_name_is_not_called_released_nor_unpublished() {
    let world = World::new(settings());
    world.servers[1].borrow_mut().renames = true;
    assert_eq!(settle(&world), stopped(S::Failed, "renamed"));
    assert_eq!(world.problem(0)["public"], "partly");
    assert_eq!(again(&world).0, S::Failed);
    assert_eq!(accepted(&world), 1);
}

#[test]
fn a_database_error_of_one_target_keeps_no_other_from_running() {
    let kinds = slipway_sim::course::run(Course::RpmCopy.settings(&[])).kinds;
    let commits = (0..).zip(kinds).filter(|(_, kind)| *kind == Kind::PackageCommit);
    for (number, _) in commits {
        let ran = slipway_sim::course::run(Course::RpmCopy.settings(&[(number, Fault::SqlFails)]));
        assert_eq!(ran.violation, None, "boundary {number}");
    }
}

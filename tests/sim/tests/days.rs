//! One package over days, story by story: what becomes of it in staging. A test's name is the story.
//!
//! After every step the world checks what must always hold: see `journal` in the crate. Here is what is particular.

use std::rc::Rc;

use slipway_core::release::TargetState as S;
use slipway_sim::course::Course;
use slipway_sim::deletion;
use slipway_sim::fault::{Kind, Outsider};
use slipway_sim::world::{Deed, NEVER, Settings, World};

const HOUR: i64 = 3_600_000;
/// What the world's configuration says: two hours of age, 72 of notice and 24 of waiting.
const KEPT: i64 = 98 * HOUR;

/// The package staged, and its job about to be played once.
fn settings(deeds: Vec<(i64, Deed)>) -> Settings {
    Settings { keeps: true, lasts: 140 * HOUR, plays_max: 0, deeds, ..Course::DebCopy.settings(&[]) }
}

/// Runs it until nothing moves; every promise must hold on the way.
fn settle(world: &Rc<World>) -> S {
    while world.step() {}
    assert_eq!(world.violation(), None);
    world.check();
    assert_eq!(world.violation(), None);
    world.state(0).0
}

/// Whether staging and the public place have it.
fn places(world: &World) -> (bool, bool) {
    let goal = &world.goals[0];
    (world.here(&goal.staging).is_some(), world.here(&goal.public).is_some())
}

#[test]
fn what_is_released_leaves_staging_when_it_is_old_and_announced_and_has_waited_and_not_before() {
    let world = World::new(settings(vec![]));
    while places(&world).0 && world.step() {}
    assert!((KEPT..KEPT + 8 * HOUR).contains(&world.elapsed()), "{} h", world.elapsed() / HOUR);
    assert_eq!(settle(&world), S::Released);
    assert_eq!((places(&world), world.count(Kind::Delete)), ((false, true), 1));
    let audit = world.audit();
    let steps = ["announced", "marked", "deleting", "deleted"].map(|step| audit.iter().position(|row| row == step));
    assert!(steps.iter().all(Option::is_some) && steps.is_sorted(), "{audit:?}");
}

#[test]
fn what_nobody_has_released_or_given_up_stays_for_ever() {
    let mut settings = settings(vec![]);
    settings.parcels[0].played_after = NEVER;
    let world = World::new(settings);
    assert_eq!(settle(&world), S::Staged);
    assert_eq!((places(&world), world.count(Kind::Delete)), ((true, false), 0));
}

#[test]
fn what_is_given_up_leaves_staging_as_what_is_released_does() {
    let mut settings = settings(vec![(HOUR, Deed::Close(0))]);
    settings.parcels[0].played_after = NEVER;
    let world = World::new(settings);
    assert_eq!(settle(&world), S::Skipped);
    assert_eq!((places(&world), world.count(Kind::Delete)), ((false, false), 1));
}

#[test]
fn what_is_held_at_whatever_step_of_its_deletion_stays() {
    for hours in [1, 50, 90] {
        let world = World::new(settings(vec![(hours * HOUR, Deed::Hold(0))]));
        assert_eq!(settle(&world), S::Released, "{hours}");
        assert_eq!((places(&world), world.count(Kind::Delete)), ((true, true), 0), "{hours}");
    }
}

#[test]
fn what_is_held_does_not_give_way_to_other_bytes_until_the_hold_is_lifted() {
    let gives_way = |lifted_at| {
        let mut settings =
            settings(vec![(HOUR, Deed::Hold(0)), (lifted_at, Deed::Lift(0)), (2 * HOUR, Deed::Replace(0))]);
        settings.deeds.sort_by_key(|(at, _)| *at);
        settings.parcels[0].played_after = NEVER;
        let world = World::new(settings);
        assert_eq!(settle(&world), S::Staged, "{lifted_at}");
        world.points.borrow().contains_key("a build has staged other bytes")
    };
    assert!(!gives_way(3 * HOUR));
    assert!(gives_way(HOUR + 60_000));
}

#[test]
fn what_runs_somewhere_and_what_somebody_wants_kept_stays() {
    for deed in [Deed::Deployed(0), Deed::Extend(0)] {
        let world = World::new(settings(vec![(90 * HOUR, deed)]));
        assert_eq!(settle(&world), S::Released, "{deed:?}");
        assert_eq!((places(&world), world.count(Kind::Delete)), ((true, true), 0), "{deed:?}");
    }
}

#[test]
fn while_a_project_is_stopped_nothing_of_it_is_deleted_and_afterwards_it_goes_on() {
    let world = World::new(settings(vec![(90 * HOUR, Deed::Stop(0))]));
    while world.elapsed() < 130 * HOUR && world.step() {}
    assert_eq!((world.violation(), places(&world), world.count(Kind::Delete)), (None, (true, true), 0));
    let world = World::new(settings(vec![(90 * HOUR, Deed::Stop(0)), (104 * HOUR, Deed::Start(0))]));
    assert_eq!(settle(&world), S::Released);
    assert_eq!((places(&world), world.count(Kind::Delete)), ((false, true), 1));
}

#[test]
fn a_file_that_two_packages_have_leaves_staging_when_both_may_lose_it_and_not_before() {
    let world = World::new(deletion::shared(false));
    assert_eq!(settle(&world), S::Released);
    assert_eq!((places(&world), world.count(Kind::Delete)), ((false, true), 1));
    let world = World::new(deletion::shared(true));
    assert_eq!(settle(&world), S::Released);
    assert_eq!((places(&world), world.count(Kind::Delete)), ((true, true), 0));
}

#[test]
fn what_a_person_deletes_from_staging_by_hand_is_shown_as_missing() {
    let mut settings = settings(vec![]);
    settings.parcels[0].played_after = NEVER;
    let world = World::new(settings);
    let goal = world.goals[0].clone();
    while world.elapsed() < 5 * HOUR && world.step() {}
    world.acts(Outsider::DeletesStaged, &goal);
    assert_eq!(settle(&world), S::Missing);
}

#[test]
fn a_record_that_has_forgotten_a_release_publishes_nothing_twice() {
    let deeds = vec![(5, Deed::Backup), (HOUR, Deed::Restore)];
    let world = World::new(Settings { plays_max: 3, ..settings(deeds) });
    while world.elapsed() < HOUR / 2 && world.step() {}
    assert_eq!((world.state(0).0, world.servers[1].borrow().accepted), (S::Released, 1));
    assert_eq!(settle(&world), S::Released);
    assert_eq!(world.servers[1].borrow().accepted, 1);
    assert!(world.points.borrow().contains_key("a database was restored"));
}

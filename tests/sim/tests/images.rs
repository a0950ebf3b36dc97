//! One image on its way to one public registry, story by story. A test's name is the story.
//!
//! After every step the world checks what must always hold: see `journal` in the crate. Here is what is particular.

use std::rc::Rc;

use slipway_core::release::TargetState as S;
use slipway_sim::course::Course;
use slipway_sim::fault::Kind;
use slipway_sim::image::Made;
use slipway_sim::world::{Settings, World};
use slipway_wire::Digest;

const RELEASED: (S, Option<String>) = (S::Released, None);

/// Runs it until nothing moves; every promise must hold on the way.
fn settle(world: &Rc<World>) -> (S, Option<String>) {
    while world.step() {}
    assert_eq!(world.violation(), None);
    world.check();
    assert_eq!(world.violation(), None);
    world.state(0)
}

/// The image staged, and its job about to be played once.
fn settings(course: Course) -> Settings {
    Settings { plays_max: 0, ..course.settings(&[]) }
}

/// What a tag of the public registry leads to.
fn tagged(world: &World, repository: &str, tag: &str) -> Option<Digest> {
    world.registries[1].borrow().tag(repository, tag).map(|tagged| tagged.digest)
}

#[test]
fn an_approved_image_is_copied_and_its_series_floats_to_it_and_what_is_newer_stays() {
    let world = World::new(settings(Course::ImageCopy));
    let (digest, newest) = (world.goals[0].digest, Made::of(b"the newest").digest);
    assert_eq!(tagged(&world, "harbour/tug", "1.2.0"), None);
    assert_eq!(settle(&world), RELEASED);
    let tags = ["1.2.0", "1.2", "latest"].map(|tag| tagged(&world, "harbour/tug", tag));
    assert_eq!(tags, [Some(digest), Some(digest), Some(newest)]);
    // The layer that every image has was there, of four blobs.
    let counts = [Kind::BlobSend, Kind::ManifestPut, Kind::TagPut].map(|kind| world.count(kind));
    assert_eq!(counts, [3, 3, 2]);
}

#[test]
fn an_image_that_is_beside_its_public_repository_is_mounted() {
    let world = World::new(settings(Course::ImageMount));
    let digest = world.goals[0].digest;
    assert_eq!(settle(&world), RELEASED);
    assert_eq!(tagged(&world, "harbour/buoy", "1.2.0"), Some(digest));
    assert_eq!((world.count(Kind::Mount) > 0, world.count(Kind::BlobSend)), (true, 0), "nothing is sent");
}

#[test]
fn an_image_of_which_another_tag_is_taken_back_meanwhile_gets_no_tag_more_and_ends() {
    for course in [Course::ImageCopy, Course::ImageMount] {
        let world = World::new(settings(course));
        let (repository, _, _) = world.goals[0].public.1.clone();
        // The first of its manifests is on its way by then.
        world.meanwhile(Kind::ManifestPut, |world| world.takes_another_tag_back(0));
        assert_eq!(settle(&world), (S::Failed, Some("withdrawn".to_owned())), "{course:?}");
        assert_eq!((tagged(&world, &repository, "1.2.0"), world.count(Kind::TagPut)), (None, 0), "{course:?}");
    }
}

//! The webhook and the job itself ask for the same package: whoever comes first, it is sent once.

use std::sync::Barrier;
use std::thread;

use serde_json::Value;
use slipway_tests::e2e::{Package, Release, World, deb};

/// An address at which nobody is: the tests send the webhooks themselves, when they want.
const NOBODY: &str = "http://127.0.0.1:9/nobody";

/// A package that is staged, its job played, and its webhook not sent yet.
struct Asked {
    key: String,
    package: Package,
    job: u64,
    webhook: Value,
}

fn played(world: &World, release: &Release, key: &str) -> Asked {
    let (package, job) = release.ready(&deb(key, "", 200_000));
    world.gitlab.play(job, "mira");
    let webhook = world.gitlab.delivery(job, "pending")["body"].clone();
    Asked { key: key.to_owned(), package, job, webhook }
}

fn begin(test: &str) -> (World, Release) {
    let world = World::start(test);
    world.gitlab.point_hook(world.tug().id, NOBODY);
    let release = world.release("1.0.0");
    (world, release)
}

fn is_promoted_once(world: &World, release: &Release, asked: &Asked) {
    release.wait_until_released(&asked.key);
    release.is_public_once(&asked.package);
    assert_eq!(world.rows(release, &asked.key, "approved").len(), 1, "approvals of {}", asked.key);
}

fn send_webhook(world: &World, asked: &Asked) {
    assert_eq!(world.hook(world.tug(), &asked.webhook).status, 202);
}

fn run_command(release: &Release, asked: &Asked) {
    let said = release.slipway(asked.job, &["release", &asked.key]).ended_with(0).text;
    assert!(said.contains(&format!("released: `{}`", asked.key)), "{said}");
}

#[test]
fn whichever_way_of_asking_comes_first_there_is_one_promotion() {
    let (world, release) = begin("both-orders");
    let webhook_first = played(&world, &release, "webhook-first");
    send_webhook(&world, &webhook_first);
    run_command(&release, &webhook_first);

    let command_first = played(&world, &release, "command-first");
    run_command(&release, &command_first);
    send_webhook(&world, &command_first);

    // Hints are looked into in their order: once this one has led to a release, the late one before it was.
    let fence = played(&world, &release, "fence");
    send_webhook(&world, &fence);
    for asked in [&fence, &webhook_first, &command_first] {
        is_promoted_once(&world, &release, asked);
    }
    let via = |asked: &Asked| release.target(&asked.key)["approval"]["via"].clone();
    assert_eq!(via(&command_first), "job", "the job's own approval stands");
}

#[test]
fn asked_for_both_ways_at_the_same_time_there_is_one_promotion() {
    let (world, release) = begin("same-time");
    for round in 0..3 {
        let asked = played(&world, &release, &format!("round-{round}"));
        let together = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                together.wait();
                run_command(&release, &asked);
            });
            together.wait();
            send_webhook(&world, &asked);
        });
        is_promoted_once(&world, &release, &asked);
    }
}

#[test]
fn ten_requests_and_three_webhooks_at_once_make_one_promotion() {
    let (world, release) = begin("ten-at-once");
    for round in 0..3 {
        let asked = played(&world, &release, &format!("crowd-{round}"));
        let session = release.session(asked.job);
        let together = Barrier::new(13);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    together.wait();
                    let answer = release.promote(&session, &[&asked.key]);
                    assert_eq!(answer.status, 202, "asking again is no error: {}", answer.text());
                });
            }
            for _ in 0..3 {
                scope.spawn(|| {
                    together.wait();
                    send_webhook(&world, &asked);
                });
            }
        });
        is_promoted_once(&world, &release, &asked);
    }
}

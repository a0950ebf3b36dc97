//! SIGKILL at any moment, of any process: whatever was acknowledged happens, and it happens once.

use std::net::TcpListener;
use std::thread;

use serde_json::json;
use slipway_tests::e2e::{Package, Process, Release, World, deb, wait_until};

/// The copy moves 1 MiB at a time, so these have three parts.
const BALLAST_BYTES: usize = 2_500_000;

/// When workerd is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The package is staged, and nobody has asked for it.
    Staged,
    /// The webhook was answered; GitLab has not said yet what it is about.
    WebhookAcknowledged,
    /// The job's own request was answered.
    PromotionAcknowledged,
    /// It is approved; the package server cannot be looked at.
    Looking,
    /// Storage has given so many bytes.
    Copying(u64),
    /// Storage has given all bytes but the last.
    CopyingTheLastByte,
    /// The push was accepted, and its answer was lost.
    AnswerLost,
    /// The push was accepted; the index will list it so much later.
    Indexing(u64),
    /// It is released; its webhook comes once more after the start.
    Released,
    /// In the middle of the copy, and then once more while it starts.
    CopyingAndStarting,
}

const MOMENTS: [&[Moment]; 4] = [
    &[Moment::Staged, Moment::Copying(0), Moment::Looking, Moment::Copying(1_048_576)],
    &[Moment::WebhookAcknowledged, Moment::Copying(1), Moment::AnswerLost, Moment::Released],
    &[Moment::Copying(65_536), Moment::PromotionAcknowledged, Moment::Indexing(3_000), Moment::CopyingTheLastByte],
    &[Moment::Copying(1_048_577), Moment::Indexing(500), Moment::CopyingAndStarting, Moment::Copying(2_000_000)],
];

#[test]
fn a_kill_of_workerd_at_any_moment_ends_in_one_push_of_the_right_bytes() {
    thread::scope(|scope| {
        for (number, moments) in MOMENTS.into_iter().enumerate() {
            scope.spawn(move || {
                let mut world = World::start(&format!("kills-{number}"));
                let release = world.release("1.0.0");
                // A killed promotion is taken up again by its watchdog, 20 s later. Meanwhile the next one is killed,
                // and the ones before it with it.
                let killed: Vec<_> = moments
                    .iter()
                    .map(|moment| (moment, release_across_a_kill(&mut world, &release, *moment)))
                    .collect();
                for (moment, (key, package)) in killed {
                    eprintln!("{moment:?}: waiting for {key}");
                    release.wait_until_released(&key);
                    release.is_public_once(&package);
                    assert_eq!(world.rows(&release, &key, "approved").len(), 1, "one approval of {key}, {moment:?}");
                }
            });
        }
    });
}

fn release_across_a_kill(world: &mut World, release: &Release, moment: Moment) -> (String, Package) {
    let key = format!("{moment:?}").to_lowercase().replace(['(', ')'], "");
    let (package, job) = release.ready(&deb(&key, "", BALLAST_BYTES));
    let (depot, gitlab) = (world.depot.clone(), world.gitlab.clone());
    let play = || gitlab.play(job, "mira");
    let kill_in_copy = |world: &mut World, after_bytes: u64| {
        let gate = depot.gate(&package.filename, after_bytes);
        play();
        gate.wait();
        world.kill(Process::Edge);
        gate.open();
    };
    match moment {
        Moment::Staged => {
            world.kill(Process::Edge);
            world.start_again(Process::Edge);
            play();
        }
        Moment::WebhookAcknowledged => {
            gitlab.fail(u32::MAX);
            play();
            assert_eq!(gitlab.delivery(job, "pending")["response_status"], 202);
            world.kill(Process::Edge);
            gitlab.heal();
        }
        Moment::PromotionAcknowledged => {
            gitlab.point_hook(release.project.id, "http://127.0.0.1:9/nobody");
            play();
            let answer = release.promote(&release.session(job), &[&key]);
            world.kill(Process::Edge);
            assert_eq!(answer.status, 202, "{}", answer.text());
            gitlab.point_hook(release.project.id, &world.stack.webhook_url(&release.project));
        }
        Moment::Looking => {
            depot.fault(&json!({"on": "list", "times": 1_000_000, "effect": "fail", "status": 503}));
            play();
            release.wait(&key, &["releasing"]);
            world.kill(Process::Edge);
            depot.heal();
        }
        Moment::Copying(after_bytes) => kill_in_copy(world, after_bytes),
        Moment::CopyingTheLastByte => kill_in_copy(world, package.bytes.len() as u64 - 1),
        Moment::AnswerLost => {
            depot.fault(&json!({"on": "push", "times": 1, "effect": "do-then-fail", "status": 504}));
            play();
            wait_until("the push is in the journal", || !depot.pushes(&package.filename).is_empty());
            world.kill(Process::Edge);
        }
        Moment::Indexing(ms) => {
            depot.index_delay_ms(ms);
            play();
            wait_until("the push is in the journal", || !depot.pushes(&package.filename).is_empty());
            world.kill(Process::Edge);
            depot.index_delay_ms(0);
        }
        Moment::Released => {
            play();
            release.wait_until_released(&key);
            world.kill(Process::Edge);
            world.start_again(Process::Edge);
            assert_eq!(gitlab.resend(&gitlab.delivery(job, "pending"))["response_status"], 202);
        }
        Moment::CopyingAndStarting => {
            kill_in_copy(world, 1_000_000);
            world.start_again(Process::Edge);
            world.kill(Process::Edge);
        }
    }
    world.start_again(Process::Edge);
    (key, package)
}

#[test]
fn a_copy_that_was_cut_off_in_the_middle_leaves_nothing_public_until_it_is_done_again() {
    let mut world = World::start("killed-midway");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 5_000_000));
    let gate = world.depot.gate(&package.filename, 2_500_000);
    world.gitlab.play(job, "mira");
    gate.wait();
    assert_eq!(release.target("cargo")["step"], "copy");
    world.kill(Process::Edge);
    release.is_not_public(&package.filename);

    gate.open();
    world.start_again(Process::Edge);
    release.wait_until_released("cargo");
    release.is_public_once(&package);
}

#[test]
fn a_package_server_that_is_killed_in_the_middle_of_the_copy_has_one_accepted_push_in_the_end() {
    let mut world = World::start("depot-killed");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", BALLAST_BYTES));
    let gate = world.depot.gate(&package.filename, 1_500_000);
    world.gitlab.play(job, "mira");
    gate.wait();
    // Its gates go with it.
    world.kill(Process::Depot);
    release.wait("cargo", &["releasing"]);
    world.start_again(Process::Depot);
    release.wait_until_released("cargo");
    release.is_public_once(&package);
}

#[test]
fn all_three_killed_at_once_lose_nothing() {
    let mut world = World::start("all-killed");
    let release = world.release("1.0.0");
    let (copying, first) = release.ready(&deb("copying", "", BALLAST_BYTES));
    let (waiting, second) = release.ready(&deb("waiting", "", 0));
    let gate = world.depot.gate(&copying.filename, 1_500_000);
    world.gitlab.play(first, "mira");
    gate.wait();
    for process in world.stack.parts() {
        world.kill(process);
    }
    for process in world.stack.parts() {
        world.start_again(process);
    }
    // What GitLab knew of the second job, and staging of its package, is still there.
    world.gitlab.play(second, "mira");
    for (key, package) in [("waiting", waiting), ("copying", copying)] {
        release.wait_until_released(key);
        release.is_public_once(&package);
    }
}

#[test]
fn a_webhook_that_was_acknowledged_while_gitlab_is_down_is_looked_into_when_it_is_back() {
    let mut world = World::start("gitlab-down");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.point_hook(release.project.id, "http://127.0.0.1:9/nobody");
    world.gitlab.play(job, "mira");
    let body = world.gitlab.delivery(job, "pending")["body"].clone();

    // Whoever asks GitLab now is hung up on.
    world.kill(Process::Gitlab);
    let gitlab = world.stack.gitlab_url();
    let phone = TcpListener::bind(gitlab.trim_start_matches("http://")).expect("its port is free now");
    phone.set_nonblocking(true).expect("a listener can be asked without waiting");
    let rings = || wait_until("somebody asks GitLab", || phone.accept().is_ok());
    assert_eq!(world.hook(release.project, &body).status, 202);
    rings();
    rings();
    // It was asked in vain and will be again; the kept hint is all that there is, also after this.
    world.kill(Process::Edge);
    world.start_again(Process::Edge);
    rings();
    assert_eq!(release.target("cargo")["state"], "staged", "nobody has confirmed it yet");

    drop(phone);
    world.start_again(Process::Gitlab);
    let target = release.wait_until_released("cargo");
    assert_eq!(target["approval"]["via"], "webhook");
    release.is_public_once(&package);
}

#![allow(clippy::unchecked_time_subtraction, reason = "days of this table are before others of it")]

use std::collections::BTreeMap;

use super::*;

const DAY: Duration = Duration::from_hours(24);
/// 2026-11-23, 20,780 days after the epoch.
const NOW: Timestamp = Timestamp(20_780 * 86_400_000);
const COUNTED: Duration = Duration::from_hours(24 * 100);

fn ago(days: u32) -> Timestamp {
    NOW - days * DAY
}

fn keeping() -> Keeping {
    Keeping { age: 14 * DAY, keep_newest: 1, abandoned: Some(60 * DAY), notice: 3 * DAY }
}

fn retention() -> Retention {
    Retention { enabled: true, ..Retention::default() }
}

/// A package of a complete release that nothing speaks against.
fn good() -> (Known, Sights) {
    let known = Known {
        ending: Ending::Complete(ago(20)),
        staged_at: Some(ago(21)),
        staged_again_at: None,
        declared_at: Some(ago(21)),
        held_by: None,
        deployed: None,
        is_moving: false,
        is_unsettled: false,
        newer: 1,
        extended_until: None,
        needed_by: None,
        due_with: None,
        progress: Some(Progress { stage: Stage::Marked, counted: COUNTED - 7 * DAY }),
        counted: COUNTED,
    };
    let sights = Sights {
        staging: InStaging::Declared(Some(ago(21))),
        tells_arrival: true,
        public: InPublic::Served,
        elsewhere: Elsewhere::Free,
        clocks_agree: true,
        is_stopped: false,
    };
    (known, sights)
}

fn decided(known: &Known, sights: &Sights) -> Decision {
    decide(known, sights, Some(&keeping()), &retention(), NOW)
}

#[test]
fn a_package_that_nothing_speaks_against_goes_step_by_step() {
    let (mut known, sights) = good();
    assert_eq!(decided(&known, &sights), Decision::Delete(Cause::Complete));
    known.progress = None;
    assert_eq!(decided(&known, &sights), Decision::Announce(Cause::Complete));
    let hour = Duration::from_hours(1);
    for (stage, counted, decision) in [
        (Stage::Announced, 3 * DAY - hour, Decision::Keep(Keep::Notice(hour))),
        (Stage::Announced, 3 * DAY, Decision::Mark(Cause::Complete)),
        (Stage::Marked, 7 * DAY - hour, Decision::Keep(Keep::Waits(hour))),
        (Stage::Marked, 7 * DAY, Decision::Delete(Cause::Complete)),
    ] {
        known.progress = Some(Progress { stage, counted: COUNTED - counted });
        assert_eq!(decided(&known, &sights), decision);
    }
}

/// Each thing that may speak against a deletion, alone.
#[test]
fn every_single_reason_keeps_a_package() {
    type Spoil = fn(&mut Known, &mut Sights);
    let other = Digest::of(b"other");
    let reasons: &[(Spoil, Keep)] = &[
        (|known, _| known.is_moving = true, Keep::Moving),
        (|known, _| known.is_unsettled = true, Keep::Unsettled),
        (|known, _| known.held_by = Some("user:mira".to_owned()), Keep::Held("user:mira".to_owned())),
        (|known, _| known.deployed = Some("production".to_owned()), Keep::Deployed("production".to_owned())),
        (|known, _| known.extended_until = Some(NOW + DAY), Keep::Extended(NOW + DAY)),
        (|known, _| known.staged_at = None, Keep::NeverStaged),
        (|known, _| known.staged_at = Some(ago(13)), Keep::Young(ago(13) + 14 * DAY)),
        (|known, _| known.staged_again_at = Some(ago(13)), Keep::Young(ago(13) + 14 * DAY)),
        (|known, _| known.ending = Ending::Complete(ago(13)), Keep::Young(ago(13) + 14 * DAY)),
        (|known, _| known.ending = Ending::Closed(ago(13)), Keep::Young(ago(13) + 14 * DAY)),
        (
            |known, _| {
                known.staged_at = Some(ago(70));
                known.declared_at = Some(ago(20));
                known.ending = Ending::Open(ago(59));
            },
            Keep::Young(ago(59) + 60 * DAY),
        ),
        (|known, _| known.newer = 0, Keep::AmongNewest(1)),
        (|known, _| known.needed_by = Some("1.3.0/a".to_owned()), Keep::NeededBy("1.3.0/a".to_owned())),
        (|_, sights| sights.staging = InStaging::Other(Digest::of(b"other")), Keep::OtherBytes(other)),
        (|_, sights| sights.staging = InStaging::Declared(Some(ago(22))), Keep::Foreign),
        (|known, _| known.declared_at = None, Keep::Foreign),
        (|_, sights| sights.public = InPublic::NotServed, Keep::NotServed),
        (|_, sights| sights.elsewhere = Elsewhere::Needed("buoy".to_owned()), Keep::NeededElsewhere("buoy".to_owned())),
        (|_, sights| sights.staging = InStaging::Unread, Keep::StagingUnread),
        (|_, sights| sights.staging = InStaging::Nothing, Keep::NotShown),
        (|_, sights| sights.staging = InStaging::WithoutDigest, Keep::NoDigest),
        (|_, sights| sights.staging = InStaging::Declared(None), Keep::NoArrival),
        (|_, sights| sights.public = InPublic::Unread, Keep::PublicUnread),
        (|_, sights| sights.elsewhere = Elsewhere::Unread, Keep::ElsewhereUnread),
        (|_, sights| sights.clocks_agree = false, Keep::ClockInDoubt),
        (|_, sights| sights.is_stopped = true, Keep::Stopped),
    ];
    for (spoil, keep) in reasons {
        let (mut known, mut sights) = good();
        spoil(&mut known, &mut sights);
        let takes_back = keep.takes_back();
        let wanted = if takes_back { Decision::TakeBack(keep.clone()) } else { Decision::Keep(keep.clone()) };
        assert_eq!(decided(&known, &sights), wanted, "{keep:?}");
        // Of what was not announced there is nothing to take back.
        known.progress = None;
        assert_eq!(decided(&known, &sights), Decision::Keep(keep.clone()), "{keep:?}");
    }
    let (known, sights) = good();
    assert_eq!(decide(&known, &sights, None, &retention(), NOW), Decision::TakeBack(Keep::NoRoute));
    let off = Retention::default();
    assert_eq!(decide(&known, &sights, Some(&keeping()), &off, NOW), Decision::Keep(Keep::SwitchedOff));
    let never = Keeping { abandoned: None, ..keeping() };
    let open = Known { ending: Ending::Open(ago(10_000)), ..known };
    assert_eq!(decide(&open, &sights, Some(&never), &retention(), NOW), Decision::TakeBack(Keep::Open));
}

/// The rules of the contract, said a second time: a staged package is deleted only when its release is complete or closed,
/// or counts as abandoned, and so on. Every combination of everything that is known is held to them.
#[test]
#[allow(clippy::too_many_lines, reason = "one line for each thing that may be so or otherwise")]
fn of_all_combinations_only_those_delete_against_which_nothing_speaks() {
    let yes_no = [false, true];
    let endings = [
        // Ending, whether the route has a rule for abandoned ones, and whether it may be deleted by that.
        (Ending::Complete(ago(20)), true, Some(Cause::Complete)),
        (Ending::Complete(ago(2)), true, None),
        (Ending::Closed(ago(20)), true, Some(Cause::Closed)),
        (Ending::Closed(ago(2)), true, None),
        (Ending::Open(ago(61)), true, Some(Cause::Abandoned)),
        (Ending::Open(ago(61)), false, None),
        (Ending::Open(ago(2)), true, None),
    ];
    let stagings = [
        (InStaging::Unread, false),
        (InStaging::Nothing, false),
        (InStaging::WithoutDigest, false),
        (InStaging::Other(Digest::of(b"other")), false),
        (InStaging::Declared(None), false),
        (InStaging::Declared(Some(ago(71))), false),
        (InStaging::Declared(Some(ago(70))), true),
    ];
    let publics = [(InPublic::Unread, false), (InPublic::NotServed, false), (InPublic::Served, true)];
    let elsewheres = [
        (Elsewhere::Unread, false),
        (Elsewhere::Needed("buoy".to_owned()), false),
        (Elsewhere::NotYet("buoy".to_owned()), true),
        (Elsewhere::Free, true),
    ];
    let passed = |stage, days: u32| Some(Progress { stage, counted: COUNTED - days * DAY });
    let steps = [
        (None, "announce"),
        (passed(Stage::Announced, 2), "keep"),
        (passed(Stage::Announced, 3), "mark"),
        (passed(Stage::Marked, 6), "keep"),
        (passed(Stage::Marked, 7), "delete"),
    ];
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut combinations: u64 = 0;
    for (ending, rule, cause) in endings {
        let keeping = Keeping { abandoned: rule.then_some(60 * DAY), ..keeping() };
        for bits in 0_u32..128 {
            let is = |bit: u32| bits >> bit & 1 == 1;
            let (is_moving, is_unsettled, held, deployed) = (is(0), is(1), is(2), is(3));
            let (extended, newest, needed) = (is(4), is(5), is(6));
            let keeps_by_record = bits != 0;
            for (staging, is_ours) in stagings {
                for (public, is_served) in publics {
                    for (elsewhere, is_free) in &elsewheres {
                        for clocks_agree in yes_no {
                            for is_stopped in yes_no {
                                for enabled in yes_no {
                                    for (progress, step) in steps {
                                        let known = Known {
                                            ending,
                                            staged_at: Some(ago(70)),
                                            staged_again_at: None,
                                            declared_at: Some(ago(70)),
                                            held_by: held.then(|| "user:mira".to_owned()),
                                            deployed: deployed.then(|| "production".to_owned()),
                                            is_moving,
                                            is_unsettled,
                                            newer: u32::from(!newest),
                                            extended_until: extended.then_some(NOW + DAY),
                                            needed_by: needed.then(|| "1.3.0/a".to_owned()),
                                            due_with: None,
                                            progress,
                                            counted: COUNTED,
                                        };
                                        let sights = Sights {
                                            staging,
                                            tells_arrival: true,
                                            public,
                                            elsewhere: elsewhere.clone(),
                                            clocks_agree,
                                            is_stopped,
                                        };
                                        let retention = Retention { enabled, ..Retention::default() };
                                        let decision = decide(&known, &sights, Some(&keeping), &retention, NOW);
                                        let may = cause.is_some()
                                            && !keeps_by_record
                                            && is_ours
                                            && is_served
                                            && *is_free
                                            && clocks_agree
                                            && !is_stopped
                                            && enabled;
                                        let (got, by) = match &decision {
                                            Decision::Announce(cause) => ("announce", Some(*cause)),
                                            Decision::Mark(cause) => ("mark", Some(*cause)),
                                            Decision::Delete(cause) => ("delete", Some(*cause)),
                                            Decision::Keep(_) => ("keep", None),
                                            Decision::TakeBack(_) => ("take back", None),
                                        };
                                        let is_against = cause.is_none() || keeps_by_record;
                                        let wanted = match (may, is_against) {
                                            // Who lets it go later has it announced and marked, and no more.
                                            (true, _) if step == "delete" && *elsewhere != Elsewhere::Free => "keep",
                                            (true, _) => step,
                                            (false, true) if progress.is_some() => "take back",
                                            // What is only seen takes back too, where it is a fact.
                                            (false, _) if got == "take back" => {
                                                assert!(progress.is_some());
                                                assert!(
                                                    matches!(
                                                        staging,
                                                        InStaging::Other(_) | InStaging::Declared(Some(_))
                                                    ) && !is_ours
                                                        || public == InPublic::NotServed
                                                        || matches!(elsewhere, Elsewhere::Needed(_))
                                                );
                                                "take back"
                                            }
                                            (false, _) => "keep",
                                        };
                                        assert_eq!(got, wanted, "{known:?} {sights:?} {enabled}");
                                        assert!(by.is_none() || by == cause, "{known:?}");
                                        *counts.entry(got).or_default() += 1;
                                        combinations += 1;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    // 7 endings, 7 yes or no of the record, 7 sights of staging, 3 of the public, 4 of others, 3 of the run, 5 steps.
    assert_eq!(combinations, 7 * 128 * 7 * 3 * 4 * 8 * 5);
    // Three endings may delete: one combination of everything else does; two mark, two announce.
    assert_eq!((counts["delete"], counts["mark"], counts["announce"]), (3, 6, 6));
}

#[test]
fn a_registry_that_keeps_no_time_of_arrival_is_believed_about_the_digest() {
    let (known, sights) = good();
    let sights = Sights { staging: InStaging::Declared(None), tells_arrival: false, ..sights };
    assert_eq!(decided(&known, &sights), Decision::Delete(Cause::Complete));
}

#[test]
fn a_clock_that_jumps_adds_no_more_than_two_runs_and_one_in_doubt_adds_nothing() {
    let year = Duration::from_hours(24 * 365);
    for (last, agree, counted) in [
        (None, true, Duration::ZERO),
        (Some(NOW - RUN), true, RUN),
        (Some(NOW - 10 * year), true, 2 * RUN),
        (Some(NOW + 10 * year), true, Duration::ZERO),
        (Some(NOW - RUN), false, Duration::ZERO),
    ] {
        assert_eq!(tick(last, NOW, agree), counted, "{last:?} {agree}");
    }
}

#[test]
fn clocks_agree_when_each_server_says_the_same_time_and_none_ran_backwards() {
    let near = Some(NOW + Duration::from_secs(200));
    let far = Some(NOW + Duration::from_secs(400));
    let behind = Some(NOW - Duration::from_secs(400));
    let hour_ago = Some(NOW - RUN);
    for (last, servers, agree) in [
        (hour_ago, vec![near], true),
        (None, vec![near, Some(NOW)], true),
        (hour_ago, vec![near, far], false),
        (hour_ago, vec![behind], false),
        (hour_ago, vec![None], false),
        (hour_ago, vec![], false),
        (Some(NOW + Duration::from_secs(1)), vec![near], false),
    ] {
        assert_eq!(clocks_agree(last, NOW, &servers), agree, "{last:?} {servers:?}");
    }
}

#[test]
fn a_run_stays_within_its_limits_and_a_file_that_is_larger_than_them_goes_alone() {
    let retention = Retention { files_per_run: 3, bytes_per_run: crate::config::Bytes(100), ..retention() };
    for (sizes, taken) in [
        (vec![], 0),
        (vec![10, 10, 10], 3),
        (vec![10, 10, 10, 10], 3),
        (vec![60, 40, 1], 2),
        (vec![60, 41], 1),
        (vec![500, 1], 1),
        (vec![1, 500], 1),
        (vec![1, 500, 1], 1),
        (vec![u64::MAX, u64::MAX], 1),
    ] {
        let mut run = Taken::default();
        assert_eq!(sizes.iter().filter(|size| run.takes(**size, &retention)).count(), taken, "{sizes:?}");
    }
}

#[test]
fn the_earliest_deletion_is_known_as_soon_as_its_release_has_ended() {
    let (known, _) = good();
    let at = |known: &Known| expires_at(known, Some(&keeping()), &retention(), NOW);
    let step = |stage, days: u32| Some(Progress { stage, counted: COUNTED - days * DAY });
    for (change, expires) in [
        (Known { progress: None, ..known.clone() }, Some(NOW + 10 * DAY)),
        (Known { progress: step(Stage::Announced, 1), ..known.clone() }, Some(NOW + 9 * DAY)),
        (Known { progress: step(Stage::Marked, 5), ..known.clone() }, Some(NOW + 2 * DAY)),
        // In four days it is old enough.
        (Known { progress: None, ending: Ending::Complete(ago(10)), ..known.clone() }, Some(NOW + 14 * DAY)),
        (Known { progress: None, extended_until: Some(NOW + 5 * DAY), ..known.clone() }, Some(NOW + 15 * DAY)),
        (
            Known {
                progress: None,
                extended_until: Some(NOW + 2 * DAY),
                ending: Ending::Complete(ago(10)),
                ..known.clone()
            },
            Some(NOW + 14 * DAY),
        ),
        (Known { held_by: Some("user:mira".to_owned()), ..known.clone() }, None),
        (Known { newer: 0, ..known.clone() }, None),
    ] {
        assert_eq!(at(&change), expires, "{change:?}");
    }
    let never = Keeping { abandoned: None, ..keeping() };
    let open = Known { ending: Ending::Open(ago(100)), ..known };
    assert_eq!(expires_at(&open, Some(&never), &retention(), NOW), None);
}

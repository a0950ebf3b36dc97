//! What an operator's monitoring reads: the numbers of every project and place, each with its name.
//!
//! A part that does not answer is shown by `slipway_answers`, so that its numbers are missed and not taken for zero.

use serde::{Deserialize, Serialize};
use slipway_core::metrics::{Family, Kind};
use slipway_core::stop::Word;
use slipway_ledger::Measured;

use crate::account;

/// The numbers of one project's object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredProject {
    /// Those of its record.
    pub record: Measured,
    /// How long ago its alarm should have come. Zero while it is on time, or there is nothing to do.
    pub alarm_late_seconds: u64,
    /// For how long the oldest row of the audit has been under no signed head. `None` where nothing is signed.
    #[serde(default)]
    pub audit_unsigned_seconds: Option<u64>,
}

/// What all parts say of themselves, by their names. `None`: it did not answer.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// The projects.
    pub projects: Vec<(String, Option<MeasuredProject>)>,
    /// The places.
    pub places: Vec<(String, Option<account::Measured>)>,
    /// How many bytes a place's plan has room for, where the operator has said so.
    pub limits: Vec<(String, u64)>,
    /// How the switch stands that stops everything, and how many projects have not heard of that.
    pub switch: Option<(Word, u64)>,
}

/// One number of a project, and of a place.
type Number = fn(&MeasuredProject) -> u64;
type Place = fn(&account::Measured) -> u64;

fn gauge(name: &'static str, help: &'static str) -> Family {
    Family::new(name, Kind::Gauge, help)
}

fn counter(name: &'static str, help: &'static str) -> Family {
    Family::new(name, Kind::Counter, help)
}

/// The numbers, in a fixed order.
pub fn families(deployment: &Deployment) -> Vec<Family> {
    let Deployment { projects, places, switch, .. } = deployment;

    let mut answers = gauge("slipway_answers", "Whether a part of the edge has answered: 1, or 0.");
    for (name, numbers) in projects {
        answers.add(&[("part", "project"), ("name", name)], u64::from(numbers.is_some()));
    }
    for (name, numbers) in places {
        answers.add(&[("part", "place"), ("name", name)], u64::from(numbers.is_some()));
    }
    answers.add(&[("part", "directory"), ("name", "")], u64::from(switch.is_some()));
    let mut families = vec![answers];
    if let Some((word, untold)) = switch {
        families.push(
            gauge("slipway_stopped", "Whether everything is stopped: nothing is published or deleted.")
                .with(&[], u64::from(word.stopped.is_some())),
        );
        families.push(
            gauge("slipway_stop_unheard", "Projects that have not heard how the switch stands.").with(&[], *untold),
        );
    }

    of_projects(deployment, &mut families);
    of_places(deployment, &mut families);
    families
}

/// Those of every project that has answered.
fn of_projects(deployment: &Deployment, families: &mut Vec<Family>) {
    let Deployment { projects, .. } = deployment;
    let known = || projects.iter().filter_map(|(name, numbers)| Some((name.as_str(), numbers.as_ref()?)));
    let mut by = |mut family: Family, label: &'static str, of: &dyn Fn(&MeasuredProject) -> Vec<(String, u64)>| {
        for (project, numbers) in known() {
            for (value, count) in of(numbers) {
                family.add(&[("project", project), (label, &value)], count);
            }
        }
        families.push(family);
    };
    let pairs = |map: &std::collections::BTreeMap<String, u64>| map.iter().map(|(a, b)| (a.clone(), *b)).collect();
    by(gauge("slipway_targets", "Targets, by their states."), "state", &|of| pairs(&of.record.targets));
    by(gauge("slipway_problems", "Targets that are not further, by the codes of their problems."), "code", &|of| {
        pairs(&of.record.problems)
    });
    by(counter("slipway_attempts_total", "What was tried, by how it ended."), "ended", &|of| {
        pairs(&of.record.attempts)
    });
    by(gauge("slipway_retention", "What staging has and will be deleted, by how far that is."), "stage", &|of| {
        pairs(&of.record.retention)
    });
    by(counter("slipway_deletions_total", "Deletions from staging, by what became of them."), "ended", &|of| {
        pairs(&of.record.deletions)
    });
    by(gauge("slipway_withdrawals", "What was to be taken back, by how far it is."), "state", &|of| {
        pairs(&of.record.withdrawals)
    });
    by(gauge("slipway_staged_bytes", "Bytes that are staged, as declared."), "place", &|of| {
        pairs(&of.record.staged_bytes)
    });

    let mut unsigned =
        gauge("slipway_audit_unsigned_seconds", "How long the oldest row of the audit is under no signed head.");
    for (project, of) in known() {
        if let Some(seconds) = of.audit_unsigned_seconds {
            unsigned.add(&[("project", project)], seconds);
        }
    }
    families.push(unsigned);

    let numbers: [(Family, Number); 16] = [
        (gauge("slipway_oldest_moving_seconds", "How long the target that is longest on its way is."), |of| {
            of.record.oldest_moving_seconds
        }),
        (gauge("slipway_hints_waiting", "What webhooks pointed at and nobody has looked into."), |of| of.record.hints),
        (gauge("slipway_oldest_hint_seconds", "How long the oldest of them has waited."), |of| {
            of.record.oldest_hint_seconds
        }),
        (gauge("slipway_orders_waiting", "Approved packages that their objects have not taken."), |of| {
            of.record.orders
        }),
        (gauge("slipway_notices_waiting", "Outgoing events that are not delivered."), |of| of.record.notices),
        (gauge("slipway_statuses_waiting", "Commit statuses that are not told."), |of| of.record.statuses),
        (gauge("slipway_attestations_waiting", "Attestations that are not signed or not attached."), |of| {
            of.record.attestations
        }),
        (counter("slipway_withdrawals_total", "Targets that were taken back."), |of| {
            of.record.withdrawals.get("withdrawn").copied().unwrap_or_default()
        }),
        (counter("slipway_approvals_total", "Approvals."), |of| of.record.approvals),
        (counter("slipway_refusals_total", "Jobs that were refused a package."), |of| of.record.refusals),
        (counter("slipway_audit_rows_total", "Rows of the audit."), |of| of.record.audit_rows),
        (gauge("slipway_holds", "Holds."), |of| of.record.holds),
        (gauge("slipway_releases", "Releases."), |of| of.record.releases),
        (gauge("slipway_open_releases", "Releases that are not closed."), |of| of.record.open_releases),
        (gauge("slipway_project_stopped", "Whether nothing of the project is published or deleted."), |of| {
            u64::from(of.record.is_stopped)
        }),
        (gauge("slipway_alarm_late_seconds", "How long ago the project's alarm should have come."), |of| {
            of.alarm_late_seconds
        }),
    ];
    for (mut family, number) in numbers {
        for (project, of) in known() {
            family.add(&[("project", project)], number(of));
        }
        families.push(family);
    }
}

/// Those of every place that has answered, and what the operator has said of places.
fn of_places(deployment: &Deployment, families: &mut Vec<Family>) {
    let Deployment { places, limits, .. } = deployment;
    let mut limit =
        gauge("slipway_staged_bytes_limit", "Bytes that a place's plan has room for, of all projects together.");
    for (place, bytes) in limits {
        limit.add(&[("place", place)], *bytes);
    }
    families.push(limit);

    let numbers: [(Family, Place); 4] = [
        (gauge("slipway_transfers", "Transfers that run to a place."), |of| of.lent),
        (gauge("slipway_transfers_waiting", "Those who wait for one."), |of| of.waiting),
        (gauge("slipway_transfers_limit", "How many may run at a time now; 0 where nobody has sent yet."), |of| {
            of.limit
        }),
        (gauge("slipway_place_cut_off", "Whether the server has cut the account off."), |of| u64::from(of.is_cut_off)),
    ];
    for (mut family, number) in numbers {
        for (place, of) in places.iter().filter_map(|(name, numbers)| Some((name, numbers.as_ref()?))) {
            family.add(&[("place", place)], number(of));
        }
        families.push(family);
    }

    let mut endings = counter("slipway_transfers_ended_total", "Transfers to a place that ended, by what it said.");
    let mut strangers = gauge("slipway_strangers", "Strangers in a public repository.");
    let mut read = gauge("slipway_repository_read_seconds", "How long ago a repository was last read whole.");
    for (place, of) in places.iter().filter_map(|(name, numbers)| Some((name, numbers.as_ref()?))) {
        for (ended, count) in &of.endings {
            endings.add(&[("place", place), ("ended", ended)], *count);
        }
        for (repository, of) in &of.repositories {
            let labels = [("place", place.as_str()), ("repository", repository.as_str())];
            strangers.add(&labels, of.strangers);
            if let Some(seconds) = of.read_seconds_ago {
                read.add(&labels, seconds);
            }
        }
    }
    families.extend([endings, strangers, read]);
}

#[cfg(test)]
mod tests {
    use slipway_core::metrics::text;

    use super::*;

    #[test]
    fn a_part_that_does_not_answer_is_shown_and_has_no_numbers() {
        let silent = Deployment {
            projects: vec![("tug".to_owned(), Some(MeasuredProject::default())), ("pilot".to_owned(), None)],
            ..Deployment::default()
        };
        let text = text(&families(&silent));
        assert!(text.contains("slipway_answers{part=\"project\",name=\"pilot\"} 0\n"), "{text}");
        assert!(text.contains("slipway_holds{project=\"tug\"} 0\n") && !text.contains("{project=\"pilot\"}"), "{text}");
        assert!(!text.contains("slipway_stopped "), "nobody knows whether it is stopped");
    }

    #[test]
    fn what_is_staged_in_a_place_can_be_summed_over_projects_and_held_against_what_its_plan_has_room_for() {
        let staged = |bytes| {
            let mut measured = MeasuredProject::default();
            measured.record.staged_bytes = [("staging".to_owned(), bytes)].into();
            Some(measured)
        };
        let both = Deployment {
            projects: vec![("tug".to_owned(), staged(3)), ("pilot".to_owned(), staged(4))],
            limits: vec![("staging".to_owned(), 50)],
            ..Deployment::default()
        };
        let text = text(&families(&both));
        for line in [
            "slipway_staged_bytes{project=\"tug\",place=\"staging\"} 3\n",
            "slipway_staged_bytes{project=\"pilot\",place=\"staging\"} 4\n",
            "slipway_staged_bytes_limit{place=\"staging\"} 50\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn an_audit_that_is_not_signed_in_time_has_a_number_and_one_that_nobody_signs_has_none() {
        let project = |seconds| Some(MeasuredProject { audit_unsigned_seconds: seconds, ..MeasuredProject::default() });
        let both = Deployment {
            projects: vec![("tug".to_owned(), project(Some(0))), ("pilot".to_owned(), project(None))],
            ..Deployment::default()
        };
        let text = text(&families(&both));
        assert!(text.contains("slipway_audit_unsigned_seconds{project=\"tug\"} 0\n"), "{text}");
        assert!(!text.contains("slipway_audit_unsigned_seconds{project=\"pilot\"}"), "{text}");
    }

    #[test]
    fn strangers_deletions_and_what_was_taken_back_have_numbers() {
        let mut project = MeasuredProject::default();
        project.record.deletions = [("deleted".to_owned(), 5), ("not-deleted".to_owned(), 1)].into();
        project.record.withdrawals = [("withdrawn".to_owned(), 2), ("not_withdrawn".to_owned(), 1)].into();
        let of = account::MeasuredRepository { strangers: 3, read_seconds_ago: None };
        let place = account::Measured {
            endings: [("busy".to_owned(), 4)].into(),
            repositories: [("acme/stable".to_owned(), of)].into(),
            ..account::Measured::default()
        };
        let text = text(&families(&Deployment {
            projects: vec![("tug".to_owned(), Some(project))],
            places: vec![("public".to_owned(), Some(place))],
            ..Deployment::default()
        }));
        for line in [
            "slipway_deletions_total{project=\"tug\",ended=\"deleted\"} 5\n",
            "slipway_deletions_total{project=\"tug\",ended=\"not-deleted\"} 1\n",
            "slipway_withdrawals_total{project=\"tug\"} 2\n",
            "slipway_withdrawals{project=\"tug\",state=\"not_withdrawn\"} 1\n",
            "slipway_strangers{place=\"public\",repository=\"acme/stable\"} 3\n",
            "slipway_transfers_ended_total{place=\"public\",ended=\"busy\"} 4\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("slipway_repository_read_seconds{"), "it was never read whole: {text}");
    }

    /// Those of the isolate that answers: the Worker counts them by itself.
    const OF_AN_ISOLATE: [&str; 2] = ["slipway_refused_total", "slipway_answered_total"];

    #[test]
    fn every_number_is_in_the_operators_page_and_every_row_of_its_table_is_of_one() {
        let page = include_str!("../../../docs/operators/metrics-and-logs.md");
        let rows = page.lines().filter(|line| line.starts_with("| `slipway_") && !line.contains(['>', '=']));
        let named = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
        let named: std::collections::BTreeSet<&str> = named.collect();
        let (by, reason, at) = (String::new(), String::new(), slipway_core::time::Timestamp(0));
        let word = Word { number: 0, stopped: None, by, reason, at };
        let text = text(&families(&Deployment { switch: Some((word, 0)), ..Deployment::default() }));
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        assert_eq!(named, types.chain(OF_AN_ISOLATE).collect());
    }

    #[test]
    fn no_name_stands_twice_and_each_counter_is_called_a_total() {
        let text = text(&families(&Deployment::default()));
        let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        for (index, line) in types.iter().enumerate() {
            let (name, kind) = line.split_once(' ').expect("name and kind");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(!types[..index].iter().any(|other| other.split(' ').next() == Some(name)), "{name}");
        }
    }
}

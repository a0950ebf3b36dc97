//! What pages are told: the same as a release's own page, without rendering it.

use std::time::Duration;

use slipway_core::api::{Glance, Step};
use slipway_core::query::ActivityQuery;
use slipway_core::release::ReleaseState;
use slipway_core::verdict::{needs_a_person, package_state};

use super::super::Sent;
use super::*;
use crate::sql::Value;

const HOUR: Duration = Duration::from_hours(1);

/// The configuration, with gates.
fn config(gates: &str) -> Config {
    Config::parse(&format!("{CONFIG}\n{gates}")).expect("a configuration")
}

fn release(record: &Record<Database>, config: &Config, version: &Version, now: Timestamp) -> api::Release {
    let release = record.release(config, &config.projects[0], version, &Sent::default(), now);
    release.expect("rows").expect("a release")
}

fn glance(record: &Record<Database>, config: &Config, now: Timestamp) -> Glance {
    record.glance(config, &config.projects[0], 50, now).expect("a glance")
}

/// A release of these packages, each for two distro versions, staged at a time.
fn staged_release(record: &Record<Database>, version: &str, keys: &[&str], pipeline: u64, now: Timestamp) -> Version {
    let version: Version = version.parse().expect("a version");
    let policy = policy();
    for name in keys {
        let mut plan = planned(None);
        plan[0].key = name.parse().expect("a key");
        plan[0].expect.release_job = format!("release: [{name}]");
        plan[0].expect.environment = format!("release/{name}");
        let noble = OrderTarget { distro: "ubuntu/noble".to_owned(), ..plan[0].targets[0].clone() };
        plan[0].targets.push(noble);
        plan[0].expect.distros.push("ubuntu/noble".to_owned());
        record.expect(&version, &session(pipeline, "aa"), &policy, Maturity::Final, &plan, now).expect("a plan");
        let bytes = format!("{version} {name}");
        let file = api::StagedFile { filename: format!("{name}_{version}_amd64.deb"), ..file(bytes.as_bytes()) };
        record.declare(&version, &plan[0].key, &file, false, &session(pipeline, "aa"), now).expect("declared");
        for distro in [JAMMY, "ubuntu/noble"] {
            record
                .seen_in_staging(&version, &plan[0].key, distro, &file.digest, &Sight::Declared, now)
                .expect("a look");
        }
    }
    version
}

/// A target is in a state, whatever it was before.
fn puts(
    record: &Record<Database>,
    version: &Version,
    name: &str,
    distro: &str,
    state: TargetState,
    problem: Option<Code>,
) {
    let problem = problem.map(|code| code.problem("It is so.".to_owned(), Visible::Unknown, None));
    let problem = problem.map(|problem| serde_json::to_string(&problem).expect("JSON"));
    let to: [Value; 5] = [state.code().into(), problem.into(), version.as_str().into(), name.into(), distro.into()];
    let put = "UPDATE targets SET state = ?, problem = ? WHERE version = ? AND key = ? AND distro = ?";
    record.sql().query(put, &to).expect("a row");
    record.touch(version).expect("a row");
}

/// What the glance must say of a release, by the release's own rendering.
fn is_told_the_same(glance: &Glance, release: &api::Release) {
    let told = glance.releases.iter().find(|one| one.version == release.version).expect("it is told of");
    assert_eq!((told.state, &told.verdict), (release.state, &release.verdict));
    let state = |package: &api::Package| package_state(package.targets.iter().map(|target| target.state));
    let count = |wanted: &dyn Fn(&api::Package) -> bool| {
        u32::try_from(release.packages.iter().filter(|package| wanted(package)).count()).expect("few")
    };
    assert_eq!(told.released, count(&|package| state(package) == TargetState::Released), "{}", release.version);
    assert_eq!(told.all, count(&|package| state(package) != TargetState::Skipped));
    let needs = |target: &api::Target| needs_a_person(target.state, target.problem.as_ref());
    let ready = count(&|package| {
        let is_unknown =
            |target: &api::Target| target.problem.as_ref().is_some_and(|problem| problem.code == "unknown");
        state(package) == TargetState::Staged
            && package.blocked.is_empty()
            && !package.targets.iter().any(|target| needs(target) || is_unknown(target))
    });
    assert_eq!(told.ready, if release.state == ReleaseState::Closed { 0 } else { ready }, "{}", release.version);
    let named = |targets: &[api::GlanceTarget]| -> Vec<String> {
        let line = |of: &api::GlanceTarget| format!("{} {} {} {:?}", of.key, of.target, of.state.code(), of.what);
        targets.iter().map(line).collect()
    };
    let shown = |wanted: &dyn Fn(&api::Target) -> bool| -> Vec<String> {
        let of = |package: &api::Package| -> Vec<String> {
            let wanted =
                package.targets.iter().filter(|target| release.state != ReleaseState::Closed && wanted(target));
            let what = |target: &api::Target| target.problem.as_ref().map(|problem| problem.what.clone());
            let line = |target: &api::Target| {
                format!("{} {} {} {:?}", package.key, target.name(), target.state.code(), what(target))
            };
            wanted.map(line).collect()
        };
        release.packages.iter().flat_map(of).collect()
    };
    assert_eq!(named(&told.needs), shown(&needs));
    assert_eq!(named(&told.moving), shown(&|target| target.state.is_moving() && !needs(target)));
}

/// Numbers that look random, and are the same each time.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % below
    }
}

#[test]
fn a_glance_says_of_each_release_what_its_own_page_says() {
    let gates = "[[gates]]\nkeys = [\"a\"]\nsoak = \"2h\"\n[[gates]]\nversions = [\"*.1\"]\nnewest = \"all\"\n\
                 [[gates]]\nkeys = [\"b\"]\nstaged = true";
    let problems = [None, None, Some(Code::Trouble), Some(Code::NotServed), Some(Code::Blocked)];
    for seed in 0..40 {
        let (record, config) = (record(), config(if seed % 3 == 0 { "" } else { gates }));
        let mut number = numbers(seed);
        let mut now = NOW;
        let mut versions = Vec::new();
        for minor in 0..5_u32 {
            let version = staged_release(&record, &format!("1.{minor}.1"), &["a", "b", "c"], 7 + u64::from(minor), now);
            now = now + HOUR;
            versions.push(version);
        }
        for round in 0..12 {
            let version = &versions[number(versions.len())];
            let (name, distro) = (["a", "b", "c"][number(3)], [JAMMY, "ubuntu/noble"][number(2)]);
            let problem = problems[number(problems.len())];
            puts(&record, version, name, distro, TargetState::ALL[number(11)], problem);
            match number(12) {
                0 => drop(record.hold(version, None, "user:nell", "wait", Some(now + HOUR), now)),
                1 => drop(record.hold(version, Some(&[name.parse().expect("a key")]), "user:nell", "wait", None, now)),
                2 if round > 8 => drop(record.close(version, "user:mira", "another one follows", now)),
                3 if seed % 4 == 0 => drop(record.stop("operator", "the disk is full", now)),
                4 => now = now + Duration::from_mins(20),
                _ => {}
            }
            // What was kept of the gates a moment ago must hold still.
            for now in [now, now + Duration::from_mins(90)] {
                let glance = glance(&record, &config, now);
                assert_eq!(glance.releases.len(), 5, "newest first");
                assert!(glance.releases.windows(2).all(|two| two[0].version > two[1].version));
                for version in &versions {
                    is_told_the_same(&glance, &release(&record, &config, version, now));
                }
            }
        }
    }
}

#[test]
fn what_is_staged_and_goes_within_a_day_is_told_as_what_needs_a_person() {
    for (left, told) in [(Duration::from_hours(24), true), (Duration::from_hours(24) + Duration::from_millis(1), false)]
    {
        let (record, config) = (record(), config(""));
        let version = staged_release(&record, "1.2.0", &["a", "b"], 7, NOW);
        let now = NOW + HOUR;
        let announce = "INSERT INTO retention (version, key, digest, stage, cause, counted, expires_at)
                        SELECT version, key, digest, 'announced', 'released', 0, ? FROM packages WHERE key = 'a'";
        record.sql().query(announce, &[(now + left).0.into()]).expect("a row");
        puts(&record, &version, "a", JAMMY, TargetState::Released, None);

        let release = &glance(&record, &config, now).releases[0];
        let needs: Vec<_> =
            release.needs.iter().map(|of| format!("{} {} {:?}", of.key, of.target, of.expires_at)).collect();
        let expected = format!("a ubuntu/noble {:?}", Some((now + left).to_string()));
        assert_eq!(needs, if told { vec![expected] } else { Vec::new() }, "what is public already is nobody's concern");
        assert_eq!(release.ready, 2, "both are still to be released");
    }
}

#[test]
fn a_glance_has_as_many_releases_as_are_asked_for_and_fifty_at_most() {
    let (record, config) = (record(), config(""));
    for minor in 0..55 {
        let now = NOW + Duration::from_mins(minor);
        staged_release(&record, &format!("1.{minor}.0"), &["a"], 7 + minor, now);
    }
    for (asked, told, oldest) in [(3, 3, "1.52.0"), (50, 50, "1.5.0"), (500, 50, "1.5.0"), (0, 0, "")] {
        let glance = record.glance(&config, &config.projects[0], asked, NOW + HOUR).expect("a glance");
        let last = glance.releases.last().map_or(String::new(), |release| release.version.to_string());
        assert_eq!((glance.releases.len(), last.as_str()), (told, oldest));
    }
    let newest = &glance(&record, &config, NOW + HOUR).releases[0];
    assert_eq!(newest.changed_at, (NOW + Duration::from_mins(54)).to_string(), "when it was staged");
}

// ---- what was done ----

fn activity(record: &Record<Database>, query: &ActivityQuery, count: u64) -> api::Activity {
    record.activity(&config("").projects[0], query, count, NOW).expect("rows")
}

fn sequences(activity: &api::Activity) -> Vec<u64> {
    activity.rows.iter().map(|row| row.sequence).collect()
}

/// Rows as `actor action subject`, a minute each.
fn audited(rows: &[(&str, &str, &str)]) -> Record<Database> {
    let record = record();
    for (minute, (actor, action, subject)) in (0_u32..).zip(rows) {
        let [actor, action, subject] = [actor, action, subject].map(|text| (*text).to_owned());
        let at = NOW + Duration::from_mins(1) * minute;
        let details = format!("{{\"row\":{minute}}}");
        append(record.sql(), &Event { at, actor, action, subject, details }).expect("a row");
    }
    record
}

#[test]
fn an_activity_has_the_newest_rows_first_and_those_alone_that_are_asked_for() {
    let record = audited(&[
        ("job:81 user:mira", "planned", "1.2.0"),
        ("edge", "staged", "1.2.0/jammy-amd64"),
        ("user:mira", "held", "1.2.0"),
        ("user:samira", "held", "1.2.0-rc1"),
        ("webhook job:81", "approved", "1.2.0/jammy-amd64"),
        ("edge", "staged", "1.2.0/jammy-amd64-debug"),
        ("operator", "stopped", "project"),
        ("edge", "missing", "1.2.05/jammy-amd64"),
    ]);
    let text = |text: &str| Some(text.to_owned());
    let some = |query: ActivityQuery| sequences(&activity(&record, &query, 200));
    let query = ActivityQuery::default;
    assert_eq!(some(query()), [8, 7, 6, 5, 4, 3, 2, 1]);
    // A user name alone is whoever it stands for, and nobody whose name ends so.
    assert_eq!(some(ActivityQuery { actor: text("mira"), ..query() }), [3, 1]);
    assert_eq!(some(ActivityQuery { actor: text("job:81 user:mira"), ..query() }), [1]);
    assert_eq!(some(ActivityQuery { actor: text("edge"), ..query() }), [8, 6, 2]);
    assert_eq!(some(ActivityQuery { action: text("held"), ..query() }), [4, 3]);
    assert_eq!(some(ActivityQuery { subject: text("1.2.0"), ..query() }), [6, 5, 3, 2, 1]);
    assert_eq!(some(ActivityQuery { subject: text("1.2.0/jammy-amd64"), ..query() }), [5, 2]);
    assert_eq!(some(ActivityQuery { subject: text("1.2"), ..query() }), [0; 0]);
    assert_eq!(some(ActivityQuery { subject: text("%"), ..query() }), [0; 0], "no sign stands for another");
    let minute = |minute: u32| Some(NOW + Duration::from_mins(1) * minute);
    assert_eq!(some(ActivityQuery { from: minute(2), to: minute(5), ..query() }), [5, 4, 3], "the end is not in it");
    assert_eq!(some(ActivityQuery { before: Some(3), ..query() }), [2, 1]);
    assert_eq!(some(ActivityQuery { action: text("staged"), subject: text("1.2.0"), before: Some(6), ..query() }), [2]);
    let row = activity(&record, &query(), 200).rows.remove(1);
    assert_eq!((row.actor.as_str(), row.details.as_str()), ("operator", "{\"row\":6}"));
}

#[test]
fn an_activity_that_has_more_says_where_it_goes_on_whether_it_found_any_or_not() {
    let record = audited(&[("edge", "staged", "1.2.0"); 5]);
    let first = activity(&record, &ActivityQuery::default(), 2);
    assert_eq!((sequences(&first), first.older), (vec![5, 4], Some(4)));
    let next = activity(&record, &ActivityQuery { before: first.older, ..ActivityQuery::default() }, 2);
    assert_eq!((sequences(&next), next.older), (vec![3, 2], Some(2)));
    let last = activity(&record, &ActivityQuery { before: next.older, ..ActivityQuery::default() }, 2);
    assert_eq!((sequences(&last), last.older), (vec![1], None));
    let all = activity(&record, &ActivityQuery::default(), 5);
    assert_eq!((all.rows.len(), all.older), (5, None), "as many as there are");

    // A row that stands beyond what one answer looks at is found by asking again.
    let long = audited(&[("user:nell", "held", "1.2.0")]);
    let fill = "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20001)
        INSERT INTO audit SELECT i, 0, 'edge', 'staged', '1.2.0/k', '{}', '', '' FROM n";
    long.sql().query(fill, &[]).expect("rows");
    let nells = ActivityQuery { actor: Some("nell".to_owned()), ..ActivityQuery::default() };
    let none = activity(&long, &nells, 200);
    assert_eq!((sequences(&none), none.older), (vec![], Some(2)), "20,000 rows were looked at");
    let found = activity(&long, &ActivityQuery { before: none.older, ..nells }, 200);
    assert_eq!((sequences(&found), found.older), (vec![1], None));
}

#[test]
fn a_timeline_has_the_rows_of_a_package_of_its_release_and_of_the_switches_since_that_was_planned() {
    let record = record();
    let happened = |at: Timestamp, action: &str, subject: &str| {
        let [actor, action, subject] = ["operator", action, subject].map(str::to_owned);
        append(record.sql(), &Event { at, actor, action, subject, details: "{}".to_owned() }).expect("a row");
    };
    happened(NOW - HOUR, "stopped", "project");
    happened(NOW - HOUR, "started", "project");
    let version = staged_release(&record, "1.2.0", &["jammy-amd64"], 7, NOW);
    for (action, subject) in [
        ("stopped", "everything"),
        ("held", "1.2.0"),
        ("held", "1.2.0-rc1"),
        ("failed", "1.2.0/jammy-amd64-debug"),
        ("failed", "1.1.0/jammy-amd64"),
        ("adopted", "depot:harbour/stable"),
        ("started", "everything"),
    ] {
        happened(NOW + HOUR, action, subject);
    }
    let timeline = record.timeline(&version, &"jammy-amd64".parse().expect("a key")).expect("rows");
    let told: Vec<(&str, &str)> = timeline.iter().map(|row| (row.action.as_str(), row.subject.as_str())).collect();
    assert_eq!(
        told,
        [
            ("started", "everything"),
            ("held", "1.2.0"),
            ("stopped", "everything"),
            ("staged", "1.2.0/jammy-amd64"),
            ("staged", "1.2.0/jammy-amd64"),
            ("declared", "1.2.0/jammy-amd64"),
            ("planned", "1.2.0"),
        ]
    );
    let of_none = record.timeline(&"3.0.0".parse().expect("a version"), &"jammy-amd64".parse().expect("a key"));
    assert_eq!(of_none.expect("rows"), []);
}

// ---- what runs where ----

#[test]
fn what_runs_now_stands_before_what_ran_and_each_says_who_has_told_of_it() {
    let (record, config) = (record(), config(""));
    let one = staged_release(&record, "1.0.0", &["a"], 7, NOW);
    let two = staged_release(&record, "1.1.0", &["a"], 8, NOW);
    let at = |hours: u32| NOW + HOUR * hours;
    record.deployed(&one, None, "production", "job:9 user:mira", None, at(1)).expect("a row");
    record.deployed(&one, Some(7), "staging", "edge", None, at(2)).expect("a row");
    record.deployed(&two, None, "production", "job:10 user:nell", None, at(3)).expect("a row");
    // Told late: the other release has come to run there since.
    record.deployed(&two, Some(8), "staging", "edge", Some(at(1)), at(4)).expect("a row");
    let told = record.deployments(&config, &config.projects[0], at(5)).expect("rows");
    let rows: Vec<_> = told
        .rows
        .iter()
        .map(|row| (row.environment.as_str(), row.version.as_str(), row.is_current, row.by.as_str(), row.at.clone()))
        .collect();
    assert_eq!(
        rows,
        [
            ("production", "1.1.0", true, "job:10 user:nell", at(3).to_string()),
            ("staging", "1.0.0", true, "edge", at(2).to_string()),
            ("production", "1.0.0", false, "job:9 user:mira", at(1).to_string()),
            ("staging", "1.1.0", false, "edge", at(4).to_string()),
        ]
    );
    let urls: Vec<_> = told.rows.iter().map(|row| row.pipeline_url.as_deref()).collect();
    let url = |id: u64| format!("https://gitlab.example.com/harbour/tug/-/pipelines/{id}");
    let (seven, eight) = (url(7), url(8));
    assert_eq!(urls, [None, Some(seven.as_str()), None, Some(eight.as_str())]);
}

#[test]
fn who_told_of_a_deployment_is_known_of_those_that_were_there_before_it_was_kept() {
    let steps = super::super::schema::STEPS;
    let until = steps.iter().position(|step| step[0].contains("TABLE kept_back")).expect("the step that this is about");
    let sql = Database::in_memory();
    migrate(&sql, &steps[..until]).expect("the schema of before");
    let event = |subject: &str, environment: &str, actor: &str| Event {
        at: NOW,
        actor: actor.to_owned(),
        action: "deployed".to_owned(),
        subject: subject.to_owned(),
        details: serde_json::json!({ "environment": environment, "pipeline": null }).to_string(),
    };
    append(&sql, &event("1.2.0", "production", "job:9 user:mira")).expect("a row");
    append(&sql, &event("1.2.0", "staging", "edge")).expect("a row");
    for environment in ["production", "staging", "elsewhere"] {
        sql.query(
            "INSERT INTO deployments (version, environment, pipeline_id, at) VALUES ('1.2.0', ?, 0, ?)",
            &[environment.into(), NOW.0.into()],
        )
        .expect("a row");
    }
    let record = Record::open(sql).expect("the schema of today");
    let config = config("");
    let told = record.deployments(&config, &config.projects[0], NOW).expect("rows");
    let rows: Vec<_> = told.rows.iter().map(|row| (row.environment.as_str(), row.by.as_str())).collect();
    assert_eq!(rows, [("elsewhere", ""), ("production", "job:9 user:mira"), ("staging", "edge")]);
}

// ---- against the public ----

#[test]
fn a_release_stands_beside_the_nearest_earlier_one_of_which_something_is_public() {
    let (record, config) = (record(), config(""));
    let at = |hours: u32| NOW + HOUR * hours;
    let released = |version: &Version, names: &[&str]| {
        for name in names {
            puts(&record, version, name, JAMMY, TargetState::Released, None);
        }
    };
    let old = staged_release(&record, "17.2.4", &["a", "b", "gone"], 1, at(0));
    released(&old, &["a", "b", "gone"]);
    let other_series = staged_release(&record, "17.3.0", &["a"], 2, at(1));
    released(&other_series, &["a"]);
    let staged_only = staged_release(&record, "17.2.5", &["a", "b"], 3, at(2));
    let own = staged_release(&record, "17.2.6", &["a", "b", "new"], 4, at(3));
    let later = staged_release(&record, "17.2.7", &["a"], 5, at(4));
    released(&later, &["a"]);

    let against = record.against(&config.projects[0], &own, None, at(5)).expect("rows").expect("a release");
    assert_eq!(against.before.as_ref(), Some(&old), "not what is staged alone, of another series, or later");
    let version = |fact: &Option<api::FileFact>| fact.as_ref().map(|fact| fact.version.to_string());
    let rows: Vec<_> =
        against.rows.iter().map(|row| (row.key.as_str(), version(&row.staged), version(&row.public))).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        [
            ("a", text("17.2.6"), text("17.2.4")),
            ("b", text("17.2.6"), text("17.2.4")),
            ("gone", None, text("17.2.4")),
            ("new", text("17.2.6"), None),
        ]
    );
    let fact = against.rows[0].staged.as_ref().expect("it is staged");
    assert_eq!((fact.name.as_str(), fact.digest), ("a_17.2.6_amd64.deb", Digest::of(b"17.2.6 a")));
    assert_eq!((fact.size, &fact.depends), (8, &None), "nobody was asked");

    // A package that the nearest has not released is held against the one before that.
    released(&staged_only, &["a"]);
    let against = record.against(&config.projects[0], &own, None, at(5)).expect("rows").expect("a release");
    assert_eq!(against.before.as_ref(), Some(&staged_only));
    let public: Vec<_> = against.rows.iter().map(|row| (row.key.as_str(), version(&row.public))).collect();
    assert_eq!(public, [("a", text("17.2.5")), ("b", text("17.2.4")), ("new", None)]);

    let one = record.against(&config.projects[0], &own, Some(&"b".parse().expect("a key")), at(5)).expect("rows");
    assert_eq!(one.expect("a release").rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["b"]);
    let first = record.against(&config.projects[0], &old, None, at(5)).expect("rows").expect("a release");
    assert_eq!((first.before, first.rows.iter().all(|row| row.public.is_none())), (None, true));
    assert_eq!(record.against(&config.projects[0], &"9".parse().expect("a version"), None, NOW).expect("rows"), None);
}

#[test]
fn a_package_is_asked_for_where_it_is_by_the_record_and_nowhere_else() {
    let record = record();
    let one = staged_release(&record, "1.0.0", &["a"], 7, NOW);
    let key: Key = "a".parse().expect("a key");
    let at = |is_public: bool| {
        let at = record.whereabouts(&one, &key, is_public).expect("rows");
        at.map(|at| (at.site.repository, at.target, at.cargo.to_string()))
    };
    let staged = Some(("harbour-ci/pre-release".to_owned(), JAMMY.to_owned(), "a_1.0.0_amd64.deb".to_owned()));
    assert_eq!((at(false), at(true)), (staged, None));
    puts(&record, &one, "a", "ubuntu/noble", TargetState::Released, None);
    let public = ("harbour/stable".to_owned(), "ubuntu/noble".to_owned(), "a_1.0.0_amd64.deb".to_owned());
    assert_eq!(at(true), Some(public));
}

// ---- the very job ----

#[test]
fn a_package_leads_to_its_very_job_once_its_number_is_known_and_to_the_newest_of_its_name() {
    let (record, config) = (record(), config(""));
    stage(&record);
    let url = |record: &Record<Database>| release(record, &config, &version(), NOW).packages[0].job_url.clone();
    let job = |id: u64| Some(format!("https://gitlab.example.com/harbour/tug/-/jobs/{id}"));
    assert_eq!(url(&record), None);
    assert_eq!(record.unlisted_pipelines(NOW).expect("rows"), [7]);
    let lists = |jobs: &[(u64, &str)]| record.jobs_listed(7, jobs.iter().copied()).expect("rows").len();
    let name = "release: [jammy-amd64]";
    let before = record.sequence(&version()).expect("a number");
    assert_eq!(lists(&[(80, "build"), (82, name), (81, name)]), 1);
    assert_eq!(url(&record), job(82), "the newest of its name");
    assert!(record.sequence(&version()).expect("a number") > before, "those who follow it look again");
    assert_eq!(lists(&[(81, name), (82, name)]), 0, "that is known");
    assert_eq!(url(&record), job(82));
    assert_eq!(lists(&[(90, name)]), 1, "a retry is another job");
    assert_eq!(url(&record), job(90));
    let kept = record.sql().query("SELECT COUNT(*) FROM manual_jobs", &[]).expect("a row");
    assert_eq!(kept[0].natural(0).expect("a number"), 1, "jobs that release nothing are not kept");
}

#[test]
fn the_jobs_of_a_pipeline_are_listed_once_and_again_when_a_webhook_names_another() {
    let record = record();
    plan(&record);
    assert_eq!(record.unlisted_pipelines(NOW).expect("rows"), [0; 0], "nothing of it can be released yet");
    record.declare(&version(), &key(), &file(b"deb"), false, &session(7, "aa"), NOW).expect("a declaration");
    sees(&record, b"deb", &Sight::Declared);
    let due = |now: Timestamp| record.unlisted_pipelines(now).expect("rows");
    assert_eq!(due(NOW), [7]);
    record.lists_pipeline(7, NOW).expect("a row");
    assert_eq!((due(NOW + HOUR * 24), record.lacks_job(7).expect("rows")), (vec![], true), "once");
    let name = "release: [jammy-amd64]";
    record.jobs_listed(7, [(81, name)]).expect("rows");
    assert_eq!((due(NOW + HOUR), record.lacks_job(7).expect("rows")), (vec![], false), "it is known");

    let minute = NOW + Duration::from_mins(1);
    let hears = |pipeline_id: u64, id: u64, name: &str| {
        let named = super::super::Named::Jobs { pipeline_id, jobs: vec![(id, name.to_owned())] };
        record.keep_hints("d", &[named], NOW).expect("kept")
    };
    for (pipeline, id, name) in [(7, 81, name), (7, 80, name), (7, 99, "build"), (8, 99, name)] {
        assert_eq!(hears(pipeline, id, name), super::super::Kept::NotNeeded, "{pipeline} {id} {name}");
        assert_eq!(due(minute), [0; 0]);
    }
    assert_eq!(hears(7, 82, name), super::super::Kept::Kept);
    assert_eq!(due(Timestamp(minute.0 - 1)), [0; 0], "once a minute, whatever is told of it");
    assert_eq!(due(minute), [7]);
    let config = config("");
    let url = release(&record, &config, &version(), NOW).packages[0].job_url.clone();
    assert_eq!(
        url.as_deref(),
        Some("https://gitlab.example.com/harbour/tug/-/jobs/81"),
        "what it says is not believed"
    );
    let hints = record.sql().query("SELECT COUNT(*) FROM hints", &[]).expect("a row");
    assert_eq!(hints[0].natural(0).expect("a number"), 0, "no job is looked into for it");
    record.lists_pipeline(7, minute).expect("a row");
    assert_eq!(due(minute + HOUR * 24), [0; 0]);
}

#[test]
fn a_package_says_what_it_is_and_its_copy_how_fast_it_is() {
    let (record, config) = (record(), config(""));
    let mut plan = planned(None);
    plan[0].expect.architecture = Some("amd64".to_owned());
    record.expect(&version(), &session(7, "aa"), &policy(), Maturity::Final, &plan, NOW).expect("a plan");
    let file = api::StagedFile { size: 1000, ..file(b"deb") };
    record.declare(&version(), &key(), &file, false, &session(7, "aa"), NOW).expect("a declaration");
    sees(&record, b"deb", &Sight::Declared);
    ask(&record).expect("it is approved");
    let step = Report { step: Some(Step::Copy), ..Report::of(JAMMY, TargetState::Releasing) };
    record.settle(&version(), &key(), 1, &step, &Digest::of(b"deb"), NOW).expect("a report");
    let mut sent = Sent::default();
    for second in 0..=4_u32 {
        sent.told(version(), key(), JAMMY.to_owned(), u64::from(second) * 100, NOW + Duration::from_secs(1) * second);
    }
    let now = NOW + Duration::from_secs(4);
    let read = |sent: &Sent| {
        let release = record.release(&config, &config.projects[0], &version(), sent, now).expect("rows");
        release.expect("a release").packages.remove(0)
    };
    let package = read(&sent);
    assert_eq!((package.kind, package.architecture.as_deref()), (Kind::Deb, Some("amd64")));
    // 400 of 1000 bytes in four seconds: six more.
    assert_eq!(package.targets[0].bytes, Some(400));
    let pace = api::Pace { bytes_per_second: 100, ends_at: (now + Duration::from_secs(6)).to_string() };
    assert_eq!(package.targets[0].pace, Some(pace));
    sent.forget(&version(), &key(), JAMMY);
    assert_eq!((read(&sent).targets[0].bytes, &read(&sent).targets[0].pace), (None, &None));
}

// ---- how the record is ----

#[test]
fn a_record_says_what_it_waits_for_and_when_whoever_it_is_made_of_answered_last() {
    let (record, config) = (record(), config(""));
    stage(&record);
    let standing = || record.standing(&config.projects[0], 3).expect("rows");
    let before = standing();
    assert_eq!((before.hints_open, before.sockets, before.last_webhook_at), (0, 3, None));
    assert_eq!((before.oldest_hint_at, before.sources), (None, vec![]));

    let at = |seconds: u64| NOW + Duration::from_secs(seconds);
    let job =
        |id: u64| super::super::Named::Job { id, pipeline_id: Some(7), name: "release: [jammy-amd64]".to_owned() };
    record.keep_hints("one", &[job(81)], at(5)).expect("kept");
    record.keep_hints("two", &[job(82)], at(50)).expect("kept");
    let seen = standing();
    assert_eq!((seen.hints_open, seen.oldest_hint_at), (2, Some(at(5).to_string())));
    assert_eq!(seen.last_webhook_at, Some(at(50).to_string()));

    record.heard_from(Origin::Place("depot"), None, at(60)).expect("a row");
    record.heard_from(Origin::Gitlab, None, at(61)).expect("a row");
    record.heard_from(Origin::Place("gitlab"), Some("it is away"), at(62)).expect("a row");
    // An answer a few seconds later is no news.
    record.heard_from(Origin::Gitlab, None, at(70)).expect("a row");
    let source = |place: Option<&str>, read: Option<u64>, trouble: Option<&str>| api::Source {
        place: place.map(str::to_owned),
        read_at: read.map(|seconds| at(seconds).to_string()),
        trouble: trouble.map(str::to_owned),
    };
    let sources = || standing().sources;
    let (depot, away) = (source(Some("depot"), Some(60), None), source(Some("gitlab"), None, Some("it is away")));
    assert_eq!(sources(), [source(None, Some(61), None), depot.clone(), away.clone()]);
    record.heard_from(Origin::Gitlab, Some("the connection broke"), at(71)).expect("a row");
    let broke = source(None, Some(61), Some("the connection broke"));
    assert_eq!(sources(), [broke, depot.clone(), away.clone()], "it says since when");
    record.heard_from(Origin::Gitlab, None, at(72)).expect("a row");
    assert_eq!(sources(), [source(None, Some(72), None), depot, away]);
}

#[test]
fn what_a_place_that_has_not_answered_for_a_quarter_of_an_hour_says_is_unknown_and_is_not_to_be_played() {
    let (record, config) = (record(), config(""));
    let version = staged_release(&record, "1.2.0", &["a", "b", "c", "d"], 7, NOW);
    puts(&record, &version, "b", JAMMY, TargetState::Released, None);
    puts(&record, &version, "c", JAMMY, TargetState::Failed, Some(Code::NotServed));
    puts(&record, &version, "d", JAMMY, TargetState::Releasing, None);
    for name in ["b", "c", "d"] {
        puts(&record, &version, name, "ubuntu/noble", TargetState::Skipped, None);
    }
    let heard = |minutes: u64, trouble: Option<&str>| {
        let now = NOW + Duration::from_mins(minutes);
        let before = record.sequence(&version).expect("a row");
        let has_turned = record.heard_from(Origin::Place("depot"), trouble, now).expect("a row");
        assert_eq!(record.sequence(&version).expect("a row") != before, has_turned, "whoever follows looks again");
        let release = release(&record, &config, &version, now);
        is_told_the_same(&glance(&record, &config, now), &release);
        let problems = release.packages.iter().flat_map(|package| &package.targets).map(|target| {
            let code = target.problem.as_ref().map_or("", |problem| problem.code.as_str());
            format!("{} {code}", target.state.code()).trim().to_owned()
        });
        (has_turned, problems.collect::<Vec<_>>().join(", "), release)
    };
    let known = "staged, staged, released, skipped, failed not-served, skipped, releasing, skipped";
    for (minutes, trouble) in [(0, None), (10, Some("it does not answer")), (15, Some("it does not answer"))] {
        let (has_turned, problems, _) = heard(minutes, trouble);
        assert_eq!((has_turned, problems.as_str()), (false, known), "after {minutes} minutes");
    }
    let (has_turned, problems, release) = heard(16, Some("it answered 502"));
    let unknown =
        "staged unknown, staged unknown, released unknown, skipped, failed not-served, skipped, releasing, skipped";
    assert_eq!((has_turned, problems.as_str()), (true, unknown));
    let problem = |package: usize| release.packages[package].targets[0].problem.clone().expect("a problem");
    assert_eq!(
        problem(0).what,
        "`depot` has not been read since 2026-11-23 00:00:00 UTC; what is shown was so then. It answered 502."
    );
    assert_eq!(problem(0).retry, "automatic");
    assert!(!heard(26, Some("it answered 502")).0, "nothing has changed since");
    let (has_turned, problems, _) = heard(27, None);
    assert_eq!((has_turned, problems.as_str()), (true, known), "one answer is enough");
}

#[test]
fn whether_anything_is_public_is_unknown_while_the_public_place_is_unread_and_not_while_staging_alone_is() {
    let config = config("");
    let shown = |silent: &[&str]| {
        let record = record();
        let version = staged_release(&record, "1.2.0", &["a", "b", "c"], 7, NOW);
        record.sql().query("UPDATE packages SET staging_place = 'annex'", &[]).expect("a place of its own");
        puts(&record, &version, "b", JAMMY, TargetState::Expected, None);
        puts(&record, &version, "c", JAMMY, TargetState::Released, None);
        let later = NOW + Duration::from_mins(16);
        for place in ["annex", "depot"] {
            record.heard_from(Origin::Place(place), None, NOW).expect("a row");
            let trouble = silent.contains(&place).then_some("it does not answer");
            record.heard_from(Origin::Place(place), trouble, later).expect("a row");
        }
        let release = release(&record, &config, &version, later);
        let problems = release.packages.iter().map(|package| {
            let Some(problem) = &package.targets[0].problem else { return "known".to_owned() };
            assert_eq!(problem.code, "unknown");
            let (place, _) = problem.what.split_once(" has not been read").expect("it says which");
            format!("{place} {}", problem.public)
        });
        problems.collect::<Vec<_>>().join(", ")
    };
    // In this order: staged, expected, released.
    assert_eq!(shown(&[]), "known, known, known");
    assert_eq!(shown(&["annex"]), "`annex` none, `annex` none, known");
    assert_eq!(shown(&["depot"]), "`depot` unknown, known, `depot` unknown");
    assert_eq!(shown(&["annex", "depot"]), "`annex` unknown, `annex` unknown, `depot` unknown");
}

// ---- what a glance costs ----

/// A database that counts what it is asked.
struct Counting {
    sql: Database,
    asked: std::cell::RefCell<Vec<String>>,
}

impl Sql for Counting {
    fn query(&self, statement: &str, values: &[Value]) -> Result<Vec<crate::sql::Row>, crate::sql::SqlError> {
        self.asked.borrow_mut().push(statement.split_whitespace().collect::<Vec<_>>().join(" "));
        self.sql.query(statement, values)
    }

    fn atomically<T, E: From<crate::sql::SqlError>>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.sql.atomically(work)
    }
}

/// Fifty releases of sixty targets, all in a state.
fn fifty_releases_of_sixty_targets(state: TargetState) -> Record<Counting> {
    let sql = Counting { sql: Database::in_memory(), asked: std::cell::RefCell::default() };
    let record = Record::open(sql).expect("a fresh record");
    let fill = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49)
        INSERT INTO releases (version, created_at, sequence, policy) SELECT '1.' || i || '.0', ?1 + i, 1, 'p' FROM n";
    record.sql().query(fill, &[NOW.0.into()]).expect("releases");
    let fill = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59)
        INSERT INTO targets (version, key, distro, public_place, public_repository, state, since)
        SELECT r.version, 'key-' || i, 'ubuntu/jammy', 'depot', 'harbour/stable', ?1, ?2 FROM n, releases r";
    record.sql().query(fill, &[state.code().into(), NOW.0.into()]).expect("targets");
    let fill = "INSERT INTO packages (version, key, pipeline_id, release_job, environment, staging_place, staging_repository,
            filename, digest, size, staged_at, first_staged_at)
        SELECT version, key, 7, key, key, 'depot', 'harbour-ci/pre-release', key || '_1_amd64.deb', ?1, 3, ?2, ?2 FROM targets";
    record.sql().query(fill, &[Digest::of(b"deb").to_string().into(), NOW.0.into()]).expect("packages");
    record
}

#[test]
fn a_glance_over_fifty_releases_asks_each_table_once() {
    let config = config("");
    let record = fifty_releases_of_sixty_targets(TargetState::Released);
    record.sql().asked.borrow_mut().clear();
    let glance = record.glance(&config, &config.projects[0], 50, NOW + HOUR).expect("a glance");
    assert!(glance.releases.iter().all(|release| (release.released, release.all) == (60, 60)));
    let asked = record.sql().asked.take();
    // The releases; their targets by number, those that wait, those that are looked at; what is announced; the
    // places that do not answer; and the switch.
    assert_eq!(asked.len(), 7, "{asked:#?}");
}

#[test]
fn a_glance_asks_the_gates_of_what_waits_once_and_not_again_while_nothing_changes() {
    let config = config("[[gates]]\nsoak = \"2h\"");
    let record = fifty_releases_of_sixty_targets(TargetState::Staged);
    let asks = |now: Timestamp| {
        record.sql().asked.borrow_mut().clear();
        let glance = record.glance(&config, &config.projects[0], 50, now).expect("a glance");
        let ready: Vec<u32> = glance.releases.iter().map(|release| release.ready).collect();
        assert!(ready.windows(2).all(|two| two[0] == two[1]));
        (record.sql().asked.borrow().len(), ready[0])
    };
    let (first, ready) = asks(NOW + HOUR);
    assert!(first > 50 * 60 && ready == 0, "each package is asked about: {first}, {ready}");
    // Of each release that waits: who holds it, and what its gates said.
    assert_eq!(asks(NOW + HOUR), (7 + 2 * 50, 0));
    assert_eq!(asks(Timestamp((NOW + HOUR * 2).0 - 1)), (7 + 2 * 50, 0));
    // The soak has ended: they are asked again, and the answer is kept for good.
    let (turned, ready) = asks(NOW + HOUR * 2);
    assert!(turned > 50 * 60 && ready == 60, "{turned}, {ready}");
    assert_eq!(asks(NOW + HOUR * 999), (7 + 2 * 50, 60));
}

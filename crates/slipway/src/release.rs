//! `slipway release`: packages of one or several versions are made public, and followed.
//!
//! A job asks the edge, and its ID token proves who asks. A person plays the release jobs with their own token of GitLab, so that
//! GitLab decides who may, and the record names them; this command never tells the edge to release anything for a person.

use futures_util::future::join_all;
use slipway_core::api::{OverrideRequest, Package, PromotionRequest, Release, Stopped};
use slipway_core::audit::person;
use slipway_core::release::Key;

use crate::args::{self, Which};
use crate::dry_run;
use crate::edge::Edge;
use crate::exit::{Exit, Failure};
use crate::follow::{Follow, list};
use crate::gates;
use crate::gitlab::Gitlab;
use crate::host;
use crate::play::{Fate, Plays, fate};
use crate::say::Say;
use crate::settings::Settings;
use crate::status::minute;

/// Who releases.
pub(crate) enum Releaser {
    /// This job.
    Job,
    /// A person, with a token that may play jobs. `None` is enough to look at what would be done.
    Person(Option<Gitlab>),
}

/// One version's part of the command.
struct Part<'a> {
    settings: &'a Settings,
    which: &'a Which,
    releaser: &'a Releaser,
    options: &'a args::Release,
    say: Say,
    end_ms: f64,
    label: String,
}

/// Runs the command: the releases as they were seen last, and what is wrong with any of them.
pub(crate) async fn release(
    options: &args::Release,
    settings: &[(Settings, Which)],
    releaser: &Releaser,
    say: Say,
) -> (Vec<Release>, Result<(), Failure>) {
    let is_one = settings.len() == 1;
    let parts = settings.iter().map(|(settings, which)| Part {
        settings,
        which,
        releaser,
        options,
        say: Say { plain: say.plain || !is_one, ..say },
        end_ms: host::now_ms() + f64::from(options.timeout_s) * 1000.0,
        label: if is_one { String::new() } else { format!("{}  ", settings.version) },
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let ended = join_all(parts.iter().map(Part::run)).await;
    let mut failures = Vec::new();
    let mut seen = Vec::new();
    for (release, result) in ended {
        seen.extend(release);
        failures.extend(result.err());
    }
    let result = match failures.len() {
        0 => Ok(()),
        1 if is_one => Err(failures.swap_remove(0)),
        number => Err(Failure::all(format!("{number} of {} versions are not released", settings.len()), failures)),
    };
    (seen, result)
}

/// In whose way everything is.
fn is_stopped(Stopped { by, reason, at }: &Stopped) -> String {
    let reason = reason.trim_end_matches('.');
    format!("Slipway is stopped by {} since {} UTC: {reason}.", person(by), minute(at))
}

impl Part<'_> {
    async fn run(&self) -> (Option<Release>, Result<(), Failure>) {
        let what = match self.which {
            Which::All => "all that remain".to_owned(),
            Which::Keys(keys) => list(keys),
        };
        let doing = format!("cannot release {what} of {}", self.settings.version);
        match self.begin(&doing).await {
            Ok(ended) => ended,
            Err(failure) => (None, Err(failure)),
        }
    }

    async fn begin(&self, doing: &str) -> Result<(Option<Release>, Result<(), Failure>), Failure> {
        let (edge, _) = Edge::open(self.settings, self.options.timeout_s).await?;
        if let (Some(reason), false) = (&self.options.reason, self.options.dry_run) {
            self.override_gates(&edge, reason, doing).await?;
        }
        match self.releaser {
            _ if self.options.dry_run => {
                let release = self.read(&edge, doing).await?;
                let result = self.dry_run(&release, doing).await;
                Ok((Some(release), result))
            }
            Releaser::Job => self.ask(&edge, doing).await,
            Releaser::Person(None) => Err(Failure::new(
                Exit::Misused,
                doing,
                ["no token of GitLab to play jobs with: run `slipway login --api`, or set `SLIPWAY_GITLAB_TOKEN`"
                    .to_owned()],
            )),
            Releaser::Person(Some(gitlab)) => {
                let release = self.read(&edge, doing).await?;
                self.play(&edge, &release, Plays::new(gitlab.clone(), release.project.id), doing).await
            }
        }
    }

    async fn read(&self, edge: &Edge<'_>, doing: &str) -> Result<Release, Failure> {
        match edge.release().await {
            Ok(release) => Ok(release),
            Err(error) => Err(edge.unread(error, doing).await),
        }
    }

    fn line(&self, line: &str) {
        self.say.line(&format!("{}{line}", self.label));
    }

    /// Follows what was accepted. What was refused makes the whole a failure, and is named at its end.
    async fn follow(
        &self,
        edge: &Edge<'_>,
        keys: &[Key],
        plays: Option<&Plays>,
        refused: Vec<String>,
        doing: &str,
    ) -> (Option<Release>, Result<(), Failure>) {
        let (release, result) = if keys.is_empty() {
            match edge.release().await {
                Ok(release) => (Some(release), Ok(())),
                Err(error) => (None, Err(error.failure(doing))),
            }
        } else {
            let Self { end_ms, say, label, options, .. } = self;
            let (end_ms, say, timeout_s) = (*end_ms, *say, options.timeout_s);
            Follow { edge, keys, plays, end_ms, timeout_s, say, label, doing }.to_the_end().await
        };
        if refused.is_empty() {
            return (release, result);
        }
        let failure = match result {
            Ok(()) => Failure::new(Exit::Failed, doing, refused),
            Err(mut failure) => {
                failure.lines.extend(refused);
                failure.exit = Exit::Failed;
                failure
            }
        };
        (release, Err(failure))
    }

    /// In a job: the edge is asked.
    async fn ask(&self, edge: &Edge<'_>, doing: &str) -> Result<(Option<Release>, Result<(), Failure>), Failure> {
        let request = match self.which {
            Which::All => PromotionRequest { keys: Vec::new(), all: true },
            Which::Keys(keys) => PromotionRequest { keys: keys.clone(), all: false },
        };
        let accepted = edge.promote(&request).await.map_err(|error| error.failure(doing))?;
        if !accepted.keys.is_empty() {
            self.line(&format!("approved: {}", list(&accepted.keys)));
        }
        let refused: Vec<String> =
            accepted.refused.iter().map(|refused| format!("{}  not approved: {}", refused.key, refused.why)).collect();
        for line in &refused {
            self.line(line);
        }
        if accepted.keys.is_empty() && refused.is_empty() {
            self.line("nothing remains to be released");
        }
        Ok(self.follow(edge, &accepted.keys, None, refused, doing).await)
    }

    /// For a person: the release jobs are played.
    async fn play(
        &self,
        edge: &Edge<'_>,
        release: &Release,
        plays: Plays,
        doing: &str,
    ) -> Result<(Option<Release>, Result<(), Failure>), Failure> {
        if let Some(stopped) = &release.stopped {
            let next = "No job was played, and what was approved before waits. An operator starts it again.";
            return Err(Failure::new(Exit::Failed, doing, [is_stopped(stopped), next.to_owned()]));
        }
        let (packages, mut refused) = self.packages(release);
        let mut keys = Vec::new();
        let mut by_pipeline = std::collections::BTreeMap::new();
        for package in packages {
            let key = &package.key;
            let closed = gates::closed(package);
            match fate(package) {
                // Of all that remain it is no part; whoever names it wants it released, and it is not.
                Fate::Withdrawn(_) if matches!(self.which, Which::All) => {}
                Fate::Nothing => self.line(&format!("{key}  nothing to do: it is released, or not shipped")),
                Fate::Follow => keys.push(key.clone()),
                Fate::Withdrawn(why) | Fate::Refuse(why) => refused.push(format!("{key}  not played: {why}")),
                Fate::Play if !closed.is_empty() => {
                    refused.extend(closed.iter().map(|why| format!("{key}  not played: {why}")));
                }
                Fate::Play => by_pipeline.entry(package.pipeline_id).or_insert_with(Vec::new).push(package),
            }
        }
        for (pipeline, packages) in by_pipeline {
            let jobs = match plays.jobs(pipeline).await {
                Ok(jobs) => jobs,
                Err(why) => {
                    refused.extend(packages.iter().map(|package| format!("{}  not played: {why}", package.key)));
                    continue;
                }
            };
            for package in packages {
                let (key, name) = (&package.key, &package.release_job);
                let played = match jobs.get(name) {
                    Some(job) => plays.play(package, job).await,
                    None => Err(format!("pipeline {pipeline} has no job `{name}`")),
                };
                match played {
                    Ok(words) => {
                        self.line(&format!("{key}  {words}"));
                        keys.push(key.clone());
                    }
                    Err(why) => refused.push(format!("{key}  not played: {why}")),
                }
            }
        }
        for line in &refused {
            self.line(line);
        }
        keys.sort();
        Ok(self.follow(edge, &keys, Some(&plays), refused, doing).await)
    }

    /// The packages that are meant, and a sentence for each that the release does not have.
    fn packages<'r>(&self, release: &'r Release) -> (Vec<&'r Package>, Vec<String>) {
        match self.which {
            Which::All => (release.packages.iter().collect(), Vec::new()),
            Which::Keys(keys) => {
                let mut missing = Vec::new();
                let mut found = Vec::new();
                for key in keys {
                    match release.packages.iter().find(|package| package.key == *key) {
                        Some(package) => found.push(package),
                        None => missing.push(format!("{key}  is not in the plan of {}", release.version)),
                    }
                }
                (found, missing)
            }
        }
    }

    async fn override_gates(&self, edge: &Edge<'_>, reason: &str, doing: &str) -> Result<(), Failure> {
        let release = edge.release().await.map_err(|error| error.failure(doing))?;
        let (packages, _) = self.packages(&release);
        for (gates, keys) in gates::to_override(&packages) {
            let request = OverrideRequest { keys: Some(keys.clone()), gates: gates.clone(), reason: reason.to_owned() };
            edge.override_gates(&request).await.map_err(|error| error.failure(doing))?;
            self.line(&format!("overridden for {}: {}", list(&keys), gates.join(", ")));
        }
        Ok(())
    }

    /// Says what would be done.
    async fn dry_run(&self, release: &Release, doing: &str) -> Result<(), Failure> {
        let (packages, mut refused) = self.packages(release);
        let mut jobs = std::collections::BTreeMap::new();
        if let Releaser::Person(Some(gitlab)) = self.releaser {
            let plays = Plays::new(gitlab.clone(), release.project.id);
            for package in &packages {
                if fate(package) == Fate::Play && !jobs.contains_key(&package.pipeline_id) {
                    jobs.insert(package.pipeline_id, plays.jobs(package.pipeline_id).await);
                }
            }
        }
        let is_all = *self.which == Which::All;
        for package in packages {
            let seen = dry_run::seen(package, jobs.get(&package.pipeline_id));
            for line in &seen.lines {
                self.line(line);
            }
            let named = |line: &String| format!("{}  {line}", package.key);
            refused.extend(seen.against.iter().map(named));
            if let (Fate::Withdrawn(why), false) = (fate(package), is_all) {
                refused.push(named(&why));
            }
        }
        if let Some(stopped) = &release.stopped {
            let why = is_stopped(stopped);
            self.line(&format!("in the way: {why}"));
            refused.push(why);
        }
        self.line(if is_all {
            "nothing was done: this was a dry run of all that remain"
        } else {
            "nothing was done: this was a dry run"
        });
        if refused.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Failed, doing, refused)) }
    }
}

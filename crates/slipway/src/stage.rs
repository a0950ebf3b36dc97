//! `slipway stage KEY FILE`: declare the digest, look, push what is not there, and see that the edge sees it.
//!
//! A package is staged for each of its distro versions: each has a look and a push of its own.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream;
use http::StatusCode;
use slipway_core::api::{Package, PackagePatch, Release, ReleasePatch, StagedFile};
use slipway_core::release::{Key, TargetState};
use slipway_fetch::Fetch;
use slipway_packagecloud::{
    Account, Boundary, Distributions, Distro, Filename, ListDistributions, PackageKind, Push, Pushed, Repository,
    delete, find,
};
use slipway_wire::{Base, CallError, Digest, Relayed, Token, call};

use crate::args;
use crate::edge::{Edge, Pauses};
use crate::exit::{Exit, Failure};
use crate::host::{self, Hashed};
use crate::replace::gave_way;
use crate::rpm;
use crate::say::Say;
use crate::sending::Sending;
use crate::settings::Settings;

/// How long the package server may take for a page of a list. Its uploads have a limit of their own.
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
/// How many times the file is sent before a person is asked.
const PUSHES_MAX: u32 = 3;
/// And how many times an old one is deleted.
const DELETIONS_MAX: u32 = 3;
/// How long a push that broke is looked for before the file is sent again. The slowest answer on record took 10 s.
const ARRIVAL_MS: f64 = 15_000.0;
/// How many files are hashed, and how many of each are sent, at a time. A package server answers parallel pushes with 5xx when
/// there are many.
const SIDE_BY_SIDE: usize = 4;

/// Runs the command.
pub(crate) async fn stage(
    options: &args::Stage,
    files: &[(Key, String)],
    settings: &Settings,
    token: Token,
    say: Say,
) -> Result<Release, Failure> {
    if let [(key, path)] = files {
        return stage_one(&One { options, key, path, settings, say: Voice { say, label: "" } }, token).await;
    }
    let number = files.len();
    let all = files.iter().map(|(key, path)| {
        // Each line names its key, since several packages report at once.
        let (say, token) = (Say { plain: true, ..say }, token.clone());
        async move {
            let label = format!("{key}  ");
            stage_one(&One { options, key, path, settings, say: Voice { say, label: &label } }, token).await
        }
    });
    let ended: Vec<_> = stream::iter(all).buffered(SIDE_BY_SIDE).collect().await;
    let (mut staged, mut failures) = (Vec::new(), Vec::new());
    for result in ended {
        match result {
            Ok(release) => staged.push(release),
            Err(failure) => failures.push(failure),
        }
    }
    if !failures.is_empty() {
        let doing = format!("{} of {number} packages of {} are not staged", failures.len(), settings.version);
        return Err(Failure::all(doing, failures));
    }
    let newest = staged.into_iter().max_by_key(|release| release.sequence);
    newest.ok_or_else(|| Failure::new(Exit::Misused, "cannot stage", ["no file is named".to_owned()]))
}

/// How one package reports: each line with its key in front, where several are staged at once.
#[derive(Clone, Copy)]
pub(crate) struct Voice<'a> {
    pub(crate) say: Say,
    pub(crate) label: &'a str,
}

impl Voice<'_> {
    pub(crate) fn line(self, line: &str) {
        self.say.line(&format!("{}{line}", self.label));
    }

    /// How wide the terminal is that may be drawn on.
    pub(crate) fn columns(self) -> Option<usize> {
        self.say.columns()
    }

    pub(crate) fn lines(self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }
}

/// One package and its file.
struct One<'a> {
    options: &'a args::Stage,
    key: &'a Key,
    path: &'a str,
    settings: &'a Settings,
    say: Voice<'a>,
}

async fn stage_one(one: &One<'_>, token: Token) -> Result<Release, Failure> {
    let One { options, key, path, settings, say } = *one;
    let doing = format!("cannot stage `{path}` as `{key}` of {}", settings.version);
    let filename = filename(path).await.map_err(|why| Failure::new(Exit::Misused, &doing, [why]))?;
    let file = host::hash(path).await.map_err(|why| Failure::new(Exit::Misused, &doing, [why]))?;
    say.line(&format!("`{filename}` has {} bytes and {}", file.size, file.digest));

    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let staged = StagedFile { filename: filename.to_string(), image: None, digest: file.digest, size: file.size };
    let patch = |replace: bool| ReleasePatch {
        packages: vec![PackagePatch { key: key.clone(), expect: None, staged: Some(staged.clone()), replace }],
    };
    let release = match edge.declare(&patch(options.replace)).await {
        Ok(release) => release,
        // Built all the same: a plan that leaves it out is no reason to fail its build.
        Err(error) if error.kind() == Some("skipped") => {
            say.lines(error.lines().get(1..).unwrap_or_default());
            return edge.release().await.map_err(|error| error.failure(doing));
        }
        Err(error) if error.kind() == Some("other-digest") => {
            let mut lines = error.lines();
            let declared = edge.release().await.ok().and_then(|release| package(&release, key)?.file.clone());
            if let Some(declared) = declared.filter(|declared| declared.digest != file.digest) {
                lines.push(format!("declared before  {}  `{}`", declared.digest, declared.name()));
                lines.push(format!("this file        {}  `{filename}`", file.digest));
            }
            return Err(Failure::new(Exit::Conflict, doing, lines));
        }
        Err(error) if matches!(error.kind(), Some("staging-conflict" | "not-replaceable" | "shared-file")) => {
            return Err(Failure::new(Exit::Conflict, doing, error.lines()));
        }
        Err(error) => return Err(error.failure(doing)),
    };
    // The declaration comes first. From here on the old bytes cannot be approved any more, and the edge has refused if
    // they are approved or public already; deleted before, they would be missing from a release that somebody approves
    // meanwhile. What gave way is what the record says, not what this run did, so that a run that was killed between
    // declaring and deleting is finished by the next. And the new bytes come last, since a name is taken until the old
    // bytes under it are gone.
    push(one, &filename, file, &release, token, &doing).await?;
    seen(&edge, &patch(false), options, key, say, &doing).await
}

/// The name under which package servers file a package. For an rpm its own header says it, whatever the file is called.
async fn filename(path: &str) -> Result<Filename, String> {
    let name = last_part(path)?;
    if name.kind() != Some(PackageKind::Rpm) {
        return Ok(name);
    }
    let named = rpm::filename(async |offset, length| host::read_at(path, offset, length).await).await;
    let named = named.map_err(|error| format!("`{name}`: {error}"))?;
    named.parse().map_err(|error: slipway_packagecloud::InvalidFilename| error.to_string())
}

/// The last part of a path. A deb that was downloaded has its epoch in it.
fn last_part(path: &str) -> Result<Filename, String> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: Filename = name.parse().map_err(|error: slipway_packagecloud::InvalidFilename| error.to_string())?;
    Ok(name.without_epoch())
}

pub(crate) fn package<'a>(release: &'a Release, key: &Key) -> Option<&'a Package> {
    release.packages.iter().find(|package| package.key == *key)
}

/// The distros for which the file has to be in staging. What is public, or deliberately not, needs no bytes.
fn wanted(package: &Package) -> Vec<&str> {
    let settled = [TargetState::Released, TargetState::Skipped, TargetState::Withdrawn];
    let open = package.targets.iter().filter(|target| !settled.contains(&target.state));
    let mut distros: Vec<&str> = open.map(|target| target.distro.as_str()).collect();
    distros.sort_unstable();
    distros.dedup();
    distros
}

/// One file on its way to one repository.
struct Staging<'a> {
    http: Fetch,
    account: Account,
    repository: Repository,
    filename: &'a Filename,
    path: &'a str,
    file: Hashed,
    /// The server's numbers of distro versions, once they were read.
    ids: RefCell<Option<Distributions>>,
    sending: Sending,
    timeout_ms: f64,
    say: Voice<'a>,
    doing: &'a str,
}

async fn push(
    one: &One<'_>,
    filename: &Filename,
    file: Hashed,
    release: &Release,
    token: Token,
    doing: &str,
) -> Result<(), Failure> {
    let One { options, key, path, say, .. } = *one;
    let failed = |line: String| Failure::new(Exit::Failed, doing, [line]);
    let Some(package) = package(release, key) else {
        return Err(failed(format!(
            "Slipway's answer does not name `{key}`: add it to the plan, run `slipway plan`, then run this again"
        )));
    };
    let distros = wanted(package);
    if distros.is_empty() {
        return Ok(());
    }
    let Some(kind) = filename.kind() else {
        let line = format!("`{filename}` ends neither in `.deb` nor in `.rpm`, so no package server takes it");
        return Err(Failure::new(Exit::Misused, doing, [line]));
    };
    let base: Base =
        package.staging.url.parse().map_err(|error| failed(format!("Slipway's configuration: {error}")))?;
    let repository = package.staging.repository.parse();
    let staging = Staging {
        http: Fetch::new(ANSWER_DEADLINE),
        account: Account::new(base, token),
        repository: repository.map_err(|error| failed(format!("Slipway's configuration: {error}")))?,
        filename,
        path,
        file,
        ids: RefCell::default(),
        sending: Sending::default(),
        timeout_ms: f64::from(options.timeout_s) * 1000.0,
        say,
        doing,
    };
    let bring = |distro: &str| {
        let distro = distro.parse::<Distro>().map_err(|error| failed(format!("Slipway's answer: {error}")));
        let staging = &staging;
        async move {
            let distro = distro?;
            if options.replace {
                for (old, digests) in gave_way(release, package, &distro) {
                    staging.clear(&distro, old, &digests).await?;
                }
            }
            staging.bring(kind, &distro).await
        }
    };
    // All of them to their end, also when one fails: what is under way would go on without being looked after.
    let all = stream::iter(distros.iter().map(|distro| bring(distro))).buffered(SIDE_BY_SIDE).collect::<Vec<_>>();
    let ended = match select(pin!(all), pin!(staging.sending.watch(say))).await {
        Either::Left((ended, _)) => ended,
        Either::Right((never, _)) => match never {},
    };
    let mut failures: Vec<Failure> = ended.into_iter().filter_map(Result::err).collect();
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.swap_remove(0)),
        _ => Err(Failure {
            lines: failures.iter().flat_map(|failure| failure.lines.clone()).collect(),
            ..Failure::all(doing, failures)
        }),
    }
}

/// What a look in staging found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Absent,
    Has(Digest),
    /// It is there; the server has not hashed it yet.
    Unread,
}

impl Staging<'_> {
    /// Sees to it that staging has the file for `distro`. Every push is preceded by a look, so a push that broke after
    /// its work was done is not repeated.
    async fn bring(&self, kind: PackageKind, distro: &Distro) -> Result<(), Failure> {
        let mut trouble = None;
        for pushes in 0..=PUSHES_MAX {
            let wait_ms = if trouble.is_some() { ARRIVAL_MS } else { 0.0 };
            match self.settled(distro, self.filename, wait_ms).await? {
                Look::Has(digest) if digest == self.file.digest => {
                    let how = if pushes == 0 { "is there already, nothing to push" } else { "has arrived" };
                    self.say.line(&format!("{distro}: {how}: {}", self.repository));
                    return Ok(());
                }
                Look::Has(theirs) => return Err(self.conflict(distro, theirs)),
                Look::Unread => {
                    trouble = Some("the server has it, and has not told its SHA-256 yet".to_owned());
                    break;
                }
                Look::Absent if pushes == PUSHES_MAX => break,
                Look::Absent => {}
            }
            let id = self.id(kind, distro).await?;
            self.say.line(&format!("{distro}: pushing to {}", self.repository));
            match self.push(id, distro).await? {
                Ok(()) => {
                    self.say.line(&format!("{distro}: pushed to {}", self.repository));
                    return Ok(());
                }
                Err(why) => {
                    self.say.line(&format!("{distro}: {why}; looking whether it has arrived"));
                    trouble = Some(why);
                }
            }
        }
        Err(self.failed(
            Exit::Failed,
            [
                format!("{distro}: {}", trouble.unwrap_or_default()),
                "Run this again later: it looks first, and pushes nothing twice.".to_owned(),
            ],
        ))
    }

    /// Takes the bytes that gave way out of staging. Only those: bytes that the record does not name are somebody's.
    ///
    /// The server deletes by name, so bytes that somebody pushes between the look and the deletion go too. The look is as
    /// near to it as it can be.
    async fn clear(&self, distro: &Distro, old: &Filename, digests: &BTreeSet<Digest>) -> Result<(), Failure> {
        let mut trouble = "the server lists it still".to_owned();
        for _ in 0..DELETIONS_MAX {
            match self.settled(distro, old, 0.0).await? {
                Look::Absent => return Ok(()),
                Look::Has(digest) if old == self.filename && digest == self.file.digest => return Ok(()),
                Look::Has(digest) if digests.contains(&digest) => {}
                Look::Has(digest) => return Err(self.foreign(distro, old, digest, digests)),
                Look::Unread => {
                    "the server has not told its SHA-256 yet".clone_into(&mut trouble);
                    break;
                }
            }
            self.say.line(&format!("{distro}: deleting the old `{old}` from {}", self.repository));
            match delete(&self.http, &self.account, &self.repository, distro, old).await {
                Ok(_) => {}
                Err(error) if error.may_pass() => trouble = error.to_string(),
                Err(error) => return Err(self.refused(&error)),
            }
            // A list may show for a while what is gone; and an error may follow finished work.
            let end = host::now_ms() + ARRIVAL_MS;
            let mut pauses = Pauses::default();
            while matches!(self.look(distro, old).await?, Look::Has(digest) if digests.contains(&digest)) {
                let pause = pauses.next_ms();
                if host::now_ms() + pause > end {
                    break;
                }
                host::pause_ms(pause).await;
            }
        }
        let line = format!("{distro}: cannot delete the old `{old}` from {}: {trouble}", self.repository);
        Err(self
            .failed(Exit::Failed, [line, "Run this again, with `--replace`: it goes on where it ended.".to_owned()]))
    }

    /// Looks until a file is there with a digest, or has been absent for `wait_ms`.
    async fn settled(&self, distro: &Distro, filename: &Filename, wait_ms: f64) -> Result<Look, Failure> {
        let begin = host::now_ms();
        let mut pauses = Pauses::default();
        loop {
            let look = self.look(distro, filename).await?;
            let wait_ms = match look {
                Look::Has(_) => return Ok(look),
                Look::Absent => wait_ms.min(self.timeout_ms),
                Look::Unread => self.timeout_ms,
            };
            let pause = pauses.next_ms();
            if host::now_ms() + pause > begin + wait_ms {
                return Ok(look);
            }
            host::pause_ms(pause).await;
        }
    }

    fn failed(&self, exit: Exit, lines: impl IntoIterator<Item = String>) -> Failure {
        Failure::new(exit, self.doing, lines)
    }

    fn conflict(&self, distro: &Distro, theirs: Digest) -> Failure {
        self.failed(
            Exit::Conflict,
            [
                format!("{} has another `{}` for {distro}; it is not replaced.", self.repository, self.filename),
                format!("in staging  {theirs}"),
                format!("this file   {}", self.file.digest),
                "Build under a new version. If these bytes replace others that nobody approved, stage them with \
                 `--replace`."
                    .to_owned(),
            ],
        )
    }

    fn foreign(&self, distro: &Distro, old: &Filename, theirs: Digest, digests: &BTreeSet<Digest>) -> Failure {
        let mut lines = vec![
            format!("{} has bytes for {distro} under `{old}` that were never declared; they stay.", self.repository),
            format!("in staging  {theirs}"),
        ];
        lines.extend(digests.iter().map(|digest| format!("gave way    {digest}")));
        lines.push(format!("this file   {}", self.file.digest));
        lines
            .push("Find out who pushed them; delete them by hand if they are nobody's, and run this again.".to_owned());
        self.failed(Exit::Conflict, lines)
    }

    /// A refusal of the package server, with what it probably means.
    fn refused(&self, error: &CallError) -> Failure {
        let next = match error.status() {
            Some(StatusCode::UNAUTHORIZED) => {
                "`SLIPWAY_STAGING_TOKEN` is not a token of this server: set the CI variable to one of the user that owns \
                 the staging repository."
            }
            Some(StatusCode::NOT_FOUND) => {
                "The user of `SLIPWAY_STAGING_TOKEN` cannot see or write this repository: compare both with the route in \
                 Slipway's `slipway.toml`."
            }
            Some(StatusCode::PAYMENT_REQUIRED | StatusCode::TOO_MANY_REQUESTS) => {
                "The account has reached a limit of its plan: have its operator raise the plan or pay, then run this again."
            }
            _ if error.may_pass() => "Run this again later: it looks first, and pushes nothing twice.",
            _ => "Mend what the server says, then run this again; its operator can tell more.",
        };
        self.failed(Exit::Failed, [format!("{}: {error}", self.repository), next.to_owned()])
    }

    async fn look(&self, distro: &Distro, filename: &Filename) -> Result<Look, Failure> {
        let mut pauses = Pauses::default();
        let end = host::now_ms() + self.timeout_ms.min(f64::from(args::ASK_TIMEOUT_S) * 1000.0);
        loop {
            let error = match find(&self.http, &self.account, &self.repository, distro, filename).await {
                Ok(None) => return Ok(Look::Absent),
                Ok(Some(found)) => {
                    return Ok(found.digest.map_or(Look::Unread, Look::Has));
                }
                Err(error) => error,
            };
            let pause = pauses.next_ms();
            if !error.may_pass() || host::now_ms() + pause > end {
                return Err(self.refused(&error));
            }
            host::pause_ms(pause).await;
        }
    }

    /// The server's id of a distro version, by its exact name.
    async fn id(&self, kind: PackageKind, distro: &Distro) -> Result<u64, Failure> {
        let known = self.ids.borrow().clone();
        let known = if let Some(known) = known {
            known
        } else {
            let list = ListDistributions { account: &self.account };
            let list = call(&self.http, &list).await.map_err(|error| self.refused(&error))?;
            self.ids.borrow_mut().insert(list).clone()
        };
        known.id(kind, distro).ok_or_else(|| {
            let line = format!("{} takes no {} packages for {distro}", self.account.base(), kind.code());
            self.failed(Exit::Failed, [line, "Correct the distro in the plan, or skip the package.".to_owned()])
        })
    }

    /// Sends the file. The inner error is one that a look may prove wrong.
    async fn push(&self, distro_version_id: u64, distro: &Distro) -> Result<Result<(), String>, Failure> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| self.failed(Exit::Failed, [format!("no random bytes: {error}")]))?;
        let boundary = Boundary::new(random);
        let Self { account, repository, filename, .. } = self;
        let push = Push { account, repository, distro_version_id, filename, boundary: &boundary };
        let upload = push.upload(self.file.size);
        let upload = upload.map_err(|error| self.refused(&CallError::Unsendable(error.to_string())))?;
        let upload = host::upload(self.path, self.file, &upload, self.sending.begin(distro, self.file.size)).await;
        self.sending.end(distro);
        let parsed = match upload {
            Ok(Relayed::AnsweredEarly(response)) if response.status().is_success() => {
                return Ok(Err("the server accepted it before it was sent".to_owned()));
            }
            Ok(Relayed::Answered(response) | Relayed::AnsweredEarly(response)) => push.parse(&response),
            Ok(Relayed::Withheld { .. }) => {
                let line = "the file has changed since it was hashed; nothing of it was accepted";
                return Err(self.failed(Exit::Failed, [line.to_owned(), "Stage it when its build is over.".to_owned()]));
            }
            Err(error) => Err(CallError::Unreachable(error)),
        };
        match parsed {
            Ok(Pushed::Created(_)) => Ok(Ok(())),
            Ok(Pushed::Duplicate) => Ok(Err("the server has a file of that name".to_owned())),
            Ok(Pushed::Renamed(record)) => Err(self.failed(
                Exit::Failed,
                [
                    format!(
                        "the package calls itself `{}`, so {} keeps it under that name",
                        record.filename, self.repository
                    ),
                    "Give the file that name, delete the package from staging, and stage it again.".to_owned(),
                ],
            )),
            Err(error) if error.may_pass() => Ok(Err(error.to_string())),
            Err(error) => Err(self.refused(&error)),
        }
    }
}

/// What the edge sees of a key.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Everywhere in staging, or further, or deliberately not.
    Staged,
    /// Not yet there: the distros.
    Waiting(Vec<String>),
    /// It ends here, with what was said of it.
    Stuck(Exit, Vec<String>),
}

fn judge(release: &Release, key: &Key) -> Seen {
    let Some(package) = package(release, key) else {
        return Seen::Stuck(
            Exit::Failed,
            vec![format!("Slipway's answer does not name `{key}`: was it taken out of the plan?")],
        );
    };
    let mut waiting = Vec::new();
    let mut stuck = Vec::new();
    let mut exit = Exit::Failed;
    for target in &package.targets {
        match target.state {
            // A promotion that failed has its bytes in staging all the same.
            TargetState::Staged
            | TargetState::Approved
            | TargetState::Releasing
            | TargetState::Released
            | TargetState::Skipped
            | TargetState::Failed => {}
            TargetState::Expected | TargetState::Missing | TargetState::Expired => {
                waiting.push(target.name().into_owned());
            }
            TargetState::Conflict | TargetState::Withdrawn => {
                if target.state == TargetState::Conflict {
                    exit = Exit::Conflict;
                }
                stuck.push(format!("{}: {}", target.name(), target.state));
                stuck.extend(target.problem.iter().flat_map(|problem| [problem.what.clone(), problem.next.clone()]));
            }
        }
    }
    match (stuck.is_empty(), waiting.is_empty()) {
        (false, _) => Seen::Stuck(exit, stuck),
        (true, false) => Seen::Waiting(waiting),
        (true, true) => Seen::Staged,
    }
}

/// Asks the edge to look, until it sees the file in staging.
pub(crate) async fn seen(
    edge: &Edge<'_>,
    patch: &ReleasePatch,
    options: &args::Stage,
    key: &Key,
    say: Voice<'_>,
    doing: &str,
) -> Result<Release, Failure> {
    let end = host::now_ms() + f64::from(options.timeout_s) * 1000.0;
    let mut pauses = Pauses::default();
    let mut said = Vec::new();
    loop {
        let release = edge.declare(patch).await.map_err(|error| error.failure(doing))?;
        let waiting = match judge(&release, key) {
            Seen::Staged => {
                say.line(&format!("`{key}` is staged"));
                return Ok(release);
            }
            Seen::Stuck(exit, lines) => return Err(Failure::new(exit, doing, lines)),
            Seen::Waiting(distros) => distros,
        };
        if waiting != said {
            say.line(&format!("waiting until Slipway sees it in staging: {}", waiting.join(", ")));
            said.clone_from(&waiting);
        }
        let pause = pauses.next_ms();
        if host::now_ms() + pause > end {
            let mut lines = vec![format!(
                "Slipway has not seen it in staging within {} s: {}",
                options.timeout_s,
                waiting.join(", ")
            )];
            let targets = package(&release, key).into_iter().flat_map(|package| &package.targets);
            let problems = targets.filter_map(|target| target.problem.as_ref());
            lines.extend(problems.flat_map(|problem| [problem.what.clone(), problem.next.clone()]));
            lines.push("Run this again: it looks first, and pushes nothing twice.".to_owned());
            return Err(Failure::new(Exit::TimedOut, doing, lines));
        }
        host::pause_ms(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn key() -> Key {
        "deb".parse().expect("a key")
    }

    #[test]
    fn a_file_is_staged_when_every_distro_is_staged_or_further() {
        for (states, expected) in [
            ("staged", Seen::Staged),
            ("staged released approved releasing skipped failed", Seen::Staged),
            ("staged expected", Seen::Waiting(vec!["d/1".to_owned()])),
            ("missing expired", Seen::Waiting(vec!["d/0".to_owned(), "d/1".to_owned()])),
            ("conflict expected", Seen::Stuck(Exit::Conflict, vec!["d/0: Conflict".to_owned()])),
            ("withdrawn staged", Seen::Stuck(Exit::Failed, vec!["d/0: Withdrawn".to_owned()])),
        ] {
            assert_eq!(judge(&testing::release(&[("deb", states)]), &key()), expected, "{states}");
        }
        assert!(matches!(judge(&testing::release(&[("rpm", "staged")]), &key()), Seen::Stuck(Exit::Failed, _)));
    }

    #[test]
    fn only_what_is_neither_public_nor_given_up_needs_bytes() {
        let release = testing::release(&[("deb", "expected released skipped missing withdrawn conflict")]);
        let package = package(&release, &key()).expect("the package");
        assert_eq!(wanted(package), ["d/0", "d/3", "d/5"]);
    }

    #[test]
    fn the_file_name_is_the_last_part_of_the_path() {
        for (path, expected) in [
            ("tug_1.deb", Some("tug_1.deb")),
            ("./a b/tug_1.deb", Some("tug_1.deb")),
            ("pkg/tug_1%3a2_amd64.deb", Some("tug_2_amd64.deb")),
            ("pkg/", None),
            ("", None),
        ] {
            let name = last_part(path).ok();
            assert_eq!(name.as_ref().map(Filename::as_str), expected, "{path}");
        }
    }
}

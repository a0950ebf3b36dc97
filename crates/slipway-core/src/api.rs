//! The JSON that crosses between hosts. No other core type is serialised to callers.
//!
//! Times are RFC 3339 in UTC with milliseconds; digests are `sha256:` and 64 hex digits; sizes are bytes.

mod pages;
mod public;

pub use pages::{
    Activity, ActivityRow, Against, AgainstRow, Depends, DeploymentRow, Deployments, FileFact, Glance, GlanceRelease,
    GlanceTarget, Source, Standing, StandingProject,
};
pub use public::{PublicFile, PublicPackage, PublicProject, PublicRelease, PublicState, PublicSummary, PublicTarget};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::cargo::{Kind, TargetName, tag_of};
use crate::config::PipelineSource;
use crate::release::{Key, Maturity, ReleaseState, TargetState, Version};
use crate::route::How;
use crate::signing::{KeyId, KeyName, PublicKey, verifier_key};
use slipway_gitlab::AccessLevel;
use slipway_package::Filename;
use slipway_wire::Digest;

/// `POST /api/v1/sessions`: a job's first act.
#[derive(Clone, Serialize, Deserialize)]
pub struct SessionRequest {
    /// The job's ID token (`id_tokens:` in `.gitlab-ci.yml`), issued for the edge's audience.
    pub id_token: String,
}

/// What a job gets for its ID token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// Sent as `Authorization: Bearer` from now on.
    pub session: String,
    /// When it ends.
    pub expires_at: String,
    /// The project that the token was issued to.
    pub project: Project,
    /// The pipeline that the job belongs to.
    pub pipeline_id: u64,
    /// The job itself.
    pub job_id: u64,
}

/// `GET /api/v1/sign-in`: where a person's program signs them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The GitLab that knows them.
    pub gitlab: String,
    /// The id of the OAuth application to sign in with.
    pub application: String,
}

/// `GET /api/v1/signing-key`: what heads of the audit and attestations are checked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    /// The name of the keys in signed notes.
    pub name: String,
    /// The key that signs now, where there is one, and then those that did before.
    pub keys: Vec<SigningKey>,
}

/// A key of the edge, in each form that is usual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its short name: eight hex digits.
    pub id: String,
    /// The base64 of its 32 bytes.
    pub key: PublicKey,
    /// For programs that read signed notes.
    pub verifier_key: String,
    /// For `openssl`.
    pub pem: String,
    /// Whether it signs now.
    pub is_current: bool,
}

impl SigningKeys {
    /// What is told of the keys of an edge.
    pub fn of(name: &KeyName, current: Option<&PublicKey>, former: &[PublicKey]) -> Self {
        let former = former.iter().filter(|key| Some(*key) != current).map(|key| (key, false));
        let keys = current.map(|key| (key, true)).into_iter().chain(former).map(|(key, is_current)| SigningKey {
            id: KeyId::of(name, key).to_string(),
            key: *key,
            verifier_key: verifier_key(name, key),
            pem: key.pem(),
            is_current,
        });
        Self { name: name.to_string(), keys: keys.collect() }
    }
}

/// `POST /api/v1/sessions` for a person.
#[derive(Clone, Serialize, Deserialize)]
pub struct PersonSessionRequest {
    /// The access token that GitLab gave to the application of `GET /api/v1/sign-in`.
    pub access_token: String,
}

/// What a person gets for it.
#[derive(Clone, Serialize, Deserialize)]
pub struct PersonSession {
    /// Sent as `Authorization: Bearer` from now on.
    pub session: String,
    /// When it ends.
    pub expires_at: String,
    /// Who signed in.
    pub user: Person,
}

/// A person, as GitLab knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// GitLab's numeric id.
    pub id: u64,
    /// The user name.
    pub username: String,
}

/// A project, as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// GitLab's numeric id.
    pub id: u64,
    /// Its name in `slipway.toml`, used in addresses.
    pub name: String,
}

/// `PATCH /api/v1/projects/{project}/releases/{version}`: expectations, or digests, or both. Each caller adds its own;
/// the same again changes nothing, another digest for a key is refused with 409.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePatch {
    /// One entry a key.
    pub packages: Vec<PackagePatch>,
}

/// What one caller knows of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagePatch {
    /// The package's stable name.
    pub key: Key,
    /// What is expected. Sent by `slipway plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
    /// What was built. Sent by `slipway stage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<StagedFile>,
    /// The staged file replaces another that was declared before. Sent by `slipway stage --replace`; refused when anything
    /// of the other is approved or public.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replace: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A package that must appear, declared before it is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The distro versions it is for, in packagecloud's words: `ubuntu/jammy`, `el/9`. None for an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distros: Vec<String>,
    /// The tags under which an image becomes public. Each is final: it never comes to mean another image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The kind of package: `deb` unless it says `rpm` or `image`.
    #[serde(default = "deb")]
    pub kind: Kind,
    /// The architecture, in the words of the package's kind: `amd64`, `x86_64`. Routes may ask for it; what is staged must
    /// have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The exact name of the manual job that releases it, such as `release: [ubuntu-jammy-amd64]`.
    pub release_job: String,
    /// The environment of that job, which GitLab signs into its ID tokens.
    pub environment: String,
    /// The exact name of the manual job that releases all that remain of its pipeline, this package with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_all_job: Option<String>,
    /// The environment of that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_all_environment: Option<String>,
    /// A reason not to ship it this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
}

fn deb() -> Kind {
    Kind::Deb
}

/// A file or an image that was built, declared before it is pushed to staging. It has a `filename` or is an `image`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagedFile {
    /// The file's name, without a path. Empty for an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filename: String,
    /// The staging repository of an image, with its registry: `registry.example.com/team/app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its SHA-256; of an image, that of its manifest or index.
    pub digest: Digest,
    /// Its size in bytes; of an image, that of all its blobs together.
    pub size: u64,
}

impl StagedFile {
    /// A file's name, or an image's repository.
    pub fn name(&self) -> &str {
        self.image.as_deref().unwrap_or(&self.filename)
    }
}

/// A release as callers see it: the answer of `GET` and `PATCH`, and the message of the live socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its project.
    pub project: Project,
    /// The version going out.
    pub version: Version,
    /// Grows with every change; the `ETag` is made of it.
    pub sequence: u64,
    /// The release as a whole.
    pub state: ReleaseState,
    /// The release in one sentence, the same words everywhere.
    pub verdict: String,
    /// The time at which this was read.
    pub at: String,
    /// When the packages that are on their way will all be released, if that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// The pipelines that feed it.
    pub pipelines: Vec<Pipeline>,
    /// Who holds it back, or some of its packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Who gave it up: nothing more of it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closing>,
    /// A newer release of its series that is complete, so that this one may be given up. That is a person's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggests_close: Option<Version>,
    /// Why nothing of the project is published or deleted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Its packages, by key.
    pub packages: Vec<Package>,
}

/// A message of the live socket to whoever takes changes: what has changed since the release was at `after`. Whoever knows it
/// as it was then, or later, knows it whole with this; whoever does not asks for the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFrame {
    /// The sequence number.
    pub after: u64,
    /// The release, with those of its packages alone that have changed.
    pub release: Release,
}

/// Somebody has stopped Slipway: nothing is published or deleted, whatever was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: String,
}

/// What an imported project's record says, beside what its repositories have: a page of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The targets, in the order of release, package and target.
    pub targets: Vec<ComparedTarget>,
    /// The number of the first target of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Whether every page has been given, in order, so that the project may be started.
    pub is_compared: bool,
}

/// One target, as the record has it and as the repositories do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedTarget {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The distro version, or the tag with a colon before it.
    pub target: String,
    /// How far it is, by the record.
    pub recorded: TargetState,
    /// What staging has: `declared` bytes, `nothing`, `other` bytes, `no_digest` yet, or `unknown`.
    pub staging: String,
    /// What the public place has, in the same words.
    pub public: String,
    /// Whether both say the same.
    pub agrees: bool,
    /// Why something is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What of it ended with the import: its `approval`, its `withdrawal`. Whoever still wants that asks anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<String>,
}

/// `POST` and `DELETE /api/v1/stop`, and of one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Why, in one line: others will ask for it.
    pub reason: String,
}

/// How the switch stands that stops everything, and what each project has heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Who has stopped everything. `None` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The configured projects.
    pub projects: Vec<SwitchedProject>,
}

/// A project, and whether it is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedProject {
    /// The project.
    pub project: Project,
    /// Whether it has acknowledged how the switch stands. One that has not is told again every second.
    pub has_heard: bool,
    /// Why nothing of it is published or deleted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// Somebody holds a release back, or one of its packages. What has not begun does not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The package. `None` for the whole release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: String,
    /// Until when. Without it, until somebody lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Somebody gave a release up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
}

/// A gate that is closed for a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Its kind: `staged`, `deployed`, `jobs`, `soak`, `freeze`, `second_person`, `hold`.
    pub gate: String,
    /// What is missing, in one sentence.
    pub why: String,
    /// When it opens by itself, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Who acts next, and how: a sentence that begins after a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// When all that is on its way will be released, from what has been released since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The moment.
    pub ends_at: String,
    /// How many bytes are still to be copied.
    pub bytes_left: u64,
    /// How many are copied in a second.
    pub bytes_per_second: u64,
}

/// How fast the copy of one target is, by what was sent of it lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How many bytes are sent in a second.
    pub bytes_per_second: u64,
    /// When the last of them is sent, should it go on so.
    pub ends_at: String,
}

/// A pipeline that feeds a release, bound to its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// GitLab's id.
    pub id: u64,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// Commit.
    pub sha: String,
    /// Where a person can look at it.
    pub url: String,
}

/// A package of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its stable name.
    pub key: Key,
    /// The pipeline that declared it.
    pub pipeline_id: u64,
    /// The name of its manual job.
    pub release_job: String,
    /// That very job in GitLab, where it is known by its number: whoever may release plays it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_url: Option<String>,
    /// What it is.
    #[serde(default = "deb")]
    pub kind: Kind,
    /// The architecture, in the words of its kind: `amd64`, `x86_64`. None where its plan says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The declared file or image. `None` until a job has built it.
    pub file: Option<StagedFile>,
    /// The files that it was declared with before, and that have given way to this one, but for those that another release
    /// still needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<ReplacedFile>,
    /// Where it is staged: the place to push to before its release.
    pub staging: Location,
    /// The gates that keep what is not released of it from being released now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Blocked>,
    /// Every place where it must appear, each with its own state.
    pub targets: Vec<Target>,
}

/// A file that gave way to another. Its bytes are to leave staging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedFile {
    /// Its name, without a path.
    pub filename: Filename,
    /// Its SHA-256.
    pub digest: Digest,
}

/// A repository of packages or images at some installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The installation's address.
    pub url: String,
    /// `user/repository`.
    pub repository: String,
}

/// One package in one distro version of one public repository, or one image under one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The distro version, `ubuntu/jammy`. Empty for an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub distro: String,
    /// The tag of an image, `17.3.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where it must appear.
    pub public: Location,
    /// How far it is.
    pub state: TargetState,
    /// Since when.
    pub since: String,
    /// While it is `releasing`: what is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// While it is copied: how many bytes have been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// While it is copied, and has been for some seconds: how fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Somebody else had published the same bytes before Slipway did: released outside.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outside: bool,
    /// How often it was tried. `GET …/targets/{key}/{target}` tells of each.
    #[serde(default)]
    pub attempts: u32,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Where its attestation is: what Slipway has signed of its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
    /// Why it is not further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Somebody wants it taken back, or has had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<Box<Withdrawal>>,
    /// When staging's copy is deleted at the earliest, once that is announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl Target {
    /// The two fields that name a target, from the text form of its name: the distro version, or the tag.
    pub fn named(name: &str) -> (String, Option<String>) {
        match tag_of(name) {
            Some(tag) => (String::new(), Some(tag.to_owned())),
            None => (name.to_owned(), None),
        }
    }

    /// What tells it from the other targets of its package: `ubuntu/jammy`, `:17.3.1`.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.tag {
            Some(tag) => format!(":{tag}").into(),
            None => self.distro.as_str().into(),
        }
    }
}

/// Somebody takes back what was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub at: String,
    /// How far it is.
    pub state: WithdrawalState,
    /// What users see once it is withdrawn, a sentence each.
    pub users: Vec<String>,
    /// What was done besides, and what stays, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How far a withdrawal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalState {
    /// It was asked for, and is not seen to be done.
    UnderWay,
    /// Nobody is served it any more.
    Withdrawn,
    /// It could not be done: its problem says why, and what to do. It may be asked for again.
    NotWithdrawn,
}

impl WithdrawalState {
    /// Its text in the API and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnderWay => "under_way",
            Self::Withdrawn => "withdrawn",
            Self::NotWithdrawn => "not_withdrawn",
        }
    }
}

/// What a promotion is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Looking at staging and the public place.
    Look,
    /// Copying the bytes.
    Copy,
    /// The server moves the file from one of its repositories to another.
    Move,
    /// The copy takes longer than the edge may run by itself: the release job's own request has to carry it.
    Carry,
    /// The public place has the file; waiting until its index serves it.
    Index,
}

/// Who released a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The person's GitLab user name.
    pub by: String,
    /// How it reached the edge: `webhook` or `job`.
    pub via: String,
    /// When.
    pub at: String,
    /// The manual job.
    pub job_url: String,
}

/// Why a target is not further, for a person under stress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name for the kind of problem, such as `conflict`.
    pub code: String,
    /// What happened, in one sentence.
    pub what: String,
    /// What the public can see of it: `none`, `partly`, `done`, or `unknown`.
    pub public: String,
    /// Whether trying again is `safe`, `automatic` or `useless`.
    pub retry: String,
    /// Who acts next, and what to do.
    pub next: String,
    /// What the service said, for its operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What a service left behind when it did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The host that was asked.
    pub host: String,
    /// Its HTTP status. `None` when no answer came, or one that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Its own name for the request, which its log has too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One try to bring a target to the public: what was done, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number under its approval, from 1.
    pub number: u32,
    /// The approval that it followed.
    pub approval: u64,
    /// When it began.
    pub began_at: String,
    /// When its end was seen.
    pub ended_at: String,
    /// What was done: `copy`, `move`, or `look` where it came to nothing else.
    pub act: Act,
    /// How it ended: `accepted`, or the code of its problem.
    pub ended: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What an attempt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Nothing but looking.
    Look,
    /// The staged bytes were sent to the public place.
    Copy,
    /// The server was asked to move the file.
    Move,
}

/// `GET …/{version}/targets/{key}/{target}`: one target and everything that was tried for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHistory {
    /// The package.
    pub key: Key,
    /// The target as it is.
    pub target: Target,
    /// Every attempt, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// `POST …/carries`: the release job holds this request open while the edge copies a package that takes longer than the
/// edge may run by itself. The answer is NDJSON: a [`CarryLine`] at least every ten seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CarryFields")]
pub struct CarryRequest {
    /// The package.
    pub key: Key,
    /// The target's distro version. Empty for an image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub distro: String,
    /// The tag of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// A [`CarryRequest`] as it comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CarryFields {
    key: Key,
    distro: Option<String>,
    tag: Option<String>,
}

impl TryFrom<CarryFields> for CarryRequest {
    type Error = &'static str;

    fn try_from(CarryFields { key, distro, tag }: CarryFields) -> Result<Self, Self::Error> {
        match (distro, tag) {
            (None, None) => Err("missing field `distro`"),
            (distro, tag) => Ok(Self { key, distro: distro.unwrap_or_default(), tag }),
        }
    }
}

impl CarryRequest {
    /// The target, by the text form of its name. `None` when it names two.
    pub fn target(&self) -> Option<String> {
        match &self.tag {
            Some(_) if !self.distro.is_empty() => None,
            Some(tag) => Some(format!(":{tag}")),
            None => Some(self.distro.clone()),
        }
    }
}

/// A line of the answer to a [`CarryRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarryLine {
    /// The copy goes on.
    Carrying,
    /// It ended, well or badly: the release says how.
    Ended,
    /// There was nothing to carry, and why.
    Refused(String),
}

/// `POST …/promotions`: some packages, which are approved together or not at all; or all that remain of the job's
/// pipeline, each on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionRequest {
    /// The packages to release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// All that remain.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
}

/// What was accepted: 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionAccepted {
    /// The packages that are approved now, or were before.
    pub keys: Vec<Key>,
    /// Those of all that are not, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedKey>,
    /// The address to follow.
    pub follow: String,
}

/// A package that is not released with the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedKey {
    /// The package.
    pub key: Key,
    /// A stable name of the reason, such as `gate-closed`.
    pub kind: String,
    /// What is missing.
    pub why: String,
}

/// `POST …/holds`, and `DELETE …/holds` to lift them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// The packages. `null`: the release as a whole, and whatever is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Key>>,
    /// Why, for those who wonder.
    pub reason: String,
    /// When the hold ends by itself: a moment as RFC 3339 writes it. Left out, when somebody lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// `POST …/extensions`: staging keeps packages for longer, and whatever was announced of them is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtensionRequest {
    /// The packages. `null`: all of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Key>>,
    /// Until when: a moment as RFC 3339 writes it.
    pub until: String,
    /// Why, for those who wonder.
    pub reason: String,
}

/// `GET /api/v1/projects/{project}/retention`: what becomes of everything that the project has in staging. A run that came
/// at this moment would do exactly what is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The project.
    pub project: Project,
    /// The time at which this was read.
    pub at: String,
    /// Whether anything is announced and deleted at all. Otherwise the list is all there is.
    pub enabled: bool,
    /// How much each staging place has of the project.
    pub places: Vec<StagedBytes>,
    /// Each package, those that rest the longest first.
    pub packages: Vec<Retained>,
}

/// How much a staging place has of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedBytes {
    /// The place's name in `slipway.toml`.
    pub place: String,
    /// The bytes of this project's packages there, by what was declared of them.
    pub bytes: u64,
    /// How many the account's plan has room for, of all its projects together, if `slipway.toml` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The bytes there of all projects of this edge, to be held against the limit. Left out where there is none, and while a
    /// project does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<u64>,
}

/// What becomes of one staged package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The staging place, by its name in `slipway.toml`.
    pub place: String,
    /// The repository there.
    pub repository: String,
    /// The file's name, or the image's.
    pub name: String,
    /// The declared bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What the next run does: `keep`, `announce`, `mark`, `delete`, or `take_back` what was announced.
    pub decision: String,
    /// Why, as a stable word.
    pub reason: String,
    /// Why, as a sentence.
    pub why: String,
    /// How far its deletion is: `announced` or `marked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// When it is deleted at the earliest, if nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// `POST …/close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Why, for those who wonder.
    pub reason: String,
}

/// `POST …/withdrawals`: takes back what was released. It names packages, all released targets of them; or single targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalRequest {
    /// The packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// Targets of packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetOfKey>,
    /// Why, for those who wonder.
    pub reason: String,
    /// Whether other releases that have the same file or tag public may lose it, too. Without this word they are named, and
    /// nothing is done.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
    /// Whether nothing is to be done: the answer says what would be.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
}

/// One target of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetOfKey {
    /// The package.
    pub key: Key,
    /// The text form of the target's name: `ubuntu/jammy`, or `:17.3.1` for a tag.
    pub target: TargetName,
}

/// The answer: what is taken back (202), or would be (200).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawals {
    /// Every target.
    pub withdrawals: Vec<PlannedWithdrawal>,
    /// The address to follow.
    pub follow: String,
}

/// One target that is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWithdrawal {
    /// The package.
    pub key: Key,
    /// The text form of the target's name.
    pub target: TargetName,
    /// Where it is public.
    pub public: Location,
    /// The file's name; for an image, where it was staged.
    pub name: String,
    /// The released bytes.
    pub digest: Digest,
    /// What is there now, where that is not what was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Other releases that have the same public and lose it, too: `VERSION/KEY`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// What users see once it is withdrawn, a sentence each.
    pub users: Vec<String>,
}

/// `POST …/overrides`: one of the people whom a gate names opens it for packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// The packages. `null`: all that the release has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Key>>,
    /// The kinds of gates: `staged`, `deployed`, `jobs`, `soak`, `freeze`, `second_person`.
    pub gates: Vec<String>,
    /// Why, for the audit.
    pub reason: String,
}

/// `POST …/deployments`: the staged bytes of this release run there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentRequest {
    /// The environment's name.
    pub environment: String,
}

/// `GET …/policy`: what applies to a project's releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The project.
    pub project: Project,
    /// SHA-256 of the edge's `slipway.toml`. Approvals carry it.
    pub policy: Digest,
    /// Who may release.
    pub releasers: PolicyReleasers,
    /// How long an approval holds of which nothing has begun.
    pub approvals_lapse: String,
    /// What packages need before they are released. All that fit a package apply.
    pub gates: Vec<PolicyGate>,
    /// Where packages go. The first that fits wins.
    pub routes: Vec<PolicyRoute>,
    /// The package servers and registries that the routes name, and where they are.
    pub places: Vec<PolicyPlace>,
}

/// Who may release, of a [`Policy`]. Whatever is said here must hold at once, and GitLab must let them play the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReleasers {
    /// GitLab's ids of the people. `None`: whoever GitLab lets play the job.
    pub people: Option<Vec<u64>>,
    /// The roles. `None`: any.
    pub levels: Option<Vec<AccessLevel>>,
    /// Whether the job's environment must be protected in GitLab.
    pub protected_environment: bool,
    /// The branches and tags of the jobs. They must be protected in any case.
    pub refs: Vec<String>,
    /// What may have started the jobs' pipeline.
    pub pipeline_sources: Vec<PipelineSource>,
}

/// A place of a [`Policy`]: one account at one package server or registry. Its secrets are not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPlace {
    /// Its name in routes.
    pub name: String,
    /// What it speaks: `packagecloud` or `registry`.
    #[serde(default = "packagecloud")]
    pub kind: String,
    /// The server's address.
    pub url: String,
    /// Where a registry gives tokens, if that is another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// What a registry's tokens must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Addresses that its downloads may be redirected to.
    pub storage: Vec<String>,
    /// Its repositories in which packages are staged.
    pub staging: Vec<String>,
    /// Its public repositories.
    pub public: Vec<String>,
}

fn packagecloud() -> String {
    "packagecloud".to_owned()
}

/// A gate of a [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyGate {
    /// Which versions it applies to.
    pub versions: Vec<String>,
    /// How near to everybody they are.
    pub maturities: Vec<Maturity>,
    /// Which packages it applies to.
    pub keys: Vec<String>,
    /// What it asks for, a sentence each.
    pub asks: Vec<String>,
    /// The jobs of a package's pipeline that it waits for.
    pub jobs: Vec<String>,
    /// GitLab's ids of the people who may override it.
    pub override_people: Vec<u64>,
}

/// A route of a [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRoute {
    /// Which versions it takes.
    pub versions: Vec<String>,
    /// How near to everybody they are.
    #[serde(default)]
    pub maturities: Vec<Maturity>,
    /// Which packages it takes.
    pub keys: Vec<String>,
    /// Which kinds of them: `deb` and `rpm`, or `image`.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Which distro versions.
    pub distros: Vec<String>,
    /// Which architectures.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// The staging repository, as `place/user/repository`.
    pub staging: String,
    /// The public repository.
    pub public: String,
    /// `copy` or `move`.
    pub how: How,
    /// Whether what says something about an image goes with it: signatures, bills of materials, attestations.
    #[serde(default, skip_serializing_if = "is_false")]
    pub referrers: bool,
    /// Whether what Slipway attests of an image is attached to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub attest: bool,
    /// The tags of the public repository that move with the newest image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<PolicyFloating>,
}

/// A tag that moves, of a [`PolicyRoute`]. All others are final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFloating {
    /// The tag: `latest`, or `{major}.{minor}`, in which the numbers of the version stand.
    pub tag: String,
    /// The versions that it may name: `final`, or `candidate` for those and final ones.
    pub of: Maturity,
}

/// `GET /readyz/secrets`: whether the edge's secrets are there and good. None of them is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// When they were looked at.
    pub at: String,
    /// Whether nothing was found.
    pub is_ready: bool,
    /// Each, by name.
    pub secrets: Vec<SecretReport>,
}

/// A secret of the edge, by the name that `slipway.toml` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretReport {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub uses: Vec<String>,
    /// What to think of it.
    pub verdict: Verdict,
    /// What was found, a sentence each.
    pub found: Vec<String>,
    /// Its last day, `2026-12-31`, where it has one and its service tells.
    pub expires_at: Option<String>,
}

/// `GET …/{project}/strangers`: what the public repositories of a project have that did not come through Slipway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strangers {
    /// Each repository, whether anything was found or not.
    pub repositories: Vec<SweptRepository>,
}

/// A public repository, as it was last read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptRepository {
    /// Its place.
    pub place: String,
    /// The repository.
    pub repository: String,
    /// What was there when it was adopted. `None` until it was read whole for the first time: until then nothing is a stranger.
    pub baseline: Option<Baseline>,
    /// When it was last read whole.
    pub swept_at: Option<String>,
    /// How many things it listed then.
    pub listed: u64,
    /// How many pages were read of it.
    pub pages: u64,
    /// Why it cannot be read, while that is so.
    pub trouble: Option<String>,
    /// What did not come through Slipway, the oldest first.
    pub strangers: Vec<Stranger>,
    /// How many more there are.
    pub more: u64,
}

/// What a repository had when it was adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When.
    pub taken_at: String,
    /// How many things.
    pub count: u64,
    /// The digest of all of them. `docs/operators/strangers.md` says how it is made.
    pub digest: Digest,
}

/// Something in a public repository that did not come through Slipway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Its distro version. An image has none.
    pub distro: Option<String>,
    /// The tag of an image.
    pub tag: Option<String>,
    /// Its file's name.
    pub filename: Option<String>,
    /// Its bytes, where the server tells.
    pub digest: Option<Digest>,
    /// `unknown` to Slipway, `differs` from what it released or is to release, or `withdrawn` and there again.
    pub why: String,
    /// The bytes that Slipway knows under the name.
    pub expected: Option<Digest>,
    /// The release that says so.
    pub version: Option<Version>,
    /// Whether another project of this deployment says so. What it knows is for those who may read it.
    #[serde(default)]
    pub of_another: bool,
    /// When it was first seen.
    pub found_at: String,
    /// When it was last seen.
    pub seen_at: String,
}

/// `POST …/{project}/adoptions`: strangers are taken for known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptionRequest {
    /// The place.
    pub place: String,
    /// The repository.
    pub repository: String,
    /// Why they may stay.
    pub reason: String,
    /// Those with these bytes.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// Every one that Slipway does not know otherwise.
    #[serde(default)]
    pub all: bool,
}

/// What an adoption did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// How many were taken.
    pub adopted: u64,
}

/// `POST …/{project}/strangers`, which takes what the same path gave before a restore: what is a stranger again, in each repository of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// Each repository of the list.
    pub repositories: Vec<RecalledRepository>,
}

/// What became of the strangers of one repository that had counted as known since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecalledRepository {
    /// Its place.
    pub place: String,
    /// The repository.
    pub repository: String,
    /// How many are strangers again.
    pub recalled: u64,
    /// What counts as known from now on.
    pub baseline: Baseline,
    /// Whether that is what the list says was known.
    pub agrees: bool,
    /// How many strangers there were that the list does not name.
    pub more: u64,
}

/// How an answer of an examination is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it must be.
    Good,
    /// Something is to be done.
    Finding,
    /// It could not be told.
    NotAsked,
}

/// `GET …/releases`: the versions of a project, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSummary {
    /// The version.
    pub version: Version,
    /// The release as a whole.
    pub state: ReleaseState,
    /// The release in one sentence.
    pub verdict: String,
}

/// An error, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// A stable name: `about:blank` never says enough.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was being done to what, why it failed, what to do next.
    pub detail: String,
}

//! The bodies of GitLab's webhooks, with their keys in GitLab's order.

use serde::Serialize;

use super::{
    clock::{Moment, seconds_between},
    job::{Environment, Job, Pipeline, Status},
    world::{Project, TimeFormat, User, World},
};

/// No earlier commit: a new tag or branch.
const NO_SHA: &str = "0000000000000000000000000000000000000000";

#[derive(Serialize)]
struct JobHook<'a> {
    object_kind: &'static str,
    r#ref: &'a str,
    tag: bool,
    before_sha: &'static str,
    sha: &'a str,
    retries_count: u64,
    build_id: u64,
    build_name: &'a str,
    build_stage: &'a str,
    build_status: Status,
    build_created_at: String,
    build_started_at: Option<String>,
    build_finished_at: Option<String>,
    build_created_at_iso: String,
    build_started_at_iso: Option<String>,
    build_finished_at_iso: Option<String>,
    build_duration: Option<f64>,
    build_queued_duration: Option<f64>,
    build_allow_failure: bool,
    build_failure_reason: &'a str,
    pipeline_id: u64,
    runner: Option<Runner>,
    project_id: u64,
    project_name: String,
    user: Option<HookUser<'a>>,
    commit: PipelineCommit<'a>,
    repository: Repository<'a>,
    project: HookProject<'a>,
    environment: Option<HookEnvironment<'a>>,
}

#[derive(Serialize)]
pub(super) struct Runner {
    id: u64,
    description: &'static str,
    #[serde(rename = "runner_type")]
    kind: &'static str,
    active: bool,
    is_shared: bool,
    tags: [&'static str; 1],
}

impl Runner {
    /// The one runner; its id is in ID tokens too.
    pub(super) const ID: u64 = 12;

    fn of(job: &Job) -> Option<Self> {
        job.started_at.map(|_| Self {
            id: Self::ID,
            description: "stand-in",
            kind: "instance_type",
            active: true,
            is_shared: true,
            tags: ["linux"],
        })
    }
}

#[derive(Serialize)]
struct HookUser<'a> {
    id: u64,
    name: &'a str,
    username: &'a str,
    avatar_url: Option<&'a str>,
    email: &'static str,
}

impl<'a> HookUser<'a> {
    fn of(world: &'a World, id: u64) -> Option<Self> {
        let user = world.users.get(&id)?;
        Some(Self { id, name: &user.name, username: &user.username, avatar_url: None, email: "[REDACTED]" })
    }
}

/// The Job Hook's `commit`: it describes the pipeline.
#[derive(Serialize)]
struct PipelineCommit<'a> {
    id: u64,
    name: Option<&'a str>,
    sha: &'a str,
    message: String,
    author_name: &'a str,
    author_email: String,
    author_url: String,
    status: Status,
    duration: Option<f64>,
    started_at: Option<String>,
    finished_at: Option<String>,
    started_at_iso: Option<String>,
    finished_at_iso: Option<String>,
}

#[derive(Serialize)]
struct Repository<'a> {
    name: &'a str,
    url: String,
    description: &'static str,
    homepage: String,
    git_http_url: String,
    git_ssh_url: String,
    visibility_level: u8,
}

#[derive(Serialize)]
struct HookProject<'a> {
    id: u64,
    name: &'a str,
    description: &'static str,
    web_url: String,
    avatar_url: Option<&'a str>,
    git_ssh_url: String,
    git_http_url: String,
    namespace: String,
    visibility_level: u8,
    path_with_namespace: &'a str,
    default_branch: &'a str,
    ci_config_path: Option<&'a str>,
}

impl<'a> HookProject<'a> {
    fn of(instance: &str, project: &'a Project) -> Self {
        Self {
            id: project.id,
            name: project.last_name(),
            description: "",
            web_url: web_url(instance, project),
            avatar_url: None,
            git_ssh_url: git_ssh_url(instance, project),
            git_http_url: git_http_url(instance, project),
            namespace: project.namespace_title(),
            visibility_level: project.visibility_level(),
            path_with_namespace: &project.path,
            default_branch: &project.default_branch,
            ci_config_path: None,
        }
    }
}

#[derive(Serialize)]
struct HookEnvironment<'a> {
    name: &'a str,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_tier: Option<&'a str>,
}

/// Where people look at a project.
pub(super) fn web_url(instance: &str, project: &Project) -> String {
    format!("{instance}/{}", project.path)
}

fn git_http_url(instance: &str, project: &Project) -> String {
    format!("{instance}/{}.git", project.path)
}

fn git_ssh_url(instance: &str, project: &Project) -> String {
    let authority = instance.split_once("://").map_or(instance, |(_, authority)| authority);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    format!("git@{host}:{}.git", project.path)
}

/// First start, last end (once the pipeline has ended) of a pipeline's jobs.
pub(super) fn span(world: &World, pipeline: &Pipeline) -> (Option<Moment>, Option<Moment>) {
    let started = world.jobs_of(pipeline.id).filter_map(|job| job.started_at).min();
    let finished = world.jobs_of(pipeline.id).filter_map(|job| job.finished_at).max();
    let ended = matches!(
        world.pipeline_status(pipeline.id),
        Status::Success | Status::Failed | Status::Canceled | Status::Skipped
    );
    (started, finished.filter(|_| ended))
}

/// The body of a Job Hook about the job as it is now.
pub(super) fn job_hook(world: &World, instance: &str, format: TimeFormat, job: &Job) -> Option<String> {
    let pipeline = world.pipelines.get(&job.pipeline_id)?;
    let project = world.projects.get(&job.project_id)?;
    let author = world.users.get(&pipeline.user_id)?;
    let write = |moment: Moment| format.write(moment);
    let (pipeline_started, pipeline_finished) = span(world, pipeline);
    let hook = JobHook {
        object_kind: "build",
        r#ref: &pipeline.r#ref,
        tag: pipeline.tag,
        before_sha: NO_SHA,
        sha: &pipeline.sha,
        retries_count: job.retries_count,
        build_id: job.id,
        build_name: &job.name,
        build_stage: &job.stage,
        build_status: job.status,
        build_created_at: write(job.created_at),
        build_started_at: job.started_at.map(write),
        build_finished_at: job.finished_at.map(write),
        build_created_at_iso: job.created_at.iso(),
        build_started_at_iso: job.started_at.map(Moment::iso),
        build_finished_at_iso: job.finished_at.map(Moment::iso),
        build_duration: seconds_between(job.started_at, job.finished_at),
        build_queued_duration: seconds_between(job.queued_at, job.started_at),
        build_allow_failure: job.allow_failure,
        build_failure_reason: job.failure_reason.as_deref().unwrap_or("unknown_failure"),
        pipeline_id: pipeline.id,
        runner: Runner::of(job),
        project_id: project.id,
        project_name: format!("{} / {}", project.namespace_title(), project.last_name()),
        user: HookUser::of(world, job.user_id),
        commit: PipelineCommit {
            id: pipeline.id,
            name: None,
            sha: &pipeline.sha,
            message: commit_message(pipeline),
            author_name: &author.name,
            author_email: author.email(),
            author_url: format!("{instance}/{}", author.username),
            status: world.pipeline_status(pipeline.id),
            duration: seconds_between(pipeline_started, pipeline_finished),
            started_at: pipeline_started.map(write),
            finished_at: pipeline_finished.map(write),
            started_at_iso: pipeline_started.map(Moment::iso),
            finished_at_iso: pipeline_finished.map(Moment::iso),
        },
        repository: Repository {
            name: project.last_name(),
            url: git_ssh_url(instance, project),
            description: "",
            homepage: web_url(instance, project),
            git_http_url: git_http_url(instance, project),
            git_ssh_url: git_ssh_url(instance, project),
            visibility_level: project.visibility_level(),
        },
        project: HookProject::of(instance, project),
        environment: job.environment.as_ref().map(|environment| hook_environment(environment, false)),
    };
    serde_json::to_string(&hook).ok()
}

fn hook_environment(environment: &Environment, with_tier: bool) -> HookEnvironment<'_> {
    HookEnvironment {
        name: &environment.name,
        action: &environment.action,
        deployment_tier: with_tier.then(|| environment.tier()),
    }
}

/// The message of the commit that a pipeline runs for.
pub(super) fn commit_message(pipeline: &Pipeline) -> String {
    format!("Prepare {}\n", pipeline.r#ref)
}

#[derive(Serialize)]
struct PipelineHook<'a> {
    object_kind: &'static str,
    object_attributes: PipelineAttributes<'a>,
    merge_request: Option<()>,
    user: Option<HookUser<'a>>,
    project: HookProject<'a>,
    commit: Commit<'a>,
    builds: Vec<Build<'a>>,
}

#[derive(Serialize)]
struct PipelineAttributes<'a> {
    id: u64,
    iid: u64,
    name: Option<&'a str>,
    r#ref: &'a str,
    tag: bool,
    sha: &'a str,
    before_sha: &'static str,
    source: &'a str,
    status: Status,
    detailed_status: &'static str,
    stages: Vec<&'a str>,
    created_at: String,
    finished_at: Option<String>,
    duration: Option<f64>,
    queued_duration: Option<f64>,
    variables: [(); 0],
    url: String,
}

#[derive(Serialize)]
struct Commit<'a> {
    id: &'a str,
    message: String,
    title: String,
    timestamp: String,
    url: String,
    author: Author<'a>,
}

#[derive(Serialize)]
struct Author<'a> {
    name: &'a str,
    email: String,
}

#[derive(Serialize)]
struct Build<'a> {
    id: u64,
    stage: &'a str,
    name: &'a str,
    status: Status,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    duration: Option<f64>,
    queued_duration: Option<f64>,
    failure_reason: Option<&'a str>,
    when: &'static str,
    manual: bool,
    allow_failure: bool,
    user: Option<HookUser<'a>>,
    runner: Option<Runner>,
    artifacts_file: ArtifactsFile,
    environment: Option<HookEnvironment<'a>>,
}

#[derive(Serialize)]
struct ArtifactsFile {
    filename: Option<()>,
    size: Option<()>,
}

/// The body of a Pipeline Hook about the pipeline as it is now: the newest attempt of each job.
pub(super) fn pipeline_hook(world: &World, instance: &str, format: TimeFormat, pipeline: &Pipeline) -> Option<String> {
    let project = world.projects.get(&pipeline.project_id)?;
    let author = world.users.get(&pipeline.user_id)?;
    let write = |moment: Moment| format.write(moment);
    let (started, finished) = span(world, pipeline);
    let status = world.pipeline_status(pipeline.id);
    let mut stages: Vec<&str> = Vec::new();
    for job in world.jobs_of(pipeline.id) {
        if !stages.contains(&job.stage.as_str()) {
            stages.push(&job.stage);
        }
    }
    let hook = PipelineHook {
        object_kind: "pipeline",
        object_attributes: PipelineAttributes {
            id: pipeline.id,
            iid: pipeline.iid,
            name: None,
            r#ref: &pipeline.r#ref,
            tag: pipeline.tag,
            sha: &pipeline.sha,
            before_sha: NO_SHA,
            source: &pipeline.source,
            status,
            detailed_status: match status {
                Status::Success => "passed",
                Status::Manual => "blocked",
                other => other.word(),
            },
            stages,
            created_at: write(pipeline.created_at),
            finished_at: finished.map(write),
            duration: seconds_between(started, finished),
            queued_duration: seconds_between(Some(pipeline.created_at), started),
            variables: [],
            url: format!("{}/-/pipelines/{}", web_url(instance, project), pipeline.id),
        },
        merge_request: None,
        user: HookUser::of(world, pipeline.user_id),
        project: HookProject::of(instance, project),
        commit: Commit {
            id: &pipeline.sha,
            message: commit_message(pipeline),
            title: commit_message(pipeline).trim_end().to_owned(),
            timestamp: pipeline.created_at.iso(),
            url: format!("{}/-/commit/{}", web_url(instance, project), pipeline.sha),
            author: Author { name: &author.name, email: author.email() },
        },
        builds: world
            .jobs_of(pipeline.id)
            .rev()
            .filter(|job| !job.retried)
            .map(|job| Build {
                id: job.id,
                stage: &job.stage,
                name: &job.name,
                status: job.status,
                created_at: write(job.created_at),
                started_at: job.started_at.map(write),
                finished_at: job.finished_at.map(write),
                duration: seconds_between(job.started_at, job.finished_at),
                queued_duration: seconds_between(job.queued_at, job.started_at),
                failure_reason: job.failure_reason.as_deref(),
                when: if job.manual { "manual" } else { "on_success" },
                manual: job.manual,
                allow_failure: job.allow_failure,
                user: HookUser::of(world, job.user_id),
                runner: Runner::of(job),
                artifacts_file: ArtifactsFile { filename: None, size: None },
                environment: job.environment.as_ref().map(|environment| hook_environment(environment, true)),
            })
            .collect(),
    };
    serde_json::to_string(&hook).ok()
}

#[derive(Serialize)]
struct DeploymentHook<'a> {
    object_kind: &'static str,
    status: Status,
    status_changed_at: String,
    deployment_id: u64,
    deployable_id: u64,
    deployable_url: String,
    environment: &'a str,
    environment_tier: &'a str,
    environment_slug: String,
    environment_external_url: Option<()>,
    project: HookProject<'a>,
    short_sha: &'a str,
    user: Option<HookUser<'a>>,
    user_url: String,
    commit_url: String,
    commit_title: String,
    r#ref: &'a str,
}

/// The body of a Deployment Hook about a job with an environment that it starts. The deployment has the job's number.
pub(super) fn deployment_hook(world: &World, instance: &str, job: &Job, now: Moment) -> Option<String> {
    let environment = job.environment.as_ref().filter(|environment| environment.action == "start")?;
    let pipeline = world.pipelines.get(&job.pipeline_id)?;
    let project = world.projects.get(&job.project_id)?;
    let user = world.users.get(&job.user_id)?;
    let hook = DeploymentHook {
        object_kind: "deployment",
        status: job.status,
        status_changed_at: now.offset(),
        deployment_id: job.id,
        deployable_id: job.id,
        deployable_url: job_url(instance, project, job),
        environment: &environment.name,
        environment_tier: environment.tier(),
        environment_slug: slug(&environment.name),
        environment_external_url: None,
        project: HookProject::of(instance, project),
        short_sha: pipeline.sha.get(..8).unwrap_or(&pipeline.sha),
        user: HookUser::of(world, user.id),
        user_url: user_url(instance, user),
        commit_url: format!("{}/-/commit/{}", web_url(instance, project), pipeline.sha),
        commit_title: commit_message(pipeline).trim_end().to_owned(),
        r#ref: &pipeline.r#ref,
    };
    serde_json::to_string(&hook).ok()
}

/// Where people look at a job.
pub(super) fn job_url(instance: &str, project: &Project, job: &Job) -> String {
    format!("{}/-/jobs/{}", web_url(instance, project), job.id)
}

/// Where people look at a person.
pub(super) fn user_url(instance: &str, user: &User) -> String {
    format!("{instance}/{}", user.username)
}

/// Lower-case letters, digits and dashes, at most 24. (GitLab also ends a name that it had to change with a hash.)
fn slug(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|symbol| if symbol.is_ascii_alphanumeric() { symbol } else { '-' })
        .take(24)
        .collect()
}

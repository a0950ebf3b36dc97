//! What happens to jobs: created, played, taken by the runner, finished, retried; and which webhooks each step sends.

use sha2::{Digest, Sha256};

use super::{
    clock::{Moment, hex, secret},
    delivery::{Message, queue},
    job::{Environment, Job, Pipeline, Status},
    journal::Fact,
    payload,
    world::{Change, Hook, HookEvent},
};

/// A job as its pipeline declares it.
pub(super) struct NewJob {
    /// Chosen by the caller; must be free.
    pub(super) id: Option<u64>,
    pub(super) name: String,
    pub(super) stage: String,
    pub(super) manual: bool,
    pub(super) allow_failure: bool,
    pub(super) environment: Option<Environment>,
    /// How far the job has come; it gets there step by step, with the webhook of each.
    pub(super) status: Status,
    pub(super) user_id: u64,
}

/// A pipeline as its trigger declares it.
pub(super) struct NewPipeline {
    pub(super) id: Option<u64>,
    pub(super) r#ref: String,
    pub(super) tag: bool,
    pub(super) protected: bool,
    pub(super) sha: Option<String>,
    pub(super) source: String,
    pub(super) user_id: u64,
}

/// A step that GitLab would not take with the job as it is.
#[derive(Debug)]
pub(super) enum Impossible {
    Play,
    Retry,
    /// The environment is protected from the person.
    Deploy,
    /// Ending the job, which has this status.
    Finish(Status),
}

/// One job at a time in a change, with everything that its steps need to know.
pub(super) struct Steps<'c, 'w> {
    pub(super) change: &'c mut Change<'w>,
    /// The instance's address, for the links in the webhooks.
    pub(super) instance: &'c str,
    pub(super) now: Moment,
}

impl Steps<'_, '_> {
    pub(super) fn start_pipeline(&mut self, project_id: u64, new: NewPipeline) -> u64 {
        let id = new.id.unwrap_or_else(|| self.change.world.next_pipeline_id());
        let iid = self.change.world.pipelines.values().filter(|known| known.project_id == project_id).count() + 1;
        // Without a commit of the caller's, one that belongs to the ref: its pipelines share it.
        let sha =
            new.sha.unwrap_or_else(|| hex(&Sha256::digest(format!("{project_id} {}", new.r#ref)))[..40].to_owned());
        self.change.record(Fact::Pipeline(Pipeline {
            id,
            iid: iid as u64,
            project_id,
            r#ref: new.r#ref,
            tag: new.tag,
            protected: new.protected,
            sha,
            source: new.source,
            user_id: new.user_id,
            created_at: self.now,
        }));
        id
    }

    /// Adds a job to a pipeline and takes it as far as its status says.
    pub(super) fn create(&mut self, project_id: u64, pipeline_id: u64, new: NewJob) -> u64 {
        let world = &self.change.world;
        let id = new.id.unwrap_or_else(|| world.next_job_id());
        let retries_count = world.jobs_of(pipeline_id).filter(|job| job.name == new.name).count() as u64;
        let job = Job {
            id,
            project_id,
            pipeline_id,
            name: new.name,
            stage: new.stage,
            status: Status::Created,
            user_id: new.user_id,
            manual: new.manual,
            allow_failure: new.allow_failure,
            environment: new.environment,
            created_at: self.now,
            queued_at: None,
            started_at: None,
            finished_at: None,
            failure_reason: None,
            retries_count,
            retried: false,
            token: secret("glcbt-"),
        };
        self.enter(&job);
        match new.status {
            Status::Created => {}
            Status::Pending => self.enqueue(id, None),
            Status::Running => {
                self.enqueue(id, None);
                self.run(id);
            }
            Status::Success | Status::Failed => {
                self.enqueue(id, None);
                self.run(id);
                // One whose environment is protected from its person has failed already.
                if self.change.world.jobs.get(&id).is_some_and(|job| !job.status.is_final()) {
                    self.end(id, new.status, None);
                }
            }
            Status::Canceled => self.end(id, new.status, None),
            silent => self.set(id, |job| job.status = silent),
        }
        id
    }

    /// A person plays a manual job: the job becomes theirs, then it is queued. A finished one gets a new attempt.
    pub(super) fn play(&mut self, id: u64, player: u64) -> Result<u64, Impossible> {
        let job = self.change.world.jobs.get(&id).filter(|job| job.is_playable()).ok_or(Impossible::Play)?;
        if job.status.is_final() {
            return self.retry(id, player);
        }
        self.may_deploy(id, player)?;
        self.enqueue(id, Some(player));
        Ok(id)
    }

    /// A new attempt of a finished job, under the same name, queued at once.
    pub(super) fn retry(&mut self, id: u64, by: u64) -> Result<u64, Impossible> {
        let job = self.change.world.jobs.get(&id).filter(|job| job.is_retryable()).ok_or(Impossible::Retry)?.clone();
        self.may_deploy(id, by)?;
        let again = NewJob {
            id: None,
            name: job.name.clone(),
            stage: job.stage.clone(),
            manual: job.manual,
            allow_failure: job.allow_failure,
            environment: job.environment.clone(),
            status: Status::Pending,
            user_id: by,
        };
        let (project_id, pipeline_id) = (job.project_id, job.pipeline_id);
        let mut old = job.clone();
        old.retried = true;
        self.change.record(Fact::Job(Box::new(old)));
        Ok(self.create(project_id, pipeline_id, again))
    }

    /// Whether the job's environment, if it has one, is open to a person.
    fn may_deploy(&self, id: u64, user: u64) -> Result<(), Impossible> {
        if self.is_protected_from(id, user) { Err(Impossible::Deploy) } else { Ok(()) }
    }

    fn is_protected_from(&self, id: u64, user: u64) -> bool {
        let world = &self.change.world;
        let job = world.jobs.get(&id);
        let environment = job.and_then(|job| Some((job.project_id, job.environment.as_ref()?)));
        environment.is_some_and(|(project, environment)| world.is_protected_from(project, &environment.name, user))
    }

    /// The runner takes a queued job.
    pub(super) fn run(&mut self, id: u64) {
        if self.change.world.jobs.get(&id).is_some_and(|job| job.status == Status::Pending) {
            let now = self.now;
            self.set(id, |job| {
                job.status = Status::Running;
                job.started_at = Some(now);
            });
        }
    }

    /// A running job ends; one that has not begun can only be canceled.
    pub(super) fn finish(&mut self, id: u64, status: Status, reason: Option<String>) -> Result<(), Impossible> {
        let known = self.change.world.jobs.get(&id).map(|job| job.status);
        match known {
            Some(Status::Running) => {}
            Some(now) if status == Status::Canceled && !now.is_final() => {}
            now => return Err(Impossible::Finish(now.unwrap_or(Status::Skipped))),
        }
        self.end(id, status, reason);
        Ok(())
    }

    fn end(&mut self, id: u64, status: Status, reason: Option<String>) {
        let now = self.now;
        self.set(id, |job| {
            job.status = status;
            job.finished_at = Some(now);
            job.failure_reason =
                (status == Status::Failed).then(|| reason.unwrap_or_else(|| "script_failure".to_owned()));
        });
    }

    fn enqueue(&mut self, id: u64, player: Option<u64>) {
        let now = self.now;
        self.set(id, |job| {
            // GitLab sets the player before the transition, so the webhook already names them.
            job.user_id = player.unwrap_or(job.user_id);
            job.status = Status::Pending;
            job.queued_at = Some(now);
        });
        let owner = self.change.world.jobs.get(&id).map(|job| job.user_id);
        if owner.is_some_and(|owner| self.is_protected_from(id, owner)) {
            self.end(id, Status::Failed, Some("protected_environment_failure".to_owned()));
        }
    }

    fn set(&mut self, id: u64, edit: impl FnOnce(&mut Job)) {
        if let Some(mut job) = self.change.world.jobs.get(&id).cloned() {
            edit(&mut job);
            self.enter(&job);
        }
    }

    /// Records the job's new state and queues the webhooks about it.
    fn enter(&mut self, job: &Job) {
        let (id, pipeline_id, project_id) = (job.id, job.pipeline_id, job.project_id);
        let had_jobs = self.change.world.jobs_of(pipeline_id).next().is_some();
        let before = had_jobs.then(|| self.change.world.pipeline_status(pipeline_id));
        self.change.record(Fact::Job(Box::new(job.clone())));
        let pipeline_moved = before != Some(self.change.world.pipeline_status(pipeline_id));
        let hooks: Vec<Hook> = self.change.world.hooks_of(project_id).cloned().collect();
        for hook in hooks {
            let world = &self.change.world;
            let wants = |event: HookEvent| hook.events.contains(&event);
            let body = (wants(HookEvent::Job) && job.status.is_announced())
                .then(|| payload::job_hook(world, self.instance, hook.time_format, job))
                .flatten();
            let deployment = (wants(HookEvent::Deployment) && (job.status == Status::Running || job.status.is_final()))
                .then(|| payload::deployment_hook(world, self.instance, job, self.now))
                .flatten();
            let pipeline = (wants(HookEvent::Pipeline) && pipeline_moved)
                .then(|| world.pipelines.get(&pipeline_id))
                .flatten()
                .and_then(|pipeline| payload::pipeline_hook(world, self.instance, hook.time_format, pipeline));
            for (event, body) in
                [(HookEvent::Job, body), (HookEvent::Deployment, deployment), (HookEvent::Pipeline, pipeline)]
            {
                if let Some(body) = body {
                    queue(self.change, &hook, Message::of(event, body, id), self.now);
                }
            }
        }
    }
}

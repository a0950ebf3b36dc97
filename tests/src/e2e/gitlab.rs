//! What people, runners and the operator of a GitLab do, through the stand-in's control routes.

use serde_json::{Value, json};
use slipway_stack::Stack;

use super::{send, wait_until};

/// The GitLab stand-in.
#[derive(Clone, Debug)]
pub struct Gitlab {
    control: String,
    audience: String,
}

impl Gitlab {
    pub(super) fn of(stack: &Stack) -> Self {
        Self { control: stack.gitlab_control(), audience: stack.audience() }
    }

    /// Any control route. `path` is what follows `/_control/`.
    #[track_caller]
    pub fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(method, &format!("{}/_control/{path}", self.control), &[("content-type", "application/json")], body)
            .ok()
            .json()
    }

    /// A new job. What is not said is as in `POST /_control/jobs`.
    pub fn job(&self, job: &Value) -> Value {
        self.tell("POST", "jobs", job)
    }

    /// A person plays a manual job, and a runner takes it. The job's number: playing a finished job makes another.
    pub fn play(&self, job: u64, user: &str) -> u64 {
        id(&self.tell("POST", &format!("jobs/{job}/play"), &json!({"user": user})))
    }

    /// A running job ends.
    pub fn finish(&self, job: u64, status: &str) {
        self.tell("POST", &format!("jobs/{job}/finish"), &json!({"status": status}));
    }

    /// The ID token of a running job.
    pub fn id_token(&self, job: u64) -> String {
        self.forged_id_token(job, &json!({}))
    }

    /// The same, with wishes: `claims` and `header` to replace, `aud`, `key`.
    pub fn forged_id_token(&self, job: u64, wishes: &Value) -> String {
        let mut request = json!({"job_id": job, "aud": self.audience});
        for (name, value) in wishes.as_object().expect("wishes have names") {
            request[name] = value.clone();
        }
        self.tell("POST", "id-token", &request)["id_token"].as_str().expect("a token").to_owned()
    }

    /// The webhooks about a job, oldest first.
    pub fn deliveries(&self, job: u64) -> Vec<Value> {
        self.tell("GET", &format!("deliveries?job_id={job}"), &Value::Null).as_array().expect("a list").clone()
    }

    /// Waits for the webhook that tells of this status, and until it has been sent.
    pub fn delivery(&self, job: u64, status: &str) -> Value {
        let mut found = Value::Null;
        wait_until(&format!("the webhook of job {job} about `{status}` has been sent"), || {
            let deliveries = self.deliveries(job);
            let sent = |one: &&Value| one["body"]["build_status"] == status && !one["finished_at"].is_null();
            found = deliveries.iter().find(sent).cloned().unwrap_or_default();
            !found.is_null()
        });
        found
    }

    /// A person sends a webhook again. What became of it.
    pub fn resend(&self, delivery: &Value) -> Value {
        self.tell("POST", &format!("deliveries/{}/resend", delivery["id"]), &Value::Null)
    }

    /// Sends a project's webhooks elsewhere.
    pub fn point_hook(&self, project: u64, url: &str) {
        self.tell("POST", "hooks", &json!({"project": project, "url": url}));
    }

    /// Has a project's webhooks signed, or with `null` sent with the secret token alone; and which events it sends.
    pub fn change_hook(&self, project: u64, change: &Value) {
        let mut hook = json!({"project": project});
        for (name, value) in change.as_object().expect("settings have names") {
            hook[name] = value.clone();
        }
        self.tell("POST", "hooks", &hook);
    }

    /// The commit statuses that Slipway has set, the oldest first.
    pub fn statuses(&self) -> Vec<Value> {
        self.tell("GET", "outward", &Value::Null)["statuses"].as_array().expect("a list").clone()
    }

    /// The pipelines that a trigger token has started, the oldest first.
    pub fn triggered(&self) -> Vec<Value> {
        self.tell("GET", "outward", &Value::Null)["triggered"].as_array().expect("a list").clone()
    }

    /// Protects an environment: who may deploy there, each as `{user_id}`, `{access_level}` or `{group_id}`.
    pub fn protect(&self, project: u64, environment: &str, levels: &Value) {
        let protected = json!({"project": project, "name": environment, "deploy_access_levels": levels});
        self.tell("POST", "protected-environments", &protected);
    }

    /// Whether GitLab lets a person play a job.
    pub fn lets_play(&self, job: u64, user: &str) -> bool {
        let url = format!("{}/_control/jobs/{job}/play", self.control);
        let body = json!({"user": user}).to_string();
        let answer = send("POST", &url, &[("content-type", "application/json")], body);
        assert!([200, 409].contains(&answer.status), "{}", answer.text());
        answer.status == 200
    }

    /// The next calls of the API are answered with an error.
    pub fn fail(&self, times: u32) {
        self.tell("POST", "fail", &json!({"on": "api", "times": times, "status": 503}));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.tell("DELETE", "fail", &Value::Null);
    }

    /// How many times the API was asked for a job.
    pub fn times_asked(&self, project: u64, job: u64) -> usize {
        let requests = self.tell("GET", "requests", &Value::Null);
        let path = format!("/api/v4/projects/{project}/jobs/{job}");
        requests.as_array().expect("a list").iter().filter(|request| request["path"] == path).count()
    }
}

pub(super) fn id(job: &Value) -> u64 {
    job["id"].as_u64().unwrap_or_else(|| panic!("no job in {job}"))
}

//! The ID token of a job: the claims that GitLab signs. Every id and boolean is a string, as GitLab has them.

use std::io;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::{
    clock::{Moment, uuid},
    job::Job,
    keys::{Key, Keys},
    payload::Runner,
    world::World,
};

/// GitLab's default job time-out, which is how long a token lives.
const LIFETIME_SECONDS: i64 = 3600;

/// What to put into a token besides what the job says.
#[derive(Default)]
pub(super) struct Wishes {
    /// Claims to replace, or with `null` to leave out.
    pub(super) claims: Map<String, Value>,
    /// Header fields to replace, or with `null` to leave out.
    pub(super) header: Map<String, Value>,
    /// Sign with a key that is in no key set.
    pub(super) other_key: bool,
}

/// The claims of a job's token for one audience. `None` when the job's project, pipeline or user is unknown.
pub(super) fn claims(
    world: &World,
    issuer: &str,
    job: &Job,
    audience: &Value,
    now: Moment,
) -> Option<Map<String, Value>> {
    let project = world.projects.get(&job.project_id)?;
    let pipeline = world.pipelines.get(&job.pipeline_id)?;
    let user = world.users.get(&job.user_id)?;
    let ref_type = if pipeline.tag { "tag" } else { "branch" };
    let begin = now.seconds();
    let host = issuer.split_once("://").map_or(issuer, |(_, host)| host);
    let mut claims = json!({
        "iss": issuer,
        "iat": begin,
        "nbf": begin - 5,
        "exp": begin + LIFETIME_SECONDS,
        "jti": uuid(),
        "aud": audience,
        "sub": format!("project_path:{}:ref_type:{ref_type}:ref:{}", project.path, pipeline.r#ref),
        "project_id": project.id.to_string(),
        "project_path": project.path,
        "namespace_id": project.namespace_id.to_string(),
        "namespace_path": project.namespace_path(),
        "job_project_id": project.id.to_string(),
        "job_project_path": project.path,
        "job_namespace_id": project.namespace_id.to_string(),
        "job_namespace_path": project.namespace_path(),
        "user_id": user.id.to_string(),
        "user_login": user.username,
        "user_email": user.email(),
        "user_access_level": user.role(project.id),
        "project_visibility": project.visibility,
        "pipeline_id": pipeline.id.to_string(),
        "pipeline_source": pipeline.source,
        "job_id": job.id.to_string(),
        "ref": pipeline.r#ref,
        "ref_type": ref_type,
        "ref_path": pipeline.ref_path(),
        "ref_protected": pipeline.protected.to_string(),
        "sha": pipeline.sha,
        "runner_id": Runner::ID,
        "runner_environment": "self-hosted",
        "job_source": pipeline.source,
        "ci_config_ref_uri": format!("{host}/{}//.gitlab-ci.yml@{}", project.path, pipeline.ref_path()),
        "ci_config_sha": pipeline.sha,
    });
    let claims = claims.as_object_mut().map(std::mem::take)?;
    let is_protected = job
        .environment
        .as_ref()
        .is_some_and(|environment| environment.protected || world.is_protected(project.id, &environment.name));
    Some(match &job.environment {
        None => claims,
        Some(environment) => claims
            .into_iter()
            .chain([
                ("environment".to_owned(), json!(environment.name)),
                ("environment_protected".to_owned(), json!(is_protected.to_string())),
                ("deployment_tier".to_owned(), json!(environment.tier())),
                ("environment_action".to_owned(), json!(environment.action)),
            ])
            .collect(),
    })
}

/// Signs the claims, or forges them as wished.
pub(super) fn sign(keys: &Keys, mut claims: Map<String, Value>, wishes: Wishes) -> io::Result<String> {
    let key = if wishes.other_key { keys.other()? } else { keys.current() };
    let mut header = Map::from_iter([
        ("typ".to_owned(), json!("JWT")),
        ("kid".to_owned(), json!(key.id)),
        ("alg".to_owned(), json!("RS256")),
    ]);
    replace(&mut claims, wishes.claims);
    replace(&mut header, wishes.header);
    let encode = |part: &Map<String, Value>| {
        serde_json::to_vec(part).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(io::Error::other)
    };
    let message = format!("{}.{}", encode(&header)?, encode(&claims)?);
    let signature = signature(key, header.get("alg").and_then(Value::as_str), message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The signature that a forger would send with each algorithm: none at all, or an HMAC whose key is public.
fn signature(key: &Key, algorithm: Option<&str>, message: &[u8]) -> io::Result<Vec<u8>> {
    match algorithm {
        Some(none) if none.eq_ignore_ascii_case("none") => Ok(Vec::new()),
        Some("HS256") => {
            let pem = key.public_pem()?;
            let mut mac = Hmac::<Sha256>::new_from_slice(pem.as_bytes()).map_err(io::Error::other)?;
            mac.update(message);
            Ok(mac.finalize().into_bytes().to_vec())
        }
        _ => key.sign(message).map_err(io::Error::other),
    }
}

fn replace(known: &mut Map<String, Value>, wishes: Map<String, Value>) {
    for (name, value) in wishes {
        if value.is_null() {
            known.remove(&name);
        } else {
            known.insert(name, value);
        }
    }
}

//! What benchmarks of whole releases share: a stack of their own, and what pipelines, people and operators do with it.
//!
//! Everything goes through the doors that they have too: the edge's API with a job's session, manual jobs played at the
//! GitLab stand-in, packagecloud's API of depot. Only depot's control routes are for benchmarks alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minreq::{Method, Request, Response};
use serde_json::{Value, json};
use slipway_stack::deb::{Deb, sha256};
use slipway_stack::http::{get_json, json as call, post_json};
use slipway_stack::{Part, Places, Project, Settings, Stack, wait_for};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::measure::Usage;

const MIB: usize = 1024 * 1024;

/// No single exchange takes so long, however busy the machine is.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(5);

/// Text that is in no package.
const BOUNDARY: &str = "slipway-benchmark-7f3a91c4d2";

/// Whoever plays the manual jobs.
const RELEASE_MANAGER: &str = "mira";

/// How many packages go to staging at a time. It is not what is measured.
const STAGED_AT_ONCE: usize = 4;

/// How long the edge holds a request of somebody who waits.
const HELD_SECONDS: u32 = 10;

/// How many webhooks GitLab sends at a time.
const WEBHOOKS_AT_ONCE: usize = 10;

/// The two repositories that a stack has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Staging,
    Public,
}

/// A running stack. It is deleted with its state.
pub(super) struct World {
    pub(super) stack: Stack,
    folder: PathBuf,
    staging: User,
    public: User,
    distro_ids: BTreeMap<String, u64>,
}

struct User {
    repository: String,
    authorization: String,
}

/// A file for one distro version.
pub(super) struct Package {
    pub(super) key: String,
    pub(super) distro: &'static str,
    pub(super) filename: String,
    pub(super) sha256: String,
    pub(super) size: usize,
}

/// A version of a project on its way.
pub(super) struct Release {
    pub(super) project: Project,
    pub(super) version: String,
    pub(super) packages: Vec<Package>,
    pub(super) pipeline: u64,
    build: u64,
}

/// Makes many heavy packages: each has a file of its own around the same contents, which do not compress.
pub(super) struct Yard {
    data: Vec<u8>,
    size: usize,
}

impl Yard {
    pub(super) fn of_mib(mib: usize) -> anyhow::Result<Self> {
        let size = mib * MIB;
        Ok(Self { data: deb("cargo", "1", size).contents()?, size })
    }

    fn build(&self, name: &str, version: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let deb = deb(name, version, self.size);
        Ok((deb.file_name(), deb.around(&self.data)?))
    }
}

fn deb(name: &str, version: &str, ballast: usize) -> Deb {
    let (name, version, architecture) = (name.to_owned(), version.to_owned(), "amd64".to_owned());
    Deb { name, version, architecture, readme: "Made to be measured.\n".to_owned(), ballast }
}

impl World {
    /// Starts one for the benchmark of this name. `transfers`: how many packages may be sent to the public place at a time.
    pub(super) fn start(places: &Places, name: &str, transfers: Option<u32>) -> anyhow::Result<Self> {
        let folder = places.target.join("xtask").join(format!("bench-{name}"));
        let stack = Stack::start(&Settings { fresh: true, transfers, ..Settings::in_folder(&folder) })?;
        let user = |repository: String, secret: &str| User {
            repository,
            authorization: format!("Basic {}", STANDARD.encode(format!("{}:", stack.secret(secret)))),
        };
        let mut world = Self {
            staging: user(stack.staging_repository(), "STAGING_TOKEN"),
            public: user(stack.public_repository(), "PUBLIC_TOKEN"),
            distro_ids: BTreeMap::new(),
            folder,
            stack,
        };
        world.distro_ids = world.distro_ids()?;
        // A GitLab has many threads that send webhooks.
        for project in world.stack.projects() {
            let hook = json!({"project": project.id, "at_once": WEBHOOKS_AT_ONCE});
            post_json(&format!("{}/_control/hooks", world.stack.gitlab_control()), &hook)?;
        }
        Ok(world)
    }

    /// Restarts the edge with another `slipway.toml`.
    pub(super) fn configure(&mut self, change: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
        let file = self.folder.join("edge/worker/slipway.toml");
        let before = std::fs::read_to_string(&file).context("a started stack has its configuration")?;
        let after = change(&before);
        ensure!(before != after, "the configuration is the same");
        self.stack.kill(Part::Edge)?;
        std::fs::write(&file, after).context("the stack's folder is writable")?;
        self.stack.start_again(Part::Edge)
    }

    fn user(&self, side: Side) -> &User {
        match side {
            Side::Staging => &self.staging,
            Side::Public => &self.public,
        }
    }

    pub(super) fn repository(&self, side: Side) -> &str {
        &self.user(side).repository
    }

    pub(super) fn usage(&mut self, part: Part) -> anyhow::Result<Usage> {
        Usage::of(self.stack.process(part).pid())
    }

    /// What a process has written to its standard output since it was started.
    pub(super) fn said(&mut self, part: Part) -> anyhow::Result<String> {
        let file = self.stack.process(part).log_file().with_extension("out");
        std::fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))
    }

    /// The last words of every process, for whoever looks for the reason.
    pub(super) fn explained(&mut self, error: anyhow::Error) -> anyhow::Error {
        let mut said = String::new();
        for part in self.stack.parts() {
            let _ = write!(said, "{} said last:\n{}", part.name(), self.stack.tail(part, 8));
        }
        error.context(said)
    }

    // ---- the package server, as clients use it ----

    fn ask(&self, side: Side, method: Method, path: &str) -> Request {
        Request::new(method, format!("{}{path}", self.stack.depot_url()))
            .with_header("authorization", &self.user(side).authorization)
            .with_follow_redirects(false)
            .with_timeout(EXCHANGE_LIMIT.as_secs())
    }

    /// The number of each distro version for debs, from `distributions.json`.
    pub(super) fn distro_ids(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let answer = accepted(self.ask(Side::Public, Method::Get, "/api/v1/distributions.json"))?;
        let all: Value = serde_json::from_slice(answer.as_bytes())?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut ids = BTreeMap::new();
        for distro in list(&all["deb"]) {
            for version in list(&distro["versions"]) {
                if let (Some(name), Some(codename), Some(id)) =
                    (distro["index_name"].as_str(), version["index_name"].as_str(), version["id"].as_u64())
                {
                    ids.insert(format!("{name}/{codename}"), id);
                }
            }
        }
        Ok(ids)
    }

    /// Asks whether there is the repository.
    pub(super) fn find_repository(&self, side: Side) -> anyhow::Result<()> {
        accepted(self.ask(side, Method::Get, &format!("/api/v1/repos/{}.json", self.repository(side)))).map(drop)
    }

    /// Pushes a file. `Ok` when the server has accepted it.
    pub(super) fn push(
        &self,
        side: Side,
        distro_ids: &BTreeMap<String, u64>,
        distro: &str,
        filename: &str,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let id = distro_ids.get(distro).with_context(|| format!("depot does not know `{distro}`"))?;
        let mut form = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"package[distro_version_id]\"\r\n\r\n{id}\r\n\
             --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"package[package_file]\"; filename=\"{filename}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        form.extend_from_slice(bytes);
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let path = format!("/api/v1/repos/{}/packages.json", self.repository(side));
        let request = self
            .ask(side, Method::Post, &path)
            .with_header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
            .with_body(form);
        accepted(request).map(drop)
    }

    /// Downloads a file as a client of a private repository does: the redirect is followed without the credential.
    pub(super) fn download(&self, side: Side, package: &Package) -> anyhow::Result<Vec<u8>> {
        let path = format!("/{}/packages/{}/{}/download", self.repository(side), package.distro, package.filename);
        let redirect = self.ask(side, Method::Get, &path).send().context("cannot ask for a download")?;
        let location = redirect.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        let (_, location) =
            location.with_context(|| format!("a download was answered with {}", redirect.status_code))?;
        let request = Request::new(Method::Get, location.as_str()).with_timeout(EXCHANGE_LIMIT.as_secs());
        let bytes = accepted(request)?.into_bytes();
        ensure!(bytes.len() == package.size, "{} was downloaded with {} bytes", package.filename, bytes.len());
        Ok(bytes)
    }

    // ---- the package server, as its operator sees it ----

    pub(super) fn depot(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        call(method, &format!("{}/_control/{path}", self.stack.depot_control()), &[], body)
    }

    /// How far away depot is for everybody, from now on. Connections that are open end, so that nobody has a warm one.
    pub(super) fn distance(&self, each_way_ms: u64) -> anyhow::Result<()> {
        self.depot(Method::Post, "latency", Some(&json!({"each_way_ms": each_way_ms}))).map(drop)
    }

    /// The file names of the accepted pushes to the public repository, in their order.
    pub(super) fn accepted_pushes(&self) -> anyhow::Result<Vec<String>> {
        let journal = self.depot(Method::Get, "journal", None)?;
        let journal = journal.as_array().context("the journal is a list")?;
        let own = journal.iter().filter(|entry| entry["action"] == "push" && entry["repo"] == *self.public.repository);
        own.map(|entry| entry["filename"].as_str().map(str::to_owned).context("a push has a file name")).collect()
    }

    /// Every request since depot was started, the newest 20,000.
    pub(super) fn requests(&self) -> anyhow::Result<Vec<Value>> {
        let requests = self.depot(Method::Get, "requests", None)?;
        requests.as_array().cloned().context("requests are a list")
    }

    // ---- what pipelines do ----

    /// A pipeline with a running job that plans and builds.
    pub(super) fn begin(&self, project: Project, version: &str) -> anyhow::Result<Release> {
        let job = post_json(
            &format!("{}/_control/jobs", self.stack.gitlab_control()),
            &json!({
                "project": project.id, "name": "build", "ref": format!("v{version}"), "tag": true, "protected": true,
                "user": RELEASE_MANAGER, "status": "running",
            }),
        )?;
        Ok(Release {
            project,
            version: version.to_owned(),
            packages: Vec::new(),
            pipeline: job["pipeline_id"].as_u64().context("a job has a pipeline")?,
            build: job["id"].as_u64().context("a job has a number")?,
        })
    }

    /// Builds packages and pushes them to staging, before anything is declared.
    pub(super) fn build(
        &self,
        yard: &Yard,
        names: &[(String, &'static str)],
        version: &str,
    ) -> anyhow::Result<Vec<Package>> {
        at_once(STAGED_AT_ONCE, names, |(name, distro)| {
            let (filename, bytes) = yard.build(name, version)?;
            self.push(Side::Staging, &self.distro_ids, distro, &filename, &bytes)?;
            Ok(Package { key: name.clone(), distro, filename, sha256: sha256(&bytes), size: bytes.len() })
        })
    }

    /// Says to the edge what is expected, and then what was built.
    pub(super) fn declare(&self, release: &Release) -> anyhow::Result<()> {
        let expected = release.packages.iter().map(|Package { key, distro, .. }| {
            json!({"key": key, "expect": {
                "distros": [distro], "release_job": format!("release: [{key}]"), "environment": format!("release/{key}"),
            }})
        });
        let expected: Vec<Value> = expected.collect();
        self.patch(release, &expected)?;
        let built = release.packages.iter().map(|Package { key, filename, sha256, size, .. }| {
            json!({"key": key, "staged": {"filename": filename, "digest": format!("sha256:{sha256}"), "size": size}})
        });
        let built: Vec<Value> = built.collect();
        self.patch(release, &built)
    }

    fn patch(&self, release: &Release, packages: &[Value]) -> anyhow::Result<()> {
        let token = post_json(
            &format!("{}/_control/id-token", self.stack.gitlab_control()),
            &json!({"job_id": release.build, "aud": self.stack.audience()}),
        )?;
        let opened =
            post_json(&format!("{}/api/v1/sessions", self.stack.edge_url()), &json!({"id_token": token["id_token"]}))?;
        let session = format!("Bearer {}", opened["session"].as_str().context("a job gets a session")?);
        let headers = [("authorization", session.as_str())];
        call(Method::Patch, &self.address(release), &headers, Some(&json!({"packages": packages}))).map(drop)
    }

    /// The manual jobs, one a package; nobody has played them.
    pub(super) fn manual_jobs(&self, release: &Release) -> anyhow::Result<Vec<u64>> {
        let jobs = release.packages.iter().map(|Package { key, .. }| {
            let job = json!({
                "project": release.project.id, "pipeline": release.pipeline, "name": format!("release: [{key}]"),
                "stage": "release", "status": "manual", "environment": format!("release/{key}"),
            });
            let made = post_json(&format!("{}/_control/jobs", self.stack.gitlab_control()), &job)?;
            made["id"].as_u64().context("a job has a number")
        });
        jobs.collect()
    }

    /// A release manager plays manual jobs, one after the other.
    pub(super) fn play(&self, jobs: &[u64]) -> anyhow::Result<()> {
        for job in jobs {
            let address = format!("{}/_control/jobs/{job}/play", self.stack.gitlab_control());
            post_json(&address, &json!({"user": RELEASE_MANAGER}))?;
        }
        Ok(())
    }

    // ---- what the edge shows ----

    fn address(&self, release: &Release) -> String {
        let Release { project, version, .. } = release;
        format!("{}/api/v1/projects/{}/releases/{version}", self.stack.edge_url(), project.name)
    }

    pub(super) fn shown(&self, release: &Release) -> anyhow::Result<Value> {
        get_json(&self.address(release))
    }

    /// What was tried for a package.
    pub(super) fn attempts(&self, release: &Release, package: &Package) -> anyhow::Result<Vec<Value>> {
        let Package { key, distro, .. } = package;
        let told = get_json(&format!("{}/targets/{key}/{distro}", self.address(release)))?;
        told["attempts"].as_array().cloned().context("a target has attempts")
    }

    /// Waits until every package is released, and says when the last one was: as `slipway await` does, with a request
    /// that the edge answers when it is so.
    pub(super) fn wait_until_released(&self, release: &Release, limit: Duration) -> anyhow::Result<f64> {
        let address = format!("{}?wait=complete&timeout={HELD_SECONDS}", self.address(release));
        wait_for(&format!("{} {} is released", release.project.name, release.version), limit, || {
            released_at(&get_json(&address)?)
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for part in self.stack.parts().into_iter().rev() {
            let _ = self.stack.process(part).stop();
        }
        // The lock goes with the folder: nothing of it is needed any more.
        let _ = std::fs::remove_dir_all(Path::new(&self.folder));
    }
}

/// When the last target was released, or `None` while one is not. One that needs a person is an error.
pub(super) fn released_at(shown: &Value) -> anyhow::Result<Option<f64>> {
    let mut last = f64::MIN;
    for package in shown["packages"].as_array().context("a release lists its packages")? {
        for target in package["targets"].as_array().context("a package lists its targets")? {
            match target["state"].as_str().unwrap_or_default() {
                "released" => last = last.max(seconds(target["since"].as_str().unwrap_or_default())?),
                state @ ("failed" | "conflict" | "missing") => {
                    bail!("{} is {state}: {}", package["key"], target["problem"]["what"])
                }
                _ => return Ok(None),
            }
        }
    }
    Ok(Some(last))
}

fn accepted(request: Request) -> anyhow::Result<Response> {
    let answer = request.send().context("depot does not answer")?;
    ensure!(
        (200..300).contains(&answer.status_code),
        "depot answered {} {}",
        answer.status_code,
        String::from_utf8_lossy(answer.as_bytes()).chars().take(300).collect::<String>()
    );
    Ok(answer)
}

/// A time of the edge's or depot's, in seconds of Unix time.
#[allow(clippy::cast_precision_loss, reason = "a microsecond is precise enough")]
pub(super) fn seconds(text: &str) -> anyhow::Result<f64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("`{text}` is no time"))?;
    Ok(time.unix_timestamp_nanos() as f64 / 1e9)
}

/// Now, on the clock that the edge and depot read too.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Does the work for every item, so many at a time, and gives what came of it in their order.
pub(super) fn at_once<T: Sync, R: Send>(
    count: usize,
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            done.push((index, work(item)?));
        }
        anyhow::Ok(done)
    };
    let mut all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        anyhow::Ok(all)
    })?;
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

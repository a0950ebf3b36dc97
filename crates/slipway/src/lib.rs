//! The CI-job host: the `slipway` command, as wasm under Node.
//!
//! Each command reads its words and its environment, names everything that is wrong with them, and then asks the edge.
//! It holds no state between runs: run again, it looks first and repeats nothing. What it declares is a digest; bytes
//! go from the file to the private package server as a Node stream (`host.mjs`) and never enter wasm memory.
//!
//! Absent on purpose: a token that can write a public place, and any memory of earlier runs.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
// The commands run in Node alone; natively only their rules are compiled, for their tests.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "the tests use the rules, not the commands"))]

mod args;
mod attested;
mod audit;
mod awaited;
mod carry;
mod check;
mod doctor;
mod dry_run;
mod edge;
mod exit;
mod follow;
mod gates;
mod gitlab;
mod help;
mod hold;
mod host;
mod image;
mod login;
mod plan;
mod play;
mod probe;
mod progress;
mod release;
mod replace;
mod retention;
mod rpm;
mod say;
mod sending;
mod settings;
mod stage;
mod stage_image;
mod status;
mod stop;
#[cfg(test)]
mod testing;
mod verify;
mod withdraw;

use wasm_bindgen::prelude::wasm_bindgen;

use slipway_core::release::Version;
use slipway_wire::Base;

use args::{Built, Command};
use edge::Edge;
use exit::{Exit, Failure};
use gitlab::Gitlab;
use release::Releaser;
use say::Say;
use settings::{Caller, Settings};

/// Runs the command line `arguments`, without the program's name. Gives the exit code.
#[wasm_bindgen]
pub async fn run(arguments: Vec<String>) -> u8 {
    let ended = match args::parse(&arguments) {
        Ok(command) => obey(command).await,
        Err(failure) => Err(failure),
    };
    match ended {
        Ok(()) => Exit::Done as u8,
        Err(failure) => {
            host::complain(&failure.text());
            // A program that asked for JSON gets some, whatever happened, and one document of it.
            if arguments.iter().any(|argument| argument == "--json") {
                Say::new(true).failure(&failure);
            }
            failure.exit as u8
        }
    }
}

/// What whoever has named no version may have meant.
const ALL_RELEASES: &str = "`slipway retention --all` lists every release, and needs no version";

async fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Help(topic) => host::print(help::page(topic)),
        Command::Version => host::print(concat!("slipway ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Session { timeout_s, json } => session(timeout_s, Say::new(json)).await?,
        Command::Plan(options) => plan(&options).await?,
        Command::Stage(options) => {
            let say = Say::new(options.json);
            let settings = Settings::read(&host::variable, Caller::Job, None, None);
            let release = match &options.what {
                Built::Files(files) => {
                    let token = settings::staging_token(&host::variable);
                    let (settings, token) = Failure::both(settings, token)?;
                    stage::stage(&options, files, &settings, token, say).await?
                }
                Built::Image(key, reference) => stage_image::stage(&options, key, reference, &settings?, say).await?,
            };
            say.answer(&release)?;
        }
        Command::Await(options) => {
            let say = Say::new(options.json);
            let settings = settings(Caller::Reader, options.version.as_ref()).await?;
            let (release, result) = awaited::wait(&options, &settings, say).await;
            if let Some(release) = release {
                say.answer(&release)?;
            }
            result?;
        }
        Command::Release(options) => release(&options).await?,
        Command::Status(options) => status(&options).await?,
        Command::Verify(options) => verify(&options).await?,
        Command::VerifyAudit(options) => audit::verify(&options, Say::new(options.json)).await?,
        Command::Audit(options) => {
            // The audit belongs to no version, so none has to be named; this one stands for none.
            let none: Option<Version> = "0".parse().ok();
            let settings = settings(Caller::Reader, none.as_ref()).await?;
            audit::export(&options, &settings, Say::new(options.json)).await?;
        }
        Command::Hold(options) => {
            let settings = settings(Caller::Anyone, options.version.as_ref()).await?;
            hold::hold(&options, &settings, Say::new(options.json)).await?;
        }
        Command::Close(options) => {
            let settings = settings(Caller::Anyone, options.version.as_ref()).await?;
            hold::close(&options, &settings, Say::new(options.json)).await?;
        }
        Command::Retention(options) => {
            // The list of all releases needs the name of none.
            let none: Option<Version> = options.all.then(|| "0".parse().ok()).flatten();
            let version = options.version.as_ref().or(none.as_ref());
            let is_named = version.is_some() || !matches!(settings::named_version(&host::variable), Ok(None));
            let settings = settings(Caller::Reader, version).await;
            let settings = settings.map_err(|failure| if is_named { failure } else { failure.also(ALL_RELEASES) })?;
            retention::retention(&options, &settings).await?;
        }
        Command::Extend(options) => {
            let settings = settings(Caller::Anyone, options.version.as_ref()).await?;
            retention::extend(&options, &settings, Say::new(options.json)).await?;
        }
        Command::Withdraw(options) => {
            let settings = settings(Caller::Anyone, options.version.as_ref()).await?;
            withdraw::withdraw(&options, &settings, Say::new(options.json)).await?;
        }
        Command::Switch(options) => {
            let environment = Environment::read().await;
            let settings = Settings::of_operator(&|name| environment.variable(name))?;
            stop::switch(&options, &settings, Say::new(options.json)).await?;
        }
        Command::Login(options) => {
            let address = settings::address(&host::variable)?;
            login::login(&options, &address, Say::new(options.json)).await?;
        }
        Command::Logout { json } => {
            let environment = Environment::read().await;
            login::logout(&settings::address(&|name| environment.variable(name))?, Say::new(json)).await?;
        }
        Command::Config { path, json } => check::check(&path, Say::new(json)).await?,
        Command::Doctor(options) => doctor(&options).await?,
        Command::Probe(options) => {
            let token = settings::probe_token(&host::variable)?;
            probe::run(&options, token, Say::new(options.json)).await?;
        }
    }
    Ok(())
}

/// The environment, and what a sign-in adds to it.
struct Environment {
    /// The address of the only Slipway that somebody has signed in to.
    address: Option<String>,
}

impl Environment {
    async fn read() -> Self {
        let is_set = host::variable(settings::URL).is_some();
        Self { address: if is_set { None } else { login::only_address().await } }
    }

    fn variable(&self, name: &str) -> Option<String> {
        host::variable(name).or_else(|| self.address.clone().filter(|_| name == settings::URL))
    }
}

/// The settings of a command that a person may run.
async fn settings(caller: Caller, version: Option<&Version>) -> Result<Settings, Failure> {
    let environment = Environment::read().await;
    let variable = |name: &str| environment.variable(name);
    let person = match settings::address(&variable) {
        // A job is a job, whoever has signed in on the machine that runs it.
        Ok(address) if !settings::is_job(&variable) => login::person(&address).await,
        _ => Ok(None),
    };
    // Reading may do without a sign-in, so one that has expired is no reason not to.
    let person = match (person, caller) {
        (Err(failure), Caller::Reader) => {
            host::complain(&failure.text());
            None
        }
        (person, _) => person?,
    };
    Settings::read(&variable, caller, person.map(|person| person.token), version)
}

/// `slipway session`: a job that builds for long opens its session while its ID token is fresh.
async fn session(timeout_s: u32, say: Say) -> Result<(), Failure> {
    let settings = Settings::read(&host::variable, Caller::Job, None, None)?;
    if let (_, Some(session)) = Edge::open(&settings, timeout_s).await? {
        let (project, expires_at, job) = (&session.project, &session.expires_at, session.job_id);
        say.line(&format!("job {job} of {} has a session until {expires_at}", project.name));
        // Not the session itself: what is printed ends up in logs.
        say.answer(&serde_json::json!({ "project": project, "job_id": job, "expires_at": expires_at }))?;
    }
    Ok(())
}

/// `slipway plan`: checks the plan, then declares it.
async fn plan(options: &args::Plan) -> Result<(), Failure> {
    let say = Say::new(options.json);
    let file = match &options.file {
        None => None,
        Some(path) => Some(
            host::read_text(path)
                .await
                .map_err(|why| Failure::new(Exit::Misused, format!("cannot read the plan `{path}`"), [why]))?,
        ),
    };
    let version = settings::named_version(&host::variable);
    let named = version.as_ref().ok().and_then(Option::as_ref);
    let patch = plan::plan(options, file.as_deref(), named);
    let patch = patch.map_err(|problems| Failure::new(Exit::Misused, "the plan is not right", problems));
    if options.dry_run {
        let (patch, _) = Failure::both(patch, version)?;
        say.lines(&plan::lines(&patch));
        say.line("nothing was declared: this was a dry run");
        return say.answer(&patch);
    }
    let settings = Settings::read(&host::variable, Caller::Job, None, None);
    let (patch, settings) = Failure::both(patch, settings)?;
    let (edge, _) = Edge::open(&settings, options.timeout_s).await?;
    let release = edge.declare(&patch).await.map_err(|error| {
        let refused = error.status().is_some_and(|status| matches!(status.as_u16(), 400 | 409 | 422));
        let exit = if refused { Exit::Misused } else { Exit::Failed };
        Failure { exit, ..error.failure(format!("cannot declare the plan of {}", settings.version)) }
    })?;
    say.lines(&plan::lines(&patch));
    say.line(&release.verdict);
    say.answer(&release)
}

/// `slipway release`: in a job, or as a person.
async fn release(options: &args::Release) -> Result<(), Failure> {
    let say = Say::new(options.json);
    let environment = Environment::read().await;
    let variable = |name: &str| environment.variable(name);
    let releaser = if settings::is_job(&variable) { Releaser::Job } else { Releaser::Person(player(&variable).await?) };
    let caller = match (&releaser, &options.reason) {
        (Releaser::Job, _) => Caller::Job,
        // The person who overrides a gate must be known to the edge.
        (Releaser::Person(_), Some(_)) => Caller::Anyone,
        (Releaser::Person(_), None) => Caller::Reader,
    };
    let mut parts = Vec::new();
    for (version, which) in &options.versions {
        parts.push((settings(caller, version.as_ref()).await?, which.clone()));
    }
    let (seen, result) = release::release(options, &parts, &releaser, say).await;
    match (seen.as_slice(), parts.len()) {
        ([release], 1) => say.answer(release)?,
        ([], _) => {}
        (seen, _) => say.answer(&seen)?,
    }
    result
}

/// GitLab, as the person who plays jobs there.
async fn player(variable: settings::Environment<'_>) -> Result<Option<Gitlab>, Failure> {
    let address = settings::address(variable)?;
    if let Some(token) = settings::gitlab_token(variable) {
        let base = match settings::gitlab_address(variable)? {
            Some(base) => base,
            None => gitlab_of(&address).await?,
        };
        return Ok(Some(Gitlab::new(base, Some(token))));
    }
    let person = login::person(&address).await?.filter(|person| person.api);
    Ok(person.map(|person| Gitlab::new(person.gitlab, Some(person.token))))
}

/// The GitLab that a Slipway belongs to, as it says itself.
async fn gitlab_of(address: &Base) -> Result<Base, Failure> {
    let doing = "cannot find out which GitLab the token is for";
    let sign_in = edge::sign_in(address, args::ASK_TIMEOUT_S).await.map_err(|error| error.failure(doing))?;
    let named = sign_in.and_then(|sign_in| sign_in.gitlab.parse().ok());
    named.ok_or_else(|| {
        let line =
            "Slipway does not say: set `SLIPWAY_GITLAB_URL` to its address, such as `https://gitlab.example.com`.";
        Failure::new(Exit::Misused, doing, [line.to_owned()])
    })
}

/// `slipway verify`: public data against a manifest.
async fn verify(options: &args::Verify) -> Result<(), Failure> {
    let say = Say::new(options.json);
    let mut storage = options.storage.clone();
    let mut policy = None;
    let (settings, edge);
    let mut asked = None;
    let release = if let Some(path) = &options.manifest {
        let doing = format!("cannot read the manifest `{path}`");
        let text = host::read_text(path).await.map_err(|why| Failure::new(Exit::Misused, &doing, [why]))?;
        serde_json::from_str(&text).map_err(|error| {
            let next = "It must be what `slipway status --json` writes.".to_owned();
            Failure::new(Exit::Misused, &doing, [error.to_string(), next])
        })?
    } else {
        settings = self::settings(Caller::Reader, options.version.as_ref()).await?;
        edge = Edge::open(&settings, options.timeout_s).await?.0;
        asked = Some(&edge);
        let doing = format!("cannot read the release {}", settings.version);
        let release = match edge.release().await {
            Ok(release) => release,
            Err(error) => return Err(edge.unread(error, doing).await),
        };
        // Where the servers keep their files; what is read there counts by its digest alone.
        let told = policy.insert(edge.policy().await.map_err(|error| error.failure(doing))?);
        let named = told.places.iter().filter(|place| !place.public.is_empty()).flat_map(|place| &place.storage);
        storage.extend(named.filter_map(|address| address.parse().ok()));
        release
    };
    verify::verify(options, &release, asked, policy.as_ref(), &storage, say).await
}

/// `slipway doctor`, without a probe.
async fn doctor(options: &args::Doctor) -> Result<(), Failure> {
    let environment = Environment::read().await;
    let variable = |name: &str| environment.variable(name);
    let edge = settings::address(&variable)?;
    let signed_in = login::person(&edge).await.ok().flatten();
    let gitlab_token = match (settings::gitlab_token(&variable), signed_in) {
        (Some(token), _) => Some((token, "`SLIPWAY_GITLAB_TOKEN`")),
        (None, Some(person)) => Some((person.token, "the token of `slipway login`")),
        (None, None) => None,
    };
    // The policy belongs to no version, so none has to be named; this one stands for none.
    let named = settings::named_version(&variable)?;
    let none: Option<Version> = "0".parse().ok();
    let subject = doctor::Subject {
        settings: settings(Caller::Reader, named.as_ref().or(none.as_ref())).await,
        is_version_named: named.is_some(),
        gitlab_token,
        gitlab: settings::gitlab_address(&variable)?,
        staging_token: settings::staging_token(&variable).ok(),
        operator_token: settings::operator_token(&variable),
        project: settings::project_number(&variable),
        edge,
    };
    doctor::examine(options, subject, Say::new(options.json)).await
}

/// `slipway status`: the release as it is, or one target with its attempts.
async fn status(options: &args::Status) -> Result<(), Failure> {
    let say = Say::new(options.json);
    let settings = settings(Caller::Reader, options.version.as_ref()).await?;
    let (mut edge, _) = Edge::open(&settings, options.timeout_s).await?;
    let version = &settings.version;
    if let Some((key, name)) = &options.target {
        let history = match edge.history(key, name).await {
            Ok(history) => history,
            Err(error) => {
                let doing = format!("cannot read `{key}` of {version} for {name}");
                return Err(edge.unread_target(error, key, doing).await);
            }
        };
        if !options.json {
            host::print(&status::history(&history));
            // Gates are asked of a package as a whole, so they are told with the release.
            if let Ok(release) = edge.release().await
                && let Some(package) = release.packages.iter().find(|package| package.key == *key)
            {
                host::print(&status::in_the_way(package, &history.target));
            }
        }
        return say.answer(&history);
    }
    let release = match edge.release().await {
        Ok(release) => release,
        Err(error) => return Err(edge.unread(error, format!("cannot read the release {version}")).await),
    };
    if !options.json {
        host::print(&status::table(&release, host::columns()));
        // Beside the release, so what does not answer at once is left out: `doctor` says why.
        edge.asks_once();
        if let Ok(strangers) = edge.strangers().await {
            host::print(&status::strangers(&strangers));
        }
    }
    say.answer(&release)
}

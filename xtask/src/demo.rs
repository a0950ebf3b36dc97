//! `demo`: the main job on real parts, from a fresh clone. Nothing of it is acted: packages are staged by the command
//! that pipelines use, released by playing their manual jobs, and fetched with apt from the public repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use slipway_stack::apt::{self, Apt};
use slipway_stack::deb::{Deb, sha256};
use slipway_stack::http::{get_json, post_json};
use slipway_stack::image::{self, Layout};
use slipway_stack::registry::is_a_program;
use slipway_stack::{Places, Project, Settings, Stack, wait_for};

use crate::report::{Steps, bold, green};
use crate::tools::{self, program, shown};
use crate::{build, dev, interrupt};

const HELP: &str = "\
cargo xtask demo [--distro DISTRO] [FILE.deb …] [--once] [--version VERSION] [--PORT-port NUMBER …]

Builds Slipway, starts it with a package server and a stand-in for GitLab on loopback, stages packages in a private
repository, plays their manual release jobs, and shows that the public repository serves the same bytes. Then it
stays up to look around, until Ctrl-C. Without files it makes two small packages for two distros, and where
`docker-registry` is installed a container image for two platforms, which goes from a closed registry to an open one.

    FILE.deb …           your own packages
    --distro DISTRO      the distro version of the files after it, such as ubuntu/jammy [debian/bookworm]
    --version VERSION    the version that goes out [1.0.0]
    --once               ends instead of staying: 0 only if every package is released
    --no-build           starts what is built already
    --edge-port NUMBER   and the other ports, as in `cargo xtask dev --help`
";

/// How long the release of all packages may take. They are small, or on this machine already.
const RELEASED: Duration = Duration::from_mins(10);

/// The manual jobs are played by this user of the stand-in.
const RELEASE_MANAGER: &str = "mira";

struct Options {
    files: Vec<(PathBuf, String)>,
    version: String,
    once: bool,
    building: bool,
    ports: BTreeMap<String, u16>,
}

/// A package on its way.
struct Package {
    key: String,
    distro: String,
    file: PathBuf,
    sha256: String,
}

impl Package {
    fn file_name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `name_version_architecture.deb`, as packages are called everywhere.
    fn field(&self, number: usize) -> Option<String> {
        let name = self.file_name();
        let fields: Vec<&str> = name.strip_suffix(".deb")?.split('_').collect();
        (fields.len() == 3).then(|| fields[number].to_owned())
    }
}

pub(crate) fn command(arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let Some(options) = read(arguments)? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let places = Places::of_this_clone()?;
    let steps = Steps::begin();
    tools::check(&steps)?;
    if options.building {
        build::build(&steps, &places, &build::Part::ALL)?;
    }

    // Every demo is the first one: the same version cannot be released twice.
    let folder = places.target.join("slipway-demo");
    let mut stack = Stack::start(&Settings {
        fresh: true,
        ports: options.ports,
        registries: true,
        ..Settings::in_folder(&folder)
    })?;
    let file = places.target.join("slipway-demo.json");
    dev::describe(&stack, &file)?;
    steps.say("started the edge, depot and the GitLab stand-in on loopback");
    match stack.without_registries() {
        None => steps.say("started two registries, a closed and an open one"),
        Some(why) => steps.say(&format!("no image is released: {why}")),
    }

    let packages =
        if options.files.is_empty() { two_packages(&folder, &options.version)? } else { given(options.files)? };
    let project = stack.projects()[0];
    let told = image(&stack, &options.version).and_then(|image| {
        let release = release(&steps, &places, &stack, &project, &options.version, &packages, image.as_ref())?;
        tell(&steps, &stack, &project, &packages, image.as_ref(), &release, &folder)
    });
    if let Err(error) = &told {
        // A person sees at once which service says what.
        for part in stack.parts() {
            eprintln!("\nThe last lines of {}:\n{}", part.name(), stack.tail(part, 8));
        }
        if options.once {
            return told.map(|()| ExitCode::FAILURE);
        }
        eprintln!("\nNot everything was released: {error:#}");
    }
    if options.once {
        drop(stack);
        std::fs::remove_file(&file).with_context(|| format!("cannot delete `{}`", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nEverything stays up until Ctrl-C. Addresses and tokens are in {}.", shown(&file, &places));
    let interrupted = interrupt::listen();
    dev::keep(&mut stack, &interrupted, &file)?;
    println!("\nending …");
    drop(stack);
    std::fs::remove_file(&file).with_context(|| format!("cannot delete `{}`", file.display()))?;
    Ok(if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Releases the two packages of the demo on a stack that is up already.
pub(crate) fn populate(steps: &Steps, places: &Places, stack: &Stack) -> anyhow::Result<()> {
    const VERSION: &str = "1.0.0";
    let packages = two_packages(stack.folder(), VERSION)?;
    release(steps, places, stack, &stack.projects()[0], VERSION, &packages, None).map(drop)
}

fn read(mut arguments: lexopt::Parser) -> anyhow::Result<Option<Options>> {
    let mut options =
        Options { files: Vec::new(), version: "1.0.0".to_owned(), once: false, building: true, ports: BTreeMap::new() };
    let mut distro = "debian/bookworm".to_owned();
    while let Some(argument) = arguments.next()? {
        let option = match argument {
            lexopt::Arg::Short('h') => return Ok(None),
            lexopt::Arg::Short(other) => bail!("there is no option `-{other}`"),
            lexopt::Arg::Value(file) => {
                let file = PathBuf::from(file);
                ensure!(
                    file.extension().is_some_and(|extension| extension == "deb"),
                    "`{}` is no `.deb`: other packages cannot be released yet",
                    file.display()
                );
                ensure!(file.is_file(), "there is no file `{}`", file.display());
                options.files.push((file, distro.clone()));
                continue;
            }
            lexopt::Arg::Long(option) => option.to_owned(),
        };
        match option.as_str() {
            "help" => return Ok(None),
            "once" => options.once = true,
            "no-build" => options.building = false,
            "distro" => distro = arguments.value()?.to_string_lossy().into_owned(),
            "version" => options.version = arguments.value()?.to_string_lossy().into_owned(),
            other => {
                let Some(name) = dev::port_name(other) else { bail!("there is no option `--{other}`") };
                let port = arguments.value()?.to_string_lossy().into_owned();
                options.ports.insert(name.to_owned(), port.parse().with_context(|| format!("`{port}` is no port"))?);
            }
        }
    }
    Ok(Some(options))
}

/// The packages of a project that builds for two distros.
fn two_packages(folder: &Path, version: &str) -> anyhow::Result<Vec<Package>> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let built = folder.join("built");
    std::fs::create_dir_all(&built)?;
    let mut files = Vec::new();
    for distro in ["debian/bookworm", "ubuntu/jammy"] {
        let codename = distro.split('/').next_back().unwrap_or_default();
        let deb = Deb {
            name: "harbour-tug".to_owned(),
            version: format!("{version}-1~{codename}"),
            architecture: architecture.to_owned(),
            readme: format!("harbour-tug {version} for {distro}.\nReleased by Slipway from staging to public.\n"),
            ballast: 64 * 1024,
        };
        let file = built.join(deb.file_name());
        std::fs::write(&file, deb.build()?).with_context(|| format!("cannot write `{}`", file.display()))?;
        files.push((file, distro.to_owned()));
    }
    given(files)
}

fn given(files: Vec<(PathBuf, String)>) -> anyhow::Result<Vec<Package>> {
    let mut packages: Vec<Package> = Vec::new();
    for (file, distro) in files {
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let file = file.canonicalize()?;
        let mut package = Package { key: String::new(), distro, sha256: sha256(&bytes), file };
        let name = package.field(0).unwrap_or_else(|| package.file_name());
        let key = key(&[&name, &package.distro, &package.field(2).unwrap_or_default()]);
        package.key = (1..=packages.len() + 1)
            .map(|number| if number == 1 { key.clone() } else { format!("{key}-{number}") })
            .find(|key| packages.iter().all(|other| other.key != *key))
            .context("of one number more than there are packages, one is free")?;
        packages.push(package);
    }
    Ok(packages)
}

/// A stable name without version, of the letters that keys may have, such as `harbour-tug-ubuntu-jammy-amd64`.
fn key(parts: &[&str]) -> String {
    const LENGTH_MAX: usize = 60;
    let text = parts.join("-").to_lowercase();
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let key: String = text.trim_end_matches(".deb").chars().map(letter).take(LENGTH_MAX).collect();
    key.trim_matches(|edge: char| !edge.is_ascii_alphanumeric()).to_owned()
}

/// A container image on its way.
struct Image {
    /// As the command names it.
    reference: String,
    /// The tag that it goes out under.
    tag: String,
    digest: String,
    /// What anybody sees.
    public: image::Repository,
    public_name: String,
}

/// The image's key.
const IMAGE_KEY: &str = "harbour-tug-image";

/// Makes an image for two platforms and pushes it to the staging registry, as a build job would. `None` without registries.
fn image(stack: &Stack, version: &str) -> anyhow::Result<Option<Image>> {
    let (Some(staging), Some(public)) = (stack.registry_staging(), stack.registry_public()) else { return Ok(None) };
    let folder = stack.folder().join("built/image");
    let layout = Layout::new(&folder)?;
    let index =
        layout.two_platforms(&format!("harbour-tug {version}.\nReleased by Slipway from staging to public.\n"))?;
    let user = staging.user.map(str::to_owned).zip(staging.password.clone());
    let to = image::Repository { url: staging.url.clone(), name: staging.repository.to_owned(), user };
    // No tag has these two letters of versions.
    let tag = version.replace(['+', '~'], "-");
    let digest = layout.send(&index, &to, &tag).context("cannot push the image to the staging registry")?;
    Ok(Some(Image {
        reference: format!("{}:{tag}", staging.image()),
        digest: digest.to_string(),
        public_name: format!("{}:{tag}", public.image()),
        public: image::Repository { url: public.url, name: public.repository.to_owned(), user: None },
        tag,
    }))
}

/// A tag's pipeline: plan, a build job for each package, and then a manual job for each.
fn release(
    steps: &Steps,
    places: &Places,
    stack: &Stack,
    project: &Project,
    version: &str,
    packages: &[Package],
    image: Option<&Image>,
) -> anyhow::Result<Value> {
    let pipeline = Pipeline { stack, places, project, version };
    let plan = pipeline.job("plan", None, "running", None)?;
    let declared = packages.iter().map(|package| format!("{}={}", package.key, package.distro));
    let mut arguments = vec!["plan".to_owned()];
    arguments.extend(declared);
    arguments.extend(image.map(|_| format!("{IMAGE_KEY}={{version}}:image")));
    pipeline.slipway(&plan, &arguments)?;
    pipeline.finish(&plan)?;
    let expected = arguments.len() - 1;
    steps.say(&format!("planned {} {version}: {expected} packages are expected", project.path));

    let number = plan["pipeline_id"].as_u64().context("the stand-in's job has a pipeline")?;
    let mut manual = Vec::new();
    for package in packages {
        let build = pipeline.job(&format!("build: [{}]", package.key), Some(number), "running", None)?;
        let file = package.file.display().to_string();
        pipeline.slipway(&build, &["stage".to_owned(), package.key.clone(), file])?;
        pipeline.finish(&build)?;
        steps.say(&format!("staged {} for {}", package.file_name(), package.distro));
        let name = format!("release: [{}]", package.key);
        manual.push(pipeline.job(&name, Some(number), "manual", Some(&format!("release/{}", package.key)))?);
    }
    if let Some(image) = image {
        let build = pipeline.job(&format!("build: [{IMAGE_KEY}]"), Some(number), "running", None)?;
        let words = ["stage", IMAGE_KEY, "--image", &image.reference];
        pipeline.slipway(&build, &words.map(str::to_owned))?;
        pipeline.finish(&build)?;
        steps.say(&format!("staged {}", image.reference));
        let name = format!("release: [{IMAGE_KEY}]");
        manual.push(pipeline.job(&name, Some(number), "manual", Some(&format!("release/{IMAGE_KEY}")))?);
    }
    for job in &manual {
        let id = &job["id"];
        post_json(&format!("{}/_control/jobs/{id}/play", stack.gitlab_control()), &json!({"user": RELEASE_MANAGER}))?;
        steps.say(&format!("{RELEASE_MANAGER} played `{}`", job["name"].as_str().unwrap_or_default()));
    }
    let release = pipeline.follow(steps)?;
    for job in &manual {
        pipeline.finish(job)?;
    }
    Ok(release)
}

/// What a project's pipeline does, with the stand-in as its GitLab.
struct Pipeline<'a> {
    stack: &'a Stack,
    places: &'a Places,
    project: &'a Project,
    version: &'a str,
}

impl Pipeline<'_> {
    fn job(&self, name: &str, pipeline: Option<u64>, status: &str, environment: Option<&str>) -> anyhow::Result<Value> {
        let mut job = json!({
            "project": self.project.id,
            "name": name,
            "ref": format!("v{}", self.version),
            "tag": true,
            "protected": true,
            "source": "push",
            "status": status,
        });
        if let Some(pipeline) = pipeline {
            job["pipeline"] = json!(pipeline);
        }
        if let Some(environment) = environment {
            job["environment"] = json!(environment);
        }
        post_json(&format!("{}/_control/jobs", self.stack.gitlab_control()), &job)
    }

    fn finish(&self, job: &Value) -> anyhow::Result<()> {
        let address = format!("{}/_control/jobs/{}/finish", self.stack.gitlab_control(), job["id"]);
        post_json(&address, &json!({"status": "success"})).map(drop)
    }

    /// Runs the `slipway` command as that job would, with the job's ID token.
    fn slipway(&self, job: &Value, arguments: &[String]) -> anyhow::Result<()> {
        let token = post_json(
            &format!("{}/_control/id-token", self.stack.gitlab_control()),
            &json!({"job_id": job["id"], "aud": self.stack.audience()}),
        )?;
        let answer = program("node")
            .arg(self.places.build().join("slipway/bin/slipway.mjs"))
            .args(arguments)
            .env("SLIPWAY_URL", self.stack.edge_url())
            .env("SLIPWAY_ID_TOKEN", token["id_token"].as_str().context("the stand-in issues ID tokens")?)
            .env("SLIPWAY_PROJECT", self.project.id.to_string())
            .env("SLIPWAY_VERSION", self.version)
            .env("SLIPWAY_STAGING_TOKEN", self.stack.secret("STAGING_TOKEN"))
            .envs(
                self.stack
                    .registry_staging()
                    .and_then(|registry| {
                        Some([
                            ("SLIPWAY_REGISTRY_USER", registry.user?.to_owned()),
                            ("SLIPWAY_REGISTRY_PASSWORD", registry.password?),
                        ])
                    })
                    .into_iter()
                    .flatten(),
            )
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .output()
            .context("cannot start `node`")?;
        let text = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        ensure!(answer.status.success(), "`slipway {}` ended with {}:\n{text}", arguments.join(" "), answer.status);
        for line in text.lines() {
            println!("           {line}");
        }
        Ok(())
    }

    /// Waits until every target is released, with a line for each change.
    fn follow(&self, steps: &Steps) -> anyhow::Result<Value> {
        let address =
            format!("{}/api/v1/projects/{}/releases/{}", self.stack.edge_url(), self.project.name, self.version);
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        wait_for("every package is released", RELEASED, || {
            let release = get_json(&address)?;
            let mut open = 0;
            for package in release["packages"].as_array().context("a release lists its packages")? {
                for target in package["targets"].as_array().context("a package lists its targets")? {
                    let (key, distro) =
                        (text(package, "key"), format!("{}{}", text(target, "distro"), text(target, "tag")));
                    let state = text(target, "state");
                    if seen.insert(format!("{key} {distro}"), state.to_owned()).is_none_or(|before| before != state) {
                        steps.say(&format!("{key}: {state}"));
                    }
                    if let "conflict" | "failed" | "missing" = state {
                        bail!("{key} is {state}: {}", target["problem"]);
                    }
                    open += usize::from(state != "released");
                }
            }
            Ok((open == 0).then_some(release))
        })
    }
}

/// Checks from outside that the public has the bytes, and says what happened.
fn tell(
    steps: &Steps,
    stack: &Stack,
    project: &Project,
    packages: &[Package],
    image: Option<&Image>,
    release: &Value,
    folder: &Path,
) -> anyhow::Result<()> {
    let public = format!("{}/{}", stack.depot_url(), stack.public_repository());
    let with_apt = Apt::is_here();
    let mut fetched = Vec::new();
    for package in packages {
        let (Some(name), Some(architecture)) = (package.field(0), package.field(2)) else { continue };
        if with_apt {
            let apt = Apt::new(&folder.join("apt"), &public, &package.distro, &architecture)?;
            apt.update()?;
            let file = apt.download(&name)?;
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            ensure!(
                sha256(&bytes) == package.sha256,
                "apt fetched other bytes than `{}` has: {}",
                package.file_name(),
                sha256(&bytes)
            );
            fetched.push(package.key.clone());
        }
    }
    if with_apt {
        steps.say(&format!("fetched {} packages from the public repository with apt: the same bytes", fetched.len()));
    } else {
        steps.say("there is no `apt-get` here, so nothing was fetched with it; the edge has read the index back");
    }

    if let Some(image) = image {
        let served = image.public.digest(&image.tag)?.map(|digest| digest.to_string());
        ensure!(
            served.as_deref() == Some(&image.digest),
            "the public registry serves {} as `{}`, and the image is {}",
            served.as_deref().unwrap_or("nothing"),
            image.public_name,
            image.digest
        );
        if is_a_program("skopeo") {
            image::pull(folder, &image.public_name, &folder.join("pulled"), None)?;
            steps.say("fetched the image from the public registry with skopeo: every part of both platforms");
        } else {
            steps.say("the public registry serves the image's digest; there is no `skopeo` here to fetch all of it");
        }
    }

    println!("\n{}\n", bold(&format!("Released: {} {}", project.path, text(release, "version"))));
    for package in packages {
        let shown = release["packages"].as_array().into_iter().flatten().find(|other| other["key"] == package.key);
        let target = shown.and_then(|shown| shown["targets"].get(0)).unwrap_or(&Value::Null);
        let by = text(&target["approval"], "by");
        println!("  {} {}", green("✓"), bold(&package.file_name()));
        println!("      from     {} (private), {}", stack.staging_repository(), package.distro);
        println!("      to       {} (public), {}", stack.public_repository(), package.distro);
        println!("      SHA-256  {}", package.sha256);
        println!("      by       {by}, at {}", text(target, "since"));
    }
    if let Some(image) = image {
        println!("  {} {}", green("✓"), bold(&image.public_name));
        println!("      from     {} (private)", image.reference);
        println!("      digest   {}", image.digest);
    }
    if let Some((package, name)) = packages.iter().find_map(|package| Some((package, package.field(0)?))) {
        let key = "/etc/apt/keyrings/slipway-demo.asc";
        println!("\nTo install one ({}), while this runs:\n", package.distro);
        println!("    curl -fsS {public}/gpgkey | sudo tee {key} >/dev/null");
        println!(
            "    echo '{}' | sudo tee /etc/apt/sources.list.d/slipway-demo.list",
            apt::source_line(key, &public, &package.distro)?
        );
        println!("    sudo apt-get update && sudo apt-get install {name}");
    }
    println!(
        "\nThe dashboard: {}",
        bold(&format!("{}/p/{}/r/{}", stack.edge_url(), project.name, text(release, "version")))
    );
    Ok(())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

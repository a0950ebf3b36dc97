//! `image`: an image from one registry to another, by the engine over native sockets, by `skopeo` and by the crate
//! `oci-client`, between two of Debian's registries on loopback.
//!
//! What is released are two platforms of six layers of 20 MB, two of them shared: 12 blobs with the configurations. It is
//! copied to a registry that has nothing; the same again; with one layer changed; and to another repository of its own
//! registry. Then one layer of 512 MiB, which is compared with `curl GET | curl -T -` into the same registry. Everything is
//! measured next to the registries and behind wires of 20 ms each way. At last a copy is killed when 70 % of its bytes have
//! left, and begun again, to a registry that goes on with uploads: Debian's does not.
//!
//! Every copy is a process of its own, whose time and memory the kernel counts; requests are counted in the registries'
//! logs. `SLIPWAY_BENCH_ROUNDS` makes it shorter, for trying out.
//!
//! The same engine inside workerd makes the same copies, and is reported apart: what it must keep is the number of requests,
//! and its memory when a layer is far larger than that. Such a layer is made while it is read and kept nowhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};
use slipway_stack::registry::{Door, Registry};
use slipway_stack::{Places, Process, wait_for};

use super::copy::Worker;
use super::measure::{Usage, median};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;
use crate::tools::{self, cargo, program, run_logged};

mod proxy;
mod staged;
mod unkept;

use proxy::Proxy;
use staged::{REPOSITORY, Staged};
use unkept::Unkept;

const ROUNDS: usize = 7;
const LATENCIES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(20)];
const LAYER_BYTES: usize = 20_000_000;
const LARGE_BYTES: usize = 512 * 1024 * 1024;

/// Cold and with latency, how much of the time of `skopeo` may be taken.
const COLD_RATIO_MAX: f64 = 0.55;
/// Cold, at both ends together, the reading back included.
const COLD_REQUESTS_MAX: f64 = 60.0;
const AGAIN_REQUESTS_MAX: f64 = 2.0;
/// One large layer, against a pipe that verifies nothing.
const LARGE_RATIO_MAX: f64 = 1.25;
/// A copy is killed when this part of its bytes has left, and both runs together may send so many times its bytes.
const CUT_AT: f64 = 0.7;
const CUT_RATIO_MAX: f64 = 1.35;

/// How many requests workerd may need for each of the native engine's.
const WORKERD_REQUESTS_MAX: f64 = 1.0;
/// Layers that workerd carries, and how much more memory the last may need than the first.
const WORKERD_LAYERS: [(&str, u64); 2] = [("256 MiB", 256 << 20), ("5 GiB", 5 << 30)];
const WORKERD_PEAK_RATIO_MAX: f64 = 1.15;
/// A round takes long and its memory hardly differs from the one before.
const WORKERD_ROUNDS_MAX: usize = 3;

/// Whatever takes this long hangs.
const LIMIT: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Client {
    Ours,
    Workerd,
    Skopeo,
    OciCrate,
}

impl Client {
    const ALL: [Self; 4] = [Self::Ours, Self::Workerd, Self::Skopeo, Self::OciCrate];
    /// Those that are a process for each copy, which can be killed.
    const PROCESSES: [Self; 3] = [Self::Ours, Self::Skopeo, Self::OciCrate];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Workerd => "ours in workerd",
            Self::Skopeo => "skopeo",
            Self::OciCrate => "oci-client",
        }
    }
}

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    for needed in ["docker-registry", "skopeo", "curl"] {
        ensure!(
            tools::output(needed, &["--version"]).is_some(),
            "this machine lacks `{needed}`; Debian has it in a package of that name"
        );
    }
    let rounds = match std::env::var("SLIPWAY_BENCH_ROUNDS") {
        Ok(text) => text.parse().context("SLIPWAY_BENCH_ROUNDS is a number")?,
        Err(_) => ROUNDS,
    };
    steps.say("building the clients");
    let mut build = cargo(places);
    build.args(["build", "--profile", "native", "--package", "slipway-bench-image", "--features", "oci-client"]);
    run_logged(&mut build, "build the clients", &places.target.join("xtask/build-bench-image.log"))?;
    tools::workerd(steps, places)?;
    build::build(steps, places, &[Part::BenchCopy])?;

    let folder = places.target.join("xtask/bench-image");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let bench = Bench::start(places, folder.clone())?;
    let mut figures = vec![Figure::new("machine", "load before", load()?, "")];
    for latency in LATENCIES {
        steps.say(&format!("{} ms each way: {rounds} rounds", latency.as_millis()));
        figures.extend(bench.copies(latency, rounds)?);
    }
    steps.say(&format!("cut off at {CUT_AT} and begun again: {rounds} rounds"));
    figures.extend(bench.cuts(rounds)?);
    let rounds = rounds.min(WORKERD_ROUNDS_MAX);
    steps.say(&format!("layers of 256 MiB and 5 GiB through workerd: {rounds} rounds"));
    figures.extend(bench.large_in_workerd(rounds)?);
    figures.push(Figure::new("machine", "load after", load()?, ""));
    drop(bench);
    std::fs::remove_dir_all(&folder).context("cannot take the benchmark's files away")?;
    Ok(figures)
}

/// How busy the machine is with everything: of a number that was measured on a busy one, only the counts say something.
fn load() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("`/proc` has an unknown form")?.parse()?)
}

/// What one process did.
#[derive(Clone, Copy, Default)]
struct Ran {
    wall: f64,
    cpu: f64,
    peak_mib: f64,
    source_requests: usize,
    target_requests: usize,
}

/// Every value of each client in each case.
#[derive(Default)]
struct Results(BTreeMap<(&'static str, Client), Vec<Ran>>);

impl Results {
    fn add(&mut self, case: &'static str, client: Client, ran: Ran) {
        self.0.entry((case, client)).or_default().push(ran);
    }

    fn median(&self, case: &'static str, client: Client, value: impl Fn(&Ran) -> f64) -> f64 {
        let values = self.0.get(&(case, client)).map(Vec::as_slice).unwrap_or_default();
        median(&values.iter().map(value).collect::<Vec<_>>())
    }
}

struct Bench<'a> {
    places: &'a Places,
    clients: PathBuf,
    folder: PathBuf,
    source: Registry,
    image: Staged,
    changed: Staged,
    large: Staged,
}

impl<'a> Bench<'a> {
    fn start(places: &'a Places, folder: PathBuf) -> anyhow::Result<Self> {
        let source = Registry::start("source", &folder.join("source"), Door::Open)?;
        let own = |platform: &str, count: usize| (0..count).map(|number| format!("{platform} {number}")).collect();
        let platforms = |amd64: Vec<String>| {
            let shared = || ["shared 0".to_owned(), "shared 1".to_owned()];
            let of = |own: Vec<String>| shared().into_iter().chain(own).collect::<Vec<_>>();
            vec![("amd64", of(amd64)), ("arm64", of(own("arm64", 4)))]
        };
        let mut other = own("amd64", 4);
        "amd64 changed".clone_into(&mut other[3]);
        let url = source.url();
        let image = staged::stage(&url, "17.3.1", &platforms(own("amd64", 4)), LAYER_BYTES)?;
        let changed = staged::stage(&url, "17.3.2", &platforms(other), LAYER_BYTES)?;
        let large = staged::stage(&url, "large", &[("amd64", vec!["large".to_owned()])], LARGE_BYTES)?;
        let clients = places.target.join("native/slipway-bench-image");
        Ok(Self { places, clients, folder, source, image, changed, large })
    }

    fn copies(&self, latency: Duration, rounds: usize) -> anyhow::Result<Vec<Figure>> {
        let wires = (Proxy::start(latency)?, Proxy::start(latency)?);
        wires.0.lead_to(&self.source.host())?;
        let mut results = Results::default();
        let mut floors = Vec::new();
        for round in 0..rounds {
            let mut clients = Client::ALL;
            if round % 2 == 1 {
                clients.reverse();
            }
            for client in clients {
                self.round(client, latency, &wires, round, &mut results)?;
            }
            floors.push(self.floor(latency, &wires)?);
        }
        Ok(figures(latency, &results, &floors))
    }

    /// Every copy that one client makes into a registry that has nothing at first.
    fn round(
        &self,
        client: Client,
        latency: Duration,
        wires: &(Proxy, Proxy),
        round: usize,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        let target = self.target()?;
        wires.1.lead_to(&target.host())?;
        // Next to the registries nothing is between.
        let host = |wire: &Proxy, registry: &Registry| if latency.is_zero() { registry.host() } else { wire.host() };
        let (from, to) = (host(&wires.0, &self.source), host(&wires.1, &target));
        let mut copy = |case, image: &Staged, to: &str, repository: &str| {
            let before = (requests(&self.source)?, requests(&target)?);
            let mut ran = if client == Client::Workerd {
                self.in_workerd(&order(image, (&from, to), repository))?
            } else {
                watch(&mut self.copy(client, image, (&from, to), repository, None)?, || false)?
            };
            ran.source_requests = requests(&self.source)? - before.0;
            ran.target_requests = requests(&target)? - before.1;
            results.add(case, client, ran);
            anyhow::Ok(())
        };
        copy("cold", &self.image, &to, "acme/app")?;
        copy("again", &self.image, &to, "acme/app")?;
        copy("one layer changed", &self.changed, &to, "acme/app")?;
        // A repository that no earlier copy has left anything in.
        let mounted = format!("mounted/{}-{}-{round}", client.name().replace(' ', "-"), latency.as_millis());
        copy("mount", &self.image, &from, &mounted)?;
        copy("one layer of 512 MiB", &self.large, &to, "acme/app")?;
        Self::done_with(&target)
    }

    /// `curl GET | curl -T -` of the large layer.
    fn floor(&self, latency: Duration, wires: &(Proxy, Proxy)) -> anyhow::Result<f64> {
        let target = self.target()?;
        wires.1.lead_to(&target.host())?;
        let url = |wire: &Proxy, registry: &Registry| {
            if latency.is_zero() { registry.url() } else { format!("http://{}", wire.host()) }
        };
        let digest = &self.large.largest;
        let from = format!("{}/v2/{REPOSITORY}/blobs/{digest}", url(&wires.0, &self.source));
        let to = staged::upload_address(&url(&wires.1, &target), "acme/app", digest)?;
        let script = r#"curl --silent --fail "$0" | curl --silent --fail --upload-file - "$1""#;
        let ran = watch(program("sh").args(["-c", script, &from, &to]), || false)?;
        ensure!(target.blob_file(digest.trim_start_matches("sha256:")).exists(), "nothing arrived");
        Self::done_with(&target)?;
        Ok(ran.wall)
    }

    /// A registry that has nothing.
    fn target(&self) -> anyhow::Result<Registry> {
        Registry::start("target", &self.folder.join("target"), Door::Open)
    }

    /// Its bytes are taken away, so that never more than one has any.
    fn done_with(target: &Registry) -> anyhow::Result<()> {
        std::fs::remove_dir_all(target.folder()).context("cannot take a registry's files away")
    }

    /// A copy in a workerd that has done nothing before.
    fn in_workerd(&self, order: &Value) -> anyhow::Result<Ran> {
        let worker = Worker::start(self.places)?;
        let before = worker.usage()?;
        let began = Instant::now();
        let ended = worker.post("image", order)?;
        let wall = began.elapsed().as_secs_f64();
        ensure!(ended["end"] == "copied", "the copy in workerd: {}", ended["error"]);
        let after = worker.usage()?;
        Ok(Ran { wall, cpu: after.cpu_seconds - before.cpu_seconds, peak_mib: after.peak_mib, ..Ran::default() })
    }

    /// Layers that no disk holds.
    fn large_in_workerd(&self, rounds: usize) -> anyhow::Result<Vec<Figure>> {
        let registries: Vec<Unkept> =
            WORKERD_LAYERS.iter().map(|(_, size)| Unkept::start(*size)).collect::<anyhow::Result<_>>()?;
        let mut runs = WORKERD_LAYERS.map(|_| Vec::new());
        for _ in 0..rounds {
            for ((registries, (_, size)), runs) in registries.iter().zip(WORKERD_LAYERS).zip(&mut runs) {
                let order = json!({
                    "source": format!("http://{}", registries.source), "from": REPOSITORY,
                    "target": format!("http://{}", registries.target), "to": REPOSITORY,
                    "digest": registries.digest, "tag": "large",
                });
                registries.forget();
                runs.push(self.in_workerd(&order)?);
                let arrived = registries.arrived("large").context("the tag does not lead to the image")?;
                ensure!(arrived > size, "{arrived} bytes arrived of {size} and a configuration");
            }
        }
        let mut figures = Vec::new();
        for ((name, _), runs) in WORKERD_LAYERS.iter().zip(&runs) {
            let value = |of: fn(&Ran) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
            let label = format!("one layer of {name}: {}", Client::Workerd.name());
            figures.push(Figure::new(&label, "wall", value(|ran| ran.wall), "s"));
            figures.push(Figure::new(&label, "cpu", value(|ran| ran.cpu), "s"));
            figures.push(Figure::new(&label, "peak RSS", value(|ran| ran.peak_mib), "MiB"));
        }
        let [small, large] = runs.map(|runs| median(&runs.iter().map(|ran| ran.peak_mib).collect::<Vec<_>>()));
        let label = format!("5 GiB / 256 MiB: {}", Client::Workerd.name());
        figures.push(Figure::new(label, "peak ratio", large / small, "x").must(Mark::AtMost(WORKERD_PEAK_RATIO_MAX)));
        Ok(figures)
    }

    fn copy(
        &self,
        client: Client,
        image: &Staged,
        (from, to): (&str, &str),
        repository: &str,
        remember: Option<&Path>,
    ) -> anyhow::Result<Command> {
        if client != Client::Skopeo {
            let mut order = order(image, (from, to), repository);
            order["remember"] = json!(remember);
            let mut command = program(self.clients.to_str().context("the clone's path is text")?);
            command.args([client.name(), &order.to_string()]);
            return Ok(command);
        }
        // With nothing remembered: it keeps a list of where it saw blobs, which changes what it does.
        let home = self.folder.join("home");
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home)?;
        let mut command = program("skopeo");
        command.env("HOME", &home).env("XDG_DATA_HOME", &home).args(["--insecure-policy", "copy", "--all"]);
        command.args(["--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]);
        command.arg(format!("docker://{from}/{REPOSITORY}:{}", image.tag));
        command.arg(format!("docker://{to}/{repository}:{}", image.tag));
        Ok(command)
    }

    /// Copies that are killed and begun again, to a registry that goes on with uploads.
    fn cuts(&self, rounds: usize) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for (name, image) in [("cut, 12 blobs", &self.image), ("cut, one layer of 512 MiB", &self.large)] {
            let mut sent: BTreeMap<Client, Vec<f64>> = BTreeMap::new();
            for round in 0..rounds {
                let mut clients = Client::PROCESSES;
                if round % 2 == 1 {
                    clients.reverse();
                }
                for client in clients {
                    sent.entry(client).or_default().push(self.cut(client, image)?);
                }
            }
            for (client, sent) in sent {
                let figure = Figure::new(format!("{name}: {}", client.name()), "sent / bytes", median(&sent), "x");
                let mark = Mark::AtMost(CUT_RATIO_MAX);
                figures.push(if client == Client::Ours { figure.must(mark) } else { figure });
            }
        }
        Ok(figures)
    }

    /// How many times its bytes an image needs, in two runs of which the first is killed.
    fn cut(&self, client: Client, image: &Staged) -> anyhow::Result<f64> {
        let command = vec![self.clients.display().to_string(), "registry".to_owned()];
        let registry = Process::start("resuming", command, BTreeMap::new(), &self.folder)?;
        let url = registry.ready()["url"].as_str().context("it says where it is")?;
        let wire = Proxy::start(Duration::ZERO)?;
        wire.lead_to(url.trim_start_matches("http://"))?;
        let remember = self.folder.join("uploads.json");
        let _ = std::fs::remove_file(&remember);
        let source = self.source.host();
        let copy = || self.copy(client, image, (&source, &wire.host()), "acme/app", Some(&remember));
        #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let bytes = image.bytes as f64;
        #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let sent = || wire.sent() as f64;
        watch(&mut copy()?, || sent() >= CUT_AT * bytes)?;
        ensure!(sent() < bytes, "the first run was not cut off: it sent everything");
        // Between two runs of a release are seconds; here the next would ask how much has arrived before that is known.
        wait_for("the registry notices that the first run is gone", LIMIT, || Ok(wire.is_at_rest().then_some(())))?;
        watch(&mut copy()?, || false)?;
        Ok(sent() / bytes)
    }
}

/// What is to be copied, as all but `skopeo` are told.
fn order(image: &Staged, (from, to): (&str, &str), repository: &str) -> Value {
    json!({
        "source": format!("http://{from}"), "from": REPOSITORY,
        "target": format!("http://{to}"), "to": repository,
        "digest": image.digest, "tag": image.tag,
    })
}

/// How many requests a registry has answered. It writes them down a moment after it answered.
fn requests(registry: &Registry) -> anyhow::Result<usize> {
    let mut last = None;
    wait_for("a registry's log is at rest", Duration::from_secs(10), || {
        let found = registry.requests()?.len();
        Ok((last.replace(found) == Some(found)).then_some(found))
    })
}

/// Runs a process to its end, or until it is to be killed. One that ends by itself must have succeeded.
fn watch(command: &mut Command, is_to_be_killed: impl Fn() -> bool) -> anyhow::Result<Ran> {
    let cpu = || -> anyhow::Result<f64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        #[allow(clippy::cast_precision_loss, reason = "processor times are far below 2^52 µs")]
        let micros = (usage.user_time() + usage.system_time()).num_microseconds() as f64;
        Ok(micros / 1e6)
    };
    let before = cpu()?;
    let began = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", command.get_program().to_string_lossy()))?;
    let mut ran = Ran::default();
    let mut killed = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // The highest that it was, so the last look before its end says nearly all.
        if let Ok(usage) = Usage::of(child.id()) {
            ran.peak_mib = usage.peak_mib;
        }
        if !killed && (is_to_be_killed() || began.elapsed() > LIMIT) {
            killed = true;
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    ran.wall = began.elapsed().as_secs_f64();
    ran.cpu = cpu()? - before;
    if !killed && !status.success() {
        let mut said = String::new();
        if let Some(mut errors) = child.stderr.take() {
            std::io::Read::read_to_string(&mut errors, &mut said)?;
        }
        bail!("{command:?} ended with {status}: {said}");
    }
    ensure!(began.elapsed() <= LIMIT, "{command:?} has no end");
    Ok(ran)
}

fn figures(latency: Duration, results: &Results, floors: &[f64]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let wires = format!("{} ms", latency.as_millis());
    for case in ["cold", "again", "one layer changed", "mount", "one layer of 512 MiB"] {
        for client in Client::ALL {
            let label = format!("{wires}, {case}: {}", client.name());
            let value = |of: fn(&Ran) -> f64| results.median(case, client, of);
            figures.push(Figure::new(&label, "wall", value(|ran| ran.wall), "s"));
            figures.push(Figure::new(&label, "cpu", value(|ran| ran.cpu), "s"));
            figures.push(Figure::new(&label, "peak RSS", value(|ran| ran.peak_mib), "MiB"));
            let at_source = value(|ran| number(ran.source_requests));
            let at_target = value(|ran| number(ran.target_requests));
            figures.push(Figure::new(&label, "requests at source", at_source, ""));
            let at_target_figure = Figure::new(&label, "requests at target", at_target, "");
            let is_marked = matches!(client, Client::Ours | Client::Workerd) && case == "again";
            let mark = Mark::AtMost(AGAIN_REQUESTS_MAX);
            figures.push(if is_marked { at_target_figure.must(mark) } else { at_target_figure });
            if client == Client::Ours && case == "cold" {
                let both = Figure::new(&label, "requests together", at_source + at_target, "");
                figures.push(both.must(Mark::AtMost(COLD_REQUESTS_MAX)));
            }
            if client == Client::Workerd {
                let both = |ran: &Ran| number(ran.source_requests + ran.target_requests);
                let of_native = (at_source + at_target) / results.median(case, Client::Ours, both);
                let figure = Figure::new(&label, "requests / native", of_native, "x");
                figures.push(figure.must(Mark::AtMost(WORKERD_REQUESTS_MAX)));
            }
        }
        let wall = |client| results.median(case, client, |ran| ran.wall);
        let ratio = Figure::new(
            format!("{wires}, {case}: ours"),
            "wall / skopeo",
            wall(Client::Ours) / wall(Client::Skopeo),
            "x",
        );
        let is_marked = case == "cold" && !latency.is_zero();
        figures.push(if is_marked { ratio.must(Mark::AtMost(COLD_RATIO_MAX)) } else { ratio });
        let label = format!("{wires}, {case}: ours");
        figures.push(Figure::new(label, "wall / oci-client", wall(Client::Ours) / wall(Client::OciCrate), "x"));
    }
    let floor = median(floors);
    let large = "one layer of 512 MiB";
    figures.push(Figure::new(format!("{wires}, {large}: curl | curl"), "wall", floor, "s"));
    let ours = results.median(large, Client::Ours, |ran| ran.wall);
    let ratio = Figure::new(format!("{wires}, {large}: ours"), "wall / curl", ours / floor, "x");
    figures.push(ratio.must(Mark::AtMost(LARGE_RATIO_MAX)));
    figures
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

//! `copy`: the verified copy on a plain workerd, between two servers on loopback that touch no disk.
//!
//! Measured against two that verify nothing: `curl GET | curl -T -`, the floor, and workerd's own pipe; and against the
//! floor with a digest taken on the way. Between servers without any limit the floor has the processors of a machine for
//! itself, a process for each side, while workerd does everything in one thread and sends bodies in pieces of 8 KiB: what
//! the verified copy could be at best there is workerd's own pipe and the hash, one after the other. Behind a network of
//! 1 Gbit/s all wait for the network. Memory is measured in a fresh workerd for each size.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use slipway_stack::{Places, Process};

use super::measure::{Usage, interleaved, median, timed};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;
use crate::tools::{self, program};

pub(super) mod servers;

use servers::Servers;

const MIB: u64 = 1024 * 1024;

/// Each size with how many times every case copies it.
const SIZES: [(u64, usize); 4] = [(64 * MIB, 5), (256 * MIB, 5), (1024 * MIB, 3), (4096 * MIB, 1)];

/// How much slower than the floor the verified copy may be. It computes SHA-256, which the floor does not.
const RATIO_MAX: f64 = 1.3;

/// How much slower than workerd's own pipe and the hash, one after the other, it may be: that is all its thread must do.
const OWN_RATIO_MAX: f64 = 1.3;

/// How fast a source is behind 1 Gbit/s, in bytes a second, and what is copied from there.
const NETWORK: u64 = 125_000_000;
const NETWORK_SIZE: u64 = 256 * MIB;
const NETWORK_ROUNDS: usize = 3;

/// How much more memory 4 GiB may need than 256 MiB.
const PEAK_RATIO_MAX: f64 = 1.15;

/// How many copies run at once in one isolate: as many as one invocation of a Worker has connections.
const AT_ONCE: usize = 6;

/// How much of the isolate they may take together. An isolate has 128 MB.
const AT_ONCE_MIB_MAX: f64 = 96.0;

/// A copy of 4 GiB takes some seconds; whatever takes this long hangs.
const LIMIT: Duration = Duration::from_mins(3);

/// The upload is chunked, since a pipe has no length.
const FLOOR: &str = r#"curl --silent --fail "$0" | curl --silent --fail --upload-file - "$1""#;

/// The same with the digest taken on the way. It knows too late that the bytes are wrong.
const HASHED: &str = r#"
    rm -f "$2" && mkfifo "$2" || exit
    if command -v openssl > /dev/null; then openssl dgst -sha256 < "$2" & else sha256sum < "$2" & fi
    curl --silent --fail "$0" | tee "$2" | curl --silent --fail --upload-file - "$1" || exit
    wait
"#;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Floor,
    Hashed,
    Pipe,
    Relay,
}

impl Case {
    const ALL: [Self; 4] = [Self::Floor, Self::Hashed, Self::Pipe, Self::Relay];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "curl | curl",
            Self::Hashed => "curl | tee | curl",
            Self::Pipe => "native pipe",
            Self::Relay => "verified copy",
        }
    }
}

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    ensure!(
        tools::output("curl", &["--version"]).is_some(),
        "this machine lacks `curl`, which the copy is compared with"
    );
    tools::workerd(steps, places)?;
    build::build(steps, places, &[Part::BenchCopy])?;
    let servers = Servers::start()?;
    let digests = servers.digests(&SIZES.map(|(size, _)| size));
    let bench = Bench { places, servers, digests };

    let hashing = bench.hashing()?;
    let mut figures = vec![Figure::new("SHA-256 alone", "seconds per GiB", hashing, "s")];
    for (size, rounds) in SIZES {
        steps.say(&format!("{}: {rounds} of each", in_words(size)));
        figures.extend(bench.times(size, rounds, hashing)?);
    }
    steps.say(&format!("{} at 1 Gbit/s: {NETWORK_ROUNDS} of each", in_words(NETWORK_SIZE)));
    figures.extend(bench.behind_a_network()?);
    steps.say("peak memory");
    figures.extend(bench.peaks()?);
    steps.say(&format!("{AT_ONCE} at once"));
    figures.extend(bench.at_once()?);
    Ok(figures)
}

fn in_words(size: u64) -> String {
    if size < 1024 * MIB { format!("{} MiB", size / MIB) } else { format!("{} GiB", size / MIB / 1024) }
}

struct Bench<'a> {
    places: &'a Places,
    servers: Servers,
    digests: BTreeMap<u64, String>,
}

impl Bench<'_> {
    /// How long this machine needs to hash, which the verified copy does beside all else.
    fn hashing(&self) -> anyhow::Result<f64> {
        let worker = self.workerd()?;
        let seconds = worker.post("hash", &json!({"size": 1024 * MIB}))?;
        seconds["seconds"].as_f64().context("the Worker says how long it hashed")
    }

    /// `hashing`: how many seconds 1 GiB takes to hash.
    fn times(&self, size: u64, rounds: usize, hashing: f64) -> anyhow::Result<Vec<Figure>> {
        let worker = self.warm()?;
        let mut cpu: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let walls = interleaved(&Case::ALL, rounds, |case| {
            let before = worker.usage()?;
            let wall = timed(|| self.copy(&worker, *case, size, None))?;
            let after = worker.usage()?;
            cpu.entry(case.name()).or_default().push(after.cpu_seconds - before.cpu_seconds);
            Ok(wall)
        })?;
        let medians: BTreeMap<&str, f64> =
            Case::ALL.iter().zip(&walls).map(|(case, walls)| (case.name(), median(walls))).collect();
        let wall = |case: Case| medians.get(case.name()).copied().unwrap_or(f64::NAN);
        let label = |case: Case| format!("{} {}", in_words(size), case.name());
        let mut figures = Vec::new();
        for case in Case::ALL {
            figures.push(Figure::new(label(case), "wall", wall(case), "s"));
            if matches!(case, Case::Pipe | Case::Relay) {
                let cpu = cpu.get(case.name()).map_or(f64::NAN, |values| median(values));
                figures.push(Figure::new(label(case), "cpu", cpu, "s"));
            }
        }
        let ratio = |below: Case, metric| Figure::new(label(Case::Relay), metric, wall(Case::Relay) / wall(below), "x");
        figures.push(ratio(Case::Floor, "wall / floor").must(Mark::AtMost(RATIO_MAX)));
        figures.push(ratio(Case::Hashed, "wall / hashed floor"));
        figures.push(ratio(Case::Pipe, "wall / pipe"));
        #[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let best = wall(Case::Pipe) + hashing * size as f64 / (1024 * MIB) as f64;
        let own = Figure::new(label(Case::Relay), "wall / (pipe + SHA-256)", wall(Case::Relay) / best, "x");
        figures.push(own.must(Mark::AtMost(OWN_RATIO_MAX)));
        Ok(figures)
    }

    /// The same from a source that gives no more than 1 Gbit/s.
    fn behind_a_network(&self) -> anyhow::Result<Vec<Figure>> {
        let worker = self.warm()?;
        let walls = interleaved(&[Case::Floor, Case::Relay], NETWORK_ROUNDS, |case| {
            timed(|| self.copy(&worker, *case, NETWORK_SIZE, Some(NETWORK)))
        })?;
        let [floor, relay] = [median(&walls[0]), median(&walls[1])];
        let label = |case: Case| format!("{} at 1 Gbit/s {}", in_words(NETWORK_SIZE), case.name());
        Ok(vec![
            Figure::new(label(Case::Floor), "wall", floor, "s"),
            Figure::new(label(Case::Relay), "wall", relay, "s"),
            Figure::new(label(Case::Relay), "wall / floor", relay / floor, "x").must(Mark::AtMost(RATIO_MAX)),
        ])
    }

    /// A workerd that has copied before: the first copy compiles the loop.
    fn warm(&self) -> anyhow::Result<Worker> {
        let worker = self.workerd()?;
        self.copy(&worker, Case::Relay, 64 * MIB, None)?;
        self.copy(&worker, Case::Pipe, 64 * MIB, None)?;
        Ok(worker)
    }

    fn peaks(&self) -> anyhow::Result<Vec<Figure>> {
        let mut peaks = Vec::new();
        for size in [256 * MIB, 4096 * MIB] {
            let worker = self.workerd()?;
            self.copy(&worker, Case::Relay, size, None)?;
            peaks.push((size, worker.usage()?.peak_mib));
        }
        let mut figures: Vec<Figure> = peaks
            .iter()
            .map(|(size, peak)| Figure::new(format!("{} verified copy", in_words(*size)), "peak RSS", *peak, "MiB"))
            .collect();
        if let [(_, small), (_, large)] = peaks.as_slice() {
            let ratio = Figure::new("4 GiB / 256 MiB", "peak ratio", large / small, "x");
            figures.push(ratio.must(Mark::AtMost(PEAK_RATIO_MAX)));
        }
        Ok(figures)
    }

    /// The memory of copies that all stand in the middle, because the sink takes no more for the moment.
    fn at_once(&self) -> anyhow::Result<Vec<Figure>> {
        let worker = self.workerd()?;
        self.copy(&worker, Case::Relay, 64 * MIB, None)?;
        let size = 256 * MIB;
        let idle = (worker.heap(self.places)?, worker.usage()?);
        let during = std::thread::scope(|scope| {
            self.servers.hold(size / 2);
            let copies: Vec<_> =
                (0..AT_ONCE).map(|_| scope.spawn(|| self.copy(&worker, Case::Relay, size, None))).collect();
            let measured =
                self.servers.wait_until_held(AT_ONCE).and_then(|()| Ok((worker.heap(self.places)?, worker.usage()?)));
            self.servers.let_go();
            for copy in copies {
                copy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            measured
        })?;
        let case = format!("{AT_ONCE} at once");
        let above = during.0 - idle.0;
        Ok(vec![
            Figure::new(&case, "heap above idle", above, "MiB").must(Mark::AtMost(AT_ONCE_MIB_MAX)),
            Figure::new(&case, "heap idle", idle.0, "MiB"),
            Figure::new(&case, "RSS idle", idle.1.rss_mib, "MiB"),
            Figure::new(&case, "RSS", during.1.rss_mib, "MiB"),
            Figure::new(&case, "peak RSS", during.1.peak_mib, "MiB"),
        ])
    }

    /// Copies `size` bytes, and makes sure that they have arrived.
    fn copy(&self, worker: &Worker, case: Case, size: u64, bytes_per_second: Option<u64>) -> anyhow::Result<()> {
        let (source, sink) = (self.servers.source(size, bytes_per_second), self.servers.sink());
        let before = self.servers.received();
        match case {
            Case::Floor | Case::Hashed => {
                let script = if case == Case::Floor { FLOOR } else { HASHED };
                let fifo = self.places.target.join("xtask/bench-copy/fifo");
                let status =
                    program("sh").args(["-c", script, &source, &sink]).arg(fifo).stdout(Stdio::null()).status()?;
                ensure!(status.success(), "curl failed: {status}");
            }
            Case::Pipe | Case::Relay => {
                let digest = self.digests.get(&size).context("every size has a digest")?;
                let order = json!({"source": source, "url": sink, "size": size, "digest": digest});
                let ended = worker.post(if case == Case::Pipe { "pipe" } else { "relay" }, &order)?;
                ensure!(ended["end"] == "answered" && ended["status"] == 200, "the copy ended with {ended}");
            }
        }
        let received = self.servers.received() - before;
        ensure!(received >= size, "{received} of {size} bytes arrived");
        Ok(())
    }

    fn workerd(&self) -> anyhow::Result<Worker> {
        Worker::start(self.places)
    }
}

/// A plain workerd with the Worker that only copies.
pub(super) struct Worker {
    process: Process,
    url: String,
    inspector: u64,
}

impl Worker {
    pub(super) fn start(places: &Places) -> anyhow::Result<Self> {
        let path = |path: &Path| path.display().to_string();
        let config = places.build().join("bench-copy/workerd.capnp");
        let command = vec![
            path(&places.workerd()?),
            "serve".to_owned(),
            path(&config),
            "--inspector-addr=127.0.0.1:0".to_owned(),
            "--control-fd=1".to_owned(),
        ];
        let logs = places.target.join("xtask/bench-copy");
        let process = Process::start("workerd", command, BTreeMap::new(), &logs)?;
        // It says a line for its socket and one for its inspector, in this or the other order.
        let said = slipway_stack::wait_for("workerd says its ports", Duration::from_secs(20), || {
            let text = std::fs::read_to_string(logs.join("workerd.out"))?;
            let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let port = |event: &str| lines.iter().find(|line| line["event"] == event)?["port"].as_u64();
            Ok(port("listen").zip(port("listen-inspector")))
        })?;
        Ok(Self { process, url: format!("http://127.0.0.1:{}", said.0), inspector: said.1 })
    }

    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.process.pid())
    }

    pub(super) fn post(&self, path: &str, order: &Value) -> anyhow::Result<Value> {
        let answer = minreq::post(format!("{}/{path}", self.url))
            .with_body(order.to_string())
            .with_timeout(LIMIT.as_secs())
            .send()
            .with_context(|| format!("workerd does not answer\n{}", self.process.tail(10)))?;
        serde_json::from_slice(answer.as_bytes())
            .with_context(|| format!("workerd answered {}\n{}", answer.status_code, self.process.tail(10)))
    }

    /// Heap and array buffers of the isolate after a collection, in MiB.
    fn heap(&self, places: &Places) -> anyhow::Result<f64> {
        let script = places.root.join("xtask/bench/copy/heap.mjs");
        let output = program("node")
            .args(["--experimental-websocket", "--no-warnings"])
            .arg(script)
            .args([&self.inspector.to_string(), &self.url])
            .output()
            .context("cannot start Node to ask workerd's inspector")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot ask workerd's inspector: {errors}");
        let usage: Value = serde_json::from_slice(&output.stdout).context("the inspector's answer")?;
        let bytes: f64 = ["usedSize", "embedderHeapUsedSize", "backingStorageSize"]
            .iter()
            .filter_map(|name| usage[*name].as_f64())
            .sum();
        ensure!(bytes > 0.0, "the inspector counts nothing: {usage}");
        Ok(bytes / 1024.0 / 1024.0)
    }
}

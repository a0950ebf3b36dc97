//! `index`: the reader of public indexes, as the wasm that the edge has, on indexes of 200 MB.
//!
//! Under Node, in a process for each reading. Beside it, to tell how much of it is the machine's: what unpacks fastest here
//! and `grep` for the same names, which check no digest and prove nothing. The indexes are made once and kept in the
//! target folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use slipway_stack::Places;

use super::measure::{interleaved, median};
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;
use crate::tools::{self, cargo, program, run_logged};

/// How much text an index has.
const OPEN_BYTES: &str = "200000000";

/// How many names are looked for: as many files as a release of GitLab's has.
const WANTED: usize = 52;

const CPU_SECONDS_MAX: f64 = 10.0;
const MEMORY_GROWTH_MIB_MAX: f64 = 16.0;

/// How often each index is read in each way.
const ROUNDS: usize = 3;

const MIB: f64 = 1_048_576.0;

/// An index, and how it is packed and unpacked by this machine's own programs.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    kind: &'static str,
    packing: &'static str,
    pack: &'static str,
    unpack: &'static str,
}

/// gzip as `apt-ftparchive` and `createrepo_c` use it; zstd at the latter's level. xz with the window of its default level,
/// and the effort of its lowest: it unpacks no faster for being packed with more, and packing takes minutes.
const CASES: [Case; 4] = [
    Case { name: "apt-gz", kind: "deb", packing: "gz", pack: "gzip -6 -n", unpack: "zcat" },
    Case { name: "apt-xz", kind: "deb", packing: "xz", pack: "xz --lzma2=preset=0,dict=8MiB", unpack: "xzcat" },
    Case { name: "yum-gz", kind: "rpm", packing: "gz", pack: "gzip -6 -n", unpack: "zcat" },
    Case { name: "yum-zst", kind: "rpm", packing: "zst", pack: "zstd --quiet -10", unpack: "zstdcat" },
];

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    for name in ["gzip", "xz", "zstd", "sha256sum", "node"] {
        ensure!(
            tools::output(name, &["--version"]).is_some(),
            "this machine lacks `{name}`, which `bench index` needs"
        );
    }
    build::build(steps, places, &[Part::BenchIndex])?;
    let data = Data::make(steps, places)?;

    // Each index in each way: by the reader, and by this machine's programs.
    let runs: Vec<(usize, bool)> = (0..CASES.len()).flat_map(|case| [(case, true), (case, false)]).collect();
    let mut growth = vec![Vec::new(); CASES.len()];
    steps.say(&format!("{} indexes, {ROUNDS} times in two ways", CASES.len()));
    let seconds = interleaved(&runs, ROUNDS, |(case, ours)| {
        if !ours {
            return data.search(&CASES[*case]);
        }
        let (seconds, mib) = data.read(places, &CASES[*case])?;
        growth[*case].push(mib);
        Ok(seconds)
    })?;
    let mut figures = Vec::new();
    for (at, case) in CASES.iter().enumerate() {
        let (ours, floor) = (median(&seconds[at * 2]), median(&seconds[at * 2 + 1]));
        figures.push(Figure::new(case.name, "cpu", ours, "s").must(Mark::AtMost(CPU_SECONDS_MAX)));
        figures.push(
            Figure::new(case.name, "memory growth", median(&growth[at]), "MiB")
                .must(Mark::AtMost(MEMORY_GROWTH_MIB_MAX)),
        );
        figures.push(Figure::new(case.name, "cpu of unpack | grep", floor, "s"));
        figures.push(Figure::new(case.name, "ratio to it", ours / floor, "x"));
    }
    Ok(figures)
}

/// The indexes on disk.
struct Data {
    folder: PathBuf,
}

impl Data {
    fn make(steps: &Steps, places: &Places) -> anyhow::Result<Self> {
        let data = Self { folder: places.target.join("xtask/bench-index") };
        fs::create_dir_all(&data.folder).with_context(|| format!("cannot make `{}`", data.folder.display()))?;
        let mut generator = cargo(places);
        generator.args(["build", "--package", "slipway-bench-index", "--bin", "bench-index-data"]);
        run_logged(&mut generator, "build the maker of indexes", &places.target.join("xtask/bench-index.log"))?;
        let generator = places.program("bench-index-data")?;
        for case in &CASES {
            let open = data.open(case);
            data.file(steps, &open, &format!("'{}' {} {OPEN_BYTES}", generator.display(), case.kind))?;
            data.file(steps, &data.packed(case), &format!("{} --stdout < '{}'", case.pack, open.display()))?;
            data.describe(case)?;
        }
        Ok(data)
    }

    fn open(&self, case: &Case) -> PathBuf {
        self.folder.join(if case.kind == "deb" { "Packages" } else { "primary.xml" })
    }

    fn packed(&self, case: &Case) -> PathBuf {
        let mut name = self.open(case).into_os_string();
        name.push(format!(".{}", case.packing));
        name.into()
    }

    /// Makes a file, unless an earlier run has made it whole.
    fn file(&self, steps: &Steps, file: &Path, command: &str) -> anyhow::Result<()> {
        if file.exists() {
            return Ok(());
        }
        let name = file.file_name().unwrap_or_default().display().to_string();
        steps.say(&format!("making {name}, once"));
        let draft = self.folder.join("draft");
        let status = program("sh").args(["-c", &format!("{command} > '{}'", draft.display())]).status();
        ensure!(status.with_context(|| format!("cannot make `{name}`"))?.success(), "`{command}` failed");
        fs::rename(&draft, file).with_context(|| format!("cannot make `{name}`"))
    }

    /// What is announced of an index, and what is looked for in it, for the reader and for `grep`.
    fn describe(&self, case: &Case) -> anyhow::Result<()> {
        let (packed, open) = (self.packed(case), self.open(case));
        let all = listed(&open, case.kind)?;
        let every = all.len() / WANTED;
        let wanted: Vec<&(String, String)> = all.iter().step_by(every.max(1)).take(WANTED).collect();
        let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        let found: Vec<String> = wanted.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
        let described = json!({
            "path": packed, "kind": case.kind, "packing": case.packing, "wanted": names, "expected": found,
            "digest": digest(&packed)?, "size": fs::metadata(&packed)?.len(),
            "openDigest": digest(&open)?, "openSize": fs::metadata(&open)?.len(),
        });
        fs::write(self.case_file(case, "json"), described.to_string())?;
        let mut lines = String::new();
        for name in names {
            let _ = writeln!(lines, "{name}");
        }
        fs::write(self.case_file(case, "names"), lines).context("cannot write the wanted names")
    }

    fn case_file(&self, case: &Case, end: &str) -> PathBuf {
        self.folder.join(format!("{}.{end}", case.name))
    }

    /// Reads an index in wasm: the seconds and the memory that it took. It must find every wanted file with its digest.
    fn read(&self, places: &Places, case: &Case) -> anyhow::Result<(f64, f64)> {
        let described = self.case_file(case, "json");
        let answer = program("node").arg(places.build().join("bench-index/read.mjs")).arg(&described).output()?;
        ensure!(
            answer.status.success(),
            "the reader failed on {}: {}",
            case.name,
            String::from_utf8_lossy(&answer.stderr)
        );
        let answer: Value = serde_json::from_slice(&answer.stdout).context("the reader prints JSON")?;
        let described: Value = serde_json::from_slice(&fs::read(&described)?)?;
        let sorted = |value: &Value| {
            let mut lines: Vec<String> =
                value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let (found, expected) = (sorted(&answer["found"]), sorted(&described["expected"]));
        ensure!(found == expected && found.len() == WANTED, "the reader found {found:?} in {}", case.name);
        let number = |name: &str| answer[name].as_f64().with_context(|| format!("the reader says its {name}"));
        Ok((number("cpuSeconds")?, number("memoryGrowthBytes")? / MIB))
    }

    /// The seconds that this machine's programs need to unpack the index and look for the same names.
    fn search(&self, case: &Case) -> anyhow::Result<f64> {
        let (packed, names) = (self.packed(case), self.case_file(case, "names"));
        let command = format!(
            "{} '{}' | grep --count --fixed-strings --file '{}'",
            case.unpack,
            packed.display(),
            names.display()
        );
        let before = seconds_of_children()?;
        let answer = program("sh").args(["-c", &command]).output().context("cannot start `sh`")?;
        ensure!(answer.status.success(), "`{command}` failed: {}", String::from_utf8_lossy(&answer.stderr));
        Ok(seconds_of_children()? - before)
    }
}

/// Every file of an index with its digest, as the text says.
fn listed(open: &Path, kind: &str) -> anyhow::Result<Vec<(String, String)>> {
    let file = File::open(open).with_context(|| format!("cannot read `{}`", open.display()))?;
    let (mut name, mut digest, mut all) = (None, None, Vec::new());
    for line in BufReader::new(file).lines() {
        let line = line?;
        let line = line.trim_start();
        let (path, hex) = if kind == "deb" {
            (line.strip_prefix("Filename: "), line.strip_prefix("SHA256: "))
        } else {
            let path = line.strip_prefix("<location href=\"").and_then(|rest| rest.strip_suffix("\"/>"));
            let hex = line.strip_prefix("<checksum type=\"sha256\" pkgid=\"YES\">");
            (path, hex.and_then(|rest| rest.strip_suffix("</checksum>")))
        };
        name = path.and_then(|path| path.rsplit('/').next()).map(str::to_owned).or(name);
        digest = hex.map(str::to_owned).or(digest);
        if name.is_some() && digest.is_some() {
            all.extend(name.take().zip(digest.take()));
        }
    }
    Ok(all)
}

fn digest(file: &Path) -> anyhow::Result<String> {
    let printed = tools::output("sha256sum", &[&file.display().to_string()]);
    let hex = printed.as_deref().and_then(|line| line.split_whitespace().next());
    Ok(hex.with_context(|| format!("cannot hash `{}`", file.display()))?.to_owned())
}

/// User and system time of all processes that this one has started and waited for (`proc(5)`, `/proc/pid/stat`).
fn seconds_of_children() -> anyhow::Result<f64> {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").context("cannot read `/proc/self/stat`: this needs Linux")?;
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    // The third field of the line is the first one here; `cutime` and `cstime` are the sixteenth and seventeenth.
    let fields: Vec<f64> =
        after_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(fields.len() == 2, "`/proc/self/stat` has another form");
    Ok(fields.iter().sum::<f64>() / TICKS_A_SECOND)
}

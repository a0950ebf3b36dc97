//! `bench`: what Slipway promises of its speed and its memory, measured on this machine.
//!
//! A benchmark returns figures. Some have a mark that they must keep; a run fails when one does not. What is compared is
//! run in turns, so that a machine that is busy for a while slows all alike, and ratios of medians are what is promised,
//! since seconds are the machine's. Every server is on loopback and ends with its benchmark.

mod audit;
mod copy;
mod dashboard;
mod image;
mod index;
pub(crate) mod measure;
mod patch_day;
mod record;
mod release;
mod sweep;
mod webhook;
mod world;

use std::fmt;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;
use slipway_stack::Places;

use crate::report::{Steps, bold, dim, green, red};

const HELP: &str = "\
cargo xtask bench [NAME …] [--json]

Runs benchmarks; without a name, lists them. It fails when a mark does not hold.

    --json    one JSON object a line and figure, and nothing else, on standard output:
              bench, case, metric, value (a number), unit, mark (text such as `<= 1.3`, null where none is set),
              holds (false only when there is a mark and the value does not keep it) and aim (as mark: what would be
              better than the mark asks; null where none is set)
";

/// A benchmark.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Steps, &Places) -> anyhow::Result<Vec<Figure>>,
}

const BENCHES: [Bench; 10] = [
    Bench {
        name: "audit",
        about: "checking an audit of a million rows with `slipway verify`: time and memory",
        run: audit::run,
    },
    Bench { name: "copy", about: "the verified copy against curl and a native pipe: time and memory", run: copy::run },
    Bench {
        name: "dashboard",
        about: "a release's page in a slowed Chromium over slow 4G, of 60 and of 5,000 targets, and what the edge computes for it",
        run: dashboard::run,
    },
    Bench {
        name: "image",
        about: "an image between two registries against skopeo and oci-client, and in workerd: time, memory and requests",
        run: image::run,
    },
    Bench { name: "index", about: "reading a public index of 200 MB in wasm: time and memory", run: index::run },
    Bench {
        name: "record",
        about: "a record of 100,000 rows exported and imported: time and memory",
        run: record::run,
    },
    Bench {
        name: "release",
        about: "a release of 12 packages against pushing them one after another, and what doing it again costs",
        run: release::run,
    },
    Bench {
        name: "patch-day",
        about: "156 packages of three versions at a server that is busy above 4 pushes at a time: time, and its estimate",
        run: patch_day::run,
    },
    Bench {
        name: "sweep",
        about: "10,000 staged packages looked at in one run: list requests, time and memory",
        run: sweep::run,
    },
    Bench {
        name: "webhook",
        about: "200 webhooks a second for two minutes while workerd is killed every 20 s: answers, and what is lost",
        run: webhook::run,
    },
];

/// One number that a benchmark found.
pub(crate) struct Figure {
    case: String,
    metric: &'static str,
    value: f64,
    unit: &'static str,
    mark: Option<Mark>,
    aim: Option<Mark>,
}

/// What a number must keep.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    AtMost(f64),
    AtLeast(f64),
}

impl Mark {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

impl Figure {
    /// A number that is only told.
    pub(crate) fn new(case: impl Into<String>, metric: &'static str, value: f64, unit: &'static str) -> Self {
        Self { case: case.into(), metric, value, unit, mark: None, aim: None }
    }

    /// One that must keep a mark.
    pub(crate) fn must(self, mark: Mark) -> Self {
        Self { mark: Some(mark), ..self }
    }

    /// One for which better is aimed at than its mark.
    pub(crate) fn aims(self, aim: Mark) -> Self {
        Self { aim: Some(aim), ..self }
    }

    fn holds(&self) -> bool {
        // A value that is no number keeps nothing.
        self.mark.is_none_or(|mark| mark.holds(self.value))
    }

    fn line(&self, bench: &str) -> serde_json::Value {
        json!({
            "bench": bench,
            "case": self.case,
            "metric": self.metric,
            "value": self.value,
            "unit": self.unit,
            "mark": self.mark.map(|mark| mark.to_string()),
            "holds": self.holds(),
            "aim": self.aim.map(|aim| aim.to_string()),
        })
    }
}

pub(crate) fn command(mut arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let (mut chosen, mut as_json) = (Vec::new(), false);
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            lexopt::Arg::Long("json") => as_json = true,
            lexopt::Arg::Value(name) => {
                let name = name.to_string_lossy().into_owned();
                let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
                    bail!("there is no benchmark `{name}`: `cargo xtask bench` lists them");
                };
                chosen.push(bench);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if chosen.is_empty() {
        for Bench { name, about, .. } in &BENCHES {
            println!("{name:<12} {about}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let places = Places::of_this_clone()?;
    let steps = if as_json { Steps::on_standard_error() } else { Steps::begin() };
    let mut hold = true;
    for bench in chosen {
        let figures = (bench.run)(&steps, &places)?;
        hold &= figures.iter().all(Figure::holds);
        if as_json {
            for figure in &figures {
                println!("{}", figure.line(bench.name));
            }
        } else {
            print!("{}", table(bench.name, &figures));
        }
    }
    Ok(if hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(bench: &str, figures: &[Figure]) -> String {
    use std::fmt::Write as _;
    let width = figures.iter().map(|figure| figure.case.len()).max().unwrap_or(0);
    let mut text = format!("\n{}\n", bold(bench));
    for figure in figures {
        let Figure { case, metric, value, unit, mark, aim } = figure;
        let _ = write!(text, "  {case:<width$}  {metric:<20}{value:>10.3} {unit:<6}");
        if let Some(mark) = mark {
            let _ = write!(text, "  {}", if figure.holds() { green("holds") } else { red("does not hold") });
            let _ = write!(text, " {}", dim(&format!("({mark})")));
        }
        if let Some(aim) = aim.filter(|aim| !aim.holds(*value)) {
            let _ = write!(text, " {}", dim(&format!("short of its aim ({aim})")));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_in_json_says_its_mark_and_whether_it_holds() {
        let figure = |value| Figure::new("64 MiB", "ratio", value, "x");
        for (figure, mark, holds) in [
            (figure(1.5), serde_json::Value::Null, true),
            (figure(1.3).must(Mark::AtMost(1.3)), "<= 1.3".into(), true),
            (figure(1.5).must(Mark::AtMost(1.3)), "<= 1.3".into(), false),
            (figure(3.9).must(Mark::AtLeast(4.0)), ">= 4".into(), false),
            (figure(f64::NAN).must(Mark::AtMost(1.3)), "<= 1.3".into(), false),
        ] {
            let line = figure.line("copy");
            assert_eq!((&line["mark"], &line["holds"]), (&mark, &holds.into()), "{line}");
        }
    }
}

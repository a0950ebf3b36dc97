//! `record`: a project's record of 100,000 rows, exported and imported.
//!
//! What counts is that neither is held whole anywhere but where the operator's page says so: an isolate on Cloudflare may have
//! 128 MiB, and workerd enforces nothing, so its own memory is looked at. The rows are those of the audit once, which leave and
//! come a page at a time, and once those of another table, which an export holds until they are sent.
//!
//! The big export is an edge's own with more rows in it, made by the documentation of its lines and of the audit's bytes: it
//! shares no code with what checks them.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use minreq::{Method, Request};
use serde_json::{Map, Value, json};
use slipway_stack::deb::sha256;
use slipway_stack::{Part as Process, Places};

use super::measure::{Usage, timed};
use super::world::World;
use super::{Figure, Mark};
use crate::build::{self, Part};
use crate::report::Steps;

const ROWS: usize = 100_000;
/// A whole workerd, with the invocation that passes the lines on and the object that has the record. On Cloudflare those are
/// two isolates, and each may have 128 MB (<https://developers.cloudflare.com/workers/platform/limits/#memory>).
const GREW_MAX_MIB: f64 = 256.0;
/// What an invocation has of the processor, and each event of an object has too, unless `[limits] cpu_ms` says more
/// (<https://developers.cloudflare.com/workers/platform/limits/#cpu-time>). The whole workerd's is held to it, which is more
/// than any one of them has.
const CPU_MAX: f64 = 30.0;
const EXCHANGE_SECONDS: u64 = 300;

/// A table that gets the rows, and what one is like.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    table: &'static str,
    row: fn(usize) -> Value,
}

const CASES: [Case; 2] = [
    Case { name: "100,000 rows of audit", table: "audit", row: held },
    Case { name: "100,000 other rows", table: "hints", row: hint },
];

pub(super) fn run(steps: &Steps, places: &Places) -> anyhow::Result<Vec<Figure>> {
    build::build(steps, places, &[Part::Worker, Part::Dashboard, Part::Native])?;
    let mut figures = Vec::new();
    for case in &CASES {
        // A record is imported where nothing has happened yet, so each case has an edge of its own.
        let mut world = World::start(places, "record", None)?;
        figures.extend(measured(steps, &mut world, case).map_err(|error| world.explained(error))?);
    }
    Ok(figures)
}

fn measured(steps: &Steps, world: &mut World, case: &Case) -> anyhow::Result<Vec<Figure>> {
    // An edge with a key imports what it has signed, and nobody signs what is made here.
    world.configure(|text| text.replace("signing_key =", "# signing_key ="))?;
    let export = with_rows(&operator(world, &Method::Get, "export", "")?, case)?;
    let lines = export.lines().count();

    steps.say(&format!("importing {}", case.name));
    let mut figures = vec![Figure::new(case.name, "size", mib(export.len()), "MiB")];
    let (_, imported) = alone(world, |world| operator(world, &Method::Post, "import", export))?;
    figures.extend(imported.figures(case, ["import", "import cpu", "import: at rest", "import: grew by"]));

    // What was imported is exported once somebody has compared and started it.
    operator(world, &Method::Get, "comparison", "")?;
    operator(world, &Method::Delete, "stop", r#"{"reason": "it was compared"}"#)?;
    steps.say("exporting them");
    let (again, exported) = alone(world, |world| operator(world, &Method::Get, "export", ""))?;
    ensure!(again.lines().count() > lines, "the export has fewer lines than what was imported");
    figures.extend(exported.figures(case, ["export", "export cpu", "export: at rest", "export: grew by"]));
    Ok(figures)
}

/// What a workerd did that does nothing else.
struct Done {
    seconds: f64,
    before: Usage,
    after: Usage,
}

/// Does it in a workerd that has done nothing else yet: its memory is that of this.
fn alone(world: &mut World, work: impl FnOnce(&World) -> anyhow::Result<String>) -> anyhow::Result<(String, Done)> {
    world.stack.kill(Process::Edge)?;
    world.stack.start_again(Process::Edge)?;
    let before = world.usage(Process::Edge)?;
    let mut answer = String::new();
    let seconds = timed(|| {
        answer = work(world)?;
        Ok(())
    })?;
    let after = world.usage(Process::Edge)?;
    Ok((answer, Done { seconds, before, after }))
}

impl Done {
    fn figures(&self, case: &Case, [time, cpu, at_rest, grew]: [&'static str; 4]) -> [Figure; 4] {
        let Self { seconds, before, after } = self;
        [
            Figure::new(case.name, time, *seconds, "s"),
            Figure::new(case.name, cpu, after.cpu_seconds - before.cpu_seconds, "s").must(Mark::AtMost(CPU_MAX)),
            Figure::new(case.name, at_rest, before.rss_mib, "MiB"),
            Figure::new(case.name, grew, after.peak_mib - before.rss_mib, "MiB").must(Mark::AtMost(GREW_MAX_MIB)),
        ]
    }
}

/// Asks the edge for the project's record, as its operator.
fn operator(world: &World, method: &Method, path: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<String> {
    let project = world.stack.projects()[0];
    let address = format!("{}/api/v1/projects/{}/{path}", world.stack.edge_url(), project.name);
    let answer = Request::new(method.clone(), address)
        .with_header("authorization", format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN")))
        .with_body(body)
        .with_timeout(EXCHANGE_SECONDS)
        .send()
        .with_context(|| format!("the edge does not answer to {method} {path}"))?;
    let status = answer.status_code;
    let text = String::from_utf8(answer.into_bytes()).context("an answer is text")?;
    ensure!(status == 200, "{method} {path} was answered with {status} {}", text.chars().take(600).collect::<String>());
    Ok(text)
}

/// A row of the audit, but for what chains it.
fn held(number: usize) -> Value {
    let details = json!({"keys": null, "reason": "r".repeat(150)}).to_string();
    json!({
        "at": 1_795_392_000_000_u64, "actor": "user:mira", "action": "held", "subject": format!("1.2.0/package-{number}"),
        "details": details,
    })
}

/// A row of what GitLab said of a job.
fn hint(number: usize) -> Value {
    json!({
        "id": number, "delivery": format!("delivery {number}"), "job_id": number, "received_at": 1, "tries": 0,
        "outcome": "o".repeat(150), "kind": "job",
    })
}

/// The export of an unused record with many rows more.
fn with_rows(export: &str, case: &Case) -> anyhow::Result<String> {
    let mut lines: Vec<&str> = export.lines().collect();
    ensure!(lines.pop().is_some_and(|last| last.starts_with("{\"end\"")), "an export ends with its end");
    let mut head: Value = serde_json::from_str(lines.first().context("an export has a first line")?)?;
    let tables = head["tables"].as_array_mut().context("it names the tables")?;
    let table = tables.iter_mut().find(|table| table["name"] == case.table).context("it names this table")?;
    let before = usize::try_from(table["rows"].as_u64().context("it counts its rows")?)?;
    table["rows"] = (before + ROWS).into();
    let columns: Vec<String> = serde_json::from_value(table["columns"].clone())?;
    let mut row_lines = String::new();
    // A row may stand anywhere, but the audit's in their order: the new ones follow those that are there.
    let mut previous = bare(&head["audit_hash"]).to_owned();
    for number in before + 1..=before + ROWS {
        let mut row = (case.row)(number);
        if case.table == "audit" {
            let hash = chained(number, &row, &previous);
            row["sequence"] = number.into();
            row["previous"] = std::mem::replace(&mut previous, hash.clone()).into();
            row["hash"] = hash.into();
        }
        let row: Map<String, Value> = columns.iter().map(|column| (column.clone(), row[column].clone())).collect();
        writeln!(row_lines, "{}", json!({"table": case.table, "row": row}))?;
    }
    if case.table == "audit" {
        head["audit_rows"] = (before + ROWS).into();
        head["audit_hash"] = format!("sha256:{previous}").into();
    }
    let mut text = format!("{head}\n");
    for line in lines.iter().skip(1) {
        writeln!(text, "{line}")?;
    }
    text.push_str(&row_lines);
    let end = json!({"end": {"lines": text.lines().count(), "sha256": format!("sha256:{}", sha256(text.as_bytes()))}});
    Ok(format!("{text}{end}\n"))
}

/// A digest's hexadecimal figures.
fn bare(digest: &Value) -> &str {
    let text = digest.as_str().unwrap_or_default();
    text.strip_prefix("sha256:").unwrap_or(text)
}

/// The hash of a row of the audit: of netstrings, as docs/audit.md describes them.
fn chained(number: usize, row: &Value, previous: &str) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let fields = [
        "slipway-audit-v1".to_owned(),
        number.to_string(),
        row["at"].to_string(),
        text("actor"),
        text("action"),
        text("subject"),
        text("details"),
        previous.to_owned(),
    ];
    let strings = fields.iter().fold(String::new(), |strings, field| format!("{strings}{}:{field},", field.len()));
    sha256(strings.as_bytes())
}

fn mib(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1_048_576.0
}

//! The pages to look at without a server, and to judge in a browser.
//!
//! `cargo run -p slipway-view --example page -- release > page.html` prints one; a filter's query may follow its name.
//! `-- --all FOLDER` writes every one, and an `index.json` that says where each would live. `-- --hostile STRINGS FOLDER`
//! writes pages that show the strings of a JSON list wherever a page shows text that others wrote.

mod act;
mod activity;
mod data;
mod fed;
mod hostile;
mod others;
mod overview;
mod public;
mod release;
mod rows;
mod states;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use maud::Markup;
use serde_json::{Value, json};
use slipway_core::api::{ProblemDetails, Release};
use slipway_view::filter::Filter;
use slipway_view::page::{self, Beside, Reader};
use slipway_view::section;

/// A page with made-up data.
struct Fixture {
    /// What it is called here.
    name: String,
    /// Where it would live.
    path: String,
    html: Markup,
    /// What a release's page shows, as the API answers it.
    release: Option<Release>,
}

impl Fixture {
    fn new(name: &str, path: impl Into<String>, html: Markup) -> Self {
        Self { name: name.to_owned(), path: path.into(), html, release: None }
    }

    /// The page of a release, as the reader of a query sees it.
    fn of(name: &str, release: Release, query: &str, reader: &Reader<'_>) -> Self {
        let filter = Filter::from_query(query);
        let path = section::path(&release) + &filter.query();
        Self {
            name: name.to_owned(),
            path,
            html: page::release(&release, &Beside::default(), &filter, reader),
            release: Some(release),
        }
    }
}

/// Every page. One that is added here is judged by every test that goes through all of them.
fn all(query: &str) -> Result<Vec<Fixture>, Box<dyn Error>> {
    let reader = Reader::default();
    let mut all = Vec::new();
    all.extend(release::fixtures(query)?);
    all.extend(states::fixtures(query)?);
    all.extend(rows::fixtures(query)?);
    all.extend(overview::fixtures()?);
    all.extend(activity::fixtures()?);
    all.extend(others::fixtures()?);
    all.extend(act::fixtures()?);
    all.extend(public::fixtures()?);
    all.push(Fixture::new("states", "/help/states", page::help_states(&reader)));
    all.push(Fixture::new("not-found", "/p/nobody", page::not_found("There is no project `nobody`.", &reader)));
    all.push(Fixture::new(
        "unauthorised",
        "/p/secret",
        page::unauthorised("Sign in with `slipway sign-in`, and send the session along.", &reader),
    ));
    all.push(Fixture::new(
        "error",
        "/p/broken",
        page::error(
            &ProblemDetails {
                kind: "gitlab-unreachable".into(),
                title: "GitLab does not answer".into(),
                status: 502,
                detail:
                    "Reading job 8812 of project 1001 failed three times. Nothing has changed. Try again in a minute."
                        .into(),
            },
            &reader,
        ),
    ));
    Ok(all)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--all", folder] => write_all(Path::new(folder), &all("")?),
        ["--hostile", strings, folder] => {
            let strings: Vec<String> = serde_json::from_slice(&std::fs::read(strings)?)?;
            write_all(Path::new(folder), &hostile::fixtures(&strings)?)
        }
        ref one => print_one(one.first().unwrap_or(&"release"), one.get(1).unwrap_or(&"")),
    }
}

fn print_one(name: &str, query: &str) -> Result<(), Box<dyn Error>> {
    let all = all(query)?;
    let mut out = std::io::stdout();
    if let Some(page) = all.iter().find(|page| page.name == name) {
        writeln!(out, "{}", page.html.0)?;
        return Ok(());
    }
    let names: Vec<&str> = all.iter().map(|page| page.name.as_str()).collect();
    Err(format!("no page `{name}`: {}", names.join(", ")).into())
}

/// Writes the pages, and what tells a server where they live.
fn write_all(folder: &Path, pages: &[Fixture]) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let mut index: Vec<Value> = Vec::new();
    for page in pages {
        let file = format!("{}.html", page.name);
        std::fs::write(folder.join(&file), &page.html.0)?;
        let release = page.release.as_ref().map(|_| format!("{}.json", page.name));
        if let (Some(file), Some(release)) = (&release, &page.release) {
            std::fs::write(folder.join(file), serde_json::to_vec(release)?)?;
        }
        index.push(json!({"name": page.name, "path": page.path, "file": file, "release": release}));
    }
    let index = json!({"policy": page::CONTENT_SECURITY_POLICY, "pages": index});
    Ok(std::fs::write(folder.join("index.json"), serde_json::to_vec_pretty(&index)?)?)
}

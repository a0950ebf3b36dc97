//! Judges a deployment from what others can see.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::Path;
use std::process::ExitCode;

use slipway_auditor::{Audit, Evidence, entries, judge, pushes, read_images, read_index, tagged};

const USAGE: &str = "\
slipway-auditor --audit PROJECT=FILE… --journal FILE --own USER… --server URL --public REPOSITORY…
                [--registry URL=REPOSITORY…] [--registry-log FILE] [--registry-storage FOLDER]

Judges from the audits that an edge exports, from the journal of its package server, and from what anybody gets there. Of a
registry the log of its requests and its storage say what nobody can see later.
Ends with 0 when nothing is wrong, with 5 when something is, and with 2 when it cannot judge.";

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(5),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<usize, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pairs = arguments.chunks(2).map(|pair| match pair {
        [name, value] => Ok((name.as_str(), value.as_str())),
        _ => Err(USAGE.to_owned()),
    });
    let read = |file: &str| std::fs::read_to_string(file).map_err(|error| format!("cannot read `{file}`: {error}"));
    let mut evidence = Evidence::default();
    evidence.own_programs.insert("Slipway".to_owned());
    let (mut server, mut registries, mut storage) = (None, Vec::new(), None);
    for pair in pairs {
        let (name, value) = pair?;
        match name {
            "--audit" => {
                let (project, file) = value.split_once('=').ok_or(USAGE)?;
                evidence.audits.push(Audit::read(project, &read(file)?));
            }
            "--journal" => {
                let lines = read(value)?;
                let lines: Result<Vec<_>, _> = lines.lines().map(serde_json::from_str).collect();
                evidence.journal = entries(&lines.map_err(|error| format!("`{value}`: {error}"))?)?;
            }
            "--own" => {
                evidence.own_users.insert(value.to_owned());
            }
            "--server" => server = Some(value.to_owned()),
            "--public" => {
                evidence.public.insert(value.to_owned());
            }
            "--registry" => registries.push(value.split_once('=').ok_or(USAGE)?),
            "--registry-log" => evidence.pushes = pushes(&read(value)?),
            "--registry-storage" => storage = Some(value.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let server = server.ok_or(USAGE)?;
    for (repository, distro, architecture, is_rpm) in evidence.indexes() {
        evidence.listed.extend(read_index(&server, &repository, &distro, &architecture, is_rpm, u64::MAX)?);
    }
    for (registry, repository) in registries {
        evidence.public_images.insert(repository.to_owned());
        evidence.images.extend(read_images(registry, repository, u64::MAX)?);
        if let Some(storage) = &storage {
            evidence.tagged.extend(tagged(Path::new(storage), repository)?);
        }
    }
    let findings = judge(&evidence);
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "{} rows of {} audits, {} writes, {} files and {} images: {} findings",
        evidence.audits.iter().map(|audit| audit.rows.len()).sum::<usize>(),
        evidence.audits.len(),
        evidence.journal.len(),
        evidence.listed.len(),
        evidence.images.len(),
        findings.len()
    );
    Ok(findings.len())
}

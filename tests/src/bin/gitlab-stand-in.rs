//! The GitLab stand-in as a program: `gitlab-stand-in --data DIR --listen ADDR --control ADDR [--seed FILE.json]`.
//!
//! One JSON line on standard output says that it is ready; it runs until SIGTERM or SIGINT.

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use slipway_tests::gitlab::{Options, start};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: gitlab-stand-in --data DIR [--listen 127.0.0.1:0] [--control 127.0.0.1:0] [--seed FILE.json]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gitlab-stand-in: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let options = options(std::env::args().skip(1))?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut stand_in = start(options).await?;
    let ready = serde_json::json!({ "url": stand_in.url(), "control": stand_in.control() });
    let mut out = std::io::stdout();
    writeln!(out, "{ready}")?;
    out.flush()?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
        error = stand_in.failed() => Err(error.into()),
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut data = None;
    let mut listen = "127.0.0.1:0".to_owned();
    let mut control = listen.clone();
    let mut seed = None;
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` has no value; {USAGE}"))?;
        match name.as_str() {
            "--data" => data = Some(PathBuf::from(value)),
            "--listen" => listen = value,
            "--control" => control = value,
            "--seed" => seed = Some(PathBuf::from(value)),
            _ => return Err(format!("`{name}` is not an option; {USAGE}")),
        }
    }
    let address = |name: &str, text: &str| -> Result<SocketAddr, String> {
        text.parse().map_err(|_| format!("{name} `{text}` is not an address such as 127.0.0.1:0"))
    };
    Ok(Options {
        data: data.ok_or_else(|| format!("`--data` is missing; {USAGE}"))?,
        listen: address("--listen", &listen)?,
        control: address("--control", &control)?,
        seed,
    })
}

//! The `depot` command.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use depot::{Ids, LINK_SECONDS, Options, Seed};
use lexopt::prelude::{Long, Short, Value, ValueExt as _};
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
A small package server: packagecloud's API over real, signed APT and YUM repositories on disk.

    depot serve --data DIR [options]

    --data DIR             the folder that holds everything; made if it is not there
    --listen ADDRESS       the API and the repositories (127.0.0.1:0: a free port)
    --storage ADDRESS      where downloads are redirected to (127.0.0.1:0)
    --control ADDRESS      orders from tests, on loopback only (off)
    --seed FILE            users and repositories to add:
                           {\"users\":[{\"name\",\"token\"}],\"repos\":[{\"owner\",\"name\",\"private\"}]}
    --ids TABLE            distribution ids: packagecloud or enterprise (packagecloud)
    --url URL              what clients call --listen, when a proxy stands in front
    --storage-url URL      what clients call --storage
    --link-seconds N       how long a link to the storage works (300)

When it is ready it prints one line of JSON: {\"url\", \"storage\", \"control\"}. It runs until SIGTERM or SIGINT; being
killed loses nothing that was accepted.
";

/// Threads that answer requests; files and digests have others.
const THREADS: usize = 4;

type Failure = Box<dyn std::error::Error + Send + Sync>;

enum Command {
    Help,
    Serve(Box<Options>),
}

fn command(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut options = Options {
        data: "".into(),
        listen: free_port,
        storage: free_port,
        control: None,
        ids: Ids::Packagecloud,
        seed: Seed::default(),
        url: None,
        storage_url: None,
        link_seconds: LINK_SECONDS,
    };
    let mut named = false;
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if !named && name == "serve" => named = true,
            Value(name) if !named && name == "help" => return Ok(Command::Help),
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("data") => options.data = parser.value()?.into(),
            Long("listen") => options.listen = parser.value()?.parse()?,
            Long("storage") => options.storage = parser.value()?.parse()?,
            Long("control") => options.control = Some(parser.value()?.parse()?),
            Long("ids") => options.ids = parser.value()?.parse()?,
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("storage-url") => options.storage_url = Some(parser.value()?.string()?),
            Long("link-seconds") => options.link_seconds = parser.value()?.parse()?,
            Long("seed") => {
                let path = parser.value()?;
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("cannot read the seed {}: {error}", path.display()))?;
                options.seed = Seed::from_json(&text)?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if !named {
        return Err("say what to do: `depot serve --data DIR`, or `depot --help`".into());
    }
    if options.data.as_os_str().is_empty() {
        return Err("say where the packages are kept: `--data DIR`".into());
    }
    Ok(Command::Serve(Box::new(options)))
}

async fn serve(options: Options) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut running = depot::start(options).await?;
    let ready = serde_json::json!({
        "url": running.url,
        "storage": running.storage_url,
        "control": running.control_url,
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    // Nothing needs to be tidied: what was accepted is on disk already.
    let ended = std::pin::pin!(async {
        running.stopped().await;
        Err::<(), Failure>("a part of the server ended".into())
    });
    let signals = std::pin::pin!(async {
        futures_util::future::select(std::pin::pin!(terminated.recv()), std::pin::pin!(interrupted.recv())).await;
        Ok(())
    });
    futures_util::future::select(ended, signals).await.factor_first().0
}

fn main() -> ExitCode {
    let options = match command(std::env::args_os().skip(1)) {
        Ok(Command::Serve(options)) => *options,
        Ok(Command::Help) => {
            let _ = std::io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("depot: {error}");
            return ExitCode::from(2);
        }
    };
    // More threads than cores: an accepted write holds everybody up until the disk has it.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("depot: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(serve(options));
    // Downloads under way do not keep it from ending.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("depot: {error}");
            let mut next = error.source();
            while let Some(source) = next {
                text = format!("{text}: {source}");
                next = source.source();
            }
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

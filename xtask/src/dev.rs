//! `dev`: the stack, empty, until Ctrl-C. It restarts nothing by itself: what happens when a service is gone is what
//! one wants to see here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use lexopt::ValueExt as _;
use slipway_stack::{PORT_NAMES, Part, Places, Secrets, Settings, Stack, wait_for, write_private};

use crate::build;
use crate::interrupt;
use crate::report::{Steps, bold};
use crate::tools::{self, shown};

const HELP: &str = "\
cargo xtask dev [--fresh] [--no-build] [--PORT-port NUMBER …]

Builds and starts the edge (workerd), depot and the GitLab stand-in on loopback, with the projects harbour/tug and
harbour/pilot, and two registries for images where `docker-registry` is installed; keeps them until Ctrl-C. Addresses and tokens are written to target/slipway-dev.json; state and
logs are kept in target/slipway-dev. The operator's token is OPERATOR_TOKEN in target/slipway-dev/secrets.json.

    --fresh              forget what earlier runs left
    --no-build           start what is built already
    --edge-port NUMBER   and likewise --depot-port, --depot-storage-port, --depot-control-port, --gitlab-port,
                         --gitlab-control-port, --registry-staging-port and --registry-public-port. The others are free
                         ones, and the same ones at the next start
";

const RESTART_HELP: &str = "\
cargo xtask restart NAME

Kills one service of the `cargo xtask dev` or `demo` that runs in this clone, and starts it again at its address with what it
had: edge, depot, gitlab, and registry-staging and registry-public where there are registries.
";

/// How often the services are looked at.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn command(mut arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let mut ports = BTreeMap::new();
    let (mut fresh, mut building) = (false, true);
    while let Some(argument) = arguments.next()? {
        let option = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            lexopt::Arg::Long(option) => option.to_owned(),
            other => return Err(other.unexpected().into()),
        };
        match option.as_str() {
            "fresh" => fresh = true,
            "no-build" => building = false,
            other => {
                let Some(name) = port_name(other) else { bail!("there is no option `--{other}`") };
                ports.insert(name.to_owned(), arguments.value()?.parse()?);
            }
        }
    }
    let places = Places::of_this_clone()?;
    let steps = Steps::begin();
    tools::check(&steps)?;
    if building {
        build::build(&steps, &places, &build::Part::ALL)?;
    }
    let folder = places.target.join("slipway-dev");
    let interrupted = interrupt::listen();
    let mut stack = Stack::start(&Settings { fresh, ports, registries: true, ..Settings::in_folder(&folder) })?;
    let file = places.target.join("slipway-dev.json");
    describe(&stack, &file)?;
    steps.say("everything is up");
    println!();
    println!("    dashboard   {}", bold(&stack.edge_url()));
    println!("    edge        {}", stack.edge_url());
    println!("    depot       {}   control {}", stack.depot_url(), stack.depot_control());
    println!("    gitlab      {}   control {}", stack.gitlab_url(), stack.gitlab_control());
    match (stack.registry_staging(), stack.registry_public()) {
        (Some(staging), Some(public)) => println!("    registries  {}   public  {}", staging.url, public.url),
        _ => println!("    registries  none: {}", stack.without_registries().unwrap_or("not asked for")),
    }
    println!("    all of it   {}", shown(&file, &places));
    println!("    {}", operator(&shown(&Secrets::file(&folder), &places)));
    println!("    logs        {}", shown(&folder.join("log"), &places));
    println!("\nCtrl-C ends it.");
    keep(&mut stack, &interrupted, &file)?;
    println!("\nending …");
    drop(stack);
    std::fs::remove_file(&file).with_context(|| format!("cannot delete `{}`", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the operator's token is. It is not printed: what is on a terminal is copied into messages.
fn operator(secrets: &str) -> String {
    format!("operator    OPERATOR_TOKEN in {secrets}, for commands in SLIPWAY_OPERATOR_TOKEN")
}

/// `--edge-port` is the port named `edge`.
pub(crate) fn port_name(option: &str) -> Option<&'static str> {
    let name = option.strip_suffix("-port")?;
    PORT_NAMES.into_iter().find(|known| *known == name)
}

/// Writes where everything is, readable by this user alone: tokens are in it.
pub(crate) fn describe(stack: &Stack, file: &Path) -> anyhow::Result<()> {
    write_private(file, &format!("{:#}\n", stack.description()))
}

/// Stays until a signal. Says when a service ends, and starts one again when `cargo xtask restart` asks.
pub(crate) fn keep(stack: &mut Stack, interrupted: &Receiver<()>, file: &Path) -> anyhow::Result<()> {
    let wish = wish_file(stack.folder());
    let mut gone = Vec::new();
    loop {
        match interrupted.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        for part in stack.parts() {
            let Some(status) = stack.process(part).ended() else { continue };
            if !gone.contains(&part) {
                gone.push(part);
                println!("\n{} ended with {status}. Its last lines:", part.name());
                print!("{}", stack.tail(part, 12));
                println!("`cargo xtask restart {}` starts it again.", part.name());
            }
        }
        if let Some(part) = std::fs::read_to_string(&wish).ok().and_then(|name| part_named(name.trim())) {
            let restart = |stack: &mut Stack| {
                if !stack.parts().contains(&part) {
                    bail!("this stack was started without it");
                }
                if stack.process(part).ended().is_none() {
                    stack.kill(part)?;
                }
                stack.start_again(part)
            };
            match restart(stack) {
                Ok(()) => println!("{} was killed and started again", part.name()),
                Err(error) => println!("cannot start {} again: {error:#}", part.name()),
            }
            gone.retain(|other| *other != part);
            describe(stack, file)?;
            std::fs::remove_file(&wish).with_context(|| format!("cannot delete `{}`", wish.display()))?;
        }
    }
}

/// `restart`: asks the `dev` (or `demo`) that is running, since only that one holds the processes.
pub(crate) fn restart(arguments: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let Some(part) = which(arguments)? else {
        print!("{RESTART_HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let places = Places::of_this_clone()?;
    let running = ["slipway-dev", "slipway-demo"]
        .map(|stack| places.target.join(stack))
        .into_iter()
        .find(|folder| folder.with_extension("json").exists())
        .context("no `cargo xtask dev` and no `cargo xtask demo` is running in this clone")?;
    let wish = wish_file(&running);
    write_private(&wish, part.name())?;
    wait_for("it is started again", Duration::from_mins(1), || Ok((!wish.exists()).then_some(())))?;
    Ok(ExitCode::SUCCESS)
}

/// Which service is to be started again. `None` when help is asked for.
fn which(mut arguments: lexopt::Parser) -> anyhow::Result<Option<Part>> {
    let mut named = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            lexopt::Arg::Value(name) if named.is_none() => {
                let name = name.to_string_lossy();
                let part = part_named(&name);
                named = Some(part.with_context(|| format!("`{name}` is no service: there are {}", part_names()))?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    named.map(Some).with_context(|| format!("which one? There are {}", part_names()))
}

fn wish_file(folder: &Path) -> PathBuf {
    folder.join("restart")
}

fn part_names() -> String {
    Part::ALL.map(Part::name).join(", ")
}

fn part_named(name: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_is_restarted_and_what_is_said_beside_it_is_refused() {
        let which = |words: &[&str]| which(lexopt::Parser::from_args(words)).map_err(|error| error.to_string());
        for part in Part::ALL {
            assert_eq!(which(&[part.name()]), Ok(Some(part)));
            assert!(RESTART_HELP.contains(part.name()), "{}", part.name());
        }
        assert_eq!(which(&["--help"]), Ok(None));
        assert_eq!(which(&["edge", "-h"]), Ok(None));
        for (words, said) in [
            (&[] as &[&str], "which one? There are "),
            (&["egde"], "`egde` is no service: there are "),
            (&["edge", "depot"], "unexpected argument \"depot\""),
            (&["edge", "--now"], "invalid option '--now'"),
            (&["--now", "edge"], "invalid option '--now'"),
        ] {
            let why = which(words).expect_err(said);
            assert!(why.contains(said), "{words:?}: {why}");
        }
    }

    #[test]
    fn the_operators_token_is_where_it_is_said_to_be_and_is_not_said() {
        let folder = std::env::temp_dir().join(format!("slipway-dev-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder of its own");
        let secrets = Secrets::of(&folder).expect("new ones");
        let file = Secrets::file(&folder);
        let text = std::fs::read_to_string(&file).expect("they are kept there");
        std::fs::remove_dir_all(&folder).expect("it was made here");
        let kept: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(kept["OPERATOR_TOKEN"], secrets.get("OPERATOR_TOKEN"));
        let said = operator(&file.display().to_string());
        assert!(said.contains("OPERATOR_TOKEN in ") && said.contains(&file.display().to_string()), "{said}");
        assert!(!said.contains(secrets.get("OPERATOR_TOKEN")), "{said}");
        assert!(HELP.contains("OPERATOR_TOKEN in target/slipway-dev/secrets.json"));
    }
}

//! One process of a stack: started, ready, killed, started again with the same command.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::wait_for;

/// How long a process may take until it says that it is ready. A debug build on a busy machine needs seconds.
const READY: Duration = Duration::from_mins(1);

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A running process, or one that has ended and can be started again.
pub struct Process {
    name: &'static str,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    logs: PathBuf,
    /// An address that answers once it is ready, for a program that does not say so.
    answers_at: Option<String>,
    child: Child,
    ready: Value,
}

impl Process {
    /// Starts `command` and waits until it prints the line of JSON that says it is ready.
    ///
    /// Its standard output goes to `NAME.out` in `logs`, its standard error is added to `NAME.log`.
    pub fn start(
        name: &'static str,
        command: Vec<String>,
        environment: BTreeMap<String, String>,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        Self::begin(name, command, environment, logs, None)
    }

    /// Starts `command` and waits until it answers at an address, whatever it answers.
    pub fn start_until_it_answers(
        name: &'static str,
        command: Vec<String>,
        logs: &Path,
        address: &str,
    ) -> anyhow::Result<Self> {
        Self::begin(name, command, BTreeMap::new(), logs, Some(address.to_owned()))
    }

    fn begin(
        name: &'static str,
        command: Vec<String>,
        environment: BTreeMap<String, String>,
        logs: &Path,
        answers_at: Option<String>,
    ) -> anyhow::Result<Self> {
        let child = spawn(name, &command, &environment, logs)?;
        let logs = logs.to_owned();
        let mut process = Self { name, command, environment, logs, answers_at, child, ready: Value::Null };
        process.wait_until_ready()?;
        Ok(process)
    }

    /// Starts it again with the command that it had. Does nothing while it runs.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        if self.ended().is_none() {
            return Ok(());
        }
        self.child = spawn(self.name, &self.command, &self.environment, &self.logs)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let output = self.logs.join(format!("{}.out", self.name));
        let name = self.name;
        self.ready = wait_for(&format!("{name} is ready"), READY, || {
            let text = std::fs::read_to_string(&output)?;
            // The last line may be half written, so it counts only when its end is there.
            let complete = text.rfind('\n').map_or("", |end| &text[..end]);
            if let Some(ready) = complete.lines().find_map(ready_line) {
                return Ok(Some(ready));
            }
            if self.answers_at.as_ref().is_some_and(|address| minreq::get(address).with_timeout(1).send().is_ok()) {
                return Ok(Some(Value::Null));
            }
            if let Some(status) = self.ended() {
                bail!("{name} ended with {status}\n{}", self.tail(20));
            }
            Ok(None)
        })?;
        Ok(())
    }

    /// Its name, as in its log's.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program and its arguments. Running them by hand starts the same process again.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// The file that its standard error goes to.
    pub fn log_file(&self) -> PathBuf {
        self.logs.join(format!("{}.log", self.name))
    }

    /// How it ended. `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL: it gets no chance to finish anything. Returns when it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for the end of {}", self.name))?;
        Ok(())
    }

    /// SIGSTOP: it is there, its connections are taken for it, and it answers none.
    pub fn suspend(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT: it goes on where it stood.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let doing = || format!("cannot send {signal} to {}", self.name);
        kill(Pid::from_raw(i32::try_from(self.child.id()).with_context(doing)?), signal).with_context(doing)
    }

    /// SIGTERM, and SIGKILL for a process that is still there some seconds later.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if self.ended().is_some() {
            return Ok(());
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        match wait_for("it ends", GRACE, || Ok(self.ended())) {
            Ok(_) => Ok(()),
            Err(_) => self.kill(),
        }
    }

    /// The last lines of what it logged and printed, for a person who looks for the reason.
    pub fn tail(&self, lines: usize) -> String {
        let mut text = String::new();
        for file in [self.log_file(), self.logs.join(format!("{}.out", self.name))] {
            let bytes = std::fs::read(&file).unwrap_or_default();
            let content = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = content.lines().collect();
            for line in &all[all.len().saturating_sub(lines)..] {
                text.push_str("    ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Depot and the stand-in print one object; workerd says the same for each socket on its control descriptor.
fn ready_line(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    let ready = value.get("url").is_some() || value.get("event").is_some_and(|event| event == "listen");
    ready.then_some(value)
}

fn spawn(name: &str, command: &[String], environment: &BTreeMap<String, String>, logs: &Path) -> anyhow::Result<Child> {
    let doing = || format!("cannot start {name}: `{}`", command.join(" "));
    std::fs::create_dir_all(logs).with_context(doing)?;
    let output = File::create(logs.join(format!("{name}.out"))).with_context(doing)?;
    let log = File::options().create(true).append(true).open(logs.join(format!("{name}.log"))).with_context(doing)?;
    let (program, arguments) = command.split_first().context("a command has a program")?;

    // The kernel ends the process when whatever started it is gone, even by SIGKILL. `setpriv` of util-linux asks for
    // that and then becomes the program, under the same number.
    let mut spawning = if cfg!(target_os = "linux") && Path::new("/usr/bin/setpriv").exists() {
        let mut setpriv = Command::new("/usr/bin/setpriv");
        setpriv.args(["--pdeathsig", "KILL", "--"]).arg(program);
        setpriv
    } else {
        Command::new(program)
    };
    // A process group of its own: Ctrl-C in a terminal reaches xtask alone, which then ends the rest in order.
    spawning.args(arguments).envs(environment).stdin(Stdio::null()).stdout(output).stderr(log).process_group(0);
    spawn_from_lasting_thread(spawning).with_context(doing)
}

/// "Gone" is said of the thread that started a process, not of its program; and the threads of tests end early. So all
/// processes are started by one thread that ends with the program.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, result) = mpsc::channel();
    spawner
        .lock()
        .map_err(|_| io::Error::other("the thread that starts processes is gone"))?
        .send((command, answer))
        .map_err(io::Error::other)?;
    result.recv().map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> anyhow::Result<Process> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Process::start("service", command, BTreeMap::new(), logs)
    }

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("slipway-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_killed_process_is_started_again_with_the_command_it_had() {
        let logs = folder("again");
        let mut process = shell(r#"echo '{"url":"here"}'; exec sleep 600"#, &logs).expect("a shell says that line");
        let first = process.pid();
        process.kill().expect("it runs");
        assert!(process.ended().is_some());
        process.start_again().expect("it says the line again");
        assert_ne!(process.pid(), first);
        assert_eq!(process.ready()["url"], "here");
        drop(process);
        std::fs::remove_dir_all(&logs).expect("it was made above");
    }

    #[test]
    fn a_process_that_ends_before_it_is_ready_is_an_error_with_its_last_words() {
        let logs = folder("words");
        let error = shell("echo no port is free >&2; exit 3", &logs).err().expect("it never says that it is ready");
        let said = format!("{error:#}");
        assert!(said.contains("no port is free") && said.contains("exit status: 3"), "{said}");
        std::fs::remove_dir_all(&logs).expect("it was made above");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let logs = folder("gone");
        let process = shell(r#"echo '{"url":"here"}'; exec sleep 600"#, &logs).expect("a shell says that line");
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        std::fs::remove_dir_all(&logs).expect("it was made above");
    }
}

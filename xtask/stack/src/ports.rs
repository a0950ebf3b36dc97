//! The ports of a stack: given, or free ones that are remembered, so that addresses survive a restart.
//!
//! A port that nothing listens on is not yet one's own: stacks that start side by side look at the same moment, and a
//! process listens seconds after its port was chosen. So a port is reserved: as long as a stack holds it, started or
//! killed, no other stack of this user takes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Every port by name: `--edge-port` on the command line, `edge` in `ports.json`.
pub const PORT_NAMES: [&str; 8] = [
    "edge",
    "depot",
    "depot-storage",
    "depot-control",
    "gitlab",
    "gitlab-control",
    "registry-staging",
    "registry-public",
];

/// A port for every name.
#[derive(Debug)]
pub struct Ports(BTreeMap<String, Port>);

impl Ports {
    /// The given ports, and for the other names what the last start in this folder used, or a free one.
    pub(crate) fn choose(given: &BTreeMap<String, u16>, folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("ports.json");
        let remembered: BTreeMap<String, u16> = match std::fs::read_to_string(&file) {
            Ok(text) => read(&text).with_context(|| format!("cannot read `{}`", file.display()))?,
            Err(_) => BTreeMap::new(),
        };
        let mut chosen = BTreeMap::new();
        for name in PORT_NAMES {
            let port = match (given.get(name), remembered.get(name)) {
                (Some(port), _) => Port::reserve(*port)?.with_context(|| {
                    format!("port {port} is taken by another program: end that, or give another with `--{name}-port`")
                })?,
                (None, Some(port)) => match Port::reserve(*port)? {
                    Some(port) => port,
                    None => Port::free()?,
                },
                (None, None) => Port::free()?,
            };
            chosen.insert(name.to_owned(), port);
        }
        let text: serde_json::Value = chosen.iter().map(|(name, port)| (name.clone(), port.number)).collect();
        std::fs::write(&file, format!("{text:#}\n")).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(Self(chosen))
    }

    /// The port of this name.
    ///
    /// # Panics
    /// For a name that is not in [`PORT_NAMES`].
    pub fn get(&self, name: &str) -> u16 {
        self.0.get(name).expect("every name of PORT_NAMES got a port").number
    }

    /// The port as a loopback address, `127.0.0.1:7001`.
    pub fn address(&self, name: &str) -> String {
        format!("127.0.0.1:{}", self.get(name))
    }

    /// The port as an origin, `http://127.0.0.1:7001`.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}", self.address(name))
    }
}

fn read(text: &str) -> anyhow::Result<BTreeMap<String, u16>> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let ports = value.as_object().context("it is no JSON object")?;
    ports
        .iter()
        .map(|(name, port)| {
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            Ok((name.clone(), port.with_context(|| format!("`{name}` is no port"))?))
        })
        .collect()
}

/// Below the range that systems take the ports of outgoing connections from (32768 and up on Linux), so that a process
/// that is killed and started again finds its port as it left it.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on loopback that is this holder's alone until it is dropped or its program ends.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    reservation: File,
}

impl Port {
    /// One that nothing listens on and that nobody has reserved.
    pub fn free() -> anyhow::Result<Self> {
        let span = RANGE.end - RANGE.start;
        let start = u16::from_str_radix(&crate::random_hex(2)?, 16)? % span;
        for step in 0..span {
            if let Some(port) = Self::reserve(RANGE.start + (start + step) % span)? {
                return Ok(port);
            }
        }
        bail!("no port between {} and {} is free on 127.0.0.1", RANGE.start, RANGE.end - 1)
    }

    /// This one. `None` if something listens on it, or another holds it.
    fn reserve(number: u16) -> anyhow::Result<Option<Self>> {
        let folder = reservations();
        let file = folder.join(number.to_string());
        // The reservation is the lock, which ends with its program; the empty file may stay.
        let reservation = std::fs::create_dir_all(&folder)
            .and_then(|()| File::create(&file))
            .with_context(|| format!("cannot reserve a port by `{}`", file.display()))?;
        // Looking is listening for a moment, which would be in the way of whoever holds the port: only after the lock.
        let is_free = reservation.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok();
        Ok(is_free.then_some(Self { number, reservation }))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // A process that is just being started has the file too, so closing it here may not end the lock.
        let _ = self.reservation.unlock();
    }
}

/// One folder for all clones of a user: their stacks share the ports of one machine.
fn reservations() -> PathBuf {
    std::env::temp_dir().join(format!("slipway-ports-{}", nix::unistd::getuid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_nobody_elses_though_nothing_listens_on_it_yet() {
        let mine = Port::free().expect("some port is free");
        assert!(Port::reserve(mine.number).expect("the folder is writable").is_none());
        let number = mine.number;
        drop(mine);
        assert!(Port::reserve(number).expect("the folder is writable").is_some());
    }

    #[test]
    fn a_port_that_another_program_listens_on_is_not_taken() {
        let others = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let number = others.local_addr().expect("it listens").port();
        assert!(Port::reserve(number).expect("the folder is writable").is_none());
    }
}

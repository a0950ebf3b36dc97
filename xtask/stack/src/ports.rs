//! The ports of a stack: given, or free ones that are remembered, so that addresses survive a restart.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Every port by name: `--edge-port` on the command line, `edge` in `ports.json`.
pub const PORT_NAMES: [&str; 6] = ["edge", "depot", "depot-storage", "depot-control", "gitlab", "gitlab-control"];

/// A port for every name.
#[derive(Clone, Debug, Default)]
pub struct Ports(BTreeMap<String, u16>);

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
                (Some(port), _) if is_free(*port) => *port,
                (Some(port), _) => {
                    bail!("port {port} is taken by another program: end that, or give another with `--{name}-port`")
                }
                (None, Some(port)) if is_free(*port) && !chosen.values().any(|other| other == port) => *port,
                (None, _) => free_port(&chosen.values().copied().collect::<Vec<_>>())?,
            };
            chosen.insert(name.to_owned(), port);
        }
        let text: serde_json::Value = chosen.iter().map(|(name, port)| (name.clone(), *port)).collect();
        std::fs::write(&file, format!("{text:#}\n")).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(Self(chosen))
    }

    /// The port of this name.
    ///
    /// # Panics
    /// For a name that is not in [`PORT_NAMES`].
    pub fn get(&self, name: &str) -> u16 {
        *self.0.get(name).expect("every name of PORT_NAMES got a port")
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

/// A port on loopback that nothing listens on, and that is not among `others`.
pub fn free_port(others: &[u16]) -> anyhow::Result<u16> {
    let span = RANGE.end - RANGE.start;
    let start = u16::from_str_radix(&crate::random_hex(2)?, 16)? % span;
    (0..span)
        .map(|step| RANGE.start + (start + step) % span)
        .find(|port| !others.contains(port) && is_free(*port))
        .context("no port between 20000 and 31999 is free on 127.0.0.1")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

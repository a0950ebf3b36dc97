//! The edge over TLS as well, as people reach one that is deployed. Everything else goes on over the plain address, which stays.

use std::io::{Cursor, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use slipway_stack::{Part, Port};

use super::World;

/// Where the edge is reached over TLS, and how it is known there.
pub struct Tls {
    /// Its address, which is the one in its `slipway.toml`.
    pub url: String,
    /// The certificate, which nobody but its holder has signed.
    pub certificate: PathBuf,
    port: Port,
}

impl World {
    /// Restarts the edge with a second address, over TLS, which is the one that it knows itself by.
    pub fn over_tls(&mut self) -> Tls {
        const PLAIN: &str = "service = \"edge\")],";
        let port = Port::free().expect("some port is free");
        let edge = self.folder.join("edge");
        let (key, certificate) = (edge.join("tls.key"), edge.join("tls.crt"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=slipway"]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
        let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl is here");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let file = edge.join("workerd.capnp");
        let before = std::fs::read_to_string(&file).expect("a started stack has its configuration");
        let address = format!("127.0.0.1:{}", port.number);
        let socket = format!(
            "service = \"edge\"),\n    (name = \"https\", address = \"{address}\", service = \"edge\", https = (options = (), \
             tlsOptions = (keypair = (privateKey = embed \"tls.key\", certificateChain = embed \"tls.crt\"))))],"
        );
        assert!(before.contains(PLAIN), "{before}");
        self.kill(Part::Edge);
        std::fs::write(&file, before.replace(PLAIN, &socket)).expect("the stack's folder is writable");

        let url = format!("https://{address}");
        let plain = self.stack.edge_url();
        let file = edge.join("worker/slipway.toml");
        let before = std::fs::read_to_string(&file).expect("a started stack has its configuration");
        // Jobs go on asking for tokens for the plain address.
        let after =
            before.replace(&format!("url = \"{plain}\"\n"), &format!("url = \"{url}\"\naudience = \"{plain}\"\n"));
        assert_ne!(before, after, "the configuration is another one");
        std::fs::write(&file, after).expect("the stack's folder is writable");
        self.start_again(Part::Edge);
        Tls { url, certificate, port }
    }
}

impl Tls {
    /// Sends a whole request, which must ask for the connection to be closed, and reads the whole answer. The certificate is
    /// checked, and whom it is for.
    pub fn exchange(&self, request: &[u8]) -> Cursor<Vec<u8>> {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1"]);
        openssl.arg("-CAfile").arg(&self.certificate).args(["-connect", &format!("127.0.0.1:{}", self.port.number)]);
        let started = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.expect("openssl is here");
        let mut asks = child.stdin.take().expect("it is a pipe");
        asks.write_all(request).expect("it reads");
        // Held until the end: openssl would hang up with it.
        let ended = child.wait_with_output().expect("it runs");
        drop(asks);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Cursor::new(ended.stdout)
    }
}

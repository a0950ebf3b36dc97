# A plain workerd with the Worker that only copies. `cargo xtask build bench-copy` puts it beside the modules, which it
# lists, with the compatibility date of `wrangler.toml`, so that it runs as the real Worker does.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "copy", worker = .copy),
    # Everything on loopback is a private address, which workerd refuses unless told.
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  # The kernel chooses the port, and workerd says which: `--control-fd=1`.
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "copy")],
);

const copy :Workerd.Worker = (
  compatibilityDate = "COMPATIBILITY_DATE",
  modules = [
MODULES
  ],
);

//! Slipway from what `cargo xtask dist` packs: the Worker, depot and the command, with no Rust and nothing of this clone's
//! own builds. GitLab is the stand-in, and workerd comes from npm.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slipway_stack::{HandedOut, Places};
use slipway_tests::e2e::{Deb, JAMMY, Pipeline, Runner, World, deb, get, send, sha256};

/// The packed files, and the sums beside them.
struct Packed {
    folder: PathBuf,
    sums: Vec<(String, String)>,
}

impl Packed {
    fn find() -> Option<Self> {
        let folder = Places::of_this_clone().expect("tests run in a clone").build().join("dist");
        let Ok(text) = std::fs::read_to_string(folder.join("SHA256SUMS")) else {
            println!("SKIPPED: nothing is packed here; `cargo xtask dist` does it");
            return None;
        };
        let sums = text.lines().filter_map(|line| line.split_once("  "));
        Some(Self { folder, sums: sums.map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect() })
    }

    /// The one file whose name begins so, and its sum.
    fn file(&self, begins: &str) -> (PathBuf, &str) {
        let found: Vec<_> = self.sums.iter().filter(|(name, _)| name.starts_with(begins)).collect();
        let [(name, sum)] = found.as_slice() else { panic!("{begins}: {found:?}") };
        (self.folder.join(name), sum)
    }

    /// The command's file has the shortest name: the version follows at once.
    fn command(&self) -> (PathBuf, &str) {
        self.file(concat!("slipway-", env!("CARGO_PKG_VERSION"), ".tgz"))
    }

    /// A Slipway of these files alone.
    fn start(&self, test: &str) -> World {
        World::start_with(test, |settings| {
            let place = settings.folder.join("handed-out");
            std::fs::create_dir_all(&place).expect("the stack's folder is writable");
            let worker = self.unpack("slipway-worker-", &place);
            let depot = self.unpack("depot-", &place).join("depot");
            settings.handed_out = Some(HandedOut { worker, depot });
        })
    }

    /// Unpacks an archive, and returns the one folder in it.
    fn unpack(&self, begins: &str, place: &Path) -> PathBuf {
        let (archive, _) = self.file(begins);
        let ended = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(place).status();
        assert!(ended.expect("there is a `tar`").success(), "{}", archive.display());
        let name = archive.file_name().expect("it has a name").to_string_lossy().into_owned();
        place.join(name.trim_end_matches(".tar.gz"))
    }
}

#[test]
fn a_pipeline_releases_a_package_with_what_is_handed_out_and_loads_its_command_from_the_edge() {
    let Some(packed) = Packed::find() else { return };
    let runner = match Runner::find_bare() {
        Ok(runner) => runner,
        Err(why) => return println!("SKIPPED: pipelines cannot be run here: {why}"),
    };
    let world = packed.start("handed-out-pipeline");
    let keys = [("cargo".to_owned(), JAMMY)];
    let pipeline = Pipeline::of(&world, world.release("1.2.0"), runner, "project", &keys);
    let said = pipeline.run("plan").passed();
    let (_, sum) = packed.command();
    assert!(said.contains(&format!("slipway from {}/slipway.tgz, SHA-256 {sum}", world.stack.edge_url())), "{said}");
    let package = pipeline.build("cargo", &Deb { version: "1.2.0-1".to_owned(), ..deb("tug", "Built once.\n", 0) });
    pipeline.run("build cargo").passed();
    pipeline.play("cargo").passed();
    assert_eq!(pipeline.release.shown()["state"], "complete");
    pipeline.release.is_public_once(&package);
}

#[test]
fn the_edge_serves_the_packed_command_under_a_name_that_moves_on_and_under_its_version() {
    let Some(packed) = Packed::find() else { return };
    let world = packed.start("handed-out-served");
    let (file, sum) = packed.command();
    let version = env!("CARGO_PKG_VERSION");
    let bytes = std::fs::read(&file).expect("it is packed");
    for (name, kept) in [
        ("slipway.tgz".to_owned(), "public, max-age=0, must-revalidate"),
        (format!("slipway-{version}.tgz"), "public, max-age=31536000, immutable"),
    ] {
        let (served, headers) = get(&world.edge(&format!("/{name}")), &[]);
        let header = |name: &str| headers.get(name).map(String::as_str);
        assert!(served.body == bytes, "{name} is the packed file");
        assert_eq!(sha256(&served.body), sum);
        assert_eq!(header("cache-control"), Some(kept));
        assert_eq!(header("content-type"), Some("application/gzip"));
        let tag = header("etag").expect("it has a tag").to_owned();
        let again = send("GET", &world.edge(&format!("/{name}")), &[("if-none-match", tag.as_str())], "");
        assert_eq!((again.status, again.body.len()), (304, 0));
        // The form that `sha256sum --check` reads.
        let digest = send("GET", &world.edge(&format!("/{name}.sha256")), &[], "").ok().text();
        assert_eq!(digest, format!("{sum}  {name}\n"));
    }
    for other in ["slipway-0.0.0.tgz", "slipway.tgz.sig", "command/slipway.tgz"] {
        assert_eq!(send("GET", &world.edge(&format!("/{other}")), &[], "").status, 404, "{other}");
    }
}

#[test]
fn npm_runs_and_installs_the_command_from_the_address_of_the_edge_and_loads_nothing_else() {
    let Some(packed) = Packed::find() else { return };
    let world = packed.start("handed-out-npm");
    let folder = world.stack.folder().join("npm");
    std::fs::create_dir_all(&folder).expect("the stack's folder is writable");
    let url = world.edge("/slipway.tgz");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder).stdin(Stdio::null());
        // No registry is there to ask.
        command.env("npm_config_registry", "http://127.0.0.1:9").env("npm_config_cache", folder.join("cache"));
        command.env("npm_config_update_notifier", "false").env("HOME", &folder);
        let ended = command.output().expect("npm comes with Node");
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&ended.stderr));
        text
    };
    let version = format!("slipway {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("npx", &["--yes", &url, "--version"]).trim(), version);
    run("npm", &["install", "--global", "--prefix", ".", &url]);
    assert_eq!(run("./bin/slipway", &["--version"]).trim(), version);
    let listed = run("npm", &["ls", "--global", "--prefix", ".", "--all", "--parseable"]);
    assert_eq!(listed.lines().count(), 2, "the folder, and the command alone: {listed}");
}

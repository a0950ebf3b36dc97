//! Who released what can be proved afterwards.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use slipway_core::time::Timestamp;
use slipway_ledger::audit::{Broken, Entry, Event, verify};
use slipway_tests::e2e::{Release, Spoken, World, deb, get, send, sha256, wait_until};

#[test]
fn the_audit_is_an_unbroken_chain_that_names_who_played_the_job_and_the_bytes() {
    let world = World::start("audit");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("ledger", "", 0));
    // Mira began the pipeline, Jonas plays the job: it is his approval.
    world.gitlab.play(job, "jonas");
    let target = release.wait_until_released("ledger");
    assert_eq!(target["approval"]["by"], "jonas");
    assert_eq!(target["approval"]["via"], "webhook");

    let rows = world.rows(&release, "ledger", "approved");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["actor"], "user:jonas");
    let details: Value = serde_json::from_str(rows[0]["details"].as_str().expect("text")).expect("details are JSON");
    assert_eq!(details["digest"], format!("sha256:{}", package.sha256));
    assert_eq!(details["job"], job);
    for action in ["declared", "staged", "approved", "released"] {
        assert_eq!(world.rows(&release, "ledger", action).len(), 1, "one row says `{action}`");
    }

    let mut chain: Vec<Entry> = world.audit(world.tug()).iter().map(entry).collect();
    assert_eq!(verify(&chain), Ok(()));
    // Somebody else in Jonas's place would show.
    let approval = chain.iter().position(|row| row.event.action == "approved").expect("it is there");
    "user:mira".clone_into(&mut chain[approval].event.actor);
    assert_eq!(verify(&chain), Err(Broken::Contents(chain[approval].sequence)));
}

#[test]
fn a_refusal_is_in_the_audit_with_its_reason() {
    let world = World::start("audit-refusal");
    let release = world.release("1.0.0");
    release.plan(&["ledger"]);
    let job = world.gitlab.play(release.job("ledger"), "jonas");
    assert_eq!(release.promote(&release.session(job), &["ledger"]).status, 409);
    let rows = world.rows(&release, "ledger", "refused");
    // The webhook of the same job may have been first; a job is refused once, whichever way it asks.
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let actor = row["actor"].to_string();
    assert!(actor.contains(&format!("job:{job}")), "{actor}");
    let details = row["details"].to_string();
    assert!(details.contains("is not staged"), "{details}");
}

/// An audit that is exported and checked.
struct Audit<'a> {
    world: &'a World,
    release: &'a Release,
}

impl Audit<'_> {
    fn url(&self, rest: &str) -> String {
        self.world.edge(&format!("/api/v1/projects/tug/audit{rest}"))
    }

    /// The whole export, page by page, as the `Link` headers lead.
    fn export(&self, query: &str) -> String {
        let (mut url, mut text, mut pages) = (self.url(query), String::new(), 0);
        loop {
            let (answer, headers) = get(&url, &[]);
            text.push_str(&answer.ok().text());
            pages += 1;
            let Some(link) = headers.get("link") else { break };
            let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
            next.expect("the next page's address").clone_into(&mut url);
        }
        assert!(pages > 2, "several pages were put together");
        text
    }

    /// The newest head's row, and the note.
    fn head(&self) -> Option<(usize, String)> {
        let answer = send("GET", &self.url("/head"), &[], "");
        let note = (answer.status == 200).then(|| answer.text())?;
        let row = note.lines().nth(3).and_then(|line| line.parse().ok());
        Some((row.unwrap_or_else(|| panic!("no head: {note}")), note))
    }

    fn head_from(&self, row: usize) -> (usize, String) {
        wait_until("the head is signed", || self.head().is_some_and(|(signed, _)| signed >= row));
        self.head().expect("a head")
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.world.stack.folder().join(name);
        std::fs::write(&file, text).expect("the stack's folder is writable");
        file
    }

    fn keys(&self) -> Value {
        send("GET", &self.world.edge("/api/v1/signing-key"), &[], "").ok().json()
    }

    /// `slipway verify --audit`, without anything of the edge.
    fn verify(&self, export: &str, heads: &str) -> Spoken {
        let audit = self.write("checked.export", export);
        let (heads, keys) = (self.write("checked.heads", heads), self.write("checked.keys", self.keys().to_string()));
        let mut command = self.release.command("", &["verify", "--audit"]);
        command.arg(audit).arg("--head").arg(heads).arg("--key").arg(keys).env_remove("SLIPWAY_URL");
        Spoken::of(&mut command)
    }
}

/// So many things happen that a second head is due: somebody holds a release and lets it go, again and again.
fn much_happens(world: &World) {
    let other = world.release("2.0.0");
    other.plan(&["much"]);
    let operator = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    for number in 0..130 {
        for method in ["POST", "DELETE"] {
            let url = world.edge("/api/v1/projects/tug/releases/2.0.0/holds");
            let reason = json!({ "reason": format!("for the {number}th time") });
            send(method, &url, &[("authorization", &operator)], reason.to_string()).ok();
        }
    }
}

#[test]
fn an_export_holds_against_the_signed_head_and_whatever_is_changed_in_it_is_found() {
    let world = World::start("audit-export");
    let release = world.release("1.0.0");
    let audit = Audit { world: &world, release: &release };
    let (_, job) = release.ready(&deb("ledger", "", 0));
    world.gitlab.play(job, "jonas");
    release.wait_until_released("ledger");
    // The first row is signed at once, and then every 256.
    let (first, first_note) = audit.head_from(1);
    assert!(first < 20, "{first_note}");
    much_happens(&world);
    let (signed, note) = audit.head_from(first + 256);

    // Another program: `openssl` takes the edge's key, the six lines and the 64 bytes.
    let key = audit.keys();
    let pem = audit.write("key.pem", key["keys"][0]["pem"].as_str().expect("a PEM"));
    let (text, line) = note.split_once("\n\n").expect("a text and a signature");
    let [_, name, signature] = line.trim_end().split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!(name, key["name"]);
    let signature = STANDARD.decode(signature).expect("base64");
    let (text, signature) = (audit.write("head.txt", format!("{text}\n")), audit.write("head.sig", &signature[4..]));
    let mut openssl = Command::new("openssl");
    openssl.args(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey"]).arg(pem).arg("-sigfile").arg(signature);
    let verified = openssl.arg("-in").arg(text).output().expect("openssl is on the machine");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    let ndjson = audit.export("?count=100");
    let csv = audit.export("?count=100&format=csv");
    let heads = send("GET", &audit.url("/heads"), &[], "").ok().text();
    assert!(heads.starts_with(&first_note) && heads.contains(&note), "{heads}");
    for export in [&ndjson, &csv] {
        let said = audit.verify(export, &heads).ended_with(0).text;
        assert!(said.contains(&format!("rows 1 to {signed} are those of project {}", world.tug().id)), "{said}");
    }
    let lines: Vec<&str> = ndjson.lines().collect();
    let cut = lines[..signed - 1].join("\n") + "\n";
    let said = audit.verify(&cut, &heads).ended_with(5).text;
    assert!(said.contains(&format!("rows from {signed} to {signed} are missing")), "{said}");
    let said = audit.verify(&ndjson.replacen("user:jonas", "user:mira!", 1), &heads).ended_with(5).text;
    let approval = lines.iter().position(|line| line.contains("user:jonas")).expect("he approved") + 1;
    assert!(said.contains(&format!("row {approval} was changed")), "{said}");
    // Somebody with the database: the row is another, and every hash from it on is computed anew.
    let rebuilt = rebuilt(&lines, |event| event.actor = event.actor.replace("jonas", "mira"));
    let said = audit.verify(&rebuilt, &heads).ended_with(5).text;
    assert!(said.contains("computed anew") && said.contains(&format!("to {signed} is not")), "{said}");

    // What a person does: one command to keep it, one to check it.
    let file = world.stack.folder().join("audit.ndjson");
    let mut command = release.command("", &["audit"]);
    Spoken::of(command.arg(&file)).ended_with(0);
    let kept = std::fs::read_to_string(&file).expect("it was written");
    assert!(kept.starts_with(&ndjson), "it is the export");
    assert_eq!(std::fs::read_to_string(file.with_extension("ndjson.heads")).expect("beside it"), heads);
}

/// The rows with a change, as a chain that fits by itself.
fn rebuilt(lines: &[&str], change: impl Fn(&mut Event)) -> String {
    let mut previous = slipway_core::audit::GENESIS;
    let mut text = String::new();
    for line in lines {
        let mut row = entry(&serde_json::from_str(line).expect("a row is JSON"));
        change(&mut row.event);
        row.previous = previous;
        row.hash = slipway_wire::Digest::of(&slipway_core::audit::canonical(row.sequence, &row.event, &previous));
        previous = row.hash;
        slipway_core::audit::Format::Ndjson.write(&row, &mut text);
    }
    text
}

#[test]
fn a_changed_configuration_is_in_the_audit_and_a_key_that_was_exchanged_still_counts() {
    let mut world = World::start("audit-configured");
    let release = world.release("1.0.0");
    release.plan(&["ledger"]);
    let old = Audit { world: &world, release: &release }.head_from(1);
    let before = world.audit(world.tug());
    let toml =
        |world: &World| std::fs::read(world.stack.folder().join("edge/worker/slipway.toml")).expect("it is there");
    assert_eq!(before[0]["action"], "configured");
    let configured = |row: &Value| serde_json::from_str::<Value>(row["details"].as_str().expect("text")).expect("JSON");
    let first = format!("sha256:{}", sha256(&toml(&world)));
    assert_eq!(configured(&before[0]), json!({ "before": null, "policy": first }));

    // The bytes 0 to 31, and what was used until now as a former key.
    let keys = Audit { world: &world, release: &release }.keys();
    let former = keys["keys"][0]["key"].as_str().expect("a key").to_owned();
    world.exchange_secret("SIGNING_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", |text| {
        text.replace("signing_key =", &format!("former_keys = [\"{former}\"]\nsigning_key ="))
    });
    let audit = Audit { world: &world, release: &release };
    let keys = audit.keys();
    // The public key of those 32 bytes, as `docs/audit.md` has it.
    assert_eq!(keys["keys"][0]["key"], "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
    assert_eq!((&keys["keys"][1]["key"], &keys["keys"][1]["is_current"]), (&json!(former), &json!(false)));

    // Nobody has done anything: a read is enough for the new configuration to be known.
    let rows = world.audit(world.tug());
    let row = rows.last().expect("rows");
    assert_eq!((&row["action"], &row["subject"]), (&json!("configured"), &json!("slipway.toml")));
    assert_eq!(configured(row), json!({ "before": first, "policy": format!("sha256:{}", sha256(&toml(&world))) }));
    assert_eq!(rows.iter().filter(|row| row["action"] == "configured").count(), 2);

    much_happens(&world);
    let new = audit.head_from(256);
    let export = audit.export("?count=100");
    let said = audit.verify(&export, &format!("{}{}", old.1, new.1)).ended_with(0).text;
    assert!(said.contains(&format!("rows 1 to {}", new.0)), "{said}");
}

fn entry(row: &Value) -> Entry {
    let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {row}")).to_owned();
    Entry {
        sequence: row["sequence"].as_u64().expect("rows are numbered"),
        event: Event {
            at: Timestamp(row["at_ms"].as_i64().expect("rows have their time in milliseconds")),
            actor: text("actor"),
            action: text("action"),
            subject: text("subject"),
            details: text("details"),
        },
        previous: text("previous").parse().expect("hashes are hexadecimal"),
        hash: text("hash").parse().expect("hashes are hexadecimal"),
    }
}

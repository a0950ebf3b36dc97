//! What is not public changes no byte of any answer, and what is only staged is answered as what nobody has thought of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use slipway_core::api::Release;
use slipway_core::sight::public;

use super::*;

const EDGE: &str = "https://slipway.example.com";
const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
const TEXT: &str = "text/plain";
/// It is in every text that is nobody's outside.
const CANARY: &str = "canary";
const RELEASES: u64 = 3_000;

/// `SplitMix64`: one number leads to the next, and a run can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let last = u64::try_from(of.len()).expect("a short list");
        of[usize::try_from(self.below(last)).expect("a small number")]
    }

    fn maybe(&mut self, value: Value) -> Option<Value> {
        (self.below(2) == 0).then_some(value)
    }

    fn secret(&mut self) -> String {
        format!("{CANARY}-{}", self.below(1_000_000))
    }

    fn moment(&mut self) -> String {
        let (day, hour, minute) = (self.below(28) + 1, self.below(24), self.below(60));
        format!("2026-11-{day:02}T{hour:02}:{minute:02}:07.123Z")
    }

    fn digest(&mut self) -> String {
        format!("sha256:{:064x}", self.below(u64::MAX))
    }
}

const PRIVATE_STATES: [&str; 9] =
    ["expected", "staged", "approved", "releasing", "conflict", "failed", "missing", "skipped", "expired"];
const PUBLIC_STATES: [&str; 2] = ["released", "withdrawn"];
const DISTROS: [&str; 4] = ["ubuntu/jammy", "el/9", "debian/bookworm", "opensuse/15.6"];
const TAGS: [&str; 2] = ["1.2.0", "latest"];
const KEYS: [&str; 6] = ["ee-amd64", "ce-arm64", "ee-image", "jammy", "el9", "tools"];

fn put(of: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => of.insert(name.to_owned(), value),
        None => of.remove(name),
    };
}

fn problem(chance: &mut Chance) -> Value {
    json!({
        "code": "trouble", "what": chance.secret(), "public": chance.one_of(&["none", "partly", "done", "unknown"]),
        "retry": "safe", "next": chance.secret(), "evidence": {"host": chance.secret(), "status": 502},
    })
}

fn withdrawal(chance: &mut Chance) -> Value {
    let state = chance.one_of(&["under_way", "withdrawn", "not_withdrawn"]);
    json!({"by": chance.secret(), "reason": chance.secret(), "at": chance.moment(), "state": state, "users": [chance.secret()]})
}

/// What nobody outside sees of a target, at random.
fn hide_in_target(target: &mut Value, chance: &mut Chance) {
    let own = target.as_object_mut().expect("a target");
    let (step, bytes, attempts) = (json!(chance.one_of(&["look", "copy", "index"])), chance.below(9), chance.below(9));
    let approval = json!({"by": chance.secret(), "via": "job", "at": chance.moment(), "job_url": chance.secret()});
    put(own, "step", chance.maybe(step));
    put(own, "bytes", chance.maybe(json!(bytes)));
    put(own, "outside", Some(json!(chance.below(2) == 0)));
    put(own, "attempts", Some(json!(attempts)));
    put(own, "approval", chance.maybe(approval));
    let pace = json!({"bytes_per_second": chance.below(99), "ends_at": chance.moment()});
    let hidden = [problem(chance), withdrawal(chance), json!(chance.moment()), pace];
    for (name, value) in ["problem", "withdrawal", "expires_at", "pace"].into_iter().zip(hidden) {
        let value = chance.maybe(value);
        put(own, name, value);
    }
}

/// What nobody outside sees of a release, at random.
fn hide_in_release(release: &mut Value, chance: &mut Chance) {
    let own = release.as_object_mut().expect("a release");
    let said = json!({"by": chance.secret(), "reason": chance.secret(), "at": chance.moment()});
    let estimate = json!({"ends_at": chance.moment(), "bytes_left": chance.below(9), "bytes_per_second": 1});
    let pipeline =
        json!({"id": chance.below(99), "ref": chance.secret(), "sha": chance.secret(), "url": chance.secret()});
    let state = chance.one_of(&["expected", "staged", "complete", "closed"]);
    for (name, value) in [
        ("sequence", json!(chance.below(1_000_000))),
        ("state", json!(state)),
        ("verdict", json!(chance.secret())),
        ("at", json!(chance.moment())),
        ("pipelines", json!([pipeline])),
    ] {
        put(own, name, Some(value));
    }
    for (name, value) in [
        ("estimate", estimate),
        ("holds", json!([said])),
        ("closed", said.clone()),
        ("stopped", said.clone()),
        ("suggests_close", json!("9.9.9")),
    ] {
        let value = chance.maybe(value);
        put(own, name, value);
    }
    own.entry("project").or_insert(json!({}))["id"] = json!(chance.below(1_000_000) + 1);
}

fn target(name: &str, states: &[&str], chance: &mut Chance) -> Value {
    let mut target = json!({
        "state": chance.one_of(states), "since": chance.moment(),
        "public": {"url": "https://packages.example", "repository": "harbour/stable"},
    });
    match name.strip_prefix(':') {
        Some(tag) => target["tag"] = json!(tag),
        None => target["distro"] = json!(name),
    }
    let is_public = PUBLIC_STATES.contains(&target["state"].as_str().unwrap_or_default());
    if is_public && chance.below(2) == 0 {
        target["attestation"] = json!(format!("{EDGE}/attested"));
    }
    hide_in_target(&mut target, chance);
    target
}

fn is_public(target: &Value) -> bool {
    PUBLIC_STATES.iter().any(|state| target["state"] == *state)
}

/// What nobody outside sees of a package, at random: a private file is part of it.
fn hide_in_package(package: &mut Value, chance: &mut Chance) {
    let blocked = json!([{"gate": "hold", "why": chance.secret(), "next": chance.secret()}]);
    package["pipeline_id"] = json!(chance.below(99));
    package["release_job"] = json!(chance.secret());
    package["job_url"] = json!(chance.secret());
    // What strangers are told of these is read from the file's name.
    package["kind"] = json!(chance.one_of(&["deb", "rpm", "image"]));
    package["architecture"] = json!(chance.secret());
    package["staging"] = json!({"url": chance.secret(), "repository": chance.secret()});
    package["blocked"] = if chance.below(2) == 0 { blocked } else { json!([]) };
    let replaced = json!([{"filename": format!("{}.deb", chance.secret()), "digest": chance.digest()}]);
    package["replaced"] = if chance.below(2) == 0 { replaced } else { json!([]) };
    if package["file"].get("image").is_some() {
        package["file"]["image"] = json!(format!("registry.example.com/{}", chance.secret()));
    }
    let has_public = package["targets"].as_array().is_some_and(|targets| targets.iter().any(is_public));
    if !has_public && package["file"].is_object() {
        package["file"]["digest"] = json!(chance.digest());
        package["file"]["size"] = json!(chance.below(1_000_000));
    }
}

fn package(key: &str, states: &[&str], chance: &mut Chance) -> Value {
    let is_image = chance.below(4) == 0;
    let names: Vec<String> =
        if is_image { TAGS.map(|tag| format!(":{tag}")).to_vec() } else { DISTROS.map(str::to_owned).to_vec() };
    let count = usize::try_from(chance.below(3) + 1).expect("a small number");
    let targets: Vec<Value> = names.iter().take(count).map(|name| target(name, states, chance)).collect();
    let file = if is_image {
        json!({"image": "registry.example.com/x", "digest": chance.digest(), "size": chance.below(9_999)})
    } else {
        let name = chance.one_of(&["tug_1.2.0_amd64.deb", "tug-1.2.0-1.el9.aarch64.rpm", "tug_1.2.0_all.deb"]);
        json!({"filename": name, "digest": chance.digest(), "size": chance.below(9_999)})
    };
    let is_built = targets.iter().any(is_public) || chance.below(3) > 0;
    let mut package = json!({"key": key, "file": if is_built { file } else { Value::Null }, "targets": targets});
    hide_in_package(&mut package, chance);
    package
}

/// A release with targets in any of these states.
fn release(states: &[&str], chance: &mut Chance) -> Value {
    let count = usize::try_from(chance.below(5)).expect("a small number");
    let packages: Vec<Value> = KEYS.iter().take(count).map(|key| package(key, states, chance)).collect();
    let mut release = json!({"project": {"name": "tug"}, "version": "1.2.0", "packages": packages});
    hide_in_release(&mut release, chance);
    release
}

/// The same release after something has happened to it that nobody outside sees.
fn changed(release: &Value, chance: &mut Chance) -> Value {
    let mut other = release.clone();
    hide_in_release(&mut other, chance);
    let packages = other["packages"].as_array_mut().expect("packages");
    for package in packages.iter_mut() {
        let targets = package["targets"].as_array_mut().expect("targets");
        targets.retain(|target| is_public(target) || chance.below(4) > 0);
        for target in targets.iter_mut() {
            if !is_public(target) {
                target["state"] = json!(chance.one_of(&PRIVATE_STATES));
                target["since"] = json!(chance.moment());
            }
            hide_in_target(target, chance);
        }
        if chance.below(3) == 0 {
            targets.push(target("raspbian/trixie", &PRIVATE_STATES, chance));
        }
        hide_in_package(package, chance);
    }
    packages.retain(|package| {
        package["targets"].as_array().is_some_and(|targets| targets.iter().any(is_public)) || chance.below(3) > 0
    });
    if chance.below(2) == 0 {
        packages.insert(0, package("a-new-one", &PRIVATE_STATES, chance));
    }
    other
}

/// Every address at which something of the release could be, and some at which nothing ever is.
fn addresses() -> Vec<(String, &'static str)> {
    let mut addresses = Vec::new();
    let base = "api/v1/projects/tug";
    for path in ["badge.svg", "feed.atom", "releases", "releases/1.2.0", "releases/1.2.0/badge.svg"] {
        addresses.push((format!("{base}/{path}"), ""));
    }
    addresses.push((format!("{base}/releases/1.2.0/feed.atom"), ""));
    for accept in [HTML, TEXT] {
        addresses.push(("p/tug".to_owned(), accept));
        addresses.push(("p/tug/r/1.2.0".to_owned(), accept));
    }
    let names = DISTROS.iter().chain(&TAGS).chain(&["raspbian/trixie"]);
    for name in names {
        for key in KEYS.iter().chain(&["a-new-one", "invented"]) {
            let target = format!("{key}/{name}");
            addresses.push((format!("{base}/releases/1.2.0/targets/{target}"), ""));
            addresses.push((format!("{base}/releases/1.2.0/badge.svg?target={target}"), ""));
            for accept in [HTML, TEXT] {
                addresses.push((format!("p/tug/r/1.2.0/t/{target}"), accept));
            }
        }
    }
    let asked =
        ["el/9/arm64", "el9/aarch64", "jammy/amd64", "ubuntu/jammy", "el9", ":1.2.0", ":9", "a-new-one", "jammy"];
    for what in asked.into_iter().chain(KEYS) {
        for end in ["", ".txt", ".json"] {
            addresses.push((format!("p/tug/is/1.2.0/{what}{end}"), HTML));
        }
    }
    addresses
}

/// What is answered at an address: the whole of it, or what there is said to be none of.
type Answered = Result<(String, Outward), &'static str>;

fn ask(address: &str, accept: &str, releases: &[Option<PublicRelease>]) -> Answered {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let segments: Vec<&str> = path.split('/').collect();
    let (project, question) = Question::read(&segments, query, accept).expect("a route");
    let known = match question.version() {
        Some(version) => Known::Release(releases.iter().flatten().find(|release| release.version == *version).cloned()),
        None => Known::Releases(releases.iter().flatten().map(summary).collect()),
    };
    let answer = answer(project, &question, &known, EDGE, &Reader::default()).ok_or(question.what())?;
    Ok((answer.tag(), answer))
}

/// A line of the list of releases, as the record makes it.
fn summary(release: &PublicRelease) -> PublicSummary {
    let PublicRelease { version, verdict, at, packages, .. } = release.clone();
    let is_out = |package: &&slipway_core::api::PublicPackage| {
        package.targets.iter().any(|target| target.state == slipway_core::api::PublicState::Released)
    };
    let out = packages.iter().filter(is_out).count();
    PublicSummary { version, verdict, packages: u32::try_from(out).expect("a small number"), at }
}

fn seen(release: &Value) -> Option<PublicRelease> {
    let release: Release = serde_json::from_value(release.clone()).expect("a release");
    public(&release)
}

fn answers(releases: &[Option<PublicRelease>]) -> BTreeMap<(String, &'static str), Answered> {
    let all = addresses();
    all.into_iter().map(|(address, accept)| ((address.clone(), accept), ask(&address, accept, releases))).collect()
}

#[test]
fn what_happens_in_private_changes_no_byte_of_any_answer_and_no_answer_has_a_private_word() {
    let mut chance = Chance(7);
    let all: Vec<&str> = PRIVATE_STATES.into_iter().chain(PUBLIC_STATES).chain(PUBLIC_STATES).collect();
    let mut shown = 0;
    for number in 0..RELEASES {
        let one = release(&all, &mut chance);
        let other = changed(&one, &mut chance);
        let before = seen(&one);
        // All that is answered is made of this. Every tenth time it is, too.
        assert_eq!(before, seen(&other), "release {number}: {one}\n{other}");
        shown += u64::from(before.is_some());
        if number % 10 == 0 {
            let (before, after) = (answers(&[before]), answers(&[seen(&other)]));
            for ((address, accept), answer) in &before {
                assert_eq!(
                    Some(answer),
                    after.get(&(address.clone(), *accept)),
                    "release {number}, {address} {accept}"
                );
                let text = answer.as_ref().map_or(String::new(), |(tag, answer)| format!("{tag}{}", answer.body));
                assert!(!text.contains(CANARY), "release {number}, {address}: {text}");
            }
        }
    }
    assert!(shown > RELEASES / 2 && shown < RELEASES, "{shown} of {RELEASES} show something");
}

#[test]
fn the_releases_of_these_tests_have_every_field_that_there_is() {
    let described: Value = serde_json::from_str(slipway_core::openapi::OPENAPI).expect("the document is JSON");
    let (mut of_release, mut of_package, mut of_target) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let take = |fields: &mut BTreeSet<String>, value: &Value| {
        fields.extend(value.as_object().into_iter().flat_map(|fields| fields.keys().cloned()));
    };
    for seed in 0..200 {
        let release = release(&[&PUBLIC_STATES[..], &PRIVATE_STATES[..]].concat(), &mut Chance(seed));
        take(&mut of_release, &release);
        for package in release["packages"].as_array().expect("packages") {
            take(&mut of_package, package);
            package["targets"].as_array().expect("targets").iter().for_each(|target| take(&mut of_target, target));
        }
    }
    for (schema, fields) in [("Release", of_release), ("Package", of_package), ("Target", of_target)] {
        let properties = described["components"]["schemas"][schema]["properties"].as_object().expect("properties");
        assert_eq!(fields, properties.keys().cloned().collect(), "{schema}: a new field has to be hidden here, too");
    }
}

#[test]
fn what_is_only_staged_is_answered_as_what_nobody_has_thought_of() {
    let mut chance = Chance(11);
    let invented = answers(&[None]);
    assert_eq!(invented, answers(&[]));
    for number in 0..RELEASES {
        let staged = release(&PRIVATE_STATES, &mut chance);
        assert_eq!(seen(&staged), None, "release {number}: {staged}");
    }
    // A target of a release of which others are public, too.
    for number in 0..RELEASES / 10 {
        let mut some = release(&PUBLIC_STATES, &mut chance);
        let packages = some["packages"].as_array_mut().expect("packages");
        packages.push(package("tools", &PRIVATE_STATES, &mut chance));
        let public = seen(&some);
        for accept in [HTML, TEXT] {
            for name in DISTROS.iter().chain(&TAGS) {
                let of =
                    |key: &str| ask(&format!("p/tug/r/1.2.0/t/{key}/{name}"), accept, std::slice::from_ref(&public));
                assert_eq!(of("tools"), of("invented"), "release {number}, {name}");
                assert_eq!(of("tools"), Err("such page"));
            }
        }
    }
}

#[test]
fn where_nothing_is_public_a_badge_and_a_line_say_so_and_all_else_is_not_there() {
    for ((address, accept), answer) in answers(&[]) {
        let is_said = address.contains("badge.svg") || address.contains("/is/");
        assert_eq!(answer.is_ok(), is_said, "{address} {accept}");
        let Ok((_, answer)) = answer else { continue };
        let says = if answer.kind == "application/json" { "{\"released\":false," } else { "not released" };
        assert!(answer.body.contains(says), "{address}: {}", answer.body);
    }
}

#[test]
fn a_line_says_exactly_what_scripts_look_for() {
    let one = json!({
        "project": {"id": 1, "name": "tug"}, "version": "1.2.0", "sequence": 1, "state": "staged", "verdict": "", "at": "",
        "pipelines": [], "packages": [{
            "key": "ee-el-9-arm64", "pipeline_id": 1, "release_job": "r", "staging": {"url": "", "repository": ""},
            "file": {"filename": "tug-1.2.0-1.el9.aarch64.rpm", "digest": format!("sha256:{}", "ab".repeat(32)), "size": 1},
            "targets": [{"distro": "el/9", "state": "released", "since": "2026-11-23T09:41:07.123Z",
                         "public": {"url": "https://packages.example", "repository": "harbour/stable"}}],
        }],
    });
    let body = |address: &str, accept: &str| ask(address, accept, &[seen(&one)]).expect("an answer").1.body;
    let said = "tug 1.2.0 for el/9 arm64: released since 2026-11-23 09:41 UTC\n";
    assert_eq!(body("p/tug/is/1.2.0/el/9/arm64.txt", HTML), said);
    assert_eq!(body("p/tug/is/1.2.0/el9/aarch64", TEXT), said);
    assert_eq!(body("p/tug/is/1.2.0/el/8/arm64.txt", HTML), "tug 1.2.0 for el/8 arm64: not released\n");
    assert_eq!(
        body("p/tug/is/1.2.0/ee-el-9-arm64.json", HTML),
        "{\"released\":true,\"state\":\"released\",\"since\":\"2026-11-23T09:41:07.123Z\",\
         \"url\":\"https://slipway.example.com/p/tug/r/1.2.0/t/ee-el-9-arm64/el/9\"}\n"
    );
    assert_eq!(
        body("p/tug/is/1.2.0/nothing.json", HTML),
        "{\"released\":false,\"state\":null,\"since\":null,\"url\":null}\n"
    );
    let page = body("p/tug/is/1.2.0/el/9/arm64", HTML);
    assert!(
        page.contains("<h1 class=\"sentence\">tug 1.2.0 for el/9 arm64: released since 2026-11-23 09:41 UTC.</h1>"),
        "{page}"
    );
}

#[test]
fn a_release_is_lines_of_text_in_columns_for_a_terminal() {
    let package = |key: &str, target: &str, minute: u32| {
        json!({
            "key": key, "kind": "deb", "file": {"filename": "tug_1.2.0_amd64.deb", "digest": format!("sha256:{}", "ab".repeat(32)), "size": 1},
            "targets": [{"distro": target, "state": "released", "since": format!("2026-11-23T09:{minute}:07.123Z"),
                         "public": {"url": "https://packages.example", "repository": "harbour/stable"}}],
        })
    };
    let packages = [package("tug-jammy-amd64", "ubuntu/jammy", 41), package("tug-noble-amd64", "ubuntu/noble", 43)];
    let release: PublicRelease = serde_json::from_value(json!({
        "project": {"name": "tug"}, "version": "1.2.0", "verdict": "tug 1.2.0: 2 packages are public.", "at": "", "packages": packages,
    }))
    .expect("what is public");
    let said = "tug 1.2.0: 2 packages are public.\n\
                tug-jammy-amd64  ubuntu/jammy  Released  2026-11-23 09:41 UTC\n\
                tug-noble-amd64  ubuntu/noble  Released  2026-11-23 09:43 UTC\n";
    assert_eq!(ask("p/tug/r/1.2.0", TEXT, &[Some(release)]).expect("an answer").1.body, said);
}

#[test]
fn accept_says_which_form_is_wanted() {
    use Form::{Html, Json, Text};
    for (accept, offered, form) in [
        ("", &[Html, Text][..], Html),
        ("*/*", &[Html, Text], Html),
        (HTML, &[Html, Text], Html),
        ("text/plain", &[Html, Text], Text),
        ("TEXT/Plain; charset=utf-8", &[Html, Text], Text),
        ("text/plain;q=0.5, text/html;q=0.4", &[Html, Text], Text),
        ("text/plain;q=0.5, text/html", &[Html, Text], Html),
        ("text/*", &[Html, Text], Html),
        ("text/html;q=0, */*;q=0.1", &[Html, Text], Text),
        ("application/json", &[Html, Text, Json], Json),
        ("application/json", &[Html, Text], Html),
        ("nonsense", &[Html, Text], Html),
        ("text/plain;q=x", &[Html, Text], Text),
    ] {
        assert_eq!(Form::of(accept, offered), form, "{accept}");
    }
}

#[test]
fn no_text_of_what_is_public_becomes_markup_or_hides() {
    let text = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}]]>&amp;";
    let release: PublicRelease = serde_json::from_value(json!({
        "project": {"name": text}, "version": "1.2.0", "verdict": text, "at": text, "packages": [{
            "key": "ee", "kind": "deb", "architecture": text,
            "file": {"filename": text, "digest": format!("sha256:{}", "ab".repeat(32)), "size": 1},
            "targets": [{"distro": text, "state": "released", "since": text, "attestation": text,
                         "public": {"url": text, "repository": text}}],
        }],
    }))
    .expect("what is public");
    let package = sight::target(&release, &"ee".parse().expect("a key"), text).expect("the target");
    let (reader, releases) = (Reader::default(), [summary(&release)]);
    let what = What::Word(text.to_owned());
    let line = Line { released: true, state: None, since: Some(text.to_owned()), url: Some(text.to_owned()) };
    let answered =
        |question: Question, known: &Known| answer(text, &question, known, EDGE, &reader).expect("an answer").body;
    let one = Known::Release(Some(release.clone()));
    let target = Some(("ee".parse().expect("a key"), text.to_owned()));
    for page in [
        public::release(&release, &reader).into_string(),
        public::target(&release, &package, &reader).into_string(),
        public::releases(text, &releases, &reader).into_string(),
        public::projects(&[(release.project.clone(), releases.to_vec())], &reader).into_string(),
        page::line(text, &release.version, &what, &line, &reader).into_string(),
        answered(Question::Badge { version: None, target: None }, &Known::Releases(releases.to_vec())),
        answered(Question::Badge { version: Some(release.version.clone()), target }, &one),
        answered(Question::Feed { version: None }, &Known::Releases(releases.to_vec())),
        answered(Question::Feed { version: Some(release.version.clone()) }, &one),
    ] {
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains("]]>&amp;<"), "{page}");
        assert!(!page.contains('\u{202e}'), "{page}");
        assert!(!page.contains("href=\"\"'"), "{page}");
    }
}

/// The texts of an XML document, by the names of the elements around them. Panics where it is none.
fn texts(xml: &str) -> Vec<(String, String)> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut open, mut found): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} in {xml}")) {
            Event::Start(start) => {
                assert!(start.attributes().all(|attribute| attribute.is_ok()), "{xml}");
                open.push(start.name().as_ref().to_owned());
                found.push((open.join("/"), String::new()));
            }
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                if let Some((path, own)) = found.last_mut().filter(|_| !open.is_empty())
                    && *path == open.join("/")
                {
                    own.push_str(&text.xml10_content());
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?} in {xml}");
    found
}

#[test]
fn feeds_and_badges_are_whole_documents_whatever_is_in_them() {
    let mut chance = Chance(5);
    for number in 0..200 {
        let releases = [seen(&release(&PUBLIC_STATES, &mut chance))];
        for path in
            ["releases/1.2.0/feed.atom", "feed.atom", "badge.svg", "releases/1.2.0/badge.svg?target=ee-amd64/el/9"]
        {
            let Ok((_, answer)) = ask(&format!("api/v1/projects/tug/{path}"), "", &releases) else { continue };
            let texts = texts(&answer.body);
            if answer.kind == "image/svg+xml" {
                assert_eq!(texts.first().map(|(path, _)| path.as_str()), Some("svg"));
                continue;
            }
            // What RFC 4287 asks of a feed and of an entry, each once.
            let count =
                |name: &str| texts.iter().filter(|(path, text)| path == name && !text.trim().is_empty()).count();
            let entries = texts.iter().filter(|(path, _)| path == "feed/entry").count();
            assert_eq!(
                [count("feed/id"), count("feed/title"), count("feed/updated"), count("feed/author/name")],
                [1; 4]
            );
            let of_entries = [count("feed/entry/id"), count("feed/entry/title"), count("feed/entry/updated")];
            assert_eq!(of_entries, [entries; 3], "{number}: {}", answer.body);
            let ids: std::collections::BTreeSet<&String> =
                texts.iter().filter(|(path, _)| path.ends_with("/id")).map(|(_, id)| id).collect();
            assert_eq!(ids.len(), entries + 1, "{number}: no two are called alike: {}", answer.body);
        }
    }
}

/// The feeds that the head of a page announces, as readers of feeds look for them: their addresses.
fn announced(page: &str) -> Vec<String> {
    let (head, _) = page.split_once("</head>").expect("a page has a head");
    let links = head.split("<link ").skip(1).filter_map(|rest| rest.split('>').next());
    let is_feed = |link: &&str| {
        link.contains(r#"rel="alternate""#)
            && link.contains(r#"type="application/atom+xml""#)
            && link.contains("title=")
    };
    let feeds = links.filter(is_feed).filter_map(|link| link.split_once("href=\"")?.1.split('"').next());
    feeds.map(str::to_owned).collect()
}

#[test]
fn a_page_announces_the_feed_of_what_it_shows_where_there_is_one_and_no_other_page_announces_any() {
    let mut chance = Chance(11);
    let all = [&PUBLIC_STATES[..], &PRIVATE_STATES[..]].concat();
    let mut pages = 0;
    for number in 0..200 {
        let releases = [seen(&release(&all, &mut chance))];
        for ((address, _), answer) in answers(&releases) {
            let Ok((_, Outward { kind: "text/html; charset=utf-8", body, .. })) = answer else { continue };
            let expected: &[&str] = match address.split('/').collect::<Vec<_>>().as_slice() {
                ["p", "tug"] => &["/api/v1/projects/tug/feed.atom"],
                ["p", "tug", "r", ..] => &["/api/v1/projects/tug/releases/1.2.0/feed.atom"],
                // This is said of what there is and of what there is not.
                ["p", "tug", "is", ..] => &[],
                _ => panic!("another page: {address}"),
            };
            assert_eq!(announced(&body), expected, "{number}, {address}");
            for feed in expected {
                let (_, feed) = ask(&feed[1..], "", &releases).expect("what is announced is there");
                assert!(feed.kind.starts_with("application/atom+xml"), "{number}, {address}: {}", feed.kind);
                pages += 1;
            }
        }
    }
    assert!(pages > 200, "{pages}");
    let none = projects(&[(PublicProject { name: "tug".to_owned() }, Vec::new())], Form::Html, &Reader::default());
    assert_eq!(announced(&none.expect("a page").body), [""; 0]);
    assert_eq!(announced(&page::not_found("such page", &Reader::default()).0), [""; 0]);
}

#[test]
fn an_entry_of_a_feed_keeps_its_id_whatever_happens_to_others() {
    let mut chance = Chance(3);
    let mut one = release(&PUBLIC_STATES, &mut chance);
    one["packages"] = json!([package("ee-amd64", &PUBLIC_STATES, &mut chance)]);
    let ids = |release: &Value| {
        let (_, feed) = ask("api/v1/projects/tug/releases/1.2.0/feed.atom", "", &[seen(release)]).expect("a feed");
        let ids = feed.body.split("<id>").skip(2).filter_map(|rest| rest.split("</id>").next());
        ids.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let before = ids(&one);
    assert!(!before.is_empty());
    assert!(before.iter().all(|id| id.starts_with("tag:slipway.example.com,2026:tug/1.2.0/")), "{before:?}");
    let mut more = one.clone();
    more["packages"].as_array_mut().expect("packages").push(package("tools", &PUBLIC_STATES, &mut chance));
    assert!(ids(&more).is_superset(&before));
}

//! A real browser, as people have it who release: Debian's Chromium, told what to do a line at a time.
//!
//! Each page is somebody with cookies of their own. A page keeps what it did that nobody wants of it, for the end of a story.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use slipway_stack::Places;

/// A running browser. It ends with this.
pub struct Browser {
    driver: Mutex<Driver>,
}

struct Driver {
    process: Child,
    /// `None` at the end: the driver closes the browser when nobody can tell it anything any more.
    says: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    calls: u64,
    pages: u64,
}

/// How somebody looks at a page.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is there by itself, and a caller names those that it wants")]
pub struct Look {
    /// On a dark ground.
    pub dark: bool,
    /// On the narrowest of phones.
    pub narrow: bool,
    /// With scripts.
    pub scripts: bool,
    /// With a cookie from the start: its name, its value, and an address of whom it is sent to.
    pub cookie: Option<(String, String, String)>,
    /// Takes any certificate.
    pub trusting: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { dark: false, narrow: false, scripts: true, cookie: None, trusting: false }
    }
}

impl Browser {
    /// Starts one, or says what it lacks here.
    pub fn start() -> Result<Self, String> {
        let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        if !std::path::Path::new(&chromium).exists() {
            return Err(format!("there is no browser at `{chromium}`: apt-get install chromium"));
        }
        let places = Places::of_this_clone().expect("tests run in a clone");
        if !places.root.join("crates/dashboard/tests/node_modules/playwright-core").exists() {
            return Err("playwright-core is not there: `npm ci` in crates/dashboard/tests, as `cargo xtask test` does"
                .to_owned());
        }
        let mut process = Command::new("node")
            .arg(places.root.join("tests/browser/driver.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node does not start: {error}"))?;
        let says = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("its output is piped"));
        Ok(Self { driver: Mutex::new(Driver { process, says, answers, calls: 0, pages: 0 }) })
    }

    /// Opens a page, which leads nowhere yet.
    #[track_caller]
    pub fn page(&self, look: Look) -> Page<'_> {
        let number = {
            let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
            driver.pages += 1;
            driver.pages
        };
        let page = Page { browser: self, number };
        let Look { dark, narrow, scripts, cookie, trusting } = look;
        let (cookie, address) = match cookie {
            Some((name, value, address)) => (json!({"name": name, "value": value}), Value::from(address)),
            None => (Value::Null, Value::Null),
        };
        let wanted = json!({
            "dark": dark, "narrow": narrow, "scripts": scripts, "cookie": cookie, "address": address, "trusting": trusting,
        });
        page.tell("open", wanted);
        page
    }
}

impl Driver {
    fn call(&mut self, line: &Value) -> Result<Value, String> {
        let says = self.says.as_mut().expect("it is taken at the end alone");
        writeln!(says, "{line}")
            .and_then(|()| says.flush())
            .map_err(|error| format!("the driver has ended: {error}"))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|error| format!("the driver has ended: {error}"))?;
        let mut answer: Value =
            serde_json::from_str(&answer).map_err(|error| format!("the driver said `{answer}`: {error}"))?;
        match answer["ok"].as_bool() {
            Some(true) => Ok(answer["value"].take()),
            _ => Err(answer["why"].as_str().unwrap_or("the driver does not say why").to_owned()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.says.take());
        let _ = self.process.wait();
    }
}

/// A page, and what somebody does with it. What does not come about within a minute fails the test.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    browser: &'a Browser,
    number: u64,
}

impl Page<'_> {
    /// Anything that the driver does. `what` may be empty.
    #[track_caller]
    pub fn tell(&self, act: &str, mut what: Value) -> Value {
        let answer = {
            let mut driver = self.browser.driver.lock().unwrap_or_else(PoisonError::into_inner);
            driver.calls += 1;
            what["id"] = driver.calls.into();
            what["page"] = self.number.into();
            what["do"] = act.into();
            driver.call(&what)
        };
        answer.unwrap_or_else(|why| panic!("{act} {what}: {why}"))
    }

    #[track_caller]
    fn told(&self, act: &str, what: Value) -> String {
        match self.tell(act, what) {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    #[track_caller]
    fn list(&self, act: &str, what: Value) -> Vec<String> {
        let list = self.tell(act, what);
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Goes to an address. The HTTP status of what is there.
    #[track_caller]
    pub fn goto(&self, url: &str) -> u64 {
        self.tell("goto", json!({"url": url})).as_u64().unwrap_or_default()
    }

    /// Loads the page again.
    #[track_caller]
    pub fn reload(&self) {
        self.tell("reload", json!({}));
    }

    /// Goes back to the page before.
    #[track_caller]
    pub fn back(&self) {
        self.tell("back", json!({}));
    }

    /// Presses a key, or keys: `Tab`, `Control+K`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        self.tell("press", json!({"key": key}));
    }

    /// Types text where the focus is.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        self.tell("type", json!({"text": text}));
    }

    /// Clicks the first element that a selector finds.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.tell("click", json!({"selector": selector}));
    }

    /// Clicks what leads to a file: the name under which it is kept, and what is in it.
    #[track_caller]
    pub fn download(&self, selector: &str) -> (String, String) {
        let [name, text] =
            <[String; 2]>::try_from(self.list("download", json!({"selector": selector}))).expect("a name and a text");
        (name, text)
    }

    /// Writes into a field.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.tell("fill", json!({"selector": selector, "text": text}));
    }

    /// Chooses from a list.
    #[track_caller]
    pub fn choose(&self, selector: &str, text: &str) {
        self.tell("choose", json!({"selector": selector, "text": text}));
    }

    /// What can be read in the first element.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        self.told("text", json!({"selector": selector}))
    }

    /// What can be read in each element.
    #[track_caller]
    pub fn texts(&self, selector: &str) -> Vec<String> {
        self.list("texts", json!({"selector": selector}))
    }

    /// How many elements there are.
    #[track_caller]
    pub fn count(&self, selector: &str) -> u64 {
        self.tell("count", json!({"selector": selector})).as_u64().expect("a number")
    }

    /// Whether the first of them can be seen.
    #[track_caller]
    pub fn is_visible(&self, selector: &str) -> bool {
        self.tell("visible", json!({"selector": selector})) == true
    }

    /// An attribute of the first element; empty when there is none.
    #[track_caller]
    pub fn attribute(&self, selector: &str, name: &str) -> String {
        self.told("attribute", json!({"selector": selector, "name": name}))
    }

    /// Where the page is.
    #[track_caller]
    pub fn url(&self) -> String {
        self.told("url", json!({}))
    }

    /// The title in its tab.
    #[track_caller]
    pub fn title(&self) -> String {
        self.told("title", json!({}))
    }

    /// What has the focus: its id, or what it says.
    #[track_caller]
    pub fn focused(&self) -> String {
        self.told("focused", json!({}))
    }

    /// Waits until there is such an element.
    #[track_caller]
    pub fn wait(&self, selector: &str) {
        self.tell("wait", json!({"selector": selector}));
    }

    /// Waits until an element that a selector finds has these words in it.
    #[track_caller]
    pub fn wait_text(&self, selector: &str, words: &str) {
        self.tell("wait", json!({"selector": selector, "text": words}));
    }

    /// Waits until there is no such element any more.
    #[track_caller]
    pub fn wait_gone(&self, selector: &str) {
        self.tell("wait", json!({"selector": selector, "gone": true}));
    }

    /// Waits until the address has this in it.
    #[track_caller]
    pub fn wait_url(&self, part: &str) {
        self.tell("wait_url", json!({"part": part}));
    }

    /// Waits until the title has this in it.
    #[track_caller]
    pub fn wait_title(&self, part: &str) {
        self.tell("wait_title", json!({"part": part}));
    }

    /// Runs a script, past the page's policy. What it gives.
    #[track_caller]
    pub fn eval(&self, code: &str) -> Value {
        self.tell("eval", json!({"code": code}))
    }

    /// Takes the network away, or gives it back.
    #[track_caller]
    pub fn offline(&self, off: bool) {
        self.tell("offline", json!({"off": off}));
    }

    /// The cookies that this person has, each as the browser tells of it: `name`, `value`, `httpOnly`, `secure`, `sameSite`.
    #[track_caller]
    pub fn cookies(&self) -> Vec<Value> {
        self.tell("cookies", json!({})).as_array().cloned().unwrap_or_default()
    }

    /// What assistive technology is told of an element, as text.
    #[track_caller]
    pub fn aria(&self, selector: &str) -> String {
        self.told("aria", json!({"selector": selector}))
    }

    /// What the page did that nobody wants of it: errors, dialogs, what its policy had to forbid.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        self.list("complaints", json!({}))
    }

    /// What the page has asked for since it was opened, each with its method; `SOCKET` for sockets.
    #[track_caller]
    pub fn asked(&self) -> Vec<String> {
        self.list("asked", json!({}))
    }
}

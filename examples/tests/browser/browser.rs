//! A Chromium without a screen.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tests::servers::say_not_tested;

use crate::program::{PATIENCE, Program};

/// A browser with a profile of its own. It ends when this is dropped.
pub(crate) struct Browser {
    client: Client,
    origin: String,
    _driver: Driver,
}

/// The program that drives the browser.
struct Driver {
    process: Child,
    url: String,
    session: Option<String>,
    profile: PathBuf,
}

/// Whether there is a browser. Its absence is said, and in CI it is a failure.
pub(crate) fn is_installed() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program| std::env::split_paths(&folders).any(|it| it.join(program).is_file());
    let installed = is_there("chromium") && is_there("chromedriver");
    if !installed {
        say_not_tested(
            "`chromium` and `chromedriver` are not installed; `.ci/browser` installs them",
        );
    }
    installed
}

impl Driver {
    fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let profile = format!("profile-{}-{number}", std::process::id());
        let mut driver = None;
        // It ends without a word where another program took the port that it chose for both versions
        // of IP.
        for _ in 0..10 {
            let mut process = Command::new("chromedriver")
                .arg("--port=0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("chromedriver starts");
            let stdout = process.stdout.take().expect("the output is piped");
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let port = lines.find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            });
            if let Some(port) = port {
                driver = Some((process, port));
                break;
            }
            process.wait().expect("chromedriver ended");
        }
        let (process, port) = driver.expect("chromedriver says where it listens");
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            session: None,
            profile: Path::new(env!("CARGO_TARGET_TMPDIR")).join(profile),
        }
    }

    fn capabilities(&self) -> Map<String, Value> {
        let profile = format!("--user-data-dir={}", self.profile.display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=820,700",
            &profile,
        ];
        let mut capabilities = Map::new();
        capabilities.insert("acceptInsecureCerts".into(), json!(true));
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        capabilities
    }
}

/// Also where a test has failed, so that no browser is left behind.
impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            let _ = ureq::delete(format!("{}/session/{session}", self.url)).call();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Whether another page came between finding an element and using it. The driver does not always
/// find the right words for it.
fn has_left(error: &CmdError) -> bool {
    let says = |words| error.to_string().contains(words);
    error.is_stale_element_reference() || says("does not belong to the document")
}

impl Browser {
    pub(crate) async fn of(program: &Program) -> Self {
        Self::at(format!("http://{}", program.address())).await
    }

    /// For the site of this origin.
    pub(crate) async fn at(origin: String) -> Self {
        let mut driver = Driver::start();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(driver.capabilities());
        let client = builder.connect(&driver.url).await;
        let client = client.expect("the browser starts");
        driver.session = client.session_id().await.expect("a session");
        Self {
            client,
            origin,
            _driver: driver,
        }
    }

    /// WebDriver's own commands.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn open(&self, path: &str) {
        let opened = self.client.goto(&format!("{}{path}", self.origin)).await;
        opened.expect("the page opens");
    }

    /// The path of the page.
    pub(crate) async fn path(&self) -> String {
        let url = self.client.current_url().await;
        url.expect("the browser shows a page").path().to_owned()
    }

    pub(crate) async fn element(&self, selector: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE);
        let found = found.for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("no `{selector}` on the page: {error}"))
    }

    /// The visible text of an element; empty where it is hidden.
    pub(crate) async fn text(&self, selector: &str) -> String {
        loop {
            match self.element(selector).await.text().await {
                Ok(text) => return text,
                Err(error) if has_left(&error) => {}
                Err(error) => panic!("`{selector}` cannot be read: {error}"),
            }
        }
    }

    pub(crate) async fn click(&self, selector: &str) {
        loop {
            match self.element(selector).await.click().await {
                Ok(()) => return,
                Err(error) if has_left(&error) => {}
                Err(error) => panic!("`{selector}` cannot be clicked: {error}"),
            }
        }
    }

    /// Presses keys in whatever has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await;
        let pressed = focused
            .expect("something has the focus")
            .send_keys(keys)
            .await;
        pressed.expect("it takes keys");
    }

    /// Moves the focus on.
    pub(crate) async fn press_tab(&self) {
        self.press(&String::from(char::from(Key::Tab))).await;
    }

    /// Makes the page so many pixels wide.
    pub(crate) async fn resize(&self, width: u32) {
        let resized = self.client.set_window_size(width, 800).await;
        resized.expect("the window takes a size");
        assert_eq!(self.run("return innerWidth").await, json!(width));
    }

    pub(crate) async fn wait_for_path(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        let url = url.parse().expect("a URL");
        let arrived = self.client.wait().at_most(PATIENCE).for_url(&url).await;
        arrived.unwrap_or_else(|error| panic!("the browser does not arrive at {path}: {error}"));
    }

    /// Waits until the visitor can read this there.
    pub(crate) async fn wait_for_text(&self, selector: &str, text: &str) {
        self.wait_until(selector, |it| it == text).await;
    }

    /// Waits until what the visitor can read there is as it should be.
    pub(crate) async fn wait_until(&self, selector: &str, is_right: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(selector).await;
            if is_right(&text) {
                return;
            }
            let waits = Instant::now() < deadline;
            assert!(waits, "`{selector}` still says `{text}`");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs a script in the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let value = self.client.execute(script, Vec::new()).await;
        value.expect("the script runs")
    }

    /// Runs a script to its end, which it says by `done(value)`.
    pub(crate) async fn run_to_end(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        let value = self.client.execute_async(&script, Vec::new()).await;
        value.expect("the script runs to its end")
    }

    /// The name of the session cookie: on plain http it takes the port.
    pub(crate) fn cookie_name(&self) -> String {
        let port = self.origin.rsplit(':').next();
        format!("id-{}", port.expect("an address has a port"))
    }

    /// The value of the session cookie.
    pub(crate) async fn cookie(&self) -> String {
        let cookie = self.client.get_named_cookie(&self.cookie_name()).await;
        cookie.expect("a cookie").value().to_owned()
    }

    /// The tab in front.
    pub(crate) async fn tab(&self) -> WindowHandle {
        self.client.window().await.expect("a tab")
    }

    /// Opens a tab, in front.
    pub(crate) async fn new_tab(&self) {
        let tab = self.client.new_window(true).await.expect("a tab");
        self.switch_to(&tab.handle).await;
    }

    pub(crate) async fn switch_to(&self, tab: &WindowHandle) {
        let switched = self.client.switch_to_window(tab.clone()).await;
        switched.expect("the tab is open");
    }

    /// Saves what the browser shows, if the environment variable `SCREENSHOTS` names a folder.
    pub(crate) async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("SCREENSHOTS") {
            let picture = self.client.screenshot().await.expect("a picture");
            let path = Path::new(&folder).join(name).with_extension("png");
            std::fs::write(path, picture).expect("the folder takes files");
        }
    }
}

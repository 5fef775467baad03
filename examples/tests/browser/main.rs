//! The shop in a real browser, with its sessions in memory and on a server.
//!
//! `SCREENSHOTS=folder cargo test -p examples --test browser` takes pictures on the way.

mod browser;
#[path = "../http/program.rs"]
#[allow(dead_code, reason = "the tests over http use the rest")]
mod program;
mod tls;

use std::net::SocketAddr;

use fantoccini::key::Key;
use serde_json::json;
use tests::servers::{Options, Server, available};

use self::browser::Browser;
use self::program::Program;

/// The shop with its sessions in memory, and once more with them on the newest server that this
/// machine has. Which one is visited is in the output of a test that fails.
fn open_shops(code_ttl: &str) -> impl Iterator<Item = Shop> {
    // One of its own: on a shared one the same customer may be signed in by another test.
    let start = |generation| Server::start(generation, &Options::default());
    let server = available().last().copied().map(start);
    [None]
        .into_iter()
        .chain(server.map(Some))
        .map(move |server| {
            let store = server.as_ref().map_or("memory".to_owned(), Server::url);
            println!("--store {store}");
            let arguments = [
                "--listen",
                "127.0.0.1:0",
                "--code-ttl",
                code_ttl,
                "--store",
                &store,
            ];
            Shop {
                program: Program::start_with(env!("CARGO_BIN_EXE_shop"), &arguments),
                _server: server,
            }
        })
}

/// A running shop. Its server ends after it.
struct Shop {
    program: Program,
    _server: Option<Server>,
}

/// Without a mouse.
async fn sign_in(browser: &Browser) {
    browser.open("/sign-in").await;
    browser.press("ada").await;
    browser.press_tab().await;
    browser.press("lovelace").await;
    browser.press(&String::from(char::from(Key::Enter))).await;
    browser.wait_for_path("/account").await;
}

#[tokio::test]
async fn keeps_the_cookie_from_scripts_and_other_sites() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m") {
        let browser = Browser::of(&shop.program).await;
        browser.open("/").await;
        let cookies = browser.client().get_all_cookies().await.expect("cookies");
        let [cookie] = &cookies[..] else {
            panic!("one cookie was expected: {cookies:?}")
        };
        assert_eq!(cookie.name(), browser.cookie_name());
        assert_eq!(cookie.path(), Some("/"));
        assert_eq!(cookie.domain(), Some("127.0.0.1"));
        assert_eq!(cookie.http_only(), Some(true));
        assert_eq!(
            cookie.same_site().map(|it| it.to_string()).as_deref(),
            Some("Lax")
        );
        // The shop is on plain http here, and says so.
        assert_eq!(cookie.secure(), Some(false));
        assert_eq!(cookie.expires(), None);
        assert_eq!(browser.run("return document.cookie").await, json!(""));
    }
}

#[tokio::test]
async fn behind_tls_the_cookie_is_the_host_s_own() {
    if !browser::is_installed() {
        return;
    }
    // An address that others can reach, where the shop does not use the development cookie.
    let arguments = ["--listen", "0.0.0.0:0"];
    let shop = Program::start_with(env!("CARGO_BIN_EXE_shop"), &arguments);
    let address: SocketAddr = shop.address().parse().expect("an address");
    let browser = Browser::at(tls::in_front_of(address.port()).await).await;
    browser.open("/").await;
    let before = browser.client().get_named_cookie("__Host-id").await;
    let before = before.expect("the browser accepts the cookie");
    assert_eq!(before.secure(), Some(true));
    assert_eq!(before.http_only(), Some(true));
    // Of this host alone: a cookie with a `Domain` would have a dot in front.
    assert_eq!(
        (before.domain(), before.path()),
        (Some("localhost"), Some("/"))
    );
    sign_in(&browser).await;
    let after = browser.client().get_all_cookies().await.expect("cookies");
    let [after] = &after[..] else {
        panic!("one cookie was expected: {after:?}")
    };
    assert_eq!(after.name(), "__Host-id");
    assert_ne!(after.value(), before.value());
}

#[tokio::test]
async fn fills_the_cart() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m") {
        let browser = Browser::of(&shop.program).await;
        browser.open("/").await;
        assert_eq!(browser.text("#visits").await, "1");
        browser.picture("front").await;
        browser.click("form[action='/cart/tea/add'] button").await;
        browser.wait_for_path("/cart").await;
        browser.click("form[action='/cart/tea/add'] button").await;
        browser.wait_for_text("[data-sku=tea]", "× 2").await;
        browser.open("/").await;
        browser.click("form[action='/cart/cup/add'] button").await;
        browser.wait_for_text("[data-sku=cup]", "× 1").await;
        assert_eq!(browser.text("#items").await, "3");
        assert_eq!(browser.text("#total").await, "€ 39.80");
        browser.picture("cart").await;
        browser
            .click("form[action='/cart/cup/remove'] button")
            .await;
        browser.wait_for_text("#items", "2").await;
        assert_eq!(browser.text("[data-sku=tea]").await, "× 2");
    }
}

#[tokio::test]
async fn a_code_runs_out_on_the_screen() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("15s") {
        let browser = Browser::of(&shop.program).await;
        sign_in(&browser).await;
        browser.open("/code").await;
        browser.click("form[action='/code'] button").await;
        let code = browser.text("#code").await;
        assert_eq!(code.len(), 6, "{code}");
        browser
            .wait_until("#left", |left| left.starts_with("0:1"))
            .await;
        browser
            .wait_until("#left", |left| left.starts_with("0:0"))
            .await;
        browser.picture("code").await;

        // Without a visit to the server.
        browser
            .wait_for_text("#over", "The code has run out.")
            .await;
        assert_eq!(browser.text("#live").await, "");
        browser.picture("code-over").await;
        // And the server agrees.
        browser.open("/code").await;
        let page = browser.client().source().await.expect("the page");
        assert!(!page.contains(&code));
    }
}

#[tokio::test]
async fn a_code_works_once() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m") {
        let browser = Browser::of(&shop.program).await;
        sign_in(&browser).await;
        browser.open("/code").await;
        browser.click("form[action='/code'] button").await;
        let code = browser.text("#code").await;
        browser.click("input[name=code]").await;
        browser.press(&code).await;
        browser.press(&String::from(char::from(Key::Enter))).await;
        browser.wait_for_path("/code/use").await;
        assert_eq!(
            browser.text("[role=status]").await,
            "The code was right. It is used up now."
        );
    }
}

/// Has the page post so many times at once, and keeps the statuses as a promise.
fn add_at_once(posts: u32) -> String {
    format!(
        "window.posted = Promise.all(Array.from({{ length: {posts} }}, async () =>
            (await fetch('/cart/pot/add', {{ method: 'POST' }})).status));"
    )
}

const POSTED: &str = "window.posted.then(done, error => done(String(error)));";

#[tokio::test]
async fn two_tabs_add_at_once() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m") {
        let browser = Browser::of(&shop.program).await;
        browser.open("/").await;
        let first = browser.tab().await;
        browser.new_tab().await;
        let second = browser.tab().await;
        browser.open("/").await;
        browser.run(&add_at_once(12)).await;
        browser.switch_to(&first).await;
        browser.run(&add_at_once(12)).await;
        let all_fine = json!(vec![200; 12]);
        assert_eq!(browser.run_to_end(POSTED).await, all_fine);
        browser.switch_to(&second).await;
        assert_eq!(browser.run_to_end(POSTED).await, all_fine);
        browser.open("/cart").await;
        assert_eq!(browser.text("[data-sku=pot]").await, "× 24");
    }
}

#[tokio::test]
async fn one_tab_signs_in_while_the_other_posts() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m") {
        let browser = Browser::of(&shop.program).await;
        browser.open("/").await;
        let before = browser.cookie().await;
        let posting = browser.tab().await;
        browser.new_tab().await;
        let signing_in = browser.tab().await;
        browser.open("/sign-in").await;
        browser.press("ada").await;
        browser.press_tab().await;
        browser.press("lovelace").await;

        browser.switch_to(&posting).await;
        // Fewer than the most that a cart takes of one product.
        let post_on_and_on = "window.posted = (async () => {
        const statuses = [];
        while (statuses.length < 90 && !window.enough)
            statuses.push((await fetch('/cart/pot/add', { method: 'POST' })).status);
        return statuses;
    })();";
        browser.run(post_on_and_on).await;
        browser.switch_to(&signing_in).await;
        browser.press(&String::from(char::from(Key::Enter))).await;
        browser.wait_for_path("/account").await;
        browser.switch_to(&posting).await;
        browser.run("window.enough = true").await;
        let posted = browser.run_to_end(POSTED).await;

        // A request that was under way may have been refused; the sign-in and the rest are unharmed.
        let posted = posted.as_array().expect("a list of statuses");
        let with = |status: u16| posted.iter().filter(|it| **it == status).count();
        assert_eq!(with(200) + with(409), posted.len(), "{posted:?}");
        assert_ne!(browser.cookie().await, before);
        browser.open("/account").await;
        assert_eq!(browser.text("#name").await, "ada");
        browser.open("/cart").await;
        let in_cart = browser.text("[data-sku=pot]").await;
        assert_eq!(in_cart, format!("× {}", with(200)));
    }
}

#[tokio::test]
async fn a_second_browser_is_seen_and_signed_out() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m") {
        let here = Browser::of(&shop.program).await;
        let there = Browser::of(&shop.program).await;
        sign_in(&here).await;
        here.picture("account").await;
        sign_in(&there).await;
        here.open("/devices").await;
        assert_eq!(here.text("main .badge").await, "this one");
        let others = "form[action^='/devices/'][action$='/revoke']";
        let listed = here
            .client()
            .find_all(fantoccini::Locator::Css(others))
            .await;
        assert_eq!(listed.expect("elements").len(), 1);
        here.picture("devices").await;

        here.click("form[action='/devices/revoke-others'] button")
            .await;
        here.element("main").await;
        there.open("/account").await;
        assert_eq!(there.path().await, "/sign-in");
        // Its own requests ended nothing, so its cookie stays; it opens nothing any more.
        let left = there.client().get_all_cookies().await.expect("cookies");
        assert_eq!(left.len(), 1, "{left:?}");
        here.open("/account").await;
        assert_eq!(here.text("#name").await, "ada");
    }
}

/// Elements of a page that cannot be used on a small screen or without a mouse.
const OBSTACLES: &str = "
    const obstacles = [];
    const page = document.documentElement;
    if (page.scrollWidth > innerWidth) obstacles.push('scrolls sideways');
    const tops = [...document.querySelectorAll('nav a, nav button')].map(
        it => { const { top, bottom } = it.getBoundingClientRect(); return (top + bottom) / 2; });
    if (Math.max(...tops) - Math.min(...tops) > 8) obstacles.push('the navigation is in two lines');
    for (const field of document.querySelectorAll('input, textarea'))
        if (!field.labels.length) obstacles.push('no label: ' + field.name);
    for (const button of document.querySelectorAll('button'))
        if (!button.textContent.trim()) obstacles.push('a button without a name');
    return obstacles;";

/// Whether the focus is seen where it is, and on what.
const FOCUS: &str = "
    const it = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(it);
    return [it.textContent || it.name, outlineStyle == 'solid' && outlineWidth == '3px'];";

#[tokio::test]
async fn small_screens_and_keyboards_are_enough() {
    if !browser::is_installed() {
        return;
    }
    for shop in open_shops("2m").take(1) {
        let browser = Browser::of(&shop.program).await;
        browser.open("/").await;
        browser.click("form[action='/cart/tea/add'] button").await;
        browser.wait_for_path("/cart").await;
        sign_in(&browser).await;
        browser.open("/code").await;
        browser.click("form[action='/code'] button").await;
        browser.element("#code").await;
        for width in [400, 1280] {
            browser.resize(width).await;
            for path in [
                "/", "/cart", "/sign-in", "/account", "/code", "/devices", "/nowhere",
            ] {
                browser.open(path).await;
                assert_eq!(
                    browser.run(OBSTACLES).await,
                    json!([]),
                    "{path}, {width} px"
                );
                browser
                    .picture(&format!("{width}{}", path.replace('/', "-")))
                    .await;
            }
        }
        browser.open("/cart").await;
        for expected in [
            "Tea shop",
            "Cart 1",
            "Account",
            "Sign out",
            "Remove one",
            "Add one",
        ] {
            browser.press_tab().await;
            assert_eq!(browser.run(FOCUS).await, json!([expected, true]));
        }
    }
}

use crate::program::{Program, run, wait_for};
use crate::visitor::{Answer, Visitor};

const SHOP: &str = env!("CARGO_BIN_EXE_shop");
const ADA: [(&str, &str); 2] = [("name", "ada"), ("password", "lovelace")];
const WRONG: [(&str, &str); 2] = [("name", "ada"), ("password", "byron")];

fn open() -> Program {
    Program::start_with(SHOP, &["--listen", "127.0.0.1:0"])
}

fn signed_in(shop: &Program) -> Visitor<'_> {
    let visitor = Visitor::of(shop);
    assert_leads_to(&visitor.post("/sign-in", &ADA), "/account");
    visitor
}

fn assert_leads_to(answer: &Answer, path: &str) {
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.location.as_deref(), Some(path));
}

/// How many of a product are in the cart.
fn in_cart(visitor: &Visitor<'_>, sku: &str) -> u32 {
    let page = visitor.get("/cart").body;
    let Some((_, line)) = page.split_once(&format!("data-sku=\"{sku}\">× ")) else {
        return 0;
    };
    let count = line.split('<').next().expect("a split has a first part");
    count.parse().expect("a number")
}

/// The code on the page and the milliseconds that it is good for.
fn code_shown(visitor: &Visitor<'_>) -> Option<(String, u64)> {
    let page = visitor.get("/code");
    let code = page.element("code")?.to_owned();
    let (_, left) = page.body.split_once("data-milliseconds=\"")?;
    let left = left.split('"').next()?.parse().expect("a number");
    Some((code, left))
}

#[test]
fn counts_visits_and_sends_the_development_cookie_on_loopback() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    let first = visitor.get("/");
    assert_eq!(first.element("visits"), Some("1"));
    let [cookie] = &first.set_cookie[..] else {
        panic!("one cookie was expected: {:?}", first.set_cookie)
    };
    let mut parts: Vec<_> = cookie.split("; ").skip(1).collect();
    parts.sort_unstable();
    let name = format!("{}=", shop.cookie_name());
    assert!(cookie.starts_with(&name), "{cookie}");
    assert_eq!(parts, ["HttpOnly", "Path=/", "SameSite=Lax"]);

    let second = visitor.get("/");
    assert_eq!(second.element("visits"), Some("2"));
    assert_eq!(second.set_cookie, [""; 0]);
}

#[test]
fn visits_at_once_are_all_counted() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    visitor.get("/");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| visitor.clone().get("/"));
        }
    });
    assert_eq!(visitor.get("/").element("visits"), Some("22"));
}

#[test]
fn fills_and_empties_the_cart() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    assert!(visitor.get("/cart").says("There is nothing in it yet."));
    assert_leads_to(&visitor.post("/cart/tea/add", &[]), "/cart");
    visitor.post("/cart/tea/add", &[]);
    visitor.post("/cart/cup/add", &[]);
    assert_eq!((in_cart(&visitor, "tea"), in_cart(&visitor, "cup")), (2, 1));
    let page = visitor.get("/cart");
    assert_eq!(page.element("items"), Some("3"));
    assert_eq!(page.element("total"), Some("€ 39.80"));

    assert_leads_to(&visitor.post("/cart/tea/remove", &[]), "/cart");
    visitor.post("/cart/cup/remove", &[]);
    assert_eq!((in_cart(&visitor, "tea"), in_cart(&visitor, "cup")), (1, 0));
    assert_leads_to(&visitor.post("/cart/cup/remove", &[]), "/cart");
}

#[test]
fn does_not_sell_what_it_does_not_have() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    let answer = visitor.post("/cart/coffee/add", &[]);
    assert_eq!(answer.status, 404);
    assert!(answer.says("We do not sell that."));
    assert_eq!(visitor.cookie(), None);
}

#[test]
fn tabs_that_add_at_once_lose_nothing() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    visitor.get("/");
    for answer in visitor.post_at_once(40, "/cart/pot/add", &[]) {
        assert_leads_to(&answer, "/cart");
    }
    assert_eq!(in_cart(&visitor, "pot"), 40);
}

#[test]
fn sign_in_replaces_the_cookie_and_keeps_the_cart() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    visitor.post("/cart/tea/add", &[]);
    let before = visitor.cookie().expect("a cart needs a cookie");
    assert_leads_to(&visitor.get("/account"), "/sign-in");

    assert_leads_to(&visitor.post("/sign-in", &ADA), "/account");
    assert_ne!(visitor.cookie(), Some(before.clone()));
    assert_eq!(visitor.get("/account").element("name"), Some("ada"));
    assert_eq!(in_cart(&visitor, "tea"), 1);

    let thief = Visitor::with_cookie(&shop, &before);
    assert_leads_to(&thief.get("/account"), "/sign-in");
    assert_eq!(in_cart(&thief, "tea"), 0);
}

/// A request that another tab had sent before the sign-in.
#[test]
fn a_late_request_does_not_sign_out() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    visitor.post("/cart/tea/add", &[]);
    let late = Visitor::with_cookie(&shop, &visitor.cookie().expect("a cookie"));
    visitor.post("/sign-in", &ADA);

    let read = late.get("/cart");
    assert_eq!((read.status, read.element("items")), (200, Some("0")));
    let write = late.post("/cart/tea/add", &[]);
    assert_eq!(write.status, 409);
    assert!(write.says("Your session has ended or changed."));
    // A browser would have put these in the place of the new cookie.
    assert_eq!((read.set_cookie, write.set_cookie), (vec![], vec![]));
    assert_eq!(in_cart(&visitor, "tea"), 1);
}

#[test]
fn five_wrong_passwords_are_enough() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    for left in (0..5).rev() {
        let answer = visitor.post("/sign-in", &WRONG);
        assert_eq!(answer.status, 401);
        assert!(answer.says(&format!("Attempts left: {left}.")));
        assert!(
            answer.says("value=\"ada\""),
            "the name need not be typed again"
        );
    }
    assert_eq!(visitor.post("/sign-in", &WRONG).status, 429);
    assert_eq!(visitor.post("/sign-in", &ADA).status, 429);
    // Another visitor may.
    signed_in(&shop);
}

#[test]
fn passwords_that_come_at_once_are_all_counted() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    visitor.get("/");
    let answers = visitor.post_at_once(12, "/sign-in", &WRONG);
    let with = |status| answers.iter().filter(|it| it.status == status).count();
    assert_eq!((with(401), with(429)), (5, 7));
}

#[test]
fn a_right_password_forgets_the_wrong_ones() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    for _ in 0..4 {
        assert_eq!(visitor.post("/sign-in", &WRONG).status, 401);
    }
    assert_leads_to(&visitor.post("/sign-in", &ADA), "/account");
    assert!(visitor.post("/sign-in", &WRONG).says("Attempts left: 4."));
}

#[test]
fn a_code_runs_out() {
    let shop = Program::start_with(SHOP, &["--listen", "127.0.0.1:0", "--code-ttl", "15s"]);
    let visitor = signed_in(&shop);
    assert!(code_shown(&visitor).is_none());
    assert_leads_to(&visitor.post("/code", &[]), "/code");
    let (code, left) = code_shown(&visitor).expect("the code is good for 15 seconds");
    assert!((1..=15_000).contains(&left), "{left} ms are left");

    wait_for("the code to run out", || {
        code_shown(&visitor).is_none().then_some(())
    });
    let late = visitor.post("/code/use", &[("code", &code)]);
    assert_eq!(late.status, 410);
    assert!(late.says("The code has run out or was used."));
}

#[test]
fn a_code_works_once() {
    let shop = open();
    let visitor = signed_in(&shop);
    visitor.post("/code", &[]);
    let (code, left) = code_shown(&visitor).expect("a code");
    assert!(left <= 120_000, "{left} ms are left");
    let answers = visitor.post_at_once(8, "/code/use", &[("code", &code)]);
    let with = |status| answers.iter().filter(|it| it.status == status).count();
    assert_eq!((with(200), with(410)), (1, 7));
}

#[test]
fn a_wrong_code_uses_the_right_one_up() {
    let shop = open();
    let visitor = signed_in(&shop);
    visitor.post("/code", &[]);
    let (code, _) = code_shown(&visitor).expect("a code");
    assert_eq!(visitor.post("/code/use", &[("code", "no")]).status, 422);
    assert_eq!(visitor.post("/code/use", &[("code", &code)]).status, 410);
}

#[test]
fn keeps_the_address() {
    let shop = open();
    let visitor = signed_in(&shop);
    let address = "1 Tea Street\n<London> & \"more\"";
    assert_leads_to(
        &visitor.post("/account", &[("address", address)]),
        "/account",
    );
    let page = visitor.get("/account");
    assert!(
        page.says("1 Tea Street\n&#60;London&#62; &#38; &#34;more&#34;"),
        "{page:?}"
    );
    visitor.post("/account", &[("address", " ")]);
    assert!(!visitor.get("/account").says("Tea Street"));
}

/// The sessions that the visitor's page of devices offers to sign out.
fn others(visitor: &Visitor<'_>) -> Vec<String> {
    let page = visitor.get("/devices").body;
    let links = page.split("action=\"/devices/").skip(1);
    let links = links.filter_map(|link| link.split_once("/revoke\""));
    links.map(|(id, _)| id.to_owned()).collect()
}

#[test]
fn devices_are_listed_and_signed_out_one_by_one() {
    let shop = open();
    let (here, there, elsewhere) = (signed_in(&shop), Visitor::of(&shop), signed_in(&shop));
    let firefox = [(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    )];
    there.post_with("/sign-in", &ADA, &firefox);
    let grace = Visitor::of(&shop);
    grace.post("/sign-in", &[("name", "grace"), ("password", "hopper")]);

    let page = here.get("/devices");
    assert_eq!(page.body.matches("this one").count(), 1);
    assert!(page.says("Firefox on Linux"));
    assert_eq!(others(&here).len(), 2);
    assert_eq!(others(&grace), [""; 0]);

    // All visitors but `there` offer to sign out `there`.
    let there_not = others(&there);
    let id = others(&here).into_iter().find(|id| !there_not.contains(id));
    let id = id.expect("`here` offers to sign out `there`");
    let revoke = format!("/devices/{id}/revoke");
    assert_eq!(grace.post(&revoke, &[]).status, 404);
    assert_leads_to(&here.post(&revoke, &[]), "/devices");
    assert_leads_to(&there.get("/account"), "/sign-in");
    assert_eq!(elsewhere.get("/account").status, 200);
    assert_eq!(here.post(&revoke, &[]).status, 404);
    assert_eq!(here.post("/devices/nonsense/revoke", &[]).status, 404);
}

#[test]
fn signs_out_everywhere_else() {
    let shop = open();
    let (here, there, elsewhere) = (signed_in(&shop), signed_in(&shop), signed_in(&shop));
    let cookie = there.cookie();
    assert_leads_to(&here.post("/devices/revoke-others", &[]), "/devices");
    assert_eq!(here.get("/account").status, 200);
    assert_leads_to(&there.get("/account"), "/sign-in");
    assert_leads_to(&elsewhere.get("/account"), "/sign-in");
    assert_eq!(others(&here), [""; 0]);
    // It opens nothing. Only a request that ends its own session removes the cookie: a slow one would
    // remove the cookie of a sign-in that came meanwhile.
    assert_eq!(there.cookie(), cookie);
}

#[test]
fn sign_out_removes_cookie_and_cart() {
    let shop = open();
    let visitor = signed_in(&shop);
    visitor.post("/cart/tea/add", &[]);
    let before = visitor.cookie().expect("a cookie");
    assert_leads_to(&visitor.post("/sign-out", &[]), "/");
    assert_eq!(visitor.cookie(), None);
    assert_eq!(in_cart(&Visitor::with_cookie(&shop, &before), "tea"), 0);
    assert_eq!(visitor.get("/").element("visits"), Some("1"));
}

#[test]
fn pages_for_customers_ask_others_to_sign_in() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    for path in ["/account", "/code", "/devices"] {
        assert_leads_to(&visitor.get(path), "/sign-in");
    }
    for path in ["/account", "/code", "/code/use", "/devices/revoke-others"] {
        let form = [("address", "here"), ("code", "123456")];
        assert_leads_to(&visitor.post(path, &form), "/sign-in");
    }
    assert_eq!(visitor.cookie(), None);
}

#[test]
fn refuses_what_another_site_posts() {
    let shop = open();
    let visitor = signed_in(&shop);
    let from_elsewhere = [("sec-fetch-site", "cross-site")];
    let answer = visitor.post_with("/cart/tea/add", &[], &from_elsewhere);
    assert_eq!(answer.status, 403);
    assert_eq!(in_cart(&visitor, "tea"), 0);
}

#[test]
fn says_that_there_is_no_such_page() {
    let shop = open();
    let answer = Visitor::of(&shop).get("/coffee");
    assert_eq!(answer.status, 404);
    assert!(answer.says("There is no such page."));
    assert_eq!(answer.set_cookie, [""; 0]);
}

#[test]
fn ends_when_asked_to() {
    let shop = open();
    let visitor = Visitor::of(&shop);
    visitor.get("/");
    // A browser keeps connections that it does not use yet.
    let _idle = std::net::TcpStream::connect(shop.address()).expect("the shop listens");
    let status = shop.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn explains_arguments_that_it_does_not_understand() {
    for (arguments, explanation) in [
        (
            &["--store", "floppy"][..],
            "unknown store, expected `memory`, `file:FOLDER` or `redis://HOST:PORT`",
        ),
        (
            &["--code-ttl", "soon"],
            "invalid value 'soon' for '--code-ttl <CODE_TTL>'",
        ),
        (&["--code-ttl", "0s"], "a code must be good for some time"),
        (&["--key", "short"], "error: "),
        (&["--listen", "nowhere"], "cannot listen on `nowhere`"),
        (&["--color", "red"], "unexpected argument '--color' found"),
    ] {
        let output = run(SHOP, arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text.contains(explanation), "{arguments:?}: {text}");
        assert!(
            !text.contains("short"),
            "a key does not belong on the screen"
        );
    }
}

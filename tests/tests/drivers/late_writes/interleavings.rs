//! One browser sends requests of every kind, several at a time; when each loads and when each commits
//! is chosen at random, one step after the other, beside the rules of what must come of it.
//!
//! `SESSION_INTERLEAVINGS` says how many there are in memory, others do a fifth of it;
//! `SESSION_INTERLEAVING_SEED` says which. `campaigns/run/interleavings` runs this for longer.

use std::collections::BTreeMap;

use fastrand::Rng;
use http::StatusCode;
use session_runtime::ReadSession;
use tests::browser::Answer;
use tests::drivers::{Driver, drivers};
use tests::fuzz::number;
use tests::visitor::Visitor;

use super::{Begun, Deed, Shop, begin, end, log_out};

const DEEDS: [Deed; 6] = [
    Deed::Write,
    Deed::Add,
    Deed::Login,
    Deed::Rotate,
    Deed::Destroy,
    Deed::Nothing,
];

/// The expected contents of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    customer: Option<u32>,
    visits: u32,
    sum: i64,
}

impl Held {
    fn change(&mut self, deed: Deed, number: u32) {
        match deed {
            Deed::Write => self.visits = 100 + number,
            Deed::Add => self.sum += 1,
            Deed::Login => self.customer = Some(number + 1),
            _ => {}
        }
    }

    fn shown(self) -> String {
        format!("{:?}", (self.customer, self.visits, self.sum))
    }
}

/// One of the sessions that the browser has had.
struct Known {
    held: Held,
    lives: bool,
    /// How often its token was replaced.
    generation: usize,
    /// Every token that it has had, the present one last.
    tabs: Vec<Visitor>,
}

/// Whom a request takes its visitor for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The holder of this session and of this generation of its token.
    Holder(usize, usize),
    /// An anonymous visitor whose token was just replaced; the browser has the new one.
    Replaced,
    /// An anonymous visitor with a cookie that opens nothing.
    UnknownCookie,
    /// An anonymous visitor without a cookie.
    NoCookie,
}

/// The rules: what there is, and what a request makes of it.
#[derive(Default)]
struct Rules {
    sessions: Vec<Known>,
    /// The session and the generation of the token in the browser.
    jar: Option<(usize, usize)>,
}

/// The expected outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It is applied, or there was nothing to apply.
    Done,
    /// It is applied, and the browser is given a token of this session.
    Token(usize),
    /// It ends the session, and the browser's cookie is removed.
    Removal,
    /// It comes too late.
    TooLate,
}

impl Rules {
    fn load(&self) -> (Seen, Held) {
        let Some((index, generation)) = self.jar else {
            return (Seen::NoCookie, Held::default());
        };
        let session = &self.sessions[index];
        match session.lives {
            true if generation == session.generation => {
                (Seen::Holder(index, generation), session.held)
            }
            true => (Seen::Replaced, Held::default()),
            false => (Seen::UnknownCookie, Held::default()),
        }
    }

    fn commit(&mut self, seen: Seen, deed: Deed, number: u32) -> Expected {
        let writes = [Deed::Write, Deed::Add, Deed::Login].contains(&deed);
        match seen {
            Seen::Holder(..) if deed == Deed::Nothing => Expected::Done,
            Seen::Holder(index, generation) => {
                let session = &mut self.sessions[index];
                let is_current = session.lives && session.generation == generation;
                match deed {
                    // Another logout was faster.
                    Deed::Destroy if !session.lives => Expected::Done,
                    _ if !is_current => Expected::TooLate,
                    Deed::Destroy => {
                        session.lives = false;
                        Expected::Removal
                    }
                    _ => {
                        session.held.change(deed, number);
                        let rotates = [Deed::Login, Deed::Rotate].contains(&deed);
                        session.generation += usize::from(rotates);
                        if rotates {
                            Expected::Token(index)
                        } else {
                            Expected::Done
                        }
                    }
                }
            }
            Seen::Replaced if writes => Expected::TooLate,
            Seen::Replaced => Expected::Done,
            Seen::UnknownCookie | Seen::NoCookie if writes => {
                let mut held = Held::default();
                held.change(deed, number);
                self.sessions.push(Known {
                    held,
                    lives: true,
                    generation: 0,
                    tabs: Vec::new(),
                });
                Expected::Token(self.sessions.len() - 1)
            }
            Seen::UnknownCookie | Seen::NoCookie => Expected::Done,
        }
    }

    /// The browser has the answer.
    fn arrive(&mut self, expected: Expected, tab: Visitor) {
        match expected {
            Expected::Token(index) => {
                let session = &mut self.sessions[index];
                session.tabs.push(tab);
                self.jar = Some((index, session.generation));
            }
            Expected::Removal => self.jar = None,
            Expected::Done | Expected::TooLate => {}
        }
    }
}

fn check(answer: &Answer, expected: Expected, what: &str) {
    let (status, cookies) = match expected {
        Expected::Done => (StatusCode::OK, 0),
        Expected::Token(_) | Expected::Removal => (StatusCode::OK, 1),
        Expected::TooLate => (StatusCode::CONFLICT, 0),
    };
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    let set = answer.set_cookies();
    assert_eq!(set.len(), cookies, "{what}: {set:?}");
    if let Some(cookie) = set.first() {
        assert_eq!(
            cookie.contains("Max-Age=0"),
            expected == Expected::Removal,
            "{what}"
        );
    }
}

/// How often what there is to see was seen.
type Tally = BTreeMap<&'static str, usize>;

struct Request {
    deed: Deed,
    number: u32,
    seen: Seen,
    loaded: Held,
    begun: Begun,
}

async fn interleave(driver: &Driver, random: &mut Rng, tally: &mut Tally, what: &str) {
    let mut browser = Visitor::new(&driver.layer());
    let mut rules = Rules::default();
    let mut under_way: Vec<Request> = Vec::new();
    let mut left = random.u32(3..=8);
    // Most browsers have a session already.
    let mut first = (random.u8(..4) > 0).then_some(Deed::Write);
    while left > 0 || !under_way.is_empty() {
        let begins = left > 0 && under_way.len() < 4 && (under_way.is_empty() || random.bool());
        if begins {
            let deed = first.unwrap_or_else(|| DEEDS[random.usize(..DEEDS.len())]);
            let (seen, loaded) = rules.load();
            let begun = begin(&browser, deed, left).await;
            let number = left;
            under_way.push(Request {
                deed,
                number,
                seen,
                loaded,
                begun,
            });
            left -= 1;
        }
        if begins && first.take().is_none() {
            continue;
        }
        let index = random.usize(..under_way.len());
        let Request {
            deed,
            number,
            seen,
            loaded,
            begun,
        } = under_way.swap_remove(index);
        let what = format!("{what}, {deed:?} of {seen:?}");
        let (tab, answer) = end(begun).await;
        let expected = rules.commit(seen, deed, number);
        check(&answer, expected, &what);
        if expected != Expected::TooLate {
            assert_eq!(answer.body, loaded.shown(), "{what}: what it loaded");
        }
        if let (Seen::Holder(index, _), Expected::TooLate) = (seen, expected) {
            let rotates = [Deed::Login, Deed::Rotate].contains(&deed);
            *tally
                .entry(match (rules.sessions[index].lives, rotates) {
                    (false, _) => "commits after a logout",
                    (true, true) => "second rotations",
                    (true, false) => "other commits after a rotation",
                })
                .or_default() += 1;
        }
        if !answer.set_cookies().is_empty() {
            browser = tab.clone();
        }
        rules.arrive(expected, tab);
    }
    verify(driver, rules, what).await;
}

/// The store holds what the rules expect, and only the last token of each session opens it.
async fn verify(driver: &Driver, rules: Rules, what: &str) {
    let living = rules.sessions.iter().filter(|session| session.lives);
    assert_eq!(driver.sessions().await, living.count(), "{what}: records");
    let page = |session: ReadSession<Shop>| async move {
        format!("{:?}", (session.customer, session.visits, session.sum))
    };
    for mut session in rules.sessions {
        let mut last = session.tabs.pop().unwrap();
        for mut dead in session.tabs {
            let answer = dead.visit(page).await;
            assert_eq!(answer.body, Held::default().shown(), "{what}: an old token");
        }
        let expected = if session.lives {
            session.held
        } else {
            Held::default()
        };
        let answer = last.visit(page).await;
        assert_eq!(answer.body, expected.shown(), "{what}: the last token");
        if session.lives {
            log_out(&mut last).await;
        }
    }
    assert_eq!(driver.sessions().await, 0, "{what}: all have ended");
}

#[tokio::test]
async fn s11_s22_thousands_of_interleavings_agree_with_the_rules() {
    let seed = number("SESSION_INTERLEAVING_SEED").unwrap_or(22);
    let interleavings = number("SESSION_INTERLEAVINGS").unwrap_or(2_000);
    println!("SESSION_INTERLEAVING_SEED={seed}");
    let mut total = 0;
    for driver in drivers().await {
        let cheaper = if driver.name() == "memory" { 1 } else { 5 };
        let count = interleavings / cheaper;
        let mut tally = Tally::new();
        // Each has a seed of its own, so that one can be run again alone.
        for seed in (seed + total..).take(count as usize) {
            let what = format!("{}, seed {seed}", driver.name());
            let mut random = Rng::with_seed(seed);
            interleave(&driver, &mut random, &mut tally, &what).await;
        }
        println!("{}: {count} interleavings, {tally:?}", driver.name());
        assert!(count < 100 || tally.len() == 3, "all that matters happened");
        total += count;
    }
    println!("{total} interleavings in all");
}

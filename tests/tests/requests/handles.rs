//! The typed handles of fields, with and without a session.

use std::time::Duration;

use http::StatusCode;
use session_runtime::{MemoryStore, ReadSession, Session, SessionError, SessionLayer, Ttl};
use tests::clock::ManualClock;
use tests::counting::CountingStore;
use tests::visitor::Visitor;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(ttl = "5m")]
    otp: Option<String>,
    #[session(ttl = "10m", renew = "never", merge = "add")]
    failures: u32,
    #[session(merge = "add")]
    sum: i64,
    plain: u32,
    small: u8,
    note: Option<String>,
    #[session(codec = session_runtime::Postcard)]
    packed: u32,
    #[session(merge = "add", default = 100)]
    stock: u32,
}

type Done = Result<(), SessionError>;

struct Site {
    layer: SessionLayer,
    store: CountingStore<MemoryStore>,
    clock: ManualClock,
}

fn site() -> Site {
    let clock = ManualClock::new();
    let store = CountingStore::new(MemoryStore::builder().clock(clock.clone()).build());
    let layer = SessionLayer::new(store.clone());
    Site {
        layer,
        store,
        clock,
    }
}

/// A visitor whose session holds something.
async fn known(site: &Site) -> Visitor {
    let mut visitor = Visitor::new(&site.layer);
    visitor
        .visit(|mut session: Session<Shop>| async move { session.note = Some("a".to_owned()) })
        .await;
    site.store.take_counts();
    visitor
}

/// Visits, and expects the page to come through.
macro_rules! well {
    ($visitor:expr, $page:expr) => {{
        let answer = $visitor.visit($page).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }};
}

#[tokio::test]
async fn add_answers_the_sum_and_creates_the_session() {
    let site = site();
    let mut visitor = Visitor::new(&site.layer);
    well!(visitor, |mut session: Session<Shop>| async move {
        session.note = Some("waits".to_owned());
        assert_eq!(session.add(Shop::SUM, 5).await?, 5);
        assert_eq!((session.sum, session.note.as_deref()), (5, Some("waits")));
        assert!(session.id().is_some());
        assert_eq!(session.add(Shop::SUM, -7).await?, -2);
        assert_eq!(session.add(Shop::STOCK, -1).await?, 99, "from the default");
        assert_eq!(session.add(Shop::FAILURES, -1).await?, 0, "stops at zero");
        assert_eq!(session.add(Shop::PLAIN, 3).await?, 3, "any integer field");
        Done::Ok(())
    });
    well!(visitor, |session: Session<Shop>| async move {
        assert_eq!((session.sum, session.stock, session.plain), (-2, 99, 3));
        assert_eq!(session.note.as_deref(), Some("waits"));
    });
}

#[tokio::test]
async fn add_keeps_what_waits_in_the_same_field() {
    let site = site();
    for mut visitor in [Visitor::new(&site.layer), known(&site).await] {
        well!(visitor, |mut session: Session<Shop>| async move {
            session.sum += 10;
            assert_eq!(session.add(Shop::SUM, 1).await?, 11);
            assert_eq!(session.sum, 11);
            session.sum += 100;
            session.plain = 5;
            assert_eq!(session.add(Shop::PLAIN, 1).await?, 6);
            assert_eq!(session.plain, 6);
            Done::Ok(())
        });
        well!(visitor, |session: ReadSession<Shop>| async move {
            assert_eq!((session.sum, session.plain), (111, 6));
        });
    }
}

#[tokio::test]
async fn add_that_leaves_the_range_changes_nothing() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        assert_eq!(session.add(Shop::SUM, i64::MAX).await?, i64::MAX);
        for delta in [1, i64::MAX] {
            let error = session.add(Shop::SUM, delta).await.unwrap_err();
            assert!(matches!(error, SessionError::OutOfRange { .. }), "{error}");
        }
        assert_eq!(session.add(Shop::SMALL, 255).await?, 255);
        assert!(session.add(Shop::SMALL, 1).await.is_err());
        assert_eq!((session.sum, session.small), (i64::MAX, 255));
        assert_eq!(session.add(Shop::SUM, i64::MIN).await?, -1);
        assert_eq!(session.add(Shop::SUM, i64::MIN + 1).await?, i64::MIN);
        let error = session.add(Shop::PACKED, 1).await.unwrap_err();
        assert!(matches!(error, SessionError::NotDecimal { .. }), "{error}");
        Done::Ok(())
    });
}

#[tokio::test]
async fn a_removed_field_starts_anew() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.sum = 40;
        session.failures = 3;
        session.stock = 7;
    });
    site.clock.advance(4 * MINUTE);
    well!(visitor, |mut session: Session<Shop>| async move {
        session.remove(Shop::SUM);
        assert_eq!(session.sum, 0);
        session.sum += 2;
        session.remove(Shop::FAILURES);
        assert_eq!(session.add(Shop::FAILURES, 1).await?, 1, "not 4");
        session.remove(Shop::STOCK);
        Done::Ok(())
    });
    well!(visitor, |session: Session<Shop>| async move {
        assert_eq!((session.sum, session.failures, session.stock), (2, 1, 100));
        let window = session.ttl(Shop::FAILURES).await?;
        assert_eq!(window, Ttl::Remaining(10 * MINUTE), "a new window");
        assert_eq!(session.ttl(Shop::STOCK).await?, Ttl::Missing);
        Done::Ok(())
    });
}

#[tokio::test]
async fn take_gives_the_value_once() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.otp = Some("123456".to_owned());
        session.plain = 5;
    });
    site.store.take_counts();
    well!(visitor, |mut session: Session<Shop>| async move {
        let taken = session.take(Shop::OTP).await?;
        assert_eq!(taken.as_deref(), Some("123456"));
        assert_eq!(session.otp, None);
        assert_eq!(session.take(Shop::OTP).await?, None);
        assert_eq!(session.take(Shop::PLAIN).await?, Some(5));
        assert_eq!(session.take(Shop::PLAIN).await?, None);
        assert_eq!(session.plain, 0);
        Done::Ok(())
    });
    assert_eq!(site.store.take_counts(), (1, 4));
    well!(visitor, |session: ReadSession<Shop>| async move {
        assert_eq!((session.otp.as_ref(), session.plain), (None, 0));
    });
    let mut stranger = Visitor::new(&site.layer);
    well!(stranger, |mut session: Session<Shop>| async move {
        assert_eq!(session.take(Shop::OTP).await?, None);
        Done::Ok(())
    });
    assert_eq!(stranger.token(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_of_a_thousand_racing_takes_one_gets_the_value() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.otp = Some("123456".to_owned());
    });
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let mut tab = visitor.clone();
            tokio::spawn(async move {
                let page = |mut session: Session<Shop>| async move {
                    Ok::<_, SessionError>(session.take(Shop::OTP).await?.unwrap_or_default())
                };
                tab.visit(page).await
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        winners += usize::from(answer.body == "123456");
    }
    assert_eq!(winners, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_fifty_tasks_are_all_kept() {
    let site = site();
    let visitor = known(&site).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let mut tab = visitor.clone();
            tokio::spawn(async move {
                let page = |mut session: Session<Shop>| async move {
                    session
                        .update(|shop| {
                            shop.plain += 1;
                            shop.note = Some("b".repeat(shop.plain as usize));
                            shop.plain
                        })
                        .await
                        .map(|seen| seen.to_string())
                };
                tab.visit(page).await
            })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        seen.push(answer.body.parse::<u32>().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        (1..=50).collect::<Vec<_>>(),
        "each saw a state of its own"
    );
    well!(visitor.clone(), |session: ReadSession<Shop>| async move {
        assert_eq!(session.plain, 50);
        assert_eq!(session.note.as_ref().map(String::len), Some(50));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_fifty_tasks_are_all_kept() {
    let site = site();
    let visitor = known(&site).await;
    let tasks: Vec<_> = (0..50_u32)
        .map(|task| {
            let mut tab = visitor.clone();
            tokio::spawn(async move {
                let page = move |mut session: Session<Shop>| async move {
                    if task % 2 == 0 {
                        session.sum += 3;
                    } else {
                        session.add(Shop::SUM, 3).await?;
                    }
                    Done::Ok(())
                };
                tab.visit(page).await.status
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), StatusCode::OK);
    }
    well!(visitor.clone(), |session: ReadSession<Shop>| async move {
        assert_eq!(session.sum, 150);
    });
}

#[tokio::test]
async fn update_commits_what_waits_with_what_it_changes() {
    let site = site();
    let mut visitor = known(&site).await;
    let other = visitor.clone();
    well!(visitor, move |mut session: Session<Shop>| async move {
        session.note = Some("waits".to_owned());
        session.sum += 4;
        let answer = session
            .update(|shop| {
                assert_eq!((shop.note.as_deref(), shop.sum), (Some("waits"), 4));
                shop.plain += 1;
                shop.sum += 1;
                "the answer"
            })
            .await?;
        assert_eq!(answer, "the answer");
        assert_eq!((session.plain, session.sum), (1, 5));
        assert_eq!(session.note.as_deref(), Some("waits"));
        let mut other = other;
        other
            .visit(|session: ReadSession<Shop>| async move {
                assert_eq!((session.plain, session.sum), (1, 5));
                assert_eq!(session.note.as_deref(), Some("waits"));
            })
            .await;
        Done::Ok(())
    });
    well!(visitor, |session: ReadSession<Shop>| async move {
        assert_eq!((session.plain, session.sum), (1, 5));
        assert_eq!(session.note.as_deref(), Some("waits"));
    });
}

#[tokio::test]
async fn update_without_a_session_creates_it_with_what_waits() {
    let site = site();
    let mut visitor = Visitor::new(&site.layer);
    well!(visitor, |mut session: Session<Shop>| async move {
        session.note = Some("waits".to_owned());
        session.update(|shop| shop.plain += 1).await?;
        assert!(session.id().is_some());
        Done::Ok(())
    });
    well!(visitor, |session: ReadSession<Shop>| async move {
        assert_eq!((session.plain, session.note.as_deref()), (1, Some("waits")));
    });
}

#[tokio::test]
async fn update_that_changes_nothing_writes_nothing() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.update(|shop| shop.plain.to_string()).await
    });
    assert_eq!(site.store.take_counts(), (2, 0));
    let mut stranger = Visitor::new(&site.layer);
    well!(stranger, |mut session: Session<Shop>| async move {
        session.update(|shop| shop.plain.to_string()).await
    });
    assert_eq!((stranger.token(), site.store.take_counts()), (None, (0, 0)));
}

#[tokio::test]
async fn ttl_says_how_long_a_field_lives() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.otp = Some("1".to_owned());
        assert_eq!(session.ttl(Shop::OTP).await?, Ttl::Missing, "not saved yet");
        session.save().await?;
        assert_eq!(session.ttl(Shop::OTP).await?, Ttl::Remaining(5 * MINUTE));
        assert_eq!(session.ttl(Shop::NOTE).await?, Ttl::Unbounded);
        assert_eq!(session.ttl(Shop::SUM).await?, Ttl::Missing);
        Done::Ok(())
    });
    site.clock.advance(2 * MINUTE);
    well!(visitor, |session: ReadSession<Shop>| async move {
        assert_eq!(session.ttl(Shop::OTP).await?, Ttl::Remaining(3 * MINUTE));
        Done::Ok(())
    });
    well!(
        Visitor::new(&site.layer),
        |session: ReadSession<Shop>| async move {
            assert_eq!(session.ttl(Shop::OTP).await?, Ttl::Missing);
            Done::Ok(())
        }
    );
}

#[tokio::test]
async fn expire_sets_what_remains() {
    let site = site();
    // In a session that exists, and in one that this very call creates.
    for mut visitor in [known(&site).await, Visitor::new(&site.layer)] {
        well!(visitor, |mut session: Session<Shop>| async move {
            session.otp = Some("1".to_owned());
            session.expire(Shop::OTP, MINUTE).await?;
            assert_eq!(session.otp.as_deref(), Some("1"), "saved with it");
            assert_eq!(session.ttl(Shop::OTP).await?, Ttl::Remaining(MINUTE));
            session.expire(Shop::SUM, MINUTE).await?;
            assert_eq!(
                session.ttl(Shop::SUM).await?,
                Ttl::Missing,
                "absent stays absent"
            );
            Done::Ok(())
        });
        site.clock.advance(MINUTE);
        well!(visitor, |session: ReadSession<Shop>| async move {
            assert_eq!(session.otp, None);
        });
    }
    let mut stranger = Visitor::new(&site.layer);
    well!(stranger, |mut session: Session<Shop>| async move {
        session.expire(Shop::OTP, MINUTE).await
    });
    assert_eq!(stranger.token(), None);
}

#[tokio::test]
async fn renew_restarts_a_ttl_on_purpose() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.otp = Some("1".to_owned());
        session.failures = 1;
    });
    site.clock.advance(4 * MINUTE);
    site.store.take_counts();
    well!(visitor, |mut session: Session<Shop>| async move {
        session.renew(Shop::OTP);
        session.renew(Shop::FAILURES);
        session.renew(Shop::NOTE);
    });
    assert_eq!(site.store.take_counts(), (1, 1));
    well!(visitor, |session: ReadSession<Shop>| async move {
        assert_eq!(session.ttl(Shop::OTP).await?, Ttl::Remaining(5 * MINUTE));
        assert_eq!(
            session.ttl(Shop::FAILURES).await?,
            Ttl::Remaining(10 * MINUTE)
        );
        assert_eq!(session.ttl(Shop::NOTE).await?, Ttl::Unbounded);
        Done::Ok(())
    });
}

#[tokio::test]
async fn handles_say_when_the_session_is_gone() {
    let site = site();
    let mut visitor = known(&site).await;
    let other = visitor.clone();
    well!(visitor, |mut session: Session<Shop>| async move {
        let mut other = other;
        other
            .visit(|session: Session<Shop>| async move { session.destroy() })
            .await;
        let gone = |result: Result<(), SessionError>| {
            assert!(matches!(result, Err(SessionError::Gone)), "{result:?}");
        };
        gone(session.add(Shop::SUM, 1).await.map(drop));
        gone(session.take(Shop::OTP).await.map(drop));
        gone(session.expire(Shop::OTP, MINUTE).await);
        gone(session.ttl(Shop::OTP).await.map(drop));
        gone(session.update(|shop| shop.plain += 1).await);
        gone(session.reload().await);
        session.note = Some("b".to_owned());
        gone(session.save().await);
    });
    assert_eq!(site.store.sessions().await, 0);
}

#[tokio::test]
async fn discard_drops_what_no_call_has_committed() {
    let site = site();
    let mut visitor = known(&site).await;
    well!(visitor, |mut session: Session<Shop>| async move {
        session.note = Some("waits".to_owned());
        session.add(Shop::SUM, 1).await?;
        session.note = Some("dropped".to_owned());
        session.sum += 10;
        session.discard();
        Done::Ok(())
    });
    well!(visitor, |session: ReadSession<Shop>| async move {
        assert_eq!(
            (session.sum, session.note.as_deref()),
            (1, Some("a")),
            "a call on one field leaves the others waiting, and they are dropped"
        );
    });
}

/// Whatever they do to their field, what else waits for the next commit stays as it was.
#[tokio::test]
async fn calls_on_one_field_neither_ask_for_a_rotation_nor_lose_one() {
    let site = site();
    let mut visitor = known(&site).await;
    let token = visitor.token();
    well!(visitor, |mut session: Session<Shop>| async move {
        session.expire(Shop::NOTE, MINUTE).await?;
        let note = session.take(Shop::NOTE).await?;
        assert_eq!(note.as_deref(), Some("a"));
        session.plain = 1;
        session.save().await?;
        session.remove(Shop::PLAIN);
        Done::Ok(())
    });
    assert_eq!(visitor.token(), token);

    well!(visitor, |mut session: Session<Shop>| async move {
        session.rotate();
        session.expire(Shop::OTP, MINUTE).await?;
        session.take(Shop::OTP).await?;
        session.remove(Shop::PLAIN);
        session.note = Some("b".to_owned());
        Done::Ok(())
    });
    assert_ne!(visitor.token(), token);
}

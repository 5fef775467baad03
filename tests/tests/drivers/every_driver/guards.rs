//! Guards and handles: two of them in one handler, and calls that act at once.

use std::sync::Arc;
use std::time::Duration;

use axum::RequestExt;
use axum::extract::Request;
use http::StatusCode;
use session_runtime::{ReadSession, Session, SessionError, SessionRejection};
use tests::drivers::{Driver, drivers};
use tests::visitor::Visitor;

/// Longer than a request takes on a busy machine, by a server's own clock.
const TTL: Duration = Duration::from_secs(3);

#[derive(Session, Debug, Default, PartialEq)]
struct Desk {
    #[session(merge = "add")]
    visits: u32,
    #[session(merge = "max")]
    highest: i32,
    #[session(merge = "min")]
    lowest: i32,
    #[session(merge = "first")]
    first: Option<String>,
    #[session(merge = "reject")]
    guarded: u32,
    plain: u32,
    message: Option<String>,
    #[session(ttl = "3s")]
    step: Option<String>,
}

type Done = Result<(), SessionError>;

/// A visitor with a session, in which everything but `plain` is as in a new one.
async fn known(driver: &Driver) -> Visitor {
    let mut visitor = Visitor::new(&driver.layer());
    let page = |mut session: Session<Desk>| async move { session.plain = 1 };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    visitor
}

/// One visitor who has a session, and one who does not.
async fn known_and_new(driver: &Driver) -> [Visitor; 2] {
    [known(driver).await, Visitor::new(&driver.layer())]
}

/// The session as the next request sees it.
async fn look(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Desk>| async move { format!("{:?}", *session) };
    visitor.visit(page).await.body
}

async fn expect(visitor: &mut Visitor, what: &str, expected: Desk) {
    assert_eq!(look(visitor).await, format!("{expected:?}"), "{what}");
}

#[tokio::test]
async fn p3_two_guards_of_one_request_contribute_both() {
    for driver in drivers().await {
        for mut visitor in known_and_new(&driver).await {
            let page = |first: Session<Desk>, mut request: Request| async move {
                let (mut first, mut second): (_, Session<Desk>) =
                    (first, request.extract_parts().await?);
                first.visits += 1;
                second.visits += 1;
                (first.highest, second.highest) = (7, 5);
                (first.lowest, second.lowest) = (-7, -5);
                first.first = Some("first".to_owned());
                second.first = Some("second".to_owned());
                first.message = Some("first".to_owned());
                second.message = Some("second".to_owned());
                first.commit();
                second.commit();
                Ok::<_, SessionRejection>(())
            };
            let plain = u32::from(visitor.token().is_some());
            let answer = visitor.visit(page).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", driver.name());
            let expected = Desk {
                visits: 2,
                highest: 7,
                lowest: -7,
                first: Some("first".to_owned()),
                message: Some("second".to_owned()),
                plain,
                ..Desk::default()
            };
            expect(&mut visitor, driver.name(), expected).await;
        }
    }
}

#[tokio::test]
async fn s15_a_take_takes_the_change_that_waits() {
    for driver in drivers().await {
        for mut visitor in known_and_new(&driver).await {
            let was_known = visitor.token().is_some();
            let page = |mut session: Session<Desk>| async move {
                session.message = Some("new".to_owned());
                let taken = session.take(Desk::MESSAGE).await?;
                assert_eq!(taken.as_deref(), Some("new"));
                assert_eq!(session.message, None);
                session.visits += 2;
                assert_eq!(session.take(Desk::VISITS).await?, Some(2));
                assert_eq!(session.take(Desk::MESSAGE).await?, None);
                Done::Ok(())
            };
            let answer = visitor.visit(page).await;
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{}: {}",
                driver.name(),
                answer.body
            );
            assert_eq!(
                visitor.token().is_some(),
                was_known,
                "nothing was left to save"
            );
            let expected = Desk {
                plain: u32::from(was_known),
                ..Desk::default()
            };
            expect(&mut visitor, driver.name(), expected).await;
        }
    }
}

#[tokio::test]
async fn p3_the_loser_of_a_first_value_sees_the_stores() {
    for driver in drivers().await {
        let mut visitor = known(&driver).await;
        let mut other = visitor.clone();
        let page = |mut session: Session<Desk>| async move {
            let page = |mut session: Session<Desk>| async move {
                session.first = Some("winner".to_owned());
            };
            assert_eq!(other.visit(page).await.status, StatusCode::OK);
            session.first = Some("loser".to_owned());
            session.save().await?;
            assert_eq!(session.first.as_deref(), Some("winner"));
            Done::Ok(())
        };
        let answer = visitor.visit(page).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{}: {}",
            driver.name(),
            answer.body
        );
    }
}

#[tokio::test]
async fn p3_an_update_sees_what_waits() {
    for driver in drivers().await {
        for mut visitor in known_and_new(&driver).await {
            let plain = u32::from(visitor.token().is_some());
            let page = |mut session: Session<Desk>| async move {
                session.visits = 100;
                session.message = Some("waits".to_owned());
                let visits = session.update(|desk| {
                    assert_eq!(desk.message.as_deref(), Some("waits"));
                    desk.visits += 1;
                    desk.visits
                });
                assert_eq!(visits.await?, 101);
                assert_eq!(session.visits, 101);
                Done::Ok(())
            };
            let answer = visitor.visit(page).await;
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{}: {}",
                driver.name(),
                answer.body
            );
            let expected = Desk {
                visits: 101,
                message: Some("waits".to_owned()),
                plain,
                ..Desk::default()
            };
            expect(&mut visitor, driver.name(), expected).await;
        }
    }
}

#[tokio::test]
async fn p3_an_update_ends_at_a_pending_condition() {
    for driver in drivers().await {
        let mut visitor = known(&driver).await;
        let mut other = visitor.clone();
        let page = |mut session: Session<Desk>| async move {
            session.guarded = 1;
            let page = |mut session: Session<Desk>| async move { session.guarded = 2 };
            assert_eq!(other.visit(page).await.status, StatusCode::OK);
            match session.update(|desk| desk.plain += 1).await {
                Err(SessionError::Conflict { field: Some(field) }) => {
                    assert_eq!(field, "desk.guarded");
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            visitor.visit(page).await.status,
            StatusCode::OK,
            "{}",
            driver.name()
        );
        let expected = Desk {
            guarded: 2,
            plain: 1,
            ..Desk::default()
        };
        expect(&mut visitor, driver.name(), expected).await;
    }
}

#[tokio::test]
async fn a_discard_forgets_everything_that_its_guard_asked_for() {
    for driver in drivers().await {
        let mut visitor = known(&driver).await;
        let token = visitor.token();
        let page = |mut session: Session<Desk>, mut request: Request| async move {
            let mut kept: Session<Desk> = request.extract_parts().await?;
            kept.message = Some("kept".to_owned());
            kept.commit();
            session.plain = 9;
            session.rotate();
            session.remember(true);
            session.set_label("a label");
            session.remove(Desk::MESSAGE);
            session.set(Desk::STEP, "dropped".to_owned()).unwrap();
            assert_eq!(session.step.as_deref(), Some("dropped"));
            session.discard();
            Ok::<_, SessionRejection>(())
        };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", driver.name());
        assert_eq!(answer.set_cookies(), [""; 0], "{}", driver.name());
        assert_eq!(visitor.token(), token, "{}", driver.name());
        let expected = Desk {
            plain: 1,
            message: Some("kept".to_owned()),
            ..Desk::default()
        };
        expect(&mut visitor, driver.name(), expected).await;
    }
}

/// Fills `step`, lets most of its time pass before the next request, and the rest during it.
async fn renew_late(driver: &Arc<Driver>, meddle: bool) -> (Visitor, StatusCode) {
    let mut visitor = known(driver).await;
    let fill = |mut session: Session<Desk>| async move { session.step = Some("two".to_owned()) };
    visitor.visit(fill).await;
    driver.pass(TTL * 5 / 6).await;
    let mut other = visitor.clone();
    let driver = Arc::clone(driver);
    let page = move |mut session: Session<Desk>| async move {
        assert_eq!(session.step.as_deref(), Some("two"), "loaded in time");
        driver.pass(TTL * 2 / 6).await;
        if meddle {
            let page = |mut session: Session<Desk>| async move { session.plain += 1 };
            assert_eq!(other.visit(page).await.status, StatusCode::OK);
        }
        session.renew(Desk::STEP);
    };
    let status = visitor.visit(page).await.status;
    (visitor, status)
}

#[tokio::test]
async fn p4_a_renewal_keeps_a_field_that_ran_out_during_the_request() {
    for driver in drivers().await {
        let driver = Arc::new(driver);
        let (mut visitor, status) = renew_late(&driver, false).await;
        assert_eq!(status, StatusCode::OK, "{}", driver.name());
        let expected = Desk {
            plain: 1,
            step: Some("two".to_owned()),
            ..Desk::default()
        };
        expect(&mut visitor, driver.name(), expected).await;
    }
}

#[tokio::test]
async fn p4_a_renewal_brings_nothing_back_that_another_request_may_have_removed() {
    for driver in drivers().await {
        let driver = Arc::new(driver);
        let (mut visitor, status) = renew_late(&driver, true).await;
        assert_eq!(status, StatusCode::CONFLICT, "{}", driver.name());
        let expected = Desk {
            plain: 2,
            ..Desk::default()
        };
        expect(&mut visitor, driver.name(), expected).await;
    }
}

#[tokio::test]
async fn an_expired_field_is_gone_and_can_be_written_again() {
    for driver in drivers().await {
        for mut visitor in known_and_new(&driver).await {
            let plain = u32::from(visitor.token().is_some());
            let page = |mut session: Session<Desk>| async move {
                session.message = Some("same".to_owned());
                session.step = Some("same".to_owned());
                session.save().await?;
                session.expire(Desk::MESSAGE, Duration::ZERO).await?;
                session.expire(Desk::STEP, Duration::ZERO).await?;
                assert_eq!(
                    (session.message.clone(), session.step.clone()),
                    (None, None)
                );
                session.message = Some("same".to_owned());
                session.set(Desk::STEP, "same".to_owned())?;
                Done::Ok(())
            };
            let answer = visitor.visit(page).await;
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{}: {}",
                driver.name(),
                answer.body
            );
            let expected = Desk {
                plain,
                message: Some("same".to_owned()),
                step: Some("same".to_owned()),
                ..Desk::default()
            };
            expect(&mut visitor, driver.name(), expected).await;
        }
    }
}

/// The later guard's session is another one, and gets nothing of the earlier guard.
#[tokio::test]
async fn a_guard_of_a_session_that_ended_in_this_request_changes_no_other() {
    for driver in drivers().await {
        let mut visitor = known(&driver).await;
        let page = |mut old: Session<Desk>, mut request: Request| async move {
            let ends: Session<Desk> = request.extract_parts().await?;
            old.plain = 7;
            old.rotate();
            ends.destroy();
            let mut new: Session<Desk> = request.extract_parts().await?;
            new.message = Some("new".to_owned());
            new.commit();
            old.commit();
            Ok::<_, SessionRejection>(())
        };
        let answer = visitor.visit(page).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{}: {}",
            driver.name(),
            answer.body
        );
        let expected = Desk {
            message: Some("new".to_owned()),
            ..Desk::default()
        };
        expect(&mut visitor, driver.name(), expected).await;
    }
}

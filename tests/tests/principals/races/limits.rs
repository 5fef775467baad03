//! A limit is exact, however many sign in at the same moment.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use session_runtime::{Session, SessionError, SessionLayer, WhenFull};
use tests::visitor::Visitor;
use tokio::sync::Barrier;

use super::{Place, Shop, count, is_signed_in, places, sign_in};

/// A hundred sign-ins at the same moment, and which of the visitors are signed in afterwards.
async fn hundred_sign_ins(layer: &SessionLayer) -> (Vec<StatusCode>, usize) {
    let barrier = Arc::new(Barrier::new(100));
    let mut tasks = Vec::new();
    for racer in 0..100 {
        let (layer, barrier) = (layer.clone(), barrier.clone());
        tasks.push(tokio::spawn(async move {
            let mut visitor = Visitor::new(&layer);
            barrier.wait().await;
            let status = if racer % 2 == 0 {
                sign_in(&mut visitor, 7).await
            } else {
                let page = |mut session: Session<Shop>| async move {
                    session.customer = Some(7);
                    match session.save().await {
                        Err(SessionError::LimitReached) => StatusCode::TOO_MANY_REQUESTS,
                        Err(SessionError::Gone) => StatusCode::CONFLICT,
                        saved => {
                            saved.unwrap();
                            StatusCode::OK
                        }
                    }
                };
                visitor.visit(page).await.status
            };
            (status, visitor)
        }));
    }
    let mut statuses = Vec::new();
    let mut visitors = Vec::new();
    for task in tasks {
        let (status, visitor) = task.await.unwrap();
        statuses.push(status);
        visitors.push(visitor);
    }
    let mut live = 0;
    for visitor in &mut visitors {
        live += usize::from(is_signed_in(visitor).await);
    }
    (statuses, live)
}

fn limited(place: &Place, when_full: WhenFull) -> SessionLayer {
    SessionLayer::builder(Arc::clone(&place.store))
        .max_sessions(Shop::CUSTOMER, 3, when_full)
        .store_deadline(Duration::from_secs(120))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_of_a_hundred_simultaneous_sign_ins_three_succeed() {
    for place in places().await {
        let (layer, name) = (limited(&place, WhenFull::Reject), &place.name);
        let (statuses, live) = hundred_sign_ins(&layer).await;
        let ok = statuses.iter().filter(|status| **status == StatusCode::OK);
        assert_eq!((ok.count(), live), (3, 3), "{name}");
        assert_eq!(count(&layer, 7).await, 3, "{name}");
        for (racer, status) in statuses.iter().enumerate() {
            let refused = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS][racer % 2];
            assert!(
                [StatusCode::OK, refused].contains(status),
                "{name}: {status}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_of_a_hundred_simultaneous_sign_ins_three_stay() {
    for place in places().await {
        let (layer, name) = (limited(&place, WhenFull::EvictOldest), &place.name);
        let (statuses, live) = hundred_sign_ins(&layer).await;
        assert_eq!((live, count(&layer, 7).await), (3, 3), "{name}");
        // In steps, one may be evicted before it has quite arrived.
        let evicted = |status: &&StatusCode| place.in_steps && **status == StatusCode::CONFLICT;
        let others = statuses.iter().filter(|status| !evicted(status));
        let others: Vec<_> = others.filter(|status| **status != StatusCode::OK).collect();
        assert!(others.is_empty(), "{name}: {others:?}");
    }
}

//! Who is signed in where: what a list shows, and whom a revocation ends.

use std::collections::BTreeSet;
use std::time::SystemTime;

use http::StatusCode;
use session_runtime::{Session, SessionError, SessionId, SessionLayer, Sessions};
use tests::drivers::{Driver, drivers};
use tests::visitor::Visitor;

use super::{Plain, cart, id_of, put, sign_in};

async fn signed_in(layer: &SessionLayer, customer: u32) -> (Visitor, SessionId) {
    let mut visitor = Visitor::new(layer);
    put(&mut visitor, customer).await;
    assert_eq!(sign_in(&mut visitor, customer).await.status, StatusCode::OK);
    let id = id_of(&mut visitor).await;
    (visitor, id)
}

fn now(driver: &Driver) -> SystemTime {
    driver.now().into()
}

#[tokio::test]
async fn s26_the_list_shows_each_session_as_it_is() {
    for driver in drivers().await {
        let what = driver.name();
        let builder = driver.builder().idle_timeout(driver.minutes(300));
        let layer = builder.lifetime(driver.minutes(900)).build().unwrap();
        let start = now(&driver);
        let (mut phone, phone_id) = signed_in(&layer, 1).await;
        let label = |mut session: Session<Plain>| async move { session.set_label("a phone") };
        phone.visit(label).await;
        let phone_made = now(&driver);
        driver.pass(driver.minutes(12)).await;
        let laptop_start = now(&driver);
        let (mut laptop, laptop_id) = signed_in(&layer, 1).await;
        signed_in(&layer, 2).await;
        let laptop_made = now(&driver);

        let page = |sessions: Sessions, _: Session<Plain>| async move {
            let infos = sessions.of(Plain::CUSTOMER, &1).list().await?;
            let current = infos.iter().find(|info| info.current);
            let current = current.map(|info| info.id.to_string());
            Ok::<_, SessionError>(current.unwrap_or_default())
        };
        assert_eq!(phone.visit(page).await.body, phone_id.to_string(), "{what}");
        let seen = now(&driver);
        assert_eq!(
            laptop.visit(page).await.body,
            laptop_id.to_string(),
            "{what}"
        );

        let infos = layer
            .sessions()
            .of(Plain::CUSTOMER, &1)
            .list()
            .await
            .unwrap();
        let [first, second] = &infos[..] else {
            panic!("{what}: {infos:?}");
        };
        assert_eq!((first.id, second.id), (phone_id, laptop_id), "{what}");
        assert_eq!(first.label.as_deref(), Some("a phone"), "{what}");
        assert_eq!(second.label, None, "{what}");
        assert!((start..=phone_made).contains(&first.created), "{what}");
        assert!(
            (laptop_start..=laptop_made).contains(&second.created),
            "{what}"
        );
        // The visit of the phone was a touch.
        assert!((laptop_made..=seen).contains(&first.last_seen), "{what}");
        assert!(!first.current && !second.current, "{what}: no request asks");
    }
}

#[tokio::test]
async fn s26_only_the_owner_revokes_a_session() {
    for driver in drivers().await {
        let what = driver.name();
        let layer = driver.layer();
        let (mut own, own_id) = signed_in(&layer, 1).await;
        let (mut foreign, foreign_id) = signed_in(&layer, 2).await;
        let sessions = layer.sessions();
        let revoke = async |customer, id| {
            let revoked = sessions.of(Plain::CUSTOMER, &customer).revoke(&id).await;
            revoked.unwrap()
        };
        let unknown = SessionId::generate().unwrap();
        for (customer, id) in [(1, foreign_id), (2, own_id), (1, unknown), (12, own_id)] {
            assert!(!revoke(customer, id).await, "{what}: not found");
        }
        assert_eq!(
            (cart(&mut own).await, cart(&mut foreign).await),
            (1, 2),
            "{what}"
        );
        assert!(revoke(2, foreign_id).await, "{what}");
        assert_eq!(
            (cart(&mut own).await, cart(&mut foreign).await),
            (1, 0),
            "{what}"
        );
        assert!(!revoke(2, foreign_id).await, "{what}: it is gone");
    }
}

#[tokio::test]
async fn s25_revoking_the_others_leaves_exactly_the_current_one() {
    for driver in drivers().await {
        let what = driver.name();
        let layer = driver.layer();
        let mut devices = Vec::new();
        for _ in 0..5 {
            devices.push(signed_in(&layer, 1).await);
        }
        let (mut stranger, _) = signed_in(&layer, 2).await;
        let (mut own, own_id) = devices.swap_remove(2);
        let page = |session: Session<Plain>, sessions: Sessions| async move {
            let customer = session.customer.unwrap();
            let ended = sessions
                .of(Plain::CUSTOMER, &customer)
                .revoke_others()
                .await?;
            Ok::<_, SessionError>(ended.to_string())
        };
        assert_eq!(own.visit(page).await.body, "4", "{what}");
        let listed = layer
            .sessions()
            .of(Plain::CUSTOMER, &1)
            .list()
            .await
            .unwrap();
        let listed: BTreeSet<_> = listed.into_iter().map(|info| info.id).collect();
        assert_eq!(listed, BTreeSet::from([own_id]), "{what}");
        assert_eq!(cart(&mut own).await, 1, "{what}");
        for (device, id) in &mut devices {
            assert_eq!(cart(device).await, 0, "{what}");
            assert!(driver.look(id).await.is_none(), "{what}");
        }
        assert_eq!(cart(&mut stranger).await, 2, "{what}");
    }
}

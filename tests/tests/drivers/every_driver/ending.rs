//! A session that was ended leaves nothing behind.

use session_runtime::store::Count;
use session_runtime::{Session, SessionError, SessionStore};
use tests::drivers::drivers;
use tests::secrets::contains;
use tests::visitor::Visitor;

use super::{Shop, destroy, sealing};

const VALUES: [&str; 3] = ["a note to find", "724563", "12 Main Street"];

#[tokio::test]
async fn s23_after_destroy_no_value_remains() {
    for driver in drivers().await {
        let what = driver.name();
        let layer = sealing(&driver, [1]);
        let empty = driver.contents();
        for way in ["destroy", "revoke", "destroy at once"] {
            let mut visitor = Visitor::new(&layer);
            let fill = |mut session: Session<Shop>| async move {
                let [note, otp, address] = VALUES.map(str::to_owned);
                (session.note, session.otp, session.address) = (note, Some(otp), Some(address));
                session.customer = Some(7);
                session.set_label("a label to find");
                session.save().await?;
                Ok::<_, SessionError>(session.id().unwrap().to_string())
            };
            let id = visitor.visit(fill).await.body;
            let before = driver.contents();
            // Memory shows nothing; elsewhere the search finds what is there.
            let is_shown = driver.server().is_some() || driver.folder().is_some();
            for value in [VALUES[0], VALUES[1], "a label to find"] {
                assert_eq!(
                    contains(&before, value.as_bytes()),
                    is_shown,
                    "{what}: {value}"
                );
            }
            assert!(!contains(&before, VALUES[2].as_bytes()), "{what}: sealed");

            match way {
                "destroy" => drop(destroy(&mut visitor).await),
                "revoke" => {
                    let revoked = layer.sessions().of(Shop::CUSTOMER, &7).revoke_all().await;
                    assert_eq!(revoked.unwrap(), 1, "{what}");
                }
                _ => {
                    let page = |session: Session<Shop>| async move { session.destroy_now().await };
                    assert!(visitor.visit(page).await.status.is_success(), "{what}");
                }
            }
            let after = driver.contents();
            for value in VALUES.into_iter().chain(["a label to find", &id]) {
                assert!(
                    !contains(&after, value.as_bytes()),
                    "{what}, {way}: {value}"
                );
            }
            assert!(driver.look(&id.parse().unwrap()).await.is_none(), "{what}");
            let listed = layer
                .sessions()
                .of(Shop::CUSTOMER, &7)
                .list()
                .await
                .unwrap();
            assert!(listed.is_empty(), "{what}, {way}");
            if driver.server().is_some() {
                assert!(after == empty, "{what}, {way}: the server is as before");
            } else {
                assert_eq!(driver.store().len().await.unwrap(), Count::Exact(0));
            }
        }
    }
}

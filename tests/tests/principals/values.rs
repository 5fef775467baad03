//! Which values and which fields can be a principal.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use session_runtime::{ConfigError, Session, SessionError};
use tests::visitor::Visitor;

use crate::{Shop, site};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    tenant: String,
    number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Who {
    Guest,
    Member { name: String },
    Robot(u8, String),
}

#[derive(Session, Default)]
struct Keys {
    #[session(principal)]
    text: Option<String>,
}

#[derive(Session, Default)]
struct Accounts {
    #[session(principal, codec = session_runtime::Postcard)]
    account: Option<Account>,
}

#[derive(Session, Default)]
struct Whose {
    #[session(principal)]
    who: Option<Who>,
}

#[tokio::test]
async fn any_value_is_a_principal() {
    let (layer, _, _) = site();
    let sessions = layer.sessions();
    let texts = [
        "",
        "*",
        "?",
        "[a-z]",
        "a:b",
        "a\0b",
        "\0",
        "null",
        "\"quoted\"",
        "Zoë 🦀 \u{202e}",
        "\r\n$1\r\n",
        "{slot}",
        "../../etc/passwd",
        &"x".repeat(60_000),
    ];
    for text in texts {
        let text = text.to_owned();
        let page = move |mut session: Session<Keys>| async move { session.text = Some(text) };
        let answer = Visitor::new(&layer).visit(page).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    for text in texts {
        let found = sessions
            .of(Keys::TEXT, &text.to_owned())
            .list()
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{text:.20}");
    }

    let account = |tenant: &str, number| Account {
        tenant: tenant.to_owned(),
        number,
    };
    let accounts = [account("a", 1), account("a", 2), account("", 1)];
    for account in accounts.clone() {
        let page =
            move |mut session: Session<Accounts>| async move { session.account = Some(account) };
        Visitor::new(&layer).visit(page).await;
    }
    for account in &accounts {
        assert_eq!(
            sessions
                .of(Accounts::ACCOUNT, account)
                .revoke_all()
                .await
                .unwrap(),
            1
        );
    }

    let member = |name: &str| Who::Member {
        name: name.to_owned(),
    };
    let everybody = [Who::Guest, member("Guest"), Who::Robot(1, "Guest".into())];
    for who in everybody.clone() {
        let page = move |mut session: Session<Whose>| async move { session.who = Some(who) };
        Visitor::new(&layer).visit(page).await;
    }
    for who in &everybody {
        assert_eq!(
            sessions.of(Whose::WHO, who).list().await.unwrap().len(),
            1,
            "{who:?}"
        );
    }
}

#[tokio::test]
async fn a_field_that_is_no_principal_is_refused() {
    let (layer, _, _) = site();
    let refused = layer
        .sessions()
        .of(Shop::VISITS, &"7".to_owned())
        .revoke_all()
        .await;
    let expected = ConfigError::NotPrincipal {
        field: "shop.visits",
    };
    assert!(matches!(refused, Err(SessionError::Config(error)) if error == expected));
}

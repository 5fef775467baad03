//! The customers, and the page of the one who is signed in.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_runtime::{ReadSession, Session};

use crate::App;
use crate::page::{Page, render};
use crate::session::{CustomerId, Shop};

/// The customers of the demonstration: name and password.
const DEMO: [(&str, &str); 2] = [("ada", "lovelace"), ("grace", "hopper")];

/// Customers and the hashes of their passwords. The id is the place in the list.
pub(crate) struct Accounts {
    customers: Vec<Customer>,
}

struct Customer {
    name: &'static str,
    password_hash: Arc<str>,
}

impl Accounts {
    pub(crate) fn demo() -> Result<Self, password_hash::Error> {
        let mut customers = Vec::new();
        for (name, password) in DEMO {
            let hash = Argon2::default().hash_password(password.as_bytes())?;
            customers.push(Customer {
                name,
                password_hash: hash.to_string().into(),
            });
        }
        Ok(Self { customers })
    }

    pub(crate) fn hint() -> String {
        let accounts = DEMO.map(|(name, password)| format!("{name} / {password}"));
        accounts.join(" or ")
    }

    pub(crate) fn name(&self, customer: CustomerId) -> &'static str {
        let customer = self.customers.get(customer as usize);
        customer.map_or("somebody", |customer| customer.name)
    }

    /// The customer with this name and password. An unknown name takes as long, so that the time
    /// does not tell which names exist.
    pub(crate) async fn check(&self, name: &str, password: String) -> Option<CustomerId> {
        let found = self
            .customers
            .iter()
            .position(|customer| customer.name == name);
        let hash = self.customers[found.unwrap_or(0)].password_hash.clone();
        // Hashing a password takes long on purpose; other requests must not wait for it.
        let verified = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash)?;
            Argon2::default().verify_password(password.as_bytes(), &hash)
        });
        let verified = matches!(verified.await, Ok(Ok(())));
        let customer = found.filter(|_| verified)?;
        CustomerId::try_from(customer).ok()
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account<'a> {
    page: Page,
    name: &'a str,
    address: &'a str,
}

pub(crate) async fn show(State(app): State<App>, session: ReadSession<Shop>) -> Response {
    let Some(customer) = session.customer else {
        return Redirect::to("/sign-in").into_response();
    };
    render(&Account {
        page: Page::of(&session),
        name: app.accounts.name(customer),
        address: session.address.as_deref().unwrap_or_default(),
    })
}

#[derive(Deserialize)]
pub(crate) struct Address {
    address: String,
}

pub(crate) async fn save_address(
    mut session: Session<Shop>,
    Form(Address { address }): Form<Address>,
) -> Redirect {
    if session.customer.is_none() {
        return Redirect::to("/sign-in");
    }
    session.address = Some(address.trim().to_owned()).filter(|address| !address.is_empty());
    Redirect::to("/account")
}

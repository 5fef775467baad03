//! Users and passwords that the application is asked for at each connection.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use redis::RedisConnectionInfo;

use super::error::Failure;

/// The user and the password for one connection, as the closure of
/// [`RedisStoreBuilder::credentials`](super::RedisStoreBuilder::credentials) answers them.
///
/// `Debug` shows neither.
#[derive(Clone)]
pub struct RedisCredentials {
    user: String,
    password: String,
}

impl RedisCredentials {
    /// A user and its password. The user of a server that knows only a password is `default`.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }
}

impl fmt::Debug for RedisCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisCredentials(redacted)")
    }
}

/// The error of the application.
pub(super) type ProviderError = Box<dyn Error + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<RedisCredentials, ProviderError>> + Send>>;

/// The application's closure.
#[derive(Clone)]
pub(super) struct Provider(Arc<dyn Fn() -> Answer + Send + Sync>);

impl Provider {
    pub(super) fn new<F, A>(provider: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<RedisCredentials, ProviderError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(provider())))
    }

    /// The settings of a connection, with the user and the password of this moment.
    pub(super) async fn apply(
        &self,
        settings: RedisConnectionInfo,
    ) -> Result<RedisConnectionInfo, Failure> {
        let answer = (self.0)().await;
        let credentials = answer.map_err(|error| Failure::NoCredentials(error.into()))?;
        let RedisCredentials { user, password } = credentials;
        if user.is_empty() || password.is_empty() {
            let error = ProviderError::from("the user name or the password is empty");
            return Err(Failure::NoCredentials(error.into()));
        }
        Ok(settings.set_username(user).set_password(password))
    }
}

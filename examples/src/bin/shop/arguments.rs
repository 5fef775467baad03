//! The command line.

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use session_runtime::{FileStore, Key, MemoryStore, RedisStore, SessionStore};

/// A small web shop that shows what sessions can do.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Where sessions are kept: `memory`, `file:FOLDER` or `redis://HOST:PORT`.
    #[arg(long, default_value = "memory")]
    pub(crate) store: Store,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,
    /// How long a one-time code is good.
    #[arg(long, default_value = "2m", value_parser = some_time)]
    pub(crate) code_ttl: Duration,
    /// 32 bytes in base64 that seal delivery addresses; random unless given, so that a restart
    /// forgets them.
    #[arg(long, env = "SESSION_KEY", hide_env_values = true)]
    key: Option<String>,
}

impl Arguments {
    pub(crate) fn keys(&self) -> Result<[Key; 1], Box<dyn Error>> {
        let key = match &self.key {
            Some(key) => Key::from_base64(key)?,
            None => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes)?;
                Key::from(bytes)
            }
        };
        Ok([key])
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() {
        return Err("a code must be good for some time".to_owned());
    }
    Ok(time)
}

/// Where sessions are kept.
#[derive(Clone)]
pub(crate) enum Store {
    Memory,
    File(PathBuf),
    Redis(String),
}

#[derive(Debug, thiserror::Error)]
#[error("unknown store, expected `memory`, `file:FOLDER` or `redis://HOST:PORT`")]
pub(crate) struct UnknownStore;

impl FromStr for Store {
    type Err = UnknownStore;

    fn from_str(text: &str) -> Result<Self, UnknownStore> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("file", folder)) if !folder.is_empty() => Ok(Self::File(folder.into())),
            Some(("redis" | "rediss", _)) => Ok(Self::Redis(text.to_owned())),
            _ => Err(UnknownStore),
        }
    }
}

impl Store {
    pub(crate) async fn open(&self) -> Result<Arc<dyn SessionStore>, Box<dyn Error>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::File(folder) => Arc::new(FileStore::open(folder)?),
            Self::Redis(url) => Arc::new(RedisStore::connect(url).await?),
        })
    }
}

//! From the settings to the server, the Cluster or the Sentinels that they name.

use redis::{ConnectionInfo, RedisConnectionInfo};

use super::{RedisStoreBuilder, Servers};
use crate::store::redis::address::{connection_info, names_database};
#[cfg(feature = "redis-tls")]
use crate::store::redis::certificates::Certificates;
#[cfg(feature = "redis-cluster")]
use crate::store::redis::cluster::Cluster;
use crate::store::redis::connect_error::RedisConnectError;
use crate::store::redis::endpoint::{Endpoint, Server};

impl RedisStoreBuilder {
    /// Where connections lead. Refuses settings that do not go together with it.
    pub(super) fn endpoint(mut self) -> Result<Endpoint, RedisConnectError> {
        let servers = std::mem::replace(&mut self.servers, Servers::Unset);
        match servers {
            Servers::Unset => Err(RedisConnectError::NoServer),
            Servers::Given(endpoint) => self.given(endpoint),
            Servers::Url(url) => self.one_server(&url),
            #[cfg(feature = "redis-cluster")]
            Servers::Cluster(urls) => self.cluster_of(&urls),
            #[cfg(feature = "redis-sentinel")]
            Servers::Sentinel { master, sentinels } => self.behind_sentinels(master, &sentinels),
        }
    }

    #[cfg(feature = "redis-tls")]
    fn certificates(&self) -> Certificates {
        Certificates::new(
            self.root_certificates.clone(),
            self.client_certificate.clone(),
        )
    }

    fn given(self, endpoint: Endpoint) -> Result<Endpoint, RedisConnectError> {
        #[cfg(feature = "redis-tls")]
        self.certificates().refuse_without_tls()?;
        if self.connections.is_some() {
            return Err(RedisConnectError::Contradiction(
                "`connections` contradicts `connection`: the application made one, and the store opens none",
            ));
        }
        match (self.user, self.database, self.credentials) {
            (None, None, None) => Ok(endpoint),
            _ => Err(RedisConnectError::Contradiction(
                "a connection that the application made already has its user and database; set them there instead of with `user`, `credentials` and `database`",
            )),
        }
    }

    fn one_server(self, url: &str) -> Result<Endpoint, RedisConnectError> {
        #[cfg(feature = "redis-tls")]
        let tls = self.certificates();
        let info = self.server_at(url)?;
        #[cfg(feature = "redis-tls")]
        let client = if crate::store::redis::address::is_tls(&info) {
            redis::Client::build_with_tls(info, tls.for_library()?)
        } else {
            tls.refuse_without_tls()?;
            redis::Client::open(info)
        };
        #[cfg(not(feature = "redis-tls"))]
        let client = redis::Client::open(info);
        let client = client.map_err(|_| RedisConnectError::InvalidSettings)?;
        Ok(Endpoint::Server(Box::new(Server {
            info: client.get_connection_info().clone(),
            credentials: self.credentials,
        })))
    }

    #[cfg(feature = "redis-cluster")]
    fn cluster_of(self, urls: &[String]) -> Result<Endpoint, RedisConnectError> {
        #[cfg(feature = "redis-tls")]
        let tls = self.certificates();
        let nodes = urls
            .iter()
            .map(|url| self.server_at(url))
            .collect::<Result<Vec<_>, _>>()?;
        let first = nodes.first().ok_or(RedisConnectError::NoServer)?;
        let settings = first.redis_settings().clone();
        refuse_sockets(&nodes, "a Cluster's nodes are reached by host and port")?;
        if nodes.iter().any(|node| node.redis_settings().db() != 0) {
            return Err(RedisConnectError::Contradiction(
                "a Cluster has no databases but 0",
            ));
        }
        let is_same = |node: &ConnectionInfo| {
            let node = node.redis_settings();
            (node.username(), node.password(), node.protocol())
                == (
                    settings.username(),
                    settings.password(),
                    settings.protocol(),
                )
        };
        if !nodes.iter().all(is_same) {
            return Err(RedisConnectError::Contradiction(
                "the URLs of a Cluster's nodes name different users, passwords or protocols; all nodes have the same",
            ));
        }
        let deadlines = self.deadlines.bounded();
        let cluster = Cluster {
            #[cfg(feature = "redis-tls")]
            tls: match tls.is_for_all(&nodes)? {
                true => Some(tls.for_library()?),
                false => None,
            },
            nodes,
            settings,
            credentials: self.credentials,
            connect_deadline: deadlines.connect,
            command_deadline: deadlines.command,
        };
        cluster
            .client(&cluster.settings)
            .map_err(|_| RedisConnectError::InvalidSettings)?;
        Ok(Endpoint::Cluster(Box::new(cluster)))
    }

    #[cfg(feature = "redis-sentinel")]
    fn behind_sentinels(
        self,
        master: String,
        sentinels: &[String],
    ) -> Result<Endpoint, RedisConnectError> {
        #[cfg(feature = "redis-tls")]
        let tls = self.certificates();
        if master.is_empty() {
            return Err(RedisConnectError::Empty {
                setting: "sentinel",
                what: "a master's name",
                expected: "the one of `sentinel monitor` in the Sentinels' configuration",
            });
        }
        let sentinels = sentinels
            .iter()
            .map(|url| connection_info(url))
            .collect::<Result<Vec<_>, _>>()?;
        let first = sentinels.first().ok_or(RedisConnectError::NoServer)?;
        let protocol = first.redis_settings().protocol();
        refuse_sockets(&sentinels, "Sentinels are reached by host and port")?;
        if sentinels.iter().any(|info| info.redis_settings().db() != 0) {
            return Err(RedisConnectError::Contradiction(
                "a Sentinel has no databases; the master's is set with `database`",
            ));
        }
        let speaks = |info: &ConnectionInfo| info.redis_settings().protocol() == protocol;
        if !sentinels.iter().all(speaks) {
            return Err(RedisConnectError::Contradiction(
                "the Sentinels' URLs name different protocols; the master is spoken to as they are",
            ));
        }
        let mut master_settings = RedisConnectionInfo::default()
            .set_protocol(protocol)
            .set_skip_set_lib_name();
        if let Some(number) = self.database {
            master_settings = master_settings.set_db(number);
        }
        if let Some((name, password)) = self.user {
            master_settings = master_settings.set_username(name).set_password(password);
        }
        #[cfg(feature = "redis-tls")]
        let (sentinels, tls) = match tls.is_for_all(&sentinels)? {
            true => {
                let certificates = tls.for_library()?;
                let known = sentinels.into_iter().map(|info| {
                    let client = redis::Client::build_with_tls(info, certificates.clone());
                    client.map(|client| client.get_connection_info().clone())
                });
                let known: Result<Vec<_>, _> = known.collect();
                let known = known.map_err(|_| RedisConnectError::InvalidSettings)?;
                (known, Some(certificates))
            }
            false => (sentinels, None),
        };
        Ok(Endpoint::Sentinel(Box::new(
            crate::store::redis::sentinel::Sentinel {
                master,
                sentinels,
                master_settings,
                credentials: self.credentials,
                #[cfg(feature = "redis-tls")]
                tls,
                first: std::sync::atomic::AtomicUsize::new(0),
            },
        )))
    }

    /// A server of a URL, with the user and the database that were set beside it.
    fn server_at(&self, url: &str) -> Result<ConnectionInfo, RedisConnectError> {
        let info = connection_info(url)?;
        let mut settings: RedisConnectionInfo = info.redis_settings().clone();
        if settings.password().is_some() && self.credentials.is_some() {
            return Err(RedisConnectError::Contradiction(
                "the URL and `credentials` both name a user or a password",
            ));
        }
        if let Some((name, password)) = &self.user {
            if settings.password().is_some() {
                return Err(RedisConnectError::Contradiction(
                    "the URL and `user` both name a user or a password",
                ));
            }
            settings = settings.set_username(name).set_password(password);
        }
        if let Some(number) = self.database {
            if names_database(url) && settings.db() != number {
                return Err(RedisConnectError::Contradiction(
                    "the URL and `database` name different databases",
                ));
            }
            settings = settings.set_db(number);
        }
        Ok(info.set_redis_settings(settings))
    }
}

#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
fn refuse_sockets(
    servers: &[ConnectionInfo],
    problem: &'static str,
) -> Result<(), RedisConnectError> {
    match servers.iter().any(crate::store::redis::address::is_socket) {
        true => Err(RedisConnectError::Contradiction(problem)),
        false => Ok(()),
    }
}

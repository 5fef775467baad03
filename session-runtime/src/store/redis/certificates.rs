//! The certificates of encrypted connections.

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::connect_error::RedisConnectError;

/// Certificates as PEM, as they were given.
pub(super) struct Certificates {
    root: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    pub(super) fn new(root: Option<Vec<u8>>, client: Option<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { root, client }
    }

    /// Refuses certificates for servers that are reached without encryption.
    pub(super) fn refuse_without_tls(&self) -> Result<(), RedisConnectError> {
        match (&self.root, &self.client) {
            (None, None) => Ok(()),
            _ => Err(RedisConnectError::Contradiction(
                "certificates are set, but the connection is not encrypted; URLs begin with `rediss:` where it is",
            )),
        }
    }

    /// Whether these servers are reached over TLS: all of them or none.
    #[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
    pub(super) fn is_for_all(
        &self,
        servers: &[redis::ConnectionInfo],
    ) -> Result<bool, RedisConnectError> {
        use super::address::is_tls;
        if servers.iter().all(is_tls) {
            return Ok(true);
        }
        if servers.iter().any(is_tls) {
            return Err(RedisConnectError::Contradiction(
                "some URLs begin with `redis:` and some with `rediss:`",
            ));
        }
        self.refuse_without_tls()?;
        Ok(false)
    }

    /// As the client library takes them. They are checked before: the library would ignore, or report
    /// without a name, what it cannot read.
    pub(super) fn for_library(&self) -> Result<TlsCertificates, RedisConnectError> {
        if let Some(root) = &self.root {
            let mut store = RootCertStore::empty();
            for certificate in certificates(root, "root certificates")? {
                store
                    .add(certificate)
                    .map_err(|_| RedisConnectError::InvalidCertificate("root certificates"))?;
            }
        }
        if let Some((certificate, key)) = &self.client {
            check_client(certificate, key)?;
        }
        // Without a default the client library panics where several providers are compiled in.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails when another thread was faster, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = self.client.clone();
        Ok(TlsCertificates {
            client_tls: client.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.root.clone(),
        })
    }
}

/// The certificates of a PEM text, at least one.
fn certificates(
    pem: &[u8],
    name: &'static str,
) -> Result<Vec<CertificateDer<'static>>, RedisConnectError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(RedisConnectError::InvalidCertificate(name)),
    }
}

/// Refuses a client's certificate that cannot be read, and a key that is not that of the certificate.
fn check_client(certificate: &[u8], key: &[u8]) -> Result<(), RedisConnectError> {
    let unreadable = RedisConnectError::InvalidCertificate;
    let chain = certificates(certificate, "client certificate")?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| unreadable("client certificate's key"))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| unreadable("client certificate's key"))?;
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(Error::InconsistentKeys(_)) => Err(RedisConnectError::OtherKey),
        Err(_) => Err(unreadable("client certificate")),
    }
}

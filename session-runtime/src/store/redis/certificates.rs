//! The certificates of encrypted connections.

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::connect_error::RedisConnectError;

/// Certificates as PEM that can be read.
pub(super) struct Certificates {
    root: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// Checks them: the client library would ignore, or report without a name, what it cannot read.
    pub(super) fn new(
        root: Option<Vec<u8>>,
        client: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, RedisConnectError> {
        if let Some(root) = &root {
            check(root, "root certificates")?;
        }
        if let Some((certificate, key)) = &client {
            check(certificate, "client certificate")?;
            PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| RedisConnectError::InvalidCertificate("client certificate's key"))?;
        }
        Ok(Self { root, client })
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

    /// As the client library takes them.
    pub(super) fn for_library(&self) -> TlsCertificates {
        // Without a default the client library panics where several providers are compiled in.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails when another thread was faster, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = self.client.clone();
        TlsCertificates {
            client_tls: client.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.root.clone(),
        }
    }
}

/// Whether this is PEM with at least one certificate.
fn check(pem: &[u8], name: &'static str) -> Result<(), RedisConnectError> {
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        return Err(RedisConnectError::InvalidCertificate(name));
    }
    Ok(())
}

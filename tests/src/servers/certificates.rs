//! Certificates for servers and clients, from an authority made for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};

/// What is wrong with the certificate of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// It is for another host.
    OtherName,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
}

/// An authority, and what it certified: a server on this machine, and a client.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes new ones and writes them into the folder.
    pub(super) fn create(folder: &Path, flaw: Flaw) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let certificates = Self {
            folder: folder.to_owned(),
        };
        certificates.write("authority.crt", &authority.pem());
        for name in ["server", "client"] {
            let flaw = if name == "server" { flaw } else { Flaw::None };
            let names = match flaw {
                Flaw::OtherName => vec!["other.example".to_owned()],
                _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            };
            let mut params = CertificateParams::new(names).expect("valid names");
            match flaw {
                Flaw::Expired => params.not_after = date_time_ymd(2001, 1, 1),
                Flaw::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
                Flaw::None | Flaw::OtherName => {}
            }
            // Its own name: to OpenSSL a certificate named like its issuer is its own issuer.
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            certificates.write(&format!("{name}.crt"), &certificate.pem());
            certificates.write(&format!("{name}.key"), &key.serialize_pem());
        }
        certificates
    }

    /// The authority's certificate, as PEM.
    pub fn authority(&self) -> Vec<u8> {
        self.read("authority.crt")
    }

    /// The client's certificate, as PEM.
    pub fn client(&self) -> Vec<u8> {
        self.read("client.crt")
    }

    /// The client's private key, as PEM.
    pub fn client_key(&self) -> Vec<u8> {
        self.read("client.key")
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    pub(super) fn server_file(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub(super) fn server_key_file(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("the folder is writable");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).expect("written when it was created")
    }
}

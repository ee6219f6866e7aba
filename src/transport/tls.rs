//! TLS by rustls: certificates from files to what a connection is opened with, on either side.
//!
//! The cryptography is *ring*. A client trusts the files that it is given, else the system's
//! store (`rustls-native-certs`): what the operator's distribution keeps up to date and where a
//! company's own authority is put, where roots that are built in would grow old with the binary.
//!
//! Must not know: trunks, SIP.

mod pinned;
mod watched;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use self::pinned::Pinned;
use crate::base::{ListenerId, PeerIdentity};

/// No file of certificates is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Identities that are known at once; more than any configuration has trunks and hosts. Those of
/// older configurations are kept, for calls that still use them, as long as there is room.
const MAX_IDENTITIES: usize = 16_384;

/// The files of a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerFiles {
    /// The chain, our own certificate first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who must have signed the peer's certificate; absent: peers need none.
    pub client_ca: Option<PathBuf>,
}

pub use watched::{Seen, Watched};

/// The files of a trunk, and what they are for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientFiles {
    /// Who must have signed the peer's certificate; absent: any of the system's authorities.
    pub ca: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// False: whoever answers is believed.
    pub verify: bool,
}

/// Why files are of no use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFault {
    /// Which of the files: the key of the configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub cure: &'static str,
}

/// What a listener shows.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    fingerprint: [u8; 32],
    /// A file that others may read, and none but us should.
    pub exposed_key: bool,
    /// When the first certificate of the chain to end does, in seconds since 1970; absent: it cannot be read.
    pub expires: Option<i64>,
}

/// What a trunk is shown, and how it is verified.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
    fingerprint: [u8; 32],
    /// As in [`ServerTls`].
    pub exposed_key: bool,
    /// As in [`ServerTls`]; absent as well where we have no certificate.
    pub expires: Option<i64>,
}

impl ServerTls {
    /// Reads a listener's files.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(files: &ServerFiles) -> Result<ServerTls, TlsFault> {
        let mut fingerprint = Sha256::new();
        let (chain, key) = own_certificate(&files.certificate, &files.key, &mut fingerprint)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("certificate", &error))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let (roots, pins) = roots("client_ca", path, &mut fingerprint)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
                let verifier = verifier.map_err(|error| unusable("client_ca", &error))?;
                builder.with_client_cert_verifier(Arc::new(Pinned::new(pins, verifier)))
            }
        };
        let expires = expiry(&chain);
        let config = builder.with_single_cert(chain, key).map_err(|error| mismatch(&error))?;
        let (exposed_key, fingerprint) = (is_exposed(&files.key), fingerprint.finalize().into());
        Ok(ServerTls { config: Arc::new(config), fingerprint, exposed_key, expires })
    }
}

impl ClientTls {
    /// Reads a trunk's files.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(files: &ClientFiles) -> Result<ClientTls, TlsFault> {
        let mut fingerprint = Sha256::new();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("ca", &error))?;
        let verifier: Arc<dyn ServerCertVerifier> = match &files.ca {
            _ if !files.verify => Arc::new(BelieveAnybody(provider())),
            Some(path) => verifier(roots("ca", path, &mut fingerprint)?)?,
            None => verifier((system_roots()?, Vec::new()))?,
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::clone(&verifier));
        let (config, exposed_key, expires) = match &files.own {
            None => (builder.with_no_client_auth(), false, None),
            Some((certificate, key_path)) => {
                let (chain, key) = own_certificate(certificate, key_path, &mut fingerprint)?;
                let expires = expiry(&chain);
                let config = builder.with_client_auth_cert(chain, key).map_err(|error| mismatch(&error))?;
                (config, is_exposed(key_path), expires)
            }
        };
        let fingerprint = fingerprint.finalize().into();
        Ok(ClientTls { config: Arc::new(config), verifier, fingerprint, exposed_key, expires })
    }
}

/// Whether the name can stand in a certificate.
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Everything that connections are opened with.
#[derive(Clone, Default, Debug)]
pub struct TlsMaterial {
    /// By listener.
    pub servers: HashMap<ListenerId, ServerTls>,
    /// With the name that the peer's certificate must have.
    pub clients: HashMap<PeerIdentity, (ClientTls, String)>,
}

impl TlsMaterial {
    pub(super) fn replace(&mut self, new: TlsMaterial) {
        self.servers = new.servers;
        if self.clients.len() + new.clients.len() > MAX_IDENTITIES {
            self.clients.clear();
        }
        self.clients.extend(new.clients);
    }

    pub(super) fn acceptor(&self, listener: ListenerId) -> Option<Acceptor> {
        let server = self.servers.get(&listener)?;
        Some(Acceptor(tokio_rustls::TlsAcceptor::from(Arc::clone(&server.config))))
    }

    pub(super) fn connector(&self, identity: PeerIdentity) -> Option<Connector> {
        let (client, name) = self.clients.get(&identity)?;
        let name = ServerName::try_from(name.clone()).ok()?;
        Some(Connector(tokio_rustls::TlsConnector::from(Arc::clone(&client.config)), name))
    }
}

/// Shakes hands with a peer that has connected.
pub(super) struct Acceptor(tokio_rustls::TlsAcceptor);

impl Acceptor {
    pub(super) async fn accept(
        self,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

/// Shakes hands with a peer that we have connected to.
pub(super) struct Connector(tokio_rustls::TlsConnector, ServerName<'static>);

impl Connector {
    pub(super) async fn connect(
        self,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        self.0.connect(self.1, stream).await
    }
}

// Two are the same if their files were.
impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl ClientTls {
    /// For a connection that is no SIP.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for ServerTls {}
impl Eq for ClientTls {}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTls({})", short(&self.fingerprint))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientTls({})", short(&self.fingerprint))
    }
}

fn short(fingerprint: &[u8; 32]) -> String {
    fingerprint.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn own_certificate(
    certificate: &Path,
    key: &Path,
    fingerprint: &mut Sha256,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsFault> {
    let chain = certificates("certificate", certificate, fingerprint)?;
    let pem = read("key", key, fingerprint)?;
    // The error of the parser could quote the key.
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsFault {
        key: "key",
        message: format!("{} holds no private key", key.display()),
        cure: "write the path of a PEM file with a PKCS#8, PKCS#1 or SEC1 key that has no passphrase",
    })?;
    Ok((chain, key))
}

/// When the first of a chain ends, in seconds since 1970.
fn expiry(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let end = |certificate: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(certificate.validity().not_after.timestamp())
    };
    chain.iter().filter_map(end).min()
}

fn certificates(
    key: &'static str,
    path: &Path,
    fingerprint: &mut Sha256,
) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = read(key, path, fingerprint)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(TlsFault {
            key,
            message: format!("{} holds no certificate", path.display()),
            cure: "write the path of a PEM file that begins with -----BEGIN CERTIFICATE-----",
        }),
    }
}

/// Authorities, and the certificates that are trusted by themselves.
type Trusted = (RootCertStore, Vec<CertificateDer<'static>>);

fn roots(key: &'static str, path: &Path, fingerprint: &mut Sha256) -> Result<Trusted, TlsFault> {
    let mut store = RootCertStore::empty();
    let certificates = certificates(key, path, fingerprint)?;
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| TlsFault {
            key,
            message: format!("{}: {error}", path.display()),
            cure: "write the path of a PEM file with the certificates of the authorities",
        })?;
    }
    Ok((store, certificates))
}

/// Verifies against these, and nothing else.
fn verifier((roots, pins): Trusted) -> Result<Arc<dyn ServerCertVerifier>, TlsFault> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    Ok(Arc::new(Pinned::new(pins, verifier.map_err(|error| unusable("ca", &error))?)))
}

/// What of the system's store can be read; one odd certificate in it spoils no other.
fn system_roots() -> Result<RootCertStore, TlsFault> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err(TlsFault {
            key: "ca",
            message: "the system knows no certificate authority".to_owned(),
            cure: "install the package ca-certificates, or write ca = \"/path/to/ca.pem\"",
        });
    }
    Ok(store)
}

fn read(key: &'static str, path: &Path, fingerprint: &mut Sha256) -> Result<Vec<u8>, TlsFault> {
    let fault = |reason: String| TlsFault {
        key,
        message: format!("{} cannot be read: {reason}", path.display()),
        cure: "write the path of a file that the user drawbridge may read",
    };
    let metadata = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fault("this is no regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| fault(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(fault(format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    fingerprint.update((bytes.len() as u64).to_be_bytes());
    fingerprint.update(&bytes);
    Ok(bytes)
}

/// Whether everybody on this host may read a key.
fn is_exposed(key: &Path) -> bool {
    std::fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

fn mismatch(error: &rustls::Error) -> TlsFault {
    let (message, cure) = match error {
        rustls::Error::InconsistentKeys(_) => (
            "the key is not that of the certificate".to_owned(),
            "write the key that the first certificate of the chain was made for",
        ),
        other => (other.to_string(), "write another key, of RSA, ECDSA or Ed25519"),
    };
    TlsFault { key: "key", message, cure }
}

fn unusable(key: &'static str, error: &dyn fmt::Display) -> TlsFault {
    TlsFault { key, message: error.to_string(), cure: "write another file" }
}

/// `verify = false`: the peer must have the key of the certificate that it shows, whosever that is.
#[derive(Debug)]
struct BelieveAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(crate) mod tests;

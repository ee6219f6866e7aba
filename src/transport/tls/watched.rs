//! A handshake that is watched: the same as a trunk's, with what the peer showed kept, also when it
//! was refused. For whoever has to say why.
//!
//! Must not know: what people read.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::ClientTls;

/// No more certificates of a peer's chain are kept.
const MAX_CHAIN: usize = 10;

/// What the peer showed, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its certificates in DER, its own first; none if it did not come so far.
    pub chain: Vec<Vec<u8>>,
    /// Why its certificate was refused.
    pub refused: Option<rustls::Error>,
    /// Whether it asked for a certificate of ours.
    pub asked_for_ours: bool,
}

/// A trunk's TLS with a witness. For one handshake.
#[derive(Debug)]
pub struct Watched {
    config: Arc<ClientConfig>,
    seen: Arc<Mutex<Seen>>,
}

impl ClientTls {
    /// The same, watched.
    pub fn watched(&self) -> Watched {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut config = ClientConfig::clone(&self.config);
        // A connection that is resumed shows no certificate.
        config.resumption = Resumption::disabled();
        let witness = Witness { verifier: Arc::clone(&self.verifier), seen: Arc::clone(&seen) };
        config.dangerous().set_certificate_verifier(Arc::new(witness));
        config.client_auth_cert_resolver = Arc::new(OwnCertificate {
            resolver: Arc::clone(&config.client_auth_cert_resolver),
            seen: Arc::clone(&seen),
        });
        Watched { config: Arc::new(config), seen }
    }
}

impl Watched {
    /// Shakes hands.
    ///
    /// # Errors
    /// Of the connection, or of rustls within it; [`Watched::seen`] says more.
    pub async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no name of a certificate"))?;
        tokio_rustls::TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    /// What was seen until now.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes down what the verifier is asked, and what it says.
#[derive(Debug)]
struct Witness {
    verifier: Arc<dyn ServerCertVerifier>,
    seen: Arc<Mutex<Seen>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let chain = std::iter::once(end_entity).chain(intermediates).take(MAX_CHAIN);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.chain = chain.map(|certificate| certificate.to_vec()).collect();
        seen.refused = verdict.as_ref().err().cloned();
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Notes that our certificate was asked for.
#[derive(Debug)]
struct OwnCertificate {
    resolver: Arc<dyn ResolvesClientCert>,
    seen: Arc<Mutex<Seen>>,
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).asked_for_ours = true;
        self.resolver.resolve(root_hint_subjects, sigschemes)
    }

    fn has_certs(&self) -> bool {
        self.resolver.has_certs()
    }
}

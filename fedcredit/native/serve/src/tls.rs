//! Mutual TLS 1.3: what this party shows and whom it believes, replaced while connections go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::identity::{Believed, NotBelieved, Trust};

/// The party's key, its certificate (chain) and its trust, as of now.
#[derive(Debug)]
pub struct Doors {
    provider: Arc<CryptoProvider>,
    trust: Arc<ArcSwap<Trust>>,
    shown: ArcSwap<ServerConfig>,
    changes: AtomicU64,
}

impl Doors {
    /// Opens with a trust (see `Trust::parse`), a certificate chain and its key, both in PEM.
    pub fn new(trust: &str, certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let trust = Arc::new(ArcSwap::from_pointee(Trust::parse(trust, &provider)?));
        let shown = configuration(&provider, &trust, certificate, key)?;
        Ok(Self { provider, trust, shown: ArcSwap::from_pointee(shown), changes: AtomicU64::new(0) })
    }

    /// Shows and believes something else from the next handshake and call on, or nothing else if that cannot be used.
    pub fn replace(&self, trust: &str, certificate: &[u8], key: &[u8]) -> Result<(), String> {
        let fresh = Trust::parse(trust, &self.provider)?;
        let shown = configuration(&self.provider, &self.trust, certificate, key)?;
        self.trust.store(Arc::new(fresh));
        self.shown.store(Arc::new(shown));
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What the next handshake is made with.
    pub fn shown(&self) -> Arc<ServerConfig> {
        self.shown.load_full()
    }

    /// Goes up with every change; who has seen an older number checks its peer again.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The party that showed `leaf`, if it is believed now.
    pub fn check(&self, leaf: &CertificateDer<'_>) -> Result<Believed, NotBelieved> {
        self.trust.load().check(leaf, UnixTime::now())
    }
}

fn configuration(
    provider: &Arc<CryptoProvider>,
    trust: &Arc<ArcSwap<Trust>>,
    certificate: &[u8],
    key: &[u8],
) -> Result<ServerConfig, String> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| "the certificate is not PEM")?;
    // The text of an error about a key is left out, lest it quote it.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the key is not PEM")?;
    let verifier = Arc::new(PartyVerifier { provider: provider.clone(), trust: trust.clone() });
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|_| "the key is not the certificate's")?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Nothing is resumed: every connection shows its certificate anew.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Lets in who shows a party's certificate that is believed at that moment.
#[derive(Debug)]
struct PartyVerifier {
    provider: Arc<CryptoProvider>,
    trust: Arc<ArcSwap<Trust>>,
}

impl ClientCertVerifier for PartyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let found = self.trust.load().check(leaf, now);
        found
            .map(|_| ClientCertVerified::assertion())
            .map_err(|_| CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

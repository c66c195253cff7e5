//! One connection to a server: TCP, mutual TLS 1.3 with a server whose certificate is known, and a conversation over it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, version,
};

use crate::conversation::Conversation;
use crate::headers::CallHeaders;

/// Why no connection came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Nobody listens, or not in time.
    Connect(String),
    /// The handshake failed on either side.
    Handshake(String),
    /// The server ended the connection, or said nothing in time.
    Silence,
    /// Our own key or certificates are none.
    Credentials(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(what) => write!(f, "no connection: {what}"),
            Self::Handshake(what) => write!(f, "the handshake was refused: {what}"),
            Self::Silence => write!(f, "the server ended the connection before its settings"),
            Self::Credentials(what) => write!(f, "the credentials cannot be used: {what}"),
        }
    }
}

/// A server and what we show it.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    headers: Arc<CallHeaders>,
}

impl Target {
    /// `certificate` is the one that the server must show (DER); `chain` and `key` are ours.
    pub fn new(
        address: SocketAddr,
        name: &str,
        certificate: Vec<u8>,
        chain: Vec<Vec<u8>>,
        key: Vec<u8>,
        headers: CallHeaders,
    ) -> Result<Self, Refused> {
        let refuse = |error: &dyn fmt::Display| Refused::Credentials(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::try_from(key).map_err(|error| refuse(&error))?;
        let known = Arc::new(Known { certificate: certificate.into(), provider: provider.clone() });
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| refuse(&error))?
            .dangerous()
            .with_custom_certificate_verifier(known)
            .with_client_auth_cert(chain.into_iter().map(CertificateDer::from).collect(), key)
            .map_err(|error| refuse(&error))?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(name.to_owned()).map_err(|error| refuse(&error))?;
        Ok(Self { address, name, tls: Arc::new(tls), headers: Arc::new(headers) })
    }
}

/// Believes the one certificate that it was given, and asks for the proof of its key.
#[derive(Debug)]
struct Known {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown != self.certificate {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection. `buffer` of its methods is any scratch space; many links share one.
#[derive(Debug)]
pub struct Link<T> {
    pub socket: TcpStream,
    tls: ClientConnection,
    pub talk: Conversation<T>,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

/// The connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

impl<T> Link<T> {
    /// Connects, and returns when the server has sent its settings: with TLS 1.3 a client whose certificate is refused
    /// hears of it only then.
    pub fn open(target: &Target, patience: Duration, buffer: &mut [u8]) -> Result<Self, Refused> {
        let until = Instant::now() + patience;
        let connect = |error: io::Error| Refused::Connect(error.kind().to_string());
        let socket = TcpStream::connect_timeout(&target.address, patience).map_err(connect)?;
        socket.set_nodelay(true).map_err(connect)?;
        let mut tls = ClientConnection::new(target.tls.clone(), target.name.clone())
            .map_err(|error| Refused::Handshake(error.to_string()))?;
        tls.set_buffer_limit(None);
        let talk = Conversation::open(target.headers.clone());
        let mut link = Self { socket, tls, talk, bytes_out: 0, bytes_in: 0 };
        while !link.talk.greeted() {
            link.flush().map_err(|Over| Refused::Silence)?;
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            link.socket.set_read_timeout(Some(left.ok_or(Refused::Silence)?)).map_err(connect)?;
            let n = match link.socket.read(buffer) {
                Ok(n) if n > 0 => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                _ => return Err(Refused::Silence),
            };
            link.take(&buffer[..n]).map_err(|error| error.map_or(Refused::Silence, Refused::Handshake))?;
        }
        link.socket.set_nonblocking(true).map_err(connect)?;
        (link.bytes_in, link.bytes_out) = (0, 0);
        Ok(link)
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        !self.talk.out.is_empty() || self.tls.wants_write()
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> Result<(), Over> {
        if !self.talk.out.is_empty() {
            self.tls.writer().write_all(&self.talk.out).map_err(|_| Over)?;
            self.talk.out.clear();
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(n) => self.bytes_out += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }

    /// Reads what the socket has.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Over> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err(Over),
                Ok(n) => {
                    self.take(&buffer[..n]).map_err(|_| Over)?;
                    if n < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
    }

    /// Takes bytes off the wire. The error says what TLS found wrong, if it was TLS.
    fn take(&mut self, mut wire: &[u8]) -> Result<(), Option<String>> {
        self.bytes_in += wire.len() as u64;
        let mut plain = [0; 16 << 10];
        while !wire.is_empty() {
            self.tls.read_tls(&mut wire).map_err(|_| None)?;
            if let Err(error) = self.tls.process_new_packets() {
                // An alert for the server may be waiting; that it arrives is not needed.
                let _ = self.tls.write_tls(&mut self.socket);
                return Err(Some(error.to_string()));
            }
            loop {
                match self.tls.reader().read(&mut plain) {
                    Ok(0) => return Err(None),
                    Ok(n) => self.talk.take(&plain[..n]).map_err(|_| None)?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Err(None),
                }
            }
        }
        Ok(())
    }
}

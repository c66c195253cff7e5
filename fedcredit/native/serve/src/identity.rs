//! Who is at the other end: the party that a certificate names, believed under that party's own authority and no other.
//!
//! The rules are those of `fedcredit.transport.identity` and `fedcredit.transport.trust`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::consent::is_party;
use crate::question::Caller;

const URI_PREFIX: &str = "fedcredit://party/";
const PARTY_DOMAIN: &str = ".party.fedcredit.internal";

/// Whose certificates are believed at one moment; never changed, only replaced.
pub struct Trust {
    parties: HashMap<String, Pin>,
    for_all: Vec<Authority>,
}

struct Pin {
    authorities: Vec<Authority>,
    not_before: Option<i64>,
}

struct Authority {
    digest: [u8; 32],
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A party that showed its certificate, and until when that is good. Units: seconds since 1970.
#[derive(Debug, Clone)]
pub struct Believed {
    pub caller: Caller,
    pub until: i64,
}

/// Why a certificate is not believed; for the log of the process alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBelieved(pub &'static str);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustText {
    parties: HashMap<String, PinText>,
    #[serde(default)]
    for_all: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinText {
    authorities: Vec<String>,
    not_before: Option<i64>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("parties", &self.parties.len()).finish_non_exhaustive()
    }
}

impl Trust {
    /// The pins in a text: for each party its authorities (DER in base64) and from when on its leaves count.
    pub fn parse(text: &str, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let text: TrustText = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let authorities = |given: &[String]| {
            given.iter().map(|der| Authority::parse(der, provider)).collect::<Result<Vec<_>, String>>()
        };
        let parties = text.parties.iter().map(|(party, pin)| {
            let found = Pin { authorities: authorities(&pin.authorities)?, not_before: pin.not_before };
            Ok((party.clone(), found))
        });
        Ok(Self { parties: parties.collect::<Result<_, String>>()?, for_all: authorities(&text.for_all)? })
    }

    /// The party that shows `leaf`, if its own authority has issued that itself and it is good now.
    pub fn check(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<Believed, NotBelieved> {
        let read = read_party(leaf)?;
        let (authorities, not_before) = match self.parties.get(&read.party) {
            Some(pin) => (&pin.authorities, pin.not_before),
            None => (&self.for_all, None),
        };
        if not_before.is_some_and(|not_before| read.from < not_before) {
            return Err(NotBelieved("TLS_REVOKED"));
        }
        let issued = |authority: &&Authority| authority.verifier.verify_client_cert(leaf, &[], now).is_ok();
        let authority = authorities.iter().find(issued).ok_or(NotBelieved("TLS_WRONG_AUTHORITY"))?;
        let caller = Caller { party: read.party.into(), authority: authority.digest };
        Ok(Believed { caller, until: read.until })
    }
}

impl Authority {
    fn parse(text: &str, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let der = STANDARD.decode(text).map_err(|_| "an authority is not DER in base64")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(der.clone())).map_err(|error| error.to_string())?;
        // An authority's constraints say that it names its own party alone. webpki refuses every leaf under a constraint on
        // URIs; what the constraints would bring is brought by believing an authority for its one party only.
        roots.roots.iter_mut().for_each(|root| root.name_constraints = None);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { digest: Sha256::digest(&der).into(), verifier })
    }
}

struct Leaf {
    party: String,
    from: i64,
    until: i64,
}

/// The party that a leaf names: exactly one, for links, and nothing ambiguous beside it.
fn read_party(der: &CertificateDer<'_>) -> Result<Leaf, NotBelieved> {
    const STRANGE: NotBelieved = NotBelieved("TLS_IDENTITY");
    let (rest, leaf) = X509Certificate::from_der(der).map_err(|_| STRANGE)?;
    let constraints = leaf.basic_constraints().map_err(|_| STRANGE)?.ok_or(STRANGE)?;
    if !rest.is_empty() || constraints.value.ca {
        return Err(STRANGE);
    }
    let uses = leaf.extended_key_usage().map_err(|_| STRANGE)?.ok_or(STRANGE)?.value;
    let others = uses.any || uses.code_signing || uses.email_protection || uses.time_stamping || uses.ocsp_signing;
    if !(uses.client_auth && uses.server_auth) || others || !uses.other.is_empty() {
        return Err(STRANGE);
    }
    let names = leaf.subject_alternative_name().map_err(|_| STRANGE)?.ok_or(STRANGE)?;
    let (mut party, mut hosts) = (None, Vec::new());
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => {
                let named = uri.strip_prefix(URI_PREFIX).filter(|named| is_party(named)).ok_or(STRANGE)?;
                if party.replace(named.to_owned()).is_some() {
                    return Err(STRANGE);
                }
            }
            GeneralName::DNSName(host) if host.contains('*') => return Err(STRANGE),
            GeneralName::DNSName(host) => hosts.push(host.to_lowercase()),
            GeneralName::Invalid(..) => return Err(STRANGE),
            _ => {}
        }
    }
    let party = party.ok_or(STRANGE)?;
    hosts.retain(|host| host.ends_with(PARTY_DOMAIN));
    if hosts != [format!("{party}{PARTY_DOMAIN}")] {
        return Err(STRANGE);
    }
    let dates = leaf.validity();
    Ok(Leaf { party, from: dates.not_before.timestamp(), until: dates.not_after.timestamp() })
}

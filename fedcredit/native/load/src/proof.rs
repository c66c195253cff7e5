//! Whether an answer of verification is what its provider signed: `docs/protocols/verify.md`.
//!
//! The hash of the answer stands in the entry, the entry is under the head, the head is signed, and the answer is to the
//! request that was sent. Single answers and batches have the same fields at the same places.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"fedcredit/v1/audit-head";

type Hash = [u8; 32];

/// A provider and the key that its log is signed with.
#[derive(Debug, Clone)]
pub struct Provider {
    pub name: String,
    /// The name of its log in heads.
    pub origin: String,
    pub key: VerifyingKey,
}

impl Provider {
    /// None if `key` is none.
    pub fn new(name: &str, origin: &str, key: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(key).ok()?;
        Some(Self { name: name.to_owned(), origin: origin.to_owned(), key })
    }

    /// Whether `reply`, a message without the five bytes before it, answers `request` and is proven.
    pub fn proves(&self, request: &[u8], reply: &[u8]) -> bool {
        self.check(request, reply).is_some()
    }

    fn check(&self, request: &[u8], reply: &[u8]) -> Option<()> {
        let reply = fields(reply)?;
        let (answer, proof) = (one(&reply, 1)?, fields(one(&reply, 2)?)?);
        let said = fields(answer)?;
        if one(&said, 1)? != self.name.as_bytes() || one(&said, 2)? != &Sha256::digest(request)[..] {
            return None;
        }
        let entry = one(&proof, 1)?;
        let text = std::str::from_utf8(entry).ok()?;
        let named = format!("\"answer\":\"{}\"", hex(&Sha256::digest(answer)));
        // A caller's words do not get into an entry unescaped, so that this cannot stand within one of them.
        if !text.contains(&named) {
            return None;
        }
        let sequence = u64::from_le_bytes(one(&proof, 2).unwrap_or(&[0; 8]).try_into().ok()?);
        if !text.contains(&format!(",\"sequence\":{sequence},\"time\":")) {
            return None;
        }
        let path: Option<Vec<Hash>> =
            proof.iter().filter(|(n, _)| *n == 3).map(|(_, node)| (*node).try_into().ok()).collect();
        let (size, root) = self.head(one(&proof, 4)?)?;
        (root_of(leaf(entry), sequence, size, &path?)? == root).then_some(())
    }

    /// Size and root of the head in a signed text.
    fn head(&self, text: &[u8]) -> Option<(u64, Hash)> {
        let text = std::str::from_utf8(text).ok()?;
        let (body, signed) = text.split_once("\n\n")?;
        let body = format!("{body}\n");
        let mut lines = body.split('\n');
        if lines.next()? != self.origin {
            return None;
        }
        let size = lines.next()?.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let signature: [u8; 64] = STANDARD.decode(signed.trim_end().rsplit_once(' ')?.1).ok()?.try_into().ok()?;
        let framed = [&(DOMAIN.len() as u16).to_be_bytes()[..], DOMAIN, body.as_bytes()].concat();
        self.key.verify_strict(&framed, &Signature::from_bytes(&signature)).ok()?;
        Some((size, root))
    }
}

/// The root that a leaf and its path lead to: RFC 9162, section 2.1.3.2.
fn root_of(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut found) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            found = node(sibling, &found);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            found = node(&found, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some(found)
}

fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of a message that hold bytes; numbers of 64 bits as their bytes, others are passed over.
fn fields(mut data: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data)?;
        let length = match key & 7 {
            0 => {
                varint(&mut data)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut data)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = data.split_at_checked(length)?;
        found.push((key >> 3, value));
        data = rest;
    }
    Some(found)
}

fn one<'a>(fields: &[(u64, &'a [u8])], number: u64) -> Option<&'a [u8]> {
    let mut of_it = fields.iter().filter(|(n, _)| *n == number);
    let found = of_it.next()?.1;
    of_it.next().is_none().then_some(found)
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

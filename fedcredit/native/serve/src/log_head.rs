//! The signed head of an audit log: the text that `fedcredit.governance.audit.SignedHead` writes, and the file with two
//! places for it.
//!
//! A head is written over the older of two, in a sector of its own, and synced; so a crash leaves the newest head that
//! was acknowledged, and there is neither a rename nor a folder to wait for. Both places always hold a signed head.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::log_tree::Hash;

/// Bytes of one place. A disk writes a sector of 512 whole or not; two places never share a page.
pub const SLOT_BYTES: usize = 4096;
/// Bytes of the file.
pub const HEADS_BYTES: usize = 2 * SLOT_BYTES;

const MAX_TEXT: usize = 512;
const DOMAIN: &[u8] = b"fedcredit/v1/audit-head";

/// A log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
}

impl Head {
    /// The text of this head of the log of `origin`, signed.
    pub fn signed(&self, origin: &str, key: &SigningKey) -> String {
        let body = self.body(origin);
        let signature = STANDARD.encode(key.sign(&framed(&body)).to_bytes());
        format!("{body}\n\u{2014} {origin} {signature}\n")
    }

    /// The head in a signed text of `origin`, exactly as `signed` writes it; None if it is none, or not signed by `key`.
    pub fn read(text: &[u8], origin: &str, key: &VerifyingKey) -> Option<Self> {
        let mut lines = std::str::from_utf8(text).ok()?.split('\n');
        if lines.next()? != origin {
            return None;
        }
        let size: u64 = lines.next()?.parse().ok()?;
        let root: Hash = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let signed = lines.nth(1)?.rsplit_once(' ')?.1;
        let signature: [u8; 64] = STANDARD.decode(signed).ok()?.try_into().ok()?;
        let head = Self { size, root };
        let body = head.body(origin);
        if format!("{body}\n\u{2014} {origin} {signed}\n").as_bytes() != text {
            return None;
        }
        key.verify_strict(&framed(&body), &Signature::from_bytes(&signature)).ok()?;
        Some(head)
    }

    fn body(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root))
    }
}

fn framed(body: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + DOMAIN.len() + body.len());
    out.extend_from_slice(&(DOMAIN.len() as u16).to_be_bytes());
    out.extend_from_slice(DOMAIN);
    out.extend_from_slice(body.as_bytes());
    out
}

/// What is written at a place: the text and zeros to the end of its sector. None if the text is too long for that.
pub fn sector(text: &str) -> Option<[u8; MAX_TEXT]> {
    let mut out = [0; MAX_TEXT];
    out.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(out)
}

/// The newest of the two heads in a file, and the place that the next one goes to. None if either is not a signed head
/// of `origin`.
pub fn newest(file: &[u8], origin: &str, key: &VerifyingKey) -> Option<(Head, usize)> {
    if file.len() != HEADS_BYTES {
        return None;
    }
    let read = |place: &[u8]| {
        let end = place.iter().rposition(|&byte| byte != 0)? + 1;
        (end <= MAX_TEXT).then(|| Head::read(&place[..end], origin, key))?
    };
    let (first, second) = (read(&file[..SLOT_BYTES])?, read(&file[SLOT_BYTES..])?);
    if first.size == second.size && first != second {
        return None;
    }
    Some(if second.size > first.size { (second, 0) } else { (first, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Hash = [7; 32];

    fn file(a: &str, b: &str) -> Vec<u8> {
        let mut out = vec![0; HEADS_BYTES];
        out[..a.len()].copy_from_slice(a.as_bytes());
        out[SLOT_BYTES..SLOT_BYTES + b.len()].copy_from_slice(b.as_bytes());
        out
    }

    #[test]
    fn the_newest_of_two_counts_and_every_flipped_bit_is_found() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let public = key.verifying_key();
        let text = |size| Head { size, root: ROOT }.signed("tax", &key);
        assert_eq!(newest(&file(&text(5), &text(9)), "tax", &public), Some((Head { size: 9, root: ROOT }, 0)));
        assert_eq!(newest(&file(&text(12), &text(9)), "tax", &public), Some((Head { size: 12, root: ROOT }, 1)));
        assert_eq!(newest(&file(&text(12), &text(9)), "bank", &public), None);
        let good = file(&text(12), &text(9));
        for at in (0..text(12).len() + 2).chain(SLOT_BYTES - 1..SLOT_BYTES + text(9).len() + 2) {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(newest(&bad, "tax", &public), None, "byte {at} bit {bit}");
            }
        }
        assert_eq!(newest(&good[..HEADS_BYTES - 1], "tax", &public), None);
    }

    #[test]
    fn two_heads_of_one_size_must_be_one() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let one = Head { size: 5, root: ROOT }.signed("tax", &key);
        let other = Head { size: 5, root: [8; 32] }.signed("tax", &key);
        assert_eq!(newest(&file(&one, &other), "tax", &key.verifying_key()), None);
        assert!(newest(&file(&one, &one), "tax", &key.verifying_key()).is_some());
    }
}

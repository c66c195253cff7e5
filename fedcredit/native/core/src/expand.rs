//! `expand_message_xmd` of RFC 9380, section 5.3.1, with SHA-512.

use sha2::{Digest, Sha512};

/// SHA-512's input block, `s_in_bytes` of RFC 9380.
const SHA512_BLOCK: usize = 128;

/// A domain separation tag, with what of `expand_message_xmd` does not depend on the message.
pub struct Dst {
    /// DST_prime: the tag and its length in one byte.
    prime: Vec<u8>,
    /// SHA-512 after Z_pad, one block of zeros.
    padded: Sha512,
}

impl Dst {
    pub fn new(dst: &[u8]) -> Self {
        // RFC 9380, section 5.3.3: a tag over 255 bytes is hashed first.
        let mut prime = if dst.len() > 255 {
            Sha512::new().chain_update(b"H2C-OVERSIZE-DST-").chain_update(dst).finalize().to_vec()
        } else {
            dst.to_vec()
        };
        prime.push(u8::try_from(prime.len()).unwrap_or(u8::MAX));
        Self { prime, padded: Sha512::new().chain_update([0; SHA512_BLOCK]) }
    }

    /// RFC 9380, section 5.3.1, steps 5 to 11. `out` is 1 to 255 * 64 bytes long.
    pub fn expand(&self, message: &[u8], out: &mut [u8]) {
        let b0 = self
            .padded
            .clone()
            .chain_update(message)
            .chain_update((out.len() as u16).to_be_bytes())
            .chain_update([0])
            .chain_update(&self.prime)
            .finalize();
        let mut previous = [0u8; 64];
        for (i, block) in (1u8..=255).zip(out.chunks_mut(64)) {
            for (p, b) in previous.iter_mut().zip(&b0) {
                *p ^= b;
            }
            let next = Sha512::new().chain_update(previous).chain_update([i]).chain_update(&self.prime).finalize();
            previous.copy_from_slice(&next);
            block.copy_from_slice(&previous[..block.len()]);
        }
    }
}

//! `expand_message_xmd` of RFC 9380, section 5.3.1, with SHA-512.

use sha2::{Digest, Sha512};

use crate::items::Items;
use crate::sha512::{BLOCK_BYTES, Beginning};

/// Bytes that [`Dst::expand_each`] gives an item.
pub const WIDE_BYTES: usize = 64;

/// A domain separation tag, with what of `expand_message_xmd` does not depend on the message.
pub struct Dst {
    /// DST_prime: the tag and its length in one byte.
    prime: Vec<u8>,
    /// Z_pad, one block of zeros.
    padding: Beginning,
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
        Self { prime, padding: Beginning::block(&[0; BLOCK_BYTES]) }
    }

    /// [`Dst::expand`] of the items from `first` on, to 64 bytes each: of many at once.
    pub fn expand_each(&self, items: &Items<'_>, first: usize, out: &mut [[u8; WIDE_BYTES]]) {
        let mut b0 = vec![[0; 64]; out.len()];
        self.padding.digest_each(&mut b0, |k, message| {
            message.push(items.get(first + k));
            message.push(&(WIDE_BYTES as u16).to_be_bytes());
            message.push(&[0]);
            message.push(&self.prime);
        });
        Beginning::none().digest_each(out, |k, message| {
            message.push(&b0[k]);
            message.push(&[1]);
            message.push(&self.prime);
        });
    }

    /// RFC 9380, section 5.3.1, steps 5 to 11. `out` is 1 to 255 * 64 bytes long.
    pub fn expand(&self, message: &[u8], out: &mut [u8]) {
        let b0 = Sha512::new()
            .chain_update([0; BLOCK_BYTES])
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

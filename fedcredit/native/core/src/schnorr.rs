//! That the owner of a key Y = x G knows x: Schnorr's proof, made non-interactive by a hash (Fiat, Shamir).
//!
//! A proof is R = k G and s = k + e x, with e the hash of what the proof is bound to, of Y and of R. Who did not know x
//! could not make one for two values of e. `context` is hashed before the points and with its length, so that a proof
//! serves one context alone.
//!
//! Constant time in the secret. Source: C. P. Schnorr, 1991; RFC 8235 has the same with other encodings.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::group::parse_scalar;
use crate::ristretto::decode;

pub const PROOF_BYTES: usize = 64;

const DOMAIN: &[u8] = b"fedcredit v1 schnorr ristretto255";

/// The proof for `secret` times the generator. `nonce` is a fresh scalar, never used for anything else.
pub fn prove(secret: &[u8; 32], nonce: &[u8; 32], context: &[u8]) -> Result<[u8; PROOF_BYTES], KernelError> {
    let (x, k) = (parse_scalar(secret, 0)?, parse_scalar(nonce, 1)?);
    let point = RistrettoPoint::mul_base(&x).compress().to_bytes();
    let commitment = RistrettoPoint::mul_base(&k).compress().to_bytes();
    let response = Zeroizing::new(*k + challenge(context, &point, &commitment) * *x);
    let mut proof = [0; PROOF_BYTES];
    proof[..32].copy_from_slice(&commitment);
    proof[32..].copy_from_slice(response.as_bytes());
    Ok(proof)
}

/// Whether `proof` is one for `point` and `context`. Nothing that is not canonical is, nor the identity.
pub fn verify(point: &[u8; 32], context: &[u8], proof: &[u8; PROOF_BYTES]) -> bool {
    let [commitment, response] = [0, 1].map(|half| proof.as_chunks::<32>().0[half]);
    let (Ok(y), Ok(r)) = (decode(&[*point], 0), decode(&[commitment], 0)) else { return false };
    let Ok(s) = parse_scalar(&response, 0) else { return false };
    RistrettoPoint::mul_base(&s) == r + y * challenge(context, point, &commitment)
}

fn challenge(context: &[u8], point: &[u8; 32], commitment: &[u8; 32]) -> Scalar {
    let hash = Sha512::new()
        .chain_update(DOMAIN)
        .chain_update((context.len() as u64).to_be_bytes())
        .chain_update(context)
        .chain_update(point)
        .chain_update(commitment);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

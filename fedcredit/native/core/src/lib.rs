//! The kernels of fedcredit: pure functions over slices, no Python, no I/O, no files.
//!
//! Read from the bottom up:
//!
//! - [`error`]: why a kernel refuses its input.
//! - [`hash`], [`vaes`]: the correlation-robust hash that all symmetric protocols here rest on, twice.
//! - [`items`], [`digest`]: batches of byte strings, and keyed functions of them.
//! - [`partition`]: rows told apart and found again. [`identifiers`]: columns of identifiers in normal form; [`lines`]: as CSV.
//! - [`arithmetic`]: one number at a time, or eight.
//! - [`ristretto`]: ristretto255 in blocks of points, by either. `field8`, `edwards8` and `ristretto8`
//!   are the second one, eight points at a time.
//! - `sha512`, `sha8`, `expand`: SHA-512 of short messages, eight at a time, and what hash-to-group makes of it.
//! - [`group`]: ristretto255 in batches, hash-to-group and the OPRF of RFC 9497.
//! - [`elgamal`]: numbers under a key there, which anybody can add; `elgamal8`: eight at a time. [`schnorr`]: that a key's
//!   owner knows its secret.
//! - [`lookup`]: one cell of a table for who has an index, without telling which; `lookup8`: eight at a time.
//! - [`lanes`], `lanes1`, [`lanes8`], `limbs`: numbers in limbs of 52 bits, one or eight at a time. [`square_ring`]: integers modulo a
//!   square; `powers`: powers there. [`paillier`], [`paillier_owner`]: the cryptosystem, for those who have the public key
//!   and for those who have the primes.
//! - [`rlwe_modulus`], [`rlwe_products`]: numbers and polynomials modulo a prime; `rlwe_eight`: eight at a time. [`rlwe_ring`],
//!   [`rlwe_sample`]: those of ring-LWE, and what is drawn. [`rlwe`], [`rlwe_owner`]: linearly homomorphic encryption,
//!   for those who have the public key and for those who have the secret one; [`rlwe_inner`], [`rlwe_limbs`]: inner
//!   products; [`rlwe_bunch`]: those of many vectors at once. [`rlwe_chain_ring`], [`rlwe_chain`], [`rlwe_chain_owner`]: a
//!   vector that passes from party to party, each of which keeps some of its numbers.
//! - [`filter`]: a compact set that one party publishes and another looks its own values up in; `bit_fields` packs it.
//! - [`okvs`]: an oblivious key-value store; `okvs_place` and `okvs_solve` say which slots a key
//!   reads and how they are set.
//! - [`cot`]: correlated oblivious transfer by extension (SoftSpoken).
//! - [`gf128`], [`clmul`]: the field GF(2^128), twice.
//! - [`punctured`], [`expand_convolute`], [`vole`]: silent vector oblivious linear evaluation.
//! - [`tree`]: half-tree GGM expansion, batch by batch.
//! - [`onehot`]: one-hot sharing by punctured trees, the heart of the group-by-sum protocol.
//! - [`sums`]: what a round of it computes at either side.
//! - [`masks`]: streams of two parties' secrets, added into a vector; `mask_aes`: on vector AES. [`shamir`]: shares of a
//!   secret, some of which give it.
//! - [`log`]: audit logs in bulk: hashes of lines, the Merkle tree over them, the form of an entry.
//! - [`histogram`]: sums per bin in the clear, for a party's own columns.
#![deny(unsafe_code)]

pub mod arithmetic;
mod bit_fields;
#[cfg(target_arch = "x86_64")]
pub mod clmul;
pub mod cot;
pub mod digest;
#[cfg(target_arch = "x86_64")]
mod edwards8;
pub mod elgamal;
#[cfg(target_arch = "x86_64")]
mod elgamal8;
pub mod error;
mod expand;
pub mod expand_convolute;
#[cfg(target_arch = "x86_64")]
mod field8;
pub mod filter;
pub mod gf128;
pub mod group;
pub mod hash;
pub mod histogram;
pub mod identifiers;
pub mod items;
pub mod lanes;
mod lanes1;
#[cfg(target_arch = "x86_64")]
pub mod lanes8;
mod limbs;
pub mod lines;
pub mod log;
pub mod lookup;
#[cfg(target_arch = "x86_64")]
mod lookup8;
#[cfg(target_arch = "x86_64")]
mod mask_aes;
pub mod masks;
pub mod okvs;
mod okvs_place;
mod okvs_solve;
pub mod onehot;
pub mod paillier;
pub mod paillier_owner;
pub mod partition;
pub mod powers;
pub mod punctured;
pub mod ristretto;
#[cfg(target_arch = "x86_64")]
mod ristretto8;
pub mod rlwe;
pub mod rlwe_bunch;
pub mod rlwe_chain;
pub mod rlwe_chain_owner;
pub mod rlwe_chain_ring;
#[cfg(target_arch = "x86_64")]
mod rlwe_eight;
pub mod rlwe_inner;
pub mod rlwe_limbs;
pub mod rlwe_modulus;
pub mod rlwe_owner;
pub mod rlwe_products;
pub mod rlwe_ring;
pub mod rlwe_sample;
pub mod schnorr;
mod sha512;
#[cfg(target_arch = "x86_64")]
mod sha8;
pub mod shamir;
pub mod square_ring;
pub mod sums;
pub mod tree;
#[cfg(target_arch = "x86_64")]
pub mod vaes;
pub mod vole;

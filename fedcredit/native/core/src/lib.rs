//! The kernels of fedcredit: pure functions over slices, no Python, no I/O, no files.
//!
//! Read from the bottom up:
//!
//! - [`error`]: why a kernel refuses its input.
//! - [`block`], [`aes`]: 128-bit blocks and the fixed-key hash all symmetric protocols here rest on.
//! - [`group`]: ristretto255, hash-to-group and the OPRF of RFC 9497.
//! - [`okvs`]: an oblivious key-value store.
//! - [`cot`]: correlated oblivious transfer by extension (SoftSpoken).
//! - [`onehot`]: half-tree GGM expansion and the sums of the group-by-sum protocol.
//! - [`histogram`]: sums per bin in the clear, for a party's own columns.
#![deny(unsafe_code)]

pub mod digest;
pub mod error;

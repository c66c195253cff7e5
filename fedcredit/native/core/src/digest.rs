//! One digest for checksums and commitments: BLAKE3.

/// BLAKE3 of `data`.
pub fn blake3(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

//! Both arithmetics of ElGamal against each other and against the definition, and Schnorr's proofs.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use fedcredit_core::arithmetic::Arithmetic;
use fedcredit_core::elgamal::{self, Key};
use fedcredit_core::error::KernelError;
use fedcredit_core::schnorr;
use sha2::{Digest, Sha512};

const VECTORS: &str = include_str!("../../../../tests/vectors/rfc9496.json");

type Bytes = [u8; 32];

fn arithmetics() -> [Arithmetic; 2] {
    if Arithmetic::best() == Arithmetic::Portable {
        eprintln!("skipped: this processor has the portable arithmetic alone");
    }
    [Arithmetic::Portable, Arithmetic::best()]
}

fn scalar(label: &str, i: u64) -> Scalar {
    Scalar::from_bytes_mod_order_wide(
        &Sha512::new().chain_update(label).chain_update(i.to_le_bytes()).finalize().into(),
    )
}

fn scalars(label: &str, n: u64) -> Vec<Scalar> {
    (0..n).map(|i| scalar(label, i)).collect()
}

fn flat(scalars: &[Scalar]) -> Vec<u8> {
    scalars.iter().flat_map(Scalar::to_bytes).collect()
}

fn secret() -> Scalar {
    scalar("secret", 0)
}

fn key(by: Arithmetic) -> Key {
    Key::new(by, RistrettoPoint::mul_base(&secret()).compress().as_bytes()).unwrap()
}

fn point(bytes: &[u8]) -> RistrettoPoint {
    CompressedRistretto(bytes.try_into().unwrap()).decompress().unwrap()
}

fn bad_encodings() -> Vec<Bytes> {
    let text = VECTORS.split_once("\"bad_encodings\"").unwrap().1.split_once(']').unwrap().0;
    let hex = text.split('"').filter(|s| s.len() == 64 && s.bytes().all(|c| c.is_ascii_hexdigit()));
    hex.map(|hex| core::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())).collect()
}

/// Zero, one, the largest, powers of two, digits that carry.
fn edges() -> Vec<Scalar> {
    let nibbles = |byte: u8| {
        let mut bytes = [byte; 32];
        bytes[31] &= 0x0f;
        Scalar::from_bytes_mod_order(bytes)
    };
    let mut edges = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(65_535u64)];
    edges.extend([0x77, 0x78, 0x87, 0x88, 0x0f, 0xf0, 0xff].map(nibbles));
    edges.extend((0..252).map(|bit| {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        Scalar::from_bytes_mod_order(power)
    }));
    edges
}

#[test]
fn ciphertexts_are_those_of_the_definition() {
    let messages = edges();
    let randomness: Vec<Scalar> =
        edges().into_iter().rev().map(|r| if r == Scalar::ZERO { -r + Scalar::ONE } else { r }).collect();
    let y = RistrettoPoint::mul_base(&secret());
    for by in arithmetics() {
        let ciphertexts = key(by).encrypt(&flat(&messages), &flat(&randomness)).unwrap();
        for ((c, m), r) in ciphertexts.as_chunks::<64>().0.iter().zip(&messages).zip(&randomness) {
            assert_eq!(point(&c[..32]), RistrettoPoint::mul_base(r));
            let second = RistrettoPoint::mul_base(m) + y * r;
            assert_eq!(c[32..], second.compress().to_bytes());
        }
    }
}

#[test]
fn sums_of_parts_open_to_the_doubles_of_sums() {
    for n in (0..=18).chain([63, 64, 65, 130]) {
        for parts in 1..=3 {
            let lists: Vec<Vec<Scalar>> =
                (0..parts).map(|p| scalars("message", (p + 1) * n)[(p * n) as usize..].to_vec()).collect();
            let mut opened = Vec::new();
            for by in arithmetics() {
                let key = key(by);
                let ciphertexts: Vec<u8> = (0..parts)
                    .flat_map(|p| key.encrypt(&flat(&lists[p as usize]), &flat(&scalars("r", n))).unwrap())
                    .collect();
                opened.push(elgamal::open(by, &secret().to_bytes(), &ciphertexts, parts as usize).unwrap());
            }
            let expected: Vec<u8> = (0..n as usize)
                .flat_map(|row| {
                    let sum: Scalar = lists.iter().map(|list| list[row]).sum();
                    RistrettoPoint::mul_base(&(sum + sum)).compress().to_bytes()
                })
                .collect();
            assert_eq!(opened, [expected.clone(), expected]);
        }
    }
}

#[test]
fn small_sums_are_in_the_table() {
    let doubles = elgamal::doubles(-3, 700);
    for by in arithmetics() {
        let messages: Vec<Scalar> = [-3i64, -1, 0, 1, 255, 256, 696]
            .map(|m| if m < 0 { -Scalar::from(m.unsigned_abs()) } else { Scalar::from(m as u64) })
            .to_vec();
        let ciphertexts = key(by).encrypt(&flat(&messages), &flat(&scalars("r", 7))).unwrap();
        let opened = elgamal::open(by, &secret().to_bytes(), &ciphertexts, 1).unwrap();
        for (row, place) in [0, 2, 3, 4, 258, 259, 699].into_iter().enumerate() {
            assert_eq!(opened[32 * row..32 * row + 32], doubles[32 * place..32 * place + 32]);
        }
        assert_eq!(opened[64..96], [0; 32], "0 is the identity");
    }
}

#[test]
fn a_bad_point_is_found_at_every_place() {
    let bad = bad_encodings();
    assert_eq!(bad.len(), 29);
    for by in arithmetics() {
        let good = key(by).encrypt(&flat(&scalars("m", 3 * 70)), &flat(&scalars("r", 3 * 70))).unwrap();
        for (i, bad) in bad.iter().chain([&[0; 32]]).enumerate() {
            let place = i * 7;
            let mut ciphertexts = good.clone();
            let first = 64 * place + 32 * (i % 2);
            ciphertexts[first..first + 32].copy_from_slice(bad);
            let refused = elgamal::open(by, &secret().to_bytes(), &ciphertexts, 3);
            assert_eq!(refused, Err(KernelError::BadPoint { index: place }));
            assert!(Key::new(by, bad).is_err());
        }
    }
}

#[test]
fn what_is_no_scalar_or_no_batch_is_refused() {
    for by in arithmetics() {
        let key = key(by);
        let one = flat(&[Scalar::ONE]);
        assert!(key.encrypt(&[0xff; 32], &one).is_err());
        assert!(key.encrypt(&one, &[0; 32]).is_err());
        assert!(key.encrypt(&one, &[0xff; 32]).is_err());
        assert!(key.encrypt(&one, &[]).is_err());
        let ciphertext = key.encrypt(&one, &one).unwrap();
        assert!(elgamal::open(by, &[0; 32], &ciphertext, 1).is_err());
        assert!(elgamal::open(by, &secret().to_bytes(), &ciphertext[1..], 1).is_err());
        assert!(elgamal::open(by, &secret().to_bytes(), &ciphertext, 2).is_err());
        assert!(elgamal::open(by, &secret().to_bytes(), &ciphertext, 0).is_err());
    }
}

#[test]
fn masks_are_added_and_subtracted() {
    let values = [0, 1, -1, i64::MAX, i64::MIN];
    let wide: Vec<u8> = (0..=255).cycle().take(2 * 5 * 64).collect();
    let found = elgamal::masked(&values, &wide, &[false, true]).unwrap();
    let masks: Vec<Scalar> = wide.as_chunks::<64>().0.iter().map(Scalar::from_bytes_mod_order_wide).collect();
    for (row, value) in values.into_iter().enumerate() {
        let size = Scalar::from(value.unsigned_abs());
        let value = if value < 0 { -size } else { size };
        assert_eq!(found[32 * row..32 * row + 32], (value + masks[row] - masks[5 + row]).to_bytes());
    }
    assert!(elgamal::masked(&values, &wide[1..], &[false, true]).is_err());
    assert!(elgamal::masked(&values, &wide, &[false]).is_err());
}

#[test]
fn proofs_are_of_one_secret_and_context() {
    let (x, k) = (secret().to_bytes(), scalar("nonce", 0).to_bytes());
    let y = RistrettoPoint::mul_base(&secret()).compress().to_bytes();
    let proof = schnorr::prove(&x, &k, b"bank").unwrap();
    assert!(schnorr::verify(&y, b"bank", &proof));
    assert!(!schnorr::verify(&y, b"tank", &proof));
    assert!(!schnorr::verify(&RistrettoPoint::mul_base(&scalar("other", 0)).compress().to_bytes(), b"bank", &proof));
    assert!(!schnorr::verify(&[0; 32], b"bank", &proof));
    for bit in 0..512 {
        let mut changed = proof;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!schnorr::verify(&y, b"bank", &changed), "bit {bit}");
    }
    assert!(schnorr::prove(&[0; 32], &k, b"bank").is_err());
    assert!(schnorr::prove(&x, &[0; 32], b"bank").is_err());
}

//! Both arithmetics of ristretto255 against the vectors of RFC 9496, and against each other where the field has edges.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use fedcredit_core::arithmetic::Arithmetic;
use fedcredit_core::ristretto::{BadRow, Halves};
use sha2::{Digest, Sha512};

const VECTORS: &str = include_str!("../../../../tests/vectors/rfc9496.json");

type Bytes = [u8; 32];

/// Portable first, then the fastest of this processor.
fn arithmetics() -> [Arithmetic; 2] {
    if Arithmetic::best() == Arithmetic::Portable {
        eprintln!("skipped: this processor has the portable arithmetic alone");
    }
    [Arithmetic::Portable, Arithmetic::best()]
}

fn bytes(hex: &str) -> Bytes {
    core::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

/// All 64-digit strings of a list of the vectors.
fn encodings(list: &str) -> Vec<Bytes> {
    let text = VECTORS.split_once(&format!("\"{list}\"")).unwrap().1.split_once(']').unwrap().0;
    text.split('"').filter(|s| s.len() == 64 && s.bytes().all(|c| c.is_ascii_hexdigit())).map(bytes).collect()
}

fn random(label: &str, i: u64) -> [u8; 64] {
    Sha512::new().chain_update(label).chain_update(i.to_le_bytes()).finalize().into()
}

fn scalar(i: u64) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&random("scalar", i))
}

fn points(n: u64) -> Vec<Bytes> {
    (0..n).map(|i| RistrettoPoint::from_uniform_bytes(&random("point", i)).compress().to_bytes()).collect()
}

/// Numbers around the edges of the field: 0, p, 2^255, square roots of -1, limbs that are full.
fn edges() -> Vec<Bytes> {
    let sqrt_m1 = bytes("b0a00e4a271beec478e42fad0618432fa7d7fb3d99004d2b0bdfc14f8024832b");
    let p = bytes("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    let minus_sqrt_m1 = {
        let mut borrow = 0;
        core::array::from_fn(|i| {
            let difference = i16::from(p[i]) - i16::from(sqrt_m1[i]) - borrow;
            borrow = i16::from(difference < 0);
            difference as u8
        })
    };
    let mut edges = vec![sqrt_m1, minus_sqrt_m1, [0xff; 32], p];
    for low in (0..=20).chain(0xd9..=0xff) {
        let (mut small, mut large) = ([0; 32], p);
        (small[0], large[0]) = (low, low);
        edges.extend([small, large]);
        (small[31], large[31]) = (0x80, 0xff);
        edges.extend([small, large]);
    }
    for bit in [51, 102, 153, 204] {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        edges.push(power);
    }
    edges
}

fn multiply(by: Arithmetic, points: &[Bytes], halves: Halves<'_>) -> Result<Vec<Bytes>, BadRow> {
    let mut out = vec![[0; 32]; points.len()];
    by.multiply(points, halves, 1, &mut out).map(|()| out)
}

fn map(by: Arithmetic, uniform: &[[u8; 64]]) -> Result<Vec<Bytes>, BadRow> {
    let mut out = vec![[0; 32]; uniform.len()];
    by.map(uniform, &mut out).map(|()| out)
}

fn map_and_multiply(by: Arithmetic, uniform: &[[u8; 64]], halves: Halves<'_>) -> Result<Vec<Bytes>, BadRow> {
    let mut out = vec![[0; 32]; uniform.len()];
    by.map_and_multiply(uniform, halves, &mut out).map(|()| out)
}

#[test]
fn multiples_of_the_generator() {
    let multiples = encodings("multiples_of_generator");
    assert_eq!(multiples.len(), 16);
    let halves: Vec<Scalar> = (0..16u64).map(|k| Scalar::from(k).div_by_2()).collect();
    let generator = [RISTRETTO_BASEPOINT_COMPRESSED.to_bytes(); 16];
    for by in arithmetics() {
        assert_eq!(multiply(by, &generator, Halves::Each(&halves)).unwrap(), multiples);
        for (half, multiple) in halves.iter().zip(&multiples) {
            assert_eq!(multiply(by, &generator[..1], Halves::One(half)).unwrap(), [*multiple]);
        }
    }
}

#[test]
fn bad_encodings_are_refused_at_every_place() {
    let bad = encodings("bad_encodings");
    assert_eq!(bad.len(), 29);
    let good = points(35);
    let half = scalar(1);
    for by in arithmetics() {
        by.check(&good).unwrap();
        for (i, bad) in bad.iter().chain([&[0; 32]]).enumerate() {
            let mut rows = good.clone();
            let place = i % rows.len();
            rows[place] = *bad;
            assert_eq!(by.check(&rows), Err(BadRow(place)));
            assert_eq!(multiply(by, &rows, Halves::One(&half)), Err(BadRow(place)));
        }
        for place in 0..good.len() {
            let mut rows = good.clone();
            rows[place..].fill(bad[place % bad.len()]);
            assert_eq!(by.check(&rows), Err(BadRow(place)));
        }
    }
}

#[test]
fn uniform_bytes_map_to_the_elements_of_the_rfc() {
    let text = VECTORS.split_once("\"from_uniform\"").unwrap().1.split_once(']').unwrap().0;
    let field = |case: &str, name: &str| case.split_once(name).unwrap().1.split('"').nth(2).unwrap().to_owned();
    let cases: Vec<_> = text.split('{').skip(1).map(|c| (field(c, "sha512_of"), field(c, "element"))).collect();
    assert!(!cases.is_empty());
    let uniform: Vec<[u8; 64]> = cases.iter().map(|(label, _)| Sha512::digest(label).into()).collect();
    let elements: Vec<Bytes> = cases.iter().map(|(_, element)| bytes(element)).collect();
    for by in arithmetics() {
        assert_eq!(map(by, &uniform).unwrap(), elements);
    }
}

#[test]
fn the_arithmetics_agree_on_encodings_at_the_edges() {
    let [portable, best] = arithmetics();
    let half = scalar(2);
    let mut accepted = 0;
    // Odd numbers are never encodings; even ones are, one in four.
    let random =
        (0..400).map(|i| core::array::from_fn(|k| random("encoding", i)[k] & if k == 31 { 0x7f } else { 0xff }));
    for encoding in edges().into_iter().chain(random) {
        let (own, other) =
            (multiply(portable, &[encoding], Halves::One(&half)), multiply(best, &[encoding], Halves::One(&half)));
        assert_eq!(own, other, "{encoding:02x?}");
        assert_eq!(best.check(&[encoding]).is_ok(), own.is_ok());
        accepted += usize::from(own.is_ok());
    }
    assert!(accepted > 40, "{accepted}");
}

#[test]
fn the_arithmetics_agree_on_maps_at_the_edges() {
    let [portable, best] = arithmetics();
    let edges = edges();
    let half = scalar(3);
    let (mut pairs, mut refused) = (Vec::new(), 0);
    for (i, a) in edges.iter().enumerate() {
        for b in edges.iter().skip(i % 3).step_by(3) {
            let mut uniform = [0; 64];
            uniform[..32].copy_from_slice(a);
            uniform[32..].copy_from_slice(b);
            let mapped = map(portable, &[uniform]);
            refused += usize::from(mapped.is_err());
            assert_eq!(map(best, &[uniform]), mapped, "{uniform:02x?}");
            if mapped.is_ok() {
                pairs.push(uniform);
            }
        }
    }
    eprintln!("{refused} pairs map to the identity");
    assert_eq!(
        map_and_multiply(best, &pairs, Halves::One(&half)).unwrap(),
        map_and_multiply(portable, &pairs, Halves::One(&half)).unwrap()
    );
}

#[test]
fn the_arithmetics_agree_on_scalars_at_the_edges() {
    let [portable, best] = arithmetics();
    let nibbles = |byte: u8| {
        let mut bytes = [byte; 32];
        bytes[31] &= 0x0f;
        Scalar::from_bytes_mod_order(bytes)
    };
    let mut halves = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::ONE.div_by_2(), -Scalar::ONE.div_by_2()];
    halves.extend([0x77, 0x78, 0x87, 0x88, 0x0f, 0xf0, 0xff].map(nibbles));
    halves.extend((0..252).map(|bit| {
        let mut power = [0; 32];
        power[bit / 8] = 1 << (bit % 8);
        Scalar::from_bytes_mod_order(power)
    }));
    halves.extend((0..40).map(scalar));
    let points = points(halves.len() as u64);
    let products = multiply(portable, &points, Halves::Each(&halves)).unwrap();
    assert_eq!(multiply(best, &points, Halves::Each(&halves)).unwrap(), products);
    for row in (0..halves.len()).step_by(5) {
        let product = multiply(best, &points[row..=row], Halves::One(&halves[row]));
        assert_eq!(product.unwrap(), products[row..=row]);
    }
}

#[test]
fn the_arithmetics_agree_on_batches_of_any_length() {
    let [portable, best] = arithmetics();
    let half = scalar(4);
    let halves: Vec<Scalar> = (0..300).map(scalar).collect();
    let (points, uniform) = (points(300), (0..300).map(|i| random("uniform", i)).collect::<Vec<_>>());
    let products = multiply(portable, &points, Halves::One(&half)).unwrap();
    let own_products = multiply(portable, &points, Halves::Each(&halves)).unwrap();
    let (mapped, both) =
        (map(portable, &uniform).unwrap(), map_and_multiply(portable, &uniform, Halves::Each(&halves)).unwrap());
    for n in (0..=35).chain([255, 256, 257, 300]) {
        assert_eq!(multiply(best, &points[..n], Halves::One(&half)).unwrap(), products[..n]);
        assert_eq!(multiply(best, &points[..n], Halves::Each(&halves)).unwrap(), own_products[..n]);
        assert_eq!(map(best, &uniform[..n]).unwrap(), mapped[..n]);
        assert_eq!(map_and_multiply(best, &uniform[..n], Halves::Each(&halves)).unwrap(), both[..n]);
    }
}

#[test]
fn several_times_is_once_after_the_other() {
    let half = scalar(5);
    let points = points(20);
    for by in arithmetics() {
        let once = multiply(by, &points, Halves::One(&half)).unwrap();
        let twice = multiply(by, &once, Halves::One(&half)).unwrap();
        let mut out = vec![[0; 32]; points.len()];
        by.multiply(&points, Halves::One(&half), 2, &mut out).unwrap();
        assert_eq!(out, twice);
    }
}

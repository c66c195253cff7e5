use super::*;

/// NIST SP 800-38A, F.5.5: CTR-AES256.Encrypt. The stream is what lies between plaintext and ciphertext.
const NIST_KEY: [u8; 32] = [
    0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81, 0x1f, 0x35, 0x2c,
    0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
];
const NIST_COUNTER: u128 = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff;
const NIST_TEXTS: [(u128, u128); 4] = [
    (0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a, 0x601e_c313_7757_89a5_b7a7_f504_bbf3_d228),
    (0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51, 0xf443_e3ca_4d62_b59a_ca84_e990_caca_f5c5),
    (0x30c8_1c46_a35c_e411_e5fb_c119_1a0a_52ef, 0x2b09_30da_a23d_e94c_e870_17ba_2d84_988d),
    (0xf69f_2445_df4f_9b17_ad2b_417b_e66c_3710, 0xdfc9_c58d_b67a_ada6_13c2_dd08_4579_41a6),
];

fn nist<S: Stream>() {
    // The vector's counter is not the first of a group: its group is computed, and the stream read from its place.
    let (high, low) = ((NIST_COUNTER >> 64) as u64, NIST_COUNTER as u64);
    let per_group = GROUP as u64 / 2;
    let mut words = [0; 2 * GROUP];
    S::new(&NIST_KEY, high).add_groups(low / per_group, false, &mut words);
    let seen = &words[2 * (low % per_group) as usize..][..8];
    for (pair, (plain, cipher)) in seen.as_chunks::<2>().0.iter().zip(NIST_TEXTS) {
        let bytes = [pair[0].to_le_bytes(), pair[1].to_le_bytes()].concat();
        assert_eq!(bytes, (plain ^ cipher).to_be_bytes());
    }
}

fn some(n: usize) -> Vec<u64> {
    (0..n as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

fn keys(n: u8) -> Vec<[u8; 32]> {
    (0..n).map(|k| core::array::from_fn(|i| k.wrapping_mul(31).wrapping_add(i as u8))).collect()
}

#[test]
fn the_stream_is_that_of_the_standard() {
    nist::<Portable>();
    #[cfg(target_arch = "x86_64")]
    if crate::vaes::available() {
        nist::<Vector>();
    } else {
        eprintln!("skipped: no vector AES on this processor");
    }
}

#[test]
fn both_ways_add_the_same() {
    for (n, first) in [(0, 0), (1, 0), (1, 31), (5, 29), (64, 1), (100, 7), (2 * RUN + 3, 1 << 40), (RUN, 33)] {
        let (keys, signs) = (keys(3), [false, true, false]);
        let (mut any, mut portable) = (some(n), some(n));
        add(&mut any, &keys, &signs, first).unwrap();
        add_streams::<Portable>(&mut portable, &keys, &signs, first).unwrap();
        assert_eq!(any, portable, "{n} words from {first}");
        assert!(n < 5 || any != some(n));
    }
}

#[test]
fn pieces_are_those_of_the_whole() {
    let (keys, signs) = (keys(2), [true, false]);
    let mut whole = some(5000);
    add(&mut whole, &keys, &signs, 11).unwrap();
    for size in [1, 31, 32, 33, 1000, 4999] {
        let mut parts = some(5000);
        for (place, part) in parts.chunks_mut(size).enumerate() {
            add(part, &keys, &signs, 11 + (place * size) as u64).unwrap();
        }
        assert_eq!(parts, whole, "pieces of {size}");
    }
}

#[test]
fn what_is_added_and_subtracted_is_gone() {
    let mut words = some(3 * RUN + 1);
    let keys = keys(1);
    add(&mut words, &[keys[0], keys[0]], &[false, true], 5).unwrap();
    assert_eq!(words, some(3 * RUN + 1));
}

#[test]
fn places_past_the_last_word_are_refused() {
    assert!(add(&mut [0; 2], &keys(1), &[true], u64::MAX - 1).is_err());
    assert!(add(&mut [0; 2], &keys(1), &[true], u64::MAX - 2).is_ok());
    assert!(add(&mut [0; 2], &keys(1), &[], 0).is_err());
}

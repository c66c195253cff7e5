//! The field against arithmetic by the book, with limbs as large as they may be.

use super::*;

/// A number below 2^256, by its words.
type Number = [u64; 4];

const P: Number = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];
/// The largest limb that an [`Fe`] may have.
const TOP: u64 = (1 << 51) + (1 << 18) - 1;

/// a b + c modulo p, by the book.
fn multiply_add(a: Number, b: Number, c: Number) -> Number {
    let mut wide = [0u64; 8];
    wide[..4].copy_from_slice(&c);
    for (i, a) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, b) in b.iter().enumerate() {
            let sum = u128::from(*a) * u128::from(*b) + u128::from(wide[i + j]) + carry;
            wide[i + j] = sum as u64;
            carry = sum >> 64;
        }
        for word in &mut wide[i + 4..] {
            let sum = u128::from(*word) + carry;
            *word = sum as u64;
            carry = sum >> 64;
        }
    }
    // 2^256 = 38, until nothing is above; then at most twice p is left to take away.
    while wide[4..] != [0; 4] {
        let mut carry = 0;
        for k in 0..8 {
            let high = if k < 4 { std::mem::take(&mut wide[k + 4]) } else { 0 };
            let sum = u128::from(wide[k]) + 38 * u128::from(high) + carry;
            wide[k] = sum as u64;
            carry = sum >> 64;
        }
    }
    let mut number = [wide[0], wide[1], wide[2], wide[3]];
    while number.iter().rev().ge(P.iter().rev()) {
        let mut borrow = false;
        for (n, p) in number.iter_mut().zip(P) {
            let (a, first) = n.overflowing_sub(p);
            let (b, second) = a.overflowing_sub(u64::from(borrow));
            (*n, borrow) = (b, first | second);
        }
    }
    number
}

fn value(limbs: &[u64; 5]) -> Number {
    limbs.iter().rev().fold([0; 4], |sum, limb| multiply_add(sum, [1 << 51, 0, 0, 0], [*limb, 0, 0, 0]))
}

fn minus(a: Number) -> Number {
    multiply_add(a, [P[0] - 1, P[1], P[2], P[3]], [0; 4])
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn limbs(vectors: &[__m512i; 5]) -> [[u64; LANES]; 5] {
    vectors.map(|vector| {
        let mut lanes = [0; LANES];
        // SAFETY: the array is one vector long.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), vector) };
        lanes
    })
}

/// The value in every lane, which has to be below p and the same as the canonical words.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn read(fe: &Fe) -> Number {
    let numbers = store(&fe.words());
    assert!(numbers.iter().all(|number| *number == numbers[0]));
    assert!(limbs(&fe.0).iter().flatten().all(|limb| *limb <= TOP));
    let (words, _) = numbers[0].as_chunks::<8>();
    core::array::from_fn(|k| u64::from_le_bytes(words[k]))
}

fn cases() -> Vec<[u64; 5]> {
    let mut cases = vec![[0; 5], [1, 0, 0, 0, 0], [MASK; 5], [TOP; 5]];
    // p - 1, p, p + 1, and 2^255 - 1 with the first limb full beyond its bits.
    cases.extend([MASK - 19, MASK - 18, MASK - 17, TOP].map(|low| [low, MASK, MASK, MASK, MASK]));
    for k in 0..5 {
        let mut one = [0; 5];
        one[k] = TOP;
        cases.push(one);
        let mut others = [TOP; 5];
        others[k] = 0;
        cases.push(others);
    }
    let mut state = 1u64;
    cases.extend((0..40).map(|_| {
        core::array::from_fn(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            state >> 13
        })
    }));
    cases
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn check_arithmetic() {
    let one: Number = [1, 0, 0, 0];
    for a in cases() {
        let (fe, number) = (Fe::all(&a), value(&a));
        assert_eq!(read(&fe), number);
        assert_eq!(read(&Fe::from_words(&fe.words())), number);
        assert_eq!(read(&fe.negated()), minus(number));
        assert_eq!(fe.is_zero(), if number == [0; 4] { 0xff } else { 0 });
        assert_eq!(fe.is_negative(), if number[0] & 1 == 1 { 0xff } else { 0 });
        assert_eq!(fe.abs().is_negative(), 0);
        let square = fe.square();
        assert!(limbs(&square.0).iter().flatten().all(|limb| *limb < 1 << 59));
        assert_eq!(read(&square.carried()), multiply_add(number, number, [0; 4]));
        for b in cases() {
            let (other, other_number) = (Fe::all(&b), value(&b));
            let product = fe.product(&other);
            assert!(limbs(&product.0).iter().flatten().all(|limb| *limb < 1 << 59));
            assert_eq!(read(&product.carried()), multiply_add(number, other_number, [0; 4]));
            assert_eq!(read(&fe.plus(&other)), multiply_add(number, one, other_number));
            assert_eq!(read(&fe.minus(&other)), multiply_add(number, one, minus(other_number)));
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn check_bounds() {
    let wide = |limb: u64| Wide([_mm512_set1_epi64(limb as i64); 5]);
    for limb in [0, 1, (1 << 59) - 1, 1 << 60, (1 << 61) - 1, (1 << 63) - 1] {
        assert_eq!(read(&wide(limb).carried()), value(&[limb; 5]));
    }
    // The largest sums that `minus` says it takes.
    for (a, b) in [(0, 1 << 60), ((1 << 61) - 1, 1 << 60), ((1 << 61) - 1, 0)] {
        let difference = wide(a).minus(&wide(b));
        assert!(limbs(&difference.0).iter().flatten().all(|limb| *limb < 1 << 63));
        let want = multiply_add(value(&[a; 5]), [1, 0, 0, 0], minus(value(&[b; 5])));
        assert_eq!(read(&difference.carried()), want);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn check_lanes() {
    let numbers: [[u8; 32]; LANES] = core::array::from_fn(|lane| [lane as u8; 32]);
    let words = load(&numbers.each_ref());
    assert_eq!(store(&words), numbers);
    let fe = Fe::from_words(&words);
    assert_eq!((fe.is_zero(), fe.is_negative()), (0b0000_0001, 0b1010_1010));
    let mixed = fe.or_if(0b1100_0000, &Fe::all(&[9, 0, 0, 0, 0]));
    assert_eq!(equal(&mixed.words(), &words), 0b0011_1111);
    let mut taken = fe;
    taken.take(_mm512_movm_epi64(0b0000_0011), &mixed.negated());
    assert_eq!(equal(&taken.words(), &fe.negated_if(0b0000_0011).words()), 0xff);
}

#[test]
fn agrees_with_arithmetic_by_the_book() {
    if !available() {
        eprintln!("skipped: no IFMA on this processor");
        return;
    }
    // SAFETY: the processor has the features.
    unsafe {
        check_arithmetic();
        check_bounds();
        check_lanes();
    }
}

//! Paillier's kernels by both arithmetics, and by the laws that products and powers have. Python's integers are the
//! oracle for the values (`tests/unit/test_kernels_paillier.py`).

use fedcredit_core::error::KernelError;
use fedcredit_core::paillier::Public;

/// Bytes that follow from a seed; every fifth row is all ones, every seventh zero.
fn bytes(seed: u64, rows: usize, width: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..rows)
        .flat_map(|row| {
            let fill = if row % 5 == 4 { Some(0xff) } else { (row % 7 == 6).then_some(0) };
            (0..width).map(|_| fill.unwrap_or(next())).collect::<Vec<_>>()
        })
        .collect()
}

/// An odd modulus of so many bytes, with the highest bit set or the lowest of the first byte.
fn modulus(width: usize, first: u8) -> Vec<u8> {
    let mut n = bytes(9, 1, width);
    n[0] = first;
    n[width - 1] |= 1;
    n
}

#[test]
fn both_arithmetics_give_the_same_bytes() {
    for (width, first) in [(16, 0xff), (17, 1), (65, 0x80), (130, 0x7f), (384, 0xff)] {
        let n = modulus(width, first);
        let (one, eight) = (Public::new(&n, true).unwrap(), Public::new(&n, false).unwrap());
        let rows = if width > 100 { 9 } else { 19 };
        let (a, b) = (bytes(1, rows, 2 * width), bytes(2, rows, 2 * width));
        let (mut m, r) = (bytes(3, rows, width), bytes(4, rows, 3));
        m.chunks_exact_mut(width).for_each(|row| row[0] = 0);
        assert_eq!(one.add(&a, &b).unwrap(), eight.add(&a, &b).unwrap());
        assert_eq!(one.power(&a, &r, 3).unwrap(), eight.power(&a, &r, 3).unwrap());
        let base = &b[..2 * width];
        let (table, other) = (one.table(base, 3).unwrap(), eight.table(base, 3).unwrap());
        assert_eq!(one.encrypt(&table, &m, &r).unwrap(), eight.encrypt(&other, &m, &r).unwrap());
        assert_eq!(one.randomise(&table, &a, &r).unwrap(), eight.randomise(&other, &a, &r).unwrap());
        let groups: Vec<u32> = (0..2 * rows as u32).map(|cell| cell * 7 % 3).collect();
        assert_eq!(one.sums(&a, &groups, 2, 4).unwrap(), eight.sums(&a, &groups, 2, 4).unwrap());
    }
}

#[test]
fn powers_and_sums_are_products() {
    let width = 48;
    let key = Public::new(&modulus(width, 0xc0), false).unwrap();
    let c = bytes(5, 11, 2 * width);
    let twice = key.add(&c, &c).unwrap();
    let two = [2].repeat(11);
    assert_eq!(key.power(&c, &two, 1).unwrap(), twice);
    let mut one = vec![0; 2 * width];
    one[2 * width - 1] = 1;
    let product = c.chunks_exact(2 * width).fold(one.clone(), |product, row| key.add(&product, row).unwrap());
    assert_eq!(key.sums(&c, &[0; 11], 1, 1).unwrap(), product);
    assert_eq!(key.sums(&c, &[1; 11], 1, 2).unwrap(), [one, product].concat());
    // The table's base to the power of 1 times nothing is the base, if that is canonical.
    let base = &twice[..2 * width];
    let table = key.table(base, 1).unwrap();
    assert_eq!(key.encrypt(&table, &vec![0; width], &[1]).unwrap(), base);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (n, width) = (modulus(16, 0xff), 16);
    let key = Public::new(&n, false).unwrap();
    let c = bytes(6, 2, 2 * width);
    let shape = |result: Result<Vec<u8>, KernelError>| assert!(matches!(result, Err(KernelError::Shape { .. })));
    shape(key.add(&c, &c[..2 * width]));
    shape(key.add(&c[1..], &c[1..]));
    shape(key.power(&c, &[1, 2, 3], 1));
    shape(key.power(&c, &[], 0));
    shape(key.sums(&c, &[0], 1, 1));
    assert!(matches!(key.sums(&c, &[0, 1], 1, 1), Err(KernelError::Range { index: 1, .. })));
    assert!(key.table(&c, 0).is_err());
    assert!(key.table(&bytes(7, 1, 100 * width), 1).is_err());
    for bad in [&[][..], &[0, 1], &[1; 7], &[0xfe; 16], &[0xff; 1025]] {
        assert!(Public::new(bad, false).is_err());
    }
}

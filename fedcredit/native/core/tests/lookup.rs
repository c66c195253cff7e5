//! Oblivious lookup on both arithmetics: the same bytes, the cell that was meant, and nothing for who is no point.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use fedcredit_core::arithmetic::Arithmetic;
use fedcredit_core::error::KernelError;
use fedcredit_core::lookup::{self, DIGITS, OUTSIDE, Square, Steps};
use sha2::{Digest, Sha512};

type Bytes = [u8; 32];

const KEY: Bytes = [7; 32];
const FIRST: u64 = 3;

fn scalar(label: &str, i: usize) -> Scalar {
    Scalar::from_bytes_mod_order_wide(
        &Sha512::new().chain_update(label).chain_update(i.to_le_bytes()).finalize().into(),
    )
}

fn base() -> Bytes {
    RistrettoPoint::mul_base(&scalar("base", 0)).compress().to_bytes()
}

struct Case {
    square: Square,
    scalars: Vec<u8>,
    indices: Vec<u32>,
    offsets: Vec<u32>,
}

fn case(side: usize, rows: usize) -> Case {
    let cells = side * side;
    let number = |label: &str, row: usize| u32::from(scalar(label, row).as_bytes()[0]) * 257 % cells as u32;
    let ends = |row: usize, number: u32| if row == 0 { cells as u32 - 1 } else { number };
    Case {
        square: Square::new(side).unwrap(),
        scalars: (0..DIGITS * rows).flat_map(|i| scalar("reader", i).to_bytes()).collect(),
        indices: (0..rows).map(|row| ends(row, number("index", row))).collect(),
        offsets: (0..rows).map(|row| ends(row, number("offset", row))).collect(),
    }
}

fn run(by: Arithmetic, case: &Case, steps: &Steps<'_>) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let secret = scalar("owner", 0);
    let own = RistrettoPoint::mul_base(&secret).compress().to_bytes();
    let Case { square, scalars, indices, offsets } = case;
    let points = lookup::choose(by, &base(), *square, scalars, indices).unwrap();
    let tables = lookup::answer(by, &base(), secret.as_bytes(), &KEY, FIRST, *square, steps, &points, offsets).unwrap();
    let cells = lookup::read(by, &own, &KEY, FIRST, *square, scalars, indices, &tables).unwrap();
    (points, tables, cells)
}

#[test]
fn both_arithmetics_give_the_cell_of_the_sum_and_the_same_bytes() {
    for (side, rows) in [(2, 1), (2, 70), (8, 33), (32, 9), (256, 3)] {
        let case = case(side, rows);
        let cells = case.square.cells();
        let edges = [1, (cells / 3) as u16, (cells / 2) as u16];
        let steps = Steps { edges: &edges, last: (cells - 2) as u16 };
        let found = run(Arithmetic::best(), &case, &steps);
        assert_eq!(found, run(Arithmetic::Portable, &case, &steps));
        for (row, cell) in found.2.iter().enumerate() {
            let value = (case.indices[row] + case.offsets[row]) as usize % cells;
            let reached = edges.iter().filter(|edge| value >= usize::from(**edge)).count() as u8;
            assert_eq!(*cell, if value > cells - 2 { OUTSIDE } else { reached });
        }
    }
}

#[test]
fn what_is_no_point_index_or_side_is_refused() {
    let case = case(4, 9);
    let steps = Steps { edges: &[3], last: 15 };
    let (points, ..) = run(Arithmetic::best(), &case, &steps);
    for by in [Arithmetic::Portable, Arithmetic::best()] {
        let mut bad = points.clone();
        bad[32 * 11..32 * 12].fill(0xff);
        let secret = scalar("owner", 0);
        let answer = |points: &[u8], offsets: &[u32]| {
            lookup::answer(by, &base(), secret.as_bytes(), &KEY, 0, case.square, &steps, points, offsets)
        };
        assert_eq!(answer(&bad, &case.offsets), Err(KernelError::BadPoint { index: 11 }));
        assert!(matches!(answer(&points, &[16; 9]), Err(KernelError::Range { .. })));
        assert!(matches!(answer(&points[32..], &case.offsets), Err(KernelError::Shape { .. })));
        let chosen = lookup::choose(by, &base(), case.square, &case.scalars, &[16; 9]);
        assert!(matches!(chosen, Err(KernelError::Range { .. })));
    }
    for side in [0, 1, 3, 512] {
        assert!(Square::new(side).is_err());
    }
}

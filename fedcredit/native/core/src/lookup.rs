//! Oblivious lookup: a reader with an index learns one cell of a table that an owner has, and the owner not which.
//!
//! A table has `side * side` cells of a byte, and an index two digits to the base `side`. For each digit d the reader gets
//! one key of `side`. With a point C of which nobody knows the logarithm it sends P = k G - d C, which is uniform whatever d
//! is. The owner sends R = r G; key i is a hash of r (P + i C). For i = d that is k R, and who computed it for a second
//! i had r C by it. A key is a pad for one row or one column of the table, and a cell is under both of its pads.
//!
//! Tables here go up in steps: of the index y it is told how many edges (y + offset) mod side^2 has reached, or that this
//! is past the last value. Offsets are the owner's secrets and indices the reader's: both, and scalars and points,
//! are worked on in constant time, on all cores, and eight at a time where AVX-512 IFMA is ([`crate::lookup8`]).

use std::ops::Range;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::arithmetic::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::edwards8::Multiples;
#[cfg(target_arch = "x86_64")]
use crate::elgamal8;
use crate::error::KernelError;
use crate::group::{parse_half, parse_halves, same_length, split};
#[cfg(target_arch = "x86_64")]
use crate::lookup8;
use crate::ristretto::{BLOCK, BadRow, decode};

/// What a cell holds that is past the last value.
pub const OUTSIDE: u8 = u8::MAX;

/// Points of an index: one for each digit.
pub const DIGITS: usize = 2;

/// Keys that an owner makes in one task, by one inversion.
const KEYS_PER_TASK: usize = 2048;

/// Points from which on a list of a base's multiples pays.
const WORTH_A_LIST: usize = 64;

/// Tables of `side * side` cells.
#[derive(Debug, Clone, Copy)]
pub struct Square {
    side: usize,
}

impl Square {
    /// A power of two from 2 to 256.
    pub fn new(side: usize) -> Result<Self, KernelError> {
        if side.is_power_of_two() && (2..=256).contains(&side) {
            return Ok(Self { side });
        }
        Err(KernelError::Range { what: "side", index: side })
    }

    pub fn cells(self) -> usize {
        self.side * self.side
    }

    fn digits(self, index: u32) -> [usize; DIGITS] {
        let index = index as usize;
        [index >> self.side.trailing_zeros(), index & (self.side - 1)]
    }

    /// Refuses what is no index.
    fn check(self, indices: &[u32], what: &'static str) -> Result<(), KernelError> {
        let most = indices.iter().fold(0, |all, index| all | *index) as usize;
        if most < self.cells() { Ok(()) } else { Err(KernelError::Range { what, index: most }) }
    }
}

/// A table that goes up by one at each edge, from 0 on, and ends after `last`.
pub struct Steps<'a> {
    pub edges: &'a [u16],
    pub last: u16,
}

impl Steps<'_> {
    /// The cells from index 0 on, `offset` values further on in the steps.
    fn fill(&self, offset: u32, cells: &mut [u8]) {
        let (mask, offset) = ((cells.len() - 1) as u16, offset as u16);
        let values: Vec<u16> = (0..cells.len()).map(|index| (index as u16).wrapping_add(offset) & mask).collect();
        cells.fill(0);
        for edge in self.edges {
            cells.iter_mut().zip(&values).for_each(|(cell, value)| *cell = cell.wrapping_add(u8::from(value >= edge)));
        }
        cells.iter_mut().zip(&values).for_each(|(cell, value)| *cell |= u8::from(*value > self.last).wrapping_neg());
    }
}

/// A reader's points: for each index two, of `k G - d C`. `scalars` are the k, fresh, two for each index.
pub fn choose(
    arithmetic: Arithmetic,
    base: &[u8; 32],
    square: Square,
    scalars: &[u8],
    indices: &[u32],
) -> Result<Vec<u8>, KernelError> {
    let scalars = split(scalars, "scalars")?;
    same_length("scalars", DIGITS * indices.len(), scalars.len())?;
    square.check(indices, "index")?;
    let base = Base::new(arithmetic, base, scalars.len())?;
    let mut out = vec![[0; 32]; scalars.len()];
    out.par_chunks_mut(BLOCK).enumerate().try_for_each(|(block, cells)| {
        let first = block * BLOCK;
        let halves = parse_halves(&scalars[first..first + cells.len()], first)?;
        let digit = |place: usize| square.digits(indices[place / DIGITS])[place % DIGITS];
        let minus = |place: usize| -Scalar::from(digit(place) as u64).div_by_2();
        let digits = Zeroizing::new((first..first + cells.len()).map(minus).collect::<Vec<_>>());
        base.products(Some(&halves), &digits, cells);
        Ok(())
    })?;
    Ok(out.into_flattened())
}

/// Of each reader's points the whole table, under pads. `key` is public and names the lookup; `first` is the number of the
/// first row. `secret` is the r of all rows of this call, for no other call.
#[expect(clippy::too_many_arguments)]
pub fn answer(
    arithmetic: Arithmetic,
    base: &[u8; 32],
    secret: &[u8; 32],
    key: &[u8; 32],
    first: u64,
    square: Square,
    steps: &Steps<'_>,
    points: &[u8],
    offsets: &[u32],
) -> Result<Vec<u8>, KernelError> {
    let points = split(points, "points")?;
    same_length("points", DIGITS * offsets.len(), points.len())?;
    square.check(offsets, "offset")?;
    if steps.edges.len() >= OUTSIDE.into() {
        return Err(KernelError::Range { what: "number of edges", index: steps.edges.len() });
    }
    let owner = Owner::new(arithmetic, base, secret, square.side)?;
    let pads = blake3::Hasher::new_keyed(key);
    let rows_per_task = (KEYS_PER_TASK / DIGITS / square.side).max(1);
    let mut out = vec![0; offsets.len() * square.cells()];
    out.par_chunks_mut(rows_per_task * square.cells()).enumerate().try_for_each(|(task, tables)| {
        let start = task * rows_per_task;
        let rows = start..start + tables.len() / square.cells();
        let places = DIGITS * rows.start..DIGITS * rows.end;
        let keys = owner.keys(&points[places.clone()], square.side).map_err(bad_point(places.start))?;
        let (mut across, mut down) = (vec![0; square.cells()], vec![0; square.cells()]);
        for (row, table) in rows.zip(tables.chunks_exact_mut(square.cells())) {
            for (digit, streams) in [&mut across, &mut down].into_iter().enumerate() {
                for (i, stream) in streams.chunks_exact_mut(square.side).enumerate() {
                    let key = &keys[place(DIGITS * (row - start) + digit, i, square.side)];
                    fill(&pads, key, first + row as u64, [digit, i], stream);
                }
            }
            steps.fill(offsets[row], table);
            for (i, line) in table.chunks_exact_mut(square.side).enumerate() {
                let across = &across[i * square.side..(i + 1) * square.side];
                for (j, cell) in line.iter_mut().enumerate() {
                    *cell ^= across[j] ^ down[j * square.side + i];
                }
            }
        }
        Ok(())
    })?;
    Ok(out)
}

/// The cell that each row's index is of. `point` is the owner's R, the rest as it was for [`choose`] and [`answer`].
#[expect(clippy::too_many_arguments)]
pub fn read(
    arithmetic: Arithmetic,
    point: &[u8; 32],
    key: &[u8; 32],
    first: u64,
    square: Square,
    scalars: &[u8],
    indices: &[u32],
    tables: &[u8],
) -> Result<Vec<u8>, KernelError> {
    let scalars = split(scalars, "scalars")?;
    same_length("scalars", DIGITS * indices.len(), scalars.len())?;
    same_length("tables", indices.len() * square.cells(), tables.len())?;
    square.check(indices, "index")?;
    let base = Base::new(arithmetic, point, scalars.len())?;
    let pads = blake3::Hasher::new_keyed(key);
    let mut out = vec![0; indices.len()];
    out.par_chunks_mut(BLOCK / DIGITS).enumerate().try_for_each(|(block, cells)| {
        let start = block * (BLOCK / DIGITS);
        let places = DIGITS * start..DIGITS * (start + cells.len());
        let halves = parse_halves(&scalars[places.clone()], places.start)?;
        let mut keys = Zeroizing::new(vec![[0; 32]; places.len()]);
        base.products(None, &halves, &mut keys);
        let mut stream = Zeroizing::new(vec![0; square.side]);
        for (row, (cell, keys)) in (start..).zip(cells.iter_mut().zip(keys.as_chunks::<DIGITS>().0)) {
            let [line, column] = square.digits(indices[row]);
            *cell = pick(&tables[row * square.cells()..(row + 1) * square.cells()], indices[row] as usize);
            for (digit, (own, other)) in [(line, column), (column, line)].into_iter().enumerate() {
                fill(&pads, &keys[digit], first + row as u64, [digit, own], &mut stream);
                *cell ^= pick(&stream, other);
            }
        }
        Ok(())
    })?;
    Ok(out)
}

/// A public point of which multiples are taken.
enum Base {
    Portable(RistrettoPoint),
    #[cfg(target_arch = "x86_64")]
    Eight(Multiples),
}

impl Base {
    fn new(arithmetic: Arithmetic, point: &[u8; 32], products: usize) -> Result<Self, KernelError> {
        let point = decode(&[*point], 0).map_err(bad_point(0))?;
        Ok(match arithmetic {
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight if products >= WORTH_A_LIST => Self::Eight(elgamal8::of_point(&point)),
            _ => Self::Portable(point),
        })
    }

    /// The encodings of twice these halves times the point, and of the generator besides.
    fn products(&self, of_generator: Option<&[Scalar]>, of_point: &[Scalar], out: &mut [[u8; 32]]) {
        match self {
            Self::Portable(point) => {
                let product = |k: usize| {
                    let more = of_generator.map(|halves| RistrettoPoint::mul_base(&halves[k])).unwrap_or_default();
                    more + point * of_point[k]
                };
                let points: Vec<_> = (0..out.len()).map(product).collect();
                encode_doubles(&points, out);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Eight(multiples) => lookup8::products(multiples, of_generator, of_point, out),
        }
    }
}

/// The owner's r, and the multiples of r C from 0 on.
enum Owner {
    Portable {
        half: Zeroizing<Scalar>,
        multiples: Vec<RistrettoPoint>,
    },
    #[cfg(target_arch = "x86_64")]
    Eight(lookup8::Owner),
}

impl Owner {
    fn new(arithmetic: Arithmetic, base: &[u8; 32], secret: &[u8; 32], side: usize) -> Result<Self, KernelError> {
        let (base, half) = (decode(&[*base], 0).map_err(bad_point(0))?, parse_half(secret, 0)?);
        Ok(match arithmetic {
            Arithmetic::Portable => Self::Portable { multiples: multiples(&(base * *half), 0..side), half },
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => Self::Eight(lookup8::Owner::new(&base, &half, side)),
        })
    }

    /// Key i of each point, at [`place`]. Refuses the first point that is none, or the identity.
    fn keys(&self, points: &[[u8; 32]], side: usize) -> Result<Zeroizing<Vec<[u8; 32]>>, BadRow> {
        let mut keys = Zeroizing::new(vec![[0; 32]; points.len().next_multiple_of(LANES) * side]);
        match self {
            Self::Portable { half, multiples } => {
                let mut sums = vec![RistrettoPoint::default(); keys.len()];
                for k in 0..points.len() {
                    let product = decode(points, k)? * **half;
                    for (i, multiple) in multiples.iter().enumerate() {
                        sums[place(k, i, side)] = product + multiple;
                    }
                }
                encode_doubles(&sums, &mut keys);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Eight(owner) => owner.keys(points, &mut keys)?,
        }
        Ok(keys)
    }
}

/// Points whose keys lie side by side.
pub const LANES: usize = 8;

/// Where key i of the k-th point is: eight points abreast.
fn place(k: usize, i: usize, side: usize) -> usize {
    (k / LANES * side + i) * LANES + k % LANES
}

/// Consecutive multiples of a point.
pub fn multiples(point: &RistrettoPoint, numbers: Range<usize>) -> Vec<RistrettoPoint> {
    let first = point * Scalar::from(numbers.start as u64);
    std::iter::successors(Some(first), |last| Some(last + point)).take(numbers.len()).collect()
}

/// A pad: the hash of a key, and of which row, digit and number it is of.
fn fill(pads: &blake3::Hasher, key: &[u8; 32], row: u64, [digit, i]: [usize; 2], out: &mut [u8]) {
    let mut hasher = pads.clone();
    hasher.update(key).update(&row.to_le_bytes()).update(&[digit as u8, i as u8]);
    hasher.finalize_xof().fill(out);
}

/// The byte at a place that is secret: all of them are read.
fn pick(bytes: &[u8], place: usize) -> u8 {
    let place = place as u32;
    // One less than zero alone has the top bit, of numbers below 2^31.
    let mask = |k: u32| (((k ^ place).wrapping_sub(1) >> 31) as u8).wrapping_neg();
    (0..).zip(bytes).fold(0, |found, (k, byte)| found | (byte & mask(k)))
}

fn bad_point(first: usize) -> impl Fn(BadRow) -> KernelError {
    move |BadRow(row)| KernelError::BadPoint { index: first + row }
}

fn encode_doubles(points: &[RistrettoPoint], out: &mut [[u8; 32]]) {
    for (cell, encoded) in out.iter_mut().zip(RistrettoPoint::double_and_compress_batch(points)) {
        *cell = encoded.to_bytes();
    }
}

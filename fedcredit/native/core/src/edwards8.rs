//! Eight points of the twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2 side by side, and their multiples.
//!
//! Formulas are those of Hisil, Wong, Carter, Dawson (ASIACRYPT 2008) for a = -1: complete, so no point is special.
//! What they multiply is carried once, after the sums: see [`crate::field8`] for the bounds.

use std::arch::x86_64::*;

use zeroize::Zeroizing;

use crate::field8::{self, Fe, LANES, Wide};

/// d = -121665/121666.
pub const D: [u64; 5] = [929955233495203, 466365720129213, 1662059464998953, 2033849074728123, 1442794654840575];
const D2: [u64; 5] = [1859910466990425, 932731440258426, 1072319116312658, 1815898335770999, 633789495995903];
const ZERO: [u64; 5] = [0; 5];
const ONE: [u64; 5] = [1, 0, 0, 0, 0];
const TWO: [u64; 5] = [2, 0, 0, 0, 0];

/// Digits of a scalar, in base 16.
pub const DIGITS: usize = 64;

/// x = X/Z, y = Y/Z.
#[derive(Clone, Copy)]
pub struct Projective {
    pub x: Fe,
    pub y: Fe,
    pub z: Fe,
}

/// x = X/Z, y = Y/Z, xy = T/Z.
#[derive(Clone, Copy)]
pub struct Extended {
    pub x: Fe,
    pub y: Fe,
    pub z: Fe,
    pub t: Fe,
}

/// x = E/G, y = H/F: what sums and doubles come out as.
#[derive(Clone, Copy)]
pub struct Completed {
    pub e: Fe,
    pub f: Fe,
    pub g: Fe,
    pub h: Fe,
}

/// What adding a point takes: Y + X, Y - X, 2 Z, 2 d T.
#[derive(Clone, Copy)]
struct Addend {
    sum: Fe,
    difference: Fe,
    z2: Fe,
    t2d: Fe,
}

/// What adding a point with Z = 1 takes, the same one for all lanes: Y + X, Y - X, 2 d T.
pub struct Listed {
    sum: [u64; 5],
    difference: [u64; 5],
    t2d: [u64; 5],
}

/// Of a point, and of each digit of a scalar from the most significant one on: once to eight times the point, times 16
/// for every digit behind.
pub type Multiples = Vec<[Listed; 8]>;

/// Scalars in signed base 16, most significant digit first, each digit for the eight lanes.
/// On the heap, so that a move leaves no copy behind.
pub struct Digits(Zeroizing<Vec<[i8; LANES]>>);

impl Digits {
    /// Of a scalar for each lane, below 2^253.
    pub fn new(scalars: &[&[u8; 32]; LANES]) -> Self {
        let mut digits = Zeroizing::new(vec![[0; LANES]; DIGITS]);
        for (lane, scalar) in scalars.iter().enumerate() {
            let mut carry = 0;
            for (k, place) in digits.iter_mut().rev().enumerate() {
                let nibble = (scalar[k / 2] >> (k % 2 * 4) & 15) as i8 + carry;
                // A digit of 8 to 16 becomes one of -8 to 0. The last one is at most 2, and keeps what it has.
                carry = if k + 1 < DIGITS { (nibble + 8) >> 4 } else { 0 };
                place[lane] = nibble - (carry << 4);
            }
        }
        Self(digits)
    }
}

impl Projective {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn doubled(&self) -> Completed {
        let (xx, yy, zz) = (self.x.square(), self.y.square(), self.z.square());
        let xy = self.x.plus(&self.y).square();
        let h = yy.plus(&xx);
        let f = zz.plus(&zz).plus(&xx);
        Completed { e: xy.minus(&h).carried(), f: f.minus(&yy).carried(), g: yy.minus(&xx).carried(), h: h.carried() }
    }
}

impl Completed {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn projective(&self) -> Projective {
        Projective { x: self.e.times(&self.f), y: self.g.times(&self.h), z: self.f.times(&self.g) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn extended(&self) -> Extended {
        let Projective { x, y, z } = self.projective();
        Extended { x, y, z, t: self.e.times(&self.h) }
    }
}

impl Extended {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn projective(&self) -> Projective {
        Projective { x: self.x, y: self.y, z: self.z }
    }

    /// `self + other`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn plus(&self, other: &Self) -> Completed {
        self.plus_addend(&other.addend(), 0)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn addend(&self) -> Addend {
        Addend {
            sum: self.y.plus(&self.x),
            difference: self.y.minus(&self.x),
            z2: self.z.plus(&self.z),
            t2d: self.t.times(&Fe::all(&D2)),
        }
    }

    /// `self + other`; minus in lanes inside the mask.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn plus_addend(&self, other: &Addend, minus: __mmask8) -> Completed {
        // -(x, y) = (-x, y): sum and difference change places, T its sign and with it F and G their places.
        let a = self.y.minus(&self.x).product(&other.difference.or_if(minus, &other.sum));
        let b = self.y.plus(&self.x).product(&other.sum.or_if(minus, &other.difference));
        let c = self.t.product(&other.t2d);
        let d = self.z.product(&other.z2);
        let (less, more): (Wide, Wide) = (d.minus(&c), d.plus(&c));
        Completed {
            e: b.minus(&a).carried(),
            f: less.or_if(minus, &more).carried(),
            g: more.or_if(minus, &less).carried(),
            h: b.plus(&a).carried(),
        }
    }

    /// `self` plus one listed point, in all lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn plus_listed(&self, other: &Listed) -> Completed {
        let Listed { sum, difference, t2d } = other;
        let addend =
            Addend { sum: Fe::all(sum), difference: Fe::all(difference), z2: Fe::all(&TWO), t2d: Fe::all(t2d) };
        self.plus_addend(&addend, 0)
    }

    /// Each point times its lane's scalar, in time and memory accesses that do not depend on either.
    ///
    /// Signed windows of four bits: 252 doublings and 64 additions, of entries found by reading the whole table.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn multiplied(&self, digits: &Digits) -> Completed {
        let table = self.table();
        let mut rest = digits.0.iter();
        let mut sum = Self::identity().plus_digit(&table, rest.next().unwrap_or(&[0; LANES]));
        for digit in rest {
            let mut double = sum.projective().doubled();
            for _ in 0..3 {
                double = double.projective().doubled();
            }
            sum = double.extended().plus_digit(&table, digit);
        }
        sum
    }

    /// The neutral element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn identity() -> Self {
        Self { x: Fe::all(&ZERO), y: Fe::all(&ONE), z: Fe::all(&ONE), t: Fe::all(&ZERO) }
    }

    /// The lanes' points, for a list. They must have Z = 1.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn listed(&self) -> [Listed; LANES] {
        let sums = limbs(&self.y.plus(&self.x));
        let differences = limbs(&self.y.minus(&self.x));
        let t2ds = limbs(&self.t.times(&Fe::all(&D2)));
        core::array::from_fn(|lane| Listed { sum: sums[lane], difference: differences[lane], t2d: t2ds[lane] })
    }

    /// Each point plus its lane's scalar times the point that `multiples` are of, in time and memory accesses that do not
    /// depend on any of them: 64 additions and no doubling.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn plus_multiple(&self, multiples: &Multiples, digits: &Digits) -> Self {
        assert_eq!(multiples.len(), DIGITS);
        let mut total = *self;
        for (list, digit) in multiples.iter().zip(digits.0.iter()) {
            let digit = widened(digit);
            let wanted = _mm512_abs_epi64(digit);
            let mut found =
                Addend { sum: Fe::all(&ONE), difference: Fe::all(&ONE), z2: Fe::all(&TWO), t2d: Fe::all(&ZERO) };
            for (k, entry) in (1..).zip(list) {
                let here = _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(wanted, _mm512_set1_epi64(k)));
                found.sum.take(here, &Fe::all(&entry.sum));
                found.difference.take(here, &Fe::all(&entry.difference));
                found.t2d.take(here, &Fe::all(&entry.t2d));
            }
            total = total.plus_addend(&found, _mm512_movepi64_mask(digit)).extended();
        }
        total
    }

    /// P, 2 P, .. 8 P.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn table(&self) -> [Addend; 8] {
        let one = self.addend();
        let two = self.projective().doubled().extended();
        let three = two.plus_addend(&one, 0).extended();
        let four = two.projective().doubled().extended();
        let five = four.plus_addend(&one, 0).extended();
        let six = three.projective().doubled().extended();
        let seven = six.plus_addend(&one, 0).extended();
        let eight = four.projective().doubled().extended();
        [one, two.addend(), three.addend(), four.addend(), five.addend(), six.addend(), seven.addend(), eight.addend()]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn plus_digit(&self, table: &[Addend; 8], digits: &[i8; LANES]) -> Completed {
        let digits = widened(digits);
        let wanted = _mm512_abs_epi64(digits);
        let mut found =
            Addend { sum: Fe::all(&ONE), difference: Fe::all(&ONE), z2: Fe::all(&TWO), t2d: Fe::all(&ZERO) };
        for (k, entry) in (1..).zip(table) {
            let here = _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(wanted, _mm512_set1_epi64(k)));
            found.sum.take(here, &entry.sum);
            found.difference.take(here, &entry.difference);
            found.z2.take(here, &entry.z2);
            found.t2d.take(here, &entry.t2d);
        }
        self.plus_addend(&found, _mm512_movepi64_mask(digits))
    }
}

/// A digit for each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn widened(digits: &[i8; LANES]) -> __m512i {
    _mm512_cvtepi8_epi64(_mm_cvtsi64_si128(i64::from_le_bytes(digits.map(|digit| digit as u8))))
}

/// Each lane's element in limbs of 51 bits.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn limbs(elements: &Fe) -> [[u64; 5]; LANES] {
    const MASK: u64 = (1 << 51) - 1;
    field8::store(&elements.words()).map(|number| {
        let word = |k: usize| u64::from_le_bytes(core::array::from_fn(|i| number[8 * k + i]));
        let (a, b, c, d) = (word(0), word(1), word(2), word(3));
        [a & MASK, (a >> 51 | b << 13) & MASK, (b >> 38 | c << 26) & MASK, (c >> 25 | d << 39) & MASK, d >> 12]
    })
}

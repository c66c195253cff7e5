//! ristretto255 (RFC 9496) on eight points at a time: from bytes to bytes, with a multiplication between.
//!
//! Names of variables are those of the RFC. Square roots, two to hash and one to decode, take their 254 squarings in
//! eight lanes; two vectors go side by side, since one alone waits for its own carries. Encoding a double takes no
//! square root, so points are multiplied by half the scalar and one inversion serves a block, as in
//! `double_and_compress_batch` of curve25519-dalek, from where the formulas are.
//!
//! Unsafe code: the entries alone, which ask the processor first.
#![allow(unsafe_code)]

use std::arch::x86_64::__mmask8;
use std::ops::Range;

use crate::edwards8::{Completed, D, Digits, Extended};
pub use crate::field8::available;
use crate::field8::{self, Fe, LANES, Words};
use crate::ristretto::{BadRow, Halves};

const ONE: [u64; 5] = [1, 0, 0, 0, 0];
const MINUS_ONE: [u64; 5] = [2251799813685228, 2251799813685247, 2251799813685247, 2251799813685247, 2251799813685247];
const SQRT_M1: [u64; 5] = [1718705420411056, 234908883556509, 2233514472574048, 2117202627021982, 765476049583133];
const ONE_MINUS_D_SQ: [u64; 5] = [1136626929484150, 1998550399581263, 496427632559748, 118527312129759, 45110755273534];
const D_MINUS_ONE_SQ: [u64; 5] =
    [1507062230895904, 1572317787530805, 683053064812840, 317374165784489, 1572899562415810];
const SQRT_AD_MINUS_ONE: [u64; 5] =
    [2241493124984347, 425987919032274, 2207028919301688, 1220490630685848, 974799131293748];
const INVSQRT_A_MINUS_D: [u64; 5] =
    [278908739862762, 821645201101625, 8113234426968, 1777959178193151, 2118520810568447];

/// Vectors whose square roots are taken side by side.
const ABREAST: usize = 2;

/// Twice the half scalar times each point, `times` times over. Refuses the first row that is not a point, or the identity.
pub fn multiply(points: &[[u8; 32]], halves: Halves<'_>, times: usize, out: &mut [[u8; 32]]) -> Result<(), BadRow> {
    assert!(available() && points.len() == out.len());
    // SAFETY: the processor has the features, as just asserted.
    unsafe { multiply_inner(points, halves, times, out) }
}

/// Twice the half scalar times the point that each 64 bytes map to. Refuses the first row that maps to the identity.
pub fn map_and_multiply(uniform: &[[u8; 64]], halves: Halves<'_>, out: &mut [[u8; 32]]) -> Result<(), BadRow> {
    assert!(available() && uniform.len() == out.len());
    // SAFETY: the processor has the features, as just asserted.
    unsafe { map_and_multiply_inner(uniform, halves, out) }
}

/// The point that each 64 bytes map to. Refuses the first row that maps to the identity.
pub fn map(uniform: &[[u8; 64]], out: &mut [[u8; 32]]) -> Result<(), BadRow> {
    assert!(available() && uniform.len() == out.len());
    // SAFETY: the processor has the features, as just asserted.
    unsafe { map_inner(uniform, out) }
}

/// Decodes and drops the points. Refuses the first row that is not a point, or the identity.
pub fn check(points: &[[u8; 32]]) -> Result<(), BadRow> {
    assert!(available());
    // SAFETY: the processor has the features, as just asserted.
    unsafe { decode_all(points, |_, _| ()) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_inner(points: &[[u8; 32]], halves: Halves<'_>, times: usize, out: &mut [[u8; 32]]) -> Result<(), BadRow> {
    let mut doubles = Vec::with_capacity(points.len().div_ceil(LANES));
    let multiplier = Multiplier::new(halves);
    decode_all(points, |rows, point| doubles.push(multiplier.double_multiple(point, &rows, times)))?;
    encode_all(&doubles, out);
    Ok(())
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn map_and_multiply_inner(uniform: &[[u8; 64]], halves: Halves<'_>, out: &mut [[u8; 32]]) -> Result<(), BadRow> {
    let mut doubles = Vec::with_capacity(uniform.len().div_ceil(LANES));
    let multiplier = Multiplier::new(halves);
    map_all(uniform, |rows, point| doubles.push(multiplier.double_multiple(point, &rows, 1)))?;
    encode_all(&doubles, out);
    Ok(())
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn map_inner(uniform: &[[u8; 64]], out: &mut [[u8; 32]]) -> Result<(), BadRow> {
    map_all(uniform, |rows, point| put(&mut out[rows], &encode(point)))
}

/// Scalars, and their digits where they are those of all points.
struct Multiplier<'a> {
    halves: Halves<'a>,
    shared: Option<Digits>,
}

impl<'a> Multiplier<'a> {
    fn new(halves: Halves<'a>) -> Self {
        let shared = match halves {
            Halves::One(half) => Some(Digits::new(&[half.as_bytes(); LANES])),
            Halves::Each(_) => None,
        };
        Self { halves, shared }
    }

    /// The double of the multiple, as the encoding takes it. `rows` are those of the lanes.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn double_multiple(&self, point: &Extended, rows: &Range<usize>, times: usize) -> Completed {
        let own;
        let digits = match &self.shared {
            Some(digits) => digits,
            None => {
                let last = rows.end - 1;
                own = Digits::new(&core::array::from_fn(|lane| self.halves.at(last.min(rows.start + lane)).as_bytes()));
                &own
            }
        };
        let mut double = point.multiplied(digits).projective().doubled();
        for _ in 1..times {
            double = double.extended().multiplied(digits).projective().doubled();
        }
        double
    }
}

/// Gives `next` the points of up to eight rows at a time, and which rows these are. The lanes behind hold copies.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn decode_all(rows: &[[u8; 32]], mut next: impl FnMut(Range<usize>, &Extended)) -> Result<(), BadRow> {
    for (block, rows) in rows.chunks(ABREAST * LANES).enumerate() {
        let decoded = decode(core::array::from_fn(|k| field8::load(&lanes(behind(rows, k)))));
        deliver(block, rows.len(), decoded, &mut next)?;
    }
    Ok(())
}

/// As [`decode_all`], of the points that 64 bytes each map to: RFC 9496, section 4.3.4.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn map_all(rows: &[[u8; 64]], mut next: impl FnMut(Range<usize>, &Extended)) -> Result<(), BadRow> {
    for (block, rows) in rows.chunks(ABREAST * LANES).enumerate() {
        let half = |k: usize, half: usize| {
            let halves = lanes(behind(rows, k)).map(|row| &row.as_chunks::<32>().0[half]);
            Fe::from_words(&field8::load(&halves))
        };
        let first = elligator(core::array::from_fn(|k| half(k, 0)));
        let second = elligator(core::array::from_fn(|k| half(k, 1)));
        let mut points = [(0, first[0]); ABREAST];
        for ((point, first), second) in points.iter_mut().zip(first).zip(second) {
            let sum = first.plus(&second).extended();
            // The identity stands for four points, all with a coordinate zero, and no others have one.
            *point = (!(sum.x.is_zero() | sum.y.is_zero()), sum);
        }
        deliver(block, rows.len(), points, &mut next)?;
    }
    Ok(())
}

/// Hands out the points of a block of `n` rows, or says which row is the first that is not good.
fn deliver(
    block: usize,
    n: usize,
    points: [(__mmask8, Extended); ABREAST],
    next: &mut impl FnMut(Range<usize>, &Extended),
) -> Result<(), BadRow> {
    for (k, (good, point)) in points.iter().enumerate() {
        let first = block * ABREAST * LANES + k * LANES;
        let real = n.saturating_sub(k * LANES).min(LANES);
        let bad = good.trailing_ones() as usize;
        if bad < real {
            return Err(BadRow(first + bad));
        }
        if real > 0 {
            next(first..first + real, point);
        }
    }
    Ok(())
}

/// The rows of the `k`-th vector of a block, or those of the first where there are none.
fn behind<T>(rows: &[T], k: usize) -> &[T] {
    if rows.len() > k * LANES { &rows[k * LANES..] } else { rows }
}

/// The first eight rows, the last of which is repeated where there are less.
pub fn lanes<T>(rows: &[T]) -> [&T; LANES] {
    core::array::from_fn(|lane| &rows[lane.min(rows.len() - 1)])
}

/// Decode, RFC 9496, section 4.3.1, and which lanes are points other than the identity.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn decode(words: [Words; ABREAST]) -> [(__mmask8, Extended); ABREAST] {
    let (one, d) = (Fe::all(&ONE), Fe::all(&D));
    let s = words.map(|words| Fe::from_words(&words));
    let ss = s.map(|s| s.squared());
    let u1 = ss.map(|ss| one.minus(&ss));
    let u2 = ss.map(|ss| one.plus(&ss));
    let u2_sqr = u2.map(|u2| u2.squared());
    let v: [Fe; ABREAST] = core::array::from_fn(|k| d.times(&u1[k].squared()).plus(&u2_sqr[k]).negated());
    let roots = sqrt_ratio_m1([one; ABREAST], core::array::from_fn(|k| v[k].times(&u2_sqr[k])));
    core::array::from_fn(|k| {
        let (was_square, invsqrt) = roots[k];
        let den_x = invsqrt.times(&u2[k]);
        let den_y = invsqrt.times(&den_x).times(&v[k]);
        let x = s[k].plus(&s[k]).times(&den_x).abs();
        let y = u1[k].times(&den_y);
        let t = x.times(&y);
        let canonical = field8::equal(&s[k].words(), &words[k]);
        let refused = s[k].is_negative() | t.is_negative() | y.is_zero() | s[k].is_zero();
        (canonical & was_square & !refused, Extended { x, y, z: one, t })
    })
}

/// MAP, RFC 9496, section 4.3.4.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn elligator(t: [Fe; ABREAST]) -> [Extended; ABREAST] {
    let (one, d) = (Fe::all(&ONE), Fe::all(&D));
    let r = t.map(|t| Fe::all(&SQRT_M1).times(&t.squared()));
    let u = r.map(|r| r.plus(&one).times(&Fe::all(&ONE_MINUS_D_SQ)));
    let v = r.map(|r| r.times(&d).plus(&one).negated().times(&r.plus(&d)));
    let roots = sqrt_ratio_m1(u, v);
    core::array::from_fn(|k| {
        let (was_square, s) = roots[k];
        let s_prime = s.times(&t[k]).abs().negated();
        let s = s_prime.or_if(was_square, &s);
        let c = r[k].or_if(was_square, &Fe::all(&MINUS_ONE));
        let n = c.times(&r[k].minus(&one)).times(&Fe::all(&D_MINUS_ONE_SQ)).minus(&v[k]);
        let ss = s.squared();
        Completed {
            e: s.plus(&s).times(&v[k]),
            f: one.plus(&ss),
            g: n.times(&Fe::all(&SQRT_AD_MINUS_ONE)),
            h: one.minus(&ss),
        }
        .extended()
    })
}

/// Encode, RFC 9496, section 4.3.2.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn encode(point: &Extended) -> Words {
    let (one, sqrt_m1) = (Fe::all(&ONE), Fe::all(&SQRT_M1));
    let Extended { x: x0, y: y0, z: z0, t: t0 } = point;
    let u1 = z0.plus(y0).times(&z0.minus(y0));
    let u2 = x0.times(y0);
    let [(_, invsqrt)] = sqrt_ratio_m1([one], [u1.times(&u2.squared())]);
    let (den1, den2) = (invsqrt.times(&u1), invsqrt.times(&u2));
    let z_inv = den1.times(&den2).times(t0);
    let rotate = t0.times(&z_inv).is_negative();
    let x = x0.or_if(rotate, &y0.times(&sqrt_m1));
    let y = y0.or_if(rotate, &x0.times(&sqrt_m1));
    let den_inv = den2.or_if(rotate, &den1.times(&Fe::all(&INVSQRT_A_MINUS_D)));
    let y = y.negated_if(x.times(&z_inv).is_negative());
    den_inv.times(&z0.minus(&y)).abs().words()
}

/// The encodings of doubles, by one inversion. Zero for the identity, which has no inverse.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn encode_all(doubles: &[Completed], out: &mut [[u8; 32]]) {
    let mut product = Fe::all(&ONE);
    let factors: Vec<(Fe, Fe, __mmask8)> = doubles
        .iter()
        .map(|double| {
            let before = product;
            let efgh = double.e.times(&double.f).times(&double.g.times(&double.h));
            let zero = efgh.is_zero();
            let efgh = efgh.or_if(zero, &Fe::all(&ONE));
            product = product.times(&efgh);
            (before, efgh, zero)
        })
        .collect();
    let mut inverse = invert(&product);
    for ((double, (before, efgh, zero)), out) in doubles.iter().zip(&factors).zip(out.chunks_mut(LANES)).rev() {
        let own = inverse.times(before).or_if(*zero, &Fe::all(&[0; 5]));
        inverse = inverse.times(efgh);
        put(out, &encode_double(double, &own));
    }
}

/// The encoding of a double, given the inverse of e f g h.
///
/// What the RFC takes an inverse square root for, 1 / (e g) and 1 / (f h) give here: the double of a point is the image of
/// an isogeny, under which that root is a product.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn encode_double(double: &Completed, inverse: &Fe) -> Words {
    let Completed { e, f, g, h } = double;
    let (eh, fg, sqrt_m1) = (e.times(h), f.times(g), Fe::all(&SQRT_M1));
    let (z_inv, t_inv) = (eh.times(inverse), fg.times(inverse));
    let rotate = eh.times(&z_inv).is_negative();
    let magic = Fe::all(&INVSQRT_A_MINUS_D).or_if(rotate, &sqrt_m1);
    let (x, y) = (e.or_if(rotate, h), h.or_if(rotate, &e.negated()));
    let z = f.or_if(rotate, &g.times(&sqrt_m1));
    let y = y.negated_if(z.times(&x).times(&z_inv).is_negative());
    z.minus(&y).times(&magic).times(&y.times(&t_inv)).abs().words()
}

/// Writes the numbers of the first lanes, as many as there is room for.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn put(out: &mut [[u8; 32]], words: &Words) {
    for (cell, number) in out.iter_mut().zip(field8::store(words)) {
        *cell = number;
    }
}

/// SQRT_RATIO_M1 of RFC 9496, section 4.2: lanes where u/v is a square, and its root; else the root of i u/v.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn sqrt_ratio_m1<const N: usize>(u: [Fe; N], v: [Fe; N]) -> [(__mmask8, Fe); N] {
    let sqrt_m1 = Fe::all(&SQRT_M1);
    let v3 = v.map(|v| v.squared().times(&v));
    let powers: [Fe; N] = power_58(core::array::from_fn(|k| u[k].times(&v3[k].squared().times(&v[k]))));
    core::array::from_fn(|k| {
        let r = u[k].times(&v3[k]).times(&powers[k]);
        // One of u, -u, i u and -i u; with u zero, zero.
        let check = v[k].times(&r.squared());
        let correct = check.minus(&u[k]).is_zero();
        let flipped = check.plus(&u[k]).is_zero();
        let flipped_i = check.plus(&u[k].times(&sqrt_m1)).is_zero();
        (correct | flipped, r.or_if(flipped | flipped_i, &r.times(&sqrt_m1)).abs())
    })
}

/// x^((p - 5) / 8) = x^(2^252 - 3).
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn power_58<const N: usize>(x: [Fe; N]) -> [Fe; N] {
    let (ones, _) = power_250(x);
    multiply_abreast(&square_times(ones, 2), &x)
}

/// 1/x = x^(p - 2) = x^(2^255 - 21).
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn invert(x: &Fe) -> Fe {
    let ([ones], [eleven]) = power_250([*x]);
    square_times([ones], 5)[0].times(&eleven)
}

/// x^(2^250 - 1) and x^11.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn power_250<const N: usize>(x: [Fe; N]) -> ([Fe; N], [Fe; N]) {
    let two = square_times(x, 1);
    let nine = multiply_abreast(&square_times(two, 2), &x);
    let eleven = multiply_abreast(&nine, &two);
    // Names say how many one bits the exponent has.
    let five = multiply_abreast(&square_times(eleven, 1), &nine);
    let ten = multiply_abreast(&square_times(five, 5), &five);
    let twenty = multiply_abreast(&square_times(ten, 10), &ten);
    let forty = multiply_abreast(&square_times(twenty, 20), &twenty);
    let fifty = multiply_abreast(&square_times(forty, 10), &ten);
    let hundred = multiply_abreast(&square_times(fifty, 50), &fifty);
    let two_hundred = multiply_abreast(&square_times(hundred, 100), &hundred);
    (multiply_abreast(&square_times(two_hundred, 50), &fifty), eleven)
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn square_times<const N: usize>(mut x: [Fe; N], times: usize) -> [Fe; N] {
    for _ in 0..times {
        for x in &mut x {
            *x = x.squared();
        }
    }
    x
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_abreast<const N: usize>(a: &[Fe; N], b: &[Fe; N]) -> [Fe; N] {
    core::array::from_fn(|k| a[k].times(&b[k]))
}

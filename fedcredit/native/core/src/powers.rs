//! Powers in a [`Ring`], constant time in exponents: of any base, and of one that stays.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::lanes::Lanes;
use crate::limbs::{limbs_for, load_rows};
use crate::square_ring::{Numbers, Ring, Work, splat, zeros};

/// Bits of a digit of an exponent, of a base that stays. Five bits take two thirds of the table and a tenth more time.
const FIXED_BITS: usize = 6;

/// Bits of a digit of an exponent, of any base.
const ANY_BITS: usize = 4;

/// Puts numbers below R^4 into the form that is multiplied.
pub struct Door<V: Lanes> {
    constants: Vec<Numbers<V>>,
    limbs: usize,
}

impl<V: Lanes> Door<V> {
    pub fn new(ring: &Ring) -> Self {
        Self { constants: (2..=5).map(|k| splat(ring.power(k))).collect(), limbs: ring.limbs }
    }

    /// Up to `N` rows as loose pairs, times R.
    pub fn enter(&self, work: &mut Work<'_, V>, rows: &[u8], width: usize, out: &mut [V]) {
        work.combine(&parts(rows, width, self.limbs), &self.constants, out);
    }
}

/// Whether numbers of `width` bytes are below R^4.
pub fn fits(ring: &Ring, width: usize) -> bool {
    limbs_for(width) <= 4 * ring.limbs
}

/// Up to `N` rows, each a number in parts of `limbs` limbs.
pub fn parts<V: Lanes>(rows: &[u8], width: usize, limbs: usize) -> Numbers<V> {
    let mut parts = zeros(limbs_for(width).next_multiple_of(limbs));
    load_rows(rows, width, &mut parts);
    parts
}

/// One number below R^4 as a small pair times R.
pub fn enter_one(ring: &Ring, number: &[u8]) -> Zeroizing<Vec<u64>> {
    let mut work = Work::<u64>::new(ring);
    let mut pair = zeros(ring.pair());
    Door::new(ring).enter(&mut work, number, number.len(), &mut pair);
    // A product is small, and that with one is the same value.
    work.multiply(&mut pair, ring.one());
    pair
}

/// `x` to the power whose digits of four bits, highest first, `digit` gives. `x` is small or loose, and times R.
pub fn raise<V: Lanes>(work: &mut Work<'_, V>, x: &mut [V], digits: usize, digit: impl Fn(usize) -> V) {
    let n = work.ring.pair();
    let mut table = zeros::<V>(table_limbs(work.ring));
    fill_table(work, x, &mut table);
    let mut chosen = zeros(n);
    x.copy_from_slice(&splat(work.ring.one()));
    for place in 0..digits {
        if place > 0 {
            for _ in 0..ANY_BITS {
                work.square(x);
            }
        }
        V::select_own(&table, digit(place), &mut chosen);
        work.multiply(x, &chosen);
    }
}

/// Limbs of the table of a base for digits of four bits.
pub fn table_limbs(ring: &Ring) -> usize {
    ring.pair() << ANY_BITS
}

/// The powers 0 to 15 of `x`, which is small or loose, and times R.
pub fn fill_table<V: Lanes>(work: &mut Work<'_, V>, x: &[V], table: &mut [V]) {
    let n = work.ring.pair();
    table[..n].copy_from_slice(&splat(work.ring.one()));
    table[n..2 * n].copy_from_slice(x);
    for k in 2..1 << ANY_BITS {
        let (done, next) = table.split_at_mut(k * n);
        next[..n].copy_from_slice(&done[(k - 1) * n..]);
        work.multiply(&mut next[..n], x);
    }
}

/// How exponents are made of digits: so many places, `slot_bits` apart, each with a digit of at most `bits`.
#[derive(Clone, Copy)]
pub struct Digits {
    pub places: usize,
    pub bits: usize,
    pub slot_bits: usize,
}

impl Digits {
    /// Refuses digits that are longer than said, and places that overlap.
    pub fn check(&self, digits: &[u64]) -> Result<(), KernelError> {
        if !(1..=64).contains(&self.bits) || !self.bits.is_multiple_of(ANY_BITS) || self.bits > self.slot_bits {
            return Err(KernelError::Range { what: "digit bits", index: self.bits });
        }
        // All of them are looked at, so that the time does not tell where a long one is.
        let longest = digits.iter().fold(0, |all, digit| all | digit);
        if self.bits < 64 && longest >> self.bits != 0 {
            return Err(KernelError::Range { what: "digits", index: 0 });
        }
        Ok(())
    }
}

/// The product of bases, whose `tables` lie one behind the other, to powers made of `form`: squares are shared by all.
///
/// `digit` gives four bits of a base's digit at a place, from a bit on.
pub fn raise_all<V: Lanes>(
    work: &mut Work<'_, V>,
    x: &mut [V],
    tables: &[V],
    form: Digits,
    digit: impl Fn(usize, usize, usize) -> V,
) {
    let mut chosen = zeros(work.ring.pair());
    x.copy_from_slice(&splat(work.ring.one()));
    for place in (0..form.places).rev() {
        for shift in (0..form.bits).step_by(ANY_BITS).rev() {
            let highest = shift + ANY_BITS == form.bits;
            if !(highest && place + 1 == form.places) {
                for _ in 0..if highest { form.slot_bits - form.bits + ANY_BITS } else { ANY_BITS } {
                    work.square(x);
                }
            }
            for (base, table) in tables.chunks_exact(table_limbs(work.ring)).enumerate() {
                V::select_own(table, digit(base, place, shift), &mut chosen);
                work.multiply(x, &chosen);
            }
        }
    }
}

/// The digit of four bits at `place`, counted from the highest, of a big-endian number.
pub fn nibble(number: &[u8], place: usize) -> u64 {
    u64::from(number[place / 2] >> (4 * (1 - place % 2)) & 15)
}

/// Multiples of a base that stays: for each place of a digit, what each digit there stands for. Wiped when dropped.
pub struct Table {
    entries: Zeroizing<Vec<u64>>,
    pair: usize,
    /// Bytes of an exponent.
    pub exponent_bytes: usize,
}

impl Table {
    /// The table of `base`, a big-endian number below R^4, for exponents of so many bytes.
    pub fn new<V: Lanes>(ring: &Ring, base: &[u8], exponent_bytes: usize) -> Result<Self, KernelError> {
        if !fits(ring, base.len()) || exponent_bytes == 0 {
            return Err(KernelError::Range { what: "base", index: base.len() });
        }
        let (n, entries) = (ring.pair(), 1 << FIXED_BITS);
        let windows = (8 * exponent_bytes).div_ceil(FIXED_BITS);
        let mut work = Work::<V>::new(ring);
        let mut power = zeros(n);
        Door::new(ring).enter(&mut work, base, base.len(), &mut power);
        let mut powers = Zeroizing::new(vec![0; windows * n]);
        let mut words = Zeroizing::new(vec![0; V::N]);
        for row in powers.chunks_exact_mut(n) {
            for (cell, value) in row.iter_mut().zip(power.iter()) {
                value.store(&mut words);
                *cell = words[0];
            }
            for _ in 0..FIXED_BITS {
                work.square(&mut power);
            }
        }
        let mut table = Self { entries: Zeroizing::new(vec![0; windows * entries * n]), pair: n, exponent_bytes };
        let (blocks, bases) = (table.entries.par_chunks_mut(V::N * entries * n), powers.par_chunks(V::N * n));
        blocks.zip(bases).for_each(|(block, bases)| {
            let mut work = Work::<V>::new(ring);
            let mut base = zeros::<V>(n);
            gather(bases, n, 0, n, &mut base);
            let mut entry = splat::<V>(ring.one());
            for k in 0..entries {
                scatter(&entry, block, k * n, entries * n);
                work.multiply(&mut entry, &base);
            }
        });
        Ok(table)
    }

    /// The base to the power of each row of `exponents`, up to `N` rows a group: small pairs, times R.
    ///
    /// Place after place for all groups, so that what is read of the table stays near.
    pub fn raise<V: Lanes>(&self, work: &mut Work<'_, V>, exponents: &[u8], out: &mut [V]) {
        let (n, width) = (self.pair, self.exponent_bytes);
        let (mut chosen, mut digits) = (zeros(n), Zeroizing::new(vec![0; V::N]));
        for (place, entries) in self.entries.chunks_exact(n << FIXED_BITS).enumerate() {
            for (x, rows) in out.chunks_exact_mut(n).zip(exponents.chunks(V::N * width)) {
                for (digit, row) in digits.iter_mut().zip(rows.chunks_exact(width)) {
                    *digit = window(row, place);
                }
                V::select(entries, V::load(&digits), &mut chosen);
                if place == 0 {
                    x.copy_from_slice(&chosen);
                } else {
                    work.multiply(x, &chosen);
                }
            }
        }
    }
}

/// The digit of six bits at `place`, counted from the lowest, of a big-endian number.
fn window(number: &[u8], place: usize) -> u64 {
    let (low, shift) = (FIXED_BITS * place / 8, FIXED_BITS * place % 8);
    let byte = |k: usize| if k < number.len() { u16::from(number[number.len() - 1 - k]) } else { 0 };
    u64::from((byte(low) | byte(low + 1) << 8) >> shift & ((1 << FIXED_BITS) - 1))
}

/// Up to `N` numbers of `limbs` limbs into lanes; number k begins at word `start + k stride`. The others are zero.
pub fn gather<V: Lanes>(words: &[u64], limbs: usize, start: usize, stride: usize, out: &mut [V]) {
    let mut side = Zeroizing::new(vec![0; limbs * V::N]);
    for lane in 0..V::N.min((words.len().saturating_sub(start)).div_ceil(stride)) {
        let from = &words[start + lane * stride..][..limbs];
        for (cell, word) in side[lane..].iter_mut().step_by(V::N).zip(from) {
            *cell = *word;
        }
    }
    for (value, words) in out.iter_mut().zip(side.chunks_exact(V::N)) {
        *value = V::load(words);
    }
}

/// The way back.
pub fn scatter<V: Lanes>(values: &[V], words: &mut [u64], start: usize, stride: usize) {
    let mut side = Zeroizing::new(vec![0; values.len() * V::N]);
    for (value, words) in values.iter().zip(side.chunks_exact_mut(V::N)) {
        value.store(words);
    }
    for lane in 0..V::N.min((words.len().saturating_sub(start)).div_ceil(stride)) {
        let into = &mut words[start + lane * stride..][..values.len()];
        for (word, cell) in into.iter_mut().zip(side[lane..].iter().step_by(V::N)) {
            *word = *cell;
        }
    }
}

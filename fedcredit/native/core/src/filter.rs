//! A compact set of numbers of `bits` bits, coded after Elias and Fano: what one party publishes once, and another looks
//! its own numbers up in.
//!
//! Of `n` numbers in order, each keeps its low `l = bits - ceil(log2 n)` bits as they are; of the others there are so few
//! values that they are told in unary, by a bit vector in which number `i` with high part `h` sets bit `h + i`. That is
//! at most `bits - log2 n + 2` bits a number, where no code takes fewer than `bits - log2 n + 1.44`. The size follows from
//! `n` and `bits` alone, and the code of a set is unique. A number may stand in it more than once.
//!
//! The bit vector comes first, then the low parts, each in whole words of 8 bytes, little-endian.

use rayon::prelude::*;

use crate::bit_fields::{low_mask, read_bits, write_bits};
use crate::error::KernelError;

/// Bytes of a number as it comes in: its first `bits` bits count, the first byte being the most significant.
pub const VALUE_BYTES: usize = 16;

/// The most numbers of one set.
pub const MAX_ENTRIES: usize = 1 << 28;

/// How `n` numbers of `bits` bits lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    n: usize,
    bits: u32,
    low: u32,
    upper_bits: usize,
}

impl Shape {
    pub fn new(n: usize, bits: u32) -> Result<Self, KernelError> {
        if n > MAX_ENTRIES {
            return Err(KernelError::Range { what: "filter entries", index: n });
        }
        if !(1..=128).contains(&bits) {
            return Err(KernelError::Range { what: "filter bits", index: bits as usize });
        }
        let high = n.max(1).next_power_of_two().ilog2().min(bits);
        Ok(Self { n, bits, low: bits - high, upper_bits: n + (1 << high) - 1 })
    }

    /// Bytes of the set.
    pub fn size(&self) -> usize {
        self.upper_bytes() + (self.n * self.low as usize).div_ceil(64) * 8
    }

    fn upper_bytes(&self) -> usize {
        self.upper_bits.div_ceil(64) * 8
    }
}

/// A set that has been checked to be one.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    shape: Shape,
    upper: &'a [[u8; 8]],
    low: &'a [u8],
}

impl<'a> Filter<'a> {
    /// The set in `bytes`. Raises `BadEncoding` unless they are the one code of `n` numbers of `bits` bits: numbers in
    /// order, nothing in bits that stand for none.
    pub fn parse(bytes: &'a [u8], n: usize, bits: u32) -> Result<Self, KernelError> {
        let filter = Self::trust(bytes, n, bits)?;
        let mut before = 0;
        let mut found = 0;
        for value in filter.entries() {
            if value < before {
                return Err(KernelError::BadEncoding { what: "filter: numbers out of order" });
            }
            before = value;
            found += 1;
        }
        let ones: usize = filter.upper.iter().map(|word| u64::from_le_bytes(*word).count_ones() as usize).sum();
        let low_bits = n * filter.shape.low as usize;
        let spare =
            filter.low.last().map_or(0, |_| read_bits(filter.low, low_bits, (filter.low.len() * 8 - low_bits) as u32));
        if found != n || ones != n || spare != 0 {
            return Err(KernelError::BadEncoding { what: "filter: not so many numbers as it should hold" });
        }
        Ok(filter)
    }

    /// As `parse`, of bytes that this program has made or checked before; whatever they hold, nothing panics on it.
    pub fn trust(bytes: &'a [u8], n: usize, bits: u32) -> Result<Self, KernelError> {
        let shape = Shape::new(n, bits)?;
        if bytes.len() != shape.size() {
            return Err(KernelError::Shape { what: "filter bytes", expected: shape.size(), found: bytes.len() });
        }
        let (upper, low) = bytes.split_at(shape.upper_bytes());
        Ok(Self { shape, upper: upper.as_chunks().0, low })
    }

    /// The numbers, in the order of the set.
    pub fn entries(&self) -> Entries<'a> {
        let word = self.upper.first().map_or(0, |word| u64::from_le_bytes(*word));
        Entries { filter: *self, next: 0, word, at: 0 }
    }

    /// Which of `wanted`, rows of 16 bytes, are in the set. One pass over the bit vector, whatever is wanted.
    pub fn contains(&self, wanted: &[u8]) -> Result<Vec<bool>, KernelError> {
        let values = values_of(wanted, self.shape.bits)?;
        let mut order: Vec<(u128, u32)> = values.into_iter().zip(0..).collect();
        order.par_sort_unstable();
        let mut found = vec![false; order.len()];
        // So many zeros stand before the word; a zero closes the numbers of one high part.
        let (mut word, mut zeros) = (0, 0);
        for same in order.chunk_by(|a, b| self.high(a.0) == self.high(b.0)) {
            let high = self.high(same[0].0);
            // To where `high` zeros stand before: the first number with this high part, if there is one.
            let first = loop {
                let Some(bits) = self.upper.get(word).map(|word| u64::from_le_bytes(*word)) else {
                    return Ok(found);
                };
                let here = bits.count_zeros() as usize;
                if high == 0 && word == 0 {
                    break 0;
                }
                if high > 0 && zeros + here >= high {
                    break word * 64 + select_zero(bits, high - zeros - 1) + 1;
                }
                (word, zeros) = (word + 1, zeros + here);
            };
            let mut place = first;
            while self.bit(place) {
                let index = place - high;
                let value = (high as u128).checked_shl(self.shape.low).unwrap_or(0) | self.low_of(index);
                let start = same.partition_point(|&(other, _)| other < value);
                for &(_, row) in same[start..].iter().take_while(|&&(other, _)| other == value) {
                    found[row as usize] = true;
                }
                place += 1;
            }
        }
        Ok(found)
    }

    fn high(&self, value: u128) -> usize {
        value.checked_shr(self.shape.low).unwrap_or(0) as usize
    }

    fn bit(&self, place: usize) -> bool {
        place < self.shape.upper_bits && self.upper[place / 64][place % 64 / 8] >> (place % 8) & 1 == 1
    }

    fn low_of(&self, index: usize) -> u128 {
        if index >= self.shape.n {
            return 0;
        }
        read_bits(self.low, index * self.shape.low as usize, self.shape.low)
    }
}

/// The numbers of a set, one after another.
pub struct Entries<'a> {
    filter: Filter<'a>,
    next: usize,
    word: u64,
    at: usize,
}

impl Iterator for Entries<'_> {
    type Item = u128;

    fn next(&mut self) -> Option<u128> {
        while self.word == 0 {
            self.at += 1;
            self.word = u64::from_le_bytes(*self.filter.upper.get(self.at)?);
        }
        let place = self.at * 64 + self.word.trailing_zeros() as usize;
        let index = self.next;
        if place >= self.filter.shape.upper_bits || index >= self.filter.shape.n {
            return None;
        }
        self.word &= self.word - 1;
        self.next += 1;
        let high = (place - index) as u128;
        Some(high.checked_shl(self.filter.shape.low).unwrap_or(0) | self.filter.low_of(index))
    }
}

/// The set of the first `bits` bits of `rows`, 16 bytes each, into `out`, which is as long as [`Shape::size`] says.
pub fn encode(rows: &[u8], bits: u32, out: &mut [u8]) -> Result<(), KernelError> {
    let mut values = values_of(rows, bits)?;
    values.par_sort_unstable();
    write(values.len(), values.into_iter(), bits, out)
}

/// What a set and a later one do not share.
pub struct Difference {
    pub removed: Vec<u128>,
    pub added: Vec<u128>,
}

impl Difference {
    /// What stands in `old` and not in `new`, and what in `new` and not in `old`, of numbers of one length.
    pub fn between(old: &Filter<'_>, new: &Filter<'_>) -> Result<Self, KernelError> {
        same_bits(old, new)?;
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut before, mut after) = (old.entries().peekable(), new.entries().peekable());
        loop {
            match (before.peek(), after.peek()) {
                (Some(a), Some(b)) if a == b => {
                    before.next();
                    after.next();
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => removed.extend(before.next()),
                (_, Some(_)) => added.extend(after.next()),
                _ => return Ok(Self { removed, added }),
            }
        }
    }
}

/// The set of numbers in order.
pub fn pack(values: &[u128], bits: u32) -> Result<Vec<u8>, KernelError> {
    let mut out = vec![0; Shape::new(values.len(), bits)?.size()];
    write(values.len(), values.iter().copied(), bits, &mut out)?;
    Ok(out)
}

/// `old` without `removed` and with `added`, into `out`. Raises `BadEncoding` where something is to go that is not there.
pub fn apply(old: &Filter<'_>, removed: &Filter<'_>, added: &Filter<'_>, out: &mut [u8]) -> Result<(), KernelError> {
    same_bits(old, removed)?;
    same_bits(old, added)?;
    let Some(left) = old.shape.n.checked_sub(removed.shape.n) else {
        return Err(KernelError::BadEncoding { what: "update: more goes than is there" });
    };
    let mut going = removed.entries().peekable();
    let mut staying = old.entries().filter(|value| going.next_if_eq(value).is_none());
    let mut coming = added.entries().peekable();
    let mut stays = staying.next();
    let merged = std::iter::from_fn(|| {
        if coming.peek().is_some_and(|new| stays.is_none_or(|old| *new < old)) {
            return coming.next();
        }
        let value = stays;
        stays = staying.next();
        value
    });
    // What is to go and is not there leaves more numbers than the sizes say.
    write(left + added.shape.n, merged, old.shape.bits, out)
}

const NOT_THERE: KernelError = KernelError::BadEncoding { what: "update: something is to go that is not there" };

/// Codes `n` numbers in order.
fn write(n: usize, mut values: impl Iterator<Item = u128>, bits: u32, out: &mut [u8]) -> Result<(), KernelError> {
    let shape = Shape::new(n, bits)?;
    if out.len() != shape.size() {
        return Err(KernelError::Shape { what: "filter bytes", expected: shape.size(), found: out.len() });
    }
    out.fill(0);
    let (upper, low) = out.split_at_mut(shape.upper_bytes());
    let mask = low_mask(shape.low);
    for (index, value) in values.by_ref().take(n).enumerate() {
        let place = value.checked_shr(shape.low).unwrap_or(0) as usize + index;
        // No number of an honest set is larger than its bits.
        *upper.get_mut(place / 8).ok_or(NOT_THERE)? |= 1 << (place % 8);
        write_bits(low, index * shape.low as usize, value & mask, shape.low);
    }
    let written: usize =
        upper.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word).count_ones() as usize).sum();
    if written != n || values.next().is_some() {
        return Err(NOT_THERE);
    }
    Ok(())
}

fn values_of(rows: &[u8], bits: u32) -> Result<Vec<u128>, KernelError> {
    let (rows, rest) = rows.as_chunks::<VALUE_BYTES>();
    if !rest.is_empty() {
        return Err(KernelError::Shape { what: "filter values", expected: VALUE_BYTES, found: rest.len() });
    }
    Shape::new(rows.len(), bits)?;
    Ok(rows.par_iter().map(|row| u128::from_be_bytes(*row) >> (128 - bits)).collect())
}

fn same_bits(a: &Filter<'_>, b: &Filter<'_>) -> Result<(), KernelError> {
    let (expected, found) = (a.shape.bits as usize, b.shape.bits as usize);
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what: "filter bits", expected, found }) }
}

/// Where the zero with so many zeros before it stands; there is one.
fn select_zero(word: u64, before: usize) -> usize {
    let mut zeros = !word;
    for _ in 0..before {
        zeros &= zeros - 1;
    }
    zeros.trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose first bits are spread over all values, from a mixer that is no secret.
    fn rows(n: usize, seed: u64) -> Vec<u8> {
        let mix = |x: u64| {
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        let words = (0..2 * n as u64).map(|i| mix(seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        words.flat_map(u64::to_be_bytes).collect()
    }

    fn encoded(rows: &[u8], bits: u32) -> Vec<u8> {
        let mut out = vec![0xff; Shape::new(rows.len() / VALUE_BYTES, bits).unwrap().size()];
        encode(rows, bits, &mut out).unwrap();
        out
    }

    #[test]
    fn reads_back_what_was_put_in() {
        for n in [0, 1, 2, 3, 63, 64, 65, 1_000, 40_000] {
            for bits in [1, 5, 40, 64, 84, 127, 128] {
                let rows = rows(n, 7);
                let set = encoded(&rows, bits);
                let filter = Filter::parse(&set, n, bits).unwrap();
                let mut expected = values_of(&rows, bits).unwrap();
                expected.sort_unstable();
                assert!(filter.entries().eq(expected.iter().copied()), "{n} numbers of {bits} bits");
                assert!(filter.contains(&rows).unwrap().into_iter().all(|found| found));
                let others = self::rows(500, 8);
                let there: Vec<bool> =
                    values_of(&others, bits).unwrap().iter().map(|v| expected.binary_search(v).is_ok()).collect();
                assert_eq!(filter.contains(&others).unwrap(), there);
            }
        }
    }

    #[test]
    fn takes_two_bits_more_than_it_must() {
        for n in [1_000usize, 1_024, 1_025, 10_000_000, 100_000_000] {
            let size = Shape::new(n, 84).unwrap().size() as f64 * 8.0 / n as f64;
            assert!(size < 84.0 - (n as f64).log2() + 2.0 + 128.0 / n as f64, "{n}: {size}");
        }
    }

    #[test]
    fn goes_from_one_set_to_another() {
        let all = rows(5_000, 3);
        for (before, after) in [(0..3_000, 1_000..5_000), (0..0, 0..10), (0..10, 0..0), (0..64, 0..64)] {
            let cut = |range: std::ops::Range<usize>| &all[range.start * VALUE_BYTES..range.end * VALUE_BYTES];
            let (old, new) = (encoded(cut(before.clone()), 84), encoded(cut(after.clone()), 84));
            let old = Filter::parse(&old, before.len(), 84).unwrap();
            let found = Difference::between(&old, &Filter::parse(&new, after.len(), 84).unwrap()).unwrap();
            let (gone, come) = (pack(&found.removed, 84).unwrap(), pack(&found.added, 84).unwrap());
            let gone = Filter::parse(&gone, found.removed.len(), 84).unwrap();
            let come = Filter::parse(&come, found.added.len(), 84).unwrap();
            let mut out = vec![0; new.len()];
            apply(&old, &gone, &come, &mut out).unwrap();
            assert_eq!(out, new);
            // What is not there cannot go.
            let mut out =
                vec![0; Shape::new((before.len() + come.shape.n).saturating_sub(come.shape.n), 84).unwrap().size()];
            assert!(come.shape.n == 0 || apply(&old, &come, &come, &mut out).is_err());
        }
    }

    #[test]
    fn equal_numbers_stand_as_often_as_they_were_put_in() {
        let rows = [rows(10, 1), rows(10, 1), rows(3, 1)].concat();
        let set = encoded(&rows, 90);
        let filter = Filter::parse(&set, 23, 90).unwrap();
        assert_eq!(filter.entries().count(), 23);
        let one = encoded(&self::rows(3, 1), 90);
        let mut out = vec![0; Shape::new(20, 90).unwrap().size()];
        apply(&filter, &Filter::parse(&one, 3, 90).unwrap(), &Filter::parse(&[], 0, 90).unwrap(), &mut out).unwrap();
        assert_eq!(Filter::parse(&out, 20, 90).unwrap().entries().count(), 20);
    }

    #[test]
    fn refuses_what_is_no_set() {
        let set = encoded(&rows(100, 5), 84);
        assert!(Filter::parse(&set[1..], 100, 84).is_err());
        assert!(Filter::parse(&set, 101, 84).is_err());
        assert!(Shape::new(MAX_ENTRIES + 1, 84).is_err());
        assert!(Shape::new(1, 129).is_err());
        let mut refused = 0;
        for bit in 0..set.len() * 8 {
            let mut other = set.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            // Another low bit may be another set; nothing panics on any.
            let wrong = Filter::parse(&other, 100, 84).is_err();
            refused += usize::from(wrong);
            let filter = Filter::trust(&other, 100, 84).unwrap();
            filter.contains(&rows(50, 6)).unwrap();
            let none = Filter::parse(&[], 0, 84).unwrap();
            let mut out = vec![0; set.len()];
            let _ = apply(&filter, &none, &none, &mut out);
        }
        let upper_and_spare = 256 + 64 - (100 * 77) % 64;
        assert!(refused >= upper_and_spare, "{refused}");
    }
}

//! Paillier's cryptosystem in batches: what a public key allows. A ciphertext is a big-endian number below n^2.
//!
//! Encryption is (1 + m n) h^r modulo n^2 with h an n-th residue that stays, so h^r comes from a table. Ciphertexts are
//! rows of `2 width` bytes, plaintexts of `width`. Numbers that come in may be anything of that length: those who call
//! have refused what is no ciphertext; nothing here can panic or be wrong modulo n^2.
//!
//! Source: I. Damgard, M. Jurik, J. Nielsen: A generalization of Paillier's public-key system, 2010, sections 3 and 4.

use rayon::prelude::*;

use crate::arithmetic::Arithmetic;
use crate::error::KernelError;
use crate::lanes::Lanes;
use crate::limbs::{load_rows, store_rows, value_bits};
use crate::powers::{Digits, Door, Table, fill_table, gather, nibble, raise, raise_all, scatter, table_limbs};
use crate::square_ring::{Ring, Work, zeros};

/// Groups of rows that a task takes, at most: what a table is read for at a time.
const GROUPS: usize = 8;

/// Rows whose ciphertexts are held in the form that is multiplied: 8 MiB at 3072 bits.
const HELD: usize = 8192;

/// Calls a function for the arithmetic.
#[macro_export]
macro_rules! with_lanes {
    ($arithmetic:expr, $lanes:ident => $call:expr) => {
        match $arithmetic {
            $crate::arithmetic::Arithmetic::Portable => {
                type $lanes = u64;
                $call
            }
            #[cfg(target_arch = "x86_64")]
            $crate::arithmetic::Arithmetic::Eight => {
                type $lanes = $crate::lanes8::Eight;
                $call
            }
        }
    };
}

/// A public key: the ring of n.
pub struct Public {
    pub ring: Ring,
    /// Bytes of n.
    pub width: usize,
    arithmetic: Arithmetic,
}

impl Public {
    /// The key of an odd modulus without leading zero bytes. Whether it is a good one is not looked at here.
    pub fn new(n: &[u8], portable: bool) -> Result<Self, KernelError> {
        let arithmetic = if portable { Arithmetic::Portable } else { Arithmetic::best() };
        if value_bits(n).div_ceil(8) != n.len() {
            return Err(KernelError::Range { what: "modulus", index: 0 });
        }
        Ok(Self { ring: Ring::new(n)?, width: n.len(), arithmetic })
    }

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Bytes of a ciphertext.
    pub fn wide(&self) -> usize {
        2 * self.width
    }

    /// `a[i] b[i]` modulo n^2: ciphertexts of the sums.
    pub fn add(&self, a: &[u8], b: &[u8]) -> Result<Vec<u8>, KernelError> {
        let rows = rows(a, self.wide(), "ciphertexts")?;
        same(rows, self::rows(b, self.wide(), "ciphertexts")?)?;
        Ok(with_lanes!(self.arithmetic, V => self.each::<V>(rows, |task, first, x| {
            let (at, to) = (first * self.wide(), (first + V::N).min(rows) * self.wide());
            let mut y = zeros(self.ring.pair());
            task.door.enter(&mut task.work, &a[at..to], self.wide(), x);
            task.door.enter(&mut task.work, &b[at..to], self.wide(), &mut y);
            task.work.multiply(x, &y);
            task.work.leave(x);
        })))
    }

    /// `c[i]^k[i]` modulo n^2, for big-endian exponents of one width: ciphertexts of multiples. Constant time in `k`.
    pub fn power(&self, c: &[u8], k: &[u8], bytes: usize) -> Result<Vec<u8>, KernelError> {
        let rows = rows(c, self.wide(), "ciphertexts")?;
        same(rows, self::rows(k, bytes, "exponents")?)?;
        Ok(with_lanes!(self.arithmetic, V => self.each::<V>(rows, |task, first, x| {
            let to = (first + V::N).min(rows);
            let exponents = &k[first * bytes..to * bytes];
            task.door.enter(&mut task.work, &c[first * self.wide()..to * self.wide()], self.wide(), x);
            raise(&mut task.work, x, 2 * bytes, |place| {
                let mut digits = [0; 8];
                for (digit, row) in digits.iter_mut().zip(exponents.chunks_exact(bytes)) {
                    *digit = nibble(row, place);
                }
                V::load(&digits)
            });
            task.work.leave(x);
        })))
    }

    /// Of every `bases` rows in a row one: the product of `c^k`, where k is the sum over places j of its digit there times
    /// 2^(j slot bits). Digits lie as (rows, bases, places), the lowest place first. Constant time in them.
    pub fn combined(&self, c: &[u8], digits: &[u64], bases: usize, form: Digits) -> Result<Vec<u8>, KernelError> {
        form.check(digits)?;
        let parts = rows(c, self.wide(), "ciphertexts")?;
        let of_row = bases * form.places;
        match parts.checked_rem(bases) {
            Some(0) => same(parts * form.places, digits.len())?,
            _ => return Err(KernelError::Shape { what: "bases", expected: bases, found: parts }),
        }
        Ok(with_lanes!(self.arithmetic, V => self.each::<V>(parts / bases, |task, first, x| {
            let to = (first + V::N).min(parts / bases);
            let mut tables = zeros(bases * table_limbs(&self.ring));
            for (base, table) in tables.chunks_exact_mut(table_limbs(&self.ring)).enumerate() {
                let own: Vec<u8> = (first..to)
                    .flat_map(|row| &c[(row * bases + base) * self.wide()..][..self.wide()])
                    .copied()
                    .collect();
                task.door.enter(&mut task.work, &own, self.wide(), x);
                fill_table(&mut task.work, x, table);
            }
            raise_all(&mut task.work, x, &tables, form, |base, place, shift| {
                let mut lanes = [0; 8];
                for (lane, row) in lanes.iter_mut().zip(first..to) {
                    *lane = digits[row * of_row + base * form.places + place] >> shift & 15;
                }
                V::load(&lanes)
            });
            task.work.leave(x);
        })))
    }

    /// The table of `base`, for exponents of so many bytes.
    pub fn table(&self, base: &[u8], exponent_bytes: usize) -> Result<Table, KernelError> {
        with_lanes!(self.arithmetic, V => Table::new::<V>(&self.ring, base, exponent_bytes))
    }

    /// `(1 + m[i] n) base^r[i]` modulo n^2. Plaintexts are below n. Constant time in `m` and `r`.
    pub fn encrypt(&self, table: &Table, m: &[u8], r: &[u8]) -> Result<Vec<u8>, KernelError> {
        let rows = rows(m, self.width, "plaintexts")?;
        same(rows, self::rows(r, table.exponent_bytes, "exponents")?)?;
        Ok(with_lanes!(self.arithmetic, V => self.raised::<V>(table, r, rows, |task, first, x| {
            // The pair of 1 + m n, which is not times R: so the product is the value.
            let mut message = zeros(self.ring.pair());
            message[0] = V::splat(1);
            let plain = &m[first * self.width..(first + V::N).min(rows) * self.width];
            load_rows(plain, self.width, &mut message[self.ring.limbs..]);
            task.work.multiply(x, &message);
        })))
    }

    /// `c[i] base^r[i]` modulo n^2: other ciphertexts of the same plaintexts.
    pub fn randomise(&self, table: &Table, c: &[u8], r: &[u8]) -> Result<Vec<u8>, KernelError> {
        let rows = rows(c, self.wide(), "ciphertexts")?;
        same(rows, self::rows(r, table.exponent_bytes, "exponents")?)?;
        Ok(with_lanes!(self.arithmetic, V => self.raised::<V>(table, r, rows, |task, first, x| {
            let mut y = zeros(self.ring.pair());
            let own = &c[first * self.wide()..(first + V::N).min(rows) * self.wide()];
            task.door.enter(&mut task.work, own, self.wide(), &mut y);
            task.work.multiply(x, &y);
            task.work.leave(x);
        })))
    }

    /// The product of the rows of each group, for each column of `groups` (rows, columns): (columns, n_groups) ciphertexts.
    /// A group without rows is one. Which addresses are touched depends on the groups.
    pub fn sums(&self, c: &[u8], groups: &[u32], columns: usize, n_groups: usize) -> Result<Vec<u8>, KernelError> {
        let rows = rows(c, self.wide(), "ciphertexts")?;
        same(rows * columns, groups.len())?;
        if let Some(index) = groups.iter().position(|&group| group as usize >= n_groups) {
            return Err(KernelError::Range { what: "groups", index });
        }
        Ok(with_lanes!(self.arithmetic, V => self.sums_by::<V>(c, rows, groups, columns, n_groups)))
    }

    fn sums_by<V: Lanes>(&self, c: &[u8], rows: usize, groups: &[u32], columns: usize, n_groups: usize) -> Vec<u8> {
        let pair = self.ring.pair();
        if columns == 0 || n_groups == 0 {
            return Vec::new();
        }
        // A lane takes a stream: every `split`-th row of a column.
        let split = (V::N * rayon::current_num_threads()).div_ceil(columns).min(rows.max(1));
        let streams = (columns * split).div_ceil(V::N);
        let one: Vec<u64> = self.ring.one().iter().flat_map(|&limb| vec![limb; V::N]).collect();
        let mut totals: Vec<Vec<u64>> = vec![one.repeat(n_groups); streams];
        let mut held = vec![0; HELD.min(rows) * pair];
        for first in (0..rows).step_by(HELD) {
            let count = HELD.min(rows - first);
            let part = &c[first * self.wide()..(first + count) * self.wide()];
            let held = &mut held[..count * pair];
            held.par_chunks_mut(V::N * pair).zip(part.par_chunks(V::N * self.wide())).for_each_init(
                || Task::<V>::new(&self.ring),
                |task, (into, rows)| {
                    let mut x = zeros(pair);
                    task.door.enter(&mut task.work, rows, self.wide(), &mut x);
                    scatter(&x, into, 0, pair);
                },
            );
            let (held, groups) = (&*held, &groups[first * columns..]);
            totals.par_iter_mut().enumerate().for_each_init(
                || Work::<V>::new(&self.ring),
                |work, (number, totals)| add_streams(work, held, groups, columns, split, number * V::N, totals),
            );
        }
        // Stream s of a column and group, all of which are multiplied.
        let total = |column: usize, group: usize, s: usize| {
            let (stream, lane) = ((column * split + s) / V::N, (column * split + s) % V::N);
            totals[stream][group * pair * V::N + lane..].iter().step_by(V::N).take(pair)
        };
        self.each::<V>(columns * n_groups, |task, first, x| {
            let (mut words, mut y) = (vec![0; V::N * pair], zeros(pair));
            for s in 0..split {
                for (lane, row) in (first..(first + V::N).min(columns * n_groups)).enumerate() {
                    for (word, limb) in words[lane * pair..].iter_mut().zip(total(row / n_groups, row % n_groups, s)) {
                        *word = *limb;
                    }
                }
                gather(&words, pair, 0, pair, if s == 0 { &mut *x } else { &mut y });
                if s > 0 {
                    task.work.multiply(x, &y);
                }
            }
            task.work.leave(x);
        })
    }

    /// Rows of ciphertexts, `N` at a time: `compute` gives them as values.
    fn each<V: Lanes>(&self, rows: usize, compute: impl Fn(&mut Task<'_, V>, usize, &mut [V]) + Sync) -> Vec<u8> {
        let mut out = vec![0; rows * self.wide()];
        out.par_chunks_mut(V::N * self.wide()).enumerate().for_each_init(
            || Task::new(&self.ring),
            |task, (number, out)| {
                let mut x = zeros(self.ring.pair());
                compute(task, number * V::N, &mut x);
                task.finish(&mut x, out, self.wide());
            },
        );
        out
    }

    /// Rows of ciphertexts, each made by `compute` from the table's base to the power of the row's exponent.
    fn raised<V: Lanes>(
        &self,
        table: &Table,
        exponents: &[u8],
        rows: usize,
        compute: impl Fn(&mut Task<'_, V>, usize, &mut [V]) + Sync,
    ) -> Vec<u8> {
        let block = V::N * groups::<V>(rows);
        let mut out = vec![0; rows * self.wide()];
        let parts = exponents.par_chunks(block * table.exponent_bytes);
        out.par_chunks_mut(block * self.wide()).zip(parts).enumerate().for_each(|(number, (out, exponents))| {
            let (mut task, pair) = (Task::<V>::new(&self.ring), self.ring.pair());
            let count = exponents.len() / table.exponent_bytes;
            let mut powers = zeros(count.div_ceil(V::N) * pair);
            table.raise(&mut task.work, exponents, &mut powers);
            let groups = powers.chunks_exact_mut(pair).zip(out.chunks_mut(V::N * self.wide()));
            for (group, (x, out)) in groups.enumerate() {
                compute(&mut task, number * block + group * V::N, x);
                task.finish(x, out, self.wide());
            }
        });
        out
    }
}

/// What a thread computes with.
struct Task<'a, V: Lanes> {
    work: Work<'a, V>,
    door: Door<V>,
}

impl<'a, V: Lanes> Task<'a, V> {
    fn new(ring: &'a Ring) -> Self {
        Self { work: Work::new(ring), door: Door::new(ring) }
    }

    /// Values to canonical bytes. A small pair is below 2 m + 2 m^2 and so takes at most two subtractions of m^2.
    fn finish(&mut self, x: &mut [V], out: &mut [u8], width: usize) {
        self.work.canonical(x);
        store_rows(x, out, width);
    }
}

/// Groups of rows for each task: few enough that all threads have one.
pub fn groups<V: Lanes>(rows: usize) -> usize {
    rows.div_ceil(V::N).div_ceil(rayon::current_num_threads()).clamp(1, GROUPS)
}

/// Multiplies what `held` has of the streams from `first_stream` on into their totals, a lane each.
fn add_streams<V: Lanes>(
    work: &mut Work<'_, V>,
    held: &[u64],
    groups: &[u32],
    columns: usize,
    split: usize,
    first_stream: usize,
    totals: &mut [u64],
) {
    let pair = work.ring.pair();
    let rows = held.len() / pair;
    let (mut words, mut news) = (vec![0; pair * V::N], vec![0; pair * V::N]);
    let (mut x, mut y) = (zeros(pair), zeros(pair));
    for step in 0..rows.div_ceil(split) {
        // Where each lane's stream has a row, its total and the row; the others multiply zeros.
        let place = |lane: usize| {
            let (column, row) = ((first_stream + lane) / split, step * split + (first_stream + lane) % split);
            (column < columns && row < rows)
                .then(|| (row, groups[row * columns + column] as usize * pair * V::N + lane))
        };
        for lane in 0..V::N {
            if let Some((row, total)) = place(lane) {
                let from = totals[total..].iter().step_by(V::N).zip(&held[row * pair..]);
                for (cell, (total, limb)) in (0..pair).map(|k| k * V::N + lane).zip(from) {
                    (words[cell], news[cell]) = (*total, *limb);
                }
            }
        }
        load(&words, &mut x);
        load(&news, &mut y);
        work.multiply(&mut x, &y);
        for (value, words) in x.iter().zip(words.chunks_exact_mut(V::N)) {
            value.store(words);
        }
        for lane in 0..V::N {
            if let Some((_, total)) = place(lane) {
                let own = words[lane..].iter().step_by(V::N);
                for (total, word) in totals[total..].iter_mut().step_by(V::N).zip(own) {
                    *total = *word;
                }
            }
        }
    }
}

fn load<V: Lanes>(words: &[u64], out: &mut [V]) {
    for (value, words) in out.iter_mut().zip(words.chunks_exact(V::N)) {
        *value = V::load(words);
    }
}

/// How many rows of `width` bytes.
pub fn rows(bytes: &[u8], width: usize, what: &'static str) -> Result<usize, KernelError> {
    match bytes.len().checked_rem(width) {
        Some(0) => Ok(bytes.len() / width),
        _ => Err(KernelError::Shape { what, expected: width, found: bytes.len() }),
    }
}

/// Refuses another number of rows.
pub fn same(expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what: "rows", expected, found }) }
}

//! Paillier's cryptosystem in batches: what the two primes allow. Encryption and decryption go modulo p^2 and q^2, each a
//! quarter of the work modulo n^2, and come together by the Chinese remainder theorem.
//!
//! Constant time in primes, plaintexts and exponents of blinding. Everything that is computed from the primes is wiped
//! when dropped.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::lanes::Lanes;
use crate::limbs::{store_rows, value_bits};
use crate::paillier::{Public, groups, rows, same};
use crate::powers::{Door, Table, enter_one, fits, nibble, parts, raise};
use crate::square_ring::{Numbers, Ring, Work, splat, zeros};
use crate::with_lanes;

/// What both primes need of one of them, as its owner computes it: big-endian numbers.
pub struct PrimeParts<'a> {
    pub prime: &'a [u8],
    /// 1 modulo the square of this prime, 0 modulo that of the other; below n^2.
    pub of_squares: &'a [u8],
    /// Modulo this prime, what L(c^(prime - 1)) is multiplied by to give the plaintext; 0 modulo the other; below n.
    pub of_plaintexts: &'a [u8],
}

/// A private key. What it encrypts looks like what others encrypt.
pub struct Owner {
    public: Public,
    primes: [Prime; 2],
}

/// One prime's side.
struct Prime {
    ring: Ring,
    /// The prime less one.
    order: Zeroizing<Vec<u8>>,
    /// The other prime times R^(k + 1), modulo this one: makes m n modulo the square of parts of m.
    other: Vec<Zeroizing<Vec<u64>>>,
    of_squares: Zeroizing<Vec<u64>>,
    of_plaintexts: Zeroizing<Vec<u64>>,
}

/// Tables of one base modulo both squares.
pub struct OwnTables([Table; 2]);

impl OwnTables {
    /// Bytes of an exponent.
    pub fn exponent_bytes(&self) -> usize {
        self.0[0].exponent_bytes
    }
}

impl Owner {
    /// The key of two odd primes of one length and of what was computed from them. None of it is checked for being so.
    pub fn new(n: &[u8], p: &PrimeParts<'_>, q: &PrimeParts<'_>, portable: bool) -> Result<Self, KernelError> {
        let public = Public::new(n, portable)?;
        let primes = [Prime::new(&public, p, q.prime)?, Prime::new(&public, q, p.prime)?];
        Ok(Self { public, primes })
    }

    /// Bytes of n.
    pub fn width(&self) -> usize {
        self.public.width
    }

    /// Tables of `base`, a number below n^2, for exponents of so many bytes.
    pub fn tables(&self, base: &[u8], exponent_bytes: usize) -> Result<OwnTables, KernelError> {
        let [p, q] = &self.primes;
        Ok(with_lanes!(self.public.arithmetic(), V => OwnTables([
            Table::new::<V>(&p.ring, base, exponent_bytes)?,
            Table::new::<V>(&q.ring, base, exponent_bytes)?,
        ])))
    }

    /// `(1 + m[i] n) base^r[i]` modulo n^2. Plaintexts are below n.
    pub fn encrypt(&self, tables: &OwnTables, m: &[u8], r: &[u8]) -> Result<Vec<u8>, KernelError> {
        let (width, bytes) = (self.width(), tables.exponent_bytes());
        let rows = rows(m, width, "plaintexts")?;
        same(rows, self::rows(r, bytes, "exponents")?)?;
        Ok(with_lanes!(self.public.arithmetic(), V => {
            let block = V::N * groups::<V>(rows);
            let mut out = vec![0; rows * self.public.wide()];
            let blocks = m.par_chunks(block * width).zip(r.par_chunks(block * bytes));
            out.par_chunks_mut(block * self.public.wide()).zip(blocks).for_each(|(out, (m, r))| {
                self.encrypt_block::<V>(tables, m, r, out);
            });
            out
        }))
    }

    /// The plaintexts of `c`, below n.
    pub fn decrypt(&self, c: &[u8]) -> Result<Vec<u8>, KernelError> {
        let (width, wide) = (self.width(), self.public.wide());
        let rows = rows(c, wide, "ciphertexts")?;
        Ok(with_lanes!(self.public.arithmetic(), V => {
            let mut out = vec![0; rows * width];
            out.par_chunks_mut(V::N * width).zip(c.par_chunks(V::N * wide)).for_each_init(
                || self.sides::<V>(),
                |sides, (out, c)| self.decrypt_group(sides, c, out),
            );
            out
        }))
    }

    fn encrypt_block<V: Lanes>(&self, tables: &OwnTables, m: &[u8], r: &[u8], out: &mut [u8]) {
        let (width, limbs) = (self.width(), self.public.ring.limbs);
        let count = (m.len() / width).div_ceil(V::N);
        // Both halves of every group, side by side.
        let mut halves = zeros::<V>(count * 2 * limbs);
        for (side, (prime, table)) in self.primes.iter().zip(&tables.0).enumerate() {
            let (mut work, pair) = (Work::<V>::new(&prime.ring), prime.ring.pair());
            let constants: Vec<Numbers<V>> = prime.other.iter().map(|constant| splat(constant)).collect();
            let mut powers = zeros::<V>(count * pair);
            table.raise(&mut work, r, &mut powers);
            let mut message = zeros::<V>(pair);
            for (group, (x, m)) in powers.chunks_exact_mut(pair).zip(m.chunks(V::N * width)).enumerate() {
                // 1 + m n modulo the square is 1 + (m other modulo the prime) prime.
                work.combine(&parts(m, width, prime.ring.limbs), &constants, &mut message);
                let (one, times) = message.split_at_mut(prime.ring.limbs);
                times.copy_from_slice(one);
                one.fill(V::splat(0));
                one[0] = V::splat(1);
                work.multiply(x, &message);
                work.expand(x);
                copy_low(x, &mut halves[(2 * group + side) * limbs..][..limbs]);
            }
        }
        let mut work = Work::<V>::new(&self.public.ring);
        let constants = self.primes.each_ref().map(|prime| splat::<V>(&prime.of_squares));
        let mut x = zeros::<V>(self.public.ring.pair());
        let groups = halves.chunks_exact(2 * limbs).zip(out.chunks_mut(V::N * self.public.wide()));
        for (halves, out) in groups {
            work.combine(halves, &constants, &mut x);
            work.canonical(&mut x);
            store_rows(&x, out, self.public.wide());
        }
    }

    fn decrypt_group<V: Lanes>(&self, sides: &mut Sides<'_, V>, c: &[u8], out: &mut [u8]) {
        let limbs = self.public.ring.limbs;
        let mut halves = zeros::<V>(2 * limbs);
        for ((prime, (work, door)), half) in
            self.primes.iter().zip(&mut sides.primes).zip(halves.chunks_exact_mut(limbs))
        {
            let mut x = zeros::<V>(prime.ring.pair());
            door.enter(work, c, self.public.wide(), &mut x);
            raise(work, &mut x, 2 * prime.order.len(), |place| V::splat(nibble(&prime.order, place)));
            work.leave(&mut x);
            // The power is 1 + L p, so L is the second half of its pair.
            copy_low(&x[prime.ring.limbs..], half);
        }
        let mut x = zeros::<V>(self.public.ring.pair());
        sides.public.combine(&halves, &sides.constants, &mut x);
        let plain = &mut x[..limbs];
        // The first half of a sum of two small parts is at most n + 1.
        V::subtract_once(plain, &self.public.ring.m);
        store_rows(plain, out, self.width());
    }

    fn sides<V: Lanes>(&self) -> Sides<'_, V> {
        Sides {
            primes: self.primes.each_ref().map(|prime| (Work::new(&prime.ring), Door::new(&prime.ring))),
            public: Work::new(&self.public.ring),
            constants: self.primes.each_ref().map(|prime| splat(&prime.of_plaintexts)),
        }
    }
}

/// What a thread decrypts with.
struct Sides<'a, V: Lanes> {
    primes: [(Work<'a, V>, Door<V>); 2],
    public: Work<'a, V>,
    constants: [Numbers<V>; 2],
}

impl Prime {
    fn new(public: &Public, own: &PrimeParts<'_>, other: &[u8]) -> Result<Self, KernelError> {
        let ring = Ring::new(own.prime)?;
        if !fits(&ring, public.wide()) || 2 * value_bits(own.prime) > 8 * public.width {
            return Err(KernelError::Range { what: "prime", index: value_bits(own.prime) });
        }
        let mut order = Zeroizing::new(own.prime.to_vec());
        if let Some(last) = order.last_mut() {
            *last &= 0xfe;
        }
        let inside = enter_one(&ring, other);
        let other = (1..=4).map(|k| {
            // Part k - 1 is worth R^(k - 1), and what is combined is divided by R.
            let (mut work, mut x) = (Work::<u64>::new(&ring), inside.clone());
            work.multiply(&mut x, ring.power(k));
            x[ring.limbs..].fill(0);
            x
        });
        Ok(Self {
            order,
            other: other.collect(),
            of_squares: constant(&public.ring, own.of_squares)?,
            of_plaintexts: constant(&public.ring, own.of_plaintexts)?,
            ring,
        })
    }
}

/// The pair of a number, times R.
fn constant(ring: &Ring, number: &[u8]) -> Result<Zeroizing<Vec<u64>>, KernelError> {
    if !fits(ring, number.len()) {
        return Err(KernelError::Range { what: "constant", index: number.len() });
    }
    Ok(enter_one(ring, number))
}

/// The low limbs of a number; those above are zero.
fn copy_low<V: Lanes>(from: &[V], into: &mut [V]) {
    let n = from.len().min(into.len());
    into[..n].copy_from_slice(&from[..n]);
}

//! Durations counted in buckets that grow with them: 128 to every doubling, so that none is wrong by 1 % of itself.

const PER_DOUBLING_BITS: u32 = 7;
const PER_DOUBLING: usize = 1 << PER_DOUBLING_BITS;
/// Up to 2^64 nanoseconds.
const BUCKETS: usize = (64 - PER_DOUBLING_BITS as usize + 1) * PER_DOUBLING;

/// How often which duration occurred. Units: nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    highest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], highest: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.highest = self.highest.max(nanoseconds);
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.highest = self.highest.max(other.highest);
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The longest, exactly; 0 if there is none.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The longest duration of each bucket that holds any, with how many it holds, in order.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(place, &count)| (longest(place).min(self.highest), count)).collect()
    }
}

/// Below 128 every nanosecond has a bucket; above, the seven bits behind the first one choose it.
fn bucket(value: u64) -> usize {
    let bits = 64 - value.leading_zeros();
    let doubling = bits.saturating_sub(PER_DOUBLING_BITS + 1);
    let within = (value >> doubling) as usize;
    doubling as usize * PER_DOUBLING + within
}

fn longest(place: usize) -> u64 {
    let doubling = (place / PER_DOUBLING).saturating_sub(1);
    let within = (place - doubling * PER_DOUBLING) as u128;
    u64::try_from(((within + 1) << doubling) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_a_bucket_less_than_a_hundredth_wide() {
        let mut values: Vec<u64> = (0..5000).collect();
        for shift in 0..64 {
            values.extend([1u64 << shift, (1u64 << shift) - 1, (1u64 << shift) + (1u64 << shift) / 3]);
        }
        for value in values.into_iter().chain([u64::MAX]) {
            let high = longest(bucket(value));
            assert!(high >= value, "{value} in a bucket up to {high}");
            assert!(high - value <= value / 100, "{value} in a bucket up to {high}");
        }
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for place in 0..BUCKETS - 1 {
            assert_eq!(bucket(longest(place)), place);
            assert_eq!(bucket(longest(place) + 1), place + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn counts_add_up() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        for value in [5, 5, 1_000_000] {
            one.add(value);
        }
        other.add(2_000_000);
        one.merge(&other);
        assert_eq!((one.total(), one.highest()), (4, 2_000_000));
        let found = one.buckets();
        assert_eq!(found.iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert_eq!((found[0], found.last().copied()), ((5, 2), Some((2_000_000, 1))));
    }
}

//! When calls are due: evenly, or at random as of many callers who do not know each other. The same seed gives the same
//! times.

/// How calls arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// One after the other at the same distance.
    Even,
    /// A Poisson process: distances are exponential.
    Poisson,
}

/// The times at which calls are due. Units: nanoseconds from the start.
#[derive(Debug, Clone)]
pub struct Schedule {
    arrivals: Arrivals,
    distance: f64,
    next: f64,
    random: SplitMix,
}

impl Schedule {
    /// `rate` calls a second on average.
    pub fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        let mut made = Self { arrivals, distance: 1e9 / rate, next: 0.0, random: SplitMix(seed) };
        made.advance();
        made
    }

    /// When the next call is due.
    pub fn due(&self) -> u64 {
        self.next as u64
    }

    pub fn advance(&mut self) {
        self.next += match self.arrivals {
            Arrivals::Even => self.distance,
            // In (0, 1], so that the logarithm is finite.
            Arrivals::Poisson => -self.distance * (1.0 - self.random.unit()).ln(),
        };
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for arrivals, and nothing that is secret comes from it.
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(mut schedule: Schedule, n: usize) -> Vec<u64> {
        let mut next = || {
            let due = schedule.due();
            schedule.advance();
            due
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn even_calls_are_as_far_apart_as_the_rate_says() {
        assert_eq!(times(Schedule::new(Arrivals::Even, 1000.0, 1), 3), [1_000_000, 2_000_000, 3_000_000]);
    }

    #[test]
    fn random_calls_have_the_rate_and_the_spread_of_a_poisson_process() {
        const N: usize = 200_000;
        let due = times(Schedule::new(Arrivals::Poisson, 1000.0, 7), N);
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // The seed is fixed, so these hold or do not; both are within four standard errors.
        assert!((mean / 1e6 - 1.0).abs() < 0.01, "mean {mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.01, "spread {}", variance.sqrt() / mean);
        let late = gaps.iter().filter(|gap| **gap > 1e6).count() as f64 / gaps.len() as f64;
        assert!((late - (-1.0f64).exp()).abs() < 0.01, "{late} above the mean");
    }

    #[test]
    fn a_seed_gives_the_same_times_and_another_one_others() {
        let first = times(Schedule::new(Arrivals::Poisson, 50.0, 7), 100);
        assert_eq!(first, times(Schedule::new(Arrivals::Poisson, 50.0, 7), 100));
        assert_ne!(first, times(Schedule::new(Arrivals::Poisson, 50.0, 8), 100));
    }
}

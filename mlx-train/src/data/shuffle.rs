// SPDX-License-Identifier: EUPL-1.2
//! Orders that depend on a seed alone: not on the platform, and not on the version of any crate.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a counter in steps of the golden ratio, mixed.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> SplitMix64 {
        SplitMix64 { state: seed }
    }

    /// The generator of one epoch. The seed is mixed first, so that epoch 1 of a seed is not epoch 0 of the next.
    pub(crate) fn for_epoch(seed: u64, epoch: u64) -> SplitMix64 {
        let mixed = SplitMix64::new(seed).next();
        SplitMix64::new(SplitMix64::new(mixed ^ epoch).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each equally likely (Lemire, arXiv:1805.10941); 0 where `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        let threshold = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            // The lower half decides whether the draw counts, the upper half is its value.
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Fisher and Yates: each order equally likely.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_published_generator() {
        // The values that the reference implementation in C gives for this seed.
        let mut random = SplitMix64::new(1_234_567);
        let draws: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(draws, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn an_order_is_the_same_everywhere() {
        let order = |seed, epoch| {
            let mut order: Vec<u8> = (0..10).collect();
            SplitMix64::for_epoch(seed, epoch).shuffle(&mut order);
            order
        };
        // Computed by an implementation in Python.
        assert_eq!(order(0, 0), [4, 7, 0, 5, 9, 3, 6, 2, 8, 1]);
        assert_ne!(order(0, 1), order(1, 0));
    }

    #[test]
    fn each_order_is_as_likely_as_the_others() {
        let mut random = SplitMix64::new(3);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut order = [0u8, 1, 2];
            random.shuffle(&mut order);
            *counts.entry(order).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // The standard deviation of a count is 29.
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn empty_and_single_lists_stay() {
        let mut random = SplitMix64::new(0);
        random.shuffle::<u8>(&mut []);
        let mut one = [5];
        random.shuffle(&mut one);
        assert_eq!((one, random.below(0), random.below(1)), ([5], 0, 0));
    }
}

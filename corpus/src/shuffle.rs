//! Seeded shuffling that can be replayed anywhere.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood 2014): state += 0x9e3779b97f4a7c15, then
//! two xor-shift-multiply rounds. It starts at `seed` xor the FNV-1a hash of the scenario's
//! name, so that each scenario of one seed has an order of its own, with or without `--only`.

/// A small seeded generator. Not for secrets.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> SplitMix {
        SplitMix(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0. (The modulo's bias is below 2^-40 for
    /// the small bounds used here.)
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// The files of a scenario in an order given by the seed, each one to three times.
pub fn shuffled_order(name: &str, files: &[usize], seed: u64) -> Vec<usize> {
    let mut random = SplitMix::new(seed ^ fnv1a(name.as_bytes()));
    let mut distinct = files.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut order = Vec::with_capacity(distinct.len() * 3);
    for file in distinct {
        let copies = 1 + random.below(3) as usize;
        order.extend(std::iter::repeat_n(file, copies));
    }
    random.shuffle(&mut order);
    order
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = SplitMix::new(1234567);
        assert_eq!(random.next_u64(), 6457827717110365317);
        assert_eq!(random.next_u64(), 3203168211198807973);
    }

    #[test]
    fn an_order_is_a_function_of_name_and_seed_and_keeps_every_file() {
        let files = [4, 2, 2, 9, 0];
        let order = shuffled_order("refund", &files, 7);
        assert_eq!(order, shuffled_order("refund", &files, 7));
        let others = (8..20).filter(|seed| shuffled_order("refund", &files, *seed) != order).count();
        assert_eq!(others, 12);
        for file in [0, 2, 4, 9] {
            let copies = order.iter().filter(|other| **other == file).count();
            assert!((1..=3).contains(&copies), "{file} is there {copies} times");
        }
    }
}

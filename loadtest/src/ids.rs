//! Provider ids as Stripe makes them: a prefix, the second in base 62 (so that ids sort by
//! time), the account's piece, and something random.

use corpus::shuffle::SplitMix;

const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The piece that all ids of one account share.
const ACCOUNT: &str = "3vEqJzMu0O";

/// Makes ids from a seed.
#[derive(Debug, Clone)]
pub struct Ids {
    random: SplitMix,
}

impl Ids {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Ids {
        Ids { random: SplitMix::new(seed) }
    }

    /// For example `in_1TkzQe3vEqJzMu0OZw6MTxfB`; payments (`pi`, `ch`, `re`, `txn`) begin with
    /// a 3 in place of the leading digit, as the provider's do.
    pub fn make(&mut self, prefix: &str, created: i64) -> String {
        let mut second = seconds_base_62(created);
        if matches!(prefix, "pi" | "ch" | "re" | "txn") {
            second.replace_range(..1, "3");
        }
        format!("{prefix}_{second}{ACCOUNT}{}", self.letters(8))
    }

    /// A Checkout session's id.
    pub fn session(&mut self) -> String {
        format!("cs_live_a1{}", self.letters(56))
    }

    /// Random letters and digits.
    pub fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(BASE_62[self.random.below(62) as usize])).collect()
    }
}

/// The second as six digits of base 62, most significant first.
fn seconds_base_62(seconds: i64) -> String {
    let mut rest = seconds.max(0);
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE_62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_providers_form_and_sort_by_time() {
        let mut ids = Ids::new(1);
        let (early, late) = (ids.make("evt", 1_767_571_200), ids.make("evt", 1_767_571_201));
        assert_eq!(early.len(), "evt_".len() + 24);
        assert!(early.starts_with("evt_1") && early < late, "{early} {late}");
        assert!(ids.make("pi", 1_767_571_200).starts_with("pi_3"));
        assert_ne!(ids.make("evt", 7), ids.make("evt", 7));
    }
}

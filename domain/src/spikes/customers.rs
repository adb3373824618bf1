//! Who redeemed lately: enough to tell a crowd from one busy customer.

/// How many are remembered. Three are needed; more tells a page whether it was a crowd.
pub(super) const REMEMBERED: usize = 8;

/// The customers of the last redemptions: a part of the salted hash and the minute of the last redemption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Customers {
    /// Sorted, so that equal histories are equal bytes.
    pub(super) seen: Vec<(u32, u32)>,
}

impl Customers {
    /// Remembers one; when full, the one who has not redeemed for longest is forgotten.
    pub(super) fn remember(&mut self, customer: u64, minute: u32) {
        let hash = (customer ^ (customer >> 32)) as u32;
        if let Some((_, last)) = self.seen.iter_mut().find(|(known, _)| *known == hash) {
            *last = minute.max(*last);
            return;
        }
        if self.seen.len() == REMEMBERED
            && let Some(oldest) = (0..self.seen.len()).min_by_key(|index| (self.seen[*index].1, self.seen[*index].0))
        {
            self.seen.remove(oldest);
        }
        let place = self.seen.partition_point(|(known, _)| *known < hash);
        self.seen.insert(place, (hash, minute));
    }

    /// How many different ones redeemed in this minute or later; at most [`REMEMBERED`].
    pub(super) fn count_from(&self, minute: u32) -> u8 {
        self.seen.iter().filter(|(_, last)| *last >= minute).count() as u8
    }

    /// Forgets who did not redeem since this minute.
    pub(super) fn forget_before(&mut self, minute: u32) {
        self.seen.retain(|(_, last)| *last >= minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_customer_is_one() {
        let mut customers = Customers::default();
        (0..50).for_each(|minute| customers.remember(17, minute));
        assert_eq!(customers.count_from(0), 1);
        customers.remember(18, 50);
        assert_eq!((customers.count_from(0), customers.count_from(50)), (2, 1));
    }

    #[test]
    fn a_crowd_is_remembered_up_to_the_limit() {
        let mut customers = Customers::default();
        (0..50_u64).for_each(|customer| customers.remember(customer * 7919, customer as u32));
        assert_eq!(customers.seen.len(), REMEMBERED);
        assert_eq!(customers.count_from(42), 8, "the last eight are the ones that stay");
        customers.forget_before(48);
        assert_eq!(customers.count_from(0), 2);
    }
}

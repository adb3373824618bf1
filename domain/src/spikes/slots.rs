//! Counts per slot of time; slots without a count take no room.

/// Counts by the number of a slot, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Slots {
    entries: Vec<(u32, u16)>,
}

impl Slots {
    /// From stored entries. None if they are not ascending or one is empty.
    pub(super) fn from_entries(entries: Vec<(u32, u16)>) -> Option<Slots> {
        let ascending = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (ascending && entries.iter().all(|(_, count)| *count > 0)).then_some(Slots { entries })
    }

    /// Slot and count, ascending.
    pub(super) fn entries(&self) -> &[(u32, u16)] {
        &self.entries
    }

    /// Counts one more in a slot. Saturates.
    pub(super) fn add(&mut self, slot: u32) {
        match self.entries.last_mut() {
            Some((last, count)) if *last == slot => *count = count.saturating_add(1),
            Some((last, _)) if *last > slot => self.add_behind(slot),
            _ => self.entries.push((slot, 1)),
        }
    }

    fn add_behind(&mut self, slot: u32) {
        match self.entries.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(index) => self.entries[index].1 = self.entries[index].1.saturating_add(1),
            Err(index) => self.entries.insert(index, (slot, 1)),
        }
    }

    /// Forgets slots before this one.
    pub(super) fn forget_before(&mut self, first: u32) {
        if self.entries.first().is_some_and(|(slot, _)| *slot < first) {
            self.entries.retain(|(slot, _)| *slot >= first);
        }
    }

    /// The sum from this slot on.
    pub(super) fn count_from(&self, first: u32) -> u32 {
        self.entries.iter().rev().take_while(|(slot, _)| *slot >= first).map(|(_, count)| u32::from(*count)).sum()
    }

    /// The count of one slot.
    pub(super) fn count_of(&self, slot: u32) -> u16 {
        self.entries.iter().find(|(one, _)| *one == slot).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_any_order_are_the_same() {
        let mut ascending = Slots::default();
        [3, 3, 5, 9].into_iter().for_each(|slot| ascending.add(slot));
        let mut mixed = Slots::default();
        [9, 3, 5, 3].into_iter().for_each(|slot| mixed.add(slot));
        assert_eq!(ascending, mixed);
        assert_eq!((mixed.count_from(4), mixed.count_of(3), mixed.count_of(4)), (2, 2, 0));
        mixed.forget_before(5);
        assert_eq!(mixed.entries(), [(5, 1), (9, 1)]);
    }

    #[test]
    fn stored_entries_are_checked() {
        assert!(Slots::from_entries(vec![(2, 1), (3, 4)]).is_some());
        assert!(Slots::from_entries(vec![(3, 1), (3, 4)]).is_none());
        assert!(Slots::from_entries(vec![(3, 0)]).is_none());
    }
}

//! The stored form of a code's state: a version, fixed numbers, then what has a length. All little-endian.

use super::CodeState;
use super::customers::{Customers, REMEMBERED};
use super::learning::Memory;
use super::slots::Slots;
use super::state::{Episode, MOST_WAITING};
use crate::ids::CodeId;

/// First byte of the stored form. Another version is not read: the state is built again from the log.
const VERSION: u8 = 1;
/// Slots of one kind at most: the minutes of two hours that are not learned, with room.
const MOST_SLOTS: usize = 200;

/// A stored state cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by another release.
    #[error("version {0} of a code's stored state is not known: build it again from the log")]
    Version(u8),
    /// Shorter or longer than it says.
    #[error("a code's stored state has the wrong length")]
    Length,
    /// What it says cannot be.
    #[error("a code's stored state contradicts itself: {0}")]
    Content(&'static str),
}

impl CodeState {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.code.0.to_le_bytes());
        out.extend(self.next_position.to_le_bytes());
        out.extend(self.learned_until.to_le_bytes());
        out.extend(self.last_at.to_le_bytes());
        write_memory(&mut out, self.level);
        write_memory(&mut out, self.recent);
        for number in [self.excess, self.squares].iter().chain(&self.rises) {
            out.extend(number.to_le_bytes());
        }
        out.push(u8::from(self.episode.is_some()));
        if let Some(episode) = &self.episode {
            out.extend(episode.since.to_le_bytes());
            out.extend(episode.last.to_le_bytes());
            out.push(u8::from(episode.raised));
            write_memory(&mut out, episode.aside);
        }
        for slots in [&self.hours, &self.quarters, &self.minutes] {
            write_list(&mut out, slots.entries(), |out, (slot, count)| {
                out.extend(slot.to_le_bytes());
                out.extend(count.to_le_bytes());
            });
        }
        write_list(&mut out, &self.customers.seen, |out, (hash, minute)| {
            out.extend(hash.to_le_bytes());
            out.extend(minute.to_le_bytes());
        });
        write_list(&mut out, &self.waiting, |out, (at, customer)| {
            out.extend(at.to_le_bytes());
            out.extend(customer.to_le_bytes());
        });
        out
    }

    /// From the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Result<CodeState, StateError> {
        let mut reader = Reader { rest: bytes };
        let version = u8::from_le_bytes(reader.take()?);
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let mut state = CodeState::new(CodeId(u64::from_le_bytes(reader.take()?)));
        state.next_position = u64::from_le_bytes(reader.take()?);
        state.learned_until = reader.number()?;
        state.last_at = i64::from_le_bytes(reader.take()?);
        state.level = reader.memory()?;
        state.recent = reader.memory()?;
        for number in [&mut state.excess, &mut state.squares].into_iter().chain(&mut state.rises) {
            *number = reader.finite()?;
        }
        state.episode = if reader.flag()? { Some(reader.episode()?) } else { None };
        state.hours = reader.slots()?;
        state.quarters = reader.slots()?;
        state.minutes = reader.slots()?;
        state.customers.seen = reader.list(REMEMBERED, |reader| Ok((reader.number()?, reader.number()?)))?;
        state.waiting = reader.list(MOST_WAITING, |reader| {
            Ok((i64::from_le_bytes(reader.take()?), u64::from_le_bytes(reader.take()?)))
        })?;
        if !state.waiting.is_sorted() || !is_in_order(&state.customers) {
            return Err(StateError::Content("what is sorted is not"));
        }
        if reader.rest.is_empty() { Ok(state) } else { Err(StateError::Length) }
    }
}

fn is_in_order(customers: &Customers) -> bool {
    customers.seen.windows(2).all(|pair| pair[0].0 < pair[1].0)
}

fn write_memory(out: &mut Vec<u8>, memory: Memory) {
    out.extend(memory.events.to_le_bytes());
    out.extend(memory.exposure.to_le_bytes());
}

fn write_list<T: Copy>(out: &mut Vec<u8>, list: &[T], write: impl Fn(&mut Vec<u8>, T)) {
    out.push(u8::try_from(list.len()).expect("lists of a state hold at most 200"));
    list.iter().for_each(|item| write(out, *item));
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(StateError::Length)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn finite(&mut self) -> Result<f32, StateError> {
        let number = f32::from_le_bytes(self.take()?);
        if number.is_finite() { Ok(number) } else { Err(StateError::Content("a sum is not a number")) }
    }

    fn flag(&mut self) -> Result<bool, StateError> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(StateError::Content("a flag is neither yes nor no")),
        }
    }

    fn episode(&mut self) -> Result<Episode, StateError> {
        let (since, last) = (self.number()?, self.number()?);
        Ok(Episode { since, last, raised: self.flag()?, aside: self.memory()? })
    }

    fn memory(&mut self) -> Result<Memory, StateError> {
        Ok(Memory { events: self.finite()?, exposure: self.finite()? })
    }

    fn list<T>(
        &mut self,
        most: usize,
        read: impl Fn(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let [length] = self.take()?;
        if usize::from(length) > most {
            return Err(StateError::Content("a list is too long"));
        }
        (0..length).map(|_| read(self)).collect()
    }

    fn slots(&mut self) -> Result<Slots, StateError> {
        let entries = self.list(MOST_SLOTS, |reader| Ok((reader.number()?, u16::from_le_bytes(reader.take()?))))?;
        Slots::from_entries(entries).ok_or(StateError::Content("slots are not ascending"))
    }
}

//! Joins what an event says to what is known: to the catalogue, and to the one story of its names.

use super::{Counters, FoldState, Place};
use crate::catalogue::{Joined, Sighting};
use crate::fact::{Alias, FactBody, Seen};
use crate::ids::{Provider, StoryId};
use crate::story::{Scope, Story};
use crate::target::StateError;
use std::collections::BTreeSet;

/// Joins sightings into the catalogue. Returns the keys that changed for a story.
pub(super) fn sightings<S: FoldState>(
    state: &mut S,
    scope: Scope,
    sightings: &[Sighting],
) -> Result<Vec<String>, StateError> {
    let mut changed = Vec::new();
    let mirrored: Vec<Sighting> = sightings.iter().filter_map(Sighting::mirrored).collect();
    for sighting in sightings.iter().chain(&mirrored) {
        let mut entry = state.catalogue_entry(scope, &sighting.key)?.unwrap_or_default();
        let joined = entry.join(&sighting.entry);
        if joined != Joined::Nothing {
            state.put_catalogue_entry(scope, &sighting.key, entry);
        }
        if joined == Joined::Seen {
            changed.push(sighting.key.clone());
        }
    }
    Ok(changed)
}

/// Joins the facts of one record, and counts what that makes and touches.
pub(super) struct Joining {
    pub place: Place,
    pub scope: Scope,
    pub provider: Provider,
    /// Stories that must be targeted again.
    pub touched: BTreeSet<StoryId>,
    pub counters: Counters,
}

impl Joining {
    /// Joins a fact to the story of its names, merging stories that it shows to be one. Returns
    /// the story, and whether the fact was new.
    pub fn fact<S: FoldState>(
        &mut self,
        state: &mut S,
        fact: FactBody,
        seen: &Seen,
    ) -> Result<(StoryId, bool), StateError> {
        let mut story = self.story_of(state, &fact.aliases())?;
        let refs = story.refs.clone();
        // A review may have made the story before any event said whose it is.
        story.provider = self.provider;
        let new = story.facts.insert(fact, seen.clone());
        if new {
            story.remember_record(self.place.offset);
        }
        let id = story.id;
        self.touched.insert(id);
        state.put_story(story, &refs);
        Ok((id, new))
    }

    /// The one story of these names, taken out: merged when they led to several, new when to none.
    pub fn story_of<S: FoldState>(&mut self, state: &mut S, aliases: &[Alias]) -> Result<Story, StateError> {
        let mut found: BTreeSet<StoryId> = BTreeSet::new();
        let mut unknown = Vec::new();
        for alias in aliases {
            match state.story_of(self.scope, alias)? {
                Some(id) => {
                    found.insert(id);
                }
                None => unknown.push(alias),
            }
        }
        let mut ids = found.into_iter();
        let mut story = match ids.next() {
            Some(id) => taken(state, id)?,
            None => Story::new(StoryId(self.counters.number(self.place)?), self.scope, self.provider),
        };
        let refs = story.refs.clone();
        let mut merged = false;
        for id in ids {
            let gone = taken(state, id)?;
            state.merge_story(&gone, story.id)?;
            self.touched.remove(&id);
            story.absorb(gone);
            merged = true;
        }
        for alias in unknown {
            state.set_alias(self.scope, alias, story.id);
        }
        if merged {
            let id = story.id;
            self.touched.insert(id);
            state.put_story(story, &refs);
            return taken(state, id);
        }
        Ok(story)
    }
}

fn taken<S: FoldState>(state: &mut S, id: StoryId) -> Result<Story, StateError> {
    state.take_story(id)?.ok_or_else(|| StateError(format!("story {id} is named but not stored")))
}

//! The fold's state over the fold store: reads through a cache, collects what changed.
//!
//! A partition has one writer, so what was read stays true until this processor changes it, or
//! loses the partition (then the cache is dropped with the failed commit).

use crate::generations::Generations;
use domain::catalogue::CatalogueEntry;
use domain::decision::Decision;
use domain::decisions::VendorDecisions;
use domain::fact::{Alias, Answer};
use domain::fold::{FoldState, SLICE};
use domain::ids::*;
use domain::story::{Scope, Story};
use domain::target::StateError;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use store::fold_store::{Commit, FoldStore, FoldStoreError};

/// How many of each one generation keeps in memory; there are two. A story takes about 4 KiB, a name 200 bytes.
const STORIES: usize = 8_000;
const NAMES: usize = 40_000;
const CATALOGUE_ENTRIES: usize = 20_000;
const ANSWERS: usize = 20_000;
const VENDORS: usize = 1_000;

/// What was read.
struct Cache {
    names: Generations<(Scope, Alias), Option<StoryId>>,
    stories: Generations<StoryId, Option<Arc<Story>>>,
    catalogue: RefCell<Generations<(Scope, String), Option<CatalogueEntry>>>,
    answers: RefCell<Generations<(Scope, String), Option<Answer>>>,
    decisions: Generations<VendorId, Arc<VendorDecisions>>,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache {
            names: Generations::new(NAMES),
            stories: Generations::new(STORIES),
            catalogue: RefCell::new(Generations::new(CATALOGUE_ENTRIES)),
            answers: RefCell::new(Generations::new(ANSWERS)),
            decisions: Generations::new(VENDORS),
        }
    }
}

/// What changed since the last commit.
#[derive(Default)]
struct Changes {
    stories: BTreeSet<StoryId>,
    names: BTreeMap<(Scope, Alias), StoryId>,
    refs: BTreeMap<(VendorId, String, StoryId), bool>,
    catalogue: BTreeMap<(Scope, String), CatalogueEntry>,
    answers: BTreeMap<(Scope, String), Answer>,
    decisions: Vec<(VendorId, u64, Decision)>,
}

/// The fold's state.
pub struct StoreState<'a> {
    store: &'a dyn FoldStore,
    slice: usize,
    cache: Cache,
    changes: Changes,
}

fn failed(error: FoldStoreError) -> StateError {
    StateError(error.to_string())
}

impl<'a> StoreState<'a> {
    /// Nothing read yet.
    pub fn new(store: &'a dyn FoldStore) -> StoreState<'a> {
        StoreState { store, slice: SLICE, cache: Cache::default(), changes: Changes::default() }
    }

    /// The same with slices of another size.
    pub fn with_slice(self, slice: usize) -> StoreState<'a> {
        StoreState { slice, ..self }
    }

    /// Forgets everything read and changed: the partition may belong to somebody else now.
    pub fn forget(&mut self) {
        self.cache = Cache::default();
        self.changes = Changes::default();
    }

    /// Starts a batch. Only here is anything forgotten: what a batch reads and changes stays until its end.
    pub fn begin(&mut self) {
        debug_assert!(self.changes.stories.is_empty(), "the last batch was committed");
        self.cache.names.turn_over();
        self.cache.stories.turn_over();
        self.cache.catalogue.borrow_mut().turn_over();
        self.cache.answers.borrow_mut().turn_over();
        self.cache.decisions.turn_over();
    }

    /// Reads the stories of many names, and the decisions of many vendors, at once.
    pub fn prefetch(&mut self, names: Vec<(Scope, Alias)>, vendors: &BTreeSet<VendorId>) -> Result<(), FoldStoreError> {
        self.prefetch_decisions(vendors)?;
        let unknown: Vec<_> = names.into_iter().filter(|name| self.cache.names.get(name).is_none()).collect();
        let found = self.store.stories_of(&unknown)?;
        let ids: BTreeSet<StoryId> =
            found.iter().flatten().copied().filter(|id| self.cache.stories.get(id).is_none()).collect();
        unknown.into_iter().zip(found).for_each(|(name, story)| self.cache.names.insert(name, story));
        let ids: Vec<StoryId> = ids.into_iter().collect();
        let stories = self.store.stories(&ids)?;
        for (id, story) in ids.into_iter().zip(stories) {
            self.cache.stories.insert(id, story.map(Arc::new));
        }
        Ok(())
    }

    fn prefetch_decisions(&mut self, vendors: &BTreeSet<VendorId>) -> Result<(), FoldStoreError> {
        let unknown: Vec<VendorId> =
            vendors.iter().copied().filter(|vendor| self.cache.decisions.get(vendor).is_none()).collect();
        let found = self.store.decisions(&unknown)?;
        for (vendor, decisions) in unknown.into_iter().zip(found) {
            self.cache.decisions.insert(vendor, Arc::new(VendorDecisions::replay(decisions)));
        }
        Ok(())
    }

    /// Moves what changed into a commit.
    pub fn drain_into(&mut self, commit: &mut Commit, offsets: &HashMap<(VendorId, u64), (u64, Timestamp)>) {
        let changes = std::mem::take(&mut self.changes);
        for id in changes.stories {
            let story = self.cache.stories.get(&id).cloned().flatten();
            if let Some(story) = &story {
                commit.purchases.extend(story.slots.iter().map(|slot| (slot.purchase, id)));
            }
            commit.stories.push((id, story));
        }
        commit.aliases = changes.names.into_iter().map(|((scope, alias), id)| (scope, alias, id)).collect();
        commit.refs = changes.refs.into_iter().map(|((vendor, key, id), added)| (vendor, key, id, added)).collect();
        commit.catalogue = changes.catalogue.into_iter().map(|((scope, key), entry)| (scope, key, entry)).collect();
        commit.answers = changes.answers.into_iter().map(|((scope, _), answer)| (scope, answer)).collect();
        for (vendor, seq, decision) in changes.decisions {
            let (offset, at) = offsets.get(&(vendor, seq)).copied().unwrap_or_default();
            commit.decisions.push((vendor, seq, offset, at, decision));
        }
    }
}

impl FoldState for StoreState<'_> {
    fn slice(&self) -> usize {
        self.slice
    }

    fn story_of(&mut self, scope: Scope, alias: &Alias) -> Result<Option<StoryId>, StateError> {
        let key = (scope, alias.clone());
        if let Some(known) = self.cache.names.get(&key) {
            return Ok(*known);
        }
        let found = self.store.stories_of(std::slice::from_ref(&key)).map_err(failed)?.pop().flatten();
        self.cache.names.insert(key, found);
        Ok(found)
    }

    fn set_alias(&mut self, scope: Scope, alias: &Alias, story: StoryId) {
        self.cache.names.insert((scope, alias.clone()), Some(story));
        self.changes.names.insert((scope, alias.clone()), story);
    }

    fn take_story(&mut self, id: StoryId) -> Result<Option<Story>, StateError> {
        if let Some(known) = self.cache.stories.remove(&id) {
            return Ok(known.map(Arc::unwrap_or_clone));
        }
        Ok(self.store.stories(&[id]).map_err(failed)?.pop().flatten())
    }

    fn put_story(&mut self, story: Story, old_refs: &BTreeSet<String>) {
        let (id, vendor) = (story.id, story.scope.vendor);
        for gone in old_refs.difference(&story.refs) {
            self.changes.refs.insert((vendor, gone.clone(), id), false);
        }
        for new in story.refs.difference(old_refs) {
            self.changes.refs.insert((vendor, new.clone(), id), true);
        }
        self.changes.stories.insert(id);
        self.cache.stories.insert(id, Some(Arc::new(story)));
    }

    fn merge_story(&mut self, gone: &Story, into: StoryId) -> Result<(), StateError> {
        let mut names: BTreeSet<Alias> = gone.facts.iter().flat_map(|(fact, _)| fact.aliases()).collect();
        names.extend(gone.reviews.iter().map(|review| Alias(review.decision.purchase.clone())));
        for name in names {
            self.set_alias(gone.scope, &name, into);
        }
        for key in &gone.refs {
            self.changes.refs.insert((gone.scope.vendor, key.clone(), gone.id), false);
        }
        self.changes.stories.insert(gone.id);
        self.cache.stories.insert(gone.id, None);
        Ok(())
    }

    fn stories_with_ref(
        &mut self,
        vendor: VendorId,
        key: Option<&str>,
        after: StoryId,
        limit: usize,
    ) -> Result<Vec<StoryId>, StateError> {
        // What this batch changed is not in the store yet.
        let pending: BTreeMap<StoryId, bool> = match key {
            Some(key) => self
                .changes
                .refs
                .range((vendor, key.to_owned(), StoryId(0))..=(vendor, key.to_owned(), StoryId(u64::MAX)))
                .map(|((_, _, id), added)| (*id, *added))
                .collect(),
            None => self
                .changes
                .stories
                .iter()
                .filter_map(|id| {
                    self.cache
                        .stories
                        .get(id)
                        .map(|story| (*id, story.as_ref().is_some_and(|story| story.scope.vendor == vendor)))
                })
                .collect(),
        };
        let stored = self.store.stories_with_ref(vendor, key, after, limit + pending.len()).map_err(failed)?;
        let mut ids: BTreeSet<StoryId> = stored.into_iter().collect();
        for (id, added) in pending {
            if added && id > after {
                ids.insert(id);
            } else {
                ids.remove(&id);
            }
        }
        Ok(ids.into_iter().take(limit).collect())
    }

    fn catalogue_entry(&self, scope: Scope, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        let full = (scope, key.to_owned());
        if let Some(known) = self.cache.catalogue.borrow().get(&full) {
            return Ok(known.clone());
        }
        let found = self.store.catalogue_entry(scope, key).map_err(failed)?;
        self.cache.catalogue.borrow_mut().insert(full, found.clone());
        Ok(found)
    }

    fn put_catalogue_entry(&mut self, scope: Scope, key: &str, entry: CatalogueEntry) {
        self.cache.catalogue.borrow_mut().insert((scope, key.to_owned()), Some(entry.clone()));
        self.changes.catalogue.insert((scope, key.to_owned()), entry);
    }

    fn answer(&self, scope: Scope, request: &str) -> Result<Option<Answer>, StateError> {
        let full = (scope, request.to_owned());
        if let Some(known) = self.cache.answers.borrow().get(&full) {
            return Ok(known.clone());
        }
        let found = self.store.answer(scope, request).map_err(failed)?;
        self.cache.answers.borrow_mut().insert(full, found.clone());
        Ok(found)
    }

    fn put_answer(&mut self, scope: Scope, answer: Answer) {
        let full = (scope, answer.request.clone());
        self.cache.answers.borrow_mut().insert(full.clone(), Some(answer.clone()));
        self.changes.answers.insert(full, answer);
    }

    fn decisions(&mut self, vendor: VendorId) -> Result<Arc<VendorDecisions>, StateError> {
        if let Some(known) = self.cache.decisions.get(&vendor) {
            return Ok(known.clone());
        }
        self.prefetch_decisions(&BTreeSet::from([vendor])).map_err(failed)?;
        Ok(self.cache.decisions.get(&vendor).cloned().unwrap_or_default())
    }

    fn put_decisions(&mut self, vendor: VendorId, decisions: VendorDecisions, seq: u64, decision: &Decision) {
        self.cache.decisions.insert(vendor, Arc::new(decisions));
        self.changes.decisions.push((vendor, seq, decision.clone()));
    }
}

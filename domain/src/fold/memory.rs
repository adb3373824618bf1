//! The fold's state in memory: for proofs, simulations and previews.

use super::FoldState;
use crate::catalogue::CatalogueEntry;
use crate::decision::Decision;
use crate::decisions::VendorDecisions;
use crate::fact::{Alias, Answer};
use crate::ids::{StoryId, VendorId};
use crate::story::{Scope, Story};
use crate::target::StateError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything in ordered maps.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    aliases: BTreeMap<(Scope, Alias), StoryId>,
    stories: BTreeMap<StoryId, Story>,
    catalogue: BTreeMap<(Scope, String), CatalogueEntry>,
    answers: BTreeMap<(Scope, String), Answer>,
    decisions: BTreeMap<VendorId, Arc<VendorDecisions>>,
}

impl MemoryState {
    /// All stories, in id order.
    pub fn stories(&self) -> impl Iterator<Item = &Story> {
        self.stories.values()
    }
}

impl FoldState for MemoryState {
    fn story_of(&mut self, scope: Scope, alias: &Alias) -> Result<Option<StoryId>, StateError> {
        Ok(self.aliases.get(&(scope, alias.clone())).copied())
    }

    fn set_alias(&mut self, scope: Scope, alias: &Alias, story: StoryId) {
        self.aliases.insert((scope, alias.clone()), story);
    }

    fn take_story(&mut self, id: StoryId) -> Result<Option<Story>, StateError> {
        Ok(self.stories.remove(&id))
    }

    fn put_story(&mut self, story: Story, _old_refs: &BTreeSet<String>) {
        self.stories.insert(story.id, story);
    }

    fn merge_story(&mut self, gone: &Story, into: StoryId) -> Result<(), StateError> {
        for story in self.aliases.values_mut().filter(|story| **story == gone.id) {
            *story = into;
        }
        Ok(())
    }

    fn stories_with_ref(
        &mut self,
        vendor: VendorId,
        key: Option<&str>,
        after: StoryId,
        limit: usize,
    ) -> Result<Vec<StoryId>, StateError> {
        Ok(self
            .stories
            .values()
            .filter(|story| story.scope.vendor == vendor && story.id > after)
            .filter(|story| key.is_none_or(|key| story.refs.contains(key)))
            .map(|story| story.id)
            .take(limit)
            .collect())
    }

    fn catalogue_entry(&self, scope: Scope, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        Ok(self.catalogue.get(&(scope, key.to_owned())).cloned())
    }

    fn put_catalogue_entry(&mut self, scope: Scope, key: &str, entry: CatalogueEntry) {
        self.catalogue.insert((scope, key.to_owned()), entry);
    }

    fn answer(&self, scope: Scope, request: &str) -> Result<Option<Answer>, StateError> {
        Ok(self.answers.get(&(scope, request.to_owned())).cloned())
    }

    fn put_answer(&mut self, scope: Scope, answer: Answer) {
        self.answers.insert((scope, answer.request.clone()), answer);
    }

    fn decisions(&mut self, vendor: VendorId) -> Result<Arc<VendorDecisions>, StateError> {
        Ok(self.decisions.entry(vendor).or_default().clone())
    }

    fn put_decisions(&mut self, vendor: VendorId, decisions: VendorDecisions, _seq: u64, _decision: &Decision) {
        self.decisions.insert(vendor, Arc::new(decisions));
    }
}

//! Answers of the warehouse, kept until something changed for their scope.
//!
//! An answer read up to position R stays true at every later position X as long as no line of
//! the scope lies between them. The cache therefore remembers, per vendor and mode and per
//! affiliate in it, up to where it last changed. Whoever makes lines visible calls [`QueryCache::mark_changed`]
//! **before** the watermark moves: then no reader sees the new watermark with an old answer.
//!
//! Readers who ask the same at the same time share one query.

use domain::ids::{AffiliateId, Mode, VendorId};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::event_log::partition_of;
use store::scope::TenantScope;
use store::warehouse::Watermark;
use tokio::sync::OnceCell;

/// About how many bytes of memory a value holds.
pub trait Weigh {
    /// Bytes, the value itself included.
    fn weigh(&self) -> usize;
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    /// The most answers.
    pub entries: usize,
    /// The most bytes of answers.
    pub bytes: usize,
    /// The most vendors' modes, and affiliates in them, whose last change is remembered.
    pub scopes: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { entries: 10_000, bytes: 64 << 20, scopes: 100_000 }
    }
}

/// Generation and offset.
type Position = (u16, u64);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    scope: TenantScope,
    question: String,
}

type Answer = Arc<dyn Any + Send + Sync>;

struct Entry {
    read_to: Position,
    answer: Arc<OnceCell<Answer>>,
    bytes: usize,
    used_at: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Keys by when they were last used, the oldest first.
    order: BTreeMap<u64, Key>,
    bytes: usize,
    uses: u64,
    changed: HashMap<(VendorId, Mode), Changes>,
    /// Affiliates in all of `changed`.
    affiliates: usize,
    /// Up to where anything of a partition may have changed, for scopes that are not in `changed`.
    partitions: HashMap<u16, Position>,
    /// How often everything was forgotten.
    forgotten: u64,
}

/// Up to where a vendor's mode last changed.
#[derive(Default)]
struct Changes {
    /// Anything of it.
    any: Position,
    /// Lines of these. Those of an affiliate that is not here did not change.
    affiliates: HashMap<AffiliateId, Position>,
}

/// The cache.
#[derive(Default)]
pub struct QueryCache {
    limits: CacheLimits,
    state: Mutex<State>,
}

impl QueryCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> QueryCache {
        QueryCache { limits, state: Mutex::default() }
    }

    /// Lines of these affiliates of this vendor and mode become visible up to `next_offset`. Call it before the
    /// watermark moves there.
    pub fn mark_changed(
        &self,
        (vendor, mode): (VendorId, Mode),
        affiliates: &BTreeSet<AffiliateId>,
        generation: u16,
        next_offset: u64,
    ) {
        let mut state = self.lock();
        if state.changed.len() + state.affiliates + affiliates.len() >= self.limits.scopes {
            state.fold_changes();
        }
        let position = (generation, next_offset);
        let changes = state.changed.entry((vendor, mode)).or_default();
        changes.any = position.max(changes.any);
        let before = changes.affiliates.len();
        for affiliate in affiliates {
            let changed = changes.affiliates.entry(*affiliate).or_insert(position);
            *changed = position.max(*changed);
        }
        let added = changes.affiliates.len() - before;
        state.affiliates += added;
    }

    /// Anything of the partition may have become visible up to `next_offset`. Call it before the watermark moves there.
    pub fn mark_partition_changed(&self, partition: u16, generation: u16, next_offset: u64) {
        self.lock().mark_partition(partition, (generation, next_offset));
    }

    /// Answers about this partition that were read below `next_offset` may have been wrong. They are forgotten (with all
    /// others: it is rare), and readers below it are not answered from here.
    pub fn forget(&self, partition: u16, generation: u16, next_offset: u64) {
        let mut state = self.lock();
        state.mark_partition(partition, (generation, next_offset));
        state.entries.clear();
        state.order.clear();
        state.bytes = 0;
        state.forgotten += 1;
    }

    /// Where the scope last changed: what depends only on its lines is unchanged while this
    /// number is (for entity tags). Rows of purchases without a line count for a whole vendor's scope only.
    pub fn last_change(&self, scope: &TenantScope) -> u64 {
        let state = self.lock();
        // Offsets stay below 2^45.
        state.changed(scope).1 | state.forgotten << 48
    }

    /// The answer to `question` at `watermark`: kept, or read by waiting for `read`, which does
    /// nothing before that.
    pub async fn get<T, E>(
        &self,
        scope: &TenantScope,
        watermark: &Watermark,
        question: String,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E>
    where
        T: Weigh + Send + Sync + 'static,
    {
        let key = Key { scope: *scope, question };
        let Some(cell) = self.slot(&key, (watermark.generation, watermark.next_offset)) else {
            return read.await.map(Arc::new);
        };
        let mut weight = None;
        let answer = cell
            .get_or_try_init(|| async {
                let value = read.await?;
                weight = Some(value.weigh());
                Ok(Arc::new(value) as Answer)
            })
            .await?
            .clone();
        if let Some(bytes) = weight {
            self.account(&key, &cell, bytes);
        }
        Ok(answer.downcast::<T>().expect("the name of the query is in the question, and decides the type"))
    }

    /// The slot of a question for a reader at `position`; `None` when its answer must not be
    /// shared.
    fn slot(&self, key: &Key, position: Position) -> Option<Arc<OnceCell<Answer>>> {
        let mut state = self.lock();
        let changed = state.changed(&key.scope);
        let kept = state.entries.get(key).map(|entry| entry.read_to);
        let is_fresh = kept.is_some_and(|read_to| read_to == position || (read_to >= changed && position >= changed));
        if !is_fresh {
            if position < changed {
                return None;
            }
            state.remove(key);
            let entry = Entry { read_to: position, answer: Arc::default(), bytes: 0, used_at: 0 };
            state.entries.insert(key.clone(), entry);
        }
        state.touch(key);
        state.shrink(&self.limits);
        state.entries.get(key).map(|entry| entry.answer.clone())
    }

    /// Notes what an answer weighs, unless its entry was replaced meanwhile.
    fn account(&self, key: &Key, cell: &Arc<OnceCell<Answer>>, bytes: usize) {
        let mut state = self.lock();
        let bytes = bytes + key.question.len() + std::mem::size_of::<Entry>() + 2 * std::mem::size_of::<Key>();
        let Some(entry) = state.entries.get_mut(key).filter(|entry| Arc::ptr_eq(&entry.answer, cell)) else {
            return;
        };
        entry.bytes = bytes;
        state.bytes += bytes;
        state.shrink(&self.limits);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and the state is only a cache.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Up to where the scope may have changed.
    fn changed(&self, scope: &TenantScope) -> Position {
        let own = self.changed.get(&(scope.vendor(), scope.mode())).and_then(|changes| match scope.affiliate() {
            Some(affiliate) => changes.affiliates.get(&affiliate).copied(),
            None => Some(changes.any),
        });
        own.unwrap_or_default().max(self.partitions.get(&partition_of(scope.vendor())).copied().unwrap_or_default())
    }

    fn mark_partition(&mut self, partition: u16, position: Position) {
        let changed = self.partitions.entry(partition).or_insert(position);
        *changed = position.max(*changed);
    }

    /// Remembers changes by partition only, which makes more answers look old, never an old one fresh.
    fn fold_changes(&mut self) {
        for ((vendor, _), changes) in std::mem::take(&mut self.changed) {
            self.mark_partition(partition_of(vendor), changes.any);
        }
        self.affiliates = 0;
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used_at);
            self.bytes -= entry.bytes;
        }
    }

    fn touch(&mut self, key: &Key) {
        self.uses += 1;
        let now = self.uses;
        if let Some(entry) = self.entries.get_mut(key) {
            self.order.remove(&entry.used_at);
            entry.used_at = now;
            self.order.insert(now, key.clone());
        }
    }

    /// Drops what was not used for longest until the limits hold.
    fn shrink(&mut self, limits: &CacheLimits) {
        while self.entries.len() > limits.entries || self.bytes > limits.bytes {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::test_scope::{affiliate_scope_in, control_store};
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    const NOBODY: BTreeSet<AffiliateId> = BTreeSet::new();

    struct Number(u32);

    impl Weigh for Number {
        fn weigh(&self) -> usize {
            1_000
        }
    }

    /// Counts how often it had to read.
    struct Reader {
        cache: QueryCache,
        scope: TenantScope,
        reads: AtomicU32,
    }

    impl Reader {
        fn new(limits: CacheLimits, scope: TenantScope) -> Reader {
            Reader { cache: QueryCache::new(limits), scope, reads: AtomicU32::new(0) }
        }

        async fn ask(&self, question: &str, next_offset: u64) -> u32 {
            let watermark = Watermark { generation: 1, partition: 0, next_offset };
            let read = async {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Number(self.reads.fetch_add(1, Ordering::Relaxed) + 1))
            };
            let Ok(answer) = self.cache.get(&self.scope, &watermark, question.to_owned(), read).await;
            answer.0
        }
    }

    async fn reader(limits: CacheLimits) -> Reader {
        Reader::new(limits, crate::services::test_scope::test_scope("acme", Mode::Live).await)
    }

    #[tokio::test]
    async fn an_answer_stays_until_its_scope_changed() {
        let reader = reader(CacheLimits::default()).await;
        let (vendor, mode) = (reader.scope.vendor(), reader.scope.mode());
        assert_eq!(reader.ask("a", 10).await, 1);
        assert_eq!(reader.ask("a", 20).await, 1, "nothing of the scope lies between 10 and 20");
        reader.cache.mark_changed((VendorId(vendor.0 + 1), mode), &NOBODY, 1, 25);
        reader.cache.mark_changed((vendor, Mode::Test), &NOBODY, 1, 25);
        assert_eq!(reader.ask("a", 25).await, 1, "another vendor and another mode changed");
        reader.cache.mark_changed((vendor, mode), &NOBODY, 1, 30);
        assert_eq!(reader.ask("a", 25).await, 2, "the watermark has not moved yet: read, and not kept");
        assert_eq!(reader.ask("a", 30).await, 3);
        assert_eq!(reader.ask("a", 40).await, 3);
        assert_eq!(reader.ask("a", 25).await, 4, "an older page must not see the newer answer");
        assert_eq!(reader.ask("a", 40).await, 3);
        assert_eq!(reader.cache.last_change(&reader.scope), 30);
    }

    /// Something was missing at 20; until it is back, pages read up to 5.
    #[tokio::test]
    async fn what_may_have_been_wrong_is_forgotten_and_never_comes_back() {
        let reader = reader(CacheLimits::default()).await;
        let partition = partition_of(reader.scope.vendor());
        assert_eq!(reader.ask("a", 20).await, 1);
        let before = reader.cache.last_change(&reader.scope);
        reader.cache.forget(partition, 1, 20);
        assert_eq!(reader.ask("a", 5).await, 2);
        assert_eq!(reader.ask("a", 5).await, 3, "read while it is missing, and not kept");
        assert_eq!(reader.ask("a", 20).await, 4, "a reader that was slow");
        reader.cache.forget(partition, 1, 20);
        assert_eq!(reader.ask("a", 20).await, 5);
        assert_eq!(reader.ask("a", 20).await, 5);
        assert_eq!(reader.ask("a", 30).await, 5);
        assert_ne!(reader.cache.last_change(&reader.scope), before, "no browser keeps its copy");
    }

    #[tokio::test]
    async fn a_new_generation_ends_every_answer() {
        let reader = reader(CacheLimits::default()).await;
        assert_eq!(reader.ask("a", 10).await, 1);
        reader.cache.mark_changed((reader.scope.vendor(), reader.scope.mode()), &NOBODY, 2, 1);
        assert_eq!(reader.ask("a", 10).await, 1, "what was read at this very position");
        assert_eq!(reader.ask("a", 11).await, 2, "a later position of the old generation is read, and not kept");
        assert_eq!(reader.ask("a", 11).await, 3);
    }

    #[tokio::test]
    async fn readers_at_the_same_time_share_one_query() {
        let reader = reader(CacheLimits::default()).await;
        let answers = futures::future::join_all((0..50).map(|_| reader.ask("a", 10))).await;
        assert!(answers.iter().all(|answer| *answer == 1));
    }

    #[tokio::test]
    async fn the_cache_is_bounded_and_keeps_what_is_used() {
        let reader = reader(CacheLimits { entries: 100, bytes: 5_000, scopes: 10 }).await;
        for question in ["a", "b", "a", "c", "a", "d", "a", "e", "a", "f"] {
            reader.ask(question, 10).await;
        }
        let state = reader.cache.lock();
        assert!(state.bytes <= 5_000 && state.entries.len() <= 4, "{} bytes", state.bytes);
        assert_eq!(state.bytes, state.entries.values().map(|entry| entry.bytes).sum::<usize>());
        assert!(state.entries.keys().any(|key| key.question == "a"));
        assert_eq!(state.entries.len(), state.order.len());
    }

    #[tokio::test]
    async fn remembered_changes_are_bounded() {
        let reader = reader(CacheLimits { scopes: 3, ..CacheLimits::default() }).await;
        assert_eq!(reader.ask("a", 10).await, 1);
        for vendor in 100..110 {
            reader.cache.mark_changed((VendorId(vendor), Mode::Live), &NOBODY, 1, 5);
            assert!(reader.cache.lock().changed.len() <= 3);
        }
        assert_eq!(reader.ask("a", 10).await, 1, "no change of its partition came later");
        reader.cache.mark_changed((reader.scope.vendor(), reader.scope.mode()), &NOBODY, 1, 12);
        for vendor in 100..110 {
            reader.cache.mark_changed((VendorId(vendor), Mode::Live), &NOBODY, 1, 5);
        }
        assert_eq!(reader.ask("a", 12).await, 2, "its own change is remembered by its partition");
        assert_eq!(reader.cache.last_change(&reader.scope), 12);
    }

    #[tokio::test]
    async fn an_affiliates_answers_end_with_its_own_changes() {
        let (_folder, store) = control_store();
        let reader =
            Reader::new(CacheLimits::default(), affiliate_scope_in(&store, "acme", "aff_maya", Mode::Live).await);
        let (vendor, mode) = (reader.scope.vendor(), reader.scope.mode());
        let maya = reader.scope.affiliate().expect("the scope is an affiliate's");
        let ben = AffiliateId(maya.0 + 1);
        assert_eq!(reader.ask("a", 10).await, 1);
        reader.cache.mark_changed((vendor, mode), &BTreeSet::from([ben]), 1, 20);
        assert_eq!(reader.ask("a", 20).await, 1, "somebody else sold something");
        assert_eq!(reader.cache.last_change(&reader.scope), 0);
        reader.cache.mark_changed((vendor, mode), &BTreeSet::from([ben, maya]), 1, 30);
        assert_eq!(reader.ask("a", 30).await, 2);
        assert_eq!(reader.cache.last_change(&reader.scope), 30);
        reader.cache.mark_partition_changed(partition_of(vendor), 1, 40);
        assert_eq!(reader.ask("a", 40).await, 3);
    }

    #[tokio::test]
    async fn remembered_affiliates_are_bounded_too() {
        let (_folder, store) = control_store();
        let limits = CacheLimits { scopes: 100, ..CacheLimits::default() };
        let reader = Reader::new(limits, affiliate_scope_in(&store, "acme", "aff_maya", Mode::Live).await);
        let (vendor, mode) = (reader.scope.vendor(), reader.scope.mode());
        let maya = reader.scope.affiliate().expect("the scope is an affiliate's").0;
        for number in 0..1_000 {
            reader.cache.mark_changed((vendor, mode), &BTreeSet::from([AffiliateId(maya + number)]), 1, number + 1);
            let state = reader.cache.lock();
            assert!(state.changed.values().map(|changes| changes.affiliates.len()).sum::<usize>() == state.affiliates);
            assert!(state.affiliates <= 100);
        }
        assert!(reader.cache.last_change(&reader.scope) >= 1, "its partition remembers for it");
    }

    #[tokio::test]
    async fn a_partition_that_moved_for_an_unknown_reason_ends_its_answers() {
        let reader = reader(CacheLimits::default()).await;
        let partition = partition_of(reader.scope.vendor());
        assert_eq!(reader.ask("a", 10).await, 1);
        reader.cache.mark_partition_changed(partition + 1, 1, 20);
        assert_eq!(reader.ask("a", 20).await, 1, "another partition");
        reader.cache.mark_partition_changed(partition, 1, 20);
        assert_eq!(reader.ask("a", 20).await, 2);
        assert_eq!(reader.cache.last_change(&reader.scope), 20);
    }
}

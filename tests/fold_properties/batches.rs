//! Cuts into batches: the same records through the processor's batches over a real fold store,
//! with the memory of the processor lost between some of them.

use super::{History, Order, any_order, cases};
use domain::fold::FoldState;
use domain::ids::{StoryId, Timestamp};
use domain::story::Story;
use processor::batch::Batch;
use processor::state::StoreState;
use proptest::prelude::*;
use schemas::record::{Payload, Record};
use store::event_log::StoredRecord;
use store::fold_store::{FoldStore, SqliteFoldStore};
use tests::books::Books;
use tests::drawn::Drawn;
use tests::scene::{Scene, Step, VENDOR};

const PARTITION: u16 = 3;

/// Decisions as records; deliveries are taken from the drawn plan by their position.
fn encoded(seed: u64, deliveries: usize) -> (History, Vec<Vec<u8>>) {
    let history = History::drawn(seed, deliveries);
    let drawn = Drawn::new(seed, deliveries, 0);
    let bodies = drawn.vendor().events.iter().zip(&drawn.readings);
    let bodies = bodies.filter(|(_, reading)| matches!(reading, tests::stripe::Reading::Step(_)));
    let bytes = bodies.map(|(event, _)| tests::stripe::delivery_record(&event.body)).collect();
    (history, bytes)
}

fn decision_record(seq: u64, decision: &domain::decision::Decision) -> Vec<u8> {
    let payload = Payload::Decision(decision.clone());
    let (at, writer) = (Timestamp(1_790_000_000_000), "serve-1".to_owned());
    Record { vendor: VENDOR, connection: Default::default(), at, writer, seq: Some(seq), trace: None, payload }.encode()
}

fn read_books(store: &dyn FoldStore) -> Books {
    let ids = store.stories_with_ref(VENDOR, None, StoryId(0), 100_000).unwrap();
    let stories: Vec<Story> = store.stories(&ids).unwrap().into_iter().flatten().collect();
    let mut state = StoreState::new(store);
    // Every index key leads to its stories, and nothing else does.
    for story in &stories {
        for key in &story.refs {
            let found = state.stories_with_ref(VENDOR, Some(key), StoryId(0), 100_000).unwrap();
            let wanted: Vec<StoryId> = stories.iter().filter(|one| one.refs.contains(key)).map(|one| one.id).collect();
            assert_eq!(found, wanted, "index key {key}");
        }
    }
    Books::read(&mut state, VENDOR, &stories)
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn any_cut_into_batches_ends_in_the_same_ledger(
        seed in 0_u64..100_000,
        deliveries in 4_usize..30,
        order in any_order(),
        sizes in prop::collection::vec((1_usize..12, any::<bool>()), 1..20),
    ) {
        let (history, bodies) = encoded(seed, deliveries);
        let expected = Scene::of(&history.canonical()).books();
        // The order is made over positions, so that each record keeps its bytes.
        let mut positions = history.clone();
        for (position, record) in positions.records.iter_mut().enumerate() {
            *record = Step::Decide(position as u64, domain::decision::Decision::DropVendor);
        }
        let decisions = history.decisions.len();
        let mut log: Vec<Vec<u8>> = Vec::new();
        for step in Order::of(&order, &positions) {
            match step {
                Step::Decide(position, domain::decision::Decision::DropVendor) => log.push(bodies[position as usize].clone()),
                Step::Decide(seq, decision) => log.push(decision_record(seq, &decision)),
                Step::Event(_) | Step::Answer(..) => unreachable!("replaced by its position"),
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteFoldStore::open(&folder.path().join("fold.db")).unwrap();
        let mut state = StoreState::new(&store);
        let mut sizes = sizes.iter().cycle();
        let mut position = store.position(PARTITION).unwrap();
        let mut records = 0;
        while (position.next_offset as usize) < log.len() {
            let (size, forgets) = *sizes.next().unwrap();
            if forgets {
                state = StoreState::new(&store);
            }
            let from = position.next_offset as usize;
            let batch = log[from..].iter().take(size).zip(from as u64..);
            let batch = batch.map(|(bytes, offset)| StoredRecord { offset, bytes: bytes.clone() }).collect();
            let read_one = |offset: u64| Ok(Some(StoredRecord { offset, bytes: log[offset as usize].clone() }));
            let (commit, next) = Batch::new(PARTITION, &mut state, &store, &read_one).fold(&position, batch).unwrap();
            store.commit(PARTITION, &position, &next, &commit).unwrap();
            records += commit.records.len();
            position = next;
        }
        prop_assert_eq!(records, log.len());
        prop_assert!(decisions > 0);
        let found = read_books(&store);
        prop_assert_eq!(&found.booked, &expected.booked);
        prop_assert_eq!(&found, &expected);
    }
}

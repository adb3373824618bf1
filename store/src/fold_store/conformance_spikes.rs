//! What every backend must do with the rows of the spike detector.

use super::conformance::{at, commit, on_every_backend, on_every_place};
use super::*;
use domain::spikes::{Alert, Statistic};

const PARTITION: u16 = 5;
const VENDOR: VendorId = VendorId(11);
const OTHER_VENDOR: VendorId = VendorId(12);
const NOW: Timestamp = Timestamp(1_790_000_000_000);
const HOUR: i64 = 3_600_000;

fn code(vendor: VendorId, code: u64, position: u64, due: Option<i64>) -> SpikeCode {
    SpikeCode {
        vendor,
        code: CodeId(code),
        position,
        due_at: due.map(|due| Timestamp(NOW.0 + due)),
        last_due_at: Timestamp(NOW.0 + 100),
        seen_day: 20_717,
        body: vec![position as u8; 80],
    }
}

fn alert(code: u64, minutes: i64) -> Alert {
    let crossing = Timestamp(NOW.0 + minutes * 60_000);
    Alert {
        id: u64::MAX - code * 100_000 - minutes as u64,
        code: CodeId(code),
        first_crossing: crossing,
        statistic: Statistic::Window { minutes: 60 },
        from: Timestamp(crossing.0 - HOUR),
        to: crossing,
        observed: 14,
        expected: 2.5,
        customers: 8,
    }
}

fn changed(codes: Vec<SpikeCode>, alerts: Vec<(VendorId, Alert)>) -> Commit {
    let vendors = vec![(VENDOR, b"habits".to_vec())];
    Commit { spikes: SpikeChanges { codes, vendors, alerts, ..SpikeChanges::default() }, ..Commit::default() }
}

fn look(of: &SpikeCode, at: i64, alert: Option<Alert>) -> SpikeLook {
    SpikeLook { vendor: of.vendor, code: of.code, position: of.position, at: Timestamp(NOW.0 + at), alert }
}

#[test]
fn what_a_batch_leaves_is_there_after_a_restart_and_in_the_order_asked() {
    on_every_place(|place| {
        let codes =
            vec![code(VENDOR, 1, 7, Some(0)), code(VENDOR, u64::MAX, 8, None), code(OTHER_VENDOR, 1, 9, Some(5))];
        commit(place.open().as_ref(), PARTITION, 1, &changed(codes.clone(), vec![(VENDOR, alert(1, 0))])).unwrap();
        let store = place.open();
        let asked = [(OTHER_VENDOR, CodeId(1)), (VENDOR, CodeId(2)), (VENDOR, CodeId(u64::MAX)), (VENDOR, CodeId(1))];
        assert_eq!(
            store.spike_codes(&asked).unwrap(),
            [Some(codes[2].clone()), None, Some(codes[1].clone()), Some(codes[0].clone())]
        );
        assert_eq!(store.spike_vendors(&[OTHER_VENDOR, VENDOR]).unwrap(), [None, Some(b"habits".to_vec())]);
        assert_eq!(store.alerts(VENDOR, 9).unwrap(), [alert(1, 0)]);
        assert_eq!((store.spike_codes(&[]).unwrap(), store.spike_vendors(&[]).unwrap()), (vec![], vec![]));
        let next = code(VENDOR, 1, 70, Some(9));
        commit(store.as_ref(), PARTITION, 2, &changed(vec![next.clone()], vec![])).unwrap();
        assert_eq!(store.spike_codes(&[(VENDOR, CodeId(1))]).unwrap(), [Some(next)]);
    });
}

#[test]
fn a_commit_that_lost_its_position_leaves_nothing() {
    on_every_backend(|store| {
        let changes = changed(vec![code(VENDOR, 1, 7, Some(0))], vec![(VENDOR, alert(1, 0))]);
        let conflict = store.commit(PARTITION, &at(5), &at(6), &changes);
        assert!(matches!(conflict, Err(FoldStoreError::Conflict { .. })));
        assert_eq!(store.spike_codes(&[(VENDOR, CodeId(1))]).unwrap(), [None]);
        assert_eq!(store.spike_vendors(&[VENDOR]).unwrap(), [None]);
        assert_eq!(store.alerts(VENDOR, 9).unwrap(), []);
    });
}

#[test]
fn codes_are_due_until_somebody_looked() {
    on_every_backend(|store| {
        let (first, second) = (code(VENDOR, 1, 7, Some(20)), code(VENDOR, 2, 8, Some(10)));
        let codes = vec![first.clone(), second.clone(), code(VENDOR, 3, 9, None), code(VENDOR, 4, 10, Some(31))];
        commit(store, PARTITION, 1, &changed(codes, vec![])).unwrap();
        let due = |now: i64| store.spikes_due(PARTITION, Timestamp(NOW.0 + now), 9).unwrap();
        assert_eq!(due(30), [second.clone(), first.clone()], "the longest due first");
        assert_eq!(store.spikes_due(PARTITION, Timestamp(NOW.0 + 30), 1).unwrap(), std::slice::from_ref(&second));
        assert_eq!(store.spikes_due(PARTITION + 1, Timestamp(NOW.0 + 30), 9).unwrap(), []);
        assert_eq!(store.spikes_looked(PARTITION, &[look(&first, 30, None), look(&second, 100, None)]).unwrap(), []);
        assert_eq!(due(30), []);
        // What waits behind the first is asked about when it can be judged.
        let later = SpikeCode { due_at: Some(first.last_due_at), ..first.clone() };
        assert!(due(100).contains(&later) && due(100).len() == 2);
        assert_eq!(store.spikes_looked(PARTITION, &[]).unwrap(), []);
    });
}

#[test]
fn a_look_at_what_was_redeemed_since_is_void() {
    on_every_backend(|store| {
        let old = code(VENDOR, 1, 7, Some(0));
        commit(store, PARTITION, 1, &changed(vec![old.clone()], vec![])).unwrap();
        let new = code(VENDOR, 1, 8, Some(0));
        commit(store, PARTITION, 2, &changed(vec![new.clone()], vec![])).unwrap();
        assert_eq!(store.spikes_looked(PARTITION, &[look(&old, 200, Some(alert(1, 0)))]).unwrap(), []);
        assert_eq!(store.spikes_due(PARTITION, NOW, 9).unwrap(), std::slice::from_ref(&new));
        let raised = store.spikes_looked(PARTITION, &[look(&new, 200, Some(alert(1, 0)))]).unwrap();
        assert_eq!(raised, [(VENDOR, alert(1, 0))]);
        assert_eq!(store.alerts(VENDOR, 9).unwrap(), [alert(1, 0)]);
    });
}

#[test]
fn an_alert_is_raised_once_and_a_code_has_one_in_twelve_hours() {
    on_every_backend(|store| {
        let alerts = |list: Vec<Alert>| list.into_iter().map(|one| (VENDOR, one)).collect::<Vec<_>>();
        let first = changed(vec![], alerts(vec![alert(1, 0), alert(1, 0), alert(1, 3), alert(2, 3)]));
        commit(store, PARTITION, 1, &first).unwrap();
        commit(store, PARTITION, 2, &first).unwrap();
        commit(store, PARTITION, 3, &changed(vec![], vec![(OTHER_VENDOR, alert(1, 3))])).unwrap();
        commit(store, PARTITION, 4, &changed(vec![], alerts(vec![alert(1, 12 * 60), alert(1, 12 * 60 + 1)]))).unwrap();
        assert_eq!(store.alerts(VENDOR, 9).unwrap(), [alert(1, 12 * 60 + 1), alert(2, 3), alert(1, 0)]);
        assert_eq!(store.alerts(VENDOR, 1).unwrap().len(), 1);
        assert_eq!(store.alert(VENDOR, alert(2, 3).id).unwrap(), Some(alert(2, 3)));
        assert_eq!(store.alert(OTHER_VENDOR, alert(2, 3).id).unwrap(), None, "somebody else's");
    });
}

#[test]
fn an_alert_waits_until_its_people_were_told() {
    on_every_backend(|store| {
        let (one, two) = ((VENDOR, alert(1, 0)), (OTHER_VENDOR, alert(2, 0)));
        commit(store, PARTITION, 1, &changed(vec![], vec![one.clone()])).unwrap();
        commit(store, PARTITION + 1, 1, &changed(vec![], vec![two.clone()])).unwrap();
        let untold = |parts: &[u16]| store.untold_alerts(&parts.iter().copied().collect(), 9).unwrap();
        assert_eq!(untold(&[PARTITION, PARTITION + 1]).len(), 2);
        assert_eq!(untold(&[PARTITION]), std::slice::from_ref(&one));
        assert_eq!(untold(&[]), []);
        store.alerts_told(&[(VENDOR, one.1.id), (VENDOR, 77)]).unwrap();
        store.alerts_told(&[]).unwrap();
        assert_eq!(untold(&[PARTITION, PARTITION + 1]), std::slice::from_ref(&two));
        // Raised again by whoever folds the record again: it stays told.
        commit(store, PARTITION, 2, &changed(vec![], vec![one])).unwrap();
        assert_eq!(untold(&[PARTITION]), []);
    });
}

#[test]
fn a_removed_vendor_takes_its_rows_along_and_nobody_elses() {
    on_every_backend(|store| {
        let codes = vec![code(VENDOR, 1, 7, Some(0)), code(OTHER_VENDOR, 1, 9, Some(5))];
        let mut filled = changed(codes, vec![(VENDOR, alert(1, 0)), (OTHER_VENDOR, alert(1, 0))]);
        filled.spikes.vendors.push((OTHER_VENDOR, b"theirs".to_vec()));
        commit(store, PARTITION, 1, &filled).unwrap();
        let gone = SpikeChanges { forgotten: vec![VENDOR], ..SpikeChanges::default() };
        commit(store, PARTITION, 2, &Commit { spikes: gone, ..Commit::default() }).unwrap();
        assert_eq!(store.spike_vendors(&[VENDOR, OTHER_VENDOR]).unwrap(), [None, Some(b"theirs".to_vec())]);
        assert_eq!(store.spike_codes(&[(VENDOR, CodeId(1))]).unwrap(), [None]);
        assert_eq!(store.alerts(VENDOR, 9).unwrap(), []);
        assert_eq!(store.alerts(OTHER_VENDOR, 9).unwrap().len(), 1);
        assert_eq!(store.spikes_due(PARTITION, Timestamp(i64::MAX), 9).unwrap().len(), 1);
        // A look that was under way finds nothing.
        let late = look(&code(VENDOR, 1, 7, None), 0, Some(alert(1, 0)));
        assert_eq!(store.spikes_looked(PARTITION, &[late]).unwrap(), []);
        assert_eq!(store.alerts(VENDOR, 9).unwrap(), []);
    });
}

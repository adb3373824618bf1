//! Waits until what people decided is in the log, so that what is delivered afterwards comes after it.

use domain::ids::VendorId;
use std::time::Duration;
use store::control::{ControlResult, ControlStore};
use tokio::time::Instant;

/// The longest wait. What is not in the log by then gets there later.
const WAIT_LIMIT: Duration = Duration::from_secs(5);
/// Pause before the second look; it doubles ...
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Whether every decision of the vendor is in the log, waiting for it if need be.
///
/// # Errors
/// When the control store cannot be asked.
pub async fn wait_until_in_log(control: &dyn ControlStore, vendor: VendorId) -> ControlResult<bool> {
    wait_within(control, vendor, WAIT_LIMIT).await
}

/// The same, and until every process knows the connection: what is delivered to it then is not refused as unknown.
///
/// # Errors
/// When the control store cannot be asked.
pub async fn wait_until_known(control: &dyn ControlStore, vendor: VendorId) -> ControlResult<bool> {
    let (in_log, ()) = tokio::join!(wait_until_in_log(control, vendor), tokio::time::sleep(control.spread()));
    in_log
}

async fn wait_within(control: &dyn ControlStore, vendor: VendorId, limit: Duration) -> ControlResult<bool> {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        if control.pending_count(vendor).await? == 0 {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::Timestamp;
    use store::control::input::parse_decisions;
    use store::control::{NewVendor, SqliteControlStore};
    use store::secrets::{MasterKeys, system_random};

    #[tokio::test]
    async fn it_waits_for_the_relay_and_not_for_ever() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let random = system_random();
        let keys = MasterKeys::load(None, &folder.path().join("master.key"), random.as_ref()).expect("a new key");
        let store = SqliteControlStore::open(&folder.path().join("control.db"), keys, random).expect("a new store");
        let now = Timestamp(1_790_000_000_000);
        let vendor = store.ensure_vendor(NewVendor::named("acme"), "test", now).await.expect("made").id;
        assert!(wait_within(&store, vendor, Duration::ZERO).await.expect("asked"), "nothing was decided");
        let decisions = serde_json::json!([{"decide": "affiliate", "key": "aff_maya", "name": "Maya"}]);
        let decisions = parse_decisions(&decisions).expect("one decision");
        store.decide(vendor, decisions, "test", now).await.expect("decided");
        assert!(!wait_within(&store, vendor, Duration::from_millis(20)).await.expect("asked"), "nobody relays");
        let relay = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let ids: Vec<u64> =
                store.pending_decisions(10).await.expect("read").into_iter().map(|one| one.id).collect();
            store.mark_sent(&ids).await.expect("marked");
        };
        let (in_log, ()) = tokio::join!(wait_until_in_log(&store, vendor), relay);
        assert!(in_log.expect("asked"));
    }
}

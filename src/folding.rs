//! The fold of a process: what of it the other parts share.

use crate::base::Base;
use crate::ledger_stores::LedgerStores;
use domain::ids::Timestamp;
use processor::Owned;
use processor::audit::Audit;
use processor::trace_book::TraceBook;
use processor::worker::Alarms;
use std::sync::Arc;
use store::kafka::live::LivePublisher;
use store::kafka::membership::{Assignment, Membership};
use store::live::{Announce, Hold, LiveHub};
use store::secrets::system_random;
use tokio::sync::Notify;

const NAME_BYTES: usize = 8;

/// Who is told what pages may show: those of this process, or of all processes.
pub struct Told {
    /// What became visible.
    pub live: Arc<dyn Announce>,
    /// What is missing and must not be shown.
    pub shown: Arc<dyn Hold>,
}

/// What sink, worker, look-ups and audit share.
pub struct Folding {
    /// Where they write.
    pub stores: LedgerStores,
    /// The partitions that are this process's.
    pub owned: Owned,
    /// Its place in the group that shares them, if there are others.
    pub membership: Option<Arc<Membership>>,
    /// Who is told what pages may show.
    pub told: Told,
    /// Partitions that stopped.
    pub alarms: Arc<Alarms>,
    /// Checks the books and measures.
    pub audit: Arc<Audit>,
    /// Woken after every commit of the fold.
    pub committed: Arc<Notify>,
    /// Woken when there are new questions.
    pub asked: Arc<Notify>,
    /// Records whose way is followed.
    pub traces: Arc<TraceBook>,
    /// This process since its start, in leases.
    pub process_name: String,
}

impl Folding {
    /// Joins the group, if the log is shared. `pages` are those of this process.
    pub fn open(base: &Base, stores: &LedgerStores, pages: Option<Arc<LiveHub>>) -> anyhow::Result<Folding> {
        let (owned, membership, told) = match (&base.kafka, pages) {
            (Some(kafka), _) => {
                let member = Arc::new(Membership::join(kafka, &base.config.kafka.group, Assignment::default())?);
                let publisher = Arc::new(LivePublisher::open(kafka)?);
                (member.owned(), Some(member), Told { live: publisher.clone(), shown: publisher })
            }
            (None, Some(hub)) => (processor::owns_everything(), None, Told { live: hub.clone(), shown: hub }),
            (None, None) => anyhow::bail!("a fold whose log is a file has pages in the same process"),
        };
        let audit = Audit {
            store: stores.fold.clone(),
            log: base.log.clone(),
            partitions: owned.clone(),
            clock: base.clock.clone(),
            differences: Arc::default(),
            measured_at: tokio::sync::Mutex::new(Timestamp(0)),
        };
        Ok(Folding {
            stores: stores.clone(),
            owned,
            membership,
            told,
            alarms: Arc::default(),
            audit: Arc::new(audit),
            committed: Arc::default(),
            asked: Arc::default(),
            traces: Arc::new(TraceBook::new(base.traces.clone())),
            process_name: process_name()?,
        })
    }
}

fn process_name() -> anyhow::Result<String> {
    let mut name = [0; NAME_BYTES];
    system_random()(&mut name).map_err(|error| anyhow::anyhow!("no randomness for the name of a process: {error}"))?;
    Ok(hex::encode(name))
}

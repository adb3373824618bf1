//! What happens at some vendors: the load test's histories, with its own account of what is owed.

use corpus::shuffle::SplitMix;
use domain::decision::Decision;
use domain::ids::{AffiliateId, ConnectionId, Mode, Provider, VendorId};
use loadtest::oracle::Ledger;
use loadtest::plan::{Plan, PlanOptions, Size, Step};
use schemas::record::Record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use store::event_log::partition_of;
use tests::drawn::Decided;
use tests::stripe::record_of;

/// Events per thousand that are made to be refused.
const POISON_PER_THOUSAND: u64 = 15;

/// A vendor and what has to come out.
pub struct SimVendor {
    /// Its number.
    pub id: VendorId,
    /// Its handle.
    pub slug: String,
    /// Handles of its affiliates.
    pub handles: BTreeMap<AffiliateId, String>,
    /// What everybody is owed in the end.
    pub expected: Ledger,
}

/// One thing that happens outside.
pub enum Happening {
    /// The provider delivers; what the edge makes of it.
    Delivery(Box<Record>),
    /// A person decides.
    Decision(VendorId, Decision),
}

/// Everything that happens, in order.
pub struct Load {
    /// Who.
    pub vendors: Vec<SimVendor>,
    /// What.
    pub happenings: VecDeque<Happening>,
    /// Where: the vendors' partitions, and one that stays empty.
    pub partitions: BTreeSet<u16>,
}

impl Load {
    /// Draws one to three vendors, of whom the second shares a partition with the first.
    pub fn draw(seed: u64) -> Load {
        let mut random = SplitMix::new(seed);
        let count = 1 + random.below(3) as usize;
        let deliveries = 40 + random.below(140) as usize;
        let options = PlanOptions {
            seed,
            vendors: count,
            size: Size::Deliveries(deliveries),
            poison_per_thousand: POISON_PER_THOUSAND,
        };
        let plan = Plan::generate(options);
        let ids = vendor_ids();
        let decided: Vec<Decided> = plan.vendors.iter().map(Decided::by).collect();
        let mut happenings = VecDeque::new();
        for (id, decided) in ids.iter().zip(&decided) {
            happenings
                .extend(decided.before.iter().map(|decision| Happening::Decision(*id, theirs(*id, decision.clone()))));
        }
        for step in &plan.steps {
            match *step {
                Step::Decide { vendor, decision } => {
                    happenings.push_back(Happening::Decision(ids[vendor], decided[vendor].during[decision].clone()));
                }
                Step::Deliver { vendor, event, .. } => {
                    let delivered = delivery(ids[vendor], &plan.vendors[vendor].events[event].body);
                    happenings.extend(delivered.map(|record| Happening::Delivery(Box::new(record))));
                }
            }
        }
        let vendors: Vec<SimVendor> = plan
            .vendors
            .into_iter()
            .zip(decided)
            .zip(ids)
            .map(|((plan, decided), id)| SimVendor {
                id,
                slug: plan.slug,
                handles: decided.handles,
                expected: plan.expected,
            })
            .collect();
        let mut partitions: BTreeSet<u16> = vendors.iter().map(|vendor| partition_of(vendor.id)).collect();
        let empty = (0..).find(|partition| !partitions.contains(partition));
        partitions.extend(empty);
        Load { vendors, happenings, partitions }
    }
}

/// A vendor, another one of the same partition, and one of another partition.
fn vendor_ids() -> [VendorId; 3] {
    let first = VendorId(1);
    let find = |is_same: bool| {
        let mut others = (2..).map(VendorId);
        others.find(|other| (partition_of(*other) == partition_of(first)) == is_same)
    };
    let found = "vendors are spread over all partitions";
    [first, find(true).expect(found), find(false).expect(found)]
}

/// Every vendor has one connection, with its own number.
fn connection_of(vendor: VendorId) -> ConnectionId {
    ConnectionId(vendor.0)
}

/// A delivery as the edge stores it; none when the edge refuses it.
fn delivery(vendor: VendorId, body: &[u8]) -> Option<Record> {
    let record = record_of(Provider::Stripe, Mode::Live, body).ok()?;
    Some(Record { vendor, connection: connection_of(vendor), ..record })
}

fn theirs(vendor: VendorId, decision: Decision) -> Decision {
    match decision {
        Decision::SetConnection(mut connection) => {
            connection.connection = connection_of(vendor);
            Decision::SetConnection(connection)
        }
        other => other,
    }
}

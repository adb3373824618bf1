//! Public names of purchases, and how far a vendor's records have come.

use super::{Ledger, blocking};
use crate::services::{DeliveryCounts, LedgerReads, PurchaseDescription, PurchaseNames, StatusReport};
use async_trait::async_trait;
use domain::fact::Alias;
use domain::ids::PurchaseId;
use std::collections::HashMap;
use std::sync::Arc;
use store::event_log::partition_of;
use store::scope::TenantScope;

/// The ledger as the services see it.
#[derive(Clone)]
pub struct SharedLedger(pub Arc<Ledger>);

/// Prefixes under which a bare provider id may be known.
const PREFIXES: [&str; 9] = ["inv", "pi", "ch", "cs", "sub", "txn", "order", "subinv", "re"];

impl Ledger {
    fn describe(
        &self,
        scope: &TenantScope,
        purchases: &[PurchaseId],
    ) -> anyhow::Result<HashMap<PurchaseId, PurchaseDescription>> {
        let mut found = HashMap::new();
        for (purchase, story) in purchases.iter().zip(self.store.story_of_purchase(purchases)?) {
            let Some(reached) = story.map(|id| self.reached(scope, id)).transpose()?.flatten() else { continue };
            let Some(one) = reached.target.purchases.iter().find(|one| reached.number_of(one) == *purchase) else {
                continue;
            };
            let code = one
                .attribution
                .shown
                .as_ref()
                .and_then(|discount| discount.code.clone().or_else(|| discount.coupon.clone()));
            found.insert(
                *purchase,
                PurchaseDescription {
                    business_key: one.key.0.clone(),
                    sale_kind: one.kind.name().to_owned(),
                    redemption: one.redemption,
                    code_text: code.unwrap_or_default(),
                },
            );
        }
        Ok(found)
    }

    fn resolve(&self, scope: &TenantScope, name: &str) -> anyhow::Result<Option<PurchaseId>> {
        for id in self.stories_named(scope, name)? {
            let Some(reached) = self.reached(scope, id)? else { continue };
            if let Some(purchase) = reached.purchase_named(&[Alias(name.to_owned())]) {
                return Ok(Some(reached.number_of(purchase)));
            }
        }
        Ok(None)
    }

    /// A whole name, or a provider's id without our prefix: every purchase of its story.
    fn search(&self, scope: &TenantScope, text: &str, limit: usize) -> anyhow::Result<Vec<PurchaseId>> {
        let mut names = vec![text.to_owned()];
        names.extend(PREFIXES.iter().map(|prefix| format!("{prefix}:{text}")));
        let mut found = Vec::new();
        for name in names {
            for id in self.stories_named(scope, &name)? {
                let Some(reached) = self.reached(scope, id)? else { continue };
                let exact = reached.purchase_named(&[Alias(name.clone())]).map(|purchase| reached.number_of(purchase));
                match exact {
                    Some(purchase) => found.push(purchase),
                    None => found.extend(reached.story.slots.iter().map(|slot| slot.purchase)),
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn counts(&self, scope: &TenantScope) -> anyhow::Result<DeliveryCounts> {
        let counts = self.store.outcome_counts(scope.vendor(), scope.mode())?;
        let count = |outcome: &str| counts.get(outcome).copied().unwrap_or_default();
        Ok(DeliveryCounts {
            counted: count("counted"),
            no_effect: count("no_effect"),
            ignored: count("ignored"),
            waiting: count("waiting"),
            refused: count("refused"),
            decisions: count("decisions"),
            records: counts.values().sum(),
        })
    }
}

#[async_trait]
impl PurchaseNames for SharedLedger {
    async fn describe(
        &self,
        scope: &TenantScope,
        purchases: &[PurchaseId],
    ) -> anyhow::Result<HashMap<PurchaseId, PurchaseDescription>> {
        let (scope, purchases) = (*scope, purchases.to_vec());
        blocking(&self.0, move |ledger| ledger.describe(&scope, &purchases)).await
    }

    async fn resolve(&self, scope: &TenantScope, business_key: &str) -> anyhow::Result<Option<PurchaseId>> {
        let (scope, name) = (*scope, business_key.to_owned());
        blocking(&self.0, move |ledger| ledger.resolve(&scope, &name)).await
    }

    async fn search(&self, scope: &TenantScope, text: &str, limit: usize) -> anyhow::Result<Vec<PurchaseId>> {
        let (scope, text) = (*scope, text.to_owned());
        blocking(&self.0, move |ledger| ledger.search(&scope, &text, limit)).await
    }
}

#[async_trait]
impl LedgerReads for SharedLedger {
    async fn purchase(&self, scope: &TenantScope, business_key: &str) -> anyhow::Result<Option<serde_json::Value>> {
        super::purchase::purchase_json(&self.0, scope, business_key).await
    }

    async fn delivery(&self, scope: &TenantScope, id: &str) -> anyhow::Result<Option<serde_json::Value>> {
        super::delivery::delivery_json(&self.0, scope, id).await
    }

    async fn delivery_counts(&self, scope: &TenantScope) -> anyhow::Result<DeliveryCounts> {
        let scope = *scope;
        blocking(&self.0, move |ledger| ledger.counts(&scope)).await
    }

    async fn status(&self, scope: &TenantScope) -> anyhow::Result<StatusReport> {
        let partition = partition_of(scope.vendor());
        let pending_decisions = self.0.control.pending_count(scope.vendor()).await?;
        let (_, log_end) = self.0.log.bounds(partition).await?;
        let vendor = scope.vendor();
        let (folded, unfinished, pending_lookups) = blocking(&self.0, move |ledger| {
            let position = ledger.store.position(partition)?;
            // Without a key nothing is asked, so nothing is under way.
            let can_ask = ledger.decisions(vendor)?.connections.values().any(|connection| connection.can_look_up);
            let questions = if can_ask { ledger.store.open_question_count(vendor)? } else { 0 };
            Ok((position.next_offset, position.fanout.is_some(), questions))
        })
        .await?;
        let visible = self.0.watermarks.watermark(vendor).next_offset;
        let settled =
            log_end == folded && folded == visible && !unfinished && pending_decisions == 0 && pending_lookups == 0;
        Ok(StatusReport { log_end, folded, visible, pending_lookups, pending_decisions, settled })
    }
}

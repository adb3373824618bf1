//! Names and keys out of the control store.

use crate::export::{Payee, PayeeStatus};
use crate::services::names::{AffiliateName, Names};
use crate::services::sources::{Catalogue, Clock, KeyResolver};
use async_trait::async_trait;
use domain::ids::AffiliateId;
use std::collections::HashMap;
use std::sync::Arc;
use store::control::{AffiliateInfo, ControlStore};
use store::scope::TenantScope;

/// The control store as a [`Catalogue`] and a [`KeyResolver`].
#[derive(Clone)]
pub struct ControlNames {
    control: Arc<dyn ControlStore>,
    clock: Clock,
}

impl ControlNames {
    /// Reads from this control store; the clock says when a key was last used.
    pub fn new(control: Arc<dyn ControlStore>, clock: Clock) -> ControlNames {
        ControlNames { control, clock }
    }
}

#[async_trait]
impl Catalogue for ControlNames {
    async fn names(&self, scope: &TenantScope) -> anyhow::Result<Arc<Names>> {
        let (vendor, affiliates, codes) =
            tokio::try_join!(self.control.vendor(scope), self.control.affiliates(scope), self.control.codes(scope))?;
        let affiliates =
            affiliates.into_iter().map(|known| (known.id, AffiliateName { key: known.key, name: known.name }));
        Ok(Arc::new(Names {
            time_zone: vendor.time_zone,
            affiliates: affiliates.collect(),
            codes: codes.into_iter().map(|known| (known.id, known.text)).collect(),
        }))
    }

    async fn payees(&self, scope: &TenantScope) -> anyhow::Result<HashMap<AffiliateId, Payee>> {
        let (affiliates, mut addresses) =
            tokio::try_join!(self.control.affiliates(scope), self.control.payout_addresses(scope))?;
        let named = affiliates.into_iter().map(|known| {
            let address = addresses.remove(&known.id).map(|address| address.text.replace('\n', ", "));
            (known.id, payee(known, address.unwrap_or_default()))
        });
        Ok(named.collect())
    }
}

fn payee(known: AffiliateInfo, payout_address: String) -> Payee {
    let status = if known.suspended { PayeeStatus::Suspended } else { PayeeStatus::Active };
    Payee { name: known.name, key: known.key, email: known.email, status, payout_address }
}

#[async_trait]
impl KeyResolver for ControlNames {
    async fn scope_of_key(&self, key: &str) -> anyhow::Result<Option<TenantScope>> {
        Ok(self.control.scope_of_api_key(key, (self.clock)()).await?)
    }
}

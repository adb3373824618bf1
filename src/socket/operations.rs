//! What the local control socket can do.

use super::protocol::*;
use super::{Failure, Local};
use crate::in_log::{wait_until_in_log, wait_until_known};
use api::ledger::explain;
use api::model::Explanation;
use domain::ids::{Mode, PARTITIONS, VendorId};
use store::control::input::parse_decisions;
use store::control::{ConnectRequest, NewVendor, Vendor};
use store::event_log::{LogError, partition_of};
use store::fold_store::ListedRecord;
use store::secrets::SecretText;

/// Who did it, in the audit log.
pub(super) const ACTOR: &str = "command line";
/// How many refused or waiting records one list shows.
const LISTED: usize = 1_000;

impl Local {
    pub(super) async fn connect(&self, call: ConnectCall) -> Result<ConnectAnswer, Failure> {
        let request = ConnectRequest {
            vendor: call.vendor.clone(),
            provider: call.provider,
            secret: SecretText::new(call.secret),
            key: call.key.map(SecretText::new),
            api_base: call.api_base,
            account: call.account,
            complete_history: call.complete_history,
            mode_hint: call.mode,
        };
        let connected = self.app.control.connect(request, ACTOR, (self.app.clock)()).await?;
        // The caller may deliver at once.
        self.app.loader.load().await?;
        let in_log = wait_until_known(self.app.control.as_ref(), connected.vendor).await?;
        Ok(ConnectAnswer {
            in_log,
            vendor: call.vendor,
            connection: connected.connection.0,
            endpoint_url: format!("{}/webhooks/{}/{}", self.public_url, call.provider.name(), connected.endpoint_id),
            endpoint: connected.endpoint_id,
        })
    }

    pub(super) async fn decide(&self, call: DecideCall) -> Result<DecideAnswer, Failure> {
        let decisions = parse_decisions(&call.decisions)?;
        let now = (self.app.clock)();
        let vendor = self.app.control.ensure_vendor(NewVendor::named(&call.vendor), ACTOR, now).await?;
        let decided = self.app.control.decide(vendor.id, decisions, ACTOR, now).await?;
        let in_log = wait_until_in_log(self.app.control.as_ref(), vendor.id).await?;
        Ok(DecideAnswer { first_seq: decided.first_seq, last_seq: decided.last_seq, in_log })
    }

    pub(super) async fn api_key(&self, call: ApiKeyCall) -> Result<ApiKeyAnswer, Failure> {
        let vendor = self.vendor(&call.vendor).await?;
        let key = self.app.control.create_api_key(vendor.id, call.mode, &call.name, ACTOR, (self.app.clock)()).await?;
        Ok(ApiKeyAnswer { key: key.expose().to_owned() })
    }

    /// A link that opens the pages, once.
    pub(super) async fn login_url(&self) -> Result<String, Failure> {
        let token = self.app.control.create_login_token((self.app.clock)()).await?;
        Ok(format!("{}/open?token={}", self.public_url, token.expose()))
    }

    async fn vendor(&self, slug: &str) -> Result<Vendor, Failure> {
        let found = self.app.control.vendor_by_slug(slug).await?;
        found.ok_or_else(|| Failure::not_found(format!("there is no vendor `{slug}`")))
    }

    pub(super) async fn explain(&self, call: ExplainCall) -> Result<Explanation, Failure> {
        let slugs = match &call.vendor {
            Some(slug) => vec![self.vendor(slug).await?.slug],
            None => self.app.control.vendors().await?.into_iter().map(|vendor| vendor.slug).collect(),
        };
        let modes = call.mode.map_or(vec![Mode::Live, Mode::Test], |mode| vec![mode]);
        for slug in &slugs {
            for mode in &modes {
                let Some(scope) = self.app.control.admin_scope(&self.admin, slug, *mode).await? else { continue };
                if let Some(found) = explain(&self.app.ledger.0, &scope, &call.purchase).await? {
                    return Ok(found);
                }
            }
        }
        Err(Failure::not_found(format!(
            "no purchase is known as `{}`; names look like inv:in_1, pi:pi_1, txn:txn_1 or order:1",
            call.purchase
        )))
    }

    pub(super) async fn refused(&self, call: RefusedCall) -> Result<Vec<ListedRecord>, Failure> {
        let vendor = self.vendor(&call.vendor).await?.id;
        let fold = self.app.fold.clone();
        let listed = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<ListedRecord>> {
            let mut listed = fold.open_records(vendor, "refused", None, LISTED)?;
            listed.extend(fold.open_records(vendor, "waiting", None, LISTED)?);
            Ok(listed)
        });
        Ok(listed.await.map_err(anyhow::Error::from)??)
    }

    /// One record: what was received, and its outcome.
    pub(super) async fn record(&self, slug: &str, offset: u64) -> Result<serde_json::Value, Failure> {
        let vendor: VendorId = self.vendor(slug).await?.id;
        let partition = partition_of(vendor);
        let nothing = || Failure::not_found(format!("`{slug}` has no record {offset}"));
        let stored = match self.app.log.read(partition, offset, 1, 1).await {
            Err(LogError::OutOfRange { .. }) => Vec::new(),
            read => read.map_err(anyhow::Error::from)?,
        };
        let stored = stored.first().filter(|stored| stored.offset == offset).ok_or_else(nothing)?;
        let content: serde_json::Value = serde_json::from_slice(&stored.bytes).map_err(anyhow::Error::from)?;
        if content["vendor"] != vendor.0 {
            return Err(nothing());
        }
        let listed = self.app.fold.records(partition, &[offset]).map_err(anyhow::Error::from)?;
        Ok(serde_json::json!({ "record": content, "read_as": listed.first() }))
    }

    pub(super) async fn status(&self) -> Result<StatusAnswer, Failure> {
        let mut answer = StatusAnswer {
            url: self.public_url.clone(),
            settled: false,
            log_end: 0,
            folded: 0,
            visible: 0,
            alarms: self.app.alarms.list(),
        };
        for partition in 0..PARTITIONS {
            answer.log_end += self.app.log.bounds(partition).await.map_err(anyhow::Error::from)?.1;
            answer.folded += self.app.fold.position(partition).map_err(anyhow::Error::from)?.next_offset;
            answer.visible += self.app.live.visible(partition).next_offset;
        }
        answer.settled = answer.log_end == answer.folded && answer.folded == answer.visible;
        Ok(answer)
    }
}

//! What people say of the spike detector's alerts, and whom an alert is mailed to.

use super::backend::{Backend, Reach, Tells};
use super::broken::owners;
use super::database::{Database, Row, values};
use super::decide::audit;
use super::people::Person;
use super::reading::vendor_wide;
use super::store::ControlStoreOn;
use super::{ControlError, ControlResult};
use crate::scope::TenantScope;
use async_trait::async_trait;
use domain::ids::{CodeId, Timestamp, VendorId};

/// Most labels of one answer: as many as there are alerts.
const MAX_LABELS: usize = crate::fold_store::MOST_ALERTS;
/// Most people who are mailed one alert.
pub(super) const MAX_RECIPIENTS: usize = 50;

/// What an alert was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertLabel {
    /// A campaign that nobody had announced.
    Expected,
    /// Abuse.
    Fraud,
    /// Nobody knows.
    Unclear,
}

impl AlertLabel {
    /// Every label, in the order of the buttons.
    pub const ALL: [AlertLabel; 3] = [AlertLabel::Expected, AlertLabel::Fraud, AlertLabel::Unclear];

    /// As it is stored and sent by forms.
    pub fn name(self) -> &'static str {
        match self {
            AlertLabel::Expected => "expected",
            AlertLabel::Fraud => "fraud",
            AlertLabel::Unclear => "unclear",
        }
    }

    /// The label of this name.
    pub fn named(name: &str) -> Option<AlertLabel> {
        AlertLabel::ALL.into_iter().find(|label| label.name() == name)
    }
}

/// What was said of an alert, by whom and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledAlert {
    /// Number of the alert.
    pub alert: u64,
    /// What it was.
    pub label: AlertLabel,
    /// Who said it.
    pub actor: String,
    /// When.
    pub decided_at: Timestamp,
}

/// Whom an alert is mailed to, and the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertAudience {
    /// Slug of the vendor.
    pub slug: String,
    /// Name of the vendor.
    pub vendor: String,
    /// IANA name of its zone.
    pub time_zone: String,
    /// Sample data: nobody is mailed about it.
    pub is_demo: bool,
    /// The code as people write it; empty if it has no name.
    pub code: String,
    /// Name of whoever the code belongs to now; empty if nobody.
    pub affiliate: String,
    /// The vendor's owners who have an address. The operator has none.
    pub people: Vec<Person>,
}

/// Alerts, as people see them.
#[async_trait]
pub trait Alerts: Send + Sync {
    /// Notes what an alert was. The last word counts; the audit log keeps all.
    async fn label_alert(
        &self,
        scope: &TenantScope,
        alert: u64,
        label: AlertLabel,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()>;
    /// What was said of alerts, the newest first, at most 500.
    async fn alert_labels(&self, scope: &TenantScope) -> ControlResult<Vec<LabelledAlert>>;
    /// For the wiring: whom to mail about a code. None when the vendor is gone.
    async fn alert_audience(&self, vendor: VendorId, code: CodeId) -> ControlResult<Option<AlertAudience>>;
}

fn write_label(
    database: &dyn Database,
    vendor: VendorId,
    (alert, label): (u64, AlertLabel),
    actor: &str,
    now: Timestamp,
) -> ControlResult<()> {
    // Numbers of alerts use all 64 bits, columns have a sign.
    database.execute(
        "insert into alert_labels (vendor, alert, label, actor, decided_at) values (?1, ?2, ?3, ?4, ?5)
         on conflict (vendor, alert) do update set label = excluded.label, actor = excluded.actor,
             decided_at = excluded.decided_at",
        values![vendor.0, alert as i64, label.name(), actor, now.0],
    )?;
    let detail = serde_json::json!({ "alert": format!("{alert:016x}"), "label": label.name() }).to_string();
    audit(database, vendor, actor, "label_alert", &detail, now)
}

fn read_labels(database: &dyn Database, vendor: VendorId) -> ControlResult<Vec<LabelledAlert>> {
    let rows = database.query(
        "select alert, label, actor, decided_at from alert_labels where vendor = ?1 order by decided_at desc, alert limit ?2",
        values![vendor.0, MAX_LABELS as i64],
    )?;
    let from_row = |row: Row| {
        let name: String = row.get(1)?;
        let label = AlertLabel::named(&name)
            .ok_or_else(|| ControlError::Failed(anyhow::anyhow!("`{name}` is no label of an alert")))?;
        Ok(LabelledAlert {
            alert: row.get::<i64>(0)? as u64,
            label,
            actor: row.get(2)?,
            decided_at: Timestamp(row.get(3)?),
        })
    };
    rows.into_iter().map(from_row).collect()
}

fn read_audience(database: &dyn Database, vendor: VendorId, code: CodeId) -> ControlResult<Option<AlertAudience>> {
    let sql = "select slug, name, time_zone, is_demo from vendors where id = ?1";
    let Some(row) = database.query_optional(sql, values![vendor.0])? else { return Ok(None) };
    let named = database.query_optional(
        "select codes.text, affiliates.name from codes
         left join affiliates on affiliates.vendor = codes.vendor and affiliates.id =
           (select mappings.affiliate from mappings
            where mappings.vendor = codes.vendor and mappings.code = codes.id order by mappings.seq desc limit 1)
         where codes.vendor = ?1 and codes.id = ?2",
        values![vendor.0, code.0],
    )?;
    let (code, affiliate) = match named {
        Some(row) => (row.get::<String>(0)?, row.get::<Option<String>>(1)?.unwrap_or_default()),
        None => (String::new(), String::new()),
    };
    Ok(Some(AlertAudience {
        slug: row.get(0)?,
        vendor: row.get(1)?,
        time_zone: row.get(2)?,
        is_demo: row.get(3)?,
        code,
        affiliate,
        people: owners(database, vendor)?,
    }))
}

#[async_trait]
impl<B: Backend> Alerts for ControlStoreOn<B> {
    async fn label_alert(
        &self,
        scope: &TenantScope,
        alert: u64,
        label: AlertLabel,
        actor: &str,
        now: Timestamp,
    ) -> ControlResult<()> {
        let (vendor, actor) = (vendor_wide(scope)?, actor.to_owned());
        let write = move |database: &dyn Database| write_label(database, vendor, (alert, label), &actor, now);
        self.backend.write(Reach::Tenant(vendor), Tells::NOTHING, write).await
    }

    async fn alert_labels(&self, scope: &TenantScope) -> ControlResult<Vec<LabelledAlert>> {
        let vendor = vendor_wide(scope)?;
        self.backend.read(Reach::Tenant(vendor), move |database| read_labels(database, vendor)).await
    }

    async fn alert_audience(&self, vendor: VendorId, code: CodeId) -> ControlResult<Option<AlertAudience>> {
        self.backend.read(Reach::Wiring, move |database| read_audience(database, vendor, code)).await
    }
}

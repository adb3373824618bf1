//! What the control store takes and gives.

use super::people::PersonId;
use super::rotation::Shown;
use crate::secrets::SecretText;
use domain::decision::{Campaign, Decision, Review, SetRule};
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, Provider, Timestamp, VendorId};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendor {
    /// Its number; never used again after it is forgotten.
    pub id: VendorId,
    /// Its name in URLs and commands.
    pub slug: String,
    /// Its name on pages.
    pub name: String,
    /// IANA name; days and ranges of its pages and exports.
    pub time_zone: String,
    /// Whether its data is invented.
    pub is_demo: bool,
    /// Since when.
    pub created_at: Timestamp,
}

/// A tenant that shall exist.
#[derive(Debug, Clone)]
pub struct NewVendor {
    /// 1 to 63 of `a-z`, `0-9`, `-`, `_`; starts with a letter or digit.
    pub slug: String,
    /// Its name on pages.
    pub name: String,
    /// IANA name, for example `Europe/Berlin`.
    pub time_zone: String,
    /// Whether its data is invented.
    pub is_demo: bool,
}

impl NewVendor {
    /// A real vendor that nothing but its slug is known of: named like it, in UTC.
    pub fn named(slug: &str) -> NewVendor {
        NewVendor { slug: slug.to_owned(), name: slug.to_owned(), time_zone: "UTC".to_owned(), is_demo: false }
    }
}

/// A provider account that shall be connected.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// Slug; the vendor is created when there is none.
    pub vendor: String,
    /// Whose account.
    pub provider: Provider,
    /// What the provider signs with. Surrounding space is dropped.
    pub secret: SecretText,
    /// For asking the provider. Blank is none.
    pub key: Option<SecretText>,
    /// Where to ask, when it is not the provider's own address.
    pub api_base: Option<String>,
    /// The provider's account id, when events must name it.
    pub account: Option<String>,
    /// Whether all events since the account's first are known.
    pub complete_history: bool,
    /// The mode of events that do not say it themselves.
    pub mode_hint: Option<Mode>,
}

/// A provider account that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Whose.
    pub vendor: VendorId,
    /// Its number.
    pub connection: ConnectionId,
    /// The random part of the webhook URL.
    pub endpoint_id: String,
}

/// A connection as its page shows it: secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number.
    pub connection: ConnectionId,
    /// Whose account.
    pub provider: Provider,
    /// Which account; none = any.
    pub account: Option<String>,
    /// Since when all events are known; none = always.
    pub history_from: Option<Timestamp>,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Closed since.
    pub closed_at: Option<Timestamp>,
    /// Whether the provider can be asked.
    pub can_look_up: bool,
    /// Where it receives.
    pub endpoints: Vec<EndpointInfo>,
}

/// An endpoint as its page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointInfo {
    /// The random part of the webhook URL.
    pub endpoint_id: String,
    /// The mode of events that do not say it themselves.
    pub mode_hint: Option<Mode>,
    /// Active secrets, oldest first.
    pub secrets: Vec<SecretInfo>,
}

/// A secret as its page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its number.
    pub id: u64,
    /// `…` and the last four characters.
    pub masked: String,
    /// Since when.
    pub added_at: Timestamp,
}

/// What the edge must know of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointEntry {
    /// The random part of the webhook URL.
    pub endpoint_id: String,
    /// Whose.
    pub vendor: VendorId,
    /// Which provider account.
    pub connection: ConnectionId,
    /// Whose signature and format.
    pub provider: Provider,
    /// The mode of events that do not say it themselves.
    pub mode_hint: Option<Mode>,
    /// Active secrets, oldest first.
    pub secrets: Vec<SecretText>,
    /// Key of the vendor's e-mail hashes.
    pub hash_key: HashKey,
}

/// The key of a vendor's e-mail and card hashes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey(pub [u8; 32]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Drop for HashKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// How to ask a provider.
#[derive(Debug, Clone)]
pub struct LookupCredentials {
    /// Whose API.
    pub provider: Provider,
    /// Where, when it is not the provider's own address. Without a slash at its end.
    pub api_base: Option<String>,
    /// The key.
    pub key: SecretText,
}

/// The sequence numbers of what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Of the first decision.
    pub first_seq: u64,
    /// Of the last.
    pub last_seq: u64,
}

/// What would be written if something were decided now.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The number that the first would get.
    pub first_seq: u64,
    /// In their order. Something new has a number that it will not have when it is really decided.
    pub decisions: Vec<Decision>,
}

/// A decision on its way into the log.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxDecision {
    /// Number of the outbox row, for [`mark_sent`](super::ControlStore::mark_sent).
    pub id: u64,
    /// Whose.
    pub vendor: VendorId,
    /// The vendor's own count.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What.
    pub decision: Decision,
}

/// Which numbers a vendor has given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorNumbers {
    /// Whose.
    pub vendor: VendorId,
    /// Its name in URLs and commands.
    pub slug: String,
    /// The number of the next decision.
    pub next_seq: u64,
    /// The lowest number that is not known to be in the log.
    pub first_waiting: Option<u64>,
}

impl VendorNumbers {
    /// Every number below must be in the log.
    pub fn relayed_below(&self) -> u64 {
        self.first_waiting.unwrap_or(self.next_seq)
    }
}

/// A decision as the log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedDecision {
    /// The vendor's own count.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What.
    pub decision: Decision,
}

/// An affiliate as lists name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffiliateInfo {
    /// Its number in lines.
    pub id: AffiliateId,
    /// Public handle, for example `aff_maya`.
    pub key: String,
    /// Name on pages.
    pub name: String,
    /// Whether suspended.
    pub suspended: bool,
    /// Where their mail goes, if it is known.
    pub email: Option<String>,
}

/// A code as lists name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeInfo {
    /// Its number in lines.
    pub id: CodeId,
    /// Code text as people wrote it, else promotion code or coupon id.
    pub text: String,
    /// Whose it is by the mapping decided last; none = the house's.
    pub affiliate: Option<AffiliateId>,
}

/// A rule, and who made it.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleInfo {
    /// The rule.
    pub rule: SetRule,
    /// Who.
    pub actor: String,
    /// When.
    pub decided_at: Timestamp,
}

/// A review, and who made it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewInfo {
    /// The vendor's own count; the last of a purchase holds.
    pub seq: u64,
    /// The review.
    pub review: Review,
    /// Who.
    pub actor: String,
    /// When.
    pub decided_at: Timestamp,
}

/// An announced campaign, and who announced it.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignInfo {
    /// The campaign.
    pub campaign: Campaign,
    /// Who.
    pub actor: String,
    /// When.
    pub decided_at: Timestamp,
}

/// An API key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// Its number.
    pub id: u64,
    /// What it is for.
    pub name: String,
    /// Which data it reads.
    pub mode: Mode,
    /// Since when.
    pub created_at: Timestamp,
    /// Last use, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Revoked since.
    pub revoked_at: Option<Timestamp>,
}

/// Who did what, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; counts up.
    pub id: u64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// What was set, as JSON, without secrets.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// Somebody signed in at the server. Made only by the control store, from a token or a
/// cookie that it has checked.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) shown: Shown,
    pub(super) csrf: String,
    pub(super) expires_at: Timestamp,
    pub(super) person: Option<PersonId>,
}

impl Session {
    /// The value of the session cookie.
    pub fn cookie(&self) -> &SecretText {
        &self.shown.cookie
    }

    /// Who it is; none for the operator, who came with a token of the command line and may open every vendor.
    pub fn person(&self) -> Option<PersonId> {
        self.person
    }

    /// Who it is, in the words of the audit log.
    pub fn actor(&self) -> String {
        self.person.map_or_else(|| "operator".to_owned(), super::sign_in::actor)
    }

    /// What every form of the session must send back.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// When the cookie ends, unless it is used before.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// The right of whoever reaches the local control socket to read every tenant.
///
/// The socket has mode 0600 in the data folder: who can open it can read the files and the
/// master key as well, so a credential would add nothing. The wiring makes one value when it
/// opens the socket and hands it to the socket's handlers, and to nothing else.
#[derive(Debug, Clone, Copy)]
pub struct LocalAdmin(());

impl LocalAdmin {
    /// For the wiring of the local control socket only.
    pub fn for_local_socket() -> LocalAdmin {
        LocalAdmin(())
    }
}

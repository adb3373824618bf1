//! What is said over the local control socket, in JSON.

use domain::ids::{Mode, Provider, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /v1/connect`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectCall {
    /// Slug; the vendor is created when there is none.
    pub vendor: String,
    /// Whose payments.
    pub provider: Provider,
    /// What the provider signs with.
    pub secret: String,
    /// For asking the provider.
    #[serde(default)]
    pub key: Option<String>,
    /// Where to ask.
    #[serde(default)]
    pub api_base: Option<String>,
    /// The provider's account id.
    #[serde(default)]
    pub account: Option<String>,
    /// Whether all events since the account's first are known.
    #[serde(default)]
    pub complete_history: bool,
    /// The mode of events that do not name it.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// Answer of `POST /v1/connect`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ConnectAnswer {
    /// Slug.
    pub vendor: String,
    /// Number of the connection.
    pub connection: u64,
    /// Id of the endpoint.
    pub endpoint: String,
    /// Where the provider must send its webhooks.
    pub endpoint_url: String,
    /// What is delivered from now on comes after it.
    pub in_log: bool,
}

/// `POST /v1/decide`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideCall {
    /// Slug; the vendor is created when there is none.
    pub vendor: String,
    /// A list of decisions.
    pub decisions: serde_json::Value,
}

/// Answer of `POST /v1/decide`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DecideAnswer {
    /// Number of the first decision.
    pub first_seq: u64,
    /// Number of the last one.
    pub last_seq: u64,
    /// What is delivered from now on comes after them.
    pub in_log: bool,
}

/// `POST /v1/api-keys`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCall {
    /// Slug of a vendor that exists.
    pub vendor: String,
    /// What the key may read.
    pub mode: Mode,
    /// What it is for.
    pub name: String,
}

/// Answer of `POST /v1/api-keys`. The key is shown once.
#[derive(Serialize, Deserialize)]
pub struct ApiKeyAnswer {
    /// The key.
    pub key: String,
}

/// Answer of `POST /v1/login`.
#[derive(Debug, Serialize, Deserialize)]
pub struct UrlAnswer {
    /// Opens the pages, once.
    pub url: String,
}

/// `GET /v1/explain`
#[derive(Debug, Serialize, Deserialize)]
pub struct ExplainCall {
    /// Slug; the first vendor that has the purchase when it is not given.
    #[serde(default)]
    pub vendor: Option<String>,
    /// Mode; live and then test when it is not given.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Any name of the purchase.
    pub purchase: String,
}

/// `GET /v1/refused`
#[derive(Debug, Serialize, Deserialize)]
pub struct RefusedCall {
    /// Slug.
    pub vendor: String,
}

/// `GET /v1/mails`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailsCall {
    /// Name of a state.
    #[serde(default)]
    pub state: Option<String>,
    /// Name of a kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// Only rows below this one.
    #[serde(default)]
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// One row of the answer of `GET /v1/mails`: never what the mail says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MailRow {
    /// Its number.
    pub id: u64,
    /// Name of its state.
    pub state: String,
    /// Its kind.
    pub kind: String,
    /// Where to.
    pub recipient: String,
    /// How often it was tried.
    pub tries: u32,
    /// The last reason why it did not go out; empty if there is none.
    pub reason: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// While it waits: not before.
    pub due_at: Timestamp,
    /// When it was sent or given up.
    pub finished_at: Option<Timestamp>,
}

impl MailRow {
    /// The time that matters in its state: when it ended, else when it is tried next.
    pub fn when_words(&self, moment: &dyn Fn(Timestamp) -> String) -> String {
        match self.finished_at {
            Some(at) => moment(at),
            None if self.state == "waiting" => format!("due {}", moment(self.due_at)),
            None => moment(self.created_at),
        }
    }
}

/// `POST /v1/mails/retry`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryMailsCall {
    /// These.
    pub ids: Vec<u64>,
    /// Or all of this kind that failed.
    pub failed: Option<String>,
    /// Also one that may have arrived.
    pub may_arrive_twice: bool,
}

/// Answer of `POST /v1/mails/retry`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RetriedAnswer {
    /// So many are sent again.
    pub retried: u64,
    /// Why others are not, in words.
    pub problems: Vec<String>,
}

/// Answer of `GET /v1/status`.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Where pages and webhooks are.
    pub url: String,
    /// Nothing is under way.
    pub settled: bool,
    /// Records in the log.
    pub log_end: u64,
    /// Records that are folded.
    pub folded: u64,
    /// Records that can be read.
    pub visible: u64,
    /// Partitions that stopped, and why.
    pub alarms: Vec<(u16, String)>,
}

/// An error.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// What is wrong.
    pub error: ErrorBody,
}

/// What is wrong.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The member to blame; empty if none.
    pub field: String,
    /// In words.
    pub message: String,
}

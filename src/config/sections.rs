//! The sections and their defaults. What each setting means stands in `config.default.toml`; a test
//! keeps both equal.

use super::protection::{KafkaProtocol, MailTls, PostgresTls, SaslMechanism};
use super::secret::Secret;
use super::text;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use url::Url;

/// Where the process listens and what the world calls it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address of the one HTTP socket. Port 0 takes any free port.
    #[serde(with = "text::address")]
    pub listen: SocketAddr,
    /// The address that providers and people use; none = `http://` and the listening address.
    #[serde(with = "text::optional_url")]
    pub public_url: Option<Url>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(with = "text::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// How long an ordered shutdown may take, in seconds.
    pub shutdown_s: u64,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            trusted_proxies: Vec::new(),
            shutdown_s: 10,
        }
    }
}

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The data folder.
    pub dir: PathBuf,
    /// Free space of its disk below which `doctor` warns, in bytes.
    pub low_disk_bytes: u64,
}

impl Default for Data {
    fn default() -> Data {
        Data { dir: PathBuf::from("./data"), low_disk_bytes: 1 << 30 }
    }
}

/// Limits of the webhook edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Largest body of one delivery, in bytes.
    pub max_body_bytes: usize,
    /// Bytes of all bodies being worked on at one moment.
    pub max_inflight_bytes: usize,
    /// Requests of one client that may fail within a minute.
    pub failing_requests_per_minute: u32,
    /// Verified deliveries per second of one endpoint.
    pub endpoint_requests_per_second: u32,
    /// Largest age of a signature, in seconds.
    pub signature_tolerance_s: u64,
}

impl Default for Edge {
    fn default() -> Edge {
        Edge {
            max_body_bytes: 2 << 20,
            max_inflight_bytes: 64 << 20,
            failing_requests_per_minute: 60,
            endpoint_requests_per_second: 50_000,
            signature_tolerance_s: 300,
        }
    }
}

/// The durable log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Records that may wait to be written.
    pub queue_records: usize,
    /// Bytes of records that may wait to be written.
    pub queue_bytes: usize,
    /// Records written and synced together.
    pub group_max_records: usize,
    /// Bytes written and synced together.
    pub group_max_bytes: usize,
}

impl Default for Log {
    fn default() -> Log {
        Log { queue_records: 8192, queue_bytes: 64 << 20, group_max_records: 1024, group_max_bytes: 4 << 20 }
    }
}

/// The fold and the look-ups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Processor {
    /// Records folded in one transaction.
    pub batch_max_records: usize,
    /// Bytes folded in one transaction.
    pub batch_max_bytes: usize,
    /// Lines sent to the warehouse in one insert.
    pub project_max_lines: usize,
    /// Lines that may wait for the warehouse before the fold pauses.
    pub outbox_max_lines: usize,
    /// Questions to providers at one moment, per connection.
    pub lookup_concurrency: usize,
    /// How long one question may take, in milliseconds.
    pub lookup_timeout_ms: u64,
    /// How long a record waits for an answer before it is refused, in seconds.
    pub lookup_deadline_s: u64,
    /// How often the warehouse is asked whether what was sent lately is still there.
    pub verify_every_s: u64,
}

impl Default for Processor {
    fn default() -> Processor {
        Processor {
            batch_max_records: 1000,
            batch_max_bytes: 8 << 20,
            project_max_lines: 5_000,
            outbox_max_lines: 1_000_000,
            lookup_concurrency: 4,
            lookup_timeout_ms: 10_000,
            lookup_deadline_s: 3 * 24 * 3600,
            verify_every_s: 180,
        }
    }
}

/// The warehouse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warehouse {
    /// The engine inside this process, or a server at `url`.
    pub embedded: bool,
    /// The engine's library; none = searched beside the binary and in the project's cache.
    pub library: String,
    /// The server's address, only when not embedded.
    #[serde(with = "text::optional_url")]
    pub url: Option<Url>,
    /// PEM file of the authorities that are believed with https; empty = those of the system.
    pub tls_ca_file: String,
    /// The server's user.
    pub user: String,
    /// The server's password.
    pub password: Secret,
    /// Name of the database.
    pub database: String,
    /// Name of the server's cluster; empty = one server.
    pub cluster: String,
    /// Memory of the embedded engine, in MiB.
    pub max_memory_mb: u64,
    /// Statements at one moment.
    pub connections: usize,
    /// How long one statement may take, in seconds.
    pub query_timeout_s: u64,
}

impl Default for Warehouse {
    fn default() -> Warehouse {
        Warehouse {
            embedded: true,
            library: String::new(),
            url: None,
            tls_ca_file: String::new(),
            user: "default".to_owned(),
            password: Secret::default(),
            database: "affilitrack".to_owned(),
            cluster: String::new(),
            max_memory_mb: 512,
            connections: 4,
            query_timeout_s: 30,
        }
    }
}

impl Warehouse {
    /// Whether it is a server that is reached by https.
    pub fn is_encrypted(&self) -> bool {
        !self.embedded && self.url.as_ref().is_some_and(|url| url.scheme() == "https")
    }
}

/// Apache Kafka as the event log, for roles in processes of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to begin with, `host:port` with commas; empty = the log in the data folder.
    pub brokers: String,
    /// Whether connections are encrypted, and whether a user signs in.
    pub security_protocol: KafkaProtocol,
    /// How the user signs in.
    pub sasl_mechanism: SaslMechanism,
    /// The user; empty = nobody signs in.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// PEM file of the authorities that are believed; empty = those of the system.
    pub tls_ca_file: String,
    /// PEM file of the certificate that we show; empty = none.
    pub tls_certificate_file: String,
    /// PEM file of that certificate's key.
    pub tls_key_file: String,
    /// Topic of the event log.
    pub topic: String,
    /// Topic of the live signal.
    pub live_topic: String,
    /// Group in which `process` roles share the partitions.
    pub group: String,
    /// Copies of each partition that `migrate` asks for.
    pub replication_factor: u16,
    /// Copies that must have a record before it is acknowledged.
    pub min_insync_replicas: u16,
    /// Most bytes kept on this machine's disk while the broker is away; 0 = no spool.
    pub spool_max_bytes: u64,
    /// Longest time that the oldest spooled record may wait before more are refused, in seconds.
    pub spool_max_age_s: u64,
}

impl Default for Kafka {
    fn default() -> Kafka {
        Kafka {
            brokers: String::new(),
            security_protocol: KafkaProtocol::default(),
            sasl_mechanism: SaslMechanism::default(),
            user: String::new(),
            password: Secret::default(),
            tls_ca_file: String::new(),
            tls_certificate_file: String::new(),
            tls_key_file: String::new(),
            topic: "at.events.v1".to_owned(),
            live_topic: "at.live.v1".to_owned(),
            group: "affilitrack".to_owned(),
            replication_factor: 1,
            min_insync_replicas: 1,
            spool_max_bytes: 4 << 30,
            spool_max_age_s: 24 * 3600,
        }
    }
}

/// Postgres as fold store and control store, for roles in processes of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// `postgresql://user:password@host:port/database`; empty = SQLite files in the data folder.
    pub url: Secret,
    /// How connections are protected.
    pub tls: PostgresTls,
    /// PEM file of the authorities that are believed; empty = those of the system.
    pub tls_ca_file: String,
    /// Beginning of the names of its schemas: `at` makes `at_control` and `at_fold`.
    pub schema: String,
    /// Connections of one process at most.
    pub connections: usize,
    /// How long one statement may take, in seconds.
    pub statement_timeout_s: u64,
    /// How long a connection attempt, or the wait for a free connection, may take, in seconds.
    pub connect_timeout_s: u64,
}

impl Default for Postgres {
    fn default() -> Postgres {
        Postgres {
            url: Secret::default(),
            tls: PostgresTls::default(),
            tls_ca_file: String::new(),
            schema: "at".to_owned(),
            connections: 8,
            statement_timeout_s: 30,
            connect_timeout_s: 5,
        }
    }
}

/// The JSON API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Requests of one key within a minute.
    pub requests_per_minute_per_key: u32,
    /// Requests of one key at once after a pause.
    pub burst_per_key: u32,
}

impl Default for Api {
    fn default() -> Api {
        Api { requests_per_minute_per_key: 600, burst_per_key: 120 }
    }
}

/// The pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Open live streams at one moment.
    pub max_streams: usize,
    /// How long a session lives, in days.
    pub session_days: u32,
    /// Whether unknown addresses may sign in.
    pub sign_up: bool,
    /// Tries to sign in from one address within a minute.
    pub sign_ins_per_minute: u32,
    /// Where Stripe is asked with a key that was pasted; none = Stripe itself.
    #[serde(with = "text::optional_url")]
    pub stripe_api: Option<Url>,
}

impl Default for Web {
    fn default() -> Web {
        Web { max_streams: 256, session_days: 30, sign_up: true, sign_ins_per_minute: 60, stripe_api: None }
    }
}

/// Signing in with an OpenID provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenId {
    /// What it calls itself.
    pub issuer: String,
    /// Our name there; empty = nobody signs in this way.
    pub client_id: String,
    /// Our password there.
    pub client_secret: Secret,
    /// What the button calls it.
    pub name: String,
}

impl Default for OpenId {
    fn default() -> OpenId {
        OpenId {
            issuer: "https://accounts.google.com".to_owned(),
            client_id: String::new(),
            client_secret: Secret::default(),
            name: "Google".to_owned(),
        }
    }
}

/// Outgoing mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The SMTP server; empty = files.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// Authorities beside the system's.
    pub tls_ca_file: String,
    /// Who signs in; empty = nobody.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Who writes.
    pub from: String,
}

impl Default for Mail {
    fn default() -> Mail {
        Mail {
            host: String::new(),
            port: 587,
            tls: MailTls::StartTls,
            tls_ca_file: String::new(),
            user: String::new(),
            password: Secret::default(),
            from: "AffiliTrack <no-reply@localhost>".to_owned(),
        }
    }
}

/// The demo workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demo {
    /// Whether it is opened at the first start.
    pub enabled: bool,
}

impl Default for Demo {
    fn default() -> Demo {
        Demo { enabled: true }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// What the process says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// How log lines look.
    pub format: LogFormat,
    /// Which log lines are written.
    pub filter: String,
    /// Where traces go; none = nothing is traced.
    #[serde(with = "text::optional_url")]
    pub traces_endpoint: Option<Url>,
    /// One of so many deliveries is traced.
    pub traces_one_in: u32,
    /// Name of the service in traces.
    pub traces_service: String,
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry {
            format: LogFormat::Text,
            filter: "info".to_owned(),
            traces_endpoint: None,
            traces_one_in: 100,
            traces_service: "affilitrack".to_owned(),
        }
    }
}

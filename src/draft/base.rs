//! What every role stands on: the data folder, the time, the log, the control store, and the edge over them.

use crate::clock::system_clock;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::directory_loader::{DirectoryLoader, HashKeys};
use crate::outside;
use anyhow::Context;
use api::services::Clock;
use ingest::directory::EndpointDirectory;
use ingest::limits::{LimitSettings, Limits};
use ingest::minimise::Minimiser;
use ingest::receive::{Edge, Tolerances};
use std::num::NonZeroU32;
use std::sync::Arc;
use store::control::{ControlStore, PostgresControlStore, SqliteControlStore};
use store::event_log::EventLog;
use store::kafka::KafkaLog;
use store::kafka::spool::{SpoolSettings, SpooledLog};
use store::local_log::{LocalLog, LogLimits};
use store::postgres::PostgresPool;
use store::secrets::{MASTER_KEY_VARIABLE, MasterKeys, system_random};

/// Which parts of the product a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// The webhook edge.
    Ingest,
    /// Fold, sink, look-ups, deadlines.
    Process,
    /// Pages, JSON API, relay of decisions.
    Serve,
}

impl Role {
    /// The word of its command; on the records that it writes.
    pub fn name(self) -> &'static str {
        match self {
            Role::All => "run",
            Role::Ingest => "ingest",
            Role::Process => "process",
            Role::Serve => "serve",
        }
    }
}

/// What every role stands on.
pub struct Base {
    /// Settings.
    pub config: Config,
    /// Which parts the process holds.
    pub role: Role,
    /// Where its data is.
    pub folder: DataFolder,
    /// The time.
    pub clock: Clock,
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// The spool in front of the log, if there is one.
    pub spool: Option<Arc<SpooledLog>>,
    /// The control store.
    pub control: Arc<dyn ControlStore>,
    /// Endpoints in memory.
    pub directory: Arc<EndpointDirectory>,
    /// Keeps endpoints and hash keys in memory true.
    pub loader: Arc<DirectoryLoader>,
    /// Hash keys in memory.
    pub hash_keys: Arc<HashKeys>,
}

impl Base {
    /// Opens log and control store. Nothing is appended and nothing listens yet.
    pub async fn open(config: Config, role: Role) -> anyhow::Result<Base> {
        if role != Role::All {
            let missing = config.missing_for_roles();
            anyhow::ensure!(
                missing.is_empty(),
                "`affilitrack {}` shares its work with other processes and needs to be told:\n  {}\n(`affilitrack run` needs none of it)",
                role.name(),
                missing.join("\n  ")
            );
        }
        let clock = system_clock();
        let folder = DataFolder::open(&config.data.dir)?;
        crate::socket::refuse_second_process(&folder.socket())?;
        let keys = master_keys(&config, &folder)?;
        let (log, spool) = open_log(&config, role, &folder, clock.clone()).await?;
        let control: Arc<dyn ControlStore> = match outside::control_settings(&config, role) {
            None => Arc::new(SqliteControlStore::open(&folder.control(), keys, system_random())?),
            Some(settings) => {
                let pool = blocking(move || PostgresPool::connect(settings)).await?;
                Arc::new(PostgresControlStore::open(pool, keys, system_random()).await.context(outside::MIGRATE_FIRST)?)
            }
        };
        let (directory, hash_keys): (Arc<EndpointDirectory>, Arc<HashKeys>) = Default::default();
        let loader = Arc::new(DirectoryLoader::new(control.clone(), directory.clone(), hash_keys.clone()));
        Ok(Base { config, role, folder, clock, log, spool, control, directory, loader, hash_keys })
    }

    /// The webhook edge over the log.
    pub fn edge(&self) -> Edge {
        let settings = &self.config.edge;
        let per_second = NonZeroU32::new(settings.endpoint_requests_per_second).unwrap_or(NonZeroU32::MIN);
        let limits = LimitSettings {
            max_body_bytes: settings.max_body_bytes,
            max_inflight_bytes: settings.max_inflight_bytes,
            failing_per_minute: settings.failing_requests_per_minute as usize,
            verified_per_second: per_second,
            verified_burst: per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)),
            trusted_proxies: self.config.server.trusted_proxies.clone(),
            ..LimitSettings::default()
        };
        Edge {
            log: self.log.clone(),
            directory: self.directory.clone(),
            minimiser: Minimiser::new(),
            limits: Limits::new(limits),
            clock: self.clock.clone(),
            writer: self.role.name().to_owned(),
            tolerances: Tolerances { stripe: settings.signature_tolerance_s as i64, ..Tolerances::default() },
            ..todo!()
        }
    }
}

/// Runs what blocks on a thread that may.
pub async fn blocking<T: Send + 'static, E: Into<anyhow::Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?.map_err(Into::into)
}

#[expect(clippy::disallowed_methods, reason = "the master key is no setting: it must not stand in a file of settings")]
fn master_keys(config: &Config, folder: &DataFolder) -> anyhow::Result<MasterKeys> {
    let environment = std::env::var(MASTER_KEY_VARIABLE).ok();
    anyhow::ensure!(
        config.postgres.url.is_empty() || environment.is_some() || folder.master_key().exists(),
        "all processes on one Postgres need the same master key, and this one has none: set {MASTER_KEY_VARIABLE} to the same 64 \
         hexadecimal digits everywhere (for example from `openssl rand -hex 32`, kept in a safe place)"
    );
    Ok(MasterKeys::load(environment.as_deref(), &folder.master_key(), system_random().as_ref())?)
}

type OpenLog = (Arc<dyn EventLog>, Option<Arc<SpooledLog>>);

async fn open_log(config: &Config, role: Role, folder: &DataFolder, clock: Clock) -> anyhow::Result<OpenLog> {
    let Some(settings) = outside::kafka_settings(config, role) else {
        return Ok((Arc::new(LocalLog::open_with(&folder.log(), log_limits(config))?), None));
    };
    store::kafka::check(&settings).await.or_else(|error| tolerate_absence(role, error))?;
    let kafka = Arc::new(KafkaLog::open(settings)?);
    let takes_deliveries = matches!(role, Role::All | Role::Ingest);
    if !takes_deliveries || config.kafka.spool_max_bytes == 0 {
        return Ok((kafka, None));
    }
    let limits = SpoolSettings {
        quota_bytes: config.kafka.spool_max_bytes,
        quota_age: std::time::Duration::from_secs(config.kafka.spool_max_age_s),
        ..SpoolSettings::in_folder(folder.spool())
    };
    let spooled = Arc::new(SpooledLog::open(kafka, limits, clock).await?);
    Ok((spooled.clone(), Some(spooled)))
}

fn log_limits(config: &Config) -> LogLimits {
    let settings = &config.log;
    LogLimits {
        queue_records: settings.queue_records,
        queue_bytes: settings.queue_bytes,
        group_records: settings.group_max_records,
        group_bytes: settings.group_max_bytes,
    }
}

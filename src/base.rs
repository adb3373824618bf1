//! What every role stands on: the data folder, the time, the log, the control store.

use crate::clock::system_clock;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::directory_loader::{DirectoryLoader, HashKeys};
use crate::outside;
use anyhow::Context;
use api::services::Clock;
use ingest::directory::EndpointDirectory;
use std::sync::Arc;
use std::time::Duration;
use store::control::{ControlStore, PostgresControlStore, SqliteControlStore};
use store::event_log::EventLog;
use store::kafka::spool::{SpoolSettings, SpooledLog};
use store::kafka::{KafkaLog, KafkaSettings, TopicError};
use store::local_log::{LocalLog, LogLimits};
use store::postgres::PostgresPool;
use store::secrets::{MASTER_KEY_VARIABLE, MasterKeys, system_random};
use telemetry::traces::Traces;

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

    /// Whether it takes webhooks.
    pub fn takes_deliveries(self) -> bool {
        matches!(self, Role::All | Role::Ingest)
    }

    /// Whether it folds.
    pub fn folds(self) -> bool {
        matches!(self, Role::All | Role::Process)
    }

    /// Whether it shows pages.
    pub fn shows_pages(self) -> bool {
        matches!(self, Role::All | Role::Serve)
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
    /// The event log, which all processes share.
    pub log: Arc<dyn EventLog>,
    /// Where deliveries are appended: the log, or the spool in front of it. What must be in the log before the next
    /// step (decisions) does not go this way.
    pub deliveries: Arc<dyn EventLog>,
    /// How Kafka is reached, if the log is there.
    pub kafka: Option<KafkaSettings>,
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
    /// Follows some deliveries, if it is on.
    pub traces: Traces,
}

impl Base {
    /// Opens log and control store. Nothing is appended and nothing listens yet.
    pub async fn open(config: Config, role: Role, traces: Traces) -> anyhow::Result<Base> {
        if role != Role::All {
            refuse_missing_settings(&config, role)?;
        }
        let clock = system_clock();
        let folder = DataFolder::open(&config.data.dir)?;
        if role == Role::All {
            folder.refuse_moved()?;
        }
        crate::socket::refuse_second_process(&folder.socket())?;
        crate::backup::check_restored(&folder).await?;
        let keys = master_keys(&config, &folder)?;
        let kafka = outside::kafka_settings(&config, role);
        let OpenLog { log, deliveries, spool } = open_log(&config, role, &folder, kafka.clone(), clock.clone()).await?;
        let control = open_control(&config, role, &folder, keys).await?;
        let (directory, hash_keys): (Arc<EndpointDirectory>, Arc<HashKeys>) = Default::default();
        let loader = Arc::new(DirectoryLoader::new(control.clone(), directory.clone(), hash_keys.clone()));
        loader.load().await?;
        Ok(Base {
            config,
            role,
            folder,
            clock,
            log,
            deliveries,
            kafka,
            spool,
            control,
            directory,
            loader,
            hash_keys,
            traces,
        })
    }
}

/// Refuses to begin without what processes share.
pub fn refuse_missing_settings(config: &Config, role: Role) -> anyhow::Result<()> {
    let missing = config.missing_for_roles();
    anyhow::ensure!(
        missing.is_empty(),
        "`affilitrack {}` shares its work with other processes and needs to be told:\n  {}\n(`affilitrack run` needs none of it)",
        role.name(),
        missing.join("\n  ")
    );
    Ok(())
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

async fn open_control(
    config: &Config,
    role: Role,
    folder: &DataFolder,
    keys: MasterKeys,
) -> anyhow::Result<Arc<dyn ControlStore>> {
    let Some(settings) = outside::control_settings(config, role) else {
        return Ok(Arc::new(SqliteControlStore::open(&folder.control(), keys, system_random())?));
    };
    let pool = blocking(move || PostgresPool::connect(settings)).await?;
    let store = PostgresControlStore::open(pool, keys, system_random()).await;
    Ok(Arc::new(store.context(outside::MIGRATE_FIRST)?))
}

struct OpenLog {
    log: Arc<dyn EventLog>,
    deliveries: Arc<dyn EventLog>,
    spool: Option<Arc<SpooledLog>>,
}

impl OpenLog {
    fn without_spool(log: Arc<dyn EventLog>) -> OpenLog {
        OpenLog { deliveries: log.clone(), log, spool: None }
    }
}

async fn open_log(
    config: &Config,
    role: Role,
    folder: &DataFolder,
    kafka: Option<KafkaSettings>,
    clock: Clock,
) -> anyhow::Result<OpenLog> {
    let Some(settings) = kafka else {
        return Ok(OpenLog::without_spool(Arc::new(LocalLog::open_with(&folder.log(), log_limits(config))?)));
    };
    match store::kafka::check(&settings).await {
        // Deliveries are taken into the spool until the broker is back.
        Err(error @ TopicError::Unreachable { .. }) if role.takes_deliveries() => {
            tracing::warn!(error = %error, "starting without Kafka: {error}");
        }
        // The other roles end here. An edge goes on: what it answered with an error might never come again.
        Err(error @ TopicError::Refused { .. }) if role.takes_deliveries() => {
            tracing::error!(error = %error, "starting without Kafka: {error}");
        }
        checked => checked?,
    }
    let kafka = Arc::new(KafkaLog::open(settings)?);
    if !role.takes_deliveries() || config.kafka.spool_max_bytes == 0 {
        return Ok(OpenLog::without_spool(kafka));
    }
    let limits = SpoolSettings {
        quota_bytes: config.kafka.spool_max_bytes,
        quota_age: Duration::from_secs(config.kafka.spool_max_age_s),
        ..SpoolSettings::in_folder(folder.spool())
    };
    let spooled = Arc::new(SpooledLog::open(kafka.clone(), limits, clock).await?);
    Ok(OpenLog { log: kafka, deliveries: spooled.clone(), spool: Some(spooled) })
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

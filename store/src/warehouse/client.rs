//! The connection to the warehouse and the one function through which every read goes.

use super::error::WarehouseError;
use super::queries::ScopedQuery;
use super::rows::TenantRow;
use super::scope_filter::{ScopeFilter, Watermark};
use super::sql::Sql;
use crate::scope::TenantScope;
use crate::tls::{Authorities, Checks, TlsError, client_config};
use clickhouse::{Client, Compression};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::fmt;
use std::time::Duration;

/// Where the warehouse is and how long to wait for it.
#[derive(Clone)]
pub struct WarehouseConfig {
    /// For example `http://127.0.0.1:8123` or `https://host:8443`.
    pub url: String,
    /// User name; empty where the server has none.
    pub user: String,
    /// The user's password, or the key of the embedded engine. A secret.
    pub key: String,
    /// The database, created when absent.
    pub database: String,
    /// The longest a read may take.
    pub query_timeout: Duration,
    /// The longest an insert may take before its result is called unknown.
    pub insert_timeout: Duration,
}

impl fmt::Debug for WarehouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarehouseConfig")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("query_timeout", &self.query_timeout)
            .field("insert_timeout", &self.insert_timeout)
            .finish_non_exhaustive()
    }
}

/// How long an idle connection is kept. Shorter than the keep-alive of the servers (3 s and
/// more), so that a request never meets a connection that is being closed.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// The warehouse. Cheap to clone.
#[derive(Clone)]
pub struct Warehouse {
    pub(super) client: Client,
    pub(super) config: WarehouseConfig,
    /// The cluster whose replicas hold the tables.
    pub(super) cluster: Option<String>,
}

impl fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Warehouse").field(&self.config).finish()
    }
}

impl Warehouse {
    /// A warehouse at `config.url`, which begins with `http://`. Does not connect yet.
    pub fn new(config: WarehouseConfig) -> Warehouse {
        Warehouse::over(config, connector())
    }

    /// A warehouse at `config.url`, which begins with `https://`: nothing is sent before its certificate is proven.
    /// Does not connect yet.
    pub fn over_tls(config: WarehouseConfig, authorities: &Authorities) -> Result<Warehouse, TlsError> {
        let tls = client_config(&Checks::Full(authorities.clone()))?;
        let mut tcp = connector();
        tcp.enforce_http(false);
        let encrypted = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
        Ok(Warehouse::over(config, encrypted.wrap_connector(tcp)))
    }

    fn over<C>(config: WarehouseConfig, connector: C) -> Warehouse
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let http =
            HyperClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_CONNECTION_TIMEOUT).build(connector);
        let client = Client::with_http_client(http)
            .with_url(&config.url)
            .with_user(&config.user)
            .with_password(&config.key)
            .with_database(&config.database)
            // On one machine compressing costs more than it saves.
            .with_compression(Compression::None);
        Warehouse { client, config, cluster: None }
    }

    /// The same on the replicas of a cluster of ClickHouse servers (one shard): tables are replicated, an insert counts
    /// when most replicas have it, and a read waits for a replica that has every such insert, because the sink moves
    /// what is visible as soon as the insert is answered.
    pub fn on_cluster(self, cluster: &str) -> Warehouse {
        let client = self
            .client
            .with_setting("insert_quorum", "auto")
            .with_setting("insert_quorum_parallel", "0")
            .with_setting("select_sequential_consistency", "1");
        Warehouse { client, cluster: Some(cluster.to_owned()), ..self }
    }

    /// What `scope` sees up to `watermark` through `query`.
    ///
    /// Every row says whose it is, and a row of somebody else fails the whole read.
    pub async fn read<Q: ScopedQuery>(
        &self,
        scope: &TenantScope,
        watermark: &Watermark,
        query: &Q,
    ) -> Result<Vec<<Q::Row as TenantRow>::Output>, WarehouseError> {
        self.read_filtered(&ScopeFilter::new(scope, watermark), query).await
    }

    /// The same for a filter; tests make filters that no credential gives yet.
    pub(crate) async fn read_filtered<Q: ScopedQuery>(
        &self,
        filter: &ScopeFilter,
        query: &Q,
    ) -> Result<Vec<<Q::Row as TenantRow>::Output>, WarehouseError> {
        let limit = self.config.query_timeout;
        let reading = self.read_rows(filter, query);
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| Err(no_answer("reading", limit)))
    }

    /// Row by row: a long answer is not held twice, and no more of it is taken than is allowed.
    async fn read_rows<Q: ScopedQuery>(
        &self,
        filter: &ScopeFilter,
        query: &Q,
    ) -> Result<Vec<<Q::Row as TenantRow>::Output>, WarehouseError> {
        let failed = |error| WarehouseError::from_client("reading", error);
        let sql = query.render(filter);
        let mut cursor = self.limited(&sql, self.config.query_timeout).fetch::<Q::Row>().map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(row) = cursor.next().await.map_err(failed)? {
            if let Some(limit) = query.most_rows()
                && rows.len() >= limit
            {
                return Err(WarehouseError::TooManyRows { query: Q::NAME, limit });
            }
            rows.push(accept_row(filter, Q::NAME, row)?);
        }
        Ok(rows)
    }

    /// The statement, which the server gives up after `limit`.
    fn limited(&self, sql: &Sql, limit: Duration) -> clickhouse::query::Query {
        sql.query(&self.client).with_setting("max_execution_time", limit.as_secs().max(1).to_string())
    }

    /// Runs a statement that returns rows, within the time allowed for a read.
    pub(super) async fn fetch<R>(&self, doing: &'static str, sql: &Sql) -> Result<Vec<R>, WarehouseError>
    where
        R: clickhouse::RowOwned + clickhouse::RowRead,
    {
        self.fetch_within(doing, self.config.query_timeout, sql).await
    }

    /// The same within another time.
    pub(super) async fn fetch_within<R>(
        &self,
        doing: &'static str,
        limit: Duration,
        sql: &Sql,
    ) -> Result<Vec<R>, WarehouseError>
    where
        R: clickhouse::RowOwned + clickhouse::RowRead,
    {
        self.within(doing, limit, self.limited(sql, limit).fetch_all::<R>()).await
    }

    /// Runs a statement that returns nothing.
    pub(super) async fn execute(&self, doing: &'static str, sql: &Sql) -> Result<(), WarehouseError> {
        self.within(doing, self.config.insert_timeout, sql.query(&self.client).execute()).await
    }

    /// Waits for `work` at most `limit`.
    pub(super) async fn within<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T, clickhouse::error::Error>>,
    ) -> Result<T, WarehouseError> {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(|error| WarehouseError::from_client(doing, error)),
            Err(_) => Err(no_answer(doing, limit)),
        }
    }
}

fn no_answer(doing: &'static str, limit: Duration) -> WarehouseError {
    WarehouseError::Unavailable { doing, reason: format!("no answer within {limit:?}") }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    // Without it, a small request waits some 40 ms for the acknowledgement of the one before.
    connector.set_nodelay(true);
    connector
}

/// Lets only rows of the filter's tenant, mode and affiliate through.
fn accept_row<R: TenantRow>(filter: &ScopeFilter, query: &'static str, row: R) -> Result<R::Output, WarehouseError> {
    let is_of_tenant = row.tenant() == (filter.vendor.0, filter.mode.as_u8());
    let is_of_affiliate = match (filter.affiliate, row.affiliate()) {
        (Some(allowed), Some(found)) => allowed.0 == found,
        (Some(_), None) | (None, _) => true,
    };
    if !is_of_tenant || !is_of_affiliate {
        tracing::error!(query, vendor = filter.vendor.0, "a read returned a row that is not visible to its tenant");
        return Err(WarehouseError::ForeignRow { query, vendor: filter.vendor });
    }
    row.convert(query)
}

//! Bringing the tables to the version this program knows.

use super::client::Warehouse;
use super::error::WarehouseError;
use super::sql::Sql;
use schemas::warehouse::{MIGRATIONS, on_cluster};

impl Warehouse {
    /// Creates the database and applies every migration that was not applied yet. Safe to
    /// repeat and to interrupt: each statement may be run again. Returns the schema version.
    ///
    /// One process at a time; the lock on the data folder or the deployment sees to that.
    pub async fn migrate(&self) -> Result<u32, WarehouseError> {
        self.create_database().await?;
        let ledger = "CREATE TABLE IF NOT EXISTS schema_migrations\n(version UInt32, name String, \
                      applied_at DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY version";
        self.execute("creating the table of migrations", &self.made_here(ledger)).await?;
        let applied = self.applied_version().await?;
        let known = MIGRATIONS.len() as u32;
        if applied > known {
            return Err(WarehouseError::SchemaTooNew { found: applied, known });
        }
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > applied) {
            self.execute(migration.name, &self.made_here(migration.sql)).await?;
            let mut record = Sql::new("INSERT INTO schema_migrations (version, name) VALUES (");
            record.bind(u64::from(migration.version)).push(", ").bind(migration.name).push(")");
            self.execute("recording a migration", &record).await?;
            tracing::info!(migration = migration.name, "warehouse migration {} applied", migration.name);
        }
        Ok(known)
    }

    /// A statement that makes a table, where this warehouse's tables are.
    fn made_here(&self, sql: &str) -> Sql {
        match &self.cluster {
            Some(cluster) => Sql::new(&on_cluster(sql, cluster)),
            None => Sql::new(sql),
        }
    }

    async fn create_database(&self) -> Result<(), WarehouseError> {
        let mut sql = String::from("CREATE DATABASE IF NOT EXISTS ");
        sql.push_str(&quoted_identifier(&self.config.database));
        if let Some(cluster) = &self.cluster {
            sql.push_str(" ON CLUSTER ");
            sql.push_str(&quoted_identifier(cluster));
        }
        sql.push_str(" ENGINE = Atomic");
        // Asked of the default database, because this one may not exist yet.
        let client = self.client.clone().with_database("default");
        self.within("creating the database", self.config.insert_timeout, client.query_raw(&sql).execute()).await
    }

    /// Whether it holds any purchase, of whatever vendor.
    pub async fn has_purchases(&self) -> Result<bool, WarehouseError> {
        let sql = Sql::new("SELECT toUInt32(count()) FROM (SELECT 1 FROM purchases LIMIT 1)");
        let rows: Vec<u32> = self.fetch("looking whether there is anything", &sql).await?;
        Ok(rows.first().copied().unwrap_or(0) > 0)
    }

    async fn applied_version(&self) -> Result<u32, WarehouseError> {
        let sql = Sql::new("SELECT max(version) FROM schema_migrations");
        let rows: Vec<u32> = self.fetch("reading the schema version", &sql).await?;
        Ok(rows.first().copied().unwrap_or(0))
    }
}

/// A name from the configuration as an identifier.
fn quoted_identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests {
    use super::quoted_identifier;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted_identifier("ledger"), "`ledger`");
        assert_eq!(quoted_identifier("a`b\\"), "`a\\`b\\\\`");
    }
}

//! One part that is taken away and given back.

use super::FigureOptions;
use super::roles::Roles;
use crate::chaos::broker::Broker;
use crate::chaos::line::Line;
use crate::chaos::postgres;
use crate::chaos::scene::service;
use crate::chaos::statements::{Front, Mishap};
use anyhow::Result;
use std::path::Path;

/// What goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Every `process` is ended.
    Process,
    /// Connections to Postgres are cut and new ones refused.
    Postgres,
    /// The warehouse answers 503.
    Warehouse,
    /// Connections to Kafka are cut and new ones refused; edges acknowledge into their spools.
    Kafka,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 4] = [Part::Process, Part::Postgres, Part::Warehouse, Part::Kafka];

    /// What was missing, for a row.
    pub fn words(self) -> &'static str {
        match self {
            Part::Process => "`process` (ended)",
            Part::Postgres => "Postgres (cut)",
            Part::Warehouse => "the warehouse (answers 503)",
            Part::Kafka => "Kafka (cut, spool in use)",
        }
    }
}

/// What stands between the processes and the part.
#[derive(Debug)]
pub enum Outage {
    /// Nothing: the processes themselves go away.
    Process {
        /// How many.
        copies: usize,
    },
    /// A line to Postgres.
    Postgres(Line),
    /// A front of the warehouse.
    Warehouse(Front),
    /// A broker of our own behind a line.
    Kafka(Box<Broker>),
}

impl Outage {
    /// Puts what is needed in front of the part, and says how processes reach it.
    pub async fn prepare(
        part: Part,
        options: &FigureOptions,
        folder: &Path,
    ) -> Result<(Outage, Vec<(String, String)>)> {
        match part {
            Part::Process => Ok((Outage::Process { copies: options.copies }, Vec::new())),
            Part::Postgres => {
                let (line, environment) = postgres::line().await?;
                Ok((Outage::Postgres(line), vec![environment]))
            }
            Part::Warehouse => {
                let front = Front::of(&service("AFFILITRACK_WAREHOUSE_URL")?).await?;
                let environment = vec![("AFFILITRACK_WAREHOUSE_URL".to_owned(), front.url())];
                Ok((Outage::Warehouse(front), environment))
            }
            Part::Kafka => {
                let broker = Broker::start(folder, &options.kafka_libs).await?;
                let environment = vec![broker.environment()];
                Ok((Outage::Kafka(Box::new(broker)), environment))
            }
        }
    }

    /// The part goes away.
    pub async fn begin(&self, roles: &mut Roles) -> Result<()> {
        match self {
            Outage::Process { .. } => roles.stop("process").await?,
            Outage::Postgres(line) => line.cut(),
            Outage::Warehouse(front) => front.set(Mishap::Refuse),
            Outage::Kafka(broker) => broker.line().cut(),
        }
        Ok(())
    }

    /// The part is back.
    pub fn end(&self, roles: &mut Roles) -> Result<()> {
        match self {
            Outage::Process { copies } => roles.launch("process", *copies)?,
            Outage::Postgres(line) => line.mend(),
            Outage::Warehouse(front) => front.set(Mishap::None),
            Outage::Kafka(broker) => broker.line().mend(),
        }
        Ok(())
    }
}

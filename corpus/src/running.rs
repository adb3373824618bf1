//! A running product, as one process or as several.

use crate::client::LocalSocket;
use crate::cluster::{Cluster, ClusterError};
use crate::product::{Product, ProductError};

/// A running product. Dropping it kills it.
#[derive(Debug)]
pub enum Running {
    /// Everything in one process.
    One(Box<Product>),
    /// Roles in processes of their own.
    Cluster(Cluster),
}

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// The one process.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// One of several.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Running {
    /// Where it is reached, for example `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        match self {
            Running::One(product) => product.url().to_owned(),
            Running::Cluster(cluster) => cluster.url(),
        }
    }

    /// Its local control socket.
    pub fn socket(&self) -> LocalSocket {
        match self {
            Running::One(product) => product.socket(),
            Running::Cluster(cluster) => cluster.socket(),
        }
    }

    /// An error with the end of its log if it, or one of it, has ended by itself.
    pub fn check_running(&mut self) -> Result<(), RunningError> {
        match self {
            Running::One(product) => Ok(product.check_running()?),
            Running::Cluster(cluster) => Ok(cluster.check_running()?),
        }
    }

    /// SIGTERM, then SIGKILL after a minute. Says whether it ended in order.
    pub async fn stop(self) -> Result<bool, RunningError> {
        match self {
            Running::One(product) => Ok(product.stop().await?),
            Running::Cluster(cluster) => Ok(cluster.stop().await?),
        }
    }
}

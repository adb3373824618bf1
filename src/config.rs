//! The configuration: one documented file, overridden by the environment, overridden by flags.
//!
//! `config.default.toml` is the manual and is embedded in the binary. A setting is read in this order,
//! the last one wins: built-in default, file, `AFFILITRACK_SECTION_KEY`, the short names (`DATA_DIR`,
//! `PORT`, `AFFILITRACK_DEMO`), command line. A secret may stand in a file of its own that a variable
//! with `_FILE` at its end names. Everything that is wrong is reported at once.

mod layers;
mod problems;
mod protection;
mod secret;
mod secret_files;
mod sections;
mod text;
mod validate;

pub use problems::{Problem, Problems};
pub use protection::{KafkaProtocol, MailTls, PostgresTls, SaslMechanism};
pub use secret::Secret;
pub use sections::{
    Api, Data, Demo, Edge, Kafka, Log, LogFormat, Mail, OpenId, Postgres, Processor, Server, Telemetry, Warehouse, Web,
};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The documented default file, as shipped.
pub const DEFAULT_FILE: &str = include_str!("../config.default.toml");

/// The file that is read when none is named and it exists in the current folder.
pub const USUAL_FILE: &str = "affilitrack.toml";

/// Environment variables that begin with `AFFILITRACK_` and are not settings of the file.
pub const RESERVED_VARIABLES: [&str; 4] =
    ["AFFILITRACK_CONFIG", "AFFILITRACK_MASTER_KEY", "AFFILITRACK_SECRET", "AFFILITRACK_ENGINE_DIR"];

/// Variables with this prefix belong to tests (named crash points and the like) and are no settings.
pub const TEST_VARIABLE_PREFIX: &str = "AFFILITRACK_TEST_";

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the process listens and what the world calls it.
    pub server: Server,
    /// Where everything is kept.
    pub data: Data,
    /// Limits of the webhook edge.
    pub edge: Edge,
    /// The durable log.
    pub log: Log,
    /// The fold and the look-ups.
    pub processor: Processor,
    /// The warehouse.
    pub warehouse: Warehouse,
    /// Apache Kafka as the event log.
    pub kafka: Kafka,
    /// Postgres as fold store and control store.
    pub postgres: Postgres,
    /// The JSON API.
    pub api: Api,
    /// The pages.
    pub web: Web,
    /// Signing in with an OpenID provider.
    pub openid: OpenId,
    /// Outgoing mail.
    pub mail: Mail,
    /// The demo workspace.
    pub demo: Demo,
    /// What the process says about itself.
    pub telemetry: Telemetry,
}

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was named. It must exist.
    pub file: Option<PathBuf>,
    /// The environment, as `std::env::vars` gives it.
    pub environment: Vec<(String, String)>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--port`.
    pub port: Option<u16>,
}

impl Config {
    /// Reads all sources and checks them together.
    ///
    /// # Errors
    /// Every problem found, not just the first.
    pub fn load(sources: &Sources) -> Result<Config, Problems> {
        let mut layers = layers::Layers::new();
        layers.add_file(sources.file.as_deref());
        layers.add_environment(&sources.environment);
        layers.add_flags(sources.data_dir.as_deref(), sources.port);
        let (config, mut problems) = layers.finish();
        validate::check(&config, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// The address that providers and people use, without a slash at the end. `listening_on` is the
    /// real address of the socket, which matters when the port was 0.
    pub fn public_url(&self, listening_on: std::net::SocketAddr) -> String {
        match &self.server.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{listening_on}"),
        }
    }

    /// Which settings a role in a process of its own still needs, each with what to write.
    pub fn missing_for_roles(&self) -> Vec<String> {
        validate::missing_for_roles(self)
    }

    /// What is allowed but probably not meant, in words.
    pub fn warnings(&self) -> Vec<String> {
        validate::warnings(self)
    }

    /// All settings in force, as a file; secrets are not shown.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

#[cfg(test)]
mod tests;

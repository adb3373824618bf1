//! The command line. No command means `run`.

use crate::config::{Secret, Sources};
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::ids::{Mode, Provider};
use std::path::PathBuf;

/// Tells exactly whom to pay, from the payment provider's own events.
#[derive(Debug, Parser)]
#[command(name = "affilitrack", version, about, propagate_version = true)]
pub struct Cli {
    /// Configuration file. Without it `affilitrack.toml` is read if the current folder has one.
    #[arg(long, global = true, env = "AFFILITRACK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Data folder. Wins over DATA_DIR and the file.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything in one process and print the address to open.
    Run(RunArgs),
    /// Start only the webhook edge, on Kafka and Postgres.
    Ingest(RunArgs),
    /// Start only the fold, the sink, look-ups and deadlines, on Kafka, Postgres and a warehouse.
    Process(RunArgs),
    /// Start only the pages, the JSON API and the relay of decisions, on Kafka, Postgres and a warehouse.
    Serve(RunArgs),
    /// Start only the embedded warehouse engine, answering ClickHouse's HTTP protocol.
    Warehouse(WarehouseArgs),
    /// Make and check topics and tables of Kafka, Postgres and the warehouse. Run before roles start.
    Migrate(MigrateArgs),
    /// Connect a provider account to a vendor and print the endpoint for its webhooks.
    Connect(ConnectArgs),
    /// Hand in decisions: affiliates, mappings, rules, policies, reviews.
    Decide(DecideArgs),
    /// Show how one purchase was counted, down to the events.
    Explain(ExplainArgs),
    /// What could not be understood or counted.
    #[command(subcommand)]
    Refused(RefusedCommand),
    /// Run recorded events through a temporary instance and compare with what they should become.
    Corpus(CorpusArgs),
    /// Say whether the configuration is right, without starting anything.
    CheckConfig(CheckConfigArgs),
    /// Look at the machine and the data folder, and say what to do.
    Doctor,
    /// Copy what cannot be made again of the data folder, as it is at one moment, also while the process runs.
    Backup(BackupArgs),
    /// Print a new link that opens the pages, good for one use.
    Login,
    /// Make a key for the JSON API and print it once.
    ApiKey(ApiKeyArgs),
    /// Outgoing mail.
    #[command(subcommand)]
    Mail(MailCommand),
    /// Work on the log of a stopped process.
    #[command(subcommand)]
    Log(LogCommand),
}

/// `affilitrack run`
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Port of the listening address; 0 takes any free one. Wins over PORT and the file.
    #[arg(long)]
    pub port: Option<u16>,
}

/// `affilitrack warehouse`
#[derive(Debug, Args)]
pub struct WarehouseArgs {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8123")]
    pub listen: std::net::SocketAddr,
}

/// `affilitrack migrate`
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Data folder of a stopped `affilitrack run` whose log and people's decisions are brought over, once, into topics
    /// and schemas that hold nothing.
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,
    /// Copy nothing: say whether what was folded from the copy is what the data folder has.
    #[arg(long, requires = "from")]
    pub compare: bool,
}

/// Whose payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum ProviderName {
    /// Stripe.
    Stripe,
    /// Paddle Billing.
    Paddle,
    /// Lemon Squeezy.
    LemonSqueezy,
}

impl From<ProviderName> for Provider {
    fn from(name: ProviderName) -> Provider {
        match name {
            ProviderName::Stripe => Provider::Stripe,
            ProviderName::Paddle => Provider::Paddle,
            ProviderName::LemonSqueezy => Provider::LemonSqueezy,
        }
    }
}

/// Real money or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// Money nobody paid.
    Test,
    /// Real money.
    Live,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Mode {
        match name {
            ModeName::Test => Mode::Test,
            ModeName::Live => Mode::Live,
        }
    }
}

/// `affilitrack connect`
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Whose payments.
    pub provider: ProviderName,
    /// The vendor's short name; made if it is new.
    #[arg(long, value_parser = slug)]
    pub vendor: String,
    /// The endpoint's signing secret, as the provider shows it. `-` reads it from standard input, so that it does
    /// not stay in the shell's history.
    #[arg(long, env = "AFFILITRACK_SECRET", hide_env_values = true)]
    pub secret: Secret,
    /// A restricted API key, for what deliveries do not say. `-` reads it from standard input.
    #[arg(long)]
    pub key: Option<Secret>,
    /// Address of the provider's API, if it is not the usual one.
    #[arg(long, value_name = "URL")]
    pub api_base: Option<url::Url>,
    /// The provider's account id, if the secret belongs to one of several.
    #[arg(long)]
    pub account: Option<String>,
    /// Every event since the account began arrives here, so a purchase whose beginning was not seen had none.
    #[arg(long)]
    pub complete_history: bool,
    /// Real money or not; without it the events themselves say.
    #[arg(long)]
    pub mode: Option<ModeName>,
}

/// `affilitrack decide`
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// JSON file with a list of decisions, or an object with `vendor` and `decisions`. `-` is standard input.
    pub file: PathBuf,
    /// The vendor's short name, if the file does not say.
    #[arg(long, value_parser = slug)]
    pub vendor: Option<String>,
}

/// `affilitrack explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The purchase, for example `inv:in_1QxYz`, as the redemptions page and the JSON API name it.
    pub purchase: String,
    /// The vendor's short name. Not needed when there is only one beside the demo.
    #[arg(long, value_parser = slug)]
    pub vendor: Option<String>,
    /// Real money or not.
    #[arg(long)]
    pub mode: Option<ModeName>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `affilitrack refused`
#[derive(Debug, Subcommand)]
pub enum RefusedCommand {
    /// All of them, with reasons.
    List {
        /// The vendor's short name.
        #[arg(long, value_parser = slug)]
        vendor: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// One, with what was received.
    Show {
        /// The vendor's short name.
        #[arg(long, value_parser = slug)]
        vendor: String,
        /// Its offset, as `list` prints it.
        offset: u64,
    },
    /// Fold them again, for example after an upgrade that understands them.
    Retry {
        /// The vendor's short name.
        #[arg(long, value_parser = slug)]
        vendor: String,
        /// Their offsets, as `list` prints them.
        #[arg(required = true, num_args = 1..=1000)]
        offsets: Vec<u64>,
    },
    /// Accept that they are never counted.
    Waive {
        /// The vendor's short name.
        #[arg(long, value_parser = slug)]
        vendor: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// Their offsets, as `list` prints them.
        #[arg(required = true, num_args = 1..=1000)]
        offsets: Vec<u64>,
    },
}

/// `affilitrack mail`
#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// Mails, the newest first: where they are, and why they are there. Not what they say.
    List {
        /// Only in this state: `waiting`, `claimed`, `sending`, `sent`, `failed`, or `unsure` (it may have arrived).
        #[arg(long, value_parser = mail_state)]
        state: Option<String>,
        /// Only of this kind, for example `sign_in`.
        #[arg(long)]
        kind: Option<String>,
        /// Only older ones than this id, for the next page.
        #[arg(long, value_name = "ID")]
        before: Option<u64>,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=500))]
        limit: u64,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send again what failed.
    Retry {
        /// Their ids, as `list` prints them.
        #[arg(num_args = 1..=1000, required_unless_present = "failed", conflicts_with = "failed")]
        ids: Vec<u64>,
        /// All of this kind that failed.
        #[arg(long, value_name = "KIND")]
        failed: Option<String>,
        /// Also those that may have arrived already; such a mail may arrive twice.
        #[arg(long, conflicts_with = "failed")]
        may_arrive_twice: bool,
    },
}

/// `affilitrack backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A folder for this backup alone: new, or empty.
    pub folder: PathBuf,
    /// Copy master.key too. Whoever has such a backup can read the stored secrets.
    #[arg(long, conflicts_with = "check")]
    pub with_key: bool,
    /// Check an earlier backup instead: every byte, every record, and that log and control store fit together.
    #[arg(long)]
    pub check: bool,
}

/// `affilitrack corpus`
#[derive(Debug, Args)]
pub struct CorpusArgs {
    /// Folder with `index.json`, the events it names and, in `api`, the provider's answers.
    pub folder: PathBuf,
    /// Deliver each scenario in an order drawn from this seed, with repetitions.
    #[arg(long, value_name = "SEED")]
    pub shuffle: Option<u64>,
    /// How many seeds, counted up from the first.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "shuffle", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: u64,
    /// Only the event or scenario with this name.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Two of each role in processes of their own, on the services that `make services` starts and that the
    /// environment names, instead of one process.
    #[arg(long)]
    pub cluster: bool,
}

/// `affilitrack check-config`
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print all settings in force. Secrets are not shown.
    #[arg(long)]
    pub show: bool,
}

/// `affilitrack api-key`
#[derive(Debug, Args)]
pub struct ApiKeyArgs {
    /// The vendor's short name.
    #[arg(long, value_parser = slug)]
    pub vendor: String,
    /// Which money the key may read.
    #[arg(long)]
    pub mode: ModeName,
    /// What it is for, so that it can be told from others.
    #[arg(long, default_value = "key")]
    pub name: String,
}

/// `affilitrack log`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Look at every record and list the damaged ones. With --apply, set them aside so that reading can go on; fetch
    /// what they held from the provider again.
    Repair {
        /// Change the log. Without it nothing is changed.
        #[arg(long)]
        apply: bool,
    },
}

impl Cli {
    /// Where settings come from, for [`crate::config::Config::load`].
    pub fn sources(&self, environment: Vec<(String, String)>) -> Sources {
        let port = match &self.command {
            Some(
                Command::Run(arguments)
                | Command::Ingest(arguments)
                | Command::Process(arguments)
                | Command::Serve(arguments),
            ) => arguments.port,
            _ => None,
        };
        Sources { file: self.config.clone(), environment, data_dir: self.data_dir.clone(), port }
    }

    /// The command that was given, or `run`.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Run(RunArgs::default()))
    }
}

/// A state of a mail.
fn mail_state(text: &str) -> Result<String, String> {
    match store::control::MailState::named(text) {
        Some(state) => Ok(state.name().to_owned()),
        None => Err("must be waiting, claimed, sending, sent, failed or unsure".to_owned()),
    }
}

/// A vendor's short name: it stands in addresses.
fn slug(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let right =
        (1..=40).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-');
    if right {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 40 small letters, digits and hyphens, such as acme or acme-labs".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_checks_itself() {
        Cli::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn no_command_means_run() {
        assert!(matches!(parse("affilitrack").expect("right").into_command(), Command::Run(_)));
        let sources = parse("affilitrack --data-dir /d run --port 0").expect("right").sources(Vec::new());
        assert_eq!((sources.data_dir, sources.port), (Some(PathBuf::from("/d")), Some(0)));
    }

    #[test]
    fn every_command_is_understood() {
        for line in [
            "affilitrack connect stripe --vendor acme --secret whsec_1 --key rk_1 --api-base http://127.0.0.1:1 --mode test",
            "affilitrack connect lemonsqueezy --vendor acme --secret s --complete-history",
            "affilitrack decide decisions.json --vendor acme",
            "affilitrack explain inv:in_1 --vendor acme --mode live --json",
            "affilitrack refused list --vendor acme",
            "affilitrack refused show --vendor acme 7",
            "affilitrack refused retry --vendor acme 7 8",
            "affilitrack refused waive --vendor acme 7 --reason duplicate",
            "affilitrack corpus tests/corpus/webhooks --shuffle 1 --seeds 50",
            "affilitrack check-config --show",
            "affilitrack doctor --config a.toml",
            "affilitrack login",
            "affilitrack api-key --vendor acme --mode test",
            "affilitrack mail list --state unsure --kind spike --limit 10 --before 7 --json",
            "affilitrack mail retry 7 8 --may-arrive-twice",
            "affilitrack mail retry --failed spike",
            "affilitrack log repair --apply",
            "affilitrack ingest --port 8081",
            "affilitrack process --port 8082",
            "affilitrack serve --port 8083",
            "affilitrack warehouse --listen 127.0.0.1:0",
            "affilitrack migrate",
            "affilitrack backup /backups/today --with-key",
            "affilitrack backup --check /backups/today",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn wrong_input_is_explained() {
        for (line, words) in [
            ("affilitrack connect stripe --vendor Acme! --secret s", "small letters"),
            ("affilitrack connect square --vendor acme --secret s", "stripe"),
            ("affilitrack refused waive --vendor acme 7", "--reason"),
            ("affilitrack corpus f --seeds 50", "--shuffle"),
            ("affilitrack mail retry", "<IDS>"),
            ("affilitrack mail retry 7 --failed spike", "cannot be used with"),
            ("affilitrack mail list --state lost", "unsure"),
            ("affilitrack run --port 70000", "65535"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let cli = parse("affilitrack connect stripe --vendor acme --secret whsec_1 --key rk_1").expect("right");
        let shown = format!("{cli:?}");
        assert!(!shown.contains("whsec_1") && !shown.contains("rk_1"), "{shown}");
    }
}

//! Several processes of the product on real outside parts, behind one address: two of each role, unless told otherwise.

use crate::client::LocalSocket;
use crate::product::{Product, ProductError, StartOptions};
use crate::proxy::Proxy;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::process::Command;

/// Where the outside parts are, by the names that the product itself reads.
const SERVICES: [&str; 4] = [
    "AFFILITRACK_KAFKA_BROKERS",
    "AFFILITRACK_POSTGRES_URL",
    "AFFILITRACK_WAREHOUSE_URL",
    "AFFILITRACK_WAREHOUSE_PASSWORD",
];

/// Ports for processes that are stopped and started again.
const FIRST_OWN_PORT: u16 = 10_000;
const OWN_PORTS: u16 = 10_000;

/// What went wrong with the processes together.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nobody said where the outside parts are.
    #[error("{0} is not set: start the services with `make services`, then: eval \"$(scripts/services.sh settings)\"")]
    NoServices(&'static str),
    /// `migrate` failed.
    #[error("`{} migrate` failed ({status}):\n{output}", binary.display())]
    NotMigrated {
        /// Which program.
        binary: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// One of them.
    #[error("{name}: {source}")]
    Member {
        /// Which.
        name: String,
        /// What was wrong.
        source: ProductError,
    },
    /// A port, a folder.
    #[error("the processes cannot be started: {0}")]
    System(#[from] std::io::Error),
}

/// What the processes have in common.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The program.
    pub binary: PathBuf,
    /// Folder for their data folders and logs.
    pub folder: PathBuf,
    /// Port of the address in front of them; 0 = any free one.
    pub port: u16,
    /// How many of each role.
    pub copies: usize,
    /// Environment variables for all, such as another address of an outside part, or all of their addresses.
    pub environment: Vec<(String, String)>,
    /// Data folder of a stopped `affilitrack run` to bring over first.
    pub from: Option<PathBuf>,
}

/// One process.
#[derive(Debug)]
pub struct Member {
    /// Its role and number, for example `process-2`.
    pub name: String,
    options: StartOptions,
    product: Option<Product>,
}

/// Running processes. Dropping them kills them.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    proxy: Proxy,
    binary: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// Makes topics, schemas and tables that nobody else has, starts every process, and waits until all are ready.
    ///
    /// # Errors
    /// When no services are named, `migrate` fails, or a process does not get ready.
    pub async fn start(options: &ClusterOptions) -> Result<Cluster, ClusterError> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await?;
        let public_url = format!("http://{}", listener.local_addr()?);
        let is_told = |name: &&str| options.environment.iter().any(|(one, _)| one == *name);
        let mut environment = if SERVICES.iter().all(is_told) { Vec::new() } else { services()? };
        environment.extend(own_names(&options.folder));
        environment.push(("AFFILITRACK_SERVER_PUBLIC_URL".to_owned(), public_url));
        environment.push(("AFFILITRACK_SERVER_TRUSTED_PROXIES".to_owned(), "127.0.0.1".to_owned()));
        environment.extend(options.environment.iter().cloned());
        let from = options.from.iter().flat_map(|folder| [OsStr::new("--from"), folder.as_os_str()]);
        migrate(&options.binary, &options.folder, &environment, &from.collect::<Vec<_>>()).await?;
        let mut members = Vec::new();
        for command in ["ingest", "process", "serve"] {
            for number in 1..=options.copies {
                members.push(Member::new(&options.binary, &options.folder, command, number, &environment)?);
            }
        }
        for member in &mut members {
            member.start().await?;
        }
        let ports = |command: &str| {
            let of_role = members.iter().filter(|member| member.options.command == command);
            of_role.map(|member| member.options.port).collect::<Vec<u16>>()
        };
        let proxy = Proxy::start(listener, ports("ingest"), ports("serve"))?;
        let (binary, folder) = (options.binary.clone(), options.folder.clone());
        Ok(Cluster { members, proxy, binary, folder, environment })
    }

    /// What all processes are told by environment variables; of two with one name the last holds.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Prepares one more process of a role and returns its position. It is not started, and nothing in front knows it.
    pub fn add(&mut self, command: &'static str) -> Result<usize, ClusterError> {
        let number = 1 + self.members.iter().filter(|member| member.options.command == command).count();
        self.members.push(Member::new(&self.binary, &self.folder, command, number, &self.environment)?);
        Ok(self.members.len() - 1)
    }

    /// Makes topics, schemas and tables again, as far as they are gone.
    pub async fn migrate(&self) -> Result<(), ClusterError> {
        migrate(&self.binary, &self.folder, &self.environment, &[]).await
    }

    /// Asks whether what was folded since is what a data folder that was brought over has.
    pub async fn compare_with(&self, from: &Path) -> Result<(), ClusterError> {
        let arguments = [OsStr::new("--from"), from.as_os_str(), OsStr::new("--compare")];
        migrate(&self.binary, &self.folder, &self.environment, &arguments).await
    }

    /// The address of all of them together.
    pub fn url(&self) -> String {
        self.proxy.url()
    }

    /// The local control socket of the first process that shows pages.
    pub fn socket(&self) -> LocalSocket {
        let serve = self.members.iter().find(|member| member.options.command == "serve");
        LocalSocket::new(&serve.map(|member| member.options.data_dir.join("affilitrack.sock")).unwrap_or_default())
    }

    /// The processes, in the order of their start.
    pub fn members(&mut self) -> &mut [Member] {
        &mut self.members
    }

    /// An error with the end of its log if one has ended by itself.
    pub fn check_running(&mut self) -> Result<(), ClusterError> {
        for Member { name, product, .. } in &mut self.members {
            if let Some(product) = product {
                product.check_running().map_err(|source| ClusterError::Member { name: name.clone(), source })?;
            }
        }
        Ok(())
    }

    /// SIGTERM for all. Says whether every one ended in order.
    pub async fn stop(self) -> Result<bool, ClusterError> {
        let mut in_order = true;
        for Member { name, product, .. } in self.members {
            if let Some(product) = product {
                in_order &= product.stop().await.map_err(|source| ClusterError::Member { name, source })?;
            }
        }
        Ok(in_order)
    }
}

impl Member {
    fn new(
        binary: &Path,
        folder: &Path,
        command: &'static str,
        number: usize,
        environment: &[(String, String)],
    ) -> Result<Member, ClusterError> {
        let name = format!("{command}-{number}");
        let options = StartOptions {
            binary: binary.to_owned(),
            command,
            data_dir: folder.join(&name),
            port: free_port()?,
            log_file: folder.join(format!("{name}.log")),
            environment: environment.to_vec(),
        };
        Ok(Member { name, options, product: None })
    }

    /// How it is started the next time.
    pub fn options(&mut self) -> &mut StartOptions {
        &mut self.options
    }

    /// SIGTERM, unless it was killed. Says whether it ended in order.
    pub async fn stop(&mut self) -> Result<bool, ClusterError> {
        match self.product.take() {
            Some(product) => product.stop().await.map_err(|source| self.failed(source)),
            None => Ok(true),
        }
    }

    /// Starts it again without waiting for anything.
    pub fn launch(&mut self) -> Result<(), ClusterError> {
        self.product = Some(Product::launch(&self.options).map_err(|source| self.failed(source))?);
        Ok(())
    }

    /// The command it runs.
    pub fn command(&self) -> &'static str {
        self.options.command
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.options.port
    }

    /// The process, unless it was killed.
    pub fn product(&mut self) -> Option<&mut Product> {
        self.product.as_mut()
    }

    /// SIGKILL, unless it was killed already.
    pub async fn kill(&mut self) -> Result<(), ClusterError> {
        match self.product.take() {
            Some(mut product) => product.kill().await.map_err(|source| self.failed(source)),
            None => Ok(()),
        }
    }

    /// Starts it again on its data folder and port, and waits until it is ready.
    pub async fn start(&mut self) -> Result<(), ClusterError> {
        self.product = Some(Product::start(&self.options).await.map_err(|source| self.failed(source))?);
        Ok(())
    }

    fn failed(&self, source: ProductError) -> ClusterError {
        ClusterError::Member { name: self.name.clone(), source }
    }
}

/// Where the outside parts are, as environment variables for the product.
///
/// # Errors
/// When nobody said where they are.
#[expect(clippy::disallowed_methods, reason = "a tool: its settings are those of the product, handed on as they are")]
pub fn services() -> Result<Vec<(String, String)>, ClusterError> {
    let mut environment = vec![("AFFILITRACK_WAREHOUSE_EMBEDDED".to_owned(), "off".to_owned())];
    for name in SERVICES {
        let value = std::env::var(name).map_err(|_| ClusterError::NoServices(name))?;
        environment.push((name.to_owned(), value));
    }
    Ok(environment)
}

/// Names on the outside parts that nobody else uses, out of the folder's random name.
fn own_names(folder: &Path) -> Vec<(String, String)> {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(folder.as_os_str().as_encoded_bytes());
    let name = format!("t{}", hex::encode(&digest[..6]));
    let pairs = [
        ("AFFILITRACK_KAFKA_TOPIC", format!("{name}.events")),
        ("AFFILITRACK_KAFKA_LIVE_TOPIC", format!("{name}.live")),
        ("AFFILITRACK_KAFKA_GROUP", name.clone()),
        ("AFFILITRACK_POSTGRES_SCHEMA", name.clone()),
        ("AFFILITRACK_WAREHOUSE_DATABASE", name),
        ("AFFILITRACK_MASTER_KEY", hex::encode(digest)),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

async fn migrate(
    binary: &Path,
    folder: &Path,
    environment: &[(String, String)],
    arguments: &[&OsStr],
) -> Result<(), ClusterError> {
    let output = Command::new(binary)
        .arg("migrate")
        .args(arguments)
        .env("DATA_DIR", folder.join("migrate"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let output_text = String::from_utf8_lossy(&said).into_owned();
    Err(ClusterError::NotMigrated { binary: binary.to_owned(), status: output.status, output: output_text })
}

/// A port that was free a moment ago; the same one is needed at every start. It is below those that the system hands
/// out for connections, which would take it while a process is away.
pub fn free_port() -> std::io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..OWN_PORTS {
        let number = std::process::id().wrapping_mul(211).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST_OWN_PORT + (number % u32::from(OWN_PORTS)) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

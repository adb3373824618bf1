//! A broker of a test's own that lets in only over TLS or with a password: the one that tests share has neither.

use crate::tls::test_authority::TestAuthority;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What it has in common with the shared one.
const COMMON: &str = include_str!("../../../scripts/services/kafka/server.properties");
/// Sixteen bytes in Base64.
const CLUSTER_ID: &str = "c2VjdXJlLXRlc3RzLTAwMQ";
/// Looks for it at its start, and the pause between two.
const LOOKS: (u32, Duration) = (1_800, Duration::from_millis(100));

/// Who may sign in.
pub(super) const USER: &str = "affilitrack";
/// With what.
pub(super) const PASSWORD: &str = "right-and-secret";

/// Ends when dropped.
pub(super) struct SecuredBroker {
    /// Signed the broker's certificate, which is for `localhost`.
    pub(super) authority: TestAuthority,
    /// Over TLS, with SCRAM-SHA-512 or PLAIN.
    pub(super) sasl_ssl: u16,
    /// Not encrypted, with SCRAM-SHA-256.
    pub(super) sasl_plaintext: u16,
    /// Over TLS, for clients with a certificate.
    pub(super) ssl: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl SecuredBroker {
    pub(super) fn start() -> SecuredBroker {
        let [sasl_ssl, sasl_plaintext, ssl, inside, controller] = free_ports();
        let authority = TestAuthority::new();
        let folder = tempfile::tempdir().unwrap();
        let mut broker = SecuredBroker { authority, sasl_ssl, sasl_plaintext, ssl, folder, child: None };
        broker.write_properties(inside, controller);
        let scram = |mechanism: &str| format!("{mechanism}=[name={USER},password={PASSWORD}]");
        let users = [scram("SCRAM-SHA-512"), scram("SCRAM-SHA-256")];
        let formatted = broker
            .java("-Xmx128m")
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", &broker.path("properties")])
            .args(users.iter().flat_map(|user| ["--add-scram", user]))
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        broker.launch();
        broker
    }

    fn write_properties(&self, inside: u16, controller: u16) {
        let issued = self.authority.issue("DNS:localhost");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        std::fs::write(self.path("key-store.pem"), read(&issued.key) + &read(&issued.certificate)).unwrap();
        let addresses = |host: &str| {
            format!(
                "INSIDE://{host}:{inside},SIGNED://{host}:{},OPEN://{host}:{},MUTUAL://{host}:{}",
                self.sasl_ssl, self.sasl_plaintext, self.ssl
            )
        };
        let login = "org.apache.kafka.common.security";
        let properties = format!(
            "{COMMON}
log.dirs={}
listeners={},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={}
listener.security.protocol.map=INSIDE:PLAINTEXT,SIGNED:SASL_SSL,OPEN:SASL_PLAINTEXT,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
controller.quorum.voters=1@127.0.0.1:{controller}
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.mutual.ssl.client.auth=required
listener.name.signed.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.signed.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.signed.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.open.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.open.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
",
            self.path("data"),
            addresses("127.0.0.1"),
            addresses("localhost"),
            self.path("key-store.pem"),
            self.authority.file().display(),
        );
        std::fs::write(self.path("properties"), properties).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "the test waits for another process")]
    fn launch(&mut self) {
        let output = File::create(self.path("output")).unwrap();
        let mut command = self.java("-Xmx256m");
        command.args(["kafka.Kafka", &self.path("properties")]);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let child = self.child.insert(command.spawn().unwrap());
        for _ in 0..LOOKS.0 {
            if TcpStream::connect(("127.0.0.1", self.sasl_ssl)).is_ok() {
                return;
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(LOOKS.1);
        }
        panic!("the broker did not start: {}", std::fs::read_to_string(self.path("output")).unwrap());
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn java(&self, memory: &str) -> Command {
        let libs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/services/kafka/libs");
        assert!(libs.is_dir(), "these tests need Kafka: run: bash scripts/services/kafka.sh start");
        let mut command = Command::new("java");
        command.arg(memory).arg("-cp").arg(libs.join("*")).stdin(Stdio::null());
        command
    }
}

impl Drop for SecuredBroker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that nobody uses now.
fn free_ports() -> [u16; 5] {
    let held = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

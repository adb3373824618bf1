//! Certificates for tests, made with the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Sections of what is asked for; nothing of the system's own file counts.
const SECTIONS: &str = "[req]\ndistinguished_name=none\n[none]\n\
    [authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n\
    [holder]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=$ENV::ALTERNATIVE_NAMES\n";

/// An authority of one test; its files are removed in the end.
pub(crate) struct TestAuthority {
    folder: tempfile::TempDir,
    issued: AtomicU32,
}

/// Files of a certificate that the authority signed.
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl TestAuthority {
    pub(crate) fn new() -> TestAuthority {
        let authority = TestAuthority { folder: tempfile::tempdir().unwrap(), issued: AtomicU32::new(0) };
        std::fs::write(authority.folder().join("sections"), SECTIONS).unwrap();
        authority.openssl("authority", "ca", "DNS:unused", &[]);
        authority
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// A certificate for names such as `DNS:localhost,IP:127.0.0.1`.
    pub(crate) fn issue(&self, names: &str) -> Issued {
        let name = format!("holder{}", self.issued.fetch_add(1, Ordering::Relaxed));
        self.openssl("holder", &name, names, &["-CA", "ca.pem", "-CAkey", "ca.key"]);
        let file = |ending: &str| self.folder().join(format!("{name}.{ending}"));
        Issued { certificate: file("pem"), key: file("key") }
    }

    fn openssl(&self, section: &str, name: &str, alternative_names: &str, more: &[&str]) {
        let (certificate, key, subject) = (format!("{name}.pem"), format!("{name}.key"), format!("/CN=test {name}"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-config", "sections", "-extensions", section, "-subj", &subject])
            .args(["-keyout", &key, "-out", &certificate])
            .args(more)
            .env("ALTERNATIVE_NAMES", alternative_names)
            .current_dir(self.folder())
            .output()
            .expect("these tests need the command openssl: run: bash scripts/setup.sh test");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
}

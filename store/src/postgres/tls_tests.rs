//! Encrypted connections to a real server, whose certificate is for `localhost` and not for 127.0.0.1.

use super::test_server::{authority, own_url};
use super::*;
use crate::tls::Authorities;
use crate::tls::test_authority::TestAuthority;
use std::io::{Read, Write};
use std::net::TcpListener;

/// How a connection came about: protocol of TLS, or that there is none; or why it did not.
fn connected(url: &str, tls: PostgresTls) -> Result<String, String> {
    let settings = PostgresSettings { tls, ..PostgresSettings::new(url, "public") };
    let pool = PostgresPool::connect(settings).map_err(|error| error.to_string())?;
    let sql = "select coalesce(version, 'plain') from pg_stat_ssl where pid = pg_backend_pid()";
    let found = pool.run(|connection| Ok::<_, PostgresError>(connection.query_one(sql, &[])?.get(0)));
    found.map_err(|error| error.to_string())
}

fn right_authority() -> Authorities {
    Authorities::File(authority())
}

fn by_name() -> String {
    own_url().replace("@127.0.0.1:", "@localhost:")
}

#[test]
fn who_has_the_right_certificate_is_believed() {
    let by_address = own_url();
    let connections = [
        (by_name(), PostgresTls::VerifyFull(right_authority())),
        (by_address.clone(), PostgresTls::VerifyCa(right_authority())),
        (by_address.clone(), PostgresTls::Require),
        (format!("{by_address}?sslmode=require"), PostgresTls::AsUrl),
        (format!("{by_address}?sslmode=prefer"), PostgresTls::AsUrl),
        // The password is bound to the certificate.
        (format!("{}?channel_binding=require", by_name()), PostgresTls::VerifyFull(right_authority())),
    ];
    for (url, tls) in connections {
        assert_eq!(connected(&url, tls.clone()).as_deref(), Ok("TLSv1.3"), "{tls:?}");
    }
    for (url, tls) in [
        (by_address.clone(), PostgresTls::AsUrl),
        (by_address.clone(), PostgresTls::Off),
        (format!("{by_address}?sslmode=disable"), PostgresTls::AsUrl),
    ] {
        assert_eq!(connected(&url, tls).as_deref(), Ok("plain"));
    }
}

#[test]
fn who_has_another_certificate_is_refused_with_the_setting() {
    let stranger = TestAuthority::new();
    let strange = Authorities::File(stranger.file());
    for tls in [PostgresTls::VerifyCa(strange.clone()), PostgresTls::VerifyFull(strange)] {
        let words = connected(&by_name(), tls).unwrap_err();
        assert!(words.contains("not signed by an authority of postgres.tls_ca_file"), "{words}");
    }
    let words = connected(&by_name(), PostgresTls::VerifyFull(Authorities::System)).unwrap_err();
    assert!(words.contains("postgres.tls_ca_file"), "{words}");
    let words = connected(&own_url(), PostgresTls::VerifyFull(right_authority())).unwrap_err();
    assert!(words.contains("another name"), "{words}");
    let nowhere = Authorities::File("/nowhere/ca.pem".into());
    let words = connected(&by_name(), PostgresTls::VerifyFull(nowhere)).unwrap_err();
    assert!(words.contains("/nowhere/ca.pem cannot be read") && words.contains("postgres.tls_ca_file"), "{words}");
}

/// Nothing is sent to a server that answers that it has no TLS: no user, no password.
#[test]
fn a_server_without_tls_gets_nothing_unless_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"N").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let words = connected(&format!("postgres://me:geheim@{address}/db"), PostgresTls::Require).unwrap_err();
    assert!(words.contains("does not support TLS") && words.contains("postgres.tls"), "{words}");
    assert!(server.join().unwrap().is_empty());
}

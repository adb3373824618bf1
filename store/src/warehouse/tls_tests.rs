//! The engine behind a door with TLS, as a server with https has it.

use super::test_engine::{TestEngine, fresh_database, test_engine};
use super::*;
use crate::tls::Authorities;
use crate::tls::test_authority::{Issued, TestAuthority};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Takes off the encryption and hands on to the engine; its port.
async fn door(engine: &TestEngine, issued: &Issued) -> u16 {
    let certificate = CertificateDer::from_pem_file(&issued.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = engine.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(behind).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    port
}

fn at(engine: &TestEngine, host: &str, port: u16, authorities: Authorities) -> Warehouse {
    let config = WarehouseConfig {
        url: format!("https://{host}:{port}"),
        user: String::new(),
        key: engine.key.clone(),
        database: fresh_database(),
        query_timeout: Duration::from_secs(20),
        insert_timeout: Duration::from_secs(20),
    };
    Warehouse::over_tls(config, &authorities).unwrap()
}

#[tokio::test]
async fn only_a_server_with_the_right_certificate_is_written_to() {
    let engine = test_engine();
    let (authority, stranger) = (TestAuthority::new(), TestAuthority::new());
    let port = door(&engine, &authority.issue("DNS:localhost")).await;
    let right = || Authorities::File(authority.file());
    at(&engine, "localhost", port, right()).migrate().await.unwrap();
    for (host, authorities, part) in [
        ("localhost", Authorities::File(stranger.file()), "not signed by an authority of warehouse.tls_ca_file"),
        ("localhost", Authorities::System, "warehouse.tls_ca_file"),
        ("127.0.0.1", right(), "another name"),
    ] {
        let words = at(&engine, host, port, authorities).migrate().await.unwrap_err().to_string();
        assert!(words.contains(part), "{words}");
    }
    let plain: u16 = engine.url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let words = at(&engine, "localhost", plain, right()).migrate().await.unwrap_err().to_string();
    assert!(words.contains("speaks no TLS"), "{words}");
    let plain = Warehouse::over_tls(
        WarehouseConfig { url: engine.url.clone(), ..at(&engine, "localhost", port, right()).config },
        &right(),
    );
    assert!(plain.unwrap().migrate().await.is_err(), "what must be encrypted is never sent otherwise");
}

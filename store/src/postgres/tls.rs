//! Encrypted connections to Postgres, by rustls.

use super::channel_binding;
use super::{PostgresError, PostgresSettings};
use crate::tls::{Authorities, Checks, client_config};
use postgres::Config;
use postgres::config::{SslMode, SslNegotiation};
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

/// How connections are protected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PostgresTls {
    /// As `sslmode` of the URL says: `disable` (also when it says nothing), `prefer` or `require`. With the last two
    /// whoever answers is believed.
    #[default]
    AsUrl,
    /// Not encrypted.
    Off,
    /// Encrypted; whoever answers is believed.
    Require,
    /// Encrypted, and an authority signed the server's certificate, for whatever name.
    VerifyCa(Authorities),
    /// Encrypted, and an authority signed the server's certificate for the name in the URL.
    VerifyFull(Authorities),
}

/// What the URL says about encryption, if it says anything.
pub fn sslmode(url: &str) -> Option<&str> {
    option(url, "sslmode")
}

/// The value of an option of the URL.
fn option<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, options) = url.split_once('?')?;
    options.split('&').rev().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

/// Sets how the server is asked, and prepares what checks it; none for connections that are not encrypted.
pub(super) fn prepare(config: &mut Config, settings: &PostgresSettings) -> Result<Option<Tls>, PostgresError> {
    let (mode, checks) = match &settings.tls {
        PostgresTls::AsUrl if sslmode(&settings.url).is_some() => (config.get_ssl_mode(), Checks::Nothing),
        PostgresTls::AsUrl | PostgresTls::Off => (SslMode::Disable, Checks::Nothing),
        PostgresTls::Require => (SslMode::Require, Checks::Nothing),
        PostgresTls::VerifyCa(authorities) => (SslMode::Require, Checks::Authority(authorities.clone())),
        PostgresTls::VerifyFull(authorities) => (SslMode::Require, Checks::Full(authorities.clone())),
    };
    config.ssl_mode(mode);
    if mode == SslMode::Disable {
        return Ok(None);
    }
    let mut tls = client_config(&checks)
        .map_err(|error| PostgresError::Settings(format!("{error} (see postgres.tls and postgres.tls_ca_file)")))?;
    if config.get_ssl_negotiation() == SslNegotiation::Direct {
        tls.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Some(Tls(Arc::new(tls))))
}

/// Begins encrypted connections.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = Infallible;

    fn make_tls_connect(&mut self, name: &str) -> Result<Handshake, Infallible> {
        Ok(Handshake { config: Arc::clone(&self.0), name: name.to_owned() })
    }
}

/// One beginning.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: String,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.name).map_err(io::Error::other)?;
            TlsConnector::from(self.config).connect(name, stream).await.map(Encrypted)
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let end_point = certificates.and_then(|all| channel_binding::end_point(all.first()?));
        end_point.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_how_and_the_last_word_counts() {
        assert_eq!(sslmode("postgres://me:a?sslmode=b@h/db"), Some("b@h/db"));
        assert_eq!(sslmode("postgres://me@h/db?application_name=x&sslmode=require"), Some("require"));
        assert_eq!(sslmode("postgres://me@h/db?sslmode=disable&sslmode=prefer"), Some("prefer"));
        assert_eq!(sslmode("postgres://me@h/db?sslmodel=x"), None);
        assert_eq!(sslmode("postgres://me@h/db"), None);
    }
}

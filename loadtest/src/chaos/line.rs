//! A TCP line that can be broken: connections cut, new ones refused, answers thrown away.

use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes passed on at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A line from a port of this machine to somewhere. Ends when dropped.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    faults: Arc<Faults>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Faults {
    is_cut: AtomicBool,
    loses_answers: AtomicBool,
    /// Counts how often all connections were cut.
    cuts: watch::Sender<u64>,
}

impl Line {
    /// Listens on a free port and passes everything on to `to` (host:port).
    pub async fn to(to: &str) -> Result<Line> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let faults = Arc::new(Faults {
            is_cut: AtomicBool::new(false),
            loses_answers: AtomicBool::new(false),
            cuts: watch::Sender::new(0),
        });
        let task = tokio::spawn(serve(listener, to.to_owned(), Arc::clone(&faults)));
        Ok(Line { address, faults, task })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks every connection, and every new one at once.
    pub fn cut(&self) {
        self.faults.is_cut.store(true, Ordering::SeqCst);
        self.break_connections();
    }

    /// Breaks every connection; new ones work.
    pub fn break_connections(&self) {
        self.faults.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on answers are thrown away, or passed on again.
    pub fn lose_answers(&self, lose: bool) {
        self.faults.loses_answers.store(lose, Ordering::SeqCst);
    }

    /// New connections work again.
    pub fn mend(&self) {
        self.faults.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
        self.break_connections();
    }
}

async fn serve(listener: TcpListener, to: String, faults: Arc<Faults>) {
    while let Ok((near, _)) = listener.accept().await {
        if faults.is_cut.load(Ordering::SeqCst) {
            continue;
        }
        let (to, faults) = (to.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let mut cuts = faults.cuts.subscribe();
            let Ok(far) = TcpStream::connect(&to).await else { return };
            // Small requests must not wait for each other.
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = pass(near_read, far_write, || false) => {}
                () = pass(far_read, near_write, || faults.loses_answers.load(Ordering::SeqCst)) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_lost: impl Fn() -> bool) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(count) = from.read(&mut chunk).await {
        if count == 0 || (!is_lost() && to.write_all(&chunk[..count]).await.is_err()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        port
    }

    async fn ask(stream: &mut TcpStream) -> std::io::Result<usize> {
        stream.write_all(b"x").await?;
        let mut answer = [0; 1];
        stream.read(&mut answer).await
    }

    #[tokio::test]
    async fn a_line_passes_on_and_breaks() {
        let line = Line::to(&format!("127.0.0.1:{}", echo().await)).await.unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", line.port()));
        let mut stream = connect().await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), 1);
        line.cut();
        assert!(!matches!(ask(&mut stream).await, Ok(1)), "the connection is broken");
        let mut refused = connect().await.unwrap();
        assert!(!matches!(ask(&mut refused).await, Ok(1)), "and so is every new one");
        line.mend();
        let mut stream = connect().await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), 1);
        line.lose_answers(true);
        assert!(tokio::time::timeout(Duration::from_millis(200), ask(&mut stream)).await.is_err(), "no answer comes");
        line.lose_answers(false);
        assert_eq!(ask(&mut stream).await.unwrap(), 1);
    }
}

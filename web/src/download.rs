//! The body of a download: made piece by piece, as fast as the visitor takes it and no faster.

use axum::body::Body;
use futures::stream::{BoxStream, StreamExt, unfold};
use std::io;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// Downloads being made at once, over all visitors; more get 503.
pub const MOST_DOWNLOADS: usize = 4;
/// A download that takes longer is broken off, so that a visitor who stops reading holds nothing for ever.
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(10 * 60);
/// Pieces that wait for the visitor.
const WAITING_PIECES: usize = 4;

/// What a file is made of.
pub(crate) type Pieces = BoxStream<'static, io::Result<Vec<u8>>>;

/// A piece, or that there are no more. A body that ends without the latter is broken off, never called complete.
enum Part {
    Piece(io::Result<Vec<u8>>),
    End,
}

/// The body. The permit is given back when the last piece was taken, or the visitor left, or it took too long.
pub(crate) fn body(pieces: Pieces, permit: OwnedSemaphorePermit) -> Body {
    body_within(LONGEST_DOWNLOAD, pieces, permit)
}

fn body_within(limit: Duration, pieces: Pieces, permit: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = channel(WAITING_PIECES);
    tokio::spawn(async move {
        let _held_while_pieces_are_made = permit;
        if timeout(limit, send_all(pieces, sender)).await.is_err() {
            tracing::warn!("A download was broken off: it was not taken within {} s", limit.as_secs());
        }
    });
    // Compression asks once more after the end.
    Body::from_stream(unfold(Some(receiver), next).fuse())
}

async fn send_all(mut pieces: Pieces, sender: Sender<Part>) {
    while let Some(piece) = pieces.next().await {
        if let Err(error) = &piece {
            tracing::error!(web.cause = %error, "A download was broken off: {error}");
        }
        let is_last = piece.is_err();
        // An error here says that the visitor left.
        if sender.send(Part::Piece(piece)).await.is_err() || is_last {
            return;
        }
    }
    let _ = sender.send(Part::End).await;
}

async fn next(receiver: Option<Receiver<Part>>) -> Option<(io::Result<Vec<u8>>, Option<Receiver<Part>>)> {
    let mut receiver = receiver?;
    match receiver.recv().await {
        Some(Part::Piece(Ok(piece))) => Some((Ok(piece), Some(receiver))),
        Some(Part::Piece(Err(error))) => Some((Err(error), None)),
        Some(Part::End) => None,
        None => Some((Err(io::Error::other("the file was not made to its end")), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    async fn collect(body: Body) -> Result<Vec<u8>, axum::Error> {
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    fn endless() -> Pieces {
        stream::repeat_with(|| Ok(vec![b'x'; 10])).boxed()
    }

    async fn permit_of(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        Arc::clone(permits).acquire_owned().await.unwrap()
    }

    #[tokio::test]
    async fn a_whole_file_arrives_whole() {
        let permits = Arc::new(Semaphore::new(1));
        let pieces = (0..100).map(|number| Ok(vec![number; 3]));
        let taken = collect(body(stream::iter(pieces).boxed(), permit_of(&permits).await)).await.unwrap();
        assert_eq!(taken.len(), 300);
        // Given back: the next one gets it.
        drop(permit_of(&permits).await);
    }

    #[tokio::test]
    async fn a_file_that_breaks_in_the_middle_is_never_called_complete() {
        let permits = Arc::new(Semaphore::new(1));
        let pieces = vec![Ok(vec![1]), Err(io::Error::other("gone")), Ok(vec![2])];
        assert!(collect(body(stream::iter(pieces).boxed(), permit_of(&permits).await)).await.is_err());
        drop(permit_of(&permits).await);
    }

    #[tokio::test]
    async fn who_stops_reading_is_broken_off_and_holds_nothing() {
        let permits = Arc::new(Semaphore::new(1));
        let limit = Duration::from_millis(20);
        let unread = body_within(limit, endless(), permit_of(&permits).await);
        // Comes free by the time limit alone: the body is still there.
        drop(permit_of(&permits).await);
        let mut stream = unread.into_data_stream();
        let mut pieces = 0;
        let error = loop {
            match stream.next().await {
                Some(Ok(_)) => pieces += 1,
                other => break other,
            }
        };
        assert_eq!(pieces, WAITING_PIECES, "no more than these were kept for the visitor");
        assert!(matches!(error, Some(Err(_))), "{error:?}");
    }

    #[tokio::test]
    async fn who_leaves_gives_back() {
        let permits = Arc::new(Semaphore::new(1));
        drop(body(endless(), permit_of(&permits).await));
        drop(permit_of(&permits).await);
    }
}

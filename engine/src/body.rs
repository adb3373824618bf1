//! Reads a request body in pieces, with a limit on its size and on every pause, decompressed where needed.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::compression::BlockDecoder;
use crate::error::{QueryError, code};
use crate::http::Endpoint;

/// The body of one request.
pub(crate) struct BodyReader {
    stream: BodyDataStream,
    decoder: Option<BlockDecoder>,
    ready: VecDeque<Bytes>,
    /// What may still come, both as sent and as decompressed.
    sent_left: usize,
    plain_left: usize,
    stall_limit: Duration,
    give_up: CancellationToken,
}

impl BodyReader {
    /// `max_bytes` bounds the body as sent. Decompressed it may be eight times that: enough for what clients send,
    /// and no room for a bomb.
    pub(crate) fn new(body: Body, decompress: bool, max_bytes: usize, endpoint: &Endpoint) -> Self {
        Self {
            stream: body.into_data_stream(),
            decoder: decompress.then(BlockDecoder::default),
            ready: VecDeque::new(),
            sent_left: max_bytes,
            plain_left: max_bytes.saturating_mul(if decompress { 8 } else { 1 }),
            stall_limit: endpoint.stall_limit,
            give_up: endpoint.give_up.clone(),
        }
    }

    /// The next piece, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, QueryError> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            let Some(received) = self.receive().await? else {
                if let Some(decoder) = &self.decoder {
                    decoder.finish()?;
                }
                return Ok(None);
            };
            self.sent_left = self.sent_left.checked_sub(received.len()).ok_or_else(too_large)?;
            self.decode(received)?;
        }
    }

    /// Pieces until the end (then `true`) or until they hold `enough` bytes together.
    pub(crate) async fn read_ahead(&mut self, enough: usize) -> Result<(Vec<Bytes>, bool), QueryError> {
        let (mut pieces, mut length) = (Vec::new(), 0);
        while length < enough {
            let Some(piece) = self.next().await? else {
                return Ok((pieces, true));
            };
            length += piece.len();
            pieces.push(piece);
        }
        Ok((pieces, false))
    }

    /// The whole body.
    pub(crate) async fn read_all(mut self) -> Result<Vec<u8>, QueryError> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, QueryError> {
        let received = tokio::select! {
            received = tokio::time::timeout(self.stall_limit, self.stream.next()) => received,
            () = self.give_up.cancelled() => return Err(QueryError::shutting_down()),
        };
        match received {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => {
                Err(QueryError::new(code::ABORTED, format_args!("The request body broke off: {error}.")))
            }
            Err(_elapsed) => Err(QueryError::new(
                code::ABORTED,
                format_args!("The request body paused for more than {} ms.", self.stall_limit.as_millis()),
            )),
        }
    }

    fn decode(&mut self, received: Bytes) -> Result<(), QueryError> {
        let Some(decoder) = &mut self.decoder else {
            if !received.is_empty() {
                self.ready.push_back(received);
            }
            return Ok(());
        };
        decoder.push(&received);
        while let Some(block) = decoder.next_block()? {
            self.plain_left = self.plain_left.checked_sub(block.len()).ok_or_else(too_large)?;
            if !block.is_empty() {
                self.ready.push_back(block);
            }
        }
        Ok(())
    }
}

fn too_large() -> QueryError {
    QueryError::new(code::TOO_MANY_BYTES, "The request body is too large. Send the data in several inserts.")
}

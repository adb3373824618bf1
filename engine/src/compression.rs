//! ClickHouse's own block compression, as sent with `decompress=1`.
//!
//! A block: 16 bytes checksum (CityHash 1.0.2 of all that follows), 1 byte method, 4 bytes size of the compressed data
//! with these 9 header bytes, 4 bytes size of the data, then the compressed data. Sizes are little-endian.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{QueryError, code};

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
/// Neither side of a block may be larger. Clients send some 256 KiB.
const MAX_BLOCK_BYTES: usize = 64 * 1024 * 1024;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;

/// Takes the body as it arrives and gives out whole blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockDecoder {
    buffer: BytesMut,
}

impl BlockDecoder {
    /// Adds what arrived.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The data of the next complete block, if there is one.
    pub(crate) fn next_block(&mut self) -> Result<Option<Bytes>, QueryError> {
        let Some((method, compressed_size, size)) = self.read_header()? else {
            return Ok(None);
        };
        if self.buffer.len() < CHECKSUM_BYTES + compressed_size {
            self.buffer.reserve(CHECKSUM_BYTES + compressed_size - self.buffer.len());
            return Ok(None);
        }
        let mut block = self.buffer.split_to(CHECKSUM_BYTES + compressed_size);
        let expected = block.get_u128_le();
        // CityHash gives its two halves the other way round.
        if cityhash_rs::cityhash_102_128(&block).rotate_right(64) != expected {
            return Err(QueryError::new(
                code::CHECKSUM_DOES_NOT_MATCH,
                "Checksum doesn't match: the compressed data was damaged on its way.",
            ));
        }
        block.advance(HEADER_BYTES);
        decompress(method, block.freeze(), size).map(Some)
    }

    /// The body ended. Half a block at its end means that data is missing.
    pub(crate) fn finish(&self) -> Result<(), QueryError> {
        match self.buffer.len() {
            0 => Ok(()),
            left => Err(cannot(format_args!("the body ends inside a block; {left} bytes are left over"))),
        }
    }

    /// Method and both sizes, once the header is there.
    fn read_header(&self) -> Result<Option<(u8, usize, usize)>, QueryError> {
        let Some(mut header) = self.buffer.get(CHECKSUM_BYTES..CHECKSUM_BYTES + HEADER_BYTES) else {
            return Ok(None);
        };
        let method = header.get_u8();
        let (compressed_size, size) = (header.get_u32_le() as usize, header.get_u32_le() as usize);
        if !(HEADER_BYTES..=MAX_BLOCK_BYTES).contains(&compressed_size) || size > MAX_BLOCK_BYTES {
            return Err(cannot(format_args!(
                "a block claims {compressed_size} bytes compressed and {size} bytes; the limit is {MAX_BLOCK_BYTES}"
            )));
        }
        Ok(Some((method, compressed_size, size)))
    }
}

fn decompress(method: u8, data: Bytes, size: usize) -> Result<Bytes, QueryError> {
    match method {
        METHOD_LZ4 => {
            let plain = lz4_flex::block::decompress(&data, size).map_err(cannot)?;
            check_size(plain.len(), size)?;
            Ok(plain.into())
        }
        METHOD_NONE => {
            check_size(data.len(), size)?;
            Ok(data)
        }
        other => Err(QueryError::new(
            code::UNKNOWN_CODEC,
            format_args!("Unknown compression method 0x{other:02x}: this endpoint reads LZ4 and uncompressed blocks."),
        )),
    }
}

fn check_size(found: usize, expected: usize) -> Result<(), QueryError> {
    if found == expected {
        return Ok(());
    }
    Err(cannot(format_args!("a block of {found} bytes claims {expected}")))
}

fn cannot(reason: impl std::fmt::Display) -> QueryError {
    QueryError::new(code::CANNOT_DECOMPRESS, format_args!("Cannot decompress: {reason}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(method: u8, data: &[u8], size: u32) -> Vec<u8> {
        let mut rest = vec![method];
        rest.extend_from_slice(&(data.len() as u32 + 9).to_le_bytes());
        rest.extend_from_slice(&size.to_le_bytes());
        rest.extend_from_slice(data);
        let checksum = cityhash_rs::cityhash_102_128(&rest).rotate_right(64);
        [checksum.to_le_bytes().as_slice(), &rest].concat()
    }

    #[test]
    fn reads_blocks_however_they_are_cut() {
        let plain = vec![7u8; 5000];
        let packed = lz4_flex::block::compress(&plain);
        let body = [block(METHOD_LZ4, &packed, 5000), block(METHOD_NONE, b"tail", 4)].concat();
        for step in [1, 7, 24, 25, body.len()] {
            let (mut decoder, mut out) = (BlockDecoder::default(), Vec::new());
            for piece in body.chunks(step) {
                decoder.push(piece);
                while let Some(data) = decoder.next_block().unwrap() {
                    out.extend_from_slice(&data);
                }
            }
            decoder.finish().unwrap();
            assert_eq!(out, [plain.as_slice(), b"tail"].concat());
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let good = block(METHOD_NONE, b"money", 5);
        for position in [0, 16, 26, good.len() - 1] {
            let mut bad = good.clone();
            bad[position] ^= 1;
            let mut decoder = BlockDecoder::default();
            decoder.push(&bad);
            assert_eq!(decoder.next_block().unwrap_err().code, code::CHECKSUM_DOES_NOT_MATCH, "byte {position}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let cases = [
            (block(0x90, b"zstd", 4), code::UNKNOWN_CODEC),
            (block(METHOD_NONE, b"four", 5), code::CANNOT_DECOMPRESS),
            (block(METHOD_LZ4, b"\xff\xff\xff", 40), code::CANNOT_DECOMPRESS),
            (block(METHOD_NONE, b"x", u32::MAX), code::CANNOT_DECOMPRESS),
        ];
        for (body, expected) in cases {
            let mut decoder = BlockDecoder::default();
            decoder.push(&body);
            assert_eq!(decoder.next_block().unwrap_err().code, expected);
        }
    }

    #[test]
    fn half_a_block_at_the_end_is_an_error() {
        let mut decoder = BlockDecoder::default();
        decoder.push(&block(METHOD_NONE, b"money", 5)[..20]);
        assert_eq!(decoder.next_block().unwrap(), None);
        assert!(decoder.finish().is_err());
    }
}

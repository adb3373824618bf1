//! The webhook edge: what happens between a provider's request and its answer.
//!
//! One request passes these steps, in [`receive`], and stops at the first that refuses it:
//!
//! 1. the body is complete and not too large ([`limits`] bounds all bodies in memory);
//! 2. the endpoint is known ([`directory`], an in-memory snapshot; no database is asked);
//! 3. the [`signature`] is right, over the raw bytes;
//! 4. the event is minimised ([`minimise`]): what [`allow_list`] names is kept, the rest is dropped;
//! 5. the record is durable in the event log;
//! 6. only then the answer is 200.
//!
//! The edge never recognises repeats: every copy is appended, the fold knows them. No look-up
//! and no other network call happens before the answer.
pub mod allow_list;
pub mod client_address;
pub mod directory;
pub mod failed;
mod fields;
pub mod limits;
pub mod minimise;
pub mod receive;
pub mod refusal;
pub mod signature;
mod transcode;

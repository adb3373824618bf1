//! How the edge says no: one enum for its whole HTTP surface.

use crate::directory::EndpointMissing;
use crate::minimise::MinimiseError;
use crate::signature::SignatureError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use store::event_log::LogError;

/// Seconds after which an overloaded edge may be asked again.
const OVERLOAD_RETRY_SECONDS: u64 = 5;

/// Why a request is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is larger than the limit.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The connection broke, or the body did not come in time.
    #[error("the body is incomplete: {0}")]
    Incomplete(String),
    /// No such endpoint, or nobody knows yet.
    #[error(transparent)]
    Endpoint(#[from] EndpointMissing),
    /// Not signed by the provider with a secret of this endpoint.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Signed, but not an event.
    #[error(transparent)]
    Malformed(#[from] MinimiseError),
    /// This client failed too often.
    #[error("too many failing requests of this client")]
    TooManyFailures {
        /// When it may fail again.
        retry_after_seconds: u64,
    },
    /// The memory for bodies is used up.
    #[error("the memory for bodies is used up")]
    NoRoom,
    /// The endpoint's budget of verified deliveries is used up.
    #[error("the endpoint's budget of deliveries is used up")]
    EndpointBudget {
        /// When it has room again.
        retry_after_seconds: u64,
    },
    /// The log did not store it, or not in time.
    #[error("the delivery is not stored: {0}")]
    NotStored(#[from] LogError),
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Incomplete(_) | Refusal::Signature(_) | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::Endpoint(EndpointMissing::Unknown) => StatusCode::NOT_FOUND,
            Refusal::TooManyFailures { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Endpoint(EndpointMissing::NotLoaded)
            | Refusal::NoRoom
            | Refusal::EndpointBudget { .. }
            | Refusal::NotStored(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A stable word for programs.
    pub fn tag(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "too_large",
            Refusal::Incomplete(_) => "incomplete_body",
            Refusal::Endpoint(EndpointMissing::Unknown) => "unknown_endpoint",
            Refusal::Endpoint(EndpointMissing::NotLoaded) => "starting",
            Refusal::Signature(SignatureError::Missing) => "missing_signature",
            Refusal::Signature(SignatureError::EmptyBody) => "empty_body",
            Refusal::Signature(SignatureError::Malformed(_) | SignatureError::Mismatch) => "bad_signature",
            Refusal::Signature(SignatureError::TooOld { .. } | SignatureError::InFuture { .. }) => "stale_signature",
            Refusal::Malformed(_) => "malformed",
            Refusal::TooManyFailures { .. } => "too_many_failures",
            Refusal::NoRoom | Refusal::EndpointBudget { .. } => "overloaded",
            Refusal::NotStored(_) => "not_stored",
        }
    }

    /// A sentence for people. It never carries a cause.
    pub fn public_text(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "The body is too large for a webhook event.",
            Refusal::Incomplete(_) => "The body did not arrive completely. Send the event again.",
            Refusal::Endpoint(EndpointMissing::Unknown) => {
                "There is no such webhook endpoint. Copy its URL from the connection page."
            }
            Refusal::Endpoint(EndpointMissing::NotLoaded) => "The service is starting. Send the event again.",
            Refusal::Signature(SignatureError::Missing) => "The signature header is missing.",
            Refusal::Signature(SignatureError::EmptyBody) => "The body is empty.",
            Refusal::Signature(SignatureError::Malformed(_) | SignatureError::Mismatch) => {
                "The signature does not match this endpoint's signing secret. Compare the secret with the provider's."
            }
            Refusal::Signature(SignatureError::TooOld { .. } | SignatureError::InFuture { .. }) => {
                "The signature is right, but its time is too far from ours."
            }
            Refusal::Malformed(_) => "The body is signed, but it is not a readable event.",
            Refusal::TooManyFailures { .. } => "Too many failing requests from this address.",
            Refusal::NoRoom | Refusal::EndpointBudget { .. } => "The service is busy. Send the event again later.",
            Refusal::NotStored(_) => "The event could not be stored. Send it again later.",
        }
    }

    /// The value of the `outcome` label.
    pub fn outcome(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "too_large",
            Refusal::Endpoint(EndpointMissing::Unknown) => "unknown",
            Refusal::Signature(_) => "bad_signature",
            Refusal::Malformed(_) | Refusal::Incomplete(_) => "malformed",
            Refusal::TooManyFailures { .. } => "limited",
            Refusal::NoRoom | Refusal::EndpointBudget { .. } => "overload",
            Refusal::Endpoint(EndpointMissing::NotLoaded) | Refusal::NotStored(_) => "error",
        }
    }

    /// Whether the client is to blame, so that the request counts against its address.
    pub fn is_failing(&self) -> bool {
        match self {
            Refusal::TooLarge { .. }
            | Refusal::Incomplete(_)
            | Refusal::Endpoint(EndpointMissing::Unknown)
            | Refusal::Signature(_)
            | Refusal::Malformed(_) => true,
            Refusal::TooManyFailures { .. }
            | Refusal::Endpoint(EndpointMissing::NotLoaded)
            | Refusal::NoRoom
            | Refusal::EndpointBudget { .. }
            | Refusal::NotStored(_) => false,
        }
    }

    /// Whether the request was signed by the provider: what comes before the signature, anybody can send.
    pub fn is_of_signed(&self) -> bool {
        match self {
            Refusal::Malformed(_) | Refusal::EndpointBudget { .. } | Refusal::NotStored(_) => true,
            Refusal::TooLarge { .. }
            | Refusal::Incomplete(_)
            | Refusal::Endpoint(_)
            | Refusal::Signature(_)
            | Refusal::TooManyFailures { .. }
            | Refusal::NoRoom => false,
        }
    }

    /// When to try again, for the `Retry-After` header.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Refusal::TooManyFailures { retry_after_seconds } | Refusal::EndpointBudget { retry_after_seconds } => {
                Some(*retry_after_seconds)
            }
            Refusal::Endpoint(EndpointMissing::NotLoaded) | Refusal::NoRoom | Refusal::NotStored(_) => {
                Some(OVERLOAD_RETRY_SECONDS)
            }
            Refusal::TooLarge { .. }
            | Refusal::Incomplete(_)
            | Refusal::Endpoint(EndpointMissing::Unknown)
            | Refusal::Signature(_)
            | Refusal::Malformed(_) => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = format!(r#"{{"error":{{"code":"{}","message":"{}"}}}}"#, self.tag(), self.public_text());
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status(), [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // The rest of such a body is not read, so the connection cannot be used again.
        if matches!(self, Refusal::TooLarge { .. } | Refusal::Incomplete(_) | Refusal::NoRoom) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

//! The errors of the JSON API. The text never carries a cause; the cause is logged here, once.

use crate::services::{RangeError, ReportError};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::warehouse::WarehouseError;

/// What a request can end in besides its answer.
#[derive(Debug)]
pub enum ApiError {
    /// A parameter cannot be used.
    BadParameter {
        /// Which.
        field: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// No key, or one that is not known.
    Unauthorized,
    /// No purchase or delivery with this name.
    NotFound {
        /// What was looked for, in words.
        what: &'static str,
    },
    /// No such route.
    NoSuchRoute,
    /// Not a GET.
    ReadOnly,
    /// The key's budget is used up.
    TooManyRequests {
        /// When one request is free again.
        retry_after_seconds: u64,
    },
    /// A store does not answer now.
    Unavailable(anyhow::Error),
    /// A defect.
    Internal(anyhow::Error),
}

impl ApiError {
    /// A parameter cannot be used.
    pub(crate) fn bad_parameter(field: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError::BadParameter { field: field.into(), message: message.into() }
    }

    /// The tag programs look at.
    pub fn code(&self) -> &'static str {
        match self {
            ApiError::BadParameter { .. } => "bad_parameter",
            ApiError::Unauthorized => "unauthorized",
            ApiError::NotFound { .. } => "not_found",
            ApiError::NoSuchRoute => "no_such_route",
            ApiError::ReadOnly => "method_not_allowed",
            ApiError::TooManyRequests { .. } => "too_many_requests",
            ApiError::Unavailable(_) => "unavailable",
            ApiError::Internal(_) => "internal",
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::BadParameter { .. } => StatusCode::BAD_REQUEST,
            ApiError::Unauthorized => StatusCode::UNAUTHORIZED,
            ApiError::NotFound { .. } | ApiError::NoSuchRoute => StatusCode::NOT_FOUND,
            ApiError::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            ApiError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text for people.
    pub fn public_message(&self) -> String {
        match self {
            ApiError::BadParameter { message, .. } => message.clone(),
            ApiError::Unauthorized => {
                "send `Authorization: Bearer <key>` with a key of this workspace; make one with `affilitrack api-key`"
                    .into()
            }
            ApiError::NotFound { what } => format!("there is no {what} with this name in the key's workspace and mode"),
            ApiError::NoSuchRoute => "there is no such route; the routes are listed in docs/API.md".into(),
            ApiError::ReadOnly => "the API only reads; use GET".into(),
            ApiError::TooManyRequests { retry_after_seconds } => {
                format!("this key has used up its budget; try again in {retry_after_seconds} s")
            }
            ApiError::Unavailable(_) => "the figures cannot be read right now; try again in a few seconds".into(),
            ApiError::Internal(_) => "something went wrong on our side; it was logged".into(),
        }
    }

    /// The parameter to change.
    pub fn field(&self) -> Option<&str> {
        match self {
            ApiError::BadParameter { field, .. } => Some(field),
            ApiError::Unauthorized
            | ApiError::NotFound { .. }
            | ApiError::NoSuchRoute
            | ApiError::ReadOnly
            | ApiError::TooManyRequests { .. }
            | ApiError::Unavailable(_)
            | ApiError::Internal(_) => None,
        }
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            ApiError::TooManyRequests { retry_after_seconds } => Some(*retry_after_seconds),
            ApiError::Unavailable(_) => Some(5),
            ApiError::BadParameter { .. }
            | ApiError::Unauthorized
            | ApiError::NotFound { .. }
            | ApiError::NoSuchRoute
            | ApiError::ReadOnly
            | ApiError::Internal(_) => None,
        }
    }

    /// Logs what a person has to look at.
    fn log(&self) {
        match self {
            ApiError::Internal(cause) => {
                tracing::error!(cause = format!("{cause:#}"), "a request of the JSON API failed: {cause:#}")
            }
            ApiError::Unavailable(cause) => {
                tracing::warn!(cause = format!("{cause:#}"), "a request of the JSON API found no answer: {cause:#}");
            }
            ApiError::BadParameter { .. }
            | ApiError::Unauthorized
            | ApiError::NotFound { .. }
            | ApiError::NoSuchRoute
            | ApiError::ReadOnly
            | ApiError::TooManyRequests { .. } => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let mut error = json!({"code": self.code(), "message": self.public_message()});
        if let Some(field) = self.field() {
            error["field"] = field.into();
        }
        let mut response = (self.status(), Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, ApiError::Unauthorized) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<RangeError> for ApiError {
    fn from(error: RangeError) -> ApiError {
        ApiError::bad_parameter(error.field(), error.to_string())
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> ApiError {
        match error {
            ReportError::Range(range) => range.into(),
            ReportError::Cursor(cursor) => ApiError::bad_parameter("cursor", cursor.to_string()),
            ReportError::Filter { field, message } => ApiError::bad_parameter(field, message),
            ReportError::Warehouse(WarehouseError::TooManyRows { limit, .. }) => ApiError::bad_parameter(
                "from",
                format!("the answer has more than {limit} groups; ask for a shorter range or a coarser grouping"),
            ),
            ReportError::Warehouse(error) if error.is_retryable() => ApiError::Unavailable(error.into()),
            ReportError::Warehouse(error) => ApiError::Internal(error.into()),
            ReportError::Source(error) => ApiError::Internal(error),
        }
    }
}

//! From `Authorization: Bearer <key>` to a scope.

use super::JsonApi;
use super::error::ApiError;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::scope::TenantScope;

/// The longest key that is looked up, in bytes.
const MAX_KEY_BYTES: usize = 200;

/// The scope of the request's key. Handlers take it as an argument; nothing else gives one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope(pub TenantScope);

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Scope, ApiError> {
        parts.extensions.get::<Scope>().copied().ok_or(ApiError::Unauthorized)
    }
}

/// Lets a request through whose key is known and within its budget.
pub(crate) async fn require_key(State(api): State<Arc<JsonApi>>, mut request: Request, next: Next) -> Response {
    let (scope, key_hash) = match resolve(&api, request.headers()).await {
        Ok(found) => found,
        Err(error) => return error.into_response(),
    };
    let standing = api.budgets.check(key_hash);
    let mut response = match standing.retry_after_seconds {
        Some(seconds) => ApiError::TooManyRequests { retry_after_seconds: seconds }.into_response(),
        None => {
            request.extensions_mut().insert(Scope(scope));
            next.run(request).await
        }
    };
    standing.write_headers(response.headers_mut());
    response
}

async fn resolve(api: &JsonApi, headers: &HeaderMap) -> Result<(TenantScope, [u8; 32]), ApiError> {
    let key = bearer_key(headers).ok_or(ApiError::Unauthorized)?;
    let scope = api.keys.scope_of_key(key).await.map_err(ApiError::Internal)?.ok_or(ApiError::Unauthorized)?;
    // The budget's key is a hash, so that no secret lies in its table.
    Ok((scope, Sha256::digest(key.as_bytes()).into()))
}

fn bearer_key(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && key.len() <= MAX_KEY_BYTES).then_some(key)
}

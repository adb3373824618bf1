//! How often one address may try to sign in. Links are random and codes count their own tries; this keeps somebody from
//! filling the table of sign-ins, and other people's mailboxes.

use crate::config::Config;
use api::budget::{BudgetLimits, Budgets};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use ingest::client_address::{ClientKey, client_of};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use web::error::PageError;

/// Counts who tries.
pub struct Door {
    trusted_proxies: Vec<IpNet>,
    budgets: Budgets<ClientKey>,
}

impl Door {
    /// As configured.
    pub fn new(config: &Config) -> Arc<Door> {
        let per_minute = NonZeroU32::new(config.web.sign_ins_per_minute).unwrap_or(NonZeroU32::MIN);
        Arc::new(Door {
            trusted_proxies: config.server.trusted_proxies.clone(),
            budgets: Budgets::new(BudgetLimits { per_minute, burst: per_minute }),
        })
    }
}

/// Whether a request can sign somebody in, or makes us write a mail.
fn is_try(method: &Method, path: &str) -> bool {
    let is_form = ["/sign-in", "/portal/sign-in", "/portal/link/"].iter().any(|start| path.starts_with(start));
    let is_link = path == "/open" || path.starts_with("/sign-in/openid");
    is_link || (is_form && *method == Method::POST)
}

/// Lets a request through unless its client tried too often.
pub async fn count_tries(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if is_try(request.method(), request.uri().path()) {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let client = client_of(peer, request.headers(), &door.trusted_proxies);
        if let Some(retry_after_seconds) = door.budgets.check(client).retry_after_seconds {
            return web::refuse(PageError::TooOften { retry_after_seconds }).await;
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signs_in_or_writes_mail_is_counted() {
        let counted = [
            (Method::POST, "/sign-in"),
            (Method::POST, "/sign-in/code"),
            (Method::POST, "/sign-in/link/abc"),
            (Method::POST, "/portal/sign-in"),
            (Method::POST, "/portal/link/abc"),
            (Method::GET, "/open"),
            (Method::GET, "/sign-in/openid"),
            (Method::GET, "/sign-in/openid/callback"),
        ];
        for (method, path) in counted {
            assert!(is_try(&method, path), "{method} {path}");
        }
        let free = [
            (Method::GET, "/sign-in"),
            (Method::GET, "/sign-in/link/abc"),
            (Method::GET, "/portal"),
            (Method::POST, "/sign-out"),
            (Method::POST, "/acme/affiliates"),
        ];
        for (method, path) in free {
            assert!(!is_try(&method, path), "{method} {path}");
        }
    }
}

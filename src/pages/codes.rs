//! Codes that a provider told of and nobody was given, out of the fold's catalogue.

use super::{Pages, failed, store_failed};
use async_trait::async_trait;
use domain::catalogue::CatalogueEntry;
use domain::decision::MapCode;
use domain::decisions::fold_code;
use domain::ids::ConnectionId;
use domain::story::Scope;
use std::collections::HashSet;
use store::fold_store::FoldStore;
use web::backend::{BackendError, Place};
use web::codes::*;

/// Entries that are read at a time, and at most for one page: who has more narrows the search.
const SLICE: usize = 1_000;
const MOST_READ: usize = 50_000;
/// What is looked through, in this order.
const KINDS: [&str; 2] = ["promo", "coupon"];

/// What was given to somebody, or to nobody on purpose.
#[derive(Default)]
struct Given {
    texts: HashSet<String>,
    promotion_codes: HashSet<String>,
    coupons: HashSet<String>,
}

impl Given {
    fn new(mappings: &[MapCode]) -> Given {
        let mut all = Given::default();
        for map in mappings {
            all.texts.extend(map.code.as_deref().map(fold_code));
            all.promotion_codes.extend(map.promotion_code_id.clone());
            all.coupons.extend(map.coupon_id.clone());
        }
        all
    }

    /// The code of an entry, if nobody has it and it can be used at all.
    fn free(&self, key: &str, entry: &CatalogueEntry) -> Option<FreeCode> {
        if let Some(id) = key.strip_prefix("promo:") {
            let text = entry.code()?;
            let coupon = entry.coupon().unwrap_or_default();
            // Who has the coupon has its uses without a code, and no code of it.
            let is_given = self.texts.contains(&fold_code(text)) || self.promotion_codes.contains(id);
            let free = FreeCode { text: text.into(), promotion_code: id.into(), coupon: coupon.into() };
            return (!is_given).then_some(free);
        }
        let id = key.strip_prefix("coupon:")?;
        // With promotion codes of its own it is given by those.
        let is_free = entry.listed && entry.promotion_codes.is_empty() && !self.coupons.contains(id);
        is_free.then(|| FreeCode { text: String::new(), promotion_code: String::new(), coupon: id.into() })
    }
}

/// Where a page goes on: after this entry of this connection.
struct Mark {
    connection: u64,
    key: String,
}

impl Mark {
    fn read(text: &str) -> Option<Mark> {
        let (connection, key) = text.split_once('.')?;
        Some(Mark { connection: connection.parse().ok()?, key: key.to_owned() })
    }

    fn written(connection: ConnectionId, key: &str) -> String {
        format!("{connection}.{key}")
    }
}

struct Looking<'a> {
    given: &'a Given,
    search: String,
    limit: usize,
    left: usize,
    found: FreeCodes,
}

impl Looking<'_> {
    fn fits(&self, code: &FreeCode) -> bool {
        [&code.text, &code.coupon, &code.promotion_code].into_iter().any(|text| fold_code(text).contains(&self.search))
    }

    /// Looks through one connection from a key on. False: the page is full, or enough was read.
    fn through(&mut self, fold: &dyn FoldStore, scope: Scope, from: &str) -> anyhow::Result<bool> {
        for kind in KINDS {
            // Promotion codes come first although `coupon` would in the order of keys.
            if kind == "promo" && from.starts_with("coupon:") {
                continue;
            }
            let mut after = from.to_owned();
            if !after.starts_with(kind) {
                after.clear();
            }
            loop {
                let slice = fold.catalogue_page(scope, kind, &after, SLICE)?;
                let Some((last, _)) = slice.last() else { break };
                after.clone_from(last);
                let is_last = slice.len() < SLICE;
                for (key, entry) in &slice {
                    if self.found.codes.len() == self.limit || self.left == 0 {
                        return Ok(false);
                    }
                    self.left -= 1;
                    if let Some(code) = self.given.free(key, entry).filter(|code| self.fits(code)) {
                        self.found.codes.push(code);
                    }
                    self.found.next = Some(Mark::written(scope.connection, key));
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl Codes for Pages {
    async fn free_codes(
        &self,
        place: &Place,
        search: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<FreeCodes, BackendError> {
        let tenant = self.scope(place).await?;
        let mappings = self.app.control.mappings(&tenant).await.map_err(store_failed("read whose codes are"))?;
        let connections = self.app.control.connections(&tenant).await.map_err(store_failed("read connections"))?;
        let mut open: Vec<ConnectionId> =
            connections.iter().filter(|one| one.closed_at.is_none()).map(|one| one.connection).collect();
        open.sort();
        let mark = after.and_then(Mark::read);
        let (fold, search) = (self.app.fold.clone(), fold_code(search));
        let looked = tokio::task::spawn_blocking(move || -> anyhow::Result<FreeCodes> {
            let given = Given::new(&mappings);
            let mut looking = Looking { given: &given, search, limit, left: MOST_READ, found: FreeCodes::default() };
            for connection in open {
                let from = match &mark {
                    Some(mark) if connection.0 < mark.connection => continue,
                    Some(mark) if connection.0 == mark.connection => mark.key.as_str(),
                    _ => "",
                };
                let scope = Scope { vendor: tenant.vendor(), connection, mode: tenant.mode() };
                if !looking.through(fold.as_ref(), scope, from)? {
                    return Ok(looking.found);
                }
            }
            Ok(FreeCodes { next: None, ..looking.found })
        });
        let looked = looked.await.map_err(anyhow::Error::from).map_err(failed("read the codes"))?;
        looked.map_err(failed("read the codes"))
    }
}

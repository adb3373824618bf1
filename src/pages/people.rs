//! Affiliates, codes and rules over the real services.

use super::{Pages, failed, refused};
use crate::in_log::wait_until_in_log;
use api::ledger::{Previewed, preview};
use api::people::Roster;
use async_trait::async_trait;
use domain::ids::Mode;
use store::control::input::DecisionInput;
use web::backend::{BackendError, FormError, SessionCookie};
use web::people::People;

/// Longer lists than one form makes are on their way when the page comes: a log that is shared takes them one by one.
const WAITED_FOR: usize = 100;

#[async_trait]
impl People for Pages {
    async fn roster(&self, cookie: &SessionCookie, vendor: &str) -> Result<Roster, BackendError> {
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let roster = Roster::read(self.app.control.as_ref(), &scope).await;
        roster.map_err(anyhow::Error::from).map_err(failed("read the affiliates"))
    }

    async fn decide(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        decisions: Vec<DecisionInput>,
    ) -> Result<(), FormError> {
        let session = self.open(cookie).await?;
        // Only whoever may open the workspace may decide in it.
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let (actor, now) = (session.actor(), (self.app.clock)());
        let is_waited_for = decisions.len() <= WAITED_FOR;
        self.app.control.decide(scope.vendor(), decisions, &actor, now).await.map_err(refused("write the decision"))?;
        // A sale that is delivered after the page says "done" comes after the decision.
        if is_waited_for {
            wait_until_in_log(self.app.control.as_ref(), scope.vendor())
                .await
                .map_err(refused("write the decision"))?;
        }
        Ok(())
    }

    async fn preview(
        &self,
        cookie: &SessionCookie,
        vendor: &str,
        decisions: Vec<DecisionInput>,
    ) -> Result<Previewed, FormError> {
        let scope = self.scope_in(cookie, vendor, Mode::Live).await?;
        let found = preview(&self.app.ledger.0, &scope, decisions).await;
        found.map_err(failed("find out what would change"))?.map_err(refused("find out what would change"))
    }
}

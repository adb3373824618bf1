//! The demo of a person: made when they sign in for the first time, theirs alone, removed when they leave it.

use super::{complete, workspace};
use crate::reading::Reading;
use std::sync::Arc;
use std::time::Duration;
use store::control::Session;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Demos that are filled at the same time; the others wait for their turn.
const AT_ONCE: usize = 2;
/// So many there may be; whoever comes then begins without one.
const MOST: usize = 1_000;
/// How often filling one is tried, and the pause between: the edge may start after the pages.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(3);
/// One that was begun longer ago than this and is not complete stays as it is, in milliseconds.
const UNFINISHED_MS: i64 = 24 * 60 * 60 * 1_000;

/// Gives people their demos.
pub struct OwnDemos {
    app: Arc<Reading>,
    edge: String,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
}

impl OwnDemos {
    /// Fills them through the edge at this address, until told to stop.
    pub fn new(app: Arc<Reading>, edge: String, stop: CancellationToken) -> OwnDemos {
        OwnDemos { app, edge, turns: Arc::new(Semaphore::new(AT_ONCE)), stop }
    }

    /// Makes the demo of somebody who has just signed up, and begins to fill it. Without one they begin with the form
    /// that makes a workspace, so a failure is logged and nothing more.
    pub async fn give(&self, session: &Session) {
        match self.make(session).await {
            Ok(Some(slug)) => drop(tokio::spawn(fill(
                self.app.clone(),
                self.edge.clone(),
                slug,
                self.turns.clone(),
                self.stop.clone(),
            ))),
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %error, "somebody begins without a demo workspace: {error:#}"),
        }
    }

    async fn make(&self, session: &Session) -> anyhow::Result<Option<String>> {
        let Some(person) = session.person() else { return Ok(None) };
        let control = &self.app.control;
        if control.own_demos().await?.len() >= MOST {
            tracing::warn!("somebody begins without a demo workspace: there are {MOST} already");
            return Ok(None);
        }
        let new = workspace(&format!("demo-{}", person.0));
        let made = control.open_workspace(session, new, (self.app.clock)()).await?;
        Ok(Some(made.slug))
    }
}

async fn fill(app: Arc<Reading>, edge: String, slug: String, turns: Arc<Semaphore>, stop: CancellationToken) {
    let filled = async {
        let _turn = turns.acquire().await;
        for _ in 0..TRIES {
            match complete(&app, &edge, &slug).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(slug, error = %error, "a demo workspace is not complete: {error:#}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = filled => {}
        () = stop.cancelled() => {}
    }
}

/// What a process began that has ended since.
pub(super) async fn complete_unfinished(app: &Reading, edge: &str) -> anyhow::Result<()> {
    let since = (app.clock)().0 - UNFINISHED_MS;
    for demo in app.control.own_demos().await?.into_iter().filter(|demo| demo.created_at.0 > since) {
        // One that cannot be filled keeps no other from it.
        if let Err(error) = complete(app, edge, &demo.slug).await {
            tracing::warn!(slug = demo.slug, error = %error, "a demo workspace is not complete: {error:#}");
        }
    }
    Ok(())
}

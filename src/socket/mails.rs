//! What the local control socket does with outgoing mail.

use super::operations::ACTOR;
use super::protocol::{MailRow, MailsCall, RetriedAnswer, RetryMailsCall};
use super::{Failure, Local};
use store::control::{ControlError, MailFilter, MailInfo, MailState};

/// Most mails of one call.
const MAX_IDS: usize = 1_000;

impl Local {
    pub(super) async fn mails(&self, call: MailsCall) -> Result<Vec<MailRow>, Failure> {
        let state = match &call.state {
            None => None,
            Some(name) => Some(MailState::named(name).ok_or_else(|| invalid("state", "there is no such state"))?),
        };
        let filter = MailFilter { state, kind: call.kind, before: call.before };
        let mails = self.app.control.list_mails(filter, call.limit).await?;
        Ok(mails.into_iter().map(row).collect())
    }

    pub(super) async fn retry_mails(&self, call: RetryMailsCall) -> Result<RetriedAnswer, Failure> {
        let (control, now) = (&self.app.control, (self.app.clock)());
        if let Some(kind) = &call.failed {
            let retried = control.retry_failed_mails(kind, ACTOR, now).await?;
            return Ok(RetriedAnswer { retried, problems: Vec::new() });
        }
        if call.ids.len() > MAX_IDS {
            return Err(invalid("ids", "at most 1000 mails at once"));
        }
        let mut answer = RetriedAnswer { retried: 0, problems: Vec::new() };
        for id in call.ids {
            match control.retry_mail(id, call.may_arrive_twice, ACTOR, now).await {
                Ok(()) => answer.retried += 1,
                Err(ControlError::Invalid { message, .. }) => answer.problems.push(message),
                Err(error @ ControlError::NotFound(_)) => answer.problems.push(error.to_string()),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(answer)
    }
}

fn invalid(field: &str, message: &str) -> Failure {
    Failure::from(ControlError::Invalid { field: field.to_owned(), message: message.to_owned() })
}

fn row(mail: MailInfo) -> MailRow {
    MailRow {
        id: mail.id,
        state: mail.state.name().to_owned(),
        kind: mail.kind,
        recipient: mail.recipient,
        tries: mail.tries,
        reason: mail.error,
        created_at: mail.created_at,
        due_at: mail.due_at,
        finished_at: mail.finished_at,
    }
}

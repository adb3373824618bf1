//! `affilitrack mail`: what became of outgoing mail, and sending it again.

use crate::cli::MailCommand;
use crate::socket::protocol::{MailRow, RetriedAnswer, RetryMailsCall};
use crate::socket_client::{call, escaped};
use domain::ids::Timestamp;
use hyper::Method;
use serde_json::Value;
use std::path::Path;

const NO_BODY: Option<&Value> = None;

/// Lists or retries.
pub async fn run(socket: &Path, command: MailCommand) -> anyhow::Result<()> {
    match command {
        MailCommand::List { state, kind, before, limit, json } => {
            let mut path = format!("/v1/mails?limit={limit}");
            let filters = [("state", state), ("kind", kind), ("before", before.map(|id| id.to_string()))];
            for (name, value) in filters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                path.push_str(&format!("&{name}={}", escaped(&value)));
            }
            let rows: Vec<MailRow> = call(socket, Method::GET, &path, NO_BODY).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&rows)?);
            } else {
                print!("{}", table(&rows));
            }
        }
        MailCommand::Retry { ids, failed, may_arrive_twice } => {
            let request = RetryMailsCall { ids, failed, may_arrive_twice };
            let answer: RetriedAnswer = call(socket, Method::POST, "/v1/mails/retry", Some(&request)).await?;
            for problem in &answer.problems {
                eprintln!("{problem}");
            }
            println!("{} will be sent again.", counted(answer.retried));
            anyhow::ensure!(answer.problems.is_empty(), "{} left as they are", answer.problems.len());
        }
    }
    Ok(())
}

fn counted(mails: u64) -> String {
    if mails == 1 { "1 mail".to_owned() } else { format!("{mails} mails") }
}

fn table(rows: &[MailRow]) -> String {
    let mut text = format!(
        "{:>8}  {:<9} {:<18} {:>5}  {:<24}  {:<32}  why\n",
        "id", "state", "kind", "tries", "when", "recipient"
    );
    for row in rows {
        let when = row.when_words(&moment);
        text.push_str(&format!(
            "{:>8}  {:<9} {:<18} {:>5}  {:<24}  {:<32}  {}\n",
            row.id, row.state, row.kind, row.tries, when, row.recipient, row.reason
        ));
    }
    let shown = rows.len() as u64;
    text.push_str(&format!("{} shown\n", counted(shown)));
    text
}

/// A time to the second, in UTC.
fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_when_it_was_sent_or_will_be_tried() {
        let waiting = MailRow {
            id: 7,
            state: "waiting".into(),
            kind: "spike".into(),
            recipient: "maya@example.com".into(),
            tries: 2,
            reason: "the server is busy".into(),
            created_at: Timestamp(0),
            due_at: Timestamp(60_000),
            finished_at: None,
        };
        let sent = MailRow { id: 8, state: "sent".into(), finished_at: Some(Timestamp(1_000)), ..waiting.clone() };
        let text = table(&[waiting, sent]);
        assert!(text.contains("1970-01-01 00:01:00Z") && text.contains("1970-01-01 00:00:01Z"), "{text}");
        assert!(text.contains("the server is busy") && text.ends_with("2 mails shown\n"), "{text}");
    }
}

//! The commands that talk to the running process through its local socket.

use crate::cli::{ApiKeyArgs, ConnectArgs, DecideArgs, ExplainArgs, RefusedCommand};
use crate::config::Secret;
use crate::socket::protocol::*;
use crate::socket_client::{call, escaped};
use anyhow::Context;
use domain::ids::Mode;
use hyper::Method;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// The largest decide file.
const MAX_FILE_BYTES: u64 = 64 << 20;
const NO_BODY: Option<&Value> = None;
/// Said when the log could not be written within the wait.
const NOT_IN_LOG: &str =
    "accepted; not yet in the log, so that what is delivered now may be booked without it first and moved later";

/// `-` reads a secret from standard input, so that it does not stay in the shell's history.
fn secret(given: &Secret) -> anyhow::Result<String> {
    if given.expose() != "-" {
        return Ok(given.expose().to_owned());
    }
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).context("standard input")?;
    Ok(text.trim().to_owned())
}

/// `affilitrack connect`
pub async fn connect(socket: &Path, arguments: ConnectArgs) -> anyhow::Result<()> {
    let request = ConnectCall {
        vendor: arguments.vendor,
        provider: arguments.provider.into(),
        secret: secret(&arguments.secret)?,
        key: arguments.key.as_ref().map(secret).transpose()?,
        api_base: arguments.api_base.map(|url| url.to_string()),
        account: arguments.account,
        complete_history: arguments.complete_history,
        mode: arguments.mode.map(Into::into),
    };
    let has_key = request.key.is_some();
    let answer: ConnectAnswer = call(socket, Method::POST, "/v1/connect", Some(&request)).await?;
    println!(
        "Workspace {} is connected. Give the provider this endpoint URL:\n\n  {}\n",
        answer.vendor, answer.endpoint_url
    );
    if !answer.in_log {
        println!("The connection is {NOT_IN_LOG}.");
    }
    if !has_key {
        println!(
            "Without a restricted key nothing can be looked up: codes that events do not name stay waiting. Add one with --key."
        );
    }
    Ok(())
}

/// `affilitrack decide`
pub async fn decide(socket: &Path, arguments: DecideArgs) -> anyhow::Result<()> {
    let mut text = String::new();
    if arguments.file.as_os_str() == "-" {
        std::io::stdin().take(MAX_FILE_BYTES).read_to_string(&mut text).context("standard input")?;
    } else {
        let file = std::fs::File::open(&arguments.file)
            .with_context(|| format!("cannot read {}", arguments.file.display()))?;
        file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    }
    let content: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", arguments.file.display()))?;
    let in_file = content["vendor"].as_str().map(str::to_owned);
    let vendor =
        arguments.vendor.or(in_file).context("whose decisions? Add --vendor, or a member `vendor` to the file")?;
    let decisions = if content.is_array() { content } else { content["decisions"].clone() };
    let answer: DecideAnswer =
        call(socket, Method::POST, "/v1/decide", Some(&DecideCall { vendor, decisions })).await?;
    let state = if answer.in_log { "in force" } else { NOT_IN_LOG };
    println!("Decisions {} to {} are {state}.", answer.first_seq, answer.last_seq);
    Ok(())
}

/// `affilitrack explain`
pub async fn explain(socket: &Path, arguments: ExplainArgs) -> anyhow::Result<()> {
    let mut path = format!("/v1/explain?purchase={}", escaped(&arguments.purchase));
    if let Some(vendor) = &arguments.vendor {
        path.push_str(&format!("&vendor={}", escaped(vendor)));
    }
    if let Some(mode) = arguments.mode {
        path.push_str(&format!("&mode={}", Mode::from(mode).name()));
    }
    if arguments.json {
        let answer: Value = call(socket, Method::GET, &path, NO_BODY).await?;
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let answer: Value = call(socket, Method::GET, &path, NO_BODY).await?;
    print_explanation(&answer);
    Ok(())
}

/// Prints an explanation as text: one section per question a person asks.
fn print_explanation(answer: &Value) {
    let purchase = &answer["purchase"];
    let currency = purchase["currency"].as_str().unwrap_or("");
    println!("{}  {}", text(&purchase["business_key"]), text(&purchase["outcome"]));
    section("Events", &answer["events"], |event| {
        format!("{:<32} {:<42} {}", text(&event["event_type"]), text(&event["event_id"]), text(&event["outcome"]))
    });
    section("Discount", &answer["attribution"], text);
    println!("\nMapping\n  {}\n\nRule\n  {}", or_none(&answer["mapping"]), or_none(&answer["rule"]));
    section("Base (minor units)", &answer["waterfall"], |step| {
        let mark = if step["is_total"] == true { "=" } else { " " };
        format!("{mark} {:<28} {:>16} {currency}", text(&step["label"]), text(&step["amount"]))
    });
    section("Rounding", &answer["rounding"], text);
    section("Lines", &answer["lines"], |line| {
        format!(
            "{:<14} {:<12} {:<16} net {:>12} commission {:>12} {currency}",
            text(&line["id"]),
            text(&line["kind"]),
            text(&line["affiliate"]),
            text(&line["net"]),
            text(&line["commission"])
        )
    });
}

fn section(title: &str, list: &Value, row: impl Fn(&Value) -> String) {
    println!("\n{title}");
    let rows = list.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        println!("  none");
    }
    for one in rows {
        println!("  {}", row(one));
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn or_none(value: &Value) -> String {
    Some(text(value)).filter(|words| !words.is_empty()).unwrap_or_else(|| "none".to_owned())
}

/// `affilitrack refused`
pub async fn refused(socket: &Path, command: RefusedCommand) -> anyhow::Result<()> {
    match command {
        RefusedCommand::List { vendor, json } => {
            let listed: Vec<Value> =
                call(socket, Method::GET, &format!("/v1/refused?vendor={}", escaped(&vendor)), NO_BODY).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&listed)?);
                return Ok(());
            }
            println!("{:>12}  {:<8}  {:<34}  why", "offset", "outcome", "event type");
            for one in &listed {
                println!(
                    "{:>12}  {:<8}  {:<34}  {}",
                    text(&one["offset"]),
                    text(&one["outcome"]),
                    text(&one["event_type"]),
                    text(&one["reason"])
                );
            }
            println!("{} open", listed.len());
        }
        RefusedCommand::Show { vendor, offset } => {
            let record: Value =
                call(socket, Method::GET, &format!("/v1/refused/{offset}?vendor={}", escaped(&vendor)), NO_BODY)
                    .await?;
            println!("{}", serde_json::to_string_pretty(&record)?);
        }
        RefusedCommand::Retry { vendor, offsets } => {
            hand_in(socket, vendor, json!([{"decide": "retry", "offsets": offsets}])).await?
        }
        RefusedCommand::Waive { vendor, reason, offsets } => {
            hand_in(socket, vendor, json!([{"decide": "waive", "offsets": offsets, "reason": reason}])).await?;
        }
    }
    Ok(())
}

async fn hand_in(socket: &Path, vendor: String, decisions: Value) -> anyhow::Result<()> {
    let answer: DecideAnswer =
        call(socket, Method::POST, "/v1/decide", Some(&DecideCall { vendor: vendor.clone(), decisions })).await?;
    let done = if answer.in_log { "Done" } else { "Accepted; not yet in the log" };
    println!("{done}. See `affilitrack refused list --vendor {vendor}` for what is still open.");
    Ok(())
}

/// `affilitrack login`
pub async fn login(socket: &Path) -> anyhow::Result<()> {
    let answer: UrlAnswer = call(socket, Method::POST, "/v1/login", NO_BODY).await?;
    println!("Open {}", answer.url);
    Ok(())
}

/// `affilitrack api-key`
pub async fn api_key(socket: &Path, arguments: ApiKeyArgs) -> anyhow::Result<()> {
    let request = ApiKeyCall { vendor: arguments.vendor, mode: arguments.mode.into(), name: arguments.name };
    let answer: ApiKeyAnswer = call(socket, Method::POST, "/v1/api-keys", Some(&request)).await?;
    println!("{}", answer.key);
    Ok(())
}

//! A thousand mails through the real binary to a real mail server, while the process is killed again and again: each
//! arrives once, or is listed as possibly sent.

use crate::instance::Instance;
use loadtest::chaos::clocks;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::control::{MailId, MailQueue, NewMail, SIGN_IN_KIND, SqliteControlStore};
use store::secrets::{MasterKeys, SecretText, system_random};

const MAILS: usize = 1_000;
/// It is killed when so many mails have arrived.
const KILLED_AT: [usize; 5] = [1, 150, 400, 650, 900];
/// Each start has its clock so many seconds ahead of the one before: what a killed process had in its hands is given up
/// after two minutes, and nobody waits that long.
const STEP_SECONDS: i64 = 180;
const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/services/mail");
const INSTRUCTION: &str = "there is no mail server for the tests; run: bash scripts/services/mail.sh start";
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOKS: usize = 60_000;

/// How the product reaches the server.
fn settings() -> Vec<(String, String)> {
    let address = std::fs::read_to_string(Path::new(PLACE).join("address")).expect(INSTRUCTION);
    let port = address.split_whitespace().nth(1).expect(INSTRUCTION);
    let authority = Path::new(PLACE).join("ca.pem");
    [
        ("AFFILITRACK_MAIL_HOST", "localhost"),
        ("AFFILITRACK_MAIL_PORT", port),
        ("AFFILITRACK_MAIL_TLS_CA_FILE", authority.to_str().unwrap()),
        ("AFFILITRACK_MAIL_FROM", "AffiliTrack <mail@track.example>"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Puts the mails into the queue of an instance that does not run. Returns their addresses, which no other run has.
async fn write_mails(data_dir: &Path) -> Vec<String> {
    let mut run = [0; 6];
    system_random()(&mut run).unwrap();
    let keys = MasterKeys::load(None, &data_dir.join("master.key"), system_random().as_ref()).unwrap();
    let store = SqliteControlStore::open(&data_dir.join("control.db"), keys, system_random()).unwrap();
    let now = domain::ids::Timestamp(crate::instance::seconds_now() * 1_000);
    let run: String = run.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut addresses = Vec::with_capacity(MAILS);
    for number in 0..MAILS {
        let address = format!("m{number}-{run}@example.com");
        let content =
            json!({"mail": "sign_in", "link": "https://track.example/x", "code": "123456", "minutes": 15, "site": "x"});
        let mail = NewMail {
            vendor: None,
            cause: MailId(format!("restart:{number}")),
            kind: SIGN_IN_KIND,
            recipient: address.clone(),
            content: SecretText::new(content.to_string()),
        };
        assert!(store.enqueue_mail(mail, now).await.unwrap());
        addresses.push(address);
    }
    addresses
}

/// How many messages came to an address.
fn arrived(address: &str) -> usize {
    let folder: PathBuf = Path::new(PLACE).join("inbox").join(address);
    let files = std::fs::read_dir(folder).into_iter().flatten();
    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "eml")).count()
}

async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so().await {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("it never came to this: {what}");
}

async fn list(it: &Instance, more: &[&str]) -> Vec<Value> {
    let arguments = [&["mail", "list", "--json", "--limit", "500"], more].concat();
    let (succeeded, text) = it.command(&arguments).await;
    assert!(succeeded, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Every mail's state by its address, page by page.
async fn states(it: &Instance) -> BTreeMap<String, String> {
    let mut states = BTreeMap::new();
    let mut before = u64::MAX.to_string();
    loop {
        let filter = ["--before", before.as_str()];
        let page = list(it, if states.is_empty() { &[] } else { &filter }).await;
        let Some(last) = page.last() else { return states };
        before = last["id"].to_string();
        let word = |mail: &Value, name: &str| mail[name].as_str().unwrap().to_owned();
        states.extend(page.iter().map(|mail| (word(mail, "recipient"), word(mail, "state"))));
    }
}

#[tokio::test]
async fn of_a_thousand_mails_each_arrives_once_or_is_listed_as_possibly_sent() {
    let environment = settings();
    let mut it = Instance::start_with(&[]).await;
    it.product.kill().await.unwrap();
    let addresses = write_mails(&it.data_dir()).await;
    let count = || addresses.iter().map(|address| arrived(address)).sum::<usize>();
    for (starts, killed_at) in KILLED_AT.into_iter().enumerate() {
        let clock = clocks::ahead(it.folder.path(), STEP_SECONDS * (starts as i64 + 1)).await.unwrap();
        it.set_environment([environment.clone(), clock].concat());
        it.start_again().await;
        wait_until("mails arrive", async || count() >= killed_at).await;
        it.product.kill().await.unwrap();
    }
    let clock = clocks::ahead(it.folder.path(), STEP_SECONDS * (KILLED_AT.len() as i64 + 1)).await.unwrap();
    it.set_environment([environment, clock].concat());
    it.start_again().await;
    let open = ["waiting", "claimed", "sending"];
    wait_until("nothing is under way", async || {
        let mut under_way = 0;
        for state in open {
            under_way += list(&it, &["--state", state]).await.len();
        }
        under_way == 0
    })
    .await;
    let states = states(&it).await;
    assert_eq!(states.len(), MAILS);
    let (mut sent, mut unsure) = (0, 0);
    for address in &addresses {
        match (states[address].as_str(), arrived(address)) {
            ("sent", 1) => sent += 1,
            ("unsure", 0 | 1) => unsure += 1,
            (state, times) => panic!("{address} is {state} and arrived {times} times"),
        }
    }
    println!("{sent} sent, {unsure} possibly sent");
    assert!(unsure <= KILLED_AT.len(), "a process hands over one mail at a time");
    // One that may have arrived goes out again only if somebody says so.
    if let Some(mail) = list(&it, &["--state", "unsure"]).await.first() {
        let id = mail["id"].to_string();
        let (succeeded, text) = it.command(&["mail", "retry", &id]).await;
        assert!(!succeeded && text.contains("--may-arrive-twice"), "{text}");
        let (succeeded, text) = it.command(&["mail", "retry", &id, "--may-arrive-twice"]).await;
        assert!(succeeded && text.contains("1 mail will be sent again"), "{text}");
        let address = mail["recipient"].as_str().unwrap();
        wait_until("it is sent", async || {
            list(&it, &["--state", "unsure"]).await.iter().all(|one| one["id"] != mail["id"])
        })
        .await;
        wait_until("it arrived", async || arrived(address) >= 1).await;
    }
    let (_, text) = it.command(&["mail", "list", "--limit", "3"]).await;
    assert!(text.contains("sign_in") && !text.contains("123456") && !text.contains("track.example/x"), "{text}");
}

//! The mail worker over the real queue: once, later, never, perhaps.

use super::*;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use store::control::{MailState, SqliteControlStore};
use store::mail::HandOver;
use store::secrets::{MasterKeys, system_random};
use tempfile::TempDir;

const NOW: i64 = 1_790_000_000_000;

/// How often each message was handed over; what happens is in the beginning of its address.
#[derive(Clone, Default)]
struct Post(Arc<Mutex<BTreeMap<String, u32>>>);

impl Post {
    fn count(&self) -> u32 {
        self.0.lock().unwrap().values().sum()
    }
}

struct Door {
    post: Post,
    recipient: String,
}

#[async_trait]
impl MailTransport for Post {
    async fn prepare(&self, recipient: &MailAddress) -> Result<Box<dyn HandOver>, MailError> {
        match recipient.as_str() {
            address if address.starts_with("busy") => Err(MailError::Later("come again".into())),
            address if address.starts_with("refused") => Err(MailError::Refused("nobody is here".into())),
            address => Ok(Box::new(Door { post: self.clone(), recipient: address.to_owned() })),
        }
    }
}

#[async_trait]
impl HandOver for Door {
    async fn hand_over(self: Box<Self>, name: &str, message: &[u8]) -> Result<(), MailError> {
        assert!(String::from_utf8_lossy(message).contains(&format!("To: {}", self.recipient)));
        *self.post.0.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        // A server takes its time; whoever waits may be stopped here.
        tokio::task::yield_now().await;
        if self.recipient.starts_with("cut") { Err(MailError::Unsure("no answer".into())) } else { Ok(()) }
    }
}

struct Plain;

impl Typeset for Plain {
    fn letter(&self, mail: &Mail) -> Result<Letter, TypesetError> {
        let Mail::SignIn(letter) = mail else { return Err("only sign-ins are tested".into()) };
        Ok(Letter {
            subject: "Hello".into(),
            text: letter.code.clone(),
            html: String::new(),
            picture: None,
            unsubscribe: None,
        })
    }
}

struct Scene {
    queue: Arc<dyn ControlStore>,
    post: Post,
    now: Arc<AtomicI64>,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let keys = MasterKeys::from_bytes(&[[7; 32]]);
        let queue = SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap();
        let now = Arc::new(AtomicI64::new(NOW));
        Scene { queue: Arc::new(queue), post: Post::default(), now, _folder: folder }
    }

    fn worker(&self) -> MailWorker {
        let now = self.now.clone();
        MailWorker {
            queue: self.queue.clone(),
            transport: Arc::new(self.post.clone()),
            typeset: Arc::new(Plain),
            sender: Sender::parse("mail@track.example").unwrap(),
            clock: Arc::new(move || Timestamp(now.load(Ordering::Relaxed))),
        }
    }

    fn wait(&self, minutes: i64) {
        self.now.fetch_add(minutes * MINUTE_MS, Ordering::Relaxed);
    }

    async fn write(&self, address: &str, cause: &str) {
        let mail = Mail::SignIn(SignInLetter {
            link: "https://track.example/x".into(),
            code: "123456".into(),
            minutes: 15,
            site: "track.example".into(),
        });
        let queued = mail.queued(None, &MailAddress::parse(address).unwrap(), MailId(cause.to_owned()));
        self.queue.enqueue_mail(queued, Timestamp(NOW)).await.unwrap();
    }

    async fn round(&self) -> usize {
        self.worker().round(&CancellationToken::new()).await.unwrap()
    }

    async fn in_state(&self, state: MailState) -> usize {
        self.queue.mails(state, None, 500).await.unwrap().len()
    }
}

#[tokio::test]
async fn each_end_is_noted_for_what_it_is() {
    let scene = Scene::new();
    for address in ["maya@example.com", "refused@example.com", "cut@example.com", "busy@example.com"] {
        scene.write(address, address).await;
    }
    assert_eq!(scene.round().await, 4);
    let ends = [MailState::Sent, MailState::Failed, MailState::Unsure, MailState::Waiting];
    for state in ends {
        assert_eq!(scene.in_state(state).await, 1, "{state:?}");
    }
    scene.wait(1_000_000);
    scene.round().await;
    assert_eq!(scene.post.count(), 2, "what is unsure is not sent again by itself");
}

#[tokio::test]
async fn what_is_not_taken_is_tried_less_and_less_often_and_then_given_up() {
    let scene = Scene::new();
    scene.write("busy@example.com", "a").await;
    for minutes in PAUSES_MINUTES {
        assert_eq!(scene.round().await, 1);
        scene.wait(minutes - 1);
        assert_eq!(scene.round().await, 0, "not before its time");
        scene.wait(1);
    }
    assert_eq!(scene.round().await, 1);
    let failed = scene.queue.mails(MailState::Failed, None, 10).await.unwrap();
    assert!(failed[0].error.contains("given up after 9 tries: come again"), "{}", failed[0].error);
}

#[tokio::test]
async fn a_sign_in_overtakes_summaries_and_a_sort_of_the_future_waits() {
    let scene = Scene::new();
    let mail = |kind: &'static str, number: usize| NewMail {
        vendor: None,
        cause: MailId(format!("{kind} {number}")),
        kind,
        recipient: "maya@example.com".into(),
        // What it says is a sign-in, because these tests have letters for nothing else.
        content: SecretText::new("{\"mail\":\"sign_in\",\"link\":\"x\",\"code\":\"1\",\"minutes\":15,\"site\":\"x\"}"),
    };
    for number in 0..40 {
        scene.queue.enqueue_mail(mail(SUMMARY_KIND, number), Timestamp(NOW)).await.unwrap();
    }
    scene.queue.enqueue_mail(mail("of_the_future", 1), Timestamp(NOW)).await.unwrap();
    assert_eq!(scene.round().await, BULK_AT_ONCE);
    scene.write("maya@example.com", "a").await;
    assert_eq!(scene.round().await, 1 + BULK_AT_ONCE);
    let sent = scene.queue.mails(MailState::Sent, None, 100).await.unwrap();
    assert!(sent.iter().any(|mail| mail.kind == SIGN_IN_KIND), "it did not wait for the others");
    while scene.round().await > 0 {}
    let waiting = scene.queue.mails(MailState::Waiting, None, 100).await.unwrap();
    assert_eq!(waiting.iter().map(|mail| mail.kind.as_str()).collect::<Vec<_>>(), ["of_the_future"]);
}

#[tokio::test]
async fn a_mail_that_cannot_be_read_is_listed_and_holds_up_nobody() {
    let scene = Scene::new();
    let broken = NewMail {
        vendor: None,
        cause: MailId("broken".into()),
        kind: "sign_in",
        recipient: "maya@example.com".into(),
        content: SecretText::new("{\"mail\":\"of_the_future\"}"),
    };
    scene.queue.enqueue_mail(broken, Timestamp(NOW)).await.unwrap();
    scene.write("maya@example.com", "a").await;
    assert_eq!(scene.round().await, 2);
    assert_eq!((scene.in_state(MailState::Failed).await, scene.in_state(MailState::Sent).await), (1, 1));
}

/// The worker is cut off at each of its waits in turn, as a killed process is, and another one goes on.
#[tokio::test]
async fn of_a_thousand_mails_each_is_sent_once_or_listed_however_often_the_worker_dies() {
    let scene = Scene::new();
    for number in 0..1_000 {
        scene.write(&format!("maya{number}@example.com"), &format!("mail {number}")).await;
    }
    let mut deaths = 0;
    while scene.in_state(MailState::Waiting).await + scene.in_state(MailState::Claimed).await > 0 {
        let worker = scene.worker();
        let running = tokio::spawn(async move { worker.run(&CancellationToken::new()).await });
        // Somewhere in a round: how far it gets differs from time to time.
        for _ in 0..=(deaths * 7) % 97 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(200 * (deaths % 50))).await;
        running.abort();
        deaths += 1;
        scene.wait(3);
        assert!(deaths < 100_000, "it gets nowhere");
    }
    scene.round().await;
    let handed_over = scene.post.0.lock().unwrap().clone();
    assert!(handed_over.values().all(|times| *times == 1), "nothing is sent twice");
    let mut sent = 0;
    let mut before = None;
    loop {
        let page = scene.queue.mails(MailState::Sent, before, 500).await.unwrap();
        let Some(last) = page.last() else { break };
        (sent, before) = (sent + page.len(), Some(last.id));
    }
    let unsure = scene.in_state(MailState::Unsure).await;
    println!("{deaths} workers, {sent} sent, {unsure} possibly sent");
    assert_eq!(sent + unsure, 1_000);
    assert!(handed_over.len() >= sent && handed_over.len() <= sent + unsure);
    assert!(deaths > 1, "no worker was cut off");
}

//! Summaries over the real control store and log, with fixed figures: when, to whom, once.

use super::*;
use api::model::{Bucket, Dashboard, DateRange, GroupTotals, OutcomeCounts, SeriesPoint, Totals, Watermark};
use api::services::ReportError;
use async_trait::async_trait;
use domain::ids::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use store::control::{
    MailChoices, MailInfo, MailQueue, MailState, NewMail, NewVendor, People, Portal, Role, SignInMail,
    SqliteControlStore,
};
use store::event_log::NewRecord;
use store::fold_store::Visible;
use store::live::Hold;
use store::local_log::LocalLog;
use store::scope::TenantScope;
use store::secrets::{MasterKeys, SecretText, system_random};

/// The first of November, 08:00 in Berlin.
const DUE: &str = "2026-11-01T07:00:00Z";
const HOUR: i64 = 3_600_000;

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// 1,000.00 USD for the vendor, 200.00 of it an affiliate's; nothing while it is quiet.
#[derive(Default)]
struct Fixed {
    is_quiet: AtomicBool,
}

#[async_trait]
impl MonthFigures for Fixed {
    async fn month(&self, scope: &TenantScope, range: &DateRange) -> Result<Dashboard, ReportError> {
        assert_eq!((range.from.to_string(), range.to.to_string()), ("2026-10-01".into(), "2026-10-31".into()));
        let currency = domain::money::Currency::parse("usd").unwrap();
        let revenue = if scope.affiliate().is_some() { 20_000 } else { 100_000 };
        let totals = Totals {
            currency,
            redemptions: 3,
            conversions: 3,
            sales: 3,
            gross: revenue,
            revenue,
            refunded: 0,
            commission: revenue / 5,
        };
        let totals = if self.is_quiet.load(Ordering::Relaxed) { Vec::new() } else { vec![totals] };
        let day = SeriesPoint {
            starts_at: Timestamp(0),
            label: "1 Oct".into(),
            partial: false,
            redemptions: 3,
            revenue: vec![revenue],
            commission: vec![revenue / 5],
        };
        Ok(Dashboard {
            watermark: Watermark { generation: 1, partition: 0, next_offset: 0, as_of: Timestamp(0) },
            range: range.clone(),
            bucket: Bucket::Day,
            currencies: vec![currency],
            earlier: None,
            active_affiliates: 1,
            series: vec![day],
            affiliates: vec![GroupTotals {
                group: "aff_maya".into(),
                number: 1,
                label: "Maya".into(),
                totals: totals.clone(),
            }],
            codes: Vec::new(),
            feed: Vec::new(),
            outcomes: OutcomeCounts::default(),
            totals,
        })
    }
}

struct Scene {
    control: Arc<SqliteControlStore>,
    figures: Arc<Fixed>,
    log: Arc<LocalLog>,
    live: Arc<LiveHub>,
    now: Arc<AtomicI64>,
    vendor: VendorId,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// A vendor in Berlin with an owner, and an affiliate who came to the portal.
    async fn new(is_demo: bool) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let keys = MasterKeys::from_bytes(&[[7; 32]]);
        let control = SqliteControlStore::open(&folder.path().join("control.db"), keys, system_random()).unwrap();
        let log = LocalLog::open(&folder.path().join("log.db")).unwrap();
        let vendor = NewVendor { time_zone: "Europe/Berlin".into(), is_demo, ..NewVendor::named("acme") };
        let vendor = control.ensure_vendor(vendor, "test", Timestamp(0)).await.unwrap().id;
        let scene = Scene {
            control: Arc::new(control),
            figures: Arc::default(),
            log: Arc::new(log),
            live: Arc::new(LiveHub::new([], Box::new(|_| {}))),
            now: Arc::new(AtomicI64::new(at(DUE))),
            vendor,
            _folder: folder,
        };
        scene.owner("owner@example.com").await;
        scene.guest("aff_maya", "maya@example.com").await;
        scene
    }

    /// Another process on the same stores.
    fn process(&self) -> SummaryMail {
        let now = self.now.clone();
        SummaryMail {
            control: self.control.clone(),
            figures: self.figures.clone(),
            log: self.log.clone(),
            live: self.live.clone(),
            clock: Arc::new(move || Timestamp(now.load(Ordering::Relaxed))),
            public_url: "https://track.example".into(),
            ends: Mutex::default(),
        }
    }

    async fn owner(&self, email: &str) {
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        let mail: SignInMail = Box::new(move |secrets, cause| {
            said.send(secrets.link.expose().to_owned()).unwrap();
            test_mail(cause)
        });
        let (control, address) = (&self.control, MailAddress::parse(email).unwrap());
        control.ask_sign_in(&address, true, mail, Timestamp(0)).await.unwrap();
        let session = control.open_by_link(&heard.recv().unwrap(), "", Timestamp(0)).await.unwrap().unwrap();
        let person = session.person().unwrap();
        control.add_member(self.vendor, person, Role::Owner, "test", Timestamp(0)).await.unwrap();
    }

    async fn guest(&self, key: &str, email: &str) {
        let decision = serde_json::json!([{"decide": "affiliate", "key": key, "name": key, "email": email}]);
        let decision = serde_json::from_value(decision).unwrap();
        self.control.decide(self.vendor, decision, "test", Timestamp(0)).await.unwrap();
        let admin = store::control::LocalAdmin::for_local_socket();
        let scope = self.control.admin_scope(&admin, "acme", domain::ids::Mode::Live).await.unwrap().unwrap();
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        let mail = move |_: &store::control::PortalGuest, _, link: &SecretText, cause| {
            said.send(link.expose().to_owned()).unwrap();
            test_mail(cause)
        };
        self.control.invite(&scope, key, Box::new(mail), "test", Timestamp(0)).await.unwrap();
        self.control.open_portal(&heard.recv().unwrap(), Timestamp(0)).await.unwrap().unwrap();
    }

    async fn summaries(&self) -> Vec<MailInfo> {
        let mails = self.control.mails(MailState::Waiting, None, 100).await.unwrap();
        mails.into_iter().filter(|mail| mail.kind == "summary").collect()
    }
}

fn test_mail(cause: MailId) -> NewMail {
    let (recipient, content) = ("x@example.com".to_owned(), SecretText::new("x"));
    NewMail { vendor: None, cause, kind: "test", recipient, content }
}

#[tokio::test]
async fn each_reader_has_one_mail_however_many_processes_look_however_often() {
    let scene = Scene::new(false).await;
    scene.now.store(at(DUE) - 1, Ordering::Relaxed);
    assert_eq!(scene.process().round().await.unwrap(), 0, "a moment too early");
    scene.now.store(at(DUE), Ordering::Relaxed);
    let (one, other) = (scene.process(), scene.process());
    let (first, second) = tokio::join!(one.round(), other.round());
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    for hours in 0..73 {
        scene.now.store(at(DUE) + hours * HOUR, Ordering::Relaxed);
        assert_eq!(scene.process().round().await.unwrap(), 0);
    }
    let mails = scene.summaries().await;
    let mut sent: Vec<(&str, &str)> =
        mails.iter().map(|mail| (mail.recipient.as_str(), mail.cause.0.as_str())).collect();
    sent.sort_unstable();
    let vendor = scene.vendor;
    let causes = [format!("summary:{vendor}:2026-10:affiliate:1"), format!("summary:{vendor}:2026-10:person:1")];
    assert_eq!(sent, [("maya@example.com", causes[0].as_str()), ("owner@example.com", causes[1].as_str())]);
}

#[tokio::test]
async fn it_says_the_figures_of_its_reader_and_how_to_stop_it() {
    let scene = Scene::new(false).await;
    assert_eq!(scene.process().round().await.unwrap(), 1);
    let claimed = scene.control.claim_mails(&["summary"], 10, Timestamp(at(DUE))).await.unwrap();
    for mail in claimed {
        let Mail::Summary(letter) = serde_json::from_str(mail.content.expose()).unwrap() else {
            panic!("another sort of mail");
        };
        let is_theirs = mail.recipient == "maya@example.com";
        assert_eq!(letter.totals[0].revenue, if is_theirs { 20_000 } else { 100_000 });
        assert_eq!(letter.affiliate.as_deref(), is_theirs.then_some("aff_maya"));
        let page = if is_theirs { "portal?" } else { "acme/dashboard?mode=live&" };
        assert_eq!(letter.link, format!("https://track.example/{page}from=2026-10-01&to=2026-10-31"));
        let link = letter.unsubscribe.strip_prefix("https://track.example/account/unsubscribe/").unwrap();
        let linked = scene.control.unsubscribe(link, Timestamp(at(DUE))).await.unwrap().unwrap();
        assert_eq!(linked.topic, MailTopic::Summary);
    }
}

#[tokio::test]
async fn it_waits_until_what_arrived_can_be_read_and_goes_out_late() {
    let scene = Scene::new(false).await;
    let partition = partition_of(scene.vendor);
    let append = async || {
        scene.log.append(NewRecord { partition, bytes: b"{}".to_vec() }).await.unwrap();
    };
    let see = |next_offset| scene.live.announce(Vec::new(), &[(partition, Visible { next_offset, at: Timestamp(0) })]);
    append().await;
    let process = scene.process();
    assert_eq!(process.round().await.unwrap(), 0, "one record is not visible yet");
    // What arrives later belongs to another month: it is not waited for.
    append().await;
    scene.live.hold(partition, Visible::default());
    see(1);
    assert_eq!(process.round().await.unwrap(), 0, "figures are being rebuilt");
    scene.live.release(partition, &Default::default());
    scene.now.store(at(DUE) + 71 * HOUR, Ordering::Relaxed);
    assert_eq!(process.round().await.unwrap(), 1);
    assert_eq!(scene.summaries().await.len(), 2);
}

#[tokio::test]
async fn a_process_that_was_away_for_too_long_the_demo_and_an_empty_month_mail_nobody() {
    let late = Scene::new(false).await;
    late.now.store(at(DUE) + 72 * HOUR, Ordering::Relaxed);
    assert_eq!(late.process().round().await.unwrap(), 0);
    let demo = Scene::new(true).await;
    assert_eq!(demo.process().round().await.unwrap(), 0);
    let quiet = Scene::new(false).await;
    quiet.figures.is_quiet.store(true, Ordering::Relaxed);
    assert_eq!(quiet.process().round().await.unwrap(), 1, "done with, and nobody is told of nothing");
    quiet.figures.is_quiet.store(false, Ordering::Relaxed);
    assert_eq!(quiet.process().round().await.unwrap(), 0);
    for scene in [late, demo, quiet] {
        assert!(scene.summaries().await.is_empty());
    }
}

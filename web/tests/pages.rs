//! Every page over the sample backend, through the real router.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use domain::ids::{Mode, Timestamp};
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;
use web::render::CONTENT_SECURITY_POLICY;
use web::sample::{COOKIE, CSRF, OLD_COOKIE, PORTAL_COOKIE, PORTAL_LINK, SampleBackend, TOKEN};
use web::{App, Settings};

/// 21 November 2026, 12:03 in Berlin.
const NOW: Timestamp = Timestamp(1_795_258_989_000);

struct Site {
    backend: Arc<SampleBackend>,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Site {
    fn new() -> Site {
        Site::with(|settings| settings)
    }

    fn with(change: impl FnOnce(Settings) -> Settings) -> Site {
        let backend = SampleBackend::new(Arc::new(|| NOW));
        let settings = change(Settings::new(Arc::new(|| NOW)));
        let router = web::router(App::new(backend.clone(), settings));
        Site { backend, router }
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(with_session(path).body(Body::empty()).unwrap()).await
    }

    async fn ok(&self, path: &str) -> Answer {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let request =
            with_session(path).method("POST").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    async fn first_purchase(&self) -> String {
        let page = self.ok("/acme/redemptions?outcome=credited").await.body;
        let start = page.find("/acme/purchases/").expect("the sample has credited purchases");
        page[start..].split('"').next().unwrap().replace("&#38;", "&")
    }
}

fn with_session(path: &str) -> axum::http::request::Builder {
    Request::get(path).header(header::COOKIE, format!("other=1; affilitrack_session={COOKIE}"))
}

fn header_text(answer: &Answer, name: header::HeaderName) -> &str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_page_is_whole_and_fetches_nothing_from_elsewhere() {
    let site = Site::new();
    let purchase = site.first_purchase().await;
    let pages = [
        "/demo/dashboard",
        "/acme/dashboard?range=90d&mode=live",
        "/acme/dashboard?from=2026-11-01&to=2026-11-01&bucket=hour",
        "/acme/dashboard?from=2020-01-01&to=2020-01-02",
        "/fresh/dashboard",
        "/acme/redemptions",
        "/acme/redemptions?q=nothing-like-it",
        "/fresh/redemptions",
        &purchase,
        "/demo/connections",
        "/acme/connections",
        "/fresh/connections?mode=test&connected=key",
        "/acme/alerts?mode=live",
        "/acme/alerts/00000000000000a1?mode=live",
        "/fresh/alerts",
        "/fresh/connections?connected=stripe",
    ];
    for path in pages {
        let answer = site.ok(path).await;
        let body = &answer.body;
        assert!(body.starts_with("<!doctype html>") && body.trim_end().ends_with("</html>"), "{path}");
        assert_eq!(header_text(&answer, header::CONTENT_SECURITY_POLICY), CONTENT_SECURITY_POLICY);
        assert_eq!(header_text(&answer, header::CACHE_CONTROL), "private, no-cache");
        assert_eq!(header_text(&answer, header::REFERRER_POLICY), "no-referrer");
        assert!(
            !body.contains("<style") && !body.contains(" style=") && !body.contains(" onclick="),
            "{path} has something inline"
        );
        assert_eq!(body.matches("<script").count(), 1, "{path}");
        assert_eq!(body.matches("<h1").count(), 1, "{path}");
        for attribute in ["href=\"", "src=\"", "action=\"", "hx-get=\"", "data-refresh=\"", "data-live=\""] {
            for value in body.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(
                    value.starts_with('/') && !value.starts_with("//") || value.starts_with('#'),
                    "{path}: {attribute}{value}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_dashboard_shows_figures_feed_and_outcomes() {
    let site = Site::new();
    let body = site.ok("/demo/dashboard").await.body;
    for part in [
        "23 Sep – 21 Nov 2026",
        "nothing to compare with: no sale in the 60 days before",
        "Europe/Berlin",
        "Demo data",
        "Test mode",
        "As of 12:03",
        "id=\"figure-commission-usd\"",
        "id=\"chart-table\"",
        "(so far)",
        "data-watermark=\"62\"",
        "data-purchase=\"inv:in_1Q",
        "/demo/redemptions?mode=test&#38;outcome=waiting",
        "/demo/affiliates/aff_maya?mode=test&#38;range=60d",
    ] {
        assert!(body.contains(part), "{part} is missing");
    }
    let acme = site.ok("/acme/dashboard?range=90d").await.body;
    assert!(!acme.contains("Demo data") && acme.contains("EUR") && acme.contains("ZZZ minor units"));
    assert!(acme.contains("Live mode") && acme.contains("mode=test"), "both modes can be reached");
}

#[tokio::test]
async fn a_new_workspace_says_what_to_do() {
    let site = Site::new();
    assert!(site.ok("/fresh/dashboard").await.body.contains("No purchases yet"));
    assert!(site.ok("/fresh/redemptions").await.body.contains("No purchases yet"));
    assert!(site.ok("/fresh/connections").await.body.contains("Nothing is connected yet"));
    assert!(site.ok("/acme/redemptions?q=nothing").await.body.contains("No purchase matches these filters"));
}

#[tokio::test]
async fn the_explorer_filters_and_pages_by_key() {
    let site = Site::new();
    let first = site.ok("/acme/redemptions?currency=USD").await.body;
    assert_eq!(first.matches("<tr id=\"row-").count(), 50);
    let older = first
        .split("href=\"")
        .find(|rest| rest.contains("cursor="))
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&");
    assert!(older.contains("currency=USD"), "the next page keeps its filters: {older}");
    let second = site.ok(&older).await.body;
    let keys = |body: &str| -> Vec<String> {
        body.split("data-purchase=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    assert!(keys(&first).iter().all(|key| !keys(&second).contains(key)), "no row is on two pages");
    let rejected = site.ok("/acme/redemptions?outcome=rejected").await.body;
    assert!(rejected.contains("<option value=\"rejected\" selected>") && !rejected.contains("outcome-organic\""));
    for (path, field) in [
        ("outcome=won", "outcome"),
        ("currency=US", "currency"),
        ("cursor=x", "cursor"),
        ("mode=real", "mode"),
        (&format!("q={}", "a".repeat(201)), "q"),
    ] {
        let answer = site.get(&format!("/acme/redemptions?{path}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(answer.body.contains(&format!("“{field}”")), "{path}: {}", answer.body);
    }
}

/// The amounts of a column, in minor units.
fn column_sum(csv: &str, currency: &str, column: usize) -> i64 {
    let rows = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter(|cells| cells[3] == currency).map(|cells| cells[column].replace('.', "").parse::<i64>().unwrap()).sum()
}

#[tokio::test]
async fn what_affiliates_earned_can_be_taken_as_a_file() {
    let site = Site::new();
    let page = site.ok("/demo/dashboard?range=30d").await.body;
    for kind in ["csv", "xlsx"] {
        let href = format!("href=\"/demo/payouts.{kind}?mode=test&#38;from=2026-10-23&#38;to=2026-11-21\"");
        assert!(page.contains(&href), "{kind}: {page}");
    }
    let csv = site.ok("/demo/payouts.csv?mode=test&range=30d&bucket=hour").await;
    assert_eq!(header_text(&csv, header::CONTENT_TYPE), "text/csv; charset=utf-8");
    assert_eq!(header_text(&csv, header::CACHE_CONTROL), "private, no-store");
    let disposition = header_text(&csv, header::CONTENT_DISPOSITION);
    assert_eq!(disposition, "attachment; filename=\"demo-test-commission-2026-10-23-to-2026-11-21.csv\"");
    assert!(csv.body.starts_with("\u{feff}Affiliate,Key,E-mail,Currency,"), "{}", csv.body);
    assert!(csv.body.contains("\r\nMaya Lindqvist,aff_maya,,USD,"), "{}", csv.body);
    let figure = page.split("id=\"figure-commission-usd\"").nth(1).unwrap().split("data-tick>").nth(1).unwrap();
    let shown: i64 = figure.split('<').next().unwrap().replace(['.', ','], "").parse().unwrap();
    assert_eq!(column_sum(&csv.body, "USD", 7), shown, "the file adds up to the key figure");

    let request = with_session("/demo/payouts.csv?mode=test&range=30d").header(header::ACCEPT_ENCODING, "gzip");
    let packed = site.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(packed.into_body().collect().await.is_ok(), "a compressed file has an end too");

    let free = site.ok("/acme/payouts.csv?from=2026-11-01&to=2026-11-21&mode=live").await;
    let disposition = header_text(&free, header::CONTENT_DISPOSITION);
    assert_eq!(disposition, "attachment; filename=\"acme-commission-2026-11-01-to-2026-11-21.csv\"");
    assert!(free.body.contains(",EUR,") && free.body.contains(",USD,"), "{}", free.body);
    assert!(!site.ok("/fresh/dashboard").await.body.contains("payouts."), "nothing to take yet");
    assert_eq!(site.ok("/fresh/payouts.csv").await.body.lines().count(), 1, "an empty ledger gives the columns");
}

#[tokio::test]
async fn the_same_can_be_taken_as_a_workbook() {
    let site = Site::new();
    let request = with_session("/acme/payouts.xlsx?range=30d&mode=live").header(header::ACCEPT_ENCODING, "gzip");
    let response = site.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
    assert_eq!(
        headers[header::CONTENT_DISPOSITION],
        "attachment; filename=\"acme-commission-2026-10-23-to-2026-11-21.xlsx\""
    );
    assert!(!headers.contains_key(header::CONTENT_ENCODING), "it is compressed already");
    assert_eq!(headers[header::CONTENT_SECURITY_POLICY], CONTENT_SECURITY_POLICY);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.starts_with(b"PK\x03\x04"), "a workbook is a zip archive");
}

#[tokio::test]
async fn no_file_is_made_of_what_cannot_be_read() {
    let site = Site::new();
    for kind in ["csv", "xlsx"] {
        for (query, field) in [
            ("range=31d", "range"),
            ("from=2026-02-30&to=2026-03-01", "from"),
            ("from=2026-03-02&to=2026-03-01", "to"),
            ("from=2026-03-02", "to"),
            ("mode=real", "mode"),
        ] {
            let answer = site.get(&format!("/acme/payouts.{kind}?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind} {query}");
            assert!(answer.body.contains(&format!("“{field}”")), "{query}: {}", answer.body);
            assert!(!answer.headers.contains_key(header::CONTENT_DISPOSITION), "an error is a page, not a file");
        }
        assert_eq!(site.get(&format!("/globex/payouts.{kind}")).await.status, StatusCode::NOT_FOUND);
        let stranger = Request::get(format!("/acme/payouts.{kind}")).body(Body::empty()).unwrap();
        assert_eq!(site.ask(stranger).await.status, StatusCode::UNAUTHORIZED);
        site.backend.set_incomplete("acme", true);
        let rebuilt = site.get(&format!("/acme/payouts.{kind}")).await;
        assert_eq!(rebuilt.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(rebuilt.body.contains("Figures are being rebuilt"), "{}", rebuilt.body);
        site.backend.set_incomplete("acme", false);
    }
}

#[tokio::test]
async fn only_some_files_are_made_at_once() {
    let site = Site::new();
    let ask = || site.router.clone().oneshot(with_session("/acme/payouts.csv").body(Body::empty()).unwrap());
    // A file that fits into what may wait for the visitor is made at once, so permits are taken by asking side by side.
    let answers = futures::future::join_all((0..web::MOST_DOWNLOADS + 1).map(|_| ask())).await;
    let statuses: Vec<StatusCode> = answers.into_iter().map(|answer| answer.unwrap().status()).collect();
    let busy = statuses.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert_eq!(busy, 1, "{statuses:?}");
}

#[tokio::test]
async fn a_purchase_is_explained() {
    let site = Site::new();
    let path = site.first_purchase().await;
    let body = site.ok(&path).await.body;
    for part in [
        "From gross to commission",
        "How it was decided",
        "Ledger lines",
        "Sum of the lines",
        "What the provider told us",
        "invoice.paid",
        "<rect class=\"bar",
    ] {
        assert!(body.contains(part), "{part} is missing");
    }
    assert_eq!(site.get("/acme/purchases/inv:none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn text_from_outside_is_escaped() {
    let site = Site::new();
    let body = site.ok("/acme/redemptions?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await.body;
    assert!(!body.contains("<script>alert"), "what was searched for became markup");
    assert_eq!(body.matches("<script").count(), 1);
}

#[tokio::test]
async fn without_a_session_there_are_only_words() {
    let site = Site::new();
    for path in [
        "/",
        "/demo/dashboard",
        "/acme/redemptions",
        "/acme/purchases/x",
        "/acme/connections",
        "/acme/connections/1/disconnect",
        "/acme/settings",
        "/acme/alerts?mode=live",
        "/acme/alerts/00000000000000a1?mode=live",
        "/fresh/alerts",
        "/acme/live",
        "/foreign/dashboard",
    ] {
        for cookie in ["", "affilitrack_session=wrong", "affilitrack_session="] {
            let answer = site.ask(Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(
                answer.body.contains("You are not signed in here") && answer.body.contains("affilitrack login"),
                "{path}"
            );
            assert_eq!(header_text(&answer, header::CACHE_CONTROL), "private, no-store");
        }
    }
}

#[tokio::test]
async fn foreign_and_unknown_addresses_look_alike() {
    let site = Site::new();
    for path in [
        "/foreign/dashboard",
        "/foreign/redemptions",
        "/foreign/purchases/x",
        "/foreign/connections",
        "/foreign/connections/1/disconnect",
        "/acme/connections/99/disconnect",
        "/foreign/settings",
        "/foreign/codes",
        "/foreign/live?mode=test",
        "/nothing",
        "/assets/none.js",
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header_text(&answer, header::CONTENT_SECURITY_POLICY), CONTENT_SECURITY_POLICY, "{path}");
    }
}

#[tokio::test]
async fn a_one_time_link_opens_a_session() {
    let site = Site::with(|settings| Settings { secure_cookie: true, ..settings });
    let open = |path: String, cookie: &'static str| {
        Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap()
    };
    let answer = site.ask(open(format!("/open?token={TOKEN}"), "")).await;
    assert_eq!((answer.status, header_text(&answer, header::LOCATION)), (StatusCode::SEE_OTHER, "/"));
    let cookie = header_text(&answer, header::SET_COOKIE);
    for part in
        ["affilitrack_session=sample-session", "HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=2592000"]
    {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(site.ask(open("/open?token=used".into(), "")).await.status, StatusCode::GONE);
    assert_eq!(site.ask(open("/open".into(), "")).await.status, StatusCode::GONE);
    let again = site.ask(open("/open?token=used".into(), "affilitrack_session=sample-session")).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "the link clicked again lets a visitor in who has a session");
    assert_eq!(header_text(&site.get("/").await, header::LOCATION), "/acme/dashboard");
}

#[tokio::test]
async fn a_form_without_the_token_changes_nothing() {
    let site = Site::new();
    for csrf in ["", "csrf=wrong&", &format!("csrf={CSRF}x&")] {
        let answer = site.post("/fresh/connections", &format!("{csrf}secret=whsec_0123456789")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.body.contains("no longer valid"));
    }
    assert!(site.ok("/fresh/connections").await.body.contains("Nothing is connected yet"));
}

#[tokio::test]
async fn a_restricted_key_is_checked_and_never_sent_back() {
    let site = Site::new();
    let post = async |form: &str| site.post("/demo/connections/key", &format!("csrf={CSRF}&{form}")).await;
    let wrong = post("mode=test&workspace=Tiny+Tools&key=rk_live_1234567").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("id=\"restricted-error\">This is a live key, and this page shows test data."));
    assert!(wrong.body.contains("value=\"Tiny Tools\"") && !wrong.body.contains("rk_live_1234567"));
    let small = post("mode=test&workspace=Tiny+Tools&key=rk_test_small").await;
    assert_eq!(small.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(small.body.contains("<strong>Webhook Endpoints: Write</strong>"), "{}", small.body);
    let unknown = post("mode=test&workspace=Tiny+Tools&key=rk_test_unknown").await;
    assert!(unknown.body.contains("Stripe does not know this key.") && !unknown.body.contains("rk_test_unknown"));
    let forged = site.post("/demo/connections/key", "csrf=x&mode=test&workspace=Tiny+Tools&key=rk_test_1").await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(site.get("/tiny-tools/connections").await.status, StatusCode::NOT_FOUND, "nothing was made");
    let made = post("mode=test&workspace=Tiny+Tools&key=rk_test_1234567").await;
    assert_eq!(
        (made.status, header_text(&made, header::LOCATION)),
        (StatusCode::SEE_OTHER, "/tiny-tools/connections?mode=test&connected=key")
    );
}

#[tokio::test]
async fn reading_shows_its_bar_its_trouble_and_a_button() {
    let site = Site::new();
    let page = site.ok("/acme/connections").await.body;
    assert!(page.contains("<progress max=\"100\" value=\"") && page.contains("1,234 events so far, back to"));
    assert!(page.contains("It was tried 8 times.") && page.contains(">Try again</button>"));
    assert!(page.contains("Made by you at Stripe") && page.contains("<li>credit_note.voided</li>"));
    let again = |csrf: &str| format!("csrf={csrf}&mode=test&page_mode=live");
    let begun = site.post("/acme/connections/1/read", &again(CSRF)).await;
    assert_eq!(
        (begun.status, header_text(&begun, header::LOCATION)),
        (StatusCode::SEE_OTHER, "/acme/connections?mode=live")
    );
    assert_eq!(site.post("/acme/connections/1/read", &again("x")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.post("/acme/connections/9/read", &again(CSRF)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.post("/foreign/connections/1/read", &again(CSRF)).await.status, StatusCode::NOT_FOUND);
    let page = site.ok("/acme/codes").await.body;
    assert!(page.contains("NINA&#60;b&#62;20") && page.contains("BLACK FRIDAY"), "{page}");
    let nobody = site.post("/acme/codes", &format!("csrf={CSRF}&code=OMAR10&affiliate=")).await;
    assert!(nobody.status == StatusCode::UNPROCESSABLE_ENTITY && nobody.body.contains("Choose who gets the code."));
}

#[tokio::test]
async fn what_was_typed_is_kept_beside_its_error() {
    let site = Site::new();
    let answer =
        site.post("/demo/connections", &format!("csrf={CSRF}&workspace=Tiny+Tools&secret=rk_live_1&key=")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.body.contains("value=\"Tiny Tools\"") && answer.body.contains("value=\"rk_live_1\""));
    assert!(answer.body.contains("id=\"secret-error\">This is an API key."));
    assert_eq!(header_text(&answer, header::CACHE_CONTROL), "private, no-store");
    let refused = site.post("/fresh/connections", &format!("csrf={CSRF}&secret=whsec_already_used_elsewhere")).await;
    assert!(
        refused.body.contains("already belongs to another workspace"),
        "the backend's words stand beside the field"
    );
    let huge = site.post("/fresh/connections", &format!("csrf={CSRF}&secret={}", "a".repeat(20_000))).await;
    assert_eq!(huge.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_any_workspace_the_first_page_makes_one() {
    let backend = SampleBackend::empty(Arc::new(|| NOW));
    let router = web::router(App::new(backend.clone(), Settings::new(Arc::new(|| NOW))));
    let site = Site { backend, router };
    let home = site.get("/").await;
    assert_eq!((home.status, header_text(&home, header::LOCATION)), (StatusCode::SEE_OTHER, "/welcome"));
    let page = site.ok("/welcome").await.body;
    assert!(page.contains("Welcome to AffiliTrack") && page.contains("affilitrack connect stripe --vendor acme"));
    let forged = site.post("/welcome", "csrf=x&workspace=Acme&provider=stripe&secret=whsec_0123456789").await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let wrong = site.post("/welcome", &format!("csrf={CSRF}&workspace=&provider=paddle&secret=&key=")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("Give the workspace a name") && wrong.body.contains("Paste the signing secret"));
    assert!(wrong.body.contains("<option value=\"paddle\" selected>"), "what was chosen stays");
    let form = format!("csrf={CSRF}&workspace=Tiny+Tools&provider=paddle&secret=pdl_ntfset_01&key=");
    let made = site.post("/welcome", &form).await;
    assert_eq!(
        (made.status, header_text(&made, header::LOCATION)),
        (StatusCode::SEE_OTHER, "/tiny-tools/connections?connected=paddle")
    );
    let page = site.ok("/tiny-tools/connections?connected=paddle").await.body;
    assert!(page.contains("Paddle is connected.") && page.contains("Developer tools, Notifications"), "{page}");
}

#[tokio::test]
async fn connecting_opens_a_workspace_beside_the_demo() {
    let site = Site::new();
    let answer = site
        .post("/demo/connections", &format!("csrf={CSRF}&workspace=Tiny+Tools&secret=whsec_0123456789&key=rk_test_42"))
        .await;
    assert_eq!(
        (answer.status, header_text(&answer, header::LOCATION)),
        (StatusCode::SEE_OTHER, "/tiny-tools/connections?connected=stripe")
    );
    let page = site.ok("/tiny-tools/connections?connected=stripe").await.body;
    assert!(
        page.contains("Stripe is connected.")
            && page.contains("/webhooks/stripe/")
            && page.contains("Waiting for the first delivery")
    );
    assert!(!page.contains("whsec_0123456789") && !page.contains("rk_test_42"), "secrets are masked");
}

#[tokio::test]
async fn a_body_is_fetched_again_only_when_its_scope_changed() {
    let site = Site::new();
    let path = "/demo/dashboard?mode=test&range=60d&fragment=1";
    let page = site.ok("/demo/dashboard?mode=test").await.body;
    assert!(page.contains(&path.replace('&', "&#38;")), "the page knows where its body is");
    let body = site.ok(path).await;
    assert!(body.body.starts_with("<div id=\"page\""), "only the body: {}", &body.body[..80]);
    let etag = header_text(&body, header::ETAG).to_owned();
    assert!(page.contains(&etag.replace('"', "&#34;")), "the page already knows the tag {etag}");
    let ask = |tag: &str| with_session(path).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap();
    let unchanged = site.ask(ask(&etag)).await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let item = site.backend.add_purchase("demo", Mode::Test).unwrap();
    let changed = site.ask(ask(&etag)).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert!(changed.body.contains(&item.business_key) && changed.body.contains("data-watermark=\"63\""));
    assert_ne!(header_text(&changed, header::ETAG), etag);
    for path in ["/acme/redemptions?mode=live&fragment=1", "/acme/connections?mode=live&fragment=1"] {
        let etag = header_text(&site.ok(path).await, header::ETAG).to_owned();
        let again =
            site.ask(with_session(path).header(header::IF_NONE_MATCH, &etag).body(Body::empty()).unwrap()).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
    }
}

#[tokio::test]
async fn the_stream_tells_what_moved_and_is_limited() {
    let site = Site::with(|settings| Settings { max_streams: 1, ..settings });
    let open = || site.router.clone().oneshot(with_session("/demo/live?mode=test").body(Body::empty()).unwrap());
    let response = open().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "private, no-store");
    assert!(response.headers().get(header::CONTENT_ENCODING).is_none(), "a stream must not wait for a compressor");
    let mut body = response.into_body();
    let mut next = async || -> Bytes { body.frame().await.unwrap().unwrap().into_data().unwrap() };
    assert!(String::from_utf8_lossy(&next().await).contains("event: hello"));
    site.backend.add_purchase("acme", Mode::Live);
    site.backend.add_purchase("demo", Mode::Test);
    let moved = String::from_utf8(next().await.to_vec()).unwrap();
    assert_eq!(moved.trim(), "event: moved\ndata: {\"next_offset\":63}", "another vendor's signal is not told");
    let refused = open().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    drop(body);
    assert_eq!(open().await.unwrap().status(), StatusCode::OK, "a closed stream makes room");
}

#[tokio::test]
async fn assets_are_compressed_and_kept_for_ever() {
    let site = Site::new();
    for path in [web::assets::APP_JS, web::assets::CHART_JS, web::assets::STYLE_CSS, web::assets::ICON_SVG] {
        let plain = site.get(path).await;
        assert_eq!(
            (plain.status, header_text(&plain, header::CACHE_CONTROL)),
            (StatusCode::OK, "public, max-age=31536000, immutable"),
            "{path}"
        );
        let request =
            Request::get(path).header(header::ACCEPT_ENCODING, "gzip, deflate, br").body(Body::empty()).unwrap();
        let response = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip", "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(&[0x1f, 0x8b]) && body[2] == 8, "{path} is gzip once");
    }
}

#[tokio::test]
async fn ranges_that_cannot_be_used_are_named() {
    let site = Site::new();
    for (query, field) in [
        ("range=5d", "range"),
        ("from=2026-11-01", "to"),
        ("from=x&to=2026-11-02", "from"),
        ("range=12m&bucket=hour", "bucket"),
        ("range=7d&range=30d", "address"),
    ] {
        let answer = site.get(&format!("/demo/dashboard?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.body.contains(&format!("“{field}”")), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn pages_say_so_while_figures_are_being_rebuilt() {
    let site = Site::new();
    site.backend.set_incomplete("acme", true);
    for page in ["dashboard", "redemptions"] {
        assert!(site.ok(&format!("/acme/{page}")).await.body.contains("Figures are being rebuilt"), "{page}");
        assert!(
            !site.ok(&format!("/demo/{page}")).await.body.contains("Figures are being rebuilt"),
            "{page} of another"
        );
    }
    site.backend.set_incomplete("acme", false);
    assert!(!site.ok("/acme/dashboard").await.body.contains("Figures are being rebuilt"));
}

fn form(path: &str, site: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", site)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn signing_in_by_mail_takes_an_address_then_six_digits() {
    let site = Site::new();
    let asked = site.ask(Request::get("/sign-in").body(Body::empty()).unwrap()).await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("name=\"email\""));
    let wrong = site.ask(form("/sign-in", "same-origin", "email=%3Cmaya%3E")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("there is no @") && wrong.body.contains("&#60;maya&#62;"), "{}", wrong.body);
    let sent = site.ask(form("/sign-in", "same-origin", "email=maya%40example.com")).await;
    assert!(sent.body.contains("sample-ticket") && sent.body.contains("one-time-code"), "{}", sent.body);
    let code = |code: &str| format!("email=maya%40example.com&ticket=sample-ticket&code={code}");
    for (typed, said) in [("999999", "4 tries are left"), ("", "Type the six digits")] {
        let again = site.ask(form("/sign-in/code", "same-origin", &code(typed))).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(again.body.contains(said) && again.body.contains("sample-ticket"), "{}", again.body);
    }
    let opened = site.ask(form("/sign-in/code", "same-origin", &code("123456"))).await;
    assert_eq!(opened.status, StatusCode::SEE_OTHER);
    let cookie = opened.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains(COOKIE) && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let gone = site.ask(form("/sign-in/code", "same-origin", "ticket=other&code=123456")).await;
    assert!(gone.status == StatusCode::GONE && gone.body.contains("Sign in by e-mail"));
}

#[tokio::test]
async fn a_link_shows_a_button_and_opens_with_it_only() {
    let site = Site::new();
    for _ in 0..2 {
        let seen = site.ask(Request::get("/sign-in/link/sample-link").body(Body::empty()).unwrap()).await;
        assert!(seen.status == StatusCode::OK && seen.body.contains("maya@example.com"));
        assert!(!seen.headers.contains_key(header::SET_COOKIE), "opening it uses nothing up");
    }
    let opened = site.ask(form("/sign-in/link/sample-link", "same-origin", "")).await;
    assert!(opened.status == StatusCode::SEE_OTHER && opened.headers.contains_key(header::SET_COOKIE));
    for path in ["/sign-in/link/other", &format!("/sign-in/link/{}", "a".repeat(300))] {
        let seen = site.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((seen.status, site.ask(form(path, "none", "")).await.status), (StatusCode::GONE, StatusCode::GONE));
    }
}

#[tokio::test]
async fn an_old_cookie_is_followed_by_another_unless_the_answer_ends_the_session() {
    let site = Site::new();
    let old = |request: axum::http::request::Builder| {
        request.header(header::COOKIE, format!("affilitrack_session={OLD_COOKIE}"))
    };
    for path in ["/account", "/elsewhere/dashboard"] {
        let answer = site.ask(old(Request::get(path)).body(Body::empty()).unwrap()).await;
        let line = header_text(&answer, header::SET_COOKIE);
        assert!(line.starts_with(&format!("affilitrack_session={COOKIE}; ")), "{path}: {line}");
        assert!(line.contains("HttpOnly") && line.contains("Max-Age=2592000"), "{line}");
    }
    let fresh = site.ask(with_session("/account").body(Body::empty()).unwrap()).await;
    assert!(!fresh.headers.contains_key(header::SET_COOKIE));
    let out = old(Request::post("/sign-out")).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let out = site.ask(out.body(Body::from(format!("csrf={CSRF}"))).unwrap()).await;
    let lines: Vec<_> = out.headers.get_all(header::SET_COOKIE).iter().collect();
    assert!(lines.len() == 1 && lines[0].to_str().unwrap().contains("Max-Age=0"), "{lines:?}");
}

#[tokio::test]
async fn an_openid_provider_that_signs_nobody_in_is_named() {
    let site = Site::new();
    let said = [
        ("/sign-in", "Continue with Google"),
        ("/sign-in/openid", "Google does not answer"),
        ("/sign-in/openid/callback?code=unsure&state=x", "Google cannot vouch that maya@example.com is yours today"),
        ("/sign-in/openid/callback?code=unknown&state=x", "Nobody here has the address maya@example.com"),
        ("/sign-in/openid/callback?error=access_denied&state=x", "Google did not sign you in"),
    ];
    for (path, words) in said {
        let answer = site.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{path}");
    }
}

#[tokio::test]
async fn another_site_signs_nobody_in() {
    let site = Site::new();
    for (path, body) in [
        ("/sign-in", "email=maya%40example.com"),
        ("/sign-in/code", "ticket=sample-ticket&code=123456"),
        ("/sign-in/link/sample-link", ""),
    ] {
        for from in ["cross-site", "same-site"] {
            let answer = site.ask(form(path, from, body)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} from {from}");
            assert!(!answer.headers.contains_key(header::SET_COOKIE));
        }
    }
}

#[tokio::test]
async fn an_account_lists_its_sessions_and_signs_out() {
    let site = Site::new();
    let page = site.ok("/account").await;
    for said in ["maya@example.com", "Firefox on Linux", "this browser", "Safari on iPhone"] {
        assert!(page.body.contains(said), "{said}");
    }
    assert_eq!(page.body.matches("/account/sessions/end").count(), 1, "this session has another button");
    for path in ["/account/sessions/end", "/sign-out"] {
        assert_eq!(site.post(path, "csrf=wrong&session=b2").await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(
        site.post("/account/sessions/end", &format!("csrf={CSRF}&session=b2")).await.status,
        StatusCode::SEE_OTHER
    );
    let out = site.post("/sign-out", &format!("csrf={CSRF}")).await;
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let nobody = site.ask(Request::get("/account").body(Body::empty()).unwrap()).await;
    assert!(nobody.status == StatusCode::UNAUTHORIZED && nobody.body.contains("/sign-in"));
}

#[tokio::test]
async fn the_link_of_a_mail_shows_a_button_and_works_without_a_session() {
    let site = Site::new();
    let link = "/account/unsubscribe/sample-unsubscribe";
    let nobody = |method: &str, path: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(path).header("Sec-Fetch-Site", "cross-site");
        request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(Body::from(body)).unwrap()
    };
    let page = site.ask(nobody("GET", link, "")).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Stop these mails"), "{}", page.body);
    assert!(!page.body.contains("@"), "nobody's address is on it");
    // As a mail program sends it: no redirect, no cookie.
    let off = site.ask(nobody("POST", link, "List-Unsubscribe=One-Click")).await;
    assert!(off.status == StatusCode::OK && off.body.contains("Monthly summary is off"), "{}", off.body);
    assert!(!off.headers.contains_key(header::SET_COOKIE));
    let again = site.ask(nobody("POST", &format!("{link}/undo"), "")).await;
    assert!(again.status == StatusCode::OK && again.body.contains("You get these mails"), "{}", again.body);
    for path in ["/account/unsubscribe/other".to_owned(), format!("/account/unsubscribe/{}", "x".repeat(300))] {
        for method in ["GET", "POST"] {
            assert_eq!(site.ask(nobody(method, &path, "")).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn an_account_chooses_its_mail_with_its_own_form() {
    let site = Site::new();
    let page = site.ok("/account").await;
    assert!(page.body.contains("Monthly summary of Acme Analytics") && page.body.contains("Every month"));
    let form = |csrf: &str, choice: &str| format!("csrf={csrf}&vendor=acme&topic=summary&choice={choice}");
    let saved = site.post("/account/mail", &form(CSRF, "off")).await;
    assert_eq!(
        (saved.status, saved.headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/account#mail")
    );
    assert_eq!(site.post("/account/mail", &form("wrong", "off")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.post("/account/mail", &form(CSRF, "hourly")).await.status, StatusCode::BAD_REQUEST);
    let foreign = format!("csrf={CSRF}&vendor=globex&topic=summary&choice=off");
    assert_eq!(site.post("/account/mail", &foreign).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn caught_mail_is_shown_to_whom_it_may_be() {
    let site = Site::new();
    let page = site.ok("/demo/mail").await;
    assert!(page.body.contains("<a href=\"https://track.example/sign-in/link/sample-link\">"), "{}", page.body);
    let nobody = site.ask(Request::get("/demo/mail").body(Body::empty()).unwrap()).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

fn as_affiliate(path: &str) -> axum::http::request::Builder {
    Request::get(path).header(header::COOKIE, format!("affilitrack_session_portal={PORTAL_COOKIE}"))
}

#[tokio::test]
async fn an_invitation_shows_a_button_and_opens_the_portal_with_it_only() {
    let site = Site::new();
    let path = format!("/portal/link/{PORTAL_LINK}");
    let bare = |path: &str| Request::get(path.to_owned());
    let page = site.ask(bare(&path).body(Body::empty()).unwrap()).await;
    assert!(page.status == StatusCode::OK && page.body.contains("Acme Analytics") && page.body.contains("Hello Maya"));
    assert!(page.headers.get(header::SET_COOKIE).is_none(), "mail scanners open links too");
    let foreign = bare(&path).method("POST").header("sec-fetch-site", "cross-site").body(Body::empty()).unwrap();
    assert_eq!(site.ask(foreign).await.status, StatusCode::FORBIDDEN);
    let opened = site.ask(bare(&path).method("POST").body(Body::empty()).unwrap()).await;
    assert_eq!((opened.status, header_text(&opened, header::LOCATION)), (StatusCode::SEE_OTHER, "/portal"));
    let cookie = header_text(&opened, header::SET_COOKIE);
    assert!(cookie.starts_with(&format!("affilitrack_session_portal={PORTAL_COOKIE};")), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let used = site.ask(bare("/portal/link/made-up").body(Body::empty()).unwrap()).await;
    assert!(used.status == StatusCode::GONE && used.body.contains("href=\"/portal/sign-in\""));
}

#[tokio::test]
async fn the_portal_is_for_its_own_cookie_and_shows_no_buyer() {
    let site = Site::new();
    let page = site.ask(as_affiliate("/portal").body(Body::empty()).unwrap()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    for said in ["Payable", "In hold", "MAYASPECIAL", "id=\"line-", "data-live=\"/portal/live\"", "Sign out"] {
        assert!(page.body.contains(said), "{said}");
    }
    for hidden in ["inv:", "in_1", "/acme/", "Connections", "Active affiliates"] {
        assert!(!page.body.contains(hidden), "{hidden}");
    }
    let own = page.body.split("data-refresh=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let part = site.ask(as_affiliate(&own).body(Body::empty()).unwrap()).await;
    let tag = header_text(&part, header::ETAG).to_owned();
    assert!(part.status == StatusCode::OK && !tag.is_empty() && !part.body.contains("<head>"));
    let again = as_affiliate(&own).header(header::IF_NONE_MATCH, &tag);
    assert_eq!(site.ask(again.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_MODIFIED);
    // The page of one who signed in before must not show the figures of one who signed in later.
    let former = as_affiliate("/portal?range=30d&fragment=1&session=00000000").body(Body::empty()).unwrap();
    assert_eq!(site.ask(former).await.status, StatusCode::UNAUTHORIZED);
    // A member's cookie opens no portal, and the portal's opens nothing of a vendor.
    let member = Request::get("/portal").header(header::COOKIE, format!("affilitrack_session_portal={COOKIE}"));
    let answer = site.ask(member.body(Body::empty()).unwrap()).await;
    assert_eq!(header_text(&answer, header::LOCATION), "/portal/sign-in");
    for path in ["/acme/dashboard", "/acme/live", "/account", "/acme/payouts.csv"] {
        let foreign = Request::get(path).header(header::COOKIE, format!("affilitrack_session={PORTAL_COOKIE}"));
        assert_eq!(site.ask(foreign.body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(site.ask(as_affiliate(path).body(Body::empty()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    }
    for path in ["/portal/live", "/portal?fragment=1"] {
        assert_eq!(site.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn signing_out_of_the_portal_takes_its_form() {
    let site = Site::new();
    let send = async |form: String| {
        let request = as_affiliate("/portal/sign-out").method("POST");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        site.ask(request.body(Body::from(form)).unwrap()).await
    };
    assert_eq!(send("csrf=wrong".into()).await.status, StatusCode::FORBIDDEN);
    let answer = send(format!("csrf={CSRF}")).await;
    assert_eq!(header_text(&answer, header::LOCATION), "/portal/sign-in");
    assert!(header_text(&answer, header::SET_COOKIE).contains("affilitrack_session_portal=; "));
}

#[tokio::test]
async fn an_invitation_needs_the_form_of_the_page_and_says_what_came_of_it() {
    let site = Site::new();
    let path = "/acme/affiliates/maya/invitation";
    assert_eq!(site.post(path, "csrf=wrong").await.status, StatusCode::FORBIDDEN);
    let answer = site.post(path, &format!("csrf={CSRF}")).await;
    let target = header_text(&answer, header::LOCATION);
    assert!(target.starts_with("/acme/affiliates/maya?") && target.contains("done=invited"), "{target}");
    let refused = site.post("/acme/affiliates/leo/invitation", &format!("csrf={CSRF}")).await;
    assert!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && refused.body.contains("No address."));
    let foreign = site.post("/nobody/affiliates/maya/invitation", &format!("csrf={CSRF}")).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn asking_for_a_link_to_the_portal_says_the_same_to_everybody() {
    let site = Site::new();
    let ask = async |email: &str| site.post("/portal/sign-in", &format!("email={email}")).await;
    let (known, unknown) = (ask("maya%40example.com").await, ask("maya%40example.org").await);
    assert_eq!(known.body.replace("example.com", "example.org"), unknown.body);
    let wrong = ask("maya").await;
    assert!(wrong.status == StatusCode::UNPROCESSABLE_ENTITY && wrong.body.contains("id=\"email-error\""));
}

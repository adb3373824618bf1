//! The pages of alerts over the sample backend, through the real router.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use domain::ids::Timestamp;
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;
use web::sample::{ALERT, COOKIE, CSRF, SampleBackend};
use web::{App, Settings};

/// 21 November 2026, 12:03 in Berlin.
const NOW: Timestamp = Timestamp(1_795_258_989_000);

struct Site(Router);

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Site {
    fn new() -> Site {
        let settings = Settings::new(Arc::new(|| NOW));
        Site(web::router(App::new(SampleBackend::new(Arc::new(|| NOW)), settings)))
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.0.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header(header::COOKIE, format!("affilitrack_session={COOKIE}"));
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header(header::COOKIE, format!("affilitrack_session={COOKIE}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(form.to_owned())).unwrap()).await
    }
}

#[tokio::test]
async fn alerts_are_told_in_words_and_counted_in_the_rail() {
    let site = Site::new();
    let page = site.get("/acme/alerts?mode=live").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("was redeemed 14 times in 15 minutes"), "{}", page.body);
    assert!(page.body.contains("data-open-alerts>1<"));
    assert!(page.body.contains("Expected campaign, said operator on"));
    for path in ["/acme/dashboard?mode=live", "/acme/redemptions?mode=live", "/acme/connections?mode=live"] {
        assert!(site.get(path).await.body.contains("data-open-alerts>1<"), "{path}");
    }
    assert!(!site.get("/fresh/alerts").await.body.contains("data-open-alerts"));
    assert!(site.get("/fresh/alerts").await.body.contains("Nothing unusual"));
    assert!(site.get("/acme/alerts?mode=test").await.body.contains("Only live redemptions are watched"));
    assert_eq!(site.get("/foreign/alerts").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_alert_shows_its_rows_and_leads_to_all_of_them() {
    let site = Site::new();
    let page = site.get(&format!("/acme/alerts/{ALERT}?mode=live")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.matches("data-purchase=").count() >= 5);
    assert!(page.body.contains("/acme/redemptions?mode=live&#38;code=MAYA20&#38;only=redemptions&#38;cursor="));
    assert_eq!(site.get("/acme/alerts/00000000000000ff?mode=live").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get(&format!("/fresh/alerts/{ALERT}?mode=live")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_somebody_says_is_shown_and_needs_the_forms_token() {
    let site = Site::new();
    let path = format!("/acme/alerts/{ALERT}");
    for form in ["label=fraud".to_owned(), "csrf=wrong&label=fraud".to_owned()] {
        assert_eq!(site.post(&path, &form).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(site.post(&path, &format!("csrf={CSRF}&label=nonsense")).await.status, StatusCode::BAD_REQUEST);
    let unknown = site.post("/acme/alerts/00000000000000ff", &format!("csrf={CSRF}&label=fraud")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let said = site.post(&path, &format!("csrf={CSRF}&label=fraud")).await;
    assert_eq!(said.status, StatusCode::SEE_OTHER);
    let page = site.get(said.headers[header::LOCATION].to_str().unwrap()).await.body;
    assert!(page.contains("Fraud, said operator on 21 Nov 2026, 12:03:09"), "{page}");
    assert!(!page.contains("data-open-alerts"), "nothing is open any more");
}

#[tokio::test]
async fn a_campaign_is_announced_and_errors_stand_beside_their_fields() {
    let site = Site::new();
    let post = async |fields: &str| site.post("/acme/alerts/campaigns", &format!("csrf={CSRF}&{fields}")).await;
    let wrong = post("code=MAYA20&from=2026-11-22T14:00&to=2026-11-22T13:00&times=1").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("id=\"campaign-to-error\">It must end after it begins."), "{}", wrong.body);
    assert!(wrong.body.contains("id=\"campaign-times-error\"") && wrong.body.contains("value=\"2026-11-22T14:00\""));
    let unknown = post("code=NOBODY&from=2026-11-22T14:00&to=2026-11-23T13:00&times=5").await;
    assert!(unknown.body.contains("id=\"campaign-code-error\">There is no such code."));
    assert_eq!(
        site.post("/acme/alerts/campaigns", "from=2026-11-22T14:00").await.status,
        StatusCode::FORBIDDEN,
        "without the token"
    );
    let announced = post("code=MAYA20&from=2026-11-22T14:00&to=2026-11-23T13:00&times=5").await;
    assert_eq!(announced.status, StatusCode::SEE_OTHER);
    let page = site.get(announced.headers[header::LOCATION].to_str().unwrap()).await.body;
    assert!(page.contains("The campaign is announced.") && page.contains("22 Nov 2026, 14:00:00"), "{page}");
    assert!(page.contains("5 times the usual"));
}

#[tokio::test]
async fn a_body_is_fetched_again_only_when_it_changed() {
    let site = Site::new();
    let path = "/acme/alerts?mode=live&fragment=1";
    let first = site.get(path).await;
    assert!(!first.body.contains("<html") && first.body.contains("data-alert="));
    let tag = first.headers[header::ETAG].to_str().unwrap().to_owned();
    let ask = async |tag: &str| {
        let request = Request::get(path).header(header::COOKIE, format!("affilitrack_session={COOKIE}"));
        site.ask(request.header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap()).await
    };
    assert_eq!(ask(&tag).await.status, StatusCode::NOT_MODIFIED);
    site.post(&format!("/acme/alerts/{ALERT}"), &format!("csrf={CSRF}&label=unclear")).await;
    assert_eq!(ask(&tag).await.status, StatusCode::OK);
}

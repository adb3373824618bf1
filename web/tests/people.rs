//! Affiliates, codes, rules and the import over the sample backend, through the real router.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use domain::ids::Timestamp;
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;
use url::form_urlencoded;
use web::sample::{COOKIE, CSRF, SampleBackend};
use web::{App, Settings};

/// 21 November 2026, 12:03 in Berlin.
const NOW: Timestamp = Timestamp(1_795_258_989_000);

struct Answer {
    status: StatusCode,
    location: String,
    body: String,
}

struct Site(Router);

impl Site {
    fn new() -> Site {
        let settings = Settings::new(Arc::new(|| NOW));
        Site(web::router(App::new(SampleBackend::new(Arc::new(|| NOW)), settings)))
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.0.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let location = parts.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, location, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(with_session(path).body(Body::empty()).unwrap()).await
    }

    async fn ok(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// Posts fields with the session's token.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("csrf", CSRF)
            .extend_pairs(fields.iter().copied())
            .finish();
        self.ask(posted(path, body)).await
    }

    /// The same, and it must have been done.
    async fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.body);
        self.ok(&answer.location).await
    }

    /// The same, and it must have been refused.
    async fn refused(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", answer.body);
        answer.body
    }
}

fn with_session(path: &str) -> axum::http::request::Builder {
    Request::get(path).header(header::COOKIE, format!("affilitrack_session={COOKIE}"))
}

fn posted(path: &str, body: String) -> Request<Body> {
    let request = with_session(path).method("POST").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(body)).unwrap()
}

/// Whether the texts stand in this order.
fn has_in_order(body: &str, texts: &[&str]) -> bool {
    let mut rest = body;
    texts.iter().all(|text| rest.find(text).map(|at| rest = &rest[at + text.len()..]).is_some())
}

#[tokio::test]
async fn every_page_is_whole_and_inline_nothing() {
    let site = Site::new();
    for path in [
        "/acme/affiliates",
        "/fresh/affiliates",
        "/acme/affiliates?q=nobody",
        "/acme/affiliates/new",
        "/acme/affiliates/import",
        "/acme/affiliates/leo?done=added",
        "/acme/codes/1",
        "/acme/rules",
        "/fresh/rules?mode=test",
    ] {
        let body = site.ok(path).await;
        assert!(body.trim_end().ends_with("</html>"), "{path}");
        assert!(!body.contains("<style") && !body.contains(" style=") && !body.contains(" onclick="), "{path}");
        assert_eq!(body.matches("<h1").count(), 1, "{path}");
        assert!(!body.contains("Leo <b>"), "{path}: names are escaped");
    }
    for path in ["/acme/affiliates/nobody", "/acme/codes/99", "/other/affiliates", "/other/rules"] {
        assert_eq!(site.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn somebody_new_gets_a_code_and_a_rule() {
    let site = Site::new();
    let wrong =
        site.refused("/acme/affiliates/new", &[("name", " "), ("email", "leo@EXAMPLE.com"), ("key", "new")]).await;
    assert!(has_in_order(&wrong, &["Write the name", "This is the address of Leo", "belongs to the application"]));
    let wrong = site.refused("/acme/affiliates/new", &[("name", "Zoe \"Q\""), ("email", "zoe"), ("key", "")]).await;
    assert!(has_in_order(&wrong, &["value=\"Zoe &#34;Q&#34;\"", "value=\"zoe\"", "There is no @ in the address."]));
    let page =
        site.done("/acme/affiliates/new?mode=live", &[("name", "Zoe Quinn"), ("email", "Zoe@example.com")]).await;
    assert!(has_in_order(
        &page,
        &["Zoe Quinn", "The affiliate is there", "zoe@example.com", "zoe-quinn", "No code yet"]
    ));

    let wrong = site.refused("/acme/affiliates/zoe-quinn/codes", &[("code", "A B"), ("from", "31.1.2026")]).await;
    assert!(has_in_order(&wrong, &["value=\"A B\"", "A code has no spaces", "value=\"31.1.2026\"", "like 2026-01-31"]));
    let page = site.done("/acme/affiliates/zoe-quinn/codes", &[("code", "ZOE10"), ("from", "2026-11-01")]).await;
    assert!(has_in_order(&page, &["ZOE10", "1 Nov 2026", "Still theirs"]), "{page}");

    let rule = [
        ("kind", "percent"),
        ("percent", "12.5"),
        ("duration", "months"),
        ("months", "12"),
        ("base", "net"),
        ("from", "2026-11-01"),
    ];
    let page = site.done("/acme/affiliates/zoe-quinn/rule", &rule).await;
    assert!(has_in_order(&page, &["12.5 %, for 12 months", "A rule of their own", "operator", "1 Nov 2026", "Now"]));
    let list = site.ok("/acme/affiliates?q=zoe10").await;
    assert!(
        has_in_order(&list, &["1 of 3 affiliates", "Zoe Quinn", "ZOE10", "12.5 %"]) && !list.contains("Maya Torres")
    );
}

#[tokio::test]
async fn what_a_rule_lacks_is_said_beside_the_field() {
    let site = Site::new();
    let flat = |text| [("kind", "flat"), ("flat", text), ("duration", "life"), ("from", "2026-11-01")];
    for (fields, words) in [
        (vec![("kind", "percent"), ("percent", "120"), ("duration", "life"), ("from", "2026-11-01")], "from 0 to 100"),
        (flat("5").to_vec(), "amount and currency"),
        (
            vec![
                ("kind", "percent"),
                ("percent", "5"),
                ("duration", "months"),
                ("months", "0"),
                ("from", "2026-11-01"),
            ],
            "months from 1",
        ),
        (vec![("kind", "percent"), ("percent", "5"), ("duration", "life"), ("from", "")], "from which day"),
        (vec![("kind", "gift"), ("duration", "life"), ("from", "2026-11-01")], "Choose one."),
    ] {
        let page = site.refused("/acme/rules", &fields).await;
        assert!(page.contains(words) && page.contains("<details class=\"desk-more\" open>"), "{fields:?}");
    }
    let page = site.done("/acme/rules", &flat("5.00 USD; 4.5 eur")).await;
    assert!(has_in_order(&page, &["id=\"default-rule\">4.50 EUR, 5.00 USD, for life", "Rules in force", "Everybody"]));
    let page = site
        .done(
            "/acme/rules",
            &[
                ("kind", "percent"),
                ("percent", "30"),
                ("duration", "first_payment"),
                ("base", "gross"),
                ("from", "2026-11-01"),
            ],
        )
        .await;
    assert!(has_in_order(
        &page,
        &["30 % of gross, first payment only", "Superseded", "4.50 EUR, 5.00 USD", "replaced"]
    ));
    let page = site.refused("/acme/rules/hold", &[("hold_days", "soon")]).await;
    assert!(page.contains("whole number of days") && page.contains("value=\"soon\""));
    assert!(site.done("/acme/rules/hold", &[("hold_days", "14")]).await.contains("value=\"14\""));
}

#[tokio::test]
async fn names_change_and_suspensions_end() {
    let site = Site::new();
    let page = site.done("/acme/affiliates/maya", &[("name", "Maya T."), ("email", "")]).await;
    assert!(has_in_order(&page, &["Maya T.", "Saved.", "Active"]) && !page.contains("maya@example.com"));
    assert!(site.refused("/acme/affiliates/maya", &[("name", ""), ("email", "x")]).await.contains("value=\"x\""));
    assert!(site.done("/acme/affiliates/maya/suspension", &[("suspended", "yes")]).await.contains("Take Maya T. back"));
    let suspended = site.ok("/acme/affiliates?status=suspended").await;
    assert!(suspended.contains("Maya T.") && !suspended.contains("LEO15"));
    assert!(site.done("/acme/affiliates/maya/suspension", &[("suspended", "no")]).await.contains("Suspend Maya T."));
    assert_eq!(site.get("/acme/affiliates?status=gone").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn forms_without_the_token_change_nothing() {
    let site = Site::new();
    for path in [
        "/acme/affiliates/new",
        "/acme/affiliates/import",
        "/acme/affiliates/leo",
        "/acme/affiliates/leo/suspension",
        "/acme/affiliates/leo/codes",
        "/acme/affiliates/leo/rule",
        "/acme/codes/1",
        "/acme/codes/1/rule",
        "/acme/codes/change",
        "/acme/rules",
        "/acme/rules/hold",
        "/acme/settings",
        "/acme/settings/remove",
        "/acme/connections/1/disconnect",
    ] {
        let answer = site.ask(posted(path, "name=X&suspended=yes&text=email".to_owned())).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_file_is_shown_row_by_row_before_anything_is_written() {
    let site = Site::new();
    let text = "Name;E-mail;Code;Rate\nZoe;zoe@example.com;ZOE1 ZOE2;15\nBad;nobody;;\nLeo;leo@example.com;leo15;\n";
    let page = site.post("/acme/affiliates/import", &[("text", text)]).await.body;
    assert!(
        has_in_order(&page, &["1 row would change something, 1 is so already, 1 is wrong", "Import 1 row"]),
        "{page}"
    );
    assert!(has_in_order(
        &page,
        &["left out", ">3</td>", "E-mail", "There is no @", "Row by row", "New affiliate", "ZOE1", "15 %", "Unchanged"]
    ));
    assert!(site.ok("/acme/affiliates?q=zoe").await.contains("Nobody matches"));
    let page = site.done("/acme/affiliates/import", &[("text", text), ("step", "import")]).await;
    assert!(page.contains("1 row imported"));
    assert!(has_in_order(&site.ok("/acme/affiliates?q=zoe").await, &["Zoe", "ZOE1", "ZOE2", "15 %"]));
    let again = site.post("/acme/affiliates/import", &[("text", text), ("step", "import")]).await;
    assert_eq!(again.status, StatusCode::OK, "nothing is left to do");
    assert!(again.body.contains("0 rows would change something") && !again.body.contains("Import 0 rows"));
    let page = site.refused("/acme/affiliates/import", &[("text", "name,code\nZoe,Z\n")]).await;
    assert!(has_in_order(&page, &["No column is named email", "name,code"]));
}

#[tokio::test]
async fn a_code_moves_from_a_day_on() {
    let site = Site::new();
    assert!(site.refused("/acme/codes/1", &[("affiliate", "nobody")]).await.contains("no such affiliate"));
    let preview = site.done("/acme/codes/1", &[("affiliate", "leo"), ("from", "2026-11-10")]).await;
    let shown = ["MAYA20 goes to Leo", "from 10 Nov 2026", "1 of 2 purchases", "Nothing is changed yet", "Live mode"];
    assert!(has_in_order(&preview, &shown), "{preview}");
    assert!(has_in_order(&preview, &["Maya Torres", "November 2026", "5.00", "0.00", "−5.00 USD", "Leo", "+5.00 USD"]));
    let page = site.ok("/acme/codes/1").await;
    let (_, holders) = page.split_once("holders-title").unwrap();
    assert!(!holders.contains("10 Nov 2026"), "looking changes nothing");
    let gift = [("code", "MAYA20"), ("affiliate", "leo"), ("from", "2026-11-10"), ("mode", "live")];
    assert!(site.done("/acme/codes/change", &gift).await.contains("new owner"));
    let page = site.ok("/acme/codes/1").await;
    assert!(has_in_order(&page, &["Maya Torres", "Always", "10 Nov 2026", "Leo &#60;b&#62;", "10 Nov 2026"]), "{page}");
    let preview = site.done("/acme/codes/1", &[("affiliate", ""), ("from", "2026-11-20")]).await;
    assert!(has_in_order(&preview, &["goes to nobody, for sales from 20 Nov 2026", "−5.00 USD"]), "{preview}");
    let page = site.done("/acme/codes/change", &[("code", "MAYA20"), ("from", "2026-11-20")]).await;
    assert!(has_in_order(&page, &["Nobody", "20 Nov 2026"]));
    assert_eq!(site.get("/acme/codes/change?code=MAYA20&affiliate=nobody").await.status, StatusCode::BAD_REQUEST);
    let rule = [("kind", "percent"), ("percent", "5"), ("duration", "life"), ("from", "2026-11-01")];
    assert!(has_in_order(&site.done("/acme/codes/1/rule", &rule).await, &["through this code", "5 %, for life"]));
    assert!(has_in_order(&site.ok("/acme/rules").await, &["Code MAYA20", "5 %, for life"]));
}

#[tokio::test]
async fn a_long_list_has_pages_by_key() {
    let site = Site::new();
    let rows: Vec<String> = (0..250).map(|n| format!("Person {n:03},p{n}@example.com")).collect();
    let text = format!("name,email\n{}", rows.join("\n"));
    site.done("/fresh/affiliates/import", &[("text", &text), ("step", "import")]).await;
    let mut path = "/fresh/affiliates?q=person".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = site.ok(&path).await;
        seen.extend(page.split("data-affiliate=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        let Some(next) =
            page.split("href=\"").find(|rest| rest.contains("rel=\"next\">Next page") && rest.contains("after="))
        else {
            break;
        };
        path = next.split('"').next().unwrap().replace("&#38;", "&");
    }
    assert_eq!(seen.len(), 250);
    assert!(seen.is_sorted());
}

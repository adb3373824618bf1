//! `/{vendor}/affiliates/import`: many affiliates from a CSV file. The first post shows what each row would do, the
//! second carries the same text again and is read again: what was shown is not trusted.

use super::super::{Asked, given};
use super::desk::Desk;
use crate::App;
use crate::error::PageError;
use crate::layout::Section;
use crate::money::count;
use crate::session::Visitor;
use api::people::import::{ImportPlan, MAX_BYTES, MAX_ROWS, PlannedRow, RowOutcome};
use askama::Template;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

/// Largest form: a byte of the file takes up to three in it.
const MAX_FORM_BYTES: usize = 3 * MAX_BYTES + 4096;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/{vendor}/affiliates/import", get(show).post(post))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

#[derive(Debug, Default, Deserialize)]
struct Around {
    mode: Option<String>,
    /// How many rows were just imported.
    imported: Option<u32>,
}

/// As posted.
#[derive(Debug, Default, Deserialize)]
struct Typed {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    text: String,
    /// `import` writes; anything else shows.
    #[serde(default)]
    step: String,
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
) -> Result<Response, PageError> {
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let done =
        around.imported.map(|rows| format!("{} imported. Figures follow by themselves.", rows_words(rows as usize)));
    page(&desk, ImportBody { done: done.unwrap_or_default(), ..ImportBody::new(&desk, "") }, StatusCode::OK)
}

async fn post(
    State(app): State<App>,
    visitor: Visitor,
    Path(vendor): Path<String>,
    Asked(around): Asked<Around>,
    form: Result<Form<Typed>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(typed) = form.map_err(|_| PageError::BadQuery {
        field: "file",
        message: format!("It could not be read, or it is longer than {MAX_BYTES} bytes. Import it in parts."),
    })?;
    visitor.check_form(&typed.csrf)?;
    let desk = Desk::open(&app, &visitor, &vendor, given(&around.mode)).await?;
    let plan = match ImportPlan::new(&typed.text, &desk.roster, desk.now) {
        Ok(plan) => plan,
        Err(error) => {
            let body = ImportBody { file_error: error.to_string(), ..ImportBody::new(&desk, &typed.text) };
            return page(&desk, body, StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    if typed.step != "import" || plan.effective() == 0 {
        let body = ImportBody { plan: Some(PlanView::new(&plan)), ..ImportBody::new(&desk, &typed.text) };
        return page(&desk, body, StatusCode::OK);
    }
    let rows = plan.effective();
    match write(&desk, plan).await? {
        None => {
            let target = desk.link(&["affiliates", "import"]).with("imported", &rows.to_string()).build();
            Ok(Redirect::to(&target).into_response())
        }
        Some(why) => stopped(&app, &visitor, &vendor, &typed, &why).await,
    }
}

/// Writes batch after batch. Answers why it stopped, if it did; the batches before are written.
async fn write(desk: &Desk<'_>, plan: ImportPlan) -> Result<Option<String>, PageError> {
    for batch in plan.batches() {
        if let Err(problems) = desk.decide(batch).await? {
            return Ok(Some(problems.beside(&[])));
        }
    }
    Ok(None)
}

/// What is left to do is found out anew: somebody else changed something meanwhile.
async fn stopped(app: &App, visitor: &Visitor, vendor: &str, typed: &Typed, why: &str) -> Result<Response, PageError> {
    let desk = Desk::open(app, visitor, vendor, None).await?;
    let plan = ImportPlan::new(&typed.text, &desk.roster, desk.now);
    let file_error = format!("The import stopped: {why} Rows shown as unchanged are in; look at the others and go on.");
    let body =
        ImportBody { file_error, plan: plan.ok().as_ref().map(PlanView::new), ..ImportBody::new(&desk, &typed.text) };
    page(&desk, body, StatusCode::UNPROCESSABLE_ENTITY)
}

fn page(desk: &Desk<'_>, body: ImportBody, status: StatusCode) -> Result<Response, PageError> {
    desk.answer(&desk.layout("Import affiliates", Section::Affiliates), body.render()?, status)
}

fn rows_words(rows: usize) -> String {
    format!("{} {}", count(rows as i64), if rows == 1 { "row" } else { "rows" })
}

/// A row in words.
struct RowView {
    line: u64,
    name: String,
    email: String,
    code: String,
    rate: String,
    /// `New affiliate`, `Known affiliate`, `Unchanged` or the name of the wrong column.
    what: &'static str,
    sentences: Vec<String>,
}

/// A plan in words.
struct PlanView {
    button: String,
    has_effect: bool,
    summary: String,
    ignored: String,
    wrong: Vec<RowView>,
    rows: Vec<RowView>,
}

impl PlanView {
    fn new(plan: &ImportPlan) -> PlanView {
        let (wrong, rows): (Vec<&PlannedRow>, Vec<&PlannedRow>) =
            plan.rows.iter().partition(|row| matches!(row.outcome, RowOutcome::Wrong { .. }));
        let unchanged = rows.iter().filter(|row| row.outcome == RowOutcome::Unchanged).count();
        let mut parts = vec![format!("{} would change something", rows_words(plan.effective()))];
        if unchanged > 0 {
            parts.push(format!(
                "{} so already",
                if unchanged == 1 { "1 is".to_owned() } else { format!("{} are", count(unchanged as i64)) }
            ));
        }
        if !wrong.is_empty() {
            parts.push(format!(
                "{} wrong and left out",
                if wrong.len() == 1 { "1 is".to_owned() } else { format!("{} are", count(wrong.len() as i64)) }
            ));
        }
        PlanView {
            button: format!("Import {}", rows_words(plan.effective())),
            has_effect: plan.effective() > 0,
            summary: format!("{}.", parts.join(", ")),
            ignored: plan.ignored_columns.join(", "),
            wrong: wrong.into_iter().map(row_view).collect(),
            rows: rows.into_iter().map(row_view).collect(),
        }
    }
}

fn row_view(row: &PlannedRow) -> RowView {
    let (what, sentences) = match &row.outcome {
        RowOutcome::New(gets) => ("New affiliate", gets.clone()),
        RowOutcome::Changed(gets) => ("Known affiliate", gets.clone()),
        RowOutcome::Unchanged => ("Unchanged", Vec::new()),
        RowOutcome::Wrong { field, message } => (column(field), vec![message.clone()]),
    };
    RowView {
        line: row.line,
        name: row.name.clone(),
        email: row.email.clone(),
        code: row.code.clone(),
        rate: row.rate.clone(),
        what,
        sentences,
    }
}

fn column(field: &str) -> &'static str {
    match field {
        "name" => "Name",
        "email" => "E-mail",
        "code" => "Code",
        _ => "Rate",
    }
}

#[derive(Template)]
#[template(path = "affiliates_import.html")]
struct ImportBody {
    list_href: String,
    action: String,
    csrf: String,
    text: String,
    done: String,
    file_error: String,
    plan: Option<PlanView>,
    most_rows: String,
}

impl ImportBody {
    fn new(desk: &Desk<'_>, text: &str) -> ImportBody {
        ImportBody {
            list_href: desk.link(&["affiliates"]).build(),
            action: desk.link(&["affiliates", "import"]).build(),
            csrf: desk.csrf(),
            text: text.to_owned(),
            done: String::new(),
            file_error: String::new(),
            plan: None,
            most_rows: count(MAX_ROWS as i64),
        }
    }
}

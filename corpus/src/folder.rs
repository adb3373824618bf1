//! Reads a folder of events: `index.json`, the event files and the provider's answers.
//! Anything wrong with it is reported with the file and the member, and what to do.

use crate::sign::Provider;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// No file of a corpus is larger than this many bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// No list of a corpus has more members.
const MAX_MEMBERS: usize = 20_000;

/// Something about the folder that has to be put right.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {member}{problem}")]
pub struct FolderError {
    /// File inside the folder.
    pub file: String,
    /// `events[3].provider: `, or empty when the file itself is the problem.
    pub member: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// A whole folder, checked.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// Mappings that hold always.
    pub catalogue: Vec<CatalogueEntry>,
    /// One delivery each.
    pub events: Vec<EventCase>,
    /// Several deliveries each.
    pub scenarios: Vec<ScenarioCase>,
    /// `GET /v1/...` to what the provider answers.
    pub answers: BTreeMap<String, Answer>,
}

/// One mapping of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogueEntry {
    /// Only discounts of this provider.
    pub provider: Option<String>,
    /// Handle of the affiliate; none = a house code.
    pub affiliate: Option<String>,
    /// Code text.
    pub code: Option<String>,
    /// Stripe promotion code id.
    pub promotion_code_id: Option<String>,
    /// Stripe coupon id, or the discount id of the other providers.
    pub coupon_id: Option<String>,
    /// Key of a referral link.
    pub referral_key: Option<String>,
}

/// One event file and how it has to be read.
#[derive(Debug, Clone)]
pub struct EventCase {
    /// Path inside the folder.
    pub file: String,
    /// Who sends it.
    pub provider: Provider,
    /// Live or test.
    pub livemode: bool,
    /// By what the product's API finds the delivery: event id, else dedupe key.
    pub lookup_key: String,
    /// The exact bytes.
    pub body: Bytes,
    /// Headers sent besides the signature.
    pub headers: Vec<(String, String)>,
    /// The whole index entry.
    pub expected: Map<String, Value>,
}

/// Several deliveries to one vendor and what they have to end in.
#[derive(Debug, Clone)]
pub struct ScenarioCase {
    /// Its name.
    pub name: String,
    /// Positions in [`Corpus::events`], in delivery order.
    pub files: Vec<usize>,
    /// Number of redemptions at the end.
    pub redemptions: i64,
    /// Business key to the members of the purchase at the end.
    pub purchases: Vec<(String, Map<String, Value>)>,
}

/// What the provider answers to one question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The exact bytes.
    pub body: Bytes,
}

/// Reads and checks a folder.
pub fn read_corpus(folder: &Path) -> Result<Corpus, FolderError> {
    let index = Place { folder, file: "index.json", path: String::new() };
    let bytes = index.read_file("index.json")?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| index.problem(format!("is not JSON: {error}")))?;
    let root = index.object(&value)?;
    let catalogue = index.list(root, "catalog", true)?.into_iter().map(|(place, value)| read_mapping(&place, value));
    let catalogue = catalogue.collect::<Result<Vec<_>, _>>()?;
    let events = index.list(root, "events", false)?.into_iter().map(|(place, value)| read_event(&place, value));
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let positions: BTreeMap<&str, usize> =
        events.iter().enumerate().map(|(n, event)| (event.file.as_str(), n)).collect();
    let scenarios = index.list(root, "scenarios", true)?.into_iter();
    let scenarios = scenarios.map(|(place, value)| read_scenario(&place, value, &positions));
    let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
    let answers = read_answers(&index, root)?;
    Ok(Corpus { catalogue, events, scenarios, answers })
}

fn read_mapping(place: &Place<'_>, value: &Value) -> Result<CatalogueEntry, FolderError> {
    let entry = place.object(value)?;
    let provider = place.optional_text(entry, "provider")?;
    if let Some(name) = &provider
        && Provider::parse(name).is_none()
    {
        return Err(place.member("provider").problem(unknown_provider(name)));
    }
    let mapping = CatalogueEntry {
        provider,
        affiliate: place.optional_text(entry, "affiliate")?,
        code: place.optional_text(entry, "code")?,
        promotion_code_id: place.optional_text(entry, "promotion_code_id")?,
        coupon_id: place.optional_text(entry, "coupon_id")?.or(place.optional_text(entry, "discount_id")?),
        referral_key: place.optional_text(entry, "referral_key")?,
    };
    let nothing = mapping.code.is_none() && mapping.promotion_code_id.is_none();
    if nothing && mapping.coupon_id.is_none() && mapping.referral_key.is_none() {
        return Err(place.problem(
            "maps nothing; give at least one of code, promotion_code_id, coupon_id, discount_id, referral_key"
                .to_owned(),
        ));
    }
    Ok(mapping)
}

fn read_event(place: &Place<'_>, value: &Value) -> Result<EventCase, FolderError> {
    let entry = place.object(value)?;
    let file = place.text(entry, "file")?;
    let name = place.text(entry, "provider")?;
    let provider = Provider::parse(&name).ok_or_else(|| place.member("provider").problem(unknown_provider(&name)))?;
    let livemode = entry.get("livemode").and_then(Value::as_bool);
    let livemode = livemode.ok_or_else(|| place.member("livemode").problem("must be true or false".to_owned()))?;
    let event_id = place.optional_text(entry, "event_id")?;
    let lookup_key = event_id.or(place.optional_text(entry, "dedupe_key")?).ok_or_else(|| {
        place.problem("has neither event_id nor dedupe_key; one is needed to ask how the delivery was read".to_owned())
    })?;
    let body = place.member("file").read_file(&file)?;
    let headers = read_headers(place, entry)?;
    Ok(EventCase { file, provider, livemode, lookup_key, body, headers, expected: entry.clone() })
}

fn read_headers(place: &Place<'_>, entry: &Map<String, Value>) -> Result<Vec<(String, String)>, FolderError> {
    let place = place.member("headers");
    let mut headers = Vec::new();
    match entry.get("headers") {
        None | Some(Value::Null) => {}
        Some(value) => {
            for (name, value) in place.object(value)? {
                let text = value.as_str().ok_or_else(|| place.member(name).problem("must be a text".to_owned()))?;
                headers.push((name.clone(), text.to_owned()));
            }
        }
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    Ok(headers)
}

fn read_scenario(
    place: &Place<'_>,
    value: &Value,
    positions: &BTreeMap<&str, usize>,
) -> Result<ScenarioCase, FolderError> {
    let entry = place.object(value)?;
    let name = place.text(entry, "name")?;
    let mut files = Vec::new();
    for (place, value) in place.list(entry, "files", false)? {
        let file = value.as_str().ok_or_else(|| place.problem("must be a file of `events`".to_owned()))?;
        let position = positions
            .get(file)
            .ok_or_else(|| place.problem(format!("`{file}` is not the file of any entry of `events`")))?;
        files.push(*position);
    }
    let end = place.member("final");
    let wanted = end.object(entry.get("final").unwrap_or(&Value::Null))?;
    let redemptions = wanted.get("redemptions").and_then(Value::as_i64);
    let redemptions =
        redemptions.ok_or_else(|| end.member("redemptions").problem("must be a whole number".to_owned()))?;
    let mut purchases = Vec::new();
    for (place, value) in end.list(wanted, "purchases", true)? {
        let purchase = place.object(value)?;
        let mut members = purchase.clone();
        members.remove("business_key");
        purchases.push((place.text(purchase, "business_key")?, members));
    }
    Ok(ScenarioCase { name, files, redemptions, purchases })
}

fn read_answers(index: &Place<'_>, root: &Map<String, Value>) -> Result<BTreeMap<String, Answer>, FolderError> {
    let mut answers = BTreeMap::new();
    let place = index.member("api");
    let entries = match root.get("api") {
        None | Some(Value::Null) => return Ok(answers),
        Some(value) => place.object(value)?,
    };
    for (request, value) in entries {
        let place = place.member(request);
        let entry = place.object(value)?;
        if !request.split_once(' ').is_some_and(|(_, path)| path.starts_with('/')) {
            return Err(place.problem("must be a method and a path, for example `GET /v1/invoices/in_1`".to_owned()));
        }
        let status = entry.get("status").map_or(Some(200), Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let status = status.filter(|status| (100..600).contains(status));
        let status = status.ok_or_else(|| place.member("status").problem("must be an HTTP status".to_owned()))?;
        let file = place.text(entry, "file")?;
        answers.insert(request.clone(), Answer { status, body: place.member("file").read_file(&file)? });
    }
    Ok(answers)
}

fn unknown_provider(name: &str) -> String {
    let known = Provider::ALL.map(Provider::name).join(", ");
    format!("`{name}` is not a provider; expected one of {known}")
}

/// Where in which file we are, for messages.
#[derive(Debug, Clone)]
struct Place<'a> {
    folder: &'a Path,
    file: &'a str,
    path: String,
}

impl<'a> Place<'a> {
    fn member(&self, name: &str) -> Place<'a> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Place { path, ..self.clone() }
    }

    fn problem(&self, problem: String) -> FolderError {
        let member = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        FolderError { file: self.file.to_owned(), member, problem }
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, FolderError> {
        value.as_object().ok_or_else(|| self.problem("must be an object".to_owned()))
    }

    fn optional_text(&self, entry: &Map<String, Value>, name: &str) -> Result<Option<String>, FolderError> {
        match entry.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.member(name).problem("must be a text or null".to_owned())),
        }
    }

    fn text(&self, entry: &Map<String, Value>, name: &str) -> Result<String, FolderError> {
        self.optional_text(entry, name)?.ok_or_else(|| self.member(name).problem("is missing; give a text".to_owned()))
    }

    fn list<'v>(
        &self,
        entry: &'v Map<String, Value>,
        name: &str,
        may_be_absent: bool,
    ) -> Result<Vec<(Place<'a>, &'v Value)>, FolderError> {
        let place = self.member(name);
        match entry.get(name) {
            Some(Value::Array(values)) if values.len() > MAX_MEMBERS => {
                Err(place.problem(format!("has {} members, at most {MAX_MEMBERS} are taken", values.len())))
            }
            Some(Value::Array(values)) => {
                let at = |n| Place { path: format!("{}[{n}]", place.path), ..place.clone() };
                Ok(values.iter().enumerate().map(|(n, value)| (at(n), value)).collect())
            }
            None | Some(Value::Null) if may_be_absent => Ok(Vec::new()),
            _ => Err(place.problem("must be a list".to_owned())),
        }
    }

    fn read_file(&self, name: &str) -> Result<Bytes, FolderError> {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(self.problem(format!("`{name}` must be a path inside the folder, without `..`")));
        }
        let path = self.folder.join(name);
        let cannot = |error: std::io::Error| self.problem(format!("cannot read {}: {error}", path.display()));
        let size = std::fs::metadata(&path).map_err(cannot)?.len();
        if size > MAX_FILE_BYTES {
            return Err(
                self.problem(format!("{} has {size} bytes, at most {MAX_FILE_BYTES} are taken", path.display()))
            );
        }
        std::fs::read(&path).map(Bytes::from).map_err(cannot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder_with(index: &Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        std::fs::write(folder.path().join("one.json"), "{\"id\": \"evt_1\"}\n").unwrap();
        folder
    }

    fn sound() -> Value {
        json!({
            "catalog": [{"provider": "paddle", "affiliate": "aff_a", "discount_id": "dsc_1"}],
            "events": [{"file": "one.json", "provider": "stripe", "livemode": false, "event_id": "evt_1"}],
            "scenarios": [{"name": "s", "files": ["one.json", "one.json"], "final": {"redemptions": 1, "purchases": [{"business_key": "inv:1", "net_minor": 5}]}}],
            "api": {"GET /v1/invoices/in_1": {"status": 200, "file": "one.json"}}
        })
    }

    #[test]
    fn a_sound_folder_is_read_with_exact_bytes() {
        let folder = folder_with(&sound());
        let corpus = read_corpus(folder.path()).unwrap();
        assert_eq!(&corpus.events[0].body[..], b"{\"id\": \"evt_1\"}\n");
        assert_eq!(corpus.events[0].headers, [("Content-Type".to_owned(), "application/json".to_owned())]);
        assert_eq!(corpus.catalogue[0].coupon_id.as_deref(), Some("dsc_1"));
        assert_eq!(corpus.scenarios[0].files, [0, 0]);
        assert_eq!(corpus.answers.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_by_file_and_member() {
        let cases: Vec<(&str, Value, &str)> = vec![
            ("/events/0/provider", json!("paypal"), "index.json: events[0].provider: `paypal` is not a provider"),
            ("/events/0/livemode", json!("no"), "index.json: events[0].livemode: must be true or false"),
            ("/events/0/event_id", Value::Null, "index.json: events[0]: has neither event_id nor dedupe_key"),
            ("/events/0/file", json!("two.json"), "index.json: events[0].file: cannot read"),
            ("/events/0/file", json!("../one.json"), "without `..`"),
            ("/events", json!({}), "index.json: events: must be a list"),
            ("/catalog/0/discount_id", Value::Null, "index.json: catalog[0]: maps nothing"),
            ("/scenarios/0/files/1", json!("x.json"), "index.json: scenarios[0].files[1]: `x.json` is not the file"),
            (
                "/scenarios/0/final/redemptions",
                json!("1"),
                "index.json: scenarios[0].final.redemptions: must be a whole",
            ),
            (
                "/api/GET ~1v1~1invoices~1in_1/status",
                json!(7),
                "index.json: api.GET /v1/invoices/in_1.status: must be an HTTP",
            ),
        ];
        for (pointer, value, message) in cases {
            let mut index = sound();
            *index.pointer_mut(pointer).unwrap() = value;
            let folder = folder_with(&index);
            let error = read_corpus(folder.path()).unwrap_err().to_string();
            assert!(error.contains(message), "{pointer}: {error}");
        }
    }

    #[test]
    fn a_missing_or_broken_index_is_said_to_be_so() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read_corpus(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("index.json: cannot read"), "{missing}");
        std::fs::write(folder.path().join("index.json"), "{\"events\": [\n1,]}").unwrap();
        let broken = read_corpus(folder.path()).unwrap_err().to_string();
        assert!(broken.contains("is not JSON") && broken.contains("line 2"), "{broken}");
    }
}

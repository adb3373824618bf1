//! The form that announces a campaign: as typed, as checked, as shown.

use crate::alerts::CampaignForm;
use crate::backend::FieldError;
use askama::Template;
use domain::ids::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// Largest multiple of the usual rate.
const MOST_TIMES: u32 = 1_000;
/// Longest code that is looked up, in bytes.
const MAX_CODE_BYTES: usize = 200;
/// Longest campaign.
const MOST_DAYS: i64 = 92;

/// As somebody typed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct TypedCampaign {
    #[serde(default)]
    pub csrf: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    times: String,
}

fn wrong(field: &str, message: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), message: message.into() }
}

/// `2026-11-22T14:00` in a zone, as browsers send it.
fn local_moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let local: DateTime = text.trim().parse().ok()?;
    Some(Timestamp(local.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond()))
}

impl TypedCampaign {
    /// As the service takes it, or every field that has to be changed. Times are of the vendor's zone.
    pub fn checked(&self, time_zone: &str) -> Result<CampaignForm, Vec<FieldError>> {
        let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
        let mut errors = Vec::new();
        let code = self.code.trim();
        if code.len() > MAX_CODE_BYTES {
            errors.push(wrong("code", "No code is as long as this."));
        }
        let (from, to) = (local_moment(&self.from, &zone), local_moment(&self.to, &zone));
        if from.is_none() {
            errors.push(wrong("from", "Say when it begins: a day and a time."));
        }
        match (from, to) {
            (_, None) => errors.push(wrong("to", "Say when it ends: a day and a time.")),
            (Some(from), Some(to)) if to <= from => errors.push(wrong("to", "It must end after it begins.")),
            (Some(from), Some(to)) if to.0 - from.0 > MOST_DAYS * 86_400_000 => {
                errors.push(wrong(
                    "to",
                    format!("A campaign lasts at most {MOST_DAYS} days; announce the next one later."),
                ));
            }
            _ => {}
        }
        let times = self.times.trim().parse::<u32>().ok().filter(|times| (2..=MOST_TIMES).contains(times));
        if times.is_none() {
            errors.push(wrong("times", format!("Use a whole number from 2 to {MOST_TIMES}.")));
        }
        match (from, to, times) {
            (Some(from), Some(to), Some(times)) if errors.is_empty() => Ok(CampaignForm {
                code: (!code.is_empty()).then(|| code.to_owned()),
                from,
                to,
                expected_percent: times * 100,
            }),
            _ => Err(errors),
        }
    }
}

#[derive(Template)]
#[template(path = "campaign_form.html")]
pub(super) struct CampaignFields {
    action: String,
    csrf: String,
    typed: TypedCampaign,
    codes: Vec<String>,
    time_zone: String,
    is_open: bool,
    is_announced: bool,
    code_error: String,
    from_error: String,
    to_error: String,
    times_error: String,
    form_error: String,
}

impl CampaignFields {
    /// With what was typed, and its errors beside it.
    pub fn new(
        (action, csrf): (String, String),
        typed: &TypedCampaign,
        errors: &[FieldError],
        (codes, time_zone): (Vec<String>, &str),
        is_announced: bool,
    ) -> CampaignFields {
        let of = |field: &str| {
            errors.iter().find(|error| error.field == field).map(|error| error.message.clone()).unwrap_or_default()
        };
        let other = errors.iter().find(|error| !["code", "from", "to", "times"].contains(&error.field.as_str()));
        let mut typed = typed.clone();
        if typed.times.is_empty() && errors.is_empty() {
            typed.times = "5".into();
        }
        CampaignFields {
            action,
            csrf,
            typed,
            codes,
            time_zone: time_zone.to_owned(),
            is_open: !errors.is_empty(),
            is_announced,
            code_error: of("code"),
            from_error: of("from"),
            to_error: of("to"),
            times_error: of("times"),
            form_error: other.map(|error| error.message.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(code: &str, from: &str, to: &str, times: &str) -> TypedCampaign {
        let text = str::to_owned;
        TypedCampaign { csrf: String::new(), code: text(code), from: text(from), to: text(to), times: text(times) }
    }

    #[test]
    fn a_campaign_is_read_in_the_vendors_zone() {
        let form = typed(" MAYA20 ", "2026-11-22T14:00", "2026-11-23T14:00", "5").checked("Europe/Berlin").unwrap();
        assert_eq!((form.code.as_deref(), form.expected_percent), (Some("MAYA20"), 500));
        assert_eq!((form.from, form.to.0 - form.from.0), (Timestamp(1_795_352_400_000), 86_400_000));
        assert_eq!(typed("", "2026-11-22T14:00", "2026-11-22T14:01", "2").checked("UTC").unwrap().code, None);
    }

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let fields = |typed: TypedCampaign| -> Vec<String> {
            typed.checked("UTC").unwrap_err().into_iter().map(|error| error.field).collect()
        };
        assert_eq!(fields(typed("", "", "tomorrow", "1")), ["from", "to", "times"]);
        assert_eq!(fields(typed("", "2026-11-22T14:00", "2026-11-22T14:00", "5")), ["to"]);
        assert_eq!(fields(typed("", "2026-01-01T00:00", "2026-11-22T14:00", "5.5")), ["to", "times"]);
        assert_eq!(fields(typed(&"x".repeat(201), "2026-11-22T14:00", "2026-11-22T15:00", "5")), ["code"]);
    }
}

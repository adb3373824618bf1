//! The connect forms: what was typed, and whether it has the shape of a secret.

use crate::backend::{FieldError, Secret, StripeForm, VendorView, WorkspaceForm};
use domain::ids::Provider;
use serde::Deserialize;

/// Longest value of a field, in bytes.
const MAX_FIELD_BYTES: usize = 255;
/// Longest name of a workspace, in characters; its slug is not longer.
const MAX_NAME_CHARACTERS: usize = 60;
/// First parts of addresses that are no workspace.
const NO_WORKSPACES: [&str; 8] = ["api", "assets", "healthz", "metrics", "open", "readyz", "webhooks", "welcome"];

/// As posted.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct TypedForm {
    #[serde(default)]
    pub csrf: String,
    #[serde(default)]
    pub workspace: String,
    /// Only on the form that makes the first workspace.
    #[serde(default)]
    pub provider: String,
    #[serde(default)]
    pub secret: String,
    #[serde(default)]
    pub key: String,
}

impl TypedForm {
    /// Checks the shape only; the backend checks the rest. `beside`: the form stands in the demo and opens a
    /// workspace beside these.
    ///
    /// # Errors
    /// Every field that has to be changed.
    pub fn checked(&self, beside: Option<&[VendorView]>) -> Result<StripeForm, Vec<FieldError>> {
        let (workspace, secret, key) = (self.workspace.trim(), self.secret.trim(), self.key.trim());
        let checks = [
            ("workspace", beside.and_then(|vendors| workspace_problem(workspace, vendors))),
            ("secret", secret_problem(secret)),
            ("key", key_problem(key)),
        ];
        no_problems(&checks)?;
        Ok(StripeForm {
            workspace: beside.map(|_| slug(workspace)),
            workspace_name: beside.map(|_| workspace.to_owned()),
            secret: Secret(secret.to_owned()),
            key: (!key.is_empty()).then(|| Secret(key.to_owned())),
        })
    }

    /// The form of the first page: any provider, and a workspace beside `vendors`.
    ///
    /// # Errors
    /// Every field that has to be changed.
    pub fn checked_workspace(&self, vendors: &[VendorView]) -> Result<WorkspaceForm, Vec<FieldError>> {
        let (workspace, secret, key) = (self.workspace.trim(), self.secret.trim(), self.key.trim());
        let provider = Provider::from_name(self.provider.trim());
        let secret_problem = match provider {
            Some(Provider::Stripe) | None => secret_problem(secret),
            Some(Provider::Paddle | Provider::LemonSqueezy) => other_secret_problem(secret),
        };
        let key_problem = match provider {
            Some(Provider::Stripe) | None => key_problem(key),
            Some(_) => (!key.is_empty() && !is_plain(key)).then_some(BROKEN_KEY),
        };
        no_problems(&[
            ("workspace", workspace_problem(workspace, vendors)),
            ("provider", provider.is_none().then_some("Choose one of the three.")),
            ("secret", secret_problem),
            ("key", key_problem),
        ])?;
        Ok(WorkspaceForm {
            workspace: slug(workspace),
            workspace_name: workspace.to_owned(),
            provider: provider.unwrap_or(Provider::Stripe),
            secret: Secret(secret.to_owned()),
            key: (!key.is_empty()).then(|| Secret(key.to_owned())),
        })
    }
}

/// What was found, as errors of fields.
pub(super) fn no_problems(checks: &[(&str, Option<&str>)]) -> Result<(), Vec<FieldError>> {
    let errors: Vec<FieldError> = checks
        .iter()
        .filter_map(|(field, problem)| {
            problem.map(|message| FieldError { field: (*field).into(), message: message.into() })
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The name as it stands in addresses: `Tiny Tools` becomes `tiny-tools`. Empty if nothing of it can.
pub(super) fn slug(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

pub(super) fn workspace_problem(name: &str, vendors: &[VendorView]) -> Option<&'static str> {
    let slug = slug(name);
    let taken = vendors.iter().find(|vendor| vendor.slug == slug);
    if name.is_empty() {
        Some("Give the workspace a name, for example that of your product.")
    } else if name.chars().count() > MAX_NAME_CHARACTERS {
        Some("Use at most 60 characters.")
    } else if slug.is_empty() {
        Some("Use at least one letter from a to z or a digit: the name becomes part of addresses.")
    } else if NO_WORKSPACES.contains(&slug.as_str()) || taken.is_some_and(|vendor| vendor.is_demo) {
        Some("This name belongs to the application. Choose another one.")
    } else if taken.is_some() {
        Some("There is a workspace of this name already. Open it to add a secret, or choose another name.")
    } else {
        None
    }
}

fn secret_problem(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        Some("Paste the signing secret of the webhook endpoint. It starts with whsec_.")
    } else if secret.starts_with("sk_") || secret.starts_with("rk_") || secret.starts_with("pk_") {
        Some(
            "This is an API key. The signing secret starts with whsec_ and stands on the page of the webhook endpoint.",
        )
    } else if !secret.starts_with("whsec_") {
        Some("A signing secret starts with whsec_.")
    } else if secret.len() < 12 || !is_plain(secret) {
        Some("Part of the secret is missing or has a space in it. Copy it once more.")
    } else {
        None
    }
}

/// Paddle's and Lemon Squeezy's: no fixed form, but an API key is no signing secret.
fn other_secret_problem(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        Some("Paste the signing secret of the webhook endpoint.")
    } else if secret.contains("apikey") || secret.starts_with("eyJ") {
        Some("This is an API key. The signing secret stands on the page of the webhook endpoint.")
    } else if secret.len() < 6 || !is_plain(secret) {
        Some("Part of the secret is missing or has a space in it. Copy it once more.")
    } else {
        None
    }
}

pub(super) fn key_problem(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        None
    } else if key.starts_with("sk_") {
        Some(
            "This secret key may do everything in your Stripe account. Make a restricted key with read access; it starts with rk_.",
        )
    } else if !key.starts_with("rk_") {
        Some("A restricted key starts with rk_test_ or rk_live_.")
    } else if !is_plain(key) {
        Some(BROKEN_KEY)
    } else {
        None
    }
}

const BROKEN_KEY: &str = "There is a space in the key, or a part is missing. Copy it once more.";

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_FIELD_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(workspace: &str, secret: &str, key: &str) -> Vec<String> {
        let typed =
            TypedForm { workspace: workspace.into(), secret: secret.into(), key: key.into(), ..TypedForm::default() };
        let vendor = |slug: &str, is_demo| VendorView {
            slug: slug.into(),
            name: slug.into(),
            is_demo,
            can_be_removed: true,
            time_zone: "UTC".into(),
            is_incomplete: false,
        };
        typed
            .checked(Some(&[vendor("demo", true), vendor("my-shop", false)]))
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|error| error.field)
            .collect()
    }

    #[test]
    fn shapes_are_checked_per_field() {
        assert_eq!(problems("Acme", "whsec_0123456789", ""), Vec::<String>::new());
        assert_eq!(problems("Acme", " whsec_0123456789\n", "rk_test_1"), Vec::<String>::new());
        assert_eq!(problems("", "", "pk_test"), ["workspace", "secret", "key"]);
        assert_eq!(problems("Acme", "rk_live_123", "sk_live_123"), ["secret", "key"]);
        assert_eq!(problems("Acme", "whsec_01 23456789", ""), ["secret"]);
        assert_eq!(
            problems(&"a".repeat(61), "whsec_0123456789", &format!("rk_{}", "a".repeat(300))),
            ["workspace", "key"]
        );
    }

    #[test]
    fn each_provider_has_secrets_of_its_own_form() {
        let fields = |provider: &str, secret: &str, key: &str| -> Vec<String> {
            let typed = TypedForm {
                workspace: "Acme".into(),
                provider: provider.into(),
                secret: secret.into(),
                key: key.into(),
                ..TypedForm::default()
            };
            let errors = typed.checked_workspace(&[]).err().unwrap_or_default();
            errors.into_iter().map(|error| error.field).collect()
        };
        assert_eq!(fields("stripe", "whsec_0123456789", "rk_test_1"), Vec::<String>::new());
        assert_eq!(fields("stripe", "pdl_ntfset_01abc", "sk_live_1"), ["secret", "key"]);
        assert_eq!(fields("paddle", "pdl_ntfset_01abc", "pdl_live_apikey_1"), Vec::<String>::new());
        assert_eq!(fields("paddle", "pdl_live_apikey_01abc", "a b"), ["secret", "key"]);
        assert_eq!(fields("lemonsqueezy", "chosen-by-me", ""), Vec::<String>::new());
        assert_eq!(fields("cash", "whsec_0123456789", ""), ["provider"]);
    }

    #[test]
    fn a_name_becomes_part_of_addresses() {
        for (name, address) in [("Tiny Tools", "tiny-tools"), (" Café 2.0! ", "caf-2-0"), ("日本", ""), ("A_B", "a-b")]
        {
            assert_eq!(slug(name), address);
        }
        for name in ["Demo", "my shop", "API", "日本"] {
            assert_eq!(problems(name, "whsec_0123456789", ""), ["workspace"], "{name}");
        }
    }
}

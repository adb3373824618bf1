//! The connect form: what was typed, and whether it has the shape of a Stripe secret.

use crate::backend::{FieldError, Secret, StripeForm};
use serde::Deserialize;

/// Longest value of a field, in bytes.
const MAX_FIELD_BYTES: usize = 255;

/// As posted.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct TypedForm {
    #[serde(default)]
    pub csrf: String,
    #[serde(default)]
    pub workspace: String,
    #[serde(default)]
    pub secret: String,
    #[serde(default)]
    pub key: String,
}

impl TypedForm {
    /// Checks the shape only; the backend checks the rest.
    ///
    /// # Errors
    /// Every field that has to be changed.
    pub fn checked(&self, needs_workspace: bool) -> Result<StripeForm, Vec<FieldError>> {
        let (workspace, secret, key) = (self.workspace.trim(), self.secret.trim(), self.key.trim());
        let checks = [
            ("workspace", if needs_workspace { workspace_problem(workspace) } else { None }),
            ("secret", secret_problem(secret)),
            ("key", key_problem(key)),
        ];
        let errors: Vec<FieldError> = checks
            .into_iter()
            .filter_map(|(field, problem)| {
                problem.map(|message| FieldError { field: field.into(), message: message.into() })
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(StripeForm {
            workspace: needs_workspace.then(|| workspace.to_owned()),
            secret: Secret(secret.to_owned()),
            key: (!key.is_empty()).then(|| Secret(key.to_owned())),
        })
    }
}

fn workspace_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("Give the workspace a name, for example that of your product.")
    } else if name.chars().count() > 60 {
        Some("Use at most 60 characters.")
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

fn key_problem(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        None
    } else if key.starts_with("sk_") {
        Some(
            "This secret key may do everything in your Stripe account. Make a restricted key with read access; it starts with rk_.",
        )
    } else if !key.starts_with("rk_") {
        Some("A restricted key starts with rk_test_ or rk_live_.")
    } else if !is_plain(key) {
        Some("There is a space in the key, or a part is missing. Copy it once more.")
    } else {
        None
    }
}

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_FIELD_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(workspace: &str, secret: &str, key: &str) -> Vec<String> {
        let typed =
            TypedForm { csrf: String::new(), workspace: workspace.into(), secret: secret.into(), key: key.into() };
        typed.checked(true).err().unwrap_or_default().into_iter().map(|error| error.field).collect()
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
}
